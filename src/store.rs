//! What rosterd remembers: confirmed rosters, runs, batches, changes, and the work under way. sled stays in this room.
//!
//! Every method that writes returns only when what it wrote is on disk. Methods block: async callers go through
//! [`Store::call`].

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, Utc};
use tokio::sync::Semaphore;

use crate::report::{Batch, PlanReport, Run};
use crate::roster::ids::{GroupId, GroupRef, ReferenceId, RunId, SourceName};
use crate::roster::{Absence, ConfirmedRoster, Entry, Loss};

mod archive;
pub mod backup;
mod batches;
mod changes;
mod compact;
mod doubt;
mod envelope;
mod error;
mod familiar;
pub mod filter;
mod history;
mod ids;
mod keys;
mod open;
mod presence;
mod records;
pub mod restore;
mod rosters;
mod runs;
mod sentinel;
mod sources;
mod together;
mod trees;
mod undelivered;
mod verify;

pub use changes::{BatchChanges, Change, ChangeKind, MemberChange};
pub use doubt::Doubt;
pub use error::StoreError;
pub use history::{Back, Past, Until, folded};
pub use ids::Ids;
pub use rosters::{Glance, RosterFacts};
pub use runs::RunFilter;

/// Threads that work on the store at once. Thousands of groups that wait for the disk would take hundreds of threads otherwise, each with
/// memory of its own, and gain nothing: there is one disk.
const CALLS_AT_ONCE: usize = 16;

/// The open store. Clones share it; the database closes, and lets other processes in, when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

// The order matters: the database closes before the lock is let go.
#[derive(Debug)]
struct Inner {
    trees: trees::Trees,
    dir: PathBuf,
    /// The store's random name, as in its sentinel.
    name: String,
    /// The API that the state belongs to.
    base_url: String,
    /// The API that the state directory was made for, where that is another one.
    beside: Option<String>,
    durable: bool,
    /// As far as the sentinel tells of them.
    settlements: together::Together,
    calls: Semaphore,
    left: Mutex<Option<undelivered::Left>>,
    ids: Ids,
    _lock: File,
}

impl Store {
    /// A store over an open database. Its ids go on where the clock is.
    fn over(
        trees: trees::Trees,
        dir: PathBuf,
        (name, base_url): (String, String),
        beside: Option<String>,
        lock: File,
    ) -> Self {
        let inner = Inner {
            trees,
            dir,
            name,
            base_url,
            beside,
            durable: filter::active(),
            settlements: together::Together::default(),
            calls: Semaphore::new(CALLS_AT_ONCE),
            left: Mutex::default(),
            ids: Ids::after(None, None),
            _lock: lock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs blocking work on the store away from the async threads. A panic of `work` goes on in the caller.
    ///
    /// # Errors
    /// Those of `work`; also when the runtime is shutting down.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shutting_down = || StoreError::Io { detail: "rosterd is shutting down".to_owned() };
        let _call = self.inner.calls.acquire().await.map_err(|_| shutting_down())?;
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(shutting_down()),
            },
        }
    }

    /// Whether a power cut cannot take back what a write has returned for: whether [`filter`] was in force when the
    /// store was opened.
    pub fn durable(&self) -> bool {
        self.inner.durable
    }

    /// The API that the state directory was made for, where that is another one than this state belongs to.
    pub fn beside(&self) -> Option<&str> {
        self.inner.beside.as_deref()
    }

    /// Lets so many more writes through and refuses every later one, so that a test can stop dead after each of them.
    #[doc(hidden)]
    pub fn stop_after(&self, writes: u64) {
        self.inner.trees.stop_after(writes);
    }

    /// For measurements: of each tree its name, its entries, and the bytes of its keys and values. Reads everything.
    #[doc(hidden)]
    pub fn sizes(&self) -> Result<Vec<(&'static str, u64, u64)>, StoreError> {
        self.inner.trees.sizes()
    }

    /// Replaces the database by a compact copy if its file has grown far beyond what it holds. Answers its size after that, if so. Takes
    /// seconds for a large one, in which nobody writes.
    ///
    /// # Errors
    /// When it cannot be read, or not be opened again: then the process has to end. A copy that cannot be made is no error.
    pub fn compact_when_grown(&self) -> Result<Option<u64>, StoreError> {
        compact::when_grown(&self.inner.dir, &self.inner.trees, compact::LIMITS)
    }

    /// The same, however large it is: for tests.
    ///
    /// # Errors
    /// As [`Store::compact_when_grown`].
    #[doc(hidden)]
    pub fn compact(&self) -> Result<Option<u64>, StoreError> {
        compact::replace(&self.inner.dir, &self.inner.trees, self.inner.trees.write())
    }

    /// How many writes [`Store::stop_after`] lets through yet, and whether it has refused one.
    #[doc(hidden)]
    pub fn stopped(&self) -> (u64, bool) {
        self.inner.trees.stopped()
    }

    /// Makes the ids of new runs and batches.
    pub fn ids(&self) -> &Ids {
        &self.inner.ids
    }

    /// Where the state lies.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The API that the state belongs to, as part of a file's name.
    pub fn api_name(&self) -> String {
        open::folder_of(&self.inner.base_url)
    }

    /// A file beside the database that has no name, and is gone when it is closed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch_file(&self) -> Result<File, StoreError> {
        let made = tempfile::tempfile_in(&self.inner.dir);
        made.map_err(|error| StoreError::BackupFailed { detail: format!("{}: {error}", self.inner.dir.display()) })
    }

    /// Bytes of the database on disk; 0 where that cannot be read.
    pub fn size(&self) -> u64 {
        self.inner.trees.size().unwrap_or(0)
    }
}

/// One batch with its payload: the complete roster that it submits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The batch's record.
    pub batch: Batch,
    /// The payload, sorted by reference id.
    pub payload: Vec<Entry>,
}

/// A [`Work`] as it will lie on disk: a run of thousands of rosters is held so while it waits to be recorded.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The batch's record.
    pub batch: Batch,
    payload: Vec<u8>,
}

impl Work {
    /// Packs it.
    ///
    /// # Errors
    /// When the payload cannot be written, which does not happen.
    pub fn pack(self) -> Result<Packed, StoreError> {
        let payload = records::payload(self.batch.batch.as_str().as_bytes(), &self.payload)?;
        Ok(Packed { batch: self.batch, payload })
    }
}

/// What the store knows of a group beside its roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Our reference.
    pub group: GroupRef,
    /// The API's id; none while the group is still to be made.
    pub id: Option<GroupId>,
    /// Its name in the API when last seen, or the name it will be made with.
    pub name: String,
    /// Whether rosterd made it, or is about to: its first roster then cannot remove anybody.
    pub made_by_us: bool,
    /// Why nothing more is sent to the group until a person says `retry`; none while all is well.
    pub paused: Option<String>,
}

/// What the store knows of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceState {
    /// Which.
    pub source: SourceName,
    /// The last export that was accepted.
    pub last_accepted: Option<AcceptedExport>,
    /// Confirmed people that the last accepted exports lack, and for how many exports in a row.
    pub absences: BTreeMap<ReferenceId, Absence>,
    /// Whom accepted plans of the source removed lately without an approval.
    pub losses: Vec<Loss>,
    /// Nominal time at which each schedule (`schedule`, `resync`, `expect_by`) last fired, so that a missed one fires once.
    pub fired: BTreeMap<String, DateTime<Utc>>,
    /// When a daemon first looked for its exports.
    pub first_seen: Option<DateTime<Utc>>,
    /// When an export last came that was not accepted only because its content was known, or nothing is submitted: the feed
    /// is alive.
    pub last_delivered: Option<DateTime<Utc>>,
    /// The run that last submitted all its rosters again.
    pub last_resync: Option<RunId>,
    /// Why the dates of the last accepted export cannot be looked at again.
    pub recheck_trouble: Option<String>,
}

impl SourceState {
    /// A source that never delivered.
    pub fn new(source: SourceName) -> Self {
        Self {
            source,
            last_accepted: None,
            absences: BTreeMap::new(),
            losses: Vec::new(),
            fired: BTreeMap::new(),
            first_seen: None,
            last_delivered: None,
            last_resync: None,
            recheck_trouble: None,
        }
    }
}

/// An export that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedExport {
    /// The run that accepted it.
    pub run: RunId,
    /// Of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Its name as dropped.
    pub name: String,
    /// Rows that stand for people.
    pub rows: u64,
    /// Its modification time.
    pub modified: Option<DateTime<Utc>>,
    /// When it was accepted; looking at it again does not make it newer.
    pub accepted_at: DateTime<Utc>,
    /// The day for which its dates were looked at last; none in records of before that was kept.
    pub day: Option<NaiveDate>,
    /// How it ended; none in records of before that was kept.
    pub ending: Option<FileEnding>,
}

/// How an export ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEnding {
    /// With a line end.
    Ended,
    /// Without one.
    Open,
    /// Without one, although the export before it had one: its last row was taken for one that is cut off.
    Doubted,
}

/// How a batch ends: what is written in one transaction, or not at all.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The batch in its final phase.
    pub batch: Batch,
    /// The group's roster as confirmed now; none when nothing was confirmed (refused, lost).
    pub roster: Option<ConfirmedRoster>,
    /// What the batch changed, person by person.
    pub changes: BatchChanges,
    /// Why nothing more is sent to the group until a person has looked; none while all is well.
    pub pause: Option<String>,
}

impl Settlement {
    /// An end that changed nothing about anybody, and pauses nothing.
    pub fn unchanged(batch: Batch, roster: Option<ConfirmedRoster>) -> Self {
        Self { batch, roster, changes: BatchChanges::default(), pause: None }
    }
}

/// A run with the plan that it carried out; the plan is kept for `show`, receipts and approval.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The run.
    pub run: Run,
    /// Its plan, where one was made.
    pub plan: Option<PlanReport>,
    /// Where its file lies now, relative to the inbox.
    pub filed_as: Option<String>,
}

#[cfg(test)]
mod tests;
