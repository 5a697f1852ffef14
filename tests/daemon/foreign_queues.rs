//! Queues that somebody else declared: of a kind that cannot be consumed without loss, or that drop messages.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::AMQPValue;
use serde_json::json;

use crate::events::track;
use crate::support::{Freshet, header, soon, table, text};
use crate::world::World;

async fn declare(world: &World, queue: &str, options: QueueDeclareOptions, arguments: &[(&str, AMQPValue)]) {
    world.amqp.channel().await.queue_declare(queue.into(), options, table(arguments)).await.unwrap();
}

const DURABLE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

async fn readiness(replica: &Freshet, status: u16, expected: &str) {
    soon(expected, async || match replica.get("/readyz").await {
        (found, text) if found == status && text.contains(expected) => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
}

fn activities(world: &World) -> usize {
    world.state("acme")["activities"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_intake_that_is_a_stream_is_refused_in_words_and_the_lanes_go_on() {
    let world = World::with_acme().await;
    let stream = [("x-queue-type", text("stream"))];
    declare(&world, &world.queue(), DURABLE, &stream).await;
    // What stood there before Freshet came would be passed over.
    world.amqp.publish(&world.queue(), track(0, 0).to_string(), &[]).await;
    let replica = Freshet::start(&world.config_at(world.vhost.url(), "one"), &World::environment());
    readiness(&replica, 503, "is a stream").await;
    let line = replica.line("the intake cannot be used").await;
    assert!(line.contains(&world.queue()) && line.contains("is a stream"), "{line}");
    assert_eq!(replica.metric("freshet_broker_stalled{reason=\"intake\"}").await, 1.0);
    assert_eq!(world.amqp.consumers(&world.queue()).await, Some(0));

    let lane = [(track(1, 0).to_string(), lapin::BasicProperties::default())];
    world.publish_to(&world.lanes(), "acme", lane).await;
    soon("what stands in the lane is delivered", async || activities(&world) == 1).await;

    // Mended without a restart.
    let channel = world.amqp.channel().await;
    channel.queue_delete(world.queue().into(), QueueDeleteOptions::default()).await.unwrap();
    readiness(&replica, 200, "").await;
    assert_eq!(replica.metric("freshet_broker_stalled{reason=\"intake\"}").await, 0.0);
    world.publish(track(2, 0).to_string()).await;
    soon("what is published then is delivered", async || activities(&world) == 2).await;
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_intake_that_another_connection_holds_exclusively_is_told_and_the_lanes_go_on() {
    let mut world = World::with_acme().await;
    let exclusive = QueueDeclareOptions { exclusive: true, durable: false, ..DURABLE };
    declare(&world, &world.queue(), exclusive, &[("x-queue-type", text("classic"))]).await;
    let replica = Freshet::start(&world.config_at(world.vhost.url(), "one"), &World::environment());
    readiness(&replica, 503, "is exclusive to another connection").await;
    let other = world.vhost.connect().await;
    other
        .publish_to(&world.lanes(), "acme", track(0, 0).to_string(), lapin::BasicProperties::default())
        .await;
    world.expect(1);
    soon("what stands in the lane is delivered", async || activities(&world) == 1).await;
    // It goes with its connection.
    let holder = std::mem::replace(&mut world.amqp, other);
    holder.connection.close(200, "done".into()).await.unwrap();
    readiness(&replica, 200, "").await;
    world.publish(track(1, 0).to_string()).await;
    soon("what is published then is delivered", async || activities(&world) == 2).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_lane_that_is_a_stream_is_told_and_holds_up_no_other() {
    let world = World::of_two().await;
    declare(&world, &world.lane("globex"), DURABLE, &[("x-queue-type", text("stream"))]).await;
    let replica = world.start("one").await;
    let line = replica.line("is a stream").await;
    assert!(line.contains("globex"), "{line}");
    let mut event = track(0, 0);
    event["writeKey"] = json!("a");
    world.publish(event.to_string()).await;
    soon("the other account's event arrives", async || activities(&world) == 1).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn queues_that_may_lose_messages_are_warned_of_and_used() {
    let world = World::with_acme().await;
    let number = |value| AMQPValue::LongInt(value);
    let arguments = [
        ("x-queue-type", text("classic")),
        ("x-expires", number(3_600_000)),
        ("x-message-ttl", number(3_600_000)),
        ("x-max-length", number(1000)),
    ];
    let auto_delete = QueueDeclareOptions { auto_delete: true, ..DURABLE };
    declare(&world, &world.queue(), auto_delete, &arguments).await;
    // Nothing that drops: no word about it.
    declare(&world, &world.lane("acme"), DURABLE, &[("x-queue-type", text("classic"))]).await;
    let replica = world.start("one").await;
    for danger in ["auto-delete", "x-expires", "x-message-ttl", "x-max-length"] {
        let line = replica.line(danger).await;
        assert!(line.contains("a queue may lose messages") && line.contains(&world.queue()), "{line}");
    }
    world.publish(track(0, 0).to_string()).await;
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world), 1);
    assert_eq!(replica.log().matches("a queue may lose messages").count(), 4, "{}", replica.log());
    // The intake goes with its consumer; all else is as in any test.
    let mut replica = replica;
    replica.stop().await;
    assert_eq!(world.amqp.depth(&world.lane("acme")).await, Some(0));
    assert_eq!(world.amqp.depth(&world.dead()).await, Some(0));
}

#[tokio::test]
async fn a_letter_that_rabbitmq_made_says_why() {
    let world = World::with_acme().await;
    world.retire(world.start("early").await).await;
    let expiring = lapin::BasicProperties::default().with_expiration("1".into());
    world.amqp.publish_to("", &world.queue(), track(0, 0).to_string(), expiring).await;
    let letter = world.dead_letters(1).await.remove(0);
    assert_eq!(letter.routing_key.as_str(), "_unrouted.delivery_limit");
    assert_eq!(header(&letter, "freshet-reason"), None);
    assert_eq!(header(&letter, "x-first-death-reason").as_deref(), Some("expired"));
    assert_eq!(header(&letter, "x-first-death-queue"), Some(world.queue()));
    world.finish([]).await;
}
