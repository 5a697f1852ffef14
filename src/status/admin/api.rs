//! The dead letters as JSON, for programs.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::access::AccessRefusal;
use super::order::{OrderError, ReplayOrder};
use super::routes::{AdminRoutes, answer};
use crate::status::http::connections::PageClient;
use crate::status::letters::{LetterPort, ReplayError, json};
use crate::status::renderer::{RenderError, StatusPage};

const JSON_PAGE: &str = "application/json";
/// What is said where there are no dead letters to work with.
pub(super) const NO_BROKER: &str =
    "events come from a file here; what cannot be delivered is in the file of --dead-letters";
pub(super) const NOTHING_TO_STOP: &str =
    "no replay goes on that was started at this replica; ask the replica that started it";

#[derive(Debug, Serialize)]
struct OrderErrorJson<'a> {
    schema_version: u32,
    status: u16,
    error: &'a str,
    /// The key that is wrong, if it is about one.
    key: Option<&'a str>,
}

/// In words, which are put into the form that the reader expects.
pub(super) fn refused(status: StatusCode, words: &str) -> Response {
    (status, words.to_owned()).into_response()
}

/// The same for who may not do that.
pub(super) fn not_allowed(refusal: AccessRefusal) -> Response {
    with_headers(refused(status_of(refusal), &refusal.to_string()), refusal)
}

pub(super) fn status_of(refusal: AccessRefusal) -> StatusCode {
    match refusal {
        AccessRefusal::NoToken | AccessRefusal::ForeignOrigin | AccessRefusal::UnknownOrigin => {
            StatusCode::FORBIDDEN
        }
        AccessRefusal::NotSignedIn | AccessRefusal::WrongToken => StatusCode::UNAUTHORIZED,
        AccessRefusal::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// What HTTP wants beside the words.
pub(super) fn with_headers(mut response: Response, refusal: AccessRefusal) -> Response {
    let (name, value) = match refusal {
        AccessRefusal::NotSignedIn | AccessRefusal::WrongToken => {
            (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        AccessRefusal::TooOften(wait) => (header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))),
        AccessRefusal::NoToken | AccessRefusal::ForeignOrigin | AccessRefusal::UnknownOrigin => {
            return response;
        }
    };
    response.headers_mut().insert(name, value);
    response
}

fn wrong_order(error: &OrderError) -> Response {
    let status = StatusCode::BAD_REQUEST;
    let (words, key) = (error.to_string(), error.key());
    let json = OrderErrorJson { schema_version: 1, status: status.as_u16(), error: &words, key };
    (status, [(header::CONTENT_TYPE, JSON_PAGE)], serde_json::to_vec(&json).unwrap_or_default())
        .into_response()
}

/// What is answered where nothing came of a replay or a stop.
pub(super) fn not_done(error: &ReplayError) -> Response {
    let status = match error {
        ReplayError::Runs | ReplayError::Claimed(_) => StatusCode::CONFLICT,
        ReplayError::Broker(_) | ReplayError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    };
    refused(status, &error.to_string())
}

impl AdminRoutes {
    /// The dead letters, for who may change something.
    pub(super) fn port_for(&self, headers: &HeaderMap, peer: IpAddr) -> Result<&LetterPort, Box<Response>> {
        let port = self.port().ok_or_else(|| Box::new(refused(StatusCode::NOT_FOUND, NO_BROKER)))?;
        self.access().check(headers, peer).map_err(|refusal| Box::new(not_allowed(refusal)))?;
        Ok(port)
    }

    pub(super) async fn letters_json(State(routes): State<Self>) -> Response {
        if routes.port().is_none() {
            return refused(StatusCode::NOT_FOUND, NO_BROKER);
        }
        answer(JSON_PAGE, routes.rendered(StatusPage::LettersJson).await)
    }

    pub(super) fn progress(&self, status: StatusCode) -> Response {
        let Some(port) = self.port() else { return refused(StatusCode::NOT_FOUND, NO_BROKER) };
        let progress = json::progress(self.replica(), &port.state());
        let mut response = answer(JSON_PAGE, progress.map(Bytes::from).map_err(RenderError::failed));
        *response.status_mut() = status;
        response
    }

    pub(super) async fn replay_json(
        State(routes): State<Self>,
        Extension(PageClient(peer)): Extension<PageClient>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let port = match routes.port_for(&headers, peer) {
            Ok(port) => port,
            Err(refusal) => return *refusal,
        };
        let order = match ReplayOrder::from_json(&body, |account| routes.is_configured(account)) {
            Ok(order) => order,
            Err(error) => return wrong_order(&error),
        };
        match port.replay(routes.request(order, peer, "over HTTP at")).await {
            Ok(()) => routes.progress(StatusCode::ACCEPTED),
            Err(error) => not_done(&error),
        }
    }

    pub(super) async fn stop_json(
        State(routes): State<Self>,
        Extension(PageClient(peer)): Extension<PageClient>,
        headers: HeaderMap,
    ) -> Response {
        let port = match routes.port_for(&headers, peer) {
            Ok(port) => port,
            Err(refusal) => return *refusal,
        };
        match port.stop().await {
            Ok(true) => routes.progress(StatusCode::ACCEPTED),
            Ok(false) => refused(StatusCode::NOT_FOUND, NOTHING_TO_STOP),
            Err(error) => not_done(&error),
        }
    }
}
