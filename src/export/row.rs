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
    cells: Cells<'a>,
    n_named: usize,
    n_columns: usize,
    is_open: bool,
    digest: Option<RowDigest>,
}

/// Where the cells of a row lie.
#[derive(Clone, Copy)]
enum Cells<'a> {
    Record(&'a StringRecord),
    /// Within [`Rows`].
    Packed {
        text: &'a str,
        ends: &'a [u32],
    },
}

impl<'a> Row<'a> {
    /// A row of these cells under a header of `header_len` columns.
    pub fn new(line: u64, record: &'a StringRecord, header_len: usize) -> Self {
        Self {
            line,
            cells: Cells::Record(record),
            n_named: header_len,
            n_columns: header_len,
            is_open: false,
            digest: None,
        }
    }

    /// A row under a header of `n_columns`, of which the last ones may have no name.
    pub(super) fn under(place: Place, record: &'a StringRecord, n_named: usize, n_columns: usize) -> Self {
        Self {
            line: place.line,
            cells: Cells::Record(record),
            n_named,
            n_columns,
            is_open: !place.is_terminated,
            digest: None,
        }
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
        let cell = match self.cells {
            Cells::Record(record) => record.get(column),
            Cells::Packed { text, ends } => packed(text, ends, column),
        };
        cell.unwrap_or_default()
    }

    /// How many cells the row has.
    #[expect(clippy::len_without_is_empty, reason = "an empty row is never handed out")]
    pub fn len(&self) -> usize {
        match self.cells {
            Cells::Record(record) => record.len(),
            Cells::Packed { ends, .. } => ends.len(),
        }
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
        self.len() < self.n_named
    }
}

fn packed<'a>(text: &'a str, ends: &[u32], column: usize) -> Option<&'a str> {
    let end = *ends.get(column)? as usize;
    let begin = column.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
    text.get(begin..end)
}

/// As many rows change threads together: enough that the hand-over costs nothing beside them.
const ROWS_TOGETHER: usize = 256;

/// Rows that outlive the reader's next step, to be looked at on another thread. All their cells lie in one piece: what another processor wrote
/// is slow to come, and comes by itself when it is read from front to back. They are given back to be filled again: memory that one
/// thread takes and another returns costs more than reading a row does.
#[derive(Default)]
pub struct Rows {
    /// The cells of all rows, one behind the other.
    text: String,
    /// Where each cell ends, counted from the first of its row.
    ends: Vec<u32>,
    kept: Vec<KeptRow>,
    n_named: usize,
    n_columns: usize,
}

struct KeptRow {
    line: u64,
    /// Where its cells end in `text`, and in `ends`.
    behind: (usize, usize),
    is_open: bool,
    digest: Option<RowDigest>,
}

impl Rows {
    /// The rows, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let Self { text, ends, kept, n_named, n_columns } = self;
        let mut begin = (0, 0);
        kept.iter().map(move |kept| {
            let KeptRow { line, behind, is_open, digest } = *kept;
            let cells = Cells::Packed {
                text: text.get(begin.0..behind.0).unwrap_or_default(),
                ends: ends.get(begin.1..behind.1).unwrap_or_default(),
            };
            begin = behind;
            Row { line, cells, n_named: *n_named, n_columns: *n_columns, is_open, digest }
        })
    }

    /// Forgets the rows; those to come are under a header of `n_columns`, of which the last ones may have no name.
    pub(super) fn begin(&mut self, n_named: usize, n_columns: usize) {
        self.text.clear();
        self.ends.clear();
        self.kept.clear();
        (self.n_named, self.n_columns) = (n_named, n_columns);
    }

    pub(super) fn is_full(&self) -> bool {
        self.kept.len() == ROWS_TOGETHER
    }

    /// Adds a row.
    pub(super) fn push(&mut self, place: Place, record: &StringRecord, digest: Option<RowDigest>) {
        self.text.push_str(record.as_slice());
        // No record is as long as a number of 32 bits can say.
        let end = |at| record.range(at).and_then(|cell| u32::try_from(cell.end).ok()).unwrap_or(u32::MAX);
        self.ends.extend((0..record.len()).map(end));
        let behind = (self.text.len(), self.ends.len());
        self.kept.push(KeptRow { line: place.line, behind, is_open: !place.is_terminated, digest });
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cells are personal data.
        f.debug_struct("Row").field("line", &self.line).field("cells", &self.len()).finish_non_exhaustive()
    }
}
