//! Familiar rows by the million: column by column, in the bytes in which they lie on disk. They are looked at there; to make values of all of
//! them would take as long as to compare them.

use std::fmt;

use super::{MemberDigest, PersonKey, RowDigest};

/// In place of the digest of a row that is never passed over.
pub(super) const NO_ROW: RowDigest = RowDigest([0; 2]);
const NO_GROUP: u32 = u32::MAX;
const NO_MEMBER: MemberDigest = MemberDigest(0);

/// What one row said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamiliarRow {
    /// The row.
    pub row: RowDigest,
    /// Whom it is about.
    pub person: PersonKey,
    /// The record that it covers them with; [`NO_MEMBER`] where it says that they are not covered.
    member: MemberDigest,
    /// The group that it names; [`NO_GROUP`] where it names none.
    group: u32,
    /// The first day on which it may say something else, in days of the common era.
    pub until: i32,
}

impl FamiliarRow {
    /// A row that names a group, or none, and covers its person there, or does not.
    pub fn new(
        row: RowDigest,
        person: PersonKey,
        (group, member): (Option<u32>, Option<MemberDigest>),
        until: i32,
    ) -> Self {
        Self { row, person, member: member.unwrap_or(NO_MEMBER), group: group.unwrap_or(NO_GROUP), until }
    }

    /// The place in [`super::Familiar::groups`] of the group that it names.
    pub fn group(&self) -> Option<u32> {
        (self.group != NO_GROUP).then_some(self.group)
    }

    /// The record that it covers its person with.
    pub fn member(&self) -> Option<MemberDigest> {
        (self.member != NO_MEMBER).then_some(self.member)
    }

    /// Where it puts the person; none where it says that they are not covered.
    pub fn covers(&self) -> Option<Covers> {
        Some(Covers { group: self.group()?, member: self.member()? })
    }
}

/// Where a row puts a person, and with which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covers {
    /// The group's place in [`super::Familiar::groups`].
    pub group: u32,
    /// The record.
    pub member: MemberDigest,
}

/// Rows in the order of an export.
#[derive(Clone)]
pub struct FamiliarRows {
    /// From `start` on: the digests of all rows, then of all people, then of all records, each with its lowest byte first.
    bytes: Vec<u8>,
    start: usize,
    groups: Vec<u32>,
    until: Vec<i32>,
}

/// Bytes of the digests of a row, of a person, of a record.
const ROW: usize = 16;
const PERSON: usize = 8;
const MEMBER: usize = 8;

/// The digest of a row.
type Halves = [[u8; ROW / 2]; 2];

impl FamiliarRows {
    /// Rows whose digests lie in `bytes` from `start` on as [`FamiliarRows::digests`] gives them. None where there are not as many of
    /// each.
    pub fn from_digests(bytes: Vec<u8>, start: usize, groups: Vec<u32>, until: Vec<i32>) -> Option<Self> {
        let digests = bytes.len().checked_sub(start)?;
        let is_whole = until.len() == groups.len() && digests == until.len().checked_mul(ROW + PERSON + MEMBER)?;
        is_whole.then_some(Self { bytes, start, groups, until })
    }

    /// These rows.
    pub fn of<'a>(rows: impl ExactSizeIterator<Item = &'a FamiliarRow> + Clone) -> Self {
        let mut bytes = Vec::with_capacity(rows.len() * (ROW + PERSON + MEMBER));
        bytes.extend(rows.clone().flat_map(|row| row.row.0).flat_map(u64::to_le_bytes));
        bytes.extend(rows.clone().flat_map(|row| row.person.0.to_le_bytes()));
        bytes.extend(rows.clone().flat_map(|row| row.member.0.to_le_bytes()));
        let groups = rows.clone().map(|row| row.group).collect();
        Self { bytes, start: 0, groups, until: rows.map(|row| row.until).collect() }
    }

    /// 16 bytes for each row, then 8 for each person, then 8 for each record, 0 where nobody is covered.
    pub fn digests(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Of each row the place in [`super::Familiar::groups`] of the group that it names; the largest number where it names none.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Of each row the first day on which it may say something else, in days of the common era.
    pub fn until(&self) -> &[i32] {
        &self.until
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Whether each names a group below this one, or none.
    pub fn name_groups_below(&self, n_groups: usize) -> bool {
        self.groups.iter().all(|group| *group == NO_GROUP || (*group as usize) < n_groups)
    }

    /// Where the first row with this digest is, among so many from a place on.
    pub(super) fn find(&self, row: RowDigest, from: usize, n_rows: usize) -> Option<usize> {
        let wanted = row.0.map(u64::to_le_bytes);
        let rows = self.columns().0.get(from..).unwrap_or_default();
        rows.iter().take(n_rows).position(|row| *row == wanted).map(|at| from + at)
    }

    /// The digest of the row at a place.
    pub(super) fn row_digest(&self, at: usize) -> Option<RowDigest> {
        self.columns().0.get(at).map(row)
    }

    /// The digests of all rows.
    pub(super) fn row_digests(&self) -> impl Iterator<Item = RowDigest> {
        self.columns().0.iter().map(row)
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = FamiliarRow> {
        let (rows, people, members) = self.columns();
        let digests = rows.iter().zip(people).zip(members);
        let beside = self.groups.iter().zip(&self.until);
        digests.zip(beside).map(|(((digest, person), member), (group, until))| FamiliarRow {
            row: row(digest),
            person: PersonKey(u64::from_le_bytes(*person)),
            member: MemberDigest(u64::from_le_bytes(*member)),
            group: *group,
            until: *until,
        })
    }

    #[inline]
    fn columns(&self) -> (&[Halves], &[[u8; PERSON]], &[[u8; MEMBER]]) {
        let (rows, rest) = self.digests().split_at_checked(self.len() * ROW).unwrap_or_default();
        let (people, members) = rest.split_at_checked(self.len() * PERSON).unwrap_or_default();
        (rows.as_chunks().0.as_chunks().0, people.as_chunks().0, members.as_chunks().0)
    }
}

#[inline]
fn row(halves: &Halves) -> RowDigest {
    RowDigest(halves.map(u64::from_le_bytes))
}

impl PartialEq for FamiliarRows {
    fn eq(&self, other: &Self) -> bool {
        self.digests() == other.digests() && self.groups == other.groups && self.until == other.until
    }
}

impl Eq for FamiliarRows {}

impl fmt::Debug for FamiliarRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
