//! The daemon's state at one moment, as `/api/status` and the status page show it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::broker::HealthView;
use crate::fleet::ReplicaInFleet;
use crate::lane::{LaneView, RemovedAccount, Stuck};
use crate::metrics::Totals;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) replica: String,
    pub(super) started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker: Option<HealthView>,
    pub(super) replicas: Vec<ReplicaInFleet>,
    pub(super) accounts: Vec<AccountRow>,
    /// Accounts that were removed since the start.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) not_configured: Arc<[RemovedAccount]>,
}

#[derive(Debug, Serialize)]
pub(super) struct AccountRow {
    #[serde(flatten)]
    pub(super) lane: LaneView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck: Option<Stuck>,
    #[serde(flatten)]
    pub(super) totals: Totals,
    /// The replica that holds the lane.
    pub(super) replica: Option<String>,
    /// Events that wait in the lane.
    pub(super) waiting: Option<u64>,
}
