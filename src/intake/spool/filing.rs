//! Filing away: a claimed export goes to its place by a rename, and its receipt is written beside it.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, Gid, Mode, OFlags};
use rustix::io::Errno;

use super::{Claimed, MAX_COPIES, SCRATCH_PREFIX, Spool, SpoolError, WORK, folders, names};

/// Where an export goes when rosterd is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Accepted; in a folder a month.
    Processed,
    /// Waits for a person.
    Held,
    /// Unusable.
    Rejected,
    /// Accepted before.
    Duplicates,
}

impl Place {
    const ALL: [Self; 4] = [Self::Processed, Self::Held, Self::Rejected, Self::Duplicates];

    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Duplicates => "duplicates",
        }
    }
}

/// What rosterd writes beside a filed export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// What became of the file, for its dropper.
    Receipt,
    /// Rows to mend, as a table.
    Problems,
}

impl Beside {
    const ALL: [Self; 2] = [Self::Receipt, Self::Problems];

    /// What is added to the export's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Receipt => ".receipt.txt",
            Self::Problems => ".problems.csv",
        }
    }
}

/// The relative path of a filed export, taken apart.
struct Filed<'a> {
    place: Place,
    month: Option<&'a str>,
    name: &'a str,
}

impl<'a> Filed<'a> {
    fn parse(path: &'a str) -> Result<Self, SpoolError> {
        let bad = || SpoolError::NotFiled(path.chars().take(300).collect());
        let parts: Vec<&str> = path.split('/').collect();
        let (folder, month, name) = match parts.as_slice() {
            [folder, name] => (*folder, None, *name),
            [folder, month, name] => (*folder, Some(*month), *name),
            _ => return Err(bad()),
        };
        let place = Place::ALL.into_iter().find(|place| place.folder() == folder).ok_or_else(bad)?;
        if [Some(name), month].into_iter().flatten().any(|part| part.is_empty() || part.starts_with('.')) {
            return Err(bad());
        }
        Ok(Self { place, month, name })
    }
}

fn relative(place: Place, month: Option<&str>, name: &str) -> String {
    match month {
        Some(month) => format!("{}/{month}/{name}", place.folder()),
        None => format!("{}/{name}", place.folder()),
    }
}

impl Spool {
    /// Files a claimed export away and returns its path relative to the inbox. `at` names it: the time of the claim, or
    /// of its run, the same after a restart, so that the same call after a crash finds what the first one did. Never
    /// overwrites: a name that is taken gets a number. `sha256` may be empty for a file that could not be read.
    pub fn file_away(
        &self,
        claimed: &Claimed,
        place: Place,
        sha256: &str,
        at: DateTime<Utc>,
    ) -> Result<String, SpoolError> {
        let inbox = self.open_inbox()?;
        let work = self.open_below(&inbox, WORK)?;
        let month = (place == Place::Processed).then(|| names::month(at));
        let folder = self.open_place(&inbox, place, month.as_deref())?;
        let name = |copy| names::filed_name(at, sha256, copy, &claimed.name);
        let filed = match self.move_to((&work, claimed.key()), &folder, name) {
            Err(SpoolError::Gone) => return Err(SpoolError::Lost(claimed.path.clone())),
            other => other?,
        };
        Ok(relative(place, month.as_deref(), &filed))
    }

    /// Moves a filed export, its receipt and its problems to another place, and returns its new relative path: a held
    /// run was approved or dropped.
    pub fn refile(&self, filed_as: &str, place: Place) -> Result<String, SpoolError> {
        let filed = Filed::parse(filed_as)?;
        let inbox = self.open_inbox()?;
        let from = self.open_place(&inbox, filed.place, filed.month)?;
        let month = if place == Place::Processed { names::month_of(filed.name) } else { None };
        if filed.place == place {
            return Ok(filed_as.to_owned());
        }
        let to = self.open_place(&inbox, place, month.as_deref())?;
        let moved = match self.move_to((&from, filed.name), &to, |copy| names::renamed(filed.name, copy)) {
            Err(SpoolError::Gone) => return Err(SpoolError::Lost(self.inbox().join(filed_as))),
            other => other?,
        };
        for beside in Beside::ALL {
            let old = format!("{}{}", filed.name, beside.suffix());
            let new = format!("{moved}{}", beside.suffix());
            match self.step().and_then(|()| rustix::fs::renameat(&from, &old, &to, &new)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(self.io("move", &old, error)),
            }
        }
        folders::tried("make a move durable", folders::sync(&to).and_then(|()| folders::sync(&from)));
        Ok(relative(place, month.as_deref(), &moved))
    }

    /// Moves a file to the first free name. A file that is gone and lies under the first name has been moved before.
    fn move_to(
        &self,
        (from, old): (&OwnedFd, &str),
        to: &OwnedFd,
        name: impl Fn(u32) -> String,
    ) -> Result<String, SpoolError> {
        let is_there = |folder, name: &str| {
            folders::look_up(folder, name).map(|stat| stat.is_some()).map_err(|e| self.io("look at", name, e))
        };
        let first = name(1);
        if !is_there(from, old)? {
            return if is_there(to, &first)? { Ok(first) } else { Err(SpoolError::Gone) };
        }
        let moved = self.rename_free((from, &OsString::from(old)), to, name)?;
        folders::sync(to).and_then(|()| folders::sync(from)).map_err(|e| self.io("sync", &moved, e))?;
        Ok(moved)
    }

    /// Writes or rewrites the receipt of a filed export.
    pub fn receipt(&self, filed_as: &str, text: &str) -> Result<(), SpoolError> {
        self.write_beside(filed_as, Beside::Receipt, text.as_bytes()).map(drop)
    }

    /// Writes or rewrites the table of problems of a filed export.
    pub fn problems_csv(&self, filed_as: &str, table: &[u8]) -> Result<(), SpoolError> {
        self.write_beside(filed_as, Beside::Problems, table).map(drop)
    }

    /// Writes a receipt or a table of problems beside a filed export; an earlier one is replaced in one step. Returns
    /// its path relative to the inbox.
    pub fn write_beside(&self, filed_as: &str, beside: Beside, bytes: &[u8]) -> Result<String, SpoolError> {
        let filed = Filed::parse(filed_as)?;
        let inbox = self.open_inbox()?;
        let work = self.open_below(&inbox, WORK)?;
        let folder = self.open_place(&inbox, filed.place, filed.month)?;
        let name = format!("{}{}", filed.name, beside.suffix());
        let export = folders::look_up(&folder, filed.name).map_err(|e| self.io("look at", filed.name, e))?;
        let (scratch, mut file) = self.scratch(&work)?;
        let written = (|| {
            self.step()?;
            file.write_all(bytes)?;
            if let Some(export) = export {
                // Setting the group fails unless the service is in it. The folder's own group, inherited from a setgid
                // inbox, then has to do.
                folders::tried("set a group", rustix::fs::fchown(&file, None, Some(Gid::from_raw(export.st_gid))));
            }
            let readers = export.map_or(0, |export| export.st_mode & 0o044);
            // Rights that cannot be set (some network mounts) are no reason to leave the dropper without a receipt.
            folders::tried("set rights", rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640 | readers)));
            file.sync_all()?;
            self.step()?;
            rustix::fs::renameat(&work, &scratch, &folder, &name)?;
            folders::sync(&folder).map_err(std::io::Error::from)
        })();
        if let Err(source) = written {
            // It may have been renamed already; the sweep at the next start finds it otherwise.
            self.remove_scratch(&work, &scratch);
            return Err(SpoolError::Io { doing: "write", path: self.inbox().join(name), source });
        }
        Ok(relative(filed.place, filed.month, &name))
    }

    /// Removes what came to nothing.
    pub(super) fn remove_scratch(&self, work: &OwnedFd, scratch: &str) {
        let removed = self.step().and_then(|()| rustix::fs::unlinkat(work, scratch, AtFlags::empty()));
        folders::tried("remove a scratch file", removed);
    }

    /// A new file in `.rosterd/`, on the file system of the place that it is meant for.
    pub(super) fn scratch(&self, work: &OwnedFd) -> Result<(String, std::fs::File), SpoolError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut left = MAX_COPIES;
        loop {
            let name = format!("{SCRATCH_PREFIX}{:016x}", fastrand::u64(..));
            match self.step().and_then(|()| rustix::fs::openat(work, &name, flags, Mode::RUSR | Mode::WUSR)) {
                Ok(file) => return Ok((name, std::fs::File::from(file))),
                Err(Errno::EXIST) if 0 < left => left -= 1,
                Err(error) => return Err(self.io("make", WORK, error)),
            }
        }
    }

    fn open_place(&self, inbox: &OwnedFd, place: Place, month: Option<&str>) -> Result<OwnedFd, SpoolError> {
        let folder = self.open_below(inbox, place.folder())?;
        match month {
            Some(month) => self.open_below(&folder, month),
            None => Ok(folder),
        }
    }
}
