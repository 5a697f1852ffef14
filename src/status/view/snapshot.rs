//! All that a page is made of, at one moment: the fleet, and what this replica knows of itself right now.

use std::sync::Arc;

use jiff::Timestamp;

use crate::broker::HealthView;
use crate::fleet::{AccountInFleet, Fleet};
use crate::lane::RemovedAccount;

/// All that a page is made of.
#[derive(Debug)]
pub(in crate::status) struct Snapshot {
    pub(in crate::status) at: Timestamp,
    /// This replica's name.
    pub(in crate::status) replica: String,
    /// When its process started.
    pub(in crate::status) started: Timestamp,
    /// `None` if events come from a file.
    pub(in crate::status) broker: Option<HealthView>,
    /// The fleet as replicas tell it, and as this one just found itself.
    pub(in crate::status) fleet: Fleet,
    /// Accounts that a reload of this replica took out of the configuration.
    pub(in crate::status) removed: Arc<[RemovedAccount]>,
}

impl Snapshot {
    pub(in crate::status) fn account(&self, name: &str) -> Option<&AccountInFleet> {
        self.fleet.accounts.iter().find(|account| account.account == name)
    }
}

#[cfg(test)]
pub(in crate::status) mod tests {
    use super::*;
    use crate::fleet::samples::{at, lane, replica};
    use crate::fleet::{FleetView, QueueCounts, ReplicaInFleet};

    /// A fleet of one replica, `worker-0`, with these accounts.
    pub(in crate::status) fn snapshot(accounts: Vec<AccountInFleet>) -> Snapshot {
        let mut report = replica("worker-0");
        report.routes = true;
        let own = ReplicaInFleet { report, told_at: at(3600), own: true, gone: false };
        Snapshot {
            at: at(3600),
            replica: "worker-0".to_owned(),
            started: at(0),
            broker: Some(HealthView {
                connected: true,
                since: at(1),
                ready: true,
                why: String::new(),
                name_taken: false,
            }),
            fleet: Fleet {
                at: at(3600),
                view: FleetView::Shared,
                replicas: vec![own],
                accounts,
                queues: QueueCounts {
                    replica: Some("worker-0".to_owned()),
                    at: Some(at(3599)),
                    intake_waiting: Some(0),
                    dead_letters_waiting: Some(0),
                },
            },
            removed: Arc::default(),
        }
    }

    /// An account that `worker-0` works, and that flows.
    pub(in crate::status) fn flowing(name: &str) -> AccountInFleet {
        AccountInFleet {
            account: name.to_owned(),
            replica: Some("worker-0".to_owned()),
            configured: true,
            since: Some(lane(name).since),
            waiting: Some(0),
            report: Some(lane(name)),
        }
    }
}
