use chrono::{NaiveDate, TimeZone as _};
use proptest::prelude::*;

use super::*;
use crate::config::PhoneFormat;
use crate::roster::ids::{ReferenceId, RunId, SourceName};
use crate::roster::member::{Field, Member, Texts};
use crate::roster::{Entry, Origin};

fn entry() -> Entry {
    let plan = PlanId::parse("pln_EXAMPLE").unwrap();
    Entry {
        member: Member::new(
            ReferenceId::parse("E1001").unwrap(),
            plan.clone(),
            NaiveDate::from_ymd_opt(1988, 2, 29).unwrap(),
            &Texts {
                first_name: "Ana",
                last_name: "Ruiz",
                phone: Some("2675550142"),
                email: Some("ana@corp.example"),
                address_line_1: "9 Elm St",
                address_line_2: Some("Unit 3"),
                city: "Erie",
                state: "PA",
                zipcode: "16501",
            },
        ),
        origin: Origin { source: SourceName::parse("hris").unwrap(), run: RunId::parse("r1").unwrap(), line: 2 },
        subscribed_plan: plan,
    }
}

fn bare() -> Entry {
    let mut entry = entry();
    for field in [Field::Phone, Field::Email, Field::AddressLine2] {
        assert!(entry.member.set_value(field, None));
    }
    entry
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn a_roster_has_one_key_and_its_fields_in_a_fixed_order() {
    assert_eq!(
        text(roster_body(&[entry()], PhoneFormat::National)),
        concat!(
            r#"{"members":[{"reference_id":"E1001","first_name":"Ana","last_name":"Ruiz","#,
            r#""date_of_birth":"1988-02-29","phone":"2675550142","email":"ana@corp.example","#,
            r#""plan_id":"pln_EXAMPLE","address":{"address_line_1":"9 Elm St","#,
            r#""address_line_2":"Unit 3","city":"Erie","state":"PA","zipcode":"16501"}}]}"#
        )
    );
}

#[test]
fn empty_optional_fields_are_left_out_and_never_null() {
    let body = text(roster_body(&[bare()], PhoneFormat::E164));
    for absent in ["null", "phone", "email", "address_line_2", "+1"] {
        assert!(!body.contains(absent), "{absent} in {body}");
    }
}

#[test]
fn the_phone_is_written_as_configured() {
    assert!(text(roster_body(&[entry()], PhoneFormat::E164)).contains(r#""phone":"+12675550142","#));
}

#[test]
fn an_empty_roster_is_an_empty_list() {
    assert_eq!(text(roster_body(&[], PhoneFormat::National)), r#"{"members":[]}"#);
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was_written(values in prop::collection::vec(".*", 1..4), odd in "[\\x00-\\x1f\"\\\\é😀]*") {
        let entries: Vec<Entry> = values.iter().map(|value| {
            let mut entry = entry();
            assert!(entry.member.set_value(Field::FirstName, Some(value)));
            assert!(entry.member.set_value(Field::City, Some(&odd)));
            entry
        }).collect();
        let read: Value = serde_json::from_slice(&roster_body(&entries, PhoneFormat::National)).unwrap();
        let members = read["members"].as_array().unwrap();
        prop_assert_eq!(members.len(), values.len());
        for (member, value) in members.iter().zip(&values) {
            prop_assert_eq!(member["first_name"].as_str(), Some(value.as_str()));
            prop_assert_eq!(member["address"]["city"].as_str(), Some(odd.as_str()));
            prop_assert_eq!(member.as_object().unwrap().len(), 8);
        }
    }
}

#[test]
fn a_group_change_names_only_what_changes() {
    let reference = GroupRef::parse("acme-sales").unwrap();
    assert_eq!(text(group_change_body(Some("Sales \"East\""), None)), r#"{"name":"Sales \"East\""}"#);
    assert_eq!(text(group_change_body(None, Some(&reference))), r#"{"external_reference_id":"acme-sales"}"#);
    assert_eq!(text(group_change_body(None, None)), "{}");
    let made: Value = serde_json::from_slice(&new_group_body(&reference, "Sales")).unwrap();
    assert_eq!(made, serde_json::json!({"name": "Sales", "external_reference_id": "acme-sales"}));
}

#[test]
fn timestamps_are_read_in_every_ending_that_the_api_uses() {
    let expected = Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 40).unwrap();
    for text in
        ["2026-10-05T14:00:40Z", "2026-10-05T14:00:40+00:00", "2026-10-05T16:00:40+02:00", "2026-10-05T14:00:40"]
    {
        assert_eq!(parse_time(text), Some(expected), "{text}");
    }
    for text in ["2026-10-05T14:00:40.5Z", "2026-10-05T14:00:40.500000+00:00", "2026-10-05T14:00:40.500"] {
        assert_eq!(parse_time(text), Some(expected + chrono::TimeDelta::milliseconds(500)), "{text}");
    }
    for text in ["", "yesterday", "2026-13-05T14:00:40Z", "1759672840"] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

#[test]
fn unknown_keys_are_ignored() {
    let body = br#"{"data":{"request_id":"grpmsr_A","group_id":"grp_B","accepted_at":"2026-10-05T14:00:00Z","new":{"a":[1]}},"meta":1}"#;
    let answer = submitted(body).unwrap();
    assert_eq!(answer.request_id.as_str(), "grpmsr_A");
    assert_eq!(answer.accepted_at, Some(Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap()));
}

#[test]
fn a_request_id_is_not_thrown_away_for_an_odd_timestamp() {
    for accepted_at in ["null", "17", r#""Monday""#] {
        let body = format!(r#"{{"data":{{"request_id":"grpmsr_A","accepted_at":{accepted_at}}}}}"#);
        let answer = submitted(body.as_bytes()).unwrap();
        assert_eq!((answer.request_id.as_str(), answer.accepted_at, answer.group_id), ("grpmsr_A", None, None));
    }
}

#[test]
fn a_body_that_is_no_answer_says_where_and_quotes_nothing() {
    let cases: [(&[u8], Unreadable); 7] = [
        (b" \n", Unreadable::Empty),
        (b"<html>Ana</html>", Unreadable::NotJson { line: 1, column: 1 }),
        (br#"{"data":{"request_id":"grpm"#, Unreadable::CutShort),
        (br#"{"request_id":"grpmsr_A"}"#, Unreadable::Shape { line: 1, column: 0 }),
        (br#"{"data":{"group_id":"grp_B"}}"#, Unreadable::Shape { line: 1, column: 0 }),
        (br#"{"data":{"request_id":" "}}"#, Unreadable::Shape { line: 1, column: 0 }),
        (br#"{"data":{"request_id":17}}"#, Unreadable::Shape { line: 1, column: 0 }),
    ];
    for (body, expected) in cases {
        let why = submitted(body).unwrap_err();
        assert_eq!(std::mem::discriminant(&why), std::mem::discriminant(&expected), "{why:?}");
        assert!(!why.to_string().contains("Ana"));
    }
}

fn results(json: &str) -> Result<Results, &'static str> {
    let body = format!(
        r#"{{"data":{{"request_id":"r","group_id":"g","completed_at":"2026-10-05T14:00:40Z","results":{json}}}}}"#
    );
    let answer = polled(body.as_bytes()).unwrap();
    answer.results.unwrap().complete(answer.completed_at.unwrap())
}

#[test]
fn results_are_counted_and_failures_kept() {
    let results = results(
        r#"{"added_group_member_ids":["grpmbr_1","grpmbr_2"],"removed_group_member_ids":["grpmbr_3"],"failures":[
            {"reference_id":"E1","operation":"add","reason":"Invalid plan_id"},
            {"reference_id":"E2","operation":"remove","reason":"x"},
            {"reference_id":"E3","operation":"transfer","reason":null}]}"#,
    )
    .unwrap();
    assert_eq!((results.added, results.removed), (2, 1));
    let failures: Vec<_> = results
        .failures
        .iter()
        .map(|failure| (failure.reference_id.as_str(), failure.operation.as_str(), failure.reason.as_str()))
        .collect();
    assert_eq!(failures, [("E1", "add", "Invalid plan_id"), ("E2", "remove", "x"), ("E3", "transfer", "")]);
    assert_eq!(results.failures[2].operation, Operation::Other("transfer".to_owned()));
}

#[test]
fn a_missing_list_is_not_an_empty_one() {
    for json in [
        "{}",
        r#"{"removed_group_member_ids":[],"failures":[]}"#,
        r#"{"added_group_member_ids":[],"failures":[]}"#,
        r#"{"added_group_member_ids":[],"removed_group_member_ids":[]}"#,
        r#"{"added_group_member_ids":[],"removed_group_member_ids":null,"failures":[]}"#,
        r#"{"added_group_member_ids":[],"removed_group_member_ids":[],"failures":[{"operation":"add","reason":"x"}]}"#,
        r#"{"added_group_member_ids":[],"removed_group_member_ids":[],"failures":[{"reference_id":"E1","reason":"x"}]}"#,
    ] {
        assert!(results(json).is_err(), "{json}");
    }
}

#[test]
fn a_poll_without_both_ids_or_with_an_odd_completion_is_unreadable() {
    for body in [
        r#"{"data":{"group_id":"g"}}"#,
        r#"{"data":{"request_id":"r"}}"#,
        r#"{"data":{"request_id":"r","group_id":"g","completed_at":"soon"}}"#,
        r#"{"data":{"request_id":"r","group_id":"g","results":"none"}}"#,
    ] {
        assert!(matches!(polled(body.as_bytes()), Err(Unreadable::Shape { .. })), "{body}");
    }
}

#[test]
fn a_groups_optional_fields_are_optional() {
    let body = br#"{"data":[{"id":"grp_1"},
        {"id":"grp_2","name":"Sales","external_reference_id":"acme-sales","organization_id":"org_1","created_at":null},
        {"id":"grp_3","name":null,"external_reference_id":"","organization_id":null}],
        "pagination":{"page":1,"limit":100,"total":3,"total_pages":1}}"#;
    let page = group_page(body).unwrap();
    assert_eq!(page.total_pages, Some(1));
    let seen: Vec<_> = page
        .items
        .iter()
        .map(|group| {
            (group.id.as_str(), group.name.as_str(), group.external_reference_id.as_ref().map(GroupRef::as_str))
        })
        .collect();
    assert_eq!(seen, [("grp_1", "", None), ("grp_2", "Sales", Some("acme-sales")), ("grp_3", "", None)]);
}

#[test]
fn a_list_without_pagination_is_read() {
    let page = plan_page(br#"{"data":[{"id":"pln_1","name":"Gold"}]}"#).unwrap();
    assert_eq!(
        page,
        Page { items: vec![Plan { id: PlanId::parse("pln_1").unwrap(), name: "Gold".into() }], total_pages: None }
    );
    assert!(plan_page(br#"{"data":[{"name":"Gold"}]}"#).is_err());
}

#[test]
fn both_forms_of_error_bodies_are_read_and_anything_else_is_an_empty_one() {
    let read = |body: &str| {
        let ErrorBody { message, code, trace_id } = error_body(body.as_bytes());
        (message, code, trace_id)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        read(r#"{"timestamp":"t","message":"no","error":"no","app_error_code":null,"trace_id":"t-1"}"#),
        (some("no"), None, some("t-1"))
    );
    assert_eq!(read(r#"{"error":"only this","app_error_code":"c"}"#), (some("only this"), some("c"), None));
    assert_eq!(
        read(r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key"}}"#),
        (some("Invalid or missing API key"), some("unauthorized"), None)
    );
    for body in ["", "<html><h1>502</h1></html>", "null", "[]", "{}", r#"{"message":17}"#, r#"{"message":" "}"#] {
        assert_eq!(read(body), (None, None, None), "{body}");
    }
}
