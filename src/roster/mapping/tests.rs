use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::NaiveDate;

use super::*;
use crate::config::{CoverageEnds, Format, Guards, Unmapped};
use crate::export::Row;
use crate::export::problem::{Code, Problem};
use crate::roster::ids::ReferenceId;
use crate::roster::member::Member;
use crate::roster::{Person, Reading, Standing, Uncovered};

pub(super) const HEADER: [&str; 17] = [
    "ID", "First", "Last", "Born", "Mail", "Mail 2", "Phone", "Phone 2", "Street", "Apt", "City", "State", "Zip",
    "Group", "Plan", "Status", "Start",
];
/// `End` comes last, so that a short row still is whole.
const END: &str = "End";

pub(super) fn today() -> NaiveDate {
    "2026-02-09".parse().unwrap()
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn source() -> Source {
    Source {
        name: "hris".parse().unwrap(),
        inbox: "/nowhere".into(),
        files: "*.csv".into(),
        settle: Duration::ZERO,
        done_marker: false,
        rescan: Duration::ZERO,
        schedule: None,
        resync: None,
        expect_by: None,
        timezone: chrono_tz::America::New_York,
        confirm_absence: NonZeroU32::MIN,
        format: Format { placeholders: texts(&["N/A", "-", "nan", "None"]), ..Format::default() },
        columns: Columns {
            reference_id: IdColumns::First(texts(&["ID"])),
            name: NameColumns::Two { first: texts(&["First"]), last: texts(&["Last"]) },
            date_of_birth: texts(&["Born"]),
            email: texts(&["Mail", "Mail 2"]),
            phone: texts(&["Phone", "Phone 2"]),
            address_line_1: texts(&["Street"]),
            address_line_2: texts(&["Apt"]),
            city: texts(&["City"]),
            state: texts(&["State"]),
            zipcode: texts(&["Zip"]),
        },
        group: Grouping {
            from: GroupFrom::Column { header: "Group".into(), template: "acme-{value}".into() },
            create: true,
            map: BTreeMap::new(),
            unmapped: Unmapped::Reject,
        },
        plan: PlanRule {
            column: Some("Plan".into()),
            default: Some("pln_default".parse().unwrap()),
            map: BTreeMap::from([("Gold".into(), Some("pln_gold".parse().unwrap())), ("Waived".into(), None)]),
            ..PlanRule::default()
        },
        eligibility: Some(Eligibility {
            status: Some("Status".into()),
            covered: texts(&["Active", "Leave"]),
            terminated: texts(&["Terminated"]),
            start: Some("Start".into()),
            end: Some(END.into()),
            coverage_ends: CoverageEnds::TerminationDate,
        }),
        guards: Guards {
            removals: None,
            removals_max: None,
            terminations: None,
            rolling_removals: None,
            rolling_window: Duration::ZERO,
            rows_dropped: None,
            invalid_rows: None,
            field_changed: None,
            additions: None,
            identity_changes: None,
            approval_expires: Duration::ZERO,
        },
    }
}

/// A good row; each pair replaces a cell.
pub(super) fn row(changes: &[(&str, &str)]) -> Vec<String> {
    let mut cells = texts(&[
        "0042",
        "Ana",
        "Ruiz",
        "02/09/1990",
        "ana@example.com",
        "",
        "(267) 555-0142",
        "",
        "1 Main St",
        "",
        "Boston",
        "MA",
        "02115",
        "Sales",
        "Gold",
        "Active",
        "",
        "",
    ]);
    for (header, cell) in changes {
        let at = HEADER.iter().chain(&[END]).position(|name| name == header).unwrap();
        cells[at] = (*cell).to_owned();
    }
    cells
}

pub(super) fn read(source: &Source, rows: &[Vec<String>]) -> Reading {
    collected(source, (2..).zip(rows)).done().finish()
}

/// Has taken rows, each with its line.
pub(super) fn collected<'a>(source: &Source, rows: impl Iterator<Item = (u64, &'a Vec<String>)>) -> Collector {
    let names: Vec<String> = HEADER.iter().chain(&[END]).map(|name| (*name).to_owned()).collect();
    let mapping = Mapping::new(source);
    let header = Header::new(names.clone(), 1);
    let mut collector = Collector::new(mapping.bind(&header), today());
    for (line, cells) in rows {
        collector.row(&Row::new(line, &cells.iter().collect(), names.len()));
    }
    collector
}

fn person(source: &Source, changes: &[(&str, &str)]) -> (Person, Vec<Problem>) {
    let mut reading = read(source, &[row(changes)]);
    (reading.people.pop().unwrap(), reading.problems)
}

pub(super) fn member(person: &Person) -> &Member {
    match person.standing() {
        Standing::Covered(member) => member,
        other @ (Standing::Uncovered(_) | Standing::Invalid | Standing::Conflict) => panic!("{other:?}"),
    }
}

fn codes(problems: &[Problem]) -> Vec<(u64, Code, Option<&str>)> {
    problems.iter().map(|problem| (problem.line, problem.code, problem.column.as_deref())).collect()
}

fn get<'r>(reading: &'r Reading, id: &str) -> &'r Person {
    reading.get(&ReferenceId::parse(id).unwrap()).unwrap()
}

#[test]
fn a_good_row_becomes_a_covered_member() {
    let reading = read(
        &source(),
        &[row(&[("Mail", "N/A"), ("Mail 2", " Ana@Example.com"), ("Apt", "5\nGate 3"), ("State", "massachusetts")])],
    );
    assert_eq!(reading.problems, []);
    assert_eq!((reading.rows, reading.invalid_rows), (1, 0));
    assert_eq!(
        reading.groups.iter().map(|(group, name)| (group.as_str(), &**name)).collect::<Vec<_>>(),
        [("acme-sales", "Sales")]
    );
    let person = &reading.people[0];
    assert_eq!((person.line, person.group.as_ref().unwrap().as_str()), (2, "acme-sales"));
    let member = member(person);
    assert_eq!(member.reference_id.as_str(), "0042");
    assert_eq!((member.texts().first_name, member.texts().last_name), ("Ana", "Ruiz"));
    assert_eq!(member.date_of_birth.to_string(), "1990-02-09");
    assert_eq!(member.texts().phone, Some("2675550142"));
    assert_eq!(member.texts().email, Some("ana@example.com"));
    assert_eq!(member.plan_id.as_str(), "pln_gold");
    assert_eq!(member.texts().address_line_2, Some("5 Gate 3"));
    assert_eq!((member.texts().state, member.texts().zipcode), ("MA", "02115"));
}

#[test]
fn each_unusable_required_cell_costs_the_row_its_place() {
    let long = "x".repeat(256);
    for (header, cell, code) in [
        ("First", "", Code::MissingValue),
        ("Last", "n/a", Code::MissingValue),
        ("Last", &*long, Code::TooLong),
        ("Born", "", Code::MissingValue),
        ("Born", "soon", Code::BadDate),
        ("Born", "32913", Code::BadDate),
        ("Born", "31/12/1990", Code::DateOrder),
        ("Born", "02/10/2026", Code::DateRange),
        ("Street", "", Code::MissingValue),
        ("Apt", &*long, Code::TooLong),
        ("City", "-", Code::MissingValue),
        ("State", "Ontario", Code::BadState),
        ("Zip", "K1A 0B1", Code::BadZip),
        ("Group", "", Code::MissingValue),
        ("Plan", "Silver", Code::UnknownPlan),
        ("Status", "Temporary", Code::UnknownStatus),
        ("Status", "", Code::UnknownStatus),
        ("Start", "soon", Code::BadDate),
        ("End", "0001-01-01", Code::BadDate),
        ("End", "31/12/2025", Code::DateOrder),
    ] {
        let reading = read(&source(), &[row(&[(header, cell)])]);
        assert_eq!(codes(&reading.problems), [(2, code, Some(header))], "{header}");
        assert_eq!(reading.problems[0].reference_id.as_deref(), Some("0042"));
        assert_eq!(reading.people[0].standing(), Standing::Invalid, "{header}");
        assert_eq!(reading.people[0].group.is_some(), header != "Group");
        assert_eq!((reading.invalid_rows, reading.unidentified.len()), (1, 0));
    }
}

#[test]
fn every_problem_of_a_row_is_listed() {
    let (_, problems) = person(&source(), &[("First", ""), ("Born", "x"), ("State", "x"), ("Zip", "x"), ("Plan", "x")]);
    assert_eq!(problems.len(), 5);
}

#[test]
fn optional_cells_that_cannot_be_used_are_left_out_with_a_warning() {
    let (person, problems) =
        person(&source(), &[("Mail", "ana@"), ("Phone", "555-0142"), ("Phone 2", "267-555-0199 x1"), ("Zip", "2115")]);
    let member = member(&person);
    assert_eq!(
        (member.texts().email, member.texts().phone),
        (None, Some("2675550199")),
        "the next phone column stands in"
    );
    assert_eq!(
        codes(&problems),
        [
            (2, Code::ZipRepaired, Some("Zip")),
            (2, Code::PhoneDropped, Some("Phone")),
            (2, Code::Cleaned, Some("Phone 2")),
            (2, Code::EmailDropped, Some("Mail")),
        ]
    );
}

#[test]
fn hidden_characters_are_dropped_with_a_warning() {
    let (person, problems) = person(&source(), &[("First", "An\u{0}a"), ("City", "\u{a0}Boston ")]);
    assert_eq!(member(&person).texts().first_name, "Ana");
    assert_eq!(codes(&problems), [(2, Code::Cleaned, Some("First"))]);
}

#[test]
fn an_id_is_kept_to_the_byte_or_refused() {
    for (cell, id) in [(" 0042\u{a0}", "0042"), ("a-Ä 7", "a-Ä 7"), ("123E04", "123E04"), ("1.5", "1.5")] {
        assert_eq!(person(&source(), &[("ID", cell)]).0.reference_id().as_str(), id);
    }
    let long = "7".repeat(256);
    for (cell, code) in [
        ("", Code::BadId),
        ("N/A", Code::BadId),
        ("a\u{0}b", Code::BadId),
        ("a\u{200b}b", Code::BadId),
        ("a\nb", Code::BadId),
        ("1234.0", Code::BadId),
        (&*long, Code::BadId),
        ("1.23E+05", Code::ScientificId),
        ("1,23E+11", Code::ScientificId),
        ("1e+05", Code::ScientificId),
    ] {
        let reading = read(&source(), &[row(&[("ID", cell)])]);
        assert_eq!(codes(&reading.problems), [(2, code, Some("ID"))], "{cell:?}");
        assert_eq!((&reading.people[..], &reading.unidentified[..], reading.invalid_rows), (&[][..], &[2][..], 1));
    }
}

#[test]
fn numeric_ids_regain_the_width_that_the_config_vouches_for() {
    let mut source = source();
    source.format.id_width = Some(4);
    for (cell, id, padded) in [
        ("42", "0042", true),
        ("42.0", "0042", true),
        ("0042", "0042", false),
        ("a2", "a2", false),
        ("12345", "12345", false),
    ] {
        let (person, problems) = person(&source, &[("ID", cell)]);
        assert_eq!(person.reference_id().as_str(), id);
        assert_eq!(problems.iter().any(|problem| problem.code == Code::IdPadded), padded, "{cell}");
    }
}

#[test]
fn joined_ids_need_all_their_parts_and_pad_the_last() {
    let mut source = source();
    source.columns.reference_id = IdColumns::Join { headers: texts(&["Group", "ID"]), with: "-".into() };
    source.format.id_width = Some(4);
    assert_eq!(person(&source, &[("Group", "7"), ("ID", "42")]).0.reference_id().as_str(), "7-0042");
    for header in ["Group", "ID"] {
        let reading = read(&source, &[row(&[(header, " ")])]);
        assert_eq!(reading.unidentified, [2]);
        assert_eq!(codes(&reading.problems), [(2, Code::BadId, Some(header))]);
    }
}

#[test]
fn a_long_row_could_be_anybody_and_a_short_one_lacks_its_last_cells() {
    let mut long = row(&[]);
    long.push("x".to_owned());
    let mut short = row(&[("ID", "2")]);
    short.truncate(15 + 1);
    let reading = read(&source(), &[long, short]);
    // Short rows are told of by whoever counts the cells: the export room.
    assert_eq!(codes(&reading.problems), [(2, Code::LongRow, None)]);
    assert_eq!((reading.unidentified, reading.rows, reading.invalid_rows), (vec![2], 2, 1));
    assert!(matches!(reading.people[0].standing(), Standing::Covered(_)));
}

#[test]
fn who_is_not_covered_needs_no_valid_record() {
    let broken = [("First", ""), ("Born", "x"), ("State", "x"), ("Zip", "x")];
    let mut source = source();
    source.group.map = BTreeMap::from([("sales".into(), "acme-s".parse().unwrap())]);
    source.group.unmapped = Unmapped::Ignore;
    for (why, header, cell) in [
        (Uncovered::Terminated, "Status", "terminated"),
        (Uncovered::Terminated, "End", "02/08/2026"),
        (Uncovered::NotStarted, "Start", "02/10/2026"),
        (Uncovered::Waived, "Plan", "WAIVED"),
        (Uncovered::Ignored, "Group", "Somebody else"),
    ] {
        let changes: Vec<_> = broken.into_iter().chain([(header, cell)]).collect();
        let (person, problems) = person(&source, &changes);
        assert_eq!((person.standing(), problems), (Standing::Uncovered(why), vec![]), "{header}");
        assert_eq!(person.group.is_some(), why != Uncovered::Ignored);
    }
}

#[test]
fn dates_of_coverage_are_days_of_the_source() {
    for (changes, covered) in [
        (&[("Status", "Terminated"), ("End", "2026-02-09")][..], true),
        (&[("Status", "Terminated"), ("End", "2026-02-08")], false),
        (&[("Status", "Leave"), ("End", "9999-12-31 23:59:59")], true),
        (&[("Status", "ACTIVE "), ("End", "6/30/25"), ("Start", "1/5/26")], true),
    ] {
        assert_eq!(matches!(person(&source(), changes).0.standing(), Standing::Covered(_)), covered, "{changes:?}");
    }
}

#[test]
fn group_cells_lead_to_groups_by_map_or_template() {
    let mut source = source();
    let group = |source: &Source, cell: &str| {
        let (person, problems) = person(source, &[("Group", cell)]);
        (person.group.map(|group| group.to_string()), problems.first().map(|problem| problem.code))
    };
    assert_eq!(group(&source, " Sales\u{a0} East "), (Some("acme-sales-east".into()), None));
    assert_eq!(group(&source, &"x".repeat(256)), (None, Some(Code::TooLong)));
    source.group.map = BTreeMap::from([(" Sales East".into(), "acme-se".parse().unwrap())]);
    assert_eq!(group(&source, "sales east"), (Some("acme-se".into()), None));
    assert_eq!(group(&source, "West"), (None, Some(Code::UnknownGroup)));
    source.group.unmapped = Unmapped::Template;
    assert_eq!(group(&source, "West"), (Some("acme-west".into()), None));
    assert_eq!(group(&source, ""), (None, Some(Code::MissingValue)));
    source.group.unmapped = Unmapped::Ignore;
    assert_eq!(group(&source, "West"), (None, None));
    assert_eq!(group(&source, ""), (None, Some(Code::MissingValue)), "a blank cell is doubt, not another's group");
    source.group.from = GroupFrom::Fixed("acme".parse().unwrap());
    assert_eq!(group(&source, "West"), (Some("acme".into()), None));
}

#[test]
fn the_first_name_of_a_group_stays() {
    let reading =
        read(&source(), &[row(&[("ID", "1"), ("Group", "Sales East")]), row(&[("ID", "2"), ("Group", "SALES EAST")])]);
    assert_eq!(reading.groups.values().collect::<Vec<_>>(), ["Sales East"]);
}

#[test]
fn plan_cells_lead_to_plans_and_are_never_guessed() {
    let mut source = source();
    let plan = |source: &Source, cell: &str| {
        let (person, problems) = person(source, &[("Plan", cell)]);
        let member = person.member().map(|member| member.plan_id.to_string());
        member.ok_or_else(|| problems.first().map(|problem| problem.code))
    };
    assert_eq!(plan(&source, " gold"), Ok("pln_gold".into()));
    assert_eq!(plan(&source, "N/A"), Ok("pln_default".into()));
    assert_eq!(plan(&source, "Silver"), Err(Some(Code::UnknownPlan)));
    assert_eq!(plan(&source, "Waived"), Err(None));
    source.plan.default = None;
    assert_eq!(plan(&source, ""), Err(Some(Code::MissingValue)));
    source.plan.map.clear();
    assert_eq!(plan(&source, "pln_1"), Ok("pln_1".into()));
    source.plan.column = None;
    source.plan.default = Some("pln_all".parse().unwrap());
    assert_eq!(plan(&source, "Silver"), Ok("pln_all".into()));
}

#[test]
fn quoted_words_are_cut_short() {
    let (_, problems) = person(&source(), &[("Status", &"w".repeat(200))]);
    assert!(problems[0].message.contains(&"w".repeat(39)) && !problems[0].message.contains(&"w".repeat(40)));
}

#[test]
fn a_full_name_column_is_split() {
    let mut source = source();
    source.columns.name = NameColumns::Full(texts(&["First"]));
    let (ana, problems) = person(&source, &[("First", "Ruiz, Ana")]);
    assert_eq!((member(&ana).texts().first_name, member(&ana).texts().last_name, problems.len()), ("Ana", "Ruiz", 0));
    let (_, problems) = person(&source, &[("First", "Ana")]);
    assert_eq!(codes(&problems), [(2, Code::BadName, Some("First"))]);
    let (_, problems) = person(&source, &[("First", "Ana Maria Ruiz")]);
    assert_eq!(codes(&problems), [(2, Code::Cleaned, Some("First"))]);
}

/// Rows of one person, and what they come to.
#[test]
fn several_rows_of_one_person_become_one() {
    type Rows<'a> = &'a [&'a [(&'a str, &'a str)]];
    let old = ("Start", "1/1/20");
    let new = ("Start", "1/1/25");
    let gone = ("Status", "Terminated");
    let cases: &[(&str, Rows<'_>, &str, u64)] = &[
        ("the same twice", &[&[], &[]], "covered", 2),
        ("the same but for blanks", &[&[], &[("First", " Ana ")]], "covered", 2),
        ("covered and gone", &[&[gone, ("Last", "Diaz")], &[]], "covered", 3),
        ("covered and gone from another group", &[&[gone, ("Group", "East")], &[]], "covered", 3),
        ("covered and to come", &[&[("Start", "3/1/26"), ("Last", "Diaz")], &[]], "covered", 3),
        ("another name", &[&[], &[("Last", "Diaz")]], "conflict Last", 2),
        ("another name in an earlier period", &[&[old, ("Last", "Diaz")], &[new]], "covered", 3),
        (
            "somebody else in an earlier period",
            &[&[old, ("First", "Omar"), ("Last", "Diaz")], &[new]],
            "conflict First",
            2,
        ),
        ("another name in no period", &[&[("Last", "Diaz")], &[new]], "conflict Last", 2),
        ("two groups", &[&[], &[("Group", "East")]], "conflict Group", 2),
        ("two groups in two periods", &[&[old], &[new, ("Group", "East")]], "conflict Group", 2),
        ("two plans", &[&[], &[("Plan", "")]], "conflict Plan", 2),
        ("covered and waived", &[&[], &[("Plan", "Waived")]], "conflict Plan", 2),
        ("waived since", &[&[old], &[new, ("Plan", "Waived")]], "Waived", 3),
        ("waived before", &[&[new], &[old, ("Plan", "Waived")]], "covered", 2),
        ("valid and invalid", &[&[], &[("Zip", "x")]], "invalid", 3),
        ("invalid in an earlier period", &[&[old, ("Zip", "x")], &[new]], "covered", 3),
        ("invalid in a later period", &[&[old], &[new, ("Zip", "x")]], "invalid", 3),
        ("invalid and gone", &[&[gone], &[("Zip", "x")]], "invalid", 3),
        ("gone twice", &[&[gone], &[gone]], "Terminated", 2),
        ("gone and to come", &[&[("Start", "3/1/26")], &[gone]], "Terminated", 3),
        ("waived and gone", &[&[gone], &[("Plan", "Waived")]], "Waived", 3),
    ];
    for (what, rows, expected, line) in cases {
        let rows: Vec<_> = rows.iter().map(|changes| row(changes)).collect();
        let reading = read(&source(), &rows);
        assert_eq!(reading.people.len(), 1, "{what}");
        let conflict = reading.problems.iter().find(|problem| problem.code == Code::Conflict);
        let outcome = match reading.people[0].standing() {
            Standing::Covered(_) => "covered".to_owned(),
            Standing::Uncovered(why) => format!("{why:?}"),
            Standing::Invalid => "invalid".to_owned(),
            Standing::Conflict => format!("conflict {}", conflict.unwrap().column.as_deref().unwrap()),
        };
        assert_eq!((&*outcome, reading.people[0].line), (*expected, *line), "{what}");
        let joined = reading.problems.iter().any(|problem| problem.code == Code::RowsJoined);
        assert_eq!(joined, outcome == "covered", "{what}");
        if let Some(conflict) = conflict {
            assert_eq!(reading.invalid_rows, 2, "{what}");
            assert!(conflict.message.starts_with("Lines 2 and 3 say different things"), "{conflict:?}");
        }
    }
}

#[test]
fn rows_that_name_different_groups_leave_the_group_open() {
    let waived = [("Plan", "Waived"), ("Group", "East")];
    for (rows, group) in [
        (vec![row(&waived), row(&[("Plan", "Waived"), ("Group", "")])], Some("acme-east")),
        (vec![row(&waived), row(&[("Plan", "Waived")])], None),
        (vec![row(&waived), row(&[("Status", "Terminated")])], Some("acme-east")),
        (vec![row(&[("Zip", "x")]), row(&[("Group", "")])], Some("acme-sales")),
        (vec![row(&[("Zip", "x")]), row(&[("Group", "East")])], None),
    ] {
        let reading = read(&source(), &rows);
        assert_eq!(reading.people[0].group.as_ref().map(GroupRef::as_str), group);
    }
}

#[test]
fn a_conflict_names_the_columns_and_not_what_they_hold() {
    let reading = read(&source(), &[row(&[]), row(&[("Last", "Diaz"), ("Zip", "02116")]), row(&[])]);
    assert_eq!(
        reading.problems[0].message,
        "Lines 2, 3 and 4 say different things about this person in Last, Zip; make them agree, keep one, or give each person \
         an id of their own."
    );
}

#[test]
fn ids_that_differ_only_in_case_are_both_held() {
    let reading =
        read(&source(), &[row(&[("ID", "a1")]), row(&[("ID", "b2")]), row(&[("ID", "A1"), ("Status", "Terminated")])]);
    assert_eq!(get(&reading, "a1").standing(), Standing::Conflict);
    assert_eq!(get(&reading, "A1").standing(), Standing::Conflict);
    assert!(matches!(get(&reading, "b2").standing(), Standing::Covered(_)));
    assert_eq!(codes(&reading.problems), [(2, Code::IdCase, Some("ID")), (4, Code::IdCase, Some("ID"))]);
    assert_eq!(reading.invalid_rows, 2);
    // Somebody's further rows are lost with the first.
    let reading = read(&source(), &[row(&[("ID", "a1")]), row(&[("ID", "a1")]), row(&[("ID", "A1")])]);
    assert_eq!((reading.rows, reading.invalid_rows), (3, 3));
}

#[test]
fn ids_of_other_companies_may_differ_in_case() {
    let mut source = source();
    source.group.map = BTreeMap::from([("sales".into(), "acme-s".parse().unwrap())]);
    source.group.unmapped = Unmapped::Ignore;
    let reading = read(&source, &[row(&[("ID", "a1"), ("Group", "x")]), row(&[("ID", "A1"), ("Group", "x")])]);
    assert_eq!(reading.problems, []);
}

#[test]
fn many_like_repairs_are_summed_up_and_errors_are_not() {
    let rows: Vec<_> =
        (0..50).map(|n| row(&[("ID", &n.to_string()), ("Zip", if n < 30 { "2115" } else { "x" })])).collect();
    let reading = read(&source(), &rows);
    let count = |code: Code| reading.problems.iter().filter(|problem| problem.code == code).count();
    assert_eq!((count(Code::ZipRepaired), count(Code::BadZip)), (21, 20));
    assert_eq!(codes(&reading.problems[..1]), [(0, Code::ZipRepaired, Some("Zip"))]);
    assert!(reading.problems[0].message.starts_with("30 findings of this kind in all"));
    assert!(reading.problems.is_sorted_by_key(|problem| problem.line));
}

#[test]
fn the_headers_that_a_file_must_have_are_known() {
    let mut source = source();
    source.columns.reference_id = IdColumns::Join { headers: texts(&["Company", "ID"]), with: "-".into() };
    let wanted = Mapping::new(&source).wanted();
    assert_eq!(wanted.id_headers, ["Company", "ID"]);
    assert_eq!(wanted.optional, ["Mail", "Mail 2", "Phone", "Phone 2", "Apt"]);
    let required: Vec<String> = wanted.required.into_iter().map(|any| any.join("|")).collect();
    assert_eq!(required.join(" "), "Company ID First Last Born Street City State Zip Group Plan Status Start End");
}

#[test]
fn without_eligibility_every_row_is_covered() {
    let mut source = source();
    source.eligibility = None;
    assert!(matches!(person(&source, &[("Status", "Terminated"), ("End", "x")]).0.standing(), Standing::Covered(_)));
}
