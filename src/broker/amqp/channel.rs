//! What is done on a channel: publish, subscribe, ask for a queue, close. Must not know a queue by name, nor an event.

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer, PublisherConfirm};
use tokio::time::Instant;

use super::refusal::unusable;
use crate::broker::error::BrokerError;
use crate::broker::timing::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, LAST_ACKNOWLEDGEMENTS, PROMPT_ANSWER};

/// A channel whose publishes are confirmed. Without a time limit: in an alarm the broker does not answer, and goes on by
/// itself when that is over.
pub(in crate::broker) async fn publisher(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Whether the broker has confirmed a message that reached a queue. A mandatory message that reached none comes back
/// with its confirm.
pub(in crate::broker) fn is_taken(confirmation: &Confirmation) -> bool {
    matches!(confirmation, Confirmation::Ack(None))
}

/// Publishes one message that must reach a queue.
pub(in crate::broker) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(short(exchange), short(key), options, body, properties).await
}

/// Subscribes to a queue on a channel of its own. Closes that channel after [`ANSWER_TIMEOUT`]: a subscription that comes
/// late would take messages that nobody handles.
///
/// The arguments must name an `x-priority`: RabbitMQ refuses that for a stream, and a stream must not be consumed, see
/// [`unusable`].
pub(in crate::broker) async fn subscribe(
    connection: &Connection,
    queue: &str,
    tag: &str,
    prefetch: u16,
    arguments: FieldTable,
) -> Result<(Channel, Consumer), BrokerError> {
    let unanswered = || BrokerError::SubscribeTimedOut { queue: queue.to_owned(), within: ANSWER_TIMEOUT };
    let channel = tokio::time::timeout(ANSWER_TIMEOUT, connection.create_channel())
        .await
        .map_err(|_| unanswered())??;
    let subscribed = async {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        channel.basic_consume(short(queue), short(tag), BasicConsumeOptions::default(), arguments).await
    };
    let Ok(consumer) = tokio::time::timeout(ANSWER_TIMEOUT, subscribed).await else {
        close(&channel).await;
        return Err(unanswered());
    };
    let consumer = consumer.map_err(|error| match unusable(&error, queue) {
        Some(why) => BrokerError::UnusableQueue(why),
        None => error.into(),
    })?;
    Ok((channel, consumer))
}

/// Declares a queue that no other connection may have until this one ends, and that nothing is ever put into: whoever has it
/// is the only one of its kind.
pub(in crate::broker) async fn reserve(connection: &Connection, name: &str) -> Result<(), BrokerError> {
    let declaring = async {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        // Named, because a virtual host may have another default.
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        channel.queue_declare(short(name), options, arguments).await?;
        Ok(channel)
    };
    close(&answered(name, declaring).await?).await;
    Ok(())
}

/// What the broker answers about a queue or an exchange, or an error after [`ANSWER_TIMEOUT`]. Dropping the question drops
/// the channel it was asked on, so a late answer changes nothing here.
pub(in crate::broker) async fn answered<T>(
    queue: &str,
    question: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(BrokerError::Unanswered { queue: queue.to_owned(), within: ANSWER_TIMEOUT }),
    }
}

/// Asks for a queue. If there is none, the refusal closes the channel.
pub(in crate::broker) async fn ask(channel: &Channel, name: &str) -> lapin::Result<lapin::Queue> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(name), passive, FieldTable::default()).await
}

/// How many messages wait in a queue to be delivered.
pub(in crate::broker) async fn backlog(connection: &Connection, name: &str) -> lapin::Result<u32> {
    let channel = connection.create_channel().await?;
    let queue = ask(&channel, name).await?;
    close(&channel).await;
    Ok(queue.message_count())
}

/// Waits until a queue has the last acknowledgements of a channel, and closes the channel.
pub(in crate::broker) async fn close_after_acknowledgements(channel: &Channel, queue: &str) {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(LAST_ACKNOWLEDGEMENTS).await;
        // The queue answers this only after it has handled the acknowledgements that it was handed.
        let asked = Instant::now();
        let answered = tokio::time::timeout(CLOSE_TIMEOUT, ask(channel, queue)).await;
        if !matches!(answered, Ok(Ok(_))) {
            tracing::debug!(queue, "a queue has not answered; its last acknowledgements may be lost");
            break;
        }
        // A broker that is slow to answer was slow to take them, too, and may still hold some back.
        if asked.elapsed() < PROMPT_ANSWER || begun.elapsed() > CLOSE_TIMEOUT {
            break;
        }
    }
    close(channel).await;
}

/// Closes a channel. One that cannot be closed is closed already, or its peer is gone.
pub(in crate::broker) async fn close(channel: &Channel) {
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, channel.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a channel could not be closed in time");
    }
}

/// Every name is bounded by the configuration, far below AMQP's 255 bytes.
pub(in crate::broker) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}
