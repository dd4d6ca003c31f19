//! New ids of runs and batches: `run_20261123_061530_417`, `bat_20261123_061530_418` (UTC, milliseconds). They sort by
//! time, and people can read and type them.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::roster::ids::{BatchId, RunId};

const FORMAT: &str = "%Y%m%d_%H%M%S_%3f";
/// End of the year 9999: beyond it the year has five digits and texts no longer sort by time.
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// Makes ids that strictly increase, even when the clock steps back or stands still.
#[derive(Debug)]
pub struct Ids {
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    run: i64,
    batch: i64,
}

impl Ids {
    /// Goes on after the last ids that were given out.
    pub fn after(run: Option<&RunId>, batch: Option<&BatchId>) -> Self {
        let ids = Self { last: Mutex::default() };
        ids.go_on_after(run, batch);
        ids
    }

    /// Goes on after these ids, too.
    pub fn go_on_after(&self, run: Option<&RunId>, batch: Option<&BatchId>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.run = last.run.max(run.and_then(|id| millis_of(id.as_str(), "run_")).unwrap_or(0));
        last.batch = last.batch.max(batch.and_then(|id| millis_of(id.as_str(), "bat_")).unwrap_or(0));
    }

    /// The id of a run that begins now.
    pub fn run(&self, now: DateTime<Utc>) -> RunId {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.run = next(last.run, now);
        RunId::parse(&text("run_", last.run)).expect("a prefix and a time are a valid id")
    }

    /// The id of a batch that is made now.
    pub fn batch(&self, now: DateTime<Utc>) -> BatchId {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.batch = next(last.batch, now);
        BatchId::parse(&text("bat_", last.batch)).expect("a prefix and a time are a valid id")
    }
}

fn next(last: i64, now: DateTime<Utc>) -> i64 {
    now.timestamp_millis().clamp(0, LAST_MILLIS).max(last.saturating_add(1))
}

fn text(prefix: &str, millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC);
    format!("{prefix}{}", time.format(FORMAT))
}

fn millis_of(id: &str, prefix: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(id.strip_prefix(prefix)?, FORMAT).ok()?;
    Some(time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_says_when_it_was_made() {
        let ids = Ids::after(None, None);
        assert_eq!(ids.run(at("2026-11-23T06:15:30.417Z")).as_str(), "run_20261123_061530_417");
        assert_eq!(ids.batch(at("2026-11-23T06:15:30.417Z")).as_str(), "bat_20261123_061530_417");
    }

    #[test]
    fn ids_go_on_after_the_last_one_although_the_clock_stepped_back() {
        let run = RunId::parse("run_20261123_061530_999").unwrap();
        let batch = BatchId::parse("bat_20261231_235959_999").unwrap();
        let ids = Ids::after(Some(&run), Some(&batch));
        let earlier = at("2026-11-23T05:00:00Z");
        assert_eq!(ids.run(earlier).as_str(), "run_20261123_061531_000");
        assert_eq!(ids.batch(earlier).as_str(), "bat_20270101_000000_000");
    }

    #[test]
    fn an_id_of_another_shape_does_not_stop_new_ones() {
        let odd = RunId::parse("first-try").unwrap();
        assert_eq!(Ids::after(Some(&odd), None).run(at("2026-11-23T06:15:30Z")).as_str(), "run_20261123_061530_000");
    }

    proptest! {
        #[test]
        fn ids_strictly_increase_whatever_the_clock_does(times in prop::collection::vec(-10_i64..4_000_000_000_000, 1..200)) {
            let ids = Ids::after(None, None);
            let mut last = String::new();
            for millis in times {
                let id = ids.batch(DateTime::from_timestamp_millis(millis).unwrap());
                prop_assert!(last.as_str() < id.as_str());
                last = id.as_str().to_owned();
            }
        }
    }
}
