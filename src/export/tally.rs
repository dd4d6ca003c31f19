//! Findings that stay few, however long the file.

use super::problem::{Code, Problem};

/// Findings of one kind that are listed one by one.
const LISTED: usize = 3;

/// Findings of one kind: the first few one by one, the rest as a number, so that a million short rows are one sentence.
pub(super) struct Tally {
    code: Code,
    /// Completes "N …".
    rest: &'static str,
    listed: Vec<Problem>,
    n_more: u64,
    more_from: u64,
    more_to: u64,
}

impl Tally {
    pub(super) fn new(code: Code, rest: &'static str) -> Self {
        Self { code, rest, listed: Vec::new(), n_more: 0, more_from: 0, more_to: 0 }
    }

    pub(super) fn add(&mut self, line: u64, column: Option<String>, message: impl FnOnce() -> String) {
        if self.listed.len() < LISTED {
            let problem = Problem { line, column, reference_id: None, code: self.code, message: message() };
            self.listed.push(problem);
            return;
        }
        if self.n_more == 0 {
            self.more_from = line;
        }
        self.n_more += 1;
        self.more_to = line;
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Problem> {
        let more = (self.n_more > 0).then(|| Problem {
            line: self.more_from,
            column: None,
            reference_id: None,
            code: self.code,
            message: format!("{} {} (lines {} to {})", self.n_more, self.rest, self.more_from, self.more_to),
        });
        self.listed.iter().cloned().chain(more)
    }
}
