//! What the API does with an accepted roster: removals, adds, updates of known members. Pure.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::audit::FailureLog;
use super::engine::Rows;
use super::rules::{Given, Row};
use super::script::{FailOn, Fault, MemberFault, PlanSeed};
use super::state::{PersonId, State};
use super::switches::{
    BadPlanOnKnown, MemberIdOnReturn, Omitted, Order, OtherGroup, PlanChange, Reasons, ReferenceScope, SamePerson,
    Switches,
};

/// What processing came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Reference ids and member ids.
    pub(super) added: Vec<(String, String)>,
    /// Reference ids and member ids.
    pub(super) removed: Vec<(String, String)>,
    /// Member ids that the results list although nobody was added.
    pub(super) falsely_added: Vec<String>,
    pub(super) failures: Vec<FailureLog>,
}

/// One roster under way.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) state: &'a mut State,
    pub(super) switches: &'a Switches,
    pub(super) reasons: &'a Reasons,
    pub(super) plans: &'a [PlanSeed],
    pub(super) scheduled: &'a mut Vec<MemberFault>,
    /// The group's id.
    pub(super) group: &'a str,
    /// What misshapes the results.
    pub(super) fault: Option<Fault>,
    pub(super) outcome: Outcome,
}

impl Work<'_> {
    /// Brings the group to the roster, person by person.
    pub(super) fn process(mut self, payload: Rows) -> Outcome {
        let current: BTreeSet<CompactString> = self
            .state
            .groups
            .get(self.group)
            .map(|group| group.active().map(|(id, _)| id.clone()).collect())
            .unwrap_or_default();
        let removes: Vec<CompactString> = current.iter().filter(|id| !payload.contains_key(*id)).cloned().collect();
        let submitted = payload.keys().next().map(ToString::to_string);
        let (known, adds): (Vec<Row>, Vec<Row>) =
            payload.into_values().partition(|row| current.contains(&row.reference_id));
        match self.switches.order {
            Order::RemovesFirst => {
                self.remove_all(removes);
                self.add_all(adds);
            }
            Order::AddsFirst => {
                self.add_all(adds);
                self.remove_all(removes);
            }
        }
        for row in known {
            self.update(row);
        }
        self.misshape(submitted);
        self.outcome
    }

    fn remove_all(&mut self, removes: Vec<CompactString>) {
        for reference_id in removes {
            if let Some(reason) = self.scheduled_failure(&reference_id, FailOn::Remove) {
                self.fail(&reference_id, "remove", &reason);
            } else if let Some(id) = self.state.unsubscribe(self.group, &reference_id) {
                self.outcome.removed.push((reference_id.into(), id));
            }
        }
    }

    fn add_all(&mut self, adds: Vec<Row>) {
        let mut feigns = self.fault == Some(Fault::AddedAndFailed);
        for row in adds {
            let reference_id = row.reference_id.clone();
            if std::mem::take(&mut feigns) {
                let id = self.state.ids.next("grpmbr_");
                self.outcome.falsely_added.push(id);
                self.fail(&reference_id, "add", "Listed twice");
                continue;
            }
            match self.add(row) {
                Ok(id) => self.outcome.added.push((reference_id.into(), id)),
                Err(reason) => self.fail(&reference_id, "add", &reason),
            }
        }
    }

    fn add(&mut self, row: Row) -> Result<String, String> {
        if let Some(reason) = self.scheduled_failure(&row.reference_id, FailOn::Add) {
            return Err(reason);
        }
        if !self.is_plan(&row.plan_id) {
            return Err(self.reasons.invalid_plan.clone());
        }
        let holder = self.state.other_holder(self.group, &row.reference_id);
        if self.switches.reference_scope == ReferenceScope::PerOrg && holder.is_some() {
            return Err(self.reasons.reference_in_use.clone());
        }
        let mut person = self.state.matching(self.group, &row);
        if let Some(matched) = person {
            person = self.admit(matched, &row.reference_id)?;
        }
        let keep_id = self.switches.member_id_on_return == MemberIdOnReturn::Same;
        Ok(self.state.subscribe(self.group, row, person, keep_id))
    }

    /// Whether a matched person may be added; the person to attach.
    fn admit(&mut self, person: PersonId, reference_id: &str) -> Result<Option<PersonId>, String> {
        if self.state.is_elsewhere(person) {
            return Err(self.reasons.blocked.clone());
        }
        for (group, reference) in self.state.active_subscriptions(person) {
            if group == self.group {
                match self.switches.same_person {
                    SamePerson::FailureAdd if reference != reference_id => {
                        return Err(self.reasons.same_person.clone());
                    }
                    SamePerson::FailureAdd | SamePerson::Allow => {}
                }
            } else {
                match self.switches.other_group {
                    OtherGroup::FailureAdd => return Err(self.reasons.other_group.clone()),
                    OtherGroup::Move => {
                        self.state.unsubscribe(&group, &reference);
                    }
                    OtherGroup::AllowBoth => {}
                }
            }
        }
        Ok(Some(person))
    }

    /// Takes the new data of a known member; the subscription stays as it is.
    fn update(&mut self, mut row: Row) {
        let member = self.state.groups.get(self.group).and_then(|group| group.members.get(&row.reference_id));
        let Some(stored) = member.map(|member| member.row.clone()) else { return };
        let reference_id = row.reference_id.clone();
        if row != stored
            && let Some(reason) = self.scheduled_failure(&reference_id, FailOn::Update)
        {
            self.fail(&reference_id, "update", &reason);
            return;
        }
        for (new, old) in
            [(&mut row.phone, &stored.phone), (&mut row.email, &stored.email), (&mut row.line_2, &stored.line_2)]
        {
            keep(new, old, self.switches.omitted);
        }
        let wanted = std::mem::replace(&mut row.plan_id, stored.plan_id.clone());
        if !self.is_plan(&wanted) {
            if self.switches.bad_plan_on_known == BadPlanOnKnown::FailureAdd {
                let reason = self.reasons.invalid_plan.clone();
                self.fail(&reference_id, "add", &reason);
            }
        } else if wanted != stored.plan_id {
            match self.switches.plan_change {
                PlanChange::Ignored => {}
                PlanChange::Applied => row.plan_id = wanted,
                PlanChange::FailureAdd => {
                    let reason = self.reasons.plan_change.clone();
                    self.fail(&reference_id, "add", &reason);
                }
            }
        }
        self.state.overwrite(self.group, row);
    }

    fn misshape(&mut self, submitted: Option<String>) {
        match self.fault {
            Some(Fault::UnknownOperation) => {
                self.fail(&submitted.unwrap_or_else(|| "E0".to_owned()), "reconcile", "Needs attention");
            }
            Some(Fault::UnknownReference) => {
                let nobody = self.state.ids.next("nobody-");
                self.fail(&nobody, "add", "Needs attention");
            }
            Some(_) | None => {}
        }
    }

    fn is_plan(&self, id: &str) -> bool {
        self.plans.iter().any(|plan| plan.id == id)
    }

    fn fail(&mut self, reference_id: &str, operation: &str, reason: &str) {
        self.outcome.failures.push(FailureLog {
            reference_id: reference_id.to_owned(),
            operation: operation.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Uses up one scheduled failure of the person.
    fn scheduled_failure(&mut self, reference_id: &str, operation: FailOn) -> Option<String> {
        let fits = |fault: &MemberFault| fault.reference_id == reference_id && fault.operation == operation;
        let at = self.scheduled.iter().position(fits)?;
        let fault = self.scheduled.get_mut(at)?;
        let reason = fault.reason.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.scheduled.remove(at);
            }
        }
        Some(reason)
    }
}

fn keep(new: &mut Given, old: &Given, omitted: Omitted) {
    match (&new, omitted) {
        (Given::Omitted, Omitted::Keep) => *new = old.clone(),
        (Given::Null, _) => *new = Given::Omitted,
        (Given::Omitted, Omitted::Clear) | (Given::Text(_), _) => {}
    }
}
