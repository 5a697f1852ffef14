//! Sends one call and reads one answer. Never retries, never follows a redirect, never logs a body.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::answer::{Answer, Body, NoAnswer};
use super::call::{Budget, Call};
use super::gateway::{Gateway, Gateways};
use super::limits::{RateLimit, retry_after};

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
pub struct Unread {
    status: u16,
    rate_limit: RateLimit,
    retry_after: Option<Duration>,
    /// None if it was more than is taken of any answer.
    body: Option<Vec<u8>>,
}

impl Unread {
    /// Reads the body, as far as it can be read.
    pub fn read(self) -> Answer {
        let Self { status, rate_limit, retry_after, body } = self;
        Answer { status, rate_limit, retry_after, body: body.map_or(Body::TooLarge, |body| read(&body)) }
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
    pub async fn send(&self, call: &Call) -> Result<Unread, NoAnswer> {
        let response = self.request(call).send().await.map_err(|error| no_answer(&error))?;
        let now = Timestamp::now();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(Unread {
            status,
            rate_limit: RateLimit::read(|name| text(&headers, name), now),
            retry_after: text(&headers, RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now)),
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
            Budget::Api => request = request.header(AUTHORIZATION, self.authorization()),
            Budget::Tracking => {
                if let (Some(Value::Object(body)), Some(token)) = (&mut body, &self.credentials.app_token) {
                    body.insert("application_token".to_owned(), Value::from(token.expose_secret()));
                }
            }
        }
        match &body {
            Some(body) => request.json(body),
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

fn read(body: &[u8]) -> Body {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Body::Empty,
        Some(b'<') => Body::Markup,
        Some(_) => serde_json::from_slice(body).map_or(Body::Unreadable, Body::Json),
    }
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() { NoAnswer::Timeout } else { NoAnswer::Connection }
}
