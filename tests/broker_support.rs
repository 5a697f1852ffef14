//! The test support does what the tests that stand on it take for granted.

mod support;

use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{
    Amqp, Broker, Freshet, PATIENCE, Process, Proxy, Vhost, freshet, header, listen_address, next, soon,
};

#[tokio::test]
async fn a_message_comes_back_as_it_was_published() {
    let vhost = Broker::shared().await.vhost().await;
    let (amqp, queue) = quorum_queue(&vhost).await;

    amqp.publish(&queue, "one", &[("freshsales-account", "acme")]).await;
    amqp.publish(&queue, "two", &[]).await;

    soon("both wait", async || amqp.depth(&queue).await == Some(2)).await;
    let taken = amqp.take_all(&queue).await;
    assert_eq!(bodies(&taken), ["one", "two"]);
    assert_eq!(header(&taken[0], "freshsales-account").as_deref(), Some("acme"));
    assert_eq!(header(&taken[1], "freshsales-account"), None);
    assert_eq!(amqp.depth(&queue).await, Some(0));
}

#[tokio::test]
async fn virtual_hosts_do_not_see_each_other() {
    let broker = Broker::shared().await;
    let (here, there) = (broker.vhost().await, broker.vhost().await);
    let (amqp, queue) = quorum_queue(&here).await;
    amqp.publish(&queue, "only here", &[]).await;

    assert_eq!(there.connect().await.depth(&there.queue("events")).await, None);
    assert_eq!(amqp.take_all(&queue).await.len(), 1);
}

#[tokio::test]
async fn the_highest_priority_takes_over_a_single_active_consumer_queue() {
    let vhost = Broker::shared().await.vhost().await;
    let amqp = vhost.connect().await;
    let queue = vhost.queue("lane");
    amqp.declare_quorum(&queue, &[("x-single-active-consumer", AMQPValue::Boolean(true))]).await;
    let priority = |value| [("x-priority", AMQPValue::LongInt(value))];
    let (_low_channel, mut low) = amqp.consume(&queue, 1, &priority(1)).await;
    amqp.publish(&queue, "first", &[]).await;
    amqp.publish(&queue, "second", &[]).await;
    let first = next(&mut low).await;

    let (_high_channel, mut high) = amqp.consume(&queue, 1, &priority(2)).await;
    assert!(first.ack(BasicAckOptions::default()).await.unwrap());
    let second = next(&mut high).await;

    assert_eq!(bodies(&[first, second]), ["first", "second"]);
}

#[tokio::test]
async fn a_killed_node_comes_back_with_its_messages() {
    let broker = Broker::private().await;
    let vhost = broker.vhost().await;
    let (amqp, queue) = quorum_queue(&vhost).await;
    amqp.publish(&queue, "kept", &[]).await;

    broker.kill().await;
    assert!(Amqp::connect(vhost.url()).await.is_err(), "a killed node serves nobody");
    broker.start().await;

    let amqp = vhost.connect().await;
    assert_eq!(bodies(&amqp.take_all(&queue).await), ["kept"]);
    broker.restart().await;
    assert_eq!(vhost.connect().await.depth(&queue).await, Some(0));
}

#[tokio::test]
async fn a_cluster_outlives_one_of_its_nodes() {
    let broker = Broker::cluster(3).await;
    let vhost = broker.vhost().await;
    let (amqp, queue) = quorum_queue(&vhost).await;
    amqp.publish(&queue, "kept", &[]).await;

    broker.node(0).kill().await;

    let elsewhere = Amqp::connect(vhost.url_on(1)).await.unwrap();
    soon("a new leader serves the queue", async || elsewhere.depth(&queue).await == Some(1)).await;
    assert_eq!(bodies(&elsewhere.take_all(&queue).await), ["kept"]);
}

#[tokio::test]
async fn a_proxy_cuts_resets_refuses_and_goes_on() {
    let vhost = Broker::shared().await.vhost().await;
    let proxy = Proxy::to(&vhost.addr()).await;
    let url = proxy.url(vhost.url());

    for end in [Proxy::cut, Proxy::reset] {
        let amqp = Amqp::connect(&url).await.unwrap();
        assert_eq!(proxy.open(), 1);
        end(&proxy);
        soon("the client sees the end", async || !amqp.connection.status().connected()).await;
        soon("the proxy lets go", async || proxy.open() == 0).await;
    }

    proxy.refuse().await;
    assert!(Amqp::connect(&url).await.is_err(), "a proxy that refuses lets nobody in");
    proxy.pass().await;
    assert!(Amqp::connect(&url).await.is_ok());
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn a_proxy_that_hangs_holds_back_and_loses_nothing() {
    let vhost = Broker::shared().await.vhost().await;
    let (direct, queue) = quorum_queue(&vhost).await;
    let proxy = Proxy::to(&vhost.addr()).await;
    let amqp = Amqp::connect(&proxy.url(vhost.url())).await.unwrap();

    proxy.hang().await;
    let mut publish = std::pin::pin!(amqp.publish(&queue, "held back", &[]));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut publish).await.is_err(),
        "nothing gets through"
    );
    assert_eq!(direct.depth(&queue).await, Some(0));
    proxy.pass().await;
    publish.await;

    assert_eq!(direct.depth(&queue).await, Some(1));
}

#[tokio::test]
async fn a_frozen_node_keeps_its_connections_and_answers_nothing() {
    let broker = Broker::private().await;
    let vhost = broker.vhost().await;
    let (amqp, queue) = quorum_queue(&vhost).await;

    broker.node(0).freeze();
    let mut publish = std::pin::pin!(amqp.publish(&queue, "late", &[]));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut publish).await.is_err(), "nobody answers");
    broker.node(0).thaw();
    publish.await;

    assert_eq!(amqp.depth(&queue).await, Some(1));
}

/// Runs itself once more, so that there is a test process to kill.
#[tokio::test]
async fn what_a_killed_test_process_had_started_ends_with_it() {
    const VICTIM: &str = "FRESHET_TEST_VICTIM";
    if std::env::vars_os().any(|(name, _)| name == VICTIM) {
        let script = "sleep 600 & echo started; wait";
        let _process = Process::spawn(&["sh".into(), "-c".into(), script.into()], |_| ());
        return std::future::pending().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "what_a_killed_test_process_had_started_ends_with_it"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("started")));

    victim.kill().unwrap();
    victim.wait().unwrap();

    // Whatever is left of the group holds the pipe open.
    let end = tokio::task::spawn_blocking(move || lines.for_each(drop));
    tokio::time::timeout(PATIENCE, end).await.expect("the group ends").unwrap();
}

#[tokio::test]
async fn a_program_is_run_and_its_end_is_seen() {
    let mut running = Freshet::start_command(&["--help"], "", &[]);
    assert!(running.exit().await.success());

    let done = freshet(&["--help"], std::env::temp_dir().as_path(), &[], b"ignored");
    assert!(done.status.success());
}

#[test]
fn the_address_is_read_from_a_log_line() {
    let expected = Some("127.0.0.1:40123".parse().unwrap());
    assert_eq!(listen_address("INFO serving http.listen=127.0.0.1:40123 lanes=2"), expected);
    assert_eq!(listen_address(r#"{"fields":{"http.listen":"127.0.0.1:40123","lanes":2}}"#), expected);
    assert_eq!(listen_address("http.listen=[::1]:9464"), Some("[::1]:9464".parse().unwrap()));
    assert_eq!(listen_address("http.listen=soon"), None);
}

async fn quorum_queue(vhost: &Vhost) -> (Amqp, String) {
    let amqp = vhost.connect().await;
    let queue = vhost.queue("events");
    amqp.declare_quorum(&queue, &[]).await;
    (amqp, queue)
}

fn bodies(deliveries: &[lapin::message::Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.data).into_owned()).collect()
}
