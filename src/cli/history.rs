//! `history`, `show`, `status` and `groups`: what is on record.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::clock::Clock;
use crate::control::{Answer, HistoryFilter, Question};
use crate::report::{RunState, SourceStatus, Status};
use crate::roster::ids::{GroupRef, SourceName};

use super::export::unexpected;
use super::{Context, Ending, Failure, access, render};

/// Which runs to list.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Only runs with a batch of this group
    #[arg(long)]
    group: Option<GroupRef>,
    /// Only runs of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only runs in this state (completed, partial, held, rejected, …)
    #[arg(long, value_parser = parse_state)]
    state: Option<RunState>,
    /// Only runs since: a day, a time, or how long ago (7d)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

fn parse_state(word: &str) -> Result<RunState, String> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(|_| {
        "not a state; states are received, planned, held, delivering, completed, partial, failed, rejected, duplicate, \
         unchanged, superseded, discarded"
            .to_owned()
    })
}

/// A point in time as people write it: RFC 3339, a day (UTC), or a span before now.
fn parse_since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let span = humantime::parse_duration(text).ok().and_then(|span| TimeDelta::from_std(span).ok());
    span.and_then(|span| now.checked_sub_signed(span)).ok_or_else(|| {
        Failure::new(
            Ending::Usage,
            format!("--since {text}: neither a time (2026-03-01T06:00:00Z), a day nor a span (7d)"),
        )
    })
}

/// `history`.
///
/// # Errors
/// [`Failure`].
pub async fn history(context: &Context, args: HistoryArgs) -> Result<Ending, Failure> {
    let since = args.since.as_deref().map(|text| parse_since(text, Clock::system().now())).transpose()?;
    let filter = HistoryFilter { group: args.group, source: args.source, state: args.state, since, limit: args.limit };
    let config = context.config()?;
    let Answer::Runs(runs) = access::ask(&config, Question::History(filter), None, |_| {}).await? else {
        return Err(unexpected());
    };
    render::print(&render::runs(&context.screen, &runs))?;
    Ok(Ending::Done)
}

/// `show RUN|BATCH`.
///
/// # Errors
/// [`Failure`].
pub async fn show(context: &Context, id: String) -> Result<Ending, Failure> {
    let config = context.config()?;
    let answer = access::ask(&config, Question::Show { id }, None, |_| {}).await?;
    let text = if let Answer::Run(detail) = &answer {
        render::run(&context.screen, detail)
    } else if let Answer::Batch(detail) = &answer {
        render::batch(&context.screen, detail)
    } else {
        return Err(unexpected());
    };
    render::print(&text)?;
    Ok(Ending::Done)
}

/// `status`. Exits with 5 (a group is paused), 69 (the key is refused), 74 (the state cannot be backed up), 66 (an inbox is in trouble, an expected export did not
/// come, or dates cannot be looked at again because the last one is gone) or 3 (something is held) when something needs a
/// person; the worst of them counts.
///
/// # Errors
/// [`Failure`].
pub async fn status(context: &Context) -> Result<Ending, Failure> {
    let config = context.config()?;
    let Answer::Status(status) = access::ask(&config, Question::Status, None, |_| {}).await? else {
        return Err(unexpected());
    };
    render::print(&render::status(&context.screen, &status, Clock::system().now()))?;
    Ok(status_ending(&status))
}

/// What a script should know of a status, the worst first.
fn status_ending(status: &Status) -> Ending {
    if !status.paused.is_empty() {
        Ending::Incident
    } else if status.daemon.as_ref().is_some_and(|daemon| daemon.key_refused) {
        Ending::Unavailable
    } else if status.backup.as_ref().is_some_and(|backup| backup.trouble.is_some()) {
        Ending::Store
    } else if status.sources.iter().any(lacks_a_file) {
        Ending::NoInput
    } else if status.doubt.is_some() || status.sources.iter().any(|source| !source.held.is_empty()) {
        Ending::Held
    } else {
        Ending::Done
    }
}

/// An inbox in trouble, an export that did not come, or one whose dates are to be looked at and that is gone.
fn lacks_a_file(source: &SourceStatus) -> bool {
    source.inbox_trouble.is_some() || source.overdue_since.is_some() || source.recheck_trouble.is_some()
}

/// `groups …`.
///
/// # Errors
/// [`Failure`].
pub async fn groups(context: &Context, question: Question) -> Result<Ending, Failure> {
    let config = context.config()?;
    let Answer::Groups(groups) = access::ask(&config, question, None, |_| {}).await? else {
        return Err(unexpected());
    };
    render::print(&render::groups(&context.screen, &groups))?;
    Ok(Ending::Done)
}
