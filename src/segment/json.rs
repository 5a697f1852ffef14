//! The body's bytes as the text of one JSON object, or the reason why they are none; and values of such texts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::JsonMap;
use super::malformed::{malformed, no_json, no_object, no_utf8};
use crate::json::Json;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// The longest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1_048_576;

/// How deep arrays and objects may stand inside each other: what `serde_json` reads.
const DEEPEST: usize = 127;

/// Some programs on Windows write it before UTF-8, where it means nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The body as the text of one JSON object, all of it looked at and nothing of it kept.
pub(super) fn object_text(body: &[u8]) -> Result<&str, Refusal> {
    if body.len() > BODY_LIMIT {
        return Err(Refusal::new(
            DeadLetterReason::TooLarge,
            Problem {
                problem: "the body is too large".into(),
                expected: Some(format!("at most {BODY_LIMIT} bytes")),
                got: Some(format!("{} bytes", body.len())),
                ..Problem::default()
            },
        ));
    }
    let body = unmarked(body);
    if body.is_empty() {
        return Err(malformed("the body is empty", None));
    }
    let text = std::str::from_utf8(body).map_err(|error| no_utf8(body, error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| no_json(text, &error))?;
    match Kind::of(text) {
        Kind::Object => Ok(text),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Array => Err(no_object(text)),
    }
}

/// The body behind its byte order mark, if it begins with one.
pub(super) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Refuses too deep a nesting, which the parser passes over where it only skims, and would not read. `text` is JSON.
pub(super) fn check_depth(text: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(malformed(format!("the body is nested deeper than {DEEPEST} levels"), None));
        }
    }
    Ok(())
}

/// The object of this text, which has passed [`check_depth`], its halves of characters mended.
pub(super) fn map(object: &str) -> JsonMap {
    match serde_json::from_str(object) {
        Ok(Json(Value::Object(object))) => object,
        // Not reached: it is an object that the parser reads.
        Ok(_) | Err(_) => JsonMap::new(),
    }
}

/// What a JSON text is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    pub(super) fn of(text: &str) -> Self {
        match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }
}

/// What [`describe`] says of the value of this text, without building it.
pub(super) fn describe_text(text: &str) -> String {
    match Kind::of(text) {
        Kind::Null => "null".into(),
        Kind::Bool => "boolean".into(),
        Kind::Number => "number".into(),
        Kind::Object => "object".into(),
        Kind::Text => {
            let length = serde_json::from_str::<String>(text).map_or(0, |text| text.chars().count());
            format!("string of {}", counted(length, "character"))
        }
        Kind::Array => {
            let length = serde_json::from_str::<Length>(text).map_or(0, |Length(length)| length);
            format!("array of {}", counted(length, "element"))
        }
    }
}

/// How many elements an array has.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LengthVisitor).map(Length)
    }
}

struct LengthVisitor;

impl<'de> Visitor<'de> for LengthVisitor {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
        let mut length = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        Ok(length)
    }
}

/// A value's JSON type, and its length where it has one: what may be told of a value.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        Value::String(text) => format!("string of {}", counted(text.chars().count(), "character")),
        Value::Array(items) => format!("array of {}", counted(items.len(), "element")),
        Value::Object(_) => "object".into(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
