//! The pages with forms, for people: they confirm, start and stop, and sign in.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::{HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use url::form_urlencoded;

use super::access::AccessRefusal;
use super::api::{NO_BROKER, NOTHING_TO_STOP, not_allowed, not_done, refused, status_of, with_headers};
use super::order::ReplayOrder;
use super::routes::{AdminRoutes, answer};
use crate::status::http::connections::PageClient;
use crate::status::pages::{self, Viewer};
use crate::status::renderer::{RenderError, StatusPage};

const HTML_PAGE: &str = "text/html; charset=utf-8";
/// Under the policy of the other pages, browsers would say of a form's request that it comes from nowhere.
const FORM_REFERRER_POLICY: HeaderValue = HeaderValue::from_static("same-origin");

impl AdminRoutes {
    pub(super) async fn letters(State(routes): State<Self>, headers: HeaderMap) -> Response {
        let page = StatusPage::Letters(routes.viewer(&headers));
        as_form(answer(HTML_PAGE, routes.rendered(page).await))
    }

    /// Asks whether the letters of a group are really meant.
    pub(super) fn confirm(&self, headers: &HeaderMap, query: &str) -> Response {
        match self.viewer(headers) {
            Viewer::Admin => {}
            Viewer::Stranger => return see_other("../login"),
            Viewer::Reader => return not_allowed(AccessRefusal::NoToken),
        }
        let order = ReplayOrder::from_form(query.as_bytes(), |account| self.is_configured(account));
        let order = match order {
            Ok(order) => order,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let ReplayOrder { filter, rate } = &order;
        if filter.trait_path.is_some() || filter.limit.is_some() || rate.is_some() {
            // They would be left out of what the person is asked.
            return refused(StatusCode::BAD_REQUEST, "choose the trait, the number and the rate in the form");
        }
        let Some(port) = self.port() else { return refused(StatusCode::NOT_FOUND, NO_BROKER) };
        let page = pages::confirm_replay(self.replica(), Timestamp::now(), &order.filter, &port.state());
        html(StatusCode::OK, page)
    }

    pub(super) async fn replay_form(
        State(routes): State<Self>,
        Extension(PageClient(peer)): Extension<PageClient>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let port = match routes.port_for(&headers, peer) {
            Ok(port) => port,
            Err(refusal) => return *refusal,
        };
        let order = match ReplayOrder::from_form(&body, |account| routes.is_configured(account)) {
            Ok(order) => order,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        match port.replay(routes.request(order, peer, "by the pages of")).await {
            Ok(()) => see_other("../dead-letters"),
            Err(error) => not_done(&error),
        }
    }

    pub(super) async fn stop_form(
        State(routes): State<Self>,
        Extension(PageClient(peer)): Extension<PageClient>,
        headers: HeaderMap,
    ) -> Response {
        let port = match routes.port_for(&headers, peer) {
            Ok(port) => port,
            Err(refusal) => return *refusal,
        };
        match port.stop().await {
            Ok(true) => see_other("../dead-letters"),
            Ok(false) => refused(StatusCode::NOT_FOUND, NOTHING_TO_STOP),
            Err(error) => not_done(&error),
        }
    }

    pub(super) fn login(&self, headers: &HeaderMap) -> Response {
        match self.viewer(headers) {
            Viewer::Reader => not_allowed(AccessRefusal::NoToken),
            Viewer::Admin => see_other("dead-letters"),
            Viewer::Stranger => html(StatusCode::OK, pages::login(self.replica(), Timestamp::now(), None)),
        }
    }

    pub(super) fn sign_in(&self, PageClient(peer): PageClient, headers: &HeaderMap, body: &[u8]) -> Response {
        let token = form_urlencoded::parse(body).find(|(key, _)| key == "token");
        let token = token.map(|(_, token)| token.trim().to_owned()).unwrap_or_default();
        match self.access().sign_in(headers, peer, &token) {
            Ok(cookie) => with(see_other("dead-letters"), SET_COOKIE, &cookie),
            Err(refusal @ (AccessRefusal::WrongToken | AccessRefusal::TooOften(_))) => {
                let page = pages::login(self.replica(), Timestamp::now(), Some(&refusal.to_string()));
                with_headers(html(status_of(refusal), page), refusal)
            }
            Err(
                refusal @ (AccessRefusal::NoToken
                | AccessRefusal::ForeignOrigin
                | AccessRefusal::UnknownOrigin
                | AccessRefusal::NotSignedIn),
            ) => not_allowed(refusal),
        }
    }

    pub(super) fn sign_out(&self, headers: &HeaderMap) -> Response {
        match self.access().sign_out(headers) {
            Ok(cookie) => with(see_other("dead-letters"), SET_COOKIE, &cookie),
            Err(refusal) => not_allowed(refusal),
        }
    }
}

fn html(status: StatusCode, page: Result<String, askama::Error>) -> Response {
    let mut response = answer(HTML_PAGE, page.map(Into::into).map_err(RenderError::failed));
    if response.status().is_success() {
        *response.status_mut() = status;
    }
    as_form(response)
}

fn as_form(mut response: Response) -> Response {
    response.headers_mut().insert(REFERRER_POLICY, FORM_REFERRER_POLICY);
    response
}

/// `place` from the page that asked, because a proxy may put the pages anywhere.
fn see_other(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
