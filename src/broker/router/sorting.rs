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
use crate::runtime::{beside_others, takes_long};
use crate::segment::{Batch, EventBody, Opened, Unopened};

use super::targets::{self, LaneTargets};

#[derive(Debug, Clone)]
pub(super) struct IntakeMessage {
    /// Without the headers that only Freshet itself may set.
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// It came back to the intake, and may be in its lane already.
    pub(super) redelivered: bool,
    pub(super) taken_at: Timestamp,
}

impl IntakeMessage {
    /// `exchange`: by which the message came.
    pub(super) fn new(
        context: &Context,
        properties: BasicProperties,
        exchange: &str,
        body: Bytes,
        redelivered: bool,
    ) -> Self {
        let properties = properties::believed(properties, exchange, context.names.lanes());
        Self { properties, body, redelivered, taken_at: Timestamp::now() }
    }

    fn for_lane(&self, properties: BasicProperties) -> BasicProperties {
        let properties = republished::for_lane(properties, self.taken_at);
        if self.redelivered { republished::as_copy(properties) } else { properties }
    }
}

/// What a message becomes.
pub(super) struct Sorted {
    /// At least one.
    pub(super) publications: Vec<Publication>,
    /// How many bytes are held until all of them are confirmed.
    pub(super) bytes: usize,
}

/// Finds what a message holds and where each event belongs, and counts the events that no lane will count. Lanes go on
/// meanwhile, however large it is.
pub(super) fn sort(context: &Context, targets: &mut LaneTargets, message: IntakeMessage) -> Sorted {
    let long = takes_long(&message.body);
    beside_others(long, || sort_here(context, targets, message))
}

fn sort_here(context: &Context, targets: &mut LaneTargets, mut message: IntakeMessage) -> Sorted {
    let IntakeMessage { properties, body, .. } = &message;
    let opened = context.opener.open(body, properties::encoding(properties), properties::origin(properties));
    let mut bytes = body.len();
    let publications = match opened {
        Ok(Opened::One(one)) => vec![match targets.find(context, properties, || one.keys()) {
            Ok(lane) => {
                let properties = std::mem::take(&mut message.properties);
                let properties = Arc::new(message.for_lane(properties));
                Publication::new(lane, EventBody::Whole(message.body), properties)
            }
            Err(refusal) => refused(context, &message, None, &refusal),
        }],
        Ok(Opened::Many(batch)) => {
            bytes = bytes.max(batch.bytes());
            split(context, targets, &message, batch)
        }
        Err(Unopened { refusal, keys }) => {
            let account = targets::find(context, properties, || Ok(keys)).ok();
            vec![refused(context, &message, account.as_ref(), &refusal)]
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
    let number = targets.number_batch(message.taken_at);
    let shared = Arc::new(republished::of_batch(message.for_lane(unpacked.clone()), number));
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

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::broker::router::trial;
    use crate::cost::allocated;
    use crate::routing::AccountKeys;

    fn context() -> Context {
        let keys = |account: &str| AccountKeys {
            name: account.into(),
            write_keys: vec![format!("key of {account}")],
            project_ids: vec![],
        };
        trial::context(&[keys("acme"), keys("globex")]).unwrap()
    }

    fn message(account: &str) -> IntakeMessage {
        let mut headers = FieldTable::default();
        headers.insert("tenant".into(), AMQPValue::LongString("t1".into()));
        let properties = BasicProperties::default().with_message_id("m-1".into()).with_headers(headers);
        let example = include_str!("../../../examples/events.ndjson").lines().next().unwrap();
        let body = Bytes::from(example.replace("wk_acme", &format!("key of {account}")));
        IntakeMessage { properties, body, redelivered: false, taken_at: Timestamp::UNIX_EPOCH }
    }

    /// The key that was found, the list of publications, and the properties for the lane with their headers.
    #[test]
    fn the_router_allocates_little_for_an_event() {
        let (context, mut targets) = (context(), LaneTargets::default());
        let messages = [message("acme"), message("globex")];
        for message in &messages {
            sort(&context, &mut targets, message.clone());
        }
        for message in messages {
            let cost = allocated(|| drop(sort(&context, &mut targets, message)));
            assert!(cost.count_total <= 9, "{cost:?}");
        }
    }

    #[test]
    fn a_lane_s_name_is_made_once_and_anew_when_the_accounts_change() {
        let (context, mut targets) = (context(), LaneTargets::default());
        let find = |targets: &mut LaneTargets| {
            let properties = message("acme").properties;
            let mut headers = properties.headers().clone().unwrap();
            headers.insert("freshsales-account".into(), AMQPValue::LongString("acme".into()));
            targets.find(&context, &properties.with_headers(headers), || Ok(vec![]))
        };
        let first = find(&mut targets).unwrap();
        assert!(Arc::ptr_eq(&first, &find(&mut targets).unwrap()));
        context.routed.set(Arc::default());
        assert!(find(&mut targets).is_err(), "the account is gone");
    }
}
