//! The sandbox on a socket: the API's routes and the sandbox's own, served until a stop.

use std::{io, time::Duration};

use axum::Router;
use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use super::admin;
use super::http::api::Api;
use super::http::fault_injection::resettable_connection::{ConnectionResetter, ResettableListener};
use super::http::routes;
use super::http::served::{Served, SharedApi};
use super::options::Options;

/// How long open requests may still be answered after a stop.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Serves one account on `listener` until `stop`.
pub async fn serve(listener: TcpListener, options: Options, stop: CancellationToken) -> io::Result<()> {
    Sandbox::new(options).serve(listener, stop).await
}

/// One account, which the program that serves it can also look into. Clones are the same account.
#[derive(Clone)]
pub struct Sandbox(SharedApi);

impl Sandbox {
    /// An account without records. The first hour of its quota begins now. Call it inside a tokio runtime.
    pub fn new(options: Options) -> Self {
        Self(SharedApi::new(Api::new(options)))
    }

    /// Serves the account on `listener` until `stop`. Open requests are then answered for a few seconds; those that hang
    /// because of a fault are reset at once.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let router = router(Served { api: self.0.clone(), stop: stop.clone() });
        let service = router.into_make_service_with_connect_info::<ConnectionResetter>();
        let serving = axum::serve(ResettableListener(listener), service)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        tokio::select! {
            served = serving => served,
            // A client that sends half a request must not keep the sandbox alive.
            () = async { stop.cancelled().await; sleep(STOP_GRACE).await } => Ok(()),
        }
    }

    /// The answer to `GET /_sandbox/state`.
    pub fn state(&self) -> Value {
        let mut api = self.0.lock();
        api.finish_due_jobs();
        admin::state::shown(&api)
    }

    /// As `POST /_sandbox/reset`.
    pub fn reset(&self) {
        self.0.lock().reset();
    }
}

pub(super) fn router(served: Served) -> Router {
    routes::routes().merge(admin::routes()).fallback(routes::unknown_path).with_state(served)
}
