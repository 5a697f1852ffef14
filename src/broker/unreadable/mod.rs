//! Finds the message that a connection cannot read, and makes it a dead letter.
//!
//! For each look a connection of its own consumes the queues as they are consumed otherwise, with the same prefetch, and
//! settles nothing. It drops what it can read. If it ends over what it read, the first delivery that was handed to the
//! client library and did not come out of it is the one. When the connection is gone RabbitMQ puts all back in its order:
//! taking fewer would change that, see RABBITMQ.md.
//!
//! A message is condemned when two looks ended at it, or, where there are several, when the library's parser has refused
//! it as often. It is then taken out on a connection whose deliveries never reach
//! the client library. Called by the quarantine; must not touch what others hold.

pub(super) mod quarantine;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use jiff::Timestamp;
use lapin::options::BasicAckOptions;
use lapin::protocol::basic;
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};
use lapin::{BasicProperties, ErrorKind};

use super::context::Context;
use super::error::BrokerError;
use super::transport::{self, Connected, DeliveryFilter, Fingerprint, Kept, Rule};
use crate::broker::amqp::addresses::Address;
use crate::broker::amqp::channel::{close_settled, is_taken, publish, publisher, subscribe};
use crate::broker::amqp::fitting;
use crate::broker::amqp::{letter_properties, properties};
use crate::broker::consuming::subscription::{Consumed, Subscription, subscription};
use crate::broker::timing::{CLOSE_TIMEOUT, LOOK_SUBSCRIBE_TIMEOUT, LOOK_TIMEOUT, PROOFS, QUIET};
use crate::dead_letter::DeadLetter;
use crate::delivery::UNROUTED;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// What is kept of properties that cannot be read.
const PROPERTIES: &str = "freshet-original-properties";

const FRAME_ERROR: u16 = 501;
const SYNTAX_ERROR: u16 = 502;
const UNEXPECTED_FRAME: u16 = 505;
const INTERNAL_ERROR: u16 = 541;

/// Whether such an error was found by this side. The broker has trouble of its own that has the same codes.
pub(super) fn is_our_own(error: &lapin::Error) -> bool {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return [FRAME_ERROR, UNEXPECTED_FRAME].contains(&error.get_id());
    }
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// Whether the broker itself failed, which it may also do over a message that it cannot hand out.
pub(super) fn is_broker_s_own(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == INTERNAL_ERROR)
}

/// Whether an error of a connection may come from what was delivered over it.
pub(super) fn is_unreadable(error: &lapin::Error) -> bool {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return [FRAME_ERROR, SYNTAX_ERROR, UNEXPECTED_FRAME, INTERNAL_ERROR].contains(&error.get_id());
    }
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This message of this queue cannot be read.
    Culprit(Consumed, Fingerprint),
    /// All could be read. Of these queues there was something.
    Clean(BTreeSet<Consumed>),
}

/// Looks for a message that cannot be read, leaving out those that are known.
pub(super) async fn look(
    context: &Context,
    address: &Address,
    queues: &[Consumed],
    known: &BTreeSet<Fingerprint>,
) -> Result<Look, BrokerError> {
    let filter = std::sync::Arc::new(DeliveryFilter::new(Rule::Without(known.clone())));
    let name = format!("{}, looking", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    let looking = look_on(context, &connection, queues, &filter);
    tokio::time::timeout(LOOK_TIMEOUT, looking)
        .await
        .unwrap_or(Err(BrokerError::SubscribeTimedOut { queue: name, within: LOOK_TIMEOUT }))
}

/// Ends the connection. While it holds, no consumer may be let go of: with its cancellation another replica gets what
/// stands behind the messages that are held here, and these only later.
async fn look_on(
    context: &Context,
    connection: &Connected,
    queues: &[Consumed],
    filter: &DeliveryFilter,
) -> Result<Look, BrokerError> {
    let subscribing = queues.iter().filter_map(|consumed| {
        let Subscription { queue, tag, prefetch, arguments } = subscription(context, *consumed)?;
        Some(async move {
            let subscribing = subscribe(connection, &queue, &tag, prefetch, arguments);
            match tokio::time::timeout(LOOK_SUBSCRIBE_TIMEOUT, subscribing).await {
                Ok(Ok((channel, consumer))) => Some((*consumed, prefetch, channel, consumer)),
                Ok(Err(broken)) => {
                    tracing::debug!(queue, %broken, "a queue cannot be looked at");
                    None
                }
                Err(_) => None,
            }
        })
    });
    let subscribing = std::pin::pin!(futures_util::future::join_all(subscribing));
    // Wherever this is given up.
    let ends_before_them = connection.end_on_drop();
    let subscribed = subscribing.await;
    let mut by_channel = HashMap::new();
    // Closed with the last handle.
    let mut channels = Vec::new();
    let mut consumers = SelectAll::new();
    let _ends_before_those = ends_before_them;
    let mut most = 0;
    for (consumed, prefetch, channel, consumer) in subscribed.into_iter().flatten() {
        most += u64::from(prefetch);
        by_channel.insert(channel.id(), consumed);
        channels.push(channel);
        consumers.push(consumer.map(move |delivery| delivery.map(|_| consumed)));
    }
    filter.open(by_channel.keys().copied().collect());
    let mut ended = None;
    let (mut read, mut of) = (0, BTreeSet::new());
    loop {
        let next = tokio::select! {
            biased;
            next = consumers.next() => next,
            () = filter.news() => continue,
            () = tokio::time::sleep(QUIET) => break,
        };
        match next {
            Some(Ok(consumed)) => {
                read += 1;
                of.insert(consumed);
                if u64::try_from(read).is_ok_and(|read| read >= most) {
                    break;
                }
            }
            Some(Err(error)) => ended = Some(error),
            None => break,
        }
    }
    // The library tells its consumers before it changes the connection's state.
    // Where the broker itself failed, it is none of those that it has handed out.
    let over = ended.as_ref().is_some_and(|error| is_unreadable(error) && !is_broker_s_own(error));
    let clean = !over && connection.status().connected();
    close(connection).await;
    if clean {
        return Ok(Look::Clean(of));
    }
    // In the order in which they were handed on; what was read has come out of the library by now.
    let culprit = filter.passed(read).filter(|_| over);
    match culprit.and_then(|passed| Some((by_channel.get(&passed.channel)?, passed.fingerprint))) {
        Some((consumed, fingerprint)) => Ok(Look::Culprit(*consumed, fingerprint)),
        None => Err(ended.map_or(BrokerError::Closed, BrokerError::Amqp)),
    }
}

/// Makes a dead letter of each message of a queue that cannot be read, until none is left among those that are handed
/// out. Returns whether there was any message.
pub(super) async fn cleanse(
    context: &Context,
    address: &Address,
    queue: Consumed,
) -> Result<bool, BrokerError> {
    let mut proofs = BTreeMap::<Fingerprint, u32>::new();
    loop {
        let known: BTreeSet<Fingerprint> = proofs
            .iter()
            .filter(|(_, count)| **count >= PROOFS)
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        match look(context, address, &[queue], &known).await? {
            Look::Culprit(_, fingerprint) => {
                *proofs.entry(fingerprint).or_default() += 1;
                if proofs.len() > 1 {
                    // There are several, and each look finds one, and is one more return for all that stand beside it.
                    for fingerprint in survey(context, address, queue).await? {
                        *proofs.entry(fingerprint).or_default() += 1;
                    }
                }
            }
            Look::Clean(of) if known.is_empty() => return Ok(!of.is_empty()),
            Look::Clean(_) => {
                take_out(context, address, queue, &known).await?;
                // What follows them is handed out only now.
                proofs.clear();
            }
        }
    }
}

/// Finds out which messages the library's parser refuses, all at once: none reaches the library.
async fn survey(
    context: &Context,
    address: &Address,
    queue: Consumed,
) -> Result<BTreeSet<Fingerprint>, BrokerError> {
    let filter = std::sync::Arc::new(DeliveryFilter::new(Rule::Keep(BTreeSet::new())));
    let name = format!("{}, looking", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    let surveying = async {
        let Some(Subscription { queue, tag, prefetch, arguments }) = subscription(context, queue) else {
            return Ok(BTreeSet::new());
        };
        let _subscribed = subscribe(&connection, &queue, &tag, prefetch, arguments).await?;
        let _ends_before_it = connection.end_on_drop();
        while filter.arrived() < u64::from(prefetch) {
            if tokio::time::timeout(QUIET, filter.news()).await.is_err() {
                break;
            }
        }
        close(&connection).await;
        Ok(filter.unreadable())
    };
    tokio::time::timeout(LOOK_TIMEOUT, surveying)
        .await
        .unwrap_or(Err(BrokerError::SubscribeTimedOut { queue: name, within: LOOK_TIMEOUT }))
}

/// Makes dead letters of these messages.
async fn take_out(
    context: &Context,
    address: &Address,
    queue: Consumed,
    fingerprints: &BTreeSet<Fingerprint>,
) -> Result<(), BrokerError> {
    let filter = std::sync::Arc::new(DeliveryFilter::new(Rule::Keep(fingerprints.clone())));
    let name = format!("{}, dead-lettering", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    let taking_out = take_out_on(context, &connection, queue, &filter, fingerprints.len());
    tokio::time::timeout(LOOK_TIMEOUT, taking_out)
        .await
        .unwrap_or(Err(BrokerError::SubscribeTimedOut { queue: name, within: LOOK_TIMEOUT }))
}

/// Ends the connection, as [`look_on`] does.
async fn take_out_on(
    context: &Context,
    connection: &Connected,
    consumed: Consumed,
    filter: &DeliveryFilter,
    wanted: usize,
) -> Result<(), BrokerError> {
    let Some(Subscription { queue, tag, prefetch, arguments }) = subscription(context, consumed) else {
        return Ok(());
    };
    let letters = publisher(connection).await?;
    let (channel, _subscription) = subscribe(connection, &queue, &tag, prefetch, arguments).await?;
    let _ends_before_it = connection.end_on_drop();
    while filter.kept() < wanted && filter.arrived() < u64::from(prefetch) {
        if tokio::time::timeout(QUIET, filter.news()).await.is_err() {
            break;
        }
    }
    for kept in filter.take_kept() {
        let tag = kept.tag;
        bury(context, &letters, connection.frame_max(), consumed, &queue, kept).await?;
        channel.basic_ack(tag, BasicAckOptions::default()).await?;
    }
    close_settled(&channel, &queue, true).await;
    close(connection).await;
    Ok(())
}

/// Publishes a dead letter, and waits until RabbitMQ has it.
async fn bury(
    context: &Context,
    letters: &lapin::Channel,
    frame_max: usize,
    consumed: Consumed,
    queue: &str,
    Kept { properties, body, .. }: Kept,
) -> Result<(), BrokerError> {
    let lanes = context.names.lanes();
    let (account, exchange, metrics) = match consumed {
        Consumed::Intake => (None, "", context.metrics.account(UNROUTED)),
        Consumed::Lane(number) => {
            let Some(inlet) = context.inlets.get(number) else { return Ok(()) };
            (Some(&inlet.account), lanes.as_str(), inlet.metrics.clone())
        }
    };
    let original = properties::believed(&readable(&properties), exchange, &lanes);
    let problem = "the connection ended each time that the message was delivered".to_owned();
    let problem = Problem { problem, ..Problem::default() };
    let refusal = Refusal::new(DeadLetterReason::DeliveryLimit, problem);
    let body = Bytes::from(body);
    let seen = context.opener.glimpse(&body, properties::encoding(&original));
    let failed_at = Timestamp::now();
    let dead = DeadLetter { refusal: &refusal, account, seen: &seen, attempts: 0, failed_at };
    let letter = fitting::fit(letter_properties::for_dead_letter(&original, &dead), frame_max);
    let (exchange, key) = (context.names.dead(), dead.routing_key());
    let confirmation = publish(letters, &exchange, &key, &body, letter).await?.await?;
    if !is_taken(&confirmation) {
        return Err(BrokerError::NotConfirmed { exchange, key });
    }
    dead.count_as_received(&metrics);
    tracing::warn!(
        queue,
        property.message_id = original.message_id().as_ref().map(ShortString::as_str),
        "a message that connections ended over was made a dead letter"
    );
    Ok(())
}

/// Properties as the client library reads them, or else with the bytes in a header.
fn readable(properties: &[u8]) -> BasicProperties {
    if let Ok((_, properties)) = basic::parse_properties(properties) {
        return properties;
    }
    let mut headers = FieldTable::default();
    headers.insert(PROPERTIES.into(), AMQPValue::ByteArray(ByteArray::from(properties)));
    BasicProperties::default().with_headers(headers)
}

async fn close(connection: &lapin::Connection) {
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a connection could not be closed in time");
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError};

    use super::*;

    #[test]
    fn only_what_was_read_makes_queues_suspect() {
        let hard = |error: AMQPHardError| {
            let kind: AMQPErrorKind = error.into();
            lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, "why".into())))
        };
        let of_reading = [
            (AMQPHardError::FRAMEERROR, true),
            (AMQPHardError::UNEXPECTEDFRAME, true),
            (AMQPHardError::SYNTAXERROR, false),
            (AMQPHardError::INTERNALERROR, false),
        ];
        for (error, own) in of_reading {
            let error = hard(error);
            assert!(is_unreadable(&error), "{error}");
            assert_eq!(is_our_own(&error), own, "{error}");
        }
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let others = [
            reset.into(),
            ErrorKind::MissingHeartbeatError.into(),
            hard(AMQPHardError::CONNECTIONFORCED),
            hard(AMQPHardError::NOTALLOWED),
            hard(AMQPHardError::RESOURCEERROR),
        ];
        for error in others {
            assert!(!is_unreadable(&error) && !is_our_own(&error), "{error}");
        }
    }

    #[test]
    fn properties_that_cannot_be_read_are_kept_as_bytes() {
        let whole = readable(&[0x00, 0x80, 3, b'm', b'-', b'1']);
        assert_eq!(whole.message_id().as_ref().map(ShortString::as_str), Some("m-1"));
        let broken = [0x00, 0x80, 200, b'm'];
        let kept = properties::header(&readable(&broken), PROPERTIES).cloned();
        assert_eq!(kept, Some(AMQPValue::ByteArray(ByteArray::from(broken.as_slice()))));
    }
}
