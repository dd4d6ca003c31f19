//! Stopping a process between two changes of an inbox, for tests: what a crash there leaves behind is what a start must make good.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::Spool;

/// Whether any inbox has a stop; outside of tests none ever has.
static ANY: AtomicBool = AtomicBool::new(false);
static STOPS: Mutex<BTreeMap<PathBuf, Stop>> = Mutex::new(BTreeMap::new());

#[derive(Clone)]
struct Stop {
    steps_left: u64,
    on_stop: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("steps_left", &self.steps_left).finish_non_exhaustive()
    }
}

impl Spool {
    /// For tests: lets so many more changes of an inbox through, calls `on_stop` before the next one, and refuses that and all that
    /// follow. A change is one system call that renames, makes, writes or removes something.
    #[doc(hidden)]
    pub fn stop_after(inbox: &Path, steps: u64, on_stop: impl Fn() + Send + Sync + 'static) {
        ANY.store(true, Ordering::Relaxed);
        let stop = Stop { steps_left: steps, on_stop: Arc::new(on_stop) };
        STOPS.lock().unwrap_or_else(PoisonError::into_inner).insert(inbox.to_owned(), stop);
    }

    /// To be asked before every change.
    pub(super) fn step(&self) -> Result<(), Errno> {
        if !ANY.load(Ordering::Relaxed) {
            return Ok(());
        }
        let on_stop = {
            let mut stops = STOPS.lock().unwrap_or_else(PoisonError::into_inner);
            match stops.get_mut(self.inbox()) {
                None => return Ok(()),
                Some(stop) if 0 < stop.steps_left => {
                    stop.steps_left -= 1;
                    return Ok(());
                }
                Some(stop) => Arc::clone(&stop.on_stop),
            }
        };
        on_stop();
        Err(Errno::IO)
    }
}
