//! The same 200 people and the same changes in ten shapes, through the real binary into a sandbox. What must be on the
//! rosters is worked out here from the clean pair by plain code that shares nothing with rosterd's own reading.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by falling over"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::NaiveDate;
use rosterd::sandbox::switches::PlanChange;
use serde_json::{Value, json};

mod support;
use support::{Said, World};

/// What an operator writes for this feed; the first line is the only one that differs between tests.
const SOURCE: &str = r#"
[source.columns]
reference_id = "Employee ID"
first_name = "Legal First Name"
last_name = "Legal Last Name"
date_of_birth = "Birth Date"
email = ["Personal Email", "Work Email"]
phone = "Mobile Phone"
address_line_1 = "Primary Address: Address Line 1"
address_line_2 = "Primary Address: Address Line 2"
city = "Primary Address: City"
state = "Primary Address: State / Territory Code"
zipcode = "Primary Address: Zip / Postal Code"
[source.group]
column = "Payroll Company Code"
external_reference_id = "acme-{value}"
create = true
[source.plan]
column = "Benefit Plan"
default = "pln_default"
[source.plan.map]
"MED-PPO-1500" = "pln_ppo"
"MED-HDHP-3000" = "pln_hdhp"
"MED-HMO-GOLD" = "pln_hmo"
"PLAN_A" = "pln_a"
"PLAN_B" = "pln_b"
"WAIVED" = "none"
[source.eligibility]
status = "Position Status"
covered = ["Active", "Leave"]
terminated = ["Terminated"]
start = "Hire Date"
end = "Termination Date"
"#;

/// The days on which the two files are synced: after the last termination date of the clean pair.
const DAYS: [&str; 2] = ["2025-11-20", "2025-11-21"];

/// The one person of the clean pair who is covered on day 0 and missing on day 1, and their group.
const MISSING: (&str, &str) = ("0000082", "acme-g0002");

fn source(confirm_absence: u32, format: &str) -> String {
    format!("confirm_absence = {confirm_absence}\n[source.format]\ndates = \"mdy\"\n{format}\n{SOURCE}")
}

// === the truth ===

/// One row of an export, by header.
type Row = BTreeMap<String, String>;
/// Records by reference id, by group.
type Rosters = BTreeMap<String, BTreeMap<String, Value>>;

fn case(name: &str, day: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(format!("{name}_day{day}.csv"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of a plain UTF-8 file.
fn rows(bytes: &[u8]) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(bytes);
    reader.deserialize().map(Result::unwrap).collect()
}

fn written(rows: &[Row]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header: Vec<&String> = rows[0].keys().collect();
    writer.write_record(&header).unwrap();
    for row in rows {
        writer.write_record(header.iter().map(|name| &row[*name])).unwrap();
    }
    writer.into_inner().unwrap()
}

fn us_date(cell: &str) -> NaiveDate {
    NaiveDate::parse_from_str(cell, "%m/%d/%Y").unwrap()
}

/// Whether a row puts its person on a roster that day.
fn is_covered(row: &Row, day: NaiveDate) -> bool {
    let is_employed = match row["Position Status"].as_str() {
        "Active" | "Leave" => true,
        "Terminated" => day <= us_date(&row["Termination Date"]),
        other => panic!("status {other}"),
    };
    is_employed && us_date(&row["Hire Date"]) <= day && row["Benefit Plan"] != "WAIVED"
}

/// The record that the API must have of a row, phone and ZIP in the API's form.
fn record(row: &Row) -> Value {
    let cell = |name: &str| row[name].split_whitespace().collect::<Vec<_>>().join(" ");
    let plan = match row["Benefit Plan"].as_str() {
        "" => "pln_default",
        "MED-PPO-1500" => "pln_ppo",
        "MED-HDHP-3000" => "pln_hdhp",
        "MED-HMO-GOLD" => "pln_hmo",
        "PLAN_A" => "pln_a",
        "PLAN_B" => "pln_b",
        other => panic!("plan {other}"),
    };
    let mut record = json!({
        "reference_id": cell("Employee ID"),
        "first_name": cell("Legal First Name"),
        "last_name": cell("Legal Last Name"),
        "date_of_birth": us_date(&row["Birth Date"]).to_string(),
        "plan_id": plan,
        "address": {
            "address_line_1": cell("Primary Address: Address Line 1"),
            "city": cell("Primary Address: City"),
            "state": cell("Primary Address: State / Territory Code"),
            "zipcode": cell("Primary Address: Zip / Postal Code"),
        },
    });
    let personal = cell("Personal Email");
    let email = if personal.is_empty() { cell("Work Email") } else { personal };
    let without_extension = cell("Mobile Phone");
    let without_extension = without_extension.split('x').next().unwrap();
    let digits: String = without_extension.chars().filter(char::is_ascii_digit).collect();
    let phone = digits.strip_prefix('1').filter(|rest| rest.len() == 10).unwrap_or(&digits);
    let line_2 = cell("Primary Address: Address Line 2");
    if !email.is_empty() {
        record["email"] = json!(email.to_lowercase());
    }
    if !phone.is_empty() {
        record["phone"] = json!(phone);
    }
    if !line_2.is_empty() {
        record["address"]["address_line_2"] = json!(line_2);
    }
    record
}

/// What one file alone wants on the rosters.
fn wanted(rows: &[Row], day: &str) -> Rosters {
    let day = day.parse().unwrap();
    let mut rosters = Rosters::new();
    for row in rows.iter().filter(|row| is_covered(row, day)) {
        let group = format!("acme-{}", row["Payroll Company Code"].to_lowercase());
        rosters.entry(group).or_default().insert(row["Employee ID"].clone(), record(row));
    }
    rosters
}

/// What the API has after the second file: a known member keeps their plan, and what the file no longer says.
fn after(before: &Rosters, wanted: &Rosters) -> Rosters {
    let mut rosters = wanted.clone();
    for (group, members) in &mut rosters {
        for (id, record) in members {
            let Some(known) = before.get(group).and_then(|members| members.get(id)) else { continue };
            record["plan_id"] = known["plan_id"].clone();
            keep(record, known);
        }
    }
    rosters
}

fn keep(record: &mut Value, known: &Value) {
    for (key, value) in known.as_object().unwrap() {
        match record.get_mut(key) {
            None => record[key] = value.clone(),
            Some(inner) if inner.is_object() => keep(inner, value),
            Some(_) => {}
        }
    }
}

/// What a run must count, from the two files alone.
fn expected_counts(before: &Rosters, wanted: &Rosters, rows: &[Row]) -> BTreeMap<&'static str, u64> {
    let everybody = |rosters: &Rosters| -> BTreeMap<String, Value> {
        rosters.values().flat_map(|members| members.iter().map(|(id, record)| (id.clone(), record.clone()))).collect()
    };
    let (before, wanted) = (everybody(before), everybody(wanted));
    let named: BTreeSet<&str> = rows.iter().map(|row| row["Employee ID"].as_str()).collect();
    let count = |is: &dyn Fn(&str) -> bool, of: &BTreeMap<String, Value>| of.keys().filter(|id| is(id)).count() as u64;
    BTreeMap::from([
        ("new", count(&|id| !before.contains_key(id), &wanted)),
        ("changed", count(&|id| before.get(id).is_some_and(|record| *record != wanted[id]), &wanted)),
        ("unchanged", count(&|id| before.get(id).is_some_and(|record| *record == wanted[id]), &wanted)),
        ("terminated", count(&|id| !wanted.contains_key(id) && named.contains(id), &before)),
        ("missing", count(&|id| !wanted.contains_key(id) && !named.contains(id), &before)),
        ("kept", 0),
        ("failed", 0),
        ("problems", 0),
        ("moved", 0),
    ])
}

// === what is compared with it ===

fn rosters(world: &World) -> Rosters {
    let groups = world.sandbox.groups();
    groups.into_iter().map(|group| (group.reference.clone(), world.sandbox.roster(&group.reference))).collect()
}

fn assert_same(found: &Rosters, expected: &Rosters, when: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{when}: groups");
    for (group, members) in expected {
        let ids = |members: &BTreeMap<String, Value>| members.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&found[group]), ids(members), "{when}: {group}");
        for (id, record) in members {
            assert_eq!(found[group][id], *record, "{when}: {id} of {group}");
        }
    }
}

fn assert_done(said: &Said) {
    assert_eq!(said.code, 0, "{}", said.all());
    assert_eq!(said.err, "", "nothing to complain about");
}

fn assert_counts(run: &Value, expected: &BTreeMap<&'static str, u64>) {
    for (class, count) in expected {
        assert_eq!(run["counts"][class], json!(count), "{class} in {}", run["counts"]);
    }
}

fn without_schema(run: &Value) -> Value {
    let mut run = run.clone();
    run.as_object_mut().unwrap().remove("schema").unwrap();
    run
}

/// Day 0, then day 1 with absence confirmed at once: rosters, batches, history, receipts.
fn both_days(name: &str, format: &str, truth: [Vec<Row>; 2]) -> World {
    let world = World::new(&source(1, format));
    let [day0, day1] = truth;
    let (first, second) = (wanted(&day0, DAYS[0]), wanted(&day1, DAYS[1]));

    assert_done(&world.sync(&world.export(&format!("{name}_day0.csv"), &case(name, 0)), DAYS[0]));
    assert_same(&rosters(&world), &first, "day 0");
    assert_eq!(world.sandbox.requests().len(), first.len(), "one roster a group");

    assert_done(&world.sync(&world.export(&format!("{name}_day1.csv"), &case(name, 1)), DAYS[1]));
    assert_same(&rosters(&world), &after(&first, &second), "day 1");
    let changed: Vec<&String> =
        second.iter().filter(|(group, members)| first[*group] != **members).map(|it| it.0).collect();
    let mut sent: Vec<String> = world.sandbox.requests().into_iter().skip(first.len()).map(|it| it.group).collect();
    sent.sort();
    assert_eq!(sent.iter().collect::<Vec<_>>(), changed, "only groups that change are sent");
    assert_eq!(world.sandbox.audit(), []);

    let runs = world.run(&[&"history", &"--json"]).json();
    assert_eq!(runs.iter().map(|run| &run["state"]).collect::<Vec<_>>(), ["completed", "completed"]);
    assert_eq!(runs[0]["file"]["name"], json!(format!("{name}_day1.csv")), "newest first");
    assert!(runs.iter().all(|run| run["schema"] == 1 && run["trigger"] == "manual"));
    assert_counts(&runs[1], &expected_counts(&Rosters::new(), &first, &day0));
    assert_counts(&runs[0], &expected_counts(&first, &second, &day1));

    let shown = world.newest_run();
    assert_eq!(shown["run"], without_schema(&runs[0]), "show has the run as history has it");
    let batches = shown["batches"].as_array().unwrap();
    assert_eq!(batches.len(), changed.len());
    for batch in batches {
        assert_eq!(batch["phase"], "completed");
        assert_eq!(batch["failures"], json!([]));
        let group = batch["group"].as_str().unwrap();
        assert_eq!(batch["members"], json!(second[group].len()), "{group}");
    }

    let receipt = world.filed_text("processed", "day1.csv.receipt.txt");
    assert!(receipt.starts_with("Accepted and delivered.\n"), "{receipt}");
    assert!(receipt.contains(shown["run"]["run"].as_str().unwrap()), "{receipt}");
    let filed: BTreeSet<Vec<u8>> = world.filed("processed").iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!([0, 1].iter().all(|day| filed.contains(&case(name, *day))), "filed as they were dropped");
    for folder in [".rosterd", "held", "rejected", "duplicates"] {
        assert_eq!(world.filed(folder), Vec::<std::path::PathBuf>::new(), "{folder}");
    }
    for (day, bytes) in [(0, case(name, 0)), (1, case(name, 1))] {
        assert_lines_point_to_their_people(&world, &format!("day{day}.csv.problems.csv"), &bytes);
    }
    world
}

/// Every finding about a person names the line on which the person's row begins.
fn assert_lines_point_to_their_people(world: &World, ending: &str, export: &[u8]) {
    let text = if export.starts_with(&[0xff, 0xfe]) {
        encoding_rs::UTF_16LE.decode(export).0
    } else {
        encoding_rs::WINDOWS_1252.decode(export).0
    };
    let lines: Vec<&str> = text.lines().collect();
    let problems = world.filed_text("processed", ending);
    let mut found = 0;
    for problem in rows(problems.trim_start_matches('\u{feff}').as_bytes()) {
        if problem["reference_id"].is_empty() {
            continue;
        }
        let line: usize = problem["line"].parse().unwrap();
        let row = lines[line - 1].trim_start_matches("\u{ef}\u{bb}\u{bf}").trim_start_matches('"');
        assert!(row.starts_with(&problem["reference_id"]), "line {line} is not the row of {}", problem["reference_id"]);
        found += 1;
    }
    assert!(0 < found, "the extension that was dropped is listed");
}

fn clean() -> [Vec<Row>; 2] {
    [rows(&case("base", 0)), rows(&case("base", 1))]
}

fn codes(world: &World, ending: &str) -> BTreeSet<String> {
    let problems = world.filed_text("processed", ending);
    rows(problems.trim_start_matches('\u{feff}').as_bytes()).into_iter().map(|row| row["code"].clone()).collect()
}

// === the shapes ===

#[test]
fn the_clean_pair_gives_the_rosters_that_its_cells_say() {
    both_days("base", "", clean());
}

#[test]
fn a_byte_order_mark_and_crlf_give_the_rosters_of_the_clean_pair() {
    both_days("bom_crlf", "", clean());
}

#[test]
fn semicolons_in_windows_1252_give_the_rosters_of_the_clean_pair() {
    both_days("semicolon_cp1252", "", clean());
}

#[test]
fn excels_unicode_text_gives_the_rosters_of_the_clean_pair() {
    both_days("utf16_tab_excel_unicode_text", "", clean());
}

#[test]
fn titles_totals_and_blank_rows_give_the_rosters_of_the_clean_pair() {
    let world = both_days("title_footer_blank", "", clean());
    assert!(codes(&world, "day1.csv.problems.csv").contains("skipped_row"));
}

#[test]
fn another_order_of_the_rows_gives_the_rosters_of_the_clean_pair() {
    both_days("reordered", "", clean());
}

#[test]
fn several_rows_of_one_person_are_no_conflict() {
    let world = both_days("row_per_job", "", clean());
    let expected = ["cleaned", "rows_joined"].map(str::to_owned);
    assert_eq!(codes(&world, "day0.csv.problems.csv"), BTreeSet::from(expected.clone()));
    assert_eq!(codes(&world, "day1.csv.problems.csv"), BTreeSet::from(expected));
}

/// Line breaks inside quotes are the csv crate's trade, so this pair is its own truth: drawing them shifted the
/// generator's dice, and its people are others than those of the clean pair.
#[test]
fn line_breaks_inside_quotes_are_read_as_blanks() {
    let truth = [rows(&case("quoted_newlines", 0)), rows(&case("quoted_newlines", 1))];
    assert!(truth.iter().flatten().any(|row| row["Primary Address: Address Line 2"].contains('\n')));
    both_days("quoted_newlines", "", truth);
}

/// Cells that were replaced are empty, all others are those of the clean pair.
#[test]
fn placeholders_are_empty_and_stray_blanks_are_nothing() {
    let emptied = ["N/A", "-", "nan", "None", "n/a"];
    let truth = [0, 1].map(|day| {
        let mut base = rows(&case("base", day));
        let dirty = rows(&case("placeholders_spaces", day));
        assert_eq!(base.len(), dirty.len());
        let mut count = 0;
        for (row, dirty) in base.iter_mut().zip(&dirty) {
            for (header, cell) in row {
                if emptied.contains(&dirty[header].as_str()) {
                    cell.clear();
                    count += 1;
                } else {
                    // `trim` knows the no-break space, too.
                    assert_eq!(dirty[header].trim(), cell, "{header}");
                }
            }
        }
        assert!(20 < count, "{count} placeholders");
        base
    });
    both_days("placeholders_spaces", "placeholders = [\"N/A\", \"-\", \"nan\", \"None\"]", truth);
}

#[test]
fn with_id_width_a_file_that_excel_saved_changes_nobody() {
    let name = "excel_roundtrip_no_change";
    let world = World::new(&source(1, "id_width = 7"));
    assert_done(&world.sync(&world.export("day0.csv", &case(name, 0)), DAYS[0]));
    let before = wanted(&rows(&case("base", 0)), DAYS[0]);
    assert_same(&rosters(&world), &before, "day 0");
    let sent = world.sandbox.requests().len();

    assert_done(&world.sync(&world.export("day1.csv", &case(name, 1)), DAYS[1]));
    assert_eq!(world.sandbox.requests().len(), sent, "nothing is sent");
    assert_same(&rosters(&world), &before, "day 1");
    let shown = world.newest_run();
    assert_eq!(shown["run"]["state"], "unchanged");
    assert_counts(&shown["run"], &BTreeMap::from([("unchanged", 153), ("changed", 0), ("new", 0), ("missing", 0)]));
    let receipt = world.filed_text("processed", "day1.csv.receipt.txt");
    assert!(receipt.starts_with("Accepted. The file changes nothing"), "{receipt}");
    assert!(codes(&world, "day1.csv.problems.csv").is_superset(&BTreeSet::from(["id_padded".to_owned()])));
}

#[test]
fn without_id_width_a_file_that_excel_saved_is_held_whole() {
    let name = "excel_roundtrip_no_change";
    for confirm_absence in [1, 2] {
        let world = World::new(&source(confirm_absence, ""));
        assert_done(&world.sync(&world.export("day0.csv", &case(name, 0)), DAYS[0]));
        let before = wanted(&rows(&case("base", 0)), DAYS[0]);
        let sent = world.sandbox.requests().len();

        let planned = world.run(&[&"plan", &world.export("day1.csv", &case(name, 1)), &"--as-of", &DAYS[1]]);
        assert_eq!(planned.code, 3, "{}", planned.all());
        let said = world.sync(&world.export("day1.csv", &case(name, 1)), DAYS[1]);
        assert_eq!(said.code, 3, "{}", said.all());
        assert_eq!(world.sandbox.requests().len(), sent, "nothing is sent");
        assert_same(&rosters(&world), &before, "day 1");
        assert_eq!(world.run(&[&"status"]).code, 3, "status says that something is held");

        let shown = world.newest_run();
        assert_eq!(shown["run"]["state"], "held");
        assert_eq!(shown["batches"], json!([]));
        let guards: Vec<&Value> = shown["plan"]["guards"].as_array().unwrap().iter().collect();
        assert!(guards.iter().any(|guard| guard["guard"] == "identity_changes" && guard["verdict"] == "hold"));
        let receipt = world.filed_text("held", "day1.csv.receipt.txt");
        assert!(
            receipt.starts_with("Held: nothing of this file was applied.\nNobody gained or lost coverage"),
            "{receipt}"
        );
    }
}

// === absence and termination ===

#[test]
fn who_is_missing_stays_until_enough_exports_lack_them() {
    let world = World::new(&source(2, ""));
    let [day0, day1] = clean();
    let first = wanted(&day0, DAYS[0]);
    let gone = after(&first, &wanted(&day1, DAYS[1]));
    let mut kept = gone.clone();
    kept.get_mut(MISSING.1).unwrap().insert(MISSING.0.to_owned(), first[MISSING.1][MISSING.0].clone());

    assert_done(&world.sync(&world.export("day0.csv", &case("base", 0)), DAYS[0]));
    assert_done(&world.sync(&world.export("day1.csv", &case("base", 1)), DAYS[1]));
    assert_same(&rosters(&world), &kept, "missing once");
    let shown = world.newest_run();
    assert_counts(&shown["run"], &BTreeMap::from([("kept", 1), ("missing", 0)]));
    let receipt = world.filed_text("processed", "day1.csv.receipt.txt");
    assert!(receipt.contains(&format!("Person {}. Still covered: yes.", MISSING.0)), "{receipt}");

    let sent = world.sandbox.requests().len();
    let again = world.sync(&world.export("again.csv", &case("base", 1)), DAYS[1]);
    assert_done(&again);
    assert_eq!(world.newest_run()["run"]["state"], "duplicate");
    assert_same(&rosters(&world), &kept, "the same content proves nothing new");
    assert_eq!(world.sandbox.requests().len(), sent);
    assert_eq!(world.filed("duplicates").len(), 2, "the file and its receipt");

    assert_done(&world.sync(&world.export("later.csv", &case("reordered", 1)), DAYS[1]));
    assert_same(&rosters(&world), &gone, "missing twice");
    assert_counts(&world.newest_run()["run"], &BTreeMap::from([("kept", 0), ("missing", 1), ("changed", 0)]));
    assert_eq!(world.sandbox.requests().len(), sent + 1, "one group changes");
    assert_eq!(world.sandbox.audit(), []);
}

#[test]
fn who_the_file_terminates_goes_at_once() {
    let world = World::new(&source(2, ""));
    let [day0, mut day1] = clean();
    let mut leaver = day0.iter().find(|row| row["Employee ID"] == MISSING.0).unwrap().clone();
    leaver.insert("Position Status".to_owned(), "Terminated".to_owned());
    leaver.insert("Termination Date".to_owned(), "11/20/2025".to_owned());
    day1.push(leaver);
    let first = wanted(&day0, DAYS[0]);

    assert_done(&world.sync(&world.export("day0.csv", &case("base", 0)), DAYS[0]));
    assert_done(&world.sync(&world.export("last-day.csv", &written(&day1)), DAYS[0]));
    assert!(rosters(&world)[MISSING.1].contains_key(MISSING.0), "the last day is covered");
    day1.reverse();
    assert_done(&world.sync(&world.export("day1.csv", &written(&day1)), DAYS[1]));
    assert_same(&rosters(&world), &after(&first, &wanted(&day1, DAYS[1])), "day 1");
    assert!(!rosters(&world)[MISSING.1].contains_key(MISSING.0));
    assert_counts(&world.newest_run()["run"], &BTreeMap::from([("terminated", 1), ("missing", 0), ("kept", 0)]));
    assert_eq!(world.sandbox.audit(), []);
}

// === plans ===

#[test]
fn a_new_plan_of_a_known_member_is_sent_and_the_receipt_says_what_becomes_of_it() {
    let world = World::new(&source(1, ""));
    world.sandbox.switch(|switches| switches.plan_change = PlanChange::Applied);
    let [day0, day1] = clean();
    assert_done(&world.sync(&world.export("day0.csv", &case("base", 0)), DAYS[0]));
    assert_done(&world.sync(&world.export("day1.csv", &case("base", 1)), DAYS[1]));
    let first = wanted(&day0, DAYS[0]);
    let second = wanted(&day1, DAYS[1]);
    let mut expected = second.clone();
    for (group, members) in &mut expected {
        for (id, record) in members {
            if let Some(known) = first[group].get(id) {
                keep(record, known);
            }
        }
    }
    assert_same(&rosters(&world), &expected, "an API that applies plans has them all");
    let receipt = world.filed_text("processed", "day1.csv.receipt.txt");
    let (_, plans) = receipt.split_once("New plans that do not take effect (4)").unwrap();
    for person in ["0000028", "0000072", "0000128", "0000129"] {
        assert!(plans.contains(&format!("- Person {person}.")), "{receipt}");
    }
}

// === files of which nothing can be used ===

#[test]
fn a_file_without_one_usable_row_is_rejected_with_its_rows_and_ends_nobody() {
    let world = World::new(&source(1, ""));
    let [day0, mut day1] = clean();
    assert_done(&world.sync(&world.export("day0.csv", &case("base", 0)), DAYS[0]));
    let sent = world.sandbox.requests().len();
    for row in &mut day1 {
        row.insert("Position Status".to_owned(), "?".to_owned());
    }
    let said = world.sync(&world.export("day1.csv", &written(&day1)), DAYS[1]);
    assert_eq!(said.code, 65, "{}", said.all());
    assert_eq!(world.sandbox.requests().len(), sent);
    assert_same(&rosters(&world), &wanted(&day0, DAYS[0]), "day 1");
    let shown = world.newest_run();
    let reason = shown["run"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("none of its 200 rows can be used; the first, line 2: \"?\" is no status"), "{reason}");
    let problems = world.filed_text("rejected", ".problems.csv");
    assert_eq!(problems.matches(",unknown_status,").count(), 200, "{problems}");
}
