//! What must change: the confirmed rosters and one export's [`Reading`] come in, a [`Plan`] goes out. Pure: the plan is a
//! value that can be printed, compared and carried out later; nothing here sends, stores or reads a clock.
//!
//! First [`diff`] decides about every person of every group, then [`guards`] look at the whole and put what is doubtful
//! back to what is confirmed. The payload of a group is composed from the decisions: the new file's records, and the
//! confirmed records of whoever is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::config::Guards;
use crate::report::{Counts, GuardReport, GuardVerdict, MovedIn, MovedOut, PlanReport, PlanVerdict};
use crate::roster::ids::{GroupRef, PlanId, ReferenceId, RunId, SourceName};
use crate::roster::member::{Fields, Member};
use crate::roster::{Absence, ConfirmedRoster, Entry, Loss, Origin, Reading, Uncovered};

pub mod diff;
pub mod guards;
pub mod identity;
mod losses;
mod moves;
pub mod mutants;
pub mod reasons;
pub mod revert;
pub mod summary;
mod whereabouts;

/// Everything that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The run that the records will be said to come from.
    pub run: &'a RunId,
    /// The source whose export it is.
    pub source: &'a SourceName,
    /// What the export says.
    pub reading: &'a Reading,
    /// What is known of every group, of every source.
    pub baselines: &'a BTreeMap<GroupRef, Baseline>,
    /// How long which people have been missing from this source.
    pub absences: &'a BTreeMap<ReferenceId, Absence>,
    /// Whom plans of all sources removed lately without an approval.
    pub losses: &'a [Loss],
    /// Whether the export's content is that of the last accepted one: who is missing from it was counted then.
    pub is_repeat: bool,
    /// What the export before this one was like; none before the first.
    pub previous: Option<Previous>,
    /// When the export was last modified, where that is known.
    pub modified: Option<DateTime<Utc>>,
    /// The source's rules.
    pub policy: Policy<'a>,
    /// Why the whole export needs a person's approval, whatever it says; none while the records can be trusted.
    pub mistrust: Option<Mistrust<'a>>,
    /// What a person has already released.
    pub approval: Option<&'a Approval>,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// The rules of a source that a plan follows.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Where each guard draws the line.
    pub guards: &'a Guards,
    /// Exports in a row that a person must be missing from.
    pub confirm_absence: u32,
    /// A larger roster is refused.
    pub members_per_request: usize,
    /// Whether a new plan of a known member is carried out by removing and adding them.
    pub replace_plans: bool,
}

/// Why the records cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistrust<'a> {
    /// What happened: the beginning of a sentence.
    pub reason: &'a str,
    /// Whether other sources may have members in the same groups.
    pub has_other_sources: bool,
}

/// The last accepted export of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Rows that stood for people.
    pub rows: u64,
    /// Its modification time.
    pub modified: Option<DateTime<Utc>>,
    /// Whether this export's bytes are those of an export accepted before the last one.
    pub is_return: bool,
}

/// What is known of one group before the plan.
#[derive(Clone, Debug)]
pub struct Baseline {
    confirmed: Option<ConfirmedRoster>,
    covered: Option<Vec<Entry>>,
    queued: Option<Vec<Entry>>,
    /// Whom the queued roster brings from which group (this one: to join again), as far as their arrival is not confirmed.
    arriving: BTreeMap<ReferenceId, GroupRef>,
    is_paused: bool,
    standing: GroupStanding,
    alike: Alike,
}

/// People of a group for whom nothing changes, counted instead of listed: on the confirmed roster as the export names them, or another
/// source's; in a group with nothing under way; and whom no other row and no other group speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alike {
    /// Those of the source that plans.
    pub own: usize,
    /// Those of other sources.
    pub of_others: usize,
}

impl Alike {
    fn all(self) -> usize {
        self.own + self.of_others
    }
}

/// How far the members of a group can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStanding {
    /// rosterd made it, or will: whoever is not confirmed is not in it.
    Ours,
    /// It was there before rosterd. Until its first confirmed roster nobody knows who is in it.
    Stranger,
    /// Its record was lost, or is older than what was sent since. Until results confirm it anew nobody knows who is in it.
    Doubtful,
    /// The API has no such group, and the config says not to make any.
    Lacking,
}

impl Baseline {
    /// A group with nothing under way.
    pub fn new(confirmed: Option<ConfirmedRoster>, standing: GroupStanding) -> Self {
        let arriving = BTreeMap::new();
        let alike = Alike::default();
        Self { confirmed, covered: None, queued: None, arriving, is_paused: false, standing, alike }
    }

    /// Adds people who are not listed, since nothing changes for them.
    #[must_use]
    pub fn with_alike(self, alike: Alike) -> Self {
        Self { alike, ..self }
    }

    /// Adds a payload that the API may be carrying out right now: whoever is in it may be covered already, although nothing
    /// has been confirmed.
    #[must_use]
    pub fn with_in_flight(mut self, payload: &[Entry]) -> Self {
        let confirmed = self.confirmed.iter().flat_map(ConfirmedRoster::members);
        let only_confirmed =
            confirmed.filter(|entry| crate::roster::find(payload, &entry.member.reference_id).is_none());
        let mut covered: Vec<Entry> = payload.iter().chain(only_confirmed).cloned().collect();
        covered.sort_by(|a, b| a.member.reference_id.cmp(&b.member.reference_id));
        self.covered = Some(covered);
        self
    }

    /// Adds the payload that will be sent last of all that is queued.
    #[must_use]
    pub fn with_queued(mut self, payload: Vec<Entry>) -> Self {
        self.queued = Some(payload);
        self
    }

    /// Adds whom what is queued, or sent, brings from which group. They are between two groups, and confirmed in neither.
    #[must_use]
    pub fn with_arriving(mut self, moves: impl IntoIterator<Item = (ReferenceId, GroupRef)>) -> Self {
        let confirmed = self.confirmed.as_ref();
        let has_arrived = |id: &ReferenceId| confirmed.is_some_and(|roster| roster.get(id).is_some());
        let own = confirmed.map(|roster| roster.group.clone());
        let moves = moves.into_iter().filter(|(id, from)| own.as_ref() == Some(from) || !has_arrived(id));
        self.arriving = moves.collect();
        self
    }

    /// Says that nothing is sent to the group until a person has looked.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Everybody who is, or may be, covered, and is listed; sorted by reference id.
    pub fn covered(&self) -> &[Entry] {
        match &self.covered {
            Some(covered) if !mutants::is_off("in_flight") => covered,
            Some(_) | None => self.confirmed.as_ref().map_or(&[], ConfirmedRoster::members),
        }
    }

    /// The roster that the API holds when everything queued is done; a plan that leads to the same sends nothing.
    fn heading_for(&self) -> &[Entry] {
        match &self.queued {
            Some(queued) => queued,
            None => self.confirmed.as_ref().map_or(&[], ConfirmedRoster::members),
        }
    }

    /// Whether somebody is on that roster from its first part on.
    fn will_keep_somebody(&self) -> bool {
        let is_here = |entry: &Entry| !self.arriving.contains_key(&entry.member.reference_id);
        self.alike.all() != 0 || self.heading_for().iter().any(is_here)
    }

    /// Whom the last of what is queued adds: they are not covered here yet.
    fn joining(&self) -> impl Iterator<Item = &Entry> {
        let is_new = |entry: &&Entry| crate::roster::find(self.covered(), &entry.member.reference_id).is_none();
        self.queued.iter().flatten().filter(is_new)
    }

    /// Whether the last of what is queued leaves this person out.
    fn is_leaving(&self, reference_id: &ReferenceId) -> bool {
        self.queued.as_ref().is_some_and(|queued| crate::roster::find(queued, reference_id).is_none())
    }

    /// Members confirmed now.
    pub fn size(&self) -> usize {
        self.confirmed.as_ref().map_or(0, |roster| roster.members().len()) + self.alike.all()
    }

    /// Everybody who is, or may be, covered, as a number.
    fn covered_size(&self) -> usize {
        self.covered().len() + self.alike.all()
    }

    /// Whether the group's members are known: something was confirmed, or the group is ours.
    fn is_known(&self) -> bool {
        match self.standing {
            GroupStanding::Ours | GroupStanding::Lacking => true,
            GroupStanding::Stranger => self.confirmed.is_some(),
            GroupStanding::Doubtful => false,
        }
    }

    fn is_doubtful(&self) -> bool {
        self.standing == GroupStanding::Doubtful
    }

    fn is_lacking(&self) -> bool {
        self.standing == GroupStanding::Lacking
    }

    fn is_former(&self, reference_id: &ReferenceId) -> bool {
        self.confirmed.as_ref().is_some_and(|roster| roster.is_former(reference_id))
    }
}

/// What a person released by `approve`: what the held plan showed, not a blank cheque. Nobody may leave a roster by an approval
/// whom that plan did not name; for everything else the count that each guard showed is the ceiling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// What each guard counted when it was approved.
    pub ceilings: Vec<Ceiling>,
    /// Whom the held plan named as leaving, or as kept, group by group.
    pub shown: BTreeMap<GroupRef, BTreeSet<ReferenceId>>,
}

/// One approved sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The guard's name.
    pub guard: String,
    /// Its group; none for the whole file.
    pub group: Option<GroupRef>,
    /// The count that was shown; more than this is held again.
    pub value: u64,
}

impl Approval {
    /// The approval of everything that a plan holds.
    pub fn of(plan: &PlanReport) -> Self {
        let held = plan.guards.iter().filter(|report| report.verdict == GuardVerdict::Hold);
        let ceilings = held.map(|report| Ceiling {
            guard: report.guard.clone(),
            group: report.group.clone(),
            value: report.value,
        });
        let shown = plan.groups.iter().map(|group| {
            let leaving = group.terminated.iter().chain(&group.missing);
            let moving = group.moved_out.iter().map(|moved| &moved.reference_id);
            let kept = group.kept.iter().map(|kept| &kept.reference_id);
            (group.group.clone(), leaving.chain(moving).chain(kept).cloned().collect())
        });
        Self { ceilings: ceilings.collect(), shown: shown.collect() }
    }

    /// Whether this person was shown as somebody who leaves, or would but for a doubt.
    fn names(&self, group: &GroupRef, reference_id: &ReferenceId) -> bool {
        mutants::is_off("approved_people") || self.shown.get(group).is_some_and(|people| people.contains(reference_id))
    }

    fn covers(&self, guard: &str, group: Option<&GroupRef>, value: u64) -> bool {
        self.ceilings
            .iter()
            .any(|ceiling| ceiling.guard == guard && ceiling.group.as_ref() == group && value <= ceiling.value)
    }
}

/// What must change, group by group.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Every group that the source touches or has members in, in the order of their names.
    pub groups: Vec<GroupPlan<'a>>,
    /// Every guard with its sum, also those that passed.
    pub guards: Vec<GuardReport>,
    /// Whether a guard holds the whole file: nothing of it is sent.
    pub is_held_whole: bool,
    /// The source's absences, once this export is accepted.
    pub absences: BTreeMap<ReferenceId, Absence>,
    /// Whom this plan removes without an approval.
    pub losses: Vec<Loss>,
    input: Input<'a>,
}

/// What must change in one group.
#[derive(Debug)]
pub struct GroupPlan<'a> {
    /// Which.
    pub group: &'a GroupRef,
    /// The name that the export gives it; none when the export does not mention it.
    pub name: Option<&'a str>,
    /// About every person, sorted by reference id.
    pub decisions: Vec<Decision<'a>>,
    /// Whether a guard holds the whole group: nothing is sent to it, whatever is under way.
    pub is_held: bool,
    baseline: Option<&'a Baseline>,
}

/// What is decided about one person of one group.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// Who.
    pub reference_id: &'a ReferenceId,
    /// The class of the change.
    pub class: Class,
    /// The record as confirmed, or under way.
    pub before: Option<&'a Entry>,
    /// The record to submit; none leaves the person out of the payload, which ends coverage.
    pub after: Option<Record<'a>>,
    /// The group that the person has to have left before they can be added: the one itself where they join again.
    pub from: Option<&'a GroupRef>,
    /// The group that the person leaves for.
    pub to: Option<&'a GroupRef>,
}

/// A record of the payload.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// As it is confirmed.
    Same(&'a Entry),
    /// From a row of the export.
    Fresh {
        /// The record.
        member: &'a Member,
        /// The row's line.
        line: u64,
        /// The plan that the API is believed to have the person on then.
        subscribed: Subscribed,
    },
}

/// Which plan the API is believed to have somebody on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// That of the record: they join with it.
    AsWanted,
    /// The one that they are on: the API does not apply another one to a known member.
    AsBefore,
}

/// The classes of change (`design.md` 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not on the roster before.
    New,
    /// On the roster once, removed, and back.
    Returning,
    /// On the roster, with another record.
    Changed(Fields),
    /// On the roster, with the same record.
    Unchanged,
    /// Removed, since the file says so.
    Terminated(Uncovered),
    /// Removed, since the file lacks them for long enough.
    Missing,
    /// Added, since the file puts them here; they leave another group first.
    MovedIn {
        /// The group that they leave.
        from: GroupRef,
    },
    /// Removed, since the file puts them into another group, which adds them then.
    MovedOut {
        /// The group that they join.
        to: GroupRef,
        /// What changes beside the group.
        fields: Fields,
    },
    /// Left out by a roster that is under way already, and not named since: decided and counted then, so no guard asks again.
    Leaving,
    /// Would be missing, invalid or doubtful, but stays covered as confirmed.
    Kept(Doubt),
    /// Would be new, but is doubtful: not added.
    Withheld(Doubt),
}

/// Why a person stays as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The row cannot be used. Invalid is not absent.
    Invalid,
    /// Rows of the person contradict each other.
    Conflict,
    /// Absent from `seen` accepted exports in a row; `needed` confirm it.
    Absent {
        /// Exports in a row that lack the person, this one included.
        seen: u32,
        /// Exports that confirm the absence.
        needed: u32,
    },
    /// Absent, but a row of the file has no readable id and could be theirs.
    Unidentified,
    /// Another source owns the person.
    OtherSource(SourceName),
    /// The file moves the person, and something holds the move.
    Moving(Box<HeldMove>),
    /// Last name and birth date both changed: perhaps the id was given to somebody else.
    AnotherPerson,
    /// The same person is on the roster under another id, or the file has them under another one.
    Renumbered,
    /// A guard holds it.
    Guard(GuardName),
}

/// What holds a decision. As thin as a pointer: it lies in each of a million decisions, most of which nothing holds.
pub type GuardName = &'static &'static str;

/// A move that stays undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldMove {
    /// The group that the person is on.
    pub from: GroupRef,
    /// The group that the file names.
    pub to: GroupRef,
    /// What holds it.
    pub why: Hitch,
}

impl Doubt {
    fn moving(from: &GroupRef, to: &GroupRef, why: Hitch) -> Self {
        Self::Moving(Box::new(HeldMove { from: from.clone(), to: to.clone(), why }))
    }
}

/// What holds a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hitch {
    /// A guard, in one of the two groups.
    Guard(GuardName),
    /// Nothing is sent to the group that would gain the person.
    Paused,
    /// The other group does not take part: its roster is held, or the person is in doubt there.
    OtherSide,
}

/// Makes the plan.
pub fn plan(input: Input<'_>) -> Plan<'_> {
    let mut groups = diff::groups(&input);
    let absences = diff::absences(&input, &groups);
    let identity = identity::look(&groups);
    let mut judged = guards::evaluate(&input, &groups, &identity);
    let is_held_whole = guards::apply(&judged, &mut groups);
    keep_together(&input, &mut groups);
    // A move that is held for one group's size can make another too large: there are fewer and fewer left to hold.
    loop {
        let too_large = guards::evaluate_sizes(&input, &groups);
        if too_large.is_empty() {
            break;
        }
        guards::apply(&too_large, &mut groups);
        keep_together(&input, &mut groups);
        judged.extend(too_large);
    }
    let mut guards: Vec<GuardReport> = judged.into_iter().map(|judgement| judgement.report).collect();
    guards.extend(guards::confirmed_by_approval(&input, &groups, &guards));
    let losses = losses::of(&input, &groups);
    Plan { groups, guards, is_held_whole, absences, losses, input }
}

/// What holds one half of a change holds the other: of a move between groups, and of a change of ids.
fn keep_together(input: &Input<'_>, groups: &mut [GroupPlan<'_>]) {
    moves::keep_in_step(groups);
    identity::keep_former(input.reading, groups);
}

impl Plan<'_> {
    /// The whole plan's fate.
    pub fn verdict(&self) -> PlanVerdict {
        if self.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold) {
            PlanVerdict::Hold
        } else if self.groups.iter().any(GroupPlan::is_changed) {
            PlanVerdict::Apply
        } else {
            PlanVerdict::Unchanged
        }
    }

    /// People in each class, over all groups.
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { rows: self.input.reading.rows, problems: self.input.reading.invalid_rows, ..Counts::default() };
        counts.unchanged = self.groups.iter().map(|group| group.alike() as u64).sum();
        for decision in self.groups.iter().flat_map(|group| &group.decisions) {
            match &decision.class {
                Class::New => counts.new += 1,
                Class::Returning => counts.returning += 1,
                Class::Changed(_) => counts.changed += 1,
                Class::Unchanged => counts.unchanged += 1,
                Class::Terminated(_) => counts.terminated += 1,
                Class::Missing => counts.missing += 1,
                Class::MovedIn { .. } => counts.moved += 1,
                Class::Kept(_) => counts.kept += 1,
                // Whoever moves is counted where they arrive.
                Class::MovedOut { .. } | Class::Leaving | Class::Withheld(_) => {}
            }
        }
        counts
    }
}

impl GroupPlan<'_> {
    /// The roster to submit, sorted by reference id: all of it but for people who are counted instead of listed.
    pub fn payload(&self, input: &Input<'_>) -> Vec<Entry> {
        let record = |decision: &Decision<'_>| {
            let (member, subscribed) = decision.submitted()?;
            match decision.after? {
                Record::Same(entry) => Some(entry.clone()),
                Record::Fresh { line, .. } => Some(Entry {
                    member: member.clone(),
                    origin: Origin { source: input.source.clone(), run: input.run.clone(), line },
                    subscribed_plan: subscribed.clone(),
                }),
            }
        };
        self.decisions.iter().filter_map(record).collect()
    }

    /// Whether the API would hold another roster after this plan than it does, or will when what is under way is done.
    pub fn is_changed(&self) -> bool {
        if self.is_held {
            return false;
        }
        // Only results can end the doubt, so its roster goes out even if it is the one on record.
        if self.is_doubtful() {
            return true;
        }
        let heading_for = self.baseline.map_or(&[][..], Baseline::heading_for);
        let after = self.decisions.iter().filter_map(Decision::submitted);
        let is_other = !after.eq(heading_for.iter().map(|entry| (&entry.member, &entry.subscribed_plan)));
        // Whom a roster without results may have put on the group is in nothing that is confirmed or queued, and still to be removed.
        let is_queued = self.baseline.is_some_and(|baseline| baseline.queued.is_some());
        is_other || (!is_queued && self.removals().is_some_and(|removals| removals != 0))
    }

    /// Whether a roster that is queued ends the coverage of somebody whom this plan keeps. Then the plan's roster must follow it even
    /// if nothing else of the group may change: the newest export says that they are covered.
    fn takes_back_an_end(&self) -> bool {
        let Some(baseline) = self.baseline else { return false };
        let is_covered = |id| crate::roster::find(baseline.covered(), id).is_some();
        let mut staying = self.decisions.iter().filter(|decision| decision.after.is_some());
        staying.any(|decision| baseline.is_leaving(decision.reference_id) && is_covered(decision.reference_id))
    }

    /// Whom the roster adds who first has to leave a group, maybe this one.
    pub fn moves_in(&self) -> Vec<MovedIn> {
        let moves = self.decisions.iter().filter(|decision| decision.after.is_some());
        let one = |decision: &Decision<'_>| {
            Some(MovedIn { reference_id: decision.reference_id.clone(), from: decision.from?.clone() })
        };
        moves.filter_map(one).collect()
    }

    /// Whom the roster leaves out who is to join another group.
    pub fn moves_out(&self) -> Vec<MovedOut> {
        let moves = self.decisions.iter().filter(|decision| decision.after.is_none());
        let one = |decision: &Decision<'_>| {
            Some(MovedOut { reference_id: decision.reference_id.clone(), to: decision.to?.clone() })
        };
        moves.filter_map(one).collect()
    }

    /// Members after the plan.
    pub fn size(&self) -> usize {
        self.decisions.iter().filter(|decision| decision.after.is_some()).count() + self.alike()
    }

    /// People for whom nothing changes, and about whom there is no decision: they are not listed.
    pub fn alike(&self) -> usize {
        self.baseline.map_or(0, |baseline| baseline.alike.all())
    }

    /// Whether there is a decision about somebody.
    pub fn decides_about(&self, reference_id: &ReferenceId) -> bool {
        self.decisions.binary_search_by(|decision| decision.reference_id.cmp(reference_id)).is_ok()
    }

    /// Members confirmed before it.
    pub fn size_before(&self) -> usize {
        self.baseline.map_or(0, Baseline::size)
    }

    /// People who are covered, or may be, and whom the plan leaves out; none where nobody knows who is covered.
    pub fn removals(&self) -> Option<usize> {
        let covered = self.baseline.map_or(&[][..], Baseline::covered);
        let leaves = |decision: &&Decision<'_>| {
            decision.after.is_none() && crate::roster::find(covered, decision.reference_id).is_some()
        };
        self.is_known().then(|| self.decisions.iter().filter(leaves).count())
    }

    fn is_known(&self) -> bool {
        self.baseline.is_none_or(Baseline::is_known)
    }

    fn is_doubtful(&self) -> bool {
        self.baseline.is_some_and(Baseline::is_doubtful)
    }

    fn is_lacking(&self) -> bool {
        self.baseline.is_some_and(Baseline::is_lacking)
    }

    fn is_paused(&self) -> bool {
        self.baseline.is_some_and(|baseline| baseline.is_paused)
    }
}

impl Decision<'_> {
    /// What would be submitted, and the plan that the API would have the person on.
    fn submitted(&self) -> Option<(&Member, &PlanId)> {
        Some(match self.after? {
            Record::Same(entry) => (&entry.member, &entry.subscribed_plan),
            Record::Fresh { member, subscribed, .. } => match (subscribed, self.before) {
                (Subscribed::AsBefore, Some(before)) => (member, &before.subscribed_plan),
                (Subscribed::AsBefore, None) | (Subscribed::AsWanted, _) => (member, &member.plan_id),
            },
        })
    }

    /// Whether the person leaves the group and joins it again, for another plan.
    fn is_replaced_in(&self, group: &GroupRef) -> bool {
        if self.from != Some(group) {
            return false;
        }
        let (Some(before), Some((_, subscribed))) = (self.before, self.submitted()) else { return false };
        matches!(self.class, Class::Changed(_)) && *subscribed != before.subscribed_plan
    }

    /// Puts a doubtful person back to what is confirmed.
    fn hold(&mut self, doubt: Doubt) {
        self.to = None;
        if let Some(entry) = self.before {
            self.class = Class::Kept(doubt);
            self.after = Some(Record::Same(entry));
        } else {
            self.class = Class::Withheld(doubt);
            self.after = None;
        }
    }
}

#[cfg(test)]
mod tests;
