//! Who is who: an id given to somebody else, and one person under two ids. Both look like ordinary changes to a plain
//! difference, and both would overwrite or end somebody's coverage.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;

use crate::roster::ids::ReferenceId;
use crate::roster::member::{Field, Member, Texts};
use crate::roster::{Entry, Reading};

use super::{Class, Doubt, GroupPlan, Record, mutants};

/// What was found, by the positions of groups and decisions in the plan.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Ids whose last name and birth date both changed.
    pub(super) another_person: Vec<Place>,
    /// New ids of people who are covered under an id that the file lacks, in order.
    pub(super) renumbered: Vec<Place>,
    /// Of each of those, in order, the old id whose removal is due: to end the one while the other is held would leave the person
    /// without coverage.
    pub(super) former: Vec<(Place, Place)>,
    /// Ids with two of last name, birth date and e-mail changed, and the renumbered.
    pub(super) drifted: u64,
}

/// A decision's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: usize,
    pub(super) decision: usize,
}

/// What tells two people apart when ids cannot.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    last_name: &'a str,
    first_name: &'a str,
    date_of_birth: NaiveDate,
}

impl<'a> Likeness<'a> {
    fn of(member: &'a Member) -> Self {
        let Texts { last_name, first_name, .. } = member.texts();
        Self { last_name, first_name, date_of_birth: member.date_of_birth }
    }
}

/// Looks through the plain difference.
pub(super) fn look(groups: &[GroupPlan<'_>]) -> Identity {
    let mut identity = Identity::default();
    let mut gone: HashMap<Likeness<'_>, Vec<Place>> = HashMap::new();
    for (group, plan) in groups.iter().enumerate() {
        for (at, decision) in plan.decisions.iter().enumerate() {
            let is_gone =
                matches!(decision.class, Class::Missing | Class::Kept(Doubt::Absent { .. } | Doubt::Unidentified));
            if let (true, Some(entry)) = (is_gone, decision.before) {
                gone.entry(Likeness::of(&entry.member)).or_default().push(Place { group, decision: at });
            }
        }
    }
    for (group, plan) in groups.iter().enumerate() {
        for (at, decision) in plan.decisions.iter().enumerate() {
            let place = Place { group, decision: at };
            match (&decision.class, &decision.after) {
                (Class::Changed(fields) | Class::MovedOut { fields, .. }, _) => {
                    let has = |field| fields.contains(field);
                    if has(Field::LastName) && has(Field::DateOfBirth) {
                        identity.another_person.push(place);
                    }
                    let drift = [Field::LastName, Field::DateOfBirth, Field::Email];
                    if 1 < drift.into_iter().filter(|field| has(*field)).count() {
                        identity.drifted += 1;
                    }
                }
                (Class::New | Class::Returning, Some(Record::Fresh { member, .. })) if !gone.is_empty() => {
                    let Some(former) = gone.get(&Likeness::of(member)) else { continue };
                    identity.renumbered.push(place);
                    identity.former.extend(former.iter().map(|old| (place, *old)));
                    identity.drifted += 1;
                }
                _ => {}
            }
        }
    }
    identity
}

/// Keeps the old id of whoever the export lists under a new one that will be on no roster: held here, or about to be taken off by
/// what another source has queued. Guards know of the former only while they judge, and an approval names ids, not people.
pub(super) fn keep_former(reading: &Reading, groups: &mut [GroupPlan<'_>]) {
    if mutants::is_off("both_sides") {
        return;
    }
    let decisions = || groups.iter().flat_map(|plan| plan.decisions.iter().map(move |decision| (plan.group, decision)));
    let on_no_roster_here = decisions().filter(|(_, decision)| {
        // Whom another source owns is covered in another group, as far as that one says.
        let is_withheld = matches!(&decision.class, Class::Withheld(doubt) if !matches!(doubt, Doubt::OtherSource(_)));
        is_withheld || decision.class == Class::Leaving
    });
    let listed: HashMap<&ReferenceId, Likeness<'_>> = on_no_roster_here
        .filter_map(|(group, decision)| {
            let person = reading.get(decision.reference_id).filter(|person| person.group.as_ref() == Some(group))?;
            Some((decision.reference_id, Likeness::of(person.member()?)))
        })
        .collect();
    // As good as always, and the rest looks at everybody.
    if listed.is_empty() {
        return;
    }
    let staying = decisions().filter(|(_, decision)| decision.after.is_some());
    let staying: HashSet<&ReferenceId> =
        staying.map(|(_, decision)| decision.reference_id).filter(|id| listed.contains_key(id)).collect();
    let nowhere: HashSet<Likeness<'_>> =
        listed.into_iter().filter(|(id, _)| !staying.contains(id)).map(|(_, likeness)| likeness).collect();
    for decision in groups.iter_mut().flat_map(|plan| &mut plan.decisions) {
        let is_former = |entry: &Entry| nowhere.contains(&Likeness::of(&entry.member));
        if decision.class == Class::Missing && decision.before.is_some_and(is_former) {
            decision.hold(Doubt::Renumbered);
        }
    }
}
