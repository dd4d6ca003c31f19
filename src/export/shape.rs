//! What a cell looks like: nothing, a note, an id.

/// Words of totals and notes. A row is skipped for them only where it could be no person anyway.
const FOOTER_WORDS: [&str; 22] = [
    "average",
    "confidential",
    "count",
    "created",
    "employees",
    "end",
    "eof",
    "exported",
    "generated",
    "grand",
    "note",
    "notes",
    "page",
    "printed",
    "records",
    "report",
    "rows",
    "source",
    "subtotal",
    "sum",
    "total",
    "totals",
];

/// Whether a cell holds nothing that can be seen.
pub(super) fn is_blank(cell: &str) -> bool {
    cell.chars().all(|c| c.is_whitespace() || c.is_control() || c == '\u{FEFF}')
}

fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

pub(super) fn has_footer_word(cell: &str) -> bool {
    words(cell).any(|word| FOOTER_WORDS.iter().any(|footer| footer.eq_ignore_ascii_case(word)))
}

/// Whether a lone cell may be somebody's id: one word of letters, digits and the signs that ids are joined with.
pub(super) fn is_id_shaped(cell: &str) -> bool {
    let cell = cell.trim();
    let is_sign = |c: char| matches!(c, '-' | '_' | '.' | '/' | '#');
    cell.chars().all(|c| c.is_alphanumeric() || is_sign(c))
        && cell.chars().any(char::is_alphanumeric)
        && !FOOTER_WORDS.iter().any(|word| word.eq_ignore_ascii_case(cell))
}
