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

use crate::sandbox::options::Language;

/// One answer, ready to be sent.
pub(in crate::sandbox) struct ApiResponse {
    pub(in crate::sandbox) status: StatusCode,
    pub(in crate::sandbox) headers: HeaderMap,
    pub(in crate::sandbox) body: String,
}

impl ApiResponse {
    pub(in crate::sandbox) fn json(status: StatusCode, body: &Value) -> Self {
        Self::with_type(status, body.to_string(), "application/json; charset=utf-8")
    }

    pub(in crate::sandbox) fn html(body: String) -> Self {
        Self::with_type(StatusCode::OK, body, "text/html; charset=utf-8")
    }

    pub(in crate::sandbox) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: String::new() }
    }

    /// `{"errors": ..}`, the form of most refusals.
    pub(in crate::sandbox) fn errors(status: StatusCode, messages: &[String]) -> Self {
        let errors = json!({ "errors": { "code": status.as_u16(), "message": messages } });
        Self::json(status, &errors)
    }

    /// Who has no right key is refused, or, if it takes no JSON, sent to the page to sign in.
    pub(in crate::sandbox) fn login(prefix: &str, accept: Option<&str>) -> Self {
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
    pub(in crate::sandbox) fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    fn with_type(status: StatusCode, body: String, content_type: &'static str) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { status, headers, body }
    }
}

impl IntoResponse for ApiResponse {
    fn into_response(self) -> Response {
        (self.status, self.headers, Body::from(self.body)).into_response()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct ApiError {
    pub(in crate::sandbox) status: StatusCode,
    /// At least one.
    pub(in crate::sandbox) messages: Vec<String>,
}

impl ApiError {
    pub(in crate::sandbox) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages: vec![message.into()] }
    }

    pub(in crate::sandbox) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, messages: vec!["Record not found".to_owned()] }
    }
}

impl From<Vec<String>> for ApiError {
    fn from(messages: Vec<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages }
    }
}

impl ApiError {
    /// The answer that says so.
    pub(in crate::sandbox) fn answer(&self, language: Language) -> ApiResponse {
        let messages: Vec<String> = self.messages.iter().map(|message| language.say(message)).collect();
        ApiResponse::errors(self.status, &messages)
    }
}
