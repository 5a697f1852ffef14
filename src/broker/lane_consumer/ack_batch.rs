//! Which deliveries of a channel are to be acknowledged, with as few frames as that takes.

use std::collections::BTreeMap;

use lapin::Acker;
use lapin::options::BasicAckOptions;

use crate::broker::error::BrokerError;

/// Deliveries that are settled, and not acknowledged yet.
#[derive(Default)]
pub(in crate::broker) struct Acks(BTreeMap<u64, Acker>);

impl Acks {
    /// A delivery is settled.
    pub(in crate::broker) fn add(&mut self, tag: u64, acker: Acker) {
        self.0.insert(tag, acker);
    }

    /// Acknowledges all: with one frame up to the first delivery that is still out, and one by one behind it.
    pub(in crate::broker) async fn send(&mut self, out: Option<u64>) -> Result<(), BrokerError> {
        let behind = out.map_or_else(BTreeMap::new, |out| self.0.split_off(&out));
        let prefix = std::mem::replace(&mut self.0, behind).pop_last();
        let prefix = prefix.map(|(_, acker)| (acker, BasicAckOptions { multiple: true }));
        let single =
            std::mem::take(&mut self.0).into_values().map(|acker| (acker, BasicAckOptions::default()));
        for (acker, options) in prefix.into_iter().chain(single) {
            // `false` means that it was not sent.
            if !acker.ack(options).await? {
                return Err(BrokerError::NotAcknowledged);
            }
        }
        Ok(())
    }
}
