//! What kind of JSON value a text or a value is, in words that problems may repeat.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::segment::given::Given;

/// The kind of a JSON value, by the first character of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::segment) enum JsonKind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl JsonKind {
    pub(in crate::segment) fn of(text: &str) -> Self {
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

/// The same as [`describe`] for the text of a value, without building the value.
pub(in crate::segment) fn describe_text(text: &str) -> String {
    match JsonKind::of(text) {
        JsonKind::Null => "null".into(),
        JsonKind::Bool => "boolean".into(),
        JsonKind::Number => "number".into(),
        JsonKind::Object => "object".into(),
        JsonKind::Text => {
            let length = serde_json::from_str::<String>(text).map_or(0, |text| text.chars().count());
            format!("string of {}", counted(length, "character"))
        }
        JsonKind::Array => {
            let length = serde_json::from_str::<Length>(text).map_or(0, |Length(length)| length);
            format!("array of {}", counted(length, "element"))
        }
    }
}

/// Reads the number of an array's elements.
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

/// A value's JSON type, and its length if it has one. Problems say no more of a value: it may be personal data.
pub(crate) fn describe(value: &Given<'_>) -> String {
    match value {
        Given::Null => "null".into(),
        Given::Bool(_) => "boolean".into(),
        Given::Number(_) => "number".into(),
        Given::Text(text) => format!("string of {}", counted(text.chars().count(), "character")),
        Given::List(items) => format!("array of {}", counted(items.len(), "element")),
        Given::Object(_) => "object".into(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
