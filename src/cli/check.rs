//! `check`: config, key, folders, API, plans and schedules; with a file its rows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::api::MemberSync;
use crate::api::http::HttpApi;
use crate::clock::Clock;
use crate::config::{Config, NO_KEY, Source};
use crate::control::Refusal;
use crate::export::problem::{Severity, likes};
use crate::intake::spool::{Spool, SpoolError};
use crate::report::SCHEMA;
use crate::roster::Reading;
use crate::roster::ids::{PlanId, SourceName};
use crate::sync::examine::{self, ExamineError};

use super::{Context, Ending, Failure, render};

/// How many coming times of a schedule are shown: enough to see a weekday that is off by one.
const TIMES_SHOWN: usize = 3;
/// Problems of a file that are shown; the rest is counted.
const PROBLEMS_SHOWN: usize = 50;

/// Of something that is worth a look, and no reason to stay down.
const WARNING: &str = "WARN";

/// One thing that was looked at.
struct Checked {
    what: String,
    mark: &'static str,
    trouble: Option<Ending>,
    detail: String,
}

impl Checked {
    fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), mark: "ok  ", trouble: None, detail: detail.into() }
    }

    fn doubtful(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), mark: WARNING, trouble: None, detail: detail.into() }
    }

    fn bad(what: impl Into<String>, ending: Ending, detail: impl Into<String>) -> Self {
        Self { what: what.into(), mark: "FAIL", trouble: Some(ending), detail: detail.into() }
    }
}

/// `check [FILE]`.
///
/// # Errors
/// [`Failure`] when the config itself is wrong, with every problem of it.
pub async fn check(
    context: &Context,
    file: Option<&Path>,
    source: Option<SourceName>,
    offline: bool,
) -> Result<Ending, Failure> {
    let config = context.config()?;
    if let Some(file) = file {
        return check_file(context, &config, file, source.as_ref()).await;
    }
    let mut checks = vec![Checked::good("config", context.config.display().to_string())];
    checks.push(match &config.api.key {
        Some(_) => Checked::good("key", config.api.key_origin.clone().unwrap_or_default()),
        None => Checked::bad("key", Ending::Config, NO_KEY),
    });
    checks.push(check_state(&config));
    checks.extend(check_trail(&config));
    for source in &config.sources {
        checks.extend(check_source(source, offline));
    }
    if !offline {
        checks.extend(check_api(&config).await);
    }
    say(context, &checks)?;
    Ok(checks.iter().find_map(|checked| checked.trouble).unwrap_or(Ending::Done))
}

fn check_state(config: &Config) -> Checked {
    let folder = &config.state_dir;
    if folder.is_dir() {
        Checked::good("state", folder.display().to_string())
    } else if folder.parent().is_some_and(Path::is_dir) {
        Checked::good("state", format!("{} will be made", folder.display()))
    } else {
        Checked::bad("state", Ending::Config, format!("{}: neither it nor its parent is there", folder.display()))
    }
}

/// A state that is not there, with exports that were processed: as a rule a disk that is not mounted, or a folder that is lost.
fn check_trail(config: &Config) -> Option<Checked> {
    if ["db", "store.json"].iter().any(|name| config.state_dir.join(name).exists()) {
        return None;
    }
    let source = config
        .sources
        .iter()
        .find(|source| Spool::at(&source.inbox).newest_processed().is_ok_and(|newest| !newest.is_empty()))?;
    Some(Checked::doubtful(
        "state",
        format!(
            "there is none, although exports of {} were processed before: is the file system mounted? Without it the next \
             export of every source is held until a person approves it",
            source.name
        ),
    ))
}

/// Offline is how a service manager asks whether the daemon may start. It may without an inbox, which can be a share that
/// is away: the daemon looks for it every minute and serves the others meanwhile.
fn check_source(source: &Source, offline: bool) -> Vec<Checked> {
    let what = format!("source {}", source.name);
    let mut checks = vec![match Spool::open(&source.inbox) {
        Ok(_) => Checked::good(&what, format!("inbox {}", source.inbox.display())),
        Err(error) if offline => Checked::doubtful(&what, with_cause(&error)),
        Err(error) => Checked::bad(&what, Ending::Config, with_cause(&error)),
    }];
    let schedules = [
        (&source.schedule, "next scheduled"),
        (&source.resync, "next resync"),
        (&source.expect_by, "next export expected by"),
    ];
    for (schedule, label) in schedules {
        let Some(schedule) = schedule else { continue };
        let times = schedule.upcoming(Clock::system().now(), source.timezone, TIMES_SHOWN);
        let times: Vec<String> = times
            .iter()
            .map(|at| at.with_timezone(&source.timezone).format("%a %Y-%m-%d %H:%M %Z").to_string())
            .collect();
        checks.push(Checked::good(&what, format!("{label}: {}", times.join(", "))));
    }
    checks
}

fn with_cause(error: &SpoolError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

async fn check_api(config: &Config) -> Vec<Checked> {
    let what = "API";
    let api = match HttpApi::new(&config.api, Clock::system()) {
        Ok(api) => api,
        Err(error) => return vec![Checked::bad(what, Ending::Config, error.to_string())],
    };
    let plans = match api.plans().await {
        Ok(plans) => plans,
        Err(error) => {
            return vec![Checked::bad(what, Ending::Unavailable, format!("{}: {error}", config.api.base_url))];
        }
    };
    let mut checks = vec![Checked::good(what, format!("{} answers, {} plans", config.api.base_url, plans.len()))];
    let known: BTreeSet<&PlanId> = plans.iter().map(|plan| &plan.id).collect();
    for source in &config.sources {
        let rule = &source.plan;
        let used: BTreeSet<&PlanId> = rule.default.iter().chain(rule.map.values().flatten()).collect();
        for plan in used.difference(&known) {
            let what = format!("source {}", source.name);
            let text = format!("the API has no plan {plan}: everybody with it would fail");
            checks.push(Checked::bad(what, Ending::Config, text));
        }
    }
    checks
}

fn say(context: &Context, checks: &[Checked]) -> std::io::Result<()> {
    if context.screen.is_json() {
        let checks: Vec<_> = checks
            .iter()
            .map(|checked| {
                json!({
                    "check": checked.what, "ok": checked.trouble.is_none(), "warning": checked.mark == WARNING,
                    "detail": checked.detail,
                })
            })
            .collect();
        return render::print(&format!("{}\n", json!({"schema": SCHEMA, "checks": checks})));
    }
    let width = checks.iter().map(|checked| checked.what.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for checked in checks {
        // Writing to a String cannot fail.
        writeln!(text, "{}  {:width$}  {}", checked.mark, checked.what, checked.detail).unwrap_or_default();
    }
    render::print(&text)
}

async fn check_file(
    context: &Context,
    config: &Config,
    file: &Path,
    source: Option<&SourceName>,
) -> Result<Ending, Failure> {
    let source = match (source, config.sources.as_slice()) {
        (Some(name), sources) => sources.iter().find(|source| source.name == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let source = source.ok_or_else(|| Failure::new(Ending::Usage, "say which source it is, with --source"))?;
    let today = Clock::system().now().with_timezone(&source.timezone).date_naive();
    match examine::whole(file, source, today).await {
        Ok(examined) => {
            say_reading(context, &examined.reading)?;
            let Some(broken) = examine::unusable(&examined.reading) else { return Ok(Ending::Done) };
            Err(Failure::new(Ending::Rejected, format!("rejected: {}", broken.message)))
        }
        Err(ExamineError::Broken(broken)) => {
            let refusal = Refusal {
                kind: crate::control::RefusalKind::Rejected,
                message: format!("rejected: {}", broken.message),
            };
            Err(refusal.into())
        }
        Err(ExamineError::Read(error)) => {
            Err(Failure::new(Ending::NoInput, format!("cannot read {}: {error}", file.display())))
        }
    }
}

fn say_reading(context: &Context, reading: &Reading) -> std::io::Result<()> {
    let covered = reading.people.iter().filter(|person| person.member().is_some()).count();
    if context.screen.is_json() {
        let object = json!({
            "schema": SCHEMA, "rows": reading.rows, "invalid_rows": reading.invalid_rows, "people": reading.people.len(),
            "covered": covered, "groups": reading.groups.keys().collect::<Vec<_>>(), "problems": reading.problems,
        });
        return render::print(&format!("{object}\n"));
    }
    let mut text = format!(
        "{} rows, {} people, {covered} of them covered, {} groups; {} rows cannot be used\n",
        reading.rows,
        reading.people.len(),
        reading.groups.len(),
        reading.invalid_rows
    );
    let (errors, warnings): (Vec<_>, Vec<_>) =
        reading.problems.iter().partition(|problem| problem.code.severity() == Severity::Error);
    let errors = errors.into_iter().map(|problem| {
        let column = problem.column.as_ref().map(|column| format!(", {column}")).unwrap_or_default();
        let who = problem.reference_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        let place = if problem.line == 0 { "file".to_owned() } else { format!("line {}", problem.line) };
        format!("{place}{column}{who}: {}", problem.message)
    });
    let warnings = likes(warnings);
    let warnings = warnings.iter().map(render::warning);
    for (title, problems) in [("Cannot be used:", errors.collect::<Vec<_>>()), ("Used, but:", warnings.collect())] {
        if problems.is_empty() {
            continue;
        }
        writeln!(text, "\n{title}").unwrap_or_default();
        for problem in problems.iter().take(PROBLEMS_SHOWN) {
            writeln!(text, "  {problem}").unwrap_or_default();
        }
        if PROBLEMS_SHOWN < problems.len() {
            let more = problems.len() - PROBLEMS_SHOWN;
            writeln!(text, "  … and {more} more; --json lists all").unwrap_or_default();
        }
    }
    render::print(&render::safe(&text))
}
