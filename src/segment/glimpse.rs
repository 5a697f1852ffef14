//! Reads single keys of a body without decoding it: the account's keys for the router, and the type and id of a refused
//! body for the dead letter's headers.

use std::borrow::Cow;

use super::event::EventType;
use crate::object::{find, members, string};
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::envelope::integrations::deciding;
use crate::segment::keys::fold;
use crate::segment::text::check::{BODY_LIMIT, object_text, unmarked};
use crate::segment::text::kind::{JsonKind, describe_text};
use crate::segment::text::surrogates::mended;
use crate::segment::text::walk::walk;

/// The longest text of a glimpse, in bytes.
const GLIMPSE_LIMIT: usize = 255;

/// The keys of an event by which its account is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingKeys {
    /// The Segment source's key.
    pub write_key: Option<String>,
    /// The Segment project.
    pub project_id: Option<String>,
}

/// What could be read of a body that was refused, for headers, logs and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// The `type` as the sender wrote it, if it is at most 255 printable ASCII characters.
    pub event_type: Option<String>,
    /// The `messageId`, bounded in the same way.
    pub message_id: Option<String>,
}

impl Glimpse {
    /// A label for metrics: one of the delivered types, or `other`.
    pub fn label(&self) -> &'static str {
        self.event_type.as_deref().and_then(EventType::from_word).map_or("other", EventType::as_str)
    }
}

/// Reads the keys by which an event's account is found. The rest is only checked to be JSON.
pub fn routing_keys(body: &[u8]) -> Result<RoutingKeys, Refusal> {
    let mut values = ["null"; 2];
    let mut keep = |name: &str, value| {
        let place = ["writeKey", "projectId"].iter().position(|key| *key == name);
        if let Some(place) = place.and_then(|place| values.get_mut(place)) {
            *place = value;
        }
    };
    let read = walk(body, |walk, name| {
        keep(&name, walk.value()?);
        Some(())
    });
    if read.is_none() {
        // Either it says why, or the body is nested deeper than a walk goes, which its lane refuses.
        members(object_text(body)?).for_each(|member| keep(&member.name(), member.value));
    }
    let [write_key, project_id] = values;
    let mut problems = Vec::new();
    let mut text = |key: &str, value: &str| match JsonKind::of(value) {
        JsonKind::Null => None,
        JsonKind::Text => string(value).map(Cow::into_owned),
        JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
            problems.push(Problem {
                trait_path: Some(key.into()),
                problem: "wrong kind of value".into(),
                expected: Some("a string or null".into()),
                got: Some(describe_text(value)),
                ..Problem::default()
            });
            None
        }
    };
    let keys =
        RoutingKeys { write_key: text("writeKey", write_key), project_id: text("projectId", project_id) };
    if problems.is_empty() {
        Ok(keys)
    } else {
        Err(Refusal { reason: DeadLetterReason::InvalidEvent, problems, http_status: None })
    }
}

/// Reads what it can of a body, which may be no JSON or end early. For the headers of dead letters.
pub fn glimpse(body: &[u8]) -> Glimpse {
    let mut glimpse = Glimpse::default();
    let start = mended(unmarked(body.get(..BODY_LIMIT).unwrap_or(body)));
    for member in members(&String::from_utf8_lossy(&start)) {
        match &*member.name() {
            "type" => glimpse.event_type = printable(member.value),
            "messageId" => glimpse.message_id = printable(member.value),
            _ => {}
        }
    }
    glimpse
}

/// The entry of `integrations` that decides whether an event is delivered here, for people: `"All": false`.
pub fn deciding_integration(body: &[u8]) -> Option<String> {
    let body = mended(body);
    let object = object_text(&body).ok()?;
    let (name, value) = deciding(find(object, "integrations")?)?;
    Some(format!("\"{name}\": {value}"))
}

/// Whether `traits` of an event has this trait in any spelling, so that it does not come from `context.traits`.
pub fn has_own_trait(body: &[u8], key: &str) -> bool {
    let body = mended(body);
    let traits = object_text(&body).ok().and_then(|object| find(object, "traits"));
    let key = fold(key);
    traits.is_some_and(|traits| members(traits).any(|member| fold(&member.name()) == key))
}

fn printable(value: &str) -> Option<String> {
    string(value)
        .filter(|text| (1..=GLIMPSE_LIMIT).contains(&text.len()))
        .filter(|text| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()))
        .map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_read_and_the_rest_is_skipped() {
        let body =
            br#"{"type":5,"writeKey":"wk","context":{"deep":[1e400]},"projectId":"p","writeKey":"wk2"}"#;
        let keys = routing_keys(body).unwrap();
        assert_eq!(keys, RoutingKeys { write_key: Some("wk2".into()), project_id: Some("p".into()) });
        assert_eq!(routing_keys(br#"{"writeKey":null}"#).unwrap(), RoutingKeys::default());
    }

    #[test]
    fn routing_refuses_bodies_without_readable_keys() {
        let cases: &[(&[u8], DeadLetterReason)] = &[
            (b"", DeadLetterReason::MalformedJson),
            (b"[{\"writeKey\":\"a\"}]", DeadLetterReason::MalformedJson),
            (b"12", DeadLetterReason::MalformedJson),
            (b"-1", DeadLetterReason::MalformedJson),
            (b"1.5", DeadLetterReason::MalformedJson),
            (b"\"x\"", DeadLetterReason::MalformedJson),
            (b"null", DeadLetterReason::MalformedJson),
            (b"true", DeadLetterReason::MalformedJson),
            (b"{\"a\":1} x", DeadLetterReason::MalformedJson),
            (b"{\"a\":\"\xff\"}", DeadLetterReason::MalformedJson),
            (br#"{"writeKey":5,"projectId":[]}"#, DeadLetterReason::InvalidEvent),
        ];
        for (body, reason) in cases {
            let refusal = routing_keys(body).unwrap_err();
            assert_eq!(refusal.reason, *reason, "{}", String::from_utf8_lossy(body));
        }
        let refusal = routing_keys(br#"{"writeKey":5,"projectId":[]}"#).unwrap_err();
        let named: Vec<_> = refusal.problems.iter().filter_map(|p| p.trait_path.as_deref()).collect();
        assert_eq!(named, ["writeKey", "projectId"]);
        assert_eq!(routing_keys(&vec![b' '; BODY_LIMIT + 1]).unwrap_err().reason, DeadLetterReason::TooLarge);
    }

    #[test]
    fn an_event_that_is_nested_too_deep_is_routed_to_the_lane_that_refuses_it() {
        let deep = ["[".repeat(500), "]".repeat(500)].concat();
        let body = format!(r#"{{"writeKey":"old","projectId":"p","traits":{deep},"writeKey":"wk"}}"#);
        let keys = routing_keys(body.as_bytes()).unwrap();
        assert_eq!((keys.write_key.as_deref(), keys.project_id.as_deref()), (Some("wk"), Some("p")));
    }

    #[test]
    fn a_glimpse_keeps_what_came_before_the_error() {
        let seen = glimpse(br#"{"type":"identify","messageId":"m-1","traits":{oops"#);
        assert_eq!(seen.event_type.as_deref(), Some("identify"));
        assert_eq!(seen.message_id.as_deref(), Some("m-1"));
    }

    #[test]
    fn a_byte_order_mark_and_lone_surrogates_hide_nothing() {
        let seen =
            glimpse("\u{feff}{\"\\ud800\":\"\\udc00\",\"type\":\"page\",\"messageId\":\"m\"}".as_bytes());
        assert_eq!((seen.event_type.as_deref(), seen.message_id.as_deref()), (Some("page"), Some("m")));
        let keys = routing_keys("\u{feff}{\"writeKey\":\"wk\",\"a\":\"\\ud800\"}".as_bytes()).unwrap();
        assert_eq!(keys.write_key.as_deref(), Some("wk"));
    }

    #[test]
    fn a_glimpse_has_only_short_printable_strings() {
        assert_eq!(glimpse(br#"{"type":5,"messageId":"a\nb"}"#), Glimpse::default());
        let body = format!(r#"{{"type":"{}","messageId":"{}"}}"#, "t".repeat(256), "m".repeat(255));
        let seen = glimpse(body.as_bytes());
        assert_eq!(seen.event_type, None);
        assert_eq!(seen.message_id.map(|id| id.len()), Some(255));
        for junk in [&b""[..], b"\xff\xfe", b"[1]", b"{", b"7"] {
            assert_eq!(glimpse(junk), Glimpse::default());
        }
    }
}
