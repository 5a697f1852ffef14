//! Answers that no account would give: cut off, huge, dripping, from somewhere else.

use std::time::Duration;

use freshet::outcome::Outcome;
use serde_json::json;

use crate::front::{Front, Odd};
use crate::rig::{API_KEY, APP_TOKEN, Account, Rig, Setup, identify, track};

async fn fronted(request_timeout: Duration) -> (Rig, Front) {
    let account = Account::start(1_000_000).await;
    let front = Front::before(account.address).await;
    let url = Some(format!("http://{}", front.address));
    (Rig::before(account, Setup { request_timeout, url, ..Setup::default() }), front)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const JSON: &str = "content-type: application/json\r\n";
const HTML: &str = "content-type: text/html\r\n";

#[tokio::test]
async fn no_malformed_answer_is_taken_for_a_success() {
    let (rig, front) = fronted(Duration::from_millis(1500)).await;
    let mut source = rig.session().await;
    let huge = format!("{{\"contact\":{{\"id\":1,\"pad\":\"{}\"}}}}", "x".repeat(5 * 1024 * 1024));
    let cut = b"{\"contact\":{\"id\":17,\"emails\":[";
    let odd = [
        Odd::Bytes(answer("200 OK", HTML, b"<!DOCTYPE html><title>Sign in</title>")),
        Odd::Bytes(answer("200 OK", JSON, cut)),
        Odd::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"contact\":{\"id\":17}}".to_vec()),
        Odd::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"con\r\n".to_vec()),
        Odd::Bytes(answer("200 OK", JSON, huge.as_bytes())),
        Odd::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        Odd::Bytes(Vec::new()),
        Odd::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{\"contact\"".to_vec()),
        Odd::Drip,
        Odd::Bytes(answer("200 OK", JSON, b"{\"contact\":{\"id\":null}}")),
        Odd::Bytes(answer("200 OK", JSON, b"{\"contact\":[]}")),
        Odd::Bytes(answer("204 No Content", "", b"")),
        Odd::Bytes(answer("500 Oops", JSON, "[".repeat(100_000).as_bytes())),
    ];
    for (number, odd) in odd.into_iter().enumerate() {
        let what = format!("{odd:?}").chars().take(120).collect::<String>();
        front.odd("/api/contacts/upsert", odd);
        let address = format!("c{number}@example.com");
        source.send(identify(&format!("m{number}"), &address, json!({"firstName": "Ada"}))).await;
        assert_eq!(source.settled().await.outcome, Outcome::Delivered, "{what}");
        assert_eq!(front.unused(), 0, "{what}");
        assert_eq!(rig.contact(&address)["first_name"], "Ada", "{what}");
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_web_page_does_not_count_as_an_accepted_activity() {
    let (rig, front) = fronted(Duration::from_secs(5)).await;
    let mut source = rig.session().await;
    let page = b"\n <!DOCTYPE html><html><title>We will be back soon</title></html>";
    let huge = vec![b'x'; 5 * 1024 * 1024];
    for (number, bytes) in
        [answer("200 OK", HTML, page), answer("200 OK", JSON, &huge)].into_iter().enumerate()
    {
        front.odd("/track/events", Odd::Bytes(bytes));
        source.send(track(&format!("m{number}"), "ada@example.com", "Came")).await;
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
        assert_eq!(rig.activities().len(), number + 1, "the activity is lost");
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn redirects_are_not_followed_and_nobody_else_sees_a_credential() {
    let elsewhere = Front::before(Account::start(1000).await.address).await;
    let (rig, front) = fronted(Duration::from_secs(5)).await;
    let mut source = rig.session().await;
    for (number, status) in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"].into_iter().enumerate()
    {
        let location = format!("location: http://{}/api/contacts/upsert\r\n", elsewhere.address);
        for path in ["/api/contacts/upsert", "/track/events", "/api/lookup"] {
            front.odd(path, Odd::Bytes(answer(status, &location, b"")));
        }
        source.send(identify(&format!("i{number}"), &format!("c{number}@example.com"), json!({}))).await;
        source.send(track(&format!("t{number}"), &format!("user-{number}"), "Came")).await;
        for _ in 0..2 {
            assert_eq!(source.settled().await.outcome, Outcome::Delivered);
        }
        assert_eq!(front.unused(), 0);
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
    for request in front.seen() {
        let (path, rest) = (request.split(' ').nth(1).unwrap(), request.as_str());
        assert_eq!(rest.contains(API_KEY), path.starts_with("/api/"), "{path}");
        assert_eq!(rest.contains(APP_TOKEN), path.starts_with("/track/"), "{path}");
        assert!(!path.contains(API_KEY) && !path.contains(APP_TOKEN));
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_wait_beyond_reason_does_not_end_the_lane() {
    let day = Duration::from_hours(24);
    let now = jiff::Timestamp::now();
    for text in ["4294967295", "Tue, 01 Jan 2999 00:00:00 GMT"] {
        assert!(freshet::freshsales::retry_after(text, now).is_some_and(|wait| wait <= day), "{text}");
    }
}
