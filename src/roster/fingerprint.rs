//! One short value that stands for all that is sent about a person: two records are the same exactly when their
//! fingerprints are, whatever file or line they came from.

use std::fmt;

use chrono::Datelike;
use serde::{Deserialize, Serialize};

use super::member::{Member, Texts};

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
    let Texts { first_name, last_name, phone, email, address_line_1, address_line_2, city, state, zipcode } =
        member.texts();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[LAYOUT]);
    add(&mut hasher, member.reference_id.as_str());
    add(&mut hasher, first_name);
    add(&mut hasher, last_name);
    hasher.update(&member.date_of_birth.num_days_from_ce().to_le_bytes());
    add_optional(&mut hasher, phone);
    add_optional(&mut hasher, email);
    add(&mut hasher, member.plan_id.as_str());
    add(&mut hasher, address_line_1);
    add_optional(&mut hasher, address_line_2);
    add(&mut hasher, city);
    add(&mut hasher, state);
    add(&mut hasher, zipcode);
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
    use crate::roster::member::Field;

    fn member() -> Member {
        Member::new(
            ReferenceId::parse("0042").unwrap(),
            PlanId::parse("pln_1").unwrap(),
            NaiveDate::from_ymd_opt(1990, 2, 9).unwrap(),
            &Texts {
                first_name: "Ana",
                last_name: "Ruiz",
                phone: Some("2675550142"),
                email: Some("ana@example.com"),
                address_line_1: "1 Main St",
                address_line_2: Some("Apt 2"),
                city: "Boston",
                state: "MA",
                zipcode: "02115",
            },
        )
    }

    fn set(member: &mut Member, values: &[(Field, Option<&str>)]) {
        for (field, value) in values {
            assert!(member.set_value(*field, *value));
        }
    }

    #[test]
    fn every_field_counts() {
        type Change = fn(&mut Member);
        let changes: [Change; 16] = [
            |_| {},
            |m| m.reference_id = ReferenceId::parse("42").unwrap(),
            |m| set(m, &[(Field::FirstName, Some("Anna"))]),
            |m| set(m, &[(Field::LastName, Some("Ruis"))]),
            |m| m.date_of_birth = m.date_of_birth.succ_opt().unwrap(),
            |m| set(m, &[(Field::Phone, None)]),
            |m| set(m, &[(Field::Phone, Some("2675550143"))]),
            |m| set(m, &[(Field::Email, None)]),
            |m| set(m, &[(Field::Phone, None), (Field::Email, None)]),
            |m| m.plan_id = PlanId::parse("pln_2").unwrap(),
            |m| set(m, &[(Field::AddressLine1, Some("2 Main St"))]),
            |m| set(m, &[(Field::AddressLine2, None)]),
            |m| set(m, &[(Field::City, Some("Salem"))]),
            |m| set(m, &[(Field::State, Some("NH"))]),
            |m| set(m, &[(Field::Zipcode, Some("02116"))]),
            |m| set(m, &[(Field::FirstName, Some("AnaR")), (Field::LastName, Some("uiz"))]),
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
