//! `sandbox`: a local double of the API, for rehearsals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::sandbox::{Sandbox, Settings, http, script};

use super::{Context, Ending, Failure, render};

/// How the sandbox is served.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Where to listen; loopback only, and port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8900")]
    listen: SocketAddr,
    /// A script (TOML or JSON) with plans, groups, switches and misbehaviour
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

/// `sandbox`.
///
/// # Errors
/// [`Failure`].
pub async fn sandbox(context: &Context, args: SandboxArgs) -> Result<Ending, Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::new(Ending::Usage, "the sandbox listens on loopback only (127.0.0.1 or [::1])"));
    }
    let script = args.script.as_deref().map_or_else(|| Ok(script::Script::default()), read_script)?;
    let plans: Vec<String> = script.plans.iter().map(|plan| format!("{} ({})", plan.id, plan.name)).collect();
    let sandbox = Sandbox::new(Settings { script, clock: Clock::system() });
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::new(Ending::Unavailable, format!("cannot listen on {}: {error}", args.listen)))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let said = if context.screen.is_json() {
        format!("{}\n", serde_json::json!({"schema": crate::report::SCHEMA, "base_url": base_url}))
    } else {
        format!(
            "A sandbox of the API listens at {base_url} until Ctrl-C. Everything in it is forgotten then.\n\
             \n  in the config:  [api] base_url = \"{base_url}\"\n  \
             any key will do: VITABLE_CONNECT_API_KEY=vit_apk_rehearsal\n  plans:          {}\n",
            plans.join(", ")
        )
    };
    render::print(&said)?;
    http::serve(sandbox, listener, ended()).await?;
    Ok(Ending::Done)
}

async fn ended() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

fn read_script(path: &Path) -> Result<script::Script, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Ending::NoInput, format!("cannot read {}: {error}", path.display())))?;
    script::Script::parse(&text, script::Format::of(path))
        .map_err(|error| Failure::new(Ending::Config, format!("{}: {error}", path.display())))
}
