//! What moves while a command waits: one line on standard error that overwrites itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use indicatif::{ProgressDrawTarget, ProgressStyle};

use crate::report::Phase;
use crate::roster::ids::GroupRef;

use super::Screen;
use super::words::{clean, count, phase};

/// Turns of the spinner: often enough to show life, seldom enough for a slow line.
const TURN: Duration = Duration::from_millis(120);

/// The line that tells how many groups are confirmed. Silent where standard error is no terminal.
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    phases: BTreeMap<GroupRef, Phase>,
    /// How many of them are in each: not counted anew with each piece of news, of which there are several a group.
    groups_in: HashMap<Phase, u64>,
    trouble: Option<(GroupRef, String)>,
}

impl ProgressBar {
    /// Begins to show that something happens.
    pub fn new(screen: &Screen) -> Self {
        let target = if screen.is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = indicatif::ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} reading and planning{wide_msg}"));
        if screen.is_watched {
            bar.enable_steady_tick(TURN);
        }
        Self { bar, phases: BTreeMap::new(), groups_in: HashMap::new(), trouble: None }
    }

    /// The plan is made: so many groups have a batch.
    pub fn planned(&mut self, groups: usize) {
        self.bar.set_length(count(groups));
        self.bar.set_style(style("{spinner} {pos} of {len} groups confirmed{wide_msg}"));
        self.show();
    }

    /// A group's batch entered a phase.
    pub fn phase(&mut self, group: &GroupRef, phase: Phase) {
        if self.trouble.as_ref().is_some_and(|(troubled, _)| troubled == group) {
            self.trouble = None;
        }
        *self.groups_in.entry(phase).or_default() += 1;
        if let Some(before) = self.phases.insert(group.clone(), phase) {
            self.groups_in.entry(before).and_modify(|groups| *groups -= 1);
        }
        self.show();
    }

    /// Something about a group is tried again later.
    pub fn trouble(&mut self, group: &GroupRef, message: &str) {
        self.trouble = Some((group.clone(), message.to_owned()));
        self.show();
    }

    /// Takes the line away, so that the report has the screen to itself.
    pub fn done(&mut self) {
        self.bar.finish_and_clear();
    }

    fn show(&self) {
        let of = |phase: Phase| self.groups_in.get(&phase).copied().unwrap_or_default();
        self.bar.set_position(of(Phase::Completed));
        let ends = [Phase::Refused, Phase::Lost, Phase::Superseded].map(|end| (of(end), phase(end).0));
        let ends = ends.iter().filter(|(groups, _)| *groups != 0).map(|(groups, word)| format!(", {groups} {word}"));
        let trouble = self.trouble.iter().map(|(group, why)| format!("; {}: {}", clean(group.as_str()), clean(why)));
        self.bar.set_message(ends.chain(trouble).collect::<String>());
    }
}

impl Drop for ProgressBar {
    /// A command that ends early leaves no half line behind.
    fn drop(&mut self) {
        self.done();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupRef {
        GroupRef::parse(name).unwrap()
    }

    #[test]
    fn each_group_counts_once_and_only_when_its_last_batch_is_confirmed() {
        let mut progress = ProgressBar::new(&Screen::fixed(80));
        progress.planned(3);
        progress.phase(&group("a"), Phase::Completed);
        progress.phase(&group("a"), Phase::Completed);
        progress.phase(&group("b"), Phase::Lost);
        progress.phase(&group("c"), Phase::Accepted);
        assert_eq!((progress.bar.position(), progress.bar.length()), (1, Some(3)));
        assert_eq!(progress.bar.message(), ", 1 lost");
        progress.phase(&group("b"), Phase::Completed);
        assert_eq!((progress.bar.position(), progress.bar.message().as_str()), (2, ""));
    }

    #[test]
    fn trouble_is_shown_escaped_until_the_group_moves() {
        let mut progress = ProgressBar::new(&Screen::fixed(80));
        progress.planned(1);
        progress.trouble(&group("a"), "the API answered 503\u{1b}[2J");
        assert_eq!(progress.bar.message(), "; a: the API answered 503\\u{1b}[2J");
        progress.phase(&group("a"), Phase::Submitting);
        assert_eq!(progress.bar.message(), "");
    }

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        let mut progress = ProgressBar::new(&Screen::fixed(80));
        assert!(progress.bar.is_hidden());
        progress.done();
    }
}
