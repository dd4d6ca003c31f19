//! A block: records one after the other, each as length of the key, length of the value, form, key, value.

use super::{Filed, push_length, split_length};

/// The forms of [`Filed`].
const SEALED: u8 = 0;
const LOOSE: u8 = 1;
/// What stands in front of a key.
const HEAD: usize = 9;

/// A block, unpacked.
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where each record begins.
    begins: Vec<u32>,
}

impl Block {
    /// None for what is no block.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut begins = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            begins.push(u32::try_from(bytes.len() - rest.len()).ok()?);
            rest = split(rest)?.1;
        }
        Some(Self { bytes, begins })
    }

    /// Its length.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first record that does not lie before a key.
    pub(super) fn position(&self, key: &[u8]) -> usize {
        self.begins.partition_point(|begin| self.record(*begin).is_some_and(|record| record.key < key))
    }

    /// The key of a record.
    pub(super) fn key(&self, at: usize) -> Option<&[u8]> {
        Some(self.record(*self.begins.get(at)?)?.key)
    }

    /// A record; none of a form that is not known.
    pub(super) fn filed(&self, at: usize) -> Option<Filed<'_>> {
        let Record { form, value, .. } = self.record(*self.begins.get(at)?)?;
        match form {
            SEALED => Some(Filed::Sealed(value.into())),
            LOOSE => Some(Filed::Loose(value.into())),
            _ => None,
        }
    }

    fn record(&self, begin: u32) -> Option<Record<'_>> {
        Some(split(self.bytes.get(begin as usize..)?)?.0)
    }
}

struct Record<'a> {
    key: &'a [u8],
    form: u8,
    value: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (key_length, rest) = split_length(bytes)?;
    let (value_length, rest) = split_length(rest)?;
    let (form, rest) = rest.split_first()?;
    let (key, rest) = rest.split_at_checked(key_length)?;
    let (value, rest) = rest.split_at_checked(value_length)?;
    Some((Record { key, form: *form, value }, rest))
}

/// The key of a block's first record; none where it has no record.
pub(super) fn first_key(block: &[u8]) -> Option<&[u8]> {
    Some(split(block)?.0.key)
}

/// As many bytes as a record takes in a block.
pub(super) fn length(key: &[u8], filed: &Filed<'_>) -> usize {
    let (Filed::Sealed(value) | Filed::Loose(value)) = filed;
    HEAD + key.len() + value.len()
}

/// Adds a record to a block.
pub(super) fn push(block: &mut Vec<u8>, key: &[u8], filed: &Filed<'_>) {
    let (form, value) = match filed {
        Filed::Sealed(value) => (SEALED, value),
        Filed::Loose(value) => (LOOSE, value),
    };
    push_length(block, key.len());
    push_length(block, value.len());
    block.push(form);
    block.extend_from_slice(key);
    block.extend_from_slice(value);
}
