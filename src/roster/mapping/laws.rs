//! What holds for any file, and for the example exports beside the project where they are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use super::tests::{HEADER, collected, member, read, row, source, today};
use super::*;
use crate::config::{CoverageEnds, Unmapped};
use crate::export::Row;
use crate::export::problem::{Code, Severity};
use crate::roster::member::Field;
use crate::roster::{Person, Reading, Standing, fingerprint};

/// Rows of a few people, up to so many, that agree, contradict each other, or are broken.
fn rows(at_most: usize) -> impl Strategy<Value = Vec<Vec<String>>> {
    let change = prop_oneof![
        3 => Just(("Apt", "")),
        1 => Just(("Last", "Diaz")),
        1 => Just(("Zip", "x")),
        1 => Just(("Zip", "2115")),
        1 => Just(("Phone", "x")),
        1 => Just(("Group", "East")),
        1 => Just(("Group", "")),
        1 => Just(("Plan", "Waived")),
        1 => Just(("Plan", "Tin")),
        1 => Just(("Status", "Terminated")),
        1 => Just(("Status", "?")),
        1 => Just(("Start", "1/1/20")),
        1 => Just(("Start", "1/1/25")),
        1 => Just(("Start", "x")),
        1 => Just(("End", "1/1/24")),
    ];
    let id = prop_oneof![5 => "[1-4]", 1 => Just("a".to_owned()), 1 => Just("A".to_owned()), 1 => Just(String::new())];
    let one = (id, prop::collection::vec(change, 0..3)).prop_map(|(id, mut changes)| {
        changes.push(("ID", &id));
        row(&changes)
    });
    prop::collection::vec(one, 0..=at_most)
}

fn without_lines(reading: &Reading) -> impl PartialEq + std::fmt::Debug + use<> {
    let people: Vec<Person> = reading.people.iter().cloned().map(|person| Person { line: 0, ..person }).collect();
    let mut problems: Vec<_> = reading
        .problems
        .iter()
        .map(|problem| (problem.reference_id.clone(), problem.code, problem.column.clone()))
        .collect();
    problems.sort();
    (people, reading.groups.clone(), problems, reading.unidentified.len(), reading.rows, reading.invalid_rows)
}

fn all_of(reading: Reading) -> impl PartialEq + std::fmt::Debug {
    let Reading { people, groups, problems, unidentified, open, rows, invalid_rows } = reading;
    (people, groups, problems, unidentified, open, (rows, invalid_rows))
}

proptest! {
    #[test]
    fn the_order_of_rows_does_not_matter((rows, shuffled) in rows(13).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))) {
        prop_assert_eq!(without_lines(&read(&source(), &rows)), without_lines(&read(&source(), &shuffled)));
    }

    /// With more rows than warnings are listed.
    #[test]
    fn rows_say_the_same_however_collectors_share_them((rows, is_first) in rows(80).prop_flat_map(|rows| {
        let length = rows.len();
        (Just(rows), prop::collection::vec(any::<bool>(), length))
    })) {
        let [first, second] = [true, false].map(|half| {
            collected(&source(), (2..).zip(&rows).zip(&is_first).filter(|(_, is_first)| **is_first == half).map(|(row, _)| row))
        });
        prop_assert_eq!(all_of(first.done().join(second.done()).finish()), all_of(read(&source(), &rows)));
    }

    #[test]
    fn everybody_with_an_id_is_there_once_and_every_doubt_has_an_error(rows in rows(13)) {
        let reading = read(&source(), &rows);
        let ids: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).filter(|id| !id.is_empty()).collect();
        prop_assert!(reading.people.iter().map(|person| person.reference_id().as_str()).eq(ids));
        for person in &reading.people {
            if matches!(person.standing(), Standing::Invalid | Standing::Conflict) {
                let id = person.reference_id().as_str();
                let told = reading.problems.iter().any(|problem| {
                    problem.code.severity() == Severity::Error && problem.reference_id.as_deref() == Some(id)
                });
                prop_assert!(told, "{id}");
            }
        }
        prop_assert!(reading.invalid_rows <= reading.rows);
        prop_assert_eq!(reading.rows, rows.len() as u64);
    }

    #[test]
    fn nothing_said_repeats_a_personal_cell(noise in prop::collection::vec("[0-9/@., x\u{0}é-]{0,10}", 12), seed in 0..4_usize) {
        // Each personal cell carries the mark, most of them so that they cannot be used.
        let mark = "QXZMARK";
        let personal = &HEADER[1..13];
        let cells: Vec<(&str, String)> =
            personal.iter().zip(&noise).map(|(header, noise)| (*header, format!("{noise}{mark}{noise}"))).collect();
        let mut source = source();
        if seed % 2 == 1 {
            source.columns.name = NameColumns::Full(vec!["First".into()]);
        }
        let mut changes: Vec<(&str, &str)> = cells.iter().map(|(header, cell)| (*header, cell.as_str())).collect();
        if seed < 2 {
            // Lets a part of the row pass, so that members and conflicts come about.
            changes.retain(|(header, _)| !matches!(*header, "Born" | "State" | "Zip"));
        }
        let mut other = changes.clone();
        other.push(("Last", "QXZMARK Diaz"));
        let mut long = row(&changes);
        long.push(mark.to_owned());
        let reading = read(&source, &[row(&changes), row(&other), long]);
        prop_assert!(!reading.problems.is_empty());
        let said = format!("{reading:?}");
        prop_assert!(!said.contains(mark), "{said}");
    }
}

// === the example exports ===

fn adp() -> Source {
    let one = |header: &str| vec![header.to_owned()];
    let mut source = source();
    source.format.placeholders = ["N/A", "-", "nan", "None"].map(str::to_owned).to_vec();
    source.columns = Columns {
        reference_id: IdColumns::First(one("Employee ID")),
        name: NameColumns::Two { first: one("Legal First Name"), last: one("Legal Last Name") },
        date_of_birth: one("Birth Date"),
        email: ["Personal Email", "Work Email"].map(str::to_owned).to_vec(),
        phone: one("Mobile Phone"),
        address_line_1: one("Primary Address: Address Line 1"),
        address_line_2: one("Primary Address: Address Line 2"),
        city: one("Primary Address: City"),
        state: one("Primary Address: State / Territory Code"),
        zipcode: one("Primary Address: Zip / Postal Code"),
    };
    source.group = Grouping {
        from: GroupFrom::Column { header: "Payroll Company Code".into(), template: "acme-{value}".into() },
        create: true,
        map: BTreeMap::new(),
        unmapped: Unmapped::Reject,
    };
    let plans = ["MED-PPO-1500", "MED-HDHP-3000", "MED-HMO-GOLD", "PLAN_A", "PLAN_B"];
    source.plan = PlanRule {
        column: Some("Benefit Plan".into()),
        default: Some("pln_default".parse().unwrap()),
        map: plans.map(|plan| (plan.to_owned(), Some(format!("pln_{plan}").parse().unwrap()))).into_iter().collect(),
        ..PlanRule::default()
    };
    source.plan.map.insert("Waived".into(), None);
    source.eligibility = Some(Eligibility {
        status: Some("Position Status".into()),
        covered: ["Active", "Leave"].map(str::to_owned).to_vec(),
        terminated: vec!["Terminated".into()],
        start: Some("Hire Date".into()),
        end: Some("Termination Date".into()),
        coverage_ends: CoverageEnds::TerminationDate,
    });
    source
}

fn quirk(name: &str, day: u8, source: &Source) -> Option<Reading> {
    let path = format!("{}/../shared/exports/quirks/{name}_day{day}.csv", env!("CARGO_MANIFEST_DIR"));
    let Ok(bytes) = std::fs::read(Path::new(&path)) else {
        eprintln!("left out: the example exports are not beside the project");
        return None;
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let header = Header::new(names, 1);
    let mut collector = Collector::new(Mapping::new(source).bind(&header), today());
    for record in reader.records().map(Result::unwrap) {
        let line = record.position().unwrap().line();
        collector.row(&Row::new(line, &record.iter().collect(), header.names().len()));
    }
    Some(collector.done().finish())
}

/// The covered people by id, with what is sent about them.
fn sent(reading: &Reading) -> BTreeMap<String, fingerprint::Fingerprint> {
    let covered = reading.people.iter().filter(|person| matches!(person.standing(), Standing::Covered(_)));
    covered.map(|person| (person.reference_id().to_string(), fingerprint::of(member(person)))).collect()
}

fn errors(reading: &Reading) -> Vec<Code> {
    let errors = reading.problems.iter().filter(|problem| problem.code.severity() == Severity::Error);
    errors.map(|problem| problem.code).collect()
}

#[test]
fn the_same_people_in_another_shape_give_the_same_rosters() {
    for day in [0, 1] {
        let Some(base) = quirk("base", day, &adp()) else { return };
        assert_eq!(errors(&base), []);
        assert_eq!((base.rows, base.people.len(), base.groups.len()), (200, 200, 6));
        for name in ["bom_crlf", "reordered", "row_per_job"] {
            let reading = quirk(name, day, &adp()).unwrap();
            assert_eq!(errors(&reading), [], "{name}");
            assert_eq!(sent(&reading), sent(&base), "{name}");
        }
    }
}

#[test]
fn stray_blanks_change_nothing_and_placeholders_empty_optional_fields_only() {
    let Some(base) = quirk("base", 0, &adp()) else { return };
    let reading = quirk("placeholders_spaces", 0, &adp()).unwrap();
    assert_eq!(errors(&reading), []);
    for (person, base) in reading.people.iter().zip(&base.people) {
        assert_eq!(person.reference_id(), base.reference_id());
        if let Standing::Covered(record) = person.standing() {
            for field in record.changed_fields(member(base)).iter() {
                assert!(matches!(field, Field::Email | Field::Phone | Field::AddressLine2), "{field:?}");
            }
        }
    }
}

#[test]
fn a_trip_through_a_spreadsheet_changes_nobody_when_the_width_of_ids_is_known() {
    let mut source = adp();
    source.format.id_width = Some(7);
    let Some(before) = quirk("excel_roundtrip_no_change", 0, &source) else { return };
    let after = quirk("excel_roundtrip_no_change", 1, &source).unwrap();
    assert_eq!((errors(&before), errors(&after)), (vec![], vec![]));
    assert_eq!(sent(&after), sent(&before));
    // Without the width everybody has another id: for the guards to hold.
    let renumbered = quirk("excel_roundtrip_no_change", 1, &adp()).unwrap();
    assert!(sent(&renumbered).keys().all(|id| !sent(&before).contains_key(id)));
}

#[test]
fn line_breaks_in_addresses_become_blanks() {
    let Some(reading) = quirk("quoted_newlines", 1, &adp()) else { return };
    assert_eq!(errors(&reading), []);
    let lines: Vec<&str> = reading
        .people
        .iter()
        .filter_map(|person| match person.standing() {
            Standing::Covered(member) => member.texts().address_line_2,
            Standing::Uncovered(_) | Standing::Invalid | Standing::Conflict => None,
        })
        .collect();
    assert!(lines.contains(&"Suite 5 Gate code 12"));
    assert!(!lines.iter().any(|line| line.contains('\n')));
}
