//! Questions and answers over a Unix socket: how the commands reach the running daemon, since only one process can open the
//! state.
//!
//! One question a connection. The client sends a line of JSON ([`Question`]), and after it the bytes of a file where the
//! question has one. The server answers with lines of JSON ([`Line`]): any number of progress lines, then the answer or the
//! refusal. Both ends are of one version; the socket is not an interface for others, `--json` is.

use std::fs::File;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::report::{
    BackupReport, BatchDetail, Counts, GroupStatus, MemberDetail, Phase, PlanReport, RosterReport, Run, RunDetail,
    RunState, Status, VerifyReport,
};
use crate::roster::ids::{GroupRef, RunId, SourceName};

pub mod client;
mod peer;
pub mod server;

/// Longest line that either end reads. The largest is the plan of a million people's first load.
const LONGEST_LINE: usize = 256 * 1024 * 1024;

/// Files go over the socket in pieces of this size: each piece of a file is read by another thread, which costs more than a small piece.
pub(crate) const COPY_BYTES: usize = 1024 * 1024;

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// How does everything stand?
    Status,
    /// Which runs were there?
    History(HistoryFilter),
    /// What was this run, or this batch? The id may be shortened as long as it is the only one.
    Show {
        /// The id, or its beginning.
        id: String,
    },
    /// Which groups are there?
    Groups,
    /// How does one group stand, read afresh from the API?
    Group {
        /// Its reference, or `grp_` id.
        group: String,
    },
    /// Make a group.
    CreateGroup {
        /// Its reference.
        group: GroupRef,
        /// Its name.
        name: String,
    },
    /// Change a group, and our mapping with it.
    UpdateGroup {
        /// Its reference, or `grp_` id.
        group: String,
        /// Its new name.
        name: Option<String>,
        /// Its new reference.
        reference: Option<GroupRef>,
    },
    /// Submit the group's desired roster again now.
    Retry {
        /// Its reference, or `grp_` id.
        group: String,
    },
    /// What would this export change? The file's bytes follow.
    Plan(Export),
    /// Pass over this export now. The file's bytes follow.
    Sync(Export),
    /// Release what a run holds.
    Approve {
        /// The run, or the beginning of its id.
        run: String,
        /// Why.
        reason: String,
    },
    /// Drop a held run.
    Discard {
        /// The run, or the beginning of its id.
        run: String,
        /// Why.
        reason: String,
    },
    /// Where is this person, and how did that come?
    Member {
        /// Their reference id, byte-exact.
        reference_id: String,
    },
    /// Who is, or was, on a group's confirmed roster?
    Roster {
        /// Its reference, or `grp_` id.
        group: String,
        /// When; none for now.
        at: Option<DateTime<Utc>>,
    },
    /// Plan and deliver a group's roster as it was before a batch.
    Revert {
        /// The batch, or the beginning of its id.
        batch: String,
        /// Why.
        reason: String,
    },
    /// Is everything on record whole?
    Verify,
    /// A backup of the state, please. Its bytes follow the answer.
    BackUp,
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFilter {
    /// Only those with a batch of this group.
    pub group: Option<GroupRef>,
    /// Only those of this source.
    pub source: Option<SourceName>,
    /// Only those in this state.
    pub state: Option<RunState>,
    /// Only those received since.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, newest first.
    pub limit: usize,
}

/// An export that travels with a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The file's name, without folders.
    pub name: String,
    /// The source whose config counts; none where there is only one.
    pub source: Option<SourceName>,
    /// Another day than today.
    pub as_of: Option<NaiveDate>,
    /// When the file was last modified.
    pub modified: DateTime<Utc>,
    /// Its size in bytes: so many follow the question.
    pub size: u64,
}

impl Question {
    /// Bytes that follow the question.
    fn body_size(&self) -> u64 {
        match self {
            Self::Plan(export) | Self::Sync(export) => export.size,
            Self::Status
            | Self::History(_)
            | Self::Show { .. }
            | Self::Groups
            | Self::Group { .. }
            | Self::CreateGroup { .. }
            | Self::UpdateGroup { .. }
            | Self::Retry { .. }
            | Self::Approve { .. }
            | Self::Discard { .. }
            | Self::Member { .. }
            | Self::Roster { .. }
            | Self::Revert { .. }
            | Self::Verify
            | Self::BackUp => 0,
        }
    }
}

/// What a command learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `status`.
    Status(Box<Status>),
    /// To `history`.
    Runs(Vec<Run>),
    /// To `show RUN`, `sync`, `approve`, `discard`, `retry`.
    Run(Box<RunDetail>),
    /// To `show BATCH`.
    Batch(Box<BatchDetail>),
    /// To `groups`.
    Groups(Vec<GroupStatus>),
    /// To `member`.
    Member(Box<MemberDetail>),
    /// To `roster`.
    Roster(Box<RosterReport>),
    /// To `plan`.
    Plan(Box<PlanReport>, Counts),
    /// To `verify`.
    Verified(Box<VerifyReport>),
    /// To `backup`: so many bytes follow as the report says.
    BackedUp {
        /// What it holds.
        report: Box<BackupReport>,
        /// Where the bytes lie at the end that answers.
        #[serde(skip)]
        file: Spooled,
    },
}

/// A file without a name that goes over the socket behind an answer.
#[derive(Clone, Debug, Default)]
pub struct Spooled(pub Option<Arc<File>>);

/// Answers are compared by what they say.
impl PartialEq for Spooled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spooled {}

/// One line of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something moved while the answer is made.
    Progress(Progress),
    /// The answer; the last line.
    Answer(Answer),
    /// No answer; the last line.
    Refusal(Refusal),
}

/// Something moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The run was planned; so many batches are under way.
    Planned {
        /// The run.
        run: RunId,
        /// Its batches.
        batches: usize,
    },
    /// A group's batch entered a phase.
    Phase {
        /// The group.
        group: GroupRef,
        /// The phase.
        phase: Phase,
    },
    /// Something is tried again later.
    Trouble {
        /// The group.
        group: GroupRef,
        /// What.
        message: String,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal: the command's exit code follows from it.
    pub kind: RefusalKind,
    /// What is wrong and what to do.
    pub message: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The question makes no sense: an unknown id, an ambiguous one, a wrong state.
    Usage,
    /// The export is broken.
    Rejected,
    /// A file is not there.
    NoInput,
    /// The API cannot be reached, or refuses the key.
    Unavailable,
    /// The state cannot be read or written.
    Store,
    /// Nothing is wrong that time does not mend.
    TryLater,
    /// The group is paused after results that nobody planned.
    Paused,
    /// Anything else.
    Unexpected,
}

impl Refusal {
    /// A question that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Usage, message: message.into() }
    }
}

/// Why the socket is of no use.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No daemon listens.
    #[error("no daemon listens at {path}")]
    NoDaemon {
        /// The socket.
        path: std::path::PathBuf,
    },
    /// The socket is not ours to use.
    #[error("no right to use the daemon's socket {path}: run as its user or group, or with sudo")]
    Forbidden {
        /// The socket.
        path: std::path::PathBuf,
    },
    /// Another daemon listens already.
    #[error("another daemon listens at {path} already")]
    Taken {
        /// The socket.
        path: std::path::PathBuf,
    },
    /// The connection broke, or carried something else than our protocol.
    #[error("the connection to the daemon failed: {0}")]
    Io(#[from] io::Error),
    /// A line is no line of our protocol.
    #[error("the daemon speaks another version: {0}")]
    Json(#[from] serde_json::Error),
}
