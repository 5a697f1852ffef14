//! Takes messages that cannot be read out of a queue, and makes dead letters of them. It consumes the queue on a connection
//! whose deliveries never reach the client library.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::options::BasicAckOptions;
use lapin::protocol::basic;
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};

use super::search::{SearchResult, close, search, search_with_parser, within_limit};
use crate::broker::amqp::address::Address;
use crate::broker::amqp::channel::{close_after_acknowledgements, is_taken, publish, publisher, subscribe};
use crate::broker::amqp::{fitting, letter_properties, properties};
use crate::broker::consuming::subscription::{ConsumedQueue, Subscription, subscription};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::{PROOFS, QUIET};
use crate::broker::transport::{self, Connected, DeliveryFilter, Fingerprint, Kept, Rule};
use crate::dead_letter::DeadLetter;
use crate::delivery::UNROUTED;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// Keeps properties that cannot be read.
const ORIGINAL_PROPERTIES: &str = "freshet-original-properties";

/// Makes dead letters of a queue's messages that cannot be read, until none is left among those that are handed out.
///
/// One search may end at a message by chance. So each must be found by as many searches as [`PROOFS`]; where there are
/// several, what the client library's parser says counts, too.
pub(super) async fn remove_unreadable(
    context: &Context,
    address: &Address,
    queue: ConsumedQueue,
) -> Result<(), BrokerError> {
    let mut proofs = BTreeMap::<Fingerprint, u32>::new();
    loop {
        let proven: BTreeSet<Fingerprint> = proofs
            .iter()
            .filter(|(_, count)| **count >= PROOFS)
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        match search(context, address, &[queue], &proven).await? {
            SearchResult::Unreadable(_, fingerprint) => {
                *proofs.entry(fingerprint).or_default() += 1;
                if proofs.len() > 1 {
                    // A search finds one of them, and counts as a return for all messages: the parser finds all at once.
                    for fingerprint in search_with_parser(context, address, queue).await? {
                        *proofs.entry(fingerprint).or_default() += 1;
                    }
                }
            }
            SearchResult::Nothing if proven.is_empty() => return Ok(()),
            SearchResult::Nothing => {
                remove(context, address, queue, &proven).await?;
                // Only now are the messages behind them handed out.
                proofs.clear();
            }
        }
    }
}

async fn remove(
    context: &Context,
    address: &Address,
    queue: ConsumedQueue,
    fingerprints: &BTreeSet<Fingerprint>,
) -> Result<(), BrokerError> {
    let filter = Arc::new(DeliveryFilter::new(Rule::Keep(fingerprints.clone())));
    let name = format!("{}, dead-lettering", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    within_limit(name, remove_on(context, &connection, queue, &filter, fingerprints.len())).await
}

/// Ends the connection, before the consumer is dropped: see the search.
async fn remove_on(
    context: &Context,
    connection: &Connected,
    consumed: ConsumedQueue,
    filter: &DeliveryFilter,
    wanted: usize,
) -> Result<(), BrokerError> {
    let Some(Subscription { queue, tag, prefetch, arguments }) = subscription(context, consumed) else {
        return Ok(());
    };
    let publishing = publisher(connection).await?;
    let (channel, _subscription) = subscribe(connection, &queue, &tag, prefetch, arguments).await?;
    let _end_first = connection.end_on_drop();
    while filter.kept() < wanted && filter.arrived() < u64::from(prefetch) {
        if tokio::time::timeout(QUIET, filter.changed()).await.is_err() {
            break;
        }
    }
    for message in filter.take_kept() {
        let tag = message.tag;
        dead_letter(context, &publishing, connection.frame_max(), consumed, &queue, message).await?;
        channel.basic_ack(tag, BasicAckOptions::default()).await?;
    }
    close_after_acknowledgements(&channel, &queue).await;
    close(connection).await;
    Ok(())
}

/// Publishes a dead letter, and returns when RabbitMQ has it.
async fn dead_letter(
    context: &Context,
    publishing: &lapin::Channel,
    frame_max: usize,
    consumed: ConsumedQueue,
    queue: &str,
    Kept { properties, body, .. }: Kept,
) -> Result<(), BrokerError> {
    let lanes = context.names.lanes();
    let (account, exchange, metrics) = match consumed {
        ConsumedQueue::Intake => (None, "", context.metrics.account(UNROUTED)),
        ConsumedQueue::Lane(number) => {
            let Some(inlet) = context.inlet(number) else { return Ok(()) };
            (Some(inlet.account), lanes, inlet.metrics)
        }
    };
    let original = properties::believed(parse_properties(&properties), exchange, lanes);
    let problem = "the connection ended each time that the message was delivered".to_owned();
    let problem = Problem { problem, ..Problem::default() };
    let refusal = Refusal::new(DeadLetterReason::DeliveryLimit, problem);
    let body = Bytes::from(body);
    let seen = context.opener.glimpse(&body, properties::encoding(&original));
    let failed_at = Timestamp::now();
    let dead =
        DeadLetter { refusal: &refusal, account: account.as_ref(), seen: &seen, attempts: 0, failed_at };
    let letter = fitting::fit(letter_properties::for_dead_letter(&original, &dead), frame_max);
    let (exchange, key) = (context.names.dead(), dead.routing_key());
    let confirmation = publish(publishing, &exchange, &key, &body, letter).await?.await?;
    if !is_taken(&confirmation) {
        return Err(BrokerError::NotConfirmed { exchange, key });
    }
    dead.count_as_received(&metrics, properties::trace_id(&original));
    tracing::warn!(
        queue,
        property.message_id = original.message_id().as_ref().map(ShortString::as_str),
        "a message that connections ended over was made a dead letter"
    );
    Ok(())
}

/// The properties, or else their bytes in a header.
fn parse_properties(bytes: &[u8]) -> BasicProperties {
    if let Ok((_, properties)) = basic::parse_properties(bytes) {
        return properties;
    }
    let mut headers = FieldTable::default();
    headers.insert(ORIGINAL_PROPERTIES.into(), AMQPValue::ByteArray(ByteArray::from(bytes)));
    BasicProperties::default().with_headers(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_cannot_be_read_are_kept_as_bytes() {
        let whole = parse_properties(&[0x00, 0x80, 3, b'm', b'-', b'1']);
        assert_eq!(whole.message_id().as_ref().map(ShortString::as_str), Some("m-1"));
        let broken = [0x00, 0x80, 200, b'm'];
        let kept = properties::header(&parse_properties(&broken), ORIGINAL_PROPERTIES).cloned();
        assert_eq!(kept, Some(AMQPValue::ByteArray(ByteArray::from(broken.as_slice()))));
    }
}
