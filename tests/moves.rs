//! Moves between groups, end to end: whatever fails on the way, nobody is in two groups, and nobody is lost between them. With
//! the real desk, deliverer and store, on simulated time.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::{TimeZone, Utc};
    use rosterd::clock::Clock;
    use rosterd::config::{self, Environment};
    use rosterd::control::server::{Answerer, Body};
    use rosterd::control::{Answer, Export, Question, Refusal, RefusalKind};
    use rosterd::deliver::{self, Deliverer};
    use rosterd::report::{GuardVerdict, Phase, RunDetail, RunState};
    use rosterd::sandbox::script::{FailOn, Fault, On, Rule, Script};
    use rosterd::sandbox::{self, Sandbox};
    use rosterd::store::Store;
    use rosterd::sync::Desk;
    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::bench::Bench;

    const EAST: &str = "hris-east";
    const WEST: &str = "hris-west";

    /// Sandbox, desk and deliverer in this process, on one simulated clock.
    struct Room {
        sandbox: Sandbox,
        desk: Desk,
        clock: Clock,
    }

    impl Room {
        async fn ask(&self, question: Question, text: &str) -> Result<RunDetail, Refusal> {
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

        async fn sync(&self, people: &[(&str, &str)]) -> Result<RunDetail, Refusal> {
            let text = export(people);
            let (modified, size) = (self.clock.now(), text.len() as u64);
            let question =
                Question::Sync(Export { name: "e.csv".to_owned(), source: None, as_of: None, modified, size });
            self.ask(question, &text).await
        }

        async fn approve(&self, run: &RunDetail) -> RunDetail {
            let question = Question::Approve { run: run.run.run.to_string(), reason: "seen".to_owned() };
            self.ask(question, "").await.unwrap()
        }

        async fn detail(&self, run: &RunDetail) -> RunDetail {
            self.ask(Question::Show { id: run.run.run.to_string() }, "").await.unwrap()
        }

        fn ids(&self, group: &str) -> Vec<String> {
            self.sandbox.roster(group).into_keys().collect()
        }

        #[track_caller]
        fn holds(&self, east: &[&str], west: &[&str]) {
            assert_eq!((self.ids(EAST), self.ids(WEST)), (owned(east), owned(west)));
        }
    }

    fn owned(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// Everybody is somebody else: the API takes people of one e-mail and birth date for one person.
    fn export(people: &[(&str, &str)]) -> String {
        let mut text = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n".to_owned();
        for (id, group) in people {
            let born = 1900 + id.bytes().fold(0, |sum: u32, byte| (sum * 31 + u32::from(byte)) % 97);
            text += &format!(
                "{id},Ann,Lee{id},{born}-02-03,{}@corp.example,2155550100,1 Elm St,Erie,PA,16501,{group},Active\n",
                id.to_lowercase()
            );
        }
        text
    }

    async fn in_a_room(check: impl AsyncFn(&Room)) {
        // Only for its config and folders: nothing goes over its socket.
        let bench = Bench::new();
        let clock = Clock::simulated(Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap());
        let sandbox = Sandbox::new(sandbox::Settings { script: Script::default(), clock: clock.clone() });
        let api = Arc::new(sandbox.in_memory());
        let no_environment: Environment = std::iter::empty::<(String, String)>().collect();
        let config = Arc::new(config::load(&bench.path("config.toml"), &no_environment).unwrap());
        let store = Store::open(&bench.path("state"), &config.api.base_url).unwrap();
        let settings = deliver::Settings { poll: config.poll, max_in_flight: 2 };
        let deliverer = Deliverer::new(store.clone(), Arc::clone(&api) as _, clock.clone(), settings);
        let desk = Desk::new(config, store, api, clock.clone(), Arc::clone(&deliverer));
        let room = Room { sandbox, desk, clock };
        let stop = CancellationToken::new();
        tokio::select! {
            ended = deliverer.run(stop.clone()) => panic!("delivery ended: {ended:?}"),
            () = check(&room) => {}
        }
        assert_eq!(room.sandbox.audit(), []);
    }

    const BEFORE: [(&str, &str); 5] = [("E1", "east"), ("E2", "east"), ("E3", "east"), ("W1", "west"), ("W2", "west")];
    const MOVED: [(&str, &str); 5] = [("E1", "west"), ("E2", "east"), ("E3", "east"), ("W1", "west"), ("W2", "west")];

    #[tokio::test(start_paused = true)]
    async fn a_move_leaves_first_then_arrives_and_the_gap_is_on_record() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            let detail = room.sync(&MOVED).await.unwrap();
            room.holds(&["E2", "E3"], &["E1", "W1", "W2"]);
            assert_eq!((detail.run.state, detail.run.counts.moved), (RunState::Completed, 1));
            let arrival = detail.batches.iter().find(|batch| !batch.moves_in.is_empty()).unwrap();
            assert!(arrival.longest_gap().unwrap() < 10, "{arrival:#?}");
            assert_eq!(detail.batches.len(), 2, "one batch a group");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn people_who_change_places_all_arrive() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            let mut swapped = MOVED;
            swapped[3].1 = "east";
            let detail = room.sync(&swapped).await.unwrap();
            room.holds(&["E2", "E3", "W1"], &["E1", "W2"]);
            assert_eq!((detail.run.state, detail.run.counts.moved), (RunState::Completed, 2));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_leave_stays_and_the_next_file_moves_them() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            room.sandbox.fail_next("E1", FailOn::Remove, "no");
            let mut with_new = MOVED.to_vec();
            with_new.push(("W3", "west"));
            let detail = room.sync(&with_new).await.unwrap();
            room.holds(&["E1", "E2", "E3"], &["W1", "W2", "W3"]);
            assert_eq!(detail.run.state, RunState::Partial);
            let failures: Vec<&str> = detail
                .batches
                .iter()
                .flat_map(|batch| &batch.failures)
                .map(|failure| failure.operation.as_str())
                .collect();
            assert!(failures.contains(&"remove") && failures.contains(&"move"), "{failures:?}");
            with_new.push(("W4", "west"));
            assert_eq!(room.sync(&with_new).await.unwrap().run.state, RunState::Completed);
            room.holds(&["E2", "E3"], &["E1", "W1", "W2", "W3", "W4"]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_left_and_is_not_added_is_tried_until_they_are() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            for _ in 0..3 {
                room.sandbox.fail_next("E1", FailOn::Add, "not now");
            }
            let detail = room.sync(&MOVED).await.unwrap();
            assert_eq!(detail.run.state, RunState::Partial);
            room.holds(&["E2", "E3"], &["W1", "W2"]);
            // A file that lacks them in between does not lose them, nor does one that changes others.
            room.sync(&[("E2", "east"), ("E3", "east"), ("W1", "west"), ("W2", "west"), ("W3", "west")]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(600)).await;
            room.holds(&["E2", "E3"], &["E1", "W1", "W2", "W3"]);
            let gaps = room.desk.store.batches_of_group(&WEST.parse().unwrap()).unwrap();
            let gap = gaps.iter().filter_map(rosterd::report::Batch::longest_gap).max().unwrap();
            assert!((60..600).contains(&gap), "{gap} s");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_roster_of_the_group_they_leave_keeps_them_where_they_are() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Status).status(400).group(EAST)).unwrap();
            let mut with_new = MOVED.to_vec();
            with_new.push(("W3", "west"));
            let detail = room.sync(&with_new).await.unwrap();
            room.holds(&["E1", "E2", "E3"], &["W1", "W2", "W3"]);
            assert_eq!(detail.run.state, RunState::Partial);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_roster_of_the_group_they_join_is_sent_again_with_them_alone() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            // The first part with W3 goes; the second, with E1, is refused.
            room.sandbox.misbehave(Rule::new(On::Submit, Fault::Status).status(400).group(WEST)).unwrap();
            let detail = room.sync(&MOVED).await.unwrap();
            assert_eq!(detail.batches.iter().filter(|batch| batch.phase == Phase::Refused).count(), 1);
            tokio::time::sleep(Duration::from_secs(120)).await;
            room.holds(&["E2", "E3"], &["E1", "W1", "W2"]);
            let detail = room.detail(&detail).await;
            assert!(detail.batches.iter().any(|batch| batch.again == 1 && batch.phase == Phase::Completed));
        })
        .await;
    }

    /// Pauses a group: somebody whom nobody knows is removed by its next roster.
    async fn pause(room: &Room, group: &str, known: &str, people: &[(&str, &str)]) {
        let mut ghost = room.sandbox.roster(group)[known].clone();
        ghost["reference_id"] = json!("GHOST");
        ghost["email"] = json!("ghost@corp.example");
        room.sandbox.seed_member(group, &ghost).unwrap();
        room.sync(people).await.unwrap();
        let group = group.parse().unwrap();
        assert!(room.desk.store.group(&group).unwrap().unwrap().paused.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_group_that_people_leave_holds_up_nobody_else() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            let mut people = BEFORE.to_vec();
            people.push(("E4", "east"));
            pause(room, EAST, "E1", &people).await;
            people[0].1 = "west";
            people.push(("W3", "west"));
            let refusal = room.sync(&people).await.unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Paused, "{refusal:?}");
            room.holds(&["E1", "E2", "E3", "E4"], &["W1", "W2", "W3"]);
            room.ask(Question::Retry { group: EAST.to_owned() }, "").await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            room.holds(&["E2", "E3", "E4"], &["E1", "W1", "W2", "W3"]);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_leaves_for_a_paused_group() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            let mut people = BEFORE.to_vec();
            people.push(("W4", "west"));
            pause(room, WEST, "W1", &people).await;
            people[0].1 = "west";
            let detail = room.sync(&people).await.unwrap();
            room.holds(&["E1", "E2", "E3"], &["W1", "W2", "W4"]);
            let kept = &detail.plan.unwrap().groups[0].kept[0];
            assert!(kept.is_covered() && kept.reason.contains("paused"), "{kept:?}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_moves_as_a_whole_is_held_and_approved() {
        in_a_room(async |room| {
            room.sync(&BEFORE).await.unwrap();
            let all_west: Vec<(&str, &str)> = BEFORE.iter().map(|(id, _)| (*id, "west")).collect();
            let held = room.sync(&all_west).await.unwrap();
            room.holds(&["E1", "E2", "E3"], &["W1", "W2"]);
            assert!(held.run.guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold && guard.guard == "empty"));
            let approved = room.approve(&held).await;
            assert_eq!((approved.run.state, approved.run.counts.moved), (RunState::Completed, 3));
            room.holds(&[], &["E1", "E2", "E3", "W1", "W2"]);
        })
        .await;
    }
}
