use super::*;
use crate::export::problem::Code;
use crate::report::*;
use crate::roster::ids::RunId;
use samples::at;

mod samples;

/// Names of files and groups with everything that could lead a terminal or its reader astray.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{200b}\nc";

fn two_runs() -> Vec<Run> {
    let mut quiet = samples::run("run_20260228_060000_250", RunState::Unchanged);
    quiet.counts = Counts { rows: 1204, unchanged: 1204, ..Counts::default() };
    quiet.received_at = at("2026-02-28T06:00:00Z");
    quiet.file = Some(samples::facts("employees of acme and its daughters 2026-02-28 final.csv"));
    vec![samples::run("run_20260301_060000_250", RunState::Partial), quiet]
}

fn piped() -> Screen {
    Screen { is_terminal: false, width: usize::MAX, ..Screen::fixed(80) }
}

fn coloured() -> Screen {
    Screen { ink: Ink::Colour, ..Screen::fixed(80) }
}

fn json() -> Screen {
    Screen { json: true, ..Screen::fixed(80) }
}

fn now() -> chrono::DateTime<chrono::Utc> {
    at("2026-03-01T09:00:10Z")
}

fn plan_said(screen: &Screen, verdict: PlanVerdict) -> String {
    plan(screen, &samples::plan(verdict), &samples::counts())
}

#[test]
fn history_fits_80_columns_without_what_says_least() {
    assert_eq!(
        runs(&Screen::fixed(80), &two_runs()),
        "\
run                  file             new  chg  rem  kept  conf  fail  state
20260301_060000_250  march.csv          4    2    2    14     7     1  partial
20260228_060000_250  employe…nal.csv    ·    ·    ·     ·     ·     ·  unchanged
"
    );
}

#[test]
fn history_at_120_columns_shows_every_column() {
    assert_eq!(
        runs(&Screen::fixed(120), &two_runs()),
        "\
run                      received              source  file             rows  new  chg  rem  kept  conf  fail  state
run_20260301_060000_250  2026-03-01T06:00:00Z  hris    march.csv        1204    4    2    2    14     7     1  partial
run_20260228_060000_250  2026-02-28T06:00:00Z  hris    employe…nal.csv  1204    ·    ·    ·     ·     ·     ·  unchanged
"
    );
}

#[test]
fn a_history_without_runs_says_what_to_do() {
    assert_eq!(
        runs(&Screen::fixed(80), &[]),
        "\
No runs match. Without filters this means that no export was seen yet: drop one into an inbox, or try
  rosterd sync FILE
"
    );
}

#[test]
fn a_plan_tells_problems_guards_people_sums_and_the_next_command() {
    assert_eq!(
        plan_said(&Screen::fixed(80), PlanVerdict::Hold),
        "\
Plan: a part would be held, the rest delivered.
march.csv (sha256 0123456789ab), 1204 rows, source hris

Rows that cannot be used (2)
  line 15: the employee id is blank.
  line 20, Birth Date, id 00417: not a date; write it as MM/DD/YYYY. Still
  covered: yes.

Rows that are used, with something to know (1)
  line 31, id 00420: the phone number cannot be used and was left out.

Guards
  held removals: 12 of 61 members of acme-sales would be removed (limit 6 = 10%)
  near removals: 5 of 61 members of acme-ops would be removed (limit 6 = 10%)
  2 other guards passed, not near a limit.

Groups with changes (2)
  acme-sales  61 → 63  +2 ↩1 ~2 <1 >1 -2 !13
    + new: 00901, 00902
    ↩ returning: 00017
    ~ changed: 00021 (last_name, email), 00022 (zipcode)
    < comes from acme-ops: 00502
    > moves to acme-ops: 00501
    - terminated: 00033
    - missing: 00050
    ! still covered: held by the guard removals: 00000, 00001, 00002, 00003,
      00004, 00005, 00006, 00007, 00008, 00009 and 2 more
    ! still covered: the row cannot be used as it is: 00417
  acme-ops  4 → 5  +1
    + new: 00903

In sum: 3 new, 1 returning, 2 changed, 1 terminated, 1 missing, 14 kept, 1180
unchanged; 2 rows cannot be used.

Nothing is sent by `plan`. If the export is wrong, mend it and drop it again.
If it is right, this delivers the rest and records what is held:
  rosterd sync march.csv --source hris
Then this releases what is held (`rosterd status` names the run):
  rosterd approve RUN --reason TEXT
"
    );
}

#[test]
fn a_run_is_told_in_full_with_what_to_do() {
    assert_eq!(
        run(&Screen::fixed(80), &samples::partial()),
        "\
Run run_20260301_060000_250: partial
  source     hris
  file       march.csv (sha256 0123456789ab), 1204 rows
  lies in    /srv/rosterd/hris/processed/2026-03/20260301T060000Z_01234567_march.csv
  trigger    watch (a file was dropped)
  by         anna
  received   2026-03-01T06:00:00Z
  finished   2026-03-01T06:01:12Z, after 71 seconds

Rows that cannot be used (2)
  line 15: the employee id is blank.
  line 20, Birth Date, id 00417: not a date; write it as MM/DD/YYYY. Still
  covered: yes.

Rows that are used, with something to know (1)
  line 31, id 00420: the phone number cannot be used and was left out.

Guards
  held removals: 12 of 61 members of acme-sales would be removed (limit 6 = 10%)
  near removals: 5 of 61 members of acme-ops would be removed (limit 6 = 10%)
  2 other guards passed, not near a limit.

Groups with changes (2)
  acme-sales  61 → 63  +2 ↩1 ~2 <1 >1 -2 !13
    + new: 00901, 00902
    ↩ returning: 00017
    ~ changed: 00021 (last_name, email), 00022 (zipcode)
    < comes from acme-ops: 00502
    > moves to acme-ops: 00501
    - terminated: 00033
    - missing: 00050
    ! still covered: held by the guard removals: 00000, 00001, 00002, 00003,
      00004, 00005, 00006, 00007, 00008, 00009 and 2 more
    ! still covered: the row cannot be used as it is: 00417
  acme-ops  4 → 5  +1
    + new: 00903

Batches (2)
  completed acme-sales: 63 members, 3 added, 2 removed, 1 failed, 1 attempt
    batch      bat_20260301_060001_000
    request    grpmsr_1
    submitted  2026-03-01T06:00:02Z
    accepted   2026-03-01T06:00:03Z
    completed  2026-03-01T06:01:12Z
    failed     00902 (add): e-mail is taken by another account
  refused acme-ops: 63 members, 1 attempt
    batch      bat_20260301_060001_001
    submitted  2026-03-01T06:00:02Z
    error      the API refused the request (422): members.3.zipcode

In sum: 3 new, 1 returning, 2 changed, 1 terminated, 1 missing, 14 kept, 1180
unchanged; 2 rows cannot be used.
The API confirmed 7 changes and reported 1 as failed.

What to do now
  A part of it is held. If the export is wrong, drop a mended one: it takes this
  one's place.
  If it is right, release what the guards above hold:
    rosterd approve run_20260301_060000_250 --reason TEXT
  Mend the people who failed in the HR system; the next export tries them again.
  Once the cause is mended, submit again:
    rosterd retry acme-ops
"
    );
}

#[test]
fn a_batch_is_told_person_by_person_and_an_incident_stands_out() {
    assert_eq!(
        batch(&Screen::fixed(80), &samples::batch_detail()),
        "\
Batch bat_20260301_060001_000: completed
  group      acme-sales (grp_1)
  run        run_20260301_060000_250
  request    grpmsr_1
  payload    63 members, 3 added, 3 removed, 1 failed, 1 attempt
  planned    2 removals
  submitted  2026-03-01T06:00:02Z
  accepted   2026-03-01T06:00:03Z
  completed  2026-03-01T06:01:12Z
  incident   3 members were removed, but the plan removes 2
  failed     00902 (add): e-mail is taken by another account

Changes (5)
  ↩ 00017: returned, line 17, run_20260301_060000_250
  ~ 00021: changed (last_name, email), line 17, run_20260301_060000_250
  - 00033: removed, line 17, run_20260301_060000_250
  + 00901: added, line 17, run_20260301_060000_250
  ! 00902: add failed, line 17, run_20260301_060000_250

What to do now
  Mend the people who failed in the HR system; the next export tries them again.
  People were removed whom no plan removes: find out why before anything else is
  sent.
  Once the cause is mended, submit again:
    rosterd retry acme-sales
"
    );
}

#[test]
fn a_status_without_trouble_says_so_first() {
    assert_eq!(
        status(&Screen::fixed(80), &samples::well(), now()),
        "\
All is well.

  daemon     pid 4211, version 0.1.0, since 2026-03-01T05:00:00Z (4 hours ago)
  mode       apply
  API        https://api.demo.example
  confirmed  1204 members in 12 groups
  state      4.1 MiB on disk
  backup     2026-03-01T02:30:00Z (6 hours ago), 7 kept in
             /var/lib/rosterd/backups

Source hris
  inbox      /srv/rosterd/hris
  accepted   march.csv, 1204 rows
             2026-03-01T06:00:00Z (3 hours ago), run_20260301_060000_250
  scheduled  2026-03-02T11:00:00Z (in 25 hours)
"
    );
}

#[test]
fn a_status_with_trouble_begins_with_what_is_the_matter() {
    assert_eq!(
        status(&Screen::fixed(80), &samples::troubled(), now()),
        "\
The API refuses the key, and all delivery stands still; a power cut can lose
what is recorded; the inbox of hris is in trouble; 1 group is paused; 1 run
waits for a decision; 1 batch is in trouble.

  daemon     pid 4211, version 0.1.0, since 2026-03-01T05:00:00Z (4 hours ago)
  mode       apply
  API        https://api.demo.example
  confirmed  1204 members in 12 groups
  state      4.1 MiB on disk; writes are not forced to the disk here, so that a
             power cut can lose or break them
  backup     2026-03-01T02:30:00Z (6 hours ago), 7 kept in
             /var/lib/rosterd/backups

Source hris
  inbox      /srv/rosterd/hris
  trouble    no right to read the folder
  accepted   march.csv, 1204 rows
             2026-03-01T06:00:00Z (3 hours ago), run_20260301_060000_250
  scheduled  2026-03-02T11:00:00Z (in 25 hours)
  absent     3 people are missing from the last exports, and covered until that
             is confirmed
  held       rosterd show run_20260301_060000_250

Under way (2)
  accepted acme-sales: 63 members, 3 hours ago, 1 attempt
  pending acme-ops: 63 members, 3 hours ago, 4 attempts, goes on in 30 seconds
    the API answered 503: try again later.

Paused (1): nothing is sent until a person says so
  acme-hr: 3 members were removed, the plan has 1
    rosterd retry acme-hr
"
    );
}

#[test]
fn a_status_at_120_columns_wraps_later() {
    assert_eq!(
        status(&Screen::fixed(120), &samples::troubled(), now()),
        "\
The API refuses the key, and all delivery stands still; a power cut can lose what is recorded; the inbox of hris is in
trouble; 1 group is paused; 1 run waits for a decision; 1 batch is in trouble.

  daemon     pid 4211, version 0.1.0, since 2026-03-01T05:00:00Z (4 hours ago)
  mode       apply
  API        https://api.demo.example
  confirmed  1204 members in 12 groups
  state      4.1 MiB on disk; writes are not forced to the disk here, so that a power cut can lose or break them
  backup     2026-03-01T02:30:00Z (6 hours ago), 7 kept in /var/lib/rosterd/backups

Source hris
  inbox      /srv/rosterd/hris
  trouble    no right to read the folder
  accepted   march.csv, 1204 rows
             2026-03-01T06:00:00Z (3 hours ago), run_20260301_060000_250
  scheduled  2026-03-02T11:00:00Z (in 25 hours)
  absent     3 people are missing from the last exports, and covered until that is confirmed
  held       rosterd show run_20260301_060000_250

Under way (2)
  accepted acme-sales: 63 members, 3 hours ago, 1 attempt
  pending acme-ops: 63 members, 3 hours ago, 4 attempts, goes on in 30 seconds
    the API answered 503: try again later.

Paused (1): nothing is sent until a person says so
  acme-hr: 3 members were removed, the plan has 1
    rosterd retry acme-hr
"
    );
}

#[test]
fn a_status_says_what_is_due_by_the_clock_and_what_came_of_it() {
    let mut well = samples::well();
    let source = &mut well.sources[0];
    source.expected_by = Some(at("2026-03-02T12:30:00Z"));
    source.next_resync = Some(at("2026-03-08T08:00:00Z"));
    let text = status(&Screen::fixed(100), &well, now());
    assert!(text.starts_with("All is well.\n"), "{text}");
    assert!(text.contains("\n  expected   by 2026-03-02T12:30:00Z (in 27 hours)\n"), "{text}");
    assert!(text.contains("\n  resync     2026-03-08T08:00:00Z (in 6 days)\n"), "{text}");

    let source = &mut well.sources[0];
    source.overdue_since = Some(at("2026-02-27T12:30:00Z"));
    source.not_accepted = Some(NotAccepted {
        run: RunId::parse("run_20260228_060000_000").unwrap(),
        state: RunState::Held,
        received_at: at("2026-02-28T06:00:00Z"),
    });
    source.recheck_trouble = Some("the last accepted export is not where it was filed: /srv/a.csv".to_owned());
    source.last_resync = Some(ResyncStatus {
        run: RunId::parse("run_20260301_080000_000").unwrap(),
        received_at: at("2026-03-01T08:00:00Z"),
        finished_at: Some(at("2026-03-01T08:01:00Z")),
        groups: 12,
        restored: 2,
        removed: 1,
    });
    let text = status(&Screen::fixed(100), &well, now());
    for line in [
        "The export of hris is overdue; dates of hris cannot be re-checked.\n",
        "\n  overdue    no export was accepted by 2026-02-27T12:30:00Z (44 hours ago): who left stays covered,\n",
        "\n             the last one came 27 hours ago and was held: rosterd show run_20260228_060000_000\n",
        "\n  re-check   the last accepted export is not where it was filed: /srv/a.csv; the next accepted\n",
        "\n             last 60 minutes ago, 12 groups: 2 people had vanished from the API and came back; 1\n",
        "\n             unknown person lost coverage that nobody planned\n             rosterd show run_20260301_080000_000\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("expected"), "{text}");
}

#[test]
fn groups_fit_80_columns() {
    assert_eq!(
        groups(&Screen::fixed(80), &samples::groups()),
        "\
group       id      name             members  confirmed             state
acme-sales  grp_01  Sales East            63  2026-03-01T06:01:12Z  ok
acme-hr     grp_02  Human R…company       63  2026-03-01T06:01:12Z  paused
-           grp_03  By hand                -  never                 no reference
acme-new    -       By hand                -  never                 to be made

acme-hr is paused: 3 members were removed, the plan has 1
  rosterd retry acme-hr
"
    );
}

#[test]
fn groups_at_120_columns_show_every_column() {
    assert_eq!(
        groups(&Screen::fixed(120), &samples::groups()),
        "\
group       id      name                   members  confirmed             last batch               made by  state
acme-sales  grp_01  Sales East                  63  2026-03-01T06:01:12Z  bat_20260301_060001_000  rosterd  ok
acme-hr     grp_02  Human Reso…le company       63  2026-03-01T06:01:12Z  bat_20260301_060001_000  rosterd  paused
-           grp_03  By hand                      -  never                 -                        others   no reference
acme-new    -       By hand                      -  never                 -                        others   to be made

acme-hr is paused: 3 members were removed, the plan has 1
  rosterd retry acme-hr
"
    );
}

#[test]
fn no_groups_say_how_to_make_one() {
    assert_eq!(
        groups(&Screen::fixed(80), &[]),
        "\
No groups yet. The first export makes them (create = true), or
  rosterd groups create REF --name NAME
"
    );
}

#[test]
fn every_line_of_every_report_fits_its_screen() {
    for width in [80, 120] {
        let screen = Screen::fixed(width);
        let texts = [
            runs(&screen, &two_runs()),
            plan_said(&screen, PlanVerdict::Hold),
            status(&screen, &samples::troubled(), now()),
            groups(&screen, &samples::groups()),
            batch(&screen, &samples::batch_detail()),
        ];
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(words::width(line) <= width, "{width}: {line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn history_keeps_the_time_of_receipt_where_ids_do_not_tell_it() {
    let said = runs(&Screen::fixed(80), &[samples::run("run_1", RunState::Held)]);
    assert!(said.contains("2026-03-01T06:00:00Z"), "{said}");
}

#[test]
fn a_narrow_screen_ends_with_the_columns_that_matter() {
    let said = runs(&Screen::fixed(NARROWEST), &two_runs());
    let heads: Vec<_> = said.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["run", "new", "chg", "rem", "fail", "state"]);
}

#[test]
fn a_plan_of_two_thousand_groups_stays_readable() {
    let mut report = samples::plan(PlanVerdict::Hold);
    let long = "a date that only reads in the other order of day and month; write it as MM/DD/YYYY in the HR system";
    report.problems =
        (0..500).map(|line| samples::problem(line, Code::DateOrder, Some("00417"), long, Some(true))).collect();
    report.groups = (0..2000).map(|n| samples::full_group(&format!("acme-division-number-{n:04}"))).collect();
    let hold =
        |n| samples::guard("removals_max", Some(&format!("acme-division-number-{n:04}")), 12, 6, GuardVerdict::Hold);
    report.guards = (0..2000).map(hold).collect();
    let near = |n| samples::guard("removals", Some(&format!("acme-division-number-{n:04}")), 5, 6, GuardVerdict::Pass);
    report.guards.extend((0..2000).map(near));
    let said = plan(&Screen::fixed(80), &report, &samples::counts());
    assert!(said.lines().count() <= 200, "{} lines", said.lines().count());
    assert!(said.contains("… and 480 more (--json has all)"), "{said}");
    let said_once = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said_once.contains("held removals_max: the same in 1997 more groups, 23964 in all:"), "{said}");
    assert!(said.contains(" more groups: +"), "{said}");
    assert!(said.ends_with("rosterd approve RUN --reason TEXT\n"), "{said}");
}

#[test]
fn one_group_of_a_million_people_is_a_few_lines() {
    let mut report = samples::plan(PlanVerdict::Apply);
    report.groups = vec![GroupReport { new: samples::many_ids(99_999), ..samples::empty_group("acme") }];
    let said = plan(&Screen::fixed(80), &report, &samples::counts());
    assert!(said.contains("99989"), "{said}");
    assert!(said.lines().count() < 40, "{said}");
}

#[test]
fn groups_that_lose_people_come_before_groups_that_gain() {
    let mut report = samples::plan(PlanVerdict::Apply);
    let loses = GroupReport { missing: samples::ids(["1"]), ..samples::empty_group("loses") };
    report.groups = vec![GroupReport { new: samples::many_ids(500), ..samples::empty_group("gains") }, loses];
    let said = plan(&Screen::fixed(80), &report, &samples::counts());
    assert!(said.find("loses  61").unwrap() < said.find("gains  61").unwrap());
}

#[test]
fn in_a_pipe_all_problems_are_listed_on_one_line_each() {
    let mut report = samples::plan(PlanVerdict::Apply);
    let message = "not a date ".repeat(20);
    report.problems = (1..=50).map(|line| samples::problem(line, Code::BadDate, None, &message, None)).collect();
    let said = plan(&piped(), &report, &samples::counts());
    assert_eq!(said.lines().filter(|line| line.contains("not a date")).count(), 50);
}

#[test]
fn each_verdict_of_a_plan_ends_with_what_to_do() {
    let last = |verdict| plan_said(&Screen::fixed(80), verdict).lines().last().unwrap().to_owned();
    assert_eq!(last(PlanVerdict::Apply), "  rosterd sync march.csv --source hris");
    assert_eq!(last(PlanVerdict::Unchanged), "There is nothing to apply.");
    assert_eq!(last(PlanVerdict::Reject), "Nothing is sent by `plan`. Mend the file and drop it again.");
    assert_eq!(last(PlanVerdict::Hold), "  rosterd approve RUN --reason TEXT");
}

#[test]
fn no_approval_is_offered_for_what_none_can_pass() {
    let mut report = samples::plan(PlanVerdict::Hold);
    report.guards = vec![samples::guard("no_group", Some("acme-new"), 3, 0, GuardVerdict::Hold)];
    assert!(!plan(&Screen::fixed(80), &report, &samples::counts()).contains("approve"));
    let mut detail = samples::partial();
    detail.run.guards = report.guards.clone();
    detail.plan = None;
    assert!(!run(&Screen::fixed(80), &detail).contains("approve"));
}

#[test]
fn a_file_held_whole_is_told_from_one_held_in_part() {
    let mut report = samples::plan(PlanVerdict::Hold);
    report.guards = vec![samples::guard("invalid_rows", None, 99, 60, GuardVerdict::Hold)];
    let said = plan(&Screen::fixed(80), &report, &samples::counts());
    assert!(said.starts_with("Plan: the whole file would be held.\n"), "{said}");
    assert!(said.contains("sends nothing:\n  rosterd sync march.csv"), "{said}");
}

#[test]
fn a_held_run_offers_approval_and_discarding_by_its_id() {
    let mut detail = samples::partial();
    detail.run.state = RunState::Held;
    detail.batches.clear();
    let said = run(&Screen::fixed(80), &detail);
    assert!(said.contains("    rosterd approve run_20260301_060000_250 --reason TEXT\n"), "{said}");
    assert!(said.ends_with("    rosterd discard run_20260301_060000_250 --reason TEXT\n"), "{said}");
}

#[test]
fn a_run_with_nothing_to_do_says_so() {
    let mut detail = RunDetail {
        run: samples::run("run_1", RunState::Completed),
        plan: None,
        batches: vec![samples::batch("bat_1", "acme-sales", Phase::Completed)],
        filed_as: None,
        revert: None,
    };
    detail.run.counts.problems = 2;
    let said = run(&Screen::fixed(80), &detail);
    assert!(said.ends_with("  Have the rows mended that cannot be used; the next export takes them up.\n"), "{said}");
    detail.run.counts.problems = 0;
    assert!(run(&Screen::fixed(80), &detail).ends_with("What to do now\n  Nothing.\n"));
}

#[test]
fn a_rejected_run_says_why_and_that_nobody_was_touched() {
    let mut rejected = samples::run("run_1", RunState::Rejected);
    rejected.counts = Counts::default();
    rejected.reason = Some("the last line is cut short: the upload did not finish".to_owned());
    let said = run(
        &Screen::fixed(80),
        &RunDetail { run: rejected, plan: None, batches: Vec::new(), filed_as: None, revert: None },
    );
    assert!(said.contains("  reason     the last line is cut short: the upload did not finish\n"), "{said}");
    assert!(said.ends_with("  Mend the file and drop it again. Nobody gained or lost coverage.\n"), "{said}");
}

#[test]
fn a_status_without_a_daemon_is_not_well() {
    let said = status(&Screen::fixed(80), &Status { daemon: None, ..samples::well() }, now());
    assert!(said.starts_with("No daemon runs, and nothing is watched or sent.\n"), "{said}");
}

#[test]
fn the_words_of_the_api_about_people_are_in_show_alone() {
    let secret = "Jane Doe, born 1990-01-02";
    let mut told = samples::batch("bat_1", "acme-sales", Phase::Accepted);
    told.failures = vec![samples::failure("00902", secret)];
    let status_of = Status { under_way: vec![told.clone()], ..samples::well() };
    for screen in [Screen::fixed(80), json()] {
        assert!(!status(&screen, &status_of, now()).contains(secret));
        let detail = samples::bare(told.clone());
        assert!(batch(&Screen { width: 200, ..screen }, &detail).contains(secret));
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_it_is() {
    let mut detail = samples::partial();
    detail.run.file.as_mut().unwrap().name = HOSTILE.to_owned();
    detail.run.reason = Some(HOSTILE.to_owned());
    detail.run.actor = Some(HOSTILE.to_owned());
    detail.filed_as = Some(HOSTILE.to_owned());
    detail.batches[0].error = Some(HOSTILE.to_owned());
    detail.batches[0].failures = vec![samples::failure(HOSTILE, HOSTILE)];
    let report = detail.plan.as_mut().unwrap();
    report.file = detail.run.file.clone();
    report.problems = vec![samples::problem(2, Code::BadDate, Some(HOSTILE), HOSTILE, None)];
    report.problems[0].problem.column = Some(HOSTILE.to_owned());
    report.guards[0].sum = HOSTILE.to_owned();
    report.groups[1].kept[0].reason = HOSTILE.to_owned();
    let mut status_of = samples::troubled();
    status_of.base_url = HOSTILE.to_owned();
    status_of.sources[0].inbox_trouble = Some(HOSTILE.to_owned());
    status_of.sources[0].last_accepted.as_mut().unwrap().name = HOSTILE.to_owned();
    status_of.paused[0].reason = HOSTILE.to_owned();
    let mut groups_of = samples::groups();
    groups_of[0].name = HOSTILE.to_owned();
    groups_of[0].paused = Some(HOSTILE.to_owned());
    let of_batch = samples::bare(detail.batches[0].clone());
    let mut way = samples::member_detail();
    way.changes[0].actor = Some(HOSTILE.to_owned());
    way.changes[0].approval = Some(HOSTILE.to_owned());
    way.changes[0].change.because.as_mut().unwrap().file.as_mut().unwrap().name = HOSTILE.to_owned();
    way.pending[0].why = HOSTILE.to_owned();
    let mut undone = samples::partial();
    undone.revert = Some(RevertReport {
        batch: samples::batch_detail().batch.batch,
        group: samples::group("acme-sales"),
        run: RunId::parse("run_1").unwrap(),
        later: Vec::new(),
        last_accepted: samples::troubled().sources[0].last_accepted.clone(),
    });
    undone.revert.as_mut().unwrap().last_accepted.as_mut().unwrap().name = HOSTILE.to_owned();
    let screen = Screen::fixed(120);
    let texts = [
        member(&screen, &way),
        run(&screen, &undone),
        runs(&screen, std::slice::from_ref(&detail.run)),
        plan(&screen, detail.plan.as_ref().unwrap(), &samples::counts()),
        run(&screen, &detail),
        batch(&screen, &of_batch),
        status(&screen, &status_of, now()),
        groups(&screen, &groups_of),
        complaint(HOSTILE),
    ];
    for text in texts {
        assert!(!text.chars().any(|c| c != '\n' && words::is_hostile(c)), "{text:?}");
        assert!(text.contains("\\u{1b}"), "{text}");
    }
    assert!(!json_run(&detail).trim_end().chars().any(words::is_hostile));
}

#[test]
fn a_member_s_way_is_told_with_file_line_approver_and_request() {
    let said = member(&Screen::fixed(80), &samples::member_detail());
    assert_eq!(
        said,
        "\
00033: not covered since 2026-03-04T06:01:12Z

Not settled (1)
  held acme-ops: not added: the row cannot be used as it is [line 12, run_5]

Changes (3), oldest first

  + 2026-03-01T06:01:12Z: added, acme-sales
    because    the file lists the person as covered
    file       march.csv, line 17
    sha256     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    run        run_1: watch (a file was dropped)
    batch      bat_1
    request    grpmsr_1
    result     confirmed

  ! 2026-03-02T06:01:12Z: remove failed, acme-sales
    because    the reason was not kept
    run        run_2: watch (a file was dropped)
    batch      bat_2
    request    grpmsr_2
    result     confirmed

  - 2026-03-04T06:01:12Z: removed, acme-sales
    because    the file says terminated
    file       april.csv, line 40
    sha256     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    decided    by run_3
    run        run_4: approve (a held run was released)
    by         anna
    reason     HR confirmed it
    approved   12 of 61 members of acme-sales are terminated by the file (limit
               6 = 10%)
    batch      bat_4
    request    grpmsr_4
    result     confirmed
"
    );
}

#[test]
fn a_roster_is_a_table_and_in_json_one_member_a_line() {
    assert_eq!(
        roster(&Screen::fixed(80), &samples::roster_report()),
        "\
acme-sales: 2 members at 2026-03-02T00:00:00Z
Confirmed at 2026-03-01T06:01:12Z by bat_20260301_060001_000

id     plan      since                 source  run                      line
00017  pln_gold  ?                     hris    run_20260301_060000_250    17
00021  pln_gold  2026-03-01T06:01:12Z  hris    run_20260301_060000_250    17
"
    );
    let said = roster(&json(), &samples::roster_report());
    let members: Vec<RosterMember> = said.lines().map(parsed).collect();
    assert_eq!(members, samples::roster_report().members);
    assert!(said.contains(r#""group":"acme-sales","at":"2026-03-02T00:00:00Z""#), "{said}");
    assert_eq!(parsed::<MemberDetail>(&member(&json(), &samples::member_detail())), samples::member_detail());
}

#[test]
fn text_of_several_lines_keeps_them() {
    assert_eq!(safe("one\ntwo\u{7}\n"), "one\ntwo\\u{7}\n");
    assert_eq!(complaint("one\ntwo"), "one\ntwo\n");
}

#[test]
fn colour_marks_states_and_nothing_else() {
    let said = runs(&coloured(), &two_runs());
    assert!(said.contains('\u{1b}') && said.contains("partial"), "{said:?}");
    assert!(!said.lines().next().unwrap().contains('\u{1b}'));
    assert!(status(&coloured(), &samples::well(), now()).starts_with("\u{1b}[32mAll is well.\u{1b}[0m\n"));
    assert_eq!(plan_said(&coloured(), PlanVerdict::Hold).matches("\u{1b}[3").count(), 3);
}

#[test]
fn a_reader_who_stops_reading_is_no_error_but_a_full_disk_is() {
    struct Broken(io::ErrorKind);
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(print_to(&mut Broken(io::ErrorKind::BrokenPipe), "text").is_ok());
    assert!(print_to(&mut Broken(io::ErrorKind::StorageFull), "text").is_err());
}

#[test]
fn file_names_survive_the_shell() {
    assert_eq!(words::shell_path("march.csv"), "march.csv");
    assert_eq!(words::shell_path("-rf.csv"), "./-rf.csv");
    assert_eq!(words::shell_path("it's $(here).csv"), r"'it'\''s $(here).csv'");
}

#[test]
fn names_are_shortened_in_the_middle_by_columns() {
    assert_eq!(words::shorten("employees-2026.csv", 12), "employ…6.csv");
    assert_eq!(words::shorten("従業員名簿.csv", 9), "従業….csv");
    assert_eq!(words::shorten("short.csv", 12), "short.csv");
}

fn parsed<T: serde::de::DeserializeOwned>(line: &str) -> T {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(value["schema"], 1);
    serde_json::from_value(value).unwrap()
}

#[test]
fn json_reads_back_as_what_was_written() {
    let detail = samples::partial();
    assert_eq!(parsed::<RunDetail>(&run(&json(), &detail)), detail);
    assert_eq!(parsed::<BatchDetail>(&batch(&json(), &samples::batch_detail())), samples::batch_detail());
    assert_eq!(parsed::<Status>(&status(&json(), &samples::troubled(), now())), samples::troubled());
    let said = plan_said(&json(), PlanVerdict::Hold);
    assert_eq!(parsed::<PlanReport>(&said), samples::plan(PlanVerdict::Hold));
    let value: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(serde_json::from_value::<Counts>(value["counts"].clone()).unwrap(), samples::counts());
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn json_lists_are_one_object_a_line_and_empty_ones_are_nothing() {
    let said = runs(&json(), &two_runs());
    assert_eq!(said.lines().map(parsed::<Run>).collect::<Vec<_>>(), two_runs());
    let said = groups(&json(), &samples::groups());
    assert_eq!(said.lines().map(parsed::<GroupStatus>).collect::<Vec<_>>(), samples::groups());
    assert_eq!((runs(&json(), &[]), groups(&json(), &[])), (String::new(), String::new()));
}

#[test]
fn json_of_hostile_names_reads_back_byte_for_byte() {
    let mut told = samples::run("run_1", RunState::Held);
    told.file.as_mut().unwrap().name = format!("{HOSTILE}\u{e0041}\u{7f}");
    told.run = RunId::parse("run_\u{202e}1").unwrap();
    let said = runs(&json(), std::slice::from_ref(&told));
    assert!(said.starts_with(r#"{"schema":1,"run":"run_\u202e1","#), "{said}");
    assert_eq!(parsed::<Run>(&said), told);
}
