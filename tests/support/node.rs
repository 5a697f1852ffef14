//! One RabbitMQ node: its files, its ports, its process.

use super::amqp::Amqp;
use super::broker::NodeTls;
use super::guard::{Container, Folder, Process};
use super::ports::{self, Port};
use super::server::{IMAGE, Server};
use super::tree::tail;
use super::{soon, target_dir};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Virtual hosts that a node starts with: creating one later costs the start of an Erlang VM.
pub const READY_VHOSTS: usize = 40;
/// How long a connection may take to open.
const ANSWER: Duration = Duration::from_secs(10);
const COOKIE: &str = "freshet-tests";

/// Erlang's port mapper, shared by the nodes of one cluster and by nobody else.
#[derive(Debug)]
pub struct PortMapper {
    port: Port,
    _process: Option<Process>,
}

impl PortMapper {
    pub fn start(server: &Server) -> Self {
        let port = ports::reserve();
        let process = match server {
            Server::Scripts { epmd, .. } => {
                let number = port.number.to_string();
                let address = [("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned())];
                Some(Process::spawn(&server.argv(epmd, &address, &["-port", &number]), |_| ()))
            }
            Server::Docker | Server::External { .. } => None,
        };
        Self { port, _process: process }
    }
}

/// A node that keeps its name, its ports and its data while its process comes and goes.
#[derive(Debug)]
pub struct Node {
    /// Declared first, so that the process ends before its ports and its folder are released.
    process: Mutex<Option<Process>>,
    server: Server,
    pub name: String,
    pub amqp: Port,
    /// For TLS, if it listens for that.
    pub amqps: Port,
    distribution: Port,
    mapper_port: u16,
    home: Folder,
    container: Option<Container>,
}

impl Node {
    /// Creates the files without starting the process.
    pub fn new(server: &Server, mapper: &PortMapper) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let short = format!("freshet-{}-{number}", std::process::id());
        let base = match server {
            Server::Scripts { root: Some(root), .. } => root.join("srv"),
            Server::Scripts { root: None, .. } | Server::Docker | Server::External { .. } => {
                target_dir().join("rabbitmq-nodes")
            }
        };
        Self {
            process: Mutex::new(None),
            server: server.clone(),
            name: format!("{short}@localhost"),
            amqp: ports::reserve(),
            amqps: ports::reserve(),
            distribution: ports::reserve(),
            mapper_port: mapper.port.number,
            home: Folder::create(base.join(&short)),
            container: matches!(server, Server::Docker).then(|| Container::named(short)),
        }
    }

    /// Writes the configuration: `peers` are the cluster's nodes, `extra` is added to `rabbitmq.conf`.
    pub fn configure(&self, peers: &[&str], plugins: &[String], extra: &str) {
        let (host, port) =
            if self.container.is_some() { ("0.0.0.0", 5672) } else { ("127.0.0.1", self.amqp.number) };
        let definitions = self.inside().join("definitions.json");
        let mut conf = format!(
            "listeners.tcp.1 = {host}:{port}\ndefinitions.import_backend = local_filesystem\ndefinitions.local.path = {}\n\
             definitions.skip_if_unchanged = true\n\
             log.console = true\nlog.console.level = info\nlog.file = false\n\
             disk_free_limit.absolute = 50MB\nloopback_users = none\n",
            definitions.display()
        );
        if peers.len() > 1 {
            conf.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
            for (number, peer) in peers.iter().enumerate() {
                writeln!(conf, "cluster_formation.classic_config.nodes.{} = {peer}", number + 1).unwrap();
            }
        }
        conf.push_str(extra);
        self.write("rabbitmq.conf", &conf);
        self.write("enabled_plugins", &format!("[{}].\n", plugins.join(",")));
        self.write("definitions.json", &definitions_with(READY_VHOSTS));
        if let Some(container) = &self.container {
            create_container(&container.name, self.amqp.number, self.home.path(), &self.inside());
            return;
        }
        self.write(".erlang.cookie", COOKIE);
        let private = PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(self.home.path().join(".erlang.cookie"), private).expect("a private cookie");
    }

    /// Writes the files for TLS, and returns the lines for `rabbitmq.conf`.
    pub fn listen_for_tls(&self, tls: &NodeTls) -> String {
        for (name, text) in [
            ("server.pem", &tls.identity.certificate),
            ("server.key", &tls.identity.key),
            ("clients.pem", &tls.clients),
        ] {
            self.write(name, text);
        }
        let file = |name: &str| self.inside().join(name).display().to_string();
        format!(
            "listeners.ssl.1 = 127.0.0.1:{}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.cacertfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
            self.amqps.number,
            file("server.pem"),
            file("server.key"),
            file("clients.pem"),
        )
    }

    /// Starts the process and returns before the broker is up; [`Node::ready`] waits for it.
    pub fn launch(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the node's log");
        let argv = match (&self.container, &self.server) {
            (Some(container), _) => {
                ["docker", "start", "--attach", &container.name].map(OsString::from).to_vec()
            }
            (None, Server::Scripts { bin, .. }) => {
                self.server.argv(&bin.join("rabbitmq-server"), &self.environment(), &[])
            }
            (None, Server::Docker | Server::External { .. }) => panic!("no node to start"),
        };
        *process = Some(Process::spawn(&argv, |command| {
            command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        }));
    }

    /// Waits until clients are served.
    pub async fn ready(&self) {
        let what = format!("{} accepts AMQP connections", self.name);
        soon(&what, async || {
            if let Some(status) = self.process().as_mut().and_then(Process::exited) {
                panic!("{} ended at its start ({status}):\n{}", self.name, tail(&self.log_path()));
            }
            // A node that is just pausing may take a connection and never answer on it.
            match timeout(ANSWER, Amqp::connect(&self.url("/"))).await {
                Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
                Err(late) => Err(late.to_string()),
            }
        })
        .await;
    }

    /// Stops the process gracefully.
    pub async fn stop(&self) {
        match &self.container {
            Some(container) => docker(&["stop", "--time", "60", &container.name]),
            None => self.process().as_ref().expect("the node runs").signal("TERM"),
        }
        let what = format!("{} stops", self.name);
        soon(&what, async || self.process().as_mut().and_then(Process::exited)).await;
        *self.process() = None;
    }

    /// Ends the process as a power cut would, half a second from now.
    ///
    /// RabbitMQ 4.0 writes down late which quorum queues a node has: one declared just before a power cut comes back
    /// without a leader, for ever (rabbitmq-server issue 15725). That is not ours to test, so it is written first.
    pub async fn kill(&self) {
        self.control(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
        self.kill_now();
    }

    /// [`Node::kill`] at once, for a moment in which no queue is new.
    pub fn kill_now(&self) {
        if let Some(container) = &self.container {
            docker(&["kill", &container.name]);
        }
        *self.process() = None;
    }

    /// SIGSTOP: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        match &self.container {
            Some(container) => docker(&["pause", &container.name]),
            None => self.process().as_ref().expect("the node runs").signal_group("STOP"),
        }
    }

    /// SIGCONT, after [`Node::freeze`].
    pub fn thaw(&self) {
        match &self.container {
            Some(container) => docker(&["unpause", &container.name]),
            None => self.process().as_ref().expect("the node runs").signal_group("CONT"),
        }
    }

    /// Runs `rabbitmqctl` on the node and returns what it prints.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut argv = match (&self.container, &self.server) {
            (Some(container), _) => {
                ["docker", "exec", &container.name, "rabbitmqctl"].map(OsString::from).to_vec()
            }
            (None, Server::Scripts { bin, .. }) => {
                self.server.argv(&bin.join("rabbitmqctl"), &self.environment(), &[])
            }
            (None, Server::Docker | Server::External { .. }) => panic!("no node to control"),
        };
        argv.extend(["-q", "-n", &self.name].map(OsString::from));
        argv.extend(arguments.iter().map(OsString::from));
        // Not by a wait that blocks: the sandbox may stand on the same thread.
        let run = tokio::process::Command::new(&argv[0]).args(&argv[1..]).output();
        let done = run.await.expect("rabbitmqctl starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "rabbitmqctl {} failed: {said}", arguments.join(" "));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Loads users, permissions and policies beside those that are there.
    pub async fn import_definitions(&self, definitions: &str) {
        self.write("imported.json", definitions);
        let file = self.inside().join("imported.json").display().to_string();
        if let Some(container) = &self.container {
            let here = self.home.path().join("imported.json").display().to_string();
            docker(&["cp", &here, &format!("{}:{file}", container.name)]);
        }
        self.control(&["import_definitions", &file]).await;
    }

    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{}", self.amqp.number, vhost.replace('/', "%2f"))
    }

    /// Everything that the node logged since its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        std::io::Write::write_all(&mut File::create(path).expect("a file of the node"), text.as_bytes())
            .expect("a file of the node");
    }

    /// The home as the node sees it.
    fn inside(&self) -> PathBuf {
        match &self.server {
            Server::Scripts { root: Some(root), .. } => {
                Path::new("/").join(self.home.path().strip_prefix(root).expect("a home in the tree"))
            }
            Server::Docker => "/etc/rabbitmq/freshet".into(),
            Server::Scripts { root: None, .. } | Server::External { .. } => self.home.path().to_owned(),
        }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let home = self.inside();
        let file = |name: &str| home.join(name).display().to_string();
        vec![
            ("HOME", home.display().to_string()),
            ("ERL_EPMD_PORT", self.mapper_port.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", self.name.clone()),
            ("RABBITMQ_DIST_PORT", self.distribution.number.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", file("data")),
            ("RABBITMQ_LOG_BASE", file("logs")),
            // One scheduler: many nodes share few cores. The port mapper is ours, so that it ends with the tests.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +SDcpu 1:1 +SDio 1 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
                    .into(),
            ),
            ("RABBITMQ_CTL_DIST_PORT_MIN", "33000".into()),
            ("RABBITMQ_CTL_DIST_PORT_MAX", "39999".into()),
        ]
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `guest` with every right on `/` and on the virtual hosts that tests are handed.
fn definitions_with(vhosts: usize) -> String {
    let names: Vec<String> = std::iter::once("/".to_owned()).chain((0..vhosts).map(vhost_name)).collect();
    let user = |vhost| serde_json::json!({"user": "guest", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"});
    serde_json::json!({
        "users": [{"name": "guest", "password": "guest", "tags": ["administrator"]}],
        "vhosts": names.iter().map(|name| serde_json::json!({"name": name})).collect::<Vec<_>>(),
        "permissions": names.iter().map(user).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The name of the virtual host with that number.
pub fn vhost_name(number: usize) -> String {
    format!("t{number}")
}

fn create_container(name: &str, port: u16, files: &Path, inside: &Path) {
    let publish = format!("127.0.0.1:{port}:5672");
    let conf = format!("RABBITMQ_CONFIG_FILE={}/rabbitmq.conf", inside.display());
    let plugins = format!("RABBITMQ_ENABLED_PLUGINS_FILE={}/enabled_plugins", inside.display());
    let node = format!("RABBITMQ_NODENAME={name}@localhost");
    docker(&[
        "create",
        "--name",
        name,
        "--publish",
        &publish,
        "--env",
        &conf,
        "--env",
        &plugins,
        "--env",
        &node,
        IMAGE,
    ]);
    // Copied, not mounted: the engine may be on another machine than the files.
    docker(&["cp", files.to_str().expect("a path in UTF-8"), &format!("{name}:{}", inside.display())]);
}

fn docker(arguments: &[&str]) {
    let done = Command::new("docker").args(arguments).output().expect("docker starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "docker {} failed: {said}", arguments.join(" "));
}
