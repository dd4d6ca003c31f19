//! The real binary in a home of its own, against a sandbox on a real loopback socket.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use rosterd::sandbox::script::{PlanSeed, Script};
use rosterd::sandbox::{Sandbox, http};
use serde_json::Value;
use tokio::sync::oneshot;

/// The plans that every sandbox here has.
const PLANS: [&str; 6] = ["pln_default", "pln_ppo", "pln_hdhp", "pln_hmo", "pln_a", "pln_b"];

/// A home with config, inbox and state, and the API that its config names.
pub(crate) struct World {
    /// The API, to look into.
    pub(crate) sandbox: Sandbox,
    home: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// What the binary said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Both streams, for messages of failed assertions.
    pub(crate) fn all(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }

    /// The lines as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }
}

impl World {
    /// Serves a sandbox and writes the config: `source` is what stands below `[[source]]` with its name and inbox.
    pub(crate) fn new(source: &str) -> Self {
        let plans = PLANS.map(|id| PlanSeed { id: id.to_owned(), name: id.to_owned() }).to_vec();
        let delay = std::time::Duration::from_millis(20);
        let sandbox = Sandbox::new(Script { plans, delay, ..Script::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = sandbox.clone();
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let ended = async { drop(stopped.await) };
                http::serve(served, listener, ended).await.unwrap();
            });
        });
        let home = tempfile::tempdir().unwrap();
        let at = home.path();
        std::fs::create_dir(at.join("inbox")).unwrap();
        let config = format!(
            "state_dir = '{state}'\n\
             [api]\nbase_url = \"http://{address}\"\nrequests_per_second = 1000.0\n\
             [poll]\nfirst_after = \"100ms\"\n\
             [control]\nsocket = '{socket}'\n\
             [[source]]\nname = \"hris\"\ninbox = '{inbox}'\ntimezone = \"America/New_York\"\n{source}",
            state = at.join("state").display(),
            socket = at.join("control.sock").display(),
            inbox = at.join("inbox").display(),
        );
        std::fs::write(at.join("config.toml"), config).unwrap();
        Self { sandbox, home, stop: Some(stop), server: Some(server) }
    }

    /// Runs the binary to its end. Nothing of this process's environment reaches it but the search path, and which rule is off
    /// where the tests are tested.
    pub(crate) fn run(&self, args: &[&dyn AsRef<OsStr>]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_rosterd"))
            .arg("-c")
            .arg(self.home.path().join("config.toml"))
            .args(args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "WITHOUT_RULE"))
            .env("HOME", self.home.path())
            .env("VITABLE_CONNECT_API_KEY", "vit_apk_rehearsal")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// `sync` of one export, as of a day.
    pub(crate) fn sync(&self, file: &Path, as_of: &str) -> Said {
        self.run(&[&"sync", &file, &"--as-of", &as_of])
    }

    /// The newest run in full, as `show --json` has it.
    pub(crate) fn newest_run(&self) -> Value {
        let runs = self.run(&[&"history", &"--json", &"--limit", &"1"]).json();
        let id = runs[0]["run"].as_str().unwrap().to_owned();
        let said = self.run(&[&"show", &id, &"--json"]);
        assert_eq!(said.code, 0, "{}", said.all());
        serde_json::from_str(&said.out).unwrap()
    }

    /// Writes an export beside the inbox, as new as the moment: how old a checkout is must not matter.
    pub(crate) fn export(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// What lies in a folder of the inbox and below it, sorted.
    pub(crate) fn filed(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.home.path().join("inbox").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// The text of the one file in a folder of the inbox whose name ends so.
    pub(crate) fn filed_text(&self, folder: &str, ending: &str) -> String {
        let files = self.filed(folder);
        let mut found = files.iter().filter(|path| path.to_string_lossy().ends_with(ending));
        let path = found.next().unwrap_or_else(|| panic!("no {ending} in {folder}: {files:?}"));
        assert_eq!(found.next(), None, "one {ending} in {folder}");
        std::fs::read_to_string(path).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.server.take().map(JoinHandle::join);
        // A second panic while one unwinds would hide the first.
        if !std::thread::panicking() {
            assert!(!matches!(ended, Some(Err(_))), "the sandbox's server panicked");
        }
    }
}
