//! What a submitted row must look like: an independent, strict statement of the API's field rules. Pure.

use chrono::NaiveDate;
use compact_str::CompactString;
use serde_json::{Value, json};

use super::json::{Json, Object};
use super::switches::{FutureBirthDates, Nulls, Phone, PhonePresence, Switches, UnknownFields};

/// Longest value of a text field, in characters: documented for reference ids, and the census endpoint's for the rest.
const MAX_CHARS: usize = 255;

/// The USPS codes that the API's own state enumeration lists: states, territories, military.
const STATES: &[&str] = &[
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA",
    "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR",
    "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY", "PR", "GU", "AS", "VI", "MP", "MH",
    "PW", "FM", "AE", "AA", "AP",
];

const MEMBER_KEYS: &[&str] =
    &["reference_id", "first_name", "last_name", "date_of_birth", "phone", "email", "plan_id", "address"];
const ADDRESS_KEYS: &[&str] = &["address_line_1", "address_line_2", "city", "state", "zipcode"];

/// An optional field of a row.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// The key is not there.
    Omitted,
    /// `null`
    Null,
    /// A text.
    Text(CompactString),
}

/// A valid row.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) reference_id: CompactString,
    pub(super) first_name: CompactString,
    pub(super) last_name: CompactString,
    pub(super) date_of_birth: NaiveDate,
    pub(super) phone: Given,
    pub(super) email: Given,
    pub(super) plan_id: CompactString,
    pub(super) line_1: CompactString,
    pub(super) line_2: Given,
    pub(super) city: CompactString,
    pub(super) state: CompactString,
    pub(super) zipcode: CompactString,
}

/// Why a row is refused. Holds no value of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadField {
    /// `address.zipcode`
    pub(super) field: String,
    /// Completes "must …" or "is …".
    pub(super) why: &'static str,
}

fn bad(field: &str, why: &'static str) -> BadField {
    BadField { field: field.to_owned(), why }
}

/// Reads a row.
pub(super) fn row(value: &Json<'_>, switches: &Switches, today: NaiveDate) -> Result<Row, BadField> {
    let member = value.as_object().ok_or_else(|| bad("", "must be an object"))?;
    refuse_unknown(member, MEMBER_KEYS, "", switches)?;
    let reference_id = required(member, "reference_id", "reference_id")?;
    let first_name = required(member, "first_name", "first_name")?;
    let last_name = required(member, "last_name", "last_name")?;
    let date_of_birth = birth_date(&required(member, "date_of_birth", "date_of_birth")?, switches, today)?;
    let phone = phone(member, switches)?;
    let email = optional(member, "email", "email", switches)?;
    if let Given::Text(email) = &email
        && !is_email(email)
    {
        return Err(bad("email", "must be an e-mail address"));
    }
    let plan_id = required(member, "plan_id", "plan_id")?;
    let address = match member.get("address") {
        None => return Err(bad("address", "is required")),
        Some(address) => address.as_object().ok_or_else(|| bad("address", "must be an object"))?,
    };
    refuse_unknown(address, ADDRESS_KEYS, "address.", switches)?;
    let line_1 = required(address, "address_line_1", "address.address_line_1")?;
    let line_2 = optional(address, "address_line_2", "address.address_line_2", switches)?;
    let city = required(address, "city", "address.city")?;
    let state = required(address, "state", "address.state")?;
    if !STATES.contains(&state.as_str()) {
        return Err(bad("address.state", "must be a two-letter USPS code"));
    }
    let zipcode = required(address, "zipcode", "address.zipcode")?;
    if !is_zip(&zipcode) {
        return Err(bad("address.zipcode", "must be five digits or ZIP+4"));
    }
    Ok(Row {
        reference_id,
        first_name,
        last_name,
        date_of_birth,
        phone,
        email,
        plan_id,
        line_1,
        line_2,
        city,
        state,
        zipcode,
    })
}

fn refuse_unknown(object: &Object<'_>, known: &[&str], path: &str, switches: &Switches) -> Result<(), BadField> {
    match switches.unknown_fields {
        UnknownFields::Ignore => Ok(()),
        UnknownFields::Reject => match object.iter().find(|(key, _)| !known.contains(key)) {
            None => Ok(()),
            Some((key, _)) => Err(bad(&format!("{path}{}", short(key)), "is not a known field")),
        },
    }
}

/// A key of the client's, cut so that nothing long is echoed.
fn short(key: &str) -> String {
    key.chars().take(40).collect()
}

fn required(object: &Object<'_>, key: &str, path: &str) -> Result<CompactString, BadField> {
    match object.get(key) {
        None => Err(bad(path, "is required")),
        Some(Json::Text(text)) if text.trim().is_empty() => Err(bad(path, "must not be blank")),
        Some(Json::Text(text)) if is_too_long(text) => Err(bad(path, "must be at most 255 characters")),
        Some(Json::Text(text)) => Ok(text.as_ref().into()),
        Some(Json::Null | Json::Array(_) | Json::Object(_) | Json::Other) => Err(bad(path, "must be a string")),
    }
}

fn optional(object: &Object<'_>, key: &str, path: &str, switches: &Switches) -> Result<Given, BadField> {
    match (object.get(key), switches.nulls) {
        (None, _) => Ok(Given::Omitted),
        (Some(Json::Null), Nulls::Accept) => Ok(Given::Null),
        (Some(Json::Null), Nulls::Reject) => Err(bad(path, "must not be null")),
        (Some(Json::Text(text)), _) if is_too_long(text) => Err(bad(path, "must be at most 255 characters")),
        (Some(Json::Text(text)), _) => Ok(Given::Text(text.as_ref().into())),
        (Some(Json::Array(_) | Json::Object(_) | Json::Other), _) => Err(bad(path, "must be a string")),
    }
}

fn is_too_long(text: &str) -> bool {
    MAX_CHARS < text.len() && MAX_CHARS < text.chars().count()
}

fn birth_date(text: &str, switches: &Switches, today: NaiveDate) -> Result<NaiveDate, BadField> {
    // chrono alone would take `1988-2-9`.
    let is_written_out = matches!(text.as_bytes(), [year @ .., b'-', _, _, b'-', _, _] if year.len() == 4);
    let has_digits = text.bytes().filter(u8::is_ascii_digit).count() == 8;
    let date = text.parse::<NaiveDate>().ok().filter(|_| is_written_out && has_digits);
    let date = date.ok_or_else(|| bad("date_of_birth", "must be a date, YYYY-MM-DD"))?;
    match switches.future_birth_dates {
        FutureBirthDates::Reject if today < date => Err(bad("date_of_birth", "must not be in the future")),
        FutureBirthDates::Reject | FutureBirthDates::Accept => Ok(date),
    }
}

fn phone(member: &Object<'_>, switches: &Switches) -> Result<Given, BadField> {
    let phone = optional(member, "phone", "phone", switches)?;
    match (&phone, switches.phone_presence) {
        (Given::Text(text), _) if !is_phone(text, switches.phone) => Err(bad("phone", "must be a phone number")),
        (Given::Omitted | Given::Null, PhonePresence::Required) => Err(bad("phone", "is required")),
        (Given::Text(_) | Given::Omitted | Given::Null, _) => Ok(phone),
    }
}

fn is_phone(text: &str, form: Phone) -> bool {
    let is_e164 = || text.strip_prefix("+1").is_some_and(is_nanp);
    match form {
        Phone::Digits10Nanp => is_nanp(text),
        Phone::Digits10 => text.len() == 10 && is_digits(text),
        Phone::E164 => is_e164(),
        Phone::Both => is_nanp(text) || is_e164(),
    }
}

/// Ten digits whose area code and exchange start with 2 to 9.
fn is_nanp(text: &str) -> bool {
    let starts_code = |at: usize| text.as_bytes().get(at).is_some_and(|digit| (b'2'..=b'9').contains(digit));
    text.len() == 10 && is_digits(text) && starts_code(0) && starts_code(3)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_zip(text: &str) -> bool {
    match text.split_once('-') {
        None => text.len() == 5 && is_digits(text),
        Some((zip, four)) => zip.len() == 5 && four.len() == 4 && is_digits(zip) && is_digits(four),
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_clean = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '@');
    is_clean(local) && is_clean(domain) && domain.contains('.') && domain.split('.').all(|label| !label.is_empty())
}

/// What a client should never send, whether or not the switches forgive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Irregularity {
    /// A key with `null`.
    Null(String),
    /// A key that is not documented.
    Unknown(String),
}

/// Looks a whole body through, each kind of irregularity once.
pub(super) fn irregularities(body: &Object<'_>) -> Vec<Irregularity> {
    let mut found = Vec::new();
    let mut note = |irregularity| {
        if !found.contains(&irregularity) {
            found.push(irregularity);
        }
    };
    look(body, &["members"], "", &mut note);
    for member in body.get("members").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object) {
        look(member, MEMBER_KEYS, "", &mut note);
        if let Some(address) = member.get("address").and_then(Json::as_object) {
            look(address, ADDRESS_KEYS, "address.", &mut note);
        }
    }
    found
}

fn look(object: &Object<'_>, known: &[&str], path: &str, note: &mut impl FnMut(Irregularity)) {
    for (key, value) in object.iter() {
        if matches!(value, Json::Null) {
            note(Irregularity::Null(format!("{path}{}", short(key))));
        }
        if !known.contains(&key) {
            note(Irregularity::Unknown(format!("{path}{}", short(key))));
        }
    }
}

// === impl Given ===

impl Given {
    /// The value to store.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Omitted | Self::Null => None,
        }
    }
}

// === impl Row ===

impl Row {
    /// What persons are matched by: e-mail in lower case and date of birth.
    pub(super) fn key(&self) -> Option<(String, NaiveDate)> {
        self.email.text().map(|email| (email.to_lowercase(), self.date_of_birth))
    }

    /// Adds the record to a hash: texts behind their lengths, so that no two records are alike in it.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        let Self { reference_id, first_name, last_name, date_of_birth, phone, email, plan_id, .. } = self;
        let Self { line_1, line_2, city, state, zipcode, .. } = self;
        hasher.update(&date_of_birth.to_epoch_days().to_le_bytes());
        let required = [reference_id, first_name, last_name, plan_id, line_1, city, state, zipcode];
        let optional = [phone, email, line_2];
        for text in required.map(|text| Some(text.as_str())).into_iter().chain(optional.map(Given::text)) {
            hasher.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hasher.update(text.unwrap_or_default().as_bytes());
        }
    }

    /// The record as a value, for tests to compare; absent optional fields are left out.
    pub(super) fn record(&self) -> Value {
        let mut record = json!({
            "reference_id": self.reference_id,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "date_of_birth": self.date_of_birth.format("%Y-%m-%d").to_string(),
            "plan_id": self.plan_id,
            "address": {
                "address_line_1": self.line_1,
                "city": self.city,
                "state": self.state,
                "zipcode": self.zipcode,
            },
        });
        let mut put = |pointer: &str, key: &str, value: &Given| {
            if let (Some(object), Some(text)) =
                (record.pointer_mut(pointer).and_then(Value::as_object_mut), value.text())
            {
                object.insert(key.to_owned(), Value::from(text));
            }
        };
        put("", "phone", &self.phone);
        put("", "email", &self.email);
        put("/address", "address_line_2", &self.line_2);
        record
    }
}

/// Shows the reference id only: everything else about a person is personal.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("reference_id", &self.reference_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
