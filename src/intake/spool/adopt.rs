//! Adopting: a file from elsewhere is copied among the claimed ones, and from there goes the way of every export.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{COPY_PREFIX, Claimed, Spool, SpoolError, WORK, folders, names};

impl Spool {
    /// Copies the file at `path` into `.rosterd/` as the claimed export `name`, with the modification time that it had where it
    /// came from. The original stays as it is.
    pub fn adopt(
        &self,
        path: &Path,
        name: &str,
        modified: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Claimed, SpoolError> {
        self.copy((path, name), modified, now, "")
    }

    /// Like [`Spool::adopt`], for an export of rosterd's own folders that is looked at again. The copy is nobody's drop: until a
    /// run with it is on record, losing it loses nothing.
    pub fn copy_again(
        &self,
        path: &Path,
        name: &str,
        modified: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Claimed, SpoolError> {
        self.copy((path, name), modified, now, COPY_PREFIX)
    }

    /// Removes a copy that nobody needs any more.
    pub fn drop_copy(&self, copy: &Claimed) -> Result<(), SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        match self.step().and_then(|()| rustix::fs::unlinkat(&work, copy.key(), AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.io("remove", copy.key(), error)),
        }
    }

    /// Removes copies that a crash left before their run was on record. To be called before any is made; `known` are the paths,
    /// relative to the inbox, of those whose run is.
    pub fn sweep_copies(&self, known: &BTreeSet<String>) -> Result<(), SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        for found in folders::list(&work).map_err(|e| self.io("list", WORK, e))? {
            let name = found.name.to_string_lossy();
            if name.starts_with(COPY_PREFIX) && !known.contains(&format!("{WORK}/{name}")) {
                self.step()
                    .and_then(|()| rustix::fs::unlinkat(&work, &found.name, AtFlags::empty()))
                    .map_err(|e| self.io("remove", &name, e))?;
            }
        }
        Ok(())
    }

    fn copy(
        &self,
        (path, name): (&Path, &str),
        modified: DateTime<Utc>,
        now: DateTime<Utc>,
        prefix: &str,
    ) -> Result<Claimed, SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        let name = names::safe_name(OsString::from(name).as_os_str());
        let (scratch, mut copy) = self.scratch(&work)?;
        let copied = (|| {
            self.step()?;
            let size = std::io::copy(&mut File::open(path)?, &mut copy)?;
            let time = Timespec { tv_sec: modified.timestamp(), tv_nsec: modified.timestamp_subsec_nanos().into() };
            rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?;
            copy.sync_all()?;
            Ok(size)
        })();
        let moved =
            copied.map_err(|source| SpoolError::Io { doing: "copy", path: path.to_owned(), source }).and_then(|size| {
                let claim = self.rename_free((&work, &OsString::from(&scratch)), &work, |seq| {
                    format!("{prefix}{}", names::claim_name(now, seq - 1, &name))
                })?;
                folders::sync(&work).map_err(|error| self.io("sync", &claim, error))?;
                Ok(Claimed { path: self.inbox().join(WORK).join(&claim), name, size, modified, claimed_at: now })
            });
        if moved.is_err() {
            self.remove_scratch(&work, &scratch);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_no_leftover_and_goes_at_the_next_start_unless_a_run_knows_it() {
        let inbox = tempfile::tempdir().unwrap();
        let spool = Spool::open(inbox.path()).unwrap();
        let path = inbox.path().join("processed/a.csv");
        std::fs::write(&path, "x").unwrap();
        let now: DateTime<Utc> = "2026-03-02T06:00:00Z".parse().unwrap();
        let copy = || spool.copy_again(&path, "a.csv", now, now).unwrap();
        let (known, stray, needless) = (copy(), copy(), copy());
        assert_eq!(spool.claimed().unwrap(), [], "nobody dropped them");

        spool.drop_copy(&needless).unwrap();
        spool.sweep_copies(&BTreeSet::from([format!("{WORK}/{}", known.key())])).unwrap();
        assert_eq!((known.path.exists(), stray.path.exists(), needless.path.exists()), (true, false, false));
        assert!(path.exists());
    }
}
