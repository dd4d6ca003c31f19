//! Rows that need no second look, column by column: their digests do not shrink, the other columns nearly vanish.

use serde::{Deserialize, Serialize, Serializer};

use super::{Kind, positional, read_positional, unpack};
use crate::roster::familiar::{Context, Familiar, FamiliarRow, GroupDigest, MemberDigest, PersonKey, RowDigest};
use crate::roster::ids::SourceName;
use crate::store::StoreError;
use crate::store::envelope::{seal, unseal};

/// In place of a group: the row names none.
const NO_GROUP: u32 = u32::MAX;
/// In place of a record's digest: the row says that its person is not covered.
const NO_MEMBER: u64 = 0;

#[derive(Serialize, Deserialize)]
struct FamiliarV1<'a> {
    context: [u8; 16],
    /// Days since the first of January of the year 1, which is day 1.
    day: i32,
    #[serde(borrow)]
    groups: Vec<(&'a str, &'a str)>,
    /// 16 bytes each, as all columns with the lowest byte first.
    #[serde(borrow, serialize_with = "as_bytes")]
    rows: &'a [u8],
    /// 8 bytes each.
    #[serde(borrow, serialize_with = "as_bytes")]
    people: &'a [u8],
    /// 8 bytes each.
    #[serde(borrow, serialize_with = "as_bytes")]
    members: &'a [u8],
    /// 4 bytes each.
    #[serde(borrow, serialize_with = "as_bytes")]
    places: &'a [u8],
    /// 4 bytes each.
    #[serde(borrow, serialize_with = "as_bytes")]
    until: &'a [u8],
}

fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Familiar rows in their envelope.
pub(in crate::store) fn familiar(key: &[u8], familiar: &Familiar) -> Result<Vec<u8>, StoreError> {
    let column = |width: usize| Vec::with_capacity(familiar.rows.len() * width);
    let (mut rows, mut people, mut members) = (column(16), column(8), column(8));
    let (mut places, mut until) = (column(4), column(4));
    for row in &familiar.rows {
        let (group, member) = (row.group().unwrap_or(NO_GROUP), row.member().map_or(NO_MEMBER, |member| member.0));
        row.row.0.iter().for_each(|half| rows.extend_from_slice(&half.to_le_bytes()));
        people.extend_from_slice(&row.person.0.to_le_bytes());
        members.extend_from_slice(&member.to_le_bytes());
        places.extend_from_slice(&group.to_le_bytes());
        until.extend_from_slice(&row.until.to_le_bytes());
    }
    let groups = familiar.groups.iter().map(|(group, name)| (group.as_str(), name.as_str())).collect();
    let record = FamiliarV1 {
        context: familiar.context.0.to_le_bytes(),
        day: familiar.day,
        groups,
        rows: &rows,
        people: &people,
        members: &members,
        places: &places,
        until: &until,
    };
    positional(Kind::Familiar, key, &record)
}

/// Reads familiar rows.
pub(in crate::store) fn unfamiliar(key: &[u8], sealed: &[u8]) -> Result<Familiar, StoreError> {
    let bad = || Kind::Familiar.corrupt("holds a value that cannot be");
    let body = unpack(Kind::Familiar, key, sealed)?;
    let record: FamiliarV1<'_> = read_positional(Kind::Familiar, &body)?;
    let groups = record.groups.iter().map(|(group, name)| Ok((group.parse().map_err(|_| bad())?, (*name).to_owned())));
    let groups = groups.collect::<Result<Vec<_>, StoreError>>()?;
    let (rows, people, members) = (column::<16>(record.rows)?, column(record.people)?, column(record.members)?);
    let (places, until) = (column(record.places)?, column(record.until)?);
    let lengths = [people.len(), members.len(), places.len(), until.len()];
    if lengths != [rows.len(); 4] {
        return Err(bad());
    }
    let mut all = Vec::with_capacity(rows.len());
    for ((((row, person), member), place), until) in rows.iter().zip(people).zip(members).zip(places).zip(until) {
        let (group, member) = (u32::from_le_bytes(*place), u64::from_le_bytes(*member));
        if group != NO_GROUP && groups.len() <= group as usize {
            return Err(bad());
        }
        let says = ((group != NO_GROUP).then_some(group), (member != NO_MEMBER).then_some(MemberDigest(member)));
        let ([high, low], _) = row.as_chunks() else { return Err(bad()) };
        all.push(FamiliarRow::new(
            RowDigest([u64::from_le_bytes(*high), u64::from_le_bytes(*low)]),
            PersonKey(u64::from_le_bytes(*person)),
            says,
            i32::from_le_bytes(*until),
        ));
    }
    let context = Context(u128::from_le_bytes(record.context));
    Ok(Familiar { context, day: record.day, groups, rows: all })
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

/// A column's cells.
fn column<const WIDTH: usize>(bytes: &[u8]) -> Result<&[[u8; WIDTH]], StoreError> {
    let (cells, rest) = bytes.as_chunks();
    if rest.is_empty() { Ok(cells) } else { Err(Kind::Familiar.corrupt("is cut short")) }
}
