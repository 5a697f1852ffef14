//! The sandbox on a socket: reads requests whole, lets faults have their way, sends answers.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request as HttpRequest, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::account::SandboxAccount;
use super::admin;
use super::options::Options;
use crate::sandbox::http::endpoint::within_account;
use crate::sandbox::http::faults::{Misbehaviour, RequestEffect};
use crate::sandbox::http::request::Request;
use crate::sandbox::http::resettable_connection::{ConnectionResetter, ResettableListener};
use crate::sandbox::http::response::ApiResponse;

/// How long open requests may still be answered after a stop.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Serves one account on `listener` until `stop`.
pub async fn serve(listener: TcpListener, options: Options, stop: CancellationToken) -> io::Result<()> {
    Sandbox::new(options).serve(listener, stop).await
}

/// One account, also within reach of the program that runs it. Clones are the same account.
#[derive(Clone)]
pub struct Sandbox {
    state: Arc<Mutex<SandboxAccount>>,
    latency: Duration,
    body_limit: usize,
}

/// What every request is handled with.
#[derive(Clone)]
struct Served {
    sandbox: Sandbox,
    stop: CancellationToken,
}

impl Sandbox {
    /// An empty account. Its quota's first hour begins now; call it inside a tokio runtime.
    pub fn new(options: Options) -> Self {
        let (latency, body_limit) = (options.latency, options.body_limit);
        Self { state: Arc::new(Mutex::new(SandboxAccount::new(options))), latency, body_limit }
    }

    /// Serves it on `listener` until `stop`; requests that are open then have a few seconds,
    /// and those that hang by a fault are broken off at once.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let served = Served { sandbox: self.clone(), stop: stop.clone() };
        let router = Router::new().fallback(handle).with_state(served);
        let service = router.into_make_service_with_connect_info::<ConnectionResetter>();
        let serving = axum::serve(ResettableListener(listener), service)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        tokio::select! {
            served = serving => served,
            // A peer that sends half a request and waits must not keep the sandbox alive.
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => Ok(()),
        }
    }

    /// What `GET /_sandbox/state` answers.
    pub fn state(&self) -> Value {
        let mut state = self.lock();
        state.settle_jobs();
        admin::shown(&state)
    }

    /// What `POST /_sandbox/reset` does.
    pub fn reset(&self) {
        self.lock().reset();
    }

    fn lock(&self) -> MutexGuard<'_, SandboxAccount> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request, path: &str) -> ApiResponse {
        self.lock().answer(request, path)
    }
}

async fn handle(
    Shared(served): Shared<Served>,
    ConnectInfo(breaker): ConnectInfo<ConnectionResetter>,
    request: HttpRequest,
) -> Response {
    let sandbox = &served.sandbox;
    let (request, whole) = read(request, sandbox.body_limit).await;
    if admin::exempt(&request.method, &request.path) {
        return match whole {
            Whole::Yes => admin::answer(&mut sandbox.lock(), &request),
            Whole::TooLong => None,
        }
        .unwrap_or_else(too_large)
        .into_response();
    }
    if !sandbox.latency.is_zero() {
        tokio::time::sleep(sandbox.latency).await;
    }
    let (_, path) = within_account(&request.path);
    let endpoint = SandboxAccount::endpoint(&request.method, path);
    let struck = sandbox.lock().faults.strike(endpoint, &request);
    let answer = || match whole {
        Whole::Yes => sandbox.answer(&request, path),
        Whole::TooLong => too_large(),
    };
    let early = match &struck {
        Some((_, RequestEffect::Applied)) => Some(answer()),
        Some((_, RequestEffect::Withheld)) | None => None,
    };
    let enter = |outcome: String| sandbox.lock().enter(&request, endpoint, outcome);
    let answer = match struck.map(|(misbehaviour, _)| misbehaviour) {
        None => answer(),
        Some(Misbehaviour::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            early.unwrap_or_else(answer)
        }
        Some(Misbehaviour::Answer { status, headers, body }) => ApiResponse { status, headers, body },
        Some(Misbehaviour::Hang) => {
            enter("hang".to_owned());
            served.stop.cancelled().await;
            return broken(&breaker);
        }
        Some(Misbehaviour::Reset) => {
            enter("reset".to_owned());
            return broken(&breaker);
        }
    };
    enter(answer.status.as_str().to_owned());
    answer.into_response()
}

/// Breaks the connection; the answer is only what makes the server try to write.
fn broken(breaker: &ConnectionResetter) -> Response {
    breaker.trip();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn too_large() -> ApiResponse {
    ApiResponse::message(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large")
}

/// Whether a body was taken in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    TooLong,
}

/// Reads a request to its end, also where it is too long: a peer that is still writing
/// would otherwise see a broken connection in place of the answer.
async fn read(request: HttpRequest, limit: usize) -> (Request, Whole) {
    let (parts, body) = request.into_parts();
    let (body, whole) = read_body(body, limit).await;
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes());
    let request = Request {
        prefix: within_account(&path).0,
        query: query.map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
        host: text(&parts.headers, &header::HOST).unwrap_or_default(),
        authorization: text(&parts.headers, &header::AUTHORIZATION),
        accept: text(&parts.headers, &header::ACCEPT),
        method: parts.method,
        path,
        body,
    };
    (request, whole)
}

async fn read_body(body: Body, limit: usize) -> (Bytes, Whole) {
    let mut chunks = body.into_data_stream();
    let mut taken = Vec::new();
    let mut whole = Whole::Yes;
    // A chunk that fails ends the body; its connection is gone and nobody will see the answer.
    while let Some(Ok(chunk)) = chunks.next().await {
        if taken.len() + chunk.len() > limit {
            whole = Whole::TooLong;
            taken.clear();
        }
        if whole == Whole::Yes {
            taken.extend_from_slice(&chunk);
        }
    }
    (Bytes::from(taken), whole)
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
