//! The last accepted export, looked at again: whether dates in it have come due, and a copy of it to pass over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use crate::config::Source;
use crate::intake::spool::Spool;
use crate::report::{Repeat, Run, Trigger};
use crate::roster::ids::SourceName;
use crate::roster::{Reading, Standing, Uncovered, fingerprint};
use crate::store::{AcceptedExport, SourceState, StoreError};

use super::examine::{self, ExamineError};
use super::filing::blocking;
use super::revert::reverted_since;
use super::{Desk, Job, SyncError, today, unreadable};

/// What the content of an export is to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// Another content than that of the last accepted export.
    No,
    /// The same content, to be passed over: a person wants it, or dates in it have come due.
    Again,
    /// The same content, and nothing is due.
    Idly,
}

/// The last accepted export of a source, where it lies.
#[derive(Debug)]
pub(super) struct LastExport {
    pub(super) accepted: AcceptedExport,
    pub(super) path: PathBuf,
}

impl Desk {
    /// The last accepted export of a source; the inner error says in words why it is not there any more, none that there never
    /// was one.
    pub(super) async fn last_export(
        &self,
        source: &SourceName,
    ) -> Result<Option<Result<LastExport, String>>, SyncError> {
        let inbox = self.source(source)?.inbox.clone();
        let Some(accepted) = self.source_state(source).await?.last_accepted else { return Ok(None) };
        let run = accepted.run.clone();
        let filed = self.store.call(move |store| store.bare_run(&run)).await?.and_then(|record| record.filed_as);
        let Some(filed) = filed else {
            return Ok(Some(Err(format!(
                "run {} of the last accepted export is not on record any more",
                accepted.run
            ))));
        };
        let path = inbox.join(&filed);
        let looked = path.clone();
        let is_there = blocking(move || Ok(looked.is_file())).await?;
        if !is_there {
            return Ok(Some(Err(format!("the last accepted export is not where it was filed: {}", path.display()))));
        }
        Ok(Some(Ok(LastExport { accepted, path })))
    }

    /// Copies the last accepted export among the claimed ones, to be passed over although its content is known.
    pub(super) async fn copy_of(&self, source: &SourceName, last: &LastExport) -> Result<Job, SyncError> {
        let inbox = self.source(source)?.inbox.clone();
        let (path, name, now) = (last.path.clone(), last.accepted.name.clone(), self.clock.now());
        let modified = last.accepted.modified.unwrap_or(last.accepted.accepted_at);
        let file = blocking(move || Spool::open(&inbox)?.copy_again(&path, &name, modified, now)).await?;
        let (source, trigger) = (source.clone(), Trigger::Manual);
        Ok(Job { source, file, trigger, as_of: None, actor: None, approval: None, again: true })
    }

    /// Compares an export's content with the last accepted one, and says in the run what it repeats and why.
    pub(super) async fn judge_repeat(
        &self,
        source: &Source,
        job: &Job,
        state: &SourceState,
        run: &mut Run,
    ) -> Result<Repeated, SyncError> {
        let sha256 = run.file.as_ref().map(|file| file.sha256.as_str());
        let last = state.last_accepted.as_ref().filter(|last| Some(last.sha256.as_str()) == sha256);
        let Some(last) = last else {
            if job.trigger != Trigger::Recheck {
                return Ok(Repeated::No);
            }
            let (inbox, copy) = (source.inbox.clone(), job.file.clone());
            blocking(move || Spool::at(&inbox).drop_copy(&copy)).await?;
            return Err(SyncError::Overtaken);
        };
        run.repeats = Some(Repeat { run: last.run.clone(), accepted_at: last.accepted_at });
        if job.trigger == Trigger::Recheck {
            let accepted_on = last.accepted_at.with_timezone(&source.timezone).format("%-d %B %Y");
            run.reason = Some(format!("{} of {accepted_on} was looked at again: dates in it have come due", last.name));
        } else if !job.again && job.approval.is_none() {
            let same = format!("the same content was accepted as run {}", last.run);
            if self.is_doubted(&job.source).await? {
                run.reason = Some(format!("{same}, and the records are in doubt since"));
                return Ok(Repeated::Again);
            }
            let (of, accepted) = (job.source.clone(), last.run.clone());
            let undone = self.store.call(move |store| reverted_since(store, &of, &accepted)).await?;
            let has_come_due = match days(source, last, job.as_of, run.received_at) {
                // To pass over the export again would undo what a person undid.
                Some(_) if undone.is_some() => false,
                Some(days) => differs(&job.file.path, source, days).await?,
                None => false,
            };
            run.reason = Some(if has_come_due {
                format!("{same}; dates in it have come due since")
            } else {
                format!("{same}, and nothing newer since")
            });
            if !has_come_due {
                return Ok(Repeated::Idly);
            }
        }
        Ok(Repeated::Again)
    }

    /// Whether nobody knows what came after the last export on record.
    async fn is_doubted(&self, source: &SourceName) -> Result<bool, StoreError> {
        let doubt = self.store.call(crate::store::Store::doubt).await?;
        Ok(doubt.is_some_and(|doubt| doubt.sources.contains(source)))
    }

    /// Removes copies that were made to be looked at again by a process that stopped before it recorded anything. To be called
    /// before anything is passed over.
    pub async fn sweep_copies(&self) {
        for source in &self.config.sources {
            let name = source.name.clone();
            let known = self.store.call(move |store| super::filing::unfiled(store, &name)).await;
            let swept = match known {
                Ok(known) => {
                    let inbox = source.inbox.clone();
                    blocking(move || Spool::at(&inbox).sweep_copies(&known)).await
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = swept {
                tracing::warn!(source = %source.name, %error, "copies that are not needed cannot be removed");
            }
        }
    }
}

/// The day for which an accepted export's dates were looked at, and the day for which they should be now; none when that is no
/// later one. A clock that was set back must not undo what a day has brought, nor a person's `--as-of` of a later day.
pub(super) fn days(
    source: &Source,
    last: &AcceptedExport,
    as_of: Option<NaiveDate>,
    now: DateTime<Utc>,
) -> Option<(NaiveDate, NaiveDate)> {
    let before = last.day.unwrap_or_else(|| today(source, None, last.accepted_at));
    let this = today(source, as_of, now);
    let is_due = if as_of.is_some() { this != before } else { before < this };
    is_due.then_some((before, this))
}

/// Whether a file says something else for the second day than for the first.
///
/// # Errors
/// When it cannot be read. One that is broken by now, since the config has changed, says something else.
async fn differs(path: &Path, source: &Source, (before, this): (NaiveDate, NaiveDate)) -> Result<bool, SyncError> {
    if !has_dates(source) {
        return Ok(false);
    }
    match (examine::whole(path, source, before).await, examine::whole(path, source, this).await) {
        (Ok(before), Ok(this)) => Ok(digest(&before.reading) != digest(&this.reading)),
        (Err(ExamineError::Read(error)), _) | (_, Err(ExamineError::Read(error))) => Err(unreadable(path, error)),
        (Err(ExamineError::Broken(_)), _) | (_, Err(ExamineError::Broken(_))) => Ok(true),
    }
}

/// Whether what the exports of a source mean can depend on the day.
pub(super) fn has_dates(source: &Source) -> bool {
    source.eligibility.as_ref().is_some_and(|rule| rule.start.is_some() || rule.end.is_some())
}

/// One number for all that a reading wants of everybody. Two of a million people need not be in memory at once.
pub(super) fn digest(reading: &Reading) -> u64 {
    let mut hasher = DefaultHasher::new();
    for person in &reading.people {
        person.reference_id().as_str().hash(&mut hasher);
        person.group.as_ref().map(crate::roster::ids::GroupRef::as_str).hash(&mut hasher);
        match person.standing() {
            Standing::Covered(member) => fingerprint::of(member).hash(&mut hasher),
            // That an end gets older changes nobody's coverage.
            Standing::Uncovered(Uncovered::EndedLongAgo) => (0_u8, Uncovered::Terminated as u8).hash(&mut hasher),
            Standing::Uncovered(why) => (0_u8, why as u8).hash(&mut hasher),
            Standing::Invalid => 1_u8.hash(&mut hasher),
            Standing::Conflict => 2_u8.hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// Notes why dates cannot be looked at again, or that they can.
pub(super) fn note_trouble(
    store: &crate::store::Store,
    source: &SourceName,
    trouble: Option<String>,
) -> Result<(), StoreError> {
    let known = store.source(source)?.and_then(|state| state.recheck_trouble);
    if known == trouble {
        return Ok(());
    }
    store.update_source(source, |state| state.recheck_trouble = trouble)
}
