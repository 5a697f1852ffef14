//! Merges what replicas tell into one view of the fleet. The order in which they told does not matter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::details::{
    CallCount, ChangedField, FAILURES, FIELD_CHANGES, FailedEvent, HISTORY, LaneDetails, MinuteSample,
};
use super::replica_report::ReplicaReport;
use super::report::LaneReport;
use crate::lane::LaneState;

/// All that is known of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// When this was put together.
    pub at: Timestamp,
    /// Whether replicas tell each other of their lanes.
    pub view: FleetView,
    /// By name; this replica is one of them.
    pub replicas: Vec<ReplicaInFleet>,
    /// By name: the accounts of this replica's configuration, and those that others tell of.
    pub accounts: Vec<AccountInFleet>,
    /// What waits in queues that belong to no lane.
    pub queues: QueueCounts,
}

/// Whether replicas tell each other of their lanes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetView {
    /// Events come from a file: there are no others.
    Alone,
    /// They do.
    Shared,
    /// Not now: only this replica's lanes are known. In words, without secrets.
    OwnOnly(String),
}

/// A replica as this one knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplicaInFleet {
    /// What it last told.
    #[serde(flatten)]
    pub report: ReplicaReport,
    /// When that was.
    pub told_at: Timestamp,
    /// It is this replica.
    pub own: bool,
    /// It has been silent for too long: stopped, killed, or cut off from RabbitMQ.
    pub gone: bool,
}

/// An account as the fleet knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountInFleet {
    /// Its name.
    pub account: String,
    /// The replica that holds its lane, if its events went to one that is not gone.
    pub replica: Option<String>,
    /// This replica's configuration has it.
    pub configured: bool,
    /// Since when its state is what it is.
    pub since: Option<Timestamp>,
    /// Events that wait in its lane, if some replica counted them.
    pub waiting: Option<u64>,
    /// The state and all else as the replica that holds the lane tells it, with counts summed over all replicas. `None` if
    /// no replica had an event of the account since it started.
    pub report: Option<LaneReport>,
}

impl AccountInFleet {
    /// The lane's state; standby where no replica has had an event.
    pub fn state(&self) -> LaneState {
        self.report.as_ref().map_or(LaneState::Standby, |report| report.state)
    }
}

/// Messages in queues, as the replica that routes counted them last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// The replica that counted.
    pub replica: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// On the intake.
    pub intake_waiting: Option<u64>,
    /// Dead letters.
    pub dead_letters_waiting: Option<u64>,
}

/// What one replica told of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) replica: &'a str,
    /// It has this replica's RabbitMQ user.
    pub(super) own_user: bool,
    /// The replica has been silent for too long.
    pub(super) gone: bool,
    pub(super) report: &'a LaneReport,
}

impl Told<'_> {
    /// The greatest one holds the lane: RabbitMQ hands the events to one replica at a time, and one that handed its lane
    /// over still shows its last state.
    fn rank(&self) -> (bool, bool, Option<Timestamp>, u64, &str) {
        let Self { replica, gone, report, .. } = self;
        (!gone, report.state != LaneState::Standby, report.last_received, report.in_flight, replica)
    }
}

/// One account's report out of what several replicas told, and the replica that holds its lane.
pub(super) fn merged(told: &[Told<'_>]) -> (Option<String>, Option<LaneReport>) {
    let Some(holder) = told.iter().max_by(|one, other| one.rank().cmp(&other.rank())) else {
        return (None, None);
    };
    let holds = !holder.gone && holder.report.state != LaneState::Standby;
    let mut merged = holder.report.clone();
    for other in told.iter().filter(|other| !std::ptr::eq(*other, holder)) {
        let Told { report, .. } = other;
        merged.hour.add(&report.hour);
        merged.hour_before.add(&report.hour_before);
        merged.total.add(&report.total);
        merged.last_received = merged.last_received.max(report.last_received);
        merged.last_delivered = merged.last_delivered.max(report.last_delivered);
        if !holds {
            merged.since = merged.since.max(report.since);
        }
    }
    merged.details = details(told);
    (holds.then(|| holder.replica.to_owned()), Some(merged))
}

/// The histories, calls and failures of all; `None` if nobody told any.
fn details(told: &[Told<'_>]) -> Option<LaneDetails> {
    let mut minutes: BTreeMap<i64, MinuteSample> = BTreeMap::new();
    let mut calls: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut failures: Vec<FailedEvent> = Vec::new();
    let mut field_changes: Vec<ChangedField> = Vec::new();
    let mut bulk_features: BTreeMap<String, bool> = BTreeMap::new();
    let mut told: Vec<&Told<'_>> = told.iter().collect();
    // What can be told once only is the holder's.
    told.sort_by(|one, other| other.rank().cmp(&one.rank()));
    let told: Vec<&LaneDetails> = told.iter().filter_map(|one| one.report.details.as_ref()).collect();
    for details in &told {
        for sample in &details.history {
            let merged = minutes
                .entry(sample.minute)
                .or_insert_with(|| MinuteSample { minute: sample.minute, ..MinuteSample::default() });
            merged.waiting = merged.waiting.or(sample.waiting);
            merged.delivered = merged.delivered.saturating_add(sample.delivered);
            merged.skipped = merged.skipped.saturating_add(sample.skipped);
            merged.dead_lettered = merged.dead_lettered.saturating_add(sample.dead_lettered);
            merged.quota_left = merged.quota_left.or(sample.quota_left);
            merged.p95_seconds = merged.p95_seconds.or(sample.p95_seconds);
        }
        for call in &details.calls {
            let sum = calls.entry((&call.endpoint, &call.outcome)).or_default();
            *sum = sum.saturating_add(call.calls);
        }
        failures.extend(details.failures.iter().cloned());
        field_changes.extend(details.field_changes.iter().cloned());
        for (feature, works) in &details.bulk_features {
            bulk_features.entry(feature.clone()).or_insert(*works);
        }
    }
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.at));
    failures.truncate(FAILURES);
    field_changes.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.field.cmp(&other.field)));
    field_changes.truncate(FIELD_CHANGES);
    let too_many = minutes.len().saturating_sub(HISTORY);
    let calls = calls.into_iter().map(|((endpoint, outcome), calls)| CallCount {
        endpoint: endpoint.to_owned(),
        outcome: outcome.to_owned(),
        calls,
    });
    (!told.is_empty()).then(|| LaneDetails {
        history: minutes.into_values().skip(too_many).collect(),
        calls: calls.collect(),
        failures,
        field_changes,
        bulk_features,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::samples::{at, lane};

    fn states() -> impl Strategy<Value = LaneState> {
        prop::sample::select(vec![LaneState::Standby, LaneState::Flowing, LaneState::Unauthorized])
    }

    prop_compose! {
        fn reports()(state in states(), received in prop::option::of(0..5_i64), delivered in 0..9_u64, minute in 1..200_i64)
            -> LaneReport {
            let mut report = lane("acme");
            report.state = state;
            report.last_received = received.map(at);
            report.total.delivered = delivered;
            for sample in &mut report.details.as_mut().unwrap().history {
                sample.minute += minute;
            }
            report
        }
    }

    fn of(reports: &[(bool, LaneReport)], order: &[usize]) -> (Option<String>, Option<LaneReport>) {
        let names: Vec<String> = (0..reports.len()).map(|number| format!("worker-{number}")).collect();
        let told: Vec<Told<'_>> = order
            .iter()
            .map(|number| {
                let (gone, report) = &reports[*number];
                Told { replica: &names[*number], own_user: true, gone: *gone, report }
            })
            .collect();
        merged(&told)
    }

    proptest! {
        #[test]
        fn the_order_of_what_is_told_does_not_matter_and_no_event_is_lost(
            reports in prop::collection::vec((any::<bool>(), reports()), 1..6),
            seed in any::<u64>(),
        ) {
            let order: Vec<usize> = (0..reports.len()).collect();
            let mut other = order.clone();
            other.sort_by_key(|number| (*number as u64 + 1).wrapping_mul(seed | 1));
            let (holder, report) = of(&reports, &order);
            prop_assert_eq!(&of(&reports, &other), &(holder.clone(), report.clone()));
            let report = report.unwrap();
            let delivered: u64 = reports.iter().map(|(_, report)| report.total.delivered).sum();
            prop_assert_eq!(report.total.delivered, delivered);
            let details = report.details.unwrap();
            prop_assert!(details.history.is_sorted_by(|one, next| one.minute < next.minute));
            prop_assert!(details.history.len() <= HISTORY && details.failures.len() <= FAILURES);
            let calls: u64 = details.calls.iter().map(|call| call.calls).sum();
            prop_assert_eq!(calls, 12 * reports.len() as u64);
            // Nobody holds the lane who is gone, stands by, or was handed events earlier than another.
            let able = |(gone, report): &&(bool, LaneReport)| !gone && report.state != LaneState::Standby;
            let latest = reports.iter().filter(able).map(|(_, report)| report.last_received).max();
            prop_assert_eq!(holder.is_some(), latest.is_some());
            if let (Some(holder), Some(latest)) = (holder, latest) {
                let number: usize = holder["worker-".len()..].parse().unwrap();
                prop_assert!(able(&&reports[number]));
                prop_assert_eq!(reports[number].1.last_received, latest);
                prop_assert_eq!(report.state, reports[number].1.state);
            }
        }
    }
}
