//! Tracks and pages: who it was, and the properties as they are passed on.

use serde_json::Value;

use super::{Activity, Identity, Ignored, PageView, email};
use crate::segment::{Event, JsonMap};

/// Whom the event itself names. Decoding let no activity through without a `userId`.
fn identity(event: &Event) -> Identity {
    let user_id = event.user_id.as_deref().unwrap_or_default();
    let context_email = || {
        let traits = event.context.get("traits").and_then(Value::as_object)?;
        traits.get("email").and_then(Value::as_str).and_then(email::address)
    };
    match email::address(user_id).or_else(context_email) {
        Some(address) => Identity::Email(address),
        None => Identity::UserId(user_id.to_owned()),
    }
}

pub(super) fn track(event: &Event, name: &str, properties: &JsonMap) -> (Activity, Vec<Ignored>) {
    let mut properties = properties.clone();
    // The tracking API takes the event's name from the same object.
    let displaced = properties.shift_remove("name").filter(|value| !value.is_null());
    let ignored = displaced.map(|_| Ignored {
        trait_path: "properties.name".into(),
        why: "the event's name is sent instead",
        nearest: None,
    });
    (Activity { identity: identity(event), name: name.to_owned(), properties }, Vec::from_iter(ignored))
}

pub(super) fn page(
    event: &Event,
    name: Option<&str>,
    category: Option<&str>,
    url: &str,
    properties: &JsonMap,
) -> PageView {
    let mut properties = properties.clone();
    properties.shift_remove("url");
    for (key, value) in [("name", name), ("category", category)] {
        if let Some(value) = value
            && properties.get(key).is_none_or(Value::is_null)
        {
            properties.insert(key.to_owned(), value.into());
        }
    }
    PageView { identity: identity(event), url: url.to_owned(), properties }
}
