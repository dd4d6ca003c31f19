//! ZIP codes.

use compact_str::{CompactString, format_compact};
use thiserror::Error;

use super::text::trim;

/// A ZIP code.
#[derive(Clone, PartialEq, Eq)]
pub struct Zip {
    /// `12345` or `12345-6789`.
    pub code: CompactString,
    /// Zeros or the dash were put back.
    pub repaired: bool,
}

/// Shows nothing: where somebody lives is personal.
impl std::fmt::Debug for Zip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Zip(..)")
    }
}

/// A text that is no ZIP code.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not a ZIP code")]
pub struct NotAZip;

/// A ZIP code as `12345` or `12345-6789`.
///
/// # Errors
/// [`NotAZip`] when the text is none.
pub fn zip(text: &str) -> Result<CompactString, NotAZip> {
    Zip::read(text).map(|zip| zip.code)
}

impl Zip {
    /// Reads a ZIP code, and what a spreadsheet leaves of one: zeros in front, the dash, or `.0` behind.
    ///
    /// # Errors
    /// [`NotAZip`] when the text is none.
    pub fn read(text: &str) -> Result<Self, NotAZip> {
        let text = trim(text);
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() == 5 && is_number(text) {
            return Ok(Self { repaired: false, code: text.into() });
        }
        let whole = text.strip_suffix(".0").filter(|whole| is_number(whole)).unwrap_or(text);
        let (five, four) = match whole.split_once(['-', '\u{2013}', ' ']) {
            Some((five, four)) => (five.trim_end(), four.trim_start()),
            // Five to nine digits without a dash are ZIP+4 from seven on, since 00501 is the lowest code in use.
            None if (7..=9).contains(&whole.len()) => whole.split_at_checked(whole.len() - 4).ok_or(NotAZip)?,
            None => (whole, ""),
        };
        if !is_number(five) || !is_number(four) || !matches!(four.len(), 0 | 4) {
            return Err(NotAZip);
        }
        // Codes with two zeros in front are 00501 and up: a shorter or smaller number is no ZIP code.
        let may_lack_two = five.len() == 3 && five.as_bytes().first().is_some_and(|digit| b'5' <= *digit);
        if !matches!(five.len(), 4 | 5) && !may_lack_two {
            return Err(NotAZip);
        }
        let code = if four.is_empty() { format_compact!("{five:0>5}") } else { format_compact!("{five:0>5}-{four}") };
        Ok(Self { repaired: code != text, code })
    }
}
