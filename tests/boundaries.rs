//! The table of who may name whom. A house stays a house only if a wall that is broken is noticed the day it breaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which rooms a room's files may name, beside themselves. Longest prefix wins: a file that has a line of its own follows that
/// line and not its room's.
const MAY_NAME: &[(&str, &[&str])] = &[
    // --- the pure middle: no I/O, no clock, no async
    ("roster", &["config", "export", "store::Absence"]),
    ("export", &["config"]),
    ("plan", &["config", "export::problem", "report", "roster"]),
    ("report", &["export::problem", "roster"]),
    ("config", &["intake::schedule", "roster"]),
    ("clock", &[]),
    ("deliver/phase", &["api", "config", "report", "roster", "deliver"]),
    ("deliver/pace", &["config"]),
    ("deliver/outcome", &["api", "roster", "store"]),
    ("deliver/moves", &["report", "roster", "store", "deliver"]),
    ("api/verdict", &["api", "clock::until", "roster"]),
    ("intake/settle", &[]),
    ("intake/schedule", &[]),
    ("intake/receipt", &["export", "report", "roster"]),
    // --- the shell: rooms do not name each other, save those that join them
    ("api", &["clock", "config", "roster"]),
    ("store", &["report", "roster"]),
    ("intake", &["clock", "config", "report", "roster"]),
    ("deliver", &["api", "clock", "config", "report", "roster", "store"]),
    ("control", &["report", "roster", "sync::answers"]),
    ("sandbox", &["api", "clock", "roster", "config"]),
    (
        "sync",
        &["api", "clock", "config", "control", "deliver", "export", "intake", "plan", "report", "roster", "store"],
    ),
    ("daemon", &["api", "clock", "config", "control", "deliver", "intake", "report", "roster", "store", "sync"]),
    (
        "cli",
        &[
            "api", "clock", "config", "control", "daemon", "deliver", "export", "intake", "report", "roster",
            "sandbox", "store", "sync",
        ],
    ),
    // Prints reports, and knows nothing of where they come from.
    ("cli/render", &["export", "report", "roster"]),
    ("main", &["cli", "store::filter"]),
    ("lib", &["*"]),
];

/// Libraries that stay in one room.
const STAYS_IN: &[(&str, &[&str])] = &[
    ("sled", &["store/"]),
    ("lz4_flex", &["store/"]),
    ("reqwest", &["api/http"]),
    ("notify", &["intake/watch"]),
    ("cron", &["intake/schedule"]),
    ("figment", &["config"]),
    ("csv_core", &["export/"]),
    ("axum", &["sandbox/"]),
    ("comfy_table", &["cli/render"]),
    ("indicatif", &["cli/render"]),
    ("sd_notify", &["cli/run"]),
];

/// What pure files may not name, however they come by it.
const IMPURE: &[&str] = &["tokio::", "tracing::", "std::fs", "std::net", "Instant::now", "SystemTime"];
const PURE: &[&str] = &[
    "roster",
    "export",
    "plan",
    "report",
    "deliver/phase",
    "deliver/pace",
    "deliver/outcome",
    "deliver/moves",
    "api/verdict",
    "intake/settle",
    "intake/schedule",
    "intake/receipt",
];

#[test]
fn rooms_name_only_the_rooms_that_they_may() {
    let mut broken = Vec::new();
    for source in sources() {
        let (room, may) = MAY_NAME
            .iter()
            .filter(|(room, _)| is_in(&source.name, room))
            .max_by_key(|(room, _)| room.len())
            .unwrap_or_else(|| panic!("{} belongs to no room of the table", source.name));
        let own = room.split('/').next().unwrap();
        for (line, text) in source.lines() {
            for named in named_rooms(text) {
                let is_allowed = named.split("::").next() == Some(own)
                    || may.iter().any(|may| *may == "*" || named == *may || named.starts_with(&format!("{may}::")));
                if !is_allowed {
                    broken.push(format!("src/{}.rs:{line} names crate::{named}", source.name));
                }
            }
        }
    }
    assert!(broken.is_empty(), "walls broken:\n{}", broken.join("\n"));
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for source in sources() {
        for (line, text) in source.lines() {
            for (library, rooms) in STAYS_IN {
                let names = text.contains(&format!("{library}::"))
                    && !text.contains(&format!("_{library}::"))
                    && !text.contains(&format!("::{library}::"));
                if names && !rooms.iter().any(|room| source.name.starts_with(room.trim_end_matches('/'))) {
                    broken.push(format!("src/{}.rs:{line} names {library}", source.name));
                }
            }
        }
    }
    assert!(broken.is_empty(), "libraries out of their rooms:\n{}", broken.join("\n"));
}

#[test]
fn pure_rooms_touch_no_world() {
    let mut broken = Vec::new();
    for source in sources().into_iter().filter(|source| PURE.iter().any(|room| is_in(&source.name, room))) {
        for (line, text) in source.lines() {
            broken.extend(
                IMPURE
                    .iter()
                    .filter(|word| text.contains(*word))
                    .map(|word| format!("src/{}.rs:{line} names {word}", source.name)),
            );
        }
    }
    assert!(broken.is_empty(), "pure rooms that touch the world:\n{}", broken.join("\n"));
}

#[test]
fn every_line_of_the_table_is_about_something() {
    let names: BTreeSet<String> = sources().into_iter().map(|source| source.name).collect();
    for (room, _) in MAY_NAME {
        assert!(names.iter().any(|name| is_in(name, room)), "the table has a room that is gone: {room}");
    }
    for (library, rooms) in STAYS_IN {
        let users: BTreeMap<String, usize> = sources()
            .into_iter()
            .filter_map(|source| {
                let uses = source.lines().filter(|(_, text)| text.contains(&format!("{library}::"))).count();
                (uses != 0).then_some((source.name, uses))
            })
            .collect();
        assert!(!users.is_empty(), "nobody uses {library} any more; rooms {rooms:?}");
    }
}

struct Source {
    /// The file below `src`, without `.rs`.
    name: String,
    text: String,
}

impl Source {
    /// Lines that are code, with their numbers; tests and comments may name what they like.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(at, line)| (at + 1, line))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                // A module's tests in a folder of their own.
                if path.file_name().unwrap() != "tests" {
                    folders.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            if is_code && !["tests", "laws"].iter().any(|test| name.ends_with(&format!("/{test}"))) {
                found.push(Source { name, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(100 < found.len(), "the sources are not where they were: {}", found.len());
    found
}

fn is_in(name: &str, room: &str) -> bool {
    name == room || name.starts_with(&format!("{room}/"))
}

/// The paths behind every `crate::` of a line, groups of a `use` spelled out one level.
fn named_rooms(line: &str) -> Vec<String> {
    let mut named = Vec::new();
    for rest in line.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            named.extend(group.split([',', '}']).map(|part| path(part.trim())).filter(|path| !path.is_empty()));
        } else {
            named.push(path(rest));
        }
    }
    named
}

fn path(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches(':').to_owned()
}
