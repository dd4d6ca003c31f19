//! Stops a daemon dead after each of its writes, starts it again, and holds the end to what it must be.
//!
//! Everything runs in one process on simulated time. The store lets `n` commits through and refuses what follows; the daemon's
//! tasks are then dropped where they stand. `Stop::Late` finds the world as it is when the next write would have happened:
//! requests have left, files have moved. `Stop::Early` finds it as it was right after the last write: from then on the network is
//! dead, files that moved since lie where they were, and the last receipt was not written. `Stop::Twice` stops the second life as
//! well. `Stop::Call` and `Stop::Answer` count calls to the API instead: the daemon dies before a request leaves, or when the API has
//! done its work and answered, before the answer is used. `Stop::Inbox` counts changes of the inbox: every rename of a file, and every
//! making, writing and renaming of a receipt.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test says what is wrong by stopping, and how many stops it made"
)]

#[path = "support/life.rs"]
mod life;

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use life::{Person, Truth};
use rosterd::api::{Accepted, Answer, Group, MemberSync, Plan, Progress};
use rosterd::clock::Clock;
use rosterd::config::{self, Config, Environment};
use rosterd::control::Question;
use rosterd::control::client::Client;
use rosterd::daemon::{self, Outside};
use rosterd::intake::spool::Spool;
use rosterd::report::{GuardVerdict, RunState, Trigger};
use rosterd::roster::Entry;
use rosterd::roster::ids::{GroupId, GroupRef, RequestId};
use rosterd::sandbox::memory::InMemory;
use rosterd::sandbox::script::{Fault, On, Rule, Script};
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::Store;
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between two looks at how far a life is, simulated.
const TICK: Duration = Duration::from_millis(100);
/// A life that is not over after so many looks (five hours) never will be.
const MOST_TICKS: u32 = 200_000;
/// So many quiet looks in a row are quiet.
const QUIET: u32 = 10;
/// No life needs as many writes.
const MOST_WRITES: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Late,
    Early,
    Twice,
    /// When a call is about to leave.
    Call,
    /// When its answer has arrived, before anything is done with it.
    Answer,
    /// Before a change of the inbox.
    Inbox,
}

impl Stop {
    fn is_of_calls(self) -> bool {
        matches!(self, Self::Call | Self::Answer)
    }
}

/// When the next act of the world outside comes.
#[derive(Clone, Copy, Debug)]
enum When {
    AtOnce,
    /// So many rosters were accepted so far.
    Requests(usize),
    /// So many calls were refused for their key.
    Refusals(usize),
    /// Nothing is left to do.
    Quiet,
    /// The time has come.
    Clock(&'static str),
}

#[derive(Clone, Debug)]
enum Act {
    Drop(&'static str, String),
    /// A person approves what is held, as often as it takes.
    Approve,
    /// The records come into doubt, as after a restored backup.
    Doubt,
    /// A person undoes what this export's run did to a group, and approves what is held of it.
    Revert(&'static str, &'static str),
    RefuseKey,
    MendKey,
    /// Somebody else takes this person off the API's roster.
    Vanish(&'static str, &'static str),
    /// Nothing: the life goes on until then.
    Live,
}

/// What a life does by the clock.
#[derive(Clone, Copy, Debug)]
struct Calendar {
    /// When it begins.
    start: &'static str,
    /// Lines below `[[source]]`.
    schedules: &'static str,
    /// Lines below `[source.eligibility]`.
    dates: &'static str,
}

struct Life {
    /// None for a life by files only.
    calendar: Option<Calendar>,
    script: Script,
    faults: Vec<Rule>,
    acts: Vec<(When, Act)>,
    truth: Truth,
    /// Exports that lie filed at the end, at least and at most. An approved one lies there twice, once as held; and once more
    /// for each approval that was cut before it was recorded.
    exports: RangeInclusive<usize>,
}

/// The API behind a plug that `Stop::Early` pulls.
#[derive(Debug)]
struct Plugged {
    api: InMemory,
    store: Arc<OnceLock<Mutex<Option<Store>>>>,
    is_pulled: bool,
    /// The call at which the daemon stops, counted from 0, and whether its answer still arrives.
    last: Option<(u64, bool)>,
    calls: AtomicU64,
    is_over: Arc<AtomicBool>,
}

impl Plugged {
    fn through<'a, T: 'a>(&'a self, call: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let is_dead = self.is_pulled && with(&self.store, |store| store.stopped().0 == 0).unwrap_or(false);
            let number = self.calls.fetch_add(1, Ordering::SeqCst);
            match self.last {
                Some((last, false)) if last <= number => self.is_over.store(true, Ordering::SeqCst),
                Some((last, true)) if last <= number => {
                    if last == number {
                        drop(call.await);
                        self.is_over.store(true, Ordering::SeqCst);
                    }
                }
                _ if is_dead => {}
                _ => return call.await,
            }
            std::future::pending().await
        })
    }
}

fn with<T>(store: &OnceLock<Mutex<Option<Store>>>, look: impl FnOnce(&Store) -> T) -> Option<T> {
    store.get().and_then(|store| store.lock().unwrap().as_ref().map(look))
}

impl MemberSync for Plugged {
    fn submit<'a>(&'a self, group: &'a GroupId, members: Arc<Vec<Entry>>) -> Answer<'a, Accepted> {
        self.through(self.api.submit(group, members))
    }
    fn results<'a>(&'a self, group: &'a GroupId, request: &'a RequestId) -> Answer<'a, Progress> {
        self.through(self.api.results(group, request))
    }
    fn groups(&self) -> Answer<'_, Vec<Group>> {
        self.through(self.api.groups())
    }
    fn group<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Group> {
        self.through(self.api.group(group))
    }
    fn create_group<'a>(&'a self, reference: &'a GroupRef, name: &'a str) -> Answer<'a, Group> {
        self.through(self.api.create_group(reference, name))
    }
    fn update_group<'a>(
        &'a self,
        group: &'a GroupId,
        name: Option<&'a str>,
        reference: Option<&'a GroupRef>,
    ) -> Answer<'a, Group> {
        self.through(self.api.update_group(group, name, reference))
    }
    fn plans(&self) -> Answer<'_, Vec<Plan>> {
        self.through(self.api.plans())
    }
}

/// What outlives a daemon.
struct World<'a> {
    inbox: &'a Path,
    config: Arc<Config>,
    sandbox: Sandbox,
    clock: Clock,
    acts: std::collections::VecDeque<(When, Act)>,
    ticks: u32,
}

impl World<'_> {
    /// One daemon, from its start to its end: `true` when everything was done, `false` when it was stopped after `writes`.
    async fn daemon(&mut self, writes: u64, stop: Stop) -> bool {
        let slot = Arc::new(OnceLock::new());
        let api = Plugged {
            api: self.sandbox.in_memory(),
            store: Arc::clone(&slot),
            is_pulled: stop == Stop::Early && writes != u64::MAX,
            last: (stop.is_of_calls() && writes != u64::MAX).then_some((writes, stop == Stop::Answer)),
            calls: AtomicU64::new(0),
            is_over: Arc::new(AtomicBool::new(false)),
        };
        let is_over = Arc::clone(&api.is_over);
        {
            let (is_over, slot) = (Arc::clone(&is_over), Arc::clone(&slot));
            let steps = if stop == Stop::Inbox { writes } else { u64::MAX };
            Spool::stop_after(self.inbox, steps, move || {
                is_over.store(true, Ordering::SeqCst);
                with(&slot, |store| store.stop_after(0));
            });
        }
        let outside = Outside { api: Arc::new(api), clock: self.clock.clone() };
        let opened = Arc::clone(&slot);
        let ready = move |store: &Store| {
            store.stop_after(if stop.is_of_calls() || stop == Stop::Inbox { u64::MAX } else { writes });
            opened.set(Mutex::new(Some(store.clone()))).unwrap();
        };
        let mut tasks = JoinSet::new();
        let config = Arc::clone(&self.config);
        tasks.spawn(async move { daemon::run(config, outside, ready, CancellationToken::new()).await });
        let mut asked: JoinSet<()> = JoinSet::new();
        let mut quiet = 0;
        let is_done = loop {
            tokio::time::sleep(TICK).await;
            self.ticks += 1;
            assert!(
                self.ticks < MOST_TICKS,
                "the life never ends: {:?} under way, {:?}, after {writes} ({stop:?})",
                life::left_lying(self.inbox),
                with(&slot, life::runs)
                    .map(|runs| runs.into_iter().map(|run| (run.run, run.state)).collect::<Vec<_>>())
            );
            if let Some(ended) = tasks.try_join_next() {
                // Stopped at the very start.
                if is_over.load(Ordering::SeqCst) {
                    break false;
                }
                panic!("the daemon ended: {ended:?}");
            }
            while asked.try_join_next().is_some() {}
            let Some((left, has_refused)) = with(&slot, Store::stopped) else { continue };
            if has_refused || (stop == Stop::Early && left == 0) || is_over.load(Ordering::SeqCst) {
                break false;
            }
            let is_quiet = asked.is_empty() && with(&slot, |store| life::is_quiet(store, self.inbox)).unwrap();
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if self.is_next_due(QUIET <= quiet) {
                quiet = 0;
                let store = slot.get().unwrap().lock().unwrap().clone().unwrap();
                self.act(&store, &mut asked);
            } else if self.acts.is_empty() && QUIET <= quiet {
                break true;
            }
        };
        drop(asked);
        tasks.shutdown().await;
        if let Some(slot) = slot.get() {
            slot.lock().unwrap().take();
        }
        self.sandbox.client_died();
        is_done
    }

    fn is_next_due(&self, is_quiet: bool) -> bool {
        match self.acts.front() {
            None => false,
            Some((When::AtOnce, _)) => true,
            Some((When::Requests(count), _)) => *count <= self.sandbox.requests().len(),
            Some((When::Refusals(count), _)) => {
                *count <= self.sandbox.calls().iter().filter(|call| call.status == Some(401)).count()
            }
            Some((When::Quiet, _)) => is_quiet,
            Some((When::Clock(then), _)) => is_quiet && then.parse::<DateTime<Utc>>().unwrap() <= self.clock.now(),
        }
    }

    fn act(&mut self, store: &Store, asked: &mut JoinSet<()>) {
        match self.acts.front().unwrap().1.clone() {
            Act::Drop(name, text) => life::drop_file(self.inbox, name, &text),
            Act::Live => {}
            Act::Vanish(group, id) => assert!(self.sandbox.drop_member(group, id), "{id} is not in {group}"),
            Act::RefuseKey => self.sandbox.accept_only(vec![SecretString::from("vit_apk_another")]),
            Act::Doubt => {
                let sources = self.config.sources.iter().map(|source| source.name.clone());
                if store.mark_doubtful("the state was restored", sources, self.clock.now()).is_err() {
                    return;
                }
            }
            Act::MendKey => self.sandbox.accept_only(vec![SecretString::from(life::KEY)]),
            Act::Revert(file, group) => {
                let runs = life::runs(store);
                let undone = runs.iter().rev().find(|run| run.reverts.is_some());
                let question = match undone {
                    None => {
                        let run = runs.iter().find(|run| run.file.as_ref().is_some_and(|of| of.name == file)).unwrap();
                        let batches = store.batches_of(&run.run).unwrap();
                        let batch = batches.iter().find(|batch| batch.group.as_str() == group).unwrap();
                        Some(Question::Revert { batch: batch.batch.to_string(), reason: "wrong".to_owned() })
                    }
                    Some(held) if held.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold) => {
                        Some(Question::Approve { run: held.run.to_string(), reason: "seen".to_owned() })
                    }
                    Some(_) => None,
                };
                if let Some(question) = question {
                    self.ask(question, asked);
                    return;
                }
            }
            Act::Approve => {
                let runs = life::runs(store);
                let held = runs.iter().rev().find(|run| run.state == RunState::Held);
                let is_approved = runs.iter().any(|run| run.trigger == Trigger::Approve);
                assert!(held.is_some() || is_approved, "nothing is held: {runs:?}");
                if let Some(held) = held {
                    let question = Question::Approve { run: held.run.to_string(), reason: "seen".to_owned() };
                    self.ask(question, asked);
                    return;
                }
            }
        }
        self.acts.pop_front();
    }

    fn ask(&self, question: Question, asked: &mut JoinSet<()>) {
        let socket = self.config.control_socket.clone();
        asked.spawn(async move {
            if let Ok(client) = Client::connect(&socket).await {
                // A refusal, or a daemon that dies over it, is answered by asking again.
                drop(client.ask(&question, None, |_| {}).await);
            }
        });
    }

    /// Waits until nobody holds the store any more.
    async fn store(&self) -> Store {
        loop {
            match Store::open(&self.config.state_dir, &self.config.api.base_url) {
                Ok(store) => return store,
                Err(error) if error.is_in_use() => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes back what happened in the inbox after the last write.
    fn rewind(&self, store: &Store) {
        let filed = life::filed(self.inbox);
        let records: Vec<_> = life::runs(store).iter().map(|run| store.run(&run.run).unwrap().unwrap()).collect();
        let known: Vec<&str> = records.iter().filter_map(|record| record.filed_as.as_deref()).collect();
        // A held file that went to the processed ones: it has the same name there, and the record says where it was.
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (mut moved_on, filed): (Vec<_>, Vec<_>) =
            filed.into_iter().partition(|path| known.iter().any(|known| base(known) == base(path)));
        moved_on.retain(|path| !known.contains(&path.as_str()));
        for path in moved_on {
            let back = known.iter().find(|known| base(known) == base(&path)).unwrap();
            std::fs::rename(self.inbox.join(&path), self.inbox.join(back)).unwrap();
        }
        for record in &records {
            let Some(claimed) = record.filed_as.as_ref().filter(|path| path.starts_with(".rosterd/")) else { continue };
            let sha8 = &record.run.file.as_ref().unwrap().sha256;
            let sha8 = sha8.get(..8).unwrap_or("00000000");
            let moved = filed.iter().find(|path| !known.contains(&path.as_str()) && path.contains(sha8));
            if let (false, Some(moved)) = (self.inbox.join(claimed).exists(), moved) {
                std::fs::rename(self.inbox.join(moved), self.inbox.join(claimed)).unwrap();
            }
        }
        if let Some(last) = records.iter().rfind(|record| record.run.finished_at.is_some()) {
            let receipt = format!("{}.receipt.txt", last.filed_as.as_deref().unwrap_or_default());
            if self.inbox.join(&receipt).exists() {
                std::fs::write(self.inbox.join(receipt), "not over yet\n").unwrap();
            }
        }
    }
}

/// The checked config.
fn config(text: &str) -> Arc<Config> {
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    Arc::new(config::parse(text, "test.toml", &environment).unwrap())
}

/// Lives one life with a stop after `writes`. Answers whether it was needed, and what is wrong at the end.
fn live(life: &Life, writes: u64, stop: Stop) -> (bool, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let calendar = life.calendar.unwrap_or(Calendar { start: "2026-03-02T11:00:00Z", schedules: "", dates: "" });
    let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s").replacen(
        "[source.columns]",
        &format!("{}\n[source.columns]", calendar.schedules),
        1,
    );
    let config = config(&(text + calendar.dates));
    let inbox = dir.path().join("inbox");
    runtime.block_on(async {
        let clock = Clock::simulated(calendar.start.parse().unwrap());
        let sandbox = Sandbox::new(Settings { script: life.script.clone(), clock: clock.clone() });
        for fault in &life.faults {
            sandbox.misbehave(fault.clone()).unwrap();
        }
        let acts = life.acts.iter().cloned().collect();
        let mut world = World { inbox: &inbox, config, sandbox, clock, acts, ticks: 0 };
        let mut was_needed = false;
        if !world.daemon(writes, stop).await {
            was_needed = true;
            let store = world.store().await;
            if stop == Stop::Early {
                world.rewind(&store);
            }
            drop(store);
            let second = if stop == Stop::Twice { 1 + writes % 3 } else { u64::MAX };
            if !world.daemon(second, stop).await {
                drop(world.store().await);
                assert!(world.daemon(u64::MAX, stop).await);
            }
        }
        let store = world.store().await;
        (was_needed, life::violations(&store, &inbox, &world.sandbox, &life.truth, life.exports.clone()))
    })
}

/// Stops the life after every write; a second time as well after every fourth.
fn stop_everywhere(name: &str, life: &Life) {
    let mut wrong = Vec::new();
    let mut points = 0;
    for stop in [Stop::Late, Stop::Early, Stop::Twice, Stop::Call, Stop::Answer, Stop::Inbox] {
        let step = match stop {
            Stop::Late | Stop::Early | Stop::Inbox => 1,
            // Most calls lie right beside a write; `ROSTERD_STOPS=all` stops at each of them.
            Stop::Call | Stop::Answer if std::env::var_os("ROSTERD_STOPS").is_some() => 1,
            Stop::Twice | Stop::Call | Stop::Answer => 4,
        };
        // Others than those that the writes next to them would give.
        let first = match stop {
            Stop::Late | Stop::Early | Stop::Twice | Stop::Inbox => 0,
            Stop::Call => 2.min(step as u64 - 1),
            Stop::Answer => 1.min(step as u64 - 1),
        };
        for writes in (first..MOST_WRITES).step_by(step) {
            let (was_needed, violations) = live(life, writes, stop);
            points += u32::from(was_needed);
            wrong.extend(violations.into_iter().map(|what| format!("{stop:?} after {writes}: {what}")));
            if !was_needed {
                break;
            }
            assert!(writes + 4 < MOST_WRITES, "the life writes without end");
        }
    }
    println!("{name}: {points} stops");
    assert!(wrong.is_empty(), "{name}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn quick() -> Script {
    let millis = Duration::from_millis;
    Script { latency: millis(5), delay: millis(200), ..Script::default() }
}

fn with_last_name(people: &[Person], id: &str, name: &str) -> Vec<Person> {
    let mut people = people.to_vec();
    let person = people.iter_mut().find(|person| person.id == id);
    name.clone_into(&mut person.unwrap().last_name);
    people
}

#[test]
fn a_first_sync_survives_a_stop_after_every_write() {
    let people = life::people(3, 4);
    let acts = vec![(When::AtOnce, Act::Drop("day1.csv", life::csv(&people)))];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&people), exports: 1..=1 };
    stop_everywhere("first sync", &life);
}

#[test]
fn adds_changes_terminations_and_absences_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 6);
    let mut day2 = with_last_name(&day1, "E1001", "Baker");
    day2.iter_mut().find(|person| person.id == "E2001").unwrap().is_terminated = true;
    day2.retain(|person| person.id != "E1002");
    day2.push(life::person(2, 7));
    let day3 = with_last_name(&day2, "E1003", "Cook");
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Quiet, Act::Drop("day3.csv", life::csv(&day3))),
    ];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&day3), exports: 3..=3 };
    stop_everywhere("changed days", &life);
}

#[test]
fn newer_files_while_older_ones_are_under_way_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 4);
    let mut day2 = with_last_name(&day1, "E1001", "Baker");
    day2.iter_mut().find(|person| person.id == "E2003").unwrap().is_terminated = true;
    let mut day3 = with_last_name(&with_last_name(&day2, "E1001", "Cook"), "E2002", "Dyer");
    // Who was terminated the day before is left out: that is no first absence.
    day3.retain(|person| person.id != "E2003");
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Requests(1), Act::Drop("day2.csv", life::csv(&day2))),
        (When::Requests(2), Act::Drop("day3.csv", life::csv(&day3))),
    ];
    let script = Script { delay: Duration::from_secs(3), ..quick() };
    let life = Life { script, faults: vec![], acts, calendar: None, truth: life::truth(&day3), exports: 3..=3 };
    stop_everywhere("newer files", &life);
}

#[test]
fn a_rejected_file_survives_a_stop_after_every_write() {
    let people = life::people(1, 3);
    let acts = vec![
        (When::AtOnce, Act::Drop("broken.csv", "Employee ID,First\nE1,Sam\n".to_owned())),
        (When::Quiet, Act::Drop("day1.csv", life::csv(&people))),
    ];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&people), exports: 2..=2 };
    stop_everywhere("rejected", &life);
}

#[test]
fn a_held_file_and_its_approval_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 6);
    // Everybody has another name: held as a whole until somebody has looked.
    let mut day2 = day1.clone();
    for person in &mut day2 {
        "Baker".clone_into(&mut person.last_name);
    }
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Quiet, Act::Approve),
    ];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&day2), exports: 3..=5 };
    stop_everywhere("held", &life);
}

#[test]
fn a_doubt_and_its_approval_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 4);
    let mut day2 = with_last_name(&day1, "E1001", "Baker");
    day2.push(life::person(2, 5));
    let day3 = with_last_name(&day2, "E1002", "Cook");
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Doubt),
        (When::AtOnce, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Quiet, Act::Approve),
        (When::Quiet, Act::Drop("day3.csv", life::csv(&day3))),
    ];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&day3), exports: 4..=6 };
    stop_everywhere("doubt", &life);
}

#[test]
fn a_revert_and_its_approval_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 6);
    // Four are left out and one has another name: to undo it adds four again, and holds nobody.
    let mut day2 = with_last_name(&day1, "E1001", "Baker");
    for id in ["E1004", "E1005", "E1006"] {
        day2.iter_mut().find(|person| person.id == id).unwrap().is_terminated = true;
    }
    // Who joined since is held until somebody has looked.
    let mut day3 = day2.clone();
    day3.push(life::person(1, 7));
    day3.push(life::person(2, 7));
    let mut end = day1.clone();
    end.push(life::person(2, 7));
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Quiet, Act::Drop("day3.csv", life::csv(&day3))),
        (When::Quiet, Act::Revert("day2.csv", "acme-d1")),
    ];
    let life = Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&end), exports: 3..=3 };
    stop_everywhere("revert", &life);
}

#[test]
fn lost_answers_survive_a_stop_after_every_write() {
    let day1 = life::people(2, 4);
    let day2 = with_last_name(&day1, "E1001", "Baker");
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Requests(1), Act::Drop("day2.csv", life::csv(&day2))),
    ];
    let faults = vec![
        Rule::new(On::Create, Fault::AcceptThenReset),
        Rule::new(On::Submit, Fault::AcceptThenReset),
        Rule::new(On::Submit, Fault::AcceptThen502).nth(3),
        Rule::new(On::Submit, Fault::Forget).nth(4),
    ];
    let life = Life { script: quick(), faults, acts, calendar: None, truth: life::truth(&day2), exports: 2..=2 };
    stop_everywhere("lost answers", &life);
}

#[test]
fn a_refused_key_that_is_mended_survives_a_stop_after_every_write() {
    let day1 = life::people(2, 3);
    let day2 = with_last_name(&with_last_name(&day1, "E1001", "Baker"), "E2001", "Cook");
    let acts = vec![
        (When::AtOnce, Act::RefuseKey),
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Refusals(1), Act::MendKey),
        (When::Requests(1), Act::RefuseKey),
        (When::Refusals(3), Act::MendKey),
        (When::Quiet, Act::RefuseKey),
        (When::AtOnce, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Refusals(5), Act::MendKey),
    ];
    let life =
        Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(&day2), exports: 2..=2 };
    stop_everywhere("refused key", &life);
}

fn with_division(people: &[Person], id: &str, division: &str) -> Vec<Person> {
    let mut people = people.to_vec();
    let person = people.iter_mut().find(|person| person.id == id);
    division.clone_into(&mut person.unwrap().division);
    people
}

fn with_plan(people: &[Person], id: &str, plan: &'static str) -> Vec<Person> {
    let mut people = people.to_vec();
    people.iter_mut().find(|person| person.id == id).unwrap().plan = plan;
    people
}

/// Two exports, the second after the first has come true.
fn two_days(day1: &[Person], day2: &[Person]) -> Life {
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(day2))),
    ];
    Life { script: quick(), faults: vec![], acts, calendar: None, truth: life::truth(day2), exports: 2..=2 }
}

#[test]
fn a_move_beside_other_changes_survives_a_stop_after_every_write() {
    let day1 = life::people(2, 4);
    let day2 = with_last_name(&with_last_name(&day1, "E1001", "Baker"), "E2002", "Cook");
    let mut day2 = with_division(&day2, "E1001", "d2");
    day2.push(life::person(2, 7));
    stop_everywhere("move", &two_days(&day1, &day2));
}

#[test]
fn a_swap_survives_a_stop_after_every_write() {
    let day1 = life::people(2, 3);
    let day2 = with_division(&with_division(&day1, "E1001", "d2"), "E2001", "d1");
    stop_everywhere("swap", &two_days(&day1, &day2));
}

#[test]
fn a_circle_of_three_groups_survives_a_stop_after_every_write() {
    let day1 = life::people(3, 2);
    let day2 = with_division(&with_division(&day1, "E1001", "d2"), "E2001", "d3");
    let day2 = with_division(&day2, "E3001", "d1");
    stop_everywhere("circle", &two_days(&day1, &day2));
}

#[test]
fn a_move_into_a_new_group_survives_a_stop_after_every_write() {
    let day1 = life::people(1, 4);
    stop_everywhere("new group", &two_days(&day1, &with_division(&day1, "E1001", "d2")));
}

/// A second export moves E1001 while the third, which comes when so many rosters were accepted, says something else.
fn newer_between(name: &str, requests: usize, day3: impl FnOnce(&[Person]) -> (Vec<Person>, Vec<Person>)) {
    let day1 = life::people(3, 3);
    let day2 = with_division(&day1, "E1001", "d2");
    let (day3, truth) = day3(&day2);
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Requests(requests), Act::Drop("day3.csv", life::csv(&day3))),
    ];
    let script = Script { delay: Duration::from_secs(3), ..quick() };
    let life = Life { script, faults: vec![], acts, calendar: None, truth: life::truth(&truth), exports: 3..=3 };
    stop_everywhere(name, &life);
}

#[test]
fn a_file_without_the_mover_between_the_two_steps_survives_a_stop_after_every_write() {
    for requests in [4, 5] {
        newer_between("mover missing", requests, |day2| {
            let mut day3 = with_last_name(day2, "E3001", "Baker");
            day3.retain(|person| person.id != "E1001");
            (day3, with_last_name(day2, "E3001", "Baker"))
        });
    }
}

#[test]
fn a_file_that_moves_on_or_back_between_the_two_steps_survives_a_stop_after_every_write() {
    for (requests, division) in [(4, "d3"), (5, "d1")] {
        newer_between(division, requests, |day2| {
            // Somebody changes everywhere, so that no roster is one that was there before.
            let day3 =
                ["E1002", "E2002", "E3002"].iter().fold(day2.to_vec(), |day, id| with_last_name(&day, id, "Cook"));
            let day3 = with_division(&day3, "E1001", division);
            (day3.clone(), day3)
        });
    }
}

#[test]
fn a_file_that_ends_the_movers_coverage_between_the_two_steps_survives_a_stop_after_every_write() {
    newer_between("mover terminated", 4, |day2| {
        let mut day3 = day2.to_vec();
        day3.iter_mut().find(|person| person.id == "E1001").unwrap().is_terminated = true;
        (day3.clone(), day3)
    });
}

#[test]
fn a_new_plan_survives_a_stop_after_every_write() {
    let day1 = life::people(2, 4);
    let day2 = with_last_name(&with_plan(&day1, "E1001", "pln_gold"), "E1002", "Baker");
    stop_everywhere("new plan", &two_days(&day1, &day2));
}

#[test]
fn a_file_between_leaving_and_joining_again_survives_a_stop_after_every_write() {
    let day1 = life::people(1, 4);
    let day2 = with_plan(&day1, "E1001", "pln_gold");
    let mut day3 = with_last_name(&day2, "E1002", "Baker");
    day3.retain(|person| person.id != "E1001");
    let truth = life::truth(&with_last_name(&day2, "E1002", "Baker"));
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&day1))),
        (When::Quiet, Act::Drop("day2.csv", life::csv(&day2))),
        (When::Requests(2), Act::Drop("day3.csv", life::csv(&day3))),
    ];
    let script = Script { delay: Duration::from_secs(3), ..quick() };
    let life = Life { script, faults: vec![], acts, calendar: None, truth, exports: 3..=3 };
    stop_everywhere("plan and newer file", &life);
}

#[test]
fn a_move_through_lost_answers_survives_a_stop_after_every_write() {
    let day1 = life::people(2, 3);
    let day2 = with_division(&with_division(&day1, "E1001", "d2"), "E2001", "d1");
    let faults = vec![
        Rule::new(On::Submit, Fault::AcceptThenReset).nth(3),
        Rule::new(On::Submit, Fault::Forget).nth(5),
        Rule::new(On::Submit, Fault::AcceptThen502).nth(6),
    ];
    stop_everywhere("swap, lost answers", &Life { faults, ..two_days(&day1, &day2) });
}

/// Half a minute before midnight in New York.
const MIDNIGHT: Calendar = Calendar { start: "2026-03-03T04:59:30Z", schedules: "", dates: "" };

/// An export with first and last days, for those who have any.
fn dated(people: &[Person], days: &[(&str, &str, &str)]) -> String {
    let mut text = String::new();
    for (at, line) in life::csv(people).lines().enumerate() {
        let of = |id: &str| line.split(',').next() == Some(id);
        let (hired, left) = match days.iter().find(|(id, _, _)| of(id)) {
            _ if at == 0 => ("Hired", "Left"),
            Some((_, hired, left)) => (*hired, *left),
            None => ("", ""),
        };
        writeln!(text, "{line},{hired},{left}").unwrap();
    }
    text
}

#[test]
fn a_scheduled_recheck_survives_a_stop_after_every_write() {
    let people = life::people(3, 4);
    let days = [("E1002", "", "03/02/2026"), ("E2003", "03/03/2026", "")];
    let calendar =
        Calendar { schedules: "schedule = \"0 0 * * *\"", dates: "start = \"Hired\"\nend = \"Left\"\n", ..MIDNIGHT };
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", dated(&people, &days))),
        (When::Clock("2026-03-03T05:00:10Z"), Act::Live),
    ];
    let stayed: Vec<Person> = people.into_iter().filter(|person| person.id != "E1002").collect();
    let truth = life::truth(&stayed);
    let life = Life { script: quick(), faults: vec![], acts, calendar: Some(calendar), truth, exports: 2..=2 };
    stop_everywhere("re-check", &life);
}

#[test]
fn a_resync_survives_a_stop_after_every_write() {
    let people = life::people(2, 4);
    let calendar = Calendar { schedules: "resync = \"0 0 * * *\"", ..MIDNIGHT };
    let acts = vec![
        (When::AtOnce, Act::Drop("day1.csv", life::csv(&people))),
        (When::Quiet, Act::Vanish("acme-d1", "E1003")),
        (When::Clock("2026-03-03T05:00:10Z"), Act::Live),
    ];
    let truth = life::truth(&people);
    let life = Life { script: quick(), faults: vec![], acts, calendar: Some(calendar), truth, exports: 1..=1 };
    stop_everywhere("resync", &life);
}
