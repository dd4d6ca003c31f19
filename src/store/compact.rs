//! sled's file grows with every rewrite and never shrinks. When it is far larger than what it holds, it is copied into
//! a new one while the store opens, before anybody uses it.

use std::fs;
use std::io;
use std::path::Path;

use super::sentinel::sync_dir;
use super::trees::{Draft, Shelf, Trees};
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

/// Four times is sled's usual overhead and levels off there; eight is out of hand. Below 256 MB nobody minds.
pub(super) const LIMITS: Limits = Limits { bytes: 256 * 1024 * 1024, times: 8 };

/// Finishes or undoes a replacement that was cut off. Call it before the database is opened.
pub(super) fn resume(dir: &Path) -> Result<(), StoreError> {
    let (db, old) = (dir.join(DB), dir.join(OLD));
    if !db.exists() && old.exists() {
        fs::rename(&old, &db).map_err(|error| StoreError::io("restore", &db, &error))?;
    }
    remove(&dir.join(NEW))?;
    remove(&old)
}

/// Replaces the database by a compact copy, if it has grown beyond `limits`. `trees` is closed before the exchange.
pub(super) fn when_grown(dir: &Path, trees: Trees, limits: Limits) -> Result<Trees, StoreError> {
    let size = trees.size()?;
    if size <= limits.bytes || size <= fine_at(&trees)?.saturating_mul(3) / 2 {
        return Ok(trees);
    }
    if size <= trees.live_bytes()?.saturating_mul(limits.times) {
        note_fine(&trees, size)?;
        return Ok(trees);
    }
    let (db, new, old) = (dir.join(DB), dir.join(NEW), dir.join(OLD));
    if let Err(error) = trees.copy_to(&new) {
        // The grown database still works: better large than not at all.
        tracing::warn!(%error, size, "the database could not be compacted");
        remove(&new)?;
        return Ok(trees);
    }
    drop(trees);
    let exchange = || -> io::Result<()> {
        fs::rename(&db, &old)?;
        fs::rename(&new, &db)?;
        sync_dir(dir)
    };
    exchange().map_err(|error| StoreError::io("replace", &db, &error))?;
    remove(&old)?;
    let trees = Trees::open(&db)?;
    let after = trees.size()?;
    note_fine(&trees, after)?;
    tracing::info!(before = size, after, "database compacted");
    Ok(trees)
}

/// The size at which the database was last found to be worth it. To add up what it holds means to read all of it, which is not to
/// be done at every start.
fn fine_at(trees: &Trees) -> Result<u64, StoreError> {
    let sealed = trees.read(Shelf::Meta, keys::FINE_AT)?;
    sealed.map_or(Ok(0), |sealed| records::uncount(keys::FINE_AT, &sealed))
}

fn note_fine(trees: &Trees, size: u64) -> Result<(), StoreError> {
    let writing = trees.write();
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
