//! A workbench for the real binary: a sandbox on a socket, a config, an inbox, and the process.
#![allow(dead_code, clippy::allow_attributes, reason = "every test file that shares it uses another part of it")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rosterd::sandbox::script::Script;
use rosterd::sandbox::{Sandbox, http};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What nothing here takes, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "vit_apk_Zq7bench0key0marked";

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "never came: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Deletes a folder into which a daemon may still be writing: what comes between the files and the folder is deleted as well.
pub(crate) fn delete(folder: &Path) {
    until("an end of the folder", || match std::fs::remove_dir_all(folder) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => None,
        Err(error) => panic!("{}: {error}", folder.display()),
    });
}

/// A sandbox on a socket of its own thread.
pub(crate) struct Server {
    pub(crate) sandbox: Sandbox,
    pub(crate) url: String,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    /// Another API in the place of this one.
    pub(crate) fn replace(self, script: Script) -> Self {
        let address = self.url.trim_start_matches("http://").to_owned();
        drop(self);
        Self::start_at(&address, script)
    }

    fn start_at(address: &str, script: Script) -> Self {
        let sandbox = Sandbox::new(script);
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (served, stopped) = (sandbox.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                http::serve(served, listener, stopped.cancelled()).await.unwrap();
            });
        });
        Self { sandbox, url, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the config of a bench says beside its paths.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) give_up_after: &'static str,
    pub(crate) guards: &'static str,
    pub(crate) sources: &'static [&'static str],
    pub(crate) confirm_absence: u32,
    pub(crate) timeout: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self { give_up_after: "1h", guards: "", sources: &["hris"], confirm_absence: 1, timeout: "2s" }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Its output as JSON, one value a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:#?}"))).collect()
    }
}

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) server: Server,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&Settings::default(), Script::default())
    }

    pub(crate) fn with(settings: &Settings, script: Script) -> Self {
        let bench = Self { dir: TempDir::new().unwrap(), server: Server::start(script) };
        bench.write_key(KEY);
        for source in settings.sources {
            std::fs::create_dir_all(bench.inbox_of(source)).unwrap();
        }
        bench.configure(settings);
        bench
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.server.sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn inbox(&self) -> PathBuf {
        self.inbox_of("hris")
    }

    pub(crate) fn inbox_of(&self, source: &str) -> PathBuf {
        self.path("in").join(source)
    }

    pub(crate) fn write_key(&self, key: &str) {
        std::fs::write(self.path("key"), key).unwrap();
        std::fs::set_permissions(self.path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn configure(&self, settings: &Settings) {
        let dir = self.dir.path().display();
        let mut text = format!(
            "state_dir = \"{dir}/state\"\n\
             [api]\nbase_url = \"{url}\"\napi_key_file = \"{dir}/key\"\nrequests_per_second = 1000.0\n\
             connect_timeout = \"{timeout}\"\ntimeout = \"{timeout}\"\n\
             [poll]\nfirst_after = \"20ms\"\nmax_interval = \"200ms\"\nalert_after = \"1s\"\n\
             give_up_after = \"{give_up}\"\n\
             [control]\nsocket = \"{dir}/control.sock\"\n\
             [guards]\n{guards}\n",
            url = self.server.url,
            timeout = settings.timeout,
            give_up = settings.give_up_after,
            guards = settings.guards,
        );
        for source in settings.sources {
            write!(
                text,
                "[[source]]\nname = \"{source}\"\ninbox = \"{dir}/in/{source}\"\nsettle = \"1s\"\nrescan = \"1s\"\n\
                 timezone = \"UTC\"\nconfirm_absence = {absence}\n\
                 [source.format]\ndates = \"ymd\"\n\
                 [source.columns]\nreference_id = \"Id\"\nfirst_name = \"First\"\nlast_name = \"Last\"\n\
                 date_of_birth = \"Born\"\nemail = \"Mail\"\nphone = \"Phone\"\naddress_line_1 = \"Street\"\n\
                 city = \"City\"\nstate = \"State\"\nzipcode = \"Zip\"\n\
                 [source.group]\ncolumn = \"Division\"\nexternal_reference_id = \"{source}-{{value}}\"\ncreate = true\n\
                 [source.plan]\ndefault = \"pln_basic\"\n\
                 [source.eligibility]\nstatus = \"Status\"\ncovered = [\"Active\"]\nterminated = [\"Terminated\"]\n",
                absence = settings.confirm_absence,
            )
            .unwrap();
        }
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        self.command_with("config.toml")
    }

    fn command_with(&self, config: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("ROSTERD_") || name.starts_with("VITABLE_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("CREDENTIALS_DIRECTORY");
        command.arg("-c").arg(self.path(config)).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(self.command().args(args))
    }

    /// A command with another config.
    pub(crate) fn run_with(&self, config: &str, args: &[&str]) -> Said {
        said(self.command_with(config).args(args))
    }

    /// Writes an export outside of the inbox, and gives it to `sync`.
    pub(crate) fn sync(&self, name: &str, text: &str) -> Said {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        self.run(&["--json", "sync", path.to_str().unwrap()])
    }

    /// Drops an export into the inbox.
    pub(crate) fn drop(&self, name: &str, text: &str) {
        std::fs::write(self.inbox().join(name), text).unwrap();
    }

    pub(crate) fn daemon(&self) -> Daemon {
        let daemon = Daemon::start(self.command().arg("run"));
        daemon.hears("ready");
        daemon
    }

    pub(crate) fn history(&self) -> Vec<Value> {
        self.run(&["--json", "history"]).ends_with(0).lines()
    }

    /// Waits for a run of the file that is in one of the states.
    #[track_caller]
    pub(crate) fn run_of(&self, file: &str, states: &[&str]) -> Value {
        until(&format!("{file} in {states:?}"), || {
            self.history()
                .into_iter()
                .find(|run| run["file"]["name"] == file && states.iter().any(|state| run["state"] == *state))
        })
    }

    /// The API's rosters of all groups hold these, and no rule was broken on the way.
    #[track_caller]
    pub(crate) fn holds(&self, group: &str, ids: &[&str]) {
        let stored: BTreeSet<String> = self.sandbox().roster(group).into_keys().collect();
        assert_eq!(stored, ids.iter().map(|id| (*id).to_owned()).collect(), "the roster of {group}");
        assert_eq!(self.sandbox().audit(), []);
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Files below a folder, relative to it, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// A running daemon. Killed when dropped.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (heard, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn hears(&self, text: &str) {
        self.hears_times(text, 1);
    }

    #[track_caller]
    pub(crate) fn hears_times(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(begun.elapsed() < DEADLINE, "{text} was not logged:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> i32 {
        let status = until("the daemon's end", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }

    /// SIGTERM, to the end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let code = self.ended();
        assert_eq!(code, 0, "{}", self.log());
        self.log()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An export in the form of the bench's config.
pub(crate) fn export(people: &[&str]) -> String {
    export_of(people.iter().map(|id| (*id, "east", "Active")))
}

/// An export of people with group and status.
pub(crate) fn export_of<'a>(people: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let mut text = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n".to_owned();
    for (id, group, status) in people {
        writeln!(
            text,
            "{id},Ann,Lee,1980-02-03,{}@corp.example,2155550100,1 Elm St,Erie,PA,16501,{group},{status}",
            id.to_lowercase()
        )
        .unwrap();
    }
    text
}
