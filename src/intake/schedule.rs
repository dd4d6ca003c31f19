//! Cron lines as operators know them, on top of the `cron` crate: pure, the time is an argument.
//!
//! The crate counts weekdays from Sunday = 1, wants a seconds field, demands that both day fields match and gets
//! daylight saving wrong. So numbers of weekdays become names before it reads a line, and it only ever sees local
//! clock times dressed as UTC; this file alone puts them into the zone: a clock time that comes twice fires at the
//! first, one that is skipped fires at the first minute after the gap.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use thiserror::Error;

/// Longest stretch of clock time that any zone repeats, with room to spare: two hours is the most on record.
const LONGEST_FOLD: Duration = Duration::hours(3);
/// Longest gap: islands that moved across the date line skipped one whole day.
const LONGEST_GAP_MINUTES: usize = 24 * 60;
/// Weekdays in the order of cron's numbers: 0 is Sunday.
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A cron line that was read: five fields, or six with the seconds first.
#[derive(Clone, Debug)]
pub struct Cron {
    line: String,
    /// In local clock time; the zone comes with each question.
    schedule: cron::Schedule,
}

/// Why a text is not a cron line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadCron {
    /// Neither five nor six fields.
    #[error(
        "has {0} fields where cron has 5 (minute, hour, day of month, month, weekday), or 6 with the seconds in front"
    )]
    Fields(usize),
    /// A field does not read.
    #[error("has `{text}` for the {field}, which does not read")]
    Field {
        /// What the field is for.
        field: &'static str,
        /// The field as written.
        text: String,
    },
    /// Days of the month and weekdays are both restricted: programs disagree on whether one or both must hold.
    #[error("restricts both the day of month and the weekday; one of them must be *")]
    BothDays,
    /// Days that no calendar has, like the 31st of February.
    #[error("never comes: no month has such a day")]
    Never,
}

impl Cron {
    /// Reads a line. Weekdays are names or 0 to 7, Monday is 1, 0 and 7 are Sunday.
    ///
    /// # Errors
    /// [`BadCron`], also for a schedule that never comes.
    pub fn parse(line: &str) -> Result<Self, BadCron> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (second, minute, hour, day, month, weekday) = match fields.as_slice() {
            [minute, hour, day, month, weekday] => ("0", *minute, *hour, *day, *month, *weekday),
            [second, minute, hour, day, month, weekday] => (*second, *minute, *hour, *day, *month, *weekday),
            other => return Err(BadCron::Fields(other.len())),
        };
        let weekdays = weekday_names(weekday)?;
        if !is_any(day) && !is_any(weekday) {
            return Err(BadCron::BothDays);
        }
        // The crate says only with a caret what it dislikes, so each field is tried with stars for the others.
        let alone = [
            ("second", second, format!("{second} * * * * *")),
            ("minute", minute, format!("0 {minute} * * * *")),
            ("hour", hour, format!("0 0 {hour} * * *")),
            ("day of month", day, format!("0 0 0 {day} * *")),
            ("month", month, format!("0 0 0 * {month} *")),
        ];
        for (field, text, line) in alone {
            if line.parse::<cron::Schedule>().is_err() {
                return Err(BadCron::Field { field, text: text.to_owned() });
            }
        }
        let schedule: cron::Schedule = format!("{second} {minute} {hour} {day} {month} {weekdays}")
            .parse()
            .map_err(|_| BadCron::Field { field: "weekday", text: weekday.to_owned() })?;
        // Without a year field the calendar repeats: what does not come in the decades after 1970 never comes.
        if schedule.after(&DateTime::<Utc>::UNIX_EPOCH).next().is_none() {
            return Err(BadCron::Never);
        }
        Ok(Self { line: fields.join(" "), schedule })
    }

    /// The first time after `now`.
    pub fn next_after(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let clock = as_if_utc(now.with_timezone(&zone).naive_local());
        self.schedule
            .after(&clock)
            .filter_map(|fire| in_zone(fire.naive_utc(), zone))
            // In the second pass of a repeated hour the clock times ahead were served in the first.
            .find(|fire| now < *fire)
    }

    /// The latest time in (`after`, `until`]: however many were missed, one run makes up for them.
    pub fn last_between(&self, after: DateTime<Utc>, until: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = until.with_timezone(&zone).naive_local();
        let repeated =
            matches!(zone.from_local_datetime(&local), MappedLocalTime::Ambiguous(_, second) if second == until);
        // In the second pass of a repeated hour, later clock times have been and gone.
        let horizon = if repeated { local.checked_add_signed(LONGEST_FOLD)? } else { local };
        // The crate looks back from before its argument.
        let start = as_if_utc(horizon.checked_add_signed(Duration::seconds(1))?);
        self.schedule
            .after(&start)
            .rev()
            .filter_map(|fire| in_zone(fire.naive_utc(), zone))
            .find(|fire| *fire <= until)
            .filter(|fire| after < *fire)
    }

    /// The next `n` times after `now`.
    pub fn upcoming(&self, now: DateTime<Utc>, zone: Tz, n: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next_after(now, zone), |last| self.next_after(*last, zone)).take(n).collect()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.line)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line
    }
}

impl Eq for Cron {}

fn is_any(field: &str) -> bool {
    matches!(field, "*" | "?")
}

/// Rewrites weekdays as names: the crate's own numbers are off by one, and its ranges cannot pass the week's end.
fn weekday_names(field: &str) -> Result<String, BadCron> {
    if is_any(field) {
        return Ok("*".to_owned());
    }
    let bad = || BadCron::Field { field: "weekday", text: field.to_owned() };
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| 0 < *step).ok_or_else(bad)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (weekday_number(first), weekday_number(last)),
            None if range == "*" => (Some(0), Some(6)),
            // `1/2` means different things in different programs.
            None if step.is_some() => return Err(bad()),
            None => (weekday_number(range), weekday_number(range)),
        };
        let (Some(first), Some(last)) = (first, last) else { return Err(bad()) };
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step.unwrap_or(1)).map(|day| day % 7));
    }
    let names: Vec<&str> = days.into_iter().filter_map(|day| WEEKDAYS.get(day).copied()).collect();
    Ok(names.join(","))
}

fn weekday_number(text: &str) -> Option<usize> {
    const FULL: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    match text.parse::<usize>() {
        Ok(number) => (number <= 7).then_some(number),
        Err(_) => FULL
            .iter()
            .zip(WEEKDAYS)
            .position(|(full, short)| text.eq_ignore_ascii_case(full) || text.eq_ignore_ascii_case(short)),
    }
}

fn as_if_utc(local: NaiveDateTime) -> DateTime<Utc> {
    local.and_utc()
}

/// The moment at which a zone's clocks show `local`: the first of two, or the first minute after a gap.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let moment = |local: NaiveDateTime| match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => Some(moment.with_timezone(&Utc)),
        MappedLocalTime::None => None,
    };
    moment(local).or_else(|| {
        let minute = local.with_second(0)?;
        std::iter::successors(Some(minute), |minute| minute.checked_add_signed(Duration::minutes(1)))
            .take(LONGEST_GAP_MINUTES + 1)
            .find_map(moment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW_YORK: Tz = chrono_tz::America::New_York;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn cron(line: &str) -> Cron {
        Cron::parse(line).unwrap()
    }

    fn fires(line: &str, from: &str, n: usize) -> Vec<String> {
        cron(line)
            .upcoming(at(from), NEW_YORK, n)
            .into_iter()
            .map(|fire| fire.with_timezone(&NEW_YORK).format("%a %m-%d %H:%M:%S%z").to_string())
            .collect()
    }

    #[test]
    fn five_fields_and_six_with_seconds_are_read() {
        assert_eq!(fires("30 2 * * *", "2026-06-01T00:00:00Z", 1), ["Mon 06-01 02:30:00-0400"]);
        assert_eq!(fires("15 30 2 * * *", "2026-06-01T00:00:00Z", 1), ["Mon 06-01 02:30:15-0400"]);
    }

    #[test]
    fn weekdays_count_from_sunday_zero_and_may_pass_the_end_of_the_week() {
        let cases = [
            ("1-5", "Mon,Tue,Wed,Thu,Fri"),
            ("Mon-Fri", "Mon,Tue,Wed,Thu,Fri"),
            ("MON,wednesday", "Mon,Wed"),
            ("0", "Sun"),
            ("7", "Sun"),
            ("5-7", "Sun,Fri,Sat"),
            ("6-1", "Sun,Mon,Sat"),
            ("Fri-Sun", "Sun,Fri,Sat"),
            ("1-5/2", "Mon,Wed,Fri"),
            ("*/2", "Sun,Tue,Thu,Sat"),
            ("0-7", "Sun,Mon,Tue,Wed,Thu,Fri,Sat"),
            ("?", "*"),
        ];
        for (written, names) in cases {
            assert_eq!(weekday_names(written).as_deref(), Ok(names), "{written}");
        }
        assert_eq!(
            fires("0 6 * * 1-5", "2026-06-05T12:00:00Z", 2),
            ["Mon 06-08 06:00:00-0400", "Tue 06-09 06:00:00-0400"]
        );
    }

    #[test]
    fn a_line_that_does_not_read_says_which_field_is_wrong() {
        let field = |field, text: &str| BadCron::Field { field, text: text.to_owned() };
        let cases = [
            ("", BadCron::Fields(0)),
            ("@daily", BadCron::Fields(1)),
            ("* * * *", BadCron::Fields(4)),
            ("0 0 0 * * * 2026", BadCron::Fields(7)),
            ("61 * * * * *", field("second", "61")),
            ("60 2 * * *", field("minute", "60")),
            ("0 24 * * *", field("hour", "24")),
            ("0 0 32 * *", field("day of month", "32")),
            ("0 0 * 13 *", field("month", "13")),
            ("0 0 * * 8", field("weekday", "8")),
            ("0 0 * * Mo", field("weekday", "Mo")),
            ("0 0 * * 1/2", field("weekday", "1/2")),
            ("0 0 * * 1-", field("weekday", "1-")),
            ("0 0 * * */0", field("weekday", "*/0")),
            ("0 0 1 * Mon", BadCron::BothDays),
            ("0 0 31 2 *", BadCron::Never),
        ];
        for (line, expected) in cases {
            assert_eq!(Cron::parse(line), Err(expected), "{line}");
        }
        assert!(Cron::parse("0 0 29 2 *").is_ok());
        assert!(Cron::parse("0 0 1 * ?").is_ok());
    }

    #[test]
    fn a_time_in_the_spring_gap_fires_at_the_first_minute_after_it() {
        assert_eq!(
            fires("30 2 * * *", "2026-03-07T12:00:00Z", 2),
            ["Sun 03-08 03:00:00-0400", "Mon 03-09 02:30:00-0400"]
        );
        assert_eq!(
            fires("*/30 * * * *", "2026-03-08T06:00:00Z", 3),
            ["Sun 03-08 01:30:00-0500", "Sun 03-08 03:00:00-0400", "Sun 03-08 03:30:00-0400"]
        );
    }

    #[test]
    fn a_time_in_the_autumn_fold_fires_once_and_in_order() {
        assert_eq!(
            fires("30 1 * * *", "2026-10-31T12:00:00Z", 2),
            ["Sun 11-01 01:30:00-0400", "Mon 11-02 01:30:00-0500"]
        );
        assert_eq!(
            fires("*/30 * * * *", "2026-11-01T04:30:00Z", 4),
            [
                "Sun 11-01 01:00:00-0400",
                "Sun 11-01 01:30:00-0400",
                "Sun 11-01 02:00:00-0500",
                "Sun 11-01 02:30:00-0500"
            ]
        );
        // Asked in the second pass.
        assert_eq!(fires("30 1 * * *", "2026-11-01T06:10:00Z", 1), ["Mon 11-02 01:30:00-0500"]);
        let last = cron("50 1 * * *").last_between(at("2026-10-31T12:00:00Z"), at("2026-11-01T06:10:00Z"), NEW_YORK);
        assert_eq!(last, Some(at("2026-11-01T05:50:00Z")));
    }

    #[test]
    fn a_day_that_an_island_skipped_fires_when_the_next_one_begins() {
        let fire = cron("0 12 30 12 *").next_after(at("2011-12-29T12:00:00Z"), chrono_tz::Pacific::Apia);
        assert_eq!(fire, Some(at("2011-12-30T10:00:00Z")));
    }

    #[test]
    fn however_many_were_missed_one_is_made_up_for() {
        let daily = cron("0 6 * * *");
        let last = |after: &str, until: &str| daily.last_between(at(after), at(until), NEW_YORK);
        let sunday = Some(at("2026-06-07T10:00:00Z"));
        assert_eq!(last("2026-06-01T00:00:00Z", "2026-06-07T12:00:00Z"), sunday);
        assert_eq!(last("2026-06-01T00:00:00Z", "2026-06-07T10:00:00Z"), sunday, "the end counts");
        assert_eq!(last("2026-06-07T10:00:00Z", "2026-06-07T12:00:00Z"), None, "the start does not");
        assert_eq!(last("2026-06-07T12:00:00Z", "2026-06-07T10:00:00Z"), None, "a clock set back misses nothing");
    }

    #[test]
    fn after_the_last_year_the_crate_knows_there_is_no_next() {
        assert_eq!(cron("0 6 * * *").next_after(at("2200-01-01T00:00:00Z"), NEW_YORK), None);
    }

    proptest! {
        #[test]
        fn the_last_time_is_the_one_a_walk_forward_ends_at(
            hours in 0i64..24 * 366, minutes in 0i64..60, span in 1i64..72,
            line in prop::sample::select(vec!["*/20 * * * *", "30 1,2 * * *", "0 */5 * * 1-5", "59 1 * * *"]),
        ) {
            let after = at("2026-01-01T00:00:00Z") + Duration::hours(hours) + Duration::minutes(minutes);
            let until = after + Duration::hours(span);
            let cron = cron(line);
            let walk = std::iter::successors(cron.next_after(after, NEW_YORK), |last| cron.next_after(*last, NEW_YORK))
                .take_while(|fire| *fire <= until)
                .last();
            prop_assert_eq!(cron.last_between(after, until, NEW_YORK), walk);
        }

        #[test]
        fn times_come_in_strict_order(
            minutes in 0i64..60 * 24 * 366,
            line in prop::sample::select(vec!["*/7 * * * *", "30 1,2 * * *", "*/13 0-3 * * *"]),
        ) {
            let now = at("2026-01-01T00:00:00Z") + Duration::minutes(minutes);
            let fires = cron(line).upcoming(now, NEW_YORK, 20);
            prop_assert!(fires.iter().all(|fire| now < *fire));
            prop_assert!(fires.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
