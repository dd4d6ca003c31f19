//! Bad input by the thousand: the way from bytes to people under changed exports.
//!
//! Cases are the example exports with bytes flipped, cut, doubled, and pieces of other files between; they follow from a seed, which
//! is printed. `ROSTERD_SEED` repeats it, `ROSTERD_CASES` asks for more than the few of a normal test run.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by stopping")]

use std::io::Read;
use std::path::Path;

use rosterd::config::Format;
use rosterd::export::problem::Broken;
use rosterd::export::{Wanted, open, survey};

/// Cases of a normal test run: a few seconds.
const FEW_CASES: usize = 3_000;
/// Files that take longer to read in pieces say nothing more.
const LONGEST: usize = 6_000;
/// What breaks readers: ends, quotes, delimiters, marks, half characters, what a spreadsheet leaves.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"\"\"",
    b",",
    b";",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xc3",
    b"\xe2\x80",
    b"\x81",
    b"\x1a",
    b"=1+1",
    b"Employee ID,Employee ID\n",
    b"Total,12\n",
];

/// Gives as many bytes at a time as `steps` says, round and round.
struct Pieces<'a> {
    bytes: &'a [u8],
    steps: &'a [usize],
    turn: usize,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], steps: &'a [usize]) -> Self {
        Self { bytes, steps, turn: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.steps[self.turn % self.steps.len()].min(buf.len()).min(self.bytes.len());
        self.turn += 1;
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

/// What a file reads as: its rows with their lines, and its findings' lines.
type Outcome = (Vec<(u64, Vec<String>)>, Vec<u64>, u64);

fn read(bytes: &[u8], steps: &[usize], wanted: &Wanted) -> Result<Outcome, Broken> {
    let format = Format::default();
    let found = survey(Pieces::new(bytes, steps), &format)?;
    let mut reader = open(Pieces::new(bytes, steps), &found, &format, wanted)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push((row.line(), (0..row.len()).map(|at| row.cell(at).to_owned()).collect()));
    }
    let findings = reader.findings().iter().map(|finding| finding.line).collect();
    Ok((rows, findings, found.lines))
}

/// The example exports, with the header of what identifies a person in each.
fn examples() -> Vec<(Vec<u8>, Wanted)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "csv"));
    names.sort();
    let wanted = Wanted { id_headers: vec!["Employee ID".to_owned()], required: Vec::new(), optional: Vec::new() };
    names
        .iter()
        .map(|path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.truncate(LONGEST);
            (bytes, wanted.clone())
        })
        .collect()
}

fn changed(rng: &mut fastrand::Rng, examples: &[(Vec<u8>, Wanted)]) -> (Vec<u8>, Wanted) {
    let (mut bytes, wanted) = examples[rng.usize(..examples.len())].clone();
    for _ in 0..rng.usize(1..8) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..6) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + rng.usize(..200)).min(bytes.len()))),
            3 => {
                let doubled = bytes[at..(at + rng.usize(..200)).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, doubled));
            }
            4 => {
                let (other, _) = &examples[rng.usize(..examples.len())];
                let from = rng.usize(..=other.len());
                drop(bytes.splice(at..at, other[from..(from + 300).min(other.len())].iter().copied()));
            }
            _ => drop(bytes.splice(at..at, PIECES[rng.usize(..PIECES.len())].iter().copied())),
        }
    }
    (bytes, wanted)
}

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_str().unwrap().parse().unwrap())
}

#[test]
fn a_damaged_export_gives_rows_or_a_reason_with_its_line_however_it_arrives() {
    let seed = number("ROSTERD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = number("ROSTERD_CASES").map_or(FEW_CASES, |n| usize::try_from(n).unwrap());
    println!("ROSTERD_SEED={seed} ROSTERD_CASES={cases}");
    let examples = examples();
    let (mut read_well, mut refused) = (0_usize, 0_usize);
    for case in 0..cases {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(u64::try_from(case).unwrap()));
        let (bytes, wanted) = changed(&mut rng, &examples);
        let steps: Vec<usize> = (0..rng.usize(1..6)).map(|_| rng.usize(1..2_000)).collect();
        let whole = read(&bytes, &[usize::MAX], &wanted);
        let lines_in_file = u64::try_from(bytes.len()).unwrap() + 1;
        match (&whole, read(&bytes, &steps, &wanted)) {
            (Ok(one), Ok(other)) => {
                assert_eq!(*one, other, "case {case}: {steps:?}");
                let (rows, findings, lines) = one;
                assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "case {case}: lines do not grow");
                assert!(
                    rows.iter().map(|row| row.0).chain(findings.iter().copied()).all(|at| at <= *lines),
                    "case {case}"
                );
                read_well += 1;
            }
            (Err(one), Err(other)) => {
                assert_eq!((one.code, one.line, &one.message), (other.code, other.line, &other.message), "case {case}");
                assert!(one.line.is_none_or(|at| 0 < at && at <= lines_in_file), "case {case}: {one:?}");
                assert!(!one.message.is_empty() && one.message.len() < 4_000, "case {case}: {one:?}");
                refused += 1;
            }
            (one, other) => panic!("case {case}, {steps:?}: {:?} and {:?}", one.is_ok(), other.is_ok()),
        }
    }
    println!("{read_well} were read, {refused} were refused");
    // Damage that is always, or never, noticed would say that the cases are not what they are meant to be.
    assert!(0 < read_well && 0 < refused, "{read_well} were read, {refused} were refused");
}
