//! What is known before a plan: the confirmed rosters, what is under way, and which groups the API has.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tracing::info;

use crate::config::Source;
use crate::plan::{Baseline, GroupStanding, Previous};
use crate::report::Phase;
use crate::roster::Reading;
use crate::roster::ids::{GroupRef, SourceName};
use crate::store::{GroupRecord, SourceState, Store, StoreError};

use super::examine::Examined;
use super::{Desk, SyncError};

/// The baselines of all groups, of every source: a plan must know where else a person is covered.
pub(super) fn gather(
    store: &Store,
    source: &Source,
    reading: &Reading,
) -> Result<BTreeMap<GroupRef, Baseline>, StoreError> {
    let records: BTreeMap<GroupRef, GroupRecord> =
        store.groups()?.into_iter().map(|record| (record.group.clone(), record)).collect();
    let standing = |group: &GroupRef| match records.get(group) {
        Some(record) if record.made_by_us => GroupStanding::Ours,
        Some(_) => GroupStanding::Stranger,
        None if source.group.create => GroupStanding::Ours,
        None => GroupStanding::Lacking,
    };
    let mut baselines = BTreeMap::new();
    store.each_roster(|roster| {
        let group = roster.group.clone();
        let standing = standing(&group);
        baselines.insert(group, Baseline::new(Some(roster), standing));
    })?;
    for group in reading.groups.keys() {
        baselines.entry(group.clone()).or_insert_with(|| Baseline::new(None, standing(group)));
    }
    let busy: BTreeSet<GroupRef> = store.groups_with_work()?.into_iter().chain(store.groups_abroad()?).collect();
    for group in busy {
        let baseline = baselines.remove(&group).unwrap_or_else(|| Baseline::new(None, standing(&group)));
        baselines.insert(group.clone(), under_way(store, &group, baseline)?);
    }
    Ok(baselines)
}

/// Adds what may have been done without having been confirmed: the roster under way, and earlier ones that ended without results.
fn under_way(store: &Store, group: &GroupRef, mut baseline: Baseline) -> Result<Baseline, StoreError> {
    let mut abroad = store.abroad(group)?;
    let open = store.work(group)?;
    if let Some(open) = &open
        && (open.batch.phase != Phase::Pending || open.batch.attempts != 0)
    {
        abroad = crate::roster::merged(open.payload.clone(), abroad);
        baseline = baseline.with_in_flight(&abroad);
    } else if !abroad.is_empty() {
        baseline = baseline.with_in_flight(&abroad);
    }
    match store.next_work(group)?.or(open) {
        Some(queued) => Ok(baseline.with_queued(queued.payload)),
        None => Ok(baseline),
    }
}

/// What the export before this one was like.
pub(super) fn previous(
    store: &Store,
    source: &SourceName,
    state: &SourceState,
    sha256: &str,
) -> Result<Option<Previous>, StoreError> {
    let Some(last) = &state.last_accepted else { return Ok(None) };
    let is_return = last.sha256 != sha256 && store.accepted(source, sha256)?.is_some();
    Ok(Some(Previous { rows: last.rows, modified: last.modified, is_return }))
}

impl Desk {
    /// Makes sure that every group of the reading is on record: those that the API has, and the intent to make those that it
    /// lacks. Asks the API only when there is a group that nobody has heard of.
    pub(super) async fn learn_groups(&self, source: &Source, examined: &Examined) -> Result<(), SyncError> {
        let named = examined.reading.groups.clone();
        let known: HashSet<GroupRef> =
            self.store.call(|store| Ok(store.groups()?.into_iter().map(|record| record.group).collect())).await?;
        let unheard: Vec<(GroupRef, String)> = named.into_iter().filter(|(group, _)| !known.contains(group)).collect();
        if unheard.is_empty() {
            return Ok(());
        }
        let there = self.api.groups().await?;
        let create = source.group.create;
        let records: Vec<GroupRecord> = unheard
            .into_iter()
            .filter_map(|(group, name)| {
                let found = there.iter().find(|found| found.external_reference_id.as_ref() == Some(&group));
                match found {
                    Some(found) => {
                        info!(group = %group, "the group was in the API before rosterd");
                        let (id, name) = (Some(found.id.clone()), found.name.clone());
                        Some(GroupRecord { group, id, name, made_by_us: false, paused: None })
                    }
                    None if create => Some(GroupRecord { group, id: None, name, made_by_us: true, paused: None }),
                    None => None,
                }
            })
            .collect();
        self.store.call(move |store| records.iter().try_for_each(|record| store.put_group(record))).await?;
        Ok(())
    }
}
