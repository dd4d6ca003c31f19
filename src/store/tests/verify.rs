//! What `verify` passes over, and what it finds.

use super::*;

/// A group with results, an open batch, and one that waits behind it.
fn busy() -> (tempfile::TempDir, Store) {
    let (dir, store) = open();
    accept(&store, "run_1", "bat_1");
    store.record_batch(&in_phase("bat_1", "run_1", Phase::Accepted)).unwrap();
    let settlement = Settlement {
        batch: in_phase("bat_1", "run_1", Phase::Completed),
        roster: Some(roster("acme", &["E1", "E2"])),
        changes: joined(&["E1", "E2"]),
        pause: None,
    };
    store.settle(&settlement).unwrap();
    accept(&store, "run_2", "bat_2");
    store.record_batch(&in_phase("bat_2", "run_2", Phase::Submitting)).unwrap();
    accept(&store, "run_3", "bat_3");
    (dir, store)
}

/// Takes one record away, behind the store's back.
fn take(store: &Store, shelf: Shelf, key: &[u8]) {
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.remove(&mut draft, shelf, key).unwrap();
    writing.commit(&draft).unwrap();
}

#[test]
fn a_state_in_the_middle_of_its_work_is_whole() {
    let (_dir, store) = busy();
    let report = store.verify().unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!((report.groups, report.runs, report.batches), (1, 3, 3));
}

#[test]
fn a_record_that_is_missing_is_missed() {
    let run_1 = RunId::parse("run_1").unwrap();
    let bat_1 = BatchId::parse("bat_1").unwrap();
    let (by_run, by_group) = (keys::run_batch(&run_1, &bat_1), keys::group_batch(&group("acme"), &bat_1));
    let cases: [(Shelf, &[u8], &str); 10] = [
        (Shelf::Runs, b"run_1", "batches bat_1: its run is not on record"),
        (Shelf::Runs, b"run_3", "sources hris: run run_3 is not on record"),
        (Shelf::Batches, b"bat_1", "bat_1: its roster or its changes are on record, and it is not"),
        (Shelf::Batches, b"bat_2", "outbox acme: the record of batch bat_2 is missing"),
        (Shelf::Payloads, b"bat_3", "waiting acme: the payload of batch bat_3 is missing"),
        (Shelf::Outbox, b"acme", "batches bat_2: it has not ended, and acme does not know it"),
        (Shelf::Traces, b"acme", "traces acme: people of it cannot be found (3)"),
        (Shelf::Changes, b"bat_1", "rosters acme: no batch says how they came there (people: 2)"),
        (Shelf::RunBatches, &by_run, "batches: ways to find one are missing (1)"),
        (Shelf::GroupBatches, &by_group, "batches: ways to find one are missing (1)"),
    ];
    for (shelf, key, wanted) in cases {
        let (_dir, store) = busy();
        take(&store, shelf, key);
        let findings = store.verify().unwrap().findings;
        assert!(findings.iter().any(|finding| finding == wanted), "{shelf:?}: {wanted:?} is not in {findings:#?}");
    }
}

#[test]
fn a_roster_that_no_batch_leads_to_and_damaged_bytes_are_found() {
    let (_dir, store) = busy();
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    let other = records::roster(b"acme", &roster("acme", &["E1", "E9"])).unwrap();
    writing.put(&mut draft, Shelf::Rosters, b"acme", &other).unwrap();
    writing.put(&mut draft, Shelf::Plans, b"run_9", b"\x01\x07 no checksum of ours").unwrap();
    writing.commit(&draft).unwrap();
    let findings = store.verify().unwrap().findings;
    for wanted in [
        "changes bat_1: they do not lead to the roster of acme",
        "traces acme: people of it cannot be found (1)",
        "plans run_9: a plan record does not match its checksum",
        "plans run_9: there is no such run",
    ] {
        assert!(findings.iter().any(|finding| finding.starts_with(wanted)), "{wanted:?} is not in {findings:#?}");
    }
    let mut file = tempfile::tempfile().unwrap();
    assert!(matches!(store.back_up(&mut file, time(0)), Err(StoreError::Corrupt { .. })), "damage is not backed up");
}

#[test]
fn a_long_value_keeps_all_its_pieces_through_a_backup() {
    let (dir, store) = busy();
    let many: Vec<String> = (0..3000).map(|number| format!("E{number:05}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = roster("beta", &many);
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Rosters, b"beta", &records::roster(b"beta", &long).unwrap()).unwrap();
    writing.commit(&draft).unwrap();
    let path = dir.path().join("a.backup");
    let report = store.back_up_to(&path, time(0)).unwrap();
    assert_eq!(backup::check(&path).unwrap(), report);
    let mut read = None;
    let keep = |shelf, key: &[u8], value: &[u8]| {
        if shelf == Shelf::Rosters && key == b"beta" {
            read = Some(records::unroster(key, value)?);
        }
        Ok(())
    };
    backup::read(&path, |_| Ok(()), keep).unwrap();
    assert_eq!(read.as_ref(), Some(&long));
}
