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
    let received = at.format(MINUTE);
    let reason = if store.is_blank()? {
        format!(
            "the record of who is covered is lost: the state was empty, although exports were processed (till {received})"
        )
    } else if is_newer_than_state(store, config, source, (at, &newest), now)? {
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

/// Whether one of the newest processed exports is unknown to a state that should know it. An export is filed away only after its run is on
/// record, so an unknown one was filed by another state than this.
fn is_newer_than_state(
    store: &Store,
    config: &Config,
    source: &Source,
    (at, newest): (DateTime<Utc>, &[Trail]),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if store.doubt()?.is_some_and(|doubt| at <= doubt.since) {
        return Ok(false);
    }
    // The state may have forgotten runs that are older than it is told to keep.
    let kept = config.retention.history.and_then(|kept| TimeDelta::from_std(kept).ok());
    if kept.and_then(|kept| now.checked_sub_signed(kept)).is_some_and(|forgotten| at < forgotten) {
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
