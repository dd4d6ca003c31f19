//! Seconds and sizes of the store with 1,000,000 members in 2,000 groups: `cargo bench --bench store`.
//! Other numbers: `cargo bench --bench store -- MEMBERS GROUPS ROUNDS`.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a measurement that prints and may fail")]

use std::time::Instant;

use chrono::{DateTime, Utc};
use rosterd::report::{Batch, Counts, Phase, Run, RunState, Trigger};
use rosterd::roster::ConfirmedRoster;
use rosterd::roster::ids::{BatchId, GroupRef, RunId, SourceName};
use rosterd::store::{Ids, RunRecord, Settlement, SourceState, Store, Work, filter};

mod people;

use people::entry;

fn main() {
    filter::install().unwrap();
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let members = numbers.next().unwrap_or(1_000_000);
    let groups = numbers.next().unwrap_or(2_000);
    let rounds = numbers.next().unwrap_or(3);
    // Beside the build, since /tmp may be memory.
    let parent = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir_in(parent.parent().unwrap()).unwrap();
    let store = timed("open a new store", || Store::open(dir.path(), "https://api.test").unwrap());
    println!("{members} members in {groups} groups, durable: {}", store.durable());
    let ids = store.ids();
    let now = DateTime::from_timestamp(1_795_414_530, 0).unwrap();

    for round in 0..rounds {
        println!("round {round}");
        let run = ids.run(now);
        let works: Vec<_> = (0..groups).map(|group| work(ids, &run, group, members / groups, now)).collect();
        let batches: Vec<_> = works.iter().map(|work| work.batch.clone()).collect();
        let (record, state) = (record(&run, now), state());
        timed("  accept", || store.accept(&record, works, &state).unwrap());
        timed("  three changes of phase and a settlement of every batch", || {
            for batch in batches {
                settle(&store, batch, now);
            }
        });
        print_sizes(&store, dir.path());
    }
    timed("close", || drop(store));
    let store = timed("open again", || Store::open(dir.path(), "https://api.test").unwrap());
    let mut people = 0;
    timed("read and decode every roster", || store.each_roster(|roster| people += roster.members().len()).unwrap());
    println!("{people} people");
    print_sizes(&store, dir.path());
}

fn settle(store: &Store, mut batch: Batch, now: DateTime<Utc>) {
    for phase in [Phase::Submitting, Phase::Accepted, Phase::Accepted] {
        batch.phase = phase;
        store.record_batch(&batch).unwrap();
    }
    batch.phase = Phase::Completed;
    let members = store.work(&batch.group).unwrap().unwrap().payload;
    let roster = Some(ConfirmedRoster::new(batch.group.clone(), members, Vec::new(), now));
    store.settle(&Settlement::unchanged(batch, roster)).unwrap();
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    println!("{what}: {:.2} s, {} MB resident", begin.elapsed().as_secs_f64(), resident() / 1024);
    done
}

/// Kilobytes of memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn print_sizes(store: &Store, dir: &std::path::Path) {
    let blobs = std::fs::read_dir(dir.join("db/blobs")).map_or(0, Iterator::count);
    println!("  {} MB on disk, {blobs} unsynced files", store.size() / 1_000_000);
}

fn work(ids: &Ids, run: &RunId, group: usize, members: usize, now: DateTime<Utc>) -> Work {
    let mut random = fastrand::Rng::with_seed(group as u64);
    let mut payload: Vec<_> = (0..members).map(|n| entry(run, group * members + n, &mut random)).collect();
    payload.sort_by(|a, b| a.member.reference_id.cmp(&b.member.reference_id));
    let group = GroupRef::parse(&format!("group-{group:05}")).unwrap();
    let batch = Batch::pending(ids.batch(now), run.clone(), group, members, Some(0));
    Work { batch, payload }
}

fn record(run: &RunId, now: DateTime<Utc>) -> RunRecord {
    let run = Run {
        run: run.clone(),
        source: SourceName::parse("hris").unwrap(),
        trigger: Trigger::Watch,
        file: None,
        received_at: now,
        finished_at: None,
        state: RunState::Delivering,
        guards: Vec::new(),
        counts: Counts::default(),
        batches: Vec::<BatchId>::new(),
        reason: None,
        actor: None,
        approves: None,
        repeats: None,
        reverts: None,
    };
    RunRecord { run, plan: None, filed_as: None }
}

fn state() -> SourceState {
    SourceState::new(SourceName::parse("hris").unwrap())
}
