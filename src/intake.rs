//! From a folder to claimed files. In come an inbox and its schedule; out go [`Arrival`]s, in order: what a crash left
//! under way, then files as they settle, and appointments as they fall due.
//!
//! One task a source. It never reads a file's content, never decides what becomes of it, and never claims a file while
//! there is no room for it in the channel: what is not claimed stays in the inbox, where everybody can see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, mpsc, watch as state};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::clock::{self, Clock};
use crate::config::Source;
use crate::report::Trigger;

pub mod receipt;
pub mod schedule;
pub mod settle;
pub mod spool;
mod timetable;
pub mod watch;

use schedule::Cron;
use settle::{Ledger, Look, Pattern, Ready, Rules};
use spool::{Claimed, FolderId, Spool, SpoolError};
pub use timetable::Appointment;
use timetable::Timetable;
use watch::{Watch, Watching};

/// The longest sleep. Timers stand still while the machine is suspended; half a minute after it wakes, the wall clock is
/// asked what was missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The shortest time from one look to the next that a hint asks for: a folder that changes all the time is looked at
/// 40 times a second at most, which a person does not notice.
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);

/// A look that took long is followed by a pause this many times longer, so that huge folders take a fifth of a core.
const PAUSE_PER_LOOK: u32 = 4;

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
            looked_at: None,
            next: None,
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
                () = task.watch.hint() => Wake::Hint,
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

/// The task stops: it was told to, or nobody listens.
struct Ended;

struct Task {
    intake: Intake,
    stop: CancellationToken,
    timetable: Timetable,
    ledger: Ledger,
    watch: Watch,
    /// The folder that the path meant at the last look.
    open: Option<(FolderId, Spool)>,
    shown: InboxState,
    leftovers: Leftovers,
    /// When the next look is due, whatever happens.
    look_at: Instant,
    /// Before this, no hint leads to a look.
    rested_at: Instant,
}

/// Whether files that a crash left have been handed over. Later on, what lies in `.rosterd/` is being worked on.
#[derive(PartialEq)]
enum Leftovers {
    ToSend,
    Sent,
}

impl Task {
    fn new(intake: Intake, stop: CancellationToken) -> Self {
        let source = &intake.source;
        let rules =
            Rules { files: Pattern::new(&source.files), settle: source.settle, done_marker: source.done_marker };
        let timetable = Timetable::new(crons(source), source.timezone, &intake.last_fired, intake.clock.now());
        let now = Instant::now();
        Self {
            timetable,
            ledger: Ledger::new(rules),
            watch: Watch::new(),
            open: None,
            shown: InboxState::default(),
            leftovers: Leftovers::ToSend,
            look_at: now,
            rested_at: now,
            intake,
            stop,
        }
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        let now = self.intake.clock.now();
        let appointment = self.timetable.next(now).map_or(LONGEST_SLEEP, |(_, at)| clock::until(at, now));
        let look = self.look_at.saturating_duration_since(Instant::now());
        // An appointment fires when the clock has passed it, not while it stands at it: never spin towards it.
        look.min(appointment.max(Duration::from_millis(1))).min(LONGEST_SLEEP)
    }

    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.rested_at);
    }

    async fn on_timer(&mut self) -> Result<(), Ended> {
        let due = self.timetable.due(self.intake.clock.now());
        if due.iter().any(|(appointment, _)| *appointment == Appointment::Recheck) {
            self.look(Trigger::Schedule).await?;
        } else if self.look_at <= Instant::now() {
            self.look(Trigger::Watch).await?;
        }
        for (appointment, nominal) in due {
            info!(source = %self.intake.source.name, appointment = appointment.key(), %nominal, "appointment is due");
            self.send(Arrival::Scheduled(appointment, nominal)).await?;
        }
        Ok(())
    }

    /// Looks through the inbox and hands over what is ready.
    async fn look(&mut self, trigger: Trigger) -> Result<(), Ended> {
        let begun = Instant::now();
        let found = match self.enter().await {
            Ok(spool) => self.take_stock(&spool).await.map(|look| (spool, look)),
            Err(error) => Err(error),
        };
        let done = match found {
            Ok((spool, look)) => self.hand_over(spool, look, trigger, begun).await,
            Err(error) => {
                self.lose(&error);
                Ok(())
            }
        };
        self.plan_next(begun);
        self.show();
        done
    }

    /// Makes sure that the path still means the folder that is watched, and opens and watches it otherwise.
    async fn enter(&mut self) -> Result<Spool, SpoolError> {
        let inbox = self.intake.source.inbox.clone();
        let known = self.open.take();
        let mut watch = std::mem::take(&mut self.watch);
        let (watch, entered) = off_the_runtime(move || {
            let entered = match (Spool::identify(&inbox), known) {
                (Err(error), _) => Err(error),
                (Ok(id), Some((known, spool))) if known == id => Ok((id, spool, None)),
                (Ok(id), _) => Spool::open(&inbox).map(|spool| (id, spool, Some(watch.aim(&inbox)))),
            };
            (watch, entered)
        })
        .await;
        self.watch = watch;
        let (id, spool, watching) = entered?;
        if let Some(watching) = watching {
            self.entered(watching);
        }
        if self.watch.has_failed() {
            self.watch.rest();
            self.set_watching(Watching::Polling("the watcher failed".to_owned()));
        }
        self.shown.folder = FolderState::Open;
        self.open = Some((id, spool.clone()));
        Ok(spool)
    }

    fn entered(&mut self, watching: Watching) {
        let source = &self.intake.source;
        info!(source = %source.name, inbox = %source.inbox.display(), "inbox opened");
        self.set_watching(watching);
    }

    fn set_watching(&mut self, watching: Watching) {
        if let Watching::Polling(reason) = &watching
            && self.shown.watching != watching
        {
            let source = &self.intake.source;
            warn!(source = %source.name, reason, rescan = ?source.rescan, "no file events: the inbox is polled");
        }
        self.shown.watching = watching;
    }

    async fn take_stock(&mut self, spool: &Spool) -> Result<Look, SpoolError> {
        let folder = spool.clone();
        let found = off_the_runtime(move || folder.list()).await?;
        let look = self.ledger.look(&found, Instant::now().into_std());
        for refused in &look.refused {
            warn!(source = %self.intake.source.name, file = %refused.name.display(), why = refused.why,
                "a name in the inbox is not taken");
        }
        self.shown.looked_at = Some(self.intake.clock.now());
        Ok(look)
    }

    async fn hand_over(&mut self, spool: Spool, look: Look, trigger: Trigger, begun: Instant) -> Result<(), Ended> {
        // Handing over may wait long for room; only the look itself counts for the pause after it.
        self.rested_at = Instant::now() + (begun.elapsed() * PAUSE_PER_LOOK).max(SHORTEST_PAUSE);
        self.show();
        if self.leftovers == Leftovers::ToSend {
            self.send_leftovers(&spool).await?;
        }
        for ready in look.ready {
            self.claim(&spool, ready, trigger).await?;
        }
        Ok(())
    }

    async fn send_leftovers(&mut self, spool: &Spool) -> Result<(), Ended> {
        let folder = spool.clone();
        match off_the_runtime(move || folder.claimed()).await {
            Ok(claimed) => {
                for claimed in claimed {
                    info!(source = %self.intake.source.name, file = claimed.name, "a file that was under way goes on");
                    self.send(Arrival::File(claimed, Trigger::Watch)).await?;
                }
                self.leftovers = Leftovers::Sent;
            }
            Err(error) => self.complain(&error, "files that were under way cannot be listed"),
        }
        Ok(())
    }

    /// Claims one file once there is room for it.
    async fn claim(&mut self, spool: &Spool, ready: Ready, trigger: Trigger) -> Result<(), Ended> {
        let out = self.intake.out.clone();
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Ended),
            permit = out.reserve() => permit.map_err(|_closed| Ended)?,
        };
        let name = ready.name.clone();
        let (folder, now) = (spool.clone(), self.intake.clock.now());
        // Not raced with `stop`: a claim that has begun is handed over or put back.
        match off_the_runtime(move || folder.claim(&ready, now)).await {
            Ok(claimed) => {
                debug!(source = %self.intake.source.name, file = claimed.name, size = claimed.size, "file claimed");
                self.ledger.forget(&name);
                permit.send(Arrival::File(claimed, trigger));
            }
            Err(SpoolError::Gone) => self.ledger.forget(&name),
            // The next look sees that it changed, and its time starts again.
            Err(SpoolError::Changed) => debug!(source = %self.intake.source.name, "a file was put back"),
            Err(error) => {
                warn!(source = %self.intake.source.name, file = %name.display(), %error, "a file cannot be claimed");
                self.ledger.put_off(&name, (Instant::now() + self.intake.source.rescan).into_std());
            }
        }
        Ok(())
    }

    async fn send(&self, arrival: Arrival) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ended),
            sent = self.intake.out.send(arrival) => sent.map_err(|_closed| Ended),
        }
    }

    /// The inbox cannot be used: what was seen in it is forgotten, since what comes back may be another folder.
    fn lose(&mut self, error: &SpoolError) {
        let folder = match error {
            SpoolError::Missing(_) => FolderState::Missing,
            SpoolError::NotAFolder(_)
            | SpoolError::OtherFilesystem(_)
            | SpoolError::Gone
            | SpoolError::Changed
            | SpoolError::Lost(_)
            | SpoolError::NotFiled(_)
            | SpoolError::Io { .. } => FolderState::Unusable(with_cause(error)),
        };
        if self.shown.folder != folder {
            self.complain(error, "the inbox cannot be used");
        }
        self.shown.folder = folder;
        self.open = None;
        self.watch.rest();
        self.ledger.look(&[], Instant::now().into_std());
    }

    fn complain(&self, error: &SpoolError, message: &'static str) {
        let source = &self.intake.source;
        error!(source = %source.name, inbox = %source.inbox.display(), error = with_cause(error), "{message}");
    }

    fn plan_next(&mut self, begun: Instant) {
        let now = Instant::now();
        let rescan = begun + self.intake.source.rescan.max(SHORTEST_PAUSE);
        let settled = self.ledger.next_look(now.into_std()).map(|wait| now + wait);
        self.look_at = settled.map_or(rescan, |settled| rescan.min(settled));
    }

    fn show(&mut self) {
        self.shown.waiting = self.ledger.waiting();
        self.shown.refused = self.ledger.refused().map(|name| name.to_string_lossy().into_owned()).collect();
        self.shown.next = self.timetable.next(self.intake.clock.now());
        let shown = &self.shown;
        self.intake.state.send_if_modified(|state| {
            let is_new = state != shown;
            if is_new {
                state.clone_from(shown);
            }
            is_new
        });
    }
}

fn crons(source: &Source) -> Vec<(Appointment, Cron)> {
    [
        (Appointment::Recheck, &source.schedule),
        (Appointment::Resync, &source.resync),
        (Appointment::ExpectBy, &source.expect_by),
    ]
    .into_iter()
    .filter_map(|(appointment, schedule)| Some((appointment, Cron::parse(&schedule.as_ref()?.0)?)))
    .collect()
}

fn with_cause(error: &SpoolError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Folders on network shares can hang: no step on them runs on a thread of the runtime.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: this task is about to be dropped as well.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
