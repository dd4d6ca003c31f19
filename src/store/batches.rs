//! Batches and the outbox. A group has at most one open batch, and at most one that waits behind it; a newer roster
//! takes the place of one that was not sent yet. Payloads lie in a tree of their own, so that a change of phase rewrites
//! the small record only.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::envelope::Kind;
use super::open::generation;
use super::rosters::{draft_group, draft_roster};
use super::runs::{draft_run, id_of};
use super::sources::draft_source;
use super::trees::{Draft, Shelf, Writing};
use super::{
    BatchChanges, GroupRecord, Packed, RunRecord, Settlement, SourceState, Store, StoreError, Work, keys, records,
};
use crate::report::{Batch, Phase, Trigger};
use crate::roster::familiar::Familiar;
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId};
use crate::roster::{ConfirmedRoster, Entry};

impl Store {
    /// A batch's record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn batch(&self, batch: &BatchId) -> Result<Option<Batch>, StoreError> {
        let key = batch.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Batches, key)?;
        sealed.map(|sealed| records::unjson(Kind::Batch, key, &sealed)).transpose()
    }

    /// The ids that begin with what a person typed, with or without `bat_`, oldest first, at most 32.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find_batch(&self, prefix: &str) -> Result<Vec<BatchId>, StoreError> {
        self.find(Shelf::Batches, prefix, "bat_")
    }

    /// The batches of a run, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn batches_of(&self, run: &RunId) -> Result<Vec<Batch>, StoreError> {
        self.second_ids(Shelf::RunBatches, run.as_str())?
            .iter()
            .filter_map(|batch| self.batch(batch).transpose())
            .collect()
    }

    /// All batches of a group, oldest first: the way back through its rosters.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn batches_of_group(&self, group: &GroupRef) -> Result<Vec<Batch>, StoreError> {
        self.second_ids(Shelf::GroupBatches, group.as_str())?
            .iter()
            .filter_map(|batch| self.batch(batch).transpose())
            .collect()
    }

    /// The newest batch of a group, whatever became of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_batch(&self, group: &GroupRef) -> Result<Option<Batch>, StoreError> {
        let Some(key) = self.inner.trees.last_key(Shelf::GroupBatches, &keys::first(group.as_str()))? else {
            return Ok(None);
        };
        self.batch(&second_id(&key)?)
    }

    /// The open batch of a group, with its payload.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn work(&self, group: &GroupRef) -> Result<Option<Work>, StoreError> {
        self.consistently(|store| store.work_on(Shelf::Outbox, group))
    }

    /// The open batch of a group, without its payload.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_batch(&self, group: &GroupRef) -> Result<Option<Batch>, StoreError> {
        self.batch_on(Shelf::Outbox, group)
    }

    /// The batch that waits behind the open one, without its payload.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next_batch(&self, group: &GroupRef) -> Result<Option<Batch>, StoreError> {
        self.batch_on(Shelf::Waiting, group)
    }

    /// The batch that waits behind the open one, with its payload.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next_work(&self, group: &GroupRef) -> Result<Option<Work>, StoreError> {
        self.consistently(|store| store.work_on(Shelf::Waiting, group))
    }

    /// What the open and the waiting batch of a group submit for one person, in that order; none for whom they leave out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn under_way_of(
        &self,
        group: &GroupRef,
        reference_id: &ReferenceId,
    ) -> Result<Vec<(Batch, Option<Entry>)>, StoreError> {
        self.consistently(|store| {
            let mut found = Vec::new();
            for shelf in [Shelf::Outbox, Shelf::Waiting] {
                let Some(batch) = store.batch_on(shelf, group)? else { continue };
                let key = batch.batch.as_str().as_bytes();
                let Some(sealed) = store.inner.trees.read(Shelf::Payloads, key)? else { continue };
                let entry = records::payload_of(key, &sealed, |id| id == reference_id.as_str())?.pop();
                found.push((batch, entry));
            }
            Ok(found)
        })
    }

    /// Whom earlier rosters may have put on a group although nothing was confirmed: they were sent, or may have been, and ended
    /// without results. Until the next results, whoever is here counts as perhaps covered. Sorted by reference id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn abroad(&self, group: &GroupRef) -> Result<Vec<Entry>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Abroad, key)?;
        sealed.map_or(Ok(Vec::new()), |sealed| records::unpayload(key, &sealed))
    }

    /// The groups with somebody [`Store::abroad`], sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn groups_abroad(&self) -> Result<Vec<GroupRef>, StoreError> {
        self.ids_of(Shelf::Abroad)
    }

    /// Lets the open batch of a group go out at once instead of at its next attempt. Answers it; none without an open batch.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn hasten(&self, group: &GroupRef) -> Result<Option<Batch>, StoreError> {
        let writing = self.inner.trees.write();
        let Some(mut batch) = self.batch_on(Shelf::Outbox, group)? else { return Ok(None) };
        if batch.phase == Phase::Pending && batch.not_before.take().is_some() {
            let mut draft = Draft::default();
            draft_batch(&writing, &mut draft, &batch)?;
            writing.commit(&draft)?;
        }
        Ok(Some(batch))
    }

    /// The groups with an open batch, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn groups_with_work(&self) -> Result<Vec<GroupRef>, StoreError> {
        self.ids_of(Shelf::Outbox)
    }

    /// Records an accepted run with everything that follows from it, together or not at all: run, plan, batches, outbox,
    /// source, and the content that `source.last_accepted` names when this run accepted it.
    ///
    /// A group without open work gets its work opened; open work that is still `pending` is superseded; behind
    /// work that may have left, the new work waits, and supersedes what waited there. Answers the superseded batches,
    /// which end at `run.received_at`.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] for two works of one group, a batch that is not pending or that is on record already;
    /// otherwise when it cannot be written.
    pub fn accept(&self, record: &RunRecord, works: Vec<Work>, source: &SourceState) -> Result<Vec<Batch>, StoreError> {
        let works = works.into_iter().map(Work::pack).collect::<Result<Vec<_>, _>>()?;
        self.accept_with(record, works, source, None)
    }

    /// [`Store::accept`], with what the export's rows said.
    ///
    /// # Errors
    /// As there.
    pub fn accept_with(
        &self,
        record: &RunRecord,
        works: Vec<Packed>,
        source: &SourceState,
        familiar: Option<&Familiar>,
    ) -> Result<Vec<Batch>, StoreError> {
        let writing = self.inner.trees.write();
        self.check_works(works.iter().map(|work| &work.batch))?;
        self.check_doubts(record, works.iter().map(|work| &work.batch))?;
        // Payloads first, each for itself: they are large, nothing points to them yet, and what a crash leaves of them
        // is swept when the store is opened.
        let mut batches = Vec::with_capacity(works.len());
        for Packed { batch, payload } in works {
            let key = batch.batch.as_str().as_bytes();
            let mut draft = Draft::default();
            writing.put(&mut draft, Shelf::Payloads, key, &payload)?;
            writing.stage(&draft)?;
            batches.push(batch);
        }
        let mut draft = Draft::default();
        let mut superseded = Vec::new();
        draft_run(&writing, &mut draft, record)?;
        // A schedule may have fired since the caller read the source.
        let fired = self.source(&source.source)?.map_or_else(|| source.fired.clone(), |known| known.fired);
        draft_source(&writing, &mut draft, &SourceState { fired, ..source.clone() })?;
        if let Some(export) = &source.last_accepted
            && export.run == record.run.run
        {
            let key = keys::accepted(&source.source, &export.sha256);
            writing.put(&mut draft, Shelf::Accepted, &key, &records::text(&key, export.run.as_str()))?;
        }
        self.draft_approved(&writing, &mut draft, (record, source))?;
        for batch in &batches {
            superseded.extend(self.draft_work(&writing, &mut draft, batch, record.run.received_at)?);
        }
        writing.commit(&draft)?;
        if let Some(familiar) = familiar {
            self.keep_familiar(&source.source, familiar);
        }
        Ok(superseded)
    }

    /// Records that the open batch of a group moved on.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] when it is not the open batch, or has ended: [`Store::settle`] and
    /// [`Store::replace_open`] record ends.
    pub fn record_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        self.check_open(batch)?;
        if batch.phase.is_final() {
            let detail = format!("batch {} has ended and cannot stay open", batch.batch);
            return Err(StoreError::out_of_order(&batch.group, detail));
        }
        let mut draft = Draft::default();
        draft_batch(&writing, &mut draft, batch)?;
        writing.commit(&draft)
    }

    /// Puts a batch that ended long ago on record, with what it changed, and does not wait for the disk: years of them are made
    /// for measurements. A roster that comes along is confirmed by it.
    #[doc(hidden)]
    pub fn stage_past(
        &self,
        batch: &Batch,
        changes: &BatchChanges,
        roster: Option<&ConfirmedRoster>,
    ) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut draft = Draft::default();
        draft_ids(&writing, &mut draft, batch)?;
        let key = batch.batch.as_str().as_bytes();
        writing.put(&mut draft, Shelf::Changes, key, &records::changes(key, changes)?)?;
        if let Some(roster) = roster {
            draft_roster(&writing, &mut draft, roster)?;
        }
        self.draft_trace(&writing, &mut draft, &batch.group, (roster, changes))?;
        writing.stage(&draft)
    }

    /// Records how the open batch ended, together or not at all: its record, the confirmed roster, what changed, and the
    /// outbox. Answers the work that waited behind it and is open now.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] when it is not the open batch, has not ended, or the roster is of another group;
    /// otherwise when it cannot be written.
    pub fn settle(&self, settlement: &Settlement) -> Result<Option<Work>, StoreError> {
        self.end(settlement, None)
    }

    /// [`Store::settle`], with work that takes the place of the batch if nothing waits behind it.
    ///
    /// # Errors
    /// As [`Store::settle`].
    pub fn settle_with(&self, settlement: &Settlement, successor: Option<Work>) -> Result<Option<Work>, StoreError> {
        self.end(settlement, successor)
    }

    /// Gives the open batch, which has not left, another payload; and lets `then` wait behind it. Together or not at all.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] when `now` is not the open batch or may have left, when `then` is not new, or when something
    /// waits already; otherwise when it cannot be written.
    pub fn part_open(&self, now: &Work, then: Option<&Work>) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        self.check_open(&now.batch)?;
        let open = self.batch_on(Shelf::Outbox, &now.batch.group)?;
        let has_left = open.is_none_or(|open| open.phase != Phase::Pending || open.attempts != 0);
        if has_left || now.batch.phase != Phase::Pending {
            let detail = format!("batch {} may have left and cannot be changed", now.batch.batch);
            return Err(StoreError::out_of_order(&now.batch.group, detail));
        }
        let mut draft = Draft::default();
        let key = now.batch.batch.as_str().as_bytes();
        writing.put(&mut draft, Shelf::Payloads, key, &records::payload(key, &now.payload)?)?;
        draft_batch(&writing, &mut draft, &now.batch)?;
        if let Some(Work { batch, payload }) = then {
            if batch.group != now.batch.group || self.batch_id_on(Shelf::Waiting, &batch.group)?.is_some() {
                let detail = format!("batch {} cannot wait: another one does", batch.batch);
                return Err(StoreError::out_of_order(&batch.group, detail));
            }
            self.check_works([batch])?;
            let key = batch.batch.as_str().as_bytes();
            let mut staged = Draft::default();
            writing.put(&mut staged, Shelf::Payloads, key, &records::payload(key, payload)?)?;
            writing.stage(&staged)?;
            draft_ids(&writing, &mut draft, batch)?;
            let group = batch.group.as_str().as_bytes();
            writing.put(&mut draft, Shelf::Waiting, group, &records::text(group, batch.batch.as_str()))?;
        }
        writing.commit(&draft)
    }

    fn end(&self, settlement: &Settlement, successor: Option<Work>) -> Result<Option<Work>, StoreError> {
        let Settlement { batch, roster, changes, pause } = settlement;
        let writing = self.inner.trees.write();
        self.check_open(batch)?;
        if !batch.phase.is_final() {
            let detail = format!("batch {} has not ended", batch.batch);
            return Err(StoreError::out_of_order(&batch.group, detail));
        }
        let mut draft = Draft::default();
        if let Some(roster) = roster {
            if roster.group != batch.group {
                let detail = format!("batch {} cannot confirm the roster of {}", batch.batch, roster.group);
                return Err(StoreError::out_of_order(&batch.group, detail));
            }
            draft_roster(&writing, &mut draft, roster)?;
        }
        if roster.is_some() {
            self.draft_confirmed(&writing, &mut draft, batch)?;
        }
        if !changes.changes().is_empty() {
            let key = batch.batch.as_str().as_bytes();
            writing.put(&mut draft, Shelf::Changes, key, &records::changes(key, changes)?)?;
        }
        self.draft_trace(&writing, &mut draft, &batch.group, (roster.as_ref(), changes))?;
        if let (Some(why), Some(group)) = (pause, self.group(&batch.group)?) {
            draft_group(&writing, &mut draft, &GroupRecord { paused: Some(why.clone()), ..group })?;
        }
        let generation = generation(&self.inner.trees)? + 1;
        writing.put(&mut draft, Shelf::Meta, keys::GENERATION, &records::count(keys::GENERATION, generation))?;
        let waiting = self.draft_end(&writing, &mut draft, batch)?;
        // Read now, since a newer roster may take its place once others write; the settlement stands whatever it is.
        let next = match (waiting, successor) {
            (Some(waiting), _) => Some(self.with_payload(waiting)),
            (None, Some(successor)) => {
                self.draft_successor(&writing, &mut draft, &successor.batch, &successor.payload)?;
                Some(Ok(successor))
            }
            (None, None) => None,
        };
        writing.commit(&draft)?;
        // After the flush, so that it never promises more than there is. The settlement stands whatever happens here.
        self.inner.settlements.reach(generation);
        let told = self.inner.settlements.settle(generation, |last| self.sentinel(last).write(&self.inner.dir));
        if let Err(error) = told {
            tracing::warn!(%error, "the sentinel of the state could not be brought up to date");
        }
        next.transpose()
    }

    /// Records that the open batch ended without results (`lost`, `refused`, `superseded`): the roster stays as it is.
    /// Answers the work that is open now: what waited behind it, else `successor`.
    ///
    /// # Errors
    /// As [`Store::settle`].
    pub fn replace_open(&self, ended: &Batch, successor: Option<Work>) -> Result<Option<Work>, StoreError> {
        let settlement = Settlement::unchanged(ended.clone(), None);
        self.end(&settlement, successor)
    }

    /// Removes payloads that nothing points to: those of an `accept` that a crash cut off.
    pub(super) fn sweep_payloads(&self) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut wanted: BTreeSet<BatchId> = BTreeSet::new();
        for shelf in [Shelf::Outbox, Shelf::Waiting] {
            for group in self.ids_of::<GroupRef>(shelf)? {
                wanted.extend(self.batch_id_on(shelf, &group)?);
            }
        }
        for key in self.inner.trees.keys(Shelf::Payloads, b"", usize::MAX)? {
            if !wanted.contains(&id_of(&key)?) {
                let mut draft = Draft::default();
                writing.remove(&mut draft, Shelf::Payloads, &key)?;
                // A crash that takes this back leaves it to the next start.
                writing.stage(&draft)?;
            }
        }
        Ok(())
    }

    /// The open batch of a group.
    pub(super) fn open_batch_id(&self, group: &GroupRef) -> Result<Option<BatchId>, StoreError> {
        self.batch_id_on(Shelf::Outbox, group)
    }

    fn check_works<'a>(&self, batches: impl IntoIterator<Item = &'a Batch>) -> Result<(), StoreError> {
        let mut groups = BTreeSet::new();
        for batch in batches {
            let fault = if !groups.insert(&batch.group) {
                "is the second of its group in this run"
            } else if batch.phase != Phase::Pending {
                "is new but not pending"
            } else if self.inner.trees.holds(Shelf::Batches, batch.batch.as_str().as_bytes())? {
                "is on record already"
            } else {
                continue;
            };
            return Err(StoreError::out_of_order(&batch.group, format!("batch {} {fault}", batch.batch)));
        }
        Ok(())
    }

    /// Whoever plans for a group in doubt without a person's approval has a fault: nothing of it may be sent.
    fn check_doubts<'a>(
        &self,
        record: &RunRecord,
        batches: impl IntoIterator<Item = &'a Batch>,
    ) -> Result<(), StoreError> {
        if record.run.trigger == Trigger::Approve {
            return Ok(());
        }
        for batch in batches {
            if self.is_doubtful(&batch.group)? {
                let detail = format!("the record is in doubt, and nobody approved run {}", record.run.run);
                return Err(StoreError::out_of_order(&batch.group, detail));
            }
        }
        Ok(())
    }

    fn check_open(&self, batch: &Batch) -> Result<(), StoreError> {
        match self.open_batch_id(&batch.group)? {
            Some(open) if open == batch.batch => Ok(()),
            Some(open) => {
                let detail = format!("batch {} is not the open one, which is {open}", batch.batch);
                Err(StoreError::out_of_order(&batch.group, detail))
            }
            None => {
                let detail = format!("batch {} is not open", batch.batch);
                Err(StoreError::out_of_order(&batch.group, detail))
            }
        }
    }

    /// Adds a new batch to a transaction, in its place in the outbox. Answers what it supersedes.
    fn draft_work(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        batch: &Batch,
        now: DateTime<Utc>,
    ) -> Result<Vec<Batch>, StoreError> {
        let group = batch.group.as_str().as_bytes();
        draft_ids(writing, draft, batch)?;
        let id = batch.batch.as_str();

        let open = self.batch_on(Shelf::Outbox, &batch.group)?;
        let waiting = self.batch_on(Shelf::Waiting, &batch.group)?;
        // What a doubt has overtaken is left alone by the deliverer, wherever it stands, and would block the new work for ever.
        let is_overtaken = open.as_ref().map_or(Ok(false), |open| self.has_overtaken(&open.batch))?;
        let may_have_left = !is_overtaken && open.as_ref().is_some_and(|open| open.phase != Phase::Pending);
        let (place, replaced) = if may_have_left {
            (Shelf::Waiting, vec![waiting])
        } else {
            if waiting.is_some() {
                writing.remove(draft, Shelf::Waiting, group)?;
            }
            (Shelf::Outbox, vec![open, waiting])
        };
        writing.put(draft, place, group, &records::text(group, id))?;
        let mut superseded = Vec::new();
        for mut old in replaced.into_iter().flatten() {
            old.phase = Phase::Superseded;
            old.completed_at = Some(now);
            old.error = Some(format!("a newer roster of the group took its place ({})", batch.run));
            draft_batch(writing, draft, &old)?;
            self.draft_abroad(writing, draft, &old)?;
            writing.remove(draft, Shelf::Payloads, old.batch.as_str().as_bytes())?;
            superseded.push(old);
        }
        Ok(superseded)
    }

    /// Adds the end of the open batch to a transaction. Answers the batch that is open afterwards.
    fn draft_end(&self, writing: &Writing<'_>, draft: &mut Draft, ended: &Batch) -> Result<Option<Batch>, StoreError> {
        let group = ended.group.as_str().as_bytes();
        draft_batch(writing, draft, ended)?;
        self.draft_abroad(writing, draft, ended)?;
        writing.remove(draft, Shelf::Payloads, ended.batch.as_str().as_bytes())?;
        let waiting = self.batch_on(Shelf::Waiting, &ended.group)?;
        if let Some(next) = &waiting {
            writing.put(draft, Shelf::Outbox, group, &records::text(group, next.batch.as_str()))?;
            writing.remove(draft, Shelf::Waiting, group)?;
        } else {
            writing.remove(draft, Shelf::Outbox, group)?;
        }
        Ok(waiting)
    }

    /// Remembers whom a batch without results may have put on the group. Results say what the API holds, and end the doubt.
    fn draft_abroad(&self, writing: &Writing<'_>, draft: &mut Draft, ended: &Batch) -> Result<(), StoreError> {
        let group = ended.group.as_str().as_bytes();
        if ended.phase == Phase::Completed {
            return writing.remove(draft, Shelf::Abroad, group);
        }
        // A first attempt that was refused left nothing behind.
        let has_arrived_nowhere = ended.attempts == 0 || (ended.phase == Phase::Refused && ended.attempts == 1);
        if has_arrived_nowhere {
            return Ok(());
        }
        let payload = self.with_payload(ended.clone())?.payload;
        let abroad = crate::roster::merged(payload, self.abroad(&ended.group)?);
        writing.put(draft, Shelf::Abroad, group, &records::payload(group, &abroad)?)
    }

    /// Adds a batch that takes the place of the one that ended. Its id is new, so its records are.
    fn draft_successor(
        &self,
        writing: &Writing<'_>,
        draft: &mut Draft,
        batch: &Batch,
        payload: &[Entry],
    ) -> Result<(), StoreError> {
        self.check_works([batch])?;
        let key = batch.batch.as_str().as_bytes();
        let mut staged = Draft::default();
        writing.put(&mut staged, Shelf::Payloads, key, &records::payload(key, payload)?)?;
        writing.stage(&staged)?;
        draft_ids(writing, draft, batch)?;
        let group = batch.group.as_str().as_bytes();
        // The end of the batch before it removed the group's place in this very draft: the last word counts.
        writing.put(draft, Shelf::Outbox, group, &records::text(group, batch.batch.as_str()))
    }

    fn batch_id_on(&self, shelf: Shelf, group: &GroupRef) -> Result<Option<BatchId>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(shelf, key)?;
        sealed.map(|sealed| records::untext(key, &sealed)).transpose()
    }

    fn batch_on(&self, shelf: Shelf, group: &GroupRef) -> Result<Option<Batch>, StoreError> {
        let Some(id) = self.batch_id_on(shelf, group)? else { return Ok(None) };
        let batch = self.batch(&id)?;
        batch.map(Some).ok_or_else(|| StoreError::corrupt(format!("the record of batch {id} is missing")))
    }

    pub(super) fn work_on(&self, shelf: Shelf, group: &GroupRef) -> Result<Option<Work>, StoreError> {
        self.batch_on(shelf, group)?.map(|batch| self.with_payload(batch)).transpose()
    }

    fn with_payload(&self, batch: Batch) -> Result<Work, StoreError> {
        let sealed = self.sealed_payload(&batch)?;
        Ok(Work { payload: records::unpayload(batch.batch.as_str().as_bytes(), &sealed)?, batch })
    }

    pub(super) fn sealed_payload(&self, batch: &Batch) -> Result<Vec<u8>, StoreError> {
        let sealed = self.inner.trees.read(Shelf::Payloads, batch.batch.as_str().as_bytes())?;
        sealed.ok_or_else(|| StoreError::corrupt(format!("the payload of batch {} is missing", batch.batch)))
    }

    /// Reads several records that must fit each other, while nobody writes.
    pub(super) fn consistently<T>(&self, read: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _nobody = self.inner.trees.write();
        read(self)
    }

    pub(super) fn second_ids(&self, shelf: Shelf, first: &str) -> Result<Vec<BatchId>, StoreError> {
        self.inner.trees.keys(shelf, &keys::first(first), usize::MAX)?.iter().map(|key| second_id(key)).collect()
    }
}

fn draft_batch(writing: &Writing<'_>, draft: &mut Draft, batch: &Batch) -> Result<(), StoreError> {
    let key = batch.batch.as_str().as_bytes();
    writing.put(draft, Shelf::Batches, key, &records::json(Kind::Batch, key, batch)?)
}

/// Adds a new batch's record and the ways to find it to a transaction.
fn draft_ids(writing: &Writing<'_>, draft: &mut Draft, batch: &Batch) -> Result<(), StoreError> {
    draft_batch(writing, draft, batch)?;
    let key = keys::run_batch(&batch.run, &batch.batch);
    writing.put(draft, Shelf::RunBatches, &key, &records::index(&key))?;
    let key = keys::group_batch(&batch.group, &batch.batch);
    writing.put(draft, Shelf::GroupBatches, &key, &records::index(&key))
}

pub(super) fn second_id(key: &[u8]) -> Result<BatchId, StoreError> {
    keys::second(key)
        .and_then(|id| BatchId::parse(id).ok())
        .ok_or_else(|| StoreError::corrupt("a key is not a pair of ids"))
}
