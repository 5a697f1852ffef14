//! Runs the real scheduler and quota against a model of the API, with a clock that jumps from one happening to the next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use freshet::freshsales::{Call, Endpoint, RateLimit, Verdict};
use freshet::lane::{BackoffSettings, ContactKey, Effect, Next, Quota, Scheduler, SchedulerSettings};
use freshet::mapping::{ContactWrite, Mapped, Record};
use serde_json::{Value, json};
use tokio::time::Instant;

pub const HOUR: Duration = Duration::from_hours(1);
/// The account's quota an hour, and the part of it that Freshet may use.
pub const PLAN: u32 = 1000;
pub const SHARE: f64 = 0.9;
pub const ALLOWED: u32 = 900;
/// How long the API takes to answer.
pub const ANSWER: Duration = Duration::from_millis(300);
pub const CONCURRENCY: usize = 8;
pub const PREFETCH: usize = 400;
pub const BULK_JOBS: usize = 6;

/// How long the n-th bulk job takes: 4 to 8 seconds in a fixed pattern.
pub fn job_time(number: u64) -> Duration {
    Duration::from_millis(4000 + number.wrapping_mul(7919) % 4000)
}

/// The model of the API. It counts calls and answers those over its quota with 429.
#[derive(Default)]
pub struct Api {
    used: BTreeMap<u64, u32>,
    jobs: HashMap<u64, (Instant, usize)>,
    pub calls: u64,
    pub throttled: u64,
    /// When each call came.
    pub log: Vec<Instant>,
}

impl Api {
    /// Counts a call. Returns how many are left of its hour; none if it is over the quota.
    pub fn admit(&mut self, start: Instant, now: Instant) -> Option<u32> {
        self.calls += 1;
        self.log.push(now);
        let used = self.used.entry((now - start).as_secs() / 3600).or_default();
        if *used >= PLAN {
            self.throttled += 1;
            return None;
        }
        *used += 1;
        Some(PLAN - *used)
    }

    /// Takes a bulk call; returns the job's number.
    pub fn submit(&mut self, now: Instant, records: usize) -> u64 {
        let number = self.jobs.len() as u64;
        self.jobs.insert(number, (now + job_time(number), records));
        number
    }

    /// The records of a job that has ended.
    pub fn ended(&self, number: u64, now: Instant) -> Option<usize> {
        self.jobs.get(&number).filter(|(end, _)| *end <= now).map(|(_, records)| *records)
    }

    fn answer(&mut self, start: Instant, now: Instant, call: &Call) -> (Verdict, RateLimit) {
        let Some(remaining) = self.admit(start, now) else {
            return (Verdict::Throttled { retry_after: None }, RateLimit::default());
        };
        let limit = RateLimit { limit: Some(PLAN), remaining: Some(remaining), reset: None };
        let body = match call.endpoint {
            Endpoint::BulkUpsert(_) => {
                let job = self.submit(now, call.records() as usize);
                json!({ "job_status_url": format!("/api/job_statuses/{job}") })
            }
            Endpoint::JobStatus => {
                let job = call.path.rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default();
                match self.ended(job, now) {
                    None => json!({ "status": "IN_PROGRESS" }),
                    Some(records) => {
                        let data = json!({ "record_status": { "succeeded": records, "failed": 0 }, "detailed_failure_report": [] });
                        json!({ "status": "SUCCESS", "data": data.to_string() })
                    }
                }
            }
            Endpoint::Fields(_)
            | Endpoint::Selector(_)
            | Endpoint::Upsert(_)
            | Endpoint::ContactRead
            | Endpoint::ContactUpdate
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealRead
            | Endpoint::DealCreate
            | Endpoint::DealUpdate
            | Endpoint::Lookup
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => json!({ "contact": { "id": 1, "sales_accounts": [] } }),
        };
        (Verdict::Done(body), limit)
    }
}

/// What a client achieved in a day.
pub struct Result {
    pub latencies: Vec<Duration>,
    pub calls: u64,
    pub throttled: u64,
    /// The part used of the calls that were allowed while work waited.
    pub used: Option<f64>,
    pub unsettled: usize,
}

/// Gives the arrivals, each a time since the start, to the real scheduler.
pub fn freshet(arrivals: &[Duration], end: Duration) -> Result {
    let start = Instant::now();
    let mut api = Api::default();
    let mut scheduler: Scheduler<usize> = Scheduler::new(
        SchedulerSettings {
            bulk_jobs: BULK_JOBS,
            ..SchedulerSettings::new(CONCURRENCY, BackoffSettings::default())
        },
        Quota::new(f64::from(ALLOWED), HOUR, SHARE, start).with_reserve(3),
        Quota::new(400.0, Duration::from_mins(1), SHARE, start),
    );
    let mut answers: BTreeMap<(Instant, u64), (Verdict, RateLimit)> = BTreeMap::new();
    let mut waiting: VecDeque<usize> = (0..arrivals.len()).collect();
    let mut latencies = Vec::with_capacity(arrivals.len());
    let mut now = start;
    let mut busy = Duration::ZERO;
    while now < start + end {
        while let Some(index) = waiting.front().copied() {
            if start + arrivals[index] > now || scheduler.len() >= PREFETCH {
                break;
            }
            waiting.pop_front();
            let email = format!("c{index}@example.com");
            scheduler.insert(identify(&email), &[ContactKey::Email(email)], None, index);
        }
        let wake = loop {
            match scheduler.next(now) {
                Next::Send(number, call) => {
                    let answer = api.answer(start, now, &call);
                    answers.insert((now + ANSWER, number), answer);
                }
                Next::Wait(wake) => break wake,
            }
        };
        let arrival =
            waiting.front().filter(|_| scheduler.len() < PREFETCH).map(|index| start + arrivals[*index]);
        let answer = answers.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = [wake, arrival, answer].into_iter().flatten().min() else { break };
        if scheduler.starved() {
            busy += next.saturating_duration_since(now);
        }
        now = next.max(now);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), (verdict, limit)) = entry.remove_entry();
            for effect in scheduler.answered(number, verdict, &limit, now) {
                if let Effect::Settled { delivery, .. } = effect {
                    latencies.push(now - (start + arrivals[delivery]));
                }
            }
        }
    }
    let unsettled = arrivals.len() - latencies.len();
    let used = used_while_busy(&api.log, start, busy);
    Result { latencies, calls: api.calls, throttled: api.throttled, used, unsettled }
}

/// The part used of the calls that were allowed while work waited. None unless work waited from the start and nearly all
/// the time: otherwise calls that were not needed would count as unused.
fn used_while_busy(log: &[Instant], start: Instant, busy: Duration) -> Option<f64> {
    let hours = busy.as_secs() / 3600;
    if hours < 2 || busy < (log.last().copied().unwrap_or(start) - start).mul_f64(0.9) {
        return None;
    }
    // The first hour is left out, because it began with an unspent burst.
    let from = start + HOUR;
    let to = start + HOUR * u32::try_from(hours).ok()?;
    let calls = log.iter().filter(|at| (from..to).contains(*at)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand calls")]
    Some(calls as f64 / (f64::from(ALLOWED) * (hours - 1) as f64))
}

fn identify(email: &str) -> Mapped {
    let mut record = Record::default();
    record.fields.insert("emails".to_owned(), Value::from(email));
    let write =
        ContactWrite { email: Some(email.to_owned()), user_id: None, record, company: None, deal: None };
    Mapped::Contact(Box::new(write))
}
