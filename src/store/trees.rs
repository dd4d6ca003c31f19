//! sled itself: the trees, long values in pieces, and one transaction for everything that belongs together.
//!
//! History lies in an archive beside the trees after a compaction (`archive`); what is written later lies in the trees again, before it.
//!
//! Invariant: nothing that sled stores is larger than its threshold for "blobs". sled 0.34 writes larger items to files
//! of their own that it never syncs, and skips in silence when they are gone after a power cut. A blob can also be a
//! whole leaf, so pieces are sized such that a full leaf stays below the threshold.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use sled::IVec;
use sled::transaction::{ConflictableTransactionError, TransactionError, TransactionResult, Transactional};

use super::archive::Archive;
use super::together::Together;
use super::{StoreError, keys};

mod database;

use database::{Database, identity};

/// A leaf splits above 16 entries and merges with a sibling below 4. Even 32 pieces of this size with the longest keys
/// are 300 KB, far enough below the threshold.
const PIECE_BYTES: usize = 8 * 1024;

/// Length of the number of pieces in front of a value's first piece.
const HEAD_BYTES: usize = 4;

/// Instead of a value: what the archive has under this key was removed since it was written.
const GONE: &[u8] = &[u8::MAX; HEAD_BYTES];

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

impl Shelf {
    /// Whether its records are history, which lies in the archive after the next compaction.
    fn is_history(self) -> bool {
        matches!(self, Self::Runs | Self::Plans | Self::RunBatches | Self::GroupBatches | Self::Batches | Self::Changes)
    }
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
        self.look(|database| database.read(shelf, key))
    }

    /// Calls `each` with every key and value of a tree, in order.
    pub(super) fn each(
        &self,
        shelf: Shelf,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.look(|database| {
            for entry in database.entries(shelf, b"")? {
                let (key, held) = entry?;
                each(&key, &database.value(shelf, &key, &held)?)?;
            }
            Ok(())
        })
    }

    /// Whether there is a value.
    pub(super) fn holds(&self, shelf: Shelf, key: &[u8]) -> Result<bool, StoreError> {
        self.look(|database| database.holds(shelf, key))
    }

    /// The keys that begin with `prefix`, in order, at most `limit`.
    pub(super) fn keys(&self, shelf: Shelf, prefix: &[u8], limit: usize) -> Result<Vec<IVec>, StoreError> {
        self.look(|database| {
            database.entries(shelf, prefix)?.take(limit).map(|entry| entry.map(|(key, _)| key)).collect()
        })
    }

    /// The last key that begins with `prefix`.
    pub(super) fn last_key(&self, shelf: Shelf, prefix: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.look(|database| database.last_key(shelf, prefix, None))
    }

    /// The keys that begin with `prefix` from `from`, or from the last one, backwards, each looked up while others write. An error is
    /// the last.
    pub(super) fn keys_back(
        &self,
        shelf: Shelf,
        prefix: Vec<u8>,
        from: Option<IVec>,
    ) -> impl Iterator<Item = Result<IVec, StoreError>> {
        let first = from.map(Ok).or_else(|| self.last_key(shelf, &prefix).transpose());
        std::iter::successors(first, move |last| {
            let bound: &[u8] = last.as_ref().ok()?;
            self.look(|database| database.last_key(shelf, &prefix, Some(bound))).transpose()
        })
    }

    /// Reads every block of the archive.
    pub(super) fn check_archive(&self) -> Result<(), StoreError> {
        self.look(|database| database.archive.as_ref().map_or(Ok(()), Archive::check))
    }

    /// While `read` reads all groups, one after the other, the archive needs more memory, and a fraction of the time.
    pub(super) fn group_by_group<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let expect = |are_expected| {
            self.look(|database| {
                database.archive.iter().for_each(|archive| archive.expect_all_groups(are_expected));
                Ok(())
            })
        };
        expect(true)?;
        let done = read();
        expect(false)?;
        done
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

    /// Of each tree its name, its entries, and the bytes of its keys and values, by reading them all. What is in the archive is not counted.
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

    /// Bytes on disk, of the trees and of the archive.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.size_of_trees()? + self.archived()?)
    }

    /// Bytes of the trees on disk.
    pub(super) fn size_of_trees(&self) -> Result<u64, StoreError> {
        self.look(|database| Ok(database.db.size_on_disk()?))
    }

    /// Bytes of keys and values that a compact copy would have in its trees, by reading all of them.
    pub(super) fn staying(&self) -> Result<u64, StoreError> {
        self.look(Database::staying)
    }

    /// Bytes of the archive on disk.
    pub(super) fn archived(&self) -> Result<u64, StoreError> {
        self.look(|database| Ok(database.archive.as_ref().map_or(0, Archive::bytes)))
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

    /// Copies everything to a new database at `path`, history to an archive of its own, and compares the two. Readers go on meanwhile.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.trees.look(|database| database.copy_to(path))
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
        draft.ops.push((shelf, key.into(), Some(head(pieces, first).into())));
        Ok(())
    }

    /// Drafts a removal; nothing happens where there is nothing.
    pub(super) fn remove(&self, draft: &mut Draft, shelf: Shelf, key: &[u8]) -> Result<(), StoreError> {
        for number in 1..self.pieces(shelf, key)? {
            draft.ops.push((Shelf::Pieces, keys::piece(shelf as u8, key, number).into(), None));
        }
        let is_archived = self.trees.look(|database| database.is_archived(shelf, key))?;
        draft.ops.push((shelf, key.into(), is_archived.then(|| GONE.into())));
        Ok(())
    }

    fn pieces(&self, shelf: Shelf, key: &[u8]) -> Result<u32, StoreError> {
        self.trees.look(|database| match database.tree(shelf)?.get(key)? {
            Some(head) if head != GONE => Ok(split_head(&head)?.0),
            Some(_) | None => Ok(0),
        })
    }
}

/// sled has a lock too, and tells of it in words only.
pub(super) fn is_locked(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { detail } if detail.contains("could not acquire lock"))
}

fn closed() -> StoreError {
    StoreError::Io { detail: "the database could not be opened again after it was compacted".to_owned() }
}

/// What lies under a value's key: how many pieces it has, and the first of them.
fn head(pieces: u32, first: &[u8]) -> Vec<u8> {
    [&pieces.to_be_bytes(), first].concat()
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
