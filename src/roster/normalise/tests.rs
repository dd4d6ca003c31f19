use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::config::DateOrder::{self, Dmy, Mdy, Ymd};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn today() -> NaiveDate {
    day("2026-02-09")
}

#[test]
fn text_loses_outer_blanks_hidden_characters_and_line_breaks() {
    for (raw, tidy) in [
        ("Ana", "Ana"),
        ("  Ana \u{a0}", "Ana"),
        ("\u{feff}Ana\u{200b}", "Ana"),
        ("An\u{0}a\u{7}", "Ana"),
        ("Apt 5\nGate code 12", "Apt 5 Gate code 12"),
        ("Apt 5\r\n  Gate", "Apt 5 Gate"),
        ("de\u{a0}la  Cruz", "de la Cruz"),
        ("Zoe\u{308}", "Zoë"),
        ("Mu\u{ad}ñoz", "Muñoz"),
        (" \u{0} ", ""),
    ] {
        assert_eq!(text(raw), tidy, "{raw:?}");
    }
    assert!(matches!(text("Muñoz"), std::borrow::Cow::Borrowed(_)), "a tidy text is not copied");
    assert!(hides_characters("An\u{0}a") && hides_characters("\u{feff}Ana"));
    assert!(!hides_characters("Muñoz\u{a0}\n"));
    assert!(fits(&"é".repeat(255)) && !fits(&"é".repeat(256)));
}

#[test]
fn phones_come_down_to_ten_digits() {
    for raw in [
        "2675550142",
        "(267) 555-0142",
        "267.555.0142",
        "267/555-0142",
        "+1 267 555 0142",
        "1-267-555-0142",
        "12675550142",
        "2675550142.0",
        "tel:+12675550142",
        "267\u{2011}555\u{2013}0142",
        "\u{a0}267\u{a0}555 0142 ",
    ] {
        assert_eq!(phone(raw).as_deref(), Ok("2675550142"), "{raw:?}");
        assert!(!Phone::read(raw).unwrap().extension_dropped, "{raw:?}");
    }
    for raw in
        ["267-555-0142 x716", "2675550142ext. 12", "267 555 0142 Extension 3", "267-555-0142 #4", "2675550142,,12"]
    {
        let phone = Phone::read(raw).unwrap();
        assert_eq!((&*phone.digits, phone.extension_dropped), ("2675550142", true), "{raw:?}");
    }
    for (raw, problem) in [
        ("", PhoneProblem::WrongLength),
        ("555-0142", PhoneProblem::WrongLength),
        ("267555014", PhoneProblem::WrongLength),
        ("22675550142", PhoneProblem::WrongLength),
        ("(267) 555-0142 / (267) 555-0143", PhoneProblem::WrongLength),
        ("ext 12", PhoneProblem::WrongLength),
        ("-2675550142", PhoneProblem::NotANumber),
        ("2.67556E+09", PhoneProblem::NotANumber),
        ("call me", PhoneProblem::NotANumber),
        ("+44 20 7946 0958", PhoneProblem::Foreign),
        ("+52 55 1234 5678", PhoneProblem::Foreign),
        ("+2675550142", PhoneProblem::Foreign),
        ("1675550142", PhoneProblem::Unassignable),
        ("267 155 0142", PhoneProblem::Unassignable),
        ("1 067 555 0142", PhoneProblem::Unassignable),
    ] {
        assert_eq!(phone(raw), Err(problem), "{raw:?}");
    }
}

#[test]
fn emails_are_lower_case_and_plain() {
    for (raw, address) in [
        ("Ana.Ruiz@Example.COM", "ana.ruiz@example.com"),
        (" ana@example.com\u{a0}", "ana@example.com"),
        ("mailto:ana@example.com", "ana@example.com"),
        ("o'brien+x_1@mail.example.co", "o'brien+x_1@mail.example.co"),
    ] {
        assert_eq!(email(raw).as_deref(), Ok(address), "{raw:?}");
    }
    let long = format!("{}@example.com", "a".repeat(65));
    for raw in [
        "",
        "ana",
        "ana@",
        "@example.com",
        "a@b",
        "Ann <a@b.co>",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "\"a b\"@example.com",
        "a b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a@-example.com",
        "a@exa_mple.com",
        "a@example..com",
        "a@example.com, b@example.com",
        "ana@exämple.com",
        "añ@example.com",
        &long,
    ] {
        assert_eq!(email(raw), Err(NotAnEmail), "{raw:?}");
    }
}

#[test]
fn zip_codes_regain_what_a_spreadsheet_took() {
    for (raw, code, repaired) in [
        ("02115", "02115", false),
        ("02115-1234", "02115-1234", false),
        ("2115", "02115", true),
        ("900", "00900", true),
        ("21151234", "02115-1234", true),
        ("9001234", "00900-1234", true),
        ("021151234", "02115-1234", true),
        ("02115 1234", "02115-1234", true),
        ("02115\u{2013}1234", "02115-1234", true),
        ("2115-1234", "02115-1234", true),
        ("02115-", "02115", true),
        ("2115.0", "02115", true),
    ] {
        let read = Zip::read(raw).unwrap();
        assert_eq!((&*read.code, read.repaired), (code, repaired), "{raw:?}");
    }
    for raw in [
        "",
        "12",
        "123",
        "123456",
        "1234567",
        "0211512345",
        "02115-12",
        "ABCDE",
        "K1A 0B1",
        "-2115",
        "02115-1234-5",
        "٠٢١١٥",
    ] {
        assert_eq!(zip(raw), Err(NotAZip), "{raw:?}");
    }
}

#[test]
fn states_are_known_by_code_and_by_name() {
    assert!(STATES.is_sorted());
    for (code, name) in STATES {
        for raw in [code, &code.to_lowercase(), name, &name.to_uppercase(), &format!(" {name} "), &format!("US-{code}")]
        {
            assert_eq!(state(raw), Ok(code), "{raw}");
        }
    }
    for (raw, code) in [("D.C.", "DC"), ("Washington, D.C.", "DC"), ("U.S. Virgin Islands", "VI"), ("new  york", "NY")]
    {
        assert_eq!(state(raw), Ok(code), "{raw}");
    }
    for raw in ["", "XX", "ON", "Ontario", "Calif", "HR-Florida", "M", "ÄÖ"] {
        assert_eq!(state(raw), Err(NotAState), "{raw}");
    }
}

#[test]
fn names_are_split_at_the_comma_or_before_the_last_word() {
    for (raw, first, last, doubtful) in [
        ("Ruiz, Ana", "Ana", "Ruiz", false),
        ("Ruiz,Ana  M.", "Ana", "Ruiz", false),
        ("de la Cruz, Ana Maria", "Ana Maria", "de la Cruz", false),
        ("Smith Jr., John", "John", "Smith Jr.", false),
        ("Smith, John, Jr.", "John", "Smith Jr.", false),
        ("Smith, John Q III", "John", "Smith III", false),
        ("Ana Ruiz", "Ana", "Ruiz", false),
        ("Ana M Ruiz", "Ana", "Ruiz", false),
        ("Ana de la Cruz", "Ana", "de la Cruz", false),
        ("Van Morrison", "Van", "Morrison", false),
        ("John Smith, Jr.", "John", "Smith Jr.", false),
        ("John St. James Jr", "John", "St. James Jr", false),
        ("Ana Maria Ruiz", "Ana Maria", "Ruiz", true),
        ("Ana Ruiz (1001)", "Ana", "Ruiz", false),
        ("Ana Ruiz (On Leave)", "Ana", "Ruiz", false),
    ] {
        let name = full_name(raw).unwrap();
        assert_eq!((&*name.first, &*name.last, name.doubtful), (first, last, doubtful), "{raw:?}");
    }
    for raw in ["", "Ana", "Ruiz,", ", Ana", "Ruiz, Ana, Boston", "Smith Jr", "(1001)", "de"] {
        // "Smith Jr" has two words and reads as first and last: nothing tells it from "Ana Ruiz".
        assert_eq!(full_name(raw).is_err(), raw != "Smith Jr", "{raw:?}");
    }
}

#[test]
fn dates_read_in_the_order_of_the_source_and_in_iso() {
    let cases: &[(&str, DateOrder, &str)] = &[
        ("02/09/1990", Mdy, "1990-02-09"),
        ("2/9/1990", Mdy, "1990-02-09"),
        ("2-9-1990", Mdy, "1990-02-09"),
        ("09.02.1990", Dmy, "1990-02-09"),
        ("1990/02/09", Ymd, "1990-02-09"),
        ("90/02/09", Ymd, "1990-02-09"),
        ("1990-02-09", Dmy, "1990-02-09"),
        ("1990-02-09T00:00:00", Mdy, "1990-02-09"),
        ("1990-02-09 00:00:00.000", Mdy, "1990-02-09"),
        ("1990-02-09T23:59:59-05:00", Mdy, "1990-02-09"),
        ("2/9/1990 12:00:00 AM", Mdy, "1990-02-09"),
        ("19900209", Mdy, "1990-02-09"),
        ("09-Feb-1990", Mdy, "1990-02-09"),
        ("09-FEB-90", Ymd, "1990-02-09"),
        ("February 9, 1990", Dmy, "1990-02-09"),
        ("Sept 9 1990", Mdy, "1990-09-09"),
        ("1990-Feb-09", Mdy, "1990-02-09"),
        (" 02/09/1990\u{a0}", Mdy, "1990-02-09"),
    ];
    for (raw, order, expected) in cases {
        assert_eq!(birth_date(raw, *order, today()), Ok(day(expected)), "{raw:?} {order:?}");
    }
}

#[test]
fn what_is_no_date_in_the_order_of_the_source_says_why() {
    use DateProblem::{OtherOrder, OutOfRange, Serial, Unreadable};
    let cases: &[(&str, DateOrder, DateProblem)] = &[
        ("31/12/1990", Mdy, OtherOrder),
        ("12/31/1990", Dmy, OtherOrder),
        ("12/31/1990", Ymd, OtherOrder),
        ("31.12.90", Mdy, OtherOrder),
        ("02/30/1990", Mdy, Unreadable),
        ("1990-02-30", Mdy, Unreadable),
        ("1990-31-12", Mdy, Unreadable),
        ("00/00/0000", Mdy, Unreadable),
        ("", Mdy, Unreadable),
        ("soon", Mdy, Unreadable),
        ("1/2", Mdy, Unreadable),
        ("1/2/3/4", Mdy, Unreadable),
        ("1/2-1990", Mdy, Unreadable),
        ("-1/2/1990", Mdy, Unreadable),
        ("1/2/199", Mdy, Unreadable),
        ("1/2/1990 noon", Mdy, Unreadable),
        ("001/2/1990", Mdy, Unreadable),
        ("-19900209", Mdy, Unreadable),
        ("123456789012", Mdy, Unreadable),
        ("32913", Mdy, Serial),
        ("02/09/0026", Mdy, OutOfRange),
        ("0000-07-31", Mdy, OutOfRange),
        ("1899-12-31", Mdy, OutOfRange),
        ("2026-02-10", Mdy, OutOfRange),
    ];
    for (raw, order, problem) in cases {
        assert_eq!(birth_date(raw, *order, today()), Err(*problem), "{raw:?} {order:?}");
    }
}

#[test]
fn two_digit_years_are_past_for_births_and_near_for_events() {
    for (raw, birth, event) in [
        ("2/9/26", "2026-02-09", "2026-02-09"),
        ("2/10/26", "1926-02-10", "2026-02-10"),
        ("2/9/51", "1951-02-09", "1951-02-09"),
        ("2/9/46", "1946-02-09", "2046-02-09"),
        ("2/9/47", "1947-02-09", "1947-02-09"),
        ("2/29/28", "1928-02-29", "2028-02-29"),
        ("1/1/00", "2000-01-01", "2000-01-01"),
    ] {
        assert_eq!(birth_date(raw, Mdy, today()), Ok(day(birth)), "{raw}");
        assert_eq!(event_date(raw, Mdy, today()), Ok(day(event)), "{raw}");
    }
    assert_eq!(event_date("1/1/05", Mdy, day("2095-06-01")), Ok(day("2105-01-01")));
    assert_eq!(event_date("9999-12-31 23:59:59", Mdy, today()), Ok(day("9999-12-31")));
    assert_eq!(event_date("0001-01-01", Mdy, today()), Err(DateProblem::OutOfRange));
}

/// Any cell, and cells that come near to what is read.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \u{a0}\n\u{300}-\u{303}aeoAZ.,'\u{0}\u{200b}\u{2002}-]{0,12}",
        "[+(]?[0-9]{3,4}[)./ -]{0,2}[0-9]{3}[. -]?[0-9]{4}( ?(x|ext)[0-9]{1,3})?",
        "[0-9]{3,9}(-[0-9]{0,4})?(\\.0)?",
        "[A-Za-z.'+_-]{1,8}@[A-Za-z0-9.-]{1,12}",
        "[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}",
    ]
}

proptest! {
    #[test]
    fn what_was_normalised_once_stays_as_it_is(raw in cell()) {
        let once = text(&raw).into_owned();
        prop_assert_eq!(text(&once), &*once);
        prop_assert!(!hides_characters(&once));
        prop_assert_eq!(trim(&once), &*once);
        if let Ok(number) = phone(&raw) {
            prop_assert!(number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert_eq!(phone(&number), Ok(number));
        }
        if let Ok(address) = email(&raw) {
            prop_assert_eq!(&email(&address).unwrap(), &address);
        }
        if let Ok(code) = zip(&raw) {
            let again = Zip::read(&code).unwrap();
            prop_assert!(!again.repaired);
            prop_assert_eq!(again.code, code);
        }
        if let Ok(code) = state(&raw) {
            prop_assert_eq!(state(code), Ok(code));
        }
        if let Ok(name) = full_name(&raw) {
            prop_assert!(!name.first.is_empty() && !name.last.is_empty());
        }
        for order in [Mdy, Dmy, Ymd] {
            if let Ok(date) = birth_date(&raw, order, today()) {
                prop_assert!(date <= today() && day("1900-01-01") <= date);
                prop_assert_eq!(birth_date(&date.to_string(), order, today()), Ok(date));
            }
            if let Ok(date) = event_date(&raw, order, today()) {
                prop_assert_eq!(event_date(&date.to_string(), order, today()), Ok(date));
            }
        }
    }

    #[test]
    fn every_date_reads_back_in_every_order(days in 693_961_i32..739_000, order in prop_oneof![Just(Mdy), Just(Dmy), Just(Ymd)]) {
        let date = NaiveDate::from_num_days_from_ce_opt(days).unwrap();
        let format = match order { Mdy => "%m/%d/%Y", Dmy => "%d/%m/%Y", Ymd => "%Y/%m/%d" };
        prop_assert_eq!(birth_date(&date.format(format).to_string(), order, today()), Ok(date));
        prop_assert_eq!(birth_date(&date.format("%d-%b-%Y").to_string(), order, today()), Ok(date));
    }
}
