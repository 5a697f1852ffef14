//! The queues and exchanges, and why each has its arguments.
//!
//! What exists is used as it stands: declaring it with other arguments would answer 406 and close the
//! channel, so everything is asked for passively first.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::names::Names;
use crate::dead_letter;
use crate::delivery::AccountName;
use crate::outcome::DeadLetterReason;

/// How often a message may come back unsettled before it is dead-lettered. RabbitMQ 4's default of 20 would
/// condemn an innocent message at the head of a throttled lane after twenty rolling restarts.
const DELIVERY_LIMIT: i64 = 200;
/// Never: looking at dead letters returns them, and must not lose them.
const NO_DELIVERY_LIMIT: i64 = -1;
/// A lane may hold messages for hours while it waits for quota; RabbitMQ's default is 30 minutes.
const CONSUMER_TIMEOUT_MS: i64 = 24 * 60 * 60 * 1000;
pub(super) const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;
/// Lanes at the same time. Each waits for the broker's disk when it is new.
const DECLARED_AT_ONCE: usize = 16;

/// Declares what all accounts share.
pub(super) async fn declare_shared(connection: &Connection, names: &Names) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    exchange(&channel, &names.lanes(), ExchangeKind::Direct).await?;
    exchange(&channel, &names.dead(), ExchangeKind::Topic).await?;
    close(&channel).await;
    queue(connection, &names.dead(), dead_letters()).await?;
    bind(connection, &names.dead(), &names.dead(), "#").await
}

/// Declares the intake.
pub(super) async fn declare_intake(connection: &Connection, names: &Names) -> lapin::Result<()> {
    queue(connection, names.intake(), consumed(names, None)).await
}

/// Declares one account's lane.
pub(super) async fn declare_lane(
    connection: &Connection,
    names: &Names,
    account: &AccountName,
) -> lapin::Result<()> {
    let lane = names.lane(account);
    queue(connection, &lane, consumed(names, Some(account))).await?;
    bind(connection, &lane, &names.lanes(), account).await
}

/// Declares the lanes of all accounts. One that cannot be declared is told, and tried again when it is served; the
/// others go on.
pub(super) async fn declare_lanes<'a>(
    connection: &Connection,
    names: &Names,
    accounts: impl Iterator<Item = &'a AccountName>,
) -> lapin::Result<()> {
    let lanes: Vec<_> = accounts
        .map(|account| declare_lane(connection, names, account).map(move |declared| (account, declared)))
        .collect();
    // Others need channels, too.
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

/// The arguments of the queue for dead letters.
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

/// A queue that is worked: by one consumer at a time, and whatever the broker takes out of it stands in
/// the dead letters (at least once, which needs publishers to be refused rather than the head dropped).
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

pub(super) async fn queue(connection: &Connection, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    match ask(&channel, name).await {
        Ok(_) => {
            close(&channel).await;
            Ok(())
        }
        // The refusal closed the channel.
        Err(error) if is_refused(&error, NOT_FOUND) => {
            let channel = connection.create_channel().await?;
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(short(name), durable, arguments).await?;
            close(&channel).await;
            tracing::info!(queue = name, "queue declared");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Asks for a queue that should be there; that it is not closes the channel.
async fn ask(channel: &Channel, name: &str) -> lapin::Result<lapin::Queue> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(name), passive, FieldTable::default()).await
}

/// How many messages wait in a queue to be handed out.
pub(super) async fn waiting(connection: &Connection, name: &str) -> lapin::Result<u32> {
    let channel = connection.create_channel().await?;
    let queue = ask(&channel, name).await?;
    close(&channel).await;
    Ok(queue.message_count())
}

pub(super) async fn bind(
    connection: &Connection,
    queue: &str,
    exchange: &str,
    key: &str,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let (queue, exchange, key) = (short(queue), short(exchange), short(key));
    channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await?;
    close(&channel).await;
    Ok(())
}

/// Whether the broker answered with this reply code.
pub(super) fn is_refused(error: &lapin::Error, code: u16) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == code)
}

/// Why a queue cannot be consumed, in words for those who can mend it; `None` where that is nothing about the queue.
///
/// Whoever consumes a stream gets only what is published from then on, and passes over what waited without a word.
pub(super) fn unusable(error: &lapin::Error, queue: &str) -> Option<String> {
    let told = error.to_string();
    if is_refused(error, PRECONDITION_FAILED) && told.contains("rabbit_stream_queue") {
        Some(format!(
            "{queue} is a stream, whose consumers do not get what was published before they came; put a quorum queue in \
             its place"
        ))
    } else if is_refused(error, RESOURCE_LOCKED) {
        Some(format!("{queue} is exclusive to another connection; put a quorum queue in its place"))
    } else {
        is_refused(error, ACCESS_REFUSED).then_some(told)
    }
}

/// How long a channel stays open after its last acknowledgement. A quorum queue takes 32 at a time from a
/// channel, each time waiting for the disk; those in line when the channel closes are forgotten, and what they
/// settled would be delivered again. Nothing tells when they are through.
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_millis(500);

/// Closes a channel on which messages of a queue were acknowledged; `settled` if that was its good end.
pub(super) async fn close_settled(channel: &Channel, queue: &str, settled: bool) {
    if settled {
        tokio::time::sleep(LAST_ACKNOWLEDGEMENTS).await;
        // A question to the queue is answered behind what it was told before, however long that takes.
        let asked = tokio::time::timeout(CLOSE_TIMEOUT, ask(channel, queue)).await;
        if !matches!(asked, Ok(Ok(_))) {
            tracing::debug!(queue, "a queue has not answered; its last acknowledgements may be lost");
        }
    }
    close(channel).await;
}

/// A channel that cannot be closed is closed already, or its peer is gone.
pub(super) async fn close(channel: &Channel) {
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, channel.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a channel could not be closed in time");
    }
}

const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Every name is bounded by the configuration, far below AMQP's 255 bytes.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}
