//! An account's settings on its page.

use serde_json::Value;

use crate::lane::AppliedSettings;
use crate::words::grouped;

/// Each key of the configuration, and its value in words.
pub(super) fn settings_shown(settings: &AppliedSettings) -> Vec<(String, String)> {
    let Ok(Value::Object(settings)) = serde_json::to_value(settings) else { return Vec::new() };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words = |value: &Value| match value {
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "set".to_owned(),
        Value::Bool(false) => "not set".to_owned(),
        Value::Number(number) => {
            let number = number.to_string();
            let whole = number.strip_suffix(".0").unwrap_or(&number);
            whole.parse().map_or_else(|_| whole.to_owned(), grouped)
        }
        Value::Null | Value::String(_) | Value::Object(_) => plain(value),
    };
    settings.iter().map(|(key, value)| (key.clone(), words(value))).collect()
}
