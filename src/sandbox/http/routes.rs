//! The API's routes.

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::Response,
    routing::on,
};

use super::{
    endpoint::{ApiEndpoint, BUNDLE, RequestTarget},
    exchange::Exchange,
    served::Served,
};

/// Every endpoint, with and without the bundle's prefix. Paths that it does not have are left to the caller's fallback,
/// [`unknown_path`].
pub(in crate::sandbox) fn routes() -> Router<Served> {
    let mut router = Router::new();
    for endpoint in ApiEndpoint::all() {
        let target = RequestTarget::Endpoint(endpoint);
        let handler = move |id: Result<Path<u64>, PathRejection>, exchange: Exchange| {
            // A path without an id, or with one that is no number, finds no record.
            let id = id.map_or(0, |Path(id)| id);
            exchange.run(target, id)
        };
        for bundle in ["", BUNDLE] {
            let path = format!("{bundle}{}", endpoint.path());
            router = router.route(&path, on(endpoint.method(), handler));
        }
    }
    router.method_not_allowed_fallback(|exchange: Exchange| exchange.run(RequestTarget::UnknownMethod, 0))
}

/// Answers as the API does to a path that it does not have.
pub(in crate::sandbox) async fn unknown_path(exchange: Exchange) -> Response {
    exchange.run(RequestTarget::UnknownPath, 0).await
}
