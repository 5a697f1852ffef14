//! How many events a quota delivers: a simulated day of four kinds of traffic, by three clients and a lower bound.
//!
//! `cargo bench --bench quota` prints the table of docs/PERFORMANCE.md. The clock is simulated, so the table is
//! the same on every machine.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    unreachable_pub,
    reason = "a program that prints a table for people"
)]

mod simulation;

use std::collections::VecDeque;
use std::time::Duration;

use simulation::{ALLOWED, ANSWER, Api, CONCURRENCY, HOUR, Result, job_time};
use tokio::time::Instant;

const DAY: Duration = Duration::from_hours(24);

fn main() {
    println!("| traffic | client | calls per 1000 events | 429 | quota used | p50 | p99 | not settled |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, arrivals) in [
        ("steady, 600 an hour", steady()),
        ("bursts of 5000", bursts()),
        ("daily wave, 2700 an hour at noon", wave()),
        ("back-fill of 200000", vec![Duration::ZERO; 200_000]),
    ] {
        row(name, "one call per event", &one_call_per_event(&arrivals));
        row(name, "linger of 5 s", &fixed_linger(&arrivals));
        row(name, "Freshet", &simulation::freshet(&arrivals, DAY));
        row(name, "lower bound", &lower_bound(&arrivals));
    }
}

fn row(traffic: &str, client: &str, result: &Result) {
    let mut latencies = result.latencies.clone();
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or_else(|| "-".to_owned(), |latency| seconds(*latency))
    };
    let per_thousand = result.calls as f64 * 1000.0 / latencies.len().max(1) as f64;
    let used = result.used.map_or_else(|| "-".to_owned(), |used| format!("{:.1} %", used * 100.0));
    println!(
        "| {traffic} | {client} | {per_thousand:.1} | {} | {used} | {} | {} | {} |",
        result.throttled,
        at(0.5),
        at(0.99),
        result.unsettled
    );
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Below the quota, at slightly irregular intervals.
fn steady() -> Vec<Duration> {
    (0..24 * 600u64).map(|n| Duration::from_millis(n * 6000 + n.wrapping_mul(7919) % 6000)).collect()
}

/// Five thousand at once, every three hours.
fn bursts() -> Vec<Duration> {
    (0..8u32).flat_map(|burst| vec![HOUR * 3 * burst + Duration::from_secs(7); 5000]).collect()
}

/// A sine over the day: from no events at midnight to three times the allowed calls at noon.
fn wave() -> Vec<Duration> {
    let mut arrivals = Vec::new();
    let mut due = 0.0;
    for second in 0..86_400u32 {
        let phase = f64::from(second) / 86_400.0 * std::f64::consts::TAU;
        due += 3.0 * f64::from(ALLOWED) / 3600.0 * (1.0 - phase.cos()) / 2.0;
        while due >= 1.0 {
            arrivals.push(Duration::from_secs(u64::from(second)));
            due -= 1.0;
        }
    }
    arrivals
}

/// A client's quota, spent as soon as possible: at most [`ALLOWED`] calls in any hour, each with its time.
struct Greedy(VecDeque<Instant>);

impl Greedy {
    fn earliest(&self, now: Instant) -> Instant {
        if self.0.len() < ALLOWED as usize {
            return now;
        }
        self.0.front().map_or(now, |oldest| now.max(*oldest + HOUR))
    }

    fn spend(&mut self, at: Instant) {
        if self.0.len() >= ALLOWED as usize {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }
}

/// The plainest client.
fn one_call_per_event(arrivals: &[Duration]) -> Result {
    let start = Instant::now();
    let mut api = Api::default();
    let mut quota = Greedy(VecDeque::new());
    let mut slots: Vec<Instant> = vec![start; CONCURRENCY];
    let mut latencies = Vec::new();
    for arrival in arrivals {
        let arrived = start + *arrival;
        let slot = slots.iter_mut().min().expect("there are slots");
        let sent = quota.earliest(arrived.max(*slot));
        if sent >= start + DAY {
            break;
        }
        quota.spend(sent);
        api.admit(start, sent);
        *slot = sent + ANSWER;
        latencies.push(*slot - arrived);
    }
    let unsettled = arrivals.len() - latencies.len();
    Result { latencies, calls: api.calls, throttled: api.throttled, used: None, unsettled }
}

/// A client that collects events for five seconds, sends up to a hundred in bulk, and polls the job every five seconds.
fn fixed_linger(arrivals: &[Duration]) -> Result {
    let linger = Duration::from_secs(5);
    batched(
        arrivals,
        |_| linger,
        |submitted, ends| {
            let mut asks = vec![submitted + linger];
            while asks.last().is_some_and(|last| *last < ends) {
                let last = *asks.last().expect("there is one");
                asks.push(last + linger);
            }
            asks
        },
    )
}

/// A client that knows when each job ends, polls it once, and waits for more events only as long as two calls of its
/// quota take to come back.
fn lower_bound(arrivals: &[Duration]) -> Result {
    let per_hour = arrivals.len() as f64 / 24.0;
    if per_hour <= f64::from(ALLOWED) && arrivals.windows(2).all(|pair| pair[0] != pair[1]) {
        return one_call_per_event(arrivals);
    }
    let pair = HOUR / ALLOWED * 2;
    let all_at_once = arrivals.windows(2).filter(|pair| pair[0] == pair[1]).count() > arrivals.len() / 2;
    batched(arrivals, |_| if all_at_once { Duration::ZERO } else { pair }, |_, ends| vec![ends])
}

fn batched(
    arrivals: &[Duration],
    linger: impl Fn(usize) -> Duration,
    asks: impl Fn(Instant, Instant) -> Vec<Instant>,
) -> Result {
    let start = Instant::now();
    let mut api = Api::default();
    let mut quota = Greedy(VecDeque::new());
    let mut latencies = Vec::new();
    let mut index = 0;
    while index < arrivals.len() {
        let first = start + arrivals[index];
        let mut sent = quota.earliest(first + linger(index));
        if sent >= start + DAY {
            break;
        }
        let waiting =
            arrivals[index..].iter().take(100).take_while(|arrival| start + **arrival <= sent).count();
        if waiting == 100 {
            // A full batch need not linger.
            sent = quota.earliest(start + arrivals[index + 99]);
        }
        quota.spend(sent);
        api.admit(start, sent);
        let job = api.submit(sent, waiting);
        let mut settled = sent;
        for ask in asks(sent + ANSWER, sent + job_time(job)) {
            let ask = quota.earliest(ask.max(settled));
            quota.spend(ask);
            api.admit(start, ask);
            settled = ask + ANSWER;
        }
        for arrival in &arrivals[index..index + waiting] {
            latencies.push(settled - (start + *arrival));
        }
        index += waiting;
    }
    let unsettled = arrivals.len() - latencies.len();
    Result { latencies, calls: api.calls, throttled: api.throttled, used: None, unsettled }
}
