//! Both implementors of [`MemberSync`] are one to whoever asks: the sandbox in memory, which the rest of the tests run
//! against, and the client over HTTP, which operators run. Every check here is asked of both.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::{NaiveDate, TimeZone, Utc};
    use rosterd::api::http::HttpApi;
    use rosterd::api::{Accepted, ApiError, MemberSync, Operation, Progress, Results};
    use rosterd::clock::Clock;
    use rosterd::config;
    use rosterd::roster::ids::{GroupId, GroupRef, PlanId, ReferenceId, RequestId, RunId, SourceName};
    use rosterd::roster::member::{Field, Member, Texts};
    use rosterd::roster::{Entry, Origin};
    use rosterd::sandbox::script::{FailOn, Fault, GroupSeed, On, Rule, Script};
    use rosterd::sandbox::{Sandbox, Settings, http};
    use secrecy::SecretString;
    use tokio::net::TcpListener;

    /// Nothing here takes longer, on any machine.
    const DEADLINE: Duration = Duration::from_secs(60);
    /// From acceptance to results.
    const DELAY: Duration = Duration::from_millis(20);
    /// Beyond the patience of both clients: 60 s of simulated time, [`HTTP_TIMEOUT`] of real time.
    const SLOW: Duration = Duration::from_secs(90);
    const HTTP_TIMEOUT: Duration = Duration::from_millis(400);

    /// One implementor and the sandbox behind it.
    struct Rig {
        sandbox: Sandbox,
        api: Arc<dyn MemberSync>,
        group: GroupId,
    }

    fn script() -> Script {
        Script {
            delay: DELAY,
            groups: vec![GroupSeed { reference: "sales".into(), name: "Sales".into() }],
            ..Script::default()
        }
    }

    fn group_of(sandbox: &Sandbox) -> GroupId {
        GroupId::parse(&sandbox.groups()[0].id).unwrap()
    }

    fn http_api(url: &str) -> HttpApi {
        let api = config::Api {
            base_url: url.to_owned(),
            key: Some(SecretString::from("vit_apk_conformance")),
            key_origin: None,
            connect_timeout: Duration::from_secs(10),
            timeout: HTTP_TIMEOUT,
            max_in_flight: 4,
            requests_per_second: 1000.0,
            members_per_request: 5000,
            phone_format: config::PhoneFormat::National,
            ca_file: None,
            proxy: None,
        };
        HttpApi::new(&api, Clock::system()).unwrap()
    }

    /// Asks both implementors the same, and returns what they say: memory first.
    fn ask_both<T>(check: impl AsyncFn(Rig) -> T) -> [T; 2] {
        let runtime = |is_paused| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().start_paused(is_paused).build().unwrap()
        };
        let in_memory = runtime(true).block_on(async {
            let start = Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap();
            let sandbox = Sandbox::new(Settings { script: script(), clock: Clock::simulated(start) });
            let rig = Rig { api: Arc::new(sandbox.in_memory()), group: group_of(&sandbox), sandbox };
            tokio::time::timeout(DEADLINE * 1000, check(rig)).await.unwrap()
        });
        let over_http = runtime(false).block_on(async {
            let sandbox = Sandbox::new(script());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let rig = Rig { api: Arc::new(http_api(&url)), group: group_of(&sandbox), sandbox: sandbox.clone() };
            tokio::select! {
                ended = http::serve(sandbox, listener, std::future::pending()) => panic!("the sandbox ended: {ended:?}"),
                said = tokio::time::timeout(DEADLINE, check(rig)) => said.unwrap(),
            }
        });
        [in_memory, over_http]
    }

    impl Rig {
        async fn submit(&self, members: Vec<Entry>) -> Result<Accepted, ApiError> {
            self.api.submit(&self.group, Arc::new(members)).await
        }

        async fn finished(&self, request: &RequestId) -> Results {
            loop {
                match self.api.results(&self.group, request).await.unwrap() {
                    Progress::Done(results) => return results,
                    Progress::Under(odd) => assert_eq!(odd, None),
                }
                tokio::time::sleep(DELAY / 4).await;
            }
        }

        async fn sync(&self, members: Vec<Entry>) -> Results {
            let accepted = self.submit(members).await.unwrap();
            self.finished(&accepted.request_id).await
        }

        fn ids(&self) -> Vec<String> {
            self.sandbox.roster("sales").into_keys().collect()
        }
    }

    fn entry(id: &str) -> Entry {
        let plan_id = PlanId::parse("pln_gold").unwrap();
        let member = Member::new(
            ReferenceId::parse(id).unwrap(),
            plan_id.clone(),
            NaiveDate::from_ymd_opt(1988, 2, 29).unwrap(),
            &Texts {
                first_name: "Ana",
                last_name: "Ruiz",
                phone: None,
                email: Some(&format!("{}@corp.example", id.to_lowercase())),
                address_line_1: "9 Elm St",
                address_line_2: None,
                city: "Erie",
                state: "PA",
                zipcode: "16501",
            },
        );
        let origin =
            Origin { source: SourceName::parse("hris").unwrap(), run: RunId::parse("run-1").unwrap(), line: 2 };
        Entry { member, origin, subscribed_plan: plan_id }
    }

    fn roster(ids: &[&str]) -> Vec<Entry> {
        ids.iter().map(|id| entry(id)).collect()
    }

    /// The error without its words, which are each client's own.
    fn wordless(error: ApiError) -> ApiError {
        match error {
            ApiError::NotSent { .. } => ApiError::NotSent { detail: String::new() },
            ApiError::AnswerLost { status, after, .. } => {
                ApiError::AnswerLost { status, detail: String::new(), after: after.map(whole) }
            }
            ApiError::Later { status, after } => ApiError::Later { status, after: after.map(whole) },
            ApiError::Refused { status, trace_id, .. } => {
                assert!(trace_id.is_some(), "the trace id is kept");
                ApiError::Refused { status, message: String::new(), trace_id: None }
            }
            other @ (ApiError::Unauthorized { .. }
            | ApiError::NotFound
            | ApiError::Conflict
            | ApiError::Unexpected { .. }) => other,
        }
    }

    /// A wait until a moment depends on when it was read: up to the second that HTTP dates are written in.
    fn whole(wait: Duration) -> Duration {
        if wait.is_zero() { wait } else { Duration::from_secs(wait.as_secs().div_ceil(10) * 10) }
    }

    #[test]
    fn a_roster_is_added_kept_changed_and_removed() {
        ask_both(async |rig| {
            let accepted = rig.submit(roster(&["E1", "E2"])).await.unwrap();
            let results = rig.finished(&accepted.request_id).await;
            assert_eq!((results.added, results.removed, results.failures.len()), (2, 0, 0));
            assert!(accepted.accepted_at <= results.completed_at);
            assert_eq!(rig.ids(), ["E1", "E2"]);

            let results = rig.sync(roster(&["E1", "E2"])).await;
            assert_eq!((results.added, results.removed), (0, 0), "known members are nobody's news");

            let mut changed = roster(&["E1", "E2"]);
            assert!(changed[0].member.set_value(Field::City, Some("Reading")));
            changed[0].member.plan_id = PlanId::parse("pln_basic").unwrap();
            rig.sync(changed).await;
            let stored = &rig.sandbox.roster("sales")["E1"];
            assert_eq!(stored["address"]["city"], "Reading");
            assert_eq!(stored["plan_id"], "pln_gold", "the plan of a known member is not applied");

            let results = rig.sync(roster(&["E2"])).await;
            assert_eq!((results.added, results.removed), (0, 1));
            assert_eq!(rig.ids(), ["E2"]);
            assert_eq!(rig.sandbox.audit(), []);
        });
    }

    #[test]
    fn an_empty_roster_removes_everybody() {
        ask_both(async |rig| {
            rig.sync(roster(&["E1", "E2", "E3"])).await;
            let results = rig.sync(Vec::new()).await;
            assert_eq!((results.added, results.removed), (0, 3));
            assert_eq!(rig.ids(), Vec::<String>::new());
        });
    }

    #[test]
    fn a_payload_with_a_duplicate_or_a_bad_row_is_refused_whole() {
        ask_both(async |rig| {
            rig.sync(roster(&["E1"])).await;
            let mut bad = roster(&["E1", "E2"]);
            assert!(bad[1].member.set_value(Field::State, Some("XX")));
            for payload in [roster(&["E1", "E2", "E2"]), bad] {
                let error = rig.submit(payload).await.unwrap_err();
                assert!(matches!(error, ApiError::Refused { status: 400, .. }), "{error:?}");
            }
            assert_eq!(rig.ids(), ["E1"]);
        });
    }

    #[test]
    fn failures_name_the_person_the_operation_and_the_reason() {
        ask_both(async |rig| {
            rig.sync(roster(&["E1", "E2"])).await;
            rig.sandbox.fail_next("E3", FailOn::Add, "no room");
            rig.sandbox.fail_next("E2", FailOn::Remove, "not now");
            let mut failures = rig.sync(roster(&["E1", "E3"])).await.failures;
            failures.sort_by(|a, b| a.reference_id.cmp(&b.reference_id));
            let said: Vec<_> = failures
                .iter()
                .map(|it| (it.reference_id.as_str(), it.operation.clone(), it.reason.as_str()))
                .collect();
            assert_eq!(said, [("E2", Operation::Remove, "not now"), ("E3", Operation::Add, "no room")]);
            assert_eq!(rig.ids(), ["E1", "E2"]);

            rig.sandbox.misbehave(Rule::new(On::Submit, Fault::UnknownOperation)).unwrap();
            let failures = rig.sync(roster(&["E1", "E2"])).await.failures;
            assert_eq!(failures[0].operation, Operation::Other("reconcile".to_owned()));

            rig.sandbox.misbehave(Rule::new(On::Submit, Fault::UnknownReference)).unwrap();
            let failures = rig.sync(roster(&["E1", "E2"])).await.failures;
            assert!(failures[0].reference_id.starts_with("nobody-"), "{failures:?}");
        });
    }

    #[test]
    fn what_the_api_does_not_have_is_not_found() {
        ask_both(async |rig| {
            let nowhere = GroupId::parse("grp_nowhere").unwrap();
            let nothing = RequestId::parse("grpmsr_nothing").unwrap();
            assert_eq!(rig.api.submit(&nowhere, Arc::new(roster(&["E1"]))).await, Err(ApiError::NotFound));
            assert_eq!(rig.api.results(&rig.group, &nothing).await, Err(ApiError::NotFound));
            assert_eq!(rig.api.group(&nowhere).await, Err(ApiError::NotFound));
            assert_eq!(rig.api.update_group(&nowhere, Some("N"), None).await, Err(ApiError::NotFound));
            // A request of one group is not another's.
            let other = GroupId::parse(&rig.sandbox.add_group("other", "Other")).unwrap();
            let accepted = rig.submit(roster(&["E1"])).await.unwrap();
            assert_eq!(rig.api.results(&other, &accepted.request_id).await, Err(ApiError::NotFound));
        });
    }

    #[test]
    fn groups_are_made_renamed_and_listed_over_all_pages() {
        ask_both(async |rig| {
            let reference = |text: &str| GroupRef::parse(text).unwrap();
            let made = rig.api.create_group(&reference("east"), "East").await.unwrap();
            assert_eq!((made.name.as_str(), &made.external_reference_id), ("East", &Some(reference("east"))));
            assert_eq!(rig.api.create_group(&reference("east"), "Again").await, Err(ApiError::Conflict));
            assert_eq!(rig.api.group(&made.id).await, Ok(made.clone()));

            let renamed = rig.api.update_group(&made.id, Some("Far East"), None).await.unwrap();
            assert_eq!((renamed.name.as_str(), &renamed.external_reference_id), ("Far East", &Some(reference("east"))));
            let moved = rig.api.update_group(&made.id, None, Some(&reference("far-east"))).await.unwrap();
            assert_eq!((moved.name.as_str(), &moved.external_reference_id), ("Far East", &Some(reference("far-east"))));

            for number in 0..248 {
                rig.sandbox.add_group(&format!("g{number}"), "G");
            }
            let groups = rig.api.groups().await.unwrap();
            assert_eq!(groups.len(), 250);
            assert!(groups.contains(&moved));
            // Pages that are exactly full end, too.
            for number in 248..298 {
                rig.sandbox.add_group(&format!("g{number}"), "G");
            }
            assert_eq!(rig.api.groups().await.unwrap().len(), 300);
        });
    }

    #[test]
    fn plans_are_listed_over_all_pages() {
        ask_both(async |rig| {
            for number in 0..120 {
                rig.sandbox.add_plan(&format!("pln_{number}"), "P");
            }
            let plans = rig.api.plans().await.unwrap();
            assert_eq!(plans.len(), 122);
            assert_eq!((plans[0].id.as_str(), plans[0].name.as_str()), ("pln_basic", "Basic"));
        });
    }

    #[test]
    fn a_wrong_key_is_told_on_every_call() {
        ask_both(async |rig| {
            let accepted = rig.submit(roster(&["E1"])).await.unwrap();
            rig.sandbox.accept_only(vec![SecretString::from("vit_apk_other")]);
            let refused = ApiError::Unauthorized { status: 401 };
            let (group, reference) = (&rig.group, GroupRef::parse("east").unwrap());
            assert_eq!(rig.submit(roster(&["E1"])).await.unwrap_err(), refused);
            assert_eq!(rig.api.results(group, &accepted.request_id).await.unwrap_err(), refused);
            assert_eq!(rig.api.groups().await.unwrap_err(), refused);
            assert_eq!(rig.api.group(group).await.unwrap_err(), refused);
            assert_eq!(rig.api.create_group(&reference, "East").await.unwrap_err(), refused);
            assert_eq!(rig.api.update_group(group, Some("N"), None).await.unwrap_err(), refused);
            assert_eq!(rig.api.plans().await.unwrap_err(), refused);
        });
    }

    #[test]
    fn odd_answers_to_a_poll_are_not_final() {
        ask_both(async |rig| {
            let accepted = rig.submit(roster(&["E1"])).await.unwrap();
            rig.finished(&accepted.request_id).await;
            for fault in [Fault::NoResults, Fault::NoCompletedAt, Fault::WrongGroup] {
                rig.sandbox.misbehave(Rule::new(On::Poll, fault)).unwrap();
                let progress = rig.api.results(&rig.group, &accepted.request_id).await.unwrap();
                assert!(matches!(progress, Progress::Under(Some(_))), "{fault:?}: {progress:?}");
            }
            rig.finished(&accepted.request_id).await;
        });
    }

    #[test]
    fn every_fault_means_the_same_to_both_on_every_call() {
        let [in_memory, over_http] = ask_both(async |rig| {
            let accepted = rig.submit(roster(&["E1"])).await.unwrap();
            let mut outcomes = Vec::new();
            for on in [On::Submit, On::Poll, On::List, On::Read, On::Create, On::Update, On::Plans] {
                for rule in rules(on) {
                    let name = format!("{on:?} {:?} {:?} {:?}", rule.fault, rule.status, rule.after);
                    rig.sandbox.misbehave(rule).unwrap();
                    let outcome = call(&rig, on, &accepted.request_id, outcomes.len()).await;
                    rig.sandbox.behave();
                    outcomes.push((name, outcome.map_err(wordless)));
                }
            }
            outcomes
        });
        for (memory, http) in in_memory.iter().zip(&over_http) {
            assert_eq!(memory, http);
        }
        assert_eq!(in_memory.len(), over_http.len());
        // What delivery rests on: only a question is ever known to have done nothing.
        for (name, outcome) in &in_memory {
            let is_lost = matches!(outcome, Err(ApiError::AnswerLost { .. }));
            let is_question = ["Poll", "List", "Read", "Plans"].iter().any(|on| name.starts_with(on));
            assert!(!(is_lost && is_question), "{name}: {outcome:?}");
            let hides_work = ["AcceptThen", "BrokenJson", "HalfAnswer", "Slow", "Error50", "Html", "Reset"];
            if !is_question && hides_work.iter().any(|fault| name.contains(&format!(" {fault}"))) {
                assert!(is_lost, "{name}: {outcome:?}");
            }
        }
    }

    /// Every fault that spoils one answer of that call.
    fn rules(on: On) -> Vec<Rule> {
        let mut rules: Vec<Rule> = [
            Fault::RateLimitedBare,
            Fault::Error500,
            Fault::Error502,
            Fault::Error503,
            Fault::Nested401,
            Fault::Html502,
            Fault::NotFound,
            Fault::Reset,
            Fault::AcceptThenReset,
            Fault::AcceptThen502,
            Fault::BrokenJson,
            Fault::HalfAnswer,
        ]
        .into_iter()
        .map(|fault| Rule::new(on, fault))
        .collect();
        for fault in
            [Fault::RateLimitedSeconds, Fault::RateLimitedDate, Fault::RateLimitedReset, Fault::Error503, Fault::Slow]
        {
            rules.push(Rule::new(on, fault).after(SLOW));
        }
        // Nobody waits a day.
        rules.push(Rule::new(on, Fault::RateLimitedSeconds).after(Duration::from_secs(86_400)));
        for status in [400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 422, 429, 500, 502, 503, 504, 599] {
            rules.push(Rule::new(on, Fault::Status).status(status));
        }
        if on == On::Submit {
            rules.push(Rule::new(on, Fault::WrongGroup));
        }
        rules
    }

    /// Makes one call. Whether it came to an answer is all that counts of a good one.
    async fn call(rig: &Rig, on: On, request: &RequestId, number: usize) -> Result<(), ApiError> {
        match on {
            On::Submit => rig.submit(roster(&["E1"])).await.map(drop),
            On::Poll => rig.api.results(&rig.group, request).await.map(drop),
            On::List => rig.api.groups().await.map(drop),
            On::Read => rig.api.group(&rig.group).await.map(drop),
            On::Create => {
                let reference = GroupRef::parse(&format!("made-{number}")).unwrap();
                rig.api.create_group(&reference, "Made").await.map(drop)
            }
            On::Update => rig.api.update_group(&rig.group, Some("Renamed"), None).await.map(drop),
            On::Plans => rig.api.plans().await.map(drop),
            On::Any => unreachable!("not a call"),
        }
    }
}
