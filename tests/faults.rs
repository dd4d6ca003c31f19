//! Whatever the API and the network do: the binary comes to the rosters of the file, breaks no rule on the way, and says
//! what happened. Over a socket with the real binary; where a minute has to pass, in this process with simulated time.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::{DateTime, TimeZone, Utc};
    use rosterd::clock::Clock;
    use rosterd::config::{self, Environment};
    use rosterd::control::server::{Answerer, Body};
    use rosterd::control::{Answer, Export, Question, Refusal, RefusalKind};
    use rosterd::deliver::{self, Deliverer};
    use rosterd::report::{Phase, RunDetail, RunState};
    use rosterd::sandbox::script::{FailOn, Fault, On, Rule, Script};
    use rosterd::sandbox::{self, Sandbox};
    use rosterd::store::Store;
    use rosterd::sync::Desk;
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::bench::{Bench, Server, Settings, export, export_of, files, until};

    const EAST: &str = "hris-east";

    /// Two exports around a fault: the first makes the group, the second meets the fault. The end is always the file.
    #[track_caller]
    fn weathers(rules: impl IntoIterator<Item = Rule>) -> Bench {
        let bench =
            Bench::with(&Settings { give_up_after: "1s", timeout: "500ms", ..Settings::default() }, Script::default());
        bench.sync("one.csv", &export(&["E1", "E2"])).ends_with(0);
        for rule in rules {
            bench.sandbox().misbehave(rule).unwrap();
        }
        let run = bench.sync("two.csv", &export(&["E1", "E2", "E3"])).ends_with(0).lines();
        assert_eq!(run[0]["run"]["state"], "completed", "{run:#?}");
        bench.holds(EAST, &["E1", "E2", "E3"]);
        for run in bench.history() {
            assert_eq!(run["state"], "completed", "{run:#?}");
        }
        bench
    }

    fn calls(bench: &Bench, on: On, status: Option<u16>) -> usize {
        bench.sandbox().calls().iter().filter(|call| call.on == on && call.status == status).count()
    }

    fn batch(bench: &Bench, run: &Value) -> Value {
        let run = bench.run(&["--json", "show", run["run"].as_str().unwrap()]).ends_with(0).lines().remove(0);
        run["batches"].as_array().unwrap().last().unwrap().clone()
    }

    /// Somebody whom only the API knows.
    fn stranger() -> Value {
        json!({
            "reference_id": "S1", "first_name": "Sam", "last_name": "Old", "date_of_birth": "1970-01-01",
            "plan_id": "pln_basic",
            "address": {"address_line_1": "1 Elm St", "city": "Erie", "state": "PA", "zipcode": "16501"},
        })
    }

    // === what the network and the gateway do ===

    #[test]
    fn too_many_requests_are_waited_out_as_long_as_the_api_asks() {
        for fault in [Fault::RateLimitedSeconds, Fault::RateLimitedDate, Fault::RateLimitedReset] {
            let bench = weathers([Rule::new(On::Submit, fault).after(Duration::from_secs(2))]);
            let calls = bench.sandbox().calls();
            let refused = calls.iter().position(|call| call.status == Some(429)).unwrap();
            let again = calls[refused..].iter().find(|call| call.status == Some(202)).unwrap();
            // An HTTP date has no fractions: up to a second of the two may be gone when it is written.
            assert!(1000 <= (again.at - calls[refused].at).num_milliseconds(), "{fault:?}: too early");
        }
    }

    #[test]
    fn too_many_requests_without_a_hint_are_tried_again() {
        let bench = weathers([Rule::new(On::Submit, Fault::RateLimitedBare).times(2)]);
        assert_eq!(calls(&bench, On::Submit, Some(429)), 2);
    }

    #[test]
    fn a_server_in_trouble_is_asked_again() {
        weathers([Rule::new(On::Submit, Fault::Error500), Rule::new(On::Submit, Fault::Error503).nth(2)]);
        weathers([Rule::new(On::Submit, Fault::Error503).after(Duration::from_secs(1))]);
        weathers([Rule::new(On::Poll, Fault::Error500).times(2), Rule::new(On::Poll, Fault::Error502).nth(3)]);
    }

    #[test]
    fn a_page_of_a_gateway_is_not_an_answer() {
        weathers([Rule::new(On::Submit, Fault::Html502)]);
        weathers([Rule::new(On::Poll, Fault::Html502).times(2)]);
    }

    #[test]
    fn half_a_document_is_not_an_answer() {
        weathers([Rule::new(On::Submit, Fault::BrokenJson)]);
        weathers([Rule::new(On::Submit, Fault::HalfAnswer)]);
        weathers([Rule::new(On::Poll, Fault::BrokenJson), Rule::new(On::Poll, Fault::HalfAnswer).nth(2)]);
    }

    #[test]
    fn a_connection_that_is_cut_before_the_work_costs_nothing() {
        weathers([Rule::new(On::Submit, Fault::Reset)]);
        weathers([Rule::new(On::Poll, Fault::Reset).times(2)]);
    }

    #[test]
    fn a_connection_that_is_cut_after_the_work_leads_to_the_same_roster_again() {
        for fault in [Fault::AcceptThenReset, Fault::AcceptThen502, Fault::Slow] {
            let bench = weathers([Rule::new(On::Submit, fault)]);
            let requests = bench.sandbox().requests();
            assert_eq!(requests.len(), 3, "{fault:?}: one, two without an answer, two again");
            assert_eq!(requests[1].payload_hash, requests[2].payload_hash);
        }
    }

    #[test]
    fn an_answer_that_names_another_group_is_not_believed() {
        weathers([Rule::new(On::Submit, Fault::WrongGroup)]);
        weathers([Rule::new(On::Poll, Fault::WrongGroup)]);
    }

    #[test]
    fn a_conflict_is_waited_out() {
        weathers([Rule::new(On::Submit, Fault::Status).status(409)]);
    }

    #[test]
    fn a_group_that_is_made_without_an_answer_is_found_again() {
        for fault in [Fault::AcceptThenReset, Fault::AcceptThen502, Fault::BrokenJson, Fault::Reset] {
            let bench = Bench::new();
            bench.sandbox().misbehave(Rule::new(On::Create, fault)).unwrap();
            bench.sync("one.csv", &export(&["E1"])).ends_with(0);
            bench.holds(EAST, &["E1"]);
            assert_eq!(bench.sandbox().groups().len(), 1, "{fault:?}");
        }
    }

    // === what the API does with requests ===

    #[test]
    fn a_request_that_is_not_known_at_once_is_asked_for_again() {
        let bench = weathers([Rule::new(On::Submit, Fault::HideAtFirst)]);
        assert_eq!(calls(&bench, On::Poll, Some(404)), 1);
        assert_eq!(bench.sandbox().requests().len(), 2, "nothing was submitted twice");
    }

    #[test]
    fn completed_without_results_is_not_completed() {
        weathers([Rule::new(On::Poll, Fault::NoResults).times(2)]);
        weathers([Rule::new(On::Poll, Fault::NoCompletedAt).times(2)]);
    }

    #[test]
    fn results_that_never_come_are_given_up_and_the_roster_is_sent_again() {
        let bench = weathers([Rule::new(On::Submit, Fault::NeverComplete)]);
        let runs = bench.history();
        let shown = bench.run(&["--json", "show", runs[0]["run"].as_str().unwrap()]).ends_with(0).lines();
        let phases: Vec<&Value> = shown[0]["batches"].as_array().unwrap().iter().map(|it| &it["phase"]).collect();
        assert_eq!(phases, [&json!("lost"), &json!("completed")], "both are on record");
    }

    #[test]
    fn odd_failures_are_kept_as_they_are_and_leave_the_rest_delivered() {
        let bench = Bench::new();
        bench.sync("one.csv", &export(&["E1", "E2"])).ends_with(0);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::UnknownOperation)).unwrap();
        bench.sync("two.csv", &export(&["E1", "E2", "E3"])).ends_with(4);
        let runs = bench.history();
        assert_eq!(runs[0]["state"], "partial");
        assert_eq!(batch(&bench, &runs[0])["failures"][0]["operation"], "reconcile");
        bench.holds(EAST, &["E1", "E2", "E3"]);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::UnknownReference)).unwrap();
        bench.sync("three.csv", &export(&["E1", "E2", "E3", "E4"])).ends_with(4);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        bench.sync("four.csv", &export(&["E1", "E2", "E3", "E4", "E5"])).ends_with(0);
        bench.holds(EAST, &["E1", "E2", "E3", "E4", "E5"]);
    }

    // === what the API does with people ===

    #[test]
    fn a_failed_add_is_told_and_tried_again_with_the_next_export() {
        let bench = Bench::new();
        bench.sync("one.csv", &export(&["E1"])).ends_with(0);
        bench.sandbox().fail_next("E2", FailOn::Add, "active elsewhere");
        bench.sync("two.csv", &export(&["E1", "E2", "E3"])).ends_with(4);
        bench.holds(EAST, &["E1", "E3"]);
        let run = bench.history().remove(0);
        assert_eq!(
            (&run["state"], &run["counts"]["failed"], &run["counts"]["confirmed"]),
            (&json!("partial"), &json!(1), &json!(1))
        );
        let batch = batch(&bench, &run);
        assert_eq!(
            batch["failures"],
            json!([{"reference_id": "E2", "operation": "add", "reason": "active elsewhere"}])
        );
        let shown = bench.run(&["show", batch["batch"].as_str().unwrap()]).ends_with(0);
        assert!(shown.out.contains("E2") && shown.out.contains("active elsewhere"), "{shown:#?}");

        let run = bench.sync("three.csv", &export(&["E1", "E2", "E3", "E4"])).ends_with(0).lines();
        assert_eq!((&run[0]["run"]["counts"]["new"], &run[0]["run"]["counts"]["unchanged"]), (&json!(2), &json!(2)));
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
    }

    #[test]
    fn a_refused_roster_is_not_repeated_until_a_person_says_retry() {
        let bench = Bench::new();
        bench.sync("one.csv", &export(&["E1", "E2"])).ends_with(0);
        bench.sandbox().switch(|switches| switches.max_members = 2);
        bench.sync("two.csv", &export(&["E1", "E2", "E3"])).ends_with(4);
        assert_eq!(bench.history()[0]["state"], "failed");
        bench.holds(EAST, &["E1", "E2"]);
        assert_eq!(calls(&bench, On::Submit, Some(400)), 1);

        bench.sandbox().switch(|switches| switches.max_members = 5000);
        bench.run(&["retry", EAST]).ends_with(0);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        // With nothing left to change, the confirmed roster goes out again.
        bench.run(&["retry", EAST]).ends_with(0);
        assert_eq!(bench.sandbox().requests().len(), 3);
        bench.holds(EAST, &["E1", "E2", "E3"]);
    }

    #[test]
    fn a_retry_counts_nobody_as_missing_a_second_time() {
        let bench = Bench::with(&Settings { confirm_absence: 2, ..Settings::default() }, Script::default());
        bench.sync("one.csv", &export(&["E1", "E2"])).ends_with(0);
        bench.sync("two.csv", &export(&["E1"])).ends_with(0);
        bench.run(&["retry", EAST]).ends_with(0);
        bench.run(&["retry", EAST]).ends_with(0);
        bench.holds(EAST, &["E1", "E2"]);
    }

    #[test]
    fn a_group_that_was_there_before_rosterd_is_held_until_a_person_approves() {
        let bench = Bench::new();
        bench.sandbox().add_group(EAST, "East");
        bench.sandbox().seed_member(EAST, &stranger()).unwrap();
        let held = bench.sync("one.csv", &export(&["E1"])).ends_with(3).lines();
        assert_eq!(bench.sandbox().requests().len(), 0);
        bench.holds(EAST, &["S1"]);

        let run = held[0]["run"]["run"].as_str().unwrap();
        // Removing everybody else is what was approved, so it is no incident.
        bench.run(&["approve", run, "--reason", "S1 has left"]).ends_with(0);
        bench.holds(EAST, &["E1"]);
    }

    #[test]
    fn a_group_that_somebody_makes_behind_our_back_is_not_taken_for_ours() {
        let bench = Bench::new();
        // The plan finds no group. When it is to be made, the API asks for patience, and then somebody else makes it.
        let patience = Rule::new(On::Create, Fault::RateLimitedSeconds).after(Duration::from_secs(1));
        bench.sandbox().misbehave(patience).unwrap();
        std::fs::write(bench.path("one.csv"), export(&["E1"])).unwrap();
        let mut syncing = bench.command().arg("sync").arg(bench.path("one.csv")).spawn().unwrap();
        until("the API to ask for patience", || (calls(&bench, On::Create, Some(429)) == 1).then_some(()));
        // The answer is followed by a look whether the group is there all the same.
        until("the look", || (calls(&bench, On::List, Some(200)) == 2).then_some(()));
        bench.sandbox().add_group(EAST, "East");
        bench.sandbox().seed_member(EAST, &stranger()).unwrap();

        assert_eq!(syncing.wait().unwrap().code(), Some(4));
        bench.run(&["retry", EAST]).ends_with(3);
        bench.holds(EAST, &["S1"]);
        assert_eq!(bench.sandbox().requests().len(), 0);
    }

    #[test]
    fn a_group_whose_making_got_lost_is_made_once() {
        let bench = Bench::new();
        bench.sandbox().misbehave(Rule::new(On::Create, Fault::AcceptThenReset)).unwrap();
        bench.sync("one.csv", &export(&["E1"])).ends_with(0);
        bench.holds(EAST, &["E1"]);
        assert_eq!(bench.sandbox().calls().iter().filter(|call| call.on == On::Create).count(), 1);
    }

    #[test]
    fn a_failed_removal_is_told_and_tried_again_with_the_next_export() {
        let bench = Bench::new();
        bench.sync("one.csv", &export(&["E1", "E2", "E3"])).ends_with(0);
        bench.sandbox().fail_next("E2", FailOn::Remove, "claims are open");
        let gone = |last| export_of([("E1", "east", "Active"), ("E2", "east", "Terminated"), (last, "east", "Active")]);
        bench.sync("two.csv", &gone("E3")).ends_with(4);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        let run = bench.history().remove(0);
        assert_eq!((&run["state"], &run["counts"]["failed"]), (&json!("partial"), &json!(1)));
        assert_eq!(batch(&bench, &run)["failures"][0]["operation"], "remove");

        // Still on our record as covered: the same wish in a later export is a removal again.
        let text = gone("E3").replace("1 Elm St", "2 Elm St");
        bench.sync("three.csv", &text).ends_with(0);
        bench.holds(EAST, &["E1", "E3"]);
    }

    #[test]
    fn a_removal_that_nobody_planned_pauses_the_group_until_a_person_says_retry() {
        let bench = Bench::new();
        bench.sync("one.csv", &export_of([("E1", "east", "Active"), ("W1", "west", "Active")])).ends_with(0);
        // Somebody whom we do not know is on the API's roster: replacing it removes them.
        let mut ghost = bench.sandbox().roster(EAST)["E1"].clone();
        ghost["reference_id"] = json!("GHOST");
        ghost["email"] = json!("ghost@corp.example");
        bench.sandbox().seed_member(EAST, &ghost).unwrap();
        let two = |ids: &[&str]| {
            export_of(ids.iter().map(|id| (*id, if id.starts_with('W') { "west" } else { "east" }, "Active")))
        };
        bench.sync("two.csv", &two(&["E1", "E2", "W1"])).ends_with(5);
        bench.holds(EAST, &["E1", "E2"]);
        assert_eq!(bench.history()[0]["state"], "partial");

        let status = bench.run(&["--json", "status"]).ends_with(5);
        assert_eq!(status.lines()[0]["paused"][0]["group"], EAST);

        // Other groups go on; this one waits, and the command says so instead of waiting with it.
        let paused = bench.sync("three.csv", &two(&["E1", "E2", "E3", "W1", "W2"])).ends_with(5);
        assert!(paused.err.contains("hris-east is paused") && paused.err.contains("rosterd retry"), "{paused:#?}");
        bench.holds(EAST, &["E1", "E2"]);
        bench.holds("hris-west", &["W1", "W2"]);

        bench.run(&["retry", EAST]).ends_with(0);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        bench.run(&["status"]).ends_with(0);
        assert_eq!(bench.history()[0]["state"], "completed");
    }

    #[test]
    fn a_refused_payload_is_never_sent_again_unchanged() {
        for status in [400, 413, 415, 422, 404] {
            let bench = Bench::new();
            bench.sync("one.csv", &export(&["E1"])).ends_with(0);
            bench.sandbox().misbehave(Rule::new(On::Submit, Fault::Status).status(status)).unwrap();
            bench.sync("two.csv", &export(&["E1", "E2"])).ends_with(4);
            let run = bench.history().remove(0);
            assert_eq!(
                (&run["state"], &batch(&bench, &run)["phase"]),
                (&json!("failed"), &json!("refused")),
                "{status}"
            );
            assert_eq!(calls(&bench, On::Submit, Some(status)), 1);
            // The next export, which differs, goes out.
            bench.sync("three.csv", &export(&["E1", "E2", "E3"])).ends_with(0);
            bench.holds(EAST, &["E1", "E2", "E3"]);
        }
    }

    // === the key ===

    #[test]
    fn a_refused_key_stops_delivery_and_loses_nothing() {
        let bench = Bench::new();
        bench.sync("one.csv", &export(&["E1"])).ends_with(0);
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_new")]);
        let refused = bench.sync("two.csv", &export(&["E1", "E2"])).ends_with(69);
        assert!(refused.err.contains("does not accept the key"), "{refused:#?}");
        bench.holds(EAST, &["E1"]);
        bench.write_key("vit_apk_new");
        bench.run(&["retry", EAST]).ends_with(0);
        bench.holds(EAST, &["E1", "E2"]);
        assert!(bench.history().iter().all(|run| run["state"] == "completed"));
    }

    #[test]
    fn a_daemon_whose_key_is_refused_says_so_and_goes_on_with_a_new_one() {
        let bench = Bench::new();
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_new")]);
        let daemon = bench.daemon();
        bench.drop("one.csv", &export(&["E1"]));
        daemon.hears("the API must be asked which groups it has");
        let log = daemon.stop();
        assert!(!log.contains("panic"), "{log}");
        assert_eq!(files(&bench.inbox().join(".rosterd")).len(), 1, "it is still claimed");

        bench.write_key("vit_apk_new");
        let daemon = bench.daemon();
        bench.run_of("one.csv", &["completed"]);
        bench.holds(EAST, &["E1"]);
        // Now with a group that is known, so that delivery is what meets the refusal.
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_newer")]);
        bench.drop("two.csv", &export(&["E1", "E2"]));
        until("the status says it", || {
            let status = bench.run(&["--json", "status"]);
            (status.code == 69).then(|| assert_eq!(status.lines()[0]["daemon"]["key_refused"], true))
        });
        daemon.stop();
        bench.write_key("vit_apk_newer");
        let daemon = bench.daemon();
        bench.run_of("two.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        bench.run(&["status"]).ends_with(0);
        daemon.stop();
    }

    // === the daemon through bad weather ===

    #[test]
    fn a_daemon_delivers_dropped_files_through_every_kind_of_trouble() {
        let bench = Bench::with(&Settings { timeout: "500ms", ..Settings::default() }, Script::default());
        let daemon = bench.daemon();
        let rules = [
            Rule::new(On::Submit, Fault::RateLimitedSeconds).after(Duration::from_secs(1)),
            Rule::new(On::Submit, Fault::AcceptThenReset).nth(2),
            Rule::new(On::List, Fault::Html502),
            Rule::new(On::Create, Fault::AcceptThen502),
            Rule::new(On::Poll, Fault::HalfAnswer),
            Rule::new(On::Poll, Fault::NoResults).nth(2),
        ];
        // The first list is the one before planning, which puts the whole pass off for a minute: it stays good.
        for rule in rules {
            bench.sandbox().misbehave(if rule.on == On::List { rule.nth(2) } else { rule }).unwrap();
        }
        bench.drop("one.csv", &export(&["E1", "E2"]));
        bench.run_of("one.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        assert_eq!(bench.sandbox().groups().len(), 1);
        let receipt = until("a final receipt", || {
            let name = files(&bench.inbox()).into_iter().find(|name| name.ends_with(".receipt.txt"))?;
            std::fs::read_to_string(bench.inbox().join(name))
                .ok()
                .filter(|text| text.contains("Accepted and delivered."))
        });
        assert!(receipt.contains("one.csv"));
        daemon.stop();
    }

    #[test]
    fn retry_does_not_wait_for_what_the_api_asked_to_wait() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("one.csv", &export(&["E1"]));
        bench.run_of("one.csv", &["completed"]);
        let hour = Duration::from_secs(3600);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::RateLimitedSeconds).after(hour)).unwrap();
        bench.drop("two.csv", &export(&["E1", "E2"]));
        until("the refusal is on record", || {
            let status = bench.run(&["--json", "status"]).lines().remove(0);
            let batch = status["under_way"].get(0)?.clone();
            (batch["phase"] == "pending" && !batch["not_before"].is_null()).then_some(())
        });
        bench.run(&["retry", EAST]).ends_with(0);
        bench.holds(EAST, &["E1", "E2"]);
        daemon.stop();
    }

    #[test]
    fn an_api_that_is_away_is_waited_for() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("one.csv", &export(&["E1"]));
        bench.run_of("one.csv", &["completed"]);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::Reset).times(3)).unwrap();
        bench.drop("two.csv", &export(&["E1", "E2"]));
        bench.run_of("two.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        daemon.stop();
        // Nobody listens at all.
        let Bench { dir, server } = bench;
        drop(server);
        let told = Bench { dir, server: Server::start(Script::default()) }.run(&["groups"]).ends_with(69);
        assert!(told.err.contains("cannot be reached"), "{told:#?}");
    }

    // === where a minute has to pass ===

    /// Sandbox, desk and deliverer in this process, on one simulated clock.
    struct Room {
        sandbox: Sandbox,
        desk: Desk,
        clock: Clock,
        begun: DateTime<Utc>,
    }

    impl Room {
        async fn sync(&self, name: &str, text: &str) -> Result<RunDetail, Refusal> {
            let question = Question::Sync(Export {
                name: name.to_owned(),
                source: None,
                as_of: None,
                modified: self.clock.now(),
                size: text.len() as u64,
            });
            let (progress, mut moved) = mpsc::channel(1);
            let mut body = text.as_bytes();
            let mut asked = self.desk.answer(question, "tester".to_owned(), Body::Stream(&mut body), progress);
            loop {
                tokio::select! {
                                   Some(_) = moved.recv() => {}
                                   answer = &mut asked => {
                let Answer::Run(detail) = answer? else { panic!("not a run") };
                return Ok(*detail);
                }
                               }
            }
        }

        async fn detail(&self, run: &str) -> RunDetail {
            let (progress, _moved) = mpsc::channel(1);
            let mut body: &[u8] = &[];
            let question = Question::Show { id: run.to_owned() };
            let answer =
                self.desk.answer(question, "tester".to_owned(), Body::Stream(&mut body), progress).await.unwrap();
            let Answer::Run(detail) = answer else { panic!("not a run") };
            *detail
        }

        fn seconds(&self) -> i64 {
            (self.clock.now() - self.begun).num_seconds()
        }
    }

    async fn in_a_room(check: impl AsyncFn(&Room)) {
        // Only for its config and folders: nothing goes over its socket.
        let bench = Bench::new();
        let clock = Clock::simulated(Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap());
        let sandbox = Sandbox::new(sandbox::Settings { script: Script::default(), clock: clock.clone() });
        let api = Arc::new(sandbox.in_memory());
        let config = Arc::new(config::load(&bench.path("config.toml"), &no_environment()).unwrap());
        let store = open(&bench.path("state"), &config.api.base_url);
        let settings = deliver::Settings { poll: config.poll, max_in_flight: 4 };
        let deliverer = Deliverer::new(store.clone(), Arc::clone(&api) as _, clock.clone(), settings);
        let desk = Desk::new(config, store, api, clock.clone(), Arc::clone(&deliverer));
        let room = Room { sandbox, desk, begun: clock.now(), clock };
        let stop = CancellationToken::new();
        tokio::select! {
            ended = deliverer.run(stop.clone()) => panic!("delivery ended: {ended:?}"),
            () = check(&room) => {}
        }
        assert_eq!(room.sandbox.audit(), []);
    }

    fn no_environment() -> Environment {
        std::iter::empty::<(String, String)>().collect()
    }

    fn open(dir: &Path, base_url: &str) -> Store {
        Store::open(dir, base_url).unwrap()
    }

    fn ids(sandbox: &Sandbox) -> Vec<String> {
        sandbox.roster(EAST).into_keys().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_the_api_forgot_is_given_up_after_a_minute_and_not_before() {
        in_a_room(async |room| {
            room.sync("one.csv", &export(&["E1"])).await.unwrap();
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
            let begun = room.seconds();
            let detail = room.sync("two.csv", &export(&["E1", "E2"])).await.unwrap();
            let phases: Vec<Phase> = detail.batches.iter().map(|batch| batch.phase).collect();
            assert_eq!(phases, [Phase::Lost, Phase::Completed]);
            assert!((60..120).contains(&(room.seconds() - begun)), "{} s", room.seconds() - begun);
            assert_eq!(detail.run.state, RunState::Completed);
            assert_eq!(ids(&room.sandbox), ["E1", "E2"]);
            // The roster was taken the first time, so the second adds nobody; the record says so all the same.
            assert_eq!((detail.batches[1].added, detail.run.counts.confirmed), (0, 1));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_probed_once_a_minute_and_delivery_goes_on_by_itself() {
        in_a_room(async |room| {
            room.sync("one.csv", &export(&["E1"])).await.unwrap();
            room.sandbox.accept_only(vec![SecretString::from("vit_apk_other")]);
            let refusal = room.sync("two.csv", &export(&["E1", "E2"])).await.unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Unavailable);
            let probes = || room.sandbox.calls().iter().filter(|call| call.on == On::Plans).count();
            // Busy days do not put the probe off: somebody looks every 50 seconds.
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                room.desk.deliverer.nudge();
            }
            assert!((9..=10).contains(&probes()), "{} probes in ten minutes", probes());
            assert_eq!(ids(&room.sandbox), ["E1"]);
            assert!(room.desk.deliverer.is_key_refused());

            room.sandbox.accept_only(vec![SecretString::from("vit_apk_in_memory")]);
            let mut news = room.desk.deliverer.news();
            let ended = async {
                loop {
                    if let Ok(deliver::News::RunEnded(run)) = news.recv().await {
                        return run;
                    }
                }
            };
            let run = tokio::time::timeout(Duration::from_secs(90), ended).await.unwrap();
            assert_eq!(room.detail(run.as_str()).await.run.state, RunState::Completed);
            assert_eq!(ids(&room.sandbox), ["E1", "E2"]);
            assert!(!room.desk.deliverer.is_key_refused());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_was_told_to_wait_for_an_hour_keeps_no_other_from_asking_whether_the_api_is_back() {
        in_a_room(async |room| {
            let minutes = |minutes: u64| tokio::time::sleep(Duration::from_secs(minutes * 60));
            // Whoever asked for it leaves after a while; the deliverer does not.
            let sync = async |name: &str, text: &str| {
                tokio::select! {
                    ended = room.sync(name, text) => assert!(ended.is_err(), "{ended:?}"),
                    () = minutes(3) => {}
                }
            };
            let told = Rule::new(On::Submit, Fault::Error503).after(Duration::from_secs(3600)).group("hris-zone");
            room.sandbox.misbehave(told).unwrap();
            sync("one.csv", &export_of([("E1", "zone", "Active")])).await;
            let groups = ["north", "south", "west", "zone"];
            for group in ["hris-north", "hris-south", "hris-west"] {
                room.sandbox.misbehave(Rule::new(On::Submit, Fault::Reset).always().group(group)).unwrap();
            }
            let people = [("E1", "zone"), ("E2", "north"), ("E3", "south"), ("E4", "west")];
            sync("two.csv", &export_of(people.map(|(id, group)| (id, group, "Active")))).await;
            // Somebody released something: everybody looks again, also who was told to wait.
            room.desk.deliverer.nudge();
            minutes(6).await;
            room.sandbox.behave();
            minutes(5).await;
            let is_there = |group: &str| !room.sandbox.roster(&format!("hris-{group}")).is_empty();
            assert_eq!(groups.map(is_there), [true, true, true, false]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_request_is_given_up_even_when_polls_fail_in_other_ways_between() {
        in_a_room(async |room| {
            room.sync("one.csv", &export(&["E1"])).await.unwrap();
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Forget)).unwrap();
            room.sandbox.misbehave(Rule::new(On::Poll, Fault::Error502).times(5)).unwrap();
            room.sandbox.misbehave(Rule::new(On::Poll, Fault::Nested401).nth(7)).unwrap();
            let refused = room.sync("two.csv", &export(&["E1", "E2"])).await;
            // The command leaves at the refused key; the deliverer does not.
            assert!(refused.is_err());
            let mut news = room.desk.deliverer.news();
            loop {
                if let Ok(deliver::News::RunEnded(run)) = news.recv().await {
                    assert_eq!(room.detail(run.as_str()).await.run.state, RunState::Completed);
                    break;
                }
            }
            assert_eq!(ids(&room.sandbox), ["E1", "E2"]);
        })
        .await;
    }
}
