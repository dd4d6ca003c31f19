//! The API with somebody who writes down every roster on its way there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use rosterd::api::{Accepted, Answer, Group, MemberSync, Plan, Progress};
use rosterd::clock::Clock;
use rosterd::roster::Entry;
use rosterd::roster::ids::{GroupId, GroupRef, PlanId, RequestId, RunId};
use rosterd::sandbox::Sandbox;
use rosterd::sandbox::memory::InMemory;
use rosterd::store::Store;
use serde_json::Value;

use super::people::{PLANS, Record};

/// Somebody in a roster on its way.
#[derive(Clone, Debug)]
pub(crate) struct SentMember {
    pub(crate) record: Record,
    pub(crate) source: String,
    pub(crate) run: RunId,
    pub(crate) line: u64,
}

/// A roster on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: DateTime<Utc>,
    pub(crate) group: String,
    /// The run whose batch it is; none where the record does not say.
    pub(crate) run: Option<RunId>,
    pub(crate) members: BTreeMap<String, SentMember>,
    /// Whom the API covered when it left.
    pub(crate) before: BTreeMap<String, Record>,
    /// Who was then on another group's roster, under the same id.
    pub(crate) elsewhere: Vec<(String, String)>,
}

/// What was written down.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) sent: Vec<Sent>,
    /// Members of each group when its last results were told.
    pub(crate) confirmed: BTreeMap<String, usize>,
}

/// The store of the process that runs, if one does.
pub(crate) type Slot = Arc<Mutex<Option<Store>>>;

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) api: InMemory,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) store: Slot,
    pub(crate) journal: Arc<Mutex<Journal>>,
}

impl Watched {
    fn reference(&self, id: &GroupId) -> String {
        let groups = self.sandbox.groups();
        groups.into_iter().find(|group| group.id == id.as_str()).map(|group| group.reference).unwrap_or_default()
    }

    fn note(&self, id: &GroupId, members: &[Entry]) {
        let group = self.reference(id);
        let store = self.store.lock().unwrap().clone();
        let work = GroupRef::parse(&group).ok().and_then(|group| store?.work(&group).ok()?);
        let others: Vec<String> =
            self.sandbox.groups().into_iter().map(|other| other.reference).filter(|other| *other != group).collect();
        let before = roster(&self.sandbox, &group);
        let mut elsewhere = Vec::new();
        for other in others {
            let there = self.sandbox.roster(&other);
            let ids = members.iter().map(|entry| entry.member.reference_id.to_string());
            let both = ids.filter(|id| !before.contains_key(id) && there.contains_key(id));
            elsewhere.extend(both.map(|id| (id, other.clone())));
        }
        let members = members.iter().map(|entry| {
            let sent = SentMember {
                record: record(entry),
                source: entry.origin.source.to_string(),
                run: entry.origin.run.clone(),
                line: entry.origin.line,
            };
            (entry.member.reference_id.to_string(), sent)
        });
        let sent = Sent {
            at: self.clock.now(),
            before,
            elsewhere,
            run: work.map(|work| work.batch.run),
            members: members.collect(),
            group,
        };
        self.journal.lock().unwrap().sent.push(sent);
    }
}

fn plan(id: &str) -> usize {
    PLANS.iter().position(|(_, plan)| *plan == Some(id)).unwrap_or(PLANS.len())
}

fn record(entry: &Entry) -> Record {
    let (member, texts) = (&entry.member, entry.member.texts());
    Record {
        first: texts.first_name.to_owned(),
        last: texts.last_name.to_owned(),
        born: member.date_of_birth,
        email: texts.email.unwrap_or_default().to_owned(),
        phone: texts.phone.unwrap_or_default().to_owned(),
        street: texts.address_line_1.to_owned(),
        city: texts.city.to_owned(),
        state: texts.state.to_owned(),
        zip: texts.zipcode.to_owned(),
        plan: plan(PlanId::as_str(&member.plan_id)),
    }
}

/// Whom the API covers in a group, and with which record.
pub(crate) fn roster(sandbox: &Sandbox, group: &str) -> BTreeMap<String, Record> {
    sandbox.roster(group).into_iter().map(|(id, value)| (id, told(&value))).collect()
}

fn told(value: &Value) -> Record {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Record {
        first: text("/first_name"),
        last: text("/last_name"),
        born: text("/date_of_birth").parse().unwrap(),
        email: text("/email"),
        phone: text("/phone"),
        street: text("/address/address_line_1"),
        city: text("/address/city"),
        state: text("/address/state"),
        zip: text("/address/zipcode"),
        plan: plan(&text("/plan_id")),
    }
}

impl MemberSync for Watched {
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted> {
        self.note(group, &members);
        self.api.submit(group, members)
    }
    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress> {
        Box::pin(async move {
            let answer = self.api.results(group, request).await;
            if let Ok(Progress::Done(_)) = &answer {
                let reference = self.reference(group);
                let members = self.sandbox.roster(&reference).len();
                self.journal.lock().unwrap().confirmed.insert(reference, members);
            }
            answer
        })
    }
    fn groups(&self) -> Answer<'_, Vec<Group>> {
        self.api.groups()
    }
    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group> {
        self.api.group(group)
    }
    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group> {
        self.api.create_group(reference, name)
    }
    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group> {
        self.api.update_group(group, name, reference)
    }
    fn plans(&self) -> Answer<'_, Vec<Plan>> {
        self.api.plans()
    }
}
