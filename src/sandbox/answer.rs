//! What the sandbox says to one request.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::habits::Language;

/// One answer, ready to be sent.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::with_type(status, body.to_string(), "application/json; charset=utf-8")
    }

    pub(super) fn html(body: String) -> Self {
        Self::with_type(StatusCode::OK, body, "text/html; charset=utf-8")
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: String::new() }
    }

    /// `{"message": ..}`, the form of answers that concern no record.
    pub(super) fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    fn with_type(status: StatusCode, body: String, content_type: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { status, headers, body }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, Body::from(self.body)).into_response()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// At least one.
    pub(super) messages: Vec<String>,
}

impl Refused {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages: vec![message.into()] }
    }

    pub(super) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, messages: vec!["Record not found".to_owned()] }
    }
}

impl From<Vec<String>> for Refused {
    fn from(messages: Vec<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages }
    }
}

impl Refused {
    /// The answer that says so.
    pub(super) fn answer(&self, language: Language) -> Answer {
        let messages: Vec<String> = self.messages.iter().map(|message| language.say(message)).collect();
        let errors = json!({ "errors": { "code": self.status.as_u16(), "message": messages } });
        Answer::json(self.status, &errors)
    }
}
