//! Runs and their plans. A plan has a record of its own, since lists of runs do not need it and it can be large.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::envelope::Kind;
use super::records::{self, PlanKeepsV1, RunV1};
use super::trees::{Draft, Shelf, Writing};
use super::{RunRecord, Store, StoreError, keys};
use crate::report::{KeptMember, PlanReport, Reason, Run, RunState};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId, SourceName};

/// As many ids as an ambiguous prefix is answered with.
pub(super) const MAX_FOUND: usize = 32;

/// Which runs to list; `None` lets every run through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Those that had a batch of this group, or a guard that spoke of it.
    pub group: Option<GroupRef>,
    /// Those of this source.
    pub source: Option<SourceName>,
    /// Those in this state.
    pub state: Option<RunState>,
    /// Those received then or later.
    pub since: Option<DateTime<Utc>>,
}

impl Store {
    /// A run with its plan.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let key = run.as_str().as_bytes();
        let Some(RunV1 { run, filed_as }) = self.run_without_plan(key)? else { return Ok(None) };
        let plan = self.plan_of(&run.run)?;
        Ok(Some(RunRecord { run, plan, filed_as }))
    }

    /// A run's plan, which is never changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn plan_of(&self, run: &RunId) -> Result<Option<PlanReport>, StoreError> {
        let key = run.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Plans, key)?;
        sealed.map(|sealed| records::unjson(Kind::Plan, key, &sealed)).transpose()
    }

    /// A run without its plan, which tells of everybody in a first load: not to be read where nobody asks for it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn bare_run(&self, run: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let found = self.run_without_plan(run.as_str().as_bytes())?;
        Ok(found.map(|RunV1 { run, filed_as }| RunRecord { run, plan: None, filed_as }))
    }

    /// Where a run's plan keeps a person as they are, group by group, and why coverage would end otherwise.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_by(
        &self,
        run: &RunId,
        reference_id: &ReferenceId,
    ) -> Result<Vec<(GroupRef, KeptMember, Option<Reason>)>, StoreError> {
        let key = run.as_str().as_bytes();
        let Some(sealed) = self.inner.trees.read(Shelf::Plans, key)? else { return Ok(Vec::new()) };
        let Some(PlanKeepsV1 { groups }) = records::plan_keeps(key, &sealed, reference_id)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for group in groups {
            let reason = group.reasons.into_iter().find(|reason| reason.reference_id == *reference_id);
            let kept = group.kept.into_iter().find(|kept| kept.reference_id == *reference_id);
            found.extend(kept.map(|kept| (group.group, kept, reason)));
        }
        Ok(found)
    }

    /// Runs, newest first, at most `limit`. Their plans are not read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, StoreError> {
        let of_group = filter.group.as_ref().map(|group| self.runs_of_group(group)).transpose()?;
        let mut found = Vec::new();
        for key in self.inner.trees.keys_back(Shelf::Runs, Vec::new(), None) {
            if limit <= found.len() {
                break;
            }
            // A run that was forgotten since its key was read is passed over.
            if let Some(RunV1 { run, .. }) = self.run_without_plan(&key?)?
                && filter.lets_through(&run, of_group.as_ref())
            {
                found.push(run);
            }
        }
        Ok(found)
    }

    /// The runs that came after this one, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs_after(&self, filter: &RunFilter, after: &RunId) -> Result<Vec<Run>, StoreError> {
        let mut found = Vec::new();
        for key in self.inner.trees.keys_back(Shelf::Runs, Vec::new(), None) {
            let key = key?;
            if key.as_ref() <= after.as_str().as_bytes() {
                break;
            }
            let run = self.run_without_plan(&key)?.map(|record| record.run);
            found.extend(run.filter(|run| filter.lets_through(run, None)));
        }
        Ok(found)
    }

    /// The run among a source's newest `limit` whose file lies there, relative to its inbox. Reads no plan but that run's: a pass
    /// asks this for every file.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_filed_as(
        &self,
        source: &SourceName,
        filed_as: &str,
        limit: usize,
    ) -> Result<Option<RunRecord>, StoreError> {
        let mut looked_at = 0;
        for key in self.inner.trees.keys_back(Shelf::Runs, Vec::new(), None) {
            if limit <= looked_at {
                break;
            }
            if let Some(found) = self.run_without_plan(&key?)?.filter(|found| found.run.source == *source) {
                if found.filed_as.as_deref() == Some(filed_as) {
                    return self.run(&found.run.run);
                }
                looked_at += 1;
            }
        }
        Ok(None)
    }

    /// The ids that begin with what a person typed, with or without `run_`, oldest first, at most 32.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find_run(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        self.find(Shelf::Runs, prefix, "run_")
    }

    /// The newest ids on record, where new ones go on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_ids(&self) -> Result<(Option<RunId>, Option<BatchId>), StoreError> {
        // Only ids of our shape: one that sorts behind them all would not tell where to go on.
        let run = self.inner.trees.last_key(Shelf::Runs, b"run_")?;
        let batch = self.inner.trees.last_key(Shelf::Batches, b"bat_")?;
        Ok((run.map(|key| id_of(&key)).transpose()?, batch.map(|key| id_of(&key)).transpose()?))
    }

    /// Records a run. Without a plan, one that is on record already stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_run(&self, record: &RunRecord) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut draft = Draft::default();
        draft_run(&writing, &mut draft, record)?;
        writing.commit(&draft)
    }

    /// Changes a run's record while nobody else does. Answers it as it is then; none for an unknown run.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn update_run(
        &self,
        run: &RunId,
        change: impl FnOnce(&mut RunRecord),
    ) -> Result<Option<RunRecord>, StoreError> {
        self.change_run(run, |record| {
            change(record);
            Ok(true)
        })
    }

    /// Changes a run's record while nobody else does, if `change` says so. Answers it as it is then; none for an unknown run,
    /// and when nothing was changed. `change` may read the store, and must not write to it. The plan is neither read nor changed.
    ///
    /// # Errors
    /// When it cannot be read or written, and those of `change`.
    pub fn change_run(
        &self,
        run: &RunId,
        change: impl FnOnce(&mut RunRecord) -> Result<bool, StoreError>,
    ) -> Result<Option<RunRecord>, StoreError> {
        self.change_run_alone(self.inner.trees.write(), run, change)
    }

    fn change_run_alone(
        &self,
        writing: Writing<'_>,
        run: &RunId,
        change: impl FnOnce(&mut RunRecord) -> Result<bool, StoreError>,
    ) -> Result<Option<RunRecord>, StoreError> {
        let Some(mut record) = self.bare_run(run)? else { return Ok(None) };
        if !change(&mut record)? {
            return Ok(None);
        }
        let mut draft = Draft::default();
        draft_run(&writing, &mut draft, &record)?;
        writing.commit(&draft)?;
        Ok(Some(record))
    }

    /// Ends a run that is being delivered once all its batches have ended: `end` works out what it came to. Answers it; none
    /// while a batch is left, and when it had ended before.
    ///
    /// # Errors
    /// When it cannot be read or written, and those of `end`.
    pub fn end_run(
        &self,
        run: &RunId,
        end: impl FnOnce(&mut Run) -> Result<(), StoreError>,
    ) -> Result<Option<Run>, StoreError> {
        let writing = self.inner.trees.write();
        // First, since it is asked at the end of each batch: the record of a run names them all, and takes longer to read.
        if self.undelivered(run).next().transpose()?.is_some() {
            return Ok(None);
        }
        let ended = self.change_run_alone(writing, run, |record| {
            if record.run.state != RunState::Delivering {
                return Ok(false);
            }
            end(&mut record.run).map(|()| true)
        })?;
        Ok(ended.map(|record| record.run))
    }

    /// Forgets runs that were finished before `before`, with their plans, batches and changes. What was accepted, and
    /// whatever still waits to be delivered, is kept. Answers how many. Where history lies in an archive it is written anew.
    ///
    /// # Errors
    /// When it cannot be written; runs that were forgotten until then stay forgotten.
    pub fn forget_before(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        let mut groups = BTreeSet::new();
        for run in self.ids_of::<RunId>(Shelf::Runs)? {
            let writing = self.inner.trees.write();
            let key = run.as_str().as_bytes();
            let Some(RunV1 { run: record, .. }) = self.run_without_plan(key)? else { continue };
            let batches = self.batches_of(&run)?;
            if record.finished_at.is_none_or(|at| before <= at) || batches.iter().any(|batch| !batch.phase.is_final()) {
                continue;
            }
            // The last accepted export of a source stays known: its dates are looked at again.
            if self.is_last_accepted(&run)? {
                continue;
            }
            let mut draft = Draft::default();
            self.draft_forgotten(&writing, &mut draft, before)?;
            for batch in &batches {
                groups.insert(batch.group.clone());
                let id = batch.batch.as_str().as_bytes();
                writing.remove(&mut draft, Shelf::Batches, id)?;
                writing.remove(&mut draft, Shelf::Changes, id)?;
                writing.remove(&mut draft, Shelf::RunBatches, &keys::run_batch(&run, &batch.batch))?;
                writing.remove(&mut draft, Shelf::GroupBatches, &keys::group_batch(&batch.group, &batch.batch))?;
            }
            writing.remove(&mut draft, Shelf::Plans, key)?;
            writing.remove(&mut draft, Shelf::Runs, key)?;
            writing.commit(&draft)?;
            forgotten += 1;
        }
        self.forget_traces(&groups)?;
        if forgotten != 0 && self.inner.trees.archived()? != 0 {
            // Who is forgotten is to be nowhere on the disk, and an archive is never changed.
            self.compact()?;
        }
        Ok(forgotten)
    }

    fn is_last_accepted(&self, run: &RunId) -> Result<bool, StoreError> {
        for source in self.ids_of::<SourceName>(Shelf::Sources)? {
            let last = self.source(&source)?.and_then(|state| state.last_accepted);
            if last.is_some_and(|last| last.run == *run) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn run_without_plan(&self, key: &[u8]) -> Result<Option<RunV1>, StoreError> {
        let Some(sealed) = self.inner.trees.read(Shelf::Runs, key)? else { return Ok(None) };
        records::unjson(Kind::Run, key, &sealed).map(Some)
    }

    fn runs_of_group(&self, group: &GroupRef) -> Result<BTreeSet<RunId>, StoreError> {
        Ok(self.batches_of_group(group)?.into_iter().map(|batch| batch.run).collect())
    }

    /// All ids of a shelf, sorted.
    pub(super) fn ids_of<T: std::str::FromStr>(&self, shelf: Shelf) -> Result<Vec<T>, StoreError> {
        self.inner.trees.keys(shelf, b"", usize::MAX)?.iter().map(|key| id_of(key)).collect()
    }

    pub(super) fn find<T: std::str::FromStr>(
        &self,
        shelf: Shelf,
        typed: &str,
        usual: &str,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = self.inner.trees.keys(shelf, typed.as_bytes(), MAX_FOUND)?;
        if found.is_empty() {
            found = self.inner.trees.keys(shelf, format!("{usual}{typed}").as_bytes(), MAX_FOUND)?;
        }
        found.iter().map(|key| id_of(key)).collect()
    }
}

impl RunFilter {
    /// Runs with batches under way.
    pub fn delivering() -> Self {
        Self { state: Some(RunState::Delivering), ..Self::default() }
    }

    fn lets_through(&self, run: &Run, of_group: Option<&BTreeSet<RunId>>) -> bool {
        let group = of_group.is_none_or(|runs| {
            runs.contains(&run.run) || run.guards.iter().any(|guard| guard.group.is_some() && guard.group == self.group)
        });
        group
            && self.source.as_ref().is_none_or(|source| &run.source == source)
            && self.state.is_none_or(|state| run.state == state)
            && self.since.is_none_or(|since| since <= run.received_at)
    }
}

/// Adds a run and its plan to a transaction.
pub(super) fn draft_run(writing: &Writing<'_>, draft: &mut Draft, record: &RunRecord) -> Result<(), StoreError> {
    let key = record.run.run.as_str().as_bytes();
    let run = RunV1 { run: record.run.clone(), filed_as: record.filed_as.clone() };
    writing.put(draft, Shelf::Runs, key, &records::json(Kind::Run, key, &run)?)?;
    if let Some(plan) = &record.plan {
        writing.put(draft, Shelf::Plans, key, &records::json(Kind::Plan, key, plan)?)?;
    }
    Ok(())
}

/// The id that a key is.
pub(super) fn id_of<T: std::str::FromStr>(key: &[u8]) -> Result<T, StoreError> {
    std::str::from_utf8(key)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::corrupt("a key is not an id"))
}
