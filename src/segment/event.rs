//! The decoded event that every later stage works on, or why a body is not delivered.

use serde_json::Value;

use crate::object::ObjectText;
use crate::outcome::{Refusal, SkipReason};

/// A JSON object that keeps its order.
pub type JsonMap = serde_json::Map<String, Value>;

/// The types of event that are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// Who the user is.
    Identify,
    /// What the user did.
    Track,
    /// What the user looked at.
    Page,
}

impl EventType {
    /// Every type, in the order of the documentation.
    pub const ALL: &'static [Self] = &[Self::Identify, Self::Track, Self::Page];

    /// The word in an event's `type`, in the configuration and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
        }
    }

    /// The type of this word, to the letter.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event_type| event_type.as_str() == word)
    }
}

/// One decoded Segment event of a supported type: what is delivered of it, or decides how. What is only passed on stays
/// text.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What the event says.
    pub payload: Payload,
    /// The sender's unique name for the message; repeats are skipped.
    pub message_id: Option<String>,
    /// The sender's name for the user; a whole number was read as its digits; never blank. Without it,
    /// the account's rules decide.
    pub user_id: Option<String>,
    /// The word in `userId` that names nobody, such as `undefined`; then there is no `user_id`.
    pub placeholder: Option<&'static str>,
    /// Where and how the event happened; of an activity, `traits` inside matters here.
    pub context: ObjectText,
}

impl Event {
    /// Which of the delivered types it is.
    pub const fn event_type(&self) -> EventType {
        match self.payload {
            Payload::Identify { .. } => EventType::Identify,
            Payload::Track { .. } => EventType::Track,
            Payload::Page { .. } => EventType::Page,
        }
    }
}

/// The part of an event that differs by type.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Who the user is.
    Identify {
        /// What is known of the user: `traits`, and `context.traits` under them.
        traits: JsonMap,
    },
    /// What the user did.
    Track {
        /// The event's name; never blank.
        event: String,
        /// What is known of the action.
        properties: ObjectText,
    },
    /// What the user looked at.
    Page {
        /// The page's name.
        name: Option<String>,
        /// The page's category.
        category: Option<String>,
        /// `properties.url`, else `context.page.url`; never blank.
        url: String,
        /// What is known of the page, as sent.
        properties: ObjectText,
    },
}

/// Why a body became no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// Freshet does not deliver such events, or the sender does not want this one delivered.
    Skip(SkipReason),
    /// The event goes to the dead letters.
    Refuse(Refusal),
}

impl From<Refusal> for Undelivered {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}
