//! The three web-tracking calls: visitors, events, page views. They carry a token of their own.

use std::collections::VecDeque;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sandbox::http::response::ApiError;
use crate::segment::JsonMap;

/// How many activities are remembered.
const ACTIVITIES_KEPT: usize = 200_000;

/// What a tracking call reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum TrackingKind {
    Visitor,
    Event,
    PageView,
}

impl TrackingKind {
    pub(in crate::sandbox) const ALL: &'static [Self] = &[Self::Visitor, Self::Event, Self::PageView];

    /// The word in the body, and in the state.
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Event => "event",
            Self::PageView => "page_view",
        }
    }

    /// The word in the path.
    pub(in crate::sandbox) const fn plural(self) -> &'static str {
        match self {
            Self::Visitor => "visitors",
            Self::Event => "events",
            Self::PageView => "page_views",
        }
    }

    /// The key an activity cannot be without, which is no property.
    const fn needed(self) -> Option<&'static str> {
        match self {
            Self::Visitor => None,
            Self::Event => Some("name"),
            Self::PageView => Some("url"),
        }
    }
}

/// One call that was taken.
pub(in crate::sandbox) struct TrackedActivity {
    sequence: u64,
    pub(in crate::sandbox) kind: TrackingKind,
    pub(in crate::sandbox) identifier: String,
    /// The event's name or the page's url.
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
        if let Some(key) = self.kind.needed() {
            out.insert(key.to_owned(), Value::from(self.subject.as_deref()));
        }
        out.insert("properties".to_owned(), Value::Object(self.properties.clone()));
        out.insert("received_at".to_owned(), Value::from(self.received_at.to_string()));
        Value::Object(out)
    }
}

/// Every activity, oldest first. They belong to an identifier, whether a contact has it or not.
#[derive(Default)]
pub(in crate::sandbox) struct Activities {
    kept: VecDeque<TrackedActivity>,
    taken: u64,
}

impl Activities {
    /// Takes one call's body, if the token is right and nothing needed is missing.
    pub(in crate::sandbox) fn take(
        &mut self,
        kind: TrackingKind,
        body: &Value,
        app_token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let token = body.get("application_token").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() || app_token.is_some_and(|right| right != token) {
            let messages = vec!["Incorrect or expired application token".to_owned()];
            return Err(ApiError { status: StatusCode::UNAUTHORIZED, messages });
        }
        let identifier = body.get("identifier").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        if identifier.is_empty() {
            return Err(ApiError::invalid("identifier can't be blank"));
        }
        let word = kind.as_str();
        let content = body.get(word).and_then(Value::as_object);
        let mut properties =
            content.cloned().ok_or_else(|| ApiError::invalid(format!("{word} can't be blank")))?;
        let subject = match kind.needed() {
            None => None,
            Some(key) => {
                let subject =
                    properties.shift_remove(key).and_then(|value| value.as_str().map(str::to_owned));
                let subject = subject.filter(|text| !text.trim().is_empty());
                Some(subject.ok_or_else(|| ApiError::invalid(format!("{word}.{key} can't be blank")))?)
            }
        };
        self.taken += 1;
        self.kept.push_back(TrackedActivity {
            sequence: self.taken,
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

    /// Oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = &TrackedActivity> {
        self.kept.iter()
    }

    /// How many were taken, the forgotten ones included.
    pub(in crate::sandbox) fn count(&self) -> u64 {
        self.taken
    }
}

/// The body of a refused call: the SDKs only look at the status.
pub(in crate::sandbox) fn refusal(refused: &ApiError) -> Value {
    json!({ "message": refused.messages.join("; ") })
}
