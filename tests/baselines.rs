//! Records that are no baseline: lost, older than what was done since, of another API, or opened with another organization's key.
//! The real binary against sandboxes on sockets: nothing is sent before a person has approved it once, and the day after is a day
//! like any other.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use rosterd::sandbox::Sandbox;
    use rosterd::sandbox::script::{GroupSeed, Script};
    use secrecy::SecretString;
    use serde_json::Value;

    use super::bench::{Bench, KEY, Said, Server, Settings, files};

    const EAST: &str = "hris-east";

    /// An export of people who have nothing in common but their group, or another that is named behind a colon.
    fn export(people: &[&str]) -> String {
        let mut text = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n".to_owned();
        for person in people {
            let (id, division) = person.split_once(':').unwrap_or((person, "east"));
            let number: u32 = id.trim_start_matches('E').parse().unwrap();
            let (year, day) = (1950 + number % 50, 1 + number % 28);
            writeln!(
                text,
                "{id},Ann{number},Lee{number},{year}-02-{day:02},{id}@corp.example,2155550100,{number} Elm St,Erie,PA,16501,\
                 {division},Active"
            )
            .unwrap();
        }
        text
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for file in files(from) {
            std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
            std::fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
    }

    fn covered(sandbox: &Sandbox, group: &str) -> Vec<String> {
        sandbox.roster(group).into_keys().collect()
    }

    /// What a command printed, without its line breaks.
    fn words(said: &Said) -> String {
        said.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn held_guards(of: &Value) -> Vec<(String, Value, String)> {
        let text = |guard: &Value, name: &str| guard[name].as_str().unwrap().to_owned();
        let guards = of["guards"].as_array().unwrap().iter().filter(|guard| guard["verdict"] == "hold");
        guards.map(|guard| (text(guard, "guard"), guard["group"].clone(), text(guard, "sum"))).collect()
    }

    /// `plan` of an export says what `sync` then does: the same guards hold it, with the same words. Answers the held run.
    #[track_caller]
    fn is_held(bench: &Bench, name: &str, text: &str, says: &[&str]) -> String {
        let path = bench.path(name);
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let requests = bench.sandbox().requests().len();
        let planned = bench.run(&["--json", "plan", path]).ends_with(3).lines().remove(0);
        let detail = bench.run(&["--json", "sync", path]).ends_with(3).lines().remove(0);
        assert_eq!(detail["run"]["state"], "held");
        assert_eq!(held_guards(&planned), held_guards(&detail["run"]));
        assert_eq!(bench.sandbox().requests().len(), requests, "nothing is sent");
        let run = detail["run"]["run"].as_str().unwrap().to_owned();
        let receipt = files(&bench.inbox()).into_iter().find(|file| file.ends_with(&format!("_{name}.receipt.txt")));
        let receipt = std::fs::read_to_string(bench.inbox().join(receipt.unwrap())).unwrap();
        let receipt = receipt.split_whitespace().collect::<Vec<_>>().join(" ");
        let pages = [
            words(&bench.run(&["plan", path]).ends_with(3)),
            words(&bench.run(&["show", &run]).ends_with(0)),
            receipt.clone(),
        ];
        for page in &pages {
            for said in says {
                assert!(page.to_lowercase().contains(&said.to_lowercase()), "{said:?} is not in {page}");
            }
        }
        assert!(receipt.contains("held because of our own records"), "{receipt}");
        assert!(pages[1].contains(&format!("rosterd approve {run} --reason TEXT")), "{}", pages[1]);
        let status = words(&bench.run(&["status"]).ends_with(3));
        assert!(status.contains("Records in doubt") && status.contains("rosterd approve"), "{status}");
        run
    }

    #[track_caller]
    fn approve(bench: &Bench, run: &str) {
        bench.run(&["approve", run, "--reason", "compared with the carrier"]).ends_with(0);
        let status = bench.run(&["--json", "status"]).ends_with(0).lines().remove(0);
        assert_eq!(status.get("doubt"), None, "{status}");
        let approved = bench.history().remove(0);
        assert_eq!((&approved["trigger"], &approved["state"]), (&"approve".into(), &"completed".into()));
        assert_eq!(approved["reason"], "compared with the carrier");
    }

    /// The next export goes through without a question.
    #[track_caller]
    fn is_a_day_like_any_other(bench: &Bench, people: &[&str]) {
        let detail = bench.sync("next.csv", &export(people)).ends_with(0).lines().remove(0);
        assert_eq!(detail["run"]["state"], "completed");
        assert_eq!(held_guards(&detail["run"]), []);
        let in_east: Vec<&str> = people.iter().filter(|person| !person.contains(':')).copied().collect();
        bench.holds(EAST, &in_east);
        bench.run(&["status"]).ends_with(0);
    }

    // === lost ===

    #[test]
    fn after_the_state_was_lost_nobody_is_removed_before_somebody_approved_it() {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2", "E3", "E4", "E5"])).ends_with(0);
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        let check = bench.run(&["check"]).ends_with(0);
        assert!(words(&check).contains("exports of hris were processed before"), "{check:?}");

        let says = ["the record of who is covered is lost", "4 people in 1 group would be sent", "would lose coverage"];
        let run = is_held(&bench, "day2.csv", &export(&["E1", "E2", "E3", "E4"]), &says);
        bench.holds(EAST, &["E1", "E2", "E3", "E4", "E5"]);
        approve(&bench, &run);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        is_a_day_like_any_other(&bench, &["E1", "E2", "E3", "E4", "E6"]);
    }

    #[test]
    fn a_daemon_that_starts_without_its_state_holds_also_what_it_has_processed_before() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2"]));
        bench.run_of("day1.csv", &["completed"]);
        bench.drop("day2.csv", &export(&["E1", "E2", "E3"]));
        bench.run_of("day2.csv", &["completed"]);
        daemon.stop();
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        std::fs::create_dir(bench.path("state")).unwrap();

        let daemon = bench.daemon();
        daemon.hears("the state cannot be trusted");
        bench.drop("day1-again.csv", &export(&["E1", "E2"]));
        bench.run_of("day1-again.csv", &["held"]);
        // A new group waits as well: whoever is in it may be in another one of the API.
        bench.drop("day3.csv", &export(&["E1", "E2", "E3", "E7:west"]));
        let held = bench.run_of("day3.csv", &["held"]);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        assert_eq!(bench.sandbox().requests().len(), 2);
        bench.run(&["retry", EAST]).ends_with(64);
        approve(&bench, held["run"].as_str().unwrap());
        bench.holds(EAST, &["E1", "E2", "E3"]);
        bench.holds("hris-west", &["E7"]);
        bench.run_of("day1-again.csv", &["superseded"]);
        bench.drop("day4.csv", &export(&["E1", "E2", "E3", "E4", "E7:west"]));
        let next = bench.run_of("day4.csv", &["completed"]);
        assert_eq!(held_guards(&next), []);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        let log = daemon.stop();
        // A restart finds nothing new to doubt.
        let daemon = bench.daemon();
        bench.run(&["status"]).ends_with(0);
        assert_eq!(log.matches("the state cannot be trusted").count(), 1);
        assert_eq!(daemon.stop().matches("the state cannot be trusted").count(), 0);
    }

    #[test]
    fn a_new_installation_and_a_new_source_are_in_no_doubt() {
        let bench = Bench::with(&Settings { sources: &["hris", "payroll"], ..Settings::default() }, Script::default());
        let sync = |source: &str, name: &str, people: &[&str]| {
            let path = bench.path(name);
            std::fs::write(&path, export(people)).unwrap();
            bench.run(&["--json", "sync", path.to_str().unwrap(), "--source", source])
        };
        sync("hris", "a.csv", &["E1", "E2"]).ends_with(0);
        sync("payroll", "b.csv", &["E8"]).ends_with(0);
        bench.run(&["status"]).ends_with(0);
        bench.holds(EAST, &["E1", "E2"]);
        bench.holds("payroll-east", &["E8"]);

        // Each source has to be looked at once, and is told that there are others.
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        let held = sync("hris", "c.csv", &["E1", "E2"]).ends_with(3).lines().remove(0);
        let sum = held["run"]["reason"].as_str().unwrap();
        assert!(sum.contains("people of other sources go out as far as they are on record"), "{sum}");
        bench.run(&["approve", held["run"]["run"].as_str().unwrap(), "--reason", "seen"]).ends_with(0);
        let status = bench.run(&["--json", "status"]).ends_with(3).lines().remove(0);
        assert_eq!(status["doubt"]["sources"], serde_json::json!(["payroll"]));
        let held = sync("payroll", "d.csv", &["E8", "E9"]).ends_with(3).lines().remove(0);
        sync("hris", "e.csv", &["E1", "E2", "E3"]).ends_with(0);
        bench.run(&["approve", held["run"]["run"].as_str().unwrap(), "--reason", "seen"]).ends_with(0);
        bench.holds("payroll-east", &["E8", "E9"]);
        bench.run(&["status"]).ends_with(0);
    }

    // === restored ===

    #[test]
    fn an_older_state_sends_nothing_of_what_it_had_open_and_is_confirmed_anew_by_one_approval() {
        let bench = Bench::new();
        let state = bench.path("state");
        bench.sync("day1.csv", &export(&["E1", "E2", "E3", "E9:west"])).ends_with(0);
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_another")]);
        let day2 = export(&["E1", "E2", "E3", "E4", "E9:west"]);
        bench.sync("day2.csv", &day2).ends_with(69);
        copy(&state, &bench.path("backup"));
        bench.sandbox().accept_only(vec![SecretString::from(KEY)]);
        // E4 came and went, E5 came.
        bench.sync("day3.csv", &export(&["E1", "E2", "E3", "E5", "E9:west"])).ends_with(0);
        bench.holds(EAST, &["E1", "E2", "E3", "E5"]);

        std::fs::remove_dir_all(&state).unwrap();
        std::fs::rename(bench.path("backup"), &state).unwrap();
        let requests = bench.sandbox().requests().len();
        let daemon = bench.daemon();
        daemon.hears("the state cannot be trusted");
        bench.run(&["retry", EAST]).ends_with(64);
        let status = bench.run(&["--json", "status"]).ends_with(3).lines().remove(0);
        assert_eq!(status["doubt"]["groups"], serde_json::json!([EAST, "hris-west"]));
        let error = status["under_way"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("not sent any more"), "{error}");

        // Also the very content that was accepted last is no duplicate: nobody knows what came after it.
        let says = ["older than the export processed", "5 people in 2 groups would be sent", "would lose coverage"];
        is_held(&bench, "day2-again.csv", &day2, &says);
        let run = is_held(&bench, "day4.csv", &export(&["E1", "E2", "E3", "E7", "E9:west"]), &says);
        assert_eq!(bench.sandbox().requests().len(), requests);
        bench.holds(EAST, &["E1", "E2", "E3", "E5"]);
        approve(&bench, &run);
        bench.holds(EAST, &["E1", "E2", "E3", "E7"]);
        assert_eq!(
            bench.sandbox().requests().len(),
            requests + 2,
            "also the group that is as on record is confirmed anew"
        );
        bench.run_of("day2.csv", &["superseded", "failed", "completed", "partial"]);
        daemon.stop();
        is_a_day_like_any_other(&bench, &["E1", "E2", "E3", "E6", "E7", "E9:west"]);
    }

    #[test]
    fn whom_an_older_state_does_not_know_is_lost_only_on_approval() {
        let bench = Bench::new();
        let state = bench.path("state");
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        copy(&state, &bench.path("backup"));
        bench.sync("day2.csv", &export(&["E1", "E2", "E3"])).ends_with(0);
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::rename(bench.path("backup"), &state).unwrap();
        let run = is_held(&bench, "day3.csv", &export(&["E1", "E2", "E5"]), &["would lose coverage"]);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        approve(&bench, &run);
        bench.holds(EAST, &["E1", "E2", "E5"]);
        let detail = bench.history().remove(0);
        assert_eq!(detail["state"], "completed", "what was approved is no incident");
        is_a_day_like_any_other(&bench, &["E1", "E2", "E4", "E5"]);
    }

    fn rewrite(bench: &Bench, from: &str, to: &str) {
        let path = bench.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    #[test]
    fn a_source_with_another_name_is_no_sign_of_an_older_state() {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        rewrite(&bench, "name = \"hris\"", "name = \"people\"");
        bench.run(&["status"]).ends_with(0);
    }

    // === another API ===

    fn point_at(bench: &Bench, url: &str) {
        let path = bench.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text
            .lines()
            .map(|line| if line.starts_with("base_url") { format!("base_url = \"{url}\"") } else { line.to_owned() });
        std::fs::write(path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }

    #[test]
    fn nothing_of_one_api_is_sent_to_another_and_the_way_back_is_open() {
        let mut bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        // Work is open when the operator turns to the other API.
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_another")]);
        bench.sync("day2.csv", &export(&["E1", "E2", "E3"])).ends_with(69);
        let groups = vec![GroupSeed { reference: EAST.to_owned(), name: "East".to_owned() }];
        let mut other = Server::start(Script { groups, seed: 7, ..Script::default() });
        std::mem::swap(&mut bench.server, &mut other);
        let first = other;
        point_at(&bench, &bench.server.url);
        let daemon = bench.daemon();
        assert_eq!(bench.history(), Vec::<Value>::new());
        daemon.stop();
        assert_eq!(bench.sandbox().requests(), []);

        let says = ["nothing is on record of who is covered at", "3 people in 1 group would be sent"];
        let run = is_held(&bench, "day3.csv", &export(&["E1", "E2", "E4"]), &says);
        approve(&bench, &run);
        is_a_day_like_any_other(&bench, &["E1", "E2", "E4", "E5"]);
        assert_eq!(covered(&first.sandbox, EAST), ["E1", "E2"], "and the first API heard nothing of it");

        first.sandbox.accept_only(vec![SecretString::from(KEY)]);
        bench.server = first;
        point_at(&bench, &bench.server.url);
        let run = is_held(&bench, "day5.csv", &export(&["E1", "E2", "E3", "E6"]), &["older than the export processed"]);
        approve(&bench, &run);
        is_a_day_like_any_other(&bench, &["E1", "E2", "E3", "E6", "E7"]);
    }

    #[test]
    fn a_look_at_another_api_in_which_nothing_was_processed_changes_nothing() {
        let mut bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        let url = bench.server.url.clone();
        let other = Server::start(Script::default());
        point_at(&bench, &other.url);
        bench.run(&["status"]).ends_with(3);
        point_at(&bench, &url);
        bench.server.sandbox.behave();
        is_a_day_like_any_other(&bench, &["E1", "E2", "E3"]);
        bench.server = other;
        assert_eq!(bench.sandbox().requests(), []);
    }

    #[test]
    fn the_key_of_another_organization_covers_nobody() {
        for has_groups in [true, false] {
            let mut bench = Bench::new();
            bench.sync("day1.csv", &export(&["E1"])).ends_with(0);
            let groups = has_groups.then(|| GroupSeed { reference: "theirs".to_owned(), name: "Theirs".to_owned() });
            let script = Script { seed: 99, groups: groups.into_iter().collect(), ..Script::default() };
            let Bench { dir, server } = bench;
            bench = Bench { dir, server: server.replace(script) };

            let said = bench.sync("day2.csv", &export(&["E1", "E2:west"]));
            assert_ne!(said.code, 0, "{said:?}");
            let words = if has_groups { said.err.clone() } else { said.out.clone() };
            assert!(words.contains("the API key belongs to organization"), "{said:#?}");
            assert_eq!(bench.sandbox().requests(), []);
            assert!(bench.sandbox().groups().iter().all(|group| group.members == 0));
        }
    }

    // === the folder is there, the database is not ===

    #[test]
    fn a_database_that_vanished_from_its_folder_is_refused_with_the_way_out() {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        std::fs::remove_dir_all(bench.path("state/db")).unwrap();
        let refused = bench.sync("day2.csv", &export(&["E1"])).ends_with(74);
        assert!(refused.err.contains("restore it from a backup") && refused.err.contains("move"), "{refused:?}");
        // The way out, as it is said.
        std::fs::rename(bench.path("state"), bench.path("state.away")).unwrap();
        let run = is_held(&bench, "day3.csv", &export(&["E1", "E2"]), &["the record of who is covered is lost"]);
        approve(&bench, &run);
        bench.holds(EAST, &["E1", "E2"]);
    }
}
