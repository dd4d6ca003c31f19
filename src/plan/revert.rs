//! A revert as a plan: one group, and instead of an export the roster that it had before a batch. Everybody who is to leave is
//! named, so that nobody waits for a second absence; everything else, the guards above all, is that of every plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{GuardReport, GuardVerdict, KeptMember, Reason};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, SourceName};
use crate::roster::{Entry, Person, Reading, Standing, Uncovered};

use super::{Approval, Baseline, Class, Decision, Doubt, Plan, mutants};

/// The guard's name: nobody who joined by a later batch than the one that is undone loses coverage without approval.
pub const JOINED_SINCE: &str = "joined_since";

/// What is to be undone, and what must be known for it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The batch.
    pub batch: &'a BatchId,
    /// The source in whose name it was made.
    pub source: &'a SourceName,
    /// Its group.
    pub group: &'a GroupRef,
    /// The group's roster before it, sorted by reference id.
    pub roster: &'a [Entry],
    /// Whom the batch changed.
    pub touched: &'a BTreeSet<ReferenceId>,
    /// Which other groups cover, or may cover, whom of the old roster.
    pub elsewhere: &'a BTreeMap<ReferenceId, GroupRef>,
    /// Which other groups once covered whom of those who would leave.
    pub came_from: &'a BTreeMap<ReferenceId, GroupRef>,
}

/// The old roster, said as an export would say it.
#[derive(Debug)]
pub struct Asked {
    /// What the plan is made from.
    pub reading: Reading,
    /// Who stays as they are, since one group's roster cannot decide about them.
    pub kept: Vec<KeptMember>,
    /// Who joined by later batches and would leave.
    joined_since: BTreeSet<ReferenceId>,
}

/// Says the old roster as an export would say it.
pub fn ask(wanted: &Wanted<'_>, baseline: &Baseline, name: &str) -> Asked {
    let mut asked = Asked { reading: Reading::default(), kept: Vec::new(), joined_since: BTreeSet::new() };
    let covered = baseline.covered();
    let person = |entry: &Entry, standing| {
        Person::new(&entry.member.reference_id, entry.origin.line, Some(wanted.group.clone()), standing)
    };
    for entry in wanted.roster {
        let id = &entry.member.reference_id;
        match wanted.elsewhere.get(id) {
            Some(group) if crate::roster::find(covered, id).is_none() => asked.kept.push(KeptMember {
                reference_id: id.clone(),
                reason: format!("{} here: covered in {group} now", crate::report::NOT_ADDED),
            }),
            Some(_) | None => {
                asked.reading.people.push(person(entry, Standing::Covered(entry.member.clone())));
            }
        }
    }
    for entry in covered {
        let id = &entry.member.reference_id;
        if entry.origin.source != *wanted.source || crate::roster::find(wanted.roster, id).is_some() {
            continue;
        }
        if let Some(group) = wanted.came_from.get(id) {
            // Out of here and not back there would be out of everywhere.
            asked.reading.people.push(person(entry, Standing::Covered(entry.member.clone())));
            let reason = format!("still covered: was in {group} before, where this revert cannot put the person back");
            asked.kept.push(KeptMember { reference_id: id.clone(), reason });
            continue;
        }
        if !wanted.touched.contains(id) {
            asked.joined_since.insert(id.clone());
        }
        asked.reading.people.push(person(entry, Standing::Uncovered(Uncovered::Terminated)));
    }
    asked.reading.people.sort_by(|a, b| a.reference_id().cmp(b.reference_id()));
    asked.reading.rows = asked.reading.people.len() as u64;
    asked.reading.groups.insert(wanted.group.clone(), name.to_owned());
    asked
}

/// Holds whom no approval lets go although they joined by a later batch.
pub fn guard(plan: &mut Plan<'_>, wanted: &Wanted<'_>, asked: &Asked, approval: Option<&Approval>) {
    let value = asked.joined_since.len() as u64;
    if value == 0 || mutants::is_off(JOINED_SINCE) {
        return;
    }
    let is_approved = approval.is_some_and(|approval| approval.covers(JOINED_SINCE, Some(wanted.group), value));
    let people = if value == 1 { "1 person who".to_owned() } else { format!("{value} people who") };
    plan.guards.push(GuardReport {
        guard: JOINED_SINCE.to_owned(),
        group: Some(wanted.group.clone()),
        value,
        limit: 0,
        verdict: if is_approved { GuardVerdict::Approved } else { GuardVerdict::Hold },
        sum: format!("{people} joined {} after batch {} would lose coverage", wanted.group, wanted.batch),
    });
    if is_approved {
        return;
    }
    let is_held = |decision: &&mut Decision<'_>| {
        matches!(decision.class, Class::Terminated(_)) && asked.joined_since.contains(decision.reference_id)
    };
    let decisions = plan.groups.iter_mut().flat_map(|group| &mut group.decisions);
    decisions.filter(is_held).for_each(|decision| decision.hold(Doubt::Guard(&JOINED_SINCE)));
}

/// Why the plan lets people go, or would.
pub fn reasons<'p>(plan: &'p Plan<'_>, wanted: &'p Wanted<'_>) -> impl Iterator<Item = Reason> + 'p {
    let decisions = plan.groups.iter().flat_map(|group| &group.decisions);
    let would_leave = |decision: &&Decision<'_>| {
        decision.before.is_some_and(|entry| entry.origin.source == *wanted.source)
            && crate::roster::find(wanted.roster, decision.reference_id).is_none()
            && !matches!(decision.class, Class::Unchanged)
    };
    decisions.filter(would_leave).map(|decision| Reason {
        reference_id: decision.reference_id.clone(),
        rule: "revert".to_owned(),
        run: None,
        line: None,
        why: format!("not on the roster as it was before batch {}, which is undone", wanted.batch),
    })
}

/// The records of the old roster keep their origin: the line that brought them is still the line that says what they say.
pub fn with_origins(payload: Vec<Entry>, old: &[Entry], fresh: &crate::roster::ids::RunId) -> Vec<Entry> {
    let origin = |mut entry: Entry| {
        if entry.origin.run == *fresh
            && let Some(known) = crate::roster::find(old, &entry.member.reference_id)
        {
            entry.origin = known.origin.clone();
        }
        entry
    };
    payload.into_iter().map(origin).collect()
}
