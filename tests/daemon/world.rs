//! A world of its own for each test: a virtual host, sandboxes, daemons, and the checks that every test ends with.

use std::net::SocketAddr;

use freshet::sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Amqp, Broker, Freshet, Vhost, soon};

/// A stand-in for one account.
pub struct Account {
    pub name: &'static str,
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    /// Further lines of its `[[accounts]]`.
    pub settings: String,
}

/// Everything one test works with.
pub struct World {
    pub vhost: Vhost,
    pub amqp: Amqp,
    pub accounts: Vec<Account>,
    tasks: JoinSet<std::io::Result<()>>,
    stop: CancellationToken,
}

impl World {
    /// A world on the broker that all tests share, with one account, `acme`, that takes everything.
    pub async fn with_acme() -> Self {
        Self::on(Broker::shared().await.vhost()).await.account("acme", "").await
    }

    /// A world without accounts.
    pub async fn on(vhost: Vhost) -> Self {
        let amqp = vhost.connect().await;
        Self { vhost, amqp, accounts: Vec::new(), tasks: JoinSet::new(), stop: CancellationToken::new() }
    }

    /// Adds an account with a sandbox of its own.
    pub async fn account(mut self, name: &'static str, settings: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sandbox = Sandbox::new(Options { requests_per_hour: Some(1_000_000), ..Options::default() });
        let (served, stop) = (sandbox.clone(), self.stop.clone());
        self.tasks.spawn(async move { served.serve(listener, stop).await });
        self.accounts.push(Account { name, sandbox, address, settings: settings.to_owned() });
        self
    }

    /// The intake queue's name.
    pub fn queue(&self) -> String {
        self.vhost.queue("events")
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
        let queue = self.queue();
        let mut text = format!(
            "[broker]\nurl = \"{url}\"\nqueue = \"{queue}\"\nreplica = \"{replica}\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[delivery]\nrequest_timeout = \"5s\"\nshutdown_grace = \"10s\"\n"
        );
        for Account { name, address, settings, .. } in &self.accounts {
            let app_token =
                if settings.contains("no app_token") { "" } else { "app_token = { env = \"TEST_KEY\" }\n" };
            text.push_str(&format!(
                "[[accounts]]\nname = \"{name}\"\nurl = \"http://{address}\"\napi_key = {{ env = \"TEST_KEY\" }}\n\
                 {app_token}requests_per_hour = 1000000\ntracking_requests_per_minute = 100000\n{settings}\n"
            ));
        }
        text
    }

    /// Starts a replica and waits until it is ready.
    pub async fn start(&self, replica: &str) -> Freshet {
        self.start_at(self.vhost.url(), replica).await
    }

    /// Starts a replica that reaches the broker at `url`.
    pub async fn start_at(&self, url: &str, replica: &str) -> Freshet {
        let freshet = Freshet::start(&self.config_at(url, replica), &[("TEST_KEY", "secret-key-0815")]);
        freshet.ready().await;
        freshet
    }

    /// Puts an event on the intake.
    pub async fn publish(&self, body: impl AsRef<[u8]>) {
        self.amqp.publish(&self.queue(), body, &[]).await;
    }

    /// What an account's sandbox holds.
    pub fn state(&self, account: &str) -> Value {
        self.accounts.iter().find(|candidate| candidate.name == account).unwrap().sandbox.state()
    }

    /// Waits until nothing waits and nothing is in flight anywhere.
    pub async fn settled(&self, replicas: &[&Freshet]) {
        soon("intake and lanes are empty and nothing is in flight", async || {
            let mut busy = Vec::new();
            let lanes = self.accounts.iter().map(|account| self.lane(account.name));
            for queue in std::iter::once(self.queue()).chain(lanes) {
                if self.amqp.depth(&queue).await != Some(0) {
                    busy.push(queue);
                }
            }
            for replica in replicas {
                for account in &self.accounts {
                    let series = format!("freshet_events_in_flight{{account=\"{}\"}}", account.name);
                    if replica.metric(&series).await != 0.0 {
                        busy.push(series);
                    }
                }
            }
            if busy.is_empty() { Ok(()) } else { Err(busy.join(", ")) }
        })
        .await;
    }

    /// What every test ends with: all settled, no receipt dropped, the books balanced, no secret told.
    pub async fn finish(&self, replicas: &[&Freshet]) {
        self.settled(replicas).await;
        for replica in replicas {
            assert!(replica.metric("freshet_receipts_dropped_total").await.abs() < 0.5);
            let (_, metrics) = replica.get("/metrics").await;
            for account in &self.accounts {
                let sum = |name: &str| total(&metrics, name, account.name);
                let ended = sum("freshet_events_delivered_total")
                    + sum("freshet_events_skipped_total")
                    + sum("freshet_events_dead_lettered_total")
                    + sum("freshet_events_returned_total");
                let received = sum("freshet_events_received_total");
                assert!(
                    (received - ended).abs() < 0.5,
                    "{}: {received} received, {ended} ended",
                    account.name
                );
            }
            let log = replica.log();
            assert!(!log.contains("secret-key-0815") && !metrics.contains("secret-key-0815"));
            assert!(!log.contains('@'), "an address in the log:\n{log}");
        }
    }
}

/// The sum of a metric's series that belong to an account.
pub fn total(metrics: &str, name: &str, account: &str) -> f64 {
    let label = format!("account=\"{account}\"");
    metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
