//! Every batch to its end: submit, poll, record, group by group, whatever breaks on the way.
//!
//! [`Deliverer`] is the room's task. It owns no rule: [`phase`] says what an event leads to, [`pace`] how long to wait,
//! [`outcome`] what results mean for each person, `outage` whether the API is there, [`moves`] who may be added before whom, [`ending`] what a run came to. [`driver`]
//! performs what they say.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, RwLock, RwLockWriteGuard, Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::api::MemberSync;
use crate::clock::{self, Clock};
use crate::config::Poll;
use crate::report::{Phase, Trigger};
use crate::roster::ids::{GroupRef, RunId};
use crate::store::{Store, StoreError};

use outage::Outage;

mod arrivals;
pub mod driver;
pub mod ending;
pub mod moves;
mod outage;
pub mod outcome;
pub mod pace;
pub mod phase;

/// Once the key was refused, so often is it tried again.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// Longest single sleep: timers stand still while the machine sleeps, so the wall clock is asked again this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// After a defect of ours, delivery of the group is tried again after this pause,
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// and so many times in all, before a person has to look.
const MOST_PANICS: u32 = 3;
/// Why a group is paused then.
const PANICKED: &str = "delivery of this group ended abnormally again and again, by a defect of rosterd: the log says where; \
     nothing was lost, and nothing more is sent to the group";
/// Listeners that fall further behind than this miss news; the store has the truth.
const NEWS_CAPACITY: usize = 4096;

/// What delivering needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How results are polled.
    pub poll: Poll,
    /// Groups with a batch under way at once.
    pub max_in_flight: usize,
}

/// What happens while delivering, for progress bars, receipts and tests. Hints: the store has the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A batch of the group entered a phase.
    Phase(GroupRef, Phase),
    /// Nothing of the run is left to do.
    RunEnded(RunId),
    /// The API refused the key: nothing is sent until a probe succeeds.
    KeyRefused,
    /// The API cannot be reached, or asks for patience, until the given time.
    Trouble(GroupRef, String, DateTime<Utc>),
}

/// The room's task, and the handle to it.
#[derive(Debug)]
pub struct Deliverer {
    store: Store,
    api: Arc<dyn MemberSync>,
    clock: Clock,
    settings: Settings,
    permits: Semaphore,
    /// Groups that wait for a place to add people whom nobody covers.
    urgent: AtomicUsize,
    /// Places that rosters may take which are submitted again against drift.
    unhurried: Semaphore,
    /// Whether the run is a resync whose batch was looked at last: thousands of groups follow each other with batches of one run.
    last_run: Arc<Mutex<Option<(RunId, bool)>>>,
    wake: Notify,
    /// Counts up when a batch has ended: whoever waits for people to leave another group looks again.
    settled: watch::Sender<u64>,
    /// Counts up when a person releases something: whoever waits for a later attempt looks again.
    released: watch::Sender<u64>,
    /// Held for reading while a batch goes from `pending` to `submitting`, for writing from a plan's look at what is under way to
    /// its record.
    sends: RwLock<()>,
    key_refused: watch::Sender<bool>,
    outage: Outage,
    news: broadcast::Sender<News>,
}

/// A group whose drive ended, and how.
type Drive = (GroupRef, Result<(), StoreError>);

/// What the room's loop was woken by.
enum Woken {
    Stop,
    Look,
    Probe,
    Ended(Drive),
    Panicked(GroupRef),
}

/// The drives under way, one a group at most.
#[derive(Default)]
struct Drives {
    tasks: JoinSet<Result<(), StoreError>>,
    groups: HashMap<tokio::task::Id, GroupRef>,
    active: HashSet<GroupRef>,
    /// How often the drives of a group panicked.
    panics: HashMap<GroupRef, u32>,
}

impl Drives {
    fn spawn(&mut self, group: GroupRef, drive: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
        let id = self.tasks.spawn(drive).id();
        self.groups.insert(id, group);
    }

    /// Waits for one to end; none when there is none.
    async fn next(&mut self) -> Option<Woken> {
        loop {
            let (id, ended) = match self.tasks.join_next_with_id().await? {
                Ok((id, ended)) => (id, Some(ended)),
                Err(error) => (error.id(), None),
            };
            if let Some(group) = self.groups.remove(&id) {
                return Some(match ended {
                    Some(ended) => Woken::Ended((group, ended)),
                    None => Woken::Panicked(group),
                });
            }
        }
    }
}

impl Deliverer {
    /// Makes the handle; nothing moves before [`Deliverer::run`].
    pub fn new(store: Store, api: Arc<dyn MemberSync>, clock: Clock, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            store,
            api,
            clock,
            settings,
            permits: Semaphore::new(settings.max_in_flight),
            urgent: AtomicUsize::new(0),
            // Half of all, so that somebody who joined is never behind more than a few rosters that change nothing.
            unhurried: Semaphore::new((settings.max_in_flight / 2).max(1)),
            last_run: Arc::default(),
            wake: Notify::new(),
            settled: watch::Sender::new(0),
            released: watch::Sender::new(0),
            sends: RwLock::new(()),
            key_refused: watch::Sender::new(false),
            outage: Outage::default(),
            news: broadcast::Sender::new(NEWS_CAPACITY),
        })
    }

    /// Listens to what happens from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Whether the API refused the key and delivery stands still.
    pub fn is_key_refused(&self) -> bool {
        *self.key_refused.borrow()
    }

    /// Tells the task to look for work, after a group was released.
    pub fn nudge(&self) {
        self.released.send_modify(|count| *count = count.wrapping_add(1));
        self.wake.notify_one();
    }

    /// Lets nothing leave that has not left yet, until the answer is dropped. A plan that takes a roster for unsent must not find
    /// it sent when it is recorded: whom that roster adds would be left out without a decision.
    pub async fn hold_sends(&self) -> RwLockWriteGuard<'_, ()> {
        self.sends.write().await
    }

    /// Carries out all work in the store, and all that comes, until `stop`. Returns when nothing is between a request and its
    /// recorded answer.
    ///
    /// # Errors
    /// [`StoreError`] when the work in the store cannot be read at the start, and [`StoreError::Full`] at any time: the
    /// store takes no more writes until it is opened again, so there is nothing to wait for.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        self.take_stock().await?;
        let cut_short = stop.child_token();
        let mut drives = Drives::default();
        // By the time since the last probe, not since the last event: a busy day must not put it off.
        let mut probe_at = None;
        self.wake.notify_one();
        let ended = loop {
            probe_at =
                if self.is_key_refused() { probe_at.or_else(|| Some(Instant::now() + PROBE_EVERY)) } else { None };
            let woken = tokio::select! {
                biased;
                () = stop.cancelled() => Woken::Stop,
                Some(ended) = drives.next() => ended,
                () = self.wake.notified() => Woken::Look,
                () = tokio::time::sleep_until(probe_at.unwrap_or_else(Instant::now)), if probe_at.is_some() => Woken::Probe,
            };
            match woken {
                Woken::Stop => break Ok(()),
                Woken::Probe => {
                    probe_at = None;
                    self.probe().await;
                }
                Woken::Look => {
                    for group in self.groups_with_work().await {
                        self.start(&mut drives, group, &cut_short);
                    }
                }
                Woken::Ended((_, Err(error))) => break Err(error),
                Woken::Ended((group, Ok(()))) => {
                    drives.active.remove(&group);
                    // Work that came in while the drive was ending has nobody to carry it otherwise.
                    if self.has_work(&group).await {
                        self.start(&mut drives, group, &cut_short);
                    }
                }
                Woken::Panicked(group) => self.after_panic(&mut drives, group, &cut_short).await,
            }
        };
        // One that failed does not cut the others between a request and its recorded answer.
        cut_short.cancel();
        while drives.next().await.is_some() {}
        ended
    }

    fn start(self: &Arc<Self>, drives: &mut Drives, group: GroupRef, stop: &CancellationToken) {
        if drives.active.insert(group.clone()) {
            let span = info_span!("drive", group = %group);
            let deliverer = Arc::clone(self);
            let stop = stop.clone();
            let drive = {
                let group = group.clone();
                async move { deliverer.drive(&group, &stop).await }
            };
            drives.spawn(group, drive.instrument(span));
        }
    }

    /// A drive that panicked met a defect of ours. It is tried again, since what it met may be gone; a group that it keeps meeting
    /// is paused, which `status` says, and the others go on. What was between a request and its answer is on record.
    async fn after_panic(&self, drives: &mut Drives, group: GroupRef, stop: &CancellationToken) {
        let panics = drives.panics.entry(group.clone()).or_default();
        *panics += 1;
        if *panics < MOST_PANICS {
            error!(%group, attempt = *panics, again_after = ?AFTER_PANIC, "delivery ended abnormally");
            let stop = stop.clone();
            let pause = async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(AFTER_PANIC) => {}
                }
                Ok(())
            };
            drives.spawn(group, pause);
            return;
        }
        error!(%group, "delivery keeps ending abnormally, the group is paused");
        drives.panics.remove(&group);
        drives.active.remove(&group);
        let paused = self.store.call(move |store| {
            store.update_group(&group, |record| record.paused = Some(PANICKED.to_owned())).map(drop)
        });
        if let Err(error) = paused.await {
            error!(%error, "the group cannot be paused");
        }
    }

    /// Ends the runs that a crash left without a batch.
    async fn take_stock(&self) -> Result<(), StoreError> {
        let delivering =
            self.store.call(|store| store.runs(&crate::store::RunFilter::delivering(), usize::MAX)).await?;
        for run in delivering {
            self.end_run(&run.run).await;
        }
        Ok(())
    }

    async fn groups_with_work(&self) -> Vec<GroupRef> {
        let groups = self.store.call(|store| {
            let mut groups = store.groups_with_work()?;
            let mut paused = HashSet::new();
            for record in store.groups()? {
                if record.paused.is_some() {
                    paused.insert(record.group);
                }
            }
            groups.retain(|group| !paused.contains(group));
            // What a doubt has overtaken waits until an approved roster takes its place.
            let mut free = Vec::with_capacity(groups.len());
            for group in groups {
                if !store.is_overtaken(&group)? {
                    free.push(group);
                }
            }
            Ok(free)
        });
        groups.await.unwrap_or_else(|error| {
            error!(%error, "cannot look for work");
            Vec::new()
        })
    }

    async fn has_work(&self, group: &GroupRef) -> bool {
        let group = group.clone();
        let has = self.store.call(move |store| {
            let is_paused = store.group(&group)?.is_some_and(|record| record.paused.is_some());
            Ok(!is_paused && !store.is_overtaken(&group)? && store.work(&group)?.is_some())
        });
        has.await.unwrap_or(false)
    }

    /// Asks for something harmless, to learn whether the key is good again.
    async fn probe(&self) {
        if let Err(crate::api::ApiError::Unauthorized { status }) = self.api.plans().await {
            warn!(status, "the API still refuses the key");
        } else {
            info!("delivery goes on");
            self.key_refused.send_replace(false);
        }
    }

    /// Tells the task that batches were superseded before they were sent.
    pub async fn superseded(&self, runs: Vec<RunId>) {
        for run in runs {
            self.end_run(&run).await;
        }
    }

    /// Ends a run if nothing of it is left to do; called whenever a batch has ended. The store says what is left: a count kept
    /// here would be wrong for a batch that ends before it was counted. A store that fails here is asked again at the next start.
    async fn end_run(&self, run: &RunId) {
        let now = self.clock.now();
        let id = run.clone();
        let ended = self.store.call(move |store| ending::end_run(store, &id, now)).await;
        match ended {
            Ok(Some(run)) => {
                if run.trigger == Trigger::Resync && run.counts.returning != 0 {
                    let found = run.reason.as_deref();
                    warn!(run = %run.run, restored = run.counts.returning, found, "people had vanished from the API");
                }
                info!(run = %run.run, state = ?run.state, confirmed = run.counts.confirmed, failed = run.counts.failed, "run ended");
                self.tell(News::RunEnded(run.run));
            }
            Ok(None) => {}
            Err(error) => error!(run = %run, %error, "the end of a run cannot be recorded"),
        }
    }

    fn tell(&self, news: News) {
        // Nobody listening is fine.
        drop(self.news.send(news));
    }

    /// Waits so long by the timer, or by the clock, whichever says first that it is over: a timer stands still while the machine
    /// sleeps, a clock can be set back. Whether it came to its end; `false` means stop.
    async fn pause(&self, pause: Duration, stop: &CancellationToken) -> bool {
        let (end, now) = (Instant::now() + pause, self.clock.now());
        let then = TimeDelta::from_std(pause).ok().and_then(|pause| now.checked_add_signed(pause));
        loop {
            let by_clock = then.map_or(Duration::MAX, |then| clock::until(then, self.clock.now()));
            let left = by_clock.min(end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return !stop.is_cancelled();
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
            }
        }
    }
}
