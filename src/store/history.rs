//! The way back: which groups a person was ever on, which batches led to a roster, and a group's roster as it was.
//!
//! Nothing is stored for each change. A group has one small index record, its *trace*: four bytes for everybody whom its batches
//! ever spoke of, written together with the roster. From the traces come the few groups that a person may have been in, and in
//! each of them the batches' changes are looked through. A trace only narrows the search: what it names is always checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::envelope::Kind;
use super::records::{self, RenameV1};
use super::trees::{Draft, Shelf, Writing};
use super::{BatchChanges, ChangeKind, MemberChange, Store, StoreError, keys};
use crate::report::{Batch, Phase};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId};
use crate::roster::{ConfirmedRoster, Entry};

/// A group's roster at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Who was on it, sorted by reference id, each with the record that was confirmed.
    pub members: Vec<Entry>,
    /// Since when each of them was on it without a break; who is lacking joined before what is on record.
    pub since: HashMap<ReferenceId, DateTime<Utc>>,
    /// The batch that had confirmed it; none where that is forgotten.
    pub confirmed_by: Option<(BatchId, DateTime<Utc>)>,
}

/// How far the way back leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// All the way.
    Known(Past),
    /// Nothing was confirmed before this time: what the API held is not known.
    Before(DateTime<Utc>),
    /// What ended before this time may have been forgotten.
    Forgotten(DateTime<Utc>),
    /// Nothing was ever confirmed for the group.
    Never,
}

/// Where to stop on the way back.
#[derive(Clone, Copy, Debug)]
pub enum Until<'a> {
    /// At what was confirmed then.
    Time(DateTime<Utc>),
    /// At what was confirmed before this batch.
    Batch(&'a BatchId),
}

/// A stretch of a group's batches that lie under one reference.
struct Stretch {
    group: GroupRef,
    from: Option<BatchId>,
    to: Option<BatchId>,
}

impl Store {
    /// The groups that a person, or somebody whose id differs in case or leading zeros only, may be or have been in. Sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn groups_of(&self, reference_id: &ReferenceId) -> Result<Vec<GroupRef>, StoreError> {
        let mark = mark(reference_id.as_str());
        let mut groups = Vec::new();
        self.inner.trees.each(Shelf::Traces, |key, sealed| {
            if records::untrace(key, sealed)?.binary_search(&mark).is_ok() {
                groups.push(super::runs::id_of(key)?);
            }
            Ok(())
        })?;
        Ok(groups)
    }

    /// What the batches of a group did about people whose id `is_meant`, oldest first; also under the names that the group had
    /// before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes_about(
        &self,
        group: &GroupRef,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<(BatchId, MemberChange)>, StoreError> {
        let mut found = Vec::new();
        for batch in self.batch_ids_of(group)? {
            let key = batch.as_str().as_bytes();
            if let Some(sealed) = self.inner.trees.read(Shelf::Changes, key)? {
                let changes = records::changes_of(key, &sealed, &is_meant)?;
                found.extend(changes.into_iter().map(|change| (batch.clone(), change)));
            }
        }
        Ok(found)
    }

    /// The batches of a group, oldest first; also those under the names that it had before, and none of another group that had
    /// its name before it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn batch_ids_of(&self, group: &GroupRef) -> Result<Vec<BatchId>, StoreError> {
        let mut batches = Vec::new();
        for stretch in self.stretches(group)? {
            let under_name = self.second_ids(Shelf::GroupBatches, stretch.group.as_str())?;
            let is_within = |batch: &BatchId| {
                stretch.from.as_ref().is_none_or(|from| from <= batch)
                    && stretch.to.as_ref().is_none_or(|to| batch < to)
            };
            batches.extend(under_name.into_iter().filter(is_within));
        }
        Ok(batches)
    }

    /// The reference that the group of a batch has now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn group_now(&self, group: &GroupRef, batch: &BatchId) -> Result<GroupRef, StoreError> {
        let mut name = group.clone();
        for rename in self.renames()? {
            if *batch < rename.marker && rename.from == name {
                name = rename.to;
            }
        }
        Ok(name)
    }

    /// What a group that once had this reference is called now; none when no group gave it up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn renamed_to(&self, group: &GroupRef) -> Result<Option<GroupRef>, StoreError> {
        let mut name = None;
        for rename in self.renames()? {
            if &rename.from == name.as_ref().unwrap_or(group) {
                name = Some(rename.to);
            }
        }
        Ok(name.filter(|name| name != group))
    }

    /// What ended before this time may be forgotten; none while nothing ever was.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn forgotten_before(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Some(sealed) = self.inner.trees.read(Shelf::Meta, keys::FORGOTTEN)? else { return Ok(None) };
        let millis = records::uncount(keys::FORGOTTEN, &sealed)?;
        let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
        time.map(Some).ok_or_else(|| StoreError::corrupt("the time of what was forgotten cannot be"))
    }

    /// A group's roster as it was, from the one that is confirmed now back through what each batch changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn roster_back(&self, group: &GroupRef, until: Until<'_>) -> Result<Back, StoreError> {
        // What a batch changes and the roster after it must fit each other.
        let _nobody = self.inner.trees.write();
        let Some(roster) = self.roster(group)? else { return Ok(Back::Never) };
        let batches = self.completed(group)?;
        let is_after = |batch: &Batch| match until {
            Until::Time(at) => batch.completed_at.is_some_and(|completed| at < completed),
            Until::Batch(id) => id <= &batch.batch,
        };
        let kept = batches.iter().rposition(|batch| !is_after(batch)).map_or(0, |at| at + 1);
        let (kept, undone) = batches.split_at_checked(kept).unwrap_or((&[], &batches));
        let wanted = match until {
            Until::Time(at) => Some(at),
            Until::Batch(_) => undone.first().and_then(|batch| batch.completed_at),
        };
        if let (Some(wanted), Some(forgotten)) = (wanted, self.forgotten_before()?)
            && wanted < forgotten
        {
            return Ok(Back::Forgotten(forgotten));
        }
        let mut members: BTreeMap<ReferenceId, Entry> =
            roster.members().iter().map(|entry| (entry.member.reference_id.clone(), entry.clone())).collect();
        for batch in undone.iter().rev() {
            if !self.changes(&batch.batch)?.take_back(&mut members)? {
                let detail = format!("the changes of batch {} do not lead to the roster of {group}", batch.batch);
                return Err(StoreError::corrupt(detail));
            }
        }
        // The first batch starts from nothing that we know of; a revert of it is a revert to nothing.
        if let (Until::Time(_), [], Some(first), true) = (until, kept, undone.first(), members.is_empty()) {
            return Ok(Back::Before(first.completed_at.unwrap_or(roster.confirmed_at)));
        }
        let mut since = HashMap::new();
        for batch in kept {
            for change in self.changes(&batch.batch)?.changes {
                if let (ChangeKind::Added | ChangeKind::Returned, Some(at)) = (change.kind(), batch.completed_at) {
                    since.insert(change.reference_id, at);
                }
            }
        }
        since.retain(|id, _| members.contains_key(id));
        let confirmed_by =
            kept.last().and_then(|batch| batch.completed_at.map(|completed| (batch.batch.clone(), completed)));
        Ok(Back::Known(Past { members: members.into_values().collect(), since, confirmed_by }))
    }

    /// Members of a batch's group before and after it; none for a batch without results, or beyond what is on record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sizes_around(&self, batch: &Batch) -> Result<Option<(u64, u64)>, StoreError> {
        if batch.phase != Phase::Completed {
            return Ok(None);
        }
        let _nobody = self.inner.trees.write();
        let group = self.group_now(&batch.group, &batch.batch)?;
        let Some(roster) = self.roster(&group)? else { return Ok(None) };
        let mut after = roster.members().len() as u64;
        for later in self.completed(&group)?.into_iter().rev() {
            let (joined, left) = self.joined_and_left(&later.batch)?;
            let Some(before) = (after + left).checked_sub(joined) else { return Ok(None) };
            if later.batch == batch.batch {
                return Ok(Some((before, after)));
            }
            after = before;
        }
        Ok(None)
    }

    fn joined_and_left(&self, batch: &BatchId) -> Result<(u64, u64), StoreError> {
        let (mut joined, mut left) = (0, 0);
        for kind in self.change_kinds(batch)? {
            match kind {
                ChangeKind::Added | ChangeKind::Returned => joined += 1,
                ChangeKind::Removed => left += 1,
                ChangeKind::Changed | ChangeKind::AddFailed | ChangeKind::RemoveFailed => {}
            }
        }
        Ok((joined, left))
    }

    fn completed(&self, group: &GroupRef) -> Result<Vec<Batch>, StoreError> {
        let mut completed = Vec::new();
        for id in self.batch_ids_of(group)? {
            completed.extend(self.batch(&id)?.filter(|batch| batch.phase == Phase::Completed));
        }
        Ok(completed)
    }

    fn renames(&self) -> Result<Vec<RenameV1>, StoreError> {
        let sealed = self.inner.trees.read(Shelf::Meta, keys::RENAMES)?;
        sealed.map_or(Ok(Vec::new()), |sealed| records::unjson(Kind::Renames, keys::RENAMES, &sealed))
    }

    /// The last id that a rename took, so that none is given out twice.
    pub(super) fn last_marker(&self) -> Result<Option<BatchId>, StoreError> {
        Ok(self.renames()?.pop().map(|rename| rename.marker))
    }

    /// The references under which a group's batches lie, oldest first.
    fn stretches(&self, group: &GroupRef) -> Result<Vec<Stretch>, StoreError> {
        let mut stretches = Vec::new();
        let (mut name, mut to) = (group.clone(), None);
        for rename in self.renames()?.into_iter().rev() {
            if rename.to == name {
                stretches.push(Stretch { group: name, from: Some(rename.marker.clone()), to });
                (name, to) = (rename.from, Some(rename.marker));
            } else if rename.from == name {
                // Another group had the name until then.
                stretches.push(Stretch { group: name, from: Some(rename.marker), to });
                stretches.reverse();
                return Ok(stretches);
            }
        }
        stretches.push(Stretch { group: name, from: None, to });
        stretches.reverse();
        Ok(stretches)
    }

    /// Adds everybody whom a settlement speaks of to the group's trace.
    pub(super) fn draft_trace(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        group: &GroupRef,
        (roster, changes): (Option<&ConfirmedRoster>, &BatchChanges),
    ) -> Result<(), StoreError> {
        let members = roster.iter().flat_map(|roster| roster.members()).map(|entry| &entry.member.reference_id);
        let former = roster.iter().flat_map(|roster| roster.former());
        let named = changes.changes.iter().map(|change| &change.reference_id);
        let marks = members.chain(former).chain(named).map(|id| mark(id.as_str()));
        self.draft_marks(writing, draft, group, marks)
    }

    fn draft_marks(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        group: &GroupRef,
        marks: impl Iterator<Item = u32>,
    ) -> Result<(), StoreError> {
        let key = group.as_str().as_bytes();
        let known = match self.inner.trees.read(Shelf::Traces, key)? {
            Some(sealed) => records::untrace(key, &sealed)?,
            None => Vec::new(),
        };
        let mut all: Vec<u32> = known.iter().copied().chain(marks).collect();
        all.sort_unstable();
        all.dedup();
        if all == known {
            return Ok(());
        }
        writing.put(draft, Shelf::Traces, key, &records::trace(key, &all))
    }

    /// Lets a group's trace go with it to another reference, and notes when it did.
    pub(super) fn draft_rename(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        (from, to): (&GroupRef, &GroupRef),
    ) -> Result<(), StoreError> {
        let (old, new) = (from.as_str().as_bytes(), to.as_str().as_bytes());
        let trace = |key: &[u8]| match self.inner.trees.read(Shelf::Traces, key)? {
            Some(sealed) => records::untrace(key, &sealed),
            None => Ok(Vec::new()),
        };
        // Whoever had the new reference before may have left a trace there.
        let mut marks = trace(old)?;
        marks.extend(trace(new)?);
        marks.sort_unstable();
        marks.dedup();
        writing.put(draft, Shelf::Traces, new, &records::trace(new, &marks))?;
        writing.remove(draft, Shelf::Traces, old)?;
        let mut renames = self.renames()?;
        // A new id is later than those of all batches so far, whatever the clock says.
        let marker = self.ids().batch(DateTime::UNIX_EPOCH);
        renames.push(RenameV1 { marker, from: from.clone(), to: to.clone() });
        writing.put(draft, Shelf::Meta, keys::RENAMES, &records::json(Kind::Renames, keys::RENAMES, &renames)?)
    }

    /// Notes that what ended before `before` may be gone.
    pub(super) fn draft_forgotten(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let before = self.forgotten_before()?.map_or(before, |known| known.max(before));
        // Rounded up: what is said to be known is known.
        let millis = u64::try_from(before.timestamp_millis().saturating_add(1)).unwrap_or(0);
        writing.put(draft, Shelf::Meta, keys::FORGOTTEN, &records::count(keys::FORGOTTEN, millis))
    }

    /// Removes the traces of groups of which nothing is left.
    pub(super) fn forget_traces(&self, groups: &BTreeSet<GroupRef>) -> Result<(), StoreError> {
        for group in groups {
            let writing = self.inner.trees.write();
            let key = group.as_str().as_bytes();
            if self.inner.trees.holds(Shelf::Rosters, key)?
                || !self.inner.trees.holds(Shelf::Traces, key)?
                || !self.inner.trees.keys(Shelf::GroupBatches, &keys::first(group.as_str()), 1)?.is_empty()
            {
                continue;
            }
            let mut draft = Draft::default();
            writing.remove(&mut draft, Shelf::Traces, key)?;
            writing.commit(&draft)?;
        }
        Ok(())
    }

    /// Makes the traces of a state that has none yet. What a crash leaves of them is made again: they only ever grow.
    pub(super) fn build_traces(&self) -> Result<(), StoreError> {
        let mut marks: BTreeMap<GroupRef, BTreeSet<u32>> = BTreeMap::new();
        for batch in self.ids_of::<BatchId>(Shelf::Changes)? {
            let Some(record) = self.batch(&batch)? else { continue };
            let marks = marks.entry(record.group).or_default();
            marks.extend(self.changes(&batch)?.changes.iter().map(|change| mark(change.reference_id.as_str())));
        }
        self.each_roster(|roster| {
            let members = roster.members().iter().map(|entry| &entry.member.reference_id);
            let all = members.chain(roster.former()).map(|id| mark(id.as_str()));
            marks.entry(roster.group.clone()).or_default().extend(all);
        })?;
        let writing = self.inner.trees.write();
        for (group, marks) in marks {
            let mut draft = Draft::default();
            self.draft_marks(&writing, &mut draft, &group, marks.into_iter())?;
            writing.stage(&draft)?;
        }
        Ok(())
    }
}

/// An id without what people get wrong about ids: case, and the zeros that a spreadsheet drops.
pub fn folded(reference_id: &str) -> String {
    reference_id.trim_start_matches('0').to_lowercase()
}

/// Four bytes that stand for an id, and for those like it. On disk: it must never become another.
pub(super) fn mark(reference_id: &str) -> u32 {
    let hash = blake3::hash(folded(reference_id).as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
