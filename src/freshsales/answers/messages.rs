//! What Freshsales says is wrong, in a form that may be logged and dead-lettered: few messages, short, with addresses and
//! phone numbers masked. Pure.

use serde_json::Value;

use super::answer::Body;
use crate::mask::mask;

/// The most characters kept of a message.
const MESSAGE_LENGTH: usize = 300;
/// The most messages kept of an answer.
const MESSAGE_COUNT: usize = 10;

/// The messages of a refusal, at least one; `None` if the body is not in any of the API's forms.
pub(in crate::freshsales) fn messages(status: u16, body: &Body) -> Option<Vec<String>> {
    let Body::Json(body) = body else { return None };
    let mut values = ["errors", "message", "description", "error"]
        .iter()
        .filter_map(|key| body.get(key))
        .filter(|value| !value.is_null())
        .peekable();
    values.peek()?;
    let mut found = Vec::new();
    for value in values {
        collect(value, &mut found);
    }
    if found.is_empty() {
        found.push(format!("status {status} without a message"));
    }
    Some(found)
}

/// Adds the first texts of a value. It stops at a few, so that an answer of megabytes keeps no worker busy.
pub(in crate::freshsales) fn collect(value: &Value, found: &mut Vec<String>) {
    if found.len() >= MESSAGE_COUNT {
        return;
    }
    match value {
        Value::String(text) => {
            let text = fit(text);
            if !text.is_empty() && !found.contains(&text) {
                found.push(text);
            }
        }
        Value::Array(items) => items.iter().take(MESSAGE_COUNT).for_each(|item| collect(item, found)),
        Value::Object(items) => {
            items.iter().filter(|(key, _)| key.as_str() != "code").for_each(|(_, item)| collect(item, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One line of bounded length, masked.
fn fit(text: &str) -> String {
    let mut part: String = text.chars().filter(|c| !c.is_control()).take(2 * MESSAGE_LENGTH).collect();
    // Cut at a blank: the first half of an address would not be recognised and masked.
    if part.chars().count() == 2 * MESSAGE_LENGTH {
        part.truncate(part.rfind(char::is_whitespace).unwrap_or(0));
    }
    mask(&part).chars().take(MESSAGE_LENGTH).collect()
}

/// The status of a service behind Freshsales, as a message holds it: `... :: response_code :: 429 :: response :: ...`.
/// The words around it are translated into the account's language, this part is not.
pub(in crate::freshsales) fn upstream_status(message: &str) -> Option<u16> {
    const NAME: &str = "response_code";
    let lower = message.to_ascii_lowercase();
    let (_, after) = lower.split_once(NAME)?;
    let digits = after.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).filter(|digits| digits.len() == 3)?.parse().ok()
}
