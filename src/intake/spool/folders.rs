//! Folders held open by descriptor. Nobody who may write to an inbox can lead a rename or a receipt elsewhere by
//! putting a link in the place of a folder: every step goes through `openat` without following links.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::intake::settle::{Found, Sighting, Thing};

/// Who may look into a new folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The service alone: files under way.
    Service,
    /// Whoever may look into the folder above; only the service may change it.
    AsParent,
}

/// Opens the inbox itself, which an operator may have made a link.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a folder within a folder; a link in its place is refused with `ELOOP` or `ENOTDIR`.
pub(super) fn open_within(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Opens a folder within a folder and makes it if it is not there. Folders that exist keep their rights: they may be
/// the operator's work.
pub(super) fn open_or_make(parent: &OwnedFd, name: &str, access: Access) -> Result<OwnedFd, Errno> {
    match open_within(parent, name) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => {}
        // Made by somebody else in between: theirs is as good.
        Err(Errno::EXIST) => return open_within(parent, name),
        Err(error) => return Err(error),
    }
    let made = open_within(parent, name)?;
    if access == Access::AsParent {
        let above = rustix::fs::fstat(parent)?;
        let inherited = rustix::fs::fstat(&made)?.st_mode & Mode::SGID.bits();
        let mode = 0o700 | (above.st_mode & 0o055) | inherited;
        // Some network file systems have no rights to set. Receipts are then as readable as the mount makes them.
        tried("set the rights of a folder", rustix::fs::fchmod(&made, Mode::from_raw_mode(mode)));
    }
    Ok(made)
}

/// Everything in a folder, by name and without following links. What vanishes meanwhile is left out.
pub(super) fn list(folder: &OwnedFd) -> Result<Vec<Found>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsString::from(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == "." || name == ".." {
            continue;
        }
        match rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push(Found { name, thing: thing(&stat) }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What a name stands for, links not followed; none when there is no such name.
pub(super) fn look_up(folder: &OwnedFd, name: impl rustix::path::Arg) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Renames to a name that must be free; `EEXIST` when it is not.
pub(super) fn rename_new(
    (from, name): (&OwnedFd, &std::ffi::OsStr),
    (to, new_name): (&OwnedFd, &str),
) -> Result<(), Errno> {
    match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag. Only rosterd makes names in its own folders, so looking first will do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match look_up(to, new_name)? {
            Some(_) => Err(Errno::EXIST),
            None => rustix::fs::renameat(from, name, to, new_name),
        },
        other => other,
    }
}

/// Makes a folder's names or a file's content durable, where the file system can.
pub(super) fn sync(opened: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(opened) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Makes what is in a file durable, where the file system can: whoever dropped it may not have waited for the disk, and after a power
/// cut the name alone would be left of it. One that may not be read is none of this step's business.
pub(super) fn sync_content(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map_or(Ok(()), |file| sync(&file))
}

/// For steps that the rest does not depend on: a failure is worth a line for whoever looks for the reason.
pub(super) fn tried(doing: &'static str, result: Result<(), Errno>) {
    if let Err(error) = result {
        tracing::debug!(doing, %error, "a step that may fail has failed");
    }
}

/// What a `stat` describes.
pub(super) fn thing(stat: &Stat) -> Thing {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Thing::File(Sighting {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
            device: stat.st_dev,
        }),
        FileType::Directory => Thing::Folder,
        FileType::Symlink => Thing::Link,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            Thing::Special
        }
    }
}

/// A sender can set a time that no calendar has; such a file counts as the oldest.
fn time(seconds: i64, nanos: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0)).unwrap_or(DateTime::UNIX_EPOCH)
}
