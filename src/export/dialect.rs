//! Which delimiter, which row is the header. The names of the columns are known from the config, so nothing is sniffed: the
//! delimiter is the one under which a row holds them all.

use super::header::{Header, Wanted};
use super::problem::{Broken, BrokenCode};
use super::record::Record;
use super::records::Records;
use super::shape::is_blank;
use crate::config::Format;

/// How much of the text is looked through for the header. Fifty rows of the widest export known (120 columns) fit.
pub(super) const PROBE: usize = 256 * 1024;

/// Rows within which the header must stand. Reports have up to ten title rows; this is plenty.
const PROBE_ROWS: u64 = 50;

/// What exports are delimited by, likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Headers listed in a message: more would not be read.
const LISTED: usize = 30;

/// A quoted header is cut after this many characters.
const QUOTED: usize = 40;

/// What the head of the text says about the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Bytes of the `sep=` line in front.
    pub(super) preamble: usize,
    pub(super) header: Header,
    /// Rows above the header that are not blank, and the line of the first.
    pub(super) n_above: u64,
    pub(super) first_above: u64,
}

/// Finds delimiter and header in the first bytes of the text; `is_all` says whether there are more.
pub(super) fn find(head: &[u8], is_all: bool, format: &Format, wanted: &Wanted) -> Result<Dialect, Broken> {
    let (stated, preamble) = stated_delimiter(head);
    let delimiters = match format.delimiter.or(stated) {
        Some(delimiter) => vec![delimiter],
        None => DELIMITERS.to_vec(),
    };
    let mut best: Option<Candidate> = None;
    let mut broken = None;
    let mut has_row = false;
    for delimiter in delimiters {
        let mut probe = Probe { delimiter, preamble, header_row: format.header_row, wanted, has_row: false };
        let (candidate, error) = probe.best(head, is_all);
        has_row |= probe.has_row;
        broken = broken.or_else(|| error.clone());
        // Of equals the earlier delimiter stays.
        if let Some(candidate) = candidate.filter(|one| best.as_ref().is_none_or(|best| one.rank() > best.rank())) {
            let is_complete = candidate.missing.is_empty();
            best = Some(Candidate { broken: error, ..candidate });
            // A row cannot hold every mapped header under two delimiters, and most files are small: the rest need no look.
            if is_complete {
                break;
            }
        }
    }
    match best {
        Some(candidate) if candidate.missing.is_empty() => candidate.into_dialect(preamble, wanted),
        // A lost quote above the header swallows the header: then that is what is wrong.
        Some(candidate) => Err(candidate
            .broken
            .clone()
            .or_else(|| broken.filter(|_| candidate.n_held == 0))
            .unwrap_or_else(|| candidate.header_missing(wanted, format.header_row.is_some()))),
        None => Err(broken.unwrap_or_else(|| nothing_found(format.header_row, has_row))),
    }
}

/// Excel's `sep=;` in the first line, and the bytes of that line with its end.
fn stated_delimiter(head: &[u8]) -> (Option<u8>, usize) {
    let n_line = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    let (line, rest) = head.split_at_checked(n_line).unwrap_or((head, &[]));
    let line = line.strip_prefix(b"\"").map_or(line, |quoted| quoted.strip_suffix(b"\"").unwrap_or(quoted));
    match line {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") && delimiter.is_ascii() => {
            let n_end = if rest.starts_with(b"\r\n") { 2 } else { rest.len().min(1) };
            (Some(*delimiter), n_line + n_end)
        }
        _ => (None, 0),
    }
}

/// One delimiter being tried.
struct Probe<'a> {
    delimiter: u8,
    preamble: usize,
    header_row: Option<u64>,
    wanted: &'a Wanted,
    has_row: bool,
}

impl Probe<'_> {
    /// The first row that holds everything wanted, or else the row that holds most of it; and what broke the search off.
    fn best(&mut self, head: &[u8], is_all: bool) -> (Option<Candidate>, Option<Broken>) {
        let mut best: Option<Candidate> = None;
        let mut records = Records::new(head, self.delimiter);
        let mut record = Record::default();
        let (mut n_above, mut first_above) = (0, 0);
        if let Err(error) = records.begin(self.delimiter, self.preamble) {
            return (None, Some(error));
        }
        loop {
            let place = match records.next(&mut record) {
                Ok(Some(place)) if place.is_terminated || is_all => place,
                Ok(_) => return (best, None),
                Err(error) => return (best, Some(error)),
            };
            if record.iter().all(is_ruled) {
                continue;
            }
            self.has_row = true;
            if self.header_row.is_none_or(|row| row == place.line) {
                let candidate = self.judge(&record, place.line, (n_above, first_above));
                if candidate.missing.is_empty() || self.header_row.is_some() {
                    return (Some(candidate), None);
                }
                if best.as_ref().is_none_or(|best| candidate.rank() > best.rank()) {
                    best = Some(candidate);
                }
            }
            if n_above == 0 {
                first_above = place.line;
            }
            n_above += 1;
            if self.header_row.map_or(n_above >= PROBE_ROWS, |row| place.line >= row) {
                return (best, None);
            }
        }
    }

    fn judge(&self, record: &Record, line: u64, (n_above, first_above): (u64, u64)) -> Candidate {
        let header = Header::new(record.iter().map(str::to_owned).collect(), line);
        let missing = self.wanted.missing_in(&header);
        let n_held = self.wanted.names().filter(|name| header.index_of(name).is_some()).count();
        Candidate { delimiter: self.delimiter, header, missing, n_held, n_above, first_above, broken: None }
    }
}

/// A row that may be the header.
struct Candidate {
    delimiter: u8,
    header: Header,
    missing: Vec<Vec<String>>,
    n_held: usize,
    n_above: u64,
    first_above: u64,
    /// What broke the search off below it.
    broken: Option<Broken>,
}

impl Candidate {
    /// Complete before incomplete, then by what is held, then by cells.
    fn rank(&self) -> (bool, usize, usize) {
        (self.missing.is_empty(), self.n_held, self.header.n_named())
    }

    fn into_dialect(self, preamble: usize, wanted: &Wanted) -> Result<Dialect, Broken> {
        let line = self.header.line();
        if let Some((name, first, second)) = wanted.twice_in(&self.header) {
            return Err(Broken {
                code: BrokenCode::HeaderTwice,
                line: Some(line),
                message: format!(
                    "the header on line {line} has \"{}\" twice, as columns {first} and {second}; remove or rename one of them",
                    cut(&name)
                ),
            });
        }
        let Self { delimiter, header, missing: _, n_held: _, n_above, first_above, broken: _ } = self;
        Ok(Dialect { delimiter, preamble, header, n_above, first_above })
    }

    fn header_missing(&self, wanted: &Wanted, is_configured: bool) -> Broken {
        let line = self.header.line();
        let is_header = self.header.resemblance(wanted).is_header();
        let missing: Vec<String> = self.missing.iter().map(|list| self.describe(list, is_header, wanted)).collect();
        let missing = missing.join(", ");
        let message = if is_header {
            format!("the header on line {line} lacks {missing}; it has {}", self.list())
        } else if is_configured {
            format!(
                "line {line}, which [source.format] names as the header, lacks {missing} and holds no other mapped header"
            )
        } else {
            // The likeliest row may be a person's: its cells are not quoted.
            format!("no header row: none of the first {PROBE_ROWS} rows holds {missing}, or any other mapped header")
        };
        let message =
            format!("{message}; rename the columns in the export, or have [source.columns] of the config mended");
        Broken { code: BrokenCode::HeaderMissing, line: (is_header || is_configured).then_some(line), message }
    }

    /// A missing header, or several of which one would do, with the nearest that is there.
    fn describe(&self, list: &[String], may_suggest: bool, wanted: &Wanted) -> String {
        let names: Vec<String> = list.iter().map(|name| format!("\"{}\"", cut(name))).collect();
        let nearest = list.iter().find_map(|name| self.header.nearest(name, wanted)).filter(|_| may_suggest);
        match nearest {
            Some(nearest) => format!("{} (is it \"{}\"?)", names.join(" or "), cut(nearest)),
            None => names.join(" or "),
        }
    }

    fn list(&self) -> String {
        let names = self.header.names().iter().filter(|name| !name.is_empty());
        let listed: Vec<String> = names.clone().take(LISTED).map(|name| format!("\"{}\"", cut(name))).collect();
        match names.count().saturating_sub(LISTED) {
            0 => listed.join(", "),
            more => format!("{} and {more} more", listed.join(", ")),
        }
    }
}

fn nothing_found(header_row: Option<u64>, has_row: bool) -> Broken {
    match header_row {
        Some(row) if has_row => Broken {
            code: BrokenCode::HeaderMissing,
            line: Some(row),
            message: format!("no row begins on line {row}, which [source.format] names as the header"),
        },
        Some(_) | None => Broken {
            code: BrokenCode::Empty,
            line: None,
            message: "the file holds nothing but blank lines; export it again".to_owned(),
        },
    }
}

fn cut(name: &str) -> String {
    name.chars().take(QUOTED).collect()
}

/// Whether a cell holds nothing but what may be a delimiter under another reading: `,,,` is a blank row, not a title.
fn is_ruled(cell: &str) -> bool {
    cell.split(|c: char| c == '"' || DELIMITERS.iter().any(|delimiter| c == char::from(*delimiter))).all(is_blank)
}
