//! What can be seen of a running daemon over HTTP: metrics, health, and a page for people.

mod page;

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::broker::{Link, LinkView};
use crate::lane::{Board, Stuck, View};
use crate::metrics::Metrics;

/// Everything there is to see.
#[derive(Debug)]
pub struct Sights {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// One per account.
    pub lanes: Vec<Arc<Board>>,
    /// A lane that settles nothing for so long is stuck.
    pub stuck_after: Duration,
    /// `None` where events come from a file.
    pub broker: Option<Arc<Link>>,
    /// This replica's name.
    pub replica: String,
    /// When the daemon started.
    pub started: Timestamp,
}

/// What `/api/status` answers.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    replica: String,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<LinkView>,
    accounts: Vec<Account>,
}

/// One account's line.
#[derive(Debug, Serialize)]
struct Account {
    #[serde(flatten)]
    lane: View,
    /// Only where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<Stuck>,
    in_flight: i64,
    delivered: u64,
    skipped: u64,
    dead_lettered: u64,
    quota_remaining: f64,
    quota_requests_per_hour: f64,
}

impl Sights {
    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION"),
            replica: self.replica.clone(),
            started: self.started,
            broker: self.broker.as_ref().map(|link| link.view()),
            accounts: self.lanes.iter().map(|board| self.account(board)).collect(),
        }
    }

    fn account(&self, board: &Board) -> Account {
        let lane = board.view();
        let totals = self.metrics.totals(&lane.account);
        Account {
            stuck: board.stuck(self.stuck_after),
            in_flight: totals.in_flight,
            delivered: totals.delivered,
            skipped: totals.skipped,
            dead_lettered: totals.dead_lettered,
            quota_remaining: totals.quota_remaining,
            quota_requests_per_hour: totals.quota_requests_per_hour,
            lane,
        }
    }
}

/// Serves on `listener` until `stop`.
pub async fn serve(listener: TcpListener, sights: Sights, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/api/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Arc::new(sights));
    let serving = axum::serve(listener, router).into_future();
    // Watchers are not waited for: a scrape that is cut off is made again.
    tokio::select! {
        served = serving => served,
        () = stop.cancelled() => Ok(()),
    }
}

async fn status(State(sights): State<Arc<Sights>>) -> Json<Status> {
    Json(sights.status())
}

async fn page(State(sights): State<Arc<Sights>>) -> Html<String> {
    Html(page::render(&sights.status()))
}

async fn metrics(State(sights): State<Arc<Sights>>) -> Response {
    match sights.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A lane that is stuck beyond hope wants the replica restarted: its lanes move then.
async fn livez(State(sights): State<Arc<Sights>>) -> Response {
    let hopeless = sights.lanes.iter().filter_map(|board| {
        let Stuck { seconds, events, why, .. } = board.stuck(sights.stuck_after).filter(|s| s.hopeless)?;
        let account = board.view().account;
        Some(format!("not alive: {account} is stuck with {events} events for {seconds} s: {why}\n"))
    });
    let told: String = hopeless.collect();
    if told.is_empty() {
        return "alive\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
}

async fn readyz(State(sights): State<Arc<Sights>>) -> Response {
    let view = sights.broker.as_ref().map(|link| link.view());
    match view {
        Some(view) if !view.ready => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", view.why)).into_response()
        }
        _ => "ready\n".into_response(),
    }
}
