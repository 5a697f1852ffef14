//! A simulated day of identifies that carry an address alone, by several clients and a lower bound.

use std::time::Duration;

use freshet::config::DealIdentity;

use super::api::Terms;
use super::clients::Day;
use super::kinds::SEARCH_DELAY;
use super::report::{self, Targets};
use super::run::{Result, Simulation};
use super::traffic::{self, Kind};
use super::{BULK_JOBS, HOUR, PREFETCH};

const LENGTH: Duration = Duration::from_hours(24);

/// Calls take 300 ms, and jobs 4 to 8 seconds in a fixed pattern.
const TERMS: Terms = Terms {
    plan: 1000,
    answer: Duration::from_millis(300),
    job_time: |number| Duration::from_millis(4000 + number.wrapping_mul(7919) % 4000),
    search_delay: SEARCH_DELAY,
};

/// Calls that Freshet may make in an hour.
const ALLOWED: f64 = 900.0;

/// What `broker.prefetch` may be where bursts come.
const PREFETCHES: [usize; 3] = [400, 800, PREFETCH];

/// With as many jobs at once as Freshet may run.
const BOUND: &str = "lower bound";
const UNLIMITED: &str = "lower bound, any number of jobs";

pub fn print(targets: &mut Targets) {
    report::heading(&["traffic", "client"]);
    for (name, arrivals) in [
        ("steady, 600 an hour", steady()),
        ("bursts of 5000", bursts()),
        ("daily wave, 2700 an hour at noon", wave()),
        ("back-fill of 200000", vec![Duration::ZERO; 200_000]),
    ] {
        let day = Day { terms: TERMS, arrivals: &arrivals, length: LENGTH };
        report::row(&[name, "one call per event"], &day.one_call_per_event());
        report::row(&[name, "linger of 5 s"], &day.fixed_linger(BULK_JOBS));
        let bound = day.lower_bound(BULK_JOBS);
        if name.starts_with("bursts") {
            let unlimited = day.lower_bound(usize::MAX);
            for prefetch in PREFETCHES {
                let found = freshet(&arrivals, prefetch);
                report::row(&[name, &format!("Freshet, prefetch = {prefetch}")], &found);
                let traffic = format!("{name}, prefetch = {prefetch}");
                targets.within_twice(&traffic, &found, &bound, BOUND);
                targets.within_twice(&traffic, &found, &unlimited, UNLIMITED);
                if prefetch == PREFETCH {
                    targets.calls(name, 25.0, &[&found]);
                }
            }
            report::row(&[name, BOUND], &bound);
            report::row(&[name, UNLIMITED], &unlimited);
        } else {
            let found = freshet(&arrivals, PREFETCH);
            report::row(&[name, "Freshet"], &found);
            report::row(&[name, BOUND], &bound);
            targets.within_twice(name, &found, &bound, BOUND);
            if name.starts_with("back-fill") {
                targets.calls(name, 25.0, &[&found]);
            }
            targets.quota(&found);
        }
    }
}

fn freshet(arrivals: &[Duration], prefetch: usize) -> Result {
    let mut simulation = Simulation::new(TERMS);
    let mut replica = simulation.replica(prefetch, DealIdentity::Contact);
    let event = |number| traffic::event(Kind::Address, number, 0);
    let result = simulation.run(&mut replica, arrivals, event, Some(LENGTH));
    assert_eq!(result.unsettled, 0, "nothing is left at the day's end");
    result
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
        due += 3.0 * ALLOWED / 3600.0 * (1.0 - phase.cos()) / 2.0;
        while due >= 1.0 {
            arrivals.push(Duration::from_secs(u64::from(second)));
            due -= 1.0;
        }
    }
    arrivals
}
