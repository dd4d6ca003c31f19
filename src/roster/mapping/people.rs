//! Several rows of one person become one person, or a conflict.
//!
//! Rows that do not speak about today give way to those that do. Of these, rows of an earlier period give way to the latest;
//! a row without a first day belongs to every period. What is left must agree: a row that cannot be read makes the person
//! invalid, and rows that say different things make a conflict. Rows that cover two different people under one id are a
//! conflict whatever their periods: else the later hire would silently take the other's place.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::{fmt, vec};

use chrono::NaiveDate;
use compact_str::CompactString;

use super::bind::Bound;
use super::findings::Findings;
use crate::export::problem::Code;
use crate::roster::ids::{GroupRef, ReferenceId};
use crate::roster::member::{Field, Member};
use crate::roster::{Person, Standing, Uncovered};

/// Lines that a message names; of a person with more rows it counts the rest.
const NAMED_LINES: usize = 10;

/// What tells people apart when ids do not.
const WHO: [Field; 3] = [Field::FirstName, Field::LastName, Field::DateOfBirth];

/// What one row says about a person.
pub(super) struct Draft {
    pub(super) person: Person,
    /// The first day of the row's period.
    pub(super) start: Option<NaiveDate>,
}

impl Draft {
    /// Whether the row speaks about today: it covers, waives, or might.
    fn is_current(&self) -> bool {
        match self.person.standing() {
            Standing::Covered(_) | Standing::Invalid | Standing::Conflict | Standing::Uncovered(Uncovered::Waived) => {
                true
            }
            Standing::Uncovered(
                Uncovered::Terminated
                | Uncovered::EndedLongAgo
                | Uncovered::Between
                | Uncovered::NotStarted
                | Uncovered::Ignored,
            ) => false,
        }
    }

    /// Whether the row speaks about today and no later period replaces it.
    fn counts(&self, latest: Option<NaiveDate>) -> bool {
        self.is_current() && (self.start.is_none() || self.start == latest)
    }

    /// Which of a person's rows decides: the lowest.
    fn rank(&self, latest: Option<NaiveDate>) -> u8 {
        match self.person.standing() {
            Standing::Invalid | Standing::Conflict if self.counts(latest) => 0,
            Standing::Covered(_) if self.counts(latest) => 1,
            Standing::Uncovered(Uncovered::Waived) if self.counts(latest) => 2,
            Standing::Uncovered(Uncovered::Between) => 3,
            Standing::Uncovered(Uncovered::Terminated) => 4,
            Standing::Uncovered(Uncovered::EndedLongAgo) => 5,
            Standing::Uncovered(Uncovered::NotStarted) => 6,
            Standing::Uncovered(Uncovered::Ignored) => 7,
            Standing::Invalid | Standing::Conflict | Standing::Covered(_) | Standing::Uncovered(Uncovered::Waived) => 8,
        }
    }

    fn is_invalid(&self) -> bool {
        self.person.standing() == Standing::Invalid
    }

    fn is_waived(&self) -> bool {
        self.person.standing() == Standing::Uncovered(Uncovered::Waived)
    }

    fn id(&self) -> &ReferenceId {
        self.person.reference_id()
    }
}

/// By person, and those of one by their lines. Stable, and so quick where the file is sorted already.
pub(super) fn sort(drafts: &mut [Draft]) {
    drafts.sort_by(by_person);
}

fn by_person(a: &Draft, b: &Draft) -> Ordering {
    a.id().cmp(b.id()).then(a.person.line.cmp(&b.person.line))
}

/// Takes the next one by person, of parts that are sorted.
fn next_of(parts: &mut [vec::IntoIter<Draft>]) -> Option<Draft> {
    let (mut next, others) = parts.split_first_mut()?;
    for part in others {
        let is_before = match (part.as_slice().first(), next.as_slice().first()) {
            (Some(theirs), Some(ours)) => by_person(theirs, ours).is_lt(),
            (theirs, None) => theirs.is_some(),
            (None, Some(_)) => false,
        };
        if is_before {
            next = part;
        }
    }
    next.next()
}

/// Everybody, each once, sorted by reference id.
pub(super) struct Settled {
    pub(super) people: Vec<Person>,
    pub(super) findings: Findings,
    /// Rows that were fine by themselves and lost their place to a contradiction.
    pub(super) rows_lost: u64,
    /// Rows beyond the first of those who have several that agree, by the line that counts.
    joined: BTreeMap<u64, u64>,
}

/// Makes people of rows.
pub(super) struct Settler<'b> {
    bound: &'b Bound,
    settled: Settled,
    letters: Letters,
}

/// Which letters ids are written with.
#[derive(Default)]
struct Letters {
    has_small: bool,
    has_capital: bool,
    has_foreign: bool,
}

impl Letters {
    fn look_at(&mut self, id: &ReferenceId) {
        for byte in id.as_str().bytes() {
            self.has_small |= byte.is_ascii_lowercase();
            self.has_capital |= byte.is_ascii_uppercase();
            self.has_foreign |= !byte.is_ascii();
        }
    }

    /// Whether two of the ids can be the same but for upper and lower case.
    fn may_differ_in_case(&self) -> bool {
        self.has_foreign || (self.has_small && self.has_capital)
    }
}

impl<'b> Settler<'b> {
    pub(super) fn new(bound: &'b Bound, findings: Findings) -> Self {
        let settled = Settled { people: Vec::new(), findings, rows_lost: 0, joined: BTreeMap::new() };
        Self { bound, settled, letters: Letters::default() }
    }

    /// Of the drafts of a file in parts, each of them sorted.
    pub(super) fn settle(mut self, parts: Vec<Vec<Draft>>) -> Settled {
        self.settled.people.reserve_exact(parts.iter().map(Vec::len).sum());
        let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        let mut next = next_of(&mut parts);
        while let Some(first) = next {
            next = next_of(&mut parts);
            // Nearly everybody has one row.
            let mut more = Vec::new();
            while let Some(further) = next.take_if(|next| next.id() == first.id()) {
                more.push(further);
                next = next_of(&mut parts);
            }
            self.letters.look_at(first.id());
            let person = if more.is_empty() { first.person } else { self.join(first, more) };
            self.settled.people.push(person);
        }
        self.hold_ids_that_differ_in_case();
        self.settled
    }

    /// One person of several rows.
    fn join(&mut self, first: Draft, more: Vec<Draft>) -> Person {
        let rows = || std::iter::once(&first).chain(&more);
        let latest = rows().filter(|row| row.is_current()).filter_map(|row| row.start).max();
        let lines: Vec<u64> = rows().map(|row| row.person.line).collect();
        let group = shared_group(rows().filter(|row| row.counts(latest)));
        let differing = self.contradiction(&rows().collect::<Vec<_>>(), latest);
        if !differing.is_empty() {
            self.settled.rows_lost += rows().filter(|row| !row.is_invalid()).map(|_| 1).sum::<u64>();
            let is_named_apart = WHO.iter().any(|field| differing.contains(&self.bound.header_of(*field)));
            let what_to_do = if is_named_apart {
                "make them agree, keep one, or give each person an id of their own"
            } else {
                "make them agree, or keep one"
            };
            let message = format_args!(
                "{} say different things about this person in {}; {what_to_do}.",
                named(&lines),
                differing.join(", ")
            );
            self.note(&first, Code::Conflict, differing.first().copied(), message);
            let mut person = Person { group, ..first.person };
            person.contradict();
            return person;
        }
        let rank = rows().map(|row| row.rank(latest)).min().unwrap_or_default();
        let group = if rank == 0 { group } else { shared_group(rows().filter(|row| row.rank(latest) == rank)) };
        let first_of_rank = |best: Draft, row: Draft| if row.rank(latest) < best.rank(latest) { row } else { best };
        let beyond_first = rows().filter(|row| !row.is_invalid()).skip(1).count() as u64;
        let deciding = more.into_iter().fold(first, first_of_rank);
        self.settled.joined.insert(deciding.person.line, beyond_first);
        if deciding.person.member().is_some() {
            let message = format_args!("{} are about one person and were read as one.", named(&lines));
            self.note(&deciding, Code::RowsJoined, None, message);
        }
        // Known by one of its rows it would be known by half of what is said.
        Person { group, mark: None, ..deciding.person }
    }

    /// The headers in which rows that count contradict each other.
    fn contradiction(&self, rows: &[&Draft], latest: Option<NaiveDate>) -> Vec<&'b str> {
        let bound = self.bound;
        let covered: Vec<(&Draft, &Member)> =
            rows.iter().filter_map(|row| Some((*row, row.person.member()?))).collect();
        let Some((first, member)) = covered.first() else { return Vec::new() };
        // Two groups contradict each other in any period: a later one does not say that the earlier has ended.
        let mut who: Vec<Field> = Vec::new();
        let mut is_somebody_else = false;
        for (_, other) in &covered {
            let differing = member.changed_fields(other).iter().filter(|field| WHO.contains(field));
            let before = who.len();
            who.extend(differing);
            // One of them changes in a life; two of them at once are another person under the same id.
            is_somebody_else |= before + 1 < who.len();
        }
        let is_in_two_groups = covered.iter().any(|(row, _)| row.person.group != first.person.group);
        if is_in_two_groups || is_somebody_else {
            let group = is_in_two_groups.then(|| bound.group.as_ref().map_or("group", |column| &*column.name));
            who.sort_unstable();
            let mut headers: Vec<&str> =
                group.into_iter().chain(who.into_iter().map(|it| bound.header_of(it))).collect();
            headers.dedup();
            return headers;
        }
        // What cannot be read cannot be compared; the person is invalid as a whole.
        if rows.iter().any(|row| row.is_invalid() && row.counts(latest)) {
            return Vec::new();
        }
        let mut counting = covered.iter().filter(|(row, _)| row.counts(latest)).map(|(_, member)| *member);
        let Some(first) = counting.next() else { return Vec::new() };
        let mut differing: Vec<Field> = counting.flat_map(|member| first.changed_fields(member).iter()).collect();
        if rows.iter().any(|row| row.is_waived() && row.counts(latest)) {
            differing.push(Field::PlanId);
        }
        differing.sort_unstable();
        differing.dedup();
        let mut headers: Vec<&str> = differing.into_iter().map(|field| bound.header_of(field)).collect();
        headers.dedup();
        headers
    }

    /// Of ids that differ only in upper and lower case nobody can say whether they are one person.
    fn hold_ids_that_differ_in_case(&mut self) {
        if !self.letters.may_differ_in_case() {
            return;
        }
        let people = self.settled.people.iter().enumerate();
        let mut folded: Vec<(CompactString, usize)> = people
            .filter(|(_, person)| person.reference_id().as_str().chars().any(char::is_alphabetic))
            .map(|(at, person)| (CompactString::from_str_to_lowercase(person.reference_id().as_str()), at))
            .collect();
        folded.sort_unstable();
        for alike in folded.chunk_by(|a, b| a.0 == b.0).filter(|alike| 1 < alike.len()) {
            let ignored = Standing::Uncovered(Uncovered::Ignored);
            let is_ours = |at: usize| self.settled.people.get(at).is_some_and(|person| person.standing() != ignored);
            if !alike.iter().any(|(_, at)| is_ours(*at)) {
                continue;
            }
            let lines: Vec<u64> =
                alike.iter().filter_map(|(_, at)| self.settled.people.get(*at)).map(|person| person.line).collect();
            for (_, at) in alike {
                self.hold_for_case(*at, &lines);
            }
        }
    }

    fn hold_for_case(&mut self, at: usize, lines: &[u64]) {
        let header = self.bound.id.last().map(|column| &*column.name);
        let Settled { people, findings, rows_lost, joined } = &mut self.settled;
        let Some(person) = people.get_mut(at) else { return };
        if !matches!(person.standing(), Standing::Invalid | Standing::Conflict) {
            *rows_lost += 1 + joined.get(&person.line).unwrap_or(&0);
        }
        person.contradict();
        findings.begin(person.line);
        findings.identify(person.reference_id());
        let mut lines = lines.to_vec();
        lines.sort_unstable();
        let message =
            format_args!("{} have ids that differ only in upper and lower case; correct the wrong one.", named(&lines));
        findings.note_header(Code::IdCase, header, message);
    }

    fn note(&mut self, row: &Draft, code: Code, header: Option<&str>, message: fmt::Arguments<'_>) {
        self.settled.findings.begin(row.person.line);
        self.settled.findings.identify(row.id());
        self.settled.findings.note_header(code, header, message);
    }
}

/// The group that rows agree on; rows without a readable one do not disagree.
fn shared_group<'d>(rows: impl Iterator<Item = &'d Draft>) -> Option<GroupRef> {
    let mut groups = rows.filter_map(|row| row.person.group.as_ref());
    let first = groups.next()?;
    groups.all(|group| group == first).then(|| first.clone())
}

/// `Lines 3, 8 and 12`.
fn named(lines: &[u64]) -> String {
    let listed = lines.get(..NAMED_LINES).unwrap_or(lines);
    let mut text = String::from("Lines ");
    for (at, line) in listed.iter().enumerate() {
        let joint = match at {
            0 => "",
            at if at + 1 == lines.len() => " and ",
            _ => ", ",
        };
        text.push_str(joint);
        text.push_str(&line.to_string());
    }
    match lines.len() - listed.len() {
        0 => text,
        more => text + " and " + &more.to_string() + " more",
    }
}
