//! Exports of people who can be told apart, and a pass that is planned before it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use rosterd::sandbox::Sandbox;
use rosterd::sandbox::script::Script;
use serde_json::Value;

use super::bench::{Bench, Settings};

pub(crate) const EAST: &str = "hris-east";
pub(crate) const WEST: &str = "hris-west";

/// One row of an export.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) born: String,
    pub(crate) mail: String,
    pub(crate) phone: String,
    pub(crate) street: String,
    pub(crate) state: String,
    pub(crate) zip: String,
    pub(crate) division: String,
    pub(crate) status: String,
    pub(crate) plan: String,
    pub(crate) hired: String,
}

/// So many people of one division, no two alike.
pub(crate) fn staff(division: &str, count: usize) -> Vec<Worker> {
    (1..=count).map(|number| worker(division, number)).collect()
}

/// One person; the same number is the same person.
pub(crate) fn worker(division: &str, number: usize) -> Worker {
    let letter = division.chars().next().unwrap().to_ascii_uppercase();
    // Names without digits: two letters tell 676 people of a division apart.
    let letters = [number / 26 % 26, number % 26].map(|at| char::from(b'a' + u8::try_from(at).unwrap()));
    let letters: String = [letter.to_ascii_lowercase()].into_iter().chain(letters).collect();
    Worker {
        id: format!("{letter}{number:03}"),
        first: format!("Kim{letters}"),
        last: format!("Stone{letters}"),
        born: format!("19{:02}-{:02}-{:02}", 50 + number % 47, 1 + number % 12, 1 + number % 28),
        mail: format!("{division}.{number}@corp.example"),
        phone: format!("215555{:04}", 100 + number),
        street: format!("{number} Elm St"),
        state: "PA".into(),
        zip: "16501".into(),
        division: division.into(),
        status: "Active".into(),
        plan: "Basic".into(),
        hired: "2001-01-01".into(),
    }
}

/// The header of every export here.
pub(crate) const HEADER: &str = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status,Plan,Hired\n";

/// An export in the form of the bench's config.
pub(crate) fn csv<'a>(people: impl IntoIterator<Item = &'a Worker>) -> String {
    let mut text = HEADER.to_owned();
    for it in people {
        let Worker { id, first, last, born, mail, phone, street, state, zip, division, status, plan, hired } = it;
        writeln!(
            text,
            "{id},{first},{last},{born},{mail},{phone},{street},Erie,{state},{zip},{division},{status},{plan},{hired}"
        )
        .unwrap();
    }
    text
}

/// The people with some of them changed.
pub(crate) fn with(people: &[Worker], change: impl Fn(&mut Worker)) -> Vec<Worker> {
    people
        .iter()
        .map(|it| {
            let mut it = it.clone();
            change(&mut it);
            it
        })
        .collect()
}

/// Everybody but these numbers.
pub(crate) fn without(people: &[Worker], gone: &[usize]) -> Vec<Worker> {
    people.iter().enumerate().filter(|(at, _)| !gone.contains(&(at + 1))).map(|(_, it)| it.clone()).collect()
}

/// The people with these numbers terminated.
pub(crate) fn terminated(people: &[Worker], gone: &[usize]) -> Vec<Worker> {
    let mut people = people.to_vec();
    for number in gone {
        people[number - 1].status = "Terminated".into();
    }
    people
}

pub(crate) fn ids(people: &[Worker]) -> Vec<&str> {
    people.iter().map(|it| it.id.as_str()).collect()
}

/// A bench whose passes are planned first.
pub(crate) struct Lab {
    pub(crate) bench: Bench,
}

/// What came of one pass.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// `sync --json`.
    pub(crate) detail: Value,
    /// What the person reads who runs `show`.
    pub(crate) shown: String,
    /// What the person reads who dropped the file; lines joined.
    pub(crate) receipt: String,
}

impl Outcome {
    /// Exit code and state of the run.
    #[track_caller]
    pub(crate) fn ends(self, code: i32, state: &str) -> Self {
        let found = (self.code, self.detail["run"]["state"].as_str().unwrap_or_default());
        assert_eq!(found, (code, state), "{}\n{}", self.shown, self.receipt);
        self
    }

    /// The dropper reads this.
    #[track_caller]
    pub(crate) fn tells(self, sentence: &str) -> Self {
        assert!(self.receipt.contains(sentence), "the receipt lacks {sentence:?}\n{}\n{}", self.receipt, self.shown);
        self
    }

    /// The dropper reads whether this person is still covered.
    #[track_caller]
    pub(crate) fn doubts(self, id: &str, covered: &str) -> Self {
        // Alone, `Person E001. Still covered: yes.`, or with others of the same doubt, `2 people: E001, E002. Still covered: …`.
        let of_person = |sentence: &&str| sentence.split([' ', ',', ':']).any(|word| word == id);
        let sentences: Vec<&str> = self.receipt.split(". ").collect();
        let said = sentences.windows(2).any(|pair| {
            of_person(&pair[0])
                && pair[1].trim_start_matches("Still covered: ").split([',', '.']).next() == Some(covered)
        });
        assert!(said, "{id} is not said to be covered: {covered}\n{}\n{}", self.receipt, self.shown);
        self
    }

    /// The operator reads this.
    #[track_caller]
    pub(crate) fn shows(self, sentence: &str) -> Self {
        let shown = self.shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(sentence), "the run lacks {sentence:?}\n{}", self.shown);
        self
    }

    pub(crate) fn run(&self) -> &str {
        self.detail["run"]["run"].as_str().unwrap()
    }

    pub(crate) fn count(&self, class: &str) -> u64 {
        self.detail["run"]["counts"][class].as_u64().unwrap()
    }

    /// Guards that hold, sorted.
    pub(crate) fn held_by(&self) -> Vec<&str> {
        let guards = self.detail["plan"]["guards"].as_array().unwrap().iter();
        let held = guards.filter(|guard| guard["verdict"] == "hold").map(|guard| guard["guard"].as_str().unwrap());
        let held: BTreeSet<&str> = held.collect();
        held.into_iter().collect()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(&Settings::default())
    }

    /// Absences count at the second export, as they do without a word in the config.
    pub(crate) fn patient() -> Self {
        Self::with(&Settings { confirm_absence: 2, ..Settings::default() })
    }

    pub(crate) fn guarded(guards: &'static str) -> Self {
        Self::with(&Settings { guards, ..Settings::default() })
    }

    pub(crate) fn with(settings: &Settings) -> Self {
        Self::scripted(settings, Duration::from_millis(10))
    }

    /// With an API that takes so long over each roster.
    pub(crate) fn scripted(settings: &Settings, delay: Duration) -> Self {
        Self { bench: Bench::with(settings, Script { delay, ..Script::default() }) }
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.bench.sandbox()
    }

    /// Changes the config.
    #[track_caller]
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.bench.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no {from:?} in\n{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    #[track_caller]
    pub(crate) fn go(&self, name: &str, text: impl AsRef<[u8]>) -> Outcome {
        self.pass(name, text, &[])
    }

    /// Plans an export, syncs it, and holds the one against the other: the plan sends nothing, and says what comes.
    #[track_caller]
    pub(crate) fn pass(&self, name: &str, text: impl AsRef<[u8]>, with: &[&str]) -> Outcome {
        let path = self.bench.path(name);
        std::fs::write(&path, text).unwrap();
        let file = path.to_str().unwrap();
        let calls = self.sandbox().requests().len();
        let planned = self.bench.run(&[&["--json", "plan", file, "--detailed-exitcode"], with].concat());
        assert_eq!(self.sandbox().requests().len(), calls, "a plan sends nothing");
        let synced = self.bench.run(&[&["--json", "sync", file], with].concat());
        let foreseen = match planned.code {
            // There are changes.
            2 => [0, 4, 5].as_slice(),
            0 => &[0],
            3 => &[3],
            65 => &[65],
            other => panic!("plan ended with {other}: {planned:#?}"),
        };
        assert!(foreseen.contains(&synced.code), "{planned:#?}\n{synced:#?}");
        let detail = match synced.lines().pop() {
            Some(detail) => detail,
            // Of a rejected file the command says why, and the record the rest.
            None => self.show(self.bench.history()[0]["run"].as_str().unwrap()),
        };
        if synced.code == 65 {
            let reason = detail["run"]["reason"].as_str().unwrap();
            assert!(planned.err.contains(reason), "{planned:#?}\n{reason}");
        } else if detail["run"]["state"] != "duplicate" {
            let plan = planned.lines().remove(0);
            for part in ["verdict", "guards", "groups", "problems"] {
                let (foreseen, done) = (anonymous(&plan[part]), anonymous(&detail["plan"][part]));
                assert_eq!(foreseen, done, "{part} of the plan and of the run");
            }
            self.went_as_planned(&plan, &detail);
        }
        self.is_lawful();
        let shown = self.bench.run(&["show", detail["run"]["run"].as_str().unwrap()]).ends_with(0).out;
        let receipt = self.receipt(&detail);
        Outcome { code: synced.code, detail, shown, receipt }
    }

    /// Where everything went well, the API holds as many as the plan said, group by group.
    #[track_caller]
    fn went_as_planned(&self, plan: &Value, detail: &Value) {
        let held: Vec<&Value> =
            detail["run"]["guards"].as_array().unwrap().iter().filter(|guard| guard["guard"] == "baseline").collect();
        let failed = detail["batches"]
            .as_array()
            .unwrap()
            .iter()
            .any(|batch| batch["phase"] != "completed" || !batch["failures"].as_array().unwrap().is_empty());
        if failed || detail["run"]["state"] == "held" {
            return;
        }
        for group in plan["groups"].as_array().unwrap() {
            if held.iter().all(|guard| guard["group"] != group["group"]) {
                let there = self.sandbox().roster(group["group"].as_str().unwrap());
                assert_eq!(there.len() as u64, group["after"].as_u64().unwrap(), "{group:#}");
            }
        }
    }

    /// No rule of the API was broken, nobody is in two groups, and nobody asked for an empty roster unseen.
    #[track_caller]
    pub(crate) fn is_lawful(&self) {
        assert_eq!(self.sandbox().audit(), []);
        let mut groups: BTreeMap<String, String> = BTreeMap::new();
        for group in self.sandbox().groups() {
            for person in self.sandbox().roster(&group.reference).into_keys() {
                let other = groups.insert(person.clone(), group.reference.clone());
                assert_eq!(other, None, "{person} is in two groups");
            }
        }
    }

    #[track_caller]
    pub(crate) fn holds(&self, group: &str, people: &[&str]) {
        self.bench.holds(group, people);
    }

    /// Everybody whom the API covers in any group.
    pub(crate) fn covered(&self) -> BTreeSet<String> {
        let groups = self.sandbox().groups();
        groups.iter().flat_map(|group| self.sandbox().roster(&group.reference).into_keys()).collect()
    }

    /// Whom the API ever removed, sorted: groups are served at the same time.
    pub(crate) fn removed(&self) -> Vec<String> {
        let mut removed: Vec<String> =
            self.sandbox().requests().into_iter().flat_map(|request| request.removed).collect();
        removed.sort();
        removed
    }

    /// Rosters that were ever submitted.
    pub(crate) fn submitted(&self) -> usize {
        self.sandbox().requests().len()
    }

    /// The receipt of a run, its lines joined.
    #[track_caller]
    pub(crate) fn receipt(&self, detail: &Value) -> String {
        let source = detail["run"]["source"].as_str().unwrap();
        let filed = detail["filed_as"].as_str().unwrap_or_else(|| panic!("not filed: {detail:#}"));
        let path = self.bench.inbox_of(source).join(format!("{filed}.receipt.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn show(&self, run: &str) -> Value {
        self.bench.run(&["--json", "show", run]).ends_with(0).lines().remove(0)
    }

    pub(crate) fn status(&self) -> Value {
        self.bench.run(&["--json", "status"]).lines().remove(0)
    }

    /// Releases a held run by the very words that its output ends with.
    #[track_caller]
    pub(crate) fn approve_as_told(&self, outcome: &Outcome) -> super::bench::Said {
        let command = outcome.shown.lines().map(str::trim).find(|line| line.starts_with("rosterd approve "));
        let command = command.unwrap_or_else(|| panic!("no command in\n{}", outcome.shown));
        let words: Vec<&str> =
            command.split(' ').skip(1).map(|word| if word == "TEXT" { "seen" } else { word }).collect();
        self.bench.run(&words)
    }
}

/// A report without what a plan cannot know: the ids that the API gives to new groups.
fn anonymous(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(anonymous).collect(),
        Value::Object(entries) => {
            let known = entries.iter().filter(|(key, _)| *key != "group_id");
            Value::Object(known.map(|(key, value)| (key.clone(), anonymous(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
