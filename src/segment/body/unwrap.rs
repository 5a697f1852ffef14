//! Finds the event, or the events, within what others have put around it: a queue's envelope, a `CloudEvent`, JSON in a
//! string. Pure; shares the body's bytes wherever it can.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::object::{members, string};
use crate::segment::RoutingKeys;
use crate::segment::text::check::unmarked;
use crate::segment::text::kind::Kind;
use crate::segment::text::surrogates::mended;

/// How many wrappings may stand around an event: a notification of a topic about an event of a bus about an event of a
/// web hook are three.
const LEVELS: usize = 4;

/// The types of Segment's calls, those that are not delivered too.
const TYPES: [&str; 7] = ["identify", "track", "page", "screen", "group", "alias", "delete"];

/// A longer key, as it is written, names no account. Thousands of events may stand within one wrapping, and each of them is
/// asked for its keys.
const LONGEST_KEY: usize = 4096;

/// What stands in the innermost wrapping, and what the wrappings say.
#[derive(Debug)]
pub(in crate::segment) struct Unwrapped {
    pub(in crate::segment) inner: Inner,
    /// The accounts' keys of the wrappings, the innermost first.
    pub(in crate::segment) keys: Vec<RoutingKeys>,
}

/// A text that has not been checked to be JSON, by what it seems to be.
#[derive(Debug)]
pub(in crate::segment) enum Inner {
    /// One event, or nothing that is known here.
    Event(Bytes),
    /// An array.
    Array(Bytes),
    /// An object with a `batch` that is an array.
    Batch(Bytes),
    /// A `CloudEvent` without any of the keys that hold an event.
    Nothing,
}

/// Takes off the wrappings; `keys` are those that hold an event in an object without a `type` of Segment's.
pub(in crate::segment) fn unwrap(body: &Bytes, keys: &[String]) -> Unwrapped {
    let mut unwrapped = Unwrapped { inner: Inner::Event(body.slice_ref(unmarked(body))), keys: Vec::new() };
    for _ in 0..=LEVELS {
        let Inner::Event(text) = &unwrapped.inner else { break };
        let readable = readable(text);
        match Kind::of(&readable) {
            Kind::Array => unwrapped.inner = Inner::Array(text.clone()),
            Kind::Object => {
                let (inner, wrapping) = Head::read(&readable, keys).inner(text, &readable);
                let Some(inner) = inner else { break };
                unwrapped.inner = inner;
                if wrapping != RoutingKeys::default() {
                    unwrapped.keys.insert(0, wrapping);
                }
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text => break,
        }
    }
    unwrapped
}

/// The same text, byte for byte of the same length, in which all is readable: one event that is no UTF-8 must not keep
/// those beside it from being found.
pub(in crate::segment) fn readable(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => text.into(),
        Err(_) => text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect(),
    }
}

/// The bytes of `part`, which is a part of `readable`, in the text that this was made of.
pub(in crate::segment) fn original(text: &Bytes, readable: &str, part: &str) -> Bytes {
    let start = part.as_ptr().addr().saturating_sub(readable.as_ptr().addr()).min(text.len());
    text.slice(start..(start + part.len()).min(text.len()))
}

/// An object's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// There is none, or it is null.
    Missing,
    /// One of Segment's: the object is an event whatever else it holds.
    Segments,
    /// Any other.
    Other,
}

impl Type {
    fn of(value: &str) -> Self {
        match Kind::of(value) {
            Kind::Null => Self::Missing,
            Kind::Text if string(value).is_some_and(|word| TYPES.contains(&word.as_str())) => Self::Segments,
            Kind::Text | Kind::Bool | Kind::Number | Kind::Array | Kind::Object => Self::Other,
        }
    }
}

/// What decides how an object is read.
struct Head<'a> {
    kind: Type,
    is_cloud_event: bool,
    batch: bool,
    write_key: &'a str,
    project_id: &'a str,
    /// The values of the keys that may hold an event.
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
                "batch" => head.batch = Kind::of(member.value) == Kind::Array,
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
            // Nothing behind it can matter: most events end here, after a few bytes.
            if head.kind == Type::Segments && keys.is_empty() {
                break;
            }
        }
        head
    }

    /// What the object holds, and the keys it names for it; `None` if it is the event itself.
    fn inner(&self, text: &Bytes, readable: &str) -> (Option<Inner>, RoutingKeys) {
        // Some senders give a batch a type of its own: `{"type": "batch", "batch": [...]}`.
        if self.batch && (self.kind != Type::Segments || self.is_cloud_event) {
            return (Some(Inner::Batch(text.clone())), RoutingKeys::default());
        }
        if self.kind != Type::Missing && !self.is_cloud_event {
            return (None, RoutingKeys::default());
        }
        let key = |value: &str| Some(value).filter(|value| value.len() <= LONGEST_KEY).and_then(string);
        let keys = RoutingKeys { write_key: key(self.write_key), project_id: key(self.project_id) };
        let inner = self.wrapped.iter().find_map(|value| match Kind::of(value) {
            Kind::Object | Kind::Array => Some(original(text, readable, value)),
            Kind::Text => json_within(&original(text, readable, value)),
            Kind::Null | Kind::Bool | Kind::Number => None,
        });
        match inner {
            Some(inner) => (Some(Inner::Event(inner)), keys),
            None if self.is_cloud_event => (Some(Inner::Nothing), keys),
            None => (None, RoutingKeys::default()),
        }
    }
}

/// The object or the array that a JSON string holds.
fn json_within(quoted: &[u8]) -> Option<Bytes> {
    let start = quoted.get(1..)?.iter().find(|byte| !byte.is_ascii_whitespace())?;
    // Only then is it worth unescaping; a line break in front of it is escaped.
    if !matches!(start, b'{' | b'[' | b'\\') {
        return None;
    }
    let text: String = serde_json::from_slice(&mended(quoted)).ok()?;
    let holds = matches!(Kind::of(&text), Kind::Object | Kind::Array)
        && serde_json::from_str::<IgnoredAny>(&text).is_ok();
    holds.then(|| text.into())
}
