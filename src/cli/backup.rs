//! `backup`, `restore` and `verify`: the state in a file, back from it, and whether it is whole.

use std::path::Path;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::client::Client;
use crate::control::{Answer, ControlError, Question};
use crate::report::BackupReport;
use crate::store::restore::{Restored, restore};
use crate::store::{Store, StoreError, backup as file};

use super::export::unexpected;
use super::{Context, Ending, Failure, access, render};

/// `backup FILE`. The running daemon hands the bytes over; without one the command opens the state itself.
///
/// # Errors
/// [`Failure`], with 74 when the state is damaged or the file cannot be written, and with 64 when FILE is something else than a
/// backup.
pub async fn backup(context: &Context, path: &Path) -> Result<Ending, Failure> {
    let config = context.config()?;
    let report = match Client::connect(&config.control_socket).await {
        Ok(client) => fetch(client, path).await?,
        Err(ControlError::NoDaemon { .. }) => alone(&config, path)?,
        Err(error) => return Err(Failure::new(Ending::Unavailable, error.to_string())),
    };
    render::print(&render::backup(&context.screen, &report, path))?;
    Ok(Ending::Done)
}

async fn fetch(client: Client, path: &Path) -> Result<BackupReport, Failure> {
    let whole = file::begin(path).map_err(|error| failure(&error))?;
    let into = whole.as_file().try_clone()?;
    let fetched = client.fetch_backup(&mut tokio::fs::File::from_std(into)).await;
    let report = fetched.map_err(|error| Failure::new(Ending::Unavailable, error.to_string()))??;
    // What came over the socket is looked at before it takes the place of an older one.
    file::check(whole.path()).map_err(|error| failure(&error))?;
    file::finish(whole, path).map_err(|error| failure(&error))?;
    Ok(report)
}

fn alone(config: &Config, path: &Path) -> Result<BackupReport, Failure> {
    let store = Store::open(&config.state_dir, &config.api.base_url).map_err(|error| access::store_failure(&error))?;
    store.back_up_to(path, Clock::system().now()).map_err(|error| failure(&error))
}

/// `restore FILE`. The state that was there is moved aside; the next exports are held.
///
/// # Errors
/// [`Failure`], with 69 while a daemon runs, and with 65 when FILE is no backup, damaged, or of another API.
pub fn restore_state(context: &Context, path: &Path) -> Result<Ending, Failure> {
    let config = context.config()?;
    let sources = config.sources.iter().map(|source| source.name.clone());
    let now = Clock::system().now();
    let Restored { backup, aside } =
        restore(&config.state_dir, &config.api.base_url, path, sources, now).map_err(|error| failure(&error))?;
    render::print(&render::restored(&context.screen, &backup, aside.as_deref(), now))?;
    Ok(Ending::Done)
}

/// `verify [FILE]`: the state, or a backup.
///
/// # Errors
/// [`Failure`]. Damage in the state is an answer, and ends with 74.
pub async fn verify(context: &Context, path: Option<&Path>) -> Result<Ending, Failure> {
    if let Some(path) = path {
        let report = file::check(path).map_err(|error| failure(&error))?;
        render::print(&render::backup_is_whole(&context.screen, &report, path, Clock::system().now()))?;
        return Ok(Ending::Done);
    }
    let config = context.config()?;
    let Answer::Verified(report) = access::ask(&config, Question::Verify, None, |_| {}).await? else {
        return Err(unexpected());
    };
    render::print(&render::verified(&context.screen, &report))?;
    Ok(if report.findings.is_empty() { Ending::Done } else { Ending::Store })
}

fn failure(error: &StoreError) -> Failure {
    match error {
        StoreError::InUse { .. } => {
            let text =
                "a daemon has the state open: stop it first (systemctl stop rosterd), and start it again afterwards";
            Failure::new(Ending::Unavailable, text)
        }
        StoreError::NoBackup { .. } => Failure::new(Ending::Rejected, error.to_string()),
        StoreError::Corrupt { .. }
        | StoreError::Vanished { .. }
        | StoreError::Newer { .. }
        | StoreError::OtherOrganization { .. }
        | StoreError::Full
        | StoreError::Gone { .. }
        | StoreError::BackupFailed { .. }
        | StoreError::Io { .. }
        | StoreError::OutOfOrder { .. } => Failure::new(Ending::Store, error.to_string()),
    }
}
