//! How many events get through: from RabbitMQ through the daemon to an API that answers at once, beside programs that do less.
//!
//! `cargo bench --bench throughput` brings up RabbitMQ as the tests do, lets all contestants of a work run in turn, several
//! times, and prints medians for docs/PERFORMANCE.md. A ratio is the median of those of each round, so what else the machine
//! does falls on both. With words, such as `skipped` or `1 account`, only the works whose names hold one of them.
//! `-- --beside PROGRAM` measures another build of the daemon, too. `-- --rounds N` repeats more often. With `-- --test`,
//! few events show that all of it works. Nothing here asserts how fast anything is.
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
mod works;

use std::path::PathBuf;

use contest::{Contest, Contestant};

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
        for (work, peers) in works::works(&size) {
            if asked(work.name) {
                Contest::new(work).await.run(&with_daemon(peers), size.rounds).await;
            }
        }
        if asked("beside a throttled account") {
            latency::run(&with_daemon(&[Contestant::Worker]), &size).await;
        }
    });
}
