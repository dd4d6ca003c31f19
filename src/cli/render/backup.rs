//! `backup`, `restore` and `verify`.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::report::{BackupReport, VerifyReport};

use super::json::{json_backup, json_restored, json_verified};
use super::page::Page;
use super::words::{age, bytes, clean, many, time};
use super::{Screen, Tone};

/// A backup that was made.
pub fn backup(screen: &Screen, report: &BackupReport, path: &Path) -> String {
    if screen.is_json() {
        return json_backup(report, path);
    }
    let mut page = Page::new(*screen);
    page.say_in(Tone::Good, &format!("Backed up to {}.", shown(path)));
    page.fact(2, "holds", None, &content(report));
    page.fact(2, "size", None, &bytes(report.bytes));
    page.item(2, "It holds personal data: keep it as private as the state itself. To put it back, stop rosterd first:");
    page.command(4, "rosterd restore FILE");
    page.into_text()
}

/// A backup that was checked.
pub fn backup_is_whole(screen: &Screen, report: &BackupReport, path: &Path, now: DateTime<Utc>) -> String {
    if screen.is_json() {
        return json_backup(report, path);
    }
    let mut page = Page::new(*screen);
    page.say_in(Tone::Good, &format!("{} is whole.", shown(path)));
    page.fact(2, "made", None, &format!("{} ({})", time(report.created_at), age(report.created_at, now)));
    page.fact(2, "API", None, &clean(&report.base_url));
    page.fact(2, "holds", None, &content(report));
    page.fact(2, "size", None, &bytes(report.bytes));
    page.into_text()
}

/// A state that was restored.
pub fn restored(screen: &Screen, report: &BackupReport, aside: Option<&Path>, now: DateTime<Utc>) -> String {
    if screen.is_json() {
        return json_restored(report, aside);
    }
    let mut page = Page::new(*screen);
    let made = format!("{} ({})", time(report.created_at), age(report.created_at, now));
    page.say_in(Tone::Good, &format!("The state is as it was on {made}."));
    page.fact(2, "holds", None, &content(report));
    if let Some(aside) = aside {
        let text = format!("{}; delete it when it is of no use any more", shown(aside));
        page.fact(2, "before", None, &text);
    }
    page.item(
        2,
        "Rosters may have been sent since then that this state knows nothing of. So nothing is sent by itself: the next export of \
         every source is held, and shows what it would change. Start rosterd, drop a current, complete export of each source, and \
         look:",
    );
    page.command(4, "systemctl start rosterd");
    page.command(4, "rosterd status");
    page.into_text()
}

/// Whether the state is whole.
pub fn verified(screen: &Screen, report: &VerifyReport) -> String {
    if screen.is_json() {
        return json_verified(report);
    }
    let mut page = Page::new(*screen);
    let found = report.findings.len() as u64 + report.more;
    if found == 0 {
        page.say_in(Tone::Good, "Everything on record is whole, and fits together.");
    } else {
        page.say_in(Tone::Bad, &format!("The state is damaged: {}.", many(found, "finding", "findings")));
    }
    let read = format!(
        "{} in {}, {}, {}",
        many(report.records, "record", "records"),
        many(report.groups, "group", "groups"),
        many(report.runs, "run", "runs"),
        many(report.batches, "batch", "batches")
    );
    page.fact(2, "read", None, &read);
    for finding in &report.findings {
        page.item(2, &clean(finding));
    }
    if report.more != 0 {
        page.item(2, &format!("… and {} more", report.more));
    }
    if found != 0 {
        page.item(2, "Stop rosterd and put the newest backup back that is whole (status names their folder):");
        page.command(4, "rosterd verify FILE");
        page.command(4, "rosterd restore FILE");
    }
    page.into_text()
}

fn content(report: &BackupReport) -> String {
    format!(
        "{}, {}, {}",
        many(report.groups, "group", "groups"),
        many(report.runs, "run", "runs"),
        many(report.batches, "batch", "batches")
    )
}

fn shown(path: &Path) -> String {
    clean(&path.display().to_string()).into_owned()
}
