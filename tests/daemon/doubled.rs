//! A delivery that RabbitMQ hands out twice on a living channel, and a process that is killed while it is on its way.

use serde_json::{Value, json};

use crate::events::{arrived, email, identify, track};
use crate::support::{Doubler, Freshet, delete, soon};
use crate::world::{World, sum};

fn server(world: &World) -> String {
    let url = url::Url::parse(world.vhost.url()).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// A replica behind a doubler, to which this event was handed out twice and which cannot deliver it yet, and which has
/// settled another one since. `text` is in the bodies of the event and of its calls.
async fn doubled(world: &World, event: &Value, text: &str) -> (Doubler, Freshet) {
    world.publish_early([]).await;
    world.fault("acme", json!({"endpoint": "*", "containing": text, "action": {"status": 503}})).await;
    let doubler = Doubler::to(&server(world), text).await;
    let replica = world.start_at(&doubler.url(world.vhost.url()), "one").await;
    let other = track(1, 0);
    let events = [event, &other].map(|event| (event.to_string(), lapin::BasicProperties::default()));
    world.publish_to(&world.lanes(), "acme", events).await;
    soon("three deliveries are taken", async || {
        let (_, metrics) = replica.get("/metrics").await;
        doubler.doubled() && sum(&metrics, "freshet_events_received_total", &[("account", "acme")]) == 3
    })
    .await;
    soon("the other event is acknowledged", async || doubler.acknowledged("track 1 0")).await;
    assert!(!doubler.acknowledged(text), "acknowledged before it is delivered");
    (doubler, replica)
}

/// Mends the account.
async fn mend(world: &World) {
    delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_is_doubled_while_it_is_under_way_outlives_a_kill() {
    let world = World::with_acme().await;
    let (_doubler, mut replica) = doubled(&world, &track(0, 0), "track 0 0").await;
    replica.kill();
    mend(&world).await;
    let replica = world.start("one").await;
    world.fenced(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme")).get(&email(0)), Some(&vec![0]));
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_delivery_that_is_doubled_and_refused_outlives_a_kill_before_its_letter_is_confirmed() {
    let world = World::with_acme().await;
    let contact = email(0);
    let (doubler, mut replica) = doubled(&world, &identify(0, 7), &contact).await;
    doubler.withhold(&world.dead());
    mend(&world).await;
    let refused = json!({"status": 400, "body": {"errors": {"code": 400, "message": ["No"]}}});
    world.fault("acme", json!({"endpoint": "*", "containing": contact, "action": refused})).await;
    soon("both letters are on their way", async || doubler.withheld() == 2).await;
    assert!(!doubler.acknowledged(&contact), "acknowledged before its letter is confirmed");
    replica.kill();
    mend(&world).await;
    let replica = world.start("one").await;
    world.fenced(&[&replica]).await;
    let state = world.state("acme");
    let contacts = state["contacts"].as_array().unwrap();
    let seats: Vec<&Value> = contacts.iter().map(|contact| &contact["custom_field"]["cf_seats"]).collect();
    assert_eq!(seats, [7]);
    world.finish([replica]).await;
}
