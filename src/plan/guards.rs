//! The guards: checks that can hold a plan, or the doubtful part of it (`design.md` 10).
//!
//! All of them are evaluated on the plain difference even when one already holds, so that one approval covers exactly what
//! it shows. Then what is held is put back to what is confirmed.

use std::collections::HashSet;

use crate::config::Limit;
use crate::report::{GuardReport, GuardVerdict};
use crate::roster::ids::GroupRef;
use crate::roster::member::Field;

use super::identity::{Identity, Place};
use super::{Class, Decision, Doubt, GroupPlan, Input};

/// Additions up to this many never hold a group: small groups grow by leaps.
const ADDITIONS_FLOOR: u64 = 10;
/// Terminations up to this many never hold: a person stated each of them, with a date.
const TERMINATIONS_FLOOR: u64 = 3;
/// Invalid rows, and drifted identities, up to this many never hold a file: they are held one by one anyway.
const ROWS_FLOOR: u64 = 2;
/// Below this many members one changed column is no pattern.
const FIELD_CHANGED_MEMBERS: u64 = 10;

/// Guards that no approval can pass: what they stop cannot work.
const UNAPPROVABLE: [&str; 2] = ["no_group", "members_per_request"];

/// A guard's report, and what it puts back when it holds.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) report: GuardReport,
    target: Target,
}

/// What a guard puts back.
#[derive(Debug)]
enum Target {
    File,
    Group(usize),
    Missing(usize),
    Terminated(usize),
    Removals(usize),
    People(Vec<Place>, Doubt),
}

/// Evaluates every guard on the plain difference.
pub(super) fn evaluate(input: &Input<'_>, groups: &[GroupPlan<'_>], identity: &Identity) -> Vec<Judgement> {
    let judge = Judge { input };
    let mut judged = Vec::new();
    judged.extend(judge.stale());
    judged.extend(judge.rows_dropped());
    judged.extend(judge.invalid_rows());
    judged.extend(judge.field_changed(groups));
    judged.extend(judge.identity_changes(groups, identity));
    judged.extend(judge.people("another_person", groups, &identity.another_person, &Doubt::AnotherPerson));
    for mut judgement in judge.people("renumbered", groups, &identity.renumbered, &Doubt::Renumbered) {
        // Whoever may not join under the new id must not leave under the old one: they would be covered under neither.
        if let Target::People(places, _) = &mut judgement.target {
            let new: HashSet<Place> = places.iter().copied().collect();
            places.extend(identity.leaving.iter().filter(|(joining, _)| new.contains(joining)).map(|(_, old)| *old));
        }
        judged.push(judgement);
    }
    let held = held_places(&judged);
    for (at, group) in groups.iter().enumerate() {
        judged.extend(judge.group(at, group, &held));
    }
    judged
}

/// The people whom a guard holds one by one.
fn held_places(judged: &[Judgement]) -> HashSet<Place> {
    let held = judged.iter().filter(|judgement| judgement.report.verdict == GuardVerdict::Hold);
    let places = held.filter_map(|judgement| match &judgement.target {
        Target::People(places, _) => Some(places.iter().copied()),
        Target::File | Target::Group(_) | Target::Missing(_) | Target::Terminated(_) | Target::Removals(_) => None,
    });
    places.flatten().collect()
}

/// Puts back what is held. Whether the whole file is held.
pub(super) fn apply(judged: &[Judgement], groups: &mut [GroupPlan<'_>]) -> bool {
    let mut is_held_whole = false;
    for judgement in judged.iter().filter(|judgement| judgement.report.verdict == GuardVerdict::Hold) {
        let guard = guard_name(&judgement.report.guard);
        match &judgement.target {
            Target::File => is_held_whole = true,
            Target::Group(at) => {
                hold_in(groups, *at, guard, is_any_change);
                if let Some(group) = groups.get_mut(*at) {
                    group.is_held = true;
                }
            }
            Target::Missing(at) => hold_in(groups, *at, guard, |class| matches!(class, Class::Missing)),
            Target::Terminated(at) => hold_in(groups, *at, guard, |class| matches!(class, Class::Terminated(_))),
            Target::Removals(at) => {
                hold_in(groups, *at, guard, |class| matches!(class, Class::Missing | Class::Terminated(_)));
            }
            Target::People(places, doubt) => {
                for place in places {
                    let group = groups.get_mut(place.group);
                    if let Some(decision) = group.and_then(|group| group.decisions.get_mut(place.decision)) {
                        decision.hold(doubt.clone());
                    }
                }
            }
        }
    }
    is_held_whole
}

fn is_any_change(class: &Class) -> bool {
    match class {
        Class::New | Class::Returning | Class::Changed(_) | Class::Terminated(_) | Class::Missing => true,
        Class::Unchanged | Class::Leaving | Class::Kept(_) | Class::Withheld(_) => false,
    }
}

fn hold_in(groups: &mut [GroupPlan<'_>], at: usize, guard: &'static str, is_held: impl Fn(&Class) -> bool) {
    let decisions = groups.get_mut(at).into_iter().flat_map(|group| &mut group.decisions);
    decisions.filter(|decision| is_held(&decision.class)).for_each(|decision| decision.hold(Doubt::Guard(guard)));
}

/// The names of all guards, as in the config, in plans and in receipts.
pub const NAMES: [&str; 15] = [
    "stale",
    "rows_dropped",
    "invalid_rows",
    "field_changed",
    "identity_changes",
    "another_person",
    "renumbered",
    "baseline",
    "no_group",
    "members_per_request",
    "empty",
    "removals",
    "removals_max",
    "terminations",
    "additions",
];

fn guard_name(name: &str) -> &'static str {
    NAMES.into_iter().find(|known| *known == name).unwrap_or("guard")
}

struct Judge<'i, 'a> {
    input: &'i Input<'a>,
}

/// What a guard saw, before the verdict.
struct Seen<'g> {
    guard: &'static str,
    group: Option<&'g GroupRef>,
    value: u64,
    limit: u64,
    sum: String,
}

impl Judge<'_, '_> {
    fn judge(&self, seen: Seen<'_>, target: Target) -> Judgement {
        let Seen { guard, group, value, limit, sum } = seen;
        let verdict = if value <= limit {
            GuardVerdict::Pass
        } else if !UNAPPROVABLE.contains(&guard)
            && self.input.approval.is_some_and(|approval| approval.covers(guard, group, value))
        {
            GuardVerdict::Approved
        } else {
            GuardVerdict::Hold
        };
        let report = GuardReport { guard: guard.to_owned(), group: group.cloned(), value, limit, verdict, sum };
        Judgement { report, target }
    }

    /// An export older than the one before it, or one that was accepted earlier and superseded since.
    fn stale(&self) -> Option<Judgement> {
        let previous = self.input.previous?;
        let is_older = previous.modified.zip(self.input.modified).is_some_and(|(before, this)| this < before);
        let sum = if previous.is_return {
            "this very file was accepted earlier, and a newer one since"
        } else if is_older {
            "this file is older than the last accepted one of its source"
        } else {
            return None;
        };
        let seen = Seen { guard: "stale", group: None, value: 1, limit: 0, sum: sum.to_owned() };
        Some(self.judge(seen, Target::File))
    }

    fn rows_dropped(&self) -> Option<Judgement> {
        let limit = self.input.policy.guards.rows_dropped?;
        let before = self.input.previous?.rows;
        let rows = self.input.reading.rows;
        let (limit, said) = line(limit, before, 1);
        let sum = format!("{rows} rows, {before} in the last accepted export (may drop by {said})");
        let seen = Seen { guard: "rows_dropped", group: None, value: before.saturating_sub(rows), limit, sum };
        Some(self.judge(seen, Target::File))
    }

    fn invalid_rows(&self) -> Option<Judgement> {
        let limit = self.input.policy.guards.invalid_rows?;
        let reading = self.input.reading;
        let (limit, said) = line(limit, reading.rows, ROWS_FLOOR);
        let sum = format!("{} of {} rows cannot be used (limit {said})", reading.invalid_rows, reading.rows);
        let seen = Seen { guard: "invalid_rows", group: None, value: reading.invalid_rows, limit, sum };
        Some(self.judge(seen, Target::File))
    }

    /// The column that changed most often among the members who stay.
    fn field_changed(&self, groups: &[GroupPlan<'_>]) -> Option<Judgement> {
        let limit = self.input.policy.guards.field_changed?;
        let mut changed: std::collections::BTreeMap<Field, u64> = std::collections::BTreeMap::new();
        let mut staying = 0;
        for decision in groups.iter().flat_map(|group| &group.decisions) {
            match &decision.class {
                Class::Changed(fields) => {
                    staying += 1;
                    for field in fields {
                        *changed.entry(*field).or_default() += 1;
                    }
                }
                Class::Unchanged => staying += 1,
                Class::New
                | Class::Returning
                | Class::Terminated(_)
                | Class::Missing
                | Class::Leaving
                | Class::Kept(_)
                | Class::Withheld(_) => {}
            }
        }
        let (field, value) = changed.into_iter().max_by_key(|(_, count)| *count)?;
        if staying < FIELD_CHANGED_MEMBERS {
            return None;
        }
        let (limit, said) = line(limit, staying, 0);
        let sum = format!("{} changed for {value} of {staying} members (limit {said})", field.name());
        Some(self.judge(Seen { guard: "field_changed", group: None, value, limit, sum }, Target::File))
    }

    fn identity_changes(&self, groups: &[GroupPlan<'_>], identity: &Identity) -> Option<Judgement> {
        let limit = self.input.policy.guards.identity_changes?;
        let members = groups.iter().map(|group| group.size_before() as u64).sum();
        let (limit, said) = line(limit, members, ROWS_FLOOR);
        let value = identity.drifted;
        let sum = format!(
            "{value} of {members} members have another id, or another name, birth date or e-mail under the same id \
             (limit {said})"
        );
        Some(self.judge(Seen { guard: "identity_changes", group: None, value, limit, sum }, Target::File))
    }

    /// People who are held one by one, reported group by group.
    fn people(&self, guard: &'static str, groups: &[GroupPlan<'_>], places: &[Place], doubt: &Doubt) -> Vec<Judgement> {
        let what = if *doubt == Doubt::AnotherPerson {
            "with another last name and another birth date under the same id: perhaps it was given to somebody else"
        } else {
            "with a new id, who are on a roster under an id that the file lacks: perhaps ids lost their zeros (id_width)"
        };
        let by_group = places.chunk_by(|a, b| a.group == b.group);
        by_group
            .filter_map(|places| {
                let group = groups.get(places.first()?.group)?;
                let sum = format!("{} of {} {what}", people(places.len() as u64), group.group);
                let seen = Seen { guard, group: Some(group.group), value: places.len() as u64, limit: 0, sum };
                Some(self.judge(seen, Target::People(places.to_vec(), doubt.clone())))
            })
            .collect()
    }

    fn group(&self, at: usize, group: &GroupPlan<'_>, held: &HashSet<Place>) -> Vec<Judgement> {
        let guards = self.input.policy.guards;
        let tally = Tally::of(at, group, held);
        let name = group.group;
        let mut judged = Vec::new();
        let mut say = |seen: Seen<'_>, target| judged.push(self.judge(seen, target));
        let seen = |guard, value, limit, sum| Seen { guard, group: Some(name), value, limit, sum };

        if !group.is_known() {
            let after = tally.after;
            let sum = format!(
                "{name} was in the API before rosterd and its members are not known: submitting {} would remove everybody \
                 else",
                people(after)
            );
            say(seen("baseline", after.max(1), 0, sum), Target::Group(at));
        }
        if group.is_lacking() && tally.after != 0 {
            let sum = format!(
                "the API has no group {name}: make it with `rosterd groups create {name} --name NAME`, or set create = true"
            );
            say(seen("no_group", tally.after, 0, sum), Target::Group(at));
        }
        let largest = self.input.policy.members_per_request as u64;
        if largest < tally.after {
            let sum = format!(
                "{name} would have {} members (members_per_request = {largest}); it is never split",
                tally.after
            );
            say(seen("members_per_request", tally.after, largest, sum), Target::Group(at));
        }
        let removed = tally.emptying;
        if 0 < removed {
            let sum = format!("all {} members of {name} would be removed", tally.before);
            say(seen("empty", removed, 0, sum), Target::Removals(at));
        }
        if let (Some(limit), true) = (guards.removals, 0 < tally.missing) {
            let (limit, said) = line(limit, tally.before, 1);
            let sum = format!("{} would be removed (limit {said})", of_members(tally.missing, tally.before, name));
            say(seen("removals", tally.missing, limit, sum), Target::Missing(at));
        }
        if let (Some(limit), true) = (guards.removals_max, 0 < tally.missing) {
            let sum = format!("{} would be removed (limit {limit})", of_members(tally.missing, tally.before, name));
            say(seen("removals_max", tally.missing, limit, sum), Target::Missing(at));
        }
        if let (Some(limit), true) = (guards.terminations, 0 < tally.terminated) {
            let (limit, said) = line(limit, tally.before, TERMINATIONS_FLOOR);
            let sum = format!(
                "{} are terminated by the file (limit {said})",
                of_members(tally.terminated, tally.before, name)
            );
            say(seen("terminations", tally.terminated, limit, sum), Target::Terminated(at));
        }
        if let (Some(limit), true) = (guards.additions, group.size_before() != 0) {
            let (limit, said) = line(limit, tally.before, ADDITIONS_FLOOR);
            let sum =
                format!("{} would join the {} members of {name} (limit {said})", people(tally.added), tally.before);
            say(seen("additions", tally.added, limit, sum), Target::Group(at));
        }
        judged.retain(|judgement| judgement.report.value != 0);
        judged
    }
}

struct Tally {
    before: u64,
    after: u64,
    added: u64,
    missing: u64,
    terminated: u64,
    /// Removals, where nobody would be left.
    emptying: u64,
}

impl Tally {
    /// `held` are those who are held one by one: they neither join nor leave, so a group is not kept from being emptied by whoever
    /// may not join it.
    fn of(at: usize, group: &GroupPlan<'_>, held: &HashSet<Place>) -> Self {
        let count =
            |is: fn(&Decision<'_>) -> bool| group.decisions.iter().filter(|decision| is(decision)).count() as u64;
        let is_held = |decision: usize| held.contains(&Place { group: at, decision });
        let stays = |(at, decision): &(usize, &Decision<'_>)| {
            if is_held(*at) { decision.before.is_some() } else { decision.after.is_some() }
        };
        let decisions = || group.decisions.iter().enumerate();
        // Once as if everything were approved, so that one approval covers all that follows from it.
        let is_emptied =
            !decisions().any(|(_, decision)| decision.after.is_some()) || !decisions().any(|place| stays(&place));
        let removed = count(|decision| matches!(decision.class, Class::Missing | Class::Terminated(_)));
        Self {
            emptying: if is_emptied && group.size_before() != 0 { removed } else { 0 },
            before: group.size_before() as u64,
            after: group.size() as u64,
            added: count(|decision| matches!(decision.class, Class::New | Class::Returning)),
            missing: count(|decision| matches!(decision.class, Class::Missing)),
            terminated: count(|decision| matches!(decision.class, Class::Terminated(_))),
        }
    }
}

/// Where a limit draws the line through `whole`, and how to say it. A share never draws it below `floor`.
fn line(limit: Limit, whole: u64, floor: u64) -> (u64, String) {
    match limit {
        Limit::Count(count) => (count, count.to_string()),
        Limit::Share(share) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share between 0 and 1 of a count of people"
            )]
            let part = (share * whole as f64).floor() as u64;
            let limit = part.max(floor);
            let percent = percent(share);
            // "2 = 5%" of six people would be a riddle.
            let said =
                if part < floor { format!("{limit}; {percent}% is less") } else { format!("{limit} = {percent}%") };
            (limit, said)
        }
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn people(count: u64) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}

fn of_members(count: u64, whole: u64, group: &GroupRef) -> String {
    format!("{count} of {whole} members of {group}")
}
