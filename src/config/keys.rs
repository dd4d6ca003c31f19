//! The table of every key there is, and what it says about a name that is not in it.

use std::collections::BTreeSet;

/// How a key is read from an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// As it stands: an id `0123` is not the number 123, and `true` may be a name.
    Text,
    /// As a number or a switch, if it reads as one.
    Plain,
    /// Not at all: it belongs to a source, of which there may be several.
    File,
    /// Not at all; its entries are the operator's own names.
    Entries,
}
use Takes::{Entries, File, Plain, Text};

/// Every key, with the tables it stands in. `source` stands for each `[[source]]`.
pub(super) const KEYS: &[(&str, Takes)] = &[
    ("state_dir", Text),
    ("mode", Text),
    ("api.base_url", Text),
    ("api.api_key_file", Text),
    ("api.connect_timeout", Text),
    ("api.timeout", Text),
    ("api.max_in_flight", Plain),
    ("api.requests_per_second", Plain),
    ("api.members_per_request", Plain),
    ("api.phone_format", Text),
    ("api.ca_file", Text),
    ("api.proxy", Text),
    ("poll.first_after", Text),
    ("poll.max_interval", Text),
    ("poll.alert_after", Text),
    ("poll.give_up_after", Text),
    ("control.socket", Text),
    ("retention.exports", Text),
    ("retention.history", Text),
    ("backup.schedule", Text),
    ("backup.timezone", Text),
    ("backup.folder", Text),
    ("backup.keep", Plain),
    ("guards.removals", Plain),
    ("guards.removals_max", Plain),
    ("guards.terminations", Plain),
    ("guards.rolling_removals", Plain),
    ("guards.rolling_window", Text),
    ("guards.rows_dropped", Plain),
    ("guards.invalid_rows", Plain),
    ("guards.field_changed", Plain),
    ("guards.additions", Plain),
    ("guards.identity_changes", Plain),
    ("guards.approval_expires", Text),
    ("source.name", File),
    ("source.inbox", File),
    ("source.files", File),
    ("source.settle", File),
    ("source.done_marker", File),
    ("source.rescan", File),
    ("source.schedule", File),
    ("source.resync", File),
    ("source.expect_by", File),
    ("source.timezone", File),
    ("source.confirm_absence", File),
    ("source.format.encoding", File),
    ("source.format.delimiter", File),
    ("source.format.header_row", File),
    ("source.format.dates", File),
    ("source.format.placeholders", File),
    ("source.format.id_width", File),
    ("source.columns.reference_id", File),
    ("source.columns.reference_id.join", File),
    ("source.columns.reference_id.with", File),
    ("source.columns.first_name", File),
    ("source.columns.last_name", File),
    ("source.columns.full_name", File),
    ("source.columns.date_of_birth", File),
    ("source.columns.email", File),
    ("source.columns.phone", File),
    ("source.columns.address_line_1", File),
    ("source.columns.address_line_2", File),
    ("source.columns.city", File),
    ("source.columns.state", File),
    ("source.columns.zipcode", File),
    ("source.group.column", File),
    ("source.group.fixed", File),
    ("source.group.external_reference_id", File),
    ("source.group.create", File),
    ("source.group.unmapped", File),
    ("source.group.map", Entries),
    ("source.plan.column", File),
    ("source.plan.default", File),
    ("source.plan.change", File),
    ("source.plan.map", Entries),
    ("source.eligibility.status", File),
    ("source.eligibility.covered", File),
    ("source.eligibility.terminated", File),
    ("source.eligibility.start", File),
    ("source.eligibility.end", File),
    ("source.eligibility.coverage_ends", File),
    ("source.guards.removals", File),
    ("source.guards.removals_max", File),
    ("source.guards.terminations", File),
    ("source.guards.rolling_removals", File),
    ("source.guards.rolling_window", File),
    ("source.guards.rows_dropped", File),
    ("source.guards.invalid_rows", File),
    ("source.guards.field_changed", File),
    ("source.guards.additions", File),
    ("source.guards.identity_changes", File),
    ("source.guards.approval_expires", File),
];

/// Every key that a configuration may hold, as in `api.base_url`; `source` stands for each `[[source]]`.
pub fn known_keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// How the key is read from the environment; none when there is no such key.
pub(super) fn takes(path: &str) -> Option<Takes> {
    KEYS.iter().find(|(key, _)| *key == path).map(|(_, takes)| *takes)
}

/// Whether keys stand under this path.
pub(super) fn is_table(path: &str) -> bool {
    known_keys().any(|key| strip_table(key, path).is_some())
}

/// What would cure a name that is not known: the nearest one beside it, or where such a name belongs.
pub(super) fn nearest(path: &str) -> String {
    /// Below this, two names are not a slip of the keyboard apart (`setle`, `settle`: 0.97; `mode`, `max`: 0.6).
    const ALIKE: f64 = 0.84;
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    if matches!(name, "key" | "api_key" | "token" | "secret") || name.ends_with("_api_key") {
        return KEY_MISPLACED.to_owned();
    }
    let beside: BTreeSet<&str> = known_keys().filter_map(|key| strip_table(key, table)?.split('.').next()).collect();
    let likest = |names: &mut dyn Iterator<Item = &'static str>| {
        names
            .map(|known| (strsim::jaro_winkler(name, known.rsplit('.').next().unwrap_or(known)), known))
            .filter(|(alike, _)| ALIKE <= *alike)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, known)| known)
    };
    if let Some(known) = likest(&mut beside.iter().copied()) {
        return format!("write `{known}` if that is meant");
    }
    match likest(&mut known_keys()) {
        Some(known) => match known.rsplit_once('.') {
            Some((table, name)) => format!("write `{name}` under {} if that is meant", header(table)),
            None => format!("write `{known}` above the first [table] if that is meant"),
        },
        None => format!("known here: {}", Vec::from_iter(beside).join(", ")),
    }
}

/// What is wrong, and where an API key goes.
macro_rules! key_goes {
    ($wrong:literal) => {
        concat!(
            $wrong,
            ": put it into the systemd credential `vitable-api-key`, into a file that `api.api_key_file` names, or into the \
             environment variable VITABLE_CONNECT_API_KEY"
        )
    };
}

/// What a command says that needs an API key and has none.
pub const NO_KEY: &str = key_goes!("no API key is set");

/// What the config is told where a key stands in it.
pub const KEY_MISPLACED: &str = key_goes!("an API key never stands in this file");

fn header(table: &str) -> String {
    if table == "source" { "[[source]]".to_owned() } else { format!("[{table}]") }
}

fn strip_table<'a>(key: &'a str, table: &str) -> Option<&'a str> {
    if table.is_empty() { Some(key) } else { key.strip_prefix(table)?.strip_prefix('.') }
}
