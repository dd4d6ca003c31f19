//! What rosterd asks of the benefits API, and what an answer means. The two implementors are [`http`] and the sandbox.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::roster::Entry;
use crate::roster::ids::{GroupId, GroupRef, PlanId, RequestId};

pub mod http;
pub mod verdict;
pub mod wire;

/// A pending answer. Boxed so that the driver can hold any implementor behind one pointer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// The group member sync API, one method an endpoint.
pub trait MemberSync: fmt::Debug + Send + Sync {
    /// Submits the complete roster of a group. Whoever is not in it loses coverage.
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted>;
    /// Asks for the results of a submitted roster.
    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress>;
    /// All groups of the organization, all pages.
    fn groups(&self) -> Answer<'_, Vec<Group>>;
    /// One group, read afresh.
    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group>;
    /// Makes a group.
    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group>;
    /// Changes a group; what is `None` stays.
    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group>;
    /// All plans that are linked to the organization, all pages.
    fn plans(&self) -> Answer<'_, Vec<Plan>>;
}

/// The API took a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The id to poll.
    pub request_id: RequestId,
    /// When the API took it, by its clock.
    pub accepted_at: DateTime<Utc>,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No results yet. `odd` says what is strange about the answer (completed without results, another group's id).
    Under(Option<&'static str>),
    /// Completed, with results.
    Done(Results),
}

/// The results of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// When the API completed it, by its clock.
    pub completed_at: DateTime<Utc>,
    /// How many members were added. The API's ids for them cannot be matched to people, so they are only counted.
    pub added: usize,
    /// How many members were removed.
    pub removed: usize,
    /// What failed, person by person.
    pub failures: Vec<MemberFailure>,
}

/// One person's failure in the results.
#[derive(Clone, PartialEq, Eq)]
pub struct MemberFailure {
    /// The reference id as the API gives it back.
    pub reference_id: String,
    /// What was tried.
    pub operation: Operation,
    /// The API's words. May hold personal data: stored, shown to the operator on request, never logged.
    pub reason: String,
}

impl fmt::Debug for MemberFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberFailure")
            .field("reference_id", &self.reference_id)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// What the API tried with a person. An open set: a new value is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `add`
    Add,
    /// `remove`
    Remove,
    /// A value that we do not know.
    Other(String),
}

impl Operation {
    /// The API's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Other(word) => word,
        }
    }
}

/// A group as the API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `grp_…`
    pub id: GroupId,
    /// Shown to people.
    pub name: String,
    /// Our reference; the API may lack one for groups made by hand.
    pub external_reference_id: Option<GroupRef>,
    /// The organization, where the API names it.
    pub organization_id: Option<String>,
}

/// A plan as the API describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `pln_…`
    pub id: PlanId,
    /// What members see.
    pub name: String,
}

/// Why there is no answer to act on. The variants are what the caller does next; `detail` holds no personal data and
/// no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApiError {
    /// Nothing was done: nothing reached the server (connection refused, name not found, TLS), or a mere question got
    /// no answer. Try again later.
    #[error("the API cannot be reached: {detail}")]
    NotSent {
        /// What failed, for the operator.
        detail: String,
    },
    /// The server asks for patience (408, 429), or a mere question got an answer of no use (5xx, a 2xx that cannot be
    /// read): try again, not before `after`.
    #[error("the API answered {status}: try again later")]
    Later {
        /// HTTP status.
        status: u16,
        /// What `Retry-After` or `X-RateLimit-Reset` asked for, at most an hour.
        after: Option<Duration>,
    },
    /// The server may or may not have done it (timeout, reset, 5xx on a submit, a 2xx that cannot be read).
    #[error("the answer was lost: {detail}")]
    AnswerLost {
        /// HTTP status, where there was one.
        status: Option<u16>,
        /// What failed, for the operator.
        detail: String,
        /// What `Retry-After` or `X-RateLimit-Reset` asked for, at most an hour.
        after: Option<Duration>,
    },
    /// The server says no to this payload (400, 413, 415, 422): never repeated unchanged.
    #[error("the API refused the request ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's `app_error_code` and words, at most 300 characters, with anything that looks like a cell left out.
        message: String,
        /// The API's `trace_id`, to quote to support.
        trace_id: Option<String>,
    },
    /// The key is missing, wrong or lacks rights (401, 403).
    #[error("the API does not accept the key ({status})")]
    Unauthorized {
        /// HTTP status.
        status: u16,
    },
    /// No such group or request, or not ours (404).
    #[error("the API does not know it (404)")]
    NotFound,
    /// An unspecified conflict (409).
    #[error("the API reports a conflict (409)")]
    Conflict,
    /// A status that nobody expects here.
    #[error("the API answered {status}, which is not expected here")]
    Unexpected {
        /// HTTP status.
        status: u16,
    },
}
