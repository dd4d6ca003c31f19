use std::collections::{BTreeSet, HashSet};

use super::compact::Limits;
use super::trees::{Draft, Shelf, Trees};
use super::*;
use crate::report::{Phase, RunState};
use crate::roster::ids::BatchId;

mod corruption;
mod doubt;
mod opening;
pub(super) mod samples;
mod verify;

use samples::{batch, changes, entry, group, group_record, joined, roster, run, source, time, work};

pub(super) const URL: &str = "https://api.test";

/// Opens a state that this process may have had open just now: another test that starts a process lends it the lock for a moment.
fn try_open_at(dir: &Path, url: &str) -> Result<Store, StoreError> {
    loop {
        match Store::open(dir, url) {
            Err(error) if error.is_in_use() => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn open_at(dir: &Path) -> Store {
    try_open_at(dir, URL).unwrap()
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(dir.path());
    (dir, store)
}

/// Accepts a run with one batch for group `acme`.
fn accept(store: &Store, run_id: &str, batch_id: &str) -> Vec<Batch> {
    store.accept(&run(run_id, &[batch_id]), vec![work(batch_id, run_id, "acme")], &source(Some(run_id))).unwrap()
}

fn in_phase(id: &str, run: &str, phase: Phase) -> Batch {
    Batch { phase, attempts: 1, ..batch(id, run, "acme") }
}

fn ids(batches: &[Batch]) -> Vec<&str> {
    batches.iter().map(|batch| batch.batch.as_str()).collect()
}

fn id_of(work: Option<Work>) -> Option<String> {
    work.map(|work| work.batch.batch.as_str().to_owned())
}

fn refused<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::OutOfOrder { .. }))
}

#[test]
fn what_was_accepted_is_all_there_after_a_restart() {
    let (dir, store) = open();
    let two = vec![work("bat_1", "run_1", "acme"), work("bat_2", "run_1", "beta")];
    assert!(store.accept(&run("run_1", &["bat_1", "bat_2"]), two.clone(), &source(Some("run_1"))).unwrap().is_empty());
    drop(store);
    let store = open_at(dir.path());
    let record = store.run(&RunId::parse("run_1").unwrap()).unwrap().unwrap();
    assert_eq!(format!("{record:?}"), format!("{:?}", run("run_1", &["bat_1", "bat_2"])));
    assert_eq!(store.work(&group("acme")).unwrap().as_ref(), two.first());
    assert_eq!(store.work(&group("beta")).unwrap().as_ref(), two.get(1));
    assert_eq!(store.groups_with_work().unwrap(), [group("acme"), group("beta")]);
    assert_eq!(ids(&store.batches_of(&record.run.run).unwrap()), ["bat_1", "bat_2"]);
    let source = source(Some("run_1"));
    assert_eq!(store.source(&source.source).unwrap().unwrap(), source);
    assert_eq!(store.accepted(&source.source, &"ab".repeat(32)).unwrap().unwrap().as_str(), "run_1");
    assert_eq!(store.accepted(&source.source, &"cd".repeat(32)).unwrap(), None);
}

#[test]
fn a_recheck_does_not_take_the_content_from_the_run_that_accepted_it() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.accept(&run("run_2", &[]), vec![], &source(Some("run_1"))).unwrap();
    let accepted = store.accepted(&source(None).source, &"ab".repeat(32)).unwrap().unwrap();
    assert_eq!(accepted.as_str(), "run_1");
}

#[test]
fn a_newer_roster_takes_the_place_of_one_that_was_not_sent() {
    let (_dir, store) = open();
    assert!(accept(&store, "run_1", "bat_1").is_empty());
    let superseded = accept(&store, "run_2", "bat_2");
    assert_eq!(ids(&superseded), ["bat_1"]);
    assert_eq!(superseded[0].phase, Phase::Superseded);
    assert_eq!(superseded[0].completed_at, Some(time(0)));
    assert_eq!(store.batch(&superseded[0].batch).unwrap().as_ref(), superseded.first());
    assert_eq!(id_of(store.work(&group("acme")).unwrap()).as_deref(), Some("bat_2"));
    assert_eq!(store.next_work(&group("acme")).unwrap(), None);
    assert_eq!(store.last_batch(&group("acme")).unwrap().unwrap().batch.as_str(), "bat_2");
}

#[test]
fn a_newer_roster_waits_behind_one_that_may_have_left_and_the_latest_wins() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Submitting)).unwrap();
    assert!(accept(&store, "run_2", "bat_2").is_empty());
    assert_eq!(ids(&accept(&store, "run_3", "bat_3")), ["bat_2"]);
    assert_eq!(id_of(store.work(&group("acme")).unwrap()).as_deref(), Some("bat_1"));
    assert_eq!(id_of(store.next_work(&group("acme")).unwrap()).as_deref(), Some("bat_3"));
    // Back to pending (nothing reached the API): the newest takes the place of both.
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Pending)).unwrap();
    assert_eq!(ids(&accept(&store, "run_4", "bat_4")), ["bat_1", "bat_3"]);
    assert_eq!(id_of(store.work(&group("acme")).unwrap()).as_deref(), Some("bat_4"));
    assert_eq!(store.next_work(&group("acme")).unwrap(), None);
}

#[test]
fn a_settlement_confirms_the_roster_and_opens_what_waited() {
    let (dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Accepted)).unwrap();
    accept(&store, "run_2", "bat_2");
    let settlement = Settlement {
        batch: in_phase("bat_1", "run_1", Phase::Completed),
        roster: Some(roster("acme", &["E2", "E1"])),
        changes: changes(),
        pause: None,
    };
    let next = store.settle(&settlement).unwrap().unwrap();
    assert_eq!(next, work("bat_2", "run_2", "acme"));
    drop(store);
    let store = open_at(dir.path());
    assert_eq!(store.work(&group("acme")).unwrap(), Some(next));
    assert_eq!(store.next_work(&group("acme")).unwrap(), None);
    assert_eq!(store.roster(&group("acme")).unwrap(), settlement.roster);
    assert_eq!(store.changes(&settlement.batch.batch).unwrap(), changes());
    assert_eq!(store.batch(&settlement.batch.batch).unwrap(), Some(settlement.batch));
    let last = Settlement::unchanged(in_phase("bat_2", "run_2", Phase::Completed), None);
    assert_eq!(store.settle(&last).unwrap(), None);
    assert_eq!(store.groups_with_work().unwrap(), []);
    assert_eq!(ids(&store.batches_of_group(&group("acme")).unwrap()), ["bat_1", "bat_2"]);
}

#[test]
fn a_lost_batch_leaves_the_roster_and_opens_what_waited() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let confirmed = in_phase("bat_1", "run_1", Phase::Completed);
    let before = Some(roster("acme", &["E1"]));
    store.settle(&Settlement::unchanged(confirmed, before.clone())).unwrap();
    accept(&store, "run_2", "bat_2");
    store.record_batch(&in_phase("bat_2", "run_2", Phase::Accepted)).unwrap();
    accept(&store, "run_3", "bat_3");
    let next = store.replace_open(&in_phase("bat_2", "run_2", Phase::Lost), None).unwrap();
    assert_eq!(id_of(next).as_deref(), Some("bat_3"));
    assert_eq!(store.roster(&group("acme")).unwrap(), before);
}

#[test]
fn writes_out_of_order_are_refused_and_change_nothing() {
    let (_dir, store) = open();
    assert!(refused(&store.record_batch(&in_phase("bat_1", "run_1", Phase::Submitting))));
    let twice = vec![work("bat_1", "run_1", "acme"), work("bat_2", "run_1", "acme")];
    assert!(refused(&store.accept(&run("run_1", &[]), twice, &source(None))));
    let sent = Work { batch: in_phase("bat_1", "run_1", Phase::Accepted), payload: vec![] };
    assert!(refused(&store.accept(&run("run_1", &[]), vec![sent], &source(None))));
    assert_eq!(store.last_ids().unwrap(), (None, None));

    accept(&store, "run_1", "bat_1");
    assert!(refused(&store.accept(&run("run_2", &[]), vec![work("bat_1", "run_2", "beta")], &source(None))));
    assert!(refused(&store.record_batch(&in_phase("bat_1", "run_1", Phase::Completed))));
    assert!(refused(&store.record_batch(&in_phase("bat_9", "run_1", Phase::Submitting))));
    let open = in_phase("bat_1", "run_1", Phase::Accepted);
    assert!(refused(&store.settle(&Settlement::unchanged(open, None))));
    let batch = in_phase("bat_1", "run_1", Phase::Completed);
    assert!(refused(&store.settle(&Settlement::unchanged(batch, Some(roster("beta", &[]))))));
    assert_eq!(store.work(&group("acme")).unwrap(), Some(work("bat_1", "run_1", "acme")));
    assert_eq!(store.roster_groups().unwrap(), []);
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    let (_dir, store) = open();
    for n in 1..=5 {
        accept(&store, &format!("run_2026{n}"), &format!("bat_{n}"));
    }
    let mut held = run("run_20266", &[]);
    held.run.state = RunState::Held;
    held.run.received_at = time(60);
    held.run.source = SourceName::parse("other").unwrap();
    held.run.guards.clear();
    store.put_run(&held).unwrap();
    let list = |filter: RunFilter, limit| {
        let runs = store.runs(&filter, limit).unwrap();
        runs.iter().map(|run| run.run.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(RunFilter::default(), 2), ["run_20266", "run_20265"]);
    assert_eq!(list(RunFilter { state: Some(RunState::Held), ..RunFilter::default() }, 9), ["run_20266"]);
    assert_eq!(list(RunFilter { since: Some(time(30)), ..RunFilter::default() }, 9), ["run_20266"]);
    assert_eq!(list(RunFilter { source: Some(held.run.source), ..RunFilter::default() }, 9), ["run_20266"]);
    assert_eq!(list(RunFilter { group: Some(group("acme")), ..RunFilter::default() }, 9).len(), 5);
    assert_eq!(list(RunFilter { group: Some(group("acm")), ..RunFilter::default() }, 9).len(), 0);
    assert_eq!(list(RunFilter { group: Some(group("guarded")), ..RunFilter::default() }, 1), ["run_20265"]);
}

#[test]
fn typed_ids_are_found_with_and_without_their_prefix() {
    let (_dir, store) = open();
    accept(&store, "run_20261", "bat_20261");
    accept(&store, "run_20262", "bat_20262");
    assert_eq!(store.find_run("run_2026").unwrap().len(), 2);
    assert_eq!(store.find_run("20262").unwrap(), [RunId::parse("run_20262").unwrap()]);
    assert_eq!(store.find_batch("20261").unwrap(), [BatchId::parse("bat_20261").unwrap()]);
    assert!(store.find_batch("bat_3").unwrap().is_empty());
    let (run, batch) = store.last_ids().unwrap();
    assert_eq!((run.unwrap().as_str(), batch.unwrap().as_str()), ("run_20262", "bat_20262"));
}

#[test]
fn a_run_recorded_again_without_its_plan_keeps_it() {
    let (_dir, store) = open();
    store.put_run(&run("run_1", &[])).unwrap();
    let plan = run("run_1", &[]).plan;
    store.put_run(&RunRecord { plan: None, filed_as: None, ..run("run_1", &[]) }).unwrap();
    let record = store.run(&RunId::parse("run_1").unwrap()).unwrap().unwrap();
    assert_eq!((record.plan, record.filed_as), (plan, None));
}

#[test]
fn every_roster_is_visited_in_the_order_of_the_groups() {
    let (_dir, store) = open();
    let works = vec![work("bat_1", "run_1", "beta"), work("bat_2", "run_1", "acme")];
    store.accept(&run("run_1", &[]), works, &source(None)).unwrap();
    for (id, name) in [("bat_1", "beta"), ("bat_2", "acme")] {
        let batch = Batch { phase: Phase::Completed, ..batch(id, "run_1", name) };
        store.settle(&Settlement::unchanged(batch, Some(roster(name, &["E1"])))).unwrap();
    }
    let mut seen = Vec::new();
    store.each_roster(|roster| seen.push(roster)).unwrap();
    assert_eq!(seen, [roster("acme", &["E1"]), roster("beta", &["E1"])]);
}

#[test]
fn a_group_is_renamed_with_its_roster_but_not_while_a_batch_is_open() {
    let (_dir, store) = open();
    store.put_group(&group_record("acme")).unwrap();
    accept(&store, "run_1", "bat_1");
    assert!(refused(&store.rename_group(&group("acme"), &group_record("zeta"))));
    let batch = in_phase("bat_1", "run_1", Phase::Completed);
    store.settle(&Settlement::unchanged(batch, Some(roster("acme", &["E1"])))).unwrap();
    store.rename_group(&group("acme"), &group_record("zeta")).unwrap();
    assert_eq!(store.groups().unwrap(), [group_record("zeta")]);
    assert_eq!(store.roster(&group("acme")).unwrap(), None);
    assert_eq!(store.roster(&group("zeta")).unwrap(), Some(roster("zeta", &["E1"])));
    // Onto a reference that has a roster: refused. Another name alone: fine.
    assert!(refused(&store.rename_group(&group("beta"), &group_record("zeta"))));
    let named = GroupRecord { name: "Zeta".to_owned(), ..group_record("zeta") };
    store.rename_group(&group("zeta"), &named).unwrap();
    assert_eq!(store.group(&group("zeta")).unwrap(), Some(named));
    assert_eq!(store.roster(&group("zeta")).unwrap(), Some(roster("zeta", &["E1"])));
}

#[test]
fn old_runs_are_forgotten_but_not_what_is_open_or_what_was_accepted() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let done = Settlement {
        batch: in_phase("bat_1", "run_1", Phase::Completed),
        roster: None,
        changes: changes(),
        pause: None,
    };
    store.settle(&done).unwrap();
    accept(&store, "run_2", "bat_2");
    for id in ["run_1", "run_2", "run_3"] {
        let mut record = run(id, &[]);
        record.run.finished_at = Some(if id == "run_3" { time(99) } else { time(5) });
        store.put_run(&record).unwrap();
    }
    assert_eq!(store.forget_before(time(10)).unwrap(), 1);
    let left = store.runs(&RunFilter::default(), 9).unwrap();
    assert_eq!(left.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["run_3", "run_2"]);
    assert_eq!(store.batch(&done.batch.batch).unwrap(), None);
    assert_eq!(store.changes(&done.batch.batch).unwrap(), BatchChanges::default());
    assert_eq!(ids(&store.batches_of_group(&group("acme")).unwrap()), ["bat_2"]);
    assert_eq!(store.accepted(&source(None).source, &"ab".repeat(32)).unwrap().unwrap().as_str(), "run_2");
}

#[test]
fn the_last_accepted_export_of_a_source_is_not_forgotten_however_old_it_is() {
    let (_dir, store) = open();
    for id in ["run_1", "run_2"] {
        let mut record = run(id, &[]);
        record.run.finished_at = Some(time(5));
        store.put_run(&record).unwrap();
    }
    store.put_source(&source(Some("run_1"))).unwrap();
    assert_eq!(store.forget_before(time(10)).unwrap(), 1);
    let left = store.runs(&RunFilter::default(), 9).unwrap();
    assert_eq!(left.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["run_1"]);
}

#[test]
fn debug_and_error_texts_name_nobody() {
    let (_dir, store) = open();
    let text = format!("{:?} {:?} {store:?}", work("bat_1", "run_1", "acme"), changes());
    assert!(!text.contains("Quillfeather") && !text.contains("Nowhere") && !text.contains("5550123"));
    let trees = &store.inner.trees;
    let writing = trees.write();
    let mut draft = Draft::default();
    let sealed =
        envelope::seal(envelope::Kind::Group, b"acme", &zstd::bulk::compress(b"{\"Quillfeather\":1}", 1).unwrap());
    writing.put(&mut draft, Shelf::Groups, b"acme", &sealed).unwrap();
    writing.commit(&draft).unwrap();
    let error = store.group(&group("acme")).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }));
    assert!(!error.to_string().contains("Quillfeather"));
}

#[tokio::test]
async fn a_call_runs_on_another_thread_and_brings_its_answer_back() {
    let (_dir, store) = open();
    store.call(|store| store.put_group(&group_record("acme"))).await.unwrap();
    let groups = store.call(Store::groups).await.unwrap();
    assert_eq!(groups, [group_record("acme")]);
    assert!(0 < store.size());
    let mut entry = entry("E1");
    entry.origin.line = 3;
    assert_eq!(store.call(move |_| Ok(entry.origin.line)).await.unwrap(), 3);
}

#[test]
fn whom_a_roster_without_results_may_have_added_is_remembered_until_the_next_results() {
    let (dir, store) = open();
    let whom = |store: &Store| -> Vec<String> {
        let abroad = store.abroad(&group("acme")).unwrap();
        abroad.iter().map(|entry| entry.member.reference_id.to_string()).collect()
    };
    accept(&store, "run_1", "bat_1");
    accept(&store, "run_2", "bat_2");
    assert!(whom(&store).is_empty(), "bat_1 was never sent");
    store.record_batch(&in_phase("bat_2", "run_2", Phase::Submitting)).unwrap();
    store.record_batch(&in_phase("bat_2", "run_2", Phase::Pending)).unwrap();
    accept(&store, "run_3", "bat_3");
    assert_eq!(whom(&store), ["E1", "bat_2"]);
    store.replace_open(&in_phase("bat_3", "run_3", Phase::Lost), None).unwrap();
    drop(store);
    let store = open_at(dir.path());
    assert_eq!(whom(&store), ["E1", "bat_2", "bat_3"]);
    assert_eq!(store.groups_abroad().unwrap(), [group("acme")]);
    accept(&store, "run_4", "bat_4");
    let batch = in_phase("bat_4", "run_4", Phase::Completed);
    store.settle(&Settlement::unchanged(batch, Some(roster("acme", &["E1"])))).unwrap();
    assert!(whom(&store).is_empty());
    assert!(store.groups_abroad().unwrap().is_empty());
}

#[test]
fn whether_a_source_or_a_person_is_in_a_group_is_seen_wherever_the_roster_lies() {
    let (_dir, store) = open();
    let payroll = SourceName::parse("payroll").unwrap();
    let seen = |store: &Store| {
        let acme = group("acme");
        let has = |id: &'static str| store.has_any(&acme, &HashSet::from([id, "E999"])).unwrap();
        let owners = [SourceName::parse("hris").unwrap(), payroll.clone()]
            .map(|source| store.has_members_of(&acme, &source).unwrap());
        (owners, ["E1", "E2", "bat_1", "bat_2", "bat_3"].map(has))
    };
    assert_eq!(seen(&store), ([false, false], [false; 5]));
    accept(&store, "run_1", "bat_1");
    assert_eq!(seen(&store), ([true, false], [true, false, true, false, false]), "the open batch");
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Submitting)).unwrap();
    let mut next = work("bat_2", "run_2", "acme");
    next.payload[1].origin.source = payroll.clone();
    store.accept(&run("run_2", &["bat_2"]), vec![next], &source(Some("run_2"))).unwrap();
    assert_eq!(seen(&store), ([true, true], [true, false, true, true, false]), "what waits behind it, and may be sent");
    store.replace_open(&in_phase("bat_1", "run_1", Phase::Lost), None).unwrap();
    accept(&store, "run_3", "bat_3");
    assert_eq!(seen(&store), ([true, false], [true, false, true, false, true]), "what was lost may be in force");
    let batch = in_phase("bat_3", "run_3", Phase::Completed);
    store.settle(&Settlement::unchanged(batch, Some(roster("acme", &["E2"])))).unwrap();
    assert_eq!(seen(&store), ([true, false], [false, true, false, false, false]), "the confirmed roster");
}

/// As the kernel says it, and as sled hands it on.
#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::FBIG] {
        let said = std::io::Error::from_raw_os_error(errno.raw_os_error());
        let handed_on = std::io::Error::new(said.kind(), said.to_string());
        for error in [said, handed_on] {
            let error = StoreError::from(sled::Error::Io(error));
            assert!(matches!(error, StoreError::Full) && error.needs_restart(), "{error}");
        }
    }
}

#[test]
fn a_roster_that_was_refused_at_once_covers_nobody() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.replace_open(&in_phase("bat_1", "run_1", Phase::Refused), None).unwrap();
    assert!(store.abroad(&group("acme")).unwrap().is_empty());
}

#[test]
fn a_run_ends_with_the_last_of_its_batches_and_once() {
    let (_dir, store) = open();
    let works = vec![work("bat_1", "run_1", "acme"), work("bat_2", "run_1", "beta")];
    store.accept(&run("run_1", &["bat_1", "bat_2"]), works, &source(Some("run_1"))).unwrap();
    let id = RunId::parse("run_1").unwrap();
    let end = || {
        let ended = store.end_run(&id, |run| {
            run.state = RunState::Completed;
            Ok(())
        });
        ended.unwrap().map(|run| run.state)
    };
    for (batch, group) in [("bat_1", "acme"), ("bat_2", "beta")] {
        assert_eq!(end(), None, "{batch} is open");
        let batch = Batch { phase: Phase::Completed, attempts: 1, ..batch_of(batch, group) };
        store.settle(&Settlement::unchanged(batch, None)).unwrap();
    }
    assert_eq!(end(), Some(RunState::Completed));
    assert_eq!(end(), None);
    assert!(store.run(&id).unwrap().unwrap().plan.is_some(), "the plan stays");
}

fn batch_of(id: &str, group: &str) -> Batch {
    batch(id, "run_1", group)
}

#[test]
fn a_group_is_paused_together_with_the_results_that_pause_it() {
    let (_dir, store) = open();
    store.put_group(&GroupRecord { paused: None, ..group_record("acme") }).unwrap();
    accept(&store, "run_1", "bat_1");
    let settlement = Settlement {
        batch: in_phase("bat_1", "run_1", Phase::Completed),
        roster: None,
        changes: BatchChanges::default(),
        pause: Some("nobody planned that".to_owned()),
    };
    store.stop_after(0);
    store.settle(&settlement).unwrap_err();
    assert_eq!(store.group(&group("acme")).unwrap().unwrap().paused, None);
    store.stop_after(1);
    store.settle(&settlement).unwrap();
    assert_eq!(store.group(&group("acme")).unwrap().unwrap().paused, settlement.pause);
}

#[test]
fn an_accepted_export_does_not_take_back_that_a_schedule_fired() {
    let (_dir, store) = open();
    let before = source(Some("run_1"));
    store.put_source(&before).unwrap();
    let fire = |state: &mut SourceState| state.fired.extend([("resync".to_owned(), time(9))]);
    store.update_source(&before.source, fire).unwrap();
    store.accept(&run("run_1", &["bat_1"]), vec![work("bat_1", "run_1", "acme")], &before).unwrap();
    assert_eq!(store.source(&before.source).unwrap().unwrap().fired.get("resync"), Some(&time(9)));
}

#[test]
fn a_retry_hurries_a_waiting_batch_and_leaves_one_under_way_alone() {
    let (_dir, store) = open();
    assert_eq!(store.hasten(&group("acme")).unwrap(), None);
    accept(&store, "run_1", "bat_1");
    let waits = Batch { not_before: Some(time(60)), ..in_phase("bat_1", "run_1", Phase::Pending) };
    store.record_batch(&waits).unwrap();
    assert_eq!(store.hasten(&group("acme")).unwrap().unwrap().not_before, None);
    let sent = Batch { phase: Phase::Submitting, ..waits };
    store.record_batch(&sent).unwrap();
    assert_eq!(store.hasten(&group("acme")).unwrap(), Some(sent));
}

#[test]
fn the_open_work_goes_in_two_parts_together_or_not_at_all() {
    let (dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let mut now = work("bat_1", "run_1", "acme");
    now.payload.pop();
    let mut then = work("bat_2", "run_1", "acme");
    then.batch.follows = Some(now.batch.batch.clone());
    assert!(refused(&store.part_open(&work("bat_9", "run_1", "acme"), None)), "not the open one");
    store.part_open(&now, Some(&then)).unwrap();
    assert!(refused(&store.part_open(&now, Some(&work("bat_3", "run_1", "acme")))), "something waits already");
    drop(store);
    let store = open_at(dir.path());
    assert_eq!(store.work(&group("acme")).unwrap().unwrap(), now);
    assert_eq!(store.next_work(&group("acme")).unwrap().unwrap(), then);
    assert_eq!(ids(&store.batches_of(&RunId::parse("run_1").unwrap()).unwrap()), ["bat_1", "bat_2"]);

    // Once it may have left, its payload stays what it was.
    let sent = Batch { phase: Phase::Submitting, attempts: 1, ..now.batch.clone() };
    store.record_batch(&sent).unwrap();
    assert!(refused(&store.part_open(&now, None)));
    let ended = Batch { phase: Phase::Completed, ..sent };
    let settlement = Settlement::unchanged(ended, None);
    // What waits goes before what would take its place.
    let next = store.settle_with(&settlement, Some(work("bat_4", "run_1", "acme"))).unwrap();
    assert_eq!(id_of(next).as_deref(), Some("bat_2"));
}

#[test]
fn a_settlement_stands_although_what_waits_behind_it_is_damaged() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Submitting)).unwrap();
    accept(&store, "run_2", "bat_2");
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Payloads, b"bat_2", b"damaged").unwrap();
    writing.commit(&draft).unwrap();
    let batch = in_phase("bat_1", "run_1", Phase::Completed);
    let settlement = Settlement::unchanged(batch.clone(), None);
    assert!(store.settle(&settlement).is_err());
    assert_eq!(store.batch(&batch.batch).unwrap(), Some(batch));
    assert_eq!(store.open_batch(&group("acme")).unwrap().map(|open| open.batch.to_string()).as_deref(), Some("bat_2"));
}

#[test]
fn a_run_does_not_wait_for_people_who_are_tried_again() {
    let (_dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let ended = in_phase("bat_1", "run_1", Phase::Completed);
    let mut again = work("bat_2", "run_1", "acme");
    again.batch.again = 1;
    let settlement = Settlement::unchanged(ended, None);
    store.settle_with(&settlement, Some(again)).unwrap();
    assert!(store.undelivered(&RunId::parse("run_1").unwrap()).next().is_none());
    assert!(store.work(&group("acme")).unwrap().is_some());
}

#[test]
fn what_is_left_of_a_run_is_found_in_whichever_order_its_batches_end() {
    let id = RunId::parse("run_1").unwrap();
    let names: Vec<String> = (10..30).map(|number| format!("bat_{number}")).collect();
    let later = "bat_30".to_owned();
    for step in [1, 7, 19] {
        let (_dir, store) = open();
        // Of a group each.
        let works = |names: &[String]| names.iter().map(|name| work(name, "run_1", name)).collect::<Vec<_>>();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        store.accept(&run("run_1", &ids), works(&names), &source(None)).unwrap();
        let mut left: BTreeSet<String> = names.iter().cloned().collect();
        for turn in 0..names.len() {
            let ended = &names[turn * step % names.len()];
            let batch = Batch { group: group(ended), ..in_phase(ended, "run_1", Phase::Completed) };
            store.settle(&Settlement::unchanged(batch, None)).unwrap();
            left.remove(ended);
            if turn == names.len() / 2 {
                store.accept(&run("run_1", &ids), works(std::slice::from_ref(&later)), &source(None)).unwrap();
                left.insert(later.clone());
            }
            let found = store.undelivered(&id).map(|batch| batch.unwrap().batch.to_string());
            let found: Vec<String> = found.collect();
            assert_eq!(found.len(), left.len(), "each of them once");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), left);
            assert!(store.end_run(&id, |_| Ok(())).unwrap().is_none(), "something is left");
        }
        let last = Batch { group: group(&later), ..in_phase(&later, "run_1", Phase::Completed) };
        store.settle(&Settlement::unchanged(last, None)).unwrap();
        assert!(store.end_run(&id, |_| Ok(())).unwrap().is_some());
    }
}

mod history;

#[test]
fn familiar_rows_are_kept_beside_the_database_and_missing_where_they_cannot_be_read() {
    let (dir, store) = open();
    let hris = SourceName::parse("hris").unwrap();
    let accept = |name: &SourceName| {
        let familiar = Some(samples::familiar());
        let source = SourceState { last_accepted: None, ..SourceState::new(name.clone()) };
        store.accept_with(&run("run_1", &[]), vec![], &source, familiar.as_ref()).unwrap();
    };
    assert_eq!(store.familiar(&hris), None);
    accept(&hris);
    assert_eq!(store.familiar(&hris), Some(samples::familiar()));
    // Whose name is not that of a file is read whole each time.
    let odd = SourceName::parse("../hris").unwrap();
    accept(&odd);
    assert_eq!(store.familiar(&odd), None);
    let path = dir.path().join("familiar/hris.rows");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(dir.path().join("familiar/payroll.rows"), &whole).unwrap();
    assert_eq!(store.familiar(&SourceName::parse("payroll").unwrap()), None, "they are another source's");
    for cut in [0, 1, 20, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(store.familiar(&hris), None, "{cut}");
    }
    accept(&hris);
    assert_eq!(store.familiar(&hris), Some(samples::familiar()));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    accept(&hris);
    assert_eq!(store.familiar(&hris), None);
    assert!(!path.with_extension("new").exists(), "what cannot be put in its place takes no room");
    std::fs::remove_dir_all(dir.path().join("familiar")).unwrap();
    std::fs::write(dir.path().join("familiar"), "in the way").unwrap();
    accept(&hris);
    assert_eq!(store.familiar(&hris), None);
}
