//! One person as the API knows them.

use std::borrow::Cow;
use std::fmt;

use chrono::NaiveDate;

use super::ids::{PlanId, ReferenceId};

/// One member of a roster: the fields that the API takes, normalised. Built by [`super::mapping`] from a row, or read
/// back from the store; both guarantee the rules of `design.md` 11.
///
/// Nine of the fields are texts, and a million members are nine million of them. So they lie in one piece of memory; [`Member::texts`]
/// tells them apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The person's key.
    pub reference_id: ReferenceId,
    /// The plan that HR wants for the person.
    pub plan_id: PlanId,
    /// Birth date; a plain date that never goes through a time zone.
    pub date_of_birth: NaiveDate,
    packed: Packed,
}

/// What a member's texts say: a name and a United States address.
///
/// Optional values are `None`, never empty: an empty optional key is omitted from the payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Texts<'a> {
    /// Legal first name.
    pub first_name: &'a str,
    /// Legal last name.
    pub last_name: &'a str,
    /// Ten digits, no country code, no extension.
    pub phone: Option<&'a str>,
    /// Lower case.
    pub email: Option<&'a str>,
    /// Street.
    pub address_line_1: &'a str,
    /// Apartment, suite.
    pub address_line_2: Option<&'a str>,
    /// City.
    pub city: &'a str,
    /// Two letters, upper case, one of the codes of `roster::normalise`.
    pub state: &'a str,
    /// `12345` or `12345-6789`.
    pub zipcode: &'a str,
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
    /// All of them, in the order of the payload.
    const ALL: [Self; 11] = [
        Self::FirstName,
        Self::LastName,
        Self::DateOfBirth,
        Self::Phone,
        Self::Email,
        Self::PlanId,
        Self::AddressLine1,
        Self::AddressLine2,
        Self::City,
        Self::State,
        Self::Zipcode,
    ];

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

/// Some of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(u16);

impl Fields {
    /// Adds one.
    pub fn insert(&mut self, field: Field) {
        self.0 |= Self::bit(field);
    }

    /// Whether one is among them.
    pub fn contains(self, field: Field) -> bool {
        self.0 & Self::bit(field) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, in the order of the payload.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.contains(*field))
    }

    fn bit(field: Field) -> u16 {
        1 << field as u16
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        let mut all = Self::default();
        fields.into_iter().for_each(|field| all.insert(field));
        all
    }
}

impl Member {
    /// Puts a member together.
    pub fn new(reference_id: ReferenceId, plan_id: PlanId, date_of_birth: NaiveDate, texts: &Texts<'_>) -> Self {
        Self { reference_id, plan_id, date_of_birth, packed: Packed::new(texts) }
    }

    /// What the texts say.
    pub fn texts(&self) -> Texts<'_> {
        self.packed.texts()
    }

    /// The fields in which two records of one person differ.
    pub fn changed_fields(&self, other: &Self) -> Fields {
        if self.packed == other.packed && self.date_of_birth == other.date_of_birth && self.plan_id == other.plan_id {
            return Fields::default();
        }
        let (ours, theirs) = (self.texts(), other.texts());
        let pairs = [
            (Field::FirstName, ours.first_name != theirs.first_name),
            (Field::LastName, ours.last_name != theirs.last_name),
            (Field::DateOfBirth, self.date_of_birth != other.date_of_birth),
            (Field::Phone, ours.phone != theirs.phone),
            (Field::Email, ours.email != theirs.email),
            (Field::PlanId, self.plan_id != other.plan_id),
            (Field::AddressLine1, ours.address_line_1 != theirs.address_line_1),
            (Field::AddressLine2, ours.address_line_2 != theirs.address_line_2),
            (Field::City, ours.city != theirs.city),
            (Field::State, ours.state != theirs.state),
            (Field::Zipcode, ours.zipcode != theirs.zipcode),
        ];
        pairs.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }

    /// What a field says, as text; a birth date is `1984-02-29`. None for an optional field that is not there.
    pub fn value(&self, field: Field) -> Option<Cow<'_, str>> {
        let texts = self.texts();
        let text = match field {
            Field::FirstName => texts.first_name,
            Field::LastName => texts.last_name,
            Field::DateOfBirth => return Some(self.date_of_birth.to_string().into()),
            Field::Phone => texts.phone?,
            Field::Email => texts.email?,
            Field::PlanId => self.plan_id.as_str(),
            Field::AddressLine1 => texts.address_line_1,
            Field::AddressLine2 => texts.address_line_2?,
            Field::City => texts.city,
            Field::State => texts.state,
            Field::Zipcode => texts.zipcode,
        };
        Some(text.into())
    }

    /// Lets a field say what [`Member::value`] said; answers whether it can.
    #[must_use]
    pub fn set_value(&mut self, field: Field, value: Option<&str>) -> bool {
        let mut texts = self.packed.texts();
        let can = match field {
            Field::DateOfBirth => return put(&mut self.date_of_birth, value.and_then(|value| value.parse().ok())),
            Field::PlanId => return put(&mut self.plan_id, value.and_then(|value| PlanId::parse(value).ok())),
            Field::FirstName => put(&mut texts.first_name, value),
            Field::LastName => put(&mut texts.last_name, value),
            Field::Phone => put(&mut texts.phone, Some(value)),
            Field::Email => put(&mut texts.email, Some(value)),
            Field::AddressLine1 => put(&mut texts.address_line_1, value),
            Field::AddressLine2 => put(&mut texts.address_line_2, Some(value)),
            Field::City => put(&mut texts.city, value),
            Field::State => put(&mut texts.state, value),
            Field::Zipcode => put(&mut texts.zipcode, value),
        };
        self.packed = Packed::new(&texts);
        can
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    let is_there = value.is_some();
    if let Some(value) = value {
        *place = value;
    }
    is_there
}

/// [`Texts`] in one piece: each behind a number, which is its length and one more, or zero where there is no text. Equal texts are equal
/// pieces.
#[derive(Clone, PartialEq, Eq)]
struct Packed(Box<str>);

/// A number is written in digits of six bits, the lowest first, each as the ASCII character of that code; one more bit says that another
/// follows. So all of a piece is text, and nobody has to look again whether it is.
const DIGIT_BITS: u32 = 6;
const MORE: u8 = 1 << DIGIT_BITS;

impl Packed {
    fn new(texts: &Texts<'_>) -> Self {
        let Texts { first_name, last_name, phone, email, address_line_1, address_line_2, city, state, zipcode } =
            *texts;
        let all = [
            Some(first_name),
            Some(last_name),
            phone,
            email,
            Some(address_line_1),
            address_line_2,
            Some(city),
            Some(state),
            Some(zipcode),
        ];
        let number = |text: Option<&str>| text.map_or(0, |text| text.len() + 1);
        let written = |text| digits(number(text)) + text.map_or(0, str::len);
        let mut piece = String::with_capacity(all.into_iter().map(written).sum());
        for text in all {
            push_number(&mut piece, number(text));
            piece.push_str(text.unwrap_or_default());
        }
        Self(piece.into_boxed_str())
    }

    fn texts(&self) -> Texts<'_> {
        let mut rest = &*self.0;
        let mut next = || take(&mut rest);
        Texts {
            first_name: next().unwrap_or_default(),
            last_name: next().unwrap_or_default(),
            phone: next(),
            email: next(),
            address_line_1: next().unwrap_or_default(),
            address_line_2: next(),
            city: next().unwrap_or_default(),
            state: next().unwrap_or_default(),
            zipcode: next().unwrap_or_default(),
        }
    }
}

/// How many digits a number has.
fn digits(mut number: usize) -> usize {
    let mut digits = 1;
    while usize::from(MORE) <= number {
        number >>= DIGIT_BITS;
        digits += 1;
    }
    digits
}

fn push_number(piece: &mut String, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= DIGIT_BITS;
        let more = if number == 0 { 0 } else { MORE };
        piece.push(char::from(low & (MORE - 1) | more));
        if number == 0 {
            break;
        }
    }
}

/// Takes the text that a piece begins with off it.
fn take<'a>(piece: &mut &'a str) -> Option<&'a str> {
    let (mut number, mut shift) = (0_usize, 0);
    loop {
        let (digit, rest) = piece.as_bytes().first().copied().zip(piece.get(1..))?;
        *piece = rest;
        number |= usize::from(digit & (MORE - 1)) << shift;
        if digit & MORE == 0 {
            break;
        }
        shift += DIGIT_BITS;
    }
    let (text, rest) = piece.split_at_checked(number.checked_sub(1)?)?;
    *piece = rest;
    Some(text)
}

/// Shows the reference id only: everything else about a person is personal.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("reference_id", &self.reference_id).finish_non_exhaustive()
    }
}

/// Shows nothing: all of it is personal.
impl fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        // Lengths around those that need another digit.
        prop_oneof![".{0,8}", "[a-zé]{60,66}", "x{4090,4100}"]
    }

    proptest! {
        #[test]
        fn texts_are_told_apart_as_they_were_put_together(
            said in prop::array::uniform6(text()),
            optional in prop::array::uniform3(prop::option::of(text())),
        ) {
            let [first_name, last_name, address_line_1, city, state, zipcode] = said.each_ref().map(String::as_str);
            let [phone, email, address_line_2] = optional.each_ref().map(Option::as_deref);
            let texts = Texts { first_name, last_name, phone, email, address_line_1, address_line_2, city, state, zipcode };
            let (id, plan) = (ReferenceId::parse("E1").unwrap(), PlanId::parse("pln_1").unwrap());
            let mut member = Member::new(id, plan, NaiveDate::MIN, &texts);
            prop_assert!(member.texts() == texts);
            prop_assert!(member.set_value(Field::City, Some("Salem")) && member.set_value(Field::Email, None));
            prop_assert!(!member.set_value(Field::State, None));
            let changed = Texts { city: "Salem", email: None, ..texts };
            prop_assert!(member.texts() == changed);
        }
    }
}
