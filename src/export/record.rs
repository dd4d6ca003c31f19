//! The cells of one row.

use std::fmt;

/// Cells in one text, which is used again for the next row.
#[derive(Clone, Default)]
pub struct Record {
    text: String,
    /// Where in `text` each cell ends.
    ends: Vec<usize>,
    /// Bytes between two cells: none, or the delimiter, where `text` is a line as it lies in the file.
    gap: usize,
}

impl Record {
    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A cell, counted from 0; none behind the last one.
    pub fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let begin = match at.checked_sub(1) {
            Some(before) => self.ends.get(before)? + self.gap,
            None => 0,
        };
        self.text.get(begin..end)
    }

    /// The cells, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map_while(|at| self.get(at))
    }

    /// The whole row, where it is a line as it lies in the file.
    pub(super) fn line(&self) -> Option<&str> {
        (self.gap != 0).then_some(&*self.text)
    }

    pub(super) fn clear(&mut self) {
        self.set_cells("", &[]);
    }

    /// Takes the cells of a line that has delimiters between them, an ASCII sign, and no quotes.
    pub(super) fn set_line(&mut self, line: &str, delimiter: u8) {
        self.set_cells(line, &[]);
        self.ends.extend(memchr::memchr_iter(delimiter, line.as_bytes()));
        self.ends.push(line.len());
        self.gap = 1;
    }

    /// Takes cells that lie one behind the other and end there.
    pub(super) fn set_cells(&mut self, text: &str, ends: &[usize]) {
        self.text.clear();
        self.text.push_str(text);
        self.ends.clear();
        self.ends.extend_from_slice(ends);
        self.gap = 0;
    }
}

impl<T: AsRef<str>> FromIterator<T> for Record {
    fn from_iter<I: IntoIterator<Item = T>>(cells: I) -> Self {
        let mut record = Self::default();
        for cell in cells {
            record.text.push_str(cell.as_ref());
            record.ends.push(record.text.len());
        }
        record
    }
}

/// Shows how many cells there are: they are personal.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("cells", &self.len()).finish_non_exhaustive()
    }
}
