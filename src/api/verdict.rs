//! What an answer means: the only place that reads a status code. PURE: [`super::http`] brings what was heard, the
//! time included.
//!
//! The same status means different things by what was asked. A 502 to a question costs nothing; a 502 to a submitted
//! roster may hide that the roster was taken, and must not be mistaken for "nothing happened".

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::wire::{self, Page, Unreadable};
use super::{Accepted, ApiError, Group, Plan, Progress};
use crate::roster::ids::{GroupId, RequestId};

mod patience;
mod scrub;

pub use patience::{MAX_WAIT, wait};

/// What was asked: decides what silence and server errors mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A roster was submitted.
    Submit,
    /// A question, to be repeated at will.
    Read,
    /// A group was made or changed.
    Write,
}

impl Asked {
    /// Whether the server may have changed something although no good answer came.
    fn may_have_changed_something(self) -> bool {
        match self {
            Self::Submit | Self::Write => true,
            Self::Read => false,
        }
    }
}

/// What came back over the wire.
#[derive(Clone)]
pub struct Heard {
    /// HTTP status.
    pub status: u16,
    /// What the server asked us to wait, from [`wait`].
    pub after: Option<Duration>,
    /// When it came, by our clock.
    pub at: DateTime<Utc>,
    /// The body, or why it is not whole.
    pub body: Result<Vec<u8>, Incomplete>,
}

/// Shows no body: it may echo members.
impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("status", &self.status)
            .field("after", &self.after)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Why a body is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// The connection broke within it.
    Cut,
    /// The time was up within it.
    TimedOut,
    /// It is larger than we are willing to hold.
    TooLarge,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the connection broke within the body",
            Self::TimedOut => "the time was up within the body",
            Self::TooLarge => "the body is too large",
        })
    }
}

/// No status came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Certainly nothing was sent; the detail says why and holds no secret.
    Unreached(String),
    /// No answer in time.
    TimedOut,
    /// The connection broke before an answer.
    Cut,
}

/// What it means that no answer came.
pub fn silence(asked: Asked, silence: Silence) -> ApiError {
    let detail = match silence {
        Silence::Unreached(detail) => return ApiError::NotSent { detail },
        Silence::TimedOut => "no answer in time",
        Silence::Cut => "the connection broke before an answer",
    };
    if asked.may_have_changed_something() {
        ApiError::AnswerLost { status: None, detail: detail.to_owned(), after: None }
    } else {
        ApiError::NotSent { detail: detail.to_owned() }
    }
}

/// The answer to a submitted roster.
///
/// # Errors
/// By status; [`ApiError::AnswerLost`] also for a 2xx without a request id or for another group.
pub fn submitted(group: &GroupId, heard: &Heard) -> Result<Accepted, ApiError> {
    let answer = read(Asked::Submit, heard, wire::submitted)?;
    // An id that belongs to another group could not be polled under ours.
    if answer.group_id.is_some_and(|named| named != *group) {
        return Err(useless(Asked::Submit, heard.status, "the answer names another group"));
    }
    Ok(Accepted { request_id: answer.request_id, accepted_at: answer.accepted_at.unwrap_or(heard.at) })
}

/// The answer to a poll. Only an answer about this very request, completed and with whole results, is final.
///
/// # Errors
/// By status; [`ApiError::Later`] also for a 2xx that cannot be read.
pub fn polled(group: &GroupId, request: &RequestId, heard: &Heard) -> Result<Progress, ApiError> {
    let answer = read(Asked::Read, heard, wire::polled)?;
    if answer.request_id != *request {
        return Ok(Progress::Under(Some("the answer names another request")));
    }
    if answer.group_id != *group {
        return Ok(Progress::Under(Some("the answer names another group")));
    }
    Ok(match (answer.completed_at, answer.results) {
        (None, None) => Progress::Under(None),
        (Some(_), None) => Progress::Under(Some("completed, but without results")),
        (None, Some(_)) => Progress::Under(Some("results, but not completed")),
        (Some(completed_at), Some(results)) => match results.complete(completed_at) {
            Ok(results) => Progress::Done(results),
            Err(odd) => Progress::Under(Some(odd)),
        },
    })
}

/// The answer with one group: `asked` is [`Asked::Read`] or [`Asked::Write`], `id` the group's where we know it.
///
/// # Errors
/// By status; a 2xx that cannot be read or that holds another group counts as no answer.
pub fn group(asked: Asked, id: Option<&GroupId>, heard: &Heard) -> Result<Group, ApiError> {
    let group = read(asked, heard, wire::group)?;
    if id.is_some_and(|id| group.id != *id) {
        return Err(useless(asked, heard.status, "the answer holds another group"));
    }
    Ok(group)
}

/// One page of groups.
///
/// # Errors
/// By status; [`ApiError::Later`] also for a 2xx that cannot be read.
pub fn group_page(heard: &Heard) -> Result<Page<Group>, ApiError> {
    read(Asked::Read, heard, wire::group_page)
}

/// One page of plans.
///
/// # Errors
/// By status; [`ApiError::Later`] also for a 2xx that cannot be read.
pub fn plan_page(heard: &Heard) -> Result<Page<Plan>, ApiError> {
    read(Asked::Read, heard, wire::plan_page)
}

fn read<T>(asked: Asked, heard: &Heard, decode: fn(&[u8]) -> Result<T, Unreadable>) -> Result<T, ApiError> {
    if !(200..=299).contains(&heard.status) {
        return Err(failure(asked, heard));
    }
    match &heard.body {
        Ok(body) => decode(body).map_err(|why| useless(asked, heard.status, &why.to_string())),
        Err(incomplete) => Err(useless(asked, heard.status, &incomplete.to_string())),
    }
}

/// A 2xx that says yes, but not to what.
fn useless(asked: Asked, status: u16, why: &str) -> ApiError {
    if asked.may_have_changed_something() {
        ApiError::AnswerLost { status: Some(status), detail: format!("the API answered {status}: {why}"), after: None }
    } else {
        ApiError::Later { status, after: None }
    }
}

/// What a status outside 2xx means.
fn failure(asked: Asked, heard: &Heard) -> ApiError {
    let (status, after) = (heard.status, heard.after);
    match status {
        400 | 413 | 415 | 422 => refused(status, heard.body.as_deref().unwrap_or_default()),
        401 | 403 => ApiError::Unauthorized { status },
        404 => ApiError::NotFound,
        409 => ApiError::Conflict,
        // Also a 503 that asks for patience: gateways answer it both before and after they passed a request on.
        500..=599 if asked.may_have_changed_something() => {
            ApiError::AnswerLost { status: Some(status), detail: format!("the API answered {status}"), after }
        }
        // 408 and 429 say that the request was not taken on, whatever it was.
        408 | 429 | 500..=599 => ApiError::Later { status, after },
        _ => ApiError::Unexpected { status },
    }
}

fn refused(status: u16, body: &[u8]) -> ApiError {
    let said = wire::error_body(body);
    let message = said.message.as_deref().map(scrub::message).unwrap_or_default();
    let message = match (said.code.as_deref().and_then(scrub::token), message.is_empty()) {
        (Some(code), true) => code,
        (Some(code), false) => scrub::cut(format!("{code}: {message}")),
        (None, true) => "the answer gives no reason".to_owned(),
        (None, false) => message,
    };
    ApiError::Refused { status, message, trace_id: said.trace_id.as_deref().and_then(scrub::token) }
}

#[cfg(test)]
mod tests;
