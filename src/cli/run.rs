//! `run`: the daemon under a service manager, or at a terminal.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::control::ControlError;
use crate::daemon::{self, DaemonError, Outside};
use crate::store::Store;

use super::{Context, Ending, Failure, access};

/// Why the daemon was told to end.
enum Told {
    Stop,
    Reload,
}

/// `run`. SIGTERM and SIGINT drain and stop; SIGHUP reads the config again and goes on with it if it is good.
///
/// # Errors
/// [`Failure`] when the daemon cannot start.
pub async fn run(context: &Context) -> Result<Ending, Failure> {
    let mut config = context.config()?;
    let mut signals = Signals::new()?;
    loop {
        let outside = Outside::real(&config).map_err(|error| failure(&error))?;
        let stop = CancellationToken::new();
        let current = Arc::clone(&config);
        let daemon = daemon::run(config, outside, move |store| say_ready(&current, store), stop.clone());
        let running = async { tokio::join!(daemon, ping_watchdog(stop.clone())).0 };
        let told = async {
            let told = signals.told(context).await;
            if matches!(told, (Told::Stop, _)) {
                notify(&[sd_notify::NotifyState::Stopping]);
            }
            stop.cancel();
            told
        };
        tokio::pin!(running);
        let (told, fresh) = tokio::select! {
            ended = &mut running => return ended.map(|()| Ending::Done).map_err(|error| failure(&error)),
            told = told => told,
        };
        // A second signal ends at once: whatever is between a request and its answer is on record and taken up again.
        tokio::select! {
            ended = running => ended.map_err(|error| failure(&error))?,
            _ = signals.told(context) => {
                warn!("stopping at once");
                return Ok(Ending::Done);
            }
        }
        match (told, fresh) {
            (Told::Reload, Some(fresh)) => {
                info!("going on with the config as it is now");
                config = fresh;
            }
            (Told::Stop | Told::Reload, _) => {
                info!("stopped");
                return Ok(Ending::Done);
            }
        }
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that means something: to stop, or to go on with a config that is good.
    async fn told(&mut self, context: &Context) -> (Told, Option<Arc<Config>>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return (Told::Stop, None),
                _ = self.interrupt.recv() => return (Told::Stop, None),
                _ = self.hangup.recv() => {}
            }
            match context.config() {
                Ok(config) if config.api.key.is_none() => {
                    error!("the config now lacks an API key, the old one is kept");
                }
                Ok(config) => return (Told::Reload, Some(config)),
                Err(failure) => error!(error = failure.message, "the config is not good, the old one is kept"),
            }
        }
    }
}

fn say_ready(config: &Config, store: &Store) {
    if !store.durable() {
        warn!("a power cut can cost the state: the system-call filter that makes it durable is not active");
    }
    info!(sources = config.sources.len(), mode = config.mode.name(), base_url = config.api.base_url, "ready");
    notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status("watching")]);
}

/// Without a service manager there is nobody to tell, which is fine.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Tells the service manager that the runtime still turns, twice as often as it asks for.
async fn ping_watchdog(stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    while !stop.is_cancelled() {
        notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(limit / 2) => {}
        }
    }
}

fn failure(error: &DaemonError) -> Failure {
    let ending = match error {
        DaemonError::Store(error) => return access::store_failure(error),
        DaemonError::Control { source: ControlError::Taken { .. }, .. } => Ending::Unavailable,
        DaemonError::NoKey | DaemonError::Api(_) | DaemonError::Control { .. } => Ending::Config,
        DaemonError::TaskEnded(_) => Ending::Unexpected,
    };
    Failure::new(ending, error.to_string())
}
