//! One row's cells, with the source's placeholders read as empty.

use super::bind::Column;
use crate::export::Row;
use crate::roster::normalise;

/// Cells that stand for nothing: `N/A`, `-`, `null`.
#[derive(Debug)]
pub(super) struct Placeholders {
    /// Folded.
    words: Vec<String>,
    /// How many bytes they have, a bit for each number below that of the bits: nearly no cell is as short as one of them.
    lengths: u32,
}

impl Placeholders {
    pub(super) fn new(words: &[String]) -> Self {
        let words: Vec<String> = words.iter().map(|word| normalise::fold(word)).collect();
        Self { lengths: words.iter().map(|word| length_bit(word)).fold(0, |bits, bit| bits | bit), words }
    }

    fn holds(&self, trimmed: &str) -> bool {
        if !trimmed.is_ascii() {
            let folded = normalise::fold(trimmed);
            return self.words.contains(&folded);
        }
        length_bit(trimmed) & self.lengths != 0 && self.words.iter().any(|word| word.eq_ignore_ascii_case(trimmed))
    }
}

/// The bit of a length; the last one is for all that are longer.
fn length_bit(word: &str) -> u32 {
    1 << word.len().min(31)
}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Cells<'r> {
    row: &'r Row<'r>,
    placeholders: &'r Placeholders,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r Row<'r>, placeholders: &'r Placeholders) -> Self {
        Self { row, placeholders }
    }

    /// A cell without outer blanks; empty when it stands for nothing.
    pub(super) fn trimmed(self, column: &Column) -> &'r str {
        let trimmed = normalise::trim(self.row.cell(column.at));
        if self.placeholders.holds(trimmed) { "" } else { trimmed }
    }

    /// The cells of some columns that hold something, in the order of the columns.
    pub(super) fn filled<'c>(self, columns: &'c [Column]) -> impl Iterator<Item = (&'c Column, &'r str)> {
        columns.iter().map(move |column| (column, self.trimmed(column))).filter(|(_, cell)| !cell.is_empty())
    }

    /// The first of them.
    pub(super) fn first<'c>(self, columns: &'c [Column]) -> Option<(&'c Column, &'r str)> {
        self.filled(columns).next()
    }
}
