//! Moves between groups have two sides. What a guard, a paused group or a doubt holds on one side must be held on the other:
//! somebody who only leaves loses coverage, and somebody who only arrives is refused by the API.

use std::collections::BTreeMap;

use crate::roster::ids::{GroupRef, ReferenceId};

use super::{Baseline, Class, Decision, Doubt, GroupPlan, Hitch, mutants};

/// A decision's position, and why it cannot stand.
type Hold = (usize, usize, Doubt);

/// Holds every move whose other side is held, until both sides of all that are left agree.
pub(super) fn keep_in_step(groups: &mut [GroupPlan<'_>]) {
    if mutants::is_off("both_sides") {
        return;
    }
    let places: BTreeMap<GroupRef, usize> =
        groups.iter().enumerate().map(|(at, group)| (group.group.clone(), at)).collect();
    let bound = bound(groups);
    loop {
        let holds: Vec<Hold> = groups
            .iter()
            .enumerate()
            .flat_map(|(at, group)| group.decisions.iter().enumerate().map(move |(place, one)| (at, place, group, one)))
            .filter_map(|(at, place, group, one)| Some((at, place, hitch(groups, (&places, &bound), group, one)?)))
            .collect();
        if holds.is_empty() {
            return;
        }
        for (at, place, doubt) in holds {
            if let Some(decision) = groups.get_mut(at).and_then(|group| group.decisions.get_mut(place)) {
                decision.hold(doubt);
            }
        }
    }
}

/// Whom rosters that are queued for held groups will add there: such a roster is not taken back, so these people join nowhere else.
fn bound(groups: &[GroupPlan<'_>]) -> BTreeMap<ReferenceId, GroupRef> {
    let held = groups.iter().filter(|group| group.is_held);
    let joining = held.flat_map(|group| {
        let entries = group.baseline.into_iter().flat_map(Baseline::joining);
        entries.map(|entry| (entry.member.reference_id.clone(), group.group.clone()))
    });
    joining.collect()
}

/// Why this side of a move cannot go on; none when it can, and for whoever does not move.
fn hitch(
    groups: &[GroupPlan<'_>],
    (places, bound): (&BTreeMap<GroupRef, usize>, &BTreeMap<ReferenceId, GroupRef>),
    group: &GroupPlan<'_>,
    decision: &Decision<'_>,
) -> Option<Doubt> {
    let (from, to, other) = match &decision.class {
        Class::MovedOut { to, .. } => (group.group, to, to),
        Class::MovedIn { from } => (from, group.group, from),
        Class::New | Class::Returning => {
            let first = bound.get(decision.reference_id).filter(|first| *first != group.group)?;
            return Some(Doubt::moving(first, group.group, Hitch::OtherSide));
        }
        Class::Changed(_)
        | Class::Unchanged
        | Class::Terminated(_)
        | Class::Missing
        | Class::Leaving
        | Class::Kept(_)
        | Class::Withheld(_) => return None,
    };
    let doubt = |why| Some(Doubt::moving(from, to, why));
    let Some(other) = places.get(other).and_then(|at| groups.get(*at)) else { return doubt(Hitch::OtherSide) };
    if other.is_paused() && to == other.group {
        return doubt(Hitch::Paused);
    }
    let there = other_side(other, decision.reference_id);
    let agrees = match there.map(|there| &there.class) {
        Some(Class::MovedIn { from: origin }) => origin == from,
        Some(Class::MovedOut { to: aim, .. }) => aim == to,
        _ => false,
    };
    if agrees && !other.is_held {
        return None;
    }
    doubt(match there.map(|there| &there.class) {
        Some(Class::Kept(doubt) | Class::Withheld(doubt)) => match doubt {
            Doubt::Moving(held) => held.why,
            Doubt::Guard(guard) => Hitch::Guard(guard),
            Doubt::AnotherPerson => Hitch::Guard(&"another_person"),
            Doubt::Invalid
            | Doubt::Conflict
            | Doubt::Absent { .. }
            | Doubt::Unidentified
            | Doubt::OtherSource(_)
            | Doubt::Renumbered => Hitch::OtherSide,
        },
        _ => Hitch::OtherSide,
    })
}

fn other_side<'p, 'a>(group: &'p GroupPlan<'a>, id: &ReferenceId) -> Option<&'p Decision<'a>> {
    let at = group.decisions.binary_search_by(|decision| decision.reference_id.cmp(id)).ok()?;
    group.decisions.get(at)
}
