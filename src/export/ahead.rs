//! Reads on while rows are looked up: a thread cuts the text into lines and makes the digests by which rows are known again. Where an
//! export quotes its cells otherwise than the one before that takes as long as looking them up.
//!
//! What it finds is a help and no more. A record begins where the reader of records says; where that is not at the beginning of a line
//! found here, or where none was found, the reader does without.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::digest::RowDigest;

/// As much is read at a time.
const CHUNK: u64 = 64 * 1024;
/// Text without a line end that is longer is handed on as it is: it may be no row of an export.
const MAX_LINE: usize = 1024 * 1024;
/// Chunks that wait to be looked at.
const CHUNKS_AHEAD: usize = 4;

/// A line of the text that ends with a line feed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Where it begins.
    begin: u64,
    /// Its length, with the line feed.
    pub(super) length: usize,
    /// Whether it holds a carriage return.
    pub(super) has_returns: bool,
    pub(super) digest: LineDigest,
}

/// What the row of a line may be known by.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineDigest {
    /// By the row as it is written: it has no quotes.
    Raw(RowDigest),
    /// By its cells; none where it has to be read.
    Cells(Option<RowDigest>),
}

/// Text with the lines that begin in it.
struct Chunk {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// Whether the text ends with it.
    is_last: bool,
}

/// What was read ahead.
pub(super) struct Ahead {
    chunks: Receiver<io::Result<Chunk>>,
    is_last: bool,
    text: Vec<u8>,
    n_taken: usize,
    lines: VecDeque<Line>,
}

/// A thread that stands by.
pub(super) struct Aide<R> {
    start: SyncSender<(R, Liner)>,
    ahead: Ahead,
}

impl<R: Read> Aide<R> {
    /// With the work of its thread, which ends when this is gone, or what comes of it.
    pub(super) fn new() -> (Self, impl FnOnce() + use<R>) {
        let (start, started) = sync_channel::<(R, Liner)>(1);
        let (hand_over, chunks) = sync_channel(CHUNKS_AHEAD);
        let work = move || {
            if let Ok((input, liner)) = started.recv() {
                liner.read_all(input, &hand_over);
            }
        };
        let ahead = Ahead { chunks, is_last: false, text: Vec::new(), n_taken: 0, lines: VecDeque::new() };
        (Self { start, ahead }, work)
    }

    /// Has it read the rest of a text, which begins so many bytes into the whole.
    pub(super) fn start(self, rest: R, begin: u64, delimiter: u8) -> Ahead {
        // Without its thread there is nothing to be received either, which is an error to whoever reads.
        drop(self.start.send((rest, Liner { delimiter, begin, scratch: Vec::new() })));
        self.ahead
    }
}

impl Ahead {
    /// The line that begins so many bytes into the whole text. To be asked with rising numbers.
    pub(super) fn line_at(&mut self, begin: u64) -> Option<Line> {
        while let Some(line) = self.lines.front().filter(|line| line.begin <= begin).copied() {
            self.lines.pop_front();
            if line.begin == begin {
                return Some(line);
            }
        }
        None
    }
}

impl Read for Ahead {
    fn read(&mut self, free: &mut [u8]) -> io::Result<usize> {
        while self.n_taken == self.text.len() {
            if self.is_last {
                return Ok(0);
            }
            // A thread that broke off must not pass for the end of the text: whoever stands behind would be missing.
            let chunk = self.chunks.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            let Chunk { text, lines, is_last } = chunk?;
            (self.text, self.n_taken, self.is_last) = (text, 0, is_last);
            self.lines.extend(lines);
        }
        let n = self.text.get(self.n_taken..).unwrap_or_default().read(free)?;
        self.n_taken += n;
        Ok(n)
    }
}

/// Cuts text into lines.
pub(super) struct Liner {
    delimiter: u8,
    /// Where the text under way begins.
    begin: u64,
    scratch: Vec<u8>,
}

impl Liner {
    /// Until the text ends or nobody wants it any more.
    fn read_all(mut self, mut input: impl Read, hand_over: &SyncSender<io::Result<Chunk>>) {
        let mut text = Vec::new();
        loop {
            let n_before = text.len();
            let read = input.by_ref().take(CHUNK).read_to_end(&mut text);
            let (is_last, is_over) = (matches!(read, Ok(0)), !matches!(read, Ok(1..)));
            let fresh = text.get(n_before..).unwrap_or_default();
            let whole = match memchr::memrchr(b'\n', fresh) {
                Some(at) if !is_over => n_before + at + 1,
                Some(_) => text.len(),
                None if is_over || MAX_LINE < text.len() => text.len(),
                None => continue,
            };
            let rest = text.split_off(whole);
            let chunk = Chunk { lines: self.lines(&text), text, is_last };
            if hand_over.send(Ok(chunk)).is_err() || is_over {
                // Nobody may want to know.
                drop(read.map_err(|error| hand_over.send(Err(error))));
                return;
            }
            text = rest;
        }
    }

    fn lines(&mut self, text: &[u8]) -> Vec<Line> {
        let mut lines = Vec::with_capacity(text.len() / 64);
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            let raw = text.get(from..end).unwrap_or_default();
            let row = raw.strip_suffix(b"\r").unwrap_or(raw);
            let digest = if memchr::memchr(b'"', row).is_some() {
                LineDigest::Cells(RowDigest::of_quoted(row, self.delimiter, &mut self.scratch))
            } else {
                LineDigest::Raw(RowDigest::of_raw(row))
            };
            let has_returns = memchr::memchr(b'\r', raw).is_some();
            lines.push(Line { begin: self.begin + from as u64, length: end + 1 - from, has_returns, digest });
            from = end + 1;
        }
        self.begin += text.len() as u64;
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_broke_off_is_an_error_and_not_the_end_of_the_text() {
        let (aide, work) = Aide::<&[u8]>::new();
        drop(work);
        let broken = aide.start(b"E1,Ann\nE2,Bob\n", 0, b',').read(&mut [0; 8]).unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }
}
