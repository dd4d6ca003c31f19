use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The least that is a configuration.
const MINIMAL: &str = r#"
[api]
base_url = "https://api.example.com"

[[source]]
name = "hris"
inbox = "/srv/hris"

[source.columns]
reference_id = "Id"
first_name = "First"
last_name = "Last"
date_of_birth = "Born"
address_line_1 = "Street"
city = "City"
state = "State"
zipcode = "Zip"

[source.group]
fixed = "acme"

[source.plan]
default = "pln_1"
"#;

fn nothing() -> Environment {
    Environment::default()
}

fn variables(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn findings_in(text: &str, environment: &Environment) -> Vec<Finding> {
    match parse(text, "x.toml", environment) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(findings)) => findings,
        Err(other) => panic!("{other}"),
    }
}

/// `MINIMAL` with one text in place of another.
fn edited(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    MINIMAL.replacen(from, to, 1)
}

/// Key, line and message of every finding, in order.
fn keys_in(text: &str) -> Vec<String> {
    findings_in(text, &nothing())
        .into_iter()
        .map(|finding| format!("{}: {} {}", finding.line.unwrap_or(0), finding.key, finding.message))
        .collect()
}

/// Each edit of `MINIMAL` leads to exactly this finding.
fn each_is_found(cases: &[(&str, &str, &str)]) {
    for (from, to, expected) in cases {
        let text = edited(from, to);
        assert_eq!(keys_in(&text), [*expected], "{from} -> {to}");
    }
}

fn each_is_fine(cases: &[(&str, &str)]) {
    for (from, to) in cases {
        assert_eq!(keys_in(&edited(from, to)), Vec::<String>::new(), "{from} -> {to}");
    }
}

fn config(text: &str) -> Config {
    parse(text, "x.toml", &nothing()).unwrap()
}

#[test]
fn the_example_is_a_configuration() {
    let config = config(EXAMPLE);
    let source = &config.sources[0];
    assert_eq!(source.confirm_absence.get(), 2);
    assert_eq!(source.group.map["g0006"].as_str(), "acme-east");
    assert_eq!(source.plan.map["waived"], None);
    assert_eq!(source.columns.email, ["Personal Email", "Work Email"]);
    assert_eq!(source.schedule.as_ref().map(ToString::to_string).as_deref(), Some("0 6 * * Mon-Fri"));
}

#[test]
fn the_example_shows_every_key() {
    let mut table = String::new();
    let mut shown = BTreeSet::new();
    for line in EXAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line).trim();
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_start_matches('[').split(']').next().unwrap().to_owned();
            shown.insert(table.clone());
        } else if let Some((key, value)) = line.split_once(" = ") {
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            for inner in ["join", "with"].iter().filter(|inner| value.contains(&format!("{inner} = "))) {
                shown.insert(format!("{path}.{inner}"));
            }
            shown.insert(path);
        }
    }
    // The guards of a source are those of [guards].
    let hidden: Vec<&str> = known_keys()
        .filter(|key| !shown.contains(*key) && !shown.contains(&key.replacen("source.guards.", "guards.", 1)))
        .collect();
    assert_eq!(hidden, Vec::<&str>::new());
}

#[test]
fn the_example_shows_the_defaults_where_there_are_any() {
    let (shown, bare) = (config(EXAMPLE), config(MINIMAL));
    let (a, b) = (&shown.api, &bare.api);
    assert_eq!(shown.state_dir, bare.state_dir);
    assert_eq!(shown.mode, bare.mode);
    assert_eq!(shown.poll, bare.poll);
    assert_eq!(shown.control_socket, bare.control_socket);
    assert_eq!(shown.retention, bare.retention);
    assert_eq!(format!("{:?}", shown.backup), format!("{:?}", bare.backup));
    assert_eq!((a.connect_timeout, a.timeout, a.max_in_flight), (b.connect_timeout, b.timeout, b.max_in_flight));
    assert_eq!((a.members_per_request, a.phone_format), (b.members_per_request, b.phone_format));
    assert!((a.requests_per_second - b.requests_per_second).abs() < f64::EPSILON);
    let (a, b) = (&shown.sources[0], &bare.sources[0]);
    assert_eq!(a.guards, b.guards);
    assert_eq!((&a.files, a.settle, a.done_marker, a.rescan), (&b.files, b.settle, b.done_marker, b.rescan));
    assert_eq!((a.timezone, a.confirm_absence), (b.timezone, b.confirm_absence));
    assert_eq!(format!("{:?}", a.format), format!("{:?}", b.format));
    assert_eq!((a.group.create, a.plan.change), (b.group.create, b.plan.change));
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_lines() {
    let text = r#"mode = "aply"
[api]
base_url = "http://api.example.com"
timeout = 60
[polls]
[[source]]
name = "a b"
inbox = "srv"
setle = "10s"
[source.columns]
reference_id = "Id"
full_name = "Name"
date_of_birth = "Born"
address_line_1 = "Street"
state = "State"
zipcode = "Zip"
[source.group]
column = "Division"
[source.plan]
"#;
    assert_eq!(
        keys_in(text),
        [
            "1: mode is not one of the words that count here",
            "3: api.base_url is not encrypted",
            "4: api.timeout is not a time span",
            "5: polls is not a known key",
            "7: source.name is not a name",
            "8: source.inbox is not an absolute path",
            "9: source.setle is not a known key",
            "10: source.columns.city is missing",
            "17: source.group.external_reference_id is missing",
            "19: source.plan.default is missing",
        ]
    );
}

#[test]
fn a_finding_reads_as_a_paragraph() {
    let error = parse(&edited("name = \"hris\"", "name = \"hris\"\nsettle = \"10\""), "/etc/x.toml", &nothing());
    assert_eq!(
        error.unwrap_err().to_string(),
        "the configuration has a problem\n  /etc/x.toml, line 7: source.settle = \"10\" is not a time span. Write a \
         number and a unit, as in \"10s\", \"5m\", \"24h\", \"7d\" or \"2y\"."
    );
}

#[test]
fn text_that_is_not_toml_is_found_with_line_and_column() {
    let findings = findings_in("[api]\nbase_url = https://x\n", &nothing());
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].line, findings[0].key.as_str()), (Some(2), "column 12"));
    assert!(findings[0].message.starts_with("is not TOML"), "{}", findings[0]);
}

#[test]
fn a_key_twice_is_found() {
    let findings = findings_in("[api]\ntimeout = \"1s\"\ntimeout = \"2s\"\n", &nothing());
    assert_eq!((findings.len(), findings[0].line), (1, Some(3)));
}

#[test]
fn an_unknown_key_names_the_nearest_one_wherever_it_stands() {
    let cases = [
        ("[api]", "satte_dir = \"/x\"\n[api]", "write `state_dir` if that is meant"),
        ("[api]", "[api]\nmax_inflight = 3", "write `max_in_flight` if that is meant"),
        ("[api]", "base_url = \"x\"\n[api]", "write `base_url` under [api] if that is meant"),
        ("[[source]]", "[poll]\nsettle = \"1s\"\n[[source]]", "write `settle` under [[source]] if that is meant"),
        ("[[source]]", "[guard]\n[[source]]", "write `guards` if that is meant"),
        ("fixed =", "fixed_ = 1\nfixed =", "write `fixed` if that is meant"),
        ("reference_id = \"Id\"", "reference_id = \"Id\"\nzip_code = \"Z\"", "write `zipcode` if that is meant"),
        (
            "reference_id = \"Id\"",
            "reference_id = { join = [\"A\", \"B\"], wiht = \"-\" }",
            "write `with` if that is meant",
        ),
        ("[source.plan]", "[source.guards]\nremoval = 1\n[source.plan]", "write `removals` if that is meant"),
        ("[[source]]", "[control]\nxyz = 1\n[[source]]", "known here: socket"),
        ("base_url =", "key = \"s\"\nbase_url =", KEY_MISPLACED),
        ("base_url =", "api_key = \"s\"\nbase_url =", KEY_MISPLACED),
    ];
    for (from, to, cure) in cases {
        let findings = findings_in(&edited(from, to), &nothing());
        assert_eq!(findings.len(), 1, "{to}");
        assert_eq!(findings[0].message, "is not a known key");
        assert_eq!(findings[0].cure, cure, "{to}");
    }
}

#[test]
fn tables_and_values_in_each_others_place_are_found() {
    each_is_found(&[
        ("[api]", "poll = 3\n[api]", "2: poll is a table of keys"),
        ("[source.plan]\ndefault", "[source.plan.default]\nx", "22: source.plan.default is not a text"),
        ("[[source]]", "[[guards]]\n[[source]]", "5: guards is a table of keys"),
    ]);
    assert_eq!(keys_in("source = 3\n[api]\nbase_url = \"https://x\""), ["1: source is not a list of tables"]);
    assert_eq!(
        keys_in("[api]\nbase_url = \"https://x\"\n[source]\nname = \"a\""),
        ["3: source is not a list of tables"]
    );
}

#[test]
fn the_base_url_is_https_and_nothing_but_scheme_host_and_port() {
    let with = |url: &str| edited("https://api.example.com", url);
    for (written, meant) in [
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://127.8.0.1:9000/", "http://127.8.0.1:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ] {
        assert_eq!(config(&with(written)).api.base_url, meant);
    }
    for (written, message) in [
        ("http://api.example.com", "is not encrypted"),
        ("http://127.0.0.1.example.com", "is not encrypted"),
        ("http://localhost.example.com", "is not encrypted"),
        ("http://128.0.0.1", "is not encrypted"),
        ("ftp://api.example.com", "is neither https nor http"),
        ("https://api.example.com/v1", "holds more than scheme, host and port"),
        ("https://api.example.com/?a=b", "holds more than scheme, host and port"),
        ("https://api.example.com/#a", "holds more than scheme, host and port"),
        ("https://me:pw@api.example.com", "holds a user or a password"),
        ("http://localhost@api.example.com", "holds a user or a password"),
        ("api.example.com", "is not a URL"),
        ("mailto:a", "names no host"),
        ("", "is empty"),
    ] {
        assert_eq!(keys_in(&with(written)), [format!("3: api.base_url {message}")], "{written}");
    }
    assert_eq!(keys_in(&edited("base_url = \"https://api.example.com\"", "")), ["2: api.base_url is missing"]);
}

#[test]
fn numbers_and_times_have_ranges() {
    let api = |line: &'static str| ("[api]", format!("[api]\n{line}"));
    let poll = |line: &'static str| ("[[source]]", format!("[poll]\n{line}\n[[source]]"));
    let source = |line: &'static str| ("name =", format!("{line}\nname ="));
    for ((from, to), expected) in [
        (api("max_in_flight = 0"), "3: api.max_in_flight is out of range"),
        (api("max_in_flight = 101"), "3: api.max_in_flight is out of range"),
        (api("max_in_flight = \"4\""), "3: api.max_in_flight is not a whole number"),
        (api("requests_per_second = 0"), "3: api.requests_per_second is out of range"),
        (api("requests_per_second = nan"), "3: api.requests_per_second is out of range"),
        (api("requests_per_second = inf"), "3: api.requests_per_second is out of range"),
        (api("members_per_request = -1"), "3: api.members_per_request is out of range"),
        (api("members_per_request = 100001"), "3: api.members_per_request is out of range"),
        (api("timeout = \"0s\""), "3: api.timeout is out of range"),
        (api("timeout = \"5s\""), "0: api.connect_timeout is longer than api.timeout"),
        (api("connect_timeout = \"2m\""), "3: api.connect_timeout is longer than api.timeout"),
        (api("phone_format = \"E164\""), "3: api.phone_format is not one of the words that count here"),
        (api("ca_file = \"ca.pem\""), "3: api.ca_file is not an absolute path"),
        (api("proxy = \"proxy:3128\""), "3: api.proxy is not the URL of an HTTP proxy"),
        (poll("first_after = \"2x\""), "6: poll.first_after is not a time span"),
        (
            poll("first_after = \"2m\""),
            "6: poll.first_after does not fit: poll.first_after is longer than poll.max_interval",
        ),
        (
            poll("alert_after = \"2d\""),
            "6: poll.alert_after does not fit: poll.alert_after is longer than poll.give_up_after",
        ),
        (
            poll("give_up_after = \"30m\""),
            "6: poll.give_up_after does not fit: poll.alert_after is longer than poll.give_up_after",
        ),
        (poll("give_up_after = \"900000000y\""), "6: poll.give_up_after is out of range"),
        (source("settle = \"500ms\""), "6: source.settle is too short to tell a growing file"),
        (source("settle = \"off\""), "6: source.settle is not a time span"),
        (source("rescan = \"0s\""), "6: source.rescan is out of range"),
        (source("confirm_absence = 0"), "6: source.confirm_absence is out of range"),
        (source("done_marker = \"yes\""), "6: source.done_marker is not a switch"),
        (source("files = \"in/*.csv\""), "6: source.files holds a slash"),
        (source("files = \"*.{csv,txt}\""), "6: source.files holds brackets, which mean nothing here"),
        (source("timezone = \"America/NewYork\""), "6: source.timezone is not a known time zone"),
        (
            source("schedule = \"0 6 1 * Mon\""),
            "6: source.schedule restricts both the day of month and the weekday; one of them must be *",
        ),
        (source("schedule = \"0 0 31 2 *\""), "6: source.schedule never comes: no month has such a day"),
        (source("schedule = \"0 24 * * *\""), "6: source.schedule has `24` for the hour, which does not read"),
    ] {
        each_is_found(&[(from, &to, expected)]);
    }
    each_is_fine(&[
        ("name =", "settle = \"0s\"\ndone_marker = true\nname ="),
        ("[api]", "[api]\nrequests_per_second = 2"),
        ("[[source]]", "[retention]\nexports = \"off\"\nhistory = \"off\"\n[[source]]"),
    ]);
    each_is_found(&[(
        "[[source]]",
        "[retention]\nexports = \"0s\"\n[[source]]",
        "6: retention.exports is out of range",
    )]);
}

#[test]
fn a_zone_that_is_not_known_names_the_nearest() {
    let findings = findings_in(&edited("name =", "timezone = \"america/newyork\"\nname ="), &nothing());
    assert!(findings[0].cure.contains("\"America/New_York\""), "{}", findings[0]);
}

#[test]
fn limits_are_shares_numbers_or_off() {
    let guards = |line: &str| edited("[[source]]", &format!("[guards]\nremovals = {line}\n[[source]]"));
    for (written, meant) in [
        ("\"10%\"", Some(Limit::Share(0.1))),
        ("\"2.5 %\"", Some(Limit::Share(0.025))),
        ("\"0%\"", Some(Limit::Share(0.0))),
        ("25", Some(Limit::Count(25))),
        ("0", Some(Limit::Count(0))),
        ("\"off\"", None),
    ] {
        assert_eq!(config(&guards(written)).sources[0].guards.removals, meant, "{written}");
    }
    for (written, message) in [
        ("0.1", "is not a limit"),
        ("\"ten\"", "is not a limit"),
        ("\"25\"", "is not a limit"),
        ("false", "is not a limit"),
        ("\"x%\"", "is not a share"),
        ("\"nan%\"", "is not between 0% and 100%"),
        ("\"101%\"", "is not between 0% and 100%"),
        ("-1", "is below zero"),
    ] {
        assert_eq!(keys_in(&guards(written)), [format!("6: guards.removals {message}")], "{written}");
    }
    each_is_found(&[(
        "[[source]]",
        "[guards]\nremovals_max = \"10%\"\n[[source]]",
        "6: guards.removals_max is not a number of people",
    )]);
}

#[test]
fn a_source_overrides_single_guards_and_keeps_the_others() {
    let text = edited("[[source]]", "[guards]\nremovals = 3\nadditions = 4\n[[source]]")
        .replace("[source.plan]", "[source.guards]\nremovals = \"off\"\n[source.plan]");
    let guards = &config(&text).sources[0].guards;
    assert_eq!((guards.removals, guards.additions), (None, Some(Limit::Count(4))));
    assert_eq!(guards.terminations, Some(Limit::Share(0.2)));
    let text = text.replace("removals = \"off\"", "removals = \"of\"");
    assert_eq!(keys_in(&text), ["26: source.guards.removals is not a limit"]);
}

#[test]
fn sources_have_names_and_folders_of_their_own() {
    let second = |name: &str, inbox: &str| {
        let source = MINIMAL.split_once("[[source]]").unwrap().1;
        let source = source.replace("\"hris\"", &format!("\"{name}\"")).replace("/srv/hris", inbox);
        format!("{MINIMAL}[[source]]{source}")
    };
    assert_eq!(config(&second("other", "/srv/hris-2")).sources.len(), 2);
    for (name, inbox, expected) in [
        ("hris", "/srv/x", "25: source.name is the name of another source"),
        ("HRIS", "/srv/x", "25: source.name is the name of another source"),
        ("b", "/srv/hris/", "26: source.inbox is the inbox of another source (/srv/hris)"),
        ("b", "/srv//./hris", "26: source.inbox is the inbox of another source (/srv/hris)"),
        ("b", "/srv/hris/b", "26: source.inbox lies within or around the inbox of another source (/srv/hris)"),
        ("b", "/srv", "26: source.inbox lies within or around the inbox of another source (/srv/hris)"),
        ("b", "/var/lib/rosterd/in", "26: source.inbox lies within or around state_dir (/var/lib/rosterd)"),
        ("b", "/var/lib", "26: source.inbox lies within or around state_dir (/var/lib/rosterd)"),
        ("b", "/srv/b/../hris", "26: source.inbox goes up with `..`"),
        ("b", "/", "26: source.inbox is the root of the file system"),
    ] {
        assert_eq!(keys_in(&second(name, inbox)), [expected], "{name} {inbox}");
    }
    assert_eq!(keys_in("[api]\nbase_url = \"https://x\""), ["0: source is missing"]);
    each_is_found(&[("[api]", "state_dir = \"state\"\n[api]", "2: state_dir is not an absolute path")]);
}

#[test]
fn columns_name_every_field_that_a_member_needs() {
    for (line, key) in [
        ("date_of_birth = \"Born\"", "date_of_birth"),
        ("address_line_1 = \"Street\"", "address_line_1"),
        ("city = \"City\"", "city"),
        ("state = \"State\"", "state"),
        ("zipcode = \"Zip\"", "zipcode"),
        ("reference_id = \"Id\"", "reference_id"),
        ("first_name = \"First\"", "first_name"),
        ("last_name = \"Last\"", "last_name"),
    ] {
        each_is_found(&[(line, "", &format!("9: source.columns.{key} is missing"))]);
    }
    each_is_found(&[
        (
            "last_name =",
            "full_name = \"Name\"\nlast_name =",
            "12: source.columns.full_name stands beside first_name or last_name",
        ),
        ("\"City\"", "[]", "15: source.columns.city names no header"),
        ("\"City\"", "[\"City\", 3]", "15: source.columns.city is not a text"),
        ("\"City\"", "\" \"", "15: source.columns.city is empty"),
        ("\"City\"", "\"STATE\"", "16: source.columns.state names a column that columns.city has already"),
        (
            "\"City\"",
            "[\"City\", \"Id\"]",
            "15: source.columns.city names a column that columns.reference_id has already",
        ),
        (
            "[source.plan]",
            "[source.eligibility]\nend = \"Born\"\n[source.plan]",
            "23: source.eligibility.end names a column that columns.date_of_birth has already",
        ),
    ]);
    each_is_fine(&[
        ("first_name = \"First\"\nlast_name = \"Last\"", "full_name = \"Name\""),
        ("fixed = \"acme\"", "column = \"State\"\nexternal_reference_id = \"{value}\""),
    ]);
}

#[test]
fn a_reference_id_is_a_header_several_or_joined() {
    let with = |value: &str| edited("reference_id = \"Id\"", &format!("reference_id = {value}"));
    let joined = |with: &str| IdColumns::Join { headers: vec!["A".to_owned(), "B".to_owned()], with: with.to_owned() };
    for (written, meant) in [
        ("[\"A\", \"B\"]", IdColumns::First(vec!["A".to_owned(), "B".to_owned()])),
        ("{ join = [\"A\", \"B\"], with = \"/\" }", joined("/")),
        ("{ join = [\"A\", \"B\"] }", joined("-")),
    ] {
        assert_eq!(config(&with(written)).sources[0].columns.reference_id, meant);
    }
    for (written, message) in [
        ("{ join = [\"A\"], with = \"-\" }", "joins fewer than two columns"),
        ("{ with = \"-\" }", "joins fewer than two columns"),
        ("{ join = [\"A\", \"B\"], with = \"\" }", "has nothing to join with, so that different ids could look alike"),
        ("7", "is not a text"),
    ] {
        assert_eq!(keys_in(&with(written)), [format!("10: source.columns.reference_id {message}")]);
    }
}

#[test]
fn a_group_is_fixed_or_comes_from_a_column() {
    let with = |lines: &str| edited("fixed = \"acme\"", lines);
    for (lines, expected) in [
        ("", "19: source.group.column is missing"),
        ("fixed = \"a\"\ncolumn = \"B\"", "20: source.group.fixed stands beside column"),
        ("fixed = \"a\"\nunmapped = \"reject\"", "21: source.group.unmapped says nothing beside fixed"),
        ("column = \"B\"", "19: source.group.external_reference_id is missing"),
        (
            "column = \"B\"\nexternal_reference_id = \"acme\"",
            "21: source.group.external_reference_id does not hold {value} exactly once, or holds other braces",
        ),
        (
            "column = \"B\"\nexternal_reference_id = \"{value}{value}\"",
            "21: source.group.external_reference_id does not hold {value} exactly once, or holds other braces",
        ),
        (
            "column = \"B\"\nexternal_reference_id = \"a-{value}\"\nunmapped = \"ignore\"",
            "22: source.group.unmapped says nothing without a map",
        ),
        (
            "column = \"B\"\nunmapped = \"template\"\nmap = { x = \"y\" }",
            "19: source.group.external_reference_id is missing",
        ),
        (
            "column = \"B\"\n[source.group.map]\nX = \"a\"\n\"x \" = \"b\"",
            "23: source.group.map.x  stands in the table twice",
        ),
        ("column = \"B\"\n[source.group.map]\nX = \"\"", "22: source.group.map.X is empty"),
        ("column = \"B\"\nmap = \"x\"", "21: source.group.map is not a table"),
    ] {
        assert_eq!(keys_in(&with(lines)), [expected], "{lines}");
    }
    let config = config(&with("column = \"B\"\nunmapped = \"ignore\"\n[source.group.map]\n\" Sales. East \" = \"s\""));
    let group = &config.sources[0].group;
    assert_eq!(group.map["sales. east"].as_str(), "s");
    assert_eq!(group.unmapped, Unmapped::Ignore);
}

#[test]
fn every_member_has_a_plan() {
    let with = |lines: &str| edited("default = \"pln_1\"", lines);
    for (lines, expected) in [
        ("", "22: source.plan.default is missing"),
        ("[source.plan.map]\nGold = \"pln_1\"", "23: source.plan.map says nothing without a column"),
        ("default = \"none\"", "23: source.plan.default is not a plan"),
        ("default = 7", "23: source.plan.default is not a text"),
        ("column = \"Plan\"\nchange = \"swap\"", "24: source.plan.change is not one of the words that count here"),
    ] {
        assert_eq!(keys_in(&with(lines)), [expected], "{lines}");
    }
    assert!(config(&with("column = \"Plan\"")).sources[0].plan.default.is_none());
}

#[test]
fn eligibility_needs_words_for_its_status() {
    let with = |lines: &str| format!("{MINIMAL}[source.eligibility]\n{lines}");
    for (lines, expected) in [
        ("", &["24: source.eligibility names no column"] as &[_]),
        (
            "status = \"S\"",
            &["24: source.eligibility.covered is missing", "24: source.eligibility.terminated is missing"],
        ),
        ("status = \"S\"\ncovered = []\nterminated = \"T\"", &["26: source.eligibility.covered is empty"]),
        (
            "status = \"S\"\ncovered = [\"Active\", \"Leave\"]\nterminated = [\"T\", \"active \"]",
            &["27: source.eligibility.terminated holds \"active\", which is covered, too"],
        ),
        ("end = \"E\"\ncovered = [\"A\"]", &["26: source.eligibility.covered says nothing without a status"]),
        (
            "start = \"E\"\ncoverage_ends = \"end_of_month\"",
            &["26: source.eligibility.coverage_ends says nothing without an end"],
        ),
        (
            "end = \"E\"\ncoverage_ends = \"later\"",
            &["26: source.eligibility.coverage_ends is not one of the words that count here"],
        ),
    ] {
        assert_eq!(keys_in(&with(lines)), expected, "{lines}");
    }
    assert!(config(MINIMAL).sources[0].eligibility.is_none());
    let eligibility = config(&with("end = \"E\"\ncoverage_ends = \"end_of_month\"")).sources[0].eligibility.clone();
    assert_eq!(eligibility.unwrap().coverage_ends, CoverageEnds::EndOfMonth);
}

#[test]
fn the_shape_of_files_may_be_stated() {
    let with = |line: &str| edited("[source.plan]", &format!("[source.format]\n{line}\n[source.plan]"));
    let format = |line: &str| config(&with(line)).sources[0].format.clone();
    assert_eq!(format("encoding = \"windows-1252\"").encoding, Some(encoding_rs::WINDOWS_1252));
    assert_eq!(format("delimiter = \"tab\"").delimiter, Some(b'\t'));
    assert_eq!(format("delimiter = \"\\t\"").delimiter, Some(b'\t'));
    assert_eq!(format("delimiter = \";\"").delimiter, Some(b';'));
    assert_eq!(format("header_row = 3").header_row, Some(3));
    assert_eq!(format("id_width = 7").id_width, Some(7));
    assert_eq!(format("placeholders = []").placeholders, Vec::<String>::new());
    for (line, message) in [
        ("encoding = \"utf-9\"", "encoding is not a known encoding"),
        ("delimiter = \"a\"", "delimiter is not a delimiter"),
        ("delimiter = \"\\\"\"", "delimiter is not a delimiter"),
        ("header_row = 0", "header_row is out of range"),
        ("dates = \"us\"", "dates is not one of the words that count here"),
        ("id_width = 0", "id_width is out of range"),
    ] {
        assert_eq!(keys_in(&with(line)), [format!("23: source.format.{message}")]);
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let environment = variables(&[
        ("ROSTERD_API__BASE_URL", "http://127.0.0.1:9000"),
        ("ROSTERD_API__REQUESTS_PER_SECOND", "0.1"),
        ("ROSTERD_API__MAX_IN_FLIGHT", "7"),
        ("ROSTERD_GUARDS__REMOVALS", "0"),
        ("ROSTERD_GUARDS__ADDITIONS", "off"),
        ("ROSTERD_MODE", "plan"),
        ("ROSTERD_STATE_DIR", "/x/0123"),
        ("ROSTERD_CONFIG", "/etc/other.toml"),
        ("ROSTERD_LOG", "debug"),
        ("ROSTERDX", "not ours"),
    ]);
    let config = parse(EXAMPLE, "x.toml", &environment).unwrap();
    assert_eq!(config.api.base_url, "http://127.0.0.1:9000");
    assert!((config.api.requests_per_second - 0.1).abs() < f64::EPSILON);
    assert_eq!((config.api.max_in_flight, config.mode), (7, Mode::Plan));
    assert_eq!(config.state_dir, Path::new("/x/0123"));
    let guards = &config.sources[0].guards;
    assert_eq!((guards.removals, guards.additions), (Some(Limit::Count(0)), None));
}

#[test]
fn texts_from_the_environment_stay_texts() {
    // figment alone would make the number 123, the switch true and a list of these.
    let proxy = |text| findings_in(MINIMAL, &variables(&[("ROSTERD_API__PHONE_FORMAT", text)]))[0].value.clone();
    assert_eq!(proxy("0123").as_deref(), Some("\"0123\""));
    assert_eq!(proxy("true").as_deref(), Some("\"true\""));
    assert_eq!(proxy("[a,b]").as_deref(), Some("\"[a,b]\""));
}

#[test]
fn findings_in_the_environment_name_the_variable() {
    let one = |name: &str, value: &str| {
        let mut findings = findings_in(MINIMAL, &variables(&[(name, value)]));
        assert_eq!(findings.len(), 1, "{name}: {findings:?}");
        findings.remove(0)
    };
    let finding = one("ROSTERD_API__TIMEOUT", "60");
    assert_eq!(finding.file, "environment variable ROSTERD_API__TIMEOUT");
    assert_eq!((finding.line, finding.value.as_deref()), (None, Some("\"60\"")));
    assert_eq!(
        one("ROSTERD_API_TIMEOUT", "60s").cure,
        "write ROSTERD_API__TIMEOUT, with two underscores after the table"
    );
    assert_eq!(one("ROSTERD_API__TIMEOT", "60s").cure, "write `timeout` if that is meant");
    assert_eq!(one("ROSTERD_API__KEY", "s").cure, KEY_MISPLACED);
    assert_eq!(one("ROSTERD_API_KEY", "s").cure, KEY_MISPLACED);
    for name in ["ROSTERD_SOURCE__SETTLE", "ROSTERD_SOURCE", "ROSTERD_SOURCE__0__SETTLE", "ROSTERD_SOURCE__PLAN__MAP"] {
        assert!(one(name, "x").message.starts_with("cannot come from the environment"), "{name}");
    }
    assert_eq!(one("ROSTERD_STATE_DIR", "/x\u{FFFD}").message, "is not UTF-8");
    assert_eq!(one("ROSTERD_GUARDS__REMOVALS", "x").file, "environment variable ROSTERD_GUARDS__REMOVALS");
}

/// A folder with a credential and a key file, readable by the owner only.
struct Keys {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Keys {
    fn new(credential: Option<&str>, file: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: Option<&str>| {
            let path = folder.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            }
            path
        };
        write("vitable-api-key", credential);
        let file = write("key", file);
        Self { folder, file }
    }

    fn text(&self) -> String {
        edited("[api]", &format!("[api]\napi_key_file = \"{}\"", self.file.display()))
    }

    fn environment(&self, variable: Option<&str>) -> Environment {
        let directory = self.folder.path().display().to_string();
        let credentials = ("CREDENTIALS_DIRECTORY", directory.as_str());
        let variable = variable.map(|key| ("VITABLE_CONNECT_API_KEY", key));
        std::iter::once(credentials).chain(variable).collect()
    }
}

fn key_of(config: &Config) -> (Option<&str>, Option<&str>) {
    (config.api.key.as_ref().map(ExposeSecret::expose_secret), config.api.key_origin.as_deref())
}

#[test]
fn the_first_of_three_places_has_the_key() {
    let keys = Keys::new(Some("one\n"), Some("two\r\n"));
    let credential = keys.folder.path().join("vitable-api-key").display().to_string();
    let config = parse(&keys.text(), "x", &keys.environment(Some("three"))).unwrap();
    assert_eq!(key_of(&config), (Some("one"), Some(credential.as_str())));

    let keys = Keys::new(None, Some("two\r\n"));
    let config = parse(&keys.text(), "x", &keys.environment(Some("three"))).unwrap();
    assert_eq!(key_of(&config), (Some("two"), Some(keys.file.display().to_string().as_str())));

    let config = parse(MINIMAL, "x", &keys.environment(Some("three"))).unwrap();
    assert_eq!(key_of(&config), (Some("three"), Some("environment variable VITABLE_CONNECT_API_KEY")));

    let config = parse(MINIMAL, "x", &keys.environment(None)).unwrap();
    assert_eq!(key_of(&config), (None, None));
}

#[test]
fn a_key_is_one_line_of_visible_characters() {
    for (text, message) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("one\n\n", "holds several lines"),
        ("one\ntwo", "holds several lines"),
        ("one two", "holds blanks or characters that cannot be seen"),
        ("one\u{200b}", "holds blanks or characters that cannot be seen"),
        ("one\0", "holds blanks or characters that cannot be seen"),
        (&"k".repeat(5000), "is too long for a key"),
    ] {
        let keys = Keys::new(None, Some(text));
        let credential = Keys::new(Some(text), None);
        for (toml, environment, place) in [
            (keys.text(), nothing(), keys.file.display().to_string()),
            (
                MINIMAL.to_owned(),
                credential.environment(None),
                credential.folder.path().join("vitable-api-key").display().to_string(),
            ),
            (
                MINIMAL.to_owned(),
                variables(&[("VITABLE_CONNECT_API_KEY", text)]),
                "environment variable VITABLE_CONNECT_API_KEY".to_owned(),
            ),
        ] {
            let findings = findings_in(&toml, &environment);
            assert_eq!(findings.len(), 1);
            assert_eq!((findings[0].message.as_str(), &findings[0].file), (message, &place));
            assert_eq!(findings[0].value, None);
        }
    }
}

#[test]
fn a_key_file_that_everybody_can_read_or_that_is_not_there_is_found() {
    let keys = Keys::new(None, Some("two"));
    std::fs::set_permissions(&keys.file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let findings = findings_in(&keys.text(), &nothing());
    assert_eq!(findings[0].message, "can be read or written by every user of this machine");
    assert_eq!((findings[0].line, findings[0].key.as_str()), (Some(3), "api.api_key_file"));

    let keys = Keys::new(None, None);
    let findings = findings_in(&keys.text(), &variables(&[("VITABLE_CONNECT_API_KEY", "three")]));
    assert_eq!(findings[0].message, "cannot be read: entity not found");
}

#[test]
fn no_secret_comes_out_in_any_finding_or_debug() {
    const MARK: &str = "MARKMARK";
    let keys = Keys::new(None, Some(&format!("{MARK} {MARK}")));
    let api = |line: &str| edited("[api]", &format!("[api]\n{line}"));
    let key = format!("\"{MARK}\"");
    let texts = [
        api(&format!("key = {key}")),
        api(&format!("api_key = {key}")),
        api(&format!("token = {{ value = {key} }}")),
        api(&format!("apikeyfile = {key}")),
        api(&format!("api_key_file = {key}")),
        api(&format!("api_key_file = [{key}]")),
        api(&format!("proxy = \"socks5://me:{MARK}@proxy\"")),
        api(&format!("proxy = \"{MARK}\"")),
        api(&format!("key = {MARK}")),
        api(&format!("key = \"{MARK}")),
        api(&format!("key = \"a\" {MARK}")),
        edited("https://api", &format!("https://me:{MARK}@api")),
        edited("https://api.example.com", MARK),
        edited("https://api.example.com", &format!("https://api.example.com/?key={MARK}")),
        keys.text(),
    ];
    for text in texts {
        for environment in [nothing(), variables(&[("ROSTERD_API__KEY", MARK), ("ROSTERD_API_KEY", MARK)])] {
            let error = parse(&text, "x.toml", &environment).unwrap_err();
            assert!(!format!("{error} {error:?} {environment:?}").contains(MARK), "{error}");
        }
    }
    let environment = variables(&[
        ("VITABLE_CONNECT_API_KEY", MARK),
        ("ROSTERD_API__PROXY", &format!("http://me:{MARK}@proxy.example.com:3128")),
    ]);
    let config = parse(MINIMAL, "x.toml", &environment).unwrap();
    assert_eq!(key_of(&config).0, Some(MARK));
    assert!(config.api.proxy.as_deref().unwrap().contains(MARK));
    assert!(!format!("{config:?}").contains(MARK));
}

#[test]
fn a_file_is_loaded_and_one_that_is_not_there_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert!(matches!(load(&path, &nothing()), Err(ConfigError::NotFound(missing)) if missing == path));
    std::fs::write(&path, MINIMAL).unwrap();
    assert!(load(&path, &nothing()).is_ok());
    std::fs::write(&path, b"mode = \"\xff\"").unwrap();
    assert!(matches!(load(&path, &nothing()), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, "").unwrap();
    let Err(ConfigError::Invalid(findings)) = load(&path, &nothing()) else { panic!("an empty file is not enough") };
    assert_eq!(findings[0].file, path.display().to_string());
}

#[test]
fn every_default_belongs_to_a_known_key() {
    fn keys(table: &dyn toml_edit::TableLike, path: &str, found: &mut Vec<String>) {
        for (key, item) in table.iter() {
            let path = settings::join(path, key);
            match item.as_table_like() {
                Some(table) => keys(table, &path, found),
                None => found.push(path),
            }
        }
    }
    let defaults: toml_edit::Document<&str> = toml_edit::Document::parse(include_str!("defaults.toml")).unwrap();
    let mut found = Vec::new();
    keys(defaults.as_table(), "", &mut found);
    assert!(30 < found.len());
    for key in found {
        assert!(known_keys().any(|known| known == key), "{key}");
    }
}
