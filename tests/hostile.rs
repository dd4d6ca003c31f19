//! Files that nobody means well with, or that a broken system writes, through the real binary: each gets an answer, in bounded memory,
//! and nothing in them reaches a terminal, a spreadsheet or another file.
//!
//! `ROSTERD_HOSTILE_MEGABYTES=2048` makes the large ones as large as that.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::{BufWriter, Write};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use super::bench::{Bench, KEY, export, files, until};

    const EAST: &str = "hris-east";
    const HEADER: &str = "Id,First,Last,Born,Mail,Phone,Street,City,State,Zip,Division,Status\n";
    const FEW_MEGABYTES: usize = 48;
    /// Nothing that is read may take more: the file is not held in memory.
    const MOST_MEMORY_KB: u64 = 400 * 1024;

    fn megabytes() -> usize {
        let asked = std::env::var_os("ROSTERD_HOSTILE_MEGABYTES");
        asked.and_then(|number| number.to_str()?.parse().ok()).unwrap_or(FEW_MEGABYTES)
    }

    /// How a command ended, what it said, and the most memory that it ever had.
    struct Looked {
        code: i32,
        text: String,
        peak_kb: u64,
    }

    /// `check FILE`, watched: the memory of a process is gone with it, so it is asked for while it runs.
    fn check(bench: &Bench, path: &Path) -> Looked {
        let mut command = bench.command();
        command.arg("check").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak_kb = 0;
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = text
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak_kb = peak.unwrap_or(peak_kb).max(peak_kb);
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("panicked"), "{}: {text}", path.display());
        Looked { code: output.status.code().unwrap_or(-1), text, peak_kb }
    }

    /// Writes a large file without holding it.
    fn large(bench: &Bench, name: &str, fill: impl FnOnce(&mut dyn Write, usize)) -> PathBuf {
        let path = bench.path(name);
        let mut file = BufWriter::new(std::fs::File::create(&path).unwrap());
        fill(&mut file, megabytes() * 1024 * 1024);
        file.flush().unwrap();
        path
    }

    fn repeat(file: &mut dyn Write, piece: &[u8], bytes: usize) {
        let block = piece.repeat(64 * 1024 / piece.len());
        for _ in 0..bytes / block.len() {
            file.write_all(&block).unwrap();
        }
    }

    type Fill<'a> = Box<dyn Fn(&mut dyn Write, usize) + 'a>;

    #[test]
    fn a_file_of_any_size_and_shape_gets_an_answer_in_bounded_memory() {
        let bench = Bench::new();
        let good = export(&["E1", "E2"]);
        let cases: [(&str, Fill<'_>, &[i32]); 9] = [
            ("one line without an end", Box::new(|file, bytes| repeat(file, b"x", bytes)), &[65]),
            (
                "one cell without an end",
                Box::new(|file, bytes| {
                    file.write_all(HEADER.as_bytes()).unwrap();
                    file.write_all(b"E1,\"").unwrap();
                    repeat(file, b"lorem ipsum\n", bytes);
                }),
                &[65],
            ),
            (
                "one row of commas",
                Box::new(|file, bytes| {
                    file.write_all(good.as_bytes()).unwrap();
                    repeat(file, b",", bytes);
                }),
                &[65],
            ),
            (
                "a million columns",
                Box::new(|file, _| {
                    file.write_all(good.lines().next().unwrap().as_bytes()).unwrap();
                    for number in 0..1_000_000 {
                        write!(file, ",c{number}").unwrap();
                    }
                    file.write_all(b"\n").unwrap();
                }),
                &[65],
            ),
            ("nothing but line ends", Box::new(|file, bytes| repeat(file, b"\n", bytes)), &[65]),
            (
                "good rows, then blank lines",
                Box::new(|file, bytes| {
                    file.write_all(good.as_bytes()).unwrap();
                    repeat(file, b"\r\n", bytes);
                }),
                &[0],
            ),
            ("zeros", Box::new(|file, bytes| repeat(file, &[0], bytes)), &[65]),
            (
                "quotes",
                Box::new(|file, bytes| {
                    file.write_all(HEADER.as_bytes()).unwrap();
                    repeat(file, b"\"", bytes);
                }),
                &[65],
            ),
            (
                "bytes that are no text",
                Box::new(|file, bytes| repeat(file, &[0xC3, 0x28, 0xFF, 0xFE, b',', b'\n'], bytes)),
                &[65],
            ),
        ];
        for (name, fill, codes) in cases {
            let path = large(&bench, "large.csv", |file, bytes| fill(file, bytes));
            let Looked { code, text, peak_kb } = check(&bench, &path);
            assert!(codes.contains(&code), "{name}: exit {code}: {text}");
            assert!(peak_kb < MOST_MEMORY_KB, "{name}: {peak_kb} kB");
            assert!(text.len() < 20_000, "{name}: the answer has {} bytes", text.len());
            println!("{name}: exit {code}, at most {peak_kb} kB; {}", text.lines().next().unwrap_or_default());
        }
    }

    #[test]
    fn what_is_no_csv_at_all_is_rejected_in_words() {
        let bench = Bench::new();
        let cases: [(&str, &[u8]); 6] = [
            ("a workbook", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00xl/workbook.xml"),
            ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 0x4a, 6, 0]),
            ("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\n"),
            ("an old workbook", &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, 0, 0, 0, 0]),
            ("a web page", b"<!DOCTYPE html><html><body>Your session has expired</body></html>"),
            ("nothing", b""),
        ];
        for (name, bytes) in cases {
            let path = bench.path("wrong.csv");
            std::fs::write(&path, bytes).unwrap();
            let looked = check(&bench, &path);
            assert_eq!(looked.code, 65, "{name}: {}", looked.text);
            assert!(
                looked.text.chars().all(|letter| letter == '\n' || !letter.is_control()),
                "{name}: {:?}",
                looked.text
            );
        }
    }

    /// Whatever moves a cursor, hides text or turns it around.
    fn is_harmless(text: &str) -> bool {
        let is_bad = |letter: char| {
            (letter.is_control() && letter != '\n')
                || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        !text.chars().any(is_bad)
    }

    /// The birth date cannot be: each of them is a problem, and listed.
    fn format_row(id: &str) -> String {
        format!("\"{id}\",Ann,Lee,1980-13-45,a@corp.example,,1 Elm St,Erie,PA,16501,east,Active\n")
    }

    #[test]
    fn nothing_in_a_file_reaches_a_terminal_or_a_spreadsheet_as_more_than_text() {
        let bench = Bench::new();
        let mut text = HEADER.to_owned();
        let ids = ["=HYPERLINK(\"\"http://x\"\")", "+1+1", "-2", "@SUM(A1)", "\u{202e}E5", "E6\u{1b}[2J", "E7\u{7}"];
        for id in ids {
            text.push_str(&format_row(id));
        }
        let daemon = bench.daemon();
        std::fs::write(bench.inbox().join("a\u{1b}[31m\u{202e}b.csv"), text).unwrap();
        let filed = until("the rejected file", || {
            let files = files(&bench.inbox());
            files.iter().any(|file| file.ends_with(".receipt.txt")).then_some(files)
        });
        let history = bench.run(&["history"]);
        let run = bench.history().remove(0)["run"].as_str().unwrap().to_owned();
        let receipt = filed.iter().find(|file| file.ends_with(".receipt.txt")).unwrap();
        let problems = filed.iter().find(|file| file.ends_with(".problems.csv")).unwrap();
        let receipt = std::fs::read_to_string(bench.inbox().join(receipt)).unwrap();
        let problems = std::fs::read_to_string(bench.inbox().join(problems)).unwrap();
        for (what, text) in [
            ("history", history.out),
            ("show", bench.run(&["show", &run]).out),
            ("status", bench.run(&["status"]).out),
            ("the log", daemon.log()),
            ("the receipt", receipt),
            ("the table of problems", problems.replace('\r', "")),
        ] {
            assert!(is_harmless(&text), "{what}: {text:?}");
        }
        // A spreadsheet takes a cell that begins so for a formula.
        let mut reader = csv::Reader::from_reader(problems.as_bytes());
        for record in reader.records() {
            for cell in &record.unwrap() {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?} in {problems}");
            }
        }
        daemon.stop();
    }

    #[test]
    fn what_is_no_file_in_an_inbox_is_left_alone_and_the_rest_goes_through() {
        let bench = Bench::new();
        let inbox = bench.inbox();
        let secret = bench.path("secret.csv");
        std::fs::write(&secret, export(&["E666"])).unwrap();
        symlink(&secret, inbox.join("link.csv")).unwrap();
        symlink("/nowhere", inbox.join("dangling.csv")).unwrap();
        std::fs::create_dir(bench.path("elsewhere")).unwrap();
        symlink(bench.path("elsewhere"), inbox.join("folder-link.csv")).unwrap();
        std::fs::create_dir(inbox.join("folder.csv")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inbox.join("pipe.csv"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let socket = std::os::unix::net::UnixListener::bind(inbox.join("socket.csv")).unwrap();
        std::fs::write(inbox.join(OsStr::from_bytes(b"\xff\xfe.csv")), export(&["E1", "E2"])).unwrap();
        std::fs::write(inbox.join("--help.csv"), export(&["E1", "E2", "E3"])).unwrap();
        let long = format!("{}.csv", "n".repeat(251));
        std::fs::write(inbox.join(&long), export(&["E1", "E2", "E3", "E4"])).unwrap();
        let daemon = bench.daemon();
        until("three files", || (bench.history().len() == 3).then_some(()));
        until("their ends", || {
            let names: Vec<String> = files(&inbox).into_iter().filter(|name| name.ends_with(".receipt.txt")).collect();
            (names.len() == 3).then_some(())
        });
        assert!(!bench.sandbox().roster(EAST).contains_key("E666"), "a link was followed");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), export(&["E666"]));
        for name in ["link.csv", "dangling.csv", "folder-link.csv", "folder.csv", "pipe.csv", "socket.csv"] {
            assert!(std::fs::symlink_metadata(inbox.join(name)).is_ok(), "{name} was taken");
        }
        drop(socket);
        daemon.stop();
    }

    #[test]
    fn hundreds_of_files_at_once_are_each_answered() {
        let bench = Bench::new();
        let count = 150;
        for number in 0..count {
            let people: Vec<String> = (0..=number % 7).map(|person| format!("E{person}")).collect();
            let people: Vec<&str> = people.iter().map(String::as_str).collect();
            bench.drop(&format!("f{number}.csv"), &export(&people));
        }
        let daemon = bench.daemon();
        let answered = || files(&bench.inbox()).iter().filter(|name| name.ends_with(".receipt.txt")).count();
        until("a hundred and fifty receipts", || (answered() == count).then_some(()));
        daemon.stop();
    }

    #[test]
    fn the_socket_survives_whoever_talks_nonsense_to_it() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        let socket = bench.path("control.sock");
        let endless = vec![0xff; 70_000];
        for nonsense in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"{}\n", b"{\"show\":{\"id\":1}}\n", b"", &endless, b"\"status\""]
        {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            // The daemon may have hung up already.
            drop(stream.write_all(nonsense));
            drop(stream.shutdown(std::net::Shutdown::Write));
        }
        let mut asking: Vec<_> = (0..60)
            .map(|_| {
                bench.command().args(["--json", "history"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        assert!(asking.iter_mut().all(|child| child.wait().unwrap().success()), "every question is answered");
        bench.run(&["status"]).ends_with(0);
        daemon.stop();
    }

    #[test]
    fn a_named_pipe_or_a_device_is_no_export_and_blocks_no_command() {
        let bench = Bench::new();
        let pipe = bench.path("pipe.csv");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/null"), bench.dir.path()] {
            for command in ["plan", "sync", "check"] {
                let said = bench.run(&[command, path.to_str().unwrap()]).ends_with(66);
                assert!(said.err.contains("is not a file") && said.err.contains(path.to_str().unwrap()), "{said:?}");
            }
        }
    }

    #[test]
    fn another_user_reads_neither_state_nor_key_and_is_not_answered_even_through_an_open_socket() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can act as another user");
            return;
        }
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("people.csv", &export(&["E1"]));
        bench.run_of("people.csv", &["completed"]);
        std::fs::set_permissions(bench.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let socket = bench.path("control.sock");
        let ask = |script: &str| {
            let output = Command::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script])
                .current_dir(bench.dir.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            (output.status.success(), [output.stdout, output.stderr].concat())
        };
        // That the folder itself is not what keeps them out.
        assert!(ask("test -x . && test -e state").0);
        for closed in ["cat key", "ls state", "ls state/*", "cat control.sock", "cat /proc/$(cat pid)/environ"] {
            std::fs::write(bench.path("pid"), daemon.pid().as_raw_nonzero().to_string()).unwrap();
            assert!(!ask(closed).0, "{closed}");
        }
        // Somebody opened the socket to all by hand.
        std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
        let binary = bench.path("rosterd");
        std::fs::copy(env!("CARGO_BIN_EXE_rosterd"), &binary).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(bench.path("config.toml"), PermissionsExt::from_mode(0o644)).unwrap();
        let (is_answered, said) = ask("./rosterd -c config.toml history");
        let said = String::from_utf8(said).unwrap();
        assert!(!is_answered && said.contains("may not ask the daemon") && !said.contains("run_"), "{said}");
        daemon.hears("without the right to ask");
        bench.run(&["history"]).ends_with(0);
        daemon.stop();
    }

    #[test]
    fn the_key_is_in_no_command_line_and_no_log_and_no_memory_is_dumped() {
        let bench = Bench::new();
        let daemon = bench.daemon();
        bench.drop("people.csv", &export(&["E1"]));
        bench.run_of("people.csv", &["completed"]);
        let proc = Path::new("/proc").join(daemon.pid().as_raw_nonzero().to_string());
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(proc.join(file)).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains(KEY), "{file}");
        }
        let limits = std::fs::read_to_string(proc.join("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
        assert!(!daemon.stop().contains(KEY));
    }
}
