//! What the rows of each source's last accepted export said, in files beside the database. They are only there to save time: without one the
//! next export is read whole, and planned the same. So they are in no backup, nobody waits for the disk to have them, and one that cannot be
//! read is as good as none. In the database they would be most of what is written on a day.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::trees::{Draft, Shelf};
use super::{Store, StoreError, open, records};
use crate::roster::familiar::Familiar;
use crate::roster::ids::SourceName;

const FOLDER: &str = "familiar";
/// Of a file that is being written.
const NEW: &str = "new";

impl Store {
    /// What the rows of a source's last accepted export said; none where that is not known.
    pub fn familiar(&self, source: &SourceName) -> Option<Familiar> {
        let path = self.familiar_path(source)?;
        let read = match fs::read(&path) {
            Ok(sealed) => records::unfamiliar(source.as_str().as_bytes(), sealed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(StoreError::io("read", &path, &error)),
        };
        read.inspect_err(|error| tracing::warn!(%source, %error, "familiar rows are lost: the export is read whole"))
            .ok()
    }

    /// Remembers what the rows of a source's last accepted export said, if it can.
    pub(super) fn keep_familiar(&self, source: &SourceName, familiar: &Familiar) {
        let Some(path) = self.familiar_path(source) else { return };
        let keep = || {
            let sealed = records::familiar(source.as_str().as_bytes(), familiar)?;
            open::make(&self.inner.dir.join(FOLDER))?;
            let new = path.with_extension(NEW);
            let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
            let written = file.and_then(|mut file| file.write_all(&sealed)).and_then(|()| fs::rename(&new, &path));
            written.map_err(|error| {
                // The disk may be full.
                drop(fs::remove_file(&new));
                StoreError::io("write", &path, &error)
            })
        };
        if let Err(error) = keep() {
            tracing::warn!(%source, %error, "familiar rows cannot be kept: the next export is read whole");
        }
    }

    /// None for a name that is none of a file; the config has no such names.
    fn familiar_path(&self, source: &SourceName) -> Option<PathBuf> {
        let is_plain = source.as_str().chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
        is_plain.then(|| self.inner.dir.join(FOLDER).join(source.as_str()).with_extension("rows"))
    }

    /// Takes those out of the database that an earlier version kept there.
    pub(super) fn drop_familiar(&self) -> Result<(), StoreError> {
        for source in self.ids_of::<SourceName>(Shelf::Familiar)? {
            let writing = self.inner.trees.write();
            let mut draft = Draft::default();
            writing.remove(&mut draft, Shelf::Familiar, source.as_str().as_bytes())?;
            writing.stage(&draft)?;
        }
        Ok(())
    }
}
