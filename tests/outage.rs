//! The API is out for hours while exports keep coming, in simulated time: nothing is hammered, the queue stays bounded, and when the
//! API is back the rosters are those of the last export.
//!
//! `ROSTERD_OUTAGE_HOURS=24` lasts longer than the few hours of a normal run. With `--nocapture` it prints requests an hour.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
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
use rosterd::report::Phase;
use rosterd::roster::ids::GroupRef;
use rosterd::sandbox::script::{Fault, On, Rule, Script};
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::Store;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

const GROUPS: usize = 12;
const FEW_HOURS: u32 = 1;
/// Two simulated days: whatever is left then never ends.
const MOST_MINUTES: u32 = 2 * 24 * 60;
/// One group at a time asks, 30 to 60 seconds after the last one; the hour begins with shorter pauses.
const MOST_AN_HOUR: usize = 110;
/// An API that answers, without results: each group under way asks for its own, every minute.
const MOST_POLLS_AN_HOUR: usize = GROUPS * 60;
const NO_RESULTS: &str = "results never come";
/// One probe a minute, whatever waits.
const MOST_PROBES_AN_HOUR: usize = 62;

/// What is wrong with the API.
#[derive(Clone, Debug)]
enum Outage {
    /// Every call meets one of these, in turn.
    Faults(Vec<Rule>),
    /// The key is revoked.
    Key,
}

fn hours() -> u32 {
    let asked = std::env::var_os("ROSTERD_OUTAGE_HOURS");
    asked.and_then(|hours| hours.to_str()?.parse().ok()).unwrap_or(FEW_HOURS)
}

/// The people at an hour: somebody changes in every group, somebody is hired, somebody leaves.
fn people(hour: u32) -> Vec<Person> {
    let mut people = life::people(GROUPS, 12);
    for (at, person) in people.iter_mut().enumerate() {
        let number = u32::try_from(at % 12).unwrap();
        if hour != 0 && number % 6 == hour % 6 {
            person.last_name = format!("Name{}", char::from(b'a' + u8::try_from(hour % 26).unwrap()));
        }
        person.is_terminated = number == 11 && 1 < hour;
    }
    people.extend((1..=GROUPS).map(|group| life::person(group, 100 + usize::try_from(hour.min(3)).unwrap())));
    people
}

/// Lives through one outage, and holds the end to what it must be. Answers the requests of each of its hours.
fn live(name: &str, outage: &Outage) -> Vec<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("inbox");
    let guards = "[guards]\nfield_changed = \"off\"\nidentity_changes = \"off\"\nterminations = \"off\"\nrolling_removals = \"off\"\n\
                  removals = \"off\"\nadditions = \"off\"\n";
    let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s").replacen(
        "[[source]]",
        &format!("{guards}[[source]]\nconfirm_absence = 1"),
        1,
    );
    // As by default; the life's own is for tests that want to be over.
    let text = text.replace("max_interval = \"10s\"", "max_interval = \"60s\"");
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    let config = Arc::new(config::parse(&text, "test.toml", &environment).unwrap());
    runtime.block_on(async {
        let clock = Clock::simulated("2026-03-02T11:00:00Z".parse().unwrap());
        let script = Script { delay: Duration::from_secs(1), ..Script::default() };
        let sandbox = Sandbox::new(Settings { script, clock: clock.clone() });
        let (opened, mut opening) = tokio::sync::mpsc::channel(1);
        let stop = CancellationToken::new();
        let ready = move |store: &Store| opened.try_send(store.clone()).unwrap();
        let daemon = daemon::run(config, Outside { api: Arc::new(sandbox.in_memory()), clock }, ready, stop.clone());
        let living = async {
            let store = opening.recv().await.unwrap();
            life::drop_file(&inbox, "hour0.csv", &life::csv(&people(0)));
            quiet(&store, &inbox, name).await;
            begin(&sandbox, outage);
            let mut an_hour = Vec::new();
            for hour in 1..=hours() {
                let before = sandbox.calls().len();
                life::drop_file(&inbox, &format!("hour{hour}.csv"), &life::csv(&people(hour)));
                for _ in 0..60 {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    is_bounded(&store, name);
                }
                an_hour.push(sandbox.calls().len() - before);
            }
            sandbox.behave();
            sandbox.accept_only(vec![SecretString::from(life::KEY)]);
            quiet(&store, &inbox, name).await;
            let exports = usize::try_from(hours()).unwrap() + 1;
            let truth = life::truth(&people(hours()));
            let wrong = life::violations(&store, &inbox, &sandbox, &truth, exports..=exports);
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
            assert_eq!(store.verify().unwrap().findings, Vec::<String>::new(), "{name}");
            stop.cancel();
            an_hour
        };
        let (ended, an_hour) = tokio::join!(daemon, living);
        ended.unwrap();
        println!("{name}: requests in each hour {an_hour:?}, {GROUPS} groups");
        an_hour
    })
}

fn begin(sandbox: &Sandbox, outage: &Outage) {
    match outage {
        Outage::Faults(rules) => rules.iter().for_each(|rule| sandbox.misbehave(rule.clone()).unwrap()),
        Outage::Key => sandbox.accept_only(vec![SecretString::from("vit_apk_another")]),
    }
}

/// One open batch a group, and one behind it.
fn is_bounded(store: &Store, name: &str) {
    for group in store.groups_with_work().unwrap() {
        let batches = store.batches_of_group(&group).unwrap();
        let open = batches.iter().filter(|batch| !batch.phase.is_final()).count();
        assert!(open <= 2, "{name}: {open} batches of {group} are open");
    }
}

async fn quiet(store: &Store, inbox: &Path, name: &str) {
    for _ in 0..MOST_MINUTES {
        tokio::time::sleep(Duration::from_secs(60)).await;
        if life::is_quiet(store, inbox) {
            return;
        }
    }
    let group = GroupRef::parse("acme-d1").unwrap();
    let open: Vec<Phase> = store.batches_of_group(&group).unwrap().iter().map(|batch| batch.phase).collect();
    panic!("{name}: it never ends: {open:?}");
}

fn always(fault: Fault) -> Outage {
    Outage::Faults(vec![Rule::new(On::Any, fault).always()])
}

#[test]
fn an_api_that_is_out_for_hours_is_not_hammered_and_everything_is_made_up_for() {
    let cases = [
        ("connection reset", always(Fault::Reset)),
        ("500", always(Fault::Error500)),
        ("503", always(Fault::Error503)),
        ("429 without a hint", always(Fault::RateLimitedBare)),
        ("a gateway's page", always(Fault::Html502)),
        ("work done, answer lost", Outage::Faults(vec![Rule::new(On::Submit, Fault::AcceptThenReset).always()])),
        (NO_RESULTS, Outage::Faults(vec![Rule::new(On::Poll, Fault::NoResults).always()])),
        ("polls fail", Outage::Faults(vec![Rule::new(On::Poll, Fault::Error502).always()])),
        (
            "all of it in turn",
            Outage::Faults(
                [
                    Fault::Reset,
                    Fault::Error503,
                    Fault::RateLimitedBare,
                    Fault::Html502,
                    Fault::AcceptThen502,
                    Fault::BrokenJson,
                ]
                .into_iter()
                .zip(1..)
                .map(|(fault, nth)| Rule::new(On::Submit, fault).nth(nth * 3).times(40))
                .collect(),
            ),
        ),
    ];
    for (name, outage) in cases {
        let an_hour = live(name, &outage);
        let most = if name == NO_RESULTS { MOST_POLLS_AN_HOUR } else { MOST_AN_HOUR };
        assert!(an_hour.iter().all(|requests| *requests <= most), "{name}: {an_hour:?}");
    }
}

#[test]
fn a_wait_that_the_api_asks_for_is_kept() {
    let wait = Duration::from_secs(20 * 60);
    for fault in [Fault::Error503, Fault::RateLimitedSeconds, Fault::RateLimitedDate, Fault::RateLimitedReset] {
        let rule = Rule::new(On::Any, fault).always().after(wait);
        let an_hour = live(&format!("{fault:?}, in 20 minutes"), &Outage::Faults(vec![rule]));
        // Whoever was under way together hears it together; after that one asks three times an hour.
        assert!(an_hour.iter().all(|requests| *requests <= GROUPS + 4), "{fault:?}: {an_hour:?}");
    }
}

#[test]
fn a_revoked_key_is_probed_once_a_minute_whatever_waits() {
    let an_hour = live("key revoked", &Outage::Key);
    assert!(an_hour.iter().all(|requests| *requests <= MOST_PROBES_AN_HOUR + 4), "{an_hour:?}");
}
