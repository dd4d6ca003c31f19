//! How often everything happened: proof that the generator reaches it.

use std::collections::BTreeMap;

use rosterd::report::GuardVerdict;

use super::rig::Counts;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) histories: u64,
    pub(crate) days: u64,
    pub(crate) files: u64,
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) added: u64,
    pub(crate) removed: u64,
    pub(crate) missing: u64,
    pub(crate) emptied: u64,
    pub(crate) failures: u64,
    pub(crate) approvals: u64,
    pub(crate) discards: u64,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) rechecks: u64,
    pub(crate) rounds: u64,
    pub(crate) events: Counts,
    pub(crate) guards: Counts,
    pub(crate) kept: Counts,
    pub(crate) states: Counts,
    pub(crate) faults: Counts,
    /// Microseconds of the machine's time by what they were spent on.
    pub(crate) spent: Counts,
}

fn count(counts: &mut Counts, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

impl Tally {
    pub(crate) fn event(&mut self, kind: &str) {
        count(&mut self.events, kind);
    }

    pub(crate) fn guard(&mut self, guard: &str, verdict: GuardVerdict) {
        match verdict {
            GuardVerdict::Pass => {}
            GuardVerdict::Approved => count(&mut self.guards, &format!("{guard}, approved")),
            GuardVerdict::Hold | GuardVerdict::Reject => count(&mut self.guards, guard),
        }
    }

    /// Reasons without what differs from case to case.
    pub(crate) fn kept(&mut self, reason: &str) {
        let class = if reason.contains("missing from") {
            "absent"
        } else if reason.contains("first has to leave") || reason.contains("moves between") {
            "moving"
        } else if reason.contains("the record of source") {
            "other source"
        } else {
            reason.split(": ").nth(1).unwrap_or(reason)
        };
        let is_in = !reason.starts_with("not added");
        count(&mut self.kept, &format!("{} ({class})", if is_in { "kept" } else { "withheld" }));
    }

    pub(crate) fn state(&mut self, state: &str) {
        count(&mut self.states, state);
    }

    pub(crate) fn spend(&mut self, on: &str, since: std::time::Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap();
        *self.spent.entry(on.to_owned()).or_default() += micros;
    }

    pub(crate) fn fault(&mut self, fault: &str) {
        count(&mut self.faults, fault);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.histories, other.histories),
            (&mut self.days, other.days),
            (&mut self.files, other.files),
            (&mut self.accepted, other.accepted),
            (&mut self.requests, other.requests),
            (&mut self.added, other.added),
            (&mut self.removed, other.removed),
            (&mut self.missing, other.missing),
            (&mut self.emptied, other.emptied),
            (&mut self.failures, other.failures),
            (&mut self.approvals, other.approvals),
            (&mut self.discards, other.discards),
            (&mut self.kills, other.kills),
            (&mut self.restarts, other.restarts),
            (&mut self.rechecks, other.rechecks),
            (&mut self.rounds, other.rounds),
        ] {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.events, &other.events),
            (&mut self.guards, &other.guards),
            (&mut self.kept, &other.kept),
            (&mut self.states, &other.states),
            (&mut self.faults, &other.faults),
            (&mut self.spent, &other.spent),
        ] {
            for (name, count) in more {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
    }

    pub(crate) fn told(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            let all: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            all.join(", ")
        };
        format!(
            "{} histories, {} days, {} files ({} accepted), {} rosters taken by the API, {} added, {} removed ({} by absence, {} \
             groups emptied), {} members failed, {} approvals, {} discards, {} kills, {} restarts, {} re-checks, {} rounds to the truth\n\
             events: {}\nguards that held: {}\npeople in doubt: {}\nruns: {}\nfaults met: {}\nmilliseconds: {}",
            self.histories,
            self.days,
            self.files,
            self.accepted,
            self.requests,
            self.added,
            self.removed,
            self.missing,
            self.emptied,
            self.failures,
            self.approvals,
            self.discards,
            self.kills,
            self.restarts,
            self.rechecks,
            self.rounds,
            list(&self.events),
            list(&self.guards),
            list(&self.kept),
            list(&self.states),
            list(&self.faults),
            list(&self.spent.iter().map(|(on, micros)| (on.clone(), micros / 1000)).collect()),
        )
    }
}
