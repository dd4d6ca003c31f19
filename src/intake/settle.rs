//! Has a file stopped growing? Pure: the ledger is shown what every look at a folder found, and says what is ready.
//!
//! A file is ready when two looks at least `settle` apart, by our own clock, saw the same size, times and inode. Its
//! modification time alone proves nothing: it is set by the sender, and by a clock that may be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// How long an empty file may stay empty before it is taken all the same, so that its dropper learns of it by a
/// rejection. Some systems make the file when they start to compute and fill it when they are done: an hour is longer
/// than such a report takes, and shorter than the day after which somebody would ask.
pub const EMPTY_PATIENCE: Duration = Duration::from_secs(3600);

/// What marks a file as complete: `NAME.done` beside `NAME`.
pub const MARKER_SUFFIX: &str = ".done";

/// Ends of names that are in use while a file is under way, in lower case.
const UNFINISHED: [&str; 6] = [".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp"];

/// Names of the folders that rosterd itself keeps in an inbox; `.rosterd` is a dotfile and ignored as one.
pub const OWN_FOLDERS: [&str; 4] = ["processed", "held", "rejected", "duplicates"];

/// What a look saw of one file, without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Bytes.
    pub size: u64,
    /// When its content last changed, as the sender may have set it.
    pub modified: DateTime<Utc>,
    /// When its content, name or rights last changed; only the kernel sets this.
    pub changed: DateTime<Utc>,
    /// Which file it is.
    pub inode: u64,
    /// On which device.
    pub device: u64,
}

impl Sighting {
    /// Whether both see the same content of the same file. A rename moves `changed` and nothing else.
    pub fn is_same_content(&self, other: &Self) -> bool {
        (self.size, self.modified, self.inode, self.device) == (other.size, other.modified, other.inode, other.device)
    }
}

/// One name in a folder, and what it stands for. Links are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name, as the folder has it.
    pub name: OsString,
    /// What it stands for.
    pub thing: Thing,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A regular file.
    File(Sighting),
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Special,
}

/// When a file counts as an export, and when it is complete.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which names count.
    pub files: Pattern,
    /// How long a file must stand still.
    pub settle: Duration,
    /// Whether `NAME.done` says that NAME is complete, and nothing else does.
    pub done_marker: bool,
}

/// A pattern of names: `*` is any text, `?` any character, letters in either case.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Takes the pattern as written; every text is one.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_lowercase().chars().collect())
    }

    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        // A set of positions in the pattern that the name so far can stand at: no backtracking, whatever the pattern.
        let mut at = vec![false; self.0.len() + 1];
        if let Some(first) = at.first_mut() {
            *first = true;
        }
        self.skip_stars(&mut at);
        for letter in name {
            let mut next = vec![false; at.len()];
            for (position, wanted) in self.0.iter().enumerate() {
                if at.get(position) != Some(&true) {
                    continue;
                }
                let lands = match wanted {
                    '*' => Some(position),
                    '?' => Some(position + 1),
                    other => (*other == letter).then_some(position + 1),
                };
                if let Some(slot) = lands.and_then(|lands| next.get_mut(lands)) {
                    *slot = true;
                }
            }
            self.skip_stars(&mut next);
            at = next;
        }
        at.last() == Some(&true)
    }

    /// A star may stand for nothing.
    fn skip_stars(&self, at: &mut [bool]) {
        for (position, wanted) in self.0.iter().enumerate() {
            if *wanted == '*'
                && at.get(position) == Some(&true)
                && let Some(slot) = at.get_mut(position + 1)
            {
                *slot = true;
            }
        }
    }
}

/// A file that is complete as far as looking at it can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its name in the folder.
    pub name: OsString,
    /// As it was last seen: a claim checks that it still is.
    pub sighting: Sighting,
    /// The marker that vouched for it; removed with the claim.
    pub marker: Option<OsString>,
}

/// A name that will not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The name in the folder.
    pub name: OsString,
    /// Why, for the log: completes "is not taken: …".
    pub why: &'static str,
}

/// What one look at the folder led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Files to claim, the oldest by modification time first.
    pub ready: Vec<Ready>,
    /// Names that are refused and were not reported before.
    pub refused: Vec<Refused>,
}

/// What is known of the files of one folder from earlier looks.
#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    watched: BTreeMap<OsString, Watched>,
    refused: BTreeSet<OsString>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    sighting: Sighting,
    /// The first look that saw exactly this sighting.
    since: Instant,
    /// How long it must be seen unchanged; none when only a marker can make it ready.
    wait: Option<Duration>,
    /// Set after a claim that failed.
    not_before: Option<Instant>,
}

impl Watched {
    fn ready_at(&self) -> Option<Instant> {
        let still = self.since + self.wait?;
        Some(self.not_before.map_or(still, |not_before| still.max(not_before)))
    }
}

impl Ledger {
    /// An empty ledger: nothing was seen yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, watched: BTreeMap::new(), refused: BTreeSet::new() }
    }

    /// Takes in everything that the folder holds at `now`. Names that are gone are forgotten.
    pub fn look(&mut self, found: &[Found], now: Instant) -> Look {
        let markers = if self.rules.done_marker { markers(found) } else { BTreeMap::new() };
        let mut look = Look::default();
        let mut watched = BTreeMap::new();
        let mut refused = BTreeSet::new();
        for item in found {
            match judge(&self.rules, item) {
                Judged::Ignored => {}
                Judged::Refused(why) => {
                    if !self.refused.contains(&item.name) {
                        look.refused.push(Refused { name: item.name.clone(), why });
                    }
                    refused.insert(item.name.clone());
                }
                Judged::Candidate(sighting) => {
                    let marker = markers.get(&folded(&item.name)).filter(|marker| vouches(marker.1, &sighting));
                    let seen = self.see(&item.name, sighting, marker.is_some(), now);
                    if seen.ready_at().is_some_and(|at| at <= now) {
                        let marker = marker.map(|(name, _)| OsString::from(name));
                        look.ready.push(Ready { name: item.name.clone(), sighting, marker });
                    }
                    watched.insert(item.name.clone(), seen);
                }
            }
        }
        self.watched = watched;
        self.refused = refused;
        look.ready.sort_by(|a, b| (a.sighting.modified, &a.name).cmp(&(b.sighting.modified, &b.name)));
        look
    }

    fn see(&self, name: &OsStr, sighting: Sighting, is_marked: bool, now: Instant) -> Watched {
        let known = self.watched.get(name).filter(|known| known.sighting == sighting);
        let wait = if self.rules.done_marker {
            is_marked.then_some(Duration::ZERO)
        } else if sighting.size == 0 {
            Some(EMPTY_PATIENCE.max(self.rules.settle))
        } else {
            Some(self.rules.settle)
        };
        Watched {
            sighting,
            since: known.map_or(now, |known| known.since),
            wait,
            not_before: known.and_then(|known| known.not_before),
        }
    }

    /// How long from `now` until a file that is known can be ready; none when no time alone makes one ready.
    pub fn next_look(&self, now: Instant) -> Option<Duration> {
        self.watched.values().filter_map(Watched::ready_at).min().map(|at| at.saturating_duration_since(now))
    }

    /// The file was claimed, or is gone.
    pub fn forget(&mut self, name: &OsStr) {
        self.watched.remove(name);
    }

    /// The file could not be claimed: it is not ready before `until`, unless it changes.
    pub fn put_off(&mut self, name: &OsStr, until: Instant) {
        if let Some(watched) = self.watched.get_mut(name) {
            watched.not_before = Some(until);
        }
    }

    /// Files that are known and not ready or not claimed.
    pub fn waiting(&self) -> usize {
        self.watched.len()
    }

    /// Names that are in the folder and will not be taken.
    pub fn refused(&self) -> impl Iterator<Item = &OsStr> {
        self.refused.iter().map(OsString::as_os_str)
    }
}

enum Judged {
    Candidate(Sighting),
    Ignored,
    Refused(&'static str),
}

fn judge(rules: &Rules, item: &Found) -> Judged {
    if is_ignored(&item.name) {
        return Judged::Ignored;
    }
    let is_meant = rules.files.matches(&item.name.to_string_lossy());
    match item.thing {
        // A folder is reported whatever its name: somebody may believe that the files in it are read.
        Thing::Folder if OWN_FOLDERS.iter().any(|own| item.name == *own) => Judged::Ignored,
        Thing::Folder => Judged::Refused("a folder; only files directly in the inbox are read"),
        Thing::File(_) | Thing::Link | Thing::Special if !is_meant => Judged::Ignored,
        Thing::File(sighting) => Judged::Candidate(sighting),
        Thing::Link => Judged::Refused("a symbolic link; drop the file itself"),
        Thing::Special => Judged::Refused("not a regular file"),
    }
}

/// Whether a name is one that upload tools and editors use for files under way, or a marker.
pub fn is_ignored(name: &OsStr) -> bool {
    let name = folded(name);
    name.starts_with('.')
        || name.starts_with("~$")
        || name.ends_with(MARKER_SUFFIX)
        || UNFINISHED.iter().any(|end| name.ends_with(end))
}

/// Markers by the name that they vouch for.
fn markers(found: &[Found]) -> BTreeMap<String, (&OsStr, Sighting)> {
    found
        .iter()
        .filter_map(|item| match item.thing {
            Thing::File(sighting) => {
                let name = folded(&item.name);
                name.strip_suffix(MARKER_SUFFIX).map(|vouched| (vouched.to_owned(), (item.name.as_os_str(), sighting)))
            }
            Thing::Folder | Thing::Link | Thing::Special => None,
        })
        .collect()
}

/// Whether a marker was put down after the file was finished. One that was left over from an earlier file of the same
/// name is older than a file that is being written, and must not vouch for half of it. The kernel's time of the marker
/// counts, since the sender can set the other one to anything.
fn vouches(marker: Sighting, file: &Sighting) -> bool {
    file.modified.min(file.changed) <= marker.changed
}

fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests;
