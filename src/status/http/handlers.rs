//! The routes and what each answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use url::form_urlencoded;

use super::packed;
use super::{failures, headers};
use crate::status::admin::AdminRoutes;
use crate::status::heartbeat::Heartbeat;
use crate::status::renderer::{PageRenderer, RenderError, StatusPage};
use crate::status::sources::StatusSources;
use crate::status::view::list::ListQuery;
use crate::status::{assets, pages};

/// How long a health check may wait for the daemon's state before it fails.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers requests. Clones share their state.
#[derive(Clone)]
pub(in crate::status) struct Handlers {
    sources: Arc<StatusSources>,
    renderer: PageRenderer,
    heartbeat: Heartbeat,
}

impl Handlers {
    /// The second part renders the pages while it is polled.
    pub(in crate::status) fn new(
        sources: StatusSources,
        heartbeat: Heartbeat,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let sources = Arc::new(sources);
        let rendered = sources.clone();
        let (renderer, rendering) = PageRenderer::new(move |page: &StatusPage| rendered.render(page));
        (Self { sources, renderer, heartbeat }, rendering)
    }

    pub(in crate::status) fn router(self) -> Router {
        let host = from_fn_with_state(self.sources.clone(), AdminRoutes::check_host);
        let admin = AdminRoutes::new(self.sources.clone(), self.renderer.clone()).router();
        Router::new()
            .route("/", get(Self::accounts))
            .route("/accounts/{name}", get(Self::account))
            .route(
                "/replicas",
                get(async |State(handlers): State<Self>| handlers.page(StatusPage::Replicas).await),
            )
            .route("/runbook", get(async |State(handlers): State<Self>| handlers.runbook()))
            .route("/api/status", get(Self::status))
            .route("/api/accounts/{name}", get(Self::account_status))
            .merge(admin.with_state(()))
            // Not of what programs ask for under any name, and which holds nothing of these pages.
            .route_layer(host)
            .route("/assets/{name}", get(async |Path(name): Path<String>| asset(&name)))
            .route(
                "/metrics",
                get(async |State(handlers): State<Self>| handlers.page(StatusPage::Metrics).await),
            )
            .route("/livez", get(async |State(handlers): State<Self>| handlers.livez().await))
            .route("/readyz", get(async |State(handlers): State<Self>| handlers.readyz().await))
            .fallback(async || not_found("There is no such page."))
            .layer(axum::middleware::from_fn_with_state(self.replica().into(), failures::dress))
            .layer(axum::middleware::from_fn(packed::pack))
            .with_state(self)
            .layer(map_response(headers::harden))
    }

    async fn accounts(State(handlers): State<Self>, RawQuery(query): RawQuery) -> Response {
        handlers.page(StatusPage::Accounts(ListQuery::parse(&query.unwrap_or_default()))).await
    }

    async fn account(State(handlers): State<Self>, Path(name): Path<String>) -> Response {
        handlers.page(StatusPage::Account(name)).await
    }

    async fn status(State(handlers): State<Self>, RawQuery(query): RawQuery) -> Response {
        let query = query.unwrap_or_default();
        let account = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "account");
        let account = account.map(|(_, name)| name.into_owned());
        handlers.page(StatusPage::Status(ListQuery::parse(&query), account)).await
    }

    async fn account_status(State(handlers): State<Self>, Path(name): Path<String>) -> Response {
        handlers.page(StatusPage::AccountStatus(name)).await
    }

    async fn page(&self, page: StatusPage) -> Response {
        let content_type = page.content_type();
        match self.renderer.page(page).await {
            Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
            Err(RenderError::NotFound) => not_found("No account of this name is known here."),
            Err(RenderError::Failed(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    }

    fn runbook(&self) -> Response {
        html(StatusCode::OK, pages::runbook(self.replica(), Timestamp::now()))
    }

    fn replica(&self) -> &str {
        self.sources.fleet.name()
    }

    pub(in crate::status) async fn livez(&self) -> Response {
        self.health("alive", StatusSources::not_alive).await
    }

    pub(in crate::status) async fn readyz(&self) -> Response {
        self.health("ready", StatusSources::not_ready).await
    }

    /// 200 and `word`, or 503 and what `problem` says. It runs on a thread of its own, as it may wait for a lock whose
    /// holder hangs.
    pub(in crate::status) async fn health(
        &self,
        word: &str,
        problem: fn(&StatusSources) -> Option<String>,
    ) -> Response {
        let sources = self.sources.clone();
        let checking = tokio::task::spawn_blocking(move || problem(&sources));
        let problem = match (self.heartbeat.hung_for(), tokio::time::timeout(HEALTH_TIMEOUT, checking).await)
        {
            (Some(seconds), _) => {
                Some(format!("not {word}: no task of the daemon has run for {seconds} s\n"))
            }
            (None, Ok(Ok(problem))) => problem,
            (None, Ok(Err(_)) | Err(_)) => Some(format!("not {word}: the daemon's state cannot be read\n")),
        };
        match problem {
            Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem).into_response(),
            None => format!("{word}\n").into_response(),
        }
    }
}

fn not_found(words: &'static str) -> Response {
    (StatusCode::NOT_FOUND, words).into_response()
}

fn html(status: StatusCode, page: Result<String, askama::Error>) -> Response {
    match page {
        Ok(page) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Its name changes with what is in it: it may be kept for ever.
fn asset(name: &str) -> Response {
    match assets::find(&format!("assets/{name}")) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.text,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such file.\n").into_response(),
    }
}
