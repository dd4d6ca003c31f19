use super::*;
use crate::report::Trigger;
use crate::roster::ids::SourceName;
use crate::store::doubt::Doubt;

fn hris() -> SourceName {
    SourceName::parse("hris").unwrap()
}

/// A store with the confirmed group `acme`, an open batch of `beta`, and both in doubt.
fn doubtful() -> (tempfile::TempDir, Store) {
    let (dir, store) = open();
    store.put_group(&group_record("acme")).unwrap();
    accept(&store, "run_1", "bat_1");
    settle(&store, "bat_1", "run_1");
    store.accept(&run("run_2", &["bat_2"]), vec![work("bat_2", "run_2", "beta")], &source(Some("run_2"))).unwrap();
    store.mark_doubtful("a test says so", [hris()], time(5)).unwrap();
    (dir, store)
}

fn settle(store: &Store, batch: &str, run: &str) {
    let batch = in_phase(batch, run, Phase::Completed);
    let roster = Some(roster("acme", &["E1"]));
    store.settle(&Settlement::unchanged(batch, roster)).unwrap();
}

fn approved(id: &str, batches: &[&str]) -> RunRecord {
    let mut record = run(id, batches);
    record.run.trigger = Trigger::Approve;
    record
}

fn doubt(store: &Store) -> Doubt {
    store.doubt().unwrap().unwrap()
}

fn groups_of(doubt: &Doubt) -> Vec<&str> {
    doubt.groups.iter().map(GroupRef::as_str).collect()
}

#[test]
fn a_store_is_trusted_until_somebody_says_otherwise() {
    let (_dir, store) = open();
    assert!(store.is_blank().unwrap());
    accept(&store, "run_1", "bat_1");
    assert!(!store.is_blank().unwrap());
    assert_eq!(store.doubt().unwrap(), None);
    assert!(!store.is_doubtful(&group("acme")).unwrap() && !store.is_overtaken(&group("acme")).unwrap());
}

#[test]
fn a_doubt_is_about_everything_on_record_and_survives_a_restart() {
    let (dir, store) = doubtful();
    drop(store);
    let store = open_at(dir.path());
    let doubt = doubt(&store);
    assert_eq!((doubt.since, doubt.reason.as_str()), (time(5), "a test says so"));
    assert_eq!(groups_of(&doubt), ["acme", "beta"]);
    assert!(doubt.sources.contains(&hris()));
    assert!(store.is_overtaken(&group("beta")).unwrap());
    assert!(!store.is_blank().unwrap());
}

#[test]
fn a_group_that_is_first_heard_of_later_is_not_in_doubt() {
    let (_dir, store) = doubtful();
    store.put_group(&group_record("gamma")).unwrap();
    assert!(!store.is_doubtful(&group("gamma")).unwrap());
    store.put_group(&GroupRecord { name: "again".to_owned(), ..group_record("acme") }).unwrap();
    assert!(store.is_doubtful(&group("acme")).unwrap(), "what is written about a group confirms nothing");
}

#[test]
fn only_an_approved_run_may_send_to_a_group_in_doubt() {
    let (_dir, store) = doubtful();
    let work_of = |batch: &str, run: &str| vec![work(batch, run, "acme")];
    let unasked = store.accept(&run("run_3", &["bat_3"]), work_of("bat_3", "run_3"), &source(Some("run_3")));
    assert!(refused(&unasked));
    assert_eq!(store.run(&RunId::parse("run_3").unwrap()).unwrap().map(|record| record.run.run), None);
    store.accept(&approved("run_3", &["bat_3"]), work_of("bat_3", "run_3"), &source(Some("run_3"))).unwrap();
    assert!(doubt(&store).sources.is_empty(), "its source was approved");
    assert!(store.is_doubtful(&group("acme")).unwrap(), "an approval confirms nothing: results do");
    assert!(!store.is_overtaken(&group("acme")).unwrap(), "what was approved may be sent");
    settle(&store, "bat_3", "run_3");
    assert_eq!(groups_of(&doubt(&store)), ["beta"]);
}

#[test]
fn results_of_an_overtaken_batch_confirm_nothing() {
    let (_dir, store) = doubtful();
    let batch = Batch { phase: Phase::Completed, ..batch("bat_2", "run_2", "beta") };
    store.settle(&Settlement::unchanged(batch, Some(roster("beta", &["E1"])))).unwrap();
    assert!(store.is_doubtful(&group("beta")).unwrap());
}

#[test]
fn an_approved_roster_takes_the_place_of_an_overtaken_one_wherever_that_stands() {
    for phase in [Phase::Pending, Phase::Submitting, Phase::Accepted] {
        let (_dir, store) = open();
        accept(&store, "run_1", "bat_1");
        store.record_batch(&in_phase("bat_1", "run_1", Phase::Submitting)).unwrap();
        accept(&store, "run_2", "bat_2");
        store.record_batch(&in_phase("bat_1", "run_1", phase)).unwrap();
        store.mark_doubtful("a test says so", [hris()], time(5)).unwrap();
        let works = vec![work("bat_3", "run_3", "acme")];
        let superseded = store.accept(&approved("run_3", &["bat_3"]), works, &source(Some("run_3"))).unwrap();
        assert_eq!(ids(&superseded), ["bat_1", "bat_2"], "{phase:?}");
        assert_eq!(id_of(store.work(&group("acme")).unwrap()).as_deref(), Some("bat_3"));
        assert_eq!(store.next_work(&group("acme")).unwrap(), None);
        let abroad: Vec<_> = store.abroad(&group("acme")).unwrap();
        assert!(!abroad.is_empty(), "whom the overtaken one may have added is perhaps covered");
    }
}

#[test]
fn an_approval_without_a_newer_export_ends_no_doubt_about_its_source() {
    let (_dir, store) = doubtful();
    store.accept(&approved("run_3", &[]), vec![], &source(Some("run_2"))).unwrap();
    assert!(doubt(&store).sources.contains(&hris()));
}

#[test]
fn a_second_doubt_is_about_what_the_first_had_settled_too() {
    let (_dir, store) = doubtful();
    let works = vec![work("bat_3", "run_3", "acme")];
    store.accept(&approved("run_3", &["bat_3"]), works, &source(Some("run_3"))).unwrap();
    settle(&store, "bat_3", "run_3");
    store.mark_doubtful("once more", [SourceName::parse("payroll").unwrap()], time(9)).unwrap();
    let doubt = doubt(&store);
    assert_eq!(groups_of(&doubt), ["acme", "beta"]);
    assert_eq!(doubt.sources.len(), 1);
    assert!(doubt.has_overtaken(&BatchId::parse("bat_3").unwrap()));
    assert!(!doubt.has_overtaken(&BatchId::parse("bat_4").unwrap()));
}

#[test]
fn a_group_takes_its_doubt_along_when_it_is_renamed() {
    let (_dir, store) = doubtful();
    store.rename_group(&group("acme"), &group_record("delta")).unwrap();
    assert_eq!(groups_of(&doubt(&store)), ["beta", "delta"]);
    let works = vec![Work { batch: batch("bat_3", "run_3", "delta"), payload: vec![entry("E1")] }];
    store.accept(&approved("run_3", &["bat_3"]), works, &source(Some("run_3"))).unwrap();
    let batch = Batch { phase: Phase::Completed, ..batch("bat_3", "run_3", "delta") };
    store.settle(&Settlement::unchanged(batch, Some(roster("delta", &["E1"])))).unwrap();
    store.rename_group(&group("delta"), &group_record("epsilon")).unwrap();
    assert_eq!(groups_of(&doubt(&store)), ["beta"], "nor does it lose what was confirmed");
}
