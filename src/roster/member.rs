//! One person as the API knows them.

use std::fmt;

use chrono::NaiveDate;
use compact_str::CompactString;

use super::ids::{PlanId, ReferenceId};

/// One member of a roster: the fields that the API takes, normalised. Built by [`super::mapping`] from a row, or read
/// back from the store; both guarantee the rules of `design.md` 11.
///
/// Optional values are `None`, never empty: an empty optional key is omitted from the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The person's key.
    pub reference_id: ReferenceId,
    /// Legal first name.
    pub first_name: CompactString,
    /// Legal last name.
    pub last_name: CompactString,
    /// Birth date; a plain date that never goes through a time zone.
    pub date_of_birth: NaiveDate,
    /// Ten digits, no country code, no extension.
    pub phone: Option<CompactString>,
    /// Lower case.
    pub email: Option<CompactString>,
    /// The plan that HR wants for the person.
    pub plan_id: PlanId,
    /// Where the person lives.
    pub address: Address,
}

/// A United States address.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Street.
    pub line_1: CompactString,
    /// Apartment, suite.
    pub line_2: Option<CompactString>,
    /// City.
    pub city: CompactString,
    /// Two letters, upper case, one of the codes of `roster::normalise`.
    pub state: CompactString,
    /// `12345` or `12345-6789`.
    pub zipcode: CompactString,
}

/// The field of a [`Member`] that a change or a problem is about. The names are those of the config's
/// `[source.columns]` and of the API's payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// `first_name`
    FirstName,
    /// `last_name`
    LastName,
    /// `date_of_birth`
    DateOfBirth,
    /// `phone`
    Phone,
    /// `email`
    Email,
    /// `plan_id`
    PlanId,
    /// `address_line_1`
    AddressLine1,
    /// `address_line_2`
    AddressLine2,
    /// `city`
    City,
    /// `state`
    State,
    /// `zipcode`
    Zipcode,
}

impl Field {
    /// The field's name in the config and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::DateOfBirth => "date_of_birth",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::PlanId => "plan_id",
            Self::AddressLine1 => "address_line_1",
            Self::AddressLine2 => "address_line_2",
            Self::City => "city",
            Self::State => "state",
            Self::Zipcode => "zipcode",
        }
    }
}

impl Member {
    /// The fields in which two records of one person differ, in the order of the payload.
    pub fn changed_fields(&self, other: &Self) -> Vec<Field> {
        let pairs = [
            (Field::FirstName, self.first_name != other.first_name),
            (Field::LastName, self.last_name != other.last_name),
            (Field::DateOfBirth, self.date_of_birth != other.date_of_birth),
            (Field::Phone, self.phone != other.phone),
            (Field::Email, self.email != other.email),
            (Field::PlanId, self.plan_id != other.plan_id),
            (Field::AddressLine1, self.address.line_1 != other.address.line_1),
            (Field::AddressLine2, self.address.line_2 != other.address.line_2),
            (Field::City, self.address.city != other.address.city),
            (Field::State, self.address.state != other.address.state),
            (Field::Zipcode, self.address.zipcode != other.address.zipcode),
        ];
        pairs.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }
}

/// Shows the reference id only: everything else about a person is personal.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("reference_id", &self.reference_id).finish_non_exhaustive()
    }
}

/// Shows nothing: an address is personal.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}
