//! The JSON records. Runs, batches and plans keep the shapes of [`crate::report`], which are promised to scripts from
//! the first release and may only gain optional fields; what the domain does not write as JSON has a shape here.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::report::{KeptMember, Reason, Run};
use crate::roster::Loss;
use crate::roster::ids::{BatchId, GroupId, GroupRef, ReferenceId, RunId, SourceName};
use crate::store::{Absence, AcceptedExport, FileEnding, GroupRecord, SourceState};

/// What the whole store is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store) struct MetaV1 {
    /// The layout of the trees; raised when a tree is added, removed or keyed in another way.
    pub(in crate::store) layout: u32,
    /// Random, and also in the sentinel.
    pub(in crate::store) store: String,
    /// The API that the state belongs to.
    pub(in crate::store) base_url: String,
    /// The organization, once the API named it.
    pub(in crate::store) organization: Option<String>,
}

/// What is read of a plan to say why a person is kept as they are.
#[derive(Deserialize)]
pub(in crate::store) struct PlanKeepsV1 {
    pub(in crate::store) groups: Vec<GroupKeepsV1>,
}

#[derive(Deserialize)]
pub(in crate::store) struct GroupKeepsV1 {
    pub(in crate::store) group: GroupRef,
    pub(in crate::store) kept: Vec<KeptMember>,
    #[serde(default)]
    pub(in crate::store) reasons: Vec<Reason>,
}

/// A group that got another reference. Batches with an id below `marker` lie under the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct RenameV1 {
    pub(in crate::store) marker: BatchId,
    pub(in crate::store) from: GroupRef,
    pub(in crate::store) to: GroupRef,
}

/// A run without its plan, which has a record of its own.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RunV1 {
    pub(in crate::store) run: Run,
    pub(in crate::store) filed_as: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct GroupV1 {
    group: GroupRef,
    id: Option<GroupId>,
    name: String,
    made_by_us: bool,
    paused: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SourceV1 {
    source: SourceName,
    last_accepted: Option<AcceptedV1>,
    absences: BTreeMap<ReferenceId, AbsenceV1>,
    #[serde(default)]
    losses: Vec<LossV1>,
    fired: BTreeMap<String, DateTime<Utc>>,
    #[serde(default)]
    first_seen: Option<DateTime<Utc>>,
    #[serde(default)]
    last_delivered: Option<DateTime<Utc>>,
    #[serde(default)]
    last_resync: Option<RunId>,
    #[serde(default)]
    recheck_trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AcceptedV1 {
    run: RunId,
    sha256: String,
    name: String,
    rows: u64,
    modified: Option<DateTime<Utc>>,
    accepted_at: DateTime<Utc>,
    #[serde(default)]
    day: Option<NaiveDate>,
    #[serde(default)]
    ending: Option<EndingV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndingV1 {
    Ended,
    Open,
    Doubted,
}

impl From<FileEnding> for EndingV1 {
    fn from(ending: FileEnding) -> Self {
        match ending {
            FileEnding::Ended => Self::Ended,
            FileEnding::Open => Self::Open,
            FileEnding::Doubted => Self::Doubted,
        }
    }
}

impl From<EndingV1> for FileEnding {
    fn from(ending: EndingV1) -> Self {
        match ending {
            EndingV1::Ended => Self::Ended,
            EndingV1::Open => Self::Open,
            EndingV1::Doubted => Self::Doubted,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AbsenceV1 {
    exports: u32,
    since: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct LossV1 {
    group: GroupRef,
    who: ReferenceId,
    at: DateTime<Utc>,
    stated: bool,
}

impl From<Loss> for LossV1 {
    fn from(Loss { group, reference_id, at, is_stated }: Loss) -> Self {
        Self { group, who: reference_id, at, stated: is_stated }
    }
}

impl From<LossV1> for Loss {
    fn from(LossV1 { group, who, at, stated }: LossV1) -> Self {
        Self { group, reference_id: who, at, is_stated: stated }
    }
}

impl From<&GroupRecord> for GroupV1 {
    fn from(record: &GroupRecord) -> Self {
        let GroupRecord { group, id, name, made_by_us, paused } = record.clone();
        Self { group, id, name, made_by_us, paused }
    }
}

impl From<GroupV1> for GroupRecord {
    fn from(GroupV1 { group, id, name, made_by_us, paused }: GroupV1) -> Self {
        Self { group, id, name, made_by_us, paused }
    }
}

impl From<&SourceState> for SourceV1 {
    fn from(state: &SourceState) -> Self {
        let state = state.clone();
        let absences = state.absences.into_iter();
        Self {
            source: state.source,
            last_accepted: state.last_accepted.map(AcceptedV1::from),
            absences: absences.map(|(who, Absence { exports, since })| (who, AbsenceV1 { exports, since })).collect(),
            losses: state.losses.into_iter().map(Into::into).collect(),
            fired: state.fired,
            first_seen: state.first_seen,
            last_delivered: state.last_delivered,
            last_resync: state.last_resync,
            recheck_trouble: state.recheck_trouble,
        }
    }
}

impl From<SourceV1> for SourceState {
    fn from(record: SourceV1) -> Self {
        let absences = record.absences.into_iter();
        Self {
            source: record.source,
            last_accepted: record.last_accepted.map(AcceptedExport::from),
            absences: absences.map(|(who, AbsenceV1 { exports, since })| (who, Absence { exports, since })).collect(),
            losses: record.losses.into_iter().map(Into::into).collect(),
            fired: record.fired,
            first_seen: record.first_seen,
            last_delivered: record.last_delivered,
            last_resync: record.last_resync,
            recheck_trouble: record.recheck_trouble,
        }
    }
}

impl From<AcceptedExport> for AcceptedV1 {
    fn from(export: AcceptedExport) -> Self {
        let AcceptedExport { run, sha256, name, rows, modified, accepted_at, day, ending } = export;
        Self { run, sha256, name, rows, modified, accepted_at, day, ending: ending.map(Into::into) }
    }
}

impl From<AcceptedV1> for AcceptedExport {
    fn from(record: AcceptedV1) -> Self {
        let AcceptedV1 { run, sha256, name, rows, modified, accepted_at, day, ending } = record;
        Self { run, sha256, name, rows, modified, accepted_at, day, ending: ending.map(Into::into) }
    }
}
