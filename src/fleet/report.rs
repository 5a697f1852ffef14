//! What a replica tells of an account whose events it has. Read by the pages of all replicas, some of which run another
//! version: what is missing has a default, and keys that are not known here are ignored.
//!
//! Holds no personal data: names of traits and fields, words and numbers, never a value of an event.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::details::LaneDetails;
use crate::lane::LaneState;

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
    /// The most calls that can ever be made at once.
    #[serde(default)]
    pub at_once: u64,
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
