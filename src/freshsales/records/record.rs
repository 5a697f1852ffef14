//! Parts that any record in an answer can have. Pure.

use serde_json::Value;

/// The id of the record under `key`, written as a number or as a string of digits.
pub fn record_id(body: &Value, key: &str) -> Option<i64> {
    id(body.get(key)?.get("id")?)
}

pub(in crate::freshsales) fn id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|id| *id > 0)
}

/// The tags of the record under `key`, or `None` if the answer does not show them.
pub fn tags_of(body: &Value, key: &str) -> Option<Vec<String>> {
    match body.get(key)?.get("tags")? {
        Value::Null => Some(Vec::new()),
        Value::Array(tags) => tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

pub(in crate::freshsales) fn is_deleted(record: &Value) -> bool {
    record.get("is_deleted").and_then(Value::as_bool) == Some(true)
}
