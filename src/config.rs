//! What the operator wrote: figment lays the environment over the file over the defaults, the checks make a [`Config`]
//! of that or list every problem at once, each a [`Finding`] with its line. Apart from the files named here (the
//! configuration itself, the API key) nothing is touched: whether folders exist is for those who use them.

mod checks;
mod document;
mod environment;
mod finding;
mod keys;
mod kinds;
mod reader;
mod secret;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use secrecy::SecretString;

pub use environment::Environment;
pub use finding::{ConfigError, Finding};
pub use keys::{KEY_MISPLACED, NO_KEY, known_keys};

use crate::intake::schedule::Cron;
use crate::roster::ids::{GroupRef, PlanId, SourceName};

/// Reads and checks the configuration at `path`.
///
/// # Errors
/// [`ConfigError`]; everything that is wrong with it comes at once.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            ConfigError::NotFound(path.to_owned())
        } else {
            ConfigError::Unreadable { path: path.to_owned(), source }
        }
    })?;
    parse(&text, &path.display().to_string(), environment)
}

/// Checks a configuration in hand; `name` stands for the file in findings. The key's file is read.
///
/// # Errors
/// [`ConfigError::Invalid`]
pub fn parse(text: &str, name: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let mut findings = Vec::new();
    let settings = settings::Settings::read(text, name, environment, &mut findings)
        .map_err(|finding| ConfigError::Invalid(vec![*finding]))?;
    checks::check(&settings, findings, environment).map_err(ConfigError::Invalid)
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the store and the backups of accepted exports live.
    pub state_dir: PathBuf,
    /// Whether anything is ever sent.
    pub mode: Mode,
    /// The API.
    pub api: Api,
    /// How results are polled.
    pub poll: Poll,
    /// The control socket's path.
    pub control_socket: PathBuf,
    /// How long things are kept.
    pub retention: Retention,
    /// When and where the state is backed up.
    pub backup: Backup,
    /// The feeds, by name.
    pub sources: Vec<Source>,
}

/// Whether anything is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plan and deliver.
    Apply,
    /// Compute, report and record, never submit.
    Plan,
}

impl Mode {
    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Plan => "plan",
        }
    }
}

/// `[api]`
#[derive(Clone)]
pub struct Api {
    /// Scheme, host and port, without a slash at the end. https, except on loopback.
    pub base_url: String,
    /// The key; none when there is none in any of the three places ([`NO_KEY`]), which commands that need it say.
    pub key: Option<SecretString>,
    /// Where the key came from; without a key, the file that this user may not read.
    pub key_origin: Option<String>,
    /// Connecting takes at most this long.
    pub connect_timeout: Duration,
    /// A whole request takes at most this long.
    pub timeout: Duration,
    /// Groups with a batch under way at once.
    pub max_in_flight: usize,
    /// Requests of every kind, a second.
    pub requests_per_second: f64,
    /// A larger roster is refused, never split.
    pub members_per_request: usize,
    /// How phone numbers are written in the payload.
    pub phone_format: PhoneFormat,
    /// A PEM file with further certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy's URL; none means the environment's.
    pub proxy: Option<String>,
}

/// A proxy's URL may hold credentials.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("base_url", &self.base_url)
            .field("key", &self.key)
            .field("key_origin", &self.key_origin)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("requests_per_second", &self.requests_per_second)
            .field("members_per_request", &self.members_per_request)
            .field("phone_format", &self.phone_format)
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy.as_ref().map(|_| "[REDACTED]"))
            .finish()
    }
}

/// How phone numbers are written in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneFormat {
    /// `2675550142`
    National,
    /// `+12675550142`
    E164,
}

/// `[poll]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// From the acceptance to the first poll.
    pub first_after: Duration,
    /// The longest pause between polls.
    pub max_interval: Duration,
    /// Results that take longer than this are a warning.
    pub alert_after: Duration,
    /// Results that take longer than this are lost.
    pub give_up_after: Duration,
}

/// `[retention]`; `None` keeps for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Processed files.
    pub exports: Option<Duration>,
    /// Runs, batches, changes.
    pub history: Option<Duration>,
}

/// `[backup]`
#[derive(Clone, Debug)]
pub struct Backup {
    /// When; none for never.
    pub schedule: Option<Cron>,
    /// The zone of that.
    pub timezone: Tz,
    /// Where; made where it is missing.
    pub folder: PathBuf,
    /// How many are kept, of each API.
    pub keep: u32,
}

/// `[[source]]`
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// Where exports are dropped.
    pub inbox: PathBuf,
    /// Which names count: `*` and `?`, letters in either case.
    pub files: String,
    /// How long a file must stand still.
    pub settle: Duration,
    /// Whether `NAME.done` says that NAME is complete, and nothing else does.
    pub done_marker: bool,
    /// How often the folder is looked through without an event.
    pub rescan: Duration,
    /// When the inbox is looked through on top.
    pub schedule: Option<Cron>,
    /// When every roster is submitted again even if unchanged.
    pub resync: Option<Cron>,
    /// When an export should have been accepted at the latest.
    pub expect_by: Option<Cron>,
    /// The zone of the schedules and of "today".
    pub timezone: Tz,
    /// Accepted exports in a row that a person must be missing from before the removal counts.
    pub confirm_absence: NonZeroU32,
    /// `[source.format]`
    pub format: Format,
    /// `[source.columns]`
    pub columns: Columns,
    /// `[source.group]`
    pub group: Grouping,
    /// `[source.plan]`
    pub plan: PlanRule,
    /// `[source.eligibility]`
    pub eligibility: Option<Eligibility>,
    /// `[guards]`, with what `[source.guards]` overrides.
    pub guards: Guards,
}

/// `[source.format]`: what is known of the file's shape; `None` finds out.
#[derive(Clone, Debug, Default)]
pub struct Format {
    /// The encoding, if it is not to be found out.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// The delimiter, if it is not to be found out.
    pub delimiter: Option<u8>,
    /// The header's row counted from 1, if it is not to be found out.
    pub header_row: Option<u64>,
    /// How dates are written.
    pub dates: DateOrder,
    /// Cells that are read as empty, compared without regard to case.
    pub placeholders: Vec<String>,
    /// Numeric ids are padded with zeros to this width.
    pub id_width: Option<usize>,
}

/// The order of day, month and year in dates that are not ISO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// `12/31/1999`
    #[default]
    Mdy,
    /// `31/12/1999`
    Dmy,
    /// `1999/12/31`
    Ymd,
}

/// `[source.columns]`: where each field comes from. Several headers: the first that is not empty wins.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The person's key.
    pub reference_id: IdColumns,
    /// First and last name.
    pub name: NameColumns,
    /// Birth date.
    pub date_of_birth: Vec<String>,
    /// E-mail; may be empty.
    pub email: Vec<String>,
    /// Phone; may be empty.
    pub phone: Vec<String>,
    /// Street.
    pub address_line_1: Vec<String>,
    /// Apartment; may be empty.
    pub address_line_2: Vec<String>,
    /// City.
    pub city: Vec<String>,
    /// State.
    pub state: Vec<String>,
    /// ZIP.
    pub zipcode: Vec<String>,
}

/// Where the reference id comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdColumns {
    /// One cell; of several headers the first that is not empty.
    First(Vec<String>),
    /// Several cells joined: ids that are unique within a company only.
    Join {
        /// The headers, all required in every row.
        headers: Vec<String>,
        /// What stands between.
        with: String,
    },
}

/// Where the name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameColumns {
    /// Two columns.
    Two {
        /// First name.
        first: Vec<String>,
        /// Last name.
        last: Vec<String>,
    },
    /// One column: `Last, First` or `First Last`.
    Full(Vec<String>),
}

/// `[source.group]`
#[derive(Clone, Debug)]
pub struct Grouping {
    /// Where the group comes from.
    pub from: GroupFrom,
    /// Whether groups that the API lacks are made.
    pub create: bool,
    /// Cell, without outer blanks and in lower case, to group.
    pub map: BTreeMap<String, GroupRef>,
    /// What a cell outside a non-empty map means.
    pub unmapped: Unmapped,
}

/// Where the group comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupFrom {
    /// All rows belong to one group.
    Fixed(GroupRef),
    /// A column names it.
    Column {
        /// The column's header.
        header: String,
        /// `external_reference_id` with `{value}` for the cell: trimmed, lower case, spaces to `-`.
        template: String,
    },
}

/// What a group cell outside a non-empty map means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// A problem of its row.
    Reject,
    /// Not ours: no member, no problem.
    Ignore,
    /// The template decides.
    Template,
}

/// `[source.plan]`
#[derive(Clone, Debug, Default)]
pub struct PlanRule {
    /// The column that names the plan.
    pub column: Option<String>,
    /// The plan of rows whose cell is empty, or of all rows without a column.
    pub default: Option<PlanId>,
    /// Cell, without outer blanks and in lower case, to plan. `None` is "not on the roster".
    pub map: BTreeMap<String, Option<PlanId>>,
    /// What a new plan for a known member leads to.
    pub change: PlanChange,
}

/// What a new plan for a known member leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanChange {
    /// It is submitted and reported: the API keeps the old plan.
    #[default]
    Report,
    /// Remove, then add.
    Replace,
}

/// `[source.eligibility]`: who of the file is covered today.
#[derive(Clone, Debug)]
pub struct Eligibility {
    /// The status column.
    pub status: Option<String>,
    /// Words that mean covered, compared without regard to case.
    pub covered: Vec<String>,
    /// Words that mean not covered.
    pub terminated: Vec<String>,
    /// The column of the first day of coverage.
    pub start: Option<String>,
    /// The column of the last day of employment.
    pub end: Option<String>,
    /// When coverage ends.
    pub coverage_ends: CoverageEnds,
}

/// When coverage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoverageEnds {
    /// With the termination date; that day is still covered.
    TerminationDate,
    /// With the last day of its month.
    EndOfMonth,
}

/// `[guards]`: where each guard draws the line. `None` is `"off"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Guards {
    /// Missing people, per group.
    pub removals: Option<Limit>,
    /// … and always above this many.
    pub removals_max: Option<u64>,
    /// Terminations stated by the file, per group.
    pub terminations: Option<Limit>,
    /// Removals per group within `rolling_window`.
    pub rolling_removals: Option<Limit>,
    /// The window.
    pub rolling_window: Duration,
    /// Rows fewer than in the last accepted export, whole file.
    pub rows_dropped: Option<Limit>,
    /// Rows that cannot be used, whole file.
    pub invalid_rows: Option<Limit>,
    /// One column changed in this share of the members, whole file.
    pub field_changed: Option<Limit>,
    /// New members, per group, above ten.
    pub additions: Option<Limit>,
    /// Same id, two of last name, birth date, e-mail changed: whole file.
    pub identity_changes: Option<Limit>,
    /// How long an approval counts.
    pub approval_expires: Duration,
}

/// A guard's limit: a share of something, or a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// `"10%"`, as 0.10.
    Share(f64),
    /// `25`: more than this holds; `0` holds on any.
    Count(u64),
}
