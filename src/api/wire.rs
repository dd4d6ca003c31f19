//! The API's JSON: what we write and how we read. The API's own words (`request_id`, `members`, `accepted_at`) stay
//! here. PURE.
//!
//! Reading is lenient where nothing hangs on it (unknown keys, odd timestamps of acceptance, blank references of groups
//! made by hand) and strict where coverage does: results without one of their lists are not results.

use chrono::{DateTime, NaiveDateTime, Utc};
use compact_str::CompactString;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Group, MemberFailure, Operation, Plan, Results};
use crate::roster::ids::{GroupId, GroupRef, PlanId, RequestId};

mod body;

pub use body::roster_body;

/// Why a body is not the answer that was agreed. Says where, never what: a body may hold personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Nothing, or white space.
    #[error("the body is empty")]
    Empty,
    /// The JSON stops in its middle.
    #[error("the body is cut short")]
    CutShort,
    /// HTML, most often.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON with a key missing or of another type.
    #[error("the body lacks what was agreed, or has it in another shape (line {line}, column {column})")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

impl From<&serde_json::Error> for Unreadable {
    fn from(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => Self::CutShort,
            Category::Syntax | Category::Io => Self::NotJson { line, column },
            Category::Data => Self::Shape { line, column },
        }
    }
}

// === what we write ===

/// The body that makes a group.
pub fn new_group_body(reference: &GroupRef, name: &str) -> Vec<u8> {
    group_change_body(Some(name), Some(reference))
}

/// The body that changes a group. What is `None` is left out: an explicit null means nobody knows what.
pub fn group_change_body(name: Option<&str>, reference: Option<&GroupRef>) -> Vec<u8> {
    let mut object = Map::new();
    if let Some(name) = name {
        object.insert("name".to_owned(), Value::from(name));
    }
    if let Some(reference) = reference {
        object.insert("external_reference_id".to_owned(), Value::from(reference.as_str()));
    }
    Value::Object(object).to_string().into_bytes()
}

// === what we read ===

/// The answer to a submitted roster.
#[derive(Clone, Debug, Deserialize)]
pub struct Submitted {
    /// The id to poll.
    pub request_id: RequestId,
    /// Whose roster it is.
    #[serde(default)]
    pub group_id: Option<GroupId>,
    /// `None` also when it cannot be read: a request id in hand is worth more than a timestamp.
    #[serde(default, deserialize_with = "time_if_readable")]
    pub accepted_at: Option<DateTime<Utc>>,
}

/// The answer to a poll.
#[derive(Clone, Debug, Deserialize)]
pub struct Polled {
    /// Which request the answer is about.
    pub request_id: RequestId,
    /// Whose roster it is.
    pub group_id: GroupId,
    /// Null while it is under way.
    #[serde(default, deserialize_with = "time")]
    pub completed_at: Option<DateTime<Utc>>,
    /// Null while it is under way.
    #[serde(default)]
    pub results: Option<PolledResults>,
}

/// `results` as it came. What is missing stays visible as `None` until [`PolledResults::complete`] judges it.
#[derive(Clone, Debug, Deserialize)]
pub struct PolledResults {
    // The ids of added and removed members cannot be matched to people: counted without being kept.
    #[serde(default)]
    added_group_member_ids: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    removed_group_member_ids: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    failures: Option<Vec<PolledFailure>>,
}

#[derive(Clone, Deserialize)]
struct PolledFailure {
    #[serde(default)]
    reference_id: Option<String>,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// Shows nothing: a reason may hold personal data.
impl std::fmt::Debug for PolledFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolledFailure(..)")
    }
}

impl PolledResults {
    /// The results, or what they lack. A list that is missing is not an empty one: it says nothing about anybody.
    ///
    /// # Errors
    /// What is missing, for the operator.
    pub fn complete(self, completed_at: DateTime<Utc>) -> Result<Results, &'static str> {
        let added = self.added_group_member_ids.ok_or("completed, but its results lack the added members")?.len();
        let removed = self.removed_group_member_ids.ok_or("completed, but its results lack the removed members")?.len();
        let failures = self.failures.ok_or("completed, but its results lack the failures")?;
        let failures = failures.into_iter().map(PolledFailure::complete).collect::<Result<_, _>>()?;
        Ok(Results { completed_at, added, removed, failures })
    }
}

impl PolledFailure {
    /// A reason is only read by people and may be missing; without the other two nobody knows who is covered.
    fn complete(self) -> Result<MemberFailure, &'static str> {
        Ok(MemberFailure {
            reference_id: self.reference_id.ok_or("completed, but a failure lacks its reference id")?,
            operation: operation(self.operation.ok_or("completed, but a failure lacks its operation")?),
            reason: self.reason.unwrap_or_default(),
        })
    }
}

fn operation(word: String) -> Operation {
    match word.as_str() {
        "add" => Operation::Add,
        "remove" => Operation::Remove,
        _ => Operation::Other(word),
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// How many pages there are, where the API says so.
    pub total_pages: Option<u64>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
    #[serde(default)]
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    total_pages: Option<u64>,
}

#[derive(Deserialize)]
struct WireGroup {
    id: GroupId,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    external_reference_id: Option<CompactString>,
    #[serde(default)]
    organization_id: Option<String>,
}

impl From<WireGroup> for Group {
    fn from(group: WireGroup) -> Self {
        Self {
            id: group.id,
            name: group.name.unwrap_or_default(),
            // A blank or overlong reference cannot be one of ours; it must not hide the other groups of the list.
            external_reference_id: group.external_reference_id.and_then(|reference| GroupRef::parse(&reference).ok()),
            organization_id: group.organization_id,
        }
    }
}

#[derive(Deserialize)]
struct WirePlan {
    id: PlanId,
    #[serde(default)]
    name: Option<String>,
}

impl From<WirePlan> for Plan {
    fn from(plan: WirePlan) -> Self {
        Self { id: plan.id, name: plan.name.unwrap_or_default() }
    }
}

/// Reads the answer to a submitted roster.
///
/// # Errors
/// [`Unreadable`] without a request id.
pub fn submitted(body: &[u8]) -> Result<Submitted, Unreadable> {
    decode::<Submitted>(body).map(|envelope| envelope.data)
}

/// Reads the answer to a poll.
///
/// # Errors
/// [`Unreadable`] without both ids, and for a `completed_at` that is no timestamp.
pub fn polled(body: &[u8]) -> Result<Polled, Unreadable> {
    decode::<Polled>(body).map(|envelope| envelope.data)
}

/// Reads one group.
///
/// # Errors
/// [`Unreadable`] without an id.
pub fn group(body: &[u8]) -> Result<Group, Unreadable> {
    decode::<WireGroup>(body).map(|envelope| envelope.data.into())
}

/// Reads one page of groups.
///
/// # Errors
/// [`Unreadable`] when one of them has no id.
pub fn group_page(body: &[u8]) -> Result<Page<Group>, Unreadable> {
    page::<WireGroup, Group>(body)
}

/// Reads one page of plans.
///
/// # Errors
/// [`Unreadable`] when one of them has no id.
pub fn plan_page(body: &[u8]) -> Result<Page<Plan>, Unreadable> {
    page::<WirePlan, Plan>(body)
}

fn page<W: DeserializeOwned, T: From<W>>(body: &[u8]) -> Result<Page<T>, Unreadable> {
    let envelope = decode::<Vec<W>>(body)?;
    Ok(Page {
        items: envelope.data.into_iter().map(T::from).collect(),
        total_pages: envelope.pagination.and_then(|pagination| pagination.total_pages),
    })
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<Envelope<T>, Unreadable> {
    if body.trim_ascii().is_empty() {
        return Err(Unreadable::Empty);
    }
    serde_json::from_slice(body).map_err(|error| Unreadable::from(&error))
}

/// What the body of a failure tells, as far as it can be read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Text for people. May quote cells.
    pub message: Option<String>,
    /// `app_error_code`, or the `code` of the nested form.
    pub code: Option<String>,
    /// To quote to support.
    pub trace_id: Option<String>,
}

/// Shows nothing: the message may quote cells.
impl std::fmt::Debug for ErrorBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ErrorBody(..)")
    }
}

/// Reads the body of a failure: the flat form, the form nested under `error`, or, for HTML and nothing, an empty one.
pub fn error_body(body: &[u8]) -> ErrorBody {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return ErrorBody::default() };
    let text = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned)
    };
    ErrorBody {
        message: text("/message").or_else(|| text("/error/message")).or_else(|| text("/error")),
        code: text("/app_error_code").or_else(|| text("/error/code")),
        trace_id: text("/trace_id").or_else(|| text("/error/trace_id")),
    }
}

/// Reads `2026-10-05T14:00:40Z`, `…+00:00`, fractions, and a timestamp without a zone, which the API means as UTC.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc()))
        .ok()
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<CompactString>::deserialize(from)? else { return Ok(None) };
    parse_time(&text).map(Some).ok_or_else(|| D::Error::custom("not a timestamp"))
}

fn time_if_readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Value::deserialize(from)?.as_str().and_then(parse_time))
}

#[cfg(test)]
mod tests;
