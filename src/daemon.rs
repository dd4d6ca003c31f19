//! The daemon: build, bind, ready, run, drain. It joins the rooms and holds no rules.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::api::MemberSync;
use crate::api::http::{BuildError, HttpApi};
use crate::clock::Clock;
use crate::config::{Config, Mode, Source};
use crate::control::ControlError;
use crate::control::server::Server;
use crate::deliver::{Deliverer, News, Settings};
use crate::intake::{self, Appointment, Arrival, InboxState, Intake};
use crate::roster::ids::SourceName;
use crate::store::{Store, StoreError};
use crate::sync::recheck::Rechecked;
use crate::sync::{Desk, Job, Running, SyncError, trust};

/// Files claimed ahead, over all sources: enough to keep the desk busy, few enough that an inbox shows what waits.
const ARRIVALS_CAPACITY: usize = 4;
/// How often what is too old is looked for.
const RETIRE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked whether a backup is due: a clock may jump, and a machine may sleep over the time.
const BACKUP_LOOK_EVERY: Duration = Duration::from_secs(300);
/// How often it is looked whether the state's file has outgrown its content.
const COMPACT_EVERY: Duration = Duration::from_secs(3600);
/// A pass that came to no end (the API must be asked, the disk is full) is tried again after this pause.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Why the daemon cannot run.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// No API key was found.
    #[error(
        "no API key: put it into $CREDENTIALS_DIRECTORY/vitable-api-key, the file that api_key_file names, or \
         VITABLE_CONNECT_API_KEY"
    )]
    NoKey,
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Api(#[from] BuildError),
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket cannot be bound.
    #[error("cannot listen at {path}: {source}")]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: ControlError,
    },
    /// A task ended although nobody asked it to.
    #[error("the task {0} ended by itself")]
    TaskEnded(&'static str),
}

/// The outside that a daemon needs, passed in so that tests bring their own.
#[derive(Debug)]
pub struct Outside {
    /// The API.
    pub api: Arc<dyn MemberSync>,
    /// The time.
    pub clock: Clock,
}

impl Outside {
    /// The real API over HTTP, and the machine's clock.
    ///
    /// # Errors
    /// [`DaemonError::NoKey`], [`DaemonError::Api`].
    pub fn real(config: &Config) -> Result<Self, DaemonError> {
        if config.api.key.is_none() {
            return Err(DaemonError::NoKey);
        }
        let clock = Clock::system();
        Ok(Self { api: Arc::new(HttpApi::new(&config.api, clock.clone())?), clock })
    }
}

/// The daemon's tasks: each one tracked and named, and its end everybody's business.
struct Crew {
    tasks: JoinSet<(&'static str, Result<(), StoreError>)>,
    stop: CancellationToken,
}

impl Crew {
    fn start(&mut self, name: &'static str, work: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
        let work = async move { (name, work.await) };
        self.tasks.spawn(work.instrument(info_span!("task", name)));
    }

    /// Waits for `stop`, or for a task that ends although nobody asked it to; then lets every task finish.
    async fn work(mut self) -> Result<(), DaemonError> {
        let ended = tokio::select! {
            // First: the first task that obeys the stop is not one that ended by itself.
            biased;
            () = self.stop.cancelled() => None,
            ended = self.tasks.join_next() => Some(ended.and_then(Result::ok).unwrap_or(("crashed", Ok(())))),
        };
        self.stop.cancel();
        let mut failed = None;
        while let Some(drained) = self.tasks.join_next().await {
            if let Ok((_, Err(error))) = drained {
                failed = Some(error);
            }
        }
        match (ended, failed) {
            (Some((_, Err(error))), _) | (Some((_, Ok(()))) | None, Some(error)) => Err(error.into()),
            (Some((name, Ok(()))), None) => Err(DaemonError::TaskEnded(name)),
            (None, None) => Ok(()),
        }
    }
}

/// Runs until `stop`. `ready` is called once the state is open, the socket is bound and every task is started.
///
/// # Errors
/// [`DaemonError`] when it cannot start, or when one of its tasks ends by itself.
pub async fn run(
    config: Arc<Config>,
    outside: Outside,
    ready: impl FnOnce(&Store),
    stop: CancellationToken,
) -> Result<(), DaemonError> {
    let Outside { api, clock } = outside;
    let store = Store::open(&config.state_dir, &config.api.base_url)?;
    {
        // Before anything is sent: what is on record must be what was done last.
        let (config, now) = (Arc::clone(&config), clock.now());
        store.call(move |store| trust::look(store, &config, now)).await?;
    }
    let settings = Settings { poll: config.poll, max_in_flight: config.api.max_in_flight };
    let deliverer = Deliverer::new(store.clone(), Arc::clone(&api), clock.clone(), settings);
    let socket = &config.control_socket;
    let server = Server::bind(socket).await.map_err(|source| DaemonError::Control { path: socket.clone(), source })?;

    let mut crew = Crew { tasks: JoinSet::new(), stop: stop.clone() };
    let mut inboxes = BTreeMap::new();
    let (arrivals, arrived) = mpsc::channel(ARRIVALS_CAPACITY);
    for source in &config.sources {
        let (state, shown) = watch::channel(InboxState::default());
        inboxes.insert(source.name.clone(), shown);
        let intake = intake(source, &store, &clock, state).await?;
        let watching = watch_inbox(source.name.clone(), intake, arrivals.clone(), stop.clone());
        crew.start("intake", endless(watching));
    }
    drop(arrivals);
    let running = Running { since: clock.now(), inboxes };
    let desk = Desk::new(Arc::clone(&config), store.clone(), api, clock, Arc::clone(&deliverer));
    let desk = Arc::new(desk.with_daemon(running));
    // Before anything can end: the first to end are the runs that a crash left without a batch.
    let news = deliverer.news();
    if config.mode == Mode::Apply {
        crew.start("deliver", Arc::clone(&deliverer).run(stop.clone()));
    }
    crew.start("desk", serve_desk(Arc::clone(&desk), news, arrived, stop.clone()));
    crew.start("retention", endless(retire(Arc::clone(&desk), stop.clone())));
    crew.start("backup", endless(back_up(Arc::clone(&desk), stop.clone())));
    crew.start("compaction", compact(store.clone(), stop.clone()));
    crew.start("control", endless(server.serve(desk, stop.clone())));
    ready(&store);
    drop(store);
    crew.work().await
}

/// A task that the state cannot end.
async fn endless(work: impl Future<Output = ()>) -> Result<(), StoreError> {
    work.await;
    Ok(())
}

/// Waits so long, or until told to stop.
async fn rest(pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

async fn retire(desk: Arc<Desk>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        desk.retire().await;
        rest(RETIRE_EVERY, &stop).await;
    }
}

async fn back_up(desk: Arc<Desk>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        desk.back_up_if_due().await;
        rest(BACKUP_LOOK_EVERY, &stop).await;
    }
}

/// Keeps the state's file from growing without end. One that cannot be opened again ends the daemon: the next start opens it.
async fn compact(store: Store, stop: CancellationToken) -> Result<(), StoreError> {
    while !stop.is_cancelled() {
        store.call(Store::compact_when_grown).await?;
        rest(COMPACT_EVERY, &stop).await;
    }
    Ok(())
}

/// What intake needs of the outside, but for the channel.
struct Watched {
    source: Arc<Source>,
    clock: Clock,
    last_fired: BTreeMap<String, DateTime<Utc>>,
    state: watch::Sender<InboxState>,
}

async fn intake(
    source: &Source,
    store: &Store,
    clock: &Clock,
    state: watch::Sender<InboxState>,
) -> Result<Watched, StoreError> {
    let (begun, now) = (source.clone(), clock.now());
    let last_fired = store.call(move |store| begin(store, &begun, now)).await?;
    Ok(Watched { source: Arc::new(source.clone()), clock: clock.clone(), last_fired, state })
}

/// Remembers when a source and each of its schedules were first seen, so that a first time that is missed is missed as well.
/// A schedule that is gone from the config is forgotten: should it come back, it has missed nothing.
fn begin(store: &Store, source: &Source, now: DateTime<Utc>) -> Result<BTreeMap<String, DateTime<Utc>>, StoreError> {
    let configured = [
        (Appointment::Recheck, source.schedule.is_some()),
        (Appointment::Resync, source.resync.is_some()),
        (Appointment::ExpectBy, source.expect_by.is_some()),
    ];
    let keys: Vec<&str> = configured.iter().filter(|(_, is_set)| *is_set).map(|(it, _)| it.key()).collect();
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let known = store.source(&source.name)?;
    let mut fired = known.as_ref().map(|known| known.fired.clone()).unwrap_or_default();
    fired.retain(|key, _| keys.contains(&key.as_str()));
    for key in keys {
        fired.entry(key.to_owned()).or_insert(now);
    }
    if known.is_none_or(|known| known.fired != fired || known.first_seen.is_none()) {
        store.update_source(&source.name, |state| {
            state.fired.clone_from(&fired);
            state.first_seen.get_or_insert(now);
        })?;
    }
    Ok(fired)
}

/// Runs one source's intake, and names the source in all that arrives.
async fn watch_inbox(
    name: SourceName,
    watched: Watched,
    arrivals: mpsc::Sender<(SourceName, Arrival)>,
    stop: CancellationToken,
) {
    let (out, mut from_inbox) = mpsc::channel(1);
    let Watched { source, clock, last_fired, state } = watched;
    let intake = Intake { source, clock, last_fired, out, nudge: Arc::new(Notify::new()), state };
    let forward = async {
        while let Some(arrival) = from_inbox.recv().await {
            if arrivals.send((name.clone(), arrival)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(intake::run(intake, stop).instrument(info_span!("source", name = %name)), forward);
}

/// What is tried again after a pause.
enum Errand {
    Pass(Box<Job>),
    Keep(SourceName, Appointment, DateTime<Utc>),
}

/// What woke the desk.
enum Woken {
    Stop,
    Arrived(SourceName, Arrival),
    Again,
    News(News),
    Missed,
    Closed,
}

/// Passes over what arrives, one after the other, and rewrites receipts as runs end. Ends with [`StoreError::Full`]: the
/// database takes no more writes until it is opened again.
async fn serve_desk(
    desk: Arc<Desk>,
    mut news: broadcast::Receiver<News>,
    mut arrived: mpsc::Receiver<(SourceName, Arrival)>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    desk.tidy().await;
    desk.sweep_copies().await;
    let mut put_off: Vec<Errand> = Vec::new();
    let mut is_closed = false;
    loop {
        let woken = tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stop,
            heard = news.recv() => match heard {
                Ok(heard) => Woken::News(heard),
                Err(broadcast::error::RecvError::Lagged(_)) => Woken::Missed,
                Err(broadcast::error::RecvError::Closed) => Woken::Stop,
            },
            arrival = arrived.recv(), if !is_closed => match arrival {
                Some((source, arrival)) => Woken::Arrived(source, arrival),
                None => Woken::Closed,
            },
            () = tokio::time::sleep(AGAIN_AFTER), if !put_off.is_empty() => Woken::Again,
        };
        match woken {
            Woken::Stop => return Ok(()),
            Woken::Closed => is_closed = true,
            Woken::Arrived(source, Arrival::File(file, trigger)) => {
                let job = Job { source, file, trigger, as_of: None, actor: None, approval: None, again: false };
                put_off.extend(pass(&desk, job).await?);
            }
            Woken::Arrived(source, Arrival::Scheduled(appointment, nominal)) => {
                put_off.extend(keep(&desk, source, appointment, nominal).await?);
            }
            Woken::Again => {
                for errand in std::mem::take(&mut put_off) {
                    put_off.extend(match errand {
                        Errand::Pass(job) => pass(&desk, *job).await?,
                        Errand::Keep(source, appointment, nominal) => keep(&desk, source, appointment, nominal).await?,
                    });
                }
            }
            Woken::News(News::RunEnded(run)) => desk.rewrite_receipt(&run).await,
            Woken::News(News::Phase(..) | News::KeyRefused | News::Trouble(..)) => {}
            Woken::Missed => {
                warn!("news of ended runs was missed, their receipts are looked for");
                desk.tidy().await;
            }
        }
    }
}

/// Passes over one export; gives it back when it has to be tried again.
async fn pass(desk: &Desk, job: Job) -> Result<Option<Errand>, StoreError> {
    let span = info_span!("run", source = %job.source);
    let passed = desk.pass(job.clone()).instrument(span).await.map(drop);
    after_pass(job, passed)
}

fn after_pass(job: Job, passed: Result<(), SyncError>) -> Result<Option<Errand>, StoreError> {
    Ok(match passed {
        Ok(()) => None,
        Err(SyncError::Store(error)) if error.needs_restart() => return Err(error),
        Err(error @ SyncError::Changed) => {
            warn!(%error, "the export is read again once it has settled");
            None
        }
        Err(error @ SyncError::Overtaken) => {
            info!(%error, "the last export is not looked at again");
            None
        }
        Err(error @ (SyncError::NoSource(_) | SyncError::Refused(_))) => {
            error!(%error, "the export stays claimed until a restart");
            None
        }
        Err(error) => {
            warn!(%error, again_after = ?AGAIN_AFTER, "the export cannot be passed over now");
            Some(Errand::Pass(Box::new(job)))
        }
    })
}

/// Does what a source does by the clock, and remembers that it was done: a missed time fires once, and no time fires twice.
/// What cannot be done now is given back.
async fn keep(
    desk: &Desk,
    source: SourceName,
    appointment: Appointment,
    nominal: DateTime<Utc>,
) -> Result<Option<Errand>, StoreError> {
    let late = (desk.clock.now() - nominal).max(TimeDelta::zero()).num_seconds();
    info!(%source, schedule = appointment.key(), late_s = late, "schedule fired");
    let span = info_span!("schedule", source = %source);
    let kept = async {
        match appointment {
            Appointment::Recheck => match desk.recheck(&source).await? {
                Rechecked::NothingDue | Rechecked::Impossible(_) | Rechecked::Passed(_) => Ok(None),
                Rechecked::PutOff(job, error) => Ok(Some((job, error))),
            },
            Appointment::Resync => desk.resync(&source, nominal).await.map(|_| None),
            Appointment::ExpectBy => desk.expect(&source).await.map(|_| None),
        }
    };
    let again = match kept.instrument(span).await {
        Ok(None) => None,
        Ok(Some((job, error))) => after_pass(*job, Err(error))?,
        Err(SyncError::Store(error)) if error.needs_restart() => return Err(error),
        Err(error) => {
            warn!(%source, schedule = appointment.key(), %error, again_after = ?AGAIN_AFTER, "the schedule cannot be kept now");
            return Ok(Some(Errand::Keep(source, appointment, nominal)));
        }
    };
    fired(desk, source, appointment.key().to_owned(), nominal).await.map(|()| again)
}

async fn fired(desk: &Desk, source: SourceName, key: String, nominal: DateTime<Utc>) -> Result<(), StoreError> {
    let recorded = desk.store.call(move |store| {
        store.update_source(&source, |state| {
            state.fired.insert(key, nominal);
        })
    });
    match recorded.await {
        Err(error) if error.needs_restart() => Err(error),
        Err(error) => {
            error!(%error, "the schedule's time cannot be recorded");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
