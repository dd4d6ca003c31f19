use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Limit;
use crate::report::PlanReport;
use crate::roster::member::{Field, Texts};
use crate::roster::{Person, Standing};

/// One case: what is confirmed, what the file says, and the rules; told in short words.
struct Case {
    confirmed: Vec<(&'static str, Vec<Entry>)>,
    former: Vec<&'static str>,
    people: Vec<Person>,
    unidentified: Vec<u64>,
    absences: BTreeMap<ReferenceId, Absence>,
    losses: Vec<Loss>,
    previous: Option<Previous>,
    guards: Guards,
    confirm_absence: u32,
    replace_plans: bool,
    standing: GroupStanding,
    approval: Option<Approval>,
    mistrust: Option<&'static str>,
    run: RunId,
    source: SourceName,
    rows: u64,
    invalid_rows: u64,
}

const HRIS: &str = "hris";

fn now() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn id(text: &str) -> ReferenceId {
    ReferenceId::parse(text).unwrap()
}

fn group(text: &str) -> GroupRef {
    GroupRef::parse(text).unwrap()
}

/// Everybody differs in name and birth date, so that nobody looks like somebody else under another id.
fn member(reference_id: &str, city: &str) -> Member {
    let number = reference_id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0);
    Member::new(
        id(reference_id),
        PlanId::parse("pln_gold").unwrap(),
        "1980-01-01".parse::<chrono::NaiveDate>().unwrap() + chrono::Days::new(number),
        &Texts {
            first_name: &format!("First{reference_id}"),
            last_name: &format!("Last{reference_id}"),
            phone: None,
            email: Some(&format!("{reference_id}@example.com")),
            address_line_1: "9 Elm St",
            address_line_2: None,
            city,
            state: "PA",
            zipcode: "16501",
        },
    )
}

fn entry(reference_id: &str, source: &str) -> Entry {
    let member = member(reference_id, "Erie");
    let origin = Origin { source: SourceName::parse(source).unwrap(), run: RunId::parse("run_0").unwrap(), line: 2 };
    Entry { subscribed_plan: member.plan_id.clone(), member, origin }
}

fn entry_of(person: &Person, source: &str) -> Entry {
    let member = person.member().expect("the person is covered");
    Entry { member: member.clone(), ..entry("E1", source) }
}

fn ids(payload: &[Entry]) -> Vec<&str> {
    payload.iter().map(|entry| entry.member.reference_id.as_str()).collect()
}

fn person(reference_id: &str, in_group: Option<&str>, standing: Standing) -> Person {
    Person::new(&id(reference_id), 7, in_group.map(group), standing)
}

fn covered(reference_id: &str, in_group: &str) -> Person {
    person(reference_id, Some(in_group), Standing::Covered(member(reference_id, "Erie")))
}

fn gone(reference_id: &str) -> Person {
    person(reference_id, Some("acme"), Standing::Uncovered(Uncovered::Terminated))
}

fn named(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:04}")).collect()
}

fn off() -> Guards {
    Guards {
        removals: None,
        removals_max: None,
        terminations: None,
        rolling_removals: None,
        rolling_window: Duration::from_secs(7 * 86_400),
        rows_dropped: None,
        invalid_rows: None,
        field_changed: None,
        additions: None,
        identity_changes: None,
        approval_expires: Duration::from_secs(72 * 3600),
    }
}

impl Case {
    /// A group `acme` with these members, all of them of this source; the file says nothing yet.
    fn confirmed(members: &[&str]) -> Self {
        Self {
            confirmed: vec![("acme", members.iter().map(|id| entry(id, HRIS)).collect())],
            former: Vec::new(),
            people: Vec::new(),
            unidentified: Vec::new(),
            absences: BTreeMap::new(),
            losses: Vec::new(),
            previous: None,
            guards: off(),
            confirm_absence: 2,
            replace_plans: false,
            standing: GroupStanding::Ours,
            approval: None,
            mistrust: None,
            run: RunId::parse("run_1").unwrap(),
            source: SourceName::parse(HRIS).unwrap(),
            rows: 0,
            invalid_rows: 0,
        }
    }

    fn file(mut self, people: Vec<Person>) -> Self {
        self.rows = people.len() as u64;
        self.people = people;
        self.people.sort_by(|a, b| a.reference_id().cmp(b.reference_id()));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The file lists the members as they are.
    fn same(members: &[&str]) -> Self {
        Self::confirmed(members).file(members.iter().map(|id| covered(id, "acme")).collect())
    }

    fn plan<T>(self, look: impl FnOnce(&Plan<'_>, &Input<'_>) -> T) -> T {
        let former: Vec<ReferenceId> = self.former.iter().map(|text| id(text)).collect();
        let mut baselines: BTreeMap<GroupRef, Baseline> = self
            .confirmed
            .into_iter()
            .map(|(name, members)| {
                let roster = ConfirmedRoster::new(group(name), members, former.clone(), now());
                // A stranger's members are exactly what nobody knows.
                let roster = (self.standing != GroupStanding::Stranger).then_some(roster);
                (group(name), Baseline::new(roster, self.standing))
            })
            .collect();
        let groups: BTreeMap<GroupRef, String> =
            self.people.iter().filter_map(|person| Some((person.group.clone()?, "Acme".to_owned()))).collect();
        for name in groups.keys() {
            baselines.entry(name.clone()).or_insert_with(|| Baseline::new(None, self.standing));
        }
        let reading = Reading {
            people: self.people,
            groups,
            problems: Vec::new(),
            unidentified: self.unidentified,
            open: None,
            rows: self.rows,
            invalid_rows: self.invalid_rows,
        };
        let input = Input {
            run: &self.run,
            source: &self.source,
            reading: &reading,
            baselines: &baselines,
            absences: &self.absences,
            losses: &self.losses,
            is_repeat: false,
            previous: self.previous,
            modified: Some(now()),
            policy: Policy {
                guards: &self.guards,
                confirm_absence: self.confirm_absence,
                members_per_request: 5000,
                replace_plans: self.replace_plans,
            },
            mistrust: self.mistrust.map(|reason| Mistrust { reason, has_other_sources: false }),
            approval: self.approval.as_ref(),
            now: now(),
        };
        let plan = plan(input);
        alike::assert_counting_changes_nothing(&plan, &input);
        look(&plan, &input)
    }

    fn class_of(self, reference_id: &str) -> Class {
        self.plan(|plan, _| {
            let mut decisions = plan.groups.iter().flat_map(|group| &group.decisions);
            let found = decisions.rfind(|decision| decision.reference_id.as_str() == reference_id);
            found.unwrap_or_else(|| panic!("nothing is decided about {reference_id}")).class.clone()
        })
    }

    fn report(self) -> PlanReport {
        self.plan(|plan, _| summary::report(plan, None))
    }

    fn payload(self) -> Vec<String> {
        self.plan(|plan, input| {
            let acme = plan.groups.iter().find(|plan| plan.group.as_str() == "acme").unwrap();
            acme.payload(input).into_iter().map(|entry| entry.member.reference_id.to_string()).collect()
        })
    }
}

#[test]
fn a_file_that_says_what_is_confirmed_changes_nothing() {
    let (verdict, changed) =
        Case::same(&["E1", "E2"]).plan(|plan, _| (plan.verdict(), plan.groups.iter().any(GroupPlan::is_changed)));
    assert_eq!((verdict, changed), (PlanVerdict::Unchanged, false));
}

#[test]
fn each_person_falls_into_the_class_that_the_file_says() {
    let changed = person("E2", Some("acme"), Standing::Covered(member("E2", "Buffalo")));
    let gone = person("E3", Some("acme"), Standing::Uncovered(Uncovered::Terminated));
    let case = || {
        Case::confirmed(&["E1", "E2", "E3"])
            .file(vec![
                covered("E1", "acme"),
                changed.clone(),
                gone.clone(),
                covered("E4", "acme"),
                covered("E5", "acme"),
            ])
            .with(|case| case.former = vec!["E5"])
    };
    assert_eq!(case().class_of("E1"), Class::Unchanged);
    assert_eq!(case().class_of("E2"), Class::Changed([Field::City].into_iter().collect()));
    assert_eq!(case().class_of("E3"), Class::Terminated(Uncovered::Terminated));
    assert_eq!(case().class_of("E4"), Class::New);
    assert_eq!(case().class_of("E5"), Class::Returning);
    assert_eq!(case().payload(), ["E1", "E2", "E4", "E5"]);
}

#[test]
fn an_invalid_row_of_a_covered_person_keeps_them_with_the_confirmed_record() {
    let case = || Case::confirmed(&["E1"]).file(vec![person("E1", Some("acme"), Standing::Invalid)]);
    assert_eq!(case().class_of("E1"), Class::Kept(Doubt::Invalid));
    assert_eq!(case().payload(), ["E1"]);
    let placeless = Case::confirmed(&["E1"]).file(vec![person("E1", None, Standing::Invalid)]);
    assert_eq!(placeless.payload(), ["E1"]);
}

#[test]
fn an_invalid_row_of_somebody_new_adds_nobody() {
    let case =
        Case::confirmed(&["E1"]).file(vec![covered("E1", "acme"), person("E2", Some("acme"), Standing::Invalid)]);
    assert_eq!(case.payload(), ["E1"]);
}

#[test]
fn absence_counts_after_as_many_exports_as_the_config_says() {
    let missing = |exports: u32| {
        Case::confirmed(&["E1", "E2"]).file(vec![covered("E1", "acme")]).with(|case| {
            let absence = Absence { exports, since: now() };
            case.absences = if exports == 0 { BTreeMap::new() } else { BTreeMap::from([(id("E2"), absence)]) };
        })
    };
    assert_eq!(missing(0).class_of("E2"), Class::Kept(Doubt::Absent { seen: 1, needed: 2 }));
    assert_eq!(missing(1).class_of("E2"), Class::Missing);
    let counted = missing(0).plan(|plan, _| plan.absences.get(&id("E2")).map(|absence| absence.exports));
    assert_eq!(counted, Some(1));
}

#[test]
fn whoever_is_named_again_is_not_missing_any_more() {
    let absences = Case::same(&["E1"])
        .with(|case| case.absences = BTreeMap::from([(id("E1"), Absence { exports: 1, since: now() })]))
        .plan(|plan, _| plan.absences.clone());
    assert!(absences.is_empty());
}

#[test]
fn a_row_without_a_readable_id_freezes_every_missing_removal() {
    let case = || {
        Case::confirmed(&["E1", "E2", "E3"])
            .file(vec![covered("E1", "acme"), person("E3", Some("acme"), Standing::Uncovered(Uncovered::Terminated))])
            .with(|case| {
                case.unidentified = vec![4];
                case.absences = BTreeMap::from([(id("E2"), Absence { exports: 5, since: now() })]);
            })
    };
    assert_eq!(case().class_of("E2"), Class::Kept(Doubt::Unidentified));
    // What the file states still counts: only silence is doubtful.
    assert_eq!(case().payload(), ["E1", "E2"]);
    let absences = case().plan(|plan, _| plan.absences.get(&id("E2")).map(|absence| absence.exports));
    assert_eq!(absences, Some(5), "such an export says nothing about absence");
}

#[test]
fn absence_from_one_source_never_touches_the_people_of_another() {
    let case = Case::confirmed(&["E1"])
        .file(vec![covered("E1", "acme")])
        .with(|case| case.confirmed[0].1.push(entry("P9", "payroll")));
    assert_eq!(case.payload(), ["E1", "P9"]);
}

#[test]
fn a_person_of_another_source_keeps_that_sources_record() {
    let other = person("P9", Some("acme"), Standing::Covered(member("P9", "Buffalo")));
    let case = Case::confirmed(&[]).file(vec![other]).with(|case| case.confirmed[0].1.push(entry("P9", "payroll")));
    assert_eq!(case.class_of("P9"), Class::Kept(Doubt::OtherSource(SourceName::parse("payroll").unwrap())));
}

/// The plan of a file that names E1 alone, for a group with something under way.
fn plan_beside<T>(baseline: Baseline, look: impl FnOnce(&Plan<'_>, &Input<'_>) -> T) -> T {
    plan_of([("acme", baseline)], vec![covered("E1", "acme")], look)
}

/// The plan of a file for groups with something under way, with all limits off.
fn plan_of<const N: usize, T>(
    baselines: [(&str, Baseline); N],
    people: Vec<Person>,
    look: impl FnOnce(&Plan<'_>, &Input<'_>) -> T,
) -> T {
    plan_with(&off(), None, baselines, people, look)
}

fn plan_with<const N: usize, T>(
    guards: &Guards,
    approval: Option<&Approval>,
    baselines: [(&str, Baseline); N],
    mut people: Vec<Person>,
    look: impl FnOnce(&Plan<'_>, &Input<'_>) -> T,
) -> T {
    let run = RunId::parse("run_1").unwrap();
    let source = SourceName::parse(HRIS).unwrap();
    let baselines = baselines.into_iter().map(|(name, baseline)| (group(name), baseline)).collect();
    people.sort_by(|a, b| a.reference_id().cmp(b.reference_id()));
    let reading = Reading { rows: people.len() as u64, people, ..Reading::default() };
    let input = Input {
        run: &run,
        source: &source,
        reading: &reading,
        baselines: &baselines,
        absences: &BTreeMap::new(),
        losses: &[],
        is_repeat: false,
        previous: None,
        modified: None,
        policy: Policy { guards, confirm_absence: 2, members_per_request: 5000, replace_plans: false },
        mistrust: None,
        approval,
        now: now(),
    };
    look(&plan(input), &input)
}

#[test]
fn whoever_may_be_covered_by_a_roster_under_way_counts_as_covered() {
    let under_way = vec![entry("E1", HRIS), entry("E2", HRIS)];
    let confirmed = ConfirmedRoster::new(group("acme"), vec![entry("E1", HRIS)], Vec::new(), now());
    let baseline =
        Baseline::new(Some(confirmed), GroupStanding::Ours).with_in_flight(&under_way).with_queued(under_way.clone());
    plan_beside(baseline, |plan, input| {
        // E2 is only in the roster under way, and only missing from this file: kept, and so nothing changes.
        assert_eq!(plan.groups[0].payload(input).len(), 2);
        assert!(!plan.groups[0].is_changed());
    });
}

#[test]
fn a_queued_end_is_taken_back_although_too_many_would_join() {
    // E1 is to leave by a roster that is still queued, and this file lists them again, among a crowd of newcomers.
    let confirmed =
        || ConfirmedRoster::new(group("acme"), vec![entry("E1", HRIS), entry("E2", HRIS)], Vec::new(), now());
    let guards = Guards { additions: Some(Limit::Share(0.5)), ..off() };
    let crowd = |name: &str| -> Vec<Person> {
        ["E1", "E2"]
            .into_iter()
            .chain(["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"])
            .map(|id| covered(id, name))
            .collect()
    };
    let queued = Baseline::new(Some(confirmed()), GroupStanding::Ours).with_queued(vec![entry("E2", HRIS)]);
    plan_with(&guards, None, [("acme", queued)], crowd("acme"), |plan, input| {
        assert!(plan.guards.iter().any(|guard| guard.guard == "additions" && guard.verdict == GuardVerdict::Hold));
        assert!(plan.groups[0].is_changed(), "the queued roster would end their coverage");
        assert_eq!(ids(&plan.groups[0].payload(input)), ["E1", "E2"]);
    });
    // Nobody is to leave: the group is held, and what is queued stays.
    let queued =
        Baseline::new(Some(confirmed()), GroupStanding::Ours).with_queued(vec![entry("E1", HRIS), entry("E2", HRIS)]);
    plan_with(&guards, None, [("acme", queued)], crowd("acme"), |plan, _| assert!(!plan.groups[0].is_changed()));
}

#[test]
fn whom_another_source_takes_off_under_a_new_id_stays_under_the_old_one() {
    let renumbered = entry_of(&renumbered("E1", "1"), "payroll");
    let confirmed = ConfirmedRoster::new(group("acme"), vec![entry("E1", HRIS), entry("E2", HRIS)], Vec::new(), now());
    let under_way = [renumbered, entry("E1", HRIS), entry("E2", HRIS)];
    let baseline = Baseline::new(Some(confirmed), GroupStanding::Ours)
        .with_in_flight(&under_way)
        .with_queued(vec![entry("E1", HRIS), entry("E2", HRIS)]);
    let approval = Approval { shown: [(group("acme"), [id("E1")].into())].into(), ..Approval::default() };
    let people = vec![self::renumbered("E1", "1"), covered("E2", "acme")];
    plan_with(&off(), Some(&approval), [("acme", baseline)], people, |plan, input| {
        assert_eq!(ids(&plan.groups[0].payload(input)), ["E1", "E2"]);
    });
}

#[test]
fn a_group_is_not_emptied_by_a_plan_that_removes_nobody() {
    // The last member leaves by what another source has queued, which counted on E1 and E2; now they are to join elsewhere.
    let confirmed = ConfirmedRoster::new(group("acme"), vec![entry("P1", "payroll")], Vec::new(), now());
    let queued = vec![entry("E1", HRIS), entry("E2", HRIS)];
    let baseline = Baseline::new(Some(confirmed), GroupStanding::Ours).with_queued(queued);
    let people = vec![covered("E1", "beta"), covered("E2", "beta")];
    let beta = Baseline::new(None, GroupStanding::Ours);
    plan_of([("acme", baseline), ("beta", beta)], people, |plan, input| {
        assert!(plan.guards.iter().any(|guard| guard.guard == "empty" && guard.verdict == GuardVerdict::Hold));
        assert!(!plan.groups[0].is_changed(), "the queued roster stays");
        assert!(plan.groups[1].payload(input).is_empty(), "and who is on it joins no other group");
    });
}

#[test]
fn that_nobody_is_left_is_approved_in_so_many_words_where_others_leave_as_well() {
    // P1 leaves by what another source has queued. The approval was given while they were still to stay.
    let baseline = || {
        let members = vec![entry("E1", HRIS), entry("P1", "payroll")];
        let confirmed = ConfirmedRoster::new(group("acme"), members, Vec::new(), now());
        Baseline::new(Some(confirmed), GroupStanding::Ours).with_queued(vec![entry("E1", HRIS)])
    };
    let planned = |approval: &Approval| {
        plan_with(&off(), Some(approval), [("acme", baseline())], vec![gone("E1")], |plan, input| {
            (Approval::of(&summary::report(plan, None)), plan.groups[0].payload(input).len())
        })
    };
    let before = Approval { shown: [(group("acme"), [id("E1")].into())].into(), ..Approval::default() };
    let (shown, left) = planned(&before);
    assert_eq!(left, 1);
    assert_eq!(planned(&shown).1, 0);
}

#[test]
fn a_group_that_was_there_before_rosterd_is_held_until_a_person_says_so() {
    let case = || Case::same(&["E1"]).with(|case| case.standing = GroupStanding::Stranger);
    let report = case().report();
    assert_eq!(report.verdict, PlanVerdict::Hold);
    assert_eq!(case().payload(), [""; 0]);
    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(approved.payload(), ["E1"]);
}

/// A file that lacks E2, of a group whose record came into doubt.
fn doubtful() -> Case {
    let people = vec![covered("E1", "acme"), covered("E3", "acme")];
    Case::confirmed(&["E1", "E2"]).file(people).with(|case| {
        case.standing = GroupStanding::Doubtful;
        case.mistrust = Some("the record is lost");
    })
}

#[test]
fn an_export_that_meets_doubtful_records_is_held_whole_and_shows_what_it_would_send() {
    let report = doubtful().report();
    assert_eq!(report.verdict, PlanVerdict::Hold);
    assert!(doubtful().plan(|plan, _| plan.is_held_whole));
    let sums: Vec<&str> = report.guards.iter().map(|guard| guard.sum.as_str()).collect();
    assert_eq!(
        sums[0],
        "the record is lost. 3 people in 1 group would be sent as all there are, and anybody else whom the API covers there \
         would lose coverage"
    );
    assert!(sums.iter().any(|sum| sum.starts_with("the record of acme is in doubt: it has 2 people, and 3 people")));
    assert_eq!(report.groups[0].new, [id("E3")], "told as new, not as held");
    assert!(report.groups[0].kept[0].is_covered());
}

#[test]
fn one_approval_of_doubtful_records_releases_all_of_it_and_confirms_no_absence() {
    let shown = doubtful().report();
    let approved = || doubtful().with(|case| case.approval = Some(Approval::of(&shown)));
    assert!(!approved().plan(|plan, _| plan.is_held_whole));
    assert_eq!(approved().payload(), ["E1", "E2", "E3"], "E2 was shown as kept");
    let removals = approved().plan(|plan, _| plan.groups[0].removals());
    assert_eq!(removals, None, "nobody knows whom it removes, and whoever approved it was told");
}

#[test]
fn a_doubtful_group_is_sent_also_when_it_is_as_on_record_and_never_without_approval() {
    let case = || Case::same(&["E1"]).with(|case| case.standing = GroupStanding::Doubtful);
    let report = case().report();
    assert_eq!((report.verdict, report.groups.len()), (PlanVerdict::Hold, 1));
    assert!(!case().plan(|plan, _| plan.groups[0].is_changed()));
    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert!(approved.plan(|plan, _| plan.groups[0].is_changed()));
}

#[test]
fn an_approval_of_doubtful_records_is_no_approval_of_more_people_than_it_showed() {
    let shown = doubtful().report();
    let more = doubtful().with(|case| {
        case.people.push(covered("E9", "acme"));
        case.approval = Some(Approval::of(&shown));
    });
    assert!(more.plan(|plan, _| plan.is_held_whole));
}

#[test]
fn a_held_group_is_sent_nothing_even_when_something_may_be_under_way() {
    let baseline = Baseline::new(None, GroupStanding::Stranger).with_in_flight(&[entry("E1", HRIS)]);
    plan_beside(baseline, |plan, _| {
        assert_eq!(plan.verdict(), PlanVerdict::Hold);
        assert!(!plan.groups[0].is_changed());
    });
}

#[test]
fn too_many_missing_people_are_kept_and_the_rest_is_delivered() {
    let members = named("E", 61);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let case = || {
        let mut people: Vec<Person> = listed.iter().skip(12).map(|id| covered(id, "acme")).collect();
        people.push(covered("N1", "acme"));
        Case::confirmed(&listed).file(people).with(|case| {
            case.confirm_absence = 1;
            case.guards.removals = Some(Limit::Share(0.10));
        })
    };
    let report = case().report();
    let held = report.guards.iter().find(|guard| guard.guard == "removals").unwrap();
    assert_eq!(held.sum, "12 of 61 members of acme would be removed (limit 6 = 10%)");
    assert_eq!(held.verdict, GuardVerdict::Hold);
    assert_eq!(case().payload().len(), 62, "all 61 and the new one");
    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(approved.payload().len(), 50);
}

#[test]
fn an_approval_is_a_ceiling() {
    let members = named("E", 20);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let without = |gone: std::ops::Range<usize>, approval: Option<Approval>| {
        let stays = listed.iter().enumerate().filter(|(at, _)| !gone.contains(at));
        let people = stays.map(|(_, id)| covered(id, "acme")).collect();
        Case::confirmed(&listed).file(people).with(|case| {
            case.guards.removals = Some(Limit::Count(0));
            case.confirm_absence = 1;
            case.approval = approval;
        })
    };
    let approved = |gone| {
        let approval = Approval::of(&without(0..3, None).report());
        without(gone, Some(approval)).payload().len()
    };
    assert_eq!(approved(0..3), 17);
    assert_eq!(approved(0..2), 18, "a smaller set passes");
    assert_eq!(approved(0..4), 20, "a larger one is held again");
    assert_eq!(approved(3..6), 20, "so is another of the same size: nobody was shown who is in it");
}

#[test]
fn one_approval_covers_the_absences_that_it_confirms_and_no_others() {
    let members = named("E", 20);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let case = |gone: usize, approval: Option<Approval>| {
        let people = listed.iter().skip(gone).map(|id| covered(id, "acme")).collect();
        Case::confirmed(&listed).file(people).with(|case| {
            case.guards.removals = Some(Limit::Share(0.10));
            case.guards.rows_dropped = Some(Limit::Share(0.20));
            case.previous = Some(Previous { rows: 20, modified: None, is_return: false });
            case.approval = approval;
        })
    };
    let held = case(8, None).report();
    let line = held.guards.iter().find(|guard| guard.guard == "confirm_absence").unwrap();
    assert_eq!((line.value, line.verdict), (8, GuardVerdict::Hold));
    assert!(line.sum.starts_with("8 of 20 members of acme are not in this file"), "{}", line.sum);
    let approval = Approval::of(&held);
    // The guard `removals` asks about eight of twenty, who were shown: nothing is asked twice.
    let (verdict, size) = case(8, Some(approval.clone())).plan(|plan, _| (plan.verdict(), plan.groups[0].size()));
    assert_eq!((verdict, size), (PlanVerdict::Apply, 12));
    let (verdict, size) = case(9, Some(approval)).plan(|plan, _| (plan.verdict(), plan.groups[0].size()));
    assert_eq!((verdict, size), (PlanVerdict::Hold, 12), "the ninth was not shown, and stays");
}

#[test]
fn nothing_is_said_of_absences_where_nothing_waits_for_an_approval() {
    let report = Case::confirmed(&["E1", "E2"]).file(vec![covered("E1", "acme")]).report();
    assert!(report.guards.iter().all(|guard| guard.guard != "confirm_absence"));
}

fn loss(reference_id: &str, days: i64, is_stated: bool) -> Loss {
    let at = now() - chrono::TimeDelta::days(days);
    Loss { group: group("acme"), reference_id: id(reference_id), at, is_stated }
}

#[test]
fn a_feed_that_loses_a_few_people_every_day_is_held() {
    let members = named("E", 18);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let case = |losses: Vec<Loss>| {
        let people = listed.iter().skip(2).map(|id| covered(id, "acme")).collect();
        Case::confirmed(&listed).file(people).with(|case| {
            case.confirm_absence = 1;
            case.guards.rolling_removals = Some(Limit::Share(0.20));
            case.losses = losses;
        })
    };
    let sum = |case: Case| {
        let report = case.report();
        let guard = report.guards.iter().find(|guard| guard.guard == "rolling_removals").unwrap();
        (guard.verdict, guard.sum.clone())
    };
    let said = "4 of 20 members of acme would have lost coverage within 7 days, earlier files included, which nobody has approved (limit 4 = 20%)";
    assert_eq!(sum(case(vec![loss("G1", 1, true), loss("G2", 6, false)])), (GuardVerdict::Pass, said.to_owned()));
    let five = || vec![loss("G1", 1, true), loss("G2", 6, false), loss("G3", 2, false)];
    assert_eq!(sum(case(five())).0, GuardVerdict::Hold);
    assert_eq!(case(five()).payload().len(), 18);
    // Longer ago, planned and still here, and the same person twice: none of these is one more.
    let old = vec![loss("G1", 8, true), loss("E0005", 1, false), loss("E0001", 1, false), loss("G2", 1, true)];
    assert_eq!(sum(case(old)).0, GuardVerdict::Pass);
}

#[test]
fn a_few_leavers_whom_the_file_states_are_no_pattern() {
    let case = |stated| {
        Case::confirmed(&["E1", "E2", "E3"]).file(vec![covered("E1", "acme"), covered("E2", "acme"), gone("E3")]).with(
            |case| {
                case.guards.rolling_removals = Some(Limit::Share(0.20));
                case.losses = vec![loss("G1", 1, stated), loss("G2", 2, true)];
            },
        )
    };
    assert_eq!(case(true).payload().len(), 2, "three of five, each of them stated");
    assert_eq!(case(false).payload().len(), 3, "one of them was merely missing");
}

#[test]
fn what_a_person_approved_does_not_count_against_the_next_export() {
    let case = || {
        Case::confirmed(&["E1", "E2", "E3"]).file(vec![covered("E1", "acme"), covered("E2", "acme")]).with(|case| {
            case.confirm_absence = 1;
            case.guards.removals = Some(Limit::Count(0));
        })
    };
    let report = case().with(|case| case.confirm_absence = 2).report();
    assert_eq!(case().plan(|plan, _| plan.losses.len()), 0, "held");
    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(approved.plan(|plan, _| (plan.groups[0].size(), plan.losses.len())), (2, 0));
    let unasked = case().with(|case| case.guards.removals = None);
    assert_eq!(unasked.plan(|plan, _| (plan.groups[0].size(), plan.losses.len())), (2, 1));
}

#[test]
fn more_than_so_many_are_missing_in_no_group_however_large() {
    let members = named("E", 400);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let without = |gone: usize| {
        let people = listed.iter().skip(gone).map(|id| covered(id, "acme")).collect();
        let case = Case::confirmed(&listed).file(people).with(|case| {
            case.confirm_absence = 1;
            case.guards.removals_max = Some(25);
        });
        case.payload().len()
    };
    assert_eq!((without(25), without(26)), (375, 400));
}

#[test]
fn a_group_that_the_api_lacks_is_sent_nothing_and_no_approval_helps() {
    let case = || {
        Case::confirmed(&[])
            .file(vec![covered("E1", "acme")])
            .with(|case| (case.confirmed, case.standing) = (Vec::new(), GroupStanding::Lacking))
    };
    let report = case().report();
    assert_eq!(report.verdict, PlanVerdict::Hold);
    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(approved.payload(), [""; 0]);
}

#[test]
fn a_roster_that_the_api_would_refuse_is_judged_with_everybody_who_is_kept_and_never_split() {
    let members = named("E", 5000);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let case = || {
        let mut people: Vec<Person> = listed.iter().skip(1).map(|id| covered(id, "acme")).collect();
        people.push(covered("N1", "acme"));
        Case::confirmed(&listed).file(people)
    };
    // One is missing for the first time, and stays: 5,001 with the one who joins.
    let report = case().report();
    assert_eq!(report.verdict, PlanVerdict::Hold);
    assert_eq!(case().payload().len(), 5000, "as it was");
    let gone = case().with(|case| case.confirm_absence = 1);
    assert_eq!(gone.payload().len(), 5000, "with one who left and one who joined");
}

#[test]
fn a_group_whose_people_all_move_waits_for_a_person_whoever_joins() {
    // What a shifted column makes of two groups of one.
    let swapped = Case::confirmed(&["E1"])
        .file(vec![covered("E1", "bolt"), covered("E2", "acme")])
        .with(|case| case.confirmed.push(("bolt", vec![entry("E2", HRIS)])));
    assert_eq!(swapped.payload(), ["E1"]);
}

#[test]
fn between_two_periods_whoever_is_covered_stays_and_nobody_joins() {
    let between = |id: &str| person(id, Some("acme"), Standing::Uncovered(Uncovered::Between));
    let case = Case::confirmed(&["E1", "E2"]).file(vec![between("E1"), covered("E2", "acme"), between("E3")]);
    assert_eq!(case.payload(), ["E1", "E2"]);
}

#[test]
fn an_end_that_comes_to_light_late_is_flagged() {
    let late = person("E1", Some("acme"), Standing::Uncovered(Uncovered::EndedLongAgo));
    let report = Case::confirmed(&["E1", "E2"]).file(vec![late, covered("E2", "acme")]).report();
    assert_eq!(report.groups[0].ended_long_ago().collect::<Vec<_>>(), [&id("E1")]);
}

#[test]
fn a_group_is_never_emptied_without_a_person() {
    let case =
        || Case::confirmed(&["E1"]).file(vec![person("E1", Some("acme"), Standing::Uncovered(Uncovered::Terminated))]);
    assert_eq!(case().payload(), ["E1"]);
    assert_eq!(case().report().verdict, PlanVerdict::Hold);
}

#[test]
fn an_id_given_to_somebody_else_changes_nobody() {
    let mut other = member("E1", "Erie");
    assert!(other.set_value(Field::LastName, Some("Someone")));
    other.date_of_birth = "2001-01-01".parse().unwrap();
    let case = Case::confirmed(&["E1"]).file(vec![person("E1", Some("acme"), Standing::Covered(other))]);
    assert_eq!(case.class_of("E1"), Class::Kept(Doubt::AnotherPerson));
}

#[test]
fn a_person_under_a_new_id_is_not_added_beside_the_old_one() {
    let case = Case::confirmed(&["E1"]).file(vec![renumbered("E1", "1")]);
    assert_eq!(case.payload(), ["E1"]);
}

fn renumbered(from: &str, to: &str) -> Person {
    let mut member = member(from, "Erie");
    member.reference_id = id(to);
    person(to, Some("acme"), Standing::Covered(member))
}

/// `E1` of two members has another id in the file that confirms the absence of the old one.
fn absent_twice(members: &[&str], people: Vec<Person>) -> Case {
    let absence = Absence { exports: 1, since: now() };
    Case::confirmed(members).file(people).with(|case| case.absences = [(id("E1"), absence)].into())
}

#[test]
fn a_person_who_may_not_join_under_a_new_id_does_not_leave_under_the_old_one() {
    let case = || absent_twice(&["E1", "E2"], vec![renumbered("E1", "1"), covered("E2", "acme")]);
    assert_eq!(case().payload(), ["E1", "E2"]);
    let approval = Approval::of(&case().report());
    assert_eq!(case().with(|case| case.approval = Some(approval)).payload(), ["1", "E2"]);
}

#[test]
fn a_group_is_not_kept_from_being_emptied_by_somebody_who_may_not_join_it() {
    let gone = person("E2", Some("acme"), Standing::Uncovered(Uncovered::Terminated));
    // Their old id is on another group's roster, so that the group has only the one who leaves.
    let case = Case::confirmed(&["E2"]).file(vec![renumbered("E1", "1"), gone]).with(|case| {
        case.confirmed.push(("beta", vec![entry("E1", HRIS), entry("E3", HRIS)]));
        case.people.push(covered("E3", "beta"));
    });
    assert_eq!(case.payload(), ["E2"]);
}

#[test]
fn the_old_id_of_a_person_stays_while_the_new_one_is_held_and_goes_when_it_is_released() {
    let covered = |id: &str| person(id, Some("acme"), Standing::Covered(member(id, "Erie")));
    let listed = named("E", 30);
    let case = || {
        let mut renumbered = member("E0005", "Erie");
        let members: Vec<&str> = listed.iter().map(String::as_str).collect();
        let gone = renumbered.reference_id.clone();
        renumbered.reference_id = id("F0005");
        let new = person("F0005", Some("acme"), Standing::Covered(renumbered));
        let rest = listed.iter().filter(|it| it.as_str() != gone.as_str()).map(|it| covered(it));
        Case::confirmed(&members).file(rest.chain([new]).collect()).with(|case| case.confirm_absence = 1)
    };
    // One missing person of thirty is below every limit.
    assert_eq!(case().payload(), listed);
    assert_eq!(case().class_of("E0005"), Class::Kept(Doubt::Renumbered));
    assert_eq!(case().plan(|plan, _| plan.losses.len()), 0);
    let report = case().report();
    let approved = || case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(approved().class_of("E0005"), Class::Missing);
    assert_eq!(approved().class_of("F0005"), Class::New);
}

#[test]
fn a_renumbered_file_is_held_whole() {
    let members = named("000", 50);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let people = listed.iter().map(|old| {
        let mut renumbered = member(old, "Erie");
        renumbered.reference_id = id(&format!("9{old}"));
        person(old, Some("acme"), Standing::Covered(renumbered))
    });
    let case = Case::confirmed(&listed)
        .file(people.collect())
        .with(|case| case.guards.identity_changes = Some(Limit::Share(0.02)));
    assert!(case.plan(|plan, _| plan.is_held_whole));
}

#[test]
fn an_older_file_and_one_that_comes_back_are_held_whole() {
    let previous = Previous { rows: 1, modified: Some(now()), is_return: false };
    let held =
        |previous| Case::same(&["E1"]).with(|case| case.previous = Some(previous)).plan(|plan, _| plan.is_held_whole);
    assert!(!held(previous));
    assert!(held(Previous { modified: Some(now() + chrono::TimeDelta::seconds(1)), ..previous }));
    assert!(held(Previous { is_return: true, ..previous }));
}

#[test]
fn file_guards_draw_their_line_where_the_config_says() {
    let members = named("E", 100);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let case = |change: fn(&mut Case)| Case::same(&listed).with(change).plan(|plan, _| plan.is_held_whole);
    let before = |rows| Some(Previous { rows, modified: None, is_return: false });
    assert!(
        !Case::same(&listed)
            .with(|it| it.previous = before(125))
            .with(|it| it.guards.rows_dropped = Some(Limit::Share(0.20)))
            .plan(|plan, _| plan.is_held_whole)
    );
    assert!(
        Case::same(&listed)
            .with(|it| it.previous = before(126))
            .with(|it| it.guards.rows_dropped = Some(Limit::Share(0.20)))
            .plan(|plan, _| plan.is_held_whole)
    );
    assert!(!case(|it| {
        it.guards.invalid_rows = Some(Limit::Share(0.05));
        it.invalid_rows = 5;
    }));
    assert!(case(|it| {
        it.guards.invalid_rows = Some(Limit::Share(0.05));
        it.invalid_rows = 6;
    }));
    assert!(
        case(|it| {
            it.guards.invalid_rows = Some(Limit::Count(0));
            it.invalid_rows = 1;
        }),
        "0 holds on any"
    );
    let moved = |count: usize| {
        let people = listed.iter().enumerate().map(|(at, id)| {
            let city = if at < count { "Buffalo" } else { "Erie" };
            person(id, Some("acme"), Standing::Covered(member(id, city)))
        });
        Case::confirmed(&listed)
            .file(people.collect())
            .with(|it| it.guards.field_changed = Some(Limit::Share(0.30)))
            .plan(|plan, _| plan.is_held_whole)
    };
    assert!(!moved(30));
    assert!(moved(31), "a shifted column");
}

#[test]
fn terminations_and_additions_draw_their_line_per_group() {
    let members = named("E", 30);
    let listed: Vec<&str> = members.iter().map(String::as_str).collect();
    let ended = |count: usize| {
        let people = listed.iter().enumerate().map(|(at, id)| {
            if at < count {
                person(id, Some("acme"), Standing::Uncovered(Uncovered::Terminated))
            } else {
                covered(id, "acme")
            }
        });
        Case::confirmed(&listed)
            .file(people.collect())
            .with(|it| it.guards.terminations = Some(Limit::Share(0.20)))
            .payload()
            .len()
    };
    assert_eq!(ended(6), 24);
    assert_eq!(ended(7), 30, "more than a fifth is held");
    let joined = |count: usize| {
        let newcomers = named("N", count);
        let people = listed.iter().copied().chain(newcomers.iter().map(String::as_str)).map(|id| covered(id, "acme"));
        Case::confirmed(&listed)
            .file(people.collect())
            .with(|it| it.guards.additions = Some(Limit::Share(0.50)))
            .payload()
            .len()
    };
    assert_eq!(joined(15), 45);
    assert_eq!(joined(16), 30, "more than half is held");
}

/// What a file may say about one of twelve people.
#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    Covered,
    Moved,
    Ended,
    Invalid,
    Conflict,
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        Just(Says::Nothing),
        Just(Says::Covered),
        Just(Says::Moved),
        Just(Says::Ended),
        Just(Says::Invalid),
        Just(Says::Conflict),
    ]
}

const PEOPLE: [&str; 12] = ["E01", "E02", "E03", "E04", "E05", "E06", "E07", "E08", "E09", "E10", "E11", "E12"];

fn random_case(covered_before: &[bool], file: &[Says], has_unidentified: bool, confirm_absence: u32) -> Case {
    let members: Vec<&str> = PEOPLE.iter().zip(covered_before).filter(|(_, is)| **is).map(|(id, _)| *id).collect();
    let people = PEOPLE.iter().zip(file).filter_map(|(id, says)| {
        let standing = match says {
            Says::Nothing => return None,
            Says::Covered => Standing::Covered(member(id, "Erie")),
            Says::Moved => Standing::Covered(member(id, "Buffalo")),
            Says::Ended => Standing::Uncovered(Uncovered::Terminated),
            Says::Invalid => Standing::Invalid,
            Says::Conflict => Standing::Conflict,
        };
        Some(person(id, Some("acme"), standing))
    });
    let people: Vec<Person> = people.collect();
    Case::confirmed(&members).file(people).with(|case| {
        case.confirm_absence = confirm_absence;
        case.unidentified = if has_unidentified { vec![99] } else { Vec::new() };
    })
}

proptest! {
    #[test]
    fn nobody_leaves_but_by_a_stated_end_or_a_confirmed_absence(
        before in proptest::collection::vec(any::<bool>(), 12),
        file in proptest::collection::vec(says(), 12),
        has_unidentified in any::<bool>(),
        confirm_absence in 1u32..3,
    ) {
        let expected: Vec<&str> = PEOPLE.iter().enumerate().filter(|(at, _)| match (before[*at], file[*at]) {
            (_, Says::Covered | Says::Moved) => true,
            (is_covered, Says::Invalid | Says::Conflict) => is_covered,
            (_, Says::Ended) => false,
            (is_covered, Says::Nothing) => is_covered && (has_unidentified || confirm_absence != 1),
        }).map(|(_, id)| *id).collect();
        // A group that would be emptied is held: its removals do not count.
        prop_assume!(!expected.is_empty());
        prop_assume!(before.iter().any(|is| *is) || file.iter().any(|says| matches!(says, Says::Covered | Says::Moved | Says::Invalid | Says::Conflict)));
        let payload = random_case(&before, &file, has_unidentified, confirm_absence).payload();
        prop_assert_eq!(payload, expected);
    }

    #[test]
    fn whatever_is_held_leaves_the_confirmed_record_in_the_payload(
        before in proptest::collection::vec(any::<bool>(), 12),
        file in proptest::collection::vec(says(), 12),
        limit in 0u64..4,
    ) {
        prop_assume!(before.iter().any(|is| *is));
        let case = random_case(&before, &file, false, 1).with(|case| {
            case.guards.removals = Some(Limit::Count(limit));
            case.guards.terminations = Some(Limit::Count(limit));
            case.guards.additions = Some(Limit::Count(limit));
        });
        case.plan(|plan, input| {
            for group in &plan.groups {
                let payload = group.payload(input);
                for decision in &group.decisions {
                    let sent = crate::roster::find(&payload, decision.reference_id);
                    if matches!(decision.class, Class::Kept(_)) {
                        prop_assert_eq!(sent, decision.before);
                    }
                    if matches!(decision.class, Class::Withheld(_)) {
                        prop_assert!(sent.is_none());
                    }
                }
                let missing = group.decisions.iter().filter(|decision| decision.class == Class::Missing).count() as u64;
                prop_assert!(missing <= limit);
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_same_plan_made_twice_sends_nothing_the_second_time(
        before in proptest::collection::vec(any::<bool>(), 12),
        file in proptest::collection::vec(says(), 12),
    ) {
        let first = random_case(&before, &file, false, 2).plan(|plan, input| {
            plan.groups.first().map(|group| group.payload(input))
        });
        let Some(payload) = first else { return Ok(()) };
        let again = random_case(&before, &file, false, 2).with(|case| case.confirmed = vec![("acme", payload)]);
        prop_assert!(again.plan(|plan, _| !plan.groups.iter().any(GroupPlan::is_changed)));
    }
}

// === moves between groups ===

mod alike;
mod moves;
