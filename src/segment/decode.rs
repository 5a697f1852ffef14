//! Bytes to [`Event`], or the reason why not. Judges the envelope only: what traits mean
//! to an account is for `mapping`.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use super::json::{Kind, check_depth, describe_text, object_text};
use super::nobody::placeholder;
use super::surrogates::mended;
use super::traits::traits;
use super::whole::whole;
use super::{Event, EventType, Payload};
use crate::object::{ObjectText, elements, find, members};
use crate::outcome::{DeadLetterReason, Problem, Refusal, SkipReason};

/// This destination's names in `integrations`; the first that is there decides. Segment's catalog has the first, and the
/// last for the classic product; the other is what people call it.
pub(super) const OWN_NAMES: [&str; 3] = ["Freshsales Suite - CRM", "Freshsales Suite", "Freshsales"];

/// The most digits of a `userId`: `external_id` takes no more characters.
const USER_ID_DIGITS: usize = 255;

/// Why a body became no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// Left out on purpose.
    Skip(SkipReason),
    /// Cannot be delivered.
    Refuse(Refusal),
}

impl From<Refusal> for Undelivered {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// Decodes one event of a supported type. Never panics, whatever the bytes.
pub fn decode(body: &Bytes) -> Result<Event, Undelivered> {
    let mended = match mended(body) {
        Cow::Borrowed(_) => None,
        Cow::Owned(mended) => Some(Bytes::from(mended)),
    };
    let body = mended.as_ref().unwrap_or(body);
    let text = object_text(body)?;
    check_depth(text)?;
    let mut envelope = Envelope { known: known(text), problems: Vec::new() };
    // First of all: an event nobody asked for is not worth judging further.
    let event_type = envelope.event_type(text)?;

    let message_id = envelope.text("messageId").filter(|id| !id.trim().is_empty());
    let (user_id, placeholder) = envelope.user_id();
    envelope.text("anonymousId");
    envelope.text("channel");
    envelope.version();
    envelope.text("writeKey");
    envelope.text("projectId");
    let context = envelope.object("context");
    let integrations = envelope.object("integrations");
    let own_traits = envelope.object("traits");
    let properties = envelope.object("properties");
    let wanted = envelope.wanted(integrations);
    let part =
        |text: &str| if text == EMPTY { ObjectText::default() } else { ObjectText::part_of(body, text) };
    let payload = match event_type {
        None => None,
        Some(EventType::Identify) => Some(Payload::Identify { traits: traits(own_traits, context) }),
        Some(EventType::Track) => {
            envelope.event_name().map(|event| Payload::Track { event, properties: part(properties) })
        }
        Some(EventType::Page) => {
            let name = envelope.text("name");
            let category = envelope.text("category");
            let url = envelope.page_url(properties, context);
            url.map(|url| Payload::Page { name, category, url, properties: part(properties) })
        }
    };

    let (Some(payload), true) = (payload, envelope.problems.is_empty()) else {
        return Err(Refusal {
            reason: DeadLetterReason::InvalidEvent,
            problems: envelope.problems,
            http_status: None,
        }
        .into());
    };
    if !wanted {
        return Err(Undelivered::Skip(SkipReason::IntegrationDisabled));
    }
    Ok(Event { payload, message_id, user_id, placeholder, context: part(context) })
}

/// The key under which an object without a type seems to hold what was meant, as envelopes of queues and buses do.
fn envelope_key(text: &str) -> Option<&'static str> {
    ENVELOPE_KEYS.into_iter().find(|key| {
        find(text, key)
            .is_some_and(|value| matches!(Kind::of(value), Kind::Object | Kind::Array | Kind::Text))
    })
}

/// Where the envelopes that are in use hold their event.
const ENVELOPE_KEYS: [&str; 5] = ["payload", "data", "detail", "message", "Message"];

/// An object that is not there, is null or was an empty map of PHP.
const EMPTY: &str = "{}";

/// The keys of the envelope that are read.
const KEYS: [&str; 16] = [
    "type",
    "messageId",
    "userId",
    "anonymousId",
    "channel",
    "version",
    "writeKey",
    "projectId",
    "context",
    "integrations",
    "traits",
    "properties",
    "event",
    "name",
    "category",
    "batch",
];

/// The values of [`KEYS`], of each the last.
fn known(object: &str) -> HashMap<&'static str, &str> {
    let mut known = HashMap::new();
    for member in members(object) {
        let name = member.name();
        if let Some(key) = KEYS.iter().find(|key| **key == name) {
            known.insert(*key, member.value);
        }
    }
    known
}

/// What the envelope holds, as text, and what was wrong with it.
struct Envelope<'a> {
    known: HashMap<&'static str, &'a str>,
    problems: Vec<Problem>,
}

impl<'a> Envelope<'a> {
    /// None if the type itself is a problem.
    fn event_type(&mut self, text: &str) -> Result<Option<EventType>, Undelivered> {
        let value = self.value("type");
        match Kind::of(value) {
            Kind::Text => match EventType::from_word(&string(value)) {
                Some(event_type) => Ok(Some(event_type)),
                None => Err(Undelivered::Skip(SkipReason::UnsupportedType)),
            },
            Kind::Null => {
                let problem = if Kind::of(self.value("batch")) == Kind::Array {
                    "the body is a batch where one event belongs; the intake queue takes batches, a lane does not"
                } else {
                    "the event has no type"
                };
                let types = "identify, track or page";
                let expected = match envelope_key(text) {
                    Some(key) => {
                        format!("{types}; if `{key}` holds the event, then `{key}` in `broker.unwrap`")
                    }
                    None => types.to_owned(),
                };
                self.missing("type", problem, &expected);
                Ok(None)
            }
            Kind::Bool | Kind::Number | Kind::Array | Kind::Object => {
                self.wrong("type", "a string: identify, track or page", value);
                Ok(None)
            }
        }
    }

    fn value(&self, key: &str) -> &'a str {
        self.known.get(key).copied().unwrap_or("null")
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key);
        match Kind::of(value) {
            Kind::Null => None,
            Kind::Text => Some(string(value)),
            Kind::Bool | Kind::Number | Kind::Array | Kind::Object => {
                self.wrong(key, "a string or null", value);
                None
            }
        }
    }

    /// The `userId`, else the word in it that names nobody.
    fn user_id(&mut self) -> (Option<String>, Option<&'static str>) {
        let value = self.value("userId");
        let user_id = match Kind::of(value) {
            Kind::Null => None,
            Kind::Text => Some(string(value).trim().to_owned()).filter(|id| !id.is_empty()),
            Kind::Number => {
                let digits =
                    whole(value, USER_ID_DIGITS).or_else(|| is_integer(value).then(|| value.to_owned()));
                if digits.is_none() {
                    self.wrong("userId", "a string, a whole number of at most 255 digits or null", value);
                }
                digits
            }
            Kind::Bool | Kind::Array | Kind::Object => {
                self.wrong("userId", "a string, a whole number or null", value);
                None
            }
        };
        match user_id.as_deref().and_then(placeholder) {
            None => (user_id, None),
            word => (None, word),
        }
    }

    fn version(&mut self) {
        let value = self.value("version");
        match Kind::of(value) {
            Kind::Null | Kind::Text | Kind::Number => {}
            Kind::Bool | Kind::Array | Kind::Object => {
                self.wrong("version", "a string, a number or null", value);
            }
        }
    }

    fn object(&mut self, key: &str) -> &'a str {
        let value = self.value(key);
        match Kind::of(value) {
            Kind::Null => EMPTY,
            Kind::Object => value,
            // PHP writes an empty map so.
            Kind::Array if empty_array(value) => EMPTY,
            Kind::Bool | Kind::Number | Kind::Text | Kind::Array => {
                self.wrong(key, "an object or null", value);
                EMPTY
            }
        }
    }

    fn event_name(&mut self) -> Option<String> {
        let value = self.value("event");
        match Kind::of(value) {
            Kind::Text | Kind::Null => {
                let name = Some(value).filter(|value| Kind::of(value) == Kind::Text).map(string);
                let name = name.filter(|name| !name.trim().is_empty());
                if name.is_none() {
                    self.missing("event", "a track needs the event's name", "a string that is not blank");
                }
                name
            }
            Kind::Bool | Kind::Number | Kind::Array | Kind::Object => {
                self.wrong("event", "a string that is not blank", value);
                None
            }
        }
    }

    fn page_url(&mut self, properties: &str, context: &str) -> Option<String> {
        let context_page = find(context, "page").and_then(|page| find(page, "url"));
        let url = [find(properties, "url"), context_page]
            .into_iter()
            .flatten()
            .filter(|value| Kind::of(value) == Kind::Text)
            .map(|value| string(value).trim().to_owned())
            .find(|url| !url.is_empty());
        if url.is_none() {
            self.missing(
                "properties.url",
                "a page needs a url",
                "a string that is not blank in properties.url or in context.page.url",
            );
        }
        url
    }

    /// Whether the sender wants this destination to have the event.
    fn wanted(&mut self, integrations: &str) -> bool {
        for name in OWN_NAMES {
            let Some(value) = find(integrations, name) else { continue };
            match Kind::of(value) {
                Kind::Null => {}
                Kind::Bool => return value == "true",
                Kind::Object => return true,
                // PHP's empty object.
                Kind::Array if elements(value).next().is_none() => return true,
                Kind::Number | Kind::Text | Kind::Array => {
                    self.wrong(&format!("integrations.{name}"), "true, false, an object or null", value);
                    return true;
                }
            }
        }
        find(integrations, "All") != Some("false")
    }

    fn wrong(&mut self, key: &str, expected: &str, got: &str) {
        self.problems.push(Problem {
            trait_path: Some(key.into()),
            problem: "wrong kind of value".into(),
            expected: Some(expected.into()),
            got: Some(describe_text(got)),
            ..Problem::default()
        });
    }

    fn missing(&mut self, key: &str, problem: &str, expected: &str) {
        self.problems.push(Problem {
            trait_path: Some(key.into()),
            problem: problem.into(),
            expected: Some(expected.into()),
            ..Problem::default()
        });
    }
}

/// The string of a JSON text that is one.
pub(super) fn string(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_default()
}

fn empty_array(text: &str) -> bool {
    let inner = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

fn is_integer(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
