//! The deliveries of one channel that are not acknowledged yet, and how each is settled at the broker.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lapin::options::BasicRejectOptions;
use lapin::{BasicProperties, Channel};
use prometheus::IntGauge;

use crate::broker::amqp::packed::PackedProperties;
use crate::broker::consuming::ack_batch::AckBatch;
use crate::broker::error::BrokerError;
use crate::delivery::Share;
use crate::metrics::Series;

pub(super) struct UnsettledDelivery {
    body: Bytes,
    properties: PackedProperties,
    /// What it counts for in the account's share.
    bytes: u64,
}

impl UnsettledDelivery {
    pub(super) fn new(body: Bytes, properties: BasicProperties, bytes: u64) -> Self {
        Self { body, properties: PackedProperties::new(properties), bytes }
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn properties(&self) -> BasicProperties {
        self.properties.unpack()
    }
}

/// All of a channel's, by delivery tag.
pub(super) struct UnsettledDeliveries {
    channel: Channel,
    deliveries: BTreeMap<u64, Box<UnsettledDelivery>>,
    /// Settled; acknowledged by [`Self::send_acks`].
    acks: AckBatch,
    /// Left to be returned by the closing of the channel: no acknowledgement of several may cover them.
    returned_by_close: BTreeSet<u64>,
    share: Share,
    /// How many there are, for people.
    held: Series<IntGauge>,
}

impl UnsettledDeliveries {
    /// `share`: counts the bytes that are held.
    pub(super) fn new(channel: &Channel, share: Share, held: Series<IntGauge>) -> Self {
        let (deliveries, acks, returned_by_close) =
            (BTreeMap::new(), AckBatch::new(channel), BTreeSet::new());
        Self { channel: channel.clone(), deliveries, acks, returned_by_close, share, held }
    }

    pub(super) fn add(&mut self, tag: u64, delivery: UnsettledDelivery) {
        self.share.add(delivery.bytes);
        if self.deliveries.insert(tag, Box::new(delivery)).is_none() {
            self.held.inc();
        }
    }

    pub(super) fn get(&self, tag: u64) -> Option<&UnsettledDelivery> {
        self.deliveries.get(&tag).map(|delivery| &**delivery)
    }

    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether there is room for another one's bytes.
    pub(super) fn have_room(&self) -> bool {
        self.share.has_room()
    }

    /// Whether [`Self::until_room`] is worth waiting for.
    pub(super) fn wait_for_other_accounts(&self) -> bool {
        self.share.waits_for_others()
    }

    /// Returns when other accounts hold fewer bytes.
    pub(super) async fn until_room(&self) {
        self.share.room().await;
    }

    /// Settled for good; the acknowledgement goes out with the next [`Self::send_acks`].
    pub(super) fn acknowledge(&mut self, tag: u64) {
        if self.remove(tag) {
            self.acks.add(tag);
        }
    }

    /// The closing of the channel returns it, together with all others in their order.
    pub(super) fn return_by_close(&mut self, tag: u64) {
        self.remove(tag);
        self.returned_by_close.insert(tag);
    }

    /// Returns it to the queue at once. Not by nack: later versions of RabbitMQ do not count that as a return, and it
    /// would go on for ever.
    pub(super) async fn requeue(&mut self, tag: u64) -> Result<(), BrokerError> {
        if self.remove(tag) {
            self.channel.basic_reject(tag, BasicRejectOptions { requeue: true }).await?;
        }
        Ok(())
    }

    pub(super) async fn send_acks(&mut self) -> Result<(), BrokerError> {
        let first_unsettled =
            self.deliveries.keys().next().into_iter().chain(self.returned_by_close.first()).min();
        self.acks.send(first_unsettled.copied()).await
    }

    /// Whether it was there.
    fn remove(&mut self, tag: u64) -> bool {
        let Some(delivery) = self.deliveries.remove(&tag) else { return false };
        self.share.remove(delivery.bytes);
        self.held.dec();
        true
    }
}

impl Drop for UnsettledDeliveries {
    /// What is left goes back to the queue with the channel.
    fn drop(&mut self) {
        self.deliveries.iter().for_each(|_| self.held.dec());
    }
}
