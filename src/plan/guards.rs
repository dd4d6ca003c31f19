//! The guards: checks that can hold a plan, or the doubtful part of it (`design.md` 10).
//!
//! All of them are evaluated on the plain difference even when one already holds, so that one approval covers exactly what
//! it shows. Then what is held is put back to what is confirmed.

use rayon::prelude::*;

use crate::config::Limit;
use crate::report::{GuardReport, GuardVerdict};
use crate::roster::ids::GroupRef;
use crate::roster::member::Field;

use super::identity::{Identity, Place};
use super::{Baseline, Class, Decision, Doubt, GroupPlan, GuardName, Hitch, Input, losses, mutants};

/// Additions up to this many never hold a group: small groups grow by leaps.
const ADDITIONS_FLOOR: u64 = 10;
/// Terminations up to this many never hold: a person stated each of them, with a date.
pub(super) const TERMINATIONS_FLOOR: u64 = 3;
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
    Moves(usize),
    Losses(usize),
    Replaced(usize),
    People(Vec<Place>, Doubt),
}

/// Evaluates every guard on the plain difference.
pub(super) fn evaluate(input: &Input<'_>, groups: &[GroupPlan<'_>], identity: &Identity) -> Vec<Judgement> {
    let judge = Judge { input, groups };
    let mut judged = Vec::new();
    judged.extend(judge.mistrust(groups));
    judged.extend(judge.stale());
    judged.extend(judge.rows_dropped());
    judged.extend(judge.invalid_rows());
    judged.extend(judge.field_changed(groups));
    judged.extend(judge.identity_changes(groups, identity));
    judged.extend(judge.people("another_person", (&identity.another_person, &[]), &Doubt::AnotherPerson));
    judged.extend(judge.people("renumbered", (&identity.renumbered, &identity.former), &Doubt::Renumbered));
    judged.par_extend(groups.par_iter().enumerate().flat_map_iter(|(at, group)| judge.group(at, group)));
    judged
}

/// Evaluates what depends on what the other guards held.
pub(super) fn evaluate_sizes(input: &Input<'_>, groups: &[GroupPlan<'_>]) -> Vec<Judgement> {
    let judge = Judge { input, groups };
    let look = |(at, group)| [judge.size(at, group), judge.emptied(at, group, &Tally::of(group))].into_iter().flatten();
    let judged = groups.par_iter().enumerate().flat_map_iter(look);
    judged.filter(|judgement| judgement.report.verdict == GuardVerdict::Hold).collect()
}

/// Puts back what is held. Whether the whole file is held.
pub(super) fn apply(judged: &[Judgement], groups: &mut [GroupPlan<'_>]) -> bool {
    let mut is_held_whole = false;
    for judgement in judged.iter().filter(|judgement| judgement.report.verdict == GuardVerdict::Hold) {
        let guard = guard_name(&judgement.report.guard);
        match &judgement.target {
            Target::File => is_held_whole = true,
            Target::Group(at) => {
                hold_in(groups, *at, guard, &judgement.target);
                if let Some(group) = groups.get_mut(*at) {
                    group.is_held = *guard != "additions" || !group.takes_back_an_end();
                }
            }
            Target::Missing(at)
            | Target::Terminated(at)
            | Target::Removals(at)
            | Target::Moves(at)
            | Target::Losses(at) => {
                hold_in(groups, *at, guard, &judgement.target);
            }
            Target::Replaced(at) => {
                if let Some(GroupPlan { group, decisions, .. }) = groups.get_mut(*at) {
                    let replaced = decisions.iter_mut().filter(|decision| decision.is_replaced_in(group));
                    replaced.for_each(|decision| decision.hold(Doubt::Guard(guard)));
                }
            }
            Target::People(places, doubt) => {
                for place in places {
                    let group = groups.get_mut(place.group);
                    let decision = group.and_then(|group| group.decisions.get_mut(place.decision));
                    // Who is kept for another reason stays so for that reason.
                    if let Some(decision) = decision.filter(|decision| is_any_change(&decision.class)) {
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
        Class::New
        | Class::Returning
        | Class::Changed(_)
        | Class::Terminated(_)
        | Class::Missing
        | Class::MovedIn { .. }
        | Class::MovedOut { .. } => true,
        Class::Unchanged | Class::Leaving | Class::Kept(_) | Class::Withheld(_) => false,
    }
}

impl Target {
    /// Whether the guard, when it holds, puts such a decision back.
    fn holds(&self, class: &Class) -> bool {
        match self {
            Self::Missing(_) => matches!(class, Class::Missing),
            Self::Terminated(_) => matches!(class, Class::Terminated(_)),
            Self::Removals(_) => matches!(class, Class::Missing | Class::Terminated(_) | Class::MovedOut { .. }),
            Self::Moves(_) => matches!(class, Class::MovedOut { .. }),
            Self::Losses(_) => matches!(class, Class::Missing | Class::Terminated(_)),
            Self::File | Self::Group(_) => is_any_change(class),
            Self::Replaced(_) | Self::People(..) => false,
        }
    }
}

fn hold_in(groups: &mut [GroupPlan<'_>], at: usize, guard: GuardName, target: &Target) {
    let Some(GroupPlan { group: here, decisions, .. }) = groups.get_mut(at) else { return };
    for decision in decisions.iter_mut().filter(|decision| target.holds(&decision.class)) {
        let moving = |from, to| Doubt::moving(from, to, Hitch::Guard(guard));
        let doubt = match &decision.class {
            Class::MovedIn { from } => moving(from, here),
            Class::MovedOut { to, .. } => moving(here, to),
            Class::New
            | Class::Returning
            | Class::Changed(_)
            | Class::Unchanged
            | Class::Terminated(_)
            | Class::Missing
            | Class::Leaving
            | Class::Kept(_)
            | Class::Withheld(_) => Doubt::Guard(guard),
        };
        decision.hold(doubt);
    }
}

/// What an approval of the held plan does beyond the guards' own people: it confirms every absence (`design.md` 10). One line a
/// group, so that whoever approves has seen it.
pub(super) fn confirmed_by_approval(
    input: &Input<'_>,
    groups: &[GroupPlan<'_>],
    guards: &[GuardReport],
) -> Vec<GuardReport> {
    // An approval of doubtful records confirms no absence.
    if input.mistrust.is_some()
        || mutants::is_off("confirm_absence")
        || !guards.iter().any(|report| report.verdict == GuardVerdict::Hold)
    {
        return Vec::new();
    }
    let absent = |group: &GroupPlan<'_>| {
        let is_absent = |decision: &&Decision<'_>| matches!(decision.class, Class::Kept(Doubt::Absent { .. }));
        let value = group.decisions.iter().filter(is_absent).count() as u64;
        let members = of_members(value, group.size_before() as u64, group.group);
        let sum = format!(
            "{members} are not in this file, and covered until more files lack them; an approval says that they have left, and removes them"
        );
        (value != 0).then(|| GuardReport {
            guard: "confirm_absence".to_owned(),
            group: Some(group.group.clone()),
            value,
            limit: 0,
            verdict: GuardVerdict::Hold,
            sum,
        })
    };
    groups.iter().filter_map(absent).collect()
}

/// The names of all guards, as in the config, in plans and in receipts.
pub static NAMES: [&str; 19] = [
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
    "rolling_removals",
    "moves",
    "plan_changes",
    "additions",
    "confirm_absence",
];

fn guard_name(name: &str) -> GuardName {
    NAMES.iter().find(|known| **known == name).unwrap_or(&"guard")
}

struct Judge<'i, 'a> {
    input: &'i Input<'a>,
    groups: &'i [GroupPlan<'a>],
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
        let verdict = if value <= limit || mutants::is_off(guard) {
            GuardVerdict::Pass
        } else if self.is_approved(guard, group, value, &target) {
            GuardVerdict::Approved
        } else {
            GuardVerdict::Hold
        };
        let report = GuardReport { guard: guard.to_owned(), group: group.cloned(), value, limit, verdict, sum };
        Judgement { report, target }
    }

    /// Whether what the guard saw was shown to whoever approved the plan: everybody who would leave, one by one; of everything else
    /// no more than was counted.
    fn is_approved(&self, guard: &str, group: Option<&GroupRef>, value: u64, target: &Target) -> bool {
        let Some(approval) = self.input.approval else { return false };
        match target {
            Target::Missing(at)
            | Target::Terminated(at)
            | Target::Removals(at)
            | Target::Moves(at)
            | Target::Losses(at) => {
                let decisions = self.groups.get(*at).into_iter().flat_map(|plan| &plan.decisions);
                let mut leaving = decisions.clone().filter(|decision| target.holds(&decision.class));
                // Who else leaves, by what is queued, was shown to nobody: that nobody is left takes an approval of its own.
                let is_shown = guard != "empty"
                    || approval.covers(guard, group, value)
                    || !decisions.into_iter().any(|decision| decision.class == Class::Leaving);
                is_shown
                    && group.is_some_and(|group| leaving.all(|decision| approval.names(group, decision.reference_id)))
            }
            Target::File | Target::Group(_) | Target::Replaced(_) | Target::People(..) => {
                !UNAPPROVABLE.contains(&guard) && approval.covers(guard, group, value)
            }
        }
    }

    /// The first export after the records came into doubt is only looked at, until a person has seen what it would do.
    fn mistrust(&self, groups: &[GroupPlan<'_>]) -> Option<Judgement> {
        let mistrust = self.input.mistrust?;
        let sent: u64 = groups.iter().map(|group| group.size() as u64).sum();
        let groups = groups.iter().filter(|group| group.size() != 0).count();
        let others = if mistrust.has_other_sources {
            "; people of other sources go out as far as they are on record"
        } else {
            ""
        };
        let sum = format!(
            "{}. {} in {groups} {} would be sent as all there are, and anybody else whom the API covers there would lose \
             coverage{others}",
            mistrust.reason,
            people(sent),
            if groups == 1 { "group" } else { "groups" }
        );
        let seen = Seen { guard: "baseline", group: None, value: sent.max(1), limit: 0, sum };
        Some(self.judge(seen, Target::File))
    }

    /// The members of a group that nobody knows, or that are known from a doubtful record only.
    fn baseline(&self, at: usize, group: &GroupPlan<'_>) -> Option<Judgement> {
        if group.is_known() {
            return None;
        }
        let (name, after) = (group.group, group.size() as u64);
        let sum = if group.is_doubtful() {
            format!(
                "the record of {name} is in doubt: it has {}, and {} would be sent; whoever else the API covers there would \
                 lose coverage",
                people(group.size_before() as u64),
                people(after)
            )
        } else if self.input.mistrust.is_some() {
            format!(
                "nothing is on record of who is in {name}: submitting {} would remove everybody else whom the API covers there",
                people(after)
            )
        } else {
            format!(
                "{name} was in the API before rosterd and its members are not known: submitting {} would remove everybody \
                 else",
                people(after)
            )
        };
        // When the whole file is held, the plan goes on to show what would be sent.
        let target = if self.input.mistrust.is_some() { Target::File } else { Target::Group(at) };
        let seen = Seen { guard: "baseline", group: Some(name), value: after.max(1), limit: 0, sum };
        Some(self.judge(seen, target))
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
        let mut staying: u64 = groups.iter().map(|group| group.alike() as u64).sum();
        for decision in groups.iter().flat_map(|group| &group.decisions) {
            match &decision.class {
                Class::Changed(fields) | Class::MovedOut { fields, .. } => {
                    staying += 1;
                    for field in fields.iter() {
                        *changed.entry(field).or_default() += 1;
                    }
                }
                Class::Unchanged => staying += 1,
                Class::New
                | Class::Returning
                | Class::Terminated(_)
                | Class::Missing
                | Class::MovedIn { .. }
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

    /// People who are held one by one, and with them those whom they were before; reported group by group.
    fn people(
        &self,
        guard: &'static str,
        (places, former): (&[Place], &[(Place, Place)]),
        doubt: &Doubt,
    ) -> Vec<Judgement> {
        let what = if *doubt == Doubt::AnotherPerson {
            "with another last name and another birth date under the same id: perhaps it was given to somebody else"
        } else {
            "with a new id, who are on a roster under an id that the file lacks: perhaps ids lost their zeros (id_width)"
        };
        let by_group = places.chunk_by(|a, b| a.group == b.group);
        by_group
            .filter_map(|places| {
                let group = self.groups.get(places.first()?.group)?;
                let sum = format!("{} of {} {what}", people(places.len() as u64), group.group);
                let seen = Seen { guard, group: Some(group.group), value: places.len() as u64, limit: 0, sum };
                let former = former.iter().filter(|(new, _)| places.binary_search(new).is_ok()).map(|(_, old)| *old);
                let held = places.iter().copied().chain(former).collect();
                Some(self.judge(seen, Target::People(held, doubt.clone())))
            })
            .collect()
    }

    /// A roster that the API would refuse. Looked at when everything else is decided: whoever is kept is in it too.
    fn size(&self, at: usize, group: &GroupPlan<'_>) -> Option<Judgement> {
        let (name, largest, after) = (group.group, self.input.policy.members_per_request as u64, group.size() as u64);
        let sum = format!("{name} would have {after} members (members_per_request = {largest}); it is never split");
        let seen = Seen { guard: "members_per_request", group: Some(name), value: after, limit: largest, sum };
        (largest < after && !group.is_held).then(|| self.judge(seen, Target::Group(at)))
    }

    /// A group that nobody would be left in, if only until those arrive who first have to leave another group: the first part of its
    /// roster would be an empty one. Where people move, also a group in which nobody is left of those who are in it now, whoever
    /// joins: that is what a wrong group column looks like. Looked at twice: on the plain difference, so that one approval covers
    /// it, and when everything else is decided, since whoever may not join does not keep a group from being emptied.
    ///
    /// A plan that removes nobody empties a group as well: another source's queued roster takes the last one off because somebody is
    /// about to join, and this one would not let them. Then the roster that is queued stays.
    fn emptied(&self, at: usize, group: &GroupPlan<'_>, tally: &Tally) -> Option<Judgement> {
        let removed = tally.missing + tally.terminated + tally.moved_out;
        let any = |is: fn(&Decision<'_>) -> bool| group.decisions.iter().any(is);
        let nobody_stays = |is: fn(&Decision<'_>) -> bool| group.alike() == 0 && !any(is);
        let is_first_part_empty = nobody_stays(|decision| decision.after.is_some() && decision.from.is_none());
        let is_exchanged =
            0 < tally.moved_out && nobody_stays(|decision| decision.before.is_some() && decision.after.is_some());
        // Whoever is not confirmed yet may be covered: by a first roster that is under way.
        let before = group.baseline.map_or(0, Baseline::covered_size);
        let sum = format!("all {before} members of {} would be removed", group.group);
        let (value, target, is_emptied) = if removed == 0 {
            let were_to_stay = group.baseline.is_some_and(Baseline::will_keep_somebody);
            let are_leaving = any(|decision| decision.class == Class::Leaving);
            (before as u64, Target::Group(at), is_first_part_empty && are_leaving && were_to_stay && !group.is_held)
        } else {
            (removed, Target::Removals(at), is_first_part_empty || is_exchanged)
        };
        let seen = Seen { guard: "empty", group: Some(group.group), value, limit: 0, sum };
        (0 < before && is_emptied).then(|| self.judge(seen, target))
    }

    /// A feed that loses a few people a day.
    fn rolling(&self, at: usize, group: &GroupPlan<'_>, tally: &Tally) -> Option<Judgement> {
        let guards = self.input.policy.guards;
        let limit = guards.rolling_removals.filter(|_| 0 < tally.missing + tally.terminated)?;
        let lost = losses::count(self.input, group)?;
        let whole = tally.before + lost.gone;
        let (limit, said) = line(limit, whole, lost.floor);
        let members = of_members(lost.all, whole, group.group);
        let window = window(guards.rolling_window);
        let sum = format!(
            "{members} would have lost coverage within {window}, earlier files included, which nobody has approved (limit {said})"
        );
        let seen = Seen { guard: "rolling_removals", group: Some(group.group), value: lost.all, limit, sum };
        Some(self.judge(seen, Target::Losses(at)))
    }

    fn group(&self, at: usize, group: &GroupPlan<'_>) -> Vec<Judgement> {
        let guards = self.input.policy.guards;
        let tally = Tally::of(group);
        let name = group.group;
        let mut judged = Vec::from_iter(self.baseline(at, group));
        let mut say = |seen: Seen<'_>, target| judged.push(self.judge(seen, target));
        let seen = |guard, value, limit, sum| Seen { guard, group: Some(name), value, limit, sum };

        if group.is_lacking() && tally.after != 0 {
            let sum = format!(
                "the API has no group {name}: make it with `rosterd groups create {name} --name NAME`, or set create = true"
            );
            say(seen("no_group", tally.after, 0, sum), Target::Group(at));
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
        judged.extend(self.emptied(at, group, &tally));
        judged.extend(self.rolling(at, group, &tally));
        judged.extend(self.moves(at, group, &tally));
        judged.retain(|judgement| judgement.report.value != 0);
        judged
    }

    /// A wrong group column moves everybody, a wrong plan column ends and restarts everybody: each is stated by the file like a
    /// termination, and draws its line where terminations do.
    fn moves(&self, at: usize, group: &GroupPlan<'_>, tally: &Tally) -> Vec<Judgement> {
        let Some(limit) = self.input.policy.guards.terminations else { return Vec::new() };
        let name = group.group;
        let (limit, said) = line(limit, tally.before, TERMINATIONS_FLOOR);
        let judge = |guard, value, what, target| {
            let sum = format!("{} would {what} (limit {said})", of_members(value, tally.before, name));
            self.judge(Seen { guard, group: Some(name), value, limit, sum }, target)
        };
        let mut judged = Vec::new();
        if 0 < tally.moved_out {
            judged.push(judge("moves", tally.moved_out, "move to other groups", Target::Moves(at)));
        }
        if 0 < tally.replaced {
            let what = "leave and join again for another plan";
            judged.push(judge("plan_changes", tally.replaced, what, Target::Replaced(at)));
        }
        judged
    }
}

struct Tally {
    before: u64,
    after: u64,
    added: u64,
    missing: u64,
    terminated: u64,
    moved_out: u64,
    replaced: u64,
}

impl Tally {
    fn of(group: &GroupPlan<'_>) -> Self {
        let (before, after) = (group.size_before() as u64, group.size() as u64);
        let mut tally = Self { before, after, added: 0, missing: 0, terminated: 0, moved_out: 0, replaced: 0 };
        for decision in &group.decisions {
            match decision.class {
                Class::New | Class::Returning | Class::MovedIn { .. } => tally.added += 1,
                Class::Missing => tally.missing += 1,
                Class::Terminated(_) => tally.terminated += 1,
                Class::MovedOut { .. } => tally.moved_out += 1,
                Class::Changed(_) => tally.replaced += u64::from(decision.is_replaced_in(group.group)),
                Class::Unchanged | Class::Leaving | Class::Kept(_) | Class::Withheld(_) => {}
            }
        }
        tally
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

/// `7 days`: whoever reads it does not know the language of the config.
fn window(length: std::time::Duration) -> String {
    const DAY: u64 = 86_400;
    match length.as_secs() / DAY {
        1 if length.as_secs() == DAY => "1 day".to_owned(),
        days if 1 < days && length.as_secs() == days * DAY => format!("{days} days"),
        _ => humantime::format_duration(length).to_string(),
    }
}

fn people(count: u64) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}

fn of_members(count: u64, whole: u64, group: &GroupRef) -> String {
    format!("{count} of {whole} members of {group}")
}
