//! Takes out of the API's words whatever could be a cell. A refusal may quote the row that it refuses, and its text
//! ends up in logs and reports.
//!
//! Masked are: quoted parts, anything with `@`, numbers that are longer than a row number, dates, very long words, keys,
//! and every capitalised word that is not one of a few that such messages are made of: names and places are written with
//! a capital, and "Division" lost is better than "Garcia" printed. A name echoed in lower case and without quotes
//! would pass; the one documented message echoes nothing.

/// Longest message that is kept, in characters: some lines of a terminal.
const MAX_CHARS: usize = 300;

/// Longest word that is kept. The API's own field names stay below it; encoded payloads do not.
const MAX_WORD_CHARS: usize = 40;

/// Most digits in a row that are kept: enough for a row or a limit (5000), too few for a ZIP, a phone or a birth date.
const MAX_DIGITS: usize = 4;

/// Longest trace id or code that is kept: two UUIDs.
const MAX_TOKEN_CHARS: usize = 80;

const MASK: &str = "…";

/// Words that may be written with a capital.
const HARMLESS: &[&str] = &[
    "a",
    "address",
    "all",
    "an",
    "api",
    "at",
    "bad",
    "body",
    "cannot",
    "city",
    "code",
    "content",
    "could",
    "date",
    "duplicate",
    "each",
    "email",
    "entity",
    "entry",
    "error",
    "every",
    "expected",
    "failed",
    "field",
    "fields",
    "first",
    "for",
    "group",
    "http",
    "id",
    "in",
    "input",
    "invalid",
    "is",
    "iso",
    "item",
    "json",
    "large",
    "last",
    "length",
    "line",
    "list",
    "malformed",
    "media",
    "member",
    "members",
    "missing",
    "must",
    "name",
    "no",
    "not",
    "object",
    "one",
    "only",
    "organization",
    "payload",
    "phone",
    "plan",
    "please",
    "reference",
    "request",
    "required",
    "roster",
    "row",
    "schema",
    "should",
    "state",
    "string",
    "the",
    "this",
    "too",
    "type",
    "unable",
    "unexpected",
    "unknown",
    "unprocessable",
    "unsupported",
    "us",
    "usps",
    "utc",
    "validation",
    "value",
    "your",
    "zip",
    "zipcode",
];

/// The message with everything that could be a cell masked.
pub(super) fn message(text: &str) -> String {
    let unquoted = mask_quotes(text);
    let mut kept: Vec<&str> = Vec::new();
    let mut numeric_before = false;
    for word in unquoted.split_whitespace() {
        // Two numbers in a row may be one with blanks in it: (267) 555-0142.
        let numeric = word.contains(|c: char| c.is_numeric());
        let numeric_twice = numeric && numeric_before;
        let harmless = is_harmless(word) && !numeric_twice;
        numeric_before = numeric;
        if harmless {
            kept.push(word);
            continue;
        }
        if numeric_twice || kept.last() == Some(&MASK) {
            kept.pop();
        }
        kept.push(MASK);
    }
    if kept.iter().all(|word| *word == MASK) {
        return String::new();
    }
    cut(kept.join(" "))
}

/// Cuts a text to the length that is kept.
pub(super) fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
    }
    text
}

/// A trace id or an error code: kept when it is one word of plain characters.
pub(super) fn token(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    let is_token = is_plain && !text.is_empty() && text.len() <= MAX_TOKEN_CHARS && !is_key(text);
    is_token.then(|| text.to_owned())
}

fn is_harmless(word: &str) -> bool {
    !word.contains('@')
        && !is_key(word)
        && !word.contains(char::is_control)
        && word.chars().count() <= MAX_WORD_CHARS
        && has_harmless_digits(word)
        && word.split(|c: char| !c.is_alphanumeric()).all(has_harmless_case)
}

/// The API's keys and tokens begin so.
fn is_key(word: &str) -> bool {
    word.contains("vit_")
}

/// No long number, and none of 2/9/88, 267-555-0142 or 12.5.1988.
fn has_harmless_digits(word: &str) -> bool {
    let digits = word.chars().filter(|c| c.is_numeric()).count();
    let numbers = word.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty()).count();
    // Two numbers with a comma between are a thousand; brackets hold an index: members[3].
    digits <= MAX_DIGITS && (numbers <= 1 || (numbers == 2 && word.contains(',')))
}

fn has_harmless_case(part: &str) -> bool {
    if !part.is_ascii() {
        return false;
    }
    !part.contains(|c: char| c.is_ascii_uppercase())
        || is_row_code(part)
        || HARMLESS.contains(&part.to_ascii_lowercase().as_str())
}

/// A reference id such as E1002: it may be named, and it tells the operator which row.
fn is_row_code(part: &str) -> bool {
    let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
    letters.len() == 1 && letters.len() < part.len()
}

/// Replaces every quoted part by a mask. A quote that never closes hides the rest of the text.
fn mask_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match closing(c) {
            // An apostrophe within a word (don't) opens nothing.
            Some(end) if !(c == '\'' && before.is_alphanumeric()) => {
                out.push_str(" … ");
                while let Some(inner) = chars.next() {
                    // … and within a quoted name (O'Brien) closes nothing.
                    if inner == end && !chars.peek().is_some_and(|next| next.is_alphanumeric()) {
                        break;
                    }
                }
                before = ' ';
            }
            Some(_) | None => {
                out.push(c);
                before = c;
            }
        }
    }
    out
}

fn closing(open: char) -> Option<char> {
    match open {
        '"' | '\'' | '`' => Some(open),
        '“' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_be_a_cell_is_masked_and_the_rest_stays() {
        for (said, kept) in [
            ("Duplicate reference_id in members", "Duplicate reference_id in members"),
            ("members[12].zipcode is not valid", "members[12].zipcode is not valid"),
            ("at most 5,000 members are accepted", "at most 5,000 members are accepted"),
            ("Row 7: state must be a USPS code", "Row 7: state must be a USPS code"),
            ("Duplicate reference_id: E1002", "Duplicate reference_id: E1002"),
            ("we don't know this plan", "we don't know this plan"),
            ("phone '267 555 0142' is not valid", "phone … is not valid"),
            ("phone (267) 555-0142 is not valid", "phone … is not valid"),
            ("phone +12675550142 is not valid", "phone … is not valid"),
            ("date_of_birth 1988-02-29 is odd", "date_of_birth … is odd"),
            ("date_of_birth 2/9/88 is odd", "date_of_birth … is odd"),
            ("email ana@corp.example is taken", "email … is taken"),
            ("Ana Ruiz is covered elsewhere", "… is covered elsewhere"),
            ("last_name \"O\"Brien\" is not valid", "last_name … is not valid"),
            ("last_name 'O'Brien' is not valid", "last_name … is not valid"),
            ("last_name “Ruiz” is not valid", "last_name … is not valid"),
            ("value `ana ruiz is cut short", "value …"),
            ("city Erie, zipcode 16501", "city … zipcode …"),
            ("name=RUIZ is odd", "… is odd"),
            ("name josé is odd", "name … is odd"),
            ("key vit_apk_abc is odd", "key … is odd"),
            ("Ana", ""),
            ("", ""),
            ("too  many\n\tblanks\u{0}", "too many …"),
        ] {
            assert_eq!(message(said), kept, "{said}");
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_whole_character() {
        assert_eq!(message(&"zu lang ".repeat(100)).chars().count(), MAX_CHARS);
        assert_eq!(message(&"\u{e9} x ".repeat(400)).chars().count(), MAX_CHARS);
    }

    #[test]
    fn only_plain_words_are_trace_ids_and_codes() {
        for kept in ["0af7651916cd43dd8448eb211c80319c", "Root=1-67891233".replace('=', ":").as_str(), "invalid_plan"] {
            assert_eq!(token(kept).as_deref(), Some(kept));
        }
        for dropped in ["", " ", "Ana Ruiz", "ana@corp.example", "vit_apk_x", "josé", &"a".repeat(81)] {
            assert_eq!(token(dropped), None, "{dropped}");
        }
    }

    proptest! {
        #[test]
        fn no_number_mail_or_quoted_text_survives(
            before in "[ a-y]{0,12}",
            digits in "[0-9]{5,12}",
            mail in "[a-z]{1,9}@[a-z]{1,9}",
            name in "[A-Z][a-z]{1,9}zq",
            quoted in "[a-z0-9 ]{1,12}zq",
        ) {
            let said = format!("{before} {digits} {mail} {name} '{quoted}' is odd");
            let kept = message(&said);
            prop_assert!(!kept.contains('@') && !kept.contains("zq"), "{kept}");
            prop_assert!(!kept.contains(|c: char| c.is_numeric()), "{kept}");
        }

        #[test]
        fn any_text_is_taken(said in ".*") {
            prop_assert!(message(&said).chars().count() <= MAX_CHARS);
        }
    }
}
