//! A source's columns, found in the header of one file.

use std::fmt;
use std::sync::Arc;

use super::{Rules, group_header};
use crate::config::{IdColumns, NameColumns};
use crate::export::reader::Header;
use crate::roster::member::Field;

/// The columns of one file, found.
pub struct Bound {
    pub(super) rules: Arc<Rules>,
    pub(super) id: Vec<Column>,
    pub(super) name: NameAt,
    pub(super) date_of_birth: Vec<Column>,
    pub(super) email: Vec<Column>,
    pub(super) phone: Vec<Column>,
    pub(super) address_line_1: Vec<Column>,
    pub(super) address_line_2: Vec<Column>,
    pub(super) city: Vec<Column>,
    pub(super) state: Vec<Column>,
    pub(super) zipcode: Vec<Column>,
    pub(super) group: Option<Column>,
    pub(super) plan: Option<Column>,
    pub(super) status: Option<Column>,
    pub(super) start: Option<Column>,
    pub(super) end: Option<Column>,
}

/// One column of the file.
pub(super) struct Column {
    /// Its place, counted from 0.
    pub(super) at: usize,
    /// Its header as the file spells it.
    pub(super) name: Box<str>,
}

/// Where the name stands.
pub(super) enum NameAt {
    Two { first: Vec<Column>, last: Vec<Column> },
    Full(Vec<Column>),
}

impl Bound {
    pub(super) fn new(rules: Arc<Rules>, header: &Header) -> Self {
        let one = |wanted: &str| {
            let at = header.index_of(wanted)?;
            let name = header.names().get(at).map_or(wanted, String::as_str);
            Some(Column { at, name: name.into() })
        };
        let maybe = |wanted: Option<&str>| wanted.and_then(one);
        let all = |wanted: &[String]| -> Vec<Column> { wanted.iter().filter_map(|wanted| one(wanted)).collect() };
        let columns = &rules.columns;
        let eligibility = rules.eligibility.as_ref();
        Self {
            id: match &columns.reference_id {
                IdColumns::First(headers) | IdColumns::Join { headers, .. } => all(headers),
            },
            name: match &columns.name {
                NameColumns::Two { first, last } => NameAt::Two { first: all(first), last: all(last) },
                NameColumns::Full(full) => NameAt::Full(all(full)),
            },
            date_of_birth: all(&columns.date_of_birth),
            email: all(&columns.email),
            phone: all(&columns.phone),
            address_line_1: all(&columns.address_line_1),
            address_line_2: all(&columns.address_line_2),
            city: all(&columns.city),
            state: all(&columns.state),
            zipcode: all(&columns.zipcode),
            group: maybe(group_header(&rules.group)),
            plan: maybe(rules.plan.column.as_deref()),
            status: maybe(eligibility.and_then(|rule| rule.status.as_deref())),
            start: maybe(eligibility.and_then(|rule| rule.start.as_deref())),
            end: maybe(eligibility.and_then(|rule| rule.end.as_deref())),
            rules,
        }
    }

    /// The header that a field mainly comes from, or the field's own name where the file has no such column.
    pub(super) fn header_of(&self, field: Field) -> &str {
        let columns: &[Column] = match (field, &self.name) {
            (Field::FirstName, NameAt::Two { first: columns, .. })
            | (Field::LastName, NameAt::Two { last: columns, .. })
            | (Field::FirstName | Field::LastName, NameAt::Full(columns)) => columns,
            (Field::DateOfBirth, _) => &self.date_of_birth,
            (Field::Phone, _) => &self.phone,
            (Field::Email, _) => &self.email,
            (Field::PlanId, _) => self.plan.as_slice(),
            (Field::AddressLine1, _) => &self.address_line_1,
            (Field::AddressLine2, _) => &self.address_line_2,
            (Field::City, _) => &self.city,
            (Field::State, _) => &self.state,
            (Field::Zipcode, _) => &self.zipcode,
        };
        columns.first().map_or(field.name(), |column| &column.name)
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}
