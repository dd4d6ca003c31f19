//! Rows of an export become a [`Reading`](super::Reading): columns to fields, words to groups, plans and standings, several
//! rows of one person to one. Comes in: a checked source, a header, rows. Goes out: people, problems by line and column, and
//! the lines that could be anybody. It never guesses who a row is, and no message repeats a personal cell.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Columns, DateOrder, Eligibility, GroupFrom, Grouping, IdColumns, NameColumns, PlanRule, Source};
use crate::export::Header;
use crate::export::Wanted;

use super::ids::{GroupRef, PlanId};
use super::normalise;

mod bind;
mod cells;
mod collect;
mod eligibility;
mod findings;
mod identity;
mod people;
mod record;
mod words;

pub use bind::Bound;
pub use collect::{Collected, Collector};

use cells::Placeholders;
use words::StatusWord;

/// How one source's columns make members.
#[derive(Clone, Debug)]
pub struct Mapping {
    rules: Arc<Rules>,
}

/// What a source's config says about rows, with its words folded for comparing.
#[derive(Debug)]
struct Rules {
    columns: Columns,
    group: Grouping,
    groups: HashMap<String, GroupRef>,
    plan: PlanRule,
    plans: HashMap<String, Option<PlanId>>,
    eligibility: Option<Eligibility>,
    statuses: HashMap<String, StatusWord>,
    dates: DateOrder,
    placeholders: Placeholders,
    id_width: Option<usize>,
}

impl Mapping {
    /// The mapping of a source.
    pub fn new(source: &Source) -> Self {
        let eligibility = source.eligibility.as_ref();
        let words = |words: &[String], meaning: StatusWord| -> Vec<(String, StatusWord)> {
            words.iter().map(|word| (normalise::fold(word), meaning)).collect()
        };
        // A word in both lists counts as covered: the doubt must not end anybody's coverage.
        let statuses = eligibility
            .map(|eligibility| {
                let terminated = words(&eligibility.terminated, StatusWord::Terminated);
                terminated.into_iter().chain(words(&eligibility.covered, StatusWord::Covered)).collect()
            })
            .unwrap_or_default();
        Self {
            rules: Arc::new(Rules {
                columns: source.columns.clone(),
                group: source.group.clone(),
                groups: source.group.map.iter().map(|(cell, group)| (normalise::fold(cell), group.clone())).collect(),
                plan: source.plan.clone(),
                plans: source.plan.map.iter().map(|(cell, plan)| (normalise::fold(cell), plan.clone())).collect(),
                eligibility: source.eligibility.clone(),
                statuses,
                dates: source.format.dates,
                placeholders: Placeholders::new(&source.format.placeholders),
                id_width: source.format.id_width,
            }),
        }
    }

    /// The headers that a file must have, and those that it may have: e-mail, phone and the second address line, without
    /// which a member is whole.
    pub fn wanted(&self) -> Wanted {
        let Rules { columns, group, plan, eligibility, .. } = &*self.rules;
        let id_headers = match &columns.reference_id {
            IdColumns::First(headers) | IdColumns::Join { headers, .. } => headers.clone(),
        };
        let mut required = match &columns.reference_id {
            IdColumns::First(headers) => vec![headers.clone()],
            IdColumns::Join { headers, .. } => headers.iter().map(|header| vec![header.clone()]).collect(),
        };
        match &columns.name {
            NameColumns::Two { first, last } => required.extend([first.clone(), last.clone()]),
            NameColumns::Full(full) => required.push(full.clone()),
        }
        let fields = [&columns.date_of_birth, &columns.address_line_1, &columns.city, &columns.state, &columns.zipcode];
        required.extend(fields.into_iter().cloned());
        let words = [group_header(group), plan.column.as_deref()];
        let periods = eligibility.as_ref().map(|eligibility| {
            [&eligibility.status, &eligibility.start, &eligibility.end].map(|header| header.as_deref())
        });
        let single = words.into_iter().chain(periods.into_iter().flatten()).flatten();
        required.extend(single.map(|header| vec![header.to_owned()]));
        let optional = [&columns.email, &columns.phone, &columns.address_line_2];
        Wanted { required, optional: optional.into_iter().flatten().cloned().collect(), id_headers }
    }

    /// Finds the columns of one file. A column that is not there reads as empty; that a required one is there was checked
    /// against [`Self::wanted`] when the file was opened.
    pub fn bind(&self, header: &Header) -> Bound {
        Bound::new(Arc::clone(&self.rules), header)
    }
}

/// The header of the column that names the group.
fn group_header(group: &Grouping) -> Option<&str> {
    match &group.from {
        GroupFrom::Fixed(_) => None,
        GroupFrom::Column { header, .. } => Some(header),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
