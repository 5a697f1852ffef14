//! The forms in which the sandbox answers.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::sandbox::{account::error::ApiError, options::Language};

pub(in crate::sandbox) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(in crate::sandbox) fn json(status: StatusCode, body: &Value) -> Response {
    with_type(status, body.to_string(), JSON)
}

pub(in crate::sandbox) fn html(body: String) -> Response {
    with_type(StatusCode::OK, body, HTML)
}

/// `{"errors": ..}`, the form of most errors.
pub(super) fn errors(error: &ApiError, language: Language) -> Response {
    let messages: Vec<String> = error.messages.iter().map(|message| language.translate(message)).collect();
    json(error.status, &json!({ "errors": { "code": error.status.as_u16(), "message": messages } }))
}

/// `{"message": ..}`, the form of answers that are not about a record.
pub(in crate::sandbox) fn message(status: StatusCode, message: &str) -> Response {
    json(status, &json!({ "message": message }))
}

pub(in crate::sandbox) fn body_too_long() -> Response {
    message(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large")
}

/// To a request without a right key: 401 if it accepts JSON, else a redirect to the page to sign in.
pub(super) fn login(bundle: &str, accept: &str) -> Response {
    if accept.contains("application/json") {
        return json(StatusCode::UNAUTHORIZED, &json!({ "login": "failed" }));
    }
    let location = format!("{bundle}/login");
    let page = format!("<html><body>You are being <a href=\"{location}\">redirected</a>.</body></html>");
    let mut response = with_type(StatusCode::FOUND, page, HTML);
    response.headers_mut().extend(HeaderValue::try_from(location).ok().map(|location| (LOCATION, location)));
    response
}

fn with_type(status: StatusCode, body: String, content_type: HeaderValue) -> Response {
    (status, [(CONTENT_TYPE, content_type)], Body::from(body)).into_response()
}
