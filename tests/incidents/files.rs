//! `peers.md` (b) 8: files that come with a mark in front, too early, too late, twice, or with other columns.

use std::io::Write as _;
use std::time::Duration;

use super::bench::until;
use super::lab::{EAST, Lab, WEST, csv, ids, staff};

/// (b) 8, `dotCMS`#36508, molgenis#6492, Okta's prerequisites: Excel's byte-order mark hid the first column, which is the id.
#[test]
fn incident_dotcms_36508_byte_order_mark() {
    let lab = Lab::new();
    let all = staff("east", 12);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let text = csv(&all).replace('\n', "\r\n");
    lab.go("bom.csv", format!("\u{feff}{text}")).ends(0, "unchanged");
    lab.go("quoted.csv", format!("\u{feff}{}", text.replacen("Id,", "\"Id\",", 1))).ends(0, "unchanged");
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    lab.go("wide.csv", wide).ends(0, "unchanged");
    lab.holds(EAST, &ids(&all));
}

/// (b) 8, fswatch#311, sarracenia#34: a file was read while it was still written. nabu#621, `BenTek`: a second file of one name.
#[test]
fn incident_fswatch_311_still_being_written_and_nabu_621_same_name_twice() {
    let lab = Lab::new();
    let daemon = lab.bench.daemon();
    let text = csv(&[staff("west", 2), staff("east", 20)].concat());
    // Cut at the end of a line: complete to look at.
    let half = text.lines().take(11).map(str::len).sum::<usize>() + 11;
    let mut file = std::fs::File::create(lab.bench.inbox().join("people.csv")).unwrap();
    file.write_all(&text.as_bytes()[..half]).unwrap();
    lab.bench.drop("upload.csv.part", &csv(&staff("north", 1)));
    lab.bench.drop("other.csv", &csv(&staff("west", 2)));
    let mut rest = text.as_bytes()[half..].iter();
    until("the other file", || {
        if let Some(byte) = rest.next() {
            file.write_all(&[*byte]).unwrap();
        }
        lab.bench.history().into_iter().find(|run| run["file"]["name"] == "other.csv" && run["state"] == "completed")
    });
    lab.holds(EAST, &[]);
    file.write_all(rest.as_slice()).unwrap();
    drop(file);
    assert_eq!(lab.bench.run_of("people.csv", &["completed"])["counts"]["rows"], 22);
    // The same name with other content, then with the same.
    let more = csv(&[staff("east", 20), staff("west", 3)].concat());
    lab.bench.drop("people.csv", &more);
    until("the second", || (lab.sandbox().roster(WEST).len() == 3).then_some(()));
    lab.bench.drop("people.csv", &more);
    lab.bench.run_of("people.csv", &["duplicate"]);
    until("every file and its receipt", || {
        let filed = super::bench::files(&lab.bench.inbox());
        let of = |end: &str| filed.iter().filter(|name| name.ends_with(end)).count();
        ((of("_people.csv"), of("_people.csv.receipt.txt")) == (3, 3)).then_some(())
    });
    assert!(lab.bench.inbox().join("upload.csv.part").exists(), "an upload that is not renamed is left alone");
    lab.holds(EAST, &ids(&staff("east", 20)));
    daemon.stop();
}

/// (b) 8, `MyopicVicar`#996: an older file replaced a newer one.
#[test]
fn incident_myopic_vicar_996_older_file_after_a_newer_one() {
    let lab = Lab::new();
    lab.go("monday.csv", csv(&staff("east", 20))).ends(0, "completed");
    let friday = lab.bench.path("friday.csv");
    let age = |text: String| {
        std::fs::write(&friday, text).unwrap();
        let file = std::fs::File::options().write(true).open(&friday).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_secs(3 * 86_400)).unwrap();
        lab.bench.run(&["--json", "sync", friday.to_str().unwrap()]).ends_with(3).lines().remove(0)
    };
    let stale = age(csv(&staff("east", 21)));
    assert_eq!(stale["run"]["state"], "held");
    assert!(lab.receipt(&stale).contains("older than the last accepted"), "{}", lab.receipt(&stale));
    lab.holds(EAST, &ids(&staff("east", 20)));
    // The very bytes of an earlier export, newly written: the day before yesterday is back.
    lab.go("tuesday.csv", csv(&staff("east", 22))).ends(0, "completed");
    let again = lab.go("wednesday.csv", csv(&staff("east", 20))).ends(3, "held");
    assert_eq!(again.held_by().first(), Some(&"stale"));
    again.tells("accepted earlier, and a newer one since");
    lab.holds(EAST, &ids(&staff("east", 22)));
    lab.go("tuesday.csv", csv(&staff("east", 22))).ends(0, "duplicate").tells("Already received");
}

/// (b) 8, easihub 10738: the columns changed without notice.
#[test]
fn incident_easihub_10738_columns_change_without_notice() {
    let lab = Lab::new();
    let all = staff("east", 12);
    let text = csv(&all);
    lab.go("one.csv", &text).ends(0, "completed");
    lab.go("lost.csv", text.replacen("Born", "Birthday", 1)).ends(65, "rejected").tells("Born");
    // A new column, another order: read as before.
    let wider = format!("x,{}", text.trim_end().replace('\n', "\nx,"));
    lab.go("wider.csv", wider.replacen("x,Id", "New,Id", 1)).ends(0, "unchanged");
    // One cell too few in every row: nothing may slide into another column.
    let header = text.lines().next().unwrap();
    let shifted: Vec<String> = text.lines().skip(1).map(|line| line.replacen(',', ",,", 1)).collect();
    let outcome = lab.go("shifted.csv", format!("{header}\n{}\n", shifted.join("\n")));
    assert!([3, 65].contains(&outcome.code), "{outcome:#?}");
    lab.holds(EAST, &ids(&all));
    assert_eq!(lab.submitted(), 1);
}
