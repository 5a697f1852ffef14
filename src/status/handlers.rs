//! The routes and what each answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::heartbeat::Heartbeat;
use super::packed;
use super::renderer::{PageRenderer, StatusPage};
use super::sources::StatusSources;

/// How long a health check may wait for the daemon's state before it fails.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers requests. Clones share their state.
#[derive(Clone)]
pub(super) struct Handlers {
    sources: Arc<StatusSources>,
    renderer: PageRenderer,
    heartbeat: Heartbeat,
}

impl Handlers {
    /// The second part renders the pages while it is polled.
    pub(super) fn new(
        sources: StatusSources,
        heartbeat: Heartbeat,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let sources = Arc::new(sources);
        let rendered = sources.clone();
        let (renderer, rendering) = PageRenderer::new(move |page| rendered.render(page));
        (Self { sources, renderer, heartbeat }, rendering)
    }

    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/", get(async |State(handlers): State<Self>| handlers.page(StatusPage::Html).await))
            .route(
                "/api/status",
                get(async |State(handlers): State<Self>| handlers.page(StatusPage::Json).await),
            )
            .route(
                "/metrics",
                get(async |State(handlers): State<Self>| handlers.page(StatusPage::Metrics).await),
            )
            .route("/livez", get(async |State(handlers): State<Self>| handlers.livez().await))
            .route("/readyz", get(async |State(handlers): State<Self>| handlers.readyz().await))
            .layer(axum::middleware::from_fn(packed::pack))
            .with_state(self)
    }

    async fn page(&self, page: StatusPage) -> Response {
        match self.renderer.page(page).await {
            Ok(text) => ([(header::CONTENT_TYPE, page.content_type())], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    }

    pub(super) async fn livez(&self) -> Response {
        self.health("alive", StatusSources::not_alive).await
    }

    pub(super) async fn readyz(&self) -> Response {
        self.health("ready", StatusSources::not_ready).await
    }

    /// 200 and `word`, or 503 and what `problem` says. It runs on a thread of its own, as it may wait for a lock whose
    /// holder hangs.
    pub(super) async fn health(&self, word: &str, problem: fn(&StatusSources) -> Option<String>) -> Response {
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
