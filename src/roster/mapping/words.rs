//! Cells that are words of the company: groups, plans, states of employment. A file repeats a few of them over and over, so
//! each is worked out once and remembered. Collectors that share a file have words of their own.

use std::collections::BTreeMap;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::Rules;
use crate::config::{GroupFrom, Unmapped};
use crate::export::problem::Code;
use crate::roster::ids::{GroupRef, PlanId};
use crate::roster::normalise;

/// Longest part of a word that a message quotes: enough to find it, too short for a cell that slipped into the column.
const QUOTED_CHARS: usize = 40;

/// What a status word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusWord {
    Covered,
    Terminated,
}

/// What a group cell means.
#[derive(Clone)]
pub(super) enum GroupWord {
    Group(GroupRef),
    Ignored,
    Problem(WordProblem),
}

/// What a plan cell means.
#[derive(Clone)]
pub(super) enum PlanWord {
    Plan(PlanId),
    Waived,
    Problem(WordProblem),
}

/// Why a word means nothing.
#[derive(Clone)]
pub(super) struct WordProblem {
    pub(super) code: Code,
    pub(super) message: Box<str>,
}

impl WordProblem {
    fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The words met so far.
#[derive(Default)]
pub(super) struct Words {
    /// The group of all rows, where the config names it.
    fixed: Option<GroupRef>,
    groups: HashMap<CompactString, GroupWord>,
    plans: HashMap<CompactString, PlanWord>,
    statuses: HashMap<CompactString, Option<StatusWord>>,
    /// What the first cell that names a group calls it, with that cell's line.
    names: BTreeMap<GroupRef, (u64, String)>,
}

impl Words {
    pub(super) fn new(rules: &Rules) -> Self {
        let mut words = Self::default();
        if let GroupFrom::Fixed(group) = &rules.group.from {
            words.names.insert(group.clone(), (0, group.to_string()));
            words.fixed = Some(group.unshared());
        }
        words
    }

    /// The group of a cell on a line, trimmed and freed of placeholders. Lines come in order.
    pub(super) fn group(&mut self, rules: &Rules, cell: &str, line: u64) -> GroupWord {
        if let Some(group) = &self.fixed {
            return GroupWord::Group(group.clone());
        }
        if let Some(known) = self.groups.get(cell) {
            return known.clone();
        }
        let word = group_word(rules, cell);
        if let GroupWord::Group(group) = &word {
            let name = normalise::text(cell);
            self.names.entry(group.clone()).or_insert_with(|| (line, name.into_owned()));
        }
        self.groups.insert(cell.into(), word.clone());
        word
    }

    /// The plan of a cell; an empty one, or none, takes the default.
    pub(super) fn plan(&mut self, rules: &Rules, cell: &str) -> PlanWord {
        if let Some(known) = self.plans.get(cell) {
            return known.clone();
        }
        let word = plan_word(rules, cell);
        self.plans.insert(cell.into(), word.clone());
        word
    }

    /// What a status cell means; `None` when the config does not know the word.
    pub(super) fn status(&mut self, rules: &Rules, cell: &str) -> Option<StatusWord> {
        if let Some(known) = self.statuses.get(cell) {
            return *known;
        }
        let word = rules.statuses.get(&normalise::fold(cell)).copied();
        self.statuses.insert(cell.into(), word);
        word
    }

    /// Takes what other lines name.
    pub(super) fn join(&mut self, other: Self) {
        for (group, theirs) in other.names {
            let ours = self.names.entry(group).or_insert_with(|| theirs.clone());
            if theirs.0 < ours.0 {
                *ours = theirs;
            }
        }
    }

    /// The groups that the file names, with the names that its cells give them.
    pub(super) fn into_groups(self) -> BTreeMap<GroupRef, String> {
        self.names.into_iter().map(|(group, (_, name))| (group, name)).collect()
    }
}

fn group_word(rules: &Rules, cell: &str) -> GroupWord {
    let template = match &rules.group.from {
        GroupFrom::Fixed(group) => return GroupWord::Group(group.unshared()),
        GroupFrom::Column { template, .. } => template,
    };
    let folded = normalise::fold(cell);
    if let Some(group) = rules.groups.get(&folded) {
        return GroupWord::Group(group.unshared());
    }
    if folded.is_empty() {
        return GroupWord::Problem(WordProblem::new(Code::MissingValue, "The row names no group; fill the cell in."));
    }
    match rules.group.unmapped {
        Unmapped::Reject if !rules.groups.is_empty() => {
            let message = format!(
                "\"{}\" is no group that this feed knows; correct the cell, or have it added to the feed's config.",
                quoted(cell)
            );
            return GroupWord::Problem(WordProblem::new(Code::UnknownGroup, message));
        }
        Unmapped::Ignore if !rules.groups.is_empty() => return GroupWord::Ignored,
        Unmapped::Reject | Unmapped::Ignore | Unmapped::Template => {}
    }
    match GroupRef::parse(&template.replace("{value}", &folded.replace(' ', "-"))) {
        Ok(group) if normalise::fits(&normalise::text(cell)) => GroupWord::Group(group),
        Ok(_) | Err(_) => GroupWord::Problem(WordProblem::new(
            Code::TooLong,
            "The group's name is longer than 255 characters; check the cell.",
        )),
    }
}

fn plan_word(rules: &Rules, cell: &str) -> PlanWord {
    match (rules.plans.get(&normalise::fold(cell)), &rules.plan.default) {
        (Some(Some(plan)), _) => PlanWord::Plan(plan.unshared()),
        (Some(None), _) => PlanWord::Waived,
        (None, Some(default)) if cell.is_empty() => PlanWord::Plan(default.unshared()),
        (None, None) if cell.is_empty() => {
            PlanWord::Problem(WordProblem::new(Code::MissingValue, "The row names no plan; fill the cell in."))
        }
        // Not even a default covers a plan that somebody wrote down and we do not know.
        (None, _) if !rules.plans.is_empty() => PlanWord::Problem(WordProblem::new(
            Code::UnknownPlan,
            format!(
                "\"{}\" is no plan that this feed knows; correct the cell, or have it added to the feed's config.",
                quoted(cell)
            ),
        )),
        (None, _) => PlanId::parse(cell).map_or_else(
            |_| PlanWord::Problem(WordProblem::new(Code::UnknownPlan, "The cell is not a plan's id; correct it.")),
            PlanWord::Plan,
        ),
    }
}

/// A word for a message.
pub(super) fn quoted(cell: &str) -> String {
    let tidy = normalise::text(cell);
    if tidy.chars().count() <= QUOTED_CHARS {
        return tidy.into_owned();
    }
    tidy.chars().take(QUOTED_CHARS - 1).chain(['…']).collect()
}
