//! What is known before a plan: the confirmed rosters, what is under way, and which groups the API has.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tracing::info;

use crate::config::Source;
use crate::plan::{Alike, Baseline, GroupStanding, Previous};
use crate::report::Phase;
use crate::roster::ids::{GroupRef, ReferenceId, SourceName};
use crate::roster::{ConfirmedRoster, Entry, Loss, Reading};
use crate::store::{Doubt, GroupRecord, SourceState, Store, StoreError, Work};

use super::examine::Examined;
use super::{Desk, SyncError};

/// What the store knows of the groups that a plan is about, or of all. What the API confirms while it is loaded is in it too, as under
/// way.
#[derive(Default)]
pub(super) struct Known {
    /// What of all this cannot be trusted.
    pub(super) doubt: Option<Doubt>,
    under_way: Vec<UnderWay>,
    rosters: Vec<ConfirmedRoster>,
    /// Members of those rosters who are not in them, only counted.
    alike: BTreeMap<GroupRef, Alike>,
}

/// The work of one group.
struct UnderWay {
    group: GroupRef,
    /// Whom the API may cover already, although nothing was confirmed.
    in_flight: Option<Vec<Entry>>,
    /// The payload that is sent last.
    queued: Option<Vec<Entry>>,
    /// Whom the group gains from which other, as far as nobody knows that they arrived.
    arriving: Vec<(ReferenceId, GroupRef)>,
}

/// What can be loaded while an export is read: where its source has people. Where it has none, but others have, is looked through
/// once the export says of whom it speaks, since somebody may be covered there: a million members of a hundred sources are not
/// loaded for each of the hundred.
pub(super) struct Glimpse {
    known: Known,
    /// Groups in which the source has nobody.
    of_others: Vec<GroupRef>,
}

impl Glimpse {
    /// `owner` is the source whose export is read; none loads everything.
    pub(super) fn load(store: &Store, owner: Option<&SourceName>) -> Result<Self, StoreError> {
        let (mut near, mut of_others) = (Vec::new(), Vec::new());
        for group in groups_on_record(store)? {
            let is_near = match owner {
                // Whoever is between two groups can be looked for in either.
                Some(owner) => has_arrivals(store, &group)? || store.has_members_of(&group, owner)?,
                None => true,
            };
            if is_near { near.push(group) } else { of_others.push(group) }
        }
        let mut known = Known { doubt: store.doubt()?, ..Known::default() };
        known.add(store, &near)?;
        Ok(Self { known, of_others })
    }

    /// Of everything that a plan needs.
    pub(super) fn all(known: Known) -> Self {
        Self { known, of_others: Vec::new() }
    }

    /// With the groups of others that the reading names, or has people of.
    pub(super) fn complete(self, store: &Store, reading: &Reading) -> Result<Known, StoreError> {
        let Self { mut known, of_others } = self;
        if of_others.is_empty() {
            return Ok(known);
        }
        let named: HashSet<&GroupRef> = reading.people.iter().filter_map(|person| person.group.as_ref()).collect();
        let arriving: Vec<String> = known.arriving().map(ToString::to_string).collect();
        let people = reading.people.iter().map(|person| person.reference_id().as_str());
        let people: HashSet<&str> = people.chain(arriving.iter().map(String::as_str)).collect();
        let mut near = Vec::new();
        for group in of_others {
            let is_named = named.contains(&group) || reading.groups.contains_key(&group);
            if is_named || store.has_any(&group, &people)? {
                near.push(group);
            }
        }
        known.add(store, &near)?;
        Ok(known)
    }
}

/// Every group with a roster, confirmed, under way, or perhaps in force.
pub(super) fn groups_on_record(store: &Store) -> Result<BTreeSet<GroupRef>, StoreError> {
    Ok(busy(store)?.into_iter().chain(store.roster_groups()?).collect())
}

/// The groups with something under way, or perhaps in force.
pub(super) fn busy(store: &Store) -> Result<BTreeSet<GroupRef>, StoreError> {
    Ok(store.groups_with_work()?.into_iter().chain(store.groups_abroad()?).collect())
}

fn has_arrivals(store: &Store, group: &GroupRef) -> Result<bool, StoreError> {
    let batches = [store.open_batch(group)?, store.next_batch(group)?];
    Ok(batches.iter().flatten().any(|batch| !batch.moves_in.is_empty()))
}

impl Known {
    /// All groups of all sources.
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Glimpse::load(store, None)?.known)
    }

    /// The order matters: a batch that is settled between the two steps is then seen twice, as under way and as confirmed, and
    /// nobody whom it added is overlooked.
    pub(super) fn add(&mut self, store: &Store, groups: &[GroupRef]) -> Result<(), StoreError> {
        // Most groups are idle, and to read what is under way waits for whoever writes.
        let busy = busy(store)?;
        for group in groups.iter().filter(|group| busy.contains(group)) {
            self.under_way.extend(self.work_of(store, group)?);
        }
        for group in groups {
            self.rosters.extend(store.roster(group)?);
        }
        Ok(())
    }

    /// Adds the confirmed roster of a group with nothing under way, and who is left out of it.
    pub(super) fn add_part(&mut self, roster: Option<ConfirmedRoster>, alike: Alike) {
        self.alike.extend(roster.iter().map(|roster| (roster.group.clone(), alike)));
        self.rosters.extend(roster);
    }

    /// Everybody who is in it.
    pub(super) fn each_id(&self, mut each: impl FnMut(&ReferenceId)) {
        let confirmed = self.rosters.iter().flat_map(ConfirmedRoster::members);
        let under_way = self.under_way.iter().flat_map(|work| [&work.in_flight, &work.queued]).flatten().flatten();
        confirmed.chain(under_way).for_each(|entry| each(&entry.member.reference_id));
        self.arriving().for_each(each);
    }

    fn work_of(&self, store: &Store, group: &GroupRef) -> Result<Option<UnderWay>, StoreError> {
        let has_overtaken =
            |work: &Work| self.doubt.as_ref().is_some_and(|doubt| doubt.has_overtaken(&work.batch.batch));
        let mut open = store.work(group)?;
        let mut next = store.next_work(group)?;
        // What was sent earlier and ended without results may be in force as well.
        let mut abroad = store.abroad(group)?;
        if open.is_none() && next.is_none() && abroad.is_empty() {
            return Ok(None);
        }
        // Perhaps sent, perhaps followed by others: it may have added people, and says nothing of who was to leave.
        for overtaken in [open.take_if(|open| has_overtaken(open)), next.take_if(|next| has_overtaken(next))] {
            abroad = overtaken.map_or(abroad.clone(), |work| crate::roster::merged(work.payload, abroad));
        }
        if let Some(open) = &open
            && (open.batch.phase != Phase::Pending || open.batch.attempts != 0)
        {
            abroad = crate::roster::merged(open.payload.clone(), abroad);
        }
        let in_flight = (!abroad.is_empty()).then_some(abroad);
        let batches = open.iter().chain(&next).map(|work| &work.batch);
        let arriving = batches.flat_map(|batch| &batch.moves_in).filter(|arrival| arrival.stays.is_none());
        let arriving = arriving.map(|arrival| (arrival.reference_id.clone(), arrival.from.clone())).collect();
        let queued = next.or(open).map(|work| work.payload);
        Ok(Some(UnderWay { group: group.clone(), in_flight, queued, arriving }))
    }

    fn arriving(&self) -> impl Iterator<Item = &ReferenceId> {
        self.under_way.iter().flat_map(|work| &work.arriving).map(|(id, _)| id)
    }

    /// Which other groups than this one cover, may cover, or are about to cover which of these people.
    pub(super) fn elsewhere<'a>(
        &self,
        group: &GroupRef,
        people: impl Iterator<Item = &'a ReferenceId>,
    ) -> BTreeMap<ReferenceId, GroupRef> {
        let wanted: HashSet<&ReferenceId> = people.collect();
        let confirmed = self.rosters.iter().map(|roster| (&roster.group, roster.members()));
        let under_way = self.under_way.iter().flat_map(|work| {
            let payloads = [&work.in_flight, &work.queued].into_iter().flatten();
            payloads.map(|payload| (&work.group, payload.as_slice()))
        });
        let mut found = BTreeMap::new();
        for (other, entries) in confirmed.chain(under_way).filter(|(other, _)| *other != group) {
            let ids = entries.iter().map(|entry| &entry.member.reference_id).filter(|id| wanted.contains(id));
            found.extend(ids.map(|id| (id.clone(), other.clone())));
        }
        found
    }

    /// Which other groups than this one once covered which of its people.
    pub(super) fn came_from(&self, group: &GroupRef) -> BTreeMap<ReferenceId, GroupRef> {
        let here = self.rosters.iter().filter(|roster| roster.group == *group).flat_map(ConfirmedRoster::members);
        let here: Vec<&ReferenceId> = here.map(|entry| &entry.member.reference_id).collect();
        let mut found = BTreeMap::new();
        for roster in self.rosters.iter().filter(|roster| roster.group != *group) {
            let former = here.iter().filter(|id| roster.is_former(id));
            found.extend(former.map(|id| ((*id).clone(), roster.group.clone())));
        }
        found
    }

    /// The baselines of all groups that are known, and of those that the reading names.
    pub(super) fn baselines(
        self,
        records: &[GroupRecord],
        source: &Source,
        reading: &Reading,
    ) -> BTreeMap<GroupRef, Baseline> {
        let records: BTreeMap<&GroupRef, &GroupRecord> = records.iter().map(|record| (&record.group, record)).collect();
        let is_in_doubt = |group: &GroupRef| self.doubt.as_ref().is_some_and(|doubt| doubt.groups.contains(group));
        let is_source_in_doubt = self.doubt.as_ref().is_some_and(|doubt| doubt.sources.contains(&source.name));
        let standing = |group: &GroupRef| match records.get(group) {
            _ if is_in_doubt(group) => GroupStanding::Doubtful,
            // Ours, or still to be made.
            Some(record) if record.made_by_us || record.id.is_none() => GroupStanding::Ours,
            Some(_) => GroupStanding::Stranger,
            // Only a plan to be looked at gets here: whoever carries it out asks the API first, and finds it there.
            None if is_source_in_doubt => GroupStanding::Stranger,
            None if source.group.create => GroupStanding::Ours,
            None => GroupStanding::Lacking,
        };
        let mut baselines = BTreeMap::new();
        for roster in self.rosters {
            let (group, standing) = (roster.group.clone(), standing(&roster.group));
            let alike = self.alike.get(&group).copied().unwrap_or_default();
            baselines.insert(group, Baseline::new(Some(roster), standing).with_alike(alike));
        }
        let work = self.under_way.iter().map(|work| &work.group);
        for group in reading.groups.keys().chain(work) {
            baselines.entry(group.clone()).or_insert_with(|| Baseline::new(None, standing(group)));
        }
        for UnderWay { group, in_flight, queued, arriving } in self.under_way {
            let Some(mut baseline) = baselines.remove(&group) else { continue };
            if let Some(payload) = &in_flight {
                baseline = baseline.with_in_flight(payload);
            }
            if let Some(payload) = queued {
                baseline = baseline.with_queued(payload).with_arriving(arriving);
            }
            baselines.insert(group, baseline);
        }
        for (group, baseline) in &mut baselines {
            baseline.set_paused(records.get(group).is_some_and(|record| record.paused.is_some()));
        }
        baselines
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

/// Whom plans of all sources removed lately without an approval.
pub(super) fn losses(store: &Store, sources: &[SourceName]) -> Result<Vec<Loss>, StoreError> {
    let mut losses = Vec::new();
    for source in sources {
        losses.extend(store.source(source)?.into_iter().flat_map(|state| state.losses));
    }
    Ok(losses)
}

/// Groups of a reading that are not on record.
#[derive(Default)]
pub(super) struct Unheard {
    organization: Option<String>,
    /// Those that the API has: they were there before rosterd.
    pub(super) theirs: Vec<GroupRecord>,
    /// Those that it lacks, with the names that the export gives them.
    lacking: Vec<(GroupRef, String)>,
}

impl Desk {
    /// Makes sure that every group of the reading is on record: those that the API has, and the intent to make those that it
    /// lacks. Asks the API only when there is a group that nobody has heard of.
    pub(super) async fn learn_groups(&self, source: &Source, examined: &Examined) -> Result<(), SyncError> {
        let Unheard { organization, theirs, lacking } = self.find_groups(examined).await?;
        if let Some(organization) = organization {
            self.store.call(move |store| store.bind_organization(&organization)).await?;
        }
        for record in &theirs {
            info!(group = %record.group, "the group was in the API before rosterd");
        }
        let to_make = |(group, name)| GroupRecord { group, id: None, name, made_by_us: false, paused: None };
        let lacking = lacking.into_iter().filter(|_| source.group.create).map(to_make);
        let records: Vec<GroupRecord> = theirs.into_iter().chain(lacking).collect();
        self.store.call(move |store| store.put_groups(&records)).await?;
        Ok(())
    }

    /// Looks which groups of the reading that are not on record the API has. Stores nothing, and asks only when there are such.
    pub(super) async fn find_groups(&self, examined: &Examined) -> Result<Unheard, SyncError> {
        let named = examined.reading.groups.clone();
        let known: HashSet<GroupRef> = self.store.call(|store| Ok(store.known_groups()?.into_iter().collect())).await?;
        let unheard: Vec<(GroupRef, String)> = named.into_iter().filter(|(group, _)| !known.contains(group)).collect();
        let mut result = Unheard::default();
        if unheard.is_empty() {
            return Ok(result);
        }
        let there = self.api.groups().await?;
        result.organization = there.iter().find_map(|group| group.organization_id.clone());
        for (group, name) in unheard {
            match there.iter().find(|there| there.external_reference_id.as_ref() == Some(&group)) {
                Some(there) => {
                    let (id, name) = (Some(there.id.clone()), there.name.clone());
                    result.theirs.push(GroupRecord { group, id, name, made_by_us: false, paused: None });
                }
                None => result.lacking.push((group, name)),
            }
        }
        Ok(result)
    }
}
