//! Small pieces of text: escaped words, times, counts, lists.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::report::{Phase, RunState, Trigger};

use super::Tone;

/// Entries of a list of people that a text shows; JSON has them all.
const LISTED: usize = 10;

/// Text from outside with everything escaped that a terminal could obey, or that hides or turns round what is written.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// Control characters, marks of direction, and characters without width.
pub(super) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text in at most so many columns. What is left out is left out in the middle: names of files differ at their ends.
pub(super) fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(1);
    let tail: String = take_columns(text.chars().rev(), room / 2).chars().rev().collect();
    Cow::Owned(format!("{}…{tail}", take_columns(text.chars(), room - room / 2)))
}

fn take_columns(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= columns
    };
    chars.take_while(fits).collect()
}

/// RFC 3339, UTC, to the second.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `3 hours ago`, `in 5 minutes`.
pub(super) fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if now < at { format!("in {}", span(at - now)) } else { format!("{} ago", span(now - at)) }
}

/// A length of time in one unit. A larger unit is taken from its double on, so that little is lost by rounding.
pub(super) fn span(length: TimeDelta) -> String {
    let seconds = length.num_seconds().unsigned_abs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if 2 <= days {
        many(days, "day", "days")
    } else if 2 <= hours {
        many(hours, "hour", "hours")
    } else if 2 <= minutes {
        many(minutes, "minute", "minutes")
    } else {
        many(seconds, "second", "seconds")
    }
}

/// `1 row`, `12 rows`.
pub(super) fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// A length as a count of people or things.
pub(super) fn count(length: usize) -> u64 {
    length as u64
}

/// `7 bytes`, `4.2 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| *size <= count) else {
        return many(count, "byte", "bytes");
    };
    let tenths = count.saturating_mul(10) / size;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// The first entries of a list, and how many more there are.
pub(super) fn some<T>(list: &[T], say: impl Fn(&T) -> String) -> String {
    let text = list.iter().take(LISTED).map(say).collect::<Vec<_>>().join(", ");
    if LISTED < list.len() { format!("{text} and {} more", list.len() - LISTED) } else { text }
}

/// A name as one word of a shell's command line.
pub(super) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._/=+:@%,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", clean(text).replace('\'', r"'\''"))
    }
}

/// A file's name as one word of a shell's command line, never taken for an option.
pub(super) fn shell_path(name: &str) -> String {
    if name.starts_with('-') { shell_word(&format!("./{name}")) } else { shell_word(name) }
}

/// A text with its first letter in upper case.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// A sentence's end, where the text has none of its own.
pub(super) fn stop(text: &str) -> &'static str {
    if text.ends_with(['.', '!', '?', '…']) { "" } else { "." }
}

pub(super) fn state(state: RunState) -> (&'static str, Tone) {
    match state {
        RunState::Received => ("received", Tone::Doubtful),
        RunState::Planned => ("planned", Tone::Doubtful),
        RunState::Held => ("held", Tone::Doubtful),
        RunState::Delivering => ("delivering", Tone::Doubtful),
        RunState::Completed => ("completed", Tone::Good),
        RunState::Partial => ("partial", Tone::Doubtful),
        RunState::Failed => ("failed", Tone::Bad),
        RunState::Rejected => ("rejected", Tone::Bad),
        RunState::Duplicate => ("duplicate", Tone::Good),
        RunState::Unchanged => ("unchanged", Tone::Good),
        RunState::Superseded => ("superseded", Tone::Doubtful),
        RunState::Discarded => ("discarded", Tone::Doubtful),
    }
}

pub(super) fn phase(phase: Phase) -> (&'static str, Tone) {
    match phase {
        Phase::Pending => ("pending", Tone::Doubtful),
        Phase::Submitting => ("submitting", Tone::Doubtful),
        Phase::Accepted => ("accepted", Tone::Doubtful),
        Phase::Completed => ("completed", Tone::Good),
        Phase::Refused => ("refused", Tone::Bad),
        Phase::Lost => ("lost", Tone::Bad),
        Phase::Superseded => ("superseded", Tone::Doubtful),
    }
}

pub(super) fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Watch => "watch (a file was dropped)",
        Trigger::Schedule => "schedule",
        Trigger::Manual => "manual",
        Trigger::Resync => "resync (rosters submitted again against drift)",
        Trigger::Recheck => "recheck (dates looked at again)",
        Trigger::Approve => "approve (a held run was released)",
        Trigger::Revert => "revert (a batch was undone)",
    }
}
