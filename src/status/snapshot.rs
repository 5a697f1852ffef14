//! The daemon's state at one moment, as `/api/status` and the status page show it.

use jiff::Timestamp;
use serde::Serialize;

use crate::broker::HealthView;
use crate::lane::{LaneView, Stuck};
use crate::metrics::Totals;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) replica: String,
    pub(super) started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker: Option<HealthView>,
    pub(super) accounts: Vec<AccountRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct AccountRow {
    #[serde(flatten)]
    pub(super) lane: LaneView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck: Option<Stuck>,
    #[serde(flatten)]
    pub(super) totals: Totals,
}
