//! The disk under rosterd's feet: full, read-only, taken away, given back. What is wrong is said, nothing is half done, and it goes on
//! when the cause is gone; a restart stands for what the service manager does after exit 74.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::Command;

    use super::bench::{Bench, Daemon, Said, delete, export, files, until};

    const EAST: &str = "hris-east";

    fn words(said: &Said) -> String {
        said.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_state_that_is_deleted_under_the_daemon_ends_it_and_the_next_start_trusts_nothing() {
        let bench = Bench::new();
        let mut daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2", "E3"]));
        bench.run_of("day1.csv", &["completed"]);
        let requests = bench.sandbox().requests().len();
        delete(&bench.path("state"));
        // E3 is not in it: sent from a state that nobody will ever read again, that would be a removal without a record.
        bench.drop("day2.csv", &export(&["E1", "E2"]));
        assert_eq!(daemon.ended(), 74, "{}", daemon.log());
        assert!(daemon.log().contains("the state directory"), "{}", daemon.log());
        assert_eq!(bench.sandbox().requests().len(), requests, "nothing is sent without a record");
        // The service manager starts it again.
        let again = bench.daemon();
        let status = until("the held export", || {
            let said = bench.run(&["status"]);
            (said.code == 3 && words(&said).contains("waits for a decision")).then_some(said)
        });
        assert!(words(&status).contains("The record of who is covered is lost"), "{}", words(&status));
        bench.holds(EAST, &["E1", "E2", "E3"]);
        again.stop();
    }

    #[test]
    fn a_state_that_is_moved_away_and_back_goes_on_where_it_was() {
        let bench = Bench::new();
        let mut daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2", "E3"]));
        bench.run_of("day1.csv", &["completed"]);
        std::fs::rename(bench.path("state"), bench.path("away")).unwrap();
        bench.drop("day2.csv", &export(&["E1", "E2", "E3", "E4"]));
        assert_eq!(daemon.ended(), 74, "{}", daemon.log());
        std::fs::rename(bench.path("away"), bench.path("state")).unwrap();
        let again = bench.daemon();
        bench.run_of("day2.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        assert!(words(&bench.run(&["verify"]).ends_with(0)).starts_with("Everything on record is whole"));
        again.stop();
    }

    #[test]
    fn an_inbox_that_is_deleted_is_said_and_served_again_when_it_is_back() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1"]));
        bench.run_of("day1.csv", &["completed"]);
        delete(&bench.inbox());
        let status = until("the trouble", || {
            let said = bench.run(&["status"]);
            (said.code == 66).then_some(said)
        });
        assert!(words(&status).to_lowercase().contains("the inbox of hris is in trouble"), "{}", words(&status));
        std::fs::create_dir(bench.inbox()).unwrap();
        bench.drop("day2.csv", &export(&["E1", "E2"]));
        bench.run_of("day2.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2"]);
        until("the end of the trouble", || (bench.run(&["status"]).code == 0).then_some(()));
        daemon.stop();
    }

    #[test]
    fn permissions_that_are_taken_away_under_way_are_said_and_nothing_is_lost_when_they_are_back() {
        let bench = Bench::new();
        // Nobody forbids root anything: then the service runs as somebody else.
        let nobody = 65_534;
        let mut command = bench.command();
        if rustix::process::geteuid().is_root() {
            for path in [bench.dir.path().to_owned(), bench.path("in"), bench.inbox(), bench.path("key")] {
                chown(path, Some(nobody), Some(nobody)).unwrap();
            }
            command.uid(nobody).gid(nobody);
        }
        let daemon = Daemon::start(command.arg("run"));
        daemon.hears("ready");
        let allow = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        bench.drop("day1.csv", &export(&["E1", "E2"]));
        bench.run_of("day1.csv", &["completed"]);
        bench.drop("day2.csv", &export(&["E1", "E2", "E3"]));
        allow(&bench.inbox(), 0o000);
        let status = until("the trouble", || {
            let said = bench.run(&["status"]);
            (said.code == 66).then_some(said)
        });
        assert!(words(&status).to_lowercase().contains("the inbox of hris is in trouble"), "{}", words(&status));
        assert!(words(&status).contains("Permission denied"), "{}", words(&status));
        allow(&bench.inbox(), 0o755);
        bench.run_of("day2.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        until("the end of the trouble", || (bench.run(&["status"]).code == 0).then_some(()));
        // The export can be read, and not be moved where it belongs.
        allow(&bench.inbox().join("processed"), 0o500);
        for folder in std::fs::read_dir(bench.inbox().join("processed")).unwrap() {
            allow(&folder.unwrap().path(), 0o500);
        }
        bench.drop("day3.csv", &export(&["E1", "E2", "E3", "E4"]));
        until("its roster", || (bench.sandbox().roster(EAST).len() == 4).then_some(()));
        for folder in std::fs::read_dir(bench.inbox().join("processed")).unwrap() {
            allow(&folder.unwrap().path(), 0o755);
        }
        allow(&bench.inbox().join("processed"), 0o755);
        daemon.stop();
        // What could not be filed is, at the next start.
        let again = bench.daemon();
        until("the export among the processed", || {
            files(&bench.inbox().join("processed")).iter().any(|file| file.ends_with("_day3.csv")).then_some(())
        });
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        again.stop();
    }

    /// A file system of a few megabytes; none where it cannot be mounted.
    struct Small<'a> {
        at: &'a Path,
    }

    impl<'a> Small<'a> {
        fn mount(at: &'a Path, options: &str) -> Option<Self> {
            std::fs::create_dir_all(at).unwrap();
            let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
            let is_done = done.is_ok_and(|done| done.status.success());
            if !is_done {
                println!("NOT RUN: a tmpfs cannot be mounted here (it takes root)");
            }
            is_done.then_some(Self { at })
        }

        fn remount(&self, options: &str) {
            let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.at).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }

    impl Drop for Small<'_> {
        fn drop(&mut self) {
            drop(Command::new("umount").arg("-l").arg(self.at).output());
        }
    }

    #[test]
    fn a_full_disk_under_the_state_ends_the_daemon_and_room_lets_it_go_on() {
        let bench = Bench::new();
        let at = bench.path("state");
        let Some(disk) = Small::mount(&at, "size=80m,mode=0700") else { return };
        let mut daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2"]));
        bench.run_of("day1.csv", &["completed"]);
        // Somebody else fills the disk to the last byte.
        let filler = at.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        let chunk = vec![7_u8; 64 * 1024];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        while std::io::Write::write_all(&mut file, &[7]).is_ok() {}
        let people: Vec<String> = (1..60).map(|number| format!("E{number}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let mut day = 2;
        // sled has segments in hand: it takes some days until it needs a new one.
        let code = loop {
            bench.drop(&format!("day{day}.csv"), &export(&people[..=day]));
            let ended = until("the end, or the next day", || {
                let is_done = bench.sandbox().requests().len() >= day;
                if let Some(status) = daemon.child.try_wait().unwrap() {
                    Some(Some(status))
                } else {
                    is_done.then_some(None)
                }
            });
            if let Some(status) = ended {
                break status.code();
            }
            day += 1;
            assert!(day < 58, "the disk never was too full");
        };
        assert_eq!(code, Some(74), "{}", daemon.log());
        assert!(daemon.log().contains("the disk that holds the state is full"), "{}", daemon.log());
        let said = bench.run(&["status"]);
        assert_eq!(said.code, 74, "{said:?}");
        assert!(said.err.contains("free space and start rosterd again"), "{said:?}");
        // A roster that was accepted when nothing could be written any more is submitted again: a lost answer like any other.
        bench.sandbox().client_died();
        drop(file);
        std::fs::remove_file(filler).unwrap();
        let again = bench.daemon();
        bench.run_of(&format!("day{day}.csv"), &["completed", "unchanged"]);
        bench.holds(EAST, &people[..=day]);
        assert!(words(&bench.run(&["verify"]).ends_with(0)).starts_with("Everything on record is whole"));
        again.stop();
        drop(disk);
    }

    #[test]
    fn an_inbox_that_is_read_only_or_full_is_said_and_nothing_is_lost() {
        let bench = Bench::new();
        let at = bench.inbox();
        let Some(disk) = Small::mount(&at, "size=2m,mode=0777") else { return };
        let daemon = bench.daemon();
        bench.drop("day1.csv", &export(&["E1", "E2"]));
        bench.run_of("day1.csv", &["completed"]);
        bench.drop("day2.csv", &export(&["E1", "E2", "E3"]));
        disk.remount("ro");
        let status = until("the trouble", || {
            let said = bench.run(&["status"]);
            (said.code == 66).then_some(said)
        });
        assert!(words(&status).to_lowercase().contains("the inbox of hris is in trouble"), "{}", words(&status));
        disk.remount("rw");
        bench.run_of("day2.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2", "E3"]);
        // Full: the export can be claimed and filed away by renames, the receipt cannot be written.
        bench.drop("day3.csv", &export(&["E1", "E2", "E3", "E4"]));
        let filler = at.join(".filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
        bench.run_of("day3.csv", &["completed"]);
        bench.holds(EAST, &["E1", "E2", "E3", "E4"]);
        std::fs::remove_file(filler).unwrap();
        daemon.stop();
    }
}
