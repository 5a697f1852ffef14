//! One request, read to its end.

use axum::{
    body::{Body, Bytes},
    extract::{Query, Request},
    http::{
        HeaderMap, Method,
        header::{self, HeaderName},
    },
};
use futures_util::StreamExt;
use serde_json::Value;

use super::endpoint::within_account;
use crate::sandbox::account::{error::ApiError, related::Includable};

/// A request, read to its end.
#[derive(Debug)]
pub(in crate::sandbox) struct ApiRequest {
    pub(in crate::sandbox) method: Method,
    /// With the bundle's prefix, if the request has it.
    pub(in crate::sandbox) path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    pub(in crate::sandbox) body: Result<Bytes, BodyTooLong>,
}

/// The body is longer than the option `body_limit`.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct BodyTooLong;

impl ApiRequest {
    /// Reads a request whose body may have up to `limit` bytes.
    pub(in crate::sandbox) async fn read(request: Request, limit: usize) -> Self {
        let (parts, body) = request.into_parts();
        let query = Query::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let body = read_body(body, limit).await;
        Self { method: parts.method, path, query, headers: parts.headers, body }
    }

    /// A query parameter; empty if it is absent.
    pub(super) fn query(&self, key: &str) -> &str {
        self.query.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str())
    }

    /// What `?include=` asks for.
    pub(super) fn include(&self) -> Vec<Includable> {
        Includable::parse(self.query("include"))
    }

    /// A header; empty if it is absent or not text.
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Result<Value, ApiError> {
        let body: Value = serde_json::from_slice(self.body.as_deref().unwrap_or_default())
            .map_err(|_| ApiError::invalid("There was an error parsing the JSON of the request"))?;
        if body.is_object() {
            Ok(body)
        } else {
            Err(ApiError::invalid("The request should be a JSON object"))
        }
    }

    /// The prefix and authority of links in the answer.
    pub(super) fn base(&self) -> String {
        format!("http://{}{}", self.header(&header::HOST), self.bundle())
    }

    /// `/crm/sales` or nothing.
    pub(super) fn bundle(&self) -> &'static str {
        within_account(&self.path).0
    }

    /// Whether the path, a value of the query or the body contains this text.
    pub(super) fn contains(&self, text: &str) -> bool {
        let in_query = || self.query.iter().any(|(_, value)| value.contains(text));
        let body = self.body.as_deref().unwrap_or_default();
        let in_body = || body.windows(text.len()).any(|window| window == text.as_bytes());
        self.path.contains(text) || in_query() || in_body()
    }
}

/// Reads a body to its end even if it is too long: a client that is still writing would otherwise see a broken connection
/// in place of the answer.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, BodyTooLong> {
    let mut chunks = body.into_data_stream();
    let mut read = Ok(Vec::new());
    // An error ends the body: the connection is gone, and nobody will see the answer.
    while let Some(Ok(chunk)) = chunks.next().await {
        read = read.and_then(|mut bytes| {
            if bytes.len() + chunk.len() > limit {
                return Err(BodyTooLong);
            }
            bytes.extend_from_slice(&chunk);
            Ok(bytes)
        });
    }
    read.map(Bytes::from)
}
