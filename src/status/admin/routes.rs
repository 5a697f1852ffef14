//! The paths about dead letters and signing in.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use jiff::Timestamp;

use super::access::AdminAccess;
use crate::status::http::connections::PageClient;
use crate::status::letters::{LetterPort, ReplayRequest};
use crate::status::pages::Viewer;
use crate::status::renderer::{PageRenderer, RenderError, Rendered, StatusPage};
use crate::status::sources::StatusSources;

use super::order::ReplayOrder;

/// The most bytes of a request's body.
const ORDER_LIMIT: usize = 16 * 1024;

/// What the paths need. Clones share it.
#[derive(Clone)]
pub(in crate::status) struct AdminRoutes {
    sources: Arc<StatusSources>,
    renderer: PageRenderer,
}

impl AdminRoutes {
    pub(in crate::status) fn new(sources: Arc<StatusSources>, renderer: PageRenderer) -> Self {
        Self { sources, renderer }
    }

    pub(in crate::status) fn router(self) -> Router {
        let confirm = async |State(routes): State<Self>, headers: HeaderMap, RawQuery(query): RawQuery| {
            routes.confirm(&headers, &query.unwrap_or_default())
        };
        let progress = async |State(routes): State<Self>| routes.progress(StatusCode::OK);
        let login = async |State(routes): State<Self>, headers: HeaderMap| routes.login(&headers);
        let sign_in = async |State(routes): State<Self>,
                             Extension(peer): Extension<PageClient>,
                             headers: HeaderMap,
                             body: Bytes| { routes.sign_in(peer, &headers, &body) };
        let sign_out = async |State(routes): State<Self>, headers: HeaderMap| routes.sign_out(&headers);
        Router::new()
            .route("/dead-letters", get(Self::letters))
            .route("/dead-letters/replay", get(confirm).post(Self::replay_form))
            .route("/dead-letters/stop", post(Self::stop_form))
            .route("/login", get(login).post(sign_in))
            .route("/logout", post(sign_out))
            .route("/api/dead-letters", get(Self::letters_json))
            .route("/api/dead-letters/replay", get(progress).post(Self::replay_json).delete(Self::stop_json))
            .layer(DefaultBodyLimit::max(ORDER_LIMIT))
            .with_state(self)
    }

    /// Refuses pages that are asked for under a name of somebody else's.
    pub(in crate::status) async fn check_host(
        State(sources): State<Arc<StatusSources>>,
        request: Request,
        next: Next,
    ) -> Response {
        if sources.admin.is_own_host(request.headers()) {
            return next.run(request).await;
        }
        let words = "This is not a name of these pages. Use the address or localhost, or put the name into http.hosts.\n";
        (StatusCode::FORBIDDEN, words).into_response()
    }

    pub(super) fn access(&self) -> &AdminAccess {
        &self.sources.admin
    }

    /// `None` where events come from a file.
    pub(super) fn port(&self) -> Option<&LetterPort> {
        self.sources.letters.as_ref()
    }

    pub(super) fn replica(&self) -> &str {
        self.sources.fleet.name()
    }

    pub(super) fn viewer(&self, headers: &HeaderMap) -> Viewer {
        if !self.access().has_token() {
            Viewer::Reader
        } else if self.access().is_signed_in(headers, Timestamp::now()) {
            Viewer::Admin
        } else {
            Viewer::Stranger
        }
    }

    /// A page that the renderer makes, after the letters were read anew where that is due.
    pub(super) async fn rendered(&self, page: StatusPage) -> Rendered {
        if let Some(port) = self.port() {
            port.refresh().await;
        }
        self.renderer.page(page).await
    }

    pub(super) fn is_configured(&self, account: &str) -> bool {
        self.sources.lanes.lanes().iter().any(|lane| **lane.account() == *account)
    }

    /// `way`: how it came, for the log.
    pub(super) fn request(&self, order: ReplayOrder, peer: std::net::IpAddr, way: &str) -> ReplayRequest {
        let ReplayOrder { filter, rate } = order;
        ReplayRequest { filter, rate, who: format!("{peer}, {way} {}", self.replica()) }
    }
}

/// A page, or what an error of rendering is answered with.
pub(super) fn answer(content_type: &'static str, rendered: Rendered) -> Response {
    match rendered {
        Ok(body) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(RenderError::NotFound) => StatusCode::NOT_FOUND.into_response(),
        Err(RenderError::Failed(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}
