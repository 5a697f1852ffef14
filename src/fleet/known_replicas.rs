//! What this replica heard of the others, and knows of itself. Bounded, whatever others tell.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::merge::{AccountInFleet, FleetView, Told, merged};
use super::message::Message;
use super::replica_report::{QueuesTold, ReplicaReport};
use super::report::LaneReport;

/// Between two times at which a replica tells the others.
pub const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// A replica that is silent for longer is gone.
const GONE_AFTER: Duration = Duration::from_secs(3 * TELL_INTERVAL.as_secs() + 1);
/// One that is gone is shown for so long.
pub(super) const SHOWN_GONE: Duration = Duration::from_mins(10);
/// No more replicas are remembered, this one included, and no more bytes of their reports.
pub(super) const MOST_KNOWN: ReplicaLimits = ReplicaLimits { replicas: 257, bytes: 64 * 1024 * 1024 };
/// The same for those that are another RabbitMQ user's.
pub(super) const MOST_OF_OTHER_USERS: ReplicaLimits = ReplicaLimits { replicas: 32, bytes: 8 * 1024 * 1024 };

#[derive(Debug)]
pub(super) struct KnownReplicas {
    pub(super) view: FleetView,
    /// The accounts of this replica's configuration, by name, and since when its own lane is as it is.
    pub(super) configured: Vec<(String, Timestamp)>,
    /// By name, and by when it started: two replicas may have one name.
    pub(super) replicas: BTreeMap<(String, Timestamp), HeardReplica>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ReplicaLimits {
    pub(super) replicas: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct HeardReplica {
    pub(super) report: ReplicaReport,
    /// RabbitMQ vouches that it has this replica's user, or cannot say. Others are shown where nobody of ours tells
    /// otherwise.
    pub(super) own_user: bool,
    pub(super) told_at: Timestamp,
    pub(super) heard: Instant,
    pub(super) queues: Option<QueuesTold>,
    pub(super) lanes: BTreeMap<String, Line>,
}

/// What a replica told of one lane.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) report: LaneReport,
    pub(super) heard: Instant,
    pub(super) bytes: usize,
}

impl HeardReplica {
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > GONE_AFTER
    }
}

impl KnownReplicas {
    pub(super) fn hear(&mut self, message: Message, own_user: bool, now: Instant, at: Timestamp) {
        let Message { replica, leaves, queues, lanes } = message;
        let key = (replica.name.clone(), replica.since);
        // A replica of another user neither replaces nor removes one of ours.
        if !own_user && self.replicas.values().any(|known| known.own_user && known.report.name == key.0) {
            return;
        }
        if own_user {
            self.replicas.retain(|(name, _), known| known.own_user || *name != key.0);
        }
        if leaves {
            self.replicas.remove(&key);
            return;
        }
        self.forget(now);
        let most = if own_user { MOST_KNOWN } else { MOST_OF_OTHER_USERS };
        let same_user = || self.replicas.values().filter(|known| known.own_user == own_user);
        let mut bytes: usize =
            same_user().flat_map(|heard_replica| heard_replica.lanes.values()).map(|line| line.bytes).sum();
        if !self.replicas.contains_key(&key) && same_user().count() >= most.replicas {
            return;
        }
        let heard_replica = self.replicas.entry(key).or_insert_with(|| HeardReplica {
            report: replica.clone(),
            own_user,
            told_at: at,
            heard: now,
            queues: None,
            lanes: BTreeMap::new(),
        });
        (heard_replica.report, heard_replica.own_user) = (replica, own_user);
        (heard_replica.told_at, heard_replica.heard) = (at, now);
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
            if bytes.saturating_add(size) <= most.bytes {
                bytes += size;
                heard_replica.lanes.insert(report.account.clone(), Line { report, heard: now, bytes: size });
            }
        }
    }

    /// Forgets replicas that are gone for long, and those whose name a later one has taken up.
    pub(super) fn forget(&mut self, now: Instant) {
        let latest: BTreeMap<String, Timestamp> = self
            .replicas
            .iter()
            .filter(|(_, heard_replica)| heard_replica.own_user && !heard_replica.is_gone(now))
            .map(|((name, since), _)| (name.clone(), *since))
            .collect();
        self.replicas.retain(|(name, since), heard_replica| {
            let silent = now.saturating_duration_since(heard_replica.heard);
            let replaced = latest.get(name).is_some_and(|latest| latest > since);
            !heard_replica.is_gone(now) || silent <= SHOWN_GONE && !replaced
        });
    }

    /// The last counts of queues, and the replica that told them.
    pub(super) fn counts(&self, now: Instant) -> Option<(&str, &QueuesTold)> {
        let there = self.replicas.values().filter(|heard_replica| !heard_replica.is_gone(now));
        let counted = there.filter_map(|heard_replica| {
            let queues = heard_replica.queues.as_ref()?;
            Some((heard_replica.own_user, heard_replica.report.name.as_str(), queues))
        });
        let last = counted.max_by_key(|(own_user, _, queues)| (*own_user, queues.at));
        last.map(|(_, replica, queues)| (replica, queues))
    }

    pub(super) fn accounts(&self, now: Instant, counts: Option<&QueuesTold>) -> Vec<AccountInFleet> {
        let mut told: BTreeMap<&str, Vec<Told<'_>>> =
            self.configured.iter().map(|(account, _)| (account.as_str(), Vec::new())).collect();
        for heard_replica in self.replicas.values() {
            let gone = heard_replica.is_gone(now);
            for (account, line) in &heard_replica.lanes {
                let HeardReplica { own_user, report: replica, .. } = heard_replica;
                let one = Told { replica: &replica.name, own_user: *own_user, gone, report: &line.report };
                told.entry(account).or_default().push(one);
            }
        }
        let accounts = told.into_iter().map(|(account, mut told)| {
            if told.iter().any(|one| one.own_user) {
                told.retain(|one| one.own_user);
            }
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
