//! Other clients of the same API, simple ones and one that nobody can beat.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::api::{Gate, Terms};
use super::run::Result;
use super::{CONCURRENCY, HOUR, SHARE};

/// A day of an account on these terms, for clients that write bare contacts.
pub struct Day<'a> {
    pub terms: Terms,
    pub arrivals: &'a [Duration],
    pub length: Duration,
}

/// A client's quota, spent as soon as possible: at most so many calls in any hour, each with its time.
struct Greedy {
    allowed: usize,
    spent: VecDeque<Instant>,
    gate: Gate,
}

impl Greedy {
    fn new(terms: Terms, start: Instant) -> Self {
        let allowed = (f64::from(terms.plan) * SHARE) as usize;
        Self { allowed, spent: VecDeque::new(), gate: Gate::new(start, terms.plan) }
    }

    fn earliest(&self, now: Instant) -> Instant {
        if self.spent.len() < self.allowed {
            return now;
        }
        self.spent.front().map_or(now, |oldest| now.max(*oldest + HOUR))
    }

    fn spend(&mut self, at: Instant) {
        if self.spent.len() >= self.allowed {
            self.spent.pop_front();
        }
        self.spent.push_back(at);
        self.gate.admit(at);
    }

    fn result(&self, latencies: Vec<Duration>, events: usize) -> Result {
        let unsettled = events - latencies.len();
        let (calls, throttled) = (self.gate.calls(), self.gate.throttled);
        Result {
            latencies,
            calls,
            tracking: 0,
            by_endpoint: BTreeMap::new(),
            throttled,
            used: None,
            unsettled,
        }
    }
}

/// When jobs end, so that no more than some run at once.
struct Jobs {
    most: usize,
    ends: Vec<Instant>,
    submitted: u64,
}

impl Jobs {
    fn earliest(&mut self, now: Instant) -> Instant {
        self.ends.retain(|end| *end > now);
        self.ends.sort_unstable();
        let too_many = (self.ends.len() + 1).saturating_sub(self.most);
        if too_many == 0 { now } else { self.ends[too_many - 1] }
    }

    /// Returns when it ends.
    fn submit(&mut self, at: Instant, terms: Terms) -> Instant {
        let end = at + (terms.job_time)(self.submitted);
        self.submitted += 1;
        self.ends.push(end);
        end
    }
}

impl Day<'_> {
    /// The plainest client.
    pub fn one_call_per_event(&self) -> Result {
        let start = Instant::now();
        let mut quota = Greedy::new(self.terms, start);
        let mut slots: Vec<Instant> = vec![start; CONCURRENCY];
        let mut latencies = Vec::new();
        for arrival in self.arrivals {
            let arrived = start + *arrival;
            let slot = slots.iter_mut().min().expect("there are slots");
            let sent = quota.earliest(arrived.max(*slot));
            if sent >= start + self.length {
                break;
            }
            quota.spend(sent);
            *slot = sent + self.terms.answer;
            latencies.push(*slot - arrived);
        }
        quota.result(latencies, self.arrivals.len())
    }

    /// A client that collects events for five seconds, sends up to a hundred in bulk, and polls the job every five seconds.
    pub fn fixed_linger(&self, jobs_at_once: usize) -> Result {
        let linger = Duration::from_secs(5);
        self.batched(linger, jobs_at_once, |submitted, ends| {
            let mut asks = vec![submitted + linger];
            while asks.last().is_some_and(|last| *last < ends) {
                let last = *asks.last().expect("there is one");
                asks.push(last + linger);
            }
            asks
        })
    }

    /// A client that knows when each job ends, polls it once, and waits for more events only as long as two calls of its
    /// quota take to come back.
    pub fn lower_bound(&self, jobs_at_once: usize) -> Result {
        let allowed = f64::from(self.terms.plan) * SHARE;
        let per_hour = self.arrivals.len() as f64 / (self.length.as_secs_f64() / 3600.0);
        let together = self.arrivals.windows(2).filter(|pair| pair[0] == pair[1]).count();
        if per_hour <= allowed && together == 0 {
            return self.one_call_per_event();
        }
        let all_at_once = together > self.arrivals.len() / 2;
        let pair = HOUR.div_f64(allowed) * 2;
        self.batched(if all_at_once { Duration::ZERO } else { pair }, jobs_at_once, |_, ends| vec![ends])
    }

    fn batched(
        &self,
        linger: Duration,
        jobs_at_once: usize,
        asks: impl Fn(Instant, Instant) -> Vec<Instant>,
    ) -> Result {
        let (start, arrivals) = (Instant::now(), self.arrivals);
        let mut quota = Greedy::new(self.terms, start);
        let mut jobs = Jobs { most: jobs_at_once, ends: Vec::new(), submitted: 0 };
        let mut latencies = Vec::new();
        let mut index = 0;
        while index < arrivals.len() {
            let first = start + arrivals[index];
            let mut sent = jobs.earliest(quota.earliest(first + linger));
            if sent >= start + self.length {
                break;
            }
            let there = arrivals[index..].iter().take(100).take_while(|arrival| start + **arrival <= sent);
            let waiting = there.count();
            if waiting == 100 {
                // A full batch need not linger.
                sent = jobs.earliest(quota.earliest(start + arrivals[index + 99]));
            }
            quota.spend(sent);
            let end = jobs.submit(sent, self.terms);
            let mut settled = sent;
            for ask in asks(sent + self.terms.answer, end) {
                let ask = quota.earliest(ask.max(settled));
                quota.spend(ask);
                settled = ask + self.terms.answer;
            }
            for arrival in &arrivals[index..index + waiting] {
                latencies.push(settled - (start + *arrival));
            }
            index += waiting;
        }
        quota.result(latencies, arrivals.len())
    }
}
