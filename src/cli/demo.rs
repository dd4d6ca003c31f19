//! `demo`: the whole way on an example, with nothing set up. A sandbox of the API, a daemon on a watched folder, two days of
//! an export, and what operator and dropper see of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::control::{Answer, HistoryFilter, Question};
use crate::daemon::{self, Outside};
use crate::report::{Run, RunDetail};
use crate::sandbox::{Sandbox, Settings, http, script};

use super::render::{self, Screen};
use super::{Context, Ending, Failure, access, export};

const DAY_1: &str = include_str!("demo/day_1.csv");
const DAY_2: &str = include_str!("demo/day_2.csv");
const CONFIG: &str = include_str!("demo/config.toml");
const SCRIPT: &str = r#"
delay = "200ms"
[[plan]]
id = "pln_gold"
name = "Gold"
[[plan]]
id = "pln_silver"
name = "Silver"
"#;

/// How often the demo looks whether the daemon is done: what a person does not notice.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A demo that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// `demo`.
///
/// # Errors
/// [`Failure`] when something of the way does not work on this machine.
pub async fn demo(_context: &Context) -> Result<Ending, Failure> {
    let home = tempfile::Builder::new().prefix("rosterd-demo-").tempdir()?;
    std::fs::create_dir(home.path().join("inbox"))?;
    let stop = CancellationToken::new();
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let script = script::Script::parse(SCRIPT, script::Format::Toml);
    let script = script.map_err(|error| Failure::new(Ending::Unexpected, error.to_string()))?;
    let sandbox = Sandbox::new(Settings { script, clock: Clock::system() });
    let stopped = stop.clone();
    tasks.spawn(async move { Ok(http::serve(sandbox, listener, async move { stopped.cancelled().await }).await?) });

    let text = CONFIG.replace("{home}", &home.path().display().to_string()).replace("{base_url}", &base_url);
    let environment: Environment = [("VITABLE_CONNECT_API_KEY", "vit_apk_demo")].into_iter().collect();
    let config = Arc::new(crate::config::parse(&text, "the demo's config", &environment)?);
    let outside = Outside::real(&config).map_err(|error| Failure::new(Ending::Unexpected, error.to_string()))?;
    let daemon = daemon::run(Arc::clone(&config), outside, |_| {}, stop.clone());
    tasks.spawn(async move { daemon.await.map_err(|error| Failure::new(Ending::Unexpected, error.to_string())) });

    let shown = tokio::select! {
        shown = tokio::time::timeout(PATIENCE, show(&config, home.path(), &base_url)) => match shown {
            Ok(shown) => shown,
            Err(_) => Err(Failure::new(Ending::Unexpected, "the demo did not come to its end in half a minute")),
        },
        Some(ended) = tasks.join_next() => match ended {
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(())) | Err(_) => Err(Failure::new(Ending::Unexpected, "a part of the demo ended by itself")),
        },
    };
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    shown.map(|()| Ending::Done)
}

async fn show(config: &Arc<Config>, home: &Path, base_url: &str) -> Result<(), Failure> {
    let screen = Screen::new(false);
    let inbox = home.join("inbox");
    say(&format!(
        "rosterd keeps the member rosters of a benefits API in step with the exports of an HR system.\n\
         This demo needs nothing and leaves nothing: a double of the API listens at {base_url},\n\
         and a daemon watches {}.\n",
        inbox.display()
    ))?;

    title("1. HR drops the first export")?;
    let head: Vec<&str> = DAY_1.lines().take(3).collect();
    say(&indented(&head.join("\n")))?;
    say("  | … 9 people in two divisions\n\n")?;
    let first = drop_and_wait(config, &inbox, "employees-monday.csv", DAY_1).await?;
    say(&format!("A second of standing still, and the daemon delivered it: {}.\n", in_a_word(&first.run)))?;

    title("2. The next day's export, looked at before it is sent (rosterd plan)")?;
    let tomorrow = home.join("employees-tuesday.csv");
    std::fs::write(&tomorrow, DAY_2)?;
    say(&plan(config, &screen, &tomorrow).await?)?;

    title("3. HR drops it, and the daemon delivers it (rosterd show)")?;
    let second = drop_and_wait(config, &inbox, "employees-tuesday.csv", DAY_2).await?;
    say(&render::run(&screen, &second))?;

    title("4. What HR finds beside the file (the receipt)")?;
    let filed = second.filed_as.clone().unwrap_or_default();
    let receipt = inbox.join(format!("{filed}.receipt.txt"));
    say(&indented(&std::fs::read_to_string(receipt)?))?;

    title("5. The history (rosterd history)")?;
    let filter = HistoryFilter { limit: 10, ..HistoryFilter::default() };
    if let Answer::Runs(runs) = ask(config, Question::History(filter)).await? {
        say(&render::runs(&screen, &runs))?;
    }

    title("What to do next")?;
    Ok(say("  1. Copy config.example.toml, and name your export's columns in it.\n  \
         2. rosterd -c config.toml check              is the config right, does the API answer?\n  \
         3. rosterd -c config.toml check EXPORT.csv   which rows would be trouble?\n  \
         4. rosterd -c config.toml plan EXPORT.csv    what would change? Sends nothing.\n  \
         5. rosterd -c config.toml run                or the unit in systemd/\n  \
         Rehearse against `rosterd sandbox` first. README.md has the whole way.\n")?)
}

/// Drops an export as a careful tool does, by a rename, and waits until the results of its run are recorded.
async fn drop_and_wait(config: &Arc<Config>, inbox: &Path, name: &str, text: &str) -> Result<Box<RunDetail>, Failure> {
    let part: PathBuf = inbox.join(format!("{name}.part"));
    std::fs::write(&part, text)?;
    std::fs::rename(&part, inbox.join(name))?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let filter = HistoryFilter { limit: 1, ..HistoryFilter::default() };
        let Answer::Runs(runs) = ask(config, Question::History(filter)).await? else { continue };
        let is_its = |run: &&Run| run.file.as_ref().is_some_and(|file| file.name == name) && run.finished_at.is_some();
        let Some(run) = runs.iter().find(is_its) else { continue };
        if let Answer::Run(detail) = ask(config, Question::Show { id: run.run.to_string() }).await?
            && is_receipt_final(inbox, &detail)
        {
            return Ok(detail);
        }
    }
}

/// The receipt is rewritten a moment after the run's end.
fn is_receipt_final(inbox: &Path, detail: &RunDetail) -> bool {
    let receipt = detail.filed_as.as_ref().map(|filed| inbox.join(format!("{filed}.receipt.txt")));
    let text = receipt.and_then(|path| std::fs::read_to_string(path).ok());
    text.is_some_and(|text| text.contains("Finished:"))
}

/// Asks the daemon, which may still be starting.
async fn ask(config: &Arc<Config>, question: Question) -> Result<Answer, Failure> {
    while !config.control_socket.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    access::ask(config, question, None, |_| {}).await
}

async fn plan(config: &Arc<Config>, screen: &Screen, file: &Path) -> Result<String, Failure> {
    let (question, body) = export::open(file, None, None).await?;
    let Answer::Plan(report, counts) = access::ask(config, Question::Plan(question), Some(body), |_| {}).await? else {
        return Err(export::unexpected());
    };
    Ok(render::plan(screen, &report, &counts))
}

fn in_a_word(run: &Run) -> String {
    format!("{} people covered in {} groups, confirmed by the API", run.counts.confirmed, run.batches.len())
}

fn title(text: &str) -> std::io::Result<()> {
    say(&format!("\n=== {text}\n\n"))
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  | {line}")).collect();
    format!("{}\n", lines.join("\n"))
}

fn say(text: &str) -> std::io::Result<()> {
    render::print(text)
}
