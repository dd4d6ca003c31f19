//! Histories: what happens to a company, its files, its operators, its API and its machine, day by day. Everything is decided from
//! the seed before anything runs, and every event stands for itself, so that any of them can be left out.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use fastrand::Rng;

use super::export::{COLUMNS, Flaw, Shifted};
use super::people::{Company, Ids, PARTS, Part, Person, Record, Standing};

/// The first day: a Monday.
pub(crate) const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap();

/// How long the world is left alone after something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Not,
    Seconds(u32),
    Quiet,
}

/// How an operator goes through what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Approves what HR meant, discards what HR did not mean.
    Wise,
    /// Approves everything.
    Careless,
    /// Discards everything.
    Strict,
}

/// What the API does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    LosesAnswer,
    LosesAnswer502,
    BrokenJson,
    Slow,
    Error500,
    Html502,
    RateLimited,
    Reset,
    NeverCompletes,
    Forgets,
    HidesAtFirst,
    PollErrors,
    NoResults,
    WrongGroup,
    Refuses,
    LosesCreation,
    AddedAndFailed,
    UnknownReference,
    ListFails,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    // --- the company
    Hire { person: usize, in_days: u64 },
    LeaveStated(usize),
    LeaveInDays { person: usize, days: u64, is_word: bool },
    LeaveSilently(usize),
    Move { person: usize, group: usize },
    Swap(usize, usize),
    Change { person: usize, part: Part, salt: usize },
    ChangePlan { person: usize, plan: usize },
    Reuse(usize),
    Renumber(usize),
    Layoff { group: usize, hundredths: u32, is_stated: bool },
    ListTwice { person: usize, source: usize },
    ListOnce(usize),
    Recruit { source: usize, group: usize, count: usize },
    // --- files
    Drop { source: usize, into: usize, flaws: Vec<Flaw>, wait: Wait },
    DropOld { source: usize, back: usize, keeps_time: bool, wait: Wait },
    DropAgain { source: usize, wait: Wait },
    // --- operators
    Operate(Manner),
    Retry(usize),
    // --- the API
    Trouble { trouble: Trouble, group: Option<usize>, times: u32 },
    FailMember { person: usize, on: u8, times: u32 },
    Block(usize),
    RefuseKey,
    Mend,
    // --- the machine
    Restart,
    Kill { writes: u64 },
    Hours(u32),
}

impl Event {
    /// The kind, for counting.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Hire { in_days: 0, .. } => "hire".to_owned(),
            Self::Hire { .. } => "future hire".to_owned(),
            Self::LeaveStated(_) => "stated leaver".to_owned(),
            Self::LeaveInDays { .. } => "future leaver".to_owned(),
            Self::LeaveSilently(_) => "silent leaver".to_owned(),
            Self::Move { .. } => "move".to_owned(),
            Self::Swap(..) => "swap".to_owned(),
            Self::Change { .. } => "record change".to_owned(),
            Self::ChangePlan { plan, .. } => if *plan == 2 { "waiver" } else { "plan change" }.to_owned(),
            Self::Reuse(_) => "id given to another".to_owned(),
            Self::Renumber(_) => "all get new ids".to_owned(),
            Self::Layoff { .. } => "layoff".to_owned(),
            Self::ListTwice { .. } => "listed by two sources".to_owned(),
            Self::ListOnce(_) => "listed by one source again".to_owned(),
            Self::Recruit { .. } => "many hires at once".to_owned(),
            Self::Drop { source, into, flaws, .. } if source != into && flaws.is_empty() => {
                "file in the wrong inbox".to_owned()
            }
            Self::Drop { flaws, .. } => {
                flaws.first().map_or_else(|| "good file".to_owned(), |flaw| format!("file: {}", flaw.name()))
            }
            Self::DropOld { keeps_time: true, .. } => "stale file, old time".to_owned(),
            Self::DropOld { .. } => "stale file, new time".to_owned(),
            Self::DropAgain { .. } => "duplicate file".to_owned(),
            Self::Operate(manner) => format!("operator: {manner:?}"),
            Self::Retry(_) => "operator: retry".to_owned(),
            Self::Trouble { trouble, .. } => format!("API: {trouble:?}"),
            Self::FailMember { on: 0, .. } => "API: add fails".to_owned(),
            Self::FailMember { on: 1, .. } => "API: removal fails".to_owned(),
            Self::FailMember { .. } => "API: update fails".to_owned(),
            Self::Block(_) => "API: blocked elsewhere".to_owned(),
            Self::RefuseKey => "API: key refused".to_owned(),
            Self::Mend => "API: mended".to_owned(),
            Self::Restart => "restart".to_owned(),
            Self::Kill { .. } => "kill".to_owned(),
            Self::Hours(_) => "hours pass".to_owned(),
        }
    }
}

/// What a company is like before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) sources: Vec<SourceShape>,
    pub(crate) groups: usize,
    pub(crate) people: Vec<Person>,
    /// A group that the API has before rosterd, with its people and somebody else in it.
    pub(crate) stranger: Option<usize>,
    pub(crate) in_flight: usize,
}

/// A source.
#[derive(Clone, Debug)]
pub(crate) struct SourceShape {
    pub(crate) order: Vec<usize>,
    pub(crate) confirm_absence: u32,
    /// `change = "replace"`
    pub(crate) replaces: bool,
}

/// One life of a company.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    pub(crate) days: u64,
    /// In order, each with its day.
    pub(crate) events: Vec<(u64, Event)>,
}

impl History {
    pub(crate) fn of(seed: u64, days: Option<u64>) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let days = days.unwrap_or_else(|| rng.u64(20..=60));
        let shape = shape(&mut rng);
        let company = Company { people: shape.people.clone(), today: FIRST_DAY, renumbered: 0 };
        let mut making =
            Making { rng, shape: &shape, company, events: Vec::new(), day: 0, salt: 0, ills: Ills::default() };
        making.temper();
        for day in 0..days {
            making.day(day);
        }
        let events = making.events;
        Self { seed, shape, days, events }
    }

    pub(crate) fn company(&self) -> Company {
        Company { people: self.shape.people.clone(), today: FIRST_DAY, renumbered: 0 }
    }

    /// In words, a line an event.
    pub(crate) fn told(&self) -> String {
        use std::fmt::Write as _;
        let mut told = String::new();
        let mut sizes = vec![0; self.shape.groups];
        for person in self.shape.people.iter().filter(|person| person.standing != Standing::Outside) {
            sizes[person.group] += 1;
        }
        let (sources, groups) = (self.shape.sources.len(), self.shape.groups);
        writeln!(
            told,
            "{} days, {sources} sources, {groups} groups of {sizes:?}, stranger {:?}",
            self.days, self.shape.stranger
        )
        .unwrap();
        for (day, event) in &self.events {
            let date = FIRST_DAY + Days::new(*day);
            writeln!(told, "  day {day} ({} {date}): {event:?}", date.weekday()).unwrap();
        }
        told
    }
}

fn shape(rng: &mut Rng) -> Shape {
    let n_sources = rng.usize(2..=3);
    let groups = rng.usize(2..=6);
    let mut people = Vec::new();
    let mut sources = Vec::new();
    let mut owners: Vec<Vec<usize>> = (0..groups).map(|group| vec![group % n_sources]).collect();
    for owner in &mut owners {
        if rng.u32(0..6) == 0 {
            let second = (owner[0] + 1) % n_sources;
            owner.push(second);
        }
    }
    let ids = [Ids::Letter, Ids::Zeros, Ids::Mixed];
    let first_ids = rng.usize(0..3);
    for source in 0..n_sources {
        let mut order: Vec<usize> = (0..COLUMNS.len()).collect();
        if rng.bool() {
            rng.shuffle(&mut order);
        }
        let confirm_absence = if rng.u32(0..8) == 0 { 3 } else { 2 };
        let replaces = rng.u32(0..3) == 0;
        sources.push(SourceShape { order, confirm_absence, replaces });
        let style = ids[(first_ids + source) % 3];
        let mut number = 0;
        let mut add = |people: &mut Vec<Person>, group: usize, standing: Standing, plan: usize| {
            number += 1;
            let mut record = Record::of(people.len());
            record.plan = plan;
            people.push(Person { id: style.id(source, number), source, group, record, standing, also_in: None });
        };
        let ours: Vec<usize> = (0..groups).filter(|group| owners[*group].contains(&source)).collect();
        for group in &ours {
            let size = match rng.u32(0..10) {
                0 | 1 => rng.usize(1..=3),
                2..=5 => rng.usize(3..=12),
                6..=8 => rng.usize(8..=20),
                _ => rng.usize(20..=30),
            };
            for _ in 0..size {
                let start = FIRST_DAY - Days::new(rng.u64(10..2000));
                let plan = if rng.u32(0..12) == 0 { rng.usize(0..3) } else { 0 };
                add(&mut people, *group, Standing::Active { start, end: None }, plan);
            }
        }
        for _ in 0..18 {
            if let Some(group) = rng.choice(&ours) {
                add(&mut people, *group, Standing::Outside, 0);
            }
        }
    }
    let stranger = (rng.u32(0..5) == 0).then(|| rng.usize(0..groups));
    let in_flight = if rng.bool() { 1 } else { 4 };
    Shape { sources, groups, people, stranger, in_flight }
}

/// How much of what goes on in one history: some are calm, some are not.
#[derive(Default)]
struct Ills {
    flaws: u32,
    troubles: u32,
    kills: u32,
    operates: u32,
    manner: u32,
    changes: u32,
}

struct Making<'a> {
    rng: Rng,
    shape: &'a Shape,
    /// As the events would have it, so that they make sense.
    company: Company,
    events: Vec<(u64, Event)>,
    day: u64,
    salt: usize,
    ills: Ills,
}

impl Making<'_> {
    fn temper(&mut self) {
        let rng = &mut self.rng;
        self.ills = Ills {
            flaws: *rng.choice(&[0, 15, 30, 60]).unwrap(),
            troubles: *rng.choice(&[0, 10, 30]).unwrap(),
            kills: *rng.choice(&[0, 5, 20]).unwrap(),
            operates: *rng.choice(&[20, 50, 90]).unwrap(),
            manner: rng.u32(0..4),
            changes: rng.u32(1..5),
        };
    }

    fn push(&mut self, event: Event) {
        self.company.today = FIRST_DAY + Days::new(self.day);
        befall(&mut self.company, &event);
        self.events.push((self.day, event));
    }

    fn percent(&mut self, of: u32) -> bool {
        self.rng.u32(0..100) < of
    }

    fn day(&mut self, day: u64) {
        self.day = day;
        let weekday = (FIRST_DAY + Days::new(day)).weekday();
        let is_weekend = matches!(weekday, Weekday::Sat | Weekday::Sun);
        if day != 0 {
            for _ in 0..self.rng.u32(0..=self.ills.changes) {
                self.company_event();
            }
        }
        if self.percent(self.ills.troubles) {
            self.api_event();
        }
        if day != 0 && self.percent(self.ills.kills) {
            self.machine_event();
        }
        let files = if day == 0 {
            100
        } else if is_weekend {
            15
        } else {
            88
        };
        for source in 0..self.shape.sources.len() {
            if self.percent(files) {
                self.file(source);
                if self.percent(8) {
                    if self.percent(50) {
                        self.company_event();
                    }
                    self.file(source);
                }
            }
        }
        if !is_weekend && day != 0 && self.percent(3) {
            self.swapped_files();
        }
        if self.percent(self.ills.operates) {
            let manner = match (self.ills.manner, self.rng.u32(0..10)) {
                (0 | 1, 0..8) | (2, 0..4) => Manner::Wise,
                (0, _) | (3, 0..2) => Manner::Strict,
                _ => Manner::Careless,
            };
            self.push(Event::Operate(manner));
            if self.percent(10) {
                let group = self.rng.usize(0..self.shape.groups);
                self.push(Event::Retry(group));
            }
        }
        if self.percent(40) {
            self.push(Event::Mend);
        }
    }

    fn wait(&mut self) -> Wait {
        match self.rng.u32(0..10) {
            0 => Wait::Not,
            1 => Wait::Seconds(self.rng.u32(1..5)),
            _ => Wait::Quiet,
        }
    }

    /// Somebody who is covered, or works there; of the given source if any.
    fn somebody(&mut self, source: Option<usize>) -> Option<usize> {
        let works = |person: &Person| matches!(person.standing, Standing::Active { end: None, .. });
        let people = self.company.people.iter().enumerate();
        let fits = people.filter(|(_, person)| works(person) && source.is_none_or(|source| source == person.source));
        let all: Vec<usize> = fits.map(|(at, _)| at).collect();
        self.rng.choice(&all).copied()
    }

    fn company_event(&mut self) {
        self.salt += 1;
        let salt = self.salt + 1000 * usize::try_from(self.day).unwrap();
        let event = match self.rng.u32(0..100) {
            0..22 => self.hire(),
            22..30 => self.somebody(None).map(Event::LeaveStated),
            30..38 => self.somebody(None).map(|person| Event::LeaveInDays {
                person,
                days: self.rng.u64(0..12),
                is_word: self.rng.bool(),
            }),
            38..48 => self.somebody(None).map(Event::LeaveSilently),
            48..55 => self.somebody(None).map(|person| {
                let group = self.group_beside(person);
                Event::Move { person, group }
            }),
            55..57 => self.somebody(None).zip(self.somebody(None)).map(|(one, other)| Event::Swap(one, other)),
            57..78 => {
                let part = *self.rng.choice(&PARTS).unwrap();
                self.somebody(None).map(|person| Event::Change { person, part, salt })
            }
            78..85 => {
                let plan = self.rng.usize(0..3);
                self.somebody(None).map(|person| Event::ChangePlan { person, plan })
            }
            85..87 => self.somebody(None).map(Event::Reuse),
            87..88 => Some(Event::Renumber(self.rng.usize(0..self.shape.sources.len()))),
            88..91 => Some(Event::Layoff {
                group: self.rng.usize(0..self.shape.groups),
                hundredths: *self.rng.choice(&[15, 30, 50, 100]).unwrap(),
                is_stated: self.rng.bool(),
            }),
            91..93 => {
                let source = self.rng.usize(0..self.shape.sources.len());
                self.somebody(None).map(|person| Event::ListTwice { person, source })
            }
            93..96 => {
                let twice = self.company.people.iter().position(|person| person.also_in.is_some());
                twice.map(Event::ListOnce)
            }
            _ => {
                let source = self.rng.usize(0..self.shape.sources.len());
                let count = self.rng.usize(5..17);
                let of_source = self.company.people.iter().find(|person| person.source == source);
                of_source.map(|person| person.group).map(|group| Event::Recruit { source, group, count })
            }
        };
        if let Some(event) = event {
            self.push(event);
        }
    }

    fn group_beside(&mut self, person: usize) -> usize {
        let (source, from) = (self.company.people[person].source, self.company.people[person].group);
        let ours = self.company.people.iter().filter(|other| other.source == source).map(|other| other.group);
        let mut others: Vec<usize> = ours.filter(|group| *group != from).collect();
        others.sort_unstable();
        others.dedup();
        self.rng.choice(&others).copied().unwrap_or((from + 1) % self.shape.groups)
    }

    fn hire(&mut self) -> Option<Event> {
        let is_free = |person: &Person| !matches!(person.standing, Standing::Active { .. });
        let people = self.company.people.iter().enumerate();
        let free: Vec<usize> = people.filter(|(_, person)| is_free(person)).map(|(at, _)| at).collect();
        let person = *self.rng.choice(&free)?;
        let in_days = if self.percent(30) { self.rng.u64(1..10) } else { 0 };
        Some(Event::Hire { person, in_days })
    }

    fn api_event(&mut self) {
        let group = self.rng.bool().then(|| self.rng.usize(0..self.shape.groups));
        let troubles = [
            Trouble::LosesAnswer,
            Trouble::LosesAnswer502,
            Trouble::BrokenJson,
            Trouble::Slow,
            Trouble::Error500,
            Trouble::Html502,
            Trouble::RateLimited,
            Trouble::Reset,
            Trouble::NeverCompletes,
            Trouble::Forgets,
            Trouble::HidesAtFirst,
            Trouble::PollErrors,
            Trouble::NoResults,
            Trouble::WrongGroup,
            Trouble::Refuses,
            Trouble::LosesCreation,
            Trouble::AddedAndFailed,
            Trouble::UnknownReference,
            Trouble::ListFails,
        ];
        let trouble = *self.rng.choice(&troubles).unwrap();
        let event = match self.rng.u32(0..10) {
            0..7 => Event::Trouble { trouble, group, times: *self.rng.choice(&[1, 1, 2, 40]).unwrap() },
            7 | 8 => {
                let (on, times) = (self.rng.u8(0..3), self.rng.u32(1..3));
                let Some(person) = self.somebody(None) else { return };
                Event::FailMember { person, on, times }
            }
            _ if self.rng.bool() => Event::RefuseKey,
            _ => {
                let outside = |person: &Person| person.standing == Standing::Outside;
                let people = self.company.people.iter().enumerate();
                let all: Vec<usize> = people.filter(|(_, person)| outside(person)).map(|(at, _)| at).collect();
                let Some(person) = self.rng.choice(&all).copied() else { return };
                Event::Block(person)
            }
        };
        self.push(event);
    }

    fn machine_event(&mut self) {
        let event = match self.rng.u32(0..10) {
            0..2 => Event::Restart,
            2 => Event::Hours(self.rng.u32(1..8)),
            _ => Event::Kill { writes: self.rng.u64(0..24) },
        };
        self.push(event);
    }

    fn file(&mut self, source: usize) {
        let wait = self.wait();
        let event = match self.rng.u32(0..100) {
            0..2 if self.day != 0 => {
                let (back, keeps_time) = (self.rng.usize(1..6), self.rng.bool());
                Event::DropOld { source, back, keeps_time, wait }
            }
            2..4 if self.day != 0 => Event::DropAgain { source, wait },
            4..6 if self.day != 0 => {
                let into = self.rng.usize(0..self.shape.sources.len());
                Event::Drop { source, into, flaws: Vec::new(), wait }
            }
            _ => {
                let mut flaws = Vec::new();
                if self.percent(self.ills.flaws) {
                    flaws.extend(self.flaw(source));
                    if self.percent(15) {
                        flaws.extend(self.flaw(source));
                    }
                }
                Event::Drop { source, into: source, flaws, wait }
            }
        };
        self.push(event);
        // A broken export is often made again the same way: the next day, or at once.
        if let Some((_, Event::Drop { flaws, .. })) = self.events.last()
            && !flaws.is_empty()
            && self.percent(25)
        {
            let mut again = self.events.last().unwrap().1.clone();
            if self.percent(60) {
                self.company_event();
            }
            if let Event::Drop { flaws, .. } = &mut again
                && self.percent(20)
            {
                flaws.extend(self.flaw(source));
            }
            self.push(again);
        }
    }

    fn swapped_files(&mut self) {
        let n = self.shape.sources.len();
        let (one, other) = (self.rng.usize(0..n), self.rng.usize(0..n));
        if one != other {
            for (source, into) in [(one, other), (other, one)] {
                let wait = self.wait();
                self.push(Event::Drop { source, into, flaws: Vec::new(), wait });
            }
        }
    }

    fn flaw(&mut self, source: usize) -> Option<Flaw> {
        let person = self.somebody(Some(source))?;
        let division = self.company.people[person].group;
        let flaw = match self.rng.u32(0..30) {
            0 => Flaw::BadBirth(person),
            1 => Flaw::NoId(person),
            2 => Flaw::Scientific(person),
            3 => Flaw::CaseTwin(person),
            4 => Flaw::TwiceDifferent(person),
            5 => Flaw::TwiceSame(person),
            6 => Flaw::TwoGroups(person),
            7 => Flaw::UnknownStatus(person),
            8..=10 => {
                let count = self.rng.usize(1..8);
                Flaw::Lacks((0..count).filter_map(|_| self.somebody(Some(source))).collect())
            }
            11 => Flaw::LacksDivision(division),
            12 | 13 => Flaw::AllTerminated { division, but: self.rng.usize(0..3) },
            14 => Flaw::ManyBad(*self.rng.choice(&[8, 20, 60, 100]).unwrap()),
            15..=17 => Flaw::CutLines(self.rng.u32(5..98)),
            18 => Flaw::CutWithin(self.rng.u32(1..100)),
            19 => Flaw::CutCell(self.rng.usize(2..5)),
            20 => Flaw::Empty,
            21 => Flaw::HeaderOnly,
            22 => Flaw::RenamedHeader(self.rng.usize(0..COLUMNS.len())),
            23..=25 => Flaw::Shift(
                *self
                    .rng
                    .choice(&[
                        Shifted::Names,
                        Shifted::Births,
                        Shifted::Emails,
                        Shifted::Streets,
                        Shifted::Divisions,
                        Shifted::Ids,
                        Shifted::Swapped,
                    ])
                    .unwrap(),
            ),
            26 => Flaw::LostZeros,
            27 | 28 => Flaw::Strangers { division, count: self.rng.usize(3..40) },
            _ => Flaw::OneDivision(division),
        };
        Some(flaw)
    }
}

/// What an event does to the company. Events that make no sense any more do nothing.
pub(crate) fn befall(company: &mut Company, event: &Event) {
    let today = company.today;
    match event {
        Event::Hire { person, in_days } => {
            let person = &mut company.people[*person];
            person.standing = Standing::Active { start: today + Days::new(*in_days), end: None };
        }
        Event::LeaveStated(person) => leave(&mut company.people[*person], |start| Standing::Left { start, end: None }),
        Event::LeaveInDays { person, days, is_word } => {
            let end = Some(today + Days::new(*days));
            leave(&mut company.people[*person], |start| {
                if *is_word { Standing::Left { start, end } } else { Standing::Active { start, end } }
            });
        }
        Event::LeaveSilently(person) => leave(&mut company.people[*person], |_| Standing::Outside),
        Event::Move { person, group } => company.people[*person].group = *group,
        Event::Swap(one, other) => {
            let groups = (company.people[*one].group, company.people[*other].group);
            if company.people[*one].source == company.people[*other].source {
                (company.people[*other].group, company.people[*one].group) = groups;
            }
        }
        Event::Change { person, part, salt } => company.people[*person].record.change(*part, *salt),
        Event::ChangePlan { person, plan } => company.people[*person].record.plan = *plan,
        Event::Reuse(person) => {
            let plan = company.people[*person].record.plan;
            company.people[*person].record = Record { plan, ..Record::of(4_000 + *person) };
        }
        Event::Renumber(source) => {
            company.renumbered += 1;
            for person in company.people.iter_mut().filter(|person| person.source == *source) {
                person.id = format!("N{}-{}", company.renumbered, person.id);
            }
        }
        Event::Layoff { group, hundredths, is_stated } => {
            let in_group = company.people.iter_mut().filter(|person| person.group == *group);
            let mut staff: Vec<&mut Person> =
                in_group.filter(|person| matches!(person.standing, Standing::Active { .. })).collect();
            let many = (staff.len() * *hundredths as usize).div_ceil(100);
            for person in staff.iter_mut().take(many) {
                leave(person, |start| if *is_stated { Standing::Left { start, end: None } } else { Standing::Outside });
            }
        }
        Event::ListTwice { person, source } => {
            let person = &mut company.people[*person];
            person.also_in = (person.source != *source).then_some(*source);
        }
        Event::ListOnce(person) => company.people[*person].also_in = None,
        Event::Recruit { source, group, count } => {
            let outside = |person: &&mut Person| person.source == *source && person.standing == Standing::Outside;
            for person in company.people.iter_mut().filter(outside).take(*count) {
                person.group = *group;
                person.standing = Standing::Active { start: today, end: None };
            }
        }
        Event::Drop { .. }
        | Event::DropOld { .. }
        | Event::DropAgain { .. }
        | Event::Operate(_)
        | Event::Retry(_)
        | Event::Trouble { .. }
        | Event::FailMember { .. }
        | Event::Block(_)
        | Event::RefuseKey
        | Event::Mend
        | Event::Restart
        | Event::Kill { .. }
        | Event::Hours(_) => {}
    }
}

fn leave(person: &mut Person, how: impl FnOnce(NaiveDate) -> Standing) {
    if let Standing::Active { start, .. } = person.standing {
        person.standing = how(start);
    }
}
