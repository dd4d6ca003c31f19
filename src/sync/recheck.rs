//! The re-check: on a day without a new file, first and last days that have come are found in the last accepted export.
//!
//! Nothing is recorded when nothing is due. What is due goes the way of every export, as a copy of the file with a run and a
//! receipt of its own. That a re-check is no newer export is kept by `sync::repeat`: it counts no absence twice, does not
//! satisfy `expect_by`, and leaves a newer export that is held where it is.

use tracing::{info, warn};

use crate::config::{Mode, Source};
use crate::report::{PlanReport, PlanVerdict, Run, RunState, Trigger};
use crate::roster::ids::SourceName;
use crate::store::{RunFilter, StoreError};

use super::examine::{self, ExamineError, Examined};
use super::planning::{Planned, Purpose};
use super::repeat::{self, LastExport};
use super::revert::reverted_since;
use super::{Desk, Job, SyncError};

/// Runs of a source that are looked through for the last one about the same file. Between two of them lie only files that were
/// rejected, held or dropped twice.
const RUNS_LOOKED_AT: usize = 1000;

/// What a re-check came to.
#[derive(Debug)]
pub enum Rechecked {
    /// Nothing is due, or nothing that is not on record already; nothing was recorded.
    NothingDue,
    /// The last accepted export cannot be looked at, for this reason; it is noted for `status`.
    Impossible(String),
    /// Something was due and was passed over.
    Passed(Box<Run>),
    /// Something is due and could not be passed over now: this is to be passed over later.
    PutOff(Box<Job>, SyncError),
}

impl Desk {
    /// Looks at the dates of a source's last accepted export again.
    ///
    /// # Errors
    /// [`SyncError`]: nothing was recorded, try again.
    pub async fn recheck(&self, name: &SourceName) -> Result<Rechecked, SyncError> {
        let turn = self.turn.lock().await;
        let source = self.source(name)?.clone();
        if !repeat::has_dates(&source) {
            return Ok(Rechecked::NothingDue);
        }
        let last = match self.last_export(name).await? {
            None => return Ok(Rechecked::NothingDue),
            Some(Ok(last)) => last,
            Some(Err(why)) => return self.cannot_look(name, why).await,
        };
        let (of, accepted) = (name.clone(), last.accepted.run.clone());
        if let Some(run) = self.store.call(move |store| reverted_since(store, &of, &accepted)).await? {
            let why = format!("run {run} undid a part of the last accepted export, and would be undone by it");
            return self.cannot_look(name, why).await;
        }
        let examined = match self.what_has_come_due(&source, &last).await {
            Ok(Some(examined)) => examined,
            Ok(None) => {
                self.note_recheck(name, None).await?;
                info!(source = %name, "re-checked, nothing is due");
                return Ok(Rechecked::NothingDue);
            }
            Err(why) => return self.cannot_look(name, why).await,
        };
        self.note_recheck(name, None).await?;
        if !self.leads_anywhere(&source, &last, examined).await? {
            info!(source = %name, "re-checked, nothing is due");
            return Ok(Rechecked::NothingDue);
        }
        let job = Job { trigger: Trigger::Recheck, ..self.copy_of(name, &last).await? };
        match self.pass_in_turn(job.clone(), &turn).await {
            Ok(run) => {
                info!(source = %name, run = %run.run, "re-checked, dates have come due");
                Ok(Rechecked::Passed(Box::new(run)))
            }
            Err(SyncError::Store(error)) if error.needs_restart() => Err(error.into()),
            Err(error) => Ok(Rechecked::PutOff(Box::new(job), error)),
        }
    }

    async fn cannot_look(&self, name: &SourceName, why: String) -> Result<Rechecked, SyncError> {
        warn!(source = %name, why, "dates cannot be re-checked, until the next export is accepted");
        self.note_recheck(name, Some(why.clone())).await?;
        Ok(Rechecked::Impossible(why))
    }

    async fn note_recheck(&self, name: &SourceName, trouble: Option<String>) -> Result<(), StoreError> {
        let name = name.clone();
        self.store.call(move |store| repeat::note_trouble(store, &name, trouble)).await
    }

    /// The export as it reads today, if that is another reading than the one that was carried out; the error says why it
    /// cannot be known.
    async fn what_has_come_due(&self, source: &Source, last: &LastExport) -> Result<Option<Examined>, String> {
        let now = self.clock.now();
        let Some((before, today)) = repeat::days(source, &last.accepted, None, now) else {
            let (day, today) = (last.accepted.day, super::today(source, None, now));
            if day.is_some_and(|day| today < day) {
                info!(source = %source.name, ?day, %today, "dates were looked at for a later day already, by --as-of or another clock");
            }
            return Ok(None);
        };
        let unreadable = |error| match error {
            ExamineError::Broken(broken) => broken.message,
            ExamineError::Read(error) => format!("the last accepted export cannot be read: {error}"),
        };
        let then = examine::whole(&last.path, source, before).await.map_err(unreadable)?;
        if then.sha256 != last.accepted.sha256 {
            return Err(format!("somebody changed the last accepted export: {}", last.path.display()));
        }
        let then = repeat::digest(&then.reading);
        let examined = examine::whole(&last.path, source, today).await.map_err(unreadable)?;
        Ok((then != repeat::digest(&examined.reading)).then_some(examined))
    }

    /// Whether a run would do anything: send a roster, or hold what no run about this file holds yet.
    async fn leads_anywhere(&self, source: &Source, last: &LastExport, examined: Examined) -> Result<bool, SyncError> {
        let id = self.store.ids().run(self.clock.now());
        let known = self.glimpse(source).await?;
        let modified = last.accepted.modified.unwrap_or(last.accepted.accepted_at);
        let purpose = Purpose::Carry { modified, approval: None };
        let Planned { report, works, .. } = self.plan(source, &id, (examined, known), purpose).await?;
        if report.verdict != PlanVerdict::Hold && works.is_empty() {
            return Ok(false);
        }
        if !works.is_empty() && self.config.mode == Mode::Apply {
            return Ok(true);
        }
        Ok(!self.is_on_record(source, &last.accepted.sha256, report).await?)
    }

    /// Whether the newest run about a content came to the same plan, and can still be decided about. Else a hold, or a plan that
    /// is only looked at, would be recorded again every day.
    async fn is_on_record(&self, source: &Source, sha256: &str, report: PlanReport) -> Result<bool, SyncError> {
        let (name, sha256) = (source.name.clone(), sha256.to_owned());
        let since = self.clock.now() - source.guards.approval_expires;
        let found = self.store.call(move |store| {
            let filter = RunFilter { source: Some(name), ..RunFilter::default() };
            let is_about_it = |run: &Run| {
                let is_same = run.file.as_ref().is_some_and(|file| file.sha256 == sha256);
                is_same && !matches!(run.state, RunState::Duplicate | RunState::Rejected)
            };
            let newest = store.runs(&filter, RUNS_LOOKED_AT)?.into_iter().find(is_about_it);
            let Some(run) = newest.filter(|run| run.state != RunState::Held || since <= run.received_at) else {
                return Ok(false);
            };
            Ok(store.run(&run.run)?.and_then(|record| record.plan).is_some_and(|plan| is_same(&plan, &report)))
        });
        Ok(found.await?)
    }
}

fn is_same(a: &PlanReport, b: &PlanReport) -> bool {
    a.verdict == b.verdict && a.guards == b.guards && a.groups == b.groups
}
