//! What may happen and what may not, worked out afresh: from what the generator put into the files, from what the API really did,
//! and from what operators released. The limits are those of the design, written down here a second time on purpose.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use rosterd::report::{GuardVerdict, Phase, PlanReport, Run, Trigger};
use rosterd::roster::ids::{GroupRef, RequestId, RunId};
use rosterd::sandbox::Sandbox;
use rosterd::sandbox::audit::{RequestLog, Violation as Breach};
use rosterd::store::{RunFilter, Store};

use super::export::{Export, Said};
use super::history::History;
use super::people::{self, Company, Part, Record};
use super::rig::Step;
use super::tally::Tally;
use super::watch::{Journal, Sent, roster};

/// What is wrong, and which property says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) property: &'static str,
    pub(crate) text: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, text: String) -> Self {
        Self { property, text }
    }
}

/// What an operator released, as the held run showed it.
#[derive(Clone, Debug)]
pub(crate) struct Approved {
    file: String,
    at: DateTime<Utc>,
    pub(crate) ceilings: Vec<(String, Option<String>, u64)>,
    /// Whom it showed as leaving, or as kept, by group.
    shown: BTreeMap<String, BTreeSet<String>>,
}

impl Approved {
    pub(crate) fn of(run: &Run, plan: Option<&PlanReport>, at: DateTime<Utc>) -> Self {
        let held = plan.iter().flat_map(|plan| &plan.guards).filter(|guard| guard.verdict == GuardVerdict::Hold);
        let ceilings = held.map(|held| (held.guard.clone(), held.group.as_ref().map(ToString::to_string), held.value));
        let file = run.file.as_ref().map(|file| file.name.clone()).unwrap_or_default();
        let shown = plan.iter().flat_map(|plan| &plan.groups).map(|group| {
            let moving = group.moved_out.iter().map(|moved| &moved.reference_id);
            let kept = group.kept.iter().map(|kept| &kept.reference_id);
            let people = group.terminated.iter().chain(&group.missing).chain(moving).chain(kept);
            (group.group.to_string(), people.map(ToString::to_string).collect())
        });
        Self { file, at, ceilings: ceilings.collect(), shown: shown.collect() }
    }

    fn names_all(&self, group: &str, ids: &BTreeSet<String>) -> bool {
        ids.iter().all(|id| self.shown.get(group).is_some_and(|shown| shown.contains(id)))
    }

    fn allows(&self, guard: &str, group: Option<&str>, value: usize) -> bool {
        self.ceilings
            .iter()
            .any(|(name, of, ceiling)| name == guard && of.as_deref() == group && value as u64 <= *ceiling)
    }
}

/// How somebody's coverage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// It goes on in another group, or on another plan.
    None,
    Stated,
    Absent,
}

type Rosters = BTreeMap<String, BTreeMap<String, Record>>;

/// The world as a plan found it.
struct Snapshot {
    at: DateTime<Utc>,
    rosters: Rosters,
    confirmed: BTreeMap<String, usize>,
    /// Rosters that had left.
    sent: usize,
}

/// A run, as the judge sees it.
struct Seen {
    source: usize,
    /// Its file, by name; none for a roster that was sent again.
    file: Option<String>,
    at: DateTime<Utc>,
    today: NaiveDate,
    is_accepted: bool,
    approval: Option<Approved>,
    /// Whom the run's record says that it removes, by group.
    planned: BTreeMap<String, BTreeSet<String>>,
    /// Whom it adds, by group.
    joining: BTreeMap<String, BTreeSet<String>>,
    /// Who of those comes from another group.
    moving: BTreeSet<String>,
    /// Exports in a row that lack somebody, this one included.
    absent: BTreeMap<String, u32>,
    /// Members by group when it was planned, at most.
    sizes: BTreeMap<String, usize>,
    confirmed: BTreeMap<String, usize>,
    /// Who was covered anywhere when it was planned, with the source that brought them.
    covered: BTreeMap<String, (Record, Option<String>)>,
    /// What came of it: really removed and really added, by group.
    missing: BTreeMap<String, BTreeSet<String>>,
    terminated: BTreeMap<String, BTreeSet<String>>,
    moved: BTreeMap<String, BTreeSet<String>>,
    added: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    /// Whether its plan adds somebody to another group than this one.
    fn joins_elsewhere(&self, group: &str, id: &str) -> bool {
        self.joining.iter().any(|(other, joining)| other != group && joining.contains(id))
    }
}

/// What is known of a source.
#[derive(Default)]
struct Feed {
    /// Accepted contents, oldest first.
    accepted: Vec<RunId>,
    hashes: BTreeSet<String>,
    last: Option<(String, DateTime<Utc>, usize)>,
    absent: BTreeMap<String, u32>,
}

/// Holds everything against the truth.
pub(crate) struct Judge {
    confirm_absence: Vec<u32>,
    /// Whether a new plan is carried out by leaving and joining again.
    replaces: Vec<bool>,
    /// Groups whose members nobody knows.
    pub(crate) strangers: BTreeSet<String>,
    /// Those that were so at the start.
    pub(crate) once_strange: BTreeSet<String>,
    files: BTreeMap<String, (usize, Export)>,
    snapshots: Vec<Snapshot>,
    approvals: Vec<Approved>,
    runs: BTreeMap<RunId, Seen>,
    feeds: Vec<Feed>,
    /// How much of the journal, the requests and the audit has been looked at.
    looked_sent: usize,
    judged: BTreeSet<String>,
    breaches: usize,
    /// Of everybody in each group, the source that the last roster names.
    owners: BTreeMap<(String, String), String>,
    /// Whom groups lost without an approval: when it was decided, who, by which run, and whether the file stated it.
    losses: BTreeMap<String, Vec<(DateTime<Utc>, String, RunId, bool)>>,
    explained: BTreeSet<(String, String, RunId)>,
    failed: BTreeSet<String>,
}

fn share(hundredths: usize, of: usize) -> usize {
    of * hundredths / 100
}

impl Judge {
    pub(crate) fn new(history: &History) -> Self {
        Self {
            confirm_absence: history.shape.sources.iter().map(|source| source.confirm_absence).collect(),
            replaces: history.shape.sources.iter().map(|source| source.replaces).collect(),
            strangers: BTreeSet::new(),
            once_strange: BTreeSet::new(),
            files: BTreeMap::new(),
            snapshots: Vec::new(),
            approvals: Vec::new(),
            runs: BTreeMap::new(),
            feeds: history.shape.sources.iter().map(|_| Feed::default()).collect(),
            looked_sent: 0,
            judged: BTreeSet::new(),
            breaches: 0,
            owners: BTreeMap::new(),
            losses: BTreeMap::new(),
            explained: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// A file was dropped into the inbox of a source.
    pub(crate) fn dropped(&mut self, name: &str, into: usize, export: Export) {
        self.files.insert(name.to_owned(), (into, export));
    }

    pub(crate) fn approved(&mut self, approved: Approved) {
        self.approvals.push(approved);
    }

    /// Whether HR meant what a file says.
    pub(crate) fn is_faithful(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|(_, export)| export.is_faithful)
    }

    /// To be called before anything is planned.
    pub(crate) fn before_plan(&mut self, now: DateTime<Utc>, sandbox: &Sandbox, journal: &Journal) {
        let rosters =
            sandbox.groups().into_iter().map(|group| (group.reference.clone(), roster(sandbox, &group.reference)));
        let rosters = rosters.collect();
        let (confirmed, sent) = (journal.confirmed.clone(), journal.sent.len());
        self.snapshots.push(Snapshot { at: now, rosters, confirmed, sent });
    }

    /// Looks at all that happened since the last look.
    pub(crate) fn look(&mut self, store: &Store, sandbox: &Sandbox, journal: &Journal, tally: &mut Tally) -> Step {
        self.new_runs(store, journal, tally)?;
        while let Some(sent) = journal.sent.get(self.looked_sent) {
            self.sent(sent, journal)?;
            self.looked_sent += 1;
        }
        for request in sandbox.requests() {
            if request.completed_at.is_some() && !self.judged.contains(&request.request_id) {
                self.carried_out(&request, journal, tally)?;
                self.judged.insert(request.request_id);
            }
        }
        let audit = sandbox.audit();
        let fresh = audit.get(self.breaches..).unwrap_or_default();
        let is_breach = |breach: &&Breach| match breach {
            // A payload comes back when HR's data does; what must never come back is an older run's. And that a new id in another
            // group is a person whom the API knows is not for rosterd to know. Both are looked at above, with what was known.
            Breach::OlderPayload { .. } | Breach::AddBeforeRemoval { .. } => false,
            // A request that was given up may be followed by another one.
            Breach::Overlap { group, outstanding } => {
                let batches = store.batches_of_group(&GroupRef::parse(group).unwrap()).unwrap();
                let is_it = |id: &RequestId| id.as_str() == outstanding;
                !batches.iter().any(|batch| batch.phase == Phase::Lost && batch.request_id.as_ref().is_some_and(is_it))
            }
            Breach::NullField { .. } | Breach::UnknownKey { .. } => true,
        };
        let breach = fresh.iter().find(is_breach);
        self.breaches = audit.len();
        breach.map_or(Ok(()), |breach| Err(Violation::new("P5", breach.to_string())))
    }

    // === runs ===

    fn new_runs(&mut self, store: &Store, journal: &Journal, tally: &mut Tally) -> Step {
        let mut fresh = Vec::new();
        for limit in [8, usize::MAX] {
            fresh = store.runs(&RunFilter::default(), limit).unwrap();
            let known = fresh.iter().position(|run| self.runs.contains_key(&run.run));
            if let Some(known) = known {
                // Ids grow, so what follows a known run is known.
                fresh.truncate(known);
                break;
            }
            if fresh.len() < limit {
                break;
            }
        }
        for run in fresh.into_iter().rev() {
            self.new_run(store, &run, journal, tally)?;
        }
        Ok(())
    }

    fn new_run(&mut self, store: &Store, run: &Run, journal: &Journal, tally: &mut Tally) -> Step {
        let record = store.run(&run.run).unwrap().unwrap();
        let source: usize = run.source.as_str().trim_start_matches('s').parse().unwrap();
        let file = run.file.as_ref().map(|file| file.name.clone());
        let plan = record.plan;
        let guards = plan.as_ref().map(|plan| plan.guards.clone()).unwrap_or_default();
        for guard in &guards {
            tally.guard(&guard.guard, guard.verdict);
        }
        let is_stopped = guards.iter().any(|guard| {
            guard.verdict == GuardVerdict::Reject || (guard.verdict == GuardVerdict::Hold && guard.group.is_none())
        });
        let is_accepted = !is_stopped && (plan.is_some() || file.is_none());
        let mut planned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut joining: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut moving = BTreeSet::new();
        for group in plan.iter().flat_map(|plan| &plan.groups) {
            let moved = group.moved_out.iter().map(|moved| &moved.reference_id);
            let again = group.changed.iter().filter(|changed| changed.joins_again).map(|changed| &changed.reference_id);
            let leaving =
                group.terminated.iter().chain(&group.missing).chain(moved).chain(again).map(ToString::to_string);
            planned.insert(group.group.to_string(), leaving.collect());
            let moved = group.moved_in.iter().map(|moved| &moved.reference_id);
            moving.extend(moved.clone().map(ToString::to_string));
            let joined = group.new.iter().chain(&group.returning).chain(moved).map(ToString::to_string);
            joining.insert(group.group.to_string(), joined.collect());
            for kept in &group.kept {
                tally.kept(&kept.reason);
            }
        }
        let approval = (run.trigger == Trigger::Approve)
            .then(|| {
                let fits =
                    |approved: &&Approved| Some(&approved.file) == file.as_ref() && approved.at <= run.received_at;
                self.approvals.iter().rfind(fits).cloned()
            })
            .flatten();
        let today = run.received_at.with_timezone(&chrono_tz::America::New_York).date_naive();
        let mut seen = Seen {
            source,
            file: file.clone(),
            at: run.received_at,
            today,
            is_accepted,
            approval,
            planned,
            joining,
            moving,
            absent: BTreeMap::new(),
            sizes: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            covered: BTreeMap::new(),
            missing: BTreeMap::new(),
            terminated: BTreeMap::new(),
            moved: BTreeMap::new(),
            added: BTreeMap::new(),
        };
        if is_accepted {
            tally.accepted += 1;
            // Owners as they were, by the rosters that had left until then.
            let at = self.snapshots.iter().rposition(|snapshot| snapshot.at <= run.received_at).unwrap_or_default();
            self.found(at, &mut seen, journal);
            if let Some(name) = &file {
                self.accept(&run.run, name, &mut seen, at, journal)?;
            }
        }
        self.runs.insert(run.run.clone(), seen);
        Ok(())
    }

    /// What the plan of a run found.
    fn found(&self, snapshot: usize, seen: &mut Seen, journal: &Journal) {
        let Some(snapshot) = self.snapshots.get(snapshot) else { return };
        for (group, members) in &snapshot.rosters {
            let confirmed = snapshot.confirmed.get(group).copied();
            seen.sizes.insert(group.clone(), members.len().max(confirmed.unwrap_or_default()));
            // A group of which nothing was ever confirmed is left out.
            seen.confirmed.extend(confirmed.map(|confirmed| (group.clone(), confirmed)));
            for (id, record) in members {
                let of = journal.sent.get(..snapshot.sent).unwrap_or_default().iter().rev();
                let owner = of
                    .filter(|sent| sent.group == *group)
                    .find_map(|sent| sent.members.get(id))
                    .map(|member| member.source.clone());
                seen.covered.insert(id.clone(), (record.clone(), owner));
            }
        }
    }

    /// A file was accepted: was it one that may be, and what does it say about who is absent?
    fn accept(&mut self, run: &RunId, name: &str, seen: &mut Seen, snapshot: usize, journal: &Journal) -> Step {
        let Some((_, export)) = self.files.get(name) else {
            return Err(Violation::new("P4", format!("{run} is about {name}, which nobody dropped")));
        };
        self.check_file(run, name, export, seen)?;
        if let Some(snapshot) = self.snapshots.get(snapshot) {
            self.check_columns(run, name, export, seen, (snapshot, journal))?;
        }
        let feed = &mut self.feeds[seen.source];
        let is_repeat = feed.last.as_ref().is_some_and(|(sha256, ..)| *sha256 == export.sha256);
        let known: BTreeSet<String> = feed.accepted.iter().filter_map(|run| self.runs.get(run)?.file.clone()).collect();
        let mut ids: BTreeSet<String> = feed.absent.keys().cloned().collect();
        for file in known.iter().rev().take(12) {
            ids.extend(self.files[file].1.ids().cloned());
        }
        for id in ids {
            if export.said(&id, seen.today).is_some() {
                feed.absent.remove(&id);
            } else if !export.is_unidentified && !is_repeat {
                *feed.absent.entry(id).or_default() += 1;
            }
        }
        seen.absent.clone_from(&feed.absent);
        feed.accepted.push(run.clone());
        feed.hashes.insert(export.sha256.clone());
        feed.last = Some((export.sha256.clone(), export.made, export.rows.len()));
        Ok(())
    }

    /// The guards of the whole file that need nothing but files.
    fn check_file(&self, run: &RunId, name: &str, export: &Export, seen: &Seen) -> Step {
        let may = |guard: &str, value: usize| {
            seen.approval.as_ref().is_some_and(|approved| approved.allows(guard, None, value))
        };
        let bad = |text: String| Err(Violation::new("P2", format!("{run} accepted {name}: {text}")));
        if export.is_broken {
            return bad("it is broken".to_owned());
        }
        let (rows, bad_rows) = (export.rows.len(), export.bad_rows(seen.today));
        if share(5, rows).max(2) < bad_rows && !may("invalid_rows", bad_rows) {
            return bad(format!("{bad_rows} of {rows} rows cannot be used"));
        }
        let feed = &self.feeds[seen.source];
        let Some((sha256, made, before)) = &feed.last else { return Ok(()) };
        let is_back = *sha256 != export.sha256 && feed.hashes.contains(&export.sha256);
        if (is_back || export.made < *made) && !may("stale", 1) {
            return bad("it is older than the last accepted one".to_owned());
        }
        let dropped = before.saturating_sub(rows);
        if share(20, *before).max(1) < dropped && !may("rows_dropped", dropped) {
            return bad(format!("it has {rows} rows, the one before had {before}"));
        }
        Ok(())
    }

    /// The guards of the whole file that compare it with who is covered. Whatever may be under way counts in rosterd's favour.
    fn check_columns(
        &self,
        run: &RunId,
        name: &str,
        export: &Export,
        seen: &Seen,
        (snapshot, journal): (&Snapshot, &Journal),
    ) -> Step {
        let may = |guard: &str, value: usize| {
            seen.approval.as_ref().is_some_and(|approved| approved.allows(guard, None, value))
        };
        let under_way = journal.sent.get(..snapshot.sent).unwrap_or_default();
        let (mut staying, mut everybody, mut drifted) = (0, 0, 0);
        let mut changed: BTreeMap<Part, usize> = BTreeMap::new();
        for (group, members) in &snapshot.rosters {
            everybody += members.len().max(snapshot.confirmed.get(group).copied().unwrap_or_default());
            let last = under_way.iter().rfind(|sent| sent.group == *group);
            for (id, record) in members {
                let ours = seen.covered.get(id).is_some_and(|(_, owner)| owner.as_deref() == Some(&of(seen.source)));
                let Some(Said::Covered { group: said, record: new }) = export.said(id, seen.today) else { continue };
                if !ours || people::reference(said) != *group {
                    continue;
                }
                staying += 1;
                let sent = last.and_then(|sent| sent.members.get(id)).map_or(record, |member| &member.record);
                let again = sent.differing(&new);
                let parts: Vec<Part> = record.differing(&new).into_iter().filter(|part| again.contains(part)).collect();
                let who = [Part::Last, Part::Born, Part::Email];
                drifted += usize::from(1 < parts.iter().filter(|part| who.contains(part)).count());
                for part in parts {
                    *changed.entry(part).or_default() += 1;
                }
            }
        }
        let bad = |text: String| Err(Violation::new("P2", format!("{run} accepted {name}: {text}")));
        if let Some((part, count)) = changed.into_iter().max_by_key(|(_, count)| *count)
            && 10 <= staying
            && share(30, everybody) < count
            && !may("field_changed", count)
        {
            return bad(format!("{part:?} changed for {count} of {staying}"));
        }
        if share(2, everybody).max(2) < drifted && !may("identity_changes", drifted) {
            return bad(format!("{drifted} of {everybody} are somebody else"));
        }
        Ok(())
    }

    // === rosters on their way ===

    fn sent(&mut self, sent: &Sent, journal: &Journal) -> Step {
        let group = &sent.group;
        let Some(run) = &sent.run else {
            return Err(Violation::new("P4", format!("a roster of {group} left without a batch on record")));
        };
        let earlier = journal.sent.get(..self.looked_sent).unwrap_or_default();
        let last = earlier.iter().rfind(|earlier| earlier.group == *group);
        if let Some(older) = last.and_then(|last| last.run.as_ref()).filter(|last| run < *last) {
            return Err(Violation::new("P5", format!("{group}: a roster of {run} left after one of {older}")));
        }
        // Of a group that was there before, nobody here knew whom it covers.
        let known = |(id, from): &&(String, String)| {
            let is_known = !self.once_strange.contains(from) || journal.confirmed.contains_key(from);
            is_known && earlier.iter().any(|earlier| earlier.group == *from && earlier.members.contains_key(id))
        };
        if let Some((id, from)) = sent.elsewhere.iter().find(known) {
            return Err(Violation::new("P5", format!("{group}: {id} was submitted while covered in {from}")));
        }
        if self.strangers.contains(group) {
            let approval = self.runs.get(run).and_then(|seen| seen.approval.as_ref());
            let is_released = approval.is_some_and(|approved| approved.allows("baseline", Some(group), 1));
            let is_released = is_released
                || approval.is_some_and(|approved| {
                    approved.ceilings.iter().any(|(guard, of, _)| guard == "baseline" && of.as_deref() == Some(group))
                });
            if !is_released {
                let text = format!("{group} was there before, and {run} sent it a roster that nobody approved");
                return Err(Violation::new("P2", text));
            }
            self.strangers.remove(group);
        }
        for (id, member) in &sent.members {
            self.owners.insert((group.clone(), id.clone()), member.source.clone());
            let known = (group.clone(), id.clone(), member.run.clone());
            if !self.explained.contains(&known) {
                self.explain(group, id, member)?;
                self.explained.insert(known);
            }
            // What the API knew before the first roster, nobody else did.
            let (Some(before), Some(last)) = (sent.before.get(id), last) else { continue };
            let as_sent = last.members.get(id).map_or(before, |member| &member.record);
            let is_new = |part: Part| {
                before.differing(&member.record).contains(&part) && as_sent.differing(&member.record).contains(&part)
            };
            if is_new(Part::Last) && is_new(Part::Born) {
                let approval = self.runs.get(&member.run).and_then(|seen| seen.approval.as_ref());
                if !approval.is_some_and(|approved| approved.allows("another_person", Some(group), 1)) {
                    let text = format!("{id} of {group} became somebody else by {}", member.run);
                    return Err(Violation::new("P2", text));
                }
            }
        }
        Ok(())
    }

    /// Whether a record in a roster is what the file said on that line.
    fn explain(&self, group: &str, id: &str, member: &super::watch::SentMember) -> Step {
        let bad = |text: String| Err(Violation::new("P4", format!("{id} in a roster of {group}: {text}")));
        let run = &member.run;
        let Some(seen) = self.runs.get(run) else { return bad(format!("{run} is not on record")) };
        let Some(name) = &seen.file else { return bad(format!("{run} has no file")) };
        if !seen.is_accepted {
            return Err(Violation::new("P2", format!("{id} of {group} has a record of {run}, which is held")));
        }
        let export = &self.files[name].1;
        if export.is_cut_on(member.line) {
            return Ok(());
        }
        if export.id_on(member.line) != Some(id) {
            return bad(format!("line {} of {name} is about {:?}", member.line, export.id_on(member.line)));
        }
        match export.said(id, seen.today) {
            Some(Said::Covered { group: said, record })
                if people::reference(said) == group && record == member.record =>
            {
                Ok(())
            }
            said => Err(Violation::new(
                "P1",
                format!("{id} in a roster of {group} as {:?}, but {name} of {run} says {said:?}", member.record),
            )),
        }
    }

    // === what the API did ===

    fn carried_out(&mut self, request: &RequestLog, journal: &Journal, tally: &mut Tally) -> Step {
        let group = request.group.clone();
        let mut of_group = journal.sent.iter().enumerate().filter(|(_, sent)| sent.group == group);
        let Some((at, sent)) = of_group.rfind(|(_, sent)| sent.at <= request.accepted_at) else {
            return Err(Violation::new("P4", format!("{} came from nowhere", request.request_id)));
        };
        for failure in &request.failures {
            self.failed.insert(failure.reference_id.clone());
            tally.failures += 1;
        }
        let Some(run) = sent.run.clone() else { return Ok(()) };
        for id in &request.added {
            tally.added += 1;
            self.added(&group, id, sent)?;
        }
        let mut decided: BTreeMap<RunId, BTreeSet<String>> = BTreeMap::new();
        for id in &request.removed {
            tally.removed += 1;
            if let Some((by, is_weak)) = self.removed(&group, id, (&run, at), journal)? {
                decided.entry(by).or_default().insert(id.clone());
                if is_weak {
                    tally.missing += 1;
                }
            }
        }
        if request.payload_ids.is_empty() && !decided.is_empty() {
            tally.emptied += 1;
            let approval = |run: &RunId| self.runs.get(run).and_then(|seen| seen.approval.as_ref());
            // Of the last to leave, or in so many words: some of them may have been leaving by another plan.
            let is_approved =
                decided.iter().any(|(run, ids)| approval(run).is_some_and(|approved| approved.names_all(&group, ids)))
                    || approval(&run).is_some_and(|approved| approved.allows("empty", Some(&group), 1));
            if !is_approved {
                return Err(Violation::new(
                    "P2",
                    format!("{group} was emptied by {decided:?}, and nobody approved it"),
                ));
            }
        }
        Ok(())
    }

    /// Whether a run of the source, between these two, planned that somebody leaves the group for another one, or to join it again.
    fn was_to_move(&self, source: usize, group: &str, id: &str, (from, to): (&RunId, &RunId)) -> bool {
        let mut between =
            self.runs.range(from.clone()..to.clone()).filter(|(run, seen)| *run != from && seen.source == source);
        between.any(|(_, seen)| {
            let said = seen.file.as_ref().and_then(|name| self.files[name].1.said(id, seen.today));
            let is_move = matches!(said, Some(Said::Covered { group: to, .. })
                if people::reference(to) != group || self.replaces[source]);
            is_move && seen.is_accepted && seen.planned.get(group).is_some_and(|leaving| leaving.contains(id))
        })
    }

    fn added(&mut self, group: &str, id: &str, sent: &Sent) -> Step {
        let Some(member) = sent.members.get(id) else {
            return Err(Violation::new("P4", format!("{id} was added to {group} by a roster without them")));
        };
        let Some(seen) = self.runs.get(&member.run) else { return Ok(()) };
        let earlier = self.runs.range(..member.run.clone()).filter(|(_, earlier)| earlier.source == seen.source);
        let leaving: BTreeSet<String> =
            earlier.rev().take(40).flat_map(|(_, earlier)| earlier.planned.values().flatten().cloned()).collect();
        let Some(seen) = self.runs.get_mut(&member.run) else { return Ok(()) };
        let added = seen.added.entry(group.to_owned()).or_default();
        // Who was covered then comes back with that run's record after an approved removal of which no results came.
        if !seen.covered.contains_key(id) {
            added.insert(id.to_owned());
        }
        let count = added.len();
        let confirmed = seen.confirmed.get(group).copied().unwrap_or_default();
        let size = seen.sizes.get(group).copied().unwrap_or_default();
        let may = |guard: &str, value: usize| {
            seen.approval.as_ref().is_some_and(|approved| approved.allows(guard, Some(group), value))
        };
        if confirmed != 0 && share(50, size).max(10) < count && !may("additions", count) {
            let text = format!("{count} people joined the {size} of {group} by {}", member.run);
            return Err(Violation::new("P2", text));
        }
        let Some(export) = seen.file.as_ref().map(|name| &self.files[name].1) else { return Ok(()) };
        let ours = of(seen.source);
        let like = seen.covered.iter().find(|(other, (record, owner))| {
            let is_gone = export.said(other, seen.today).is_none() && owner.as_deref() == Some(&ours);
            *other != id && is_gone && record.is_like(&member.record) && !leaving.contains(other.as_str())
        });
        // Whoever was covered under this very id, and moves, has no new one; they may be between the two groups.
        let is_between = seen.moving.contains(id) && leaving.contains(id);
        if let Some((other, _)) = like
            && !seen.covered.contains_key(id)
            && !is_between
            && !may("renumbered", 1)
        {
            let text = format!("{id} joined {group} by {}, and is {other} under a new id", member.run);
            return Err(Violation::new("P2", text));
        }
        Ok(())
    }

    /// Somebody's coverage ended. Answers the run that decided it, and whether by absence.
    fn removed(
        &mut self,
        group: &str,
        id: &str,
        (run, at): (&RunId, usize),
        journal: &Journal,
    ) -> Step<Option<(RunId, bool)>> {
        let key = (group.to_owned(), id.to_owned());
        let earlier = journal.sent.get(..at).unwrap_or_default().iter().rev().filter(|sent| sent.group == group);
        // Of a roster that was refused nobody knows more than before.
        let was_known = self.runs.get(run).is_some_and(|seen| seen.confirmed.contains_key(group));
        let is_known = was_known || !self.once_strange.contains(group);
        let Some(held) = earlier.clone().find_map(|sent| sent.members.get(id)).filter(|_| is_known) else {
            // Nobody here ever knew them: whoever approved the first roster was told so.
            let is_first = earlier.count() == 0 && !self.owners.contains_key(&key);
            let approval = self.runs.get(run).and_then(|seen| seen.approval.as_ref());
            let is_told = approval.is_some_and(|approved| {
                approved.ceilings.iter().any(|(guard, of, _)| guard == "baseline" && of.as_deref() == Some(group))
            });
            return if is_told || !is_first {
                Ok(None)
            } else {
                Err(Violation::new("P2", format!("{id} of {group} was removed by {run}, and nobody knew them")))
            };
        };
        let owner: usize = held.source.trim_start_matches('s').parse().unwrap();
        let of_owner =
            self.runs.range(..=run.clone()).rev().filter(|(_, seen)| seen.source == owner && seen.is_accepted);
        let mut decided = None;
        for (other, seen) in of_owner {
            if *other <= held.run {
                break;
            }
            if seen.planned.get(group).is_some_and(|leaving| leaving.contains(id)) {
                decided = Some(other.clone());
                break;
            }
            let said = seen.file.as_ref().and_then(|name| self.files[name].1.said(id, seen.today));
            // Half of a move, or of a change of plans, that an earlier run decided.
            let is_half = match &said {
                Some(Said::Covered { group: to, .. }) => people::reference(*to) != group || self.replaces[owner],
                // Of whom the newest file says nothing: what an earlier one began is carried through.
                Some(Said::Doubt) => self.was_to_move(owner, group, id, (&held.run, other)),
                Some(Said::Off) | None => false,
            };
            if let (Some(Said::Covered { .. } | Said::Doubt), false) = (&said, is_half) {
                let text =
                    format!("{id} of {group} was removed by {run}, although {:?} of {other} says {said:?}", seen.file);
                return Err(Violation::new("P1", text));
            }
        }
        let Some(decided) = decided else {
            // A failure that is no add leaves it open whether somebody of such a group is on record;.
            if self.once_strange.contains(group) && self.failed.contains(id) {
                return Ok(None);
            }
            let text = format!("{id} of {group} was removed by {run}, and no plan of s{owner} says so");
            return Err(Violation::new("P2", text));
        };
        let loss = self.judge_removal(group, id, &decided)?;
        let is_weak = loss == Loss::Absent;
        let seen = &self.runs[&decided];
        let export = seen.file.as_ref().map(|name| &self.files[name].1).filter(|_| is_weak);
        // What the source said last of whoever has the new id: they may have moved on since, or left.
        let mut said_last =
            self.runs.range(..=run.clone()).rev().filter(|(_, seen)| seen.source == owner && seen.is_accepted);
        let last = said_last.find_map(|(_, seen)| Some((&self.files[seen.file.as_ref()?].1, seen.today)));
        let has_moved_on = |other: &String| match last.and_then(|(export, today)| export.said(other, today)) {
            Some(Said::Covered { group: to, .. }) => people::reference(to) != group,
            Some(Said::Off) => true,
            // Listed under the new id only once: an operator released the old one, and the newest file has neither.
            None => seen.approval.as_ref().is_some_and(|approved| approved.names_all(group, &[id.to_owned()].into())),
            Some(Said::Doubt) => false,
        };
        // Whoever was covered under both ids loses nothing by losing one.
        let is_new = |other: &&String| !seen.covered.contains_key(*other) && !has_moved_on(other);
        for other in export.iter().flat_map(|export| export.ids()).filter(is_new) {
            let Some(Said::Covered { group: to, record }) = export.and_then(|export| export.said(other, seen.today))
            else {
                continue;
            };
            let is_here = people::reference(to) == group && journal.sent[at].members.contains_key(other);
            if people::reference(to) == group && record.is_like(&held.record) && !is_here {
                let text = format!("{id} of {group} was removed by {decided}, and may not join again as {other}");
                return Err(Violation::new("P1", text));
            }
        }
        Ok((loss != Loss::None).then_some((decided, is_weak)))
    }

    /// Whether the run that decided a removal had a reason, and kept its limits.
    fn judge_removal(&mut self, group: &str, id: &str, decided: &RunId) -> Step<Loss> {
        let confirm = |seen: &Seen| self.confirm_absence[seen.source];
        let Some(seen) = self.runs.get(decided) else { return Ok(Loss::None) };
        let (needed, name) = (confirm(seen), seen.file.clone().unwrap_or_default());
        let export = &self.files[&name].1;
        let size = seen.sizes.get(group).copied().unwrap_or_default();
        let bad = |property, text: String| {
            Err(Violation::new(property, format!("{id} of {group} was removed by {decided} of {name}: {text}")))
        };
        let is_absent = match export.said(id, seen.today) {
            None => true,
            Some(Said::Off) => false,
            Some(Said::Covered { group: to, .. }) if people::reference(to) != group || self.replaces[seen.source] => {
                return self.judge_move(group, id, decided).map(|()| Loss::None);
            }
            Some(Said::Doubt) if export.ends_by_cut_row(id, seen.today) => false,
            // What is left of a name may be another group's.
            Some(Said::Doubt) if export.is_cut_of(id) && seen.joins_elsewhere(group, id) => {
                return self.judge_move(group, id, decided).map(|()| Loss::None);
            }
            Some(said) => return bad("P1", format!("it says {said:?}")),
        };
        if is_absent && export.is_unidentified {
            return bad("P1", "a row without an id may be theirs".to_owned());
        }
        let times = seen.absent.get(id).copied().unwrap_or_default();
        let alone: BTreeSet<String> = [id.to_owned()].into();
        let is_shown = seen.approval.as_ref().is_some_and(|approved| approved.names_all(group, &alone));
        if is_absent && times < needed && !is_shown {
            return bad("P2", format!("they are missing for the {times}. time of {needed}"));
        }
        let seen = self.runs.get_mut(decided).unwrap();
        let sets = if is_absent { &mut seen.missing } else { &mut seen.terminated };
        let set = sets.entry(group.to_owned()).or_default();
        set.insert(id.to_owned());
        let (count, set) = (set.len(), set.clone());
        let is_shown = seen.approval.as_ref().is_some_and(|approved| approved.names_all(group, &set));
        let limits: &[(&str, usize)] = if is_absent {
            &[("removals", share(10, size).max(1)), ("removals_max", 25)]
        } else {
            &[("terminations", share(20, size).max(3))]
        };
        for (guard, limit) in limits {
            if *limit < count && !is_shown {
                return bad("P2", format!("{count} of {size} are too many for {guard} ({limit})"));
            }
        }
        if seen.approval.is_none() {
            let loss = (seen.at, id.to_owned(), decided.clone(), !is_absent);
            self.losses.entry(group.to_owned()).or_default().push(loss);
            self.judge_losses(group, id, decided)?;
        }
        Ok(if is_absent { Loss::Absent } else { Loss::Stated })
    }

    /// Whether a group loses people bit by bit, each time within the limits of one export.
    fn judge_losses(&self, group: &str, id: &str, decided: &RunId) -> Step {
        let seen = &self.runs[decided];
        let week = chrono::TimeDelta::days(7);
        let recent = self.losses[group].iter().filter(|(at, ..)| *at <= seen.at && seen.at - *at < week);
        // Who came back since, or is about to, lost nothing then: that counts no more, neither as one more, nor as an absence that
        // lowers the floor.
        let is_about_to = |lost: &String, by: &RunId| {
            let mut since = self.runs.range(by.clone()..decided.clone()).filter(|(_, run)| run.is_accepted);
            since.any(|(_, run)| run.joining.get(group).is_some_and(|joining| joining.contains(lost)))
        };
        let counts = |(_, lost, run, _): &&(_, String, RunId, _)| {
            run == decided || !(seen.covered.contains_key(lost) || is_about_to(lost, run))
        };
        let lost = recent.filter(counts).map(|(_, lost, run, is_stated)| (lost, (run, *is_stated)));
        let lost: BTreeMap<&String, (&RunId, bool)> = lost.collect();
        // Whom this plan removes as well, since they were still there, it was judged for as one file.
        let is_ours = |lost: &String| seen.planned.get(group).is_some_and(|leaving| leaving.contains(lost));
        if lost.iter().all(|(lost, (run, _))| *run == decided || is_ours(lost)) {
            return Ok(());
        }
        let floor = if lost.values().all(|(_, is_stated)| *is_stated) { 3 } else { 1 };
        // Whoever left before and is still counted is counted twice, in rosterd's favour.
        let whole = seen.sizes.get(group).copied().unwrap_or_default() + lost.len();
        if share(20, whole).max(floor) < lost.len() {
            let (who, count): (BTreeSet<_>, _) = (lost.keys().collect(), lost.len());
            let text = format!("{id} of {group} was removed by {decided}: with {who:?}, {count} of {whole} in a week");
            return Err(Violation::new("P2", text));
        }
        Ok(())
    }

    /// Somebody left for another group, or for another plan.
    fn judge_move(&mut self, group: &str, id: &str, decided: &RunId) -> Step {
        let seen = self.runs.get_mut(decided).unwrap();
        let moved = seen.moved.entry(group.to_owned()).or_default();
        moved.insert(id.to_owned());
        let (moved, size) = (moved.clone(), seen.sizes.get(group).copied().unwrap_or_default());
        let count = moved.len();
        let is_shown = seen.approval.as_ref().is_some_and(|approved| {
            approved.names_all(group, &moved) || approved.allows("plan_changes", Some(group), 1)
        });
        // Two guards with the same limit: of moves, and of plans.
        if 2 * share(20, size).max(3) < count && !is_shown {
            return Err(Violation::new("P2", format!("{count} of {size} of {group} moved by {decided}")));
        }
        Ok(())
    }

    // === states of rest ===

    /// Nothing is under way: whoever was covered before the last export of their source, and is listed by it, is covered.
    pub(crate) fn at_rest(&self, store: &Store, sandbox: &Sandbox, today: NaiveDate) -> Step {
        let groups = sandbox.groups();
        let mut covered = BTreeSet::new();
        for group in &groups {
            covered.extend(sandbox.roster(&group.reference).into_keys());
        }
        for (source, feed) in self.feeds.iter().enumerate() {
            let Some((last, seen)) = feed.accepted.last().and_then(|run| Some((run, self.runs.get(run)?))) else {
                continue;
            };
            let Some(export) = seen.file.as_ref().map(|name| &self.files[name].1) else { continue };
            for (id, (_, owner)) in &seen.covered {
                let is_listed = |day| match export.said(id, day) {
                    Some(Said::Covered { .. }) => true,
                    Some(Said::Doubt) => !export.ends_by_cut_row(id, day),
                    Some(Said::Off) | None => false,
                };
                if owner.as_deref() == Some(&of(source))
                    && is_listed(seen.today)
                    && is_listed(today)
                    && !covered.contains(id)
                    && !self.failed.contains(id)
                {
                    return Err(Violation::new(
                        "P1",
                        format!("{id} was covered, {last} lists them, and they are gone"),
                    ));
                }
            }
        }
        let _ = store;
        Ok(())
    }

    fn owner(&self, group: &str, id: &str) -> Option<&String> {
        self.owners.get(&(group.to_owned(), id.to_owned()))
    }

    /// What the API's rosters are not as they should be, in words.
    pub(crate) fn wrong(
        &self,
        company: &Company,
        sandbox: &Sandbox,
        store: Option<&Store>,
        today: NaiveDate,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut wanted: Rosters = BTreeMap::new();
        let mut where_to: BTreeMap<&str, String> = BTreeMap::new();
        for person in company.people.iter().filter(|person| person.is_covered(today)) {
            let group = people::reference(person.group);
            where_to.insert(&person.id, group.clone());
            wanted.entry(group).or_default().insert(person.id.clone(), person.record.clone());
        }
        let silent = |source: &str| {
            let number: usize = source.trim_start_matches('s').parse().unwrap();
            let has_row =
                |person: &people::Person| person.source == number && person.standing != people::Standing::Outside;
            !company.people.iter().any(has_row)
        };
        let requests = sandbox.requests();
        let mut found: BTreeSet<String> = BTreeSet::new();
        for group in sandbox.groups() {
            let reference = group.reference;
            // Nobody approved anything about it: no file ever named it.
            if self.strangers.contains(&reference) {
                found.extend(sandbox.roster(&reference).into_keys());
                continue;
            }
            let members = roster(sandbox, &reference);
            let confirmed = store.and_then(|store| store.roster(&GroupRef::parse(&reference).unwrap()).unwrap());
            for (id, record) in &members {
                found.insert(id.clone());
                let entry = confirmed
                    .as_ref()
                    .and_then(|roster| roster.members().iter().find(|entry| entry.member.reference_id.as_str() == id));
                match entry {
                    None => wrong.push(format!("{reference}: {id} is covered and not confirmed")),
                    Some(entry) if !self.runs.contains_key(&entry.origin.run) => {
                        wrong.push(format!("{reference}: {id} comes from {}, which nobody knows", entry.origin.run));
                    }
                    Some(_) => {}
                }
                match wanted.get(&reference).and_then(|wanted| wanted.get(id)) {
                    Some(right) if right.differing(record).is_empty() => {
                        // As below: whoever became another source's by a file in the wrong inbox is nobody's to mend.
                        let replaces = self.owner(&reference, id).is_some_and(|owner| {
                            let number = owner.trim_start_matches('s').parse::<usize>();
                            !silent(owner) && number.is_ok_and(|source| self.replaces[source])
                        });
                        // Whom the API had before rosterd it keeps on a plan that nobody here can ask for. Once they joined by a
                        // roster, or the records name another plan than the right one, it is rosterd's to mend.
                        let has_joined =
                            requests.iter().any(|request| request.group == reference && request.added.contains(id));
                        let is_believed = entry
                            .is_some_and(|entry| people::PLANS[right.plan].1 == Some(entry.subscribed_plan.as_str()));
                        let is_unknowable = self.once_strange.contains(&reference) && !has_joined && is_believed;
                        if replaces && right.plan != record.plan && !is_unknowable {
                            wrong.push(format!(
                                "{reference}: {id} is on plan {} instead of {}",
                                record.plan, right.plan
                            ));
                        }
                    }
                    // A file in the wrong inbox made them another source's, which never says anything again.
                    Some(_) if self.owner(&reference, id).is_some_and(|owner| silent(owner)) => {}
                    Some(right) => wrong.push(format!("{reference}: {id} has other {:?}", right.differing(record))),
                    None => {
                        let owner = self.owner(&reference, id);
                        if !owner.is_some_and(|owner| silent(owner)) {
                            wrong.push(format!("{reference}: {id} of {owner:?} is covered and should not be"));
                        }
                    }
                }
            }
            for entry in confirmed.iter().flat_map(rosterd::roster::ConfirmedRoster::members) {
                if !members.contains_key(entry.member.reference_id.as_str()) {
                    wrong.push(format!("{reference}: {} is confirmed and not covered", entry.member.reference_id));
                }
            }
        }
        let lacking =
            where_to.iter().filter(|(id, group)| !found.contains(**id) && !is_taken_for_another(sandbox, id, group));
        wrong.extend(lacking.map(|(id, group)| format!("{group}: {id} should be covered and is not")));
        wrong
    }
}

/// Once wrong data was approved, the API may take one person for another, and refuse them for ever.
pub(crate) fn is_taken_for_another(sandbox: &Sandbox, id: &str, group: &str) -> bool {
    let requests = sandbox.requests();
    // The last roster of the group that they were in: rosters of other sources lack whoever is not confirmed.
    let is_about_them = |request: &&RequestLog| {
        request.group == group
            && request.completed_at.is_some()
            && request.payload_ids.iter().any(|submitted| submitted == id)
    };
    let last = requests.iter().rfind(is_about_them);
    // Whoever were on a roster under this very id would not be lacking.
    let reasons = ["another reference_id", "active in another group"];
    let is_about = |text: &str| reasons.iter().any(|reason| text.contains(reason));
    let mut failures = last.into_iter().flat_map(|request| &request.failures);
    failures.any(|failure| failure.reference_id == id && is_about(&failure.reason))
}

fn of(source: usize) -> String {
    format!("s{source}")
}
