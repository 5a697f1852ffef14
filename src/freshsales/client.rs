//! Sends one call and reads one answer. Never retries, never follows a redirect, never logs a body.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::answer::{Answer, Body, NoAnswer};
use super::call::{BudgetKind, Call};
use super::gateway::{Gateway, Gateways};
use super::limits::{RateLimit, retry_after};
use crate::object::quoted;

/// The most that is taken of an answer.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// Where an account is and how to be let in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Without a slash at its end.
    pub base_url: String,
    /// For `/api`.
    pub api_key: SecretString,
    /// For `/track`.
    pub app_token: Option<SecretString>,
}

/// What all accounts' clients share: TLS and its roots, a pool of connections for each host, and how long each host's
/// gateway asks to stay away. It holds no credentials and no cookies, and has no limit that one account could use up for
/// another. Cheap to clone.
///
/// One for all, because each has root certificates of its own: 500 of them take 55 MB and a second to start.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    gateways: Gateways,
}

impl Transport {
    /// A call without an answer within `timeout` fails.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        crate::tls::install_provider();
        let http = reqwest::Client::builder()
            .user_agent(concat!("freshet/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .build()?;
        Ok(Self { http, gateways: Gateways::default() })
    }
}

/// An answer as it came. As a JSON value it takes many times the memory of its text, and hundreds of answers may wait
/// for their lanes at once; so it is read when its lane has come to it.
#[derive(Debug)]
pub struct RawResponse {
    status: u16,
    rate_limit: RateLimit,
    retry_after: Option<Duration>,
    /// Whether the headers call the body something else than JSON.
    mislabelled: bool,
    /// None if it was more than is taken of any answer.
    body: Option<Vec<u8>>,
}

impl RawResponse {
    /// Reads the body, as far as it can be read.
    pub fn read(self) -> Answer {
        let Self { status, rate_limit, retry_after, mislabelled, body } = self;
        let body = body.map_or(Body::TooLarge, |body| read(&body, mislabelled));
        Answer { status, rate_limit, retry_after, body }
    }
}

/// A client of one account. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    credentials: Credentials,
    gateway: Gateway,
}

impl Client {
    /// A client that calls through `transport`.
    pub fn new(transport: &Transport, credentials: Credentials) -> Self {
        let gateway = transport.gateways.before(&credentials.base_url);
        Self { transport: transport.clone(), credentials, gateway }
    }

    /// Whether activities can be sent.
    pub fn can_track(&self) -> bool {
        self.credentials.app_token.is_some()
    }

    /// The gateway before the account's host.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Sends the call and takes the answer to its end.
    pub async fn send(&self, call: &Call) -> Result<RawResponse, NoAnswer> {
        let response = self.request(call).send().await.map_err(|error| no_answer(&error))?;
        let now = Timestamp::now();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(RawResponse {
            status,
            rate_limit: RateLimit::read(|name| text(&headers, name), now),
            retry_after: text(&headers, RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now)),
            mislabelled: text(&headers, CONTENT_TYPE.as_str()).is_some_and(is_not_json),
            body: take(response).await?,
        })
    }

    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.credentials.base_url, call.path);
        let http = &self.transport.http;
        let mut request = match call.endpoint.method() {
            "GET" => http.get(url),
            "PUT" => http.put(url),
            _ => http.post(url),
        };
        request = request.header(ACCEPT, "application/json").query(&call.query);
        let mut body = call.body.clone();
        match call.endpoint.budget() {
            BudgetKind::Api => request = request.header(AUTHORIZATION, self.authorization()),
            BudgetKind::Tracking => {
                if let (Some(call), Some(token)) = (&call.body, &self.credentials.app_token) {
                    body = Some(with_token(call, token.expose_secret()));
                }
            }
        }
        match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request,
        }
    }

    fn authorization(&self) -> HeaderValue {
        let text = format!("Token token={}", self.credentials.api_key.expose_secret());
        // The configuration lets only visible ASCII through, so an unfit key cannot come here.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Token"));
        value.set_sensitive(true);
        value
    }
}

/// An object with the app token as its first member.
fn with_token(object: &Bytes, token: &str) -> Bytes {
    let mut body = Vec::with_capacity(object.len() + token.len() + 30);
    body.extend_from_slice(br#"{"application_token":"#);
    body.extend_from_slice(quoted(token).as_bytes());
    if let Some(rest) = object.strip_prefix(b"{") {
        if !rest.starts_with(b"}") {
            body.push(b',');
        }
        body.extend_from_slice(rest);
    }
    body.into()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn take(mut response: reqwest::Response) -> Result<Option<Vec<u8>>, NoAnswer> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
        if bytes.len() + chunk.len() > ANSWER_LIMIT {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// Whether a content type says that the body is no JSON. An empty one says nothing.
fn is_not_json(content_type: &str) -> bool {
    let content_type = content_type.trim().to_ascii_lowercase();
    !content_type.is_empty() && !content_type.contains("json")
}

/// Pages are known by what they start with: far more than that is never looked at.
const START: usize = 1024;

fn read(body: &[u8], mislabelled: bool) -> Body {
    // Windows servers and editors put a byte order mark first.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Body::Empty;
    }
    match serde_json::from_slice(body) {
        Ok(json) if mislabelled => Body::Mislabelled(json),
        Ok(json) => Body::Json(json),
        Err(_) if is_markup(body) => Body::Markup,
        Err(_) => Body::Unreadable,
    }
}

/// Whether it is a web page or XML, in UTF-8 or UTF-16.
fn is_markup(body: &[u8]) -> bool {
    let start = body.get(..START).unwrap_or(body);
    // In UTF-16 every other byte of a page's tags is 0.
    let start: Vec<u8> = start.iter().copied().filter(|byte| *byte != 0 && byte.is_ascii()).collect();
    let start = String::from_utf8_lossy(&start).to_ascii_lowercase();
    start.trim_start().starts_with('<')
        || ["<html", "<!doctype", "<head", "<body", "<title", "<script"].iter().any(|tag| start.contains(tag))
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() { NoAnswer::Timeout } else { NoAnswer::Connection }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_known_for_what_it_is() {
        let utf16: Vec<u8> = "\u{feff}<!DOCTYPE html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let page: &[&[u8]] = &[
            b"<html>",
            b" \r\n\t<!DOCTYPE html><title>Sign in</title>",
            b"\xef\xbb\xbf<html>",
            b"\xef\xbb\xbf\xef\xbb\xbf\n<html>",
            b"\xc2\xa0<?xml version=\"1.0\"?>",
            b"while(1);<HTML><body>",
            &utf16,
        ];
        for body in page {
            assert_eq!(read(body, false), Body::Markup, "{body:?}");
        }
        for body in [&b""[..], b" \n", b"\xef\xbb\xbf"] {
            assert_eq!(read(body, false), Body::Empty);
        }
        for body in [&b"OK"[..], b"{\"contact\":{", b"error code: 1020", b"1 < 2", b"\xff\xd8"] {
            assert_eq!(read(body, false), Body::Unreadable, "{body:?}");
        }
        assert_eq!(read(b"\xef\xbb\xbf{\"a\":1}", false), Body::Json(json!({"a": 1})));
        assert_eq!(read(b"{\"a\":1}", true), Body::Mislabelled(json!({"a": 1})));
        for (kind, expected) in [
            ("application/json; charset=utf-8", false),
            ("application/problem+json", false),
            ("text/html", true),
            ("Text/Plain", true),
            ("", false),
        ] {
            assert_eq!(is_not_json(kind), expected, "{kind}");
        }
    }
}
