//! A local API that answers at once, one address for each account, as simply as it can: it must not be what limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshet::sandbox::{Options, Sandbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::events::contacts_in;

/// What every account's API shares.
struct Shared {
    calls: AtomicU64,
    /// The first account answers 429.
    throttled: AtomicBool,
    /// How long each call takes.
    latency: Duration,
    /// When each contact was written first, by its number.
    written: Mutex<HashMap<usize, Instant>>,
    /// What is asked about fields, by path.
    settings: HashMap<String, String>,
    jobs: AtomicU64,
}

pub struct Api {
    pub addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Api {
    pub async fn start(accounts: usize, latency: Duration) -> Self {
        let shared = Arc::new(Shared {
            calls: AtomicU64::new(0),
            throttled: AtomicBool::new(false),
            latency,
            written: Mutex::default(),
            settings: settings().await,
            jobs: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for account in 0..accounts {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
            addresses.push(listener.local_addr().expect("an address"));
            let shared = shared.clone();
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, account, shared.clone()));
                }
            });
        }
        Self { addresses, shared, _tasks: tasks }
    }

    /// Calls so far, but for those about fields.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    pub fn throttle(&self, throttled: bool) {
        self.shared.throttled.store(throttled, Ordering::Relaxed);
    }

    /// When each contact was written first, since this was asked last.
    pub fn take_written(&self) -> HashMap<usize, Instant> {
        std::mem::take(&mut *self.shared.written.lock().expect("no panic"))
    }

    /// Whether all of these contacts were written.
    pub fn has_written(&self, contacts: impl IntoIterator<Item = usize>) -> bool {
        let written = self.shared.written.lock().expect("no panic");
        contacts.into_iter().all(|contact| written.contains_key(&contact))
    }
}

/// Has the sandbox answer once what is asked about fields.
async fn settings() -> HashMap<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let address = listener.local_addr().expect("an address");
    let (sandbox, stop) = (Sandbox::new(Options::default()), CancellationToken::new());
    let mut server = JoinSet::new();
    let stopped = stop.clone();
    server.spawn(async move { sandbox.serve(listener, stopped).await });
    let client = reqwest::Client::new();
    let mut settings = HashMap::new();
    let fields =
        ["contacts", "sales_accounts", "deals"].map(|entity| format!("/api/settings/{entity}/fields"));
    let selectors =
        ["owners", "lifecycle_stages", "deal_pipelines"].map(|list| format!("/api/selector/{list}"));
    for path in fields.into_iter().chain(selectors) {
        let asked = client.get(format!("http://{address}{path}")).header("Authorization", "Token token=key");
        let body = asked.send().await.expect("an answer").text().await.expect("a body");
        settings.insert(path, body);
    }
    stop.cancel();
    server.shutdown().await;
    settings
}

async fn serve(mut stream: TcpStream, account: usize, shared: Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let mut held = Vec::with_capacity(64 * 1024);
    loop {
        let Some(head) = head(&mut stream, &mut held).await else { return };
        let text = String::from_utf8_lossy(&held[..head]).into_owned();
        let whole = head + content_length(&text);
        while held.len() < whole {
            if stream.read_buf(&mut held).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let path = text.split(' ').nth(1).unwrap_or_default();
        let answer = answer(path, &held[head..whole], account, &shared).await;
        held.drain(..whole);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The length of the next request's head, once it is there.
async fn head(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(end) = held.windows(4).position(|found| found == b"\r\n\r\n") {
            return Some(end + 4);
        }
        if stream.read_buf(held).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.map_or(0, |(_, length)| length.trim().parse().expect("a length"))
}

async fn answer(path: &str, body: &[u8], account: usize, shared: &Shared) -> String {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(settings) = shared.settings.get(path) {
        return response("200 OK", settings);
    }
    shared.calls.fetch_add(1, Ordering::Relaxed);
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
        if account == 0 && shared.throttled.load(Ordering::Relaxed) {
            return response("429 Too Many Requests", r#"{"message":"Too many requests"}"#);
        }
        let mut written = shared.written.lock().expect("no panic");
        for contact in contacts_in(body) {
            written.entry(contact).or_insert_with(Instant::now);
        }
    }
    if path.starts_with("/track/") {
        response("200 OK", "")
    } else if let Some(job) = path.strip_prefix("/api/job_statuses/") {
        // Its number tells how many records it had.
        let records = job.parse::<u64>().expect("a job") % 1000;
        let data = format!(r#"{{\"record_status\":{{\"succeeded\":{records},\"failed\":0}}}}"#);
        response("200 OK", &format!(r#"{{"status":"SUCCESS","progress":100,"data":"{data}"}}"#))
    } else if path.ends_with("/bulk_upsert") {
        let wanted = b",\"data\":{";
        let records = body.windows(wanted.len()).filter(|found| found == wanted).count();
        let job = (1 + shared.jobs.fetch_add(1, Ordering::Relaxed)) * 1000 + records as u64;
        response("200 OK", &format!(r#"{{"job_status_url":"http://localhost/api/job_statuses/{job}"}}"#))
    } else if path.ends_with("/contacts/upsert") {
        response("200 OK", r#"{"contact":{"id":1}}"#)
    } else {
        response("404 Not Found", r#"{"errors":{"code":404,"message":["Not found"]}}"#)
    }
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
