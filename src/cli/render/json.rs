//! Reports as JSON: the shapes of [`crate::report`] with the version of the shapes in front, one object a line.

use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::report::{
    BackupReport, BatchDetail, Counts, GroupStatus, MemberDetail, PlanReport, RosterMember, RosterReport, Run,
    RunDetail, SCHEMA, Status, VerifyReport,
};
use crate::roster::ids::GroupRef;

use super::words::is_hostile;

#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Serialize)]
struct CountedPlan<'a> {
    #[serde(flatten)]
    plan: &'a PlanReport,
    counts: &'a Counts,
}

/// `history`: one run a line.
pub fn json_runs(runs: &[Run]) -> String {
    runs.iter().map(line).collect()
}

/// `show RUN`, `sync`.
pub fn json_run(detail: &RunDetail) -> String {
    line(detail)
}

/// `show BATCH`.
pub fn json_batch(detail: &BatchDetail) -> String {
    line(detail)
}

/// `plan`: the report, and the counts beside it.
pub fn json_plan(plan: &PlanReport, counts: &Counts) -> String {
    line(&CountedPlan { plan, counts })
}

/// `member`.
pub fn json_member(detail: &MemberDetail) -> String {
    line(detail)
}

#[derive(Serialize)]
struct OfRoster<'a> {
    group: &'a GroupRef,
    at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    member: &'a RosterMember,
}

/// `roster`: one member a line.
pub fn json_roster(report: &RosterReport) -> String {
    let RosterReport { group, at, confirmed_at, members, .. } = report;
    let (at, confirmed_at) = (*at, *confirmed_at);
    members.iter().map(|member| line(&OfRoster { group, at, confirmed_at, member })).collect()
}

#[derive(Serialize)]
struct OfBackup<'a> {
    /// Where it lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Where the state lies that it took the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(flatten)]
    report: &'a BackupReport,
}

/// `backup`, and `verify` of one.
pub(super) fn json_backup(report: &BackupReport, file: &Path) -> String {
    line(&OfBackup { file: Some(file.display().to_string()), before: None, report })
}

/// `restore`.
pub(super) fn json_restored(report: &BackupReport, before: Option<&Path>) -> String {
    line(&OfBackup { file: None, before: before.map(|before| before.display().to_string()), report })
}

/// `verify`.
pub(super) fn json_verified(report: &VerifyReport) -> String {
    line(report)
}

/// `status`. The API's words about people are left out: only `show` has them.
pub fn json_status(status: &Status) -> String {
    if status.under_way.iter().all(|batch| batch.failures.is_empty()) {
        return line(status);
    }
    let mut status = status.clone();
    for failure in status.under_way.iter_mut().flat_map(|batch| &mut batch.failures) {
        failure.reason.clear();
    }
    line(&status)
}

/// `groups`: one group a line.
pub fn json_groups(groups: &[GroupStatus]) -> String {
    groups.iter().map(line).collect()
}

fn line<T: Serialize>(value: &T) -> String {
    // Our shapes have only texts as keys and cannot fail. Should one ever, a script must not take nothing for an answer.
    let json = serde_json::to_string(&Versioned { schema: SCHEMA, value })
        .unwrap_or_else(|error| serde_json::json!({ "schema": SCHEMA, "error": error.to_string() }).to_string());
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // They stand only inside of strings, where the escape means the same.
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(line, "\\u{unit:04x}").unwrap_or_default();
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}
