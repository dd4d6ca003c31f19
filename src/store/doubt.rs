//! Doubt about the records: they were lost, are older than what was sent since, or belong to another API.
//!
//! One small record says since when, and why. It raises the *era*: a group is in doubt until results confirm it in the present
//! era, and batches that were made before it are *overtaken*: perhaps sent, perhaps followed by newer ones, so never sent by
//! themselves. One write marks everything, and a crash leaves either no doubt or all of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::envelope::Kind;
use super::trees::{Draft, Shelf, Writing};
use super::{RunRecord, SourceState, Store, StoreError, keys, records};
use crate::report::{Phase, Trigger};
use crate::roster::ids::{BatchId, GroupRef, SourceName};

/// Why the records cannot be trusted, and how far they were confirmed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What happened, for a person: the beginning of a sentence.
    pub reason: String,
    /// Sources whose next export is held whole, until one is approved.
    pub sources: BTreeSet<SourceName>,
    /// Groups on record that no results have confirmed since.
    pub groups: BTreeSet<GroupRef>,
    overtaken: Option<BatchId>,
}

impl Doubt {
    /// Whether a batch was made before the doubt came up: it must not be sent by itself.
    pub fn has_overtaken(&self, batch: &BatchId) -> bool {
        self.overtaken.as_ref().is_some_and(|last| batch <= last)
    }
}

/// On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DoubtV1 {
    /// Counts up with every doubt.
    era: u64,
    since: DateTime<Utc>,
    reason: String,
    sources: BTreeSet<SourceName>,
    /// The newest batch on record when the doubt came up.
    overtaken: Option<BatchId>,
}

impl DoubtV1 {
    fn has_overtaken(&self, batch: &BatchId) -> bool {
        self.overtaken.as_ref().is_some_and(|last| batch <= last)
    }
}

impl Store {
    /// Marks everything on record as doubtful, and every batch as overtaken. The next export of each of `sources` is held whole
    /// until a person approves it; a group is in doubt until the results of an approved roster confirm it. `reason` says what
    /// happened, as the beginning of a sentence.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn mark_doubtful(
        &self,
        reason: &str,
        sources: impl IntoIterator<Item = SourceName>,
        since: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let (_, overtaken) = self.last_ids()?;
        let before = self.read_doubt()?;
        let mut waiting: BTreeSet<SourceName> = sources.into_iter().collect();
        let mut era = 1;
        if let Some(before) = before {
            era += before.era;
            waiting.extend(before.sources);
        }
        let doubt = DoubtV1 { era, since, reason: reason.to_owned(), sources: waiting, overtaken };
        let mut draft = Draft::default();
        draft_doubt(&writing, &mut draft, &doubt)?;
        writing.commit(&draft)
    }

    /// What is in doubt; none when the records never were. What was confirmed since is not in it, so that a doubt without
    /// sources and groups is over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn doubt(&self) -> Result<Option<Doubt>, StoreError> {
        let Some(DoubtV1 { era, since, reason, sources, overtaken }) = self.read_doubt()? else { return Ok(None) };
        let mut groups: BTreeSet<GroupRef> = BTreeSet::new();
        for shelf in [Shelf::Groups, Shelf::Rosters, Shelf::Outbox] {
            for group in self.ids_of::<GroupRef>(shelf)? {
                if self.confirmed_in(&group)? < era {
                    groups.insert(group);
                }
            }
        }
        Ok(Some(Doubt { since, reason, sources, groups, overtaken }))
    }

    /// Whether nothing was ever recorded, and nothing is in doubt.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_blank(&self) -> Result<bool, StoreError> {
        for shelf in [Shelf::Runs, Shelf::Rosters, Shelf::Sources] {
            if !self.inner.trees.keys(shelf, b"", 1)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(self.read_doubt()?.is_none())
    }

    /// Whether the group's record is in doubt: only the approval of a person may send it anything.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_doubtful(&self, group: &GroupRef) -> Result<bool, StoreError> {
        match self.read_doubt()? {
            Some(doubt) => Ok(self.is_on_record(group)? && self.confirmed_in(group)? < doubt.era),
            None => Ok(false),
        }
    }

    /// Whether the open batch of the group was overtaken by a doubt: it waits until an approved roster takes its place.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_overtaken(&self, group: &GroupRef) -> Result<bool, StoreError> {
        let Some(doubt) = self.read_doubt()? else { return Ok(false) };
        Ok(self.open_batch_id(group)?.is_some_and(|open| doubt.has_overtaken(&open)))
    }

    pub(super) fn has_overtaken(&self, batch: &BatchId) -> Result<bool, StoreError> {
        Ok(self.read_doubt()?.is_some_and(|doubt| doubt.has_overtaken(batch)))
    }

    fn is_on_record(&self, group: &GroupRef) -> Result<bool, StoreError> {
        let key = group.as_str().as_bytes();
        for shelf in [Shelf::Groups, Shelf::Rosters, Shelf::Outbox] {
            if self.inner.trees.holds(shelf, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The era in which the group was last confirmed, or first heard of.
    fn confirmed_in(&self, group: &GroupRef) -> Result<u64, StoreError> {
        let key = keys::era(group);
        let sealed = self.inner.trees.read(Shelf::Meta, &key)?;
        sealed.map_or(Ok(0), |sealed| records::uncount(&key, &sealed))
    }

    fn read_doubt(&self) -> Result<Option<DoubtV1>, StoreError> {
        let sealed = self.inner.trees.read(Shelf::Meta, keys::DOUBT)?;
        sealed.map(|sealed| records::unjson(Kind::Meta, keys::DOUBT, &sealed)).transpose()
    }

    /// Adds to a transaction that results have confirmed the group. Results of an overtaken batch confirm nothing.
    pub(super) fn draft_confirmed(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        batch: &crate::report::Batch,
    ) -> Result<(), StoreError> {
        match self.read_doubt()? {
            Some(doubt) if batch.phase == Phase::Completed && !doubt.has_overtaken(&batch.batch) => {
                draft_era(writing, draft, &batch.group, doubt.era)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Adds to a transaction that a group is heard of for the first time: nothing on record speaks of it, so nothing is in doubt.
    pub(super) fn draft_heard_of(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        group: &GroupRef,
    ) -> Result<(), StoreError> {
        match self.read_doubt()? {
            Some(doubt) if !self.is_on_record(group)? => draft_era(writing, draft, group, doubt.era),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds to a transaction that a group has another reference, in doubt as before.
    pub(super) fn draft_renamed(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        (from, to): (&GroupRef, &GroupRef),
    ) -> Result<(), StoreError> {
        if from == to || self.read_doubt()?.is_none() {
            return Ok(());
        }
        draft_era(writing, draft, to, self.confirmed_in(from)?)?;
        writing.remove(draft, Shelf::Meta, &keys::era(from))
    }

    /// Adds to a transaction that the approval of an export ends the doubt about its source.
    pub(super) fn draft_approved(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        (record, source): (&RunRecord, &SourceState),
    ) -> Result<(), StoreError> {
        let is_accepted = source.last_accepted.as_ref().is_some_and(|export| export.run == record.run.run);
        if record.run.trigger != Trigger::Approve || !is_accepted {
            return Ok(());
        }
        let Some(mut doubt) = self.read_doubt()? else { return Ok(()) };
        if doubt.sources.remove(&source.source) { draft_doubt(writing, draft, &doubt) } else { Ok(()) }
    }
}

fn draft_doubt(writing: &Writing<'_>, draft: &mut Draft, doubt: &DoubtV1) -> Result<(), StoreError> {
    writing.put(draft, Shelf::Meta, keys::DOUBT, &records::json(Kind::Meta, keys::DOUBT, doubt)?)
}

fn draft_era(writing: &Writing<'_>, draft: &mut Draft, group: &GroupRef, era: u64) -> Result<(), StoreError> {
    let key = keys::era(group);
    writing.put(draft, Shelf::Meta, &key, &records::count(&key, era))
}
