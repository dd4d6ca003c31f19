//! One way to write each kind of value, so that two exports of the same person give the same record. Pure functions over
//! one cell: what comes out goes in again unchanged. No error here quotes its input, which is personal.

use thiserror::Error;

mod date;
mod email;
mod name;
mod phone;
mod state;
mod text;
mod zip;

pub use date::{DateProblem, birth_date, event_date};
pub use email::{NotAnEmail, email};
pub use name::{FullName, NotAName, full_name};
pub use phone::{Phone, PhoneProblem, phone};
pub use state::{STATES, state};
pub use text::{MAX_TEXT_CHARS, fits, fold, hides_characters, text, trim};
pub use zip::{NotAZip, Zip, zip};

/// A text that is no state.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not a state or territory of the United States")]
pub struct NotAState;

#[cfg(test)]
mod tests;
