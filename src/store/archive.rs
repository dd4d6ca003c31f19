//! History in a file that is written once, when the database is compacted, and never changed. sled needs three bytes for each byte of a
//! small record, and packs none of them together; here they lie side by side, sorted, in blocks that are packed whole.
//!
//! ```text
//! magic │ id │ block … block │ index │ where the index begins, its length
//! ```
//!
//! A block is a zstd frame, then a checksum; within it entries, one after the other: length of the key, length of the value, form, key,
//! value. A key begins with the number of its tree. The index is the same kind of frame, with the length of each block and the key that it
//! begins with. Every checksum covers the archive's id and the block's number too: a block is never read in another's place.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StoreError, records};

const MAGIC: &[u8] = b"rosterd archive 1\n";
/// Bytes of an id, which is random, so that the database can say which archive is its own.
const ID: usize = 16;
const CHECKSUM: usize = 16;
/// The place and the length of the index.
const FOOTER: usize = 16;
/// Stands for the number of a block in the checksum of the index.
const INDEX: u64 = u64::MAX;
/// Of a block before it is packed. A record that is looked for costs one of them, about 20 µs.
const BLOCK_BYTES: usize = 24 * 1024;
/// Records are packed once and read for years; higher levels save little more.
const LEVEL: i32 = 6;
/// Unpacked blocks that are kept: whoever reads a run goes on in the same ones, tree by tree.
const RECENT: usize = 8;
/// The same for whoever reads one group after the other: each has a record in the blocks of every day. 48 MB.
const RECENT_OF_GROUPS: usize = 2048;
/// Larger blocks, which are one large record, are not kept.
const LARGEST_KEPT: usize = 2 * BLOCK_BYTES;
/// The lengths and the form in front of a key.
const HEAD: usize = 9;
/// The forms of [`Filed`].
const SEALED: u8 = 0;
const LOOSE: u8 = 1;

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

/// Where each block lies, and the key that it begins with.
#[derive(Default)]
struct Index {
    places: Vec<Place>,
    keys: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Place {
    begin: u64,
    /// Of the frame and its checksum.
    length: u32,
    /// Where the key ends in [`Index::keys`].
    key_end: u32,
}

/// A block, unpacked.
struct Block {
    bytes: Vec<u8>,
    /// Where each entry begins.
    begins: Vec<u32>,
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
        let (begin, length) = footer.split_at(FOOTER / 2);
        let (begin, length) = (place_in_file(begin), place_in_file(length));
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
        let index = archive.frame(INDEX, begin, length)?;
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
        (0..self.index.places.len()).try_for_each(|number| self.block(number).map(drop))
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
        let found = block.begins.binary_search_by(|begin| block.full_key(*begin).cmp(&wanted)).ok();
        Ok(found.map(|at| Entry { block, at }))
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
            let at = block.begins.partition_point(|begin| block.full_key(*begin) < &bound[..]);
            if let Some(begin) = at.checked_sub(1).and_then(|at| block.begins.get(at)) {
                let key = block.full_key(*begin).split_first();
                return Ok(key.filter(|(found, _)| **found == shelf).map(|(_, key)| key.to_vec()));
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
        let place = self.index.places.get(number).ok_or_else(|| damaged("has fewer blocks than its index says"))?;
        let bytes = self.frame(number as u64, place.begin, place.length as usize)?;
        let block = Block::read(bytes).filter(|block| {
            let first = block.begins.first().map(|begin| block.full_key(*begin));
            first == Some(self.index.key(number))
        });
        let block = Arc::new(block.ok_or_else(|| damaged("has a block that cannot be read"))?);
        if LARGEST_KEPT < block.bytes.len() {
            return Ok(block);
        }
        let mut recent = kept();
        recent.truncate(self.kept.load(Ordering::Relaxed) - 1);
        recent.push_front((number, Arc::clone(&block)));
        Ok(block)
    }

    /// Reads and unpacks what [`Writer::frame`] wrote.
    fn frame(&self, number: u64, begin: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        if self.bytes < begin.saturating_add(length as u64) {
            return Err(damaged("is cut short"));
        }
        let mut read = vec![0; length];
        let unread = |error: io::Error| StoreError::io("read", &self.path, &error);
        self.file.read_exact_at(&mut read, begin).map_err(unread)?;
        let body = read.len().checked_sub(CHECKSUM).and_then(|end| read.split_at_checked(end));
        let whole = body.filter(|(packed, found)| checksum(self.id, number, packed) == **found);
        let (packed, _) = whole.ok_or_else(|| damaged("has a block that does not match its checksum"))?;
        records::unzstd_plain(packed).ok_or_else(|| damaged("has a block that cannot be unpacked"))
    }
}

impl Index {
    /// Lengths, then the keys that they are of.
    fn read(bytes: &[u8], mut begin: u64) -> Option<Self> {
        let mut index = Self::default();
        let (count, mut rest) = split_number(bytes)?;
        let mut key_end: u32 = 0;
        for _ in 0..count {
            let (length, after) = split_number(rest)?;
            let (key_length, after) = split_number(after)?;
            key_end = key_end.checked_add(key_length)?;
            index.places.push(Place { begin, length, key_end });
            begin = begin.checked_add(u64::from(length))?;
            rest = after;
        }
        index.keys = rest.to_vec();
        let is_sorted = (1..index.places.len()).all(|at| index.key(at - 1) < index.key(at));
        (key_end as usize == index.keys.len() && is_sorted).then_some(index)
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_number(&mut bytes, number(self.places.len()));
        let mut key_begin = 0;
        for place in &self.places {
            push_number(&mut bytes, place.length);
            push_number(&mut bytes, place.key_end - key_begin);
            key_begin = place.key_end;
        }
        bytes.extend_from_slice(&self.keys);
        bytes
    }

    /// The key that a block begins with.
    fn key(&self, number: usize) -> &[u8] {
        let end_of = |at: usize| self.places.get(at).map(|place| place.key_end as usize);
        let begin = number.checked_sub(1).and_then(end_of).unwrap_or(0);
        end_of(number).and_then(|end| self.keys.get(begin..end)).unwrap_or_default()
    }

    /// The block in which a key is, if it is in any: the last one that does not begin behind it.
    fn block_of(&self, wanted: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.places.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

impl Block {
    fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut begins = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            begins.push(u32::try_from(bytes.len() - rest.len()).ok()?);
            let (key_length, after) = split_number(rest)?;
            let (value_length, after) = split_number(after)?;
            let (_, after) = after.split_first()?;
            rest = after.get(key_length as usize..)?.get(value_length as usize..)?;
        }
        Some(Self { bytes, begins })
    }

    /// Key, form and value of an entry, whose lengths were looked at when the block was read.
    fn parts(&self, begin: u32) -> Option<(&[u8], u8, &[u8])> {
        let entry = self.bytes.get(begin as usize..)?;
        let (key_length, rest) = split_number(entry)?;
        let (value_length, rest) = split_number(rest)?;
        let (form, rest) = rest.split_first()?;
        let (key, rest) = rest.split_at_checked(key_length as usize)?;
        Some((key, *form, rest.get(..value_length as usize)?))
    }

    fn full_key(&self, begin: u32) -> &[u8] {
        self.parts(begin).map_or(&[], |(key, ..)| key)
    }
}

impl Entry {
    fn parts(&self) -> (&[u8], u8, &[u8]) {
        let begin = self.block.begins.get(self.at);
        begin.and_then(|begin| self.block.parts(*begin)).unwrap_or_default()
    }

    /// Without the number of its tree.
    pub(super) fn key(&self) -> &[u8] {
        self.parts().0.get(1..).unwrap_or_default()
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
        match self.parts() {
            (_, SEALED, value) => Ok(Filed::Sealed(value.into())),
            (_, LOOSE, value) => Ok(Filed::Loose(value.into())),
            _ => Err(damaged("has a record of a form that is not known")),
        }
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
                && let Some(begin) = block.begins.get(*at)
            {
                if block.full_key(*begin).first() != Some(&self.shelf) {
                    return None;
                }
                let entry = Entry { block: Arc::clone(block), at: *at };
                *at += 1;
                return Some(Ok(entry));
            }
            let number = self.next;
            let is_beyond = self.archive.index.key(number).first().is_none_or(|shelf| self.shelf < *shelf);
            if is_beyond {
                return None;
            }
            self.next += 1;
            match self.archive.block(number) {
                Ok(block) => {
                    let at = block.begins.partition_point(|begin| block.full_key(*begin) < &self.from[..]);
                    self.open = Some((block, at));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// An archive that is being written.
pub(super) struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    id: u128,
    index: Index,
    written: u64,
    block: Vec<u8>,
    /// The key that the block begins with.
    first: Vec<u8>,
}

impl Writer {
    /// Begins an archive at `path`, where there is none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = super::open::create_private(path)?;
        let id = fastrand::u128(..);
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        let written = out.write_all(MAGIC).and_then(|()| out.write_all(&id.to_be_bytes()));
        written.map_err(|error| StoreError::io("write", path, &error))?;
        Ok(Self {
            out,
            path: path.to_owned(),
            id,
            index: Index::default(),
            written: (MAGIC.len() + ID) as u64,
            block: Vec::new(),
            first: Vec::new(),
        })
    }

    /// Adds a record. Trees and keys come in order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add(&mut self, shelf: u8, key: &[u8], filed: &Filed<'_>) -> Result<(), StoreError> {
        let (form, value) = match filed {
            Filed::Sealed(value) => (SEALED, value),
            Filed::Loose(value) => (LOOSE, value),
        };
        let length = HEAD + 1 + key.len() + value.len();
        if !self.block.is_empty() && BLOCK_BYTES < self.block.len() + length {
            self.end_block()?;
        }
        let begins = self.block.is_empty();
        push_number(&mut self.block, number(1 + key.len()));
        push_number(&mut self.block, number(value.len()));
        self.block.push(form);
        self.block.push(shelf);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        if begins {
            self.first = full(shelf, key);
        }
        Ok(())
    }

    /// Ends the archive and answers its id. It is not on disk before somebody says so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(mut self) -> Result<u128, StoreError> {
        self.end_block()?;
        let begin = self.written;
        let index = self.index.write();
        let length = self.frame(INDEX, &index)? as u64;
        let footer = [begin.to_be_bytes(), length.to_be_bytes()].concat();
        let written = self.out.write_all(&footer).and_then(|()| self.out.flush());
        written.map_err(|error| StoreError::io("write", &self.path, &error))?;
        Ok(self.id)
    }

    fn end_block(&mut self) -> Result<(), StoreError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let begin = self.written;
        let length = self.frame(self.index.places.len() as u64, &block)?;
        self.index.keys.append(&mut self.first);
        self.index.places.push(Place { begin, length: number(length), key_end: number(self.index.keys.len()) });
        self.block = block;
        self.block.clear();
        Ok(())
    }

    /// Packs and writes; answers the bytes written.
    fn frame(&mut self, number: u64, body: &[u8]) -> Result<usize, StoreError> {
        let unwritten = |error: io::Error| StoreError::io("write", &self.path, &error);
        let packed = zstd::bulk::compress(body, LEVEL).map_err(unwritten)?;
        let checksum = checksum(self.id, number, &packed);
        self.out.write_all(&packed).and_then(|()| self.out.write_all(&checksum)).map_err(unwritten)?;
        let length = packed.len() + CHECKSUM;
        self.written += length as u64;
        Ok(length)
    }
}

/// A key behind the number of its tree.
fn full(shelf: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(shelf);
    full.extend_from_slice(key);
    full
}

fn checksum(id: u128, number: u64, packed: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.to_be_bytes()).update(&number.to_be_bytes()).update(packed);
    let mut short = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut short);
    short
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("a record, and all that an index says, is shorter than 4 GiB")
}

fn push_number(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn split_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn place_in_file(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn damaged(detail: &str) -> StoreError {
    StoreError::corrupt(format!("the archive of the history {detail}"))
}
