//! One request to the account, read whole.

use axum::{body::Bytes, http::Method};
use serde_json::Value;

use super::response::ApiError;
use crate::sandbox::account::related::Related;

/// A request, read whole.
#[derive(Debug)]
pub(in crate::sandbox) struct Request {
    pub(in crate::sandbox) method: Method,
    /// As it was asked for.
    pub(in crate::sandbox) path: String,
    /// `/crm/sales` or nothing: links in the answer start with it.
    pub(in crate::sandbox) prefix: &'static str,
    pub(in crate::sandbox) query: Vec<(String, String)>,
    pub(in crate::sandbox) host: String,
    pub(in crate::sandbox) authorization: Option<String>,
    pub(in crate::sandbox) accept: Option<String>,
    pub(in crate::sandbox) body: Bytes,
}

impl Request {
    /// A query parameter; empty where it is absent.
    pub(in crate::sandbox) fn query(&self, key: &str) -> &str {
        self.query.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
    }

    /// What `?include=` asks for.
    pub(in crate::sandbox) fn include(&self) -> Vec<Related> {
        Related::of_words(self.query("include"))
    }

    /// The body as a JSON object.
    pub(in crate::sandbox) fn json(&self) -> Result<Value, ApiError> {
        let body: Value = serde_json::from_slice(&self.body)
            .map_err(|_| ApiError::invalid("There was an error parsing the JSON of the request"))?;
        if body.is_object() {
            Ok(body)
        } else {
            Err(ApiError::invalid("The request should be a JSON object"))
        }
    }
}
