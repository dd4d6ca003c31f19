use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::store::sentinel::Sentinel;
use crate::store::{compact, keys, records};

/// A closed store with one confirmed roster.
fn closed() -> tempfile::TempDir {
    let (dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let batch = in_phase("bat_1", "run_1", Phase::Completed);
    store
        .settle(&Settlement { batch, roster: Some(roster("acme", &["E1"])), changes: changes(), pause: None })
        .unwrap();
    dir
}

fn refusal(dir: &tempfile::TempDir) -> StoreError {
    Store::open(dir.path(), URL).unwrap_err()
}

#[test]
fn a_store_is_private_to_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let _store = Store::open(&state, URL).unwrap();
    for path in [state.clone(), state.join("db")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_second_opener_is_told_who_to_ask_and_the_first_goes_on() {
    let (dir, store) = open();
    let error = refusal(&dir);
    assert!(error.is_in_use());
    assert!(error.to_string().contains("in use by another rosterd process"), "{error}");
    accept(&store, "run_1", "bat_1");
    drop(store);
    assert!(try_open_at(dir.path(), URL).is_ok());
}

#[test]
fn each_api_has_a_state_of_its_own_and_nothing_of_the_one_is_in_the_other() {
    let dir = closed();
    let with_work = open_at(dir.path());
    accept(&with_work, "run_2", "bat_2");
    assert_eq!(with_work.beside(), None);
    drop(with_work);
    let sentinel = Sentinel::read(dir.path()).unwrap();

    let other = try_open_at(dir.path(), "https://api.other.test:8443/v1/").unwrap();
    assert_eq!(other.beside(), Some(URL));
    assert!(other.is_blank().unwrap());
    assert!(other.roster_groups().unwrap().is_empty() && other.groups_with_work().unwrap().is_empty());
    accept(&other, "run_8", "bat_8");
    assert!(refusal(&dir).is_in_use(), "one process at a time, whichever API it works for");
    drop(other);
    assert_eq!(Sentinel::read(dir.path()).unwrap(), sentinel, "nothing was moved or changed");
    let folders: Vec<_> = fs::read_dir(dir.path().join("apis")).unwrap().map(|found| found.unwrap()).collect();
    assert_eq!(folders.len(), 1);
    assert!(folders[0].file_name().to_str().unwrap().starts_with("api.other.test-"));
    assert_eq!(fs::metadata(folders[0].path()).unwrap().permissions().mode() & 0o777, 0o700);

    let back = open_at(dir.path());
    assert_eq!(
        id_of(back.work(&group("acme")).unwrap()).as_deref(),
        Some("bat_2"),
        "whoever goes back finds all as it was"
    );
    drop(back);
    let other = try_open_at(dir.path(), "https://api.other.test:8443/v1").unwrap();
    assert_eq!(id_of(other.work(&group("acme")).unwrap()).as_deref(), Some("bat_8"));
}

#[test]
fn a_sentinel_of_an_earlier_rosterd_learns_which_api_it_is_for() {
    for is_there in [true, false] {
        let dir = closed();
        let path = dir.path().join("store.json");
        let mut old: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for name in ["base_url", "checksum"] {
            old.as_object_mut().unwrap().remove(name).unwrap();
        }
        fs::write(&path, old.to_string()).unwrap();
        if !is_there {
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(try_open_at(dir.path(), "https://api.other.test").unwrap().beside(), Some(URL));
        assert_eq!(Sentinel::read(dir.path()).unwrap().unwrap().base_url.as_deref(), Some(URL));
        assert_eq!(open_at(dir.path()).roster(&group("acme")).unwrap(), Some(roster("acme", &["E1"])));
    }
}

#[test]
fn a_vanished_database_of_another_api_is_refused_like_any_other() {
    let dir = closed();
    drop(try_open_at(dir.path(), "https://api.other.test").unwrap());
    let home = fs::read_dir(dir.path().join("apis")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(home.join("db")).unwrap();
    let error = try_open_at(dir.path(), "https://api.other.test").unwrap_err();
    assert!(matches!(error, StoreError::Vanished { dir } if dir == home));
    assert!(try_open_at(dir.path(), URL).is_ok());
}

#[test]
fn the_key_of_another_organization_is_refused() {
    let dir = closed();
    let store = try_open_at(dir.path(), "https://API.test/").unwrap();
    store.bind_organization("org_1").unwrap();
    store.bind_organization("org_1").unwrap();
    assert!(matches!(store.bind_organization("org_2"), Err(StoreError::OtherOrganization { .. })));
}

#[test]
fn a_vanished_or_emptied_database_is_refused_and_not_made_anew() {
    let dir = closed();
    fs::rename(dir.path().join("db"), dir.path().join("elsewhere")).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Vanished { .. }));
    assert!(matches!(refusal(&dir), StoreError::Vanished { .. }), "the first refusal left something behind");
    fs::create_dir(dir.path().join("db")).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Vanished { .. }));
    // A database that opens, and is another one's or empty.
    drop(Trees::open(&dir.path().join("db")).unwrap());
    assert!(matches!(refusal(&dir), StoreError::Vanished { .. }));
    let other = closed();
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    fs::rename(other.path().join("db"), dir.path().join("db")).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }));
}

#[test]
fn a_database_that_lost_settlements_is_refused() {
    let dir = closed();
    let sentinel = Sentinel::read(dir.path()).unwrap().unwrap();
    assert_eq!(sentinel.generation, 1);
    Sentinel::new(sentinel.store, 2, sentinel.base_url.unwrap()).write(dir.path()).unwrap();
    let error = refusal(&dir);
    assert!(error.to_string().contains("older than it was (1 of 2"), "{error}");
}

#[test]
fn a_missing_sentinel_is_made_again_from_the_database() {
    let dir = closed();
    let before = Sentinel::read(dir.path()).unwrap();
    fs::remove_file(dir.path().join("store.json")).unwrap();
    drop(open_at(dir.path()));
    assert_eq!(Sentinel::read(dir.path()).unwrap(), before);
}

#[test]
fn a_newer_store_is_refused_by_version() {
    let dir = closed();
    let trees = Trees::open(&dir.path().join("db")).unwrap();
    let sealed = trees.read(Shelf::Meta, keys::META).unwrap().unwrap();
    let mut meta: records::MetaV1 = records::unjson(envelope::Kind::Meta, keys::META, &sealed).unwrap();
    meta.layout = open::LAYOUT + 1;
    let writing = trees.write();
    let mut draft = Draft::default();
    let sealed = records::json(envelope::Kind::Meta, keys::META, &meta).unwrap();
    writing.put(&mut draft, Shelf::Meta, keys::META, &sealed).unwrap();
    writing.commit(&draft).unwrap();
    drop(trees);
    assert!(matches!(refusal(&dir), StoreError::Newer { found: 7, known: 6 }));

    let dir = closed();
    fs::write(dir.path().join("store.json"), "{\"version\": 7, \"shape\": \"unknown\"}").unwrap();
    assert!(matches!(refusal(&dir), StoreError::Newer { found: 7, known: 1 }));
    fs::write(dir.path().join("store.json"), "").unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }));
}

#[test]
fn a_damaged_database_is_refused_or_reads_as_it_was_but_never_as_something_else() {
    let whole = closed();
    let bytes = fs::read(whole.path().join("db/db")).unwrap();
    let mut refusals = 0;
    for round in 0..30_u64 {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        let mut random = fastrand::Rng::with_seed(round);
        let mut damaged = bytes.clone();
        let from = random.usize(..damaged.len());
        let to = (from + random.usize(1..4096)).min(damaged.len());
        damaged[from..to].fill_with(|| random.u8(..));
        if round % 5 == 0 {
            damaged.truncate(from);
        }
        fs::write(dir.path().join("db/db"), damaged).unwrap();
        let read = try_open_at(dir.path(), URL).and_then(|store| {
            let batch = BatchId::parse("bat_1").unwrap();
            Ok((store.roster(&group("acme"))?, store.changes(&batch)?))
        });
        match read {
            Ok(read) => assert_eq!(read, (Some(roster("acme", &["E1"])), changes()), "round {round}"),
            Err(error) => {
                refusals += 1;
                assert!(!error.is_in_use() && !error.needs_restart(), "round {round}: {error}");
            }
        }
    }
    assert!(0 < refusals);
}

#[test]
fn what_a_crash_left_of_an_accept_is_swept() {
    let (dir, store) = open();
    accept(&store, "run_1", "bat_1");
    let writing = store.inner.trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Payloads, b"bat_2", &records::payload(b"bat_2", &[entry("E1")]).unwrap()).unwrap();
    writing.commit(&draft).unwrap();
    drop(store);
    let store = open_at(dir.path());
    assert_eq!(store.inner.trees.keys(Shelf::Payloads, b"", 9).unwrap(), ["bat_1"]);
    assert_eq!(store.work(&group("acme")).unwrap(), Some(work("bat_1", "run_1", "acme")));
}

#[test]
fn a_grown_database_is_compacted_and_an_interrupted_exchange_is_finished() {
    let dir = closed();
    let tight = Limits { bytes: 0, times: 0 };
    let store = Store::open_within(dir.path(), URL, tight).unwrap();
    assert_eq!(store.roster(&group("acme")).unwrap(), Some(roster("acme", &["E1"])));
    drop(store);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["db", "lock", "store.json"]);
    // Stopped between the two renames, with the copy complete or not.
    fs::rename(dir.path().join("db"), dir.path().join("db.old")).unwrap();
    fs::create_dir(dir.path().join("db.new")).unwrap();
    let store = open_at(dir.path());
    assert_eq!(store.roster(&group("acme")).unwrap(), Some(roster("acme", &["E1"])));
    assert_eq!(names(), ["db", "lock", "store.json"]);
}

#[test]
fn a_database_that_grows_while_it_is_open_is_compacted_under_its_readers_and_writers() {
    let (dir, store) = open();
    let acme = group("acme");
    let inode = || fs::metadata(dir.path().join("db/db")).unwrap().ino();
    accept(&store, "run_1", "bat_1");
    let before = inode();
    let tight = Limits { bytes: 0, times: 0 };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..200 {
                assert_eq!(store.work(&acme).unwrap(), Some(work("bat_1", "run_1", "acme")));
            }
        });
        let writer = scope.spawn(|| {
            for round in 0..50 {
                store.put_group(&GroupRecord { name: round.to_string(), ..group_record("acme") }).unwrap();
            }
        });
        // As often as the file has grown since; at least once.
        compact::when_grown(dir.path(), &store.inner.trees, tight).unwrap().unwrap();
        reader.join().unwrap();
        writer.join().unwrap();
    });
    assert_ne!(inode(), before, "another file");
    assert_eq!(store.group(&acme).unwrap().unwrap().name, "49");
    accept(&store, "run_2", "bat_2");
    assert!(store.verify().unwrap().findings.is_empty());
    drop(store);
    let store = open_at(dir.path());
    assert_eq!(store.work(&acme).unwrap(), Some(work("bat_2", "run_2", "acme")));
    assert_eq!(store.group(&acme).unwrap().unwrap().name, "49");
}

/// With its history in an archive.
fn archived() -> tempfile::TempDir {
    let dir = closed();
    assert!(open_at(dir.path()).compact().unwrap().is_some());
    dir
}

#[test]
fn a_database_without_its_archive_or_with_another_ones_is_refused() {
    let dir = archived();
    fs::remove_file(dir.path().join("db/archive")).unwrap();
    assert!(refusal(&dir).to_string().contains("the archive of the history is missing"));

    let (dir, other) = (archived(), archived());
    fs::copy(other.path().join("db/archive"), dir.path().join("db/archive")).unwrap();
    assert!(refusal(&dir).to_string().contains("the archive of the history is that of another database"));

    let dir = closed();
    fs::copy(other.path().join("db/archive"), dir.path().join("db/archive")).unwrap();
    assert!(refusal(&dir).to_string().contains("the archive of the history belongs to no database"));
}

#[test]
fn a_state_of_before_archives_puts_its_history_into_one_although_its_size_had_been_found_to_be_fine() {
    let dir = closed();
    let limits = Limits { bytes: 0, times: 2 };
    let size = {
        let trees = Trees::open(&dir.path().join("db")).unwrap();
        let sealed = trees.read(Shelf::Meta, keys::META).unwrap().unwrap();
        let meta: records::MetaV1 = records::unjson(envelope::Kind::Meta, keys::META, &sealed).unwrap();
        let meta = records::MetaV1 { layout: 4, ..meta };
        let size = trees.size().unwrap();
        let writing = trees.write();
        let mut draft = Draft::default();
        let sealed = records::json(envelope::Kind::Meta, keys::META, &meta).unwrap();
        writing.put(&mut draft, Shelf::Meta, keys::META, &sealed).unwrap();
        writing.put(&mut draft, Shelf::Meta, keys::FINE_AT, &records::count(keys::FINE_AT, size)).unwrap();
        writing.commit(&draft).unwrap();
        size
    };
    assert_ne!(size, 0);
    let store = Store::open_within(dir.path(), URL, limits).unwrap();
    assert!(dir.path().join("db/archive").exists());
    assert_eq!(store.roster(&group("acme")).unwrap(), Some(roster("acme", &["E1"])));
    assert_eq!(store.changes(&BatchId::parse("bat_1").unwrap()).unwrap(), changes());
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}
