use chrono::{NaiveDate, TimeZone};

use super::super::Settings;
use super::super::script::{FailOn, Fault, GroupSeed, On, Rule, Script};
use super::*;
use crate::clock::Clock;
use crate::roster::Origin;
use crate::roster::ids::{ReferenceId, RunId, SourceName};
use crate::roster::member::{Member, Texts};

const DELAY: Duration = Duration::from_secs(10);

fn entry(reference_id: &str) -> Entry {
    let plan_id = PlanId::parse("pln_gold").unwrap();
    let member = Member::new(
        ReferenceId::parse(reference_id).unwrap(),
        plan_id.clone(),
        NaiveDate::from_ymd_opt(1988, 2, 29).unwrap(),
        &Texts {
            first_name: "Ana",
            last_name: "Ruiz",
            phone: None,
            email: Some(&format!("{}@corp.example", reference_id.to_lowercase())),
            address_line_1: "9 Elm St",
            address_line_2: Some("Unit 3"),
            city: "Erie",
            state: "PA",
            zipcode: "16501",
        },
    );
    let origin = Origin { source: SourceName::parse("hris").unwrap(), run: RunId::parse("run-1").unwrap(), line: 2 };
    Entry { member, origin, subscribed_plan: plan_id }
}

fn desk() -> (Sandbox, InMemory, GroupId) {
    let mut script = Script { delay: DELAY, ..Script::default() };
    script.groups.push(GroupSeed { reference: "sales".into(), name: "Sales".into() });
    let start = Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap();
    let sandbox = Sandbox::new(Settings { script, clock: Clock::simulated(start) });
    let group = GroupId::parse(&sandbox.groups()[0].id).unwrap();
    (sandbox.clone(), sandbox.in_memory(), group)
}

fn members(ids: &[&str]) -> Arc<Vec<Entry>> {
    Arc::new(ids.iter().map(|id| entry(id)).collect())
}

#[tokio::test(start_paused = true)]
async fn a_roster_goes_the_whole_way() {
    let (sandbox, client, group) = desk();
    let accepted = client.submit(&group, members(&["E1", "E2"])).await.unwrap();
    assert_eq!(client.results(&group, &accepted.request_id).await.unwrap(), Progress::Under(None));
    tokio::time::advance(DELAY).await;
    let Progress::Done(results) = client.results(&group, &accepted.request_id).await.unwrap() else { panic!() };
    assert_eq!((results.added, results.removed, results.failures.len()), (2, 0, 0));
    assert_eq!(results.completed_at, accepted.accepted_at + DELAY);
    let stored = &sandbox.roster("sales")["E1"];
    assert_eq!(stored["address"]["address_line_2"], "Unit 3");
    assert!(stored.get("phone").is_none());

    sandbox.fail_next("E2", FailOn::Remove, "not now");
    let accepted = client.submit(&group, members(&["E1"])).await.unwrap();
    tokio::time::advance(DELAY).await;
    let Progress::Done(results) = client.results(&group, &accepted.request_id).await.unwrap() else { panic!() };
    assert_eq!(results.failures[0].operation, Operation::Remove);
    assert_eq!(sandbox.audit(), []);
}

#[tokio::test(start_paused = true)]
async fn groups_and_plans_are_read_over_all_pages() {
    let (sandbox, client, group) = desk();
    for n in 0..205 {
        sandbox.add_group(&format!("g{n}"), "G");
    }
    assert_eq!(client.groups().await.unwrap().len(), 206);
    assert_eq!(client.plans().await.unwrap().len(), 2);
    let reference = GroupRef::parse("sales-east").unwrap();
    let changed = client.update_group(&group, None, Some(&reference)).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.external_reference_id.as_ref()), ("Sales", Some(&reference)));
    assert_eq!(client.group(&group).await.unwrap(), changed);
    assert_eq!(client.create_group(&reference, "Again").await, Err(ApiError::Conflict));
    let made = client.create_group(&GroupRef::parse("new").unwrap(), "New").await.unwrap();
    assert_eq!(client.group(&made.id).await.unwrap(), made);
}

#[tokio::test(start_paused = true)]
async fn faults_become_the_errors_that_a_client_over_http_would_see() {
    let (sandbox, client, group) = desk();
    let lost = |error: &ApiError| matches!(error, ApiError::AnswerLost { .. });
    let later = |error: &ApiError| matches!(error, ApiError::Later { .. });
    for fault in [
        Fault::Error500,
        Fault::Error502,
        Fault::Error503,
        Fault::Html502,
        Fault::Reset,
        Fault::AcceptThenReset,
        Fault::AcceptThen502,
        Fault::BrokenJson,
        Fault::HalfAnswer,
        Fault::Slow,
        Fault::WrongGroup,
    ] {
        sandbox.misbehave(Rule::new(On::Submit, fault)).unwrap();
        let error = client.submit(&group, members(&["E1"])).await.unwrap_err();
        assert!(lost(&error), "{fault:?}: {error:?}");
    }
    sandbox.misbehave(Rule::new(On::List, Fault::Error500)).unwrap();
    assert!(later(&client.groups().await.unwrap_err()), "reading can be repeated");
    for (fault, after) in [
        (Fault::RateLimitedSeconds, Some(3)),
        (Fault::RateLimitedDate, Some(3)),
        (Fault::RateLimitedReset, Some(3)),
        (Fault::RateLimitedBare, None),
    ] {
        sandbox.misbehave(Rule::new(On::Submit, fault).after(Duration::from_secs(3))).unwrap();
        let ApiError::Later { after: found, .. } = client.submit(&group, members(&[])).await.unwrap_err() else {
            panic!("{fault:?}")
        };
        // Hints in whole seconds are rounded up: the clock of a test may stand between two.
        let seconds = found.map(|wait| wait.as_secs_f64().ceil());
        assert!(seconds.zip(after.map(f64::from)).is_none_or(|(found, after)| (after..=after + 1.0).contains(&found)));
        assert_eq!(seconds.is_some(), after.is_some(), "{fault:?}");
    }
    sandbox.misbehave(Rule::new(On::Submit, Fault::Nested401)).unwrap();
    assert_eq!(client.submit(&group, members(&[])).await, Err(ApiError::Unauthorized { status: 401 }));
    let ApiError::Refused { status, message, trace_id } =
        client.submit(&group, members(&["E1", "E1"])).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((status, message.as_str()), (400, "members[1].reference_id is there twice"));
    assert!(trace_id.is_some());
    let nowhere = GroupId::parse("grp_nowhere").unwrap();
    assert_eq!(client.group(&nowhere).await, Err(ApiError::NotFound));
    sandbox.accept_only(vec![SecretString::from("vit_apk_other")]);
    assert_eq!(client.plans().await, Err(ApiError::Unauthorized { status: 401 }));
}

#[tokio::test(start_paused = true)]
async fn odd_polls_are_not_final() {
    let (sandbox, client, group) = desk();
    let accepted = client.submit(&group, members(&["E1"])).await.unwrap();
    tokio::time::advance(DELAY).await;
    for fault in [Fault::NoResults, Fault::NoCompletedAt, Fault::WrongGroup] {
        sandbox.misbehave(Rule::new(On::Poll, fault)).unwrap();
        let progress = client.results(&group, &accepted.request_id).await.unwrap();
        assert!(matches!(progress, Progress::Under(Some(_))), "{fault:?}");
    }
    assert!(matches!(client.results(&group, &accepted.request_id).await.unwrap(), Progress::Done(_)));
}
