//! Which appointments of a source are due. Pure: the time comes in, a missed appointment is due once.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::schedule::Cron;

/// Clocks are set back by hours, and nothing fires twice for that. What fired later than this after now fired by a clock that was
/// wrong.
const FARTHEST_AHEAD: TimeDelta = TimeDelta::days(1);

/// What a source does by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Appointment {
    /// `schedule`: the inbox is looked through and dates are looked at again.
    Recheck,
    /// `resync`: every roster is submitted again.
    Resync,
    /// `expect_by`: an export should have been accepted since the last such time.
    ExpectBy,
}

impl Appointment {
    /// The key in the config, and in the store's record of what fired.
    pub fn key(self) -> &'static str {
        match self {
            Self::Recheck => "schedule",
            Self::Resync => "resync",
            Self::ExpectBy => "expect_by",
        }
    }
}

/// The appointments of one source.
#[derive(Debug)]
pub(super) struct Timetable {
    zone: Tz,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    appointment: Appointment,
    cron: Cron,
    /// Times up to this one have fired, or were before the source was known.
    fired: DateTime<Utc>,
}

impl Timetable {
    /// `last_fired` has nominal times by [`Appointment::key`]. An appointment that never fired starts from `now`.
    pub(super) fn new(
        crons: impl IntoIterator<Item = (Appointment, Cron)>,
        zone: Tz,
        last_fired: &BTreeMap<String, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let entries = crons
            .into_iter()
            .map(|(appointment, cron)| {
                let fired = last_fired.get(appointment.key()).copied().unwrap_or(now);
                Entry { appointment, cron, fired }
            })
            .collect();
        Self { zone, entries }
    }

    /// What is due at `now`, with its nominal time; each is due once, however many times were missed.
    pub(super) fn due(&mut self, now: DateTime<Utc>) -> Vec<(Appointment, DateTime<Utc>)> {
        let zone = self.zone;
        self.entries
            .iter_mut()
            .filter_map(|entry| {
                // The clock was wrong then: to wait for that time could be to wait for years.
                if FARTHEST_AHEAD < entry.fired - now {
                    entry.fired = now;
                }
                let missed = || entry.cron.next_after(entry.fired, zone).filter(|at| *at <= now);
                let nominal = entry.cron.last_between(entry.fired, now, zone).or_else(missed)?;
                entry.fired = nominal;
                Some((entry.appointment, nominal))
            })
            .collect()
    }

    /// When the first appointment that has not fired falls due. In the past when it fell due after the last question:
    /// a look at a slow folder takes its time.
    pub(super) fn due_at(&self) -> Option<DateTime<Utc>> {
        self.entries.iter().filter_map(|entry| entry.cron.next_after(entry.fired, self.zone)).min()
    }

    /// The next appointment after `now`, to be shown.
    pub(super) fn next(&self, now: DateTime<Utc>) -> Option<(Appointment, DateTime<Utc>)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.appointment, entry.cron.next_after(now.max(entry.fired), self.zone)?)))
            .min_by_key(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daily(last: Option<&str>, now: &str) -> Timetable {
        let fired = last.map(|last| ("schedule".to_owned(), at(last))).into_iter().collect();
        let cron = "0 6 * * *".parse_cron();
        Timetable::new([(Appointment::Recheck, cron)], Tz::America__New_York, &fired, at(now))
    }

    trait ParseCron {
        fn parse_cron(self) -> Cron;
    }

    impl ParseCron for &str {
        fn parse_cron(self) -> Cron {
            Cron::parse(self).unwrap()
        }
    }

    #[test]
    fn days_that_were_missed_are_due_once_with_the_last_nominal_time() {
        let mut table = daily(Some("2026-10-01T10:00:00Z"), "2026-10-05T12:00:00Z");
        let due = table.due(at("2026-10-05T12:00:00Z"));
        assert_eq!(due, [(Appointment::Recheck, at("2026-10-05T10:00:00Z"))]);
        assert_eq!(table.due(at("2026-10-05T12:00:00Z")), []);
    }

    #[test]
    fn an_appointment_that_never_fired_does_not_make_up_for_the_past() {
        let mut table = daily(None, "2026-10-05T12:00:00Z");
        assert_eq!(table.due(at("2026-10-05T12:00:00Z")), []);
        assert_eq!(table.next(at("2026-10-05T12:00:00Z")), Some((Appointment::Recheck, at("2026-10-06T10:00:00Z"))));
    }

    #[test]
    fn an_appointment_that_falls_due_between_two_questions_is_due_at_once() {
        let mut table = daily(Some("2026-10-04T10:00:00Z"), "2026-10-05T09:59:59Z");
        assert_eq!(table.due(at("2026-10-05T09:59:59Z")), []);
        assert_eq!(table.due_at(), Some(at("2026-10-05T10:00:00Z")));
        assert_eq!(table.due(at("2026-10-05T10:00:09Z")).len(), 1);
        assert_eq!(table.due_at(), Some(at("2026-10-06T10:00:00Z")));
    }

    #[test]
    fn what_fired_by_a_clock_that_was_years_ahead_fires_again() {
        let mut table = daily(Some("2038-01-19T11:00:00Z"), "2026-10-05T09:00:00Z");
        assert_eq!(table.due(at("2026-10-05T09:00:00Z")), []);
        assert_eq!(table.due(at("2026-10-05T10:00:00Z")), [(Appointment::Recheck, at("2026-10-05T10:00:00Z"))]);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_fire_again() {
        let mut table = daily(Some("2026-10-05T10:00:00Z"), "2026-10-05T09:00:00Z");
        assert_eq!(table.due(at("2026-10-05T10:00:00Z")), []);
        assert_eq!(table.next(at("2026-10-05T09:00:00Z")).unwrap().1, at("2026-10-06T10:00:00Z"));
    }
}
