//! Power cuts: a daemon keeps its state on ext4 on a loop device and delivers without a pause. It is stopped where it stands, the
//! device is copied as it is at that moment, and the copy is mounted as after a power cut: what only lay in memory is gone. Every fact
//! that somebody may rely on must be in the state then.
//!
//! What those facts are, the API knows: a roster that left was on record before, a poll says that the request id was, and a
//! group's next roster says that the results of the one before were. And the export of every run that is on record must be there: every
//! other cut has the inbox on a disk of its own, whose writes nothing orders with those of the state. In every third the daemon replaces
//! its database by a compact copy all the time.
//!
//! `ROSTERD_CUTS=200` asks for more cuts than the few of a normal test run; `ROSTERD_CUTS_WITHOUT_FILTER=200` makes as many without the
//! filter of system calls (`store::filter`), which shows that the harness finds what it looks for. Both need root, loop devices and
//! `mkfs.ext4`; where these are not to be had, the test says so.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a test says what is wrong by stopping, and what it did"
)]
#![allow(dead_code, reason = "the support is shared, and no test needs all of it")]

#[path = "support/life.rs"]
mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rosterd::config::{self, Environment};
use rosterd::daemon::{self, Outside};
use rosterd::report::Phase;
use rosterd::roster::ids::GroupRef;
use rosterd::sandbox::audit::{CallLog, RequestLog};
use rosterd::sandbox::script::{On, Script};
use rosterd::sandbox::{Sandbox, http};
use rosterd::store::{Store, StoreError, filter};
use rustix::process::{Pid, Signal};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Set for the daemon's process: where its config lies.
const CHILD: &str = "ROSTERD_POWERCUT_CHILD";
/// Set for a daemon that is to do without the filter.
const UNFILTERED: &str = "ROSTERD_POWERCUT_UNFILTERED";
/// Set for a daemon that replaces its database by a compact copy again and again.
const COMPACTING: &str = "ROSTERD_POWERCUT_COMPACTING";
/// Cuts in a normal test run.
const FEW_CUTS: usize = 4;
const DEVICE_BYTES: u64 = 96 * 1024 * 1024;
const GROUPS: usize = 6;
const PER_GROUP: usize = 40;
/// A daemon that was started answers within this.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a cut left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Everything,
    /// A fact is not on record, or records do not fit together.
    Less(String),
    /// The state is refused.
    Nothing(String),
}

/// What stands around a cut.
#[derive(Clone, Copy, Debug)]
struct How {
    has_filter: bool,
    /// The inbox is on a disk of its own.
    has_two_disks: bool,
    is_compacting: bool,
}

// === the device ===

/// An ext4 file system on a loop device. Unmounted and taken off when dropped.
struct Disk {
    device: String,
    mount: PathBuf,
}

fn run(command: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(args).output().map_err(|error| format!("{command}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Disk {
    fn of(image: &Path, mount: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(mount).unwrap();
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()])?;
        let disk = Self { device, mount: mount.to_owned() };
        run("mount", &["-t", "ext4", &disk.device, mount.to_str().unwrap()])?;
        Ok(disk)
    }

    fn empty(image: &Path, mount: &Path) -> Result<Self, String> {
        std::fs::File::create(image).unwrap().set_len(DEVICE_BYTES).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])?;
        Self::of(image, mount)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for attempt in [run("umount", &["-l", self.mount.to_str().unwrap()]), run("losetup", &["-d", &self.device])] {
            if let Err(error) = attempt {
                println!("left behind: {error}");
            }
        }
    }
}

// === the daemon ===

/// Not a test: what the daemon's process does. It ends with the process.
#[test]
#[ignore = "run by the other test, in a process of its own"]
fn daemon_under_power() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    if std::env::var_os(UNFILTERED).is_none() {
        filter::install().unwrap();
    }
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
    let config = Arc::new(config::load(&Path::new(&dir).join("config.toml"), &environment).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outside = Outside::real(&config).unwrap();
    let ready = |store: &Store| {
        println!("ready, durable {}", store.durable());
        if std::env::var_os(COMPACTING).is_some() {
            let store = store.clone();
            std::thread::spawn(move || {
                while let Ok(Some(_)) = store.compact() {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            });
        }
    };
    runtime.block_on(daemon::run(config, outside, ready, CancellationToken::new())).unwrap();
}

struct Daemon {
    child: Child,
}

impl Daemon {
    fn start(dir: &Path, how: How) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "daemon_under_power", "--ignored", "--nocapture"]).env(CHILD, dir);
        if !how.has_filter {
            command.env(UNFILTERED, "1");
        }
        if how.is_compacting {
            command.env(COMPACTING, "1");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.ok().filter(|line| line.contains("ready"))).unwrap();
        assert!(ready.ends_with(&format!("durable {}", how.has_filter)), "{ready}");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Exports without end: every one changes every group.
fn export(number: usize) -> String {
    let mut people = life::people(GROUPS, PER_GROUP);
    for (at, person) in people.iter_mut().enumerate() {
        // The last export that gave them a name: each gives one to a quarter of the people.
        let named = (number + 4 - at % 4) / 4;
        person.last_name = format!("Name{}", char::from(b'a' + u8::try_from(named % 26).unwrap()));
    }
    life::csv(&people)
}

// === one cut ===

/// What the API knows at the moment of the cut.
struct Known {
    requests: Vec<RequestLog>,
    calls: Vec<CallLog>,
}

/// One power cut.
fn cut(how: How, random: &mut fastrand::Rng) -> Result<Left, String> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let disk = Disk::empty(&at("disk"), &at("mount"))?;
    let second = how.has_two_disks.then(|| Disk::empty(&at("second"), &at("second-mount"))).transpose()?;
    let inbox = second.as_ref().map_or(&disk.mount, |second| &second.mount).join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sandbox = Sandbox::new(Script { delay: Duration::from_millis(5), ..Script::default() });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(http::serve(sandbox.clone(), listener, std::future::pending()));
    let usual = disk.mount.join("inbox");
    let text = life::config_text(&disk.mount, &url, "10ms").replace(usual.to_str().unwrap(), inbox.to_str().unwrap());
    std::fs::write(disk.mount.join("config.toml"), text).unwrap();

    let daemon = Daemon::start(&disk.mount, how);
    let is_over = Arc::new(AtomicBool::new(false));
    let dropping = {
        let (inbox, is_over, sandbox) = (inbox, Arc::clone(&is_over), sandbox.clone());
        std::thread::spawn(move || {
            for number in 0.. {
                life::drop_file(&inbox, &format!("day{number}.csv"), &export(number));
                // The next one when this one went out: the daemon is never idle for long.
                let wanted = (number + 1) * GROUPS;
                while sandbox.requests().len() < wanted {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::park_timeout(Duration::from_millis(2));
                }
            }
        })
    };
    // Cut after so many rosters, at some moment before the next.
    let begun = Instant::now();
    let rosters = random.usize(GROUPS..GROUPS * 8);
    while sandbox.requests().len() < rosters {
        assert!(begun.elapsed() < DEADLINE, "{} of {rosters} rosters came", sandbox.requests().len());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    std::thread::park_timeout(Duration::from_micros(random.u64(0..40_000)));
    daemon.signal(Signal::STOP);
    // What arrived before the stop was on record before it left.
    let known = Known { requests: sandbox.requests(), calls: sandbox.calls() };
    std::fs::copy(at("disk"), at("copy")).unwrap();
    if how.has_two_disks {
        std::fs::copy(at("second"), at("second-copy")).unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    drop(daemon);
    dropping.join().unwrap();
    drop((disk, second));

    let copy = Disk::of(&at("copy"), &at("after"))?;
    let second = how.has_two_disks.then(|| Disk::of(&at("second-copy"), &at("second-after"))).transpose()?;
    let inbox = second.as_ref().map_or(&copy.mount, |second| &second.mount).join("inbox");
    Ok(look(&copy.mount.join("state"), &inbox, &url, &known))
}

/// Opens the state that a cut left, and looks for every fact.
fn look(state: &Path, inbox: &Path, url: &str, known: &Known) -> Left {
    let store = match Store::open(state, url) {
        Ok(store) => store,
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Vanished { .. })) => {
            return Left::Nothing(error.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    let mut of_group: BTreeMap<&str, Vec<&RequestLog>> = BTreeMap::new();
    for request in &known.requests {
        of_group.entry(&request.group).or_default().push(request);
    }
    for (group, requests) in of_group {
        let Ok(batches) = store.batches_of_group(&GroupRef::parse(group).unwrap()) else {
            return Left::Less(format!("{group} cannot be read"));
        };
        let of = |request: &RequestLog| {
            let id = request.request_id.as_str();
            batches.iter().find(|batch| batch.request_id.as_ref().is_some_and(|known| known.as_str() == id))
        };
        let Some((last, earlier)) = requests.split_last() else { continue };
        for request in earlier {
            if of(request).is_none_or(|batch| batch.phase != Phase::Completed) {
                return Left::Less(format!("{group}: the results of {} are not on record", request.request_id));
            }
        }
        let is_polled =
            |call: &CallLog| call.on == On::Poll && call.group.as_deref() == Some(group) && last.accepted_at < call.at;
        if known.calls.iter().any(is_polled) && of(last).is_none() {
            return Left::Less(format!("{group}: {} was polled, and is not on record", last.request_id));
        }
        let has_left = batches.iter().filter(|batch| batch.attempts != 0).count();
        if has_left < requests.len() {
            return Left::Less(format!("{group}: {} rosters left, {has_left} are on record", requests.len()));
        }
    }
    let there = digests(inbox);
    for run in life::runs(&store) {
        if run.file.as_ref().is_some_and(|file| !there.contains(&file.sha256)) {
            return Left::Less(format!("{} is on record as {:?}, its export is nowhere", run.run, run.state));
        }
    }
    match store.verify() {
        Ok(report) => report.findings.first().map_or(Left::Everything, |finding| Left::Less(finding.clone())),
        Err(error) => Left::Less(error.to_string()),
    }
}

/// The digests of all files below a folder.
fn digests(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.append(&mut digests(&entry.path()));
        } else {
            found.insert(format!("{:x}", Sha256::digest(std::fs::read(entry.path()).unwrap())));
        }
    }
    found
}

fn number(name: &str) -> Option<usize> {
    let value = std::env::var_os(name)?;
    value.to_str().and_then(|value| value.parse().ok())
}

/// Cuts so many times; counts what was left.
fn cuts(count: usize, has_filter: bool, seed: u64) -> Result<BTreeMap<&'static str, usize>, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found: BTreeMap<&'static str, usize> = BTreeMap::new();
    for number in 0..count {
        let how = How { has_filter, has_two_disks: number % 2 == 1, is_compacting: number % 3 == 2 };
        let left = cut(how, &mut random)?;
        let (kind, detail) = match &left {
            Left::Everything => ("everything was there", ""),
            Left::Less(what) => ("facts were lost", what.as_str()),
            Left::Nothing(why) => ("the state was refused", why.as_str()),
        };
        *found.entry(kind).or_default() += 1;
        if !detail.is_empty() {
            println!("cut {number}: {detail}");
        }
        if has_filter {
            assert_eq!(left, Left::Everything, "ROSTERD_SEED={seed}, {how:?}, cut {number}");
        }
    }
    println!("{count} cuts, filter {}: {found:?}", if has_filter { "on" } else { "off" });
    Ok(found)
}

#[test]
fn what_somebody_may_rely_on_survives_a_power_cut() {
    let seed = number("ROSTERD_SEED").map_or_else(|| fastrand::u64(..), |seed| seed as u64);
    println!("ROSTERD_SEED={seed}");
    let with = number("ROSTERD_CUTS").unwrap_or(FEW_CUTS);
    let without = number("ROSTERD_CUTS_WITHOUT_FILTER").unwrap_or(0);
    // Only what cannot begin is not run: a copy that cannot be mounted is a file system that a cut has broken.
    let dir = tempfile::tempdir().unwrap();
    if let Err(why) = Disk::empty(&dir.path().join("disk"), &dir.path().join("mount")) {
        println!("NOT RUN, no power was cut: {why} (it takes root, loop devices and mkfs.ext4)");
        return;
    }
    cuts(with, true, seed).unwrap();
    if without != 0 {
        let found = cuts(without, false, seed).unwrap();
        assert!(1 < found.len() || !found.contains_key("everything was there"), "the harness finds nothing: {found:?}");
    }
}
