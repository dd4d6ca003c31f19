//! Fewer events that still go wrong in the same way: halves, quarters, and so on down to single ones are left out as long as the
//! same property is violated.

use std::time::{Duration, Instant};

use super::history::History;
use super::judge::Violation;
use super::rig::live;

/// The smallest failing history that is found within the time, and what is wrong with it.
pub(crate) fn shrink(history: &History, violation: &Violation, within: Duration) -> (History, Violation) {
    let begun = Instant::now();
    let mut best = (history.clone(), violation.clone());
    let fails = |history: &History| live(history, false).1.err().filter(|found| found.property == violation.property);
    // Days after the last event that matters go first.
    loop {
        let days = best.0.events.iter().map(|(day, _)| day + 1).max().unwrap_or(1);
        let fewer = History { days: days.min(best.0.days), ..best.0.clone() };
        if fewer.days < best.0.days
            && let Some(found) = fails(&fewer)
        {
            best = (fewer, found);
        }
        let before = best.0.events.len();
        let mut chunk = (before / 2).max(1);
        while begun.elapsed() < within {
            let mut at = 0;
            while at < best.0.events.len() && begun.elapsed() < within {
                let mut events = best.0.events.clone();
                events.drain(at..(at + chunk).min(events.len()));
                let fewer = History { events, ..best.0.clone() };
                match fails(&fewer) {
                    Some(found) => best = (fewer, found),
                    None => at += chunk,
                }
            }
            if chunk == 1 {
                break;
            }
            chunk = (chunk / 2).max(1);
        }
        if within <= begun.elapsed() || best.0.events.len() == before {
            break;
        }
    }
    // People who play no part.
    let mut at = 0;
    while at < best.0.shape.people.len() && begun.elapsed() < within {
        let mut fewer = best.0.clone();
        if fewer.shape.people[at].standing != super::people::Standing::Outside {
            fewer.shape.people[at].standing = super::people::Standing::Outside;
            if let Some(found) = fails(&fewer) {
                best = (fewer, found);
            }
        }
        at += 1;
    }
    best
}
