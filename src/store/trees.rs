//! sled itself: the trees, long values in pieces, and one transaction for everything that belongs together.
//!
//! Invariant: nothing that sled stores is larger than its threshold for "blobs". sled 0.34 writes larger items to files
//! of their own that it never syncs, and skips in silence when they are gone after a power cut. A blob can also be a
//! whole leaf, so pieces are sized such that a full leaf stays below the threshold.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sled::transaction::{ConflictableTransactionError, TransactionError, TransactionResult, Transactional};
use sled::{IVec, Tree};

use super::together::Together;
use super::{StoreError, keys};

/// Memory for pages: enough for the inner nodes and the hot rosters. sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// sled's unit of space on disk; a database keeps the one that it was made with, until it is compacted. A quarter of it, 512 KiB, is the
/// threshold above which an item becomes a blob. sled holds several units in memory while it writes, and fills one with zeros at each
/// start. With 8 MiB and pieces of 32 KiB a command on a small state takes twice as long and the file grows a fifth more; with 512 KiB and
/// pieces of 3 KiB a roster is read in a third of the speed (docs/performance.md).
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// That of databases that were made before this was measured.
const FORMER_SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// A leaf splits above 16 entries and merges with a sibling below 4. Even 32 pieces of this size with the longest keys
/// are 300 KB, far enough below the threshold.
const PIECE_BYTES: usize = 8 * 1024;

/// As many pieces have their memory taken beforehand: 128 MB.
const MOST_PIECES: u32 = 16 * 1024;

/// The file in sled's folder that it writes to as long as it is open.
const LOG: &str = "db";

/// sled's threads let go of a closed database within tenths of a second.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// Length of the number of pieces in front of a value's first piece.
const HEAD_BYTES: usize = 4;

/// The trees. The order is the order in [`Database::shelves`]; the number is part of the keys of pieces on disk, so a new
/// tree goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Shelf {
    /// What the store is, and counters.
    Meta,
    /// group: what is known of it beside its roster
    Groups,
    /// source: its state
    Sources,
    /// source and sha256: the run that accepted this content
    Accepted,
    /// group: its confirmed roster
    Rosters,
    /// run: its record
    Runs,
    /// run: its plan
    Plans,
    /// run and batch
    RunBatches,
    /// group and batch: the run
    GroupBatches,
    /// batch: its record
    Batches,
    /// batch: what it submits, while it is open or waits
    Payloads,
    /// group: its one open batch
    Outbox,
    /// group: the batch that waits behind the open one
    Waiting,
    /// batch: what it changed
    Changes,
    /// shelf, key and number: the later pieces of long values
    Pieces,
    /// group: whom rosters without results may have put on it
    Abroad,
    /// group: four bytes for everybody whom its batches ever spoke of
    Traces,
    /// source: what the rows of its last accepted export said, in earlier versions; see `familiar`
    Familiar,
    /// group: what stands for its confirmed roster, where one source owns all of it
    Digests,
}

pub(super) const SHELVES: [(Shelf, &str); 19] = [
    (Shelf::Meta, "meta"),
    (Shelf::Groups, "groups"),
    (Shelf::Sources, "sources"),
    (Shelf::Accepted, "accepted"),
    (Shelf::Rosters, "rosters"),
    (Shelf::Runs, "runs"),
    (Shelf::Plans, "plans"),
    (Shelf::RunBatches, "run_batches"),
    (Shelf::GroupBatches, "group_batches"),
    (Shelf::Batches, "batches"),
    (Shelf::Payloads, "payloads"),
    (Shelf::Outbox, "outbox"),
    (Shelf::Waiting, "waiting"),
    (Shelf::Changes, "changes"),
    (Shelf::Pieces, "pieces"),
    (Shelf::Abroad, "abroad"),
    (Shelf::Traces, "traces"),
    (Shelf::Familiar, "familiar"),
    (Shelf::Digests, "digests"),
];

/// The open database.
pub(super) struct Trees {
    /// Held for writing while a transaction is applied, so that a reader of pieces never sees half of one, and while a compact copy
    /// takes the database's place. None when that went wrong: nothing can be read then until the state is opened again.
    open: RwLock<Option<Database>>,
    /// Held by a writer from its first read until its transaction is applied: two writers at once make sled's file grow without end.
    /// How many commits were applied so far.
    writer: Mutex<u64>,
    commits: Together,
    /// Commits until the disk is said to be gone, for tests that stop after each of them.
    commits_left: AtomicU64,
    /// Whether a commit was refused for that.
    has_refused: AtomicBool,
}

/// What sled has open.
struct Database {
    db: sled::Db,
    shelves: Vec<Tree>,
    /// The file that sled writes to, and what it is to the kernel: another one there, or none, is another state.
    file: (PathBuf, Option<(u64, u64)>),
}

impl Database {
    /// Our own lock says that no other process has the database. If sled's says otherwise, a database of this process that was just
    /// closed is still letting go: a reload, and the exchange for a compact copy, open the next one at once.
    fn open_when_free(path: &Path) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let mut segment_bytes = SEGMENT_BYTES;
        loop {
            match guarded(|| Self::open(path, segment_bytes)) {
                Err(error) if is_locked(&error) && begun.elapsed() < LET_GO_WITHIN => {
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                Err(error) if has_other_segments(&error) && segment_bytes == SEGMENT_BYTES => {
                    segment_bytes = FORMER_SEGMENT_BYTES;
                }
                opened => return opened,
            }
        }
    }

    fn open(path: &Path, segment_bytes: usize) -> Result<Self, StoreError> {
        let config = sled::Config::default()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(segment_bytes)
            .flush_every_ms(Some(500));
        let db = config.open()?;
        let shelves = SHELVES.iter().map(|(_, name)| db.open_tree(name)).collect::<Result<Vec<_>, _>>()?;
        let file = path.join(LOG);
        let identity = identity(&file);
        Ok(Self { db, shelves, file: (file, identity) })
    }

    fn tree(&self, shelf: Shelf) -> Result<&Tree, StoreError> {
        self.shelves.get(shelf as usize).ok_or_else(|| StoreError::corrupt("a tree of the database is missing"))
    }

    /// A value whose head was read already.
    fn whole(&self, shelf: Shelf, key: &[u8], head: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (pieces, first) = split_head(head)?;
        // Not more than a plausible number of pieces needs: who knows what is on disk. Most records are a small first piece.
        let later = pieces.saturating_sub(1).min(MOST_PIECES) as usize;
        let mut value = Vec::with_capacity(first.len() + later * PIECE_BYTES);
        value.extend_from_slice(first);
        for number in 1..pieces {
            let piece = self.tree(Shelf::Pieces)?.get(keys::piece(shelf as u8, key, number))?;
            let piece = piece.ok_or_else(|| StoreError::corrupt("a piece of a record is missing"))?;
            value.extend_from_slice(&piece);
        }
        Ok(value)
    }
}

impl fmt::Debug for Trees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trees")
    }
}

/// What one transaction writes. Built beforehand, since sled may run a transaction's closure again.
#[derive(Default)]
pub(super) struct Draft {
    ops: Vec<(Shelf, IVec, Option<IVec>)>,
}

/// Proof that nobody else writes.
pub(super) struct Writing<'a> {
    trees: &'a Trees,
    commits: MutexGuard<'a, u64>,
}

impl Trees {
    /// Opens or makes the database at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            open: RwLock::new(Some(Database::open_when_free(path)?)),
            writer: Mutex::new(0),
            commits: Together::default(),
            commits_left: AtomicU64::new(u64::MAX),
            has_refused: AtomicBool::new(false),
        })
    }

    /// Reads while nothing is applied.
    fn look<T>(&self, look: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_ref().ok_or_else(closed)?;
        guarded(|| look(database))
    }

    /// Reads one value.
    pub(super) fn read(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.look(|database| {
            let head = database.tree(shelf)?.get(key)?;
            head.map(|head| database.whole(shelf, key, &head)).transpose()
        })
    }

    /// Calls `each` with every key and value of a tree, in order.
    pub(super) fn each(
        &self,
        shelf: Shelf,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.look(|database| {
            for pair in database.tree(shelf)? {
                let (key, head) = pair?;
                match split_head(&head)? {
                    (0 | 1, value) => each(&key, value)?,
                    _ => each(&key, &database.whole(shelf, &key, &head)?)?,
                }
            }
            Ok(())
        })
    }

    /// Whether there is a value.
    pub(super) fn holds(&self, shelf: Shelf, key: &[u8]) -> Result<bool, StoreError> {
        self.look(|database| Ok(database.tree(shelf)?.contains_key(key)?))
    }

    /// The keys that begin with `prefix`, in order, at most `limit`.
    pub(super) fn keys(&self, shelf: Shelf, prefix: &[u8], limit: usize) -> Result<Vec<IVec>, StoreError> {
        self.look(|database| {
            let keys = database.tree(shelf)?.scan_prefix(prefix).keys().take(limit);
            Ok(keys.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// The last key that begins with `prefix`.
    pub(super) fn last_key(&self, shelf: Shelf, prefix: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.look(|database| Ok(database.tree(shelf)?.scan_prefix(prefix).keys().next_back().transpose()?))
    }

    /// The keys that begin with `prefix`, the last one first, each looked up while others write. An error is the last.
    pub(super) fn keys_back(&self, shelf: Shelf, prefix: Vec<u8>) -> impl Iterator<Item = Result<IVec, StoreError>> {
        let last = self.last_key(shelf, &prefix).transpose();
        std::iter::successors(last, move |last| {
            let bound: &[u8] = last.as_ref().ok()?;
            let before =
                self.look(|database| Ok(database.tree(shelf)?.range(..bound).keys().next_back().transpose()?));
            before.map(|key| key.filter(|key| key.starts_with(&prefix))).transpose()
        })
    }

    /// Pieces of long values whose value is gone, or has fewer.
    pub(super) fn orphans(&self) -> Result<u64, StoreError> {
        let mut orphans = 0;
        for key in self.keys(Shelf::Pieces, b"", usize::MAX)? {
            // Its value may have been written again since the key was read.
            let is_orphan = self.look(|database| {
                let Some((shelf, whole, number)) = keys::of_piece(&key) else { return Ok(true) };
                let tree = database.shelves.get(usize::from(shelf));
                let head = tree.map(|tree| tree.get(whole)).transpose()?.flatten();
                let pieces = head.map(|head| split_head(&head).map(|(pieces, _)| pieces)).transpose()?;
                Ok(pieces.is_none_or(|pieces| pieces <= number) && database.tree(Shelf::Pieces)?.contains_key(&key)?)
            })?;
            orphans += u64::from(is_orphan);
        }
        Ok(orphans)
    }

    /// Waits until nobody else writes.
    pub(super) fn write(&self) -> Writing<'_> {
        Writing { trees: self, commits: self.writer.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Of each tree its name, its entries, and the bytes of its keys and values, by reading them all.
    pub(super) fn sizes(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
        self.look(|database| {
            let mut sizes = Vec::new();
            for (shelf, name) in SHELVES {
                let (mut entries, mut bytes) = (0, 0);
                for pair in database.tree(shelf)? {
                    let (key, value) = pair?;
                    entries += 1;
                    bytes += (key.len() + value.len()) as u64;
                }
                sizes.push((name, entries, bytes));
            }
            Ok(sizes)
        })
    }

    /// Lets so many more commits through.
    pub(super) fn stop_after(&self, commits: u64) {
        self.commits_left.store(commits, Ordering::Relaxed);
    }

    /// How many commits are let through yet, and whether one was refused.
    pub(super) fn stopped(&self) -> (u64, bool) {
        (self.commits_left.load(Ordering::Relaxed), self.has_refused.load(Ordering::Relaxed))
    }

    /// Bytes of the database on disk.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        self.look(|database| Ok(database.db.size_on_disk()?))
    }
}

impl Writing<'_> {
    /// Applies a draft, lets others write, and returns when it is on disk. sled's log is on disk up to some point, never with a gap: a
    /// crash that takes a commit takes all that were applied after it.
    pub(super) fn commit(mut self, draft: &Draft) -> Result<(), StoreError> {
        let trees = self.trees;
        if trees.commits_left.load(Ordering::Relaxed) == 0 {
            trees.has_refused.store(true, Ordering::Relaxed);
            return Err(StoreError::Io { detail: "a test stopped the store".to_owned() });
        }
        trees.commits_left.fetch_sub(1, Ordering::Relaxed);
        trees.look(|Database { file: (file, opened), .. }| {
            let dir = || file.ancestors().nth(2).unwrap_or(file).to_owned();
            if identity(file) == *opened { Ok(()) } else { Err(StoreError::Gone { dir: dir() }) }
        })?;
        self.stage(draft)?;
        *self.commits += 1;
        let mine = *self.commits;
        trees.commits.reach(mine);
        drop(self);
        trees.commits.settle(mine, |_| trees.look(|database| database.db.flush().map(|_| ()).map_err(StoreError::from)))
    }

    /// Applies a draft whole or not at all, without waiting for the disk. What is staged is on disk no later than the
    /// next commit.
    pub(super) fn stage(&self, draft: &Draft) -> Result<(), StoreError> {
        let open = self.trees.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_ref().ok_or_else(closed)?;
        guarded(|| {
            let done: TransactionResult<(), StoreError> = database.shelves.as_slice().transaction(|views| {
                for (shelf, key, value) in &draft.ops {
                    let Some(view) = views.get(*shelf as usize) else {
                        let missing = StoreError::corrupt("a tree of the database is missing");
                        return Err(ConflictableTransactionError::Abort(missing));
                    };
                    match value {
                        Some(value) => view.insert(key, value)?,
                        None => view.remove(key)?,
                    };
                }
                Ok(())
            });
            done.map_err(|error| match error {
                TransactionError::Abort(error) => error,
                TransactionError::Storage(error) => error.into(),
            })
        })
    }

    /// Copies everything to a new database at `path` and compares the two. Readers go on meanwhile.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.trees.look(|database| {
            let copy = Database::open(path, SEGMENT_BYTES)?;
            copy.db.import(database.db.export());
            copy.db.flush()?;
            if copy.db.checksum()? == database.db.checksum()? {
                Ok(())
            } else {
                Err(StoreError::Io { detail: "the compacted copy of the database differs from it".to_owned() })
            }
        })
    }

    /// Closes the database, lets `exchange` put another one in its place, and opens what is there then.
    pub(super) fn reopen(
        &self,
        path: &Path,
        exchange: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut open = self.trees.open.write().unwrap_or_else(PoisonError::into_inner);
        drop(open.take());
        let exchanged = exchange();
        *open = Some(Database::open_when_free(path)?);
        exchanged
    }

    /// Drafts a value. A key may be drafted once only: the old value's pieces are counted here.
    pub(super) fn put(&self, draft: &mut Draft, shelf: Shelf, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (first, rest) = value.split_at_checked(PIECE_BYTES).unwrap_or((value, &[]));
        let mut pieces: u32 = 1;
        for piece in rest.chunks(PIECE_BYTES) {
            draft.ops.push((Shelf::Pieces, keys::piece(shelf as u8, key, pieces).into(), Some(piece.into())));
            pieces += 1;
        }
        for number in pieces..self.pieces(shelf, key)? {
            draft.ops.push((Shelf::Pieces, keys::piece(shelf as u8, key, number).into(), None));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES + first.len());
        head.extend_from_slice(&pieces.to_be_bytes());
        head.extend_from_slice(first);
        draft.ops.push((shelf, key.into(), Some(head.into())));
        Ok(())
    }

    /// Drafts a removal; nothing happens where there is nothing.
    pub(super) fn remove(&self, draft: &mut Draft, shelf: Shelf, key: &[u8]) -> Result<(), StoreError> {
        for number in 1..self.pieces(shelf, key)? {
            draft.ops.push((Shelf::Pieces, keys::piece(shelf as u8, key, number).into(), None));
        }
        draft.ops.push((shelf, key.into(), None));
        Ok(())
    }

    fn pieces(&self, shelf: Shelf, key: &[u8]) -> Result<u32, StoreError> {
        self.trees.look(|database| match database.tree(shelf)?.get(key)? {
            Some(head) => Ok(split_head(&head)?.0),
            None => Ok(0),
        })
    }
}

/// sled has a lock too, and tells of it in words only.
pub(super) fn is_locked(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { detail } if detail.contains("could not acquire lock"))
}

/// The same of a database with segments of another size.
fn has_other_segments(error: &StoreError) -> bool {
    error.to_string().contains("cannot change the io buffer size")
}

fn closed() -> StoreError {
    StoreError::Io { detail: "the database could not be opened again after it was compacted".to_owned() }
}

/// Device and number of a file; none where there is none.
fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|data| (data.dev(), data.ino()))
}

fn split_head(head: &[u8]) -> Result<(u32, &[u8]), StoreError> {
    head.split_first_chunk::<HEAD_BYTES>()
        .map(|(pieces, first)| (u32::from_be_bytes(*pieces), first))
        .ok_or_else(|| StoreError::corrupt("a record has no head"))
}

/// sled panics on some damaged files, when opening and later: that is a damaged store, not the end of the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::corrupt("the database cannot make sense of its files")))
}

#[cfg(test)]
mod tests;
