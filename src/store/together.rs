//! What several threads have to bring to the disk, brought there by one of them for all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Steps, numbered from 1 in the order in which they are taken, and how many of them are settled.
#[derive(Debug, Default)]
pub(super) struct Together {
    reached: AtomicU64,
    /// Held while steps are settled: whoever waited for it mostly finds that its own is settled too.
    pub(super) settled: Mutex<u64>,
}

impl Together {
    /// Says that this step was taken, and all before it.
    pub(super) fn reach(&self, step: u64) {
        self.reached.fetch_max(step, Ordering::SeqCst);
    }

    /// Returns when this step, which was reached, is settled. `settle` does so for all that were reached by then.
    ///
    /// # Errors
    /// Those of `settle`; the next thread tries it again.
    pub(super) fn settle<E>(&self, step: u64, settle: impl FnOnce(u64) -> Result<(), E>) -> Result<(), E> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled < step {
            let reached = self.reached.load(Ordering::SeqCst);
            settle(reached)?;
            *settled = reached;
        }
        Ok(())
    }
}
