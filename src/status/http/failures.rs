//! Gives failed answers the form that their reader expects: a page to people, JSON to programs that asked under `/api/`. A
//! layer of the router. Handlers answer failures as plain text, which stays for health checks and scrapers.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Serialize;

use crate::status::pages;

/// The most bytes of a failure's words.
const MOST_WORDS: usize = 64 * 1024;
/// Below this many levels a page does not refer to the root: an address may be as long as it likes.
const MOST_LEVELS: usize = 16;

#[derive(Serialize)]
struct FailureJson<'a> {
    schema_version: u32,
    status: u16,
    error: &'a str,
}

/// The answer, in that form if it is a failure. The state is the replica's name.
pub(in crate::status) async fn dress(
    State(replica): State<std::sync::Arc<str>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() || has_form(answer.headers()) {
        return answer;
    }
    let levels = path.matches('/').count().saturating_sub(1);
    let plain = ["/metrics", "/livez", "/readyz"].contains(&&*path) || path.starts_with("/assets/");
    let api = path.starts_with("/api/");
    if plain || !api && levels > MOST_LEVELS {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let text = to_bytes(body, MOST_WORDS).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let words = match text.trim() {
        "" => words(status),
        text => text,
    };
    let (content_type, body) = if api {
        let failure = FailureJson { schema_version: 1, status: status.as_u16(), error: words };
        ("application/json", serde_json::to_string(&failure).map_err(|error| error.to_string()))
    } else {
        let page = pages::failure((&replica, Timestamp::now()), levels, title(status), words);
        ("text/html; charset=utf-8", page.map_err(|error| error.to_string()))
    };
    let Ok(body) = body else { return (status, words.to_owned()).into_response() };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    (status, parts.headers, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Whether its reader can read it as it is.
fn has_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html") || kind.starts_with("application/json")
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "Wrong method",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::SERVICE_UNAVAILABLE => "Not now",
        status if status.is_client_error() => "This cannot be asked for",
        _ => "This page could not be made",
    }
}

fn words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "This address takes no such request; Allow says what it takes.",
        status => status.canonical_reason().unwrap_or("It failed."),
    }
}
