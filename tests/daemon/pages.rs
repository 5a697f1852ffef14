//! The pages, asked by those who say nothing, read nothing, or come in crowds.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Freshet, get, script, soon};
use crate::world::World;

const ACCOUNTS: usize = 500;
/// More than the pages have room for.
const SILENT: usize = 400;
const DEAF: usize = 20;

/// A process with many accounts that waits for its first event; RabbitMQ is not needed for that.
fn start(folder: &TempDir) -> (Freshet, File) {
    let pipe = folder.path().join("pipe");
    assert!(script("mkfifo pipe", folder.path(), &[]).status.success());
    let held = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut config = "[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for number in 0..ACCOUNTS {
        write!(
            config,
            "[[accounts]]\nname = \"account-{number}\"\nurl = \"http://127.0.0.1:1\"\n\
             api_key = {{ env = \"TEST_KEY\" }}\nplan = \"pro\"\nwrite_keys = [\"{number}\"]\n"
        )
        .unwrap();
    }
    let run = format!("exec \"$FRESHET\" run --events - < '{}'", pipe.display());
    (Freshet::start_script(&run, &config, &World::environment()), held)
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn whoever_is_slow_or_silent_is_let_go_and_costs_nobody_an_answer() {
    let folder = TempDir::new().unwrap();
    let (mut freshet, _held) = start(&folder);
    let address = freshet.http_addr().await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(connect(address, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").await);
    }
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let request = if number % 2 == 0 { "" } else { "GET /metrics HTTP/1.1\r\n" };
        silent.push(connect(address, request).await);
        if number % 100 == 0 {
            assert_eq!(get(address, "/livez").await.unwrap(), (200, "alive\n".to_owned()));
            assert_eq!(get(address, "/readyz").await.unwrap(), (200, "ready\n".to_owned()));
        }
    }
    // None of them is kept for as long as it likes.
    soon("every silent connection is ended", async || {
        let mut open = 0;
        for stream in &silent {
            let mut byte = [0];
            let waits =
                stream.try_read(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            open += usize::from(waits);
        }
        if open == 0 { Ok(()) } else { Err(format!("{open} of {SILENT} are open")) }
    })
    .await;
    drop(deaf);
    // The first page shows a hundred accounts; the others are found by name.
    let (status, page) = get(address, "/").await.unwrap();
    assert!(status == 200 && page.contains("page 1 of 5"));
    let last = format!("account-{}", ACCOUNTS - 1);
    for path in [format!("/?q={last}"), format!("/accounts/{last}"), format!("/api/accounts/{last}")] {
        let (status, page) = get(address, &path).await.unwrap();
        assert!(status == 200 && page.contains(&last), "{path}");
    }
    assert_eq!(get(address, "/accounts/nobody").await.unwrap().0, 404);
    freshet.signal("TERM");
    freshet.exit().await;
}

#[tokio::test]
async fn metric_pages_and_command_tell_the_same_of_calls_that_are_left_and_of_settings() {
    let world = World::with_acme().await;
    let config = world.config_at(world.vhost.url(), "one");
    let limits = "requests_per_hour = 1000\nquota_share = 0.5\ntracking_requests_per_minute = 400";
    let config = config.replace("requests_per_hour = 1000000\ntracking_requests_per_minute = 100000", limits);
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    for number in 0..9 {
        let event = json!({"type": "identify", "messageId": format!("m{number}"),
            "userId": format!("ada{number}@example.com"), "traits": {"firstName": "Ada"}});
        world.publish(event.to_string()).await;
    }
    world.settled(&[&replica]).await;
    // Calls come back one by one, and the lane notes it meanwhile: all is asked for until nothing changed in between.
    let (left, at_once) = soon("all tell the same", async || {
        let metric = replica.metric("freshet_quota_remaining{account=\"acme\"}").await;
        let account: Value = serde_json::from_str(&replica.get("/api/accounts/acme").await.1).unwrap();
        let quota = &account["report"]["quota"];
        let (left, at_once) = (quota["left"].as_f64().unwrap(), quota["at_once"].as_f64().unwrap());
        let status: Value = serde_json::from_str(&replica.get("/api/status").await.1).unwrap();
        let told = status["accounts"][0]["quota_remaining"].as_f64().unwrap();
        let words = format!("{left:.0} of {at_once:.0} at once");
        let [list, page] = [replica.get("/").await.1, replica.get("/accounts/acme").await.1];
        let alike = metric == left && told == left && list.contains(&words) && page.contains(&words);
        if alike { Ok((left, at_once)) } else { Err(format!("{metric}, {told}, {words}")) }
    })
    .await;
    // A quarter of 500, and what the pace may catch up; the calls so far are missing.
    assert!((125.0..140.0).contains(&at_once) && left < at_once && left > 100.0, "{left} of {at_once}");
    let account: Value = serde_json::from_str(&replica.get("/api/accounts/acme").await.1).unwrap();
    let settings = &account["settings"];
    assert_eq!((&settings["requests_per_hour"], &settings["quota_share"]), (&json!(1000.0), &json!(0.5)));
    assert_eq!((&settings["app_token"], &settings["write_keys"]), (&json!(true), &json!(0)));
    let page = replica.get("/accounts/acme").await.1;
    assert!(page.contains("<dt><code>quota_share</code></dt><dd>0.5</dd>"), "{page}");
    // A reload changes what is applied.
    std::fs::write(replica.config_file(), config.replace("quota_share = 0.5", "quota_share = 0.75")).unwrap();
    replica.signal("HUP");
    soon("the lane applies it", async || replica.get("/accounts/acme").await.1.contains("<dd>0.75</dd>"))
        .await;
    world.finish([replica]).await;
}
