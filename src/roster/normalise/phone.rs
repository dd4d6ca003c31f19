//! Phone numbers of the North American plan.

use compact_str::CompactString;
use thiserror::Error;

use super::text::trim;

/// A usable phone number.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// Ten digits.
    pub digits: CompactString,
    /// The cell went on with an extension, which the API has no place for.
    pub extension_dropped: bool,
}

/// Shows nothing: a phone number is personal.
impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phone(..)")
    }
}

/// Why a text is no usable phone number.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum PhoneProblem {
    /// Letters or signs that no number has.
    #[error("not a phone number")]
    NotANumber,
    /// Not ten digits, nor eleven with a leading 1.
    #[error("not a ten-digit phone number")]
    WrongLength,
    /// Another country's code.
    #[error("not a phone number of the United States")]
    Foreign,
    /// Area code or exchange begins with 0 or 1.
    #[error("not a phone number in use: area code and exchange begin with 2 to 9")]
    Unassignable,
}

/// A phone number as ten digits.
///
/// # Errors
/// [`PhoneProblem`] when the text is no usable number.
pub fn phone(text: &str) -> Result<CompactString, PhoneProblem> {
    Phone::read(text).map(|phone| phone.digits)
}

impl Phone {
    /// Reads `(267) 555-0142`, `+1 267 555 0142 x12`, `2675550142.0` (a spreadsheet's number) and their like.
    ///
    /// # Errors
    /// [`PhoneProblem`] when the text is no usable number.
    pub fn read(text: &str) -> Result<Self, PhoneProblem> {
        let text = trim(text);
        let text = text.strip_prefix("tel:").unwrap_or(text);
        let (number, extension_dropped) = without_extension(text);
        // A spreadsheet's negative number, not a number of anybody.
        if number.starts_with('-') {
            return Err(PhoneProblem::NotANumber);
        }
        let (plus, number) = number.strip_prefix('+').map_or((false, number), |rest| (true, rest));
        let (mut all, mut n_digits) = ([0_u8; 11], 0);
        for c in without_decimals(number).chars() {
            if c.is_ascii_digit() {
                all.get_mut(n_digits).into_iter().for_each(|place| *place = c as u8);
                n_digits += 1;
            } else if !is_punctuation(c) {
                return Err(PhoneProblem::NotANumber);
            }
        }
        let leading_one = n_digits == 11 && all.starts_with(b"1");
        if plus && !leading_one {
            return Err(PhoneProblem::Foreign);
        }
        let digits = match all {
            [b'1', digits @ ..] if leading_one => digits,
            [digits @ .., _] if n_digits == 10 => digits,
            [..] => return Err(PhoneProblem::WrongLength),
        };
        let begins_well = |at: usize| digits.get(at).is_some_and(|digit| (b'2'..=b'9').contains(digit));
        if !begins_well(0) || !begins_well(3) {
            return Err(PhoneProblem::Unassignable);
        }
        let digits = CompactString::from_utf8(digits).map_err(|_| PhoneProblem::NotANumber)?;
        Ok(Self { digits, extension_dropped })
    }
}

/// Cuts at `x`, `ext`, `#`, and at the comma and semicolon that dialling programs pause at.
fn without_extension(text: &str) -> (&str, bool) {
    let begins_extension = |c: char| matches!(c, 'x' | 'X' | 'e' | 'E' | '#' | ',' | ';');
    let Some((number, extension)) = text.find(begins_extension).and_then(|at| text.split_at_checked(at)) else {
        return (text, false);
    };
    // "2.67E+09" is a damaged number, not one with an extension.
    let is_extension = match extension.as_bytes() {
        [b'e' | b'E', second, ..] => second.eq_ignore_ascii_case(&b'x'),
        [b'e' | b'E'] => false,
        [..] => true,
    };
    if is_extension { (number.trim_end(), true) } else { (text, false) }
}

/// Drops the `.0` of a number that went through a spreadsheet.
fn without_decimals(number: &str) -> &str {
    match number.strip_suffix(".0") {
        Some(whole) if whole.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) | None => number,
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '-' | '.' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}
