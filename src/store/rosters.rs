//! Confirmed rosters and what is known of their groups. Rosters are written by [`Store::settle`] only.

use chrono::{DateTime, Utc};

use super::envelope::Kind;
use super::records::{self, GroupV1};
use super::trees::{Draft, Shelf, Writing};
use super::{GroupRecord, Store, StoreError};
use crate::roster::ConfirmedRoster;
use crate::roster::familiar::{GroupDigest, MemberDigest};
use crate::roster::ids::{GroupRef, SourceName};

/// What there is to say of a confirmed roster without its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterFacts {
    /// How many they are.
    pub members: u64,
    /// When the API last confirmed it.
    pub confirmed_at: DateTime<Utc>,
}

/// A member of a confirmed roster, before a record is made of them.
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    /// Who: the bytes of their reference id.
    pub reference_id: &'a [u8],
    /// The source that owns them.
    pub source: &'a str,
    /// Stands for all that was sent about them.
    pub digest: MemberDigest,
    /// Whether the API is believed to have them on the plan of their record.
    pub has_own_plan: bool,
}

impl Store {
    /// The group's confirmed roster; none for a group of which nothing was ever confirmed.
    ///
    /// # Errors
    /// When the store cannot be read. An unreadable roster is never an empty one.
    pub fn roster(&self, group: &GroupRef) -> Result<Option<ConfirmedRoster>, StoreError> {
        let key = group.as_str().as_bytes();
        let Some(sealed) = self.inner.trees.read(Shelf::Rosters, key)? else { return Ok(None) };
        let roster = records::unroster(key, &sealed)?;
        if &roster.group == group { Ok(Some(roster)) } else { Err(Kind::Roster.corrupt("is of another group")) }
    }

    /// Looks at everybody on the group's confirmed roster, in the order of their ids, without making a record of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn glance(&self, group: &GroupRef, each: impl FnMut(&Glance<'_>)) -> Result<(), StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Rosters, key)?;
        sealed.map_or(Ok(()), |sealed| records::glance(key, &sealed, each))
    }

    /// What stands for the group's confirmed roster, and the source that owns all of it; none where several do, where the API is believed
    /// to have somebody on another plan than that of their record, and of rosters that were written before this was recorded.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn group_digest(&self, group: &GroupRef) -> Result<Option<(SourceName, GroupDigest)>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Digests, key)?;
        sealed.map(|sealed| records::undigest(key, &sealed)).transpose()
    }

    /// Writes the digests of all rosters anew.
    pub(super) fn build_digests(&self) -> Result<(), StoreError> {
        for group in self.roster_groups()? {
            let writing = self.inner.trees.write();
            let mut draft = Draft::default();
            if let Some(roster) = self.roster(&group)? {
                draft_digest(&writing, &mut draft, &roster)?;
            }
            writing.stage(&draft)?;
        }
        Ok(())
    }

    /// The group's confirmed roster with nobody in it but those whose id, in bytes, is wanted; none for a group of which nothing was ever confirmed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn roster_part(
        &self,
        group: &GroupRef,
        is_wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<ConfirmedRoster>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Rosters, key)?;
        sealed.map(|sealed| records::roster_part(key, &sealed, is_wanted)).transpose()
    }

    /// How large the group's confirmed roster is, and when it was confirmed, without its members; none for a group of which nothing
    /// was ever confirmed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn roster_facts(&self, group: &GroupRef) -> Result<Option<RosterFacts>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Rosters, key)?;
        sealed.map(|sealed| records::roster_facts(key, &sealed)).transpose()
    }

    /// How many people are on the group's confirmed roster; 0 for a group of which nothing was ever confirmed. Where something stands for
    /// the roster it says so, and the roster is not read: somebody who asks for the status once a minute would have all of them in memory.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members(&self, group: &GroupRef) -> Result<u64, StoreError> {
        match self.group_digest(group)? {
            Some((_, digest)) => Ok(digest.people),
            None => Ok(self.roster_facts(group)?.map_or(0, |facts| facts.members)),
        }
    }

    /// The groups that have a confirmed roster, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn roster_groups(&self) -> Result<Vec<GroupRef>, StoreError> {
        self.ids_of(Shelf::Rosters)
    }

    /// Calls `each` with every confirmed roster, one in memory at a time, sorted by group.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn each_roster(&self, mut each: impl FnMut(ConfirmedRoster)) -> Result<(), StoreError> {
        for group in self.roster_groups()? {
            if let Some(roster) = self.roster(&group)? {
                each(roster);
            }
        }
        Ok(())
    }

    /// What is known of a group.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn group(&self, group: &GroupRef) -> Result<Option<GroupRecord>, StoreError> {
        let key = group.as_str().as_bytes();
        let sealed = self.inner.trees.read(Shelf::Groups, key)?;
        sealed.map(|sealed| records::unjson::<GroupV1>(Kind::Group, key, &sealed).map(GroupRecord::from)).transpose()
    }

    /// Every group that is known, sorted by our reference.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn groups(&self) -> Result<Vec<GroupRecord>, StoreError> {
        let mut groups = Vec::new();
        for group in self.known_groups()? {
            groups.extend(self.group(&group)?);
        }
        Ok(groups)
    }

    /// Records what is known of a group.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_group(&self, record: &GroupRecord) -> Result<(), StoreError> {
        self.put_groups(std::slice::from_ref(record))
    }

    /// Records what is known of several groups, and waits for the disk once. A crash may leave the first of them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_groups(&self, records: &[GroupRecord]) -> Result<(), StoreError> {
        let Some((last, others)) = records.split_last() else { return Ok(()) };
        let writing = self.inner.trees.write();
        let draft = |record: &GroupRecord| {
            let mut draft = Draft::default();
            self.draft_heard_of(&writing, &mut draft, &record.group)?;
            draft_group(&writing, &mut draft, record)?;
            Ok::<_, StoreError>(draft)
        };
        for record in others {
            writing.stage(&draft(record)?)?;
        }
        let last = draft(last)?;
        writing.commit(&last)
    }

    /// The groups that are known, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known_groups(&self) -> Result<Vec<GroupRef>, StoreError> {
        self.ids_of(Shelf::Groups)
    }

    /// Changes what is known of a group while nobody else does. Answers it as it is then; none for an unknown group.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn update_group(
        &self,
        group: &GroupRef,
        change: impl FnOnce(&mut GroupRecord),
    ) -> Result<Option<GroupRecord>, StoreError> {
        let writing = self.inner.trees.write();
        let Some(mut record) = self.group(group)? else { return Ok(None) };
        change(&mut record);
        let mut draft = Draft::default();
        draft_group(&writing, &mut draft, &record)?;
        writing.commit(&draft)?;
        Ok(Some(record))
    }

    /// Gives a group another reference, its record and its confirmed roster together. What happened before stays on
    /// record under the old one.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] while the group has an open batch, or when the new reference already has a roster.
    pub fn rename_group(&self, from: &GroupRef, to: &GroupRecord) -> Result<(), StoreError> {
        let writing = self.inner.trees.write();
        if let Some(batch) = self.open_batch_id(from)? {
            return Err(StoreError::out_of_order(from, format!("it cannot be renamed while batch {batch} is open")));
        }
        let (old, new) = (from.as_str().as_bytes(), to.group.as_str().as_bytes());
        let mut draft = Draft::default();
        if old != new {
            for shelf in [Shelf::Rosters, Shelf::Outbox] {
                if self.inner.trees.holds(shelf, new)? {
                    return Err(StoreError::out_of_order(&to.group, "the reference belongs to another group"));
                }
            }
            if let Some(mut roster) = self.roster(from)? {
                roster.group = to.group.clone();
                draft_roster(&writing, &mut draft, &roster)?;
                writing.remove(&mut draft, Shelf::Rosters, old)?;
                writing.remove(&mut draft, Shelf::Digests, old)?;
            }
            let abroad = self.abroad(from)?;
            if !abroad.is_empty() {
                writing.put(&mut draft, Shelf::Abroad, new, &records::payload(new, &abroad)?)?;
                writing.remove(&mut draft, Shelf::Abroad, old)?;
            }
            writing.remove(&mut draft, Shelf::Groups, old)?;
            self.draft_renamed(&writing, &mut draft, (from, &to.group))?;
            self.draft_rename(&writing, &mut draft, (from, &to.group))?;
        }
        draft_group(&writing, &mut draft, to)?;
        writing.commit(&draft)
    }
}

/// Adds what is known of a group to a transaction.
pub(super) fn draft_group(writing: &Writing<'_>, draft: &mut Draft, record: &GroupRecord) -> Result<(), StoreError> {
    let key = record.group.as_str().as_bytes();
    writing.put(draft, Shelf::Groups, key, &records::json(Kind::Group, key, &GroupV1::from(record))?)
}

/// Adds a confirmed roster to a transaction, with what stands for it.
pub(super) fn draft_roster(
    writing: &Writing<'_>,
    draft: &mut Draft,
    roster: &ConfirmedRoster,
) -> Result<(), StoreError> {
    let key = roster.group.as_str().as_bytes();
    writing.put(draft, Shelf::Rosters, key, &records::roster(key, roster)?)?;
    draft_digest(writing, draft, roster)
}

/// Adds what stands for a roster to a transaction, and takes off what stood for the one before.
fn draft_digest(writing: &Writing<'_>, draft: &mut Draft, roster: &ConfirmedRoster) -> Result<(), StoreError> {
    let key = roster.group.as_str().as_bytes();
    match GroupDigest::of(roster) {
        Some((owner, digest)) => writing.put(draft, Shelf::Digests, key, &records::digest(key, owner, digest)),
        None => writing.remove(draft, Shelf::Digests, key),
    }
}
