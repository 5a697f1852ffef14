//! Why the account refuses a request.

use axum::http::StatusCode;

/// A refusal, in English; it is translated when it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct ApiError {
    pub(in crate::sandbox) status: StatusCode,
    /// At least one.
    pub(in crate::sandbox) messages: Vec<String>,
}

impl ApiError {
    pub(in crate::sandbox) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, messages: vec![message.into()] }
    }

    pub(in crate::sandbox) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(in crate::sandbox) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Record not found")
    }
}

impl From<Vec<String>> for ApiError {
    fn from(messages: Vec<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages }
    }
}
