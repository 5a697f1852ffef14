//! Headers in Freshet's name that a sender set itself.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::json;

use crate::events::{identify, track};
use crate::support::{soon, table};
use crate::world::World;

fn forged() -> BasicProperties {
    BasicProperties::default().with_headers(table(&[
        // The year 5.
        ("freshet-queued-at", AMQPValue::LongLongInt(-62_000_000_000_000)),
        ("freshet-copy", AMQPValue::Boolean(true)),
        ("freshet-replays", AMQPValue::LongLongInt(7)),
    ]))
}

#[tokio::test]
async fn a_sender_s_own_headers_change_nothing_but_the_count_of_replays() {
    const LATENCY: &str = "freshet_delivery_seconds_sum{account=\"acme\"}";
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let same = identify(0, 0).to_string();
    let mut refused = track(1, 0);
    refused["event"] = json!("");
    // By the intake, and straight to the lane's queue.
    for queue in [world.queue(), world.lane("acme")] {
        let long_ago = [0, -62_000_000_000_000, 1, i64::MIN, i64::MAX].map(|queued_at| {
            let headers = table(&[("freshet-queued-at", AMQPValue::LongLongInt(queued_at))]);
            (track(2, 0).to_string(), BasicProperties::default().with_headers(headers).with_timestamp(1))
        });
        world.publish_to("", &queue, long_ago).await;
        world.publish_to("", &queue, [(refused.to_string(), forged())]).await;
    }
    world.publish_to("", &world.queue(), [same.clone(), same].map(|body| (body, forged()))).await;
    for letter in world.dead_letters(2).await {
        let replays = letter.properties.headers().as_ref().unwrap().inner().get("freshet-replays").cloned();
        // So that a letter without an account is counted, which goes by the intake.
        assert_eq!(replays, Some(AMQPValue::LongLongInt(7)));
    }
    world.settled(&[&replica]).await;
    assert_eq!(
        replica.metric("freshet_events_skipped_total{account=\"acme\",reason=\"duplicate\"}").await,
        10.0
    );
    assert!((0.0..3600.0).contains(&replica.metric(LATENCY).await), "{}", replica.metric(LATENCY).await);
    world.finish([replica]).await;
}

#[tokio::test]
async fn whoever_publishes_to_the_lanes_exchange_is_believed_within_bounds() {
    const LATENCY: &str = "freshet_delivery_seconds_sum{account=\"acme\"}";
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let mut refused = track(1, 0);
    refused["event"] = json!("");
    world.publish_to(&world.lanes(), "acme", [(refused.to_string(), forged())]).await;
    world.publish_to(&world.lanes(), "acme", [(track(2, 0).to_string(), forged())]).await;
    // As a letter comes back that is sent to its lane again.
    let letter = &world.dead_letters(1).await[0];
    let replays = letter.properties.headers().as_ref().unwrap().inner().get("freshet-replays").cloned();
    assert_eq!(replays, Some(AMQPValue::LongLongInt(7)));
    world.settled(&[&replica]).await;
    soon("both are measured", async || {
        replica.metric("freshet_delivery_seconds_count{account=\"acme\"}").await == 2.0
    })
    .await;
    let days = replica.metric(LATENCY).await / 86_400.0;
    assert!((0.0..61.0).contains(&days), "{days} days");
    world.finish([replica]).await;
}
