//! What a plan costs, told in allocations: unlike time they are the same on every machine. Of an export of which one row in a hundred
//! has changed only those rows may be read; a plan that reads all of them takes ten times as many.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test says what is wrong by stopping")]
#![allow(dead_code, reason = "the support is shared, and no test needs all of it")]

#[path = "support/life.rs"]
mod life;

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use rosterd::api::MemberSync;
use rosterd::clock::Clock;
use rosterd::config::{self, Config, Environment};
use rosterd::control::Export;
use rosterd::daemon::{self, Outside};
use rosterd::deliver::{self, Deliverer};
use rosterd::sandbox::script::Script;
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::Store;
use rosterd::sync::Desk;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GROUPS: usize = 9;
const PER_GROUP: usize = 900;
const ROWS: usize = GROUPS * PER_GROUP;

fn export(changed: usize) -> String {
    let mut people = life::people(GROUPS, PER_GROUP);
    for person in people.iter_mut().step_by(100).take(changed) {
        "Changed".clone_into(&mut person.last_name);
    }
    life::csv(&people)
}

/// A state in which the first export is confirmed.
async fn confirmed(config: &Arc<Config>, dir: &Path, clock: &Clock, sandbox: &Sandbox) {
    let (opened, mut opening) = tokio::sync::mpsc::channel(1);
    let stop = CancellationToken::new();
    let ready = move |store: &Store| opened.try_send(store.clone()).unwrap();
    let outside = Outside { api: Arc::new(sandbox.in_memory()), clock: clock.clone() };
    let daemon = daemon::run(Arc::clone(config), outside, ready, stop.clone());
    let living = async {
        let store = opening.recv().await.unwrap();
        life::drop_file(&dir.join("inbox"), "day0.csv", &export(0));
        while life::runs(&store).is_empty() || !life::is_quiet(&store, &dir.join("inbox")) {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        }
        stop.cancel();
    };
    tokio::join!(daemon, living).0.unwrap();
}

#[test]
fn a_plan_allocates_for_what_has_changed_and_not_for_every_row() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s");
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    let config = Arc::new(config::parse(&text, "test.toml", &environment).unwrap());
    let clock = Clock::simulated("2026-03-02T11:00:00Z".parse().unwrap());
    let sandbox = Sandbox::new(Settings { script: Script::default(), clock: clock.clone() });
    runtime.block_on(async {
        confirmed(&config, dir.path(), &clock, &sandbox).await;
        let store = Store::open(&config.state_dir, &config.api.base_url).unwrap();
        let api: Arc<dyn MemberSync> = Arc::new(sandbox.in_memory());
        let settings = deliver::Settings { poll: config.poll, max_in_flight: config.api.max_in_flight };
        let new_desk = || {
            let deliverer = Deliverer::new(store.clone(), Arc::clone(&api), clock.clone(), settings);
            Desk::new(Arc::clone(&config), store.clone(), Arc::clone(&api), clock.clone(), deliverer)
        };
        let (desk, whole) = (new_desk(), new_desk().reading_all());
        let path = dir.path().join("day1.csv");
        std::fs::write(&path, export(ROWS / 100)).unwrap();
        let source = &config.sources[0].name;
        let export = Export { name: "day1.csv".to_owned(), source: None, as_of: None, modified: clock.now(), size: 0 };
        // Once unmeasured: what is looked at and kept on the first time.
        let quick = desk.plan_file(&path, &export, source).await.unwrap().unwrap();
        let region = Region::new(ALLOCATOR);
        assert_eq!(desk.plan_file(&path, &export, source).await.unwrap().unwrap(), quick);
        let taken = region.change().allocations;
        let region = Region::new(ALLOCATOR);
        assert_eq!(whole.plan_file(&path, &export, source).await.unwrap().unwrap(), quick);
        let taken_by_all = region.change().allocations;

        assert_eq!((quick.1.changed, quick.1.rows), (ROWS as u64 / 100, ROWS as u64));
        println!("{ROWS} rows: {taken} allocations, {taken_by_all} with all rows read");
        assert!(taken < ROWS, "{taken} allocations for {ROWS} rows");
        assert!(taken * 10 < taken_by_all, "{taken} allocations, {taken_by_all} with all rows read");
    });
}
