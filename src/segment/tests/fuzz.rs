//! Any bytes, and bodies that are almost events: decoding, `routing_keys` and `glimpse` never panic, and agree.

use bytes::Bytes;
use proptest::prelude::*;

use crate::fuzz::{MARK, almost_json, feed, marked};
use crate::outcome::{DeadLetterReason, Refusal};
use crate::segment::{self, BODY_LIMIT, Event, EventType, Undelivered, glimpse, routing_keys};

/// Every string that is a value is marked; names are not.
const BODIES: &[&str] = &[
    r#"{"type":"identify","userId":"u-Zq7x","messageId":"m-Zq7x","writeKey":"wk-Zq7x","traits":{"email":"a@Zq7x.example","n":[1.5e3,null,{"a":"Zq7x"}],"company":{"name":"Zq7x"}},"integrations":{"All":true,"Freshsales":{"k":"Zq7x"}}}"#,
    r#"{"messageId":"Zq7x\u0041\ud83d\ude00","type":"track","event":"Did Zq7x","userId":12,"projectId":"p-Zq7x","properties":{"price":12345678901234567890.5},"timestamp":"2026-03-01T12:00:00Z","version":2,"channel":"Zq7x"}"#,
    r#"{"type":"page","userId":"Zq7x","context":{"page":{"url":"https://Zq7x.example/"}},"name":"Zq7x","category":null,"properties":{"url":" "},"anonymousId":"Zq7x","sentAt":"Zq7x","integrations":{"Freshsales Suite":false}}"#,
    r#"{"type":"screen","messageId":"","userId":null}"#,
];

fn decode(body: &[u8]) -> Result<Event, Undelivered> {
    segment::decode(&Bytes::copy_from_slice(body))
}

fn reported(refusal: &Refusal) -> String {
    serde_json::to_string(&refusal.problems).unwrap()
}

fn tells_no_value(refusal: &Refusal) -> Result<(), TestCaseError> {
    prop_assert!(!refusal.problems.is_empty());
    prop_assert!(refusal.problems.iter().all(|problem| !problem.problem.is_empty()));
    prop_assert!(!reported(refusal).contains(MARK), "{}", reported(refusal));
    Ok(())
}

/// The router and a dead letter's headers read the same as the lane.
fn agrees(event: &Event, body: &[u8]) -> Result<(), TestCaseError> {
    let keys = routing_keys(body);
    prop_assert!(keys.is_ok(), "a lane takes what the router refuses: {keys:?}");
    let seen = glimpse(body);
    prop_assert_eq!(seen.event_type.as_deref(), Some(event.event_type().as_str()));
    let printable = |id: &String| id.len() <= 255 && id.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    prop_assert_eq!(
        seen.message_id.filter(|id| !id.trim().is_empty()),
        event.message_id.clone().filter(printable)
    );
    Ok(())
}

fn holds(body: &[u8]) -> Result<(), TestCaseError> {
    let decoded = decode(body);
    prop_assert_eq!(&decode(body), &decoded);
    match &decoded {
        Ok(event) => agrees(event, body)?,
        // An event of another type is skipped unread, so its keys may be of the wrong kind.
        Err(Undelivered::Skip(_)) => {
            let keys = routing_keys(body).map_err(|refusal| refusal.reason);
            prop_assert!(matches!(keys, Ok(_) | Err(DeadLetterReason::InvalidEvent)), "{keys:?}");
        }
        Err(Undelivered::Refuse(refusal)) => {
            tells_no_value(refusal)?;
            prop_assert!(matches!(
                refusal.reason,
                DeadLetterReason::MalformedJson | DeadLetterReason::InvalidEvent | DeadLetterReason::TooLarge
            ));
        }
    }
    if let Err(refusal) = routing_keys(body) {
        tells_no_value(&refusal)?;
    }
    let seen = glimpse(body);
    for text in [&seen.event_type, &seen.message_id].into_iter().flatten() {
        prop_assert!((1..=255).contains(&text.len()) && text.is_ascii(), "{text:?}");
    }
    prop_assert!(seen.label() == "other" || EventType::from_word(seen.label()).is_some());
    Ok(())
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    feed("any bytes", &prop::collection::vec(any::<u8>(), 0..60), |body| holds(&body));
}

#[test]
fn bodies_that_are_almost_events_are_decoded_or_refused() {
    feed("almost an event", &almost_json(BODIES), |body| holds(&body));
}

#[test]
fn an_envelope_of_any_values_is_decoded_or_refused() {
    // A body that is JSON, with values of wrong kinds under the keys that are read.
    const NAMES: &[&str] = &[
        "type",
        "userId",
        "messageId",
        "anonymousId",
        "traits",
        "properties",
        "context",
        "integrations",
        "All",
        "Freshsales",
        "event",
        "url",
        "page",
        "name",
        "writeKey",
        "projectId",
        "version",
        "timestamp",
        "identify",
        "track",
    ];
    let envelope = prop::collection::vec((prop::sample::select(NAMES), crate::fuzz::any_json(NAMES)), 0..10);
    let types = prop::sample::select(vec!["identify", "track", "page", "alias"]);
    feed("an envelope of any values", &(types, envelope), |(word, entries)| {
        let mut body = format!(r#"{{"type":"{word}""#);
        // Written as text, so that keys can repeat.
        for (name, value) in entries {
            body.extend([",", &serde_json::Value::from(name).to_string(), ":", &marked(value).to_string()]);
        }
        body.push('}');
        holds(body.as_bytes())
    });
}

#[test]
fn depth_and_length_are_bounded() {
    let depths = (1_usize..2000, any::<bool>(), any::<bool>());
    feed("deep bodies", &depths, |(depth, list, closed)| {
        let (open, close) = if list { ("[", "]") } else { ("{\"a\":", "}") };
        let mut body = format!("{{\"type\":\"identify\",\"traits\":{}1", open.repeat(depth));
        if closed {
            body.push_str(&close.repeat(depth));
        }
        body.push('}');
        holds(body.as_bytes())
    });
    let long = vec![b' '; BODY_LIMIT + 1];
    assert!(holds(&long).is_ok());
}
