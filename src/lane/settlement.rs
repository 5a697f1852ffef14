//! Settles events: counts and logs the outcome and answers the source's receipt. Nothing else in a lane settles an event
//! that was counted as received. Duplicates of an event that is being worked on are settled with it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::dedup::{Dedup, MessageState};
use super::status::lane_status::LaneStatus;
use crate::delivery::{AccountName, Receipt, TraceId};
use crate::metrics::AccountMetrics;
use crate::outcome::{Outcome, Refusal, SkipReason};

const LOGGED_TRAITS: usize = 20;

/// An event that was received and is not settled.
pub(super) struct OpenDelivery {
    /// The event's type, as metrics name it.
    pub(super) event_type: &'static str,
    pub(super) message_id: Option<String>,
    pub(super) queued_at: Timestamp,
    /// Boxed, because most events have none and a lane holds hundreds.
    pub(super) trace_id: Option<Box<TraceId>>,
    pub(super) receipt: Receipt,
}

pub(super) struct Settler {
    account: AccountName,
    metrics: AccountMetrics,
    status: Arc<LaneStatus>,
    dedup: Dedup<OpenDelivery>,
    settled: u64,
    /// The batch of the identify that was taken last.
    batch: Option<i64>,
    /// The seconds in which the events that are open were queued, and how many in each.
    queued: BTreeMap<i64, u32>,
}

impl Settler {
    pub(super) fn new(status: Arc<LaneStatus>, metrics: AccountMetrics) -> Self {
        let account = status.account().clone();
        let (dedup, queued) = (Dedup::new(), BTreeMap::new());
        Self { account, metrics, status, dedup, settled: 0, batch: None, queued }
    }

    /// Events settled so far, however they ended.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Duplicates that wait for the end of another delivery.
    pub(super) fn waiting_duplicates(&self) -> usize {
        self.dedup.waiting()
    }

    /// When the oldest event that is open was queued.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let (second, _) = self.queued.first_key_value()?;
        Timestamp::from_second(*second).ok()
    }

    /// Counts an event as received.
    pub(super) fn open(&mut self, event_type: &'static str, queued_at: Timestamp) {
        *self.queued.entry(queued_at.as_second()).or_default() += 1;
        self.metrics.events.received.of(event_type).inc();
        self.metrics.events.in_flight.inc();
    }

    /// Settles a duplicate of a delivered message, and lets a duplicate of one being worked on wait for that one's end.
    /// Gives back any other delivery. RabbitMQ may hand out the same queue entry twice, so acknowledging the second
    /// before the first is settled could remove the only copy.
    pub(super) fn settle_if_duplicate(&mut self, delivery: OpenDelivery) -> Option<OpenDelivery> {
        let Some(id) = delivery.message_id.clone() else { return Some(delivery) };
        match self.dedup.state_of(&id) {
            MessageState::Unknown => Some(delivery),
            MessageState::UnderWay => self.dedup.join(&id, delivery).err(),
            MessageState::Delivered => {
                self.settle(delivery, Outcome::Skipped(SkipReason::Duplicate), 0);
                None
            }
        }
    }

    /// The event is worked on from now on: later deliveries with its `messageId` are duplicates.
    pub(super) fn begin(&mut self, delivery: &OpenDelivery) {
        if let Some(id) = &delivery.message_id {
            self.dedup.begin(id);
        }
    }

    /// An identify of this batch was taken, and is no duplicate.
    pub(super) fn note_batch(&mut self, batch: Option<i64>) {
        self.batch = batch;
    }

    /// Whether an identify of this batch was the last that was taken.
    pub(super) fn is_writing(&self, batch: Option<i64>) -> bool {
        batch.is_some() && batch == self.batch
    }

    /// Settles an event that was worked on, and the duplicates that waited for it.
    pub(super) fn finish(&mut self, delivery: OpenDelivery, outcome: Outcome, attempts: u32) {
        let id = delivery.message_id.as_ref();
        let joined = id.map(|id| self.dedup.end(id, outcome == Outcome::Delivered)).unwrap_or_default();
        let duplicates: Vec<(OpenDelivery, Outcome)> =
            joined.into_iter().map(|duplicate| (duplicate, of_duplicate(&outcome))).collect();
        self.settle(delivery, outcome, attempts);
        for (duplicate, outcome) in duplicates {
            self.settle(duplicate, outcome, attempts);
        }
    }

    pub(super) fn settle(&mut self, delivery: OpenDelivery, outcome: Outcome, attempts: u32) {
        self.settled += 1;
        self.metrics.events.in_flight.dec();
        self.no_longer_open(delivery.queued_at);
        let now = Timestamp::now();
        match &outcome {
            Outcome::Delivered => {
                self.metrics.events.delivered.of(delivery.event_type).inc();
                self.metrics.lane.last_delivery.set(now.as_duration().as_secs_f64());
                self.status.note(|facts| facts.deliveries.last_delivered = Some(now));
            }
            Outcome::Skipped(reason) => {
                self.metrics.events.skipped.of(reason.as_str()).inc();
                tracing::debug!(
                    account = &*self.account,
                    event.message_id = delivery.message_id,
                    event.type = delivery.event_type,
                    reason = reason.as_str(),
                    trace_id = delivery.trace_id.as_deref().map(tracing::field::display),
                    "event skipped"
                );
            }
            Outcome::DeadLetter(refusal) => {
                self.metrics.events.dead_lettered.of(refusal.reason.as_str()).inc();
                self.status.note(|facts| facts.failed(now, delivery.event_type, refusal));
                self.log_dead_letter(&delivery, refusal);
            }
            Outcome::Returned => self.metrics.events.returned.inc(),
        }
        if outcome != Outcome::Returned {
            let waited = Duration::try_from(now.duration_since(delivery.queued_at));
            self.metrics.events.delivery_seconds.observe(waited.unwrap_or_default().as_secs_f64());
        }
        delivery.receipt.settle(outcome, attempts);
    }

    fn no_longer_open(&mut self, queued_at: Timestamp) {
        if let Entry::Occupied(mut open) = self.queued.entry(queued_at.as_second()) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    /// Names fields and traits, never values. Freshsales' own words may quote values, so only the dead letter has them.
    fn log_dead_letter(&self, delivery: &OpenDelivery, refusal: &Refusal) {
        let traits: Vec<&str> = refusal
            .problems
            .iter()
            .filter_map(|problem| problem.trait_path.as_deref().or(problem.field.as_deref()))
            .take(LOGGED_TRAITS)
            .collect();
        tracing::warn!(
            account = &*self.account,
            event.message_id = delivery.message_id,
            event.type = delivery.event_type,
            reason = refusal.reason.as_str(),
            http.status = refusal.http_status,
            traits = (!traits.is_empty()).then(|| traits.join(",")),
            trace_id = delivery.trace_id.as_deref().map(tracing::field::display),
            "event dead-lettered"
        );
    }
}

/// The outcome of a duplicate that waited. That of a dead letter is a dead letter, too: it may be the same message of the
/// queue, which may only be acknowledged when its dead letter is confirmed.
fn of_duplicate(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Delivered | Outcome::Skipped(_) => Outcome::Skipped(SkipReason::Duplicate),
        Outcome::DeadLetter(refusal) => Outcome::DeadLetter(refusal.clone()),
        Outcome::Returned => Outcome::Returned,
    }
}
