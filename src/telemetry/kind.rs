//! Which log lines are alike: they come from the same place in the code, and are about the same account, reason and so on.
//! Only fields whose values are few count; a `messageId` or an error's text does not.

use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tracing::Event;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};

/// The fields that tell kinds apart. [`super::throttle`] names them once more where it counts a kind's lines.
pub(super) const KIND_FIELDS: [&str; 9] =
    ["account", "reason", "queue", "consumer", "lane.state", "selector", "stall", "entity", "field"];
/// The most characters of a text that is kept of a kind.
const KEPT_TEXT: usize = 200;

/// Tells kinds of lines apart without keeping their texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LineKind {
    place: Identifier,
    /// `None` stands for all kinds of the place for which there was no room.
    fields: Option<u64>,
}

impl LineKind {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut hashed = HashedFields(DefaultHasher::new());
        event.record(&mut hashed);
        Self { place: event.metadata().callsite(), fields: Some(hashed.0.finish()) }
    }

    pub(super) fn rest_of_its_place(self) -> Self {
        Self { fields: None, ..self }
    }
}

struct HashedFields(DefaultHasher);

impl Visit for HashedFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if KIND_FIELDS.contains(&field.name()) {
            (field.name(), value).hash(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if KIND_FIELDS.contains(&field.name()) {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// What a line says of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KindTexts {
    pub(super) message: String,
    /// In the order of [`KIND_FIELDS`].
    pub(super) fields: [Option<String>; KIND_FIELDS.len()],
}

impl KindTexts {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut texts = Self::default();
        event.record(&mut texts);
        texts
    }

    /// Of all kinds of one place together.
    pub(super) fn without_fields(self) -> Self {
        Self { message: self.message, ..Self::default() }
    }
}

impl Visit for KindTexts {
    fn record_str(&mut self, field: &Field, value: &str) {
        let place = KIND_FIELDS.iter().position(|name| *name == field.name());
        if let Some(kept) = place.and_then(|place| self.fields.get_mut(place)) {
            *kept = Some(value.chars().take(KEPT_TEXT).collect());
        } else if field.name() == "message" {
            self.message = value.chars().take(KEPT_TEXT).collect();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // Writing to a string fails only if the value's own `Debug` does.
        write!(text, "{value:?}").ok();
        self.record_str(field, &text);
    }
}
