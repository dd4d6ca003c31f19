//! What people and scripts are told: the stable JSON shapes of runs, batches and plans (`"schema": 1`).
//!
//! Plain values that the store keeps, the control socket carries and `cli::render` prints. No personal data in any of
//! them: people appear by reference id.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::export::problem::Problem;
use crate::roster::ids::{BatchId, GroupId, GroupRef, ReferenceId, RequestId, RunId, SourceName};

pub mod doubts;
mod travel;

pub use travel::{Coverage, MemberDetail, MemberEvent, Pending, RosterMember, RosterReport};

/// Version of the JSON shapes.
pub const SCHEMA: u32 = 1;

/// One pass over one export, or a scheduled re-check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub run: RunId,
    /// The source whose export it was.
    pub source: SourceName,
    /// What set it off.
    pub trigger: Trigger,
    /// The export; none for a `resync` or `recheck` without a file.
    pub file: Option<FileFacts>,
    /// When the file was claimed, or the schedule fired.
    pub received_at: DateTime<Utc>,
    /// When nothing was left to do.
    pub finished_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub state: RunState,
    /// Every guard that was evaluated and did not simply pass, with its sum.
    pub guards: Vec<GuardReport>,
    /// How many people in each class.
    pub counts: Counts,
    /// The batches that it made, one a group.
    pub batches: Vec<BatchId>,
    /// Why it was rejected, held, discarded; or the reason given with an approval.
    pub reason: Option<String>,
    /// Who set it off or approved it, where that is a person.
    pub actor: Option<String>,
    /// The held plan that this run was approved for; none for every other trigger.
    #[serde(default)]
    pub approves: Option<Approves>,
    /// The accepted export whose content it looked at again; none for an export that was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Repeat>,
    /// The batch that it undoes; none unless its trigger, or that of the run it approves, is `revert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<BatchId>,
}

/// What an approval was bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approves {
    /// The run that was held.
    pub run: RunId,
    /// The fingerprint of its plan.
    pub fingerprint: Option<String>,
}

/// The last accepted export, looked at again: because dates in it came due, a person asked for it, or it was dropped twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The run that looked at it last.
    pub run: RunId,
    /// When the export was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// What set a run off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A file was dropped.
    Watch,
    /// The cron schedule found it.
    Schedule,
    /// A person said `sync` or `retry`.
    Manual,
    /// The rosters are submitted again against drift.
    Resync,
    /// Dates are looked at again without a new file.
    Recheck,
    /// A held run was released.
    Approve,
    /// A batch is undone.
    Revert,
}

/// The export of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its name as dropped, without folders.
    pub name: String,
    /// Of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Rows that stand for people.
    pub rows: u64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Claimed, not planned.
    Received,
    /// Planned and not to be sent (`mode = "plan"`).
    Planned,
    /// Held whole by a guard; nothing of it was sent.
    Held,
    /// Batches are under way.
    Delivering,
    /// Everything is recorded as confirmed.
    Completed,
    /// Everything is recorded; some members failed, some groups were refused or are held.
    Partial,
    /// Nothing could be delivered.
    Failed,
    /// The file is broken.
    Rejected,
    /// The file was accepted before.
    Duplicate,
    /// The file changes nothing.
    Unchanged,
    /// A newer export took its place.
    Superseded,
    /// A person dropped it.
    Discarded,
}

/// How many people in each class of change. All counts are people, but `rows` and `problems`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the file that stand for people.
    pub rows: u64,
    /// Rows that could not be used.
    pub problems: u64,
    /// Not on a roster before.
    pub new: u64,
    /// On a roster once, removed, and back.
    pub returning: u64,
    /// On the roster, with another record.
    pub changed: u64,
    /// From one group to another.
    pub moved: u64,
    /// Removed, since the file says so.
    pub terminated: u64,
    /// Removed, since the file lacks them for the configured number of exports.
    pub missing: u64,
    /// Would be missing or invalid, but stay covered.
    pub kept: u64,
    /// On the roster, with the same record.
    pub unchanged: u64,
    /// Changes that the API confirmed.
    pub confirmed: u64,
    /// Changes that the API reported as failed.
    pub failed: u64,
}

/// One member sync request of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub batch: BatchId,
    /// The run that made it.
    pub run: RunId,
    /// The group's external reference id.
    pub group: GroupRef,
    /// The group's id in the API, once known.
    pub group_id: Option<GroupId>,
    /// The API's id of the request, once accepted.
    pub request_id: Option<RequestId>,
    /// Where it stands.
    pub phase: Phase,
    /// Members in the payload.
    pub members: u64,
    /// People whom the plan removes. More removals in the results are an incident. None for the first roster of a group whose
    /// members nobody knew: whoever approved it was told that it removes everybody else.
    pub planned_removals: Option<u64>,
    /// Times that it was submitted.
    pub attempts: u32,
    /// When it was last submitted.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When the API accepted it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When its results were complete, or it ended otherwise.
    pub completed_at: Option<DateTime<Utc>>,
    /// Not tried again before this time, also after a restart.
    pub not_before: Option<DateTime<Utc>>,
    /// Members that the API says it added.
    pub added: u64,
    /// Members that the API says it removed.
    pub removed: u64,
    /// What failed, person by person.
    pub failures: Vec<Failure>,
    /// Why it was refused, lost, or waits.
    pub error: Option<String>,
    /// Whom it adds who first have to leave a group: another one, or this one to join again for another plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves_in: Vec<Arrival>,
    /// Whom it leaves out who are to join another group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves_out: Vec<MovedOut>,
    /// The first part of the roster: this batch is the whole of it, once people have left where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<BatchId>,
    /// How often the API did not add people who had left their group: they are tried again until it does, and the run does not
    /// wait for it. Zero for the first time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u32,
    /// Why it leaves people out who are, or may be, covered: one for each removal of its plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Somebody whom a batch adds once they have left a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who.
    pub reference_id: ReferenceId,
    /// The group that they leave; the batch's own where they join again for another plan.
    pub from: GroupRef,
    /// When their coverage ended there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<DateTime<Utc>>,
    /// Seconds from there to the confirmed results here, in which nobody covered them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_seconds: Option<u64>,
    /// Why they stay where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
}

impl From<MovedIn> for Arrival {
    fn from(MovedIn { reference_id, from }: MovedIn) -> Self {
        Self { reference_id, from, left_at: None, gap_seconds: None, stays: None }
    }
}

/// Why a plan ends somebody's coverage, or would if nothing held it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Who.
    pub reference_id: ReferenceId,
    /// `terminated`, `not_started`, `waived`, `ignored`, `moved`, `missing`, `revert`; `doubtful` for who cannot be planned.
    pub rule: String,
    /// The run that decided it, where that is an earlier one than the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The line of that run's file that says so; none for who is missing from it.
    pub line: Option<u64>,
    /// In words, without anything personal.
    pub why: String,
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded, not sent.
    Pending,
    /// About to leave, or left without an answer on record.
    Submitting,
    /// The API gave it a request id.
    Accepted,
    /// Results recorded.
    Completed,
    /// The API said no to the payload.
    Refused,
    /// The API does not know the request, or its results never came.
    Lost,
    /// A newer roster of the group took its place before it was sent.
    Superseded,
}

/// The rule of a [`Reason`] for an end of coverage that came to light late.
pub const ENDED_LONG_AGO: &str = "ended_long_ago";

impl Batch {
    /// A batch that is recorded and not sent.
    pub fn pending(batch: BatchId, run: RunId, group: GroupRef, members: usize, planned_removals: Option<u64>) -> Self {
        Self {
            batch,
            run,
            group,
            group_id: None,
            request_id: None,
            phase: Phase::Pending,
            members: members as u64,
            planned_removals,
            attempts: 0,
            submitted_at: None,
            accepted_at: None,
            completed_at: None,
            not_before: None,
            added: 0,
            removed: 0,
            failures: Vec::new(),
            error: None,
            moves_in: Vec::new(),
            moves_out: Vec::new(),
            follows: None,
            again: 0,
            reasons: Vec::new(),
        }
    }

    /// The longest time that one of those who moved was covered nowhere, in seconds; none while nobody's is known.
    pub fn longest_gap(&self) -> Option<u64> {
        self.moves_in.iter().filter_map(|arrival| arrival.gap_seconds).max()
    }

    /// Whether the results remove people whom no plan removed.
    pub fn has_unplanned_removals(&self) -> bool {
        self.phase == Phase::Completed && self.planned_removals.is_some_and(|planned| planned < self.removed)
    }
}

impl Phase {
    /// Whether nothing more will happen to the batch.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Submitting | Self::Accepted => false,
            Self::Completed | Self::Refused | Self::Lost | Self::Superseded => true,
        }
    }
}

/// One person's failure, as the API reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who.
    pub reference_id: String,
    /// `add`, `remove`, or a word that we do not know.
    pub operation: String,
    /// The API's words.
    pub reason: String,
}

/// What a guard said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Its name in the config.
    pub guard: String,
    /// The group it looked at; none for the whole file.
    pub group: Option<GroupRef>,
    /// What it counted.
    pub value: u64,
    /// Where it draws the line; more than this holds.
    pub limit: u64,
    /// What it decided.
    pub verdict: GuardVerdict,
    /// The sum in words: `12 of 61 members of acme-sales would be removed (limit 6 = 10%)`.
    pub sum: String,
}

/// What a guard decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardVerdict {
    /// Within the limit.
    Pass,
    /// Over the limit, and a person approved it.
    Approved,
    /// Over the limit: held.
    Hold,
    /// The file is unusable.
    Reject,
}

/// What would change, or what changed: the plan of one export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The source whose config was used.
    pub source: SourceName,
    /// The export.
    pub file: Option<FileFacts>,
    /// The whole plan's fate.
    pub verdict: PlanVerdict,
    /// Every guard with its sum.
    pub guards: Vec<GuardReport>,
    /// What is wrong with rows, with the answer to HR's question.
    pub problems: Vec<ProblemReport>,
    /// Group by group, those with anything to say.
    pub groups: Vec<GroupReport>,
    /// Of the file, the guards and everybody named above, where something is held: what an approval is bound to.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// The whole plan's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanVerdict {
    /// Would be delivered.
    Apply,
    /// Something is held for a person to decide.
    Hold,
    /// The file is unusable.
    Reject,
    /// Nothing changes.
    Unchanged,
}

/// A problem, with the answer to HR's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemReport {
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
    /// Whether the person is covered after this plan; none where the person or the question is unknown.
    pub still_covered: Option<bool>,
}

/// What changes in one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The group's external reference id.
    pub group: GroupRef,
    /// The group's id in the API, where known.
    pub group_id: Option<GroupId>,
    /// Members confirmed now.
    pub before: u64,
    /// Members after this plan.
    pub after: u64,
    /// Not on the roster before.
    pub new: Vec<ReferenceId>,
    /// Back again.
    pub returning: Vec<ReferenceId>,
    /// With another record.
    pub changed: Vec<ChangedMember>,
    /// Come from another group.
    pub moved_in: Vec<MovedIn>,
    /// Go to another group.
    pub moved_out: Vec<MovedOut>,
    /// Removed, since the file says so.
    pub terminated: Vec<ReferenceId>,
    /// Removed, since the file lacks them.
    pub missing: Vec<ReferenceId>,
    /// Would be removed or changed, but stay as they are.
    pub kept: Vec<KeptMember>,
    /// Members with the same record.
    pub unchanged: u64,
    /// Why coverage ends of everybody in `terminated`, `missing` and `moved_out`, or would end of those who are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

impl GroupReport {
    /// Who is removed now although the file says that their coverage ended more than 30 days ago.
    pub fn ended_long_ago(&self) -> impl Iterator<Item = &ReferenceId> {
        let late = self.reasons.iter().filter(|reason| reason.rule == ENDED_LONG_AGO);
        late.map(|reason| &reason.reference_id).filter(|id| self.terminated.contains(id))
    }
}

/// A member with another record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedMember {
    /// Who.
    pub reference_id: ReferenceId,
    /// Which fields differ, never their values.
    pub fields: Vec<String>,
    /// Whether coverage ends and begins again, so that another plan takes effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins_again: bool,
}

/// A member who comes from another group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedIn {
    /// Who.
    pub reference_id: ReferenceId,
    /// The group they leave.
    pub from: GroupRef,
}

/// A member who goes to another group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedOut {
    /// Who.
    pub reference_id: ReferenceId,
    /// The group they join.
    pub to: GroupRef,
}

/// A member who stays covered although the file would have it otherwise, or does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMember {
    /// Who.
    pub reference_id: ReferenceId,
    /// Why, in words for the operator and HR. Of somebody who is not covered it begins with [`NOT_ADDED`].
    pub reason: String,
}

/// How the reason begins of somebody who is in doubt and was not covered before either.
pub const NOT_ADDED: &str = "not added";

impl KeptMember {
    /// Whether the person is covered while the doubt lasts.
    pub fn is_covered(&self) -> bool {
        !self.reason.starts_with(NOT_ADDED)
    }
}

/// A run in full: `show RUN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its plan, where one was made.
    pub plan: Option<PlanReport>,
    /// Its batches.
    pub batches: Vec<Batch>,
    /// Where its file lies now.
    pub filed_as: Option<String>,
    /// What to know of the revert that it is; none unless it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertReport>,
}

/// What a revert comes up against: everything of it can change until the next export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertReport {
    /// The batch that is undone.
    pub batch: BatchId,
    /// Its group.
    pub group: GroupRef,
    /// The run of that batch.
    pub run: RunId,
    /// Completed batches of the group between that one and the revert: what they changed is undone too.
    pub later: Vec<BatchId>,
    /// The last accepted export of the source. Its content counts as known: dropped again, it is a duplicate.
    pub last_accepted: Option<AcceptedStatus>,
}

/// A batch in full: `show BATCH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchDetail {
    /// The batch.
    pub batch: Batch,
    /// What it changed, person by person.
    pub changes: Vec<ChangeReport>,
    /// Members confirmed before it; none without results, or where that is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Members confirmed after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The run that made it; none where it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Run>,
}

/// What a batch changed about one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// Who.
    pub reference_id: ReferenceId,
    /// `added`, `returned`, `changed`, `removed`, `add_failed`, `remove_failed`.
    pub change: String,
    /// Which fields differ, never their values.
    pub fields: Vec<String>,
    /// The run that brought the record, and the line of its file; of the record that left, for a removal.
    pub from_run: Option<RunId>,
    /// The line.
    pub line: Option<u64>,
    /// What it rests on; none for removals of the time before reasons were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Evidence>,
}

/// What a change rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `listed` for whoever a file lists as covered; else as in [`Reason::rule`].
    pub rule: String,
    /// In words.
    pub why: String,
    /// The run whose file says so.
    pub run: RunId,
    /// That file; none where the run is forgotten, or had none.
    pub file: Option<FileFacts>,
    /// The line of it; none for who is missing from it.
    pub line: Option<u64>,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// When it was made: what it says was true then.
    pub created_at: DateTime<Utc>,
    /// The API that its records belong to.
    pub base_url: String,
    /// Its size.
    pub bytes: u64,
    /// Records of every kind.
    pub records: u64,
    /// Groups with a confirmed roster.
    pub groups: u64,
    /// Runs on record.
    pub runs: u64,
    /// Batches on record.
    pub batches: u64,
}

/// How the daily backup is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStatus {
    /// Where backups lie.
    pub folder: String,
    /// When the newest was made; none before the first.
    pub last: Option<DateTime<Utc>>,
    /// How many there are.
    pub kept: u64,
    /// When the next is due.
    pub next: Option<DateTime<Utc>>,
    /// Why the last attempt failed; none while all is well, or when no daemon looks.
    pub trouble: Option<String>,
}

/// What `verify` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Records that are what they should be.
    pub records: u64,
    /// Groups with a confirmed roster.
    pub groups: u64,
    /// Runs on record.
    pub runs: u64,
    /// Batches on record.
    pub batches: u64,
    /// What is wrong, in words; empty when all is well.
    pub findings: Vec<String>,
    /// Findings that are not listed.
    pub more: u64,
}

/// How everything stands: `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon that answers; none when the command looked for itself.
    pub daemon: Option<DaemonStatus>,
    /// `apply` or `plan`.
    pub mode: String,
    /// The API.
    pub base_url: String,
    /// Whether what is acknowledged survives a power cut.
    pub durable: bool,
    /// Bytes of state on disk.
    pub state_bytes: u64,
    /// Each source.
    pub sources: Vec<SourceStatus>,
    /// Batches under way.
    pub under_way: Vec<Batch>,
    /// Groups to which nothing is sent until a person says `retry`, and why.
    pub paused: Vec<PausedGroup>,
    /// Why the records cannot be trusted, and what is held for it; none while they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<DoubtStatus>,
    /// How the daily backup is doing; none where the config has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Confirmed groups.
    pub groups: u64,
    /// Confirmed members.
    pub members: u64,
}

/// The daemon that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Since when it runs.
    pub since: DateTime<Utc>,
    /// Whether the API refused the key, so that all delivery stands still.
    pub key_refused: bool,
}

/// How a source stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Which.
    pub source: SourceName,
    /// Where exports are dropped.
    pub inbox: String,
    /// What is the matter with the inbox; none while all is well, or when no daemon looks.
    pub inbox_trouble: Option<String>,
    /// The last accepted export.
    pub last_accepted: Option<AcceptedStatus>,
    /// When its schedule fires next.
    pub next_scheduled: Option<DateTime<Utc>>,
    /// People missing from the last exports, not yet confirmed as gone.
    pub absent: u64,
    /// Runs with something held.
    pub held: Vec<RunId>,
    /// The time by which the next export must have come; none without `expect_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_by: Option<DateTime<Utc>>,
    /// The time by which an export should have come that did not; none while all is well, and without `expect_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<DateTime<Utc>>,
    /// While an export is overdue: the last one that came and was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_accepted: Option<NotAccepted>,
    /// Why dates cannot be looked at again; none while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_trouble: Option<String>,
    /// When all rosters are submitted again next; none without `resync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_resync: Option<DateTime<Utc>>,
    /// The last time that they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resync: Option<ResyncStatus>,
}

/// An export that came and does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotAccepted {
    /// Its run.
    pub run: RunId,
    /// Where that stands: `held`, `rejected`, `discarded`.
    pub state: RunState,
    /// When it came.
    pub received_at: DateTime<Utc>,
}

/// What submitting every roster again came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncStatus {
    /// Its run.
    pub run: RunId,
    /// When it began.
    pub received_at: DateTime<Utc>,
    /// When the last group was done.
    pub finished_at: Option<DateTime<Utc>>,
    /// Groups that were submitted.
    pub groups: u64,
    /// People who had vanished from the API and were added again, with new subscriptions.
    pub restored: u64,
    /// People whom the API had, rosterd did not know, and the API removed.
    pub removed: u64,
}

/// The last accepted export of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedStatus {
    /// The run.
    pub run: RunId,
    /// The file's name.
    pub name: String,
    /// Rows that stand for people.
    pub rows: u64,
    /// When.
    pub accepted_at: DateTime<Utc>,
}

/// Records that cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtStatus {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What happened: the beginning of a sentence.
    pub reason: String,
    /// Sources whose next export is held whole, until one is approved.
    pub sources: Vec<SourceName>,
    /// Groups with members on record that no results have confirmed since.
    pub groups: Vec<GroupRef>,
}

/// A group to which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedGroup {
    /// Which.
    pub group: GroupRef,
    /// Why.
    pub reason: String,
}

/// A group of the API beside what we hold: `groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Our reference; none for groups that somebody made without one.
    pub group: Option<GroupRef>,
    /// The API's id; none while the group is still to be made.
    pub group_id: Option<GroupId>,
    /// Its name.
    pub name: String,
    /// Whether the API has it; none when the API was not asked.
    pub in_api: Option<bool>,
    /// Whether rosterd made it.
    pub made_by_us: bool,
    /// Members confirmed; none when nothing ever was.
    pub members: Option<u64>,
    /// When the roster was last confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The group's last batch.
    pub last_batch: Option<BatchId>,
    /// Why nothing is sent to it; none while all is well.
    pub paused: Option<String>,
}
