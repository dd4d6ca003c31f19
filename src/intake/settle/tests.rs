use super::*;
use proptest::prelude::*;

const SETTLE: Duration = Duration::from_secs(10);

fn sighting(size: u64, modified: i64) -> Sighting {
    let at = DateTime::from_timestamp(modified, 0).unwrap();
    Sighting { size, modified: at, changed: at, inode: 1, device: 1 }
}

fn file(name: &str, size: u64, modified: i64) -> Found {
    Found { name: name.into(), thing: Thing::File(sighting(size, modified)) }
}

fn thing(name: &str, thing: Thing) -> Found {
    Found { name: name.into(), thing }
}

fn ledger(files: &str, done_marker: bool) -> Ledger {
    Ledger::new(Rules { files: Pattern::new(files), settle: SETTLE, done_marker })
}

fn names(look: &Look) -> Vec<&str> {
    look.ready.iter().map(|ready| ready.name.to_str().unwrap()).collect()
}

/// Shows the ledger one file at several seconds and says at which of them it was ready.
fn ready_at(looks: &[(u64, Found)]) -> Vec<u64> {
    let mut ledger = ledger("*.csv", false);
    let start = Instant::now();
    looks
        .iter()
        .filter(|(second, found)| {
            let now = start + Duration::from_secs(*second);
            !ledger.look(std::slice::from_ref(found), now).ready.is_empty()
        })
        .map(|(second, _)| *second)
        .collect()
}

#[test]
fn a_file_is_ready_when_it_stood_still_for_the_settle_time_by_our_own_looks() {
    let same = || file("a.csv", 100, 0);
    // However old its modification time is, the first look proves nothing.
    assert_eq!(ready_at(&[(0, same()), (9, same()), (10, same())]), [10]);
    assert_eq!(ready_at(&[(0, same()), (25, same())]), [25]);
}

#[test]
fn every_kind_of_change_starts_the_time_again() {
    let was = sighting(100, 50);
    let now = [
        Sighting { size: 101, ..was },
        Sighting { modified: DateTime::from_timestamp(49, 0).unwrap(), ..was },
        Sighting { changed: DateTime::from_timestamp(51, 0).unwrap(), ..was },
        Sighting { inode: 2, ..was },
        Sighting { device: 2, ..was },
    ];
    for changed in now {
        let (was, changed) = (thing("a.csv", Thing::File(was)), thing("a.csv", Thing::File(changed)));
        assert_eq!(ready_at(&[(0, was), (9, changed.clone()), (18, changed.clone()), (19, changed)]), [19]);
    }
}

#[test]
fn a_file_that_was_gone_in_between_starts_again() {
    let looks = [
        (0, file("a.csv", 100, 0)),
        (5, file("b.csv", 1, 0)),
        (10, file("a.csv", 100, 0)),
        (20, file("a.csv", 100, 0)),
    ];
    assert_eq!(ready_at(&looks), [20]);
}

#[test]
fn an_empty_file_waits_an_hour_and_is_then_taken_so_that_it_can_be_rejected() {
    let empty = || file("a.csv", 0, 0);
    assert_eq!(ready_at(&[(0, empty()), (10, empty()), (3599, empty()), (3600, empty())]), [3600]);
    // It was only made early: what fills it settles like any other file.
    assert_eq!(ready_at(&[(0, empty()), (3000, file("a.csv", 9, 3000)), (3010, file("a.csv", 9, 3000))]), [3010]);
}

#[test]
fn with_a_marker_the_file_is_ready_at_once_and_never_without() {
    let mut ledger = ledger("*.csv", true);
    let start = Instant::now();
    let day = start + Duration::from_secs(86_400);
    assert_eq!(names(&ledger.look(&[file("a.csv", 100, 5)], start)), [""; 0]);
    assert_eq!(names(&ledger.look(&[file("a.csv", 100, 5)], day)), [""; 0]);
    assert_eq!(ledger.next_look(day), None);
    let look = ledger.look(&[file("a.csv", 100, 5), file("A.CSV.done", 0, 5)], day);
    assert_eq!(names(&look), ["a.csv"]);
    assert_eq!(look.ready[0].marker.as_deref(), Some(OsStr::new("A.CSV.done")));
}

#[test]
fn a_marker_left_over_from_an_earlier_file_does_not_vouch_for_one_that_is_being_written() {
    let mut ledger = ledger("*.csv", true);
    let now = Instant::now();
    let stale = [file("a.csv", 100, 500), file("a.csv.done", 0, 400)];
    assert_eq!(names(&ledger.look(&stale, now)), [""; 0]);
    // A sender that keeps the original's time makes the file look newer or older; the kernel's time tells.
    let mut kept = sighting(100, 900);
    kept.changed = DateTime::from_timestamp(300, 0).unwrap();
    let kept = [thing("a.csv", Thing::File(kept)), file("a.csv.done", 0, 400)];
    assert_eq!(names(&ledger.look(&kept, now)), ["a.csv"]);
}

#[test]
fn a_marker_is_no_export_even_where_every_name_counts() {
    let mut ledger = ledger("*", false);
    ledger.look(&[file("a.csv.done", 3, 0)], Instant::now());
    assert_eq!(ledger.waiting(), 0);
}

#[test]
fn the_oldest_is_first_and_names_break_ties() {
    let mut ledger = Ledger::new(Rules { files: Pattern::new("*"), settle: Duration::ZERO, done_marker: false });
    let look = ledger.look(&[file("c", 1, 7), file("b", 1, 9), file("a", 1, 9), file("d", 1, 8)], Instant::now());
    assert_eq!(names(&look), ["c", "d", "a", "b"]);
}

#[test]
fn the_next_look_is_due_when_the_first_file_can_be_ready() {
    let mut ledger = ledger("*.csv", false);
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    assert_eq!(ledger.next_look(start), None);
    ledger.look(&[file("a.csv", 1, 0)], at(0));
    ledger.look(&[file("a.csv", 1, 0), file("b.csv", 1, 0)], at(4));
    assert_eq!(ledger.next_look(at(4)), Some(Duration::from_secs(6)));
    ledger.forget(OsStr::new("a.csv"));
    assert_eq!(ledger.next_look(at(4)), Some(Duration::from_secs(10)));
    assert_eq!(ledger.next_look(at(40)), Some(Duration::ZERO));
}

#[test]
fn a_file_that_cannot_be_claimed_is_not_tried_again_at_once() {
    let mut ledger = ledger("*.csv", false);
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let found = [file("a.csv", 1, 0)];
    ledger.look(&found, at(0));
    assert_eq!(names(&ledger.look(&found, at(10))), ["a.csv"]);
    ledger.put_off(OsStr::new("a.csv"), at(70));
    assert_eq!(names(&ledger.look(&found, at(20))), [""; 0]);
    assert_eq!(ledger.next_look(at(20)), Some(Duration::from_secs(50)));
    assert_eq!(names(&ledger.look(&found, at(70))), ["a.csv"]);
}

#[test]
fn names_of_files_under_way_are_ignored_in_any_case() {
    let ignored = [
        ".hidden.csv",
        ".rosterd",
        "~$book.csv",
        "a.csv.tmp",
        "a.part",
        "a.csv.PARTIAL",
        "a.filepart",
        "a.crdownload",
        ".a.csv.swp",
        "a.swp",
        "a.csv.done",
    ];
    for name in ignored {
        assert!(is_ignored(OsStr::new(name)), "{name}");
    }
    for name in ["a.csv", "tmp.csv", "part", "done", "a.csv.done.csv", "~a.csv"] {
        assert!(!is_ignored(OsStr::new(name)), "{name}");
    }
}

#[test]
fn patterns_take_stars_and_question_marks_in_either_case() {
    let cases = [
        ("*.csv", "HRIS.CSV", true),
        ("*.csv", ".csv", true),
        ("*.csv", "a.csv.bak", false),
        ("hris_????.csv", "HRIS_2026.csv", true),
        ("hris_????.csv", "hris_26.csv", false),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("*Ü?.csv", "xüy.csv", true),
        ("a[0-9].csv", "a1.csv", false),
    ];
    for (pattern, name, wanted) in cases {
        assert_eq!(Pattern::new(pattern).matches(name), wanted, "{pattern} {name}");
    }
}

#[test]
fn links_devices_and_folders_are_refused_and_reported_once() {
    let mut ledger = ledger("*.csv", false);
    let found = [
        thing("a.csv", Thing::Link),
        thing("b.csv", Thing::Special),
        thing("old exports", Thing::Folder),
        thing("readme", Thing::Link),
        thing("processed", Thing::Folder),
        thing(".rosterd", Thing::Folder),
    ];
    let now = Instant::now();
    let look = ledger.look(&found, now);
    let refused: Vec<_> = look.refused.iter().map(|refused| refused.name.to_str().unwrap()).collect();
    assert_eq!(refused, ["a.csv", "b.csv", "old exports"]);
    assert_eq!(look.ready, []);
    assert_eq!(ledger.look(&found, now + SETTLE).refused, []);
    ledger.look(&[], now + SETTLE);
    assert_eq!(ledger.look(&found, now + SETTLE).refused.len(), 3, "reported again after it was gone");
}

proptest! {
    #[test]
    fn nothing_is_ready_before_it_was_seen_unchanged_for_the_settle_time(
        looks in proptest::collection::vec((1_u64..15, 0_u64..3), 1..40)
    ) {
        let mut ledger = ledger("*", false);
        let mut now = Instant::now();
        let mut since = None;
        for (pause, size) in looks {
            now += Duration::from_secs(pause);
            let size = size + 1;
            since = match since {
                Some((known, at)) if known == size => Some((known, at)),
                _ => Some((size, now)),
            };
            let is_ready = !ledger.look(&[file("a", size, 0)], now).ready.is_empty();
            let (_, stood) = since.unwrap();
            prop_assert_eq!(is_ready, SETTLE <= now - stood);
        }
    }

    #[test]
    fn a_pattern_agrees_with_a_plain_recursive_matcher(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
        fn plain(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.split_first(), name.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) if plain(rest, name) => true,
                (Some((b'*', _)), Some((_, tail))) => plain(pattern, tail),
                (Some((b'?', rest)), Some((_, tail))) => plain(rest, tail),
                (Some((a, rest)), Some((b, tail))) => a == b && plain(rest, tail),
                _ => false,
            }
        }
        prop_assert_eq!(Pattern::new(&pattern).matches(&name), plain(pattern.as_bytes(), name.as_bytes()));
    }
}
