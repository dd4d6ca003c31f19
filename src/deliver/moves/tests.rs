use super::*;
use crate::report::MovedOut;
use crate::roster::Origin;
use crate::roster::ids::{PlanId, RunId, SourceName};
use crate::roster::member::{Member, Texts};

fn at() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn id(text: &str) -> ReferenceId {
    ReferenceId::parse(text).unwrap()
}

fn group(text: &str) -> GroupRef {
    GroupRef::parse(text).unwrap()
}

fn on_plan(text: &str, plan: &str) -> Entry {
    let plan = PlanId::parse(plan).unwrap();
    let texts = Texts {
        first_name: "Ana",
        last_name: "Ruiz",
        phone: None,
        email: None,
        address_line_1: "9 Elm St",
        address_line_2: None,
        city: "Erie",
        state: "PA",
        zipcode: "16501",
    };
    let member = Member::new(id(text), plan.clone(), "1988-02-29".parse().unwrap(), &texts);
    let origin = Origin { source: SourceName::parse("hris").unwrap(), run: RunId::parse("run_1").unwrap(), line: 2 };
    Entry { member, origin, subscribed_plan: plan }
}

fn entries(ids: &[&str]) -> Vec<Entry> {
    ids.iter().map(|id| on_plan(id, "pln_basic")).collect()
}

fn roster(name: &str, ids: &[&str]) -> ConfirmedRoster {
    ConfirmedRoster::new(group(name), entries(ids), Vec::new(), at())
}

/// A roster of `acme` with these people, some of whom come from somewhere.
fn work(ids: &[&str], moves: &[(&str, &str)]) -> Work {
    let moves_in = moves
        .iter()
        .map(|(who, from)| Arrival {
            reference_id: id(who),
            from: group(from),
            left_at: None,
            gap_seconds: None,
            stays: None,
        })
        .collect();
    let pending = Batch::pending(
        BatchId::parse("bat_1").unwrap(),
        RunId::parse("run_1").unwrap(),
        group("acme"),
        ids.len(),
        Some(1),
    );
    Work { batch: Batch { moves_in, ..pending }, payload: entries(ids) }
}

/// `acme` has these members, and each other group these.
fn scene(acme: &[&str], others: &[(&str, Holding)]) -> Scene {
    Scene {
        confirmed: Some(roster("acme", acme)),
        is_in_doubt: false,
        others: others.iter().map(|(name, holding)| (group(name), holding.clone())).collect(),
        paused: BTreeSet::new(),
        part: None,
        now: at(),
    }
}

fn holding(name: &str, confirmed: &[&str], last: Option<&[&str]>) -> Holding {
    Holding { confirmed: Some(roster(name, confirmed)), in_flight: Vec::new(), last: last.map(entries) }
}

fn second() -> BatchId {
    BatchId::parse("bat_2").unwrap()
}

fn ids(work: &Work) -> Vec<&str> {
    work.payload.iter().map(|entry| entry.member.reference_id.as_str()).collect()
}

#[track_caller]
fn whole(readiness: Readiness) -> Work {
    let Readiness::Whole(work) = readiness else { panic!("not whole: {readiness:?}") };
    work
}

#[track_caller]
fn parts(readiness: Readiness) -> (Work, Work) {
    let Readiness::Parts(parts) = readiness else { panic!("not in parts: {readiness:?}") };
    *parts
}

#[test]
fn whoever_has_left_is_added() {
    let scene = scene(&["E1"], &[("bolt", holding("bolt", &["E8"], None))]);
    let ready = whole(ready(work(&["E1", "E9"], &[("E9", "bolt")]), &scene, second()));
    assert_eq!(ids(&ready), ["E1", "E9"]);
    assert_eq!(ready.batch.moves_in.len(), 1);
}

#[test]
fn whoever_may_be_on_a_roster_without_results_has_not_left() {
    let mut bolt = holding("bolt", &["E8"], Some(&["E8"]));
    bolt.in_flight = entries(&["E9"]);
    let scene = scene(&["E1"], &[("bolt", bolt)]);
    assert_eq!(ready(work(&["E1", "E9"], &[("E9", "bolt")]), &scene, second()), Readiness::Waits);
}

#[test]
fn a_roster_whose_other_people_change_goes_in_two_parts() {
    let scene = scene(&["E1", "E2"], &[("bolt", holding("bolt", &["E8", "E9"], Some(&["E2", "E8"])))]);
    let work = work(&["E1", "E9"], &[("E9", "bolt")]);
    let (now, then) = parts(ready(work.clone(), &scene, second()));
    // E2 goes to bolt: unless they leave first, nobody of the two ever gets on.
    assert_eq!((ids(&now), ids(&then)), (vec!["E1"], vec!["E1", "E9"]));
    assert_eq!(now.batch.moves_in, []);
    assert_eq!((&then.batch.follows, &then.batch.moves_in), (&Some(now.batch.batch.clone()), &work.batch.moves_in));
    assert_eq!((now.batch.planned_removals, then.batch.planned_removals), (Some(1), Some(1)));
}

#[test]
fn whoever_stays_where_they_are_is_taken_out_and_named() {
    for last in [None, Some(&["E8", "E9"][..])] {
        let scene = scene(&["E1"], &[("bolt", holding("bolt", &["E8", "E9"], last))]);
        let ready = whole(ready(work(&["E1", "E9"], &[("E9", "bolt")]), &scene, second()));
        assert_eq!(ids(&ready), ["E1"]);
        assert_eq!(ready.batch.failures.len(), 1);
        assert_eq!((ready.batch.failures[0].operation.as_str(), ready.batch.members), (MOVE, 1));
        assert!(ready.batch.moves_in[0].stays.as_ref().unwrap().contains("bolt"));
    }
}

#[test]
fn a_roster_of_which_nobody_is_left_removes_nobody() {
    let scene = Scene { confirmed: None, ..scene(&[], &[("bolt", holding("bolt", &["E9"], None))]) };
    let readiness = ready(work(&["E9"], &[("E9", "bolt")]), &scene, second());
    assert!(matches!(readiness, Readiness::Nobody(_)), "{readiness:?}");
}

#[test]
fn nobody_leaves_for_a_group_that_is_paused() {
    let mut leaving = work(&["E1"], &[]);
    leaving.batch.moves_out = vec![MovedOut { reference_id: id("E2"), to: group("bolt") }];
    let scene = Scene { paused: BTreeSet::from([group("bolt")]), ..scene(&["E1", "E2"], &[]) };
    let ready = whole(ready(leaving, &scene, second()));
    assert_eq!(ids(&ready), ["E1", "E2"]);
    assert_eq!((ready.batch.moves_out.len(), ready.batch.failures.len()), (0, 1));
}

#[test]
fn a_new_plan_is_a_leaving_and_a_joining() {
    let mut wanted = work(&["E1", "E2"], &[("E2", "acme")]);
    wanted.payload[1] = on_plan("E2", "pln_gold");
    let (now, then) = parts(ready(wanted.clone(), &scene(&["E1", "E2"], &[]), second()));
    assert_eq!((ids(&now), now.batch.planned_removals), (vec!["E1"], Some(2)));
    let joined = whole(ready(then.clone(), &scene(&["E1"], &[]), second()));
    assert_eq!(joined.payload, wanted.payload);

    // The removal was not made: on the former plan, and not removed in vain for ever.
    let part = Some(Batch { phase: Phase::Completed, completed_at: Some(at()), ..now.batch });
    let stays = whole(ready(then, &Scene { part, ..scene(&["E1", "E2"], &[]) }, second()));
    assert_eq!(ids(&stays), ["E1", "E2"]);
    assert_eq!(stays.payload[1].subscribed_plan.as_str(), "pln_basic");
    assert_eq!(stays.payload[1].member.plan_id.as_str(), "pln_gold");
    assert_eq!(stays.batch.failures.len(), 1);
}

#[test]
fn a_first_part_that_ended_is_not_sent_again_at_once() {
    let bolt = || holding("bolt", &["E9"], Some(&[]));
    let moves = [("E7", "cord"), ("E9", "bolt")];
    let cord = || holding("cord", &["E6"], None);
    let first = scene(&["E1"], &[("bolt", bolt()), ("cord", cord())]);
    let (now, then) = parts(ready(work(&["E1", "E7", "E9"], &moves), &first, second()));
    assert_eq!(ids(&now), ["E1", "E7"]);
    // E7 could not be added.
    let part = Some(Batch { phase: Phase::Completed, completed_at: Some(at()), ..now.batch });
    let after = Scene { part, ..first };
    assert_eq!(ready(then.clone(), &after, second()), Readiness::Waits);
    let later = Scene { now: at() + pace::before_again(1), ..after };
    let (again, _) = parts(ready(then, &later, BatchId::parse("bat_3").unwrap()));
    assert_eq!((ids(&again), again.batch.again), (vec!["E1", "E7"], 1));
}
