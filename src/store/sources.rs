//! What is known of sources, and which contents were accepted from them.

use super::envelope::Kind;
use super::records::{self, SourceV1};
use super::trees::{Draft, Shelf, Writing};
use super::{SourceState, Store, StoreError, keys};
use crate::roster::ids::{RunId, SourceName};

impl Store {
    /// What is known of a source; none for one that never delivered.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn source(&self, source: &SourceName) -> Result<Option<SourceState>, StoreError> {
        let key = source.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Sources, key)?;
        sealed.map(|sealed| records::unjson::<SourceV1>(Kind::Source, key, &sealed).map(SourceState::from)).transpose()
    }

    /// What is known of every source, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        let names: Vec<SourceName> = self.ids_of(Shelf::Sources)?;
        names.iter().filter_map(|name| self.source(name).transpose()).collect()
    }

    /// The run that accepted this content from this source, however long ago.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn accepted(&self, source: &SourceName, sha256: &str) -> Result<Option<RunId>, StoreError> {
        let key = keys::accepted(source, sha256);
        let sealed = self.inner.trees.read(Shelf::Accepted, &key)?;
        sealed.map(|sealed| records::untext(&key, &sealed)).transpose()
    }

    /// Records what is known of a source. An accepted export is recorded by [`Store::accept`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_source(&self, state: &SourceState) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut draft = Draft::default();
        draft_source(&writing, &mut draft, state)?;
        writing.commit(&draft)
    }

    /// Changes what is known of a source while nobody else does.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn update_source(&self, source: &SourceName, change: impl FnOnce(&mut SourceState)) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        let mut state = self.source(source)?.unwrap_or_else(|| SourceState::new(source.clone()));
        change(&mut state);
        let mut draft = Draft::default();
        draft_source(&writing, &mut draft, &state)?;
        writing.commit(&draft)
    }
}

/// Adds a source's state to a transaction.
pub(super) fn draft_source(writing: &Writing<'_>, draft: &mut Draft, state: &SourceState) -> Result<(), StoreError> {
    let key = state.source.as_str().as_bytes();
    writing.put(draft, Shelf::Sources, key, &records::json(Kind::Source, key, &SourceV1::from(state))?)
}
