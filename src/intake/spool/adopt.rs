//! Adopting: a file from elsewhere is copied among the claimed ones, and from there goes the way of every export.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::{Claimed, Spool, SpoolError, WORK, folders, names};

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
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        let name = names::safe_name(OsString::from(name).as_os_str());
        let (scratch, mut copy) = self.scratch(&work)?;
        let copied = (|| {
            let size = std::io::copy(&mut File::open(path)?, &mut copy)?;
            let time = Timespec { tv_sec: modified.timestamp(), tv_nsec: modified.timestamp_subsec_nanos().into() };
            rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?;
            copy.sync_all()?;
            Ok(size)
        })();
        let moved =
            copied.map_err(|source| SpoolError::Io { doing: "copy", path: path.to_owned(), source }).and_then(|size| {
                let claim = self.rename_free((&work, &OsString::from(&scratch)), &work, |seq| {
                    names::claim_name(now, seq - 1, &name)
                })?;
                folders::sync(&work).map_err(|error| self.io("sync", &claim, error))?;
                Ok(Claimed { path: self.inbox().join(WORK).join(&claim), name, size, modified, claimed_at: now })
            });
        if moved.is_err() {
            folders::tried("remove a scratch file", rustix::fs::unlinkat(&work, &scratch, AtFlags::empty()));
        }
        moved
    }
}
