//! The benefits API in miniature: strict, in memory or over loopback HTTP, with misbehaviour by script.
//!
//! One engine answers both faces. It is an independent statement of what is known of the API: it shares no code with
//! [`crate::api`], so that the two can be held against each other. What the API's documents leave open is a
//! [switch](switches), what can go wrong has a [name](script::Fault), and what clients did is on
//! [record](Sandbox::requests), with the [rules](Sandbox::audit) that they broke.
//!
//! Ids follow from the seed, processing from the clock: the same calls at the same times give the same answers. Nothing
//! runs in the background; what has come due is done when the next call arrives, or when the state is looked at.
//!
//! A script, complete:
//! ```toml
#![doc = include_str!("sandbox/example.toml")]
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, SubsecRound, Utc};
use secrecy::SecretString;
use serde_json::Value;

use crate::clock::Clock;

mod answer;
pub mod audit;
mod engine;
mod groups;
pub mod http;
mod json;
pub mod memory;
mod process;
mod requests;
mod rules;
pub mod script;
mod state;
pub mod switches;

use answer::{Delivery, Reply};
use audit::{CallLog, RequestLog, Violation};
use engine::{Begun, Engine, Head};
use script::{FailOn, Keys, MemberFault, Rule, Script};

/// The script of the module's page.
pub const EXAMPLE: &str = include_str!("sandbox/example.toml");

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seeds, switches and misbehaviour.
    pub script: Script,
    /// Where it gets the time from.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self { script: Script::default(), clock: Clock::system() }
    }
}

impl From<Script> for Settings {
    fn from(script: Script) -> Self {
        Self { script, clock: Clock::system() }
    }
}

/// A handle to one sandbox; clones share it.
#[derive(Clone)]
pub struct Sandbox {
    engine: Arc<Mutex<Engine>>,
    clock: Clock,
    latency: std::time::Duration,
}

/// A group, for tests to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// `grp_…`
    pub id: String,
    /// Its `external_reference_id`.
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Active members.
    pub members: usize,
}

/// Shows counts: the records are personal.
impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine();
        f.debug_struct("Sandbox")
            .field("groups", &engine.state.groups.len())
            .field("requests", &engine.requests.len())
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with the script's seeds.
    pub fn new(settings: impl Into<Settings>) -> Self {
        let Settings { script, clock } = settings.into();
        let latency = script.latency;
        let engine = Engine::new(script, clock.now());
        Self { engine: Arc::new(Mutex::new(engine)), clock, latency }
    }

    // === what tests look at ===

    /// Everybody who is active in the group, by reference id: the stored record with the plan of the subscription.
    /// Empty for a group that is not there. Personal data.
    pub fn roster(&self, reference: &str) -> BTreeMap<String, Value> {
        let engine = self.up_to_date();
        let group = engine.state.group_by_reference(reference).and_then(|id| engine.state.groups.get(id));
        let members = group.into_iter().flat_map(state::Group::active);
        members.map(|(id, member)| (id.to_string(), member.row.record())).collect()
    }

    /// The groups in the order of their creation.
    pub fn groups(&self) -> Vec<GroupView> {
        let engine = self.up_to_date();
        let groups = engine.state.order.iter().filter_map(|id| {
            let group = engine.state.groups.get(id)?;
            Some(GroupView {
                id: id.clone(),
                reference: group.reference.clone(),
                name: group.name.clone(),
                members: group.active().count(),
            })
        });
        groups.collect()
    }

    /// Every accepted roster, in the order of acceptance.
    pub fn requests(&self) -> Vec<RequestLog> {
        self.up_to_date().requests.iter().map(|request| request.log.clone()).collect()
    }

    /// Every call, in the order of arrival.
    pub fn calls(&self) -> Vec<CallLog> {
        self.engine().calls.clone()
    }

    /// The rules that clients broke, each once, in the order in which they were seen.
    pub fn audit(&self) -> Vec<Violation> {
        self.engine().audit.violations.clone()
    }

    // === what tests and scripts arrange ===

    /// Makes a group, or finds the one with that reference. Returns its id.
    pub fn add_group(&self, reference: &str, name: &str) -> String {
        let now = self.now();
        let mut engine = self.engine();
        match engine.state.group_by_reference(reference).map(str::to_owned) {
            Some(id) => id,
            None => engine.state.add_group(reference, name, now),
        }
    }

    /// Puts somebody on a group's roster without a request. The record has the form of a submitted row.
    ///
    /// # Errors
    /// What is wrong with the record, or that the group is not there.
    pub fn seed_member(&self, reference: &str, record: &Value) -> Result<(), String> {
        let now = self.now();
        let mut engine = self.up_to_date();
        let group = engine.state.group_by_reference(reference).map(str::to_owned);
        let group = group.ok_or_else(|| format!("there is no group {reference}"))?;
        // As if it had been submitted.
        let record = record.to_string();
        let record = serde_json::from_str(&record).map_err(|error| error.to_string())?;
        let row = rules::row(&record, &engine.script.switches, now.date_naive())
            .map_err(|bad| format!("{} {}", bad.field, bad.why))?;
        let person = engine.state.matching(&group, &row);
        engine.state.subscribe(&group, row, person, false);
        Ok(())
    }

    /// Ends somebody's subscription behind everybody's back. False when there is none.
    pub fn drop_member(&self, reference: &str, reference_id: &str) -> bool {
        let mut engine = self.up_to_date();
        let Some(group) = engine.state.group_by_reference(reference).map(str::to_owned) else { return false };
        let is_active = engine.state.groups.get(&group).is_some_and(|group| group.is_active(reference_id));
        is_active && engine.state.unsubscribe(&group, reference_id).is_some()
    }

    /// Gives a person an active subscription under another organization: adding them fails.
    pub fn block_person(&self, email: &str, date_of_birth: NaiveDate) {
        self.engine().state.set_elsewhere((email.to_lowercase(), date_of_birth), true);
    }

    /// Ends the subscription under the other organization.
    pub fn unblock_person(&self, email: &str, date_of_birth: NaiveDate) {
        self.engine().state.set_elsewhere((email.to_lowercase(), date_of_birth), false);
    }

    /// One person's next add, removal or update fails.
    pub fn fail_next(&self, reference_id: &str, operation: FailOn, reason: &str) {
        let (reference_id, reason) = (reference_id.to_owned(), reason.to_owned());
        self.engine().failures.push(MemberFault { reference_id, operation, reason, times: Some(1) });
    }

    /// Schedules misbehaviour, counted from now.
    ///
    /// # Errors
    /// What is contradictory about the rule.
    pub fn misbehave(&self, rule: Rule) -> Result<(), &'static str> {
        rule.check()?;
        self.engine().add_rule(rule);
        Ok(())
    }

    /// Behaves from now on: drops every scheduled fault, of calls and of persons.
    pub fn behave(&self) {
        let mut engine = self.engine();
        engine.clear_rules();
        engine.failures.clear();
    }

    /// Forgets every request so far: polls answer 404. What is under way is still done.
    pub fn forget_requests(&self) {
        self.engine().requests.iter_mut().for_each(requests::Request::forget);
    }

    /// Takes only these keys from now on.
    pub fn accept_only(&self, keys: Vec<SecretString>) {
        self.engine().script.keys = Keys::Only(keys);
    }

    /// Links another plan to the organization.
    pub fn add_plan(&self, id: &str, name: &str) {
        self.engine().script.plans.push(script::PlanSeed { id: id.to_owned(), name: name.to_owned() });
    }

    /// Ends the link to a plan: who is on it stays, further adds fail.
    pub fn retire_plan(&self, id: &str) {
        self.engine().script.plans.retain(|plan| plan.id != id);
    }

    /// Changes a switch under way.
    pub fn switch(&self, change: impl FnOnce(&mut switches::Switches)) {
        change(&mut self.engine().script.switches);
    }

    /// Tells the audit that the client was killed: it may not know of what is under way, and may submit afresh.
    pub fn client_died(&self) {
        for request in &mut self.engine().requests {
            request.is_excused = true;
        }
    }

    // === what the two faces call ===

    fn begin(&self, head: &Head) -> Result<Begun, Reply> {
        self.engine().begin(head, self.clock.now())
    }

    fn finish(&self, head: &Head, begun: &Begun, body: &[u8]) -> (Reply, Delivery) {
        self.engine().finish(head, begun, body, self.clock.now())
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(3)
    }

    fn up_to_date(&self) -> MutexGuard<'_, Engine> {
        let mut engine = self.engine();
        engine.advance(self.now());
        engine
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        // A test that panicked while it held the lock has failed already; the others may go on.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
