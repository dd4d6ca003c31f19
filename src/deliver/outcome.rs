//! What results mean for each person. The API names only failures; everything else is derived from what was confirmed
//! before, what was submitted, and what failed. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::api::{Operation, Results};
use crate::roster::ids::{GroupRef, ReferenceId};
use crate::roster::{ConfirmedRoster, Entry};
use crate::store::{BatchChanges, Change, MemberChange};

/// The group after a completed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What is confirmed now.
    pub roster: ConfirmedRoster,
    /// What changed, and what failed to, sorted by reference id.
    pub changes: BatchChanges,
}

/// Derives the outcome. `confirmed` is none for a group that never had a confirmed roster; `payload` is sorted.
pub fn outcome(
    group: &GroupRef,
    confirmed: Option<&ConfirmedRoster>,
    payload: &[Entry],
    results: &Results,
    now: DateTime<Utc>,
) -> Outcome {
    let failed: BTreeSet<&str> = results.failures.iter().map(|failure| failure.reference_id.as_str()).collect();
    let has_failed = |id: &ReferenceId| failed.contains(id.as_str());
    let adds = results.failures.iter().filter(|failure| failure.operation == Operation::Add);
    let not_added: BTreeSet<&str> = adds.map(|failure| failure.reference_id.as_str()).collect();
    let mut members = Vec::with_capacity(payload.len());
    let mut former: BTreeSet<ReferenceId> =
        confirmed.map(|roster| roster.former().iter().cloned().collect()).unwrap_or_default();
    let mut changes = Vec::new();

    for entry in payload {
        let id = &entry.member.reference_id;
        match confirmed.and_then(|roster| roster.get(id)) {
            // A failure about a known member leaves open which record the API holds. The former stays, so that the next
            // plan sees the difference and tries again.
            Some(before) if has_failed(id) => members.push(before.clone()),
            Some(before) => {
                if before.member != entry.member {
                    changes.push(MemberChange::changed(before, entry));
                }
                members.push(entry.clone());
            }
            None if not_added.contains(id.as_str()) => changes.push(change(id, Change::AddFailed)),
            // Something else failed: the API knows them, in a group whose members nobody knew before. Who may be covered is not left out
            // of the next roster.
            None => {
                let how = if former.remove(id) { Change::Returned } else { Change::Added };
                changes.push(change(id, how(entry.origin.clone())));
                members.push(entry.clone());
            }
        }
    }
    for before in confirmed.iter().flat_map(|roster| roster.members()) {
        let id = &before.member.reference_id;
        if crate::roster::find(payload, id).is_some() {
            continue;
        }
        if has_failed(id) {
            changes.push(change(id, Change::RemoveFailed(before.origin.clone())));
            members.push(before.clone());
        } else {
            changes.push(MemberChange::removed(before));
            former.insert(id.clone());
        }
    }
    changes.sort_by(|a, b| a.reference_id.cmp(&b.reference_id));
    let roster = ConfirmedRoster::new(group.clone(), members, former.into_iter().collect(), now);
    let changes = BatchChanges::new(changes, |id| roster.get(id));
    Outcome { roster, changes }
}

fn change(id: &ReferenceId, what: Change) -> MemberChange {
    MemberChange { reference_id: id.clone(), what }
}

#[cfg(test)]
mod tests;
