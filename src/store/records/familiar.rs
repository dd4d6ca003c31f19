//! Rows that need no second look, column by column: their digests do not shrink, the other columns nearly vanish.

use serde::{Deserialize, Serialize};

use super::packing::{unzstd, zstd};
use super::{Kind, unwritable};
use crate::roster::familiar::{Context, Familiar, FamiliarRows, GroupDigest};
use crate::roster::ids::{GroupRef, SourceName};
use crate::store::StoreError;
use crate::store::envelope::{seal, unseal};

/// What stands before the digests. They take nine tenths of the record and do not shrink, so they lie as they are behind it.
#[derive(Serialize, Deserialize)]
struct FamiliarV2<'a> {
    context: [u8; 16],
    /// Days since the first of January of the year 1, which is day 1.
    day: i32,
    #[serde(borrow)]
    groups: Vec<(&'a str, &'a str)>,
    /// 4 bytes each, packed.
    #[serde(borrow)]
    places: &'a [u8],
    /// 4 bytes each, packed.
    #[serde(borrow)]
    until: &'a [u8],
}

/// Familiar rows in their envelope.
pub(in crate::store) fn familiar(key: &[u8], familiar: &Familiar) -> Result<Vec<u8>, StoreError> {
    let places = zstd(&familiar.rows.groups().iter().flat_map(|group| group.to_le_bytes()).collect::<Vec<u8>>())?;
    let until = zstd(&familiar.rows.until().iter().flat_map(|until| until.to_le_bytes()).collect::<Vec<u8>>())?;
    let start = FamiliarV2 {
        context: familiar.context.0.to_le_bytes(),
        day: familiar.day,
        groups: familiar.groups.iter().map(|(group, name)| (group.as_str(), name.as_str())).collect(),
        places: &places,
        until: &until,
    };
    let mut body = postcard::to_stdvec(&start).map_err(|error| unwritable(&error))?;
    body.extend_from_slice(familiar.rows.digests());
    Ok(seal(Kind::Familiar, key, &body))
}

/// Reads familiar rows.
pub(in crate::store) fn unfamiliar(key: &[u8], sealed: Vec<u8>) -> Result<Familiar, StoreError> {
    let (version, body) = unseal(Kind::Familiar, key, &sealed)?;
    if version != Kind::Familiar.version() {
        return Err(Kind::Familiar.corrupt("is of a version that was kept elsewhere"));
    }
    let (start, digests) = postcard::take_from_bytes::<FamiliarV2<'_>>(body).map_err(|_| bad())?;
    let column = |packed| unzstd(packed).ok_or_else(bad);
    let places = numbers(&column(start.places)?, u32::from_le_bytes)?;
    let until = numbers(&column(start.until)?, i32::from_le_bytes)?;
    let (context, day, groups) = (Context(u128::from_le_bytes(start.context)), start.day, names(&start.groups)?);
    let begin = sealed.len() - digests.len();
    let rows = FamiliarRows::from_digests(sealed, begin, places, until).ok_or_else(bad)?;
    if rows.name_groups_below(groups.len()) { Ok(Familiar { context, day, groups, rows }) } else { Err(bad()) }
}

fn names(groups: &[(&str, &str)]) -> Result<Vec<(GroupRef, String)>, StoreError> {
    groups.iter().map(|(group, name)| Ok((group.parse().map_err(|_| bad())?, (*name).to_owned()))).collect()
}

fn numbers<T>(column: &[u8], number: impl Fn([u8; 4]) -> T) -> Result<Vec<T>, StoreError> {
    let (cells, rest) = column.as_chunks();
    if rest.is_empty() { Ok(cells.iter().map(|cell| number(*cell)).collect()) } else { Err(bad()) }
}

fn bad() -> StoreError {
    Kind::Familiar.corrupt("holds a value that cannot be")
}

/// What stands for a roster, and whose it is, in its envelope.
pub(in crate::store) fn digest(key: &[u8], owner: &SourceName, digest: GroupDigest) -> Vec<u8> {
    let mut body = Vec::with_capacity(24 + owner.as_str().len());
    body.extend_from_slice(&digest.people.to_le_bytes());
    body.extend_from_slice(&digest.sum.to_le_bytes());
    body.extend_from_slice(owner.as_str().as_bytes());
    seal(Kind::Digest, key, &body)
}

/// Reads what stands for a roster, and whose it is.
pub(in crate::store) fn undigest(key: &[u8], sealed: &[u8]) -> Result<(SourceName, GroupDigest), StoreError> {
    let bad = || Kind::Digest.corrupt("holds a value that cannot be");
    let (_, body) = unseal(Kind::Digest, key, sealed)?;
    let (people, rest) = body.split_first_chunk().ok_or_else(bad)?;
    let (sum, owner) = rest.split_first_chunk().ok_or_else(bad)?;
    let digest = GroupDigest { people: u64::from_le_bytes(*people), sum: u128::from_le_bytes(*sum) };
    let owner = str::from_utf8(owner).ok().and_then(|owner| owner.parse().ok()).ok_or_else(bad)?;
    Ok((owner, digest))
}
