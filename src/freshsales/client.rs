//! Sends one call and takes in one response. Never retries, follows a redirect, or logs a body.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::answers::answer::{BodyLabel, NoAnswer, RawResponse};
use super::answers::gateway::{Gateway, Gateways};
use super::answers::limits::{RateLimit, retry_after};
use super::call::Call;
use super::endpoint::BudgetKind;
use crate::object::quoted;
use crate::tls::Authorities;

/// The most bytes that are read of a response.
const RESPONSE_LIMIT: usize = 4 * 1024 * 1024;

/// An account's address and keys.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Without a slash at its end.
    pub base_url: String,
    /// For `/api`.
    pub api_key: SecretString,
    /// For `/track`.
    pub app_token: Option<SecretString>,
}

/// What all accounts' clients share: TLS with its root certificates, the connection pools, and the waits that gateways ask
/// for. Cheap to clone. It holds no credentials or cookies, and no limit that one account could use up for another.
///
/// There is one for all accounts because each holds its own root certificates: 500 take 55 MB and a second to start.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    http: reqwest::Client,
    timeout: Duration,
    details: Details,
    gateways: Gateways,
}

impl HttpTransport {
    /// A call without a complete response within `timeout` fails.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::build(timeout, Details::Left)
    }

    /// The same, and [`Client::reach`] tells about certificates.
    pub fn with_certificates(timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::build(timeout, Details::Kept)
    }

    fn build(timeout: Duration, details: Details) -> Result<Self, reqwest::Error> {
        let http = builder(timeout, details).build()?;
        Ok(Self { http, timeout, details, gateways: Gateways::default() })
    }

    /// The same for accounts that are reached by way of authorities which the system does not trust. Has pools of its own.
    pub fn trusting(&self, authorities: &Authorities) -> Result<Self, reqwest::Error> {
        let certificates = authorities.certificates().map(reqwest::Certificate::from_der);
        let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        let http = builder(self.timeout, self.details).tls_certs_merge(certificates).build()?;
        Ok(Self { http, ..self.clone() })
    }
}

fn builder(timeout: Duration, details: Details) -> reqwest::ClientBuilder {
    crate::tls::install_provider();
    reqwest::Client::builder()
        .tls_info(details == Details::Kept)
        .user_agent(concat!("freshet/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .timeout(timeout)
}

/// What TLS shows of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Details {
    Kept,
    Left,
}

/// A client of one account. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: HttpTransport,
    credentials: Credentials,
    gateway: Gateway,
}

impl Client {
    /// A client that calls through `transport`.
    pub fn new(transport: &HttpTransport, credentials: Credentials) -> Self {
        let gateway = transport.gateways.for_account(&credentials.base_url);
        Self { transport: transport.clone(), credentials, gateway }
    }

    /// Where the account is.
    pub fn address(&self) -> &str {
        &self.credentials.base_url
    }

    /// Whether the account has an app token, without which no activity can be sent.
    pub fn can_track(&self) -> bool {
        self.credentials.app_token.is_some()
    }

    /// The same client, with the app token of `before` if it has none: activities that were accepted with one are sent
    /// with it.
    #[must_use]
    pub fn with_token_of(mut self, before: &Self) -> Self {
        if self.credentials.app_token.is_none() {
            self.credentials.app_token.clone_from(&before.credentials.app_token);
        }
        self
    }

    /// The same client with other secrets. A token that is there no longer stays, as [`Client::with_token_of`] says.
    #[must_use]
    pub fn with_secrets(&self, api_key: SecretString, app_token: Option<SecretString>) -> Self {
        let credentials = Credentials { api_key, app_token, ..self.credentials.clone() };
        Self { credentials, ..self.clone() }.with_token_of(self)
    }

    /// Whether both have the same secrets.
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        let token = |client: &Self| {
            client.credentials.app_token.as_ref().map(|token| token.expose_secret().to_owned())
        };
        self.credentials.api_key.expose_secret() == other.credentials.api_key.expose_secret()
            && token(self) == token(other)
    }

    /// What is known of rate limits in front of the account's host.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Sends the call and takes in the whole response.
    pub async fn send(&self, call: &Call) -> Result<RawResponse, NoAnswer> {
        let response = self.request(call).send().await.map_err(|error| no_answer(&error))?;
        take_in(response).await
    }

    pub(super) fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.credentials.base_url, call.path);
        let mut request = self.transport.http.request(call.endpoint.method(), url);
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
        // Not reached: the configuration takes only keys of visible ASCII.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Token"));
        value.set_sensitive(true);
        value
    }
}

pub(super) async fn take_in(response: reqwest::Response) -> Result<RawResponse, NoAnswer> {
    let now = Timestamp::now();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    Ok(RawResponse {
        status,
        rate_limit: RateLimit::parse(|name| text(&headers, name), now),
        retry_after: text(&headers, RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now)),
        label: BodyLabel::of(text(&headers, CONTENT_TYPE.as_str())),
        body: bytes(response).await?,
    })
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

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn bytes(mut response: reqwest::Response) -> Result<Option<Vec<u8>>, NoAnswer> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
        if bytes.len() + chunk.len() > RESPONSE_LIMIT {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

pub(super) fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() { NoAnswer::Timeout } else { NoAnswer::Connection }
}
