//! Much at once, and much in a row: every source drops its export in the same moment while the queue of file events overflows and
//! the history is asked for again and again; then export after export, and the memory that this takes.
//!
//! A normal run is small. `ROSTERD_SOURCES=100 ROSTERD_MEMBERS=500` makes it 2,000 groups with a million members,
//! `ROSTERD_EXPORTS=400` more than a year of daily exports in a row.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by stopping"
)]

#[path = "support_faults/bench.rs"]
mod bench;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench::{Bench, Daemon, Settings};
use rosterd::sandbox::script::Script;
use rustix::process::Signal;
use serde_json::Value;

/// Groups of each source.
const GROUPS: usize = 20;
/// Nothing new for so long is a daemon that stands still.
const STANDSTILL: Duration = Duration::from_secs(180);
/// More events than the kernel keeps for one watcher, unless somebody raised its limit.
const STORM: usize = 40_000;

fn number(name: &str, usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the program")]
    let value = std::env::var(name);
    value.map_or(usual, |value| value.parse().unwrap())
}

fn bench(sources: usize) -> (Bench, &'static [&'static str]) {
    let names: Vec<&str> = (0..sources).map(|number| &*format!("s{number}").leak()).collect();
    let sources: &[&str] = names.leak();
    // A week's limit: the days follow each other within seconds here.
    let guards = "rolling_removals = \"off\"";
    let settings = Settings { sources, guards, timeout: "60s", ..Settings::default() };
    (Bench::with(&settings, Script::default()), sources)
}

/// The people of one group of a source on a day: every day the first leaves, and somebody is new.
fn people(source: &str, group: usize, day: usize, members: usize) -> impl Iterator<Item = String> {
    (day..day + members).map(move |number| format!("{source}-{group}-{number}"))
}

/// The export of a day.
fn export(source: &str, groups: usize, day: usize, members: usize) -> String {
    let mut text = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n".to_owned();
    for group in 0..groups {
        let left = (0 < day).then(|| format!("{source}-{group}-{}", day - 1));
        let rows =
            people(source, group, day, members).map(|id| (id, "Active")).chain(left.map(|id| (id, "Terminated")));
        for (id, status) in rows {
            writeln!(
                text,
                "{id},Ann,Lee,1980-02-03,{id}@example.com,217-555-0199,1 High St,Springfield,IL,62701,d{group},{status}"
            )
            .unwrap();
        }
    }
    text
}

/// A figure of the daemon's memory, in kB.
fn memory(daemon: &Daemon, figure: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits until every source's export of the name is delivered.
fn delivered(bench: &Bench, sources: usize, file: &str) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let runs = bench.run(&["--json", "history", "--limit", "1000"]).ends_with(0).lines();
        let runs: Vec<&Value> = runs.iter().filter(|run| run["file"]["name"] == file).collect();
        let done = runs.iter().filter(|run| run["state"] == "completed").count();
        let ended = runs.iter().filter(|run| run["state"] != "received" && run["state"] != "delivering");
        assert_eq!(ended.count(), done, "a run of {file} ended otherwise: {runs:#?}");
        if done == sources {
            return;
        }
        let requests = bench.sandbox().requests().len();
        if seen < requests + done {
            (seen, since) = (requests + done, Instant::now());
        }
        assert!(since.elapsed() < STANDSTILL, "{done} of {sources} sources after {requests} requests");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn assert_rosters(bench: &Bench, sources: &[&str], day: usize, members: usize) {
    for source in sources {
        for group in 0..GROUPS {
            let held: BTreeSet<String> = bench.sandbox().roster(&format!("{source}-d{group}")).into_keys().collect();
            assert_eq!(held, people(source, group, day, members).collect(), "{source}-d{group} on day {day}");
        }
    }
    assert_eq!(bench.sandbox().audit(), []);
}

/// Asks for the history and the status hundreds of times, or until told to stop. How many answers there were, and the longest wait.
fn ask(bench: &Bench, stop: &AtomicBool, asked: &AtomicUsize) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for question in [&["--json", "history"][..], &["--json", "status"], &["history"], &["groups"]] {
            let begun = Instant::now();
            // 5: a source without an export yet is overdue or asks for attention, which is an answer.
            let said = bench.run(question);
            assert!(said.code == 0 || said.code == 5, "{question:?}: {said:#?}");
            longest = longest.max(begun.elapsed());
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
    longest
}

#[test]
fn all_sources_at_once_an_overflowing_watch_and_many_questions_lose_nothing() {
    let (count, members) = (number("ROSTERD_SOURCES", 6), number("ROSTERD_MEMBERS", 5));
    let (bench, sources) = bench(count);
    // Events are all that finds a file in time: the look without one comes after ten minutes.
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config.replace("rescan = \"1s\"", "rescan = \"10m\"")).unwrap();
    let daemon = bench.daemon();

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&bench, &stop, &asked))).collect();
        for day in 0..2 {
            let (begun, file) = (Instant::now(), format!("day{day}.csv"));
            // While the daemon stands still nobody empties the queue: what is dropped after the storm makes no event that is kept.
            daemon.signal(Signal::STOP);
            for inbox in sources.iter().take(2).map(|source| bench.inbox_of(source)) {
                for turn in 0..STORM {
                    let noise = inbox.join(format!(".noise{}", turn % 2));
                    drop(std::fs::File::create(noise).unwrap());
                }
            }
            std::thread::scope(|scope| {
                let (bench, file) = (&bench, file.as_str());
                for part in sources.chunks(count.div_ceil(4)) {
                    scope.spawn(move || {
                        for source in part {
                            write(bench, source, file, &export(source, GROUPS, day, members));
                        }
                    });
                }
            });
            daemon.signal(Signal::CONT);
            delivered(&bench, count, &file);
            assert_rosters(&bench, sources, day, members);
            println!(
                "day {day}: {} groups, {} members in {:?}; the daemon's memory {} MB, at most {} MB",
                count * GROUPS,
                count * GROUPS * members,
                begun.elapsed(),
                memory(&daemon, "VmRSS") / 1024,
                memory(&daemon, "VmHWM") / 1024,
            );
        }
        stop.store(true, Ordering::Relaxed);
        let longest = clients.into_iter().map(|client| client.join().unwrap()).max().unwrap();
        println!("{} questions answered meanwhile, the slowest within {longest:?}", asked.load(Ordering::Relaxed));
    });
    daemon.stop();
}

fn write(bench: &Bench, source: &str, file: &str, text: &str) {
    std::fs::write(bench.inbox_of(source).join(file), text).unwrap();
}

/// Whatever is read for each group of a run must not be all that the run is about: a first load of a million people in 2,000 groups once
/// took 18 GB, since the whole plan was read for each.
#[test]
fn a_first_load_of_many_groups_takes_no_memory_for_each_of_them() {
    let (bench, _) = bench(1);
    let daemon = bench.daemon();
    write(&bench, "s0", "first.csv", &export("s0", 300, 0, 100));
    delivered(&bench, 1, "first.csv");
    let most = memory(&daemon, "VmHWM");
    println!("300 groups of 100: at most {} MB", most / 1024);
    assert!(most < 220 * 1024, "{most} kB");
    daemon.stop();
}

#[test]
fn export_after_export_takes_no_more_memory() {
    let exports = number("ROSTERD_EXPORTS", 24);
    let (bench, sources) = bench(1);
    let daemon = bench.daemon();
    let mut taken = Vec::new();
    for day in 0..exports {
        let file = format!("day{day}.csv");
        write(&bench, "s0", &file, &export("s0", GROUPS, day, 100));
        delivered(&bench, 1, &file);
        taken.push(memory(&daemon, "VmRSS"));
        if (day + 1) % (exports / 4).max(1) == 0 {
            let status = bench.run(&["--json", "status"]).lines();
            println!(
                "after {} exports: memory {} MB, state {} KB",
                day + 1,
                memory(&daemon, "VmRSS") / 1024,
                status[0]["state_bytes"].as_u64().unwrap() / 1024,
            );
        }
    }
    assert_rosters(&bench, sources, exports - 1, 100);
    daemon.stop();
    // What is kept in memory on purpose is full by a third of the way.
    let (early, late) = (taken.iter().take(exports / 3).max().unwrap(), taken.iter().max().unwrap());
    assert!(*late < early * 3 / 2 + 16 * 1024, "from {early} kB to {late} kB: {taken:?}");
}
