//! Seconds that time travel takes in a state of 1,000,000 members in 2,000 groups with 400 days of 1 % changes, and the size of
//! that state: `cargo bench --bench history`. Other numbers: `cargo bench --bench history -- MEMBERS GROUPS DAYS`. With `daily` behind
//! them every changed roster is written every day, as a daemon does; without, once, which takes a tenth of the time to build.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a measurement that prints and may fail"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rosterd::clock::Clock;
use rosterd::config::{self, Environment};
use rosterd::control::server::{Answerer, Body};
use rosterd::control::{Answer, HistoryFilter, Question};
use rosterd::deliver::{self, Deliverer};
use rosterd::report::{
    Batch, ChangedMember, Counts, FileFacts, GroupReport, Phase, PlanReport, PlanVerdict, Reason, Run, RunState,
    Trigger,
};
use rosterd::roster::ids::{BatchId, GroupRef, ReferenceId, RequestId, RunId, SourceName};
use rosterd::roster::member::{Field, Member, Texts};
use rosterd::roster::{ConfirmedRoster, Entry, Origin};
use rosterd::sandbox::{self, Sandbox};
use rosterd::store::{BatchChanges, Change, ChangeKind, MemberChange, RunRecord, Store};
use rosterd::sync::Desk;
use tokio::sync::mpsc;

mod people;

use people::{entry, id_of};

/// Of each group's changes in a day: the others are changed records.
const REMOVED_OF_FIVE: usize = 1;
const URL: &str = "http://127.0.0.1:9";

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let members = numbers.next().unwrap_or(1_000_000);
    let groups = numbers.next().unwrap_or(2_000);
    let days = numbers.next().unwrap_or(400);
    // Beside the build, since /tmp may be memory.
    let parent = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir_in(parent.parent().unwrap()).unwrap();
    let is_daily = std::env::args().any(|argument| argument == "daily");
    println!("{members} members in {groups} groups, {days} days of 1 %");
    let mut world = World::new(members, groups);
    world.is_daily = is_daily;
    let raw: usize = world.rosters.iter().flatten().map(raw_size).sum();
    timed("build the state", || world.live(&dir.path().join("state"), days));
    if is_daily {
        println!("the file was {:.0} MB at most, compacted {} times", world.largest as f64 / 1e6, world.compacted);
    }
    let last = world.last_batch.clone().unwrap();
    let middle = world.middle;
    drop(world);

    let mut bytes = 0;
    let read = timed("baseline: read the state's bytes", || bytes = read_all(&dir.path().join("state")));
    let of_raw = |what: &str, bytes: usize| {
        let ratio = bytes as f64 / raw as f64;
        println!("{what}: {:.0} MB, {ratio:.2} of the members' raw size ({:.0} MB)", mega(bytes), mega(raw));
    };
    of_raw("state as it was written", bytes);
    let begun = Instant::now();
    let store = Store::open(&dir.path().join("state"), URL).unwrap();
    report("open the state, written in one go", begun.elapsed(), read);
    drop(store);
    let begun = Instant::now();
    let store = Store::open(&dir.path().join("state"), URL).unwrap();
    report("open it again", begun.elapsed(), read);
    of_raw("state, compacted when it was opened", read_all(&dir.path().join("state")));
    // A small database is not compacted.
    if let Ok(archive) = std::fs::metadata(dir.path().join("state/db/archive")) {
        println!("  archive: {:.1} MB", archive.len() as f64 / 1e6);
    }
    for (name, entries, bytes) in store.sizes().unwrap().into_iter().filter(|(_, entries, _)| *entries != 0) {
        println!("  {name}: {entries} records, {:.1} MB", bytes as f64 / 1e6);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let desk = desk(&store, dir.path());
    let ask = |question: Question| {
        let begun = Instant::now();
        let (progress, _moved) = mpsc::channel(1);
        let mut body: &[u8] = &[];
        let answer = runtime.block_on(desk.answer(question, "bench".to_owned(), Body::Stream(&mut body), progress));
        (begun.elapsed(), answer)
    };
    let member = |number: usize| Question::Member { reference_id: id_of(number).to_string() };
    let (first, answer) = ask(member(members / 2));
    let Ok(Answer::Member(detail)) = answer else { panic!("{answer:?}") };
    report(&format!("member, the first question ({} changes)", detail.changes.len()), first, read);
    let mut times: Vec<Duration> = (0..40).map(|n| ask(member(n * (members / 40))).0).collect();
    times.sort();
    report("member, median of 40", times[20], read);
    report("member, slowest of 40", times[39], read);
    let nobody = Question::Member { reference_id: "nobody".to_owned() };
    report("member, nobody of that id", ask(nobody).0, read);
    let group = group_of(groups / 2).to_string();
    let (took, answer) = ask(Question::Roster { group, at: Some(middle) });
    assert!(matches!(answer, Ok(Answer::Roster(_))), "{answer:?}");
    report("roster --at, half way back", took, read);
    let (took, answer) = ask(Question::Show { id: last.to_string() });
    assert!(matches!(answer, Ok(Answer::Batch(_))), "{answer:?}");
    report("show BATCH", took, read);
    report("history", ask(Question::History(HistoryFilter { limit: 20, ..HistoryFilter::default() })).0, read);
    read_whole(&store, read);
}

/// What reads all that is on record.
fn read_whole(store: &Store, read: Duration) {
    let begun = Instant::now();
    let backup = store.back_up(&mut store.scratch_file().unwrap(), DateTime::UNIX_EPOCH).unwrap();
    report(&format!("backup, {:.0} MB", backup.bytes as f64 / 1e6), begun.elapsed(), read);
    let begun = Instant::now();
    let findings = store.verify().unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
    report("verify", begun.elapsed(), read);
    let begun = Instant::now();
    store.compact().unwrap();
    report("compact it once more", begun.elapsed(), read);
}

fn timed(what: &str, work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    println!("{what}: {:.3} s", begun.elapsed().as_secs_f64());
    begun.elapsed()
}

fn report(what: &str, took: Duration, baseline: Duration) {
    let ratio = took.as_secs_f64() / baseline.as_secs_f64();
    println!("{what}: {:.3} s, {ratio:.2} of the baseline", took.as_secs_f64());
}

fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn read_all(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { read_all(&path) } else { std::fs::read(path).unwrap().len() }).sum()
}

/// The member as a row of an export.
fn raw_size(entry: &Entry) -> usize {
    let Member { reference_id, plan_id, .. } = &entry.member;
    let Texts { first_name, last_name, phone, email, address_line_1, city, state, zipcode, .. } = entry.member.texts();
    let texts =
        [Some(first_name), Some(last_name), Some(address_line_1), Some(city), Some(state), Some(zipcode), phone, email];
    let texts: usize = texts.iter().flatten().map(|text| text.len() + 1).sum();
    texts + reference_id.as_str().len() + plan_id.as_str().len() + 2 + "01/02/1980,group-00001\n".len()
}

fn desk(store: &Store, dir: &Path) -> Desk {
    std::fs::create_dir_all(dir.join("inbox")).unwrap();
    let dir = dir.display();
    let text = format!(
        "state_dir = \"{dir}/state\"\n[api]\nbase_url = \"{URL}\"\n[[source]]\nname = \"hris\"\ninbox = \"{dir}/inbox\"\n\
         [source.columns]\nreference_id = \"Id\"\nfirst_name = \"A\"\nlast_name = \"B\"\ndate_of_birth = \"C\"\n\
         address_line_1 = \"D\"\ncity = \"E\"\nstate = \"F\"\nzipcode = \"G\"\n[source.group]\nfixed = \"group-00000\"\n\
         [source.plan]\ndefault = \"pln_gold\"\n"
    );
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", "vit_apk_bench")].into_iter().collect();
    let config = Arc::new(config::parse(&text, "bench.toml", &environment).unwrap_or_else(|error| panic!("{error}")));
    let clock = Clock::system();
    let sandbox = Sandbox::new(sandbox::Settings { script: sandbox::script::Script::default(), clock: clock.clone() });
    let api = Arc::new(sandbox.in_memory());
    let settings = deliver::Settings { poll: config.poll, max_in_flight: 4 };
    let deliverer = Deliverer::new(store.clone(), Arc::clone(&api) as _, clock.clone(), settings);
    Desk::new(config, store.clone(), api, clock, deliverer)
}

struct World {
    random: fastrand::Rng,
    rosters: Vec<Vec<Entry>>,
    former: Vec<Vec<Entry>>,
    last_batch: Option<BatchId>,
    middle: DateTime<Utc>,
    is_daily: bool,
    /// The most bytes that the state's file ever had, and how often it was compacted.
    largest: u64,
    compacted: usize,
}

impl World {
    fn new(members: usize, groups: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let run = RunId::parse("run_20250101_060000_000").unwrap();
        let mut rosters: Vec<Vec<Entry>> = vec![Vec::new(); groups];
        for number in 0..members {
            rosters[number % groups].push(entry(&run, number, &mut random));
        }
        let former = vec![Vec::new(); groups];
        Self {
            random,
            rosters,
            former,
            last_batch: None,
            middle: DateTime::UNIX_EPOCH,
            is_daily: false,
            largest: 0,
            compacted: 0,
        }
    }

    /// The first load, then the days.
    fn live(&mut self, dir: &Path, days: usize) {
        let store = Store::open(dir, URL).unwrap();
        let begun: DateTime<Utc> = "2025-01-01T06:00:00Z".parse().unwrap();
        for day in 0..=days {
            let now = begun + TimeDelta::days(i64::try_from(day).unwrap());
            if day == days / 2 {
                self.middle = now + TimeDelta::hours(12);
            }
            let run = store.ids().run(now);
            let mut plan = Vec::new();
            let mut batches = Vec::new();
            for group in 0..self.rosters.len() {
                let changes = if day == 0 { self.hired(group) } else { self.day(group, &run) };
                if changes.changes().is_empty() {
                    continue;
                }
                let mut batch = batch(&store, &run, group, now, self.rosters[group].len());
                let removed = changes.changes().iter().filter(|change| change.kind() == ChangeKind::Removed);
                batch.reasons = removed.map(reason).collect();
                plan.push(group_report(&batch, changes.changes()));
                let roster = (day == 0 || day == days || self.is_daily).then(|| self.confirmed(group, now));
                store.stage_past(&batch, &changes, roster.as_ref()).unwrap();
                batches.push(batch.batch);
            }
            self.last_batch = batches.last().cloned().or(self.last_batch.take());
            store.put_run(&record(run, now, batches, plan)).unwrap();
            if self.is_daily {
                self.largest = self.largest.max(store.size());
                self.compacted += usize::from(store.compact_when_grown().unwrap().is_some());
            }
        }
    }

    fn confirmed(&self, group: usize, now: DateTime<Utc>) -> ConfirmedRoster {
        let former = self.former[group].iter().map(|entry| entry.member.reference_id.clone()).collect();
        ConfirmedRoster::new(group_of(group), self.rosters[group].clone(), former, now)
    }

    fn hired(&self, group: usize) -> BatchChanges {
        let people = &self.rosters[group];
        let changes = people.iter().map(|entry| joined(entry, Change::Added)).collect();
        // Sorted by id, as they were made.
        let after = |id: &ReferenceId| people.binary_search_by(|entry| entry.member.reference_id.cmp(id)).ok();
        BatchChanges::new(changes, |id| after(id).map(|at| &people[at]))
    }

    /// Whether the first of those who left did so before today.
    fn is_long_gone(&self, group: usize, today: &[MemberChange]) -> bool {
        let is_of_today = |entry: &Entry| today.iter().any(|change| change.reference_id == entry.member.reference_id);
        self.former[group].first().is_some_and(|entry| !is_of_today(entry))
    }

    fn day(&mut self, group: usize, run: &RunId) -> BatchChanges {
        let size = self.rosters[group].len();
        // One in a hundred; of small groups on some days nobody.
        let count = size / 100 + usize::from(self.random.usize(0..100) < size % 100);
        let mut changes = Vec::new();
        let mut after = HashMap::new();
        for number in 0..count {
            let at = self.random.usize(0..self.rosters[group].len());
            if after.contains_key(&self.rosters[group][at].member.reference_id) {
                continue;
            }
            if number % 5 < REMOVED_OF_FIVE {
                let gone = self.rosters[group].swap_remove(at);
                changes.push(MemberChange::removed(&gone));
                self.former[group].push(gone);
            } else if number % 5 == REMOVED_OF_FIVE && self.is_long_gone(group, &changes) {
                let mut back = self.former[group].swap_remove(0);
                back.origin.run = run.clone();
                changes.push(joined(&back, Change::Returned));
                after.insert(back.member.reference_id.clone(), back.clone());
                self.rosters[group].push(back);
            } else {
                let before = self.rosters[group][at].clone();
                let moved = &mut self.rosters[group][at];
                let street = format!("{} Elm Street", self.random.u32(1..9999));
                assert!(moved.member.set_value(Field::AddressLine1, Some(&street)));
                moved.origin.run = run.clone();
                changes.push(MemberChange::changed(&before, moved));
                after.insert(moved.member.reference_id.clone(), moved.clone());
            }
        }
        changes.sort_by(|a, b| a.reference_id.cmp(&b.reference_id));
        BatchChanges::new(changes, |id| after.get(id))
    }
}

fn joined(entry: &Entry, how: impl Fn(Origin) -> Change) -> MemberChange {
    MemberChange { reference_id: entry.member.reference_id.clone(), what: how(entry.origin.clone()) }
}

fn reason(change: &MemberChange) -> Reason {
    Reason {
        reference_id: change.reference_id.clone(),
        rule: "terminated".to_owned(),
        run: None,
        line: Some(17),
        why: "the file says terminated: by its status, or by a last day of coverage that is over".to_owned(),
    }
}

fn batch(store: &Store, run: &RunId, group: usize, now: DateTime<Utc>, members: usize) -> Batch {
    let id = store.ids().batch(now);
    let request = RequestId::parse(&format!("grpmsr_{}", id.as_str())).unwrap();
    let mut batch = Batch::pending(id, run.clone(), group_of(group), members, Some(1));
    batch.phase = Phase::Completed;
    batch.attempts = 1;
    batch.request_id = Some(request);
    (batch.submitted_at, batch.accepted_at, batch.completed_at) = (Some(now), Some(now), Some(now));
    batch
}

fn group_report(batch: &Batch, changes: &[MemberChange]) -> GroupReport {
    let of =
        |kind| changes.iter().filter(move |change| change.kind() == kind).map(|change| change.reference_id.clone());
    let fields = || vec!["address_line_1".to_owned()];
    GroupReport {
        group: batch.group.clone(),
        group_id: None,
        before: batch.members,
        after: batch.members,
        new: of(ChangeKind::Added).collect(),
        returning: of(ChangeKind::Returned).collect(),
        changed: of(ChangeKind::Changed)
            .map(|reference_id| ChangedMember { reference_id, fields: fields(), joins_again: false })
            .collect(),
        moved_in: Vec::new(),
        moved_out: Vec::new(),
        terminated: of(ChangeKind::Removed).collect(),
        missing: Vec::new(),
        kept: Vec::new(),
        unchanged: batch.members,
        reasons: batch.reasons.clone(),
    }
}

fn record(run: RunId, now: DateTime<Utc>, batches: Vec<BatchId>, groups: Vec<GroupReport>) -> RunRecord {
    let source = SourceName::parse("hris").unwrap();
    let file = FileFacts { name: "hris.csv".to_owned(), sha256: "0123456789abcdef".repeat(4), rows: 1 };
    let plan = PlanReport {
        fingerprint: None,
        source: source.clone(),
        file: Some(file.clone()),
        verdict: PlanVerdict::Apply,
        guards: Vec::new(),
        problems: Vec::new(),
        groups,
    };
    let run = Run {
        approves: None,
        repeats: None,
        run,
        source,
        trigger: Trigger::Watch,
        file: Some(file),
        received_at: now,
        finished_at: Some(now),
        state: RunState::Completed,
        guards: Vec::new(),
        counts: Counts::default(),
        batches,
        reason: None,
        actor: None,
        reverts: None,
    };
    RunRecord { run, plan: Some(plan), filed_as: None }
}

fn group_of(number: usize) -> GroupRef {
    GroupRef::parse(&format!("group-{number:05}")).unwrap()
}
