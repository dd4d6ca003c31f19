//! People for whom nothing changes may be counted instead of listed: every case of this room's tests is planned both ways.

use std::collections::BTreeSet;

use super::super::*;
use crate::roster::Standing;

/// What a plan comes to.
fn outcome(plan: &Plan<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    let verdicts: Vec<(GroupRef, bool, usize, Option<usize>)> = plan
        .groups
        .iter()
        .map(|group| (group.group.clone(), group.is_changed(), group.size(), group.removals()))
        .collect();
    (
        summary::report(plan, None),
        plan.counts(),
        plan.absences.clone(),
        plan.losses.clone(),
        plan.is_held_whole,
        verdicts,
    )
}

pub(super) fn assert_counting_changes_nothing(plan: &Plan<'_>, input: &Input<'_>) {
    // As where the records are in doubt: then nobody is counted.
    if input.mistrust.is_some() {
        return;
    }
    let mut reading = input.reading.clone();
    let mut baselines = input.baselines.clone();
    let lost: BTreeSet<&ReferenceId> = input.losses.iter().map(|loss| &loss.reference_id).collect();
    let groups_of = |id: &ReferenceId| {
        input.baselines.values().filter(|baseline| crate::roster::find(baseline.covered(), id).is_some()).count()
    };
    for (group, baseline) in &mut baselines {
        let is_idle = baseline.covered.is_none() && baseline.queued.is_none() && baseline.arriving.is_empty();
        let Some(roster) = baseline.confirmed.take() else { continue };
        let is_alike = |entry: &Entry| {
            let id = &entry.member.reference_id;
            let said = reading.get(id);
            let is_own = entry.origin.source == *input.source;
            let is_as_said = said.is_some_and(|person| {
                let is_here = person.group.as_ref() == Some(group);
                is_here && matches!(person.standing(), Standing::Covered(member) if *member == entry.member)
            });
            let is_sure = is_idle && groups_of(id) == 1 && !lost.contains(id);
            is_sure && if is_own { is_as_said && entry.subscribed_plan == entry.member.plan_id } else { said.is_none() }
        };
        let (alike, listed): (Vec<Entry>, Vec<Entry>) = roster.members().iter().cloned().partition(is_alike);
        let own = alike.iter().filter(|entry| entry.origin.source == *input.source).count();
        baseline.alike = Alike { own, of_others: alike.len() - own };
        baseline.confirmed =
            Some(ConfirmedRoster::new(group.clone(), listed, roster.former().to_vec(), roster.confirmed_at));
        let alike: BTreeSet<&ReferenceId> = alike.iter().map(|entry| &entry.member.reference_id).collect();
        reading.people.retain(|person| !alike.contains(&person.reference_id()));
    }
    let counted = super::super::plan(Input { reading: &reading, baselines: &baselines, ..*input });
    assert_eq!(outcome(&counted), outcome(plan));
}
