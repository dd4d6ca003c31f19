//! Where each person is, or is on the way to, over all groups. A person can be active in one group only.

use std::collections::{BTreeMap, HashMap};

use crate::roster::Entry;
use crate::roster::ids::{GroupRef, ReferenceId, SourceName};

use super::Baseline;

/// The places of everybody who is known.
pub(super) struct Whereabouts<'a> {
    /// The group that covers, or may cover, the person.
    covered: HashMap<&'a ReferenceId, (&'a GroupRef, &'a Entry)>,
    /// The group that a person is on the way to, whose roster with them has not left yet.
    awaited: HashMap<&'a ReferenceId, Awaited<'a>>,
    /// The same by group, sorted by reference id.
    by_group: BTreeMap<&'a GroupRef, Vec<Awaited<'a>>>,
    /// The group that a queued roster of another source is about to add a person to. What the source that plans has queued itself
    /// counts for nothing: its plan takes that place.
    claimed: HashMap<&'a ReferenceId, (&'a GroupRef, &'a Entry)>,
}

/// Somebody on the way to a group. Between two groups nobody is confirmed anywhere: only the queued roster knows of them.
#[derive(Clone, Copy)]
pub(super) struct Awaited<'a> {
    /// Where to.
    pub(super) to: &'a GroupRef,
    /// Where from.
    pub(super) from: &'a GroupRef,
    /// The record of the queued roster.
    pub(super) entry: &'a Entry,
    /// Whether the group that they leave may still cover them.
    pub(super) is_still_covered: bool,
}

impl<'a> Whereabouts<'a> {
    pub(super) fn new(baselines: &'a BTreeMap<GroupRef, Baseline>, source: &SourceName) -> Self {
        let covered = |(group, baseline): (&'a GroupRef, &'a Baseline)| {
            baseline.covered().iter().map(move |entry| (&entry.member.reference_id, (group, entry)))
        };
        let claimed = |(group, baseline): (&'a GroupRef, &'a Baseline)| {
            let of_others = baseline.joining().filter(|entry| entry.origin.source != *source);
            of_others.map(move |entry| (&entry.member.reference_id, (group, entry)))
        };
        let mut all = HashMap::with_capacity(baselines.values().map(|baseline| baseline.covered().len()).sum());
        all.extend(baselines.iter().flat_map(covered));
        let mut places = Self {
            covered: all,
            awaited: HashMap::new(),
            by_group: BTreeMap::new(),
            claimed: baselines.iter().flat_map(claimed).collect(),
        };
        for (group, baseline) in baselines {
            for (id, from) in &baseline.arriving {
                if let Some(awaited) = places.on_the_way(baselines, (group, baseline), id, from) {
                    places.awaited.insert(id, awaited);
                    places.by_group.entry(group).or_default().push(awaited);
                }
            }
        }
        places
    }

    /// Whether a mark in the queue still stands: the person is not there yet, and nobody keeps them where they were.
    fn on_the_way(
        &self,
        baselines: &'a BTreeMap<GroupRef, Baseline>,
        (to, baseline): (&'a GroupRef, &'a Baseline),
        id: &ReferenceId,
        from: &'a GroupRef,
    ) -> Option<Awaited<'a>> {
        let entry = crate::roster::find(baseline.queued.as_deref()?, id)?;
        let place = self.covered.get(id).map(|(group, _)| *group);
        let is_leaving = |group| baselines.get(group).is_some_and(|baseline: &Baseline| baseline.is_leaving(id));
        match place {
            Some(group) if group == to || !is_leaving(group) => None,
            place => Some(Awaited { to, from, entry, is_still_covered: place.is_some() }),
        }
    }

    /// Everybody on the way to a group, sorted by reference id.
    pub(super) fn awaited_in(&self, group: &GroupRef) -> &[Awaited<'a>] {
        self.by_group.get(group).map_or(&[], Vec::as_slice)
    }

    /// Where a person is on the way to.
    pub(super) fn awaited(&self, id: &ReferenceId) -> Option<&Awaited<'a>> {
        self.awaited.get(id)
    }

    /// The group other than this one that the person belongs to, and the source that owns them.
    pub(super) fn other_than(&self, group: &GroupRef, id: &ReferenceId) -> Option<(&'a GroupRef, &'a SourceName)> {
        let covered = self.covered.get(id).copied();
        let awaited = || self.awaited.get(id).map(|awaited| (awaited.to, awaited.entry));
        let place = covered.or_else(awaited).or_else(|| self.claimed.get(id).copied());
        place.filter(|(known, _)| *known != group).map(|(known, entry)| (known, &entry.origin.source))
    }
}
