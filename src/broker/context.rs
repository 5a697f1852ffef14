//! What every part of a session is given.

use std::sync::Arc;

use super::health::BrokerHealth;
use super::names::Names;
use crate::delivery::{HeldBytes, LaneInlet};
use crate::metrics::Metrics;
use crate::routing::AccountIndex;
use crate::segment::Opener;

/// The daemon's side of RabbitMQ.
#[derive(Debug)]
pub struct Context {
    /// What its objects are called.
    pub names: Names,
    /// This replica's name.
    pub replica: String,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// How many bytes of events it holds.
    pub held_bytes: Arc<HeldBytes>,
    /// Finds an event's account.
    pub index: AccountIndex,
    /// Reads bodies.
    pub opener: Opener,
    /// One per account.
    pub inlets: Vec<LaneInlet>,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Told of every change.
    pub health: Arc<BrokerHealth>,
}
