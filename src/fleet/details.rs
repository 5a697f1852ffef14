//! What takes more room than the rest of a lane's report: the last hour by the minute, calls, failures. Holds names of
//! traits and fields, words and numbers, never a value of an event.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most minutes of a history.
pub(super) const HISTORY: usize = 60;
/// The most failures of a lane that are kept.
pub(super) const FAILURES: usize = 20;
/// The same of changed fields.
pub(super) const FIELD_CHANGES: usize = 20;

/// What takes more room than the rest of a lane's report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneDetails {
    /// Minutes in which there was something to tell, oldest first; at most 60.
    #[serde(default)]
    pub history: Vec<MinuteSample>,
    /// Calls since the process started.
    #[serde(default)]
    pub calls: Vec<CallCount>,
    /// The last events that became dead letters, newest first; at most 20.
    #[serde(default)]
    pub failures: Vec<FailedEvent>,
    /// What the last readings of the account's fields found changed, newest first; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field_changes: Vec<ChangedField>,
    /// Bulk features, and whether each works; without those that no answer has shown yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bulk_features: BTreeMap<String, bool>,
}

/// What changed about a field of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedField {
    /// When the fields were read.
    pub at: Timestamp,
    /// `contact`, `sales_account` or `deal`.
    pub entity: String,
    /// Its internal name.
    pub field: String,
    /// `added`, `gone`, `type` or `required`.
    pub change: String,
    /// Its type, or whether it was required.
    #[serde(default)]
    pub before: Option<String>,
    /// The same now.
    #[serde(default)]
    pub now: Option<String>,
}

/// One minute of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MinuteSample {
    /// Minutes since 1970.
    #[serde(rename = "m")]
    pub minute: i64,
    /// Events that waited in the lane's queue at its end, if some replica counted them.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Delivered within it.
    #[serde(rename = "d", default, skip_serializing_if = "is_zero")]
    pub delivered: u64,
    /// Skipped within it.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Dead-lettered within it.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub dead_lettered: u64,
    /// Calls to the API that could be made at once at its end.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub quota_left: Option<u64>,
    /// 95 of 100 of its events were settled within so many seconds.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub p95_seconds: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// As in `freshet_api_requests_total`.
    pub endpoint: String,
    /// As in `freshet_api_requests_total`.
    pub outcome: String,
    /// Since the process started.
    pub calls: u64,
}

/// An event that became a dead letter, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedEvent {
    /// When.
    pub at: Timestamp,
    /// The event's type.
    #[serde(default)]
    pub event_type: String,
    /// As in `freshet-reason`.
    pub reason: String,
    /// The first trait that is wrong, or the envelope's key.
    #[serde(default, rename = "trait")]
    pub trait_path: Option<String>,
    /// The field that it was for.
    #[serde(default)]
    pub field: Option<String>,
    /// What is wrong with it.
    #[serde(default)]
    pub problem: String,
    /// What would be right.
    #[serde(default)]
    pub expected: Option<String>,
    /// What it was: a type or a length.
    #[serde(default)]
    pub got: Option<String>,
    /// Freshsales' answer, if it refused the record.
    #[serde(default)]
    pub http_status: Option<u16>,
}
