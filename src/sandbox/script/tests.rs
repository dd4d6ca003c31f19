use super::*;

fn error(text: &str) -> String {
    Script::parse(text, Format::Toml).unwrap_err().to_string()
}

#[test]
fn unknown_keys_and_names_list_the_known_ones_and_the_line() {
    let message = error("seed = 1\nsped = 2\n");
    assert!(message.contains("line 2") && message.contains("`sped`") && message.contains("`seed`"), "{message}");
    let message = error("[switches]\nin_fligth = \"queue_fifo\"\n");
    assert!(message.contains("`in_fligth`") && message.contains("`in_flight`"), "{message}");
    let message = error("[switches]\nin_flight = \"fifo\"\n");
    assert!(message.contains("`conflict_409`"), "{message}");
    let message = error("[[fault]]\non = \"submit\"\ndo = \"explode\"\n");
    assert!(message.contains("`accept_then_reset`") && message.contains("`error_503`"), "{message}");
    let message = error("[[fault]]\non = \"push\"\ndo = \"reset\"\n");
    assert!(message.contains("`submit`"), "{message}");
    let message = error("[[fault]]\non = \"submit\"\n");
    assert!(message.contains("`do`"), "{message}");
    let message = error("[[fail]]\nreference_id = \"E1\"\noperation = \"add\"\n");
    assert!(message.contains("`reason`"), "{message}");
}

#[test]
fn durations_are_words_with_units() {
    let message = error("delay = \"soon\"\n");
    assert!(message.contains("line 1") && message.contains("\"200ms\""), "{message}");
    let script = Script::parse("delay = \"1m 5s\"\n[switches]\nforget_after = \"2h\"\n", Format::Toml).unwrap();
    assert_eq!(script.delay, Duration::from_secs(65));
    assert_eq!(script.switches.forget_after, Some(Duration::from_secs(7_200)));
}

#[test]
fn rules_that_can_never_do_what_they_say_are_refused() {
    let fault = |body: &str| error(&format!("[[fault]]\non = \"list\"\ndo = \"reset\"\n[[fault]]\n{body}"));
    for body in [
        "on = \"poll\"\ndo = \"forget\"",
        "on = \"submit\"\ndo = \"no_results\"",
        "on = \"list\"\ndo = \"wrong_group\"",
        "on = \"any\"\ndo = \"never_complete\"",
        "on = \"submit\"\ndo = \"reset\"\nnth = 0",
        "on = \"list\"\ndo = \"reset\"\ngroup = \"acme\"",
        "on = \"submit\"\ndo = \"status\"",
        "on = \"submit\"\ndo = \"status\"\nstatus = 204",
        "on = \"submit\"\ndo = \"reset\"\nstatus = 503",
    ] {
        let message = fault(body);
        assert!(message.starts_with("[[fault]] number 2: "), "{body}: {message}");
    }
    let group = "[[group]]\nreference = \"a\"\nname = \"A\"\n";
    assert_eq!(error(&group.repeat(2)), "[[group]] number 2 is there already");
}

#[test]
fn a_script_reads_the_same_from_json() {
    let toml = "delay = \"1s\"\n[[fault]]\non = \"submit\"\ndo = \"accept_then_502\"\nnth = 3\n";
    let json = r#"{ "delay": "1s", "fault": [{ "on": "submit", "do": "accept_then_502", "nth": 3 }] }"#;
    let (toml, json) = (Script::parse(toml, Format::Toml).unwrap(), Script::parse(json, Format::Json).unwrap());
    assert_eq!(toml.faults, json.faults);
    assert_eq!(toml.faults, [Rule::new(On::Submit, Fault::AcceptThen502).nth(3)]);
    assert_eq!(toml.delay, json.delay);
    assert!(Script::parse(r#"{ "sped": 1 }"#, Format::Json).unwrap_err().to_string().contains("`seed`"));
    assert_eq!([Format::of(Path::new("a.JSON")), Format::of(Path::new("a.toml"))], [Format::Json, Format::Toml]);
}

#[test]
fn keys_of_a_script_are_not_shown() {
    let script = Script::parse("keys = [\"vit_apk_hidden\"]\n", Format::Toml).unwrap();
    assert!(!format!("{script:?}").contains("hidden"));
}
