//! First and last name out of one cell.

use thiserror::Error;

use super::text::text;

/// Words behind a name that belong to the last name.
const SUFFIXES: [&str; 5] = ["jr", "sr", "ii", "iii", "iv"];

/// Words with which a last name of several words begins.
const PARTICLES: [&str; 17] = [
    "bin", "da", "de", "del", "della", "der", "di", "dos", "du", "el", "ibn", "la", "le", "st", "van", "vander", "von",
];

/// A name in two parts.
#[derive(Clone, PartialEq, Eq)]
pub struct FullName {
    /// First name; a second one stays with it, a middle initial does not.
    pub first: String,
    /// Last name with its suffix.
    pub last: String,
    /// More than two words without a comma: the last word was taken for the last name, which may be wrong.
    pub doubtful: bool,
}

/// Shows nothing: a name is personal.
impl std::fmt::Debug for FullName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FullName(..)")
    }
}

/// A text that does not hold a first and a last name.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not a first and a last name")]
pub struct NotAName;

/// Reads `Last, First M`, `First Last`, `First M. de la Last Jr.` and `First Last (1001)`.
///
/// # Errors
/// [`NotAName`] when there is only one word, or more commas than a name has.
pub fn full_name(raw: &str) -> Result<FullName, NotAName> {
    let tidy = text(raw);
    // Workday puts the id, or "On Leave", in brackets behind the name.
    let name = match tidy.split_once('(') {
        Some((name, rest)) if rest.ends_with(')') => name,
        Some(_) | None => &tidy,
    };
    let mut suffix = "";
    let mut parts = Vec::with_capacity(2);
    for part in name.split(',').map(str::trim) {
        if !parts.is_empty() && is_suffix(part) && suffix.is_empty() {
            suffix = part;
        } else {
            parts.push(part);
        }
    }
    match *parts.as_slice() {
        [last, first] => {
            let mut words: Vec<&str> = first.split(' ').collect();
            if suffix.is_empty() && 1 < words.len() && words.last().is_some_and(|word| is_suffix(word)) {
                suffix = words.pop().unwrap_or_default();
            }
            if 1 < words.len() && words.last().is_some_and(|word| is_initial(word)) {
                words.pop();
            }
            assembled(words.join(" "), last, suffix, false)
        }
        [plain] => first_last(plain, suffix),
        [..] => Err(NotAName),
    }
}

fn first_last<'a>(plain: &'a str, mut suffix: &'a str) -> Result<FullName, NotAName> {
    let mut words: Vec<&str> = plain.split(' ').collect();
    if suffix.is_empty() && 2 < words.len() && words.last().is_some_and(|word| is_suffix(word)) {
        suffix = words.pop().unwrap_or_default();
    }
    // The first word is never part of a last name, so that "Van Morrison" has a first name.
    let particle = words.iter().skip(1).position(|word| is_particle(word)).map(|at| at + 1);
    let last_begins = particle.filter(|at| at + 1 < words.len()).unwrap_or(words.len().saturating_sub(1));
    let (first, last) = words.split_at_checked(last_begins).ok_or(NotAName)?;
    let first = match first {
        [name @ .., initial] if !name.is_empty() && is_initial(initial) => name,
        [..] => first,
    };
    let doubtful = 1 < first.len();
    assembled(first.join(" "), &last.join(" "), suffix, doubtful)
}

fn assembled(first: String, last: &str, suffix: &str, doubtful: bool) -> Result<FullName, NotAName> {
    if first.is_empty() || last.is_empty() {
        return Err(NotAName);
    }
    let last = if suffix.is_empty() { last.to_owned() } else { format!("{last} {suffix}") };
    Ok(FullName { first, last, doubtful })
}

fn is_suffix(word: &str) -> bool {
    let word = word.strip_suffix('.').unwrap_or(word);
    SUFFIXES.iter().any(|suffix| word.eq_ignore_ascii_case(suffix))
}

fn is_particle(word: &str) -> bool {
    let word = word.strip_suffix('.').unwrap_or(word);
    PARTICLES.iter().any(|particle| word.eq_ignore_ascii_case(particle))
}

fn is_initial(word: &str) -> bool {
    let mut letters = word.strip_suffix('.').unwrap_or(word).chars();
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
}
