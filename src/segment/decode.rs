//! Bytes to [`Event`], or the reason why not. Judges the envelope only: what traits mean
//! to an account is for `mapping`.

use jiff::Timestamp;
use serde_json::Value;

use super::json::{describe, parse_object};
use super::{Event, EventType, JsonMap, Payload};
use crate::outcome::{DeadLetterReason, Problem, Refusal, SkipReason};

/// This destination's names in `integrations`; the first that is there decides.
const OWN_NAMES: [&str; 2] = ["Freshsales Suite", "Freshsales"];

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
pub fn decode(body: &[u8]) -> Result<Event, Undelivered> {
    let mut envelope = Envelope { object: parse_object(body)?, problems: Vec::new() };
    // First of all: an event nobody asked for is not worth judging further.
    let event_type = envelope.event_type()?;

    let message_id = envelope.text("messageId").filter(|id| !id.trim().is_empty());
    let user_id = envelope.user_id();
    let anonymous_id = envelope.text("anonymousId");
    let channel = envelope.text("channel");
    let version = envelope.version();
    let write_key = envelope.text("writeKey");
    let project_id = envelope.text("projectId");
    let context = envelope.object("context");
    let integrations = envelope.object("integrations");
    let traits = envelope.object("traits");
    let properties = envelope.object("properties");
    let wanted = envelope.wanted(&integrations);
    let payload = match event_type {
        None => None,
        Some(EventType::Identify) => Some(Payload::Identify { traits }),
        Some(EventType::Track) => envelope.event_name().map(|event| Payload::Track { event, properties }),
        Some(EventType::Page) => {
            let name = envelope.text("name");
            let category = envelope.text("category");
            let url = envelope.page_url(&properties, &context);
            url.map(|url| Payload::Page { name, category, url, properties })
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
    if user_id.is_none() {
        return Err(without_user(&payload));
    }
    Ok(Event {
        payload,
        message_id,
        user_id,
        anonymous_id,
        context,
        integrations,
        timestamp: envelope.time("timestamp"),
        original_timestamp: envelope.time("originalTimestamp"),
        sent_at: envelope.time("sentAt"),
        received_at: envelope.time("receivedAt"),
        channel,
        version,
        write_key,
        project_id,
    })
}

fn without_user(payload: &Payload) -> Undelivered {
    match payload {
        Payload::Identify { .. } => Undelivered::Refuse(Refusal::new(
            DeadLetterReason::MissingUserId,
            Problem {
                trait_path: Some("userId".into()),
                problem: "an identify needs a user".into(),
                expected: Some("a string that is not blank, or an integer".into()),
                ..Problem::default()
            },
        )),
        Payload::Track { .. } | Payload::Page { .. } => Undelivered::Skip(SkipReason::Anonymous),
    }
}

/// The body's object, its known keys taken out one by one, and what was wrong with them.
struct Envelope {
    object: JsonMap,
    problems: Vec<Problem>,
}

impl Envelope {
    /// None if the type itself is a problem.
    fn event_type(&mut self) -> Result<Option<EventType>, Undelivered> {
        match self.take("type") {
            Value::String(word) => match EventType::from_word(&word) {
                Some(event_type) => Ok(Some(event_type)),
                None => Err(Undelivered::Skip(SkipReason::UnsupportedType)),
            },
            Value::Null => {
                self.missing("type", "the event has no type", "identify, track or page");
                Ok(None)
            }
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong("type", "a string: identify, track or page", &wrong);
                Ok(None)
            }
        }
    }

    fn take(&mut self, key: &str) -> Value {
        self.object.get_mut(key).map(Value::take).unwrap_or_default()
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key) {
            Value::Null => None,
            Value::String(text) => Some(text),
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong(key, "a string or null", &wrong);
                None
            }
        }
    }

    fn user_id(&mut self) -> Option<String> {
        match self.take("userId") {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|id| !id.is_empty()),
            Value::Number(number) if is_integer(number.as_str()) => Some(number.as_str().to_owned()),
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong("userId", "a string, an integer or null", &wrong);
                None
            }
        }
    }

    fn version(&mut self) -> Option<String> {
        match self.take("version") {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.as_str().to_owned()),
            wrong @ (Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong("version", "a string, a number or null", &wrong);
                None
            }
        }
    }

    fn object(&mut self, key: &str) -> JsonMap {
        match self.take(key) {
            Value::Null => JsonMap::new(),
            Value::Object(object) => object,
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.wrong(key, "an object or null", &wrong);
                JsonMap::new()
            }
        }
    }

    fn time(&mut self, key: &str) -> Option<Timestamp> {
        self.take(key).as_str().and_then(|text| text.trim().parse().ok())
    }

    fn event_name(&mut self) -> Option<String> {
        match self.take("event") {
            Value::String(name) if !name.trim().is_empty() => Some(name),
            Value::Null | Value::String(_) => {
                self.missing("event", "a track needs the event's name", "a string that is not blank");
                None
            }
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong("event", "a string that is not blank", &wrong);
                None
            }
        }
    }

    fn page_url(&mut self, properties: &JsonMap, context: &JsonMap) -> Option<String> {
        let context_page = context.get("page").and_then(Value::as_object);
        let url = [properties.get("url"), context_page.and_then(|page| page.get("url"))]
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::trim)
            .find(|url| !url.is_empty())
            .map(str::to_owned);
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
    fn wanted(&mut self, integrations: &JsonMap) -> bool {
        for name in OWN_NAMES {
            match integrations.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Bool(wanted)) => return *wanted,
                Some(Value::Object(_)) => return true,
                Some(wrong @ (Value::Number(_) | Value::String(_) | Value::Array(_))) => {
                    self.wrong(&format!("integrations.{name}"), "true, false, an object or null", wrong);
                    return true;
                }
            }
        }
        integrations.get("All") != Some(&Value::Bool(false))
    }

    fn wrong(&mut self, key: &str, expected: &str, got: &Value) {
        self.problems.push(Problem {
            trait_path: Some(key.into()),
            problem: "wrong kind of value".into(),
            expected: Some(expected.into()),
            got: Some(describe(got)),
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

fn is_integer(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
