//! What a run came to, once none of its batches is under way.

use chrono::{DateTime, Utc};

use crate::report::{Batch, GuardVerdict, Phase, Run, RunState};
use crate::roster::ids::RunId;
use crate::store::{ChangeKind, Store, StoreError};

/// Records the end of a run that is being delivered; none when it had ended already, or a batch of it has not.
pub(super) fn end_run(store: &Store, id: &RunId, now: DateTime<Utc>) -> Result<Option<Run>, StoreError> {
    store.end_run(id, |run| {
        let batches = store.batches_of(id)?;
        for batch in &batches {
            for change in store.changes(&batch.batch)? {
                match change.kind {
                    ChangeKind::Added | ChangeKind::Returned | ChangeKind::Changed | ChangeKind::Removed => {
                        run.counts.confirmed += 1;
                    }
                    ChangeKind::AddFailed | ChangeKind::RemoveFailed => run.counts.failed += 1,
                }
            }
        }
        run.state = state(run, &batches);
        run.finished_at = Some(now);
        run.batches = batches.into_iter().map(|batch| batch.batch).collect();
        Ok(())
    })
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
