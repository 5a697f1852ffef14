//! TLS with authorities that the system does not trust, and with certificates of clients.

use std::fmt::Write as _;
use std::path::Path;

use tempfile::TempDir;

use crate::commands::folder;
use crate::events::{addressed, arrived, track};
use crate::support::{Authority, Broker, Freshet, NodeTls, Settings, TlsFront, freshet, soon};
use crate::world::World;

/// A RabbitMQ that asks clients for a certificate, and a world on it.
struct Stage {
    broker: Broker,
    world: World,
    /// Of the broker's certificate.
    servers: Authority,
    /// Of those that the broker wants to see.
    clients: Authority,
    /// Authorities, certificates and keys.
    files: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let tls = NodeTls { identity: servers.issue("localhost"), clients: clients.certificate.clone() };
        let broker = Broker::private_with(Settings { tls: Some(tls), ..Settings::default() }).await;
        let world = World::on(broker.vhost().await).await.account("acme", "").await;
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("servers.pem"), &servers.certificate).unwrap();
        clients.issue("freshet").write(files.path(), "client");
        Authority::new("strangers").issue("freshet").write(files.path(), "stranger");
        Self { broker, world, servers, clients, files }
    }

    /// The configuration of a replica, with these keys of `[broker]`.
    fn config(&self, host: &str, keys: &[String]) -> String {
        let port = self.broker.node(0).amqps.number;
        let url = format!("amqps://guest:guest@{host}:{port}/{}", self.world.vhost.name);
        let mut lines = "[broker]\n".to_owned();
        for key in keys {
            writeln!(lines, "{key}").unwrap();
        }
        self.world.config_at(&url, "one").replacen("[broker]\n", &lines, 1)
    }

    fn trusted(&self) -> String {
        format!("ca_file = '{}'", self.files.path().join("servers.pem").display())
    }

    fn identity(&self, name: &str) -> String {
        let at = self.files.path().join(name);
        let at = at.display();
        format!("client_certificate = '{at}.pem'\nclient_key = {{ file = '{at}.key' }}")
    }

    async fn says(&self, host: &str, keys: &[String], expected: &str) {
        let mut replica = Freshet::start(&self.config(host, keys), &World::environment());
        replica.line(expected).await;
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_broker_that_asks_for_certificates_is_reached_with_them_and_the_log_says_what_is_missing() {
    let stage = Stage::set().await;
    let (trusted, own) = (stage.trusted(), stage.identity("client"));
    for (host, keys, expected) in [
        ("localhost", vec![own.clone()], "in broker.ca_file"),
        (
            "127.0.0.1",
            vec![trusted.clone(), own.clone()],
            "broker.url needs the name that the certificate is for",
        ),
        (
            "localhost",
            vec![trusted.clone()],
            "it asks for a client certificate; set broker.client_certificate and broker.client_key",
        ),
        (
            "localhost",
            vec![trusted.clone(), stage.identity("stranger")],
            "it does not accept the certificate of broker.client_certificate",
        ),
    ] {
        stage.says(host, &keys, expected).await;
    }

    let replica = Freshet::start(&stage.config("localhost", &[trusted, own]), &World::environment());
    replica.ready().await;
    stage.world.publish_all((0..20).map(|contact| track(contact, 0).to_string())).await;
    stage.world.settled(&[&replica]).await;
    assert_eq!(arrived(&stage.world.state("acme")).len(), 20);
    let connections = stage.broker.control(&["list_connections", "ssl", "peer_cert_subject"]).await;
    assert!(connections.contains("freshet"), "{connections}");
    stage.world.finish([replica]).await;
}

#[tokio::test]
async fn certificates_that_are_replaced_are_used_for_the_next_connection() {
    let stage = Stage::set().await;
    let keys = [stage.trusted(), stage.identity("own")];
    Authority::new("yesterday").issue("freshet").write(stage.files.path(), "own");
    let replica = Freshet::start(&stage.config("localhost", &keys), &World::environment());
    replica.line("it does not accept the certificate").await;
    stage.clients.issue("freshet").write(stage.files.path(), "own");
    replica.ready().await;
    // The authority, too.
    let authority = stage.files.path().join("servers.pem");
    std::fs::write(&authority, Authority::new("tomorrow").certificate).unwrap();
    for connection in stage.broker.control(&["list_connections", "pid", "ssl"]).await.lines() {
        if let Some(id) = connection.strip_suffix("\ttrue") {
            stage.broker.control(&["close_connection", id, "the test asks for it"]).await;
        }
    }
    replica.line("in broker.ca_file").await;
    std::fs::write(&authority, &stage.servers.certificate).unwrap();
    replica.ready().await;
    stage.world.publish_all([track(0, 0).to_string()]).await;
    stage.world.settled(&[&replica]).await;
    stage.world.finish([replica]).await;
}

#[tokio::test]
async fn publish_uses_the_broker_s_files_and_no_account_s_secrets() {
    let stage = Stage::set().await;
    stage.world.start("early").await.stop().await;
    let config = stage.config("localhost", &[stage.trusted(), stage.identity("client")]);
    let url =
        config.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().trim_matches('"').to_owned();
    let folder = folder(&config.replacen(&format!("url = \"{url}\""), "url = { file = \"url\" }", 1));
    std::fs::write(folder.path().join("url"), url + "\n").unwrap();
    std::fs::write(folder.path().join("events.ndjson"), track(0, 0).to_string() + "\n").unwrap();
    let output = publish(folder.path());
    assert_eq!(output.0, Some(0), "{}", output.1);
    assert!(output.1.contains("1 event on"), "{}", output.1);
    std::fs::remove_file(folder.path().join("url")).unwrap();
    let output = publish(folder.path());
    assert_eq!(output.0, Some(64), "{}", output.1);
    assert!(output.1.contains("broker.url: cannot read url"), "{}", output.1);
    assert!(!output.1.contains("api_key"), "{}", output.1);
}

/// Without any secret in the environment.
fn publish(folder: &Path) -> (Option<i32>, String) {
    let output = freshet(&["publish", "events.ndjson"], folder, &[], b"");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

#[tokio::test]
async fn an_account_behind_a_private_authority_is_trusted_by_its_own_file_alone() {
    let names = ["acme", "globex", "initech"];
    let mut world = World::shared().await;
    for name in names {
        world = world.account(name, &format!("write_keys = [\"{name}\"]")).await;
    }
    // Two behind TLS with the same kind of certificate, of which one names the authority; the third is plain.
    let mut config = world.config_at(world.vhost.url(), "one");
    let mut fronts = Vec::new();
    for name in ["acme", "globex"] {
        let front = TlsFront::to(&world.at(name).address.to_string()).await;
        let plain = format!("url = \"http://{}\"", world.at(name).address);
        let mut secured = format!("url = \"https://localhost:{}\"", front.port);
        if name == "acme" {
            write!(secured, "\nca_file = {:?}", front.authority()).unwrap();
        }
        config = config.replacen(&plain, &secured, 1);
        fronts.push(front);
    }
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    for name in names {
        world.publish_all([addressed(track(0, 0), name)]).await;
    }
    for name in ["acme", "initech"] {
        soon("the event arrives", async || arrived(&world.state(name)).len() == 1).await;
    }
    assert!(replica.line("why=\"Freshsales cannot be reached\"").await.contains("account=globex"));
    assert!(arrived(&world.state("globex")).is_empty());

    // Once the file is named, the lane goes on without a restart.
    let globex = format!("url = \"https://localhost:{}\"", fronts[1].port);
    let named = format!("{globex}\nca_file = {:?}", fronts[1].authority());
    std::fs::write(replica.config_file(), config.replacen(&globex, &named, 1)).unwrap();
    replica.signal("HUP");
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("globex")).len(), 1);
    world.finish([replica]).await;
}
