//! Misbehaviour by name: which call, which person, what goes wrong.

use std::time::Duration;

use serde::Deserialize;

/// How long a 429 or 503 asks the client to wait when the script does not say.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);
/// How late a slow answer comes when the script does not say: beyond the 60 s that clients of this API wait.
const DEFAULT_SLOWNESS: Duration = Duration::from_secs(90);

/// A call of the API, as a script names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// A roster is submitted.
    Submit,
    /// Results are asked for.
    Poll,
    /// A page of groups is listed.
    List,
    /// One group is read.
    Read,
    /// A group is made.
    Create,
    /// A group is changed.
    Update,
    /// A page of plans is listed.
    Plans,
    /// Any of them.
    Any,
}

/// One way to misbehave. The names of scripts are these in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429 with `Retry-After` in seconds (`after`). Nothing is done.
    RateLimitedSeconds,
    /// 429 with `Retry-After` as an HTTP date. Nothing is done.
    RateLimitedDate,
    /// 429 without a hint. Nothing is done.
    RateLimitedBare,
    /// 429 with `X-RateLimit-Reset` in Unix seconds. Nothing is done.
    RateLimitedReset,
    /// 500. Nothing is done.
    #[serde(rename = "error_500")]
    Error500,
    /// 502. Nothing is done.
    #[serde(rename = "error_502")]
    Error502,
    /// 503, with `Retry-After` where `after` is given. Nothing is done.
    #[serde(rename = "error_503")]
    Error503,
    /// The answer `status`. Nothing is done.
    Status,
    /// 401 with the error body of the authentication guide. Nothing is done.
    #[serde(rename = "nested_401")]
    Nested401,
    /// 502 with a gateway's page. Nothing is done.
    #[serde(rename = "html_502")]
    Html502,
    /// 404. Nothing is done.
    NotFound,
    /// The connection is reset before the body is read. Nothing is done.
    Reset,
    /// The work is done, then the connection is reset: a lost answer.
    AcceptThenReset,
    /// The work is done, then the answer is 502.
    #[serde(rename = "accept_then_502")]
    AcceptThen502,
    /// The work is done; the answer is half a JSON document.
    BrokenJson,
    /// The work is done; the connection ends in the middle of the answer's body.
    HalfAnswer,
    /// The work is done; the answer comes `after` that long, beyond the client's patience.
    Slow,
    /// The answer names another group. Submit and poll.
    WrongGroup,
    /// `completed_at` without `results`, complete or not. Poll.
    NoResults,
    /// `results` without `completed_at`, complete or not. Poll.
    NoCompletedAt,
    /// Accepted, but the first `polls` polls do not know the request. Submit.
    HideAtFirst,
    /// Accepted and processed, but no poll ever knows the request. Submit.
    Forget,
    /// Accepted and never processed. Submit.
    NeverComplete,
    /// The results hold a failure with an operation that nobody knows. Submit.
    UnknownOperation,
    /// The results hold a failure of somebody who was never submitted. Submit.
    UnknownReference,
    /// The first to be added is listed as added and as failed; the failure is the truth. Submit.
    AddedAndFailed,
}

impl Fault {
    /// Whether the fault means anything on that call.
    fn fits(self, on: On) -> bool {
        match self {
            Self::WrongGroup => matches!(on, On::Submit | On::Poll),
            Self::NoResults | Self::NoCompletedAt => on == On::Poll,
            Self::HideAtFirst
            | Self::Forget
            | Self::NeverComplete
            | Self::UnknownOperation
            | Self::UnknownReference
            | Self::AddedAndFailed => on == On::Submit,
            Self::RateLimitedSeconds
            | Self::RateLimitedDate
            | Self::RateLimitedBare
            | Self::RateLimitedReset
            | Self::Error500
            | Self::Error502
            | Self::Error503
            | Self::Status
            | Self::Nested401
            | Self::Html502
            | Self::NotFound
            | Self::Reset
            | Self::AcceptThenReset
            | Self::AcceptThen502
            | Self::BrokenJson
            | Self::HalfAnswer
            | Self::Slow => true,
        }
    }

    /// Whether a submit with this fault leaves the client without a request that it could poll to its end.
    pub(in crate::sandbox) fn loses_request(self) -> bool {
        !matches!(self, Self::UnknownOperation | Self::UnknownReference | Self::AddedAndFailed)
    }
}

/// When to misbehave, and how: `[[fault]]` of a script.
///
/// ```
/// use rosterd::sandbox::script::{Fault, On, Rule};
/// // The second and third submit of one group lose their answers.
/// let rule = Rule::new(On::Submit, Fault::AcceptThenReset).nth(2).times(2).group("acme-sales");
/// assert!(rule.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// On which calls.
    pub on: On,
    /// What happens.
    #[serde(rename = "do")]
    pub fault: Fault,
    /// Only calls that name this group, by its `external_reference_id`.
    #[serde(default)]
    pub group: Option<String>,
    /// From the n-th such call on, counted from 1 and from when the rule was set.
    #[serde(default = "one")]
    pub nth: u32,
    /// For that many calls.
    #[serde(default = "one")]
    pub times: u32,
    /// For ever, whatever `times` says.
    #[serde(default)]
    pub always: bool,
    /// For all calls until the sandbox is that old, whatever `times` says.
    #[serde(default, deserialize_with = "super::some_duration")]
    pub until: Option<Duration>,
    /// The wait that an answer asks for, or takes.
    #[serde(default, deserialize_with = "super::some_duration")]
    pub after: Option<Duration>,
    /// The status of [`Fault::Status`].
    #[serde(default)]
    pub status: Option<u16>,
    /// How many polls [`Fault::HideAtFirst`] hides the request from.
    #[serde(default = "one")]
    pub polls: u32,
}

impl Rule {
    /// The first such call, once.
    pub fn new(on: On, fault: Fault) -> Self {
        Self {
            on,
            fault,
            group: None,
            nth: 1,
            times: 1,
            always: false,
            until: None,
            after: None,
            status: None,
            polls: 1,
        }
    }

    /// From the n-th call on.
    #[must_use]
    pub fn nth(self, nth: u32) -> Self {
        Self { nth, ..self }
    }

    /// For that many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// For ever, or until the rules are cleared.
    #[must_use]
    pub fn always(self) -> Self {
        Self { always: true, ..self }
    }

    /// Until the sandbox is that old.
    #[must_use]
    pub fn until(self, age: Duration) -> Self {
        Self { until: Some(age), ..self }
    }

    /// Only this group, by its `external_reference_id`.
    #[must_use]
    pub fn group(self, reference: &str) -> Self {
        Self { group: Some(reference.to_owned()), ..self }
    }

    /// The wait that the answer asks for, or takes.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { after: Some(wait), ..self }
    }

    /// The status of [`Fault::Status`].
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// How many polls [`Fault::HideAtFirst`] hides the request from.
    #[must_use]
    pub fn polls(self, polls: u32) -> Self {
        Self { polls, ..self }
    }

    /// Whether the rule can ever do what it says.
    ///
    /// # Errors
    /// What is contradictory about it.
    pub fn check(&self) -> Result<(), &'static str> {
        if !self.fault.fits(self.on) {
            return Err("this fault means nothing on this call: wrong_group is for submit and poll, no_results and \
                        no_completed_at for poll, hide_at_first, forget, never_complete, unknown_operation, \
                        unknown_reference and added_and_failed for submit");
        }
        if self.nth == 0 || self.times == 0 {
            return Err("nth and times count from 1");
        }
        if self.group.is_some() && matches!(self.on, On::List | On::Create | On::Plans) {
            return Err("list, create and plans name no group in their path, so the rule would never match");
        }
        if (self.fault == Fault::Status) != self.status.is_some() {
            return Err("`status` belongs to do = \"status\", and only to it");
        }
        if self.status.is_some_and(|status| !(400..=599).contains(&status)) {
            return Err("`status` is 400 to 599");
        }
        Ok(())
    }

    /// The wait that an answer asks for.
    pub(in crate::sandbox) fn patience(&self) -> Duration {
        self.after.unwrap_or(DEFAULT_PATIENCE)
    }

    /// The wait that a slow answer takes.
    pub(in crate::sandbox) fn slowness(&self) -> Duration {
        self.after.unwrap_or(DEFAULT_SLOWNESS)
    }
}

/// What fails about one person: `operation` of a `[[fail]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOn {
    /// The add fails; the person stays outside.
    Add,
    /// The removal fails; the person stays covered.
    Remove,
    /// The new data of a known member is not taken, and the results say so with an operation of that name.
    Update,
}

impl FailOn {
    /// The word in the results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Update => "update",
        }
    }
}

/// One person's scheduled failure: `[[fail]]` of a script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFault {
    /// Who.
    pub reference_id: String,
    /// What.
    pub operation: FailOn,
    /// The words.
    pub reason: String,
    /// How often; for ever without it.
    #[serde(default)]
    pub times: Option<u32>,
}

fn one() -> u32 {
    1
}
