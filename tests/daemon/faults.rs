//! What breaks around the daemon: the broker, the network, the process itself, Freshsales.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::{Value, json};

use crate::events::{arrived, assert_exact, identify, repeats, stream, track};
use crate::support::{Broker, Freshet, Proxy, get, soon};
use crate::world::{World, sum};

/// A sandbox that takes its time, so that there is a "mid-stream".
pub fn slow() -> Options {
    Options { latency: Duration::from_millis(20), ..Options::default() }
}

pub fn lines(events: impl Iterator<Item = Value>) -> impl Iterator<Item = String> {
    events.map(|event| event.to_string())
}

/// Waits until `/readyz` says that the broker is away, and why.
pub async fn not_ready(replica: &Freshet) {
    let addr = replica.http_addr().await;
    soon("/readyz answers 503", async || match get(addr, "/readyz").await {
        Ok((503, why)) if why.trim().len() > "not ready:".len() => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    assert_eq!(replica.metric("freshet_broker_connected").await, 0.0);
}

/// Waits for a series to have a value.
pub async fn shows(replica: &Freshet, series: &str, value: f64) {
    soon(series, async || {
        let shown = replica.metric(series).await;
        if shown == value { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}

/// The rest of a stream is still to come: otherwise the test would show nothing.
pub fn assert_midway(state: &Value, events: u64) {
    let asked = state["total_requests"].as_u64().unwrap();
    assert!(asked < events, "{asked} requests: all was over before it broke");
}

#[tokio::test]
async fn a_broker_that_is_killed_mid_stream_loses_nothing_and_is_found_again() {
    const CONTACTS: usize = 100;
    let broker = Broker::private().await;
    let mut world = World::on(broker.vhost().await).await.account_with("acme", "", slow()).await;
    let replica = world.start("one").await;
    // What `kill` does first, so that the kill itself comes at once.
    broker.control(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
    world.publish_all(lines(stream(CONTACTS, 0, 10))).await;
    world.asked("acme", 300).await;
    broker.node(0).kill_now();
    assert_midway(&world.state("acme"), 2000);
    not_ready(&replica).await;

    broker.start().await;
    world.amqp = world.vhost.connect().await;
    soon("ready again", async || replica.get("/readyz").await.0 == 200).await;
    shows(&replica, "freshet_broker_connected", 1.0).await;
    shows(&replica, "freshet_broker_reconnects_total", 1.0).await;
    world.fenced(&[&replica]).await;
    // The process remembers what it delivered: not even a repeat.
    assert_exact(&world.state("acme"), CONTACTS, 10);
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_alarm_holds_back_dead_letters_but_no_acknowledgement() {
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    let replica = world.start("one").await;
    // Slow enough that the alarm comes while the first are in flight. The broker blocks a connection when it next
    // publishes: that is the letter of the first, and eight others are acknowledged later than that.
    world.fault("acme", json!([{"endpoint": "*", "action": {"delay_ms": 3000}}])).await;
    let mut refused = identify(99, 0);
    refused["traits"]["cfLastDemoAt"] = json!("next Tuesday");
    world.publish_all(lines(std::iter::once(refused).chain((0..16).map(|contact| track(contact, 0))))).await;
    world.asked("acme", 1).await;
    broker.control(&["eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."]).await;
    replica.line("the broker takes no messages for now").await;

    // All others are acknowledged; the first waits for its letter to be taken.
    let lane = world.lane("acme");
    soon("one message is left in the lane", async || {
        let listed =
            broker.control(&["list_queues", "--silent", "-p", &world.vhost.name, "name", "messages"]).await;
        let left = listed.lines().find_map(|line| line.strip_prefix(&format!("{lane}\t")).map(str::to_owned));
        if left.as_deref() == Some("1") { Ok(()) } else { Err(listed) }
    })
    .await;
    shows(&replica, "freshet_events_delivered_total{account=\"acme\",type=\"track\"}", 16.0).await;

    broker.control(&["eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."]).await;
    replica.line("the broker takes messages again").await;
    assert_eq!(world.dead_letters(1).await.len(), 1);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_reset_or_hangs_mid_stream_loses_nothing() {
    const CONTACTS: usize = 20;
    let world = World::shared().await.account_with("acme", "", slow()).await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let url = format!("{}?heartbeat=1", proxy.url(world.vhost.url()));
    let replica = world.start_at(&url, "one").await;
    world.publish_all(lines(stream(CONTACTS, 0, 30))).await;

    world.asked("acme", 200).await;
    proxy.cut();
    shows(&replica, "freshet_broker_reconnects_total", 1.0).await;
    world.asked("acme", 400).await;
    proxy.reset();
    shows(&replica, "freshet_broker_reconnects_total", 2.0).await;
    world.asked("acme", 600).await;
    assert_midway(&world.state("acme"), 1200);
    proxy.hang().await;
    not_ready(&replica).await;
    proxy.pass().await;
    shows(&replica, "freshet_broker_reconnects_total", 3.0).await;
    replica.ready().await;

    world.fenced(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, 30);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_stop_mid_stream_ends_well_and_a_successor_delivers_the_rest_once() {
    const CONTACTS: usize = 20;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 50;
    world.publish_early(lines(stream(CONTACTS, 0, 20))).await;
    for stop_at in [150, 300, 450] {
        let mut replica = world.start("one").await;
        world.asked("acme", stop_at).await;
        // Within `delivery.shutdown_grace`: one that takes longer ends with another status.
        replica.stop().await;
        assert_midway(&world.state("acme"), 800);
        assert!(replica.log().contains("stopped"), "{}", replica.log());
    }
    let successor = world.start("two").await;
    world.fenced(&[&successor]).await;
    assert_exact(&world.state("acme"), CONTACTS, 20);
    world.finish([successor]).await;
}

#[tokio::test]
async fn a_stop_amid_a_burst_of_dead_letters_repeats_none() {
    const EVENTS: u32 = 3000;
    let world = World::with_acme().await;
    world.publish_early((0..EVENTS).map(|number| format!("broken {number}"))).await;
    for stop_at in [300, 900, 1500] {
        let mut replica = world.start("one").await;
        soon("some are buried", async || world.amqp.depth(&world.dead()).await >= Some(stop_at)).await;
        replica.stop().await;
        assert!(world.amqp.depth(&world.dead()).await < Some(EVENTS), "all was over before it stopped");
    }
    let successor = world.start("two").await;
    world.fenced(&[&successor]).await;
    let mut letters: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    // Counted by hand: repeats would make them more.
    soon("the last letter is there", async || world.amqp.depth(&world.dead()).await >= Some(EVENTS)).await;
    for letter in world.amqp.take_all(&world.dead()).await {
        *letters.entry(letter.data).or_default() += 1;
    }
    assert_eq!(letters.len(), EVENTS as usize);
    let repeated: usize = letters.values().map(|times| times - 1).sum();
    assert_eq!(repeated, 0);
    world.finish([successor]).await;
}

#[tokio::test]
async fn a_killed_process_repeats_no_more_than_was_in_flight() {
    // In the second case all that is not sent waits in the lane.
    for prefetch in [16, 1000] {
        killed_in_the_worst_moment(prefetch).await;
    }
}

async fn killed_in_the_worst_moment(prefetch: u16) {
    const CONCURRENCY: usize = 8;
    const BEFORE: usize = 100;
    let mut world = World::with_acme().await;
    world.prefetch = prefetch;
    let held = BEFORE.min(usize::from(prefetch));
    let mut first = world.start("one").await;
    // One of each contact, so that the whole concurrency is used. The first ones are settled to the end.
    world.publish_all((0..BEFORE).map(|contact| track(contact, 0).to_string())).await;
    world.settled(&[&first]).await;
    // The worst that can happen: taken by Freshsales, and not known to be.
    world
        .fault(
            "acme",
            json!({"endpoint": "track_events", "action": {"hang": true}, "after_effect": true,
                              "next": CONCURRENCY}),
        )
        .await;
    world.publish_all((BEFORE..2 * BEFORE).map(|contact| track(contact, 0).to_string())).await;
    world.asked("acme", (3 + BEFORE + CONCURRENCY) as u64).await;
    // The broker has taken every acknowledgement when it holds back no more than the prefetch.
    soon("the first hundred are settled", async || {
        world.amqp.depth(&world.lane("acme")).await == u32::try_from(BEFORE - held).ok()
    })
    .await;
    shows(&first, "freshet_events_in_flight{account=\"acme\"}", f64::from(u16::try_from(held).unwrap()))
        .await;
    first.kill();

    let second = world.start("two").await;
    world.fenced(&[&second]).await;
    let arrived = arrived(&world.state("acme"));
    assert_eq!(arrived.len(), 2 * BEFORE);
    let repeated = arrived.values().map(|numbers| numbers.len() - 1).sum::<usize>();
    assert_eq!(repeated, CONCURRENCY, "the bound: delivery.concurrency");
    world.finish([second]).await;
}

#[tokio::test]
async fn kills_at_any_moment_lose_nothing_and_keep_the_order() {
    const CONTACTS: usize = 20;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 32;
    world.publish_early(lines(stream(CONTACTS, 0, 20))).await;
    for kill_at in [100, 250, 400] {
        let mut replica = world.start("one").await;
        world.asked("acme", kill_at).await;
        replica.kill();
        assert_midway(&world.state("acme"), 800);
    }
    let successor = world.start("two").await;
    world.fenced(&[&successor]).await;
    let repeats = repeats(&world.state("acme"), CONTACTS, 20);
    assert!(repeats <= 3 * 32, "{repeats} repeats after three kills, with 32 unsettled at most");
    world.finish([successor]).await;
}

#[tokio::test]
async fn freshsales_failing_in_every_way_costs_time_and_nothing_else() {
    const CONTACTS: usize = 10;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.request_timeout = "1s";
    let replica = world.start("one").await;
    world.publish_all(lines(stream(CONTACTS, 0, 20))).await;
    world.asked("acme", 100).await;
    world
        .fault(
            "acme",
            json!([
                {"endpoint": "*", "action": {"status": 503, "body": "no"}, "next": 4},
                {"endpoint": "*", "action": {"reset": true}, "next": 4},
                {"endpoint": "*", "action": {"hang": true}, "next": 4},
            ]),
        )
        .await;
    soon("the lane says that it tries again", async || {
        replica.metric("freshet_lane_state{account=\"acme\",state=\"retrying\"}").await == 1.0
    })
    .await;
    world.settled(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, 20);
    shows(&replica, "freshet_lane_state{account=\"acme\",state=\"flowing\"}", 1.0).await;
    let (_, metrics) = replica.get("/metrics").await;
    for outcome in ["server_error", "connection", "timeout"] {
        let labels = [("account", "acme"), ("outcome", outcome)];
        assert_eq!(sum(&metrics, "freshet_api_requests_total", &labels), 4, "{outcome}");
    }
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_unauthorized_account_stops_alone_and_keeps_its_messages() {
    let mut other_key = Options::default();
    other_key.admission.api_key = Some("another".into());
    let world = World::shared()
        .await
        .account_with("acme", "write_keys = [\"a\"]", other_key)
        .await
        .account("globex", "write_keys = [\"g\"]")
        .await;
    let replica = world.start("one").await;
    let of = |key: &str, contact: usize| {
        let mut event = identify(contact, 0);
        event["writeKey"] = json!(key);
        event["messageId"] = json!(format!("{key} {contact}"));
        event.to_string()
    };
    world.publish_all((0..20).flat_map(|contact| [of("a", contact), of("g", contact)])).await;
    soon("the other account's events arrive", async || {
        world.state("globex")["contacts"].as_array().unwrap().len() == 20
    })
    .await;
    let delivered = "freshet_events_delivered_total{account=\"globex\",type=\"identify\"}";
    shows(&replica, delivered, 20.0).await;
    shows(&replica, "freshet_lane_state{account=\"acme\",state=\"unauthorized\"}", 1.0).await;
    shows(&replica, "freshet_lane_state{account=\"globex\",state=\"flowing\"}", 1.0).await;
    let status: Value = serde_json::from_str(&replica.get("/api/status").await.1).unwrap();
    assert_eq!(status["accounts"][0]["state"], "unauthorized");
    assert!(status["accounts"][0]["why"].as_str().unwrap().contains("api_key"), "{status}");
    let asked = world.state("acme")["total_requests"].as_u64().unwrap();
    // They are on no queue that is counted, and not in flight, because the fields are not read: yet they wait.
    shows(&replica, "freshet_lane_held{account=\"acme\"}", 20.0).await;
    shows(&replica, "freshet_events_in_flight{account=\"acme\"}", 0.0).await;
    // The three kinds of fields are asked for at once; after the refusal nothing is.
    assert!(asked <= 3, "{asked} calls with a key that is refused");
    world.finish_leaving([replica], &BTreeMap::from([("acme", 20)])).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_time_that_retry_after_names() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    // Longer than the wait without it.
    let fault = json!({
        "endpoint": "contacts_upsert", "action": {"status": 429, "headers": {"retry-after": "9"}}, "next": 1
    });
    world.fault("acme", fault).await;
    // Alone, so that no other call is on its way when the answer comes.
    world.publish(identify(0, 0).to_string()).await;
    shows(&replica, "freshet_lane_state{account=\"acme\",state=\"throttled\"}", 1.0).await;
    world.publish_all((1..20).map(|contact| identify(contact, 0).to_string())).await;
    // Tracking has a quota of its own.
    world.publish(track(99, 0).to_string()).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let log = state["log"].as_array().unwrap();
    let at = |entry: &Value| entry["at_ms"].as_u64().unwrap();
    let throttled = log.iter().position(|entry| entry["status"] == "429").unwrap();
    let (mut calls, mut tracked_meanwhile) = (0, BTreeSet::new());
    for entry in &log[throttled + 1..] {
        if entry["endpoint"] == "track_events" {
            tracked_meanwhile.insert(at(entry) < at(&log[throttled]) + 9000);
            continue;
        }
        calls += 1;
        assert!(at(entry) >= at(&log[throttled]) + 9000, "{entry}, {}", log[throttled]);
    }
    // Those that waited together go together.
    assert!((1..20).contains(&calls), "{calls}");
    assert_eq!(tracked_meanwhile.len(), 1);
    assert_eq!(state["contacts"].as_array().unwrap().len(), 20);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_stop_that_runs_out_of_grace_ends_with_1_and_says_how_many_events_go_back() {
    const CONTACTS: usize = 20;
    let world = World::shared().await.account_with("acme", "", slow()).await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    // Far shorter than closing a connection that has no other end.
    let config = world
        .config_at(&proxy.url(world.vhost.url()), "one")
        .replace("shutdown_grace = \"10s\"", "shutdown_grace = \"100ms\"");
    let mut replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    world.publish_all(lines(stream(CONTACTS, 0, 20))).await;
    world.asked("acme", 100).await;
    proxy.hang().await;
    assert_midway(&world.state("acme"), 800);
    replica.signal("TERM");
    assert_eq!(replica.exit().await.code(), Some(1), "{}", replica.log());
    let line = replica.line("delivery.shutdown_grace ran out").await;
    let events = line.split("events=").nth(1).and_then(|rest| rest.split_whitespace().next());
    assert!(events.is_some_and(|events| events.parse::<u64>().unwrap() > 0), "{line}");
    proxy.pass().await;
    drop(proxy);
    let successor = world.start("two").await;
    world.fenced(&[&successor]).await;
    repeats(&world.state("acme"), CONTACTS, 20);
    world.finish([successor]).await;
}
