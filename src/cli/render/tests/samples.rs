//! Reports with everything in them.

use chrono::{DateTime, Utc};

use crate::export::problem::{Code, Problem};
use crate::report::*;
use crate::roster::ids::{BatchId, GroupId, GroupRef, ReferenceId, RequestId, RunId, SourceName};

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn group(name: &str) -> GroupRef {
    GroupRef::parse(name).unwrap()
}

pub(super) fn ids<const N: usize>(ids: [&str; N]) -> Vec<ReferenceId> {
    ids.into_iter().map(|id| ReferenceId::parse(id).unwrap()).collect()
}

pub(super) fn many_ids(count: usize) -> Vec<ReferenceId> {
    (0..count).map(|id| ReferenceId::parse(&format!("{id:05}")).unwrap()).collect()
}

pub(super) fn facts(name: &str) -> FileFacts {
    FileFacts { name: name.to_owned(), sha256: "0123456789abcdef".repeat(4), rows: 1204 }
}

pub(super) fn counts() -> Counts {
    Counts {
        rows: 1204,
        problems: 2,
        new: 3,
        returning: 1,
        changed: 2,
        moved: 0,
        terminated: 1,
        missing: 1,
        kept: 14,
        unchanged: 1180,
        confirmed: 7,
        failed: 1,
    }
}

pub(super) fn run(id: &str, state: RunState) -> Run {
    Run {
        run: RunId::parse(id).unwrap(),
        source: SourceName::parse("hris").unwrap(),
        trigger: Trigger::Watch,
        file: Some(facts("march.csv")),
        received_at: at("2026-03-01T06:00:00.250Z"),
        finished_at: Some(at("2026-03-01T06:01:12Z")),
        state,
        guards: Vec::new(),
        counts: counts(),
        batches: Vec::new(),
        reason: None,
        actor: None,
        approves: None,
        repeats: None,
        reverts: None,
    }
}

pub(super) fn guard(name: &str, of: Option<&str>, value: u64, limit: u64, verdict: GuardVerdict) -> GuardReport {
    let sum = match of {
        Some(group) => format!("{value} of 61 members of {group} would be removed (limit {limit} = 10%)"),
        None => format!("{value} of 1204 rows cannot be used (limit {limit} = 5%)"),
    };
    GuardReport { guard: name.to_owned(), group: of.map(group), value, limit, verdict, sum }
}

pub(super) fn problem(
    line: u64,
    code: Code,
    id: Option<&str>,
    message: &str,
    still_covered: Option<bool>,
) -> ProblemReport {
    let column = line.is_multiple_of(2).then(|| "Birth Date".to_owned());
    let reference_id = id.map(str::to_owned);
    ProblemReport { problem: Problem { line, column, reference_id, code, message: message.to_owned() }, still_covered }
}

pub(super) fn empty_group(name: &str) -> GroupReport {
    GroupReport {
        group: group(name),
        group_id: None,
        before: 61,
        after: 63,
        new: Vec::new(),
        returning: Vec::new(),
        changed: Vec::new(),
        moved_in: Vec::new(),
        moved_out: Vec::new(),
        terminated: Vec::new(),
        missing: Vec::new(),
        kept: Vec::new(),
        unchanged: 40,
        reasons: Vec::new(),
    }
}

fn kept(id: ReferenceId, reason: &str) -> KeptMember {
    KeptMember { reference_id: id, reason: reason.to_owned() }
}

pub(super) fn full_group(name: &str) -> GroupReport {
    let id = |id: &str| ReferenceId::parse(id).unwrap();
    let held = "still covered: held by the guard removals";
    let mut people: Vec<_> = many_ids(12).into_iter().map(|id| kept(id, held)).collect();
    people.push(kept(id("00417"), "still covered: the row cannot be used as it is"));
    people.push(kept(id("00501"), "still covered: on the roster of acme-sales, and the file says acme-ops"));
    GroupReport {
        new: ids(["00901", "00902"]),
        returning: ids(["00017"]),
        changed: vec![
            ChangedMember {
                reference_id: id("00021"),
                fields: vec!["last_name".to_owned(), "email".to_owned()],
                joins_again: false,
            },
            ChangedMember { reference_id: id("00022"), fields: vec!["zipcode".to_owned()], joins_again: false },
        ],
        moved_in: vec![MovedIn { reference_id: id("00502"), from: group("acme-ops") }],
        moved_out: vec![MovedOut { reference_id: id("00501"), to: group("acme-ops") }],
        terminated: ids(["00033"]),
        missing: ids(["00050"]),
        kept: people,
        ..empty_group(name)
    }
}

pub(super) fn plan(verdict: PlanVerdict) -> PlanReport {
    PlanReport {
        fingerprint: None,
        source: SourceName::parse("hris").unwrap(),
        file: Some(facts("march.csv")),
        verdict,
        guards: vec![
            guard("invalid_rows", None, 1, 60, GuardVerdict::Pass),
            guard("removals", Some("acme-sales"), 12, 6, GuardVerdict::Hold),
            guard("removals", Some("acme-ops"), 5, 6, GuardVerdict::Pass),
            guard("terminations", Some("acme-ops"), 1, 12, GuardVerdict::Pass),
        ],
        problems: vec![
            problem(31, Code::PhoneDropped, Some("00420"), "the phone number cannot be used and was left out", None),
            problem(20, Code::BadDate, Some("00417"), "not a date; write it as MM/DD/YYYY.", Some(true)),
            problem(15, Code::BadId, None, "the employee id is blank", None),
        ],
        groups: vec![
            GroupReport { new: ids(["00903"]), before: 4, after: 5, ..empty_group("acme-ops") },
            full_group("acme-sales"),
        ],
    }
}

pub(super) fn batch(id: &str, of: &str, phase: Phase) -> Batch {
    let is_done = phase == Phase::Completed;
    Batch {
        batch: BatchId::parse(id).unwrap(),
        run: RunId::parse("run_20260301_060000_250").unwrap(),
        group: group(of),
        group_id: Some(GroupId::parse("grp_1").unwrap()),
        request_id: Some(RequestId::parse("grpmsr_1").unwrap()),
        phase,
        members: 63,
        planned_removals: Some(2),
        attempts: 1,
        submitted_at: Some(at("2026-03-01T06:00:02Z")),
        accepted_at: Some(at("2026-03-01T06:00:03Z")),
        completed_at: is_done.then(|| at("2026-03-01T06:01:12Z")),
        not_before: None,
        added: if is_done { 3 } else { 0 },
        removed: if is_done { 2 } else { 0 },
        failures: Vec::new(),
        error: None,
        moves_in: Vec::new(),
        moves_out: Vec::new(),
        follows: None,
        again: 0,
        reasons: Vec::new(),
    }
}

pub(super) fn failure(id: &str, reason: &str) -> Failure {
    Failure { reference_id: id.to_owned(), operation: "add".to_owned(), reason: reason.to_owned() }
}

pub(super) fn partial() -> RunDetail {
    let mut run = run("run_20260301_060000_250", RunState::Partial);
    run.guards = vec![guard("removals", Some("acme-sales"), 12, 6, GuardVerdict::Hold)];
    run.actor = Some("anna".to_owned());
    let mut done = batch("bat_20260301_060001_000", "acme-sales", Phase::Completed);
    done.failures = vec![failure("00902", "e-mail is taken by another account")];
    let mut refused = batch("bat_20260301_060001_001", "acme-ops", Phase::Refused);
    refused.error = Some("the API refused the request (422): members.3.zipcode".to_owned());
    refused.request_id = None;
    refused.accepted_at = None;
    run.batches = vec![done.batch.clone(), refused.batch.clone()];
    RunDetail {
        run,
        plan: Some(plan(PlanVerdict::Hold)),
        batches: vec![done, refused],
        filed_as: Some("/srv/rosterd/hris/processed/2026-03/20260301T060000Z_01234567_march.csv".to_owned()),
        revert: None,
    }
}

pub(super) fn batch_detail() -> BatchDetail {
    let mut batch = batch("bat_20260301_060001_000", "acme-sales", Phase::Completed);
    batch.removed = 3;
    batch.failures = vec![failure("00902", "e-mail is taken by another account")];
    let change = |id: &str, change: &str, fields: &[&str]| ChangeReport {
        reference_id: ReferenceId::parse(id).unwrap(),
        change: change.to_owned(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        from_run: Some(RunId::parse("run_20260301_060000_250").unwrap()),
        line: Some(17),
        because: None,
    };
    let changes = vec![
        change("00017", "returned", &[]),
        change("00021", "changed", &["last_name", "email"]),
        change("00033", "removed", &[]),
        change("00901", "added", &[]),
        change("00902", "add_failed", &[]),
    ];
    BatchDetail { changes, ..bare(batch) }
}

pub(super) fn bare(batch: Batch) -> BatchDetail {
    BatchDetail { batch, changes: Vec::new(), before: None, after: None, made_by: None }
}

pub(super) fn member_detail() -> MemberDetail {
    let run = |id: &str| RunId::parse(id).unwrap();
    let event = |number: u8, change: &str, because: Option<Evidence>| MemberEvent {
        at: Some(at(&format!("2026-03-0{number}T06:01:12Z"))),
        change: ChangeReport {
            reference_id: ReferenceId::parse("00033").unwrap(),
            change: change.to_owned(),
            fields: Vec::new(),
            from_run: None,
            line: None,
            because,
        },
        group: group("acme-sales"),
        batch: BatchId::parse(&format!("bat_{number}")).unwrap(),
        request_id: Some(RequestId::parse(&format!("grpmsr_{number}")).unwrap()),
        result: "confirmed".to_owned(),
        run: run(&format!("run_{number}")),
        trigger: Some(Trigger::Watch),
        actor: None,
        approval: None,
        approved: Vec::new(),
        reverts: None,
    };
    let listed = Evidence {
        rule: "listed".to_owned(),
        why: "the file lists the person as covered".to_owned(),
        run: run("run_1"),
        file: Some(facts("march.csv")),
        line: Some(17),
    };
    let stated = Evidence {
        rule: "terminated".to_owned(),
        why: "the file says terminated".to_owned(),
        run: run("run_3"),
        line: Some(40),
        file: Some(facts("april.csv")),
    };
    let mut removed = event(4, "removed", Some(stated));
    removed.trigger = Some(Trigger::Approve);
    removed.actor = Some("anna".to_owned());
    removed.approval = Some("HR confirmed it".to_owned());
    removed.approved = vec!["12 of 61 members of acme-sales are terminated by the file (limit 6 = 10%)".to_owned()];
    MemberDetail {
        reference_id: ReferenceId::parse("00033").unwrap(),
        covered: Vec::new(),
        not_covered_since: Some(at("2026-03-04T06:01:12Z")),
        changes: vec![event(1, "added", Some(listed)), event(2, "remove_failed", None), removed],
        pending: vec![Pending {
            what: "held".to_owned(),
            group: Some(group("acme-ops")),
            run: Some(run("run_5")),
            batch: None,
            phase: None,
            line: Some(12),
            why: "not added: the row cannot be used as it is".to_owned(),
        }],
        forgotten_before: None,
    }
}

pub(super) fn roster_report() -> RosterReport {
    let member = |id: &str, since: Option<&str>| RosterMember {
        reference_id: ReferenceId::parse(id).unwrap(),
        plan_id: crate::roster::ids::PlanId::parse("pln_gold").unwrap(),
        subscribed_plan: crate::roster::ids::PlanId::parse("pln_gold").unwrap(),
        source: SourceName::parse("hris").unwrap(),
        run: RunId::parse("run_20260301_060000_250").unwrap(),
        line: 17,
        since: since.map(at),
    };
    RosterReport {
        group: group("acme-sales"),
        at: at("2026-03-02T00:00:00Z"),
        confirmed_at: Some(at("2026-03-01T06:01:12Z")),
        batch: Some(BatchId::parse("bat_20260301_060001_000").unwrap()),
        members: vec![member("00017", None), member("00021", Some("2026-03-01T06:01:12Z"))],
    }
}

pub(super) fn well() -> Status {
    Status {
        daemon: Some(DaemonStatus {
            version: "0.1.0".to_owned(),
            pid: 4211,
            since: at("2026-03-01T05:00:00Z"),
            key_refused: false,
        }),
        mode: "apply".to_owned(),
        base_url: "https://api.demo.example".to_owned(),
        durable: true,
        state_bytes: 4_404_019,
        backup: Some(BackupStatus {
            folder: "/var/lib/rosterd/backups".to_owned(),
            last: Some(at("2026-03-01T02:30:00Z")),
            kept: 7,
            next: Some(at("2026-03-02T02:30:00Z")),
            trouble: None,
        }),
        sources: vec![SourceStatus {
            source: SourceName::parse("hris").unwrap(),
            inbox: "/srv/rosterd/hris".to_owned(),
            inbox_trouble: None,
            last_accepted: Some(AcceptedStatus {
                run: RunId::parse("run_20260301_060000_250").unwrap(),
                name: "march.csv".to_owned(),
                rows: 1204,
                accepted_at: at("2026-03-01T06:00:00.250Z"),
            }),
            next_scheduled: Some(at("2026-03-02T11:00:00Z")),
            absent: 0,
            held: Vec::new(),
            expected_by: None,
            overdue_since: None,
            not_accepted: None,
            recheck_trouble: None,
            next_resync: None,
            last_resync: None,
        }],
        under_way: Vec::new(),
        paused: Vec::new(),
        doubt: None,
        groups: 12,
        members: 1204,
    }
}

pub(super) fn troubled() -> Status {
    let mut status = well();
    status.daemon.as_mut().unwrap().key_refused = true;
    status.durable = false;
    let source = &mut status.sources[0];
    source.inbox_trouble = Some("no right to read the folder".to_owned());
    source.absent = 3;
    source.held = vec![RunId::parse("run_20260301_060000_250").unwrap()];
    let mut slow = batch("bat_20260301_060001_001", "acme-ops", Phase::Pending);
    slow.attempts = 4;
    slow.accepted_at = None;
    slow.not_before = Some(at("2026-03-01T09:00:40Z"));
    slow.error = Some("the API answered 503: try again later".to_owned());
    status.under_way = vec![batch("bat_20260301_060001_000", "acme-sales", Phase::Accepted), slow];
    status.paused =
        vec![PausedGroup { group: group("acme-hr"), reason: "3 members were removed, the plan has 1".to_owned() }];
    status
}

pub(super) fn groups() -> Vec<GroupStatus> {
    let sales = GroupStatus {
        group: Some(group("acme-sales")),
        group_id: Some(GroupId::parse("grp_01").unwrap()),
        name: "Sales East".to_owned(),
        in_api: Some(true),
        made_by_us: true,
        members: Some(63),
        confirmed_at: Some(at("2026-03-01T06:01:12Z")),
        last_batch: Some(BatchId::parse("bat_20260301_060001_000").unwrap()),
        paused: None,
    };
    let hr = GroupStatus {
        group: Some(group("acme-hr")),
        group_id: Some(GroupId::parse("grp_02").unwrap()),
        name: "Human Resources of the whole company".to_owned(),
        paused: Some("3 members were removed, the plan has 1".to_owned()),
        ..sales.clone()
    };
    let made_by_hand = GroupStatus {
        group: None,
        group_id: Some(GroupId::parse("grp_03").unwrap()),
        name: "By hand".to_owned(),
        made_by_us: false,
        members: None,
        confirmed_at: None,
        last_batch: None,
        ..sales.clone()
    };
    let planned =
        GroupStatus { group_id: None, in_api: Some(false), group: Some(group("acme-new")), ..made_by_hand.clone() };
    vec![sales, hr, made_by_hand, planned]
}
