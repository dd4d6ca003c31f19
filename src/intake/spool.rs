//! The folders of one inbox: files are claimed by a rename before they are read, and filed away by a rename afterwards.
//!
//! In comes the name of a file that has settled; out goes a [`Claimed`] file in `.rosterd/`, and later its place under
//! `processed/`, `held/`, `rejected/` or `duplicates/` with a receipt beside it. Nothing is ever copied, opened for
//! writing or overwritten, except rosterd's own receipts. Methods block.
//!
//! **Rights.** New folders for finished files can be looked into by whoever can look into the inbox, and inherit its
//! group when it is setgid, since the dropper must be able to read the receipts. Only the service can change them: what
//! lies there is evidence. `.rosterd/` is the service's alone. A receipt belongs to the export's group and can be read
//! by whoever can read the export, and by its group in any case.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use thiserror::Error;

use super::settle::{Found, OWN_FOLDERS, Ready, Sighting, Thing};

mod adopt;
mod expire;
mod filing;
mod folders;
mod names;
mod stops;
mod trail;

pub use filing::{Beside, Place};
use folders::Access;
pub use trail::Trail;

/// The folder of files under way. It is also where receipts are written before they are renamed into place.
const WORK: &str = ".rosterd";

/// Half-written receipts in [`WORK`]; what a crash leaves of them is removed by [`Spool::sweep`].
const SCRATCH_PREFIX: &str = ".tmp-";

/// Copies of filed exports, among the files under way, that are looked at again. No leftovers: what a crash leaves of them before
/// their run is on record is removed by [`Spool::sweep_copies`].
pub const COPY_PREFIX: &str = ".again-";

/// A receipt is written in a moment; one that is an hour old is nobody's any more.
const SCRATCH_AGE: TimeDelta = TimeDelta::hours(1);

/// Names that are tried before giving up. A folder holds that many files of one name and one second only by mistake.
const MAX_COPIES: u32 = 10_000;

/// Why a step on the folders failed. The variants are what the caller does next.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The inbox is not there: look again later.
    #[error("the inbox {} is not there", .0.display())]
    Missing(PathBuf),
    /// The inbox, or what should be one of its folders, is a file or a link: a person must act.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// One of the folders lies on another file system, so that files cannot be renamed into it: a person must act.
    #[error("{} is on another file system than its inbox; files are moved by renaming, which needs one", .0.display())]
    OtherFilesystem(PathBuf),
    /// The file left the folder before it was claimed: nothing to do.
    #[error("the file is gone")]
    Gone,
    /// The file changed while it was claimed, and lies in the inbox again: wait for it to settle.
    #[error("the file changed while it was claimed and was put back")]
    Changed,
    /// A claimed or filed export is neither where it was nor where it should go: a person took it.
    #[error("the file {} is no longer there", .0.display())]
    Lost(PathBuf),
    /// Not the relative path of a filed export.
    #[error("`{0}` is not the path of a filed export")]
    NotFiled(String),
    /// The file system refused.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// An export that belongs to rosterd: it lies in `.rosterd/` until it is filed away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Where it lies. Open it through [`Spool::read`].
    pub path: PathBuf,
    /// Its name as dropped, made harmless: for people, records and the name under which it is filed.
    pub name: String,
    /// Bytes when it was claimed.
    pub size: u64,
    /// Its modification time when it was claimed.
    pub modified: DateTime<Utc>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
}

impl Claimed {
    /// Its name in `.rosterd/`: unique in its inbox, the same after a restart, in the order of claims.
    pub fn key(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Which folder a path meant when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderId {
    device: u64,
    inode: u64,
}

/// The folders of one inbox.
#[derive(Clone, Debug)]
pub struct Spool {
    inbox: PathBuf,
}

impl Spool {
    /// Makes the folders below an inbox that exists, and checks that files can be renamed into them. The inbox itself is
    /// never made: a path that is missing may be a share that is not mounted yet.
    pub fn open(inbox: &Path) -> Result<Self, SpoolError> {
        let spool = Self { inbox: inbox.to_owned() };
        let folder = spool.open_inbox()?;
        let device = rustix::fs::fstat(&folder).map_err(|e| spool.io("look at", WORK, e))?.st_dev;
        for name in OWN_FOLDERS.into_iter().chain([WORK]) {
            let below = spool.open_below(&folder, name)?;
            if rustix::fs::fstat(&below).map_err(|e| spool.io("look at", name, e))?.st_dev != device {
                return Err(SpoolError::OtherFilesystem(spool.inbox.join(name)));
            }
        }
        Ok(spool)
    }

    /// The folders of an inbox that [`Spool::open`] has made before.
    pub fn at(inbox: &Path) -> Self {
        Self { inbox: inbox.to_owned() }
    }

    /// The inbox.
    pub fn inbox(&self) -> &Path {
        &self.inbox
    }

    /// Which folder an inbox's path means now: another one after it was deleted and made again, or mounted over.
    pub fn identify(inbox: &Path) -> Result<FolderId, SpoolError> {
        let spool = Self { inbox: inbox.to_owned() };
        let stat = rustix::fs::fstat(spool.open_inbox()?).map_err(|e| spool.io("look at", "", e))?;
        Ok(FolderId { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Everything that lies directly in the inbox.
    pub fn list(&self) -> Result<Vec<Found>, SpoolError> {
        folders::list(&self.open_inbox()?).map_err(|e| self.io("list", "", e))
    }

    /// Claims a settled file by renaming it into `.rosterd/`. It is looked at again afterwards: whoever still writes to
    /// it changes it between the last look and the rename, and then it is put back.
    pub fn claim(&self, ready: &Ready, now: DateTime<Utc>) -> Result<Claimed, SpoolError> {
        let inbox = self.open_inbox()?;
        let work = self.open_below(&inbox, WORK)?;
        let name = names::safe_name(&ready.name);
        let claim = self.rename_free((&inbox, &ready.name), &work, |seq| names::claim_name(now, seq - 1, &name))?;
        let path = self.inbox.join(WORK).join(&claim);
        let Some(stat) = folders::look_up(&work, claim.as_str()).map_err(|e| self.io("look at", &claim, e))? else {
            return Err(SpoolError::Lost(path));
        };
        match folders::thing(&stat) {
            Thing::File(sighting) if sighting.is_same_content(&ready.sighting) => {
                if let Err(error) = folders::sync_content(&work, &claim) {
                    self.put_back((&work, &claim), (&inbox, &ready.name))?;
                    return Err(self.io("make durable", &ready.name.to_string_lossy(), error));
                }
                // Else a power cut could bring a file back to the inbox whose run is on record as having it.
                folders::tried("make a claim durable", folders::sync(&work).and_then(|()| folders::sync(&inbox)));
                self.remove_marker(&inbox, ready.marker.as_ref());
                Ok(Claimed { path, name, size: sighting.size, modified: sighting.modified, claimed_at: now })
            }
            Thing::File(_) | Thing::Folder | Thing::Link | Thing::Special => {
                self.put_back((&work, &claim), (&inbox, &ready.name))?;
                Err(SpoolError::Changed)
            }
        }
    }

    /// The marker goes after the file: a crash in between leaves a marker that is older than any later file of that
    /// name, and such a marker vouches for nothing.
    fn remove_marker(&self, inbox: &OwnedFd, marker: Option<&OsString>) {
        let Some(marker) = marker else { return };
        if let Err(error) = self.step().and_then(|()| rustix::fs::unlinkat(inbox, marker, AtFlags::empty()))
            && error != Errno::NOENT
        {
            tracing::warn!(inbox = %self.inbox.display(), marker = %marker.display(), %error,
                "a done marker cannot be removed");
        }
    }

    /// Gives a claimed file back to the inbox under its own name, or a numbered one if that was taken meanwhile.
    fn put_back(&self, from: (&OwnedFd, &str), to: (&OwnedFd, &OsString)) -> Result<(), SpoolError> {
        let renamed =
            self.step().and_then(|()| folders::rename_new((from.0, from.1.as_ref()), (to.0, &to.1.to_string_lossy())));
        match renamed {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let name = names::safe_name(to.1);
                self.rename_free((from.0, &OsString::from(from.1)), to.0, |copy| format!("{}_{name}", copy + 1))
                    .map(drop)
            }
            Err(error) => Err(self.io("put back", from.1, error)),
        }
    }

    /// Renames to the first free name of those that `name` makes for 1, 2, 3, …
    fn rename_free(
        &self,
        from: (&OwnedFd, &OsString),
        to: &OwnedFd,
        name: impl Fn(u32) -> String,
    ) -> Result<String, SpoolError> {
        let mut copy = 1;
        loop {
            let candidate = name(copy);
            match self.step().and_then(|()| folders::rename_new((from.0, from.1), (to, &candidate))) {
                Ok(()) => return Ok(candidate),
                Err(Errno::EXIST) if copy < MAX_COPIES => copy += 1,
                Err(Errno::NOENT) => return Err(SpoolError::Gone),
                Err(Errno::XDEV) => return Err(SpoolError::OtherFilesystem(self.inbox.join(WORK))),
                Err(error) => return Err(self.io("move", &from.1.to_string_lossy(), error)),
            }
        }
    }

    /// Claimed files that were not filed away, the earliest claim first: after a start, what a crash left.
    pub fn claimed(&self) -> Result<Vec<Claimed>, SpoolError> {
        let inbox = self.open_inbox()?;
        let work = self.open_below(&inbox, WORK)?;
        let mut claimed: Vec<Claimed> = folders::list(&work)
            .map_err(|e| self.io("list", WORK, e))?
            .into_iter()
            .filter_map(|found| match found.thing {
                Thing::File(sighting) => self.leftover(&found.name, &sighting),
                Thing::Folder | Thing::Link | Thing::Special => None,
            })
            .collect();
        claimed.sort_by(|a, b| (a.claimed_at, a.key()).cmp(&(b.claimed_at, b.key())));
        Ok(claimed)
    }

    /// A file that somebody put into `.rosterd/` by hand is taken as claimed when it was last written.
    fn leftover(&self, name: &OsString, sighting: &Sighting) -> Option<Claimed> {
        let name = name.to_str().filter(|name| !name.starts_with('.'))?;
        let (claimed_at, original) = names::read_claim_name(name)
            .map_or_else(|| (sighting.modified, name.to_owned()), |(at, n)| (at, n.to_owned()));
        Some(Claimed {
            path: self.inbox.join(WORK).join(name),
            name: original,
            size: sighting.size,
            modified: sighting.modified,
            claimed_at,
        })
    }

    /// Opens a claimed file for reading; a link in its place is refused.
    pub fn read(&self, claimed: &Claimed) -> Result<File, SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&work, claimed.key(), flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT) => Err(SpoolError::Lost(claimed.path.clone())),
            Err(error) => Err(self.io("open", claimed.key(), error)),
        }
    }

    /// Whether a claimed file still has the size and time of its claim. Asked after reading it to the end: a writer that
    /// never closed it goes on writing to the renamed file.
    pub fn is_intact(&self, claimed: &Claimed) -> Result<bool, SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        let stat = folders::look_up(&work, claimed.key()).map_err(|e| self.io("look at", claimed.key(), e))?;
        Ok(stat.is_some_and(|stat| match folders::thing(&stat) {
            Thing::File(now) => (now.size, now.modified) == (claimed.size, claimed.modified),
            Thing::Folder | Thing::Link | Thing::Special => false,
        }))
    }

    /// Gives a claimed file back to its inbox, where it must settle again: for one that is not intact after reading.
    pub fn give_back(&self, claimed: &Claimed) -> Result<(), SpoolError> {
        let inbox = self.open_inbox()?;
        let work = self.open_below(&inbox, WORK)?;
        self.put_back((&work, claimed.key()), (&inbox, &OsString::from(&claimed.name)))
    }

    /// Removes what a crash left of receipts that were being written. Younger ones are somebody's work: the daemon
    /// writes receipts while a command looks at the same folders.
    pub fn sweep(&self, now: DateTime<Utc>) -> Result<(), SpoolError> {
        let work = self.open_below(&self.open_inbox()?, WORK)?;
        for found in folders::list(&work).map_err(|e| self.io("list", WORK, e))? {
            let is_stale = match found.thing {
                Thing::File(sighting) => SCRATCH_AGE <= now - sighting.modified,
                Thing::Folder | Thing::Link | Thing::Special => false,
            };
            if is_stale && found.name.as_encoded_bytes().starts_with(SCRATCH_PREFIX.as_bytes()) {
                self.step()
                    .and_then(|()| rustix::fs::unlinkat(&work, &found.name, AtFlags::empty()))
                    .map_err(|e| self.io("remove", &found.name.to_string_lossy(), e))?;
            }
        }
        Ok(())
    }

    fn open_inbox(&self) -> Result<OwnedFd, SpoolError> {
        folders::open(&self.inbox).map_err(|error| match error {
            Errno::NOENT => SpoolError::Missing(self.inbox.clone()),
            Errno::NOTDIR => SpoolError::NotAFolder(self.inbox.clone()),
            other => self.io("open", "", other),
        })
    }

    fn open_below(&self, parent: &OwnedFd, name: &str) -> Result<OwnedFd, SpoolError> {
        let access = if name == WORK { Access::Service } else { Access::AsParent };
        folders::open_or_make(parent, name, access).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => SpoolError::NotAFolder(self.inbox.join(name)),
            other => self.io("open", name, other),
        })
    }

    fn io(&self, doing: &'static str, name: &str, error: Errno) -> SpoolError {
        SpoolError::Io { doing, path: self.inbox.join(name), source: error.into() }
    }
}

#[cfg(test)]
mod tests;
