//! Opening: one process at a time, the right API, nothing newer, nothing lost.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::envelope::Kind;
use super::records::{self, MetaV1};
use super::sentinel::Sentinel;
use super::trees::{Draft, Shelf, Trees};
use super::{Ids, Inner, Store, StoreError, compact, filter, keys};

/// The layout of trees and keys that this program reads and writes.
///
/// 2: each group has a trace. A program that knows only 1 would confirm rosters without them, and people would not be found.
const LAYOUT: u32 = 2;
/// sled's threads let go of a closed database within tenths of a second.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the store in `dir`, which is made, private to the user, where it is missing. `base_url` is the API that
    /// the state belongs to.
    ///
    /// # Errors
    /// When another process holds it, it is damaged, lost, newer than this program or belongs to another API. Nothing
    /// is changed then.
    pub fn open(dir: &Path, base_url: &str) -> Result<Self, StoreError> {
        Self::open_within(dir, base_url, compact::LIMITS)
    }

    pub(super) fn open_within(dir: &Path, base_url: &str, limits: compact::Limits) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| StoreError::io("make", dir, &error))?;
        let lock = lock(dir)?;
        compact::resume(dir)?;
        let sentinel = Sentinel::read(dir)?;
        let db = dir.join(compact::DB);
        // sled would make a new database where its file is missing.
        if sentinel.is_some() && !db.join("db").exists() {
            return Err(StoreError::Vanished { dir: dir.to_owned() });
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&db)
            .map_err(|error| StoreError::io("make", &db, &error))?;
        let trees = open_trees(&db, dir)?;
        let meta = settle_identity(dir, &trees, sentinel.as_ref(), base_url)?;
        let trees = compact::when_grown(dir, trees, limits)?;
        let store = Self {
            inner: Arc::new(Inner {
                trees,
                dir: dir.to_owned(),
                name: meta.store.clone(),
                durable: filter::active(),
                ids: Ids::after(None, None),
                _lock: lock,
            }),
        };
        store.sweep_payloads()?;
        if meta.layout < LAYOUT {
            store.raise_layout(meta.layout)?;
        }
        let (run, batch) = store.last_ids()?;
        store.ids().go_on_after(run.as_ref(), batch.as_ref());
        store.ids().go_on_after(None, store.last_marker()?.as_ref());
        Ok(store)
    }

    /// Brings an older state to the layout of this program. Cut off, it begins again at the next start.
    fn raise_layout(&self, from: u32) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.build_traces()?;
        let writing = self.inner.trees.write();
        let mut meta = read_meta(&self.inner.trees)?.ok_or_else(|| StoreError::corrupt("the store lost its name"))?;
        meta.layout = LAYOUT;
        let mut draft = Draft::default();
        writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
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
    /// [`StoreError::OtherApi`] when the state belongs to another organization.
    pub fn bind_organization(&self, organization: &str) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut meta = read_meta(&self.inner.trees)?.ok_or_else(|| StoreError::corrupt("the store lost its name"))?;
        match &meta.organization {
            Some(known) if known == organization => Ok(()),
            Some(known) => Err(StoreError::OtherApi {
                found: format!("organization {organization}"),
                expected: format!("organization {known}"),
            }),
            None => {
                meta.organization = Some(organization.to_owned());
                let mut draft = Draft::default();
                writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
                writing.commit(&draft)
            }
        }
    }
}

/// The lock is a file of its own, so that it also covers what happens around the database.
fn lock(dir: &Path) -> Result<File, StoreError> {
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

/// Our own lock says that no other process has the database. If sled's says otherwise, a database of this process that was just
/// closed is still letting go: a reload opens the next one at once.
fn open_trees(db: &Path, dir: &Path) -> Result<Trees, StoreError> {
    let begun = Instant::now();
    loop {
        match Trees::open(db).map_err(|error| in_use(error, dir)) {
            Err(StoreError::InUse { .. }) if begun.elapsed() < LET_GO_WITHIN => {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// sled has a lock too, and tells of it in words only.
fn in_use(error: StoreError, dir: &Path) -> StoreError {
    if matches!(&error, StoreError::Io { detail } if detail.contains("could not acquire lock")) {
        return StoreError::InUse { dir: dir.to_owned() };
    }
    error
}

/// Compares what database, sentinel and config say; names a new store.
fn settle_identity(
    dir: &Path,
    trees: &Trees,
    sentinel: Option<&Sentinel>,
    base_url: &str,
) -> Result<MetaV1, StoreError> {
    let base_url = base_url.trim_end_matches('/').to_ascii_lowercase();
    let Some(meta) = read_meta(trees)? else {
        if sentinel.is_some() {
            return Err(StoreError::Vanished { dir: dir.to_owned() });
        }
        if !trees.keys(Shelf::Rosters, b"", 1)?.is_empty() || !trees.keys(Shelf::Runs, b"", 1)?.is_empty() {
            return Err(StoreError::corrupt("the database has records but no name"));
        }
        return name_store(dir, trees, base_url);
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
        Some(_) => {}
        // The first start ended between the two, or somebody deleted the file.
        None => Sentinel::new(meta.store.clone(), generation).write(dir)?,
    }
    if meta.base_url != base_url {
        return Err(StoreError::OtherApi { found: base_url, expected: meta.base_url });
    }
    Ok(meta)
}

/// The database first: a sentinel without one is refused for ever.
fn name_store(dir: &Path, trees: &Trees, base_url: String) -> Result<MetaV1, StoreError> {
    let name = format!("{:032x}", fastrand::u128(..));
    let meta = MetaV1 { layout: LAYOUT, store: name.clone(), base_url, organization: None };
    let writing = trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Meta, keys::META, &records::json(Kind::Meta, keys::META, &meta)?)?;
    writing.put(&mut draft, Shelf::Meta, keys::GENERATION, &records::count(keys::GENERATION, 0))?;
    writing.commit(&draft)?;
    Sentinel::new(name, 0).write(dir)?;
    Ok(meta)
}

fn read_meta(trees: &Trees) -> Result<Option<MetaV1>, StoreError> {
    trees.read(Shelf::Meta, keys::META)?.map(|sealed| records::unjson(Kind::Meta, keys::META, &sealed)).transpose()
}

/// How many settlements are on record.
pub(super) fn generation(trees: &Trees) -> Result<u64, StoreError> {
    match trees.read(Shelf::Meta, keys::GENERATION)? {
        Some(sealed) => records::uncount(keys::GENERATION, &sealed),
        None => Ok(0),
    }
}
