//! One number for the cells of a row, so that a row that was read before is known again without being taken apart.
//!
//! It is the XXH3 hash (128 bits) of the row written with as few quotes as can be: the same cells have the same digest whatever quotes
//! stand around them, and the bytes of a row in that form can be hashed as they lie in the file. What is hashed comes from the
//! employer's own system: chance collisions are out of reach, and nobody is kept from making one on purpose.

use xxhash_rust::xxh3::xxh3_128;

use super::record::Record;

/// Stands for the cells of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowDigest(pub [u64; 2]);

impl RowDigest {
    /// Of a row as it lies in the file, without its line end. Right where it has no quotes but those that it must have; else it is the
    /// digest of no row.
    pub(super) fn of_raw(raw: &[u8]) -> Self {
        let digest = xxh3_128(raw).to_be_bytes();
        // In halves it takes no more room than it needs, wherever it lies.
        let (halves, _) = digest.as_chunks();
        Self([0, 1].map(|at: usize| halves.get(at).map_or(0, |half| u64::from_be_bytes(*half))))
    }

    /// Of a row as it lies in the file, without its line end, with quotes that need not be there; none where a quote or a line end stands
    /// where it is text or nothing, so that the row has to be read. `scratch` is overwritten.
    pub(super) fn of_quoted(raw: &[u8], delimiter: u8, scratch: &mut Vec<u8>) -> Option<Self> {
        scratch.clear();
        let mut rest = raw;
        loop {
            let (cell, behind, needs_quotes) = if let Some(quoted) = rest.strip_prefix(b"\"") {
                let (length, needs_quotes) = quoted_cell(quoted, delimiter)?;
                let (cell, behind) = quoted.split_at_checked(length)?;
                (cell, behind.get(1..)?, needs_quotes)
            } else {
                let length = rest.iter().position(|byte| is_sign(*byte, delimiter)).unwrap_or(rest.len());
                let (cell, behind) = rest.split_at(length);
                (cell, behind, false)
            };
            if needs_quotes {
                // Quotes within it are doubled already.
                scratch.push(b'"');
                scratch.extend_from_slice(cell);
                scratch.push(b'"');
            } else {
                scratch.extend_from_slice(cell);
            }
            match behind.split_first() {
                None => return Some(Self::of_raw(scratch)),
                Some((sign, behind)) if *sign == delimiter => rest = behind,
                Some(_) => return None,
            }
            scratch.push(delimiter);
        }
    }

    /// Of the cells of a row. `scratch` is overwritten.
    pub(super) fn of_cells(record: &Record, delimiter: u8, scratch: &mut Vec<u8>) -> Self {
        // No quote is in it, and none is needed.
        if let Some(line) = record.line() {
            return Self::of_raw(line.as_bytes());
        }
        scratch.clear();
        for (at, cell) in record.iter().enumerate() {
            if 0 < at {
                scratch.push(delimiter);
            }
            write_cell(cell.as_bytes(), delimiter, scratch);
        }
        Self::of_raw(scratch)
    }
}

/// How long a cell is behind its opening quote, and whether it needs its quotes; none where they are not closed. Byte by byte: most cells
/// are shorter than what a search for signs takes to begin.
fn quoted_cell(quoted: &[u8], delimiter: u8) -> Option<(usize, bool)> {
    let (mut at, mut needs_quotes) = (0, false);
    loop {
        at += quoted.get(at..)?.iter().position(|byte| is_sign(*byte, delimiter))?;
        match (quoted.get(at), quoted.get(at + 1)) {
            (Some(b'"'), Some(b'"')) => at += 2,
            (Some(b'"'), _) => return Some((at, needs_quotes)),
            _ => at += 1,
        }
        needs_quotes = true;
    }
}

/// What stands for itself within quotes only.
fn is_sign(byte: u8, delimiter: u8) -> bool {
    byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r')
}

fn write_cell(cell: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    if !cell.iter().any(|byte| is_sign(*byte, delimiter)) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for (at, part) in cell.split(|byte| *byte == b'"').enumerate() {
        if 0 < at {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}

/// Knows rows again.
pub trait Known {
    /// Whether the row needs no second look. Called once for each row that is passed over; `line` is the row's.
    fn pass_over(&mut self, row: RowDigest, line: u64) -> bool;

    /// Whether there is no row that it could know, so that none need be shown to it.
    fn is_empty(&self) -> bool;
}

/// Knows none.
impl Known for () {
    fn pass_over(&mut self, _: RowDigest, _: u64) -> bool {
        false
    }

    fn is_empty(&self) -> bool {
        true
    }
}

impl<K: Known> Known for Option<K> {
    fn pass_over(&mut self, row: RowDigest, line: u64) -> bool {
        self.as_mut().is_some_and(|known| known.pass_over(row, line))
    }

    fn is_empty(&self) -> bool {
        self.as_ref().is_none_or(Known::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The form that is hashed reads as the cells that it stands for, so two rows with one form are one row.
        #[test]
        fn a_row_is_told_by_its_cells(
            cells in prop::collection::vec("[a\",\r\n é]{0,6}", 2..5),
            delimiter in prop::sample::select(vec![b',', b';']),
        ) {
            let mut written = Vec::new();
            RowDigest::of_cells(&cells.iter().collect(), delimiter, &mut written);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(&written[..]);
            let read: Vec<Vec<String>> = reader.deserialize().map(Result::unwrap).collect();
            prop_assert_eq!(&read, &vec![cells]);
            // With all quotes it is the same row.
            let quoted: Vec<u8> = read.iter().flatten().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect::<Vec<_>>()
                .join(&char::from(delimiter).to_string()).into_bytes();
            let digest = RowDigest::of_quoted(&quoted, delimiter, &mut Vec::new());
            prop_assert_eq!(digest, Some(RowDigest::of_raw(&written)));
        }

        /// Whatever is known by its bytes reads as the cells that it is known for, up to its end and not further.
        #[test]
        fn bytes_that_are_known_read_as_the_row_that_they_are_known_for(raw in "[a\",; \r]{0,12}") {
            let Some(digest) = RowDigest::of_quoted(raw.as_bytes(), b',', &mut Vec::new()) else { return Ok(()) };
            let text = format!("{raw}\nx,y\n");
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let read: Vec<Vec<String>> = reader.deserialize().map(Result::unwrap).collect();
            // A row of nothing is passed over by every reader.
            if let [row, next] = read.as_slice() {
                prop_assert_eq!(RowDigest::of_cells(&row.iter().collect(), b',', &mut Vec::new()), digest);
                prop_assert_eq!(next, &["x", "y"]);
            } else {
                prop_assert!(raw.is_empty());
            }
        }
    }

    #[test]
    fn quotes_that_need_not_be_there_change_nothing() {
        let digest = |raw: &str| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(raw.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            RowDigest::of_cells(&record.iter().collect(), b',', &mut Vec::new())
        };
        assert_eq!(digest("1,Ann,\"Lee, Jr\""), digest("\"1\",\"Ann\",\"Lee, Jr\""));
        assert_eq!(digest("1,Ann,\"Lee, Jr\""), RowDigest::of_raw(b"1,Ann,\"Lee, Jr\""));
        assert_ne!(digest("1,Ann,Lee"), digest("1,Ann ,Lee"));
        assert_ne!(digest("1,Ann,Lee"), digest("1,Ann,Lee,"));
    }
}
