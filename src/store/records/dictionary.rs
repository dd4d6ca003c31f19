//! What records of a kind have in common, known beforehand: names of fields, the beginnings of ids, how often which letter comes. A batch and
//! its changes are a few hundred bytes of which there are hundreds of thousands, each packed by itself, and most of a small
//! record is what stands in every other.
//!
//! A dictionary is part of the version of its kind of record and must never change. `dictionary/tests.rs` says how they were made.

use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::CParameter;

use super::Kind;
use super::packing::LEVEL;

/// What packs and unpacks records of one version of a kind.
pub(super) struct Dictionary {
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
}

impl Dictionary {
    fn new(bytes: &'static [u8]) -> Self {
        Self { encoder: EncoderDictionary::copy(bytes, LEVEL), decoder: DecoderDictionary::copy(bytes) }
    }

    /// A frame that does not say which dictionary it needs: the record's version does. A context costs more than most records, so each
    /// thread keeps one.
    pub(super) fn compress(&'static self, body: &[u8]) -> io::Result<Vec<u8>> {
        thread_local! {
            static CONTEXT: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
        }
        CONTEXT.with_borrow_mut(|kept| {
            let mut context = kept.take().map_or_else(|| Compressor::new(LEVEL), Ok)?;
            context.set_prepared_dictionary(&self.encoder)?;
            context.set_parameter(CParameter::DictIdFlag(false))?;
            kept.insert(context).compress(body)
        })
    }

    pub(super) fn decoder(&self) -> &DecoderDictionary<'static> {
        &self.decoder
    }
}

static BATCH: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(include_bytes!("dictionary/batch_v2.dict")));
static CHANGES: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::new(include_bytes!("dictionary/changes_v2.dict")));

/// The dictionary of records of a kind that were written in a version; none where there is none.
pub(super) fn of(kind: Kind, version: u8) -> Option<&'static Dictionary> {
    match (kind, version) {
        (Kind::Batch, 2) => Some(&BATCH),
        (Kind::Changes, 2) => Some(&CHANGES),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
