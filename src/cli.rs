//! The commands: one verb a file. Arguments come in, an [`Ending`] goes out; [`render`] is the only printer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::NaiveDate;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, Environment};
use crate::control::{Refusal, RefusalKind};
use crate::roster::ids::{GroupRef, SourceName};

pub mod access;
pub mod backup;
pub mod check;
pub mod demo;
pub mod export;
pub mod history;
pub mod logging;
pub mod man;
pub mod release;
pub mod render;
pub mod run;
pub mod sandbox;
pub mod travel;

use render::Screen;

/// Where the config is when nobody says otherwise.
const DEFAULT_CONFIG: &str = "/etc/rosterd/config.toml";

/// Keeps the member rosters of a health-benefits API in step with the employee exports of an HR system.
#[derive(Debug, Parser)]
#[command(name = "rosterd", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Args {
    /// The config file
    #[arg(short, long, global = true, value_name = "FILE", env = "ROSTERD_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print JSON: one object, or one a line for lists
    #[arg(long, global = true)]
    json: bool,
    /// How the log is written to stderr; `RUST_LOG` filters it
    #[arg(long, global = true, value_name = "FORMAT")]
    log: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
   0  done, or nothing to do
   1  unexpected error
   2  plan --detailed-exitcode: there are changes
   3  held by a guard
   4  delivered, some members failed
   5  the results differ from the plan: a removal nobody planned
  64  usage      65  export rejected      66  no such file
  69  API or daemon unavailable           74  state cannot be read or written
  75  try again later                     78  config";

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: watch, schedule, deliver, poll
    Run,
    /// Pass over one export now, up to its recorded results
    Sync(ExportArgs),
    /// Show what an export would change; sends and stores nothing
    Plan {
        #[command(flatten)]
        export: ExportArgs,
        /// Exit with 2 when there are changes
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Check config, key, folders, API, plans and schedules; with FILE its rows
    Check {
        /// An export to look for problems in
        file: Option<PathBuf>,
        /// The source whose config counts
        #[arg(long, value_name = "SOURCE")]
        source: Option<SourceName>,
        /// Do not ask the API
        #[arg(long)]
        offline: bool,
    },
    /// List runs, newest first
    History(history::HistoryArgs),
    /// Show a run or a batch in full
    Show {
        /// A run or batch, or the beginning of its id
        #[arg(value_name = "RUN|BATCH")]
        id: String,
    },
    /// Show how everything stands
    Status,
    /// Show where a person is, and every change that led there
    Member {
        /// The person's reference id, byte-exact
        #[arg(value_name = "REF")]
        reference_id: String,
    },
    /// Show a group's confirmed roster, now or at another time
    Roster {
        /// The group, by external reference id or `grp_` id
        group: String,
        /// When: a time (RFC 3339), or a day for its end (UTC)
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Plan and deliver a group's roster as it was before a batch, through the same guards
    Revert {
        /// The batch, or the beginning of its id
        batch: String,
        /// Why; kept on record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Release what a run holds, as far as it was shown
    Approve(ReleaseArgs),
    /// Drop a held run
    Discard(ReleaseArgs),
    /// List, show, make and rename the API's groups
    Groups {
        #[command(subcommand)]
        command: Option<GroupsCommand>,
    },
    /// Submit a group's desired roster again now
    Retry {
        /// The group, by external reference id or `grp_` id
        group: String,
    },
    /// Write everything on record into one file, consistent, while the daemon runs
    Backup {
        /// The file; an older backup of that name is replaced
        file: PathBuf,
    },
    /// Put a backup in the place of the state; the state that was there is moved aside
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Check every record of the state, or of a backup, against its checksum and the others
    Verify {
        /// The backup; without it the state
        file: Option<PathBuf>,
    },
    /// Serve a local double of the API
    Sandbox(sandbox::SandboxArgs),
    /// Show the whole way on an example, against an in-process sandbox; needs nothing
    Demo,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The export
    file: PathBuf,
    /// The source whose config counts; needed when there are several
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// Look at effective dates as of another day
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<NaiveDate>,
}

#[derive(Debug, clap::Args)]
struct ReleaseArgs {
    /// The run, or the beginning of its id
    run: String,
    /// Why; kept on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Subcommand)]
enum GroupsCommand {
    /// List the API's groups beside what we hold
    List,
    /// Read one group afresh
    Show {
        /// The group, by external reference id or `grp_` id
        group: String,
    },
    /// Make a group
    Create {
        /// Its external reference id
        #[arg(value_name = "REF")]
        group: GroupRef,
        /// Its name
        #[arg(long)]
        name: String,
    },
    /// Rename a group, with our mapping changed in the same step
    Update {
        /// The group, by external reference id or `grp_` id
        group: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Its new external reference id
        #[arg(long, value_name = "REF")]
        external_reference_id: Option<GroupRef>,
    },
}

/// How a command ends: the one map to exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done, or nothing to do.
    Done,
    /// An error that nobody expected.
    Unexpected,
    /// `plan --detailed-exitcode`: there are changes.
    Changes,
    /// Something is held by a guard.
    Held,
    /// Delivered, but some members failed.
    SomeFailed,
    /// The results differ from the plan.
    Incident,
    /// The command makes no sense.
    Usage,
    /// The export is rejected.
    Rejected,
    /// There is no such file.
    NoInput,
    /// The API or the daemon is not available.
    Unavailable,
    /// The state cannot be read or written.
    Store,
    /// Try again later.
    TryLater,
    /// The config is wrong.
    Config,
}

impl Ending {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Changes => 2,
            Self::Held => 3,
            Self::SomeFailed => 4,
            Self::Incident => 5,
            Self::Usage => 64,
            Self::Rejected => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Store => 74,
            Self::TryLater => 75,
            Self::Config => 78,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

/// A command that failed: how it ends, and what is said on stderr.
#[derive(Debug)]
pub struct Failure {
    ending: Ending,
    message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(ending: Ending, message: impl Into<String>) -> Self {
        Self { ending, message: message.into() }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let ending = match refusal.kind {
            RefusalKind::Usage => Ending::Usage,
            RefusalKind::Rejected => Ending::Rejected,
            RefusalKind::NoInput => Ending::NoInput,
            RefusalKind::Unavailable => Ending::Unavailable,
            RefusalKind::Store => Ending::Store,
            RefusalKind::TryLater => Ending::TryLater,
            RefusalKind::Paused => Ending::Incident,
            RefusalKind::Unexpected => Ending::Unexpected,
        };
        Self::new(ending, refusal.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let ending = match error {
            ConfigError::NotFound(_) | ConfigError::Unreadable { .. } | ConfigError::Invalid(_) => Ending::Config,
        };
        Self::new(ending, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Ending::Unexpected, error.to_string())
    }
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// Where output goes, and how wide it may be.
    pub screen: Screen,
    config: PathBuf,
}

impl Context {
    /// Reads and checks the config.
    fn config(&self) -> Result<Arc<Config>, Failure> {
        Ok(Arc::new(crate::config::load(&self.config, &Environment::process())?))
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let is_help = !error.use_stderr();
            let text = error.render();
            let said = if is_help { render::print(&text.to_string()) } else { render::complain(&text.to_string()) };
            return match said {
                Ok(()) if is_help => Ending::Done,
                Ok(()) => Ending::Usage,
                Err(_) => Ending::Unexpected,
            }
            .into();
        }
    };
    let context = Context { screen: Screen::new(args.json), config: args.config };
    logging::start(args.log, matches!(args.command, Command::Run));
    logging::hush_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(perform(&context, args.command)),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(ending) => ending.into(),
        Err(failure) => {
            let said = render::complain(&format!("rosterd: {}", failure.message));
            if said.is_ok() { failure.ending } else { Ending::Unexpected }.into()
        }
    }
}

async fn perform(context: &Context, command: Command) -> Result<Ending, Failure> {
    match command {
        Command::Run => run::run(context).await,
        Command::Sync(args) => export::sync(context, &args.file, args.source, args.as_of).await,
        Command::Plan { export: args, detailed_exitcode } => {
            let ending = export::plan(context, &args.file, args.source, args.as_of).await?;
            // Only scripts that ask for it are told of changes by the exit code.
            Ok(if ending == Ending::Changes && !detailed_exitcode { Ending::Done } else { ending })
        }
        Command::Check { file, source, offline } => check::check(context, file.as_deref(), source, offline).await,
        Command::History(args) => history::history(context, args).await,
        Command::Show { id } => history::show(context, id).await,
        Command::Status => history::status(context).await,
        Command::Member { reference_id } => travel::member(context, reference_id).await,
        Command::Roster { group, at } => travel::roster(context, group, at).await,
        Command::Revert { batch, reason } => travel::revert(context, batch, reason).await,
        Command::Approve(args) => release::approve(context, args.run, args.reason).await,
        Command::Discard(args) => release::discard(context, args.run, args.reason).await,
        Command::Groups { command } => groups(context, command.unwrap_or(GroupsCommand::List)).await,
        Command::Retry { group } => release::retry(context, group).await,
        Command::Backup { file } => backup::backup(context, &file).await,
        Command::Restore { file } => backup::restore_state(context, &file),
        Command::Verify { file } => backup::verify(context, file.as_deref()).await,
        Command::Sandbox(args) => sandbox::sandbox(context, args).await,
        Command::Demo => Box::pin(demo::demo(context)).await,
        Command::Completions { shell } => completions(shell),
        Command::Man => print_man(),
    }
}

async fn groups(context: &Context, command: GroupsCommand) -> Result<Ending, Failure> {
    use crate::control::Question;
    let question = match command {
        GroupsCommand::List => Question::Groups,
        GroupsCommand::Show { group } => Question::Group { group },
        GroupsCommand::Create { group, name } => Question::CreateGroup { group, name },
        GroupsCommand::Update { group, name, external_reference_id } => {
            Question::UpdateGroup { group, name, reference: external_reference_id }
        }
    };
    history::groups(context, question).await
}

fn completions(shell: clap_complete::Shell) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "rosterd", &mut script);
    render::print(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Done)
}

fn print_man() -> Result<Ending, Failure> {
    render::print(&String::from_utf8_lossy(&man::page()?))?;
    Ok(Ending::Done)
}
