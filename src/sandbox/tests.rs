use std::time::Duration;

use chrono::TimeZone;
use serde_json::json;

use super::engine::{Ask, Paging};
use super::script::{Fault, Format, GroupSeed, On};
use super::switches::*;
use super::*;

const DELAY: Duration = Duration::from_secs(10);

pub(super) fn row(reference_id: &str) -> Value {
    json!({
        "reference_id": reference_id,
        "first_name": "Ana",
        "last_name": "Ruiz",
        "date_of_birth": "1988-02-29",
        "email": format!("{reference_id}@corp.example"),
        "phone": "2675550142",
        "plan_id": "pln_gold",
        "address": { "address_line_1": "9 Elm St", "city": "Erie", "state": "PA", "zipcode": "16501" },
    })
}

pub(super) fn roster(rows: &[Value]) -> Value {
    json!({ "members": rows })
}

/// A sandbox with two groups and a client that speaks JSON to the engine.
struct Desk {
    sandbox: Sandbox,
    sales: String,
    plant: String,
}

impl Desk {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Switches)) -> Self {
        let mut script = Script { delay: DELAY, ..Script::default() };
        script.groups = ["sales", "plant"].map(|name| GroupSeed { reference: name.into(), name: name.into() }).into();
        change(&mut script.switches);
        let start = Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap();
        let sandbox = Sandbox::new(Settings { script, clock: Clock::simulated(start) });
        let ids: Vec<String> = sandbox.groups().into_iter().map(|group| group.id).collect();
        Self { sandbox, sales: ids[0].clone(), plant: ids[1].clone() }
    }

    fn call(&self, ask: Ask, body: &Value) -> (u16, Value) {
        self.raw(ask, Some("Bearer vit_apk_x"), Some("application/json"), body.to_string().as_bytes())
    }

    fn raw(&self, ask: Ask, key: Option<&str>, content_type: Option<&str>, body: &[u8]) -> (u16, Value) {
        let (authorization, content_type) = (key.map(str::to_owned), content_type.map(str::to_owned));
        let head = Head { ask, authorization, content_type };
        let reply = match self.sandbox.begin(&head) {
            Err(reply) => reply,
            Ok(begun) => self.sandbox.finish(&head, &begun, body).0,
        };
        (reply.status, serde_json::from_str(&reply.body).unwrap_or(Value::Null))
    }

    fn submit(&self, group: &str, rows: &[Value]) -> (u16, Value) {
        self.call(Ask::Submit { group: group.into() }, &roster(rows))
    }

    fn accept(&self, group: &str, rows: &[Value]) -> String {
        let (status, body) = self.submit(group, rows);
        assert_eq!(status, 202, "{body}");
        body["data"]["request_id"].as_str().unwrap().to_owned()
    }

    fn poll(&self, group: &str, request: &str) -> (u16, Value) {
        let (status, body) = self.call(Ask::Poll { group: group.into(), request: request.into() }, &Value::Null);
        (status, body["data"].clone())
    }

    /// Submits, waits, polls to the end.
    async fn sync(&self, group: &str, rows: &[Value]) -> Value {
        let request = self.accept(group, rows);
        for _ in 0..3 {
            tokio::time::advance(DELAY).await;
            let (status, data) = self.poll(group, &request);
            assert_eq!(status, 200);
            if !data["results"].is_null() {
                return data["results"].clone();
            }
        }
        panic!("{request} never came to its end");
    }

    fn ids(&self, reference: &str) -> Vec<String> {
        self.sandbox.roster(reference).into_keys().collect()
    }

    fn stored(&self, reference: &str, id: &str) -> Value {
        self.sandbox.roster(reference)[id].clone()
    }
}

fn counts(results: &Value) -> (usize, usize, usize) {
    let count = |key: &str| results[key].as_array().unwrap().len();
    (count("added_group_member_ids"), count("removed_group_member_ids"), count("failures"))
}

fn failure(results: &Value) -> (String, String, String) {
    let text = |key: &str| results["failures"][0][key].as_str().unwrap().to_owned();
    (text("reference_id"), text("operation"), text("reason"))
}

fn with(mut row: Value, key: &str, value: Value) -> Value {
    row[key] = value;
    row
}

fn without(mut row: Value, key: &str) -> Value {
    row.as_object_mut().unwrap().remove(key);
    row
}

// === the order of the checks ===

#[tokio::test(start_paused = true)]
async fn each_check_of_a_submit_comes_before_the_next_one() {
    let desk = Desk::with(|switches| {
        switches.max_members = 2;
        switches.max_body = 2_000;
        switches.in_flight = InFlight::Conflict;
    });
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::Error503)).unwrap();
    let nowhere = || Ask::Submit { group: "grp_nowhere".into() };
    let sales = || Ask::Submit { group: desk.sales.clone() };
    let (key, mime) = (Some("Bearer vit_apk_x"), Some("application/json"));
    let status = |ask, key, mime, body: &[u8]| desk.raw(ask, key, mime, body).0;

    assert_eq!(status(nowhere(), None, None, b""), 401);
    assert_eq!(status(nowhere(), Some("Basic vit_apk_x"), None, b""), 401);
    assert_eq!(status(nowhere(), Some("Bearer vit_at_x"), None, b""), 401);
    assert_eq!(status(nowhere(), key, None, b""), 503, "the fault was still there, and comes before the group");
    assert_eq!(status(nowhere(), key, None, b""), 404, "before the body is looked at");
    assert_eq!(status(sales(), key, Some("text/csv"), &[b' '; 3_000]), 415);
    assert_eq!(status(sales(), key, mime, &[b' '; 3_000]), 413);
    for bad in ["{", "[]", "{}", r#"{"members":null}"#, r#"{"members":{}}"#, r#"{"members":[],"group_id":"x"}"#] {
        assert_eq!(status(sales(), key, mime, bad.as_bytes()), 400, "{bad}");
    }
    let three_bad = roster(&[json!(1), json!(2), json!(3)]);
    assert!(desk.call(sales(), &three_bad).1["message"].as_str().unwrap().contains("at most 2"));
    let bad_and_twice = roster(&[row("E1"), with(row("E1"), "plan_id", json!(""))]);
    assert_eq!(desk.call(sales(), &bad_and_twice).1["message"], "members[1].plan_id must not be blank");
    let twice = roster(&[row("E1"), row("E1")]);
    assert_eq!(desk.call(sales(), &twice).1["message"], "members[1].reference_id is there twice");
    assert!(desk.sandbox.requests().is_empty(), "nothing of this changed anything");

    assert_eq!(desk.submit(&desk.sales, &[row("E1")]).0, 202);
    assert_eq!(desk.call(sales(), &twice).0, 400, "before the request in flight");
    assert_eq!(desk.submit(&desk.sales, &[row("E1")]).0, 409);
    assert_eq!(desk.submit(&desk.plant, &[row("E2")]).0, 202, "another group is free");
}

#[tokio::test(start_paused = true)]
async fn a_poll_needs_the_key_the_group_and_a_request_of_that_group() {
    let desk = Desk::new();
    let request = desk.accept(&desk.sales, &[]);
    let ask = |group: &str, request: &str| Ask::Poll { group: group.into(), request: request.into() };
    assert_eq!(desk.raw(ask(&desk.sales, &request), None, None, b"").0, 401);
    assert_eq!(desk.poll("grp_nowhere", &request).0, 404);
    assert_eq!(desk.poll(&desk.plant, &request).0, 404);
    assert_eq!(desk.poll(&desk.sales, "grpmsr_nothing").0, 404);
    assert_eq!(desk.poll(&desk.sales, &request).0, 200);
}

// === processing ===

#[tokio::test(start_paused = true)]
async fn results_come_together_after_the_delay_and_never_in_part() {
    let desk = Desk::new();
    let request = desk.accept(&desk.sales, &[row("E1"), row("E2")]);
    tokio::time::advance(Duration::from_millis(9_999)).await;
    let data = desk.poll(&desk.sales, &request).1;
    assert_eq!((&data["completed_at"], &data["results"]), (&Value::Null, &Value::Null));
    assert!(desk.sandbox.roster("sales").is_empty());
    tokio::time::advance(Duration::from_millis(1)).await;
    let data = desk.poll(&desk.sales, &request).1;
    assert_eq!(counts(&data["results"]), (2, 0, 0));
    let time = |key: &str| data[key].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert_eq!((time("completed_at") - time("accepted_at")).to_std().unwrap(), DELAY);
    assert_eq!(desk.ids("sales"), ["E1", "E2"]);
}

#[tokio::test(start_paused = true)]
async fn a_roster_replaces_the_one_before() {
    let desk = Desk::new();
    desk.sync(&desk.sales, &[row("E1"), row("E2")]).await;
    let again = desk.sync(&desk.sales, &[row("E2"), row("E1")]).await;
    assert_eq!(counts(&again), (0, 0, 0), "known members are no news");
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E2"), row("E3")]).await), (1, 1, 0));
    assert_eq!(desk.ids("sales"), ["E2", "E3"]);
    assert_eq!(counts(&desk.sync(&desk.sales, &[]).await), (0, 2, 0));
    assert!(desk.ids("sales").is_empty());
    let log = &desk.sandbox.requests()[2];
    assert_eq!((&log.added[..], &log.removed[..]), (&["E3".to_owned()][..], &["E1".to_owned()][..]));
    assert_eq!(desk.sandbox.requests()[0].payload_hash, desk.sandbox.requests()[1].payload_hash);
}

#[tokio::test(start_paused = true)]
async fn a_failed_add_is_tried_again_and_a_failed_removal_leaves_the_person_covered() {
    let desk = Desk::new();
    let bad = with(row("E1"), "plan_id", json!("pln_none"));
    let results = desk.sync(&desk.sales, &[bad]).await;
    assert_eq!(failure(&results), ("E1".into(), "add".into(), "Invalid plan_id".into()));
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1")]).await), (1, 0, 0));

    desk.sandbox.fail_next("E1", FailOn::Remove, "not now");
    let results = desk.sync(&desk.sales, &[]).await;
    assert_eq!(failure(&results), ("E1".into(), "remove".into(), "not now".into()));
    assert_eq!(desk.ids("sales"), ["E1"]);
    assert_eq!(counts(&desk.sync(&desk.sales, &[]).await), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_added_with_a_new_id_or_the_old_one() {
    for (switch, is_same) in [(MemberIdOnReturn::New, false), (MemberIdOnReturn::Same, true)] {
        let desk = Desk::with(|switches| switches.member_id_on_return = switch);
        let first = desk.sync(&desk.sales, &[row("E1")]).await;
        desk.sync(&desk.sales, &[]).await;
        let second = desk.sync(&desk.sales, &[row("E1")]).await;
        assert_eq!(counts(&second), (1, 0, 0));
        assert_eq!(first["added_group_member_ids"] == second["added_group_member_ids"], is_same);
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_of_a_known_member_can_fail_and_says_so_in_an_unfamiliar_way() {
    let desk = Desk::new();
    desk.sync(&desk.sales, &[row("E1")]).await;
    desk.sandbox.fail_next("E1", FailOn::Update, "e-mail in use");
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1")]).await), (0, 0, 0), "nothing to update");
    let results = desk.sync(&desk.sales, &[with(row("E1"), "last_name", json!("Diaz"))]).await;
    assert_eq!(failure(&results), ("E1".into(), "update".into(), "e-mail in use".into()));
    assert_eq!(desk.stored("sales", "E1")["last_name"], "Ruiz");
    desk.sync(&desk.sales, &[with(row("E1"), "last_name", json!("Diaz"))]).await;
    assert_eq!(desk.stored("sales", "E1")["last_name"], "Diaz");
}

#[tokio::test(start_paused = true)]
async fn a_full_roster_is_taken_and_one_more_is_not() {
    let desk = Desk::new();
    let rows: Vec<Value> = (0..5_001).map(|number| row(&format!("E{number}"))).collect();
    assert_eq!(desk.submit(&desk.sales, &rows).0, 400);
    assert_eq!(counts(&desk.sync(&desk.sales, &rows[..5_000]).await), (5_000, 0, 0));
}

// === people ===

#[tokio::test(start_paused = true)]
async fn a_person_who_is_active_elsewhere_is_refused_until_free() {
    let desk = Desk::new();
    let born = NaiveDate::from_ymd_opt(1988, 2, 29).unwrap();
    desk.sandbox.block_person("E1@Corp.Example", born);
    let results = desk.sync(&desk.sales, &[row("E1"), row("E2")]).await;
    assert_eq!(counts(&results), (1, 0, 1));
    assert_eq!(failure(&results).2, Reasons::default().blocked);
    let born_later = with(row("E1"), "date_of_birth", json!("1990-01-01"));
    assert_eq!(counts(&desk.sync(&desk.sales, &[born_later, row("E2")]).await), (1, 0, 0), "somebody else");
    desk.sync(&desk.sales, &[row("E2")]).await;
    desk.sandbox.unblock_person("e1@corp.example", born);
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1"), row("E2")]).await), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_person_of_another_group_is_refused_moved_or_doubled() {
    let twin = with(row("P9"), "email", json!("E1@CORP.example"));
    for (switch, counted, left) in [
        (OtherGroup::FailureAdd, (0, 0, 1), vec!["E1"]),
        (OtherGroup::Move, (1, 0, 0), vec![]),
        (OtherGroup::AllowBoth, (1, 0, 0), vec!["E1"]),
    ] {
        let desk = Desk::with(|switches| switches.other_group = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        assert_eq!(counts(&desk.sync(&desk.plant, std::slice::from_ref(&twin)).await), counted, "{switch:?}");
        assert_eq!(desk.ids("sales"), left, "{switch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_reference_for_the_same_person_depends_on_what_is_done_first() {
    for (switch, counted) in [(Order::RemovesFirst, (1, 1, 0)), (Order::AddsFirst, (0, 1, 1))] {
        let desk = Desk::with(|switches| switches.order = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        let renumbered = with(row("E1"), "reference_id", json!("E77"));
        assert_eq!(counts(&desk.sync(&desk.sales, &[renumbered]).await), counted, "{switch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_person_twice_in_a_roster_fails_the_second_time_unless_allowed() {
    let twice = [row("E1"), with(row("E1"), "reference_id", json!("E2"))];
    for (switch, counted) in [(SamePerson::FailureAdd, (1, 0, 1)), (SamePerson::Allow, (2, 0, 0))] {
        let desk = Desk::with(|switches| switches.same_person = switch);
        assert_eq!(counts(&desk.sync(&desk.sales, &twice).await), counted, "{switch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_unique_in_its_group_or_in_the_organization() {
    let other = with(row("E1"), "email", json!("other@corp.example"));
    for (switch, counted) in [(ReferenceScope::PerGroup, (1, 0, 0)), (ReferenceScope::PerOrg, (0, 0, 1))] {
        let desk = Desk::with(|switches| switches.reference_scope = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        assert_eq!(counts(&desk.sync(&desk.plant, std::slice::from_ref(&other)).await), counted, "{switch:?}");
    }
}

// === known members ===

#[tokio::test(start_paused = true)]
async fn another_plan_of_a_known_member_is_ignored_applied_or_a_failure() {
    for (switch, plan, failures) in [
        (PlanChange::Ignored, "pln_gold", 0),
        (PlanChange::Applied, "pln_basic", 0),
        (PlanChange::FailureAdd, "pln_gold", 1),
    ] {
        let desk = Desk::with(|switches| switches.plan_change = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        let changed = with(with(row("E1"), "plan_id", json!("pln_basic")), "last_name", json!("Diaz"));
        assert_eq!(counts(&desk.sync(&desk.sales, &[changed]).await), (0, 0, failures), "{switch:?}");
        let stored = desk.stored("sales", "E1");
        assert_eq!((&stored["plan_id"], &stored["last_name"]), (&json!(plan), &json!("Diaz")), "{switch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_plan_of_a_known_member_is_nothing_or_a_failure() {
    for (switch, failures) in [(BadPlanOnKnown::Ignored, 0), (BadPlanOnKnown::FailureAdd, 1)] {
        let desk = Desk::with(|switches| switches.bad_plan_on_known = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        desk.sandbox.retire_plan("pln_gold");
        assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1")]).await), (0, 0, failures), "{switch:?}");
        assert_eq!(desk.ids("sales"), ["E1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_omitted_field_keeps_or_clears_and_null_always_clears() {
    for (switch, kept) in [(Omitted::Keep, json!("2675550142")), (Omitted::Clear, Value::Null)] {
        let desk = Desk::with(|switches| switches.omitted = switch);
        desk.sync(&desk.sales, &[row("E1")]).await;
        desk.sync(&desk.sales, &[without(row("E1"), "phone")]).await;
        assert_eq!(desk.stored("sales", "E1")["phone"], kept, "{switch:?}");
        desk.sync(&desk.sales, &[with(row("E1"), "phone", Value::Null)]).await;
        assert_eq!(desk.stored("sales", "E1")["phone"], Value::Null, "{switch:?}");
    }
}

// === one after the other ===

#[tokio::test(start_paused = true)]
async fn two_rosters_under_way_are_queued_refused_dropped_or_raced() {
    for (switch, status, end) in [
        (InFlight::QueueFifo, 202, vec!["E2"]),
        (InFlight::Conflict, 409, vec!["E1"]),
        (InFlight::LastWins, 202, vec!["E2"]),
        (InFlight::ParallelRace, 202, vec!["E1"]),
    ] {
        let desk = Desk::with(|switches| switches.in_flight = switch);
        let first = desk.accept(&desk.sales, &[row("E1")]);
        tokio::time::advance(DELAY / 2).await;
        assert_eq!(desk.submit(&desk.sales, &[row("E2")]).0, status, "{switch:?}");
        tokio::time::advance(DELAY * 3).await;
        assert_eq!(desk.ids("sales"), end, "{switch:?}");
        let results = desk.poll(&desk.sales, &first).1["results"].clone();
        assert_eq!(counts(&results).0, usize::from(switch != InFlight::LastWins), "{switch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_roster_takes_its_delay_after_the_one_before() {
    let desk = Desk::new();
    let first = desk.accept(&desk.sales, &[row("E1")]);
    let second = desk.accept(&desk.sales, &[row("E1"), row("E2")]);
    let elsewhere = desk.accept(&desk.plant, &[row("P1")]);
    tokio::time::advance(DELAY).await;
    let is_done = |group: &str, request: &str| !desk.poll(group, request).1["results"].is_null();
    assert!(is_done(&desk.sales, &first));
    assert!(is_done(&desk.plant, &elsewhere), "groups do not wait for each other");
    assert!(!is_done(&desk.sales, &second));
    tokio::time::advance(DELAY).await;
    assert!(is_done(&desk.sales, &second));
    let logs = desk.sandbox.requests();
    assert_eq!(logs[1].added, ["E2"]);
    assert_eq!((logs[1].completed_at.unwrap() - logs[1].accepted_at).to_std().unwrap(), DELAY * 2);
}

#[tokio::test(start_paused = true)]
async fn old_requests_are_forgotten_when_the_switch_says_so() {
    let desk = Desk::with(|switches| switches.forget_after = Some(DELAY * 2));
    let request = desk.accept(&desk.sales, &[]);
    tokio::time::advance(DELAY).await;
    assert_eq!(desk.poll(&desk.sales, &request).0, 200);
    tokio::time::advance(DELAY).await;
    assert_eq!(desk.poll(&desk.sales, &request).0, 404);
}

// === groups and plans ===

#[tokio::test(start_paused = true)]
async fn groups_are_made_read_changed_and_listed_by_page() {
    let desk = Desk::new();
    let made = json!({ "name": "Office", "external_reference_id": "office" });
    let (status, body) = desk.call(Ask::Create, &made);
    assert_eq!(status, 201);
    let id = body["data"]["id"].as_str().unwrap().to_owned();
    let (status, body) = desk.call(Ask::Update { group: id.clone() }, &json!({ "name": "Head office" }));
    assert_eq!((status, &body["data"]["external_reference_id"]), (200, &json!("office")), "what is omitted stays");
    assert_eq!(desk.call(Ask::Read { group: id }, &Value::Null).1["data"]["name"], "Head office");

    let list = |page: &str, limit: &str| {
        desk.call(Ask::List(Paging { page: Some(page.into()), limit: Some(limit.into()) }), &Value::Null)
    };
    let (status, body) = list("2", "2");
    assert_eq!((status, body["data"].as_array().unwrap().len()), (200, 1));
    assert_eq!(body["pagination"], json!({ "page": 2, "limit": 2, "total": 3, "total_pages": 2 }));
    for (page, limit) in [("0", "2"), ("x", "2"), ("1", "0"), ("1", "101")] {
        assert_eq!(list(page, limit).0, 400, "{page} {limit}");
    }
    assert_eq!(list("9", "2").1["data"], json!([]));
    desk.sandbox.switch(|switches| (switches.limit_over, switches.past_end) = (LimitOver::Clamp, PastEnd::NotFound));
    assert_eq!(list("1", "101").1["pagination"]["limit"], 100);
    assert_eq!(list("9", "2").0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_group_needs_a_name_and_a_reference_of_its_own() {
    let desk = Desk::new();
    for bad in [
        json!({ "name": "Office" }),
        json!({ "name": " ", "external_reference_id": "office" }),
        json!({ "name": "Office", "external_reference_id": "o".repeat(256) }),
        json!({ "name": "Office", "external_reference_id": "office", "plan": "x" }),
    ] {
        assert_eq!(desk.call(Ask::Create, &bad).0, 400, "{bad}");
    }
    assert_eq!(desk.call(Ask::Update { group: desk.sales.clone() }, &json!({ "name": null })).0, 400);
    let taken = json!({ "name": "Sales", "external_reference_id": "plant" });
    for (switch, create, update) in [
        (DuplicateGroup::Conflict, 409, 409),
        (DuplicateGroup::BadRequest, 400, 400),
        (DuplicateGroup::Unprocessable, 422, 422),
        (DuplicateGroup::Existing, 200, 409),
    ] {
        desk.sandbox.switch(|switches| switches.duplicate_group = switch);
        assert_eq!(desk.call(Ask::Create, &taken).0, create, "{switch:?}");
        assert_eq!(desk.call(Ask::Update { group: desk.sales.clone() }, &taken).0, update, "{switch:?}");
    }
    desk.sandbox.switch(|switches| switches.created_status = CreatedStatus::Ok);
    assert_eq!(desk.call(Ask::Create, &json!({ "name": "Office", "external_reference_id": "office" })).0, 200);
}

// === answers ===

#[tokio::test(start_paused = true)]
async fn errors_come_in_four_forms() {
    let desk = Desk::new();
    let not_found = || desk.call(Ask::Read { group: "grp_nowhere".into() }, &Value::Null);
    let (_, flat) = not_found();
    assert_eq!((&flat["message"], &flat["app_error_code"]), (&flat["error"], &Value::Null));
    assert!(flat["trace_id"].is_string() && flat["timestamp"].is_string());
    desk.sandbox.switch(|switches| switches.error_body = ErrorBody::Nested);
    assert_eq!(not_found().1["error"]["code"], "not_found");
    for form in [ErrorBody::Html, ErrorBody::Empty] {
        desk.sandbox.switch(|switches| switches.error_body = form);
        assert_eq!(not_found(), (404, Value::Null), "{form:?} is not JSON");
    }
}

#[tokio::test(start_paused = true)]
async fn times_end_in_either_way_and_some_answers_have_a_key_too_many() {
    let desk = Desk::new();
    let answers: Vec<Value> =
        (0..6).map(|_| desk.call(Ask::Read { group: desk.sales.clone() }, &Value::Null).1["data"].clone()).collect();
    let ends = |end: &str| answers.iter().filter(|data| data["created_at"].as_str().unwrap().ends_with(end)).count();
    assert_eq!((ends("Z"), ends("+00:00")), (3, 3));
    assert_eq!(answers.iter().filter(|data| data["sandbox_extra"].is_object()).count(), 2);
}

// === misbehaviour ===

#[tokio::test(start_paused = true)]
async fn rules_count_the_calls_that_they_are_about() {
    let desk = Desk::new();
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::Error500).nth(2).times(2).group("sales")).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(desk.submit(&desk.sales, &[]).0);
        assert_eq!(desk.submit(&desk.plant, &[]).0, 202);
    }
    assert_eq!(statuses, [202, 500, 500, 202]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_when_the_sandbox_is_old_enough_and_a_lasting_one_when_it_behaves() {
    let desk = Desk::new();
    desk.sandbox.misbehave(Rule::new(On::Any, Fault::Error503).until(DELAY)).unwrap();
    let list = || desk.call(Ask::List(Paging::default()), &Value::Null).0;
    assert_eq!([list(), list(), list()], [503; 3]);
    tokio::time::advance(DELAY).await;
    assert_eq!(list(), 200);
    desk.sandbox.misbehave(Rule::new(On::List, Fault::NotFound).always()).unwrap();
    assert_eq!([list(), list()], [404; 2]);
    desk.sandbox.behave();
    assert_eq!(list(), 200);
}

#[tokio::test(start_paused = true)]
async fn results_can_be_misshapen() {
    for (fault, operation, is_submitted) in
        [(Fault::UnknownOperation, "reconcile", true), (Fault::UnknownReference, "add", false)]
    {
        let desk = Desk::new();
        desk.sandbox.misbehave(Rule::new(On::Submit, fault)).unwrap();
        let results = desk.sync(&desk.sales, &[row("E1")]).await;
        assert_eq!(counts(&results), (1, 0, 1), "{fault:?}");
        let (reference_id, named, _) = failure(&results);
        assert_eq!((named.as_str(), reference_id == "E1"), (operation, is_submitted), "{fault:?}");
    }
    let desk = Desk::new();
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::AddedAndFailed)).unwrap();
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1"), row("E2")]).await), (2, 0, 1));
    assert_eq!(desk.ids("sales"), ["E2"], "the failure is the truth");
}

#[tokio::test(start_paused = true)]
async fn requests_can_hide_be_forgotten_or_never_end() {
    let desk = Desk::new();
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::HideAtFirst).polls(2).group("sales")).unwrap();
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget).group("plant")).unwrap();
    let (hidden, forgotten) = (desk.accept(&desk.sales, &[row("E1")]), desk.accept(&desk.plant, &[row("P1")]));
    tokio::time::advance(DELAY).await;
    let statuses = [(); 3].map(|()| desk.poll(&desk.sales, &hidden).0);
    assert_eq!(statuses, [404, 404, 200]);
    assert_eq!(desk.poll(&desk.plant, &forgotten).0, 404);
    assert_eq!(desk.ids("plant"), ["P1"], "forgotten, but done");

    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::NeverComplete)).unwrap();
    let endless = desk.accept(&desk.sales, &[]);
    tokio::time::advance(DELAY * 1_000).await;
    assert!(desk.poll(&desk.sales, &endless).1["results"].is_null());
    assert_eq!(counts(&desk.sync(&desk.sales, &[]).await), (0, 1, 0), "it does not block the queue");
    desk.sandbox.forget_requests();
    assert_eq!(desk.poll(&desk.sales, &endless).0, 404);
}

#[tokio::test(start_paused = true)]
async fn polls_can_be_misshapen() {
    let desk = Desk::new();
    let request = desk.accept(&desk.sales, &[row("E1")]);
    for fault in [Fault::NoResults, Fault::NoCompletedAt, Fault::WrongGroup] {
        desk.sandbox.misbehave(Rule::new(On::Poll, fault)).unwrap();
        let (status, data) = desk.poll(&desk.sales, &request);
        assert_eq!(status, 200);
        assert_eq!(data["completed_at"].is_null(), fault != Fault::NoResults, "{fault:?}");
        assert_eq!(data["results"].is_null(), fault != Fault::NoCompletedAt, "{fault:?}");
        assert_eq!(data["group_id"] == desk.sales, fault != Fault::WrongGroup, "{fault:?}");
        desk.sandbox.behave();
    }
}

// === the audit ===

#[tokio::test(start_paused = true)]
async fn a_careful_client_breaks_no_rule() {
    let desk = Desk::new();
    desk.sync(&desk.sales, &[row("E1"), row("E2")]).await;
    desk.sync(&desk.sales, &[row("E2")]).await;
    desk.sync(&desk.plant, &[row("E1")]).await;
    // A lost answer, then the current roster again.
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::AcceptThenReset)).unwrap();
    desk.submit(&desk.sales, &[row("E2"), row("E3")]);
    desk.sync(&desk.sales, &[row("E2"), row("E3")]).await;
    // A request that is lost for good.
    desk.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
    let lost = desk.accept(&desk.sales, &[row("E3")]);
    assert_eq!(desk.poll(&desk.sales, &lost).0, 404);
    desk.accept(&desk.sales, &[row("E3")]);
    desk.sandbox.client_died();
    desk.accept(&desk.sales, &[row("E3")]);
    assert_eq!(desk.sandbox.audit(), []);
}

#[tokio::test(start_paused = true)]
async fn a_careless_client_is_found_out() {
    let desk = Desk::with(|switches| switches.unknown_fields = UnknownFields::Ignore);
    let group = || "sales".to_owned();
    let first = desk.accept(&desk.sales, &[row("E1")]);
    let second = desk.accept(&desk.sales, &[row("E2")]);
    let overlap = Violation::Overlap { group: group(), outstanding: first.clone() };
    assert_eq!(desk.sandbox.audit(), [overlap]);

    tokio::time::advance(DELAY * 2).await;
    let third = desk.accept(&desk.sales, &[row("E1")]);
    let unfetched = Violation::Overlap { group: group(), outstanding: second };
    let older = Violation::OlderPayload { group: group(), request: third, same_as: first };
    assert_eq!(desk.sandbox.audit()[1..], [unfetched, older]);

    let mut odd = with(with(row("E1"), "ssn", json!("1")), "phone", Value::Null);
    odd["address"]["country"] = Value::Null;
    desk.submit(&desk.sales, &[odd]);
    let audit = desk.sandbox.audit();
    for field in ["phone", "address.country"] {
        assert!(audit.contains(&Violation::NullField { group: group(), field: field.into() }), "{audit:?}");
    }
    for field in ["ssn", "address.country"] {
        assert!(audit.contains(&Violation::UnknownKey { group: group(), field: field.into() }), "{audit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_add_before_the_removal_is_found_out_by_reference_and_by_person() {
    let desk = Desk::new();
    desk.sync(&desk.sales, &[row("E1"), row("E2")]).await;
    let removal = desk.accept(&desk.sales, &[]);
    let renumbered = with(row("E2"), "reference_id", json!("P2"));
    desk.accept(&desk.plant, &[with(row("E1"), "email", json!("new@corp.example")), renumbered]);
    let found = |reference_id: &str| Violation::AddBeforeRemoval {
        group: "plant".into(),
        reference_id: reference_id.into(),
        from: "sales".into(),
    };
    assert_eq!(desk.sandbox.audit(), [found("E1"), found("P2")], "{removal} is accepted, not completed");
}

#[tokio::test(start_paused = true)]
async fn seeds_and_silent_drops_need_no_request() {
    let desk = Desk::new();
    desk.sandbox.seed_member("sales", &row("E1")).unwrap();
    assert_eq!(desk.sandbox.seed_member("sales", &json!({})).unwrap_err(), "reference_id is required");
    assert!(desk.sandbox.seed_member("nowhere", &row("E1")).is_err());
    assert_eq!(desk.sandbox.groups()[0].members, 1);
    assert!(desk.sandbox.drop_member("sales", "E1"));
    assert!(!desk.sandbox.drop_member("sales", "E1"));
    assert_eq!(counts(&desk.sync(&desk.sales, &[row("E1")]).await), (1, 0, 0));
    assert!(desk.sandbox.requests().len() == 1 && desk.sandbox.calls().len() == 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_personal_is_shown_by_debug() {
    let desk = Desk::new();
    desk.sync(&desk.sales, &[with(row("E1"), "last_name", json!("Marked"))]).await;
    let engine = desk.sandbox.engine();
    assert!(!format!("{engine:?} {:?}", engine.script).contains("Marked"));
}

#[tokio::test]
async fn the_example_of_the_module_page_is_a_script() {
    let script = Script::parse(EXAMPLE, Format::Toml).unwrap();
    let sandbox = Sandbox::new(script);
    assert_eq!(sandbox.groups()[0].reference, "acme-sales");
}

/// Rows of people who share nothing, so that nothing but the roster decides.
fn people(numbers: &std::collections::BTreeSet<u8>) -> Vec<Value> {
    numbers.iter().map(|number| row(&format!("E{number}"))).collect()
}

proptest::proptest! {
    /// Whatever came before and however it went, a roster that goes through is what the group has, and its log says
    /// what that took.
    #[test]
    fn a_roster_that_goes_through_is_what_the_group_has(
        rosters in proptest::collection::vec((proptest::collection::btree_set(0_u8..12, 0..8), 0..5_u8), 1..8),
    ) {
        let script = Script { delay: Duration::ZERO, ..Script::default() };
        let sandbox = Sandbox::new(script);
        let group = sandbox.add_group("sales", "Sales");
        let submit = |rows: &[Value]| {
            let head = Head {
                ask: Ask::Submit { group: group.clone() },
                authorization: Some("Bearer vit_apk_x".into()),
                content_type: Some("application/json".into()),
            };
            let begun = sandbox.begin(&head).unwrap();
            sandbox.finish(&head, &begun, roster(rows).to_string().as_bytes()).0.status
        };
        for (numbers, trouble) in &rosters {
            match trouble {
                0 => sandbox.misbehave(Rule::new(On::Submit, Fault::AcceptThenReset)).unwrap(),
                1 => sandbox.misbehave(Rule::new(On::Submit, Fault::Error503)).unwrap(),
                2 => sandbox.fail_next("E3", FailOn::Remove, "no"),
                3 => sandbox.fail_next("E4", FailOn::Add, "no"),
                _ => {},
            }
            submit(&people(numbers));
        }
        sandbox.behave();
        let (last, _) = rosters.last().unwrap();
        let before: std::collections::BTreeSet<String> = sandbox.roster("sales").into_keys().collect();
        proptest::prop_assert_eq!(submit(&people(last)), 202);
        let after: std::collections::BTreeSet<String> = sandbox.roster("sales").into_keys().collect();
        proptest::prop_assert_eq!(&after, &last.iter().map(|number| format!("E{number}")).collect());
        let log = sandbox.requests().pop().unwrap();
        proptest::prop_assert_eq!(log.added, after.difference(&before).cloned().collect::<Vec<_>>());
        proptest::prop_assert_eq!(log.removed, before.difference(&after).cloned().collect::<Vec<_>>());
        proptest::prop_assert!(log.failures.is_empty());
    }
}
