//! `status` and `groups`: how everything stands.

use chrono::{DateTime, Utc};

use crate::report::{Batch, DoubtStatus, GroupStatus, ResyncStatus, SourceStatus, Status};
use crate::roster::ids::{BatchId, GroupId, GroupRef, SourceName};

use super::json::{json_groups, json_status};
use super::page::Page;
use super::show::retry;
use super::table::{Column, Concession, fit};
use super::words::{age, bytes, capital, clean, count, many, phase, shell_word, span, state, stop, time};
use super::{Screen, Tone};

/// Groups in doubt that are named.
const DOUBTS: usize = 10;

/// The better way out of doubt than an approval.
pub(super) const NEWER_STATE: &str = "If the right state still exists (a newer backup, a file system that was not mounted, the base_url that \
     it was made with), stop rosterd, put it back and start again: then nothing has to be approved.";

/// Where to look before approving what meets doubtful records.
pub(super) const COMPARE: &str = "Compare the export with the last one in the folder processed of its inbox: whoever is in that one and not \
     in this would lose coverage, whether or not they left.";

/// What `groups` says without groups.
const NO_GROUPS: &str = "\
No groups yet. The first export makes them (create = true), or
  rosterd groups create REF --name NAME
";

/// How everything stands: the verdict first, the facts after it.
pub fn status(screen: &Screen, status: &Status, now: DateTime<Utc>) -> String {
    if screen.is_json() {
        return json_status(status);
    }
    let mut page = Page::new(*screen);
    verdict(&mut page, status);
    page.gap();
    facts(&mut page, status, now);
    status.sources.iter().for_each(|of| source(&mut page, of, now));
    if let Some(of) = &status.doubt {
        doubt(&mut page, of, now);
    }
    if !status.under_way.is_empty() {
        page.heading(&format!("Under way ({})", status.under_way.len()));
        status.under_way.iter().for_each(|batch| under_way(&mut page, batch, now));
    }
    if !status.paused.is_empty() {
        page.heading(&format!("Paused ({}): nothing is sent until a person says so", status.paused.len()));
        for paused in &status.paused {
            page.item(2, &format!("{}: {}", clean(paused.group.as_str()), clean(&paused.reason)));
            page.command(4, &retry(paused.group.as_str()));
        }
    }
    page.into_text()
}

/// What is the matter, the worst first.
fn matters(status: &Status) -> Vec<(Tone, String)> {
    let mut matters = Vec::new();
    if status.daemon.as_ref().is_some_and(|daemon| daemon.key_refused) {
        matters.push((Tone::Bad, "the API refuses the key, and all delivery stands still".to_owned()));
    }
    if status.daemon.is_none() {
        matters.push((Tone::Bad, "no daemon runs, and nothing is watched or sent".to_owned()));
    }
    if !status.durable {
        matters.push((Tone::Bad, "a power cut can lose what is recorded".to_owned()));
    }
    for source in status.sources.iter().filter(|source| source.inbox_trouble.is_some()) {
        matters.push((Tone::Bad, format!("the inbox of {} is in trouble", clean(source.source.as_str()))));
    }
    if status.backup.as_ref().is_some_and(|backup| backup.trouble.is_some()) {
        matters.push((Tone::Bad, "the state cannot be backed up".to_owned()));
    }
    if status.doubt.is_some() {
        matters.push((Tone::Doubtful, "the records are in doubt, and what depends on them is held".to_owned()));
    }
    for source in status.sources.iter().filter(|source| source.overdue_since.is_some()) {
        matters.push((Tone::Bad, format!("the export of {} is overdue", clean(source.source.as_str()))));
    }
    for source in status.sources.iter().filter(|source| source.recheck_trouble.is_some()) {
        matters.push((Tone::Bad, format!("dates of {} cannot be re-checked", clean(source.source.as_str()))));
    }
    if !status.paused.is_empty() {
        matters.push((Tone::Bad, many(count(status.paused.len()), "group is paused", "groups are paused")));
    }
    let held = status.sources.iter().map(|source| count(source.held.len())).sum();
    if held != 0 {
        matters.push((Tone::Doubtful, many(held, "run waits for a decision", "runs wait for a decision")));
    }
    let troubled = count(status.under_way.iter().filter(|batch| batch.error.is_some()).count());
    if troubled != 0 {
        matters.push((Tone::Doubtful, many(troubled, "batch is in trouble", "batches are in trouble")));
    }
    matters
}

fn verdict(page: &mut Page, status: &Status) {
    let matters = matters(status);
    match matters.first() {
        None => page.say_in(Tone::Good, "All is well."),
        Some((tone, _)) => {
            let text = matters.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
            page.say_in(*tone, &format!("{}.", capital(&text)));
        }
    }
}

fn facts(page: &mut Page, status: &Status, now: DateTime<Utc>) {
    let daemon = status.daemon.as_ref().map_or_else(
        || "none answers; to start it: systemctl start rosterd".to_owned(),
        |daemon| {
            let since = format!("since {} ({})", time(daemon.since), age(daemon.since, now));
            format!("pid {}, version {}, {since}", daemon.pid, clean(&daemon.version))
        },
    );
    page.fact(2, "daemon", None, &daemon);
    let mode = match status.mode.as_str() {
        "plan" => "plan: exports are examined and recorded, nothing is submitted".into(),
        mode => clean(mode),
    };
    page.fact(2, "mode", None, &mode);
    page.fact(2, "API", None, &clean(&status.base_url));
    let groups = many(status.groups, "group", "groups");
    page.fact(2, "confirmed", None, &format!("{} in {groups}", many(status.members, "member", "members")));
    let state = bytes(status.state_bytes);
    if status.durable {
        page.fact(2, "state", None, &format!("{state} on disk"));
    } else {
        let why = "writes are not forced to the disk here, so that a power cut can lose or break them";
        page.fact(2, "state", Some(Tone::Bad), &format!("{state} on disk; {why}"));
    }
    let Some(backup) = &status.backup else {
        return page.fact(2, "backup", None, "none is made: backup.schedule is off");
    };
    let made = backup.last.map_or_else(
        || "none yet".to_owned(),
        |last| format!("{} ({}), {} kept in {}", time(last), age(last, now), backup.kept, clean(&backup.folder)),
    );
    page.fact(2, "backup", None, &made);
    if let Some(trouble) = &backup.trouble {
        page.fact(2, "", Some(Tone::Bad), &format!("{}; it is tried again within the hour", clean(trouble)));
    }
}

/// What is the matter with the records, and the way out.
fn doubt(page: &mut Page, doubt: &DoubtStatus, now: DateTime<Utc>) {
    page.heading("Records in doubt: nothing that depends on them is sent without approval");
    page.item(2, &format!("{}{}", capital(&clean(&doubt.reason)), stop(&doubt.reason)));
    page.fact(2, "since", None, &format!("{} ({})", time(doubt.since), age(doubt.since, now)));
    let names = |names: Vec<&str>| names.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ");
    if !doubt.sources.is_empty() {
        let sources = names(doubt.sources.iter().map(SourceName::as_str).collect());
        page.fact(2, "held", None, &format!("the next export of {sources}"));
    }
    if !doubt.groups.is_empty() {
        let shown = names(doubt.groups.iter().take(DOUBTS).map(GroupRef::as_str).collect());
        let more = doubt.groups.len().saturating_sub(DOUBTS);
        let more = if more == 0 { String::new() } else { format!(" and {more} more (--json has all)") };
        page.fact(2, "in doubt", None, &format!("{shown}{more}, until an approved roster is confirmed"));
    }
    page.item(2, NEWER_STATE);
    page.item(2, "If there is none, drop a current, complete export of each source, and look at what is held:");
    page.command(4, "rosterd show RUN");
    page.item(2, COMPARE);
    page.item(2, "If it is right, release it:");
    page.command(4, "rosterd approve RUN --reason TEXT");
}

fn source(page: &mut Page, source: &SourceStatus, now: DateTime<Utc>) {
    page.heading(&format!("Source {}", clean(source.source.as_str())));
    page.fact(2, "inbox", None, &clean(&source.inbox));
    if let Some(trouble) = &source.inbox_trouble {
        page.fact(2, "trouble", Some(Tone::Bad), &clean(trouble));
    }
    match &source.last_accepted {
        None => page.fact(2, "accepted", None, "no export yet"),
        Some(last) => {
            let at = format!("{} ({})", time(last.accepted_at), age(last.accepted_at, now));
            page.fact(2, "accepted", None, &format!("{}, {}", clean(&last.name), many(last.rows, "row", "rows")));
            page.fact(2, "", None, &format!("{at}, {}", clean(last.run.as_str())));
        }
    }
    if let Some(next) = source.next_scheduled {
        page.fact(2, "scheduled", None, &format!("{} ({})", time(next), age(next, now)));
    }
    expected(page, source, now);
    if let Some(trouble) = &source.recheck_trouble {
        page.fact(2, "re-check", Some(Tone::Bad), &format!("{}; the next accepted export ends that", clean(trouble)));
    }
    if let Some(next) = source.next_resync {
        page.fact(2, "resync", None, &format!("{} ({})", time(next), age(next, now)));
    }
    if let Some(last) = &source.last_resync {
        resync(page, last, now);
    }
    if source.absent != 0 {
        let who = many(source.absent, "person is", "people are");
        page.fact(
            2,
            "absent",
            None,
            &format!("{who} missing from the last exports, and covered until that is confirmed"),
        );
    }
    for held in &source.held {
        page.fact(2, "held", Some(Tone::Doubtful), &format!("rosterd show {}", shell_word(held.as_str())));
    }
}

/// Whether the export came that should have come.
fn expected(page: &mut Page, source: &SourceStatus, now: DateTime<Utc>) {
    let Some(since) = source.overdue_since else {
        if let Some(by) = source.expected_by {
            page.fact(2, "expected", None, &format!("by {} ({})", time(by), age(by, now)));
        }
        return;
    };
    let missed = format!("no export was accepted by {} ({})", time(since), age(since, now));
    page.fact(2, "overdue", Some(Tone::Bad), &format!("{missed}: who left stays covered, who joined is not"));
    if let Some(last) = &source.not_accepted {
        let (word, _) = state(last.state);
        let text = format!("the last one came {} and was {word}: rosterd show", age(last.received_at, now));
        page.fact(2, "", None, &format!("{text} {}", shell_word(last.run.as_str())));
    }
}

/// What submitting everything again brought to light.
fn resync(page: &mut Page, last: &ResyncStatus, now: DateTime<Utc>) {
    let ResyncStatus { run, received_at, finished_at, groups, restored, removed } = last;
    let groups = many(*groups, "group", "groups");
    let mut found = Vec::new();
    if *restored != 0 {
        found.push(format!("{} vanished from the API and came back", many(*restored, "person had", "people had")));
    }
    if *removed != 0 {
        found.push(format!("{} lost coverage that nobody planned", many(*removed, "unknown person", "unknown people")));
    }
    if found.is_empty() && finished_at.is_some() {
        found.push("the API held everybody as confirmed".to_owned());
    } else if finished_at.is_none() {
        found.push("under way".to_owned());
    }
    let tone = if *removed != 0 {
        Some(Tone::Bad)
    } else if *restored != 0 {
        Some(Tone::Doubtful)
    } else {
        None
    };
    page.fact(2, "", tone, &format!("last {}, {groups}: {}", age(*received_at, now), found.join("; ")));
    if *restored != 0 || *removed != 0 {
        page.fact(2, "", None, &format!("rosterd show {}", shell_word(run.as_str())));
    }
}

fn under_way(page: &mut Page, batch: &Batch, now: DateTime<Utc>) {
    let (word, tone) = phase(batch.phase);
    let members = many(batch.members, "member", "members");
    let since = batch.accepted_at.or(batch.submitted_at).map(|since| format!(", {}", age(since, now)));
    let until =
        batch.not_before.filter(|until| now < *until).map(|until| format!(", goes on in {}", span(until - now)));
    let attempts = many(batch.attempts.into(), "attempt", "attempts");
    let (since, until) = (since.unwrap_or_default(), until.unwrap_or_default());
    page.entry(2, word, Some(tone), &format!("{}: {members}{since}, {attempts}{until}", clean(batch.group.as_str())));
    if let Some(error) = &batch.error {
        page.item(4, &format!("{}{}", clean(error), stop(error)));
    }
}

/// The API's groups beside what is confirmed.
pub fn groups(screen: &Screen, groups: &[GroupStatus]) -> String {
    if screen.is_json() {
        return json_groups(groups);
    }
    if groups.is_empty() {
        return NO_GROUPS.to_owned();
    }
    let text = |of: fn(&GroupStatus) -> Option<&str>| {
        groups.iter().map(move |group| of(group).map_or_else(|| "-".to_owned(), |text| clean(text).into_owned()))
    };
    let members = |group: &GroupStatus| group.members.map_or_else(|| "-".to_owned(), |members| members.to_string());
    let confirmed = |group: &GroupStatus| group.confirmed_at.map_or_else(|| "never".to_owned(), time);
    let made_by = |group: &GroupStatus| if group.made_by_us { "rosterd" } else { "others" }.to_owned();
    let columns = vec![
        Column::text("group", text(|group| group.group.as_ref().map(GroupRef::as_str))),
        Column::text("id", text(|group| group.group_id.as_ref().map(GroupId::as_str))),
        Column::flexible("name", text(|group| Some(&group.name))),
        Column::numbers("members", groups.iter().map(members)),
        Column::text("confirmed", groups.iter().map(confirmed)),
        Column::text("last batch", text(|group| group.last_batch.as_ref().map(BatchId::as_str))),
        Column::text("made by", groups.iter().map(made_by)),
        Column::states("state", groups.iter().map(standing)),
    ];
    let order = ["made by", "last batch", "name", "confirmed", "id"].map(Concession::Column);
    let mut page = Page::new(*screen);
    page.gap();
    for group in groups {
        let name = group.group.as_ref().map(GroupRef::as_str).or(group.group_id.as_ref().map(GroupId::as_str));
        if let (Some(name), Some(why)) = (name, &group.paused) {
            page.item(0, &format!("{} is paused: {}", clean(name), clean(why)));
            page.command(2, &retry(name));
        }
    }
    let paused = page.into_text();
    let between = if paused.is_empty() { "" } else { "\n" };
    format!("{}{between}{paused}", fit(*screen, columns, &order))
}

fn standing(group: &GroupStatus) -> (&'static str, Tone) {
    match (&group.paused, group.in_api) {
        (Some(_), _) => ("paused", Tone::Bad),
        (None, Some(false)) if group.group_id.is_none() => ("to be made", Tone::Doubtful),
        (None, Some(false)) => ("not in the API", Tone::Bad),
        (None, None) => ("not asked", Tone::Doubtful),
        (None, Some(true)) if group.group.is_none() => ("no reference", Tone::Doubtful),
        (None, Some(true)) => ("ok", Tone::Good),
    }
}
