//! What the broker allows: small frames, few channels.

use serde_json::{Map, Value, json};

use crate::events::{arrived, track};
use crate::support::{Broker, Freshet, Settings, header, soon};
use crate::world::World;

const RECONNECTS: &str = "freshet_broker_reconnects_total";

async fn two_accounts(world: World) -> World {
    world.account("acme", "write_keys = [\"a\"]").await.account("globex", "write_keys = [\"g\"]").await
}

/// An identify with so many custom fields that the account does not have.
fn unknown_fields(count: usize) -> Value {
    let traits: Map<String, Value> = (0..count)
        .map(|number| (format!("cfUnknownField{number}"), json!("x")))
        .chain([("email".to_owned(), json!("a@example.com"))])
        .collect();
    json!({"type": "identify", "messageId": "m-1", "userId": "u-1", "writeKey": "a", "traits": traits})
}

#[tokio::test]
async fn letters_and_copies_fit_the_frames_of_a_broker_that_allows_small_ones() {
    for frame_max in [8192, 4096] {
        let config = "frame_max = 8192\n".to_owned();
        let broker = Broker::private_with(Settings { config, ..Settings::default() }).await;
        let world = two_accounts(World::on(broker.vhost().await).await).await;
        // The test's own client knows no smaller frames: it is connected by now.
        broker.control(&["eval", &format!("application:set_env(rabbit, frame_max, {frame_max}).")]).await;
        let replica = world.start("one").await;
        world.publish(unknown_fields(120).to_string()).await;
        // With headers that fill a frame, so that the router's note does not fit.
        let large = frame_max - 150;
        let headers = crate::support::table(&[("large", crate::support::text(&"x".repeat(large)))]);
        let properties = || lapin::BasicProperties::default().with_headers(headers.clone());
        let mut beside = track(0, 0);
        beside["writeKey"] = json!("g");
        world.publish_with(beside.to_string(), properties()).await;
        world.publish_with(r#"{"type":"track","userId":"u","writeKey":"a"}"#, properties()).await;
        // A body of many frames, through the router and into the dead letters.
        let long = format!("{{\"writeKey\":\"a\",\"type\":\"{}\"", "y".repeat(50_000));
        world.publish(&long).await;
        world.settled(&[&replica]).await;
        assert_eq!(arrived(&world.state("globex")).len(), 1);
        let letters = world.dead_letters(3).await;
        assert!(letters.iter().any(|letter| letter.data == long.as_bytes()));
        for letter in &letters {
            let reason = header(letter, "freshet-reason").unwrap();
            assert!(
                ["unknown_custom_field", "invalid_event", "malformed_json"].contains(&reason.as_str()),
                "{reason}"
            );
            let detail: Value = serde_json::from_str(&header(letter, "freshet-detail").unwrap()).unwrap();
            assert!(!detail.as_array().unwrap().is_empty(), "{detail}");
        }
        assert_eq!(replica.metric(RECONNECTS).await, 0.0, "{}", replica.log());
        world.finish([replica]).await;
    }
}

#[tokio::test]
async fn few_channels_are_enough_or_it_is_said_that_they_are_not() {
    let mut world = World::shared().await;
    for number in 0..5 {
        world = world.account(&format!("a{number}"), &format!("write_keys = [\"{number}\"]")).await;
    }
    for (channels, round) in [(8, 0), (16, 1)] {
        let url = format!("{}?channel_max={channels}", world.vhost.url());
        let replica = world.start_at(&url, "one").await;
        for number in 0..5 {
            let mut event = track(number, round);
            event["writeKey"] = json!(number.to_string());
            world.publish(event.to_string()).await;
            // A letter of each, on a channel of its own.
            world.publish(format!("{{\"writeKey\":\"{number}\",\"messageId\":\"{round}\"}}")).await;
        }
        world.settled(&[&replica]).await;
        for number in 0..5 {
            let arrived = arrived(&world.state(&format!("a{number}")));
            assert_eq!(arrived.values().flatten().count(), round + 1, "{channels} channels");
        }
        assert_eq!(replica.metric(RECONNECTS).await, 0.0, "{}", replica.log());
        world.retire(replica).await;
    }
    let url = format!("{}?channel_max=4", world.vhost.url());
    let mut replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
    let why = "the broker allows 4 channels on a connection (channel_max), and at least 8 are needed";
    replica.line(why).await;
    soon("/readyz says why", async || replica.get("/readyz").await.1.contains(why)).await;
    replica.stop().await;
    world.dead_letters(10).await;
    world.finish([]).await;
}
