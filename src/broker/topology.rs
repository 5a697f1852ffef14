//! Declares the queues and exchanges, and says why each has its arguments. Must not know what is published or consumed.
//!
//! A queue that exists is used as it is: to declare it with other arguments would answer 406 and close the channel, so every
//! queue is asked for passively first.

use futures_util::{FutureExt as _, StreamExt as _, stream};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

use super::amqp::channel::{answered, ask, close, short};
use super::amqp::refusal::{NOT_FOUND, is_refused};
use super::context::Context;
use super::error::BrokerError;
use super::names::{Names, PROBE_KEY};
use crate::broker::timing::{CONSUMER_TIMEOUT_MS, DECLARED_AT_ONCE, DELIVERY_LIMIT};
use crate::dead_letter;
use crate::delivery::AccountName;
use crate::outcome::DeadLetterReason;

/// Without a limit: looking at dead letters returns them, and must not lose them.
const NO_DELIVERY_LIMIT: i64 = -1;

/// Declares everything that is missing, and binds it.
pub(super) async fn declare(connection: &Connection, context: &Context) -> Result<(), BrokerError> {
    declare_shared(connection, &context.names).await?;
    if let Err(error) = declare_intake(connection, &context.names).await {
        if !connection.status().connected() {
            return Err(error);
        }
        // It may not be used; the router finds out why. The lanes go on.
        tracing::debug!(%error, "the intake cannot be declared");
    }
    declare_probe(connection, &context.names).await?;
    let lanes = context.lanes();
    declare_lanes(connection, &context.names, lanes.inlets.values().map(|inlet| &inlet.account)).await
}

/// Declares the exchanges, and the queue of dead letters.
pub(super) async fn declare_shared(connection: &Connection, names: &Names) -> Result<(), BrokerError> {
    let declaring = async {
        let channel = connection.create_channel().await?;
        exchange(&channel, names.lanes(), ExchangeKind::Direct).await?;
        exchange(&channel, &names.dead(), ExchangeKind::Topic).await?;
        Ok(channel)
    };
    close(&answered(names.lanes(), declaring).await?).await;
    queue(connection, &names.dead(), dead_letters()).await?;
    bind(connection, &names.dead(), &names.dead(), "#").await
}

pub(super) async fn declare_intake(connection: &Connection, names: &Names) -> Result<(), BrokerError> {
    queue(connection, names.intake(), consumed(names, None)).await
}

pub(super) async fn declare_lane(
    connection: &Connection,
    names: &Names,
    account: &AccountName,
) -> Result<(), BrokerError> {
    let lane = names.lane(account);
    queue(connection, &lane, consumed(names, Some(account))).await?;
    bind(connection, &lane, names.lanes(), account).await
}

/// Declares the lanes of all accounts. A lane that cannot be declared is logged, and tried again when it is consumed; the
/// others go on.
pub(super) async fn declare_lanes<'a>(
    connection: &Connection,
    names: &Names,
    accounts: impl Iterator<Item = &'a AccountName>,
) -> Result<(), BrokerError> {
    let lanes: Vec<_> = accounts
        .map(|account| declare_lane(connection, names, account).map(move |declared| (account, declared)))
        .collect();
    // Not all channels: others need some, too.
    let few = usize::from(connection.configuration().channel_max() / 4).max(1);
    let mut declaring = stream::iter(lanes).buffer_unordered(DECLARED_AT_ONCE.min(few));
    while let Some((account, declared)) = declaring.next().await {
        if let Err(error) = declared {
            if !connection.status().connected() {
                return Err(error);
            }
            tracing::warn!(account = &**account, %error, "a lane cannot be declared");
        }
    }
    Ok(())
}

/// The confirm probe's queue keeps only the last message.
async fn declare_probe(connection: &Connection, names: &Names) -> Result<(), BrokerError> {
    let mut arguments = quorum();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    queue(connection, &names.probe(), arguments).await?;
    bind(connection, &names.probe(), names.lanes(), PROBE_KEY).await
}

pub(super) fn dead_letters() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(NO_DELIVERY_LIMIT));
    arguments
}

pub(super) fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// The arguments of the intake and of lanes. One consumer at a time keeps the order. A message that the broker takes
/// out goes to the dead letters at least once, and that needs `reject-publish` in place of dropping the head.
pub(super) fn consumed(names: &Names, account: Option<&AccountName>) -> FieldTable {
    let key = dead_letter::routing_key(account, DeadLetterReason::DeliveryLimit);
    let mut arguments = quorum();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments.insert("x-consumer-timeout".into(), AMQPValue::LongLongInt(CONSUMER_TIMEOUT_MS));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(names.dead().into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(key.into()));
    arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(short(name), kind, options, FieldTable::default()).await
}

pub(super) async fn queue(
    connection: &Connection,
    name: &str,
    arguments: FieldTable,
) -> Result<(), BrokerError> {
    let declaring = async {
        let channel = connection.create_channel().await?;
        match ask(&channel, name).await {
            Ok(_) => Ok(channel),
            // The refusal closed the channel.
            Err(error) if is_refused(&error, NOT_FOUND) => {
                let channel = connection.create_channel().await?;
                let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
                channel.queue_declare(short(name), durable, arguments).await?;
                tracing::info!(queue = name, "queue declared");
                Ok(channel)
            }
            Err(error) => Err(error),
        }
    };
    close(&answered(name, declaring).await?).await;
    Ok(())
}

pub(super) async fn bind(
    connection: &Connection,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), BrokerError> {
    let binding = async {
        let channel = connection.create_channel().await?;
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(short(queue), short(exchange), short(key), options, arguments).await?;
        Ok(channel)
    };
    close(&answered(queue, binding).await?).await;
    Ok(())
}

#[cfg(test)]
mod tests;
