use chrono::TimeZone as _;

use super::*;
use crate::api::{Operation, Results};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap()
}

fn heard(status: u16, body: &str) -> Heard {
    Heard { status, after: None, at: now(), body: Ok(body.as_bytes().to_vec()) }
}

fn group_id() -> GroupId {
    GroupId::parse("grp_B").unwrap()
}

fn request_id() -> RequestId {
    RequestId::parse("grpmsr_A").unwrap()
}

fn lost(status: u16, after: Option<Duration>) -> ApiError {
    ApiError::AnswerLost { status: Some(status), detail: format!("the API answered {status}"), after }
}

#[test]
fn every_status_means_one_thing_for_what_was_asked() {
    let after = Some(Duration::from_secs(30));
    let no_reason =
        |status| ApiError::Refused { status, message: "the answer gives no reason".to_owned(), trace_id: None };
    let later = |status| ApiError::Later { status, after };
    let unexpected = |status| ApiError::Unexpected { status };
    for (status, on_change, on_read) in [
        (301, unexpected(301), unexpected(301)),
        (302, unexpected(302), unexpected(302)),
        (304, unexpected(304), unexpected(304)),
        (307, unexpected(307), unexpected(307)),
        (400, no_reason(400), no_reason(400)),
        (401, ApiError::Unauthorized { status: 401 }, ApiError::Unauthorized { status: 401 }),
        (402, unexpected(402), unexpected(402)),
        (403, ApiError::Unauthorized { status: 403 }, ApiError::Unauthorized { status: 403 }),
        (404, ApiError::NotFound, ApiError::NotFound),
        (405, unexpected(405), unexpected(405)),
        (407, unexpected(407), unexpected(407)),
        (408, later(408), later(408)),
        (409, ApiError::Conflict, ApiError::Conflict),
        (410, unexpected(410), unexpected(410)),
        (413, no_reason(413), no_reason(413)),
        (415, no_reason(415), no_reason(415)),
        (418, unexpected(418), unexpected(418)),
        (422, no_reason(422), no_reason(422)),
        (429, later(429), later(429)),
        (500, lost(500, after), later(500)),
        (502, lost(502, after), later(502)),
        (503, lost(503, after), later(503)),
        (504, lost(504, after), later(504)),
        (599, lost(599, after), later(599)),
        (999, unexpected(999), unexpected(999)),
    ] {
        for body in ["", "<html><h1>Ana</h1></html>"] {
            let heard = Heard { after, ..heard(status, body) };
            assert_eq!(submitted(&group_id(), &heard), Err(on_change.clone()), "submit {status}");
            assert_eq!(group(Asked::Write, None, &heard), Err(on_change.clone()), "write {status}");
            assert_eq!(group(Asked::Read, None, &heard), Err(on_read.clone()), "read {status}");
            assert_eq!(polled(&group_id(), &request_id(), &heard), Err(on_read.clone()), "poll {status}");
            assert_eq!(group_page(&heard), Err(on_read.clone()), "list {status}");
            assert_eq!(plan_page(&heard), Err(on_read.clone()), "list {status}");
        }
    }
}

#[test]
fn a_failure_whose_body_broke_still_counts_by_its_status() {
    let heard = Heard { body: Err(Incomplete::Cut), ..heard(401, "") };
    assert_eq!(submitted(&group_id(), &heard), Err(ApiError::Unauthorized { status: 401 }));
}

#[test]
fn silence_after_a_change_is_a_lost_answer_and_after_a_question_nothing() {
    for asked in [Asked::Submit, Asked::Write] {
        for kind in [Silence::TimedOut, Silence::Cut] {
            let error = silence(asked, kind);
            assert!(matches!(error, ApiError::AnswerLost { status: None, after: None, .. }), "{asked:?} {error:?}");
        }
    }
    for kind in [Silence::TimedOut, Silence::Cut] {
        assert!(matches!(silence(Asked::Read, kind), ApiError::NotSent { .. }));
    }
    for asked in [Asked::Submit, Asked::Write, Asked::Read] {
        let detail = "connection refused".to_owned();
        assert_eq!(silence(asked, Silence::Unreached(detail.clone())), ApiError::NotSent { detail });
    }
}

#[test]
fn a_refusal_keeps_the_apis_words_but_no_cells() {
    let body = r#"{"timestamp":"t","message":"last_name 'Ruiz' is not valid","error":"x",
        "app_error_code":"bad_name","trace_id":"0af7651916cd43dd"}"#;
    let refusal = submitted(&group_id(), &heard(422, body)).unwrap_err();
    assert_eq!(
        refusal,
        ApiError::Refused {
            status: 422,
            message: "bad_name: last_name … is not valid".to_owned(),
            trace_id: Some("0af7651916cd43dd".to_owned()),
        }
    );
    let body = format!(r#"{{"error":{{"code":"c","message":"{}"}}}}"#, "zu lang ".repeat(100));
    let ApiError::Refused { message, .. } = submitted(&group_id(), &heard(400, &body)).unwrap_err() else { panic!() };
    assert_eq!(message.chars().count(), 300);
}

const ACCEPTED: &str =
    r#"{"data":{"request_id":"grpmsr_A","group_id":"grp_B","accepted_at":"2026-10-05T13:59:00+00:00"}}"#;

#[test]
fn any_2xx_with_a_request_id_is_an_acceptance() {
    for status in [200, 201, 202] {
        let accepted = submitted(&group_id(), &heard(status, ACCEPTED)).unwrap();
        assert_eq!(accepted.request_id, request_id());
        assert_eq!(accepted.accepted_at, Utc.with_ymd_and_hms(2026, 10, 5, 13, 59, 0).unwrap());
    }
    let accepted = submitted(&group_id(), &heard(202, r#"{"data":{"request_id":"grpmsr_A"}}"#)).unwrap();
    assert_eq!(accepted.accepted_at, now());
}

#[test]
fn a_2xx_of_no_use_is_a_lost_answer_to_a_change_and_a_delay_to_a_question() {
    for body in ["", "<html>", r#"{"data":{"#, r#"{"data":{}}"#, &ACCEPTED.replace("grp_B", "grp_C")] {
        let error = submitted(&group_id(), &heard(202, body)).unwrap_err();
        assert!(matches!(error, ApiError::AnswerLost { status: Some(202), .. }), "{body}: {error:?}");
    }
    for body in ["", "<html>", r#"{"data":{"#, r#"{"data":{}}"#, r#"{"data":{"id":"grp_C"}}"#] {
        let heard = heard(200, body);
        let write = group(Asked::Write, Some(&group_id()), &heard).unwrap_err();
        assert!(matches!(write, ApiError::AnswerLost { status: Some(200), .. }), "{body}: {write:?}");
        let later = Err(ApiError::Later { status: 200, after: None });
        assert_eq!(group(Asked::Read, Some(&group_id()), &heard), later, "{body}");
    }
    for incomplete in [Incomplete::Cut, Incomplete::TimedOut, Incomplete::TooLarge] {
        let heard = Heard { body: Err(incomplete), ..heard(202, "") };
        let error = submitted(&group_id(), &heard).unwrap_err();
        assert!(error.to_string().contains(&incomplete.to_string()), "{error}");
        assert_eq!(group_page(&heard), Err(ApiError::Later { status: 202, after: None }));
    }
}

fn poll(completed_at: &str, results: &str) -> Result<Progress, ApiError> {
    let body = format!(
        r#"{{"data":{{"request_id":"grpmsr_A","group_id":"grp_B","accepted_at":"2026-10-05T14:00:00Z",
            "completed_at":{completed_at},"results":{results}}}}}"#
    );
    polled(&group_id(), &request_id(), &heard(200, &body))
}

const DONE: &str = r#""2026-10-05T14:00:40.25Z""#;
const RESULTS: &str = r#"{"added_group_member_ids":["m1"],"removed_group_member_ids":[],
    "failures":[{"reference_id":"E2","operation":"merge","reason":"Ana"}]}"#;

#[test]
fn only_a_completion_with_results_is_final() {
    assert_eq!(poll("null", "null"), Ok(Progress::Under(None)));
    let Progress::Done(Results { completed_at, added, removed, failures }) = poll(DONE, RESULTS).unwrap() else {
        panic!("not final")
    };
    assert_eq!(completed_at, now() + chrono::TimeDelta::milliseconds(40_250));
    assert_eq!((added, removed, failures.len()), (1, 0, 1));
    assert_eq!(failures[0].operation, Operation::Other("merge".to_owned()));
    for (completed_at, results) in [(DONE, "null"), ("null", RESULTS), (DONE, "{}"), (DONE, r#"{"failures":[]}"#)] {
        let progress = poll(completed_at, results).unwrap();
        assert!(matches!(progress, Progress::Under(Some(_))), "{completed_at} {results}: {progress:?}");
    }
}

#[test]
fn an_answer_about_something_else_is_never_final() {
    let body = format!(
        r#"{{"data":{{"request_id":"grpmsr_A","group_id":"grp_B","completed_at":{DONE},"results":{RESULTS}}}}}"#
    );
    let other = RequestId::parse("grpmsr_Z").unwrap();
    let answer = polled(&group_id(), &other, &heard(200, &body)).unwrap();
    assert_eq!(answer, Progress::Under(Some("the answer names another request")));
    let other = GroupId::parse("grp_Z").unwrap();
    let answer = polled(&other, &request_id(), &heard(200, &body)).unwrap();
    assert_eq!(answer, Progress::Under(Some("the answer names another group")));
}

#[test]
fn no_debug_form_shows_a_body() {
    let shown = format!("{:?}", heard(200, "Ana"));
    assert!(!shown.contains("Ana") && !shown.contains("65, 110, 97"), "{shown}");
}
