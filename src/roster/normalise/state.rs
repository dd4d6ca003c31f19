//! States and territories.

use super::{NotAState, text::text};

/// Code and name of everything that the API takes for a state: fifty states, the capital, eight territories and freely
/// associated states, three military regions. Sorted by code.
pub const STATES: [(&str, &str); 62] = [
    ("AA", "Armed Forces Americas"),
    ("AE", "Armed Forces Europe"),
    ("AK", "Alaska"),
    ("AL", "Alabama"),
    ("AP", "Armed Forces Pacific"),
    ("AR", "Arkansas"),
    ("AS", "American Samoa"),
    ("AZ", "Arizona"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DC", "District of Columbia"),
    ("DE", "Delaware"),
    ("FL", "Florida"),
    ("FM", "Federated States of Micronesia"),
    ("GA", "Georgia"),
    ("GU", "Guam"),
    ("HI", "Hawaii"),
    ("IA", "Iowa"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("MA", "Massachusetts"),
    ("MD", "Maryland"),
    ("ME", "Maine"),
    ("MH", "Marshall Islands"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MO", "Missouri"),
    ("MP", "Northern Mariana Islands"),
    ("MS", "Mississippi"),
    ("MT", "Montana"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("NE", "Nebraska"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NV", "Nevada"),
    ("NY", "New York"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("PR", "Puerto Rico"),
    ("PW", "Palau"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UT", "Utah"),
    ("VA", "Virginia"),
    ("VI", "Virgin Islands"),
    ("VT", "Vermont"),
    ("WA", "Washington"),
    ("WI", "Wisconsin"),
    ("WV", "West Virginia"),
    ("WY", "Wyoming"),
];

/// Other names in use, without full stops and commas.
const ALIASES: [(&str, &str); 9] = [
    ("DC", "Washington DC"),
    ("VI", "US Virgin Islands"),
    ("VI", "United States Virgin Islands"),
    ("MP", "Commonwealth of the Northern Mariana Islands"),
    ("FM", "Micronesia"),
    ("MH", "Republic of the Marshall Islands"),
    ("PW", "Republic of Palau"),
    ("AE", "Armed Forces Africa"),
    ("AE", "Armed Forces Middle East"),
];

/// A state's two-letter code, from the code, the name, or ISO's `US-MA`, in any case.
///
/// # Errors
/// [`NotAState`] when the text is none of them.
pub fn state(raw: &str) -> Result<&'static str, NotAState> {
    if let [first, second] = raw.as_bytes() {
        return of_code(*first, *second);
    }
    let text = text(raw);
    let plain;
    let name = if text.contains(['.', ',']) {
        plain = text.replace(['.', ','], "");
        plain.as_str()
    } else {
        &*text
    };
    let code = match name.split_at_checked(3) {
        Some((prefix, code)) if prefix.eq_ignore_ascii_case("US-") => code,
        Some(_) | None => name,
    };
    if let [first, second] = code.as_bytes() {
        return of_code(*first, *second);
    }
    let mut names = STATES.iter().chain(&ALIASES);
    names.find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(code, _)| *code).ok_or(NotAState)
}

/// Letters of a code.
const LETTERS: usize = 26;

/// Behind which of [`STATES`] a code stands, by its two letters; zero where there is none. A search takes five steps for each row of an export.
#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "while it is compiled")]
const PLACES: [[u8; LETTERS]; LETTERS] = {
    let mut places = [[0; LETTERS]; LETTERS];
    let mut at = 0;
    while at < STATES.len() {
        let code = STATES[at].0.as_bytes();
        at += 1;
        places[(code[0] - b'A') as usize][(code[1] - b'A') as usize] = at as u8;
    }
    places
};

fn of_code(first: u8, second: u8) -> Result<&'static str, NotAState> {
    let letter = |byte: u8| usize::from(byte.to_ascii_uppercase().wrapping_sub(b'A'));
    let place = PLACES.get(letter(first)).and_then(|row| row.get(letter(second))).ok_or(NotAState)?;
    let at = usize::from(*place).checked_sub(1).ok_or(NotAState)?;
    STATES.get(at).map(|(code, _)| *code).ok_or(NotAState)
}
