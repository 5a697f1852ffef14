//! The seam between a source of events (RabbitMQ, a file) and the lanes: deliveries and their receipts.
//!
//! A delivery is a debt paid once. The source reserves the place for the answer before it hands a
//! delivery over, so paying is neither async nor fallible. A receipt dropped unpaid is a bug: it is counted, and
//! the event goes back to its source, so that nobody waits for it for ever.

mod held_bytes;

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

/// The name of an account as configured: the routing key, the metric label, the lane.
pub type AccountName = std::sync::Arc<str>;

/// Stands for an account's name, as a label and in routing keys, where an event's account is not known.
pub const UNROUTED: &str = "_unrouted";

/// One event handed to a lane.
#[derive(Debug)]
pub struct Delivery {
    /// The body as it was queued.
    pub body: Bytes,
    /// When it was queued, as well as the source can tell.
    pub queued_at: Timestamp,
    /// The source may have put it there more than once, with others in between: an older copy may come after a newer
    /// event.
    pub copied: bool,
    /// It was handed out before and came back unsettled: whoever had it may still have calls under way for it.
    pub redelivered: bool,
    /// Pays for the delivery.
    pub receipt: Receipt,
}

/// Where one account's deliveries go.
#[derive(Debug, Clone)]
pub struct LaneInlet {
    /// The account.
    pub account: AccountName,
    /// Takes one session after another.
    pub sessions: mpsc::Sender<Session>,
    /// Its counters.
    pub metrics: AccountMetrics,
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
    /// Nothing may be begun while it does not hold.
    pub lease: Lease,
}

/// The source's word that what it handed over is still nobody else's. A process that was stopped for a while, or a
/// network that fell silent, learns late that the session is lost; what was handed over may be with another one by then.
#[derive(Debug, Clone)]
pub struct Lease(Option<(watch::Receiver<Instant>, Duration)>);

impl Lease {
    /// A source that gives to nobody else.
    pub const ENDLESS: Self = Self(None);

    /// Holds for `term` from the time at which the source last showed that it is there.
    pub fn new(shown: watch::Receiver<Instant>, term: Duration) -> Self {
        Self(Some((shown, term)))
    }

    /// Whether the source gives to nobody else.
    pub fn is_endless(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it holds.
    pub fn holds(&self, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|(shown, term)| now.saturating_duration_since(*shown.borrow()) < *term)
    }

    /// Returns when the source shows again that it is there; never if it is gone.
    pub async fn renewed(&mut self) {
        if let Some((shown, _)) = &mut self.0
            && shown.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
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
                "delivery dropped without being settled (bug); it is delivered again"
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
