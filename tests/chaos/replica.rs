//! One replica: its process, which comes and goes, and its own network to each broker node.

use std::collections::BTreeMap;

use crate::support::{Freshet, Proxy, soon};
use crate::world::SECRET;

/// A replica, and every problem of its processes so far.
pub struct Replica {
    pub number: usize,
    /// By node.
    pub lines: Vec<Proxy>,
    config: String,
    process: Option<Freshet>,
    pub complaints: Vec<String>,
    /// What its processes logged, one after another.
    log: String,
    /// Calls that ended without an answer: Freshsales may have taken them, and they were sent again.
    pub lost_answers: u64,
}

impl Replica {
    pub fn name(number: usize) -> String {
        format!("replica-{number}")
    }

    pub fn start(number: usize, config: String, lines: Vec<Proxy>) -> Self {
        let mut replica = Self {
            number,
            lines,
            config,
            process: None,
            complaints: Vec::new(),
            log: String::new(),
            lost_answers: 0,
        };
        replica.launch();
        replica
    }

    pub fn launch(&mut self) {
        self.process = Some(Freshet::start(&self.config, &[("TEST_KEY", SECRET)]));
    }

    pub fn process(&self) -> &Freshet {
        self.process.as_ref().expect("the replica runs")
    }

    /// What all its processes logged, the one that runs included.
    pub fn whole_log(&self) -> String {
        let running = self.process.as_ref().map(Freshet::log).unwrap_or_default();
        format!("{}{running}", self.log)
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let process = self.process();
        soon("/readyz answers 200", async || match process.try_get("/readyz").await {
            Ok((200, _)) => Ok(()),
            other => Err(format!("replica {}: {other:?}", self.number)),
        })
        .await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.audit().await;
        let mut process = self.process.take().expect("the replica runs");
        tokio::task::block_in_place(|| process.kill());
        self.read(&process);
    }

    /// SIGTERM, and the end that it should come to.
    pub async fn stop(&mut self) {
        self.audit().await;
        let mut process = self.process.take().expect("the replica runs");
        process.signal("TERM");
        let status = process.exit().await;
        if !status.success() {
            self.complain(&format!("it ended with {status}"));
        }
        self.read(&process);
    }

    /// A process that ended by itself is a failure, and reported at once.
    pub fn check_alive(&mut self) {
        let process = self.process.as_mut().expect("the replica runs");
        if let Some(status) = process.exited() {
            panic!("replica {} ended with {status}:\n{}", self.number, process.log());
        }
    }

    /// Events delivered by this process, by account.
    pub async fn delivered(&self) -> BTreeMap<String, u64> {
        let (_, metrics) = self.process().get("/metrics").await;
        by_account(&metrics, "freshet_events_delivered_total")
    }

    /// Dead letters of this process for this reason, by account.
    pub async fn refused(&self, reason: &str) -> BTreeMap<String, u64> {
        let (_, metrics) = self.process().get("/metrics").await;
        let label = format!("reason=\"{reason}\"");
        let lines: String =
            metrics.lines().filter(|line| line.contains(&label)).flat_map(|line| [line, "\n"]).collect();
        by_account(&lines, "freshet_events_dead_lettered_total")
    }

    /// Events taken and not yet settled.
    pub async fn in_flight(&self) -> u64 {
        let (_, metrics) = self.process().get("/metrics").await;
        by_account(&metrics, "freshet_events_in_flight").values().sum()
    }

    /// Checks what must hold at any moment.
    async fn audit(&mut self) {
        let (_, metrics) = self.process().get("/metrics").await;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("freshet_receipts_dropped_total "));
        if dropped != Some("0") {
            self.complain(&format!("receipts dropped: {dropped:?}"));
        }
        for outcome in ["outcome=\"timeout\"", "outcome=\"connection\""] {
            let lines = metrics.lines().filter(|line| {
                line.starts_with("freshet_api_requests_total{")
                    && line.contains("\"track_")
                    && line.contains(outcome)
            });
            self.lost_answers +=
                lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>();
        }
        if metrics.contains(SECRET) || metrics.contains('@') {
            self.complain("a secret or an address in the metrics");
        }
    }

    /// What must never stand in a log.
    fn read(&mut self, process: &Freshet) {
        let log = process.log();
        self.log.push_str(&log);
        self.log.push('\n');
        for line in log.lines() {
            if line.contains(SECRET)
                || line.contains('@')
                || line.contains("a bug")
                || line.contains("panicked")
            {
                self.complain(line);
            }
        }
    }

    fn complain(&mut self, what: &str) {
        self.complaints.push(format!("replica {}: {what}", self.number));
    }
}

fn by_account(metrics: &str, name: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in
        metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')))
    {
        let account = line.split("account=\"").nth(1).unwrap().split('"').next().unwrap();
        let value: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        *sums.entry(account.to_owned()).or_default() += value;
    }
    sums
}
