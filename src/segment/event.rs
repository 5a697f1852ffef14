//! The decoded event that every later stage works on, or why a body is not delivered.

use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::object::ObjectText;
use crate::outcome::{Refusal, SkipReason};
use crate::segment::envelope::traits::Traits;

/// A JSON object that keeps its order.
pub type JsonMap = serde_json::Map<String, Value>;

/// The types of event that are delivered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum EventType {
    /// Who the user is.
    Identify,
    /// What the user did.
    Track,
    /// What the user looked at.
    Page,
}

impl EventType {
    /// In the order of the documentation.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in an event's `type`, in the configuration and in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The type of this exact word.
    pub fn from_word(word: &str) -> Option<Self> {
        word.parse().ok()
    }
}

/// One decoded Segment event: only the parts that are delivered or decide how. Parts that are passed on unread stay
/// text.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The part that differs by type.
    pub payload: Payload,
    /// The sender's unique id of the message; events that repeat one are skipped.
    pub message_id: Option<String>,
    /// The sender's id of the user; never blank. A whole number was read as its digits.
    pub user_id: Option<String>,
    /// The placeholder in `userId`, such as `undefined`. There is no `user_id` then.
    pub placeholder: Option<&'static str>,
    /// The object under `context.traits`, in which mapping looks for the user's address.
    pub context_traits: Option<ObjectText>,
}

impl Event {
    /// The type of the payload.
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
        /// `traits`, and the keys of `context.traits` that `traits` does not have.
        traits: Traits,
    },
    /// What the user did.
    Track {
        /// The event's name; never blank.
        event: String,
        /// As sent.
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
        /// As sent.
        properties: ObjectText,
    },
}

/// Why a body is not delivered.
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
