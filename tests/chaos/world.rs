//! The world of one run: a cluster, replicas, accounts, and a breakable network between all of them.

use std::net::SocketAddr;
use std::time::Duration;

use freshet::sandbox::{
    FieldFiles, IncludedDeals, JobOptions, JobReport, Options, ReadOptions, Sandbox, SearchInclude,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::MARKS;
use crate::related::Deals;
use crate::replica::Replica;
use crate::settings::Settings;
use crate::support::{self, Amqp, Broker, Doubler, Freshet, Proxy, Vhost, post, put};

/// Nodes of the cluster.
pub const NODES: usize = 3;
/// `broker.prefetch`.
pub const PREFETCH: usize = 50;
/// The intake.
pub const QUEUE: &str = "events";
const NAMES: [&str; 8] = ["acme", "globex", "initech", "hooli", "umbrella", "stark", "wayne", "wonka"];
/// How long searches of each account do not see a write, in seconds.
const SEARCH_DELAYS: [u64; 8] = [3, 0, 5, 6, 2, 4, 1, 3];
/// What stands in for every key and token; it must appear in no log, page or dead letter.
pub const SECRET: &str = "secret-key-0815";

/// One account: its sandbox, and the network before it.
pub struct Site {
    pub name: &'static str,
    pub takes_pages: bool,
    /// What its deals are known by; `None` where no event has one.
    pub deals: Option<Deals>,
    /// How long its searches do not see a write.
    search_delay: Duration,
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    pub proxy: Proxy,
}

impl Site {
    /// Makes the sandbox misbehave.
    pub async fn fault(&self, faults: Value) {
        let (status, body) = post(self.address, "/_sandbox/faults", &faults.to_string()).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// Changes options of the sandbox.
    pub async fn options(&self, options: &Value) {
        let (status, body) = put(self.address, "/_sandbox/options", &options.to_string()).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// How many requests misbehaviour has struck.
    pub async fn struck(&self) -> u64 {
        let (_, shown) = support::get(self.address, "/_sandbox/faults").await.unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["faults"].as_array().unwrap().iter().filter_map(|fault| fault["struck"].as_u64()).sum()
    }

    /// Ends all misbehaviour; returns how many requests it struck.
    pub async fn calm(&self) -> u64 {
        let struck = self.struck().await;
        let (status, body) = support::delete(self.address, "/_sandbox/faults").await.unwrap();
        assert_eq!(status, 200, "{body}");
        struck
    }
}

/// A daemon with an account and queues of its own, which nothing befalls but what befalls the cluster and the machine.
pub struct Bystander {
    pub process: Freshet,
    pub sandbox: Sandbox,
}

/// On each connection's way, the first delivery that has this text is handed out twice.
pub const TWICE: &str = "twice-";

/// Its intake.
pub const APART: &str = "apart";

/// Everything of one run.
pub struct World {
    /// Before the cluster, which they would miss.
    pub replicas: Vec<Replica>,
    pub sites: Vec<Site>,
    pub bystander: Bystander,
    /// Behind each replica's proxies.
    pub doublers: Vec<Vec<Doubler>>,
    pub vhost: Vhost,
    pub broker: Broker,
    seed: u64,
    _tasks: JoinSet<std::io::Result<()>>,
    _fields: TempDir,
}

impl Drop for World {
    /// Leaves the logs of replicas and nodes where they can be read, if the test fails.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}", self.seed));
        let mut kept = std::fs::create_dir_all(&folder);
        for replica in &self.replicas {
            let file = folder.join(format!("replica-{}.log", replica.number));
            kept = kept.and_then(|()| std::fs::write(file, replica.whole_log()));
        }
        for node in 0..NODES {
            let file = folder.join(format!("node-{node}.log"));
            kept = kept.and_then(|()| std::fs::write(file, self.broker.node(node).log()));
        }
        println!("the logs are in {} ({kept:?})", folder.display());
    }
}

impl World {
    pub async fn build(settings: &Settings) -> Self {
        // A minority pauses, as clusters of three are run: otherwise the two sides of a partition go on apart, and
        // RabbitMQ needs a person to bring them together.
        let config = format!(
            "cluster_partition_handling = pause_minority\nqueue_leader_locator = balanced\nframe_max = {}\n",
            settings.frame_max
        );
        let nodes = support::Settings { nodes: NODES, config, ..support::Settings::default() };
        let broker = Broker::private_with(nodes).await;
        let vhost = broker.vhost().await;

        let fields = fields();
        let mut tasks = JoinSet::new();
        let mut sites = Vec::new();
        for (number, name) in NAMES.into_iter().take(settings.accounts).enumerate() {
            let (sandbox, address) = sandbox(number, &fields, &mut tasks).await;
            let proxy = Proxy::to(&address.to_string()).await;
            let deals = match number {
                _ if number == settings.without_deals() => None,
                1 | 4 | 7 => Some(Deals::ByName),
                _ => Some(Deals::OfContacts),
            };
            let search_delay = Duration::from_secs(SEARCH_DELAYS[number]);
            sites.push(Site { name, takes_pages: number != 2, deals, search_delay, sandbox, address, proxy });
        }

        let (apart, address) = sandbox(0, &fields, &mut tasks).await;
        let urls: Vec<String> =
            (0..NODES).map(|node| format!("\"{}?heartbeat=4\"", vhost.url_on(node))).collect();
        let config = general(APART, APART, &urls) + &account(APART, &address.to_string(), true, None);
        let process = Freshet::start(&config, &[("TEST_KEY", SECRET)]);
        let bystander = Bystander { process, sandbox: apart };

        let mut world = Self {
            replicas: Vec::new(),
            sites,
            bystander,
            doublers: Vec::new(),
            vhost,
            broker,
            seed: settings.seed,
            _tasks: tasks,
            _fields: fields,
        };
        for number in 0..settings.replicas {
            let (mut lines, mut doublers) = (Vec::new(), Vec::new());
            for node in 0..NODES {
                let direct = url::Url::parse(world.vhost.url_on(node)).unwrap();
                let doubler = Doubler::to(&format!("127.0.0.1:{}", direct.port().unwrap()), TWICE).await;
                let before = url::Url::parse(&doubler.url(direct.as_str())).unwrap();
                doublers.push(doubler);
                lines.push(Proxy::to(&format!("127.0.0.1:{}", before.port().unwrap())).await);
            }
            let config = world.config(number, &lines);
            world.replicas.push(Replica::start(number, config, lines));
            world.doublers.push(doublers);
        }
        for replica in &world.replicas {
            replica.ready().await;
        }
        world.bystander.process.ready().await;
        // What `Node::kill` does before each power cut, here once: no queue is made later.
        for node in 0..NODES {
            world.broker.node(node).control(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
        }
        world
    }

    fn config(&self, replica: usize, lines: &[Proxy]) -> String {
        let urls: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(node, line)| format!("\"{}?heartbeat=4\"", line.url(self.vhost.url_on(node))))
            .collect();
        let accounts = self.sites.iter().map(|Site { name, takes_pages, deals, proxy, .. }| {
            account(name, &proxy.addr().to_string(), *takes_pages, *deals)
        });
        general(QUEUE, &Replica::name(replica), &urls) + &accounts.collect::<String>()
    }

    /// From now on searches see writes late; what was written before they see at once.
    pub async fn delay_searches(&self) {
        for site in &self.sites {
            site.options(&json!({"search_delay_ms": site.search_delay.as_millis()})).await;
        }
    }

    /// The names of intake and lanes.
    pub fn queues(&self) -> Vec<String> {
        let lanes = self.sites.iter().map(|site| format!("{QUEUE}.lane.{}", site.name));
        std::iter::once(QUEUE.to_owned()).chain(lanes).collect()
    }

    /// What is queued or held by a replica.
    pub async fn busy(&self, amqp: &Amqp) -> Vec<String> {
        let mut busy = Vec::new();
        for queue in self.queues() {
            let depth = amqp.depth(&queue).await;
            if depth != Some(0) {
                busy.push(format!("{depth:?} on {queue}"));
            }
        }
        for replica in &self.replicas {
            let in_flight = replica.in_flight().await;
            if in_flight > 0 {
                busy.push(format!("{in_flight} held by replica {}", replica.number));
            }
        }
        busy
    }
}

/// An account's sandbox on a socket.
async fn sandbox(
    number: usize,
    fields: &TempDir,
    tasks: &mut JoinSet<std::io::Result<()>>,
) -> (Sandbox, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sandbox = Sandbox::new(Options {
        fields: FieldFiles::load(fields.path()).unwrap(),
        requests_per_hour: Some(10_000_000),
        // Slower than events come, so that lanes and windows are never empty for long.
        latency: Duration::from_millis(40),
        jobs: JobOptions {
            report: if number == 1 { JobReport::Counts } else { JobReport::Rows },
            ..JobOptions::default()
        },
        reads: ReadOptions {
            search_include: if number == 2 { SearchInclude::Ignored } else { SearchInclude::Honoured },
            included_deals: if number % 2 == 1 { IncludedDeals::Beside } else { IncludedDeals::Inside },
            ..ReadOptions::default()
        },
        ..Options::default()
    });
    let served = sandbox.clone();
    tasks.spawn(async move { served.serve(listener, CancellationToken::new()).await });
    (sandbox, address)
}

/// A configuration without its accounts.
fn general(queue: &str, replica: &str, urls: &[String]) -> String {
    format!(
        "[broker]\nurl = [{}]\nqueue = \"{queue}\"\nreplica = \"{replica}\"\nprefetch = {PREFETCH}\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [delivery]\nrequest_timeout = \"2s\"\nshutdown_grace = \"10s\"\n[log]\nlevel = \"info,freshet=debug\"\n",
        urls.join(", ")
    )
}

/// One account of a configuration.
fn account(name: &str, address: &str, takes_pages: bool, deals: Option<Deals>) -> String {
    let events = if takes_pages { "" } else { "events = [\"identify\", \"track\"]\n" };
    let identity = match deals {
        Some(Deals::ByName) => "deal_identity = \"name\"\n",
        Some(Deals::OfContacts) | None => "",
    };
    format!(
        "[[accounts]]\nname = \"{name}\"\nurl = \"http://{address}\"\napi_key = {{ env = \"TEST_KEY\" }}\n\
         app_token = {{ env = \"TEST_KEY\" }}\nrequests_per_hour = 10000000\n\
         tracking_requests_per_minute = 100000\nwrite_keys = [\"{name}\"]\n{events}{identity}\n"
    )
}

/// The built-in contact fields, and one for each identify of a contact.
fn fields() -> TempDir {
    let built_in = include_str!("../../src/sandbox/metadata/contacts.json");
    let mut contacts: Value = serde_json::from_str(built_in).unwrap();
    let list = contacts["fields"].as_array_mut().unwrap();
    for mark in 0..MARKS {
        list.push(json!({
            "id": 402_000_009_000_u64 + mark as u64, "label": format!("Mark {mark}"), "name": format!("cf_mark_{mark}"),
            "type": "number", "default": false, "actionable": true, "position": 100 + mark, "choices": [],
            "base_model": "Contact", "required": false, "quick_add_position": null, "visible": true
        }));
    }
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("contacts.json"), contacts.to_string()).unwrap();
    folder
}
