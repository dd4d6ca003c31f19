//! Where an export ends up in the inbox, and its receipt beside it.

use std::collections::BTreeSet;

use tracing::error;

use crate::config::Source;
use crate::intake::receipt::{self, Subject, problems_csv};
use crate::intake::spool::{Beside, COPY_PREFIX, Claimed, Place, Spool};
use crate::report::{Run, RunState};
use crate::roster::ids::{RunId, SourceName};
use crate::store::{RunFilter, RunRecord, Store, StoreError};

use super::{Desk, Job, SyncError, claimed_as};

/// The folder of claimed files, relative to the inbox.
pub(super) const CLAIMED: &str = ".rosterd";
/// A crash can leave only the last few runs with their file among the claimed.
const UNFILED_RUNS: usize = 200;
/// So many of the runs that ended last have their receipts looked at after a start: more cannot have ended between a record and
/// its receipt.
const STALE_RECEIPTS: usize = 50;

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
        let record = self.store.call(move |store| store.run_filed_as(&source, &claimed, UNFILED_RUNS)).await?;
        match record {
            None => Ok(None),
            Some(record) => {
                self.supersede_held(&record.run).await?;
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

    /// Brings the inboxes in step with the records: what a crash, or an end in the middle, left between a file's move and its
    /// record, and between a run's end and its receipt. To be called before anything is passed over.
    pub async fn tidy(&self) {
        let _turn = self.turn.lock().await;
        let runs = self.store.call(|store| store.runs(&RunFilter::default(), usize::MAX)).await;
        let mut runs = match runs {
            Ok(runs) => runs,
            Err(error) => {
                error!(%error, "what was left unfinished cannot be looked for");
                return;
            }
        };
        for run in runs.iter().take(UNFILED_RUNS) {
            if let Err(error) = self.find_filed(&run.run).await {
                error!(run = %run.run, %error, "the export of a run cannot be looked for");
            }
            if let Err(error) = self.move_filed(&run.run).await {
                error!(run = %run.run, %error, "the export of a run that is held no longer cannot be moved");
            }
        }
        // In the order of their ends: a run can take a day, and be overtaken by many.
        runs.sort_by_key(|run| std::cmp::Reverse(run.finished_at.unwrap_or(run.received_at)));
        for run in runs.iter().take(STALE_RECEIPTS) {
            self.rewrite_receipt(&run.run).await;
        }
    }

    /// Records where an export lies that was moved to its place when the process stopped.
    async fn find_filed(&self, run: &RunId) -> Result<(), SyncError> {
        let id = run.clone();
        let Some(record) = self.store.call(move |store| store.bare_run(&id)).await? else { return Ok(()) };
        let Some(claimed) = record.filed_as.as_deref().and_then(|path| path.strip_prefix(CLAIMED)) else {
            return Ok(());
        };
        let inbox = self.source(&record.run.source)?.inbox.clone();
        let path = inbox.join(CLAIMED).join(claimed.trim_start_matches('/'));
        let is_own_copy = claimed.trim_start_matches('/').starts_with(COPY_PREFIX);
        if path.exists() && !is_own_copy {
            // It is handed over again, and filed away then.
            return Ok(());
        }
        let (received, place) = (record.run.received_at, place(record.run.state));
        let (name, sha256) = record.run.file.map(|file| (file.name, file.sha256)).unwrap_or_default();
        let file = Claimed { path, name, size: 0, modified: received, claimed_at: received };
        let filed = blocking(move || Spool::at(&inbox).file_away(&file, place, &sha256, received)).await?;
        let id = run.clone();
        self.store.call(move |store| store.update_run(&id, |record| record.filed_as = Some(filed))).await?;
        Ok(())
    }

    /// Moves the export of a run that is held no longer out of the folder of held ones, and rewrites its receipt. What fails here is
    /// made up for at the next start.
    pub(super) async fn refile(&self, run: &RunId) {
        if let Err(error) = self.move_filed(run).await {
            error!(run = %run, %error, "the export of a run that is held no longer cannot be moved");
        }
        self.rewrite_receipt(run).await;
    }

    async fn move_filed(&self, run: &RunId) -> Result<(), SyncError> {
        let id = run.clone();
        let Some(record) = self.store.call(move |store| store.bare_run(&id)).await? else { return Ok(()) };
        let place = place(record.run.state);
        let Some(filed) = record.filed_as.filter(|filed| lies_among_held(filed) && place != Place::Held) else {
            return Ok(());
        };
        let inbox = self.source(&record.run.source)?.inbox.clone();
        let moved = blocking(move || Spool::at(&inbox).refile(&filed, place)).await?;
        let id = run.clone();
        self.store.call(move |store| store.update_run(&id, |record| record.filed_as = Some(moved))).await?;
        Ok(())
    }

    pub(super) async fn write_receipt(&self, run: &RunId) -> Result<(), SyncError> {
        let _receipts = self.receipts.lock().await;
        let id = run.clone();
        let found = self
            .store
            .call(move |store| match store.bare_run(&id)? {
                None => Ok(None),
                Some(record) => store.batches_of(&id).map(|batches| Some((record, batches))),
            })
            .await?;
        let Some((record, batches)) = found else { return Ok(()) };
        let Some(filed) = record.filed_as.clone().filter(|path| !path.starts_with(CLAIMED)) else { return Ok(()) };
        let source = self.source(&record.run.source)?;
        let (inbox, zone, run) = (source.inbox.clone(), source.timezone, record.run);
        let written = inbox.join(format!("{filed}{}", Beside::Receipt.suffix()));
        let name = run.file.as_ref().map(|file| file.name.clone()).unwrap_or_default();
        // At each start the receipts of the runs that ended last are looked at, and the plan of a first load tells of everybody.
        let beginning = receipt::beginning_of(Subject { name: &name, zone }, &run, &batches);
        let written = blocking(move || Ok(std::fs::read(written).unwrap_or_default())).await?;
        if beginning.is_some_and(|beginning| written.starts_with(beginning.as_bytes())) {
            return Ok(());
        }
        let id = run.run.clone();
        let plan = self.store.call(move |store| store.plan_of(&id)).await?;
        blocking(move || {
            let spool = Spool::at(&inbox);
            let problems = plan.as_ref().map(|plan| plan.problems.as_slice()).unwrap_or_default();
            let text = receipt::render_for(Subject { name: &name, zone }, &run, plan.as_ref(), &batches);
            if written == text.as_bytes() {
                return Ok(());
            }
            // The table first: whoever sees the receipt finds what it speaks of.
            if !problems.is_empty() {
                spool.problems_csv(&filed, &problems_csv(problems))?;
            }
            spool.receipt(&filed, &text)
        })
        .await
    }
}

/// Whether an export lies among the held ones.
fn lies_among_held(filed: &str) -> bool {
    filed.strip_prefix(Place::Held.folder()).is_some_and(|rest| rest.starts_with('/'))
}

/// Marks what `by` takes the place of. Only what came before it: when a crash or an error put this off, newer files may be held
/// by now. A look at the last accepted export again is no newer export: what came after that one stays held.
pub(super) fn supersede_held(store: &Store, by: &Run) -> Result<Vec<RunId>, StoreError> {
    let is_accepted = match by.state {
        RunState::Held => false,
        RunState::Delivering
        | RunState::Completed
        | RunState::Partial
        | RunState::Failed
        | RunState::Unchanged
        | RunState::Superseded => by.repeats.is_none(),
        RunState::Received | RunState::Planned | RunState::Rejected | RunState::Duplicate | RunState::Discarded => {
            return Ok(Vec::new());
        }
    };
    let sha256 = |run: &Run| run.file.as_ref().map(|file| file.sha256.clone());
    let filter = RunFilter { source: Some(by.source.clone()), state: Some(RunState::Held), ..RunFilter::default() };
    let mut superseded = Vec::new();
    for held in store.runs(&filter, usize::MAX)? {
        if by.run <= held.run || !(is_accepted || sha256(&held) == sha256(by)) {
            continue;
        }
        let what = if is_accepted { "a newer accepted export of the source" } else { "which holds the same content" };
        let changed = store.change_run(&held.run, |record| {
            let is_held = record.run.state == RunState::Held;
            if is_held {
                record.run.state = RunState::Superseded;
                record.run.reason = Some(format!("superseded by run {}, {what}", by.run));
            }
            Ok(is_held)
        })?;
        superseded.extend(changed.map(|record| record.run.run));
    }
    Ok(superseded)
}

/// Where the claimed files lie of the runs that a crash can have left unfiled, relative to the inbox.
pub(super) fn unfiled(store: &Store, source: &SourceName) -> Result<BTreeSet<String>, StoreError> {
    let mut paths = BTreeSet::new();
    let filter = RunFilter { source: Some(source.clone()), ..RunFilter::default() };
    for run in store.runs(&filter, UNFILED_RUNS)? {
        let filed = store.bare_run(&run.run)?.and_then(|record| record.filed_as);
        paths.extend(filed.filter(|path| path.starts_with(CLAIMED)));
    }
    Ok(paths)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::intake::spool::SpoolError> + Send + 'static,
) -> Result<T, SyncError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        // Without the error: it repeats the message of a panic, which may name people.
        Err(_) => Err(SyncError::Refused("the inbox task ended abnormally; the log has the place".to_owned())),
    }
}
