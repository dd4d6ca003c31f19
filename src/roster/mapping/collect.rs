//! Row after row, then everything at once.

use std::fmt;

use chrono::{Datelike, NaiveDate};

use super::bind::Bound;
use super::cells::Cells;
use super::eligibility::{self, Today};
use super::findings::Findings;
use super::identity;
use super::people::{self, Draft, Settler};
use super::record::Reader;
use super::words::{GroupWord, PlanWord, Words};
use crate::export::Row;
use crate::export::problem::Code;
use crate::roster::familiar::Mark;
use crate::roster::ids::ReferenceId;
use crate::roster::member::Member;
use crate::roster::{OpenRow, Person, Reading, Standing, Uncovered};

/// Takes the rows of one file, which become a [`Reading`]. Several may share the rows of a file between them.
pub struct Collector {
    bound: Bound,
    today: NaiveDate,
    words: Words,
    findings: Findings,
    drafts: Vec<Draft>,
    unidentified: Vec<u64>,
    open: Option<OpenRow>,
    rows: u64,
    invalid_rows: u64,
}

impl Collector {
    /// Reads by these columns. `today` is the day in the source's time zone.
    pub fn new(bound: Bound, today: NaiveDate) -> Self {
        let words = Words::new(&bound.rules);
        Self {
            bound,
            today,
            words,
            findings: Findings::default(),
            drafts: Vec::new(),
            unidentified: Vec::new(),
            open: None,
            rows: 0,
            invalid_rows: 0,
        }
    }

    /// Takes one row that stands for a person: the reader has left out blank lines, titles and totals. A row comes before those that stand
    /// below it in the file.
    pub fn row(&mut self, row: &Row<'_>) {
        self.rows += 1;
        self.findings.begin(row.line());
        let draft = self.draft(row);
        if draft.is_none() {
            self.unidentified.push(row.line());
        }
        let is_invalid = self.findings.row_is_invalid();
        if is_invalid {
            self.invalid_rows += 1;
        }
        if row.is_open() {
            let reference_id = draft.as_ref().map(|draft| draft.person.reference_id().clone());
            self.open = Some(OpenRow { line: row.line(), reference_id, is_invalid });
        }
        self.drafts.extend(draft);
    }

    /// Takes no more rows, and sorts what came by person: each of several does it on its own thread.
    pub fn done(mut self) -> Collected {
        let mut drafts = std::mem::take(&mut self.drafts);
        people::sort(&mut drafts);
        Collected { whole: self, parts: vec![drafts] }
    }

    /// What the row claims; `None` when nobody can say about whom.
    fn draft(&mut self, row: &Row<'_>) -> Option<Draft> {
        if row.is_long() {
            let message = "The row has more cells than the header, so its cells may stand in the wrong columns; \
                           look for an unquoted delimiter.";
            self.findings.note(Code::LongRow, None, message);
            return None;
        }
        let cells = Cells::new(row, &self.bound.rules.placeholders);
        let id = identity::read(&self.bound, cells, &mut self.findings)?;
        Some(self.claim(&id, row))
    }

    /// Group and time come first: what somebody is not covered for need not be right.
    fn claim(&mut self, id: &ReferenceId, row: &Row<'_>) -> Draft {
        let Self { bound, today, words, findings, .. } = self;
        let (line, cells) = (row.line(), Cells::new(row, &bound.rules.placeholders));
        let group_cell = bound.group.as_ref().map_or("", |column| cells.trimmed(column));
        let (group, group_problem) = match words.group(&bound.rules, group_cell, line) {
            GroupWord::Group(group) => (Some(group), None),
            GroupWord::Problem(problem) => (None, Some(problem)),
            GroupWord::Ignored => {
                let person = Person::new(id, line, None, Standing::Uncovered(Uncovered::Ignored));
                return Draft { person, start: None };
            }
        };
        let period = eligibility::read(bound, cells, words, *today, findings);
        let start = period.start;
        if let Today::Uncovered(why) = period.today {
            let mut person = Person::new(id, line, group, Standing::Uncovered(why));
            person.mark = mark(row, person.standing(), period.until, findings).map(Box::new);
            return Draft { person, start };
        }
        let plan_cell = bound.plan.as_ref().map_or("", |column| cells.trimmed(column));
        let plan = match words.plan(&bound.rules, plan_cell) {
            PlanWord::Plan(plan) => Some(plan),
            PlanWord::Waived if period.today == Today::Covered => {
                let person = Person::new(id, line, group, Standing::Uncovered(Uncovered::Waived));
                return Draft { person, start };
            }
            PlanWord::Waived => None,
            PlanWord::Problem(problem) => {
                findings.note(problem.code, bound.plan.as_ref(), &problem.message);
                None
            }
        };
        if let Some(problem) = group_problem {
            findings.note(problem.code, bound.group.as_ref(), &problem.message);
        }
        let member = Reader { bound, cells, today: *today, findings }.member(id, plan);
        let standing = match member {
            Some(member) if !findings.row_is_invalid() => Standing::Covered(member),
            Some(_) | None => Standing::Invalid,
        };
        let mut person = Person::new(id, line, group, standing);
        let mark = mark(row, person.standing(), period.until, findings);
        person.mark = mark.filter(|_| is_plainly_born(person.member(), *today)).map(Box::new);
        Draft { person, start }
    }
}

/// What collectors of one file were given.
pub struct Collected {
    /// All of it but the drafts.
    whole: Collector,
    /// The drafts of each, sorted.
    parts: Vec<Vec<Draft>>,
}

impl Collected {
    /// Takes the rows of another one that read the same file, as if all had come to this one.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        let Collector { bound: _, today: _, words, findings, drafts: _, unidentified, open, rows, invalid_rows } =
            other.whole;
        let whole = &mut self.whole;
        whole.words.join(words);
        whole.findings.join(findings);
        whole.unidentified.extend(unidentified);
        whole.unidentified.sort_unstable();
        // Only the last row of a file is open.
        whole.open = whole.open.take().or(open);
        whole.rows += rows;
        whole.invalid_rows += invalid_rows;
        self.parts.extend(other.parts);
        self
    }

    /// Joins the rows of each person, and ends.
    pub fn finish(self) -> Reading {
        let Collector { bound, today: _, words, findings, drafts: _, unidentified, open, rows, invalid_rows } =
            self.whole;
        let settled = Settler::new(&bound, findings).settle(self.parts);
        Reading {
            people: settled.people,
            groups: words.into_groups(),
            problems: settled.findings.finish(),
            unidentified,
            open,
            rows,
            invalid_rows: invalid_rows + settled.rows_lost,
        }
    }
}

/// What a row may be known by in the next export: nothing where there is anything to say of it.
fn mark(row: &Row<'_>, standing: Standing<&Member>, until: NaiveDate, findings: &Findings) -> Option<Mark> {
    let is_settled = match standing {
        Standing::Covered(_)
        | Standing::Uncovered(Uncovered::Terminated | Uncovered::EndedLongAgo | Uncovered::NotStarted) => true,
        Standing::Uncovered(Uncovered::Between | Uncovered::Waived | Uncovered::Ignored)
        | Standing::Invalid
        | Standing::Conflict => false,
    };
    let row = row.digest().filter(|_| is_settled && findings.row_is_clean())?;
    Some(Mark { row, until })
}

/// Whether the birth date is read alike all year: of two digits, this year's may mean this century from some day on.
fn is_plainly_born(member: Option<&Member>, today: NaiveDate) -> bool {
    member.is_none_or(|member| !matches!(today.year() - member.date_of_birth.year(), 0 | 100))
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("rows", &self.rows).finish_non_exhaustive()
    }
}
