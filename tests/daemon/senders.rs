//! What senders put into properties and headers: it is delivered, and nobody else notices.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::events::{arrived, track};
use crate::support::raw::{Raw, entry, headers, long, nested, property, short};
use crate::support::{Freshet, header, next, soon};
use crate::world::{World, sum};

const RECONNECTS: &str = "freshet_broker_reconnects_total";

async fn two_accounts(world: World) -> World {
    world.account("acme", "write_keys = [\"a\"]").await.account("globex", "write_keys = [\"g\"]").await
}

fn to_acme(mut event: Value) -> Vec<u8> {
    event["writeKey"] = json!("a");
    event.to_string().into_bytes()
}

async fn raw(world: &World) -> Raw {
    Raw::connect(&world.vhost.addr(), &world.vhost.name).await
}

/// Everything has arrived, over the first connection.
async fn undisturbed(world: &World, replica: &Freshet, contacts: usize) {
    world.settled(&[replica]).await;
    assert_eq!(arrived(&world.state("acme")).len(), contacts);
    assert_eq!(replica.metric(RECONNECTS).await, 0.0, "{}", replica.log());
    assert!(!replica.log().contains("a channel broke"), "{}", replica.log());
}

#[tokio::test]
async fn bytes_that_are_no_utf_8_are_delivered_wherever_they_stand() {
    const BAD: &[u8] = b"caf\xe9";
    // Content type, correlation, reply, message, type, app and cluster; then headers. RabbitMQ itself looks at the
    // others.
    let mut hostile: Vec<Vec<u8>> =
        [15, 10, 9, 7, 5, 3, 2].iter().map(|bit| property(*bit, &short(BAD))).collect();
    let inner = entry(b"inner \xff", b'S', &long(BAD));
    let in_array = [&b"F"[..], &long(&inner)].concat();
    hostile.push(headers(&entry(BAD, b'V', b"")));
    hostile.push(headers(&entry(b"array", b'A', &long(&in_array))));
    hostile.push(headers(&entry(b"value", b'S', &long(BAD))));
    let world = two_accounts(World::shared().await).await;
    let replica = world.start("one").await;
    let mut sender = raw(&world).await;
    let queue = world.queue();
    for (number, properties) in hostile.iter().enumerate() {
        sender.publish(b"", queue.as_bytes(), properties, &to_acme(track(number, 0))).await;
        world.expect(1);
        // Past the router, too.
        sender.publish(world.lanes().as_bytes(), b"acme", properties, &to_acme(track(100 + number, 0))).await;
        world.expect(1);
        let mut beside = track(number, 0);
        beside["writeKey"] = json!("g");
        world.publish(beside.to_string()).await;
    }
    // The key comes with the delivery. Of an exchange's name RabbitMQ sees to it itself.
    sender.fan_out(b"all", &queue).await;
    sender.publish(b"all", b"key\xe9", &property(3, &short(b"ok")), &to_acme(track(200, 0))).await;
    world.expect(1);
    undisturbed(&world, &replica, 2 * hostile.len() + 1).await;
    assert_eq!(arrived(&world.state("globex")).len(), hostile.len());
    let line = replica.line("a message was changed so that it can be read").await;
    assert!(!line.contains("caf"), "{line}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn the_letter_of_a_message_with_such_bytes_has_what_can_be_read() {
    let world = two_accounts(World::shared().await).await;
    let replica = world.start("one").await;
    let mut sender = raw(&world).await;
    let queue = world.queue();
    sender.publish(b"", queue.as_bytes(), &property(3, &short(b"caf\xe9")), b"{\"writeKey\":\"a\"").await;
    let nested = headers(&nested(1000));
    sender.publish(world.lanes().as_bytes(), b"acme", &nested, b"no JSON").await;
    world.expect(2);
    let letters = world.dead_letters(2).await;
    let app_ids: Vec<_> = letters
        .iter()
        .filter_map(|letter| letter.properties.app_id().as_ref())
        .map(ToString::to_string)
        .collect();
    assert_eq!(app_ids, ["caf?"]);
    for letter in &letters {
        assert_eq!(header(letter, "freshet-reason").as_deref(), Some("malformed_json"));
    }
    assert_eq!(replica.metric(RECONNECTS).await, 0.0, "{}", replica.log());
    world.finish([replica]).await;
}

/// As large a header as fits, beside delivery mode and headers' flags.
fn filled(frame_max: usize) -> Vec<u8> {
    let around = 8 + 12 + headers(&entry(b"large", b'S', &long(b""))).len();
    let properties = headers(&entry(b"large", b'S', &long(&vec![b'x'; frame_max - around])));
    assert_eq!(properties.len() + 8 + 12, frame_max);
    properties
}

#[tokio::test]
async fn what_the_broker_adds_to_headers_that_fill_a_frame_ends_no_connection() {
    let mut world = two_accounts(World::shared().await).await;
    world.prefetch = 8;
    world.publish_early([]).await;
    let mut sender = raw(&world).await;
    let properties = filled(sender.frame_max());
    sender.publish(world.lanes().as_bytes(), b"acme", &properties, &to_acme(track(0, 0))).await;
    // Given back, it comes with the broker's counts on top.
    let (channel, mut consumer) = world.amqp.consume(&world.lane("acme"), 1, &[]).await;
    next(&mut consumer).await;
    channel.close(200, "returned".into()).await.unwrap();
    world.expect(1);
    let replica = world.start("one").await;
    undisturbed(&world, &replica, 1).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn headers_nested_as_deep_as_a_frame_allows_are_delivered() {
    // RabbitMQ's own time for such headers grows with the square of their depth.
    const LEVELS: usize = 25_000;
    let world = two_accounts(World::shared().await).await;
    let replica = world.start("one").await;
    let mut sender = raw(&world).await;
    let deep = headers(&nested(LEVELS));
    assert!(deep.len() + 20 <= sender.frame_max());
    sender.publish(b"", world.queue().as_bytes(), &deep, &to_acme(track(0, 0))).await;
    sender.publish(world.lanes().as_bytes(), b"acme", &deep, &to_acme(track(1, 0))).await;
    world.expect(2);
    undisturbed(&world, &replica, 2).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn many_hostile_messages_cost_a_line_now_and_then() {
    const MANY: usize = 300;
    let world = two_accounts(World::shared().await).await;
    let replica = world.start("one").await;
    let mut sender = raw(&world).await;
    let queue = world.queue();
    for number in 0..MANY {
        sender
            .publish(
                b"",
                queue.as_bytes(),
                &property(3, &short(b"\xff")),
                &to_acme(track(number % 5, number)),
            )
            .await;
        world.expect(1);
    }
    soon("all are there", async || {
        replica.metric("freshet_events_delivered_total{account=\"acme\",type=\"track\"}").await == 300.0
    })
    .await;
    undisturbed(&world, &replica, 5).await;
    let lines = replica.log().matches("a message was changed").count();
    assert!(lines < 20, "{lines} lines");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_priority_lets_no_event_overtake_another_in_its_lane() {
    const EVENTS: usize = 40;
    let mut world = two_accounts(World::shared().await).await;
    world.prefetch = 8;
    let replica = world.start("one").await;
    world.fault("acme", json!([{"endpoint": "track_events", "action": {"hang": true}}])).await;
    let queue = world.queue();
    for number in 0..EVENTS {
        let priority = if number % 3 == 2 { 9 } else { 0 };
        world
            .publish_with(to_acme(track(0, number)), BasicProperties::default().with_priority(priority))
            .await;
        // On the intake it would overtake, as its sender wishes.
        soon("it is in the lane", async || {
            let (_, metrics) = replica.get("/metrics").await;
            let lane = u64::from(world.amqp.depth(&world.lane("acme")).await.unwrap_or_default());
            let held = sum(&metrics, "freshet_events_in_flight", &[("account", "acme")]);
            let there = lane + held;
            if world.amqp.depth(&queue).await == Some(0) && there == number as u64 + 1 {
                Ok(())
            } else {
                Err(format!("{there}"))
            }
        })
        .await;
    }
    world.at("acme").sandbox.reset();
    world.settled(&[&replica]).await;
    let numbers: Vec<u64> = (0..EVENTS as u64).collect();
    assert_eq!(arrived(&world.state("acme")).into_values().collect::<Vec<_>>(), [numbers]);
    world.finish([replica]).await;
}
