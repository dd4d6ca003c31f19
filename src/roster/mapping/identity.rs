//! Whose row it is.

use compact_str::{CompactString, format_compact};

use super::bind::Bound;
use super::cells::Cells;
use super::findings::Findings;
use crate::config::IdColumns;
use crate::export::problem::Code;
use crate::roster::ids::{BadId, ReferenceId};
use crate::roster::normalise;

/// The row's reference id; `None` when it cannot be read, which is noted.
pub(super) fn read(bound: &Bound, cells: Cells<'_>, findings: &mut Findings) -> Option<ReferenceId> {
    let width = bound.rules.id_width;
    let blank = "The person's id is empty; fill it in, or delete the row if it is not about a person.";
    match &bound.rules.columns.reference_id {
        IdColumns::First(_) => {
            let Some((column, cell)) = cells.first(&bound.id) else {
                findings.note(Code::BadId, bound.id.first(), blank);
                return None;
            };
            let id = checked(cell, width);
            accept(id, findings, |findings, code, message| findings.note(code, Some(column), message))
        }
        IdColumns::Join { headers, with } => {
            let mut joined = CompactString::const_new("");
            let mut padded = false;
            for (at, column) in bound.id.iter().enumerate() {
                let cell = cells.trimmed(column);
                // The company comes first and the person last, and it is the person's number whose zeros get lost.
                let width = width.filter(|_| at + 1 == bound.id.len());
                let part = if cell.is_empty() { Err((Code::BadId, blank)) } else { checked(cell, width) };
                match part {
                    Ok(part) => {
                        if 0 < at {
                            joined.push_str(with);
                        }
                        joined.push_str(&part.text);
                        padded |= part.padded;
                    }
                    Err((code, message)) => {
                        findings.note(code, Some(column), message);
                        return None;
                    }
                }
            }
            // Without all of its parts a joined id would be somebody else's.
            let whole = bound.id.len() == headers.len();
            let id = if whole { Ok(Candidate { text: joined, padded }) } else { Err((Code::BadId, blank)) };
            accept(id, findings, |findings, code, message| findings.note(code, bound.id.last(), message))
        }
    }
}

/// A cell's text as an id, not yet measured.
struct Candidate {
    text: CompactString,
    padded: bool,
}

type Refusal = (Code, &'static str);

fn accept(
    id: Result<Candidate, Refusal>,
    findings: &mut Findings,
    note: impl Fn(&mut Findings, Code, &str),
) -> Option<ReferenceId> {
    let parsed = id.and_then(|id| match ReferenceId::parse(&id.text) {
        Ok(reference_id) => Ok((reference_id, id.padded)),
        Err(BadId::Blank) => Err((Code::BadId, "The person's id is empty; fill it in.")),
        Err(BadId::TooLong) => Err((Code::BadId, "The person's id is longer than 255 characters; check the column.")),
        Err(BadId::Control) => Err((Code::BadId, HIDDEN)),
    });
    match parsed {
        Ok((reference_id, padded)) => {
            findings.identify(&reference_id);
            if padded {
                note(findings, Code::IdPadded, "The id was written back to its full width.");
            }
            Some(reference_id)
        }
        Err((code, message)) => {
            note(findings, code, message);
            None
        }
    }
}

const HIDDEN: &str = "The person's id holds an invisible character; type the id anew.";

fn checked(cell: &str, width: Option<usize>) -> Result<Candidate, Refusal> {
    if normalise::hides_characters(cell) || cell.contains(['\n', '\r', '\t']) {
        return Err((Code::BadId, HIDDEN));
    }
    if is_scientific(cell) {
        return Err((
            Code::ScientificId,
            "A spreadsheet turned the id into a number like 1.23E+05 and lost digits; export the column as text.",
        ));
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = cell.strip_suffix(".0").filter(|whole| is_number(whole));
    match (whole, width) {
        // The operator vouches that ids are numbers of this width, so the digits before the point are the id's.
        (Some(whole), Some(width)) => Ok(Candidate { text: format_compact!("{whole:0>width$}"), padded: true }),
        (Some(_), None) => Err((
            Code::BadId,
            "A spreadsheet turned the id into a number with a decimal point; export the column as text.",
        )),
        (None, Some(width)) if cell.len() < width && is_number(cell) => {
            Ok(Candidate { text: format_compact!("{cell:0>width$}"), padded: true })
        }
        (None, _) => Ok(Candidate { text: cell.into(), padded: false }),
    }
}

/// Whether a cell reads like `1.23E+05` or, in other countries, `1,23E+05`.
fn is_scientific(cell: &str) -> bool {
    let Some((mantissa, exponent)) = cell.split_once(['E', 'e']) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => whole.len() == 1 && digits(whole) && digits(fraction),
        None => mantissa.len() == 1 && digits(mantissa),
    };
    is_mantissa && exponent.strip_prefix('+').is_some_and(digits)
}
