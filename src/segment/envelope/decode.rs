//! Bytes to [`Event`], or the reason why not. Lanes and `explain` call it with the body of one event.

use std::borrow::Cow;

use bytes::Bytes;

use super::keys::{EMPTY, EnvelopeKey, EnvelopeKeys};
use super::traits::Traits;
use crate::object::ObjectText;
use crate::outcome::{DeadLetterReason, Refusal, SkipReason};
use crate::segment::text::check::refusal;
use crate::segment::text::surrogates;
use crate::segment::{Event, EventType, Payload, Undelivered};

/// Decodes one event of a supported type. Never panics, whatever the bytes.
pub fn decode(body: &Bytes) -> Result<Event, Undelivered> {
    let mended;
    let (mut body, mut keys) = (body, EnvelopeKeys::default());
    let mut read = keys.read(body);
    if (read.is_none() || keys.surrogates)
        && let Cow::Owned(text) = surrogates::mended(body)
    {
        mended = Bytes::from(text);
        (body, keys) = (&mended, EnvelopeKeys::default());
        read = keys.read(body);
    }
    read.ok_or_else(|| refusal(body))?;
    // Before all other keys: an event of a type that is not delivered is skipped, whatever else is wrong with it.
    let event_type = keys.event_type()?;

    let message_id =
        keys.text(EnvelopeKey::MessageId).filter(|id| !id.trim().is_empty()).map(Cow::into_owned);
    let (user_id, placeholder) = keys.user_id();
    keys.check_text(EnvelopeKey::AnonymousId);
    keys.check_text(EnvelopeKey::Channel);
    keys.version();
    keys.check_text(EnvelopeKey::WriteKey);
    keys.check_text(EnvelopeKey::ProjectId);
    let context = keys.object(EnvelopeKey::Context);
    let integrations = keys.object(EnvelopeKey::Integrations);
    let own_traits = keys.object(EnvelopeKey::Traits);
    let properties = keys.object(EnvelopeKey::Properties);
    let enabled = keys.enabled(integrations);
    let part =
        |text: &str| if text == EMPTY { ObjectText::default() } else { ObjectText::part_of(body, text) };
    let context_traits = keys.context_traits().map(part);
    let payload = match event_type {
        None => None,
        Some(EventType::Identify) => {
            let traits = Traits { own: part(own_traits), further: context_traits.clone() };
            Some(Payload::Identify { traits })
        }
        Some(EventType::Track) => {
            keys.event_name().map(|event| Payload::Track { event, properties: part(properties) })
        }
        Some(EventType::Page) => {
            let name = keys.text(EnvelopeKey::Name).map(Cow::into_owned);
            let category = keys.text(EnvelopeKey::Category).map(Cow::into_owned);
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
    Ok(Event { payload, message_id, user_id, placeholder, context_traits })
}

#[cfg(test)]
mod tests;
