//! Connections to the pages. Each carries one request, has its time, and makes room for newer ones: whoever is slow, or
//! says nothing, costs nobody else an answer.

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

/// Connections at the same time. Far more than watchers have; far fewer than a process may open.
const CONNECTIONS: usize = 256;
/// A request's line and headers come within this time.
const ASKING: Duration = Duration::from_secs(5);
/// And the answer is taken within this one, counted from the connection's beginning.
const WHOLE: Duration = Duration::from_secs(15);
/// The longest request line and headers.
const HEAD: usize = 16 * 1024;
/// Mostly the process has too many files open.
const NO_CONNECTION: Duration = Duration::from_millis(100);

/// Accepts connections, for ever.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let mut guests = Guests::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => guests.welcome(stream, router.clone()),
            Err(error) => {
                tracing::debug!(%error, "a connection to the pages could not be accepted");
                tokio::time::sleep(NO_CONNECTION).await;
            }
        }
    }
}

/// Everybody who is connected.
#[derive(Default)]
struct Guests {
    connections: JoinSet<()>,
    /// In the order in which they came.
    seats: VecDeque<Seat>,
}

struct Seat {
    connection: AbortHandle,
    /// Its request is there.
    asked: Arc<AtomicBool>,
}

impl Guests {
    /// Serves a new one. Where there are too many, the one goes that has been here longest without a request, else the
    /// one that has been here longest.
    fn welcome(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
        while self.connections.try_join_next().is_some() {}
        self.seats.retain(|seat| !seat.connection.is_finished());
        if self.seats.len() >= CONNECTIONS {
            let silent = self.seats.iter().position(|seat| !seat.asked.load(Ordering::Relaxed));
            if let Some(seat) = self.seats.remove(silent.unwrap_or_default()) {
                seat.connection.abort();
            }
        }
        let asked = Arc::new(AtomicBool::new(false));
        let connection = self.connections.spawn(carry(stream, router, asked.clone()));
        self.seats.push_back(Seat { connection, asked });
    }
}

/// One connection to its end.
async fn carry(stream: impl AsyncRead + AsyncWrite + Unpin + Send, router: Router, asked: Arc<AtomicBool>) {
    let pages = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        pages.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ASKING)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Watchers are not waited for: a scrape that is cut off is made again.
    match tokio::time::timeout(WHOLE, connection).await {
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

    fn connect(guests: &mut Guests) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1024);
        guests.welcome(far, router());
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
    async fn a_request_that_does_not_come_is_not_waited_for() {
        let mut guests = Guests::default();
        let (mut silent, mut slow) = (connect(&mut guests), connect(&mut guests));
        let began = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: here" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(SECOND).await;
        }
        assert!(began.elapsed() < ASKING + SECOND * 2, "{:?}", began.elapsed());
        assert!(ended(&mut silent).await && ended(&mut slow).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_let_go_and_one_that_is_read_slowly_but_in_time_is_not() {
        let mut guests = Guests::default();
        let (mut deaf, mut slow) = (connect(&mut guests), connect(&mut guests));
        ask(&mut deaf, "/large").await;
        ask(&mut slow, "/large").await;
        let (began, mut read) = (Instant::now(), 0);
        let mut buffer = [0; 1024];
        while let length @ 1.. = slow.read(&mut buffer).await.unwrap() {
            read += length;
            tokio::time::sleep(SECOND / 128).await;
        }
        assert!(read > LARGE, "all of it: {read}");
        assert!(began.elapsed() > WHOLE / 2, "{:?}", began.elapsed());
        tokio::time::sleep(WHOLE).await;
        let mut rest = Vec::new();
        deaf.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() < LARGE, "it was let go: {}", rest.len());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_is_served_however_many_say_nothing() {
        let mut guests = Guests::default();
        let mut deaf = connect(&mut guests);
        ask(&mut deaf, "/large").await;
        tokio::task::yield_now().await;
        let mut silent: Vec<DuplexStream> = Vec::new();
        for _ in 0..CONNECTIONS * 4 {
            silent.push(connect(&mut guests));
            assert!(guests.seats.len() <= CONNECTIONS);
        }
        let mut one = connect(&mut guests);
        ask(&mut one, "/").await;
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        // Those went first that had been silent for longest.
        assert!(ended(&mut silent[0]).await);
        assert!(!ended(silent.last_mut().unwrap()).await);
        let mut first = [0];
        deaf.read_exact(&mut first).await.unwrap();
        // Nor do those stay for ever who all ask and never read.
        for _ in 0..CONNECTIONS * 2 {
            let mut deaf = connect(&mut guests);
            ask(&mut deaf, "/large").await;
            silent.push(deaf);
            tokio::task::yield_now().await;
            assert!(guests.seats.len() <= CONNECTIONS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_large_is_refused() {
        let mut guests = Guests::default();
        let mut one = connect(&mut guests);
        let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD));
        // The rest is not read.
        one.write_all(head.as_bytes()).await.ok();
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.ok();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        tokio::time::sleep(WHOLE).await;
        assert!(one.write_all(b"x").await.is_err());
    }
}
