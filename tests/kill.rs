//! Kills the real daemon with SIGKILL, again and again, while exports come in; then holds the end to what it must be.
//!
//! When a kill comes follows from a seed: after so many lines of the log, and so many turns of an empty loop. The seed is printed;
//! `ROSTERD_SEED` repeats it, `ROSTERD_KILLS` asks for more kills than the few of a normal test run.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says what is wrong by stopping"
)]

#[path = "support/life.rs"]
mod life;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use life::Person;
use rosterd::sandbox::script::Script;
use rosterd::sandbox::{Sandbox, http};
use rosterd::store::Store;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// From a call to its answer.
const LATENCY: Duration = Duration::from_millis(20);
/// Kills in a normal test run: about half a minute.
const FEW_KILLS: usize = 25;
/// Kills for each export.
const KILLS_PER_EXPORT: usize = 4;
/// A life that logs nothing for so long has nothing to do but wait.
const SILENCE: Duration = Duration::from_millis(600);
/// Silences until a daemon that was left alone must be done.
const MOST_SILENCES: u32 = 80;

/// A running daemon and what it logs.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        // The numbers that tests are given would be settings of the daemon.
        let numbers =
            std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("ROSTERD_"));
        for name in numbers {
            command.env_remove(name);
        }
        let mut child = command
            .args(["--log", "json", "-c"])
            .arg(config)
            .arg("run")
            .env("VITABLE_CONNECT_API_KEY", life::KEY)
            .env("RUST_LOG", "rosterd=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for so many lines, or for silence.
    fn listen(&self, lines: usize) -> Vec<String> {
        let mut heard = Vec::new();
        while heard.len() < lines {
            match self.lines.recv_timeout(SILENCE) {
                Ok(line) => heard.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        heard
    }

    fn kill(mut self, log: &[String]) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the daemon ended by itself: {log:#?}");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The sandbox on a socket.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(runtime: &Runtime, sandbox: &Sandbox, address: impl ToSocketAddrs) -> Self {
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = async { drop(stopped.await) };
        let served = runtime.spawn(http::serve(sandbox.clone(), listener, ended));
        Self { address, stop, served }
    }

    fn stop(self, runtime: &Runtime) {
        drop(self.stop);
        runtime.block_on(self.served).unwrap().unwrap();
    }

    /// The client was killed: what it had under way is accepted or cut, and nothing of it comes later. The rules of the audit begin
    /// afresh for the next client.
    fn outlive_the_client(self, runtime: &Runtime, sandbox: &Sandbox) -> Self {
        let address = self.address;
        self.stop(runtime);
        sandbox.client_died();
        Self::start(runtime, sandbox, address)
    }
}

/// The exports of successive days: every day somebody is new, somebody changes, somebody leaves.
fn days(count: usize) -> Vec<Vec<Person>> {
    let mut people = life::people(5, 12);
    let mut days = Vec::with_capacity(count);
    for day in 0..count {
        days.push(people.clone());
        let group = day % 5 + 1;
        people.retain(|person| !person.is_terminated);
        people.push(life::person(group, 100 + day));
        let names = people.len();
        people[(day * 7) % names].last_name = format!("Name{}", char::from(b'a' + u8::try_from(day % 26).unwrap()));
        let leaver = people.iter().position(|person| person.division == format!("d{}", (day + 2) % 5 + 1)).unwrap();
        people[leaver].is_terminated = true;
    }
    days
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of the program")]
    let value = std::env::var(name);
    value.ok().map(|value| value.parse().unwrap())
}

#[test]
fn a_daemon_that_is_killed_again_and_again_ends_where_it_must() {
    let seed = number("ROSTERD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("ROSTERD_KILLS").map_or(FEW_KILLS, |kills| usize::try_from(kills).unwrap());
    println!("ROSTERD_SEED={seed} ROSTERD_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let script = Script { latency: LATENCY, delay: Duration::from_millis(60), ..Script::default() };
    let sandbox = Sandbox::new(script);
    let mut server = Server::start(&runtime, &sandbox, "127.0.0.1:0");
    let base_url = format!("http://{}", server.address);

    let dir = tempfile::tempdir().unwrap();
    let (config, inbox) = (dir.path().join("config.toml"), dir.path().join("inbox"));
    let text = life::config_text(dir.path(), &base_url, "100ms");
    // The days follow each other within seconds here: over a week's limit somebody leaves in each of them.
    let text = text.replacen("[control]", "[guards]\nrolling_removals = \"off\"\n[control]", 1);
    std::fs::write(&config, text).unwrap();
    let days = days(kills.div_ceil(KILLS_PER_EXPORT).max(3));

    for kill in 0..kills {
        if kill % KILLS_PER_EXPORT == 0 {
            let day = kill / KILLS_PER_EXPORT;
            life::drop_file(&inbox, &format!("day{day}.csv"), &life::csv(&days[day]));
        }
        let daemon = Daemon::start(&config);
        let log = daemon.listen(random.usize(1..30));
        for turn in 0..random.u32(..200_000) {
            std::hint::black_box(turn);
        }
        daemon.kill(&log);
        server = server.outlive_the_client(&runtime, &sandbox);
    }
    for (number, day) in days.iter().enumerate().skip(kills.div_ceil(KILLS_PER_EXPORT)) {
        life::drop_file(&inbox, &format!("day{number}.csv"), &life::csv(day));
    }

    // Left alone, it must come to the end.
    let mut silences = 0;
    let store = loop {
        let daemon = Daemon::start(&config);
        let log = daemon.listen(usize::MAX);
        daemon.kill(&log);
        server = server.outlive_the_client(&runtime, &sandbox);
        let store = Store::open(&dir.path().join("state"), &base_url).unwrap();
        if life::is_quiet(&store, &inbox) {
            break store;
        }
        silences += 1;
        assert!(silences < MOST_SILENCES, "it never ends: {log:#?}");
    };
    let wrong = life::violations(&store, &inbox, &sandbox, &life::truth(days.last().unwrap()), days.len()..=days.len());
    println!("{kills} kills, {} rosters accepted, {} runs", sandbox.requests().len(), life::runs(&store).len());
    assert!(wrong.is_empty(), "ROSTERD_SEED={seed}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
    server.stop(&runtime);
}
