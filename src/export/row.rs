//! A row as the next room gets it.

use std::fmt;

use super::digest::RowDigest;
use super::record::Record;
use super::records::Place;
use super::shape::is_blank;

/// One row, borrowed from the reader until the next is asked for.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    line: u64,
    record: &'a Record,
    n_named: usize,
    n_columns: usize,
    is_open: bool,
    digest: Option<RowDigest>,
}

impl<'a> Row<'a> {
    /// A row of these cells under a header of `header_len` columns.
    pub fn new(line: u64, record: &'a Record, header_len: usize) -> Self {
        Self { line, record, n_named: header_len, n_columns: header_len, is_open: false, digest: None }
    }

    /// A row under a header of `n_columns`, of which the last ones may have no name.
    pub(super) fn under(place: Place, record: &'a Record, n_named: usize, n_columns: usize) -> Self {
        Self { line: place.line, record, n_named, n_columns, is_open: !place.is_terminated, digest: None }
    }

    /// With what it may be known by in a later export.
    pub(super) fn known_by(self, digest: Option<RowDigest>) -> Self {
        Self { digest, ..self }
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
        (self.n_columns..self.len()).any(|at| !is_blank(self.cell(at)))
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

/// As many rows are read in one turn: enough that taking turns costs nothing beside them, and few enough for a processor's cache.
const ROWS_TOGETHER: usize = 64;

/// Rows that outlive the reader's next step, to be looked at while another thread has it take steps. They are there to be filled again.
#[derive(Default)]
pub struct Rows {
    /// The first `filled` of them hold rows.
    kept: Vec<KeptRow>,
    filled: usize,
    n_named: usize,
    n_columns: usize,
}

#[derive(Default)]
struct KeptRow {
    line: u64,
    record: Record,
    is_open: bool,
    digest: Option<RowDigest>,
}

impl Rows {
    /// The rows, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let (n_named, n_columns) = (self.n_named, self.n_columns);
        self.kept.iter().take(self.filled).map(move |kept| {
            let KeptRow { line, record, is_open, digest } = kept;
            Row { line: *line, record, n_named, n_columns, is_open: *is_open, digest: *digest }
        })
    }

    /// Forgets the rows; those to come are under a header of `n_columns`, of which the last ones may have no name.
    pub(super) fn begin(&mut self, n_named: usize, n_columns: usize) {
        (self.filled, self.n_named, self.n_columns) = (0, n_named, n_columns);
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == ROWS_TOGETHER
    }

    /// Adds a row; `record` is exchanged for one to be overwritten.
    pub(super) fn push(&mut self, place: Place, record: &mut Record, digest: Option<RowDigest>) {
        if self.kept.len() == self.filled {
            self.kept.push(KeptRow::default());
        }
        if let Some(kept) = self.kept.get_mut(self.filled) {
            std::mem::swap(&mut kept.record, record);
            (kept.line, kept.is_open, kept.digest) = (place.line, !place.is_terminated, digest);
            self.filled += 1;
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cells are personal data.
        f.debug_struct("Row").field("line", &self.line).field("cells", &self.record.len()).finish_non_exhaustive()
    }
}
