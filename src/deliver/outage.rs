//! Whether the API is there at all.
//!
//! When several groups fail one after the other and nobody is answered well in between, it is the API that is out. Thousands of
//! groups must not each find that out again and again: from then on one at a time asks, and once it is answered all go on.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pace;
use super::phase::Event;
use crate::api::ApiError;
use crate::roster::ids::GroupRef;

/// So many groups have to fail: what one or two of them meet may be their own trouble, and keeps nobody else waiting.
const TELLING: usize = 3;

/// What all drives together know of the API.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
    /// Held by the one who asks while the API is out. Fair: a group whose trouble is its own has the next one after it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The groups that failed since somebody was last answered well.
    failing: HashSet<GroupRef>,
    /// Failures that each came after a pause.
    failures: u32,
    /// When the next one may ask.
    until: Option<Instant>,
}

/// What a failure says about the API.
enum Said {
    /// It is there: it answered, if only to refuse.
    There,
    /// Nothing, or to come back later.
    Trouble(Option<Duration>),
}

/// The right to ask while the API is out, and a leave for everybody while it is not.
pub(super) type Turn<'a> = Option<tokio::sync::MutexGuard<'a, ()>>;

impl Outage {
    /// Takes note of what a group's request came to. `chance` is a random number from 0 to 1. Answers whether the API was taken
    /// for out before, and is now.
    pub(super) fn heard(&self, group: &GroupRef, event: &Event, chance: f64) -> (bool, bool) {
        let mut state = self.state();
        let was_out = state.is_out();
        match said(event) {
            Said::There => *state = State::default(),
            Said::Trouble(hint) => state.failed(group, hint, chance),
        }
        (was_out, state.is_out())
    }

    /// Waits for the group's turn to ask: at once while the API is there.
    pub(super) async fn turn(&self) -> Turn<'_> {
        if self.state().is_out() {
            let turn = self.turn.lock().await;
            // Meanwhile the one before may have found it back.
            return self.state().is_out().then_some(turn);
        }
        None
    }

    /// How long the one whose turn it is still has to wait.
    pub(super) fn left(&self) -> Duration {
        self.state().until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_out(&self) -> bool {
        TELLING <= self.failing.len()
    }

    fn failed(&mut self, group: &GroupRef, hint: Option<Duration>, chance: f64) {
        self.failing.insert(group.clone());
        let now = Instant::now();
        // Before it is an outage each group waits for itself. What was under way when it began fails for the same reason.
        if self.is_out() && self.until.is_none_or(|until| until <= now) {
            self.failures = self.failures.saturating_add(1);
            self.until = Some(now + pace::before_retry(self.failures, hint, chance));
        }
    }
}

fn said(event: &Event) -> Said {
    let (Event::SubmitFailed(error) | Event::PollFailed(error)) = event else { return Said::There };
    match error {
        ApiError::NotSent { .. } => Said::Trouble(None),
        ApiError::Later { after, .. } | ApiError::AnswerLost { after, .. } => Said::Trouble(*after),
        ApiError::Conflict
        | ApiError::Unauthorized { .. }
        | ApiError::NotFound
        | ApiError::Refused { .. }
        | ApiError::Unexpected { .. } => Said::There,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupRef {
        GroupRef::parse(name).unwrap()
    }

    fn trouble(after: Option<u64>) -> Event {
        Event::SubmitFailed(ApiError::Later { status: 503, after: after.map(Duration::from_secs) })
    }

    /// What `heard` answers for each of these groups in turn.
    fn failing(outage: &Outage, groups: &[&str]) -> Vec<bool> {
        groups.iter().map(|name| outage.heard(&group(name), &trouble(None), 1.0).1).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_group_that_fails_again_and_again_is_no_outage() {
        let outage = Outage::default();
        assert_eq!(
            failing(&outage, &["a", "a", "b", "a", "b", "b", "c"]),
            [false, false, false, false, false, false, true]
        );
        assert_eq!(failing(&Outage::default(), &["a", "b"]), [false, false]);
        outage.heard(&group("d"), &Event::Waiting(None), 1.0);
        assert_eq!(failing(&outage, &["a", "b"]), [false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_group_is_told_before_an_outage_binds_no_other() {
        let outage = Outage::default();
        outage.heard(&group("a"), &trouble(Some(3_600)), 1.0);
        failing(&outage, &["b", "c"]);
        assert_eq!(outage.left().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_refuses_is_an_answer() {
        let outage = Outage::default();
        failing(&outage, &["a", "b", "c"]);
        let refused = Event::SubmitFailed(ApiError::Unauthorized { status: 401 });
        assert_eq!(outage.heard(&group("d"), &refused, 1.0), (true, false));
        assert_eq!(outage.left(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_with_each_time_that_somebody_asked_in_vain() {
        let outage = Outage::default();
        // Those that were under way together count once.
        failing(&outage, &["a", "b", "c", "d", "e"]);
        let mut pauses = vec![outage.left().as_secs()];
        for _ in 0..7 {
            tokio::time::advance(outage.left()).await;
            failing(&outage, &["a"]);
            pauses.push(outage.left().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        tokio::time::advance(outage.left()).await;
        outage.heard(&group("a"), &trouble(Some(1_200)), 1.0);
        assert_eq!(outage.left().as_secs(), 1_200);
    }

    #[tokio::test(start_paused = true)]
    async fn one_asks_while_the_others_wait_and_all_go_on_once_it_is_answered() {
        let outage = Outage::default();
        assert!(outage.turn().await.is_none());
        failing(&outage, &["a", "b", "c"]);
        let asking = outage.turn().await.unwrap();
        let waiting = async { outage.turn().await.is_none() };
        let answered = async {
            tokio::task::yield_now().await;
            outage.heard(&group("a"), &Event::Waiting(None), 1.0);
            drop(asking);
        };
        assert!(tokio::join!(waiting, answered).0);
        assert!(outage.turn().await.is_none());
    }
}
