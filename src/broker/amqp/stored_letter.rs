//! A message of the dead-letter queue as a [`Letter`], and as it is sent back from there. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value};

use super::{properties, republished};
use crate::dead_letter::Letter;
use crate::dead_letter::header_names::{PACKED_BYTES, REPLAYS};

const PERSISTENT: u8 = 2;
/// What RabbitMQ notes of a message that it dead-letters.
const DEATHS: &str = "x-death";
const FIRST_DEATH: &str = "x-first-death-";
const LAST_DEATH: &str = "x-last-death-";

/// Everything that the queue holds of it.
pub(in crate::broker) fn letter(delivery: &Delivery) -> Letter {
    Letter {
        headers: delivery.properties.headers().as_ref().map(json_table).unwrap_or_default(),
        properties: json_properties(&delivery.properties),
        routing_key: delivery.routing_key.to_string(),
        body: Bytes::copy_from_slice(&delivery.data),
    }
}

/// The properties with which a letter's event goes back: as they were in its lane, and one replay more. What RabbitMQ
/// would act upon stays under its other name, as in a lane's own copy. `is_ours`: whether a queue holds events of Freshet's.
pub(in crate::broker) fn sent_back(
    original: &BasicProperties,
    is_ours: impl Fn(&str) -> bool,
) -> BasicProperties {
    let before = properties::header(original, REPLAYS).and_then(whole).unwrap_or_default();
    let mut added = FieldTable::default();
    let replays = before.clamp(0, i64::from(u32::MAX)) + 1;
    added.insert(REPLAYS.into(), AMQPValue::LongLongInt(replays));
    without_deaths(republished::for_dead_letter(original, &added), is_ours).with_delivery_mode(PERSISTENT)
}

/// Without RabbitMQ's notes of deaths in Freshet's own queues: they are over, and would be taken for those of a later
/// letter. Deaths on the sender's side stay.
pub(in crate::broker) fn without_deaths(
    properties: BasicProperties,
    is_ours: impl Fn(&str) -> bool,
) -> BasicProperties {
    let Some(headers) = properties.headers() else { return properties };
    let died_here = |queue: Option<&AMQPValue>| queue.and_then(properties::text).is_some_and(&is_ours);
    let note = |prefix: &str| headers.inner().get(format!("{prefix}queue").as_str());
    let (first, last) = (died_here(note(FIRST_DEATH)), died_here(note(LAST_DEATH)));
    let mut kept = FieldTable::default();
    for (name, value) in headers.inner() {
        let over = (first && name.as_str().starts_with(FIRST_DEATH))
            || (last && name.as_str().starts_with(LAST_DEATH));
        if over {
            continue;
        }
        if name.as_str() == DEATHS
            && let AMQPValue::FieldArray(deaths) = value
        {
            let theirs: Vec<AMQPValue> = deaths
                .as_slice()
                .iter()
                .filter(|death| {
                    !matches!(death, AMQPValue::FieldTable(death) if died_here(death.inner().get("queue")))
                })
                .cloned()
                .collect();
            if !theirs.is_empty() {
                kept.insert(name.clone(), AMQPValue::FieldArray(theirs.into()));
            }
            continue;
        }
        kept.insert(name.clone(), value.clone());
    }
    properties.with_headers(kept)
}

fn whole(value: &AMQPValue) -> Option<i64> {
    json_value(value).as_i64()
}

fn json_table(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, value)| (name.to_string(), json_value(value))).collect()
}

fn json_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortUInt(number) => (*number).into(),
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        AMQPValue::Float(number) => f64::from(*number).into(),
        AMQPValue::Double(number) => (*number).into(),
        AMQPValue::DecimalValue(number) => {
            (f64::from(number.value) / 10_f64.powi(number.scale.into())).into()
        }
        AMQPValue::Timestamp(second) => (*second).into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => text_or_bytes(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => text_or_bytes(bytes.as_slice()),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(json_value).collect(),
        AMQPValue::FieldTable(table) => Value::Object(json_table(table)),
        AMQPValue::Void => Value::Null,
    }
}

/// JSON has no bytes: they stand in base64, under a name that nothing else has.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => Map::from_iter([(PACKED_BYTES.to_owned(), STANDARD.encode(bytes).into())]).into(),
    }
}

fn json_properties(properties: &BasicProperties) -> Map<String, Value> {
    let mut map = Map::new();
    macro_rules! texts {
        ($($name:literal => $get:ident),+ $(,)?) => {
            $(if let Some(text) = properties.$get() { map.insert($name.to_owned(), text.as_str().into()); })+
        };
    }
    texts!(
        "content_type" => content_type,
        "content_encoding" => content_encoding,
        "correlation_id" => correlation_id,
        "reply_to" => reply_to,
        "expiration" => expiration,
        "message_id" => message_id,
        "type" => kind,
        "user_id" => user_id,
        "app_id" => app_id,
        "cluster_id" => cluster_id,
    );
    if let Some(mode) = properties.delivery_mode() {
        map.insert("delivery_mode".to_owned(), (*mode).into());
    }
    if let Some(priority) = properties.priority() {
        map.insert("priority".to_owned(), (*priority).into());
    }
    if let Some(timestamp) = properties.timestamp() {
        map.insert("timestamp".to_owned(), (*timestamp).into());
    }
    map
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;
    use crate::broker::amqp::letter_properties::{amqp_headers, without_headers};

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn death(queue: &str) -> AMQPValue {
        AMQPValue::FieldTable(table(&[("queue", text(queue)), ("count", AMQPValue::LongLongInt(1))]))
    }

    fn is_ours(queue: &str) -> bool {
        ["q", "q.dead"].contains(&queue) || queue.starts_with("q.lane.")
    }

    fn names_of(properties: &BasicProperties) -> Vec<String> {
        properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn an_event_goes_back_as_it_was_in_its_lane() {
        let original = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_content_encoding("gzip".into())
            .with_delivery_mode(1)
            .with_headers(table(&[
                ("tenant", text("t")),
                ("freshet-reason", text("rejected")),
                ("freshet-account", text("acme")),
                ("freshet-original-cc", text("elsewhere")),
                ("freshet-replays", AMQPValue::LongLongInt(2)),
                ("x-delivery-count", AMQPValue::LongLongInt(7)),
            ]));
        let back = sent_back(&original, is_ours);
        assert_eq!(names_of(&back), ["freshet-original-cc", REPLAYS, "tenant"]);
        assert_eq!(properties::header(&back, REPLAYS), Some(&AMQPValue::LongLongInt(3)));
        assert_eq!(*back.delivery_mode(), Some(PERSISTENT));
        assert_eq!(back.content_encoding(), original.content_encoding());
        assert_eq!(back.message_id(), original.message_id());
    }

    #[test]
    fn a_forged_count_of_replays_stays_within_bounds() {
        for (before, after) in [(i64::MIN, 1), (-1, 1), (0, 1), (i64::MAX, i64::from(u32::MAX) + 1)] {
            let original =
                BasicProperties::default().with_headers(table(&[(REPLAYS, AMQPValue::LongLongInt(before))]));
            let back = sent_back(&original, is_ours);
            assert_eq!(properties::header(&back, REPLAYS), Some(&AMQPValue::LongLongInt(after)));
        }
    }

    #[test]
    fn deaths_in_freshet_s_queues_are_forgotten_and_those_before_stay() {
        let mut deaths = FieldArray::default();
        for queue in ["q.lane.acme", "q", "delay", "q.dead", "quiet"] {
            deaths.push(death(queue));
        }
        let original = BasicProperties::default().with_headers(table(&[
            ("x-death", AMQPValue::FieldArray(deaths)),
            ("x-first-death-queue", text("delay")),
            ("x-first-death-reason", text("expired")),
            ("x-last-death-queue", text("q.lane.acme")),
            ("x-last-death-reason", text("delivery_limit")),
        ]));
        let back = without_deaths(original, is_ours);
        assert_eq!(names_of(&back), ["x-death", "x-first-death-queue", "x-first-death-reason"]);
        let Some(AMQPValue::FieldArray(left)) = properties::header(&back, "x-death") else { panic!() };
        assert_eq!(left.as_slice(), [death("delay"), death("quiet")]);
        let ours = BasicProperties::default()
            .with_headers(table(&[("x-death", AMQPValue::FieldArray(vec![death("q")].into()))]));
        assert!(names_of(&without_deaths(ours, is_ours)).is_empty());
    }

    #[test]
    fn headers_and_properties_come_back_from_a_file() {
        let nested = table(&[("deep", AMQPValue::Double(0.5)), ("flag", AMQPValue::Boolean(true))]);
        let headers = table(&[
            ("bytes", AMQPValue::LongString(vec![0xff, 0x00].into())),
            ("list", AMQPValue::FieldArray(vec![text("a"), AMQPValue::LongLongInt(2)].into())),
            ("nested", AMQPValue::FieldTable(nested)),
            ("nothing", AMQPValue::Void),
            ("text", text("t")),
        ]);
        let properties = BasicProperties::default()
            .with_message_id("m".into())
            .with_type("t".into())
            .with_timestamp(5)
            .with_priority(3);
        let letter = Letter {
            headers: json_table(&headers),
            properties: json_properties(&properties),
            ..Letter::default()
        };
        let read = Letter::from_line(&letter.to_line().unwrap()).unwrap();
        assert_eq!(amqp_headers(&read.headers), headers);
        assert_eq!(without_headers(&read), properties);
    }
}
