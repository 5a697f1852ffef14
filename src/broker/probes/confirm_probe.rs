//! Finds out whether the broker takes messages.
//!
//! A cluster that has lost the majority of its nodes keeps connections and answers questions, but confirms nothing:
//! with no events on the way it would look well. So a small message goes to a queue of its own every few seconds. The
//! queue keeps only the last one, and nobody reads it.

use std::sync::Arc;

use lapin::{BasicProperties, Channel, Confirmation};

use crate::broker::amqp::channel::{self, is_taken, publish};
use crate::broker::amqp::connection::{ConnectionPair, ConnectionPool};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::health::Stall;
use crate::broker::names::PROBE_KEY;
use crate::broker::timing::{PROBE_CONFIRM_TIMEOUT, PROBE_INTERVAL, PROBE_MISSES, PROBE_MISSES_DOUBLED};
use crate::broker::topology;

/// Publishes for as long as the connection holds, and tells when confirms stay away. Ends when another node should be
/// tried, and then tells why.
pub(in crate::broker) async fn beat(context: Arc<Context>, pool: Arc<ConnectionPool>) -> BrokerError {
    let Ok(pair) = pool.pair(0) else { return BrokerError::Closed };
    let mut broken = beat_on(&context, pair).await;
    while pair.connected() && !matches!(broken, BrokerError::Unconfirmed) {
        tracing::debug!(%broken, "the probe cannot be published");
        if !context.health.is_stalled(Stall::Unconfirmed) {
            context
                .health
                .stalled(Stall::Unconfirmed, Some("it does not take a message for the probe queue"));
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
        // The queue may be gone, or the exchange.
        let declared =
            tokio::time::timeout(PROBE_CONFIRM_TIMEOUT, topology::declare(&pair.consuming, &context)).await;
        broken = match declared {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => beat_on(&context, pair).await,
        };
    }
    broken
}

async fn beat_on(context: &Context, pair: &ConnectionPair) -> BrokerError {
    let channel = match pair.publisher().await {
        Ok(channel) => channel,
        Err(error) => return error.into(),
    };
    loop {
        // Published once, however long it takes: a confirm that comes late is as good.
        let mut confirmed = std::pin::pin!(confirmed(&channel, context));
        let mut missed = 0;
        let answer = loop {
            if let Ok(answer) = tokio::time::timeout(PROBE_CONFIRM_TIMEOUT, &mut confirmed).await {
                break answer;
            }
            // An alarm keeps it from being sent; that is told already.
            if context.health.is_stalled(Stall::Blocked) {
                continue;
            }
            let why = "it confirms nothing; most of its nodes may be away";
            context.health.stalled(Stall::Unconfirmed, Some(why));
            missed += 1;
            // Each time more patiently: where no node confirms, moving on costs every lane a hand-over.
            let left = context.health.left();
            if missed >= PROBE_MISSES << left.min(PROBE_MISSES_DOUBLED) {
                context.health.leaves();
                if context.addresses.count() > 1 {
                    return BrokerError::Unconfirmed;
                }
                // The queue may have lost the message, and with it the confirm.
                channel::close(&channel).await;
                return BrokerError::NotConfirmed {
                    exchange: context.names.lanes(),
                    key: PROBE_KEY.to_owned(),
                };
            }
        };
        match answer {
            Ok(confirmation) if is_taken(&confirmation) => context.health.confirmed(),
            Ok(_) => {
                channel::close(&channel).await;
                return BrokerError::NotConfirmed {
                    exchange: context.names.lanes(),
                    key: PROBE_KEY.to_owned(),
                };
            }
            Err(error) => return error.into(),
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

async fn confirmed(channel: &Channel, context: &Context) -> lapin::Result<Confirmation> {
    publish(channel, &context.names.lanes(), PROBE_KEY, b"", BasicProperties::default()).await?.await
}
