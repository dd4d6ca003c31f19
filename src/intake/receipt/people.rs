//! Everybody in doubt: who, still covered or not, why, and what to do. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{Page, clean};
use super::{MAX_HEADER_CHARS, MAX_LISTED, is_error, is_settled, sentence, yes_no};
use crate::report::{Arrival, Batch, PlanReport, Run, RunState};

/// What is told about one doubt; people with the same are listed together. Who is not covered comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Doubt {
    covered: &'static str,
    why: String,
    what_to_do: String,
}

/// Everybody whose coverage somebody could wonder about, and who is not listed with a row.
pub(super) type Doubts<'a> = BTreeMap<Doubt, BTreeSet<&'a str>>;

pub(super) fn doubts<'a>(run: &Run, plan: Option<&'a PlanReport>, batches: &'a [Batch]) -> Doubts<'a> {
    let mut of: BTreeMap<&str, Doubt> = BTreeMap::new();
    let groups = || plan.into_iter().flat_map(|plan| &plan.groups).filter(|_| !is_settled(run));
    let rows = plan.into_iter().flat_map(|plan| &plan.problems).filter(|report| is_error(report));
    let with_a_row: BTreeSet<&str> = rows.filter_map(|report| report.problem.reference_id.as_deref()).collect();
    for kept in groups().flat_map(|group| &group.kept) {
        let person = kept.reference_id.as_str();
        // Somebody between two groups is in doubt in both, and covered in one.
        let is_covered_elsewhere = of.get(person).is_some_and(|doubt| doubt.covered == yes_no(true));
        if !with_a_row.contains(person) && !is_covered_elsewhere {
            let why = kept.reason.strip_prefix("still covered: ").unwrap_or(&kept.reason);
            let told = super::doubt::tell(why);
            let (why, what_to_do) = (sentence(&clean(&told.why, 300)), told.what_to_do.to_owned());
            of.insert(person, Doubt { covered: yes_no(kept.is_covered()), why, what_to_do });
        }
    }
    if run.state == RunState::Held {
        let would = |why: &str| Doubt {
            covered: yes_no(true),
            why: format!("{why}; it ends if this file is released."),
            what_to_do: "If it should not, correct the file and drop the complete export again.".to_owned(),
        };
        for group in groups() {
            of.extend(group.missing.iter().map(|id| (id.as_str(), would("Not in this file: the coverage would end"))));
            of.extend(group.terminated.iter().map(|id| (id.as_str(), would("The file says that the coverage ends"))));
        }
    }
    let failures = batches.iter().flat_map(|batch| batch.failures.iter().map(move |failure| (batch, failure)));
    for (batch, failure) in failures {
        let has_left =
            |arrival: &Arrival| arrival.stays.is_none() && arrival.reference_id.as_str() == failure.reference_id;
        let (covered, why) = match failure.operation.as_str() {
            "move" => {
                (yes_no(true), format!("The change was not made: the person {}.", clean(&failure.reason, 200)))
            }
            "add" if batch.moves_in.iter().any(has_left) => (
                yes_no(false),
                "The person has left the former group, or plan, and could not be added again. It is tried again until it \
                 works."
                    .to_owned(),
            ),
            "remove" => {
                (yes_no(true), "The coverage could not be ended; it is tried again with the next file.".to_owned())
            }
            "add" => {
                (yes_no(false), "The person could not be added; it is tried again with the next file.".to_owned())
            }
            _ => ("not known", "Something went wrong.".to_owned()),
        };
        let what_to_do = "Ask whoever runs rosterd: they can see why.".to_owned();
        of.insert(failure.reference_id.as_str(), Doubt { covered, why, what_to_do });
    }
    let mut doubts: Doubts<'_> = BTreeMap::new();
    for (person, doubt) in of {
        doubts.entry(doubt).or_default().insert(person);
    }
    doubts
}

pub(super) fn people_in_doubt(page: &mut Page, doubts: &Doubts<'_>) {
    if doubts.is_empty() {
        return;
    }
    page.heading(&format!("People in doubt ({})", doubts.values().map(BTreeSet::len).sum::<usize>()));
    for (Doubt { covered, why, what_to_do }, people) in doubts {
        let named = people.iter().take(MAX_LISTED).map(|person| clean(person, MAX_HEADER_CHARS)).collect::<Vec<_>>();
        match (named.as_slice(), people.len().saturating_sub(named.len())) {
            ([only], 0) => page.item(&format!("Person {only}. Still covered: {covered}.")),
            (named, 0) => page.item(&format!(
                "{} people: {}. Still covered: {covered}, all of them.",
                people.len(),
                named.join(", ")
            )),
            (named, more) => page.item(&format!(
                "{} people: {} and {more} more (ask whoever runs rosterd). Still covered: {covered}, all of them.",
                people.len(),
                named.join(", ")
            )),
        }
        page.below_item(why);
        if !what_to_do.is_empty() {
            page.below_item(&format!("To do: {what_to_do}"));
        }
    }
}
