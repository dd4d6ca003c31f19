//! The sandbox as a [`MemberSync`] without a network: the same JSON goes through the same engine, and faults become the
//! errors that a client over HTTP would see.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::Sandbox;
use super::answer::{Delivery, Reply};
use super::engine::{Ask, Head, Paging};
use crate::api::{Accepted, Answer, ApiError, Group, MemberFailure, MemberSync, Operation, Plan, Progress, Results};
use crate::clock::until;
use crate::roster::Entry;
use crate::roster::ids::{GroupId, GroupRef, PlanId, RequestId};

/// How long the client in memory waits for an answer, as the default config does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest wait that a client lets a server ask for.
const LONGEST_HINT: Duration = Duration::from_secs(3600);

/// A client of a [`Sandbox`] in the same process.
#[derive(Clone)]
pub struct InMemory {
    sandbox: Sandbox,
    key: SecretString,
}

/// Whether a call that got no clear answer may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Read,
    Write,
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemory").field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A client in this process, with a key that the sandbox takes unless it was told otherwise.
    pub fn in_memory(&self) -> InMemory {
        InMemory::new(self.clone(), SecretString::from("vit_apk_in_memory"))
    }
}

impl InMemory {
    /// A client with that key.
    pub fn new(sandbox: Sandbox, key: SecretString) -> Self {
        Self { sandbox, key }
    }

    async fn call(&self, ask: Ask, intent: Intent, body: Option<Value>) -> Result<Value, ApiError> {
        let head = Head {
            ask,
            authorization: Some(format!("Bearer {}", self.key.expose_secret())),
            content_type: body.is_some().then(|| "application/json".to_owned()),
        };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        tokio::time::sleep(self.sandbox.latency).await;
        let (reply, delivery) = match self.sandbox.begin(&head) {
            Err(reply) => (reply, Delivery::Whole),
            Ok(begun) => self.sandbox.finish(&head, &begun, body.as_bytes()),
        };
        match delivery {
            Delivery::Reset => Err(silence(intent, "connection reset")),
            Delivery::Half if reply.is_success() => {
                Err(useless(intent, reply.status, "the connection ended in the middle of the answer"))
            }
            // What half a failure says beyond its status changes nothing.
            Delivery::Whole | Delivery::Half => self.verdict(&reply, intent),
            Delivery::Late(wait) if wait < PATIENCE => {
                tokio::time::sleep(wait).await;
                self.verdict(&reply, intent)
            }
            Delivery::Late(_) => {
                tokio::time::sleep(PATIENCE).await;
                Err(silence(intent, "no answer in time"))
            }
        }
    }

    /// What an answer means to the caller; the document, where it is good.
    fn verdict(&self, reply: &Reply, intent: Intent) -> Result<Value, ApiError> {
        let status = reply.status;
        if reply.is_success() {
            return serde_json::from_str(&reply.body).map_err(|_| useless(intent, status, "the answer is not JSON"));
        }
        let error: Value = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        let message = error.get("message").or_else(|| error.pointer("/error/message")).and_then(Value::as_str);
        Err(match (status, intent) {
            // A 503, too, may come from a gateway that passed the request on before it lost patience.
            (500..=599, Intent::Write) => ApiError::AnswerLost {
                status: Some(status),
                detail: "server error".to_owned(),
                after: patience(reply, self.sandbox.now()),
            },
            (408 | 429 | 500..=599, _) => ApiError::Later { status, after: patience(reply, self.sandbox.now()) },
            (400 | 413 | 415 | 422, _) => ApiError::Refused {
                status,
                message: message.unwrap_or_default().to_owned(),
                trace_id: error.get("trace_id").and_then(Value::as_str).map(str::to_owned),
            },
            (401 | 403, _) => ApiError::Unauthorized { status },
            (404, _) => ApiError::NotFound,
            (409, _) => ApiError::Conflict,
            (_, _) => ApiError::Unexpected { status },
        })
    }

    async fn one_group(&self, ask: Ask, intent: Intent, body: Option<Value>) -> Result<Group, ApiError> {
        let document = self.call(ask, intent, body).await?;
        document.get("data").and_then(group).ok_or_else(|| useless(intent, 200, "the answer is not a group"))
    }

    /// Every page of a list.
    async fn pages<T>(
        &self,
        list: impl Fn(Paging) -> Ask,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        for page in 1_u64.. {
            let paging = Paging { page: Some(page.to_string()), limit: Some("100".to_owned()) };
            let document = self.call(list(paging), Intent::Read, None).await?;
            let items = document.get("data").and_then(Value::as_array);
            let items = items.ok_or_else(|| useless(Intent::Read, 200, "the answer is not a list"))?;
            all.extend(items.iter().filter_map(&read));
            let last = document.pointer("/pagination/total_pages").and_then(Value::as_u64).unwrap_or(1);
            if last <= page {
                break;
            }
        }
        Ok(all)
    }
}

impl MemberSync for InMemory {
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted> {
        Box::pin(async move {
            let ask = Ask::Submit { group: group.to_string() };
            let body = json!({ "members": members.iter().map(payload).collect::<Vec<_>>() });
            let document = self.call(ask, Intent::Write, Some(body)).await?;
            accepted(&document, group).ok_or_else(|| useless(Intent::Write, 202, "the answer is not an acceptance"))
        })
    }

    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress> {
        Box::pin(async move {
            let ask = Ask::Poll { group: group.to_string(), request: request.to_string() };
            let document = self.call(ask, Intent::Read, None).await?;
            progress(&document, group, request)
                .ok_or_else(|| useless(Intent::Read, 200, "the answer is not a progress"))
        })
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(self.pages(Ask::List, group))
    }

    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group> {
        Box::pin(self.one_group(Ask::Read { group: group.to_string() }, Intent::Read, None))
    }

    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group> {
        let body = json!({ "name": name, "external_reference_id": reference.as_str() });
        Box::pin(self.one_group(Ask::Create, Intent::Write, Some(body)))
    }

    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group> {
        let mut body = Map::new();
        put(&mut body, "name", name);
        put(&mut body, "external_reference_id", reference.map(GroupRef::as_str));
        let ask = Ask::Update { group: group.to_string() };
        Box::pin(self.one_group(ask, Intent::Write, Some(Value::Object(body))))
    }

    fn plans(&self) -> Answer<'_, Vec<Plan>> {
        Box::pin(self.pages(Ask::Plans, |item| {
            let id = PlanId::parse(item.get("id")?.as_str()?).ok()?;
            Some(Plan { id, name: item.get("name")?.as_str()?.to_owned() })
        }))
    }
}

/// No answer came: for a question that is as good as not having asked.
fn silence(intent: Intent, detail: &str) -> ApiError {
    let detail = detail.to_owned();
    match intent {
        Intent::Read => ApiError::NotSent { detail },
        Intent::Write => ApiError::AnswerLost { status: None, detail, after: None },
    }
}

/// A good status with a body that says nothing.
fn useless(intent: Intent, status: u16, detail: &str) -> ApiError {
    match intent {
        Intent::Read => ApiError::Later { status, after: None },
        Intent::Write => ApiError::AnswerLost { status: Some(status), detail: detail.to_owned(), after: None },
    }
}

/// What the answer asks to wait, as far as clients go along with it.
fn patience(reply: &Reply, now: DateTime<Utc>) -> Option<Duration> {
    hint(reply, now).map(|wait| wait.min(LONGEST_HINT))
}

fn hint(reply: &Reply, now: DateTime<Utc>) -> Option<Duration> {
    if let Some(wait) = reply.header("retry-after") {
        let seconds = wait.parse().ok().map(Duration::from_secs);
        // An HTTP date is an RFC 2822 date.
        return seconds.or_else(|| DateTime::parse_from_rfc2822(wait).ok().map(|then| until(then.to_utc(), now)));
    }
    let reset = reply.header("x-ratelimit-reset")?.parse().ok()?;
    DateTime::from_timestamp(reset, 0).map(|then| until(then, now))
}

/// One row of a payload: optional fields that are empty are left out.
fn payload(entry: &Entry) -> Value {
    let (member, texts) = (&entry.member, entry.member.texts());
    let mut place = Map::new();
    put(&mut place, "address_line_1", Some(texts.address_line_1));
    put(&mut place, "address_line_2", texts.address_line_2);
    put(&mut place, "city", Some(texts.city));
    put(&mut place, "state", Some(texts.state));
    put(&mut place, "zipcode", Some(texts.zipcode));
    let mut row = Map::new();
    put(&mut row, "reference_id", Some(member.reference_id.as_str()));
    put(&mut row, "first_name", Some(texts.first_name));
    put(&mut row, "last_name", Some(texts.last_name));
    put(&mut row, "date_of_birth", Some(&member.date_of_birth.format("%Y-%m-%d").to_string()));
    put(&mut row, "phone", texts.phone);
    put(&mut row, "email", texts.email);
    put(&mut row, "plan_id", Some(member.plan_id.as_str()));
    row.insert("address".to_owned(), Value::Object(place));
    Value::Object(row)
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), Value::from(value));
    }
}

fn group(item: &Value) -> Option<Group> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    Some(Group {
        id: GroupId::parse(text("id")?).ok()?,
        name: text("name")?.to_owned(),
        external_reference_id: text("external_reference_id").and_then(|reference| GroupRef::parse(reference).ok()),
        organization_id: text("organization_id").map(str::to_owned),
    })
}

fn time(data: &Value, key: &str) -> Option<DateTime<Utc>> {
    data.get(key).and_then(Value::as_str).and_then(|text| text.parse().ok())
}

fn accepted(document: &Value, group: &GroupId) -> Option<Accepted> {
    let data = document.get("data")?;
    if data.get("group_id")?.as_str()? != group.as_str() {
        return None;
    }
    let request_id = RequestId::parse(data.get("request_id")?.as_str()?).ok()?;
    Some(Accepted { request_id, accepted_at: time(data, "accepted_at")? })
}

fn progress(document: &Value, group: &GroupId, request: &RequestId) -> Option<Progress> {
    let data = document.get("data")?;
    let text = |key: &str| data.get(key).and_then(Value::as_str);
    if text("group_id")? != group.as_str() || text("request_id")? != request.as_str() {
        return Some(Progress::Under(Some("the answer names another group or request")));
    }
    let completed_at = time(data, "completed_at");
    let results = data.get("results").filter(|results| !results.is_null());
    match (completed_at, results) {
        (None, None) => Some(Progress::Under(None)),
        (Some(_), None) => Some(Progress::Under(Some("completed without results"))),
        (None, Some(_)) => Some(Progress::Under(Some("results without a completion time"))),
        (Some(completed_at), Some(results)) => {
            let count = |key: &str| results.get(key).and_then(Value::as_array).map(Vec::len);
            let failures = results.get("failures")?.as_array()?.iter().map(failure).collect::<Option<_>>()?;
            Some(Progress::Done(Results {
                completed_at,
                added: count("added_group_member_ids")?,
                removed: count("removed_group_member_ids")?,
                failures,
            }))
        }
    }
}

fn failure(item: &Value) -> Option<MemberFailure> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let operation = match text("operation")?.as_str() {
        "add" => Operation::Add,
        "remove" => Operation::Remove,
        other => Operation::Other(other.to_owned()),
    };
    Some(MemberFailure { reference_id: text("reference_id")?, operation, reason: text("reason")? })
}

#[cfg(test)]
mod tests;
