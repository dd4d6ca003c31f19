//! From a file to what it says: the passes over its bytes, on threads of their own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{Format, Source};
use crate::export::problem::{Broken, BrokenCode, Severity};
use crate::export::{self, Known, Reader, Rows, Survey};
use crate::roster::Reading;
use crate::roster::familiar::{Context, Recognized};
use crate::roster::mapping::{Collected, Collector, Mapping};

/// Threads that read rows and make sense of them: one for each processor of a small machine.
const READERS: usize = 2;

/// An export that was read to its end.
#[derive(Debug)]
pub struct Examined {
    /// The file's name, without folders.
    pub name: String,
    /// Of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// What it says, but for rows that were passed over.
    pub reading: Reading,
    /// Under what its rows were read, and for which day.
    pub context: (Context, NaiveDate),
    /// The rows that were passed over; none where everything was read.
    pub recognized: Option<Recognized>,
}

/// Why there is nothing to plan with.
#[derive(Debug)]
pub enum ExamineError {
    /// The file is broken: an answer for the dropper.
    Broken(Broken),
    /// The file cannot be read: an answer for the operator.
    Read(io::Error),
}

impl From<Broken> for ExamineError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<io::Error> for ExamineError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A file that the service has no right to read is as good as broken: whoever dropped it has to drop it again.
fn open(path: &Path) -> Result<File, ExamineError> {
    // Looked at before it is opened: opening a named pipe that nobody writes to waits for ever.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file").into());
    }
    File::open(path).map_err(|error| {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return error.into();
        }
        let message = "the service may not read the file: its sender made it private; make it readable to the group of \
                       the folder (rw-r-----) and drop it again";
        Broken { code: BrokenCode::Unreadable, line: None, message: message.to_owned() }.into()
    })
}

/// Larger exports are hashed by a thread of their own, beside the first pass. Of smaller ones it would be the third thread of a command that
/// opens the state meanwhile, and the bytes be fetched once more.
const HASHED_ON_THE_WAY: u64 = 32 * 1024 * 1024;

/// What the first pass over an export found out.
#[derive(Debug)]
pub struct Surveyed {
    path: PathBuf,
    survey: Survey,
    hash: Hash,
    is_only_looked_at: bool,
}

#[derive(Debug)]
enum Hash {
    UnderWay(Hashing),
    Known(String),
}

/// The pass that an export's hash takes, begun. It ends when nobody waits for it any more.
#[derive(Debug)]
struct Hashing {
    hash: JoinHandle<Result<String, ExamineError>>,
    _wanted: DropGuard,
}

impl Hashing {
    fn begin(path: &Path) -> Self {
        let (path, unwanted) = (path.to_owned(), CancellationToken::new());
        let wanted = unwanted.clone().drop_guard();
        let hash =
            tokio::task::spawn_blocking(move || Ok(export::sha256(UntilUnwanted { input: open(&path)?, unwanted })?));
        Self { hash, _wanted: wanted }
    }
}

/// Reads until nobody wants it: a broken export of some gigabytes is answered at once.
struct UntilUnwanted {
    input: File,
    unwanted: CancellationToken,
}

impl io::Read for UntilUnwanted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.unwanted.is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.input.read(buf)
    }
}

impl Surveyed {
    /// Reads rows without what they would be known by in the next export: nothing will be remembered of this one.
    #[must_use]
    pub fn to_look_at(self) -> Self {
        Self { is_only_looked_at: true, ..self }
    }

    /// The SHA-256 of the file's bytes, in lower-case hexadecimal.
    ///
    /// # Errors
    /// [`ExamineError`].
    pub async fn sha256(&mut self) -> Result<String, ExamineError> {
        let sha256 = match &mut self.hash {
            Hash::Known(sha256) => return Ok(sha256.clone()),
            Hash::UnderWay(hashing) => (&mut hashing.hash).await.map_err(|_| abnormal())??,
        };
        self.hash = Hash::Known(sha256.clone());
        Ok(sha256)
    }
}

/// The first pass: what the bytes are, and their hash.
///
/// # Errors
/// [`ExamineError`].
pub async fn survey(path: &Path, source: &Source) -> Result<Surveyed, ExamineError> {
    let (path, format) = (path.to_owned(), source.format.clone());
    blocking(move || survey_now(path, &format, HASHED_ON_THE_WAY)).await
}

/// [`survey`], on this thread; files of more than `on_the_way` bytes are hashed by another one.
fn survey_now(path: PathBuf, format: &Format, on_the_way: u64) -> Result<Surveyed, ExamineError> {
    let file = open(&path)?;
    let (survey, hash) = if file.metadata()?.len() <= on_the_way {
        let (survey, sha256) = export::survey_and_hash(file, format)?;
        (survey, Hash::Known(sha256))
    } else {
        let hashing = Hashing::begin(&path);
        (export::survey(file, format)?, Hash::UnderWay(hashing))
    };
    Ok(Surveyed { path, survey, hash, is_only_looked_at: false })
}

/// The last pass: what the rows say. Those that are `familiar` are passed over, if they were read under the same header and
/// with the same settings.
///
/// # Errors
/// [`ExamineError`].
pub async fn read(
    surveyed: &mut Surveyed,
    source: &Source,
    today: NaiveDate,
    familiar: Option<Recognized>,
) -> Result<Examined, ExamineError> {
    let (path, survey, source) = (surveyed.path.clone(), surveyed.survey.clone(), source.clone());
    let is_only_looked_at = surveyed.is_only_looked_at;
    let (name, read) = blocking(move || {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mapping = Mapping::new(&source);
        let mut reader = export::open(open(&path)?, &survey, &source.format, &mapping.wanted())?;
        if is_only_looked_at {
            reader.forget_rows();
        }
        Ok((name, read_now(reader, &mapping, &source, today, familiar)?))
    })
    .await?;
    let Read { reading, context, recognized } = read;
    Ok(Examined { name, sha256: surveyed.sha256().await?, reading, context, recognized })
}

/// All passes.
///
/// # Errors
/// [`ExamineError`].
pub async fn whole(path: &Path, source: &Source, today: NaiveDate) -> Result<Examined, ExamineError> {
    let mut surveyed = survey(path, source).await?;
    read(&mut surveyed, source, today, None).await
}

/// What the last pass brings.
struct Read {
    reading: Reading,
    context: (Context, NaiveDate),
    recognized: Option<Recognized>,
}

/// [`read`], on this thread and some more.
fn read_now(
    reader: Reader<File>,
    mapping: &Mapping,
    source: &Source,
    today: NaiveDate,
    familiar: Option<Recognized>,
) -> Result<Read, ExamineError> {
    let Source { format, columns, group, plan, eligibility, .. } = source;
    let context =
        Context::of(reader.header().names(), reader.delimiter(), &(format, columns, group, plan, eligibility));
    let mut recognized = familiar.filter(|familiar| familiar.context() == context);
    let collectors = [(); READERS].map(|()| Collector::new(mapping.bind(reader.header()), today));
    let (reader, collected) = share_out(reader, &mut recognized, collectors.into())?;
    let collected = collected.into_iter().reduce(Collected::join).ok_or_else(abnormal)?;
    let mut reading = collected.finish();
    reading.problems.extend(reader.findings());
    reading.problems.sort_by_key(|problem| problem.line);
    if let Some(recognized) = &recognized {
        reading.rows = reader.n_rows();
        for (group, name) in recognized.groups() {
            reading.groups.entry(group).or_insert(name);
        }
    }
    Ok(Read { reading, context: (context, today), recognized })
}

/// Reads all rows that are not known, and has each looked at by one of the collectors, which work on threads of their own. Gives the reader
/// back, behind the last row.
fn share_out<R: io::Read + Send>(
    mut reader: Reader<R>,
    known: &mut (impl Known + Send),
    collectors: Vec<Collector>,
) -> Result<(Reader<R>, Vec<Collected>), ExamineError> {
    // The reader goes along: when this is broken off it is gone before anybody waits for the threads, of which one may wait for it.
    std::thread::scope(move |scope| {
        if !known.is_empty() {
            reader.read_ahead(scope);
        }
        let rows = Arc::new(Mutex::new((reader, known)));
        let each = |collector| {
            let rows = Arc::clone(&rows);
            scope.spawn(move || in_turns(&rows, collector))
        };
        let threads: Vec<_> = collectors.into_iter().map(each).collect();
        let collected = threads.into_iter().map(|thread| thread.join().map_err(|_| abnormal())?);
        let collected = collected.collect::<Result<_, ExamineError>>()?;
        let rows = Arc::into_inner(rows).ok_or_else(abnormal)?;
        Ok((rows.into_inner().unwrap_or_else(PoisonError::into_inner).0, collected))
    })
}

/// Takes some rows apart and makes sense of them, until there are none. While one thread makes sense of rows another takes the next ones apart,
/// and what a processor has read it need not fetch from the other one.
fn in_turns<R: io::Read, K: Known>(
    rows: &Mutex<(Reader<R>, &mut K)>,
    mut collector: Collector,
) -> Result<Collected, ExamineError> {
    let mut some = Rows::default();
    let mut has_more = true;
    while has_more {
        let mut turn = rows.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, known) = &mut *turn;
        has_more = reader.next_rows(*known, &mut some)?;
        drop(turn);
        some.iter().for_each(|row| collector.row(&row));
    }
    Ok(collector.done())
}

/// Why a file of which not one row can be used is rejected: there is nothing in it that an approval could release.
pub fn unusable(reading: &Reading) -> Option<Broken> {
    if reading.rows == 0 || reading.invalid_rows < reading.rows {
        return None;
    }
    let rows = if reading.rows == 1 {
        "its only row cannot".to_owned()
    } else {
        format!("none of its {} rows can", reading.rows)
    };
    let first = reading.problems.iter().find(|problem| problem.code.severity() == Severity::Error);
    let line = first.map(|problem| problem.line);
    let example = first.map(|problem| format!("; the first, line {}: {}", problem.line, problem.message));
    let message = format!("{rows} be used{}", example.unwrap_or_default());
    Some(Broken { code: BrokenCode::NoValidRow, line, message })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExamineError> + Send + 'static,
) -> Result<T, ExamineError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Without the error: it repeats the message of a panic, which may name people.
        Err(_) => Err(abnormal()),
    }
}

fn abnormal() -> ExamineError {
    ExamineError::Read(io::Error::other("reading ended abnormally; the log has the place"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn exports_of_all_sizes_have_the_hash_of_their_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "id,name\nE1,Quillfeather\n";
        std::fs::write(file.path(), text).unwrap();
        for on_the_way in [text.len() - 1, text.len()] {
            let mut surveyed = survey_now(file.path().to_owned(), &Format::default(), on_the_way as u64).unwrap();
            assert_eq!(surveyed.survey.bytes, text.len() as u64);
            for _ in 0..2 {
                assert_eq!(surveyed.sha256().await.unwrap(), export::sha256(text.as_bytes()).unwrap());
            }
        }
    }

    #[test]
    fn a_file_is_read_no_further_once_nobody_wants_it() {
        let unwanted = CancellationToken::new();
        let wanted = unwanted.clone().drop_guard();
        let mut input = UntilUnwanted { input: tempfile::tempfile().unwrap(), unwanted };
        assert!(input.read(&mut [0]).is_ok());
        drop(wanted);
        assert!(input.read(&mut [0]).is_err());
    }
}
