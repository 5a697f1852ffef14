//! Searches queues for a message that the client library cannot read. Settles nothing.
//!
//! A connection of its own consumes the queues as they are consumed otherwise, and drops what it can read. If it ends
//! over a delivery, that is the first one that was handed to the client library and did not come out of it. When the
//! connection is gone, RabbitMQ puts all messages back in their order. With a smaller prefetch it would not: see
//! RABBITMQ.md.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;

use super::errors::{is_broker_failure, may_be_over_a_message};
use crate::broker::amqp::address::Address;
use crate::broker::amqp::channel::subscribe;
use crate::broker::consuming::subscription::{ConsumedQueue, Subscription, subscription};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::{CLOSE_TIMEOUT, LOOK_SUBSCRIBE_TIMEOUT, LOOK_TIMEOUT, QUIET};
use crate::broker::transport::{self, Connected, DeliveryFilter, Fingerprint, Rule};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum SearchResult {
    /// This message of this queue cannot be read.
    Unreadable(ConsumedQueue, Fingerprint),
    Nothing,
}

/// Searches all these queues at once for one message that cannot be read; passes over those that are `known`.
pub(super) async fn search(
    context: &Context,
    address: &Address,
    queues: &[ConsumedQueue],
    known: &BTreeSet<Fingerprint>,
) -> Result<SearchResult, BrokerError> {
    let filter = Arc::new(DeliveryFilter::new(Rule::Without(known.clone())));
    let name = format!("{}, looking", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    let searching = search_on(context, &connection, queues, &filter);
    within_limit(name, searching).await
}

/// Ends the connection. No consumer may be dropped before: its cancellation would give another replica the messages
/// behind those that are held here, and these only later.
async fn search_on(
    context: &Context,
    connection: &Connected,
    queues: &[ConsumedQueue],
    filter: &DeliveryFilter,
) -> Result<SearchResult, BrokerError> {
    let subscribing = queues.iter().filter_map(|consumed| {
        let Subscription { queue, tag, prefetch, arguments } = subscription(context, *consumed)?;
        Some(async move {
            let subscribing = subscribe(connection, &queue, &tag, prefetch, arguments);
            match tokio::time::timeout(LOOK_SUBSCRIBE_TIMEOUT, subscribing).await {
                Ok(Ok((channel, consumer))) => Some((*consumed, prefetch, channel, consumer)),
                Ok(Err(error)) => {
                    tracing::debug!(queue, %error, "a queue cannot be searched for an unreadable message");
                    None
                }
                Err(_) => None,
            }
        })
    });
    let subscribing = std::pin::pin!(futures_util::future::join_all(subscribing));
    // Declared behind the consumers that are being made, and so dropped before them.
    let end_first = connection.end_on_drop();
    let subscribed = subscribing.await;
    let mut queue_of_channel = HashMap::new();
    // A channel closes with its last handle.
    let mut channels = Vec::new();
    let mut consumers = SelectAll::new();
    // Now behind these.
    let _end_first = end_first;
    let mut most = 0;
    for (consumed, prefetch, channel, consumer) in subscribed.into_iter().flatten() {
        most += usize::from(prefetch);
        queue_of_channel.insert(channel.id(), consumed);
        channels.push(channel);
        consumers.push(consumer);
    }
    filter.open(queue_of_channel.keys().copied().collect());
    let mut ended = None;
    let mut read = 0;
    while read < most {
        let next = tokio::select! {
            biased;
            next = consumers.next() => next,
            () = filter.changed() => continue,
            () = tokio::time::sleep(QUIET) => break,
        };
        match next {
            Some(Ok(_)) => read += 1,
            Some(Err(error)) => ended = Some(error),
            None => break,
        }
    }
    // A broker that failed did so over a message that it has not handed out, which the filter cannot know.
    let over_a_message =
        ended.as_ref().is_some_and(|error| may_be_over_a_message(error) && !is_broker_failure(error));
    // Both, because the client library ends its consumers before it changes the connection's state.
    let all_readable = !over_a_message && connection.status().connected();
    close(connection).await;
    if all_readable {
        return Ok(SearchResult::Nothing);
    }
    // Numbered in the order in which they were handed on. All that the library could read has come out of it by now.
    let unreadable = filter.passed(read).filter(|_| over_a_message);
    match unreadable.and_then(|passed| Some((queue_of_channel.get(&passed.channel)?, passed.fingerprint))) {
        Some((consumed, fingerprint)) => Ok(SearchResult::Unreadable(*consumed, fingerprint)),
        None => Err(ended.map_or(BrokerError::Closed, BrokerError::Amqp)),
    }
}

/// Finds all messages of a queue that the client library's parser refuses; it gets none of them itself.
pub(super) async fn search_with_parser(
    context: &Context,
    address: &Address,
    queue: ConsumedQueue,
) -> Result<BTreeSet<Fingerprint>, BrokerError> {
    let filter = Arc::new(DeliveryFilter::new(Rule::Keep(BTreeSet::new())));
    let name = format!("{}, looking", context.replica);
    let connection = transport::connect_filtered(address, &name, filter.clone()).await?;
    let searching = async {
        let Some(Subscription { queue, tag, prefetch, arguments }) = subscription(context, queue) else {
            return Ok(BTreeSet::new());
        };
        let _subscription = subscribe(&connection, &queue, &tag, prefetch, arguments).await?;
        let _end_first = connection.end_on_drop();
        while filter.arrived() < u64::from(prefetch) {
            if tokio::time::timeout(QUIET, filter.changed()).await.is_err() {
                break;
            }
        }
        close(&connection).await;
        Ok(filter.unreadable())
    };
    within_limit(name, searching).await
}

/// Gives up the work of one connection, with this name, when it takes too long.
pub(super) async fn within_limit<T>(
    name: String,
    work: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(LOOK_TIMEOUT, work)
        .await
        .unwrap_or(Err(BrokerError::SubscribeTimedOut { queue: name, within: LOOK_TIMEOUT }))
}

pub(super) async fn close(connection: &lapin::Connection) {
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a connection could not be closed in time");
    }
}
