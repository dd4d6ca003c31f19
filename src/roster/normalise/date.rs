//! Dates without a time zone.

use std::ops::Range;

use chrono::{Datelike, NaiveDate};
use thiserror::Error;

use super::text::trim;
use crate::config::DateOrder;

/// Nobody on a roster was born, and nobody's job began, before this year; what reads so was misread.
const FIRST_YEAR: i32 = 1900;
/// `9999-12-31` is how several systems write "no end".
const LAST_YEAR: i32 = 9999;
/// How far ahead of today a two-digit year of an event may lie: contracts end in ten years, not in thirty.
const YEARS_AHEAD: i32 = 20;
/// What spreadsheets hold inside for the years 1927 to 2064.
const SERIALS: std::ops::RangeInclusive<u32> = 10_000..=60_000;

/// Why a text is no usable date.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum DateProblem {
    /// No date, or a day that the calendar does not have.
    #[error("not a date")]
    Unreadable,
    /// A date only if day, month and year stood in another order.
    #[error("a date in another order of day, month and year")]
    OtherOrder,
    /// A spreadsheet's number of a day.
    #[error("a spreadsheet's day number")]
    Serial,
    /// A date that cannot be meant.
    #[error("a date out of range")]
    OutOfRange,
}

/// A date of birth: from 1900 to today, two-digit years in the past.
///
/// # Errors
/// [`DateProblem`] when the text is no usable date.
pub fn birth_date(text: &str, order: DateOrder, today: NaiveDate) -> Result<NaiveDate, DateProblem> {
    let date = read(text, order, Century::Past(today))?;
    if (FIRST_YEAR..).contains(&date.year()) && date <= today { Ok(date) } else { Err(DateProblem::OutOfRange) }
}

/// The day on which something begins or ends: from 1900 to 9999, two-digit years within eighty years before and twenty
/// after today.
///
/// # Errors
/// [`DateProblem`] when the text is no usable date.
pub fn event_date(text: &str, order: DateOrder, today: NaiveDate) -> Result<NaiveDate, DateProblem> {
    let date = read(text, order, Century::Around(today))?;
    if (FIRST_YEAR..=LAST_YEAR).contains(&date.year()) { Ok(date) } else { Err(DateProblem::OutOfRange) }
}

/// How a two-digit year finds its century.
#[derive(Clone, Copy)]
enum Century {
    /// The latest one that is not in the future.
    Past(NaiveDate),
    /// The latest one that is not far in the future.
    Around(NaiveDate),
}

impl Century {
    fn date(self, year: u32, month: u32, day: u32) -> Option<NaiveDate> {
        let (Self::Past(today) | Self::Around(today)) = self;
        let this_century = today.year().div_euclid(100) * 100 + i32::try_from(year).ok()?;
        [this_century + 100, this_century, this_century - 100]
            .into_iter()
            .filter_map(|year| NaiveDate::from_ymd_opt(year, month, day))
            .find(|date| match self {
                Self::Past(today) => *date <= today,
                Self::Around(today) => date.year() <= today.year() + YEARS_AHEAD,
            })
    }
}

/// A run of digits or letters within a date.
#[derive(Clone, Copy)]
enum Part {
    Number { value: u32, digits: usize },
    Month(u32),
}

impl Part {
    fn read(token: &str) -> Option<Self> {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            // Eight digits are the longest that a date has.
            return (token.len() <= 8)
                .then(|| token.parse().ok())
                .flatten()
                .map(|value| Self::Number { value, digits: token.len() });
        }
        month(token).map(Self::Month)
    }
}

fn read(text: &str, order: DateOrder, century: Century) -> Result<NaiveDate, DateProblem> {
    match plain(text.as_bytes(), order) {
        Some(date) => Ok(date),
        None => read_any(text, order, century),
    }
}

/// A date as nearly all exports write them, `2021-03-15`, or with slashes in the order of the source; [`read_any`] reads it alike, and
/// takes ten times as long.
fn plain(text: &[u8], order: DateOrder) -> Option<NaiveDate> {
    let [year, month, day] = match (text, order) {
        ([_, _, _, _, b'-', _, _, b'-', _, _], _) => [0..4, 5..7, 8..10],
        ([_, _, b'/', _, _, b'/', _, _, _, _], DateOrder::Mdy) => [6..10, 0..2, 3..5],
        ([_, _, b'/', _, _, b'/', _, _, _, _], DateOrder::Dmy) => [6..10, 3..5, 0..2],
        _ => return None,
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(10);
    let number = |at: Range<usize>| text.get(at)?.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?));
    NaiveDate::from_ymd_opt(i32::try_from(number(year)?).ok()?, number(month)?, number(day)?)
}

fn read_any(text: &str, order: DateOrder, century: Century) -> Result<NaiveDate, DateProblem> {
    let text = without_time(trim(text));
    let mut parts = text.split(['/', '-', '.', ' ', ',']).filter(|token| !token.is_empty()).map(Part::read);
    let mut next = || parts.next().map(|part| part.ok_or(DateProblem::Unreadable)).transpose();
    let parts = (next()?, next()?, next()?, next()?);
    match parts {
        (Some(Part::Number { value, digits: 8 }), None, None, None) if text.len() == 8 => {
            NaiveDate::from_ymd_opt(i32::try_from(value / 10_000).unwrap_or(0), value / 100 % 100, value % 100)
                .ok_or(DateProblem::Unreadable)
        }
        (Some(Part::Number { value, digits: 5 }), None, None, None) if SERIALS.contains(&value) => {
            Err(DateProblem::Serial)
        }
        (Some(Part::Number { .. }), Some(Part::Number { .. }), Some(Part::Number { .. }), None)
            if !is_evenly_cut(text) =>
        {
            Err(DateProblem::Unreadable)
        }
        (Some(a), Some(b), Some(c), None) => from_parts([a, b, c], order, century),
        _ => Err(DateProblem::Unreadable),
    }
}

/// Whether numbers are parted by two equal signs, as `1/2/99` is and `-1/2-99` is not.
fn is_evenly_cut(text: &str) -> bool {
    let mut signs = text.bytes().filter(|byte| !byte.is_ascii_digit());
    matches!((signs.next(), signs.next(), signs.next()), (Some(a @ (b'/' | b'-' | b'.')), Some(b), None) if a == b)
}

fn from_parts(parts: [Part; 3], order: DateOrder, century: Century) -> Result<NaiveDate, DateProblem> {
    let date = match parts {
        // 15-Mar-2021 and 2021-Mar-15
        [Part::Number { value: a, digits: wide_a }, Part::Month(month), Part::Number { value: b, digits: wide_b }] => {
            if wide_a == 4 {
                full(a, month, (b, wide_b))
            } else {
                dated((b, wide_b), month, (a, wide_a), century)
            }
        }
        // March 15, 2021
        [
            Part::Month(month),
            Part::Number { value: day, digits: wide },
            Part::Number { value: year, digits: wide_year },
        ] => dated((year, wide_year), month, (day, wide), century),
        [
            Part::Number { value: a, digits: wide_a },
            Part::Number { value: b, digits: wide_b },
            Part::Number { value: c, digits: wide_c },
        ] => return numeric([(a, wide_a), (b, wide_b), (c, wide_c)], order, century),
        [..] => None,
    };
    date.ok_or(DateProblem::Unreadable)
}

/// A number and how many digits it was written with.
type Number = (u32, usize);

fn numeric(numbers: [Number; 3], order: DateOrder, century: Century) -> Result<NaiveDate, DateProblem> {
    let [a, b, c] = numbers;
    // A year in front is ISO's order whatever the source's: nobody writes year, day, month.
    if a.1 == 4 {
        return if b.1 <= 2 { full(a.0, b.0, c) } else { None }.ok_or(DateProblem::Unreadable);
    }
    let in_order = |order: DateOrder| match order {
        DateOrder::Mdy => two_wide(a).and_then(|month| dated(c, month, b, century)),
        DateOrder::Dmy => two_wide(b).and_then(|month| dated(c, month, a, century)),
        DateOrder::Ymd => two_wide(b).and_then(|month| dated(a, month, c, century)),
    };
    in_order(order).ok_or_else(|| {
        let reads_otherwise =
            [DateOrder::Mdy, DateOrder::Dmy, DateOrder::Ymd].into_iter().any(|other| in_order(other).is_some());
        if reads_otherwise { DateProblem::OtherOrder } else { DateProblem::Unreadable }
    })
}

fn two_wide((value, digits): Number) -> Option<u32> {
    (digits <= 2).then_some(value)
}

fn dated(year: Number, month: u32, day: Number, century: Century) -> Option<NaiveDate> {
    match year.1 {
        4 => full(year.0, month, day),
        2 => century.date(year.0, month, two_wide(day)?),
        _ => None,
    }
}

fn full(year: u32, month: u32, day: Number) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, two_wide(day)?)
}

/// Drops `T00:00:00`, ` 00:00:00.000`, ` 12:00 AM`, `T00:00:00Z`: the day counts as written, in no zone.
fn without_time(text: &str) -> &str {
    let Some((before, after)) = text.split_once(':') else { return text };
    let date = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let hour_digits = before.len() - date.len();
    let is_clock = |c: char| {
        c.is_ascii_digit()
            || matches!(c, ':' | '.' | ',' | '+' | '-' | ' ' | 'Z' | 'z' | 'A' | 'P' | 'M' | 'a' | 'p' | 'm')
    };
    match date.strip_suffix(['T', 't', ' ']) {
        Some(date) if (1..=2).contains(&hour_digits) && after.chars().all(is_clock) => date.trim_end(),
        Some(_) | None => text,
    }
}

fn month(name: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let matches = |month: &&str| {
        let is_short = name.len() == 3 || name.eq_ignore_ascii_case("sept");
        let whole = name.eq_ignore_ascii_case(month);
        whole || (is_short && month.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    MONTHS.iter().position(matches).and_then(|at| u32::try_from(at + 1).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_date_is_read_as_any_is(
            text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9]|[0-3][0-9]/[0-3][0-9]/[0-9]{2,5}|[0-9]{3,5}-[0-9/]{2}-[0-9]{2}",
            order in prop::sample::select(vec![DateOrder::Mdy, DateOrder::Dmy, DateOrder::Ymd]),
        ) {
            let today = NaiveDate::from_ymd_opt(2026, 10, 1).unwrap();
            if let Some(date) = plain(text.as_bytes(), order) {
                prop_assert_eq!(read_any(&text, order, Century::Around(today)), Ok(date));
            }
        }
    }
}
