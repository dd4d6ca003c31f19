//! A row as the next room gets it.

use std::fmt;

use csv::StringRecord;

use super::digest::RowDigest;
use super::records::Place;
use super::shape::is_blank;

/// One row, borrowed from the reader until the next is asked for.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    line: u64,
    record: &'a StringRecord,
    n_named: usize,
    n_columns: usize,
    is_open: bool,
    digest: Option<RowDigest>,
}

impl<'a> Row<'a> {
    /// A row of these cells under a header of `header_len` columns.
    pub fn new(line: u64, record: &'a StringRecord, header_len: usize) -> Self {
        Self { line, record, n_named: header_len, n_columns: header_len, is_open: false, digest: None }
    }

    /// A row under a header of `n_columns`, of which the last ones may have no name.
    pub(super) fn under(place: Place, record: &'a StringRecord, n_named: usize, n_columns: usize) -> Self {
        Self { line: place.line, record, n_named, n_columns, is_open: !place.is_terminated, digest: None }
    }

    /// With what it may be known by in a later export.
    pub(super) fn known_by(self, digest: Option<RowDigest>) -> Self {
        Self { digest, ..self }
    }

    /// A copy of the row.
    pub fn keep(&self) -> KeptRow {
        let Self { line, record, n_named, n_columns, is_open, digest } = *self;
        KeptRow { line, record: record.clone(), n_named, n_columns, is_open, digest }
    }

    /// The line on which the row begins, counted from 1 as an editor does.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The cell of a column counted from 0, as it stands in the file; empty behind the last one.
    pub fn cell(&self, column: usize) -> &'a str {
        self.record.get(column).unwrap_or_default()
    }

    /// How many cells the row has.
    #[expect(clippy::len_without_is_empty, reason = "an empty row is never handed out")]
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// Whether something stands behind the last column of the header: an unquoted delimiter may have shifted the cells. Empty
    /// cells there are only trailing delimiters.
    pub fn is_long(&self) -> bool {
        self.record.iter().skip(self.n_columns).any(|cell| !is_blank(cell))
    }

    /// Whether the file ends with this row and without a line end: it may be cut off.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// What the row can be known by in a later export; none where something was odd about how it is written.
    pub fn digest(&self) -> Option<RowDigest> {
        self.digest
    }

    /// Whether cells are missing at the end.
    pub fn is_short(&self) -> bool {
        self.record.len() < self.n_named
    }
}

/// A row that outlives the reader's next step, to be looked at on another thread.
pub struct KeptRow {
    line: u64,
    record: StringRecord,
    n_named: usize,
    n_columns: usize,
    is_open: bool,
    digest: Option<RowDigest>,
}

impl KeptRow {
    /// The row again.
    pub fn row(&self) -> Row<'_> {
        let Self { line, record, n_named, n_columns, is_open, digest } = self;
        Row { line: *line, record, n_named: *n_named, n_columns: *n_columns, is_open: *is_open, digest: *digest }
    }
}

impl fmt::Debug for KeptRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row().fmt(f)
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cells are personal data.
        f.debug_struct("Row").field("line", &self.line).field("cells", &self.record.len()).finish_non_exhaustive()
    }
}
