//! sled's file grows with every rewrite and hardly ever shrinks. When it is far larger than what it holds, it is copied into a new
//! one: while the store opens, and, if its owner asks for it, while it is in use.

use std::fs;
use std::io;
use std::path::Path;

use super::sentinel::sync_dir;
use super::trees::{Draft, Shelf, Trees, Writing};
use super::{StoreError, keys, records};

/// The database in use.
pub(super) const DB: &str = "db";
/// The copy under way.
const NEW: &str = "db.new";
/// The database that a copy replaces.
const OLD: &str = "db.old";

/// When a copy is worth its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Smaller files are left alone.
    pub(super) bytes: u64,
    /// Bytes on disk for each byte of keys and values.
    pub(super) times: u64,
}

/// A roster is written anew with every change, and sled seldom uses the space of the old one again: the file grows by what is
/// written. Twice its content is reached in a week, and a copy of it is made in seconds; of 16 MB in a fifth of one. Each time sled opens a
/// database it fills with zeros what is free in it, which is a tenth of a command on a state of that size.
pub(super) const LIMITS: Limits = Limits { bytes: 16 * 1024 * 1024, times: 2 };

/// Finishes or undoes a replacement that was cut off. Call it before the database is opened.
pub(super) fn resume(dir: &Path) -> Result<(), StoreError> {
    let (db, old) = (dir.join(DB), dir.join(OLD));
    if !db.exists() && old.exists() {
        fs::rename(&old, &db).map_err(|error| StoreError::io("restore", &db, &error))?;
    }
    remove(&dir.join(NEW))?;
    remove(&old)
}

/// Replaces the database by a compact copy, if it has grown beyond `limits`. Nobody writes meanwhile; whoever reads waits for the
/// exchange only. Answers the size after it, if there was one.
pub(super) fn when_grown(dir: &Path, trees: &Trees, limits: Limits) -> Result<Option<u64>, StoreError> {
    let (in_trees, size) = (trees.size_of_trees()?, trees.size()?);
    // A copy writes all of history again. So it has to have grown by half of everything: with years of history that is seldom.
    if in_trees <= limits.bytes || size <= fine_at(trees)?.saturating_mul(3) / 2 {
        return Ok(None);
    }
    let writing = trees.write();
    if in_trees <= trees.staying()?.saturating_mul(limits.times) {
        note_fine(writing, size)?;
        return Ok(None);
    }
    replace(dir, trees, writing)
}

/// Replaces the database by a compact copy, as [`when_grown`].
pub(super) fn replace(dir: &Path, trees: &Trees, writing: Writing<'_>) -> Result<Option<u64>, StoreError> {
    let before = trees.size()?;
    let (db, new) = (dir.join(DB), dir.join(NEW));
    let copied = remove(&new).and_then(|()| writing.copy_to(&new));
    if let Err(error) = copied {
        // The grown database still works: better large than not at all.
        tracing::warn!(%error, before, "the database could not be compacted");
        remove(&new)?;
        return Ok(None);
    }
    writing.reopen(&db, || {
        exchange(dir).map_err(|error| StoreError::io("replace", &db, &error)).or_else(|error| {
            // Whichever of the two has the name now, there is one.
            resume(dir)?;
            Err(error)
        })
    })?;
    remove(&dir.join(OLD))?;
    let after = trees.size()?;
    note_fine(writing, after)?;
    tracing::info!(before, after, "the database was compacted");
    Ok(Some(after))
}

/// Puts the copy in the place of the database, which is closed.
fn exchange(dir: &Path) -> io::Result<()> {
    let new = dir.join(NEW);
    // All that there is will be in these files, and the filter that makes sled's own flush durable may be missing.
    for file in fs::read_dir(&new)? {
        fs::File::open(file?.path())?.sync_all()?;
    }
    sync_dir(&new)?;
    fs::rename(dir.join(DB), dir.join(OLD))?;
    fs::rename(new, dir.join(DB))?;
    sync_dir(dir)
}

/// The size at which the database and its archive were last found to be worth it. To add up what they hold means to read all of it, which is
/// not to be done at every start.
fn fine_at(trees: &Trees) -> Result<u64, StoreError> {
    let sealed = trees.read(Shelf::Meta, keys::FINE_AT)?;
    sealed.map_or(Ok(0), |sealed| records::uncount(keys::FINE_AT, &sealed))
}

fn note_fine(writing: Writing<'_>, size: u64) -> Result<(), StoreError> {
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Meta, keys::FINE_AT, &records::count(keys::FINE_AT, size))?;
    writing.commit(&draft)
}

pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
