//! The only reader of wall time. Everything else takes the time as an argument.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Where a task gets the time from: the machine, or a test's simulated day.
#[derive(Clone, Debug)]
pub struct Clock {
    simulated: Option<(DateTime<Utc>, tokio::time::Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { simulated: None }
    }

    /// A clock that starts at `start` and follows tokio's time, so that a test with paused time runs a day in a moment.
    /// Call it inside a runtime.
    pub fn simulated(start: DateTime<Utc>) -> Self {
        Self { simulated: Some((start, tokio::time::Instant::now())) }
    }

    /// The time now, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.simulated {
            None => system_now(),
            Some((start, since)) => *start + TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX),
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
