//! From what was read and what is known to a plan that can be recorded, or only looked at.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::config::{PlanChange, Source};
use crate::control::Export;
use crate::export::problem::Broken;
use crate::plan::{self, Approval, Plan, reasons};
use crate::report::{Arrival, Batch, Counts, FileFacts, PlanReport, Reason};
use crate::roster::familiar::Familiar;
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId, SourceName};
use crate::roster::{Absence, ConfirmedRoster, Entry, Loss};
use crate::store::{AcceptedExport, FileEnding, GroupRecord, Packed, Store, StoreError, Work};

use super::baseline::{self, Glimpse};
use super::examine::{self, ExamineError, Examined, Surveyed};
use super::{Desk, SyncError, today, unreadable};

/// What a plan is made for.
pub(super) enum Purpose {
    /// To be looked at: no payload is composed, and nothing is stored.
    Look {
        /// When the file was last modified.
        modified: DateTime<Utc>,
        /// Groups of the export that are not on record, and that the API has.
        found: Vec<GroupRecord>,
    },
    /// To be carried out.
    Carry {
        /// When the file was last modified.
        modified: DateTime<Utc>,
        /// What a person released.
        approval: Option<Approval>,
    },
}

impl Purpose {
    fn is_carried_out(&self) -> bool {
        match self {
            Self::Look { .. } => false,
            Self::Carry { .. } => true,
        }
    }
}

/// A plan and all that carrying it out needs, free of borrows.
pub(super) struct Planned {
    pub(super) report: PlanReport,
    pub(super) counts: Counts,
    pub(super) works: Vec<Packed>,
    pub(super) is_held_whole: bool,
    pub(super) absences: BTreeMap<ReferenceId, Absence>,
    pub(super) losses: Vec<Loss>,
    pub(super) ending: FileEnding,
    /// What the next export of the source need not be read for; none of a plan that is only looked at.
    pub(super) familiar: Option<Familiar>,
}

/// How an export ends, beside the last accepted one of its source; looked at again, it is what it was then.
fn ending(examined: &Examined, last: Option<&AcceptedExport>) -> FileEnding {
    match last {
        _ if examined.reading.open.is_none() => FileEnding::Ended,
        Some(last) if last.sha256 == examined.sha256 => last.ending.unwrap_or(FileEnding::Open),
        Some(AcceptedExport { ending: Some(FileEnding::Ended), .. }) => FileEnding::Doubted,
        _ => FileEnding::Open,
    }
}

impl Desk {
    /// Compares what was read with what is confirmed. Writes nothing.
    pub(super) async fn plan(
        &self,
        source: &Source,
        run: &RunId,
        (mut examined, known): (Examined, Glimpse),
        purpose: Purpose,
    ) -> Result<Planned, SyncError> {
        let state = self.source_state(&source.name).await?;
        let (source, run, now) = (source.clone(), run.clone(), self.clock.now());
        let members_per_request = self.config.api.members_per_request;
        let has_other_sources = 1 < self.config.sources.len();
        let sources: Vec<SourceName> = self.config.sources.iter().map(|source| source.name.clone()).collect();
        let planned = self.store.call(move |store| {
            let ending = ending(&examined, state.last_accepted.as_ref());
            if ending == FileEnding::Doubted {
                examined.reading.distrust_open_row();
            }
            let known = known.complete(store, &examined.reading)?;
            let mut groups = store.groups()?;
            let is_repeat = state.last_accepted.as_ref().is_some_and(|last| last.sha256 == examined.sha256);
            let doubt = known.doubt.clone().filter(|doubt| doubt.sources.contains(&source.name));
            // How often in a row somebody was missing is part of what is in doubt.
            let absences = if doubt.is_some() { BTreeMap::new() } else { state.absences.clone() };
            let (modified, approval) = match &purpose {
                // A copy of the last accepted export is a duplicate, however old it is.
                Purpose::Look { modified, found } => {
                    groups.extend(found.iter().cloned());
                    (Some(*modified).filter(|_| !is_repeat), None)
                }
                Purpose::Carry { modified, approval } => (Some(*modified), approval.as_ref()),
            };
            let baselines = known.baselines(&groups, &source, &examined.reading);
            let losses = baseline::losses(store, &sources)?;
            let previous = baseline::previous(store, &source.name, &state, &examined.sha256)?;
            let input = plan::Input {
                run: &run,
                source: &source.name,
                reading: &examined.reading,
                baselines: &baselines,
                absences: &absences,
                losses: &losses,
                is_repeat,
                previous,
                modified,
                mistrust: doubt.as_ref().map(|doubt| plan::Mistrust { reason: &doubt.reason, has_other_sources }),
                policy: plan::Policy {
                    guards: &source.guards,
                    confirm_absence: source.confirm_absence.get(),
                    members_per_request,
                    replace_plans: source.plan.change == PlanChange::Replace,
                },
                approval,
                now,
            };
            let mut plan = plan::plan(input);
            let file = FileFacts { name: examined.name, sha256: examined.sha256, rows: examined.reading.rows };
            let (counts, is_held_whole) = (plan.counts(), plan.is_held_whole);
            let (absences, losses) = (std::mem::take(&mut plan.absences), std::mem::take(&mut plan.losses));
            let batches = if purpose.is_carried_out() { batches(store, &plan, now) } else { BTreeMap::new() };
            let (mut report, works) = plan::summary::tell(plan, Some(file), |group| {
                batches.get(group.group).map(|batch| work(store, group, batch, &input)).transpose()
            });
            let works = works.into_iter().filter_map(Result::transpose).collect::<Result<Vec<Packed>, StoreError>>()?;
            let ids: BTreeMap<&GroupRef, &GroupRecord> = groups.iter().map(|record| (&record.group, record)).collect();
            for group in &mut report.groups {
                group.group_id = ids.get(&group.group).and_then(|record| record.id.clone());
            }
            let familiar = if purpose.is_carried_out() {
                Some(Familiar::of(examined.context, examined.recognized.as_ref(), examined.reading))
            } else {
                // To give back the memory of a million people takes a tenth of the whole, and nobody need wait for it.
                // Where no thread can be had it is done here.
                drop(std::thread::Builder::new().spawn(move || drop(examined.reading)));
                None
            };
            Ok(Planned { report, counts, works, is_held_whole, absences, losses, ending, familiar })
        });
        Ok(planned.await?)
    }

    /// What is known, as far as it can be loaded while an export of the source is read.
    pub(super) async fn glimpse(&self, source: &Source) -> Result<Glimpse, StoreError> {
        // Where there is no other source, nearly all is the source's.
        let owner = (1 < self.config.sources.len()).then(|| source.name.clone());
        self.store.call(move |store| Glimpse::load(store, owner.as_ref())).await
    }

    /// What would change. Sends and stores nothing. When the export names a group that nobody has heard of, the API is asked
    /// whether it has it, as a pass would do; without a key that group counts as one to be made.
    ///
    /// # Errors
    /// [`SyncError`]; a broken file is an answer, with the verdict `reject`.
    pub async fn plan_file(
        &self,
        path: &Path,
        export: &Export,
        source: &SourceName,
    ) -> Result<Result<(PlanReport, Counts), Broken>, SyncError> {
        let source = self.source(source)?;
        self.plan_surveyed(source, (path, export), examine::survey(path, source)).await
    }

    /// [`Desk::plan_file`] for whoever has begun to look at the export already.
    ///
    /// # Errors
    /// As there.
    pub async fn plan_surveyed(
        &self,
        source: &Source,
        (path, export): (&Path, &Export),
        survey: impl Future<Output = Result<Surveyed, ExamineError>>,
    ) -> Result<Result<(PlanReport, Counts), Broken>, SyncError> {
        let today = today(source, export.as_of, self.clock.now());
        self.look_at_inbox(source).await?;
        let survey = async { Ok(survey.await?.to_look_at()) };
        let looked = self.look(source, survey, today).await?;
        let (examined, known) = match looked {
            Ok((examined, known)) => (Examined { name: export.name.clone(), ..examined }, known),
            Err(ExamineError::Broken(broken)) => return Ok(Err(broken)),
            Err(ExamineError::Read(error)) => return Err(unreadable(path, error)),
        };
        if let Some(broken) = examine::unusable(&examined.reading) {
            return Ok(Err(broken));
        }
        let found = if self.config.api.key.is_some() { self.find_groups(&examined).await?.theirs } else { Vec::new() };
        let run = self.store.ids().run(self.clock.now());
        let purpose = Purpose::Look { modified: export.modified, found };
        let planned = self.plan(source, &run, (examined, known), purpose).await?;
        Ok(Ok((planned.report, planned.counts)))
    }
}

/// One batch for each group whose roster changes.
fn batches(store: &Store, plan: &Plan<'_>, now: DateTime<Utc>) -> BTreeMap<GroupRef, BatchId> {
    let changed = plan.groups.iter().filter(|group| !plan.is_held_whole && group.is_changed());
    changed.map(|group| (group.group.clone(), store.ids().batch(now))).collect()
}

/// What a group's batch is to deliver.
fn work(
    store: &Store,
    group: &plan::GroupPlan<'_>,
    id: &BatchId,
    input: &plan::Input<'_>,
) -> Result<Packed, StoreError> {
    let payload = whole_payload(store, group, input)?;
    let removals = group.removals().map(|removals| removals as u64);
    let mut batch = Batch::pending(id.clone(), input.run.clone(), group.group.clone(), payload.len(), removals);
    batch.moves_in = group.moves_in().into_iter().map(Arrival::from).collect();
    batch.moves_out = group.moves_out();
    batch.reasons = reasons::of_removals(input, group);
    batch.reasons.extend(earlier_reasons(store, group)?);
    Work { batch, payload }.pack()
}

/// The whole roster to submit: with those for whom nothing changes.
fn whole_payload(
    store: &Store,
    group: &plan::GroupPlan<'_>,
    input: &plan::Input<'_>,
) -> Result<Vec<Entry>, StoreError> {
    let decided = group.payload(input);
    if group.alike() == 0 {
        return Ok(decided);
    }
    let members = store.roster(group.group)?.map(ConfirmedRoster::into_members).unwrap_or_default();
    let alike: Vec<Entry> =
        members.into_iter().filter(|entry| !group.decides_about(&entry.member.reference_id)).collect();
    // Whoever was counted has to be there: a roster without them would end their coverage.
    if alike.len() != group.alike() {
        let detail = "its roster is another one than the plan was made for".to_owned();
        return Err(StoreError::OutOfOrder { group: group.group.clone(), detail });
    }
    Ok(crate::roster::merged(decided, alike))
}

/// Why people are left out who were left out by what is queued already: the batch that takes its place must say it as well.
fn earlier_reasons(store: &Store, group: &plan::GroupPlan<'_>) -> Result<Vec<Reason>, StoreError> {
    let is_leaving = |decision: &&plan::Decision<'_>| matches!(decision.class, plan::Class::Leaving);
    let mut leaving = group.decisions.iter().filter(is_leaving).peekable();
    if leaving.peek().is_none() {
        return Ok(Vec::new());
    }
    let queued = [store.next_work(group.group)?, store.work(group.group)?];
    let batches: Vec<Batch> = queued.into_iter().flatten().map(|work| work.batch).collect();
    let reason = |decision: &plan::Decision<'_>| {
        batches.iter().find_map(|batch| {
            let reason = batch.reasons.iter().find(|reason| reason.reference_id == *decision.reference_id)?;
            let run = reason.run.clone().or_else(|| Some(batch.run.clone()));
            Some(Reason { run, ..reason.clone() })
        })
    };
    Ok(leaving.filter_map(reason).collect())
}
