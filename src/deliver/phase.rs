//! The phases of a batch, as a pure machine: an event comes in, the next phase and what to do come out. The driver performs
//! what it says; a restart feeds it the event that the record implies ([`resumed`]).
//!
//! ```text
//! pending ─▶ submitting ─▶ accepted ─▶ completed
//!               │  ▲           └─────▶ lost
//!               ▼  └ again
//!            refused
//! ```

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::api::{Accepted, ApiError, Results};
use crate::config::Poll;
use crate::report::{Batch, Phase};

use super::pace;

/// A fresh request id may not be known everywhere yet: so long is a 404 on a poll no news.
const UNKNOWN_GRACE: Duration = Duration::from_secs(60);
/// A conflict that lasts through so many attempts is nothing that waiting mends.
const MOST_CONFLICTS: u32 = 10;

/// What happened to a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its turn has come.
    Due,
    /// The process stopped after `submitting` was on record: whether the request left is not known.
    Interrupted,
    /// The API took it.
    Accepted(Accepted),
    /// Submitting failed.
    SubmitFailed(ApiError),
    /// A poll said: not yet. The text says what was odd about it.
    Waiting(Option<&'static str>),
    /// A poll brought the results.
    Results(Results),
    /// A poll failed.
    PollFailed(ApiError),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Record that the request leaves, then send the payload.
    Submit,
    /// Wait, then submit the group's current roster: a newer one if there is one, else this payload again.
    SubmitCurrentAfter(Duration),
    /// Wait, then poll.
    PollAfter(Duration),
    /// Record the results.
    Settle(Results),
    /// The batch ends without results; the payload is not sent again unchanged.
    Refuse(String),
    /// The request is lost: submit the group's current roster after a pause.
    Lose(String, Duration),
    /// Nobody may send anything until a probe says that the key is good again; then submit or poll again.
    Pause,
}

/// An event that the phase does not allow: a bug, never guessed away.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("a batch in phase {phase:?} cannot take this event: {event}")]
pub struct OutOfOrder {
    phase: Phase,
    event: &'static str,
}

/// What the machine needs to know beside the batch.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The time.
    pub now: DateTime<Utc>,
    /// How results are polled.
    pub poll: Poll,
    /// Polls since the batch was accepted, or since the restart.
    pub polls: u32,
    /// A random number from 0 to 1.
    pub chance: f64,
}

/// The event that the record of an unfinished batch implies after a restart.
pub fn resumed(batch: &Batch) -> Event {
    match batch.phase {
        Phase::Submitting => Event::Interrupted,
        Phase::Accepted => Event::Waiting(None),
        Phase::Pending | Phase::Completed | Phase::Refused | Phase::Lost | Phase::Superseded => Event::Due,
    }
}

/// Takes a batch one event further: its next phase, and what to do.
///
/// # Errors
/// [`OutOfOrder`] when the phase does not allow the event.
pub fn step(batch: &Batch, event: Event, at: Circumstances) -> Result<(Phase, Effect), OutOfOrder> {
    match (batch.phase, event) {
        (Phase::Pending, Event::Due) => Ok((Phase::Submitting, Effect::Submit)),
        // Whether the API has the roster is not known. The current roster converges either way: known members are no-ops.
        (Phase::Submitting, Event::Interrupted) => Ok((Phase::Pending, Effect::SubmitCurrentAfter(Duration::ZERO))),
        (Phase::Submitting, Event::Accepted(_)) => {
            Ok((Phase::Accepted, Effect::PollAfter(pace::before_poll(1, at.poll, at.chance))))
        }
        (Phase::Submitting, Event::SubmitFailed(error)) => Ok(submit_failed(batch, &error, at)),
        (Phase::Accepted, Event::Waiting(odd)) => Ok(waiting(batch, odd, at)),
        (Phase::Accepted, Event::Results(results)) => Ok((Phase::Completed, Effect::Settle(results))),
        (Phase::Accepted, Event::PollFailed(error)) => Ok(poll_failed(batch, &error, at)),
        (phase, event) => Err(OutOfOrder { phase, event: name(&event) }),
    }
}

fn submit_failed(batch: &Batch, error: &ApiError, at: Circumstances) -> (Phase, Effect) {
    let again = |hint| Effect::SubmitCurrentAfter(pace::before_retry(batch.attempts, hint, at.chance));
    match error {
        ApiError::NotSent { .. } => (Phase::Pending, again(None)),
        ApiError::Later { after, .. } | ApiError::AnswerLost { after, .. } => (Phase::Pending, again(*after)),
        ApiError::Conflict if batch.attempts < MOST_CONFLICTS => (Phase::Pending, again(None)),
        ApiError::Unauthorized { .. } => (Phase::Pending, Effect::Pause),
        ApiError::NotFound => {
            let text = "the API does not know the group, or it belongs to another organization (404)";
            (Phase::Refused, Effect::Refuse(text.to_owned()))
        }
        ApiError::Refused { .. } | ApiError::Conflict | ApiError::Unexpected { .. } => {
            (Phase::Refused, Effect::Refuse(error.to_string()))
        }
    }
}

fn waiting(batch: &Batch, odd: Option<&'static str>, at: Circumstances) -> (Phase, Effect) {
    let age = batch.accepted_at.map_or(Duration::ZERO, |accepted| (at.now - accepted).to_std().unwrap_or_default());
    if at.poll.give_up_after < age {
        let text = format!("no results after {}", humantime::format_duration(at.poll.give_up_after));
        return (
            Phase::Lost,
            Effect::Lose(odd.map_or(text, str::to_owned), pace::before_retry(batch.attempts, None, at.chance)),
        );
    }
    (Phase::Accepted, Effect::PollAfter(pace::before_poll(at.polls.saturating_add(1), at.poll, at.chance)))
}

fn poll_failed(batch: &Batch, error: &ApiError, at: Circumstances) -> (Phase, Effect) {
    match error {
        ApiError::Later { after, .. } => patient(batch, *after, at),
        ApiError::Unauthorized { .. } => (Phase::Accepted, Effect::Pause),
        ApiError::NotFound => {
            let since =
                batch.submitted_at.map_or(Duration::MAX, |at_| (at.now - at_).abs().to_std().unwrap_or_default());
            if since < UNKNOWN_GRACE {
                patient(batch, None, at)
            } else {
                let pause = pace::before_retry(batch.attempts, None, at.chance);
                (Phase::Lost, Effect::Lose("the API does not know the request (404)".to_owned(), pause))
            }
        }
        // Whatever else a poll is answered says nothing about the roster: the request may well be carried out. Ask again.
        ApiError::NotSent { .. }
        | ApiError::AnswerLost { .. }
        | ApiError::Conflict
        | ApiError::Refused { .. }
        | ApiError::Unexpected { .. } => patient(batch, None, at),
    }
}

/// Polls again, not sooner than the server asks, until the batch is given up.
fn patient(batch: &Batch, hint: Option<Duration>, at: Circumstances) -> (Phase, Effect) {
    match waiting(batch, None, at) {
        (phase, Effect::PollAfter(pause)) => {
            let hint = hint.unwrap_or_default().min(pace::LONGEST_WAIT);
            (phase, Effect::PollAfter(pause.max(hint)))
        }
        given_up => given_up,
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Due => "due",
        Event::Interrupted => "interrupted",
        Event::Accepted(_) => "accepted",
        Event::SubmitFailed(_) => "submit failed",
        Event::Waiting(_) => "waiting",
        Event::Results(_) => "results",
        Event::PollFailed(_) => "poll failed",
    }
}

#[cfg(test)]
mod tests;
