//! A dead letter's headers and properties as AMQP has them. Pure. What the headers say is for
//! [`crate::dead_letter`] to decide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use serde_json::{Map, Value};

use super::{properties, republished};
use crate::dead_letter::header_names::{PACKED_BYTES, REPLAYS};
use crate::dead_letter::{DeadLetter, Letter};

/// The properties of a dead letter: the message's own, and why it cannot be delivered.
pub(in crate::broker) fn for_dead_letter(
    original: &BasicProperties,
    dead: &DeadLetter<'_>,
) -> BasicProperties {
    republished::for_dead_letter(original, &amqp_headers(&dead.headers(replays(original))))
}

/// Whether the event was a dead letter and was sent back.
pub(in crate::broker) fn was_replayed(properties: &BasicProperties) -> bool {
    replays(properties) > 0
}

/// How often the event was sent back from the dead letters before. Bounded, because the count may be forged and is counted
/// up.
fn replays(original: &BasicProperties) -> i64 {
    let count = properties::header(original, REPLAYS);
    let long = count.and_then(AMQPValue::as_long_long_int);
    let count = long.or_else(|| count.and_then(AMQPValue::as_long_int).map(i64::from)).unwrap_or_default();
    count.clamp(0, i64::from(u32::MAX))
}

/// The properties with which a letter's event is published again. Its headers are apart: [`amqp_headers`].
pub(in crate::broker) fn without_headers(letter: &Letter) -> BasicProperties {
    let text = |name: &str| letter.properties.get(name).and_then(Value::as_str).and_then(short);
    let number = |name: &str| letter.properties.get(name).and_then(Value::as_u64);
    let mut properties = BasicProperties::default();
    macro_rules! take {
        ($($name:literal => $set:ident),+ $(,)?) => {
            $(if let Some(value) = text($name) { properties = properties.$set(value); })+
        };
    }
    take!(
        "content_type" => with_content_type,
        "content_encoding" => with_content_encoding,
        "correlation_id" => with_correlation_id,
        "reply_to" => with_reply_to,
        "message_id" => with_message_id,
        "type" => with_type,
        "app_id" => with_app_id,
        "cluster_id" => with_cluster_id,
    );
    if let Some(timestamp) = number("timestamp") {
        properties = properties.with_timestamp(timestamp);
    }
    if let Some(priority) = number("priority").and_then(|priority| u8::try_from(priority).ok()) {
        properties = properties.with_priority(priority);
    }
    properties
}

/// None if the text is too long for one of AMQP's short strings.
fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text.to_owned()).ok()
}

/// Leaves out headers whose names are too long for AMQP.
pub(in crate::broker) fn amqp_headers(headers: &Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if let Some(name) = short(name) {
            table.insert(name, amqp_value(value));
        }
    }
    table
}

fn amqp_value(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(flag) => AMQPValue::Boolean(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => AMQPValue::LongLongInt(whole),
            (None, Some(real)) => AMQPValue::Double(real),
            (None, None) => AMQPValue::LongString(number.to_string().into()),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(items) => {
            let mut array = FieldArray::default();
            for item in items {
                array.push(amqp_value(item));
            }
            AMQPValue::FieldArray(array)
        }
        Value::Object(entries) => match bytes(entries) {
            Some(bytes) => AMQPValue::LongString(bytes.into()),
            None => AMQPValue::FieldTable(amqp_headers(entries)),
        },
    }
}

/// Bytes that are no text, as a file holds them.
fn bytes(entries: &Map<String, Value>) -> Option<Vec<u8>> {
    let packed = entries.get(PACKED_BYTES).filter(|_| entries.len() == 1)?;
    STANDARD.decode(packed.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_and_properties_are_turned_into_amqp_s() {
        let headers =
            json!({"tenant": "t", "n": 3, "r": 1.5, "deep": {"list": [true, null]}, "x".repeat(300): 1});
        let table = amqp_headers(headers.as_object().unwrap());
        let value = |name: &str| table.inner().get(name).cloned();
        assert_eq!(value("tenant"), Some(AMQPValue::LongString("t".into())));
        assert_eq!(value("n"), Some(AMQPValue::LongLongInt(3)));
        assert_eq!(value("r"), Some(AMQPValue::Double(1.5)));
        assert!(matches!(value("deep"), Some(AMQPValue::FieldTable(_))));
        assert_eq!(table.inner().len(), 4);
        let mut letter = Letter::default();
        letter.properties.insert("message_id".into(), json!("m-1"));
        letter.properties.insert("timestamp".into(), json!(1_700_000_000));
        letter.properties.insert("type".into(), json!(7));
        let properties = without_headers(&letter);
        assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some("m-1"));
        assert_eq!((*properties.timestamp(), properties.kind()), (Some(1_700_000_000), &None));
    }
}
