//! Retention: what is older than the config keeps it is forgotten, once a day.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::intake::spool::Spool;

use super::{Desk, SyncError};

impl Desk {
    /// Removes processed exports and forgets history that are older than the config says. What cannot be removed now is tried
    /// again the next day.
    pub async fn retire(&self) {
        let now = self.clock.now();
        let before = |kept: Option<std::time::Duration>| -> Option<DateTime<Utc>> {
            now.checked_sub_signed(TimeDelta::from_std(kept?).ok()?)
        };
        if let Some(before) = before(self.config.retention.exports) {
            for source in &self.config.sources {
                if let Err(error) = self.retire_exports(source, before).await {
                    warn!(source = %source.name, %error, "old exports cannot be removed");
                }
            }
        }
        if let Some(before) = before(self.config.retention.history) {
            match self.store.call(move |store| store.forget_before(before)).await {
                Ok(0) => {}
                Ok(runs) => info!(runs, "old history forgotten"),
                Err(error) => warn!(%error, "old history cannot be forgotten"),
            }
        }
    }

    async fn retire_exports(&self, source: &crate::config::Source, before: DateTime<Utc>) -> Result<(), SyncError> {
        let last = self.source_state(&source.name).await?.last_accepted;
        let kept = match last {
            Some(last) => {
                self.store.call(move |store| store.bare_run(&last.run)).await?.and_then(|record| record.filed_as)
            }
            None => None,
        };
        let inbox = source.inbox.clone();
        let files = super::filing::blocking(move || Spool::at(&inbox).expire(before, kept.as_deref())).await?;
        if files != 0 {
            info!(source = %source.name, files, "old exports removed");
        }
        Ok(())
    }
}
