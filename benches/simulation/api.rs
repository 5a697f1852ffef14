//! The modelled API: its quota, its jobs and its times, before the account.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet::freshsales::{BudgetKind, Call, RateLimit, Verdict};
use freshet::schema::Entity;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::Account;
use super::endpoints::{Request, of_plural};

/// Jobs of an account that run at a time, those of all programs together.
const MOST_JOBS: usize = 10;

/// How an account answers.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The account's quota an hour.
    pub plan: u32,
    /// How long the API takes to answer.
    pub answer: Duration,
    /// How long the n-th job takes.
    pub job_time: fn(u64) -> Duration,
    /// For how long search does not show what was written.
    pub search_delay: Duration,
}

/// Counts calls, and which of them are over the quota of their hour by the clock.
pub struct Gate {
    start: Instant,
    plan: u32,
    used: BTreeMap<u64, u32>,
    pub throttled: u64,
    /// When each call came.
    pub log: Vec<Instant>,
}

impl Gate {
    pub fn new(start: Instant, plan: u32) -> Self {
        Self { start, plan, used: BTreeMap::new(), throttled: 0, log: Vec::new() }
    }

    /// Counts a call. Returns how many are left of its hour; none if it is over the quota.
    pub fn admit(&mut self, now: Instant) -> Option<u32> {
        self.log.push(now);
        let used = self.used.entry((now - self.start).as_secs() / 3600).or_default();
        if *used >= self.plan {
            self.throttled += 1;
            return None;
        }
        *used += 1;
        Some(self.plan - *used)
    }

    pub fn calls(&self) -> u64 {
        self.log.len() as u64
    }
}

struct Job {
    entity: Entity,
    ends: Instant,
    rows: Vec<Value>,
    failed: u64,
    /// How many succeeded, once it has ended.
    succeeded: Option<u64>,
}

pub struct Api {
    pub terms: Terms,
    pub gate: Gate,
    /// Calls to the tracking endpoints, which have a limit of their own.
    pub tracking: u64,
    /// Calls by endpoint, and the records in them.
    pub by_endpoint: BTreeMap<&'static str, (u64, u64)>,
    pub account: Account,
    jobs: Vec<Job>,
    running: Vec<usize>,
}

impl Api {
    pub fn new(terms: Terms, start: Instant) -> Self {
        Self {
            terms,
            gate: Gate::new(start, terms.plan),
            tracking: 0,
            by_endpoint: BTreeMap::new(),
            account: Account::new(terms.search_delay),
            jobs: Vec::new(),
            running: Vec::new(),
        }
    }

    /// The calls that came from now on are counted from none.
    pub fn count_anew(&mut self) {
        self.gate.log.clear();
        self.gate.throttled = 0;
        self.tracking = 0;
        self.by_endpoint.clear();
    }

    /// Takes a call at once, as the API does; its answer arrives later.
    pub fn answer(&mut self, now: Instant, call: &Call) -> (Verdict, RateLimit) {
        self.end_jobs(now);
        let (calls, records) = self.by_endpoint.entry(call.endpoint.as_str()).or_default();
        *calls += 1;
        *records += u64::from(call.records());
        let mut limit = RateLimit::default();
        if call.endpoint.budget() == BudgetKind::Tracking {
            self.tracking += 1;
        } else {
            let Some(remaining) = self.gate.admit(now) else {
                return (Verdict::Throttled { retry_after: None }, limit);
            };
            limit = RateLimit { limit: Some(self.terms.plan), remaining: Some(remaining), reset: None };
        }
        let body = call.body.as_ref().map(|body| serde_json::from_slice(body).expect("a body is JSON"));
        let path: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
        let verdict = match path.as_slice() {
            ["api", plural, "bulk_upsert"] => self.submit(of_plural(plural), body.unwrap_or_default(), now),
            ["api", "job_statuses", job] => Verdict::Done(self.status(job.parse().expect("a job's number"))),
            _ => {
                let request = Request { path: &path, query: &call.query, body: &body.unwrap_or_default() };
                match self.account.answer(&request, now) {
                    Some(body) => Verdict::Done(body),
                    None => Verdict::Refused { status: 404, messages: vec!["Not found".to_owned()] },
                }
            }
        };
        (verdict, limit)
    }

    fn submit(&mut self, entity: Entity, mut body: Value, now: Instant) -> Verdict {
        if self.running.len() >= MOST_JOBS {
            return Verdict::TooManyJobs;
        }
        let Value::Array(rows) = body[entity.plural()].take() else { panic!("records are a list") };
        assert!((1..=100).contains(&rows.len()), "{} records", rows.len());
        let number = self.jobs.len();
        let ends = now + (self.terms.job_time)(number as u64);
        self.jobs.push(Job { entity, ends, rows, failed: 0, succeeded: None });
        self.running.push(number);
        Verdict::Done(json!({ "job_status_url": format!("/api/job_statuses/{number}") }))
    }

    /// Jobs write their rows when they end.
    pub fn end_jobs(&mut self, now: Instant) {
        let mut due: Vec<usize> =
            self.running.iter().copied().filter(|number| self.jobs[*number].ends <= now).collect();
        due.sort_by_key(|number| self.jobs[*number].ends);
        self.running.retain(|number| !due.contains(number));
        for number in due {
            let job = &mut self.jobs[number];
            let mut succeeded = 0;
            for row in std::mem::take(&mut job.rows) {
                if self.account.write_row(job.entity, &row, job.ends) {
                    succeeded += 1;
                } else {
                    job.failed += 1;
                }
            }
            job.succeeded = Some(succeeded);
        }
    }

    fn status(&self, number: usize) -> Value {
        let job = self.jobs.get(number).expect("a job that was submitted");
        let Some(succeeded) = job.succeeded else {
            return json!({ "status": "IN_PROGRESS", "progress": 50 });
        };
        assert_eq!(job.failed, 0, "a bulk call names a record that is not there");
        let data = json!({
            "record_status": { "succeeded": succeeded, "failed": 0 }, "detailed_failure_report": []
        });
        json!({ "status": "SUCCESS", "progress": 100, "data": data.to_string() })
    }
}
