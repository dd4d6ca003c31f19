//! The plain difference: what is decided about each person, before any guard has looked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;

use crate::roster::ids::{GroupRef, ReferenceId};
use crate::roster::member::Member;
use crate::roster::{Absence, Entry, Person, Standing, Uncovered};

use super::{Baseline, Class, Decision, Doubt, GroupPlan, Input, Record, mutants};

/// Decides about every person of every group that the export names or the source has members in.
pub(super) fn groups<'a>(input: &Input<'a>) -> Vec<GroupPlan<'a>> {
    let mut wanted: BTreeMap<&GroupRef, Vec<&Person>> = BTreeMap::new();
    for person in &input.reading.people {
        if let Some(group) = &person.group {
            wanted.entry(group).or_default().push(person);
        }
    }
    let whereabouts = Whereabouts::new(input);
    let names: BTreeSet<&GroupRef> = wanted.keys().copied().chain(input.baselines.keys()).collect();
    names
        .into_iter()
        .filter_map(|group| {
            let people = wanted.remove(group).unwrap_or_default();
            let baseline = input.baselines.get(group);
            let is_touched = !people.is_empty() || baseline.is_some_and(|baseline| has_members_of(baseline, input));
            is_touched.then(|| GroupPlan {
                group,
                name: input.reading.groups.get(group).map(String::as_str),
                decisions: decisions(input, &whereabouts, group, &people),
                is_held: false,
                baseline,
            })
        })
        .collect()
}

fn has_members_of(baseline: &Baseline, input: &Input<'_>) -> bool {
    baseline.covered().iter().any(|entry| entry.origin.source == *input.source)
}

/// In which group each person is, or may be, covered. Made only when somebody is new to a group.
struct Whereabouts<'a> {
    group_of: HashMap<&'a ReferenceId, &'a GroupRef>,
}

impl<'a> Whereabouts<'a> {
    fn new(input: &Input<'a>) -> Self {
        let covered = |(group, baseline): (&'a GroupRef, &'a Baseline)| {
            baseline.covered().iter().map(move |entry| (&entry.member.reference_id, group))
        };
        Self { group_of: input.baselines.iter().flat_map(covered).collect() }
    }

    fn other_than(&self, group: &GroupRef, reference_id: &ReferenceId) -> Option<&'a GroupRef> {
        self.group_of.get(reference_id).copied().filter(|known| *known != group)
    }
}

/// Walks the covered and the wanted people of one group side by side; both are sorted by reference id.
fn decisions<'a>(
    input: &Input<'a>,
    whereabouts: &Whereabouts<'a>,
    group: &'a GroupRef,
    wanted: &[&'a Person],
) -> Vec<Decision<'a>> {
    let baseline = input.baselines.get(group);
    let covered = baseline.map_or(&[][..], Baseline::covered);
    let mut decisions = Vec::with_capacity(covered.len().max(wanted.len()));
    let mut covered = covered.iter().peekable();
    for person in wanted {
        while let Some(entry) = next_before(&mut covered, &person.reference_id) {
            decisions.push(unnamed(input, group, entry));
        }
        match covered.next_if(|entry| entry.member.reference_id == person.reference_id) {
            Some(entry) => decisions.push(known(input, entry, person)),
            None => decisions.extend(newcomer(whereabouts, group, baseline, person)),
        }
    }
    decisions.extend(covered.map(|entry| unnamed(input, group, entry)));
    decisions
}

fn next_before<'a>(
    covered: &mut Peekable<std::slice::Iter<'a, Entry>>,
    reference_id: &ReferenceId,
) -> Option<&'a Entry> {
    covered.next_if(|entry| entry.member.reference_id < *reference_id)
}

/// A covered person whom the export names in this group.
fn known<'a>(input: &Input<'a>, entry: &'a Entry, person: &'a Person) -> Decision<'a> {
    if !is_ours(input, entry) {
        return elsewhere_owned(entry, person);
    }
    match &person.standing {
        Standing::Covered(member) => {
            let fields = entry.member.changed_fields(member);
            if fields.is_empty() {
                stays(entry, Class::Unchanged)
            } else {
                let after = Record::Fresh { member, line: person.line, subscribed: &entry.subscribed_plan };
                decision(entry, Class::Changed(fields), Some(after))
            }
        }
        Standing::Uncovered(why) => leaves(entry, *why),
        Standing::Invalid => doubtful(entry, Doubt::Invalid, "invalid"),
        Standing::Conflict => doubtful(entry, Doubt::Conflict, "conflict"),
    }
}

/// Only the source that brought a person may change or remove them.
fn is_ours(input: &Input<'_>, entry: &Entry) -> bool {
    entry.origin.source == *input.source || mutants::is_off("other_source")
}

/// Invalid is not absent, and doubtful is held.
fn doubtful<'a>(entry: &'a Entry, doubt: Doubt, rule: &str) -> Decision<'a> {
    if mutants::is_off(rule) { decision(entry, Class::Missing, None) } else { stays(entry, Class::Kept(doubt)) }
}

/// A covered person of another source whom this export names too. Only the owner may change or remove them.
fn elsewhere_owned<'a>(entry: &'a Entry, person: &Person) -> Decision<'a> {
    match &person.standing {
        Standing::Covered(member) if **member != entry.member => {
            stays(entry, Class::Kept(Doubt::OtherSource(entry.origin.source.clone())))
        }
        Standing::Covered(_) | Standing::Uncovered(_) | Standing::Invalid | Standing::Conflict => {
            stays(entry, Class::Unchanged)
        }
    }
}

/// A covered person whom the export does not name in this group.
fn unnamed<'a>(input: &Input<'a>, group: &'a GroupRef, entry: &'a Entry) -> Decision<'a> {
    if !is_ours(input, entry) {
        return stays(entry, Class::Unchanged);
    }
    let Some(person) = input.reading.get(&entry.member.reference_id) else {
        return absent(input, group, entry);
    };
    match (&person.standing, &person.group) {
        (Standing::Uncovered(why), _) => leaves(entry, *why),
        (Standing::Covered(_), Some(to)) => {
            stays(entry, Class::Kept(Doubt::Moving { from: group.clone(), to: to.clone() }))
        }
        (Standing::Conflict, _) => doubtful(entry, Doubt::Conflict, "conflict"),
        // A covered row always has a group; if it ever had none, the person is in doubt and stays.
        (Standing::Invalid | Standing::Covered(_), _) => doubtful(entry, Doubt::Invalid, "invalid"),
    }
}

/// A covered person whom the export does not name at all. Absence is weak evidence.
fn absent<'a>(input: &Input<'a>, group: &GroupRef, entry: &'a Entry) -> Decision<'a> {
    if !input.reading.unidentified.is_empty() && !mutants::is_off("unidentified") {
        return stays(entry, Class::Kept(Doubt::Unidentified));
    }
    // Stated terminations are often left out of the next export. To take that for a first absence would bring people back.
    if input.baselines.get(group).is_some_and(|baseline| baseline.is_leaving(&entry.member.reference_id)) {
        return decision(entry, Class::Leaving, None);
    }
    let seen = seen_missing(input, &entry.member.reference_id);
    let needed = input.policy.confirm_absence;
    let is_approved = input.approval.is_some_and(|approval| approval.names(group, &entry.member.reference_id));
    // An approval of doubtful records is about them, and not about who may have left.
    if seen < needed && (!is_approved || input.mistrust.is_some()) && !mutants::is_off("absence") {
        stays(entry, Class::Kept(Doubt::Absent { seen, needed }))
    } else {
        decision(entry, Class::Missing, None)
    }
}

/// Exports of different content in a row that lack the person, this one included.
fn seen_missing(input: &Input<'_>, reference_id: &ReferenceId) -> u32 {
    let before = input.absences.get(reference_id).map_or(0, |absence| absence.exports);
    before.saturating_add(u32::from(!input.is_repeat)).max(1)
}

/// A person whom the group does not cover, or nothing when the export does not want them covered.
fn newcomer<'a>(
    whereabouts: &Whereabouts<'a>,
    group: &'a GroupRef,
    baseline: Option<&Baseline>,
    person: &'a Person,
) -> Option<Decision<'a>> {
    let doubt = match &person.standing {
        Standing::Covered(member) => match whereabouts.other_than(group, &person.reference_id) {
            None => return Some(joins(baseline, person, member)),
            Some(from) => Doubt::Moving { from: from.clone(), to: group.clone() },
        },
        Standing::Uncovered(_) => return None,
        // Whoever is covered in another group is decided about there.
        Standing::Invalid | Standing::Conflict if whereabouts.other_than(group, &person.reference_id).is_some() => {
            return None;
        }
        Standing::Invalid => Doubt::Invalid,
        Standing::Conflict => Doubt::Conflict,
    };
    Some(Decision { reference_id: &person.reference_id, class: Class::Withheld(doubt), before: None, after: None })
}

fn joins<'a>(baseline: Option<&Baseline>, person: &'a Person, member: &'a Member) -> Decision<'a> {
    let is_former = baseline.is_some_and(|baseline| baseline.is_former(&person.reference_id));
    Decision {
        reference_id: &person.reference_id,
        class: if is_former { Class::Returning } else { Class::New },
        before: None,
        after: Some(Record::Fresh { member, line: person.line, subscribed: &member.plan_id }),
    }
}

fn leaves(entry: &Entry, why: Uncovered) -> Decision<'_> {
    decision(entry, Class::Terminated(why), None)
}

fn stays(entry: &Entry, class: Class) -> Decision<'_> {
    decision(entry, class, Some(Record::Same(entry)))
}

fn decision<'a>(entry: &'a Entry, class: Class, after: Option<Record<'a>>) -> Decision<'a> {
    Decision { reference_id: &entry.member.reference_id, class, before: Some(entry), after }
}

/// The source's absences once this export is accepted: who is named again is forgotten, who is missing counts one more.
/// An export with unidentified rows says nothing about absence, so the counts stay.
pub(super) fn absences(input: &Input<'_>, groups: &[GroupPlan<'_>]) -> BTreeMap<ReferenceId, Absence> {
    let decisions = groups.iter().flat_map(|group| &group.decisions);
    let counted = |decision: &Decision<'_>| {
        let id = decision.reference_id;
        let known = input.absences.get(id);
        match decision.class {
            Class::Kept(Doubt::Unidentified) => known.map(|absence| (id.clone(), *absence)),
            Class::Missing | Class::Kept(Doubt::Absent { .. }) => {
                let since = known.map_or(input.now, |absence| absence.since);
                Some((id.clone(), Absence { exports: seen_missing(input, id), since }))
            }
            Class::New
            | Class::Returning
            | Class::Changed(_)
            | Class::Unchanged
            | Class::Terminated(_)
            | Class::Leaving
            | Class::Kept(_)
            | Class::Withheld(_) => None,
        }
    };
    decisions.filter_map(counted).collect()
}
