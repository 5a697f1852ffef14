//! Gives events to the real scheduler, and its calls to the modelled API.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet::config::{DealIdentity, RecordChoices};
use freshet::freshsales::{RateLimit, Verdict};
use freshet::lane::{BackoffSettings, Effect, Next, Quota, Scheduler, SchedulerSettings};
use freshet::mapping::Mapped;
use freshet::outcome::Outcome;
use tokio::time::Instant;

use super::api::{Api, Terms};
use super::traffic;
use super::{BULK_JOBS, CONCURRENCY, HOUR, SHARE};

/// No traffic takes longer. A simulation that does not end fails.
const MOST: Duration = Duration::from_hours(24 * 30);

/// What a client achieved.
pub struct Result {
    pub latencies: Vec<Duration>,
    pub calls: u64,
    pub tracking: u64,
    /// Calls by endpoint, and the records in them.
    pub by_endpoint: BTreeMap<&'static str, (u64, u64)>,
    pub throttled: u64,
    /// The part used of the calls that were allowed while work waited.
    pub used: Option<f64>,
    pub unsettled: usize,
}

/// An account, and the time there.
pub struct Simulation {
    pub api: Api,
    pub now: Instant,
}

/// One replica's lane.
pub struct Replica {
    scheduler: Scheduler<usize>,
    prefetch: usize,
}

impl Simulation {
    pub fn new(terms: Terms) -> Self {
        let now = Instant::now();
        Self { api: Api::new(terms, now), now }
    }

    /// Time in which nothing happens. The quota is whole again after two hours.
    pub fn pause(&mut self) {
        self.now += HOUR * 2;
    }

    /// A process that has just started.
    pub fn replica(&self, prefetch: usize, deal_identity: DealIdentity) -> Replica {
        let settings = SchedulerSettings {
            bulk_jobs: BULK_JOBS,
            records: RecordChoices { deal_identity, ..RecordChoices::default() },
            ..SchedulerSettings::new(CONCURRENCY, BackoffSettings::default())
        };
        let scheduler = Scheduler::new(
            settings,
            Quota::new(self.allowed(), HOUR, SHARE, self.now).with_reserve(3),
            Quota::new(400.0, Duration::from_mins(1), SHARE, self.now),
        );
        Replica { scheduler, prefetch }
    }

    /// Calls that Freshet may use in an hour.
    fn allowed(&self) -> f64 {
        f64::from(self.api.terms.plan) * SHARE
    }

    /// Gives the replica the events, each at its time from now. Ends when all are settled, or at `end`.
    pub fn run(
        &mut self,
        replica: &mut Replica,
        arrivals: &[Duration],
        event: impl Fn(usize) -> Mapped,
        end: Option<Duration>,
    ) -> Result {
        let Replica { scheduler, prefetch } = replica;
        let start = self.now;
        let end = start + end.unwrap_or(MOST);
        self.api.count_anew();
        let mut answers: BTreeMap<(Instant, u64), (Verdict, RateLimit)> = BTreeMap::new();
        let mut taken = 0;
        let mut latencies = Vec::with_capacity(arrivals.len());
        let mut busy = Duration::ZERO;
        while self.now < end && (latencies.len() < arrivals.len() || !answers.is_empty()) {
            let taken_before = taken;
            while taken < arrivals.len() && start + arrivals[taken] <= self.now && scheduler.len() < *prefetch
            {
                let mapped = event(taken);
                let keys = traffic::keys(&mapped);
                scheduler.insert(mapped, &keys, None, taken);
                taken += 1;
            }
            if taken > taken_before && scheduler.len() < *prefetch {
                scheduler.arrived(self.now);
            } else if taken > taken_before {
                scheduler.all_arrived();
            }
            let wake = loop {
                match scheduler.next(self.now) {
                    Next::Send(number, call) => {
                        let answer = self.api.answer(self.now, &call);
                        answers.insert((self.now + self.api.terms.answer, number), answer);
                    }
                    Next::Wait(wake) => break wake,
                }
            };
            let mut effects = scheduler.take_ended();
            let arrival = arrivals.get(taken).filter(|_| scheduler.len() < *prefetch);
            let answer = answers.first_key_value().map(|((at, _), _)| *at);
            let next = [wake, arrival.map(|arrival| start + *arrival), answer].into_iter().flatten().min();
            let next = next.filter(|_| effects.is_empty()).unwrap_or(self.now);
            assert!(next > self.now || answer.is_some() || !effects.is_empty(), "nothing goes on");
            if scheduler.starved() {
                busy += next.saturating_duration_since(self.now);
            }
            self.now = next.max(self.now);
            while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let ((_, number), (verdict, limit)) = entry.remove_entry();
                effects.extend(scheduler.answered(number, verdict, &limit, self.now));
            }
            for effect in effects {
                let trouble =
                    matches!(effect, Effect::LeftOut(_) | Effect::DealsNotShown | Effect::BulkGivenUp);
                assert!(!trouble, "the model answers well, and yet: {effect:?}");
                if let Effect::Settled { delivery, outcome, .. } = effect {
                    assert_eq!(outcome, Outcome::Delivered);
                    latencies.push(self.now - (start + arrivals[delivery]));
                }
            }
        }
        self.api.end_jobs(self.now);
        let (gate, unsettled) = (&self.api.gate, arrivals.len() - latencies.len());
        let used = used_while_busy(&gate.log, start, busy, self.allowed());
        Result {
            latencies,
            calls: gate.calls(),
            tracking: self.api.tracking,
            by_endpoint: self.api.by_endpoint.clone(),
            throttled: gate.throttled,
            used,
            unsettled,
        }
    }
}

/// The part used of the calls that were allowed while work waited. None unless work waited from the start and nearly all
/// the time: otherwise calls that were not needed would count as unused.
fn used_while_busy(log: &[Instant], start: Instant, busy: Duration, allowed: f64) -> Option<f64> {
    let hours = busy.as_secs() / 3600;
    if hours < 2 || busy < (log.last().copied().unwrap_or(start) - start).mul_f64(0.9) {
        return None;
    }
    // The first hour is left out, because it began with an unspent burst.
    let from = start + HOUR;
    let to = start + HOUR * u32::try_from(hours).ok()?;
    let calls = log.iter().filter(|at| (from..to).contains(*at)).count();
    Some(calls as f64 / (allowed * (hours - 1) as f64))
}
