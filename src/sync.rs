//! One pass over one export: from a claimed file to its recorded plan, its work for [`crate::deliver`], its place in the inbox
//! and its receipt. The [`Desk`] is where everything that needs store, API and config together is done, by the daemon and by
//! the commands alike.
//!
//! Order of a pass, so that a crash at any point ends in the same place: read and plan (nothing written), record the run with its
//! batches (one transaction), file the export away, tell the deliverer, write the receipt. A claimed file without a finished
//! run is passed over again; a recorded run whose file still lies among the claimed is only filed away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::api::{ApiError, MemberSync};
use crate::clock::Clock;
use crate::config::{Config, Mode, Source};
use crate::control::Refusal;
use crate::deliver::Deliverer;
use crate::export::problem::{Broken, Problem};
use crate::intake::InboxState;
use crate::intake::spool::{Claimed, Place, SpoolError};
use crate::plan::Approval;
use crate::report::{
    Approves, Counts, DaemonStatus, FileFacts, GuardReport, GuardVerdict, PlanReport, PlanVerdict, ProblemReport, Run,
    RunState, Trigger,
};
use crate::roster::ids::{RunId, SourceName};
use crate::roster::{Loss, Reading};
use crate::store::{AcceptedExport, RunRecord, SourceState, Store, StoreError};

mod alike;
pub mod answers;
pub mod backups;
pub mod baseline;
pub mod examine;
pub mod filing;
pub mod groups;
pub mod overdue;
mod planning;
pub mod recheck;
mod repeat;
pub mod resync;
pub mod retention;
mod revert;
pub mod status;
mod travel;
pub mod trust;
mod waiting;

use examine::{ExamineError, Examined};
use planning::{Planned, Purpose};
use repeat::Repeated;

/// Where exports are passed over.
#[derive(Debug)]
pub struct Desk {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// What is remembered.
    pub store: Store,
    /// The API.
    pub api: Arc<dyn MemberSync>,
    /// The time.
    pub clock: Clock,
    /// Where recorded batches go.
    pub deliverer: Arc<Deliverer>,
    /// One pass at a time: a plan counts on the rosters that it was made against.
    turn: tokio::sync::Mutex<()>,
    /// One receipt at a time: what is read first is written first.
    receipts: tokio::sync::Mutex<()>,
    /// Sources whose inbox was compared with the state since the start.
    looked_at: std::sync::RwLock<BTreeSet<SourceName>>,
    /// How the daily backup is doing.
    backup: std::sync::RwLock<backups::Trouble>,
    /// Set by the daemon; none for a command that opened the state itself.
    daemon: Option<Running>,
    /// Whether rows are read that are familiar: for tests that compare.
    reads_all: bool,
}

/// What only the daemon knows.
#[derive(Debug)]
pub struct Running {
    /// Since when it runs.
    pub since: DateTime<Utc>,
    /// How each inbox is doing.
    pub inboxes: BTreeMap<SourceName, tokio::sync::watch::Receiver<InboxState>>,
}

/// One export to pass over.
#[derive(Clone, Debug)]
pub struct Job {
    /// The source that it came from.
    pub source: SourceName,
    /// The file, claimed.
    pub file: Claimed,
    /// What set it off.
    pub trigger: Trigger,
    /// Another day than today, for the effective dates.
    pub as_of: Option<NaiveDate>,
    /// The person who set it off.
    pub actor: Option<String>,
    /// What that person released, and why.
    pub approval: Option<Release>,
    /// Whether the content counts although it is that of the last accepted export: a person wants it delivered again.
    pub again: bool,
}

/// What a person releases.
#[derive(Clone, Debug)]
pub struct Release {
    /// What was held.
    pub approval: Approval,
    /// The run and the plan that the person saw.
    pub approves: Approves,
    /// Why.
    pub reason: String,
}

/// Why a pass came to no end. The file stays claimed; nothing was recorded.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The config has no such source.
    #[error("no source named {0} in the config")]
    NoSource(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API has to be asked about groups and gives no answer.
    #[error("the API must be asked which groups it has: {0}")]
    Api(#[from] ApiError),
    /// The inbox failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody wrote to the file while it was read: it was given back to the inbox, where it must settle again.
    #[error("the file changed while it was read, and was given back to the inbox")]
    Changed,
    /// A newer export was accepted before the last one could be looked at again. Nothing is left to do.
    #[error("a newer export was accepted in the meantime")]
    Overtaken,
    /// What the person asks for makes no sense now; the text says why and what to do.
    #[error("{0}")]
    Refused(String),
}

/// The right to plan.
type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

impl Desk {
    /// Sets up the desk. Nothing moves by itself.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        api: Arc<dyn MemberSync>,
        clock: Clock,
        deliverer: Arc<Deliverer>,
    ) -> Self {
        let (turn, receipts) = (tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(()));
        let looked_at = std::sync::RwLock::default();
        let backup = std::sync::RwLock::default();
        Self { config, store, api, clock, deliverer, turn, receipts, looked_at, backup, daemon: None, reads_all: false }
    }

    /// Makes it the desk of a daemon.
    #[must_use]
    pub fn with_daemon(mut self, daemon: Running) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Makes it a desk that passes over no row: its plans are the same, and slower.
    #[doc(hidden)]
    #[must_use]
    pub fn reading_all(mut self) -> Self {
        self.reads_all = true;
        self
    }

    /// What is the matter with each inbox, as far as a daemon looks.
    fn inboxes(&self) -> BTreeMap<SourceName, Option<String>> {
        let inboxes = self.daemon.iter().flat_map(|daemon| &daemon.inboxes);
        inboxes.map(|(source, state)| (source.clone(), state.borrow().trouble())).collect()
    }

    fn daemon_status(&self) -> Option<DaemonStatus> {
        self.daemon.as_ref().map(|daemon| DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: daemon.since,
            key_refused: self.deliverer.is_key_refused(),
        })
    }

    /// The config of a source.
    ///
    /// # Errors
    /// [`SyncError::NoSource`].
    pub fn source(&self, name: &SourceName) -> Result<&Source, SyncError> {
        source_named(&self.config, name)
    }

    /// Passes over one claimed export, up to its recorded batches and its place in the inbox. Delivery goes on by itself.
    ///
    /// # Errors
    /// [`SyncError`]: nothing was recorded, the file stays claimed, try again.
    pub async fn pass(&self, job: Job) -> Result<Run, SyncError> {
        let turn = self.turn.lock().await;
        self.pass_in_turn(job, &turn).await
    }

    /// [`Desk::pass`] for whoever holds the turn.
    async fn pass_in_turn(&self, job: Job, _turn: &Turn<'_>) -> Result<Run, SyncError> {
        if let Some(run) = self.finish_filing(&job).await? {
            return Ok(run);
        }
        let source = self.source(&job.source)?.clone();
        self.look_at_inbox(&source).await?;
        let now = self.clock.now();
        let id = self.store.ids().run(now);
        let mut run = new_run(&id, &job, now);
        info!(run = %id, source = %job.source, file = %job.file.name, "export received");

        let surveyed = async {
            let mut surveyed = examine::survey(&job.file.path, &source).await?;
            let sha256 = surveyed.sha256().await?;
            Ok((surveyed, sha256))
        };
        let (surveyed, sha256) = match surveyed.await {
            Ok(surveyed) => surveyed,
            Err(ExamineError::Broken(broken)) => return self.reject(&job, run, &broken, Vec::new()).await,
            Err(ExamineError::Read(error)) => return Err(unreadable(&job.file.path, error)),
        };
        run.file = Some(FileFacts { name: job.file.name.clone(), sha256, rows: 0 });
        let state = self.source_state(&job.source).await?;
        if self.judge_repeat(&source, &job, &state, &mut run).await? == Repeated::Idly {
            return self.conclude(&job, run, RunState::Duplicate, None).await;
        }
        // What is known is loaded while the export is read, and stays true until the plan is recorded.
        let sends = self.deliverer.hold_sends().await;
        let today = today(&source, job.as_of, now);
        let (examined, known) = match self.look(&source, std::future::ready(Ok(surveyed)), today).await? {
            Ok((examined, known)) => (Examined { name: job.file.name.clone(), ..examined }, known),
            Err(ExamineError::Broken(broken)) => return self.reject(&job, run, &broken, Vec::new()).await,
            Err(ExamineError::Read(error)) => return Err(unreadable(&job.file.path, error)),
        };
        if let Some(broken) = examine::unusable(&examined.reading) {
            let Reading { rows, invalid_rows, problems, .. } = examined.reading;
            run.counts = Counts { rows, problems: invalid_rows, ..Counts::default() };
            run.file = run.file.map(|file| FileFacts { rows, ..file });
            return self.reject(&job, run, &broken, problems).await;
        }
        self.give_back_changed(&source, &job).await?;
        self.learn_groups(&source, &examined).await?;
        let approval = job.approval.as_ref().map(|release| release.approval.clone());
        let purpose = Purpose::Carry { modified: job.file.modified, approval };
        let planned = self.plan(&source, &id, (examined, known), purpose).await?;
        self.record(&job, run, (planned, sends), state).await
    }

    /// Records a plan: held whole, to be looked at only, or accepted with its batches.
    async fn record(
        &self,
        job: &Job,
        mut run: Run,
        (planned, sends): (Planned, tokio::sync::RwLockWriteGuard<'_, ()>),
        state: SourceState,
    ) -> Result<Run, SyncError> {
        run.counts = planned.counts;
        run.file = planned.report.file.clone();
        run.guards = planned.report.guards.iter().filter(|guard| is_news(guard)).cloned().collect();
        // That dates came due is said beside what is held; the words of an approval that was not enough are not.
        let because = run.reason.take_if(|_| run.repeats.is_some() && job.approval.is_none());
        if planned.is_held_whole {
            let held: Vec<String> = because.into_iter().chain(held_reason(&run.guards)).collect();
            run.reason = (!held.is_empty()).then(|| held.join("; "));
            warn!(run = %run.run, source = %run.source, "the export is held, nothing of it is sent");
            return self.conclude(job, run, RunState::Held, Some(planned.report)).await;
        }
        if self.config.mode == Mode::Plan {
            let mode = "mode = \"plan\": nothing is submitted";
            run.reason = Some(because.map_or_else(|| mode.to_owned(), |because| format!("{because}; {mode}")));
            return self.conclude(job, run, RunState::Planned, Some(planned.report)).await;
        }
        run.reason = because.or(run.reason);
        let now = self.clock.now();
        run.state = if planned.works.is_empty() {
            if planned.report.verdict == PlanVerdict::Hold { RunState::Partial } else { RunState::Unchanged }
        } else {
            RunState::Delivering
        };
        run.finished_at = planned.works.is_empty().then_some(now);
        run.batches = planned.works.iter().map(|work| work.batch.batch.clone()).collect();
        let accepted = AcceptedExport {
            run: run.run.clone(),
            sha256: run.file.as_ref().map(|file| file.sha256.clone()).unwrap_or_default(),
            name: job.file.name.clone(),
            rows: run.counts.rows,
            modified: Some(job.file.modified),
            // Looking at an export again does not make it newer.
            accepted_at: run.repeats.as_ref().map_or(now, |repeat| repeat.accepted_at),
            day: Some(today(self.source(&job.source)?, job.as_of, run.received_at)),
            ending: Some(planned.ending),
        };
        let is_dropped_again = run.repeats.is_some() && !job.again && job.approval.is_none();
        let last_delivered = if is_dropped_again { Some(run.received_at) } else { state.last_delivered };
        let state = SourceState {
            last_accepted: Some(accepted),
            absences: planned.absences,
            losses: remembered(state.losses, planned.losses, self.source(&job.source)?.guards.rolling_window, now),
            last_delivered,
            recheck_trouble: None,
            ..state
        };
        let record = RunRecord { run, plan: Some(planned.report), filed_as: Some(claimed_as(&job.file)) };
        let (written, works, familiar) = (record.clone(), planned.works, planned.familiar);
        let batches = works.len();
        let superseded =
            self.store.call(move |store| store.accept_with(&written, works, &state, familiar.as_ref())).await?;
        drop(sends);
        info!(
            run = %record.run.run, source = %record.run.source, rows = record.run.counts.rows,
            new = record.run.counts.new, returning = record.run.counts.returning, changed = record.run.counts.changed,
            moved = record.run.counts.moved, terminated = record.run.counts.terminated, missing = record.run.counts.missing, kept = record.run.counts.kept,
            batches, "plan recorded"
        );
        self.deliverer.nudge();
        self.deliverer.superseded(superseded.into_iter().map(|batch| batch.run).collect()).await;
        self.supersede_held(&record.run).await?;
        self.file_away(job, record, Place::Processed).await
    }

    /// A broken file: recorded as rejected, filed away with its account.
    async fn reject(&self, job: &Job, mut run: Run, broken: &Broken, problems: Vec<Problem>) -> Result<Run, SyncError> {
        warn!(run = %run.run, source = %run.source, code = ?broken.code, line = broken.line, "the export is rejected");
        run.reason = Some(broken.message.clone());
        run.file.get_or_insert_with(|| FileFacts { name: job.file.name.clone(), sha256: String::new(), rows: 0 });
        let report = PlanReport {
            source: run.source.clone(),
            file: run.file.clone(),
            verdict: PlanVerdict::Reject,
            guards: vec![GuardReport {
                guard: "broken".to_owned(),
                group: None,
                value: 1,
                limit: 0,
                verdict: GuardVerdict::Reject,
                sum: broken.message.clone(),
            }],
            problems: problems.into_iter().map(|problem| ProblemReport { problem, still_covered: None }).collect(),
            groups: Vec::new(),
            fingerprint: None,
        };
        self.conclude(job, run, RunState::Rejected, Some(report)).await
    }

    /// Records a run that sends nothing, and files its export away.
    async fn conclude(
        &self,
        job: &Job,
        mut run: Run,
        state: RunState,
        plan: Option<PlanReport>,
    ) -> Result<Run, SyncError> {
        run.state = state;
        run.finished_at = Some(self.clock.now());
        // Before the run: a file that is passed over again after a crash then counts as delivered once more, and no harm is done.
        if matches!(state, RunState::Duplicate | RunState::Planned) && job.trigger != Trigger::Recheck {
            let (source, at) = (run.source.clone(), run.received_at);
            self.store.call(move |store| store.update_source(&source, |state| state.last_delivered = Some(at))).await?;
        }
        let record = RunRecord { run, plan, filed_as: Some(claimed_as(&job.file)) };
        let written = record.clone();
        self.store.call(move |store| store.put_run(&written)).await?;
        self.supersede_held(&record.run).await?;
        self.file_away(job, record, filing::place(state)).await
    }

    /// A newer export takes the place of what its source has held: of everything when it is accepted, of the same content when
    /// it is held as well.
    async fn supersede_held(&self, by: &Run) -> Result<(), SyncError> {
        let by = by.clone();
        let superseded = self.store.call(move |store| filing::supersede_held(store, &by)).await?;
        for run in superseded {
            info!(run = %run, "a newer export supersedes the held run");
            self.refile(&run).await;
        }
        Ok(())
    }

    pub(crate) async fn source_state(&self, source: &SourceName) -> Result<SourceState, StoreError> {
        let name = source.clone();
        let state = self.store.call(move |store| store.source(&name)).await?;
        Ok(state.unwrap_or_else(|| SourceState::new(source.clone())))
    }

    /// Rewrites the receipt of a run from what is on record, after delivery changed it. A receipt that cannot be written is a
    /// warning: the record counts.
    pub async fn rewrite_receipt(&self, run: &RunId) {
        if let Err(error) = self.write_receipt(run).await {
            error!(run = %run, %error, "the receipt cannot be written");
        }
    }
}

/// Today, where the source is, or the day that a person named.
pub fn today(source: &Source, as_of: Option<NaiveDate>, now: DateTime<Utc>) -> NaiveDate {
    as_of.unwrap_or_else(|| now.with_timezone(&source.timezone).date_naive())
}

fn source_named<'a>(config: &'a Config, name: &SourceName) -> Result<&'a Source, SyncError> {
    let found = config.sources.iter().find(|source| source.name == *name);
    found.ok_or_else(|| SyncError::NoSource(name.to_string()))
}

/// The source that a person means: the one they name, or the only one.
///
/// # Errors
/// A refusal that names them all.
pub fn choose_source<'a>(config: &'a Config, named: Option<&SourceName>) -> Result<&'a Source, Refusal> {
    match (named, config.sources.as_slice()) {
        (Some(name), _) => Ok(source_named(config, name)?),
        (None, [only]) => Ok(only),
        (None, sources) => {
            let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            Err(Refusal::usage(format!("say which source it is, with --source: {}", names.join(", "))))
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> SyncError {
    SyncError::Read { path: path.to_owned(), source }
}

fn claimed_as(file: &Claimed) -> String {
    format!("{}/{}", filing::CLAIMED, file.key())
}

/// Guards that a person should see in a run: those that did not pass, and those of the whole file.
fn is_news(guard: &GuardReport) -> bool {
    guard.verdict != GuardVerdict::Pass || guard.group.is_none()
}

/// The losses that still count.
fn remembered(mut known: Vec<Loss>, new: Vec<Loss>, window: Duration, now: DateTime<Utc>) -> Vec<Loss> {
    let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
    known.retain(|loss| now - loss.at < window);
    known.extend(new);
    known
}

fn held_reason(guards: &[GuardReport]) -> Option<String> {
    let held: Vec<&str> = guards
        .iter()
        .filter(|guard| guard.verdict == GuardVerdict::Hold && guard.group.is_none())
        .map(|guard| guard.sum.as_str())
        .collect();
    (!held.is_empty()).then(|| held.join("; "))
}

fn new_run(id: &RunId, job: &Job, now: DateTime<Utc>) -> Run {
    Run {
        run: id.clone(),
        source: job.source.clone(),
        trigger: job.trigger,
        file: None,
        received_at: now,
        finished_at: None,
        state: RunState::Received,
        guards: Vec::new(),
        counts: Counts::default(),
        batches: Vec::new(),
        reason: job.approval.as_ref().map(|release| release.reason.clone()),
        actor: job.actor.clone(),
        approves: job.approval.as_ref().map(|release| release.approves.clone()),
        repeats: None,
        reverts: None,
    }
}
