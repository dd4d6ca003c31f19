//! `show`: one run or one batch in full.

use std::collections::BTreeMap;

use crate::report::{
    Batch, BatchDetail, ChangeReport, Counts, GuardReport, GuardVerdict, Phase, RevertReport, Run, RunDetail, RunState,
};

use super::json::{json_batch, json_run};
use super::page::Page;
use super::plan::{Depth, fields, file, groups, guards, is_approvable, is_mistrusted, problems, sums};
use super::status::{COMPARE, NEWER_STATE};
use super::words::{clean, count, many, phase, shell_word, some, span, state, time, trigger};
use super::{Screen, Tone};

/// A label, what it says, and its tone where that is not plain.
type Fact = (&'static str, Option<Tone>, String);

/// One run in full, and what to do about it. Lists of people are shortened; JSON has them all.
pub fn run(screen: &Screen, detail: &RunDetail) -> String {
    if screen.is_json() {
        return json_run(detail);
    }
    let RunDetail { run, plan, batches, filed_as, revert } = detail;
    let mut page = Page::new(*screen);
    let (word, tone) = state(run.state);
    page.say_in(tone, &format!("Run {}: {word}", clean(run.run.as_str())));
    let fingerprint = plan.as_ref().and_then(|plan| plan.fingerprint.as_deref());
    facts(&mut page, run, filed_as.as_deref(), fingerprint);
    if let Some(revert) = revert {
        undoing(&mut page, run, revert);
    }
    // The plan has all guards, the run those that did not simply pass: with its word on them.
    let planned = plan.as_ref().map(|plan| plan.guards.as_slice()).unwrap_or_default();
    let is_said = |guard: &&GuardReport| run.guards.iter().any(|of| of.guard == guard.guard && of.group == guard.group);
    let mut said = run.guards.clone();
    said.extend(planned.iter().filter(|guard| !is_said(guard)).cloned());
    // Of a rejected file the reason above is all there is.
    said.retain(|guard| guard.verdict != GuardVerdict::Reject || run.reason.as_ref() != Some(&guard.sum));
    if let Some(plan) = plan {
        problems(&mut page, plan, Depth::Full);
    }
    guards(&mut page, &said, Depth::Full);
    if let Some(plan) = plan {
        groups(&mut page, *screen, &plan.groups);
    }
    if !batches.is_empty() {
        page.heading(&format!("Batches ({})", batches.len()));
        for batch in batches {
            entry(&mut page, batch);
        }
    }
    if run.counts != Counts::default() {
        page.gap();
        page.say(&format!("In sum: {}.", sums(&run.counts)));
    }
    if !batches.is_empty() && run.finished_at.is_some() {
        let confirmed = many(run.counts.confirmed, "change", "changes");
        page.say(&format!("The API confirmed {confirmed} and reported {} as failed.", run.counts.failed));
    }
    page.heading("What to do now");
    let has_bad_rows = run.counts.problems != 0;
    next(&mut page, run, batches, &said, has_bad_rows);
    page.into_text()
}

fn facts(page: &mut Page, run: &Run, filed_as: Option<&str>, fingerprint: Option<&str>) {
    let mut fact = |label: &str, text: &str| page.fact(2, label, None, text);
    fact("source", &clean(run.source.as_str()));
    if run.file.is_some() {
        fact("file", &file(run.file.as_ref()));
    }
    if let Some(path) = filed_as {
        fact("lies in", &clean(path));
    }
    fact("trigger", trigger(run.trigger));
    if let Some(repeat) = &run.repeats {
        fact(
            "again",
            &format!("the export accepted {}; before, {}", time(repeat.accepted_at), clean(repeat.run.as_str())),
        );
    }
    if let Some(actor) = &run.actor {
        fact("by", &clean(actor));
    }
    if let Some(approves) = &run.approves {
        let plan = approves.fingerprint.as_deref().map(|plan| format!(", plan {}", clean(plan))).unwrap_or_default();
        fact("approves", &format!("{}{plan}", clean(approves.run.as_str())));
    }
    if let Some(fingerprint) = fingerprint {
        fact("plan", &format!("{} (an approval is bound to it)", clean(fingerprint)));
    }
    fact("received", &time(run.received_at));
    if let Some(finished) = run.finished_at {
        fact("finished", &format!("{}, after {}", time(finished), span(finished - run.received_at)));
    }
    if let Some(reason) = &run.reason {
        fact("reason", &clean(reason));
    }
}

/// What to know of a revert before and after it is carried out.
fn undoing(page: &mut Page, run: &Run, revert: &RevertReport) {
    let RevertReport { batch, group, run: of, later, last_accepted } = revert;
    let (group, of) = (clean(group.as_str()), clean(of.as_str()));
    page.heading(&format!("Reverts {}", clean(batch.as_str())));
    page.item(2, &format!("{group} goes back to the roster that it had before that batch, which run {of} made."));
    let again = run.counts.new + run.counts.returning;
    if again != 0 {
        let people = many(again, "person is", "people are");
        page.item(
            2,
            &format!("{people} added again: to the API that is a new subscription, and the old one is not continued."),
        );
    }
    if !later.is_empty() {
        let batches = many(count(later.len()), "later batch", "later batches");
        let names = some(later, |batch| clean(batch.as_str()).into_owned());
        page.item(
            2,
            &format!(
                "What {batches} changed in {group} since is undone too ({names}); whoever joined by them is held first."
            ),
        );
    }
    page.item(2, "The next export decides again: mend the source before it comes.");
    if let Some(last) = last_accepted {
        page.item(
            2,
            &format!(
                "The last accepted export, {} (run {}), still counts as known: the same content dropped again is a duplicate \
                 and changes nothing. To have it after all, revert this run's batch.",
                clean(&last.name),
                clean(last.run.as_str())
            ),
        );
    }
}

/// A batch of a run.
fn entry(page: &mut Page, batch: &Batch) {
    let (word, tone) = phase(batch.phase);
    page.entry(2, word, Some(tone), &format!("{}: {}", clean(batch.group.as_str()), numbers(batch)));
    page.fact(4, "batch", None, &clean(batch.batch.as_str()));
    if let Some(request) = &batch.request_id {
        page.fact(4, "request", None, &clean(request.as_str()));
    }
    for (label, tone, text) in times(batch).into_iter().chain(moves(batch)).chain(troubles(batch)) {
        page.fact(4, label, tone, &text);
    }
}

/// Who comes from where, how long nobody covered them, and who goes where.
fn moves(batch: &Batch) -> Vec<Fact> {
    let mut facts = Vec::new();
    let arriving = batch.moves_in.iter().filter(|arrival| arrival.stays.is_none());
    let mut from: BTreeMap<&str, (Vec<&str>, Option<u64>)> = BTreeMap::new();
    for arrival in arriving {
        let entry = from.entry(arrival.from.as_str()).or_default();
        entry.0.push(arrival.reference_id.as_str());
        entry.1 = entry.1.max(arrival.gap_seconds);
    }
    for (group, (people, gap)) in from {
        let whence = if group == batch.group.as_str() { "joins again".to_owned() } else { format!("from {group}") };
        let gap =
            gap.map(|gap| format!("; covered nowhere for {}", many(gap, "second", "seconds"))).unwrap_or_default();
        let text = format!("{whence}: {}{gap}", some(&people, |id| (*id).to_owned()));
        facts.push(("moves in", None, clean(&text).into_owned()));
    }
    let mut to: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for moved in &batch.moves_out {
        to.entry(moved.to.as_str()).or_default().push(moved.reference_id.as_str());
    }
    for (group, people) in to {
        let text = format!("to {group}: {}", some(&people, |id| (*id).to_owned()));
        facts.push(("moves out", None, clean(&text).into_owned()));
    }
    if let Some(first) = &batch.follows {
        facts.push(("second to", None, format!("{}: people had to leave first", clean(first.as_str()))));
    }
    if batch.again != 0 {
        let text = "for people who have left their group and were not added: tried until they are";
        facts.push(("again", Some(Tone::Bad), text.to_owned()));
    }
    facts
}

fn numbers(batch: &Batch) -> String {
    let mut parts = vec![many(batch.members, "member", "members")];
    if batch.phase == Phase::Completed {
        parts.push(format!("{} added, {} removed", batch.added, batch.removed));
    }
    if !batch.failures.is_empty() {
        parts.push(format!("{} failed", batch.failures.len()));
    }
    parts.push(many(batch.attempts.into(), "attempt", "attempts"));
    parts.join(", ")
}

fn times(batch: &Batch) -> Vec<Fact> {
    let ended = if batch.phase == Phase::Completed { "completed" } else { "ended" };
    let times = [
        ("submitted", batch.submitted_at),
        ("accepted", batch.accepted_at),
        (ended, batch.completed_at),
        ("waits till", batch.not_before.filter(|_| !batch.phase.is_final())),
    ];
    times.into_iter().filter_map(|(label, at)| Some((label, None, time(at?)))).collect()
}

/// What went wrong with a batch. The API's words about people may hold personal data: only `show` has them.
fn troubles(batch: &Batch) -> Vec<Fact> {
    let mut troubles = Vec::new();
    if is_incident(batch) {
        let removed = many(batch.removed, "member was removed", "members were removed");
        let text = format!("{removed}, but the plan removes {}", batch.planned_removals.unwrap_or_default());
        troubles.push(("incident", Some(Tone::Bad), text));
    }
    if let Some(error) = &batch.error {
        troubles.push(("error", Some(Tone::Bad), clean(error).into_owned()));
    }
    for failure in &batch.failures {
        let text = format!("{} ({}): {}", failure.reference_id, failure.operation, failure.reason);
        troubles.push(("failed", Some(Tone::Bad), clean(&text).into_owned()));
    }
    troubles
}

/// Whether the results hold removals that nobody planned.
fn is_incident(batch: &Batch) -> bool {
    batch.has_unplanned_removals()
}

/// What the reader should do now.
fn next(page: &mut Page, run: &Run, batches: &[Batch], guards: &[GuardReport], has_bad_rows: bool) {
    let before = page.lines();
    match run.state {
        RunState::Received => page.item(2, "Wait: it is being looked at."),
        RunState::Planned => {
            page.item(2, "Nothing of it was sent. To deliver, set mode = \"apply\" and sync the file again.");
        }
        RunState::Held => held(page, run, guards, "Nothing of it was sent."),
        RunState::Delivering => {
            page.item(2, "Wait: batches are under way. How they stand:");
            page.command(4, "rosterd status");
        }
        RunState::Rejected => page.item(2, "Mend the file and drop it again. Nobody gained or lost coverage."),
        RunState::Duplicate => page.item(2, "Nothing, if the same file was dropped twice; else look for the new one."),
        RunState::Superseded if run.reverts.is_some() => page.item(2, "Nothing: something newer took its place."),
        RunState::Superseded => page.item(2, "Nothing: a newer export took its place."),
        RunState::Discarded => page.item(2, "Nothing: a person dropped it."),
        RunState::Completed | RunState::Partial | RunState::Failed | RunState::Unchanged => {
            if guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold) {
                held(page, run, guards, "A part of it is held.");
            } else if has_bad_rows {
                page.item(2, "Have the rows mended that cannot be used; the next export takes them up.");
            }
        }
    }
    after_batches(page, batches);
    if page.lines() == before {
        page.item(2, "Nothing.");
    }
}

fn held(page: &mut Page, run: &Run, guards: &[GuardReport], what: &str) {
    page.item(2, &format!("{what} If the export is wrong, drop a mended one: it takes this one's place."));
    if is_mistrusted(guards) {
        page.item(2, NEWER_STATE);
        page.item(2, COMPARE);
    }
    if is_approvable(guards) {
        page.item(2, "If it is right, release what the guards above hold:");
        page.command(4, &format!("rosterd approve {} --reason TEXT", shell_word(run.run.as_str())));
    } else {
        page.item(2, "No approval can release it: mend what the guards above name.");
    }
    if run.state == RunState::Held {
        page.item(2, "To drop it:");
        page.command(4, &format!("rosterd discard {} --reason TEXT", shell_word(run.run.as_str())));
    }
}

fn after_batches(page: &mut Page, batches: &[Batch]) {
    if batches.iter().any(|batch| !batch.failures.is_empty()) {
        page.item(2, "Mend the people who failed in the HR system; the next export tries them again.");
    }
    if batches.iter().any(is_incident) {
        page.item(2, "People were removed whom no plan removes: find out why before anything else is sent.");
    }
    let is_stuck = |batch: &&Batch| is_incident(batch) || matches!(batch.phase, Phase::Refused | Phase::Lost);
    let stuck: Vec<_> = batches.iter().filter(is_stuck).collect();
    if !stuck.is_empty() {
        page.item(2, "Once the cause is mended, submit again:");
    }
    for batch in stuck {
        page.command(4, &retry(batch.group.as_str()));
    }
}

/// The command that submits a group again.
pub(super) fn retry(group: &str) -> String {
    format!("rosterd retry {}", shell_word(group))
}

/// One batch in full: what it changed, person by person.
pub fn batch(screen: &Screen, detail: &BatchDetail) -> String {
    if screen.is_json() {
        return json_batch(detail);
    }
    let BatchDetail { batch, changes, before, after, made_by } = detail;
    let mut page = Page::new(*screen);
    let (word, tone) = phase(batch.phase);
    page.say_in(tone, &format!("Batch {}: {word}", clean(batch.batch.as_str())));
    let id = batch.group_id.as_ref().map(|id| format!(" ({})", clean(id.as_str()))).unwrap_or_default();
    page.fact(2, "group", None, &format!("{}{id}", clean(batch.group.as_str())));
    page.fact(2, "run", None, &clean(batch.run.as_str()));
    if let Some(run) = made_by {
        made(&mut page, run);
    }
    if let (Some(before), Some(after)) = (before, after) {
        page.fact(2, "roster", None, &format!("{before} → {}", many(*after, "member", "members")));
    }
    let request = batch.request_id.as_ref().map_or("none", |request| request.as_str());
    page.fact(2, "request", None, &clean(request));
    page.fact(2, "payload", None, &numbers(batch));
    let planned = batch.planned_removals.map(|planned| many(planned, "removal", "removals"));
    page.fact(2, "planned", None, planned.as_deref().unwrap_or("removal of everybody who is not in it"));
    for (label, tone, text) in times(batch).into_iter().chain(moves(batch)).chain(troubles(batch)) {
        page.fact(2, label, tone, &text);
    }
    if changes.is_empty() {
        page.gap();
        page.say("No changes are recorded.");
    } else {
        page.heading(&format!("Changes ({})", changes.len()));
        for change in changes {
            page.entry(2, sign(&change.change), None, &one(change));
        }
    }
    page.heading("What to do now");
    let before = page.lines();
    after_batches(&mut page, std::slice::from_ref(batch));
    if page.lines() == before {
        page.item(2, if batch.phase.is_final() { "Nothing." } else { "Wait: it is under way." });
    }
    page.into_text()
}

/// The run behind a batch, as far as a batch is to be understood without it.
fn made(page: &mut Page, run: &Run) {
    page.fact(2, "trigger", None, trigger(run.trigger));
    if run.file.is_some() {
        page.fact(2, "file", None, &file(run.file.as_ref()));
    }
    if let Some(undone) = &run.reverts {
        page.fact(2, "reverts", None, &clean(undone.as_str()));
    }
    if let Some(actor) = &run.actor {
        page.fact(2, "by", None, &clean(actor));
    }
    if let Some(reason) = &run.reason {
        page.fact(2, "reason", None, &clean(reason));
    }
}

pub(super) fn sign(change: &str) -> &'static str {
    match change {
        "added" => "+",
        "returned" => "↩",
        "changed" => "~",
        "removed" => "-",
        _ => "!",
    }
}

fn one(change: &ChangeReport) -> String {
    let ChangeReport { reference_id, change, fields: changed, from_run, line, because } = change;
    let which = if changed.is_empty() { String::new() } else { format!(" ({})", fields(changed)) };
    if let Some(because) = because.as_ref().filter(|because| because.rule != "listed") {
        let place = because.line.map(|line| format!("line {line} of ")).unwrap_or_default();
        let name = because.file.as_ref().map_or_else(|| because.run.as_str(), |file| file.name.as_str());
        let place = if because.line.is_some() { format!(" ({place}{})", clean(name)) } else { String::new() };
        let who = clean(reference_id.as_str());
        return format!("{who}: {}{which}: {}{place}", clean(&change.replace('_', " ")), clean(&because.why));
    }
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    let run = from_run.as_ref().map(|run| format!(", {}", clean(run.as_str()))).unwrap_or_default();
    format!("{}: {}{which}{line}{run}", clean(reference_id.as_str()), clean(&change.replace('_', " ")))
}
