//! What one message on the intake becomes: a message for a lane, one for each of its events, or dead letters.
//! Called by the router, which publishes them; publishes nothing itself.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;

use crate::broker::amqp::{properties, republished};
use crate::broker::context::Context;
use crate::broker::publishing::publication::Publication;
use crate::dead_letter::DeadLetter;
use crate::delivery::{AccountName, UNROUTED};
use crate::outcome::Refusal;
use crate::segment::{Batch, EventBody, Opened, Unopened};

use super::targets::{self, LaneTargets};

/// A message on the intake.
pub(super) struct IntakeMessage {
    /// Without the headers that only Freshet itself may set.
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// It came back to the intake, and may be in its lane already.
    pub(super) redelivered: bool,
    /// When the router took it.
    pub(super) taken_at: Timestamp,
}

/// What a message becomes.
pub(super) struct Sorted {
    /// At least one.
    pub(super) publications: Vec<Publication>,
    /// How many bytes are held until all of them are confirmed.
    pub(super) bytes: usize,
}

/// Finds what a message holds and where each event belongs, and counts the events that no lane will count.
pub(super) fn sort(context: &Context, targets: &mut LaneTargets, message: &IntakeMessage) -> Sorted {
    let IntakeMessage { properties, body, .. } = message;
    let origin = properties::origin(properties);
    let opened = context.opener.open(body, properties::encoding(properties), &origin);
    let mut bytes = body.len();
    let publications = match opened {
        Ok(Opened::One(one)) => vec![match targets.find(context, properties, || one.keys()) {
            Ok(lane) => {
                let properties = Arc::new(for_lane(message, properties));
                Publication::new(lane, EventBody::Whole(body.clone()), properties)
            }
            Err(refusal) => refused(context, message, None, &refusal),
        }],
        Ok(Opened::Many(batch)) => {
            bytes = bytes.max(batch.bytes());
            split(context, targets, message, batch)
        }
        Err(Unopened { refusal, keys }) => {
            let account = targets::find(context, properties, || Ok(keys)).ok();
            vec![refused(context, message, account.as_ref(), &refusal)]
        }
    };
    Sorted { publications, bytes }
}

/// A dead letter with the whole message.
pub(super) fn refused(
    context: &Context,
    message: &IntakeMessage,
    account: Option<&AccountName>,
    refusal: &Refusal,
) -> Publication {
    let IntakeMessage { properties, body, taken_at, .. } = message;
    let seen = context.opener.glimpse(body, properties::encoding(properties));
    let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at: *taken_at };
    let metrics = context.metrics.account(account.map_or(UNROUTED, |name| name));
    dead.count_as_received(&metrics, properties::trace_id(properties));
    Publication::to_dead_letters(&context.names, &dead, EventBody::Whole(body.clone()), properties)
}

/// One message for each event of a batch.
fn split(
    context: &Context,
    targets: &mut LaneTargets,
    message: &IntakeMessage,
    batch: Batch,
) -> Vec<Publication> {
    let unpacked = republished::unpacked(&message.properties);
    let shared = Arc::new(for_lane(message, &unpacked));
    let batch = Arc::new(batch);
    let mut publication = |index: usize| {
        let body = EventBody::Part(batch.clone(), index);
        match targets.find(context, &unpacked, || batch.keys_of(index)) {
            Ok(lane) => Publication::new(lane, body, shared.clone()),
            Err(refusal) => {
                let seen = crate::segment::glimpse(&body.bytes());
                let (refusal, failed_at) = (&refusal, message.taken_at);
                let dead = DeadLetter { refusal, account: None, seen: &seen, attempts: 0, failed_at };
                dead.count_as_received(&context.metrics.account(UNROUTED), properties::trace_id(&unpacked));
                Publication::to_dead_letters(&context.names, &dead, body, &unpacked)
            }
        }
    };
    (0..batch.len()).map(&mut publication).collect()
}

fn for_lane(message: &IntakeMessage, properties: &BasicProperties) -> BasicProperties {
    let properties = republished::for_lane(properties, message.taken_at);
    if message.redelivered { republished::as_copy(properties) } else { properties }
}
