//! Something other than a broker at the broker's address: the log says what it is, and it costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::events::{arrived, track};
use crate::support::{Freshet, TlsFront, soon};
use crate::world::World;

/// Sends these words to each client that connects, and hangs up if asked to; else it stays silent and keeps the connection.
struct Peer {
    port: u16,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Peer {
    async fn new(words: &'static [u8], hangs_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut kept = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                kept.spawn(async move {
                    let mut heard = [0; 4096];
                    if !words.is_empty() {
                        // An answer, not a greeting.
                        _ = socket.read(&mut heard).await;
                        _ = socket.write_all(words).await;
                    }
                    while !hangs_up && matches!(socket.read(&mut heard).await, Ok(1..)) {}
                });
            }
        });
        Self { port, accepted, _tasks: tasks }
    }
}

#[tokio::test]
async fn a_peer_that_is_no_broker_is_told_as_what_it_is() {
    let world = World::with_acme().await;
    let broker = world.vhost.addr();
    let broker_port = broker.rsplit(':').next().unwrap().parse().unwrap();
    let http = Peer::new(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", true).await;
    let tls = Peer::new(b"\x15\x03\x03\0\x02\x02\x46", true).await;
    let other = Peer::new(b"AMQP\0\x01\0\0", true).await;
    let closing = Peer::new(b"", true).await;
    let ssh = Peer::new(b"SSH-2.0-OpenSSH_9.2\r\n", false).await;
    for (scheme, port, expected) in [
        ("amqp", http.port, "answers in HTTP"),
        ("amqp", tls.port, "write amqps://"),
        ("amqp", other.port, "speaks AMQP 1.0"),
        ("amqp", closing.port, "without a word"),
        ("amqp", ssh.port, "something that is not AMQP"),
        ("amqps", http.port, "write amqp://"),
        ("amqps", broker_port, "write amqp://"),
        ("amqps", closing.port, "at the TLS handshake"),
    ] {
        let url = format!("{scheme}://guest:s3cret@127.0.0.1:{port}/%2f");
        let mut replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
        replica.line(expected).await;
        soon("/readyz says it", async || replica.get("/readyz").await.1.contains(expected)).await;
        replica.stop().await;
        assert!(!replica.log().contains("s3cret"), "{}", replica.log());
    }
}

#[tokio::test]
async fn a_peer_that_stays_silent_leaves_no_thread_and_no_socket_behind() {
    let world = World::with_acme().await;
    for scheme in ["amqp", "amqps"] {
        let silent = Peer::new(b"", false).await;
        let url = format!("{scheme}://127.0.0.1:{}/%2f?connection_timeout=100", silent.port);
        let mut replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
        let tried = async |times| {
            soon("it tries again and again", async || silent.accepted.load(Ordering::Relaxed) >= times).await;
        };
        tried(1).await;
        let before = replica.threads_and_files();
        tried(8).await;
        soon("nothing is left of the attempts", async || {
            let now = replica.threads_and_files();
            // The attempt that is under way may be there once more; a worker may have started meanwhile.
            if now.0 <= before.0 + 2 && now.1 <= before.1 + 2 {
                Ok(())
            } else {
                Err(format!("{before:?} {now:?}"))
            }
        })
        .await;
        replica.line("within 0.15 s; is it an AMQP port?").await;
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_broker_behind_tls_is_reached_by_those_who_trust_its_authority() {
    let world = World::with_acme().await;
    let front = TlsFront::to(&world.vhost.addr()).await;
    let url = format!("amqps://guest:guest@localhost:{}/{}", front.port, world.vhost.name);
    let config = world.config_at(&url, "one");

    let mut wary = Freshet::start(&config, &World::environment());
    wary.line("its certificate is not accepted").await;
    wary.stop().await;

    let authority = front.authority().display().to_string();
    let environment = [World::environment()[0], ("SSL_CERT_FILE", authority.as_str())];
    let replica = Freshet::start(&config, &environment);
    replica.ready().await;
    world.publish_all((0..20).map(|contact| track(contact, 0).to_string())).await;
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme")).len(), 20);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_wrong_parameter_of_the_address_is_named_at_the_start() {
    let world = World::with_acme().await;
    for (parameters, named) in
        [("heartbeat=abc", "heartbeat"), ("channel_max=x", "channel_max"), ("hartbeat=5", "hartbeat")]
    {
        let url = format!("amqp://guest:s3cret@localhost/%2f?{parameters}");
        let mut replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
        assert_eq!(replica.exit().await.code(), Some(64), "{}", replica.log());
        let line = replica.line("broker.url").await;
        assert!(line.contains(named) && !replica.log().contains("s3cret"), "{}", replica.log());
    }
}
