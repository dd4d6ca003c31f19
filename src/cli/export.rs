//! `sync` and `plan`: one export, now.

use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use crate::control::{Answer, Export, Progress, Question};
use crate::deliver::ending::is_incident;
use crate::report::{GuardVerdict, PlanVerdict, RunDetail, RunState};
use crate::roster::ids::SourceName;

use super::{Context, Ending, Failure, access, render};

/// `plan FILE`.
///
/// # Errors
/// [`Failure`].
pub async fn plan(
    context: &Context,
    file: &Path,
    source: Option<SourceName>,
    as_of: Option<NaiveDate>,
) -> Result<Ending, Failure> {
    let config = context.config()?;
    let export = export_of(file, source, as_of)?;
    let answer = access::ask(&config, Question::Plan(export), Some(file), |_| {}).await?;
    let Answer::Plan(report, counts) = answer else { return Err(unexpected()) };
    render::print(&render::plan(&context.screen, &report, &counts))?;
    Ok(match report.verdict {
        PlanVerdict::Apply => Ending::Changes,
        PlanVerdict::Hold => Ending::Held,
        PlanVerdict::Reject => Ending::Rejected,
        PlanVerdict::Unchanged => Ending::Done,
    })
}

/// `sync FILE`.
///
/// # Errors
/// [`Failure`].
pub async fn sync(
    context: &Context,
    file: &Path,
    source: Option<SourceName>,
    as_of: Option<NaiveDate>,
) -> Result<Ending, Failure> {
    let config = context.config()?;
    let export = export_of(file, source, as_of)?;
    let detail = deliver(context, &config, Question::Sync(export), Some(file)).await?;
    render::print(&render::run(&context.screen, &detail))?;
    Ok(ending(&detail))
}

/// Asks a question that leads to batches, and shows their progress.
pub(super) async fn deliver(
    context: &Context,
    config: &std::sync::Arc<crate::config::Config>,
    question: Question,
    file: Option<&Path>,
) -> Result<Box<RunDetail>, Failure> {
    let mut bar = render::ProgressBar::new(&context.screen);
    let answer = access::ask(config, question, file, |moved| match moved {
        Progress::Planned { batches, .. } => bar.planned(batches),
        Progress::Phase { group, phase } => bar.phase(&group, phase),
        Progress::Trouble { group, message } => bar.trouble(&group, &message),
    })
    .await;
    bar.done();
    let Answer::Run(detail) = answer? else { return Err(unexpected()) };
    Ok(detail)
}

/// How a command ends that led to this run.
pub(super) fn ending(detail: &RunDetail) -> Ending {
    let run = &detail.run;
    if detail.batches.iter().any(is_incident) {
        return Ending::Incident;
    }
    let is_held = run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold);
    match run.state {
        RunState::Rejected => Ending::Rejected,
        RunState::Held => Ending::Held,
        // What they held is settled.
        RunState::Discarded | RunState::Superseded => Ending::Done,
        _ if is_held => Ending::Held,
        RunState::Partial | RunState::Failed => Ending::SomeFailed,
        RunState::Received | RunState::Delivering => Ending::TryLater,
        RunState::Planned | RunState::Completed | RunState::Duplicate | RunState::Unchanged => Ending::Done,
    }
}

pub(super) fn export_of(file: &Path, source: Option<SourceName>, as_of: Option<NaiveDate>) -> Result<Export, Failure> {
    let failed = |error: std::io::Error| {
        let ending = if error.kind() == std::io::ErrorKind::NotFound { Ending::NoInput } else { Ending::Unexpected };
        Failure::new(ending, format!("cannot read {}: {error}", file.display()))
    };
    // Looked at before it is opened: opening a named pipe that nobody writes to waits for ever.
    if !std::fs::metadata(file).map_err(failed)?.is_file() {
        return Err(Failure::new(Ending::NoInput, format!("{} is not a file", file.display())));
    }
    // Opened, since a person should learn now that they may not read it.
    let meta = std::fs::File::open(file).and_then(|opened| opened.metadata()).map_err(failed)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let modified: DateTime<Utc> = meta.modified().map_err(failed)?.into();
    Ok(Export { name, source, as_of, modified, size: meta.len() })
}

pub(super) fn unexpected() -> Failure {
    Failure::new(Ending::Unexpected, "the daemon answered something else than was asked: is it of another version?")
}
