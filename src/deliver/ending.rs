//! What a run came to, once none of its batches is under way.

use chrono::{DateTime, Utc};

use crate::report::{Batch, GuardVerdict, Phase, Run, RunState};
use crate::roster::ids::RunId;
use crate::store::{ChangeKind, Store, StoreError};

/// Records the end of a run that is being delivered; none when it had ended already.
pub(super) fn end_run(store: &Store, id: &RunId, now: DateTime<Utc>) -> Result<Option<Run>, StoreError> {
    let Some(mut record) = store.run(id)? else { return Ok(None) };
    if record.run.state != RunState::Delivering {
        return Ok(None);
    }
    let batches = store.batches_of(id)?;
    for batch in &batches {
        for change in store.changes(&batch.batch)? {
            match change.kind {
                ChangeKind::Added | ChangeKind::Returned | ChangeKind::Changed | ChangeKind::Removed => {
                    record.run.counts.confirmed += 1;
                }
                ChangeKind::AddFailed | ChangeKind::RemoveFailed => record.run.counts.failed += 1,
            }
        }
    }
    record.run.state = state(&record.run, &batches);
    record.run.finished_at = Some(now);
    record.run.batches = batches.into_iter().map(|batch| batch.batch).collect();
    store.put_run(&record)?;
    Ok(Some(record.run))
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
    batch.phase == Phase::Completed && batch.planned_removals < batch.removed
}
