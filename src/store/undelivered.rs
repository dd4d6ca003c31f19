//! Which batches of a run are left. It is asked at the end of each batch, and a run has thousands: where one was left the last time,
//! the next search begins.

use std::sync::PoisonError;

use sled::IVec;

use super::batches::second_id;
use super::trees::Shelf;
use super::{Store, StoreError, keys};
use crate::report::Batch;
use crate::roster::ids::RunId;

/// A run, and the key of a batch of it that was left when somebody asked last.
pub(super) type Left = (RunId, IVec);

impl Store {
    /// The batches of a run that are open or wait, but for those that try people again, each read only when it is asked for: from the one
    /// that was the first when it was asked last to older ones, then from the newest on. So each of a run's batches that has ended is
    /// passed over a few times, in whichever order they end, and none is left out.
    pub fn undelivered(&self, run: &RunId) -> impl Iterator<Item = Result<Batch, StoreError>> {
        let prefix = keys::first(run.as_str());
        let left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let from = left.filter(|(of, _)| of == run).map(|(_, key)| key);
        let back = |from| self.inner.trees.keys_back(Shelf::RunBatches, prefix.clone(), from);
        let older = from.clone().map(|from| back(Some(from)));
        let newer = back(None).take_while(move |key| key.as_ref().map_or(true, |key| from.as_ref() < Some(key)));
        let (run, mut is_first) = (run.clone(), true);
        older.into_iter().flatten().chain(newer).filter_map(move |key| {
            let found = key.and_then(|key| self.undelivered_at(key)).transpose()?;
            Some(found.map(|(key, batch)| {
                if std::mem::take(&mut is_first) {
                    *self.inner.left.lock().unwrap_or_else(PoisonError::into_inner) = Some((run.clone(), key));
                }
                batch
            }))
        })
    }

    /// None where the batch has ended; nor where it was forgotten since its key was read.
    fn undelivered_at(&self, key: IVec) -> Result<Option<(IVec, Batch)>, StoreError> {
        let batch = self.batch(&second_id(&key)?)?;
        let batch = batch.filter(|batch| !batch.phase.is_final() && batch.again == 0);
        Ok(batch.map(|batch| (key, batch)))
    }
}
