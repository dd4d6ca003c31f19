//! The logger: stderr, for people at a terminal, for the journal, or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::LogFormat;

/// Starts the logger. `RUST_LOG` filters; without it the daemon logs from `info`, commands from `warn`.
pub fn start(format: Option<LogFormat>, is_daemon: bool) {
    let default = if is_daemon { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let is_terminal = std::io::stderr().is_terminal();
    let started = match format {
        Some(LogFormat::Json) => builder.json().flatten_event(true).try_init(),
        // The journal stamps every line itself, and shows colour codes as rubbish.
        None if !is_terminal => builder.with_ansi(false).without_time().try_init(),
        Some(LogFormat::Pretty) | None => builder.with_ansi(is_terminal).try_init(),
    };
    // A second start in one process keeps the first logger.
    drop(started);
}
