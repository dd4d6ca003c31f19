//! `peers.md` (b) 9: people who were taken for somebody else.

use super::lab::{EAST, Lab, csv, ids, staff, terminated, with, without, worker};

/// (b) 9, Culture Amp: names, birth dates and e-mails under swapped ids. Taken at its word, the file would put each person's
/// record over the other's.
#[test]
fn incident_culture_amp_swapped_identifiers() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let mut two = staff("east", 21);
    let (a, b) = (two[3].id.clone(), two[4].id.clone());
    (two[3].id, two[4].id) = (b, a);
    let held = lab.go("two.csv", csv(&two)).ends(3, "partial");
    assert_eq!(held.held_by(), ["another_person"]);
    held.doubts("E004", "yes").doubts("E005", "yes");
    let roster = lab.sandbox().roster(EAST);
    assert_eq!((&roster["E004"]["last_name"], &roster["E005"]["last_name"]), (&"Stoneeae".into(), &"Stoneeaf".into()));
    assert_eq!(roster.len(), 21);
}

/// (b) 9, snipe-it#11397: the id of somebody who left is given to somebody else while the first is still covered.
#[test]
fn incident_snipe_it_11397_id_reuse() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let stranger = worker("east", 77);
    let reused = with(&all, |it| {
        if it.id == "E007" {
            *it = stranger.clone();
            it.id = "E007".into();
        }
    });
    let held = lab.go("two.csv", csv(&reused)).ends(3, "partial");
    assert_eq!(held.held_by(), ["another_person"]);
    let held = held.doubts("E007", "yes").shows("perhaps it was given to somebody else");
    assert_eq!(lab.sandbox().roster(EAST)["E007"]["last_name"], "Stoneeah");
    // A name after a marriage is no other person.
    let married = with(&all, |it| {
        if it.id == "E008" {
            it.last = "Miller".into();
        }
    });
    lab.go("three.csv", csv(&married)).ends(0, "completed");
    drop(held);
    assert_eq!(lab.sandbox().roster(EAST)["E008"]["last_name"], "Miller");
}

/// (b) 9, snipe-it#6714 and erpnext#42511: the key changes, and the same people come a second time. Here: Excel ate the zeros, then a
/// new HR system numbered everybody anew.
#[test]
fn incident_snipe_it_6714_a_changed_key_doubles_everybody() {
    let lab = Lab::new();
    let all = with(&staff("east", 20), |it| it.id = it.id.replacen('E', "00", 1));
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let eaten = with(&all, |it| it.id = it.id.trim_start_matches('0').to_owned());
    let held = lab.go("two.csv", csv(&eaten)).ends(3, "held");
    assert!(held.held_by().contains(&"renumbered"), "{held:#?}");
    held.tells("Nobody gained or lost coverage because of this file.");
    lab.holds(EAST, &ids(&all));
    // One person under a new number: held alone, and still covered under the old one.
    let one = with(&all, |it| {
        if it.id == "00005" {
            it.id = "90005".into();
        }
    });
    let held = lab.go("three.csv", csv(&one)).ends(3, "partial");
    assert!(held.held_by().contains(&"renumbered"), "{held:#?}");
    let covered = lab.covered();
    assert!(!covered.contains("90005"), "nobody is added twice");
}

/// (b) 9, Noyo: rehires need care, also after a mistaken termination.
#[test]
fn incident_noyo_rehires() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    lab.go("two.csv", csv(&terminated(&all, &[9]))).ends(0, "completed");
    let back = with(&all, |it| {
        if it.id == "E009" {
            it.street = "9 New St".into();
        }
    });
    let back = lab.go("three.csv", csv(&back)).ends(0, "completed");
    assert_eq!((back.count("returning"), back.count("new")), (1, 0));
    lab.holds(EAST, &ids(&all));
    // Rehired under a new number while the old one is only gone: one person, held rather than covered twice.
    let renumbered = [without(&all, &[9]), with(&all[8..9], |it| it.id = "E909".into())].concat();
    let held = lab.go("four.csv", csv(&renumbered)).ends(3, "partial");
    assert_eq!(held.held_by(), ["renumbered"]);
    held.doubts("E009", "yes").doubts("E909", "no");
    lab.holds(EAST, &ids(&all));
    let again = with(&renumbered, |it| it.hired = "2002-01-01".into());
    let held = lab.go("five.csv", csv(&again)).ends(3, "partial");
    lab.holds(EAST, &ids(&all));
    // A person who knows says that it is one: the old id goes, the new one comes.
    lab.approve_as_told(&held);
    assert!(lab.covered().contains("E909") || lab.covered().contains("E009"), "under one of the two");
}

/// (b) 9 and design 10: ids that differ only in case are two rows that nobody can tell apart.
#[test]
fn incident_identifiers_that_differ_only_in_case() {
    let lab = Lab::new();
    let all = staff("east", 40);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let twin = [all.clone(), with(&[worker("east", 50)], |it| it.id = "e003".into())].concat();
    let outcome = lab.go("two.csv", csv(&twin)).ends(0, "unchanged");
    outcome.doubts("E003", "yes").doubts("e003", "no");
    lab.holds(EAST, &ids(&all));
}
