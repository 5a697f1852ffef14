//! What this replica knows of the fleet: its own reports, and the last ones of each other replica. Bounded, whatever others
//! tell. Written by the survey and by what comes over RabbitMQ, read by the pages.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

use super::known_replicas::{HeardReplica, KnownReplicas, Line};
use super::merge::{Fleet, FleetView, QueueCounts, ReplicaInFleet};
use super::message;
use super::replica_report::{QueuesTold, ReplicaReport};
use super::report::LaneReport;

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
    known: Mutex<KnownReplicas>,
}

impl FleetBoard {
    /// For the replica of this name, whose process started then.
    pub fn new(name: &str, since: Timestamp) -> Self {
        let known =
            KnownReplicas { view: FleetView::Alone, configured: Vec::new(), replicas: BTreeMap::new() };
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

    /// Takes a message that came over RabbitMQ, from this replica's own user or from another one. True if it is another
    /// replica's, and was read.
    pub fn hear(&self, body: &[u8], own_user: bool, now: Instant, at: Timestamp) -> bool {
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
            self.lock().hear(message, own_user, now, at);
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
        let heard_replica =
            HeardReplica { report: replica, own_user: true, told_at: at, heard: now, queues, lanes };
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

    fn lock(&self) -> MutexGuard<'_, KnownReplicas> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
