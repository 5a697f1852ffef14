//! Bytes to [`Event`], or the reason why not. Lanes and `explain` call it with the body of one event.

use std::borrow::Cow;

use bytes::Bytes;

use super::keys::{EMPTY, EnvelopeKeys};
use super::traits::Traits;
use crate::object::ObjectText;
use crate::outcome::{DeadLetterReason, Refusal, SkipReason};
use crate::segment::text::check::{check_depth, object_text};
use crate::segment::text::surrogates::mended;
use crate::segment::{Event, EventType, Payload, Undelivered};

/// Decodes one event of a supported type. Never panics, whatever the bytes.
pub fn decode(body: &Bytes) -> Result<Event, Undelivered> {
    let mended = match mended(body) {
        Cow::Borrowed(_) => None,
        Cow::Owned(mended) => Some(Bytes::from(mended)),
    };
    let body = mended.as_ref().unwrap_or(body);
    let text = object_text(body)?;
    check_depth(text)?;
    let mut keys = EnvelopeKeys::of(text);
    // Before all other keys: an event of a type that is not delivered is skipped, whatever else is wrong with it.
    let event_type = keys.event_type(text)?;

    let message_id = keys.text("messageId").filter(|id| !id.trim().is_empty()).map(Cow::into_owned);
    let (user_id, placeholder) = keys.user_id();
    keys.text("anonymousId");
    keys.text("channel");
    keys.version();
    keys.text("writeKey");
    keys.text("projectId");
    let context = keys.object("context");
    let integrations = keys.object("integrations");
    let own_traits = keys.object("traits");
    let properties = keys.object("properties");
    let enabled = keys.enabled(integrations);
    let part =
        |text: &str| if text == EMPTY { ObjectText::default() } else { ObjectText::part_of(body, text) };
    let payload = match event_type {
        None => None,
        Some(EventType::Identify) => {
            Some(Payload::Identify { traits: Traits::of(part, own_traits, context) })
        }
        Some(EventType::Track) => {
            keys.event_name().map(|event| Payload::Track { event, properties: part(properties) })
        }
        Some(EventType::Page) => {
            let name = keys.text("name").map(Cow::into_owned);
            let category = keys.text("category").map(Cow::into_owned);
            let url = keys.page_url(properties, context);
            url.map(|url| Payload::Page { name, category, url, properties: part(properties) })
        }
    };

    let problems = keys.into_problems();
    let (Some(payload), true) = (payload, problems.is_empty()) else {
        return Err(Refusal { reason: DeadLetterReason::InvalidEvent, problems, http_status: None }.into());
    };
    if !enabled {
        return Err(Undelivered::Skip(SkipReason::IntegrationDisabled));
    }
    Ok(Event { payload, message_id, user_id, placeholder, context: part(context) })
}

#[cfg(test)]
mod tests;
