//! A small file beside the database that says which database belongs here and how far it had come. A database that
//! vanished, was emptied, or lost settlements would make every member look new; with the sentinel it is refused.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

pub(super) const NAME: &str = "store.json";
const VERSION: u32 = 1;
/// Digits of the checksum: enough against damage, and nobody forges it.
const CHECKSUM_DIGITS: usize = 16;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sentinel {
    version: u32,
    /// The database's random name, also in its `meta`.
    pub(super) store: String,
    /// Settlements that were on disk when this was written. The database may have more, never fewer.
    pub(super) generation: u64,
    /// The API that the database belongs to; none in a file of an earlier rosterd, which asked the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base_url: Option<String>,
    /// Over the others, so that a flipped bit does not make it the file of another API; none in a file of an earlier rosterd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl Sentinel {
    pub(super) fn new(store: String, generation: u64, base_url: String) -> Self {
        let checksum = Some(checksum(&store, generation, &base_url));
        Self { version: VERSION, store, generation, base_url: Some(base_url), checksum }
    }

    /// Reads the file, if there is one.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, &error)),
        };
        let unreadable = || StoreError::corrupt(format!("{} cannot be read", path.display()));
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        // The version first: a newer file may have another shape.
        let found = value.get("version").and_then(serde_json::Value::as_u64).ok_or_else(unreadable)?;
        if u64::from(VERSION) < found {
            return Err(StoreError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX), known: VERSION });
        }
        let sentinel: Self = serde_json::from_value(value).map_err(|_| unreadable())?;
        let Self { version: _, store, generation, base_url, checksum: found } = &sentinel;
        let is_whole = found.as_ref().is_none_or(|found| {
            base_url.as_ref().is_some_and(|base_url| *found == checksum(store, *generation, base_url))
        });
        if is_whole { Ok(Some(sentinel)) } else { Err(unreadable()) }
    }

    /// Replaces the file: whole or not at all, and on disk when this returns.
    pub(super) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(NAME);
        let replace = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            sync_dir(dir)
        };
        replace().map_err(|error| StoreError::io("write", &path, &error))
    }
}

fn checksum(store: &str, generation: u64, base_url: &str) -> String {
    let text = format!("{store}\n{generation}\n{base_url}");
    blake3::hash(text.as_bytes()).to_hex().chars().take(CHECKSUM_DIGITS).collect()
}

/// Makes renames in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
