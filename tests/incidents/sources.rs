//! `peers.md` (b) 1: an empty, short or misread source removed everybody. (b) 6: several sources feeding one target.

use rosterd::sandbox::script::{Fault, On, Rule};
use serde_json::json;

use super::bench::{Settings, until};
use super::lab::{EAST, HEADER, Lab, WEST, csv, ids, staff, terminated, with, without, worker};

/// (b) 1, Okta: "CSV Imports are Being Truncated". An older agent dropped lines of the CSV; people were removed, and added again
/// by the next import.
#[test]
fn incident_okta_truncated_csv_import() {
    let lab = Lab::patient();
    let all = staff("east", 61);
    lab.go("monday.csv", csv(&all)).ends(0, "completed");
    // Cut at the end of a line, where nothing in the file shows it, and lines lost in the middle.
    let tuesday = lab.go("tuesday.csv", csv(&without(&all, &[20, 21, 60, 61]))).ends(0, "unchanged");
    assert_eq!((tuesday.count("kept"), tuesday.count("missing")), (4, 0));
    tuesday.doubts("E061", "yes").shows("missing from 1 of the 2 exports");
    let thursday = lab.go("thursday.csv", csv(&staff("east", 62))).ends(0, "completed");
    assert_eq!((thursday.count("new"), thursday.count("returning"), thursday.count("kept")), (1, 0, 0));
    assert_eq!(lab.removed(), [""; 0]);
    // Cut within a line, it is not read at all.
    let text = csv(&all);
    lab.go("cut.csv", &text.as_bytes()[..text.len() - 30]).ends(65, "rejected").tells("the upload did not finish");
    assert_eq!(lab.covered().len(), 62);
}

/// The same where one export without a person is enough: the share of the group holds it.
#[test]
fn incident_okta_truncated_csv_import_where_absence_counts_at_once() {
    let lab = Lab::new();
    let all = staff("east", 61);
    lab.go("monday.csv", csv(&all)).ends(0, "completed");
    let short = lab.go("tuesday.csv", csv(&all[..50])).ends(3, "partial");
    assert_eq!(short.held_by(), ["removals"]);
    short.shows("11 of 61 members of hris-east would be removed (limit 6 = 10%)").doubts("E051", "yes");
    lab.go("wednesday.csv", csv(&staff("east", 62))).ends(0, "completed");
    assert_eq!(lab.removed(), [""; 0]);
}

/// The same where the file ends within its last cell, and ids stand last: the row is whole, and names somebody else.
#[test]
fn incident_okta_truncated_csv_import_within_an_id() {
    let lab = Lab::new();
    let ids_last = |text: String| -> String {
        let moved = text.lines().map(|line| line.split_once(',').map(|(id, rest)| format!("{rest},{id}\n")).unwrap());
        moved.collect()
    };
    let monday = ids_last(csv(&staff("east", 61)));
    lab.go("monday.csv", &monday).ends(0, "completed");
    let cut = monday.strip_suffix("61\n").unwrap();
    let tuesday = lab.go("tuesday.csv", cut).ends(0, "unchanged");
    assert_eq!((tuesday.count("new"), tuesday.count("missing"), tuesday.count("kept")), (0, 0, 1));
    tuesday.doubts("E061", "yes").shows("the row may be cut off");
    // Looked at again, it is what it was.
    assert_eq!(lab.go("again.csv", cut).count("missing"), 0);
    // A system that writes no last line end any more is believed from its second file on.
    let open = ids_last(csv(&staff("east", 62)));
    lab.go("wednesday.csv", open.trim_end()).ends(0, "completed");
    assert_eq!((lab.covered().len(), lab.removed()), (62, vec![]));
}

/// (b) 1, `SchoolStatus`: invisible characters or typos in headers, a wrong encoding, or only a header line: everybody is to be
/// removed, and the report says Success.
#[test]
fn incident_schoolstatus_headers_and_encoding_that_report_success() {
    let lab = Lab::new();
    let all = staff("east", 12);
    let text = csv(&all);
    lab.go("good.csv", &text).ends(0, "completed");
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut cut = text.clone().into_bytes();
    cut.extend_from_slice(b"E013,Ren\xe9e,Stone,1980-01-01,x@corp.example,2155550199,1 Elm St,Erie,PA,16501,east,Act");
    let unusable: [(&str, Vec<u8>, &str); 4] = [
        ("header.csv", HEADER.into(), "Rejected: nothing of this file was applied."),
        ("typo.csv", text.replacen("Id,", "Idd,", 1).into(), "lacks \"Id\""),
        ("twice.csv", text.replacen("Id,First", "Id,Id", 1).into(), "Rejected"),
        ("bytes.csv", cut, "Rejected"),
    ];
    for (name, bytes, says) in unusable {
        let outcome = lab.go(name, bytes).ends(65, "rejected").tells(says);
        assert!(outcome.receipt.contains("Nobody gained or lost coverage because of this file."), "{outcome:#?}");
    }
    // Headers whose columns changed places are read, and seen to be wrong.
    let swapped = text.replacen("First,Last", "Last,First", 1);
    let outcome = lab.go("swapped.csv", swapped).ends(3, "held");
    assert_eq!(outcome.held_by(), ["field_changed"]);
    assert_eq!(lab.submitted(), 1);
    // What is invisible and harmless is read through, and an encoding that can be told is told. Where the config says another,
    // nothing is guessed.
    lab.go("utf16.csv", &utf16).ends(0, "unchanged");
    lab.edit("[source.format]\n", "[source.format]\nencoding = \"utf-8\"\n");
    lab.go("wrong.csv", [&utf16[..], b"\n\0"].concat()).ends(65, "rejected");
    let padded = text.replacen("Id,First", "\u{feff}I\u{200b}d ,First\u{a0}", 1).replace("1 Elm St", "1 Oak St");
    lab.go("padded.csv", padded).ends(0, "completed");
    lab.holds(EAST, &ids(&all));
}

/// (b) 1, keycloak#48781: a wrong search scope returned nobody, without an error, and a full sync orphaned everybody.
#[test]
fn incident_keycloak_48781_wrong_search_scope_found_nobody() {
    let lab = Lab::new();
    let all = [staff("east", 10), staff("west", 10)].concat();
    lab.go("all.csv", csv(&all)).ends(0, "completed");
    let scope = lab.go("scope.csv", csv(&all[10..])).ends(3, "held");
    assert_eq!(scope.held_by(), ["empty", "removals", "rows_dropped"]);
    scope
        .shows("10 rows, 20 in the last accepted export")
        .tells("Nobody gained or lost coverage because of this file.");
    assert_eq!(lab.covered().len(), 20);
    // Without a look at the whole file, the group that came back empty is held, and the other goes on.
    lab.edit("[guards]\n", "[guards]\nrows_dropped = \"off\"\n");
    let scope = lab.go("scope2.csv", csv(&staff("west", 11))).ends(3, "partial");
    assert_eq!(scope.held_by(), ["empty", "removals"]);
    scope.shows("all 10 members of hris-east would be removed");
    lab.holds(WEST, &ids(&staff("west", 11)));
    lab.holds(EAST, &ids(&staff("east", 10)));
}

/// (b) 1, keycloak#24669 and #37823: lookups that timed out came back without some people, here and there.
#[test]
fn incident_keycloak_24669_people_missing_at_random() {
    let lab = Lab::new();
    let all = staff("east", 40);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let holes = [without(&all, &[3, 9, 14, 22, 31, 40]), vec![worker("east", 41)]].concat();
    let held = lab.go("two.csv", csv(&holes)).ends(3, "partial");
    assert_eq!((held.held_by(), held.count("new")), (vec!["removals"], 1));
    let back = lab.go("three.csv", csv(&staff("east", 41))).ends(0, "unchanged");
    assert_eq!(back.count("returning"), 0);
    assert_eq!((lab.covered().len(), lab.removed().len()), (41, 0));
}

/// (b) 1, gitea#7949, #3815, #15324: an empty answer is not an order to remove everybody.
#[test]
fn incident_gitea_7949_an_empty_answer_is_not_an_order() {
    let lab = Lab::new();
    lab.go("one.csv", csv(&staff("east", 3))).ends(0, "completed");
    for (name, text) in
        [("zero.csv", ""), ("blank.csv", "\n\r\n \n"), ("mark.csv", "\u{feff}"), ("commas.csv", ",,,,\n,,,,\n")]
    {
        lab.go(name, text).ends(65, "rejected").tells("Rejected: nothing of this file was applied.");
    }
    lab.holds(EAST, &["E001", "E002", "E003"]);
    assert_eq!(lab.submitted(), 1);
}

/// (b) 1, glpi#984: the directory could not be reached, and 512 users were disabled.
#[test]
fn incident_glpi_984_directory_unreachable() {
    let lab = Lab::new();
    lab.go("one.csv", csv(&staff("east", 5))).ends(0, "completed");
    std::fs::remove_dir_all(lab.bench.inbox()).unwrap();
    let gone = lab.bench.inbox().join("two.csv");
    lab.bench.run(&["sync", gone.to_str().unwrap()]).ends_with(66);
    lab.bench.run(&["plan", gone.to_str().unwrap()]).ends_with(66);
    lab.bench.run(&["check"]).ends_with(78);
    lab.holds(EAST, &ids(&staff("east", 5)));
    assert_eq!(lab.submitted(), 1);
}

/// (b) 1, music-assistant#3648 and syncthing#9718: a share that was not mounted looked like an empty one.
#[test]
fn incident_music_assistant_3648_unmounted_inbox() {
    let lab = Lab::new();
    let daemon = lab.bench.daemon();
    lab.bench.drop("one.csv", &csv(&staff("east", 5)));
    lab.bench.run_of("one.csv", &["completed"]);
    // The share goes away; then there is the bare mount point, empty.
    std::fs::rename(lab.bench.inbox(), lab.bench.path("away")).unwrap();
    until("the status says it", || (lab.bench.run(&["status"]).code == 66).then_some(()));
    assert!(lab.bench.run(&["status"]).out.contains("inbox of hris is in trouble"));
    std::fs::create_dir(lab.bench.inbox()).unwrap();
    until("all is well", || (lab.bench.run(&["status"]).code == 0).then_some(()));
    lab.holds(EAST, &ids(&staff("east", 5)));
    lab.bench.drop("two.csv", &csv(&staff("east", 6)));
    lab.bench.run_of("two.csv", &["completed"]);
    lab.holds(EAST, &ids(&staff("east", 6)));
    assert_eq!(lab.removed(), [""; 0]);
    daemon.stop();
}

/// (b) 1, authentik#19295: a filter mistake, and "delete what was not found" wiped all users.
#[test]
fn incident_authentik_19295_filter_mistake() {
    let lab = Lab::new();
    let all = with(&staff("east", 30), |it| {
        if it.id.as_str() < "E025" {
            it.plan = "Part time".into();
        }
    });
    lab.go("all.csv", csv(&all)).ends(0, "completed");
    // The report in the HR system now lists only some.
    let some: Vec<_> = all.iter().filter(|it| it.plan == "Basic").cloned().collect();
    let filtered = lab.go("filtered.csv", csv(&some)).ends(3, "held");
    assert!(filtered.held_by().contains(&"rows_dropped"), "{filtered:#?}");
    // The mistake is ours: nobody's status is covered any more, or everybody's ends it.
    lab.edit("covered = [\"Active\"]", "covered = [\"Aktiv\"]");
    lab.go("words.csv", csv(&with(&all, |it| it.street.push('b')))).ends(65, "rejected").tells("Status");
    lab.edit(
        "covered = [\"Aktiv\"]\nterminated = [\"Terminated\"]",
        "covered = [\"Leave\"]\nterminated = [\"Active\"]",
    );
    let ended = lab.go("ended.csv", csv(&with(&all, |it| it.street.push('c')))).ends(3, "partial");
    assert!(ended.held_by().contains(&"terminations") && ended.held_by().contains(&"empty"), "{ended:#?}");
    assert_eq!((lab.covered().len(), lab.removed().len(), lab.submitted()), (30, 0, 1));
}

/// (b) 1, feed-me#422: an import suspended every account.
#[test]
fn incident_feed_me_422_every_account_suspended() {
    let lab = Lab::new();
    let all = staff("east", 8);
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let everybody = lab.go("two.csv", csv(&terminated(&all, &[1, 2, 3, 4, 5, 6, 7, 8]))).ends(3, "partial");
    assert_eq!(everybody.held_by(), ["empty", "terminations"]);
    everybody.shows("all 8 members of hris-east would be removed").doubts("E008", "yes");
    lab.holds(EAST, &ids(&all));
}

/// (b) 1, ssosync#194, #236, #159: a listing of the API came back incomplete, and groups nobody had given to the tool were deleted.
#[test]
fn incident_ssosync_194_incomplete_listing_and_unmanaged_groups() {
    let lab = Lab::new();
    lab.sandbox().add_group("by-hand", "By hand");
    let by_hand = json!({
        "reference_id": "H1", "first_name": "Sam", "last_name": "Old", "date_of_birth": "1970-01-01", "plan_id": "pln_basic",
        "address": {"address_line_1": "1 Elm St", "city": "Erie", "state": "PA", "zipcode": "16501"},
    });
    lab.sandbox().seed_member("by-hand", &by_hand).unwrap();
    lab.go("one.csv", csv(&staff("east", 3))).ends(0, "completed");
    for fault in [Fault::HalfAnswer, Fault::Error500, Fault::Html502, Fault::Reset] {
        lab.sandbox().misbehave(Rule::new(On::List, fault).always()).unwrap();
        let two = [staff("east", 3), staff("west", 2)].concat();
        let path = lab.bench.path("two.csv");
        std::fs::write(&path, csv(&two)).unwrap();
        let said = lab.bench.run(&["sync", path.to_str().unwrap()]);
        assert!([69, 75].contains(&said.code), "{fault:?}: {said:#?}");
        lab.sandbox().behave();
        lab.holds(EAST, &["E001", "E002", "E003"]);
    }
    lab.go("three.csv", csv(&[staff("east", 3), staff("west", 2)].concat())).ends(0, "completed");
    lab.holds(WEST, &["W001", "W002"]);
    lab.holds("by-hand", &["H1"]);
    assert_eq!(lab.sandbox().groups().len(), 3);
}

/// (b) 1, airbyte#11251, #44497: a refresh of no records replaced good data, and was reported complete.
#[test]
fn incident_airbyte_11251_zero_record_refresh() {
    let lab = Lab::new();
    lab.go("good.csv", csv(&staff("east", 4))).ends(0, "completed");
    lab.go("refresh.csv", HEADER).ends(65, "rejected").shows("Nobody gained or lost coverage");
    assert_eq!(lab.status()["sources"][0]["last_accepted"]["name"], "good.csv");
    assert!(lab.bench.run(&["history"]).out.contains("rejected"));
    lab.go("next.csv", csv(&staff("east", 5))).ends(0, "completed");
    lab.holds(EAST, &ids(&staff("east", 5)));
}

/// (b) 1, parachord#344 and Connapse#384: only the first page of the listing arrived.
#[test]
fn incident_parachord_344_partial_page() {
    let lab = Lab::patient();
    let all = staff("east", 130);
    lab.go("all.csv", csv(&all)).ends(0, "completed");
    let page = lab.go("page.csv", csv(&all[..100])).ends(3, "held");
    page.shows("100 rows, 130 in the last accepted export").tells("If it is wrong, drop a corrected export.");
    // The next page alone is no better, and the whole file takes the place of both.
    lab.go("page2.csv", csv(&all[100..])).ends(3, "held");
    lab.go("all2.csv", csv(&staff("east", 131))).ends(0, "completed");
    assert_eq!((lab.covered().len(), lab.removed().len()), (131, 0));
    lab.bench.run(&["status"]).ends_with(0);
}

/// (b) 1, kubernetes/org#4365: a mistake in the config of the teams removed members. Here the groups get other references, then
/// the groups come from another column, then the mistake is mended.
#[test]
fn incident_kubernetes_org_4365_wrong_group_mapping() {
    let lab = Lab::new();
    let all = [staff("east", 12), staff("west", 12)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    let everybody = lab.covered();
    lab.edit("external_reference_id = \"hris-{value}\"", "external_reference_id = \"team-{value}\"");
    lab.go("renamed.csv", csv(&with(&all, |it| it.hired = "2002-01-01".into())));
    assert_eq!(lab.covered(), everybody);
    lab.edit("column = \"Division\"", "column = \"City\"");
    lab.go("column.csv", csv(&with(&all, |it| it.hired = "2003-01-01".into())));
    assert_eq!(lab.covered(), everybody);
    lab.edit("column = \"City\"", "column = \"Division\"");
    lab.edit("team-{value}", "hris-{value}");
    lab.go("mended.csv", csv(&with(&all, |it| it.hired = "2004-01-01".into())));
    assert_eq!((lab.covered(), lab.removed().len()), (everybody, 0));
}

/// (b) 1, kanidm, scim.rs:1386: an empty list of those to retain means "delete everybody". Nothing but an approval empties a
/// roster, and only the one that was shown.
#[test]
fn incident_kanidm_empty_list_deletes_all() {
    let lab = Lab::new();
    let all = [staff("east", 3), staff("west", 9)].concat();
    lab.go("one.csv", csv(&all)).ends(0, "completed");
    lab.edit("[guards]\n", "[guards]\nrows_dropped = \"off\"\nremovals = \"off\"\nremovals_max = \"off\"\nterminations = \"off\"\nrolling_removals = \"off\"\n");
    let held = lab.go("two.csv", csv(&all[3..])).ends(3, "partial");
    assert_eq!(held.held_by(), ["empty"]);
    assert!(lab.sandbox().requests().iter().all(|request| !request.payload_ids.is_empty()));
    lab.approve_as_told(&held).ends_with(0);
    lab.holds(EAST, &[]);
    lab.holds(WEST, &ids(&staff("west", 9)));
    assert_eq!(lab.sandbox().requests().iter().filter(|request| request.payload_ids.is_empty()).count(), 1);
}

// === (b) 6: several sources ===

fn shared() -> Lab {
    let lab = Lab::with(&Settings { sources: &["hris", "payroll"], ..Settings::default() });
    lab.edit("external_reference_id = \"hris-{value}\"", "external_reference_id = \"acme-{value}\"");
    lab.edit("external_reference_id = \"payroll-{value}\"", "external_reference_id = \"acme-{value}\"");
    lab
}

/// (b) 6, owncloud#29796 and authentik PR #5602: a sync of source A took everybody from source B for gone.
#[test]
fn incident_owncloud_29796_two_sources_feed_one_group() {
    let lab = shared();
    let hris = staff("east", 5);
    let payroll = with(&staff("east", 9)[5..], |it| it.id.insert(0, 'P'));
    let all = [ids(&hris), ids(&payroll)].concat();
    lab.pass("a.csv", csv(&hris), &["--source", "hris"]).ends(0, "completed");
    lab.pass("b.csv", csv(&payroll), &["--source", "payroll"]).ends(0, "completed");
    lab.holds("acme-east", &all);
    lab.pass(
        "a2.csv",
        csv(&with(&hris, |it| {
            if it.id == "E001" {
                it.street = "9 Oak St".into();
            }
        })),
        &["--source", "hris"],
    )
    .ends(0, "completed");
    lab.holds("acme-east", &all);
    // One source names a person of the other, otherwise: the record of the other counts, and its owner alone may end it.
    let claim = [payroll.clone(), with(&hris[..1], |it| it.street = "7 Ash St".into())].concat();
    let claimed = lab.pass("b2.csv", csv(&claim), &["--source", "payroll"]);
    assert_eq!(lab.sandbox().roster("acme-east")["E001"]["address"]["address_line_1"], "9 Oak St");
    claimed.doubts("E001", "yes");
    let ended = [payroll.clone(), terminated(&hris[..1], &[1])].concat();
    lab.pass("b3.csv", csv(&ended), &["--source", "payroll"]);
    lab.holds("acme-east", &all);
    // Each ends its own.
    lab.pass("b4.csv", csv(&terminated(&payroll, &[1])), &["--source", "payroll"]).ends(0, "completed");
    lab.holds("acme-east", &[ids(&hris), ids(&payroll[1..])].concat());
}

/// (b) 6, gitlab-ce-ldap-sync#46 and metabase#7571: members whom somebody manages elsewhere were removed.
#[test]
fn incident_metabase_7571_members_managed_elsewhere() {
    let lab = Lab::new();
    lab.sandbox().add_group(EAST, "East");
    for number in [1, 2] {
        let member = json!({
            "reference_id": format!("H{number}"), "first_name": "Sam", "last_name": "Old", "date_of_birth": format!("197{number}-01-01"),
            "plan_id": "pln_basic", "address": {"address_line_1": "1 Elm St", "city": "Erie", "state": "PA", "zipcode": "16501"},
        });
        lab.sandbox().seed_member(EAST, &member).unwrap();
    }
    let all = [staff("east", 3), staff("west", 2)].concat();
    let held = lab.go("one.csv", csv(&all)).ends(3, "partial");
    assert_eq!(held.held_by(), ["baseline"]);
    let held = held.shows("its members are not known").shows("would remove everybody else");
    lab.holds(EAST, &["H1", "H2"]);
    lab.holds(WEST, &["W001", "W002"]);
    // It goes on being held, until a person takes the group over.
    lab.go("two.csv", csv(&[all, staff("west", 4)[2..].to_vec()].concat())).ends(3, "partial");
    lab.holds(EAST, &["H1", "H2"]);
    drop(held);
    assert_eq!(lab.removed(), [""; 0]);
}
