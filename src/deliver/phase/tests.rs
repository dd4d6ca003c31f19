use super::*;
use crate::roster::ids::{BatchId, GroupRef, RequestId, RunId};

fn now() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn at(polls: u32) -> Circumstances {
    let poll = Poll {
        first_after: Duration::from_secs(2),
        max_interval: Duration::from_secs(60),
        alert_after: Duration::from_secs(3600),
        give_up_after: Duration::from_secs(86_400),
    };
    Circumstances { now: now(), poll, polls, chance: 1.0 }
}

fn batch(phase: Phase) -> Batch {
    Batch {
        batch: BatchId::parse("bat_1").unwrap(),
        run: RunId::parse("run_1").unwrap(),
        group: GroupRef::parse("acme").unwrap(),
        group_id: None,
        request_id: Some(RequestId::parse("grpmsr_1").unwrap()),
        phase,
        members: 1,
        planned_removals: Some(0),
        attempts: 1,
        submitted_at: Some(now()),
        accepted_at: Some(now()),
        completed_at: None,
        not_before: None,
        added: 0,
        removed: 0,
        failures: Vec::new(),
        error: None,
        moves_in: Vec::new(),
        moves_out: Vec::new(),
        follows: None,
        again: 0,
        reasons: Vec::new(),
    }
}

fn accepted() -> Accepted {
    Accepted { request_id: RequestId::parse("grpmsr_1").unwrap(), accepted_at: now() }
}

fn results() -> Results {
    Results { completed_at: now(), added: 1, removed: 0, failures: Vec::new() }
}

fn after_submit(error: ApiError) -> (Phase, Effect) {
    step(&batch(Phase::Submitting), Event::SubmitFailed(error), at(0)).unwrap()
}

fn after_poll(error: ApiError) -> (Phase, Effect) {
    step(&batch(Phase::Accepted), Event::PollFailed(error), at(3)).unwrap()
}

fn refused(status: u16) -> ApiError {
    ApiError::Refused { status, message: "no".to_owned(), trace_id: None }
}

fn lost() -> ApiError {
    ApiError::AnswerLost { status: Some(502), detail: "half".to_owned(), after: None }
}

#[test]
fn the_good_way_is_submit_poll_settle() {
    let (phase, effect) = step(&batch(Phase::Pending), Event::Due, at(0)).unwrap();
    assert_eq!((phase, effect), (Phase::Submitting, Effect::Submit));
    let (phase, effect) = step(&batch(phase), Event::Accepted(accepted()), at(0)).unwrap();
    assert_eq!((phase, effect), (Phase::Accepted, Effect::PollAfter(Duration::from_millis(2200))));
    let (phase, effect) = step(&batch(phase), Event::Waiting(None), at(1)).unwrap();
    assert_eq!((phase, effect), (Phase::Accepted, Effect::PollAfter(Duration::from_millis(4400))));
    let (phase, effect) = step(&batch(phase), Event::Results(results()), at(2)).unwrap();
    assert_eq!((phase, effect), (Phase::Completed, Effect::Settle(results())));
}

#[test]
fn a_lost_answer_resubmits_the_current_roster() {
    let again = (Phase::Pending, Effect::SubmitCurrentAfter(Duration::from_secs(1)));
    assert_eq!(after_submit(lost()), again);
    assert_eq!(after_submit(ApiError::NotSent { detail: "refused".to_owned() }), again);
    let interrupted = step(&batch(Phase::Submitting), Event::Interrupted, at(0)).unwrap();
    assert_eq!(interrupted, (Phase::Pending, Effect::SubmitCurrentAfter(Duration::ZERO)));
}

#[test]
fn a_servers_wish_for_patience_is_granted_up_to_an_hour() {
    let later = |after| after_submit(ApiError::Later { status: 429, after });
    let wait = |seconds| (Phase::Pending, Effect::SubmitCurrentAfter(Duration::from_secs(seconds)));
    assert_eq!(later(None), wait(1));
    assert_eq!(later(Some(Duration::from_secs(90))), wait(90));
    assert_eq!(later(Some(Duration::from_secs(9_000))), wait(3_600));
}

#[test]
fn a_refused_payload_is_never_repeated() {
    for error in [refused(400), refused(422), ApiError::NotFound, ApiError::Unexpected { status: 418 }] {
        let (phase, effect) = after_submit(error);
        assert_eq!(phase, Phase::Refused);
        assert!(matches!(effect, Effect::Refuse(_)));
    }
}

#[test]
fn conflicts_are_retried_a_bounded_number_of_times() {
    assert_eq!(after_submit(ApiError::Conflict).0, Phase::Pending);
    let mut tired = batch(Phase::Submitting);
    tired.attempts = MOST_CONFLICTS;
    assert_eq!(step(&tired, Event::SubmitFailed(ApiError::Conflict), at(0)).unwrap().0, Phase::Refused);
}

#[test]
fn a_refused_key_pauses_and_loses_neither_batch_nor_request() {
    assert_eq!(after_submit(ApiError::Unauthorized { status: 401 }), (Phase::Pending, Effect::Pause));
    assert_eq!(after_poll(ApiError::Unauthorized { status: 403 }), (Phase::Accepted, Effect::Pause));
}

#[test]
fn an_unknown_request_gets_a_minutes_grace() {
    assert!(matches!(after_poll(ApiError::NotFound), (Phase::Accepted, Effect::PollAfter(_))));
    let mut old = batch(Phase::Accepted);
    old.submitted_at = Some(now() - chrono::TimeDelta::seconds(61));
    let (phase, effect) = step(&old, Event::PollFailed(ApiError::NotFound), at(9)).unwrap();
    assert_eq!(phase, Phase::Lost);
    assert!(matches!(effect, Effect::Lose(..)));
}

#[test]
fn results_that_never_come_are_given_up_after_a_day() {
    let mut old = batch(Phase::Accepted);
    old.accepted_at = Some(now() - chrono::TimeDelta::hours(25));
    assert_eq!(step(&old, Event::Waiting(Some("odd")), at(9)).unwrap().0, Phase::Lost);
    assert_eq!(step(&old, Event::PollFailed(lost()), at(9)).unwrap().0, Phase::Lost);
}

#[test]
fn a_poll_that_fails_never_loses_the_request() {
    for error in [lost(), refused(400), ApiError::Conflict, ApiError::Later { status: 503, after: None }] {
        assert!(matches!(after_poll(error), (Phase::Accepted, Effect::PollAfter(_))));
    }
}

#[test]
fn what_a_phase_does_not_allow_is_a_bug_and_never_guessed() {
    let events = || {
        [
            Event::Due,
            Event::Interrupted,
            Event::Accepted(accepted()),
            Event::SubmitFailed(lost()),
            Event::Waiting(None),
            Event::Results(results()),
            Event::PollFailed(lost()),
        ]
    };
    for phase in [Phase::Completed, Phase::Refused, Phase::Lost, Phase::Superseded] {
        for event in events() {
            assert!(step(&batch(phase), event, at(0)).is_err());
        }
    }
    assert!(step(&batch(Phase::Pending), Event::Accepted(accepted()), at(0)).is_err());
    assert!(step(&batch(Phase::Accepted), Event::Due, at(0)).is_err());
}

#[test]
fn every_unfinished_record_implies_an_event_that_its_phase_allows() {
    for phase in [Phase::Pending, Phase::Submitting, Phase::Accepted] {
        let record = batch(phase);
        assert!(step(&record, resumed(&record), at(0)).is_ok());
    }
}
