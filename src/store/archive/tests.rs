use std::path::PathBuf;

use super::*;
use crate::store::envelope::{Kind, seal_as};

/// Tree, key and record: of a kind that loses its envelope, and of one that keeps it.
fn samples() -> [(u8, &'static [u8], Vec<u8>); 3] {
    [
        (7, b"run_1\0bat_1", records::index(b"run_1\0bat_1")),
        (7, b"run_1\0bat_2", records::text(b"run_1\0bat_2", "bat_2")),
        (13, b"bat_1", seal_as((1, Kind::Roster), b"bat_1", b"records")),
    ]
}

fn write(path: &Path) -> u128 {
    let mut writer = Writer::create(path).unwrap();
    for (shelf, key, sealed) in samples() {
        writer.add(shelf, key, &Filed::of(key, sealed.into())).unwrap();
    }
    writer.finish().unwrap()
}

fn read(path: &Path) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let archive = Archive::open(path)?.unwrap();
    archive.check()?;
    samples().iter().map(|(shelf, key, _)| archive.get(*shelf, key)).collect()
}

fn sealed() -> Vec<Option<Vec<u8>>> {
    samples().map(|(_, _, sealed)| Some(sealed)).into()
}

#[test]
fn an_archive_of_every_released_version_still_reads() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/archive_v1.bin");
    if !fixture.exists() {
        let candidate = std::env::temp_dir().join("archive_v1.bin");
        write(&candidate);
        panic!("without a fixture; look at {} and commit it", candidate.display());
    }
    assert_eq!(read(&fixture).unwrap(), sealed());
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, damaged) = (dir.path().join("whole"), dir.path().join("damaged"));
    let id = write(&whole);
    let bytes = std::fs::read(&whole).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&damaged, &flipped).unwrap();
        assert!(read(&damaged).is_err(), "byte {at}");
        std::fs::write(&damaged, &bytes[..at]).unwrap();
        assert!(read(&damaged).is_err(), "cut at {at}");
    }
    assert_eq!((read(&whole).unwrap(), Archive::open(&whole).unwrap().unwrap().id()), (sealed(), id));
}
