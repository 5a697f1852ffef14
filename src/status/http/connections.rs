//! Connections to the pages. Each carries one request within a time limit, and is closed early if newer ones need its
//! slot: a client that is slow or sends nothing keeps no other from an answer.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// Far more than scrapers and people open at once, far fewer than a process may have.
const CONNECTION_LIMIT: usize = 256;
/// How long a client may take to send the request line and headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, until the client has read the whole answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes of a request line and headers.
const HEADER_LIMIT: usize = 16 * 1024;
/// The pause after `accept` failed, which is mostly because the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who sent a request: the other end of the connection, which may be a proxy.
#[derive(Debug, Clone, Copy)]
pub(in crate::status) struct PageClient(pub(in crate::status) IpAddr);

/// Never returns.
pub(in crate::status) async fn serve(listener: TcpListener, router: Router) {
    let mut slots = ConnectionSlots::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => slots.admit(stream, PageClient(peer.ip()), router.clone()),
            Err(error) => {
                tracing::debug!(%error, "a connection to the pages could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[derive(Default)]
struct ConnectionSlots {
    connections: JoinSet<()>,
    /// In the order of arrival.
    slots: VecDeque<ConnectionSlot>,
}

struct ConnectionSlot {
    connection: AbortHandle,
    requested: Arc<AtomicBool>,
}

impl ConnectionSlots {
    /// Serves a new connection. If all slots are taken, it closes the oldest one without a request, else the oldest.
    fn admit(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: PageClient,
        router: Router,
    ) {
        while self.connections.try_join_next().is_some() {}
        self.slots.retain(|slot| !slot.connection.is_finished());
        if self.slots.len() >= CONNECTION_LIMIT {
            let idle = self.slots.iter().position(|slot| !slot.requested.load(Ordering::Relaxed));
            if let Some(slot) = self.slots.remove(idle.unwrap_or_default()) {
                slot.connection.abort();
            }
        }
        let requested = Arc::new(AtomicBool::new(false));
        let connection = self.connections.spawn(serve_connection(stream, peer, router, requested.clone()));
        self.slots.push_back(ConnectionSlot { connection, requested });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    peer: PageClient,
    router: Router,
    requested: Arc<AtomicBool>,
) {
    let pages = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        requested.store(true, Ordering::Relaxed);
        pages.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!(%error, "a connection to the pages broke"),
        Err(_) => tracing::trace!("a reader of the pages was too slow"),
    }
}

#[cfg(test)]
mod tests;
