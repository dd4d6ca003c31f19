use super::super::tests::row as good;
use super::*;

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 10, 5).unwrap()
}

fn judge(value: &Value, switches: &Switches) -> Result<Row, BadField> {
    let text = value.to_string();
    row(&serde_json::from_str(&text).unwrap(), switches, today())
}

fn set(pointer: &str, value: Value) -> Value {
    let mut row = good("E1");
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    row.pointer_mut(parent).unwrap()[key] = value;
    row
}

#[test]
fn every_field_is_judged_and_named() {
    let switches = Switches::default();
    let long = "x".repeat(256);
    for (pointer, bad) in [
        ("/reference_id", vec![json!(""), json!(long), json!(7)]),
        ("/first_name", vec![json!(" "), json!(long), Value::Null]),
        ("/last_name", vec![json!(""), json!(long)]),
        ("/date_of_birth", vec![json!("1988-02-30"), json!("1988-2-9"), json!("02/09/1988"), json!("2026-10-06")]),
        ("/phone", vec![json!("1675550142"), json!("2671550142"), json!("+12675550142"), json!("267555014")]),
        ("/email", vec![json!("a"), json!("a@b"), json!("@b.c"), json!("a b@c.d"), json!("a@b@c.d"), json!("a@b..c")]),
        ("/plan_id", vec![json!(""), Value::Null]),
        ("/address", vec![json!("9 Elm St"), Value::Null]),
        ("/address/address_line_1", vec![json!(""), json!(long)]),
        ("/address/address_line_2", vec![json!(2), json!(long)]),
        ("/address/city", vec![json!("")]),
        ("/address/state", vec![json!("pa"), json!("Pennsylvania"), json!("XX")]),
        ("/address/zipcode", vec![json!("1650"), json!("165011234"), json!("16501-12"), json!("16501-"), json!(16501)]),
        ("/ssn", vec![json!("1")]),
        ("/address/country", vec![json!("US")]),
    ] {
        for value in bad {
            let found = judge(&set(pointer, value.clone()), &switches).expect_err(&format!("{pointer} {value}"));
            assert_eq!(format!("/{}", found.field.replace('.', "/")), pointer, "{value}");
        }
    }
    assert!(judge(&json!("E1"), &switches).is_err());
    assert_eq!(STATES.len(), 62);
}

#[test]
fn what_is_good_is_stored_as_it_came() {
    for (pointer, value) in [
        ("/address/address_line_2", json!("")),
        ("/address/zipcode", json!("16501-1234")),
        ("/address/state", json!("AE")),
        ("/first_name", json!("Zoë")),
        ("/date_of_birth", json!("2026-10-05")),
    ] {
        let row = set(pointer, value);
        assert_eq!(judge(&row, &Switches::default()).unwrap().record(), row);
    }
}

#[test]
fn a_text_may_be_escaped_and_of_a_key_that_is_there_twice_the_last_one_counts() {
    let text = good("E1").to_string();
    let odd = text.replace("\"Ana\"", "\"Zo\\u00eb\",\"first_n\\u0061me\":\"A\\\"na\"");
    assert_ne!(odd, text);
    let read = row(&serde_json::from_str(&odd).unwrap(), &Switches::default(), today()).unwrap();
    assert_eq!(read.first_name, "A\"na");
}

#[test]
fn phones_follow_their_switches() {
    let is_good = |phone: Phone, text: &str| {
        judge(&set("/phone", json!(text)), &Switches { phone, ..Switches::default() }).is_ok()
    };
    for (phone, nanp, loose, e164) in [
        (Phone::Digits10Nanp, true, false, false),
        (Phone::Digits10, true, true, false),
        (Phone::E164, false, false, true),
        (Phone::Both, true, false, true),
    ] {
        let found = (is_good(phone, "2675550142"), is_good(phone, "5551550101"), is_good(phone, "+12675550142"));
        assert_eq!(found, (nanp, loose, e164), "{phone:?}");
    }
    let mut row = good("E1");
    row.as_object_mut().unwrap().remove("phone");
    assert!(judge(&row, &Switches::default()).is_ok());
    let required = Switches { phone_presence: PhonePresence::Required, ..Switches::default() };
    assert_eq!(judge(&row, &required).unwrap_err().field, "phone");
    assert!(judge(&set("/phone", Value::Null), &required).is_err());
}

#[test]
fn nulls_unknown_keys_and_future_dates_follow_their_switches() {
    let null = set("/email", Value::Null);
    assert!(judge(&null, &Switches::default()).is_ok());
    assert!(judge(&null, &Switches { nulls: Nulls::Reject, ..Switches::default() }).is_err());
    let unknown = set("/address/country", json!("US"));
    assert!(judge(&unknown, &Switches { unknown_fields: UnknownFields::Ignore, ..Switches::default() }).is_ok());
    let future = set("/date_of_birth", json!("2026-10-06"));
    let lenient = Switches { future_birth_dates: FutureBirthDates::Accept, ..Switches::default() };
    assert!(judge(&future, &lenient).is_ok());
}

#[test]
fn irregularities_are_found_once_each() {
    let odd = set("/email", Value::Null);
    let body = json!({ "members": [odd, odd], "dry_run": null }).to_string();
    let body: Json<'_> = serde_json::from_str(&body).unwrap();
    let found = irregularities(body.as_object().unwrap());
    let expected = [
        Irregularity::Null("dry_run".into()),
        Irregularity::Unknown("dry_run".into()),
        Irregularity::Null("email".into()),
    ];
    assert_eq!(found, expected);
}
