//! The only reader of wall time. Everything else takes the time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Where a task gets the time from: the machine, or a test's simulated day.
#[derive(Clone, Debug)]
pub struct Clock {
    simulated: Option<Simulated>,
}

#[derive(Clone, Debug)]
struct Simulated {
    start: DateTime<Utc>,
    since: tokio::time::Instant,
    /// Milliseconds by which somebody set the clock, or the machine slept; shared by all copies.
    jumped: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { simulated: None }
    }

    /// A clock that starts at `start` and follows tokio's time, so that a test with paused time runs a day in a moment.
    /// Call it inside a runtime.
    pub fn simulated(start: DateTime<Utc>) -> Self {
        let (since, jumped) = (tokio::time::Instant::now(), Arc::new(AtomicI64::new(0)));
        Self { simulated: Some(Simulated { start, since, jumped }) }
    }

    /// For tests: sets a simulated clock forward or back, for all its copies. Timers do not notice, as when the machine has slept.
    #[doc(hidden)]
    pub fn jump(&self, by: TimeDelta) {
        if let Some(simulated) = &self.simulated {
            simulated.jumped.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
        }
    }

    /// The time now, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.simulated {
            None => system_now(),
            Some(Simulated { start, since, jumped }) => {
                let passed = TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX);
                *start + passed + TimeDelta::milliseconds(jumped.load(Ordering::Relaxed))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn system_now() -> DateTime<Utc> {
    Utc::now()
}

/// How long from `now` until `then`; zero when it has passed.
pub fn until(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (then - now).to_std().unwrap_or(Duration::ZERO)
}
