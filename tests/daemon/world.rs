//! A world of its own for each test: a virtual host, sandboxes, daemons, and the checks that every test ends with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use freshet::sandbox::{Options, Sandbox};
use lapin::BasicProperties;
use lapin::message::Delivery;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Amqp, Broker, Freshet, Vhost, post, soon};

/// What stands in for every key and token; it must appear in no log, page or dead letter.
const SECRET: &str = "secret-key-0815";

/// Whom the events are about that [`World::fenced`] sends.
pub const FENCE: &str = "fence@example.com";

/// A stand-in for one account.
pub struct Account {
    pub name: String,
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    /// Further lines of its `[[accounts]]`.
    pub settings: String,
    stop: CancellationToken,
}

/// Everything one test works with.
pub struct World {
    pub vhost: Vhost,
    pub amqp: Amqp,
    pub accounts: Vec<Account>,
    /// `broker.prefetch` of every replica. Measures of memory are for this many events.
    pub prefetch: u16,
    /// `delivery.request_timeout` of every replica. A call that a busy machine answers later comes again.
    pub request_timeout: &'static str,
    published: AtomicU64,
    /// What replicas ended that are gone by now.
    ended_before: AtomicU64,
    tasks: JoinSet<std::io::Result<()>>,
    stop: CancellationToken,
}

impl World {
    /// A world on the broker that all tests share, with one account, `acme`, that takes everything.
    pub async fn with_acme() -> Self {
        Self::shared().await.account("acme", "").await
    }

    /// A world without accounts on the broker that all tests share.
    pub async fn shared() -> Self {
        Self::on(Broker::shared().await.vhost().await).await
    }

    /// A world without accounts.
    pub async fn on(vhost: Vhost) -> Self {
        let amqp = vhost.connect().await;
        Self {
            vhost,
            amqp,
            accounts: Vec::new(),
            prefetch: 400,
            request_timeout: "20s",
            published: AtomicU64::new(0),
            ended_before: AtomicU64::new(0),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Two accounts: `acme` has the write key `a`, `globex` has `g`.
    pub async fn of_two() -> Self {
        let world = Self::shared().await.account("acme", "write_keys = [\"a\"]").await;
        world.account("globex", "write_keys = [\"g\"]").await
    }

    /// Adds an account with a sandbox of its own.
    pub async fn account(self, name: &str, settings: &str) -> Self {
        self.account_with(name, settings, Options::default()).await
    }

    /// The same, with a sandbox that differs.
    pub async fn account_with(mut self, name: &str, settings: &str, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sandbox = Sandbox::new(Options { requests_per_hour: Some(1_000_000), ..options });
        let stop = self.stop.child_token();
        let (served, stopped) = (sandbox.clone(), stop.clone());
        self.tasks.spawn(async move { served.serve(listener, stopped).await });
        self.accounts.push(Account {
            name: name.to_owned(),
            sandbox,
            address,
            settings: settings.to_owned(),
            stop,
        });
        self
    }

    /// The intake queue's name.
    pub fn queue(&self) -> String {
        self.vhost.queue("events")
    }

    /// The exchange that leads to the lanes.
    pub fn lanes(&self) -> String {
        format!("{}.lanes", self.queue())
    }

    /// The lane of an account.
    pub fn lane(&self, account: &str) -> String {
        format!("{}.lane.{account}", self.queue())
    }

    /// The dead letters.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.queue())
    }

    /// The configuration of a replica that reaches the broker at `url`.
    pub fn config_at(&self, url: &str, replica: &str) -> String {
        let Self { prefetch, request_timeout, .. } = self;
        let queue = self.queue();
        let mut text = format!(
            "[broker]\nurl = \"{url}\"\nqueue = \"{queue}\"\nreplica = \"{replica}\"\nprefetch = {prefetch}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [delivery]\nrequest_timeout = \"{request_timeout}\"\nshutdown_grace = \"10s\"\n"
        );
        for Account { name, address, settings, .. } in &self.accounts {
            let app_token =
                if settings.contains("no app_token") { "" } else { "app_token = { env = \"TEST_KEY\" }\n" };
            write!(
                text,

                "[[accounts]]\nname = \"{name}\"\nurl = \"http://{address}\"\napi_key = {{ env = \"TEST_KEY\" }}\n\
                 {app_token}requests_per_hour = 1000000\ntracking_requests_per_minute = 100000\n{settings}\n"
            )
            .unwrap();
        }
        text
    }

    /// The environment that the configuration speaks of.
    pub fn environment() -> [(&'static str, &'static str); 1] {
        [("TEST_KEY", SECRET)]
    }

    /// Starts a replica and waits until it is ready.
    pub async fn start(&self, replica: &str) -> Freshet {
        self.start_at(self.vhost.url(), replica).await
    }

    /// Starts a replica of another build, and waits until it is ready.
    pub async fn start_program(&self, program: &Path, replica: &str) -> Freshet {
        let config = self.config_at(self.vhost.url(), replica);
        let freshet = Freshet::start_program(program, &["run"], &config, &Self::environment());
        freshet.ready().await;
        freshet
    }

    /// Starts a replica that reaches the broker at `url`.
    pub async fn start_at(&self, url: &str, replica: &str) -> Freshet {
        let freshet = Freshet::start(&self.config_at(url, replica), &Self::environment());
        freshet.ready().await;
        freshet
    }

    /// Waits until so many replicas have subscribed to every queue of a world on the shared broker.
    ///
    /// A queue's own count leaves out those that stand by.
    pub async fn subscribed(&self, replicas: usize) {
        let broker = Broker::shared().await;
        let list = ["list_consumers", "-p", &self.vhost.name, "queue_name", "--no-table-headers"];
        soon("every replica has subscribed to every queue", async || {
            let consumers = broker.control(&list).await;
            for queue in self.worked() {
                let found = consumers.lines().filter(|line| line.trim() == queue).count();
                if found != replicas {
                    return Err(format!("{queue} has {found} of {replicas}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Intake and lanes.
    fn worked(&self) -> impl Iterator<Item = String> {
        let lanes = self.accounts.iter().map(|account| self.lane(&account.name));
        std::iter::once(self.queue()).chain(lanes)
    }

    /// Puts an event on the intake.
    pub async fn publish(&self, body: impl AsRef<[u8]>) {
        self.publish_with(body, BasicProperties::default()).await;
    }

    /// Puts an event on the intake, with these properties.
    pub async fn publish_with(&self, body: impl AsRef<[u8]>, properties: BasicProperties) {
        self.publish_to("", &self.queue(), [(body, properties)]).await;
    }

    /// Puts many events on the intake, in order.
    pub async fn publish_all(&self, bodies: impl IntoIterator<Item = String>) {
        let messages = bodies.into_iter().map(|body| (body, BasicProperties::default()));
        self.publish_to("", &self.queue(), messages).await;
    }

    /// Puts many events on an intake that no replica has declared yet.
    pub async fn publish_early(&self, bodies: impl IntoIterator<Item = String>) {
        self.retire(self.start("early").await).await;
        self.publish_all(bodies).await;
    }

    /// Puts events anywhere from where they come to a lane.
    pub async fn publish_to<B: AsRef<[u8]>>(
        &self,
        exchange: &str,
        key: &str,
        messages: impl IntoIterator<Item = (B, BasicProperties)>,
    ) {
        let counted = messages.into_iter().inspect(|_| {
            self.published.fetch_add(1, Ordering::Relaxed);
        });
        self.amqp.publish_all(exchange, key, counted).await;
    }

    /// Events were put on the intake by somebody else.
    pub fn expect(&self, events: u64) {
        self.published.fetch_add(events, Ordering::Relaxed);
    }

    /// The account by its name.
    pub fn at(&self, account: &str) -> &Account {
        self.accounts.iter().find(|candidate| candidate.name == account).unwrap()
    }

    /// What an account's sandbox holds.
    pub fn state(&self, account: &str) -> Value {
        self.at(account).sandbox.state()
    }

    /// Waits until an account's sandbox was asked so often.
    pub async fn asked(&self, account: &str, requests: u64) {
        soon("the sandbox is asked", async || {
            let asked = self.state(account)["total_requests"].as_u64().unwrap();
            if asked >= requests { Ok(()) } else { Err(format!("{asked} of {requests} requests so far")) }
        })
        .await;
    }

    /// Makes an account's sandbox misbehave.
    pub async fn fault(&self, account: &str, faults: Value) {
        let (status, body) =
            post(self.at(account).address, "/_sandbox/faults", &faults.to_string()).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// Stops an account's sandbox for good, and resets what hangs there.
    pub fn shut_down(&self, account: &str) {
        self.at(account).stop.cancel();
    }

    /// Waits until everything published has ended, nothing waits and nothing is in flight anywhere.
    pub async fn settled(&self, replicas: &[&Freshet]) {
        // A whole stream may still be on its way, and each batch of it waits for its job.
        soon("everything published has ended", async || {
            let mut ended = self.ended_before.load(Ordering::Relaxed);
            for replica in replicas {
                ended += ended_by(replica).await;
            }
            let published = self.published.load(Ordering::Relaxed);
            if ended < published {
                return Err(format!("{ended} of {published} events ended"));
            }
            let mut busy = Vec::new();
            for queue in self.worked() {
                if self.amqp.depth(&queue).await != Some(0) {
                    busy.push(queue);
                }
            }
            for replica in replicas {
                for account in &self.accounts {
                    for name in ["freshet_events_in_flight", "freshet_lane_held"] {
                        let series = format!("{name}{{account=\"{}\"}}", account.name);
                        if replica.metric(&series).await != 0.0 {
                            busy.push(series);
                        }
                    }
                }
                if replica.metric("freshet_intake_held").await != 0.0 {
                    busy.push("freshet_intake_held".to_owned());
                }
            }
            if busy.is_empty() { Ok(()) } else { Err(busy.join(", ")) }
        })
        .await;
    }

    /// Stops a replica before the test ends, when all is settled; what it ended still counts.
    pub async fn retire(&self, mut replica: Freshet) {
        self.settled(&[&replica]).await;
        self.ended_before.fetch_add(ended_by(&replica).await, Ordering::Relaxed);
        replica.stop().await;
        Self::discreet(&replica.log());
    }

    /// [`World::settled`] where counts say nothing, because a replica was killed or events were delivered again:
    /// one more event for each account goes the whole way, and so everything before it has gone.
    pub async fn fenced(&self, replicas: &[&Freshet]) {
        for account in &self.accounts {
            let fence = json!({
                "type": "track", "userId": FENCE, "messageId": format!("fence {}", account.name), "event": "Fence"
            });
            self.amqp
                .publish(&self.queue(), fence.to_string(), &[("freshsales-account", &account.name)])
                .await;
        }
        soon("the last events have gone through", async || {
            let behind = |account: &&Account| {
                let state = account.sandbox.state();
                !state["activities"].as_array().unwrap().iter().any(|one| one["identifier"] == FENCE)
            };
            let behind: Vec<_> = self.accounts.iter().filter(behind).map(|account| &account.name).collect();
            if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?}")) }
        })
        .await;
        self.published.store(0, Ordering::Relaxed);
        self.settled(replicas).await;
    }

    /// Takes the dead letters once so many are there: they are counted before the broker has them.
    pub async fn dead_letters(&self, count: usize) -> Vec<Delivery> {
        let dead = self.dead();
        soon("the dead letters are there", async || {
            let depth = self.amqp.depth(&dead).await;
            if depth == u32::try_from(count).ok() { Ok(()) } else { Err(format!("{depth:?} of {count}")) }
        })
        .await;
        self.amqp.take_all(&dead).await
    }

    /// What every test ends with: all settled, no receipt dropped, the books balanced, no secret shown, a
    /// good stop, and then nothing left in any queue.
    pub async fn finish(self, replicas: impl IntoIterator<Item = Freshet>) {
        let replicas: Vec<Freshet> = replicas.into_iter().collect();
        self.settled(&replicas.iter().collect::<Vec<_>>()).await;
        self.finish_leaving(replicas, &BTreeMap::new()).await;
    }

    /// The same where messages are left in lanes: so many, by account.
    pub async fn finish_leaving(
        self,
        replicas: impl IntoIterator<Item = Freshet>,
        left: &BTreeMap<&str, u32>,
    ) {
        for mut replica in replicas {
            let (_, metrics) = replica.get("/metrics").await;
            balanced(&metrics, left.is_empty());
            assert!(!metrics.contains(SECRET) && !metrics.contains('@'));
            replica.stop().await;
            Self::discreet(&replica.log());
        }
        assert_eq!(self.amqp.depth(&self.queue()).await, Some(0), "left on the intake");
        for account in &self.accounts {
            let expected = left.get(account.name.as_str()).copied().unwrap_or_default();
            let depth = self.amqp.depth(&self.lane(&account.name)).await;
            assert_eq!(depth, Some(expected), "left in the lane of {}", account.name);
        }
        assert_eq!(self.amqp.depth(&self.dead()).await, Some(0), "dead letters that the test did not take");
    }

    fn discreet(log: &str) {
        assert!(!log.contains(SECRET), "a secret in the log:\n{log}");
        assert!(!log.contains('@'), "an address in the log:\n{log}");
    }
}

/// Received = ended, for each account; and no receipt was dropped.
fn balanced(metrics: &str, at_rest: bool) {
    assert_eq!(sum(metrics, "freshet_receipts_dropped_total", &[]), 0);
    let mut accounts: Vec<&str> = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with("freshet_events_received_total{")) {
        accounts.extend(line.split("account=\"").nth(1).and_then(|rest| rest.split('"').next()));
    }
    accounts.dedup();
    for account in accounts {
        let label = [("account", account)];
        let ended = ["delivered", "skipped", "dead_lettered", "returned"]
            .map(|what| sum(metrics, &format!("freshet_events_{what}_total"), &label))
            .iter()
            .sum::<u64>();
        let received = sum(metrics, "freshet_events_received_total", &label);
        assert!(!at_rest || received == ended, "{account}: {received} received, {ended} ended");
    }
}

async fn ended_by(replica: &Freshet) -> u64 {
    total_ended(&replica.get("/metrics").await.1)
}

fn total_ended(metrics: &str) -> u64 {
    ["delivered", "skipped", "dead_lettered"]
        .map(|what| sum(metrics, &format!("freshet_events_{what}_total"), &[]))
        .iter()
        .sum()
}

/// The sum of a metric's series that have these labels.
pub fn sum(metrics: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label.as_str()))
    };
    metrics.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
