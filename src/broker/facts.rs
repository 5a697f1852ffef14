//! What is known of RabbitMQ beside its health: who routes, what waits in queues, whether replicas can tell
//! each other of their lanes. Written by the parts of the session, read from outside.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::delivery::AccountName;

/// What is known of RabbitMQ.
#[derive(Debug, Default)]
pub struct BrokerFacts(Mutex<KnownFacts>);

#[derive(Debug, Default)]
struct KnownFacts {
    routes: bool,
    depths: Option<QueueDepths>,
    /// Why replicas cannot tell each other.
    silent: Option<String>,
    version: Option<String>,
}

/// Messages that wait in queues to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepths {
    /// When they were counted.
    pub at: Timestamp,
    /// On the intake; `None` if it could not be counted.
    pub intake: Option<u32>,
    /// Dead letters.
    pub dead_letters: Option<u32>,
    /// In the lanes that could be counted.
    pub lanes: BTreeMap<AccountName, u32>,
}

impl BrokerFacts {
    /// Whether this replica moves events from the intake to the lanes.
    pub fn routes(&self) -> bool {
        self.lock().routes
    }

    /// What waits in queues; known only to the replica that routes.
    pub fn depths(&self) -> Option<QueueDepths> {
        self.lock().depths.clone()
    }

    /// Why replicas cannot tell each other of their lanes, in words without secrets; `None` if they can.
    pub fn exchange(&self) -> Option<String> {
        self.lock().silent.clone()
    }

    /// The version that the node said when it greeted last.
    pub fn version(&self) -> Option<String> {
        self.lock().version.clone()
    }

    pub(super) fn set_version(&self, version: Option<String>) {
        self.lock().version = version;
    }

    pub(super) fn set_routes(&self, routes: bool) {
        self.lock().routes = routes;
    }

    pub(super) fn set_depths(&self, depths: Option<QueueDepths>) {
        self.lock().depths = depths;
    }

    pub(super) fn set_silent(&self, why: Option<String>) {
        self.lock().silent = why;
    }

    fn lock(&self) -> MutexGuard<'_, KnownFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
