//! Member sync requests: submitted, queued, processed, polled. Pure; time is an argument.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::answer::{self, Reply};
use super::audit::{RequestLog, Violation};
use super::engine::{Engine, Refusal, Rows, object};
use super::json::Json;
use super::process::{Outcome, Work};
use super::rules;
use super::script::{Fault, Rule};
use super::switches::{InFlight, InvalidStatus, UnknownFields};

/// One accepted roster.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) log: RequestLog,
    /// Until it is processed.
    payload: Option<Rows>,
    /// When it is processed; never without it.
    due: Option<DateTime<Utc>>,
    fault: Option<Fault>,
    added_ids: Vec<String>,
    removed_ids: Vec<String>,
    /// Polls that do not know it yet.
    hidden_polls: u32,
    pub(super) is_forgotten: bool,
    /// The client has been told the results.
    is_collected: bool,
    /// The client cannot know of it, or may take it for lost.
    pub(super) is_excused: bool,
}

impl Request {
    fn is_completed(&self) -> bool {
        self.log.completed_at.is_some()
    }

    /// Nobody can ask for its results any more; what there is of them already is not kept.
    pub(super) fn forget(&mut self) {
        self.is_forgotten = true;
        (self.added_ids, self.removed_ids) = (Vec::new(), Vec::new());
    }
}

impl Engine {
    pub(super) fn submit(
        &mut self,
        group: &str,
        rule: Option<&Rule>,
        body: (Option<&str>, &[u8]),
        now: DateTime<Utc>,
    ) -> Result<Reply, Refusal> {
        let reference = self.state.groups.get(group).ok_or_else(Refusal::not_found)?.reference.clone();
        let rows = self.read_payload(&reference, body, now)?;
        self.check_overlap(group, &reference);
        self.make_way(group, now)?;
        self.check_moves(group, &reference, &rows);

        let accepted_at = now;
        let request_id = self.state.ids.next("grpmsr_");
        let log = RequestLog {
            group: reference,
            group_id: group.to_owned(),
            request_id: request_id.clone(),
            payload_ids: rows.keys().map(ToString::to_string).collect(),
            payload_hash: hash(&rows),
            accepted_at,
            completed_at: None,
            added: Vec::new(),
            removed: Vec::new(),
            failures: Vec::new(),
        };
        self.audit.accepted(&log);
        let fault = rule.map(|rule| rule.fault);
        let due = self.due(group, now).filter(|_| fault != Some(Fault::NeverComplete));
        let hides = rule.filter(|rule| rule.fault == Fault::HideAtFirst);
        let request = Request {
            log,
            payload: Some(rows),
            due,
            fault,
            added_ids: Vec::new(),
            removed_ids: Vec::new(),
            hidden_polls: hides.map_or(0, |rule| rule.polls),
            is_forgotten: fault == Some(Fault::Forget),
            is_collected: false,
            is_excused: fault.is_some_and(Fault::loses_request),
        };
        let at = self.requests.len();
        self.by_id.insert(request_id.clone(), at);
        self.requests.push(request);
        if due.is_some() {
            self.pending.push(at);
        }
        let group_id = self.group_in_answer(group, fault);
        let ending = self.ending();
        let accepted_at = answer::time(accepted_at, ending);
        Ok(self.data(202, json!({ "request_id": request_id, "group_id": group_id, "accepted_at": accepted_at })))
    }

    /// Reads and judges a payload, in the order of the contract: form, size, each row, duplicates.
    fn read_payload(
        &mut self,
        reference: &str,
        body: (Option<&str>, &[u8]),
        now: DateTime<Utc>,
    ) -> Result<Rows, Refusal> {
        let switches = &self.script.switches;
        let body = object(body, switches.max_body)?;
        self.audit.body(reference, rules::irregularities(&body));
        let only_key = body.iter().all(|(key, _)| key == "members");
        let members = body.get("members").and_then(Json::as_array);
        let members = members.ok_or_else(|| Refusal::new(400, "members must be an array"))?;
        if !only_key && switches.unknown_fields == UnknownFields::Reject {
            return Err(Refusal::new(400, "members must be the only key of the body"));
        }
        if switches.max_members < members.len() {
            return Err(Refusal::new(400, format!("members must hold at most {} entries", switches.max_members)));
        }
        let status = match switches.invalid_status {
            InvalidStatus::BadRequest => 400,
            InvalidStatus::Unprocessable => 422,
        };
        let mut valid = Vec::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            let row = rules::row(member, switches, now.date_naive()).map_err(|bad| {
                let dot = if bad.field.is_empty() { "" } else { "." };
                Refusal::new(status, format!("members[{at}]{dot}{} {}", bad.field, bad.why))
            })?;
            valid.push(row);
        }
        let mut rows = Rows::new();
        for (at, row) in valid.into_iter().enumerate() {
            if rows.insert(row.reference_id.clone(), row).is_some() {
                return Err(Refusal::new(400, format!("members[{at}].reference_id is there twice")));
            }
        }
        Ok(rows)
    }

    fn check_overlap(&mut self, group: &str, reference: &str) {
        let outstanding = self.requests.iter().rev().find(|request| {
            request.log.group_id == group && !request.is_collected && !request.is_excused && !request.is_forgotten
        });
        if let Some(request) = outstanding {
            let (group, outstanding) = (reference.to_owned(), request.log.request_id.clone());
            self.audit.note(Violation::Overlap { group, outstanding });
        }
    }

    /// Nobody is submitted to a group while another group of the organization has them.
    fn check_moves(&mut self, group: &str, reference: &str, rows: &Rows) {
        for row in rows.values() {
            if self.state.groups.get(group).is_some_and(|group| group.is_active(&row.reference_id)) {
                continue;
            }
            let holder = self.state.other_holder(group, &row.reference_id).map(str::to_owned).or_else(|| {
                let person = self.state.matching(group, row)?;
                self.state.active_subscriptions(person).into_iter().map(|(other, _)| other).find(|other| other != group)
            });
            if let Some(holder) = holder {
                let from = self.state.reference_of(&holder).to_owned();
                let (group, reference_id) = (reference.to_owned(), row.reference_id.to_string());
                self.audit.note(Violation::AddBeforeRemoval { group, reference_id, from });
            }
        }
    }

    /// What a request in flight means for a new one.
    fn make_way(&mut self, group: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let in_flight: Vec<usize> = self.in_flight(group).collect();
        if in_flight.is_empty() {
            return Ok(());
        }
        match self.script.switches.in_flight {
            InFlight::QueueFifo => Ok(()),
            InFlight::Conflict => Err(Refusal::new(409, "A sync of this group is in progress")),
            InFlight::LastWins => {
                self.pending.retain(|at| !in_flight.contains(at));
                for at in in_flight {
                    if let Some(request) = self.requests.get_mut(at) {
                        request.payload = None;
                        request.log.completed_at = Some(now);
                    }
                }
                Ok(())
            }
            InFlight::ParallelRace => {
                // The older ones land just after the new one.
                let late = self.due(group, now).map(|due| due + TimeDelta::milliseconds(1));
                for at in in_flight {
                    if let Some(request) = self.requests.get_mut(at) {
                        request.due = request.due.max(late);
                    }
                }
                Ok(())
            }
        }
    }

    fn in_flight(&self, group: &str) -> impl Iterator<Item = usize> {
        let is_of_group = move |at: &usize| self.requests.get(*at).is_some_and(|request| request.log.group_id == group);
        self.pending.iter().copied().filter(is_of_group)
    }

    /// When a roster that is accepted now is processed.
    fn due(&self, group: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let delay = TimeDelta::from_std(self.script.delay).ok()?;
        let start = match self.script.switches.in_flight {
            InFlight::QueueFifo => {
                let last = self.in_flight(group).filter_map(|at| self.requests.get(at)?.due).max();
                last.map_or(now, |last| last.max(now))
            }
            InFlight::Conflict | InFlight::LastWins | InFlight::ParallelRace => now,
        };
        start.checked_add_signed(delay)
    }

    /// Does what has come due.
    pub(super) fn advance(&mut self, now: DateTime<Utc>) {
        let due_of = |engine: &Self, at: usize| engine.requests.get(at).and_then(|request| request.due);
        let mut due: Vec<(DateTime<Utc>, usize)> = self
            .pending
            .iter()
            .filter_map(|&at| due_of(self, at).map(|due| (due, at)))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort_unstable();
        self.pending.retain(|at| !due.iter().any(|(_, done)| done == at));
        for (completed_at, at) in due {
            self.process(at, completed_at);
        }
    }

    fn process(&mut self, at: usize, completed_at: DateTime<Utc>) {
        let Some(request) = self.requests.get_mut(at) else { return };
        let Some(payload) = request.payload.take() else { return };
        let work = Work {
            state: &mut self.state,
            switches: &self.script.switches,
            reasons: &self.script.reasons,
            plans: &self.script.plans,
            scheduled: &mut self.failures,
            group: &request.log.group_id,
            fault: request.fault,
            outcome: Outcome::default(),
        };
        let outcome = work.process(payload);
        (request.log.added, request.added_ids) = outcome.added.into_iter().unzip();
        (request.log.removed, request.removed_ids) = outcome.removed.into_iter().unzip();
        request.added_ids.extend(outcome.falsely_added);
        request.log.failures = outcome.failures;
        request.log.completed_at = Some(completed_at);
    }

    pub(super) fn poll(
        &mut self,
        group: &str,
        request_id: &str,
        fault: Option<Fault>,
        now: DateTime<Utc>,
    ) -> Result<Reply, Refusal> {
        let forget_after = self.script.switches.forget_after.and_then(|after| TimeDelta::from_std(after).ok());
        let at = self.by_id.get(request_id).copied();
        let request = at.and_then(|at| self.requests.get_mut(at)).filter(|request| request.log.group_id == group);
        let request = request.ok_or_else(Refusal::not_found)?;
        let is_old = forget_after.is_some_and(|after| request.log.accepted_at + after <= now);
        if request.is_forgotten || is_old || 0 < request.hidden_polls {
            request.hidden_polls = request.hidden_polls.saturating_sub(1);
            request.is_excused = true;
            return Err(Refusal::not_found());
        }
        let mut completed_at = request.log.completed_at;
        let mut shows_results = request.is_completed();
        match fault {
            Some(Fault::NoResults) => {
                completed_at = completed_at.or(Some(now));
                shows_results = false;
            }
            Some(Fault::NoCompletedAt) => {
                completed_at = None;
                shows_results = true;
            }
            Some(_) | None => {}
        }
        match fault {
            None => request.is_collected |= request.is_completed(),
            // The client may give up on a request that looks like this.
            Some(Fault::NoResults | Fault::NoCompletedAt | Fault::WrongGroup) => request.is_excused = true,
            Some(_) => {}
        }
        let failures: Vec<Value> = request
            .log
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "reference_id": failure.reference_id,
                    "operation": failure.operation,
                    "reason": failure.reason,
                })
            })
            .collect();
        let results = shows_results.then(|| {
            json!({
                "added_group_member_ids": request.added_ids,
                "removed_group_member_ids": request.removed_ids,
                "failures": failures,
            })
        });
        let accepted_at = request.log.accepted_at;
        let group_id = self.group_in_answer(group, fault);
        let ending = self.ending();
        let data = json!({
            "request_id": request_id,
            "group_id": group_id,
            "accepted_at": answer::time(accepted_at, ending),
            "completed_at": completed_at.map(|at| answer::time(at, ending)),
            "results": results,
        });
        Ok(self.data(200, data))
    }

    /// The group's id, or another's where the answer is to name the wrong one.
    fn group_in_answer(&mut self, group: &str, fault: Option<Fault>) -> String {
        if fault == Some(Fault::WrongGroup) { self.state.ids.next("grp_") } else { group.to_owned() }
    }
}

fn hash(rows: &Rows) -> String {
    let mut hasher = blake3::Hasher::new();
    for row in rows.values() {
        row.hash(&mut hasher);
    }
    hasher.finalize().to_hex().to_string()
}
