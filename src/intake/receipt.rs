//! What the dropper gets back: a page of plain English and a table of rows to mend. Pure.
//!
//! The reader works in HR, knows the export and nothing of rosterd. No word of the trade, no personal data: people
//! appear by reference id, cells by line and column. The API's own words about a person may hold personal data and are
//! not repeated here; whoever runs rosterd sees them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::export::problem::{Severity, likes};
use crate::report::{
    Batch, Counts, GroupReport, GuardReport, GuardVerdict, Phase, PlanReport, ProblemReport, Run, RunState, Trigger,
};
use crate::roster::ids::ReferenceId;
use crate::roster::member::Field;
use page::{Page, clean, people};
use people::{Doubts, doubts, people_in_doubt};

mod doubt;
mod page;
mod people;
mod table;

pub use table::problems_csv;

/// Entries of a list that a page shows; the rest is counted.
const MAX_LISTED: usize = 50;

/// Groups in which one reason is said in full, and those that are named after that.
const MAX_ALIKE: usize = 3;
const MAX_GROUPS: usize = 20;

/// Longest header of a column that is repeated, in characters.
const MAX_HEADER_CHARS: usize = 40;

/// Longest reason that is repeated, in characters: room for every header that a message about a header lists.
const MAX_REASON_CHARS: usize = 2_000;

/// Where the rest of a list of rows is.
const BESIDE: &str = ", see the file beside this one that ends in .problems.csv";

/// What becomes of a receipt whose story is not over.
const REWRITTEN: &str = "This receipt is rewritten when the results are in.";

/// The file that a receipt is about, and how its reader tells the time.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The file's name as dropped.
    pub name: &'a str,
    /// The zone of the source.
    pub zone: Tz,
}

/// Writes the receipt of one export as it stands now, with its name from the run and times in UTC.
pub fn render(run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) -> String {
    let name = run.file.as_ref().map_or("(no file)", |file| file.name.as_str());
    render_for(Subject { name, zone: Tz::UTC }, run, plan, batches)
}

/// Writes the receipt of one export as it stands now, with times as its reader tells them.
pub fn render_for(subject: Subject<'_>, run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) -> String {
    let mut page = Page::default();
    beginning(&mut page, subject, run, plan, batches);
    let doubts = doubts(run, plan, batches);
    next_steps(&mut page, run, plan, batches, &doubts);
    problems(&mut page, plan);
    people_in_doubt(&mut page, &doubts);
    new_plans(&mut page, plan);
    late_ends(&mut page, plan);
    page.into_text()
}

/// What every receipt of the export as it stands now begins with, where that can be said without its plan, which may be large, and nothing
/// but what it begins with tells one from another: nothing of what was delivered failed.
pub fn beginning_of(subject: Subject<'_>, run: &Run, batches: &[Batch]) -> Option<String> {
    if run.guards.is_empty() || batches.iter().any(|batch| !batch.failures.is_empty()) {
        return None;
    }
    let mut page = Page::default();
    beginning(&mut page, subject, run, None, batches);
    Some(page.into_text())
}

fn beginning(page: &mut Page, subject: Subject<'_>, run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) {
    headline(page, run, plan, batches);
    facts(page, subject, run);
    reasons(page, run, plan);
    counts(page, run);
    delivery(page, run, batches);
}

/// What happened, in one line, and what that means for people's coverage.
fn headline(page: &mut Page, run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) {
    page.text(match run.state {
        RunState::Received => "Received. This file is being read; nothing was changed yet.",
        RunState::Planned => "Checked, not delivered. Files of this folder are only checked at present.",
        RunState::Held => "Held: nothing of this file was applied.",
        RunState::Delivering => "Accepted. The changes are on their way.",
        RunState::Completed | RunState::Partial if is_held_only(run, plan, batches) && batches.is_empty() => {
            "Accepted. All that it would change is held (see below)."
        }
        RunState::Completed | RunState::Partial if is_held_only(run, plan, batches) => {
            "Accepted and delivered, except for what is held (see below)."
        }
        RunState::Completed => "Accepted and delivered.",
        RunState::Partial => "Accepted, but only a part of it was delivered.",
        RunState::Failed => "Not delivered: none of the changes in this file could be confirmed.",
        RunState::Rejected => "Rejected: nothing of this file was applied.",
        RunState::Duplicate => "Already received: a file with the same content was accepted before.",
        RunState::Unchanged => "Accepted. The file changes nothing: everything in it is already known.",
        RunState::Superseded => "Replaced: a newer file took the place of this one.",
        RunState::Discarded => "Dropped: somebody decided that this file is not to be applied.",
    });
    if run.trigger == Trigger::Recheck {
        page.text(
            "Nobody dropped this file. It is a copy of the last accepted one, looked at again because first or last days in it \
             have come.",
        );
    }
    if leaves_everybody(run) {
        page.text("Nobody gained or lost coverage because of this file.");
    }
}

/// Whether it is certain that the file changed nothing.
fn leaves_everybody(run: &Run) -> bool {
    match run.state {
        RunState::Planned | RunState::Held | RunState::Rejected | RunState::Duplicate | RunState::Unchanged => true,
        RunState::Superseded | RunState::Discarded | RunState::Partial => run.batches.is_empty(),
        RunState::Received | RunState::Delivering | RunState::Completed | RunState::Failed => false,
    }
}

fn facts(page: &mut Page, subject: Subject<'_>, run: &Run) {
    page.gap();
    page.pair("File", &clean(subject.name, usize::MAX));
    let is_recheck = run.trigger == Trigger::Recheck;
    if let Some(repeat) = run.repeats.as_ref().filter(|_| is_recheck) {
        page.pair("Accepted", &time(repeat.accepted_at, subject.zone));
    }
    page.pair(if is_recheck { "Looked at" } else { "Received" }, &time(run.received_at, subject.zone));
    if let Some(finished) = run.finished_at {
        page.pair("Finished", &time(finished, subject.zone));
    }
    if run.trigger == Trigger::Approve {
        page.pair("Released", &run.actor.as_deref().map_or("yes".to_owned(), |who| format!("by {}", clean(who, 80))));
    }
    page.pair("Number", &format!("{} (quote it when you ask about this file)", run.run));
}

/// Whether everything that was sent went well, and only guards stand in the way of the rest.
fn is_held_only(run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) -> bool {
    has_holds(run, plan) && !has_trouble(batches)
}

fn has_trouble(batches: &[Batch]) -> bool {
    batches.iter().any(|batch| !batch.failures.is_empty() || matches!(batch.phase, Phase::Refused | Phase::Lost))
}

/// Whether what the file says about people is of no account any more.
fn is_settled(run: &Run) -> bool {
    matches!(run.state, RunState::Superseded | RunState::Discarded | RunState::Duplicate)
}

/// Why a file is held, rejected or dropped.
fn reasons(page: &mut Page, run: &Run, plan: Option<&PlanReport>) {
    let holding: Vec<&GuardReport> = holding(run, plan).filter(|_| !is_settled(run)).collect();
    let reason =
        run.reason.as_deref().map(|reason| clean(reason, MAX_REASON_CHARS)).filter(|reason| !reason.is_empty());
    if reason.is_none() && holding.is_empty() {
        return;
    }
    page.heading(match run.state {
        RunState::Rejected => "Why it was rejected",
        RunState::Held => "Why it is held",
        RunState::Discarded => "Why it was dropped",
        RunState::Failed => "Why it was not delivered",
        RunState::Received
        | RunState::Planned
        | RunState::Delivering
        | RunState::Completed
        | RunState::Partial
        | RunState::Duplicate
        | RunState::Unchanged
        | RunState::Superseded => {
            if holding.is_empty() {
                "Remark"
            } else {
                "What is held"
            }
        }
    });
    if let Some(reason) = &reason {
        page.item(&sentence(reason));
    }
    let is_said = |guard: &GuardReport| reason.as_deref() == Some(clean(&guard.sum, MAX_REASON_CHARS).as_str());
    let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for guard in holding.iter().filter(|guard| !is_said(guard)) {
        let groups = alike.entry(guard.guard.as_str()).or_default();
        groups.push(guard.group.as_ref().map_or("the file", |group| group.as_str()));
        if groups.len() <= MAX_ALIKE {
            page.item(&sentence(&clean(&guard.sum, 300)));
        }
    }
    for groups in alike.values().filter_map(|groups| groups.get(MAX_ALIKE..)) {
        if !groups.is_empty() {
            let names = groups.iter().take(MAX_GROUPS).map(|name| clean(name, 80)).collect::<Vec<_>>().join(", ");
            let more = groups.len().saturating_sub(MAX_GROUPS);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            page.item(&format!("The same in {}: {names}{more}.", more_groups(groups.len())));
        }
    }
}

fn more_groups(count: usize) -> String {
    if count == 1 { "1 more group".to_owned() } else { format!("{count} more groups") }
}

fn holding<'a>(run: &'a Run, plan: Option<&'a PlanReport>) -> impl Iterator<Item = &'a GuardReport> {
    let guards = plan.map_or(&run.guards, |plan| if run.guards.is_empty() { &plan.guards } else { &run.guards });
    guards.iter().filter(|guard| match guard.verdict {
        GuardVerdict::Hold | GuardVerdict::Reject => true,
        GuardVerdict::Pass | GuardVerdict::Approved => false,
    })
}

fn has_holds(run: &Run, plan: Option<&PlanReport>) -> bool {
    holding(run, plan).next().is_some()
}

/// The classes of change in words. The words fit a plan as well as a deed, since a held file has only a plan.
fn counts(page: &mut Page, run: &Run) {
    let Counts {
        rows,
        problems,
        new,
        returning,
        changed,
        moved,
        terminated,
        missing,
        kept,
        unchanged,
        confirmed,
        failed,
    } = run.counts;
    if run.counts == Counts::default() {
        return;
    }
    page.heading("What is in it");
    page.number(rows, "row read", "rows read");
    for (count, one, many) in [
        (problems, "row that could not be used", "rows that could not be used"),
        (new, "new person", "new people"),
        (returning, "person who comes back", "people who come back"),
        (changed, "person with changed details", "people with changed details"),
        (moved, "person who changes groups", "people who change groups"),
        (terminated, "person whose coverage ends: the file says so", "people whose coverage ends: the file says so"),
        (
            missing,
            "person whose coverage ends: no longer in the file",
            "people whose coverage ends: no longer in the file",
        ),
        (kept, "person who stays covered for now, see below", "people who stay covered for now, see below"),
        (unchanged, "person without a change", "people without a change"),
        (confirmed, "change that is confirmed", "changes that are confirmed"),
        (failed, "change that could not be made", "changes that could not be made"),
    ] {
        if 0 < count {
            page.number(count, one, many);
        }
    }
}

/// Where each group's changes stand.
fn delivery(page: &mut Page, run: &Run, batches: &[Batch]) {
    if batches.is_empty() {
        return;
    }
    page.heading("Group by group");
    for batch in batches.iter().take(MAX_LISTED) {
        page.item(&format!("{}: {}", clean(batch.group.as_str(), 80), standing(batch)));
    }
    page.rest(batches.len(), MAX_LISTED, "");
    let under_way = batches.iter().filter(|batch| !batch.phase.is_final()).count();
    if run.state == RunState::Delivering && 0 < under_way {
        page.gap();
        page.text(&format!("Still under way: {under_way} of {}.", groups(batches.len())));
    }
}

fn groups(count: usize) -> String {
    if count == 1 { "1 group".to_owned() } else { format!("{count} groups") }
}

fn standing(batch: &Batch) -> String {
    match batch.phase {
        Phase::Pending if !batch.moves_in.is_empty() => "waits until people have left their former groups.".to_owned(),
        Phase::Pending => "waits to be sent.".to_owned(),
        Phase::Submitting | Phase::Accepted => "sent; the results are not in yet.".to_owned(),
        Phase::Completed if batch.failures.is_empty() => {
            format!("done, {} covered.", people(batch.members))
        }
        Phase::Completed => {
            let failed = u64::try_from(batch.failures.len()).unwrap_or(u64::MAX);
            format!("done, except for {}, listed below.", people(failed))
        }
        Phase::Refused => "not accepted; nobody of this group was changed.".to_owned(),
        Phase::Lost => "sent, but what came of it is not known yet.".to_owned(),
        Phase::Superseded => "not sent; a newer file took its place.".to_owned(),
    }
}

/// What the reader should do.
fn next_steps(page: &mut Page, run: &Run, plan: Option<&PlanReport>, batches: &[Batch], doubts: &Doubts<'_>) {
    page.heading("What to do now");
    let has_errors = plan.is_some_and(|plan| plan.problems.iter().any(is_error));
    match run.state {
        RunState::Received | RunState::Delivering if has_errors => page.item(REWRITTEN),
        RunState::Received | RunState::Delivering => page.item(&format!("Nothing, for the moment. {REWRITTEN}")),
        RunState::Planned => page.item("Whoever runs rosterd decides when files are delivered."),
        RunState::Held => {
            if holding(run, plan).any(|guard| guard.guard == "baseline" && guard.group.is_none()) {
                page.item("The file may well be right: it is held because of our own records, whatever it says.");
            }
            page.item(&format!(
                "If the file is right, tell whoever runs rosterd: they can release it. Quote the number {}.",
                run.run
            ));
            page.item("If it is wrong, drop a corrected export. It takes the place of this one.");
            page.item("This receipt is rewritten when that is decided.");
        }
        RunState::Rejected => page.item("Mend what is said here, and drop the export again."),
        RunState::Duplicate => {
            page.item("Nothing, if you dropped it twice. Otherwise check that you picked the new file.");
        }
        RunState::Failed => page.item(&format!("Tell whoever runs rosterd. Quote the number {}.", run.run)),
        RunState::Superseded => page.item("Nothing. The newer file has a receipt of its own."),
        RunState::Discarded => page.item("Drop a new export when there is one."),
        RunState::Completed | RunState::Partial | RunState::Unchanged => {
            if has_holds(run, plan) {
                page.item(&format!(
                    "Look at what is held, and at the people in doubt below. If the file is right about them, tell whoever runs \
                     rosterd: they can release it. Quote the number {}.",
                    run.run
                ));
                page.item("If it is wrong, drop a corrected export. What is held is then forgotten.");
            }
            if has_trouble(batches) {
                page.item(&format!("Tell whoever runs rosterd about what failed. Quote the number {}.", run.run));
            }
            if !has_errors && !has_holds(run, plan) && !has_trouble(batches) {
                page.item(if doubts.is_empty() {
                    "Nothing."
                } else {
                    "Nothing, unless the people in doubt below say otherwise."
                });
            }
        }
    }
    if has_errors && run.state != RunState::Rejected {
        page.item("Mend the rows that could not be used, in the HR system, and drop a new export.");
    }
    if has_errors || run.state == RunState::Rejected || run.state == RunState::Held {
        page.item(
            "Always drop the complete export, never only the mended rows: people who are not in a file can lose their \
             coverage.",
        );
    }
}

fn is_error(report: &ProblemReport) -> bool {
    report.problem.code.severity() == Severity::Error
}

/// Rows to mend first, then what was repaired on the way.
fn problems(page: &mut Page, plan: Option<&PlanReport>) {
    let Some(plan) = plan else { return };
    let (errors, warnings): (Vec<_>, Vec<_>) = plan.problems.iter().partition(|report| is_error(report));
    list_problems(page, "Rows that could not be used", &errors, MAX_LISTED);
    list_warnings(page, &warnings, MAX_LISTED.saturating_sub(errors.len()));
}

/// Rows that were used leave nobody in doubt: those that say the same are one entry.
fn list_warnings(page: &mut Page, reports: &[&ProblemReport], room: usize) {
    let found = likes(reports.iter().map(|report| &report.problem));
    if found.is_empty() {
        return;
    }
    let all: u64 = found.iter().map(|likes| likes.count).sum();
    page.heading(&format!("Rows that were used, with something to know ({all})"));
    for likes in found.iter().take(room) {
        let column = likes.first.column.as_deref().map(|column| clean(column, MAX_HEADER_CHARS));
        page.item(&format!("{}: {}", place(likes.place(), column), sentence(&clean(&likes.message, 400))));
        if let (Some(person), 1) = (&likes.first.reference_id, likes.count) {
            page.below_item(&format!("Person {}.", clean(person, MAX_HEADER_CHARS)));
        }
    }
    page.rest(found.len(), room, BESIDE);
}

fn list_problems(page: &mut Page, heading: &str, reports: &[&ProblemReport], room: usize) {
    if reports.is_empty() {
        return;
    }
    page.heading(&format!("{heading} ({})", reports.len()));
    for report in reports.iter().take(room) {
        let column = report.problem.column.as_deref().map(|column| clean(column, MAX_HEADER_CHARS));
        let line = (report.problem.line != 0).then(|| format!("Line {}", report.problem.line));
        page.item(&format!("{}: {}", place(line, column), sentence(&clean(&report.problem.message, 400))));
        if let Some(person) = &report.problem.reference_id {
            let covered = report.still_covered.map(|covered| format!(" Still covered: {}.", yes_no(covered)));
            page.below_item(&format!("Person {}.{}", clean(person, MAX_HEADER_CHARS), covered.unwrap_or_default()));
        }
    }
    page.rest(reports.len(), room, BESIDE);
}

fn place(lines: Option<String>, column: Option<String>) -> String {
    match (lines, column) {
        (None, None) => "The file".to_owned(),
        (None, Some(column)) => format!("Column \"{column}\""),
        (Some(lines), None) => lines,
        (Some(lines), Some(column)) => format!("{lines}, column \"{column}\""),
    }
}

/// The API does not apply another plan to somebody whom it covers already.
fn new_plans(page: &mut Page, plan: Option<&PlanReport>) {
    let changed = plan.into_iter().flat_map(|plan| &plan.groups).flat_map(|group| &group.changed);
    let people: Vec<&str> = changed
        .filter(|changed| !changed.joins_again && changed.fields.iter().any(|field| field == Field::PlanId.name()))
        .map(|changed| changed.reference_id.as_str())
        .collect();
    if people.is_empty() {
        return;
    }
    page.heading(&format!("New plans that do not take effect ({})", people.len()));
    page.text(
        "These people are covered already, and stay on the plan that they were added with. Tell whoever runs rosterd if the \
         new plan is to count.",
    );
    for person in people.iter().take(MAX_LISTED) {
        page.item(&format!("Person {}.", clean(person, MAX_HEADER_CHARS)));
    }
    page.rest(people.len(), MAX_LISTED, ", ask whoever runs rosterd");
}

/// Coverage that ended long before anybody said so: it was paid for, and may have to be talked about.
fn late_ends(page: &mut Page, plan: Option<&PlanReport>) {
    let people: Vec<&str> = plan
        .into_iter()
        .flat_map(|plan| &plan.groups)
        .flat_map(GroupReport::ended_long_ago)
        .map(ReferenceId::as_str)
        .collect();
    if people.is_empty() {
        return;
    }
    page.heading(&format!("Ended more than 30 days ago ({})", people.len()));
    page.text(
        "The file says that the coverage of these people ended more than 30 days ago. They were covered until now. Check the dates, \
         and ask whoever looks after the benefits whether anything is to be settled.",
    );
    for person in people.iter().take(MAX_LISTED) {
        page.item(&format!("Person {}.", clean(person, MAX_HEADER_CHARS)));
    }
    page.rest(people.len(), MAX_LISTED, ", ask whoever runs rosterd");
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A capital in front and a stop behind.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    // Ids and names of columns keep their spelling; only words of the language are capitalised.
    let starts_with_word = text.split_whitespace().next().is_some_and(|word| word.chars().all(char::is_alphabetic));
    if starts_with_word {
        format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
    } else {
        format!("{text}{stop}")
    }
}

/// In the reader's own zone, and in UTC for whoever compares it with a log.
fn time(at: DateTime<Utc>, zone: Tz) -> String {
    let here = at.with_timezone(&zone).format("%-d %B %Y, %H:%M %Z");
    if zone == Tz::UTC { here.to_string() } else { format!("{here} ({})", at.format("%Y-%m-%dT%H:%M:%SZ")) }
}

#[cfg(test)]
mod tests;
