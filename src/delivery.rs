//! The seam between a source of events (RabbitMQ, a file) and the lanes: deliveries and their receipts.
//!
//! A delivery is a debt paid once. The source reserves the place for the answer before it hands a
//! delivery over, so paying is neither async nor fallible. A receipt dropped unpaid is a bug: it is counted, and
//! the event goes back to its source, so that nobody waits for it for ever.

use bytes::Bytes;
use jiff::Timestamp;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::outcome::Outcome;

/// The name of an account as configured: the routing key, the metric label, the lane.
pub type AccountName = std::sync::Arc<str>;

/// One event handed to a lane.
#[derive(Debug)]
pub struct Delivery {
    /// The body as it was queued.
    pub body: Bytes,
    /// When it was queued, as well as the source can tell.
    pub queued_at: Timestamp,
    /// It was handed out before and came back unsettled: whoever had it may still have calls under way for it.
    pub redelivered: bool,
    /// Pays for the delivery.
    pub receipt: Receipt,
}

/// The deliveries of one connection to the source, in order.
///
/// When they end by themselves, everything taken is still delivered. When `lost` is cancelled, the source
/// cannot be answered any more: what was not sent is dropped, because it will be delivered again.
#[derive(Debug)]
pub struct Session {
    /// In order; at most the prefetch unsettled.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// The source is gone.
    pub lost: CancellationToken,
}

/// What the source learns of one delivery.
#[derive(Debug)]
pub struct Settlement {
    /// The source's name for the delivery.
    pub tag: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// How many calls to Freshsales were made for it.
    pub attempts: u32,
}

/// A place to answer one delivery.
#[derive(Debug)]
pub struct Receipt {
    tag: u64,
    place: Option<mpsc::OwnedPermit<Settlement>>,
    dropped: IntCounter,
}

impl Receipt {
    /// A receipt for the delivery `tag`, answered into `place`; `dropped` counts it if nobody pays.
    pub fn new(tag: u64, place: mpsc::OwnedPermit<Settlement>, dropped: IntCounter) -> Self {
        Self { tag, place: Some(place), dropped }
    }

    /// Pays. The source acknowledges, dead-letters or leaves the event accordingly.
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
                "a delivery was let go without an outcome; it goes back to its source; this is a bug"
            );
            place.send(Settlement { tag: self.tag, outcome: Outcome::Returned, attempts: 0 });
        }
    }
}
