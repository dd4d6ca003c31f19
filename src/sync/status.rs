//! How everything stands, and one batch in full.

use crate::config::Source;
use crate::control::Refusal;
use crate::intake::schedule::Cron;
use crate::report::{
    AcceptedStatus, Batch, BatchDetail, DoubtStatus, GuardVerdict, PausedGroup, ResyncStatus, RunState, SourceStatus,
    Status,
};
use crate::roster::Absence;
use crate::roster::ids::{BatchId, RunId, SourceName};
use crate::store::{RunFilter, RunRecord, SourceState, Store, StoreError};

use super::{Desk, overdue};

/// Why a batch stands still that was made before the records came into doubt.
const OVERTAKEN: &str =
    "not sent any more: the records came into doubt since, and the next approved export takes its place";
use super::travel::Runs;

/// How everything stands.
pub(super) async fn status(desk: &Desk) -> Result<Status, Refusal> {
    let now = desk.clock.now();
    let sources = desk.config.sources.clone();
    let inboxes = desk.inboxes();
    let mut status = desk
        .store
        .call(move |store| {
            let mut statuses = Vec::new();
            for source in &sources {
                let state = store.source(&source.name)?;
                let last = state.as_ref().and_then(|state| state.last_accepted.clone());
                let next = |cron: &Option<Cron>| cron.as_ref().and_then(|cron| cron.next_after(now, source.timezone));
                let expected = overdue::of(store, source, state.as_ref(), now)?;
                let not_accepted = match expected.overdue_since {
                    Some(_) => overdue::not_accepted(store, &source.name, state.as_ref())?,
                    None => None,
                };
                statuses.push(SourceStatus {
                    source: source.name.clone(),
                    inbox: source.inbox.display().to_string(),
                    inbox_trouble: inboxes.get(&source.name).cloned().flatten(),
                    absent: state.as_ref().map_or(0, |state| unconfirmed(state, source)),
                    held: held(store, &source.name, last.as_ref().map(|last| &last.run))?,
                    next_scheduled: next(&source.schedule),
                    expected_by: expected.by,
                    overdue_since: expected.overdue_since,
                    not_accepted,
                    recheck_trouble: state.as_ref().and_then(|state| state.recheck_trouble.clone()),
                    next_resync: next(&source.resync),
                    last_resync: last_resync(store, state.as_ref())?,
                    last_accepted: last.map(|last| AcceptedStatus {
                        run: last.run,
                        name: last.name,
                        rows: last.rows,
                        accepted_at: last.accepted_at,
                    }),
                });
            }
            let mut status = Status {
                daemon: None,
                mode: String::new(),
                base_url: String::new(),
                durable: store.durable(),
                state_bytes: store.size(),
                sources: statuses,
                under_way: Vec::new(),
                paused: Vec::new(),
                doubt: None,
                backup: None,
                groups: 0,
                members: 0,
            };
            count(store, &mut status)?;
            Ok(status)
        })
        .await?;
    desk.config.mode.name().clone_into(&mut status.mode);
    status.base_url.clone_from(&desk.config.api.base_url);
    status.daemon = desk.daemon_status();
    status.backup = desk.backup_status();
    Ok(status)
}

/// What the last resync of a source came to, as far as its batches have ended; none when its record is gone.
fn last_resync(store: &Store, state: Option<&SourceState>) -> Result<Option<ResyncStatus>, StoreError> {
    let Some(id) = state.and_then(|state| state.last_resync.as_ref()) else { return Ok(None) };
    let Some(RunRecord { run, .. }) = store.bare_run(id)? else { return Ok(None) };
    let batches = store.batches_of(id)?;
    Ok(Some(ResyncStatus {
        run: run.run,
        received_at: run.received_at,
        finished_at: run.finished_at,
        groups: batches.len() as u64,
        restored: batches.iter().map(|batch| batch.added).sum(),
        removed: batches.iter().map(|batch| batch.removed).sum(),
    }))
}

fn count(store: &Store, status: &mut Status) -> Result<(), StoreError> {
    let doubt = store.doubt()?;
    let mut in_doubt = Vec::new();
    for group in store.roster_groups()? {
        let members = store.members(&group)?;
        status.groups += 1;
        status.members += members;
        if members != 0 && doubt.as_ref().is_some_and(|doubt| doubt.groups.contains(&group)) {
            in_doubt.push(group);
        }
    }
    for group in store.groups_with_work()? {
        let batches = [store.open_batch(&group)?, store.next_batch(&group)?];
        status.under_way.extend(batches.into_iter().flatten().map(|batch| match &doubt {
            Some(doubt) if doubt.has_overtaken(&batch.batch) => Batch { error: Some(OVERTAKEN.to_owned()), ..batch },
            Some(_) | None => batch,
        }));
    }
    status.doubt = doubt.filter(|doubt| !doubt.sources.is_empty() || !in_doubt.is_empty()).map(|doubt| DoubtStatus {
        since: doubt.since,
        reason: doubt.reason,
        sources: doubt.sources.into_iter().collect(),
        groups: in_doubt,
    });
    for record in store.groups()? {
        if let Some(reason) = record.paused {
            status.paused.push(PausedGroup { group: record.group, reason });
        }
    }
    Ok(())
}

/// People whose absence is not confirmed yet. Whoever was missing often enough has left, or is held by a guard.
fn unconfirmed(state: &SourceState, source: &Source) -> u64 {
    let is_unconfirmed = |absence: &&Absence| absence.exports < source.confirm_absence.get();
    state.absences.values().filter(is_unconfirmed).count() as u64
}

/// Runs of a source with something that waits for a person: those held whole, and the last accepted one if it holds people.
fn held(store: &Store, source: &SourceName, last: Option<&RunId>) -> Result<Vec<RunId>, StoreError> {
    let filter = RunFilter { source: Some(source.clone()), state: Some(RunState::Held), ..RunFilter::default() };
    let mut held: Vec<RunId> = store.runs(&filter, usize::MAX)?.into_iter().map(|run| run.run).collect();
    if let Some(record) = last.map_or(Ok(None), |last| store.bare_run(last))?
        && record.run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold)
    {
        held.push(record.run.run);
    }
    if let Some(last) = last {
        held.extend(super::revert::partly_held(store, source, last)?);
    }
    Ok(held)
}

/// One batch in full.
pub(super) fn batch_detail(store: &Store, id: &BatchId) -> Result<Option<BatchDetail>, StoreError> {
    let Some(batch) = store.batch(id)? else { return Ok(None) };
    let mut runs = Runs::new(store);
    let changes = store.changes(id)?;
    let changes = changes.changes().iter().map(|change| runs.change(&batch, change)).collect::<Result<Vec<_>, _>>()?;
    let (before, after) = store.sizes_around(&batch)?.unzip();
    let made_by = runs.get(&batch.run)?;
    Ok(Some(BatchDetail { batch, changes, before, after, made_by }))
}
