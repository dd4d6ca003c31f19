//! Time travel: what an auditor asks a year later, rosters as they were, and batches that are undone.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::{DateTime, TimeZone, Utc};
    use proptest::prelude::*;
    use rosterd::cli::render::{self, Screen};
    use rosterd::clock::Clock;
    use rosterd::config::{self, Environment};
    use rosterd::control::server::{Answerer, Body};
    use rosterd::control::{Answer, Export, Question, Refusal, RefusalKind};
    use rosterd::deliver::{self, Deliverer};
    use rosterd::report::{GuardVerdict, MemberDetail, MemberEvent, RosterReport, RunDetail, RunState, Trigger};
    use rosterd::roster::Entry;
    use rosterd::roster::ids::{BatchId, GroupRef};
    use rosterd::sandbox::audit::Violation;
    use rosterd::sandbox::script::{FailOn, Fault, On, Rule, Script};
    use rosterd::sandbox::{self, Sandbox};
    use rosterd::store::{Back, Store, Until};
    use rosterd::sync::Desk;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::bench::{Bench, Settings, export_of};

    const EAST: &str = "hris-east";
    const WEST: &str = "hris-west";
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A desk on simulated time, with an API in memory behind it.
    struct Room {
        sandbox: Sandbox,
        desk: Desk,
        clock: Clock,
    }

    impl Room {
        async fn ask(&self, question: Question, text: &str, actor: &str) -> Result<Answer, Refusal> {
            let (progress, mut moved) = mpsc::channel(64);
            let mut body = text.as_bytes();
            let mut asked = self.desk.answer(question, actor.to_owned(), Body::Stream(&mut body), progress);
            loop {
                tokio::select! {
                    Some(_) = moved.recv() => {}
                    answer = &mut asked => return answer,
                }
            }
        }

        async fn run(&self, question: Question, text: &str, actor: &str) -> Result<RunDetail, Refusal> {
            let Answer::Run(detail) = self.ask(question, text, actor).await? else { panic!("not a run") };
            Ok(*detail)
        }

        /// The next day's export.
        async fn day(&self, name: &str, text: &str) -> RunDetail {
            tokio::time::sleep(DAY).await;
            let (name, modified, size) = (name.to_owned(), self.clock.now(), text.len() as u64);
            let question = Question::Sync(Export { name, source: None, as_of: None, modified, size });
            self.run(question, text, "robot").await.unwrap()
        }

        async fn member(&self, id: &str) -> MemberDetail {
            let question = Question::Member { reference_id: id.to_owned() };
            let Answer::Member(detail) = self.ask(question, "", "auditor").await.unwrap() else {
                panic!("not a member")
            };
            *detail
        }

        async fn refusal(&self, question: Question) -> Refusal {
            match self.ask(question, "", "auditor").await {
                Err(refusal) => refusal,
                Ok(answer) => panic!("no refusal: {answer:?}"),
            }
        }

        async fn roster(&self, group: &str, at: Option<DateTime<Utc>>) -> RosterReport {
            let question = Question::Roster { group: group.to_owned(), at };
            let Answer::Roster(report) = self.ask(question, "", "auditor").await.unwrap() else {
                panic!("not a roster")
            };
            *report
        }

        async fn revert(&self, batch: &BatchId) -> RunDetail {
            let question = Question::Revert { batch: batch.to_string(), reason: "the file was wrong".to_owned() };
            self.run(question, "", "olga").await.unwrap()
        }

        async fn approve(&self, run: &RunDetail) -> RunDetail {
            let question =
                Question::Approve { run: run.run.run.to_string(), reason: "HR confirmed by phone".to_owned() };
            self.run(question, "", "olga").await.unwrap()
        }

        fn holds(&self, group: &str) -> Vec<String> {
            self.sandbox.roster(group).into_keys().collect()
        }

        fn store(&self) -> &Store {
            &self.desk.store
        }
    }

    async fn in_a_room(settings: &Settings, check: impl AsyncFn(&Room)) {
        // Only for its config and folders: nothing goes over its socket.
        let bench = Bench::with(settings, Script::default());
        let clock = Clock::simulated(Utc.with_ymd_and_hms(2026, 3, 2, 14, 0, 0).unwrap());
        let sandbox = Sandbox::new(sandbox::Settings { script: Script::default(), clock: clock.clone() });
        let api = Arc::new(sandbox.in_memory());
        let environment: Environment = std::iter::empty::<(String, String)>().collect();
        let config = Arc::new(config::load(&bench.path("config.toml"), &environment).unwrap());
        let store = Store::open(&bench.path("state"), &config.api.base_url).unwrap();
        let settings = deliver::Settings { poll: config.poll, max_in_flight: 4 };
        let deliverer = Deliverer::new(store.clone(), Arc::clone(&api) as _, clock.clone(), settings);
        let desk = Desk::new(config, store, api, clock.clone(), Arc::clone(&deliverer));
        let room = Room { sandbox, desk, clock };
        let stop = CancellationToken::new();
        tokio::select! {
            ended = deliverer.run(stop.clone()) => panic!("delivery ended: {ended:?}"),
            () = check(&room) => {}
        }
        // A revert brings an older payload back, and so does a file that undoes a change.
        let is_older = |violation: &Violation| matches!(violation, Violation::OlderPayload { .. });
        let broken = room.sandbox.audit().into_iter().filter(|violation| !is_older(violation));
        assert_eq!(broken.collect::<Vec<_>>(), []);
    }

    fn careful() -> Settings {
        Settings { confirm_absence: 2, ..Settings::default() }
    }

    /// Whoever is named is active in the east; with `-` in front, terminated; with `+`, in another street.
    fn east(people: &[&str]) -> String {
        let rows = people.iter().map(|word| match word.strip_prefix('-') {
            Some(id) => (id, "east", "Terminated"),
            None => (word.trim_start_matches('+'), "east", "Active"),
        });
        let mut text = export_of(rows);
        for moved in people.iter().filter_map(|word| word.strip_prefix('+')) {
            let row = text.lines().find(|line| line.starts_with(&format!("{moved},"))).unwrap().to_owned();
            text = text.replace(&row, &row.replace("1 Elm St", "2 Oak St"));
        }
        named(&text)
    }

    /// Gives everybody a last name of their own, so that nobody is taken for somebody else.
    fn named(text: &str) -> String {
        let name = |row: &str| {
            let id = row.split(',').next().unwrap_or_default().to_owned();
            let letters: String = id.bytes().map(|byte| char::from(b'a' + byte % 26)).collect();
            row.replace("Ann,Lee,1980-02-03", &format!("Ann,Lee{letters},1980-02-03")) + "\n"
        };
        text.lines().map(name).collect()
    }

    fn ten() -> Vec<&'static str> {
        vec!["E0", "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9"]
    }

    fn sha256(text: &str) -> String {
        use sha2::Digest;
        let hash = sha2::Sha256::digest(text.as_bytes());
        hash.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn batch_of(run: &RunDetail, group: &str) -> BatchId {
        run.batches.iter().find(|batch| batch.group.as_str() == group).unwrap().batch.clone()
    }

    fn said(event: &MemberEvent) -> (&str, Option<u64>, &str) {
        let because = event.change.because.as_ref().unwrap();
        (event.change.change.as_str(), because.line, because.rule.as_str())
    }

    fn ids(report: &RosterReport) -> Vec<&str> {
        report.members.iter().map(|member| member.reference_id.as_str()).collect()
    }

    /// The whole answer for people, without anything personal.
    fn is_told_in_words(detail: &MemberDetail, sha256: &str) {
        let text = render::member(&Screen::fixed(400), detail);
        for part in [
            "E1: not covered since 2026-03-08T",
            "closing.csv, line 3",
            sha256,
            "the file says terminated",
            "by         olga",
            "reason     HR confirmed by phone",
            "approved   6 of 10 members",
            detail.changes.last().unwrap().request_id.as_ref().unwrap().as_str(),
            "missing from 2 accepted exports in a row",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        for personal in ["Ann", "Leeb", "1980", "Elm", "Oak", "Erie", "16501", "@corp"] {
            assert!(!text.contains(personal), "{personal}\n{text}");
        }
    }

    fn is_told_with_reasons(detail: &MemberDetail) {
        let missing = &detail.changes[2];
        let why = &missing.change.because.as_ref().unwrap().why;
        assert!(why.starts_with("missing from 2 accepted exports in a row, first from the one of 2026-03-05"), "{why}");
        let last = detail.changes.last().unwrap();
        assert_eq!(last.trigger, Some(Trigger::Approve));
        assert_eq!((last.actor.as_deref(), last.approval.as_deref()), (Some("olga"), Some("HR confirmed by phone")));
        assert_eq!(last.approved, ["6 of 10 members of hris-east are terminated by the file (limit 3; 20% is less)"]);
        assert_eq!(detail.not_covered_since, last.at);
    }

    // === member ===

    #[tokio::test(start_paused = true)]
    async fn why_somebody_lost_coverage_in_march_is_answered_by_the_output_alone() {
        in_a_room(&careful(), async |room| {
            let without: Vec<&str> = ten().into_iter().filter(|id| *id != "E1").collect();
            let mut moved = ten();
            moved[1] = "+E1";
            let mut back = moved.clone();
            back[2] = "+E2";
            let mut terminated = back.clone();
            terminated[1] = "-E1";
            terminated[5..].copy_from_slice(&["-E5", "-E6", "-E7", "-E8", "-E9"]);
            let files = [east(&ten()), east(&moved), east(&without), east(&without[..9]), east(&back)];
            // The same people, and another content.
            let fourth = format!("{}\n", files[3]);
            let hired = room.day("hired.csv", &files[0]).await;
            let changed = room.day("changed.csv", &files[1]).await;
            room.day("absent.csv", &files[2]).await;
            let waiting = room.member("E1").await;
            assert_eq!(waiting.covered.len(), 1);
            let pending: Vec<&str> = waiting.pending.iter().map(|one| one.what.as_str()).collect();
            assert_eq!(pending, ["absent", "held"], "{waiting:#?}");
            assert!(
                waiting.pending[0].why.starts_with("missing from 1 accepted export of hris (2 confirm an absence)"),
                "{waiting:#?}"
            );
            let removed = room.day("absent again.csv", &fourth).await;
            let gone = room.member("E1").await;
            assert_eq!((gone.covered.len(), gone.pending.len()), (0, 0), "{gone:#?}");
            assert_eq!(gone.not_covered_since, removed.batches[0].completed_at);
            let back = room.day("back.csv", &files[4]).await;
            let held = room.day("closing.csv", &east(&terminated)).await;
            assert_eq!(held.run.state, RunState::Partial, "{held:#?}");
            let doubtful = room.member("E1").await;
            assert_eq!(doubtful.pending[0].what, "held");
            assert_eq!(doubtful.pending[0].line, Some(3));
            assert!(doubtful.pending[0].why.contains("guard terminations"), "{doubtful:#?}");
            let approved = room.approve(&held).await;
            assert_eq!(approved.run.state, RunState::Completed, "{approved:#?}");

            let detail = room.member("E1").await;
            let told: Vec<_> = detail.changes.iter().map(said).collect();
            let expected = [
                ("added", Some(3), "listed"),
                ("changed", Some(3), "listed"),
                ("removed", None, "missing"),
                ("returned", Some(3), "listed"),
                ("removed", Some(3), "terminated"),
            ];
            assert_eq!(told, expected, "{detail:#?}");
            assert_eq!(detail.changes[1].change.fields, ["address_line_1"]);
            for (event, run) in detail.changes.iter().zip([&hired, &changed, &removed, &back, &approved]) {
                assert_eq!((&event.run, event.at), (&run.run.run, run.batches[0].completed_at));
                assert_eq!((&event.batch, &event.request_id), (&run.batches[0].batch, &run.batches[0].request_id));
                let file = event.change.because.as_ref().unwrap().file.as_ref().unwrap();
                assert_eq!(Some(file), run.run.file.as_ref());
            }
            is_told_with_reasons(&detail);
            is_told_in_words(&detail, &sha256(&east(&terminated)));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_removal_that_an_older_roster_began_keeps_the_reason_of_the_run_that_decided_it() {
        in_a_room(&careful(), async |room| {
            room.day("first.csv", &east(&ten())).await;
            let mut second = ten();
            second[3] = "-E3";
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
            let decided = room.day("second.csv", &east(&second)).await;
            let event = room.member("E3").await.changes.pop().unwrap();
            // The request was forgotten: a batch of the same run took its place, and its reason came along.
            assert_eq!(said(&event), ("removed", Some(5), "terminated"));
            assert_eq!(event.run, decided.run.run);
            assert!(1 < decided.batches.len(), "{decided:#?}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn failures_waived_plans_and_unknown_ids_are_told_apart() {
        in_a_room(&Settings::default(), async |room| {
            room.sandbox.fail_next("00E2", FailOn::Add, "secret words about Ann");
            room.day("first.csv", &east(&["E1", "00E2"])).await;
            let failed = room.member("00E2").await;
            assert_eq!(failed.changes[0].change.change, "add_failed");
            assert_eq!((failed.changes[0].result.as_str(), failed.covered.len()), ("failed", 0));
            assert!(!render::member(&Screen::fixed(80), &failed).contains("secret"), "the API's words are for show");

            for (typed, hint) in
                [("e1", "there is E1"), ("E2", "there is 00E2"), ("000e2", "there is 00E2"), ("E3", "no id differs")]
            {
                let refusal = room.refusal(Question::Member { reference_id: typed.to_owned() }).await;
                assert_eq!(refusal.kind, RefusalKind::Usage);
                assert!(refusal.message.contains(hint), "{typed}: {}", refusal.message);
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_who_is_on_the_way_is_told_as_that() {
        in_a_room(&Settings::default(), async |room| {
            room.day("first.csv", &east(&["E1", "E2", "E3"])).await;
            room.sandbox.misbehave(Rule::new(On::Poll, Fault::BrokenJson).times(3)).unwrap();
            let text = east(&["E1", "-E2", "+E3", "E4"]);
            tokio::time::sleep(DAY).await;
            let (modified, size) = (room.clock.now(), text.len() as u64);
            let question =
                Question::Sync(Export { name: "second.csv".to_owned(), source: None, as_of: None, modified, size });
            let look = async {
                while room.store().groups_with_work().unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                for (id, why) in [
                    ("E2", "would be removed: the file says terminated"),
                    ("E3", "would be changed (address_line_1)"),
                    ("E4", "would be added"),
                ] {
                    let detail = room.member(id).await;
                    assert_eq!(detail.pending[0].what, "under_way", "{detail:#?}");
                    assert!(detail.pending[0].why.starts_with(why), "{detail:#?}");
                    assert!(detail.pending[0].line.is_some(), "{detail:#?}");
                }
                assert_eq!(room.member("E1").await.pending, []);
            };
            let (synced, ()) = tokio::join!(room.run(question, &text, "robot"), look);
            assert_eq!(synced.unwrap().run.state, RunState::Completed);
            assert_eq!(room.member("E4").await.pending, []);
        })
        .await;
    }

    // === roster --at ===

    #[tokio::test(start_paused = true)]
    async fn times_that_nothing_is_known_of_are_refused_and_never_answered_with_nobody() {
        in_a_room(&Settings::default(), async |room| {
            let begun = room.clock.now();
            room.day("first.csv", &east(&["E1"])).await;
            let first = room.clock.now();
            room.day("second.csv", &east(&["E1", "E2"])).await;
            assert_eq!(ids(&room.roster(EAST, None).await), ["E1", "E2"]);
            assert_eq!(ids(&room.roster(EAST, Some(first)).await), ["E1"]);
            let question = |group: &str, at| Question::Roster { group: group.to_owned(), at: Some(at) };
            let too_early = room.refusal(question(EAST, begun)).await;
            assert!(
                too_early.message.contains("the first roster of hris-east on record was confirmed at"),
                "{too_early}"
            );
            let too_late = room.refusal(question(EAST, room.clock.now() + DAY)).await;
            assert!(too_late.message.contains("has not come yet"), "{too_late}");
            let unknown = room.refusal(question("hris-north", first)).await;
            assert!(unknown.message.contains("nothing was ever confirmed for a group hris-north"), "{unknown}");

            room.store().forget_before(room.clock.now() - DAY / 2).unwrap();
            let forgotten = room.refusal(question(EAST, first)).await;
            assert!(forgotten.message.contains("is forgotten (retention.history)"), "{forgotten}");
            assert_eq!(ids(&room.roster(EAST, None).await), ["E1", "E2"]);
            let detail = room.member("E1").await;
            assert_eq!((detail.covered[0].since, detail.changes.len()), (None, 0));
            assert!(detail.forgotten_before.is_some());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_renamed_group_takes_its_history_with_it() {
        in_a_room(&Settings::default(), async |room| {
            let first = room.day("first.csv", &east(&["E1", "E2"])).await;
            let then = room.clock.now();
            let reference = Some(GroupRef::parse("hris-orient").unwrap());
            let rename = Question::UpdateGroup { group: EAST.to_owned(), name: None, reference };
            room.ask(rename, "", "olga").await.unwrap();
            assert_eq!(ids(&room.roster("hris-orient", Some(then)).await), ["E1", "E2"]);
            let asked = Question::Roster { group: EAST.to_owned(), at: None };
            let refusal = room.refusal(asked).await;
            assert!(refusal.message.contains("is called hris-orient now"), "{refusal}");
            let detail = room.member("E1").await;
            assert_eq!(detail.covered[0].group.as_str(), "hris-orient");
            assert_eq!((detail.changes.len(), detail.changes[0].group.as_str()), (1, EAST));
            // Another group of the old name has nothing of it.
            room.day("second.csv", &east(&["E1", "E2", "E3"])).await;
            assert_eq!(ids(&room.roster(EAST, None).await), ["E3"]);
            let refusal = room.refusal(Question::Roster { group: EAST.to_owned(), at: Some(then) }).await;
            assert!(refusal.message.contains("the first roster of hris-east on record"), "{refusal}");
            assert_eq!(room.member("E1").await.covered.len(), 1);
            // The batch of that time belongs to the group as it is called now.
            let shown = room.ask(Question::Show { id: first.batches[0].batch.to_string() }, "", "auditor").await;
            let Answer::Batch(shown) = shown.unwrap() else { panic!("not a batch") };
            assert_eq!((shown.before, shown.after), (Some(0), Some(2)));
        })
        .await;
    }

    #[derive(Clone, Debug)]
    struct Shuffle {
        people: Vec<u8>,
        forget_request: bool,
        fails: Option<u8>,
    }

    fn shuffles() -> impl Strategy<Value = Vec<Shuffle>> {
        // For each of eight people: not in the file, terminated, active, in another street.
        let day = (prop::collection::vec(0..4_u8, 8), prop::bool::weighted(0.2), prop::option::weighted(0.3, 0..8_u8));
        let day = day.prop_map(|(people, forget_request, fails)| Shuffle { people, forget_request, fails });
        prop::collection::vec(day, 2..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn every_roster_of_the_past_is_what_was_confirmed_then(days in shuffles()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let guards = "removals = \"off\"\nremovals_max = \"off\"\nterminations = \"off\"\nfield_changed = \"off\"\n\
                          rows_dropped = \"off\"\nidentity_changes = \"off\"";
            let settings = Settings { guards, ..Settings::default() };
            runtime.block_on(in_a_room(&settings, async |room| {
                let mut truth: Vec<(DateTime<Utc>, Vec<Entry>)> = Vec::new();
                let group = GroupRef::parse(EAST).unwrap();
                room.day("0.csv", &east(&ten()[..8])).await;
                for (number, day) in days.iter().enumerate() {
                    let words: Vec<String> = day.people.iter().enumerate().filter_map(|(who, state)| match state {
                        0 => None,
                        1 => Some(format!("-E{who}")),
                        2 => Some(format!("E{who}")),
                        _ => Some(format!("+E{who}")),
                    }).collect();
                    if words.is_empty() { continue }
                    if day.forget_request {
                        room.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
                    }
                    if let Some(who) = day.fails {
                        room.sandbox.fail_next(&format!("E{who}"), FailOn::Remove, "no");
                    }
                    let text = east(&words.iter().map(String::as_str).collect::<Vec<_>>());
                    room.day(&format!("{}.csv", number + 1), &text).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let roster = room.store().roster(&group).unwrap().unwrap();
                    truth.push((room.clock.now(), roster.members().to_vec()));
                }
                for (at, members) in &truth {
                    let Back::Known(past) = room.store().roster_back(&group, Until::Time(*at)).unwrap() else {
                        panic!("not known at {at}")
                    };
                    assert_eq!(&past.members, members, "at {at}");
                    for entry in &past.members {
                        let id = &entry.member.reference_id;
                        let since = &past.since[id];
                        let was_on = |(_, members): &&(DateTime<Utc>, Vec<Entry>)| {
                            rosterd::roster::find(members, id).is_some()
                        };
                        let between: Vec<_> = truth.iter().filter(|(then, _)| since <= then && then <= at).collect();
                        assert!(between.iter().all(was_on), "{id} since {since}");
                    }
                }
                // The last thing that happened to a person says where the person is.
                for who in 0..8 {
                    let detail = room.member(&format!("E{who}")).await;
                    let last = detail.changes.iter().rev().find(|event| event.result == "confirmed").unwrap();
                    assert_eq!(detail.covered.is_empty(), last.change.change == "removed", "{detail:#?}");
                    assert!(detail.changes.iter().all(|event| event.change.because.is_some()), "{detail:#?}");
                }
            }));
        }
    }

    // === revert ===

    #[tokio::test(start_paused = true)]
    async fn a_bad_batch_is_undone_and_says_what_that_means() {
        in_a_room(&Settings::default(), async |room| {
            let first = room.day("good.csv", &east(&ten())).await;
            let mut bad = ten();
            bad[4] = "+E4";
            bad[7..].copy_from_slice(&["-E7", "-E8", "-E9"]);
            let undone = room.day("bad.csv", &east(&bad)).await;
            assert_eq!(room.holds(EAST).len(), 7);
            let last = room.desk.store.source(&undone.run.source).unwrap().unwrap();

            let revert = room.revert(&batch_of(&undone, EAST)).await;
            assert_eq!(revert.run.state, RunState::Completed, "{revert:#?}");
            assert_eq!((revert.run.trigger, revert.run.actor.as_deref()), (Trigger::Revert, Some("olga")));
            assert_eq!(
                (revert.run.counts.returning, revert.run.counts.changed, revert.run.counts.terminated),
                (3, 1, 0)
            );
            assert_eq!(room.holds(EAST), ten());
            assert_eq!(room.sandbox.roster(EAST)["E4"]["address"]["address_line_1"], "1 Elm St");
            let text = render::run(&Screen::fixed(400), &revert);
            for part in [
                "3 people are added again: to the API that is a new subscription",
                "The next export decides again: mend the source",
                "The last accepted export, bad.csv",
                "the same content dropped again is a duplicate",
            ] {
                assert!(text.contains(part), "{part}\n{text}");
            }
            // What the source is known by is as it was.
            assert_eq!(room.desk.store.source(&undone.run.source).unwrap().unwrap(), last);

            let event = room.member("E8").await.changes.pop().unwrap();
            assert_eq!((event.change.change.as_str(), event.run.as_str()), ("returned", revert.run.run.as_str()));
            assert_eq!(event.reverts, Some(batch_of(&undone, EAST)));
            let because = event.change.because.unwrap();
            assert_eq!((because.rule.as_str(), because.run, because.line), ("revert", first.run.run, Some(10)));

            // A retry does not bring the bad export back, and neither does the export itself.
            let retried = room.run(Question::Retry { group: EAST.to_owned() }, "", "olga").await.unwrap();
            assert_eq!((retried.run.state, room.holds(EAST).len()), (RunState::Completed, 10));
            assert_eq!(room.day("bad again.csv", &east(&bad)).await.run.state, RunState::Duplicate);
            assert_eq!(room.holds(EAST), ten());
            // But undoing the revert does.
            let again = room.revert(&batch_of(&revert, EAST)).await;
            assert_eq!((again.run.state, room.holds(EAST).len()), (RunState::Completed, 7), "{again:#?}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whom_a_guard_holds_in_a_revert_is_released_by_an_approval() {
        in_a_room(&Settings::default(), async |room| {
            room.day("good.csv", &east(&ten())).await;
            let mut wrong = ten();
            wrong.extend(["W1", "W2", "W3", "W4"]);
            let undone = room.day("wrong.csv", &east(&wrong)).await;
            let mut later = wrong.clone();
            later.push("L1");
            later[0] = "+E0";
            let after = room.day("later.csv", &east(&later)).await;

            let held = room.revert(&batch_of(&undone, EAST)).await;
            let names: Vec<&str> = held
                .run
                .guards
                .iter()
                .filter(|guard| guard.verdict == GuardVerdict::Hold)
                .map(|guard| guard.guard.as_str())
                .collect();
            assert_eq!(names, ["terminations", "joined_since"], "{held:#?}");
            // What nothing holds is done: the later change of a record.
            assert_eq!(held.run.state, RunState::Partial, "{held:#?}");
            assert_eq!((held.run.counts.changed, held.run.counts.kept), (1, 5));
            assert_eq!(room.holds(EAST).len(), 15);
            assert_eq!(held.revert.as_ref().unwrap().later, [batch_of(&after, EAST)]);
            assert_eq!(room.member("W1").await.pending[0].what, "held");
            let Answer::Status(status) = room.ask(Question::Status, "", "olga").await.unwrap() else {
                panic!("no status")
            };
            assert_eq!(status.sources[0].held, std::slice::from_ref(&held.run.run));

            let approved = room.approve(&held).await;
            assert_eq!(approved.run.state, RunState::Completed, "{approved:#?}");
            assert_eq!((approved.run.trigger, &approved.run.reverts), (Trigger::Approve, &held.run.reverts));
            assert_eq!(room.holds(EAST), ten());
            let event = room.member("L1").await.changes.pop().unwrap();
            assert_eq!(said(&event), ("removed", None, "revert"));
            assert_eq!((event.actor.as_deref(), event.approved.len()), (Some("olga"), 2));
            let again = Question::Approve { run: held.run.run.to_string(), reason: "once more".to_owned() };
            assert!(room.refusal(again).await.message.contains("holds nothing any more"));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_revert_that_is_held_whole_can_be_approved_or_discarded() {
        in_a_room(&Settings::default(), async |room| {
            room.day("good.csv", &east(&["E0"])).await;
            let undone = room.day("more.csv", &east(&ten())).await;
            let batch = batch_of(&undone, EAST);
            let held = room.revert(&batch).await;
            assert_eq!((held.run.state, held.batches.len()), (RunState::Held, 0), "{held:#?}");
            let question = Question::Discard { run: held.run.run.to_string(), reason: "no".to_owned() };
            assert_eq!(room.run(question, "", "olga").await.unwrap().run.state, RunState::Discarded);

            let held = room.revert(&batch).await;
            let approved = room.approve(&held).await;
            assert_eq!((approved.run.state, room.holds(EAST)), (RunState::Completed, vec!["E0".to_owned()]));
            let held = room.store().run(&held.run.run).unwrap().unwrap().run;
            assert_eq!(held.state, RunState::Superseded);
            assert_eq!(room.revert(&batch).await.run.state, RunState::Unchanged);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_in_another_group_since_is_not_added_twice_and_not_left_without_any() {
        in_a_room(&Settings::default(), async |room| {
            let both = |east: &[(&'static str, &'static str)], west: &[(&'static str, &'static str)]| {
                let rows = east.iter().map(|(id, status)| (*id, "east", *status));
                let text = export_of(rows.chain(west.iter().map(|(id, status)| (*id, "west", *status))));
                named(&text)
            };
            let (on, off) = ("Active", "Terminated");
            room.day("one.csv", &both(&[("A", on), ("B", on), ("C", on)], &[("D", on)])).await;
            let left = room.day("two.csv", &both(&[("A", off), ("B", on), ("C", on)], &[("D", on)])).await;
            let joined = room.day("three.csv", &both(&[("B", on), ("C", on)], &[("D", on), ("A", on)])).await;
            assert_eq!(
                (room.holds(EAST), room.holds(WEST)),
                (vec!["B".into(), "C".into()], vec!["A".into(), "D".into()])
            );

            let revert = room.revert(&batch_of(&left, EAST)).await;
            let kept = &revert.plan.as_ref().unwrap().groups[0].kept[0];
            assert_eq!(kept.reason, "not added here: covered in hris-west now");
            assert_eq!((revert.run.state, revert.run.counts.kept), (RunState::Unchanged, 1), "{revert:#?}");

            // Undoing the joining would leave the person in neither group.
            let revert = room.revert(&batch_of(&joined, WEST)).await;
            let kept = &revert.plan.as_ref().unwrap().groups[0].kept[0];
            assert!(kept.reason.starts_with("still covered: was in hris-east before"), "{kept:?}");
            assert_eq!(
                (room.holds(EAST), room.holds(WEST)),
                (vec!["B".into(), "C".into()], vec!["A".into(), "D".into()])
            );
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_another_source_owns_since_stays_as_that_source_has_them() {
        let settings = Settings { sources: &["hris", "payroll"], ..Settings::default() };
        in_a_room(&settings, async |room| {
            let sync = async |source: &str, text: &str| {
                tokio::time::sleep(DAY).await;
                let (modified, size) = (room.clock.now(), text.len() as u64);
                let source = Some(rosterd::roster::ids::SourceName::parse(source).unwrap());
                let question = Question::Sync(Export { name: "x.csv".to_owned(), source, as_of: None, modified, size });
                room.run(question, text, "robot").await.unwrap()
            };
            // Both sources name groups after themselves, so the other one's is reached by a map: here by its own people.
            sync("hris", &east(&["E1", "E2", "E3"])).await;
            let left = sync("hris", &east(&["-E1", "E2", "E3"])).await;
            sync("payroll", &east(&["E1"])).await;
            let revert = room.revert(&batch_of(&left, EAST)).await;
            let kept = &revert.plan.as_ref().unwrap().groups[0].kept[0];
            assert_eq!(kept.reason, "not added here: covered in payroll-east now");
            assert_eq!(room.holds(EAST), ["E2", "E3"]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_nothing_cannot_be_undone_and_says_so() {
        in_a_room(&Settings::default(), async |room| {
            room.day("one.csv", &east(&["E1"])).await;
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
            let lost = room.day("two.csv", &east(&["E1", "E2"])).await;
            let ask = |batch: &str| Question::Revert { batch: batch.to_owned(), reason: "why not".to_owned() };
            let refusal = room.refusal(ask(lost.batches[0].batch.as_str())).await;
            assert!(refusal.message.contains("undo that one"), "{refusal}");
            let refusal = room.refusal(ask("bat_1999")).await;
            assert!(refusal.message.contains("no batch begins with bat_1999"), "{refusal}");
            let refusal = room.refusal(ask("bat_2026")).await;
            assert!(refusal.message.contains("more than one batch begins with bat_2026"), "{refusal}");
            let retried = room.run(Question::Retry { group: EAST.to_owned() }, "", "olga").await.unwrap();
            let refusal = room.refusal(ask(retried.batches[0].batch.as_str())).await;
            assert!(refusal.message.contains("changed nobody"), "{refusal}");
        })
        .await;
    }

    // === the real binary ===

    #[test]
    fn the_commands_answer_with_and_without_a_daemon() {
        let bench = Bench::new();
        bench.sync("one.csv", &east(&ten())).ends_with(0);
        let mut bad = ten();
        bad[9] = "-E9";
        let run = bench.sync("two.csv", &east(&bad)).ends_with(0).lines().remove(0);
        let batch = run["batches"][0]["batch"].as_str().unwrap().to_owned();
        let look = |bench: &Bench| {
            let member = bench.run(&["--json", "member", "E9"]).ends_with(0).lines().remove(0);
            assert_eq!(member["schema"], 1);
            assert_eq!(member["changes"][1]["because"]["line"], 11, "{member:#}");
            assert_eq!(member["changes"][1]["because"]["file"]["name"], "two.csv");
            let roster = bench.run(&["--json", "roster", EAST]).ends_with(0).lines();
            assert_eq!((roster.len(), &roster[0]["reference_id"]), (9, &serde_json::json!("E0")));
            let shown = bench.run(&["show", &batch]).ends_with(0);
            assert!(shown.out.contains("10 → 9 members") && shown.out.contains("(line 11 of two.csv)"), "{shown:#?}");
            bench.run(&["member", "e9"]).ends_with(64);
            bench.run(&["roster", EAST, "--at", "1999-01-01"]).ends_with(64);
            bench.run(&["roster", EAST, "--at", "yesterday"]).ends_with(64);
        };
        look(&bench);
        let daemon = bench.daemon();
        look(&bench);
        let reverted = bench.run(&["--json", "revert", &batch, "--reason", "wrong file"]).ends_with(0).lines();
        assert_eq!(reverted[0]["run"]["reverts"], *batch);
        let holds = || bench.sandbox().roster(EAST).into_keys().collect::<Vec<_>>();
        assert_eq!(holds(), ten());
        drop(daemon.stop());
        let run = reverted[0]["batches"][0]["batch"].as_str().unwrap();
        bench.run(&["revert", run, "--reason", "it was right"]).ends_with(0);
        assert_eq!(holds(), ten()[..9]);
        // The words are the same day's: whoever asks for today is told what is.
        let today = Clock::system().now().date_naive().to_string();
        let now: BTreeMap<String, String> = bench
            .run(&["--json", "roster", EAST, "--at", &today])
            .ends_with(0)
            .lines()
            .iter()
            .map(|line| (line["reference_id"].to_string(), line["run"].to_string()))
            .collect();
        assert_eq!(now.len(), 9);
    }
}
