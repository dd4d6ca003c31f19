//! `peers.md` (b) 2 to 5 and 7: limits that fit no size of group, what a hold stops, dry runs that do not predict, no review,
//! holds that nobody sees, and leavers who stay.

use rosterd::sandbox::script::FailOn;
use secrecy::SecretString;

use super::bench::KEY;
use super::lab::{EAST, HEADER, Lab, WEST, csv, ids, staff, terminated, with, without, worker};

// === (b) 2: thresholds ===

/// (b) 2, canquery#34, and the holes of Okta (100) and octoDNS (10): below a size, nothing was guarded.
#[test]
fn incident_canquery_34_small_groups_are_guarded() {
    let lab = Lab::new();
    let (one, five, twelve) = (staff("one", 1), staff("five", 5), staff("twelve", 12));
    // A large group beside them, so that the whole file looks well.
    let large = staff("east", 60);
    let all = [large.clone(), one.clone(), five.clone(), twelve.clone()].concat();
    lab.go("all.csv", csv(&all)).ends(0, "completed");
    // The only one of its group, two of five, two of twelve.
    let few = [large.clone(), without(&five, &[1, 2]), without(&twelve, &[1, 2])].concat();
    let held = lab.go("few.csv", csv(&few)).ends(3, "partial");
    assert_eq!(held.held_by(), ["empty", "removals"]);
    let held =
        held.shows("all 1 members of hris-one would be removed").shows("2 of 5 members of hris-five would be removed");
    held.shows("2 of 12 members of hris-twelve would be removed (limit 1 = 10%)").doubts("O001", "yes");
    assert_eq!(lab.covered().len(), 78);
    // One of each of the others may go.
    let fewer = [large, one.clone(), without(&five, &[1]), without(&twelve, &[1])].concat();
    lab.go("fewer.csv", csv(&fewer)).ends(0, "completed");
    assert_eq!(lab.removed(), ["F001", "T001"]);
}

/// (c) 4: every limit of the peers counts one run, so a feed that loses a few people a day passes every day.
#[test]
fn incident_entra_cumulative_losses_pass_every_run() {
    let lab = Lab::new();
    let all = staff("east", 100);
    lab.go("day0.csv", csv(&all)).ends(0, "completed");
    lab.go("day1.csv", csv(&all[..92])).ends(0, "completed");
    lab.go("day2.csv", csv(&all[..84])).ends(0, "completed");
    let third = lab.go("day3.csv", csv(&all[..76])).ends(3, "partial");
    assert_eq!(third.held_by(), ["rolling_removals"]);
    third.shows("24 of 100 members of hris-east would have lost coverage within 7 days").doubts("E077", "yes");
    assert_eq!((lab.covered().len(), lab.removed().len()), (84, 16));
    // In a group of five it is the second person.
    let lab = Lab::new();
    let five = staff("east", 5);
    lab.go("day0.csv", csv(&five)).ends(0, "completed");
    lab.go("day1.csv", csv(&five[..4])).ends(0, "completed");
    lab.go("day2.csv", csv(&five[..3])).ends(3, "partial");
    lab.holds(EAST, &ids(&five[..4]));
}

/// (b) 2, user-sync.py 2.10: 190 old leftovers consumed the limit of 200, and 25 real leavers tripped it.
#[test]
fn incident_user_sync_old_leftovers_do_not_consume_the_limit() {
    let lab = Lab::patient();
    let all = staff("east", 30);
    lab.go("day0.csv", csv(&all)).ends(0, "completed");
    // Two are missing for the second time while three are for the first: two count (limit 3), not five.
    lab.go("day1.csv", csv(&without(&all, &[1, 2]))).ends(0, "unchanged");
    lab.go("day2.csv", csv(&without(&all, &[1, 2, 3, 4, 5]))).ends(0, "completed");
    assert_eq!(lab.removed(), ["E001", "E002"]);
    // Who came back does not count either, and a removal that failed counts once when it is tried again.
    lab.sandbox().fail_next("E006", FailOn::Remove, "claims are open");
    let ends = terminated(&without(&all, &[1, 2]), &[4]);
    lab.go("day3.csv", csv(&ends)).ends(4, "partial").doubts("E006", "yes");
    lab.go(
        "day4.csv",
        csv(&with(&ends, |it| {
            if it.id == "E007" {
                it.street.push('a');
            }
        })),
    )
    .ends(0, "completed");
    assert_eq!(lab.covered().len(), 27);
}

/// (b) 2, snapraid-daemon#42: with `0 = off` nobody could ask to be stopped at the first removal.
#[test]
fn incident_snapraid_42_zero_holds_any_removal() {
    let lab = Lab::guarded("removals = 0\nterminations = 0");
    let all = staff("east", 50);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let held = lab.go("two.csv", csv(&without(&terminated(&all, &[50]), &[1]))).ends(3, "partial");
    assert_eq!(held.held_by(), ["removals", "terminations"]);
    held.shows("1 of 50 members of hris-east would be removed (limit 0)");
    lab.edit("removals = 0\nterminations = 0", "removals = \"off\"\nterminations = \"off\"");
    lab.go("three.csv", csv(&without(&terminated(&all, &[50]), &[2]))).ends(0, "completed");
    assert_eq!(lab.removed(), ["E002", "E050"]);
}

/// (b) 2, octodns#808 and #1170: a change that is large and right trips the guard, and nobody finds out how to allow it once. Entra's
/// procedure: switch the guard off, run, switch it on again.
#[test]
fn incident_octodns_808_one_large_change_is_released_without_touching_the_config() {
    let lab = Lab::new();
    let all = staff("east", 40);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let gone: Vec<usize> = (1..=12).collect();
    let held = lab.go("layoff.csv", csv(&terminated(&all, &gone))).ends(3, "partial");
    let held = held.shows("12 of 40 members of hris-east are terminated by the file (limit 8 = 20%)");
    let config = std::fs::read_to_string(lab.bench.path("config.toml")).unwrap();
    let released = lab.approve_as_told(&held).ends_with(0);
    assert!(released.out.contains("E001") || released.out.contains("12 removed"), "{released:#?}");
    lab.holds(EAST, &ids(&all[12..]));
    assert_eq!(std::fs::read_to_string(lab.bench.path("config.toml")).unwrap(), config);
    lab.bench.run(&["status"]).ends_with(0);
    // The guard is as it was.
    let rest: Vec<usize> = (1..=24).collect();
    lab.go("again.csv", csv(&terminated(&all, &rest))).ends(3, "partial");
    assert_eq!(lab.covered().len(), 28);
}

// === (b) 3: what a hold stops ===

/// (b) 3, user-sync.py#744, #745: when the limit tripped, adds were stopped as well.
#[test]
fn incident_user_sync_744_adds_go_on_while_removals_are_held() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let mixed = [
        with(&all[4..], |it| {
            if it.id == "E005" {
                it.street = "5 New St".into();
            }
        }),
        staff("east", 22)[20..].to_vec(),
        staff("west", 1),
    ];
    let held = lab.go("two.csv", csv(&mixed.concat())).ends(3, "partial");
    assert_eq!((held.count("new"), held.count("changed"), held.count("kept")), (3, 1, 4));
    held.tells("Accepted and delivered, except for what is held (see below).").doubts("E001", "yes");
    lab.holds(EAST, &ids(&staff("east", 22)));
    lab.holds(WEST, &["W001"]);
    assert_eq!(lab.sandbox().roster(EAST)["E005"]["address"]["address_line_1"], "5 New St");
}

/// (b) 3, test-infra#22723 and user-sync.py#411: one bad person stopped everyone, and the list of bad rows came one at a time.
#[test]
fn incident_test_infra_22723_one_bad_row_does_not_stop_the_rest() {
    let lab = Lab::guarded("invalid_rows = \"off\"");
    let all = staff("east", 10);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let bad = with(&staff("east", 12), |it| match it.id.as_str() {
        "E003" => it.zip = "nowhere".into(),
        "E004" => it.state = "Pensilvania".into(),
        "E012" => it.born = "31/31/1980".into(),
        _ => {}
    });
    let passed = lab.go("two.csv", csv(&bad)).ends(0, "completed");
    assert_eq!(passed.count("new"), 1);
    let passed = passed.tells("Rows that could not be used (3)").tells("Line 4, column \"Zip\"");
    let passed = passed.tells("Line 5, column \"State\"").tells("Line 13, column \"Born\"");
    passed.doubts("E003", "yes").doubts("E012", "no");
    lab.holds(EAST, &ids(&staff("east", 11)));
}

/// (b) 3, kanidm#3936, #3940: skipped data must never be skipped silently.
#[test]
fn incident_kanidm_3936_nothing_is_skipped_silently() {
    let lab = Lab::new();
    let all = staff("east", 40);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let odd = with(&all, |it| match it.id.as_str() {
        "E001" => it.mail = "no address".into(),
        "E002" => it.zip = "x".into(),
        _ => {}
    });
    let passed = lab.go("two.csv", csv(&odd));
    let problems = passed.detail["plan"]["problems"].as_array().unwrap().clone();
    let codes: Vec<&str> = problems.iter().map(|problem| problem["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["email_dropped", "bad_zip"]);
    passed.tells("Line 2, column \"Mail\"").tells("Line 3, column \"Zip\"");
    lab.holds(EAST, &ids(&all));
}

// === (b) 4: dry runs ===

/// (b) 4, kanidm#4352: the dry run prints Success, and the real run fails. Every test here plans first and compares; this one has a
/// bit of everything in one file.
#[test]
fn incident_kanidm_4352_a_plan_says_what_the_pass_does() {
    let lab = Lab::guarded("invalid_rows = \"off\"\nrows_dropped = \"off\"");
    let all = [staff("east", 20), staff("west", 20)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let mut two = [without(&staff("east", 21), &[1]), without(&staff("west", 20), &[1, 2, 3, 4, 5, 6])].concat();
    two[3].status = "Terminated".into();
    two[4].zip = "x".into();
    two[5].street = "1 New St".into();
    two.push(two[6].clone());
    two.last_mut().unwrap().street = "2 New St".into();
    two.push(worker("north", 1));
    let mixed = lab.go("two.csv", csv(&two)).ends(3, "partial");
    assert_eq!(mixed.held_by(), ["removals"]);
    let classes = ["new", "changed", "terminated", "missing", "kept"].map(|class| mixed.count(class));
    assert_eq!(classes, [2, 1, 1, 1, 8]);
    assert_eq!(lab.removed(), ["E001", "E005"]);
}

/// (b) 4, keycloak#52293: a wrong password gave 200 and counts of zero.
#[test]
fn incident_keycloak_52293_a_wrong_key_is_not_zero_people() {
    let lab = Lab::new();
    lab.sandbox().accept_only(vec![SecretString::from("vit_apk_another")]);
    let path = lab.bench.path("one.csv");
    std::fs::write(&path, csv(&staff("east", 3))).unwrap();
    for command in
        [["plan", path.to_str().unwrap()].as_slice(), &["sync", path.to_str().unwrap()], &["check"], &["groups"]]
    {
        let said = lab.bench.run(command).ends_with(69);
        assert!(said.err.contains("key") || said.out.contains("key"), "{said:#?}");
    }
    lab.sandbox().accept_only(vec![SecretString::from(KEY)]);
    lab.go("one.csv", csv(&staff("east", 3))).ends(0, "completed");
}

/// (b) 4, user-sync.py#507, #166: "only write the list" changed groups all the same.
#[test]
fn incident_user_sync_507_a_plan_changes_nothing() {
    let lab = Lab::patient();
    let all = staff("east", 10);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let path = lab.bench.path("two.csv");
    std::fs::write(&path, csv(&without(&[all, staff("west", 3)].concat(), &[1]))).unwrap();
    for _ in 0..3 {
        lab.bench.run(&["plan", path.to_str().unwrap()]).ends_with(0);
    }
    assert_eq!((lab.submitted(), lab.sandbox().groups().len(), lab.bench.history().len()), (1, 1, 1));
    let status = lab.status();
    assert_eq!((&status["sources"][0]["absent"], &status["groups"]), (&0.into(), &1.into()), "nothing was counted");
    assert!(super::bench::files(&lab.bench.inbox()).iter().all(|name| !name.contains("two.csv")));
}

// === (b) 5: review ===

/// (b) 5, owncloud#29796 and Connapse#384: a review of what will be removed, and an approval of that and no more.
#[test]
fn incident_connapse_384_an_approval_is_a_ceiling() {
    let lab = Lab::new();
    let all = staff("east", 40);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let held = lab.go("two.csv", csv(&all[..34])).ends(3, "partial");
    for id in ["E035", "E040"] {
        assert!(held.shown.contains(id), "the review names {id}: {}", held.shown);
    }
    // The world moves on: a newer export, accepted, takes the place of what was shown.
    lab.go("three.csv", csv(&staff("east", 41))).ends(0, "completed");
    let refused = lab.bench.run(&["approve", held.run(), "--reason", "late"]);
    assert_ne!(refused.code, 0, "{refused:#?}");
    lab.holds(EAST, &ids(&staff("east", 41)));
}

/// (b) 5, azure-docs#111831: nobody could tell whether the first sync would delete.
#[test]
fn incident_azure_docs_111831_whether_the_first_sync_deletes() {
    let lab = Lab::new();
    let path = lab.bench.path("first.csv");
    std::fs::write(&path, csv(&staff("east", 3))).unwrap();
    let plan = lab.bench.run(&["plan", path.to_str().unwrap()]).ends_with(0);
    assert!(plan.out.contains("In sum: 3 new."), "{}", plan.out);
    lab.sandbox().add_group(EAST, "East");
    let plan = lab.bench.run(&["plan", path.to_str().unwrap()]).ends_with(3);
    let said = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("submitting 3 people would remove everybody else"), "{}", plan.out);
}

// === (b) 7: nobody notices ===

/// (b) 7, user-sync.py#803, #801: nobody noticed, and the exit code was 0.
#[test]
fn incident_user_sync_803_holds_and_failures_are_noticed() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let held = lab.go("two.csv", csv(&all[..17])).ends(3, "partial");
    let status = lab.bench.run(&["status"]).ends_with(3);
    assert!(status.out.contains("1 run waits for a decision") && status.out.contains(held.run()), "{}", status.out);
    assert_eq!(lab.bench.history()[0]["state"], "partial");
    lab.bench.run(&["discard", held.run(), "--reason", "wrong file"]);
    lab.sandbox().fail_next("E021", FailOn::Add, "active elsewhere");
    lab.go("three.csv", csv(&staff("east", 21))).ends(4, "partial").doubts("E021", "no");
    lab.go("empty.csv", HEADER).ends(65, "rejected");
}

/// (b) 7, authentik#6408, keycloak#19056: people who have left, and stay. What the file states is done at once, whatever is held.
#[test]
fn incident_authentik_6408_leavers_that_stay() {
    let lab = Lab::patient();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let two = lab.go("two.csv", csv(&without(&terminated(&all, &[1]), &[2]))).ends(0, "completed");
    assert_eq!((two.count("terminated"), two.count("kept")), (1, 1));
    assert_eq!(lab.status()["sources"][0]["absent"], 1);
    // Absent once more, and one more stated: neither waits for the other.
    lab.go("three.csv", csv(&without(&terminated(&all, &[3]), &[1, 2]))).ends(0, "completed");
    assert_eq!(lab.removed(), ["E001", "E002", "E003"]);
}
