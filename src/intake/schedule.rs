//! Cron lines. (Stand-in until the real room is merged.)

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A cron line.
#[derive(Clone, Debug)]
pub struct Cron(cron::Schedule);

impl Cron {
    /// Reads five or six fields.
    pub fn parse(line: &str) -> Option<Self> {
        let line = if line.split_whitespace().count() == 5 { format!("0 {line}") } else { line.to_owned() };
        cron::Schedule::from_str(&line).ok().map(Self)
    }

    /// The first time after `now`.
    pub fn next_after(&self, now: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        self.0.after(&now.with_timezone(&tz)).next().map(|at| at.with_timezone(&Utc))
    }

    /// The last time after `after` and not after `until`.
    pub fn last_between(&self, after: DateTime<Utc>, until: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        self.0.after(&after.with_timezone(&tz)).map(|at| at.with_timezone(&Utc)).take_while(|at| *at <= until).last()
    }
}
