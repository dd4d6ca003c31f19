use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
