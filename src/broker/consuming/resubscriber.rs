//! One channel after another, for as long as the connection holds.

use std::time::Duration;

use lapin::{Channel, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::backoff::Delays;
use crate::broker::amqp::channel;
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::error::BrokerError;
use crate::broker::probes::starved_consumer::StarvedConsumer;
use crate::delivery::UNROUTED;

/// Whether the queues that are needed can be relied on to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Declared {
    /// They were declared with the connection.
    Lately,
    /// Something broke since then: they may be gone.
    LongAgo,
}

/// A channel that fails is opened again; the rest of the connection goes on.
const CHANNEL_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A channel that held this long was a good one: the next wait starts small again.
const HELD: Duration = Duration::from_mins(1);

/// One channel after another.
pub(in crate::broker) struct Resubscriber {
    pub(in crate::broker) pace: Pace,
    delays: Delays,
    started: Instant,
    pub(in crate::broker) declared: Declared,
    pub(in crate::broker) hunger: StarvedConsumer,
    /// The last subscription, if it was forgotten: it is ended when there is another one.
    pub(in crate::broker) forgotten: Option<(Channel, Consumer)>,
}

impl Resubscriber {
    pub(in crate::broker) fn new(pace: Pace) -> Self {
        let delays = Delays::new(CHANNEL_DELAYS.0, CHANNEL_DELAYS.1);
        let (started, hunger) = (Instant::now(), StarvedConsumer::new(Instant::now()));
        Self { pace, delays, started, declared: Declared::Lately, hunger, forgotten: None }
    }

    /// Ends the subscription that was forgotten, if there is one.
    pub(in crate::broker) async fn end_forgotten(&mut self) {
        if let Some((channel, consumer)) = self.forgotten.take() {
            // In this order: see the lanes' consumer.
            channel::close(&channel).await;
            drop(consumer);
        }
    }

    /// Tells what broke and waits; false if there is no point in trying again on this connection.
    pub(in crate::broker) async fn wait(
        &mut self,
        line: &ConnectionPair,
        lane: &str,
        broken: &BrokerError,
        stop: &CancellationToken,
    ) -> bool {
        if matches!(broken, BrokerError::LaneGone) && !stop.is_cancelled() {
            tracing::error!(account = lane, "the lane ended early; its queue waits; this is a bug");
        }
        if !line.connected() || matches!(broken, BrokerError::LaneGone) {
            return false;
        }
        if let BrokerError::Forgotten(queue) = broken {
            // Mostly another replica is at work on them.
            tracing::info!(
                account = lane,
                queue,
                "messages wait and none is handed out here; subscribing anew"
            );
        } else if !matches!(broken, BrokerError::Unusable(_)) || lane != UNROUTED {
            tracing::warn!(account = lane, %broken, "a channel broke; opening another");
        }
        if self.started.elapsed() > HELD {
            self.delays.reset();
        }
        self.declared = Declared::LongAgo;
        let waited = stop.run_until_cancelled(tokio::time::sleep(self.delays.following())).await;
        self.started = Instant::now();
        waited.is_some()
    }
}
