//! Why people leave a roster, or would: what `member` answers years later, when the file is gone. Written down for removals and
//! for whoever is kept only, so that it costs nothing where nobody is in question.

use crate::report::Reason;
use crate::roster::{Person, Standing, Uncovered};

use super::{Class, Decision, GroupPlan, Input};

/// Of everybody whom the group's payload leaves out although they are, or may be, covered. Those whom an earlier roster leaves out
/// already are not here: the run that decided it has their reasons.
pub fn of_removals(input: &Input<'_>, group: &GroupPlan<'_>) -> Vec<Reason> {
    let is_removal = |decision: &&Decision<'_>| decision.before.is_some() && decision.after.is_none();
    group.decisions.iter().filter(is_removal).filter_map(|decision| reason(input, group, decision)).collect()
}

/// Of those, and of everybody who is kept.
pub(super) fn all(input: &Input<'_>, group: &GroupPlan<'_>) -> Vec<Reason> {
    let is_asked = |decision: &&Decision<'_>| {
        let is_removal = decision.before.is_some() && decision.after.is_none();
        is_removal || matches!(decision.class, Class::Kept(_) | Class::Withheld(_))
    };
    group.decisions.iter().filter(is_asked).filter_map(|decision| reason(input, group, decision)).collect()
}

fn reason(input: &Input<'_>, group: &GroupPlan<'_>, decision: &Decision<'_>) -> Option<Reason> {
    let (rule, line, why) = match input.reading.get(decision.reference_id) {
        Some(person) => stated(group, person),
        None if matches!(decision.class, Class::Leaving) => return None,
        None => ("missing", None, missing(input, decision)),
    };
    Some(Reason { reference_id: decision.reference_id.clone(), rule: rule.to_owned(), run: None, line, why })
}

/// What the row says.
fn stated(group: &GroupPlan<'_>, person: &Person) -> (&'static str, Option<u64>, String) {
    let line = Some(person.line);
    match (person.standing(), &person.group) {
        (Standing::Uncovered(why), _) => {
            let (rule, why) = words(why);
            (rule, line, why.to_owned())
        }
        (Standing::Covered(_), Some(to)) if to != group.group => {
            ("moved", line, format!("the file names the person in {to}"))
        }
        (Standing::Covered(_), _) => ("doubtful", line, "the file lists the person as covered".to_owned()),
        (Standing::Invalid, _) => ("doubtful", line, "the row cannot be used as it is".to_owned()),
        (Standing::Conflict, _) => ("doubtful", line, "rows of the person contradict each other".to_owned()),
    }
}

/// The rule's name, and what the row says, in words.
fn words(why: Uncovered) -> (&'static str, &'static str) {
    match why {
        Uncovered::Terminated => {
            ("terminated", "the file says terminated: by its status, or by a last day of coverage that is over")
        }
        Uncovered::EndedLongAgo => (
            crate::report::ENDED_LONG_AGO,
            "the file says terminated, and that the last day of coverage was more than 30 days ago",
        ),
        Uncovered::Between => ("between", "the file names a last day and a later first day, and neither has come"),
        Uncovered::NotStarted => ("not_started", "the file says that the start date has not come"),
        Uncovered::Waived => ("waived", "the file says waived: its plan is mapped to \"none\""),
        Uncovered::Ignored => ("ignored", "the file names a group that the config ignores"),
    }
}

fn missing(input: &Input<'_>, decision: &Decision<'_>) -> String {
    let known = input.absences.get(decision.reference_id);
    let before = known.map_or(0, |absence| absence.exports);
    let seen = before.saturating_add(u32::from(!input.is_repeat)).max(1);
    // Not the time of this run: the same plan made twice says the same.
    let since = known.map_or_else(
        || "this one".to_owned(),
        |absence| format!("the one of {}", absence.since.format("%Y-%m-%dT%H:%M:%SZ")),
    );
    let needed = input.policy.confirm_absence;
    let exports = if seen == 1 { "1 accepted export".to_owned() } else { format!("{seen} accepted exports in a row") };
    let confirmed = if seen < needed && input.approval.is_some() {
        format!("; {needed} confirm an absence, a person approved it earlier")
    } else {
        format!(" ({needed} confirm an absence)")
    };
    format!("missing from {exports}, first from {since}{confirmed}")
}
