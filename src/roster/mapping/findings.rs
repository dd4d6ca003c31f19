//! What is found while reading, row by row.

use std::fmt;

use super::bind::Column;
use crate::export::problem::{Code, Problem, SUMMED_UP, Severity};
use crate::roster::ids::ReferenceId;

/// Warnings of one kind in one column that are listed line by line; the rest is counted. A spreadsheet that ate the zeros of every ZIP code
/// is one thing to mend, and a receipt of ten thousand lines hides the errors.
pub(super) const LISTED_WARNINGS: u64 = 20;

/// Collects problems, and knows which row is being read.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    /// How many of each kind and column; a handful, so a list is quicker than a map.
    warnings: Vec<(Code, Option<Box<str>>, u64)>,
    line: u64,
    reference_id: Option<ReferenceId>,
    errors_in_row: u64,
    /// Whether there is nothing to say of the row.
    is_clean: bool,
}

impl Findings {
    /// Another row begins.
    pub(super) fn begin(&mut self, line: u64) {
        self.line = line;
        self.reference_id = None;
        self.errors_in_row = 0;
        self.is_clean = true;
    }

    /// Whose row it is.
    pub(super) fn identify(&mut self, reference_id: &ReferenceId) {
        self.reference_id = Some(reference_id.clone());
    }

    /// Whether the row has a problem that costs it its place.
    pub(super) fn row_is_invalid(&self) -> bool {
        0 < self.errors_in_row
    }

    /// Whether nothing was found in the row.
    pub(super) fn row_is_clean(&self) -> bool {
        self.is_clean
    }

    /// Something about the row being read. The message must not repeat a personal cell.
    pub(super) fn note(&mut self, code: Code, column: Option<&Column>, message: impl fmt::Display) {
        self.note_header(code, column.map(|column| &*column.name), message);
    }

    /// The same, with the column's header.
    pub(super) fn note_header(&mut self, code: Code, header: Option<&str>, message: impl fmt::Display) {
        self.is_clean = false;
        match code.severity() {
            Severity::Error => self.errors_in_row += 1,
            Severity::Warning => {
                if LISTED_WARNINGS < self.counted(code, header) {
                    return;
                }
            }
        }
        self.problems.push(Problem {
            line: self.line,
            column: header.map(str::to_owned),
            reference_id: self.reference_id.as_ref().map(ToString::to_string),
            code,
            message: message.to_string(),
        });
    }

    /// Counts a warning: how many of its kind and column there are now.
    fn counted(&mut self, code: Code, header: Option<&str>) -> u64 {
        let known = self.warnings.iter_mut().find(|(kind, column, _)| *kind == code && column.as_deref() == header);
        if let Some((_, _, seen)) = known {
            *seen += 1;
            return *seen;
        }
        self.warnings.push((code, header.map(Box::from), 1));
        1
    }

    /// Takes what was found in other rows. Warnings that are listed are the first of all rows then.
    pub(super) fn join(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.problems.sort_by_key(|problem| problem.line);
        for (code, column, seen) in other.warnings {
            let known = self.warnings.iter_mut().find(|(kind, name, _)| *kind == code && *name == column);
            match known {
                Some((_, _, known)) => *known += seen,
                None => self.warnings.push((code, column, seen)),
            }
        }
        for (code, column, _) in self.warnings.iter().filter(|(_, _, seen)| LISTED_WARNINGS < *seen) {
            let mut listed = 0;
            self.problems.retain(|problem| {
                let is_one = problem.code == *code && problem.column.as_deref() == column.as_deref();
                listed += u64::from(is_one);
                !is_one || listed <= LISTED_WARNINGS
            });
        }
    }

    /// All problems in the order of the lines; what was only counted is summed up in findings about the whole file, first.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let unlisted = self.warnings.into_iter().filter(|(_, _, seen)| LISTED_WARNINGS < *seen);
        let unlisted = unlisted.map(|(code, column, seen)| Problem {
            line: 0,
            column: column.map(String::from),
            reference_id: None,
            code,
            message: format!(
                "{seen}{SUMMED_UP}; the first {LISTED_WARNINGS} are listed, the other {} are alike.",
                seen - LISTED_WARNINGS
            ),
        });
        self.problems.extend(unlisted);
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }
}
