//! Where each block lies, and the key that it begins with.

use std::ops::Range;

use super::{push_length, split_length};

#[derive(Default)]
pub(super) struct Index {
    places: Vec<Place>,
    /// Of all blocks, one behind the other.
    keys: Vec<u8>,
}

/// Small: of ten million people there are hundreds of thousands.
struct Place {
    begin: u64,
    length: u32,
    /// Where its key lies in [`Index::keys`].
    key: Range<u32>,
}

impl Index {
    /// Reads what [`Index::write`] wrote; `begin` is where the first block lies.
    pub(super) fn read(bytes: &[u8], mut begin: u64) -> Option<Self> {
        let (blocks, mut lengths) = split_length(bytes)?;
        let mut keys = lengths.get(blocks.checked_mul(2 * size_of::<u32>())?..)?;
        let mut index = Self::default();
        for _ in 0..blocks {
            let (length, rest) = split_length(lengths)?;
            let (key_length, rest) = split_length(rest)?;
            let (key, rest_of_keys) = keys.split_at_checked(key_length)?;
            index.push(begin, length, key)?;
            begin = begin.checked_add(length as u64)?;
            (lengths, keys) = (rest, rest_of_keys);
        }
        let is_sorted = (0..blocks).map(|number| index.key(number)).is_sorted_by(|one, next| one < next);
        (keys.is_empty() && is_sorted).then_some(index)
    }

    /// Lengths, then the keys that they are of.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_length(&mut bytes, self.places.len());
        for Place { length, key, .. } in &self.places {
            push_length(&mut bytes, *length as usize);
            push_length(&mut bytes, key.len());
        }
        bytes.extend_from_slice(&self.keys);
        bytes
    }

    /// Adds a block behind the others; none where it says more than an index can.
    pub(super) fn push(&mut self, begin: u64, length: usize, key: &[u8]) -> Option<()> {
        let key_begin = u32::try_from(self.keys.len()).ok()?;
        self.keys.extend_from_slice(key);
        let key = key_begin..u32::try_from(self.keys.len()).ok()?;
        self.places.push(Place { begin, length: u32::try_from(length).ok()?, key });
        Some(())
    }

    /// How many there are.
    pub(super) fn blocks(&self) -> usize {
        self.places.len()
    }

    /// Where a block begins, and its length.
    pub(super) fn extent(&self, number: usize) -> Option<(u64, usize)> {
        self.places.get(number).map(|place| (place.begin, place.length as usize))
    }

    /// The key that a block begins with.
    pub(super) fn key(&self, number: usize) -> Option<&[u8]> {
        self.key_of(self.places.get(number)?)
    }

    /// The block in which a key is, if it is in any: the last one that does not begin behind it.
    pub(super) fn block_of(&self, wanted: &[u8]) -> Option<usize> {
        self.places.partition_point(|place| self.key_of(place).is_some_and(|key| key <= wanted)).checked_sub(1)
    }

    fn key_of(&self, place: &Place) -> Option<&[u8]> {
        self.keys.get(place.key.start as usize..place.key.end as usize)
    }
}
