//! The keys of an event's envelope: each one's value, and what is wrong with it. A problem is kept, and reading goes
//! on, so that a dead letter names all of them. Decoding reads them.

use std::borrow::Cow;

use strum::{EnumCount, EnumString, IntoStaticStr};

use super::integrations::{self, WrongKind};
use super::placeholder::placeholder;
use crate::object::{elements, find, string};
use crate::outcome::{Problem, SkipReason};
use crate::segment::text::kind::{JsonKind, describe_text};
use crate::segment::text::walk::walk;
use crate::segment::whole;
use crate::segment::{EventType, Undelivered};

/// The most digits of a `userId`: `external_id` takes no more characters.
const USER_ID_DIGITS: usize = 255;

/// The keys under which queues and buses put an event when they wrap it.
const WRAPPER_KEYS: [&str; 5] = ["payload", "data", "detail", "message", "Message"];

/// Stands for an object that is missing, null or PHP's `[]`.
pub(super) const EMPTY: &str = "{}";

#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, EnumString, IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub(super) enum EnvelopeKey {
    Type,
    MessageId,
    UserId,
    AnonymousId,
    Channel,
    Version,
    WriteKey,
    ProjectId,
    Context,
    Integrations,
    Traits,
    Properties,
    Event,
    Name,
    Category,
    Batch,
}

/// The envelope's values, as they are written, and the problems found so far.
#[derive(Default)]
pub(super) struct EnvelopeKeys<'a> {
    text: &'a str,
    /// Whether the text has an escape that is half of a character. The other half may be missing.
    pub(super) surrogates: bool,
    /// In the order of [`EnvelopeKey`].
    values: [Option<&'a str>; EnvelopeKey::COUNT],
    /// `traits` in `context`.
    context_traits: Option<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> EnvelopeKeys<'a> {
    /// Reads the keys of a body; of a repeated key the last value counts. `None` if it cannot be read.
    pub(super) fn read(&mut self, body: &'a [u8]) -> Option<()> {
        let Self { values, context_traits, .. } = self;
        let walked = walk(body, |walk, name| {
            let key = name.parse::<EnvelopeKey>().ok();
            let value = if key == Some(EnvelopeKey::Context) {
                *context_traits = None;
                walk.value_with(|walk, name| {
                    let value = walk.value()?;
                    if name == "traits" {
                        *context_traits = Some(value);
                    }
                    Some(())
                })
            } else {
                walk.value()
            };
            if let Some(place) = key.and_then(|key| values.get_mut(key as usize)) {
                *place = value;
            }
            value.map(drop)
        })?;
        (self.text, self.surrogates) = (walked.text, walked.surrogates);
        Some(())
    }

    /// The type; `None` if it is a problem. Decoding skips an event whose type is not delivered.
    pub(super) fn event_type(&mut self) -> Result<Option<EventType>, Undelivered> {
        let value = self.value(EnvelopeKey::Type);
        match JsonKind::of(value) {
            JsonKind::Text => match string(value).as_deref().and_then(EventType::from_word) {
                Some(event_type) => Ok(Some(event_type)),
                None => Err(Undelivered::Skip(SkipReason::UnsupportedType)),
            },
            JsonKind::Null => {
                let problem = if JsonKind::of(self.value(EnvelopeKey::Batch)) == JsonKind::Array {
                    "the body is a batch where one event belongs; the intake queue takes batches, a lane does not"
                } else {
                    "the event has no type"
                };
                let types = "identify, track or page";
                let expected = match wrapper_key(self.text) {
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

    fn value(&self, key: EnvelopeKey) -> &'a str {
        self.values.get(key as usize).copied().flatten().unwrap_or("null")
    }

    pub(super) fn text(&mut self, key: EnvelopeKey) -> Option<Cow<'a, str>> {
        self.check_text(key).and_then(string)
    }

    /// The same, still quoted.
    pub(super) fn check_text(&mut self, key: EnvelopeKey) -> Option<&'a str> {
        let value = self.value(key);
        match JsonKind::of(value) {
            JsonKind::Null => None,
            JsonKind::Text => Some(value),
            JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => {
                self.wrong(key.into(), "a string or null", value);
                None
            }
        }
    }

    /// The `userId`, or the placeholder that stands in its place.
    pub(super) fn user_id(&mut self) -> (Option<String>, Option<&'static str>) {
        let value = self.value(EnvelopeKey::UserId);
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
        let value = self.value(EnvelopeKey::Version);
        match JsonKind::of(value) {
            JsonKind::Null | JsonKind::Text | JsonKind::Number => {}
            JsonKind::Bool | JsonKind::Array | JsonKind::Object => {
                self.wrong("version", "a string, a number or null", value);
            }
        }
    }

    pub(super) fn object(&mut self, key: EnvelopeKey) -> &'a str {
        let value = self.value(key);
        match JsonKind::of(value) {
            JsonKind::Null => EMPTY,
            JsonKind::Object => value,
            // PHP writes an empty object so.
            JsonKind::Array if elements(value).next().is_none() => EMPTY,
            JsonKind::Bool | JsonKind::Number | JsonKind::Text | JsonKind::Array => {
                self.wrong(key.into(), "an object or null", value);
                EMPTY
            }
        }
    }

    /// The traits in `context`, if they are an object.
    pub(super) fn context_traits(&self) -> Option<&'a str> {
        self.context_traits.filter(|traits| JsonKind::of(traits) == JsonKind::Object)
    }

    pub(super) fn event_name(&mut self) -> Option<String> {
        let value = self.value(EnvelopeKey::Event);
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
