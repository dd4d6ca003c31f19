//! The roster as the API wants it. By far the largest thing that rosterd writes, so it is written straight from the
//! entries into one buffer; and writing text into memory has no failure that a caller would have to think of.

use std::io::Write as _;

use chrono::NaiveDate;

use crate::config::PhoneFormat;
use crate::roster::Entry;
use crate::roster::member::Member;

/// Room for one member: a full record of usual values takes 250 to 300 bytes, so that the buffer seldom grows.
const BYTES_PER_MEMBER: usize = 384;

/// The body of a submitted roster: `{"members":[…]}`. The order of the members is kept and that of the fields is fixed,
/// so that equal rosters give equal bytes. Optional values that are `None` are left out, never null.
pub fn roster_body(members: &[Entry], phone: PhoneFormat) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + members.len() * BYTES_PER_MEMBER);
    out.extend_from_slice(br#"{"members":["#);
    for (at, entry) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        member(&mut out, &entry.member, phone);
    }
    out.extend_from_slice(b"]}");
    out
}

fn member(out: &mut Vec<u8>, member: &Member, phone: PhoneFormat) {
    field(out, br#"{"reference_id":""#, member.reference_id.as_str());
    let texts = member.texts();
    field(out, br#","first_name":""#, texts.first_name);
    field(out, br#","last_name":""#, texts.last_name);
    out.extend_from_slice(br#","date_of_birth":""#);
    date(out, member.date_of_birth);
    out.push(b'"');
    if let Some(number) = texts.phone {
        let key: &[u8] = match phone {
            PhoneFormat::National => br#","phone":""#,
            PhoneFormat::E164 => br#","phone":"+1"#,
        };
        field(out, key, number);
    }
    if let Some(email) = texts.email {
        field(out, br#","email":""#, email);
    }
    field(out, br#","plan_id":""#, member.plan_id.as_str());
    field(out, br#","address":{"address_line_1":""#, texts.address_line_1);
    if let Some(line_2) = texts.address_line_2 {
        field(out, br#","address_line_2":""#, line_2);
    }
    field(out, br#","city":""#, texts.city);
    field(out, br#","state":""#, texts.state);
    field(out, br#","zipcode":""#, texts.zipcode);
    out.extend_from_slice(b"}}");
}

/// Writes a value after its key; the key brings the opening quote along.
fn field(out: &mut Vec<u8>, key: &[u8], value: &str) {
    out.extend_from_slice(key);
    escaped(out, value);
    out.push(b'"');
}

/// JSON asks for quotes, backslashes and control characters to be escaped (RFC 8259, 7); everything else may stand.
fn escaped(out: &mut Vec<u8>, value: &str) {
    for part in value.as_bytes().split_inclusive(|byte| needs_escape(*byte)) {
        match part.split_last() {
            Some((last, before)) if needs_escape(*last) => {
                out.extend_from_slice(before);
                escape(out, *last);
            }
            Some(_) | None => out.extend_from_slice(part),
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    if byte < 0x20 {
        let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        out.extend_from_slice(b"\\u00");
        out.extend_from_slice(&[hex(byte >> 4), hex(byte & 0xf)]);
    } else {
        out.extend_from_slice(&[b'\\', byte]);
    }
}

/// `1988-02-29`, as a plain date.
fn date(out: &mut Vec<u8>, date: NaiveDate) {
    let written = write!(out, "{date}");
    debug_assert!(written.is_ok(), "writing into memory does not fail");
}
