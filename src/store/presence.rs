//! Who is, may be, or is about to be on a group's roster, told without making records of them: a plan has to look at every group of
//! every source, and needs few of them.

use std::collections::HashSet;

use super::envelope::Kind;
use super::records;
use super::trees::Shelf;
use super::{Store, StoreError};
use crate::roster::ids::{GroupRef, SourceName};

/// A record that holds members, as it lies in the store.
type Sealed = (Kind, Vec<u8>, Vec<u8>);

impl Store {
    /// Whether a source has anybody in the group: confirmed, under way, or perhaps added by a roster whose results never came.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_members_of(&self, group: &GroupRef, source: &SourceName) -> Result<bool, StoreError> {
        self.any_of(group, |kind, key, sealed| records::names_source(kind, key, sealed, source.as_str()))
    }

    /// Whether any of these reference ids is in the group: confirmed, under way, or perhaps added by a roster whose results never came.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_any(&self, group: &GroupRef, reference_ids: &HashSet<&str>) -> Result<bool, StoreError> {
        self.any_of(group, |kind, key, sealed| records::names_any(kind, key, sealed, reference_ids))
    }

    fn any_of(
        &self,
        group: &GroupRef,
        mut is_meant: impl FnMut(Kind, &[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        for (kind, key, sealed) in self.consistently(|store| store.sealed(group))? {
            if is_meant(kind, &key, &sealed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sealed(&self, group: &GroupRef) -> Result<Vec<Sealed>, StoreError> {
        let mut records = Vec::new();
        let key = group.as_str().as_bytes();
        for (shelf, kind) in [(Shelf::Rosters, Kind::Roster), (Shelf::Abroad, Kind::Payload)] {
            records.extend(self.inner.trees.read(shelf, key)?.map(|sealed| (kind, key.to_vec(), sealed)));
        }
        for batch in [self.open_batch(group)?, self.next_batch(group)?].into_iter().flatten() {
            records.push((Kind::Payload, batch.batch.as_str().as_bytes().to_vec(), self.sealed_payload(&batch)?));
        }
        Ok(records)
    }
}
