//! What a message's properties become when it is published again, into a lane or the dead letters. Pure. Bodies are never
//! touched. Called by the router, by what makes dead letters, and by the commands that publish.
//!
//! What the broker would act upon must not act twice: it is kept under another name. How large the headers may be is for
//! [`super::fitting`] to say.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::properties::{BATCH, COPY, QUEUED_AT, queued_at};
use crate::dead_letter::header_names::{BROKER_COUNTS, ORIGINAL, is_of_one_delivery};

/// Route to further queues, and an unfit value closes the channel.
const ROUTING_HEADERS: &[&str] = &["CC", "BCC"];
/// From this priority on, a quorum queue hands a message out ahead of others.
const OVERTAKING: u8 = 5;
/// RabbitMQ refuses it from a channel that waits for no reply.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// Copies these properties, where they are set.
macro_rules! copy {
    ($from:ident, $to:ident: $($get:ident => $set:ident),+ $(,)?) => {
        $(if let Some(value) = $from.$get() { $to = $to.$set(value.clone()); })+
    };
}

/// For a lane: as they were, plus when the message was queued.
pub(in crate::broker) fn for_lane(original: BasicProperties, now: Timestamp) -> BasicProperties {
    let mut headers = harmless_headers(&original);
    let queued_at = queued_at(&original, now).as_millisecond();
    headers.insert(QUEUED_AT.into(), AMQPValue::LongLongInt(queued_at));
    // Nearly always nothing would act again, and nothing need be copied.
    let properties = if acts(&original) { harmless(&original) } else { original };
    properties.with_headers(headers)
}

/// For a dead letter: as they were, plus `added`.
pub(in crate::broker) fn for_dead_letter(original: &BasicProperties, added: &FieldTable) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in harmless_headers(original).inner() {
        if !is_of_one_delivery(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in added.inner() {
        headers.insert(name.clone(), value.clone());
    }
    harmless(original).with_headers(headers)
}

/// With a note that the message may be in the lane already.
pub(in crate::broker) fn as_copy(properties: BasicProperties) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(COPY.into(), AMQPValue::Boolean(true));
    properties.with_headers(headers)
}

/// With the number of the batch that the event was taken out of.
pub(in crate::broker) fn of_batch(properties: BasicProperties, number: i64) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(BATCH.into(), AMQPValue::LongLongInt(number));
    properties.with_headers(headers)
}

/// Without a `content_encoding`, for an event that was taken out of a packed batch.
pub(in crate::broker) fn unpacked(original: &BasicProperties) -> BasicProperties {
    if original.content_encoding().is_none() {
        return original.clone();
    }
    let mut copy = inert(original);
    copy!(original, copy:
        headers => with_headers,
        priority => with_priority,
        reply_to => with_reply_to,
        expiration => with_expiration,
        user_id => with_user_id,
    );
    copy
}

/// The headers, less what the broker would act upon, and what it would act upon under another name.
fn harmless_headers(original: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in original.headers().iter().flat_map(FieldTable::inner) {
        if ROUTING_HEADERS.contains(&name.as_str()) {
            headers.insert(renamed(name.as_str()), value.clone());
        } else if !BROKER_COUNTS.contains(&name.as_str()) && ![COPY, BATCH].contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some(expiration) = original.expiration() {
        headers.insert(renamed("expiration"), AMQPValue::LongString(expiration.as_str().into()));
    }
    if let Some(reply_to) = original.reply_to().as_ref().filter(|reply_to| is_direct(reply_to)) {
        headers.insert(renamed("reply-to"), AMQPValue::LongString(reply_to.as_str().into()));
    }
    if let Some(priority) = overtaking(original) {
        headers.insert(renamed("priority"), AMQPValue::LongLongInt(priority.into()));
    }
    if let Some(user) = original.user_id() {
        headers.insert(renamed("user-id"), AMQPValue::LongString(user.as_str().into()));
    }
    headers
}

fn renamed(name: &str) -> ShortString {
    ShortString::try_new(format!("{ORIGINAL}{}", name.to_lowercase())).unwrap_or_default()
}

/// The priority, if it has an effect.
fn overtaking(original: &BasicProperties) -> Option<u8> {
    original.priority().filter(|priority| *priority >= OVERTAKING)
}

/// Whether [`harmless`] leaves anything out but headers.
fn acts(original: &BasicProperties) -> bool {
    let left_out = [original.expiration(), original.user_id()];
    left_out.iter().any(|property| property.is_some())
        || overtaking(original).is_some()
        || original.reply_to().as_ref().is_some_and(is_direct)
}

fn is_direct(reply_to: &ShortString) -> bool {
    reply_to.as_str() == DIRECT_REPLY
}

/// Without headers, and without what would act again. An `expiration` would let the copy vanish, and a high `priority`
/// overtake what was queued before. A `user_id` that is not the connection's own closes the channel, and so does a
/// `reply_to` that asks for a direct reply.
fn harmless(original: &BasicProperties) -> BasicProperties {
    let mut copy = inert(original);
    copy!(original, copy: content_encoding => with_content_encoding);
    if let Some(priority) = original.priority().filter(|priority| *priority < OVERTAKING) {
        copy = copy.with_priority(priority);
    }
    match original.reply_to() {
        Some(reply_to) if !is_direct(reply_to) => copy.with_reply_to(reply_to.clone()),
        Some(_) | None => copy,
    }
}

/// Only the properties that the broker never acts upon, and that say nothing of how the body is packed.
fn inert(original: &BasicProperties) -> BasicProperties {
    let mut copy = BasicProperties::default();
    copy!(original, copy:
        content_type => with_content_type,
        delivery_mode => with_delivery_mode,
        correlation_id => with_correlation_id,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    copy
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::broker::amqp::properties::{header, text};

    pub(in crate::broker::amqp) fn original() -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert("tenant".into(), AMQPValue::LongString("t1".into()));
        headers.insert("CC".into(), AMQPValue::LongString("elsewhere".into()));
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        BasicProperties::default()
            .with_headers(headers)
            .with_message_id("m-1".into())
            .with_content_type("application/json".into())
            .with_expiration("1000".into())
            .with_user_id("somebody".into())
            .with_timestamp(1_700_000_000)
    }

    #[test]
    fn a_dead_letter_keeps_everything_and_nothing_that_acts() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut added = FieldTable::default();
        added.insert("freshet-reason".into(), AMQPValue::LongString("rejected".into()));
        let dead = for_dead_letter(&for_lane(original(), now), &added);
        assert_eq!(dead.message_id(), original().message_id());
        assert_eq!(dead.content_type(), original().content_type());
        assert_eq!(dead.timestamp(), original().timestamp());
        assert_eq!((dead.expiration(), dead.user_id()), (&None, &None));
        let names: Vec<_> =
            dead.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
        assert_eq!(
            names,
            [
                "freshet-original-cc",
                "freshet-original-expiration",
                "freshet-original-user-id",
                "freshet-reason",
                "tenant"
            ]
        );
    }

    #[test]
    fn an_event_taken_out_of_a_packed_batch_keeps_all_but_the_encoding() {
        let all = original()
            .with_priority(3)
            .with_delivery_mode(2)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_type("t".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into());
        assert_eq!(unpacked(&all.clone().with_content_encoding("gzip".into())), all);
        assert_eq!(unpacked(&all), all);
    }

    #[test]
    fn a_reply_that_only_its_sender_may_ask_for_is_kept_as_a_header() {
        let asked = |reply_to: &str| {
            for_lane(BasicProperties::default().with_reply_to(reply_to.into()), Timestamp::now())
        };
        let direct = asked("amq.rabbitmq.reply-to");
        assert_eq!(direct.reply_to(), &None);
        let kept = header(&direct, "freshet-original-reply-to").and_then(text);
        assert_eq!(kept, Some("amq.rabbitmq.reply-to"));
        assert_eq!(asked("answers").reply_to().as_ref().map(ShortString::as_str), Some("answers"));
    }

    #[test]
    fn a_priority_that_would_overtake_is_kept_as_a_header() {
        for (priority, stays) in [(0, true), (4, true), (5, false), (255, false)] {
            let lane = for_lane(BasicProperties::default().with_priority(priority), Timestamp::now());
            assert_eq!(lane.priority().is_some(), stays, "{priority}");
            let kept = header(&lane, "freshet-original-priority").and_then(AMQPValue::as_long_long_int);
            assert_eq!(kept, (!stays).then_some(priority.into()));
        }
    }
}
