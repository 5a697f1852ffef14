//! A lane, the sandbox behind it, and a source whose deliveries the test hands over itself.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet::config::{self, SecretsNeeded};
use freshet::delivery::{Delivery, Lease, Receipt, Session, Settlement};
use freshet::freshsales::{Client, Credentials, HttpTransport};
use freshet::lane::{BackoffSettings, Lane, LaneStatus, Settings};
use freshet::metrics::Metrics;
use freshet::outcome::Outcome;
use freshet::sandbox::{Admission, Options, Sandbox};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, Wait, soon};

/// The secrets of every rig's account.
pub const API_KEY: &str = "api-key-0815";
pub const APP_TOKEN: &str = "app-token-4711";

/// How a rig's lane is set up.
pub struct Setup {
    pub prefetch: usize,
    pub concurrency: usize,
    pub grace: Duration,
    pub request_timeout: Duration,
    pub patience: BackoffSettings,
    /// Calls per hour that the lane may make and that its sandbox allows.
    pub requests_per_hour: u32,
    /// The account's URL, if it is not the sandbox's.
    pub url: Option<String>,
    /// What it shares with other lanes, if anything.
    pub transport: Option<HttpTransport>,
    /// More lines of the account's configuration.
    pub settings: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        let short = (Duration::from_millis(20), Duration::from_millis(60));
        Self {
            prefetch: 400,
            concurrency: 8,
            grace: Duration::from_secs(20),
            request_timeout: Duration::from_secs(10),
            patience: BackoffSettings {
                unavailable: short,
                throttled: short,
                unauthorized: short,
                jobs: short,
                foreign: Duration::from_millis(400),
                look_up_delay: Duration::from_millis(800),
                ..BackoffSettings::default()
            },
            requests_per_hour: 1_000_000,
            url: None,
            transport: None,
            settings: "",
        }
    }
}

/// A running sandbox.
pub struct Account {
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Account {
    pub async fn start(requests_per_hour: u32) -> Self {
        Self::with(Options { requests_per_hour: Some(requests_per_hour), ..Options::default() }).await
    }

    /// An account that differs from others.
    pub async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let admission = Admission {
            api_key: Some(API_KEY.to_owned()),
            app_token: Some(APP_TOKEN.to_owned()),
            ..options.admission
        };
        let sandbox = Sandbox::new(Options { admission, ..options });
        let mut serving = JoinSet::new();
        let served = sandbox.clone();
        serving.spawn(async move { served.serve(listener, CancellationToken::new()).await });
        Self { sandbox, address, _serving: serving }
    }
}

/// A running lane.
pub struct Rig {
    pub account: Account,
    pub metrics: Arc<Metrics>,
    pub board: Arc<LaneStatus>,
    pub stop: CancellationToken,
    sessions: Option<mpsc::Sender<Session>>,
    lane: JoinSet<()>,
    http: reqwest::Client,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let account = Account::start(setup.requests_per_hour).await;
        Self::before(account, setup)
    }

    /// A lane for an account whose sandbox already runs.
    pub fn before(account: Account, setup: Setup) -> Self {
        let url = setup.url.unwrap_or_else(|| format!("http://{}", account.address));
        let text = format!(
            "[[accounts]]\nname = \"acme\"\nurl = \"{url}\"\napi_key = {{ env = \"KEY\" }}\n\
             app_token = {{ env = \"TOKEN\" }}\nrequests_per_hour = {}\nquota_share = 1.0\n\
             tracking_requests_per_minute = 100000\n{}\n",
            setup.requests_per_hour, setup.settings
        );
        let environment = |name: &str| match name {
            "KEY" => Some(API_KEY.to_owned()),
            "TOKEN" => Some(APP_TOKEN.to_owned()),
            _ => None,
        };
        let config = config::parse(&text, Path::new("rig.toml"), &environment, SecretsNeeded::All).unwrap();
        let configured = &config.accounts[0];
        let secrets = configured.access.read_secrets(&environment).unwrap();
        let credentials = Credentials {
            base_url: configured.access.url.as_str().to_owned(),
            api_key: secrets.api_key,
            app_token: secrets.app_token,
        };
        let transport = setup.transport.unwrap_or_else(|| HttpTransport::new(setup.request_timeout).unwrap());
        let client = Client::new(&transport, credentials);
        let metrics = Arc::new(Metrics::new().unwrap());
        let settings = Settings {
            prefetch: setup.prefetch,
            concurrency: setup.concurrency,
            grace: setup.grace,
            backoff: setup.patience,
        };
        let lane = Lane::new(configured, client, metrics.account("acme"), settings);
        let board = lane.status();
        let (sessions, sessions_out) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(Box::new(lane).run(sessions_out, stop.clone()));
        Self {
            account,
            metrics,
            board,
            stop,
            sessions: Some(sessions),
            lane: tasks,
            http: reqwest::Client::new(),
        }
    }

    /// Opens the next session of the source.
    pub async fn session(&self) -> Source {
        self.leased_session(Lease::ENDLESS).await
    }

    /// Opens the next session of a source whose deliveries may go to others.
    pub async fn leased_session(&self, lease: Lease) -> Source {
        let (session, source) = self.prepared(lease);
        self.sessions.as_ref().unwrap().send(session).await.unwrap();
        source
    }

    /// Opens the next session of a source that has handed over these already.
    pub async fn session_with(&self, events: Vec<Value>) -> Source {
        let (session, mut source) = self.prepared(Lease::ENDLESS);
        for event in events {
            source.send(event).await;
        }
        self.sessions.as_ref().unwrap().send(session).await.unwrap();
        source
    }

    fn prepared(&self, lease: Lease) -> (Session, Source) {
        let (deliver, deliveries) = mpsc::channel(1000);
        let (settle, settlements) = mpsc::channel(1000);
        let lost = CancellationToken::new();
        let session = Session { deliveries, lost: lost.clone(), lease };
        let dropped = self.metrics.receipts_dropped.clone();
        let source =
            Source { deliver: Some(deliver), settle, settlements, lost, dropped, next: 0, sent: Vec::new() };
        (session, source)
    }

    /// Adds faults to the sandbox.
    pub async fn faults(&self, faults: Value) {
        let url = format!("http://{}/_sandbox/faults", self.account.address);
        let answer = self.http.post(url).json(&faults).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// Removes the sandbox's faults.
    pub async fn mend(&self) {
        let url = format!("http://{}/_sandbox/faults", self.account.address);
        self.http.delete(url).send().await.unwrap();
    }

    /// The faults that are not spent.
    pub async fn in_force(&self) -> Vec<Value> {
        let url = format!("http://{}/_sandbox/faults", self.account.address);
        let body = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        body["faults"].as_array().unwrap().clone()
    }

    /// Waits until the faults of an endpoint are spent. Unlike [`soon`](crate::support::soon) it can be used in tasks.
    pub async fn spent(&self, endpoint: &str) {
        let mut wait = Wait::up_to(PATIENCE);
        while self.in_force().await.iter().any(|fault| fault["endpoint"] == endpoint) {
            wait.again("the faults are spent", "").await;
        }
    }

    /// Calls the account directly, so that the lane does not know.
    pub async fn meddle(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("http://{}{path}", self.account.address);
        let request = self.http.request(method.parse().unwrap(), url).json(&body);
        let request = request.header("authorization", format!("Token token={API_KEY}"));
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// How many bulk jobs other programs run in the account.
    pub async fn jobs_of_others(&self, number: usize) {
        self.meddle("PUT", "/_sandbox/jobs", json!({"others": number})).await;
    }

    pub fn state(&self) -> Value {
        self.account.sandbox.state()
    }

    /// The contact with this address.
    pub fn contact(&self, email: &str) -> Value {
        let state = self.state();
        let contacts = state["contacts"].as_array().unwrap();
        contacts.iter().find(|contact| contact["email"] == email).cloned().unwrap_or(Value::Null)
    }

    /// Identifier and name of each event, in the order the account took them.
    pub fn activities(&self) -> Vec<(String, String)> {
        let state = self.state();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let activities = state["activities"].as_array().unwrap().iter();
        activities.map(|activity| (text(&activity["identifier"]), text(&activity["name"]))).collect()
    }

    /// When each call to an endpoint was answered, in milliseconds, and how.
    pub fn log(&self, endpoint: &str) -> Vec<(u64, String)> {
        let state = self.state();
        let entries = state["log"].as_array().unwrap().iter().filter(|entry| entry["endpoint"] == endpoint);
        entries
            .map(|entry| (entry["at_ms"].as_u64().unwrap(), entry["status"].as_str().unwrap().to_owned()))
            .collect()
    }

    pub fn calls(&self, endpoint: &str) -> usize {
        self.log(endpoint).len()
    }

    /// The sum of a metric's series that have all of these labels.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics.render().unwrap();
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let of_labels = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        of_labels.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Ends the source, lets the lane end, and checks what must hold after every test.
    pub async fn finish(mut self, source: Source) {
        drop(source);
        self.sessions = None;
        let ended = tokio::time::timeout(PATIENCE, self.lane.join_next()).await;
        ended.expect("the lane does not end").unwrap().expect("the lane panicked");
        self.check();
    }

    /// Stops the lane and checks what must hold after every test.
    pub async fn stopped(&mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.lane.join_next()).await;
        ended.expect("the lane does not stop").unwrap().expect("the lane panicked");
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.sum("freshet_receipts_dropped_total", &[]), 0.0, "a receipt was dropped");
        assert_eq!(self.sum("freshet_events_in_flight", &[]), 0.0, "an event is still in flight");
        let ends = ["delivered", "skipped", "dead_lettered", "returned"];
        let ended: f64 = ends.iter().map(|end| self.sum(&format!("freshet_events_{end}_total"), &[])).sum();
        assert_eq!(self.sum("freshet_events_received_total", &[]), ended, "received and ended differ");
    }
}

/// The source of deliveries, in the broker's place.
pub struct Source {
    deliver: Option<mpsc::Sender<Delivery>>,
    settle: mpsc::Sender<Settlement>,
    settlements: mpsc::Receiver<Settlement>,
    pub lost: CancellationToken,
    dropped: prometheus::IntCounter,
    next: u64,
    /// Every body handed over, by tag.
    pub sent: Vec<String>,
}

/// What a source says of an event.
#[derive(Default)]
struct Marks {
    redelivered: bool,
    copied: bool,
    batch: Option<i64>,
}

impl Source {
    /// Hands an event to the lane; its tag counts from 0.
    pub async fn send(&mut self, event: impl ToString) -> u64 {
        self.hand_over(event.to_string(), Marks::default()).await
    }

    /// Hands over an event that was handed out before.
    pub async fn send_again(&mut self, event: impl ToString) -> u64 {
        self.hand_over(event.to_string(), Marks { redelivered: true, ..Marks::default() }).await
    }

    /// Hands over an event that the router had before.
    pub async fn send_copy(&mut self, event: impl ToString) -> u64 {
        self.hand_over(event.to_string(), Marks { copied: true, ..Marks::default() }).await
    }

    /// Hands over an event of a batch.
    pub async fn send_of_batch(&mut self, batch: i64, event: impl ToString) -> u64 {
        self.hand_over(event.to_string(), Marks { batch: Some(batch), ..Marks::default() }).await
    }

    async fn hand_over(&mut self, body: String, marks: Marks) -> u64 {
        let tag = self.next;
        self.next += 1;
        self.sent.push(body.clone());
        let place = self.settle.clone().reserve_owned().await.unwrap();
        let receipt = Receipt::new(tag, place, self.dropped.clone());
        let delivery = Delivery {
            body: body.into(),
            queued_at: Timestamp::now(),
            copied: marks.copied,
            batch: marks.batch,
            replayed: false,
            redelivered: marks.redelivered,
            trace_id: None,
            receipt,
        };
        if let Err(refused) = self.deliver.as_ref().unwrap().send(delivery).await {
            refused.0.receipt.settle(Outcome::Returned, 0);
        }
        tag
    }

    /// Ends the source.
    pub fn end(&mut self) {
        self.deliver = None;
    }

    /// Waits for the next settlement.
    pub async fn settled(&mut self) -> Settlement {
        let settled = tokio::time::timeout(PATIENCE, self.settlements.recv()).await;
        settled.expect("nothing is settled").unwrap()
    }

    /// Waits until everything handed over is settled; outcomes by tag.
    pub async fn outcomes(&mut self) -> Vec<Outcome> {
        let mut outcomes = vec![None; self.sent.len()];
        for _ in 0..self.sent.len() {
            let settlement = self.settled().await;
            let place = &mut outcomes[usize::try_from(settlement.tag).unwrap()];
            assert!(place.is_none(), "{} was settled twice", settlement.tag);
            *place = Some(settlement.outcome);
        }
        outcomes.into_iter().map(Option::unwrap).collect()
    }

    /// Whether a settlement is ready.
    pub fn try_settled(&mut self) -> Option<Settlement> {
        self.settlements.try_recv().ok()
    }
}

/// The reason of a dead letter.
pub fn reason(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::DeadLetter(refusal) => refusal.reason.as_str(),
        Outcome::Delivered => "(delivered)",
        Outcome::Skipped(reason) => reason.as_str(),
        Outcome::Returned => "(returned)",
    }
}

/// An identify of a contact by its address.
pub fn identify(message: &str, email: &str, traits: Value) -> Value {
    let mut event =
        json!({"type": "identify", "messageId": message, "userId": email, "traits": {"email": email}});
    for (key, value) in traits.as_object().unwrap() {
        event["traits"][key] = value.clone();
    }
    event
}

/// A track; `user` may be an address or any other id.
pub fn track(message: &str, user: &str, name: &str) -> Value {
    json!({"type": "track", "messageId": message, "userId": user, "event": name, "properties": {}})
}

/// Waits until the account has got this many calls to an endpoint.
pub async fn called(rig: &Rig, endpoint: &str, times: usize) {
    soon(&format!("{times} calls of {endpoint}"), async || rig.calls(endpoint) >= times).await;
}
