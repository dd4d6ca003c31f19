//! How the body of a record is packed: by its kind, and by the version that it was written in.

use std::cell::RefCell;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use super::dictionary::{self, Dictionary};
use super::{Kind, StoreError, unwritable};

/// Level 1: a third of the size for a tenth of the time of the levels that save a little more.
pub(super) const LEVEL: i32 = 1;

/// A byte of LZ4 stands for no more bytes than this.
const LZ4_MOST: usize = 255;

/// What packs a body.
enum Packing {
    /// zstd with what records of the kind have in common.
    Dictionary(&'static Dictionary),
    /// zstd.
    Zstd,
    /// LZ4, behind the length of what was packed. A third larger, and unpacked in a third of the time: rosters are read whole by every
    /// plan that changes somebody in them.
    Lz4,
}

impl Packing {
    fn of(kind: Kind, version: u8) -> Self {
        match (kind, version) {
            (Kind::Roster | Kind::Payload, 2) => Self::Lz4,
            _ => dictionary::of(kind, version).map_or(Self::Zstd, Self::Dictionary),
        }
    }
}

/// Packs the body of a record of a kind that is written in a version.
pub(super) fn pack_body(kind: Kind, version: u8, body: &[u8]) -> Result<Vec<u8>, StoreError> {
    match Packing::of(kind, version) {
        Packing::Dictionary(dictionary) => dictionary.compress(body).map_err(|error| unwritable(&error)),
        Packing::Zstd => zstd(body),
        Packing::Lz4 => Ok(lz4_flex::compress_prepend_size(body)),
    }
}

/// Unpacks what [`pack_body`] packed. Its checksum has been looked at before, so the length that it says is what was written.
pub(super) fn unpack_body(kind: Kind, version: u8, packed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let body = match Packing::of(kind, version) {
        Packing::Dictionary(dictionary) => unzstd_with(packed, Some(dictionary)),
        Packing::Zstd => unzstd(packed),
        Packing::Lz4 => unlz4(packed),
    };
    body.ok_or_else(|| kind.corrupt("cannot be unpacked"))
}

/// A length that cannot be is not given memory.
fn unlz4(packed: &[u8]) -> Option<Vec<u8>> {
    let (length, block) = lz4_flex::block::uncompressed_size(packed).ok()?;
    let can_be = length <= block.len().saturating_mul(LZ4_MOST);
    can_be.then(|| lz4_flex::decompress(block, length).ok()).flatten()
}

/// A frame that says how long its content is.
pub(super) fn zstd(content: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(content, LEVEL).map_err(|error| unwritable(&error))
}

/// Reads a frame.
pub(super) fn unzstd(packed: &[u8]) -> Option<Vec<u8>> {
    unzstd_with(packed, None)
}

/// A context costs more than most records, so each thread keeps one.
fn unzstd_with(packed: &[u8], dictionary: Option<&'static Dictionary>) -> Option<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let length = usize::try_from(get_frame_content_size(packed).ok()??).ok()?;
    CONTEXT.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        let context = kept.as_mut()?;
        match dictionary {
            Some(dictionary) => context.set_prepared_dictionary(dictionary.decoder()),
            None => context.set_dictionary(b""),
        }
        .ok()?;
        context.decompress(packed, length).ok()
    })
}
