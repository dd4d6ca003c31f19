//! What happens by the clock, on a real daemon in simulated time: days without files, missed schedules, drift, and feeds that die.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by stopping")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rosterd::clock::Clock;
use rosterd::config::{self, Config, Environment};
use rosterd::control::client::Client;
use rosterd::control::server::{Answerer, Body};
use rosterd::control::{Answer, Question};
use rosterd::daemon::{self, Outside};
use rosterd::deliver::{self, Deliverer};
use rosterd::report::{Batch, Phase, Run, RunState, SourceStatus, Trigger};
use rosterd::roster::ids::{GroupRef, SourceName};
use rosterd::sandbox::script::{Fault, On, Rule, Script};
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::{RunFilter, Store};
use rosterd::sync::Desk;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A person of an export: id, division, status, first day, last day.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const HEADER: &str = "Employee ID,First,Last,Birth Date,Email,Address 1,City,State,Zip,Division,Status,Hired,Left\n";

fn csv(rows: &[Row]) -> String {
    let mut text = String::from(HEADER);
    for (id, division, status, hired, left) in rows {
        // By the id, so that nobody resembles somebody of another file.
        let at = id.bytes().fold(0, |sum, byte| sum * 10 + usize::from(byte % 16));
        let city = if id.starts_with('P') && *hired == "03/03/2026" { "Troy" } else { "Albany" };
        let (month, day, year) = (at % 12 + 1, at % 28 + 1, 1950 + at % 50);
        writeln!(
            text,
            "{id},Sam,Miller{at},{month:02}/{day:02}/{year},{id}@example.com,{at} Main St,{city},NY,12207,{division},\
             {status},{hired},{left}"
        )
        .unwrap();
    }
    text
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// All that outlives a daemon.
struct World {
    dir: tempfile::TempDir,
    config: Arc<Config>,
    sandbox: Sandbox,
    clock: Clock,
}

/// A daemon, and its store to look into.
struct Running {
    store: Store,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    /// `top` stands above the tables, `source` below `[[source]]`.
    fn new(start: &str, top: &str, source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inbox")).unwrap();
        let home = dir.path().display();
        let text = format!(
            r#"
state_dir = "{home}/state"
{top}
[api]
base_url = "http://127.0.0.1:9"
requests_per_second = 1000.0
[poll]
first_after = "2s"
max_interval = "10s"
[control]
socket = "{home}/socket"
[[source]]
name = "hris"
inbox = "{home}/inbox"
done_marker = true
rescan = "60s"
timezone = "America/New_York"
{source}
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
default = "pln_basic"
[source.eligibility]
status = "Status"
covered = ["Active"]
terminated = ["Terminated"]
start = "Hired"
end = "Left"
"#
        );
        let environment: Environment = [("VITABLE_CONNECT_API_KEY", "vit_apk_in_memory")].into_iter().collect();
        let config = Arc::new(config::parse(&text, "test.toml", &environment).unwrap());
        let clock = Clock::simulated(at(start));
        let script =
            Script { latency: Duration::from_millis(5), delay: Duration::from_millis(200), ..Script::default() };
        // Nobody sets the API's clock back with ours.
        let sandbox = Sandbox::new(Settings { script, clock: Clock::simulated(at(start)) });
        Self { dir, config, sandbox, clock }
    }

    fn inbox(&self) -> PathBuf {
        self.dir.path().join("inbox")
    }

    async fn daemon(&self) -> Running {
        let slot = Arc::new(OnceLock::new());
        let outside = Outside { api: Arc::new(self.sandbox.in_memory()), clock: self.clock.clone() };
        let opened = Arc::clone(&slot);
        let ready = move |store: &Store| opened.set(Mutex::new(Some(store.clone()))).unwrap();
        let (stop, config) = (CancellationToken::new(), Arc::clone(&self.config));
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move { daemon::run(config, outside, ready, stopped).await.unwrap() });
        while slot.get().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(tasks.try_join_next().is_none(), "the daemon ended");
        }
        let store = slot.get().unwrap().lock().unwrap().take().unwrap();
        Running { store, stop, tasks }
    }

    async fn until(&self, then: &str) {
        while self.clock.now() < at(then) {
            let left = (at(then) - self.clock.now()).to_std().unwrap();
            tokio::time::sleep(left.min(Duration::from_secs(30))).await;
        }
    }

    fn drop_file(&self, name: &str, rows: &[Row]) {
        let inbox = self.inbox();
        std::fs::write(inbox.join(name), csv(rows)).unwrap();
        // As old as the simulated moment.
        let file = std::fs::File::options().write(true).open(inbox.join(name)).unwrap();
        file.set_modified(self.clock.now().into()).unwrap();
        std::fs::write(inbox.join(format!("{name}.done")), "").unwrap();
        let marker = std::fs::File::options().write(true).open(inbox.join(format!("{name}.done"))).unwrap();
        marker.set_modified(self.clock.now().into()).unwrap();
    }

    /// Drops a file and waits until it was passed over and delivered.
    async fn deliver(&self, running: &Running, name: &str, rows: &[Row]) -> Run {
        let before = runs(&running.store).len();
        self.drop_file(name, rows);
        self.quiet_after(running, before).await
    }

    /// The newest run, once there are more than `before` and all of them are over.
    async fn quiet_after(&self, running: &Running, before: usize) -> Run {
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let runs = runs(&running.store);
            if before < runs.len()
                && running.store.groups_with_work().unwrap().is_empty()
                && runs.iter().all(|run| !matches!(run.state, RunState::Received | RunState::Delivering))
            {
                // The receipt follows the record.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return runs.into_iter().next_back().unwrap();
            }
        }
        panic!("no run came to its end: {:#?}", runs(&running.store));
    }

    #[track_caller]
    fn covers(&self, group: &str, ids: &[&str]) {
        let held: BTreeSet<String> = self.sandbox.roster(group).into_keys().collect();
        let wanted: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(held, wanted, "{group} at {}", self.clock.now());
        assert_eq!(self.sandbox.audit(), []);
    }

    /// How the source stands for a command that opens the state itself.
    async fn status(&self, store: &Store) -> SourceStatus {
        let api: Arc<dyn rosterd::api::MemberSync> = Arc::new(self.sandbox.in_memory());
        let settings = deliver::Settings { poll: self.config.poll, max_in_flight: 1 };
        let deliverer = Deliverer::new(store.clone(), Arc::clone(&api), self.clock.clone(), settings);
        let desk = Desk::new(Arc::clone(&self.config), store.clone(), api, self.clock.clone(), deliverer);
        let (progress, _) = tokio::sync::mpsc::channel(1);
        let nothing = PathBuf::new();
        let answer = desk.answer(Question::Status, "ann".to_owned(), Body::File(&nothing), progress).await.unwrap();
        let Answer::Status(status) = answer else { panic!("no status") };
        status.sources.into_iter().next().unwrap()
    }

    /// A person's decision over the socket. A daemon in simulated time may answer late: the record says what came of it.
    async fn ask(&self, question: Question) {
        let socket = self.config.control_socket.clone();
        let client = Client::connect(&socket).await.unwrap();
        drop(client.ask(&question, None, |_| {}).await);
    }

    /// The receipt of a run.
    fn receipt(&self, store: &Store, run: &Run) -> String {
        let filed = store.run(&run.run).unwrap().unwrap().filed_as.unwrap();
        let text = std::fs::read_to_string(self.inbox().join(format!("{filed}.receipt.txt"))).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Running {
    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// All runs, oldest first.
fn runs(store: &Store) -> Vec<Run> {
    let mut runs = store.runs(&RunFilter::default(), usize::MAX).unwrap();
    runs.reverse();
    runs
}

fn batches(store: &Store, group: &str) -> Vec<Batch> {
    store.batches_of_group(&GroupRef::parse(group).unwrap()).unwrap()
}

fn test(work: impl AsyncFnOnce()) {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work());
}

const SIX: &str = "schedule = \"0 6 * * *\"";

/// Six people who are there all the time, so that one more or less is not remarkable.
const SIX_PEOPLE: [Row; 6] = [
    ("E1", "d1", "Active", "01/05/2020", ""),
    ("E2", "d1", "Active", "01/05/2020", ""),
    ("E3", "d1", "Active", "01/05/2020", ""),
    ("E4", "d1", "Active", "01/05/2020", ""),
    ("E5", "d1", "Active", "01/05/2020", ""),
    ("E6", "d1", "Active", "01/05/2020", ""),
];
const ALL_SIX: [&str; 6] = ["E1", "E2", "E3", "E4", "E5", "E6"];

fn with(more: &[Row]) -> Vec<Row> {
    SIX_PEOPLE.iter().chain(more).copied().collect()
}

fn ids<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ALL_SIX.iter().chain(more).copied().collect()
}

// === re-check ===

#[test]
fn a_future_hire_joins_and_a_future_leaver_goes_in_a_week_without_files() {
    test(async || {
        // A Monday, noon in New York.
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let rows = with(&[
            ("E7", "d1", "Active", "03/04/2026", ""),
            ("E8", "d1", "Active", "01/05/2020", "03/05/2026"),
            ("E9", "d1", "Terminated", "01/05/2020", "03/06/2026"),
        ]);
        let first = world.deliver(&running, "monday.csv", &rows).await;
        world.covers("acme-d1", &ids(&["E8", "E9"]));
        let accepted_at =
            |store: &Store| store.source(&SourceName::parse("hris").unwrap()).unwrap().unwrap().last_accepted.unwrap();
        let before = accepted_at(&running.store).accepted_at;

        world.until("2026-03-04T10:59:59Z").await;
        world.covers("acme-d1", &ids(&["E8", "E9"]));
        assert_eq!(runs(&running.store).len(), 1, "nothing was due on Tuesday");
        world.until("2026-03-04T11:05:00Z").await;
        world.covers("acme-d1", &ids(&["E7", "E8", "E9"]));
        world.until("2026-03-06T11:05:00Z").await;
        // E8's last day was the 5th, E9's is the 6th.
        world.covers("acme-d1", &ids(&["E7", "E9"]));
        world.until("2026-03-09T12:00:00Z").await;
        world.covers("acme-d1", &ids(&["E7"]));

        let runs = runs(&running.store);
        assert_eq!(runs.len(), 4, "the file, and one for each day on which something was due");
        for run in &runs[1..] {
            assert_eq!((run.trigger, run.state), (Trigger::Recheck, RunState::Completed), "{run:?}");
            assert_eq!(run.repeats.as_ref().unwrap().accepted_at, before);
            assert!(run.reason.as_ref().unwrap().starts_with("monday.csv of 2 March 2026 was looked at again"));
        }
        assert_eq!((runs[1].counts.new, runs[2].counts.terminated, runs[3].counts.terminated), (1, 1, 1));
        let receipt = world.receipt(&running.store, &runs[1]);
        assert!(receipt.contains("Nobody dropped this file. It is a copy of the last accepted one"), "{receipt}");
        assert!(receipt.contains("Accepted: 2 March 2026, 12:0"), "{receipt}");
        let last = accepted_at(&running.store);
        assert_eq!((last.accepted_at, &last.run), (before, &runs[3].run), "a re-check is no newer export");
        assert_eq!(first.repeats, None);
        running.stop().await;
    });
}

#[test]
fn a_schedule_that_was_missed_fires_once_at_the_start_and_after_the_file_that_waits() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/04/2026", "")])).await;
        running.stop().await;

        world.until("2026-03-05T17:00:00Z").await;
        let running = world.daemon().await;
        let run = world.quiet_after(&running, 1).await;
        assert_eq!((run.trigger, run.counts.new), (Trigger::Recheck, 1));
        world.covers("acme-d1", &ids(&["E7"]));
        world.until("2026-03-05T23:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2);
        running.stop().await;

        // The next time a newer file waits, in which the hire is put off: the older one must not bring them in.
        world.until("2026-03-07T17:00:00Z").await;
        let rows = with(&[("E7", "d1", "Active", "03/04/2026", ""), ("E8", "d1", "Active", "04/01/2026", "")]);
        world.drop_file("saturday.csv", &rows);
        let running = world.daemon().await;
        world.quiet_after(&running, 2).await;
        world.until("2026-03-07T23:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!(all.len(), 3);
        assert_ne!(all[2].trigger, Trigger::Recheck, "the file came first, and left nothing due");
        running.stop().await;
    });
}

#[test]
fn a_first_time_that_is_missed_is_made_up_for() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/03/2026", "")])).await;
        running.stop().await;
        world.until("2026-03-03T17:00:00Z").await;
        let running = world.daemon().await;
        world.quiet_after(&running, 1).await;
        world.covers("acme-d1", &ids(&["E7"]));
        running.stop().await;
    });
}

/// Days on which the last export was looked at again, as the runs on record say.
fn rechecks(store: &Store) -> Vec<String> {
    let of_schedule = |run: &Run| run.trigger == Trigger::Recheck;
    runs(store).into_iter().filter(of_schedule).map(|run| run.received_at.format("%m-%d").to_string()).collect()
}

/// Seven hires, one a day from that one on.
fn one_a_day(first: &str) -> Vec<Row> {
    let (month, rest) = first.split_once('/').unwrap();
    let (day, year) = rest.split_once('/').unwrap();
    let day: u32 = day.parse().unwrap();
    let hires = ["N1", "N2", "N3", "N4", "N5", "N6", "N7"].into_iter().zip(day..).map(|(id, day)| {
        let hired: &'static str = format!("{month}/{day:02}/{year}").leak();
        (id, "d1", "Active", hired, "")
    });
    SIX_PEOPLE.into_iter().chain(hires).collect()
}

#[test]
fn a_machine_that_slept_over_five_scheduled_times_makes_up_for_one() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &one_a_day("03/03/2026")).await;
        world.clock.jump(TimeDelta::days(5));
        let run = world.quiet_after(&running, 1).await;
        assert_eq!((run.trigger, run.counts.new), (Trigger::Recheck, 5));
        world.covers("acme-d1", &ids(&["N1", "N2", "N3", "N4", "N5"]));
        // And goes on at the next time.
        world.until("2026-03-08T12:00:00Z").await;
        assert_eq!(rechecks(&running.store), ["03-07", "03-08"]);
        running.stop().await;
    });
}

#[test]
fn a_clock_that_is_set_back_and_mended_fires_nothing_twice_and_stops_no_delivery() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &one_a_day("03/03/2026")).await;
        world.until("2026-03-03T12:00:00Z").await;
        // Set back while a roster is on its way: it comes to its end.
        let mut rows = one_a_day("03/03/2026");
        rows.push(("E8", "d1", "Active", "01/05/2020", ""));
        world.drop_file("before.csv", &rows);
        while running.store.groups_with_work().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.clock.jump(TimeDelta::days(-2));
        world.quiet_after(&running, 2).await;
        world.covers("acme-d1", &ids(&["N1", "E8"]));
        // A file of that time looks older than what was accepted. It waits, and says so: nobody's day is taken back.
        rows.push(("E9", "d1", "Active", "01/05/2020", ""));
        let run = world.deliver(&running, "set back.csv", &rows).await;
        assert_eq!(run.state, RunState::Held);
        assert_eq!(run.reason.unwrap(), "this file is older than the last accepted one of its source");
        world.clock.jump(TimeDelta::days(2));
        let run = world.deliver(&running, "mended.csv", &rows).await;
        assert_eq!(run.state, RunState::Completed, "{:?}", run.reason);
        world.covers("acme-d1", &ids(&["N1", "E8", "E9"]));
        world.until("2026-03-04T12:00:00Z").await;
        world.covers("acme-d1", &ids(&["N1", "N2", "E8", "E9"]));
        assert_eq!(rechecks(&running.store), ["03-03", "03-04"]);
        running.stop().await;
    });
}

#[test]
fn an_attempt_that_was_put_off_waits_no_longer_than_it_may_when_the_clock_is_set_back() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world
            .sandbox
            .misbehave(Rule::new(On::Submit, Fault::RateLimitedSeconds).after(Duration::from_secs(600)))
            .unwrap();
        world.drop_file("monday.csv", &SIX_PEOPLE);
        while batches(&running.store, "acme-d1").iter().all(|batch| batch.not_before.is_none()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.clock.jump(TimeDelta::days(-30));
        let begun = tokio::time::Instant::now();
        world.quiet_after(&running, 0).await;
        assert!(begun.elapsed() < Duration::from_secs(620), "{:?}", begun.elapsed());
        world.covers("acme-d1", &ALL_SIX);
        running.stop().await;
    });
}

#[test]
fn a_time_that_summer_time_leaves_out_or_repeats_comes_once() {
    for (start, schedule, first, end, days) in [
        ("2026-03-06T17:00:00Z", "30 2 * * *", "03/07/2026", "2026-03-10T04:00:00Z", ["03-07", "03-08", "03-09"]),
        ("2026-10-30T17:00:00Z", "30 1 * * *", "10/31/2026", "2026-11-02T20:00:00Z", ["10-31", "11-01", "11-02"]),
    ] {
        test(async || {
            let world = World::new(start, "", &format!("schedule = \"{schedule}\""));
            let running = world.daemon().await;
            let hires = |id, hired| (id, "d1", "Active", hired, "");
            let rows = if first == "03/07/2026" {
                [hires("N1", "03/07/2026"), hires("N2", "03/08/2026"), hires("N3", "03/09/2026")]
            } else {
                [hires("N1", "10/31/2026"), hires("N2", "11/01/2026"), hires("N3", "11/02/2026")]
            };
            world.deliver(&running, "friday.csv", &with(&rows)).await;
            world.until(end).await;
            world.covers("acme-d1", &ids(&["N1", "N2", "N3"]));
            assert_eq!(rechecks(&running.store), days, "{schedule}");
            running.stop().await;
        });
    }
}

#[test]
fn the_year_2038_is_a_year_like_any_other() {
    test(async || {
        let world = World::new("2038-01-18T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &one_a_day("01/19/2038")).await;
        world.until("2038-01-20T17:00:00Z").await;
        world.covers("acme-d1", &ids(&["N1", "N2"]));
        assert_eq!(rechecks(&running.store), ["01-19", "01-20"]);
        running.stop().await;
        // What was recorded on either side is read by the next process.
        let running = world.daemon().await;
        assert_eq!(rechecks(&running.store), ["01-19", "01-20"]);
        world.until("2038-01-21T17:00:00Z").await;
        world.covers("acme-d1", &ids(&["N1", "N2", "N3"]));
        running.stop().await;
    });
}

#[test]
fn a_newer_export_that_is_held_stays_held_and_can_be_approved_after_a_recheck() {
    test(async || {
        let source = "schedule = \"0 6 * * *\"\nconfirm_absence = 1";
        let world = World::new("2026-03-02T17:00:00Z", "", source);
        let running = world.daemon().await;
        let first = with(&[("E7", "d1", "Active", "03/03/2026", "")]);
        world.deliver(&running, "monday.csv", &first).await;
        // Half of the rows are gone: held whole.
        let held = world.deliver(&running, "short.csv", &first[4..]).await;
        assert_eq!(held.state, RunState::Held);

        world.until("2026-03-03T11:05:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[2].trigger, all[2].state), (3, Trigger::Recheck, RunState::Completed));
        world.covers("acme-d1", &ids(&["E7"]));
        assert_eq!(all[1].state, RunState::Held, "an older export takes no newer one's place");

        world.ask(Question::Approve { run: held.run.to_string(), reason: "plant closed".to_owned() }).await;
        let approved = world.quiet_after(&running, 3).await;
        assert_eq!(
            (approved.trigger, approved.state, &approved.repeats),
            (Trigger::Approve, RunState::Completed, &None)
        );
        world.covers("acme-d1", &["E5", "E6", "E7"]);
        assert_eq!(runs(&running.store)[1].state, RunState::Superseded);
        running.stop().await;
    });
}

#[test]
fn a_recheck_that_holds_people_is_recorded_once_and_approved() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let mut rows = SIX_PEOPLE;
        for row in &mut rows[..4] {
            row.4 = "03/03/2026";
        }
        world.deliver(&running, "monday.csv", &rows).await;
        world.until("2026-03-04T12:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[1].trigger, all[1].state), (2, Trigger::Recheck, RunState::Partial));
        assert!(all[1].guards.iter().any(|guard| guard.guard == "terminations"), "{:?}", all[1].guards);
        world.covers("acme-d1", &ALL_SIX);
        world.until("2026-03-06T12:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2, "the same hold is not recorded every day");
        assert_eq!(world.status(&running.store).await.held, [all[1].run.clone()]);
        world.ask(Question::Approve { run: all[1].run.to_string(), reason: "layoff".to_owned() }).await;
        world.quiet_after(&running, 2).await;
        world.covers("acme-d1", &["E5", "E6"]);
        running.stop().await;
    });
}

#[test]
fn a_recheck_that_holds_a_group_is_not_recorded_every_day() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "[guards]\nadditions = 0", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/03/2026", "")])).await;
        world.until("2026-03-05T12:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[1].trigger), (2, Trigger::Recheck), "{all:#?}");
        assert!(all[1].guards.iter().any(|guard| guard.guard == "additions"), "{:?}", all[1].guards);
        world.covers("acme-d1", &ALL_SIX);
        running.stop().await;
    });
}

/// Twelve people with a row for each of two periods; in the second they live elsewhere.
fn twelve_who_move_house() -> Vec<Row> {
    let ids = ["P10", "P11", "P12", "P13", "P14", "P15", "P16", "P17", "P18", "P19", "P20", "P21"];
    let rows = ids.map(|id| [(id, "d1", "Active", "01/05/2020", "03/02/2026"), (id, "d1", "Active", "03/03/2026", "")]);
    rows.concat()
}

#[test]
fn a_recheck_that_is_held_whole_is_recorded_again_only_when_it_cannot_be_approved_any_more() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let city = |world: &World| world.sandbox.roster("acme-d1")["P10"]["address"]["city"].clone();
        world.deliver(&running, "monday.csv", &twelve_who_move_house()).await;
        world.until("2026-03-06T12:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[1].trigger, all[1].state), (2, Trigger::Recheck, RunState::Held), "{all:#?}");
        let reason = all[1].reason.as_ref().unwrap();
        assert!(reason.contains("was looked at again") && reason.contains("changed for 12 of 12"), "{reason}");
        let receipt = world.receipt(&running.store, &all[1]);
        assert!(receipt.starts_with("Held: nothing of this file was applied."), "{receipt}");

        // After 72 hours nobody can release it any more.
        world.until("2026-03-07T12:00:00Z").await;
        let all = runs(&running.store);
        let states: Vec<RunState> = all.iter().skip(1).map(|run| run.state).collect();
        assert_eq!(states, [RunState::Superseded, RunState::Held]);
        // A newer file comes and is held as well. To release the older one takes nothing from it.
        let newer = world.deliver(&running, "short.csv", &twelve_who_move_house()[..4]).await;
        assert_eq!((newer.state, city(&world)), (RunState::Held, "Albany".into()));
        world.ask(Question::Approve { run: all[2].run.to_string(), reason: "the office moved".to_owned() }).await;
        let approved = world.quiet_after(&running, 4).await;
        assert_eq!((approved.state, city(&world)), (RunState::Completed, "Troy".into()));
        let states: Vec<RunState> = runs(&running.store).iter().skip(1).map(|run| run.state).collect();
        assert_eq!(states, [RunState::Superseded, RunState::Superseded, RunState::Held, RunState::Completed]);
        running.stop().await;
    });
}

#[test]
fn a_held_recheck_that_was_discarded_stays_discarded() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &twelve_who_move_house()).await;
        world.until("2026-03-03T12:00:00Z").await;
        let held = runs(&running.store).pop().unwrap();
        world.ask(Question::Discard { run: held.run.to_string(), reason: "wrong".to_owned() }).await;
        world.until("2026-03-09T12:00:00Z").await;
        let states: Vec<RunState> = runs(&running.store).iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Completed, RunState::Discarded]);
        running.stop().await;
    });
}

#[test]
fn a_retry_leaves_a_newer_export_that_is_held_where_it_is() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", "");
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        world.sandbox.behave();
        let held = world.deliver(&running, "short.csv", &SIX_PEOPLE[..2]).await;
        assert_eq!(held.state, RunState::Held);
        world.ask(Question::Retry { group: "acme-d1".to_owned() }).await;
        world.quiet_after(&running, 2).await;
        assert_eq!(runs(&running.store)[1].state, RunState::Held);
        running.stop().await;
    });
}

#[test]
fn a_clock_that_was_wrong_for_a_day_undoes_nothing() {
    test(async || {
        let mut world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let rows = with(&[("E7", "d1", "Active", "03/01/2026", ""), ("E8", "d1", "Active", "03/01/2026", "")]);
        world.deliver(&running, "monday.csv", &rows).await;
        running.stop().await;
        // As after a start without a battery.
        world.clock = Clock::simulated(at("2020-01-01T00:00:00Z"));
        let running = world.daemon().await;
        world.until("2020-01-03T12:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 1);
        assert_eq!(world.sandbox.roster("acme-d1").len(), 8);
        running.stop().await;
    });
}

#[test]
fn the_same_file_on_a_later_day_counts_when_dates_have_come_due_and_is_a_duplicate_otherwise() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", "");
        let running = world.daemon().await;
        let rows = with(&[("E7", "d1", "Active", "03/04/2026", "")]);
        world.deliver(&running, "people.csv", &rows).await;
        assert_eq!(world.deliver(&running, "people.csv", &rows).await.state, RunState::Duplicate);
        world.until("2026-03-03T17:00:00Z").await;
        assert_eq!(world.deliver(&running, "people.csv", &rows).await.state, RunState::Duplicate);
        world.until("2026-03-04T17:00:00Z").await;
        let due = world.deliver(&running, "people.csv", &rows).await;
        assert_eq!((due.state, due.trigger, due.counts.new), (RunState::Completed, Trigger::Watch, 1));
        assert!(due.reason.as_ref().unwrap().ends_with("dates in it have come due since"), "{due:?}");
        world.covers("acme-d1", &ids(&["E7"]));
        assert_eq!(world.deliver(&running, "people.csv", &rows).await.state, RunState::Duplicate);
        running.stop().await;
    });
}

#[test]
fn an_absence_is_not_counted_twice_by_a_recheck() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E0", "d1", "Active", "01/05/2020", "")])).await;
        let hires: Vec<Row> = vec![("E7", "d1", "Active", "03/03/2026", ""), ("E8", "d1", "Active", "03/04/2026", "")];
        world.deliver(&running, "later.csv", &with(&hires)).await;
        world.until("2026-03-05T12:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 4);
        world.covers("acme-d1", &ids(&["E0", "E7", "E8"]));
        running.stop().await;
    });
}

#[test]
fn a_last_export_that_is_gone_is_told_of_until_the_next_one_is_accepted() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let rows = with(&[("E7", "d1", "Active", "03/03/2026", "")]);
        let run = world.deliver(&running, "monday.csv", &rows).await;
        let filed = running.store.run(&run.run).unwrap().unwrap().filed_as.unwrap();
        std::fs::remove_file(world.inbox().join(filed)).unwrap();
        world.until("2026-03-03T12:00:00Z").await;
        let trouble = world.status(&running.store).await.recheck_trouble.unwrap();
        assert!(trouble.starts_with("the last accepted export is not where it was filed"), "{trouble}");
        assert_eq!(runs(&running.store).len(), 1);
        world.deliver(&running, "tuesday.csv", &rows).await;
        assert_eq!(world.status(&running.store).await.recheck_trouble, None);
        running.stop().await;
    });
}

#[test]
fn an_export_that_somebody_changed_where_it_was_filed_is_not_looked_at_again() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        let run = world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/03/2026", "")])).await;
        let filed = running.store.run(&run.run).unwrap().unwrap().filed_as.unwrap();
        std::fs::write(world.inbox().join(filed), csv(&SIX_PEOPLE[..1])).unwrap();
        world.until("2026-03-03T12:00:00Z").await;
        let trouble = world.status(&running.store).await.recheck_trouble.unwrap();
        assert!(trouble.starts_with("somebody changed the last accepted export"), "{trouble}");
        world.covers("acme-d1", &ALL_SIX);
        running.stop().await;
    });
}

#[test]
fn in_mode_plan_a_recheck_is_reported_once_and_nothing_is_sent() {
    test(async || {
        let mut world = World::new("2026-03-02T17:00:00Z", "", SIX);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/03/2026", "")])).await;
        running.stop().await;
        world.config = Arc::new(Config { mode: config::Mode::Plan, ..(*world.config).clone() });
        let running = world.daemon().await;
        world.until("2026-03-05T12:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[1].trigger, all[1].state), (2, Trigger::Recheck, RunState::Planned));
        world.covers("acme-d1", &ALL_SIX);
        running.stop().await;
    });
}

#[test]
fn a_day_begins_where_the_source_is_and_a_clock_that_changes_takes_none_away() {
    test(async || {
        // The evening before the clocks change, and the night of it: 23:30 is 04:30 in winter, 00:30 still 05:30.
        let world = World::new("2026-03-07T17:00:00Z", "", "schedule = \"30 0,23 * * *\"");
        let running = world.daemon().await;
        let rows = with(&[("E7", "d1", "Active", "03/08/2026", ""), ("E8", "d1", "Active", "03/09/2026", "")]);
        world.deliver(&running, "saturday.csv", &rows).await;
        world.until("2026-03-08T04:45:00Z").await;
        world.covers("acme-d1", &ALL_SIX);
        world.until("2026-03-08T05:45:00Z").await;
        world.covers("acme-d1", &ids(&["E7"]));
        world.until("2026-03-09T03:45:00Z").await;
        world.covers("acme-d1", &ids(&["E7"]));
        world.until("2026-03-09T04:45:00Z").await;
        world.covers("acme-d1", &ids(&["E7", "E8"]));
        running.stop().await;
    });
}

#[test]
fn coverage_to_the_end_of_the_month_ends_with_february_and_a_rehire_before_that_leaves_no_gap() {
    test(async || {
        let mut world = World::new("2026-02-10T17:00:00Z", "", SIX);
        let mut changed = (*world.config).clone();
        changed.sources[0].eligibility.as_mut().unwrap().coverage_ends = config::CoverageEnds::EndOfMonth;
        world.config = Arc::new(changed);
        let running = world.daemon().await;
        let hired = with(&["E7", "E8", "E9"].map(|id| (id, "d1", "Active", "01/05/2020", "")));
        world.deliver(&running, "january.csv", &hired).await;
        let rows = with(&[
            ("E7", "d1", "Terminated", "01/05/2020", "02/05/2026"),
            ("E8", "d1", "Active", "03/09/2026", "02/05/2026"),
            ("E9", "d1", "Active", "02/20/2026", "02/05/2026"),
        ]);
        world.deliver(&running, "february.csv", &rows).await;
        world.covers("acme-d1", &ids(&["E7", "E8", "E9"]));
        world.until("2026-02-28T23:00:00Z").await;
        world.covers("acme-d1", &ids(&["E7", "E8", "E9"]));
        world.until("2026-03-01T12:00:00Z").await;
        // Two of nine: the guard looks at them together.
        world.covers("acme-d1", &ids(&["E9"]));
        world.until("2026-03-09T12:00:00Z").await;
        world.covers("acme-d1", &ids(&["E8", "E9"]));
        let last = runs(&running.store).pop().unwrap();
        assert_eq!((last.counts.returning, last.counts.new), (1, 0));
        running.stop().await;
    });
}

// === resync ===

/// Nightly at 3 in New York.
const RESYNC: &str = "resync = \"0 3 * * *\"";

fn record(id: &str) -> serde_json::Value {
    serde_json::json!({
        "reference_id": id, "first_name": "Pat", "last_name": "Doe", "date_of_birth": "1980-01-02",
        "email": format!("{id}@elsewhere.example"), "plan_id": "pln_basic",
        "address": {"address_line_1": "1 Elm St", "city": "Albany", "state": "NY", "zipcode": "12207"},
    })
}

#[test]
fn a_resync_without_drift_says_so_and_changes_nothing() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        let before = running.store.roster(&GroupRef::parse("acme-d1").unwrap()).unwrap().unwrap();
        world.until("2026-03-03T09:00:00Z").await;
        let all = runs(&running.store);
        assert_eq!((all.len(), all[1].trigger, all[1].state), (2, Trigger::Resync, RunState::Completed));
        assert_eq!(all[1].reason.as_deref(), Some("1 roster is submitted again; the API held them all as confirmed"));
        let after = running.store.roster(&GroupRef::parse("acme-d1").unwrap()).unwrap().unwrap();
        assert_eq!(before.members(), after.members());
        let status = world.status(&running.store).await;
        let last = status.last_resync.unwrap();
        assert_eq!((last.run, last.groups, last.restored, last.removed), (all[1].run.clone(), 1, 0, 0));
        assert_eq!(status.next_resync, Some(at("2026-03-04T08:00:00Z")));
        assert!(status.last_accepted.unwrap().run == all[0].run);
        running.stop().await;
    });
}

#[test]
fn people_who_vanished_from_the_api_come_back_with_a_resync_and_it_says_so() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        assert!(world.sandbox.drop_member("acme-d1", "E2") && world.sandbox.drop_member("acme-d1", "E3"));
        world.until("2026-03-03T09:00:00Z").await;
        world.covers("acme-d1", &ALL_SIX);
        let run = runs(&running.store).pop().unwrap();
        assert_eq!((run.state, run.counts.returning, run.counts.unchanged), (RunState::Completed, 2, 4));
        let reason = run.reason.unwrap();
        assert!(reason.contains("2 people had vanished from the API and came back") && reason.contains("acme-d1: 2"));
        assert_eq!(world.status(&running.store).await.last_resync.unwrap().restored, 2);
        running.stop().await;
    });
}

#[test]
fn people_whom_only_the_api_knew_are_an_incident_of_the_resync() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        world.sandbox.seed_member("acme-d1", &record("X1")).unwrap();
        world.until("2026-03-03T09:00:00Z").await;
        let run = runs(&running.store).pop().unwrap();
        assert_eq!((run.trigger, run.state), (Trigger::Resync, RunState::Partial));
        assert!(run.reason.as_ref().unwrap().contains("1 person whom rosterd did not know lost coverage"), "{run:?}");
        let group = running.store.group(&GroupRef::parse("acme-d1").unwrap()).unwrap().unwrap();
        assert!(group.paused.is_some());
        assert_eq!(world.status(&running.store).await.last_resync.unwrap().removed, 1);

        // A paused group is left alone the next night.
        world.until("2026-03-04T09:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2);
        running.stop().await;
    });
}

#[test]
fn a_group_with_a_roster_under_way_is_left_out_of_a_resync() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        let two = with(&[("F1", "d2", "Active", "01/05/2020", "")]);
        world.deliver(&running, "monday.csv", &two).await;
        world.until("2026-03-03T07:00:00Z").await;
        // The API answers no poll about the group until the resync is long over.
        world.sandbox.misbehave(Rule::new(On::Poll, Fault::Status).status(503).group("acme-d1").always()).unwrap();
        let joined = with(&[("E7", "d1", "Active", "01/05/2020", ""), ("F1", "d2", "Active", "01/05/2020", "")]);
        world.drop_file("night.csv", &joined);
        world.until("2026-03-03T09:00:00Z").await;
        world.sandbox.behave();
        world.until("2026-03-03T12:00:00Z").await;
        let resync = runs(&running.store).into_iter().find(|run| run.trigger == Trigger::Resync).unwrap();
        let of_resync = running.store.batches_of(&resync.run).unwrap();
        assert_eq!(of_resync.iter().map(|batch| batch.group.as_str()).collect::<Vec<_>>(), ["acme-d2"]);
        assert!(resync.reason.as_ref().unwrap().contains("left out: 1 with a batch under way"), "{resync:?}");
        world.covers("acme-d1", &ids(&["E7"]));
        running.stop().await;
    });
}

#[test]
fn nobody_whom_a_batch_without_results_may_have_added_is_removed_by_a_resync() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        // The roster with E7 arrives and its answer does not; the second attempt is refused for good.
        world.sandbox.misbehave(Rule::new(On::Submit, Fault::AcceptThenReset)).unwrap();
        world.sandbox.misbehave(Rule::new(On::Submit, Fault::Status).status(422).nth(2)).unwrap();
        let run = world.deliver(&running, "more.csv", &with(&[("E7", "d1", "Active", "01/05/2020", "")])).await;
        assert_eq!(run.state, RunState::Failed);
        let group = GroupRef::parse("acme-d1").unwrap();
        assert_eq!(running.store.abroad(&group).unwrap().len(), 7);
        world.until("2026-03-03T09:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2, "nothing can be submitted again");
        assert!(world.sandbox.roster("acme-d1").contains_key("E7"));
        running.stop().await;
    });
}

#[test]
fn a_new_export_goes_ahead_of_a_resync_of_many_groups() {
    test(async || {
        const GROUPS: usize = 60;
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        let rows: Vec<Row> = (0..GROUPS)
            .map(|group| {
                let id: &'static str = format!("E{group:03}").leak();
                let division: &'static str = format!("d{group:03}").leak();
                (id, division, "Active", "01/05/2020", "")
            })
            .collect();
        world.deliver(&running, "monday.csv", &rows).await;
        world.until("2026-03-03T08:00:01Z").await;
        let hires = [("N1", "d059", "Active", "01/05/2020", ""), ("N2", "new", "Active", "01/05/2020", "")];
        let more: Vec<Row> = rows.iter().chain(&hires).copied().collect();
        world.deliver(&running, "night.csv", &more).await;
        let resync = runs(&running.store).into_iter().find(|run| run.trigger == Trigger::Resync).unwrap();
        let of_resync = running.store.batches_of(&resync.run).unwrap();
        let done_before = |batch: &Batch| {
            let behind = of_resync.iter().filter(|it| it.completed_at < batch.completed_at);
            behind.filter(|it| it.phase == Phase::Completed).count()
        };
        for group in ["acme-new", "acme-d059"] {
            let batch = batches(&running.store, group).pop().unwrap();
            assert!(done_before(&batch) < GROUPS / 2, "{group} waited for {} groups", done_before(&batch));
        }
        assert_eq!(world.sandbox.audit(), []);
        running.stop().await;
    });
}

#[test]
fn a_resync_that_was_missed_is_made_up_for_once() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", RESYNC);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &SIX_PEOPLE).await;
        running.stop().await;
        world.until("2026-03-05T17:00:00Z").await;
        world.sandbox.drop_member("acme-d1", "E6");
        let running = world.daemon().await;
        world.quiet_after(&running, 1).await;
        world.until("2026-03-05T20:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2);
        world.covers("acme-d1", &ALL_SIX);
        running.stop().await;
    });
}

// === expect_by ===

#[test]
fn a_feed_that_dies_is_an_alarm_on_the_next_working_day_and_across_a_restart() {
    test(async || {
        // A Friday.
        let world = World::new("2026-03-06T11:00:00Z", "", "expect_by = \"30 7 * * Mon-Fri\"");
        let running = world.daemon().await;
        world.deliver(&running, "friday.csv", &SIX_PEOPLE).await;
        let overdue = async |running: &Running| world.status(&running.store).await.overdue_since;
        world.until("2026-03-09T11:29:00Z").await;
        assert_eq!(overdue(&running).await, None, "nobody expects a file at the weekend");
        assert_eq!(world.status(&running.store).await.expected_by, Some(at("2026-03-09T11:30:00Z")));
        world.until("2026-03-09T11:31:00Z").await;
        let since = Some(at("2026-03-09T11:30:00Z"));
        assert_eq!(overdue(&running).await, since);

        // A file that is rejected, or held, is none.
        std::fs::write(world.inbox().join("broken.csv"), "Employee ID\n").unwrap();
        std::fs::write(world.inbox().join("broken.csv.done"), "").unwrap();
        let rejected = world.quiet_after(&running, 1).await;
        let status = world.status(&running.store).await;
        let last = status.not_accepted.unwrap();
        assert_eq!((status.overdue_since, last.run, last.state), (since, rejected.run, RunState::Rejected));
        let held = world.deliver(&running, "short.csv", &SIX_PEOPLE[..2]).await;
        let last = world.status(&running.store).await.not_accepted.unwrap();
        assert_eq!((last.run, last.state), (held.run, RunState::Held));
        running.stop().await;

        world.until("2026-03-10T15:00:00Z").await;
        let running = world.daemon().await;
        assert_eq!(overdue(&running).await, since);
        // The same file again: the feed is alive.
        assert_eq!(world.deliver(&running, "tuesday.csv", &SIX_PEOPLE).await.state, RunState::Duplicate);
        assert_eq!(overdue(&running).await, None);
        // It came after Tuesday's time, and so it is Wednesday's.
        world.until("2026-03-12T11:29:00Z").await;
        assert_eq!(overdue(&running).await, None);
        world.until("2026-03-12T11:31:00Z").await;
        assert_eq!(overdue(&running).await, Some(at("2026-03-12T11:30:00Z")));
        running.stop().await;
    });
}

#[test]
fn a_recheck_does_not_pass_for_an_export_that_came() {
    test(async || {
        let source = "schedule = \"0 6 * * *\"\nexpect_by = \"30 7 * * *\"";
        let world = World::new("2026-03-02T11:00:00Z", "", source);
        let running = world.daemon().await;
        world.deliver(&running, "monday.csv", &with(&[("E7", "d1", "Active", "03/03/2026", "")])).await;
        world.until("2026-03-03T13:00:00Z").await;
        assert_eq!(runs(&running.store).len(), 2);
        world.covers("acme-d1", &ids(&["E7"]));
        assert_eq!(world.status(&running.store).await.overdue_since, Some(at("2026-03-03T12:30:00Z")));
        running.stop().await;
    });
}

#[test]
fn a_source_that_never_delivered_is_overdue_from_the_first_time_after_it_was_set_up() {
    test(async || {
        let world = World::new("2026-03-02T17:00:00Z", "", "expect_by = \"30 7 * * *\"");
        let running = world.daemon().await;
        world.until("2026-03-03T12:29:00Z").await;
        assert_eq!(world.status(&running.store).await.overdue_since, None);
        world.until("2026-03-03T12:31:00Z").await;
        assert_eq!(world.status(&running.store).await.overdue_since, Some(at("2026-03-03T12:30:00Z")));
        world.deliver(&running, "first.csv", &SIX_PEOPLE).await;
        assert_eq!(world.status(&running.store).await.overdue_since, None);
        running.stop().await;
    });
}
