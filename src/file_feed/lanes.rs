//! The lanes that a feed hands events to, and the events that they have not settled yet.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::FeedError;
use super::event::FileEvent;
use crate::delivery::{
    AccountName, Delivery, HeldBytes, LaneInlet, Lease, Receipt, Session, Settlement, beside,
};
use crate::outcome::Outcome;

/// One session in every lane.
pub(super) struct Lanes {
    /// Empty once nothing more is handed over.
    deliveries: HashMap<AccountName, mpsc::Sender<Delivery>>,
    settle: mpsc::Sender<Settlement>,
    unsettled: HashMap<u64, UnsettledEvent>,
    held: HeldBytes,
    /// Every channel has room for so many, and no more are unsettled: nothing here ever waits for room.
    capacity: usize,
    receipts_dropped: prometheus::IntCounter,
}

pub(super) struct UnsettledEvent {
    pub(super) account: AccountName,
    pub(super) event: FileEvent,
}

impl Lanes {
    /// Opens the sessions. Their settlements come out of the receiver.
    pub(super) async fn open(
        inlets: Vec<LaneInlet>,
        prefetch: u16,
        held: HeldBytes,
        receipts_dropped: prometheus::IntCounter,
    ) -> Result<(Self, mpsc::Receiver<Settlement>), FeedError> {
        let capacity = usize::from(prefetch) * inlets.len().max(1);
        let (settle, settlements) = mpsc::channel(capacity);
        let mut lanes = HashMap::new();
        // Each inlet is dropped here, so that its lane ends with this session.
        for inlet in inlets {
            let (deliver, deliveries) = mpsc::channel(capacity);
            let session = Session { deliveries, lost: CancellationToken::new(), lease: Lease::ENDLESS };
            inlet.sessions.send(session).await.map_err(|_| FeedError::LaneGone)?;
            lanes.insert(inlet.account, deliver);
        }
        let unsettled = HashMap::new();
        Ok((Self { deliveries: lanes, settle, unsettled, held, capacity, receipts_dropped }, settlements))
    }

    /// Nothing more is handed over; the lanes end when they have settled the rest.
    pub(super) fn close(&mut self) {
        self.deliveries.clear();
    }

    pub(super) fn are_open(&self) -> bool {
        !self.deliveries.is_empty()
    }

    pub(super) fn have_settled_all(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Whether one more event may be handed over; always, if they have none.
    pub(super) fn have_room(&self) -> bool {
        self.unsettled.is_empty() || (self.unsettled.len() < self.capacity && !self.held.full())
    }

    /// Hands an event over. `sent` is its body as it stands in the file, `unpacked` as the lane gets it.
    pub(super) fn deliver(
        &mut self,
        account: AccountName,
        mut event: FileEvent,
        sent: &Bytes,
        unpacked: Bytes,
    ) -> Result<(), FeedError> {
        let place_for_answer = self.settle.clone().try_reserve_owned();
        let (Some(lane), Ok(place_for_answer)) = (self.deliveries.get(&account), place_for_answer) else {
            return Err(FeedError::LaneGone);
        };
        event.bytes += beside(sent, &unpacked) as u64;
        self.held.add(event.bytes);
        let (tag, trace_id) = (event.tag(), event.line.trace_id());
        self.unsettled.insert(tag, UnsettledEvent { account, event });
        let receipt = Receipt::new(tag, place_for_answer, self.receipts_dropped.clone());
        let queued_at = Timestamp::now();
        let delivery = Delivery {
            body: unpacked,
            queued_at,
            copied: false,
            batch: None,
            replayed: false,
            redelivered: false,
            trace_id,
            receipt,
        };
        if let Err(refused) = lane.try_send(delivery) {
            refused.into_inner().receipt.settle(Outcome::Returned, 0);
        }
        Ok(())
    }

    /// The event that was settled.
    pub(super) fn take(&mut self, tag: u64) -> Option<UnsettledEvent> {
        let unsettled = self.unsettled.remove(&tag)?;
        self.held.remove(unsettled.event.bytes);
        Some(unsettled)
    }
}
