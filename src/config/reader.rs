//! Takes settings apart value by value, and remembers everything that is wrong on the way.

use std::collections::BTreeMap;

use figment::value::Value;

use super::finding::{Fault, Finding, Reported};
use super::kinds::{self, Checked};
use super::settings::Settings;

/// Settings, and what was found wrong with them so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    settings: &'a Settings,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings, findings: Vec<Finding>) -> Self {
        Self { settings, findings }
    }

    /// The findings in the order of the lines; those without a line come last.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.line.unwrap_or(u64::MAX));
        // A common guard is read once for every source.
        let mut once: Vec<Finding> = Vec::with_capacity(self.findings.len());
        for finding in self.findings {
            if !once.contains(&finding) {
                once.push(finding);
            }
        }
        once
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// Whether the operator wrote this key.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.settings.is_written(path)
    }

    /// Whether anything stands there, written or by default.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.settings.value(path).is_some()
    }

    /// Puts a fault on the list.
    pub(super) fn report(&mut self, path: &str, fault: Fault) -> Reported {
        self.push(self.settings.finding(path, fault));
        Reported
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A value that may be missing.
    pub(super) fn read<T>(&mut self, path: &str, kind: impl Fn(&Value) -> Checked<T>) -> Result<Option<T>, Reported> {
        match self.settings.value(path).map(kind) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(fault)) => Err(self.report(path, fault)),
        }
    }

    /// A value that must be there; `cure` says what to do when it is not.
    pub(super) fn need<T>(
        &mut self,
        path: &str,
        cure: &str,
        kind: impl Fn(&Value) -> Checked<T>,
    ) -> Result<T, Reported> {
        match self.read(path, kind)? {
            Some(value) => Ok(value),
            None => Err(self.report(path, Fault::new("is missing", cure))),
        }
    }

    /// A value that the defaults have, so that it is always there.
    pub(super) fn get<T>(&mut self, path: &str, kind: impl Fn(&Value) -> Checked<T>) -> Result<T, Reported> {
        self.need(path, "write a value", kind)
    }

    /// The entries of a table whose keys are cells: folded, so that they compare without regard to case and blanks.
    pub(super) fn entries<T>(
        &mut self,
        path: &str,
        kind: impl Fn(&Value) -> Checked<T>,
    ) -> Result<BTreeMap<String, T>, Reported> {
        let Some(value) = self.settings.value(path) else { return Ok(BTreeMap::new()) };
        let Some(table) = value.as_dict() else {
            let cure = "write it as a table: \"cell\" = \"value\"";
            return Err(self.report(path, Fault::new("is not a table", cure)));
        };
        let mut entries = BTreeMap::new();
        let mut all = Ok(());
        for (cell, value) in table {
            let path = format!("{path}.{cell}");
            let fault = match kind(value) {
                Err(fault) => fault,
                Ok(_) if cell.trim().is_empty() => Fault::new("stands for an empty cell", "delete the line"),
                Ok(_) if entries.contains_key(&fold(cell)) => Fault::new(
                    "stands in the table twice",
                    "cells are compared without regard to case and blanks; delete one",
                ),
                Ok(value) => {
                    entries.insert(fold(cell), value);
                    continue;
                }
            };
            all = Err(self.report(&path, fault));
        }
        all.map(|()| entries)
    }

    /// A cron line that may be missing.
    pub(super) fn schedule(&mut self, path: &str) -> Result<Option<crate::intake::schedule::Cron>, Reported> {
        self.read(path, kinds::cron)
    }
}

/// Words and headers as they are compared: without regard to case and outer blanks.
pub(super) fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}
