//! What time travel tells: one person's way, and a group's roster at some time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ChangeReport, Phase, Trigger};
use crate::roster::ids::{BatchId, GroupRef, PlanId, ReferenceId, RequestId, RunId, SourceName};

/// Where one person is, and how that came: `member`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDetail {
    /// Who.
    pub reference_id: ReferenceId,
    /// The groups that cover the person now; more than one only while something is wrong.
    pub covered: Vec<Coverage>,
    /// Since when nobody covers the person; none while somebody does, and where that is not on record.
    pub not_covered_since: Option<DateTime<Utc>>,
    /// Everything that batches did about the person, oldest first.
    pub changes: Vec<MemberEvent>,
    /// What is not settled, with what must happen first.
    pub pending: Vec<Pending>,
    /// What ended before this time may be forgotten; none while nothing ever was.
    pub forgotten_before: Option<DateTime<Utc>>,
}

/// A person on a group's confirmed roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The group.
    pub group: GroupRef,
    /// Since when, without a break; none where that is not on record any more.
    pub since: Option<DateTime<Utc>>,
    /// The plan that HR wants for the person.
    pub plan_id: PlanId,
    /// The plan that the API is believed to have the person on.
    pub subscribed_plan: PlanId,
    /// The source that owns the record.
    pub source: SourceName,
    /// The run that brought the record.
    pub run: RunId,
    /// The line of that run's file.
    pub line: u64,
    /// When the group's roster was last confirmed.
    pub confirmed_at: DateTime<Utc>,
}

/// One thing that a batch did about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEvent {
    /// When the results were recorded.
    pub at: Option<DateTime<Utc>>,
    /// What, why, and the line behind it.
    #[serde(flatten)]
    pub change: ChangeReport,
    /// The group, as it was called then.
    pub group: GroupRef,
    /// The batch.
    pub batch: BatchId,
    /// The API's id of the request.
    pub request_id: Option<RequestId>,
    /// `confirmed`, or `failed`: then `rosterd show BATCH` has the API's words.
    pub result: String,
    /// The run that made the batch.
    pub run: RunId,
    /// What set that run off; none where the run is forgotten.
    pub trigger: Option<Trigger>,
    /// Who set it off or approved it, where that is a person.
    pub actor: Option<String>,
    /// The reason that this person gave.
    pub approval: Option<String>,
    /// The sums of the guards that were passed by approval, of this group and of the whole file.
    pub approved: Vec<String>,
    /// The batch that the run undoes.
    pub reverts: Option<BatchId>,
}

/// Something about a person that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// `held`, `under_way`, `absent`, `perhaps_covered`.
    pub what: String,
    /// The group.
    pub group: Option<GroupRef>,
    /// The run.
    pub run: Option<RunId>,
    /// The batch, and where it stands.
    pub batch: Option<BatchId>,
    /// Its phase.
    pub phase: Option<Phase>,
    /// The line of the run's file.
    pub line: Option<u64>,
    /// In words.
    pub why: String,
}

/// A group's confirmed roster, now or then: `roster GROUP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterReport {
    /// The group.
    pub group: GroupRef,
    /// The time that was asked for.
    pub at: DateTime<Utc>,
    /// When the roster of that time was confirmed; none where that is forgotten.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// By which batch.
    pub batch: Option<BatchId>,
    /// Who was on it, sorted by reference id.
    pub members: Vec<RosterMember>,
}

/// A person on a roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMember {
    /// Who.
    pub reference_id: ReferenceId,
    /// The plan that HR wanted for the person.
    pub plan_id: PlanId,
    /// The plan that the API is believed to have had the person on.
    pub subscribed_plan: PlanId,
    /// The source that owned the record.
    pub source: SourceName,
    /// The run that brought it.
    pub run: RunId,
    /// The line of that run's file.
    pub line: u64,
    /// On the roster since, without a break; none where that is not on record any more.
    pub since: Option<DateTime<Utc>>,
}
