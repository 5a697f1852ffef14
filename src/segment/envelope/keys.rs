//! The keys of an event's envelope: each one's value, and what is wrong with it. A problem is kept, and reading goes
//! on, so that a dead letter names all of them. Decoding reads them.

use std::borrow::Cow;

use super::integrations::{self, WrongKind};
use super::placeholder::placeholder;
use crate::object::{elements, find, members, string};
use crate::outcome::{Problem, SkipReason};
use crate::segment::text::kind::{JsonKind, describe_text};
use crate::segment::whole;
use crate::segment::{EventType, Undelivered};

/// The most digits of a `userId`: `external_id` takes no more characters.
const USER_ID_DIGITS: usize = 255;

/// The keys under which queues and buses put an event when they wrap it.
const WRAPPER_KEYS: [&str; 5] = ["payload", "data", "detail", "message", "Message"];

/// Stands for an object that is missing, null or PHP's `[]`.
pub(super) const EMPTY: &str = "{}";

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

/// The envelope's values, as they are written, and the problems found so far.
pub(super) struct EnvelopeKeys<'a> {
    /// In the order of [`KEYS`].
    values: [Option<&'a str>; KEYS.len()],
    problems: Vec<Problem>,
}

impl<'a> EnvelopeKeys<'a> {
    /// Reads the keys of the body; of a repeated key the last value counts.
    pub(super) fn of(body: &'a str) -> Self {
        let mut values = [None; KEYS.len()];
        for member in members(body) {
            let name = member.name();
            let place = KEYS.iter().position(|key| *key == name);
            if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                *value = Some(member.value);
            }
        }
        Self { values, problems: Vec::new() }
    }

    /// The type; `None` if it is a problem. Decoding skips an event whose type is not delivered.
    pub(super) fn event_type(&mut self, text: &str) -> Result<Option<EventType>, Undelivered> {
        let value = self.value("type");
        match JsonKind::of(value) {
            JsonKind::Text => match string(value).as_deref().and_then(EventType::from_word) {
                Some(event_type) => Ok(Some(event_type)),
                None => Err(Undelivered::Skip(SkipReason::UnsupportedType)),
            },
            JsonKind::Null => {
                let problem = if JsonKind::of(self.value("batch")) == JsonKind::Array {
                    "the body is a batch where one event belongs; the intake queue takes batches, a lane does not"
                } else {
                    "the event has no type"
                };
                let types = "identify, track or page";
                let expected = match wrapper_key(text) {
                    Some(key) => {
                        format!("{types}; if `{key}` holds the event, then `{key}` in `broker.unwrap`")
                    }
                    None => types.to_owned(),
                };
                self.missing("type", problem, &expected);
                Ok(None)
            }
            JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
                self.wrong("type", "a string: identify, track or page", value);
                Ok(None)
            }
        }
    }

    fn value(&self, key: &str) -> &'a str {
        let place = KEYS.iter().position(|known| *known == key);
        place.and_then(|place| *self.values.get(place)?).unwrap_or("null")
    }

    pub(super) fn text(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let value = self.value(key);
        match JsonKind::of(value) {
            JsonKind::Null => None,
            JsonKind::Text => string(value),
            JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
                self.wrong(key, "a string or null", value);
                None
            }
        }
    }

    /// The `userId`, or the placeholder that stands in its place.
    pub(super) fn user_id(&mut self) -> (Option<String>, Option<&'static str>) {
        let value = self.value("userId");
        let user_id = match JsonKind::of(value) {
            JsonKind::Null => None,
            JsonKind::Text => string(value).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()),
            JsonKind::Number => {
                let digits =
                    whole(value, USER_ID_DIGITS).or_else(|| is_integer(value).then(|| value.to_owned()));
                if digits.is_none() {
                    self.wrong("userId", "a string, a whole number of at most 255 digits or null", value);
                }
                digits
            }
            JsonKind::Bool | JsonKind::Array | JsonKind::Object => {
                self.wrong("userId", "a string, a whole number or null", value);
                None
            }
        };
        match user_id.as_deref().and_then(placeholder) {
            None => (user_id, None),
            word => (None, word),
        }
    }

    pub(super) fn version(&mut self) {
        let value = self.value("version");
        match JsonKind::of(value) {
            JsonKind::Null | JsonKind::Text | JsonKind::Number => {}
            JsonKind::Bool | JsonKind::Array | JsonKind::Object => {
                self.wrong("version", "a string, a number or null", value);
            }
        }
    }

    pub(super) fn object(&mut self, key: &str) -> &'a str {
        let value = self.value(key);
        match JsonKind::of(value) {
            JsonKind::Null => EMPTY,
            JsonKind::Object => value,
            // PHP writes an empty object so.
            JsonKind::Array if elements(value).next().is_none() => EMPTY,
            JsonKind::Bool | JsonKind::Number | JsonKind::Text | JsonKind::Array => {
                self.wrong(key, "an object or null", value);
                EMPTY
            }
        }
    }

    pub(super) fn event_name(&mut self) -> Option<String> {
        let value = self.value("event");
        match JsonKind::of(value) {
            JsonKind::Text | JsonKind::Null => {
                let name = string(value).filter(|name| !name.trim().is_empty());
                if name.is_none() {
                    self.missing("event", "a track needs the event's name", "a string that is not blank");
                }
                name.map(Cow::into_owned)
            }
            JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
                self.wrong("event", "a string that is not blank", value);
                None
            }
        }
    }

    pub(super) fn page_url(&mut self, properties: &str, context: &str) -> Option<String> {
        let context_page = find(context, "page").and_then(|page| find(page, "url"));
        let url = [find(properties, "url"), context_page]
            .into_iter()
            .flatten()
            .filter_map(string)
            .map(|url| url.trim().to_owned())
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

    /// Whether the sender wants the event delivered here.
    pub(super) fn enabled(&mut self, integrations: &str) -> bool {
        integrations::enabled(integrations).unwrap_or_else(|WrongKind { name, value }| {
            self.wrong(&format!("integrations.{name}"), "true, false, an object or null", value);
            true
        })
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
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

fn is_integer(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The key that seems to hold the event in an object without a type.
fn wrapper_key(text: &str) -> Option<&'static str> {
    WRAPPER_KEYS.into_iter().find(|key| {
        find(text, key).is_some_and(|value| {
            matches!(JsonKind::of(value), JsonKind::Object | JsonKind::Array | JsonKind::Text)
        })
    })
}
