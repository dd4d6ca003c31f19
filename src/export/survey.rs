//! The first pass: what the bytes are. Everything that can be known without understanding rows is settled here, once and
//! strictly, so that the second pass may decode without looking back.

use std::io::{self, ErrorKind, Read};
use std::str;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use sha2::{Digest, Sha256};

use super::problem::{Broken, BrokenCode};
use super::records::{LineCounter, unreadable};
use crate::config::Format;

/// Large enough that system calls do not show, small enough to stay in the cache.
const CHUNK: usize = 64 * 1024;

/// UTF-16 without a mark is recognised from this much of the file: the header alone decides.
const SNIFF: usize = 1024;

/// The five bytes that Windows-1252 leaves unassigned. The decoder would turn them into invisible control characters.
const UNASSIGNED_1252: [u8; 5] = [0x81, 0x8D, 0x8F, 0x90, 0x9D];

/// Bytes that are looked at together.
const BLOCK: usize = 128;

/// In UTF-8, bytes from here on begin a character of several bytes.
const LEAD: u8 = 0xC0;

/// First bytes of files that get dropped in place of a text export, and what to call them.
const KNOWN_BINARIES: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or a ZIP archive"),
    (b"\xD0\xCF\x11\xE0", "an old Excel workbook (.xls)"),
    (b"%PDF-", "a PDF"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"-----BEGIN PGP", "encrypted with PGP"),
    (b"{\\rtf", "a rich text document"),
];

/// What the first pass found out about a file that is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Size in bytes.
    pub bytes: u64,
    /// Physical lines, as an editor counts them.
    pub lines: u64,
    /// How the bytes are to be read. All of them are valid in it.
    pub encoding: &'static Encoding,
    /// Length in bytes of the byte-order mark; 0 without one.
    pub mark: u64,
    /// Nothing named the encoding and the bytes are not UTF-8, so they are taken for Windows-1252.
    pub encoding_guessed: bool,
    /// The first line with a character outside ASCII: where a wrong guess would show.
    pub foreign_line: Option<u64>,
    /// Whether the last line is ended.
    pub ends_with_newline: bool,
}

/// Reads all bytes once: size, lines, encoding. Memory is constant.
///
/// A byte-order mark wins over `format.encoding`, which wins over looking. Without both, UTF-16 shows by its NULs, UTF-8 by
/// being valid, and the rest is taken for Windows-1252 and flagged.
///
/// # Errors
/// [`Broken`] with `Empty`, `Undecodable` (binary, NUL, bytes the encoding lacks), `CutShort` (the file ends inside a
/// character) or `Unreadable`.
pub fn survey(mut input: impl Read, format: &Format) -> Result<Survey, Broken> {
    let mut buf = vec![0; CHUNK];
    let mut end = fill(&mut input, &mut buf)?;
    let head = buf.get(..end).unwrap_or_default();
    refuse_binary(head)?;
    let (mut checker, mark) = Checker::for_head(head, format.encoding);
    let mut bytes = 0_u64;
    let mut begin = mark;
    let mut carried = 0;
    loop {
        let is_last = end < buf.len();
        let fresh = buf.get(carried..end).unwrap_or_default();
        bytes += fresh.len() as u64;
        begin += checker.take(buf.get(begin..end).unwrap_or_default(), is_last)?;
        if is_last {
            break;
        }
        // A character that is cut by the end of the chunk moves to the front.
        buf.copy_within(begin..end, 0);
        carried = end - begin;
        begin = 0;
        end = carried + fill(&mut input, buf.get_mut(carried..).unwrap_or_default())?;
    }
    let (encoding, encoding_guessed) = checker.verdict()?;
    let seen = &checker.seen;
    Ok(Survey {
        bytes,
        lines: if seen.ends_with_newline { seen.lines.breaks() } else { seen.lines.line() },
        encoding,
        mark: mark as u64,
        encoding_guessed,
        foreign_line: seen.foreign,
        ends_with_newline: seen.ends_with_newline,
    })
}

/// [`survey`] and [`sha256`] in one pass.
///
/// # Errors
/// Those of [`survey`].
pub fn survey_and_hash(input: impl Read, format: &Format) -> Result<(Survey, String), Broken> {
    let mut input = Hashed::new(input);
    let survey = survey(&mut input, format)?;
    Ok((survey, input.hexadecimal()))
}

/// The SHA-256 of all bytes, in lower-case hexadecimal: what an export is recognised by.
///
/// # Errors
/// [`Broken`] with `Unreadable`.
pub fn sha256(input: impl Read) -> Result<String, Broken> {
    let mut input = Hashed::new(input);
    let mut buf = vec![0; CHUNK];
    while fill(&mut input, &mut buf)? == buf.len() {}
    Ok(input.hexadecimal())
}

/// Hashes what is read of it.
struct Hashed<R> {
    input: R,
    hash: Sha256,
}

impl<R> Hashed<R> {
    fn new(input: R) -> Self {
        Self { input, hash: Sha256::new() }
    }

    fn hexadecimal(self) -> String {
        format!("{:x}", self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.input.read(buf)?;
        self.hash.update(buf.get(..n_bytes).unwrap_or_default());
        Ok(n_bytes)
    }
}

/// Reads until the buffer is full or the input ends; less than full means the end.
fn fill(input: &mut impl Read, buf: &mut [u8]) -> Result<usize, Broken> {
    let mut end = 0;
    while let Some(free) = buf.get_mut(end..).filter(|free| !free.is_empty()) {
        match input.read(free) {
            Ok(0) => break,
            Ok(n) => end += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(end)
}

fn refuse_binary(head: &[u8]) -> Result<(), Broken> {
    KNOWN_BINARIES.iter().find(|(magic, _)| head.starts_with(magic)).map_or(Ok(()), |(_, what)| {
        Err(Broken {
            code: BrokenCode::Undecodable,
            line: None,
            message: format!("this file is {what}, not a text export; export it as CSV and drop that"),
        })
    })
}

/// Which way the bytes are checked.
enum Check {
    /// UTF-8 was named, by a mark or by the config.
    Utf8,
    /// UTF-8 if it is valid, else Windows-1252.
    Utf8OrWindows1252,
    /// Windows-1252 was named.
    Windows1252,
    /// Everything else goes through a strict decoder.
    Decoder(Box<Decoder>, Vec<u8>),
}

/// The running state of the first pass.
struct Checker {
    check: Check,
    seen: Seen,
    /// Places that are not UTF-8.
    invalid: u64,
    /// Bytes in them that look like the beginning of a character.
    invalid_leads: u64,
    /// The line of the first of them, and whether the file just ends there.
    first_invalid: Option<(u64, bool)>,
}

impl Checker {
    /// Decides how to check from the first bytes and the config; with the length of the byte-order mark.
    fn for_head(head: &[u8], configured: Option<&'static Encoding>) -> (Self, usize) {
        let (encoding, mark) = match Encoding::for_bom(head) {
            Some((encoding, mark)) => (Some(encoding), mark),
            None => (configured.or_else(|| unmarked_utf16(head)), 0),
        };
        let check = match encoding {
            None => Check::Utf8OrWindows1252,
            Some(encoding) if encoding == UTF_8 => Check::Utf8,
            Some(encoding) if encoding == WINDOWS_1252 => Check::Windows1252,
            Some(encoding) => Check::Decoder(Box::new(encoding.new_decoder_without_bom_handling()), vec![0; CHUNK]),
        };
        (Self { check, seen: Seen::default(), invalid: 0, invalid_leads: 0, first_invalid: None }, mark)
    }

    /// Checks a chunk; says how many bytes of it are done with. The rest is to come again in front of the next chunk.
    fn take(&mut self, chunk: &[u8], is_last: bool) -> Result<usize, Broken> {
        match &mut self.check {
            Check::Utf8 | Check::Utf8OrWindows1252 => self.take_utf8(chunk, is_last),
            Check::Windows1252 => {
                self.seen.see(chunk)?;
                self.seen.unassigned.map_or(Ok(chunk.len()), |line| Err(undecodable(line, "windows-1252")))
            }
            Check::Decoder(decoder, scratch) => {
                self.seen.decode(decoder, scratch, chunk, is_last)?;
                Ok(chunk.len())
            }
        }
    }

    fn take_utf8(&mut self, chunk: &[u8], is_last: bool) -> Result<usize, Broken> {
        if str::from_utf8(chunk).is_ok() {
            self.seen.see(chunk)?;
            return Ok(chunk.len());
        }
        let mut pieces = chunk.utf8_chunks().peekable();
        while let Some(piece) = pieces.next() {
            self.seen.see(piece.valid().as_bytes())?;
            let invalid = piece.invalid();
            let is_unfinished =
                pieces.peek().is_none() && str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_unfinished && !is_last {
                return Ok(chunk.len() - invalid.len());
            }
            if !invalid.is_empty() {
                self.not_utf8(invalid, is_unfinished)?;
            }
        }
        Ok(chunk.len())
    }

    /// Notes bytes that are no UTF-8; ends the pass where UTF-8 was named.
    fn not_utf8(&mut self, invalid: &[u8], is_unfinished: bool) -> Result<(), Broken> {
        let line = self.seen.lines.line();
        if matches!(self.check, Check::Utf8) {
            return Err(not_utf8(line, is_unfinished));
        }
        self.invalid += 1;
        self.invalid_leads += invalid.iter().filter(|byte| **byte >= LEAD).count() as u64;
        self.first_invalid.get_or_insert((line, is_unfinished));
        self.seen.see(invalid)
    }

    /// The encoding, and whether it was guessed.
    fn verdict(&self) -> Result<(&'static Encoding, bool), Broken> {
        if !self.seen.has_text {
            return Err(Broken {
                code: BrokenCode::Empty,
                line: None,
                message: "the file is empty; export it again".to_owned(),
            });
        }
        let (line, is_unfinished) = match (&self.check, self.first_invalid) {
            (Check::Windows1252, _) => return Ok((WINDOWS_1252, false)),
            (Check::Decoder(decoder, _), _) => return Ok((decoder.encoding(), false)),
            (Check::Utf8 | Check::Utf8OrWindows1252, None) => return Ok((UTF_8, false)),
            (Check::Utf8 | Check::Utf8OrWindows1252, Some(first)) => first,
        };
        // Accented letters of Windows-1252 hardly ever make valid UTF-8 by chance. Where most of them do, the file is UTF-8
        // and damaged, and reading it as something else would spoil every name in it.
        if self.seen.leads - self.invalid_leads >= self.invalid {
            return Err(not_utf8(line, is_unfinished));
        }
        match self.seen.unassigned {
            Some(line) => Err(undecodable(line, "UTF-8 or Windows-1252")),
            None => Ok((WINDOWS_1252, true)),
        }
    }
}

/// What the text turned out to hold. Lines are counted in decoded text.
#[derive(Default)]
struct Seen {
    lines: LineCounter,
    foreign: Option<u64>,
    /// Bytes that begin a character of several bytes, if this is UTF-8.
    leads: u64,
    /// The first line with a byte that Windows-1252 lacks.
    unassigned: Option<u64>,
    has_text: bool,
    ends_with_newline: bool,
}

/// What bytes hold, without where.
#[derive(Default)]
struct Content {
    has_nul: bool,
    has_returns: bool,
    has_unassigned: bool,
    /// Every bit that any of the bytes has.
    bits: u8,
    line_feeds: u64,
    leads: u64,
}

impl Content {
    /// All of it in one pass, which runs over every byte of every export: in blocks of one size, whose loops the compiler turns into vector
    /// instructions.
    fn of(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            content.add(block);
        }
        content.add(rest);
        content
    }

    /// At most [`BLOCK`] bytes: a byte counts them.
    #[inline]
    fn add(&mut self, block: &[u8]) {
        let (mut nul, mut returns, mut bits, mut line_feeds) = (0, 0, 0, 0);
        for byte in block {
            nul |= u8::from(*byte == 0);
            returns |= u8::from(*byte == b'\r');
            line_feeds += u8::from(*byte == b'\n');
            bits |= *byte;
        }
        self.has_nul |= nul != 0;
        self.has_returns |= returns != 0;
        self.line_feeds += u64::from(line_feeds);
        self.bits |= bits;
        if !bits.is_ascii() {
            self.leads += u64::from(block.iter().map(|byte| u8::from(*byte >= LEAD)).sum::<u8>());
            // Counted: a search that ends at what it finds is none for vectors.
            let is_unassigned = |byte: &u8| UNASSIGNED_1252.iter().map(|one| u8::from(one == byte)).sum::<u8>();
            self.has_unassigned |= block.iter().map(is_unassigned).sum::<u8>() != 0;
        }
    }
}

impl Seen {
    fn see(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Some(last) = bytes.last() else { return Ok(()) };
        let content = Content::of(bytes);
        let lines = self.lines;
        let line_of = |is_it: fn(&u8) -> bool| bytes.iter().position(is_it).map(|at| line_at(lines, bytes, at));
        if content.has_nul {
            let line = line_of(|byte| *byte == 0).unwrap_or_default();
            return Err(Broken {
                code: BrokenCode::Undecodable,
                line: Some(line),
                message: format!(
                    "line {line} holds a NUL byte: this is not a text file, or its upload did not finish; export it again"
                ),
            });
        }
        self.leads += content.leads;
        if !content.bits.is_ascii() && self.foreign.is_none() {
            self.foreign = line_of(|byte| !byte.is_ascii());
        }
        if content.has_unassigned && self.unassigned.is_none() {
            self.unassigned = line_of(|byte| UNASSIGNED_1252.contains(byte));
        }
        self.has_text = self.has_text || bytes.iter().any(|byte| *byte > b' ');
        self.lines.push_counted(bytes, content.line_feeds, content.has_returns);
        self.ends_with_newline = matches!(last, b'\n' | b'\r');
        Ok(())
    }

    /// Decodes a chunk and sees what comes out.
    fn decode(&mut self, decoder: &mut Decoder, scratch: &mut [u8], chunk: &[u8], is_last: bool) -> Result<(), Broken> {
        let mut rest = chunk;
        loop {
            let (result, n_read, n_written) = decoder.decode_to_utf8_without_replacement(rest, scratch, is_last);
            rest = rest.get(n_read..).unwrap_or_default();
            self.see(scratch.get(..n_written).unwrap_or_default())?;
            match result {
                DecoderResult::OutputFull => {}
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::Malformed(..) if is_last && rest.is_empty() => {
                    return Err(cut_in_character(self.lines.line()));
                }
                DecoderResult::Malformed(..) => {
                    return Err(undecodable(self.lines.line(), decoder.encoding().name()));
                }
            }
        }
    }
}

/// The line of the byte `at` a place, behind so many lines.
fn line_at(mut lines: LineCounter, bytes: &[u8], at: usize) -> u64 {
    lines.push(bytes.get(..at).unwrap_or_default());
    lines.line()
}

/// UTF-16 without a mark: text of Western letters has a NUL in every other byte, always on the same side.
fn unmarked_utf16(head: &[u8]) -> Option<&'static Encoding> {
    let pairs = head.get(..SNIFF).unwrap_or(head).chunks_exact(2);
    let n_pairs = pairs.len();
    let (mut first, mut second) = (0_usize, 0_usize);
    for pair in pairs {
        first += usize::from(pair.first() == Some(&0));
        second += usize::from(pair.last() == Some(&0));
    }
    // Three quarters: names in other scripts may stand in a title row, the header words are Western.
    let is_most = |n: usize| n >= 2 && n * 4 >= n_pairs * 3;
    match (first, second) {
        (0, second) if is_most(second) => Some(UTF_16LE),
        (first, 0) if is_most(first) => Some(UTF_16BE),
        _ => None,
    }
}

fn undecodable(line: u64, encoding: &str) -> Broken {
    Broken {
        code: BrokenCode::Undecodable,
        line: Some(line),
        message: format!(
            "line {line} holds bytes that {encoding} does not have; export the file as UTF-8, or name its encoding in \
             [source.format]"
        ),
    }
}

fn not_utf8(line: u64, is_unfinished: bool) -> Broken {
    if is_unfinished { cut_in_character(line) } else { undecodable(line, "UTF-8") }
}

fn cut_in_character(line: u64) -> Broken {
    Broken {
        code: BrokenCode::CutShort,
        line: Some(line),
        message: format!(
            "the file ends in the middle of a character on line {line}: the upload did not finish; drop it again"
        ),
    }
}
