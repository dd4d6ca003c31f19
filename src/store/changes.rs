//! What each batch changed, person by person: the ground of `member`, `roster --at` and `revert`.
//!
//! A change keeps what takes it back, and no more: who joined is taken off again, who left is put back as they were, and whose record
//! changed gets back what its fields said. The way back begins at the confirmed roster and goes batch by batch, so that nothing else is needed. A
//! batch also keeps what stands for the records that it led to: fields are never put back into a record that they are not of.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::envelope::Kind;
use super::trees::Shelf;
use super::{Store, StoreError, records};
use crate::roster::familiar::MemberDigest;
use crate::roster::ids::{BatchId, PlanId, ReferenceId};
use crate::roster::member::{Field, Member};
use crate::roster::{Entry, Origin};

/// What a batch changed about one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Who.
    pub reference_id: ReferenceId,
    /// What happened.
    pub what: Change,
}

/// What happened to a person in a batch, and what takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Added. Their record came from there.
    Added(Origin),
    /// Added again after a removal. Their record came from there.
    Returned(Origin),
    /// Record updated.
    Changed {
        /// Where the new record came from.
        origin: Origin,
        /// What the former one said.
        former: Box<Former>,
    },
    /// Removed. Their last record.
    Removed(Box<Entry>),
    /// The API could not add the person: not covered, tried again with the next roster.
    AddFailed,
    /// The API could not remove the person: still covered. Their record came from there.
    RemoveFailed(Origin),
}

/// What happened, without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// [`Change::Added`]
    Added,
    /// [`Change::Returned`]
    Returned,
    /// [`Change::Changed`]
    Changed,
    /// [`Change::Removed`]
    Removed,
    /// [`Change::AddFailed`]
    AddFailed,
    /// [`Change::RemoveFailed`]
    RemoveFailed,
}

/// What a record was before it changed: the fields that said something else, and what is known beside them.
#[derive(Clone, PartialEq, Eq)]
pub struct Former {
    /// Each field that changed with what it said, as [`Member::value`] tells it.
    pub(super) values: Vec<(Field, Option<CompactString>)>,
    pub(super) origin: Origin,
    pub(super) subscribed_plan: PlanId,
}

/// Names the fields only: what they say is personal.
impl std::fmt::Debug for Former {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<Field> = self.values.iter().map(|(field, _)| *field).collect();
        f.debug_struct("Former").field("fields", &fields).finish_non_exhaustive()
    }
}

/// All that a batch changed, sorted by reference id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchChanges {
    pub(super) changes: Vec<MemberChange>,
    /// The sum of the digests of the records that these people had after the batch, as far as they had one.
    pub(super) afterwards: u64,
}

impl MemberChange {
    /// The record was one and is another, of the same person.
    pub fn changed(before: &Entry, after: &Entry) -> Self {
        let fields = before.member.changed_fields(&after.member).iter();
        let former = Former {
            values: fields.map(|field| (field, before.member.value(field).map(CompactString::from))).collect(),
            origin: before.origin.clone(),
            subscribed_plan: before.subscribed_plan.clone(),
        };
        let what = Change::Changed { origin: after.origin.clone(), former: Box::new(former) };
        Self { reference_id: after.member.reference_id.clone(), what }
    }

    /// Removed, with this as their last record.
    pub fn removed(before: &Entry) -> Self {
        Self { reference_id: before.member.reference_id.clone(), what: Change::Removed(Box::new(before.clone())) }
    }

    /// What happened.
    pub fn kind(&self) -> ChangeKind {
        match self.what {
            Change::Added(_) => ChangeKind::Added,
            Change::Returned(_) => ChangeKind::Returned,
            Change::Changed { .. } => ChangeKind::Changed,
            Change::Removed(_) => ChangeKind::Removed,
            Change::AddFailed => ChangeKind::AddFailed,
            Change::RemoveFailed(_) => ChangeKind::RemoveFailed,
        }
    }

    /// Where the record came from that the group has of the person since, or had last; none for whom it never had.
    pub fn origin(&self) -> Option<&Origin> {
        match &self.what {
            Change::Added(origin)
            | Change::Returned(origin)
            | Change::Changed { origin, .. }
            | Change::RemoveFailed(origin) => Some(origin),
            Change::Removed(entry) => Some(&entry.origin),
            Change::AddFailed => None,
        }
    }

    /// The fields that changed, in the order of the payload.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        let former = if let Change::Changed { former, .. } = &self.what { former.values.as_slice() } else { &[] };
        former.iter().map(|(field, _)| *field)
    }
}

impl BatchChanges {
    /// Changes, sorted by reference id, that led to the records that `after` finds.
    pub fn new<'a>(changes: Vec<MemberChange>, after: impl Fn(&ReferenceId) -> Option<&'a Entry>) -> Self {
        let afterwards = digests(&changes, |id| after(id).map(|entry| &entry.member)).unwrap_or_default();
        Self { changes, afterwards }
    }

    /// The changes, sorted by reference id.
    pub fn changes(&self) -> &[MemberChange] {
        &self.changes
    }

    /// Turns the roster that the batch led to into the one before it. Answers whether it is that roster; if it is not, it is left as it is.
    pub(super) fn take_back(self, members: &mut BTreeMap<ReferenceId, Entry>) -> Result<bool, StoreError> {
        if digests(&self.changes, |id| members.get(id).map(|entry| &entry.member)) != Some(self.afterwards) {
            return Ok(false);
        }
        for MemberChange { reference_id, what } in self.changes {
            match what {
                Change::Added(_) | Change::Returned(_) => drop(members.remove(&reference_id)),
                Change::Removed(before) => drop(members.insert(reference_id, *before)),
                Change::Changed { former, .. } => {
                    members.get_mut(&reference_id).map_or(Ok(()), |entry| former.put_back(entry))?;
                }
                Change::AddFailed | Change::RemoveFailed(_) => {}
            }
        }
        Ok(true)
    }
}

/// The sum of the digests of the records that people have after a change; none where somebody has a record who should have none, or
/// the other way round.
fn digests<'a>(changes: &[MemberChange], after: impl Fn(&ReferenceId) -> Option<&'a Member>) -> Option<u64> {
    let mut scratch = Vec::new();
    let mut sum = 0_u64;
    for change in changes {
        let has_record = !matches!(change.kind(), ChangeKind::Removed | ChangeKind::AddFailed);
        match after(&change.reference_id) {
            Some(member) if has_record => sum = sum.wrapping_add(MemberDigest::of(member, &mut scratch).0),
            None if !has_record => {}
            Some(_) | None => return None,
        }
    }
    Some(sum)
}

impl Former {
    fn put_back(self, entry: &mut Entry) -> Result<(), StoreError> {
        for (field, value) in &self.values {
            if !entry.member.set_value(*field, value.as_deref()) {
                return Err(Kind::Changes.corrupt("holds a value that cannot be"));
            }
        }
        entry.origin = self.origin;
        entry.subscribed_plan = self.subscribed_plan;
        Ok(())
    }
}

impl Store {
    /// What a batch changed; nothing for one that has not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes(&self, batch: &BatchId) -> Result<BatchChanges, StoreError> {
        let key = batch.as_str().as_bytes();
        match self.inner.trees.read(Shelf::Changes, key)? {
            Some(sealed) => records::unchanges(key, &sealed),
            None => Ok(BatchChanges::default()),
        }
    }

    /// The kinds of what a batch changed, one for each change: those of a first load are everybody's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn change_kinds(&self, batch: &BatchId) -> Result<Vec<ChangeKind>, StoreError> {
        let key = batch.as_str().as_bytes();
        match self.inner.trees.read(Shelf::Changes, key)? {
            Some(sealed) => records::change_kinds(key, &sealed),
            None => Ok(Vec::new()),
        }
    }
}
