//! Why the store cannot do what was asked. Texts hold no personal data: ids, counts and paths at most.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::roster::ids::GroupRef;

/// Why the store refuses. The variants are what a caller does next; all of them but [`StoreError::OutOfOrder`] end
/// the process with exit 74.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds the store: ask the daemon, or wait for the other command.
    #[error(
        "the state in {} is in use by another rosterd process; ask the running daemon, or stop it first",
        dir.display()
    )]
    InUse {
        /// The state directory.
        dir: PathBuf,
    },
    /// The store, or one record of it, cannot be trusted. It is never opened as empty and never repaired by guess.
    #[error(
        "the state is damaged: {detail}; restore the state directory from a backup, or move it away and start \
         without a baseline (nothing is submitted until a person approves it)"
    )]
    Corrupt {
        /// What was found, for the operator.
        detail: String,
    },
    /// The database is gone or empty although this directory held one.
    #[error(
        "the database in {} is missing or empty, but the directory once held one; restore it from a backup, or \
         move the whole directory away and start without a baseline (nothing is submitted until a person approves it)",
        dir.display()
    )]
    Vanished {
        /// The state directory.
        dir: PathBuf,
    },
    /// A newer rosterd wrote this.
    #[error(
        "the state was written by a newer rosterd (version {found}, this one knows {known}); install that version, or, if none was ever installed here, the state is damaged: restore a backup (rosterd restore)"
    )]
    Newer {
        /// The version on disk.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The key opens another organization than the one that the state was made with: submitting there would cover people twice,
    /// or remove others.
    #[error(
        "the API key belongs to organization {found}, and the state to organization {expected}: nothing is sent. Put the \
         right key back; if the other organization is meant, give it a state_dir and inboxes of its own"
    )]
    OtherOrganization {
        /// What the API says now.
        found: String,
        /// What the state was made with.
        expected: String,
    },
    /// The disk is full. sled refuses every write from here on: free space and start again.
    #[error("the disk that holds the state is full; free space and start rosterd again")]
    Full,
    /// A file is no backup that can be used.
    #[error("{} is no backup that can be used: {detail}", path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A backup cannot be written. The state is as it was.
    #[error("the backup cannot be written: {detail}")]
    BackupFailed {
        /// What failed.
        detail: String,
    },
    /// The state directory was deleted, moved or replaced while it was in use: what is written now, nobody would find again.
    #[error(
        "the state directory {} was deleted, moved or replaced while rosterd used it: nothing more is sent; put it back, \
         and start rosterd again",
        dir.display()
    )]
    Gone {
        /// Where it was.
        dir: PathBuf,
    },
    /// Anything else that the file system says.
    #[error("the state cannot be read or written: {detail}")]
    Io {
        /// What failed, for the operator.
        detail: String,
    },
    /// A write that does not fit what is recorded: a bug, or two deliverers of one group. Nothing was written.
    #[error("out of order in {group}: {detail}")]
    OutOfOrder {
        /// The group.
        group: GroupRef,
        /// What does not fit, with the batch that the write was about.
        detail: String,
    },
}

impl StoreError {
    /// Whether another process holds the store, so that its daemon can be asked instead.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    /// Whether nothing can be written any more before the state is opened again: the disk is full, or the state is gone.
    pub fn needs_restart(&self) -> bool {
        matches!(self, Self::Full | Self::Gone { .. })
    }

    pub(super) fn out_of_order(group: &GroupRef, detail: impl Into<String>) -> Self {
        Self::OutOfOrder { group: group.clone(), detail: detail.into() }
    }

    pub(super) fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt { detail: detail.into() }
    }

    pub(super) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        if is_full(error) { Self::Full } else { Self::Io { detail: format!("{what} {}: {error}", path.display()) } }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if is_full(&error) => Self::Full,
            sled::Error::Io(error) => Self::Io { detail: error.to_string() },
            sled::Error::Corruption { .. } => Self::corrupt("the database reports corrupt bytes"),
            sled::Error::CollectionNotFound(_) => Self::corrupt("a tree of the database is missing"),
            sled::Error::Unsupported(detail) | sled::Error::ReportableBug(detail) => Self::corrupt(detail),
        }
    }
}

/// sled copies an error by its kind and text, so the raw number may be lost: both are asked.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
