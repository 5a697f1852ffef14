//! What every part of a session is given: names, settings, and the ways to the lanes. Holds no state of a session.

use std::sync::Arc;

use super::health::BrokerHealth;
use super::names::Names;
use crate::delivery::{HeldBytes, LaneInlet};
use crate::metrics::Metrics;
use crate::routing::AccountIndex;
use crate::segment::Opener;

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
    /// Finds an event's account.
    pub index: AccountIndex,
    /// Opens message bodies: batches, wrappings, compression.
    pub opener: Opener,
    /// One per account.
    pub inlets: Vec<LaneInlet>,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Every part reports to it.
    pub health: Arc<BrokerHealth>,
}
