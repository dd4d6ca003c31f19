//! Restoring a backup: whole or not at all. What it replaces is moved aside, never deleted, and the records that come back are in
//! doubt, since rosters may have been sent after them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::compact::DB;
use super::open::{home_of, lock, make};
use super::sentinel::{self, Sentinel, sync_dir};
use super::trees::{Draft, Trees};
use super::{Store, StoreError, backup};
use crate::report::{BackupReport, VerifyReport};
use crate::roster::ids::SourceName;

/// Where the restored state is put together.
const NEW: &str = "restore.new";
/// Records that are written at once: larger transactions leave sled with garbage that it never lets go of.
const AT_ONCE: usize = 50;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub backup: BackupReport,
    /// Where the state that was there lies now; none where there was none.
    pub aside: Option<PathBuf>,
}

/// Puts the backup at `path` in the place of the state in `dir`. It is checked whole first: every record, and what the records say
/// of each other. Afterwards the next export of each of `sources` is held, and every group is in doubt (see [`super::Doubt`]).
///
/// A crash leaves the state that was there, or one that is refused until the restore is done again; never an empty one.
///
/// # Errors
/// [`StoreError::InUse`] while a daemon runs, [`StoreError::NoBackup`] for a damaged backup, or one of another API. Nothing is
/// changed then.
pub fn restore(
    dir: &Path,
    base_url: &str,
    path: &Path,
    sources: impl IntoIterator<Item = SourceName>,
    now: DateTime<Utc>,
) -> Result<Restored, StoreError> {
    make(dir)?;
    let lock = lock(dir)?;
    let base_url = base_url.trim_end_matches('/').to_ascii_lowercase();
    let home = home_of(dir, &base_url)?;
    make(&home)?;
    let new = home.join(NEW);
    super::compact::remove(&new)?;
    let held = lock.try_clone().map_err(|error| StoreError::io("lock", dir, &error))?;
    let (header, backup) = match prepare(&new, held, (path, &base_url), sources, now) {
        Ok(prepared) => prepared,
        Err(error) => {
            // What is in it is people's data, and of no use to anybody.
            super::compact::remove(&new)?;
            return Err(error);
        }
    };
    let aside = exchange(&home, &new, &Sentinel::new(header.store, header.generation, header.base_url), now);
    let aside = aside.map_err(|error| StoreError::io("put a restored state into", &home, &error))?;
    drop(lock);
    Ok(Restored { backup, aside })
}

/// Puts the restored state together in `new`: checked whole, and in doubt.
fn prepare(
    new: &Path,
    lock: File,
    (path, base_url): (&Path, &str),
    sources: impl IntoIterator<Item = SourceName>,
    now: DateTime<Utc>,
) -> Result<(backup::Header, BackupReport), StoreError> {
    make(new)?;
    let (trees, header, report) = import(path, &new.join(DB), base_url)?;
    let named = (header.store.clone(), header.base_url.clone());
    let store = Store::over(trees, new.to_owned(), named, None, lock);
    let VerifyReport { findings, .. } = store.verify()?;
    if let Some(finding) = findings.first() {
        let detail = format!("{} things in it do not fit together; the first is: {finding}", findings.len());
        return Err(StoreError::NoBackup { path: path.to_owned(), detail });
    }
    let made = header.created_at.format("%Y-%m-%d %H:%M UTC");
    let reason = format!(
        "the record of who is covered was restored from a backup of {made}, and what was sent since is not in it"
    );
    store.mark_doubtful(&reason, sources, now)?;
    Ok((header, report))
}

/// Reads the backup into a new database.
fn import(path: &Path, db: &Path, base_url: &str) -> Result<(Trees, backup::Header, BackupReport), StoreError> {
    make(db)?;
    let trees = Trees::open(db)?;
    let (header, report) = {
        let writing = trees.write();
        let (mut draft, mut drafted) = (Draft::default(), 0);
        let is_ours = |header: &backup::Header| {
            if header.base_url == base_url {
                return Ok(());
            }
            let detail = format!("it is of {}, and the config says {base_url}", header.base_url);
            Err(StoreError::NoBackup { path: path.to_owned(), detail })
        };
        let read = backup::read(path, is_ours, |shelf, key, value| {
            writing.put(&mut draft, shelf, key, value)?;
            drafted += 1;
            if drafted == AT_ONCE {
                writing.stage(&draft)?;
                (draft, drafted) = (Draft::default(), 0);
            }
            Ok(())
        })?;
        writing.commit(&draft)?;
        read
    };
    Ok((trees, header, report))
}

/// The new sentinel first: from then on a folder without a database is refused, and the old database still opens where it is of
/// the same store.
fn exchange(home: &Path, new: &Path, sentinel: &Sentinel, now: DateTime<Utc>) -> io::Result<Option<PathBuf>> {
    let db = home.join(DB);
    let was_there = db.exists();
    let aside = home.join(format!("replaced-{}", now.format("%Y%m%dT%H%M%SZ")));
    if was_there {
        fs::create_dir(&aside)?;
        let old = home.join(sentinel::NAME);
        if old.exists() {
            fs::copy(&old, aside.join(sentinel::NAME))?;
        }
    }
    sentinel.write(home).map_err(io::Error::other)?;
    if was_there {
        fs::rename(&db, aside.join(DB))?;
        sync_dir(&aside)?;
    }
    fs::rename(new.join(DB), &db)?;
    sync_dir(home)?;
    fs::remove_dir_all(new)?;
    Ok(was_there.then_some(aside))
}
