//! The resync: every roster of a source is submitted again although nothing changed, against drift. Somebody else may have
//! changed what the API holds; the API has no list of members, so submitting what is confirmed is the only way to find out.
//!
//! Left out is every group of which what is confirmed may not be the whole truth: with a batch under way, with people whom a
//! batch without results may have added, paused, or without anybody on its roster.

use chrono::{DateTime, Utc};
use tracing::info;

use crate::config::Mode;
use crate::report::{Batch, Counts, Run, RunState, Trigger};
use crate::roster::ConfirmedRoster;
use crate::roster::ids::{RunId, SourceName};
use crate::store::{RunRecord, SourceState, Store, StoreError, Work};

use super::{Desk, SyncError};

impl Desk {
    /// Submits the rosters with members of a source again. `nominal` is the time of the schedule: what was confirmed since is
    /// not submitted again, so that a group of two sources goes out once, and a crash repeats nothing. Answers the run; none
    /// when there is nothing to submit.
    ///
    /// # Errors
    /// [`SyncError`]: nothing was recorded, try again.
    pub async fn resync(&self, source: &SourceName, nominal: DateTime<Utc>) -> Result<Option<Run>, SyncError> {
        if self.config.mode == Mode::Plan {
            info!(%source, "mode = \"plan\": no roster is submitted again");
            return Ok(None);
        }
        let turn = self.turn.lock().await;
        let (name, now) = (source.clone(), self.clock.now());
        let run = self.store.call(move |store| submit_all(store, &name, nominal, now)).await?;
        drop(turn);
        match &run {
            None => info!(%source, "no roster is to be submitted again"),
            Some(run) => {
                info!(%source, run = %run.run, batches = run.batches.len(), "rosters are submitted again, against drift");
                self.deliverer.nudge();
            }
        }
        Ok(run)
    }
}

/// Groups that are not submitted again, and why.
#[derive(Default)]
struct LeftOut {
    busy: usize,
    unconfirmed: usize,
    doubtful: usize,
    paused: usize,
}

impl LeftOut {
    fn words(&self) -> String {
        let kinds = [
            (self.busy, "with a batch under way"),
            (self.unconfirmed, "whose last batch ended without results"),
            (self.doubtful, "whose record is in doubt"),
            (self.paused, "paused"),
        ];
        let parts: Vec<String> =
            kinds.into_iter().filter(|(count, _)| *count != 0).map(|(count, why)| format!("{count} {why}")).collect();
        if parts.is_empty() { String::new() } else { format!("; left out: {}", parts.join(", ")) }
    }
}

/// Records a run with a batch for each group whose roster can be submitted again.
fn submit_all(
    store: &Store,
    source: &SourceName,
    nominal: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Run>, StoreError> {
    let mut rosters: Vec<ConfirmedRoster> = Vec::new();
    store.each_roster(|roster| {
        let is_theirs = roster.members().iter().any(|entry| entry.origin.source == *source);
        if is_theirs && roster.confirmed_at < nominal {
            rosters.push(roster);
        }
    })?;
    let mut left_out = LeftOut::default();
    let id = store.ids().run(now);
    let mut works = Vec::with_capacity(rosters.len());
    for roster in rosters {
        // What waits counts on the batch before it: neither may be overtaken by an older roster.
        if store.work(&roster.group)?.is_some() || store.next_work(&roster.group)?.is_some() {
            left_out.busy += 1;
        } else if !store.abroad(&roster.group)?.is_empty() {
            // They may be covered, and are not on the confirmed roster: it would remove them.
            left_out.unconfirmed += 1;
        } else if store.is_doubtful(&roster.group)? {
            left_out.doubtful += 1;
        } else if store.group(&roster.group)?.is_none_or(|record| record.paused.is_some()) {
            left_out.paused += 1;
        } else {
            let payload = roster.members().to_vec();
            let batch = Batch::pending(store.ids().batch(now), id.clone(), roster.group, payload.len(), Some(0));
            works.push(Work { batch, payload });
        }
    }
    if works.is_empty() {
        return Ok(None);
    }
    let groups = if works.len() == 1 { "1 roster is".to_owned() } else { format!("{} rosters are", works.len()) };
    let run = run(id.clone(), source, &works, now, format!("{groups} submitted again{}", left_out.words()));
    let state = store.source(source)?.unwrap_or_else(|| SourceState::new(source.clone()));
    let state = SourceState { last_resync: Some(id), ..state };
    store.accept(&RunRecord { run: run.clone(), plan: None, filed_as: None }, works, &state)?;
    Ok(Some(run))
}

fn run(id: RunId, source: &SourceName, works: &[Work], now: DateTime<Utc>, reason: String) -> Run {
    let members = works.iter().map(|work| work.batch.members).sum();
    Run {
        run: id,
        source: source.clone(),
        trigger: Trigger::Resync,
        file: None,
        received_at: now,
        finished_at: None,
        state: RunState::Delivering,
        guards: Vec::new(),
        counts: Counts { unchanged: members, ..Counts::default() },
        batches: works.iter().map(|work| work.batch.batch.clone()).collect(),
        reason: Some(reason),
        actor: None,
        approves: None,
        repeats: None,
        reverts: None,
    }
}
