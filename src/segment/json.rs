//! The body's bytes as one JSON object, or the reason why they are none.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::JsonMap;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// The longest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1_048_576;

/// What a body has to be; told with every refusal of one.
const ONE_OBJECT: &str = "one JSON object in UTF-8, its names and strings in straight double quotes";

/// Under this key `serde_json` hands a number's digits to a visitor.
pub(super) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Reads the body as one JSON object.
pub(super) fn parse_object(body: &[u8]) -> Result<JsonMap, Refusal> {
    match parse::<Json>(body)? {
        Json(Value::Object(object)) => Ok(object),
        Json(other) => Err(not_an_object(&describe(&other))),
    }
}

/// Reads the body as whatever `T` makes of it.
pub(super) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
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
    if body.is_empty() {
        return Err(malformed("the body is empty".into(), None));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed(format!("the body is not UTF-8 from byte {} on", error.valid_up_to()), None)
    })?;
    // The parser's words name a place and a rule of JSON, never a part of the body.
    serde_json::from_str(text).map_err(|error| malformed(format!("the body is not JSON: {error}"), None))
}

/// The refusal of a body that is JSON, but of another kind.
pub(super) fn not_an_object(got: &str) -> Refusal {
    malformed("the body is JSON, but no object".into(), Some(got.to_owned()))
}

fn malformed(problem: String, got: Option<String>) -> Refusal {
    Refusal::new(
        DeadLetterReason::MalformedJson,
        Problem { problem, expected: Some(ONE_OBJECT.into()), got, ..Problem::default() },
    )
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
