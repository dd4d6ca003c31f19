//! A plan as it is told: the stable report, and each doubt in words.

use crate::export::problem::Severity;
use crate::report::{
    ChangedMember, FileFacts, GroupReport, KeptMember, MovedIn, MovedOut, NOT_ADDED, PlanReport, PlanVerdict,
    ProblemReport, doubts,
};
use crate::roster::ids::ReferenceId;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Class, Decision, Doubt, GroupPlan, HeldMove, Hitch, Plan, reasons};

/// Enough that no two plans of a firm share it, and short enough to be read out on the telephone.
const FINGERPRINT_DIGITS: usize = 16;

/// The plan as people and scripts are told it.
pub fn report(plan: &Plan<'_>, file: Option<FileFacts>) -> PlanReport {
    let groups = plan.groups.iter().filter_map(|of| news(plan, of)).collect();
    with_groups(about_all(plan, file), groups)
}

/// The same, with what `each` makes of each group. What was decided about a group goes as soon as it is told: of a million people
/// decisions and what is told of them need not be in memory at one time.
pub fn tell<T: Send>(
    mut plan: Plan<'_>,
    file: Option<FileFacts>,
    each: impl Fn(&GroupPlan<'_>) -> T + Sync,
) -> (PlanReport, Vec<T>) {
    let report = about_all(&plan, file);
    let groups = std::mem::take(&mut plan.groups);
    let (groups, made): (Vec<_>, Vec<T>) = groups.into_par_iter().map(|of| (news(&plan, &of), each(&of))).unzip();
    (with_groups(report, groups.into_iter().flatten().collect()), made)
}

/// All that is told but what changes in each group.
fn about_all(plan: &Plan<'_>, file: Option<FileFacts>) -> PlanReport {
    PlanReport {
        source: plan.input.source.clone(),
        file,
        verdict: plan.verdict(),
        guards: plan.guards.clone(),
        problems: problems(plan),
        groups: Vec::new(),
        fingerprint: None,
    }
}

fn with_groups(mut report: PlanReport, groups: Vec<GroupReport>) -> PlanReport {
    report.groups = groups;
    if report.verdict == PlanVerdict::Hold {
        report.fingerprint = Some(fingerprint(&report));
    }
    report
}

/// Two held plans with one fingerprint name the same people for the same reasons.
fn fingerprint(report: &PlanReport) -> String {
    struct Hashing(Sha256);
    impl std::io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hashing(Sha256::new());
    let sha256 = report.file.as_ref().map(|file| &file.sha256);
    // The report's own JSON: whatever is told is bound. Writing into a hash cannot fail.
    drop(serde_json::to_writer(&mut hash, &(&report.source, sha256, &report.guards, &report.groups)));
    format!("{:x}", hash.0.finalize()).chars().take(FINGERPRINT_DIGITS).collect()
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

/// A group with anything to say; one in doubt always has.
fn news(whole: &Plan<'_>, plan: &GroupPlan<'_>) -> Option<GroupReport> {
    let report = group(whole, plan);
    (has_news(&report) || plan.is_doubtful()).then_some(report)
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
        unchanged: plan.alike() as u64,
        reasons: reasons::all(&whole.input, plan),
    };
    for decision in &plan.decisions {
        place(decision, &mut report);
    }
    // Of a first load it is everybody.
    report.new.shrink_to_fit();
    report
}

fn place(decision: &Decision<'_>, report: &mut GroupReport) {
    let reference_id = decision.reference_id.clone();
    match &decision.class {
        Class::New => report.new.push(reference_id),
        Class::Returning => report.returning.push(reference_id),
        Class::Changed(fields) => {
            let fields = fields.iter().map(|field| field.name().to_owned()).collect();
            let joins_again = decision.is_replaced_in(&report.group);
            report.changed.push(ChangedMember { reference_id, fields, joins_again });
        }
        Class::Unchanged => report.unchanged += 1,
        Class::Terminated(_) => report.terminated.push(reference_id),
        Class::Missing => report.missing.push(reference_id),
        Class::MovedIn { from } => report.moved_in.push(MovedIn { reference_id, from: from.clone() }),
        Class::MovedOut { to, .. } => report.moved_out.push(MovedOut { reference_id, to: to.clone() }),
        // Told by the run that decided it.
        Class::Leaving => {}
        Class::Kept(doubt) | Class::Withheld(doubt) => {
            let reason = words(doubt, decision.after.is_some());
            report.kept.push(KeptMember { reference_id, reason });
        }
    }
}

fn has_news(report: &GroupReport) -> bool {
    let ids = [report.new.len(), report.returning.len(), report.terminated.len(), report.missing.len()];
    let others = [report.changed.len(), report.moved_in.len(), report.moved_out.len(), report.kept.len()];
    ids.iter().chain(&others).any(|len| *len != 0)
}

/// A doubt in words, for the operator and for HR.
fn words(doubt: &Doubt, is_covered: bool) -> String {
    let stays = if is_covered { "still covered" } else { NOT_ADDED };
    match doubt {
        Doubt::Invalid => format!("{stays}: {}", doubts::INVALID),
        Doubt::Conflict => format!("{stays}: {}", doubts::CONFLICT),
        Doubt::Absent { seen, needed } => {
            format!("{stays}: missing from {seen} of the {needed} {}", doubts::ABSENT)
        }
        Doubt::Unidentified => format!("{stays}: {}", doubts::UNIDENTIFIED),
        Doubt::OtherSource(source) => format!("{stays}: {} {source} counts", doubts::OTHER_SOURCE),
        Doubt::Moving(held) => {
            let HeldMove { from, to, why } = &**held;
            let why = match why {
                Hitch::Guard(guard) => format!("{} {guard}", doubts::GUARD),
                Hitch::Paused => format!("held, since {to} is paused"),
                Hitch::OtherSide => "held, since one of the two groups is held or the person is in doubt".to_owned(),
            };
            format!("{stays}: {} from {from} to {to} is {why}", doubts::MOVE)
        }
        Doubt::AnotherPerson => format!("{stays}: {}", doubts::ANOTHER_PERSON),
        Doubt::Renumbered if is_covered => format!("{stays}: {}", doubts::RENUMBERED_AWAY),
        Doubt::Renumbered => format!("{stays}: {}", doubts::RENUMBERED),
        Doubt::Guard(guard) => format!("{stays}: {} {guard}", doubts::GUARD),
    }
}
