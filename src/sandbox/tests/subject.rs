//! A sandbox without a socket.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::Request,
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

use crate::sandbox::http::api::Api;
use crate::sandbox::http::fault_injection::resettable_connection::ConnectionResetter;
use crate::sandbox::http::served::{Served, SharedApi};
use crate::sandbox::{Options, server};

/// The sandbox's router, and what is behind it.
pub(super) struct Subject {
    pub(super) api: SharedApi,
    router: TowerToHyperService<Router>,
}

impl Subject {
    pub(super) fn new() -> Self {
        let stop = CancellationToken::new();
        // A request that hangs because of a fault ends at once.
        stop.cancel();
        let api = SharedApi::new(Api::new(Options::default()));
        let router = server::router(Served { api: api.clone(), stop });
        let router = router.layer(MockConnectInfo(ConnectionResetter::default()));
        Self { api, router: TowerToHyperService::new(router) }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> (u16, Vec<u8>) {
        let response = self.router.call(request).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }
}
