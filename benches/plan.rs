//! What it costs the scheduler to plan and settle one event, while windows of several sizes are full: time, and allocations.
//!
//! `cargo bench --bench plan`. The account is modelled and its clock simulated; only what the scheduler does is measured.
//! What counts is how a row compares with the row of another window, in one run.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a program that speaks to people"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "the model is made for the quota's tables, which need more of it"
)]

mod simulation;

use std::collections::BTreeMap;
use std::time::Duration;

use allocation_counter::measure;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use freshet::freshsales::{RateLimit, Verdict};
use freshet::lane::{BackoffSettings, Effect, Next, Quota, Scheduler, SchedulerSettings};
use tokio::time::Instant;

use simulation::api::{Api, Terms};
use simulation::traffic::{self, Kind};
use simulation::{BULK_JOBS, CONCURRENCY, HOUR};

const WINDOWS: [usize; 3] = [400, 5_000, 50_000];
/// So many calls an hour that none waits for quota.
const PLENTY: u32 = 100_000_000;

/// Of whom the events are.
const TRAFFICS: [(&str, Kind, usize); 4] = [
    ("identifies of different contacts", Kind::Bare, usize::MAX),
    ("identifies with one of 50 companies", Kind::WithCompany(50), usize::MAX),
    ("tracks of different contacts", Kind::Track, usize::MAX),
    ("tracks of one contact", Kind::Track, 1),
];

/// A lane whose window is always full.
struct Lane {
    scheduler: Scheduler<()>,
    api: Api,
    now: Instant,
    answers: BTreeMap<(Instant, u64), (Verdict, RateLimit)>,
    kind: Kind,
    contacts: usize,
    window: usize,
    taken: usize,
    settled: u64,
    /// Time and allocations of the scheduler.
    spent: Duration,
    allocations: u64,
}

impl Lane {
    fn new(kind: Kind, contacts: usize, window: usize) -> Self {
        let now = Instant::now();
        let terms = Terms {
            plan: PLENTY,
            answer: Duration::from_millis(200),
            search_delay: Duration::from_secs(3),
            job_time: |_| Duration::from_secs(4),
        };
        let settings = SchedulerSettings {
            bulk_jobs: BULK_JOBS,
            ..SchedulerSettings::new(CONCURRENCY, BackoffSettings::default())
        };
        let quota = || Quota::new(f64::from(PLENTY), HOUR, 0.9, now);
        let mut lane = Self {
            scheduler: Scheduler::new(settings, quota(), quota()),
            api: Api::new(terms, now),
            now,
            answers: BTreeMap::new(),
            kind,
            contacts,
            window,
            taken: 0,
            settled: 0,
            spent: Duration::ZERO,
            allocations: 0,
        };
        lane.refill();
        lane
    }

    fn measured<T>(&mut self, work: impl FnOnce(&mut Scheduler<()>) -> T) -> T {
        let mut result = None;
        let begun = Instant::now();
        let allocated = measure(|| result = Some(work(&mut self.scheduler)));
        self.spent += begun.elapsed();
        self.allocations += allocated.count_total;
        result.expect("it was done")
    }

    fn refill(&mut self) {
        while self.scheduler.len() < self.window {
            let event = traffic::event(self.kind, self.taken % self.contacts, 0);
            let keys = traffic::keys(&event);
            self.measured(|scheduler| scheduler.insert(event, &keys, None, ()));
            self.taken += 1;
        }
        self.scheduler.all_arrived();
    }

    /// Goes on until so many more events are settled, or a few more. Returns how many.
    fn settle(&mut self, events: u64) -> u64 {
        let before = self.settled;
        while self.settled < before + events {
            let now = self.now;
            let wake = loop {
                match self.measured(|scheduler| scheduler.next(now)) {
                    Next::Send(number, call) => {
                        let answer = self.api.answer(now, &call);
                        self.answers.insert((now + self.api.terms.answer, number), answer);
                    }
                    Next::Wait(wake) => break wake,
                }
            };
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            self.now = [wake, answer].into_iter().flatten().min().expect("something goes on").max(now);
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let ((at, number), (verdict, limit)) = entry.remove_entry();
                let effects = self.measured(|scheduler| scheduler.answered(number, verdict, &limit, at));
                self.settled +=
                    effects.iter().filter(|effect| matches!(effect, Effect::Settled { .. })).count() as u64;
            }
            self.refill();
        }
        self.settled - before
    }
}

fn allocations() {
    println!("| events | a window of | allocations an event |");
    println!("|---|---|---|");
    for (name, kind, contacts) in TRAFFICS {
        for window in WINDOWS {
            let mut lane = Lane::new(kind, contacts, window);
            lane.settle(2_000);
            let before = lane.allocations;
            let settled = lane.settle(1_000);
            println!("| {name} | {window} | {:.1} |", (lane.allocations - before) as f64 / settled as f64);
        }
    }
}

fn times(criterion: &mut Criterion) {
    allocations();
    for (name, kind, contacts) in TRAFFICS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for window in WINDOWS {
            let mut lane = Lane::new(kind, contacts, window);
            group.bench_function(BenchmarkId::from_parameter(window), |bencher| {
                bencher.iter_custom(|events| {
                    // Many, because up to a hundred are settled at once.
                    let before = lane.spent;
                    let settled = lane.settle(events.max(1_000));
                    lane.spent.saturating_sub(before).mul_f64(events as f64 / settled as f64)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, times);
criterion_main!(benches);
