//! A defect of our own in the delivery of one group: the others go on, it is tried again, and a group that keeps meeting it is
//! paused for everybody to see. Nothing is lost.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test says what is wrong by stopping; and it is about panics"
)]
#![allow(dead_code, reason = "the support is shared, and no test needs all of it")]

#[path = "support/life.rs"]
mod life;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rosterd::api::{Accepted, Answer, Group, MemberSync, Plan, Progress};
use rosterd::clock::Clock;
use rosterd::config::{self, Environment};
use rosterd::control::Question;
use rosterd::control::client::Client;
use rosterd::daemon::{self, Outside};
use rosterd::roster::Entry;
use rosterd::roster::ids::{GroupId, GroupRef, RequestId};
use rosterd::sandbox::memory::InMemory;
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::Store;
use tokio_util::sync::CancellationToken;

/// An API whose client has a defect: it panics over rosters with a certain person.
#[derive(Debug)]
struct Defective {
    api: InMemory,
    over: &'static str,
    /// So many times yet.
    left: Arc<AtomicU32>,
}

impl MemberSync for Defective {
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted> {
        let is_meant = members.iter().any(|entry| entry.member.reference_id.as_str() == self.over);
        let is_left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(!is_meant || is_left.is_err(), "a defect");
        self.api.submit(group, members)
    }
    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress> {
        self.api.results(group, request)
    }
    fn groups(&self) -> Answer<'_, Vec<Group>> {
        self.api.groups()
    }
    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group> {
        self.api.group(group)
    }
    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group> {
        self.api.create_group(reference, name)
    }
    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group> {
        self.api.update_group(group, name, reference)
    }
    fn plans(&self) -> Answer<'_, Vec<Plan>> {
        self.api.plans()
    }
}

/// A daemon that meets a defect over E1001 so many times, on simulated time, with an export of two groups in its inbox. `look` is
/// asked until it answers.
fn live(times: u32, look: &impl AsyncFn(&Store, &Sandbox, &Path, &AtomicU32) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s");
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    let config = Arc::new(config::parse(&text, "test.toml", &environment).unwrap());
    life::drop_file(&dir.path().join("inbox"), "day1.csv", &life::csv(&life::people(2, 3)));
    runtime.block_on(async {
        let clock = Clock::simulated("2026-03-02T11:00:00Z".parse().unwrap());
        let sandbox = Sandbox::new(Settings { clock: clock.clone(), ..Settings::default() });
        let left = Arc::new(AtomicU32::new(times));
        let api = Defective { api: sandbox.in_memory(), over: "E1001", left: Arc::clone(&left) };
        let (opened, mut store) = tokio::sync::mpsc::channel(1);
        let stop = CancellationToken::new();
        let ready = move |store: &Store| opened.try_send(store.clone()).unwrap();
        let outside = Outside { api: Arc::new(api), clock };
        let daemon = daemon::run(config, outside, ready, stop.clone());
        let looking = async {
            let store = store.recv().await.unwrap();
            // Two simulated hours.
            for _ in 0..7200 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if look(&store, &sandbox, dir.path(), &left).await {
                    stop.cancel();
                    return;
                }
            }
            panic!("it never came: {:?}", life::runs(&store));
        };
        let (ended, ()) = tokio::join!(daemon, looking);
        ended.unwrap();
    });
}

fn covered(sandbox: &Sandbox, group: &str) -> Vec<String> {
    sandbox.roster(group).into_keys().collect()
}

#[test]
fn a_group_that_met_a_defect_is_tried_again_and_nothing_is_lost() {
    live(2, &async |store, sandbox, dir, _| {
        let is_over = life::is_quiet(store, &dir.join("inbox"));
        if is_over && !covered(sandbox, "acme-d1").is_empty() {
            let truth = life::truth(&life::people(2, 3));
            let wrong = life::violations(store, &dir.join("inbox"), sandbox, &truth, 1..=1);
            assert!(wrong.is_empty(), "{wrong:#?}");
            return true;
        }
        false
    });
}

#[test]
fn a_group_that_keeps_meeting_a_defect_is_paused_and_the_others_go_on() {
    live(u32::MAX, &async |store, sandbox, dir, left| {
        let group = GroupRef::parse("acme-d1").unwrap();
        let Some(why) = store.group(&group).unwrap().and_then(|record| record.paused) else { return false };
        assert!(why.contains("by a defect of rosterd"), "{why}");
        assert_eq!(covered(sandbox, "acme-d2").len(), 3, "the others went on");
        assert_eq!(covered(sandbox, "acme-d1").len(), 0);
        // A newer rosterd, and a person who says so.
        left.store(0, Ordering::SeqCst);
        let client = Client::connect(&dir.join("socket")).await.unwrap();
        let question = Question::Retry { group: "acme-d1".to_owned() };
        client.ask(&question, None, |_| {}).await.unwrap().unwrap();
        assert_eq!(covered(sandbox, "acme-d1").len(), 3);
        true
    });
}
