//! What the sandbox says to one request.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
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

    /// `{"errors": ..}`, the form of most refusals.
    pub(super) fn errors(status: StatusCode, messages: &[String]) -> Self {
        let errors = json!({ "errors": { "code": status.as_u16(), "message": messages } });
        Self::json(status, &errors)
    }

    /// Who has no right key is refused, or, if it takes no JSON, sent to the page to sign in.
    pub(super) fn login(prefix: &str, accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/json")) {
            return Self::json(StatusCode::UNAUTHORIZED, &json!({ "login": "failed" }));
        }
        let place = format!("{prefix}/login");
        let page = format!("<html><body>You are being <a href=\"{place}\">redirected</a>.</body></html>");
        let mut answer = Self::with_type(StatusCode::FOUND, page, "text/html; charset=utf-8");
        answer.headers.extend(HeaderValue::try_from(place).ok().map(|place| (LOCATION, place)));
        answer
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
        Answer::errors(self.status, &messages)
    }
}
