//! The company as its HR department knows it: the truth that everything else is held against. Nothing here is rosterd's code.

use chrono::{Days, NaiveDate};

/// The words of the plan column, and the plans behind them; the last is no plan.
pub(crate) const PLANS: [(&str, Option<&str>); 3] =
    [("Basic", Some("pln_basic")), ("Gold", Some("pln_gold")), ("Waived", None)];
pub(crate) const WAIVED: usize = 2;

const FIRST: [&str; 10] = ["Ana", "Ben", "Cora", "Dan", "Eve", "Finn", "Gus", "Hope", "Ian", "June"];
const LAST: [&str; 12] =
    ["Adams", "Baker", "Cook", "Diaz", "Evans", "Ford", "Gray", "Hill", "Ives", "Jones", "Klein", "Lopez"];

/// What is on file about a human being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) born: NaiveDate,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) zip: String,
    /// Which of [`PLANS`].
    pub(crate) plan: usize,
}

/// The fields that a change of record can touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    First,
    Last,
    Born,
    Email,
    Phone,
    Street,
    Zip,
}

pub(crate) const PARTS: [Part; 7] =
    [Part::First, Part::Last, Part::Born, Part::Email, Part::Phone, Part::Street, Part::Zip];

impl Record {
    /// A human being unlike every other, by number.
    pub(crate) fn of(number: usize) -> Self {
        let letter = |at: usize| char::from(b'a' + u8::try_from(at % 26).unwrap());
        let (year, month, day) = (1950 + number % 50, number % 12 + 1, number % 28 + 1);
        let born = NaiveDate::from_ymd_opt(
            i32::try_from(year).unwrap(),
            u32::try_from(month).unwrap(),
            u32::try_from(day).unwrap(),
        );
        Self {
            first: FIRST[number % FIRST.len()].to_owned(),
            last: format!("{}{}{}", LAST[number % LAST.len()], letter(number), letter(number / 26)),
            born: born.unwrap(),
            email: format!("p{number}@example.com"),
            phone: format!("212555{:04}", number % 10_000),
            street: format!("{} Main St", number + 1),
            city: "Albany".to_owned(),
            state: "NY".to_owned(),
            zip: format!("1{:04}", number % 10_000),
            plan: 0,
        }
    }

    /// Another value for one field; `salt` tells one change from the next.
    pub(crate) fn change(&mut self, part: Part, salt: usize) {
        match part {
            Part::First => self.first = format!("{}{}", FIRST[salt % FIRST.len()], "xyz".get(..1 + salt % 2).unwrap()),
            Part::Last => self.last = format!("New{}{salt}", LAST[salt % LAST.len()]).replace(char::is_numeric, "q"),
            Part::Born => self.born = self.born + Days::new(1 + salt as u64 % 300),
            Part::Email => self.email = format!("n{salt}@example.org"),
            Part::Phone => self.phone = format!("646555{:04}", salt % 10_000),
            Part::Street => self.street = format!("{salt} Oak Ave"),
            Part::Zip => self.zip = format!("2{:04}", salt % 10_000),
        }
    }

    /// The fields in which two records differ, but for the plan.
    pub(crate) fn differing(&self, other: &Self) -> Vec<Part> {
        let differs = |part: &Part| match part {
            Part::First => self.first != other.first,
            Part::Last => self.last != other.last,
            Part::Born => self.born != other.born,
            Part::Email => self.email != other.email,
            Part::Phone => self.phone != other.phone,
            Part::Street => (&self.street, &self.city, &self.state) != (&other.street, &other.city, &other.state),
            Part::Zip => self.zip != other.zip,
        };
        PARTS.into_iter().filter(differs).collect()
    }

    /// Whether both are the same human being, as far as a file can tell.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.first, &self.last, self.born) == (&other.first, &other.last, other.born)
    }
}

/// How a person stands with the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Has no row.
    Outside,
    /// Works there, or will, until the day of the end.
    Active { start: NaiveDate, end: Option<NaiveDate> },
    /// The row says that they left; without a day of the end, they left at once.
    Left { start: NaiveDate, end: Option<NaiveDate> },
}

impl Standing {
    /// The first day; none for whoever has no row.
    pub(crate) fn start(self) -> Option<NaiveDate> {
        match self {
            Self::Outside => None,
            Self::Active { start, .. } | Self::Left { start, .. } => Some(start),
        }
    }

    /// Whether somebody who stands so is covered on that day, whatever their plan.
    pub(crate) fn covers(self, today: NaiveDate) -> bool {
        match self {
            Self::Outside => false,
            // An end before the start belongs to a time before, and covers to its last day.
            Self::Active { start, end } => match end {
                Some(end) if end < start => today <= end || start <= today,
                Some(end) => start <= today && today <= end,
                None => start <= today,
            },
            // A stated end that is still to come is notice given.
            Self::Left { start, end } => end.is_some_and(|end| today <= end && (start <= today || end < start)),
        }
    }

    /// Whether the last day of one period is still to come, and the first of the next as well.
    pub(crate) fn is_between(self, today: NaiveDate) -> bool {
        match self {
            Self::Outside => false,
            Self::Active { start, end } | Self::Left { start, end } => {
                today < start && end.is_some_and(|end| today <= end && end < start)
            }
        }
    }
}

/// A person of the company, past, present or to come.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) source: usize,
    pub(crate) group: usize,
    pub(crate) record: Record,
    pub(crate) standing: Standing,
    /// The source that lists them as well, by mistake.
    pub(crate) also_in: Option<usize>,
}

impl Person {
    pub(crate) fn is_covered(&self, today: NaiveDate) -> bool {
        self.standing.covers(today) && self.record.plan != WAIVED
    }
}

/// The company: everybody who ever works there has their place in `people` from the start.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    pub(crate) people: Vec<Person>,
    pub(crate) today: NaiveDate,
    /// How often each source gave everybody new ids.
    pub(crate) renumbered: u32,
}

/// How ids of a source look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// `E1007`
    Letter,
    /// `0001007`
    Zeros,
    /// `Ab-1007`
    Mixed,
}

impl Ids {
    pub(crate) fn id(self, source: usize, number: usize) -> String {
        match self {
            Self::Letter => format!("E{}{number:03}", source + 1),
            Self::Zeros => format!("000{}{number:03}", source + 1),
            Self::Mixed => format!("Ab-{}{number:03}", source + 1),
        }
    }
}

/// The word of a group in the division column.
pub(crate) fn division(group: usize) -> String {
    format!("D{group}")
}

/// The group's reference in the API.
pub(crate) fn reference(group: usize) -> String {
    format!("acme-d{group}")
}
