//! Whether the records can be trusted: before anything is sent, the state is compared with what lies processed in the inboxes.
//!
//! An inbox is the second witness of what was done. Exports that rosterd filed there, and of which its state knows nothing, mean
//! that the state was lost, that a backup was copied back, or that another state was in use meanwhile.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, warn};

use crate::config::{Config, Source};
use crate::intake::spool::{Spool, Trail};
use crate::report::Run;
use crate::roster::ids::SourceName;
use crate::store::{RunFilter, Store, StoreError};

use super::Desk;

/// How a person is told the time of an export.
const MINUTE: &str = "%Y-%m-%d %H:%M UTC";

/// Compares the state with the inboxes of all sources, and marks it as doubtful if it is not what it should be. To be called
/// before anything is sent. Answers the sources whose inbox could be looked at. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn look(store: &Store, config: &Config, now: DateTime<Utc>) -> Result<BTreeSet<SourceName>, StoreError> {
    if let (true, Some(other)) = (store.is_blank()?, store.beside()) {
        let reason = format!(
            "nothing is on record of who is covered at {}: the records of this state belong to {other}",
            config.api.base_url
        );
        mark(store, config, &reason, now)?;
    }
    let mut looked = BTreeSet::new();
    for source in &config.sources {
        if look_at(store, config, source, now)? {
            looked.insert(source.name.clone());
        }
    }
    Ok(looked)
}

/// Compares the state with one inbox. Whether that could be looked at: a share may be away.
fn look_at(store: &Store, config: &Config, source: &Source, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let newest = match Spool::at(&source.inbox).newest_processed() {
        Ok(newest) => newest,
        Err(error) => {
            debug!(source = %source.name, %error, "the inbox cannot be compared with the state now");
            return Ok(false);
        }
    };
    let Some(at) = newest.first().map(|trail| trail.at) else { return Ok(true) };
    // The state may have forgotten runs that are older than it is told to keep.
    let kept = config.retention.history.and_then(|kept| TimeDelta::from_std(kept).ok());
    if kept.and_then(|kept| now.checked_sub_signed(kept)).is_some_and(|forgotten| at < forgotten) {
        return Ok(true);
    }
    let received = at.format(MINUTE);
    let reason = if store.is_blank()? {
        format!(
            "the record of who is covered is lost: the state was empty, although exports were processed (till {received})"
        )
    } else if is_newer_than_state(store, source, at, &newest)? {
        format!("the record of who is covered is older than the export processed {received}, of which it knows nothing")
    } else {
        return Ok(true);
    };
    // A clock that was set back must not raise the same doubt at every start.
    mark(store, config, &reason, now.max(at))?;
    Ok(true)
}

fn mark(store: &Store, config: &Config, reason: &str, since: DateTime<Utc>) -> Result<(), StoreError> {
    store.mark_doubtful(reason, config.sources.iter().map(|source| source.name.clone()), since)?;
    warn!(reason, "the state cannot be trusted: the next export of every source is held for approval");
    Ok(())
}

/// Whether one of the newest processed exports is unknown to a state that should know it. An export is filed away only after its
/// run is on record, so an unknown one was filed by another state than this.
fn is_newer_than_state(
    store: &Store,
    source: &Source,
    at: DateTime<Utc>,
    newest: &[Trail],
) -> Result<bool, StoreError> {
    if store.doubt()?.is_some_and(|doubt| at <= doubt.since) {
        return Ok(false);
    }
    let last = store.source(&source.name)?.and_then(|state| state.last_accepted);
    // To the second, as in the names of files.
    if last.as_ref().is_some_and(|last| at.timestamp() < last.accepted_at.timestamp()) {
        return Ok(false);
    }
    // Of any source: the inbox may have belonged to one with another name.
    let runs = store.runs(&RunFilter { since: Some(at), ..RunFilter::default() }, usize::MAX)?;
    let is_of = |run: &Run, trail: &Trail| {
        let is_it = run.file.as_ref().is_some_and(|file| file.sha256.starts_with(&trail.sha8));
        is_it && run.received_at.timestamp() == trail.at.timestamp()
    };
    let is_last = |trail: &Trail| last.as_ref().is_some_and(|last| last.sha256.starts_with(&trail.sha8));
    Ok(newest.iter().any(|trail| !is_last(trail) && !runs.iter().any(|run| is_of(run, trail))))
}

impl Desk {
    /// Compares the state with the inbox of a source, unless that was done since the start.
    pub(super) async fn look_at_inbox(&self, source: &Source) -> Result<(), StoreError> {
        let is_done = |looked: &BTreeSet<SourceName>| looked.contains(&source.name);
        if self.looked_at.read().is_ok_and(|looked| is_done(&looked)) {
            return Ok(());
        }
        let (config, now) = (std::sync::Arc::clone(&self.config), self.clock.now());
        let looked = self.store.call(move |store| look(store, &config, now)).await?;
        if let Ok(mut known) = self.looked_at.write() {
            known.extend(looked);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use crate::store::SourceState;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// A state, and an inbox in which an export was processed on the second of November.
    fn world(history: &str) -> (tempfile::TempDir, Config, Store) {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let text = format!(
            "state_dir = \"{at}/state\"\n[api]\nbase_url = \"https://api.test\"\n[retention]\nhistory = \"{history}\"\n\
             [[source]]\nname = \"hris\"\ninbox = \"{at}/in\"\n[source.columns]\nreference_id = \"Id\"\nfirst_name = \"First\"\n\
             last_name = \"Last\"\ndate_of_birth = \"Born\"\naddress_line_1 = \"Street\"\ncity = \"City\"\nstate = \"State\"\n\
             zipcode = \"Zip\"\n[source.group]\nfixed = \"acme\"\n[source.plan]\ndefault = \"pln_a\"\n"
        );
        let config = config::parse(&text, "test.toml", &Environment::default()).unwrap();
        let processed = dir.path().join("in/processed/2026-11");
        std::fs::create_dir_all(&processed).unwrap();
        std::fs::write(processed.join("20261102T060000Z_0a0b0c0d_staff.csv"), "x").unwrap();
        let store = Store::open(&config.state_dir, &config.api.base_url).unwrap();
        (dir, config, store)
    }

    #[test]
    fn a_blank_state_beside_processed_exports_is_a_lost_one() {
        let (_dir, config, store) = world("7y");
        look(&store, &config, time("2026-11-03T06:00:00Z")).unwrap();
        let doubt = store.doubt().unwrap().unwrap();
        assert!(doubt.reason.contains("is lost") && doubt.reason.contains("2026-11-02 06:00"), "{}", doubt.reason);
        assert_eq!(doubt.sources.len(), 1);
    }

    #[test]
    fn the_same_trail_raises_one_doubt_whatever_the_clock_says() {
        let (_dir, config, store) = world("7y");
        store.put_source(&SourceState::new(SourceName::parse("hris").unwrap())).unwrap();
        look(&store, &config, time("2026-11-01T06:00:00Z")).unwrap();
        let doubt = store.doubt().unwrap().unwrap();
        assert!(doubt.reason.contains("is older"), "{}", doubt.reason);
        assert_eq!(doubt.since, time("2026-11-02T06:00:00Z"), "the clock was set back: the export counts");
        for now in ["2026-11-01T07:00:00Z", "2026-11-09T06:00:00Z"] {
            look(&store, &config, time(now)).unwrap();
            assert_eq!(store.doubt().unwrap().unwrap().since, doubt.since);
        }
    }

    #[test]
    fn what_the_state_is_told_to_forget_is_no_sign_of_anything() {
        let (_dir, config, store) = world("30d");
        look(&store, &config, time("2026-12-03T06:00:00Z")).unwrap();
        assert_eq!(store.doubt().unwrap(), None);
    }

    #[test]
    fn an_inbox_that_is_away_is_looked_at_later() {
        let (dir, config, store) = world("7y");
        std::fs::rename(dir.path().join("in"), dir.path().join("away")).unwrap();
        assert!(look(&store, &config, time("2026-11-03T06:00:00Z")).unwrap().is_empty());
        assert_eq!(store.doubt().unwrap(), None);
        std::fs::rename(dir.path().join("away"), dir.path().join("in")).unwrap();
        assert_eq!(look(&store, &config, time("2026-11-03T06:00:00Z")).unwrap().len(), 1);
        assert!(store.doubt().unwrap().is_some());
    }
}
