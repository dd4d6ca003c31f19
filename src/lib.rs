//! `rosterd` keeps the member rosters of a health-benefits API in step with the employee exports of an HR system.
//!
//! # The way of an export
//! ```text
//!  intake ──▶ export ──▶ roster ──▶ plan ──▶ deliver ──▶ store
//!  a file      bytes to   rows to    diff,     submit,     confirmed rosters,
//!  settles     rows       members    guards    poll        runs, batches, changes
//!      ▲                                                        │
//!      └────────── receipts to the dropper        confirmed roster feeds the next plan
//! ```
//! Data moves one way; each hand-over is a plain value. [`sync`] joins the rooms for one pass over one export, [`daemon`] for
//! years of them, and [`cli`] is how people reach both.
//!
//! # What always holds
//! The API replaces: whoever is missing from a submitted roster loses coverage. So
//! - nobody leaves a payload without a decision of [`plan`] that says why, and whoever is in doubt is sent as last confirmed;
//! - a group has one batch under way at most, and an older roster never follows a newer;
//! - what is about to be sent is on disk before it leaves, and its request id before anything else happens;
//! - the confirmed roster changes only together with the results that confirm it.
//!
//! `export`, `roster`, `plan`, `report`, and the files of `deliver` but its driver are pure: no I/O, no clock. `tests/boundaries.rs`
//! holds the table of who may name whom.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod deliver;
pub mod export;
pub mod intake;
pub mod plan;
pub mod report;
pub mod roster;
pub mod sandbox;
pub mod store;
pub mod sync;

/// Makes every file that this process creates readable and writable for its user only; who else may read one is given the
/// right explicitly. Nor does it leave its memory behind, where the rosters and the key are, when it crashes.
pub fn private_by_default() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always allowed; where it were not, the unit has the same limit.
    rustix::process::setrlimit(rustix::process::Resource::Core, none).unwrap_or_default();
}
