//! Reads only what may change: rows that an earlier export had as well are passed over, and people who are confirmed as their row says
//! are counted instead of loaded.
//!
//! It may be done for somebody when the same row said before where they are covered and with which record; when they are on the
//! confirmed roster of that group with that record, and nothing is under way there; and when no other row and no other group speaks of
//! them. Of everybody else the row is read and the record loaded, as without any of this. The plan is the same.
//!
//! The familiar rows are compared with what is confirmed while the export is read; then both are put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use rayon::prelude::*;
use tokio::sync::oneshot;

use crate::config::Source;
use crate::plan::Alike;
use crate::roster::familiar::{Familiar, GroupDigest, MemberDigest, PersonKey, PersonKeys, Recognized};
use crate::roster::ids::{GroupRef, ReferenceId, SourceName};
use crate::roster::{ConfirmedRoster, Reading};
use crate::store::{Store, StoreError};

use super::Desk;
use super::baseline::{self, Glimpse, Known};
use super::examine::{self, ExamineError, Examined, Surveyed};

/// With more rows than this part to be read again, all are read: it costs no more.
const MOST_AGAIN: usize = 4;

/// What is loaded while an export is read.
enum Loaded {
    /// What familiar rows are worth today.
    Compared(Compared),
    /// Everything that may be needed: nothing is familiar.
    All(Glimpse),
}

/// What came of putting rows and records together.
enum Joined {
    /// What is known; who is alike in it only counted.
    Known(Known),
    /// These rows have to be read.
    Again(Vec<usize>),
    /// All of them have to be.
    Whole,
}

impl Desk {
    /// Reads an export, and loads what a plan has to compare it with.
    ///
    /// # Errors
    /// When the state cannot be read; the inner one is about the export.
    pub(super) async fn look(
        &self,
        source: &Source,
        survey: impl Future<Output = Result<Surveyed, ExamineError>>,
        today: NaiveDate,
    ) -> Result<Result<(Examined, Glimpse), ExamineError>, StoreError> {
        let (tell, told) = oneshot::channel();
        let reading = async {
            let (survey, familiar) = tokio::join!(survey, told);
            let mut surveyed = survey?;
            let recognized = familiar.ok().map(|familiar| Recognized::new(familiar, today));
            let examined = examine::read(&mut surveyed, source, today, recognized).await?;
            Ok((surveyed, examined))
        };
        let (loaded, read) = tokio::join!(self.load(source, tell), reading);
        let loaded = loaded?;
        let (mut surveyed, mut examined) = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let mut compared = match loaded {
            Loaded::Compared(compared) => compared,
            Loaded::All(glimpse) => return Ok(Ok((examined, glimpse))),
        };
        while let Some(mut recognized) = examined.recognized.take() {
            let joined;
            (recognized, examined, compared, joined) = self.join(recognized, examined, compared).await?;
            let again = match joined {
                Joined::Known(known) => {
                    examined.recognized = Some(recognized);
                    return Ok(Ok((examined, Glimpse::all(known))));
                }
                Joined::Again(rows) => {
                    recognized.read_again(&rows);
                    Some(recognized)
                }
                Joined::Whole => None,
            };
            examined = match examine::read(&mut surveyed, source, today, again).await {
                Ok(examined) => examined,
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok((examined, self.glimpse(source).await?)))
    }

    /// Loads the rows of the source's last accepted export, hands them over to whoever reads, and compares them with what is confirmed.
    async fn load(&self, source: &Source, tell: oneshot::Sender<Arc<Familiar>>) -> Result<Loaded, StoreError> {
        let (owner, reads_all) = (source.name.clone(), self.reads_all);
        let compared = self.store.call(move |store| {
            // While the records cannot be trusted they are looked at one by one.
            let familiar = if reads_all || store.doubt()?.is_some() { None } else { store.familiar(&owner) };
            let Some(familiar) = familiar.map(Arc::new) else { return Ok(None) };
            // Nobody waits for it if the export cannot be read.
            drop(tell.send(Arc::clone(&familiar)));
            Compared::load(store, familiar, &owner).map(Some)
        });
        match compared.await? {
            Some(compared) => Ok(Loaded::Compared(compared)),
            None => Ok(Loaded::All(self.glimpse(source).await?)),
        }
    }

    /// Puts together what was read, what was passed over, and what is confirmed.
    async fn join(
        &self,
        recognized: Recognized,
        examined: Examined,
        mut compared: Compared,
    ) -> Result<(Recognized, Examined, Compared, Joined), StoreError> {
        let sources: Vec<SourceName> = self.config.sources.iter().map(|source| source.name.clone()).collect();
        self.store
            .call(move |store| {
                let losses = baseline::losses(store, &sources)?;
                let lost = losses.iter().map(|loss| &loss.reference_id);
                let joined = compared.join(store, &recognized, &examined.reading, lost)?;
                Ok((recognized, examined, compared, joined))
            })
            .await
    }
}

/// Familiar rows beside the confirmed rosters.
struct Compared {
    familiar: Arc<Familiar>,
    /// Of each row in a group that was looked through, whether its person is confirmed as it says.
    is_confirmed: Vec<bool>,
    /// Of each group of the rows, whether all of its rows are confirmed, and nobody else.
    is_calm: Vec<bool>,
    /// Groups with something under way, in full.
    busy: Option<Known>,
    /// The others.
    idle: Vec<Idle>,
}

/// A group with a confirmed roster and nothing under way.
struct Idle {
    group: GroupRef,
    /// Its number among those of the rows.
    place: Option<usize>,
    members: usize,
    /// Members of the source who are not confirmed as a row says.
    odd: Vec<PersonKey>,
    /// Members of other sources.
    of_others: Vec<PersonKey>,
    /// The rows that are confirmed.
    confirmed: Vec<u32>,
}

/// A row about somebody in a group.
#[derive(Clone, Copy)]
struct Saying {
    person: PersonKey,
    member: MemberDigest,
    at: u32,
}

/// A member, as far as they are compared.
#[derive(Clone, Copy)]
struct Confirmed {
    person: PersonKey,
    member: MemberDigest,
    /// Whether the API is believed to have them on the plan of their record.
    has_own_plan: bool,
}

impl Compared {
    fn load(store: &Store, familiar: Arc<Familiar>, owner: &SourceName) -> Result<Self, StoreError> {
        let busy = baseline::busy(store)?;
        let groups = baseline::groups_on_record(store)?;
        let (under_way, idle): (Vec<GroupRef>, Vec<GroupRef>) =
            groups.into_iter().partition(|group| busy.contains(group));
        // What is under way goes first: what is settled in between is then seen twice, and nobody is overlooked.
        let mut known = Known::default();
        known.add(store, &under_way)?;
        let n_places = familiar.groups.len();
        let mut digests = vec![GroupDigest::default(); n_places];
        for row in familiar.rows.iter() {
            let Some(covers) = row.covers() else { continue };
            digests.get_mut(covers.group as usize).into_iter().for_each(|digest| digest.add(row.person, covers.member));
        }
        let places: BTreeMap<&GroupRef, usize> = familiar.groups.iter().map(|(group, _)| group).zip(0..).collect();
        let mut is_calm = vec![false; n_places];
        let mut all = Vec::new();
        let mut to_look_at = Vec::new();
        for group in idle {
            let place = places.get(&group).copied();
            let said = place.and_then(|place| digests.get(place)).copied();
            match store.group_digest(&group)?.filter(|(known, digest)| known == owner && Some(*digest) == said) {
                Some((_, digest)) => {
                    place.and_then(|place| is_calm.get_mut(place)).into_iter().for_each(|is_calm| *is_calm = true);
                    all.push(Idle::calm(group, place, digest));
                }
                None => to_look_at.push((group, place)),
            }
        }
        let mut sayings: Vec<Vec<Saying>> = vec![Vec::new(); n_places];
        for (at, row) in (0..).zip(familiar.rows.iter()) {
            let Some(covers) = row.covers() else { continue };
            let place = covers.group as usize;
            if let (Some(of_group), Some(false)) = (sayings.get_mut(place), is_calm.get(place)) {
                of_group.push(Saying { person: row.person, member: covers.member, at });
            }
        }
        let load = |(group, place): (GroupRef, Option<usize>)| {
            let sayings = place.and_then(|place| sayings.get(place)).map_or(&[][..], Vec::as_slice);
            Idle::load(store, (group, place), sayings.to_vec(), owner)
        };
        let idle = to_look_at.into_par_iter().map(load).collect::<Result<Vec<Idle>, StoreError>>()?;
        let mut is_confirmed = vec![false; familiar.rows.len()];
        for at in idle.iter().flat_map(|group| &group.confirmed) {
            if let Some(is_confirmed) = is_confirmed.get_mut(*at as usize) {
                *is_confirmed = true;
            }
        }
        all.extend(idle);
        Ok(Self { familiar, is_confirmed, is_calm, busy: Some(known), idle: all })
    }

    /// Loads whom anything else than a familiar row speaks of, and counts the rest.
    fn join<'a>(
        &mut self,
        store: &Store,
        recognized: &Recognized,
        reading: &Reading,
        lost: impl Iterator<Item = &'a ReferenceId>,
    ) -> Result<Joined, StoreError> {
        let key = |id: &ReferenceId| PersonKey::of(id.as_str());
        let is_calm = |place: u32| self.is_calm.get(place as usize).is_some_and(|is_calm| *is_calm);
        let rows = || {
            recognized.rows().zip(&self.is_confirmed).map(|((row, is_there), is_confirmed)| {
                let is_confirmed = *is_confirmed || row.covers().is_some_and(|covers| is_calm(covers.group));
                (row, is_there, is_confirmed)
            })
        };
        let mut spoken_of = PersonKeys::default();
        spoken_of.extend(reading.people.iter().map(|person| key(person.reference_id())));
        spoken_of.extend(lost.map(key));
        if let Some(busy) = &self.busy {
            busy.each_id(|id| spoken_of.insert(key(id)));
        }
        spoken_of.extend(self.idle.iter().flat_map(|group| &group.odd).copied());
        spoken_of.extend(
            rows().filter(|(_, is_there, is_confirmed)| !is_there && *is_confirmed).map(|(row, ..)| row.person),
        );

        let mut again = Vec::new();
        let mut alike = vec![0; self.familiar.groups.len()];
        let mut is_loaded = vec![false; self.familiar.groups.len()];
        for (at, (row, is_there, is_confirmed)) in rows().enumerate() {
            let is_spoken_of = spoken_of.contains(row.person);
            if is_there && (is_spoken_of || row.covers().is_some() != is_confirmed) {
                again.push(at);
            }
            let Some(place) = row.covers().filter(|_| is_confirmed).map(|covers| covers.group as usize) else {
                continue;
            };
            if is_spoken_of {
                is_loaded.get_mut(place).into_iter().for_each(|is_loaded| *is_loaded = true);
            } else {
                alike.get_mut(place).into_iter().for_each(|alike| *alike += 1);
            }
        }
        if !again.is_empty() {
            let is_few = again.len() * MOST_AGAIN <= recognized.len();
            return Ok(if is_few { Joined::Again(again) } else { Joined::Whole });
        }
        let named: BTreeSet<&GroupRef> = reading.people.iter().filter_map(|person| person.group.as_ref()).collect();
        let part = |group: &Idle| {
            let of = |of_places: &[usize]| group.place.and_then(|place| of_places.get(place)).copied().unwrap_or(0);
            let others = group.of_others.iter().filter(|person| !spoken_of.contains(**person)).count();
            let counted = Alike { own: of(&alike), of_others: others };
            let has_loaded = group.place.and_then(|place| is_loaded.get(place)).is_some_and(|is_loaded| *is_loaded);
            let is_needed =
                has_loaded || !group.odd.is_empty() || others != group.of_others.len() || named.contains(&group.group);
            let roster = if is_needed {
                store.roster_part(&group.group, |id| spoken_of.contains(PersonKey::of_bytes(id)))?
            } else {
                // Nobody asks for anything else of it.
                Some(ConfirmedRoster::new(group.group.clone(), Vec::new(), Vec::new(), DateTime::UNIX_EPOCH))
            };
            Ok((roster, counted, group.members))
        };
        let parts = self.idle.par_iter().map(part).collect::<Result<Vec<_>, StoreError>>()?;
        let is_whole = |(roster, counted, members): &(Option<ConfirmedRoster>, Alike, usize)| {
            roster.as_ref().is_some_and(|roster| roster.members().len() + counted.own + counted.of_others == *members)
        };
        let Some(mut known) = self.busy.take_if(|_| parts.iter().all(is_whole)) else { return Ok(Joined::Whole) };
        for (roster, counted, _) in parts {
            known.add_part(roster, counted);
        }
        Ok(Joined::Known(known))
    }
}

impl Idle {
    /// A group of which all rows are confirmed, and nobody else.
    fn calm(group: GroupRef, place: Option<usize>, digest: GroupDigest) -> Self {
        let members = usize::try_from(digest.people).unwrap_or(usize::MAX);
        Self { group, place, members, odd: Vec::new(), of_others: Vec::new(), confirmed: Vec::new() }
    }

    fn load(
        store: &Store,
        (group, place): (GroupRef, Option<usize>),
        mut sayings: Vec<Saying>,
        owner: &SourceName,
    ) -> Result<Self, StoreError> {
        let mut idle = Self { group, place, members: 0, odd: Vec::new(), of_others: Vec::new(), confirmed: Vec::new() };
        let mut own: Vec<Confirmed> = Vec::with_capacity(sayings.len());
        store.glance(&idle.group, |one| {
            let person = PersonKey::of_bytes(one.reference_id);
            idle.members += 1;
            if one.source == owner.as_str() {
                own.push(Confirmed { person, member: one.digest, has_own_plan: one.has_own_plan });
            } else {
                idle.of_others.push(person);
            }
        })?;
        // Side by side, both in the order of the keys.
        sayings.sort_unstable_by_key(|saying| saying.person);
        own.sort_unstable_by_key(|one| one.person);
        let mut sayings = sayings.into_iter().peekable();
        for one in own {
            while sayings.next_if(|saying| saying.person < one.person).is_some() {}
            let saying = sayings.next_if(|saying| saying.person == one.person && saying.member == one.member);
            match saying.filter(|_| one.has_own_plan) {
                Some(saying) => idle.confirmed.push(saying.at),
                None => idle.odd.push(one.person),
            }
        }
        Ok(idle)
    }
}
