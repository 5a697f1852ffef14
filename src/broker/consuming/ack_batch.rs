//! Acknowledges a channel's deliveries with as few frames as possible. Used by the router and the lanes' consumers.

use std::collections::BTreeSet;

use lapin::Channel;
use lapin::options::BasicAckOptions;

use crate::broker::error::BrokerError;

/// Deliveries of a channel that are settled, by their tags, and not acknowledged yet.
pub(in crate::broker) struct AckBatch {
    channel: Channel,
    settled: BTreeSet<u64>,
}

impl AckBatch {
    pub(in crate::broker) fn new(channel: &Channel) -> Self {
        Self { channel: channel.clone(), settled: BTreeSet::new() }
    }

    pub(in crate::broker) fn add(&mut self, tag: u64) {
        self.settled.insert(tag);
    }

    /// Acknowledges all: those before `first_unsettled` with one frame, those behind it one by one.
    pub(in crate::broker) async fn send(&mut self, first_unsettled: Option<u64>) -> Result<(), BrokerError> {
        let behind = first_unsettled.map_or_else(BTreeSet::new, |tag| self.settled.split_off(&tag));
        let last_before = std::mem::take(&mut self.settled).pop_last();
        let multiple = last_before.map(|tag| (tag, BasicAckOptions { multiple: true }));
        let single = behind.into_iter().map(|tag| (tag, BasicAckOptions::default()));
        for (tag, options) in multiple.into_iter().chain(single) {
            self.channel.basic_ack(tag, options).await?;
        }
        Ok(())
    }
}
