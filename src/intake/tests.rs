use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::config::{
    Columns, CoverageEnds, Eligibility, Format, GroupFrom, Grouping, Guards, IdColumns, NameColumns, PlanRule,
    Unmapped,
};
use crate::roster::ids::{GroupRef, SourceName};

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

fn source(inbox: &Path) -> Source {
    let column = || vec!["x".to_owned()];
    Source {
        name: SourceName::parse("hris").unwrap(),
        inbox: inbox.to_owned(),
        files: "*.csv".to_owned(),
        settle: Duration::from_millis(30),
        done_marker: false,
        rescan: Duration::from_millis(100),
        schedule: None,
        resync: None,
        expect_by: None,
        timezone: chrono_tz::Tz::UTC,
        confirm_absence: std::num::NonZeroU32::MIN,
        format: Format::default(),
        columns: Columns {
            reference_id: IdColumns::First(column()),
            name: NameColumns::Full(column()),
            date_of_birth: column(),
            email: column(),
            phone: column(),
            address_line_1: column(),
            address_line_2: column(),
            city: column(),
            state: column(),
            zipcode: column(),
        },
        group: Grouping {
            from: GroupFrom::Fixed(GroupRef::parse("acme").unwrap()),
            create: false,
            map: BTreeMap::new(),
            unmapped: Unmapped::Reject,
        },
        plan: PlanRule::default(),
        eligibility: Some(Eligibility {
            status: None,
            covered: Vec::new(),
            terminated: Vec::new(),
            start: None,
            end: None,
            coverage_ends: CoverageEnds::TerminationDate,
        }),
        guards: Guards {
            removals: None,
            removals_max: None,
            terminations: None,
            rolling_removals: None,
            rolling_window: Duration::ZERO,
            rows_dropped: None,
            invalid_rows: None,
            field_changed: None,
            additions: None,
            identity_changes: None,
            approval_expires: Duration::ZERO,
        },
    }
}

/// A running task, its inbox and everything that comes out of it.
struct Running {
    folder: TempDir,
    arrivals: mpsc::Receiver<Arrival>,
    state: state::Receiver<InboxState>,
    nudge: Arc<Notify>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

struct Setup {
    clock: Clock,
    room: usize,
    last_fired: BTreeMap<String, DateTime<Utc>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { clock: Clock::system(), room: 16, last_fired: BTreeMap::new() }
    }
}

impl Running {
    fn start(change: impl FnOnce(&mut Source)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Setup::default(), change)
    }

    fn start_in(folder: TempDir, setup: Setup, change: impl FnOnce(&mut Source)) -> Self {
        let mut source = source(folder.path());
        change(&mut source);
        let (out, arrivals) = mpsc::channel(setup.room);
        let (shown, state) = state::channel(InboxState::default());
        let (nudge, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let intake = Intake {
            source: Arc::new(source),
            clock: setup.clock,
            last_fired: setup.last_fired,
            out,
            nudge: Arc::clone(&nudge),
            state: shown,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run(intake, stop.clone()));
        Self { folder, arrivals, state, nudge, stop, tasks }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn next(&mut self) -> Arrival {
        soon(self.arrivals.recv()).await.expect("the task ended")
    }

    async fn next_file(&mut self) -> (Claimed, Trigger) {
        match self.next().await {
            Arrival::File(claimed, trigger) => (claimed, trigger),
            Arrival::Scheduled(appointment, at) => panic!("{appointment:?} at {at} instead of a file"),
        }
    }

    async fn until(&mut self, is_it: impl FnMut(&InboxState) -> bool) -> InboxState {
        soon(self.state.wait_for(is_it)).await.unwrap().clone()
    }

    /// Waits for the next look and says how things stand after it.
    async fn next_look(&mut self) {
        let last = self.state.borrow().looked_at;
        self.until(|state| state.looked_at != last).await;
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

fn under_way(folder: &Path) -> usize {
    fs::read_dir(folder.join(".rosterd")).unwrap().count()
}

#[tokio::test]
async fn a_file_is_claimed_once_it_has_stood_still() {
    let mut running = Running::start(|_| {});
    running.until(|state| state.folder == FolderState::Open).await;
    let begun = Instant::now();
    fs::write(running.path("hris.csv"), "id\n1\n").unwrap();
    let (claimed, trigger) = running.next_file().await;
    assert!(Duration::from_millis(30) <= begun.elapsed());

    assert_eq!((claimed.name.as_str(), claimed.size, trigger), ("hris.csv", 5, Trigger::Watch));
    assert_eq!(fs::read_to_string(&claimed.path).unwrap(), "id\n1\n");
}

#[tokio::test]
async fn a_file_is_claimed_by_events_alone_long_before_the_next_rescan() {
    let mut running = Running::start(|source| source.rescan = Duration::from_secs(3600));
    let state = running.until(|state| state.folder == FolderState::Open).await;
    assert_eq!(state.watching, Watching::Events);
    fs::write(running.path("hris.csv"), "id\n").unwrap();
    assert_eq!(running.next_file().await.0.name, "hris.csv");
}

#[tokio::test]
async fn a_file_that_still_grows_is_not_claimed() {
    let mut running = Running::start(|source| {
        source.settle = Duration::from_millis(250);
        source.rescan = Duration::from_millis(30);
    });
    running.until(|state| state.folder == FolderState::Open).await;
    let mut file = File::create(running.path("hris.csv")).unwrap();
    for _ in 0..20 {
        file.write_all(b"a row\n").unwrap();
        running.next_look().await;
        assert!(running.path("hris.csv").exists());
    }
    drop(file);
    assert_eq!(running.next_file().await.0.size, 120);
}

#[tokio::test]
async fn uploads_under_another_name_count_when_they_get_their_own() {
    let mut running = Running::start(|source| source.rescan = Duration::from_secs(3600));
    running.until(|state| state.folder == FolderState::Open).await;
    fs::write(running.path("a.csv.part"), "renamed").unwrap();
    fs::rename(running.path("a.csv.part"), running.path("a.csv")).unwrap();
    assert_eq!(running.next_file().await.0.name, "a.csv");
    // As OpenSSH's server does it.
    fs::write(running.path("b.csv.filepart"), "linked").unwrap();
    fs::hard_link(running.path("b.csv.filepart"), running.path("b.csv")).unwrap();
    fs::remove_file(running.path("b.csv.filepart")).unwrap();
    assert_eq!(running.next_file().await.0.name, "b.csv");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("c.csv"), "moved in").unwrap();
    fs::rename(elsewhere.path().join("c.csv"), running.path("c.csv")).unwrap();
    assert_eq!(running.next_file().await.0.name, "c.csv");
}

#[tokio::test]
async fn with_a_marker_a_file_is_claimed_at_once_and_not_before() {
    let mut running = Running::start(|source| {
        source.done_marker = true;
        source.settle = Duration::from_secs(3600);
    });
    fs::write(running.path("hris.csv"), "id\n").unwrap();
    running.until(|state| state.waiting == 1).await;
    running.next_look().await;
    assert!(running.path("hris.csv").exists());
    fs::write(running.path("hris.csv.done"), "").unwrap();
    assert_eq!(running.next_file().await.0.name, "hris.csv");
    assert!(!running.path("hris.csv.done").exists());
}

#[tokio::test]
async fn what_a_crash_left_under_way_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".rosterd")).unwrap();
    fs::write(folder.path().join(".rosterd/20261005T060000250Z_0000_old.csv"), "x").unwrap();
    fs::write(folder.path().join("new.csv"), "y").unwrap();
    let mut running = Running::start_in(folder, Setup::default(), |source| source.settle = Duration::ZERO);
    let old = running.next_file().await.0;
    assert_eq!(
        (old.name.as_str(), old.claimed_at.to_rfc3339()),
        ("old.csv", "2026-10-05T06:00:00.250+00:00".to_owned())
    );
    assert_eq!(running.next_file().await.0.name, "new.csv");
    // They are handed over once: a later look does not take what is being worked on for a leftover.
    fs::write(running.path("third.csv"), "z").unwrap();
    assert_eq!(running.next_file().await.0.name, "third.csv");
}

#[tokio::test]
async fn an_inbox_that_is_deleted_and_made_again_is_watched_again() {
    let mut running = Running::start(|_| {});
    running.until(|state| state.folder == FolderState::Open).await;
    // The first look makes folders until it ends; from the second on, only a claim does.
    running.next_look().await;
    fs::remove_dir_all(running.folder.path()).unwrap();
    running.until(|state| state.folder == FolderState::Missing).await;
    fs::create_dir(running.folder.path()).unwrap();
    let state = running.until(|state| state.folder == FolderState::Open).await;
    assert_eq!(state.watching, Watching::Events);
    fs::write(running.path("hris.csv"), "id\n").unwrap();
    assert_eq!(running.next_file().await.0.name, "hris.csv");
}

#[tokio::test]
async fn another_folder_in_the_place_of_the_inbox_is_noticed() {
    let parent = tempfile::tempdir().unwrap();
    let (inbox, aside) = (parent.path().join("inbox"), parent.path().join("aside"));
    fs::create_dir(&inbox).unwrap();
    let mut running = Running::start_in(parent, Setup::default(), |source| source.inbox.clone_from(&inbox));
    running.until(|state| state.folder == FolderState::Open).await;
    fs::rename(&inbox, &aside).unwrap();
    fs::create_dir(&inbox).unwrap();
    fs::write(inbox.join("hris.csv"), "id\n").unwrap();
    let (claimed, _) = running.next_file().await;
    assert!(claimed.path.starts_with(&inbox) && claimed.path.exists());
}

#[tokio::test]
async fn an_inbox_that_is_not_there_yet_is_waited_for() {
    let parent = tempfile::tempdir().unwrap();
    let inbox = parent.path().join("share");
    let mut running = Running::start_in(parent, Setup::default(), |source| source.inbox.clone_from(&inbox));
    running.until(|state| state.folder == FolderState::Missing).await;
    assert!(!inbox.exists());
    fs::create_dir(&inbox).unwrap();
    fs::write(inbox.join("hris.csv"), "id\n").unwrap();
    assert_eq!(running.next_file().await.0.name, "hris.csv");
}

#[tokio::test]
async fn a_storm_of_files_arrives_whole_and_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1000_u64 {
        let file = File::create(folder.path().join(format!("{number:04}.csv"))).unwrap();
        (&file).write_all(b"id\n").unwrap();
        // The last by name is the oldest.
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - number)).unwrap();
    }
    let mut running = Running::start_in(folder, Setup { room: 3, ..Setup::default() }, |_| {});
    for number in (0..1000).rev() {
        assert_eq!(running.next_file().await.0.name, format!("{number:04}.csv"));
    }
    assert_eq!(under_way(running.folder.path()), 1000);
}

#[tokio::test]
async fn no_more_files_are_claimed_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..10 {
        fs::write(folder.path().join(format!("{number}.csv")), "id\n").unwrap();
    }
    let setup = Setup { room: 2, ..Setup::default() };
    let mut running = Running::start_in(folder, setup, |source| source.settle = Duration::ZERO);
    for received in 1..=10 {
        running.next_file().await;
        assert!(under_way(running.folder.path()) <= received + 2);
    }
}

#[tokio::test]
async fn a_file_dropped_during_the_storm_is_not_forgotten() {
    let mut running = Running::start(|source| source.rescan = Duration::from_secs(3600));
    running.until(|state| state.folder == FolderState::Open).await;
    let mut arrived = std::collections::BTreeSet::new();
    for number in 0..300 {
        fs::write(running.path(&format!("{number}.csv")), "id\n").unwrap();
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while arrived.len() < 300 {
        assert!(arrived.insert(running.next_file().await.0.name));
    }
}

#[tokio::test]
async fn links_and_folders_are_shown_as_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.csv")).unwrap();
    fs::create_dir(folder.path().join("older")).unwrap();
    let mut running = Running::start_in(folder, Setup::default(), |_| {});
    let state = running.until(|state| !state.refused.is_empty()).await;
    assert_eq!(state.refused, ["link.csv", "older"]);
    fs::write(running.path("hris.csv"), "id\n").unwrap();
    assert_eq!(running.next_file().await.0.name, "hris.csv");
    assert!(running.path("link.csv").is_symlink());
}

#[tokio::test]
async fn a_look_does_not_lead_to_another_look() {
    let mut running = Running::start(|source| source.rescan = Duration::from_secs(3600));
    running.until(|state| state.folder == FolderState::Open).await;
    running.state.mark_unchanged();
    let quiet = Duration::from_millis(200);
    let mut looks = 0;
    while tokio::time::timeout(quiet, running.state.changed()).await.is_ok() {
        looks += 1;
        assert!(looks < 10, "the task looks again and again");
    }
}

#[tokio::test]
async fn a_person_can_ask_for_a_look() {
    let mut running = Running::start(|source| source.rescan = Duration::from_secs(3600));
    running.until(|state| state.folder == FolderState::Open).await;
    running.nudge.notify_one();
    running.next_look().await;
}

#[tokio::test]
async fn an_appointment_fires_at_its_time_with_its_nominal_time() {
    let clock = Clock::simulated("2026-10-05T05:59:59.900Z".parse().unwrap());
    let last_fired = [("schedule".to_owned(), "2026-10-04T06:00:00Z".parse().unwrap())].into();
    let setup = Setup { clock, last_fired, ..Setup::default() };
    let mut running = Running::start_in(tempfile::tempdir().unwrap(), setup, |source| {
        source.schedule = Some(schedule::Cron::parse("0 6 * * *").unwrap());
        source.rescan = Duration::from_secs(3600);
    });
    let Arrival::Scheduled(appointment, nominal) = running.next().await else { panic!("a file out of nowhere") };
    assert_eq!((appointment, nominal), (Appointment::Recheck, "2026-10-05T06:00:00Z".parse().unwrap()));
    let next = running.until(|state| state.next.is_some()).await.next;
    assert_eq!(next, Some((Appointment::Recheck, "2026-10-06T06:00:00Z".parse().unwrap())));
}

#[tokio::test]
async fn appointments_missed_while_nobody_ran_fire_once_and_after_the_files_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hris.csv"), "id\n").unwrap();
    let last = "2026-10-01T06:00:00Z".parse().unwrap();
    let setup = Setup {
        clock: Clock::simulated("2026-10-05T12:00:00Z".parse().unwrap()),
        last_fired: [("schedule".to_owned(), last), ("expect_by".to_owned(), last)].into(),
        ..Setup::default()
    };
    let mut running = Running::start_in(folder, setup, |source| {
        source.settle = Duration::ZERO;
        source.schedule = Some(schedule::Cron::parse("0 6 * * *").unwrap());
        source.expect_by = Some(schedule::Cron::parse("30 7 * * *").unwrap());
    });
    assert_eq!(running.next_file().await.1, Trigger::Schedule);
    let mut fired = Vec::new();
    for _ in 0..2 {
        match running.next().await {
            Arrival::Scheduled(appointment, at) => fired.push((appointment.key(), at.to_rfc3339())),
            Arrival::File(claimed, _) => panic!("{}", claimed.name),
        }
    }
    assert_eq!(
        fired,
        [("schedule", "2026-10-05T06:00:00+00:00".to_owned()), ("expect_by", "2026-10-05T07:30:00+00:00".to_owned())]
    );
    fs::write(running.path("later.csv"), "id\n").unwrap();
    assert_eq!(running.next_file().await.0.name, "later.csv", "nothing fired twice");
}

#[tokio::test]
async fn the_task_stops_while_it_waits_for_room_and_leaves_the_rest_in_the_inbox() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5 {
        fs::write(folder.path().join(format!("{number}.csv")), "id\n").unwrap();
    }
    let setup = Setup { room: 1, ..Setup::default() };
    let mut running = Running::start_in(folder, setup, |source| source.settle = Duration::ZERO);
    running.until(|state| state.waiting == 5).await;
    running.stop.cancel();
    soon(running.tasks.join_next()).await.unwrap().unwrap();
    let left = (0..5).filter(|number| running.path(&format!("{number}.csv")).exists()).count();
    assert_eq!(left + under_way(running.folder.path()), 5);
    assert!(4 <= left);
}

#[tokio::test]
async fn the_task_ends_when_nobody_takes_what_arrives() {
    let mut running = Running::start(|source| source.settle = Duration::ZERO);
    running.arrivals.close();
    fs::write(running.path("hris.csv"), "id\n").unwrap();
    soon(running.tasks.join_next()).await.unwrap().unwrap();
    assert!(running.path("hris.csv").exists());
}
