//! Names, birth dates, addresses, phones and e-mails are in no log, message, receipt or JSON, and the key is nowhere. A
//! roster of marked people goes through daemon and commands with everything logged that can be.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use rosterd::sandbox::script::{FailOn, Fault, On, Rule, Script};

    use super::bench::{Bench, Daemon, KEY, Said, Settings, files};

    /// In every word of a person, in whatever case.
    const MARK: &str = "zzmark";
    /// Of the cells that take no letters: as written, as normalised, and as somebody might print them.
    const NUMBERS: &[&str] = &[
        "1971-11-23",
        "11/23/1971",
        "23.11.1971",
        "19711123",
        "2675550142",
        "267-555-0142",
        "(267) 555-0142",
        "+12675550142",
        "19147-2233",
        "191472233",
    ];
    /// What the API says of a person. It may name them; `show` repeats it, and nothing else does.
    const REASON: &str =
        "Zzmarkfirst Zzmarklast (zzmark.e1@mail.example, 2675550142), born 1971-11-23, is active elsewhere";

    const HEADER: &str = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n";

    fn person(id: &str) -> String {
        format!(
            "{id},Zzmarkfirst,Zzmarklast,1971-11-23,zzmark.{}@mail.example,(267) 555-0142,77 Zzmark Street,Zzmarkville,PA,\
             191472233,east,Active\n",
            id.to_lowercase()
        )
    }

    fn people(ids: &[&str]) -> String {
        ids.iter().fold(HEADER.to_owned(), |text, id| text + &person(id))
    }

    /// Rows with a marked cell in every place that cannot be read.
    fn invalid() -> String {
        let mut text = people(&["E1", "E2", "E3"]);
        let good = person("X");
        for (number, (from, to)) in [
            ("1971-11-23", "23.Zzmark.1971"),
            ("1971-11-23", "2171-11-23"),
            (",PA,", ",Zzmarkstate,"),
            ("191472233", "Zzmarkzip"),
            ("Zzmarklast", ""),
            ("zzmark.x@mail.example", "zzmark at mail"),
            ("(267) 555-0142", "zzmark 12 (267) 555-0142 x"),
            ("77 Zzmark Street", "\"77 Zzmark\u{7} \"\"Street\"\"\""),
            ("Active\n", "Active,Zzmark extra cell\n"),
            ("east", ""),
            ("Zzmarkfirst", "\u{202e}Zzmarkfirst"),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(good.contains(from), "{from}");
            text.push_str(&good.replacen("X,", &format!("B{number},"), 1).replacen(from, to, 1));
        }
        // Two rows of one person that contradict each other; an id that a spreadsheet destroyed; one that is not there.
        text.push_str(&person("E9"));
        text.push_str(&person("E9").replace("Zzmarkfirst", "Otherzzmark"));
        text.push_str(&person("X").replacen("X,", "1.23E+05,", 1));
        text.push_str(&person("X").replacen("X,", ",", 1));
        text
    }

    /// Files that cannot be used at all, each in its way.
    fn broken() -> Vec<(&'static str, Vec<u8>)> {
        let good = people(&["E1", "E2"]);
        let mut undecodable = good.clone().into_bytes();
        undecodable.extend_from_slice(b"E3,Zzmark\x00\x01\xff\xfe\x81,Zzmarklast\n");
        vec![
            ("cut.csv", good.trim_end().trim_end_matches(",east,Active").as_bytes().to_vec()),
            ("quote.csv", good.replacen("Zzmarklast", "\"Zzmarklast", 1).into_bytes()),
            ("headless.csv", person("E1").into_bytes()),
            ("column.csv", good.replacen("Born", "Birthday", 1).into_bytes()),
            ("binary.csv", undecodable),
            ("invalid.csv", format!("{HEADER}{}", person("E1").replace("1971-11-23", "Zzmark")).into_bytes()),
        ]
    }

    /// The places of a text that hold something of a person or of the key.
    fn leaks(text: &str) -> Vec<String> {
        let lower = text.to_lowercase();
        let bytes = |word: &str| word.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let mut wanted = vec![MARK.to_owned(), bytes(MARK), bytes("Zzmark"), KEY.to_lowercase(), bytes(KEY)];
        wanted.extend(NUMBERS.iter().map(|number| (*number).to_owned()));
        let mut found = Vec::new();
        for wanted in wanted {
            if let Some(at) = lower.find(&wanted) {
                let around: String = lower
                    .chars()
                    .skip(lower.get(..at).unwrap().chars().count().saturating_sub(150))
                    .take(300)
                    .collect();
                found.push(format!("{wanted}: …{around}…"));
            }
        }
        found
    }

    /// Everything that was said, by who said it.
    #[derive(Default)]
    struct Ears(Vec<(String, String)>);

    impl Ears {
        fn hear(&mut self, who: &str, said: &Said) {
            self.0.push((format!("{who}: stderr"), said.err.clone()));
            // The words of the API about a person, which `show` is for.
            let out = said.out.replace(REASON, "");
            let is_show = who.starts_with("show") || who.starts_with("sync");
            self.0.push((format!("{who}: stdout"), if is_show { out } else { said.out.clone() }));
        }

        fn check(&self) {
            let mut report = String::new();
            for (who, text) in &self.0 {
                for leak in leaks(text) {
                    writeln!(report, "{who}\n    {leak}").unwrap();
                }
            }
            assert!(report.is_empty(), "{report}");
        }
    }

    fn settings() -> Settings {
        Settings {
            guards: "invalid_rows = \"off\"\nfield_changed = \"off\"\nidentity_changes = \"off\"",
            ..Settings::default()
        }
    }

    /// The whole story: a daemon, dropped files of every kind, and every command while it runs and after.
    fn story(log: &str) {
        let bench = Bench::with(&settings(), Script::default());
        let mut ears = Ears::default();
        let mut command = bench.command();
        let daemon = Daemon::start(command.args(["--log", log, "run"]).env("RUST_LOG", "trace"));
        daemon.hears("ready");

        bench.drop("first.csv", &people(&["E1", "E2", "E3"]));
        bench.run_of("first.csv", &["completed"]);
        bench.sandbox().fail_next("E4", FailOn::Add, REASON);
        bench.sandbox().misbehave(Rule::new(On::Submit, Fault::AcceptThenReset)).unwrap();
        bench.sandbox().misbehave(Rule::new(On::Poll, Fault::BrokenJson)).unwrap();
        bench.drop("second.csv", &people(&["E1", "E2", "E3", "E4"]).replace("Zzmarkville", "Newzzmarktown"));
        let failed = bench.run_of("second.csv", &["partial", "completed"]);
        bench.drop("invalid.csv", &invalid());
        bench.run_of("invalid.csv", &["completed", "partial", "unchanged", "held"]);
        for (name, bytes) in broken() {
            std::fs::write(bench.inbox().join(format!("broken-{name}")), bytes).unwrap();
            bench.run_of(&format!("broken-{name}"), &["rejected"]);
        }
        commands(&bench, &mut ears, log, failed["run"].as_str().unwrap());
        ears.0.push(("daemon".to_owned(), daemon.stop()));
        commands(&bench, &mut ears, log, failed["run"].as_str().unwrap());

        let told = files(&bench.inbox());
        let told: Vec<_> =
            told.iter().filter(|name| name.ends_with(".receipt.txt") || name.ends_with(".problems.csv")).collect();
        assert!(8 <= told.len(), "{told:?}");
        for name in told {
            ears.0.push((name.clone(), std::fs::read_to_string(bench.inbox().join(name)).unwrap()));
        }
        // That there is something to find, and that it would be found.
        assert!(ears.0.iter().any(|(who, text)| who == "daemon" && text.contains("member sync")), "nothing was traced");
        assert_eq!(leaks("a Zzmark in it").len(), 1);
        ears.check();
        bench
            .sandbox()
            .roster("hris-east")
            .get("E1")
            .map(|stored| leaks(&stored.to_string()))
            .filter(|found| !found.is_empty())
            .unwrap();
    }

    /// Every command that says anything, for people and as JSON, and those that fail.
    fn commands(bench: &Bench, ears: &mut Ears, log: &str, run: &str) {
        let batch = bench.run(&["--json", "show", run]).ends_with(0).lines().remove(0);
        let batch = batch["batches"][0]["batch"].as_str().unwrap().to_owned();
        for (name, text) in [("people.csv", people(&["E1", "E5"]).into_bytes()), ("rows.csv", invalid().into_bytes())]
            .into_iter()
            .chain(broken())
        {
            std::fs::write(bench.path(name), text).unwrap();
        }
        let file = |name: &str| bench.path(name).to_str().unwrap().to_owned();
        let asked: Vec<Vec<String>> = [
            vec!["history"],
            vec!["status"],
            vec!["groups"],
            vec!["show", run],
            vec!["show", &batch],
            vec!["check"],
            vec!["groups", "show", "hris-east"],
            vec!["plan", &file("people.csv")],
            vec!["plan", &file("rows.csv")],
            vec!["check", &file("people.csv")],
            vec!["check", &file("rows.csv")],
            vec!["sync", &file("rows.csv")],
            vec!["sync", &file("cut.csv")],
            vec!["plan", &file("quote.csv")],
            vec!["check", &file("headless.csv")],
            vec!["plan", &file("column.csv")],
            vec!["plan", &file("binary.csv")],
            vec!["check", &file("binary.csv")],
            vec!["check", &file("invalid.csv")],
            vec!["retry", "hris-east"],
            vec!["retry", "nowhere"],
            vec!["show", "nothing"],
            vec!["member", "E1"],
            vec!["member", "E4"],
            vec!["member", "B1"],
            vec!["member", "e1"],
            vec!["roster", "hris-east"],
            vec!["roster", "hris-east", "--at", "2020-01-01"],
            vec!["revert", "bat_1", "--reason", "because"],
            vec!["revert", &batch, "--reason", "because"],
        ]
        .into_iter()
        .map(|words| words.into_iter().map(str::to_owned).collect())
        .collect();
        for words in asked {
            for json in [false, true] {
                let mut command = bench.command();
                command.args(["--log", log]).env("RUST_LOG", "trace").args(json.then_some("--json")).args(&words);
                let output = command.output().unwrap();
                let said = Said {
                    code: output.status.code().unwrap(),
                    out: String::from_utf8(output.stdout).unwrap(),
                    err: String::from_utf8(output.stderr).unwrap(),
                };
                assert!(!said.out.is_empty() || !said.err.is_empty(), "{words:?} said nothing");
                ears.hear(&words.join(" "), &said);
            }
        }
    }

    #[test]
    fn nobody_is_named_in_the_pretty_log_or_by_any_command() {
        story("pretty");
    }

    #[test]
    fn nobody_is_named_in_the_json_log_or_by_any_command() {
        story("json");
    }

    /// Set for the process that panics.
    const CHILD: &str = "ROSTERD_PRIVACY_CHILD";

    /// Not a test of its own: a process with the binary's logger, in which something panics over a record.
    #[test]
    #[ignore = "run by the other test, in a process of its own"]
    fn panic_over_a_person() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        rosterd::cli::logging::start(None, true);
        rosterd::cli::logging::hush_panics();
        let row = people(&["E1"]);
        let ended =
            std::thread::spawn(move || row.parse::<u64>().map_err(|error| format!("{row}: {error}")).unwrap()).join();
        assert!(ended.is_err());
        std::process::abort();
    }

    #[test]
    fn a_defect_says_where_it_is_and_names_nobody() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::panic_over_a_person", "--ignored", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(!output.status.success());
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(err.contains("a defect") && err.contains("tests/privacy.rs:"), "{err}");
        for text in [out.to_lowercase(), err.to_lowercase()] {
            assert!(!text.contains(MARK), "{text}");
            assert!(NUMBERS.iter().all(|number| !text.contains(number)), "{text}");
        }
    }

    #[test]
    fn a_key_that_is_refused_or_useless_is_not_repeated() {
        let bench = Bench::with(&settings(), Script::default());
        let mut ears = Ears::default();
        bench.sandbox().accept_only(Vec::new());
        let mut refused = |what: &str| {
            let output = bench.command().args(["--log", "pretty", "groups"]).env("RUST_LOG", "trace").output().unwrap();
            ears.0.push((what.to_owned(), String::from_utf8(output.stderr).unwrap()));
            output.status.code().unwrap()
        };
        assert_eq!(refused("refused"), 69);
        bench.write_key(&format!("{KEY}\nsecond line {KEY}\n"));
        assert_eq!(refused("two lines"), 78);
        bench.write_key(&format!("{KEY}\u{7f}"));
        assert_eq!(refused("a control character"), 78);
        // In the config by mistake.
        let text = std::fs::read_to_string(bench.path("config.toml")).unwrap();
        std::fs::write(bench.path("config.toml"), text.replace("[api]\n", &format!("[api]\napi_key = \"{KEY}\"\n")))
            .unwrap();
        bench.write_key(KEY);
        assert_eq!(refused("in the config"), 78);
        ears.check();
    }
}
