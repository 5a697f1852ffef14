//! A message that makes every replica die that works it.

use std::collections::BTreeSet;

use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::events::{arrived, track};
use crate::support::{soon, text};
use crate::world::World;

/// What the lane is given in place of 200. Narrowing the channel returns its messages, too: with a prefetch of 8 the
/// poison is alone after six returns, and from then on comes back twice for each death, but its neighbours once.
const LIMIT: i64 = 12;

/// How often the request was made at which the replica is killed.
fn deaths(world: &World) -> u64 {
    world.state("acme")["requests"]["track_page_views"]["hang"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_message_that_kills_replicas_ends_in_the_dead_letters_alone() {
    const CONTACTS: usize = 30;
    let mut world = World::shared()
        .await
        .account("acme", "write_keys = [\"a\"]")
        .await
        .account("globex", "write_keys = [\"g\"]")
        .await;
    world.prefetch = 8;
    let arguments = [
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-delivery-limit", AMQPValue::LongLongInt(LIMIT)),
        ("x-consumer-timeout", AMQPValue::LongLongInt(86_400_000)),
        ("x-dead-letter-exchange", text(&world.dead())),
        ("x-dead-letter-routing-key", text("acme.delivery_limit")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    world.amqp.declare_quorum(&world.lane("acme"), &arguments).await;
    let keyed = |mut event: Value, key: &str| {
        event["writeKey"] = json!(key);
        event.to_string()
    };
    let poison = json!({
        "type": "page", "userId": "contact.0@example.com", "messageId": "poison", "writeKey": "a",
        "properties": {"url": "https://example.com/poison"}
    })
    .to_string();
    world.fault("acme", json!({"endpoint": "track_page_views", "action": {"hang": true}})).await;
    world.publish_early([]).await;
    world.publish(&poison).await;
    // Of the poison's contact, which cannot overtake it, and of others.
    for number in 0..3 {
        let events = (0..CONTACTS).flat_map(|c| ["a", "g"].map(|key| keyed(track(c, number), key)));
        world.publish_all(events).await;
    }
    let mut killed = 0;
    let last = loop {
        let mut replica = world.start("one").await;
        let given_up = soon("the poison strikes, or it is given up", async || {
            let given_up = world.amqp.depth(&world.dead()).await > Some(0);
            (given_up || deaths(&world) > killed).then_some(given_up)
        })
        .await;
        if given_up {
            break replica;
        }
        replica.kill();
        killed += 1;
        assert!(killed <= LIMIT.unsigned_abs() + 1, "the broker gives it out again and again");
    };
    assert!(killed > 0);
    world.fenced(&[&last]).await;

    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, poison.as_bytes());
    assert_eq!(letters[0].routing_key.as_str(), "acme.delivery_limit");
    let death = letters[0].properties.headers().as_ref().unwrap().inner()["x-death"].as_array().unwrap();
    let death = death.as_slice()[0].as_field_table().unwrap().inner()["reason"].as_long_string().unwrap();
    assert_eq!(death.to_string(), "delivery_limit");
    for account in ["acme", "globex"] {
        let arrived = arrived(&world.state(account));
        assert_eq!(arrived.len(), CONTACTS, "{account}");
        for (contact, numbers) in arrived {
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(distinct, BTreeSet::from([0, 1, 2]), "{account}, {contact}");
        }
    }
    world.finish([last]).await;
}
