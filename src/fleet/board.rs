//! What this replica knows of the fleet: its own reports, and the last ones of each other replica. Bounded, whatever others
//! tell. Written by the survey and by what comes over RabbitMQ, read by the pages.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::merge::{AccountInFleet, Fleet, FleetView, QueueCounts, ReplicaInFleet, Told, merged};
use super::message::{self, Message};
use super::replica_report::{QueuesTold, ReplicaReport};
use super::report::LaneReport;

/// Between two times at which a replica tells the others.
pub const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// A replica that is silent for longer is gone.
const GONE_AFTER: Duration = Duration::from_secs(3 * TELL_INTERVAL.as_secs() + 1);
/// One that is gone is shown for so long.
const SHOWN_GONE: Duration = Duration::from_mins(10);
/// No more other replicas are remembered.
const MOST_REPLICAS: usize = 256;
/// No more text of other replicas' reports is remembered.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// With more lanes than this, a replica tells the details of each only once in so many turns.
const LANES_AT_ONCE: usize = 40;
const DETAIL_TURNS: u64 = 12;

/// What a replica knows of itself. Name and start are the board's.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnReport {
    /// Itself.
    pub replica: ReplicaReport,
    /// The lanes of which it has, or had in the last hour, events.
    pub lanes: Vec<LaneReport>,
    /// What it counted in queues, if it does.
    pub queues: Option<QueuesTold>,
}

/// What this replica knows of the fleet.
#[derive(Debug)]
pub struct FleetBoard {
    name: String,
    since: Timestamp,
    known: Mutex<BoardState>,
}

#[derive(Debug)]
struct BoardState {
    view: FleetView,
    /// The accounts of this replica's configuration, by name, and since when its own lane is as it is.
    configured: Vec<(String, Timestamp)>,
    /// By name, and by when it started: two replicas may have one name.
    replicas: BTreeMap<(String, Timestamp), HeardReplica>,
}

/// A replica, and what it told.
#[derive(Debug)]
struct HeardReplica {
    report: ReplicaReport,
    told_at: Timestamp,
    heard: Instant,
    queues: Option<QueuesTold>,
    lanes: BTreeMap<String, Line>,
}

/// What a replica told of one lane.
#[derive(Debug)]
struct Line {
    report: LaneReport,
    heard: Instant,
    bytes: usize,
}

impl FleetBoard {
    /// For the replica of this name, whose process started then.
    pub fn new(name: &str, since: Timestamp) -> Self {
        let known = BoardState { view: FleetView::Alone, configured: Vec::new(), replicas: BTreeMap::new() };
        Self { name: name.to_owned(), since, known: Mutex::new(known) }
    }

    /// This replica's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When this replica's process started.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The accounts of the configuration, from now on, and since when this replica's lane of each is as it is.
    pub fn configure(&self, accounts: impl IntoIterator<Item = (String, Timestamp)>) {
        let mut accounts: Vec<(String, Timestamp)> = accounts.into_iter().collect();
        accounts.sort_unstable();
        self.lock().configured = accounts;
    }

    /// Whether replicas tell each other, from now on.
    pub fn set_view(&self, view: FleetView) {
        self.lock().view = view;
    }

    /// Takes a message that came over RabbitMQ. True if it is another replica's, and was read.
    pub fn hear(&self, body: &[u8], now: Instant, at: Timestamp) -> bool {
        let message = match message::read(body) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, "a message about the fleet is not read");
                return false;
            }
        };
        // The exchange sends back what this replica told.
        let is_own = message.replica.name == self.name && message.replica.since == self.since;
        if !is_own {
            self.lock().hear(message, now, at);
        }
        !is_own
    }

    /// Replaces what this replica knows of itself.
    pub fn survey(&self, own: OwnReport, now: Instant, at: Timestamp) {
        let OwnReport { mut replica, lanes, queues } = own;
        (replica.name, replica.since) = (self.name.clone(), self.since);
        let lanes = lanes
            .into_iter()
            .map(|report| (report.account.clone(), Line { report, heard: now, bytes: 0 }))
            .collect();
        let heard_replica = HeardReplica { report: replica, told_at: at, heard: now, queues, lanes };
        self.lock().replicas.insert((self.name.clone(), self.since), heard_replica);
    }

    /// The messages that tell the other replicas what this one knows of itself. `turn` counts them; details take turns
    /// where there are many lanes. With `leaves`, they forget this replica.
    pub fn tell(&self, turn: u64, leaves: bool) -> Vec<Vec<u8>> {
        let known = self.lock();
        let Some(own) = known.replicas.get(&(self.name.clone(), self.since)) else { return Vec::new() };
        if leaves {
            return message::write(&own.report, None, &[], true);
        }
        let turns = if own.lanes.len() > LANES_AT_ONCE { DETAIL_TURNS } else { 1 };
        let lanes: Vec<LaneReport> = own
            .lanes
            .values()
            .zip(0..)
            .map(|(line, number)| {
                let in_turn = (turn + number).is_multiple_of(turns);
                let details = line.report.details.as_ref().filter(|_| in_turn);
                LaneReport { details: details.cloned(), ..line.report.without_details() }
            })
            .collect();
        message::write(&own.report, own.queues.as_ref(), &lanes, false)
    }

    /// Messages that wait in lanes, by account, if some replica counted them.
    pub fn waiting(&self, now: Instant) -> BTreeMap<String, u64> {
        self.lock().counts(now).map(|(_, queues)| queues.lanes.clone()).unwrap_or_default()
    }

    /// All that is known now.
    pub fn fleet(&self, now: Instant, at: Timestamp) -> Fleet {
        let mut known = self.lock();
        known.forget(now);
        let own = (self.name.as_str(), self.since);
        let replicas = known.replicas.iter().map(|((name, since), heard_replica)| ReplicaInFleet {
            report: heard_replica.report.clone(),
            told_at: heard_replica.told_at,
            own: (name.as_str(), *since) == own,
            gone: heard_replica.is_gone(now),
        });
        let counts = known.counts(now);
        Fleet {
            at,
            view: known.view.clone(),
            replicas: replicas.collect(),
            accounts: known.accounts(now, counts.map(|(_, queues)| queues)),
            queues: counts.map_or_else(QueueCounts::default, |(replica, queues)| QueueCounts {
                replica: Some(replica.to_owned()),
                at: Some(queues.at),
                intake_waiting: queues.intake,
                dead_letters_waiting: queues.dead_letters,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeardReplica {
    fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > GONE_AFTER
    }
}

impl BoardState {
    fn hear(&mut self, message: Message, now: Instant, at: Timestamp) {
        let Message { replica, leaves, queues, lanes } = message;
        let key = (replica.name.clone(), replica.since);
        if leaves {
            self.replicas.remove(&key);
            return;
        }
        self.forget(now);
        let mut bytes: usize = self
            .replicas
            .values()
            .flat_map(|heard_replica| heard_replica.lanes.values())
            .map(|line| line.bytes)
            .sum();
        if !self.replicas.contains_key(&key) && self.replicas.len() > MOST_REPLICAS {
            return;
        }
        let heard_replica = self.replicas.entry(key).or_insert_with(|| HeardReplica {
            report: replica.clone(),
            told_at: at,
            heard: now,
            queues: None,
            lanes: BTreeMap::new(),
        });
        (heard_replica.report, heard_replica.told_at, heard_replica.heard) = (replica, at, now);
        // Only the first part of what is told at one time has them; one that counts no more is outdone by another.
        if queues.is_some() {
            heard_replica.queues = queues;
        }
        // It tells of a lane for as long as it has anything to tell of it.
        heard_replica.lanes.retain(|_, line| now.saturating_duration_since(line.heard) <= GONE_AFTER);
        for (mut report, size) in lanes {
            let before = heard_replica.lanes.remove(&report.account);
            let (mut size, mut known) = (size, 0);
            if let Some(before) = before {
                known = before.bytes;
                if report.details.is_none() {
                    report.details = before.report.details;
                    size = size.max(before.bytes);
                }
            }
            bytes = bytes.saturating_sub(known);
            if bytes.saturating_add(size) <= MOST_BYTES {
                bytes += size;
                heard_replica.lanes.insert(report.account.clone(), Line { report, heard: now, bytes: size });
            }
        }
    }

    /// Forgets replicas that are gone for long, and those whose name a later one has taken up.
    fn forget(&mut self, now: Instant) {
        let latest: BTreeMap<String, Timestamp> = self
            .replicas
            .iter()
            .filter(|(_, heard_replica)| !heard_replica.is_gone(now))
            .map(|((name, since), _)| (name.clone(), *since))
            .collect();
        self.replicas.retain(|(name, since), heard_replica| {
            let silent = now.saturating_duration_since(heard_replica.heard);
            let replaced = latest.get(name).is_some_and(|latest| latest > since);
            !heard_replica.is_gone(now) || silent <= SHOWN_GONE && !replaced
        });
    }

    /// The last counts of queues, and the replica that told them.
    fn counts(&self, now: Instant) -> Option<(&str, &QueuesTold)> {
        let there = self.replicas.values().filter(|heard_replica| !heard_replica.is_gone(now));
        let counted = there.filter_map(|heard_replica| {
            heard_replica.queues.as_ref().map(|queues| (heard_replica.report.name.as_str(), queues))
        });
        counted.max_by_key(|(_, queues)| queues.at)
    }

    fn accounts(&self, now: Instant, counts: Option<&QueuesTold>) -> Vec<AccountInFleet> {
        let mut told: BTreeMap<&str, Vec<Told<'_>>> =
            self.configured.iter().map(|(account, _)| (account.as_str(), Vec::new())).collect();
        for heard_replica in self.replicas.values() {
            let gone = heard_replica.is_gone(now);
            for (account, line) in &heard_replica.lanes {
                let one = Told { replica: &heard_replica.report.name, gone, report: &line.report };
                told.entry(account).or_default().push(one);
            }
        }
        let accounts = told.into_iter().map(|(account, told)| {
            let (replica, report) = merged(&told);
            let place = self.configured.binary_search_by(|(known, _)| known.as_str().cmp(account)).ok();
            let own = place.and_then(|place| self.configured.get(place));
            AccountInFleet {
                account: account.to_owned(),
                replica,
                configured: own.is_some(),
                since: report.as_ref().map(|report| report.since).or(own.map(|(_, since)| *since)),
                waiting: counts.and_then(|queues| queues.lanes.get(account)).copied(),
                report,
            }
        });
        accounts.collect()
    }
}

#[cfg(test)]
mod tests;
