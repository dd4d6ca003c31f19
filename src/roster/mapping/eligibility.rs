//! Who is covered today, from the status word and the dates of a row.

use chrono::{Datelike, Days, Months, NaiveDate};

use super::bind::{Bound, Column};
use super::cells::Cells;
use super::findings::Findings;
use super::words::{StatusWord, Words, quoted};
use crate::config::{CoverageEnds, DateOrder};
use crate::export::problem::Code;
use crate::roster::Uncovered;
use crate::roster::normalise::{self, DateProblem};

/// An end of coverage that comes to light later than this was overlooked, or entered late. Benefit exchanges take back no more than
/// a month or two (DC Health Link: 60 days), so HR has to look at it soon.
const LONG_AGO: Days = Days::new(30);

/// What a row says about the person's time.
#[derive(Clone, Copy)]
pub(super) struct Period {
    /// The first day, where the row has one that can be read.
    pub(super) start: Option<NaiveDate>,
    /// Whether the row covers today.
    pub(super) today: Today,
    /// The first day on which it may say something else.
    pub(super) until: NaiveDate,
}

/// Whether a row covers today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Today {
    Covered,
    Uncovered(Uncovered),
    /// A cell that decides cannot be read; that is noted.
    Unknown,
}

/// Reads status, start and end of a row.
pub(super) fn read(
    bound: &Bound,
    cells: Cells<'_>,
    words: &mut Words,
    today: NaiveDate,
    findings: &mut Findings,
) -> Period {
    let Some(rule) = &bound.rules.eligibility else {
        return Period { start: None, today: Today::Covered, until: end_of_year(today) };
    };
    let status = match &bound.status {
        None => Ok(StatusWord::Covered),
        Some(column) => {
            let cell = cells.trimmed(column);
            words.status(&bound.rules, cell).ok_or_else(|| unknown_status(findings, column, cell))
        }
    };
    let mut date = |column: Option<&Column>| match column.map(|column| (column, cells.trimmed(column))) {
        None | Some((_, "")) => Ok(None),
        Some((column, cell)) => normalise::event_date(cell, bound.rules.dates, today)
            .map(Some)
            .map_err(|problem| note_date(findings, column, problem, bound.rules.dates)),
    };
    let start = date(bound.start.as_ref());
    let end = date(bound.end.as_ref());
    let until = changes_on(start.ok().flatten(), end.ok().flatten(), today, rule.coverage_ends);
    let today = match (status, start, end) {
        (Ok(status), Ok(start), Ok(end)) => {
            covered(status, start, end, today, rule.coverage_ends).map_or(Today::Covered, Today::Uncovered)
        }
        (Err(()), _, _) | (_, Err(()), _) | (_, _, Err(())) => Today::Unknown,
    };
    Period { start: start.ok().flatten(), today, until }
}

/// The first day after today on which [`covered`] may answer something else: each of its comparisons changes once, and years of two
/// digits are read anew each year.
fn changes_on(start: Option<NaiveDate>, end: Option<NaiveDate>, today: NaiveDate, ends: CoverageEnds) -> NaiveDate {
    let last_day = end.map(|end| last_day(end, ends));
    let ended = last_day.and_then(|last_day| last_day.succ_opt());
    let long_ago = ended.and_then(|ended| ended.checked_add_days(LONG_AGO));
    let days = [start, ended, long_ago].into_iter().flatten().filter(|day| today < *day);
    days.chain([end_of_year(today)]).min().unwrap_or(today)
}

/// The first day of the next year.
fn end_of_year(today: NaiveDate) -> NaiveDate {
    NaiveDate::from_ymd_opt(today.year() + 1, 1, 1).unwrap_or(today)
}

fn last_day(end: NaiveDate, ends: CoverageEnds) -> NaiveDate {
    match ends {
        CoverageEnds::TerminationDate => end,
        CoverageEnds::EndOfMonth => end_of_month(end),
    }
}

/// Why a row does not cover today; `None` when it does.
fn covered(
    status: StatusWord,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    today: NaiveDate,
    ends: CoverageEnds,
) -> Option<Uncovered> {
    let last_day = end.map(|end| last_day(end, ends));
    let started = start.is_none_or(|start| start <= today);
    // Somebody hired again after they left, or who will be: the end belongs to the time before, and covers them to its last day.
    let is_hired_again = start.zip(end).is_some_and(|(start, end)| end < start);
    if is_hired_again {
        if last_day.is_some_and(|last_day| today <= last_day) {
            return (!started).then_some(Uncovered::Between);
        }
        return match status {
            StatusWord::Covered if !started => Some(Uncovered::NotStarted),
            StatusWord::Covered => None,
            StatusWord::Terminated => Some(Uncovered::Terminated),
        };
    }
    match (status, last_day) {
        (StatusWord::Covered, _) if !started => Some(Uncovered::NotStarted),
        (StatusWord::Covered, None) => None,
        (StatusWord::Covered | StatusWord::Terminated, Some(last_day)) => {
            let is_long_ago = last_day.checked_add_days(LONG_AGO).is_some_and(|long_ago| long_ago < today);
            let ended = if is_long_ago { Uncovered::EndedLongAgo } else { Uncovered::Terminated };
            (!started || last_day < today).then_some(ended)
        }
        (StatusWord::Terminated, None) => Some(Uncovered::Terminated),
    }
}

fn end_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1)
        .and_then(|first| first.checked_add_months(Months::new(1)))
        .and_then(|next| next.pred_opt())
        .unwrap_or(date)
}

fn unknown_status(findings: &mut Findings, column: &Column, cell: &str) {
    if cell.is_empty() {
        findings.note(Code::UnknownStatus, Some(column), "The status is empty; fill it in.");
    } else {
        findings.note(
            Code::UnknownStatus,
            Some(column),
            format_args!(
                "\"{}\" is no status that this feed knows; correct the cell, or have it added to the feed's config.",
                quoted(cell)
            ),
        );
    }
}

/// Notes a date that cannot be used.
pub(super) fn note_date(findings: &mut Findings, column: &Column, problem: DateProblem, order: DateOrder) {
    let wanted = match order {
        DateOrder::Mdy => "month/day/year",
        DateOrder::Dmy => "day/month/year",
        DateOrder::Ymd => "year/month/day",
    };
    let (code, what) = match problem {
        DateProblem::Unreadable => (Code::BadDate, "This is not a date"),
        DateProblem::OtherOrder => (Code::DateOrder, "Day, month and year stand in another order than in this feed"),
        DateProblem::Serial => (Code::BadDate, "A spreadsheet wrote the number of a day instead of a date"),
        DateProblem::OutOfRange => (Code::BadDate, "The year cannot be meant"),
    };
    findings.note(code, Some(column), format_args!("{what}; write it as {wanted} or as 2026-01-31."));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Status, start, end, rule, verdict, and what the case is about.
    type Case<'a> = (StatusWord, Option<&'a str>, Option<&'a str>, CoverageEnds, Option<Uncovered>, &'a str);

    #[test]
    fn status_and_dates_decide_who_is_covered_today() {
        use CoverageEnds::{EndOfMonth, TerminationDate};
        use StatusWord::Covered;
        let today = "2026-02-09";
        let cases: &[Case<'_>] = &[
            (Covered, None, None, TerminationDate, None, "no dates"),
            (Covered, Some("2026-02-09"), None, TerminationDate, None, "the first day"),
            (Covered, Some("2026-02-10"), None, TerminationDate, Some(Uncovered::NotStarted), "tomorrow"),
            (Covered, None, Some("2026-02-09"), TerminationDate, None, "the last day"),
            (Covered, None, Some("2026-02-08"), TerminationDate, Some(Uncovered::Terminated), "ended yesterday"),
            (Covered, None, Some("2026-02-01"), EndOfMonth, None, "until the month's end"),
            (Covered, None, Some("2026-01-31"), EndOfMonth, Some(Uncovered::Terminated), "last month's end"),
            (Covered, None, Some("9999-12-31"), EndOfMonth, None, "open end"),
        ];
        judge(today, cases);
    }

    #[test]
    fn a_terminated_status_and_a_second_period_are_read_with_their_dates() {
        use CoverageEnds::{EndOfMonth, TerminationDate};
        use StatusWord::{Covered, Terminated};
        let today = "2026-02-09";
        let cases: &[Case<'_>] = &[
            (Terminated, None, None, TerminationDate, Some(Uncovered::Terminated), "no end"),
            (Terminated, None, Some("2026-02-08"), TerminationDate, Some(Uncovered::Terminated), "past end"),
            (Terminated, None, Some("2026-03-01"), TerminationDate, None, "notice given, end to come"),
            (Terminated, None, Some("2026-02-02"), EndOfMonth, None, "covered for the rest of the month"),
            (Covered, Some("2026-01-05"), Some("2025-06-30"), TerminationDate, None, "hired again"),
            (
                Covered,
                Some("2026-05-01"),
                Some("2025-06-30"),
                TerminationDate,
                Some(Uncovered::NotStarted),
                "will be hired again",
            ),
            (
                Covered,
                Some("2026-02-20"),
                Some("2026-02-12"),
                TerminationDate,
                Some(Uncovered::Between),
                "leaves, and will be hired again",
            ),
            (
                Covered,
                Some("2026-02-20"),
                Some("2026-02-08"),
                TerminationDate,
                Some(Uncovered::NotStarted),
                "left, and will be hired again",
            ),
            (
                Covered,
                Some("2026-02-20"),
                Some("2026-02-02"),
                EndOfMonth,
                Some(Uncovered::Between),
                "hired again before the month ends",
            ),
            (Covered, None, Some("2026-01-10"), TerminationDate, Some(Uncovered::Terminated), "30 days ago"),
            (Covered, None, Some("2026-01-09"), TerminationDate, Some(Uncovered::EndedLongAgo), "31 days ago"),
            (Terminated, None, Some("2025-12-02"), EndOfMonth, Some(Uncovered::EndedLongAgo), "the month before last"),
            (
                Terminated,
                Some("2026-02-20"),
                Some("2026-02-12"),
                TerminationDate,
                Some(Uncovered::Between),
                "leaves, and comes back later",
            ),
            (
                Terminated,
                Some("2026-01-05"),
                Some("2025-06-30"),
                TerminationDate,
                Some(Uncovered::Terminated),
                "hired again, and gone",
            ),
            (
                Terminated,
                Some("2026-05-01"),
                Some("2026-06-30"),
                TerminationDate,
                Some(Uncovered::Terminated),
                "never came",
            ),
        ];
        judge(today, cases);
    }

    fn judge(today: &str, cases: &[Case<'_>]) {
        for (status, start, end, ends, expected, what) in cases {
            assert_eq!(covered(*status, start.map(day), end.map(day), day(today), *ends), *expected, "{what}");
        }
    }

    proptest! {
        /// Until the day that is told a row says what it says today.
        #[test]
        fn a_row_says_the_same_until_the_day_that_is_told(
            start in prop::option::of(0_u64..1500), end in prop::option::of(0_u64..1500), today in 0_u64..1500,
            is_terminated: bool, at_month_end: bool,
        ) {
            let first = day("2023-01-01");
            let on = |days: u64| first + Days::new(days);
            let (start, end, today) = (start.map(on), end.map(on), on(today));
            let status = if is_terminated { StatusWord::Terminated } else { StatusWord::Covered };
            let ends = if at_month_end { CoverageEnds::EndOfMonth } else { CoverageEnds::TerminationDate };
            let said = |today| covered(status, start, end, today, ends);
            let until = changes_on(start, end, today, ends);
            prop_assert!(today < until);
            prop_assert!(today.iter_days().take_while(|day| *day < until).all(|day| said(day) == said(today)));
        }
    }

    #[test]
    fn a_month_ends_with_its_last_day() {
        assert_eq!(end_of_month(day("2024-02-01")), day("2024-02-29"));
        assert_eq!(end_of_month(day("2025-12-31")), day("2025-12-31"));
        assert_eq!(end_of_month(day("2026-01-31")), day("2026-01-31"), "no month after it has a 31st");
        assert_eq!(end_of_month(day("2026-02-15")), day("2026-02-28"));
        assert_eq!(end_of_month(day("2026-04-30")), day("2026-04-30"));
    }
}
