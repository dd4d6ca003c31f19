use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::intake::settle::{Ledger, Pattern, Rules};

const SHA: &str = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn morning() -> DateTime<Utc> {
    at("2026-10-05T06:00:00.250Z")
}

fn inbox() -> (TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    (folder, spool)
}

/// Everything in the inbox as ready, whatever its age.
fn ready(spool: &Spool) -> Vec<Ready> {
    let rules = Rules { files: Pattern::new("*"), settle: std::time::Duration::ZERO, done_marker: false };
    Ledger::new(rules).look(&spool.list().unwrap(), std::time::Instant::now()).ready
}

fn drop_and_claim(spool: &Spool, name: &str, content: &str) -> Claimed {
    fs::write(spool.inbox().join(name), content).unwrap();
    spool.claim(&ready(spool)[0], morning()).unwrap()
}

fn content(spool: &Spool, relative: &str) -> String {
    fs::read_to_string(spool.inbox().join(relative)).unwrap()
}

#[test]
fn a_claim_moves_the_file_out_of_sight_before_it_is_read() {
    let (_folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "hris.csv", "id\n1\n");
    assert_eq!(claimed.key(), "20261005T060000250Z_0000_hris.csv");
    assert_eq!((claimed.name.as_str(), claimed.size, claimed.claimed_at), ("hris.csv", 5, morning()));
    assert!(!spool.inbox().join("hris.csv").exists());
    let mut text = String::new();
    spool.read(&claimed).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "id\n1\n");
}

#[test]
fn a_file_that_changed_after_the_last_look_is_put_back() {
    let (_folder, spool) = inbox();
    fs::write(spool.inbox().join("hris.csv"), "half").unwrap();
    let seen = ready(&spool);
    fs::write(spool.inbox().join("hris.csv"), "half and more").unwrap();
    assert!(matches!(spool.claim(&seen[0], morning()), Err(SpoolError::Changed)));
    assert_eq!(content(&spool, "hris.csv"), "half and more");
    assert_eq!(spool.claimed().unwrap(), []);
}

#[test]
fn a_file_that_left_before_the_claim_is_gone_and_nothing_else() {
    let (_folder, spool) = inbox();
    fs::write(spool.inbox().join("hris.csv"), "x").unwrap();
    let seen = ready(&spool);
    fs::remove_file(spool.inbox().join("hris.csv")).unwrap();
    assert!(matches!(spool.claim(&seen[0], morning()), Err(SpoolError::Gone)));
}

#[test]
fn a_link_that_takes_the_place_of_a_settled_file_is_not_claimed() {
    let (folder, spool) = inbox();
    fs::write(folder.path().join("hris.csv"), "x").unwrap();
    let seen = ready(&spool);
    fs::remove_file(folder.path().join("hris.csv")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("hris.csv")).unwrap();
    assert!(matches!(spool.claim(&seen[0], morning()), Err(SpoolError::Changed)));
    assert_eq!(spool.claimed().unwrap(), []);
}

#[test]
fn the_marker_goes_with_the_claim() {
    let (folder, spool) = inbox();
    fs::write(folder.path().join("a.csv"), "x").unwrap();
    fs::write(folder.path().join("a.csv.done"), "").unwrap();
    let mut seen = ready(&spool);
    seen[0].marker = Some("a.csv.done".into());
    spool.claim(&seen[0], morning()).unwrap();
    assert!(!folder.path().join("a.csv.done").exists());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_given_back() {
    let (folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "hris.csv", "first");
    assert!(spool.is_intact(&claimed).unwrap());
    fs::write(&claimed.path, "first and second").unwrap();
    assert!(!spool.is_intact(&claimed).unwrap());
    fs::write(folder.path().join("hris.csv"), "newer").unwrap();
    spool.give_back(&claimed).unwrap();
    assert_eq!(content(&spool, "hris.csv"), "newer");
    assert_eq!(content(&spool, "2_hris.csv"), "first and second");
}

#[test]
fn after_a_crash_claimed_files_are_found_in_the_order_of_their_claims() {
    let (folder, spool) = inbox();
    for (name, second) in [("b.csv", 2), ("a.csv", 1)] {
        fs::write(folder.path().join(name), name).unwrap();
        spool.claim(&ready(&spool)[0], at(&format!("2026-10-05T06:00:0{second}Z"))).unwrap();
    }
    fs::write(folder.path().join(".rosterd/.tmp-0123"), "half a receipt").unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let names: Vec<_> = spool.claimed().unwrap().into_iter().map(|claimed| claimed.name).collect();
    assert_eq!(names, ["a.csv", "b.csv"]);
    assert!(!folder.path().join(".rosterd/.tmp-0123").exists());
}

#[test]
fn claims_of_one_moment_keep_their_order() {
    let (folder, spool) = inbox();
    for name in ["one", "two", "three"] {
        drop_and_claim(&spool, "same.csv", name);
    }
    let contents: Vec<_> =
        spool.claimed().unwrap().iter().map(|claimed| fs::read_to_string(&claimed.path).unwrap()).collect();
    assert_eq!(contents, ["one", "two", "three"]);
    drop(folder);
}

#[test]
fn each_place_has_its_path() {
    let (_folder, spool) = inbox();
    let cases = [
        (Place::Processed, "processed/2026-10/20261005T060000Z_1a2b3c4d_a.csv"),
        (Place::Held, "held/20261005T060000Z_1a2b3c4d_a.csv"),
        (Place::Rejected, "rejected/20261005T060000Z_1a2b3c4d_a.csv"),
        (Place::Duplicates, "duplicates/20261005T060000Z_1a2b3c4d_a.csv"),
    ];
    for (place, path) in cases {
        let claimed = drop_and_claim(&spool, "a.csv", "x");
        assert_eq!(spool.file_away(&claimed, place, SHA).unwrap(), path);
        assert_eq!(content(&spool, path), "x");
    }
}

#[test]
fn the_same_name_twice_never_overwrites() {
    let (_folder, spool) = inbox();
    let first = drop_and_claim(&spool, "a.csv", "first");
    let second = drop_and_claim(&spool, "a.csv", "second");
    let first = spool.file_away(&first, Place::Held, SHA).unwrap();
    let second = spool.file_away(&second, Place::Held, SHA).unwrap();
    assert_eq!(second, "held/20261005T060000Z_1a2b3c4d-2_a.csv");
    assert_eq!((content(&spool, &first).as_str(), content(&spool, &second).as_str()), ("first", "second"));
}

#[test]
fn filing_away_after_a_crash_between_rename_and_receipt_finds_what_was_done() {
    let (folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "a.csv", "x");
    let filed = spool.file_away(&claimed, Place::Processed, SHA).unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(spool.file_away(&claimed, Place::Processed, SHA).unwrap(), filed);
    let receipt = spool.write_beside(&filed, Beside::Receipt, b"done").unwrap();
    assert_eq!(content(&spool, &receipt), "done");
    assert_eq!(fs::read_dir(folder.path().join("processed/2026-10")).unwrap().count(), 2);
}

#[test]
fn a_claimed_file_that_a_person_took_is_lost_not_filed() {
    let (_folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "a.csv", "x");
    fs::remove_file(&claimed.path).unwrap();
    assert!(matches!(spool.file_away(&claimed, Place::Held, SHA), Err(SpoolError::Lost(_))));
    assert!(matches!(spool.read(&claimed), Err(SpoolError::Lost(_))));
}

#[test]
fn a_held_file_moves_on_with_its_receipt_and_problems() {
    let (folder, spool) = inbox();
    let filed = spool.file_away(&drop_and_claim(&spool, "a.csv", "x"), Place::Held, SHA).unwrap();
    spool.write_beside(&filed, Beside::Receipt, b"held").unwrap();
    spool.write_beside(&filed, Beside::Problems, b"line").unwrap();
    let moved = spool.refile(&filed, Place::Processed).unwrap();
    assert_eq!(moved, "processed/2026-10/20261005T060000Z_1a2b3c4d_a.csv");
    assert_eq!(content(&spool, &format!("{moved}.receipt.txt")), "held");
    assert_eq!(content(&spool, &format!("{moved}.problems.csv")), "line");
    assert_eq!(fs::read_dir(folder.path().join("held")).unwrap().count(), 0);
    assert_eq!(spool.refile(&filed, Place::Processed).unwrap(), moved, "again after a crash");
    assert_eq!(spool.refile(&moved, Place::Processed).unwrap(), moved);
}

#[test]
fn a_receipt_is_replaced_in_one_step_and_leaves_nothing_behind() {
    let (folder, spool) = inbox();
    let filed = spool.file_away(&drop_and_claim(&spool, "a.csv", "x"), Place::Held, SHA).unwrap();
    spool.write_beside(&filed, Beside::Receipt, b"first").unwrap();
    let receipt = spool.write_beside(&filed, Beside::Receipt, b"second").unwrap();
    assert_eq!(receipt, format!("{filed}.receipt.txt"));
    assert_eq!(content(&spool, &receipt), "second");
    assert_eq!(fs::read_dir(folder.path().join(".rosterd")).unwrap().count(), 0);
}

#[test]
fn whoever_can_read_the_export_can_read_its_receipt() {
    let (folder, spool) = inbox();
    for (export, receipt) in [(0o600, 0o640), (0o660, 0o640), (0o644, 0o644)] {
        fs::write(folder.path().join("a.csv"), "x").unwrap();
        fs::set_permissions(folder.path().join("a.csv"), fs::Permissions::from_mode(export)).unwrap();
        let claimed = spool.claim(&ready(&spool)[0], morning()).unwrap();
        let filed = spool.file_away(&claimed, Place::Held, SHA).unwrap();
        let path = folder.path().join(spool.write_beside(&filed, Beside::Receipt, b"r").unwrap());
        let (of_receipt, of_export) = (fs::metadata(path).unwrap(), fs::metadata(folder.path().join(filed)).unwrap());
        assert_eq!(of_receipt.mode() & 0o777, receipt);
        assert_eq!(of_receipt.gid(), of_export.gid());
        assert_eq!(of_export.mode() & 0o777, export, "the export keeps its rights");
    }
}

#[test]
fn new_folders_can_be_looked_into_like_the_inbox_and_changed_by_the_service_only() {
    for (inbox, place) in [(0o2770, 0o2750), (0o775, 0o755), (0o700, 0o700)] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(inbox)).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let filed = spool.file_away(&drop_and_claim(&spool, "a.csv", "x"), Place::Processed, SHA).unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode("held"), place);
        assert_eq!(mode(filed.rsplit_once('/').unwrap().0), place);
        assert_eq!(mode(".rosterd") & 0o077, 0);
    }
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "a.csv", "x");
    fs::remove_dir(folder.path().join("held")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("held")).unwrap();
    assert!(matches!(spool.file_away(&claimed, Place::Held, SHA), Err(SpoolError::NotAFolder(_))));
    assert!(matches!(Spool::open(folder.path()), Err(SpoolError::NotAFolder(_))));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn paths_that_lead_out_of_the_places_are_not_written_to() {
    let (_folder, spool) = inbox();
    for path in ["", "a.csv", "held/", "held/../x", "../held/x", "held/.rosterd/x", "other/x", "held/a/b/c", "/held/x"]
    {
        assert!(matches!(spool.write_beside(path, Beside::Receipt, b"x"), Err(SpoolError::NotFiled(_))), "{path}");
    }
}

#[test]
fn an_inbox_that_is_missing_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("share");
    assert!(matches!(Spool::open(&absent), Err(SpoolError::Missing(_))));
    assert!(!absent.exists());
    fs::write(&absent, "a file").unwrap();
    assert!(matches!(Spool::open(&absent), Err(SpoolError::NotAFolder(_))));
}

#[test]
fn names_that_play_tricks_are_filed_under_harmless_ones() {
    let (_folder, spool) = inbox();
    let claimed = drop_and_claim(&spool, "a\nb\u{1b}[2J.csv", "x");
    let filed = spool.file_away(&claimed, Place::Held, SHA).unwrap();
    assert_eq!(filed, "held/20261005T060000Z_1a2b3c4d_a_b_[2J.csv");
    let long = format!("{}.csv", "n".repeat(251));
    let claimed = drop_and_claim(&spool, &long, "y");
    let filed = spool.file_away(&claimed, Place::Held, SHA).unwrap();
    assert!(filed.ends_with("nnn.csv"));
    spool.write_beside(&filed, Beside::Problems, b"x").unwrap();
}

#[test]
fn a_folder_on_another_file_system_is_named() {
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else { return };
    let (folder, _spool) = inbox();
    if fs::metadata(shm.path()).unwrap().dev() == fs::metadata(folder.path()).unwrap().dev() {
        return;
    }
    // A mount needs rights that tests lack, and a link is refused for being one. What is left to test is the rename
    // itself, which is what the check at the start protects.
    fs::write(folder.path().join("a"), "x").unwrap();
    let (from, to) = (folders::open(folder.path()).unwrap(), folders::open(shm.path()).unwrap());
    assert_eq!(folders::rename_new((&from, "a".as_ref()), (&to, "a")), Err(Errno::XDEV));
    assert!(folder.path().join("a").exists());
}
