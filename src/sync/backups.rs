//! Backups: the one that a person asks for, and the daily one. The folder is the record of what was made.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::config::Backup;
use crate::control::{Answer, Refusal, Spooled};
use crate::report::{BackupReport, BackupStatus};
use crate::store::{Store, StoreError, backup};

use super::Desk;

/// How a time is written in a file's name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
const BEGINNING: &str = "rosterd_";
const END: &str = ".backup";
/// A backup that failed is tried again after this pause.
const AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// A backup that was cut off is swept away after so long.
const SWEEP_AFTER: TimeDelta = TimeDelta::days(1);
/// Free space that a backup leaves in any case.
const SPARE_BYTES: u64 = 64 * 1024 * 1024;

/// How the daily backup is doing; only the daemon knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    /// When it was tried last, and why it failed.
    failed: Option<(DateTime<Utc>, String)>,
}

impl Desk {
    /// Makes a backup where nobody sees it, to be sent after the answer.
    pub(super) async fn spool_backup(&self) -> Result<Answer, Refusal> {
        let now = self.clock.now();
        let made = self.store.call(move |store| {
            let mut file = store.scratch_file()?;
            has_room(store.dir(), store)?;
            let report = store.back_up(&mut file, now)?;
            Ok((report, file))
        });
        let (report, file) = made.await?;
        Ok(Answer::BackedUp { report: Box::new(report), file: Spooled(Some(Arc::new(file))) })
    }

    /// Makes the daily backup if it is due.
    pub async fn back_up_if_due(&self) {
        let now = self.clock.now();
        let config = self.config.backup.clone();
        if let Some((at, _)) = &self.backup_trouble().failed
            && now - *at < AGAIN_AFTER
            && *at <= now
        {
            return;
        }
        let made =
            self.store.call(
                move |store| if is_due(store, &config, now)? { make(store, &config, now).map(Some) } else { Ok(None) },
            );
        let failed = match made.await {
            Ok(None) => return,
            Ok(Some((report, name))) => {
                info!(file = name, bytes = report.bytes, groups = report.groups, runs = report.runs, "backup made");
                None
            }
            Err(error) => {
                warn!(%error, "the backup cannot be made");
                Some((now, error.to_string()))
            }
        };
        if let Ok(mut trouble) = self.backup.write() {
            trouble.failed = failed;
        }
    }

    fn backup_trouble(&self) -> Trouble {
        self.backup.read().map(|trouble| trouble.clone()).unwrap_or_default()
    }

    /// How the daily backup is doing; none where there is none.
    pub(super) fn backup_status(&self) -> Option<BackupStatus> {
        let config = &self.config.backup;
        let schedule = config.schedule.as_ref()?;
        let now = self.clock.now();
        let made = of_this_api(&self.store, config).unwrap_or_default();
        Some(BackupStatus {
            folder: config.folder.display().to_string(),
            last: made.last().map(|(at, _)| *at),
            kept: made.len() as u64,
            next: schedule.next_after(now, config.timezone),
            trouble: self.backup_trouble().failed.map(|(_, why)| why),
        })
    }
}

/// Whether one was to be made since the last. A state with records and no backup at all waits for nothing.
fn is_due(store: &Store, config: &Backup, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(schedule) = &config.schedule else { return Ok(false) };
    let made = of_this_api(store, config).map_err(|error| unusable(&config.folder, &error))?;
    let Some((last, _)) = made.last() else { return Ok(!store.is_blank()?) };
    // A clock that was ahead must not put the next one off for years.
    Ok(schedule.next_after((*last).min(now), config.timezone).is_some_and(|due| due <= now))
}

/// Makes one, reads it back, and lets the oldest go.
fn make(store: &Store, config: &Backup, now: DateTime<Utc>) -> Result<(BackupReport, String), StoreError> {
    let folder = &config.folder;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unusable(folder, &error))?;
    sweep(folder, now).map_err(|error| unusable(folder, &error))?;
    has_room(folder, store)?;
    let name = format!("{}{}{END}", beginning(store), now.format(STAMP));
    let path = folder.join(&name);
    store.back_up_to(&path, now)?;
    let report = backup::check(&path)?;
    let made = of_this_api(store, config).map_err(|error| unusable(folder, &error))?;
    let too_many = made.len().saturating_sub(config.keep as usize);
    for (_, path) in made.into_iter().take(too_many) {
        fs::remove_file(&path).map_err(|error| unusable(&path, &error))?;
    }
    Ok((report, name))
}

/// The backups of this API's state that lie in the folder, oldest first.
fn of_this_api(store: &Store, config: &Backup) -> io::Result<Vec<(DateTime<Utc>, PathBuf)>> {
    let entries = match fs::read_dir(&config.folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let beginning = beginning(store);
    let mut made = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let stamp = name.to_str().and_then(|name| name.strip_prefix(&beginning)?.strip_suffix(END));
        let at = stamp.and_then(|stamp| NaiveDateTime::parse_from_str(stamp, STAMP).ok());
        made.extend(at.map(|at| (at.and_utc(), entry.path())));
    }
    made.sort();
    Ok(made)
}

fn beginning(store: &Store) -> String {
    format!("{BEGINNING}{}_", store.api_name())
}

/// Removes what backups that were cut off left behind.
fn sweep(folder: &Path, now: DateTime<Utc>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_scratch = entry.file_name().to_str().is_some_and(|name| name.starts_with(backup::SCRATCH));
        if is_scratch && SWEEP_AFTER < now - DateTime::<Utc>::from(entry.metadata()?.modified()?) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A backup must not fill the disk that the state needs.
fn has_room(folder: &Path, store: &Store) -> Result<(), StoreError> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| unusable(folder, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = store.size().saturating_mul(2).saturating_add(SPARE_BYTES);
    if needed <= free {
        return Ok(());
    }
    let mb = |bytes: u64| bytes.div_ceil(1_000_000);
    let detail = format!(
        "only {} MB are free in {}, and {} MB may be needed; make room",
        mb(free),
        folder.display(),
        mb(needed)
    );
    Err(StoreError::BackupFailed { detail })
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::BackupFailed { detail: format!("{}: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::schedule::Cron;
    use crate::roster::ids::SourceName;
    use crate::store::SourceState;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// A state with a record, and the default config but for the folder.
    fn world(keep: u32) -> (tempfile::TempDir, Store, Backup) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state"), "https://api.test").unwrap();
        let schedule = Some(Cron::parse("30 2 * * *").unwrap());
        let config = Backup { schedule, timezone: chrono_tz::UTC, folder: dir.path().join("backups"), keep };
        (dir, store, config)
    }

    fn made(store: &Store, config: &Backup) -> Vec<String> {
        of_this_api(store, config).unwrap().iter().map(|(at, _)| at.to_rfc3339()).collect()
    }

    #[test]
    fn one_is_due_at_once_where_there_is_none_and_then_once_a_day() {
        let (_dir, store, config) = world(7);
        assert!(!is_due(&store, &config, at("2026-11-02T12:00:00Z")).unwrap(), "nothing is on record yet");
        store.put_source(&SourceState::new(SourceName::parse("hris").unwrap())).unwrap();
        assert!(is_due(&store, &config, at("2026-11-02T12:00:00Z")).unwrap());
        make(&store, &config, at("2026-11-02T12:00:00Z")).unwrap();
        assert!(!is_due(&store, &config, at("2026-11-03T02:29:59Z")).unwrap());
        assert!(is_due(&store, &config, at("2026-11-03T02:30:00Z")).unwrap());
        // A machine that slept over five times makes one.
        make(&store, &config, at("2026-11-08T09:00:00Z")).unwrap();
        assert!(!is_due(&store, &config, at("2026-11-08T09:05:00Z")).unwrap());
        assert!(!is_due(&store, &Backup { schedule: None, ..config }, at("2026-12-08T09:05:00Z")).unwrap());
    }

    #[test]
    fn a_clock_that_was_years_ahead_puts_none_off() {
        let (_dir, store, config) = world(7);
        make(&store, &config, at("2036-01-01T02:30:00Z")).unwrap();
        assert!(!is_due(&store, &config, at("2026-11-02T12:00:00Z")).unwrap());
        make(&store, &config, at("2026-11-03T02:30:00Z")).unwrap();
        assert_eq!(made(&store, &config).len(), 2);
    }

    #[test]
    fn the_oldest_goes_and_what_is_not_ours_stays() {
        let (_dir, store, config) = world(2);
        fs::create_dir(&config.folder).unwrap();
        let others = ["notes.txt", "rosterd_api.other-00000000_20200101T000000Z.backup", ".rosterd-backup-x"];
        for name in others {
            fs::write(config.folder.join(name), "x").unwrap();
        }
        for day in 1..=4 {
            make(&store, &config, at(&format!("2026-11-0{day}T02:30:00Z"))).unwrap();
        }
        assert_eq!(made(&store, &config), ["2026-11-03T02:30:00+00:00", "2026-11-04T02:30:00+00:00"]);
        assert!(others.iter().all(|name| config.folder.join(name).exists()));
    }
}
