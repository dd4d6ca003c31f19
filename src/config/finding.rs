//! What is wrong with a configuration, where it stands, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's path, `environment variable ROSTERD_…`, or `default`.
    pub file: String,
    /// The line in the file, counted from 1.
    pub line: Option<u64>,
    /// The key with the tables it stands in, as in `api.base_url`.
    pub key: String,
    /// What was written, as TOML; never a key, a secret or a proxy's credentials.
    pub value: Option<String>,
    /// What is wrong with it; follows on the key: `has no unit`.
    pub message: String,
    /// What to write instead.
    pub cure: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, " {}.", self.message)?;
        let mut cure = self.cure.chars();
        match cure.next() {
            Some(first) => write!(f, " {}{}.", first.to_uppercase(), cure.as_str()),
            None => Ok(()),
        }
    }
}

/// Why there is no configuration to work with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration at {}", .0.display())]
    NotFound(PathBuf),
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was read, and these are its problems, in the order of the lines.
    #[error("{}", list(.0))]
    Invalid(Vec<Finding>),
}

fn list(findings: &[Finding]) -> String {
    let mut text = match findings.len() {
        1 => "the configuration has a problem".to_owned(),
        n => format!("the configuration has {n} problems"),
    };
    for finding in findings {
        text.push_str("\n  ");
        text.push_str(&finding.to_string());
    }
    text
}

/// What a check has to say about a value, before anyone knows where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) cure: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { message: message.into(), cure: cure.into() }
    }
}

/// There is no value, and the finding that says why is already in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;
