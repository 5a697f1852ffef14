//! The commands, run as users run them: what they do, what they say, and their exit status.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{arrived, assert_exact, stream, track};
use crate::faults::shows;
use crate::support::{Freshet, freshet, get, listen_address, soon};
use crate::world::{World, sum};

/// Nobody listens there: system ports are not handed out to other tests.
const CLOSED: &str = "127.0.0.1:1";

/// The folder that a command runs in, with this configuration.
pub fn folder(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), config).unwrap();
    folder
}

/// Runs a command beside the test, which serves the sandboxes meanwhile.
async fn run(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let folder = folder.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let input = input.to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        freshet(&arguments, &folder, &World::environment(), &input)
    });
    running.await.unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn ndjson(events: impl Iterator<Item = Value>) -> Vec<u8> {
    events.flat_map(|event| format!("{event}\n").into_bytes()).collect()
}

#[tokio::test]
async fn run_takes_events_from_a_plain_file_a_packed_one_and_standard_input() {
    let world = World::with_acme().await;
    let folder = folder(&world.config_at(world.vhost.url(), "feed"));
    let parts: Vec<Vec<u8>> = (0..3).map(|part| ndjson(stream(10, part * 4, 4))).collect();
    std::fs::write(folder.path().join("plain.ndjson"), &parts[0]).unwrap();
    let packed = std::fs::File::create(folder.path().join("packed.ndjson.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, flate2::Compression::fast());
    // Blank lines are no events; two packed parts may follow one another.
    packed.write_all(b"\n  \n").unwrap();
    packed.write_all(&parts[1]).unwrap();
    packed.finish().unwrap();
    for (file, input) in [("plain.ndjson", &[][..]), ("packed.ndjson.gz", &[]), ("-", &parts[2])] {
        let output = run(folder.path(), &["run", "--events", file], input).await;
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(0), "{file}: {out}{err}");
        assert!(out.contains("80 events read"), "{file}: {out}");
        assert!(!err.contains('@') && !out.contains('@'), "an address: {out}{err}");
    }
    assert_exact(&world.state("acme"), 10, 12);
}

#[tokio::test]
async fn dead_letters_of_a_file_are_kept_with_their_bytes_and_headers() {
    let world = World::with_acme().await;
    let folder = folder(&world.config_at(world.vhost.url(), "feed"));
    let bad: [&[u8]; 3] = [
        b"{\"type\":\"track\",  \"messageId\":\"m-1\", \"userId\":\"u\"}  \t",
        b"\xff{}",
        "{“type”: “page”".as_bytes(),
    ];
    let mut lines = ndjson(stream(1, 0, 1));
    for body in bad {
        lines.extend_from_slice(body);
        lines.push(b'\n');
    }
    lines.extend(ndjson(stream(1, 1, 1)));
    let output = run(folder.path(), &["run", "--events", "-", "--dead-letters", "dead.ndjson"], &lines).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");

    let kept = std::fs::read_to_string(folder.path().join("dead.ndjson")).unwrap();
    let mut letters: Vec<(Vec<u8>, Value)> = kept
        .lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).unwrap();
            let body = STANDARD.decode(letter["body_base64"].as_str().unwrap()).unwrap();
            (body, letter["headers"].clone())
        })
        .collect();
    letters.sort_by_key(|(body, _)| bad.iter().position(|sent| sent == body));
    let bodies: Vec<&[u8]> = letters.iter().map(|(body, _)| body.as_slice()).collect();
    assert_eq!(bodies, bad);
    assert_eq!(letters[0].1["freshet-reason"], "invalid_event");
    assert_eq!(letters[0].1["freshet-message-id"], "m-1");
    assert_eq!(letters[1].1["freshet-reason"], "malformed_json");
    assert_eq!(letters[2].1["freshet-account"], "acme");
    assert_exact(&world.state("acme"), 1, 2);
}

#[tokio::test]
async fn wrong_usage_and_wrong_configuration_end_with_64_and_name_everything() {
    let folder = folder(
        "[broker]\nurl = \"http://localhost\"\nprefech = 3\n[http]\nlisten = \"here\"\n[delivery]\n\
         request_timeout = 5\n[[accounts]]\nname = \"No Name\"\nurl = \"ftp://x\"\n",
    );
    let output = run(folder.path(), &["run"], b"").await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(64), "{out}{err}");
    for key in [
        "broker.url",
        "prefech",
        "prefetch",
        "http.listen",
        "delivery.request_timeout",
        "accounts[0].name",
        "accounts[0].url",
        "accounts[0].api_key",
    ] {
        assert!(err.contains(key), "{key} is not named:\n{err}");
    }
    for arguments in
        [&["run", "--no-such-flag"][..], &["no-such-command"], &["run", "--dead-letters", "x"], &[]]
    {
        assert_eq!(run(folder.path(), arguments, b"").await.status.code(), Some(64), "{arguments:?}");
    }
    let output = run(folder.path(), &["run", "--config", "nowhere.toml"], b"").await;
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).1.contains("nowhere.toml"));
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["completions", "bash"]] {
        assert_eq!(run(folder.path(), arguments, b"").await.status.code(), Some(0), "{arguments:?}");
    }
    let output = run(folder.path(), &["--version"], b"").await;
    let told = said(&output).0;
    let commit = told.trim_end().strip_prefix(concat!("freshet ", env!("CARGO_PKG_VERSION"))).unwrap();
    // Builds without optimisation do not ask for it.
    assert!(commit.is_empty() || (commit.starts_with(" (") && commit.ends_with(')')), "{told}");
}

#[tokio::test]
async fn a_missing_file_ends_with_1_and_an_unreachable_broker_with_75() {
    let world = World::with_acme().await;
    let folder = folder(&world.config_at(&format!("amqp://guest:s3cret@{CLOSED}/%2f"), "feed"));
    std::fs::write(folder.path().join("events.ndjson"), "{}\n").unwrap();
    for command in [&["run", "--events", "missing.ndjson"][..], &["publish", "missing.ndjson"]] {
        let output = run(folder.path(), command, b"").await;
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(said(&output).1.contains("missing.ndjson"));
    }
    let output = run(folder.path(), &["publish", "events.ndjson"], b"").await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(75), "{out}{err}");
    assert!(err.contains("broker.url") && !err.contains("s3cret"), "{err}");
    assert!(err.contains(&format!("cannot reach the broker at {CLOSED}: cannot connect: ")), "{err}");
    let output = run(folder.path(), &["dead-letters", "list"], b"").await;
    assert_eq!((output.status.code(), said(&output).1), (Some(75), err));
    let output = run(folder.path(), &["publish", "events.ndjson", "--account", "initech"], b"").await;
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).1.contains("acme"), "it names the accounts there are");
}

#[tokio::test]
async fn what_is_published_from_a_file_is_delivered_by_the_daemon() {
    let world = World::of_two().await;
    let folder = folder(&world.config_at(world.vhost.url(), "feed"));
    std::fs::write(folder.path().join("events.ndjson"), ndjson(stream(10, 0, 5))).unwrap();
    // Nothing is declared yet: publishing needs no daemon.
    let output = run(folder.path(), &["publish", "events.ndjson", "--account", "acme"], b"").await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("100 events") && out.contains(&world.queue()), "{out}");
    let mut event = track(0, 7);
    event["writeKey"] = json!("g");
    let output = run(folder.path(), &["publish", "-"], format!("{event}\n\n").as_bytes()).await;
    assert!(said(&output).0.starts_with("1 event "), "{}", said(&output).0);

    world.expect(101);
    let replica = world.start("one").await;
    world.settled(&[&replica]).await;
    assert_exact(&world.state("acme"), 10, 5);
    assert_eq!(arrived(&world.state("globex"))["contact.0@example.com"], [7]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn the_demo_ends_with_the_numbers_that_the_examples_promise() {
    let readme = include_str!("../../examples/README.md");
    let promise = readme.lines().find(|line| line.starts_with("In all, ")).unwrap();
    let numbers: Vec<&str> =
        promise.split(|letter: char| !letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let [lines, delivered, skipped, dead] = numbers[..] else { panic!("{promise}") };
    let empty = TempDir::new().unwrap();
    let output = run(empty.path(), &["demo"], b"").await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains(&format!("{lines} events read")), "{out}");
    let shown = |what: &str| {
        let line = out.lines().find(|line| line.trim().starts_with(what)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!([shown("delivered"), shown("skipped"), shown("dead-lettered")], [delivered, skipped, dead]);
    let mut promised = BTreeMap::<&str, usize>::new();
    for row in readme.lines() {
        let Some(reason) = row.split("dead letter: ").nth(1) else { continue };
        let lines = row.trim_matches(['|', ' ']).split(' ').next().unwrap();
        let (first, last) = lines.split_once('–').unwrap_or((lines, lines));
        let count = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        *promised.entry(reason.trim_end_matches([' ', '|'])).or_default() += count;
    }
    let mut counted = BTreeMap::<&str, usize>::new();
    let summary = out.split("dead-lettered").nth(1).unwrap().split("What arrived").next().unwrap();
    for row in summary.lines() {
        if let [_, reason, count] = row.split_whitespace().collect::<Vec<_>>()[..] {
            *counted.entry(reason).or_default() += count.parse::<usize>().unwrap();
        }
    }
    assert_eq!(counted, promised);
}

#[tokio::test]
async fn the_examples_with_their_configuration_write_companies_with_a_count_of_employees() {
    let mut sandbox = Freshet::start_command(&["sandbox", "--listen", "127.0.0.1:0"], "", &[]);
    let line = sandbox.line("stands in for a Freshsales account at").await;
    let address = line.rsplit("http://").next().unwrap().trim().to_owned();
    let config = include_str!("../../examples/freshet.toml").replace("127.0.0.1:8090", &address);
    let config = ["ACME_API_KEY", "ACME_APP_TOKEN", "GLOBEX_API_KEY"]
        .into_iter()
        .fold(config.replace("127.0.0.1:9464", "127.0.0.1:0"), |config, key| config.replace(key, "TEST_KEY"));
    let folder = folder(&config);
    std::fs::write(folder.path().join("events.ndjson"), include_str!("../../examples/events.ndjson"))
        .unwrap();
    let output = run(folder.path(), &["run", "--events", "events.ndjson"], b"").await;
    let (out, err) = said(&output);

    let (_, state) = get(address.parse().unwrap(), "/_sandbox/state").await.unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    for name in ["Lindqvist Logistics", "Brightwater Energy"] {
        let companies = state["sales_accounts"].as_array().unwrap();
        let company = companies.iter().find(|company| company["name"] == name);
        assert_eq!(company.unwrap()["number_of_employees"], 51, "{name}\n{out}{err}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_sandbox_starts_and_answers() {
    let mut sandbox = Freshet::start_command(&["sandbox", "--listen", "127.0.0.1:0"], "", &[]);
    let line = sandbox.line("stands in for a Freshsales account at").await;
    let address: SocketAddr = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
    let (status, state) = get(address, "/_sandbox/state").await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&state).unwrap()["contacts"], json!([]));
    let (status, page) = get(address, "/").await.unwrap();
    assert!(status == 200 && page.contains("<html"), "{page}");
    sandbox.stop().await;
}

#[tokio::test]
async fn the_pages_answer_and_the_metrics_have_every_promised_name() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish_all(stream(2, 0, 2).map(|event| event.to_string())).await;
    world.publish("broken").await;
    world.publish(json!({"type": "screen"}).to_string()).await;
    world.settled(&[&replica]).await;
    assert_eq!(world.dead_letters(1).await.len(), 1);

    let (_, metrics) = replica.get("/metrics").await;
    for name in [
        "events_received_total",
        "events_delivered_total",
        "events_skipped_total",
        "events_dead_lettered_total",
        "events_coalesced_total",
        "traits_ignored_total",
        "events_in_flight",
        "delivery_seconds",
        "api_requests_total",
        "api_request_seconds",
        "api_batch_records",
        "quota_requests_per_hour",
        "quota_remaining",
        "quota_wait_seconds_total",
        "lane_state",
        "broker_connected",
        "broker_reconnects_total",
        "receipts_dropped_total",
        "build_info",
    ] {
        assert!(metrics.contains(&format!("# HELP freshet_{name} ")), "{name} is missing");
    }
    for (series, value) in [
        ("freshet_events_delivered_total{account=\"acme\",type=\"identify\"}", 4),
        ("freshet_events_delivered_total{account=\"acme\",type=\"track\"}", 4),
        ("freshet_delivery_seconds_count{account=\"acme\"}", 10),
        ("freshet_broker_connected", 1),
        ("freshet_lane_state{account=\"acme\",state=\"flowing\"}", 1),
        ("freshet_lane_state{account=\"acme\",state=\"standby\"}", 0),
    ] {
        assert_eq!(replica.metric(series).await, f64::from(value), "{series}");
    }
    assert_eq!(sum(&metrics, "freshet_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1);
    assert_eq!(replica.get("/livez").await.0, 200);
    assert_eq!(replica.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, page) = replica.get("/").await;
    assert!(status == 200 && page.contains("acme") && page.contains("<html"), "{page}");
    let (status, body) = replica.get("/api/status").await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &shown["broker"]["connected"], &shown["replica"]),
        (200, &json!(true), &json!("one"))
    );
    let account = &shown["accounts"][0];
    assert_eq!((&account["account"], &account["state"]), (&json!("acme"), &json!("flowing")));
    assert_eq!([&account["delivered"], &account["skipped"], &account["dead_lettered"]], [8, 1, 1]);
    assert_eq!(replica.get("/nothing").await.0, 404);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_hangup_does_not_end_the_delivery_of_a_file() {
    let world = World::with_acme().await;
    let folder = tempfile::TempDir::new().unwrap();
    let events = folder.path().join("events.ndjson");
    std::fs::write(&events, format!("{}\n", track(0, 0))).unwrap();
    world.fault("acme", json!([{"endpoint": "track_events", "action": {"status": 503}}])).await;
    let config = world.config_at(world.vhost.url(), "one");
    let command = ["run", "--events", events.to_str().unwrap()];
    let mut feed = Freshet::start_command(&command, &config, &World::environment());
    shows(&feed, "freshet_events_in_flight{account=\"acme\"}", 1.0).await;
    feed.signal("HUP");
    feed.line("the configuration is not read again while a file is delivered").await;
    world.at("acme").sandbox.reset();
    assert!(feed.exit().await.success());
}

#[tokio::test]
async fn a_hangup_does_not_end_the_daemon_and_json_logs_are_json() {
    let world = World::with_acme().await;
    let config = world.config_at(world.vhost.url(), "one");
    let config = config.replace("[[accounts]]", "[log]\nformat = \"json\"\nlevel = \"debug\"\n[[accounts]]");
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    replica.signal("HUP");
    replica.line("the configuration was read again").await;
    world.publish(track(0, 0).to_string()).await;
    world.publish("broken").await;
    world.settled(&[&replica]).await;
    assert_eq!(world.dead_letters(1).await.len(), 1);
    for line in replica.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["level"].is_string() && line["timestamp"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    world.finish([replica]).await;
}

#[tokio::test]
async fn run_waits_for_a_broker_that_is_not_there_and_stops_when_told() {
    let world = World::with_acme().await;
    let config = world.config_at(&format!("amqp://guest:s3cret@{CLOSED}/%2f"), "one");
    let mut replica = Freshet::start(&config, &World::environment());
    let line = replica.line("not connected to the broker").await;
    assert!(listen_address(&line).is_none());
    let (status, why) = soon("a reason", async || {
        let answer = replica.get("/readyz").await;
        if answer.1.contains("connecting") { None } else { Some(answer) }
    })
    .await;
    assert_eq!(status, 503);
    assert!(why.starts_with("not ready: ") && !why.contains("s3cret"), "{why}");
    assert_eq!(replica.get("/livez").await.0, 200);
    assert_eq!(replica.metric("freshet_broker_connected").await, 0.0);
    replica.stop().await;
    assert!(!replica.log().contains("s3cret"));
}
