//! Connections to the pages. Each carries one request within a time limit, and is closed early if newer ones need its
//! slot: a client that is slow or sends nothing keeps no other from an answer.

use std::collections::VecDeque;
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

/// Never returns.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let mut slots = ConnectionSlots::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => slots.admit(stream, router.clone()),
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
    /// Whether its request has arrived.
    requested: Arc<AtomicBool>,
}

impl ConnectionSlots {
    /// Serves a new connection. If all slots are taken, it closes the oldest one without a request, else the oldest.
    fn admit(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
        while self.connections.try_join_next().is_some() {}
        self.slots.retain(|slot| !slot.connection.is_finished());
        if self.slots.len() >= CONNECTION_LIMIT {
            let idle = self.slots.iter().position(|slot| !slot.requested.load(Ordering::Relaxed));
            if let Some(slot) = self.slots.remove(idle.unwrap_or_default()) {
                slot.connection.abort();
            }
        }
        let requested = Arc::new(AtomicBool::new(false));
        let connection = self.connections.spawn(serve_connection(stream, router, requested.clone()));
        self.slots.push_back(ConnectionSlot { connection, requested });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    router: Router,
    requested: Arc<AtomicBool>,
) {
    let pages = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
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
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// More than fits between the ends of a connection.
    const LARGE: usize = 1024 * 1024;

    fn router() -> Router {
        Router::new()
            .route("/", get(|| async { "here" }))
            .route("/large", get(|| async { "x".repeat(LARGE) }))
    }

    fn connect(slots: &mut ConnectionSlots) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1024);
        slots.admit(far, router());
        near
    }

    async fn ask(stream: &mut DuplexStream, path: &str) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).await.unwrap();
    }

    /// Whether the other side has ended the connection.
    async fn ended(stream: &mut DuplexStream) -> bool {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_millis(1), stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_request_in_time_is_disconnected() {
        let mut slots = ConnectionSlots::default();
        let (mut silent, mut slow) = (connect(&mut slots), connect(&mut slots));
        let began = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: here" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(SECOND).await;
        }
        assert!(began.elapsed() < HEADER_TIMEOUT + SECOND * 2, "{:?}", began.elapsed());
        assert!(ended(&mut silent).await && ended(&mut slow).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_disconnected_and_one_that_reads_slowly_is_not() {
        let mut slots = ConnectionSlots::default();
        let (mut unread, mut slow) = (connect(&mut slots), connect(&mut slots));
        ask(&mut unread, "/large").await;
        ask(&mut slow, "/large").await;
        let (began, mut read) = (Instant::now(), 0);
        let mut buffer = [0; 1024];
        while let length @ 1.. = slow.read(&mut buffer).await.unwrap() {
            read += length;
            tokio::time::sleep(SECOND / 128).await;
        }
        assert!(read > LARGE, "all of it: {read}");
        assert!(began.elapsed() > CONNECTION_TIMEOUT / 2, "{:?}", began.elapsed());
        tokio::time::sleep(CONNECTION_TIMEOUT).await;
        let mut rest = Vec::new();
        unread.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() < LARGE, "it was cut off: {}", rest.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_served_although_all_slots_are_taken_by_silent_ones() {
        let mut slots = ConnectionSlots::default();
        let mut unread = connect(&mut slots);
        ask(&mut unread, "/large").await;
        tokio::task::yield_now().await;
        let mut silent: Vec<DuplexStream> = Vec::new();
        for _ in 0..CONNECTION_LIMIT * 4 {
            silent.push(connect(&mut slots));
            assert!(slots.slots.len() <= CONNECTION_LIMIT);
        }
        let mut one = connect(&mut slots);
        ask(&mut one, "/").await;
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        // The oldest silent ones are closed first.
        assert!(ended(&mut silent[0]).await);
        assert!(!ended(silent.last_mut().unwrap()).await);
        let mut first = [0];
        unread.read_exact(&mut first).await.unwrap();
        // Clients that ask and never read are closed as well.
        for _ in 0..CONNECTION_LIMIT * 2 {
            let mut unread = connect(&mut slots);
            ask(&mut unread, "/large").await;
            silent.push(unread);
            tokio::task::yield_now().await;
            assert!(slots.slots.len() <= CONNECTION_LIMIT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_are_too_long_are_refused() {
        let mut slots = ConnectionSlots::default();
        let mut one = connect(&mut slots);
        let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEADER_LIMIT));
        // The rest is not read.
        one.write_all(head.as_bytes()).await.ok();
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.ok();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        tokio::time::sleep(CONNECTION_TIMEOUT).await;
        assert!(one.write_all(b"x").await.is_err());
    }
}
