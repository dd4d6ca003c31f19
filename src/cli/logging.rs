//! The logger: stderr, for people at a terminal, for the journal, or as JSON.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::LogFormat;

/// The database traces the records that it writes, byte by byte: people's data, which no filter may let out.
fn is_indiscreet(target: &str, level: Level) -> bool {
    target.split("::").next() == Some("sled") && Level::WARN < level
}

/// Starts the logger. `RUST_LOG` filters; without it the daemon logs from `info`, commands from `warn`.
pub fn start(format: Option<LogFormat>, is_daemon: bool) {
    let default = if is_daemon { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let discreet = filter_fn(|about| !is_indiscreet(about.target(), *about.level()));
    let is_terminal = std::io::stderr().is_terminal();
    let started = match format {
        Some(LogFormat::Json) => builder.json().flatten_event(true).finish().with(discreet).try_init(),
        // The journal stamps every line itself, and shows colour codes as rubbish.
        None if !is_terminal => builder.with_ansi(false).without_time().finish().with(discreet).try_init(),
        Some(LogFormat::Pretty) | None => builder.with_ansi(is_terminal).finish().with(discreet).try_init(),
    };
    // A second start in one process keeps the first logger.
    drop(started);
}

/// Lets a defect say where it is, and nothing of what it met: the message of a panic can quote a record.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            place,
            thread = thread.name(),
            "a defect: what it was about is left out, since it can name people"
        );
    }));
}
