//! Runs one contestant on one work.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::contest::{Contest, Contestant};
use crate::daemon;
use crate::support::Freshet;
use crate::usage::{Sample, Stopwatch};

/// Between two looks at the queues or the daemon's metrics. A scrape costs the daemon time, and more with more accounts, so
/// from the first event on there is none until the queues that were filled are empty.
const LOOK: Duration = Duration::from_millis(100);
/// For one run.
const DEADLINE: Duration = Duration::from_mins(5);

/// Fills the queues, or publishes at the work's pace, and measures until all has ended.
pub async fn run(contest: &Contest, contestant: &Contestant, run: usize) -> Sample {
    if !matches!(contestant, Contestant::Calls) && contest.work.pace.is_none() {
        contest.fill(contestant, run).await;
    }
    let before = contest.api.calls();
    let sample = match contestant {
        Contestant::Daemon(program) => {
            let mut freshet = contest.start_daemon(program.as_ref());
            freshet.http_addr().await;
            let measured = async {
                match contest.work.pace {
                    None => backlog(contest, &freshet).await,
                    Some(pace) => paced(contest, &freshet, run, pace).await,
                }
            };
            let sample = tokio::time::timeout(DEADLINE, measured).await.expect("all events end in time");
            freshet.stop().await;
            sample
        }
        Contestant::Relay | Contestant::TwoRelays | Contestant::Calls | Contestant::Worker => {
            let output = peer(contest, contestant).output();
            let output = tokio::time::timeout(DEADLINE, output).await.expect("in time").expect("a peer");
            let text = String::from_utf8(output.stdout).expect("text");
            let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [events_per_second, processor_us, peak_mib] = numbers[..] else { panic!("{text:?}") };
            Sample { events_per_second, processor_us, peak_mib, calls_per_event: 0.0 }
        }
    };
    contest.api.take_written();
    let calls = (contest.api.calls() - before) as f64;
    Sample { calls_per_event: calls / contest.work.events as f64, ..sample }
}

async fn backlog(contest: &Contest, freshet: &Freshet) -> Sample {
    until_ended(contest, freshet, Stopwatch::new(freshet.id(), contest.work.events), 0).await
}

/// Each account has had an event, and so read its fields, before it is measured.
async fn paced(contest: &Contest, freshet: &Freshet, run: usize, pace: u32) -> Sample {
    let first = contest.work.accounts;
    // A run of its own, so that its message ids are nobody else's.
    contest.publish(&contest.intake(), run + 1000, 0..first).await;
    while daemon::came_and_ended(freshet).await.1 < first {
        tokio::time::sleep(LOOK).await;
    }
    let mut stopwatch = Stopwatch::new(freshet.id(), contest.work.events);
    // It begins here, as if the first event had come.
    stopwatch.look(1, 0);
    contest.trickle(run, pace).await;
    until_ended(contest, freshet, stopwatch, first).await
}

/// `before`: events that came before those that are measured.
async fn until_ended(
    contest: &Contest,
    freshet: &Freshet,
    mut stopwatch: Stopwatch,
    before: usize,
) -> Sample {
    loop {
        if !stopwatch.begun() || contest.filled_are_empty().await {
            let (came, ended) = daemon::came_and_ended(freshet).await;
            if let Some(sample) = stopwatch.look(came.saturating_sub(before), ended.saturating_sub(before)) {
                return sample;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Another program than the daemon, as a process of its own.
pub fn peer(contest: &Contest, contestant: &Contestant) -> Command {
    let (url, source) = (contest.vhost.url(), contest.source(contestant));
    let addresses: Vec<String> = contest.api.addresses.iter().map(ToString::to_string).collect();
    let events = contest.work.events.to_string();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("peer").kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
    match contestant {
        Contestant::Daemon(_) => unreachable!("not a peer"),
        Contestant::Relay => command.args(["relay", &events, url, &source, &contest.target()]),
        Contestant::TwoRelays => {
            command.args(["relay", &events, url, &source, &contest.between(), &contest.target()])
        }
        Contestant::Calls => command.args(["calls", &events, &addresses.join(",")]),
        Contestant::Worker => command.args(["worker", &events, url, &source, &addresses.join(",")]),
    };
    command
}
