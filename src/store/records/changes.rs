//! What a batch changed, on disk. Version 1 kept the whole record of everybody before and after. Version 2 keeps what takes a change back:
//! of who left the record, of whom changed what their fields said, and nothing of who joined. Four of five changes are of one field or
//! two, and a first load is everybody.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::entries::{EntryV1, OriginV1, TableReader, TableWriter, TablesV1};
use super::{Kind, positional, read_positional, unpack_versioned};
use crate::roster::ids::ReferenceId;
use crate::roster::member::Field;
use crate::store::StoreError;
use crate::store::changes::{BatchChanges, Change, ChangeKind, Former, MemberChange};

/// The version that kept whole records.
const FULL: u8 = 1;

#[derive(Serialize, Deserialize)]
struct ChangesV1<'a> {
    #[serde(borrow)]
    tables: TablesV1<'a>,
    #[serde(borrow)]
    changes: Vec<ChangeV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ChangeV1<'a> {
    reference_id: &'a str,
    kind: ChangeKindV1,
    #[serde(borrow)]
    before: Option<EntryV1<'a>>,
    #[serde(borrow)]
    after: Option<EntryV1<'a>>,
}

/// Numbered by their order: add at the end only, in a new version.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum ChangeKindV1 {
    Added,
    Returned,
    Changed,
    Removed,
    AddFailed,
    RemoveFailed,
}

#[derive(Serialize, Deserialize)]
struct ChangesV2<'a> {
    #[serde(borrow)]
    tables: TablesV1<'a>,
    afterwards: [u8; 8],
    #[serde(borrow)]
    changes: Vec<ChangeV2<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ChangeV2<'a> {
    reference_id: &'a str,
    #[serde(borrow)]
    what: WhatV2<'a>,
}

/// Numbered by their order: add at the end only, in a new version.
#[derive(Serialize, Deserialize)]
enum WhatV2<'a> {
    Added(OriginV1),
    Returned(OriginV1),
    Changed(OriginV1, #[serde(borrow)] FormerV2<'a>),
    Removed(#[serde(borrow)] EntryV1<'a>),
    AddFailed,
    RemoveFailed(OriginV1),
}

#[derive(Serialize, Deserialize)]
struct FormerV2<'a> {
    #[serde(borrow)]
    values: Vec<(FieldV2, Option<&'a str>)>,
    origin: OriginV1,
    subscribed_plan: u32,
}

/// Numbered by their order: add at the end only, in a new version.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum FieldV2 {
    FirstName,
    LastName,
    DateOfBirth,
    Phone,
    Email,
    PlanId,
    AddressLine1,
    AddressLine2,
    City,
    State,
    Zipcode,
}

// === writing ===

/// What a batch changed, in its envelope.
pub(in crate::store) fn changes(key: &[u8], changes: &BatchChanges) -> Result<Vec<u8>, StoreError> {
    let BatchChanges { changes, afterwards } = changes;
    let mut tables = TableWriter::default();
    let changes = changes
        .iter()
        .map(|change| ChangeV2 { reference_id: change.reference_id.as_str(), what: what(&mut tables, &change.what) })
        .collect();
    let record = ChangesV2 { tables: tables.finish(), afterwards: afterwards.to_be_bytes(), changes };
    positional(Kind::Changes, key, &record)
}

fn what<'a>(tables: &mut TableWriter<'a>, change: &'a Change) -> WhatV2<'a> {
    match change {
        Change::Added(origin) => WhatV2::Added(tables.origin(origin)),
        Change::Returned(origin) => WhatV2::Returned(tables.origin(origin)),
        Change::Changed { origin, former } => {
            let values = former.values.iter().map(|(field, value)| ((*field).into(), value.as_deref())).collect();
            let origin = tables.origin(origin);
            let former = FormerV2 {
                values,
                origin: tables.origin(&former.origin),
                subscribed_plan: tables.plan(&former.subscribed_plan),
            };
            WhatV2::Changed(origin, former)
        }
        Change::Removed(entry) => WhatV2::Removed(tables.entry(entry)),
        Change::AddFailed => WhatV2::AddFailed,
        Change::RemoveFailed(origin) => WhatV2::RemoveFailed(tables.origin(origin)),
    }
}

impl From<Field> for FieldV2 {
    fn from(field: Field) -> Self {
        match field {
            Field::FirstName => Self::FirstName,
            Field::LastName => Self::LastName,
            Field::DateOfBirth => Self::DateOfBirth,
            Field::Phone => Self::Phone,
            Field::Email => Self::Email,
            Field::PlanId => Self::PlanId,
            Field::AddressLine1 => Self::AddressLine1,
            Field::AddressLine2 => Self::AddressLine2,
            Field::City => Self::City,
            Field::State => Self::State,
            Field::Zipcode => Self::Zipcode,
        }
    }
}

// === reading ===

/// Reads what a batch changed.
pub(in crate::store) fn unchanges(key: &[u8], sealed: &[u8]) -> Result<BatchChanges, StoreError> {
    let (version, body) = unpack_versioned(Kind::Changes, key, sealed)?;
    if version == FULL {
        return read_full(&body);
    }
    let ChangesV2 { tables, afterwards, changes } = read_positional(Kind::Changes, &body)?;
    let reader = TableReader::new(Kind::Changes, &tables)?;
    let changes = changes.into_iter().map(|change| member_change(&reader, change)).collect::<Result<_, _>>()?;
    Ok(BatchChanges { changes, afterwards: u64::from_be_bytes(afterwards) })
}

/// Reads what a batch changed about people whose id `is_meant`.
pub(in crate::store) fn changes_of(
    key: &[u8],
    sealed: &[u8],
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<MemberChange>, StoreError> {
    let (version, body) = unpack_versioned(Kind::Changes, key, sealed)?;
    if version == FULL {
        let mut changes = read_full(&body)?.changes;
        changes.retain(|change| is_meant(change.reference_id.as_str()));
        return Ok(changes);
    }
    let ChangesV2 { tables, changes, .. } = read_positional(Kind::Changes, &body)?;
    let reader = TableReader::new(Kind::Changes, &tables)?;
    let meant = changes.into_iter().filter(|change| is_meant(change.reference_id));
    meant.map(|change| member_change(&reader, change)).collect()
}

/// Reads of each change of a batch what kind it is.
pub(in crate::store) fn change_kinds(key: &[u8], sealed: &[u8]) -> Result<Vec<ChangeKind>, StoreError> {
    let (version, body) = unpack_versioned(Kind::Changes, key, sealed)?;
    if version == FULL {
        return Ok(read_full(&body)?.changes.iter().map(MemberChange::kind).collect());
    }
    let ChangesV2 { changes, .. } = read_positional(Kind::Changes, &body)?;
    let kind = |change: ChangeV2<'_>| match change.what {
        WhatV2::Added(_) => ChangeKind::Added,
        WhatV2::Returned(_) => ChangeKind::Returned,
        WhatV2::Changed(..) => ChangeKind::Changed,
        WhatV2::Removed(_) => ChangeKind::Removed,
        WhatV2::AddFailed => ChangeKind::AddFailed,
        WhatV2::RemoveFailed(_) => ChangeKind::RemoveFailed,
    };
    Ok(changes.into_iter().map(kind).collect())
}

fn member_change(reader: &TableReader, change: ChangeV2<'_>) -> Result<MemberChange, StoreError> {
    let what = match change.what {
        WhatV2::Added(origin) => Change::Added(reader.origin(origin)?),
        WhatV2::Returned(origin) => Change::Returned(reader.origin(origin)?),
        WhatV2::Changed(origin, former) => {
            let values = former.values.into_iter();
            let former = Former {
                values: values.map(|(field, value)| (field.into(), value.map(Into::into))).collect(),
                origin: reader.origin(former.origin)?,
                subscribed_plan: reader.plan(former.subscribed_plan)?,
            };
            Change::Changed { origin: reader.origin(origin)?, former: Box::new(former) }
        }
        WhatV2::Removed(entry) => Change::Removed(Box::new(reader.entry(&entry)?)),
        WhatV2::AddFailed => Change::AddFailed,
        WhatV2::RemoveFailed(origin) => Change::RemoveFailed(reader.origin(origin)?),
    };
    Ok(MemberChange { reference_id: reader.id(change.reference_id)?, what })
}

fn read_full(body: &[u8]) -> Result<BatchChanges, StoreError> {
    let ChangesV1 { tables, changes } = read_positional(Kind::Changes, body)?;
    let reader = TableReader::new(Kind::Changes, &tables)?;
    let mut after = HashMap::new();
    let changes = changes
        .into_iter()
        .map(|ChangeV1 { reference_id, kind, before, after: then }| {
            let reference_id: ReferenceId = reader.id(reference_id)?;
            let entry = |entry: Option<EntryV1<'_>>| entry.map(|entry| reader.entry(&entry)).transpose();
            let (before, then) = (entry(before)?, entry(then)?);
            let what = match (kind, &before, &then) {
                (ChangeKindV1::Added, _, Some(then)) => Change::Added(then.origin.clone()),
                (ChangeKindV1::Returned, _, Some(then)) => Change::Returned(then.origin.clone()),
                (ChangeKindV1::Changed, Some(before), Some(then)) => MemberChange::changed(before, then).what,
                (ChangeKindV1::Removed, Some(before), _) => MemberChange::removed(before).what,
                (ChangeKindV1::AddFailed, ..) => Change::AddFailed,
                (ChangeKindV1::RemoveFailed, _, Some(then)) => Change::RemoveFailed(then.origin.clone()),
                _ => return Err(reader.bad()),
            };
            after.extend(then.map(|then| (reference_id.clone(), then)));
            Ok(MemberChange { reference_id, what })
        })
        .collect::<Result<_, _>>()?;
    Ok(BatchChanges::new(changes, |id| after.get(id)))
}

impl From<FieldV2> for Field {
    fn from(field: FieldV2) -> Self {
        match field {
            FieldV2::FirstName => Self::FirstName,
            FieldV2::LastName => Self::LastName,
            FieldV2::DateOfBirth => Self::DateOfBirth,
            FieldV2::Phone => Self::Phone,
            FieldV2::Email => Self::Email,
            FieldV2::PlanId => Self::PlanId,
            FieldV2::AddressLine1 => Self::AddressLine1,
            FieldV2::AddressLine2 => Self::AddressLine2,
            FieldV2::City => Self::City,
            FieldV2::State => Self::State,
            FieldV2::Zipcode => Self::Zipcode,
        }
    }
}
