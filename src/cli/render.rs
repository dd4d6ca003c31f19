//! The only printer of the commands: reports become text for people, or JSON under `--json`.
//!
//! The functions for each kind of report are pure, [`print()`] and [`complain`] do the writing. Text from files and from the
//! API is escaped before a terminal sees it. The API's words about a person may hold personal data: they appear in
//! [`run`] and [`batch`] (`show`) and nowhere else.

use std::io::{self, IsTerminal, Write};

pub use backup::{backup, backup_is_whole, restored, verified};
pub use history::runs;
pub use json::{json_batch, json_groups, json_member, json_plan, json_roster, json_run, json_runs, json_status};
pub use plan::plan;
pub(in crate::cli) use plan::warning;
pub use progress::ProgressBar;
pub use show::{batch, run};
pub use status::{groups, status};
pub use travel::{member, roster};

mod backup;
mod history;
mod json;
mod page;
mod plan;
mod progress;
mod show;
mod status;
mod table;
mod travel;
mod words;

/// Narrower terminals get lines of this width, and wrap them themselves: below it every layout breaks.
const NARROWEST: usize = 40;

/// What the text is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `usize::MAX` where nobody counts them, as in a pipe.
    width: usize,
    ink: Ink,
    is_terminal: bool,
    is_watched: bool,
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Plain,
    Colour,
}

/// What a word says about the state of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Doubtful,
    Bad,
}

impl Screen {
    /// The screen that standard output and standard error lead to. Reads `NO_COLOR`, `TERM` and `COLUMNS`.
    pub fn new(json: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = io::stdout().is_terminal();
        let no_colour = is_dumb || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = std::env::var_os("COLUMNS").and_then(|value| value.to_str()?.parse().ok());
        let detected = || comfy_table::Table::new().width().map(usize::from);
        Self {
            width: columns.or_else(detected).map_or(usize::MAX, |width| width.max(NARROWEST)),
            ink: if is_terminal && !no_colour { Ink::Colour } else { Ink::Plain },
            is_terminal,
            is_watched: io::stderr().is_terminal() && !is_dumb,
            json,
        }
    }

    /// A terminal of so many columns without colour, for tests.
    pub fn fixed(width: usize) -> Self {
        Self { width, ink: Ink::Plain, is_terminal: true, is_watched: false, json: false }
    }

    /// Whether `--json` was asked for. The functions for reports ask this themselves.
    pub fn is_json(&self) -> bool {
        self.json
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match (self.ink, tone) {
            (Ink::Plain, _) => return text.to_owned(),
            (Ink::Colour, Tone::Good) => 32,
            (Ink::Colour, Tone::Doubtful) => 33,
            (Ink::Colour, Tone::Bad) => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A text of several lines with everything escaped that a terminal could obey, or that hides or turns round what is
/// written.
pub fn safe(text: &str) -> String {
    text.split('\n').map(words::clean).collect::<Vec<_>>().join("\n")
}

/// Writes a rendered text to standard output. A reader who has seen enough (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

/// Writes a message to standard error, escaped, and with a line's end if it has none.
///
/// # Errors
/// When standard error cannot be written.
pub fn complain(text: &str) -> io::Result<()> {
    print_to(&mut io::stderr().lock(), &complaint(text))
}

fn print_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn complaint(text: &str) -> String {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{}{end}", safe(text))
}

#[cfg(test)]
mod tests;
