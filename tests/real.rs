//! Public samples of real exports, read where they lie. None of them can become a full roster: what is held to account here
//! is what an operator and a dropper are told, and that nothing is sent.
//!
//! Each is tried twice: as it is, with the headers that an operator would ask HR for; and with these columns added, to see
//! what is said of its rows.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what is wrong by falling over"
)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

mod support;
use support::World;

/// The sample, or nothing where the samples are not there.
fn sample(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/exports/real").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("skipped: the public samples are no part of the project, and {} is {error}", path.display());
            None
        }
    }
}

/// The sample with columns in front that have the same value in every row.
fn with_columns(text: &str, columns: &[(&str, &str)]) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for (at, record) in reader.records().enumerate() {
        let added = columns.iter().map(|(header, value)| if at == 0 { *header } else { *value });
        writer.write_record(added.chain(record.unwrap().iter())).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Tries an export with `check`, `plan` and `sync`, and holds them to the exit code. Nothing is sent. Returns the world.
fn refused(source: &str, name: &str, bytes: &[u8], code: i32) -> (World, Value) {
    let world = World::new(source);
    let file = world.export(name, bytes);
    let check = world.run(&[&"check", &file]);
    // `check FILE` lists rows; whether a guard would hold them is the plan's business.
    assert_eq!(check.code, if code == 3 { 0 } else { code }, "{}", check.all());
    let plan = world.run(&[&"plan", &file]);
    assert_eq!(plan.code, code, "{}", plan.all());
    let sync = world.sync(&file, "2026-06-01");
    assert_eq!(sync.code, code, "{}", sync.all());
    if std::env::var_os("SHOW").is_some() {
        eprintln!("##### {name}\n{}\n--- {}\n--- {}", check.all(), plan.all(), sync.all());
    }
    assert!(world.sandbox.requests().is_empty(), "nothing is sent");
    assert!(world.sandbox.groups().iter().all(|group| group.members == 0));
    let folder = if code == 65 { "rejected" } else { "held" };
    let receipt = world.filed_text(folder, ".receipt.txt");
    if std::env::var_os("SHOW").is_some() {
        eprintln!("--- {receipt}");
    }
    assert!(receipt.contains("Nobody gained or lost coverage because of this file."), "{receipt}");
    assert!(!receipt.contains("Still covered: yes"), "nobody is covered, and the receipt says so: {receipt}");
    let shown = world.newest_run();
    assert_eq!(shown["batches"], json!([]));
    (world, shown)
}

/// As it is: rejected for its header, with the headers that it lacks.
fn lacks(source: &str, name: &str, text: &str, missing: &str) {
    let (world, shown) = refused(source, name, text.as_bytes(), 65);
    let reason = shown["run"]["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("the header on line 1 lacks {missing}; it has \"")), "{reason}");
    assert!(
        reason.ends_with("rename the columns in the export, or have [source.columns] of the config mended"),
        "{reason}"
    );
    let receipt = world.filed_text("rejected", ".receipt.txt");
    assert!(receipt.starts_with("Rejected: nothing of this file was applied.\n"), "{receipt}");
    assert_eq!(receipt.matches("lacks").count(), 1, "said once: {receipt}");
    assert!(
        receipt.split_whitespace().collect::<Vec<_>>().join(" ").contains("of the config mended."),
        "whole: {receipt}"
    );
}

/// How many problems of each code.
fn codes(shown: &Value) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for problem in shown["plan"]["problems"].as_array().unwrap() {
        *codes.entry(problem["code"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    codes
}

fn messages(shown: &Value) -> Vec<&str> {
    let problems = shown["plan"]["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem["message"].as_str().unwrap()).collect()
}

const CONTOSO: &str = r#"
[source.columns]
reference_id = "WorkerID"
first_name = "FirstName"
last_name = "LastName"
date_of_birth = "BirthDate"
phone = "OfficePhone"
address_line_1 = "StreetAddress"
city = "City"
state = "State"
zipcode = "ZipCode"
[source.group]
column = "Division"
external_reference_id = "contoso-{value}"
create = true
[source.plan]
default = "pln_default"
[source.eligibility]
status = "WorkerStatus"
covered = ["Active"]
terminated = ["Inactive"]
start = "HireDate"
"#;

#[test]
fn contoso_lacks_birth_dates_and_states() {
    for name in ["contoso_1000.csv", "contoso_contractors_quoted.csv"] {
        let Some(text) = sample(name) else { return };
        lacks(CONTOSO, name, &text, "\"BirthDate\", \"State\"");
    }
}

#[test]
fn contoso_with_them_is_held_since_ids_stand_for_several_people() {
    for (name, rows) in [("contoso_1000.csv", 1000), ("contoso_contractors_quoted.csv", 331)] {
        let Some(text) = sample(name) else { return };
        let bytes = with_columns(&text, &[("BirthDate", "1980-05-01"), ("State", "IL")]);
        let (_world, shown) = refused(CONTOSO, name, &bytes, 3);
        assert_eq!(shown["run"]["state"], "held");
        assert_eq!(shown["run"]["counts"]["rows"], rows);
        let codes = codes(&shown);
        assert!(codes.contains_key("conflict") && codes.contains_key("missing_value"), "{codes:?}");
        let is_said = |message: &&str| message.contains("FirstName") && message.contains("an id of their own");
        assert!(messages(&shown).iter().any(is_said), "{:?}", messages(&shown));
    }
}

const ADOBE: &str = r#"
[source.columns]
reference_id = "username"
first_name = "firstname"
last_name = "lastname"
date_of_birth = "birthdate"
email = "email"
address_line_1 = "street"
city = "city"
state = "state"
zipcode = "zip"
[source.group]
fixed = "acme"
[source.plan]
default = "pln_default"
"#;

#[test]
fn adobes_users_lack_birth_dates_and_addresses() {
    let Some(text) = sample("adobe_users_ragged.csv") else { return };
    lacks(ADOBE, "adobe_users_ragged.csv", &text, "\"birthdate\", \"street\", \"city\", \"state\", \"zip\"");
}

#[test]
fn adobes_ragged_rows_are_rejected_row_by_row_since_the_id_is_cut_off() {
    let Some(text) = sample("adobe_users_ragged.csv") else { return };
    let columns =
        [("birthdate", "1980-05-01"), ("street", "1 Main St"), ("city", "Chicago"), ("state", "IL"), ("zip", "60601")];
    let (world, shown) = refused(ADOBE, "adobe.csv", &with_columns(&text, &columns), 65);
    let reason = shown["run"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("none of its 3 rows can be used; the first, line 2: The person's id is empty"),
        "{reason}"
    );
    assert_eq!(codes(&shown), BTreeMap::from([("bad_id".to_owned(), 3), ("short_row".to_owned(), 3)]));
    let problems = world.filed_text("rejected", ".problems.csv");
    assert!(problems.contains("4,username,,bad_id,"), "{problems}");
}

const WORKDAY: &str = r#"
[source.columns]
reference_id = "id"
first_name = "first_name"
last_name = "last_name"
date_of_birth = "date_of_birth"
address_line_1 = "address_line_1"
city = "city"
state = "state"
zipcode = "postal_code"
[source.group]
fixed = "acme"
[source.plan]
default = "pln_default"
[source.eligibility]
start = "_fivetran_start"
end = "_fivetran_end"
"#;

#[test]
fn workdays_histories_lack_names_and_addresses() {
    let Some(text) = sample("workday_worker_history.csv") else { return };
    let missing =
        "\"first_name\", \"last_name\", \"date_of_birth\", \"address_line_1\", \"city\", \"state\", \"postal_code\"";
    lacks(WORKDAY, "workday_worker_history.csv", &text, missing);
    let Some(text) = sample("workday_personal_information_history.csv") else { return };
    let missing = "\"first_name\", \"last_name\", \"address_line_1\", \"city\", \"state\", \"postal_code\" \
                   (is it \"hukou_postal_code\"?)";
    lacks(WORKDAY, "workday_personal_information_history.csv", &text, missing);
}

/// One row per version of a person, `9999-12-31 23:59:59` for "still", JSON in cells: a config can say all of it, so with the
/// missing columns this one would be delivered.
#[test]
fn workdays_versions_of_one_person_are_one_member() {
    let Some(text) = sample("workday_worker_history.csv") else { return };
    let columns = [
        ("first_name", "Ann"),
        ("last_name", "Bee"),
        ("date_of_birth", "1980-05-01"),
        ("address_line_1", "1 Main St"),
        ("city", "Chicago"),
        ("state", "IL"),
        ("postal_code", "60601"),
    ];
    let world = World::new(WORKDAY);
    let file = world.export("workday.csv", &with_columns(&text, &columns));
    let said = world.run(&[&"plan", &file, &"--json"]);
    assert_eq!(said.code, 0, "{}", said.all());
    let plan = &said.json()[0];
    assert_eq!(plan["verdict"], "apply");
    assert_eq!(plan["groups"][0]["new"].as_array().unwrap().len(), 6);
    assert_eq!(plan["problems"][0]["code"], "rows_joined");
    assert!(world.sandbox.requests().is_empty(), "a plan sends nothing");
}

const CHICAGO: &str = r#"
[source.columns]
reference_id = "ID"
full_name = "First name"
date_of_birth = "Birth Date"
address_line_1 = "Address"
city = "City"
state = "State"
zipcode = "Zip"
[source.group]
column = "Department"
external_reference_id = "chicago-{value}"
create = true
[source.plan]
default = "pln_default"
"#;

#[test]
fn chicagos_download_lacks_birth_dates_and_addresses() {
    let Some(text) = sample("chicago_employees_first3499.csv") else { return };
    let missing = "\"Birth Date\", \"Address\", \"City\", \"State\", \"Zip\"";
    lacks(CHICAGO, "chicago_employees_first3499.csv", &text, missing);
}

#[test]
fn chicagos_names_without_a_last_name_are_listed_and_hold_the_file() {
    let Some(text) = sample("chicago_employees_first3499.csv") else { return };
    let columns =
        [("Birth Date", "5/1/1980"), ("Address", "1 Main St"), ("City", "Chicago"), ("State", "IL"), ("Zip", "60601")];
    let (world, shown) = refused(CHICAGO, "chicago.csv", &with_columns(&text, &columns), 3);
    assert!(codes(&shown).contains_key("bad_name"), "{:?}", codes(&shown));
    let receipt = world.filed_text("held", ".receipt.txt");
    assert!(receipt.contains("see the file beside this one"), "{receipt}");
}
