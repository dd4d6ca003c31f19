//! `api-contract.md` 13: the traps of the API, one test each. What is proven at length elsewhere has a short one here.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;
use rosterd::sandbox::script::{FailOn, Fault, On, Rule};
use serde_json::{Value, json};

use super::bench::{Settings, until};
use super::lab::{EAST, HEADER, Lab, Outcome, WEST, Worker, csv, ids, staff, terminated, with, without, worker};

/// What the API holds of one person.
fn record(lab: &Lab, id: &str) -> Value {
    lab.sandbox().roster(EAST).remove(id).unwrap_or_else(|| panic!("{id} is not covered"))
}

/// Trap 1: a row that fails validation must not be dropped from the payload while the person is covered.
#[test]
fn trap_01_omission_is_loss_of_coverage() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let bad = with(&staff("east", 21), |it| {
        if it.id == "E003" {
            it.zip = "x".into();
        }
    });
    lab.go("two.csv", csv(&bad)).ends(0, "completed").doubts("E003", "yes");
    lab.holds(EAST, &ids(&staff("east", 21)));
    // The last accepted version of the row went out, and a row without an id freezes whoever is missing.
    assert_eq!(record(&lab, "E003")["address"]["zipcode"], "16501");
    let nameless = with(&staff("east", 21), |it| {
        if it.id == "E004" {
            it.id.clear();
        }
    });
    lab.go("three.csv", csv(&nameless)).ends(0, "unchanged").doubts("E004", "yes");
    assert_eq!(lab.removed(), [""; 0]);
}

/// Trap 2: a truncated, empty or wrongly encoded CSV is a valid mass termination.
#[test]
fn trap_02_a_broken_file_is_a_valid_mass_termination() {
    let lab = Lab::new();
    let all = staff("east", 12);
    let text = csv(&all);
    lab.go("one.csv", &text).ends(0, "completed");
    let odd: Vec<u8> = text.bytes().map(|byte| if byte == b'K' { 0x81 } else { byte }).collect();
    for (name, bytes) in [
        ("empty.csv", Vec::new()),
        ("cut.csv", text.as_bytes()[..text.len() - 30].to_vec()),
        ("header.csv", HEADER.into()),
    ] {
        lab.go(name, bytes).ends(65, "rejected");
    }
    let odd = lab.go("odd.csv", odd);
    assert!([3, 65].contains(&odd.code), "{odd:#?}");
    lab.go("half.csv", csv(&all[..6])).ends(3, "held").tells("Nobody gained or lost coverage");
    assert_eq!(lab.submitted(), 1);
    lab.holds(EAST, &ids(&all));
}

/// Trap 3: one bad row is a 400 for all. Rows are checked at least as strictly here, and a 400 names its group.
#[test]
fn trap_03_one_bad_row_is_a_refusal_of_all() {
    let lab = Lab::guarded("invalid_rows = \"off\"");
    let mut rows = staff("east", 14);
    let spoilt: [fn(&mut Worker); 10] = [
        |it| it.first.clear(),
        |it| it.last = "x".repeat(300),
        |it| it.born = "2999-01-01".into(),
        |it| it.born = "1980-02-30".into(),
        |it| it.state = "ZZ".into(),
        |it| it.zip = "123".into(),
        |it| it.street.clear(),
        |it| it.id = "1.23E+05".into(),
        |it| it.phone = "123".into(),
        |it| it.mail = "nobody".into(),
    ];
    rows.iter_mut().zip(spoilt).for_each(|(row, spoil)| spoil(row));
    let twin = with(&rows[13..], |it| it.street = "another".into());
    rows.extend(twin);
    lab.go("one.csv", csv(&rows)).ends(0, "completed");
    // Phones and e-mails that cannot be used are left out; nobody is refused for them.
    lab.holds(EAST, &["E009", "E010", "E011", "E012", "E013"]);
    assert!(lab.sandbox().calls().iter().all(|call| call.status.is_some_and(|status| status < 400)));
    // Should the API refuse all the same: loudly, with the group's name, and nobody loses anything.
    lab.sandbox().misbehave(Rule::new(On::Submit, Fault::Status).status(400)).unwrap();
    let refused = lab.go("two.csv", csv(&staff("east", 15))).ends(4, "failed");
    refused.shows("rosterd retry hris-east").tells("hris-east: not accepted; nobody of this group was changed.");
    lab.holds(EAST, &["E009", "E010", "E011", "E012", "E013"]);
}

/// Trap 4: the API keeps a known member on the plan that they were added with, and says nothing.
#[test]
fn trap_04_plan_changes_are_silently_not_applied() {
    let lab = Lab::new();
    lab.edit(
        "[source.plan]\ndefault = \"pln_basic\"\n",
        "[source.plan]\ncolumn = \"Plan\"\nmap = { Basic = \"pln_basic\", Gold = \"pln_gold\" }\n",
    );
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let gold = with(&all, |it| {
        if it.id == "E002" {
            it.plan = "Gold".into();
        }
    });
    let outcome = lab.go("two.csv", csv(&gold)).ends(0, "completed");
    assert_eq!(record(&lab, "E002")["plan_id"], "pln_basic");
    outcome
        .tells("New plans that do not take effect (1)")
        .shows("the API keeps members on the plan that they were added with");
}

/// Trap 5: the prior state is what was confirmed, not what was submitted.
#[test]
fn trap_05_prior_state_is_what_was_confirmed() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    lab.sandbox().fail_next("E021", FailOn::Add, "provisioning failed");
    lab.sandbox().fail_next("E001", FailOn::Remove, "claims are open");
    let two = terminated(&staff("east", 22), &[1]);
    lab.go("two.csv", csv(&two)).ends(4, "partial").doubts("E001", "yes").doubts("E021", "no");
    assert_eq!(lab.status()["members"], 21, "E001 and E022 are, E021 is not");
    // Both are tried again; neither is news to the plan that it is not.
    let three = lab.go("three.csv", csv(&with(&two, |it| it.hired = "2002-01-01".into()))).ends(0, "completed");
    assert_eq!((three.count("new"), three.count("terminated")), (1, 1));
    lab.holds(EAST, &ids(&staff("east", 22)[1..]));
}

/// Trap 6: a crash between acceptance and completion goes on with the stored request id.
#[test]
fn trap_06_a_crash_after_acceptance_polls_the_same_request_on() {
    let lab = Lab::scripted(&Settings::default(), Duration::from_millis(1500));
    let daemon = lab.bench.daemon();
    lab.bench.drop("one.csv", &csv(&staff("east", 3)));
    until("acceptance on record", || (lab.status()["under_way"][0]["phase"] == "accepted").then_some(()));
    drop(daemon);
    lab.sandbox().client_died();
    assert_eq!(lab.status()["under_way"][0]["phase"], "accepted");
    let daemon = lab.bench.daemon();
    lab.bench.run_of("one.csv", &["completed"]);
    assert_eq!(lab.submitted(), 1);
    lab.holds(EAST, &["E001", "E002", "E003"]);
    daemon.stop();
}

/// Trap 7: success has no proof row by row. What was submitted is kept with the request that completed.
#[test]
fn trap_07_success_has_no_proof_row_by_row() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let two = with(&staff("east", 21), |it| {
        if it.id == "E002" {
            it.street = "2 New St".into();
        }
    });
    let outcome = lab.go("two.csv", csv(&two)).ends(0, "completed");
    let batch = outcome.detail["batches"][0]["batch"].as_str().unwrap();
    let shown = lab.show(batch);
    let changes: Vec<(&Value, &Value)> =
        shown["changes"].as_array().unwrap().iter().map(|it| (&it["reference_id"], &it["change"])).collect();
    assert_eq!(changes, [(&json!("E002"), &json!("changed")), (&json!("E021"), &json!("added"))]);
    assert!(shown["batch"]["request_id"].as_str().unwrap().starts_with("grpmsr_"));
    // The same rows again are nothing to send.
    lab.go("three.csv", csv(&with(&two, |it| it.hired = "2002-01-01".into()))).ends(0, "unchanged");
    assert_eq!(lab.submitted(), 2);
}

/// Trap 8: HR systems that renumber people make one person look like a removal and an addition.
#[test]
fn trap_08_renumbered_people_are_neither_removed_nor_added() {
    let lab = Lab::patient();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let renumbered = with(&all, |it| {
        if it.id == "E005" {
            it.id = "E905".into();
        }
    });
    let held = lab.go("two.csv", csv(&renumbered)).ends(3, "partial");
    assert_eq!(held.held_by(), ["confirm_absence", "renumbered"]);
    held.doubts("E905", "no").doubts("E005", "yes");
    lab.holds(EAST, &ids(&all));
}

// === moves ===

/// Everybody is covered, in one group each, whatever became of the move.
#[track_caller]
fn nobody_is_uncovered(lab: &Lab, everybody: &BTreeSet<String>) {
    assert_eq!(lab.covered(), *everybody);
    lab.is_lawful();
}

/// Trap 9: a move is two syncs in order, and a swap is all removals first, then all additions.
#[test]
fn trap_09_moves_swaps_and_cycles_are_ordered() {
    let lab = Lab::new();
    let all = [staff("east", 20), staff("west", 20), staff("north", 20)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let everybody = lab.covered();
    let go = |name: &str, moves: &[(&str, &str)]| -> Outcome {
        let moved = with(&all, |it| {
            if let Some((_, to)) = moves.iter().find(|(id, _)| *id == it.id) {
                it.division = (*to).into();
            }
        });
        lab.go(name, csv(&moved))
    };
    go("move.csv", &[("E001", "west")]).ends(0, "completed");
    nobody_is_uncovered(&lab, &everybody);
    assert!(lab.sandbox().roster(WEST).contains_key("E001"));
    go("swap.csv", &[("E001", "west"), ("E002", "west"), ("W001", "east")]).ends(0, "completed");
    nobody_is_uncovered(&lab, &everybody);
    assert!(lab.sandbox().roster(EAST).contains_key("W001") && lab.sandbox().roster(WEST).contains_key("E002"));
    go("cycle.csv", &[("E001", "west"), ("E003", "west"), ("W002", "north"), ("N001", "east")]);
    nobody_is_uncovered(&lab, &everybody);
    let groups = [(EAST, "N001"), (WEST, "E003"), ("hris-north", "W002")];
    assert!(groups.iter().all(|(group, id)| lab.sandbox().roster(group).contains_key(*id)));
}

/// Trap 10: what blocks the leaving of group A blocks the joining of group B.
#[test]
fn trap_10_a_blocked_leaving_blocks_the_joining() {
    let lab = Lab::new();
    let all = [staff("east", 20), staff("west", 20)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let everybody = lab.covered();
    let moved = |street: &str| {
        csv(&with(&all, |it| {
            if it.id == "E001" {
                it.division = "west".into();
            }
            if it.id == "W001" {
                it.street = street.into();
            }
        }))
    };
    // The group that E001 leaves refuses the roster, then fails the removal.
    lab.sandbox().misbehave(Rule::new(On::Submit, Fault::Status).status(400).group(EAST)).unwrap();
    lab.go("refused.csv", moved("1 New St"));
    nobody_is_uncovered(&lab, &everybody);
    assert!(lab.sandbox().roster(EAST).contains_key("E001"), "nothing of it was done");
    lab.sandbox().behave();
    lab.sandbox().fail_next("E001", FailOn::Remove, "claims are open");
    lab.go("failed.csv", moved("2 New St"));
    nobody_is_uncovered(&lab, &everybody);
}

/// Trap 11: one employee in two groups, or in the files of two sources: refused, never chosen silently.
#[test]
fn trap_11_one_employee_in_two_groups_is_refused() {
    let lab = Lab::new();
    let all = [staff("east", 20), staff("west", 20)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let both = [
        all,
        with(&staff("east", 1), |it| it.division = "west".into()),
        staff("east", 21)[20..].to_vec(),
        with(&staff("east", 21)[20..], |it| it.division = "west".into()),
    ];
    let outcome = lab.go("two.csv", csv(&both.concat()));
    let outcome = outcome.doubts("E001", "yes").doubts("E021", "no");
    assert_eq!(outcome.detail["plan"]["problems"][0]["code"], "conflict");
    lab.holds(EAST, &ids(&staff("east", 20)));
    lab.holds(WEST, &ids(&staff("west", 20)));
}

/// Trap 12: somebody who is active elsewhere fails with every sync; kept in the payload, they attach once they are free.
#[test]
fn trap_12_blocked_people_stay_in_the_payload() {
    let lab = Lab::new();
    let all = staff("east", 3);
    let born = NaiveDate::parse_from_str(&all[1].born, "%Y-%m-%d").unwrap();
    lab.sandbox().block_person(&all[1].mail, born);
    lab.go("one.csv", csv(&all)).ends(4, "partial").doubts("E002", "no");
    lab.go("two.csv", csv(&staff("east", 4))).ends(4, "partial");
    assert!(lab.sandbox().requests().iter().all(|request| request.payload_ids.contains(&"E002".to_owned())));
    lab.sandbox().unblock_person(&all[1].mail, born);
    lab.go("three.csv", csv(&staff("east", 5))).ends(0, "completed");
    lab.holds(EAST, &ids(&staff("east", 5)));
}

/// Trap 13: the census sync is another product, with other fields and rules. Nothing of it is used here.
#[test]
fn trap_13_no_rules_of_the_census_sync() {
    let lab = Lab::new();
    let people = with(&staff("east", 3), |it| it.phone = "+1 (215) 555-0100 x12".into());
    lab.go("one.csv", csv(&people)).ends(0, "completed");
    let record = record(&lab, "E001");
    let mut keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["address", "date_of_birth", "email", "first_name", "last_name", "phone", "plan_id", "reference_id"]
    );
    assert_eq!(record["phone"], "2155550100");
    // A path that is no part of the group API would be in the log with the status 404.
    assert!(lab.sandbox().calls().iter().all(|call| call.status.is_some_and(|status| status < 300)));
}

/// Trap 14: there are webhooks for other resources; results come by asking.
#[test]
fn trap_14_results_come_without_webhooks() {
    let lab = Lab::new();
    lab.go("one.csv", csv(&staff("east", 3))).ends(0, "completed");
    assert!(lab.sandbox().calls().iter().any(|call| call.on == On::Poll));
    lab.edit("[poll]\n", "[webhooks]\nsecret = \"x\"\n[poll]\n");
    let said = lab.bench.run(&["check", "--offline"]).ends_with(78);
    assert!(said.err.contains("webhooks"), "{said:#?}");
}

/// Trap 15: names, birth dates, addresses and reasons stay out of logs, errors and what the dropper gets.
#[test]
fn trap_15_personal_data_stays_out_of_what_is_written() {
    let lab = Lab::new();
    lab.sandbox().fail_next("E002", FailOn::Add, "Zebulonia Quirk, born 1961-07-08, is covered elsewhere");
    let people = with(&staff("east", 4), |it| {
        it.first = "Zebulonia".into();
        it.street = "77 Marchpane Row".into();
        if it.id == "E003" {
            it.zip = "Marchpane".into();
        }
    });
    let path = lab.bench.path("one.csv");
    std::fs::write(&path, csv(&people)).unwrap();
    let output =
        lab.bench.command().env("RUST_LOG", "trace").args(["--log", "json", "sync"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let run = lab.bench.history().remove(0);
    let receipt = lab.receipt(&lab.show(run["run"].as_str().unwrap()));
    let told = [
        log,
        receipt,
        lab.bench.run(&["history"]).out,
        lab.bench.run(&["status"]).out,
        lab.bench.run(&["--json", "status"]).out,
    ];
    for text in told {
        for secret in ["Zebulonia", "Marchpane", "1961-07-08", "@corp.example", "215555"] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
}

/// Trap 16: API times are UTC, a birth date is a day without a zone, and days of the HR system are days of its own zone.
#[test]
fn trap_16_birth_dates_never_go_through_a_time_zone() {
    let lab = Lab::new();
    let people = with(&staff("east", 3), |it| it.born = "1980-01-01".into());
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"] {
        let path = lab.bench.path("one.csv");
        std::fs::write(&path, csv(&with(&people, |it| it.street = zone.to_owned()))).unwrap();
        let output = lab.bench.command().env("TZ", zone).arg("sync").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(record(&lab, "E001")["date_of_birth"], "1980-01-01");
    }
    // A start counts from its own day on.
    lab.edit("[source.eligibility]\n", "[source.eligibility]\nstart = \"Hired\"\n");
    let hired = [people, with(&staff("east", 4)[3..], |it| it.hired = "2026-07-02".into())].concat();
    lab.pass("two.csv", csv(&hired), &["--as-of", "2026-07-01"]);
    assert_eq!(lab.sandbox().roster(EAST).len(), 3);
    lab.pass("three.csv", csv(&with(&hired, |it| it.plan = "any".into())), &["--as-of", "2026-07-02"])
        .ends(0, "completed");
    assert_eq!(lab.sandbox().roster(EAST).len(), 4);
}

/// Trap 17: what spreadsheets do to ZIP codes, telephone numbers, dates and names.
#[test]
fn trap_17_excel_damaged_data() {
    let lab = Lab::guarded("invalid_rows = \"off\"");
    lab.edit("dates = \"ymd\"", "dates = \"mdy\"");
    let damaged = with(&staff("east", 5), |it| match it.id.as_str() {
        "E001" => (it.zip, it.state) = ("2115".into(), "MA".into()),
        "E002" => (it.zip, it.state) = ("21151234".into(), "MA".into()),
        "E003" => it.phone = "2.15556E+09".into(),
        "E004" => (it.born, it.first) = ("2/9/80".into(), "  Kim ".into()),
        _ => it.id = "1.23E+05".into(),
    });
    lab.go("one.csv", csv(&damaged)).ends(0, "completed").tells("Line 6, column \"Id\"");
    lab.holds(EAST, &["E001", "E002", "E003", "E004"]);
    let zip = |id| record(&lab, id)["address"]["zipcode"].clone();
    assert_eq!((zip("E001"), zip("E002")), (json!("02115"), json!("02115-1234")));
    assert_eq!(record(&lab, "E003").get("phone"), None, "a number that lost its digits is left out");
    let four = record(&lab, "E004");
    assert_eq!((&four["date_of_birth"], &four["first_name"]), (&json!("1980-02-09"), &json!("Kim")));
}

/// Trap 18: names of states in full, and in lower case.
#[test]
fn trap_18_state_names_are_mapped() {
    let lab = Lab::new();
    let written = ["California", "pennsylvania", "ny", "District of Columbia", "puerto rico"];
    let people = with(&staff("east", 5), |it| {
        it.state = written[it.id.trim_start_matches('E').parse::<usize>().unwrap() - 1].into();
    });
    lab.go("one.csv", csv(&people)).ends(0, "completed");
    let states: Vec<Value> = ids(&people).iter().map(|id| record(&lab, id)["address"]["state"].clone()).collect();
    assert_eq!(states, ["CA", "PA", "NY", "DC", "PR"]);
}

/// Trap 19: a retry can make two accepted requests; the results of the second are mostly empty, and all is well.
#[test]
fn trap_19_two_accepted_requests_are_no_incident() {
    let lab = Lab::new();
    let all = staff("east", 20);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    lab.sandbox().misbehave(Rule::new(On::Submit, Fault::AcceptThenReset)).unwrap();
    let two = without(&staff("east", 21), &[1]);
    let outcome = lab.go("two.csv", csv(&two)).ends(0, "completed");
    let requests = lab.sandbox().requests();
    assert_eq!((requests.len(), &requests[1].added, &requests[2].added), (3, &vec!["E021".to_owned()], &Vec::new()));
    assert_eq!((outcome.count("new"), outcome.count("missing"), outcome.count("confirmed")), (1, 1, 2));
    lab.holds(EAST, &ids(&two));
    lab.bench.run(&["status"]).ends_with(0);
}

/// Trap 20: the documents lag behind. Keys that nobody knows are in the sandbox's answers, and an operation that nobody knows is told
/// and not stumbled over; what is sent has the documented keys alone.
#[test]
fn trap_20_answers_that_the_documents_do_not_have() {
    let lab = Lab::new();
    lab.go("one.csv", csv(&staff("east", 3))).ends(0, "completed");
    lab.sandbox().misbehave(Rule::new(On::Submit, Fault::UnknownOperation)).unwrap();
    lab.go("two.csv", csv(&staff("east", 4))).ends(4, "partial").shows("reconcile").tells("Still covered: not known.");
    lab.go("three.csv", csv(&[staff("east", 4), vec![worker("east", 5)]].concat())).ends(0, "completed");
    lab.holds(EAST, &ids(&staff("east", 5)));
}
