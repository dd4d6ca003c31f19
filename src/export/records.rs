//! Decoded text to records. The parsing is csv-core's, the engine of the csv crate; it is driven from here and not through
//! `csv::Reader`, because that reader takes an unclosed quote for a cell with the rest of the file in it, lets one record grow
//! until memory ends, and counts lines in a way that no editor does after blank lines or with CR alone.

use std::io::{self, ErrorKind, Read};
use std::{fmt, str};

use csv_core::ReadRecordResult;

use super::ahead::{Ahead, Aide, LineDigest};
use super::digest::{Known, RowDigest};
use super::problem::{Broken, BrokenCode};
use super::record::Record;

/// No record of an HR export comes near this; a file without line ends must not fill the memory.
const MAX_RECORD: usize = 1024 * 1024;

/// A longer cell is text that a lost quote swallowed. The longest field of the API has a few hundred characters.
const MAX_CELL: usize = 64 * 1024;

/// More line breaks in a cell than any address or note has: a lost quote swallowed rows.
const MAX_CELL_BREAKS: u64 = 20;

/// Read in pieces of this size.
const CHUNK: usize = 64 * 1024;

/// Counts line breaks as editors do: LF, CRLF and CR alone each end a line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineCounter {
    breaks: u64,
    after_cr: bool,
}

impl LineCounter {
    /// Breaks seen so far.
    pub(super) fn breaks(self) -> u64 {
        self.breaks
    }

    /// The line on which the next byte stands, from 1. Not to be asked between the two halves of a CRLF.
    pub(super) fn line(self) -> u64 {
        self.breaks + 1
    }

    /// A line feed with no carriage return before it.
    fn push_line_feed(&mut self) {
        self.breaks += 1;
        self.after_cr = false;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        // Most files have no carriage return, which a search says sooner than a count.
        self.push_counted(bytes, count(bytes, b'\n'), memchr::memchr(b'\r', bytes).is_some());
    }

    /// Bytes of which is known how many line feeds they hold, and whether a carriage return.
    pub(super) fn push_counted(&mut self, bytes: &[u8], line_feeds: u64, has_returns: bool) {
        let Some(last) = bytes.last() else { return };
        let mut breaks = line_feeds;
        if has_returns {
            let pairs = bytes.windows(2).filter(|pair| pair == b"\r\n").count() as u64;
            breaks += count(bytes, b'\r') - pairs;
        }
        if self.after_cr && bytes.first() == Some(&b'\n') {
            breaks -= 1;
        }
        self.breaks += breaks;
        self.after_cr = *last == b'\r';
    }
}

fn count(bytes: &[u8], wanted: u8) -> u64 {
    memchr::memchr_iter(wanted, bytes).count() as u64
}

fn breaks_in(bytes: &[u8]) -> u64 {
    let mut lines = LineCounter::default();
    lines.push(bytes);
    lines.breaks()
}

/// What is known of a record beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line on which it begins.
    pub(super) line: u64,
    /// Whether a line end follows; only the last record of a file may lack it.
    pub(super) is_terminated: bool,
    /// The first cell with text behind its closing quote.
    pub(super) stray_quote: Option<usize>,
}

/// Cuts decoded text (UTF-8) into records, one at a time. Records that are nothing but a line end are passed over.
pub(super) struct Records<R> {
    /// None while it is read ahead.
    input: Option<R>,
    aide: Option<Aide<R>>,
    ahead: Option<Ahead>,
    core: csv_core::Reader,
    delimiter: u8,
    buf: Vec<u8>,
    /// Where `buf` begins in the whole text.
    begin: u64,
    /// Where the next record begins in `buf`.
    start: usize,
    /// How far `buf` is filled.
    end: usize,
    is_ended: bool,
    lines: LineCounter,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Where digests are made.
    scratch: Vec<u8>,
    /// Whether the last row that was known was so by its cells and not as it is written: an export quotes all of its rows alike.
    is_known_by_cells: bool,
}

impl<R> fmt::Debug for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffers hold people.
        f.debug_struct("Records")
            .field("delimiter", &self.delimiter)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            input: Some(input),
            aide: None,
            ahead: None,
            core: core(delimiter),
            delimiter,
            buf: vec![0; CHUNK],
            begin: 0,
            start: 0,
            end: 0,
            is_ended: false,
            lines: LineCounter::default(),
            text: vec![0; 1024],
            ends: vec![0; 64],
            scratch: Vec::new(),
            is_known_by_cells: false,
        }
    }

    /// The first bytes without consuming them: at least `size` of them, or all there are; and whether that is all.
    pub(super) fn peek(&mut self, size: usize) -> Result<(&[u8], bool), Broken> {
        if self.buf.len() < self.start + size {
            self.buf.resize(self.start + size, 0);
        }
        while !self.is_ended && self.end < self.start + size {
            self.read()?;
        }
        Ok((self.buf.get(self.start..self.end).unwrap_or_default(), self.is_ended))
    }

    /// Settles the delimiter and passes over the first `skip` bytes; before the first record only.
    pub(super) fn begin(&mut self, delimiter: u8, skip: usize) -> Result<(), Broken> {
        let n_skipped = self.peek(skip)?.0.len().min(skip);
        let to = self.start + n_skipped;
        self.lines.push(self.buf.get(self.start..to).unwrap_or_default());
        self.start = to;
        self.core = core(delimiter);
        self.delimiter = delimiter;
        Ok(())
    }

    /// Reads the next record into `record`; `None` at the end of the text.
    ///
    /// # Errors
    /// `UnclosedQuote`, `CutShort` (the text ends inside a quoted cell of its last line), `Undecodable` (a record or cell too
    /// long to be one), `Unreadable`.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<Option<Place>, Broken> {
        record.clear();
        if !self.skip_breaks()? {
            return Ok(None);
        }
        let line = self.lines.line();
        if let Some(length) = self.plain_line() {
            return self.hand_over_plain(record, line, length).map(Some);
        }
        let mut fed = self.start;
        let (mut n_text, mut n_ends) = (0, 0);
        loop {
            if fed == self.end && !self.is_ended {
                let moved = self.make_room(line)?;
                fed -= moved;
                self.read()?;
                continue;
            }
            let (result, n_in, n_out, n_end) = self.core.read_record(
                self.buf.get(fed..self.end).unwrap_or_default(),
                self.text.get_mut(n_text..).unwrap_or_default(),
                self.ends.get_mut(n_ends..).unwrap_or_default(),
            );
            fed += n_in;
            n_text += n_out;
            n_ends += n_end;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let place = self.place(fed, line)?;
        self.start = fed;
        self.hand_over(record, line, (n_text, n_ends))?;
        Ok(Some(place))
    }

    /// How long the record is that begins at `start`, where it can be cut at its delimiters: no quote is in it, and the buffer has its line
    /// end. Most are so, and it takes a fifth of what csv-core does.
    fn plain_line(&self) -> Option<usize> {
        let rest = self.buf.get(self.start..self.end)?;
        let at = memchr::memchr3(b'"', b'\r', b'\n', rest)?;
        rest.get(at).filter(|byte| **byte != b'"').map(|_| at)
    }

    fn hand_over_plain(&mut self, record: &mut Record, line: u64, length: usize) -> Result<Place, Broken> {
        let raw = self.buf.get(self.start..self.start + length).unwrap_or_default();
        let text = str::from_utf8(raw).map_err(|_not_what_was_surveyed| changed(line))?;
        record.set_line(text, self.delimiter);
        if MAX_CELL < length {
            check_cells(record, line)?;
        }
        // As csv-core does: of CRLF the second is left for whoever looks for the next record.
        let behind = self.start + length + 1;
        self.lines.push(self.buf.get(self.start + length..behind).unwrap_or_default());
        self.start = behind;
        Ok(Place { line, is_terminated: true, stray_quote: None })
    }

    /// Takes on a thread that reads ahead once that is worth it; it has to do this work.
    pub(super) fn stand_by(&mut self) -> impl FnOnce() + use<R> {
        let (aide, work) = Aide::new();
        self.aide = Some(aide);
        work
    }

    /// Lets go of that thread.
    pub(super) fn stand_down(&mut self) {
        (self.aide, self.ahead) = (None, None);
    }

    /// Has the text read ahead from now on, if there is somebody for it.
    fn read_ahead(&mut self) {
        let Some(aide) = self.aide.take() else { return };
        if let Some(input) = self.input.take() {
            self.ahead = Some(aide.start(input, self.begin + self.end as u64, self.delimiter));
        }
    }

    /// Passes over records that are known by their digest, as far as the next that is not. How many they were. A record with a line end
    /// of its own in a cell, or with other quotes than it must have, has to be read first.
    ///
    /// # Errors
    /// `Unreadable`.
    pub(super) fn pass_over(&mut self, known: &mut impl Known) -> Result<u64, Broken> {
        let mut n_known = 0;
        while !known.is_empty() && self.skip_breaks()? {
            // Only then does it take longer to say what a row is known by than to look it up.
            if self.is_known_by_cells {
                self.read_ahead();
            }
            let begin = self.begin + self.start as u64;
            let ahead = self.ahead.as_mut().and_then(|ahead| ahead.line_at(begin));
            let Some(length) = self.whole_line(ahead.map(|line| line.length))? else { break };
            let raw = self.buf.get(self.start..self.start + length).unwrap_or_default();
            let row = raw.strip_suffix(b"\n").unwrap_or(raw);
            let row = row.strip_suffix(b"\r").unwrap_or(row);
            let line = self.lines.line();
            let mut is_known = false;
            for by_cells in [self.is_known_by_cells, !self.is_known_by_cells] {
                let digest = match (by_cells, ahead.map(|line| line.digest)) {
                    (false, Some(LineDigest::Raw(digest))) => Some(digest),
                    (false, _) => Some(RowDigest::of_raw(row)),
                    (true, Some(LineDigest::Cells(digest))) => digest,
                    (true, _) if memchr::memchr(b'"', row).is_none() => None,
                    (true, _) => RowDigest::of_quoted(row, self.delimiter, &mut self.scratch),
                };
                if digest.is_some_and(|digest| known.pass_over(digest, line)) {
                    (is_known, self.is_known_by_cells) = (true, by_cells);
                    break;
                }
            }
            if !is_known {
                break;
            }
            let has_returns = ahead.map_or_else(|| memchr::memchr(b'\r', raw).is_some(), |line| line.has_returns);
            if has_returns {
                self.lines.push(raw);
            } else {
                self.lines.push_line_feed();
            }
            self.start += length;
            n_known += 1;
        }
        Ok(n_known)
    }

    /// Reads on until `buf` has the line that begins at `start`, and says how long it is with its end; none where it has none, or is too long
    /// to be a row. It may be known how long it is.
    fn whole_line(&mut self, length: Option<usize>) -> Result<Option<usize>, Broken> {
        loop {
            let rest = self.buf.get(self.start..self.end).unwrap_or_default();
            let found = match length {
                Some(length) => (length <= rest.len()).then_some(length),
                None => memchr::memchr(b'\n', rest).map(|at| at + 1),
            };
            if found.is_some() || self.is_ended || MAX_RECORD <= rest.len() {
                return Ok(found);
            }
            self.make_room(self.lines.line())?;
            self.read()?;
        }
    }

    /// Passes over line ends; false at the end of the text.
    fn skip_breaks(&mut self) -> Result<bool, Broken> {
        loop {
            let rest = self.buf.get(self.start..self.end).unwrap_or_default();
            let n_breaks = rest.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            self.lines.push(rest.get(..n_breaks).unwrap_or_default());
            self.start += n_breaks;
            if self.start < self.end {
                // Whatever ended the line before, it is over.
                self.lines.after_cr = false;
                return Ok(true);
            }
            if self.is_ended {
                return Ok(false);
            }
            self.begin += self.end as u64;
            self.start = 0;
            self.end = 0;
            self.read()?;
        }
    }

    /// Moves the record under way to the front and lets the buffer grow, up to the limit. Says how far it moved.
    fn make_room(&mut self, line: u64) -> Result<usize, Broken> {
        if self.end - self.start >= MAX_RECORD {
            let raw = self.buf.get(self.start..self.end).unwrap_or_default();
            return Err(match check_quotes(raw, self.delimiter) {
                Quotes::Open { breaks, .. } | Quotes::Runaway { breaks } => unclosed(line + breaks),
                Quotes::Sound { .. } | Quotes::Stray { .. } => too_long(line),
            });
        }
        let moved = self.start;
        self.buf.copy_within(self.start..self.end, 0);
        self.begin += moved as u64;
        self.end -= moved;
        self.start = 0;
        if self.buf.len() - self.end < CHUNK / 2 {
            self.buf.resize((self.buf.len() * 2).min(MAX_RECORD + CHUNK), 0);
        }
        Ok(moved)
    }

    fn read(&mut self) -> Result<(), Broken> {
        let free = self.buf.get_mut(self.end..).unwrap_or_default();
        let read = match (&mut self.ahead, &mut self.input) {
            (Some(ahead), _) => ahead.read(free),
            (None, Some(input)) => input.read(free),
            // Behind the last row, where nobody reads any more: never to be taken for the end of a text.
            (None, None) => Err(ErrorKind::BrokenPipe.into()),
        };
        match read {
            Ok(0) => self.is_ended = true,
            Ok(n) => self.end += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
        Ok(())
    }

    /// Judges the quotes of the record that ends at `fed` and counts its lines.
    fn place(&mut self, fed: usize, line: u64) -> Result<Place, Broken> {
        let raw = self.buf.get(self.start..fed).unwrap_or_default();
        let is_terminated = matches!(raw.last(), Some(b'\n' | b'\r'));
        let mut stray_quote = None;
        if memchr::memchr(b'"', raw).is_some() {
            match check_quotes(raw, self.delimiter) {
                Quotes::Sound { breaks } => self.lines.breaks += breaks,
                Quotes::Stray { breaks, cell } => {
                    self.lines.breaks += breaks;
                    stray_quote = Some(cell);
                }
                Quotes::Open { breaks, is_on_last_line: true } => return Err(cut_in_quote(line + breaks)),
                Quotes::Open { breaks, .. } | Quotes::Runaway { breaks } => return Err(unclosed(line + breaks)),
            }
        }
        // Outside of quotes a record has no break but the one that ends it.
        if is_terminated {
            self.lines.push(raw.last_chunk::<1>().map_or(&[], |last| last));
        }
        Ok(Place { line, is_terminated, stray_quote })
    }

    /// Copies the cells into the caller's record.
    fn hand_over(&self, record: &mut Record, line: u64, (n_text, n_ends): (usize, usize)) -> Result<(), Broken> {
        let text = self.text.get(..n_text).unwrap_or_default();
        // The survey has decoded every byte already: if this fails, these are not the bytes it saw.
        let text = str::from_utf8(text).map_err(|_not_what_was_surveyed| changed(line))?;
        record.set_cells(text, self.ends.get(..n_ends).unwrap_or_default());
        if record.iter().count() != n_ends {
            return Err(changed(line));
        }
        check_cells(record, line)
    }
}

fn check_cells(record: &Record, line: u64) -> Result<(), Broken> {
    if record.iter().any(|cell| MAX_CELL < cell.len()) { Err(too_long(line)) } else { Ok(()) }
}

fn core(delimiter: u8) -> csv_core::Reader {
    csv_core::ReaderBuilder::new().delimiter(delimiter).build()
}

/// How the quotes of one record stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// All well; with the line breaks inside cells.
    Sound { breaks: u64 },
    /// Text behind a closing quote, in this cell first.
    Stray { breaks: u64, cell: usize },
    /// A quote that is open at the end; `breaks` line breaks into the record.
    Open { breaks: u64, is_on_last_line: bool },
    /// A quoted cell that must have swallowed more than its own text.
    Runaway { breaks: u64 },
}

/// Looks at the quotes of a raw record as csv-core does: one behind a delimiter opens a quoted cell, any other is text.
fn check_quotes(raw: &[u8], delimiter: u8) -> Quotes {
    let mut rest = raw;
    let mut is_record_start = true;
    let mut breaks = 0;
    let mut stray = None;
    while let Some((before, quoted)) = memchr::memchr(b'"', rest).and_then(|at| rest.split_at_checked(at)) {
        let quoted = quoted.get(1..).unwrap_or_default();
        let is_opening = before.last().map_or(is_record_start, |byte| *byte == delimiter);
        is_record_start = false;
        if !is_opening {
            rest = quoted;
            continue;
        }
        let Some(n_body) = closing_quote(quoted) else {
            return Quotes::Open { breaks, is_on_last_line: breaks_in(quoted) == 0 };
        };
        let (body, behind) = quoted.split_at_checked(n_body).unwrap_or((quoted, &[]));
        rest = behind.get(1..).unwrap_or_default();
        let n_breaks = breaks_in(body);
        let is_stray = rest.first().is_some_and(|byte| *byte != delimiter && !matches!(byte, b'\r' | b'\n'));
        // Text behind the end of a cell of several lines: the quotes are out of step, and rows have been joined.
        if n_body > MAX_CELL || n_breaks > MAX_CELL_BREAKS || (is_stray && n_breaks > 0) {
            return Quotes::Runaway { breaks };
        }
        if is_stray {
            stray = stray.or(Some(raw.len() - quoted.len() - 1));
        }
        breaks += n_breaks;
    }
    match stray {
        None => Quotes::Sound { breaks },
        Some(at) => Quotes::Stray { breaks, cell: cells_in(raw.get(..at).unwrap_or_default(), delimiter) },
    }
}

/// How many cells are closed in the beginning of a record. Rarely asked, so it is simply read once more.
fn cells_in(raw: &[u8], delimiter: u8) -> usize {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(raw);
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => record.len() - 1,
        Ok(false) | Err(_) => 0,
    }
}

/// Where the quote stands that ends a quoted cell; doubled quotes belong to its text.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut begin = 0;
    loop {
        let at = begin + memchr::memchr(b'"', quoted.get(begin..)?)?;
        if quoted.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        begin = at + 2;
    }
}

/// The input failed below us.
pub(super) fn unreadable(error: &io::Error) -> Broken {
    Broken {
        code: BrokenCode::Unreadable,
        line: None,
        message: format!("the file could not be read to its end ({}); drop it again", error.kind()),
    }
}

fn unclosed(line: u64) -> Broken {
    Broken {
        code: BrokenCode::UnclosedQuote,
        line: Some(line),
        message: format!(
            "a quote (\") that opens on line {line} is not closed where its cell ends, so that the rows below run together; \
             close it, or double quotes inside cells"
        ),
    }
}

fn cut_in_quote(line: u64) -> Broken {
    Broken {
        code: BrokenCode::CutShort,
        line: Some(line),
        message: format!("the file ends inside a quoted cell on line {line}: the upload did not finish; drop it again"),
    }
}

fn too_long(line: u64) -> Broken {
    Broken {
        code: BrokenCode::Undecodable,
        line: Some(line),
        message: format!("line {line} is too long for a row of an export; this is not a delimited text file"),
    }
}

fn changed(line: u64) -> Broken {
    Broken {
        code: BrokenCode::Unreadable,
        line: Some(line),
        message: format!("the file changed while it was being read (line {line}); drop it again under another name"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells_of(record: &Record) -> Vec<String> {
        record.iter().map(str::to_owned).collect()
    }

    fn read_all(text: &[u8], delimiter: u8) -> Result<Vec<(u64, Vec<String>)>, Broken> {
        let mut records = Records::new(text, delimiter);
        let mut record = Record::default();
        let mut all = Vec::new();
        while let Some(place) = records.next(&mut record)? {
            all.push((place.line, cells_of(&record)));
        }
        Ok(all)
    }

    #[test]
    fn line_counter_counts_a_crlf_once_even_if_it_is_cut_in_two() {
        let mut lines = LineCounter::default();
        for piece in [&b"a\r"[..], b"\n", b"b\r", b"c\n\n", b"\r\r\n"] {
            lines.push(piece);
        }
        assert_eq!(lines.breaks(), 6);
    }

    #[test]
    fn quotes_are_judged_cell_by_cell() {
        let open = |breaks, is_on_last_line| Quotes::Open { breaks, is_on_last_line };
        for (raw, expected) in [
            ("a,b\n", Quotes::Sound { breaks: 0 }),
            ("\"a\",\"b \"\"c\"\"\"\n", Quotes::Sound { breaks: 0 }),
            ("12\" pipe,b\n", Quotes::Sound { breaks: 0 }),
            ("\"a\nb\",c\n", Quotes::Sound { breaks: 1 }),
            ("\"a,\nb\",\"O\"Brien\n", Quotes::Stray { breaks: 1, cell: 1 }),
            ("\"O\"Brien\n", Quotes::Stray { breaks: 0, cell: 0 }),
            ("a,\"b", open(0, true)),
            ("\"x\ny\",\"b\nc\n", open(1, false)),
            ("a,\"Smith\n\"2\",\"Bob\"\n", Quotes::Runaway { breaks: 0 }),
        ] {
            assert_eq!(check_quotes(raw.as_bytes(), b','), expected, "{raw:?}");
        }
    }

    proptest! {
        /// csv-core is driven rightly: whatever is not refused reads as it does through the csv crate.
        #[test]
        fn records_are_those_of_the_csv_crate(
            text in proptest::collection::vec(proptest::sample::select(b"ab1\",;\t \r\n\n\"".to_vec()), 0..300),
            delimiter in proptest::sample::select(vec![b',', b';', b'\t']),
        ) {
            let Ok(ours) = read_all(&text, delimiter) else { return Ok(()) };
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(&text[..]);
            let theirs: Vec<Vec<String>> = reader.deserialize().map(Result::unwrap).collect();
            prop_assert_eq!(ours.iter().map(|(_, cells)| cells.clone()).collect::<Vec<_>>(), theirs);
            prop_assert!(ours.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }

        /// A line that is taken as it is has the digest of its cells.
        #[test]
        fn a_line_is_known_by_its_cells(line in "[ab1; é]{1,20}") {
            let (mut record, mut scratch) = (Record::default(), Vec::new());
            record.set_line(&line, b';');
            let cells: Record = line.split(';').collect();
            prop_assert!(record.iter().eq(cells.iter()));
            let digest = RowDigest::of_cells(&cells, b';', &mut scratch);
            prop_assert_eq!(RowDigest::of_cells(&record, b';', &mut scratch), digest);
        }
    }

    /// Knows every second row.
    #[derive(Default)]
    struct EverySecond(Vec<(RowDigest, u64)>);

    impl Known for EverySecond {
        fn pass_over(&mut self, row: RowDigest, line: u64) -> bool {
            let is_known = row.0[0].is_multiple_of(2);
            self.0.extend(is_known.then_some((row, line)));
            is_known
        }

        fn is_empty(&self) -> bool {
            false
        }
    }

    proptest! {
        /// Whatever is read ahead changes nothing: the same rows are known, and the others read as they would.
        #[test]
        fn what_is_read_ahead_changes_nothing(
            text in proptest::collection::vec(proptest::sample::select(b"ab1\",;\r \r\n\n\"\n".to_vec()), 0..300),
            is_cut in any::<bool>(),
            by_cells in any::<bool>(),
        ) {
            let read = |reads_ahead: bool| {
                let mut records = Records::new(Slow { text: &text, is_cut }, b',');
                records.is_known_by_cells = by_cells;
                let (mut known, mut read, mut record) = (EverySecond::default(), Vec::new(), Record::default());
                std::thread::scope(|scope| {
                    if reads_ahead {
                        scope.spawn(records.stand_by());
                    }
                    let broken = loop {
                        let step = records.pass_over(&mut known).and_then(|n_known| {
                            Ok((n_known, records.next(&mut record)?))
                        });
                        match step {
                            Ok((n_known, Some(place))) => read.push((n_known, place, cells_of(&record))),
                            Ok((_, None)) => break None,
                            Err(broken) => break Some(broken),
                        }
                    };
                    // Else the thread waits for it.
                    drop(records);
                    // What was read before is not used then.
                    (broken.is_none().then_some((known.0, read)), broken)
                })
            };
            prop_assert_eq!(read(true), read(false));
        }
    }

    /// Gives out its text in small pieces, and may fail at its end.
    struct Slow<'a> {
        text: &'a [u8],
        is_cut: bool,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.text.is_empty() && self.is_cut {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let n = buf.len().min(7);
            self.text.read(buf.get_mut(..n).unwrap_or_default())
        }
    }

    #[test]
    fn a_text_without_line_ends_does_not_fill_the_memory() {
        let mut records = Records::new(io::repeat(b'x'), b',');
        let broken = records.next(&mut Record::default()).unwrap_err();
        assert_eq!(broken.code, BrokenCode::Undecodable);
        assert!(records.buf.len() <= MAX_RECORD + CHUNK, "{}", records.buf.len());
    }

    #[test]
    fn an_endless_quoted_cell_does_not_fill_the_memory_and_is_an_unclosed_quote() {
        let text = b"a,b\n1,\"".chain(io::repeat(b'x'));
        let mut records = Records::new(text, b',');
        let mut record = Record::default();
        records.next(&mut record).unwrap();
        let broken = records.next(&mut record).unwrap_err();
        assert_eq!((broken.code, broken.line), (BrokenCode::UnclosedQuote, Some(2)));
    }
}
