//! Companies and deals that are none: what is empty, and what has nothing but an id, from which no record can be made.

use serde_json::Value;

use crate::segment::whole;
use crate::segment::{JsonMap, folds_to};

/// Why a company or deal that came along is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum Absent {
    Empty,
    IdAlone,
}

impl Absent {
    /// In words, for what is ignored.
    pub(in crate::mapping) const fn why(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::IdAlone => "an id alone names no record",
        }
    }
}

/// Whether the value is no company or deal. `reads_id` says whether the account's configuration makes something of an id.
pub(in crate::mapping) fn absent(value: &Value, reads_id: bool) -> Option<Absent> {
    if hollow(value) {
        return Some(Absent::Empty);
    }
    let is_id = |(key, _): (&String, &Value)| folds_to(key, "id");
    let says = |object: &JsonMap| object.iter().filter(|(_, value)| !hollow(value)).all(is_id);
    (!reads_id && value.as_object().is_some_and(says)).then_some(Absent::IdAlone)
}

/// Whether there is nothing in it.
fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(hollow),
        Value::Object(object) => object.values().all(hollow),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a number is zero, which is no name: languages without types write it for "none".
pub(in crate::mapping) fn zero(value: &Value) -> bool {
    value.as_number().is_some_and(|number| whole(number.as_str(), 1).as_deref() == Some("0"))
}
