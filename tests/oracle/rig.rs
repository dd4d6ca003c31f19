//! The real code, driven through a history on simulated time: real files in real inboxes, the real store, the real deliverer, and
//! the strict sandbox behind them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone, Utc, Weekday};
use rosterd::api::MemberSync;
use rosterd::clock::Clock;
use rosterd::config::{self, Config, Environment};
use rosterd::control::server::{Answerer, Body};
use rosterd::control::{self, Answer, Question, Refusal};
use rosterd::deliver::{self, Deliverer};
use rosterd::intake::settle::{Ready, Thing};
use rosterd::intake::spool::Spool;
use rosterd::report::{GuardVerdict, RunState, Trigger};
use rosterd::roster::ids::{RunId, SourceName};
use rosterd::sandbox::script::{FailOn, Fault, On, Rule, Script};
use rosterd::sandbox::{Sandbox, Settings};
use rosterd::store::{RunFilter, Store};
use rosterd::sync::recheck::Rechecked;
use rosterd::sync::trust;
use rosterd::sync::{Desk, Job, SyncError};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::export::{Export, Flaw};
use super::history::{Event, FIRST_DAY, History, Manner, Trouble, Wait, befall};
use super::judge::{Approved, Judge, Violation, is_taken_for_another};
use super::people::{self, Company, Person, Standing};
use super::tally::Tally;
use super::watch::{Journal, Slot, Watched};

const KEY: &str = "vit_apk_in_memory";
/// No wait for quiet is longer; what is under way then goes on in the background.
const MOST_PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// Rounds of good files and willing operators after which everything must be right.
const ROUNDS: u64 = 10;

/// Whether rosterd notices that a file ends within the last cell of its last row. It cannot tell that from a file whose last line
/// has no end; it could, where the exports before it had one. Until it does, such files are whole.
const ENDS_SHOW: bool = false;

/// Ends a history at once: what is wrong.
pub(crate) type Step<T = ()> = Result<T, Violation>;

/// What runs, until it is stopped or killed.
struct Process {
    desk: Arc<Desk>,
    /// Passes over no row of an export.
    whole: Arc<Desk>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    asked: JoinSet<Result<Answer, Refusal>>,
    put_off: Vec<Job>,
}

/// Plans an export twice, once passing over what is familiar and once reading all of it: the plans must be the same. Deliveries go on
/// meanwhile, so that only what comes out twice counts.
async fn compare_plans(desk: &Desk, whole: &Desk, job: &Job) -> Step {
    let source = desk.source(&job.source).unwrap();
    let export = control::Export {
        name: job.file.name.clone(),
        source: Some(job.source.clone()),
        as_of: job.as_of,
        modified: job.file.modified,
        size: 0,
    };
    let path = &job.file.path;
    for _ in 0..3 {
        let quick = desk.plan_file(path, &export, &source.name).await;
        let slow = whole.plan_file(path, &export, &source.name).await;
        // Where the API has to be asked it may fail, and a store that was stopped answers nothing.
        let (Ok(quick), Ok(slow)) = (quick, slow) else { return Ok(()) };
        if quick == slow {
            return Ok(());
        }
        let Ok(again) = desk.plan_file(path, &export, &source.name).await else { return Ok(()) };
        if quick == again {
            return Err(Violation::new("P7", format!("{}: {quick:#?}\nand with all rows read {slow:#?}", export.name)));
        }
    }
    Ok(())
}

/// Everything.
pub(crate) struct Rig<'h> {
    history: &'h History,
    home: tempfile::TempDir,
    config: Arc<Config>,
    clock: Clock,
    sandbox: Sandbox,
    slot: Slot,
    journal: Arc<Mutex<Journal>>,
    process: Option<Process>,
    company: Company,
    /// What each source sent, oldest first.
    sent: Vec<Vec<Export>>,
    files: u32,
    judge: Judge,
    pub(crate) tally: Tally,
    day: u64,
    is_verbose: bool,
}

/// A folder on a RAM disk where there is one: histories write much and keep nothing.
fn home() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir()
        && let Ok(home) = tempfile::Builder::new().prefix("rosterd-oracle").tempdir_in(shm)
    {
        return home;
    }
    tempfile::tempdir().unwrap()
}

fn config_text(home: &Path, history: &History) -> String {
    use std::fmt::Write as _;
    let dir = home.display();
    let in_flight = history.shape.in_flight;
    let mut text = format!(
        "state_dir = \"{dir}/state\"\n[api]\nbase_url = \"http://127.0.0.1:9\"\nrequests_per_second = 1000.0\n\
         max_in_flight = {in_flight}\n[poll]\nfirst_after = \"2s\"\nmax_interval = \"15m\"\nalert_after = \"1h\"\n\
         give_up_after = \"6h\"\n[control]\nsocket = \"{dir}/socket\"\n"
    );
    for (number, source) in history.shape.sources.iter().enumerate() {
        let confirm = source.confirm_absence;
        let change = if source.replaces { "replace" } else { "report" };
        write!(
            text,
            "[[source]]\nname = \"s{number}\"\ninbox = \"{dir}/in{number}\"\ndone_marker = true\n\
             confirm_absence = {confirm}\n\
             [source.columns]\nreference_id = \"Employee ID\"\nfirst_name = \"First\"\nlast_name = \"Last\"\n\
             date_of_birth = \"Birth Date\"\nemail = \"Email\"\nphone = \"Phone\"\naddress_line_1 = \"Address\"\n\
             city = \"City\"\nstate = \"State\"\nzipcode = \"Zip\"\n\
             [source.group]\ncolumn = \"Division\"\nexternal_reference_id = \"acme-{{value}}\"\ncreate = true\n\
             [source.plan]\ncolumn = \"Plan\"\nchange = \"{change}\"\n[source.plan.map]\n\"Basic\" = \"pln_basic\"\n\"Gold\" = \"pln_gold\"\n\
             \"Waived\" = \"none\"\n\
             [source.eligibility]\nstatus = \"Status\"\ncovered = [\"Active\"]\nterminated = [\"Terminated\"]\n\
             start = \"Hire Date\"\nend = \"Term Date\"\n"
        )
        .unwrap();
    }
    text
}

/// Lives one history to its end. The first violation ends it.
pub(crate) fn live(history: &History, is_verbose: bool) -> (Tally, Step) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // One at a time, and in order: what two threads race for differs from run to run.
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let begun = Instant::now();
            let mut rig = Rig::new(history, is_verbose);
            rig.tally.spend("making", begun);
            let lived = Box::pin(rig.live()).await;
            rig.end().await;
            (std::mem::take(&mut rig.tally), lived)
        })
    }));
    lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (Tally::default(), Err(Violation::new("P6", format!("panic: {}", text.unwrap_or_default()))))
    })
}

impl<'h> Rig<'h> {
    fn new(history: &'h History, is_verbose: bool) -> Self {
        let home = home();
        fastrand::seed(history.seed);
        let environment: Environment = [("VITABLE_CONNECT_API_KEY", KEY)].into_iter().collect();
        let config = Arc::new(config::parse(&config_text(home.path(), history), "oracle.toml", &environment).unwrap());
        let clock = Clock::simulated(morning(FIRST_DAY));
        let script = Script { seed: history.seed, latency: Duration::from_millis(5), ..Script::default() };
        let sandbox = Sandbox::new(Settings { script, clock: clock.clone() });
        let sources = history.shape.sources.len();
        for source in 0..sources {
            std::fs::create_dir_all(home.path().join(format!("in{source}"))).unwrap();
        }
        let mut judge = Judge::new(history);
        if let Some(group) = history.shape.stranger {
            judge.strangers.insert(people::reference(group));
            judge.once_strange.insert(people::reference(group));
            seed_stranger(&sandbox, history, group);
        }
        Self {
            history,
            home,
            config,
            clock,
            sandbox,
            slot: Slot::default(),
            journal: Arc::default(),
            process: None,
            company: history.company(),
            sent: vec![Vec::new(); sources],
            files: 0,
            judge,
            tally: Tally::default(),
            day: 0,
            is_verbose,
        }
    }

    async fn live(&mut self) -> Step {
        self.start().await?;
        let mut events = self.history.events.iter().peekable();
        for day in 0..self.history.days {
            self.dawn(day).await?;
            while let Some((_, event)) = events.next_if(|(on, _)| *on <= day) {
                self.tally.event(&event.kind());
                self.say(|| format!("day {day}: {event:?}"));
                Box::pin(self.happen(event)).await?;
                self.look().await?;
            }
            self.settle(MOST_PATIENCE).await?;
            self.look().await?;
        }
        Box::pin(self.converge()).await
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            println!("{} {}", self.clock.now().format("%m-%d %H:%M:%S"), what());
        }
    }

    fn today(&self) -> NaiveDate {
        self.clock.now().with_timezone(&chrono_tz::America::New_York).date_naive()
    }

    /// The night passes in one step.
    async fn dawn(&mut self, day: u64) -> Step {
        self.day = day;
        self.tally.days += 1;
        let then = morning(FIRST_DAY + Days::new(day));
        let left = rosterd::clock::until(then, self.clock.now());
        if !left.is_zero() {
            tokio::time::advance(left).await;
            self.settle(Duration::from_secs(1)).await?;
        }
        self.company.today = self.today();
        self.appointments().await
    }

    /// What the clock sets off in a daemon, at six in the morning: dates are looked at again, on Sundays every roster is sent again.
    async fn appointments(&mut self) -> Step {
        let is_sunday = self.today().weekday() == Weekday::Sun;
        for number in 0..self.history.shape.sources.len() {
            self.judge.before_plan(self.clock.now(), &self.sandbox, &self.journal.lock().unwrap());
            let Some(process) = &mut self.process else { return Ok(()) };
            let (desk, source) = (Arc::clone(&process.desk), source(number));
            let kept = if is_sunday {
                desk.resync(&source, self.clock.now()).await.map(|_| None)
            } else {
                desk.recheck(&source).await.map(Some)
            };
            drop(desk);
            match kept {
                Ok(Some(Rechecked::PutOff(job, _))) => process.put_off.push(*job),
                Ok(Some(Rechecked::Passed(run))) => {
                    self.tally.rechecks += 1;
                    self.say(|| format!("  re-check {} is {:?}", run.run, run.state));
                    self.say(|| self.planned(&run.run));
                }
                Ok(Some(Rechecked::NothingDue | Rechecked::Impossible(_)) | None) | Err(SyncError::Api(_)) => {}
                Err(_) if self.is_stopped() => {}
                Err(error) => return Err(Violation::new("P6", format!("an appointment failed: {error}"))),
            }
            self.revive().await?;
        }
        self.settle(MOST_PATIENCE).await?;
        self.look().await
    }

    async fn happen(&mut self, event: &Event) -> Step {
        self.company.today = self.today();
        befall(&mut self.company, event);
        match event {
            Event::Drop { source, into, flaws, wait } => {
                let order = &self.history.shape.sources[*source].order;
                let shown = |flaw: &&Flaw| ENDS_SHOW || !matches!(flaw, Flaw::CutCell(_));
                let flaws: Vec<Flaw> = flaws.iter().filter(shown).cloned().collect();
                let mut export = Export::of(&self.company, *source, order, &flaws, self.clock.now());
                export.is_faithful &= source == into;
                self.sent[*source].push(export.clone());
                self.drop_into(*into, export, *wait).await
            }
            Event::DropOld { source, back, keeps_time, wait } => {
                let sent = &self.sent[*source];
                let Some(old) = sent.len().checked_sub(1 + back).map(|at| &sent[at]) else { return Ok(()) };
                let made = if *keeps_time { old.made } else { self.clock.now() };
                let export = old.again(made, false);
                self.drop_into(*source, export, *wait).await
            }
            Event::DropAgain { source, wait } => {
                let Some(last) = self.sent[*source].last() else { return Ok(()) };
                let export = last.again(self.clock.now(), last.is_faithful);
                self.drop_into(*source, export, *wait).await
            }
            Event::Operate(manner) => Box::pin(self.operate(*manner)).await,
            Event::Retry(group) => {
                self.ask(Question::Retry { group: people::reference(*group) }).await;
                Ok(())
            }
            Event::Trouble { trouble, group, times } => {
                self.trouble(*trouble, *group, *times);
                Ok(())
            }
            Event::FailMember { person, on, times } => {
                let on = [FailOn::Add, FailOn::Remove, FailOn::Update][usize::from(*on)];
                for _ in 0..*times {
                    self.sandbox.fail_next(&self.company.people[*person].id, on, "not today");
                }
                Ok(())
            }
            Event::Block(person) => {
                let record = &self.company.people[*person].record;
                self.sandbox.block_person(&record.email, record.born);
                Ok(())
            }
            Event::RefuseKey => {
                self.sandbox.accept_only(vec![SecretString::from("vit_apk_another")]);
                Ok(())
            }
            Event::Mend => {
                self.mend();
                Ok(())
            }
            Event::Restart => self.restart().await,
            Event::Kill { writes } => {
                if let Some(store) = self.store() {
                    store.stop_after(*writes);
                }
                Ok(())
            }
            Event::Hours(hours) => {
                tokio::time::advance(Duration::from_secs(u64::from(*hours) * 3600)).await;
                self.settle(Duration::from_secs(1)).await
            }
            Event::Hire { .. }
            | Event::LeaveStated(_)
            | Event::LeaveInDays { .. }
            | Event::LeaveSilently(_)
            | Event::Move { .. }
            | Event::Swap(..)
            | Event::Change { .. }
            | Event::ChangePlan { .. }
            | Event::Reuse(_)
            | Event::Renumber(_)
            | Event::Layoff { .. }
            | Event::ListTwice { .. }
            | Event::ListOnce(_)
            | Event::Recruit { .. } => Ok(()),
        }
    }

    fn mend(&self) {
        self.sandbox.behave();
        self.sandbox.accept_only(vec![SecretString::from(KEY)]);
    }

    fn trouble(&self, trouble: Trouble, group: Option<usize>, times: u32) {
        let rule = |on, fault| Rule::new(on, fault).times(times);
        let rule = match trouble {
            Trouble::LosesAnswer => rule(On::Submit, Fault::AcceptThenReset),
            Trouble::LosesAnswer502 => rule(On::Submit, Fault::AcceptThen502),
            Trouble::BrokenJson => rule(On::Submit, Fault::BrokenJson),
            Trouble::Slow => rule(On::Submit, Fault::Slow),
            Trouble::Error500 => rule(On::Any, Fault::Error500),
            Trouble::Html502 => rule(On::Submit, Fault::Html502),
            Trouble::RateLimited => rule(On::Any, Fault::RateLimitedSeconds),
            Trouble::Reset => rule(On::Any, Fault::Reset),
            Trouble::NeverCompletes => rule(On::Submit, Fault::NeverComplete),
            Trouble::Forgets => rule(On::Submit, Fault::Forget),
            Trouble::HidesAtFirst => rule(On::Submit, Fault::HideAtFirst),
            Trouble::PollErrors => rule(On::Poll, Fault::Error503),
            Trouble::NoResults => rule(On::Poll, Fault::NoResults),
            Trouble::WrongGroup => rule(On::Poll, Fault::WrongGroup),
            Trouble::Refuses => rule(On::Submit, Fault::Status).status(422),
            Trouble::LosesCreation => rule(On::Create, Fault::AcceptThenReset),
            Trouble::AddedAndFailed => rule(On::Submit, Fault::AddedAndFailed),
            Trouble::UnknownReference => rule(On::Submit, Fault::UnknownReference),
            Trouble::ListFails => rule(On::List, Fault::Error500),
        };
        let names_group = !matches!(rule.on, On::List | On::Create | On::Plans);
        let rule = match group.filter(|_| names_group) {
            Some(group) => rule.group(&people::reference(group)),
            None => rule,
        };
        self.sandbox.misbehave(rule).unwrap();
    }

    // === files ===

    /// Puts an export into an inbox and passes over it, as intake and the daemon's desk would.
    async fn drop_into(&mut self, into: usize, export: Export, wait: Wait) -> Step {
        self.files += 1;
        self.tally.files += 1;
        let name = format!("{:04}_s{}.csv", self.files, export.of);
        let inbox = self.home.path().join(format!("in{into}"));
        let path = inbox.join(&name);
        std::fs::write(&path, &export.text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(export.made.into()).unwrap();
        drop(file);
        self.judge.dropped(&name, into, export);
        let claimed = claim(&inbox, &name, self.clock.now());
        let job = Job {
            source: source(into),
            file: claimed,
            trigger: Trigger::Watch,
            as_of: None,
            actor: None,
            approval: None,
            again: false,
        };
        self.pass(job).await?;
        match wait {
            Wait::Not => Ok(()),
            Wait::Seconds(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds.into())).await;
                self.revive().await
            }
            Wait::Quiet => self.settle(MOST_PATIENCE).await,
        }
    }

    async fn pass(&mut self, job: Job) -> Step {
        let begun = Instant::now();
        self.judge.before_plan(self.clock.now(), &self.sandbox, &self.journal.lock().unwrap());
        self.tally.spend("snapshots", begun);
        let Some(process) = &self.process else { return Ok(()) };
        let desk = Arc::clone(&process.desk);
        let begun = Instant::now();
        Box::pin(compare_plans(&desk, &process.whole, &job)).await?;
        self.tally.spend("plans compared", begun);
        let begun = Instant::now();
        let passed = tokio::time::timeout(Duration::from_secs(24 * 3600), desk.pass(job.clone())).await;
        self.tally.spend("passes", begun);
        match passed {
            Err(_) => return Err(Violation::new("P6", "a pass over a file does not end".to_owned())),
            Ok(Ok(run)) => {
                self.say(|| format!("  {} is {:?}: {:?}", run.run, run.state, run.reason));
                self.say(|| self.planned(&run.run));
            }
            Ok(Err(SyncError::Api(error))) => {
                self.say(|| format!("  put off: {error}"));
                if let Some(process) = &mut self.process {
                    process.put_off.push(job);
                }
            }
            // A newer file came before a re-check that was put off.
            Ok(Err(SyncError::Overtaken)) => {}
            // The store was stopped: the process is about to be killed. What was claimed is handed over after the start.
            Ok(Err(SyncError::Store(_))) if self.is_stopped() => {}
            Ok(Err(error)) => return Err(Violation::new("P6", format!("a pass failed: {error}"))),
        }
        drop(desk);
        self.revive().await
    }

    /// What the plan of a run does, for whoever reads a history.
    fn planned(&self, run: &RunId) -> String {
        let record = self.store().and_then(|store| store.run(run).ok().flatten());
        let Some(plan) = record.and_then(|record| record.plan) else { return "  no plan".to_owned() };
        let groups = plan.groups.iter().map(|group| {
            let mut told = serde_json::to_value(group).unwrap();
            let is_said = |value: &serde_json::Value| value.as_array().is_none_or(|list| !list.is_empty());
            told.as_object_mut().unwrap().retain(|key, value| key != "reasons" && is_said(value));
            format!("    {told}")
        });
        let held = plan.guards.iter().filter(|guard| guard.verdict != GuardVerdict::Pass);
        groups
            .chain(held.map(|guard| format!("    {:?}: {}: {}", guard.verdict, guard.guard, guard.sum)))
            .collect::<Vec<_>>()
            .join("\n")
    }

    // === the machine ===

    fn store(&self) -> Option<Store> {
        self.slot.lock().unwrap().clone()
    }

    fn is_stopped(&self) -> bool {
        self.store().is_some_and(|store| store.stopped().1)
    }

    /// Kills the process if its store was stopped, and starts another one.
    async fn revive(&mut self) -> Step {
        while self.is_stopped() {
            self.kill().await;
            self.start().await?;
        }
        Ok(())
    }

    async fn kill(&mut self) {
        self.say(|| "  killed".to_owned());
        self.tally.kills += 1;
        if let Some(mut process) = self.process.take() {
            process.asked.shutdown().await;
            process.tasks.shutdown().await;
        }
        // Only now: until its tasks are gone, a roster may still leave, and its batch is looked up.
        self.slot.lock().unwrap().take();
        self.sandbox.client_died();
    }

    async fn restart(&mut self) -> Step {
        if let Some(mut process) = self.process.take() {
            process.stop.cancel();
            let drained = async { while process.tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(Duration::from_secs(3600), drained).await.is_err() {
                return Err(Violation::new("P6", "a stop does not end".to_owned()));
            }
            process.asked.shutdown().await;
        }
        let store = self.slot.lock().unwrap().take();
        if let Some(store) = store.filter(|_| self.tally.restarts.is_multiple_of(2)) {
            // Every other time history goes to the archive, and what is written from then on lies before it.
            let compacted = store.compact();
            if store.stopped().1 {
                // A kill that was to come some writes later came meanwhile.
                self.kill().await;
            } else {
                compacted.map_err(|error| Violation::new("P6", format!("the store cannot be compacted: {error}")))?;
            }
        }
        self.tally.restarts += 1;
        self.start().await
    }

    async fn start(&mut self) -> Step {
        let begun = Instant::now();
        let store = loop {
            match Store::open(&self.config.state_dir, &self.config.api.base_url) {
                Ok(store) => break store,
                Err(error) if error.is_in_use() => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(Violation::new("P6", format!("the store does not open: {error}"))),
            }
        };
        self.tally.spend("opening", begun);
        if let Err(error) = trust::look(&store, &self.config, self.clock.now()) {
            return Err(Violation::new("P6", format!("the store cannot be looked at: {error}")));
        }
        *self.slot.lock().unwrap() = Some(store.clone());
        let api: Arc<dyn MemberSync> = Arc::new(Watched {
            api: self.sandbox.in_memory(),
            sandbox: self.sandbox.clone(),
            clock: self.clock.clone(),
            store: Arc::clone(&self.slot),
            journal: Arc::clone(&self.journal),
        });
        let settings = deliver::Settings { poll: self.config.poll, max_in_flight: self.config.api.max_in_flight };
        let deliverer = Deliverer::new(store.clone(), Arc::clone(&api), self.clock.clone(), settings);
        let new_desk = || {
            let (config, clock) = (Arc::clone(&self.config), self.clock.clone());
            Desk::new(config, store.clone(), Arc::clone(&api), clock, Arc::clone(&deliverer))
        };
        let (desk, whole) = (Arc::new(new_desk()), Arc::new(new_desk().reading_all()));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move {
            // A store that was stopped is found out by whoever looks at it.
            drop(deliverer.run(stopped).await);
        });
        desk.tidy().await;
        desk.sweep_copies().await;
        self.process = Some(Process { desk, whole, stop, tasks, asked: JoinSet::new(), put_off: Vec::new() });
        for into in 0..self.history.shape.sources.len() {
            let inbox = self.home.path().join(format!("in{into}"));
            for file in Spool::open(&inbox).unwrap().claimed().unwrap() {
                let trigger = Trigger::Watch;
                let source = source(into);
                let job = Job { source, file, trigger, as_of: None, actor: None, approval: None, again: false };
                Box::pin(self.pass(job)).await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self) {
        self.slot.lock().unwrap().take();
        if let Some(mut process) = self.process.take() {
            process.asked.shutdown().await;
            process.tasks.shutdown().await;
        }
        for call in self.sandbox.calls() {
            if let Some(fault) = call.fault {
                self.tally.fault(&format!("{fault:?}"));
            }
        }
        self.tally.requests += self.sandbox.requests().len() as u64;
    }

    /// Lets time pass until nothing is left to do, or for so long.
    async fn settle(&mut self, most: Duration) -> Step {
        let begun = Instant::now();
        let settled = self.settle_within(most).await;
        self.tally.spend("settling, passes that were put off included", begun);
        settled
    }

    async fn settle_within(&mut self, most: Duration) -> Step {
        let until = tokio::time::Instant::now() + most;
        let mut step = Duration::from_millis(250);
        loop {
            tokio::time::sleep(step).await;
            self.revive().await?;
            self.retry_put_off().await?;
            self.reap()?;
            let is_busy = self.process.as_ref().is_some_and(|process| {
                let store = &process.desk.store;
                let is_asked = !process.asked.is_empty();
                is_asked
                    || !process.put_off.is_empty()
                    || store.groups_with_work().is_ok_and(|groups| !groups.is_empty())
            });
            if !is_busy || until <= tokio::time::Instant::now() {
                return Ok(());
            }
            step = (step * 2).min(Duration::from_secs(240));
        }
    }

    async fn retry_put_off(&mut self) -> Step {
        let put_off = self.process.as_mut().map(|process| std::mem::take(&mut process.put_off)).unwrap_or_default();
        let (kills, mut put_off) = (self.tally.kills, put_off.into_iter());
        // A process that was killed over one of them finds the others where they lie.
        while let Some(job) = put_off.next().filter(|_| self.tally.kills == kills) {
            self.pass(job).await?;
        }
        Ok(())
    }

    /// A task that panicked is a violation, not something to be waited for.
    fn reap(&mut self) -> Step {
        let Some(process) = &mut self.process else { return Ok(()) };
        while let Some(ended) = process.asked.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                return Err(Violation::new("P6", format!("an answer panicked: {error}")));
            }
        }
        if let Some(ended) = process.tasks.try_join_next()
            && !self.is_stopped()
        {
            return Err(Violation::new("P6", format!("the deliverer ended by itself: {ended:?}")));
        }
        Ok(())
    }

    // === operators ===

    /// Asks as a person would; one who gets no answer in half a minute goes away.
    async fn ask(&mut self, question: Question) {
        self.judge.before_plan(self.clock.now(), &self.sandbox, &self.journal.lock().unwrap());
        let Some(process) = &mut self.process else { return };
        let desk = Arc::clone(&process.desk);
        process.asked.spawn(async move {
            let (progress, _unread) = tokio::sync::mpsc::channel(16);
            desk.answer(question, "operator".to_owned(), Body::File(Path::new("/")), progress).await
        });
        let answered = tokio::time::timeout(Duration::from_secs(30), process.asked.join_next()).await;
        if let Ok(Some(Ok(Err(refusal)))) = answered {
            self.say(|| format!("  refused: {}", refusal.message));
        }
    }

    async fn operate(&mut self, manner: Manner) -> Step {
        let Some(store) = self.store() else { return Ok(()) };
        let mut open = store.runs(&RunFilter { state: Some(RunState::Held), ..RunFilter::default() }, 30).unwrap();
        for number in 0..self.history.shape.sources.len() {
            let last = store.source(&source(number)).unwrap().and_then(|state| state.last_accepted);
            let record = last.and_then(|last| store.run(&last.run).unwrap());
            open.extend(record.map(|record| record.run));
        }
        drop(store);
        for run in open {
            let Some(store) = self.store() else { return Ok(()) };
            let Some(record) = store.run(&run.run).unwrap() else { continue };
            drop(store);
            let approved = Approved::of(&run, record.plan.as_ref(), self.clock.now());
            if approved.ceilings.is_empty() {
                continue;
            }
            let name = run.file.as_ref().map(|file| file.name.clone()).unwrap_or_default();
            let is_right = self.judge.is_faithful(&name);
            let reason = "because".to_owned();
            let id = run.run.to_string();
            match manner {
                Manner::Careless => {}
                Manner::Wise if is_right => {}
                Manner::Wise | Manner::Strict if record.run.state == RunState::Held => {
                    self.say(|| format!("  discard {id}"));
                    self.tally.discards += 1;
                    self.ask(Question::Discard { run: id, reason }).await;
                    self.revive().await?;
                    continue;
                }
                Manner::Wise | Manner::Strict => continue,
            }
            self.say(|| format!("  approve {id}: {:?}", approved.ceilings));
            self.tally.approvals += 1;
            self.judge.approved(approved);
            self.ask(Question::Approve { run: id, reason }).await;
            let newest = self.store().and_then(|store| store.runs(&RunFilter::default(), 1).ok()?.pop());
            if let Some(run) = newest.filter(|run| run.trigger == Trigger::Approve) {
                self.say(|| format!("  approved as {}\n{}", run.run, self.planned(&run.run)));
            }
            self.revive().await?;
            self.settle(MOST_PATIENCE).await?;
        }
        Ok(())
    }

    // === what is held against the truth ===

    async fn look(&mut self) -> Step {
        self.revive().await?;
        let Some(store) = self.store() else { return Ok(()) };
        let is_quiet = store.groups_with_work().unwrap().is_empty();
        let begun = Instant::now();
        self.judge.look(&store, &self.sandbox, &self.journal.lock().unwrap(), &mut self.tally)?;
        self.tally.spend("looks", begun);
        if is_quiet {
            let begun = Instant::now();
            self.judge.at_rest(&store, &self.sandbox, self.today())?;
            self.tally.spend("looks at rest", begun);
        }
        Ok(())
    }

    /// The faults end, good files come, and operators do what they are asked to: then everything must be right.
    async fn converge(&mut self) -> Step {
        self.say(|| "the faults end".to_owned());
        self.mend();
        if let Some(store) = self.store() {
            store.stop_after(u64::MAX);
        }
        for person in &mut self.company.people {
            self.sandbox.unblock_person(&person.record.email, person.record.born);
            person.also_in = None;
        }
        let mut wrong = Vec::new();
        for round in 0..ROUNDS {
            self.dawn(self.history.days + round).await?;
            // HR's file is never quite the same: somebody at the desk moves house.
            for number in 0..self.history.shape.sources.len() {
                let salt = 5_000 + usize::try_from(round).unwrap() * 10 + number;
                let has_row = |person: &&mut Person| person.source == number && person.standing != Standing::Outside;
                if let Some(person) = self.company.people.iter_mut().find(has_row) {
                    person.record.change(people::Part::Street, salt);
                }
                let order = &self.history.shape.sources[number].order;
                let export = Export::of(&self.company, number, order, &[], self.clock.now());
                if !export.rows.is_empty() {
                    self.sent[number].push(export.clone());
                    self.drop_into(number, export, Wait::Quiet).await?;
                }
                self.look().await?;
            }
            Box::pin(self.operate(Manner::Wise)).await?;
            self.look().await?;
            for group in self.paused() {
                self.ask(Question::Retry { group }).await;
            }
            self.settle(Duration::from_secs(2 * 24 * 3600)).await?;
            self.look().await?;
            wrong = self.judge.wrong(&self.company, &self.sandbox, self.store().as_ref(), self.today());
            if wrong.is_empty() && 2 <= round {
                self.tally.rounds += round;
                return self.last_look();
            }
        }
        Err(Violation::new("P3", format!("after {ROUNDS} rounds of good files:\n    {}", wrong.join("\n    "))))
    }

    fn paused(&self) -> Vec<String> {
        let Some(store) = self.store() else { return Vec::new() };
        let groups = store.groups().unwrap();
        groups.into_iter().filter(|group| group.paused.is_some()).map(|group| group.group.to_string()).collect()
    }

    fn last_look(&mut self) -> Step {
        let Some(store) = self.store() else { return Ok(()) };
        let found = store.verify().unwrap();
        if let Some(finding) = found.findings.first() {
            return Err(Violation::new("P4", format!("the records do not fit together: {finding}")));
        }
        let runs = store.runs(&RunFilter::default(), usize::MAX).unwrap();
        for run in &runs {
            self.tally.state(&format!("{:?}", run.state));
            if matches!(run.state, RunState::Delivering | RunState::Received) {
                let text = format!("run {} is {:?} although nothing is left to do", run.run, run.state);
                return Err(Violation::new("P6", text));
            }
        }
        for group in store.groups_with_work().unwrap() {
            let Some(batch) = store.work(&group).unwrap().map(|work| work.batch) else { continue };
            // Whoever left one group and is refused by the other is tried for ever.
            let is_refused = |id: &str| is_taken_for_another(&self.sandbox, id, group.as_str());
            if batch.again == 0 || !batch.moves_in.iter().any(|arrival| is_refused(arrival.reference_id.as_str())) {
                let text = format!("work of {group} is left: {}", serde_json::to_string(&batch).unwrap());
                return Err(Violation::new("P6", text));
            }
        }
        Ok(())
    }
}

fn source(number: usize) -> SourceName {
    SourceName::parse(&format!("s{number}")).unwrap()
}

/// Six in the morning, in New York.
fn morning(day: NaiveDate) -> DateTime<Utc> {
    let local = day.and_hms_opt(6, 0, 0).unwrap();
    chrono_tz::America::New_York.from_local_datetime(&local).unwrap().to_utc()
}

/// Claims a file that settled.
fn claim(inbox: &Path, name: &str, now: DateTime<Utc>) -> rosterd::intake::spool::Claimed {
    let spool = Spool::open(inbox).unwrap();
    let found = spool.list().unwrap().into_iter().find(|found| found.name == name).unwrap();
    let Thing::File(sighting) = found.thing else { panic!("{name} is no file") };
    spool.claim(&Ready { name: found.name, sighting, marker: None }, now).unwrap()
}

/// A group that was in the API before rosterd: its people are there already, and somebody whom nobody here knows.
fn seed_stranger(sandbox: &Sandbox, history: &History, group: usize) {
    let reference = people::reference(group);
    sandbox.add_group(&reference, &people::division(group));
    let ours = history.shape.people.iter().filter(|person| person.group == group && person.is_covered(FIRST_DAY));
    let known = ours.step_by(2).map(|person| (person.id.clone(), person.record.clone()));
    let unknown = [("OLD-1".to_owned(), people::Record::of(7_001)), ("OLD-2".to_owned(), people::Record::of(7_002))];
    for (id, record) in known.chain(unknown) {
        let row = serde_json::json!({
            "reference_id": id,
            "first_name": record.first,
            "last_name": record.last,
            "date_of_birth": record.born.to_string(),
            "email": record.email,
            "phone": record.phone,
            "plan_id": "pln_basic",
            "address": {
                "address_line_1": record.street, "city": record.city, "state": record.state, "zipcode": record.zip,
            },
        });
        sandbox.seed_member(&reference, &row).unwrap();
    }
}

/// How many of something, by name.
pub(crate) type Counts = BTreeMap<String, u64>;
