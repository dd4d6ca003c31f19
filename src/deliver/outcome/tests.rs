use super::*;
use crate::api::{MemberFailure, Operation};
use crate::roster::Origin;
use crate::roster::ids::{PlanId, RunId, SourceName};
use crate::roster::member::{Member, Texts};
use crate::store::ChangeKind;

fn at() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn entry(id: &str, last_name: &str) -> Entry {
    let plan = PlanId::parse("pln_gold").unwrap();
    Entry {
        member: Member::new(
            ReferenceId::parse(id).unwrap(),
            plan.clone(),
            "1988-02-29".parse().unwrap(),
            &Texts {
                first_name: "Ana",
                last_name,
                phone: None,
                email: None,
                address_line_1: "9 Elm St",
                address_line_2: None,
                city: "Erie",
                state: "PA",
                zipcode: "16501",
            },
        ),
        origin: Origin { source: SourceName::parse("hris").unwrap(), run: RunId::parse("run_1").unwrap(), line: 2 },
        subscribed_plan: plan,
    }
}

fn group() -> GroupRef {
    GroupRef::parse("acme").unwrap()
}

fn confirmed(ids: &[&str], former: &[&str]) -> ConfirmedRoster {
    let members = ids.iter().map(|id| entry(id, "Ruiz")).collect();
    ConfirmedRoster::new(group(), members, former.iter().map(|id| ReferenceId::parse(id).unwrap()).collect(), at())
}

fn results(failures: &[(&str, Operation)]) -> Results {
    let failure = |(id, operation): &(&str, Operation)| MemberFailure {
        reference_id: (*id).to_owned(),
        operation: operation.clone(),
        reason: "no".to_owned(),
    };
    Results { completed_at: at(), added: 0, removed: 0, failures: failures.iter().map(failure).collect() }
}

fn ids(outcome: &Outcome) -> Vec<&str> {
    outcome.roster.members().iter().map(|entry| entry.member.reference_id.as_str()).collect()
}

fn kinds(outcome: &Outcome) -> Vec<(&str, ChangeKind)> {
    outcome.changes.changes().iter().map(|change| (change.reference_id.as_str(), change.kind())).collect()
}

#[test]
fn what_did_not_fail_happened() {
    let before = confirmed(&["E1", "E2", "E3"], &["E5"]);
    let payload = [entry("E1", "Ruiz"), entry("E2", "Lee"), entry("E4", "Kim"), entry("E5", "Ray")];
    let outcome = outcome(&group(), Some(&before), &payload, &results(&[]), at());
    assert_eq!(ids(&outcome), ["E1", "E2", "E4", "E5"]);
    assert_eq!(
        kinds(&outcome),
        [
            ("E2", ChangeKind::Changed),
            ("E3", ChangeKind::Removed),
            ("E4", ChangeKind::Added),
            ("E5", ChangeKind::Returned)
        ]
    );
    assert_eq!(outcome.roster.former(), [ReferenceId::parse("E3").unwrap()]);
}

#[test]
fn a_failed_add_is_not_covered_and_a_failed_removal_still_is() {
    let before = confirmed(&["E1", "E2"], &[]);
    let payload = [entry("E1", "Ruiz"), entry("E3", "Kim")];
    let failures = results(&[("E3", Operation::Add), ("E2", Operation::Remove)]);
    let outcome = outcome(&group(), Some(&before), &payload, &failures, at());
    assert_eq!(ids(&outcome), ["E1", "E2"]);
    assert_eq!(kinds(&outcome), [("E2", ChangeKind::RemoveFailed), ("E3", ChangeKind::AddFailed)]);
    assert!(outcome.roster.former().is_empty());
}

#[test]
fn a_failure_of_a_known_member_keeps_the_former_record_so_that_it_is_tried_again() {
    let before = confirmed(&["E1"], &[]);
    let unknown = results(&[("E1", Operation::Other("update".to_owned()))]);
    let outcome = outcome(&group(), Some(&before), &[entry("E1", "Lee")], &unknown, at());
    assert_eq!(outcome.roster.members(), before.members());
    assert_eq!(outcome.changes.changes(), []);
}

#[test]
fn a_failure_of_somebody_unheard_of_changes_nothing() {
    let before = confirmed(&["E1"], &[]);
    let outcome =
        outcome(&group(), Some(&before), &[entry("E1", "Ruiz")], &results(&[("E9", Operation::Remove)]), at());
    assert_eq!(outcome.roster, before);
}

#[test]
fn a_lost_answer_that_did_its_work_converges() {
    // The first request added E2 and its answer was lost; the second reports nothing added, and E2 counts as added all the same.
    let before = confirmed(&["E1"], &[]);
    let payload = [entry("E1", "Ruiz"), entry("E2", "Kim")];
    let outcome = outcome(&group(), Some(&before), &payload, &results(&[]), at());
    assert_eq!(ids(&outcome), ["E1", "E2"]);
}

proptest::proptest! {
    #[test]
    fn everybody_is_either_covered_or_accounted_for(
        before in proptest::collection::btree_set(0u8..12, 0..12),
        payload in proptest::collection::btree_set(0u8..12, 0..12),
        failed in proptest::collection::btree_set(0u8..12, 0..6),
    ) {
        let name = |id: &u8| format!("E{id:02}");
        let before_ids: Vec<String> = before.iter().map(name).collect();
        let roster = confirmed(&before_ids.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let sent: Vec<Entry> = payload.iter().map(|id| entry(&name(id), "Lee")).collect();
        let failures = results(&failed.iter().map(|id| (name(id), Operation::Add)).collect::<Vec<_>>().iter()
            .map(|(id, operation)| (id.as_str(), operation.clone())).collect::<Vec<_>>());
        let outcome = outcome(&group(), Some(&roster), &sent, &failures, at());
        for id in 0u8..12 {
            let expected = match (before.contains(&id), payload.contains(&id), failed.contains(&id)) {
                (false, sent, has_failed) => sent && !has_failed,
                (true, sent, has_failed) => sent || has_failed,
            };
            let id = ReferenceId::parse(&name(&id)).unwrap();
            proptest::prop_assert_eq!(outcome.roster.get(&id).is_some(), expected);
        }
    }
}
