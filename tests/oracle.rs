//! The oracle: a company lives for weeks, with everything that HR departments, their files, operators, the API and machines do wrong,
//! and nobody may lose coverage by it.
//!
//! A history is made from a seed before anything runs ([`history`]), lived by the real code on simulated time ([`rig`]), and held
//! against a truth that is kept apart from it ([`people`], [`export`], [`judge`]). One that goes wrong is printed as a seed, and
//! shrunk to the few events that matter ([`shrink`]).
//!
//! ```text
//! ORACLE_SEEDS=10000 cargo test --release --test oracle -- --nocapture    the long run
//! ORACLE_SEED=17 cargo test --test oracle -- --nocapture                  one history, told as it goes
//! ```
//! `ORACLE_FROM` is the first seed, `ORACLE_DAYS` the length of each history, `ORACLE_THREADS` how many run at once,
//! `ORACLE_SHRINK` for how many seconds a failing one is shrunk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says what is wrong by stopping, and how far it is"
)]
#![expect(
    clippy::too_many_lines,
    clippy::too_many_arguments,
    clippy::large_enum_variant,
    clippy::wildcard_enum_match_arm,
    clippy::type_complexity,
    clippy::unused_self,
    reason = "one match tells all that a generator knows or a judge asks, and its arms belong together"
)]

#[path = "oracle/export.rs"]
mod export;
#[path = "oracle/history.rs"]
mod history;
#[path = "oracle/judge.rs"]
mod judge;
#[path = "oracle/people.rs"]
mod people;
#[path = "oracle/rig.rs"]
mod rig;
#[path = "oracle/shrink.rs"]
mod shrink;
#[path = "oracle/tally.rs"]
mod tally;
#[path = "oracle/watch.rs"]
mod watch;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use history::History;
use judge::Violation;
use tally::Tally;

/// Histories in the normal test run: a minute or two in a debug build.
const SEEDS: u64 = 40;
/// With so many histories everything that the generator knows must have happened.
const ENOUGH: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "how long and how far is for whoever starts the test to say")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nobody_loses_coverage_by_accident_in_any_history() {
    let days = setting("ORACLE_DAYS");
    if let Some(seed) = setting("ORACLE_SEED") {
        let history = History::of(seed, days);
        println!("{}", history.told());
        let (tally, lived) = rig::live(&history, true);
        println!("{}", tally.told());
        if let Err(violation) = lived {
            fail(&history, &violation);
        }
        return;
    }
    let (from, seeds) = (setting("ORACLE_FROM").unwrap_or(1), setting("ORACLE_SEEDS").unwrap_or(SEEDS));
    let threads = setting("ORACLE_THREADS")
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, |many| many.get() as u64));
    let begun = Instant::now();
    let (next, is_over) = (AtomicU64::new(from), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let found: Mutex<Vec<(History, Violation)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if from + seeds <= seed {
                        break;
                    }
                    let history = History::of(seed, days);
                    let (tally, lived) = rig::live(&history, false);
                    let mut total = total.lock().unwrap();
                    total.add(&tally);
                    total.histories += 1;
                    if total.histories.is_multiple_of(500) {
                        println!("{} histories in {} s", total.histories, begun.elapsed().as_secs());
                    }
                    drop(total);
                    if let Err(violation) = lived {
                        println!("seed {seed}: {}: {}", violation.property, violation.text);
                        found.lock().unwrap().push((history, violation));
                        is_over.store(setting("ORACLE_GO_ON").is_none(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{}\n{:.1} s on {threads} threads", total.told(), begun.elapsed().as_secs_f64());
    let found = found.into_inner().unwrap();
    if let Some((history, violation)) = found.first() {
        fail(history, violation);
    }
    if ENOUGH <= seeds && days.is_none() {
        let unseen = unseen(&total);
        assert!(unseen.is_empty(), "the generator never reached: {unseen:?}");
    }
}

/// Shrinks what went wrong, and says how to see it again.
fn fail(history: &History, violation: &Violation) -> ! {
    let seed = history.seed;
    println!("seed {seed} violates {}: {}", violation.property, violation.text);
    let within = Duration::from_secs(setting("ORACLE_SHRINK").unwrap_or(30));
    let (small, found) = shrink::shrink(history, violation, within);
    if small.events.len() < history.events.len() {
        println!("as it goes, shrunk:");
        drop(rig::live(&small, true));
    }
    panic!(
        "{}: {}\nseed {seed}, shrunk to {} of {} events:\n{}\nagain, in full: ORACLE_SEED={seed} cargo test --test oracle -- \
         --nocapture",
        found.property,
        found.text,
        small.events.len(),
        history.events.len(),
        small.told()
    );
}

/// What must have happened often enough that it happened at all.
fn unseen(total: &Tally) -> Vec<&'static str> {
    const GUARDS: [&str; 15] = [
        "broken",
        "stale",
        "rows_dropped",
        "invalid_rows",
        "field_changed",
        "identity_changes",
        "another_person",
        "renumbered",
        "baseline",
        "empty",
        "removals",
        "terminations",
        "additions",
        "removals, approved",
        "terminations, approved",
    ];
    GUARDS.into_iter().filter(|guard| !total.guards.contains_key(*guard)).collect()
}
