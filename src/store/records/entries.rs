//! Members on disk. Sources, runs and plans repeat in every member, so each record keeps a table of them and the
//! members point into it. Texts are borrowed from the unpacked record until the last step: a million members are read
//! in about a second.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Kind, pack, positional, read_positional, read_start, unpack, unpack_versioned, unwritable};
use crate::roster::familiar::{MemberDigest, plan_seed};
use crate::roster::ids::{PlanId, ReferenceId, RunId, SourceName};
use crate::roster::member::{Member, Texts};
use crate::roster::{ConfirmedRoster, Entry, Origin};
use crate::store::{Glance, RosterFacts, StoreError};

/// What a roster begins with. Behind it are how many members it has, each as an [`EntryV1`] (from version 2 on behind the number of its
/// bytes, so that whoever looks for somebody need not read the others), and the ids of its former members.
#[derive(Serialize, Deserialize)]
struct RosterStartV1<'a> {
    group: &'a str,
    confirmed_at: TimeV1,
    #[serde(borrow)]
    tables: TablesV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct PayloadV1<'a> {
    #[serde(borrow)]
    tables: TablesV1<'a>,
    #[serde(borrow)]
    members: Vec<EntryV1<'a>>,
}

/// Seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct TimeV1(i64, u32);

impl TimeV1 {
    fn time(self) -> Result<DateTime<Utc>, StoreError> {
        DateTime::from_timestamp(self.0, self.1).ok_or_else(bad_value)
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct TablesV1<'a> {
    #[serde(borrow)]
    sources: Vec<&'a str>,
    #[serde(borrow)]
    runs: Vec<&'a str>,
    #[serde(borrow)]
    plans: Vec<&'a str>,
}

/// Where a record came from, by the tables. Within an [`EntryV1`] the same three lie side by side.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct OriginV1 {
    source: u32,
    run: u32,
    line: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EntryV1<'a> {
    reference_id: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    /// Days since the first of January of the year 1, which is day 1.
    date_of_birth: i32,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    plan: u32,
    line_1: &'a str,
    line_2: Option<&'a str>,
    city: &'a str,
    state: &'a str,
    zipcode: &'a str,
    source: u32,
    run: u32,
    line: u64,
    subscribed_plan: u32,
}

// === writing ===

/// A confirmed roster in its envelope.
pub(in crate::store) fn roster(key: &[u8], roster: &ConfirmedRoster) -> Result<Vec<u8>, StoreError> {
    let mut tables = TableWriter::default();
    let members: Vec<EntryV1<'_>> = roster.members().iter().map(|entry| tables.entry(entry)).collect();
    let start = RosterStartV1 {
        group: roster.group.as_str(),
        confirmed_at: TimeV1(roster.confirmed_at.timestamp(), roster.confirmed_at.timestamp_subsec_nanos()),
        tables: tables.finish(),
    };
    let former: Vec<&str> = roster.former().iter().map(ReferenceId::as_str).collect();
    let body = roster_body(&start, &members, &former).map_err(|error| unwritable(&error))?;
    pack(Kind::Roster, key, &body)
}

fn roster_body(start: &RosterStartV1<'_>, members: &[EntryV1<'_>], former: &[&str]) -> postcard::Result<Vec<u8>> {
    let mut body = postcard::to_extend(&(start, members.len()), Vec::new())?;
    let mut entry = Vec::new();
    for member in members {
        entry.clear();
        entry = postcard::to_extend(member, entry)?;
        body = postcard::to_extend(entry.as_slice(), body)?;
    }
    postcard::to_extend(former, body)
}

/// A batch's payload in its envelope.
pub(in crate::store) fn payload(key: &[u8], payload: &[Entry]) -> Result<Vec<u8>, StoreError> {
    let mut tables = TableWriter::default();
    let members = payload.iter().map(|entry| tables.entry(entry)).collect();
    positional(Kind::Payload, key, &PayloadV1 { tables: tables.finish(), members })
}

#[derive(Default)]
pub(super) struct TableWriter<'a> {
    sources: Table<'a>,
    runs: Table<'a>,
    plans: Table<'a>,
}

impl<'a> TableWriter<'a> {
    pub(super) fn entry(&mut self, entry: &'a Entry) -> EntryV1<'a> {
        let Entry { member, origin, subscribed_plan } = entry;
        let Texts { first_name, last_name, phone, email, address_line_1, address_line_2, city, state, zipcode } =
            member.texts();
        let OriginV1 { source, run, line } = self.origin(origin);
        EntryV1 {
            reference_id: member.reference_id.as_str(),
            first_name,
            last_name,
            date_of_birth: member.date_of_birth.num_days_from_ce(),
            phone,
            email,
            plan: self.plan(&member.plan_id),
            line_1: address_line_1,
            line_2: address_line_2,
            city,
            state,
            zipcode,
            source,
            run,
            line,
            subscribed_plan: self.plan(subscribed_plan),
        }
    }

    pub(super) fn origin(&mut self, origin: &'a Origin) -> OriginV1 {
        OriginV1 {
            source: self.sources.index(origin.source.as_str()),
            run: self.runs.index(origin.run.as_str()),
            line: origin.line,
        }
    }

    pub(super) fn plan(&mut self, plan: &'a PlanId) -> u32 {
        self.plans.index(plan.as_str())
    }

    pub(super) fn finish(self) -> TablesV1<'a> {
        TablesV1 { sources: self.sources.words, runs: self.runs.words, plans: self.plans.words }
    }
}

#[derive(Default)]
struct Table<'a> {
    words: Vec<&'a str>,
    known: HashMap<&'a str, u32>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Table<'a> {
    fn index(&mut self, word: &'a str) -> u32 {
        // Neighbours mostly come from the same run and source.
        if let Some((last, index)) = self.last
            && last == word
        {
            return index;
        }
        let words = &mut self.words;
        let index = *self.known.entry(word).or_insert_with(|| {
            words.push(word);
            u32::try_from(words.len() - 1).expect("a roster has fewer than 2^32 sources, runs and plans")
        });
        self.last = Some((word, index));
        index
    }
}

// === reading ===

/// Reads a confirmed roster.
pub(in crate::store) fn unroster(key: &[u8], sealed: &[u8]) -> Result<ConfirmedRoster, StoreError> {
    roster_part(key, sealed, |_| true)
}

/// Looks at everybody in a confirmed roster without making a record of them.
pub(in crate::store) fn glance(key: &[u8], sealed: &[u8], mut each: impl FnMut(&Glance<'_>)) -> Result<(), StoreError> {
    let body = RosterBody::unpack(key, sealed)?;
    let (start, mut members) = body.read()?;
    let plans: Vec<u64> = start.tables.plans.iter().map(|plan| plan_seed(plan)).collect();
    while let Some(entry) = members.next_entry()? {
        let raw = RawEntry::read(&mut Raw(entry))?;
        let plan_seed = *pick(&plans, raw.plan)?;
        each(&Glance {
            reference_id: raw.reference_id,
            source: pick(&start.tables.sources, raw.source)?,
            digest: MemberDigest::of_parts(plan_seed, raw.head, raw.tail),
            has_own_plan: raw.plan == raw.subscribed_plan,
        });
    }
    Ok(())
}

/// Reads those members of a confirmed roster who are `wanted`; the roster has nobody else.
pub(in crate::store) fn roster_part(
    key: &[u8],
    sealed: &[u8],
    mut is_wanted: impl FnMut(&[u8]) -> bool,
) -> Result<ConfirmedRoster, StoreError> {
    let body = RosterBody::unpack(key, sealed)?;
    let (RosterStartV1 { group, confirmed_at, tables }, mut members) = body.read()?;
    let reader = TableReader::new(Kind::Roster, &tables)?;
    let mut wanted = Vec::new();
    while let Some(entry) = members.next_entry()? {
        if is_wanted(Raw(entry).text()?) {
            wanted.push(reader.entry(&read_positional(Kind::Roster, entry)?)?);
        }
    }
    let former = members.former()?.into_iter().map(|id| reader.id(id)).collect::<Result<Vec<_>, _>>()?;
    Ok(ConfirmedRoster::new(reader.id(group)?, wanted, former, confirmed_at.time()?))
}

/// An unpacked roster, and the version that it was written in.
struct RosterBody {
    version: u8,
    bytes: Vec<u8>,
}

impl RosterBody {
    fn unpack(key: &[u8], sealed: &[u8]) -> Result<Self, StoreError> {
        unpack_versioned(Kind::Roster, key, sealed).map(|(version, bytes)| Self { version, bytes })
    }

    /// Its start, and the members behind it.
    fn read(&self) -> Result<(RosterStartV1<'_>, Members<'_>), StoreError> {
        let (start, rest) =
            postcard::take_from_bytes(&self.bytes).map_err(|_| Kind::Roster.corrupt("cannot be read"))?;
        let mut rest = Raw(rest);
        let left = rest.number()?;
        Ok((start, Members { left, rest, have_lengths: 1 < self.version }))
    }
}

/// The members of a roster that were not looked at yet, and what is behind them.
struct Members<'a> {
    left: u64,
    rest: Raw<'a>,
    have_lengths: bool,
}

impl<'a> Members<'a> {
    /// The bytes of the next one, an [`EntryV1`].
    fn next_entry(&mut self) -> Result<Option<&'a [u8]>, StoreError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if self.have_lengths {
            return self.rest.text().map(Some);
        }
        let begin = self.rest.0;
        RawEntry::read(&mut self.rest)?;
        Ok(Some(before(begin, &self.rest)))
    }

    /// The ids of former members, once no member is left.
    fn former(self) -> Result<Vec<&'a str>, StoreError> {
        read_positional(Kind::Roster, self.rest.0)
    }
}

/// An [`EntryV1`] whose fields are found and not read.
struct RawEntry<'a> {
    reference_id: &'a [u8],
    /// What stands before the plan, and between it and the source.
    head: &'a [u8],
    tail: &'a [u8],
    plan: u64,
    source: u64,
    subscribed_plan: u64,
}

impl<'a> RawEntry<'a> {
    fn read(raw: &mut Raw<'a>) -> Result<Self, StoreError> {
        let begin = raw.0;
        let reference_id = raw.text()?;
        raw.text()?;
        raw.text()?;
        raw.number()?;
        raw.optional()?;
        raw.optional()?;
        let head = before(begin, raw);
        let plan = raw.number()?;
        let begin = raw.0;
        raw.text()?;
        raw.optional()?;
        raw.text()?;
        raw.text()?;
        raw.text()?;
        let tail = before(begin, raw);
        let source = raw.number()?;
        raw.number()?;
        raw.number()?;
        let subscribed_plan = raw.number()?;
        Ok(Self { reference_id, head, tail, plan, source, subscribed_plan })
    }
}

/// What was taken of bytes.
fn before<'a>(begin: &'a [u8], rest: &Raw<'_>) -> &'a [u8] {
    begin.get(..begin.len() - rest.0.len()).unwrap_or_default()
}

fn pick<T>(table: &[T], index: u64) -> Result<&T, StoreError> {
    usize::try_from(index).ok().and_then(|at| table.get(at)).ok_or_else(bad_value)
}

fn bad_value() -> StoreError {
    Kind::Roster.corrupt("holds a value that cannot be")
}

/// Bytes as postcard writes them: numbers in LEB128, texts after their length, options after a 0 or a 1.
struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    #[inline]
    fn number(&mut self) -> Result<u64, StoreError> {
        // Nearly all are lengths, and below 128.
        match self.0.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, StoreError> {
        let mut number = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(at + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        Err(bad_value())
    }

    #[inline]
    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let length = usize::try_from(self.number()?).map_err(|_| bad_value())?;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(bad_value)?;
        self.0 = rest;
        Ok(text)
    }

    #[inline]
    fn optional(&mut self) -> Result<(), StoreError> {
        match self.number()? {
            0 => Ok(()),
            1 => self.text().map(drop),
            _ => Err(bad_value()),
        }
    }
}

/// Reads how large a confirmed roster is, and when it was confirmed.
pub(in crate::store) fn roster_facts(key: &[u8], sealed: &[u8]) -> Result<RosterFacts, StoreError> {
    let body = RosterBody::unpack(key, sealed)?;
    let (start, members) = body.read()?;
    Ok(RosterFacts { members: members.left, confirmed_at: start.confirmed_at.time()? })
}

/// Reads a payload.
pub(in crate::store) fn unpayload(key: &[u8], sealed: &[u8]) -> Result<Vec<Entry>, StoreError> {
    payload_of(key, sealed, |_| true)
}

/// Reads the part of a payload that is about people whose id `is_meant`.
pub(in crate::store) fn payload_of(
    key: &[u8],
    sealed: &[u8],
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<Entry>, StoreError> {
    let body = unpack(Kind::Payload, key, sealed)?;
    let PayloadV1 { tables, members } = read_positional(Kind::Payload, &body)?;
    let reader = TableReader::new(Kind::Payload, &tables)?;
    members.iter().filter(|entry| is_meant(entry.reference_id)).map(|entry| reader.entry(entry)).collect()
}

/// Whether somebody in a roster or a payload is a source's.
pub(in crate::store) fn names_source(kind: Kind, key: &[u8], sealed: &[u8], source: &str) -> Result<bool, StoreError> {
    if kind == Kind::Roster {
        return Ok(RosterBody::unpack(key, sealed)?.read()?.0.tables.sources.contains(&source));
    }
    let body = unpack(kind, key, sealed)?;
    Ok(read_start::<TablesV1<'_>>(kind, &body)?.sources.contains(&source))
}

/// Whether a roster or a payload has any of these reference ids.
pub(in crate::store) fn names_any(
    kind: Kind,
    key: &[u8],
    sealed: &[u8],
    reference_ids: &HashSet<&str>,
) -> Result<bool, StoreError> {
    if kind == Kind::Roster {
        let body = RosterBody::unpack(key, sealed)?;
        let (_, mut members) = body.read()?;
        while let Some(entry) = members.next_entry()? {
            if str::from_utf8(Raw(entry).text()?).is_ok_and(|id| reference_ids.contains(id)) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let body = unpack(kind, key, sealed)?;
    let members = read_positional::<PayloadV1<'_>>(kind, &body)?.members;
    Ok(members.iter().any(|entry| reference_ids.contains(entry.reference_id)))
}

pub(super) struct TableReader {
    kind: Kind,
    sources: Vec<SourceName>,
    runs: Vec<RunId>,
    plans: Vec<PlanId>,
}

impl TableReader {
    pub(super) fn new(kind: Kind, tables: &TablesV1<'_>) -> Result<Self, StoreError> {
        let mut reader = Self { kind, sources: Vec::new(), runs: Vec::new(), plans: Vec::new() };
        reader.sources = reader.ids(&tables.sources)?;
        reader.runs = reader.ids(&tables.runs)?;
        reader.plans = reader.ids(&tables.plans)?;
        Ok(reader)
    }

    pub(super) fn entry(&self, entry: &EntryV1<'_>) -> Result<Entry, StoreError> {
        let texts = Texts {
            first_name: entry.first_name,
            last_name: entry.last_name,
            phone: entry.phone,
            email: entry.email,
            address_line_1: entry.line_1,
            address_line_2: entry.line_2,
            city: entry.city,
            state: entry.state,
            zipcode: entry.zipcode,
        };
        let (reference_id, plan_id) = (self.id(entry.reference_id)?, self.plan(entry.plan)?);
        let born = NaiveDate::from_num_days_from_ce_opt(entry.date_of_birth).ok_or_else(|| self.bad())?;
        Ok(Entry {
            member: Member::new(reference_id, plan_id, born, &texts),
            origin: self.origin(OriginV1 { source: entry.source, run: entry.run, line: entry.line })?,
            subscribed_plan: self.plan(entry.subscribed_plan)?,
        })
    }

    pub(super) fn origin(&self, OriginV1 { source, run, line }: OriginV1) -> Result<Origin, StoreError> {
        Ok(Origin { source: self.pick(&self.sources, source)?, run: self.pick(&self.runs, run)?, line })
    }

    pub(super) fn plan(&self, plan: u32) -> Result<PlanId, StoreError> {
        self.pick(&self.plans, plan)
    }

    fn pick<T: Clone>(&self, table: &[T], index: u32) -> Result<T, StoreError> {
        usize::try_from(index).ok().and_then(|at| table.get(at)).cloned().ok_or_else(|| self.bad())
    }

    fn ids<T: std::str::FromStr>(&self, words: &[&str]) -> Result<Vec<T>, StoreError> {
        words.iter().map(|word| self.id(word)).collect()
    }

    pub(super) fn id<T: std::str::FromStr>(&self, word: &str) -> Result<T, StoreError> {
        word.parse().map_err(|_| self.bad())
    }

    pub(super) fn bad(&self) -> StoreError {
        self.kind.corrupt("holds a value that cannot be")
    }
}
