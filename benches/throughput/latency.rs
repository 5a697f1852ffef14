//! How long events of healthy accounts take, alone and beside an account that answers 429 to everything for a while.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::Size;
use crate::contest::{Contest, Contestant, LATENCY, Work, median};
use crate::contestants::peer;
use crate::events::Kind;
use crate::support::eventually;

const ACCOUNTS: usize = 10;
/// Between two tenths of a second's events.
const TENTH: Duration = Duration::from_millis(100);
/// Events of all accounts in a tenth of a second.
const EVENTS: usize = 20;

/// Prints a line for each contestant and circumstance.
pub async fn run(contestants: &[Contestant], size: &Size) {
    let tenths = usize::try_from(size.seconds * 10).expect("few");
    let work = Work::new("latency", Kind::Identify, ACCOUNTS, usize::MAX);
    let contest = Contest::new(Work { latency: LATENCY, ..work }).await;
    println!("\n| healthy accounts | who | p50 | p99 | slowest |\n|---|---|---|---|---|");
    let mut next = 0;
    for (circumstance, throttled) in [("alone", false), ("beside a throttled account", true)] {
        let mut found = vec![Vec::new(); contestants.len()];
        for _ in 0..size.rounds {
            for (contestant, found) in contestants.iter().zip(&mut found) {
                let numbers = next..next + tenths * EVENTS;
                next = numbers.end;
                found.push(measure(&contest, contestant, numbers, throttled).await);
            }
        }
        for (contestant, found) in contestants.iter().zip(found) {
            let [p50, p99, slowest] =
                [0, 1, 2].map(|part| median(found.iter().map(|times: &[f64; 3]| times[part] * 1000.0)));
            let name = contestant.name();
            println!("| {circumstance} | {name} | {p50:.0} ms | {p99:.0} ms | {slowest:.0} ms |");
        }
    }
}

/// The median, the 99th percentile and the longest of the times between publishing and writing, in seconds.
async fn measure(
    contest: &Contest,
    contestant: &Contestant,
    numbers: Range<usize>,
    throttled: bool,
) -> [f64; 3] {
    let (mut freshet, mut other) = (None, None);
    match contestant {
        Contestant::Daemon(program) => {
            let started = contest.start_daemon(program.as_ref());
            started.ready().await;
            freshet = Some(started);
        }
        Contestant::Worker => other = Some(peer(contest, contestant).spawn().expect("a peer")),
        Contestant::Relay | Contestant::TwoRelays | Contestant::Calls => unreachable!("they write nothing"),
    }
    let source = contest.source(contestant);
    // One for each account, so that all have started.
    let first = numbers.start..numbers.start + ACCOUNTS;
    contest.publish(&source, 0, first.clone()).await;
    eventually(Duration::from_mins(2), "each account's first event is written", async || {
        contest.api.has_written(first.clone())
    })
    .await;
    contest.api.take_written();
    contest.api.throttle(throttled);
    let mut published = Vec::new();
    let mut ticks = tokio::time::interval(TENTH);
    for from in (first.end..numbers.end).step_by(EVENTS) {
        ticks.tick().await;
        let some = from..(from + EVENTS).min(numbers.end);
        published.extend(some.clone().map(|number| (number, Instant::now())));
        contest.publish(&source, 0, some).await;
    }
    contest.api.throttle(false);
    let healthy = |(number, _): &&(usize, Instant)| number % ACCOUNTS != 0;
    eventually(Duration::from_mins(2), "all healthy events are written", async || {
        contest.api.has_written(published.iter().filter(healthy).map(|(number, _)| *number))
    })
    .await;
    let written = contest.api.take_written();
    let times = published.iter().filter(healthy).map(|(number, at)| written[number].duration_since(*at));
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    if let Some(mut freshet) = freshet {
        freshet.stop().await;
    }
    if let Some(mut other) = other {
        other.kill().await.expect("ended");
    }
    contest.empty().await;
    [times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1]]
}
