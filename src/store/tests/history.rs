use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::report::VerifyReport;
use crate::roster::familiar::GroupDigest;
use crate::roster::member::Field;
use crate::store::{keys, records};

fn who(id: &str) -> ReferenceId {
    ReferenceId::parse(id).unwrap()
}

/// Settles a batch of a group that makes this its roster.
fn confirm(store: &Store, number: u32, name: &str, before: &[&str], after: &[&str]) -> BatchId {
    let id = store.ids().batch(time(i64::from(number)));
    let (run_id, batch_id) = (format!("run_{number:03}"), id.to_string());
    let work = Work { batch: batch(&batch_id, &run_id, name), payload: vec![] };
    store.accept(&run(&run_id, &[&batch_id]), vec![work], &source(None)).unwrap();
    let added = |id: &&str| MemberChange { reference_id: who(id), what: Change::Added(entry(id).origin) };
    let joined = after.iter().filter(|id| !before.contains(id)).map(added);
    let left: Vec<&&str> = before.iter().filter(|id| !after.contains(id)).collect();
    let gone = left.iter().map(|id| MemberChange::removed(&entry(id)));
    let former = left.iter().map(|id| who(id)).collect();
    let members = after.iter().map(|id| entry(id)).collect();
    let roster = ConfirmedRoster::new(group(name), members, former, time(i64::from(number)));
    let changes = BatchChanges::new(joined.chain(gone).collect(), |id| roster.get(id));
    let completed_at = Some(time(i64::from(number)));
    let settlement = Settlement {
        batch: Batch { phase: Phase::Completed, attempts: 1, completed_at, ..batch(&batch_id, &run_id, name) },
        roster: Some(roster),
        changes,
        pause: None,
    };
    store.settle(&settlement).unwrap();
    // Runs are forgotten by their end.
    let end = |record: &mut RunRecord| record.run.finished_at = Some(time(i64::from(number)));
    store.update_run(&RunId::parse(&run_id).unwrap(), end).unwrap();
    id
}

fn at(store: &Store, name: &str, minute: i64) -> Vec<String> {
    match store.roster_back(&group(name), Until::Time(time(minute))).unwrap() {
        Back::Known(past) => past.members.iter().map(|entry| entry.member.reference_id.to_string()).collect(),
        back @ (Back::Before(_) | Back::Forgotten(_) | Back::Never) => panic!("{back:?}"),
    }
}

#[test]
fn a_person_is_found_in_every_group_they_ever_were_in_and_so_is_who_is_alike() {
    let (_dir, store) = open();
    let first = confirm(&store, 1, "acme", &[], &["E1", "007a"]);
    let second = confirm(&store, 2, "acme", &["E1", "007a"], &["007a"]);
    confirm(&store, 3, "beta", &[], &["E1"]);
    confirm(&store, 4, "gamma", &[], &["E2"]);
    assert_eq!(store.groups_of(&who("E1")).unwrap(), [group("acme"), group("beta")]);
    assert_eq!(store.groups_of(&who("7A")).unwrap(), [group("acme")]);
    assert_eq!(store.groups_of(&who("E3")).unwrap(), []);
    let changes = store.changes_about(&group("acme"), |id| id == "E1").unwrap();
    let kinds: Vec<_> = changes.iter().map(|(batch, change)| (batch.clone(), change.kind())).collect();
    assert_eq!(kinds, [(first, ChangeKind::Added), (second, ChangeKind::Removed)]);
}

#[test]
fn people_are_counted_with_and_without_what_stands_for_their_roster() {
    let (_dir, store) = open();
    confirm(&store, 1, "acme", &[], &["E1", "E2"]);
    confirm(&store, 2, "beta", &[], &["E3"]);
    confirm(&store, 3, "beta", &["E3"], &[]);
    let members = || ["acme", "beta", "gamma"].map(|name| store.members(&group(name)).unwrap());
    assert_eq!(members(), [2, 0, 0]);
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.remove(&mut draft, Shelf::Digests, b"acme").unwrap();
    writing.commit(&draft).unwrap();
    assert_eq!(members(), [2, 0, 0]);
}

#[test]
fn a_state_of_an_older_layout_gets_its_traces_and_digests_when_it_is_opened() {
    let (dir, store) = open();
    confirm(&store, 1, "acme", &[], &["E1", "E2"]);
    confirm(&store, 2, "acme", &["E1", "E2"], &["E2"]);
    let last = confirm(&store, 3, "beta", &[], &["E3"]);
    // Somebody whom only the changes know.
    let key = last.as_str().as_bytes();
    let failed = changes();
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Changes, key, &records::changes(key, &failed).unwrap()).unwrap();
    for name in ["acme", "beta"] {
        writing.remove(&mut draft, Shelf::Traces, name.as_bytes()).unwrap();
    }
    // Those of rosters long ago, which a program without them has left.
    let (owner, stale) = (SourceName::parse("hris").unwrap(), GroupDigest { people: 9, sum: 9 });
    for name in ["acme", "beta"] {
        let key = name.as_bytes();
        writing.put(&mut draft, Shelf::Digests, key, &records::digest(key, &owner, stale)).unwrap();
    }
    // Which lay in the database then.
    writing
        .put(&mut draft, Shelf::Familiar, b"hris", &envelope::seal(envelope::Kind::Familiar, b"hris", b"rows"))
        .unwrap();
    let sealed = store.inner.trees.read(Shelf::Meta, keys::META).unwrap().unwrap();
    let mut meta: records::MetaV1 = records::unjson(envelope::Kind::Meta, keys::META, &sealed).unwrap();
    meta.layout = 1;
    let sealed = records::json(envelope::Kind::Meta, keys::META, &meta).unwrap();
    writing.put(&mut draft, Shelf::Meta, keys::META, &sealed).unwrap();
    writing.commit(&draft).unwrap();
    assert_eq!(store.groups_of(&who("E1")).unwrap(), []);
    drop(store);

    let store = open_at(dir.path());
    assert_eq!(store.groups_of(&who("E1")).unwrap(), [group("acme"), group("beta")]);
    assert_eq!(store.groups_of(&who("E3")).unwrap(), [group("beta")]);
    assert_eq!(store.groups_of(&who("E5")).unwrap(), [group("beta")]);
    for name in ["acme", "beta"] {
        let roster = store.roster(&group(name)).unwrap().unwrap();
        let digest = GroupDigest::of(&roster).map(|(owner, digest)| (owner.clone(), digest));
        assert_eq!(store.group_digest(&group(name)).unwrap(), digest, "{name}");
    }
    assert!(!store.inner.trees.holds(Shelf::Familiar, b"hris").unwrap());
    drop(store);
    // Once is enough.
    let store = open_at(dir.path());
    let sealed = store.inner.trees.read(Shelf::Meta, keys::META).unwrap().unwrap();
    let meta: records::MetaV1 = records::unjson(envelope::Kind::Meta, keys::META, &sealed).unwrap();
    assert_eq!(meta.layout, open::LAYOUT);
}

#[test]
fn fields_are_never_put_back_into_a_record_that_they_are_not_of() {
    let (_dir, store) = open();
    confirm(&store, 1, "acme", &[], &["E1"]);
    let mut former = entry("E1");
    assert!(former.member.set_value(Field::LastName, Some("Before")));
    let roster = roster("acme", &["E1"]);
    let changed = BatchChanges::new(vec![MemberChange::changed(&former, &entry("E1"))], |id| roster.get(id));
    let id = store.ids().batch(time(2));
    store
        .stage_past(
            &Batch { phase: Phase::Completed, completed_at: Some(time(2)), ..batch(id.as_str(), "run_001", "acme") },
            &changed,
            None,
        )
        .unwrap();
    let back = |store: &Store| store.roster_back(&group("acme"), Until::Batch(&id));
    let Back::Known(past) = back(&store).unwrap() else { panic!("the way back is known") };
    assert_eq!(past.members, [former]);

    // Somebody of the same id, and another city.
    let mut other = entry("E1");
    assert!(other.member.set_value(Field::City, Some("Elsewhere")));
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    let other = ConfirmedRoster::new(group("acme"), vec![other], vec![], time(3));
    writing.put(&mut draft, Shelf::Rosters, b"acme", &records::roster(b"acme", &other).unwrap()).unwrap();
    writing.commit(&draft).unwrap();
    let refused = back(&store).unwrap_err().to_string();
    assert!(refused.contains(&format!("the changes of batch {id} do not lead to the roster of acme")), "{refused}");
}

#[test]
fn what_lies_before_something_forgotten_need_not_lead_to_the_roster() {
    let (_dir, store) = open();
    confirm(&store, 1, "acme", &[], &["E1", "E2"]);
    confirm(&store, 2, "acme", &["E1", "E2"], &["E1"]);
    confirm(&store, 3, "acme", &["E1"], &["E1", "E3"]);
    // The first run is the last that its source had accepted, so it is kept; the second is forgotten.
    store.put_source(&source(Some("run_001"))).unwrap();
    assert_eq!(store.forget_before(time(3)).unwrap(), 1);
    assert_eq!(store.run(&RunId::parse("run_002").unwrap()).unwrap().map(|record| record.run.run), None);
    let findings = store.verify().unwrap().findings;
    assert!(!findings.iter().any(|finding| finding.starts_with("changes")), "{findings:#?}");
}

#[test]
fn the_way_back_ends_where_the_record_does() {
    let (_dir, store) = open();
    assert_eq!(store.roster_back(&group("acme"), Until::Time(time(1))).unwrap(), Back::Never);
    let first = confirm(&store, 10, "acme", &[], &["E1"]);
    let second = confirm(&store, 20, "acme", &["E1"], &["E1", "E2"]);
    let third = confirm(&store, 30, "acme", &["E1", "E2"], &["E2"]);
    assert_eq!(at(&store, "acme", 10), ["E1"]);
    assert_eq!(at(&store, "acme", 29), ["E1", "E2"]);
    assert_eq!(at(&store, "acme", 30), ["E2"]);
    assert_eq!(store.roster_back(&group("acme"), Until::Time(time(9))).unwrap(), Back::Before(time(10)));
    let Back::Known(empty) = store.roster_back(&group("acme"), Until::Batch(&first)).unwrap() else {
        panic!("before the first batch is nobody")
    };
    assert_eq!(empty.members, []);
    let sizes = |id: &BatchId| store.sizes_around(&store.batch(id).unwrap().unwrap()).unwrap();
    assert_eq!([sizes(&first), sizes(&second), sizes(&third)], [Some((0, 1)), Some((1, 2)), Some((2, 1))]);

    assert_eq!(store.forget_before(time(15)).unwrap(), 1);
    assert!(matches!(store.roster_back(&group("acme"), Until::Time(time(14))).unwrap(), Back::Forgotten(_)));
    assert_eq!(at(&store, "acme", 16), ["E1"]);
    // Whoever is known from the roster alone is still found.
    assert_eq!(store.groups_of(&who("E1")).unwrap(), [group("acme")]);
}

#[test]
fn history_is_told_the_same_when_it_lies_in_the_archive() {
    let (dir, store) = open();
    let first = confirm(&store, 10, "acme", &[], &["E1"]);
    let second = confirm(&store, 20, "acme", &["E1"], &["E1", "E2"]);
    confirm(&store, 25, "beta", &[], &["E7"]);
    let told = |store: &Store| {
        let acme = group("acme");
        let runs = store.runs(&RunFilter::default(), 9).unwrap();
        let of_runs: Vec<_> =
            runs.iter().map(|run| (store.run(&run.run).unwrap(), store.batches_of(&run.run).unwrap())).collect();
        let of_group = store.runs(&RunFilter { group: Some(acme.clone()), ..RunFilter::default() }, 9).unwrap();
        let batches = (store.batches_of_group(&acme).unwrap(), store.last_batch(&acme).unwrap());
        let found = (store.find_run("run_0").unwrap(), store.find_batch("bat_").unwrap(), store.last_ids().unwrap());
        let about = store.changes_about(&acme, |id| id == "E2").unwrap();
        let past = [9, 10, 29].map(|minute| store.roster_back(&acme, Until::Time(time(minute))).unwrap());
        // The database names its archive, and how large it is, in records of their own.
        let report = VerifyReport { records: 0, ..store.verify().unwrap() };
        (format!("{of_runs:?} {of_group:?} {batches:?} {found:?} {about:?} {report:?}"), past)
    };
    let before = told(&store);
    assert!(store.compact().unwrap().is_some());
    let is_archived = |store: &Store| {
        let history = ["runs", "plans", "run_batches", "group_batches", "batches", "changes"];
        store.sizes().unwrap().iter().all(|(name, entries, _)| *entries == 0 || !history.contains(name))
    };
    assert!(is_archived(&store));
    assert_eq!(told(&store), before);
    drop(store);
    let store = open_at(dir.path());
    assert!(is_archived(&store));
    assert_eq!(told(&store), before);

    // The record of an archived run is written again, and history goes on.
    let run_20 = RunId::parse("run_020").unwrap();
    store.update_run(&run_20, |record| record.run.reason = Some("told later".to_owned())).unwrap();
    confirm(&store, 30, "acme", &["E1", "E2"], &["E2"]);
    assert_eq!(store.bare_run(&run_20).unwrap().unwrap().run.reason.as_deref(), Some("told later"));
    assert_eq!(at(&store, "acme", 10), ["E1"]);
    assert_eq!(at(&store, "acme", 29), ["E1", "E2"]);

    // What is forgotten is, wherever it lies.
    let archive = || std::fs::read(dir.path().join("db/archive")).unwrap();
    let archived = archive();
    assert_eq!(store.forget_before(time(15)).unwrap(), 1);
    assert_ne!(archive(), archived, "it is out of the archive as well");
    for _ in 0..2 {
        assert_eq!((store.batch(&first).unwrap(), store.changes(&first).unwrap()), (None, BatchChanges::default()));
        assert_eq!(store.batch_ids_of(&group("acme")).unwrap().first(), Some(&second));
        assert!(matches!(store.roster_back(&group("acme"), Until::Time(time(14))).unwrap(), Back::Forgotten(_)));
        assert_eq!(at(&store, "acme", 16), ["E1"]);
        assert_eq!(store.bare_run(&run_20).unwrap().unwrap().run.reason.as_deref(), Some("told later"));
        assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
        assert!(store.compact().unwrap().is_some());
    }
}

#[test]
fn a_group_keeps_its_history_through_renamings_and_none_of_another() {
    let (dir, store) = open();
    let rename = |store: &Store, from: &str, to: &str| store.rename_group(&group(from), &group_record(to)).unwrap();
    let first = confirm(&store, 1, "acme", &[], &["A1"]);
    rename(&store, "acme", "beta");
    let other = confirm(&store, 2, "acme", &[], &["B1"]);
    let second = confirm(&store, 3, "beta", &["A1"], &["A1", "A2"]);
    rename(&store, "beta", "gamma");
    let third = confirm(&store, 4, "gamma", &["A1", "A2"], &["A2"]);
    drop(store);
    let store = open_at(dir.path());
    let batches = |name: &str| store.batch_ids_of(&group(name)).unwrap();
    assert_eq!(batches("gamma"), [first.clone(), second.clone(), third]);
    assert_eq!((batches("acme"), batches("beta")), (vec![other.clone()], vec![]));
    assert_eq!(store.group_now(&group("acme"), &first).unwrap(), group("gamma"));
    assert_eq!(store.group_now(&group("acme"), &other).unwrap(), group("acme"));
    assert_eq!(store.group_now(&group("beta"), &second).unwrap(), group("gamma"));
    assert_eq!(at(&store, "gamma", 2), ["A1"]);
    assert_eq!(store.renamed_to(&group("beta")).unwrap(), Some(group("gamma")));
    assert_eq!(store.groups_of(&who("A1")).unwrap(), [group("gamma")]);
    assert_eq!(store.groups_of(&who("B1")).unwrap(), [group("acme")]);
}

#[test]
fn a_group_of_which_nothing_is_left_leaves_no_trace() {
    let (_dir, store) = open();
    confirm(&store, 1, "acme", &[], &["A1"]);
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.remove(&mut draft, Shelf::Rosters, b"acme").unwrap();
    writing.commit(&draft).unwrap();
    store.forget_traces(&BTreeSet::from([group("acme")])).unwrap();
    assert_eq!(store.groups_of(&who("A1")).unwrap(), [group("acme")]);
    store.forget_before(time(60)).unwrap();
    assert_eq!(store.groups_of(&who("A1")).unwrap(), []);
    assert!(store.forgotten_before().unwrap() >= Some(time(60)));
}

proptest! {
    #[test]
    fn nobody_of_a_group_is_missed(ids in prop::collection::btree_set("[0-9a-zA-Z]{1,6}", 1..40)) {
        let (_dir, store) = open();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        confirm(&store, 1, "acme", &[], &ids);
        for id in ids {
            prop_assert_eq!(store.groups_of(&who(id)).unwrap(), [group("acme")]);
            prop_assert_eq!(store.groups_of(&who(&format!("00{}", id.to_uppercase()))).unwrap(), [group("acme")]);
        }
    }
}
