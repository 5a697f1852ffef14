//! What keeps one queue consumed from one channel to the next: the wait between two channels, whether queues have to be
//! declared again, and a starved subscription that is ended only when the next one stands.
//! One for each queue and connection; used by the router and the lanes' consumers.

use lapin::{Channel, Consumer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::backoff::Delays;
use crate::broker::amqp::channel;
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::error::BrokerError;
use crate::broker::probes::starved_consumer::StarvedConsumer;
use crate::broker::timing::{CHANNEL_DELAYS, HELD_WELL};
use crate::delivery::UNROUTED;

pub(in crate::broker) struct Resubscriber {
    pub(in crate::broker) pace: Pace,
    pub(in crate::broker) starved: StarvedConsumer,
    delays: Delays,
    started: Instant,
    /// A channel broke since the session declared everything: queues may have been deleted.
    channel_broke: bool,
    /// Kept until the next subscription stands by: that one is then next in line, and the queue stays with a replica that
    /// knows what was settled.
    pub(in crate::broker) starved_subscription: Option<(Channel, Consumer)>,
}

impl Resubscriber {
    pub(in crate::broker) fn new(pace: Pace) -> Self {
        let delays = Delays::new(CHANNEL_DELAYS.0, CHANNEL_DELAYS.1);
        let now = Instant::now();
        let starved = StarvedConsumer::new(now);
        Self { pace, starved, delays, started: now, channel_broke: false, starved_subscription: None }
    }

    /// Whether the queues must be declared before the next subscription.
    pub(in crate::broker) fn must_declare(&self) -> bool {
        self.channel_broke
    }

    /// Ends the subscription that was kept, if there is one.
    pub(in crate::broker) async fn end_starved(&mut self) {
        if let Some((channel, consumer)) = self.starved_subscription.take() {
            // The channel first: a dropped consumer cancels itself, and another replica would become active before what
            // is held here is back in the queue.
            channel::close(&channel).await;
            drop(consumer);
        }
    }

    /// Logs what broke and waits; false if there is no point in trying again on this connection.
    pub(in crate::broker) async fn wait(
        &mut self,
        pair: &ConnectionPair,
        lane: &str,
        broken: &BrokerError,
        stop: &CancellationToken,
    ) -> bool {
        if matches!(broken, BrokerError::LaneEnded) && !stop.is_cancelled() {
            tracing::error!(account = lane, "the lane ended early; its queue waits; this is a bug");
        }
        if !pair.connected() || matches!(broken, BrokerError::LaneEnded) {
            return false;
        }
        if let BrokerError::Starved(queue) = broken {
            // Info only: most often another replica is at work on the messages.
            tracing::info!(
                account = lane,
                queue,
                "messages wait and none is handed out here; subscribing anew"
            );
        } else if !matches!(broken, BrokerError::UnusableQueue(_)) || lane != UNROUTED {
            tracing::warn!(account = lane, %broken, "a channel broke; opening another");
        }
        if self.started.elapsed() > HELD_WELL {
            self.delays.reset();
        }
        self.channel_broke = true;
        let waited = stop.run_until_cancelled(tokio::time::sleep(self.delays.following())).await;
        self.started = Instant::now();
        waited.is_some()
    }
}
