//! What one replica tells of itself, and of each account whose events it has. Read by the pages of all replicas, some of
//! which run another version: what is missing has a default, and keys that are not known here are ignored.
//!
//! Holds no personal data: names of traits and fields, words and numbers, never a value of an event.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lane::LaneState;

/// The most minutes of a history.
pub(super) const HISTORY: usize = 60;
/// The most failures of a lane that are kept.
pub(super) const FAILURES: usize = 20;

/// A replica, as it describes itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// `broker.replica`.
    pub name: String,
    /// Freshet's version.
    #[serde(default)]
    pub version: String,
    /// The commit that it was built from, or `unknown`.
    #[serde(default)]
    pub revision: String,
    /// When its process started. Tells two replicas of one name apart.
    pub since: Timestamp,
    /// Connected to RabbitMQ.
    #[serde(default)]
    pub connected: bool,
    /// RabbitMQ's version, once known.
    #[serde(default)]
    pub broker_version: Option<String>,
    /// Bytes of memory that the process has in use.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The configuration that it runs with.
    #[serde(default)]
    pub config: ConfigMark,
    /// Lanes that it works.
    #[serde(default)]
    pub lanes: u64,
    /// It moves events from the intake to the lanes, and counts what waits in queues.
    #[serde(default)]
    pub routes: bool,
    /// Another connection goes by its name.
    #[serde(default)]
    pub name_taken: bool,
}

/// Which configuration a replica runs with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMark {
    /// Twelve hexadecimal digits; the same for the same text of the file. Empty if not known.
    #[serde(default)]
    pub hash: String,
    /// When it was loaded.
    #[serde(default)]
    pub loaded_at: Option<Timestamp>,
}

/// One account's lane, as a replica that has or had its events tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The account.
    pub account: String,
    /// The lane's state on this replica.
    pub state: LaneState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not flowing, in words; empty if it is.
    #[serde(default)]
    pub why: String,
    /// It settles nothing, and nothing is known to stand in the way.
    #[serde(default)]
    pub stuck: Option<StuckReport>,
    /// When this replica last took an event of the account.
    #[serde(default)]
    pub last_received: Option<Timestamp>,
    /// When an event was last delivered.
    #[serde(default)]
    pub last_delivered: Option<Timestamp>,
    /// Events taken and not settled.
    #[serde(default)]
    pub in_flight: u64,
    /// When the oldest event on hand was queued.
    #[serde(default)]
    pub oldest: Option<Timestamp>,
    /// The last 60 minutes.
    #[serde(default)]
    pub hour: HourCounts,
    /// The 60 minutes before.
    #[serde(default)]
    pub hour_before: HourCounts,
    /// Since the process started.
    #[serde(default)]
    pub total: HourCounts,
    /// Of the last 60 minutes: 95 of 100 events were settled within so many seconds of being queued.
    #[serde(default)]
    pub p95_seconds: Option<f64>,
    /// Calls to the API.
    #[serde(default)]
    pub quota: Option<QuotaReport>,
    /// Calls to the tracking endpoints.
    #[serde(default)]
    pub tracking_quota: Option<QuotaReport>,
    /// What last went wrong with a call.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// The account's fields, once they are read.
    #[serde(default)]
    pub fields: Option<FieldsRead>,
    /// What is told less often than the rest, in large fleets.
    #[serde(default)]
    pub details: Option<LaneDetails>,
}

impl LaneReport {
    /// A copy of the rest.
    pub(super) fn without_details(&self) -> Self {
        Self {
            account: self.account.clone(),
            why: self.why.clone(),
            stuck: self.stuck.clone(),
            hour: self.hour.clone(),
            hour_before: self.hour_before.clone(),
            total: self.total.clone(),
            quota: self.quota.clone(),
            tracking_quota: self.tracking_quota.clone(),
            last_error: self.last_error.clone(),
            fields: self.fields.clone(),
            details: None,
            ..*self
        }
    }
}

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
}

/// A lane that is stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckReport {
    /// For so many seconds.
    pub seconds: u64,
    /// Events that it holds.
    pub events: u64,
    /// In words.
    pub why: String,
}

/// What a replica counted in queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuesTold {
    /// When the last count ended.
    pub at: Timestamp,
    /// Messages on the intake.
    #[serde(default)]
    pub intake: Option<u64>,
    /// Dead letters.
    #[serde(default)]
    pub dead_letters: Option<u64>,
    /// Messages in lanes, by account.
    #[serde(default)]
    pub lanes: BTreeMap<String, u64>,
}

/// What became of an account's events in a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourCounts {
    /// Taken from the queue, redeliveries included.
    #[serde(default)]
    pub received: u64,
    /// Delivered to Freshsales.
    #[serde(default)]
    pub delivered: u64,
    /// Skipped on purpose, by reason.
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// Dead-lettered, by reason.
    #[serde(default)]
    pub dead_lettered: BTreeMap<String, u64>,
}

impl HourCounts {
    /// Skipped, whatever the reason.
    pub fn skipped_in_all(&self) -> u64 {
        sum(&self.skipped)
    }

    /// Dead-lettered, whatever the reason.
    pub fn dead_lettered_in_all(&self) -> u64 {
        sum(&self.dead_lettered)
    }

    /// The reason with the most dead letters.
    pub fn top_dead_letter(&self) -> Option<(&str, u64)> {
        top(&self.dead_lettered)
    }

    /// The reason with the most skipped events.
    pub fn top_skip(&self) -> Option<(&str, u64)> {
        top(&self.skipped)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.received = self.received.saturating_add(other.received);
        self.delivered = self.delivered.saturating_add(other.delivered);
        for (ours, theirs) in
            [(&mut self.skipped, &other.skipped), (&mut self.dead_lettered, &other.dead_lettered)]
        {
            for (reason, events) in theirs {
                let sum = ours.entry(reason.clone()).or_default();
                *sum = sum.saturating_add(*events);
            }
        }
    }
}

fn sum(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().fold(0, |sum, events| sum.saturating_add(*events))
}

fn top(counts: &BTreeMap<String, u64>) -> Option<(&str, u64)> {
    let most = counts.iter().max_by_key(|(reason, events)| (**events, std::cmp::Reverse(*reason)))?;
    Some((most.0.as_str(), *most.1)).filter(|(_, events)| *events > 0)
}

/// A budget of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuotaReport {
    /// Calls that could be made at once.
    pub left: u64,
    /// Calls that this replica allows itself in a period.
    pub allowed: u64,
    /// The period in seconds: an hour for the API, a minute for tracking.
    pub period_seconds: u64,
    /// When the first call may go again, if none may go now.
    #[serde(default)]
    pub refills_at: Option<Timestamp>,
    /// Calls that become free each minute while work waits.
    pub per_minute: f64,
}

/// What last went wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When it was answered.
    pub at: Timestamp,
    /// In words, without values.
    pub words: String,
}

/// The account's fields as they were read last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldsRead {
    /// When.
    pub at: Timestamp,
    /// Fields of contacts.
    #[serde(default)]
    pub contact: u64,
    /// Fields of sales accounts.
    #[serde(default)]
    pub sales_account: u64,
    /// Fields of deals.
    #[serde(default)]
    pub deal: u64,
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
