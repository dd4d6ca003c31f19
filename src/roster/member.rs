//! One person as the API knows them.

use std::borrow::Cow;
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

    /// What a field says, as text; a birth date is `1984-02-29`. None for an optional field that is not there.
    pub fn value(&self, field: Field) -> Option<Cow<'_, str>> {
        let text = match field {
            Field::FirstName => &self.first_name,
            Field::LastName => &self.last_name,
            Field::DateOfBirth => return Some(self.date_of_birth.to_string().into()),
            Field::Phone => return self.phone.as_deref().map(Cow::from),
            Field::Email => return self.email.as_deref().map(Cow::from),
            Field::PlanId => return Some(self.plan_id.as_str().into()),
            Field::AddressLine1 => &self.address.line_1,
            Field::AddressLine2 => return self.address.line_2.as_deref().map(Cow::from),
            Field::City => &self.address.city,
            Field::State => &self.address.state,
            Field::Zipcode => &self.address.zipcode,
        };
        Some(text.as_str().into())
    }

    /// Lets a field say what [`Member::value`] said; answers whether it can.
    #[must_use]
    pub fn set_value(&mut self, field: Field, value: Option<&str>) -> bool {
        let text = match field {
            Field::FirstName => &mut self.first_name,
            Field::LastName => &mut self.last_name,
            Field::DateOfBirth => return put(&mut self.date_of_birth, value.and_then(|value| value.parse().ok())),
            Field::Phone => return put(&mut self.phone, Some(value.map(CompactString::from))),
            Field::Email => return put(&mut self.email, Some(value.map(CompactString::from))),
            Field::PlanId => return put(&mut self.plan_id, value.and_then(|value| PlanId::parse(value).ok())),
            Field::AddressLine1 => &mut self.address.line_1,
            Field::AddressLine2 => return put(&mut self.address.line_2, Some(value.map(CompactString::from))),
            Field::City => &mut self.address.city,
            Field::State => &mut self.address.state,
            Field::Zipcode => &mut self.address.zipcode,
        };
        put(text, value.map(CompactString::from))
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    let is_there = value.is_some();
    if let Some(value) = value {
        *place = value;
    }
    is_there
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
