//! The written parts say what is true: the README's commands exist, its config is one, its links lead somewhere, and the
//! unit's folders are those of the example config.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use rosterd::config::{self, Environment};

    fn project() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn read(path: &str) -> String {
        let path = project().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The text under a `## ` heading, up to the next.
    fn section(page: &str, title: &str) -> String {
        let heading = format!("## {title}");
        let lines: Vec<&str> = page
            .lines()
            .skip_while(|line| *line != heading)
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .collect();
        assert!(!lines.is_empty(), "no section `{heading}`");
        lines.join("\n")
    }

    /// The contents of the code blocks in `language`.
    fn blocks(page: &str, language: &str) -> Vec<String> {
        let fence = format!("```{language}");
        let mut blocks = Vec::new();
        let mut lines = page.lines();
        while lines.by_ref().any(|line| line == fence) {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        }
        blocks
    }

    /// Tables below their heads, as rows of cells.
    fn rows(page: &str) -> Vec<Vec<String>> {
        let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| ---");
        page.lines().filter(is_row).map(cells).collect()
    }

    /// The `rosterd` commands of the README's table, subcommands as two words.
    fn documented_commands() -> BTreeSet<String> {
        let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        let commands: BTreeSet<String> = rows(&section(&read("README.md"), "Commands"))
            .iter()
            .filter_map(|row| row.first()?.strip_prefix('`')?.strip_suffix('`').map(str::to_owned))
            .map(|usage| usage.split(' ').take_while(is_word).collect::<Vec<_>>().join(" "))
            .collect();
        assert!(15 <= commands.len(), "the table was not understood: {commands:?}");
        commands
    }

    /// The commands that `rosterd … --help` lists.
    fn offered_commands(above: &[&str]) -> BTreeSet<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_rosterd")).args(above).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "rosterd {above:?} --help: {}", String::from_utf8_lossy(&output.stderr));
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // A description that is folded goes on further to the right.
        let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_quickstart_is_two_commands() {
        let quickstart = section(&read("README.md"), "Quickstart");
        assert_eq!(blocks(&quickstart, "sh"), ["cargo run --release -- demo\ncargo test"]);
    }

    #[test]
    fn ci_takes_its_test_command_from_the_quickstart() {
        let script = read(".ci/run");
        assert!(script.contains("/^## Quickstart/"), "the section is looked for under another name");
        assert!(script.contains("step bash -c \"$readme_test\""), "the command is taken and not run");
        let others: Vec<&str> =
            script.lines().filter(|line| line.trim_start().starts_with("step cargo test")).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn every_command_of_the_table_exists_and_every_command_is_in_the_table() {
        let (below, top): (BTreeSet<String>, BTreeSet<String>) =
            documented_commands().into_iter().partition(|command| command.contains(' '));
        assert_eq!(top, offered_commands(&[]));

        let mut offered = BTreeSet::new();
        for parent in &top {
            let children = offered_commands(&[parent]);
            offered.extend(children.into_iter().map(|child| format!("{parent} {child}")));
        }
        // `groups list` is what `groups` alone does.
        offered.remove("groups list");
        assert_eq!(below, offered);
    }

    #[test]
    fn every_option_that_the_table_names_exists() {
        let mut asked = 0;
        for row in rows(&section(&read("README.md"), "Commands")) {
            let Some(usage) = row.first().and_then(|cell| cell.strip_prefix('`')) else { continue };
            let command: Vec<&str> =
                usage.split([' ', '`']).take_while(|word| !word.contains(char::is_uppercase)).collect();
            let command: Vec<&str> =
                command.into_iter().filter(|word| !word.is_empty() && !word.starts_with(['-', '['])).collect();
            let text = row.join(" ");
            let options = text.split([' ', '`']).filter(|word| word.starts_with("--") && 2 < word.len());
            for option in options {
                let option = option.trim_end_matches([',', ';', '.', ':']);
                let output = Command::new(env!("CARGO_BIN_EXE_rosterd")).args(&command).arg("--help").output().unwrap();
                let help = String::from_utf8(output.stdout).unwrap();
                assert!(help.contains(option), "rosterd {command:?} has no {option}");
                asked += 1;
            }
        }
        assert!(10 <= asked, "the table was not understood: {asked} options");
    }

    #[test]
    fn the_exit_codes_are_those_of_the_help() {
        let output = Command::new(env!("CARGO_BIN_EXE_rosterd")).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let (_, listed) = help.split_once("Exit codes:").expect("--help ends with the exit codes");
        let is_code = |word: &&str| word.chars().all(|c| c.is_ascii_digit());
        let listed: BTreeSet<&str> = listed.split_whitespace().filter(is_code).collect();

        let commands = rows(&section(&read("README.md"), "Commands"));
        let (meanings, uses): (Vec<_>, Vec<_>) = commands.iter().partition(|row| row.len() == 2);
        let explained: BTreeSet<&str> = meanings.iter().map(|row| row[0].as_str()).filter(is_code).collect();
        assert_eq!(explained, listed);

        for row in uses.iter().filter(|row| row[0].starts_with('`')) {
            for code in row.last().unwrap().split(", ") {
                assert!(explained.contains(code.trim()), "{}: {code}", row[0]);
            }
        }
    }

    /// Keys with the table they stand in, commented ones included.
    fn keys(toml: &str) -> BTreeSet<(String, String)> {
        let mut table = String::new();
        let mut keys = BTreeSet::new();
        for line in toml.lines() {
            let line = line.trim_start_matches('#').trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
                name.trim_start_matches('[').clone_into(&mut table);
            } else if let Some((key, _)) = line.split_once('=') {
                keys.insert((table.clone(), key.trim().trim_matches('"').to_owned()));
            }
        }
        keys
    }

    #[test]
    fn every_key_of_the_readme_is_in_the_example() {
        let shown = blocks(&read("README.md"), "toml");
        assert!(!shown.is_empty(), "the README shows no config");
        let known = keys(&read("config.example.toml"));
        for (table, key) in shown.iter().flat_map(|block| keys(block)) {
            // Their keys are the cells of somebody's export.
            let is_map = table == "source.group.map" || table == "source.plan.map";
            let found = known.iter().any(|(t, k)| *t == table && (is_map || *k == key));
            assert!(found, "config.example.toml lacks `{key}` in [{table}]");
        }
    }

    #[test]
    fn the_config_of_the_readme_passes_the_checks() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vitable-api-key"), "vit_apk_example\n").unwrap();
        // As under the unit: the key comes from systemd, before the file that is named is looked at.
        let credentials = folder.path().to_str().unwrap();
        let environment: Environment = [("CREDENTIALS_DIRECTORY", credentials)].into_iter().collect();
        for block in blocks(&read("README.md"), "toml") {
            if let Err(error) = config::parse(&block, "README.md", &environment) {
                panic!("{error}");
            }
        }
    }

    /// The value of a line `KEY=` of the unit.
    fn unit(key: &str) -> String {
        let unit = read("systemd/rosterd.service");
        let prefix = format!("{key}=");
        let value = unit.lines().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("the unit has no {key}=")).to_owned()
    }

    #[test]
    fn the_units_folders_are_those_of_the_example_config() {
        let example = read("config.example.toml").parse::<toml_edit::Document<String>>().unwrap();
        let path = |value: Option<&toml_edit::Item>| PathBuf::from(value.and_then(|value| value.as_str()).unwrap());

        assert_eq!(path(example.get("state_dir")), Path::new("/var/lib").join(unit("StateDirectory")));
        let socket = path(example.get("control").and_then(|control| control.get("socket")));
        assert_eq!(socket.parent().unwrap(), Path::new("/run").join(unit("RuntimeDirectory")));
        let sources = example.get("source").and_then(|sources| sources.as_array_of_tables()).unwrap();
        for source in sources {
            assert!(path(source.get("inbox")).starts_with(unit("ReadWritePaths")), "the unit cannot write to an inbox");
        }
        assert!(unit("LoadCredential").starts_with("vitable-api-key:"), "the key has another name in the config");
    }

    #[test]
    fn the_unit_keeps_the_lines_that_the_state_and_the_record_rest_on() {
        let unit = read("systemd/rosterd.service");
        let has = |line: &str| unit.lines().any(|found| found == line);
        assert!(has("SystemCallFilter=~sync_file_range:ENOSYS"), "a power cut would cost the state");
        // With ENOSYS as the default systemd 252 cannot load the filter.
        assert!(has("SystemCallErrorNumber=EPERM"), "the unit would not start");
        assert!(has("SystemCallFilter=@system-service seccomp"), "rosterd could not install its own filter");
        assert!(has("PrivateUsers=no"), "approvals would be recorded as nobody's");
        assert!(has("RestrictSUIDSGID=no"), "HR could not read its receipts");
        assert!(has("LimitCORE=0"), "a crash would write people's data to disk");
    }

    #[test]
    fn every_link_between_the_pages_leads_somewhere() {
        let mut followed = 0;
        for page in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/inbox.md", "docs/threat-model.md"] {
            let text = read(page);
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
            for target in targets.filter(|target| !target.starts_with("http")) {
                let file = target.split('#').next().unwrap_or(target);
                let path = project().join(page).parent().unwrap().join(file);
                assert!(path.exists(), "{page} links to {target}");
                followed += 1;
            }
        }
        assert!(5 <= followed, "the links were not understood");
    }

    #[test]
    fn files_that_the_pages_name_are_there() {
        let pages = ["README.md", "ARCHITECTURE.md", "docs/inbox.md", "docs/decisions/0001-sled.md"];
        for page in pages.into_iter().chain(["docs/reliability.md", "docs/threat-model.md"]) {
            let text = read(page);
            let spans = text.split('`').skip(1).step_by(2);
            let files = spans.filter(|span| {
                ["src/", "tests/", "systemd/", "docs/"].iter().any(|folder| span.starts_with(folder))
                    && !span.contains(' ')
            });
            for file in files {
                assert!(project().join(file).exists(), "{page} names {file}");
            }
        }
    }
}
