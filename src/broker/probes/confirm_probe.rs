//! Finds out whether the broker takes messages.
//!
//! A cluster that has lost the majority of its nodes keeps connections and answers questions, but confirms nothing: with
//! no events on the way it would look well. So a small message goes to a queue of its own every few seconds. The queue
//! keeps only the last one, and nobody reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lapin::{BasicProperties, Channel, Confirmation};

use crate::broker::amqp::channel::{self, is_taken, publish};
use crate::broker::amqp::connection::{ConnectionPair, ConnectionPool};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::health::{BrokerHealth, Stall, StallReporter};
use crate::broker::names::PROBE_KEY;
use crate::broker::timing::{PROBE_CONFIRM_TIMEOUT, PROBE_INTERVAL, PROBE_MISSES, PROBE_MISSES_DOUBLED};
use crate::broker::topology;

/// The probe of one session after another.
#[derive(Debug)]
pub(in crate::broker) struct ConfirmProbe {
    unconfirmed: StallReporter,
    nodes: usize,
    /// How many nodes were left because they confirmed nothing, since one last confirmed.
    nodes_left: AtomicU32,
}

impl ConfirmProbe {
    /// For a broker with so many nodes.
    pub(in crate::broker) fn new(health: &Arc<BrokerHealth>, nodes: usize) -> Self {
        Self { unconfirmed: health.reporter(Stall::Unconfirmed), nodes, nodes_left: AtomicU32::new(0) }
    }

    /// Publishes for as long as the connection holds, and reports while confirms stay away. Fails when another node should
    /// be tried.
    pub(in crate::broker) async fn run(
        self: Arc<Self>,
        context: Arc<Context>,
        pool: Arc<ConnectionPool>,
    ) -> Result<(), BrokerError> {
        let pair = pool.pair(0)?;
        let mut error = self.publish_on(&context, pair).await;
        loop {
            if matches!(error, BrokerError::NodeUnconfirming) {
                return Err(error);
            }
            if !pair.connected() {
                return Ok(());
            }
            tracing::debug!(%error, "the probe cannot be published");
            if !context.health.is_stalled(Stall::Unconfirmed) {
                self.unconfirmed.stalled("it does not take a message for the probe queue");
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
            // The queue or the exchange may have been deleted.
            let declaring = topology::declare(&pair.consuming, &context);
            error = match tokio::time::timeout(PROBE_CONFIRM_TIMEOUT, declaring).await {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => self.publish_on(&context, pair).await,
            };
        }
    }

    /// Publishes on one channel until something breaks.
    async fn publish_on(&self, context: &Context, pair: &ConnectionPair) -> BrokerError {
        let channel = match pair.publisher().await {
            Ok(channel) => channel,
            Err(error) => return error.into(),
        };
        let not_confirmed = || BrokerError::NotConfirmed {
            exchange: context.names.lanes().to_owned(),
            key: PROBE_KEY.to_owned(),
        };
        loop {
            // Published once, however long it takes: a confirm that comes late is as good.
            let mut confirmed = std::pin::pin!(confirmed(&channel, context));
            let mut misses = 0;
            let confirmation = loop {
                if let Ok(confirmation) = tokio::time::timeout(PROBE_CONFIRM_TIMEOUT, &mut confirmed).await {
                    break confirmation;
                }
                // An alarm keeps the message from being sent, and is reported already.
                if context.health.is_stalled(Stall::Blocked) {
                    continue;
                }
                self.unconfirmed.stalled("it confirms nothing; most of its nodes may be away");
                misses += 1;
                let left = self.nodes_left.load(Ordering::Relaxed);
                if misses >= PROBE_MISSES << left.min(PROBE_MISSES_DOUBLED) {
                    self.nodes_left.fetch_add(1, Ordering::Relaxed);
                    if self.nodes > 1 {
                        return BrokerError::NodeUnconfirming;
                    }
                    // The queue may have lost the message, and with it the confirm.
                    channel::close(&channel).await;
                    return not_confirmed();
                }
            };
            match confirmation {
                Ok(confirmation) if is_taken(&confirmation) => {
                    self.nodes_left.store(0, Ordering::Relaxed);
                    self.unconfirmed.clear();
                }
                Ok(_) => {
                    channel::close(&channel).await;
                    return not_confirmed();
                }
                Err(error) => return error.into(),
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }
}

async fn confirmed(channel: &Channel, context: &Context) -> lapin::Result<Confirmation> {
    publish(channel, context.names.lanes(), PROBE_KEY, b"", BasicProperties::default()).await?.await
}
