//! What must not grow: memory with a lane's backlog, and with lanes that have nothing to do.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use freshet::sandbox::Options;
use lapin::BasicProperties;
use serde_json::json;
use tokio::time::Instant;

use crate::faults::shows;
use crate::reload::reload;
use crate::support::{Broker, Freshet, eventually, soon};
use crate::world::{World, sum};

/// Events that wait; `FRESHET_TEST_BACKLOG` says another number.
const BACKLOG: u64 = 30_000;
/// Events that one publish waits for, so that the test itself stays small.
const CHUNK: u64 = 5_000;
/// What a replica may gain while the backlog grows tenfold, in KiB: far less than the backlog.
const SLACK: u64 = 12 * 1024;

#[expect(clippy::disallowed_methods, reason = "a setting of the tests themselves")]
fn backlog() -> u64 {
    std::env::var_os("FRESHET_TEST_BACKLOG").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(BACKLOG)
}

/// Identifies of two contacts: many of them become one call, so that the backlog is worked off in time.
async fn pile_up(world: &World, numbers: std::ops::Range<u64>) {
    for start in numbers.clone().step_by(usize::try_from(CHUNK).unwrap()) {
        let events = (start..numbers.end.min(start + CHUNK)).map(|number| {
            let email = format!("user{}@example.com", number % 2);
            let event = json!({"type": "identify", "messageId": format!("m{number}"), "userId": email,
                "traits": {"email": email, "firstName": format!("Ada {number}"), "padding": "x".repeat(300)}});
            (event.to_string(), BasicProperties::default())
        });
        world.publish_to(&world.lanes(), "acme", events).await;
    }
}

#[tokio::test]
async fn a_replica_stays_as_small_as_it_is_however_many_events_wait() {
    let total = backlog();
    let world = World::with_acme().await;
    let busy = json!({"status": 503, "headers": {"retry-after": "1"}});
    world.fault("acme", json!([{"endpoint": "contacts_upsert", "action": busy}])).await;
    let replica = world.start("one").await;
    pile_up(&world, 0..total / 10).await;
    shows(&replica, "freshet_events_in_flight{account=\"acme\"}", f64::from(world.prefetch)).await;
    let few = replica.resident();
    let started = Instant::now();
    pile_up(&world, total / 10..total).await;
    println!("{total} events published, the last nine tenths in {:.1?}", started.elapsed());
    let lane = world.lane("acme");
    soon("all of them wait", async || {
        let depth = world.amqp.depth(&lane).await.map(u64::from);
        if depth == Some(total - u64::from(world.prefetch)) { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await;
    let many = replica.resident();
    println!("{few} KiB with {} waiting, {many} KiB with {total}; {} held", total / 10, world.prefetch);
    assert!(many < few + SLACK, "from {few} to {many} KiB");
    // And it is worked off, by the same replica, without growing.
    world.at("acme").sandbox.reset();
    let started = Instant::now();
    let enough = Duration::from_mins(2) + Duration::from_millis(20) * u32::try_from(total).unwrap();
    eventually(enough, "the backlog is worked off", async || {
        let (_, metrics) = replica.get("/metrics").await;
        let delivered = sum(&metrics, "freshet_events_delivered_total", &[]);
        if delivered == total { Ok(()) } else { Err(format!("{delivered} of {total}")) }
    })
    .await;
    println!("worked off in {:.1?}; then {} KiB", started.elapsed(), replica.resident());
    assert!(replica.resident() < few + 2 * SLACK, "{} KiB after {few}", replica.resident());
    assert_eq!(world.state("acme")["contacts"].as_array().unwrap().len(), 2);
    world.finish([replica]).await;
}

/// `[[accounts]]` for each of so many, all at one address.
fn accounts(world: &World, count: usize) -> String {
    let address = world.at("acme").address;
    let mut text = String::new();
    for number in 0..count {
        write!(
            text,
            "[[accounts]]\nname = \"a{number:04}\"\nurl = \"http://{address}\"\n\
             api_key = {{ env = \"TEST_KEY\" }}\nwrite_keys = [\"wk{number}\"]\n"
        )
        .unwrap();
    }
    text
}

/// Starts a replica and waits until all its lanes have a consumer.
#[expect(clippy::print_stdout, reason = "how long it takes is printed, not judged")]
async fn up(
    broker: &Broker,
    world: &World,
    config: &str,
    lanes: usize,
    environment: &[(&str, &str)],
) -> Freshet {
    let started = Instant::now();
    let replica = Freshet::start(config, environment);
    replica.ready().await;
    println!("ready after {:.1?}", started.elapsed());
    let list = ["list_consumers", "-p", &world.vhost.name, "queue_name", "--no-table-headers"];
    soon("every lane has its consumer", async || {
        let consumers = broker.control(&list).await;
        let queues: BTreeSet<&str> =
            consumers.lines().map(str::trim).filter(|name| name.contains(".lane.a")).collect();
        if queues.len() == lanes { Ok(()) } else { Err(format!("{} of {lanes}", queues.len())) }
    })
    .await;
    println!("all lanes have a consumer after {:.1?}", started.elapsed());
    replica
}

#[tokio::test]
async fn five_hundred_lanes_fit_into_128_mebibytes_after_an_event_each() {
    const LANES: usize = 500;
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account_with("acme", "", Options::default()).await;
    let config = world.config_at(world.vhost.url(), "one");
    let (head, _) = config.split_once("[[accounts]]").unwrap();
    let config = format!("{head}{}", accounts(&world, LANES));
    let mut first = up(&broker, &world, &config, LANES, &World::environment()).await;
    first.stop().await;
    // This time the queues are there.
    let mut replica = up(&broker, &world, &config, LANES, &World::environment()).await;
    let idle = replica.resident();
    println!("{idle} KiB with {LANES} lanes before their first event");
    // With its first event a lane reads its account's fields, and keeps them.
    for number in 0..LANES {
        let event = json!({"type": "identify", "messageId": format!("m{number}"), "userId": "ada@example.com",
            "writeKey": format!("wk{number}"), "traits": {"firstName": format!("Ada {number}")}});
        world.amqp.publish(&world.queue(), event.to_string(), &[]).await;
    }
    soon("every account has had its event", async || {
        let (_, metrics) = replica.get("/metrics").await;
        let delivered = sum(&metrics, "freshet_events_delivered_total", &[]);
        if delivered == LANES as u64 { Ok(()) } else { Err(format!("{delivered} of {LANES}")) }
    })
    .await;
    let used = replica.resident();
    println!("{used} KiB with {LANES} lanes that have had an event");
    assert!(used < 128 * 1024, "{used} KiB after {idle}");
    replica.stop().await;
}

#[tokio::test]
async fn a_reload_of_five_hundred_accounts_touches_those_that_changed_and_leaves_nothing_behind() {
    const LANES: usize = 500;
    const ROUNDS: usize = 10;
    /// Rounds after which it is as large as it gets.
    const FIRST: usize = 4;
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account_with("acme", "", Options::default()).await;
    let config = world.config_at(world.vhost.url(), "one");
    let (head, _) = config.split_once("[[accounts]]").unwrap();
    let accounts = accounts(&world, LANES + 1);
    let with = |share: &str, without: usize| {
        let changed = format!("write_keys = [\"wk1\"]\nquota_share = {share}\n");
        let kept = accounts.replace("write_keys = [\"wk1\"]\n", &changed);
        let name = format!("name = \"a{without:04}\"");
        let blocks = kept.split("[[accounts]]").skip(1).filter(|block| !block.contains(&name));
        blocks.fold(head.to_owned(), |config, block| config + "[[accounts]]" + block)
    };
    // With a malloc arena for each thread, how much freed memory stays is chance.
    let environment = [World::environment()[0], ("MALLOC_ARENA_MAX", "1")];
    let mut replica = up(&broker, &world, &with("0.9", LANES), LANES, &environment).await;
    let delivered = async |count: u64| {
        soon("every event is delivered", async || {
            let (_, metrics) = replica.get("/metrics").await;
            let delivered = sum(&metrics, "freshet_events_delivered_total", &[]);
            if delivered == count { Ok(()) } else { Err(format!("{delivered} of {count}")) }
        })
        .await;
    };
    let publish = async |round: usize| {
        // Those that no reload takes away.
        for number in 1..LANES {
            let event = json!({"type": "identify", "messageId": format!("{round} {number}"),
                "userId": "ada@example.com", "writeKey": format!("wk{number}"),
                "traits": {"firstName": format!("Ada {round}")}});
            world.amqp.publish(&world.queue(), event.to_string(), &[]).await;
        }
    };
    publish(0).await;
    delivered(LANES as u64 - 1).await;
    let (mut before, mut said) = (0, String::new());
    for round in 1..=ROUNDS {
        // The first and the last account take turns, and the second one changes.
        let without = if round % 2 == 0 { LANES } else { 0 };
        let config = with(&format!("0.{}", 10 + round), without);
        ((), said) = tokio::join!(publish(round), reload(&replica, &config));
        // So that there are never more events at once than in the round before.
        delivered((LANES as u64 - 1) * (round as u64 + 1)).await;
        if round == FIRST {
            before = replica.resident();
        }
    }
    for part in ["added=a0000", "removed=a0500", "changed=\"a0001 (quota_share)\"", "unchanged=498"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let all = (LANES as u64 - 1) * (ROUNDS as u64 + 1);
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, "freshet_events_received_total", &[]), all, "none came twice");
    assert_eq!(sum(&metrics, "freshet_events_returned_total", &[]), 0);
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    let after = replica.resident();
    println!("{before} KiB after {FIRST} reloads, {after} KiB after {ROUNDS}");
    assert!(after < before + SLACK, "from {before} to {after} KiB");
    replica.stop().await;
}
