//! How long the server asks us to wait.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::clock::until;

/// The longest wait that is honoured. A server that asks for a day is more likely wrong than right, and an hour is
/// what an operator sees in time.
pub const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Below this (September 2001) a reset "time" is taken for seconds from now, which some gateways send instead.
const FIRST_UNIX_TIME: u64 = 1_000_000_000;

/// What `Retry-After` (seconds or a date) asks for, or else `X-RateLimit-Reset` (Unix seconds); at most [`MAX_WAIT`],
/// zero when the time has passed, `None` when neither can be read.
pub fn wait(retry_after: Option<&str>, rate_limit_reset: Option<&str>, now: DateTime<Utc>) -> Option<Duration> {
    let asked = retry_after
        .and_then(|text| whole_seconds(text).map(Duration::from_secs).or_else(|| until_date(text, now)))
        .or_else(|| rate_limit_reset.and_then(whole_seconds).map(|reset| until_reset(reset, now)));
    asked.map(|wait| wait.min(MAX_WAIT))
}

/// A number too large for any clock is still a number: it is cut to the longest wait later.
fn whole_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The three forms of RFC 9110, 5.6.7; all are in GMT.
fn until_date(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    let then = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some(until(then.and_utc(), now))
}

fn until_reset(reset: u64, now: DateTime<Utc>) -> Duration {
    if reset < FIRST_UNIX_TIME {
        return Duration::from_secs(reset);
    }
    let then = i64::try_from(reset).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    then.map_or(MAX_WAIT, |then| until(then, now))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn every_form_of_a_hint_is_read_and_capped() {
        let now = Utc.with_ymd_and_hms(1994, 11, 6, 8, 49, 0).unwrap();
        let late = Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap();
        let unix = |seconds: i64| (late.timestamp() + seconds).to_string();
        let cases = [
            (Some("120"), None, now, Some(120)),
            (Some(" 0 "), None, now, Some(0)),
            (Some("86400"), None, now, Some(3600)),
            (Some("99999999999999999999999"), None, now, Some(3600)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, now, Some(37)),
            (Some("Sunday, 06-Nov-94 08:49:37 GMT"), None, now, Some(37)),
            (Some("Sun Nov  6 08:49:37 1994"), None, now, Some(37)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, late, Some(0)),
            (Some("Mon, 05 Oct 2026 20:00:00 GMT"), None, late, Some(3600)),
            (None, Some(unix(90)), late, Some(90)),
            (None, Some(unix(-90)), late, Some(0)),
            (None, Some(unix(90_000)), late, Some(3600)),
            (None, Some("45".to_owned()), late, Some(45)),
            (None, Some("18446744073709551615".to_owned()), late, Some(3600)),
            // the standard header goes first; one that cannot be read counts as absent
            (Some("7"), Some(unix(90)), late, Some(7)),
            (Some("soon"), Some(unix(90)), late, Some(90)),
            (Some("-5"), None, late, None),
            (Some("1.5"), None, late, None),
            (Some(""), None, late, None),
            (None, None, late, None),
        ];
        for (retry_after, reset, now, expected) in cases {
            let waited = wait(retry_after, reset.as_deref(), now);
            assert_eq!(waited, expected.map(Duration::from_secs), "{retry_after:?} {reset:?}");
        }
    }
}
