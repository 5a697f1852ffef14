//! `freshet status`, asked of a replica that is well, of one that is not, and of what is no replica.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Freshet, freshet, script};
use crate::world::World;

/// Runs the command beside the test, without any secret.
async fn status(arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments: Vec<String> =
        std::iter::once("status").chain(arguments.iter().copied()).map(str::to_owned).collect();
    let running = tokio::task::spawn_blocking(move || {
        let folder = TempDir::new().unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        freshet(&arguments, folder.path(), &[], b"")
    });
    said(&running.await.unwrap())
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn url(replica: &Freshet) -> String {
    format!("http://{}", replica.http_addr().await)
}

#[tokio::test]
async fn a_replica_s_accounts_are_shown_as_a_table_and_as_json() {
    let world = World::of_two().await;
    let replica = world.start("worker-0").await;
    for (id, trait_name) in [("1", "firstName"), ("2", "cfGone")] {
        let event = json!({"type": "identify", "messageId": id, "userId": "ada@example.com", "writeKey": "a",
            "traits": {trait_name: "Ada"}});
        world.publish(event.to_string()).await;
    }
    assert_eq!(world.dead_letters(1).await.len(), 1);
    world.settled(&[&replica]).await;
    let url = url(&replica).await;
    let (code, table, error) = status(&["--url", &url]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.starts_with("2 accounts: "), "{table}");
    for part in ["RabbitMQ is connected", "1 dead letter since the start", "replica worker-0", "version "] {
        assert!(table.lines().next().unwrap().contains(part), "{table}");
    }
    assert_eq!(
        lines[2].join(" "),
        "ACCOUNT STATE SINCE WAITING IN FLIGHT DELIVERED SKIPPED DEAD CALLS REPLICA"
    );
    let alone =
        "Of replica worker-0 alone, which counts from its start: IN FLIGHT, DELIVERED, SKIPPED, DEAD, CALLS.";
    assert_eq!(table.lines().filter(|line| *line == alone).count(), 1, "{table}");
    let acme = lines.iter().find(|line| line.first() == Some(&"acme")).unwrap();
    assert_eq!((acme[1], &acme[5..9], acme[10]), ("flowing", &["0", "1", "0", "1"][..], "now,"), "{table}");

    let (code, json, error) = status(&["--url", &format!("{url}/"), "--json"]).await;
    assert_eq!((code, error.as_str(), json.lines().count()), (Some(0), "", 1), "{json}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["replica"], json["accounts"].as_array().unwrap().len()), (&json!("worker-0"), 2));
    assert_eq!(status(&["--url", &url, "--ready"]).await, (Some(0), String::new(), String::new()));
    world.finish([replica]).await;
}

#[tokio::test]
async fn the_address_comes_from_the_configuration_and_no_secret_is_asked_for() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let port = replica.http_addr().await.port();
    let folder = TempDir::new().unwrap();
    let config =
        world.config_at("amqp://127.0.0.1:1/", "one").replace("127.0.0.1:0", &format!("0.0.0.0:{port}"));
    std::fs::write(folder.path().join("freshet.toml"), config).unwrap();
    let asked =
        tokio::task::spawn_blocking(move || script("\"$FRESHET\" status --ready", folder.path(), &[]));
    assert_eq!(said(&asked.await.unwrap()), (Some(0), String::new(), String::new()));
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_replica_that_is_not_ready_says_why() {
    let world = World::with_acme().await;
    let mut replica = Freshet::start(&world.config_at("amqp://127.0.0.1:1/", "one"), &World::environment());
    replica.line("not connected to the broker").await;
    let url = url(&replica).await;
    let (code, out, error) = status(&["--url", &url, "--ready"]).await;
    assert_eq!((code, out.as_str(), error.lines().count()), (Some(1), "", 1));
    assert!(error.starts_with("freshet: not ready: ") && error.contains("refused"), "{error}");
    let (code, table, _) = status(&["--url", &url]).await;
    assert!(code == Some(0) && table.lines().next().unwrap().contains("RabbitMQ: "), "{table}");
    replica.stop().await;
}

#[tokio::test]
async fn what_does_not_answer_as_a_replica_does_is_told_apart_and_waited_for_no_longer_than_said() {
    // Nobody listens there.
    let (code, _, error) = status(&["--url", "http://127.0.0.1:1", "--ready"]).await;
    assert!(code == Some(1) && error.contains("cannot connect to 127.0.0.1:1"), "{error}");
    assert!(error.contains("http.listen"), "{error}");

    // Takes connections, and answers nothing.
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", hung.local_addr().unwrap());
    let arguments = ["--url", &url, "--ready"];
    let asked = tokio::time::timeout(Duration::from_mins(1), status(&arguments));
    let (code, out, error) = asked.await.unwrap();
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("does not answer within 3 s"), "{error}");

    // Other programs.
    for (answer, words) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "does not answer as a replica does"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP 200"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", "does not answer as a replica does"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "HTTP 404"),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 6\r\n\r\nsorry\n", "HTTP 503"),
        ("", "does not answer as a replica does"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Read first: a close with bytes unread is a reset.
                let mut request = [0; 1024];
                tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.ok();
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        for option in ["--ready", "--json"] {
            let (code, out, error) = status(&["--url", &url, option]).await;
            assert_eq!((code, out.as_str()), (Some(1), ""), "{answer:?}: {error}");
            assert!(error.contains(words) && error.contains("another program"), "{answer:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_replica_that_hangs_is_not_waited_for() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let url = url(&replica).await;
    replica.signal("STOP");
    let (code, _, error) = status(&["--url", &url, "--ready"]).await;
    replica.signal("CONT");
    assert!(code == Some(1) && error.contains("the replica hangs"), "{error}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn wrong_usage_is_told_at_once() {
    for (arguments, words) in [
        (&["--url", "https://127.0.0.1:1"][..], "plain http"),
        (&["--url", "here"], "such as http://127.0.0.1:9464"),
        (&["--ready", "--json"], "cannot be used with"),
        (&[], "name a file with --config"),
    ] {
        let (code, _, error) = status(arguments).await;
        assert!(code == Some(64) && error.contains(words), "{arguments:?}: {error}");
    }
}
