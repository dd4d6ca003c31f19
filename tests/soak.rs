//! Months pass in one process: an export a day, a re-check a day, a resync a week, backups, retention and compaction as they come due.
//! What the process holds must not grow with them: memory, open files, threads, and what lies on disk.
//!
//! The clock and the timers are simulated, everything else is real. `ROSTERD_MONTHS=24` lasts longer than a normal run.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test says what is wrong by stopping, and what it measured"
)]
#![allow(dead_code, reason = "the support is shared, and no test needs all of it")]

#[path = "support/life.rs"]
mod life;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use life::Person;
use rosterd::clock::Clock;
use rosterd::config::{self, Environment};
use rosterd::daemon::{self, Outside};
use rosterd::report::RunState;
use rosterd::sandbox::script::Script;
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::Store;
use tokio_util::sync::CancellationToken;

const USUAL_MONTHS: usize = 3;
const DAYS: usize = 30;
const GROUPS: usize = 6;
const PER_GROUP: usize = 40;
const BACKUPS: usize = 3;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What is kept in memory on purpose is full after so many months.
const WARM: usize = 2;

/// What a process holds.
#[derive(Debug)]
struct Held {
    memory_kib: usize,
    open_files: usize,
    threads: usize,
    database_kib: usize,
    backups_kib: usize,
    inbox_files: usize,
}

fn months() -> usize {
    let asked = std::env::var_os("ROSTERD_MONTHS");
    asked.and_then(|months| months.to_str()?.parse().ok()).unwrap_or(USUAL_MONTHS).max(WARM + 1)
}

/// The people of a day: in every group somebody has left, somebody is new, and somebody has another name.
fn people(day: usize) -> Vec<Person> {
    let mut all = Vec::new();
    for group in 1..=GROUPS {
        for number in day..day + PER_GROUP {
            let mut person = life::person(group, number);
            if number % PER_GROUP == day % 7 {
                person.last_name = format!("Name{}", char::from(b'a' + u8::try_from(day % 26).unwrap()));
            }
            person.is_terminated = number == day;
            all.push(person);
        }
    }
    all
}

fn size(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| usize::try_from(entry.metadata().unwrap().len()).unwrap()).sum()
}

fn held(dir: &Path) -> Held {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let figure = |name: &str| -> usize {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Held {
        memory_kib: figure("VmRSS:"),
        open_files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        threads: figure("Threads:"),
        database_kib: size(&dir.join("state/db")) / 1024,
        backups_kib: size(&dir.join("state/backups")) / 1024,
        inbox_files: life::filed(&dir.join("inbox")).len(),
    }
}

#[test]
fn months_in_one_process_hold_no_more_than_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s")
        .replace(
            "rescan = \"1s\"",
            "rescan = \"10m\"\nschedule = \"0 6 * * *\"\nresync = \"0 3 * * Sun\"\nconfirm_absence = 1",
        )
        .replace("[control]", "[retention]\nexports = \"20d\"\nhistory = \"30d\"\n[backup]\nkeep = 3\n[control]")
        // A month's changes of this size are more than the week's limit for a group of forty.
        .replacen("[[source]]", "[guards]\nrolling_removals = \"off\"\n[[source]]", 1);
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    let config = Arc::new(config::parse(&text, "test.toml", &environment).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let over = runtime.block_on(live(config, dir.path()));
    let (early, late) = over.split_at(WARM);
    let most = |held: &[Held], figure: fn(&Held) -> usize| held.iter().map(figure).max().unwrap();
    let grown = |figure| (most(early, figure), most(late, figure));
    // Pages of the database's file stay in memory, until 64 MiB are full.
    let (before, after) = grown(|held| held.database_kib);
    let cached = after.saturating_sub(before).min(64 * 1024);
    let (before, after) = grown(|held| held.memory_kib);
    assert!(after <= before + cached + 8 * 1024, "memory grew from {before} kB to {after} kB");
    let (before, after) = grown(|held| held.open_files);
    assert!(after <= before + 2, "open files grew from {before} to {after}");
    // Blocking work has threads of its own, as many as have ever been busy at once.
    let (before, after) = grown(|held| held.threads);
    assert!(after <= before + 16, "threads grew from {before} to {after}");
    let (before, after) = grown(|held| held.inbox_files);
    assert!(after <= before + 1, "exports kept grew from {before} to {after}");
    // The file grows until it is worth a copy; a backup is what it holds. Who once was a member is never forgotten: a few bytes each.
    let (before, after) = grown(|held| held.backups_kib);
    let former = months() * DAYS * GROUPS * BACKUPS * 64 / 1024;
    assert!(after <= before * 11 / 10 + former, "what the state holds grew from {before} KiB to {after} KiB");
}

/// Lives through the months. What the process held at the end of each.
async fn live(config: Arc<config::Config>, dir: &Path) -> Vec<Held> {
    let inbox = dir.join("inbox");
    let clock = Clock::simulated("2026-03-02T11:00:00Z".parse().unwrap());
    let script = Script { delay: Duration::from_secs(1), ..Script::default() };
    let sandbox = Sandbox::new(Settings { script, clock: clock.clone() });
    let (opened, mut opening) = tokio::sync::mpsc::channel(1);
    let stop = CancellationToken::new();
    let ready = move |store: &Store| opened.try_send(store.clone()).unwrap();
    let daemon = daemon::run(config, Outside { api: Arc::new(sandbox.in_memory()), clock }, ready, stop.clone());
    let living = async {
        let store = opening.recv().await.unwrap();
        let mut over = Vec::new();
        for month in 0..months() {
            for day in month * DAYS..(month + 1) * DAYS {
                let people = people(day);
                life::drop_file(&inbox, &format!("day{day}.csv"), &life::csv(&people));
                tokio::time::sleep(DAY).await;
                assert!(life::is_quiet(&store, &inbox), "day {day} is not over: {:?}", life::left_lying(&inbox));
                let newest = life::runs(&store).into_iter().rfind(|run| run.file.is_some()).unwrap();
                assert_eq!(newest.state, RunState::Completed, "day {day}: {:?}", newest.reason);
                let wanted = life::truth(&people);
                for (group, people) in &wanted {
                    assert!(sandbox.roster(group).keys().eq(people.keys()), "{group} on day {day}");
                }
            }
            assert_eq!(sandbox.audit(), []);
            assert_eq!(store.verify().unwrap().findings, Vec::<String>::new(), "month {month}");
            // What it remembers is in the same memory.
            sandbox.forget_requests();
            over.push(held(dir));
            println!("month {}: {:?}", month + 1, over.last());
        }
        let backups = std::fs::read_dir(dir.join("state/backups")).unwrap().count();
        assert_eq!(backups, BACKUPS);
        stop.cancel();
        over
    };
    let (ended, over) = tokio::join!(daemon, living);
    ended.unwrap();
    over
}
