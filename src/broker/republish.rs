//! What a message's properties become when it is published again, into a lane or the dead letters.
//! Pure. Bodies are never touched.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The most bytes of headers that a copy carries. They travel in one frame, and one that is larger than the
/// broker's limit (131072 bytes, less other properties and what it adds on redelivery) costs the connection, again
/// and again, for every account.
const HEADERS_LIMIT: usize = 120 * 1024;
/// How many of the original's headers were left out to keep within [`HEADERS_LIMIT`].
const LEFT_OUT: &str = "freshet-headers-left-out";

/// When the router took the message; only lanes carry it.
const QUEUED_AT: &str = "freshet-queued-at";
/// The router had this message before, and may have put it into the lane then.
const COPY: &str = "freshet-copy";

/// Headers that would make the broker do something to the copy; kept under another name.
/// `CC` and `BCC` route to further queues, and an unfit one closes the channel.
const ACTING_HEADERS: &[&str] = &["CC", "BCC"];
/// The broker's own count, true only of the queue it came from.
const BROKER_HEADERS: &[&str] = &["x-delivery-count", "x-acquired-count"];

/// Properties for a lane: as they were, plus when the message was queued.
pub(super) fn for_lane(original: &BasicProperties, now: Timestamp) -> BasicProperties {
    let mut headers = fitted(passive(original), 0);
    let queued_at = queued_at(original, now).as_millisecond();
    headers.insert(QUEUED_AT.into(), AMQPValue::LongLongInt(queued_at));
    without_acting(original).with_headers(headers)
}

/// Properties for a dead letter: as they were, plus `added`.
pub(super) fn for_dead_letter(original: &BasicProperties, added: &FieldTable) -> BasicProperties {
    let mut fresh = FieldTable::default();
    for (name, value) in passive(original).inner() {
        if !stale(name.as_str()) {
            fresh.insert(name.clone(), value.clone());
        }
    }
    let mut headers = fitted(fresh, size_of_table(added));
    for (name, value) in added.inner() {
        headers.insert(name.clone(), value.clone());
    }
    without_acting(original).with_headers(headers)
}

/// What an earlier letter said of the event, and the lane's own note. What was kept of the sender's stays.
pub(super) fn stale(name: &str) -> bool {
    name.starts_with("freshet-") && !name.starts_with("freshet-original-") && name != LEFT_OUT
}

/// When a message was queued: as the router noted it, else as its publisher did, else now.
pub(super) fn queued_at(properties: &BasicProperties, now: Timestamp) -> Timestamp {
    let noted = header(properties, QUEUED_AT)
        .and_then(AMQPValue::as_long_long_int)
        .and_then(|millisecond| Timestamp::from_millisecond(millisecond).ok());
    let published = || {
        let second = i64::try_from((*properties.timestamp())?).ok()?;
        Timestamp::from_second(second).ok()
    };
    noted.or_else(published).filter(|then| *then <= now).unwrap_or(now)
}

/// A header's value.
pub(super) fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// Notes that the message may be in the lane already.
pub(super) fn as_copy(properties: BasicProperties) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(COPY.into(), AMQPValue::Boolean(true));
    properties.with_headers(headers)
}

/// Whether the router may have put the message into the lane before.
pub(super) fn is_copy(properties: &BasicProperties) -> bool {
    matches!(header(properties, COPY), Some(AMQPValue::Boolean(true)))
}

/// How often the broker has given the message out and got it back unsettled.
pub(super) fn returns(properties: &BasicProperties) -> u64 {
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
pub(super) fn text(value: &AMQPValue) -> Option<&str> {
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
    if let Some(user) = original.user_id() {
        headers.insert(kept("user-id"), AMQPValue::LongString(user.as_str().into()));
    }
    headers
}

/// Leaves out the largest headers until the rest and `reserved` bytes keep within the limit.
fn fitted(headers: FieldTable, reserved: usize) -> FieldTable {
    let mut size = size_of_table(&headers) + reserved;
    if size <= HEADERS_LIMIT {
        return headers;
    }
    let mut entries: Vec<_> = headers.inner().iter().collect();
    entries.sort_by_key(|(name, value)| size_of_entry(name, value));
    // What the router left out is not there any more, and still missing.
    let earlier = headers.inner().get(LEFT_OUT).and_then(AMQPValue::as_long_long_int);
    let mut left_out = earlier.unwrap_or_default();
    while size > HEADERS_LIMIT
        && let Some((name, value)) = entries.pop()
    {
        size -= size_of_entry(name, value);
        left_out = left_out.saturating_add(1);
    }
    let mut fitted = FieldTable::default();
    for (name, value) in entries {
        fitted.insert(name.clone(), value.clone());
    }
    fitted.insert(LEFT_OUT.into(), AMQPValue::LongLongInt(left_out));
    fitted
}

/// What a table takes on the wire.
fn size_of_table(table: &FieldTable) -> usize {
    4 + table.inner().iter().map(|(name, value)| size_of_entry(name, value)).sum::<usize>()
}

fn size_of_entry(name: &ShortString, value: &AMQPValue) -> usize {
    2 + name.as_str().len() + size_of_value(value)
}

fn size_of_value(value: &AMQPValue) -> usize {
    if let AMQPValue::LongString(text) = value {
        4 + text.as_bytes().len()
    } else if let AMQPValue::ShortString(text) = value {
        1 + text.as_str().len()
    } else if let AMQPValue::ByteArray(bytes) = value {
        4 + bytes.as_slice().len()
    } else if let AMQPValue::FieldArray(items) = value {
        4 + items.as_slice().iter().map(|item| 1 + size_of_value(item)).sum::<usize>()
    } else if let AMQPValue::FieldTable(table) = value {
        size_of_table(table)
    } else {
        // A number, a flag, a time or nothing.
        8
    }
}

fn kept(name: &str) -> ShortString {
    ShortString::try_new(format!("freshet-original-{}", name.to_lowercase())).unwrap_or_default()
}

/// The other properties. An `expiration` would let the copy vanish, and a `user_id` that is not the
/// connection's own closes the channel: both go, and are kept as headers.
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
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn headers_that_fill_a_frame_are_left_out_largest_first() {
        let mut headers = FieldTable::default();
        headers.insert("tenant".into(), AMQPValue::LongString("t1".into()));
        headers.insert("large".into(), AMQPValue::LongString("x".repeat(100_000).into()));
        headers.insert("small".into(), AMQPValue::LongString("x".repeat(30_000).into()));
        let original = BasicProperties::default().with_headers(headers);
        let names = |properties: &BasicProperties| -> Vec<String> {
            properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect()
        };
        let lane = for_lane(&original, Timestamp::from_second(1_800_000_000).unwrap());
        assert_eq!(names(&lane), [LEFT_OUT, QUEUED_AT, "small", "tenant"]);
        let mut added = FieldTable::default();
        added.insert("freshet-detail".into(), AMQPValue::LongString("x".repeat(100_000).into()));
        let dead = for_dead_letter(&lane, &added);
        assert_eq!(names(&dead), ["freshet-detail", LEFT_OUT, "tenant"]);
        assert_eq!(header(&dead, LEFT_OUT), Some(&AMQPValue::LongLongInt(2)), "the router's and this one");
    }

    #[test]
    fn what_an_earlier_letter_said_takes_no_room_from_the_sender_s_headers() {
        let mut headers = FieldTable::default();
        headers.insert("freshet-detail".into(), AMQPValue::LongString("x".repeat(16_000).into()));
        headers.insert("large".into(), AMQPValue::LongString("x".repeat(100_000).into()));
        let mut added = FieldTable::default();
        added.insert("freshet-detail".into(), AMQPValue::LongString("y".repeat(16_000).into()));
        let dead = for_dead_letter(&BasicProperties::default().with_headers(headers.clone()), &added);
        assert_eq!(header(&dead, "large"), headers.inner().get("large"));
        assert_eq!(header(&dead, LEFT_OUT), None);
    }

    #[test]
    fn queued_at_is_the_first_time_known_and_never_ahead_of_now() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let published = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(queued_at(&original(), now), published);
        assert_eq!(queued_at(&for_lane(&original(), now), now), published);
        assert_eq!(queued_at(&BasicProperties::default(), now), now);
        assert_eq!(queued_at(&original(), Timestamp::from_second(5).unwrap()).as_second(), 5);
        let earlier = Timestamp::from_second(1_600_000_000).unwrap();
        assert_eq!(queued_at(&for_lane(&BasicProperties::default(), earlier), now), earlier);
    }
}
