//! The seam between a source of events (RabbitMQ, a file) and the lanes: deliveries and their receipts. Knows neither.
//!
//! Each delivery is settled exactly once. The source reserves the place for the settlement before it hands a delivery
//! over, so settling is neither async nor fallible. To drop a receipt without settling is a bug: it is counted, and the
//! event returns to its source, which would otherwise wait for it for ever.

mod held_bytes;
mod trace_id;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::AccountMetrics;
use crate::outcome::Outcome;
pub use held_bytes::HeldBytes;
pub(crate) use held_bytes::{Share, beside};
pub(crate) use trace_id::TRACEPARENT;
pub use trace_id::TraceId;

/// An account's name as configured; also its lane's routing key and its metrics' label.
pub type AccountName = std::sync::Arc<str>;

/// Stands for an account's name, as a label and in routing keys, where an event's account is not known.
pub const UNROUTED: &str = "_unrouted";

/// One event handed to a lane.
#[derive(Debug)]
pub struct Delivery {
    /// The body as it was queued.
    pub body: Bytes,
    /// When it was queued, as far as the source knows.
    pub queued_at: Timestamp,
    /// The source may have queued it more than once, so that an older copy may come after a newer event.
    pub copied: bool,
    /// Which batch it was taken out of. A batch that comes again gets another number.
    pub batch: Option<i64>,
    /// It was a dead letter and was sent back, so something was mended.
    pub replayed: bool,
    /// It was handed out before and came back unsettled: another replica may still have calls under way for it.
    pub redelivered: bool,
    /// The trace that its sender put it into.
    pub trace_id: Option<TraceId>,
    /// Settles the delivery.
    pub receipt: Receipt,
}

/// Where one account's deliveries go.
#[derive(Debug, Clone)]
pub struct LaneInlet {
    /// Whose lane it is.
    pub account: AccountName,
    /// One for each connection of the source.
    pub sessions: mpsc::Sender<Session>,
    /// Of the account.
    pub metrics: AccountMetrics,
    /// Nothing more is taken for the lane: all stop, or this one was removed.
    pub stop: CancellationToken,
}

/// The deliveries of one connection to the source, in order.
///
/// When `deliveries` ends, all that it brought are still settled. When `lost` is cancelled, settlements reach the source
/// no more: the lane drops what it has not sent, because it will be delivered again.
#[derive(Debug)]
pub struct Session {
    /// In order; at most as many as the prefetch are unsettled.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// The connection is gone.
    pub lost: CancellationToken,
    /// While it does not hold, no call may be begun.
    pub lease: Lease,
}

/// How long the source surely gives the deliveries to nobody else. A process that was stopped for a while, or whose network
/// went silent, learns late that its session is lost; by then another replica may have the deliveries.
#[derive(Debug, Clone)]
pub struct Lease(Option<(watch::Receiver<Instant>, Duration)>);

impl Lease {
    /// Of a source that has no other consumers.
    pub const ENDLESS: Self = Self(None);

    /// Holds for `term` after each time at which the source was last known to be there.
    pub fn new(shown: watch::Receiver<Instant>, term: Duration) -> Self {
        Self(Some((shown, term)))
    }

    /// Whether it needs no watching.
    pub fn is_endless(&self) -> bool {
        self.0.is_none()
    }

    /// Whether calls may be begun.
    pub fn holds(&self, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|(shown, term)| now.saturating_duration_since(*shown.borrow()) < *term)
    }

    /// Returns when the source is known to be there again; never if it is gone.
    pub async fn renewed(&mut self) {
        if let Some((shown, _)) = &mut self.0
            && shown.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// What the source is told about one delivery.
#[derive(Debug)]
pub struct Settlement {
    /// The source's number of the delivery.
    pub tag: u64,
    /// Tells the source whether to acknowledge, dead-letter or return the event.
    pub outcome: Outcome,
    /// Calls to Freshsales that were made for it.
    pub attempts: u32,
}

/// Settles one delivery. The source reserved the place for the settlement.
#[derive(Debug)]
pub struct Receipt {
    tag: u64,
    place: Option<mpsc::OwnedPermit<Settlement>>,
    dropped: IntCounter,
}

impl Receipt {
    /// `dropped` counts receipts that are dropped unsettled.
    pub fn new(tag: u64, place: mpsc::OwnedPermit<Settlement>, dropped: IntCounter) -> Self {
        Self { tag, place: Some(place), dropped }
    }

    /// The source acknowledges, dead-letters or returns the event accordingly.
    pub fn settle(mut self, outcome: Outcome, attempts: u32) {
        if let Some(place) = self.place.take() {
            place.send(Settlement { tag: self.tag, outcome, attempts });
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.dropped.inc();
            tracing::error!(
                delivery.tag = self.tag,
                "a delivery was dropped without being settled; it goes back to its source; this is a bug"
            );
            place.send(Settlement { tag: self.tag, outcome: Outcome::Returned, attempts: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_holds_for_its_term_and_is_renewed() {
        let (show, shown) = watch::channel(Instant::now());
        let mut lease = Lease::new(shown, Duration::from_secs(3));
        assert!(lease.holds(Instant::now()));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(!lease.holds(Instant::now()));
        show.send_replace(Instant::now());
        lease.renewed().await;
        assert!(lease.holds(Instant::now()));
        assert!(Lease::ENDLESS.holds(Instant::now() + Duration::from_hours(1)));
    }
}
