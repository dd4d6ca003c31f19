//! What is on disk: frozen, versioned shapes, apart from the types of the domain.
//!
//! Rosters, payloads and changes are postcard (its bytes carry no names, so a shape must never change: make a `V2`
//! with a `From<V1>`, raise [`Kind::version`], and keep the fixture of the old one). Runs, batches, plans and what is
//! known of sources are JSON, which may gain optional fields. All are compressed.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;
use super::envelope::{self, Kind};

mod entries;
mod journal;

pub(super) use entries::{changes, payload, roster, unchanges, unpayload, unroster};
pub(super) use journal::{GroupV1, MetaV1, RunV1, SourceV1};

/// Level 1: a third of the size for a tenth of the time of the levels that save a little more.
const LEVEL: i32 = 1;

/// A JSON record in its envelope.
pub(super) fn json<T: Serialize>(kind: Kind, key: &[u8], record: &T) -> Result<Vec<u8>, StoreError> {
    let body = serde_json::to_vec(record).map_err(|error| unwritable(&error))?;
    pack(kind, key, &body)
}

/// Reads a JSON record. The version byte stands for a change of meaning; there is one so far.
pub(super) fn unjson<T: DeserializeOwned>(kind: Kind, key: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
    let body = unpack(kind, key, sealed)?;
    // serde's text can quote what it read, so only the place goes on.
    serde_json::from_slice(&body)
        .map_err(|error| kind.corrupt(&format!("cannot be read at byte {} of its text", error.column())))
}

fn positional<T: Serialize>(kind: Kind, key: &[u8], record: &T) -> Result<Vec<u8>, StoreError> {
    let body = postcard::to_stdvec(record).map_err(|error| unwritable(&error))?;
    pack(kind, key, &body)
}

fn read_positional<'a, T: Deserialize<'a>>(kind: Kind, body: &'a [u8]) -> Result<T, StoreError> {
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        Ok((_, [_, ..])) => Err(kind.corrupt("has bytes behind its end")),
        Err(_) => Err(kind.corrupt("cannot be read")),
    }
}

/// An id as the value of an index.
pub(super) fn text(key: &[u8], id: &str) -> Vec<u8> {
    envelope::seal(Kind::Text, key, id.as_bytes())
}

/// Reads an id of an index.
pub(super) fn untext<T: std::str::FromStr>(key: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
    let (_, body) = envelope::unseal(Kind::Text, key, sealed)?;
    std::str::from_utf8(body).ok().and_then(|id| id.parse().ok()).ok_or_else(|| Kind::Text.corrupt("is not an id"))
}

/// A number.
pub(super) fn count(key: &[u8], number: u64) -> Vec<u8> {
    envelope::seal(Kind::Count, key, &number.to_be_bytes())
}

/// Reads a number.
pub(super) fn uncount(key: &[u8], sealed: &[u8]) -> Result<u64, StoreError> {
    let (_, body) = envelope::unseal(Kind::Count, key, sealed)?;
    body.try_into().map(u64::from_be_bytes).map_err(|_| Kind::Count.corrupt("is not a number"))
}

fn pack(kind: Kind, key: &[u8], body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let packed = zstd::bulk::compress(body, LEVEL).map_err(|error| unwritable(&error))?;
    Ok(envelope::seal(kind, key, &packed))
}

fn unpack(kind: Kind, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (version, packed) = envelope::unseal(kind, key, sealed)?;
    if version != 1 {
        return Err(kind.corrupt("has a version that never was"));
    }
    zstd::decode_all(packed).map_err(|_| kind.corrupt("cannot be unpacked"))
}

fn unwritable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Io { detail: format!("a record cannot be written: {error}") }
}

#[cfg(test)]
pub(super) mod tests;
