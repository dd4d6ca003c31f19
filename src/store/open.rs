//! Opening: one process at a time, each API its own state, nothing newer, nothing lost.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::FlockOperation;

use super::envelope::Kind;
use super::records::{self, MetaV1};
use super::sentinel::Sentinel;
use super::trees::{Draft, Shelf, Trees, is_locked};
use super::{Store, StoreError, compact, keys};

/// The layout of trees and keys that this program reads and writes.
///
/// 2: each group has a trace. A program that knows only 1 would confirm rosters without them, and people would not be found.
///
/// 3: rosters have digests. A program that knows only 2 would confirm rosters without them, and those of before would stand for them.
///
/// 4: batches and changes are packed with dictionaries, and changes keep what takes them back. A program that knows only 3 could not read
/// them. Those that it wrote are read as they are. Familiar rows are no longer in the database.
///
/// 5: a compaction puts history into an archive. A program that knows only 4 would take it for gone.
///
/// 6: rosters and payloads are packed in another way. A program that knows only 5 could not read them. Those that it wrote are read as they
/// are.
pub(super) const LAYOUT: u32 = 6;
/// The folder for states of other APIs than the one that the state directory was made for.
const OTHERS: &str = "apis";
/// As much of a host as a person needs to recognise it.
const LONGEST_HOST: usize = 100;
/// Digits of the hash in a folder's name: enough for the few APIs that one service ever works for.
const HASH_DIGITS: usize = 8;

impl Store {
    /// Opens the store in `dir`, which is made, private to the user, where it is missing. `base_url` is the API that
    /// the state belongs to. Another API than the one that `dir` was made for has a state of its own in a folder of `dir`: not a
    /// group, batch or member of the one is ever sent to the other, nothing is moved, and whoever goes back finds all as it was.
    ///
    /// # Errors
    /// When another process holds it, it is damaged, lost or newer than this program. Nothing is changed then.
    pub fn open(dir: &Path, base_url: &str) -> Result<Self, StoreError> {
        Self::open_within(dir, base_url, compact::LIMITS)
    }

    pub(super) fn open_within(dir: &Path, base_url: &str, limits: compact::Limits) -> Result<Self, StoreError> {
        make(dir)?;
        let lock = lock(dir)?;
        let base_url = base_url.trim_end_matches('/').to_ascii_lowercase();
        let (home, found, beside) = match open_home(dir, &base_url)? {
            Home::Own(found) => (dir.to_owned(), found, None),
            Home::Of(other) => {
                let home = dir.join(OTHERS).join(folder_of(&base_url));
                make(&home)?;
                match open_home(&home, &base_url)? {
                    Home::Own(found) => (home, found, Some(other)),
                    Home::Of(third) => {
                        let detail = format!("{} holds the state of {third}", home.display());
                        return Err(StoreError::corrupt(detail));
                    }
                }
            }
        };
        let (trees, meta) = *found;
        let store = Self::over(trees, home, (meta.store, meta.base_url), beside, lock);
        store.sweep_payloads()?;
        if meta.layout < LAYOUT {
            store.raise_layout(meta.layout)?;
        }
        // Not before: an archive is for programs that know of it.
        compact::when_grown(&store.inner.dir, &store.inner.trees, limits)?;
        let (run, batch) = store.last_ids()?;
        store.ids().go_on_after(run.as_ref(), batch.as_ref());
        store.ids().go_on_after(None, store.last_marker()?.as_ref());
        Ok(store)
    }

    /// Brings an older state to the layout of this program. Cut off, it begins again at the next start.
    fn raise_layout(&self, from: u32) -> Result<(), StoreError> {
        let begun = Instant::now();
        if from < 2 {
            self.build_traces()?;
        }
        if from < 3 {
            self.build_digests()?;
        }
        self.drop_familiar()?;
        let writing = self.inner.trees.write();
        let mut meta = read_meta(&self.inner.trees)?.ok_or_else(|| StoreError::corrupt("the store lost its name"))?;
        meta.layout = LAYOUT;
        let mut draft = Draft::default();
        writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
        if from < 5 {
            // It was found to be fine with its history in the database.
            writing.remove(&mut draft, Shelf::Meta, keys::FINE_AT)?;
        }
        writing.commit(&draft)?;
        tracing::info!(
            from,
            to = LAYOUT,
            seconds = begun.elapsed().as_secs(),
            "the state was brought to a newer layout"
        );
        Ok(())
    }

    /// Binds the store to the organization that the API names, the first time; checks it from then on.
    ///
    /// # Errors
    /// [`StoreError::OtherOrganization`] when the state belongs to another one.
    pub fn bind_organization(&self, organization: &str) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut meta = read_meta(&self.inner.trees)?.ok_or_else(|| StoreError::corrupt("the store lost its name"))?;
        match &meta.organization {
            Some(known) if known == organization => Ok(()),
            Some(known) => {
                Err(StoreError::OtherOrganization { found: organization.to_owned(), expected: known.clone() })
            }
            None => {
                meta.organization = Some(organization.to_owned());
                let mut draft = Draft::default();
                writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
                writing.commit(&draft)
            }
        }
    }
}

impl Store {
    pub(super) fn sentinel(&self, generation: u64) -> Sentinel {
        Sentinel::new(self.inner.name.clone(), generation, self.inner.base_url.clone())
    }
}

/// Whose state lies in a folder.
enum Home {
    /// That of the API in question, which is open now.
    Own(Box<(Trees, MetaV1)>),
    /// That of another API. Nothing of it was touched.
    Of(String),
}

/// Opens the state in a folder, if it belongs to this API; a folder without any gets a new one.
fn open_home(dir: &Path, base_url: &str) -> Result<Home, StoreError> {
    compact::resume(dir)?;
    let sentinel = Sentinel::read(dir)?;
    if let Some(other) = sentinel.as_ref().and_then(|sentinel| sentinel.base_url.as_ref())
        && other != base_url
    {
        return Ok(Home::Of(other.clone()));
    }
    let db = dir.join(compact::DB);
    // sled would make a new database where its file is missing.
    if sentinel.is_some() && !db.join("db").exists() {
        return Err(StoreError::Vanished { dir: dir.to_owned() });
    }
    make(&db)?;
    let trees = Trees::open(&db).map_err(|error| in_use(error, dir))?;
    let meta = settle_identity(dir, &trees, sentinel.as_ref(), base_url)?;
    Ok(if meta.base_url == base_url { Home::Own(Box::new((trees, meta))) } else { Home::Of(meta.base_url) })
}

/// Where the state of this API lies, or would lie, below a state directory. What is damaged there is not looked at.
pub(super) fn home_of(dir: &Path, base_url: &str) -> Result<PathBuf, StoreError> {
    let owner = match Sentinel::read(dir) {
        Ok(sentinel) => sentinel.and_then(|sentinel| sentinel.base_url),
        Err(StoreError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    let is_own = owner.is_none_or(|owner| owner == base_url);
    Ok(if is_own { dir.to_owned() } else { dir.join(OTHERS).join(folder_of(base_url)) })
}

/// What the folder of another API's state is called: its host for people, and a hash, since ports and paths differ too.
pub(super) fn folder_of(base_url: &str) -> String {
    let host = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host: String = host
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-'))
        .take(LONGEST_HOST)
        .collect();
    let hash: String = blake3::hash(base_url.as_bytes()).to_hex().chars().take(HASH_DIGITS).collect();
    format!("{}-{hash}", host.trim_start_matches('.'))
}

pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| StoreError::io("make", dir, &error))
}

/// A new file that only the user reads.
pub(super) fn create_private(path: &Path) -> Result<File, StoreError> {
    let created = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    created.map_err(|error| StoreError::io("make", path, &error))
}

/// The lock is a file of its own, so that it also covers what happens around the database.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| StoreError::io("open", &path, &error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(error) => Err(StoreError::io("lock", &path, &error.into())),
    }
}

fn in_use(error: StoreError, dir: &Path) -> StoreError {
    if is_locked(&error) { StoreError::InUse { dir: dir.to_owned() } } else { error }
}

/// Compares what database and sentinel say; names a new store. The state may turn out to be another API's.
fn settle_identity(
    dir: &Path,
    trees: &Trees,
    sentinel: Option<&Sentinel>,
    base_url: &str,
) -> Result<MetaV1, StoreError> {
    let Some(meta) = read_meta(trees)? else {
        if sentinel.is_some() {
            return Err(StoreError::Vanished { dir: dir.to_owned() });
        }
        if !trees.keys(Shelf::Rosters, b"", 1)?.is_empty() || !trees.keys(Shelf::Runs, b"", 1)?.is_empty() {
            return Err(StoreError::corrupt("the database has records but no name"));
        }
        return name_store(dir, trees, base_url.to_owned());
    };
    if LAYOUT < meta.layout {
        return Err(StoreError::Newer { found: meta.layout, known: LAYOUT });
    }
    let generation = generation(trees)?;
    match sentinel {
        Some(sentinel) if sentinel.store != meta.store => {
            return Err(StoreError::corrupt("the database belongs to another state directory"));
        }
        Some(sentinel) if generation < sentinel.generation => {
            return Err(StoreError::corrupt(format!(
                "the database is older than it was ({generation} of {} recorded batches)",
                sentinel.generation
            )));
        }
        Some(sentinel) if sentinel.base_url.as_ref() == Some(&meta.base_url) => {}
        // An earlier rosterd wrote it; or the first start ended between the two; or somebody deleted the file.
        Some(_) | None => Sentinel::new(meta.store.clone(), generation, meta.base_url.clone()).write(dir)?,
    }
    Ok(meta)
}

/// The database first: a sentinel without one is refused for ever.
fn name_store(dir: &Path, trees: &Trees, base_url: String) -> Result<MetaV1, StoreError> {
    let name = format!("{:032x}", fastrand::u128(..));
    let meta = MetaV1 { layout: LAYOUT, store: name.clone(), base_url: base_url.clone(), organization: None };
    let writing = trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
    writing.put(&mut draft, Shelf::Meta, keys::GENERATION, &records::count(keys::GENERATION, 0))?;
    writing.commit(&draft)?;
    Sentinel::new(name, 0, base_url).write(dir)?;
    Ok(meta)
}

pub(super) fn read_meta(trees: &Trees) -> Result<Option<MetaV1>, StoreError> {
    trees.read(Shelf::Meta, keys::META)?.map(|sealed| records::unjson(Kind::Meta, keys::META, &sealed)).transpose()
}

/// How many settlements are on record.
pub(super) fn generation(trees: &Trees) -> Result<u64, StoreError> {
    match trees.read(Shelf::Meta, keys::GENERATION)? {
        Some(sealed) => records::uncount(keys::GENERATION, &sealed),
        None => Ok(0),
    }
}
