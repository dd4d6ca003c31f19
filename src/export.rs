//! One export becomes rows, each with the line on which it begins.
//!
//! In come bytes through [`std::io::Read`], twice: [`survey()`] looks at all of them once (encoding, whether they
//! are text at all), [`open`] finds delimiter and header and hands out one row at a time. Out go a [`Header`], [`Row`]s and
//! findings, or [`Broken`](problem::Broken): the whole file cannot be trusted. Memory does not grow with the file.
//!
//! What this room never does: touch files, log, guess away a byte it cannot read, quote a cell in a message, or judge what
//! a cell means. That is the roster's part.

pub mod problem;

mod ahead;
mod dialect;
mod digest;
mod header;
mod reader;
mod record;
mod records;
mod row;
mod shape;
mod survey;
mod tally;

#[cfg(test)]
mod tests;

pub use digest::{Known, RowDigest};
pub use header::{Header, Wanted};
pub use reader::{Reader, open};
pub use record::Record;
pub use row::{Row, Rows};
pub use survey::{Survey, sha256, survey, survey_and_hash};
