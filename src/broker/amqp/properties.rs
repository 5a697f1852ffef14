//! What a message's properties become when it is published again, into a lane or the dead letters.
//! Pure. Bodies are never touched. How large the headers may be is for [`crate::broker::amqp::fitting`] to say.
//!
//! Headers that begin with `freshet-` are Freshet's own. A sender may set them all the same, so they are believed only
//! of messages that came by the exchange `Q.lanes`: RabbitMQ says by which exchange a message came, not its sender. The
//! router and the dead-letter commands publish there. An application may do so, too; what it then sets is bounded.

use jiff::{SignedDuration, Timestamp};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::dead_letter::header_names::{ORIGINAL, is_of_one_delivery};

/// When the router took the message; only lanes carry it.
pub(in crate::broker) const QUEUED_AT: &str = "freshet-queued-at";
/// The router had this message before, and may have put it into the lane then.
pub(in crate::broker) const COPY: &str = "freshet-copy";

/// Headers that would make the broker do something to the copy; kept under another name.
/// `CC` and `BCC` route to further queues, and an unfit one closes the channel.
const ACTING_HEADERS: &[&str] = &["CC", "BCC"];
/// The longest that a message is believed to have been queued. A time before that comes from a wrong clock or a hostile
/// sender, and in a histogram it would outweigh all others.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// From this priority on, a quorum queue hands a message out ahead of others.
const OVERTAKING: u8 = 5;
/// RabbitMQ refuses it from a channel that waits for no reply.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";
/// The broker's own count, true only of the queue it came from.
const BROKER_HEADERS: &[&str] = &["x-delivery-count", "x-acquired-count"];

/// The properties, without what the sender set in Freshet's name if the message did not come by `exchange_of_ours`.
///
/// `freshet-original-*` and `freshet-headers-left-out` stay: they only say what the message once was. An event that is sent
/// back from the dead letters still has them, and our own transport notes what it had to leave out.
pub(in crate::broker) fn believed(
    properties: &BasicProperties,
    exchange: &str,
    exchange_of_ours: &str,
) -> BasicProperties {
    let sender_s = |name: &ShortString| is_of_one_delivery(name.as_str());
    let Some(headers) = properties.headers() else { return properties.clone() };
    if exchange == exchange_of_ours || !headers.inner().keys().any(sender_s) {
        return properties.clone();
    }
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner().iter().filter(|(name, _)| !sender_s(name)) {
        kept.insert(name.clone(), value.clone());
    }
    properties.clone().with_headers(kept)
}

/// Properties for a lane: as they were, plus when the message was queued.
pub(in crate::broker) fn for_lane(original: &BasicProperties, now: Timestamp) -> BasicProperties {
    let mut headers = passive(original);
    let queued_at = queued_at(original, now).as_millisecond();
    headers.insert(QUEUED_AT.into(), AMQPValue::LongLongInt(queued_at));
    without_acting(original).with_headers(headers)
}

/// Properties for a dead letter: as they were, plus `added`.
pub(in crate::broker) fn for_dead_letter(original: &BasicProperties, added: &FieldTable) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in passive(original).inner() {
        if !is_of_one_delivery(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in added.inner() {
        headers.insert(name.clone(), value.clone());
    }
    without_acting(original).with_headers(headers)
}

/// When a message was queued: as the router noted it, else as its publisher did, else now. Never in the future, and no
/// longer ago than [`LONGEST_WAIT`]; a publisher whose clock says otherwise is not believed.
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

/// How the body is packed, as its sender says.
pub(in crate::broker) fn encoding(properties: &BasicProperties) -> Option<&str> {
    properties.content_encoding().as_ref().map(ShortString::as_str)
}

/// What tells a message from others with the same body, and is the same each time that it is delivered.
pub(in crate::broker) fn origin(properties: &BasicProperties) -> String {
    let id = properties.message_id().as_ref().map(ShortString::as_str);
    format!("{} {}", properties.timestamp().unwrap_or_default(), id.unwrap_or_default())
}

/// The same properties without a `content_encoding`, for an event that was taken out of a packed batch.
pub(in crate::broker) fn unpacked(original: &BasicProperties) -> BasicProperties {
    if original.content_encoding().is_none() {
        return original.clone();
    }
    let mut copy = BasicProperties::default();
    macro_rules! keep {
        ($($get:ident => $set:ident),+ $(,)?) => {
            $(if let Some(value) = original.$get() { copy = copy.$set(value.clone()); })+
        };
    }
    keep!(
        content_type => with_content_type,
        headers => with_headers,
        delivery_mode => with_delivery_mode,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        expiration => with_expiration,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        user_id => with_user_id,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    copy
}

/// A header's value.
pub(in crate::broker) fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// Notes that the message may be in the lane already.
pub(in crate::broker) fn as_copy(properties: BasicProperties) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(COPY.into(), AMQPValue::Boolean(true));
    properties.with_headers(headers)
}

/// Whether the router may have put the message into the lane before.
pub(in crate::broker) fn is_copy(properties: &BasicProperties) -> bool {
    matches!(header(properties, COPY), Some(AMQPValue::Boolean(true)))
}

/// How often a message has come back. On a first delivery the header would be the sender's.
pub(in crate::broker) fn returns_of(message: &lapin::message::Delivery) -> u64 {
    if message.redelivered { returns(&message.properties) } else { 0 }
}

/// How often the broker has given the message out and got it back unsettled.
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

/// The headers, less what the broker would act upon.
fn passive(original: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in original.headers().iter().flat_map(FieldTable::inner) {
        if ACTING_HEADERS.contains(&name.as_str()) {
            headers.insert(kept(name.as_str()), value.clone());
        } else if !BROKER_HEADERS.contains(&name.as_str()) && name.as_str() != COPY {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some(expiration) = original.expiration() {
        headers.insert(kept("expiration"), AMQPValue::LongString(expiration.as_str().into()));
    }
    if let Some(reply_to) = original.reply_to().as_ref().filter(|reply_to| is_direct(reply_to)) {
        headers.insert(kept("reply-to"), AMQPValue::LongString(reply_to.as_str().into()));
    }
    if let Some(priority) = overtaking(original) {
        headers.insert(kept("priority"), AMQPValue::LongLongInt(priority.into()));
    }
    if let Some(user) = original.user_id() {
        headers.insert(kept("user-id"), AMQPValue::LongString(user.as_str().into()));
    }
    headers
}

fn kept(name: &str) -> ShortString {
    ShortString::try_new(format!("{ORIGINAL}{}", name.to_lowercase())).unwrap_or_default()
}

/// The priority, if it has an effect.
fn overtaking(original: &BasicProperties) -> Option<u8> {
    original.priority().filter(|priority| *priority >= OVERTAKING)
}

fn is_direct(reply_to: &ShortString) -> bool {
    reply_to.as_str() == DIRECT_REPLY
}

/// The other properties. An `expiration` would let the copy vanish, a high `priority` overtake what was queued before; a `user_id` that is not the connection's own and a
/// `reply_to` that asks for a direct reply close the channel: they go, and are kept as headers.
fn without_acting(original: &BasicProperties) -> BasicProperties {
    let mut copy = BasicProperties::default();
    macro_rules! keep {
        ($($get:ident => $set:ident),+ $(,)?) => {
            $(if let Some(value) = original.$get() { copy = copy.$set(value.clone()); })+
        };
    }
    keep!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        delivery_mode => with_delivery_mode,
        correlation_id => with_correlation_id,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    if let Some(priority) = original.priority().filter(|priority| *priority < OVERTAKING) {
        copy = copy.with_priority(priority);
    }
    match original.reply_to() {
        Some(reply_to) if !is_direct(reply_to) => copy.with_reply_to(reply_to.clone()),
        Some(_) | None => copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::header_names::LEFT_OUT;

    fn original() -> BasicProperties {
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
        let dead = for_dead_letter(&for_lane(&original(), now), &added);
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
            for_lane(&BasicProperties::default().with_reply_to(reply_to.into()), Timestamp::now())
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
            let lane = for_lane(&BasicProperties::default().with_priority(priority), Timestamp::now());
            assert_eq!(lane.priority().is_some(), stays, "{priority}");
            let kept = header(&lane, "freshet-original-priority").and_then(AMQPValue::as_long_long_int);
            assert_eq!(kept, (!stays).then_some(priority.into()));
        }
    }

    #[test]
    fn queued_at_is_the_first_time_known_and_never_ahead_of_now() {
        let now = Timestamp::from_second(1_700_100_000).unwrap();
        let published = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(queued_at(&original(), now), published);
        assert_eq!(queued_at(&for_lane(&original(), now), now), published);
        assert_eq!(queued_at(&BasicProperties::default(), now), now);
        assert_eq!(queued_at(&original(), Timestamp::from_second(5).unwrap()).as_second(), 5);
        let earlier = Timestamp::from_second(1_699_000_000).unwrap();
        assert_eq!(queued_at(&for_lane(&BasicProperties::default(), earlier), now), earlier);
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
            let believed = believed(&sent, exchange, "Q.lanes");
            let names: Vec<_> =
                believed.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
            assert_eq!(names, [LEFT_OUT, "freshet-original-cc", "tenant"], "by way of {exchange:?}");
            assert_eq!(believed.message_id(), sent.message_id());
        }
        assert_eq!(believed(&sent, "Q.lanes", "Q.lanes"), sent);
    }
}
