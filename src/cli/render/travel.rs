//! `member` and `roster`: one person's way, and a group at one time.

use std::fmt::Write;

use crate::report::{Coverage, Evidence, MemberDetail, MemberEvent, Pending, RosterMember, RosterReport, Trigger};

use super::Screen;
use super::Tone;
use super::json::{json_member, json_roster};
use super::page::Page;
use super::plan::fields;
use super::show::sign;
use super::table::{Column, Concession, fit};
use super::words::{clean, many, phase, time, trigger};

/// Where a person is, and every change that led there, oldest first: the last thing that happened stands where the eye ends.
pub fn member(screen: &Screen, detail: &MemberDetail) -> String {
    if screen.is_json() {
        return json_member(detail);
    }
    let mut page = Page::new(*screen);
    let id = clean(detail.reference_id.as_str());
    match (detail.covered.as_slice(), detail.not_covered_since) {
        ([], Some(since)) => page.say_in(Tone::Doubtful, &format!("{id}: not covered since {}", time(since))),
        ([], None) => page.say_in(Tone::Doubtful, &format!("{id}: not covered")),
        (groups, _) => {
            let names: Vec<_> = groups.iter().map(|group| clean(group.group.as_str())).collect();
            page.say_in(Tone::Good, &format!("{id}: covered in {}", names.join(" and in ")));
        }
    }
    for coverage in &detail.covered {
        covered(&mut page, coverage);
    }
    if !detail.pending.is_empty() {
        page.heading(&format!("Not settled ({})", detail.pending.len()));
        for one in &detail.pending {
            pending(&mut page, one);
        }
    }
    if detail.changes.is_empty() {
        page.gap();
        page.say("No changes are on record.");
    } else {
        page.heading(&format!("Changes ({}), oldest first", detail.changes.len()));
        for event in &detail.changes {
            page.gap();
            one(&mut page, event);
        }
    }
    if let Some(before) = detail.forgotten_before {
        page.gap();
        page.say(&format!("What ended before {} may be forgotten (retention.history).", time(before)));
    }
    page.into_text()
}

fn covered(page: &mut Page, coverage: &Coverage) {
    let since = coverage.since.map_or_else(|| "before what is on record".to_owned(), time);
    page.fact(2, "since", None, &since);
    let plan = plan_words(coverage.plan_id.as_str(), coverage.subscribed_plan.as_str());
    page.fact(2, "plan", None, &plan);
    page.fact(2, "source", None, &clean(coverage.source.as_str()));
    page.fact(2, "record", None, &format!("line {} of run {}", coverage.line, clean(coverage.run.as_str())));
    page.fact(2, "confirmed", None, &time(coverage.confirmed_at));
}

fn plan_words(wanted: &str, subscribed: &str) -> String {
    if wanted == subscribed {
        clean(wanted).into_owned()
    } else {
        format!("{}; the API has the person on {}", clean(wanted), clean(subscribed))
    }
}

fn pending(page: &mut Page, one: &Pending) {
    let mut text = one.group.as_ref().map(|group| format!("{}: ", clean(group.as_str()))).unwrap_or_default();
    text.push_str(&clean(&one.why));
    let mut places = Vec::new();
    places.extend(one.line.map(|line| format!("line {line}")));
    places.extend(one.run.as_ref().map(|run| clean(run.as_str()).into_owned()));
    places.extend(one.batch.as_ref().map(|batch| clean(batch.as_str()).into_owned()));
    places.extend(one.phase.map(|of| phase(of).0.to_owned()));
    if !places.is_empty() {
        write!(text, " [{}]", places.join(", ")).unwrap_or_default();
    }
    page.entry(2, &one.what.replace('_', " "), Some(Tone::Doubtful), &text);
}

fn one(page: &mut Page, event: &MemberEvent) {
    let change = &event.change;
    let at = event.at.map_or_else(|| "at a time not on record".to_owned(), time);
    let which = if change.fields.is_empty() { String::new() } else { format!(" ({})", fields(&change.fields)) };
    let word = change.change.replace('_', " ");
    let head = format!("{at}: {}{which}, {}", clean(&word), clean(event.group.as_str()));
    page.entry(2, sign(&change.change), None, &head);
    let mut fact = |label: &str, text: &str| page.fact(4, label, None, text);
    match &change.because {
        Some(because) => evidence(&mut fact, because, event),
        None => fact("because", "the reason was not kept"),
    }
    let of = event.trigger.map(|of| format!(": {}", trigger_words(of))).unwrap_or_default();
    fact("run", &format!("{}{of}", clean(event.run.as_str())));
    if let Some(undone) = &event.reverts {
        fact("reverts", &clean(undone.as_str()));
    }
    if let Some(actor) = &event.actor {
        fact("by", &clean(actor));
    }
    if let Some(reason) = &event.approval {
        fact("reason", &clean(reason));
    }
    for sum in &event.approved {
        fact("approved", &clean(sum));
    }
    fact("batch", &clean(event.batch.as_str()));
    fact("request", &event.request_id.as_ref().map_or("none".into(), |request| clean(request.as_str())));
    if event.result == "failed" {
        fact("result", &format!("failed; the API's words: rosterd show {}", clean(event.batch.as_str())));
    } else {
        fact("result", &clean(&event.result));
    }
}

fn evidence(fact: &mut impl FnMut(&str, &str), because: &Evidence, event: &MemberEvent) {
    fact("because", &clean(&because.why));
    let line = because.line.map(|line| format!(", line {line}")).unwrap_or_default();
    match &because.file {
        Some(file) => {
            fact("file", &format!("{}{line}", clean(&file.name)));
            fact("sha256", &clean(&file.sha256));
        }
        None if because.run == event.run => {}
        None => fact("file", &format!("of {}{line}; that run is forgotten", clean(because.run.as_str()))),
    }
    if because.run != event.run {
        fact("decided", &format!("by {}", clean(because.run.as_str())));
    }
}

fn trigger_words(of: Trigger) -> &'static str {
    trigger(of)
}

/// A group's roster, now or then.
pub fn roster(screen: &Screen, report: &RosterReport) -> String {
    if screen.is_json() {
        return json_roster(report);
    }
    let mut page = Page::new(*screen);
    let members = many(report.members.len() as u64, "member", "members");
    page.say(&format!("{}: {members} at {}", clean(report.group.as_str()), time(report.at)));
    if let (Some(at), Some(batch)) = (report.confirmed_at, &report.batch) {
        page.say(&format!("Confirmed at {} by {}", time(at), clean(batch.as_str())));
    }
    if report.members.is_empty() {
        return page.into_text();
    }
    page.gap();
    let each = |of: fn(&RosterMember) -> String| report.members.iter().map(of);
    let columns = vec![
        Column::text("id", each(|member| clean(member.reference_id.as_str()).into_owned())),
        Column::text("plan", each(|member| clean(member.plan_id.as_str()).into_owned())),
        Column::text("since", each(|member| member.since.map_or_else(|| "?".to_owned(), time))),
        Column::text("source", each(|member| clean(member.source.as_str()).into_owned())),
        Column::text("run", each(|member| clean(member.run.as_str()).into_owned())),
        Column::numbers("line", each(|member| member.line.to_string())),
    ];
    let order = [Concession::Prefix("run", "run_"), Concession::Column("source"), Concession::Column("plan")];
    let mut text = page.into_text();
    text.push_str(&fit(*screen, columns, &order));
    text
}
