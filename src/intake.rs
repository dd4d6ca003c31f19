//! From a folder to claimed files. In come an inbox and its schedule; out go [`Arrival`]s, in order: what a crash left
//! under way, then files as they settle, and appointments as they fall due.
//!
//! One task a source. It never reads a file's content, never decides what becomes of it, and never claims a file while
//! there is no room for it in the channel: what is not claimed stays in the inbox, where everybody can see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, mpsc, watch as state};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Source;
use crate::report::Trigger;

pub mod receipt;
pub mod schedule;
pub mod settle;
pub mod spool;
mod task;
mod timetable;
pub mod watch;

use spool::Claimed;
use task::{Ended, Task};
pub use timetable::Appointment;
use watch::Watching;

/// What the task of one source hands over.
#[derive(Debug)]
pub enum Arrival {
    /// A file that now belongs to rosterd, and what led to it.
    File(Claimed, Trigger),
    /// An appointment fell due at this nominal time. The caller records it, and passes it back after a restart. Files
    /// that were ready at that moment came before.
    Scheduled(Appointment, DateTime<Utc>),
}

/// How an inbox is doing, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxState {
    /// Whether it can be used.
    pub folder: FolderState,
    /// Whether the system tells of changes.
    pub watching: Watching,
    /// Files that were seen and are not claimed: unsettled, empty, without their marker, or no room.
    pub waiting: usize,
    /// Names that lie there and will not be taken: folders, links, devices.
    pub refused: Vec<String>,
    /// Files that should have been taken and cannot be, and why.
    pub stuck: BTreeMap<String, String>,
    /// The last time that it was looked through.
    pub looked_at: Option<DateTime<Utc>>,
    /// What is next by the clock.
    pub next: Option<(Appointment, DateTime<Utc>)>,
}

impl Default for InboxState {
    fn default() -> Self {
        Self {
            folder: FolderState::Unseen,
            watching: Watching::Polling("not looked at yet".to_owned()),
            waiting: 0,
            refused: Vec::new(),
            stuck: BTreeMap::new(),
            looked_at: None,
            next: None,
        }
    }
}

impl InboxState {
    /// What is the matter, in words; none while all is well.
    pub fn trouble(&self) -> Option<String> {
        match &self.folder {
            FolderState::Unseen | FolderState::Open => self.stuck.first_key_value().map(|(name, why)| {
                let others = match self.stuck.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                format!("{name} cannot be taken{others}: {why}; it is tried again at every rescan")
            }),
            FolderState::Missing => Some("the folder is not there".to_owned()),
            FolderState::Unusable(why) => Some(why.clone()),
        }
    }
}

/// Whether an inbox can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// Not looked at yet.
    Unseen,
    /// In use.
    Open,
    /// Not there; looked for again at every rescan.
    Missing,
    /// There, and unusable for this reason; tried again at every rescan.
    Unusable(String),
}

/// What the task of one source needs.
#[derive(Debug)]
pub struct Intake {
    /// The source.
    pub source: Arc<Source>,
    /// The time.
    pub clock: Clock,
    /// Nominal times of the appointments that were handled, by [`Appointment::key`].
    pub last_fired: BTreeMap<String, DateTime<Utc>>,
    /// Where arrivals go. Its capacity bounds how many files are claimed ahead.
    pub out: mpsc::Sender<Arrival>,
    /// A person asks for a look now.
    pub nudge: Arc<Notify>,
    /// Where the inbox's state is shown.
    pub state: state::Sender<InboxState>,
}

/// Runs until `stop`, or until nobody takes arrivals any more. Files claimed by an earlier task and not filed away are
/// handed over again, so the earlier task's arrivals must be dealt with before another one starts.
pub async fn run(intake: Intake, stop: CancellationToken) {
    let nudge = Arc::clone(&intake.nudge);
    let mut task = Task::new(intake, stop.clone());
    loop {
        let wait = task.wait();
        let wake = if wait.is_zero() {
            if stop.is_cancelled() { Wake::Stop } else { Wake::Timer }
        } else {
            tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                () = nudge.notified() => Wake::Nudge,
                () = tokio::time::sleep(wait) => Wake::Timer,
                () = task.hint() => Wake::Hint,
            }
        };
        let done = match wake {
            Wake::Stop => Err(Ended),
            Wake::Nudge => task.look(Trigger::Manual).await,
            Wake::Hint => {
                task.look_soon();
                Ok(())
            }
            Wake::Timer => task.on_timer().await,
        };
        if done.is_err() {
            return;
        }
    }
}

enum Wake {
    Stop,
    Nudge,
    Hint,
    Timer,
}

#[cfg(test)]
mod tests;
