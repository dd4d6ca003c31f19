//! Backups: the state in a file and back, with the real binary. What comes back is held until a person has looked at it, and a file
//! that is damaged never takes the place of anything.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::bench::{Bench, Said, export, files, until};

    const EAST: &str = "hris-east";

    fn words(said: &Said) -> String {
        said.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Two days on record, and a backup of the first in between.
    fn two_days() -> (Bench, String) {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2", "E3", "E4", "E5"])).ends_with(0);
        let backup = bench.path("monday.backup").to_str().unwrap().to_owned();
        bench.run(&["backup", &backup]).ends_with(0);
        bench.sync("day2.csv", &export(&["E1", "E2", "E3", "E4", "E5", "E6"])).ends_with(0);
        (bench, backup)
    }

    #[test]
    fn a_restored_state_is_an_older_one_and_nothing_is_sent_before_somebody_approved_it() {
        let (bench, backup) = two_days();
        let said = words(&bench.run(&["restore", &backup]).ends_with(0));
        assert!(said.starts_with("The state is as it was on "), "{said}");
        assert!(said.contains("the next export of every source is held"), "{said}");
        let aside: Vec<String> =
            files(&bench.path("state")).into_iter().filter(|file| file.starts_with("replaced-")).collect();
        assert!(aside.iter().any(|file| file.ends_with("/store.json")), "{aside:?}");
        assert!(aside.iter().any(|file| file.contains("/db/")), "{aside:?}");

        let status = words(&bench.run(&["status"]).ends_with(3));
        assert!(status.contains("was restored from a backup of"), "{status}");
        // E6 came after the backup: this state knows nothing of them, and the file lacks them.
        let held = bench.sync("day3.csv", &export(&["E1", "E2", "E3", "E4", "E7"])).ends_with(3).lines().remove(0);
        assert_eq!(held["run"]["state"], "held");
        bench.holds(EAST, &["E1", "E2", "E3", "E4", "E5", "E6"]);
        let run = held["run"]["run"].as_str().unwrap();
        bench.run(&["approve", run, "--reason", "compared"]).ends_with(0);
        bench.holds(EAST, &["E1", "E2", "E3", "E4", "E7"]);
        bench.sync("day4.csv", &export(&["E1", "E2", "E3", "E4", "E7", "E8"])).ends_with(0);
        bench.run(&["verify"]).ends_with(0);
    }

    #[test]
    fn a_running_daemon_hands_its_backup_over_and_goes_on() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2"]));
        bench.run_of("day1.csv", &["completed"]);
        let path = bench.path("live.backup");
        let said = bench.run(&["--json", "backup", path.to_str().unwrap()]).ends_with(0).lines().remove(0);
        assert_eq!((&said["groups"], &said["runs"], &said["batches"]), (&1.into(), &1.into(), &1.into()));
        assert_eq!(said["bytes"], std::fs::metadata(&path).unwrap().len());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it holds personal data");
        let checked = bench.run(&["--json", "verify", path.to_str().unwrap()]).ends_with(0).lines().remove(0);
        assert_eq!(checked["records"], said["records"]);
        assert!(words(&bench.run(&["verify"]).ends_with(0)).starts_with("Everything on record is whole"));
        let refused = bench.run(&["restore", path.to_str().unwrap()]).ends_with(69);
        assert!(refused.err.contains("a daemon has the state open: stop it first"), "{}", refused.err);
        bench.drop("day2.csv", &export(&["E1", "E2", "E3"]));
        bench.run_of("day2.csv", &["completed"]);
        daemon.stop();
    }

    #[test]
    fn a_backup_that_is_damaged_anywhere_replaces_nothing() {
        let (bench, backup) = two_days();
        let whole = std::fs::read(&backup).unwrap();
        let before = bench.run(&["--json", "history"]).ends_with(0).out;
        let mut spoilt: Vec<(String, Vec<u8>)> = Vec::new();
        for part in 0..16 {
            let at = whole.len() * part / 16;
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            spoilt.push((format!("byte {at} flipped"), flipped));
            spoilt.push((format!("cut at {at}"), whole[..at].to_vec()));
        }
        let mut longer = whole.clone();
        longer.push(0);
        spoilt.push(("a byte too many".to_owned(), longer));
        for (how, bytes) in spoilt {
            let path = bench.path("spoilt.backup");
            std::fs::write(&path, bytes).unwrap();
            for command in ["verify", "restore"] {
                let said = bench.run(&[command, path.to_str().unwrap()]);
                assert!(
                    [65, 74].contains(&said.code),
                    "{how}: {command} ended with {}: {}{}",
                    said.code,
                    said.out,
                    said.err
                );
                assert!(!said.err.contains("panicked"), "{how}: {}", said.err);
            }
        }
        assert_eq!(bench.run(&["--json", "history"]).ends_with(0).out, before, "nothing was replaced");
        assert!(!bench.path("state/restore.new").exists(), "half a state with people's data was left lying");
        bench.run(&["restore", &backup]).ends_with(0);
    }

    #[test]
    fn a_backup_replaces_an_older_backup_and_nothing_else() {
        let (bench, backup) = two_days();
        bench.run(&["backup", &backup]).ends_with(0);
        let checked = bench.run(&["--json", "verify", &backup]).ends_with(0).lines().remove(0);
        assert_eq!(checked["runs"], 2, "the newer one");
        let export = bench.path("staff.csv");
        std::fs::write(&export, "Id\n1\n").unwrap();
        let said = bench.run(&["backup", export.to_str().unwrap()]).ends_with(65);
        assert!(said.err.contains("it is something else, and was left alone"), "{}", said.err);
        assert_eq!(std::fs::read_to_string(&export).unwrap(), "Id\n1\n");
        bench.run(&["backup", bench.path("no/such/folder/x").to_str().unwrap()]).ends_with(74);
    }

    #[test]
    fn a_backup_of_another_api_is_refused() {
        let (bench, backup) = two_days();
        let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
        std::fs::write(bench.path("other.toml"), config.replace(&bench.server.url, "http://127.0.0.1:9")).unwrap();
        let said = bench.run_with("other.toml", &["restore", &backup]).ends_with(65);
        assert!(said.err.contains("and the config says http://"), "{}", said.err);
    }

    #[test]
    fn a_lost_state_comes_back_from_the_backup_that_the_daemon_made_by_itself() {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        // A state with records and without a backup waits for nothing.
        let daemon = bench.daemon();
        daemon.hears("backup made");
        let status = bench.run(&["--json", "status"]).ends_with(0).lines().remove(0);
        assert_eq!(status["backup"]["kept"], 1);
        assert_eq!(status["backup"]["trouble"], serde_json::Value::Null);
        daemon.stop();
        let folder = PathBuf::from(status["backup"]["folder"].as_str().unwrap());
        let backup = bench.path("kept");
        std::fs::rename(&folder, &backup).unwrap();
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        let backup = backup.join(files(&backup).remove(0));
        bench.run(&["restore", backup.to_str().unwrap()]).ends_with(0);
        let roster = bench.run(&["--json", "roster", EAST]).ends_with(0);
        assert_eq!(roster.lines().len(), 2);
    }

    #[test]
    fn a_backup_that_cannot_be_made_is_said_in_status_and_stops_nothing() {
        let bench = Bench::new();
        bench.sync("day1.csv", &export(&["E1", "E2"])).ends_with(0);
        // A file stands where the folder should be.
        std::fs::write(bench.path("state/backups"), "").unwrap();
        let daemon = bench.daemon();
        daemon.hears("the backup cannot be made");
        let said = until("the trouble", || {
            let said = bench.run(&["status"]);
            (said.code == 74).then_some(said)
        });
        let said = words(&said);
        assert!(said.starts_with("The state cannot be backed up."), "{said}");
        assert!(said.contains("tried again within the hour"), "{said}");
        bench.drop("day2.csv", &export(&["E1", "E2", "E3"]));
        bench.run_of("day2.csv", &["completed"]);
        daemon.stop();
    }
}
