use super::*;

/// `acme` and `bolt` with these members, and a file that says who is where.
fn two_groups(acme: &[&str], bolt: &[&str], file: &[(&str, &str)]) -> Case {
    let bolt = bolt.iter().map(|id| entry(id, HRIS)).collect();
    let people = file.iter().map(|(who, group)| covered(who, group)).collect();
    Case::confirmed(acme).file(people).with(|case| case.confirmed.push(("bolt", bolt)))
}

fn payload_of(case: Case, name: &str) -> Vec<String> {
    case.plan(|plan, input| sent(plan, input, name))
}

/// Whom the roster of a group would hold.
fn sent(plan: &Plan<'_>, input: &Input<'_>, name: &str) -> Vec<String> {
    let of = plan.groups.iter().find(|plan| plan.group.as_str() == name).unwrap();
    of.payload(input).into_iter().map(|entry| entry.member.reference_id.to_string()).collect()
}

#[test]
fn a_person_whom_the_file_puts_into_another_group_leaves_the_one_and_joins_the_other() {
    let case = || two_groups(&["E1", "E2"], &["E9"], &[("E1", "acme"), ("E2", "bolt"), ("E9", "bolt")]);
    assert_eq!(payload_of(case(), "acme"), ["E1"]);
    assert_eq!(payload_of(case(), "bolt"), ["E2", "E9"]);
    case().plan(|plan, _| {
        assert_eq!((plan.counts().moved, plan.counts().new, plan.counts().terminated), (1, 0, 0), "counted once");
        let moves = |at: usize| (plan.groups[at].moves_in(), plan.groups[at].moves_out());
        assert_eq!(moves(0), (vec![], vec![MovedOut { reference_id: id("E2"), to: group("bolt") }]));
        assert_eq!(moves(1), (vec![MovedIn { reference_id: id("E2"), from: group("acme") }], vec![]));
    });
    let report = case().report();
    assert_eq!((report.groups[0].moved_out.len(), report.groups[1].moved_in.len()), (1, 1));
}

#[test]
fn only_the_source_that_brought_somebody_moves_them() {
    let case = || {
        Case::confirmed(&["E1"])
            .file(vec![covered("E1", "acme"), covered("P9", "acme")])
            .with(|case| case.confirmed.push(("bolt", vec![entry("P9", "payroll")])))
    };
    let payroll = SourceName::parse("payroll").unwrap();
    assert_eq!(case().class_of("P9"), Class::Withheld(Doubt::OtherSource(payroll)));
    assert_eq!(case().payload(), ["E1"]);
}

#[test]
fn what_holds_one_side_of_a_move_holds_the_other() {
    // Eleven of twelve leave: over the line of `moves`, whatever the gaining group thinks of it.
    let members = named("E", 12);
    let acme: Vec<&str> = members.iter().map(String::as_str).collect();
    let file: Vec<(&str, &str)> =
        acme.iter().enumerate().map(|(at, who)| (*who, if at == 0 { "acme" } else { "bolt" })).collect();
    let case = || {
        two_groups(&acme, &["F1"], &file)
            .with(|case| case.people.push(covered("F1", "bolt")))
            .with(|case| case.guards.terminations = Some(Limit::Share(0.2)))
    };
    assert_eq!(payload_of(case(), "acme").len(), 12);
    assert_eq!(payload_of(case(), "bolt"), ["F1"]);
    let report = case().report();
    let held = report.guards.iter().find(|guard| guard.verdict == GuardVerdict::Hold).unwrap();
    assert_eq!((held.guard.as_str(), held.value, held.limit), ("moves", 11, 3));
    assert!(report.groups[1].kept[0].reason.starts_with(crate::report::NOT_ADDED), "{:?}", report.groups[1].kept);
    assert_eq!(report.groups[0].kept[0].reason, "still covered: the move from acme to bolt is held by the guard moves");

    let approved = case().with(|case| case.approval = Some(Approval::of(&report)));
    assert_eq!(payload_of(approved, "bolt").len(), 12);

    // The other way round: the gaining group is held, and nobody leaves for it.
    let stranger =
        || case().with(|case| case.guards = off()).with(|case| case.guards.additions = Some(Limit::Count(5)));
    assert_eq!(payload_of(stranger(), "acme").len(), 12);
    assert_eq!(stranger().report().groups[0].kept[0].reason.rsplit(' ').next(), Some("additions"));
}

#[test]
fn a_group_that_moves_away_as_a_whole_waits_for_a_person() {
    let case = || two_groups(&["E1", "E2"], &["E9"], &[("E1", "bolt"), ("E2", "bolt"), ("E9", "bolt")]);
    assert_eq!(payload_of(case(), "acme"), ["E1", "E2"]);
    assert_eq!(payload_of(case(), "bolt"), ["E9"]);
    let guards = case().report().guards;
    assert!(guards.iter().any(|guard| guard.guard == "empty" && guard.verdict == GuardVerdict::Hold), "{guards:?}");
}

#[test]
fn a_group_that_would_be_empty_until_somebody_arrives_waits_for_a_person() {
    let file = |more: Vec<Person>| [vec![gone("E1"), covered("E8", "acme"), covered("E9", "bolt")], more].concat();
    let bolt = || ("bolt", vec![entry("E8", HRIS), entry("E9", HRIS)]);
    let case = || Case::confirmed(&["E1"]).with(|case| case.confirmed.push(bolt())).file(file(vec![]));
    assert_eq!(
        payload_of(case(), "acme"),
        ["E1", "E8"],
        "E8 has to leave bolt first, and without E1 nobody would be left"
    );
    let guards = case().report().guards;
    assert!(guards.iter().any(|guard| guard.guard == "empty" && guard.verdict == GuardVerdict::Hold), "{guards:?}");
    // With somebody who stays the group is never empty.
    let stays = Case::confirmed(&["E1", "E2"]).with(|case| case.confirmed.push(bolt()));
    assert_eq!(payload_of(stays.file(file(vec![covered("E2", "acme")])), "acme"), ["E2", "E8"]);
}

#[test]
fn a_first_roster_that_is_under_way_is_not_emptied_behind_its_back() {
    let entries = [entry("E1", HRIS)];
    let acme = Baseline::new(None, GroupStanding::Ours).with_in_flight(&entries);
    plan_of([("acme", acme)], vec![gone("E1")], |plan, input| {
        assert_eq!(sent(plan, input, "acme"), ["E1"]);
        let held = plan.guards.iter().find(|guard| guard.verdict == GuardVerdict::Hold).unwrap();
        assert_eq!((held.guard.as_str(), held.sum.as_str()), ("empty", "all 1 members of acme would be removed"));
    });
}

/// E2 and twenty others are about to join `acme`; nothing has left yet.
fn about_to_join(source: &str) -> [(&'static str, Baseline); 2] {
    let roster =
        |name: &str, id: &str| Some(ConfirmedRoster::new(group(name), vec![entry(id, HRIS)], Vec::new(), now()));
    let queued = vec![entry("E1", HRIS), entry("E2", source)];
    let acme = Baseline::new(roster("acme", "E1"), GroupStanding::Ours).with_queued(queued);
    [("acme", acme), ("bolt", Baseline::new(roster("bolt", "E9"), GroupStanding::Ours))]
}

#[test]
fn whoever_is_about_to_join_one_group_joins_no_other_by_another_source() {
    let file = vec![covered("E1", "acme"), covered("E2", "bolt"), covered("E9", "bolt")];
    plan_of(about_to_join("payroll"), file, |plan, input| {
        assert_eq!(sent(plan, input, "acme"), ["E1", "E2"]);
        assert_eq!(sent(plan, input, "bolt"), ["E9"]);
    });
}

#[test]
fn what_a_source_has_queued_itself_hides_no_claim_of_another() {
    // Both have queued E2: payroll into acme, this source into zinc. Its new file says bolt.
    let zinc = Baseline::new(None, GroupStanding::Ours).with_queued(vec![entry("E2", HRIS)]);
    let [acme, bolt] = about_to_join("payroll");
    let file = vec![covered("E1", "acme"), covered("E2", "bolt"), covered("E9", "bolt")];
    plan_of([acme, bolt, ("zinc", zinc)], file, |plan, input| {
        assert_eq!(payloads(plan, input), ["E1 E2", "E9"]);
    });
}

#[test]
fn whoever_is_about_to_join_goes_where_the_newer_file_says_unless_that_group_is_held() {
    let file = || vec![covered("E1", "acme"), covered("E2", "bolt"), covered("E9", "bolt")];
    plan_of(about_to_join(HRIS), file(), |plan, input| {
        assert_eq!(payloads(plan, input), ["E1", "E2 E9"]);
    });
    // A held group keeps what is queued for it: E2 will be there.
    let strangers = named("S", 20);
    let file = file().into_iter().chain(strangers.iter().map(|id| covered(id, "acme"))).collect();
    let guards = Guards { additions: Some(Limit::Share(0.5)), ..off() };
    plan_with(&guards, None, about_to_join(HRIS), file, |plan, input| {
        assert!(plan.groups[0].is_held);
        assert_eq!(sent(plan, input, "bolt"), ["E9"]);
        let doubt = Doubt::moving(&group("acme"), &group("bolt"), Hitch::OtherSide);
        assert_eq!(plan.groups[1].decisions[0].class, Class::Withheld(doubt));
    });
}

#[test]
fn a_group_that_the_newer_file_names_no_more_takes_back_whom_it_was_about_to_add() {
    let acme = Baseline::new(None, GroupStanding::Ours).with_queued(vec![entry("E2", HRIS)]);
    plan_of([("acme", acme)], vec![covered("E2", "bolt")], |plan, input| {
        assert_eq!(payloads(plan, input), ["", "E2"]);
        assert!(plan.groups[0].is_changed());
    });
}

#[test]
fn a_person_who_moves_with_another_name_and_birth_date_is_perhaps_somebody_else() {
    let mut other = member("E2", "Erie");
    assert!(other.set_value(Field::LastName, Some("Other")));
    other.date_of_birth = "1999-09-09".parse().unwrap();
    let case = || {
        two_groups(&["E1", "E2"], &["E9"], &[("E1", "acme"), ("E9", "bolt")])
            .with(|case| case.people.push(person("E2", Some("bolt"), Standing::Covered(other.clone()))))
            .with(|case| case.people.sort_by(|a, b| a.reference_id().cmp(b.reference_id())))
    };
    assert_eq!(payload_of(case(), "acme"), ["E1", "E2"]);
    assert_eq!(payload_of(case(), "bolt"), ["E9"]);
}

/// E2 is on the way from `acme` to `bolt`: the roster without them is queued, or done; the one with them waits.
fn on_the_way<T>(people: Vec<Person>, has_left: bool, look: impl FnOnce(&Plan<'_>, &Input<'_>) -> T) -> T {
    let entries = |ids: &[&str]| ids.iter().map(|id| entry(id, HRIS)).collect::<Vec<_>>();
    let roster = |name: &str, ids: &[&str]| Some(ConfirmedRoster::new(group(name), entries(ids), Vec::new(), now()));
    let acme = if has_left {
        Baseline::new(roster("acme", &["E1"]), GroupStanding::Ours)
    } else {
        Baseline::new(roster("acme", &["E1", "E2"]), GroupStanding::Ours).with_queued(entries(&["E1"]))
    };
    let bolt = Baseline::new(roster("bolt", &["E9"]), GroupStanding::Ours)
        .with_queued(entries(&["E2", "E9"]))
        .with_arriving([(id("E2"), group("acme"))]);
    plan_of([("acme", acme), ("bolt", bolt)], people, look)
}

/// The payloads of `acme` and `bolt`, joined.
fn payloads(plan: &Plan<'_>, input: &Input<'_>) -> [String; 2] {
    ["acme", "bolt"].map(|name| sent(plan, input, name).join(" "))
}

#[test]
fn whoever_is_between_two_groups_is_neither_lost_nor_counted_again() {
    for has_left in [true, false] {
        let others = || vec![covered("E1", "acme"), covered("E9", "bolt")];
        let with = |standing: Option<Person>| {
            let mut people = others();
            people.extend(standing);
            people.sort_by(|a, b| a.reference_id().cmp(b.reference_id()));
            people
        };
        // The same again: nothing to send, nothing to count.
        on_the_way(with(Some(covered("E2", "bolt"))), has_left, |plan, input| {
            assert_eq!(payloads(plan, input), ["E1", "E2 E9"]);
            assert!(!plan.groups.iter().any(GroupPlan::is_changed));
            assert_eq!((plan.counts().moved, plan.counts().unchanged), (0, 3));
            assert_eq!(plan.groups[1].moves_in().len(), 1, "still to leave first");
        });
        // Lacking, unusable and contradictory rows leave the move as it is.
        for doubt in [None, Some(Standing::Invalid), Some(Standing::Conflict)] {
            let person = doubt.map(|standing| person("E2", None, standing));
            on_the_way(with(person), has_left, |plan, input| {
                assert_eq!(payloads(plan, input), ["E1", "E2 E9"]);
                assert_eq!(plan.counts().kept, 1);
            });
        }
        // Back, and ended.
        on_the_way(with(Some(covered("E2", "acme"))), has_left, |plan, input| {
            assert_eq!(payloads(plan, input), ["E1 E2", "E9"]);
        });
        let ended = person("E2", Some("bolt"), Standing::Uncovered(Uncovered::Terminated));
        on_the_way(with(Some(ended)), has_left, |plan, input| {
            assert_eq!(payloads(plan, input), ["E1", "E9"]);
            assert_eq!(plan.counts().terminated, 1);
        });
    }
}

#[test]
fn what_another_source_has_queued_is_neither_taken_back_nor_forgotten() {
    let of = |source: &str, ids: &[&str]| ids.iter().map(|id| entry(id, source)).collect::<Vec<_>>();
    let confirmed = [of(HRIS, &["E1"]), of("payroll", &["P1"])].concat();
    let queued = [of(HRIS, &["E1"]), of("payroll", &["P2"])].concat();
    let roster = ConfirmedRoster::new(group("acme"), confirmed, Vec::new(), now());
    let baseline = Baseline::new(Some(roster), GroupStanding::Ours).with_queued(queued);
    plan_beside(baseline, |plan, input| {
        // Payroll ends P1 and adds P2; our file knows nothing of either.
        let ids: Vec<String> =
            plan.groups[0].payload(input).iter().map(|entry| entry.member.reference_id.to_string()).collect();
        assert_eq!(ids, ["E1", "P2"]);
        assert!(!plan.groups[0].is_changed());
    });
}

#[test]
fn somebody_whom_only_a_roster_without_results_may_cover_is_removed_by_a_roster() {
    let roster = ConfirmedRoster::new(group("acme"), vec![entry("E1", HRIS)], Vec::new(), now());
    let abroad = vec![entry("E1", HRIS), entry("P7", HRIS)];
    let baseline = || Baseline::new(Some(roster.clone()), GroupStanding::Ours).with_in_flight(&abroad);
    plan_beside(baseline(), |plan, _| assert_eq!(plan.groups[0].size(), 2, "missing once: kept"));
}

// === another plan ===

fn with_plan(plan: &str, replace_plans: bool) -> Case {
    let mut wanted = member("E2", "Erie");
    wanted.plan_id = PlanId::parse(plan).unwrap();
    let person = person("E2", Some("acme"), Standing::Covered(wanted));
    Case::confirmed(&["E1", "E2"])
        .file(vec![covered("E1", "acme"), person])
        .with(|case| case.replace_plans = replace_plans)
}

fn subscribed(case: Case) -> (Vec<MovedIn>, String, String) {
    case.plan(|plan, input| {
        let entry = plan.groups[0].payload(input).pop().unwrap();
        (plan.groups[0].moves_in(), entry.member.plan_id.to_string(), entry.subscribed_plan.to_string())
    })
}

#[test]
fn another_plan_is_sent_and_not_believed_unless_the_config_says_replace() {
    let sent = |plan: &str| (plan.to_owned(), "pln_gold".to_owned());
    let (moves, member, believed) = subscribed(with_plan("pln_silver", false));
    assert_eq!((moves.len(), (member, believed)), (0, sent("pln_silver")));
    let (moves, member, believed) = subscribed(with_plan("pln_silver", true));
    assert_eq!(moves, [MovedIn { reference_id: id("E2"), from: group("acme") }]);
    assert_eq!((member.as_str(), believed.as_str()), ("pln_silver", "pln_silver"));
    let report = with_plan("pln_silver", true).report();
    assert!(report.groups[0].changed[0].joins_again);
    assert_eq!(report.groups[0].changed[0].fields, ["plan_id"]);
}

#[test]
fn a_plan_that_was_sent_and_never_applied_is_replaced_once_the_config_says_so() {
    let case = |replace| {
        with_plan("pln_silver", replace)
            .with(|case| case.confirmed[0].1[1].member.plan_id = PlanId::parse("pln_silver").unwrap())
    };
    assert_eq!(case(false).class_of("E2"), Class::Unchanged);
    assert_eq!(case(true).class_of("E2"), Class::Changed([Field::PlanId].into_iter().collect()));
    assert!(case(true).plan(|plan, _| plan.groups[0].is_changed()));
}

#[test]
fn too_many_new_plans_at_once_wait_for_a_person() {
    let members = named("E", 10);
    let all: Vec<&str> = members.iter().map(String::as_str).collect();
    let people = all.iter().map(|who| {
        let mut wanted = member(who, "Erie");
        wanted.plan_id = PlanId::parse("pln_silver").unwrap();
        person(who, Some("acme"), Standing::Covered(wanted))
    });
    let case = Case::confirmed(&all)
        .file(people.collect())
        .with(|case| case.replace_plans = true)
        .with(|case| case.guards.terminations = Some(Limit::Share(0.2)));
    case.plan(|plan, input| {
        let held: Vec<&str> = plan
            .guards
            .iter()
            .filter(|guard| guard.verdict == GuardVerdict::Hold)
            .map(|guard| guard.guard.as_str())
            .collect();
        assert_eq!(held, ["plan_changes"]);
        assert!(plan.groups[0].payload(input).iter().all(|entry| entry.subscribed_plan.as_str() == "pln_gold"));
        assert!(!plan.groups[0].is_changed());
    });
}
