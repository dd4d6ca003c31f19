//! How the dictionaries were made, from people and batches that never were:
//! `cargo test --lib make_the_dictionaries -- --ignored` writes them into the folder for temporary files. Other ones
//! are another version of the record, beside the ones that are there.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::super::packing::LEVEL;
use super::super::{changes, json, unpack};
use super::Kind;
use crate::report::{Arrival, Batch, Failure, MovedOut, Phase, Reason};
use crate::roster::ids::{GroupId, GroupRef, PlanId, ReferenceId, RequestId, RunId, SourceName};
use crate::roster::member::{Field, Member, Texts};
use crate::roster::{Entry, Origin};
use crate::store::{BatchChanges, Change, Ids, MemberChange};

const SAMPLES: usize = 20_000;
/// Larger ones save a hundredth more.
const BYTES: usize = 4 * 1024;

const FIRST: &[&str] = &[
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "Michael",
    "Linda",
    "Elizabeth",
    "William",
    "Barbara",
    "Susan",
    "Joseph",
    "Jessica",
    "Karen",
    "Nancy",
    "Matthew",
    "Anthony",
    "Sandra",
    "Ashley",
    "Steven",
    "Kimberly",
    "Emily",
    "Donna",
    "Joshua",
    "Michelle",
    "José",
    "María",
    "Zoë",
    "Wei",
    "Priya",
    "Fatima",
    "Omar",
    "Yuki",
    "Dmitri",
    "Olga",
    "Kwame",
    "Quentin",
    "Xavier",
    "Jean-Paul",
];
const LAST: &[&str] = &[
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Moore",
    "Jackson",
    "Thompson",
    "White",
    "Harris",
    "Clark",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "Wright",
    "Nguyen",
    "O'Brien",
    "Núñez",
    "Müller",
    "Patel",
    "Khan",
    "Zhang",
    "van Dyke",
    "Smith-Jones",
];
const STREETS: &[&str] = &[
    "Main",
    "Oak",
    "Pine",
    "Maple",
    "Cedar",
    "Elm",
    "Washington",
    "Lake",
    "Hill",
    "Walnut",
    "Spring",
    "North",
    "Ridge",
    "Church",
    "Willow",
    "Mill",
    "Sunset",
    "Railroad",
    "Jackson",
    "Park",
    "Highland",
    "Franklin",
    "River",
    "Meadow",
    "Queen",
];
const KINDS: &[&str] =
    &["St", "Ave", "Rd", "Blvd", "Ln", "Dr", "Ct", "Way", "Street", "Avenue", "Road", "Drive", "Lane"];
const CITIES: &[(&str, &str)] = &[
    ("Boston", "MA"),
    ("Springfield", "IL"),
    ("Newark", "NJ"),
    ("Hartford", "CT"),
    ("New York", "NY"),
    ("Buffalo", "NY"),
    ("Philadelphia", "PA"),
    ("Atlanta", "GA"),
    ("Miami", "FL"),
    ("Columbus", "OH"),
    ("Detroit", "MI"),
    ("Chicago", "IL"),
    ("Austin", "TX"),
    ("Houston", "TX"),
    ("Denver", "CO"),
    ("Phoenix", "AZ"),
    ("Los Angeles", "CA"),
    ("Portland", "OR"),
    ("Seattle", "WA"),
    ("St. Louis", "MO"),
    ("Nashville", "TN"),
    ("Charlotte", "NC"),
    ("Richmond", "VA"),
    ("Baltimore", "MD"),
];
const PLANS: &[&str] = &["pln_gold", "pln_silver", "pln_bronze", "plan_ppo_1500", "pln_hdhp_3000", "pln_01J8ZK3Q9X"];
const GROUPS: &[&str] = &["acme", "north", "store", "group", "ACME", "G", "company", "plant"];
const RULES: &[(&str, &str)] = &[
    ("terminated", "the file says terminated: by its status, or by a last day of coverage that is over"),
    ("missing", "missing from 2 accepted exports in a row (2 confirm an absence)"),
    ("moved", "the file lists the person in another group"),
    ("waived", "the file says waived"),
];

struct Company {
    random: fastrand::Rng,
    now: DateTime<Utc>,
}

impl Company {
    fn new() -> Self {
        let now = "2026-01-05T06:00:00Z".parse().unwrap();
        Self { random: fastrand::Rng::with_seed(2), now }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn someday(&mut self) -> DateTime<Utc> {
        self.now + TimeDelta::milliseconds(self.random.i64(0..1000 * 86_400 * 900))
    }

    fn who(&mut self) -> ReferenceId {
        let number = self.random.u32(..1_000_000);
        let id = match self.random.u8(..4) {
            0 => format!("E{number:08}"),
            1 => format!("{number:06}"),
            2 => format!("EMP-{number}"),
            _ => number.to_string(),
        };
        ReferenceId::parse(&id).unwrap()
    }

    fn group(&mut self) -> GroupRef {
        let number = self.random.u32(..10_000);
        GroupRef::parse(&format!("{}-{number:04}", self.pick(GROUPS))).unwrap()
    }

    fn run(&mut self) -> RunId {
        let at = self.someday();
        Ids::after(None, None).run(at)
    }

    fn entry(&mut self) -> Entry {
        let (first, last, (city, state)) = (self.pick(FIRST), self.pick(LAST), self.pick(CITIES));
        let plan = PlanId::parse(self.pick(PLANS)).unwrap();
        let house = self.random.u32(1..9999);
        let email = format!("{first}.{last}{}@example.com", self.random.u8(..99)).to_lowercase();
        let who = self.who();
        let born = NaiveDate::from_ymd_opt(1950, 1, 1).unwrap() + TimeDelta::days(self.random.i64(0..20_000));
        let phone = self.random.bool().then(|| format!("{}", self.random.u64(2_000_000_000..9_999_999_999)));
        let email = (self.random.u8(..4) != 0).then_some(email);
        let line_1 = format!("{house} {} {}", self.pick(STREETS), self.pick(KINDS));
        let line_2 = (self.random.u8(..5) == 0).then(|| format!("Apt {}", self.random.u8(1..99)));
        let zipcode = format!("{:05}", self.random.u32(501..99_950));
        let texts = Texts {
            first_name: first,
            last_name: last,
            phone: phone.as_deref(),
            email: email.as_deref(),
            address_line_1: &line_1,
            address_line_2: line_2.as_deref(),
            city,
            state,
            zipcode: &zipcode,
        };
        Entry {
            member: Member::new(who, plan.clone(), born, &texts),
            origin: Origin {
                source: SourceName::parse("hris").unwrap(),
                run: self.run(),
                line: self.random.u64(2..1_000_000),
            },
            subscribed_plan: plan,
        }
    }

    /// A few fields as somebody else has them.
    fn changed(&mut self, before: &Entry) -> Entry {
        let (mut after, other) = (before.clone(), self.entry());
        let address = [Field::AddressLine1, Field::AddressLine2, Field::City, Field::State, Field::Zipcode];
        let fields: &[Field] = match self.random.u8(..10) {
            0..5 => &address,
            5 | 6 => &[Field::Phone],
            7 => &[Field::Email],
            8 => &[Field::LastName],
            _ => &[Field::PlanId],
        };
        for field in fields {
            assert!(after.member.set_value(*field, other.member.value(*field).as_deref()));
        }
        after.origin = other.origin;
        after
    }

    fn batch(&mut self) -> Batch {
        let now = self.someday();
        let (run, id) =
            (Ids::after(None, None).run(now), Ids::after(None, None).batch(now + TimeDelta::milliseconds(300)));
        let mut batch = Batch::pending(id, run, self.group(), self.random.usize(1..2000), Some(0));
        batch.phase = if self.random.u8(..20) == 0 { Phase::Lost } else { Phase::Completed };
        batch.attempts = 1;
        batch.request_id = Some(RequestId::parse(&format!("grpmsr_{:032x}", self.random.u128(..))).unwrap());
        batch.group_id = Some(GroupId::parse(&format!("grp_{:032x}", self.random.u128(..))).unwrap());
        let mut then = now;
        let mut later = |random: &mut fastrand::Rng| {
            then += TimeDelta::microseconds(random.i64(100..60_000_000));
            Some(then)
        };
        batch.submitted_at = later(&mut self.random);
        batch.accepted_at = later(&mut self.random);
        batch.completed_at = later(&mut self.random);
        batch.added = self.random.u64(..9);
        batch.removed = self.random.u64(..9);
        batch.planned_removals = Some(batch.removed);
        for _ in 0..batch.removed.min(3) {
            let (rule, why) = self.pick(RULES);
            let (rule, why) = (rule.to_owned(), why.to_owned());
            let line = Some(self.random.u64(2..1_000_000));
            batch.reasons.push(Reason { reference_id: self.who(), rule, run: None, line, why });
        }
        if self.random.u8(..20) == 0 {
            batch.failures.push(Failure {
                reference_id: self.who().to_string(),
                operation: "add".to_owned(),
                reason: "the plan is unknown".to_owned(),
            });
            batch.moves_out.push(MovedOut { reference_id: self.who(), to: self.group() });
            let arrival = Arrival {
                reference_id: self.who(),
                from: self.group(),
                left_at: batch.submitted_at,
                gap_seconds: Some(77),
                stays: None,
            };
            batch.moves_in.push(arrival);
        }
        batch
    }

    fn changes(&mut self) -> BatchChanges {
        let (now, how_many) = (self.run(), self.random.usize(1..9));
        let mut after = Vec::new();
        let mut changes = Vec::new();
        for _ in 0..how_many {
            let before = self.entry();
            let mut then = self.changed(&before);
            then.origin.run = now.clone();
            changes.push(match self.random.u8(..10) {
                0..6 => MemberChange::changed(&before, &then),
                6 | 7 => MemberChange::removed(&before),
                8 => MemberChange {
                    reference_id: then.member.reference_id.clone(),
                    what: Change::Returned(then.origin.clone()),
                },
                _ => MemberChange {
                    reference_id: then.member.reference_id.clone(),
                    what: Change::Added(then.origin.clone()),
                },
            });
            after.push(then);
        }
        changes.sort_by(|a, b| a.reference_id.cmp(&b.reference_id));
        BatchChanges::new(changes, |id| after.iter().find(|entry| entry.member.reference_id == *id))
    }
}

#[test]
#[ignore = "makes the dictionaries of a new version"]
fn make_the_dictionaries() {
    let mut company = Company::new();
    let made = |name: &str, kind, mut sealed: Box<dyn FnMut() -> Vec<u8> + '_>| {
        let bodies: Vec<Vec<u8>> = (0..SAMPLES).map(|_| unpack(kind, b"", &sealed()).unwrap()).collect();
        let dictionary = zstd::dict::from_samples(&bodies, BYTES).unwrap();
        std::fs::write(std::env::temp_dir().join(name), dictionary).unwrap();
    };
    made("batch_v2.dict", Kind::Batch, Box::new(|| json(Kind::Batch, b"", &company.batch()).unwrap()));
    made("changes_v2.dict", Kind::Changes, Box::new(|| changes(b"", &company.changes()).unwrap()));
}

/// Otherwise they would not be worth their place.
#[test]
fn a_record_of_usual_size_takes_much_less_with_its_dictionary() {
    let mut company = Company::new();
    let (mut packed, mut plain) = ([0, 0], [0, 0]);
    for _ in 0..200 {
        let records = [
            (Kind::Batch, json(Kind::Batch, b"", &company.batch()).unwrap()),
            (Kind::Changes, changes(b"", &company.changes()).unwrap()),
        ];
        for (at, (kind, sealed)) in records.into_iter().enumerate() {
            packed[at] += sealed.len();
            plain[at] += zstd::bulk::compress(&unpack(kind, b"", &sealed).unwrap(), LEVEL).unwrap().len();
        }
    }
    assert!(packed[0] * 2 < plain[0], "{packed:?} {plain:?}");
    assert!(packed[1] * 4 < plain[1] * 3, "{packed:?} {plain:?}");
}
