//! Lists such as tags, which forms and older client libraries send as one string with commas. `coerce` calls it for
//! fields that take several values.

use std::collections::HashSet;

use serde_json::Value;

use crate::mapping::Coercion;

/// The elements of a list that is written as one string; any other value unchanged.
pub(in crate::mapping) fn split(value: Value, coercion: Coercion) -> Value {
    match (value, coercion) {
        (Value::String(list), Coercion::Lossless) => list.split(',').map(str::trim).collect(),
        (value, Coercion::Lossless | Coercion::Strict) => value,
    }
}

/// Drops empty elements and repeated ones: Freshsales would keep a tag twice.
pub(in crate::mapping) fn clean(items: &mut Vec<Value>) {
    let mut seen = HashSet::new();
    items.retain(|item| match item {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty() && seen.insert(item.to_string()),
        Value::Bool(_) | Value::Number(_) => seen.insert(item.to_string()),
        Value::Array(_) | Value::Object(_) => true,
    });
}
