//! Rows to mend as a table that a spreadsheet opens with a double click. Pure.

use std::borrow::Cow;

use crate::report::ProblemReport;

/// Tells Excel that the file is UTF-8; without it, headers with accents are shown as rubbish. Readers of CSV that know
/// UTF-8 skip it, rosterd's own among them.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The columns; stable, for scripts.
const HEADER: [&str; 6] = ["line", "column", "reference_id", "code", "message", "still_covered"];

/// Renders `.problems.csv`: UTF-8 with a byte-order mark, CRLF, one row a problem. `line` is empty where the whole file
/// is meant, `still_covered` is `yes`, `no` or empty where nobody knows.
pub fn problems_csv(problems: &[ProblemReport]) -> Vec<u8> {
    let mut out = BYTE_ORDER_MARK.to_vec();
    push_row(&mut out, &HEADER.map(Cow::Borrowed));
    for report in problems {
        let problem = &report.problem;
        let line = if problem.line == 0 { String::new() } else { problem.line.to_string() };
        push_row(
            &mut out,
            &[
                Cow::Owned(line),
                defused(problem.column.as_deref().unwrap_or_default()),
                defused(problem.reference_id.as_deref().unwrap_or_default()),
                Cow::Owned(code(report)),
                defused(&problem.message),
                Cow::Borrowed(match report.still_covered {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "",
                }),
            ],
        );
    }
    out
}

/// The code's name as JSON has it.
fn code(report: &ProblemReport) -> String {
    serde_json::to_value(report.problem.code)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// A spreadsheet runs a cell that begins like a formula. Ids and headers come from the file, so whoever writes the file
/// could have HR's computer run something; an apostrophe in front makes it text.
fn defused(cell: &str) -> Cow<'_, str> {
    if cell.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

/// Every cell that needs quotes gets them; written here since a writer to memory that cannot fail needs no errors.
fn push_row(out: &mut Vec<u8>, cells: &[Cow<'_, str>; 6]) {
    for (at, cell) in cells.iter().enumerate() {
        if 0 < at {
            out.push(b',');
        }
        if cell.contains(['"', ',', '\r', '\n', '\'']) || cell.starts_with(' ') || cell.ends_with(' ') {
            out.push(b'"');
            out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}
