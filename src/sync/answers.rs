//! What the desk answers to questions, whether they come over the socket or from a command that opened the state itself.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::api::ApiError;
use crate::control::server::{Answerer, Body, Pending};
use crate::control::{Answer, COPY_BYTES, Export, HistoryFilter, Progress, Question, Refusal, RefusalKind};
use crate::export::problem::Broken;
use crate::intake::spool::Spool;
use crate::plan::Approval;
use crate::report::{Approves, Counts, GuardVerdict, Phase, PlanReport, RunDetail, RunState, Trigger};
use crate::roster::ids::{RunId, SourceName};
use crate::store::{RunFilter, RunRecord, Store, StoreError};

use super::revert::{Order, is_newest, reverted_since};
use super::{Desk, Job, Release, SyncError, choose_source, status};

/// The file of a question, where it can be read.
enum Received {
    /// Where it was.
    InPlace(PathBuf),
    /// A copy of what came over the socket.
    Copy(tempfile::NamedTempFile),
}

impl Received {
    fn path(&self) -> &Path {
        match self {
            Self::InPlace(path) => path,
            Self::Copy(file) => file.path(),
        }
    }
}

impl Answerer for Desk {
    fn answer<'a>(
        &'a self,
        question: Question,
        actor: String,
        body: Body<'a>,
        progress: mpsc::Sender<Progress>,
    ) -> Pending<'a> {
        Box::pin(async move {
            match question {
                Question::Status => status::status(self).await.map(|status| Answer::Status(Box::new(status))),
                Question::History(filter) => self.history(filter).await,
                Question::Show { id } => self.show(&id).await,
                Question::Groups => self.groups().await,
                Question::Group { group } => self.group(&group).await,
                Question::CreateGroup { group, name } => self.create_group(group, name).await,
                Question::UpdateGroup { group, name, reference } => self.update_group(&group, name, reference).await,
                Question::Retry { group } => self.retry(&group, actor, progress).await,
                Question::Plan(export) => self.plan_export(export, body).await,
                Question::Sync(export) => self.sync_export(export, actor, body, progress).await,
                Question::Approve { run, reason } => self.approve(&run, reason, actor, progress).await,
                Question::Discard { run, reason } => self.discard(&run, reason, actor).await,
                Question::Member { reference_id } => self.member(&reference_id).await,
                Question::Roster { group, at } => self.roster(&group, at).await,
                Question::Revert { batch, reason } => self.revert(&batch, reason, actor, progress).await,
                Question::Verify => {
                    let report = self.store.call(Store::verify).await?;
                    Ok(Answer::Verified(Box::new(report)))
                }
                Question::BackUp => self.spool_backup().await,
            }
        })
    }
}

impl Desk {
    async fn history(&self, filter: HistoryFilter) -> Result<Answer, Refusal> {
        let limit = filter.limit;
        let filter = RunFilter { group: filter.group, source: filter.source, state: filter.state, since: filter.since };
        let runs = self.store.call(move |store| store.runs(&filter, limit)).await?;
        Ok(Answer::Runs(runs))
    }

    async fn show(&self, id: &str) -> Result<Answer, Refusal> {
        let id = id.to_owned();
        let (runs, batches) = {
            let id = id.clone();
            self.store.call(move |store| Ok((store.find_run(&id)?, store.find_batch(&id)?))).await?
        };
        match (runs.as_slice(), batches.as_slice()) {
            ([run], []) => self.run_detail(run).await.map(|detail| Answer::Run(Box::new(detail))),
            ([], [batch]) => {
                let batch = batch.clone();
                let detail = self.store.call(move |store| status::batch_detail(store, &batch)).await?;
                let detail = detail.ok_or_else(|| Refusal::usage(format!("no batch {id}")))?;
                Ok(Answer::Batch(Box::new(detail)))
            }
            ([], []) => Err(Refusal::usage(format!("no run or batch begins with {id}; `rosterd history` lists them"))),
            (runs, batches) => {
                let found = runs.len() + batches.len();
                Err(Refusal::usage(format!("{found} runs and batches begin with {id}: give more of the id")))
            }
        }
    }

    /// A run in full.
    ///
    /// # Errors
    /// [`Refusal`] when the store fails, or has no such run.
    pub async fn run_detail(&self, run: &RunId) -> Result<RunDetail, Refusal> {
        let id = run.clone();
        let found = self
            .store
            .call(move |store| match store.run(&id)? {
                None => Ok(None),
                Some(record) => Ok(Some((record, store.batches_of(&id)?))),
            })
            .await?;
        let (RunRecord { run, plan, filed_as }, batches) =
            found.ok_or_else(|| Refusal::usage(format!("no run {run}")))?;
        let revert = self.revert_report(&run).await?;
        Ok(RunDetail { run, plan, batches, filed_as, revert })
    }

    async fn plan_export(&self, export: Export, body: Body<'_>) -> Result<Answer, Refusal> {
        let source = choose_source(&self.config, export.source.as_ref())?.name.clone();
        let file = self.receive(&export, body).await?;
        plan_answer(self.plan_file(file.path(), &export, &source).await?)
    }

    async fn sync_export(
        &self,
        export: Export,
        actor: String,
        body: Body<'_>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Answer, Refusal> {
        let source = choose_source(&self.config, export.source.as_ref())?.name.clone();
        let received = self.receive(&export, body).await?;
        let path = received.path().to_owned();
        let job = self.adopt(&source, &path, &export.name, export.modified).await?;
        let job = Job { as_of: export.as_of, actor: Some(actor), ..job };
        self.pass_and_wait(job, progress).await
    }

    /// Copies a file among the claimed ones of a source, so that it goes the way of every export.
    pub(super) async fn adopt(
        &self,
        source: &SourceName,
        path: &Path,
        name: &str,
        modified: DateTime<Utc>,
    ) -> Result<Job, SyncError> {
        let inbox = self.source(source)?.inbox.clone();
        let (path, name, now) = (path.to_owned(), name.to_owned(), self.clock.now());
        let file = super::filing::blocking(move || Spool::open(&inbox)?.adopt(&path, &name, modified, now)).await?;
        let source = source.clone();
        let trigger = Trigger::Manual;
        Ok(Job { source, file, trigger, as_of: None, actor: None, approval: None, again: false })
    }

    /// Takes the bytes that follow a question into a file of our own, which goes when it is dropped.
    async fn receive(&self, export: &Export, body: Body<'_>) -> Result<Received, Refusal> {
        let stream = match body {
            Body::File(path) => return Ok(Received::InPlace(path.to_owned())),
            Body::Stream(stream) => stream,
        };
        let failed = |error: std::io::Error| Refusal {
            kind: RefusalKind::Store,
            message: format!("cannot keep the file under {}: {error}", self.config.state_dir.display()),
        };
        let file = tempfile::NamedTempFile::new_in(&self.config.state_dir).map_err(failed)?;
        let mut to = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
        let mut from = tokio::io::BufReader::with_capacity(COPY_BYTES, stream.take(export.size));
        let copied = tokio::io::copy_buf(&mut from, &mut to).await.map_err(failed)?;
        tokio::io::AsyncWriteExt::flush(&mut to).await.map_err(failed)?;
        if copied != export.size {
            return Err(Refusal::usage(format!("{} changed while it was read: try again", export.name)));
        }
        Ok(Received::Copy(file))
    }

    async fn pass_and_wait(&self, job: Job, progress: mpsc::Sender<Progress>) -> Result<Answer, Refusal> {
        let news = self.deliverer.news();
        let run = self.pass(job).await?;
        self.wait(run, news, progress).await
    }

    /// Releases what a run holds: the same file is planned again, and passes the guards as far as they were shown.
    async fn approve(
        &self,
        run: &str,
        reason: String,
        actor: String,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Answer, Refusal> {
        // From the look at what is held to its new plan: a newer export in between would be followed by an older one.
        let turn = self.turn.lock().await;
        let (record, approval) = self.held(run).await?;
        let source = self.source(&record.run.source)?.clone();
        let age = (self.clock.now() - record.run.received_at).to_std().unwrap_or_default();
        let expires = source.guards.approval_expires;
        if expires < age {
            return Err(Refusal::usage(format!(
                "run {} was held more than {} ago and cannot be approved any more: drop a current export",
                record.run.run,
                humantime::format_duration(expires)
            )));
        }
        if let Some(batch) = record.run.reverts.clone() {
            let fingerprint = record.plan.and_then(|plan| plan.fingerprint);
            let approves = Approves { run: record.run.run.clone(), fingerprint };
            let release = Release { approval, approves, reason: reason.clone() };
            let order = Order { batch, trigger: Trigger::Approve, actor, reason, release: Some(release) };
            let news = self.deliverer.news();
            let run = self.approve_revert(&record.run, order, &turn).await?;
            drop(turn);
            return self.wait(run, news, progress).await;
        }
        let (path, name) = file_of(&record, &source)?;
        let modified = std::fs::metadata(&path).and_then(|meta| meta.modified()).map(DateTime::<Utc>::from);
        let modified = modified.map_err(|error| gone(&path, &error))?;
        let fingerprint = record.plan.and_then(|plan| plan.fingerprint);
        let release = Release { approval, approves: Approves { run: record.run.run, fingerprint }, reason };
        let job = self.adopt(&source.name, &path, &name, modified).await?;
        let job = Job { trigger: Trigger::Approve, actor: Some(actor), approval: Some(release), ..job };
        let news = self.deliverer.news();
        let run = self.pass_in_turn(job, &turn).await?;
        drop(turn);
        self.wait(run, news, progress).await
    }

    /// Drops a run that is held whole. What a partly held run keeps stays kept until the next export anyway.
    async fn discard(&self, run: &str, reason: String, actor: String) -> Result<Answer, Refusal> {
        let (record, _) = self.held(run).await?;
        let id = record.run.run;
        if record.run.state != RunState::Held {
            return Err(Refusal::usage(format!(
                "run {id} is delivered but for the people it holds; they stay as they are until the next export decides"
            )));
        }
        let updated = id.clone();
        let discarded = self
            .store
            .call(move |store| {
                store.change_run(&updated, |record| {
                    let is_held = record.run.state == RunState::Held;
                    if is_held {
                        record.run.state = RunState::Discarded;
                        record.run.reason = Some(reason);
                        record.run.actor = Some(actor);
                    }
                    Ok(is_held)
                })
            })
            .await?;
        if discarded.is_none() {
            return Err(Refusal::usage(format!("run {id} holds nothing any more")));
        }
        self.refile(&id).await;
        self.run_detail(&id).await.map(|detail| Answer::Run(Box::new(detail)))
    }

    /// The run that a person means, and what of it is held.
    async fn held(&self, run: &str) -> Result<(RunRecord, Approval), Refusal> {
        let prefix = run.to_owned();
        let found = self
            .store
            .call(move |store| match store.find_run(&prefix)?.as_slice() {
                [only] => store.run(only),
                _ => Ok(None),
            })
            .await?;
        let record = found.ok_or_else(|| Refusal::usage(format!("no single run begins with {run}")))?;
        let source = record.run.source.clone();
        let state = self.source_state(&source).await?;
        let is_last = match record.run.reverts {
            Some(_) => {
                let run = record.run.clone();
                self.store.call(move |store| is_newest(store, &run)).await?
            }
            None => state.last_accepted.is_some_and(|last| last.run == record.run.run),
        };
        if is_last && record.run.reverts.is_none() {
            let (of, accepted) = (source.clone(), record.run.run.clone());
            let undone = self.store.call(move |store| reverted_since(store, &of, &accepted)).await?;
            if let Some(undone) = undone {
                return Err(Refusal::usage(format!(
                    "run {undone} reverted a batch after run {} and would be undone by it: drop a mended export, which takes \
                     the place of both",
                    record.run.run
                )));
            }
        }
        let guards = record.plan.as_ref().map(|plan| plan.guards.clone()).unwrap_or_default();
        let approval = record.plan.as_ref().map(Approval::of).unwrap_or_default();
        let is_open = match record.run.state {
            RunState::Held => true,
            RunState::Partial | RunState::Delivering | RunState::Failed => is_last,
            RunState::Received
            | RunState::Planned
            | RunState::Completed
            | RunState::Rejected
            | RunState::Duplicate
            | RunState::Unchanged
            | RunState::Superseded
            | RunState::Discarded => false,
        };
        if !is_open || !guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold) {
            let state = serde_json::to_value(record.run.state).map(|state| state.to_string()).unwrap_or_default();
            let id = &record.run.run;
            return Err(Refusal::usage(format!("run {id} holds nothing any more (its state is {state})")));
        }
        Ok((record, approval))
    }
}

/// Where a run's file lies, and its name as dropped.
pub(super) fn file_of(record: &RunRecord, source: &crate::config::Source) -> Result<(PathBuf, String), Refusal> {
    let filed = record.filed_as.as_ref();
    let filed = filed.ok_or_else(|| Refusal::usage(format!("run {} has no file", record.run.run)))?;
    let name = record.run.file.as_ref().map(|file| file.name.clone()).unwrap_or_default();
    Ok((source.inbox.join(filed), name))
}

fn gone(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal {
        kind: RefusalKind::NoInput,
        message: format!("the run's file cannot be read: {}: {error}", path.display()),
    }
}

/// A plan as an answer; a broken file is a refusal.
///
/// # Errors
/// That refusal.
pub fn plan_answer(planned: Result<(PlanReport, Counts), Broken>) -> Result<Answer, Refusal> {
    match planned {
        Ok((report, counts)) => Ok(Answer::Plan(Box::new(report), counts)),
        Err(broken) => Err(rejected(&broken)),
    }
}

fn rejected(broken: &Broken) -> Refusal {
    Refusal { kind: RefusalKind::Rejected, message: format!("rejected: {}", broken.message) }
}

/// The name of a user of this machine, or the number where there is none.
pub fn user_name(uid: u32) -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self { kind: RefusalKind::Store, message: error.to_string() }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { kind: RefusalKind::Unavailable, message: error.to_string() }
    }
}

impl From<SyncError> for Refusal {
    fn from(error: SyncError) -> Self {
        let kind = match &error {
            SyncError::NoSource(_) | SyncError::Refused(_) | SyncError::Changed | SyncError::Overtaken => {
                RefusalKind::Usage
            }
            SyncError::Store(_) => RefusalKind::Store,
            SyncError::Api(_) => RefusalKind::Unavailable,
            SyncError::Read { .. } => RefusalKind::NoInput,
            SyncError::Spool(_) => RefusalKind::Unexpected,
        };
        Self { kind, message: error.to_string() }
    }
}

impl From<Phase> for &'static str {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => "pending",
            Phase::Submitting => "submitting",
            Phase::Accepted => "accepted",
            Phase::Completed => "completed",
            Phase::Refused => "refused",
            Phase::Lost => "lost",
            Phase::Superseded => "superseded",
        }
    }
}
