//! People on the way between groups, as the driver meets them: what of a roster may leave now, and what becomes of those who
//! left one group and were not added to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::report::{Arrival, Batch, Phase};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId};
use crate::roster::{ConfirmedRoster, Entry, find, merged};
use crate::store::{ChangeKind, Store, StoreError, Work};

use super::moves::{self, Holding, Readiness, Scene};
use super::{Deliverer, pace};

/// Whoever waits for another group looks again after so long, should its end not be heard of.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Somebody who just left a group did so in one of its last batches.
const LAST_BATCHES: usize = 20;

/// What of a group's work may leave now.
pub(super) enum Prepared {
    /// This.
    Go(Work),
    /// Nothing, before another group's results.
    Waits,
    /// Nobody is left of it.
    Nobody(Batch),
}

impl Deliverer {
    /// A place among the groups with a batch under way. Those whom people wait for go first: nobody covers them until then.
    pub(super) async fn permit(&self, is_urgent: bool) -> Option<SemaphorePermit<'_>> {
        if is_urgent {
            self.urgent.fetch_add(1, Ordering::SeqCst);
            let permit = self.permits.acquire().await;
            self.urgent.fetch_sub(1, Ordering::SeqCst);
            return permit.ok();
        }
        loop {
            let permit = self.permits.acquire().await.ok()?;
            if self.urgent.load(Ordering::SeqCst) == 0 {
                return Some(permit);
            }
            // The queue is fair: behind everybody who waits already, the urgent among them.
            drop(permit);
            tokio::task::yield_now().await;
        }
    }

    /// Waits until another group's batch has ended, or somebody releases something.
    pub(super) async fn wait_for_others(
        &self,
        settled: &mut watch::Receiver<u64>,
        released: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> bool {
        tokio::select! {
            came = self.pause(LOOK_AGAIN, stop) => came,
            _ = settled.changed() => !stop.is_cancelled(),
            _ = released.changed() => !stop.is_cancelled(),
        }
    }

    /// Looks where those who arrive and leave stand, and makes of the work what may leave now.
    pub(super) async fn prepare(&self, work: Work) -> Result<Prepared, StoreError> {
        let has_left = work.batch.phase != Phase::Pending || work.batch.attempts != 0;
        if has_left || (work.batch.moves_in.is_empty() && work.batch.moves_out.is_empty()) {
            return Ok(Prepared::Go(work));
        }
        let now = self.clock.now();
        let prepared = self.store.call(move |store| {
            let scene = scene(store, &work.batch, now)?;
            let second = store.ids().batch(now);
            match moves::ready(work.clone(), &scene, second) {
                Readiness::Waits => Ok(Prepared::Waits),
                Readiness::Nobody(batch) => Ok(Prepared::Nobody(batch)),
                Readiness::Whole(mut ready) => {
                    note_leavings(store, &mut ready.batch.moves_in)?;
                    if ready != work {
                        store.part_open(&ready, None)?;
                    }
                    Ok(Prepared::Go(ready))
                }
                Readiness::Parts(parts) => {
                    let (mut first, mut then) = *parts;
                    note_leavings(store, &mut first.batch.moves_in)?;
                    note_leavings(store, &mut then.batch.moves_in)?;
                    store.part_open(&first, Some(&then))?;
                    let waiting = then.batch.moves_in.len() - first.batch.moves_in.len().min(then.batch.moves_in.len());
                    info!(batch = %first.batch.batch, then = %then.batch.batch, waiting, "the roster goes in two parts: people have to leave first");
                    Ok(Prepared::Go(first))
                }
            }
        });
        let prepared = prepared.await?;
        if let Prepared::Go(Work { batch, .. }) | Prepared::Nobody(batch) = &prepared {
            for failure in batch.failures.iter().filter(|failure| failure.operation == moves::MOVE) {
                error!(batch = %batch.batch, group = %batch.group, member = failure.reference_id, "a move is not made, the person stays");
            }
        }
        Ok(prepared)
    }
}

fn scene(store: &Store, batch: &Batch, now: DateTime<Utc>) -> Result<Scene, StoreError> {
    let froms: BTreeSet<&GroupRef> =
        batch.moves_in.iter().map(|arrival| &arrival.from).filter(|from| **from != batch.group).collect();
    let mut others = BTreeMap::new();
    for from in froms {
        others.insert(from.clone(), holding(store, from)?);
    }
    let mut paused = BTreeSet::new();
    for to in batch.moves_out.iter().map(|moved| &moved.to).collect::<BTreeSet<_>>() {
        if store.group(to)?.is_some_and(|record| record.paused.is_some()) {
            paused.insert(to.clone());
        }
    }
    let part = batch.follows.as_ref().map_or(Ok(None), |part| store.batch(part))?;
    let is_in_doubt = !store.abroad(&batch.group)?.is_empty();
    Ok(Scene { confirmed: store.roster(&batch.group)?, is_in_doubt, others, paused, part, now })
}

/// The order matters: somebody whose adding is confirmed between the steps is seen twice, and never overlooked.
fn holding(store: &Store, group: &GroupRef) -> Result<Holding, StoreError> {
    let open = store.work(group)?;
    let next = store.next_work(group)?;
    let mut in_flight = store.abroad(group)?;
    if let Some(open) = &open
        && (open.batch.phase != Phase::Pending || open.batch.attempts != 0)
    {
        in_flight = merged(open.payload.clone(), in_flight);
    }
    let last = next.or(open).map(|work| work.payload);
    Ok(Holding { confirmed: store.roster(group)?, in_flight, last })
}

/// Notes when those who have left did so.
fn note_leavings(store: &Store, arrivals: &mut [Arrival]) -> Result<(), StoreError> {
    let unknown = |arrival: &&mut Arrival| arrival.left_at.is_none() && arrival.stays.is_none();
    let froms: BTreeSet<GroupRef> = arrivals.iter_mut().filter(unknown).map(|arrival| arrival.from.clone()).collect();
    for from in froms {
        let batches = store.batches_of_group(&from)?;
        for batch in batches.iter().rev().filter(|batch| batch.phase == Phase::Completed).take(LAST_BATCHES) {
            let is_of_group = |arrival: &&mut Arrival| unknown(arrival) && arrival.from == from;
            if !arrivals.iter_mut().any(|arrival| is_of_group(&arrival)) {
                break;
            }
            let changes = store.changes(&batch.batch)?;
            let changes = changes.changes();
            for arrival in arrivals.iter_mut().filter(is_of_group) {
                let id = &arrival.reference_id;
                let at = changes.binary_search_by(|change| change.reference_id.cmp(id)).ok();
                if at.and_then(|at| changes.get(at)).is_some_and(|change| change.kind() == ChangeKind::Removed) {
                    arrival.left_at = batch.completed_at;
                }
            }
        }
    }
    Ok(())
}

/// Writes down for how long each of those who arrived was covered nowhere.
pub(super) fn note_gaps(batch: &mut Batch, roster: &ConfirmedRoster) {
    let now = batch.completed_at;
    for arrival in batch.moves_in.iter_mut().filter(|arrival| roster.get(&arrival.reference_id).is_some()) {
        let gap = arrival.left_at.zip(now).map(|(left, now)| (now - left).num_seconds());
        arrival.gap_seconds = gap.and_then(|gap| u64::try_from(gap).ok());
    }
}

/// The people of an ended batch who left their group and are not in this one: nobody covers them.
fn stranded<'b>(batch: &'b Batch, roster: Option<&'b ConfirmedRoster>) -> impl Iterator<Item = &'b Arrival> {
    let has_arrived = move |id: &ReferenceId| roster.is_some_and(|roster| roster.get(id).is_some());
    batch.moves_in.iter().filter(move |arrival| arrival.stays.is_none() && !has_arrived(&arrival.reference_id))
}

/// Work that tries those again whom the ended batch did not bring: what is confirmed, and them. None when there are none.
///
/// The records beside theirs are known to be good, so that a bad row of somebody else cannot keep them out.
pub(super) fn again(batch: &Batch, payload: &[Entry], roster: Option<&ConfirmedRoster>, id: BatchId) -> Option<Work> {
    let moves_in: Vec<Arrival> = stranded(batch, roster).cloned().collect();
    let entries: Vec<Entry> =
        moves_in.iter().filter_map(|arrival| find(payload, &arrival.reference_id)).cloned().collect();
    if entries.is_empty() {
        return None;
    }
    let mut entries = entries;
    entries.sort_by(|a, b| a.member.reference_id.cmp(&b.member.reference_id));
    let members = roster.map_or_else(Vec::new, |roster| roster.members().to_vec());
    let again_payload = merged(entries, members);
    let again = batch.again.saturating_add(1);
    // Another roster than the one that was just refused need not wait.
    let is_same = again_payload.iter().map(|entry| &entry.member).eq(payload.iter().map(|entry| &entry.member));
    let pause = if is_same || batch.phase == Phase::Completed { pace::before_again(again) } else { TimeDelta::zero() };
    let removals = batch.planned_removals.map(|_| 0);
    let pending = Batch::pending(id, batch.run.clone(), batch.group.clone(), again_payload.len(), removals);
    let not_before = batch.completed_at.map(|ended| ended + pause);
    Some(Work {
        batch: Batch { group_id: batch.group_id.clone(), moves_in, again, not_before, ..pending },
        payload: again_payload,
    })
}

/// Says aloud that people are covered nowhere.
pub(super) fn warn_of_stranded(batch: &Batch, roster: Option<&ConfirmedRoster>) {
    let people = stranded(batch, roster).count();
    if people != 0 {
        error!(
            batch = %batch.batch, group = %batch.group, people,
            "people who left another group were not added and are covered nowhere; they are tried again until they are"
        );
    }
}

/// Whether a batch that ended with the group paused leaves people between two groups.
pub(super) fn warn_of_pause(batch: &Batch, waiting: Option<&Work>) {
    let people = waiting.map_or(0, |work| work.batch.moves_in.len());
    if people != 0 {
        warn!(batch = %batch.batch, group = %batch.group, people, "people on the way to the group wait for its release");
    }
}
