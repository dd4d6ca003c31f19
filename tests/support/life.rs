//! What the two crash suites share: people, exports, a config, and everything that must hold at the end of a life.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rosterd::intake::receipt::{self, Subject};
use rosterd::report::{Batch, Run, RunState};
use rosterd::roster::ids::GroupRef;
use rosterd::sandbox::Sandbox;
use rosterd::sandbox::audit::Violation;
use rosterd::store::{RunFilter, Store};

/// Any key of this form is good, unless the sandbox was told otherwise.
pub(crate) const KEY: &str = "vit_apk_in_memory";

/// Who should be covered in which group at the end, with the last name and the plan that the last export gives them.
pub(crate) type Truth = BTreeMap<String, BTreeMap<String, String>>;

/// Somebody in an export.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) last_name: String,
    pub(crate) division: String,
    pub(crate) plan: &'static str,
    pub(crate) is_terminated: bool,
}

/// `per_group` people in each of `groups` divisions (`d1`, `d2`, …), in the order of their ids.
pub(crate) fn people(groups: usize, per_group: usize) -> Vec<Person> {
    let all = (1..=groups).flat_map(|group| (1..=per_group).map(move |number| (group, number)));
    all.map(|(group, number)| person(group, number)).collect()
}

/// One person, different from every other in all that makes a person.
pub(crate) fn person(group: usize, number: usize) -> Person {
    let division = format!("d{group}");
    Person {
        id: format!("E{group}{number:03}"),
        last_name: "Miller".to_owned(),
        division,
        plan: "pln_basic",
        is_terminated: false,
    }
}

/// An export of these people.
pub(crate) fn csv(people: &[Person]) -> String {
    let mut text =
        String::from("Employee ID,First,Last,Birth Date,Email,Address 1,City,State,Zip,Division,Plan,Status\n");
    for Person { id, last_name, division, plan, is_terminated } in people {
        let number: usize = id[1..].parse().unwrap();
        let (month, day, year) = (number % 12 + 1, number % 28 + 1, 1950 + number % 50);
        let status = if *is_terminated { "Terminated" } else { "Active" };
        writeln!(
            text,
            "{id},Sam,{last_name},{month:02}/{day:02}/{year},{id}@example.com,{number} Main St,Albany,NY,12207,\
             {division},{plan},{status}"
        )
        .unwrap();
    }
    text
}

/// Who is covered once everything in this export has come true.
pub(crate) fn truth(people: &[Person]) -> Truth {
    let mut truth = Truth::new();
    for person in people {
        let group = truth.entry(format!("acme-{}", person.division)).or_default();
        if !person.is_terminated {
            group.insert(person.id.clone(), format!("{} {}", person.last_name, person.plan));
        }
    }
    truth
}

/// The text of a config below `dir`, with an inbox that is there.
pub(crate) fn config_text(dir: &Path, base_url: &str, poll_first_after: &str) -> String {
    std::fs::create_dir_all(dir.join("inbox")).unwrap();
    let dir = dir.display();
    format!(
        r#"
state_dir = "{dir}/state"
[api]
base_url = "{base_url}"
requests_per_second = 1000.0
[poll]
first_after = "{poll_first_after}"
max_interval = "10s"
[control]
socket = "{dir}/socket"
[[source]]
name = "hris"
inbox = "{dir}/inbox"
done_marker = true
rescan = "1s"
[source.columns]
reference_id = "Employee ID"
first_name = "First"
last_name = "Last"
date_of_birth = "Birth Date"
email = "Email"
address_line_1 = "Address 1"
city = "City"
state = "State"
zipcode = "Zip"
[source.group]
column = "Division"
external_reference_id = "acme-{{value}}"
create = true
[source.plan]
column = "Plan"
default = "pln_basic"
change = "replace"
[source.eligibility]
status = "Status"
covered = ["Active"]
terminated = ["Terminated"]
"#
    )
}

/// Puts an export into the inbox as a careful sender does.
pub(crate) fn drop_file(inbox: &Path, name: &str, text: &str) {
    let part = inbox.join(format!("{name}.part"));
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, inbox.join(name)).unwrap();
    std::fs::write(inbox.join(format!("{name}.done")), "").unwrap();
}

/// Plain files directly in a folder; none where it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

/// Exports that were filed away, relative to the inbox.
pub(crate) fn filed(inbox: &Path) -> BTreeSet<String> {
    let mut folders: Vec<PathBuf> = ["held", "rejected", "duplicates"].iter().map(|name| inbox.join(name)).collect();
    if let Ok(months) = std::fs::read_dir(inbox.join("processed")) {
        folders.extend(months.map(|month| month.unwrap().path()));
    }
    let all = folders.iter().flat_map(|folder| files(folder));
    let relative = all.map(|path| path.strip_prefix(inbox).unwrap().to_str().unwrap().to_owned());
    relative.filter(|name| !name.ends_with(".receipt.txt") && !name.ends_with(".problems.csv")).collect()
}

/// All runs, oldest first.
pub(crate) fn runs(store: &Store) -> Vec<Run> {
    let mut runs = store.runs(&RunFilter::default(), usize::MAX).unwrap();
    runs.reverse();
    runs
}

/// Whether nothing is left to do: nothing in the inbox, nothing claimed, no work, no run that is not over.
pub(crate) fn is_quiet(store: &Store, inbox: &Path) -> bool {
    let is_under_way = |run: &Run| matches!(run.state, RunState::Received | RunState::Delivering);
    left_lying(inbox).is_empty()
        && store.groups_with_work().unwrap().is_empty()
        && !runs(store).iter().any(is_under_way)
}

/// Files in the inbox and among the claimed ones that still await something.
pub(crate) fn left_lying(inbox: &Path) -> Vec<PathBuf> {
    let all = files(inbox).into_iter().chain(files(&inbox.join(".rosterd")));
    all.filter(|path| !is_scratch(path) && !is_lone_marker(path)).collect()
}

/// A marker whose file a kill let go first: it vouches for nothing.
fn is_lone_marker(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "done") && !path.with_extension("").exists()
}

/// Half a receipt that a kill left is swept after an hour.
fn is_scratch(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with(".tmp-")
}

/// Everything that must hold at the end; what does not, in words.
pub(crate) fn violations(
    store: &Store,
    inbox: &Path,
    sandbox: &Sandbox,
    truth: &Truth,
    exports: RangeInclusive<usize>,
) -> Vec<String> {
    // To bring an older payload back is what a revert is for.
    let has_reverted = runs(store).iter().any(|run| run.reverts.is_some());
    let is_wanted = |violation: &&Violation| has_reverted && matches!(violation, Violation::OlderPayload { .. });
    let broken = sandbox.audit().into_iter().filter(|violation| !is_wanted(&violation));
    let mut found: Vec<String> = broken.map(|violation| format!("audit: {violation}")).collect();
    let references: Vec<String> = sandbox.groups().into_iter().map(|group| group.reference).collect();
    let unique: BTreeSet<&String> = references.iter().collect();
    if unique.len() != references.len() || unique != truth.keys().collect() {
        found.push(format!("the API has the groups {references:?}"));
    }
    for (group, wanted) in truth {
        found.extend(roster_violations(store, sandbox, group, wanted));
        found.extend(order_violations(&store.batches_of_group(&GroupRef::parse(group).unwrap()).unwrap()));
    }
    found.extend(file_violations(store, inbox, exports));
    found
}

fn roster_violations(store: &Store, sandbox: &Sandbox, group: &str, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    let text = |record: &serde_json::Value, key: &str| record[key].as_str().unwrap().to_owned();
    let held = sandbox.roster(group);
    let names: BTreeMap<String, String> = held
        .iter()
        .map(|(id, record)| (id.clone(), format!("{} {}", text(record, "last_name"), text(record, "plan_id"))))
        .collect();
    if names != *wanted {
        found.push(format!("{group}: the API covers {names:?} instead of {wanted:?}"));
    }
    let confirmed = store.roster(&GroupRef::parse(group).unwrap()).unwrap();
    let confirmed: BTreeMap<String, [String; 4]> = confirmed
        .iter()
        .flat_map(rosterd::roster::ConfirmedRoster::members)
        .map(|entry| {
            let (member, texts) = (&entry.member, entry.member.texts());
            let fields = [
                texts.first_name.to_owned(),
                texts.last_name.to_owned(),
                member.date_of_birth.to_string(),
                texts.address_line_1.to_owned(),
            ];
            (member.reference_id.to_string(), fields)
        })
        .collect();
    let held: BTreeMap<String, [String; 4]> = held
        .into_iter()
        .map(|(id, record)| {
            let text = |pointer: &str| record.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            let fields =
                [text("/first_name"), text("/last_name"), text("/date_of_birth"), text("/address/address_line_1")];
            (id, fields)
        })
        .collect();
    if confirmed != held {
        found.push(format!("{group}: confirmed {:?}, the API has {:?}", confirmed.keys(), held.keys()));
    }
    found
}

/// One batch of a group at a time, and none of an older run behind one of a newer.
fn order_violations(batches: &[Batch]) -> Vec<String> {
    let mut found = Vec::new();
    let mut sent: Vec<&Batch> = batches.iter().filter(|batch| batch.submitted_at.is_some()).collect();
    sent.sort_by_key(|batch| (batch.submitted_at, &batch.batch));
    for (before, after) in sent.iter().zip(sent.iter().skip(1)) {
        if after.run < before.run {
            found.push(format!("{}: {} of an older run followed {}", after.group, after.batch, before.batch));
        }
        if before.completed_at.is_none_or(|ended| after.submitted_at.unwrap() < ended) {
            found.push(format!("{}: {} was sent before {} ended", after.group, after.batch, before.batch));
        }
    }
    let open = batches.iter().filter(|batch| !batch.phase.is_final());
    found.extend(open.map(|batch| format!("{}: {} never ended", batch.group, batch.batch)));
    found
}

fn file_violations(store: &Store, inbox: &Path, exports: RangeInclusive<usize>) -> Vec<String> {
    let mut found = Vec::new();
    let mut lying = filed(inbox);
    if !exports.contains(&lying.len()) {
        found.push(format!("{exports:?} exports came in, filed are {lying:?}"));
    }
    for path in left_lying(inbox) {
        found.push(format!("left lying: {}", path.display()));
    }
    for run in runs(store) {
        let record = store.run(&run.run).unwrap().unwrap();
        if matches!(run.state, RunState::Received | RunState::Delivering | RunState::Duplicate) {
            found.push(format!("{} is {:?}: {:?}", run.run, run.state, run.reason));
        }
        if run.finished_at.is_none() {
            found.push(format!("{} has no end", run.run));
        }
        // A resync and a revert have no file.
        let (Some(file), filed_as) = (&run.file, record.filed_as.clone().unwrap_or_default()) else { continue };
        if !lying.remove(&filed_as) {
            found.push(format!("{} was filed as {filed_as:?}, which is not there, or another run's", run.run));
            continue;
        }
        let batches = store.batches_of(&run.run).unwrap();
        let name = file.name.as_str();
        let zone = chrono_tz::America::New_York;
        let wanted = receipt::render_for(Subject { name, zone }, &run, record.plan.as_ref(), &batches);
        let receipt = format!("{filed_as}.receipt.txt");
        match std::fs::read_to_string(inbox.join(&receipt)) {
            Ok(text) if text == wanted => {}
            Ok(text) => found.push(format!(
                "{} is {:?}, but its receipt says: {}",
                run.run,
                run.state,
                text.lines().next().unwrap_or_default()
            )),
            Err(error) => found.push(format!("{} has no receipt: {error}", run.run)),
        }
    }
    found.extend(lying.into_iter().map(|file| format!("no run knows {file}")));
    found
}
