//! A real RabbitMQ for tests: one shared by all tests of a test process, or one that a test may break.

use super::amqp::Amqp;
use super::node::{Node, PortMapper, READY_VHOSTS, vhost_name};
use super::server::{EXTERNAL_URL, Server};
use super::tls::Identity;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::OnceCell;

/// Settings that differ from those of a single plain node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// Lines for `rabbitmq.conf`, each with its line end: `"consumer_timeout = 5000\n"`.
    pub config: String,
    /// Plugins to enable.
    pub plugins: Vec<String>,
    /// Listens for TLS as well, with this certificate, and asks clients for one of the authority's.
    pub tls: Option<NodeTls>,
}

/// A node's own certificate, and the authority of those that clients must show.
#[derive(Debug, Clone)]
pub struct NodeTls {
    pub identity: Identity,
    /// In PEM.
    pub clients: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { nodes: 1, config: String::new(), plugins: Vec::new(), tls: None }
    }
}

/// A running RabbitMQ, or a cluster of nodes. Everything is gone when it is dropped or the test process ends.
#[derive(Debug)]
pub struct Broker {
    nodes: Vec<Node>,
    /// After the nodes, which are registered there.
    _mapper: Option<PortMapper>,
    external: Option<String>,
    vhosts: AtomicUsize,
}

impl Broker {
    /// The broker that the tests of this process share; take a [`Broker::vhost`] and never stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        SHARED
            .get_or_init(async || match Server::find() {
                Server::External { url } => Self::external(url),
                Server::Scripts { .. } | Server::Docker => Self::start_new(Settings::default()).await,
            })
            .await
    }

    /// A node that only this test uses, to stop, kill and freeze.
    pub async fn private() -> Self {
        Self::private_with(Settings::default()).await
    }

    /// The same with settings.
    pub async fn private_with(settings: Settings) -> Self {
        Self::start_new(settings).await
    }

    /// A cluster of `count` nodes that only this test uses.
    pub async fn cluster(count: usize) -> Self {
        Self::start_new(Settings { nodes: count, ..Settings::default() }).await
    }

    async fn start_new(settings: Settings) -> Self {
        let server = Server::find();
        match server {
            Server::External { .. } => panic!("this test stops nodes: it cannot run with {EXTERNAL_URL} set"),
            Server::Docker => assert!(
                settings.nodes == 1 && settings.tls.is_none(),
                "this test needs a cluster or TLS, which need rabbitmq-server 4 on the PATH, not a container"
            ),
            Server::Scripts { .. } => {}
        }
        let mapper = PortMapper::start(server);
        let nodes: Vec<Node> = (0..settings.nodes).map(|_| Node::new(server, &mapper)).collect();
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        for node in &nodes {
            let tls = settings.tls.as_ref().map(|tls| node.listen_for_tls(tls)).unwrap_or_default();
            node.configure(&names, &settings.plugins, &(settings.config.clone() + &tls));
            node.launch();
        }
        let broker = Self { nodes, _mapper: Some(mapper), external: None, vhosts: AtomicUsize::new(0) };
        for node in &broker.nodes {
            node.ready().await;
        }
        broker
    }

    fn external(url: &str) -> Self {
        Self { nodes: Vec::new(), _mapper: None, external: Some(url.into()), vhosts: AtomicUsize::new(0) }
    }

    /// A virtual host that no other test uses.
    pub async fn vhost(&self) -> Vhost {
        let number = self.vhosts.fetch_add(1, Ordering::Relaxed);
        if let Some(url) = &self.external {
            let prefix = format!("freshet-test-{}-{number}.", std::process::id());
            return Vhost { name: String::new(), urls: vec![url.clone()], prefix };
        }
        let name = vhost_name(number);
        if number >= READY_VHOSTS {
            self.control(&["add_vhost", &name]).await;
            self.control(&["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"]).await;
        }
        let urls = self.nodes.iter().map(|node| node.url(&name)).collect();
        Vhost { name, urls, prefix: String::new() }
    }

    /// The virtual host that every broker has, in which queues have this before their names.
    pub fn default_vhost(&self, prefix: &str) -> Vhost {
        let urls = self.nodes.iter().map(|node| node.url("/")).collect();
        Vhost { name: "/".to_owned(), urls, prefix: prefix.to_owned() }
    }

    /// Loads users, permissions and policies into the first node, beside those that are there.
    pub async fn import_definitions(&self, definitions: &str) {
        self.node(0).import_definitions(definitions).await;
    }

    /// A node by its number, from 0. Panics for an external broker.
    pub fn node(&self, number: usize) -> &Node {
        assert!(
            self.external.is_none(),
            "this test needs nodes of its own: it cannot run with {EXTERNAL_URL} set"
        );
        &self.nodes[number]
    }

    /// Starts every node that was stopped or killed, on its old ports with its old data.
    pub async fn start(&self) {
        for node in &self.nodes {
            node.launch();
        }
        for node in &self.nodes {
            node.ready().await;
        }
    }

    /// Stops every node gracefully.
    pub async fn stop(&self) {
        for node in &self.nodes {
            node.stop().await;
        }
    }

    /// Kills every node, as a power cut would.
    pub async fn kill(&self) {
        for node in &self.nodes {
            node.kill().await;
        }
    }

    /// Kills and starts again.
    pub async fn crash(&self) {
        self.kill().await;
        self.start().await;
    }

    /// Stops and starts again.
    pub async fn restart(&self) {
        self.stop().await;
        self.start().await;
    }

    /// The output of `rabbitmqctl` on the first node.
    pub async fn control(&self, arguments: &[&str]) -> String {
        self.node(0).control(arguments).await
    }
}

/// A test's own place on a broker.
#[derive(Debug, Clone)]
pub struct Vhost {
    /// Its name on the broker; empty for an external one.
    pub name: String,
    urls: Vec<String>,
    prefix: String,
}

impl Vhost {
    /// The address for a client, on the first node.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// The address on another node of the cluster.
    pub fn url_on(&self, node: usize) -> &str {
        &self.urls[node]
    }

    /// Where the first node listens, as `host:port`, for a proxy before it.
    pub fn addr(&self) -> String {
        let url = url::Url::parse(self.url()).expect("a URL");
        format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672))
    }

    /// The name to use for a queue: as given, or with a prefix where many tests share a virtual host.
    pub fn queue(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A connection to it.
    pub async fn connect(&self) -> Amqp {
        Amqp::connect(self.url()).await.expect("the broker accepts a connection")
    }
}
