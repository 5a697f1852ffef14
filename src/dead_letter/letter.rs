//! A dead letter as one line of a file: `{headers, properties, routing_key, body}`. Pure.
//!
//! The file feed writes such lines, and takes them back as events; so does `publish`. `body` is the event itself where
//! it is a JSON object or array on one line, and `body_base64` holds its bytes where it is not: reading a line gives
//! the very bytes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::header_names::{self, REPLAYS};
use crate::delivery::UNROUTED;
use crate::outcome::DeadLetterReason;
use crate::routing::ACCOUNT_HEADER;

/// A dead letter, with all that RabbitMQ has or would have of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Letter {
    /// By name.
    pub headers: Map<String, Value>,
    /// AMQP's other properties, by their names there; only those that are set.
    pub properties: Map<String, Value>,
    /// `<account>.<reason>`.
    pub routing_key: String,
    /// The event, byte for byte.
    pub body: Bytes,
}

#[derive(Serialize)]
struct Written<'a> {
    headers: &'a Map<String, Value>,
    properties: &'a Map<String, Value>,
    routing_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// `RawResponse` parts are only delimited: most lines are no letters, and the first key that no letter has ends the reading.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(borrow)]
    headers: &'a RawValue,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    routing_key: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    body_base64: Option<&'a RawValue>,
}

impl Letter {
    /// The line, with its line break.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let body = plain(&self.body);
        let body_base64 = body.is_none().then(|| STANDARD.encode(&self.body));
        let Self { headers, properties, routing_key, .. } = self;
        let mut line = serde_json::to_vec(&Written { headers, properties, routing_key, body, body_base64 })?;
        line.push(b'\n');
        Ok(line)
    }

    /// The letter that a line holds; `None` if it holds something else.
    ///
    /// A letter has `headers`, one of `body` and `body_base64`, and nothing beside but `properties` and `routing_key`.
    /// So no event is taken for a letter, whatever its sender puts into it: an event has a `type`.
    pub fn from_line(line: &[u8]) -> Option<Self> {
        let read: Read<'_> = serde_json::from_slice(line).ok()?;
        let body = match (read.body, read.body_base64) {
            (Some(body), None) => text_or_json(body),
            (None, Some(packed)) => {
                STANDARD.decode(serde_json::from_str::<String>(packed.get()).ok()?).ok()?
            }
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let table = |raw: &RawValue| serde_json::from_str(raw.get()).ok();
        Some(Self {
            headers: table(read.headers)?,
            properties: read.properties.map_or_else(|| Some(Map::new()), table)?,
            routing_key: match read.routing_key {
                Some(raw) => serde_json::from_str(raw.get()).ok()?,
                None => String::new(),
            },
            body: body.into(),
        })
    }

    /// The account that the letter names: its lane's, else its sender's. A letter that RabbitMQ made has neither; its
    /// routing key begins with the account. A header that is no string names an account that does not exist.
    pub(crate) fn account(&self) -> Option<&str> {
        let named = self.headers.get(header_names::ACCOUNT).or_else(|| self.headers.get(ACCOUNT_HEADER));
        named.map(|name| name.as_str().unwrap_or_default()).or_else(|| {
            let (account, reason) = self.routing_key.split_once('.')?;
            let is_key = DeadLetterReason::ALL.iter().any(|known| known.as_str() == reason);
            (is_key && account != UNROUTED).then_some(account)
        })
    }

    /// How often the event was sent back from the dead letters, when it is sent back now.
    pub(crate) fn replays(&self) -> i64 {
        let before = self.headers.get(REPLAYS).and_then(Value::as_i64).unwrap_or_default();
        before.max(0).saturating_add(1)
    }

    /// The sender's headers: without what the letter says of the event.
    pub(crate) fn kept_headers(&self) -> Map<String, Value> {
        let kept = self.headers.iter().filter(|(name, _)| !header_names::is_of_one_delivery(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The body as it can stand in a line; only if the same bytes are read back.
fn plain(body: &[u8]) -> Option<&RawValue> {
    let json: &RawValue = serde_json::from_slice(body).ok()?;
    let same = json.get().len() == body.len() && json.get().starts_with(['{', '[']);
    // Some readers of lines end them at a carriage return.
    (same && !json.get().contains(['\n', '\r'])).then_some(json)
}

/// A `body` that is a string holds the event as text.
fn text_or_json(body: &RawValue) -> Vec<u8> {
    match serde_json::from_str::<String>(body.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => body.get().as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "`json!` reads best without a reference")]
    fn letter(headers: Value, body: &[u8]) -> Letter {
        Letter {
            headers: headers.as_object().unwrap().clone(),
            properties: json!({"content_type": "application/json"}).as_object().unwrap().clone(),
            routing_key: "acme.invalid_field".to_owned(),
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn a_body_stands_as_json_where_the_same_bytes_are_read_back() {
        for (body, plain) in [
            (&br#"{"type":  "track", "type": "page", "n": 1.50}"#[..], true),
            (b"[1]", true),
            (b"{}", true),
            (b" {}", false),
            (b"{}\r", false),
            (b"{\r}", false),
            (b"{\n}", false),
            (b"null", false),
            (b"\"text\"", false),
            (b"\xff{}", false),
            ("{“type”".as_bytes(), false),
            (b"", false),
        ] {
            let letter = letter(json!({"freshet-account": "acme"}), body);
            let line = letter.to_line().unwrap();
            let shown: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(shown.get("body").is_some(), plain, "{body:?}");
            assert_eq!(shown.get("body_base64").is_some(), !plain, "{body:?}");
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            assert_eq!(Letter::from_line(&line), Some(letter));
        }
    }

    #[test]
    fn deep_bodies_go_through() {
        let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let letter = letter(json!({}), body.as_bytes());
        assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
    }

    #[test]
    fn no_event_is_taken_for_a_letter() {
        for line in [
            r#"{"type":"track","headers":{},"body":{}}"#,
            r#"{"headers":{"freshet-reason":"rejected"},"body":{"type":"track"},"type":"page"}"#,
            r#"{"headers":{},"body":{},"userId":"u"}"#,
            r#"{"headers":{}}"#,
            r#"{"headers":{},"body":null}"#,
            r#"{"body":{"type":"track"}}"#,
            r#"{"headers":[],"body":{}}"#,
            r#"{"headers":{},"body":{},"body_base64":"e30="}"#,
            r#"{"headers":{},"body_base64":"no base64"}"#,
            r#"{"headers":{},"headers":{},"body":{}}"#,
            r#"{"batch":[{"type":"track"}]}"#,
            "[]",
            "",
            "{",
        ] {
            assert_eq!(Letter::from_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_least_that_is_a_letter() {
        for (line, body) in [
            (r#"{"headers":{},"body":{"type":"track"}}"#, r#"{"type":"track"}"#),
            (r#" {"body" : {"a":1} , "routing_key":null, "headers":{} , "properties":null} "#, r#"{"a":1}"#),
            (r#"{"headers":{},"body_base64":"e30="}"#, "{}"),
            (r#"{"headers":{},"body":"{\"type\":\"track\"} "}"#, r#"{"type":"track"} "#),
        ] {
            assert_eq!(Letter::from_line(line.as_bytes()).unwrap().body, body, "{line}");
        }
    }

    #[test]
    fn its_account_is_its_lane_s_then_its_sender_s_then_its_routing_key_s() {
        let of = |headers: Value, key: &str| {
            let letter = Letter { routing_key: key.to_owned(), ..letter(headers, b"{}") };
            letter.account().map(str::to_owned)
        };
        let named = |name: &str| Some(name.to_owned());
        let both = json!({"freshet-account": "acme", "freshsales-account": "globex"});
        assert_eq!(of(both, "initech.rejected"), named("acme"));
        assert_eq!(of(json!({"freshsales-account": "globex"}), "initech.rejected"), named("globex"));
        assert_eq!(of(json!({"freshsales-account": 7}), "initech.rejected"), named(""));
        assert_eq!(of(json!({"x-death": []}), "initech.delivery_limit"), named("initech"));
        for key in ["_unrouted.unknown_account", "segment.events", "initech", ""] {
            assert_eq!(of(json!({}), key), None, "{key}");
        }
    }

    #[test]
    fn replays_count_up_whatever_the_header_says() {
        for (said, next) in [
            (json!({}), 1),
            (json!({REPLAYS: 2}), 3),
            (json!({REPLAYS: "2"}), 1),
            (json!({REPLAYS: -5}), 1),
            (json!({REPLAYS: i64::MAX}), i64::MAX),
        ] {
            assert_eq!(letter(said.clone(), b"{}").replays(), next, "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_back(body: Vec<u8>, name in ".{0,20}", value in ".{0,20}") {
            let letter = letter(json!({name: value}), &body);
            prop_assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
        }

        #[test]
        fn any_json_is_read_back(text in r#"[ \t\r\n]{0,2}[\[{"][]a1,:{}" \\\r\n]{0,12}"#) {
            let letter = letter(json!({}), text.as_bytes());
            prop_assert_eq!(Letter::from_line(&letter.to_line().unwrap()), Some(letter));
        }

        #[test]
        fn no_bytes_panic(line: Vec<u8>) {
            Letter::from_line(&line);
        }
    }
}
