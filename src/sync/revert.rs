//! `revert BATCH`: the roster as it was before a batch becomes the plan of its group. Guarded, held and approved like any plan; a
//! source's last accepted export and its absences stay what they are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::{Mode, Source};
use crate::control::{Answer, Progress, Refusal};
use crate::plan::revert::{self as undo, Asked, Wanted};
use crate::plan::{self, Approval, Baseline};
use crate::report::{
    AcceptedStatus, Batch, Counts, GuardVerdict, Phase, PlanReport, RevertReport, Run, RunState, Trigger,
};
use crate::roster::Entry;
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId, SourceName};
use crate::store::{Back, ChangeKind, RunRecord, SourceState, Store, StoreError, Until, Work};

use super::baseline::Known;
use super::{Desk, Release, Turn, held_reason, is_news};

/// Who asks for a revert, and on what grounds.
pub(super) struct Order {
    pub(super) batch: BatchId,
    pub(super) trigger: Trigger,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) release: Option<Release>,
}

/// What is to be undone.
struct Target {
    batch: Batch,
    source: Source,
    /// The group as it is called now.
    group: GroupRef,
    name: String,
    old: Vec<Entry>,
    touched: BTreeSet<ReferenceId>,
}

/// A plan with all that recording it needs.
struct Drawn {
    report: PlanReport,
    counts: Counts,
    work: Option<Work>,
    is_held_whole: bool,
}

impl Desk {
    pub(super) async fn revert(
        &self,
        batch: &str,
        reason: String,
        actor: String,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Answer, Refusal> {
        let typed = batch.to_owned();
        let found = self.store.call(move |store| store.find_batch(&typed)).await?;
        let [batch] = found.as_slice() else {
            let said = if found.is_empty() { "no batch begins" } else { "more than one batch begins" };
            return Err(Refusal::usage(format!(
                "{said} with {batch}; `rosterd history` and `rosterd show RUN` list them"
            )));
        };
        let turn = self.turn.lock().await;
        let news = self.deliverer.news();
        let order = Order { batch: batch.clone(), trigger: Trigger::Revert, actor, reason, release: None };
        let run = self.revert_in_turn(order, &turn).await?;
        drop(turn);
        self.wait(run, news, progress).await
    }

    /// Releases what a held revert holds: the same batch is undone again, and passes the guards as far as they were shown.
    pub(super) async fn approve_revert(&self, held: &Run, order: Order, turn: &Turn<'_>) -> Result<Run, Refusal> {
        let run = self.revert_in_turn(order, turn).await?;
        let (old, new) = (held.run.clone(), run.run.clone());
        self.store
            .call(move |store| {
                store.change_run(&old, |record| {
                    let is_held = record.run.state == RunState::Held;
                    if is_held {
                        record.run.state = RunState::Superseded;
                        record.run.reason = Some(format!("superseded by run {new}, which approves it"));
                    }
                    Ok(is_held)
                })
            })
            .await?;
        Ok(run)
    }

    /// Plans and records a revert, for whoever holds the turn.
    async fn revert_in_turn(&self, order: Order, _turn: &Turn<'_>) -> Result<Run, Refusal> {
        let target = self.target(&order.batch).await?;
        self.refuse_if_doubtful(&target.group).await?;
        self.refuse_if_busy(&target.group).await?;
        // What is known stays true until the plan is recorded.
        let sends = self.deliverer.hold_sends().await;
        let (now, members_per_request) = (self.clock.now(), self.config.api.members_per_request);
        let id = self.store.ids().run(now);
        let source = target.source.name.clone();
        let mut run = new_run(&id, &source, &order, now);
        let approval = order.release.as_ref().map(|release| release.approval.clone());
        let largest = members_per_request;
        let drawn = self.store.call(move |store| draw(store, &target, (&id, now), approval.as_ref(), largest)).await?;
        run.counts = drawn.counts;
        run.guards = drawn.report.guards.iter().filter(|guard| is_news(guard)).cloned().collect();
        let is_held = run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold);
        run.state = match &drawn.work {
            _ if self.config.mode == Mode::Plan => RunState::Planned,
            Some(_) => RunState::Delivering,
            None if drawn.is_held_whole || is_held => RunState::Held,
            None => RunState::Unchanged,
        };
        if run.state == RunState::Held {
            warn!(run = %run.run, reverts = %order.batch, "the revert is held, nothing of it is sent");
            let sums: Vec<&str> = run
                .guards
                .iter()
                .filter(|guard| guard.verdict == GuardVerdict::Hold)
                .map(|guard| guard.sum.as_str())
                .collect();
            let held = held_reason(&run.guards).unwrap_or_else(|| sums.join("; "));
            run.reason = Some(format!("{} (held: {held})", order.reason));
        }
        let works: Vec<Work> =
            if run.state == RunState::Delivering { drawn.work.into_iter().collect() } else { Vec::new() };
        run.finished_at = works.is_empty().then_some(now);
        run.batches = works.iter().map(|work| work.batch.batch.clone()).collect();
        let record = RunRecord { run: run.clone(), plan: Some(drawn.report), filed_as: None };
        let superseded = self
            .store
            .call(move |store| {
                if works.is_empty() {
                    return store.put_run(&record).map(|()| Vec::new());
                }
                let state = store.source(&source)?.unwrap_or_else(|| SourceState::new(source.clone()));
                store.accept(&record, works, &state)
            })
            .await?;
        drop(sends);
        info!(
            run = %run.run, reverts = %order.batch, new = run.counts.new, returning = run.counts.returning,
            changed = run.counts.changed, removed = run.counts.terminated, kept = run.counts.kept, "revert recorded"
        );
        self.deliverer.nudge();
        self.deliverer.superseded(superseded.into_iter().map(|batch| batch.run).collect()).await;
        Ok(run)
    }

    /// What is under way may bring somebody from another group: nobody covers them until it is done.
    async fn refuse_if_busy(&self, group: &GroupRef) -> Result<(), Refusal> {
        let id = group.clone();
        let is_busy = self.store.call(move |store| Ok(store.work(&id)?.is_some())).await?;
        if is_busy {
            return Err(Refusal::usage(format!("{group} has a batch under way: wait for its end, then revert")));
        }
        Ok(())
    }

    /// The batch that is to be undone and the roster before it, or why there is nothing to undo.
    async fn target(&self, id: &BatchId) -> Result<Target, Refusal> {
        let wanted = id.clone();
        let found = self.store.call(move |store| {
            let Some(batch) = store.batch(&wanted)? else { return Ok(None) };
            let group = store.group_now(&batch.group, &batch.batch)?;
            let run = store.bare_run(&batch.run)?.map(|record| record.run);
            let back = store.roster_back(&group, Until::Batch(&batch.batch))?;
            let changes = store.changes(&batch.batch)?;
            let name = store.group(&group)?.map_or_else(|| group.to_string(), |record| record.name);
            Ok(Some((batch, group, run, back, changes, name)))
        });
        let Some((batch, group, run, back, changes, name)) = found.await? else {
            return Err(Refusal::usage(format!("no batch {id}")));
        };
        check(&batch)?;
        let touched: BTreeSet<ReferenceId> = changes
            .changes()
            .iter()
            .filter(|change| !matches!(change.kind(), ChangeKind::AddFailed | ChangeKind::RemoveFailed))
            .map(|change| change.reference_id.clone())
            .collect();
        if touched.is_empty() {
            return Err(Refusal::usage(format!("batch {id} changed nobody: there is nothing to undo")));
        }
        let old = match back {
            Back::Known(past) => past.members,
            Back::Forgotten(before) => {
                return Err(Refusal::usage(format!(
                    "what ended before {} may be forgotten (retention.history), so the roster before batch {id} is not \
                     known any more",
                    before.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
                )));
            }
            Back::Before(_) | Back::Never => {
                return Err(Refusal::usage(format!("nothing is confirmed for {group}: there is nothing to undo")));
            }
        };
        let run = run.ok_or_else(|| Refusal::usage(format!("the run of batch {id} is forgotten")))?;
        let source = self.source(&run.source)?.clone();
        Ok(Target { batch, source, group, name, old, touched })
    }

    /// What to know of the revert that a run is.
    pub(super) async fn revert_report(&self, run: &Run) -> Result<Option<RevertReport>, StoreError> {
        let Some(id) = run.reverts.clone() else { return Ok(None) };
        let run = run.clone();
        self.store.call(move |store| report_of(store, &run, &id)).await
    }
}

fn report_of(store: &Store, run: &Run, id: &BatchId) -> Result<Option<RevertReport>, StoreError> {
    let Some(batch) = store.batch(id)? else { return Ok(None) };
    let group = store.group_now(&batch.group, id)?;
    let mut later = Vec::new();
    for other in store.batch_ids_of(&group)? {
        let is_between = *id < other
            && store.batch(&other)?.is_some_and(|other| {
                other.run < run.run && other.phase == Phase::Completed && other.completed_at <= Some(run.received_at)
            });
        if is_between && !store.change_kinds(&other)?.is_empty() {
            later.push(other);
        }
    }
    let last = store.source(&run.source)?.and_then(|state| state.last_accepted);
    let last_accepted = last.map(|last| AcceptedStatus {
        run: last.run,
        name: last.name,
        rows: last.rows,
        accepted_at: last.accepted_at,
    });
    Ok(Some(RevertReport { batch: id.clone(), group, run: batch.run, later, last_accepted }))
}

/// Whether a batch changed anything that could be undone.
fn check(batch: &Batch) -> Result<(), Refusal> {
    let id = &batch.batch;
    let why = match batch.phase {
        Phase::Completed => return Ok(()),
        Phase::Pending | Phase::Submitting | Phase::Accepted => {
            format!("batch {id} is under way: wait for its results; a newer export takes its place if it was not sent")
        }
        Phase::Refused => format!("batch {id} was refused by the API and changed nothing"),
        Phase::Lost => format!(
            "the results of batch {id} were lost; the roster went out again in a later batch of {}: undo that one",
            batch.group
        ),
        Phase::Superseded => format!("batch {id} was superseded by a newer roster and has no results of its own"),
    };
    Err(Refusal::usage(why))
}

/// Plans the revert from what is known now. Writes nothing.
fn draw(
    store: &Store,
    target: &Target,
    (run, now): (&RunId, DateTime<Utc>),
    approval: Option<&Approval>,
    members_per_request: usize,
) -> Result<Drawn, StoreError> {
    let Target { batch, source, group, name, old, touched } = target;
    let known = Known::load(store)?;
    let elsewhere = known.elsewhere(group, old.iter().map(|entry| &entry.member.reference_id));
    let came_from = known.came_from(group);
    let wanted = Wanted {
        batch: &batch.batch,
        source: &source.name,
        group,
        roster: old,
        touched,
        elsewhere: &elsewhere,
        came_from: &came_from,
    };
    let records = store.groups()?;
    let only = crate::roster::Reading { groups: BTreeMap::from([(group.clone(), name.clone())]), ..Default::default() };
    let mut all = known.baselines(&records, source, &only);
    let Some(baseline) = all.remove(group) else { return Err(nothing_known(group)) };
    let asked: Asked = undo::ask(&wanted, &baseline, name);
    let baselines: BTreeMap<GroupRef, Baseline> = BTreeMap::from([(group.clone(), baseline)]);
    let absences = BTreeMap::new();
    let input = plan::Input {
        run,
        source: &source.name,
        reading: &asked.reading,
        baselines: &baselines,
        absences: &absences,
        losses: &[],
        is_repeat: false,
        previous: None,
        modified: None,
        policy: plan::Policy {
            guards: &source.guards,
            confirm_absence: source.confirm_absence.get(),
            members_per_request,
            replace_plans: false,
        },
        mistrust: None,
        approval,
        now,
    };
    let mut plan = plan::plan(input);
    undo::guard(&mut plan, &wanted, &asked, approval);
    let mut report = plan::summary::report(&plan, None);
    let reasons: Vec<_> = undo::reasons(&plan, &wanted).collect();
    if report.groups.is_empty() && !asked.kept.is_empty() {
        report.groups.extend(plan.groups.iter().map(|of| plan::summary::group(&plan, of)));
    }
    let id = records.iter().find(|record| record.group == *group).and_then(|record| record.id.clone());
    for of in &mut report.groups {
        of.group_id.clone_from(&id);
        of.kept.extend(asked.kept.iter().cloned());
        of.reasons.clone_from(&reasons);
    }
    let mut counts = plan.counts();
    counts.kept += asked.kept.len() as u64;
    let mut work = None;
    if !plan.is_held_whole
        && let Some(changed) = plan.groups.iter().find(|of| of.group == group && of.is_changed())
    {
        let payload = undo::with_origins(changed.payload(&input), old, run);
        let removals = changed.removals().map(|removals| removals as u64);
        let mut batch = Batch::pending(store.ids().batch(now), run.clone(), group.clone(), payload.len(), removals);
        let is_left_out = |who: &ReferenceId| crate::roster::find(&payload, who).is_none();
        batch.reasons = reasons.into_iter().filter(|reason| is_left_out(&reason.reference_id)).collect();
        work = Some(Work { batch, payload });
    }
    Ok(Drawn { is_held_whole: plan.is_held_whole, report, counts, work })
}

fn nothing_known(group: &GroupRef) -> StoreError {
    StoreError::OutOfOrder { group: group.clone(), detail: "its roster went while it was looked at".to_owned() }
}

fn new_run(id: &RunId, source: &SourceName, order: &Order, now: DateTime<Utc>) -> Run {
    Run {
        run: id.clone(),
        source: source.clone(),
        trigger: order.trigger,
        file: None,
        received_at: now,
        finished_at: None,
        state: RunState::Received,
        guards: Vec::new(),
        counts: Counts::default(),
        batches: Vec::new(),
        reason: Some(order.reason.clone()),
        actor: Some(order.actor.clone()),
        approves: order.release.as_ref().map(|release| release.approves.clone()),
        repeats: None,
        reverts: Some(order.batch.clone()),
    }
}

/// Reverts after the run that accepted a source's last export, of which a part is held and may still be approved.
pub(super) fn partly_held(store: &Store, source: &SourceName, accepted: &RunId) -> Result<Vec<RunId>, StoreError> {
    let filter = crate::store::RunFilter { source: Some(source.clone()), ..Default::default() };
    let mut held = Vec::new();
    for run in store.runs_after(&filter, accepted)? {
        let has_held = run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold);
        let is_open = matches!(run.state, RunState::Delivering | RunState::Partial | RunState::Failed);
        if run.reverts.is_some() && has_held && is_open && is_newest(store, &run)? {
            held.push(run.run);
        }
    }
    Ok(held)
}

/// Whether no batch of a revert's group came after it.
pub(super) fn is_newest(store: &Store, run: &Run) -> Result<bool, StoreError> {
    let Some(last) = run.batches.last() else { return Ok(false) };
    let Some(batch) = store.batch(last)? else { return Ok(false) };
    let group = store.group_now(&batch.group, last)?;
    let newest = store.batch_ids_of(&group)?.pop();
    Ok(newest.map_or(Ok(None), |newest| store.batch(&newest))?.is_some_and(|newest| newest.run == run.run))
}

/// The newest revert of a source that was carried out after the run that accepted its last export. Whatever passes over that
/// export again would undo it.
pub(super) fn reverted_since(
    store: &Store,
    source: &SourceName,
    accepted: &RunId,
) -> Result<Option<RunId>, StoreError> {
    let filter = crate::store::RunFilter { source: Some(source.clone()), ..Default::default() };
    let mut runs = store.runs_after(&filter, accepted)?.into_iter();
    Ok(runs.find(|run| run.reverts.is_some() && !run.batches.is_empty()).map(|run| run.run))
}
