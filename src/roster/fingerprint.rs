//! One short value that stands for all that is sent about a person: two records are the same exactly when their
//! fingerprints are, whatever file or line they came from.

use std::fmt;

use chrono::Datelike;
use serde::{Deserialize, Serialize};

use super::member::Member;

/// Marks the order and the set of the fields below. It changes with them, so that no old fingerprint can equal a new one.
const LAYOUT: u8 = 1;

/// The first half of a BLAKE3 hash over a member's fields: 128 bits keep chance collisions out of reach and the store small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The bytes, for a store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A fingerprint read back.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The fingerprint of a record.
pub fn of(member: &Member) -> Fingerprint {
    let Member { reference_id, first_name, last_name, date_of_birth, phone, email, plan_id, address } = member;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[LAYOUT]);
    add(&mut hasher, reference_id.as_str());
    add(&mut hasher, first_name);
    add(&mut hasher, last_name);
    hasher.update(&date_of_birth.num_days_from_ce().to_le_bytes());
    add_optional(&mut hasher, phone.as_deref());
    add_optional(&mut hasher, email.as_deref());
    add(&mut hasher, plan_id.as_str());
    add(&mut hasher, &address.line_1);
    add_optional(&mut hasher, address.line_2.as_deref());
    add(&mut hasher, &address.city);
    add(&mut hasher, &address.state);
    add(&mut hasher, &address.zipcode);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    Fingerprint(bytes)
}

/// The length goes first: without it `ab` + `c` and `a` + `bc` would be one.
fn add(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn add_optional(hasher: &mut blake3::Hasher, text: Option<&str>) {
    match text {
        None => {
            hasher.update(&[0]);
        }
        Some(text) => {
            hasher.update(&[1]);
            add(hasher, text);
        }
    }
}

/// Thirty-two hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::NaiveDate;

    use super::*;
    use crate::roster::ids::{PlanId, ReferenceId};
    use crate::roster::member::Address;

    fn member() -> Member {
        Member {
            reference_id: ReferenceId::parse("0042").unwrap(),
            first_name: "Ana".into(),
            last_name: "Ruiz".into(),
            date_of_birth: NaiveDate::from_ymd_opt(1990, 2, 9).unwrap(),
            phone: Some("2675550142".into()),
            email: Some("ana@example.com".into()),
            plan_id: PlanId::parse("pln_1").unwrap(),
            address: Address {
                line_1: "1 Main St".into(),
                line_2: Some("Apt 2".into()),
                city: "Boston".into(),
                state: "MA".into(),
                zipcode: "02115".into(),
            },
        }
    }

    #[test]
    fn every_field_counts() {
        type Change = fn(&mut Member);
        let changes: [Change; 16] = [
            |_| {},
            |m| m.reference_id = ReferenceId::parse("42").unwrap(),
            |m| m.first_name = "Anna".into(),
            |m| m.last_name = "Ruis".into(),
            |m| m.date_of_birth = m.date_of_birth.succ_opt().unwrap(),
            |m| m.phone = None,
            |m| m.phone = Some("2675550143".into()),
            |m| m.email = None,
            |m| (m.phone, m.email) = (None, None),
            |m| m.plan_id = PlanId::parse("pln_2").unwrap(),
            |m| m.address.line_1 = "2 Main St".into(),
            |m| m.address.line_2 = None,
            |m| m.address.city = "Salem".into(),
            |m| m.address.state = "NH".into(),
            |m| m.address.zipcode = "02116".into(),
            |m| (m.first_name, m.last_name) = ("AnaR".into(), "uiz".into()),
        ];
        let prints: BTreeSet<_> = changes
            .iter()
            .map(|change| {
                let mut member = member();
                change(&mut member);
                of(&member)
            })
            .collect();
        assert_eq!(prints.len(), changes.len());
    }

    #[test]
    fn a_fingerprint_stays_what_it_was() {
        // Fingerprints are stored: another value here means that LAYOUT has to change and old stores to be migrated.
        assert_eq!(of(&member()).to_string(), "f10ef3beee582ea5943f9a719e49278d");
        assert_eq!(Fingerprint::from_bytes(*of(&member()).as_bytes()), of(&member()));
    }
}
