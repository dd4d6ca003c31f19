//! Time travel: one person's way through the groups, and a group's roster as it was.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::control::{Answer, Refusal};
use crate::report::{
    Batch, ChangeReport, Coverage, Evidence, FileFacts, GuardVerdict, MemberDetail, MemberEvent, Pending, Phase,
    RosterMember, RosterReport, Run, RunState,
};
use crate::roster::Entry;
use crate::roster::ids::{GroupRef, ReferenceId, RunId, SourceName};
use crate::store::{Back, ChangeKind, MemberChange, RunFilter, Store, StoreError, Until, folded};

use super::Desk;

impl Desk {
    /// Where a person is, and how that came.
    pub(super) async fn member(&self, reference_id: &str) -> Result<Answer, Refusal> {
        let id = ReferenceId::parse(reference_id)
            .map_err(|error| Refusal::usage(format!("this is no reference id: it {error}")))?;
        let confirm: HashMap<SourceName, u32> =
            self.config.sources.iter().map(|source| (source.name.clone(), source.confirm_absence.get())).collect();
        let asked = id.clone();
        let found = self.store.call(move |store| look_up(store, &asked, &confirm)).await?;
        match found {
            Found::Somebody(detail) => Ok(Answer::Member(detail)),
            Found::Alike(alike) => {
                let alike: Vec<&str> = alike.iter().map(ReferenceId::as_str).collect();
                Err(Refusal::usage(format!(
                    "nobody with the reference id {id} is or was on a roster; ids are byte-exact, and there is {}",
                    alike.join(", ")
                )))
            }
            Found::Nobody => Err(Refusal::usage(format!(
                "nobody with the reference id {id} is or was on a roster, and no id differs from it in case or leading zeros only"
            ))),
        }
    }

    /// A group's confirmed roster, now or then.
    pub(super) async fn roster(&self, group: &str, at: Option<DateTime<Utc>>) -> Result<Answer, Refusal> {
        let now = self.clock.now();
        let at = at.unwrap_or(now);
        if now < at {
            return Err(Refusal::usage(format!("{} has not come yet", said(at))));
        }
        let typed = group.to_owned();
        let found = self.store.call(move |store| {
            let group = match store.groups()?.into_iter().find(|record| {
                record.group.as_str() == typed || record.id.as_ref().is_some_and(|id| id.as_str() == typed)
            }) {
                Some(record) => record.group,
                None => match GroupRef::parse(&typed) {
                    Ok(group) => group,
                    Err(_) => return Ok(None),
                },
            };
            let back = store.roster_back(&group, Until::Time(at))?;
            let renamed = if back == Back::Never { store.renamed_to(&group)? } else { None };
            Ok(Some((group, back, renamed)))
        });
        let unknown =
            || Refusal::usage(format!("nothing was ever confirmed for a group {group}; `rosterd groups` lists them"));
        let (group, back, renamed) = found.await?.ok_or_else(unknown)?;
        match back {
            Back::Known(past) => {
                let (batch, confirmed_at) = past.confirmed_by.unzip();
                let since = past.since;
                let members = past.members.into_iter().map(|entry| on_roster(entry, &since)).collect();
                Ok(Answer::Roster(Box::new(RosterReport { group, at, confirmed_at, batch, members })))
            }
            Back::Before(first) => Err(Refusal::usage(format!(
                "the first roster of {group} on record was confirmed at {}; what the API held before is not known here",
                said(first)
            ))),
            Back::Forgotten(before) => Err(Refusal::usage(format!(
                "history that ended before {} is forgotten (retention.history), so the roster of {group} at {} is not known \
                 any more",
                said(before),
                said(at)
            ))),
            Back::Never => Err(match renamed {
                Some(now) => Refusal::usage(format!(
                    "{group} is called {now} now: `rosterd roster {now}` goes back beyond its renaming"
                )),
                None => unknown(),
            }),
        }
    }
}

fn said(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn on_roster(entry: Entry, since: &HashMap<ReferenceId, DateTime<Utc>>) -> RosterMember {
    RosterMember {
        since: since.get(&entry.member.reference_id).copied(),
        reference_id: entry.member.reference_id,
        plan_id: entry.member.plan_id,
        subscribed_plan: entry.subscribed_plan,
        source: entry.origin.source,
        run: entry.origin.run,
        line: entry.origin.line,
    }
}

/// What a look for a person found.
enum Found {
    Somebody(Box<MemberDetail>),
    Alike(Vec<ReferenceId>),
    Nobody,
}

fn look_up(store: &Store, id: &ReferenceId, confirm: &HashMap<SourceName, u32>) -> Result<Found, StoreError> {
    let like = folded(id.as_str());
    let is_like = |other: &str| other == id.as_str() || folded(other) == like;
    let mut alike = Vec::new();
    let mut was_somewhere = false;
    let mut covered = Vec::new();
    let mut history = History::new(store);
    let groups = store.groups_of(id)?;
    for group in &groups {
        let mut since = None;
        for (batch, change) in store.changes_about(group, is_like)? {
            if change.reference_id != *id {
                alike.push(change.reference_id);
                continue;
            }
            let Some(batch) = store.batch(&batch)? else { continue };
            since = match change.kind() {
                ChangeKind::Added | ChangeKind::Returned => batch.completed_at,
                ChangeKind::Removed => None,
                ChangeKind::Changed | ChangeKind::AddFailed | ChangeKind::RemoveFailed => since,
            };
            history.add(batch, &change)?;
        }
        let Some(roster) = store.roster(group)? else { continue };
        let known = roster.members().iter().map(|entry| &entry.member.reference_id).chain(roster.former());
        alike.extend(known.filter(|other| *other != id && is_like(other.as_str())).cloned());
        was_somewhere |= roster.is_former(id);
        covered.extend(roster.get(id).map(|entry| coverage(group, entry, since, roster.confirmed_at)));
    }
    let mut changes = history.events;
    changes.sort_by(|a, b| (a.at, &a.batch).cmp(&(b.at, &b.batch)));
    let pending = pending(store, id, (&groups, !covered.is_empty()), confirm)?;
    if covered.is_empty() && changes.is_empty() && pending.is_empty() && !was_somewhere {
        alike.sort();
        alike.dedup();
        return Ok(if alike.is_empty() { Found::Nobody } else { Found::Alike(alike) });
    }
    let left = |event: &&MemberEvent| event.change.change == "removed";
    let not_covered_since =
        if covered.is_empty() { changes.iter().rev().find(left).and_then(|event| event.at) } else { None };
    let forgotten_before = store.forgotten_before()?;
    let reference_id = id.clone();
    let detail = MemberDetail { reference_id, covered, not_covered_since, changes, pending, forgotten_before };
    Ok(Found::Somebody(Box::new(detail)))
}

fn coverage(group: &GroupRef, entry: &Entry, since: Option<DateTime<Utc>>, confirmed_at: DateTime<Utc>) -> Coverage {
    Coverage {
        group: group.clone(),
        since,
        plan_id: entry.member.plan_id.clone(),
        subscribed_plan: entry.subscribed_plan.clone(),
        source: entry.origin.source.clone(),
        run: entry.origin.run.clone(),
        line: entry.origin.line,
        confirmed_at,
    }
}

/// What happened to a person, with the runs behind it.
struct History<'s> {
    runs: Runs<'s>,
    events: Vec<MemberEvent>,
}

impl<'s> History<'s> {
    fn new(store: &'s Store) -> Self {
        Self { runs: Runs::new(store), events: Vec::new() }
    }

    fn add(&mut self, batch: Batch, change: &MemberChange) -> Result<(), StoreError> {
        let run = self.runs.get(&batch.run)?;
        let change = self.runs.change(&batch, change)?;
        let is_of_group = |group: Option<&GroupRef>| group.is_none_or(|group| *group == batch.group);
        let approved = run.iter().flat_map(|run| &run.guards);
        let approved =
            approved.filter(|guard| guard.verdict == GuardVerdict::Approved && is_of_group(guard.group.as_ref()));
        self.events.push(MemberEvent {
            at: batch.completed_at,
            result: if change.change.ends_with("failed") { "failed" } else { "confirmed" }.to_owned(),
            change,
            approved: approved.map(|guard| guard.sum.clone()).collect(),
            trigger: run.as_ref().map(|run| run.trigger),
            actor: run.as_ref().and_then(|run| run.actor.clone()),
            approval: run.as_ref().and_then(|run| run.reason.clone()),
            reverts: run.as_ref().and_then(|run| run.reverts.clone()),
            group: batch.group,
            batch: batch.batch,
            request_id: batch.request_id,
            run: batch.run,
        });
        Ok(())
    }
}

/// Runs that were looked up, each once.
pub(super) struct Runs<'s> {
    store: &'s Store,
    known: BTreeMap<RunId, Option<Run>>,
}

impl<'s> Runs<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self { store, known: BTreeMap::new() }
    }

    /// A run without its plan; none for one that is forgotten.
    pub(super) fn get(&mut self, id: &RunId) -> Result<Option<Run>, StoreError> {
        if let Some(run) = self.known.get(id) {
            return Ok(run.clone());
        }
        let run = self.store.bare_run(id)?.map(|record| record.run);
        self.known.insert(id.clone(), run.clone());
        Ok(run)
    }

    fn file(&mut self, id: &RunId) -> Result<Option<FileFacts>, StoreError> {
        Ok(self.get(id)?.and_then(|run| run.file))
    }

    /// A change as it is told, with what it rests on.
    pub(super) fn change(&mut self, batch: &Batch, change: &MemberChange) -> Result<ChangeReport, StoreError> {
        let from = change.origin();
        Ok(ChangeReport {
            reference_id: change.reference_id.clone(),
            change: word(change.kind()).to_owned(),
            fields: change.fields().map(|field| field.name().to_owned()).collect(),
            from_run: from.map(|origin| origin.run.clone()),
            line: from.map(|origin| origin.line),
            because: self.evidence(batch, change)?,
        })
    }

    fn evidence(&mut self, batch: &Batch, change: &MemberChange) -> Result<Option<Evidence>, StoreError> {
        let reverts = self.get(&batch.run)?.and_then(|run| run.reverts);
        match change.kind() {
            ChangeKind::Removed | ChangeKind::RemoveFailed => {
                let Some(reason) = batch.reasons.iter().find(|reason| reason.reference_id == change.reference_id)
                else {
                    return Ok(None);
                };
                let run = reason.run.clone().unwrap_or_else(|| batch.run.clone());
                let (rule, why, line) = (reason.rule.clone(), reason.why.clone(), reason.line);
                Ok(Some(Evidence { rule, why, file: self.file(&run)?, run, line }))
            }
            ChangeKind::Added | ChangeKind::Returned | ChangeKind::Changed | ChangeKind::AddFailed => {
                let Some(origin) = change.origin().cloned() else {
                    let (rule, why) = ("listed".to_owned(), "the file lists the person as covered".to_owned());
                    let file = self.file(&batch.run)?;
                    return Ok(Some(Evidence { rule, why, run: batch.run.clone(), file, line: None }));
                };
                let (rule, why) = match reverts {
                    Some(undone) => ("revert", format!("put back as it was before batch {undone}, which is undone")),
                    None => ("listed", "the file lists the person as covered".to_owned()),
                };
                let (rule, file) = (rule.to_owned(), self.file(&origin.run)?);
                Ok(Some(Evidence { rule, why, run: origin.run, file, line: Some(origin.line) }))
            }
        }
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Returned => "returned",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
        ChangeKind::AddFailed => "add_failed",
        ChangeKind::RemoveFailed => "remove_failed",
    }
}

/// What is not settled about a person.
fn pending(
    store: &Store,
    id: &ReferenceId,
    (groups, is_covered): (&[GroupRef], bool),
    confirm: &HashMap<SourceName, u32>,
) -> Result<Vec<Pending>, StoreError> {
    let mut pending = Vec::new();
    for group in store.groups_with_work()? {
        let roster = store.roster(&group)?;
        let mut before = roster.as_ref().and_then(|roster| roster.get(id)).cloned();
        for (batch, after) in store.under_way_of(&group, id)? {
            pending.extend(under_way(&batch, id, before.as_ref(), after.as_ref()));
            before = after;
        }
    }
    for group in groups {
        let is_confirmed = store.roster(group)?.is_some_and(|roster| roster.get(id).is_some());
        if !is_confirmed && crate::roster::find(&store.abroad(group)?, id).is_some() {
            let why = "a roster with the person was sent and ended without results; the next results tell".to_owned();
            pending.push(Pending { group: Some(group.clone()), ..nothing("perhaps_covered", why) });
        }
    }
    for source in store.sources()? {
        // Once the removal is confirmed there is nothing to wait for.
        if let Some(absence) = source.absences.get(id).filter(|_| is_covered) {
            let needed =
                confirm.get(&source.source).map(|needed| format!(" ({needed} confirm an absence)")).unwrap_or_default();
            let exports = match absence.exports {
                1 => "1 accepted export".to_owned(),
                more => format!("{more} accepted exports in a row"),
            };
            let (of, since) = (&source.source, said(absence.since));
            let why = format!("missing from {exports} of {of}{needed}, first from the one of {since}");
            let run = source.last_accepted.as_ref().map(|last| last.run.clone());
            pending.push(Pending { run, ..nothing("absent", why) });
        }
        for run in held_runs(store, &source.source, source.last_accepted.as_ref().map(|last| &last.run))? {
            for (group, kept, reason) in store.kept_by(&run, id)? {
                let cause = reason.as_ref().map(|reason| format!(" ({})", reason.why)).unwrap_or_default();
                let line = reason.and_then(|reason| reason.line);
                let why = format!("{}{cause}", kept.reason);
                pending.push(Pending { group: Some(group), run: Some(run.clone()), line, ..nothing("held", why) });
            }
        }
    }
    Ok(pending)
}

/// Runs of a source whose word on whom they keep still counts: those that are held, and the last accepted export.
fn held_runs(store: &Store, source: &SourceName, last: Option<&RunId>) -> Result<Vec<RunId>, StoreError> {
    let filter = RunFilter { source: Some(source.clone()), ..RunFilter::default() };
    let is_open = |run: &Run| {
        run.state == RunState::Held
            || Some(&run.run) == last
            || (run.reverts.is_some() && last.is_none_or(|last| *last < run.run))
    };
    let mut runs: Vec<RunId> =
        store.runs(&filter, usize::MAX)?.into_iter().filter(is_open).map(|run| run.run).collect();
    runs.reverse();
    Ok(runs)
}

fn under_way(batch: &Batch, id: &ReferenceId, before: Option<&Entry>, after: Option<&Entry>) -> Option<Pending> {
    let reason = batch.reasons.iter().find(|reason| reason.reference_id == *id);
    let why = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => "would be added".to_owned(),
        (Some(_), None) => match reason {
            Some(reason) => format!("would be removed: {}", reason.why),
            None => "would be removed".to_owned(),
        },
        (Some(before), Some(after)) => {
            let fields = before.member.changed_fields(&after.member);
            if fields.is_empty() {
                return None;
            }
            let names: Vec<&str> = fields.iter().map(crate::roster::member::Field::name).collect();
            format!("would be changed ({})", names.join(", "))
        }
    };
    let line = reason.and_then(|reason| reason.line).or_else(|| after.map(|entry| entry.origin.line));
    Some(Pending {
        group: Some(batch.group.clone()),
        run: Some(batch.run.clone()),
        batch: Some(batch.batch.clone()),
        phase: Some(batch.phase),
        line,
        ..nothing("under_way", why)
    })
}

fn nothing(what: &str, why: String) -> Pending {
    Pending { what: what.to_owned(), group: None, run: None, batch: None, phase: None::<Phase>, line: None, why }
}
