//! stub
#![allow(missing_docs)]
use crate::report::*;
use crate::roster::ids::GroupRef;
#[derive(Debug)]
pub struct Screen {
    json: bool,
}
impl Screen {
    pub fn new(json: bool) -> Self {
        Self { json }
    }
    pub fn is_json(&self) -> bool {
        self.json
    }
}
pub fn runs(_: &Screen, r: &[Run]) -> String {
    format!("{r:#?}\n")
}
pub fn run(_: &Screen, r: &RunDetail) -> String {
    format!("{r:#?}\n")
}
pub fn batch(_: &Screen, r: &BatchDetail) -> String {
    format!("{r:#?}\n")
}
pub fn plan(_: &Screen, r: &PlanReport, c: &Counts) -> String {
    format!("{r:#?}{c:#?}\n")
}
pub fn status(_: &Screen, r: &Status, _: chrono::DateTime<chrono::Utc>) -> String {
    format!("{r:#?}\n")
}
pub fn groups(_: &Screen, r: &[GroupStatus]) -> String {
    format!("{r:#?}\n")
}
pub fn safe(t: &str) -> String {
    t.to_owned()
}
pub fn print(t: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(t.as_bytes())
}
pub fn complain(t: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::io::stderr().write_all(t.as_bytes())
}
#[derive(Debug)]
pub struct ProgressBar;
impl ProgressBar {
    pub fn new(_: &Screen) -> Self {
        Self
    }
    pub fn planned(&mut self, _: usize) {}
    pub fn phase(&mut self, _: &GroupRef, _: Phase) {}
    pub fn trouble(&mut self, _: &GroupRef, _: &str) {}
    pub fn done(&mut self) {}
}
