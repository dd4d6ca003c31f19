//! People who are made up, for the benchmarks that fill a store.

use chrono::NaiveDate;
use rosterd::roster::ids::{PlanId, ReferenceId, RunId, SourceName};
use rosterd::roster::member::{Member, Texts};
use rosterd::roster::{Entry, Origin};

/// The id of each, by number.
pub(crate) fn id_of(number: usize) -> ReferenceId {
    ReferenceId::parse(&format!("E{number:08}")).unwrap()
}

/// A member by number. Texts as random as names and streets are: what a compressor saves on constant ones says nothing.
pub(crate) fn entry(run: &RunId, number: usize, random: &mut fastrand::Rng) -> Entry {
    let mut word = |length: usize| -> String { std::iter::repeat_with(|| random.lowercase()).take(length).collect() };
    let (first, last, street, city) = (word(6), word(8), word(10), word(7));
    let born = NaiveDate::from_num_days_from_ce_opt(712_000 + random.i32(0..18_000)).unwrap();
    let phone = format!("215555{:04}", random.u32(0..10_000));
    let email = format!("{first}.{last}@example.test");
    let street = format!("{} {street} Street", random.u32(1..9999));
    let zipcode = format!("{:05}", random.u32(10_000..99_999));
    let texts = Texts {
        first_name: &first,
        last_name: &last,
        phone: Some(&phone),
        email: Some(&email),
        address_line_1: &street,
        address_line_2: None,
        city: &city,
        state: "PA",
        zipcode: &zipcode,
    };
    Entry {
        member: Member::new(id_of(number), PlanId::parse("pln_gold").unwrap(), born, &texts),
        origin: Origin { source: SourceName::parse("hris").unwrap(), run: run.clone(), line: number as u64 + 2 },
        subscribed_plan: PlanId::parse("pln_gold").unwrap(),
    }
}
