//! Acknowledges a channel's deliveries with as few frames as possible. Used by the router and the lanes' consumers.

use std::collections::BTreeMap;

use lapin::Acker;
use lapin::options::BasicAckOptions;

use crate::broker::error::BrokerError;

/// Deliveries that are settled, by their tags, and not acknowledged yet.
#[derive(Default)]
pub(in crate::broker) struct AckBatch(BTreeMap<u64, Acker>);

impl AckBatch {
    pub(in crate::broker) fn add(&mut self, tag: u64, acker: Acker) {
        self.0.insert(tag, acker);
    }

    /// Acknowledges all: those before `first_unsettled` with one frame, those behind it one by one.
    pub(in crate::broker) async fn send(&mut self, first_unsettled: Option<u64>) -> Result<(), BrokerError> {
        let behind = first_unsettled.map_or_else(BTreeMap::new, |tag| self.0.split_off(&tag));
        let last_before = std::mem::replace(&mut self.0, behind).pop_last();
        let multiple = last_before.map(|(_, acker)| (acker, BasicAckOptions { multiple: true }));
        let single =
            std::mem::take(&mut self.0).into_values().map(|acker| (acker, BasicAckOptions::default()));
        for (acker, options) in multiple.into_iter().chain(single) {
            // `false` means that it was not sent.
            if !acker.ack(options).await? {
                return Err(BrokerError::NotAcknowledged);
            }
        }
        Ok(())
    }
}
