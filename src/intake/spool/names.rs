//! How files are called on their way: the time they were claimed, then their own name made harmless. Pure.

use std::ffi::OsStr;

use chrono::{DateTime, NaiveDateTime, Utc};

/// Longest name of an export that is kept, in bytes. A file system takes 255; the time, the hash, a number and
/// `.problems.csv` need 46 of them.
const MAX_NAME_BYTES: usize = 200;

/// Ends of names longer than this are no extensions and are cut like the rest.
const MAX_EXTENSION_BYTES: usize = 16;

/// Time in the name of a claim. Milliseconds, so that claims of one second keep their order.
const CLAIM_TIME: &str = "%Y%m%dT%H%M%S%3fZ";

/// Time in the name of a filed export.
const FILED_TIME: &str = "%Y%m%dT%H%M%SZ";

/// A name without anything that could mislead a terminal, a shell or a person: no control characters, no characters
/// that turn the direction of text, no dots in front, at most 200 bytes with its extension kept.
pub(super) fn safe_name(name: &OsStr) -> String {
    let text = name.to_string_lossy();
    let clean: String = text.chars().map(|c| if is_misleading(c) || c == '/' { '_' } else { c }).collect();
    let clean = clean.trim_start_matches('.');
    let clean = if clean.is_empty() { "_" } else { clean };
    if clean.len() <= MAX_NAME_BYTES {
        return clean.to_owned();
    }
    let (stem, extension) = match clean.rsplit_once('.') {
        Some((stem, end)) if end.len() < MAX_EXTENSION_BYTES => (stem, format!(".{end}")),
        Some(_) | None => (clean, String::new()),
    };
    let room = MAX_NAME_BYTES - extension.len();
    let mut kept = String::with_capacity(MAX_NAME_BYTES);
    for letter in stem.chars() {
        if room < kept.len() + letter.len_utf8() {
            break;
        }
        kept.push(letter);
    }
    kept + &extension
}

fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// What a claimed file is called in `.rosterd/`.
pub(super) fn claim_name(at: DateTime<Utc>, seq: u32, name: &str) -> String {
    format!("{}_{seq:04}_{name}", at.format(CLAIM_TIME))
}

/// When a file in `.rosterd/` was claimed, and its name as dropped; none for a name that rosterd did not give.
pub(super) fn read_claim_name(name: &str) -> Option<(DateTime<Utc>, &str)> {
    let (time, rest) = name.split_once('_')?;
    let (seq, name) = rest.split_once('_')?;
    let at = NaiveDateTime::parse_from_str(time, CLAIM_TIME).ok()?;
    let is_ours = 4 <= seq.len() && seq.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty();
    is_ours.then_some((at.and_utc(), name))
}

/// What a filed export is called. `copy` counts from 1; later ones differ, so that nothing is overwritten.
pub(super) fn filed_name(at: DateTime<Utc>, sha256: &str, copy: u32, name: &str) -> String {
    let at = at.format(FILED_TIME);
    let sha8: String = sha256.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let sha8 = if sha8.is_empty() { "00000000".to_owned() } else { sha8 };
    if copy <= 1 { format!("{at}_{sha8}_{name}") } else { format!("{at}_{sha8}-{copy}_{name}") }
}

/// Another name for a filed export whose own is taken: `copy` counts from 1, which is the name itself.
pub(super) fn renamed(filed: &str, copy: u32) -> String {
    if copy <= 1 {
        return filed.to_owned();
    }
    let mut parts = filed.splitn(3, '_');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(hash), Some(name)) => format!("{time}_{hash}-{copy}_{name}"),
        _ => format!("{filed}-{copy}"),
    }
}

/// The folder of a month: `2026-10`.
pub(super) fn month(at: DateTime<Utc>) -> String {
    at.format("%Y-%m").to_string()
}

/// The time in the name of a filed export, or of what lies beside one; none for a name that rosterd did not give.
pub(super) fn filed_at(filed: &str) -> Option<DateTime<Utc>> {
    let time = filed.split('_').next()?;
    Some(NaiveDateTime::parse_from_str(time, FILED_TIME).ok()?.and_utc())
}

/// The time, and the beginning of the hash, in the name of a filed export.
pub(super) fn filed(filed: &str) -> Option<(DateTime<Utc>, &str)> {
    let mut parts = filed.splitn(3, '_');
    let (at, hash, name) = (filed_at(parts.next()?)?, parts.next()?, parts.next()?);
    let sha8 = hash.split('-').next()?;
    let is_ours = sha8.len() == 8 && sha8.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.is_empty();
    is_ours.then_some((at, sha8))
}

/// The month in the name of a filed export.
pub(super) fn month_of(filed: &str) -> Option<String> {
    filed_at(filed).map(month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn names_that_play_tricks_become_harmless() {
        let cases = [
            ("hris.csv", "hris.csv"),
            ("..hidden.csv", "hidden.csv"),
            ("a\nb\u{1b}[31m.csv", "a_b_[31m.csv"),
            ("report\u{202e}vsc.exe", "report_vsc.exe"),
            ("Ümläute und Leerzeichen.csv", "Ümläute und Leerzeichen.csv"),
            ("...", "_"),
        ];
        for (name, wanted) in cases {
            assert_eq!(safe_name(OsStr::new(name)), wanted);
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let safe = safe_name(OsStr::new(&format!("{}.csv", "é".repeat(120))));
        assert_eq!(safe, format!("{}.csv", "é".repeat(98)));
    }

    #[test]
    fn a_claim_name_gives_back_its_time_and_name() {
        let claim = claim_name(at("2026-10-05T06:00:00.123Z"), 7, "a_b_c.csv");
        assert_eq!(claim, "20261005T060000123Z_0007_a_b_c.csv");
        assert_eq!(read_claim_name(&claim), Some((at("2026-10-05T06:00:00.123Z"), "a_b_c.csv")));
        assert_eq!(read_claim_name("notes_of_mine.csv"), None);
    }

    #[test]
    fn a_second_copy_is_numbered_behind_the_hash() {
        let name = filed_name(at("2026-10-05T06:00:00.123Z"), "0123456789abcdef", 2, "hris.csv");
        assert_eq!(name, "20261005T060000Z_01234567-2_hris.csv");
        assert_eq!(renamed("20261005T060000Z_01234567_hris.csv", 2), name);
        assert_eq!(month_of(&name).as_deref(), Some("2026-10"));
    }

    proptest! {
        #[test]
        fn every_name_fits_with_everything_that_is_added(name in "\\PC{0,400}") {
            let safe = safe_name(OsStr::new(&name));
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_NAME_BYTES && !safe.starts_with('.'));
            let filed = filed_name(at("2026-10-05T06:00:00Z"), "0123456789abcdef", 99, &safe);
            prop_assert!(filed.len() + ".problems.csv".len() <= 255);
            prop_assert!(claim_name(at("2026-10-05T06:00:00Z"), 4000, &safe).len() <= 255);
        }
    }
}
