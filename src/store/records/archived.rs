//! What an archive consists of: small records without their envelopes, and the blocks in which many of them are packed together and have one
//! envelope, which takes a quarter of what each needs by itself.

use super::{StoreError, pack_as, unpack, unpack_versioned, unwritable};
use crate::store::envelope::{Kind, label, seal, seal_as, unseal};

/// Larger records lose nothing by being packed alone, and would be packed again whenever they are read.
const LARGEST: usize = 4 * 1024;

/// Blocks are packed once and read for years; higher levels save little more.
const LEVEL: i32 = 6;

/// The kinds of which there are many small ones.
const KINDS: [Kind; 5] = [Kind::Text, Kind::Run, Kind::Plan, Kind::Batch, Kind::Changes];

/// A record's version, kind and unpacked body; none where it is to stay as it is, which is also the way of damaged ones.
pub(in crate::store) fn loosen(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    if LARGEST < sealed.len() {
        return None;
    }
    let (version, kind) = label(sealed)?;
    let kind = kind_of(kind)?;
    let mut loose = vec![version, kind as u8];
    if kind == Kind::Text {
        loose.extend_from_slice(unseal(kind, key, sealed).ok()?.1);
    } else {
        loose.extend_from_slice(&unpack_versioned(kind, key, sealed).ok()?.1);
    }
    Some(loose)
}

/// The record again, in its envelope.
pub(in crate::store) fn tighten(key: &[u8], loose: &[u8]) -> Result<Vec<u8>, StoreError> {
    let unknown = || StoreError::corrupt("a record of the archive is of no known kind");
    let [version, kind, body @ ..] = loose else { return Err(unknown()) };
    let kind = kind_of(*kind).ok_or_else(unknown)?;
    if kind == Kind::Text {
        return Ok(seal_as((*version, kind), key, body));
    }
    pack_as((*version, kind), key, body)
}

/// A block, which belongs to one place in one archive.
pub(in crate::store) fn block(place: &[u8], body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let packed = zstd::bulk::compress(body, LEVEL).map_err(|error| unwritable(&error))?;
    Ok(seal(Kind::Block, place, &packed))
}

/// Reads a block.
pub(in crate::store) fn unblock(place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    unpack(Kind::Block, place, sealed)
}

fn kind_of(number: u8) -> Option<Kind> {
    KINDS.into_iter().find(|kind| *kind as u8 == number)
}
