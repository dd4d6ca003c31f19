//! History in a file that is written once, when the database is compacted, and never changed. sled needs three bytes for each byte of a
//! small record, and packs none of them together; here they lie side by side, sorted, in blocks that are packed whole.
//!
//! ```text
//! magic │ id │ block … block │ index │ where the index begins, its length
//! ```
//!
//! A block holds records, each behind its key, which begins with the number of its tree (`block`). The index is packed like a block and says
//! how long each is and with which key it begins (`index`). The envelope of each covers the archive's id and the block's number: it is never
//! read in another's place.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StoreError, records};

mod block;
mod index;
mod writer;

use block::Block;
use index::Index;

pub(super) use writer::Writer;

const MAGIC: &[u8] = b"rosterd archive 1\n";
/// Bytes of an id, which is random, so that the database can say which archive is its own.
const ID: usize = 16;
/// The place and the length of the index.
const FOOTER: usize = 16;
/// Stands for the number of a block in the place of the index.
const INDEX: u64 = u64::MAX;
/// Of a block before it is packed. A record that is looked for costs one of them, about 20 µs.
const BLOCK_BYTES: usize = 24 * 1024;
/// Unpacked blocks that are kept: whoever reads a run goes on in the same ones, tree by tree.
const RECENT: usize = 8;
/// The same for whoever reads one group after the other: each has a record in the blocks of every day. 48 MB.
const RECENT_OF_GROUPS: usize = 2048;
/// Larger blocks, which are one large record, are not kept.
const LARGEST_KEPT: usize = 2 * BLOCK_BYTES;

/// An archive that is open.
pub(super) struct Archive {
    file: File,
    path: PathBuf,
    id: u128,
    bytes: u64,
    index: Index,
    /// The one that was used last is in front.
    recent: Mutex<VecDeque<(usize, Arc<Block>)>>,
    /// How many of them are kept.
    kept: AtomicUsize,
}

/// A record as it lies in an archive. The same record is always the same here, however it was packed in the database.
#[derive(PartialEq, Eq)]
pub(super) enum Filed<'a> {
    /// As it lay in the database.
    Sealed(Cow<'a, [u8]>),
    /// As [`records::loosen`] makes it.
    Loose(Cow<'a, [u8]>),
}

impl<'a> Filed<'a> {
    pub(super) fn of(key: &[u8], sealed: Cow<'a, [u8]>) -> Self {
        records::loosen(key, &sealed).map_or(Self::Sealed(sealed), |loose| Self::Loose(Cow::Owned(loose)))
    }
}

/// One record of an archive.
pub(super) struct Entry {
    block: Arc<Block>,
    at: usize,
}

impl Archive {
    /// Opens the archive at `path`; none where there is no such file.
    ///
    /// # Errors
    /// When it is damaged, as far as its ends and its index tell.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path, &error)),
        };
        let unread = |error: io::Error| StoreError::io("read", path, &error);
        let bytes = file.metadata().map_err(unread)?.len();
        let mut start = [0; MAGIC.len() + ID];
        let footer_at = bytes.checked_sub(FOOTER as u64).filter(|at| start.len() as u64 <= *at);
        let footer_at = footer_at.ok_or_else(|| damaged("is cut short"))?;
        file.read_exact_at(&mut start, 0).map_err(unread)?;
        let id = start.strip_prefix(MAGIC).and_then(|id| id.try_into().ok()).map(u128::from_be_bytes);
        let id = id.ok_or_else(|| damaged("is none, or was written by a newer rosterd"))?;
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, footer_at).map_err(unread)?;
        let [begin, length] = footer.as_chunks().0 else { return Err(damaged("is cut short")) };
        let (begin, length) = (u64::from_be_bytes(*begin), u64::from_be_bytes(*length));
        if begin.checked_add(length) != Some(footer_at) {
            return Err(damaged("is cut short"));
        }
        let mut archive = Self {
            file,
            path: path.to_owned(),
            id,
            bytes,
            index: Index::default(),
            recent: Mutex::new(VecDeque::with_capacity(RECENT)),
            kept: AtomicUsize::new(RECENT),
        };
        let length = usize::try_from(length).map_err(|_| damaged("is cut short"))?;
        let index = archive.unpacked(INDEX, begin, length)?;
        archive.index =
            Index::read(&index, start.len() as u64).ok_or_else(|| damaged("has an index that cannot be"))?;
        Ok(Some(archive))
    }

    /// Its random name.
    pub(super) fn id(&self) -> u128 {
        self.id
    }

    /// Its size on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps as many blocks as it takes to read all groups, one after the other, or as few as always.
    pub(super) fn expect_all_groups(&self, are_expected: bool) {
        self.kept.store(if are_expected { RECENT_OF_GROUPS } else { RECENT }, Ordering::Relaxed);
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).truncate(RECENT);
    }

    /// Reads every block.
    ///
    /// # Errors
    /// When one is damaged.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        (0..self.index.blocks()).try_for_each(|number| self.block(number).map(drop))
    }

    /// The record under a key, sealed as it lay in the database.
    ///
    /// # Errors
    /// When its block cannot be read.
    pub(super) fn get(&self, shelf: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.entry(shelf, key)?;
        found.map(|entry| entry.sealed()).transpose()
    }

    /// Whether there is a record under a key.
    ///
    /// # Errors
    /// When its block cannot be read.
    pub(super) fn holds(&self, shelf: u8, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.entry(shelf, key)?.is_some())
    }

    fn entry(&self, shelf: u8, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let wanted = full(shelf, key);
        let Some(number) = self.index.block_of(&wanted) else { return Ok(None) };
        let block = self.block(number)?;
        let at = block.position(&wanted);
        Ok((block.key(at) == Some(&wanted[..])).then_some(Entry { block, at }))
    }

    /// The records of a tree from a key on, in order. An error is not the end: the next block may be whole.
    pub(super) fn entries(&self, shelf: u8, from: &[u8]) -> Entries<'_> {
        let from = full(shelf, from);
        // Nothing lies before the first block: then it begins there.
        let next = self.index.block_of(&from).unwrap_or(0);
        Entries { archive: self, shelf, from, next, open: None }
    }

    /// The last key of a tree below `bound`.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub(super) fn last_below(&self, shelf: u8, bound: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let bound = full(shelf, bound);
        let Some(last) = self.index.block_of(&bound) else { return Ok(None) };
        for number in [Some(last), last.checked_sub(1)].into_iter().flatten() {
            let block = self.block(number)?;
            if let Some(last) = block.position(&bound).checked_sub(1).and_then(|at| block.key(at)) {
                return Ok(last.strip_prefix(&[shelf]).map(<[u8]>::to_vec));
            }
        }
        Ok(None)
    }

    fn block(&self, number: usize) -> Result<Arc<Block>, StoreError> {
        let kept = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut recent = kept();
            if let Some(at) = recent.iter().position(|(kept, _)| *kept == number)
                && let Some(found) = recent.remove(at)
            {
                let block = Arc::clone(&found.1);
                recent.push_front(found);
                return Ok(block);
            }
        }
        let (begin, length) = self.index.extent(number).ok_or_else(|| damaged("has no such block"))?;
        let block = Block::read(self.unpacked(number as u64, begin, length)?);
        let block = block.filter(|block| block.key(0) == self.index.key(number));
        let block = Arc::new(block.ok_or_else(|| damaged("has a block that cannot be read"))?);
        if LARGEST_KEPT < block.bytes() {
            return Ok(block);
        }
        let mut recent = kept();
        recent.truncate(self.kept.load(Ordering::Relaxed) - 1);
        recent.push_front((number, Arc::clone(&block)));
        Ok(block)
    }

    /// A block, or the index.
    fn unpacked(&self, number: u64, begin: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        if self.bytes < begin.saturating_add(length as u64) {
            return Err(damaged("is cut short"));
        }
        let mut sealed = vec![0; length];
        let read = self.file.read_exact_at(&mut sealed, begin);
        read.map_err(|error| StoreError::io("read", &self.path, &error))?;
        records::unblock(&place(self.id, number), &sealed)
    }
}

impl Entry {
    /// Without the number of its tree.
    pub(super) fn key(&self) -> &[u8] {
        self.block.key(self.at).and_then(|key| key.get(1..)).unwrap_or_default()
    }

    /// The record, sealed as it lay in the database.
    ///
    /// # Errors
    /// When it cannot be packed, which does not happen.
    pub(super) fn sealed(&self) -> Result<Vec<u8>, StoreError> {
        match self.filed()? {
            Filed::Sealed(value) => Ok(value.into_owned()),
            Filed::Loose(value) => records::tighten(self.key(), &value),
        }
    }

    /// The record as it lies here.
    ///
    /// # Errors
    /// When it is of no known form.
    pub(super) fn filed(&self) -> Result<Filed<'_>, StoreError> {
        self.block.filed(self.at).ok_or_else(|| damaged("has a record of a form that is not known"))
    }
}

/// The records of a tree, in order.
pub(super) struct Entries<'a> {
    archive: &'a Archive,
    shelf: u8,
    from: Vec<u8>,
    next: usize,
    open: Option<(Arc<Block>, usize)>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((block, at)) = &mut self.open
                && let Some(key) = block.key(*at)
            {
                if !key.starts_with(&[self.shelf]) {
                    return None;
                }
                let entry = Entry { block: Arc::clone(block), at: *at };
                *at += 1;
                return Some(Ok(entry));
            }
            let number = self.next;
            if self.archive.index.key(number)?.first().is_none_or(|shelf| self.shelf < *shelf) {
                return None;
            }
            self.next += 1;
            match self.archive.block(number) {
                Ok(block) => {
                    let at = block.position(&self.from);
                    self.open = Some((block, at));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A key behind the number of its tree.
fn full(shelf: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(shelf);
    full.extend_from_slice(key);
    full
}

/// What the envelope of a block, or of the index, covers beside it.
fn place(id: u128, number: u64) -> Vec<u8> {
    [&id.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a record, and all that an index says, is shorter than 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*length) as usize, rest))
}

fn damaged(detail: &str) -> StoreError {
    StoreError::corrupt(format!("the archive of the history {detail}"))
}

#[cfg(test)]
mod tests;
