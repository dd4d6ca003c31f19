//! From settings to a [`Config`]: every value is read before any is missed, so that all problems come at once.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::finding::{Fault, Finding, Reported};
use super::reader::{Reader, fold};
use super::settings::Settings;
use super::{Api, Backup, Config, Guards, Mode, PhoneFormat, Poll, Retention, Source, kinds, secret, source};

/// Shorter than any network's round trip is a slip of the unit.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// Nobody waits longer for one answer; a longer one would outlast every stop of the service.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);
/// Rehearsals against the sandbox poll fast.
const SHORTEST_POLL: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Checks everything.
///
/// # Errors
/// Every finding, `findings` among them, in the order of the lines.
pub(super) fn check(
    settings: &Settings,
    findings: Vec<Finding>,
    environment: &Environment,
) -> Result<Config, Vec<Finding>> {
    let mut reader = Reader::new(settings, findings);
    let config = config(&mut reader, environment);
    let findings = reader.into_findings();
    match config {
        Ok(config) if findings.is_empty() => Ok(config),
        _ => Err(findings),
    }
}

fn config(reader: &mut Reader<'_>, environment: &Environment) -> Result<Config, Reported> {
    const MODES: &[(&str, Mode)] = &[("apply", Mode::Apply), ("plan", Mode::Plan)];
    let state_dir = reader.get("state_dir", kinds::path);
    let mode = reader.get("mode", kinds::one_of(MODES));
    let api = api(reader, environment);
    let poll = poll(reader);
    let control_socket = reader.get("control.socket", kinds::socket);
    let retention = retention(reader);
    let backup = backup(reader, state_dir.as_ref().ok());
    // Each source reads them again under its own; here they are looked at even if there is none.
    let common = guards(reader, "guards");
    let sources = sources(reader, state_dir.as_ref().ok());
    common?;
    Ok(Config {
        state_dir: state_dir?,
        mode: mode?,
        api: api?,
        poll: poll?,
        control_socket: control_socket?,
        retention: retention?,
        backup: backup?,
        sources: sources?,
    })
}

fn api(reader: &mut Reader<'_>, environment: &Environment) -> Result<Api, Reported> {
    const PHONES: &[(&str, PhoneFormat)] = &[("national", PhoneFormat::National), ("e164", PhoneFormat::E164)];
    /// The API's documents name 5000; the rest is room for the day on which they name more.
    const MOST_MEMBERS: u32 = 100_000;
    /// One API serves all: more at once only earns refusals.
    const MOST_IN_FLIGHT: u32 = 100;
    let base_url = reader.need("api.base_url", "write [api] and base_url = \"https://…\" below it", kinds::base_url);
    let found = secret::find(reader, environment);
    let time = kinds::span(SHORTEST_TIMEOUT, LONGEST_TIMEOUT);
    let connect_timeout = reader.get("api.connect_timeout", &time);
    let timeout = reader.get("api.timeout", &time);
    if let (Ok(connecting), Ok(whole)) = (connect_timeout, timeout)
        && whole < connecting
    {
        reader.report("api.connect_timeout", Fault::new("is longer than api.timeout", "connecting is part of it"));
    }
    let max_in_flight = reader.get("api.max_in_flight", kinds::count(1, MOST_IN_FLIGHT));
    let requests_per_second = reader.get("api.requests_per_second", kinds::rate);
    let members_per_request = reader.get("api.members_per_request", kinds::count(1, MOST_MEMBERS));
    let phone_format = reader.get("api.phone_format", kinds::one_of(PHONES));
    let ca_file = reader.read("api.ca_file", kinds::path);
    let proxy = reader.read("api.proxy", kinds::proxy);
    let found = found?;
    Ok(Api {
        base_url: base_url?,
        key: found.key,
        key_origin: found.origin,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        max_in_flight: as_size(max_in_flight?),
        requests_per_second: requests_per_second?,
        members_per_request: as_size(members_per_request?),
        phone_format: phone_format?,
        ca_file: ca_file?,
        proxy: proxy?,
    })
}

fn poll(reader: &mut Reader<'_>) -> Result<Poll, Reported> {
    let pause = kinds::span(SHORTEST_POLL, LONGEST_TIMEOUT);
    let first_after = reader.get("poll.first_after", &pause);
    let max_interval = reader.get("poll.max_interval", &pause);
    let alert_after = reader.get("poll.alert_after", kinds::span_from(Duration::from_secs(1)));
    let give_up_after = reader.get("poll.give_up_after", kinds::span_from(Duration::from_secs(1)));
    in_order(reader, ("poll.first_after", first_after), ("poll.max_interval", max_interval));
    in_order(reader, ("poll.max_interval", max_interval), ("poll.give_up_after", give_up_after));
    in_order(reader, ("poll.alert_after", alert_after), ("poll.give_up_after", give_up_after));
    Ok(Poll {
        first_after: first_after?,
        max_interval: max_interval?,
        alert_after: alert_after?,
        give_up_after: give_up_after?,
    })
}

type Named<'a> = (&'a str, Result<Duration, Reported>);

fn in_order(reader: &mut Reader<'_>, (path, shorter): Named<'_>, (other, longer): Named<'_>) {
    if let (Ok(shorter), Ok(longer)) = (shorter, longer)
        && longer < shorter
    {
        // The one that the operator wrote is the one to change.
        let place = if reader.is_written(path) { path } else { other };
        let message = format!("does not fit: {path} is longer than {other}");
        reader.report(place, Fault::new(message, format!("make {path} the shorter of the two")));
    }
}

fn retention(reader: &mut Reader<'_>) -> Result<Retention, Reported> {
    let exports = reader.get("retention.exports", kinds::keeping);
    let history = reader.get("retention.history", kinds::keeping);
    Ok(Retention { exports: exports?, history: history? })
}

fn backup(reader: &mut Reader<'_>, state_dir: Option<&PathBuf>) -> Result<Backup, Reported> {
    /// Ten years of days: more is a slip of the keyboard.
    const MOST_KEPT: u32 = 3660;
    let schedule = reader.get("backup.schedule", kinds::cron_or_off);
    let timezone = reader.get("backup.timezone", kinds::zone);
    let folder = reader.read("backup.folder", kinds::path);
    let keep = reader.get("backup.keep", kinds::count(1, MOST_KEPT));
    let beside = || state_dir.map(|state| state.join("backups")).unwrap_or_default();
    Ok(Backup { schedule: schedule?, timezone: timezone?, folder: folder?.unwrap_or_else(beside), keep: keep? })
}

/// The guards at `at`: the common ones, or those of one source, which has the common ones below its own.
pub(super) fn guards(reader: &mut Reader<'_>, at: &str) -> Result<Guards, Reported> {
    let mut limit = |key: &str| reader.get(&format!("{at}.{key}"), kinds::limit);
    let removals = limit("removals");
    let terminations = limit("terminations");
    let rolling_removals = limit("rolling_removals");
    let rows_dropped = limit("rows_dropped");
    let invalid_rows = limit("invalid_rows");
    let field_changed = limit("field_changed");
    let additions = limit("additions");
    let identity_changes = limit("identity_changes");
    let removals_max = reader.get(&format!("{at}.removals_max"), kinds::count_or_off);
    let rolling_window = reader.get(&format!("{at}.rolling_window"), kinds::span_from(MINUTE));
    let approval_expires = reader.get(&format!("{at}.approval_expires"), kinds::span_from(MINUTE));
    Ok(Guards {
        removals: removals?,
        removals_max: removals_max?,
        terminations: terminations?,
        rolling_removals: rolling_removals?,
        rolling_window: rolling_window?,
        rows_dropped: rows_dropped?,
        invalid_rows: invalid_rows?,
        field_changed: field_changed?,
        additions: additions?,
        identity_changes: identity_changes?,
        approval_expires: approval_expires?,
    })
}

fn sources(reader: &mut Reader<'_>, state_dir: Option<&PathBuf>) -> Result<Vec<Source>, Reported> {
    let n = reader.settings().n_sources();
    if n == 0 && !reader.is_written("source") {
        return Err(reader.report("source", Fault::new("is missing", "write at least one [[source]]")));
    }
    let sources: Vec<_> = (0..n).map(|index| source::source(reader, &format!("source[{index}]"))).collect();
    names_are_distinct(reader, n);
    folders_are_apart(reader, n, state_dir);
    sources.into_iter().collect()
}

fn names_are_distinct(reader: &mut Reader<'_>, n: usize) {
    let mut names: Vec<String> = Vec::new();
    for index in 0..n {
        let path = format!("source[{index}].name");
        let Some(name) = reader.settings().value(&path).and_then(|name| name.as_str()).map(fold) else { continue };
        if names.contains(&name) {
            reader.report(&path, Fault::new("is the name of another source", "give each source a name of its own"));
        }
        names.push(name);
    }
}

/// Two sources that look through one folder would take each other's files.
fn folders_are_apart(reader: &mut Reader<'_>, n: usize, state_dir: Option<&PathBuf>) {
    let mut taken: Vec<(&str, PathBuf)> = state_dir.map(|folder| ("state_dir", folder.clone())).into_iter().collect();
    for index in 0..n {
        let path = format!("source[{index}].inbox");
        let Some(Ok(inbox)) = reader.settings().value(&path).map(kinds::path) else { continue };
        let clash = taken.iter().find(|(_, folder)| folder.starts_with(&inbox) || inbox.starts_with(folder));
        if let Some((whose, folder)) = clash {
            let how = if *folder == inbox { "is" } else { "lies within or around" };
            let message = format!("{how} {whose} ({})", folder.display());
            reader.report(&path, Fault::new(message, "give each source a folder of its own, apart from the others"));
        }
        taken.push(("the inbox of another source", inbox));
    }
}

pub(super) fn as_size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
