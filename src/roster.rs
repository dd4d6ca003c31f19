//! Rosters: the members of one group.
//!
//! Rows of an export come in and become [`Person`]s of a [`Reading`]; what the API confirmed is a [`ConfirmedRoster`].
//! Pure: nothing here reads a file, a clock or the network.

use std::collections::BTreeMap;
use std::convert::Infallible;

use chrono::{DateTime, Utc};

use crate::export::problem::{Code, Problem};

pub mod familiar;
pub mod fingerprint;
pub mod ids;
pub mod mapping;
pub mod member;
pub mod normalise;

use familiar::Mark;
use ids::{GroupRef, PlanId, ReferenceId, RunId, SourceName};
use member::Member;

/// Where a member's record came from: enough to find the line again years later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source that owns the member: absence from another source never removes them.
    pub source: SourceName,
    /// The run that brought this record.
    pub run: RunId,
    /// The line of that run's file.
    pub line: u64,
}

/// One member in a payload or a confirmed roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record as sent, or as last confirmed.
    pub member: Member,
    /// Where it came from.
    pub origin: Origin,
    /// The plan that the API is believed to have the person on: the one they were added with, since the API does not
    /// apply another plan to a known member.
    pub subscribed_plan: PlanId,
}

/// What the API has confirmed about one group: the prior state of every plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmedRoster {
    /// Whose members these are.
    pub group: GroupRef,
    /// Sorted by reference id, each once.
    members: Vec<Entry>,
    /// People who once were confirmed and were removed: they would be *returning*. Sorted, each once.
    former: Vec<ReferenceId>,
    /// When the API last confirmed it.
    pub confirmed_at: DateTime<Utc>,
}

impl ConfirmedRoster {
    /// Takes the members in any order; of two entries with one reference id the first stays.
    pub fn new(
        group: GroupRef,
        mut members: Vec<Entry>,
        mut former: Vec<ReferenceId>,
        confirmed_at: DateTime<Utc>,
    ) -> Self {
        if !members.is_sorted_by(|a, b| a.member.reference_id < b.member.reference_id) {
            members.sort_by(|a, b| a.member.reference_id.cmp(&b.member.reference_id));
            members.dedup_by(|a, b| a.member.reference_id == b.member.reference_id);
        }
        former.sort();
        former.dedup();
        Self { group, members, former, confirmed_at }
    }

    /// The members, sorted by reference id.
    pub fn members(&self) -> &[Entry] {
        &self.members
    }

    /// The members, as their own.
    pub fn into_members(self) -> Vec<Entry> {
        self.members
    }

    /// The removed, sorted.
    pub fn former(&self) -> &[ReferenceId] {
        &self.former
    }

    /// One member.
    pub fn get(&self, reference_id: &ReferenceId) -> Option<&Entry> {
        find(&self.members, reference_id)
    }

    /// Whether a person was confirmed once and removed since.
    pub fn is_former(&self, reference_id: &ReferenceId) -> bool {
        self.former.binary_search(reference_id).is_ok()
    }
}

/// Everybody of both, sorted by reference id; where somebody is in both, as `newer` has them. Both are sorted.
pub fn merged(newer: Vec<Entry>, older: Vec<Entry>) -> Vec<Entry> {
    let only_older: Vec<Entry> =
        older.into_iter().filter(|entry| find(&newer, &entry.member.reference_id).is_none()).collect();
    let mut all = newer;
    all.extend(only_older);
    all.sort_by(|a, b| a.member.reference_id.cmp(&b.member.reference_id));
    all
}

/// Looks a person up in entries that are sorted by reference id.
pub fn find<'a>(sorted: &'a [Entry], reference_id: &ReferenceId) -> Option<&'a Entry> {
    sorted.binary_search_by(|entry| entry.member.reference_id.cmp(reference_id)).ok().and_then(|at| sorted.get(at))
}

/// What one export says about its people, group by group: the desired state and its doubts.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Everybody whose id could be read, sorted by reference id, each once.
    pub people: Vec<Person>,
    /// The groups that the file names, with the name that the cell gives them.
    pub groups: BTreeMap<GroupRef, String>,
    /// What is wrong, and what was repaired, in the order of the lines.
    pub problems: Vec<Problem>,
    /// Lines of rows whose reference id cannot be read. They could be anybody, so nobody may count as missing.
    pub unidentified: Vec<u64>,
    /// The row with which the file ends, if no line end follows it.
    pub open: Option<OpenRow>,
    /// Rows that stand for people: blank lines, titles and totals are not counted.
    pub rows: u64,
    /// Rows with a problem that costs them their place.
    pub invalid_rows: u64,
}

/// A row that may be cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// Its line.
    pub line: u64,
    /// Whose it is, or that of whose id it holds the beginning; none where no id could be read.
    pub reference_id: Option<ReferenceId>,
    /// Whether it cannot be used anyway.
    pub is_invalid: bool,
}

impl Reading {
    /// Takes the row without a line end for one that is cut off: any of its cells may be the beginning of another, its id as well, so
    /// that it may be about anybody. For a file of a source whose exports end with a line end.
    pub fn distrust_open_row(&mut self) {
        let Some(OpenRow { line, reference_id, is_invalid }) = self.open.take() else { return };
        let Some(id) = reference_id else { return };
        if let Ok(at) = self.people.binary_search_by(|person| person.reference_id().cmp(&id)) {
            match self.people.get_mut(at) {
                // Other rows about them are whole.
                Some(person) if person.line != line => person.contradict(),
                _ => drop(self.people.remove(at)),
            }
        }
        self.unidentified.push(line);
        self.invalid_rows += u64::from(!is_invalid);
        let message = "The file ends with this row and without a line end, which the last export had: the row may be cut off, in its \
                       id as well. Nobody counts as missing, and whoever it is about stays as they are; export the file again.";
        self.problems.push(Problem {
            line,
            column: None,
            reference_id: None,
            code: Code::CutRow,
            message: message.to_owned(),
        });
        self.problems.sort_by_key(|problem| problem.line);
    }

    /// One person of the reading.
    pub fn get(&self, reference_id: &ReferenceId) -> Option<&Person> {
        self.people
            .binary_search_by(|person| person.reference_id().cmp(reference_id))
            .ok()
            .and_then(|at| self.people.get(at))
    }
}

/// What one export says about one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The line of the row that decided, counted from 1.
    pub line: u64,
    /// The group that the row names; `None` when that cell is part of the problem, or the group is ignored.
    pub group: Option<GroupRef>,
    /// What their only row may be known by in the next export; none where there was anything to say of it.
    pub mark: Option<Box<Mark>>,
    who: Who,
}

/// Whose record is there is known by it: an id beside it would be in memory a million times for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Covered(Member),
    Other(ReferenceId, Standing<Infallible>),
}

impl Person {
    /// What a row says, without a mark. Whoever is covered has the id of their record.
    pub fn new(reference_id: &ReferenceId, line: u64, group: Option<GroupRef>, standing: Standing) -> Self {
        let other = |standing| Who::Other(reference_id.clone(), standing);
        let who = match standing {
            Standing::Covered(member) => Who::Covered(member),
            Standing::Uncovered(why) => other(Standing::Uncovered(why)),
            Standing::Invalid => other(Standing::Invalid),
            Standing::Conflict => other(Standing::Conflict),
        };
        Self { line, group, mark: None, who }
    }

    /// Who.
    pub fn reference_id(&self) -> &ReferenceId {
        match &self.who {
            Who::Covered(member) => &member.reference_id,
            Who::Other(reference_id, _) => reference_id,
        }
    }

    /// Whether the person belongs on a roster, and with which record.
    pub fn standing(&self) -> Standing<&Member> {
        match &self.who {
            Who::Covered(member) => Standing::Covered(member),
            Who::Other(_, Standing::Covered(nobody)) => match *nobody {},
            Who::Other(_, Standing::Uncovered(why)) => Standing::Uncovered(*why),
            Who::Other(_, Standing::Invalid) => Standing::Invalid,
            Who::Other(_, Standing::Conflict) => Standing::Conflict,
        }
    }

    /// The record of whoever is covered.
    pub fn member(&self) -> Option<&Member> {
        match &self.who {
            Who::Covered(member) => Some(member),
            Who::Other(..) => None,
        }
    }

    /// Says that rows of the person contradict each other, whatever this one says.
    pub fn contradict(&mut self) {
        self.mark = None;
        self.who = Who::Other(self.reference_id().clone(), Standing::Conflict);
    }
}

/// Whether an export wants a person on a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<M = Member> {
    /// Covered today, with this record.
    Covered(M),
    /// The file says, or implies by its dates, that the person is not covered today.
    Uncovered(Uncovered),
    /// The row cannot be used. Invalid is not absent: a covered person stays covered.
    Invalid,
    /// Rows of the person contradict each other. Doubtful is held: a covered person stays as they are.
    Conflict,
}

/// Why a person of the file is not on a roster today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Uncovered {
    /// A terminated status, or an end of coverage that has come.
    Terminated,
    /// The same, and the last day of coverage is more than 30 days ago: somebody told us late, and HR should know.
    EndedLongAgo,
    /// Between two periods: the last day of the first has not come, the first day of the second neither. Whoever is covered stays
    /// covered, as they are; nobody joins for the days that are left of a first period that was never known.
    Between,
    /// The start date has not come.
    NotStarted,
    /// The plan cell is mapped to `none`.
    Waived,
    /// The group cell is outside the map and the config says `ignore`.
    Ignored,
}

/// A person whom a plan left out of a group's roster although nobody approved it: what `rolling_removals` adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The roster that they left.
    pub group: GroupRef,
    /// Who.
    pub reference_id: ReferenceId,
    /// When it was planned.
    pub at: DateTime<Utc>,
    /// Whether a file stated it; otherwise the person was missing.
    pub is_stated: bool,
}

/// How long a person has been missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Accepted exports in a row that lack the person.
    pub exports: u32,
    /// When the first of them was accepted.
    pub since: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReferenceId {
        ReferenceId::parse(text).unwrap()
    }

    fn person(reference_id: &str, line: u64) -> Person {
        Person::new(&id(reference_id), line, None, Standing::Uncovered(Uncovered::Terminated))
    }

    #[test]
    fn a_row_that_may_be_cut_off_is_about_nobody_and_leaves_a_doubt_where_other_rows_are_whole() {
        let reading = |open: Option<OpenRow>| {
            let people = vec![person("E1", 2), person("E2", 3)];
            let mut reading = Reading { people, open, rows: 3, ..Reading::default() };
            reading.distrust_open_row();
            reading
        };
        let open = |who, line| Some(OpenRow { line, reference_id: Some(id(who)), is_invalid: false });
        assert_eq!(reading(None).people.len(), 2);

        let alone = reading(open("E2", 3));
        assert_eq!((alone.people, &alone.unidentified[..], alone.invalid_rows), (vec![person("E1", 2)], &[3][..], 1));
        assert_eq!(alone.problems[0].line, 3);

        // E2 has a whole row on line 3, and perhaps another on line 4.
        let joined = reading(open("E2", 4));
        assert_eq!(joined.get(&id("E2")).map(Person::standing), Some(Standing::Conflict));
        assert_eq!((&joined.unidentified[..], joined.invalid_rows), (&[4][..], 1));
    }
}
