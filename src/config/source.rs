//! One `[[source]]`: where its exports lie and how their columns become members.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use figment::value::Value;

use super::finding::{Fault, Reported};
use super::kinds::{self, Checked};
use super::reader::{Reader, fold};
use super::{
    Columns, CoverageEnds, DateOrder, Eligibility, Format, GroupFrom, Grouping, IdColumns, NameColumns, PlanChange,
    PlanRule, Source, Unmapped, checks,
};
use crate::roster::ids::SourceName;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More exports in a row than anyone waits for are a slip.
const MOST_CONFIRMATIONS: u32 = 100;
/// Ids are at most 255 characters; numeric ones that Excel has shortened are much shorter.
const WIDEST_ID: u32 = 64;

/// Reads the source at `at`, as in `source[0]`.
pub(super) fn source(reader: &mut Reader<'_>, at: &str) -> Result<Source, Reported> {
    let key = |key: &str| format!("{at}.{key}");
    let name = reader.need(&key("name"), "give the source a name, as in name = \"hris\"", kinds::source_name);
    let inbox = reader.need(&key("inbox"), "name the folder that exports are dropped into", kinds::path);
    let files = reader.get(&key("files"), kinds::pattern);
    let done_marker = reader.get(&key("done_marker"), kinds::switch);
    let settle = settle(reader, &key("settle"), done_marker);
    let rescan = reader.get(&key("rescan"), kinds::span(SECOND, DAY));
    let schedule = reader.schedule(&key("schedule"));
    let resync = reader.schedule(&key("resync"));
    let expect_by = reader.schedule(&key("expect_by"));
    let timezone = reader.get(&key("timezone"), kinds::zone);
    let confirm_absence = reader.get(&key("confirm_absence"), kinds::count(1, MOST_CONFIRMATIONS));
    let format = format(reader, &key("format"));
    let columns = columns(reader, &key("columns"));
    let group = group(reader, &key("group"));
    let plan = plan(reader, &key("plan"));
    let eligibility = eligibility(reader, &key("eligibility"));
    let guards = checks::guards(reader, &key("guards"));
    headers_are_distinct(reader, at, columns.as_ref().ok());
    Ok(Source {
        name: SourceName::parse(&name?).map_err(|bad| reader.report(&key("name"), Fault::new(bad.to_string(), "")))?,
        inbox: inbox?,
        files: files?,
        settle: settle?,
        done_marker: done_marker?,
        rescan: rescan?,
        schedule: schedule?,
        resync: resync?,
        expect_by: expect_by?,
        timezone: timezone?,
        confirm_absence: NonZeroU32::new(confirm_absence?).unwrap_or(NonZeroU32::MIN),
        format: format?,
        columns: columns?,
        group: group?,
        plan: plan?,
        eligibility: eligibility?,
        guards: guards?,
    })
}

/// Without a marker, two looks at a file tell whether it still grows; a second is the least that a slow copy needs.
fn settle(reader: &mut Reader<'_>, path: &str, done_marker: Result<bool, Reported>) -> Result<Duration, Reported> {
    let settle = reader.get(path, kinds::span(Duration::ZERO, DAY))?;
    if settle < SECOND && done_marker == Ok(false) {
        let cure = "write at least \"1s\", or done_marker = true where the sender makes markers";
        return Err(reader.report(path, Fault::new("is too short to tell a growing file", cure)));
    }
    Ok(settle)
}

fn format(reader: &mut Reader<'_>, at: &str) -> Result<Format, Reported> {
    const ORDERS: &[(&str, DateOrder)] = &[("mdy", DateOrder::Mdy), ("dmy", DateOrder::Dmy), ("ymd", DateOrder::Ymd)];
    let key = |key: &str| format!("{at}.{key}");
    let encoding = reader.get(&key("encoding"), kinds::encoding);
    let delimiter = reader.get(&key("delimiter"), kinds::delimiter);
    let header_row = reader.get(&key("header_row"), kinds::header_row);
    let dates = reader.get(&key("dates"), kinds::one_of(ORDERS));
    let placeholders = reader.get(&key("placeholders"), kinds::words);
    let id_width = reader.read(&key("id_width"), kinds::count(1, WIDEST_ID));
    Ok(Format {
        encoding: encoding?,
        delimiter: delimiter?,
        header_row: header_row?,
        dates: dates?,
        placeholders: placeholders?,
        id_width: id_width?.map(checks::as_size),
    })
}

fn columns(reader: &mut Reader<'_>, at: &str) -> Result<Columns, Reported> {
    let mut required = |key: &str| {
        let cure = format!("write {key} = \"…\" with the header of its column");
        reader.need(&format!("{at}.{key}"), &cure, kinds::headers)
    };
    let date_of_birth = required("date_of_birth");
    let address_line_1 = required("address_line_1");
    let city = required("city");
    let state = required("state");
    let zipcode = required("zipcode");
    let mut optional = |key: &str| reader.read(&format!("{at}.{key}"), kinds::headers).map(Option::unwrap_or_default);
    let email = optional("email");
    let phone = optional("phone");
    let address_line_2 = optional("address_line_2");
    let cure = "write reference_id = \"…\" with the header of the employee's number, never of an e-mail or an SSN";
    let reference_id = reader.need(&format!("{at}.reference_id"), cure, id_columns);
    let name = name_columns(reader, at);
    Ok(Columns {
        reference_id: reference_id?,
        name: name?,
        date_of_birth: date_of_birth?,
        email: email?,
        phone: phone?,
        address_line_1: address_line_1?,
        address_line_2: address_line_2?,
        city: city?,
        state: state?,
        zipcode: zipcode?,
    })
}

fn id_columns(value: &Value) -> Checked<IdColumns> {
    let cure = "write a header, a list of headers, or { join = [\"Company Code\", \"File Number\"], with = \"-\" }";
    let Some(table) = value.as_dict() else { return kinds::headers(value).map(IdColumns::First) };
    let headers = table.get("join").map(kinds::headers).transpose()?.unwrap_or_default();
    if headers.len() < 2 {
        return Err(Fault::new("joins fewer than two columns", cure));
    }
    // Without anything between, 1 and 23 would be the same person as 12 and 3.
    let with = table.get("with").map_or(Some("-"), |with| with.as_str()).filter(|with| !with.is_empty());
    match with {
        Some(with) if with.chars().any(char::is_control) => Err(Fault::new("joins with a control character", cure)),
        Some(with) => Ok(IdColumns::Join { headers, with: with.to_owned() }),
        None => Err(Fault::new("has nothing to join with, so that different ids could look alike", cure)),
    }
}

fn name_columns(reader: &mut Reader<'_>, at: &str) -> Result<NameColumns, Reported> {
    let full_path = format!("{at}.full_name");
    let first = reader.read(&format!("{at}.first_name"), kinds::headers)?;
    let last = reader.read(&format!("{at}.last_name"), kinds::headers)?;
    let full = reader.read(&full_path, kinds::headers)?;
    match (first, last, full) {
        (Some(first), Some(last), None) => Ok(NameColumns::Two { first, last }),
        (None, None, Some(full)) => Ok(NameColumns::Full(full)),
        (None, None, None) => {
            let cure = "write first_name and last_name, or full_name";
            Err(reader.report(&format!("{at}.first_name"), Fault::new("is missing", cure)))
        }
        (None, Some(_), None) => {
            let fault = Fault::new("is missing", "write it beside last_name");
            Err(reader.report(&format!("{at}.first_name"), fault))
        }
        (Some(_), None, None) => {
            let fault = Fault::new("is missing", "write it beside first_name");
            Err(reader.report(&format!("{at}.last_name"), fault))
        }
        (_, _, Some(_)) => {
            let cure = "write full_name, or first_name and last_name, not both";
            Err(reader.report(&full_path, Fault::new("stands beside first_name or last_name", cure)))
        }
    }
}

/// A header that feeds two fields is nearly always a line that was copied and not changed. Only what says where a
/// person belongs (group, plan, status) may share a column with others: there are groups by state.
fn headers_are_distinct(reader: &mut Reader<'_>, at: &str, columns: Option<&Columns>) {
    let Some(columns) = columns else { return };
    let named =
        |key: &'static str, headers: &[String]| headers.iter().map(|header| (key, fold(header))).collect::<Vec<_>>();
    let mut all = match &columns.reference_id {
        IdColumns::First(headers) | IdColumns::Join { headers, .. } => named("columns.reference_id", headers),
    };
    match &columns.name {
        NameColumns::Two { first, last } => {
            all.extend(named("columns.first_name", first));
            all.extend(named("columns.last_name", last));
        }
        NameColumns::Full(full) => all.extend(named("columns.full_name", full)),
    }
    all.extend(named("columns.date_of_birth", &columns.date_of_birth));
    all.extend(named("columns.email", &columns.email));
    all.extend(named("columns.phone", &columns.phone));
    all.extend(named("columns.address_line_1", &columns.address_line_1));
    all.extend(named("columns.address_line_2", &columns.address_line_2));
    all.extend(named("columns.city", &columns.city));
    all.extend(named("columns.state", &columns.state));
    all.extend(named("columns.zipcode", &columns.zipcode));
    for key in ["eligibility.start", "eligibility.end"] {
        let header = reader.settings().value(&format!("{at}.{key}")).and_then(|header| header.as_str());
        all.extend(header.map(|header| (key, fold(header))));
    }
    let mut seen: Vec<(&str, String)> = Vec::new();
    for (key, header) in all {
        if let Some((first, _)) = seen.iter().find(|(_, known)| *known == header) {
            let message = format!("names a column that {first} has already");
            reader.report(&format!("{at}.{key}"), Fault::new(message, "name another column, or delete one of the two"));
        } else {
            seen.push((key, header));
        }
    }
}

fn group(reader: &mut Reader<'_>, at: &str) -> Result<Grouping, Reported> {
    const UNMAPPED: &[(&str, Unmapped)] =
        &[("reject", Unmapped::Reject), ("ignore", Unmapped::Ignore), ("template", Unmapped::Template)];
    let key = |key: &str| format!("{at}.{key}");
    let column = reader.read(&key("column"), kinds::text);
    let fixed = reader.read(&key("fixed"), kinds::group_ref);
    let template = reader.read(&key("external_reference_id"), kinds::template);
    let create = reader.get(&key("create"), kinds::switch);
    let unmapped = reader.get(&key("unmapped"), kinds::one_of(UNMAPPED));
    let map = reader.entries(&key("map"), kinds::group_ref);
    let (column, fixed, template, unmapped, map) = (column?, fixed?, template?, unmapped?, map?);

    let from = match (column, fixed) {
        (None, None) => {
            let cure = "write column = \"…\" with the header that names the group, or fixed = \"…\"";
            return Err(reader.report(&key("column"), Fault::new("is missing", cure)));
        }
        (Some(_), Some(_)) => {
            let fault = Fault::new("stands beside column", "write column or fixed, not both");
            return Err(reader.report(&key("fixed"), fault));
        }
        (None, Some(group)) => {
            for other in ["external_reference_id", "unmapped", "map"].map(key) {
                if reader.is_written(&other) {
                    reader.report(&other, Fault::new("says nothing beside fixed", "delete it, or name a column"));
                }
            }
            GroupFrom::Fixed(group)
        }
        (Some(header), None) => {
            let uses_template = map.is_empty() || unmapped == Unmapped::Template;
            let template = match template {
                Some(template) => template,
                None if uses_template => {
                    let cure = "write external_reference_id = \"acme-{value}\", or a map of every group";
                    return Err(reader.report(&key("external_reference_id"), Fault::new("is missing", cure)));
                }
                // Never asked: the map decides about every cell.
                None => kinds::PLACEHOLDER.to_owned(),
            };
            // Somebody who writes this believes that unknown groups are kept out, while each would be made.
            if map.is_empty() && unmapped != Unmapped::Template && reader.is_written(&key("unmapped")) {
                let cure = "write [source.group.map], or delete the line";
                reader.report(&key("unmapped"), Fault::new("says nothing without a map", cure));
            }
            GroupFrom::Column { header, template }
        }
    };
    Ok(Grouping { from, create: create?, map, unmapped })
}

fn plan(reader: &mut Reader<'_>, at: &str) -> Result<PlanRule, Reported> {
    const CHANGES: &[(&str, PlanChange)] = &[("report", PlanChange::Report), ("replace", PlanChange::Replace)];
    let key = |key: &str| format!("{at}.{key}");
    let column = reader.read(&key("column"), kinds::text);
    let default = reader.read(&key("default"), kinds::plan);
    let change = reader.get(&key("change"), kinds::one_of(CHANGES));
    let map = reader.entries(&key("map"), kinds::plan_or_none);
    let (column, default, map) = (column?, default?, map?);
    if column.is_none() && !map.is_empty() {
        let fault = Fault::new("says nothing without a column", "write column = \"…\" above it, or delete it");
        return Err(reader.report(&key("map"), fault));
    }
    if column.is_none() && default.is_none() {
        let cure = "every member has a plan: write default = \"pln_…\", or column = \"…\"";
        return Err(reader.report(&key("default"), Fault::new("is missing", cure)));
    }
    Ok(PlanRule { column, default, map, change: change? })
}

fn eligibility(reader: &mut Reader<'_>, at: &str) -> Result<Option<Eligibility>, Reported> {
    const ENDS: &[(&str, CoverageEnds)] =
        &[("termination_date", CoverageEnds::TerminationDate), ("end_of_month", CoverageEnds::EndOfMonth)];
    if !reader.is_set(at) {
        return Ok(None);
    }
    let key = |key: &str| format!("{at}.{key}");
    let status = reader.read(&key("status"), kinds::text);
    let covered = reader.read(&key("covered"), kinds::words);
    let terminated = reader.read(&key("terminated"), kinds::words);
    let start = reader.read(&key("start"), kinds::text);
    let end = reader.read(&key("end"), kinds::text);
    let coverage_ends = reader.read(&key("coverage_ends"), kinds::one_of(ENDS));
    let (status, start, end) = (status?, start?, end?);
    let (covered, terminated) = (covered?.unwrap_or_default(), terminated?.unwrap_or_default());

    if status.is_none() && start.is_none() && end.is_none() {
        let cure = "write status, start or end, or delete the table: every row is a covered member then";
        return Err(reader.report(at, Fault::new("names no column", cure)));
    }
    words_fit(reader, at, status.is_some(), (&covered, &terminated));
    if end.is_none() && reader.is_written(&key("coverage_ends")) {
        let fault = Fault::new("says nothing without an end", "write end = \"…\" with its column, or delete the line");
        reader.report(&key("coverage_ends"), fault);
    }
    let coverage_ends = coverage_ends?.unwrap_or(CoverageEnds::TerminationDate);
    Ok(Some(Eligibility { status, covered, terminated, start, end, coverage_ends }))
}

/// With a status, both lists of words are needed: a word in neither is a problem of its row, so that no typing error
/// ends anyone's coverage.
fn words_fit(reader: &mut Reader<'_>, at: &str, has_status: bool, (covered, terminated): (&[String], &[String])) {
    for (name, words) in [("covered", covered), ("terminated", terminated)] {
        let path = format!("{at}.{name}");
        if has_status && words.is_empty() {
            let message = if reader.is_set(&path) { "is empty" } else { "is missing" };
            let cure = "write the words of the status column that mean it, as in [\"Active\", \"Leave\"]";
            reader.report(&path, Fault::new(message, cure));
        } else if !has_status && reader.is_set(&path) {
            let fault = Fault::new("says nothing without a status", "write status = \"…\" with its column");
            reader.report(&path, fault);
        }
    }
    let covered: BTreeSet<String> = covered.iter().map(|word| fold(word)).collect();
    if let Some(both) = terminated.iter().find(|word| covered.contains(&fold(word))) {
        let message = format!("holds \"{both}\", which is covered, too");
        reader.report(&format!("{at}.terminated"), Fault::new(message, "keep each word in one of the two lists"));
    }
}
