//! The daemon as an operator and HR meet it: the real binary, a real inbox, a sandbox on a socket.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::net::UnixDatagram;
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::time::Duration;

    use rosterd::sandbox::script::{Fault, On, Rule, Script};
    use rustix::process::Signal;
    use secrecy::SecretString;
    use serde_json::Value;

    use super::bench::{Bench, Daemon, Settings, delete, export, export_of, files, until};

    const EAST: &str = "hris-east";

    fn bench_with(settings: &Settings) -> Bench {
        Bench::with(settings, Script::default())
    }

    /// The receipt of a file whose text is about to say this.
    #[track_caller]
    fn receipt(bench: &Bench, folder: &str, name: &str, says: &str) -> String {
        let place = bench.inbox().join(folder);
        until(&format!("{folder}: a receipt of {name} with {says:?}"), || {
            let end = format!("_{name}.receipt.txt");
            let found = files(&place).into_iter().filter(|file| file.ends_with(&end));
            let texts = found.map(|file| std::fs::read_to_string(place.join(file)).unwrap());
            // Lines are broken where they are full.
            texts.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).find(|text| text.contains(says))
        })
    }

    fn id(run: &Value) -> &str {
        run["run"].as_str().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    // === the way of a file ===

    #[test]
    fn a_dropped_file_is_delivered_filed_away_and_answered_for_while_the_daemon_runs() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("people.csv", &export(&["E1", "E2"]));
        let run = bench.run_of("people.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        receipt(&bench, "processed", "people.csv", "Accepted and delivered.");
        let filed = files(&bench.inbox());
        let export = filed.iter().find(|name| name.ends_with("_people.csv")).unwrap();
        let (folder, name) = (export.split('/').nth(1).unwrap(), export.split('/').nth(2).unwrap());
        assert!(export.starts_with("processed/") && folder.len() == 7 && folder.contains('-'), "{export}");
        assert_eq!(name.split('_').nth(1).unwrap(), run["file"]["sha256"].as_str().unwrap().get(..8).unwrap());
        assert_eq!(filed.len(), 2, "{filed:?}");

        // The state is open in the daemon: whoever asks gets the answer over the socket.
        let status = bench.run(&["--json", "status"]).ends_with(0).lines().remove(0);
        assert_eq!(status["daemon"]["pid"], daemon.pid().as_raw_nonzero().get());
        assert_eq!((&status["members"], &status["groups"]), (&2.into(), &1.into()));
        let text = bench.run(&["status"]).ends_with(0).out;
        assert!(text.contains("hris") && text.contains("people.csv"), "{text}");
        let shown = bench.run(&["show", id(&run).get(..20).unwrap()]).ends_with(0).out;
        assert!(shown.contains(id(&run)) && shown.contains(EAST), "{shown}");
        let groups = bench.run(&["--json", "groups"]).ends_with(0).lines().remove(0);
        assert_eq!((&groups["group"], &groups["members"]), (&EAST.into(), &2.into()));
        bench.run(&["show", "run_nothing"]).ends_with(64);
        daemon.stop();
    }

    #[test]
    fn sync_and_plan_go_through_the_daemon() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let planned = bench.path("next.csv");
        std::fs::write(&planned, export(&["E1", "E2"])).unwrap();
        let planned = planned.to_str().unwrap();
        bench.run(&["plan", planned, "--detailed-exitcode"]).ends_with(2);
        assert_eq!(bench.history(), Vec::<Value>::new(), "a plan is nothing that happened");
        let detail = bench.sync("next.csv", &export(&["E1", "E2"])).ends_with(0).lines().remove(0);
        assert_eq!((&detail["run"]["state"], &detail["run"]["trigger"]), (&"completed".into(), &"manual".into()));
        bench.holds(EAST, &["E1", "E2"]);
        bench.run(&["plan", planned, "--detailed-exitcode"]).ends_with(0);
        bench.run(&["sync", bench.path("absent.csv").to_str().unwrap()]).ends_with(66);
        bench.sync("broken.csv", "Id,First\nE1,Ann\n").ends_with(65);
        bench.sync("empty.csv", "").ends_with(65);
        assert!(Path::new(planned).exists(), "what was given to sync stays where it is");
        daemon.stop();
    }

    #[test]
    fn a_file_that_is_still_written_is_left_alone_until_it_stands_still() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let text = export(&["E1", "E2", "E3", "E4"]);
        let (half, rest) = text.split_at(text.len() / 2);
        let mut file = std::fs::File::create(bench.inbox().join("slow.csv")).unwrap();
        file.write_all(half.as_bytes()).unwrap();
        // Another file, complete and dropped later, overtakes it as long as this one grows.
        bench.drop("other.csv", &export(&["E1"]));
        let mut rest = rest.as_bytes().iter();
        until("the other file", || {
            if let Some(byte) = rest.next() {
                file.write_all(&[*byte]).unwrap();
            }
            bench.history().into_iter().find(|run| run["file"]["name"] == "other.csv" && run["state"] == "completed")
        });
        assert!(bench.inbox().join("slow.csv").exists());
        file.write_all(rest.as_slice()).unwrap();
        drop(file);
        let run = bench.run_of("slow.csv", &["completed"]);
        assert_eq!(run["counts"]["rows"], 4);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        daemon.stop();
    }

    #[test]
    fn files_of_one_name_never_overwrite_each_other_and_known_content_is_a_duplicate() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("people.csv", &export(&["E1"]));
        bench.run_of("people.csv", &["completed"]);
        bench.drop("people.csv", &export(&["E1"]));
        bench.run_of("people.csv", &["duplicate"]);
        receipt(&bench, "duplicates", "people.csv", "Already received");
        bench.drop("people.csv", &export(&["E1", "E2"]));
        until("two completed runs", || {
            (bench.history().iter().filter(|run| run["state"] == "completed").count() == 2).then_some(())
        });
        bench.holds(EAST, &["E1", "E2"]);
        until("three exports with a receipt each", || {
            let filed = files(&bench.inbox());
            let exports = filed.iter().filter(|name| name.ends_with("people.csv")).count();
            let receipts = filed.iter().filter(|name| name.ends_with(".receipt.txt")).count();
            ((exports, receipts) == (3, 3)).then_some(())
        });
        assert_eq!(bench.sandbox().requests().len(), 2);
        daemon.stop();
    }

    #[test]
    fn a_broken_file_is_rejected_and_rows_to_mend_are_listed() {
        let bench = bench_with(&Settings { guards: "invalid_rows = \"off\"", ..Settings::default() });
        let daemon = bench.daemon();
        bench.drop("cut.csv", export(&["E1", "E2"]).trim_end_matches('\n').trim_end_matches(",east,Active"));
        bench.run_of("cut.csv", &["rejected"]);
        receipt(&bench, "rejected", "cut.csv", "Rejected: nothing of this file was applied.");
        assert_eq!(bench.sandbox().requests(), []);

        let text = export(&["E1", "E2", "E3"]).replacen("PA", "Pensilvania?", 1);
        bench.drop("rows.csv", &text);
        bench.run_of("rows.csv", &["completed"]);
        bench.holds(EAST, &["E2", "E3"]);
        let place = bench.inbox();
        let problems = files(&place).into_iter().find(|name| name.ends_with("_rows.csv.problems.csv")).unwrap();
        let problems = std::fs::read_to_string(place.join(problems)).unwrap();
        assert!(problems.contains("2,State,E1,bad_state,"), "{problems}");
        daemon.stop();
    }

    #[test]
    fn a_file_that_the_service_may_not_read_is_rejected_with_the_reason() {
        let bench = Bench::new();
        // Nobody forbids root anything: then the service runs as somebody else.
        let is_root = rustix::process::geteuid().is_root();
        let nobody = 65_534;
        let mut command = bench.command();
        if is_root {
            for path in [bench.dir.path().to_owned(), bench.path("in"), bench.inbox(), bench.path("key")] {
                chown(path, Some(nobody), Some(nobody)).unwrap();
            }
            command.uid(nobody).gid(nobody);
        }
        let daemon = Daemon::start(command.arg("run"));
        daemon.hears("ready");
        let aside = bench.path("private.csv");
        std::fs::write(&aside, export(&["E1"])).unwrap();
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(if is_root { 0o600 } else { 0o000 })).unwrap();
        std::fs::rename(&aside, bench.inbox().join("private.csv")).unwrap();
        daemon.hears("the export is rejected");
        receipt(&bench, "rejected", "private.csv", "service may not read the file");
        assert_eq!(files(&bench.inbox().join(".rosterd")), Vec::<String>::new());
        daemon.stop();
    }

    // === what a person decides ===

    /// A file that is held whole: most of its rows are gone.
    fn hold(bench: &Bench) -> Value {
        let people: Vec<String> = (0..20).map(|number| format!("E{number:02}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        bench.drop("full.csv", &export(&people));
        bench.run_of("full.csv", &["completed"]);
        bench.drop("short.csv", &export(&people[..4]));
        let run = bench.run_of("short.csv", &["held"]);
        receipt(bench, "held", "short.csv", "Held: nothing of this file was applied.");
        assert_eq!(bench.sandbox().roster(EAST).len(), 20);
        bench.run(&["status"]).ends_with(3);
        run
    }

    #[test]
    fn a_held_run_is_approved_as_far_as_it_was_shown() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let run = hold(&bench);
        bench.run(&["approve", id(&run)]).ends_with(64);
        bench.run(&["approve", id(&run), "--reason", "plant closed"]).ends_with(0);
        bench.holds(EAST, &["E00", "E01", "E02", "E03"]);
        let approved = bench.history().remove(0);
        assert_eq!((&approved["trigger"], &approved["state"]), (&"approve".into(), &"completed".into()));
        assert_eq!(approved["reason"], "plant closed");
        assert!(!approved["actor"].is_null());
        bench.run_of("short.csv", &["superseded"]);
        bench.run(&["status"]).ends_with(0);
        bench.run(&["approve", id(&run), "--reason", "again"]).ends_with(64);
        receipt(&bench, "processed", "short.csv", "Replaced");
        assert_eq!(files(&bench.inbox().join("held")), Vec::<String>::new(), "nothing waits any more");
        receipt(&bench, "processed", "short.csv", "Accepted and delivered.");
        daemon.stop();
    }

    #[test]
    fn a_held_run_is_discarded_and_changes_nobody() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let run = hold(&bench);
        bench.run(&["discard", id(&run), "--reason", "wrong file"]).ends_with(0);
        assert_eq!(bench.sandbox().roster(EAST).len(), 20);
        receipt(&bench, "processed", "short.csv", "Dropped");
        assert_eq!(files(&bench.inbox().join("held")), Vec::<String>::new(), "nothing waits any more");
        bench.run(&["status"]).ends_with(0);
        bench.run(&["approve", id(&run), "--reason", "no"]).ends_with(64);
        daemon.stop();
    }

    // === inboxes ===

    #[test]
    fn two_sources_are_served_at_once_and_one_in_trouble_does_not_stop_the_other() {
        let bench = bench_with(&Settings { sources: &["hris", "payroll"], ..Settings::default() });
        let daemon = bench.daemon();
        bench.drop("a.csv", &export(&["E1"]));
        std::fs::write(bench.inbox_of("payroll").join("b.csv"), export(&["P1"])).unwrap();
        bench.run_of("a.csv", &["completed"]);
        bench.run_of("b.csv", &["completed"]);
        bench.holds(EAST, &["E1"]);
        bench.holds("payroll-east", &["P1"]);

        delete(&bench.inbox());
        until("the status tells of it", || (bench.run(&["status"]).code == 66).then_some(()));
        std::fs::write(bench.inbox_of("payroll").join("c.csv"), export(&["P1", "P2"])).unwrap();
        bench.run_of("c.csv", &["completed"]);

        std::fs::create_dir(bench.inbox()).unwrap();
        bench.drop("d.csv", &export(&["E1", "E2"]));
        bench.run_of("d.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        bench.holds("payroll-east", &["P1", "P2"]);
        bench.run(&["status"]).ends_with(0);
        daemon.stop();
    }

    #[test]
    fn a_daemon_starts_without_an_inbox_and_serves_it_when_it_comes() {
        let bench = Bench::new();
        std::fs::remove_dir_all(bench.inbox()).unwrap();
        let checked = bench.run(&["check", "--offline"]).ends_with(0).out;
        assert!(checked.contains("WARN") && checked.contains("is not there"), "{checked}");
        let json = bench.run(&["--json", "check", "--offline"]).ends_with(0).lines();
        assert!(json[0]["checks"].as_array().unwrap().iter().any(|it| it["warning"] == true), "{json:?}");
        bench.run(&["check"]).ends_with(78);
        let daemon = bench.daemon();
        std::fs::create_dir(bench.inbox()).unwrap();
        bench.drop("a.csv", &export(&["E1"]));
        bench.run_of("a.csv", &["completed"]);
        daemon.stop();
        bench.run(&["check", "--offline"]).ends_with(0);
    }

    // === the process ===

    #[test]
    fn sigterm_finishes_what_is_under_way_and_leaves_no_socket() {
        let script = Script { latency: Duration::from_millis(700), ..Script::default() };
        let bench = Bench::with(&Settings::default(), script);
        let mut daemon = bench.daemon();
        bench.drop("a.csv", &export(&["E1"]));
        daemon.hears("submitting");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended(), 0, "{}", daemon.log());
        let log = daemon.log();
        assert!(log.contains("accepted") && log.contains("stopped"), "the answer was waited for: {log}");
        assert!(!bench.path("control.sock").exists());

        // Without a daemon the command looks for itself, and the next daemon polls the same request on.
        let status = bench.run(&["--json", "status"]).lines().remove(0);
        assert!(status["daemon"].is_null());
        assert_eq!(status["under_way"][0]["phase"], "accepted");
        let daemon = bench.daemon();
        bench.run_of("a.csv", &["completed"]);
        bench.holds(EAST, &["E1"]);
        assert_eq!(bench.sandbox().requests().len(), 1);
        receipt(&bench, "processed", "a.csv", "Accepted and delivered.");
        daemon.stop();
    }

    #[test]
    fn without_a_daemon_commands_open_the_state_themselves() {
        let bench = Bench::new();
        bench.sync("a.csv", &export(&["E1"])).ends_with(0);
        assert_eq!(bench.history().len(), 1);
        let status = bench.run(&["--json", "status"]).ends_with(0).lines().remove(0);
        assert!(status["daemon"].is_null());
        assert_eq!(bench.run(&["--json", "groups"]).ends_with(0).lines().len(), 1);
        // A socket that a crash left is no daemon either.
        drop(std::os::unix::net::UnixListener::bind(bench.path("control.sock")).unwrap());
        assert_eq!(bench.history().len(), 1);
        let daemon = bench.daemon();
        assert_eq!(bench.history().len(), 1);
        daemon.stop();
    }

    #[test]
    fn sighup_takes_a_good_config_over_and_keeps_going_with_a_bad_one() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let good = std::fs::read_to_string(bench.path("config.toml")).unwrap();
        std::fs::write(bench.path("config.toml"), format!("mod = \"apply\"\n{good}")).unwrap();
        daemon.signal(Signal::HUP);
        daemon.hears("the config is not good, the old one is kept");
        std::fs::write(bench.path("config.toml"), &good).unwrap();
        bench.drop("a.csv", &export(&["E1"]));
        bench.run_of("a.csv", &["completed"]);

        std::fs::create_dir(bench.inbox_of("payroll")).unwrap();
        bench.configure(&Settings { sources: &["hris", "payroll"], ..Settings::default() });
        daemon.signal(Signal::HUP);
        daemon.hears_times("ready", 2);
        std::fs::write(bench.inbox_of("payroll").join("b.csv"), export(&["P1"])).unwrap();
        bench.run_of("b.csv", &["completed"]);
        bench.drop("c.csv", &export(&["E1", "E2"]));
        bench.run_of("c.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        let log = daemon.stop();
        assert!(log.contains("did you mean") || log.contains("mod"), "{log}");
    }

    #[test]
    fn a_second_daemon_is_refused_and_says_why() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let second = bench.run(&["run"]).ends_with(69);
        assert!(second.err.contains("already") || second.err.contains("in use"), "{second:#?}");
        // Another socket, the same state.
        let text = std::fs::read_to_string(bench.path("config.toml")).unwrap();
        std::fs::write(bench.path("other.toml"), text.replace("control.sock", "other.sock")).unwrap();
        let third = bench.run_with("other.toml", &["run"]).ends_with(69);
        assert!(third.err.contains("in use"), "{third:#?}");
        assert!(!bench.path("other.sock").exists());
        bench.drop("a.csv", &export(&["E1"]));
        bench.run_of("a.csv", &["completed"]);
        daemon.stop();
    }

    #[test]
    fn the_service_manager_is_told_of_the_start_the_pulse_and_the_stop() {
        let script = Script { latency: Duration::from_secs(1), ..Script::default() };
        let bench = Bench::with(&Settings { timeout: "10s", ..Settings::default() }, script);
        let path = bench.path("notify.sock");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let told = || {
            let mut buffer = [0; 4096];
            let length = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let mut command = bench.command();
        command.arg("run").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        let mut daemon = Daemon::start(&mut command);
        let mut said = String::new();
        while !said.contains("READY=1") || said.matches("WATCHDOG=1").count() < 2 {
            said.push_str(&told());
        }
        // A stop that has to wait for a request under way goes on pinging meanwhile.
        bench.drop("a.csv", &export(&["E1"]));
        daemon.hears("submitting");
        daemon.signal(Signal::TERM);
        while !told().contains("STOPPING=1") {}
        let mut pulses = 0;
        while pulses < 2 {
            assert!(told().contains("WATCHDOG=1"));
            pulses += 1;
        }
        assert_eq!(daemon.ended(), 0, "{}", daemon.log());
    }

    #[test]
    fn state_socket_and_claimed_files_are_private() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("a.csv", &export(&["E1"]));
        bench.run_of("a.csv", &["completed"]);
        assert_eq!(mode(&bench.path("state")), 0o700);
        assert_eq!(mode(&bench.path("control.sock")), 0o660);
        assert_eq!(mode(&bench.inbox().join(".rosterd")) & 0o077, 0);
        for file in files(&bench.path("state")) {
            let mode = mode(&bench.path("state").join(&file));
            assert_eq!(mode & 0o077, 0, "{file} has {mode:o}");
        }
        daemon.stop();
    }

    #[test]
    fn a_full_disk_ends_the_daemon_and_the_next_one_goes_on_where_it_stopped() {
        let bench = Bench::new();
        let mut command = bench.command();
        // A write beyond the limit is answered like one beyond the disk's end, instead of by the signal.
        command.arg("run");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut daemon = Daemon::start(&mut shell);
        daemon.hears("ready");
        bench.drop("a.csv", &export(&["E1"]));
        bench.run_of("a.csv", &["completed"]);
        let limit = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
        rustix::process::prlimit(Some(daemon.pid()), rustix::process::Resource::Fsize, limit).unwrap();
        bench.drop("b.csv", &export(&["E1", "E2"]));
        assert_eq!(daemon.ended(), 74, "{}", daemon.log());
        assert!(daemon.log().contains("the disk that holds the state is full"), "{}", daemon.log());
        assert!(!bench.path("control.sock").exists());

        let daemon = bench.daemon();
        bench.run_of("b.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        daemon.stop();
    }

    #[test]
    fn the_exit_code_of_status_says_what_needs_a_person() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.run(&["status"]).ends_with(0);
        let run = hold(&bench);
        bench.run(&["status"]).ends_with(3);
        delete(&bench.inbox());
        until("a missing inbox", || (bench.run(&["status"]).code == 66).then_some(()));
        bench.sandbox().accept_only(vec![SecretString::from("vit_apk_other")]);
        bench.run(&["retry", EAST]).ends_with(69);
        drop(run);
        daemon.stop();
    }

    /// Lines for the first source of a bench.
    fn schedule(bench: &Bench, lines: &str) {
        let path = bench.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("settle = \"1s\"", &format!("settle = \"1s\"\n{lines}"), 1)).unwrap();
    }

    #[test]
    fn an_export_that_does_not_come_is_told_by_status_and_its_exit_code_with_a_daemon_and_without() {
        let bench = Bench::new();
        schedule(&bench, "expect_by = \"* * * * * *\"");
        let checked = bench.run(&["check", "--offline"]).ends_with(0).out;
        assert!(checked.contains("next export expected by"), "{checked}");
        bench.run(&["status"]).ends_with(0);
        bench.sync("broken.csv", "Id\nE1\n").ends_with(65);
        until("the alarm of a source that never delivered", || (bench.run(&["status"]).code == 66).then_some(()));
        bench.sync("a.csv", &export(&["E1"])).ends_with(0);
        let status = until("the next alarm", || {
            let said = bench.run(&["--json", "status"]);
            (said.code == 66).then(|| said.lines().remove(0))
        });
        let source = &status["sources"][0];
        assert!(source["overdue_since"].is_string() && source["expected_by"].is_string(), "{source}");
        assert!(source["not_accepted"].is_null(), "{source}");
        let daemon = bench.daemon();
        daemon.hears("no export was accepted in time");
        let said = bench.run(&["status"]).ends_with(66);
        assert!(said.out.contains("The export of hris is overdue."), "{}", said.out);
        daemon.stop();
    }

    #[test]
    fn the_same_file_as_of_a_later_day_is_looked_at_again_without_a_daemon() {
        let bench = Bench::new();
        let path = bench.path("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + "start = \"Hired\"\n").unwrap();
        let text = export(&["E1", "E2"]);
        let lines: Vec<&str> = text.lines().collect();
        let text = format!("{},Hired\n{},2020-01-01\n{},2999-06-01\n", lines[0], lines[1], lines[2]);
        bench.sync("people.csv", &text).ends_with(0);
        bench.holds(EAST, &["E1"]);
        let file = bench.path("people.csv");
        let file = file.to_str().unwrap();
        let planned = bench.run(&["--json", "plan", file, "--as-of", "2999-06-01"]).ends_with(0).lines().remove(0);
        assert_eq!(planned["groups"][0]["new"], serde_json::json!(["E2"]));
        let same = bench.run(&["--json", "sync", file, "--as-of", "2999-05-31"]).ends_with(0).lines().remove(0);
        assert_eq!(same["run"]["state"], "duplicate");
        let due = bench.run(&["--json", "sync", file, "--as-of", "2999-06-01"]).ends_with(0).lines().remove(0);
        assert_eq!((&due["run"]["state"], &due["run"]["counts"]["new"]), (&"completed".into(), &1.into()));
        assert!(due["run"]["repeats"]["run"].is_string(), "{due}");
        bench.holds(EAST, &["E1", "E2"]);
        // What a person looked ahead to is not undone by the day that it is.
        let again = bench.run(&["--json", "sync", file]).ends_with(0).lines().remove(0);
        assert_eq!(again["run"]["state"], "duplicate");
        bench.holds(EAST, &["E1", "E2"]);
    }

    #[test]
    fn one_group_that_is_refused_does_not_stop_the_others() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("a.csv", &export_of([("E1", "east", "Active"), ("W1", "west", "Active")]));
        bench.run_of("a.csv", &["completed"]);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::Status).status(422).group(EAST)).unwrap();
        bench.drop(
            "b.csv",
            &export_of([
                ("E1", "east", "Active"),
                ("E2", "east", "Active"),
                ("W1", "west", "Active"),
                ("W2", "west", "Active"),
            ]),
        );
        bench.run_of("b.csv", &["partial"]);
        bench.holds(EAST, &["E1"]);
        bench.holds("hris-west", &["W1", "W2"]);
        bench.drop(
            "c.csv",
            &export_of(
                [("E1", "east", "Active"), ("E2", "east", "Active"), ("W1", "west", "Active")]
                    .into_iter()
                    .chain([("W2", "west", "Active"), ("W3", "west", "Active")]),
            ),
        );
        bench.run_of("c.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        daemon.stop();
    }
}
