//! How many events get through: from RabbitMQ through the daemon to an API that answers at once, beside programs that do less.
//!
//! `cargo bench --bench throughput` brings up RabbitMQ as the tests do, lets all contestants of a work run in turn, several
//! times, and prints medians for docs/PERFORMANCE.md. A ratio is the median of those of each round, so what else the machine
//! does falls on both. With a word (`skipped`, `second`, `identifies`, `20`, `tracks`, `calls`, `beside`) only the works whose names
//! hold it. `-- --beside PROGRAM` measures another build of the daemon, too. `-- --rounds N` repeats more often. With
//! `-- --test`, few events show that all of it works. Nothing here asserts how fast anything is.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub,
    reason = "a program that measures real time, prints tables for people, and panics where it cannot measure"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod api;
mod contest;
mod contestants;
mod daemon;
mod events;
mod latency;
mod peers;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use contest::{Contest, Contestant};
use events::Kind;

/// How much is measured.
pub struct Size {
    rounds: usize,
    /// Events of a work that needs few calls.
    events: usize,
    /// Calls of a work that needs one for each event.
    calls: usize,
    /// Events of the worker's work, whose API takes its time.
    slow_events: usize,
    /// For how long events are published where latency is measured.
    seconds: u64,
}

const WORKER: &str = "identifies, calls of 100 ms, 10 accounts";

const FULL: Size = Size { rounds: 3, events: 40_000, calls: 40_000, slow_events: 20_000, seconds: 8 };
const SHORT: Size = Size { rounds: 1, events: 600, calls: 300, slow_events: 200, seconds: 2 };

fn main() {
    // For reqwest, which is built without one.
    rustls::crypto::ring::default_provider().install_default().expect("the first one");
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "peer") {
        return peers::run(&arguments[1..]);
    }
    let mut value_of = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.remove(at);
        (at < arguments.len()).then(|| arguments.remove(at))
    };
    let beside = value_of("--beside").map(PathBuf::from);
    let rounds = value_of("--rounds").map(|rounds| rounds.parse().expect("--rounds takes a number"));
    let given = |word: &str| arguments.iter().any(|argument| argument == word);
    let size = if given("--test") || !given("--bench") { SHORT } else { FULL };
    let size = Size { rounds: rounds.unwrap_or(size.rounds), ..size };
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let with_daemon = |peers: &[Contestant]| {
            let other = beside.clone().map(|program| Contestant::Daemon(Some(program)));
            let daemons = [Contestant::Daemon(None)].into_iter().chain(other);
            daemons.chain(peers.iter().cloned()).collect::<Vec<_>>()
        };
        println!("{}", contest::HEAD);
        let at_once = Duration::ZERO;
        let relays: &[Contestant] = &[Contestant::Relay, Contestant::TwoRelays];
        let steady = Some(2000);
        for (work, kind, accounts, events, latency, pace, peers) in [
            ("two hops, skipped, 1 account", Kind::Skipped, 1, size.events, at_once, None, relays),
            ("two hops, skipped, 20 accounts", Kind::Skipped, 20, size.events, at_once, None, relays),
            // More of them, because each account reads its fields once.
            ("two hops, skipped, 500 accounts", Kind::Skipped, 500, 2 * size.events, at_once, None, &[]),
            (
                "two hops, skipped, 2000 a second, 1 account",
                Kind::Skipped,
                1,
                size.events,
                at_once,
                steady,
                &[],
            ),
            (
                "two hops, skipped, 2000 a second, 500 accounts",
                Kind::Skipped,
                500,
                size.events,
                at_once,
                steady,
                &[],
            ),
            // Several, because jobs or the limit of one account would be the limit.
            ("two hops, identifies, 20 accounts", Kind::Identify, 20, size.events, at_once, None, relays),
            (
                "one hop, tracks, 20 accounts",
                Kind::Track,
                20,
                size.calls,
                at_once,
                None,
                &[Contestant::Calls],
            ),
            (WORKER, Kind::Identify, 10, size.slow_events, contest::LATENCY, None, &[Contestant::Worker]),
        ] {
            if !asked(work) {
                continue;
            }
            let mut contest = Contest::new(work, kind, accounts, events, latency).await;
            contest.pace = pace;
            contest.run(&with_daemon(peers), size.rounds).await;
        }
        if asked("beside a throttled account") {
            latency::run(&with_daemon(&[Contestant::Worker]), &size).await;
        }
    });
}
