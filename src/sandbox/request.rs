//! One request to the account, read whole.

use axum::{body::Bytes, http::Method};
use serde_json::Value;

use super::{answer::Refused, related::Related};

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// As it was asked for.
    pub(super) path: String,
    /// `/crm/sales` or nothing: links in the answer start with it.
    pub(super) prefix: &'static str,
    pub(super) query: Vec<(String, String)>,
    pub(super) host: String,
    pub(super) authorization: Option<String>,
    pub(super) accept: Option<String>,
    pub(super) body: Bytes,
}

impl Request {
    /// A query parameter; empty where it is absent.
    pub(super) fn query(&self, key: &str) -> &str {
        self.query.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
    }

    /// What `?include=` asks for.
    pub(super) fn include(&self) -> Vec<Related> {
        Related::of_words(self.query("include"))
    }

    /// The body as a JSON object.
    pub(super) fn json(&self) -> Result<Value, Refused> {
        let body: Value = serde_json::from_slice(&self.body)
            .map_err(|_| Refused::invalid("There was an error parsing the JSON of the request"))?;
        if body.is_object() { Ok(body) } else { Err(Refused::invalid("The request should be a JSON object")) }
    }
}
