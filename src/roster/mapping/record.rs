//! A row's personal fields as a member.

use std::borrow::Cow;

use chrono::NaiveDate;
use compact_str::CompactString;

use super::bind::{Bound, Column, NameAt};
use super::cells::Cells;
use super::eligibility::note_date;
use super::findings::Findings;
use crate::config::DateOrder;
use crate::export::problem::Code;
use crate::roster::ids::{PlanId, ReferenceId};
use crate::roster::member::{Member, Texts};
use crate::roster::normalise::{self, DateProblem, MAX_TEXT_CHARS, Phone, Zip};

/// One row while its fields are read.
pub(super) struct Reader<'r> {
    pub(super) bound: &'r Bound,
    pub(super) cells: Cells<'r>,
    pub(super) today: NaiveDate,
    pub(super) findings: &'r mut Findings,
}

impl<'r> Reader<'r> {
    /// The member; `None` when a required field cannot be used. Every problem of the row is noted, not only the first.
    pub(super) fn member(&mut self, reference_id: &ReferenceId, plan_id: Option<PlanId>) -> Option<Member> {
        let bound = self.bound;
        let name = self.name();
        let date_of_birth = self.birth_date(bound.rules.dates);
        let line_1 = self.required(&bound.address_line_1);
        let line_2 = self.optional(&bound.address_line_2);
        let city = self.required(&bound.city);
        let state = self.state();
        let zipcode = self.zipcode();
        let phone = self.phone();
        let email = self.email();
        let (first_name, last_name) = name?;
        let texts = Texts {
            first_name: &first_name,
            last_name: &last_name,
            phone: phone.as_deref(),
            email: email.as_deref(),
            address_line_1: &line_1?,
            address_line_2: line_2.as_deref(),
            city: &city?,
            state: state?,
            zipcode: &zipcode?,
        };
        Some(Member::new(reference_id.clone(), plan_id?, date_of_birth?, &texts))
    }

    fn name(&mut self) -> Option<(Cow<'r, str>, Cow<'r, str>)> {
        match &self.bound.name {
            NameAt::Two { first, last } => {
                let first = self.required(first);
                let last = self.required(last);
                first.zip(last)
            }
            NameAt::Full(columns) => {
                let (column, cell) = self.filled(columns)?;
                let Ok(name) = normalise::full_name(cell) else {
                    self.findings.note(
                        Code::BadName,
                        Some(column),
                        "First and last name cannot be told apart; write \"Last, First\".",
                    );
                    return None;
                };
                if name.doubtful {
                    self.findings.note(
                        Code::Cleaned,
                        Some(column),
                        "The name has more than two words; the last was taken as the last name. Write \"Last, First\" to be sure.",
                    );
                }
                let first = self.fitting(column, cell, name.first.into());
                first.zip(self.fitting(column, cell, name.last.into()))
            }
        }
    }

    fn birth_date(&mut self, order: DateOrder) -> Option<NaiveDate> {
        let (column, cell) = self.filled(&self.bound.date_of_birth)?;
        match normalise::birth_date(cell, order, self.today) {
            Ok(date) => Some(date),
            Err(DateProblem::OutOfRange) => {
                let message = "The birth date is in the future or before 1900; correct it.";
                self.findings.note(Code::DateRange, Some(column), message);
                None
            }
            Err(problem @ (DateProblem::Unreadable | DateProblem::OtherOrder | DateProblem::Serial)) => {
                note_date(self.findings, column, problem, order);
                None
            }
        }
    }

    fn state(&mut self) -> Option<&'static str> {
        let (column, cell) = self.filled(&self.bound.state)?;
        let state = normalise::state(cell).ok();
        if state.is_none() {
            let message = "This is no state or territory of the United States; write its two letters.";
            self.findings.note(Code::BadState, Some(column), message);
        }
        state
    }

    fn zipcode(&mut self) -> Option<CompactString> {
        let (column, cell) = self.filled(&self.bound.zipcode)?;
        let Ok(zip) = Zip::read(cell) else {
            self.findings.note(Code::BadZip, Some(column), "This is no ZIP code; write 12345 or 12345-6789.");
            return None;
        };
        if zip.repaired {
            self.findings.note(
                Code::ZipRepaired,
                Some(column),
                "The ZIP code was put right (zeros in front, the dash of ZIP+4); export the column as text.",
            );
        }
        Some(zip.code)
    }

    fn phone(&mut self) -> Option<CompactString> {
        for (column, cell) in self.cells.filled(&self.bound.phone) {
            match Phone::read(cell) {
                Ok(phone) => {
                    if phone.extension_dropped {
                        let message = "The phone number's extension was left out: there is no place for it.";
                        self.findings.note(Code::Cleaned, Some(column), message);
                    }
                    return Some(phone.digits);
                }
                Err(problem) => {
                    let message = format_args!("The cell is {problem}; it was left out, correct it.");
                    self.findings.note(Code::PhoneDropped, Some(column), message);
                }
            }
        }
        None
    }

    fn email(&mut self) -> Option<Cow<'r, str>> {
        for (column, cell) in self.cells.filled(&self.bound.email) {
            match normalise::email(cell) {
                Ok(email) => return Some(email),
                Err(problem) => {
                    let message = format_args!("The cell is {problem}; it was left out, correct it.");
                    self.findings.note(Code::EmailDropped, Some(column), message);
                }
            }
        }
        None
    }

    /// The first filled cell of a required field.
    fn filled<'c>(&mut self, columns: &'c [Column]) -> Option<(&'c Column, &'r str)> {
        let found = self.cells.first(columns);
        if found.is_none() {
            self.findings.note(Code::MissingValue, columns.first(), "The cell is empty and must not be; fill it in.");
        }
        found
    }

    fn required(&mut self, columns: &[Column]) -> Option<Cow<'r, str>> {
        let (column, cell) = self.filled(columns)?;
        self.tidy(column, cell)
    }

    /// `None` also when what is there cannot be used, which costs the row its place and is noted.
    fn optional(&mut self, columns: &[Column]) -> Option<Cow<'r, str>> {
        let (column, cell) = self.cells.first(columns)?;
        self.tidy(column, cell)
    }

    fn tidy(&mut self, column: &Column, cell: &'r str) -> Option<Cow<'r, str>> {
        match normalise::text(cell) {
            // Nothing was dropped.
            Cow::Borrowed(text) => self.short(column, text.into()),
            text @ Cow::Owned(_) => self.fitting(column, cell, text),
        }
    }

    fn fitting(&mut self, column: &Column, cell: &str, text: Cow<'r, str>) -> Option<Cow<'r, str>> {
        if normalise::hides_characters(cell) {
            self.findings.note(Code::Cleaned, Some(column), "An invisible character was dropped.");
        }
        self.short(column, text)
    }

    fn short(&mut self, column: &Column, text: Cow<'r, str>) -> Option<Cow<'r, str>> {
        if normalise::fits(&text) {
            return Some(text);
        }
        let message = format_args!("The text is longer than {MAX_TEXT_CHARS} characters; shorten it.");
        self.findings.note(Code::TooLong, Some(column), message);
        None
    }
}
