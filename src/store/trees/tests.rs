use std::collections::BTreeMap;

use proptest::prelude::*;

use super::database::FORMER_SEGMENT_BYTES;
use super::*;
use crate::store::records;

fn put(trees: &Trees, key: &[u8], value: &[u8]) {
    let writing = trees.write();
    let mut draft = Draft::default();
    writing.put(&mut draft, Shelf::Plans, key, value).unwrap();
    writing.commit(&draft).unwrap();
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn the_shelves_are_in_the_order_of_their_numbers() {
    for (at, (shelf, _)) in SHELVES.iter().enumerate() {
        assert_eq!(*shelf as usize, at);
    }
}

#[test]
fn long_values_never_become_files_that_sled_does_not_sync() {
    let dir = tempfile::tempdir().unwrap();
    let trees = Trees::open(dir.path()).unwrap();
    let long_key = |n: u64| format!("{n:04}{}", "k".repeat(1000)).into_bytes();
    for round in 0..3_u64 {
        for n in 0..60 {
            // Around the size of a piece, where leaves are fullest, and far above it.
            put(&trees, &long_key(n), &noise(round + n, PIECE_BYTES - 1));
        }
        put(&trees, b"large", &noise(round, 3_000_000));
    }
    assert_eq!(trees.read(Shelf::Plans, b"large").unwrap().unwrap(), noise(2, 3_000_000));
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn a_transaction_that_is_refused_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let trees = Trees::open(dir.path()).unwrap();
    trees.open.write().unwrap().as_mut().unwrap().shelves.truncate(2);
    let writing = trees.write();
    let mut draft = Draft::default();
    draft.ops.push((Shelf::Groups, b"key".into(), Some(b"value".into())));
    draft.ops.push((Shelf::Pieces, b"key".into(), Some(b"value".into())));
    assert!(writing.commit(&draft).is_err());
    assert!(!trees.holds(Shelf::Groups, b"key").unwrap());
}

#[test]
fn a_database_with_segments_of_the_former_size_is_opened_and_has_the_present_one_once_it_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let tree = Database::open(&old, FORMER_SEGMENT_BYTES).unwrap();
    tree.tree(Shelf::Plans).unwrap().insert(b"key", b"\0\0\0\x01value").unwrap();
    drop(tree);
    let trees = Trees::open(&old).unwrap();
    assert_eq!(trees.read(Shelf::Plans, b"key").unwrap().unwrap(), b"value");
    trees.write().copy_to(&new).unwrap();
    let segment_bytes = |of: &Path| {
        String::from_utf8_lossy(&std::fs::read(of.join("conf")).unwrap()).lines().next().unwrap().to_owned()
    };
    assert_eq!([&old, &new].map(|of| segment_bytes(of)), ["segment_size: 8388608", "segment_size: 2097152"]);
    assert_eq!(Trees::open(&new).unwrap().read(Shelf::Plans, b"key").unwrap().unwrap(), b"value");
}

#[test]
fn what_several_threads_commit_at_once_is_all_there_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let trees = Trees::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let trees = &trees;
            scope.spawn(move || (0..20).for_each(|number| put(trees, &[thread, number], &[thread])));
        }
    });
    assert_eq!(trees.keys(Shelf::Plans, b"", usize::MAX).unwrap().len(), 160);
    let flushed = trees.commits.settled.lock().unwrap();
    assert_eq!((*flushed, *trees.writer.lock().unwrap()), (160, 160));
}

#[test]
fn a_reader_never_sees_half_of_a_value_that_is_being_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let trees = Trees::open(dir.path()).unwrap();
    let values: Vec<_> = (0..2_u8).map(|n| vec![n; 10 * PIECE_BYTES]).collect();
    put(&trees, b"key", &values[0]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..300 {
                let value = trees.read(Shelf::Plans, b"key").unwrap().unwrap();
                assert!(values.contains(&value));
            }
        });
        for n in 0..60 {
            put(&trees, b"key", &values[n % 2]);
        }
        reader.join().unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn values_that_grow_shrink_and_go_leave_no_piece_behind(
        steps in prop::collection::vec((0_u8..3, prop::option::of(0_usize..5 * PIECE_BYTES)), 1..25),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let trees = Trees::open(dir.path()).unwrap();
        let mut model = BTreeMap::new();
        for (seed, (key, length)) in steps.into_iter().enumerate() {
            let writing = trees.write();
            let mut draft = Draft::default();
            if let Some(length) = length {
                let value = noise(seed as u64, length);
                writing.put(&mut draft, Shelf::Plans, &[key], &value).unwrap();
                model.insert(key, value);
            } else {
                writing.remove(&mut draft, Shelf::Plans, &[key]).unwrap();
                model.remove(&key);
            }
            writing.commit(&draft).unwrap();
        }
        let mut pieces = 0;
        for key in 0..3 {
            let value = trees.read(Shelf::Plans, &[key]).unwrap();
            pieces += value.as_ref().map_or(0, |value| value.len().saturating_sub(1) / PIECE_BYTES);
            prop_assert_eq!(value.as_ref(), model.get(&key));
        }
        prop_assert_eq!(trees.keys(Shelf::Pieces, b"", usize::MAX).unwrap().len(), pieces);
    }
}

/// What is done to a database.
#[derive(Clone, Debug)]
enum Step {
    Put(Shelf, u8, usize),
    Remove(Shelf, u8),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let shelf = || prop::sample::select(vec![Shelf::Plans, Shelf::Batches, Shelf::Groups]);
    prop_oneof![
        4 => (shelf(), 0_u8..40, 0_usize..9000).prop_map(|(shelf, key, length)| Step::Put(shelf, key, length)),
        2 => (shelf(), 0_u8..40).prop_map(|(shelf, key)| Step::Remove(shelf, key)),
        1 => Just(Step::Compact),
    ]
}

/// Some keys begin with the same letter, so that there are prefixes to ask for.
fn key_of(number: u8) -> Vec<u8> {
    format!("{}/{number:02}", if number < 20 { "a" } else { "b" }).into_bytes()
}

/// A record of some length; every other one is of a kind that an archive unpacks.
fn record(key: &[u8], seed: usize, length: usize) -> Vec<u8> {
    if seed.is_multiple_of(2) { noise(seed as u64, length) } else { records::text(key, &"x".repeat(length)) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_lies_in_the_archive_and_whatever_before_it_all_is_read_as_if_it_lay_in_one_place(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut trees = Trees::open(&dir.path().join("0")).unwrap();
        let mut model: BTreeMap<(u8, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for (seed, step) in steps.into_iter().enumerate() {
            let mut draft = Draft::default();
            match step {
                Step::Put(shelf, number, length) => {
                    let key = key_of(number);
                    let value = record(&key, seed, length);
                    let writing = trees.write();
                    writing.put(&mut draft, shelf, &key, &value).unwrap();
                    writing.commit(&draft).unwrap();
                    model.insert((shelf as u8, key), value);
                }
                Step::Remove(shelf, number) => {
                    let writing = trees.write();
                    writing.remove(&mut draft, shelf, &key_of(number)).unwrap();
                    writing.commit(&draft).unwrap();
                    model.remove(&(shelf as u8, key_of(number)));
                }
                Step::Compact => {
                    let next = dir.path().join((seed + 1).to_string());
                    trees.write().copy_to(&next).unwrap();
                    trees = Trees::open(&next).unwrap();
                    let is_archived = |number| trees.look(|database| database.is_archived(Shelf::Plans, &key_of(number))).unwrap();
                    for number in 0..40 {
                        let is_there = model.contains_key(&(Shelf::Plans as u8, key_of(number)));
                        prop_assert_eq!(is_archived(number), is_there, "what was removed is in no new archive");
                    }
                    // Nothing of it is left in the trees.
                    let left = trees.sizes().unwrap();
                    prop_assert!(left.iter().all(|(name, entries, _)| *entries == 0 || ["meta", "groups", "pieces"].contains(name)));
                }
            }
        }
        trees.check_archive().unwrap();
        for shelf in [Shelf::Plans, Shelf::Batches, Shelf::Groups] {
            let wanted: Vec<(&Vec<u8>, &Vec<u8>)> =
                model.iter().filter(|((of, _), _)| *of == shelf as u8).map(|((_, key), value)| (key, value)).collect();
            let mut found = Vec::new();
            trees.each(shelf, |key, value| {
                found.push((key.to_vec(), value.to_vec()));
                Ok(())
            }).unwrap();
            prop_assert_eq!(found.iter().map(|(key, value)| (key, value)).collect::<Vec<_>>(), wanted.clone());
            for number in 0..40 {
                let key = key_of(number);
                let value = model.get(&(shelf as u8, key.clone()));
                prop_assert_eq!(trees.read(shelf, &key).unwrap(), value.cloned());
                prop_assert_eq!(trees.holds(shelf, &key).unwrap(), value.is_some());
            }
            for prefix in [&b""[..], b"a", b"a/0", b"b/", b"c"] {
                let wanted: Vec<&[u8]> =
                    wanted.iter().map(|(key, _)| &key[..]).filter(|key| key.starts_with(prefix)).collect();
                let keys = trees.keys(shelf, prefix, usize::MAX).unwrap();
                prop_assert_eq!(keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), wanted.clone());
                prop_assert_eq!(trees.keys(shelf, prefix, 2).unwrap(), wanted.iter().take(2).copied().collect::<Vec<_>>());
                let last = trees.last_key(shelf, prefix).unwrap();
                prop_assert_eq!(last.as_deref(), wanted.last().copied());
                let back = trees.keys_back(shelf, prefix.to_vec(), None).collect::<Result<Vec<_>, _>>().unwrap();
                prop_assert_eq!(back, wanted.iter().rev().copied().collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(trees.orphans().unwrap(), 0);
    }
}
