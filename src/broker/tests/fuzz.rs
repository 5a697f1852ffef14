//! Any headers and properties: what is published again fits into a frame, acts on nothing, and loses nothing that fits.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, ShortString};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::broker::amqp::fitting::fit;
use crate::broker::amqp::packed::PackedProperties;
use crate::broker::amqp::{letter_properties, properties, republished};
use crate::dead_letter::DeadLetter;
use crate::delivery::AccountName;
use crate::fuzz::{almost_json, any_text, feed};
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::routing::ACCOUNT_HEADER;
use crate::routing::{AccountIndex, AccountKeys};
use crate::segment::{glimpse, routing_keys};

/// RabbitMQ's `frame_max`, as it is if nobody sets it.
const FRAME: usize = 131_072;
/// What RabbitMQ may add to a message that it gives out again: its counts.
const ADDED_BY_BROKER: usize = 128;
/// Far more than small headers take.
const SMALL: usize = 4096;

const NAMES: &[&str] = &[
    "CC",
    "BCC",
    "cc",
    "x-delivery-count",
    "x-acquired-count",
    "x-death",
    "freshsales-account",
    "tenant",
    "freshet-queued-at",
    "freshet-reason",
    "freshet-detail",
    "freshet-headers-left-out",
    "freshet-original-cc",
    "freshet-original-expiration",
    "freshet-replays",
    "traceparent",
    "",
];

fn short(text: &str) -> ShortString {
    ShortString::try_new(text.to_owned()).unwrap_or_default()
}

fn any_name() -> impl Strategy<Value = ShortString> {
    prop_oneof![
        6 => select(NAMES).prop_map(short),
        2 => any_text().prop_map(|text| short(&text)),
        1 => (0_usize..256).prop_map(|length| short(&"n".repeat(length))),
    ]
}

fn any_value(longest: usize) -> BoxedStrategy<AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<f64>().prop_map(AMQPValue::Double),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        Just(AMQPValue::Void),
        any_text().prop_map(|text| AMQPValue::ShortString(short(&text))),
        any_text().prop_map(|text| AMQPValue::LongString(text.into())),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| AMQPValue::ByteArray(ByteArray::from(bytes))),
        (0..=longest).prop_map(|length| AMQPValue::LongString("x".repeat(length).into())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| AMQPValue::FieldArray(FieldArray::from(items))),
            prop::collection::vec((any_name(), inner), 0..4)
                .prop_map(|entries| AMQPValue::FieldTable(table(entries))),
        ]
    })
    .boxed()
}

fn table(entries: Vec<(ShortString, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name, value);
    }
    table
}

/// Small headers mostly; sometimes one or more that fill a frame or two.
fn any_headers() -> impl Strategy<Value = FieldTable> {
    let of =
        |longest, count| prop::collection::vec((any_name(), any_value(longest)), 0..count).prop_map(table);
    let text = (0_usize..70_000).prop_map(|length| AMQPValue::LongString("x".repeat(length).into()));
    let long = prop::collection::vec((any_name(), text), 1..6).prop_map(table);
    prop_oneof![6 => of(64, 10), 1 => of(100_000, 8), 1 => long]
}

fn any_properties() -> impl Strategy<Value = BasicProperties> {
    let text = || prop::option::of(prop_oneof![any_text(), Just("y".repeat(255))]);
    let texts = (text(), text(), text(), text(), text(), text(), text());
    (prop::option::weighted(0.9, any_headers()), texts, prop::option::of(any::<u64>()), prop::option::of(any::<u8>()))
        .prop_map(|(headers, texts, timestamp, priority)| {
            let mut properties = BasicProperties::default();
            if let Some(headers) = headers {
                properties = properties.with_headers(headers);
            }
            let (content_type, correlation, message, expiration, user, kind, app) = texts;
            macro_rules! with {
                ($($value:ident => $set:ident),+) => {
                    $(if let Some(value) = $value { properties = properties.$set(short(&value)); })+
                };
            }
            with!(content_type => with_content_type, correlation => with_correlation_id, message => with_message_id,
                expiration => with_expiration, user => with_user_id, kind => with_type, app => with_app_id);
            if let Some(timestamp) = timestamp {
                properties = properties.with_timestamp(timestamp);
            }
            if let Some(priority) = priority {
                properties = properties.with_priority(priority).with_delivery_mode(2);
            }
            properties
        })
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap())
}

/// A value as AMQP 0-9-1 writes it, without its type.
fn written(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.as_slice().len(),
        AMQPValue::FieldArray(items) => {
            4 + items.as_slice().iter().map(|item| 1 + written(item)).sum::<usize>()
        }
        AMQPValue::FieldTable(table) => written_table(table),
    }
}

fn written_table(table: &FieldTable) -> usize {
    4 + table.inner().iter().map(|(name, value)| 1 + name.as_str().len() + 1 + written(value)).sum::<usize>()
}

/// The frame that carries a message's properties, as the client library writes it.
fn frame(properties: &BasicProperties) -> usize {
    let header = AMQPContentHeader { class_id: 60, body_size: 1, properties: properties.clone() };
    let frame = AMQPFrame::Header(1, header);
    gen_frame(&frame)(WriteContext::from(Vec::new())).unwrap().into_inner().0.len()
}

fn names(properties: &BasicProperties) -> Vec<&str> {
    properties.headers().iter().flat_map(FieldTable::inner).map(|(name, _)| name.as_str()).collect()
}

fn left_out(properties: &BasicProperties) -> bool {
    names(properties).contains(&"freshet-headers-left-out")
}

/// What holds of every copy.
fn is_harmless(
    original: &BasicProperties,
    copy: &BasicProperties,
    frame_max: usize,
) -> Result<(), TestCaseError> {
    let size = frame(copy);
    prop_assert!(size + ADDED_BY_BROKER <= frame_max, "{size} bytes of {frame_max}");
    for acting in ["CC", "BCC", "x-delivery-count", "x-acquired-count"] {
        prop_assert!(!names(copy).contains(&acting), "{acting}");
    }
    prop_assert_eq!((copy.expiration(), copy.user_id()), (&None, &None));
    let others = |of: &BasicProperties| {
        // What overtakes is told apart.
        let of = of.clone().with_priority(of.priority().filter(|priority| *priority < 5).unwrap_or_default());
        of.with_headers(FieldTable::default()).with_expiration(short("")).with_user_id(short(""))
    };
    prop_assert_eq!(others(copy), others(original));
    Ok(())
}

/// Every header of the original is there as it was, but for these.
fn keeps(
    original: &BasicProperties,
    copy: &BasicProperties,
    but: impl Fn(&str) -> bool,
) -> Result<(), TestCaseError> {
    for (name, value) in original.headers().iter().flat_map(FieldTable::inner) {
        let name = name.as_str();
        let acts = ["CC", "BCC", "x-delivery-count", "x-acquired-count"].contains(&name);
        if !acts && !but(name) {
            prop_assert_eq!(properties::header(copy, name), Some(value), "{}", name);
        }
    }
    // Kept of an earlier copy, it stays.
    let earlier = properties::header(original, "freshet-original-cc");
    if let Some(value) = earlier.or(properties::header(original, "CC")) {
        prop_assert_eq!(properties::header(copy, "freshet-original-cc"), Some(value));
    }
    if let Some(priority) = original.priority().filter(|priority| *priority >= 5) {
        let kept =
            properties::header(copy, "freshet-original-priority").and_then(AMQPValue::as_long_long_int);
        prop_assert_eq!((copy.priority(), kept), (&None, Some(priority.into())));
    }
    if let Some(expiration) = original.expiration() {
        let kept = properties::header(copy, "freshet-original-expiration").and_then(properties::text);
        prop_assert_eq!(kept, Some(expiration.as_str()));
    }
    Ok(())
}

fn size(properties: &BasicProperties) -> usize {
    properties.headers().as_ref().map_or(0, written_table)
}

/// What the sender's own headers take.
fn senders(properties: &BasicProperties) -> usize {
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    let own = headers.filter(|(name, _)| !name.as_str().starts_with("freshet-"));
    own.map(|(name, value)| 2 + name.as_str().len() + written(value)).sum()
}

/// Names that a copy writes itself.
fn renamed(name: &str) -> bool {
    name.starts_with("freshet-original-") || name == "freshet-headers-left-out"
}

#[test]
fn whatever_the_headers_a_lane_gets_a_harmless_copy() {
    feed("headers into a lane", &(any_properties(), any_time()), |(original, now)| {
        let copy = fit(republished::for_lane(original.clone(), now), FRAME);
        is_harmless(&original, &copy, FRAME)?;
        prop_assert!(properties::queued_at(&copy, now) <= now);
        prop_assert_eq!(properties::queued_at(&copy, now), properties::queued_at(&original, now));
        let still = |name: &str| renamed(name) || name == "freshet-queued-at";
        if size(&original) + 2 * SMALL < 120 * 1024 {
            keeps(&original, &copy, still)?;
            // To be routed again changes nothing.
            prop_assert_eq!(&fit(republished::for_lane(copy.clone(), now), FRAME), &copy);
        } else if !left_out(&copy) {
            keeps(&original, &copy, still)?;
        }
        Ok(())
    });
}

fn any_problem() -> impl Strategy<Value = Problem> {
    let text =
        || prop_oneof![8 => any_text(), 1 => (0_usize..40_000).prop_map(|length| "\u{1}".repeat(length))];
    (
        prop::option::of(text()),
        prop::option::of(text()),
        text(),
        prop::option::of(text()),
        prop::option::of(text()),
    )
        .prop_map(|(field, trait_path, problem, expected, got)| Problem {
            field,
            trait_path,
            problem,
            expected,
            got,
            further: 0,
        })
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    let status = prop::option::of(any::<u16>());
    (select(DeadLetterReason::ALL), prop::collection::vec(any_problem(), 1..6), status)
        .prop_map(|(reason, problems, http_status)| Refusal { reason, problems, http_status })
}

const BODIES: &[&str] = &[
    r#"{"type":"identify","userId":"u-1","messageId":"m-1","writeKey":"wk_a","traits":{"email":"a@example.com"}}"#,
    r#"{"messageId":"m\u0041","type":"track","event":"Did","projectId":"p_a","writeKey":null}"#,
    r#"{"writeKey":"wk_g","projectId":"p_a"}"#,
];

#[test]
fn whatever_the_properties_they_come_out_as_they_went_in() {
    feed("packed properties", &any_properties(), |properties| {
        let packed = PackedProperties::new(properties.clone());
        // Compared as text: no number that is none equals itself.
        prop_assert_eq!(format!("{:?}", packed.unpack()), format!("{properties:?}"));
        Ok(())
    });
}

#[test]
fn whatever_is_refused_its_letter_fits_and_says_why() {
    let inputs =
        (any_properties(), any_refusal(), almost_json(BODIES), any_time(), any::<u32>(), any::<bool>());
    feed("dead letters", &inputs, |(original, refusal, body, now, attempts, through_lane)| {
        let taken = if through_lane {
            fit(republished::for_lane(original.clone(), now), FRAME)
        } else {
            original.clone()
        };
        let (account, seen): (AccountName, _) = ("acme".into(), glimpse(&body));
        let letter =
            DeadLetter { refusal: &refusal, account: Some(&account), seen: &seen, attempts, failed_at: now };
        let letter = fit(letter_properties::for_dead_letter(&taken, &letter), FRAME);
        is_harmless(&original, &letter, FRAME)?;
        let text = |name: &str| properties::header(&letter, name).and_then(properties::text);
        prop_assert_eq!(text("freshet-reason"), Some(refusal.reason.as_str()));
        prop_assert_eq!(text("freshet-account"), Some("acme"));
        let detail = text("freshet-detail").unwrap_or_default();
        prop_assert!(detail.len() <= 16 * 1024, "{} bytes of detail", detail.len());
        let detail: Value = serde_json::from_str(detail).unwrap();
        prop_assert!(detail.as_array().is_some_and(|problems| !problems.is_empty()));
        prop_assert!(!names(&letter).contains(&"freshet-queued-at"));
        if !left_out(&letter) {
            keeps(&original, &letter, |name| name.starts_with("freshet-"))?;
        }
        let own = names(&original).iter().any(|name| renamed(name));
        if !through_lane && !own && senders(&original) + 20 * 1024 + SMALL < 120 * 1024 {
            prop_assert!(!left_out(&letter), "{} bytes would have fitted", senders(&original));
        }
        Ok(())
    });
}

/// From what AMQP allows to more than anyone has.
fn any_frame_max() -> impl Strategy<Value = usize> {
    prop_oneof![select(vec![4096, 4097, 8192, 16_384, FRAME]), 4096..300_000_usize]
}

#[test]
fn whatever_the_frame_a_copy_and_a_letter_fit_it_and_the_letter_says_why() {
    let message_id =
        (0_usize..100_000).prop_map(|length| format!(r#"{{"messageId":"{}"}}"#, "m".repeat(length)));
    let inputs = (any_properties(), any_refusal(), message_id, any_time(), any_frame_max());
    feed("frames of any size", &inputs, |(original, refusal, body, now, frame_max)| {
        let copy = fit(republished::as_copy(republished::for_lane(original.clone(), now)), frame_max);
        is_harmless(&original, &copy, frame_max)?;
        prop_assert!(properties::is_copy(&copy));
        prop_assert_eq!(properties::queued_at(&copy, now), properties::queued_at(&original, now));
        let (account, seen): (AccountName, _) = ("acme".into(), glimpse(body.as_bytes()));
        let letter = DeadLetter {
            refusal: &refusal,
            account: Some(&account),
            seen: &seen,
            attempts: 1,
            failed_at: now,
        };
        let letter = fit(letter_properties::for_dead_letter(&copy, &letter), frame_max);
        is_harmless(&original, &letter, frame_max)?;
        let text = |name: &str| properties::header(&letter, name).and_then(properties::text);
        prop_assert_eq!(text("freshet-reason"), Some(refusal.reason.as_str()));
        prop_assert_eq!(text("freshet-account"), Some("acme"));
        let detail: Value = serde_json::from_str(text("freshet-detail").unwrap_or_default()).unwrap();
        prop_assert!(detail.as_array().is_some_and(|problems| !problems.is_empty()));
        Ok(())
    });
}

#[test]
fn whatever_the_header_and_the_body_an_event_finds_an_account_that_is_there_or_a_reason() {
    let claims = |name: &str, keys: &[&str], projects: &[&str]| AccountKeys {
        name: name.into(),
        write_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        project_ids: projects.iter().map(|id| (*id).to_owned()).collect(),
    };
    let many = AccountIndex::new(&[claims("acme", &["wk_a"], &["p_a"]), claims("globex", &["wk_g"], &[])]);
    let only = AccountIndex::new(&[claims("acme", &[], &[])]);
    let named = prop_oneof![
        any_value(8),
        select(vec!["acme", "globex", "nobody"]).prop_map(|name| AMQPValue::LongString(name.into())),
    ];
    let inputs = (prop::option::of(named), almost_json(BODIES), any::<bool>());
    feed("routing", &inputs, |(named, body, one)| {
        let directory = if one { &only } else { &many };
        let mut headers = FieldTable::default();
        if let Some(named) = named {
            headers.insert(ACCOUNT_HEADER.into(), named);
        }
        let properties = BasicProperties::default().with_headers(headers);
        let header = properties::header(&properties, ACCOUNT_HEADER).map(properties::text);
        let keys = || routing_keys(&body).map(|keys| vec![keys]);
        let found = directory.find(header, keys);
        prop_assert_eq!(&directory.find(header, keys), &found);
        match (found, header) {
            (Ok(name), Some(header)) => prop_assert_eq!(Some(&*name), header),
            (Ok(name), None) => prop_assert!(["acme", "globex"].contains(&&*name)),
            (Err(refusal), Some(_)) => prop_assert_eq!(refusal.reason, DeadLetterReason::UnknownAccount),
            (Err(refusal), None) => {
                prop_assert!(!one && !refusal.problems.is_empty());
                prop_assert!(matches!(
                    refusal.reason,
                    DeadLetterReason::UnknownAccount
                        | DeadLetterReason::MalformedJson
                        | DeadLetterReason::InvalidEvent
                ));
            }
        }
        Ok(())
    });
}
