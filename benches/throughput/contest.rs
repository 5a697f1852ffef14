//! One work, and who does it in turn.

use std::path::PathBuf;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueuePurgeOptions};
use tokio::time::MissedTickBehavior;

use crate::api::Api;
use crate::contestants;
use crate::daemon;
use crate::events::{Events, Kind};
use crate::support::{Amqp, Broker, Vhost};
use crate::usage::Sample;

/// Who does the work.
#[derive(Debug, Clone)]
pub enum Contestant {
    /// This build's daemon, or another's.
    Daemon(Option<PathBuf>),
    /// Takes each message off the intake and publishes it to another quorum queue.
    Relay,
    /// The same twice, one behind the other, so that each message takes as many hops as with Freshet.
    TwoRelays,
    /// Makes the calls, and nothing else.
    Calls,
    /// What a team would write: one queue, one upsert for each event.
    Worker,
}

impl Contestant {
    pub fn name(&self) -> String {
        match self {
            Self::Daemon(None) => "Freshet".to_owned(),
            Self::Daemon(Some(program)) => program.display().to_string(),
            Self::Relay => "bare relay, one hop".to_owned(),
            Self::TwoRelays => "two bare relays, two hops".to_owned(),
            Self::Calls => "bare reqwest loop".to_owned(),
            Self::Worker => "worker".to_owned(),
        }
    }
}

pub const HEAD: &str = "| work | who | events a second | Freshet's to its | CPU an event | peak memory | calls an event |\n\
    |---|---|---|---|---|---|---|";

/// How long calls take where it is compared with the worker.
pub const LATENCY: Duration = Duration::from_millis(100);

/// What comes, and for how many accounts.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub name: &'static str,
    pub kind: Kind,
    pub accounts: usize,
    pub events: usize,
    /// How long each call takes.
    pub latency: Duration,
    /// How many events come a second. Without, all of them wait from the start.
    pub pace: Option<u32>,
    /// Events wait in the lanes, and nothing has to be routed.
    pub one_hop: bool,
    /// `broker.prefetch`, where it is not the default.
    pub prefetch: Option<u16>,
}

impl Work {
    /// All events wait on the intake, and the API answers at once.
    pub fn new(name: &'static str, kind: Kind, accounts: usize, events: usize) -> Self {
        let latency = Duration::ZERO;
        Self { name, kind, accounts, events, latency, pace: None, one_hop: false, prefetch: None }
    }
}

/// A work with its place on the broker and its API.
pub struct Contest {
    pub work: Work,
    made: Events,
    pub vhost: Vhost,
    amqp: Amqp,
    pub api: Api,
}

impl Contest {
    pub async fn new(work: Work) -> Self {
        let vhost = Broker::shared().await.vhost().await;
        let amqp = vhost.connect().await;
        let api = Api::start(work.accounts, work.latency).await;
        let contest = Self { work, made: Events::new(work.kind, work.accounts), vhost, amqp, api };
        // Declares the queues.
        let mut early = contest.start_daemon(None);
        early.ready().await;
        early.stop().await;
        for queue in [contest.between(), contest.target(), contest.worker_queue()] {
            contest.amqp.declare_quorum(&queue, &[]).await;
        }
        contest
    }

    pub fn start_daemon(&self, program: Option<&PathBuf>) -> crate::support::Freshet {
        let (url, accounts) = (self.vhost.url(), &self.api.addresses);
        let configuration = daemon::configuration(url, &self.intake(), self.work.prefetch, accounts);
        daemon::start(program, &configuration)
    }

    pub fn intake(&self) -> String {
        self.vhost.queue("events")
    }

    /// Between two relays.
    pub fn between(&self) -> String {
        self.vhost.queue("between")
    }

    /// Where the relay publishes to.
    pub fn target(&self) -> String {
        self.vhost.queue("relayed")
    }

    pub fn worker_queue(&self) -> String {
        self.vhost.queue("worker")
    }

    /// The queue that a contestant takes events from.
    pub fn source(&self, contestant: &Contestant) -> String {
        if matches!(contestant, Contestant::Worker) { self.worker_queue() } else { self.intake() }
    }

    /// The backlog of one run. Only the daemon has lanes.
    pub async fn fill(&self, contestant: &Contestant, run: usize) {
        let Work { events, accounts, one_hop, .. } = self.work;
        if !(one_hop && matches!(contestant, Contestant::Daemon(_))) {
            return self.publish(&self.source(contestant), run, 0..events).await;
        }
        for (account, lane) in self.lanes().enumerate() {
            self.publish(&lane, run, (account..events).step_by(accounts)).await;
        }
    }

    /// Nothing is left in the queues that [`Contest::fill`] filled for the daemon.
    pub async fn filled_are_empty(&self) -> bool {
        let filled = if self.work.one_hop { self.lanes().collect() } else { vec![self.intake()] };
        for queue in filled {
            if self.amqp.depth(&queue).await != Some(0) {
                return false;
            }
        }
        true
    }

    fn lanes(&self) -> impl Iterator<Item = String> {
        (0..self.api.addresses.len()).map(|account| format!("{}.lane.a{account}", self.intake()))
    }

    /// Puts the events of these numbers into a queue.
    pub async fn publish(&self, queue: &str, run: usize, numbers: impl Iterator<Item = usize>) {
        let numbers: Vec<usize> = numbers.collect();
        for chunk in numbers.chunks(2000) {
            let messages =
                chunk.iter().map(|number| (self.made.event(run, *number), BasicProperties::default()));
            self.amqp.publish_all("", queue, messages).await;
        }
    }

    /// Publishes the events to the intake one by one, so many a second.
    pub async fn trickle(&self, run: usize, a_second: u32) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
        // The timer is no finer than a millisecond: what is late is made up for at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let intake = self.intake();
        let mut confirms = Vec::new();
        for number in 0..self.work.events {
            ticks.tick().await;
            let event = self.made.event(run, number);
            let properties = BasicProperties::default();
            let options = BasicPublishOptions::default();
            let confirm = self.amqp.channel.basic_publish(
                "".into(),
                intake.as_str().into(),
                options,
                event.as_bytes(),
                properties,
            );
            confirms.push(confirm.await.expect("it is published"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
    }

    /// Takes out what the throttled account could not get rid of.
    pub async fn empty(&self) {
        for queue in self.lanes().chain([self.intake(), self.worker_queue()]) {
            let purged = self.amqp.channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default());
            purged.await.expect("the queue is emptied");
        }
    }

    /// Lets each run in turn, and prints a line for each.
    pub async fn run(&self, contestants: &[Contestant], rounds: usize) {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); contestants.len()];
        for round in 0..rounds {
            for (number, contestant) in contestants.iter().enumerate() {
                samples[number].push(contestants::run(self, contestant, round * 10 + number).await);
            }
        }
        for (contestant, own) in contestants.iter().zip(&samples) {
            let middle = |value: fn(&Sample) -> f64| median(own.iter().map(value));
            let ratios = samples[0].iter().zip(own).map(|(a, b)| a.events_per_second / b.events_per_second);
            println!(
                "| {} | {} | {:.0} | {:.2} | {:.0} µs | {:.0} MiB | {:.3} |",
                self.work.name,
                contestant.name(),
                middle(|sample| sample.events_per_second),
                median(ratios),
                middle(|sample| sample.processor_us),
                middle(|sample| sample.peak_mib),
                middle(|sample| sample.calls_per_event),
            );
        }
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
