//! The plain difference: what is decided about each person, before any guard has looked.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use rayon::prelude::*;

use crate::roster::ids::{GroupRef, ReferenceId};
use crate::roster::member::{Field, Member};
use crate::roster::{Absence, Entry, Person, Standing, Uncovered};

use super::whereabouts::Whereabouts;
use super::{Baseline, Class, Decision, Doubt, GroupPlan, Input, Record, Subscribed, mutants};

/// Decides about every person of every group that the export names or the source has members in.
pub(super) fn groups<'a>(input: &Input<'a>) -> Vec<GroupPlan<'a>> {
    let part = input.reading.people.len().div_ceil(rayon::current_num_threads()).max(1);
    let mut wanted: Vec<_> = input.reading.people.par_chunks(part).map(by_group).collect();
    let names: BTreeSet<&GroupRef> =
        wanted.iter().flat_map(HashMap::keys).copied().chain(input.baselines.keys()).collect();
    let whereabouts = Whereabouts::new(input.baselines, input.source);
    let mut people = |group| wanted.iter_mut().filter_map(|part| part.remove(group)).collect::<Vec<_>>();
    let groups: Vec<_> = names.into_iter().map(|group| (group, people(group))).collect();
    let plan = |(group, people): (&'a GroupRef, Vec<Vec<&'a Person>>)| {
        let at = Place { input, whereabouts: &whereabouts, group, baseline: input.baselines.get(group) };
        let is_named = !people.is_empty() || input.reading.groups.contains_key(group);
        let is_touched = is_named || at.has_own_members();
        is_touched.then(|| GroupPlan {
            group,
            name: input.reading.groups.get(group).map(String::as_str),
            decisions: at.decisions(&people),
            is_held: false,
            baseline: at.baseline,
        })
    };
    groups.into_par_iter().filter_map(plan).collect()
}

/// The people of each group, in their order. Of each part of a file: to put them together for all of it takes memory, and they are walked
/// through once.
fn by_group(people: &[Person]) -> HashMap<&GroupRef, Vec<&Person>> {
    let mut groups: HashMap<&GroupRef, Vec<&Person>> = HashMap::new();
    for person in people {
        if let Some(group) = &person.group {
            groups.entry(group).or_default().push(person);
        }
    }
    groups
}

/// Somebody whom a group covers, may cover, or awaits.
#[derive(Clone, Copy)]
struct Base<'a> {
    /// The record that the plan starts from.
    entry: &'a Entry,
    /// The group that they come from, while their arrival is not confirmed.
    from: Option<&'a GroupRef>,
    /// Whether the roster with them has not left yet.
    is_awaited: bool,
}

/// One group, with all that deciding about its people needs.
struct Place<'i, 'a> {
    input: &'i Input<'a>,
    whereabouts: &'i Whereabouts<'a>,
    group: &'a GroupRef,
    baseline: Option<&'a Baseline>,
}

impl<'a> Place<'_, 'a> {
    fn has_own_members(&self) -> bool {
        if self.baseline.is_some_and(|baseline| baseline.alike.own != 0) {
            return true;
        }
        let covered = self.baseline.map_or(&[][..], Baseline::covered);
        let awaited = self.whereabouts.awaited_in(self.group).iter().map(|awaited| awaited.entry);
        let joining = self.baseline.into_iter().flat_map(Baseline::joining);
        covered.iter().chain(awaited).chain(joining).any(|entry| self.is_own(entry))
    }

    fn is_own(&self, entry: &Entry) -> bool {
        entry.origin.source == *self.input.source || mutants::is_off("other_source")
    }

    /// Everybody whom the plan starts from, sorted by reference id.
    fn base(&self) -> Vec<Base<'a>> {
        let Some(baseline) = self.baseline else { return Vec::new() };
        let queued = |id| crate::roster::find(baseline.queued.as_deref().unwrap_or_default(), id);
        let covered = baseline.covered().iter().map(|entry| {
            let from = baseline.arriving.get(&entry.member.reference_id);
            // What another source has queued is not ours to take back, and a plan that is being replaced is not ours to forget.
            let is_settled = !self.is_own(entry) || from == Some(self.group);
            let entry = queued(&entry.member.reference_id).filter(|_| is_settled).unwrap_or(entry);
            Base { entry, from, is_awaited: false }
        });
        let mut base: Vec<Base<'a>> = covered.collect();
        let length = base.len();
        let awaited = self.whereabouts.awaited_in(self.group).iter();
        base.extend(awaited.map(|awaited| Base { entry: awaited.entry, from: Some(awaited.from), is_awaited: true }));
        let is_new_elsewhere =
            |entry: &&Entry| !self.is_own(entry) && !baseline.arriving.contains_key(&entry.member.reference_id);
        let others = baseline.joining().filter(is_new_elsewhere);
        base.extend(others.map(|entry| Base { entry, from: None, is_awaited: true }));
        if base.len() != length {
            base.sort_by(|a, b| a.entry.member.reference_id.cmp(&b.entry.member.reference_id));
        }
        base
    }

    /// Walks the known and the wanted people side by side; both are sorted by reference id.
    fn decisions(&self, wanted: &[Vec<&'a Person>]) -> Vec<Decision<'a>> {
        let base = self.base();
        let wanted = || wanted.iter().flatten().copied();
        // People of a group lie far apart in memory. A look at all of them that does nothing else fetches many at a time.
        let n_claimed = wanted().filter(|person| !matches!(person.standing(), Standing::Uncovered(_))).count();
        let mut decisions = Vec::with_capacity(base.len().max(n_claimed));
        let mut base = base.into_iter().peekable();
        for person in wanted() {
            while let Some(one) = base.next_if(|one| one.entry.member.reference_id < *person.reference_id()) {
                decisions.extend(self.unnamed(one));
            }
            match base.next_if(|one| one.entry.member.reference_id == *person.reference_id()) {
                Some(one) => decisions.extend(self.known(one, person)),
                None => decisions.extend(self.newcomer(person)),
            }
        }
        decisions.extend(base.filter_map(|one| self.unnamed(one)));
        decisions
    }

    /// Whether the last of what is queued leaves this person out.
    fn is_leaving(&self, id: &ReferenceId) -> bool {
        self.baseline.is_some_and(|baseline| baseline.is_leaving(id))
    }

    /// The group that a person is on the way to from here: decided by an earlier export, and decided about there from then on.
    fn aim(&self, id: &ReferenceId) -> Option<&'a GroupRef> {
        let awaited = self.whereabouts.awaited(id)?;
        (awaited.to != self.group && self.is_leaving(id)).then_some(awaited.to)
    }

    /// Whether the group that an awaited person leaves has the say: it still covers them.
    fn is_decided_elsewhere(&self, one: Base<'a>) -> bool {
        let awaited = self.whereabouts.awaited(&one.entry.member.reference_id);
        one.is_awaited && awaited.is_some_and(|awaited| awaited.is_still_covered)
    }

    /// A person of the group whom the export names in it.
    fn known(&self, one: Base<'a>, person: &'a Person) -> Option<Decision<'a>> {
        if !self.is_own(one.entry) {
            return Some(self.owned_elsewhere(one, Some(person)));
        }
        let id = person.reference_id();
        Some(match person.standing() {
            Standing::Covered(member) => self.named(one, person, member),
            Standing::Uncovered(_) if self.is_decided_elsewhere(one) => return None,
            Standing::Uncovered(Uncovered::Between) if self.aim(id).is_none() => stays(one, Class::Unchanged),
            Standing::Uncovered(why) => leaves(one.entry, why),
            Standing::Invalid | Standing::Conflict if self.aim(id).is_some() => self.on_the_way(one.entry),
            Standing::Invalid => doubtful(one, Doubt::Invalid, "invalid"),
            Standing::Conflict => doubtful(one, Doubt::Conflict, "conflict"),
        })
    }

    /// A person of the group whom the export lists as covered in it.
    fn named(&self, one: Base<'a>, person: &'a Person, member: &'a Member) -> Decision<'a> {
        let Base { entry, from, is_awaited } = one;
        let mut fields = entry.member.changed_fields(member);
        // The API keeps known members on the plan that they were added with: only leaving and joining again changes it.
        let is_replaced = self.input.policy.replace_plans && !is_awaited && member.plan_id != entry.subscribed_plan;
        if is_replaced {
            fields.insert(Field::PlanId);
        }
        if fields.is_empty() {
            return stays(one, Class::Unchanged);
        }
        let is_joining = is_awaited || is_replaced;
        let subscribed = if is_joining { Subscribed::AsWanted } else { Subscribed::AsBefore };
        let after = Record::Fresh { member, line: person.line, subscribed };
        let from = if is_replaced { Some(self.group) } else { from };
        Decision { from, ..decision(entry, Class::Changed(fields), Some(after)) }
    }

    /// A person of another source. Only the owner may change or remove them.
    fn owned_elsewhere(&self, one: Base<'a>, person: Option<&Person>) -> Decision<'a> {
        if self.is_leaving(&one.entry.member.reference_id) {
            return self.on_the_way(one.entry);
        }
        match person.map(Person::standing) {
            Some(Standing::Covered(member)) if *member != one.entry.member => {
                stays(one, Class::Kept(Doubt::OtherSource(one.entry.origin.source.clone())))
            }
            Some(Standing::Covered(_) | Standing::Uncovered(_) | Standing::Invalid | Standing::Conflict) | None => {
                stays(one, Class::Unchanged)
            }
        }
    }

    /// Left out by what is queued already.
    fn on_the_way(&self, entry: &'a Entry) -> Decision<'a> {
        let to = self.aim(&entry.member.reference_id);
        Decision { to, ..decision(entry, Class::Leaving, None) }
    }

    /// A person of the group whom the export does not name in it.
    fn unnamed(&self, one: Base<'a>) -> Option<Decision<'a>> {
        let entry = one.entry;
        if !self.is_own(entry) {
            return Some(self.owned_elsewhere(one, None));
        }
        let aim = self.aim(&entry.member.reference_id);
        let Some(person) = self.input.reading.get(&entry.member.reference_id) else {
            return Some(if aim.is_some() { self.on_the_way(entry) } else { self.absent(one) });
        };
        Some(match (person.standing(), &person.group) {
            (Standing::Uncovered(_), _) | (Standing::Covered(_), Some(_)) if self.is_decided_elsewhere(one) => {
                return None;
            }
            (Standing::Uncovered(Uncovered::Between), _) if aim.is_none() => stays(one, Class::Unchanged),
            (Standing::Uncovered(why), _) => leaves(entry, why),
            (Standing::Covered(_), Some(to)) if aim == Some(to) => self.on_the_way(entry),
            (Standing::Covered(member), Some(to)) => {
                let fields = entry.member.changed_fields(member);
                let class = Class::MovedOut { to: to.clone(), fields };
                Decision { from: one.from, to: Some(to), ..decision(entry, class, None) }
            }
            (Standing::Invalid | Standing::Conflict, _) if aim.is_some() => self.on_the_way(entry),
            (Standing::Conflict, _) => doubtful(one, Doubt::Conflict, "conflict"),
            // A covered row always has a group; if it ever had none, the person is in doubt and stays.
            (Standing::Invalid | Standing::Covered(_), _) => doubtful(one, Doubt::Invalid, "invalid"),
        })
    }

    /// A covered person whom the export does not name at all. Absence is weak evidence.
    fn absent(&self, one: Base<'a>) -> Decision<'a> {
        let (input, id) = (self.input, &one.entry.member.reference_id);
        if !input.reading.unidentified.is_empty() && !mutants::is_off("unidentified") {
            return stays(one, Class::Kept(Doubt::Unidentified));
        }
        // Stated terminations are often left out of the next export. To take that for a first absence would bring people back.
        if self.is_leaving(id) {
            return self.on_the_way(one.entry);
        }
        let seen = seen_missing(input, id);
        let needed = input.policy.confirm_absence;
        let is_approved = input.approval.is_some_and(|approval| approval.names(self.group, id));
        // An approval of doubtful records is about them, and not about who may have left.
        let is_confirmed = is_approved && input.mistrust.is_none();
        if seen < needed && !is_confirmed && !mutants::is_off("absence") {
            stays(one, Class::Kept(Doubt::Absent { seen, needed }))
        } else {
            decision(one.entry, Class::Missing, None)
        }
    }

    /// A person whom the group does not know, or nothing when the export does not want them covered.
    fn newcomer(&self, person: &'a Person) -> Option<Decision<'a>> {
        let id = person.reference_id();
        let doubt = match person.standing() {
            Standing::Covered(member) => match self.whereabouts.other_than(self.group, id) {
                None => return Some(self.joins(person, member)),
                Some((_, owner)) if owner != self.input.source => Doubt::OtherSource(owner.clone()),
                Some((from, _)) => {
                    let joins = self.joins(person, member);
                    return Some(Decision { class: Class::MovedIn { from: from.clone() }, from: Some(from), ..joins });
                }
            },
            Standing::Uncovered(_) => return None,
            // Whoever is covered in another group is decided about there.
            Standing::Invalid | Standing::Conflict if self.whereabouts.other_than(self.group, id).is_some() => {
                return None;
            }
            Standing::Invalid => Doubt::Invalid,
            Standing::Conflict => Doubt::Conflict,
        };
        let class = Class::Withheld(doubt);
        Some(Decision { reference_id: id, class, before: None, after: None, from: None, to: None })
    }

    fn joins(&self, person: &'a Person, member: &'a Member) -> Decision<'a> {
        let is_former = self.baseline.is_some_and(|baseline| baseline.is_former(&member.reference_id));
        Decision {
            reference_id: &member.reference_id,
            class: if is_former { Class::Returning } else { Class::New },
            before: None,
            after: Some(Record::Fresh { member, line: person.line, subscribed: Subscribed::AsWanted }),
            from: None,
            to: None,
        }
    }
}

/// Exports of different content in a row that lack the person, this one included.
fn seen_missing(input: &Input<'_>, reference_id: &ReferenceId) -> u32 {
    let before = input.absences.get(reference_id).map_or(0, |absence| absence.exports);
    before.saturating_add(u32::from(!input.is_repeat)).max(1)
}

/// Invalid is not absent, and doubtful is held.
fn doubtful<'a>(one: Base<'a>, doubt: Doubt, rule: &str) -> Decision<'a> {
    if mutants::is_off(rule) { decision(one.entry, Class::Missing, None) } else { stays(one, Class::Kept(doubt)) }
}

fn leaves(entry: &Entry, why: Uncovered) -> Decision<'_> {
    decision(entry, Class::Terminated(why), None)
}

fn stays(one: Base<'_>, class: Class) -> Decision<'_> {
    Decision { from: one.from, ..decision(one.entry, class, Some(Record::Same(one.entry))) }
}

fn decision<'a>(entry: &'a Entry, class: Class, after: Option<Record<'a>>) -> Decision<'a> {
    Decision { reference_id: &entry.member.reference_id, class, before: Some(entry), after, from: None, to: None }
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
            | Class::MovedIn { .. }
            | Class::MovedOut { .. }
            | Class::Leaving
            | Class::Kept(_)
            | Class::Withheld(_) => None,
        }
    };
    decisions.filter_map(counted).collect()
}
