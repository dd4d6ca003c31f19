//! What the task of one source knows between two wakes, and what it does at one.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::schedule::Cron;
use super::settle::{Ledger, Look, Pattern, Ready, Rules};
use super::spool::{FolderId, Spool, SpoolError};
use super::timetable::{Appointment, Timetable};
use super::watch::{Watch, Watching};
use super::{Arrival, FolderState, InboxState, Intake};
use crate::clock;
use crate::config::Source;
use crate::report::Trigger;

/// The longest sleep. Timers stand still while the machine is suspended; half a minute after it wakes, the wall clock is
/// asked what was missed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The shortest time from one look to the next that a hint asks for: a folder that changes all the time is looked at
/// 100 times a second at most, and the pause adds less to the settle time than anybody notices.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A look that took long is followed by a pause this many times longer, so that huge folders take a fifth of a core.
const PAUSE_PER_LOOK: u32 = 4;

/// The task stops: it was told to, or nobody listens.
pub(super) struct Ended;

pub(super) struct Task {
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
    pub(super) fn new(intake: Intake, stop: CancellationToken) -> Self {
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
    pub(super) fn wait(&self) -> Duration {
        let now = self.intake.clock.now();
        let appointment = self.timetable.due_at().map_or(LONGEST_SLEEP, |at| clock::until(at, now));
        let look = self.look_at.saturating_duration_since(Instant::now());
        // An appointment fires when the clock has passed it, not while it stands at it: never spin towards it.
        look.min(appointment.max(Duration::from_millis(1))).min(LONGEST_SLEEP)
    }

    /// Waits for an event of the folder.
    pub(super) async fn hint(&mut self) {
        self.watch.hint().await;
    }

    /// A hint came: the next look is not far, and not sooner than the pause after the last one allows.
    pub(super) fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.rested_at);
    }

    /// Does what is due: appointments, and a look at the inbox.
    pub(super) async fn on_timer(&mut self) -> Result<(), Ended> {
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
    pub(super) async fn look(&mut self, trigger: Trigger) -> Result<(), Ended> {
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
        self.shown.stuck.retain(|stuck, _| found.iter().any(|found| found.name.to_string_lossy() == *stuck));
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
        let (folder, now) = (spool.clone(), self.intake.clock.now());
        match off_the_runtime(move || folder.sweep(now).and_then(|()| folder.claimed())).await {
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
        let claimed = off_the_runtime(move || folder.claim(&ready, now)).await;
        self.shown.stuck.remove(&*name.to_string_lossy());
        match claimed {
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
                let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                self.shown.stuck.insert(name.to_string_lossy().into_owned(), cause);
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
    .filter_map(|(appointment, schedule)| schedule.clone().map(|cron| (appointment, cron)))
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
