//! What each room takes for an export of 20,000 people in 40 groups: `cargo bench --bench rooms`, or a part of it, as in
//! `cargo bench --bench rooms -- read`. Throughput is in bytes of the export, or in people.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a measurement may fail"
)]
#![allow(dead_code, reason = "the support is shared with tests, and nobody needs all of it")]

#[path = "../tests/support/life.rs"]
mod life;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rosterd::api::wire::roster_body;
use rosterd::config::{self, Config, Environment, PhoneFormat, Source};
use rosterd::export::{self, Reader, Rows};
use rosterd::plan::{self, Baseline, GroupStanding, Input, Policy};
use rosterd::report::{Batch, Counts, Phase, Run, RunState, Trigger};
use rosterd::roster::familiar::{Context, Familiar, Recognized};
use rosterd::roster::ids::{GroupRef, RunId};
use rosterd::roster::mapping::{Collector, Mapping};
use rosterd::roster::{ConfirmedRoster, Entry, Reading};
use rosterd::store::{RunRecord, Settlement, SourceState, Store, Work};

const GROUPS: usize = 40;
const PER_GROUP: usize = 500;
const PEOPLE: u64 = (GROUPS * PER_GROUP) as u64;

/// An export, and the one of the next day, with another name in one row of a hundred.
struct World {
    _dir: tempfile::TempDir,
    config: Config,
    day0: String,
    day1: String,
    run: RunId,
    today: NaiveDate,
    now: DateTime<Utc>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = life::config_text(dir.path(), "http://127.0.0.1:9", "2s");
        let environment: Environment = [("VITABLE_CONNECT_API_KEY", life::KEY)].into_iter().collect();
        let config = config::parse(&text, "bench.toml", &environment).unwrap();
        let mut people = life::people(GROUPS, PER_GROUP);
        let day0 = life::csv(&people);
        people.iter_mut().step_by(100).for_each(|person| "Changed".clone_into(&mut person.last_name));
        let day1 = life::csv(&people);
        let run = RunId::parse("run_20260302_110000_000").unwrap();
        let now = "2026-03-02T11:00:00Z".parse::<DateTime<Utc>>().unwrap();
        Self { _dir: dir, config, day0, day1, run, today: now.date_naive(), now }
    }

    fn source(&self) -> &Source {
        &self.config.sources[0]
    }

    fn reader<'a>(&self, text: &'a str) -> Reader<&'a [u8]> {
        let survey = export::survey(text.as_bytes(), &self.source().format).unwrap();
        let wanted = Mapping::new(self.source()).wanted();
        export::open(text.as_bytes(), &survey, &self.source().format, &wanted).unwrap()
    }

    fn reading(&self, text: &str) -> Reading {
        let mut reader = self.reader(text);
        let mut collector = Collector::new(Mapping::new(self.source()).bind(reader.header()), self.today);
        while let Some(row) = reader.next_row().unwrap() {
            collector.row(&row);
        }
        collector.done().finish()
    }

    /// What the rows of the first export said.
    fn recognized(&self) -> Recognized {
        let context = (Context::of(&[], b',', &""), self.today);
        Recognized::new(Arc::new(Familiar::of(context, None, self.reading(&self.day0))), self.today)
    }

    fn plan<T>(
        &self,
        reading: &Reading,
        baselines: &BTreeMap<GroupRef, Baseline>,
        look: impl FnOnce(&plan::Plan<'_>, &Input<'_>) -> T,
    ) -> T {
        let absences = BTreeMap::new();
        let input = Input {
            run: &self.run,
            source: &self.source().name,
            reading,
            baselines,
            absences: &absences,
            losses: &[],
            is_repeat: false,
            previous: None,
            modified: None,
            policy: Policy {
                guards: &self.source().guards,
                confirm_absence: 2,
                members_per_request: 5_000,
                replace_plans: true,
            },
            mistrust: None,
            approval: None,
            now: self.now,
        };
        look(&plan::plan(input), &input)
    }

    /// The rosters of the first export, group by group.
    fn rosters(&self) -> BTreeMap<GroupRef, Vec<Entry>> {
        let reading = self.reading(&self.day0);
        let baselines = reading.groups.keys().map(|group| (group.clone(), Baseline::new(None, GroupStanding::Ours)));
        let baselines = baselines.collect();
        self.plan(&reading, &baselines, |plan, input| {
            plan.groups.iter().map(|group| (group.group.clone(), group.payload(input))).collect()
        })
    }

    /// What submits them.
    fn works(&self, store: &Store, run: &RunId, rosters: &BTreeMap<GroupRef, Vec<Entry>>) -> Vec<Work> {
        let works = rosters.iter().map(|(group, payload)| Work {
            batch: Batch::pending(store.ids().batch(self.now), run.clone(), group.clone(), payload.len(), Some(0)),
            payload: payload.clone(),
        });
        works.collect()
    }

    /// Records a run that submits them, and that each is confirmed.
    fn deliver(&self, store: &Store, rosters: &BTreeMap<GroupRef, Vec<Entry>>) {
        let run = store.ids().run(self.now);
        let works = self.works(store, &run, rosters);
        let batches: Vec<Batch> = works.iter().map(|work| work.batch.clone()).collect();
        let source = SourceState::new(self.source().name.clone());
        store.accept(&RunRecord { run: self.record(run), plan: None, filed_as: None }, works, &source).unwrap();
        for batch in batches {
            let members = rosters[&batch.group].clone();
            let roster = Some(ConfirmedRoster::new(batch.group.clone(), members, Vec::new(), self.now));
            let batch = Batch { phase: Phase::Completed, ..batch };
            store.settle(&Settlement::unchanged(batch, roster)).unwrap();
        }
    }

    fn record(&self, run: RunId) -> Run {
        Run {
            run,
            source: self.source().name.clone(),
            trigger: Trigger::Watch,
            actor: None,
            reason: None,
            approves: None,
            repeats: None,
            reverts: None,
            file: None,
            received_at: self.now,
            finished_at: None,
            state: RunState::Delivering,
            counts: Counts::default(),
            guards: Vec::new(),
            batches: Vec::new(),
        }
    }
}

fn fresh_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), "https://api.test").unwrap();
    (dir, store)
}

fn read(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(world.day1.len() as u64));
    group.bench_function("survey", |bench| {
        bench.iter(|| export::survey(world.day1.as_bytes(), &world.source().format).unwrap());
    });
    group.bench_function("sha256", |bench| bench.iter(|| export::sha256(world.day1.as_bytes()).unwrap()));
    group.bench_function("every row", |bench| {
        bench.iter(|| {
            let mut reader = world.reader(&world.day1);
            while let Some(row) = reader.next_row().unwrap() {
                black_box(row.line());
            }
        });
    });
    group.bench_function("rows that are new, 1 % of them", |bench| {
        let read = |mut known: Recognized| {
            let mut reader = world.reader(&world.day1);
            while let Some(row) = reader.next_unknown(&mut known).unwrap() {
                black_box(row.line());
            }
            known
        };
        bench.iter_batched(|| world.recognized(), read, BatchSize::LargeInput);
    });
    group.finish();
}

fn map(criterion: &mut Criterion) {
    let world = World::new();
    let mut reader = world.reader(&world.day0);
    let mut batches = vec![Rows::default()];
    while reader.next_rows(&mut (), batches.last_mut().unwrap()).unwrap() {
        batches.push(Rows::default());
    }
    let mut group = criterion.benchmark_group("map");
    group.throughput(Throughput::Elements(PEOPLE));
    group.bench_function("rows to people", |bench| {
        bench.iter(|| {
            let bound = Mapping::new(world.source()).bind(reader.header());
            let mut collector = Collector::new(bound, world.today);
            for row in batches.iter().flat_map(Rows::iter) {
                collector.row(&row);
            }
            collector.done().finish()
        });
    });
    let reading = world.reading(&world.day0);
    group.bench_function("digests of rows and people", |bench| {
        let context = (Context::of(&[], b',', &""), world.today);
        let digest = |reading| Familiar::of(context, None, reading);
        bench.iter_batched(|| reading.clone(), digest, BatchSize::LargeInput);
    });
    group.finish();
}

fn diff(criterion: &mut Criterion) {
    let world = World::new();
    let (day0, day1, rosters) = (world.reading(&world.day0), world.reading(&world.day1), world.rosters());
    let empty = rosters.keys().map(|group| (group.clone(), Baseline::new(None, GroupStanding::Ours))).collect();
    let confirmed = rosters.iter().map(|(group, members)| {
        let roster = ConfirmedRoster::new(group.clone(), members.clone(), Vec::new(), world.now);
        (group.clone(), Baseline::new(Some(roster), GroupStanding::Ours))
    });
    let confirmed = confirmed.collect();
    let mut group = criterion.benchmark_group("diff");
    group.throughput(Throughput::Elements(PEOPLE));
    group.bench_function("first load", |bench| bench.iter(|| world.plan(&day0, &empty, |plan, _| plan.counts())));
    group.bench_function("1 % changed, everybody listed", |bench| {
        bench.iter(|| world.plan(&day1, &confirmed, |plan, _| plan.counts()));
    });
    group.finish();
}

fn payload(criterion: &mut Criterion) {
    let world = World::new();
    let rosters = world.rosters();
    let mut group = criterion.benchmark_group("payload");
    group.throughput(Throughput::Elements(PEOPLE));
    group.bench_function("rosters to JSON", |bench| {
        bench.iter(|| rosters.values().map(|members| roster_body(members, PhoneFormat::National).len()).sum::<usize>());
    });
    group.finish();
}

fn store(criterion: &mut Criterion) {
    let world = World::new();
    let rosters = world.rosters();
    let (_dir, confirmed) = fresh_store();
    world.deliver(&confirmed, &rosters);
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(PEOPLE)).sample_size(20);
    let works = || world.works(&confirmed, &world.run, &rosters);
    group.bench_function("encode rosters", |bench| {
        let pack = |works: Vec<Work>| works.into_iter().map(|work| work.pack().unwrap()).collect::<Vec<_>>();
        bench.iter_batched(works, pack, BatchSize::LargeInput);
    });
    group.bench_function("read rosters", |bench| {
        bench.iter(|| rosters.keys().filter_map(|group| confirmed.roster(group).unwrap()).count());
    });
    group.bench_function("look at everybody on rosters", |bench| {
        bench.iter(|| {
            let mut seen = 0;
            for group in rosters.keys() {
                confirmed.glance(group, |_| seen += 1).unwrap();
            }
            seen
        });
    });
    group.bench_function("load one of a hundred", |bench| {
        let is_wanted = |id: &[u8]| id.ends_with(b"00");
        bench.iter(|| rosters.keys().filter_map(|group| confirmed.roster_part(group, is_wanted).unwrap()).count());
    });
    group.bench_function("accept and settle, to the disk", |bench| {
        let deliver = |(dir, store): (tempfile::TempDir, Store)| {
            world.deliver(&store, &rosters);
            (dir, store)
        };
        bench.iter_batched(fresh_store, deliver, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(rooms, read, map, diff, payload, store);
criterion_main!(rooms);
