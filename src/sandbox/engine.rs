//! The one engine behind both faces of the sandbox: a call goes in, an answer comes out. Pure; time is an argument.
//!
//! Processing is lazy: every call first does what has come due since the last one.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use compact_str::CompactString;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answer::{self, Delivery, Ending, Reply};
use super::audit::{Audit, CallLog};
use super::json::{Json, Object};
use super::requests::Request;
use super::script::{Fault, Keys, MemberFault, On, Rule, Script};
use super::state::State;

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Submit { group: String },
    Poll { group: String, request: String },
    List(Paging),
    Read { group: String },
    Create,
    Update { group: String },
    Plans(Paging),
}

/// The query of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) page: Option<String>,
    pub(super) limit: Option<String>,
}

/// A call without its body. No `Debug`: it holds the key.
pub(super) struct Head {
    pub(super) ask: Ask,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
}

/// A call that passed the first two checks.
#[derive(Debug)]
pub(super) struct Begun {
    /// What to do wrong.
    pub(super) rule: Option<Rule>,
    /// Its place in the log.
    call: usize,
}

/// A rule and how often its calls came.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: u32,
    fired: u32,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) script: Script,
    pub(super) state: State,
    pub(super) requests: Vec<Request>,
    /// Where in `requests` an id is.
    pub(super) by_id: HashMap<String, usize>,
    /// Those of `requests` that wait for their time.
    pub(super) pending: Vec<usize>,
    /// Scheduled failures of persons.
    pub(super) failures: Vec<MemberFault>,
    pub(super) audit: Audit,
    pub(super) calls: Vec<CallLog>,
    rules: Vec<Armed>,
    started_at: DateTime<Utc>,
    answers: u64,
}

impl Ask {
    fn on(&self) -> On {
        match self {
            Self::Submit { .. } => On::Submit,
            Self::Poll { .. } => On::Poll,
            Self::List(_) => On::List,
            Self::Read { .. } => On::Read,
            Self::Create => On::Create,
            Self::Update { .. } => On::Update,
            Self::Plans(_) => On::Plans,
        }
    }

    fn group(&self) -> Option<&str> {
        match self {
            Self::Submit { group } | Self::Poll { group, .. } | Self::Read { group } | Self::Update { group } => {
                Some(group)
            }
            Self::List(_) | Self::Create | Self::Plans(_) => None,
        }
    }
}

impl Engine {
    pub(super) fn new(script: Script, now: DateTime<Utc>) -> Self {
        let now = now.trunc_subsecs(3);
        let mut state = State::new(script.seed);
        for group in &script.groups {
            state.add_group(&group.reference, &group.name, now);
        }
        for person in &script.blocked {
            state.set_elsewhere((person.email.to_lowercase(), person.date_of_birth), true);
        }
        let rules = script.faults.iter().cloned().map(|rule| Armed { rule, seen: 0, fired: 0 }).collect();
        Self {
            failures: script.failures.clone(),
            script,
            state,
            requests: Vec::new(),
            by_id: HashMap::new(),
            pending: Vec::new(),
            audit: Audit::default(),
            calls: Vec::new(),
            rules,
            started_at: now,
            answers: 0,
        }
    }

    pub(super) fn add_rule(&mut self, rule: Rule) {
        self.rules.push(Armed { rule, seen: 0, fired: 0 });
    }

    pub(super) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    /// The first checks, before the body is read: the key, then scheduled misbehaviour.
    pub(super) fn begin(&mut self, head: &Head, now: DateTime<Utc>) -> Result<Begun, Reply> {
        let now = now.trunc_subsecs(3);
        let is_known = is_good_key(head.authorization.as_deref(), &self.script.keys);
        let rule = if is_known { self.due_rule(&head.ask, now) } else { None };
        let group = head.ask.group().map(|group| self.state.reference_of(group).to_owned());
        let fault = rule.as_ref().map(|rule| rule.fault);
        let status = (!is_known).then_some(401);
        self.calls.push(CallLog { on: head.ask.on(), group, at: now, fault, status });
        if is_known {
            Ok(Begun { rule, call: self.calls.len() - 1 })
        } else {
            Err(self.refuse(401, "Invalid or missing API key", now))
        }
    }

    /// Every rule counts the calls that it is about; the first that is due decides.
    fn due_rule(&mut self, ask: &Ask, now: DateTime<Utc>) -> Option<Rule> {
        let (on, group) = (ask.on(), ask.group().map(|group| self.state.reference_of(group)));
        let age = (now - self.started_at).to_std().unwrap_or_default();
        let mut due = None;
        for armed in &mut self.rules {
            let rule = &armed.rule;
            let is_about = (rule.on == On::Any || rule.on == on)
                && rule.group.as_deref().is_none_or(|reference| Some(reference) == group);
            if !is_about {
                continue;
            }
            armed.seen += 1;
            let is_left = match rule.until {
                Some(until) => age < until,
                None => rule.always || armed.fired < rule.times,
            };
            if due.is_none() && rule.nth <= armed.seen && is_left {
                armed.fired += 1;
                due = Some(rule.clone());
            }
        }
        due
    }

    /// Everything else: does the work, unless the misbehaviour stands in its place, and misshapes the answer.
    pub(super) fn finish(&mut self, head: &Head, begun: &Begun, body: &[u8], now: DateTime<Utc>) -> (Reply, Delivery) {
        let now = now.trunc_subsecs(3);
        let (reply, delivery) = match &begun.rule {
            None => (self.work(head, None, body, now), Delivery::Whole),
            Some(rule) => self.instead(rule, now).unwrap_or_else(|| {
                let reply = self.work(head, Some(rule), body, now);
                misdeliver(reply, rule)
            }),
        };
        if delivery != Delivery::Reset
            && let Some(call) = self.calls.get_mut(begun.call)
        {
            call.status = Some(reply.status);
        }
        (reply, delivery)
    }

    /// The answer of a fault that keeps the work from being done.
    fn instead(&mut self, rule: &Rule, now: DateTime<Utc>) -> Option<(Reply, Delivery)> {
        let wait = rule.patience();
        let then = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        let limited = |engine: &mut Self| engine.refuse(429, "Too many requests", now);
        let reply = match rule.fault {
            Fault::RateLimitedSeconds => limited(self).with_header("retry-after", answer::seconds(wait).to_string()),
            Fault::RateLimitedDate => limited(self).with_header("retry-after", answer::http_date(then)),
            Fault::RateLimitedBare => limited(self),
            Fault::RateLimitedReset => {
                // Rounded up, so that a client that obeys is never early.
                let seconds = (then + TimeDelta::milliseconds(999)).timestamp();
                limited(self).with_header("x-ratelimit-reset", seconds.to_string())
            }
            Fault::Error500 => self.refuse(500, "Internal server error", now),
            Fault::Error502 => self.refuse(502, "Bad gateway", now),
            Fault::Error503 => {
                let reply = self.refuse(503, "Service unavailable", now);
                match rule.after {
                    None => reply,
                    Some(wait) => reply.with_header("retry-after", answer::seconds(wait).to_string()),
                }
            }
            Fault::Status => self.refuse(rule.status.unwrap_or(500), "Refused by script", now),
            Fault::Nested401 => Reply::json(
                401,
                &json!({ "error": { "code": "unauthorized", "message": "Invalid or missing API key" } }),
            ),
            Fault::Html502 => Reply::html_502(),
            Fault::NotFound => self.refuse(404, "Not found", now),
            Fault::Reset => return Some((self.refuse(500, "Reset", now), Delivery::Reset)),
            Fault::AcceptThenReset
            | Fault::AcceptThen502
            | Fault::BrokenJson
            | Fault::HalfAnswer
            | Fault::Slow
            | Fault::WrongGroup
            | Fault::NoResults
            | Fault::NoCompletedAt
            | Fault::HideAtFirst
            | Fault::Forget
            | Fault::NeverComplete
            | Fault::UnknownOperation
            | Fault::UnknownReference
            | Fault::AddedAndFailed => return None,
        };
        Some((reply, Delivery::Whole))
    }

    fn work(&mut self, head: &Head, rule: Option<&Rule>, body: &[u8], now: DateTime<Utc>) -> Reply {
        self.advance(now);
        let content_type = head.content_type.as_deref();
        let done = match &head.ask {
            Ask::Submit { group } => self.submit(group, rule, (content_type, body), now),
            Ask::Poll { group, request } => self.poll(group, request, rule.map(|rule| rule.fault), now),
            Ask::List(paging) => self.list_groups(paging),
            Ask::Read { group } => self.read_group(group),
            Ask::Create => self.create_group(content_type, body, now),
            Ask::Update { group } => self.update_group(group, (content_type, body), now),
            Ask::Plans(paging) => self.list_plans(paging),
        };
        match done {
            Ok(reply) => reply,
            Err(Refusal { status, message }) => self.refuse(status, &message, now),
        }
    }

    /// An error body with a trace id.
    fn refuse(&mut self, status: u16, message: &str, now: DateTime<Utc>) -> Reply {
        let trace = self.state.ids.next("");
        Reply::error(status, message, self.script.switches.error_body, (&trace, now))
    }

    /// Times end in `Z` in one answer and in `+00:00` in the next.
    pub(super) fn ending(&mut self) -> Ending {
        self.answers += 1;
        if self.answers.is_multiple_of(2) { Ending::Offset } else { Ending::Z }
    }

    /// Wraps in `data`; every third answer has a key that no document names.
    pub(super) fn data(&self, status: u16, mut data: Value) -> Reply {
        if self.answers.is_multiple_of(3)
            && let Some(object) = data.as_object_mut()
        {
            object.insert("sandbox_extra".to_owned(), json!({ "note": "clients ignore keys they do not know" }));
        }
        Reply::json(status, &json!({ "data": data }))
    }
}

/// An error answer to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Says nothing about whether somebody else's exists.
    pub(super) fn not_found() -> Self {
        Self::new(404, "Not found")
    }
}

fn misdeliver(reply: Reply, rule: &Rule) -> (Reply, Delivery) {
    match rule.fault {
        Fault::AcceptThenReset => (reply, Delivery::Reset),
        Fault::AcceptThen502 => (Reply::html_502(), Delivery::Whole),
        Fault::BrokenJson => (reply.into_broken(), Delivery::Whole),
        Fault::HalfAnswer => (reply, Delivery::Half),
        Fault::Slow => (reply, Delivery::Late(rule.slowness())),
        Fault::RateLimitedSeconds
        | Fault::RateLimitedDate
        | Fault::RateLimitedBare
        | Fault::RateLimitedReset
        | Fault::Error500
        | Fault::Error502
        | Fault::Error503
        | Fault::Status
        | Fault::Nested401
        | Fault::Html502
        | Fault::NotFound
        | Fault::Reset
        | Fault::WrongGroup
        | Fault::NoResults
        | Fault::NoCompletedAt
        | Fault::HideAtFirst
        | Fault::Forget
        | Fault::NeverComplete
        | Fault::UnknownOperation
        | Fault::UnknownReference
        | Fault::AddedAndFailed => (reply, Delivery::Whole),
    }
}

fn is_good_key(authorization: Option<&str>, keys: &Keys) -> bool {
    let Some(key) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
    match keys {
        Keys::Any => key.strip_prefix("vit_apk_").is_some_and(|rest| !rest.is_empty()),
        Keys::Only(keys) => keys.iter().any(|known| known.expose_secret() == key),
    }
}

/// A JSON object from a body.
pub(super) fn object<'a>(
    (content_type, body): (Option<&str>, &'a [u8]),
    max_body: usize,
) -> Result<Object<'a>, Refusal> {
    let mime = content_type.and_then(|value| value.split(';').next()).map(|mime| mime.trim().to_ascii_lowercase());
    if mime.as_deref() != Some("application/json") {
        return Err(Refusal::new(415, "Content-Type must be application/json"));
    }
    if max_body < body.len() {
        return Err(Refusal::new(413, "Body is too large"));
    }
    match serde_json::from_slice(body) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::new(400, "Body must be a JSON object")),
        Err(_) => Err(Refusal::new(400, "Body is not JSON")),
    }
}

/// A valid payload, by reference id.
pub(super) type Rows = BTreeMap<CompactString, super::rules::Row>;
