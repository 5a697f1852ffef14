use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// More than fits between the ends of a connection.
const LARGE: usize = 1024 * 1024;

fn router() -> Router {
    Router::new().route("/", get(|| async { "here" })).route("/large", get(|| async { "x".repeat(LARGE) }))
}

fn connect(slots: &mut ConnectionSlots) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1024);
    slots.admit(far, PageClient(IpAddr::from([127, 0, 0, 1])), router());
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
