//! Plain text: names, streets, cities.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Longest name, street or city that the API takes, in characters.
pub const MAX_TEXT_CHARS: usize = 255;

/// A text without outer blanks, control and invisible characters, in Unicode NFC. Runs of blanks and line breaks become one
/// blank: a second blank or a break inside a cell comes and goes with the program that wrote the file.
pub fn text(raw: &str) -> Cow<'_, str> {
    let trimmed = trim(raw);
    if is_tidy(trimmed) {
        return Cow::Borrowed(trimmed);
    }
    let mut tidy = String::with_capacity(trimmed.len());
    let mut blank_before = false;
    for c in trimmed.chars().filter(|c| !is_hidden(*c)).nfc() {
        if c.is_whitespace() {
            blank_before = true;
            continue;
        }
        if blank_before && !tidy.is_empty() {
            tidy.push(' ');
        }
        blank_before = false;
        tidy.push(c);
    }
    Cow::Owned(tidy)
}

/// A text without blanks (no-break ones too), control and invisible characters at both ends.
pub fn trim(raw: &str) -> &str {
    // Nearly every cell is free of both; the look at two bytes saves decoding it.
    let is_plain_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    if is_plain_edge(raw.as_bytes().first()) && is_plain_edge(raw.as_bytes().last()) {
        return raw;
    }
    raw.trim_matches(|c: char| c.is_whitespace() || is_hidden(c))
}

/// Whether a text holds characters that [`text`] drops and nobody sees. Blanks and line breaks are not meant.
pub fn hides_characters(raw: &str) -> bool {
    !raw.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && raw.chars().any(is_hidden)
}

/// Whether a text is short enough for the API.
pub fn fits(text: &str) -> bool {
    text.len() <= MAX_TEXT_CHARS || text.chars().count() <= MAX_TEXT_CHARS
}

/// The form in which words of a config and of a file are compared: tidy and in lower case.
pub fn fold(raw: &str) -> String {
    text(raw).to_lowercase()
}

fn is_tidy(trimmed: &str) -> bool {
    let mut after_blank = false;
    if trimmed.is_ascii() {
        return trimmed.bytes().all(|byte| {
            let tidy = if byte == b' ' { !after_blank } else { byte.is_ascii_graphic() };
            after_blank = byte == b' ';
            tidy
        });
    }
    let single_blanks = trimmed.chars().all(|c| {
        let tidy = if c == ' ' { !after_blank } else { !c.is_whitespace() && !is_hidden(c) };
        after_blank = c == ' ';
        tidy
    });
    single_blanks && is_nfc_quick(trimmed.chars()) == IsNormalized::Yes
}

/// Control characters that are no blanks, and marks that only steer how text is shown. The joiners U+200C and U+200D stay:
/// some scripts spell with them.
fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !c.is_whitespace();
    }
    (c.is_control() && !c.is_whitespace())
        || matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
