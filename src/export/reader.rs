//! Header and rows of one file.

use unicode_normalization::UnicodeNormalization;

/// The header row.
#[derive(Clone, Debug)]
pub struct Header {
    names: Vec<String>,
    line: u64,
}

impl Header {
    /// The names as the file spells them, and the header's line.
    pub fn new(names: Vec<String>, line: u64) -> Self {
        Self { names, line }
    }

    /// The names as the file spells them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The header's line, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Where a header stands; blanks, case and compatibility forms do not matter.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let wanted = tolerant(name);
        self.names.iter().position(|name| tolerant(name) == wanted)
    }
}

fn tolerant(name: &str) -> String {
    let name: String = name.nfkc().collect();
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// One row.
#[derive(Debug)]
pub struct Row<'a> {
    line: u64,
    record: &'a csv::StringRecord,
    header_len: usize,
}

impl<'a> Row<'a> {
    /// A record that begins on `line`, below a header of `header_len` cells.
    pub fn new(line: u64, record: &'a csv::StringRecord, header_len: usize) -> Self {
        Self { line, record, header_len }
    }

    /// The line on which the row begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// A cell; empty beyond the end.
    pub fn cell(&self, at: usize) -> &str {
        self.record.get(at).unwrap_or_default()
    }

    /// How many cells there are.
    #[expect(clippy::len_without_is_empty, reason = "a row without cells does not occur")]
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// More cells than the header.
    pub fn is_long(&self) -> bool {
        self.header_len < self.record.len()
    }

    /// Fewer cells than the header.
    pub fn is_short(&self) -> bool {
        self.record.len() < self.header_len
    }
}
