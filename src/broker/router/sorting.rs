//! What becomes of one message on the intake: a message for a lane, one for each of its events, or dead letters.
//! The router sends them; nothing is sent here.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;

use crate::broker::amqp::{letter_properties, properties};
use crate::broker::context::Context;
use crate::broker::publishing::queue::{Publication, Route};
use crate::dead_letter::DeadLetter;
use crate::delivery::{AccountName, UNROUTED};
use crate::outcome::Refusal;
use crate::routing::ACCOUNT_HEADER;
use crate::segment::{Batch, EventBody, Opened, RoutingKeys, Unopened};

/// A message on the intake.
pub(in crate::broker) struct Message {
    /// As far as they are believed.
    pub(in crate::broker) properties: BasicProperties,
    pub(in crate::broker) body: Bytes,
    /// It was here before, and may be in its lane since.
    pub(in crate::broker) redelivered: bool,
    /// When the router took it.
    pub(in crate::broker) now: Timestamp,
}

/// What a message becomes, and how many bytes are held for it until all of that is confirmed.
pub(in crate::broker) struct Sorted {
    /// At least one.
    pub(in crate::broker) parcels: Vec<Publication>,
    pub(in crate::broker) bytes: usize,
}

/// Finds what a message holds and where each event belongs, and counts those that have no lane.
pub(in crate::broker) fn sort(context: &Context, message: &Message) -> Sorted {
    let Message { properties, body, .. } = message;
    let origin = properties::origin(properties);
    let opened = context.opener.open(body, properties::encoding(properties), &origin);
    let mut bytes = body.len();
    let parcels = match opened {
        Ok(Opened::One(one)) => vec![match find(context, properties, || one.keys()) {
            Ok(account) => {
                let properties = Arc::new(for_lane(message, properties));
                to_lane(context, &account, EventBody::Whole(body.clone()), properties)
            }
            Err(refusal) => refused(context, message, None, &refusal),
        }],
        Ok(Opened::Many(batch)) => {
            bytes = bytes.max(batch.bytes());
            split(context, message, batch)
        }
        Err(Unopened { refusal, keys }) => {
            let account = find(context, properties, || Ok(keys)).ok();
            vec![refused(context, message, account.as_ref(), &refusal)]
        }
    };
    Sorted { parcels, bytes }
}

/// A dead letter of the whole message.
pub(in crate::broker) fn refused(
    context: &Context,
    message: &Message,
    account: Option<&AccountName>,
    refusal: &Refusal,
) -> Publication {
    let Message { properties, body, now, .. } = message;
    let seen = context.opener.glimpse(body, properties::encoding(properties));
    let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at: *now };
    dead.count_as_received(&context.metrics.account(account.map_or(UNROUTED, |name| name)));
    to_dead_letters(context, &dead, properties, EventBody::Whole(body.clone()))
}

/// A message for each event.
fn split(context: &Context, message: &Message, batch: Batch) -> Vec<Publication> {
    let unpacked = properties::unpacked(&message.properties);
    let shared = Arc::new(for_lane(message, &unpacked));
    let batch = Arc::new(batch);
    let parcel = |index: usize| {
        let content = EventBody::Part(batch.clone(), index);
        match find(context, &unpacked, || batch.keys_of(index)) {
            Ok(account) => to_lane(context, &account, content, shared.clone()),
            Err(refusal) => {
                let seen = crate::segment::glimpse(&content.bytes());
                let (refusal, failed_at) = (&refusal, message.now);
                let dead = DeadLetter { refusal, account: None, seen: &seen, attempts: 0, failed_at };
                dead.count_as_received(&context.metrics.account(UNROUTED));
                to_dead_letters(context, &dead, &unpacked, content)
            }
        }
    };
    (0..batch.len()).map(parcel).collect()
}

fn find(
    context: &Context,
    properties: &BasicProperties,
    keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
) -> Result<AccountName, Refusal> {
    context.index.find(properties::header(properties, ACCOUNT_HEADER).map(properties::text), keys)
}

fn for_lane(message: &Message, properties: &BasicProperties) -> BasicProperties {
    let properties = properties::for_lane(properties, message.now);
    if message.redelivered { properties::as_copy(properties) } else { properties }
}

fn to_lane(
    context: &Context,
    account: &AccountName,
    content: EventBody,
    properties: Arc<BasicProperties>,
) -> Publication {
    let route = Route { exchange: context.names.lanes(), key: account.to_string() };
    Publication::new(context.names.lane(account), route, content, properties)
}

fn to_dead_letters(
    context: &Context,
    dead: &DeadLetter<'_>,
    original: &BasicProperties,
    content: EventBody,
) -> Publication {
    let queue = context.names.dead();
    let route = Route { exchange: queue.clone(), key: dead.routing_key() };
    let properties = letter_properties::for_dead_letter(original, dead);
    Publication::new(queue, route, content, Arc::new(properties))
}
