//! Records of every version that was ever released must keep reading. The files in `tests/fixtures/records` are such
//! records; a new version gets a new file, and the old files stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::report::{Batch, PlanReport};
use crate::roster::familiar::{GroupDigest, MemberDigest};
use crate::roster::ids::{BatchId, GroupRef, ReferenceId, RunId, SourceName};
use crate::roster::{ConfirmedRoster, Entry, Loss};
use crate::store::RosterFacts;
use crate::store::tests::samples;
use crate::store::{BatchChanges, GroupRecord, MemberChange, SourceState};

const KEY: &[u8] = b"acme";

fn meta() -> MetaV1 {
    MetaV1 {
        layout: 1,
        store: "00ff".to_owned(),
        base_url: "https://api.test".to_owned(),
        organization: Some("org_1".to_owned()),
    }
}

fn run_v1() -> RunV1 {
    let record = samples::run("run_20261123_061530_417", &["bat_1"]);
    RunV1 { run: record.run, filed_as: record.filed_as }
}

fn renames() -> Vec<RenameV1> {
    vec![RenameV1 {
        marker: BatchId::parse("bat_20261123_061530_418").unwrap(),
        from: GroupRef::parse("acme").unwrap(),
        to: GroupRef::parse("acme-inc").unwrap(),
    }]
}

fn roster_digest() -> (SourceName, GroupDigest) {
    (SourceName::parse("hris").unwrap(), GroupDigest { people: 2, sum: 5 << 99 })
}

/// What this program writes for each sample.
fn written() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let plan = samples::run("run_20261123_061530_417", &[]).plan.unwrap();
    let group = GroupV1::from(&samples::group_record("acme"));
    let source = SourceV1::from(&samples::source(Some("run_1")));
    let batch = samples::batch("bat_1", "run_1", "acme");
    vec![
        ("meta_v1", Kind::Meta, json(Kind::Meta, KEY, &meta()).unwrap()),
        ("group_v1", Kind::Group, json(Kind::Group, KEY, &group).unwrap()),
        ("source_v1", Kind::Source, json(Kind::Source, KEY, &source).unwrap()),
        ("text_v1", Kind::Text, text(KEY, "bat_1")),
        ("roster_v2", Kind::Roster, roster(KEY, &samples::roster("acme", &["E1", "E2"])).unwrap()),
        ("run_v1", Kind::Run, json(Kind::Run, KEY, &run_v1()).unwrap()),
        ("plan_v1", Kind::Plan, json(Kind::Plan, KEY, &plan).unwrap()),
        ("batch_v2", Kind::Batch, json(Kind::Batch, KEY, &batch).unwrap()),
        ("payload_v2", Kind::Payload, payload(KEY, &samples::work("bat_1", "run_1", "acme").payload).unwrap()),
        ("changes_v2", Kind::Changes, changes(KEY, &samples::changes()).unwrap()),
        ("count_v1", Kind::Count, count(KEY, 7)),
        ("trace_v1", Kind::Trace, trace(KEY, &[7, 4_000_000_000])),
        ("renames_v1", Kind::Renames, json(Kind::Renames, KEY, &renames()).unwrap()),
        ("familiar_v2", Kind::Familiar, familiar(KEY, &samples::familiar()).unwrap()),
        ("digest_v1", Kind::Digest, digest(KEY, &roster_digest().0, roster_digest().1)),
        ("block_v1", Kind::Block, block(KEY, b"records").unwrap()),
    ]
}

/// Reads a record and says whether it is its sample.
fn is_sample(kind: Kind, bytes: &[u8]) -> Result<bool, StoreError> {
    Ok(match kind {
        Kind::Meta => format!("{:?}", unjson::<MetaV1>(kind, KEY, bytes)?) == format!("{:?}", meta()),
        Kind::Group => GroupRecord::from(unjson::<GroupV1>(kind, KEY, bytes)?) == samples::group_record("acme"),
        Kind::Source => SourceState::from(unjson::<SourceV1>(kind, KEY, bytes)?) == samples::source(Some("run_1")),
        Kind::Text => untext::<RunId>(KEY, bytes)?.as_str() == "bat_1",
        Kind::Roster => unroster(KEY, bytes)? == samples::roster("acme", &["E1", "E2"]),
        Kind::Run => {
            let RunV1 { run, filed_as } = unjson(kind, KEY, bytes)?;
            run == run_v1().run && filed_as == run_v1().filed_as
        }
        Kind::Plan => unjson::<PlanReport>(kind, KEY, bytes)? == samples::run("r", &[]).plan.unwrap(),
        Kind::Batch => unjson::<Batch>(kind, KEY, bytes)? == samples::batch("bat_1", "run_1", "acme"),
        Kind::Payload => unpayload(KEY, bytes)? == samples::work("bat_1", "run_1", "acme").payload,
        Kind::Changes => [samples::changes(), samples::first_changes()].contains(&unchanges(KEY, bytes)?),
        Kind::Count => uncount(KEY, bytes)? == 7,
        Kind::Trace => untrace(KEY, bytes)? == [7, 4_000_000_000],
        Kind::Renames => unjson::<Vec<RenameV1>>(kind, KEY, bytes)? == renames(),
        Kind::Familiar => unfamiliar(KEY, bytes.to_vec())? == samples::familiar(),
        Kind::Digest => undigest(KEY, bytes)? == roster_digest(),
        Kind::Block => unblock(KEY, bytes)? == b"records",
    })
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records").join(format!("{name}.bin"))
}

#[test]
fn every_record_of_every_released_version_still_reads() {
    let mut missing = Vec::new();
    for (name, kind, bytes) in written() {
        if let Ok(golden) = std::fs::read(fixture(name)) {
            assert!(is_sample(kind, &golden).unwrap(), "{name} reads as something else");
        } else {
            let candidate = std::env::temp_dir().join(format!("{name}.bin"));
            std::fs::write(&candidate, bytes).unwrap();
            missing.push(candidate);
        }
    }
    let older = [
        ("batch_v1", Kind::Batch),
        ("changes_v1", Kind::Changes),
        ("roster_v1", Kind::Roster),
        ("payload_v1", Kind::Payload),
    ];
    for (name, kind) in older {
        assert!(is_sample(kind, &std::fs::read(fixture(name)).unwrap()).unwrap(), "{name} reads as something else");
    }
    assert!(missing.is_empty(), "without a fixture; look at these and commit them: {missing:?}");
}

#[test]
fn a_roster_of_the_first_version_is_looked_through_as_one_of_today() {
    let first = std::fs::read(fixture("roster_v1")).unwrap();
    let today = roster(KEY, &samples::roster("acme", &["E1", "E2"])).unwrap();
    let glances = |sealed: &[u8]| {
        let mut seen = Vec::new();
        glance(KEY, sealed, |one| {
            seen.push((one.reference_id.to_vec(), one.source.to_owned(), one.digest, one.has_own_plan));
        })
        .unwrap();
        seen
    };
    assert_eq!(glances(&first), glances(&today));
    assert_eq!(roster_facts(KEY, &first).unwrap(), roster_facts(KEY, &today).unwrap());
    let second = |sealed: &[u8]| roster_part(KEY, sealed, |id| id == b"E2").unwrap();
    assert_eq!(second(&first), second(&today));
    for sealed in [first, today] {
        let names = |id| names_any(Kind::Roster, KEY, &sealed, &[id].into()).unwrap();
        assert!(names("E2") && !names("E3"));
        let is_of = |source| names_source(Kind::Roster, KEY, &sealed, source).unwrap();
        assert!(is_of("hris") && !is_of("payroll"));
    }
}

#[test]
fn an_entry_of_an_index_that_repeats_an_id_is_one_too() {
    for sealed in [index(KEY), text(KEY, "run_1")] {
        unindex(KEY, &sealed).unwrap();
        assert!(matches!(unindex(b"beta", &sealed), Err(StoreError::Corrupt { .. })));
    }
}

#[test]
fn losses_came_later_and_are_kept() {
    let loss = Loss {
        group: GroupRef::parse("acme").unwrap(),
        reference_id: ReferenceId::parse("E8").unwrap(),
        at: chrono::DateTime::UNIX_EPOCH,
        is_stated: true,
    };
    let state = SourceState { losses: vec![loss], ..samples::source(Some("run_1")) };
    let sealed = json(Kind::Source, KEY, &SourceV1::from(&state)).unwrap();
    assert_eq!(SourceState::from(unjson::<SourceV1>(Kind::Source, KEY, &sealed).unwrap()), state);
}

#[test]
fn every_record_of_a_newer_version_is_refused_as_such() {
    for (name, kind, mut bytes) in written() {
        bytes[0] += 1;
        let known = u32::from(kind.version());
        let refused = is_sample(kind, &bytes).unwrap_err();
        assert!(
            matches!(refused, StoreError::Newer { found, known: at } if at == known && found == known + 1),
            "{name}"
        );
    }
}

#[test]
fn records_hold_their_repeated_words_once() {
    let many: Vec<_> = (0..1000).map(|n| samples::entry(&format!("E{n}"))).collect();
    let sealed = payload(KEY, &many).unwrap();
    let body = unpack(Kind::Payload, KEY, &sealed).unwrap();
    let times = body.windows(8).filter(|window| window == b"pln_gold").count();
    assert_eq!(times, 1);
}

proptest! {
    #[test]
    fn damaged_records_are_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<bool>()) {
        for (name, kind, mut bytes) in written() {
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1_u8 << bit;
            }
            prop_assert!(is_sample(kind, &bytes).is_err(), "{name}");
        }
    }

    /// The checksum keeps such bytes away from here; should it ever not, the reader must not fall over.
    #[test]
    fn bytes_of_any_kind_never_bring_a_reader_down(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in [Kind::Roster, Kind::Payload, Kind::Changes, Kind::Run] {
            let raw = envelope::seal(kind, KEY, &body);
            let packed = pack(kind, KEY, &body).unwrap();
            for sealed in [raw, packed] {
                prop_assert!(!matches!(is_sample(kind, &sealed), Ok(true)));
            }
        }
    }

    #[test]
    fn rosters_come_back_as_they_were(
        entries in prop::collection::vec(samples::any_entry(), 0..20),
        former in prop::collection::vec("[!-~]{1,20}", 0..5),
        seconds in -10_000_000_000_i64..10_000_000_000,
        nanos in 0_u32..1_000_000_000,
    ) {
        let former = former.iter().map(|id| ReferenceId::parse(id).unwrap()).collect();
        let at = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
        let roster = ConfirmedRoster::new(GroupRef::parse("acme").unwrap(), entries, former, at);
        let sealed = super::roster(KEY, &roster).unwrap();
        let facts = RosterFacts { members: roster.members().len() as u64, confirmed_at: roster.confirmed_at };
        prop_assert_eq!(roster_facts(KEY, &sealed).unwrap(), facts);
        prop_assert_eq!(&unroster(KEY, &sealed).unwrap(), &roster);
        let mut digests = Vec::new();
        glance(KEY, &sealed, |one| digests.push((one.reference_id.to_vec(), one.digest))).unwrap();
        let digest = |entry: &Entry| (entry.member.reference_id.as_str().as_bytes().to_vec(), MemberDigest::of(&entry.member, &mut Vec::new()));
        prop_assert_eq!(digests, roster.members().iter().map(digest).collect::<Vec<_>>());
        let is_odd = |id: &[u8]| id.len() % 2 == 1;
        let part = roster_part(KEY, &sealed, is_odd).unwrap();
        let odd = roster.members().iter().filter(|entry| is_odd(entry.member.reference_id.as_str().as_bytes()));
        prop_assert!(part.members().iter().eq(odd));
        prop_assert_eq!(part.former(), roster.former());
    }

    #[test]
    fn payloads_and_changes_come_back_as_they_were(entries in prop::collection::vec(samples::any_entry(), 1..10)) {
        let sealed = payload(KEY, &entries).unwrap();
        prop_assert_eq!(&unpayload(KEY, &sealed).unwrap(), &entries);
        // Everybody becomes the next one of them, but for their id.
        let next = |entry: &Entry, next: &Entry| {
            let mut member = next.member.clone();
            member.reference_id.clone_from(&entry.member.reference_id);
            Entry { member, ..next.clone() }
        };
        let before: BTreeMap<_, _> =
            entries.iter().map(|entry| (entry.member.reference_id.clone(), entry.clone())).collect();
        let others = before.values().skip(1).chain(before.values().next());
        let after: BTreeMap<_, _> =
            before.iter().zip(others).map(|((id, entry), other)| (id.clone(), next(entry, other))).collect();
        let changed = before.values().zip(after.values()).map(|(before, after)| MemberChange::changed(before, after));
        let changes = BatchChanges::new(changed.collect(), |id| after.get(id));
        let sealed = super::changes(KEY, &changes).unwrap();
        prop_assert_eq!(&unchanges(KEY, &sealed).unwrap(), &changes);
        let mut back = after;
        prop_assert!(changes.clone().take_back(&mut back).unwrap());
        prop_assert_eq!(&back, &before);
        // What they do not lead to is left alone; records that only were swapped around are what they lead from, too.
        if before.values().zip(changes.changes()).any(|(_, change)| change.fields().next().is_some()) {
            prop_assert!(!changes.take_back(&mut back).unwrap());
            prop_assert_eq!(back, before);
        }
    }
}

#[test]
fn what_a_source_does_by_the_clock_is_kept() {
    let source = SourceState {
        first_seen: Some(samples::time(-90)),
        last_delivered: Some(samples::time(-3)),
        last_resync: Some(RunId::parse("run_2").unwrap()),
        recheck_trouble: Some("gone".to_owned()),
        last_accepted: samples::source(Some("run_1")).last_accepted.map(|last| crate::store::AcceptedExport {
            day: "2026-03-02".parse().ok(),
            ending: Some(crate::store::FileEnding::Doubted),
            ..last
        }),
        ..samples::source(None)
    };
    let bytes = json(Kind::Source, KEY, &SourceV1::from(&source)).unwrap();
    assert_eq!(SourceState::from(unjson::<SourceV1>(Kind::Source, KEY, &bytes).unwrap()), source);
}
