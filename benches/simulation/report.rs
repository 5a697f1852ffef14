//! The tables as people read them, and what they say against the targets.

use std::time::Duration;

use super::run::Result;

const COLUMNS: [&str; 6] = ["calls per 1000 events", "429", "quota used", "p50", "p99", "not settled"];

/// The head of a table that begins with these columns.
pub fn heading(first: &[&str]) {
    let columns: Vec<&str> = first.iter().copied().chain(COLUMNS).collect();
    table_head(&columns);
}

pub fn table_head(columns: &[&str]) {
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
}

pub fn row(first: &[&str], result: &Result) {
    let used = result.used.map_or_else(|| "-".to_owned(), percent);
    println!(
        "| {} | {:.1} | {} | {used} | {} | {} | {} |",
        first.join(" | "),
        result.calls_per_thousand(),
        result.throttled,
        result.latency(0.5).map_or_else(|| "-".to_owned(), time),
        result.latency(0.99).map_or_else(|| "-".to_owned(), time),
        result.unsettled
    );
    if std::env::args().any(|argument| argument == "--calls") {
        let calls = result.by_endpoint.iter();
        let calls = calls.map(|(endpoint, (calls, records))| format!("{endpoint} {calls} ({records})"));
        eprintln!("  {}", calls.collect::<Vec<_>>().join(", "));
    }
}

pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

impl Result {
    /// Of the events that were settled.
    pub fn calls_per_thousand(&self) -> f64 {
        self.calls as f64 * 1000.0 / self.latencies.len().max(1) as f64
    }

    /// Within which this part of the settled events was settled.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).copied()
    }
}

/// What is to be reached, what was found, and whether that is it.
#[derive(Default)]
pub struct Targets {
    lines: Vec<(String, String, bool)>,
    throttled: u64,
    least_used: Option<f64>,
}

impl Targets {
    /// At most so many calls for 1000 events, whatever the variant of the traffic.
    pub fn calls(&mut self, traffic: &str, most: f64, variants: &[&Result]) {
        let found = variants.iter().map(|result| result.calls_per_thousand());
        let (least, worst) = found.fold((f64::MAX, 0.0f64), |(a, b), calls| (a.min(calls), b.max(calls)));
        let several = format!("{least:.1}") != format!("{worst:.1}");
        let found = if several { format!("{least:.1} to {worst:.1}") } else { format!("{worst:.1}") };
        self.lines.push((
            format!("{traffic}: at most {most:.0} calls per 1000 events"),
            found,
            worst <= most,
        ));
        for result in variants {
            self.quota(result);
        }
    }

    /// The slowest events within twice a bound.
    pub fn within_twice(&mut self, traffic: &str, result: &Result, bound: &Result, which: &str) {
        let p99 = |result: &Result| result.latency(0.99).unwrap_or(Duration::MAX);
        let (found, bound) = (p99(result), p99(bound));
        let target = format!("{traffic}: p99 within twice the {which}");
        let text = format!("{} against {}", time(found), time(bound));
        self.lines.push((target, text, found <= bound * 2));
    }

    /// No 429, and the quota used while work waits.
    pub fn quota(&mut self, result: &Result) {
        self.throttled += result.throttled;
        self.least_used = match (self.least_used, result.used) {
            (Some(least), Some(used)) => Some(least.min(used)),
            (least, used) => least.or(used),
        };
    }

    pub fn print(&mut self) {
        let throttled = self.throttled;
        self.lines.push((
            "no 429 while nobody else uses the account".to_owned(),
            throttled.to_string(),
            throttled == 0,
        ));
        if let Some(used) = self.least_used {
            let target = "at least 98 % of the allowed calls used while work waits".to_owned();
            self.lines.push((target, percent(used), used >= 0.98));
        }
        table_head(&["target", "found", ""]);
        for (target, found, met) in &self.lines {
            println!("| {target} | {found} | {} |", if *met { "met" } else { "**missed**" });
        }
    }
}
