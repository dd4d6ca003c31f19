//! `expect_by`: whether an export that should have come did not. Worked out from what is on record and the time, so that it is
//! the same with and without a daemon, and ends by itself.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use tracing::warn;

use crate::config::Source;
use crate::intake::schedule::Cron;
use crate::report::{NotAccepted, RunState};
use crate::roster::ids::SourceName;
use crate::store::{RunFilter, SourceState, Store, StoreError};

use super::{Desk, SyncError};

/// Runs of a source that are looked through for the last one that was not accepted.
const RUNS_LOOKED_AT: usize = 100;

/// When an export must have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The next time by which one must have come.
    pub by: Option<DateTime<Utc>>,
    /// The first time by which one should have come and none did.
    pub overdue_since: Option<DateTime<Utc>>,
}

/// Works it out. An export counts until the first time at or after it; by the one after that, the next must have come. Of a
/// source that never delivered, one is expected by the first time after it was `seen`.
fn expectation(
    cron: &Cron,
    zone: Tz,
    came: Option<DateTime<Utc>>,
    seen: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Expectation {
    let by = match (came, seen) {
        (Some(came), _) => {
            cron.next_after(came - TimeDelta::nanoseconds(1), zone).and_then(|served| cron.next_after(served, zone))
        }
        (None, Some(seen)) => cron.next_after(seen, zone),
        (None, None) => None,
    };
    match by {
        Some(by) if by <= now => Expectation { by: cron.next_after(now, zone), overdue_since: Some(by) },
        Some(by) => Expectation { by: Some(by), overdue_since: None },
        None => Expectation { by: cron.next_after(now, zone), overdue_since: None },
    }
}

/// When an export last came that counts: accepted, or refused only because its content is known.
fn came(state: Option<&SourceState>) -> Option<DateTime<Utc>> {
    let accepted = state.and_then(|state| state.last_accepted.as_ref()).map(|last| last.accepted_at);
    accepted.max(state.and_then(|state| state.last_delivered))
}

/// How a source stands.
///
/// # Errors
/// When the store cannot be read.
pub fn of(
    store: &Store,
    source: &Source,
    state: Option<&SourceState>,
    now: DateTime<Utc>,
) -> Result<Expectation, StoreError> {
    let Some(cron) = &source.expect_by else { return Ok(Expectation::default()) };
    let came = came(state);
    let mut seen = state.and_then(|state| state.first_seen);
    if came.is_none() && seen.is_none() {
        // Without a daemon, its first export is the first that is known of it.
        let filter = RunFilter { source: Some(source.name.clone()), ..RunFilter::default() };
        seen = store.runs(&filter, usize::MAX)?.last().map(|run| run.received_at);
    }
    Ok(expectation(cron, source.timezone, came, seen, now))
}

/// The newest export that came since one counted, and was not accepted.
///
/// # Errors
/// When the store cannot be read.
pub fn not_accepted(
    store: &Store,
    source: &SourceName,
    state: Option<&SourceState>,
) -> Result<Option<NotAccepted>, StoreError> {
    let filter = RunFilter { source: Some(source.clone()), since: came(state), ..RunFilter::default() };
    let is_it = |state: RunState| matches!(state, RunState::Held | RunState::Rejected | RunState::Discarded);
    let found = store.runs(&filter, RUNS_LOOKED_AT)?.into_iter().find(|run| is_it(run.state) && run.repeats.is_none());
    Ok(found.map(|run| NotAccepted { run: run.run, state: run.state, received_at: run.received_at }))
}

impl Desk {
    /// Warns when a source's export is overdue. To be called at each time of `expect_by`. Answers since when.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn expect(&self, name: &SourceName) -> Result<Option<DateTime<Utc>>, SyncError> {
        let (source, now) = (self.source(name)?.clone(), self.clock.now());
        let looked = self.store.call(move |store| {
            let state = store.source(&source.name)?;
            let overdue = of(store, &source, state.as_ref(), now)?.overdue_since;
            let refused = match overdue {
                Some(_) => not_accepted(store, &source.name, state.as_ref())?,
                None => None,
            };
            Ok((overdue, refused, state.and_then(|state| state.last_accepted)))
        });
        let (overdue, refused, last) = looked.await?;
        if let Some(since) = overdue {
            warn!(
                source = %name, overdue_since = %since,
                last_accepted = last.as_ref().map(|last| last.accepted_at.to_rfc3339()),
                last_run = last.as_ref().map(|last| last.run.as_str()),
                not_accepted = refused.as_ref().map(|refused| refused.run.as_str()),
                "no export was accepted in time: people who left stay covered, people who joined are not"
            );
        }
        Ok(overdue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YORK: Tz = chrono_tz::America::New_York;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// 07:30 in New York from Monday to Friday; 2026-03-06 is a Friday, and the clocks change on the Sunday after.
    fn overdue(came: Option<&str>, seen: Option<&str>, now: &str) -> Option<DateTime<Utc>> {
        let cron = Cron::parse("30 7 * * Mon-Fri").unwrap();
        expectation(&cron, NEW_YORK, came.map(at), seen.map(at), at(now)).overdue_since
    }

    #[test]
    fn a_weekend_without_a_file_is_no_alarm_and_monday_without_one_is() {
        let friday = Some("2026-03-06T11:00:00Z");
        assert_eq!(overdue(friday, None, "2026-03-08T20:00:00Z"), None);
        assert_eq!(overdue(friday, None, "2026-03-09T11:29:59Z"), None);
        assert_eq!(overdue(friday, None, "2026-03-09T11:30:00Z"), Some(at("2026-03-09T11:30:00Z")));
        assert_eq!(overdue(friday, None, "2026-03-11T15:00:00Z"), Some(at("2026-03-09T11:30:00Z")), "still the first");
    }

    #[test]
    fn an_export_that_comes_late_ends_the_alarm_and_counts_for_the_next_time() {
        assert_eq!(overdue(Some("2026-03-09T14:00:00Z"), None, "2026-03-10T12:00:00Z"), None);
        assert_eq!(
            overdue(Some("2026-03-09T14:00:00Z"), None, "2026-03-11T12:00:00Z"),
            Some(at("2026-03-11T11:30:00Z"))
        );
    }

    #[test]
    fn an_export_at_the_very_time_is_in_time() {
        assert_eq!(overdue(Some("2026-03-09T11:30:00Z"), None, "2026-03-09T12:00:00Z"), None);
        assert_eq!(
            overdue(Some("2026-03-09T11:30:00Z"), None, "2026-03-10T11:30:00Z"),
            Some(at("2026-03-10T11:30:00Z"))
        );
    }

    #[test]
    fn a_source_that_never_delivered_has_until_the_first_time_after_it_was_seen() {
        assert_eq!(overdue(None, None, "2026-03-09T15:00:00Z"), None, "nobody knows of it");
        let seen = Some("2026-03-09T15:00:00Z");
        assert_eq!(overdue(None, seen, "2026-03-10T11:29:00Z"), None);
        assert_eq!(overdue(None, seen, "2026-03-10T11:30:00Z"), Some(at("2026-03-10T11:30:00Z")));
    }
}
