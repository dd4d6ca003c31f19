//! Who left lately: a feed that loses a few people a day passes every guard that looks at one export.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::roster::Loss;
use crate::roster::ids::ReferenceId;

use super::guards::TERMINATIONS_FLOOR;
use super::{Class, Decision, GroupPlan, Input};

/// People who left a group within the window, and who would now.
pub(super) struct Lost {
    /// All of them, each once.
    pub(super) all: u64,
    /// Those who are not counted as members any more.
    pub(super) gone: u64,
    /// So many are never held: as for one export, more where a file stated every one of them.
    pub(super) floor: u64,
}

/// Adds up the window; none when nobody left before, since the other guards have looked at this plan alone.
pub(super) fn count(input: &Input<'_>, group: &GroupPlan<'_>) -> Option<Lost> {
    let window = TimeDelta::from_std(input.policy.guards.rolling_window).unwrap_or(TimeDelta::MAX);
    let is_recent = |loss: &&Loss| &loss.group == group.group && input.now - loss.at < window;
    let mut lost: BTreeMap<&ReferenceId, bool> = BTreeMap::new();
    let mut gone = 0;
    for loss in input.losses.iter().filter(is_recent) {
        let found = group.decisions.binary_search_by(|decision| decision.reference_id.cmp(&loss.reference_id));
        let here = found.ok().and_then(|at| group.decisions.get(at)).filter(|decision| decision.before.is_some());
        match here.map(|decision| &decision.class) {
            None => gone += u64::from(lost.insert(&loss.reference_id, loss.is_stated).is_none()),
            Some(Class::Leaving) => {
                lost.insert(&loss.reference_id, loss.is_stated);
            }
            // Planned, and still here: the removal failed or never went out. They count if this plan removes them.
            Some(
                Class::New
                | Class::Returning
                | Class::Changed(_)
                | Class::Unchanged
                | Class::Terminated(_)
                | Class::Missing
                | Class::MovedIn { .. }
                | Class::MovedOut { .. }
                | Class::Kept(_)
                | Class::Withheld(_),
            ) => {}
        }
    }
    if lost.is_empty() {
        return None;
    }
    lost.extend(group.decisions.iter().filter_map(removed));
    let floor = if lost.values().all(|is_stated| *is_stated) { TERMINATIONS_FLOOR } else { 1 };
    Some(Lost { all: lost.len() as u64, gone, floor })
}

/// Whom the plan removes without an approval. What a person has looked at does not count against the next export.
pub(super) fn of(input: &Input<'_>, groups: &[GroupPlan<'_>]) -> Vec<Loss> {
    if input.approval.is_some() {
        return Vec::new();
    }
    let of_group = |group: &GroupPlan<'_>| -> Vec<Loss> {
        let removed = group.decisions.iter().filter_map(removed);
        let loss = |(reference_id, is_stated): (&ReferenceId, bool)| Loss {
            group: group.group.clone(),
            reference_id: reference_id.clone(),
            at: input.now,
            is_stated,
        };
        removed.map(loss).collect()
    };
    groups.iter().flat_map(of_group).collect()
}

/// A person who leaves, and whether the file states it.
fn removed<'a>(decision: &Decision<'a>) -> Option<(&'a ReferenceId, bool)> {
    match decision.class {
        Class::Missing => Some((decision.reference_id, false)),
        Class::Terminated(_) => Some((decision.reference_id, true)),
        Class::New
        | Class::Returning
        | Class::Changed(_)
        | Class::Unchanged
        | Class::MovedIn { .. }
        | Class::MovedOut { .. }
        | Class::Leaving
        | Class::Kept(_)
        | Class::Withheld(_) => None,
    }
}
