//! Values to store. All people are made up.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;

use crate::export::problem::{Code, Problem};
use crate::report::*;
use crate::roster::familiar::{Context, Familiar, FamiliarRow, FamiliarRows, MemberDigest, PersonKey, RowDigest};
use crate::roster::ids::*;
use crate::roster::member::{Member, Texts};
use crate::roster::{ConfirmedRoster, Entry, Origin};
use crate::store::*;

pub(in crate::store) fn time(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_414_530, 417_000_000).unwrap() + TimeDelta::minutes(minutes)
}

pub(in crate::store) fn group(name: &str) -> GroupRef {
    GroupRef::parse(name).unwrap()
}

pub(in crate::store) fn entry(id: &str) -> Entry {
    Entry {
        member: Member::new(
            ReferenceId::parse(id).unwrap(),
            PlanId::parse("pln_gold").unwrap(),
            NaiveDate::from_ymd_opt(1984, 2, 29).unwrap(),
            &Texts {
                first_name: "Zoë",
                last_name: "Quillfeather-Obermeister",
                phone: Some("2155550123"),
                email: None,
                address_line_1: "12 Nowhere Lane",
                address_line_2: Some("Apt 4"),
                city: "Springfield",
                state: "PA",
                zipcode: "01234-5678",
            },
        ),
        origin: Origin {
            source: SourceName::parse("hris").unwrap(),
            run: RunId::parse("run_20261123_061530_417").unwrap(),
            line: 17,
        },
        subscribed_plan: PlanId::parse("pln_silver").unwrap(),
    }
}

pub(in crate::store) fn roster(group: &str, ids: &[&str]) -> ConfirmedRoster {
    let former = vec![ReferenceId::parse("E-gone").unwrap()];
    ConfirmedRoster::new(self::group(group), ids.iter().map(|id| entry(id)).collect(), former, time(1))
}

pub(in crate::store) fn batch(id: &str, run: &str, group: &str) -> Batch {
    Batch {
        batch: BatchId::parse(id).unwrap(),
        run: RunId::parse(run).unwrap(),
        group: self::group(group),
        group_id: Some(GroupId::parse("grp_1").unwrap()),
        request_id: None,
        phase: Phase::Pending,
        members: 2,
        planned_removals: Some(0),
        attempts: 0,
        submitted_at: None,
        accepted_at: None,
        completed_at: None,
        not_before: None,
        added: 0,
        removed: 0,
        failures: vec![Failure {
            reference_id: "E2".to_owned(),
            operation: "add".to_owned(),
            reason: "the plan is unknown".to_owned(),
        }],
        error: None,
        moves_in: Vec::new(),
        moves_out: Vec::new(),
        follows: None,
        again: 0,
        reasons: vec![],
    }
}

pub(in crate::store) fn work(id: &str, run: &str, group: &str) -> Work {
    Work { batch: batch(id, run, group), payload: vec![entry("E1"), entry(id)] }
}

pub(in crate::store) fn run(id: &str, batches: &[&str]) -> RunRecord {
    let file = FileFacts { name: "staff.csv".to_owned(), sha256: "ab".repeat(32), rows: 3 };
    let guard = GuardReport {
        guard: "removals".to_owned(),
        group: Some(group("guarded")),
        value: 12,
        limit: 6,
        verdict: GuardVerdict::Hold,
        sum: "12 of 61 members of guarded would be removed (limit 6 = 10%)".to_owned(),
    };
    RunRecord {
        run: Run {
            run: RunId::parse(id).unwrap(),
            source: SourceName::parse("hris").unwrap(),
            trigger: Trigger::Watch,
            file: Some(file.clone()),
            received_at: time(0),
            finished_at: None,
            state: RunState::Delivering,
            guards: vec![guard.clone()],
            counts: Counts { rows: 3, new: 2, ..Counts::default() },
            batches: batches.iter().map(|id| BatchId::parse(id).unwrap()).collect(),
            reason: None,
            actor: Some("ops".to_owned()),
            approves: None,
            repeats: None,
            reverts: None,
        },
        plan: Some(plan(file, guard)),
        filed_as: Some("processed/2026-11/x.csv".to_owned()),
    }
}

fn plan(file: FileFacts, guard: GuardReport) -> PlanReport {
    let who = |id| ReferenceId::parse(id).unwrap();
    PlanReport {
        fingerprint: None,
        source: SourceName::parse("hris").unwrap(),
        file: Some(file),
        verdict: PlanVerdict::Apply,
        guards: vec![guard],
        problems: vec![ProblemReport {
            problem: Problem {
                line: 4,
                column: Some("Birth Date".to_owned()),
                reference_id: Some("E9".to_owned()),
                code: Code::BadDate,
                message: "the cell holds no date".to_owned(),
            },
            still_covered: Some(true),
        }],
        groups: vec![GroupReport {
            group: group("acme"),
            group_id: None,
            before: 4,
            after: 5,
            new: vec![who("E1")],
            returning: vec![],
            changed: vec![ChangedMember {
                reference_id: who("E2"),
                fields: vec!["city".to_owned()],
                joins_again: false,
            }],
            moved_in: vec![MovedIn { reference_id: who("E3"), from: group("beta") }],
            moved_out: vec![],
            terminated: vec![who("E4")],
            missing: vec![],
            kept: vec![KeptMember { reference_id: who("E9"), reason: "its row cannot be used".to_owned() }],
            unchanged: 1,
            reasons: vec![],
        }],
    }
}

pub(in crate::store) fn source(accepted_by: Option<&str>) -> SourceState {
    SourceState {
        source: SourceName::parse("hris").unwrap(),
        last_accepted: accepted_by.map(|run| AcceptedExport {
            run: RunId::parse(run).unwrap(),
            sha256: "ab".repeat(32),
            name: "staff.csv".to_owned(),
            rows: 3,
            modified: Some(time(-5)),
            accepted_at: time(0),
            day: None,
            ending: None,
        }),
        absences: BTreeMap::from([(ReferenceId::parse("E7").unwrap(), Absence { exports: 1, since: time(0) })]),
        losses: Vec::new(),
        fired: BTreeMap::from([("resync".to_owned(), time(-60))]),
        ..SourceState::new(SourceName::parse("hris").unwrap())
    }
}

pub(in crate::store) fn familiar() -> Familiar {
    let row = |number: u64, says| {
        FamiliarRow::new(RowDigest([number, u64::MAX - number]), PersonKey(number + 7), says, 739_000)
    };
    let member = MemberDigest(u64::MAX - 1);
    let groups = vec![(group("acme"), "Acme".to_owned())];
    Familiar {
        context: Context(3 << 90),
        day: 738_999,
        groups,
        rows: FamiliarRows::of([row(1, (Some(0), Some(member))), row(2, (Some(0), None)), row(3, (None, None))].iter()),
    }
}

pub(in crate::store) fn group_record(name: &str) -> GroupRecord {
    GroupRecord {
        group: group(name),
        id: Some(GroupId::parse("grp_1").unwrap()),
        name: "Acme, Inc.".to_owned(),
        made_by_us: true,
        paused: None,
    }
}

/// One change of each kind.
pub(in crate::store) fn changes() -> BatchChanges {
    changes_from(&Entry { origin: Origin { line: 16, ..entry("E3").origin }, ..other_record("E3") })
}

/// The same, where all that changed about E3 is nothing: what the first version of the record was written from.
pub(in crate::store) fn first_changes() -> BatchChanges {
    changes_from(&entry("E3"))
}

fn changes_from(former: &Entry) -> BatchChanges {
    let change = |id, what| MemberChange { reference_id: ReferenceId::parse(id).unwrap(), what };
    let origin = || entry("E1").origin;
    let changes = vec![
        change("E1", Change::Added(origin())),
        change("E2", Change::Returned(origin())),
        MemberChange::changed(former, &entry("E3")),
        MemberChange::removed(&entry("E4")),
        change("E5", Change::AddFailed),
        change("E6", Change::RemoveFailed(origin())),
    ];
    let after = ["E1", "E2", "E3", "E6"].map(entry);
    BatchChanges::new(changes, |id| after.iter().find(|entry| entry.member.reference_id == *id))
}

/// Everything that can change about somebody.
fn other_record(id: &str) -> Entry {
    let mut other = entry(id);
    other.member = Member::new(
        other.member.reference_id,
        PlanId::parse("pln_silver").unwrap(),
        NaiveDate::from_ymd_opt(1984, 3, 1).unwrap(),
        &Texts {
            first_name: "Zoe",
            last_name: "Quillfeather",
            phone: None,
            email: Some("zoe@example.test"),
            address_line_1: "13 Nowhere Lane",
            address_line_2: None,
            city: "Shelbyville",
            state: "OH",
            zipcode: "01234",
        },
    );
    other
}

/// People who join.
pub(in crate::store) fn joined(ids: &[&str]) -> BatchChanges {
    let entries: Vec<Entry> = ids.iter().map(|id| entry(id)).collect();
    let added = |entry: &Entry| MemberChange {
        reference_id: entry.member.reference_id.clone(),
        what: Change::Added(entry.origin.clone()),
    };
    let changes = entries.iter().map(added).collect();
    BatchChanges::new(changes, |id| entries.iter().find(|entry| entry.member.reference_id == *id))
}

prop_compose! {
    pub(in crate::store) fn any_entry()(
        ids in ["[!-~]([ -~]{0,30}[!-~])?", "[a-z]{1,8}", "[a-z]{1,8}", "[a-z]{1,8}", "[a-z]{1,8}"],
        texts in prop::array::uniform6("\\PC{0,40}"),
        optional in (prop::option::of("[2-9][0-9]{9}"), prop::option::of("[a-z]{1,9}@x\\.test"), prop::option::of("\\PC{1,9}")),
        born in -3_000_000_i32..3_000_000,
        line in any::<u64>(),
    ) -> Entry {
        let [who, plan, subscribed, source, run] = ids;
        let [first_name, last_name, address_line_1, city, state, zipcode] = texts.each_ref().map(String::as_str);
        let [phone, email, address_line_2] = [&optional.0, &optional.1, &optional.2].map(Option::as_deref);
        Entry {
            member: Member::new(
                ReferenceId::parse(&who).unwrap(),
                PlanId::parse(&plan).unwrap(),
                NaiveDate::from_num_days_from_ce_opt(born).unwrap(),
                &Texts { first_name, last_name, phone, email, address_line_1, address_line_2, city, state, zipcode },
            ),
            origin: Origin { source: SourceName::parse(&source).unwrap(), run: RunId::parse(&run).unwrap(), line },
            subscribed_plan: PlanId::parse(&subscribed).unwrap(),
        }
    }
}
