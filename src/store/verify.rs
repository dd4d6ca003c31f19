//! Whether everything on record is whole: each record against its checksum and its shape, and what the trees say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::doubt::DoubtV1;
use super::envelope::Kind;
use super::records::{self, GroupV1, MetaV1, RenameV1, RunV1, SourceV1};
use super::trees::{SHELVES, Shelf};
use super::{Store, StoreError, envelope, keys};
use crate::report::{Batch, Phase, PlanReport, VerifyReport};
use crate::roster::Entry;
use crate::roster::familiar::GroupDigest;
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId};

/// More than this nobody reads.
const MOST_FINDINGS: usize = 200;

/// Reads one record the way the store does.
///
/// # Errors
/// When it is not what belongs under its key.
pub(super) fn decode(shelf: Shelf, key: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
    let own = |is_own: bool, kind: Kind| if is_own { Ok(()) } else { Err(kind.corrupt("lies under another's key")) };
    match shelf {
        Shelf::Meta => decode_meta(key, sealed),
        Shelf::Groups => records::unjson::<GroupV1>(Kind::Group, key, sealed).map(drop),
        Shelf::Sources => records::unjson::<SourceV1>(Kind::Source, key, sealed).map(drop),
        Shelf::Accepted => records::untext::<RunId>(key, sealed).map(drop),
        Shelf::RunBatches | Shelf::GroupBatches => records::unindex(key, sealed),
        Shelf::Outbox | Shelf::Waiting => records::untext::<BatchId>(key, sealed).map(drop),
        Shelf::Rosters => own(records::unroster(key, sealed)?.group.as_str().as_bytes() == key, Kind::Roster),
        Shelf::Runs => {
            let RunV1 { run, .. } = records::unjson(Kind::Run, key, sealed)?;
            own(run.run.as_str().as_bytes() == key, Kind::Run)
        }
        Shelf::Plans => records::unjson::<PlanReport>(Kind::Plan, key, sealed).map(drop),
        Shelf::Batches => {
            let batch: Batch = records::unjson(Kind::Batch, key, sealed)?;
            own(batch.batch.as_str().as_bytes() == key, Kind::Batch)
        }
        Shelf::Payloads | Shelf::Abroad => records::unpayload(key, sealed).map(drop),
        Shelf::Changes => records::unchanges(key, sealed).map(drop),
        Shelf::Traces => {
            let is_sorted = records::untrace(key, sealed)?.is_sorted_by(|a, b| a < b);
            if is_sorted { Ok(()) } else { Err(Kind::Trace.corrupt("is out of order")) }
        }
        // Nobody reads what an earlier version left there.
        Shelf::Familiar => envelope::unseal(Kind::Familiar, key, sealed).map(drop),
        Shelf::Digests => records::undigest(key, sealed).map(drop),
        // Looked at together with the values that they are pieces of.
        Shelf::Pieces => Ok(()),
    }
}

fn decode_meta(key: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
    match key {
        keys::META => records::unjson::<MetaV1>(Kind::Meta, key, sealed).map(drop),
        keys::DOUBT => records::unjson::<DoubtV1>(Kind::Meta, key, sealed).map(drop),
        keys::RENAMES => records::unjson::<Vec<RenameV1>>(Kind::Renames, key, sealed).map(drop),
        keys::ARCHIVE => records::untext::<String>(key, sealed).map(drop),
        keys::GENERATION | keys::FINE_AT | keys::FORGOTTEN => records::uncount(key, sealed).map(drop),
        key if keys::is_era(key) => records::uncount(key, sealed).map(drop),
        _ => Err(Kind::Meta.corrupt("has a key that is not known here")),
    }
}

/// What was found, as far as anybody reads it.
#[derive(Default)]
struct Findings {
    texts: Vec<String>,
    more: u64,
}

impl Findings {
    fn say(&mut self, text: String) {
        if self.texts.len() < MOST_FINDINGS {
            self.texts.push(text);
        } else {
            self.more += 1;
        }
    }

    /// Passes over damage, which is a finding; anything else ends the search.
    fn over<T>(&mut self, read: Result<T, StoreError>, about: impl Fn() -> String) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Corrupt { detail }) => {
                self.say(format!("{}: {detail}", about()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What the indexes must agree with: of every batch its run, its group and whether it has ended.
type Batches = BTreeMap<BatchId, (RunId, GroupRef, Phase)>;

impl Store {
    /// Reads everything on record and compares what belongs together. Others read and write meanwhile.
    ///
    /// # Errors
    /// When the disk cannot be read, or a newer version wrote the state. Damage is a finding, not an error.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        let mut findings = Findings::default();
        let mut report = VerifyReport { records: 0, groups: 0, runs: 0, batches: 0, findings: Vec::new(), more: 0 };
        if findings.over(self.inner.trees.check_archive(), || "archive".to_owned())?.is_none() {
            // Whatever needs history would be said to be without it.
            report.findings = findings.texts;
            return Ok(report);
        }
        report.records = self.verify_records(&mut findings)?;
        let batches = self.verify_indexes(&mut report, &mut findings)?;
        let groups: Vec<GroupRef> = self.ids_of(Shelf::Rosters)?;
        report.groups = groups.len() as u64;
        self.inner
            .trees
            .group_by_group(|| groups.iter().try_for_each(|group| self.verify_group(group, &mut findings)))?;
        report.batches = batches;
        report.findings = findings.texts;
        report.more = findings.more;
        Ok(report)
    }

    /// Every record by itself. Answers how many there are.
    fn verify_records(&self, findings: &mut Findings) -> Result<u64, StoreError> {
        let mut records = 0;
        for (shelf, name) in SHELVES {
            if shelf == Shelf::Pieces {
                continue;
            }
            for key in self.inner.trees.keys(shelf, b"", usize::MAX)? {
                let read = self.inner.trees.read(shelf, &key).and_then(|sealed| match sealed {
                    Some(sealed) => decode(shelf, &key, &sealed),
                    // It was removed since its key was read.
                    None => Ok(()),
                });
                records += u64::from(findings.over(read, || format!("{name} {}", shown(&key)))?.is_some());
            }
        }
        let orphans = self.inner.trees.orphans()?;
        if orphans != 0 {
            findings.say(format!("pieces: some belong to no record ({orphans})"));
        }
        Ok(records)
    }

    /// Runs, batches and the ways to find them. Answers how many batches there are.
    fn verify_indexes(&self, report: &mut VerifyReport, findings: &mut Findings) -> Result<u64, StoreError> {
        let _nobody = self.inner.trees.write();
        let trees = &self.inner.trees;
        let runs: BTreeSet<RunId> = self.ids_of(Shelf::Runs)?.into_iter().collect();
        report.runs = runs.len() as u64;
        let mut batches = Batches::new();
        for id in self.ids_of::<BatchId>(Shelf::Batches)? {
            // Damage was said above.
            if let Ok(Some(batch)) = self.batch(&id) {
                batches.insert(id, (batch.run, batch.group, batch.phase));
            }
        }
        for run in self.ids_of::<RunId>(Shelf::Plans)? {
            if !runs.contains(&run) {
                findings.say(format!("plans {run}: there is no such run"));
            }
        }
        for id in self.ids_of::<BatchId>(Shelf::Changes)?.iter().chain(&self.ids_of::<BatchId>(Shelf::Payloads)?) {
            if !batches.contains_key(id) {
                findings.say(format!("{id}: its roster or its changes are on record, and it is not"));
            }
        }
        let mut indexed = 0;
        for (shelf, name) in [(Shelf::RunBatches, "run_batches"), (Shelf::GroupBatches, "group_batches")] {
            for key in trees.keys(shelf, b"", usize::MAX)? {
                let batch = keys::second(&key).and_then(|id| BatchId::parse(id).ok());
                let is_right = batch.and_then(|id| batches.get(&id)).is_some_and(|(run, group, _)| {
                    let first = if shelf == Shelf::RunBatches { run.as_str() } else { group.as_str() };
                    key.starts_with(&keys::first(first))
                });
                if is_right {
                    indexed += 1;
                } else {
                    findings.say(format!("{name} {}: there is no such batch", shown(&key)));
                }
            }
        }
        if indexed < 2 * batches.len() {
            findings.say(format!("batches: ways to find one are missing ({})", 2 * batches.len() - indexed));
        }
        for id in batches.iter().filter(|(_, (run, ..))| !runs.contains(run)).map(|(id, _)| id) {
            findings.say(format!("batches {id}: its run is not on record"));
        }
        self.verify_outbox(&batches, findings)?;
        self.verify_sources(&runs, findings)?;
        Ok(batches.len() as u64)
    }

    /// One open batch a group, at most one behind it, each with what it submits; and nothing open that nobody would find.
    fn verify_outbox(&self, batches: &Batches, findings: &mut Findings) -> Result<(), StoreError> {
        let mut reached = BTreeSet::new();
        for (shelf, name) in [(Shelf::Outbox, "outbox"), (Shelf::Waiting, "waiting")] {
            for group in self.ids_of::<GroupRef>(shelf)? {
                let work = self.work_on(shelf, &group);
                let Some(Some(work)) = findings.over(work, || format!("{name} {group}"))? else { continue };
                let id = work.batch.batch;
                if work.batch.phase.is_final() || work.batch.group != group {
                    findings.say(format!("{name} {group}: batch {id} has ended, or is another group's"));
                }
                if shelf == Shelf::Waiting && (!self.inner.trees.holds(Shelf::Outbox, group.as_str().as_bytes())?) {
                    findings.say(format!("waiting {group}: batch {id} waits behind nothing"));
                }
                reached.insert(id);
            }
        }
        for (id, (_, group, phase)) in batches {
            if !phase.is_final() && !reached.contains(id) {
                findings.say(format!("batches {id}: it has not ended, and {group} does not know it"));
            }
        }
        Ok(())
    }

    /// The last accepted export of a source is never forgotten.
    fn verify_sources(&self, runs: &BTreeSet<RunId>, findings: &mut Findings) -> Result<(), StoreError> {
        for source in self.sources().unwrap_or_default() {
            let Some(last) = source.last_accepted else { continue };
            if !runs.contains(&last.run) {
                findings.say(format!("sources {}: run {} is not on record", source.source, last.run));
            }
            if self.accepted(&source.source, &last.sha256)?.is_none() {
                findings
                    .say(format!("sources {}: the content of {} is not known as accepted", source.source, last.run));
            }
        }
        Ok(())
    }

    /// A group's roster is what its batches made of it, and everybody they speak of can be found.
    fn verify_group(&self, group: &GroupRef, findings: &mut Findings) -> Result<(), StoreError> {
        let _nobody = self.inner.trees.write();
        let about = || format!("rosters {group}");
        // What is damaged was said when each record was read.
        let Ok(Some(roster)) = self.roster(group) else { return Ok(()) };
        let digest = GroupDigest::of(&roster).map(|(owner, digest)| (owner.clone(), digest));
        if let Ok(Some(known)) = self.group_digest(group)
            && digest != Some(known)
        {
            findings.say(format!("digests {group}: it is that of another roster"));
        }
        let Some(batches) = findings.over(self.batch_ids_of(group), about)? else { return Ok(()) };
        let trace = match self.inner.trees.read(Shelf::Traces, group.as_str().as_bytes())? {
            Some(sealed) => records::untrace(group.as_str().as_bytes(), &sealed).unwrap_or_default(),
            None => Vec::new(),
        };
        let mut lost: BTreeSet<&ReferenceId> = BTreeSet::new();
        let is_lost = |id: &&ReferenceId| trace.binary_search(&super::history::mark(id.as_str())).is_err();
        lost.extend(
            roster.members().iter().map(|entry| &entry.member.reference_id).chain(roster.former()).filter(is_lost),
        );
        if !lost.is_empty() {
            findings.say(format!("traces {group}: people of it cannot be found ({})", lost.len()));
        }
        let mut members: BTreeMap<ReferenceId, Entry> =
            roster.members().iter().map(|entry| (entry.member.reference_id.clone(), entry.clone())).collect();
        let forgotten = self.forgotten_before()?;
        for id in batches.iter().rev() {
            let Ok(Some(batch)) = self.batch(id) else { return Ok(()) };
            let Ok(changes) = self.changes(id) else { return Ok(()) };
            if batch.phase != Phase::Completed {
                continue;
            }
            if batch.completed_at.zip(forgotten).is_some_and(|(completed, forgotten)| completed < forgotten) {
                // What lay between may be gone.
                return Ok(());
            }
            let taken_back = findings.over(changes.take_back(&mut members), || format!("changes {id}"))?;
            let Some(is_way_back) = taken_back else { return Ok(()) };
            if !is_way_back {
                findings.say(format!("changes {id}: they do not lead to the roster of {group}"));
                return Ok(());
            }
        }
        if !members.is_empty() && forgotten.is_none() {
            findings.say(format!("rosters {group}: no batch says how they came there (people: {})", members.len()));
        }
        Ok(())
    }
}

/// A key for a person: ids, with a slash between the two of a pair.
fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).replace('\0', "/")
}
