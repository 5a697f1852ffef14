//! Reads JSON into values exactly as it is written, whatever its keys are called. A leaf: bodies of messages and of
//! answers are read through it.
//!
//! With the features `arbitrary_precision` and `raw_value`, `serde_json::Value` takes an object under one of two private
//! keys for a number, or for JSON inside a string. It parses that string with a fresh depth limit each time, so a sender
//! could nest deeper than any stack and end the daemon for every account.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value that was read without the private keys. Read it from text only: `Value` as a deserializer hands
/// over its keys as strings, which are taken for the private one.
pub struct Json(pub Value);

/// Reads a text in UTF-8.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(text).map(|Json(value)| value)
}

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
        let mut object = Map::new();
        while let Some(key) = entries.next_key()? {
            match key {
                Key::Name(name) => {
                    let Json(value) = entries.next_value()?;
                    object.insert(name, value);
                }
                Key::OfNumber => {
                    let digits: String = entries.next_value()?;
                    return digits.parse::<Number>().map(Value::Number).map_err(A::Error::custom);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

enum Key {
    Name(String),
    /// `serde_json` hands over most numbers as a map with one entry, their digits.
    OfNumber,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Asked for bytes, the parser gives a key of the text as bytes, and only its own key of a number as a string.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Key, E> {
        let name = std::str::from_utf8(name).map_err(E::custom)?;
        Ok(Key::Name(name.to_owned()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Key, E> {
        Ok(Key::OfNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::any_json;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn private_keys_are_keys_like_any_other() {
        for (text, expected) in [
            (r#"{"$serde_json::private::Number":"7"}"#, json!({"$serde_json::private::Number": "7"})),
            (
                r#"{"$serde_json::private::Number":7,"a":1}"#,
                json!({"$serde_json::private::Number": 7, "a": 1}),
            ),
            (
                r#"[{"$serde_json::private::RawValue":"[1]"}]"#,
                json!([{"$serde_json::private::RawValue": "[1]"}]),
            ),
            (r#"{"$serde_json::private::RawValue":"[1"}"#, json!({"$serde_json::private::RawValue": "[1"})),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_keys_must_be_unicode() {
        let text = r#"{"a\u00e9":[1.10e+05,9007199254740993,1e+400],"b":null}"#;
        assert_eq!(
            parse(text.as_bytes()).unwrap().to_string(),
            r#"{"aé":[1.10e+05,9007199254740993,1e+400],"b":null}"#
        );
        for broken in [&b"{\"\\ud800\":1}"[..], b"{\"\xff\":1}", b"\"\\ud800\"", b"{1:2}", b"{}{}", b""] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_value_is_read_as_it_was_written(value in any_json(&["a", "$serde_json::private::Number"])) {
            prop_assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
        }
    }
}
