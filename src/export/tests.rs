//! The room as its neighbours use it: bytes in, rows with lines or a reason out.

use std::io::Read;
use std::path::PathBuf;

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use proptest::prelude::*;

use super::problem::{Broken, BrokenCode, Code, Problem};
use super::*;
use crate::config::Format;

fn wanted() -> Wanted {
    Wanted {
        id_headers: vec!["Employee ID".to_owned()],
        required: vec![vec!["First Name".to_owned()], vec!["Birth Date".to_owned()]],
        optional: vec!["City".to_owned()],
    }
}

/// Gives a few bytes at a time, as a slow disk does.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.step.min(buf.len()).min(self.bytes.len());
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

#[derive(Debug)]
struct Outcome {
    survey: Survey,
    header: Header,
    rows: Vec<(u64, Vec<String>)>,
    long: Vec<u64>,
    findings: Vec<Problem>,
}

impl Outcome {
    fn lines(&self) -> Vec<u64> {
        self.rows.iter().map(|(line, _)| *line).collect()
    }

    fn found(&self) -> Vec<(u64, Code)> {
        self.findings.iter().map(|problem| (problem.line, problem.code)).collect()
    }
}

fn read_stepwise(bytes: &[u8], step: usize, format: &Format, wanted: &Wanted) -> Result<Outcome, Broken> {
    let survey = survey(Trickle { bytes, step }, format)?;
    let mut reader = open(Trickle { bytes, step }, &survey, format, wanted)?;
    let (mut rows, mut long) = (Vec::new(), Vec::new());
    while let Some(row) = reader.next_row()? {
        rows.push((row.line(), (0..row.len()).map(|i| row.cell(i).to_owned()).collect()));
        if row.is_long() {
            long.push(row.line());
        }
    }
    assert_eq!(reader.n_rows(), rows.len() as u64);
    Ok(Outcome { header: reader.header().clone(), findings: reader.findings(), survey, rows, long })
}

fn read_as(bytes: &[u8], format: &Format) -> Result<Outcome, Broken> {
    read_stepwise(bytes, usize::MAX, format, &wanted())
}

fn read(text: impl AsRef<[u8]>) -> Outcome {
    read_as(text.as_ref(), &Format::default()).unwrap()
}

fn broken(text: impl AsRef<[u8]>) -> Broken {
    read_as(text.as_ref(), &Format::default()).unwrap_err()
}

fn verdict(text: impl AsRef<[u8]>) -> (BrokenCode, Option<u64>) {
    let broken = broken(text);
    (broken.code, broken.line)
}

fn utf16(text: &str, is_little: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

const HEADER: &str = "Employee ID,First Name,Birth Date,City\n";
const PLAIN: &str = "Employee ID,First Name,Birth Date,City\n0001,Ada,01/02/1990,Denver\n0002,Zoé,03/04/1991,Boston\n";

fn assert_plain(outcome: &Outcome) {
    let cells: Vec<Vec<&str>> = outcome.rows.iter().map(|(_, row)| row.iter().map(String::as_str).collect()).collect();
    assert_eq!(cells, [["0001", "Ada", "01/02/1990", "Denver"], ["0002", "Zoé", "03/04/1991", "Boston"]]);
    assert_eq!(outcome.header.names(), ["Employee ID", "First Name", "Birth Date", "City"]);
}

// === encodings ===

#[test]
fn every_encoding_gives_the_same_rows_and_lines() {
    let marked = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
    let windows = WINDOWS_1252.encode(PLAIN).0.into_owned();
    for (name, bytes, encoding, is_guessed) in [
        ("utf-8", PLAIN.as_bytes().to_vec(), UTF_8, false),
        ("utf-8 with mark", marked(b"\xEF\xBB\xBF", PLAIN.into()), UTF_8, false),
        ("utf-16le with mark", marked(b"\xFF\xFE", utf16(PLAIN, true)), UTF_16LE, false),
        ("utf-16be with mark", marked(b"\xFE\xFF", utf16(PLAIN, false)), UTF_16BE, false),
        ("utf-16le without", utf16(PLAIN, true), UTF_16LE, false),
        ("utf-16be without", utf16(PLAIN, false), UTF_16BE, false),
        ("windows-1252", windows, WINDOWS_1252, true),
    ] {
        let outcome = read_stepwise(&bytes, 3, &Format::default(), &wanted()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_plain(&outcome);
        assert_eq!(outcome.lines(), [2, 3], "{name}");
        assert_eq!((outcome.survey.encoding, outcome.survey.encoding_guessed), (encoding, is_guessed), "{name}");
        assert_eq!(outcome.survey.bytes, bytes.len() as u64, "{name}");
        assert_eq!((outcome.survey.lines, outcome.survey.foreign_line), (3, Some(3)), "{name}");
        let expected: &[(u64, Code)] = if is_guessed { &[(3, Code::EncodingGuessed)] } else { &[] };
        assert_eq!(outcome.found(), expected, "{name}");
    }
}

#[test]
fn characters_and_line_ends_may_fall_on_any_boundary_of_a_long_file() {
    for pad in 0..4 {
        let rows = (0..8000).map(|n| format!("{n},Zoé,\"a\r\nü\",x\r\n")).collect::<Vec<_>>().concat();
        let text = format!("{}\r\n{}\r\n{rows}", "t".repeat(pad), HEADER.trim());
        for bytes in [
            text.clone().into_bytes(),
            utf16(&format!("\u{FEFF}{text}"), true),
            WINDOWS_1252.encode(&text).0.into_owned(),
        ] {
            let outcome = read(&bytes);
            assert!(outcome.lines().into_iter().eq((0..8000).map(|n| 3 + 2 * n)));
            assert!(outcome.rows.iter().all(|(_, row)| row[1] == "Zoé" && row[2] == "a\r\nü"));
            assert_eq!(outcome.survey.lines, 16_002);
        }
    }
}

#[test]
fn the_hash_is_that_of_all_bytes() {
    assert_eq!(sha256("abc".as_bytes()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let (text, format) = (PLAIN.repeat(10_000), Format::default());
    let both = survey_and_hash(text.as_bytes(), &format).unwrap();
    assert_eq!(both, (survey(text.as_bytes(), &format).unwrap(), sha256(text.as_bytes()).unwrap()));
}

#[test]
fn a_configured_encoding_is_used_without_guessing_and_a_mark_overrules_it() {
    let format = Format { encoding: Some(encoding_rs::ISO_8859_2), ..Format::default() };
    let bytes = encoding_rs::ISO_8859_2.encode(&PLAIN.replace("Zoé", "Łucja")).0.into_owned();
    assert_eq!(read_as(&bytes, &format).unwrap().rows[1].1[1], "Łucja");
    assert_plain(&read_as(format!("\u{FEFF}{PLAIN}").as_bytes(), &format).unwrap());
}

#[test]
fn bytes_that_the_encoding_lacks_are_refused_with_their_line() {
    let line_3 = |text: &[u8]| [HEADER.as_bytes(), b"1,Ada,x,y\n", text, b",x,y\n3,Bo,x,y\n"].concat();
    let utf8 = Format { encoding: Some(UTF_8), ..Format::default() };
    let windows = Format { encoding: Some(WINDOWS_1252), ..Format::default() };
    let shift_jis = Format { encoding: Some(encoding_rs::SHIFT_JIS), ..Format::default() };
    for (name, bytes, format) in [
        ("utf-8 by config", line_3(b"2,Zo\xE9"), &utf8),
        ("utf-8 by mark", [b"\xEF\xBB\xBF", &line_3(b"2,Zo\xE9")[..]].concat(), &Format::default()),
        ("not even windows-1252", line_3(b"2,Zo\x8F"), &Format::default()),
        ("windows-1252 by config", line_3(b"2,Zo\x8F"), &windows),
        ("shift-jis", line_3(b"2,Zo\xFF"), &shift_jis),
        (
            "utf-16",
            [b"\xFF\xFE", &utf16("Employee ID\n1\n", true)[..], b"\x00\xDC", &utf16("\n2\n", true)[..]].concat(),
            &utf8,
        ),
        ("a NUL", line_3(b"2,Zo\0"), &Format::default()),
    ] {
        let broken = read_as(&bytes, format).unwrap_err();
        assert_eq!((broken.code, broken.line), (BrokenCode::Undecodable, Some(3)), "{name}: {broken}");
    }
}

#[test]
fn a_damaged_utf8_file_is_not_taken_for_windows_1252() {
    let mut bytes = format!("{HEADER}1,Zoé,x,y\n2,Jörg,x,y\n3,Ren").into_bytes();
    bytes.extend(b"\xE9,x,y\n");
    assert_eq!(verdict(&bytes), (BrokenCode::Undecodable, Some(4)));
}

#[test]
fn a_file_that_ends_inside_a_character_is_cut_short() {
    let whole = format!("{HEADER}1,Zoé,x,y\n2,Zoé");
    assert_eq!(verdict(&whole.as_bytes()[..whole.len() - 1]), (BrokenCode::CutShort, Some(3)));
    let whole = [b"\xFF\xFE", &utf16(PLAIN, true)[..]].concat();
    assert_eq!(verdict(&whole[..whole.len() - 3]).0, BrokenCode::CutShort);
}

#[test]
fn workbooks_and_archives_are_named_for_what_they_are() {
    let broken = broken(b"PK\x03\x04\x14\0\x06\0");
    assert_eq!(broken.code, BrokenCode::Undecodable);
    assert!(broken.message.contains("Excel workbook"), "{broken}");
}

// === nothing in it ===

#[test]
fn empty_files_and_headers_without_rows_are_refused() {
    for empty in ["", "\u{FEFF}", "\n\n", "   \r\n\t\n", ",,,\n,,,\n"] {
        assert_eq!(verdict(empty).0, BrokenCode::Empty, "{empty:?}");
    }
    for header_only in [HEADER.to_owned(), HEADER.trim().to_owned(), format!("{HEADER}\n,,,\nTotal: 0,,,\n")] {
        assert_eq!(verdict(&header_only), (BrokenCode::HeaderOnly, Some(1)), "{header_only:?}");
    }
}

#[test]
fn a_broken_file_stays_broken_when_asked_again() {
    let survey = survey(HEADER.as_bytes(), &Format::default()).unwrap();
    let mut reader = open(HEADER.as_bytes(), &survey, &Format::default(), &wanted()).unwrap();
    let first = reader.next_row().unwrap_err();
    assert_eq!(reader.next_row().unwrap_err(), first);
}

// === delimiter ===

#[test]
fn the_delimiter_is_the_one_that_the_header_has() {
    for delimiter in [",", ";", "\t", "|"] {
        assert_plain(&read(PLAIN.replace(',', delimiter)));
    }
    // Commas inside cells do not mislead.
    let outcome = read("Employee ID;First Name;Birth Date;City\n1;a, b, c, d, e;x;y\n");
    assert_eq!(outcome.rows[0].1, ["1", "a, b, c, d, e", "x", "y"]);
}

#[test]
fn an_excel_sep_line_is_honoured_and_counts_as_a_line() {
    for sep in ["sep=;\n", "SEP=;\r\n", "\"sep=;\"\r"] {
        let outcome = read(format!("{sep}{}", PLAIN.replace(',', ";")));
        assert_plain(&outcome);
        assert_eq!((outcome.header.line(), outcome.lines()), (2, vec![3, 4]), "{sep:?}");
    }
}

#[test]
fn a_configured_delimiter_is_the_only_one_tried() {
    let format = Format { delimiter: Some(b'~'), ..Format::default() };
    assert_plain(&read_as(PLAIN.replace(',', "~").as_bytes(), &format).unwrap());
    assert_eq!(read_as(PLAIN.as_bytes(), &format).unwrap_err().code, BrokenCode::HeaderMissing);
}

// === header ===

#[test]
fn title_rows_above_the_header_are_skipped_and_reported_once() {
    let outcome = read(format!("Employee Census - as of 11/14/2025\n\n\"a\ntitle\"\n\n{PLAIN}"));
    assert_plain(&outcome);
    assert_eq!((outcome.header.line(), outcome.lines()), (6, vec![7, 8]));
    assert_eq!(outcome.found(), [(1, Code::SkippedRow)]);
    assert!(outcome.findings[0].message.contains("2 rows above the header on line 6"));
}

#[test]
fn headers_match_whatever_their_blanks_case_width_and_folder() {
    let header = "\"EMPLOYEE\u{A0}id \",\"First\nName\",Ｂｉｒｔｈ Date (Personal Profile),Salary (Annual),\n";
    let outcome = read(format!("{header}1,Ada,x,y,\n"));
    assert_eq!(
        outcome.header.names(),
        ["EMPLOYEE id", "First Name", "Ｂｉｒｔｈ Date (Personal Profile)", "Salary (Annual)", ""]
    );
    let index = |name| outcome.header.index_of(name);
    assert_eq!((index("Employee ID"), index("first  name"), index("Birth Date")), (Some(0), Some(1), Some(2)));
    // Only folders are left off: another bracket says that another thing is meant.
    assert_eq!((index("Salary"), index("")), (None, None));
    assert_eq!(outcome.lines(), [3]);
    assert_eq!(outcome.found(), []);
}

#[test]
fn a_name_without_folder_is_preferred_to_one_with() {
    let header = Header::new(vec!["Birth Date (Personal Profile)".into(), "Birth Date".into()], 1);
    assert_eq!(header.index_of("Birth Date"), Some(1));
}

#[test]
fn a_missing_header_is_named_with_the_nearest_and_what_is_there() {
    let broken = broken("Report\nEmployee ID,First Nmae,DOB\n1,Ada,01/02/1990\n");
    assert_eq!((broken.code, broken.line), (BrokenCode::HeaderMissing, Some(2)));
    assert_eq!(
        broken.message,
        "the header on line 2 lacks \"First Name\" (is it \"First Nmae\"?), \"Birth Date\"; it has \"Employee ID\", \
         \"First Nmae\", \"DOB\"; rename the columns in the export, or have [source.columns] of the config mended"
    );
}

#[test]
fn a_file_without_a_header_does_not_have_its_people_quoted() {
    let broken = broken("0001,Ada,01/02/1990,Denver\n0002,Zoé,03/04/1991,Boston\n");
    assert_eq!((broken.code, broken.line), (BrokenCode::HeaderMissing, None));
    for cell in ["Ada", "Zoé", "1990", "Denver", "0001"] {
        assert!(!broken.message.contains(cell), "{broken}");
    }
    assert!(broken.message.contains("\"Employee ID\""), "{broken}");
}

#[test]
fn any_header_of_a_list_will_do() {
    let wanted = Wanted { required: vec![vec!["E-mail".into(), "First Name".into()]], ..wanted() };
    assert_eq!(read_stepwise(PLAIN.as_bytes(), 7, &Format::default(), &wanted).unwrap().rows.len(), 2);
}

#[test]
fn a_wanted_header_twice_is_refused_and_another_is_not() {
    let twice = broken("Employee ID,First Name,Birth Date,CITY,city\n1,a,b,c,d\n");
    assert_eq!((twice.code, twice.line), (BrokenCode::HeaderTwice, Some(1)));
    assert!(twice.message.contains("columns 4 and 5"), "{twice}");
    let folders = "Employee ID,First Name,Birth Date (Personal Profile),Birth Date (Work Profile)\n1,a,b,c\n";
    assert_eq!(verdict(folders).0, BrokenCode::HeaderTwice);
    assert_eq!(read("Employee ID,First Name,Birth Date,Note,Note\n1,a,b,c,d\n").rows.len(), 1);
}

#[test]
fn a_configured_header_row_is_believed_or_refused() {
    let text = format!("{HEADER}SAP,labels,of,columns\n\nEmployee ID,First Name,Birth Date,City\n1,Ada,x,y\n");
    let at = |row| read_as(text.as_bytes(), &Format { header_row: Some(row), ..Format::default() });
    assert_eq!(at(4).unwrap().lines(), [5]);
    for row in [2, 3, 99] {
        let broken = at(row).unwrap_err();
        assert_eq!((broken.code, broken.line), (BrokenCode::HeaderMissing, Some(row)), "{broken}");
        assert!(!broken.message.contains("SAP"), "{broken}");
    }
}

#[test]
fn a_repeated_header_is_skipped_and_a_different_one_refused() {
    let outcome = read(format!("{PLAIN}{HEADER}3,Bo,x,y\n"));
    assert_eq!((outcome.lines(), outcome.found()), (vec![2, 3, 5], vec![(4, Code::SkippedRow)]));
    let blanks = HEADER.replace(' ', "\u{A0}");
    assert_eq!(read(format!("{blanks}1,a,b,c\n{blanks}")).lines(), [2]);
    let joined = format!("{PLAIN}Employee ID,Birth Date,First Name,City\n3,x,Bo,y\n");
    assert_eq!(verdict(&joined), (BrokenCode::HeaderTwice, Some(4)));
    let shifted = format!("{PLAIN}First Name,Employee ID,Birth Date,City\nBo,3,x,y\n");
    assert_eq!(verdict(&shifted), (BrokenCode::HeaderTwice, Some(4)));
}

// === rows ===

#[test]
fn blank_rows_are_passed_over_in_silence_and_counted_as_lines() {
    let outcome = read(format!("\n\n{HEADER}\n1,a,b,c\n,,,\n\u{A0} ,\t,,\n\n2,a,b,c\n\n,,,\n"));
    assert_eq!((outcome.lines(), outcome.found()), (vec![5, 9], vec![]));
}

#[test]
fn every_kind_of_line_end_counts_as_in_an_editor() {
    let text = "Employee ID,First Name,Birth Date,City\n1,\"a\nb\",x,y\n\n2,c,x,y\n";
    for end in ["\n", "\r\n", "\r"] {
        let outcome = read_stepwise(text.replace('\n', end).as_bytes(), 1, &Format::default(), &wanted()).unwrap();
        assert_eq!(outcome.lines(), [2, 5], "{end:?}");
        assert_eq!(outcome.rows[0].1[1], format!("a{end}b"));
        assert_eq!(outcome.survey.lines, 5, "{end:?}");
    }
}

#[test]
fn totals_and_notes_are_skipped_with_their_line() {
    for note in [
        "Total Employees: 200",
        "Total,,,",
        "Total,,,2",
        ",,,2",
        "\"Report generated 2025-11-14, page 1\"",
        "Report generated 2025-11-14, page 1",
        "Confidential",
        "*** end of file ***",
    ] {
        let outcome = read(format!("{PLAIN}{note}\n"));
        assert_plain(&outcome);
        assert_eq!(outcome.found(), [(4, Code::SkippedRow)], "{note}");
    }
}

#[test]
fn a_row_that_may_be_a_person_is_never_skipped() {
    for row in [
        "0003",
        "ABCDEF",
        "0003,,,",
        ",Ada,01/02/1990,",
        "3,Total,,",
        "EMP 7,Ada,,",
        "N/A,Ada,1990,",
        "Total,Ada,1990,Denver",
    ] {
        let outcome = read(format!("{PLAIN}{row}\n"));
        assert_eq!(outcome.lines(), [2, 3, 4], "{row}");
    }
}

#[test]
fn short_rows_are_filled_up_and_a_thousand_of_them_are_a_few_findings() {
    let outcome = read(format!("{PLAIN}{}", "7,Ada\n".repeat(1000)));
    assert_eq!(outcome.rows.len(), 1002);
    assert_eq!(outcome.found(), [4, 5, 6, 7].map(|line| (line, Code::ShortRow)));
    assert!(outcome.findings[0].message.contains("2 cells, the header 4"), "{:?}", outcome.findings[0]);
    assert!(outcome.findings[3].message.starts_with("997 more rows"), "{:?}", outcome.findings[3]);
    assert!(outcome.findings[3].message.contains("lines 7 to 1003"), "{:?}", outcome.findings[3]);
}

#[test]
fn a_row_knows_whether_it_is_short_or_long_and_keeps_quiet_about_its_cells() {
    let record = Record::from_iter(["7", "Ada"]);
    let row = Row::new(9, &record, 3);
    assert!(row.is_short() && !row.is_long());
    assert_eq!((row.cell(1), row.cell(2), row.len()), ("Ada", "", 2));
    assert!(Row::new(9, &record, 1).is_long());
    assert!(!format!("{row:?}").contains("Ada"));
}

#[test]
fn long_rows_are_flagged_unless_only_delimiters_trail() {
    let outcome = read(format!("{HEADER}1,Ada,x,y\n2,Ada,x,y,\n3,Ada,x,Main St, Apt 4\n"));
    assert_eq!((outcome.long.clone(), outcome.rows.len()), (vec![4], 3));
}

#[test]
fn a_trailing_delimiter_in_the_header_makes_no_row_short_or_long() {
    let outcome = read(format!("{},\n1,Ada,x,y\n2,Ada,x,y,z\n", HEADER.trim()));
    assert_eq!((outcome.long.len(), outcome.found()), (0, vec![]));
}

#[test]
fn a_stray_quote_is_accepted_and_reported_at_its_column() {
    let outcome = read(format!("{HEADER}1,\"Al\" Ada,x,y\n2,12\" pipe,x,y\n"));
    assert_eq!((outcome.rows[0].1[1].as_str(), outcome.rows[1].1[1].as_str()), ("Al Ada", "12\" pipe"));
    assert_eq!(outcome.found(), [(2, Code::Cleaned)]);
    assert_eq!(outcome.findings[0].column.as_deref(), Some("First Name"));
}

// === quotes and ends ===

#[test]
fn an_unclosed_quote_is_refused_with_the_line_where_it_opened() {
    let tail = "7,Ada,x,y\n".repeat(40);
    assert_eq!(verdict(format!("{PLAIN}3,\"Ada,x,y\n{tail}")), (BrokenCode::UnclosedQuote, Some(4)));
    // Closed by a quote far below.
    let closed = format!("{PLAIN}3,\"a\nb\",\"x,y\n{tail}99,\"Ada\",x,y\n{tail}");
    assert_eq!(verdict(&closed), (BrokenCode::UnclosedQuote, Some(5)));
    // Where every cell is quoted, the next row closes it.
    let quoted = format!("{PLAIN}\"3\",\"Ada,\"x\",\"y\"\n\"4\",\"Bo\",\"x\",\"y\n\"5\",\"Cy\",\"x\",\"y\"\n");
    assert_eq!(verdict(&quoted), (BrokenCode::UnclosedQuote, Some(5)));
}

#[test]
fn a_quote_unclosed_above_the_header_is_what_is_refused() {
    let tail = "7,Ada,x,y\n".repeat(40);
    assert_eq!(verdict(format!("\"Census\n{PLAIN}{tail}")), (BrokenCode::UnclosedQuote, Some(1)));
}

#[test]
fn a_cell_with_more_lines_or_letters_than_any_text_has_is_an_unclosed_quote() {
    let breaks = |n: usize| format!("{HEADER}1,\"{}\",x,y\n", "a\n".repeat(n));
    assert_eq!(read(breaks(20)).rows.len(), 1);
    assert_eq!(verdict(breaks(21)), (BrokenCode::UnclosedQuote, Some(2)));
    let letters = |n: usize| format!("{HEADER}1,\"{}\",x,y\n", "a".repeat(n));
    assert_eq!(read(letters(64 * 1024)).rows.len(), 1);
    assert_eq!(verdict(letters(64 * 1024 + 1)), (BrokenCode::UnclosedQuote, Some(2)));
}

#[test]
fn a_last_line_that_was_cut_is_refused_wherever_the_cut_is_visible() {
    let whole = "Employee ID,First Name,Birth Date,City\n0001,Ada,01/02/1990,Denver\n0002,\"Zoe\",03/04/1991,Boston\n";
    let bytes = whole.as_bytes();
    for end in whole.rfind("0002").unwrap() + 1..whole.rfind(',').unwrap() {
        assert_eq!(verdict(&bytes[..end]), (BrokenCode::CutShort, Some(3)), "cut at {end}");
    }
    // From there on nothing tells it from a file whose last line has no end; other guards watch over that.
    assert_eq!(read(&bytes[..bytes.len() - 1]).rows.len(), 2);
}

#[test]
fn a_last_line_cut_before_its_id_is_not_taken_for_a_note() {
    let text = "First Name,Employee ID,Birth Date,City\nAda,1,x,y\nZo";
    assert_eq!(verdict(text), (BrokenCode::CutShort, Some(3)));
}

#[test]
fn a_total_without_line_end_and_rows_that_are_all_short_are_no_cut() {
    assert_plain(&read(format!("{PLAIN}Total Employees: 2")));
    let ragged = read(format!("{HEADER}1,Ada\n2,Bo\n3,Cy"));
    assert_eq!((ragged.rows.len(), ragged.found().len()), (3, 3));
}

#[test]
fn a_failing_disk_is_told_from_an_end() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let failing = || PLAIN.as_bytes().chain(Failing);
    assert_eq!(survey(failing(), &Format::default()).unwrap_err().code, BrokenCode::Unreadable);
    let seen = survey(PLAIN.as_bytes(), &Format::default()).unwrap();
    assert_eq!(open(failing(), &seen, &Format::default(), &wanted()).unwrap_err().code, BrokenCode::Unreadable);
}

// === laws ===

/// A file written by the csv crate, with what ought to be read from it.
#[derive(Clone, Debug)]
struct Written {
    bytes: Vec<u8>,
    format: Format,
    rows: Vec<(u64, Vec<String>)>,
    step: usize,
}

#[derive(Clone, Debug)]
struct Style {
    delimiter: u8,
    quotes: csv::QuoteStyle,
    end: &'static str,
    titles: Vec<&'static str>,
    encoding: u8,
    is_ended: bool,
    step: usize,
}

fn style() -> impl Strategy<Value = Style> {
    use proptest::sample::select;
    (
        select(vec![b',', b';', b'\t', b'|']),
        select(vec![csv::QuoteStyle::Necessary, csv::QuoteStyle::Always, csv::QuoteStyle::NonNumeric]),
        select(vec!["\n", "\r\n", "\r"]),
        proptest::collection::vec(select(vec!["", "Census as of 11/14/2025", "Acme Inc", "  "]), 0..4),
        0_u8..7,
        any::<bool>(),
        select(vec![1, 3, 1000, usize::MAX]),
    )
        .prop_map(|(delimiter, quotes, end, titles, encoding, is_ended, step)| Style {
            delimiter,
            quotes,
            end,
            titles,
            encoding,
            is_ended,
            step,
        })
}

fn line_after(text: &str) -> u64 {
    text.replace("\r\n", "\n").replace('\r', "\n").matches('\n').count() as u64 + 1
}

fn write(cells: &[Vec<String>], style: &Style) -> Written {
    let record = |cells: &[String]| {
        let mut writer =
            csv::WriterBuilder::new().delimiter(style.delimiter).quote_style(style.quotes).from_writer(Vec::new());
        writer.write_record(cells).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    };
    let mut text = style.titles.iter().flat_map(|title| [*title, style.end]).collect::<String>();
    let names = ["Employee ID", "First Name", "Birth Date", "City", "Zip"].map(str::to_owned);
    text += &record(&names);
    let mut rows = Vec::new();
    for (n, cells) in cells.iter().enumerate() {
        let cells = [&[format!("E{n}")], &cells[..]].concat();
        text += style.end;
        rows.push((line_after(&text), cells.clone()));
        text += &record(&cells);
    }
    if style.is_ended {
        text += style.end;
    }
    let windows = || WINDOWS_1252.encode(&text).0.into_owned();
    let mut format = Format::default();
    let bytes = match style.encoding {
        0 => text.into_bytes(),
        1 => format!("\u{FEFF}{text}").into_bytes(),
        2 => utf16(&format!("\u{FEFF}{text}"), true),
        3 => utf16(&format!("\u{FEFF}{text}"), false),
        4 => utf16(&text, true),
        5 => windows(),
        _ => {
            format.encoding = Some(WINDOWS_1252);
            windows()
        }
    };
    Written { bytes, format, rows, step: style.step }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back_with_its_lines(
        cells in proptest::collection::vec(proptest::collection::vec("([a-cA-C0-9 ,;|\t\"éüñß'.-]|\n|\r\n|\r){0,8}", 4), 1..12),
        style in style(),
    ) {
        let written = write(&cells, &style);
        let outcome = read_stepwise(&written.bytes, written.step, &written.format, &wanted());
        let outcome = outcome.map_err(|broken| TestCaseError::fail(format!("{broken:?}")))?;
        prop_assert_eq!(outcome.rows, written.rows);
    }

    #[test]
    fn arbitrary_bytes_give_rows_in_order_or_a_reason(
        head in proptest::sample::select(vec![&b""[..], b"\xFF\xFE", b"\xEF\xBB\xBF", HEADER.as_bytes(), b"\"Employee ID\";First Name;Birth Date\r"]),
        tail in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            proptest::collection::vec(proptest::sample::select(b"a1,;\"\n\r\t \xC3\xA9\xE9Total".to_vec()), 0..600),
        ],
        step in 1_usize..50,
    ) {
        let bytes = [head, &tail].concat();
        match read_stepwise(&bytes, step, &Format::default(), &wanted()) {
            Ok(outcome) => {
                prop_assert!(!outcome.rows.is_empty());
                let lines = outcome.lines();
                prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(*lines.last().unwrap() <= outcome.survey.lines);
                prop_assert!(outcome.findings.len() < 20);
            }
            Err(broken) => prop_assert!(broken.message.len() > 20 && broken.line != Some(0)),
        }
    }
}

proptest! {
    /// Bytes are looked at in blocks, and what they hold is told from one look at each.
    #[test]
    fn a_survey_says_what_a_plain_look_at_the_bytes_says(
        tail in proptest::collection::vec(proptest::sample::select(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaa,  \n\r\xE9\x80\xC0\x81\x8D\x9D\0".to_vec()), 0..700),
        sparse in any::<bool>(),
    ) {
        // Most of it plain, so that whole blocks are.
        let plain = |at: usize, byte: u8| if sparse && at % 150 != 7 { b'a' } else { byte };
        let tail: Vec<u8> = tail.into_iter().enumerate().map(|(at, byte)| plain(at, byte)).collect();
        let bytes = [b"x", &tail[..]].concat();
        let breaks = |bytes: &[u8]| {
            let count = |wanted: &[u8]| bytes.windows(wanted.len()).filter(|found| *found == wanted).count() as u64;
            count(b"\n") + count(b"\r") - count(b"\r\n")
        };
        let line_of = |is_it: &dyn Fn(u8) -> bool| {
            bytes.iter().position(|byte| is_it(*byte)).map(|at| breaks(&bytes[..at]) + 1)
        };
        let format = Format { encoding: Some(WINDOWS_1252), ..Format::default() };
        let survey = survey(bytes.as_slice(), &format);
        let bad = line_of(&|byte| byte == 0).or_else(|| line_of(&|byte| matches!(byte, 0x81 | 0x8D | 0x9D)));
        if bad.is_some() {
            prop_assert_eq!(survey.unwrap_err().line, bad);
        } else {
            let survey = survey.unwrap();
            let ends_with_newline = bytes.ends_with(b"\n") || bytes.ends_with(b"\r");
            prop_assert_eq!(survey.ends_with_newline, ends_with_newline);
            prop_assert_eq!(survey.lines, breaks(&bytes) + u64::from(!ends_with_newline));
            prop_assert_eq!(survey.foreign_line, line_of(&|byte| byte >= 0x80));
            prop_assert_eq!(survey.bytes, bytes.len() as u64);
        }
    }
}

// === the example exports, where they are at hand ===

fn examples() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found =
        ["../shared/exports", "../../shared/exports"].iter().map(|path| here.join(path)).find(|path| path.is_dir());
    if found.is_none() {
        println!("skipped: ../shared/exports is not there");
    }
    found
}

fn read_example(folder: &str, name: &str, id: &str) -> Option<Result<Outcome, Broken>> {
    let bytes = std::fs::read(examples()?.join(folder).join(name)).unwrap();
    let wanted = Wanted { id_headers: vec![id.to_owned()], ..Wanted::default() };
    Some(read_stepwise(&bytes, usize::MAX, &Format::default(), &wanted))
}

#[test]
fn the_quirks_are_the_same_people_as_the_base() {
    let people = |outcome: &Outcome| {
        let id = outcome.header.index_of("Employee ID").unwrap();
        let name = outcome.header.index_of("Legal Last Name").unwrap();
        let mut people: Vec<(String, String)> =
            outcome.rows.iter().map(|(_, row)| (row[id].trim().to_owned(), row[name].trim().to_owned())).collect();
        people.sort();
        people.dedup();
        people
    };
    for day in ["day0", "day1"] {
        let read_day = |quirk: &str| read_example("quirks", &format!("{quirk}_{day}.csv"), "Employee ID");
        let Some(base) = read_day("base") else { return };
        let base = base.unwrap();
        assert_eq!(base.rows.len(), 200);
        for (quirk, header_line, n_findings) in [
            ("bom_crlf", 1, 0),
            ("semicolon_cp1252", 1, 1),
            ("utf16_tab_excel_unicode_text", 1, 0),
            ("title_footer_blank", 4, 2),
            ("placeholders_spaces", 1, 0),
            ("reordered", 1, 0),
        ] {
            let outcome = read_day(quirk).unwrap().unwrap();
            assert_eq!(people(&outcome), people(&base), "{quirk} {day}");
            assert_eq!(outcome.header.line(), header_line, "{quirk}");
            let lines: Vec<u64> = (header_line + 1..=header_line + 200).collect();
            assert_eq!(outcome.lines(), lines, "{quirk}");
            assert_eq!(outcome.findings.len(), n_findings, "{quirk}: {:?}", outcome.findings);
        }
        for quirk in ["row_per_job", "quoted_newlines"] {
            let outcome = read_day(quirk).unwrap().unwrap();
            assert!(outcome.rows.len() >= 200 && outcome.long.is_empty() && outcome.findings.is_empty(), "{quirk}");
        }
    }
}

#[test]
fn the_public_samples_are_read_to_their_end() {
    for (name, id, n_rows, found) in [
        ("contoso_1000.csv", "WorkerID", 1000, vec![]),
        ("contoso_contractors_quoted.csv", "WorkerID", 331, vec![]),
        ("chicago_employees_first3499.csv", "ID", 3499, vec![]),
        ("adobe_users_ragged.csv", "username", 3, vec![(2, Code::ShortRow), (3, Code::ShortRow), (4, Code::ShortRow)]),
    ] {
        let Some(outcome) = read_example("real", name, id) else { return };
        let outcome = outcome.unwrap_or_else(|broken| panic!("{name}: {broken}"));
        assert_eq!((outcome.rows.len(), outcome.found()), (n_rows, found), "{name}");
        assert!(outcome.long.is_empty(), "{name}");
    }
    for name in ["workday_worker_history.csv", "workday_personal_information_history.csv"] {
        let outcome = read_example("real", name, "id").unwrap().unwrap_or_else(|broken| panic!("{name}: {broken}"));
        assert!(outcome.long.is_empty() && !outcome.rows.is_empty(), "{name}");
    }
}

/// Knows the digests that it was given, each once.
#[derive(Default)]
struct KnownRows {
    digests: std::collections::HashSet<RowDigest>,
    lines: Vec<u64>,
}

impl Known for KnownRows {
    fn pass_over(&mut self, row: RowDigest, line: u64) -> bool {
        let is_known = self.digests.remove(&row);
        self.lines.extend(is_known.then_some(line));
        is_known
    }

    fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

/// Rows with their lines, and what they can be known by.
fn read_but(text: &str, known: &mut KnownRows) -> Vec<(u64, Vec<String>, Option<RowDigest>)> {
    let survey = survey(text.as_bytes(), &Format::default()).unwrap();
    let mut reader = open(text.as_bytes(), &survey, &Format::default(), &wanted()).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = reader.next_unknown(known).unwrap() {
        rows.push((row.line(), (0..row.len()).map(|at| row.cell(at).to_owned()).collect(), row.digest()));
    }
    assert_eq!(reader.n_rows(), (rows.len() + known.lines.len()) as u64);
    rows
}

#[test]
fn rows_that_are_known_are_passed_over_however_they_are_quoted_and_the_others_keep_their_lines() {
    let name = |number: usize| format!("Ann{number}");
    let plain = |numbers: &[usize]| -> String {
        let rows = numbers.iter().map(|n| format!("E{n},{},\"Lee, Jr\",1980-02-03,d1\n", name(*n)));
        HEADER.to_owned() + &rows.collect::<String>()
    };
    let all = read_but(&plain(&[1, 2, 3, 4, 5]), &mut KnownRows::default());
    let digests = || -> std::collections::HashSet<RowDigest> { all.iter().filter_map(|row| row.2).collect() };
    assert_eq!(digests().len(), 5);
    let known = || KnownRows { digests: digests(), lines: Vec::new() };

    // Another order, somebody new, somebody gone.
    let mut seen = known();
    let rows = read_but(&plain(&[5, 9, 1, 2, 4]), &mut seen);
    assert_eq!(rows.iter().map(|(line, cells, _)| (*line, &*cells[0])).collect::<Vec<_>>(), [(3, "E9")]);
    assert_eq!(seen.lines, [2, 4, 5, 6]);

    // All quotes that there can be, lines that end otherwise, and a cell of two lines in between.
    let quoted = plain(&[1, 2]).replace("E1,Ann1", "\"E1\",\"Ann1\"").replace('\n', "\r\n");
    let quoted =
        quoted + "E7,\"Ann\n7\",Lee,1980-02-03,d1\r\nE3,Ann3,\"Lee, Jr\",1980-02-03,d1\r\nE8,Ann,Lee,1980-02-03,d1\r\n";
    let mut seen = known();
    let rows = read_but(&quoted, &mut seen);
    assert_eq!(rows.iter().map(|(line, cells, _)| (*line, &*cells[0])).collect::<Vec<_>>(), [(4, "E7"), (7, "E8")]);
    assert_eq!(seen.lines, [2, 3, 6]);

    // What may be cut off is read whatever it says, and so is the second of two rows that are the same.
    let mut seen = known();
    let rows = read_but(plain(&[1, 2, 2, 3]).trim_end(), &mut seen);
    assert_eq!(
        rows.iter().map(|(line, cells, digest)| (*line, &*cells[0], digest.is_some())).collect::<Vec<_>>(),
        [(4, "E2", true), (5, "E3", false)]
    );
    assert_eq!(seen.lines, [2, 3]);
}

#[test]
fn a_thread_that_reads_ahead_changes_nothing_and_ends_with_the_file() {
    let rows = |quote: &str| -> String {
        let row = |n| format!("{quote}E{n}{quote},{quote}Ann{quote},\"Lee, Jr\",1980-02-03,d1\n");
        HEADER.to_owned() + &(1..4000).map(row).collect::<String>()
    };
    let digests: std::collections::HashSet<RowDigest> =
        read_but(&rows(""), &mut KnownRows::default()).iter().filter_map(|row| row.2).collect();
    let cut = rows("\"") + "\"E4000\",\"An";
    for (text, is_whole) in [(rows(""), true), (rows("\""), true), (cut, false)] {
        let mut known = KnownRows { digests: digests.clone(), lines: Vec::new() };
        let survey = survey(text.as_bytes(), &Format::default()).unwrap();
        let mut reader = open(text.as_bytes(), &survey, &Format::default(), &wanted()).unwrap();
        let mut unknown = Rows::default();
        let read = std::thread::scope(|scope| {
            reader.read_ahead(scope);
            reader.next_rows(&mut known, &mut unknown)
        });
        assert_eq!(read.is_ok(), is_whole);
        assert_eq!((known.lines, unknown.iter().count()), ((2..=4000).collect(), 0));
    }
}
