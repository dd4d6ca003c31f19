//! What the single values must look like. Each function takes a value as written and returns what it means, or a
//! [`Fault`] whose message follows on the key.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use encoding_rs::Encoding;
use figment::value::Value;
use url::{Host, Url};

use super::Limit;
use super::finding::Fault;
use crate::intake::schedule::Cron;
use crate::roster::ids::{GroupRef, PlanId};

/// No setting is longer; it keeps sums of times within what the calendar holds.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
/// What a group's template puts the cell in place of.
pub(super) const PLACEHOLDER: &str = "{value}";
/// What stands for "no limit" and "for ever".
const OFF: &str = "off";

pub(super) type Checked<T> = Result<T, Fault>;

/// A text that is not blank, outer blanks dropped.
pub(super) fn text(value: &Value) -> Checked<String> {
    let text = value.as_str().ok_or_else(|| Fault::new("is not a text", "write it in double quotes"))?;
    if text.chars().any(char::is_control) {
        return Err(Fault::new("holds a control character", "write it without"));
    }
    match text.trim() {
        "" => Err(Fault::new("is empty", "write a value or delete the line")),
        text => Ok(text.to_owned()),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Checked<T> {
    move |value| {
        let known = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let text = text(value).map_err(|fault| Fault { cure: format!("write {}", known()), ..fault })?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| Fault::new("is not one of the words that count here", format!("write {}", known())))
    }
}

/// `true` or `false`.
pub(super) fn switch(value: &Value) -> Checked<bool> {
    value.to_bool().ok_or_else(|| Fault::new("is not a switch", "write true or false, without quotes"))
}

fn integer(value: &Value) -> Option<i128> {
    value.to_i128().or_else(|| i128::try_from(value.to_u128()?).ok())
}

/// A whole number in a range, both ends included.
pub(super) fn count(least: u32, most: u32) -> impl Fn(&Value) -> Checked<u32> {
    move |value| {
        let cure = || format!("write a number from {least} to {most}, without quotes");
        let number = integer(value).ok_or_else(|| Fault::new("is not a whole number", cure()))?;
        let number = u32::try_from(number).ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Fault::new("is out of range", cure()))
    }
}

/// Requests a second.
pub(super) fn rate(value: &Value) -> Checked<f64> {
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is out of range either way")]
    let number = value.to_f64().or_else(|| integer(value).map(|number| number as f64));
    let cure = "write a number above 0, up to 1000, as in 5.0";
    let number = number.ok_or_else(|| Fault::new("is not a number", cure))?;
    // Slower than one request in a thousand seconds would never end a poll; NaN fails both.
    if (0.001..=1000.0).contains(&number) { Ok(number) } else { Err(Fault::new("is out of range", cure)) }
}

/// A time span in a range, both ends included.
pub(super) fn span(least: Duration, most: Duration) -> impl Fn(&Value) -> Checked<Duration> {
    move |value| {
        let shape = || {
            Fault::new(
                "is not a time span",
                "write a number and a unit, as in \"10s\", \"5m\", \"24h\", \"7d\" or \"2y\"",
            )
        };
        let span = humantime::parse_duration(&text(value).map_err(|_| shape())?).map_err(|_| shape())?;
        let range = || format!("write {} to {}", humantime::format_duration(least), years(most));
        if (least..=most).contains(&span) { Ok(span) } else { Err(Fault::new("is out of range", range())) }
    }
}

fn years(span: Duration) -> String {
    if span == CENTURY { "100years".to_owned() } else { humantime::format_duration(span).to_string() }
}

/// A time span of at least `least`.
pub(super) fn span_from(least: Duration) -> impl Fn(&Value) -> Checked<Duration> {
    span(least, CENTURY)
}

/// A time span of at least a day, or `"off"`.
pub(super) fn keeping(value: &Value) -> Checked<Option<Duration>> {
    if value.as_str() == Some(OFF) {
        return Ok(None);
    }
    span_from(Duration::from_secs(24 * 3600))(value)
        .map(Some)
        .map_err(|fault| Fault { cure: format!("{}; \"off\" keeps for ever", fault.cure), ..fault })
}

/// A share, a number, or `"off"`.
pub(super) fn limit(value: &Value) -> Checked<Option<Limit>> {
    let fault = |message: &str| Fault::new(message, "write a share like \"10%\", a number like 25, or \"off\"");
    if let Some(number) = integer(value) {
        let number = u64::try_from(number).map_err(|_| fault("is below zero"))?;
        return Ok(Some(Limit::Count(number)));
    }
    let text = value.as_str().ok_or_else(|| fault("is not a limit"))?;
    if text == OFF {
        return Ok(None);
    }
    let share = text.strip_suffix('%').ok_or_else(|| fault("is not a limit"))?;
    let share: f64 = share.trim().parse().map_err(|_| fault("is not a share"))?;
    if (0.0..=100.0).contains(&share) {
        Ok(Some(Limit::Share(share / 100.0)))
    } else {
        Err(fault("is not between 0% and 100%"))
    }
}

/// A number, or `"off"`.
pub(super) fn count_or_off(value: &Value) -> Checked<Option<u64>> {
    match limit(value) {
        Ok(None) => Ok(None),
        Ok(Some(Limit::Count(number))) => Ok(Some(number)),
        Ok(Some(Limit::Share(_))) | Err(_) => {
            Err(Fault::new("is not a number of people", "write a number like 25, or \"off\""))
        }
    }
}

/// An absolute path, without dots in it and without a slash at the end.
pub(super) fn path(value: &Value) -> Checked<PathBuf> {
    let text = text(value)?;
    let path = Path::new(&text);
    if !path.is_absolute() {
        return Err(Fault::new("is not an absolute path", "write it from the root on, as in \"/srv/rosterd\""));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Fault::new("goes up with `..`", "write the path as it is"));
    }
    if path.parent().is_none() {
        return Err(Fault::new("is the root of the file system", "name a folder of its own"));
    }
    Ok(path.components().collect())
}

/// A path that a Unix socket can have.
pub(super) fn socket(value: &Value) -> Checked<PathBuf> {
    /// Of the address of a Unix socket, without the zero at the end.
    const LONGEST: usize = 107;
    let path = path(value)?;
    if LONGEST < path.as_os_str().len() {
        return Err(Fault::new("is too long for a socket", format!("choose a path of at most {LONGEST} bytes")));
    }
    Ok(path)
}

/// Scheme, host and port of the API.
pub(super) fn base_url(value: &Value) -> Checked<String> {
    let cure = "write it as in \"https://api.demo.vitablehealth.com\"";
    let url = Url::parse(&text(value)?).map_err(|_| Fault::new("is not a URL", cure))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(Fault::new("names no host", cure)),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("holds a user or a password", "leave them out; the API takes a key only"));
    }
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(Fault::new("is not encrypted", "write https://; http:// is for loopback addresses only")),
        _ => return Err(Fault::new("is neither https nor http", cure)),
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new(
            "holds more than scheme, host and port",
            "leave out the path; rosterd adds /v1/… itself",
        ));
    }
    Ok(url.origin().ascii_serialization())
}

/// An HTTP proxy.
pub(super) fn proxy(value: &Value) -> Checked<String> {
    let fault = || Fault::new("is not the URL of an HTTP proxy", "write it as in \"http://proxy.example.com:3128\"");
    let text = text(value).map_err(|_| fault())?;
    let url = Url::parse(&text).map_err(|_| fault())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(text) } else { Err(fault()) }
}

/// The name of a source, which goes into commands and records.
pub(super) fn source_name(value: &Value) -> Checked<String> {
    /// Names stand in tables of history.
    const LONGEST: usize = 64;
    let name = text(value)?;
    let fits =
        name.len() <= LONGEST && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    if fits { Ok(name) } else { Err(Fault::new("is not a name", "use A-Z, a-z, 0-9, _ and -, at most 64 of them")) }
}

/// A pattern of file names.
pub(super) fn pattern(value: &Value) -> Checked<String> {
    let pattern = text(value)?;
    let cure = "write one pattern of names, as in \"*.csv\"; only * and ? are special";
    if pattern.contains('/') {
        Err(Fault::new("holds a slash", cure))
    } else if pattern.contains(['[', ']', '{', '}']) {
        Err(Fault::new("holds brackets, which mean nothing here", cure))
    } else if pattern.starts_with('.') {
        Err(Fault::new("starts with a dot, and such files are never read", cure))
    } else {
        Ok(pattern)
    }
}

/// A cron line.
pub(super) fn cron(value: &Value) -> Checked<Cron> {
    let cure = "write it as in \"0 6 * * Mon-Fri\": minute, hour, day of month, month, weekday";
    let line = text(value).map_err(|fault| Fault::new(fault.message, cure))?;
    Cron::parse(&line).map_err(|bad| Fault::new(bad.to_string(), cure))
}

/// A cron line, or `"off"`.
pub(super) fn cron_or_off(value: &Value) -> Checked<Option<Cron>> {
    if value.as_str() == Some(OFF) {
        return Ok(None);
    }
    cron(value).map(Some).map_err(|fault| Fault { cure: format!("{}; or \"off\"", fault.cure), ..fault })
}

/// A time zone by its name in the IANA list.
pub(super) fn zone(value: &Value) -> Checked<Tz> {
    let name = text(value)?;
    name.parse::<Tz>().map_err(|_| {
        let nearest = chrono_tz::TZ_VARIANTS.iter().max_by(|a, b| {
            let alike = |zone: &Tz| strsim::jaro_winkler(&zone.name().to_lowercase(), &name.to_lowercase());
            alike(a).total_cmp(&alike(b))
        });
        let cure = match nearest.map(|zone| zone.name()) {
            Some(nearest) => format!("write \"{nearest}\" if that is meant; names are those of /usr/share/zoneinfo"),
            None => "names are those of /usr/share/zoneinfo".to_owned(),
        };
        Fault::new("is not a known time zone", cure)
    })
}

/// Words, compared without regard to case: one, or a list. It may be empty.
pub(super) fn words(value: &Value) -> Checked<Vec<String>> {
    match value.as_array() {
        Some(items) => items.iter().map(text).collect(),
        None => Ok(vec![text(value)?]),
    }
}

/// A header, or several of which the first that is not empty wins.
pub(super) fn headers(value: &Value) -> Checked<Vec<String>> {
    let cure = "write a header like \"City\", or a list like [\"Mobile Phone\", \"Home Phone\"]";
    match words(value) {
        Ok(headers) if headers.is_empty() => Err(Fault::new("names no header", cure)),
        other => other.map_err(|fault| Fault::new(fault.message, cure)),
    }
}

/// `"auto"`, or an encoding by its name on the web.
pub(super) fn encoding(value: &Value) -> Checked<Option<&'static Encoding>> {
    let name = text(value)?;
    if name == "auto" {
        return Ok(None);
    }
    let known = Encoding::for_label(name.as_bytes()).filter(|encoding| *encoding != encoding_rs::REPLACEMENT);
    known.map(Some).ok_or_else(|| {
        let cure =
            "write \"auto\", \"utf-8\", \"utf-16le\", \"utf-16be\", \"windows-1252\" or another name of the web's list";
        Fault::new("is not a known encoding", cure)
    })
}

/// `"auto"`, or one character.
pub(super) fn delimiter(value: &Value) -> Checked<Option<u8>> {
    let fault = || Fault::new("is not a delimiter", "write \"auto\", \",\", \";\", \"|\" or \"tab\"");
    let text = value.as_str().ok_or_else(fault)?;
    match (text, text.as_bytes()) {
        ("auto", _) => Ok(None),
        ("tab" | "\t", _) => Ok(Some(b'\t')),
        (_, [byte]) if byte.is_ascii_punctuation() && !b"\"'".contains(byte) => Ok(Some(*byte)),
        _ => Err(fault()),
    }
}

/// `"auto"`, or the row counted from 1.
pub(super) fn header_row(value: &Value) -> Checked<Option<u64>> {
    /// A header further down is a mistake, and the rows above would be skipped without a word.
    const FURTHEST: u32 = 1000;
    if value.as_str() == Some("auto") {
        return Ok(None);
    }
    count(1, FURTHEST)(value)
        .map(|row| Some(u64::from(row)))
        .map_err(|fault| Fault::new(fault.message, "write \"auto\", or the row of the header counted from 1"))
}

/// A group's `external_reference_id`.
pub(super) fn group_ref(value: &Value) -> Checked<GroupRef> {
    GroupRef::parse(&text(value)?).map_err(|bad| Fault::new(bad.to_string(), "write the group's external_reference_id"))
}

/// A group's `external_reference_id` with the cell in it.
pub(super) fn template(value: &Value) -> Checked<String> {
    let template = text(value)?;
    let cure = "write it as in \"acme-{value}\": {value} once, for the cell";
    if template.matches(PLACEHOLDER).count() != 1 || template.replacen(PLACEHOLDER, "", 1).contains(['{', '}']) {
        return Err(Fault::new("does not hold {value} exactly once, or holds other braces", cure));
    }
    match GroupRef::parse(&template) {
        Ok(_) => Ok(template),
        Err(bad) => Err(Fault::new(bad.to_string(), cure)),
    }
}

/// A plan's id.
pub(super) fn plan(value: &Value) -> Checked<PlanId> {
    let cure = "write the plan's id, as in \"pln_…\"; `rosterd check` compares it with the API's";
    let text = text(value)?;
    if text == NO_PLAN {
        return Err(Fault::new(
            "is not a plan",
            "write \"none\" in [source.plan.map] only, for the cells that mean it",
        ));
    }
    PlanId::parse(&text).map_err(|bad| Fault::new(bad.to_string(), cure))
}

/// The word for "not on the roster".
const NO_PLAN: &str = "none";

/// A plan's id, or `"none"`: not on the roster.
pub(super) fn plan_or_none(value: &Value) -> Checked<Option<PlanId>> {
    if value.as_str() == Some(NO_PLAN) { Ok(None) } else { plan(value).map(Some) }
}
