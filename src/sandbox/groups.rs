//! The endpoints about groups and plans. Pure; time is an argument.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer::{self, Ending, Reply};
use super::engine::{Engine, Paging, Refusal, object};
use super::json::{Json, Object};
use super::state::Group;
use super::switches::{CreatedStatus, DuplicateGroup, LimitOver, PastEnd, UnknownFields};

const KEYS: &[&str] = &["name", "external_reference_id"];
const MAX_CHARS: usize = 255;
const MAX_LIMIT: usize = 100;

impl Engine {
    pub(super) fn list_groups(&mut self, paging: &Paging) -> Result<Reply, Refusal> {
        let ending = self.ending();
        let groups = self.state.order.iter();
        let groups = groups.filter_map(|id| Some(self.describe(id, self.state.groups.get(id)?, ending))).collect();
        self.page(groups, paging)
    }

    pub(super) fn list_plans(&mut self, paging: &Paging) -> Result<Reply, Refusal> {
        let plans = self.script.plans.iter().map(|plan| json!({ "id": plan.id, "name": plan.name })).collect();
        self.page(plans, paging)
    }

    pub(super) fn read_group(&mut self, id: &str) -> Result<Reply, Refusal> {
        self.answer_group(200, id)
    }

    pub(super) fn create_group(
        &mut self,
        content_type: Option<&str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Reply, Refusal> {
        let switches = &self.script.switches;
        let body = object((content_type, body), switches.max_body)?;
        self.refuse_unknown(&body)?;
        let name = text(&body, "name")?.ok_or_else(|| Refusal::new(400, "name is required"))?;
        let reference = text(&body, "external_reference_id")?
            .ok_or_else(|| Refusal::new(400, "external_reference_id is required"))?;
        if let Some(existing) = self.state.group_by_reference(reference) {
            let existing = existing.to_owned();
            return match self.duplicate_status() {
                None => self.answer_group(200, &existing),
                Some(status) => Err(duplicate(status)),
            };
        }
        let status = match switches.created_status {
            CreatedStatus::Created => 201,
            CreatedStatus::Ok => 200,
        };
        let id = self.state.add_group(reference, name, now);
        self.answer_group(status, &id)
    }

    pub(super) fn update_group(
        &mut self,
        id: &str,
        body: (Option<&str>, &[u8]),
        now: DateTime<Utc>,
    ) -> Result<Reply, Refusal> {
        if !self.state.groups.contains_key(id) {
            return Err(Refusal::not_found());
        }
        let body = object(body, self.script.switches.max_body)?;
        self.refuse_unknown(&body)?;
        let name = text(&body, "name")?;
        let reference = text(&body, "external_reference_id")?;
        if let Some(reference) = reference
            && self.state.group_by_reference(reference).is_some_and(|other| other != id)
        {
            return Err(duplicate(self.duplicate_status().unwrap_or(409)));
        }
        if let Some(group) = self.state.groups.get_mut(id) {
            if let Some(name) = name {
                name.clone_into(&mut group.name);
            }
            if let Some(reference) = reference {
                reference.clone_into(&mut group.reference);
            }
            group.updated_at = now;
        }
        self.answer_group(200, id)
    }

    fn answer_group(&mut self, status: u16, id: &str) -> Result<Reply, Refusal> {
        let ending = self.ending();
        let group = self.state.groups.get(id).ok_or_else(Refusal::not_found)?;
        Ok(self.data(status, self.describe(id, group, ending)))
    }

    fn describe(&self, id: &str, group: &Group, ending: Ending) -> Value {
        json!({
            "id": id,
            "organization_id": self.state.organization,
            "name": group.name,
            "external_reference_id": group.reference,
            "created_at": answer::time(group.created_at, ending),
            "updated_at": answer::time(group.updated_at, ending),
        })
    }

    fn page(&self, all: Vec<Value>, paging: &Paging) -> Result<Reply, Refusal> {
        let limit = match number(paging.limit.as_deref(), "limit", 20)? {
            limit if limit <= MAX_LIMIT => limit,
            _ => match self.script.switches.limit_over {
                LimitOver::Reject => return Err(Refusal::new(400, "limit must be at most 100")),
                LimitOver::Clamp => MAX_LIMIT,
            },
        };
        let page = number(paging.page.as_deref(), "page", 1)?;
        let total = all.len();
        let total_pages = total.div_ceil(limit);
        if total_pages.max(1) < page && self.script.switches.past_end == PastEnd::NotFound {
            return Err(Refusal::not_found());
        }
        let data: Vec<Value> = all.into_iter().skip((page - 1).saturating_mul(limit)).take(limit).collect();
        let pagination = json!({ "page": page, "limit": limit, "total": total, "total_pages": total_pages });
        Ok(Reply::json(200, &json!({ "data": data, "pagination": pagination })))
    }

    fn refuse_unknown(&self, body: &Object<'_>) -> Result<(), Refusal> {
        let is_known = body.iter().all(|(key, _)| KEYS.contains(&key));
        match self.script.switches.unknown_fields {
            UnknownFields::Reject if !is_known => {
                Err(Refusal::new(400, "name and external_reference_id are the only keys of the body"))
            }
            UnknownFields::Reject | UnknownFields::Ignore => Ok(()),
        }
    }

    /// None where the existing group is the answer.
    fn duplicate_status(&self) -> Option<u16> {
        match self.script.switches.duplicate_group {
            DuplicateGroup::Conflict => Some(409),
            DuplicateGroup::BadRequest => Some(400),
            DuplicateGroup::Unprocessable => Some(422),
            DuplicateGroup::Existing => None,
        }
    }
}

fn duplicate(status: u16) -> Refusal {
    Refusal::new(status, "external_reference_id is in use")
}

fn text<'a>(body: &'a Object<'_>, key: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(key) {
        None => Ok(None),
        Some(Json::Text(text)) if !text.trim().is_empty() && text.chars().count() <= MAX_CHARS => Ok(Some(text)),
        Some(_) => Err(Refusal::new(400, format!("{key} must be a string of 1 to {MAX_CHARS} characters"))),
    }
}

fn number(given: Option<&str>, key: &str, default: usize) -> Result<usize, Refusal> {
    match given.map(str::parse) {
        None => Ok(default),
        Some(Ok(number)) if 1 <= number => Ok(number),
        Some(_) => Err(Refusal::new(400, format!("{key} must be a number from 1"))),
    }
}
