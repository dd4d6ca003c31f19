//! Exports as HR systems and people make them, with what they say in plain terms: the generator knows what it put in, so that
//! nobody has to read it out of the text again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};

use super::people::{self, Company, PLANS, Record, Standing, WAIVED};

/// The columns of every export, in the order that a source without one of its own has them.
pub(crate) const COLUMNS: [&str; 15] = [
    "Employee ID",
    "First",
    "Last",
    "Birth Date",
    "Email",
    "Phone",
    "Address",
    "City",
    "State",
    "Zip",
    "Division",
    "Plan",
    "Status",
    "Hire Date",
    "Term Date",
];

/// A column that is sorted by itself, so that everybody has somebody else's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shifted {
    Names,
    Births,
    Emails,
    Streets,
    Divisions,
    Ids,
    /// First and last name change places.
    Swapped,
}

/// What goes wrong with an export on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    BadBirth(usize),
    NoId(usize),
    Scientific(usize),
    CaseTwin(usize),
    TwiceDifferent(usize),
    TwiceSame(usize),
    TwoGroups(usize),
    UnknownStatus(usize),
    /// So many people have no row.
    Lacks(Vec<usize>),
    /// A filter was left on: one division has no rows.
    LacksDivision(usize),
    /// Everybody but so many of a division is gone, by the word of the file.
    AllTerminated {
        division: usize,
        but: usize,
    },
    /// So many rows, counted by hundredths, have broken birth dates.
    ManyBad(u32),
    /// Only the first rows, by hundredths, arrive.
    CutLines(u32),
    /// The file ends within a row, at so many hundredths of its bytes.
    CutWithin(u32),
    /// The file lacks so many of its last bytes.
    CutCell(usize),
    Empty,
    HeaderOnly,
    RenamedHeader(usize),
    Shift(Shifted),
    /// Ids lost their leading zeros.
    LostZeros,
    /// So many strangers are listed in a division.
    Strangers {
        division: usize,
        count: usize,
    },
    /// Everybody is in one division.
    OneDivision(usize),
}

impl Flaw {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BadBirth(_) => "bad birth date",
            Self::NoId(_) => "missing id",
            Self::Scientific(_) => "id in scientific notation",
            Self::CaseTwin(_) => "id case twin",
            Self::TwiceDifferent(_) => "two rows that differ",
            Self::TwiceSame(_) => "two rows alike",
            Self::TwoGroups(_) => "one person in two groups",
            Self::UnknownStatus(_) => "unknown status",
            Self::Lacks(_) => "rows lost",
            Self::LacksDivision(_) => "a division lost",
            Self::AllTerminated { .. } => "a division terminated",
            Self::ManyBad(_) => "many bad rows",
            Self::CutLines(_) => "cut at a line",
            Self::CutWithin(_) => "cut within a line",
            Self::CutCell(_) => "cut within the last cell",
            Self::Empty => "empty",
            Self::HeaderOnly => "header only",
            Self::RenamedHeader(_) => "renamed header",
            Self::Shift(Shifted::Names) => "names shifted",
            Self::Shift(Shifted::Births) => "birth dates shifted",
            Self::Shift(Shifted::Emails) => "e-mails shifted",
            Self::Shift(Shifted::Streets) => "addresses shifted",
            Self::Shift(Shifted::Divisions) => "divisions shifted",
            Self::Shift(Shifted::Ids) => "ids shifted",
            Self::Shift(Shifted::Swapped) => "first and last name swapped",
            Self::LostZeros => "ids lost their zeros",
            Self::Strangers { .. } => "strangers listed",
            Self::OneDivision(_) => "everybody in one division",
        }
    }
}

/// One row, as it was meant.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The id as written; none where the cell is not an id.
    pub(crate) id: Option<String>,
    /// What stands in the cell instead of an id.
    id_cell: Option<String>,
    pub(crate) group: usize,
    pub(crate) record: Record,
    pub(crate) standing: Standing,
    /// Whether a cell was made unreadable.
    is_bad: bool,
    birth_cell: Option<String>,
    status_cell: Option<String>,
    /// The file ends within it, where nothing shows it: nobody must lose anything by it, and what it says is anything.
    pub(crate) is_cut: bool,
    person: usize,
}

/// What a file says about an id on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Covered, in that group, with that record.
    Covered { group: usize, record: Record },
    /// There, and not to be covered that day.
    Off,
    /// There, and nobody can say what is meant.
    Doubt,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// The source whose people it holds.
    pub(crate) of: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) text: String,
    pub(crate) sha256: String,
    pub(crate) made: DateTime<Utc>,
    /// Whether it says what HR would say.
    pub(crate) is_faithful: bool,
    /// Whether it can only be rejected.
    pub(crate) is_broken: bool,
    by_id: BTreeMap<String, Vec<usize>>,
    twins: BTreeSet<String>,
    pub(crate) is_unidentified: bool,
}

impl Export {
    /// The export of a source's people today, with flaws.
    pub(crate) fn of(company: &Company, of: usize, order: &[usize], flaws: &[Flaw], made: DateTime<Utc>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for (number, person) in company.people.iter().enumerate() {
            let is_listed = person.source == of || person.also_in == Some(of);
            if is_listed && person.standing != Standing::Outside {
                rows.push(Row {
                    id: Some(person.id.clone()),
                    id_cell: None,
                    group: person.group,
                    record: person.record.clone(),
                    standing: person.standing,
                    is_bad: false,
                    birth_cell: None,
                    status_cell: None,
                    is_cut: false,
                    person: number,
                });
            }
        }
        let mut shape = Shape { header: None, cut: None };
        for flaw in flaws {
            apply(flaw, &mut rows, &mut shape, company);
        }
        // E-mail and phone are nobody's duty: without their column nobody has one.
        match shape.header.and_then(|column| COLUMNS.get(column)) {
            Some(&"Email") => rows.iter_mut().for_each(|row| row.record.email.clear()),
            Some(&"Phone") => rows.iter_mut().for_each(|row| row.record.phone.clear()),
            Some(_) | None => {}
        }
        let text = text(&rows, order, &shape);
        Self::sealed(of, rows, text, made, (flaws, &shape, order))
    }

    fn sealed(
        of: usize,
        mut rows: Vec<Row>,
        whole: String,
        made: DateTime<Utc>,
        (flaws, shape, order): (&[Flaw], &Shape, &[usize]),
    ) -> Self {
        let mut text = whole;
        let is_optional = |column: usize| COLUMNS.get(column).is_some_and(|name| matches!(*name, "Email" | "Phone"));
        let mut is_broken = rows.is_empty() || shape.header.is_some_and(|column| !is_optional(column));
        match shape.cut {
            None => {}
            Some(Cut::At(hundredths)) => {
                let body = text.find('\n').unwrap_or_default() + 1;
                let at = body + (text.len() - body) * hundredths as usize / 100;
                text.truncate(at);
                let kept = text.matches('\n').count().saturating_sub(1);
                let cut_row = text.rsplit('\n').next().unwrap_or_default().to_owned();
                rows.truncate(kept + usize::from(!cut_row.is_empty()));
                if !cut_row.is_empty() {
                    doubtful_tail(&mut rows, &cut_row, order);
                }
                is_broken |= rows.is_empty();
            }
            Some(Cut::Cell(bytes)) => {
                text.truncate(text.len().saturating_sub(bytes));
                let cut_row = text.rsplit('\n').next().unwrap_or_default().to_owned();
                doubtful_tail(&mut rows, &cut_row, order);
            }
        }
        let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some(id) = &row.id {
                by_id.entry(id.clone()).or_default().push(at);
            }
        }
        let mut folded: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in by_id.keys() {
            folded.entry(id.to_lowercase()).or_default().push(id.clone());
        }
        let twins = folded.into_values().filter(|ids| 1 < ids.len()).flatten().collect();
        let is_unidentified = rows.iter().any(|row| row.id.is_none());
        let sha256 = format!("{:x}", Sha256::digest(text.as_bytes()));
        let is_faithful = flaws.is_empty();
        Self { of, rows, text, sha256, made, is_faithful, is_broken, by_id, twins, is_unidentified }
    }

    /// The same content, dropped again.
    pub(crate) fn again(&self, made: DateTime<Utc>, is_faithful: bool) -> Self {
        Self { made, is_faithful, ..self.clone() }
    }

    /// What it says about an id on a day; none when it does not name it.
    pub(crate) fn said(&self, id: &str, today: NaiveDate) -> Option<Said> {
        let rows: Vec<&Row> = self.by_id.get(id)?.iter().map(|at| &self.rows[*at]).collect();
        if self.twins.contains(id) {
            return Some(Said::Doubt);
        }
        if rows.iter().any(|row| row.doubtful(today)) {
            return Some(Said::Doubt);
        }
        let covered: Vec<&&Row> = rows.iter().filter(|row| row.covers(today)).collect();
        let Some(first) = covered.first() else { return Some(Said::Off) };
        // A row that covers wins over one that has ended, and over one of an earlier period; one that waives contradicts it.
        let latest = rows.iter().filter(|row| row.standing.covers(today)).map(|row| row.standing.start()).max();
        let is_waived = |row: &&Row| {
            row.standing.covers(today) && row.record.plan == WAIVED && latest == Some(row.standing.start())
        };
        let is_apart = |row: &&&Row| row.group != first.group || row.record != first.record;
        if covered.iter().any(is_apart) || rows.iter().any(is_waived) {
            return Some(Said::Doubt);
        }
        Some(Said::Covered { group: first.group, record: first.record.clone() })
    }

    /// Everybody it names.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.keys()
    }

    /// Whether the file ends within that line, so that it may say anything.
    pub(crate) fn is_cut_on(&self, line: u64) -> bool {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(2));
        at.and_then(|at| self.rows.get(at)).is_some_and(|row| row.is_cut)
    }

    /// Whether somebody's coverage has ended as HR sees it, by a row in which the file ends: enough of it may be left to say so.
    pub(crate) fn ends_by_cut_row(&self, id: &str, today: NaiveDate) -> bool {
        let rows = self.by_id.get(id).into_iter().flatten().map(|at| &self.rows[*at]);
        rows.clone().any(|row| row.is_cut) && !rows.clone().any(|row| row.standing.covers(today))
    }

    /// Whether the file ends within somebody's row, so that it may name any group.
    pub(crate) fn is_cut_of(&self, id: &str) -> bool {
        self.by_id.get(id).into_iter().flatten().any(|at| self.rows[*at].is_cut)
    }

    /// Whose row stands on a line of the file.
    pub(crate) fn id_on(&self, line: u64) -> Option<&str> {
        let at = usize::try_from(line).ok()?.checked_sub(2)?;
        self.rows.get(at)?.id.as_deref()
    }

    /// Rows that nobody could use, at least.
    pub(crate) fn bad_rows(&self, today: NaiveDate) -> usize {
        // Nobody is covered by the row of somebody between two periods, who only stays: it need not be right.
        let unreadable =
            |row: &Row| row.doubtful(today) && (row.status_cell.is_some() || !row.standing.is_between(today));
        // Rows that contradict each other are lost; beside one that cannot be read nothing can be compared.
        let has_unreadable = |id: &String| self.by_id[id].iter().any(|at| unreadable(&self.rows[*at]));
        let is_lost = |row: &Row| match &row.id {
            _ if row.is_cut => false,
            None => true,
            Some(id) if has_unreadable(id) => unreadable(row),
            Some(_) if row.standing.is_between(today) => false,
            Some(id) => row.covers(today) && self.said(id, today) == Some(Said::Doubt),
        };
        self.rows.iter().filter(|row| is_lost(row)).count()
    }
}

impl Row {
    fn covers(&self, today: NaiveDate) -> bool {
        self.standing.covers(today) && self.record.plan != WAIVED
    }

    /// What somebody is not covered for need not be right; a status must be.
    fn doubtful(&self, today: NaiveDate) -> bool {
        self.is_bad && (self.status_cell.is_some() || self.covers(today))
    }
}

/// What goes wrong with the text.
struct Shape {
    header: Option<usize>,
    cut: Option<Cut>,
}

#[derive(Clone, Copy)]
enum Cut {
    At(u32),
    Cell(usize),
}

/// The row in which a file ends: whoever it is about, nobody can say what is meant.
fn doubtful_tail(rows: &mut [Row], cut: &str, order: &[usize]) {
    let Some(row) = rows.last_mut() else { return };
    let cells: Vec<&str> = cut.split(',').collect();
    let at = order.iter().position(|column| *column == 0).unwrap_or_default();
    row.is_bad = true;
    row.is_cut = true;
    row.status_cell = Some(String::new());
    // The last of the cells may be half of an id.
    if cells.len() <= at + 1 {
        row.id = None;
    }
}

fn apply(flaw: &Flaw, rows: &mut Vec<Row>, shape: &mut Shape, company: &Company) {
    let today = company.today;
    let place = |rows: &[Row], person: usize| {
        let of_person = rows.iter().position(|row| row.person == person && row.covers(today));
        of_person.or_else(|| (!rows.is_empty()).then(|| person % rows.len())).filter(|at| rows[*at].covers(today))
    };
    match flaw {
        Flaw::BadBirth(person) => {
            if let Some(at) = place(rows, *person) {
                rows[at].is_bad = true;
                rows[at].birth_cell = Some("13/45/1980".to_owned());
            }
        }
        Flaw::NoId(person) | Flaw::Scientific(person) => {
            if let Some(at) = place(rows, *person) {
                rows[at].id = None;
                let cell = if matches!(flaw, Flaw::NoId(_)) { "" } else { "1.23E+05" };
                rows[at].id_cell = Some(cell.to_owned());
            }
        }
        Flaw::CaseTwin(person) => {
            if let Some(at) = place(rows, *person) {
                let mut twin = rows[at].clone();
                twin.record = Record::of(9_000 + person);
                twin.id = twin.id.map(|id| id.to_lowercase());
                rows.push(twin);
            }
        }
        Flaw::TwiceDifferent(person) | Flaw::TwiceSame(person) | Flaw::TwoGroups(person) => {
            if let Some(at) = place(rows, *person) {
                let mut second = rows[at].clone();
                match flaw {
                    Flaw::TwiceDifferent(_) => "99 Other St".clone_into(&mut second.record.street),
                    Flaw::TwoGroups(_) => second.group = other_group(rows, second.group),
                    _ => {}
                }
                rows.push(second);
            }
        }
        Flaw::UnknownStatus(person) => {
            if let Some(at) = place(rows, *person) {
                rows[at].is_bad = true;
                rows[at].status_cell = Some("Actve?".to_owned());
            }
        }
        Flaw::Lacks(people) => rows.retain(|row| !people.contains(&row.person)),
        Flaw::LacksDivision(group) => rows.retain(|row| row.group != *group),
        Flaw::AllTerminated { division, but } => {
            for row in rows.iter_mut().filter(|row| row.group == *division && row.covers(today)).skip(*but) {
                row.standing = Standing::Left { start: today, end: None };
            }
        }
        Flaw::ManyBad(hundredths) => {
            let many = (rows.len() * *hundredths as usize).div_ceil(100);
            for row in rows.iter_mut().filter(|row| row.covers(today)).take(many) {
                row.is_bad = true;
                row.birth_cell = Some("00/00/0000".to_owned());
            }
        }
        Flaw::CutLines(hundredths) => rows.truncate(rows.len() * *hundredths as usize / 100),
        Flaw::CutWithin(hundredths) => shape.cut = Some(Cut::At(*hundredths)),
        Flaw::CutCell(bytes) => shape.cut = Some(Cut::Cell(*bytes)),
        Flaw::Empty | Flaw::HeaderOnly => {
            rows.clear();
            if *flaw == Flaw::Empty {
                shape.header = Some(usize::MAX);
            }
        }
        Flaw::RenamedHeader(column) => shape.header = Some(*column),
        Flaw::Shift(column) => shift(rows, *column),
        Flaw::LostZeros => {
            for row in rows.iter_mut() {
                row.id = row.id.as_ref().map(|id| id.trim_start_matches('0').to_owned());
            }
        }
        Flaw::Strangers { division, count } => {
            for number in 0..*count {
                rows.push(Row {
                    id: Some(format!("X9{number:03}")),
                    id_cell: None,
                    group: *division,
                    record: Record::of(8_000 + number),
                    standing: Standing::Active { start: today - chrono::Days::new(1), end: None },
                    is_bad: false,
                    birth_cell: None,
                    status_cell: None,
                    is_cut: false,
                    person: usize::MAX,
                });
            }
        }
        Flaw::OneDivision(group) => rows.iter_mut().for_each(|row| row.group = *group),
    }
}

fn other_group(rows: &[Row], group: usize) -> usize {
    rows.iter().map(|row| row.group).find(|other| *other != group).unwrap_or(group + 1)
}

/// One column moves down by a row, and its last cell to the top.
fn shift(rows: &mut [Row], column: Shifted) {
    let before: Vec<Row> = rows.to_vec();
    for (at, row) in rows.iter_mut().enumerate() {
        let other = &before[(at + before.len() - 1) % before.len()];
        match column {
            Shifted::Names => row.record.last.clone_from(&other.record.last),
            Shifted::Births => row.record.born = other.record.born,
            Shifted::Emails => row.record.email.clone_from(&other.record.email),
            Shifted::Streets => row.record.street.clone_from(&other.record.street),
            Shifted::Divisions => row.group = other.group,
            Shifted::Ids => {
                row.id.clone_from(&other.id);
                row.id_cell.clone_from(&other.id_cell);
            }
            Shifted::Swapped => std::mem::swap(&mut row.record.first, &mut row.record.last),
        }
    }
}

fn day(day: NaiveDate) -> String {
    day.format("%m/%d/%Y").to_string()
}

fn text(rows: &[Row], order: &[usize], shape: &Shape) -> String {
    if shape.header == Some(usize::MAX) {
        return String::new();
    }
    let header: Vec<&str> = order
        .iter()
        .map(|column| if shape.header == Some(*column) { "Remarks of HR" } else { COLUMNS[*column] })
        .collect();
    let mut text = header.join(",");
    text.push('\n');
    for row in rows {
        let Record { first, last, born, email, phone, street, city, state, zip, plan } = &row.record;
        let (status, start, end) = match row.standing {
            Standing::Active { start, end } => ("Active", day(start), end),
            Standing::Left { start, end } => ("Terminated", day(start), end),
            Standing::Outside => ("Terminated", String::new(), None),
        };
        let cells: [String; 15] = [
            row.id_cell.clone().or_else(|| row.id.clone()).unwrap_or_default(),
            first.clone(),
            last.clone(),
            row.birth_cell.clone().unwrap_or_else(|| day(*born)),
            email.clone(),
            phone.clone(),
            street.clone(),
            city.clone(),
            state.clone(),
            zip.clone(),
            people::division(row.group),
            PLANS[*plan].0.to_owned(),
            row.status_cell.clone().unwrap_or_else(|| status.to_owned()),
            start,
            end.map(day).unwrap_or_default(),
        ];
        let ordered: Vec<&str> = order.iter().map(|column| cells[*column].as_str()).collect();
        writeln!(text, "{}", ordered.join(",")).unwrap();
    }
    text
}
