//! The three web-tracking calls: visitors, events, page views. They carry a token of their own in place of the API key.

use std::collections::VecDeque;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use strum::{IntoStaticStr, VariantArray};

use super::error::ApiError;
use crate::segment::JsonMap;

const ACTIVITIES_KEPT: usize = 200_000;

/// What a tracking call reports; its name in snake case is the key in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(in crate::sandbox) enum TrackingKind {
    Visitor,
    Event,
    PageView,
}

impl TrackingKind {
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The word in the path.
    pub(in crate::sandbox) const fn plural(self) -> &'static str {
        match self {
            Self::Visitor => "visitors",
            Self::Event => "events",
            Self::PageView => "page_views",
        }
    }

    /// The required key; it is kept apart from the properties.
    const fn subject_key(self) -> Option<&'static str> {
        match self {
            Self::Visitor => None,
            Self::Event => Some("name"),
            Self::PageView => Some("url"),
        }
    }
}

/// A tracking call that was accepted.
pub(in crate::sandbox) struct TrackedActivity {
    sequence: u64,
    pub(in crate::sandbox) kind: TrackingKind,
    pub(in crate::sandbox) identifier: String,
    /// The event's name or the page's URL.
    pub(in crate::sandbox) subject: Option<String>,
    pub(in crate::sandbox) properties: JsonMap,
    pub(in crate::sandbox) received_at: Timestamp,
}

impl TrackedActivity {
    pub(in crate::sandbox) fn json(&self) -> Value {
        let mut out = JsonMap::new();
        out.insert("sequence".to_owned(), Value::from(self.sequence));
        out.insert("kind".to_owned(), Value::from(self.kind.as_str()));
        out.insert("identifier".to_owned(), Value::from(self.identifier.as_str()));
        if let Some(key) = self.kind.subject_key() {
            out.insert(key.to_owned(), Value::from(self.subject.as_deref()));
        }
        out.insert("properties".to_owned(), Value::Object(self.properties.clone()));
        out.insert("received_at".to_owned(), Value::from(self.received_at.to_string()));
        Value::Object(out)
    }
}

/// Every activity, oldest first. An activity belongs to an identifier, whether or not a contact has it.
#[derive(Default)]
pub(in crate::sandbox) struct Activities {
    kept: VecDeque<TrackedActivity>,
    /// Those that are no longer kept included.
    pub(in crate::sandbox) total: u64,
}

impl Activities {
    /// Records one call's body. `app_token` is the only token accepted, if there is one.
    pub(super) fn track(
        &mut self,
        kind: TrackingKind,
        body: &Value,
        app_token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let token = body.get("application_token").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() || app_token.is_some_and(|right| right != token) {
            let message = "Incorrect or expired application token";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
        let identifier = body.get("identifier").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        if identifier.is_empty() {
            return Err(ApiError::invalid("identifier can't be blank"));
        }
        let word = kind.as_str();
        let content = body.get(word).and_then(Value::as_object);
        let mut properties =
            content.cloned().ok_or_else(|| ApiError::invalid(format!("{word} can't be blank")))?;
        let subject = match kind.subject_key() {
            None => None,
            Some(key) => {
                let subject =
                    properties.shift_remove(key).and_then(|value| value.as_str().map(str::to_owned));
                let subject = subject.filter(|text| !text.trim().is_empty());
                Some(subject.ok_or_else(|| ApiError::invalid(format!("{word}.{key} can't be blank")))?)
            }
        };
        self.total += 1;
        self.kept.push_back(TrackedActivity {
            sequence: self.total,
            kind,
            identifier: identifier.to_owned(),
            subject,
            properties,
            received_at: now,
        });
        if self.kept.len() > ACTIVITIES_KEPT {
            self.kept.pop_front();
        }
        Ok(())
    }

    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = &TrackedActivity> {
        self.kept.iter()
    }
}
