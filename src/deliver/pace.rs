//! Delays: how long to wait before the next attempt or poll. Pure; the random part is passed in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Poll;

/// First pause after a failed attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// First and longest pause before people are submitted again who left one group and were not added to the next. They are covered
/// nowhere: often enough that a hitch costs minutes, seldom enough that a lasting refusal is no flood.
const FIRST_AGAIN: TimeDelta = TimeDelta::minutes(1);
const LONGEST_AGAIN: TimeDelta = TimeDelta::hours(1);
/// Longest pause that a server's hint may ask for, and longest of all.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The pause after the `attempt`-th failure (from 1): doubled each time up to a minute, of which `chance` (0 to 1) takes the
/// upper half, so that many groups do not come back at once. A server's hint counts when it is longer, up to an hour.
pub fn before_retry(attempt: u32, hint: Option<Duration>, chance: f64) -> Duration {
    let ceiling = doubled(FIRST_PAUSE, attempt.saturating_sub(1), LONGEST_PAUSE);
    let own = ceiling / 2 + (ceiling / 2).mul_f64(chance.clamp(0.0, 1.0));
    hint.map_or(own, |hint| own.max(hint.min(LONGEST_WAIT)))
}

/// The pause before people who are covered nowhere are submitted for the `again`-th time more (from 1).
pub fn before_again(again: u32) -> TimeDelta {
    let doubled = FIRST_AGAIN * 2i32.saturating_pow(again.saturating_sub(1).min(10));
    doubled.min(LONGEST_AGAIN)
}

/// The pause before the `poll`-th poll (from 1) of an accepted batch.
pub fn before_poll(poll: u32, settings: Poll, chance: f64) -> Duration {
    let pause = doubled(settings.first_after, poll.saturating_sub(1), settings.max_interval);
    // A tenth of jitter keeps thousands of groups from polling in step.
    pause.mul_f64(1.0 + 0.1 * chance.clamp(0.0, 1.0))
}

/// How long a pause still lasts that ends `then`. It is over when that has passed, and when it lies further ahead than any pause can
/// end: then the clock was set back meanwhile, and nobody knows how much is left.
pub fn left(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (then - now).to_std().ok().filter(|left| *left <= LONGEST_WAIT).unwrap_or_default()
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times.min(31))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLL: Poll = Poll {
        first_after: Duration::from_secs(2),
        max_interval: Duration::from_secs(60),
        alert_after: Duration::from_secs(3600),
        give_up_after: Duration::from_secs(86_400),
    };

    #[test]
    fn pauses_double_from_one_second_to_a_minute() {
        let pauses: Vec<_> = (1..=8).map(|attempt| before_retry(attempt, None, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_hint_counts_up_to_an_hour_and_never_shortens() {
        let hint = |secs| before_retry(1, Some(Duration::from_secs(secs)), 0.5);
        assert_eq!(hint(90), Duration::from_secs(90));
        assert_eq!(hint(9_999), Duration::from_secs(3600));
        assert_eq!(hint(0), before_retry(1, None, 0.5));
    }

    #[test]
    fn a_pause_that_ends_further_ahead_than_any_can_is_over() {
        let now = DateTime::from_timestamp(1_772_000_000, 0).unwrap();
        let left = |seconds| left(now + TimeDelta::seconds(seconds), now).as_secs();
        assert_eq!([left(-1), left(0), left(1), left(3600), left(3601), left(172_800)], [0, 0, 1, 3600, 0, 0]);
    }

    proptest! {
        #[test]
        fn pauses_never_shrink_and_stay_below_their_ceiling(attempt in 1u32..10_000, chance in 0.0f64..=1.0) {
            prop_assert!(before_retry(attempt, None, chance) <= before_retry(attempt + 1, None, chance));
            prop_assert!(before_retry(attempt, None, chance) <= LONGEST_PAUSE);
            prop_assert!(before_poll(attempt, POLL, chance) <= before_poll(attempt + 1, POLL, chance));
            prop_assert!(before_poll(attempt, POLL, chance) <= POLL.max_interval.mul_f64(1.1));
        }
    }
}
