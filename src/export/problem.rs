//! What is wrong with a row or a file, said so that a person in HR can mend it.

use serde::{Deserialize, Serialize};

pub use likes::{Likes, likes};

mod likes;

/// What the sum of findings that are not listed says behind its number.
pub(crate) const SUMMED_UP: &str = " findings of this kind in all";

/// One finding about a row. The message never quotes a cell: line and column point to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Line of the file on which the row begins, counted from 1 as an editor does; 0 for the whole file.
    pub line: u64,
    /// The header of the column, as the file spells it.
    pub column: Option<String>,
    /// Whose row it is, where the id could be read.
    pub reference_id: Option<String>,
    /// What kind of finding it is; stable, for scripts.
    pub code: Code,
    /// One English sentence for a person in HR: what is wrong and what to do. Holds no personal data.
    pub message: String,
}

/// Whether a finding costs the row its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The row cannot be used; a covered person stays covered with the last confirmed record.
    Error,
    /// The row is used; something was repaired or left out.
    Warning,
}

/// The kinds of findings, as `code` in `.problems.csv` and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    // --- the row cannot be used
    /// A required cell is empty.
    MissingValue,
    /// The reference id cannot be read (blank, control characters, too long).
    BadId,
    /// The reference id looks like `1.23E+05`: a spreadsheet destroyed it.
    ScientificId,
    /// Two ids of the file differ only in upper and lower case.
    IdCase,
    /// Not a date.
    BadDate,
    /// A date that only reads in the other order of day and month.
    DateOrder,
    /// A birth date in the future or before 1900.
    DateRange,
    /// Neither a state's code nor its name.
    BadState,
    /// Not a ZIP code.
    BadZip,
    /// A text longer than the API takes.
    TooLong,
    /// A name that cannot be split into first and last.
    BadName,
    /// A status word that the config does not know.
    UnknownStatus,
    /// A group value outside the map.
    UnknownGroup,
    /// A plan value outside the map, without a default.
    UnknownPlan,
    /// More cells than the header has.
    LongRow,
    /// The file ends with the row and without the line end that the last accepted export had.
    CutRow,
    /// Rows of one person that contradict each other.
    Conflict,
    // --- the row is used
    /// A phone number that cannot be used was left out.
    PhoneDropped,
    /// An e-mail address that cannot be used was left out.
    EmailDropped,
    /// A ZIP code regained its zero or its dash.
    ZipRepaired,
    /// An id regained its leading zeros (`id_width`).
    IdPadded,
    /// Fewer cells than the header has; the rest was read as empty.
    ShortRow,
    /// A line that is no person (total, note) was skipped.
    SkippedRow,
    /// A control character or a stray quote was dropped.
    Cleaned,
    /// Several rows of one person were joined.
    RowsJoined,
    /// The encoding was guessed.
    EncodingGuessed,
}

impl Code {
    /// Whether a finding of this kind costs the row its place.
    pub fn severity(self) -> Severity {
        match self {
            Self::MissingValue
            | Self::BadId
            | Self::ScientificId
            | Self::IdCase
            | Self::BadDate
            | Self::DateOrder
            | Self::DateRange
            | Self::BadState
            | Self::BadZip
            | Self::TooLong
            | Self::BadName
            | Self::UnknownStatus
            | Self::UnknownGroup
            | Self::UnknownPlan
            | Self::LongRow
            | Self::CutRow
            | Self::Conflict => Severity::Error,
            Self::PhoneDropped
            | Self::EmailDropped
            | Self::ZipRepaired
            | Self::IdPadded
            | Self::ShortRow
            | Self::SkippedRow
            | Self::Cleaned
            | Self::RowsJoined
            | Self::EncodingGuessed => Severity::Warning,
        }
    }
}

/// Why a whole file is rejected. The text completes "rejected: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Broken {
    /// What kind of breakage it is; stable, for scripts.
    pub code: BrokenCode,
    /// Where it shows, if at one place: line counted from 1.
    pub line: Option<u64>,
    /// One English sentence: what is wrong, where, and what to do.
    pub message: String,
}

/// The kinds of breakage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenCode {
    /// Zero bytes, or nothing but blank lines.
    Empty,
    /// A header and nothing below it.
    HeaderOnly,
    /// Not one row could be used.
    NoValidRow,
    /// A mapped column is not in the file.
    HeaderMissing,
    /// A mapped column is there twice.
    HeaderTwice,
    /// Bytes that the encoding does not have, or a binary file.
    Undecodable,
    /// A quote that was opened and never closed.
    UnclosedQuote,
    /// The last line is cut short: the upload did not finish.
    CutShort,
    /// The file could not be read to its end.
    Unreadable,
}
