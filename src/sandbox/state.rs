//! The organization as the sandbox keeps it: groups, people, subscriptions. Pure; time is an argument.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use compact_str::CompactString;
use hashbrown::HashMap;

use super::rules::Row;

/// A person of the organization, or of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PersonId(usize);

/// What is known of a person beyond their rows.
#[derive(Debug, Default)]
struct Person {
    /// Has an active subscription under another organization.
    is_elsewhere: bool,
    /// The group ids and reference ids of the active subscriptions here, sorted.
    active: Vec<(String, CompactString)>,
}

/// A group's member, active or former.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: String,
    pub(super) person: PersonId,
    /// The stored record; its plan is that of the subscription.
    pub(super) row: Row,
    pub(super) is_active: bool,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) reference: String,
    pub(super) name: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    /// By reference id.
    pub(super) members: BTreeMap<CompactString, Membership>,
}

/// Ids: a prefix and 22 base64url characters, the same for the same seed and order.
#[derive(Debug)]
pub(super) struct Ids {
    seed: u64,
    count: u64,
}

/// Everything but requests and misbehaviour.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ids: Ids,
    pub(super) organization: String,
    /// By id, in the order of creation through `order`.
    pub(super) groups: BTreeMap<String, Group>,
    /// Group ids in the order of creation.
    pub(super) order: Vec<String>,
    people: Vec<Person>,
    by_key: HashMap<(String, NaiveDate), PersonId>,
    /// The groups in which a reference id is active, sorted.
    holders: HashMap<CompactString, Vec<String>>,
}

/// Adds to a sorted list what it does not have. Hardly any has more than one: a million sets would be most of what the sandbox keeps in memory.
fn add<T: Ord>(list: &mut Vec<T>, one: T) {
    if let Err(at) = list.binary_search(&one) {
        list.reserve_exact(1);
        list.insert(at, one);
    }
}

// === impl Ids ===

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    pub(super) fn next(&mut self, prefix: &str) -> String {
        self.count += 1;
        let hash = blake3::hash(format!("{}/{prefix}/{}", self.seed, self.count).as_bytes());
        // Six bits a character; the last two characters of 22 hold what is left of the 128 bits.
        let bits = hash.as_bytes().iter().take(16).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let characters = (0..22).map(|at| base64url(u8::try_from((bits << (at * 6)) >> 122).unwrap_or(0)));
        prefix.chars().chain(characters).collect()
    }
}

fn base64url(six_bits: u8) -> char {
    char::from(match six_bits {
        0..=25 => b'A' + six_bits,
        26..=51 => b'a' + (six_bits - 26),
        52..=61 => b'0' + (six_bits - 52),
        62 => b'-',
        63.. => b'_',
    })
}

// === impl Group ===

impl Group {
    pub(super) fn active(&self) -> impl Iterator<Item = (&CompactString, &Membership)> {
        self.members.iter().filter(|(_, member)| member.is_active)
    }

    pub(super) fn is_active(&self, reference_id: &str) -> bool {
        self.members.get(reference_id).is_some_and(|member| member.is_active)
    }
}

// === impl State ===

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut ids = Ids::new(seed);
        let organization = ids.next("org_");
        Self {
            ids,
            organization,
            groups: BTreeMap::new(),
            order: Vec::new(),
            people: Vec::new(),
            by_key: HashMap::new(),
            holders: HashMap::new(),
        }
    }

    /// Makes a group; the caller has checked that the reference is free.
    pub(super) fn add_group(&mut self, reference: &str, name: &str, now: DateTime<Utc>) -> String {
        let id = self.ids.next("grp_");
        let group = Group {
            reference: reference.to_owned(),
            name: name.to_owned(),
            created_at: now,
            updated_at: now,
            members: BTreeMap::new(),
        };
        self.groups.insert(id.clone(), group);
        self.order.push(id.clone());
        id
    }

    /// The id of the group with that external reference.
    pub(super) fn group_by_reference(&self, reference: &str) -> Option<&str> {
        self.groups.iter().find(|(_, group)| group.reference == reference).map(|(id, _)| id.as_str())
    }

    /// A group's external reference, or its id where there is no such group.
    pub(super) fn reference_of<'a>(&'a self, group: &'a str) -> &'a str {
        self.groups.get(group).map_or(group, |known| &known.reference)
    }

    /// The person whom an add would attach: matched by e-mail and birth date, else who had the reference before.
    pub(super) fn matching(&self, group: &str, row: &Row) -> Option<PersonId> {
        let by_key = row.key().and_then(|key| self.by_key.get(&key).copied());
        by_key.or_else(|| {
            let former = self.groups.get(group).and_then(|group| group.members.get(&row.reference_id));
            former.map(|member| member.person)
        })
    }

    pub(super) fn is_elsewhere(&self, person: PersonId) -> bool {
        self.people.get(person.0).is_some_and(|person| person.is_elsewhere)
    }

    /// The active subscriptions of a person: group id and reference id.
    pub(super) fn active_subscriptions(&self, person: PersonId) -> Vec<(String, CompactString)> {
        self.people.get(person.0).map(|person| person.active.clone()).unwrap_or_default()
    }

    /// Another group in which the reference id is active.
    pub(super) fn other_holder(&self, group: &str, reference_id: &str) -> Option<&str> {
        self.holders.get(reference_id)?.iter().map(String::as_str).find(|holder| *holder != group)
    }

    /// Marks a person as active, or no longer active, under another organization.
    pub(super) fn set_elsewhere(&mut self, key: (String, NaiveDate), is_elsewhere: bool) {
        let id = self.by_key.get(&key).copied().unwrap_or_else(|| self.new_person(Some(key)));
        if let Some(person) = self.people.get_mut(id.0) {
            person.is_elsewhere = is_elsewhere;
        }
    }

    fn new_person(&mut self, key: Option<(String, NaiveDate)>) -> PersonId {
        let id = PersonId(self.people.len());
        self.people.push(Person::default());
        if let Some(key) = key {
            self.by_key.entry(key).or_insert(id);
        }
        id
    }

    /// Starts a subscription. `person` is whom the row matched; `keep_id` reuses a former member id.
    pub(super) fn subscribe(&mut self, group: &str, row: Row, person: Option<PersonId>, keep_id: bool) -> String {
        let person = person.unwrap_or_else(|| self.new_person(row.key()));
        if let Some(key) = row.key() {
            self.by_key.entry(key).or_insert(person);
        }
        let reference_id = row.reference_id.clone();
        let former = self.groups.get(group).and_then(|group| group.members.get(&reference_id));
        let id = match former {
            Some(former) if keep_id => former.id.clone(),
            Some(_) | None => self.ids.next("grpmbr_"),
        };
        if let Some(person) = self.people.get_mut(person.0) {
            add(&mut person.active, (group.to_owned(), reference_id.clone()));
        }
        add(self.holders.entry(reference_id.clone()).or_default(), group.to_owned());
        if let Some(group) = self.groups.get_mut(group) {
            group.members.insert(reference_id, Membership { id: id.clone(), person, row, is_active: true });
        }
        id
    }

    /// Ends a subscription; the account stays. Returns the member id.
    pub(super) fn unsubscribe(&mut self, group: &str, reference_id: &str) -> Option<String> {
        let member = self.groups.get_mut(group)?.members.get_mut(reference_id)?;
        member.is_active = false;
        let (id, person) = (member.id.clone(), member.person);
        if let Some(person) = self.people.get_mut(person.0) {
            person.active.retain(|(of, id)| of != group || id != reference_id);
        }
        if let Some(holders) = self.holders.get_mut(reference_id) {
            holders.retain(|holder| holder != group);
        }
        Some(id)
    }

    /// Overwrites the record of a known member. A new e-mail or birth date becomes the person's key when it is free.
    pub(super) fn overwrite(&mut self, group: &str, row: Row) {
        let Some(member) = self.groups.get_mut(group).and_then(|group| group.members.get_mut(&row.reference_id)) else {
            return;
        };
        let (old_key, new_key, person) = (member.row.key(), row.key(), member.person);
        member.row = row;
        if old_key == new_key {
            return;
        }
        if let Some(key) = new_key
            && !self.by_key.contains_key(&key)
        {
            if let Some(old) = old_key.filter(|old| self.by_key.get(old) == Some(&person)) {
                self.by_key.remove(&old);
            }
            self.by_key.insert(key, person);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_prefix_and_22_base64url_characters_and_follow_the_seed() {
        let (mut one, mut same, mut other) = (Ids::new(1), Ids::new(1), Ids::new(2));
        let id = one.next("grp_");
        assert_eq!(id, same.next("grp_"));
        assert_ne!(id, other.next("grp_"));
        assert_ne!(id, one.next("grp_"));
        let tail = id.strip_prefix("grp_").unwrap();
        assert_eq!(tail.len(), 22);
        assert!(tail.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{tail}");
    }
}
