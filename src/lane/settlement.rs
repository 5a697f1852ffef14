//! Counts and tells what became of each event, and pays its receipt. The one place that settles.

use jiff::Timestamp;

use crate::delivery::{AccountName, Receipt};
use crate::metrics::AccountMetrics;
use crate::outcome::{Outcome, Refusal, SkipReason};

/// How many traits a line names.
const NAMED: usize = 20;

/// One event's account book: what must be known when it ends.
pub(super) struct OpenDelivery {
    pub(super) kind: &'static str,
    pub(super) message_id: Option<String>,
    pub(super) queued_at: Timestamp,
    pub(super) receipt: Receipt,
}

/// Where debts are opened and paid.
pub(super) struct Settler {
    account: AccountName,
    metrics: AccountMetrics,
    settled: u64,
}

impl Settler {
    pub(super) fn new(account: AccountName, metrics: AccountMetrics) -> Self {
        Self { account, metrics, settled: 0 }
    }

    /// Events settled so far, however they ended.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// An event was taken.
    pub(super) fn open(&self, kind: &'static str) {
        self.metrics.received.of(kind).inc();
        self.metrics.in_flight.inc();
    }

    /// It ended.
    pub(super) fn settle(&mut self, debt: OpenDelivery, outcome: Outcome, attempts: u32) {
        self.settled += 1;
        self.metrics.in_flight.dec();
        match &outcome {
            Outcome::Delivered => self.metrics.delivered.of(debt.kind).inc(),
            Outcome::Skipped(reason) => {
                self.metrics.skipped.of(reason.as_str()).inc();
                tracing::debug!(
                    account = &*self.account,
                    event.message_id = debt.message_id,
                    event.type = debt.kind,
                    reason = reason.as_str(),
                    "event skipped"
                );
            }
            Outcome::DeadLetter(refusal) => {
                self.metrics.dead_lettered.of(refusal.reason.as_str()).inc();
                self.tell(&debt, refusal);
            }
            Outcome::Returned => self.metrics.returned.inc(),
        }
        if outcome != Outcome::Returned {
            let waited = std::time::Duration::try_from(Timestamp::now().duration_since(debt.queued_at));
            self.metrics.delivery_seconds.observe(waited.unwrap_or_default().as_secs_f64());
        }
        debt.receipt.settle(outcome, attempts);
    }

    /// Names fields and traits, never values: Freshsales' own words may quote some, so they stay in the letter.
    fn tell(&self, debt: &OpenDelivery, refusal: &Refusal) {
        let named: Vec<&str> = refusal
            .problems
            .iter()
            .filter_map(|problem| problem.trait_path.as_deref().or(problem.field.as_deref()))
            .take(NAMED)
            .collect();
        tracing::warn!(
            account = &*self.account,
            event.message_id = debt.message_id,
            event.type = debt.kind,
            reason = refusal.reason.as_str(),
            http.status = refusal.http_status,
            traits = (!named.is_empty()).then(|| named.join(",")),
            "event dead-lettered"
        );
    }
}

/// The outcome of a duplicate that waited for the end of the delivery it repeats. A dead letter becomes one, too: its
/// delivery may stand for the same message of the queue, and is acknowledged only when a letter is confirmed.
pub(super) fn of_duplicate(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Delivered | Outcome::Skipped(_) => Outcome::Skipped(SkipReason::Duplicate),
        Outcome::DeadLetter(refusal) => Outcome::DeadLetter(refusal.clone()),
        Outcome::Returned => Outcome::Returned,
    }
}
