//! Batches, envelopes and packed bodies, from the intake to the accounts: each event alone, none lost, none repeated.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use freshet::broker::priority;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use crate::events::{arrived, email, track};
use crate::faults::shows;
use crate::support::{Freshet, Proxy, delete, header, soon, table, text};
use crate::world::{World, sum};

/// Puts a body with so many events on the intake.
async fn publish(world: &World, body: impl AsRef<[u8]>, events: usize) {
    publish_with(world, body, events, BasicProperties::default()).await;
}

async fn publish_with(world: &World, body: impl AsRef<[u8]>, events: usize, properties: BasicProperties) {
    world.publish_with(body, properties).await;
    world.expect(events as u64 - 1);
}

fn owned(key: &str, mut event: Value) -> Value {
    event["writeKey"] = json!(key);
    event
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn packed(encoding: &str) -> BasicProperties {
    BasicProperties::default().with_content_encoding(encoding.into())
}

/// By body: account and reason.
fn by_body(letters: &[Delivery]) -> BTreeMap<Vec<u8>, String> {
    letters.iter().map(|letter| (letter.data.clone(), letter.routing_key.to_string())).collect()
}

/// A replica that looks for events in envelopes.
async fn unwrapping(world: &World) -> Freshet {
    let [key] = World::environment();
    let environment = [key, ("FRESHET_BROKER_UNWRAP", "payload,data,detail,message")];
    let replica = Freshet::start(&world.config_at(world.vhost.url(), "one"), &environment);
    replica.ready().await;
    replica
}

/// The numbers that arrived for each of so many contacts are just this one.
fn assert_once(world: &World, account: &str, contacts: usize) {
    let arrived = arrived(&world.state(account));
    assert_eq!(arrived.len(), contacts, "{account}");
    for (contact, numbers) in arrived {
        assert_eq!(numbers, [0], "{account} {contact}");
    }
}

#[tokio::test]
async fn an_array_is_as_many_events_as_it_has() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let nameless = r#"{"type":"track", "messageId":"ar-5","userId":"u-12"}"#;
    let body = format!(
        r#"[{{"type":"identify","messageId":"ar-1","userId":"u-12","traits":{{"email":"kim@example.com"}}}},
            {{"type":"group","messageId":"ar-2","userId":"u-12","groupId":"g-1","traits":{{"name":"K Co"}}}},
            {{"type":"track","messageId":"ar-3","userId":"u-12","event":"Signed Up"}},
            {{"type":"delete","messageId":"ar-4","userId":"u-12"}},
            {nameless}]"#
    );
    publish(&world, body, 5).await;
    world.settled(&[&replica]).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, nameless.as_bytes(), "that event, to the byte");
    assert_eq!(letters[0].routing_key.as_str(), "acme.invalid_event");
    assert_eq!(header(&letters[0], "freshet-message-id").as_deref(), Some("ar-5"));
    let state = world.state("acme");
    assert_eq!(state["contacts"].as_array().unwrap().len(), 1);
    assert_eq!(state["activities"][0]["identifier"], "kim@example.com");
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, "freshet_events_delivered_total", &[("account", "acme")]), 2);
    assert_eq!(sum(&metrics, "freshet_events_skipped_total", &[("reason", "unsupported_type")]), 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_stands_beside_a_batch_holds_for_each_event() {
    let world = World::of_two().await;
    let replica = world.start("one").await;
    let body = json!({
        "batch": [
            {"type": "identify", "userId": "u-13", "traits": {"email": "lena@example.com"}},
            {"type": "page", "userId": "lena@example.com", "properties": {"title": "Pricing"}},
            {"type": "page", "userId": "other@example.com", "writeKey": "g", "context": {"page": {"url": "https://own.example/"}}},
            {"type": "track", "userId": "u-13", "event": "Left out", "integrations": {"Freshsales Suite": false}},
        ],
        "context": {"page": {"url": "https://example.com/pricing"}},
        "integrations": {"Freshsales Suite": true, "All": false},
        "writeKey": "a",
        "sentAt": "2026-01-02T03:04:05.678Z",
    });
    publish(&world, body.to_string(), 4).await;
    world.settled(&[&replica]).await;
    let acme = world.state("acme");
    assert_eq!(acme["contacts"][0]["email"], "lena@example.com");
    assert_eq!(acme["activities"].as_array().unwrap().len(), 1, "{acme}");
    assert!(acme["activities"].to_string().contains("https://example.com/pricing"), "{acme}");
    assert!(world.state("globex")["activities"].to_string().contains("https://own.example/"));
    let skipped = "freshet_events_skipped_total{account=\"acme\",reason=\"integration_disabled\"}";
    assert_eq!(replica.metric(skipped).await, 1.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn each_event_fails_for_itself_and_goes_to_its_own_account() {
    let world = World::of_two().await;
    let replica = world.start("one").await;
    let large = format!(r#"{{"type":"track","messageId":"l","writeKey":"a","x":"{}"}}"#, "x".repeat(1 << 20));
    let bad = br#"{"type":"track","messageId":"no utf-8 \xff","writeKey":"a"}"#;
    let mut body = b"[".to_vec();
    let parts: Vec<Vec<u8>> = vec![
        owned("a", track(0, 0)).to_string().into(),
        b"7".to_vec(),
        owned("g", track(0, 0)).to_string().into(),
        large.clone().into(),
        br#"[{"type":"track"}]"#.to_vec(),
        bad.iter().copied().map(|byte| if byte == b'\\' { 0xff } else { byte }).collect(),
        br#"{"type":"track","messageId":"n","writeKey":"nobody's"}"#.to_vec(),
        b"null".to_vec(),
        owned("a", track(1, 0)).to_string().into(),
    ];
    body.extend(parts.join(&b", "[..]));
    body.push(b']');
    publish(&world, body, 9).await;
    let letters = world.dead_letters(6).await;
    let found = by_body(&letters);
    for (part, key) in [
        (1, "_unrouted.malformed_json"),
        (3, "_unrouted.too_large"),
        (4, "_unrouted.malformed_json"),
        (5, "_unrouted.malformed_json"),
        (6, "_unrouted.unknown_account"),
        (7, "_unrouted.malformed_json"),
    ] {
        let part: &Vec<u8> = &parts[part];
        assert_eq!(
            found.get(part).map(String::as_str),
            Some(key),
            "{}",
            String::from_utf8_lossy(&part[..9.min(part.len())])
        );
    }
    world.settled(&[&replica]).await;
    assert_once(&world, "acme", 2);
    assert_once(&world, "globex", 1);

    // With a header, all of it is that account's.
    let properties =
        BasicProperties::default().with_headers(table(&[("freshsales-account", text("globex"))]));
    let body = format!("[{}, 8, {large}]", owned("a", track(2, 0)));
    publish_with(&world, body, 3, properties).await;
    let letters = world.dead_letters(2).await;
    let found = by_body(&letters);
    assert_eq!(found.get(&b"8"[..]).map(String::as_str), Some("globex.malformed_json"));
    assert_eq!(found.get(large.as_bytes()).map(String::as_str), Some("globex.too_large"));
    world.settled(&[&replica]).await;
    assert_once(&world, "globex", 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn five_thousand_events_are_a_batch_and_one_more_is_none() {
    let world = World::of_two().await;
    let replica = world.start("one").await;
    let event = |number: usize| {
        if number.is_multiple_of(50) {
            track(0, number).to_string()
        } else {
            format!(r#"{{"type":"group","messageId":"{number}"}}"#)
        }
    };
    let batch = |count: usize| {
        let events: Vec<String> = (0..count).map(event).collect();
        format!(r#"{{"batch":[{}],"writeKey":"a"}}"#, events.join(","))
    };
    publish(&world, batch(5000), 5000).await;
    world.publish(owned("g", track(0, 0)).to_string()).await;
    world.settled(&[&replica]).await;
    let numbers: Vec<u64> = (0..5000).step_by(50).collect();
    assert_eq!(arrived(&world.state("acme"))[&email(0)], numbers, "in order");
    assert_once(&world, "globex", 1);

    let many = batch(5001);
    world.publish(&many).await;
    world.publish(r#"{"batch":[],"writeKey":"g"}"#).await;
    world.publish("[]").await;
    let letters = world.dead_letters(3).await;
    let found = by_body(&letters);
    assert_eq!(found.get(many.as_bytes()).map(String::as_str), Some("acme.too_large"));
    assert_eq!(
        found.get(&br#"{"batch":[],"writeKey":"g"}"#[..]).map(String::as_str),
        Some("globex.invalid_event")
    );
    assert_eq!(found.get(&b"[]"[..]).map(String::as_str), Some("_unrouted.invalid_event"));
    let large = letters.iter().find(|letter| letter.data == many.as_bytes()).unwrap();
    assert!(header(large, "freshet-detail").unwrap().contains("at most 5000 events"));
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_batch_in_a_lane_is_told_where_it_belongs() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let body = format!("[{}]", track(0, 0));
    world.publish_to(&world.lanes(), "acme", [(&body, BasicProperties::default())]).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, body.as_bytes());
    assert_eq!(letters[0].routing_key.as_str(), "acme.malformed_json");
    let detail = header(&letters[0], "freshet-detail").unwrap();
    assert!(detail.contains("batches are split only on the intake"), "{detail}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn packed_bodies_are_read_and_their_letters_are_what_was_sent() {
    // First, because it takes longer than a request may, and the sandbox waits meanwhile.
    let refused = gzip(r#"{"type":"track","messageId":"packed","writeKey":"a"}"#);
    let bomb = gzip(&format!("[{}]", " ".repeat(17 << 20)));
    let large = gzip(&format!(r#"{{"type":"track","messageId":"large","x":"{}"}}"#, "x".repeat(1 << 20)));
    let world = World::of_two().await;
    let replica = world.start("one").await;
    let event = |number: usize| owned("a", track(number, 0)).to_string();
    for (body, encoding) in [
        (gzip(&event(0)), "GZIP"),
        (compress_to_vec(event(1).as_bytes(), CompressionLevel::Fastest), "zstd"),
        (event(2).into(), "utf-8"),
        (event(3).into(), "identity"),
    ] {
        publish_with(&world, body, 1, packed(encoding)).await;
    }
    let body = gzip(&format!("[{},{},7]", event(4), owned("g", track(0, 0))));
    publish_with(&world, body, 3, packed("gzip")).await;
    publish_with(&world, &refused, 1, packed("gzip")).await;
    publish_with(&world, &bomb, 1, packed("gzip")).await;
    publish_with(&world, &refused[..20], 1, packed("gzip")).await;
    publish_with(&world, event(5), 1, packed("br")).await;
    let to_acme = packed("gzip").with_headers(table(&[("freshsales-account", text("acme"))]));
    publish_with(&world, &large, 1, to_acme).await;

    let letters = world.dead_letters(6).await;
    let found = by_body(&letters);
    for (body, key, encoding) in [
        (&b"7"[..], "_unrouted.malformed_json", None),
        (&refused[..], "acme.invalid_event", Some("gzip")),
        (&bomb[..], "_unrouted.too_large", Some("gzip")),
        (&refused[..20], "_unrouted.malformed_json", Some("gzip")),
        (event(5).as_bytes(), "_unrouted.malformed_json", Some("br")),
        (&large[..], "acme.too_large", Some("gzip")),
    ] {
        assert_eq!(found.get(body).map(String::as_str), Some(key));
        let letter = letters.iter().find(|letter| letter.data == body).unwrap();
        let kept = letter.properties.content_encoding().as_ref().map(ToString::to_string);
        assert_eq!(kept.as_deref(), encoding, "{key}");
    }
    for (body, id) in [(&refused, "packed"), (&large, "large")] {
        let letter = letters.iter().find(|letter| letter.data == *body).unwrap();
        assert_eq!(header(letter, "freshet-message-id").as_deref(), Some(id));
    }
    world.settled(&[&replica]).await;
    assert_once(&world, "acme", 5);
    assert_once(&world, "globex", 1);
    world.finish([replica]).await;
}

#[tokio::test]
async fn events_are_found_within_envelopes_and_letters_keep_them() {
    let world = World::of_two().await;
    let replica = unwrapping(&world).await;
    let event = |number: usize| owned("a", track(number, 0));
    for body in [
        json!({"eventType": "x", "payload": event(0)}),
        json!({"specversion": "1.0", "type": "com.example.event", "source": "/s", "id": "1", "data": event(1)}),
        json!({"version": "0", "detail-type": "Segment Event", "source": "aws", "detail": event(2)}),
        json!({"messageType": ["urn:message:x"], "message": event(3)}),
        json!({"pattern": "events", "data": event(4).to_string()}),
        json!({"writeKey": "a", "data": {"payload": track(5, 0)}}),
    ] {
        world.publish(body.to_string()).await;
    }
    let body = json!({"specversion": "1.0", "type": "b", "data": {"writeKey": "a", "batch": [track(6, 0), track(7, 0)]}});
    publish(&world, body.to_string(), 2).await;
    let refused =
        r#"{"specversion": "1.0", "type": "t", "data": {"type":"track","messageId":"in","writeKey":"a"}}"#;
    world.publish(refused).await;
    let strange = r#"{"specversion":"1.0","type":"t","writeKey":"a","other":{}}"#;
    world.publish(strange).await;
    let letters = world.dead_letters(2).await;
    let found = by_body(&letters);
    assert_eq!(found.get(refused.as_bytes()).map(String::as_str), Some("acme.invalid_event"));
    assert_eq!(found.get(strange.as_bytes()).map(String::as_str), Some("acme.invalid_event"));
    let letter = letters.iter().find(|letter| letter.data == refused.as_bytes()).unwrap();
    assert_eq!(header(letter, "freshet-message-id").as_deref(), Some("in"));
    assert_eq!(header(letter, "freshet-event-type").as_deref(), Some("track"));
    world.settled(&[&replica]).await;
    assert_once(&world, "acme", 8);
    world.finish([replica]).await;
}

/// Events of both accounts in turn, without `messageId`s.
fn batch_of_both(contacts: usize) -> String {
    let nameless = |key: &str, contact: usize| {
        let mut event = owned(key, track(contact, 0));
        event.as_object_mut().unwrap().remove("messageId");
        event
    };
    let events: Vec<Value> =
        (0..contacts).flat_map(|contact| [nameless("a", contact), nameless("g", contact)]).collect();
    json!(events).to_string()
}

/// A world in which the lane of `acme` takes no more than a few events at a time.
async fn with_a_full_lane() -> World {
    let mut world = World::of_two().await;
    world.prefetch = 10;
    let arguments = [
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-max-length", AMQPValue::LongLongInt(20)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    world.amqp.declare_quorum(&world.lane("acme"), &arguments).await;
    world
}

const CONTACTS: usize = 150;

/// Publishes a batch, and waits until it is half-way: all of one account's events have arrived; the other account answers
/// nothing, and most of its events cannot get into their lane.
async fn half_way(world: &World) {
    world.fault("acme", json!([{"endpoint": "*", "action": {"hang": true}}])).await;
    publish(world, batch_of_both(CONTACTS), 2 * CONTACTS).await;
    soon("the other account's events arrive", async || arrived(&world.state("globex")).len() == CONTACTS)
        .await;
    soon("the lane is full", async || world.amqp.depth(&world.lane("acme")).await >= Some(20)).await;
}

/// Lets the account answer again, and waits until all of its events have arrived.
async fn all_arrive(world: &World) {
    delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();
    soon("all arrive", async || {
        let arrived = arrived(&world.state("acme")).len();
        if arrived == CONTACTS { Ok(()) } else { Err(format!("{arrived} of {CONTACTS}")) }
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_is_full_in_the_middle_of_a_batch_holds_back_nobody_else() {
    let world = with_a_full_lane().await;
    let replica = world.start("one").await;
    half_way(&world).await;
    world.publish(owned("g", track(CONTACTS, 0)).to_string()).await;
    soon("what comes after it arrives", async || arrived(&world.state("globex")).len() == CONTACTS + 1).await;
    all_arrive(&world).await;
    world.settled(&[&replica]).await;
    assert_once(&world, "acme", CONTACTS);
    assert_once(&world, "globex", CONTACTS + 1);
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, "freshet_events_skipped_total", &[]), 0, "nothing was sent twice");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_batch_that_a_lost_connection_tears_is_split_again_and_nothing_is_repeated() {
    let world = with_a_full_lane().await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let replica = world.start_at(&proxy.url(world.vhost.url()), "one").await;
    half_way(&world).await;
    proxy.cut();
    shows(&replica, "freshet_broker_reconnects_total", 1.0).await;
    all_arrive(&world).await;
    world.fenced(&[&replica]).await;
    assert_once(&world, "acme", CONTACTS);
    assert_once(&world, "globex", CONTACTS);
    let repeated = "freshet_events_skipped_total{account=\"globex\",reason=\"duplicate\"}";
    assert_eq!(replica.metric(repeated).await, 150.0, "known by the names that were made up");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_batch_that_a_kill_tears_is_split_by_the_next_replica_and_nothing_is_repeated() {
    let world = with_a_full_lane().await;
    // Routes, since it is the first; the lanes prefer the second.
    let mut first = world.start("one").await;
    let prefers = |replica: &String| {
        ["acme", "globex"].iter().all(|account| priority(replica, account) > priority("one", account))
    };
    let name = (0..1000).map(|number| format!("two-{number}")).find(prefers).unwrap();
    let second = world.start(&name).await;
    world.subscribed(2).await;
    for account in ["acme", "globex"] {
        let body = json!({"type": "group", "messageId": format!("to {account}")}).to_string();
        world.publish_to(&world.lanes(), account, [(body, BasicProperties::default())]).await;
        let series =
            format!("freshet_events_skipped_total{{account=\"{account}\",reason=\"unsupported_type\"}}");
        shows(&second, &series, 1.0).await;
    }
    half_way(&world).await;
    assert_eq!(first.metric("freshet_events_received_total{account=\"globex\",type=\"track\"}").await, 0.0);
    first.kill();
    all_arrive(&world).await;
    world.fenced(&[&second]).await;
    assert_once(&world, "acme", CONTACTS);
    assert_once(&world, "globex", CONTACTS);
    world.finish([second]).await;
}
