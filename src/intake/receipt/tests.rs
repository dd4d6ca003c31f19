use super::*;
use crate::export::problem::{Code, Problem};
use crate::report::{Failure, FileFacts, GroupReport, KeptMember, PlanVerdict};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId, SourceName};

const ZONE: Tz = Tz::America__New_York;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn run(state: RunState) -> Run {
    Run {
        run: RunId::parse("run_0042").unwrap(),
        source: SourceName::parse("hris").unwrap(),
        trigger: Trigger::Watch,
        file: Some(FileFacts { name: "hris.csv".into(), sha256: "1a2b".into(), rows: 61 }),
        received_at: at("2026-10-05T10:00:00Z"),
        finished_at: None,
        state,
        guards: Vec::new(),
        counts: Counts::default(),
        batches: Vec::new(),
        reason: None,
        actor: None,
        approves: None,
        repeats: None,
        reverts: None,
    }
}

fn finished(state: RunState) -> Run {
    Run { finished_at: Some(at("2026-10-05T10:02:30Z")), ..run(state) }
}

fn counted(run: Run) -> Run {
    let counts =
        Counts { rows: 61, problems: 2, new: 3, changed: 1, missing: 2, kept: 1, unchanged: 52, ..Counts::default() };
    Run { counts, ..run }
}

fn guard(sum: &str) -> GuardReport {
    GuardReport {
        guard: "removals".into(),
        group: Some(GroupRef::parse("acme-sales").unwrap()),
        value: 12,
        limit: 6,
        verdict: GuardVerdict::Hold,
        sum: sum.into(),
    }
}

fn problem(line: u64, column: &str, code: Code, message: &str) -> ProblemReport {
    let problem = Problem {
        line,
        column: Some(column.into()),
        reference_id: Some(format!("E{line:05}")),
        code,
        message: message.into(),
    };
    ProblemReport { problem, still_covered: Some(line.is_multiple_of(2)) }
}

fn plan(problems: Vec<ProblemReport>, kept: &[(&str, &str)]) -> PlanReport {
    let kept = kept
        .iter()
        .map(|(who, why)| KeptMember { reference_id: ReferenceId::parse(who).unwrap(), reason: (*why).into() })
        .collect();
    let group = GroupReport {
        group: GroupRef::parse("acme-sales").unwrap(),
        group_id: None,
        before: 60,
        after: 61,
        new: Vec::new(),
        returning: Vec::new(),
        changed: Vec::new(),
        moved_in: Vec::new(),
        moved_out: Vec::new(),
        terminated: Vec::new(),
        missing: Vec::new(),
        kept,
        unchanged: 52,
        reasons: Vec::new(),
    };
    PlanReport {
        fingerprint: None,
        source: SourceName::parse("hris").unwrap(),
        file: None,
        verdict: PlanVerdict::Apply,
        guards: Vec::new(),
        problems,
        groups: vec![group],
    }
}

fn batch(group: &str, phase: Phase) -> Batch {
    Batch {
        batch: BatchId::parse("bat_1").unwrap(),
        run: RunId::parse("run_0042").unwrap(),
        group: GroupRef::parse(group).unwrap(),
        group_id: None,
        request_id: None,
        phase,
        members: 61,
        attempts: 1,
        submitted_at: None,
        accepted_at: None,
        completed_at: None,
        added: 0,
        removed: 0,
        failures: Vec::new(),
        not_before: None,
        planned_removals: Some(0),
        error: Some("HTTP 422 from https://api.example".into()),
        moves_in: Vec::new(),
        moves_out: Vec::new(),
        follows: None,
        again: 0,
        reasons: Vec::new(),
    }
}

fn failure(who: &str, operation: &str) -> Failure {
    Failure { reference_id: who.into(), operation: operation.into(), reason: "Maria Lopez is too young".into() }
}

fn some_problems() -> Vec<ProblemReport> {
    vec![
        problem(14, "Birth Date", Code::BadDate, "this is not a date; write it as 12/31/1999"),
        problem(17, "Zip", Code::BadZip, "this is not a ZIP code; five digits, or nine with a dash"),
        problem(20, "Mobile Phone", Code::PhoneDropped, "the phone number cannot be used and was left out"),
    ]
}

fn receipt(run: &Run, plan: Option<&PlanReport>, batches: &[Batch]) -> String {
    let text = render_for(Subject { name: "hris.csv", zone: ZONE }, run, plan, batches);
    for line in text.lines() {
        assert!(line.chars().count() <= 78, "too wide: {line}");
        assert_eq!(line, line.trim_end());
    }
    assert!(!text.contains("Lopez") && !text.contains("HTTP"), "{text}");
    text
}

fn cases() -> Vec<(&'static str, String, &'static str)> {
    let rejected = Run {
        reason: Some("the last line is cut short: the upload did not finish. Drop the file again".into()),
        ..finished(RunState::Rejected)
    };
    let held_sum = "12 of 61 members of acme-sales would be removed (limit 6 = 10%)";
    let held = Run { guards: vec![guard(held_sum)], ..counted(run(RunState::Held)) };
    let under_way = Run { batches: vec![BatchId::parse("bat_1").unwrap()], ..counted(run(RunState::Delivering)) };
    let mut partly = batch("acme-sales", Phase::Completed);
    partly.failures = vec![failure("E00031", "add"), failure("E00007", "remove"), failure("E00008", "merge")];
    let partial = Run { counts: Counts { confirmed: 5, failed: 2, ..under_way.counts }, ..finished(RunState::Partial) };
    let completed = counted(finished(RunState::Completed));
    let clean = Run { counts: Counts { rows: 1, new: 1, confirmed: 1, ..Counts::default() }, ..completed.clone() };
    let released = Run { trigger: Trigger::Approve, actor: Some("ana".into()), ..clean.clone() };
    let kept = plan(
        some_problems(),
        &[("E00040", "still covered: missing from 1 of the 2 exports in a row that confirm an absence")],
    );
    let discarded = Run { reason: Some("wrong month".into()), ..finished(RunState::Discarded) };
    macro_rules! case {
        ($name:literal, $text:expr) => {
            ($name, $text, include_str!(concat!("tests/", $name, ".txt")))
        };
    }
    vec![
        case!("received", receipt(&run(RunState::Received), None, &[])),
        case!("planned", receipt(&counted(finished(RunState::Planned)), Some(&kept), &[])),
        case!("held", receipt(&held, Some(&kept), &[])),
        case!(
            "delivering",
            receipt(
                &under_way,
                Some(&kept),
                &[
                    batch("acme-sales", Phase::Completed),
                    batch("acme-it", Phase::Accepted),
                    batch("acme-hr", Phase::Pending)
                ]
            )
        ),
        case!("completed", receipt(&completed, Some(&kept), &[batch("acme-sales", Phase::Completed)])),
        case!(
            "completed-clean",
            receipt(&clean, Some(&plan(Vec::new(), &[])), &[batch("acme-sales", Phase::Completed)])
        ),
        case!("released", receipt(&released, None, &[])),
        case!("partial", receipt(&partial, Some(&kept), &[partly, batch("acme-it", Phase::Refused)])),
        case!("failed", receipt(&finished(RunState::Failed), None, &[batch("acme-it", Phase::Lost)])),
        case!("rejected", receipt(&rejected, None, &[])),
        case!("duplicate", receipt(&finished(RunState::Duplicate), None, &[])),
        case!("unchanged", receipt(&finished(RunState::Unchanged), None, &[])),
        case!("superseded", receipt(&finished(RunState::Superseded), None, &[batch("acme-it", Phase::Superseded)])),
        case!("discarded", receipt(&discarded, None, &[])),
    ]
}

#[test]
fn each_state_has_its_receipt() {
    for (name, text, wanted) in cases() {
        assert_eq!(text, wanted, "{name}");
    }
}

#[test]
fn a_long_list_of_problems_is_cut_and_the_rest_is_counted() {
    let problems = (1..=70).map(|line| problem(line, "Zip", Code::BadZip, "not a ZIP code")).collect();
    let text = receipt(&counted(finished(RunState::Completed)), Some(&plan(problems, &[])), &[]);
    assert!(text.contains("Rows that could not be used (70)"));
    assert!(text.contains("Line 50,") && !text.contains("Line 51,"));
    assert!(text.contains("- and 20 more, see the file beside this one that ends in .problems.csv."));
}

#[test]
fn a_long_name_and_odd_characters_do_not_break_the_page() {
    let name = format!("{}\u{1b}[31m\n.csv", "n".repeat(200));
    let text = render_for(Subject { name: &name, zone: Tz::UTC }, &run(RunState::Received), None, &[]);
    assert!(text.lines().all(|line| line.chars().count() <= 78));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(text.contains("5 October 2026, 10:00 UTC\n"));
}

#[test]
fn the_table_of_problems_has_a_row_for_each() {
    let mut whole_file = problem(0, "Zip", Code::EncodingGuessed, "the encoding was guessed, check names with accents");
    whole_file.problem.column = None;
    whole_file.problem.reference_id = None;
    whole_file.still_covered = None;
    let table = problems_csv(&[problem(14, "Birth \"Date\"", Code::BadDate, "not a date"), whole_file]);
    assert_eq!(
        String::from_utf8(table).unwrap(),
        "\u{feff}line,column,reference_id,code,message,still_covered\r\n\
         14,\"Birth \"\"Date\"\"\",E00014,bad_date,not a date,yes\r\n\
         ,,,encoding_guessed,\"the encoding was guessed, check names with accents\",\r\n"
    );
}

#[test]
fn cells_that_a_spreadsheet_would_run_are_defused() {
    for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1"] {
        let mut report = problem(3, formula, Code::BadId, "m");
        report.problem.reference_id = Some(formula.into());
        let table = problems_csv(&[report]);
        let mut rows = csv::Reader::from_reader(table.as_slice());
        let row = rows.records().next().unwrap().unwrap();
        let wanted = format!("'{formula}");
        assert_eq!((&row[1], &row[2]), (wanted.as_str(), wanted.as_str()));
    }
}

#[test]
fn without_a_subject_the_name_is_that_of_the_run_and_times_are_utc() {
    let run = run(RunState::Received);
    let wanted = render_for(Subject { name: "hris.csv", zone: Tz::UTC }, &run, None, &[]);
    assert_eq!(render(&run, None, &[]), wanted);
}

#[test]
fn who_was_not_added_is_not_called_covered_and_who_is_listed_with_a_row_is_not_listed_again() {
    let kept =
        |who: &str, reason: &str| KeptMember { reference_id: ReferenceId::parse(who).unwrap(), reason: reason.into() };
    assert!(kept("E1", "still covered: held by the guard removals").is_covered());
    assert!(!kept("E2", "not added: the same person is on a roster under another id").is_covered());
    let row = problem(7, "Zip", Code::BadZip, "This is no ZIP code.");
    let plan =
        plan(vec![row], &[("E1", "still covered: held"), ("E2", "not added: held"), ("E00007", "not added: the row")]);
    let text = render(&run(RunState::Completed), Some(&plan), &[]);
    assert!(text.contains("- Person E1. Still covered: yes.\n  Held."), "{text}");
    assert!(text.contains("- Person E2. Still covered: no.\n  Not added: held."), "{text}");
    assert_eq!(text.matches("Person E00007.").count(), 1, "{text}");
}

fn said(run: &Run, plan: &PlanReport, batches: &[Batch]) -> String {
    receipt(run, Some(plan), batches).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn people_with_the_same_doubt_are_told_together_with_what_to_do() {
    let why = "still covered: missing from 1 of the 2 exports in a row that confirm an absence";
    let plan = plan(Vec::new(), &[("E1", why), ("E2", why), ("E3", "still covered: held by the guard removals")]);
    let text = said(&run(RunState::Completed), &plan, &[]);
    assert!(text.contains("People in doubt (3)"), "{text}");
    assert!(text.contains("2 people: E1, E2. Still covered: yes, all of them. Not in this file;"), "{text}");
    assert!(text.contains("the next export without them ends their coverage"), "{text}");
    assert!(text.contains("Person E3. Still covered: yes. Not in the file, like more people"), "{text}");
    assert!(text.contains("To do: If they have left, have this file released."), "{text}");
}

#[test]
fn whoever_would_leave_with_a_held_file_is_told_to_be_covered_until_then() {
    let mut plan = plan(Vec::new(), &[]);
    plan.groups[0].missing = vec![ReferenceId::parse("E5").unwrap()];
    plan.groups[0].terminated = vec![ReferenceId::parse("E6").unwrap()];
    let text = said(&run(RunState::Held), &plan, &[]);
    for person in ["E5", "E6"] {
        assert!(text.contains(&format!("Person {person}. Still covered: yes.")), "{text}");
    }
    // What became of a file that no longer counts is no doubt.
    assert!(!said(&run(RunState::Discarded), &plan, &[]).contains("People in doubt"));
}

#[test]
fn one_reason_in_many_groups_is_said_three_times_and_then_summed_up() {
    let of = |n: usize| GuardReport {
        group: Some(GroupRef::parse(&format!("acme-{n:02}")).unwrap()),
        ..guard(&format!("2 of 9 members of acme-{n:02} would be removed (limit 1)"))
    };
    let held = Run { guards: (0..30).map(of).collect(), ..run(RunState::Partial) };
    let text = said(&held, &plan(Vec::new(), &[]), &[]);
    assert_eq!(text.matches("would be removed").count(), 3, "{text}");
    assert!(
        text.contains("The same in 27 more groups: acme-03, acme-04,") && text.contains("acme-22 and 7 more."),
        "{text}"
    );
}

#[test]
fn repairs_that_say_the_same_are_one_entry_with_their_lines() {
    let dropped = |line| problem(line, "Phone", Code::PhoneDropped, "the number was left out");
    let text = said(&run(RunState::Completed), &plan((4..24).map(dropped).collect(), &[]), &[]);
    assert!(text.contains("with something to know (20)"), "{text}");
    let entry = "- Lines 4, 5, 6, 7, 8 and 15 more, column \"Phone\": The number was left out.";
    assert!(text.contains(entry), "{text}");
    assert_eq!(text.matches("The number was left out").count(), 1);
}

#[test]
fn a_part_that_is_held_is_no_failure() {
    let held = Run { guards: vec![guard("2 of 9 would be removed")], ..run(RunState::Partial) };
    let text = said(&held, &plan(Vec::new(), &[]), &[]);
    assert!(
        text.starts_with("Accepted. All that it would change is held (see below). Nobody gained or lost"),
        "{text}"
    );
    let text = said(&held, &plan(Vec::new(), &[]), &[batch("acme-it", Phase::Completed)]);
    assert!(text.starts_with("Accepted and delivered, except for what is held (see below)."), "{text}");
    assert!(text.contains("they can release it. Quote the number run_0042."), "{text}");
}

#[test]
fn what_a_receipt_begins_with_needs_no_plan_and_tells_it_from_the_one_before() {
    let plan = plan(some_problems(), &[("E7", "absent from 1 of 2 exports")]);
    let subject = Subject { name: "hris.csv", zone: ZONE };
    let judged = |run: Run, verdict| Run { guards: vec![GuardReport { verdict, ..guard("12 of 60") }], ..counted(run) };
    let (open, done) = ([batch("acme-sales", Phase::Accepted)], [batch("acme-sales", Phase::Completed)]);
    let stages = [
        (judged(run(RunState::Delivering), GuardVerdict::Pass), &open[..]),
        (judged(run(RunState::Delivering), GuardVerdict::Pass), &done[..]),
        (judged(finished(RunState::Completed), GuardVerdict::Pass), &done[..]),
        (judged(run(RunState::Held), GuardVerdict::Hold), &[]),
        (judged(finished(RunState::Superseded), GuardVerdict::Hold), &[]),
    ];
    let receipts = stages.each_ref().map(|(run, batches)| render_for(subject, run, Some(&plan), batches));
    for (at, (run, batches)) in stages.iter().enumerate() {
        let beginning = beginning_of(subject, run, batches).unwrap();
        let begin_so: Vec<usize> =
            (0..).zip(&receipts).filter(|(_, it)| it.starts_with(&beginning)).map(|it| it.0).collect();
        assert_eq!(begin_so, [at], "{beginning}");
    }
    // Who failed is told at the end; without guards the plan's are told at the beginning.
    let failed = Batch { failures: vec![failure("E3", "add")], ..batch("acme-sales", Phase::Completed) };
    assert_eq!(beginning_of(subject, &stages[2].0, &[failed]), None);
    assert_eq!(beginning_of(subject, &finished(RunState::Completed), &done), None);
}
