//! What a message's properties say. Pure; what they become when the message is published again is for
//! [`super::republished`].
//!
//! Headers that begin with `freshet-` are Freshet's own. A sender may set them all the same, so they are believed only
//! of messages that came by the exchange `Q.lanes`: RabbitMQ says by which exchange a message came, not its sender. The
//! router and the dead-letter commands publish there. An application may do so, too; what it then sets is bounded.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::dead_letter::header_names::{REPLAYS, is_of_one_delivery};
use crate::delivery::{TRACEPARENT, TraceId};

/// When the router took the message, in milliseconds since 1970. Only messages in lanes have it.
pub(in crate::broker) const QUEUED_AT: &str = "freshet-queued-at";
/// The router had this message before, and may have published it to the lane then.
pub(in crate::broker) const COPY: &str = "freshet-copy";
/// Which batch the event was taken out of. All its events have this number; a batch that comes again gets another one.
pub(in crate::broker) const BATCH: &str = "freshet-batch";

/// The longest that a message is believed to have been queued. A time before that comes from a wrong clock or a hostile
/// sender, and in a histogram it would outweigh all others.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The properties without forged headers: those that begin with `freshet-`, if the message did not come by
/// `exchange_of_ours`.
///
/// `freshet-original-*` and `freshet-headers-left-out` stay: they only say how the message once was. An event that is sent
/// back from the dead letters still has them, and the transport notes there what it left out. So does the count of replays,
/// which a letter without an account brings by way of the intake: it is bounded where it is read, and only lists show it.
pub(in crate::broker) fn believed(
    properties: BasicProperties,
    exchange: &str,
    exchange_of_ours: &str,
) -> BasicProperties {
    let is_forged = |name: &ShortString| is_of_one_delivery(name.as_str()) && name.as_str() != REPLAYS;
    let Some(headers) = properties.headers() else { return properties };
    if exchange == exchange_of_ours || !headers.inner().keys().any(is_forged) {
        return properties;
    }
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner().iter().filter(|(name, _)| !is_forged(name)) {
        kept.insert(name.clone(), value.clone());
    }
    properties.with_headers(kept)
}

/// When a message was queued: as the router noted it, else as its publisher did, else now. Never in the future, and no
/// longer ago than [`LONGEST_WAIT`]: a publisher whose clock says otherwise is not believed.
pub(in crate::broker) fn queued_at(properties: &BasicProperties, now: Timestamp) -> Timestamp {
    let noted = header(properties, QUEUED_AT)
        .and_then(AMQPValue::as_long_long_int)
        .and_then(|millisecond| Timestamp::from_millisecond(millisecond).ok());
    let published = || {
        let second = i64::try_from((*properties.timestamp())?).ok()?;
        Timestamp::from_second(second).ok()
    };
    let earliest = now.saturating_sub(LONGEST_WAIT).unwrap_or(now);
    noted
        .map(|then| then.max(earliest))
        .or_else(|| published().filter(|then| *then >= earliest))
        .filter(|then| *then <= now)
        .unwrap_or(now)
}

/// How the sender says that the body is compressed.
pub(in crate::broker) fn encoding(properties: &BasicProperties) -> Option<&str> {
    properties.content_encoding().as_ref().map(ShortString::as_str)
}

/// Tells a message from others with the same body, and is the same each time that it is delivered.
pub(in crate::broker) fn origin(properties: &BasicProperties) -> impl fmt::Display {
    let id = properties.message_id().as_ref().map(ShortString::as_str);
    let time = properties.timestamp().unwrap_or_default();
    fmt::from_fn(move |f| write!(f, "{time} {}", id.unwrap_or_default()))
}

pub(in crate::broker) fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// Whether the message may be in the lane twice, see [`COPY`].
pub(in crate::broker) fn is_copy(properties: &BasicProperties) -> bool {
    matches!(header(properties, COPY), Some(AMQPValue::Boolean(true)))
}

/// Which batch the event was taken out of, see [`BATCH`].
pub(in crate::broker) fn batch(properties: &BasicProperties) -> Option<i64> {
    header(properties, BATCH).and_then(AMQPValue::as_long_long_int)
}

/// The trace that the sender put the message into.
pub(in crate::broker) fn trace_id(properties: &BasicProperties) -> Option<TraceId> {
    TraceId::from_traceparent(text(header(properties, TRACEPARENT)?)?)
}

/// How often the broker has got the message back unsettled. Counted only on a redelivery: on a first one the header would be
/// the sender's.
pub(in crate::broker) fn returns_of(message: &lapin::message::Delivery) -> u64 {
    if message.redelivered { returns(&message.properties) } else { 0 }
}

fn returns(properties: &BasicProperties) -> u64 {
    let count = header(properties, "x-delivery-count").and_then(|value| match value {
        AMQPValue::LongLongInt(count) => u64::try_from(*count).ok(),
        AMQPValue::LongInt(count) => u64::try_from(*count).ok(),
        AMQPValue::LongUInt(count) => Some(u64::from(*count)),
        AMQPValue::ShortInt(count) => u64::try_from(*count).ok(),
        AMQPValue::ShortUInt(count) => Some(u64::from(*count)),
        AMQPValue::ShortShortInt(count) => u64::try_from(*count).ok(),
        AMQPValue::ShortShortUInt(count) => Some(u64::from(*count)),
        AMQPValue::Boolean(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ShortString(_)
        | AMQPValue::LongString(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    });
    count.unwrap_or_default()
}

/// A header's text: `None` where it is no string in UTF-8.
pub(in crate::broker) fn text(value: &AMQPValue) -> Option<&str> {
    if let AMQPValue::LongString(text) = value {
        std::str::from_utf8(text.as_bytes()).ok()
    } else if let AMQPValue::ShortString(text) = value {
        Some(text.as_str())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::amqp::republished::{for_lane, tests::original};
    use crate::dead_letter::header_names::LEFT_OUT;

    #[test]
    fn queued_at_is_the_first_time_known_and_never_ahead_of_now() {
        let now = Timestamp::from_second(1_700_100_000).unwrap();
        let published = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(queued_at(&original(), now), published);
        assert_eq!(queued_at(&for_lane(original(), now), now), published);
        assert_eq!(queued_at(&BasicProperties::default(), now), now);
        assert_eq!(queued_at(&original(), Timestamp::from_second(5).unwrap()).as_second(), 5);
        let earlier = Timestamp::from_second(1_699_000_000).unwrap();
        assert_eq!(queued_at(&for_lane(BasicProperties::default(), earlier), now), earlier);
    }

    #[test]
    fn no_clock_says_that_a_message_waited_for_years() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let earliest = now - LONGEST_WAIT;
        for noted in [i64::MIN, -1, 0, earliest.as_millisecond() - 1] {
            let mut headers = FieldTable::default();
            headers.insert(QUEUED_AT.into(), AMQPValue::LongLongInt(noted));
            let queued_at = queued_at(&BasicProperties::default().with_headers(headers), now);
            assert!(queued_at == earliest || queued_at == now, "{noted}: {queued_at}");
        }
        for published in [0, 5, 1_700_000_000, u64::MAX] {
            let properties = BasicProperties::default().with_timestamp(published);
            assert_eq!(queued_at(&properties, now), now, "{published}");
        }
    }

    #[test]
    fn what_a_sender_says_in_freshet_s_name_is_believed_only_by_way_of_the_lanes_exchange() {
        let mut headers = FieldTable::default();
        for (name, value) in [
            (QUEUED_AT, AMQPValue::LongLongInt(1)),
            (COPY, AMQPValue::Boolean(true)),
            ("freshet-replays", AMQPValue::LongLongInt(7)),
            ("freshet-reason", AMQPValue::LongString("rejected".into())),
            (LEFT_OUT, AMQPValue::LongLongInt(i64::MAX)),
            ("freshet-original-cc", AMQPValue::LongString("elsewhere".into())),
            ("tenant", AMQPValue::LongString("t1".into())),
        ] {
            headers.insert(name.into(), value);
        }
        let sent = BasicProperties::default().with_message_id("m-1".into()).with_headers(headers);
        for exchange in ["", "amq.topic", "Q"] {
            let believed = believed(sent.clone(), exchange, "Q.lanes");
            let names: Vec<_> =
                believed.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
            assert_eq!(names, [LEFT_OUT, "freshet-original-cc", REPLAYS, "tenant"], "by way of {exchange:?}");
            assert_eq!(believed.message_id(), sent.message_id());
        }
        assert_eq!(believed(sent.clone(), "Q.lanes", "Q.lanes"), sent);
    }
}
