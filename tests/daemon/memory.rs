//! What events take in memory while they are held: about what they take on the queue, whatever is in them.

use std::fmt::Write as _;

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::support::{Freshet, eventually, soon};
use crate::world::{World, sum};

/// Body of an event with a list of zeros, of so many bytes.
fn zeros(number: usize, bytes: usize) -> String {
    let mut body = format!(
        r#"{{"type":"track","event":"Counted","userId":"ada@example.com","messageId":"m{number}","properties":{{"list":["#
    );
    while body.len() < bytes - 10 {
        body.push_str("0,");
    }
    body.push_str("0]}}");
    body
}

async fn in_flight(replica: &Freshet, count: u64) {
    let enough = std::time::Duration::from_mins(3);
    eventually(enough, "all are held", async || {
        let (_, metrics) = replica.get("/metrics").await;
        let held = sum(&metrics, "freshet_events_in_flight", &[]);
        if held == count { Ok(()) } else { Err(format!("{held} of {count}")) }
    })
    .await;
}

#[tokio::test]
async fn a_replica_of_one_account_stays_small_however_much_it_has_carried() {
    /// More bytes than the buffers of its connections hold.
    const EVENTS: usize = 5_000;
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let excluded = json!({"type": "identify", "userId": "ada@example.com", "integrations": {"All": false},
        "traits": {"padding": "x".repeat(2_000)}});
    world.publish_all((0..EVENTS).map(|_| excluded.to_string())).await;
    world.settled(&[&replica]).await;
    let carried = replica.resident();
    println!("{carried} KiB after {EVENTS} events");
    assert!(carried < 30 * 1024, "{carried} KiB");
    world.finish([replica]).await;
}

#[tokio::test]
async fn large_activities_take_little_more_than_their_text() {
    const EVENTS: usize = 20;
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    // The account's fields are known, and then tracking hangs.
    world.publish(json!({"type": "identify", "userId": "ada@example.com", "traits": {}}).to_string()).await;
    world.settled(&[&replica]).await;
    world.fault("acme", json!([{"endpoint": "track_events", "action": {"hang": true}}])).await;
    let before = replica.resident();
    world.publish_all((0..EVENTS).map(|number| zeros(number, 1_048_000))).await;
    in_flight(&replica, EVENTS as u64).await;
    let held = replica.resident();
    println!("{before} KiB before, {held} KiB with {EVENTS} events held");
    assert!(held < 150 * 1024, "{held} KiB after {before}");
    world.at("acme").sandbox.reset();
    world.finish([replica]).await;
}

/// An identify of 1 KiB for a contact of its own, all of it traits with fields.
fn identify(number: usize) -> Value {
    let mut event = json!({"type": "identify", "messageId": format!("message-{number}"), "userId": format!("user-{number}"),
        "context": {"ip": "192.0.2.1", "library": {"name": "analytics.js", "version": "3.0.0"}},
        "timestamp": "2026-03-01T12:00:00.000Z",
        "traits": {"email": format!("user{number}@example.com"), "firstName": "Ada", "lastName": "Lovelace",
            "city": "London", "country": "England", "jobTitle": "Countess", "mobileNumber": "+44 20 7946 0000"}});
    let missing = 1024 - event.to_string().len() - r#","address":"""#.len();
    event["traits"]["address"] = json!("x".repeat(missing.min(255)));
    let rest = 1024_usize.saturating_sub(event.to_string().len() + r#","nothing":"""#.len());
    event["traits"]["nothing"] = json!("x".repeat(rest));
    event
}

/// A replica of a hundred accounts that hold all they may, because none of their calls is answered; and what it takes.
#[expect(clippy::print_stdout, reason = "how much memory it takes is printed, too")]
async fn full_windows(settings: &str) -> u64 {
    const LANES: usize = 100;
    const EACH: usize = 400;
    let mut world = World::with_acme().await;
    world.request_timeout = "10m";
    let address = world.at("acme").address;
    let config = world.config_at(world.vhost.url(), "one");
    let (head, _) = config.split_once("[[accounts]]").unwrap();
    let mut config = head.to_owned();
    for number in 0..LANES {
        write!(
            config,
            "[[accounts]]\nname = \"a{number:03}\"\nurl = \"http://{address}\"\napi_key = {{ env = \"TEST_KEY\" }}\n\
             write_keys = [\"wk{number}\"]\n{settings}\n"
        )
        .unwrap();
    }
    let mut replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    let hang = |endpoint: &str| json!({"endpoint": endpoint, "action": {"hang": true}});
    world.fault("acme", json!([hang("contacts_upsert"), hang("contacts_bulk_upsert")])).await;
    for lane in 0..LANES {
        let queue = world.lane(&format!("a{lane:03}"));
        soon("the lane is there", async || world.amqp.depth(&queue).await.is_some()).await;
        let events = (0..EACH).map(|number| (identify(number).to_string(), BasicProperties::default()));
        world.amqp.publish_all("", &queue, events).await;
    }
    in_flight(&replica, (LANES * EACH) as u64).await;
    let held = replica.resident();
    println!("{held} KiB with {LANES} windows of {EACH} events: {settings}");
    replica.kill();
    replica.exit().await;
    held
}

#[tokio::test]
async fn a_hundred_full_windows_fit_into_140_mebibytes_while_quota_is_missing() {
    let held = full_windows("requests_per_hour = 12").await;
    assert!(held < 140 * 1024, "{held} KiB");
}

#[tokio::test]
async fn a_hundred_full_windows_take_little_more_while_the_api_hangs() {
    let held = full_windows("plan = \"enterprise\"").await;
    // Eight calls of each account are under way, each on a connection of its own, which takes 40 KiB.
    assert!(held < 140 * 1024 + 100 * 8 * 40, "{held} KiB");
}
