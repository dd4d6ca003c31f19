//! Who of a roster may be added now. The API lets a person be active in one group only, and keeps known members on their plan:
//! whoever moves must have left first, with results on record. Pure.
//!
//! A roster whose people are all free goes out whole. Else it goes in two parts where that moves anything: first without those
//! who are still held elsewhere, so that its own leavers get free (a swap, a circle), then whole. Somebody whose leaving failed,
//! or was refused, stays where they are and is taken out of the roster.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::report::{Arrival, Batch, Failure, Phase};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId};
use crate::roster::{ConfirmedRoster, Entry, find, merged};
use crate::store::Work;

use super::pace;

/// The word for a move that was not made, among the operations of failures.
pub const MOVE: &str = "move";

/// What is known of a group that somebody leaves.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    /// Its members.
    pub confirmed: Option<ConfirmedRoster>,
    /// Whom rosters that left, and whose results are not in, may have put there; sorted.
    pub in_flight: Vec<Entry>,
    /// The payload that is sent last of all that is queued.
    pub last: Option<Vec<Entry>>,
}

/// Where somebody stands in the group that they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Not there any more.
    Gone,
    /// Still there, and a roster without them is queued or under way.
    UnderWay,
    /// There, and nothing is on the way that would change it.
    Stays,
}

impl Holding {
    fn leaving(&self, id: &ReferenceId) -> Leaving {
        let is_member = self.confirmed.as_ref().is_some_and(|roster| roster.get(id).is_some());
        if !is_member && find(&self.in_flight, id).is_none() {
            Leaving::Gone
        } else if self.last.as_ref().is_some_and(|last| find(last, id).is_none()) {
            Leaving::UnderWay
        } else {
            Leaving::Stays
        }
    }
}

/// Everything beside the batch itself that its readiness depends on.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The group's members.
    pub confirmed: Option<ConfirmedRoster>,
    /// Whether rosters of the group left and brought no results.
    pub is_in_doubt: bool,
    /// The groups that people come from.
    pub others: BTreeMap<GroupRef, Holding>,
    /// The groups that nothing is sent to.
    pub paused: BTreeSet<GroupRef>,
    /// The part of the same roster that went before.
    pub part: Option<Batch>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What can be done with a batch now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It goes out whole, with the batch and payload as they are here.
    Whole(Work),
    /// It goes out in two parts: all but those who are still held elsewhere, then everybody.
    Parts(Box<(Work, Work)>),
    /// Nothing can go before another group's results.
    Waits,
    /// Everybody who was to be added stays elsewhere: an empty roster would remove whoever is there, which nobody decided.
    Nobody(Batch),
}

/// Those of a roster who come from somewhere, sorted out.
#[derive(Default)]
struct Sorted {
    free: Vec<Arrival>,
    waiting: Vec<Arrival>,
    staying: Vec<Arrival>,
}

/// Says what of the work may leave now. `second` is the id that a second part would get.
pub fn ready(work: Work, scene: &Scene, second: BatchId) -> Readiness {
    let Work { mut batch, payload } = work;
    let payload = keep_for_paused(&mut batch, payload, scene);
    let sorted = sort(&batch, &payload, scene);
    let payload = keep_staying(&mut batch, payload, &sorted.staying, scene);
    if payload.is_empty() && !sorted.staying.is_empty() {
        return Readiness::Nobody(batch);
    }
    let is_waiting = |id: &ReferenceId| sorted.waiting.iter().any(|arrival| arrival.reference_id == *id);
    let settled: Vec<Arrival> = batch.moves_in.iter().filter(|arrival| arrival.stays.is_some()).cloned().collect();
    if sorted.waiting.is_empty() {
        batch.moves_in = settled.into_iter().chain(sorted.free).collect();
        batch.members = payload.len() as u64;
        return Readiness::Whole(Work { batch, payload });
    }
    let first: Vec<Entry> = payload.iter().filter(|entry| !is_waiting(&entry.member.reference_id)).cloned().collect();
    let Some(again) = may_part(&batch, &first, &sorted.free, scene) else { return Readiness::Waits };
    let own = sorted.waiting.iter().filter(|arrival| arrival.from == batch.group).count() as u64;
    let then = Batch {
        planned_removals: Some(batch.planned_removals.unwrap_or_default()),
        moves_in: sorted.free.iter().chain(&sorted.waiting).cloned().collect(),
        follows: Some(batch.batch.clone()),
        again,
        ..Batch::pending(second, batch.run.clone(), batch.group.clone(), payload.len(), None)
    };
    let now = Batch {
        members: first.len() as u64,
        planned_removals: batch.planned_removals.map(|planned| planned + own),
        moves_in: settled.into_iter().chain(sorted.free).collect(),
        again,
        ..batch
    };
    Readiness::Parts(Box::new((Work { batch: now, payload: first }, Work { batch: then, payload })))
}

/// Whoever would leave for a paused group stays: nobody could add them there.
fn keep_for_paused(batch: &mut Batch, payload: Vec<Entry>, scene: &Scene) -> Vec<Entry> {
    let (stuck, going): (Vec<_>, Vec<_>) =
        std::mem::take(&mut batch.moves_out).into_iter().partition(|moved| scene.paused.contains(&moved.to));
    batch.moves_out = going;
    let mut kept = Vec::new();
    for moved in stuck {
        let entry = scene.confirmed.as_ref().and_then(|roster| roster.get(&moved.reference_id));
        let Some(entry) = entry.filter(|_| find(&payload, &moved.reference_id).is_none()) else { continue };
        kept.push(entry.clone());
        let reason = format!("stays in {}, since {} is paused", batch.group, moved.to);
        batch.failures.push(not_moved(&moved.reference_id, reason));
    }
    if kept.is_empty() { payload } else { merged(payload, kept) }
}

fn sort(batch: &Batch, payload: &[Entry], scene: &Scene) -> Sorted {
    let nowhere = Holding::default();
    let mut sorted = Sorted::default();
    for arrival in batch.moves_in.iter().filter(|arrival| arrival.stays.is_none()) {
        let id = &arrival.reference_id;
        let Some(entry) = find(payload, id) else { continue };
        let member = scene.confirmed.as_ref().and_then(|roster| roster.get(id));
        let leaving = match member {
            // Arrived, or on the right plan.
            Some(member) if arrival.from != batch.group || member.subscribed_plan == entry.subscribed_plan => continue,
            Some(_) if was_tried(scene) => Leaving::Stays,
            Some(_) => Leaving::UnderWay,
            None if arrival.from == batch.group => Leaving::Gone,
            None => scene.others.get(&arrival.from).unwrap_or(&nowhere).leaving(id),
        };
        let place = match leaving {
            Leaving::Gone => &mut sorted.free,
            Leaving::UnderWay => &mut sorted.waiting,
            Leaving::Stays => &mut sorted.staying,
        };
        place.push(arrival.clone());
    }
    sorted
}

/// Whether a first part went out and came to an end with an answer.
fn was_tried(scene: &Scene) -> bool {
    scene.part.as_ref().is_some_and(|part| matches!(part.phase, Phase::Completed | Phase::Refused))
}

/// Takes those out who stay in another group, and leaves those on their plan who stay on it.
fn keep_staying(batch: &mut Batch, payload: Vec<Entry>, staying: &[Arrival], scene: &Scene) -> Vec<Entry> {
    let mut payload = payload;
    for arrival in staying {
        let id = &arrival.reference_id;
        let reason = if arrival.from == batch.group {
            let plan = scene.confirmed.as_ref().and_then(|roster| roster.get(id)).map(|entry| &entry.subscribed_plan);
            if let (Some(plan), Some(entry)) = (plan, payload.iter_mut().find(|entry| entry.member.reference_id == *id))
            {
                entry.subscribed_plan = plan.clone();
            }
            "stays on the former plan: the removal that has to come first was not made".to_owned()
        } else {
            payload.retain(|entry| entry.member.reference_id != *id);
            format!("stays in {}: the removal there was not made", arrival.from)
        };
        batch.failures.push(not_moved(id, reason.clone()));
        for known in batch.moves_in.iter_mut().filter(|known| known.reference_id == *id) {
            known.stays = Some(reason.clone());
        }
    }
    payload
}

fn not_moved(id: &ReferenceId, reason: String) -> Failure {
    Failure { reference_id: id.as_str().to_owned(), operation: MOVE.to_owned(), reason }
}

/// Whether sending a first part changes anything; then how often people who are covered nowhere were tried before. What was sent
/// already is not sent again at once.
fn may_part(batch: &Batch, first: &[Entry], free: &[Arrival], scene: &Scene) -> Option<u32> {
    let members = scene.confirmed.as_ref().map_or(&[][..], ConfirmedRoster::members);
    let is_same =
        |(one, other): (&Entry, &Entry)| one.member == other.member && one.subscribed_plan == other.subscribed_plan;
    let is_other = first.len() != members.len() || !first.iter().zip(members).all(is_same);
    let would_empty_unknown = first.is_empty() && scene.confirmed.is_none();
    if would_empty_unknown || (!is_other && !scene.is_in_doubt) {
        return None;
    }
    let Some(part) = scene.part.as_ref().filter(|_| was_tried(scene)) else { return Some(batch.again) };
    let has_been_sent = |arrival: &Arrival| part.moves_in.iter().any(|sent| sent.reference_id == arrival.reference_id);
    if free.iter().any(|arrival| !has_been_sent(arrival)) {
        return Some(batch.again);
    }
    let again = part.again.saturating_add(1);
    let due = part.completed_at.unwrap_or_default() + pace::before_again(again);
    let is_due = pace::left(due, scene.now).is_zero();
    (!free.is_empty() && is_due).then_some(again)
}

#[cfg(test)]
mod tests;
