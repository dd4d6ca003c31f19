//! Who is covered today, from the status word and the dates of a row.

use chrono::{Datelike, Months, NaiveDate};

use super::bind::{Bound, Column};
use super::cells::Cells;
use super::findings::Findings;
use super::words::{StatusWord, Words, quoted};
use crate::config::{CoverageEnds, DateOrder};
use crate::export::problem::Code;
use crate::roster::Uncovered;
use crate::roster::normalise::{self, DateProblem};

/// What a row says about the person's time.
#[derive(Clone, Copy)]
pub(super) struct Period {
    /// The first day, where the row has one that can be read.
    pub(super) start: Option<NaiveDate>,
    /// Whether the row covers today.
    pub(super) today: Today,
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
        return Period { start: None, today: Today::Covered };
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
    let today = match (status, start, end) {
        (Ok(status), Ok(start), Ok(end)) => {
            covered(status, start, end, today, rule.coverage_ends).map_or(Today::Covered, Today::Uncovered)
        }
        (Err(()), _, _) | (_, Err(()), _) | (_, _, Err(())) => Today::Unknown,
    };
    Period { start: start.ok().flatten(), today }
}

/// Why a row does not cover today; `None` when it does.
fn covered(
    status: StatusWord,
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    today: NaiveDate,
    ends: CoverageEnds,
) -> Option<Uncovered> {
    let last_day = end.map(|end| match ends {
        CoverageEnds::TerminationDate => end,
        CoverageEnds::EndOfMonth => end_of_month(end),
    });
    let started = start.is_none_or(|start| start <= today);
    // Somebody hired again after they left, or who will be: the end belongs to the time before, and covers them to its last day.
    let is_hired_again = start.zip(end).is_some_and(|(start, end)| end < start);
    if is_hired_again {
        if last_day.is_some_and(|last_day| today <= last_day) {
            return None;
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
            (!started || last_day < today).then_some(Uncovered::Terminated)
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
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// Status, start, end, rule, verdict, and what the case is about.
    type Case<'a> = (StatusWord, Option<&'a str>, Option<&'a str>, CoverageEnds, Option<Uncovered>, &'a str);

    #[test]
    fn status_and_dates_decide_who_is_covered_today() {
        use CoverageEnds::{EndOfMonth, TerminationDate};
        use StatusWord::{Covered, Terminated};
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
            (Covered, Some("2026-02-20"), Some("2026-02-12"), TerminationDate, None, "leaves, and will be hired again"),
            (
                Covered,
                Some("2026-02-20"),
                Some("2026-02-08"),
                TerminationDate,
                Some(Uncovered::NotStarted),
                "left, and will be hired again",
            ),
            (Covered, Some("2026-02-20"), Some("2026-02-02"), EndOfMonth, None, "hired again before the month ends"),
            (Terminated, Some("2026-02-20"), Some("2026-02-12"), TerminationDate, None, "leaves, and comes back later"),
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
        for (status, start, end, ends, expected, what) in cases {
            assert_eq!(covered(*status, start.map(day), end.map(day), day(today), *ends), *expected, "{what}");
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
