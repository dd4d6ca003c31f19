//! What is on disk: frozen, versioned shapes, apart from the types of the domain.
//!
//! Rosters, payloads and changes are postcard (its bytes carry no names, so a shape must never change: make a `V2`
//! with a `From<V1>`, raise [`Kind::version`], and keep the fixture of the old one). Runs, batches, plans and what is
//! known of sources are JSON, which may gain optional fields. All are compressed.

use memchr::memmem;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;
use super::envelope::{self, Kind};
use crate::roster::ids::ReferenceId;

mod archived;
mod changes;
mod dictionary;
mod entries;
mod familiar;
mod journal;
mod packing;

pub(super) use archived::{block, loosen, tighten, unblock};
pub(super) use changes::{change_kinds, changes, changes_of, unchanges};
pub(super) use entries::{
    glance, names_any, names_source, payload, payload_of, roster, roster_facts, roster_part, unpayload, unroster,
};
pub(super) use familiar::{digest, familiar, undigest, unfamiliar};
pub(super) use journal::{GroupV1, MetaV1, PlanKeepsV1, RenameV1, RunV1, SourceV1};

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

/// What a plan says about those whom it keeps as they are; none when it does not speak of this person. The plan of a first load
/// is large, and most plans do not.
pub(super) fn plan_keeps(
    key: &[u8],
    sealed: &[u8],
    reference_id: &ReferenceId,
) -> Result<Option<PlanKeepsV1>, StoreError> {
    let body = unpack(Kind::Plan, key, sealed)?;
    let quoted = serde_json::to_vec(reference_id).map_err(|error| unwritable(&error))?;
    if memmem::find(&body, &quoted).is_none() {
        return Ok(None);
    }
    let plan = serde_json::from_slice(&body).map_err(|_| Kind::Plan.corrupt("cannot be read"))?;
    Ok(Some(plan))
}

fn positional<T: Serialize>(kind: Kind, key: &[u8], record: &T) -> Result<Vec<u8>, StoreError> {
    let body = postcard::to_stdvec(record).map_err(|error| unwritable(&error))?;
    pack(kind, key, &body)
}

/// Reads what stands at the beginning of a record.
fn read_start<'a, T: Deserialize<'a>>(kind: Kind, body: &'a [u8]) -> Result<T, StoreError> {
    postcard::take_from_bytes(body).map(|(start, _)| start).map_err(|_| kind.corrupt("cannot be read"))
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

/// An entry of an index whose key says all there is.
pub(super) fn index(key: &[u8]) -> Vec<u8> {
    envelope::seal(Kind::Text, key, b"")
}

/// Checks an entry of an index. Earlier versions repeated an id in it.
pub(super) fn unindex(key: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
    envelope::unseal(Kind::Text, key, sealed).map(drop)
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

/// The marks of everybody in a group's history, sorted.
pub(super) fn trace(key: &[u8], marks: &[u32]) -> Vec<u8> {
    let body: Vec<u8> = marks.iter().flat_map(|mark| mark.to_le_bytes()).collect();
    envelope::seal(Kind::Trace, key, &body)
}

/// Reads the marks of a group's history.
pub(super) fn untrace(key: &[u8], sealed: &[u8]) -> Result<Vec<u32>, StoreError> {
    let (_, body) = envelope::unseal(Kind::Trace, key, sealed)?;
    let (marks, []) = body.as_chunks() else { return Err(Kind::Trace.corrupt("is cut short")) };
    Ok(marks.iter().map(|mark| u32::from_le_bytes(*mark)).collect())
}

fn pack(kind: Kind, key: &[u8], body: &[u8]) -> Result<Vec<u8>, StoreError> {
    pack_as((kind.version(), kind), key, body)
}

fn pack_as((version, kind): (u8, Kind), key: &[u8], body: &[u8]) -> Result<Vec<u8>, StoreError> {
    Ok(envelope::seal_as((version, kind), key, &packing::pack_body(kind, version, body)?))
}

fn unpack(kind: Kind, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    unpack_versioned(kind, key, sealed).map(|(_, body)| body)
}

/// With the version that it was written in.
fn unpack_versioned(kind: Kind, key: &[u8], sealed: &[u8]) -> Result<(u8, Vec<u8>), StoreError> {
    let (version, packed) = envelope::unseal(kind, key, sealed)?;
    if version == 0 {
        return Err(kind.corrupt("has a version that never was"));
    }
    Ok((version, packing::unpack_body(kind, version, packed)?))
}

fn unwritable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Io { detail: format!("a record cannot be written: {error}") }
}

#[cfg(test)]
pub(super) mod tests;
