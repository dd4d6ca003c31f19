//! What a sandbox is told to be and to do: seeds, switches, and misbehaviour by name. Read from TOML or JSON, or built
//! by a test. Pure: the text comes in as an argument.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chrono::NaiveDate;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use super::switches::{Reasons, Switches};

mod fault;

pub use fault::{FailOn, Fault, MemberFault, On, Rule};

/// `[[plan]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSeed {
    /// `pln_…`
    pub id: String,
    /// What members see.
    pub name: String,
}

/// `[[group]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSeed {
    /// Its `external_reference_id`.
    pub reference: String,
    /// Its name.
    pub name: String,
}

/// `[[block]]`: a person with an active subscription under another organization.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSeed {
    /// Compared in lower case.
    pub email: String,
    /// `1990-01-31`
    pub date_of_birth: NaiveDate,
}

impl std::fmt::Debug for BlockSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockSeed(..)")
    }
}

/// Which keys are good.
#[derive(Clone, Debug, Default)]
pub enum Keys {
    /// Whatever begins with `vit_apk_`.
    #[default]
    Any,
    /// These.
    Only(Vec<SecretString>),
}

/// A whole script, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Ids are made of it: the same seed gives the same ids.
    pub seed: u64,
    /// From the acceptance of a roster to its results.
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    /// From a call to its answer.
    #[serde(deserialize_with = "duration")]
    pub latency: Duration,
    /// Which keys are good; any that begins with `vit_apk_` without it.
    #[serde(deserialize_with = "keys")]
    pub keys: Keys,
    /// What the documents leave open.
    pub switches: Switches,
    /// The words of failures.
    pub reasons: Reasons,
    /// The plans that are linked to the organization.
    #[serde(rename = "plan")]
    pub plans: Vec<PlanSeed>,
    /// Groups that are there from the start.
    #[serde(rename = "group")]
    pub groups: Vec<GroupSeed>,
    /// People who are active under another organization.
    #[serde(rename = "block")]
    pub blocked: Vec<BlockSeed>,
    /// Misbehaviour by call.
    #[serde(rename = "fault")]
    pub faults: Vec<Rule>,
    /// Misbehaviour by person.
    #[serde(rename = "fail")]
    pub failures: Vec<MemberFault>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 1,
            // Long enough that a client has to poll twice, short enough for a rehearsal.
            delay: Duration::from_millis(200),
            latency: Duration::ZERO,
            keys: Keys::default(),
            switches: Switches::default(),
            reasons: Reasons::default(),
            plans: vec![
                PlanSeed { id: "pln_basic".into(), name: "Basic".into() },
                PlanSeed { id: "pln_gold".into(), name: "Gold".into() },
            ],
            groups: Vec::new(),
            blocked: Vec::new(),
            faults: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// How a script is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// JSON for `*.json`, else TOML.
    pub fn of(path: &Path) -> Self {
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if is_json { Self::Json } else { Self::Toml }
    }
}

/// Why a text is not a script.
#[derive(Debug, Error)]
pub enum BadScript {
    /// Not TOML, or not of the shape of a script; names the line, and the known keys or names.
    #[error("the script cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// The same for JSON.
    #[error("the script cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A rule that can never do what it says.
    #[error("[[fault]] number {number}: {why}")]
    Fault {
        /// Counted from 1.
        number: usize,
        /// What is contradictory.
        why: &'static str,
    },
    /// Two groups, or two plans, with one id.
    #[error("[[{table}]] number {number} is there already")]
    Twice {
        /// `group` or `plan`.
        table: &'static str,
        /// Counted from 1.
        number: usize,
    },
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`BadScript`], with the line and the known names where a key or name is unknown.
    pub fn parse(text: &str, format: Format) -> Result<Self, BadScript> {
        let script: Self = match format {
            Format::Toml => toml::from_str(text)?,
            Format::Json => serde_json::from_str(text)?,
        };
        script.check()?;
        Ok(script)
    }

    fn check(&self) -> Result<(), BadScript> {
        for (at, rule) in self.faults.iter().enumerate() {
            rule.check().map_err(|why| BadScript::Fault { number: at + 1, why })?;
        }
        unique("group", self.groups.iter().map(|group| group.reference.as_str()))?;
        unique("plan", self.plans.iter().map(|plan| plan.id.as_str()))
    }
}

fn unique<'a>(table: &'static str, ids: impl Iterator<Item = &'a str>) -> Result<(), BadScript> {
    let mut seen = BTreeSet::new();
    for (at, id) in ids.enumerate() {
        if !seen.insert(id) {
            return Err(BadScript::Twice { table, number: at + 1 });
        }
    }
    Ok(())
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map_err(|_| de::Error::custom(format_args!("`{text}` is not a duration like \"200ms\", \"10s\", \"24h\"")))
}

/// For keys that may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Keys, D::Error> {
    let keys = Vec::<String>::deserialize(from)?;
    Ok(Keys::Only(keys.into_iter().map(SecretString::from).collect()))
}

#[cfg(test)]
mod tests;
