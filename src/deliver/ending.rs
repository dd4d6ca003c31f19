//! What a run came to, once none of its batches is under way.

use chrono::{DateTime, Utc};

use crate::report::{Batch, GuardVerdict, Phase, Run, RunState, Trigger};
use crate::roster::ids::RunId;
use crate::store::{ChangeKind, Store, StoreError};

/// Groups that a sentence about drift names: enough to see whether it is one or all of them.
const GROUPS_NAMED: usize = 10;

/// Records the end of a run that is being delivered; none when it had ended already, or a batch of it has not.
pub(super) fn end_run(store: &Store, id: &RunId, now: DateTime<Utc>) -> Result<Option<Run>, StoreError> {
    store.end_run(id, |run| {
        let batches = store.batches_of(id)?;
        for batch in &batches {
            for kind in store.change_kinds(&batch.batch)? {
                match kind {
                    ChangeKind::Added | ChangeKind::Returned | ChangeKind::Changed | ChangeKind::Removed => {
                        run.counts.confirmed += 1;
                    }
                    ChangeKind::AddFailed | ChangeKind::RemoveFailed => run.counts.failed += 1,
                }
            }
        }
        if run.trigger == Trigger::Resync {
            note_drift(run, &batches);
        }
        run.state = state(run, &batches);
        run.finished_at = Some(now);
        run.batches = batches.into_iter().map(|batch| batch.batch).collect();
        Ok(())
    })
}

/// Says what the API's results mean for rosters that were submitted again unchanged: whoever was added had vanished, whoever
/// was removed was on nobody's list. The API names neither; the groups are the best that there is.
fn note_drift(run: &mut Run, batches: &[Batch]) {
    let done = batches.iter().filter(|batch| batch.phase == Phase::Completed);
    let restored = named(done.clone().map(|batch| (batch, batch.added)));
    let unknown = named(done.clone().map(|batch| (batch, batch.removed)));
    let mut found = Vec::new();
    if let Some((count, groups)) = restored {
        run.counts.returning = count;
        run.counts.unchanged = run.counts.unchanged.saturating_sub(count);
        run.counts.confirmed += count;
        let who = if count == 1 { "1 person" } else { &format!("{count} people") };
        found.push(format!("{who} had vanished from the API and came back with a new subscription ({groups})"));
    }
    if let Some((count, groups)) = unknown {
        let who = if count == 1 { "1 person" } else { &format!("{count} people") };
        found.push(format!("{who} whom rosterd did not know lost coverage, which nobody planned ({groups})"));
    }
    if found.is_empty() && done.count() == batches.len() {
        found.push("the API held them all as confirmed".to_owned());
    }
    run.reason = Some(run.reason.iter().cloned().chain(found).collect::<Vec<_>>().join("; "));
}

/// How many in all, and in which groups.
fn named<'a>(counts: impl Iterator<Item = (&'a Batch, u64)>) -> Option<(u64, String)> {
    let counts: Vec<(&Batch, u64)> = counts.filter(|(_, count)| *count != 0).collect();
    let mut names: Vec<String> =
        counts.iter().take(GROUPS_NAMED).map(|(batch, count)| format!("{}: {count}", batch.group)).collect();
    if GROUPS_NAMED < counts.len() {
        names.push(format!("{} more groups", counts.len() - GROUPS_NAMED));
    }
    (!counts.is_empty()).then(|| (counts.iter().map(|(_, count)| count).sum(), names.join(", ")))
}

/// The state of a run whose batches are all final.
fn state(run: &Run, batches: &[Batch]) -> RunState {
    let counts = |phase| batches.iter().filter(|batch| batch.phase == phase).count();
    let refused = counts(Phase::Refused);
    let is_partly_held = run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold);
    let has_failures = batches.iter().any(|batch| !batch.failures.is_empty() || is_incident(batch));
    if !batches.is_empty() && counts(Phase::Superseded) == batches.len() {
        RunState::Superseded
    } else if refused != 0 && counts(Phase::Completed) == 0 {
        RunState::Failed
    } else if refused != 0 || is_partly_held || has_failures {
        RunState::Partial
    } else {
        RunState::Completed
    }
}

/// Whether a completed batch's results differ from its plan.
pub fn is_incident(batch: &Batch) -> bool {
    batch.has_unplanned_removals()
}
