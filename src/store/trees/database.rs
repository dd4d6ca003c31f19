//! What is open: sled's trees, and the archive behind them. A key that is in both is read from the trees.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hint::black_box;
use std::iter::Peekable;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::{IVec, Tree};

use super::{GONE, PIECE_BYTES, SHELVES, Shelf, guarded, head, is_locked, split_head};
use crate::store::archive::{self, Archive, Filed};
use crate::store::{StoreError, keys, records};

/// Memory for pages: enough for the inner nodes and the hot rosters. sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// sled's unit of space on disk; a database keeps the one that it was made with, until it is compacted. A quarter of it, 512 KiB, is the
/// threshold above which an item becomes a blob. sled holds several units in memory while it writes, and fills one with zeros at each
/// start. With 8 MiB and pieces of 32 KiB a command on a small state takes twice as long and the file grows a fifth more; with 512 KiB and
/// pieces of 3 KiB a roster is read in a third of the speed (docs/performance.md).
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// That of databases that were made before this was measured.
pub(super) const FORMER_SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// With fewer segments there is hardly anything to read; and a first load needs the memory for itself.
const MANY_SEGMENTS: u64 = 4;
/// More than what sled and the allocator add to a unit.
const HEADER_BYTES: usize = 64 * 1024;

/// As many pieces have their memory taken beforehand: 128 MB.
const MOST_PIECES: u32 = 16 * 1024;

/// The file in sled's folder that it writes to as long as it is open.
const LOG: &str = "db";
/// The archive, in the same folder: a compact copy takes the place of both at once.
pub(super) const ARCHIVE: &str = "archive";

/// sled's threads let go of a closed database within tenths of a second.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// What is open.
pub(super) struct Database {
    pub(super) db: sled::Db,
    pub(super) shelves: Vec<Tree>,
    pub(super) archive: Option<Archive>,
    /// The file that sled writes to, and what it is to the kernel: another one there, or none, is another state.
    pub(super) file: (PathBuf, Option<(u64, u64)>),
}

/// Tree and key of history that cannot be read, and so is in no archive.
type Left = HashSet<(u8, IVec)>;

/// Where a value is.
pub(super) enum Held {
    /// In the trees: its head.
    Tree(IVec),
    Archive(archive::Entry),
}

impl Database {
    /// Our own lock says that no other process has the database. If sled's says otherwise, a database of this process that was just
    /// closed is still letting go: a reload, and the exchange for a compact copy, open the next one at once.
    pub(super) fn open_when_free(path: &Path) -> Result<Self, StoreError> {
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

    pub(super) fn open(path: &Path, segment_bytes: usize) -> Result<Self, StoreError> {
        let file = path.join(LOG);
        if std::fs::metadata(&file).is_ok_and(|file| MANY_SEGMENTS * segment_bytes as u64 <= file.len()) {
            keep_units_of(segment_bytes);
        }
        let config = sled::Config::default()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(segment_bytes)
            .flush_every_ms(Some(500));
        let db = config.open()?;
        let shelves = SHELVES.iter().map(|(_, name)| db.open_tree(name)).collect::<Result<Vec<_>, _>>()?;
        let identity = identity(&file);
        let mut database = Self { db, shelves, archive: None, file: (file, identity) };
        database.open_archive(path)?;
        Ok(database)
    }

    /// The archive that belongs to the database, and no other. Without it history would look as if it had never been.
    fn open_archive(&mut self, path: &Path) -> Result<(), StoreError> {
        let sealed = self.read(Shelf::Meta, keys::ARCHIVE)?;
        let known = sealed.map(|sealed| records::untext::<String>(keys::ARCHIVE, &sealed)).transpose()?;
        let found = Archive::open(&path.join(ARCHIVE))?;
        let detail = match (&known, found) {
            (None, None) => return Ok(()),
            (Some(known), Some(found)) if *known == name_of(found.id()) => {
                self.archive = Some(found);
                return Ok(());
            }
            (Some(_), None) => "is missing",
            (Some(_), Some(_)) => "is that of another database",
            (None, Some(_)) => "belongs to no database",
        };
        Err(StoreError::corrupt(format!("the archive of the history {detail} ({})", path.join(ARCHIVE).display())))
    }

    pub(super) fn tree(&self, shelf: Shelf) -> Result<&Tree, StoreError> {
        self.shelves.get(shelf as usize).ok_or_else(|| StoreError::corrupt("a tree of the database is missing"))
    }

    fn archive_of(&self, shelf: Shelf) -> Option<&Archive> {
        self.archive.as_ref().filter(|_| shelf.is_history())
    }

    pub(super) fn read(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tree(shelf)?.get(key)? {
            Some(head) if head == GONE => Ok(None),
            Some(head) => self.whole(shelf, key, &head).map(Some),
            None => self.archive_of(shelf).map_or(Ok(None), |archive| archive.get(shelf as u8, key)),
        }
    }

    pub(super) fn holds(&self, shelf: Shelf, key: &[u8]) -> Result<bool, StoreError> {
        match self.tree(shelf)?.get(key)? {
            Some(head) => Ok(head != GONE),
            None => self.is_archived(shelf, key),
        }
    }

    /// Whether the archive has something under a key, whatever became of it.
    pub(super) fn is_archived(&self, shelf: Shelf, key: &[u8]) -> Result<bool, StoreError> {
        self.archive_of(shelf).map_or(Ok(false), |archive| archive.holds(shelf as u8, key))
    }

    /// What lies under the keys that begin with `prefix`, in order.
    pub(super) fn entries(&self, shelf: Shelf, prefix: &[u8]) -> Result<Entries<'_>, StoreError> {
        Ok(Entries {
            tree: self.tree(shelf)?.scan_prefix(prefix).peekable(),
            archive: self.archive_of(shelf).map(|archive| archive.entries(shelf as u8, prefix).peekable()),
            prefix: prefix.to_vec(),
        })
    }

    /// The last key below `bound` that begins with `prefix`.
    pub(super) fn last_key(
        &self,
        shelf: Shelf,
        prefix: &[u8],
        bound: Option<&[u8]>,
    ) -> Result<Option<IVec>, StoreError> {
        // No key of ours has such a byte.
        let mut bound = bound.map_or_else(|| IVec::from([prefix, &[u8::MAX]].concat()), IVec::from);
        loop {
            let in_tree = self.tree(shelf)?.range::<&[u8], _>(..bound.as_ref()).next_back().transpose()?;
            let in_tree = in_tree.filter(|(key, _)| key.starts_with(prefix));
            let in_archive = match self.archive_of(shelf) {
                Some(archive) => archive.last_below(shelf as u8, &bound)?.filter(|key| key.starts_with(prefix)),
                None => None,
            };
            match (in_tree, in_archive) {
                (Some((key, _)), Some(archived)) if *key < *archived => return Ok(Some(archived.into())),
                (Some((key, head)), _) if head == GONE => bound = key,
                (Some((key, _)), _) => return Ok(Some(key)),
                (None, archived) => return Ok(archived.map(IVec::from)),
            }
        }
    }

    /// A value whose place is known.
    pub(super) fn value<'a>(&self, shelf: Shelf, key: &[u8], held: &'a Held) -> Result<Cow<'a, [u8]>, StoreError> {
        match held {
            Held::Tree(head) => match split_head(head)? {
                (0 | 1, value) => Ok(Cow::Borrowed(value)),
                _ => self.whole(shelf, key, head).map(Cow::Owned),
            },
            Held::Archive(entry) => entry.sealed().map(Cow::Owned),
        }
    }

    /// A value whose place is known, as it lies in an archive.
    fn filed<'a>(&self, shelf: Shelf, key: &[u8], held: &'a Held) -> Result<Filed<'a>, StoreError> {
        match held {
            Held::Tree(_) => Ok(Filed::of(key, self.value(shelf, key, held)?)),
            Held::Archive(entry) => entry.filed(),
        }
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

    /// Copies everything to a new database at `path`, history to an archive beside it, and compares the two. What of history cannot be read
    /// stays in the trees as it is.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let mut copy = Self::open(path, SEGMENT_BYTES)?;
        let mut archive = archive::Writer::create(&path.join(ARCHIVE))?;
        let mut left = Left::new();
        for (shelf, _) in SHELVES {
            let tree = copy.tree(shelf)?;
            if shelf.is_history() {
                self.archive_tree(shelf, &mut archive, (tree, &mut left))?;
            } else {
                for pair in self.staying_in(shelf, &left)? {
                    let (key, value) = pair?;
                    tree.insert(key, value)?;
                }
            }
        }
        let id = archive.finish()?;
        let meta = copy.tree(Shelf::Meta)?;
        meta.insert(keys::ARCHIVE, head(1, &records::text(keys::ARCHIVE, &name_of(id))))?;
        copy.db.flush()?;
        copy.open_archive(path)?;
        self.compare(&copy)
    }

    /// Adds a tree of history to an archive. What cannot be read goes to the tree of the copy instead, and is noted in `left`.
    fn archive_tree(
        &self,
        shelf: Shelf,
        archive: &mut archive::Writer,
        (tree, left): (&Tree, &mut Left),
    ) -> Result<(), StoreError> {
        for entry in self.entries(shelf, b"")? {
            let (key, held) = entry?;
            match (self.filed(shelf, &key, &held), &held) {
                (Ok(filed), _) => archive.add(shelf as u8, &key, &filed)?,
                (Err(_), Held::Tree(head)) => {
                    tree.insert(&key, head)?;
                    left.insert((shelf as u8, key));
                }
                (Err(error), Held::Archive(_)) => return Err(error),
            }
        }
        Ok(())
    }

    /// What of a tree that is no history is in the trees of a copy: all but the pieces of values that the archive has whole.
    fn staying_in<'a>(
        &self,
        shelf: Shelf,
        left: &'a Left,
    ) -> Result<impl Iterator<Item = sled::Result<(IVec, IVec)>> + use<'a>, StoreError> {
        let stays = move |key: &[u8]| shelf != Shelf::Pieces || stays_in_trees(key, left);
        Ok(self.tree(shelf)?.iter().filter(move |pair| pair.as_ref().map_or(true, |(key, _)| stays(key))))
    }

    /// Bytes of keys and values that are in the trees and stay there when a copy is made.
    pub(super) fn staying(&self) -> Result<u64, StoreError> {
        let (mut bytes, nothing) = (0, Left::new());
        for (shelf, _) in SHELVES.into_iter().filter(|(shelf, _)| !shelf.is_history()) {
            for pair in self.staying_in(shelf, &nothing)? {
                let (key, value) = pair?;
                bytes += (key.len() + value.len()) as u64;
            }
        }
        Ok(bytes)
    }

    /// # Errors
    /// When `copy` says anything else.
    fn compare(&self, copy: &Self) -> Result<(), StoreError> {
        let differs = || StoreError::Io { detail: "the compacted copy of the database differs from it".to_owned() };
        for (shelf, _) in SHELVES {
            if shelf == Shelf::Pieces {
                continue;
            }
            let mut copied = copy.entries(shelf, b"")?.filter(|entry| !is_own_archive(shelf, entry));
            for entry in self.entries(shelf, b"")?.filter(|entry| !is_own_archive(shelf, entry)) {
                let (key, held) = entry?;
                let (copied_key, copied) = copied.next().ok_or_else(differs)??;
                let is_same = copied_key == key
                    && match (self.filed(shelf, &key, &held), copy.filed(shelf, &key, &copied)) {
                        (Ok(filed), Ok(copied)) => filed == copied,
                        (Err(_), Err(_)) => true,
                        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
                    };
                if !is_same {
                    return Err(differs());
                }
            }
            if copied.next().is_some() {
                return Err(differs());
            }
        }
        Ok(())
    }
}

/// Whether a piece is of a value that stays in the trees.
fn stays_in_trees(piece: &[u8], left: &Left) -> bool {
    let Some((owner, key, _)) = keys::of_piece(piece) else { return true };
    let is_history = SHELVES.get(usize::from(owner)).is_some_and(|(shelf, _)| shelf.is_history());
    !is_history || left.contains(&(owner, key.into()))
}

/// Whether an entry is what names the archive, which is another one in every copy.
fn is_own_archive(shelf: Shelf, entry: &Result<(IVec, Held), StoreError>) -> bool {
    shelf == Shelf::Meta && entry.as_ref().is_ok_and(|(key, _)| key == keys::ARCHIVE)
}

/// An archive's id as it stands in the database.
fn name_of(id: u128) -> String {
    format!("{id:032x}")
}

/// What lies under some keys, in order.
pub(super) struct Entries<'a> {
    tree: Peekable<sled::Iter>,
    archive: Option<Peekable<archive::Entries<'a>>>,
    prefix: Vec<u8>,
}

impl Entries<'_> {
    /// The next one of the archive, as far as the prefix goes.
    fn archived(&mut self) -> Option<Result<archive::Entry, StoreError>> {
        let prefix = &self.prefix;
        self.archive.as_mut()?.next_if(|entry| entry.as_ref().map_or(true, |entry| entry.key().starts_with(prefix)))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(IVec, Held), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let in_archive = self.archive.as_mut().and_then(Peekable::peek);
            let order = match (self.tree.peek(), in_archive) {
                (Some(Ok((key, _))), Some(Ok(entry))) => key.as_ref().cmp(entry.key()),
                (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
                (_, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            if order.is_gt() {
                let entry = self.archived()?;
                return Some(entry.map(|entry| (entry.key().into(), Held::Archive(entry))));
            }
            if order.is_eq() {
                // The trees have something newer.
                drop(self.archived());
            }
            match self.tree.next()? {
                Ok((_, head)) if head == GONE => {}
                Ok((key, head)) => return Some(Ok((key, Held::Tree(head)))),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Has the allocator keep pieces of memory of this size, and not give each back to the kernel when it is free: sled asks for several as it opens
/// a database, one after the other, and all processors that the command is on have to be told of each that is given back. glibc raises the size
/// that it keeps when it gives back a larger one, unless the environment sets it.
fn keep_units_of(bytes: usize) {
    drop(black_box(Vec::<u8>::with_capacity(bytes + HEADER_BYTES)));
}

/// Whether sled found a database with segments of another size.
fn has_other_segments(error: &StoreError) -> bool {
    error.to_string().contains("cannot change the io buffer size")
}

/// Device and number of a file; none where there is none.
pub(super) fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|data| (data.dev(), data.ino()))
}
