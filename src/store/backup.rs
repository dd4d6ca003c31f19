//! Backups: everything on record in one file, consistent, checked while it is written and again while it is read.
//!
//! A first line for people and `file`, a line of JSON that says of what and of when, then every record as it lies in the trees,
//! then how many there were and a hash of all before. Records are whole values, not sled's pages and not the pieces of long
//! values: a backup outlives the layout of the database.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::open::{LAYOUT, generation, read_meta};
use super::sentinel::sync_dir;
use super::trees::{SHELVES, Shelf};
use super::verify::decode;
use super::{Store, StoreError, keys};
use crate::report::BackupReport;

/// What a backup begins with.
const MAGIC: &[u8] = b"rosterd backup 1\n";
/// What a backup is called until it is whole.
pub const SCRATCH: &str = ".rosterd-backup-";
/// The version of the header's JSON.
const SCHEMA: u32 = 1;
/// Stands where the number of a shelf would stand: no more records.
const END: u8 = u8::MAX;
/// Longer than any header, shorter than what a damaged one could ask for.
const LONGEST_HEADER: u64 = 64 * 1024;
/// Longer keys are no keys of ours.
const LONGEST_KEY: u32 = 64 * 1024;
/// A value is a group's roster at most, or the plan of a first load.
const LONGEST_VALUE: u32 = 1024 * 1024 * 1024;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    schema: u32,
    /// The database's random name.
    pub(super) store: String,
    pub(super) base_url: String,
    pub(super) layout: u32,
    /// Settlements on record.
    pub(super) generation: u64,
    pub(super) created_at: DateTime<Utc>,
}

/// Counts by what matters to a person.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    groups: u64,
    runs: u64,
    batches: u64,
}

impl Counts {
    fn add(&mut self, shelf: Shelf) {
        self.records += 1;
        match shelf {
            Shelf::Rosters => self.groups += 1,
            Shelf::Runs => self.runs += 1,
            Shelf::Batches => self.batches += 1,
            Shelf::Meta
            | Shelf::Groups
            | Shelf::Sources
            | Shelf::Accepted
            | Shelf::Plans
            | Shelf::RunBatches
            | Shelf::GroupBatches
            | Shelf::Payloads
            | Shelf::Outbox
            | Shelf::Waiting
            | Shelf::Changes
            | Shelf::Pieces
            | Shelf::Abroad
            | Shelf::Traces
            | Shelf::Familiar
            | Shelf::Digests => {}
        }
    }

    fn report(self, header: &Header, bytes: u64) -> BackupReport {
        BackupReport {
            created_at: header.created_at,
            base_url: header.base_url.clone(),
            bytes,
            records: self.records,
            groups: self.groups,
            runs: self.runs,
            batches: self.batches,
        }
    }
}

impl Store {
    /// Writes a backup to `file`. Nobody else writes to the state meanwhile, and everybody reads. A damaged record ends it: a backup
    /// that holds damage would push the good ones out. Returns when the file is on disk.
    ///
    /// # Errors
    /// When the state cannot be read or is damaged, and when the file cannot be written.
    pub fn back_up(&self, file: &mut File, now: DateTime<Utc>) -> Result<BackupReport, StoreError> {
        let trees = &self.inner.trees;
        let _nobody = trees.write();
        let meta = read_meta(trees)?.ok_or_else(|| StoreError::corrupt("the store lost its name"))?;
        let header = Header {
            schema: SCHEMA,
            store: meta.store,
            base_url: meta.base_url,
            layout: meta.layout,
            generation: generation(trees)?,
            created_at: now,
        };
        let mut out = Hashing::new(BufWriter::new(file));
        let mut counts = Counts::default();
        let line = serde_json::to_vec(&header).map_err(|error| failed(&error.into()))?;
        out.write_all(MAGIC)
            .and_then(|()| out.write_all(&line))
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|e| failed(&e))?;
        for (shelf, _) in SHELVES {
            if shelf == Shelf::Pieces {
                continue;
            }
            trees.each(shelf, |key, value| {
                if shelf == Shelf::Meta && key == keys::ARCHIVE {
                    // Restored, everything lies in the trees.
                    return Ok(());
                }
                decode(shelf, key, value)?;
                counts.add(shelf);
                write_record(&mut out, shelf, key, value).map_err(|error| failed(&error))
            })?;
        }
        out.write_all(&[END])
            .and_then(|()| out.write_all(&counts.records.to_be_bytes()))
            .map_err(|error| failed(&error))?;
        let bytes = out.finish().map_err(|error| failed(&error))?;
        Ok(counts.report(&header, bytes))
    }

    /// Writes a backup to a file of its own, whole or not at all; only another backup is replaced by it.
    ///
    /// # Errors
    /// As [`Store::back_up`]; also when `path` holds something else.
    pub fn back_up_to(&self, path: &Path, now: DateTime<Utc>) -> Result<BackupReport, StoreError> {
        let mut file = begin(path)?;
        let report = self.back_up(file.as_file_mut(), now)?;
        finish(file, path)?;
        Ok(report)
    }
}

/// Begins a file beside `path` that is to become the backup there.
///
/// # Errors
/// [`StoreError::NoBackup`] when `path` holds something that is no backup; when nothing can be written there.
pub fn begin(path: &Path) -> Result<NamedTempFile, StoreError> {
    refuse_others(path)?;
    let begun = tempfile::Builder::new().prefix(SCRATCH).tempfile_in(folder_of(path));
    begun.map_err(|error| failed_at(path, &error))
}

/// Puts a finished backup where it belongs, when it is on disk.
///
/// # Errors
/// When it cannot be written.
pub fn finish(file: NamedTempFile, path: &Path) -> Result<(), StoreError> {
    let placed = file.as_file().sync_all().and_then(|()| file.persist(path).map(drop).map_err(|error| error.error));
    placed.and_then(|()| sync_dir(folder_of(path))).map_err(|error| failed_at(path, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A slip of the keyboard must not cost an export or a config.
fn refuse_others(path: &Path) -> Result<(), StoreError> {
    let mut start = Vec::new();
    match File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start)) {
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(StoreError::NoBackup {
            path: path.to_owned(),
            detail: "it is something else, and was left alone".to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed_at(path, &error)),
    }
}

/// Reads a backup from its first to its last byte. `each` is given every record, which decodes; what it was given counts only
/// when this returns without an error.
///
/// # Errors
/// [`StoreError::NoBackup`] when the file is none, cut short or damaged; [`StoreError::Newer`]; those of `each`.
pub(super) fn read(
    path: &Path,
    mut begin: impl FnMut(&Header) -> Result<(), StoreError>,
    mut each: impl FnMut(Shelf, &[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(Header, BackupReport), StoreError> {
    let none = |detail: &str| StoreError::NoBackup { path: path.to_owned(), detail: detail.to_owned() };
    let broken = |error: io::Error| {
        let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_cut { none("it is cut short") } else { StoreError::io("read", path, &error) }
    };
    let file = File::open(path).map_err(|error| StoreError::io("read", path, &error))?;
    let mut from = Checking::new(BufReader::with_capacity(256 * 1024, file));
    let mut start = vec![0; MAGIC.len()];
    from.read_exact(&mut start).map_err(|_| none("it is something else"))?;
    if start != MAGIC {
        return Err(none("it is something else, or was written by a newer rosterd"));
    }
    let line = from.line(LONGEST_HEADER).map_err(broken)?;
    let header: Header = serde_json::from_slice(&line).map_err(|_| none("its header is damaged"))?;
    if SCHEMA < header.schema || LAYOUT < header.layout {
        return Err(StoreError::Newer { found: header.layout.max(header.schema), known: LAYOUT });
    }
    begin(&header)?;
    let mut counts = Counts::default();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        let number = from.byte().map_err(broken)?;
        if number == END {
            break;
        }
        let shelf = SHELVES.get(usize::from(number)).map(|(shelf, _)| *shelf).filter(|shelf| *shelf != Shelf::Pieces);
        let shelf = shelf.ok_or_else(|| none("it is damaged"))?;
        for (bytes, longest) in [(&mut key, LONGEST_KEY), (&mut value, LONGEST_VALUE)] {
            let length = u32::from_be_bytes(from.bytes().map_err(broken)?);
            if longest < length {
                return Err(none("it is damaged"));
            }
            from.fill(bytes, length).map_err(broken)?;
        }
        decode(shelf, &key, &value)?;
        counts.add(shelf);
        each(shelf, &key, &value)?;
    }
    let records = u64::from_be_bytes(from.bytes().map_err(broken)?);
    if records != counts.records {
        return Err(none("it is damaged: records are missing"));
    }
    let bytes = from.finish().map_err(broken)?.ok_or_else(|| none("it is damaged: it does not match its checksum"))?;
    let report = counts.report(&header, bytes);
    Ok((header, report))
}

/// Checks a backup whole, and says what it holds.
///
/// # Errors
/// As [`Store::back_up`] and when it is damaged.
pub fn check(path: &Path) -> Result<BackupReport, StoreError> {
    read(path, |_| Ok(()), |_, _, _| Ok(())).map(|(_, report)| report)
}

fn write_record(out: &mut impl Write, shelf: Shelf, key: &[u8], value: &[u8]) -> io::Result<()> {
    out.write_all(&[shelf as u8])?;
    for bytes in [key, value] {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a record is too long"))?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(bytes)?;
    }
    Ok(())
}

fn failed(error: &io::Error) -> StoreError {
    if super::error::is_full(error) {
        return StoreError::BackupFailed { detail: "the disk is full".to_owned() };
    }
    StoreError::BackupFailed { detail: error.to_string() }
}

fn failed_at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::BackupFailed { detail: format!("{}: {error}", path.display()) }
}

/// Hashes what goes through it.
struct Hashing<W> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// Writes the hash of everything; answers the bytes written.
    fn finish(mut self) -> io::Result<u64> {
        let hash = self.hasher.finalize();
        self.out.write_all(hash.as_bytes())?;
        self.out.flush()?;
        Ok(self.bytes + hash.as_bytes().len() as u64)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(bytes) = bytes.get(..written) {
            self.hasher.update(bytes);
        }
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Hashes what is read through it.
struct Checking<R> {
    from: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: BufRead> Checking<R> {
    fn new(from: R) -> Self {
        Self { from, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.bytes().map(|[byte]| byte)
    }

    /// Reads so many bytes; memory grows with what is there, not with what a damaged length says.
    fn fill(&mut self, into: &mut Vec<u8>, length: u32) -> io::Result<()> {
        into.clear();
        let read = self.from.by_ref().take(u64::from(length)).read_to_end(into)?;
        if read as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(into);
        self.bytes += u64::from(length);
        Ok(())
    }

    fn line(&mut self, longest: u64) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.from.by_ref().take(longest).read_until(b'\n', &mut line)?;
        self.hasher.update(&line);
        self.bytes += line.len() as u64;
        Ok(line)
    }

    /// Compares the hash at the end with that of everything before; answers the bytes read, none if they differ or more follows.
    fn finish(mut self) -> io::Result<Option<u64>> {
        let wanted = self.hasher.finalize();
        let mut found = [0; blake3::OUT_LEN];
        self.from.read_exact(&mut found)?;
        let is_over = self.from.fill_buf()?.is_empty();
        Ok((is_over && wanted == found).then_some(self.bytes + blake3::OUT_LEN as u64))
    }
}
