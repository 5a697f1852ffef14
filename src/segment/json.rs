//! The body's bytes as the text of one JSON object, or the reason why they are none; and values of such texts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::JsonMap;
use super::malformed::{malformed, no_json, no_object, no_utf8};
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// The longest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1_048_576;

/// How deep arrays and objects may stand inside each other: what `serde_json` reads.
const DEEPEST: usize = 127;

/// Some programs on Windows write it before UTF-8, where it means nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Under this key `serde_json` hands a number's digits to a visitor.
const NUMBER_KEY: &str = "$serde_json::private::Number";

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

/// A JSON value read without `serde_json`'s magic keys.
///
/// `Value` itself would take an object with the key `$serde_json::private::RawValue` for JSON
/// inside a string and parse that, each time with a fresh depth limit: a sender could nest
/// deeper than any stack, and end the daemon for every account.
pub(super) struct Json(pub(super) Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Json)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Json(value)) = elements.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = JsonMap::new();
        while let Some((key, Json(value))) = entries.next_entry::<String, Json>()? {
            object.insert(key, value);
        }
        Ok(number(&object).map_or(Value::Object(object), Value::Number))
    }
}

/// The number that arrived as an object of one magic key. A sender's object of that very shape
/// is read as the number it spells, which harms nobody.
fn number(object: &JsonMap) -> Option<Number> {
    match object.get(NUMBER_KEY) {
        Some(Value::String(digits)) if object.len() == 1 => digits.parse().ok(),
        _ => None,
    }
}
