//! Takes off what queues and buses put around an event: their envelopes, a `CloudEvent`, JSON in a string. `opener` and
//! `batch` call it. It shares the body's bytes and copies only JSON that was in a string.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::object::{members, string};
use crate::segment::RoutingKeys;
use crate::segment::text::check::unmarked;
use crate::segment::text::kind::JsonKind;
use crate::segment::text::surrogates::mended;

/// How many wrappings may surround an event. Three occur: a topic's notification of a bus's event with a web hook's
/// body.
const MOST_WRAPPINGS: usize = 4;

/// Segment's types of events, also those that are not delivered.
const SEGMENT_TYPES: [&str; 7] = ["identify", "track", "page", "screen", "group", "alias", "delete"];

/// A longer key, in bytes of JSON, names no account. It would be copied for each of the thousands of events that may
/// share one wrapping.
const LONGEST_KEY: usize = 4096;

/// The content of the innermost wrapping, and the accounts' keys of all.
#[derive(Debug)]
pub(in crate::segment) struct Unwrapped {
    pub(in crate::segment) inner: InnerText,
    /// The innermost wrapping's first.
    pub(in crate::segment) keys: Vec<RoutingKeys>,
}

/// A text by what it seems to be. It has not been checked to be JSON.
#[derive(Debug)]
pub(in crate::segment) enum InnerText {
    /// One event, or something unknown, which decoding refuses.
    Event(Bytes),
    Array(Bytes),
    /// An object with a `batch` that is an array.
    Batch(Bytes),
    /// A `CloudEvent` that holds no event under any of the configured keys.
    Nothing,
}

/// `keys` are those under which an object without a Segment `type` may hold an event.
pub(in crate::segment) fn unwrap(body: &Bytes, keys: &[String]) -> Unwrapped {
    let mut unwrapped =
        Unwrapped { inner: InnerText::Event(body.slice_ref(unmarked(body))), keys: Vec::new() };
    for _ in 0..=MOST_WRAPPINGS {
        let InnerText::Event(text) = &unwrapped.inner else { break };
        let readable = readable(text);
        match JsonKind::of(&readable) {
            JsonKind::Array => unwrapped.inner = InnerText::Array(text.clone()),
            JsonKind::Object => {
                let (inner, wrapping) = Head::read(&readable, keys).inner(text, &readable);
                let Some(inner) = inner else { break };
                unwrapped.inner = inner;
                if wrapping != RoutingKeys::default() {
                    unwrapped.keys.insert(0, wrapping);
                }
            }
            JsonKind::Null | JsonKind::Bool | JsonKind::Number | JsonKind::Text => break,
        }
    }
    unwrapped
}

/// The text with all bytes readable, each still at its index. One event that is not UTF-8 must not keep the other
/// events of its batch from being found.
pub(in crate::segment) fn readable(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => text.into(),
        Err(_) => text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect(),
    }
}

/// The bytes of `text` at the place where `part` is in `readable`.
pub(in crate::segment) fn original(text: &Bytes, readable: &str, part: &str) -> Bytes {
    let start = part.as_ptr().addr().saturating_sub(readable.as_ptr().addr()).min(text.len());
    text.slice(start..(start + part.len()).min(text.len()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// There is none, or it is null.
    Missing,
    /// The object is an event whatever else it holds.
    OfSegment,
    Other,
}

impl Type {
    fn of(value: &str) -> Self {
        match JsonKind::of(value) {
            JsonKind::Null => Self::Missing,
            JsonKind::Text if string(value).is_some_and(|word| SEGMENT_TYPES.contains(&&*word)) => {
                Self::OfSegment
            }
            JsonKind::Text | JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
                Self::Other
            }
        }
    }
}

/// The keys of an object that decide whether it is an event, a batch or a wrapping.
struct Head<'a> {
    kind: Type,
    is_cloud_event: bool,
    batch: bool,
    write_key: &'a str,
    project_id: &'a str,
    /// The values of the configured keys, in their order.
    wrapped: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn read(object: &'a str, keys: &[String]) -> Self {
        let mut head = Self {
            kind: Type::Missing,
            is_cloud_event: false,
            batch: false,
            write_key: "",
            project_id: "",
            wrapped: vec!["null"; keys.len()],
        };
        for member in members(object) {
            let name = member.name();
            match &*name {
                "type" => head.kind = Type::of(member.value),
                "batch" => head.batch = JsonKind::of(member.value) == JsonKind::Array,
                "specversion" => head.is_cloud_event = !keys.is_empty(),
                "writeKey" => head.write_key = member.value,
                "projectId" => head.project_id = member.value,
                _ => {}
            }
            if let Some(index) = keys.iter().position(|key| *key == name)
                && let Some(place) = head.wrapped.get_mut(index)
            {
                *place = member.value;
            }
            // No further key can matter. For most events this is after a few bytes.
            if head.kind == Type::OfSegment && keys.is_empty() {
                break;
            }
        }
        head
    }

    /// The object's content and the account's keys beside it; `None` if the object is the event itself.
    fn inner(&self, text: &Bytes, readable: &str) -> (Option<InnerText>, RoutingKeys) {
        // Some senders write `{"type": "batch", "batch": [...]}`.
        if self.batch && (self.kind != Type::OfSegment || self.is_cloud_event) {
            return (Some(InnerText::Batch(text.clone())), RoutingKeys::default());
        }
        if self.kind != Type::Missing && !self.is_cloud_event {
            return (None, RoutingKeys::default());
        }
        let key = |value: &str| {
            let value = Some(value).filter(|value| value.len() <= LONGEST_KEY);
            value.and_then(string).map(Cow::into_owned)
        };
        let keys = RoutingKeys { write_key: key(self.write_key), project_id: key(self.project_id) };
        let inner = self.wrapped.iter().find_map(|value| match JsonKind::of(value) {
            JsonKind::Object | JsonKind::Array => Some(original(text, readable, value)),
            JsonKind::Text => json_within(&original(text, readable, value)),
            JsonKind::Null | JsonKind::Bool | JsonKind::Number => None,
        });
        match inner {
            Some(inner) => (Some(InnerText::Event(inner)), keys),
            None if self.is_cloud_event => (Some(InnerText::Nothing), keys),
            None => (None, RoutingKeys::default()),
        }
    }
}

/// The object or the array that a JSON string holds.
fn json_within(quoted: &[u8]) -> Option<Bytes> {
    let start = quoted.get(1..)?.iter().find(|byte| !byte.is_ascii_whitespace())?;
    // Other strings are not worth unescaping. An escape may be a line break before the JSON.
    if !matches!(start, b'{' | b'[' | b'\\') {
        return None;
    }
    let text: String = serde_json::from_slice(&mended(quoted)).ok()?;
    let holds = matches!(JsonKind::of(&text), JsonKind::Object | JsonKind::Array)
        && serde_json::from_str::<IgnoredAny>(&text).is_ok();
    holds.then(|| text.into())
}
