//! What clients did: a log of every call and request, and the rules that no careful client breaks. Pure.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use super::rules::Irregularity;
use super::script::{Fault, On};

/// One call, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLog {
    /// Which call.
    pub on: On,
    /// The `external_reference_id` of the group in its path, or that path's words where there is no such group.
    pub group: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The scheduled misbehaviour that it met.
    pub fault: Option<Fault>,
    /// The status that was answered; none where the connection was reset before there was one.
    pub status: Option<u16>,
}

/// One accepted roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLog {
    /// The group's `external_reference_id` at that time.
    pub group: String,
    /// The group's id.
    pub group_id: String,
    /// Its id.
    pub request_id: String,
    /// The reference ids of the payload, sorted.
    pub payload_ids: Vec<String>,
    /// The same for payloads of the same rows, in whatever order.
    pub payload_hash: String,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it was processed.
    pub completed_at: Option<DateTime<Utc>>,
    /// Whose subscriptions it started, sorted.
    pub added: Vec<String>,
    /// Whose subscriptions it ended, sorted.
    pub removed: Vec<String>,
    /// What its results list as failed.
    pub failures: Vec<FailureLog>,
}

/// One failure in the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureLog {
    /// Who.
    pub reference_id: String,
    /// `add`, `remove`, or something that nobody knows.
    pub operation: String,
    /// The words.
    pub reason: String,
}

/// A rule that a client broke. Groups are named by `external_reference_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A roster was submitted while the client had another one of the group to poll.
    Overlap {
        /// The group.
        group: String,
        /// The request that was not finished, or whose results nobody had fetched.
        outstanding: String,
    },
    /// A payload equal to an earlier one was accepted after a different one. It reverts the roster, unless the HR data
    /// itself went back.
    OlderPayload {
        /// The group.
        group: String,
        /// The new request.
        request: String,
        /// The earlier request with the same payload.
        same_as: String,
    },
    /// A key was sent with `null`.
    NullField {
        /// The group.
        group: String,
        /// The key's path in a row.
        field: String,
    },
    /// A key was sent that is not documented.
    UnknownKey {
        /// The group.
        group: String,
        /// The key's path in a row.
        field: String,
    },
    /// Somebody was submitted to a group while active in another.
    AddBeforeRemoval {
        /// The gaining group.
        group: String,
        /// Who.
        reference_id: String,
        /// The group that still has them.
        from: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { group, outstanding } => {
                write!(f, "{group}: a roster was submitted before the results of {outstanding} were fetched")
            }
            Self::OlderPayload { group, request, same_as } => {
                write!(f, "{group}: {request} brings back the payload of {same_as} after a different one")
            }
            Self::NullField { group, field } => write!(f, "{group}: {field} was sent as null"),
            Self::UnknownKey { group, field } => write!(f, "{group}: {field} is not a documented key"),
            Self::AddBeforeRemoval { group, reference_id, from } => {
                write!(f, "{group}: {reference_id} was submitted while active in {from}")
            }
        }
    }
}

/// The violations so far, and what is needed to see further ones.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) violations: Vec<Violation>,
    /// Per group id, every accepted payload's hash with its request, oldest first.
    accepted: BTreeMap<String, Vec<(String, String)>>,
}

impl Audit {
    /// Notes each violation once.
    pub(super) fn note(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    pub(super) fn body(&mut self, group: &str, irregularities: Vec<Irregularity>) {
        for irregularity in irregularities {
            let group = group.to_owned();
            self.note(match irregularity {
                Irregularity::Null(field) => Violation::NullField { group, field },
                Irregularity::Unknown(field) => Violation::UnknownKey { group, field },
            });
        }
    }

    pub(super) fn accepted(&mut self, request: &RequestLog) {
        let earlier = self.accepted.entry(request.group_id.clone()).or_default();
        let is_latest = earlier.last().is_none_or(|(hash, _)| *hash == request.payload_hash);
        let same = earlier.iter().rfind(|(hash, _)| *hash == request.payload_hash).map(|(_, id)| id.clone());
        earlier.push((request.payload_hash.clone(), request.request_id.clone()));
        if let (false, Some(same_as)) = (is_latest, same) {
            let (group, request) = (request.group.clone(), request.request_id.clone());
            self.note(Violation::OlderPayload { group, request, same_as });
        }
    }
}
