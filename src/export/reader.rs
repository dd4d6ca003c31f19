//! The second pass: one row at a time. Rows that are no person (blank lines, a repeated header, totals, notes) stay here; what
//! was passed over or filled up is kept as findings, a few of each kind with their lines and the rest as a number.

use std::fmt;
use std::io::{self, Read};
use std::thread::Scope;

use encoding_rs::UTF_8;
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

use super::dialect::{self, Dialect};
use super::digest::{Known, RowDigest};
use super::header::{Header, Wanted};
use super::problem::{Broken, BrokenCode, Code, Problem};
use super::record::Record;
use super::records::{Place, Records, unreadable};
use super::row::{Row, Rows};
use super::shape::{has_footer_word, is_blank, is_id_shaped};
use super::survey::Survey;
use super::tally::Tally;
use crate::config::Format;

/// A total, a note or a page number fills at most this many cells beside the first.
const NOTE_CELLS: usize = 2;

/// One cell filled of this many, at most, is a note; in a narrow file two of four are a person.
const NOTE_SHARE: usize = 4;

/// Opens the second pass: finds delimiter and header and stands before the first row.
///
/// `input` has to yield the bytes that `survey` saw, from the first.
///
/// # Errors
/// [`Broken`] with `Empty`, `HeaderMissing`, `HeaderTwice`, and what [`Reader::next_row`] returns.
pub fn open<R: Read>(mut input: R, survey: &Survey, format: &Format, wanted: &Wanted) -> Result<Reader<R>, Broken> {
    io::copy(&mut input.by_ref().take(survey.mark), &mut io::sink()).map_err(|error| unreadable(&error))?;
    let source = if survey.encoding == UTF_8 {
        Source::Plain(input)
    } else {
        // With the encoding set it looks for no mark of its own; a mark is off already.
        Source::Decoded(Box::new(DecodeReaderBytesBuilder::new().encoding(Some(survey.encoding)).build(input)))
    };
    let mut records = Records::new(source, b',');
    let (head, is_all) = records.peek(dialect::PROBE)?;
    let Dialect { delimiter, preamble, header, n_above, first_above } = dialect::find(head, is_all, format, wanted)?;
    records.begin(delimiter, preamble)?;
    let mut reader = Reader {
        delimiter,
        id_columns: wanted.id_headers.iter().filter_map(|name| header.index_of(name)).collect(),
        records,
        record: Record::default(),
        n_named: header.n_named(),
        placeholders: format.placeholders.clone(),
        wanted: wanted.clone(),
        n_rows: 0,
        fewest_cells: usize::MAX,
        header,
        header_cells: Vec::new(),
        broken: None,
        is_over: false,
        notes: Vec::new(),
        short: Tally::new(
            Code::ShortRow,
            "more rows have fewer cells than the header; the missing cells were read as empty",
        ),
        skipped: Tally::new(
            Code::SkippedRow,
            "more rows that are no person (totals, notes, repeated headers) were skipped",
        ),
        stray: Tally::new(Code::Cleaned, "more rows have text behind a closing quote (\"); double quotes inside cells"),
        makes_digests: true,
        scratch: Vec::new(),
    };
    reader.note_survey(survey);
    reader.note_above(n_above, first_above);
    reader.pass_header()?;
    Ok(reader)
}

/// The bytes, decoded where they are not UTF-8 already.
enum Source<R> {
    Plain(R),
    Decoded(Box<DecodeReaderBytes<R, Vec<u8>>>),
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buf),
            Self::Decoded(decoded) => decoded.read(buf),
        }
    }
}

/// Hands out the rows of one export.
pub struct Reader<R> {
    records: Records<Source<R>>,
    record: Record,
    delimiter: u8,
    header: Header,
    /// The header's cells as they stand in the file, trimmed: what a repeated header is recognised by.
    header_cells: Vec<String>,
    /// Columns up to the last one with a name.
    n_named: usize,
    id_columns: Vec<usize>,
    placeholders: Vec<String>,
    wanted: Wanted,
    n_rows: u64,
    /// The fewest cells of any row so far.
    fewest_cells: usize,
    broken: Option<Broken>,
    is_over: bool,
    notes: Vec<Problem>,
    short: Tally,
    skipped: Tally,
    stray: Tally,
    /// Whether rows that nobody knows get a digest.
    makes_digests: bool,
    /// Where digests are made.
    scratch: Vec<u8>,
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The record under way is a person's.
        f.debug_struct("Reader").field("header", &self.header).field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// The header row.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What stands between the cells.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Hands out rows without what they could be known by in a later export: to make that is a tenth of the work.
    pub fn forget_rows(&mut self) {
        self.makes_digests = false;
    }

    /// Has a thread of this scope stand by, which reads the file ahead once that helps with knowing rows again. It ends behind the last
    /// row, or with the reader.
    pub fn read_ahead<'scope>(&mut self, scope: &'scope Scope<'scope, '_>)
    where
        R: Send + 'scope,
    {
        scope.spawn(self.records.stand_by());
    }

    /// Rows handed out so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The next row that may be a person; `None` behind the last one.
    ///
    /// # Errors
    /// [`Broken`]: what was read before is not to be used either. Asked again, it returns the same.
    /// `HeaderOnly`, `HeaderTwice` (another header among the rows), `UnclosedQuote`, `CutShort`, `Undecodable` (a row too long
    /// to be one), `Unreadable`.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Broken> {
        self.next_unknown(&mut ())
    }

    /// The next row that may be a person and is not `known`. Those that are known were handed out by an earlier export, without a
    /// finding, under the same header and with the same settings; they are counted.
    ///
    /// # Errors
    /// As [`Reader::next_row`].
    pub fn next_unknown(&mut self, known: &mut impl Known) -> Result<Option<Row<'_>>, Broken> {
        let Some((place, digest)) = self.step(known)? else { return Ok(None) };
        Ok(Some(Row::under(place, &self.record, self.n_named, self.header.names().len()).known_by(digest)))
    }

    /// The next rows that [`Reader::next_unknown`] would hand out, at most as many as belong together, in place of those that `rows`
    /// holds; whether there may be more.
    ///
    /// # Errors
    /// As [`Reader::next_row`].
    pub fn next_rows(&mut self, known: &mut impl Known, rows: &mut Rows) -> Result<bool, Broken> {
        rows.begin(self.n_named, self.header.names().len());
        while !rows.is_full() {
            let Some((place, digest)) = self.step(known)? else { return Ok(false) };
            rows.push(place, &mut self.record, digest);
        }
        Ok(true)
    }

    /// Takes a step, unless there is none to take any more.
    fn step(&mut self, known: &mut impl Known) -> Result<Option<(Place, Option<RowDigest>)>, Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if self.is_over {
            return Ok(None);
        }
        let step = self.advance(known);
        match &step {
            Ok(Some(_)) => return step,
            Ok(None) => self.is_over = true,
            Err(broken) => self.broken = Some(broken.clone()),
        }
        self.records.stand_down();
        step
    }

    /// What was skipped, filled up or guessed so far, by line; complete behind the last row. At most a few dozen, however long the
    /// file.
    pub fn findings(&self) -> Vec<Problem> {
        let mut findings = self.notes.clone();
        for tally in [&self.short, &self.skipped, &self.stray] {
            findings.extend(tally.findings());
        }
        findings.sort_by_key(|problem| problem.line);
        findings
    }

    /// Reads until `record` holds a row to hand out, and says where it stands and what it can be known by.
    fn advance(&mut self, known: &mut impl Known) -> Result<Option<(Place, Option<RowDigest>)>, Broken> {
        loop {
            self.n_rows += self.records.pass_over(known)?;
            let Some(place) = self.records.next(&mut self.record)? else { break };
            let is_plain = place.is_terminated && place.stray_quote.is_none() && self.n_named <= self.record.len();
            let is_asked_for = self.makes_digests || !known.is_empty();
            let digest = (is_plain && is_asked_for)
                .then(|| RowDigest::of_cells(&self.record, self.delimiter, &mut self.scratch));
            if digest.is_some_and(|digest| known.pass_over(digest, place.line)) {
                self.n_rows += 1;
                continue;
            }
            if let Some(reason) = self.reason_to_skip(place)? {
                if let Some(reason) = reason {
                    self.skipped.add(place.line, None, || reason.to_owned());
                }
                continue;
            }
            let n_cells = self.record.len();
            self.check_cut(place, n_cells)?;
            if n_cells < self.n_named {
                let n_named = self.n_named;
                self.short.add(place.line, None, || {
                    format!("The row has {n_cells} cells, the header {n_named}; the missing cells were read as empty.")
                });
            }
            if let Some(cell) = place.stray_quote {
                let column = self.header.names().get(cell).cloned();
                self.stray.add(place.line, column, || {
                    "there is text behind a closing quote (\"), a quote was dropped; double quotes inside cells"
                        .to_owned()
                });
            }
            self.fewest_cells = self.fewest_cells.min(n_cells);
            self.n_rows += 1;
            return Ok(Some((place, digest)));
        }
        if self.n_rows == 0 {
            let line = self.header.line();
            return Err(Broken {
                code: BrokenCode::HeaderOnly,
                line: Some(line),
                message: format!("the file holds a header on line {line} and no row below it; export it again"),
            });
        }
        Ok(None)
    }

    /// `Some` if the record is no person; with the reason if that is worth a finding.
    #[expect(clippy::option_option, reason = "private; not skipped, skipped in silence, skipped with a reason")]
    fn reason_to_skip(&self, place: Place) -> Result<Option<Option<&'static str>>, Broken> {
        // A person fills more cells than this; counting no further keeps ordinary rows cheap.
        let n_filled = self.record.iter().filter(|cell| !is_blank(cell)).take(NOTE_CELLS + 2).count();
        if n_filled == 0 {
            return Ok(Some(None));
        }
        if self.is_header_word() {
            let cells = self.record.iter().map(str::to_owned).collect();
            let header = Header::new(cells, place.line);
            if header.names() == self.header.names() {
                return Ok(Some(Some("The header is repeated here; the row was skipped.")));
            }
            if self.wanted.missing_in(&header).is_empty() {
                return Err(Broken {
                    code: BrokenCode::HeaderTwice,
                    line: Some(place.line),
                    message: format!(
                        "line {} holds another header than line {}: two files were joined; drop them one by one",
                        place.line,
                        self.header.line()
                    ),
                });
            }
        }
        if n_filled <= NOTE_CELLS + 1 && self.is_note(n_filled, self.is_cut(place)) {
            return Ok(Some(Some("The row is no person (a total, a note); it was skipped.")));
        }
        Ok(None)
    }

    /// Whether the row's id is a header's name.
    fn is_header_word(&self) -> bool {
        let names = &self.header_cells;
        let is_name = |cell: &str| names.iter().any(|name| name.len() == cell.len() && name.eq_ignore_ascii_case(cell));
        self.id_columns
            .iter()
            .filter_map(|column| self.record.get(*column))
            .map(str::trim)
            .any(|id| !id.is_empty() && is_name(id))
    }

    /// Whether a row with few cells is a total or a note. Where it may be a person it is not: a person skipped is a person
    /// missing, while a person with cells missing stays covered.
    fn is_note(&self, n_filled: usize, may_be_cut: bool) -> bool {
        let has_word = self.record.iter().any(has_footer_word);
        if may_be_cut && !has_word {
            return false;
        }
        let id = self.id_columns.iter().filter_map(|column| self.record.get(*column)).find(|cell| !self.is_empty(cell));
        match id {
            Some(id) if n_filled == 1 => !is_id_shaped(id),
            Some(id) => !is_id_shaped(id) && has_footer_word(id),
            None => n_filled == 1 || (n_filled <= NOTE_CELLS && n_filled * NOTE_SHARE <= self.n_named),
        }
    }

    fn is_empty(&self, cell: &str) -> bool {
        is_blank(cell) || self.placeholders.iter().any(|word| word.eq_ignore_ascii_case(cell.trim()))
    }

    /// The last line without its end and without cells that every other row has: the upload did not finish.
    fn is_cut(&self, place: Place) -> bool {
        !place.is_terminated && self.record.len() < self.n_named.min(self.fewest_cells)
    }

    fn check_cut(&self, place: Place, n_cells: usize) -> Result<(), Broken> {
        if !self.is_cut(place) {
            return Ok(());
        }
        Err(Broken {
            code: BrokenCode::CutShort,
            line: Some(place.line),
            message: format!(
                "the file ends on line {} after {n_cells} of {} cells and without a line end: the upload did not finish; drop \
                 it again",
                place.line, self.n_named
            ),
        })
    }

    fn note_survey(&mut self, survey: &Survey) {
        if !survey.encoding_guessed {
            return;
        }
        let line = survey.foreign_line.unwrap_or(0);
        self.notes.push(Problem {
            line,
            column: None,
            reference_id: None,
            code: Code::EncodingGuessed,
            message: format!(
                "the file is not UTF-8 and was read as Windows-1252; see whether the letters on line {line} are right, or name \
                 the encoding in [source.format]"
            ),
        });
    }

    fn note_above(&mut self, n_above: u64, first_above: u64) {
        if n_above == 0 {
            return;
        }
        let rows = if n_above == 1 { "1 row".to_owned() } else { format!("{n_above} rows") };
        self.notes.push(Problem {
            line: first_above,
            column: None,
            reference_id: None,
            code: Code::SkippedRow,
            message: format!("{rows} above the header on line {} skipped.", self.header.line()),
        });
    }

    /// Reads up to the header that was found.
    fn pass_header(&mut self) -> Result<(), Broken> {
        while let Some(place) = self.records.next(&mut self.record)? {
            if place.line >= self.header.line() {
                self.header_cells = self.record.iter().map(|cell| cell.trim().to_owned()).collect();
                break;
            }
        }
        Ok(())
    }
}
