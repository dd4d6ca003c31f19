//! A plan as it is told: the stable report, and each doubt in words.

use crate::export::problem::Severity;
use crate::report::{ChangedMember, FileFacts, GroupReport, KeptMember, NOT_ADDED, PlanReport, ProblemReport};
use crate::roster::ids::ReferenceId;

use super::{Class, Decision, Doubt, GroupPlan, Plan, reasons};

/// The plan as people and scripts are told it.
pub fn report(plan: &Plan<'_>, file: Option<FileFacts>) -> PlanReport {
    PlanReport {
        source: plan.input.source.clone(),
        file,
        verdict: plan.verdict(),
        guards: plan.guards.clone(),
        problems: problems(plan),
        groups: plan.groups.iter().map(|of| group(plan, of)).filter(has_news).collect(),
    }
}

/// Each problem of the reading, with the answer to "is this person still covered?".
fn problems(plan: &Plan<'_>) -> Vec<ProblemReport> {
    let covered = |reference_id: &str| {
        let id = ReferenceId::parse(reference_id).ok()?;
        let decision = |group: &GroupPlan<'_>| {
            let at = group.decisions.binary_search_by(|decision| decision.reference_id.cmp(&id)).ok()?;
            // Of a file that is held whole nothing is applied: who would join is not covered, who would leave still is.
            let roster = |decision: &Decision<'_>| {
                if plan.is_held_whole { decision.before.is_some() } else { decision.after.is_some() }
            };
            group.decisions.get(at).map(roster)
        };
        Some(plan.groups.iter().filter_map(decision).any(|is_covered| is_covered))
    };
    let report = |problem: &crate::export::problem::Problem| ProblemReport {
        still_covered: match problem.code.severity() {
            Severity::Error => problem.reference_id.as_deref().and_then(covered),
            Severity::Warning => None,
        },
        problem: problem.clone(),
    };
    plan.input.reading.problems.iter().map(report).collect()
}

/// One group of a plan, whether there is anything to say of it or not.
pub fn group(whole: &Plan<'_>, plan: &GroupPlan<'_>) -> GroupReport {
    let mut report = GroupReport {
        group: plan.group.clone(),
        group_id: None,
        before: plan.size_before() as u64,
        after: plan.size() as u64,
        new: Vec::new(),
        returning: Vec::new(),
        changed: Vec::new(),
        moved_in: Vec::new(),
        moved_out: Vec::new(),
        terminated: Vec::new(),
        missing: Vec::new(),
        kept: Vec::new(),
        unchanged: 0,
        reasons: reasons::all(&whole.input, plan),
    };
    for decision in &plan.decisions {
        place(decision, &mut report);
    }
    report
}

fn place(decision: &Decision<'_>, report: &mut GroupReport) {
    let reference_id = decision.reference_id.clone();
    match &decision.class {
        Class::New => report.new.push(reference_id),
        Class::Returning => report.returning.push(reference_id),
        Class::Changed(fields) => {
            let fields = fields.iter().map(|field| field.name().to_owned()).collect();
            report.changed.push(ChangedMember { reference_id, fields });
        }
        Class::Unchanged => report.unchanged += 1,
        Class::Terminated(_) => report.terminated.push(reference_id),
        Class::Missing => report.missing.push(reference_id),
        // Told by the run that decided it.
        Class::Leaving => {}
        Class::Kept(doubt) | Class::Withheld(doubt) => {
            let reason = words(doubt, decision.after.is_some());
            report.kept.push(KeptMember { reference_id, reason });
        }
    }
}

fn has_news(report: &GroupReport) -> bool {
    let lists = [report.new.len(), report.returning.len(), report.terminated.len(), report.missing.len()];
    lists.iter().any(|len| *len != 0) || !report.changed.is_empty() || !report.kept.is_empty()
}

/// A doubt in words, for the operator and for HR.
fn words(doubt: &Doubt, is_covered: bool) -> String {
    let stays = if is_covered { "still covered" } else { NOT_ADDED };
    match doubt {
        Doubt::Invalid => format!("{stays}: the row cannot be used as it is"),
        Doubt::Conflict => format!("{stays}: rows of this person contradict each other"),
        Doubt::Absent { seen, needed } => {
            format!("{stays}: missing from {seen} of the {needed} exports in a row that confirm an absence")
        }
        Doubt::Unidentified => format!("{stays}: missing, but a row without a readable id could be theirs"),
        Doubt::OtherSource(source) => format!("{stays}: the record of source {source} counts"),
        Doubt::Moving { from, to } => format!(
            "{stays}: on the roster of {from}, and the file says {to}; moves between groups are not yet supported"
        ),
        Doubt::AnotherPerson => {
            format!("{stays}: last name and birth date both changed; perhaps the id was given to somebody else")
        }
        Doubt::Renumbered => format!("{stays}: the same person is on a roster under another id"),
        Doubt::Guard(guard) => format!("{stays}: held by the guard {guard}"),
    }
}
