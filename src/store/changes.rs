//! What each batch changed, person by person: the ground of `member`, `roster --at` and `revert`.

use super::trees::Shelf;
use super::{ChangeKind, MemberChange, Store, StoreError, records};
use crate::roster::ids::BatchId;

impl Store {
    /// What a batch changed; empty for one that changed nothing, or has not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes(&self, batch: &BatchId) -> Result<Vec<MemberChange>, StoreError> {
        let key = batch.as_str().as_bytes();
        match self.inner.trees.read(Shelf::Changes, key)? {
            Some(sealed) => records::unchanges(key, &sealed),
            None => Ok(Vec::new()),
        }
    }

    /// The kinds of what a batch changed, one for each change: a batch of a first load has everybody's records in its changes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn change_kinds(&self, batch: &BatchId) -> Result<Vec<ChangeKind>, StoreError> {
        let key = batch.as_str().as_bytes();
        match self.inner.trees.read(Shelf::Changes, key)? {
            Some(sealed) => records::change_kinds(key, &sealed),
            None => Ok(Vec::new()),
        }
    }
}
