//! What every part of a session is given: names, settings, and the ways to the lanes. Holds no state of a session.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::facts::BrokerFacts;
use super::health::BrokerHealth;
use super::names::Names;
use crate::delivery::{HeldBytes, LaneInlet};
use crate::metrics::Metrics;
use crate::routing::AccountIndex;
use crate::segment::Opener;

/// The lanes that there are, and whose events belong to which. Another one takes its place when the configuration is read
/// again.
#[derive(Debug, Clone, Default)]
pub struct LaneSet {
    /// Finds an event's account.
    pub index: Arc<AccountIndex>,
    /// By number. A lane keeps its number, and no other lane ever gets it.
    pub inlets: BTreeMap<usize, LaneInlet>,
}

/// What the parts of a session share, from one connection to the next.
#[derive(Debug)]
pub struct Context {
    /// The names of queues and exchanges.
    pub names: Names,
    /// This replica's name.
    pub replica: String,
    /// The most unsettled events of an account.
    pub prefetch: u16,
    /// Bounds the bytes of all events that are held.
    pub held_bytes: Arc<HeldBytes>,
    /// The lanes that are to be consumed.
    pub lanes: watch::Receiver<Arc<LaneSet>>,
    /// Whose events are routed: an account's only once its lane is declared.
    pub routed: RoutedAccounts,
    /// Opens message bodies: batches, wrappings, compression.
    pub opener: Opener,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Every part reports to it.
    pub health: Arc<BrokerHealth>,
    /// What is known beside that.
    pub facts: Arc<BrokerFacts>,
}

impl Context {
    pub(super) fn lanes(&self) -> Arc<LaneSet> {
        self.lanes.borrow().clone()
    }

    /// A lane's inlet; none if the lane was removed.
    pub(super) fn inlet(&self, number: usize) -> Option<LaneInlet> {
        self.lanes.borrow().inlets.get(&number).cloned()
    }
}

/// The index that the router asks. It is replaced as a whole.
#[derive(Debug, Default)]
pub struct RoutedAccounts(RwLock<Arc<AccountIndex>>);

impl RoutedAccounts {
    pub(super) fn get(&self) -> Arc<AccountIndex> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, index: Arc<AccountIndex>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = index;
    }
}
