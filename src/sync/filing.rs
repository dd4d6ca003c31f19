//! Where an export ends up in the inbox, and its receipt beside it.

use crate::config::Source;
use crate::intake::receipt::{self, Subject, problems_csv};
use crate::intake::spool::{Place, Spool};
use crate::report::{Run, RunState};
use crate::roster::ids::RunId;
use crate::store::{RunFilter, RunRecord};

use super::{Desk, Job, SyncError, claimed_as};

/// The folder of claimed files, relative to the inbox.
pub(super) const CLAIMED: &str = ".rosterd";
/// A crash can leave only the last few runs with their file among the claimed.
const UNFILED_RUNS: usize = 200;

/// The folder for a run's export.
pub(super) fn place(state: RunState) -> Place {
    match state {
        RunState::Rejected => Place::Rejected,
        RunState::Duplicate => Place::Duplicates,
        RunState::Held => Place::Held,
        RunState::Received
        | RunState::Planned
        | RunState::Delivering
        | RunState::Completed
        | RunState::Partial
        | RunState::Failed
        | RunState::Unchanged
        | RunState::Superseded
        | RunState::Discarded => Place::Processed,
    }
}

impl Desk {
    /// Finishes what a crash interrupted: the claimed file belongs to a run that is on record, and only has to be filed away.
    pub(super) async fn finish_filing(&self, job: &Job) -> Result<Option<Run>, SyncError> {
        let (source, claimed) = (job.source.clone(), claimed_as(&job.file));
        let record = self
            .store
            .call(move |store| {
                let filter = RunFilter { source: Some(source), ..RunFilter::default() };
                for run in store.runs(&filter, UNFILED_RUNS)? {
                    if let Some(record) = store.run(&run.run)?
                        && record.filed_as.as_ref() == Some(&claimed)
                    {
                        return Ok(Some(record));
                    }
                }
                Ok(None)
            })
            .await?;
        match record {
            None => Ok(None),
            Some(record) => {
                let place = place(record.run.state);
                self.file_away(job, record, place).await.map(Some)
            }
        }
    }

    /// A writer that still had the file open when it was claimed may have gone on writing: then nothing of it counts.
    pub(super) async fn give_back_changed(&self, source: &Source, job: &Job) -> Result<(), SyncError> {
        let (inbox, file) = (source.inbox.clone(), job.file.clone());
        let is_intact = blocking(move || {
            let spool = Spool::at(&inbox);
            let is_intact = spool.is_intact(&file)?;
            if !is_intact {
                spool.give_back(&file)?;
            }
            Ok(is_intact)
        });
        if is_intact.await? { Ok(()) } else { Err(SyncError::Changed) }
    }

    /// Moves the export to its place, records where, and writes the receipt.
    pub(super) async fn file_away(&self, job: &Job, record: RunRecord, place: Place) -> Result<Run, SyncError> {
        let inbox = self.source(&job.source)?.inbox.clone();
        let sha = record.run.file.as_ref().map(|file| file.sha256.clone()).unwrap_or_default();
        let (file, received) = (job.file.clone(), record.run.received_at);
        let filed = blocking(move || Spool::at(&inbox).file_away(&file, place, &sha, received)).await?;
        let id = record.run.run.clone();
        // Only this field: delivery may have changed the run in the meantime.
        let updated =
            self.store.call(move |store| store.update_run(&id, |record| record.filed_as = Some(filed))).await?;
        let run = updated.map_or(record.run, |record| record.run);
        self.rewrite_receipt(&run.run).await;
        Ok(run)
    }

    pub(super) async fn write_receipt(&self, run: &RunId) -> Result<(), SyncError> {
        let id = run.clone();
        let found = self
            .store
            .call(move |store| match store.run(&id)? {
                None => Ok(None),
                Some(record) => store.batches_of(&id).map(|batches| Some((record, batches))),
            })
            .await?;
        let Some((record, batches)) = found else { return Ok(()) };
        let Some(filed) = record.filed_as.clone().filter(|path| !path.starts_with(CLAIMED)) else { return Ok(()) };
        let source = self.source(&record.run.source)?;
        let (inbox, zone) = (source.inbox.clone(), source.timezone);
        blocking(move || {
            let spool = Spool::at(&inbox);
            let problems = record.plan.as_ref().map(|plan| plan.problems.as_slice()).unwrap_or_default();
            if !problems.is_empty() {
                spool.problems_csv(&filed, &problems_csv(problems))?;
            }
            let name = record.run.file.as_ref().map(|file| file.name.as_str()).unwrap_or_default();
            let text = receipt::render_for(Subject { name, zone }, &record.run, record.plan.as_ref(), &batches);
            spool.receipt(&filed, &text)
        })
        .await
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::intake::spool::SpoolError> + Send + 'static,
) -> Result<T, SyncError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(SyncError::Refused(format!("the inbox task ended abnormally: {error}"))),
    }
}
