//! Messages that connections end over: made unreadable on their way to the client library, each time anew.

use std::collections::BTreeSet;

use lapin::BasicProperties;
use lapin::message::Delivery;
use serde_json::{Value, json};

use crate::events::{assert_exact, repeats, stream};
use crate::faults::lines;
use crate::support::{Distortion, Freshet, Proxy, delete, header, soon};
use crate::world::World;

/// Connections that may be lost until all are condemned that are unreadable.
const LOST: f64 = 5.0;
/// Whom the events are about that come while a culprit is looked for.
const MEANWHILE: &str = "meanwhile@example.com";

const CONTACTS: usize = 20;
const ROUNDS: usize = 10;

pub fn keyed(mut event: Value, key: &str) -> Value {
    event["writeKey"] = json!(key);
    event
}

/// An event over which the connection ends, if the proxy knows this marker.
fn culprit(marker: &str, key: &str) -> String {
    keyed(json!({"type": "track", "userId": "culprit@example.com", "messageId": marker, "event": "Bad"}), key)
        .to_string()
}

pub async fn two_accounts() -> World {
    World::of_two().await
}

fn numbered(key: &str, from: usize) -> Vec<String> {
    lines(stream(CONTACTS, from, ROUNDS).map(|event| keyed(event, key))).collect()
}

/// Publishes an event for globex now and then, straight to its lane, until so many dead letters are there and those
/// events have arrived.
///
/// Asserts that the letters cost the other account few lost connections: each is a pause, and the only long one. How long
/// they are is measured by the chaos test.
pub async fn until_condemned(world: &World, replica: &Freshet, letters: u32) {
    let meanwhile = || {
        let state = world.state("globex");
        let activities = state["activities"].as_array().unwrap();
        activities.iter().filter(|one| one["identifier"] == MEANWHILE).count()
    };
    let (mut published, mut condemned) = (0, false);
    soon("what is unreadable becomes dead letters, and the others go on", async || {
        condemned = condemned || world.amqp.depth(&world.dead()).await == Some(letters);
        let arrived = meanwhile();
        if condemned {
            return if arrived == published { Ok(()) } else { Err(replica.log()) };
        }
        if published < arrived + 5 {
            let event = json!({
                "type": "track", "userId": MEANWHILE, "messageId": format!("meanwhile {published}"),
                "event": "Numbered", "properties": {"number": published},
            });
            let event = (event.to_string(), BasicProperties::default());
            world.publish_to(&world.lanes(), "globex", [event]).await;
            published += 1;
        }
        Err(replica.log())
    })
    .await;
    let lost = replica.metric("freshet_broker_reconnects_total").await;
    assert!(lost <= LOST, "{lost} connections lost: {}", replica.log());
}

fn bodies(letters: &[Delivery]) -> BTreeSet<String> {
    letters.iter().map(|letter| String::from_utf8(letter.data.clone()).unwrap()).collect()
}

fn condemned(letter: &Delivery, key: &str) {
    assert_eq!(letter.routing_key.as_str(), key);
    assert_eq!(header(letter, "freshet-reason").as_deref(), Some("delivery_limit"));
}

/// The events of others, without those that were sent meanwhile.
pub fn without_meanwhile(mut state: Value) -> Value {
    state["activities"].as_array_mut().unwrap().retain(|one| one["identifier"] != MEANWHILE);
    state
}

async fn through(world: &World) -> (Proxy, String) {
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let url = proxy.url(world.vhost.url());
    (proxy, url)
}

/// All events of the others arrived once and in order.
async fn innocent(world: &World, replicas: &[&Freshet], rounds: usize) {
    world.fenced(replicas).await;
    for account in ["acme", "globex"] {
        assert_exact(&without_meanwhile(world.state(account)), CONTACTS, rounds);
    }
}

async fn a_lane(distortion: Distortion) {
    let world = two_accounts().await;
    let (proxy, url) = through(&world).await;
    proxy.distortions().add("unreadable-1", distortion);
    let replica = world.start_at(&url, "one").await;
    for key in ["a", "g"] {
        world.publish_all(numbered(key, 0)).await;
    }
    let culprit = culprit("unreadable-1", "a");
    let properties = BasicProperties::default().with_message_id("property-1".into());
    world.publish_to(&world.lanes(), "acme", [(culprit.clone(), properties)]).await;
    for key in ["a", "g"] {
        world.publish_all(numbered(key, ROUNDS)).await;
    }
    until_condemned(&world, &replica, 1).await;
    let line = replica.line("was made a dead letter").await;
    assert!(line.contains(&world.lane("acme")) && line.contains("property-1"), "{line}");
    innocent(&world, &[&replica], 2 * ROUNDS).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, culprit.as_bytes());
    assert_eq!(letters[0].properties.message_id().as_ref().unwrap().as_str(), "property-1");
    condemned(&letters[0], "acme.delivery_limit");
    assert!(proxy.distortions().struck("unreadable-1") < 10, "each time costs the others a return");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_message_in_a_lane_that_connections_end_over_is_condemned_alone() {
    a_lane(Distortion::HeaderEnd).await;
}

#[tokio::test]
async fn so_is_one_of_which_not_even_the_queue_is_known() {
    a_lane(Distortion::Arguments).await;
}

#[tokio::test]
async fn a_message_on_the_intake_that_connections_end_over_is_condemned_alone() {
    let world = two_accounts().await;
    let (proxy, url) = through(&world).await;
    proxy.distortions().add("unreadable-1", Distortion::BodyEnd);
    let replica = world.start_at(&url, "one").await;
    let culprit = culprit("unreadable-1", "a");
    for key in ["a", "g"] {
        world.publish_all(numbered(key, 0)).await;
    }
    world.publish(culprit.clone()).await;
    for key in ["a", "g"] {
        world.publish_all(numbered(key, ROUNDS)).await;
    }
    until_condemned(&world, &replica, 1).await;
    innocent(&world, &[&replica], 2 * ROUNDS).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, culprit.as_bytes());
    condemned(&letters[0], "_unrouted.delivery_limit");
    world.finish([replica]).await;
}

#[tokio::test]
async fn one_in_a_lane_that_stands_still_is_condemned_all_the_same() {
    let mut world = two_accounts().await;
    // The window is full, and nothing of it is settled.
    world.prefetch = 50;
    let (proxy, url) = through(&world).await;
    proxy.distortions().add("unreadable-1", Distortion::HeaderEnd);
    world.publish_early([]).await;
    let in_lane = |body: String| (body, BasicProperties::default());
    let events = numbered("a", 0);
    let (before, behind) = events.split_at(30);
    let bad = culprit("unreadable-1", "a");
    let all = before.iter().chain([&bad]).chain(behind).cloned().map(in_lane);
    world.publish_to(&world.lanes(), "acme", all).await;
    world.fault("acme", json!([{"endpoint": "*", "action": {"hang": true}}])).await;
    let replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
    until_condemned(&world, &replica, 1).await;
    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), 0);
    delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();
    world.fenced(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    condemned(&world.dead_letters(1).await[0], "acme.delivery_limit");
    world.finish([replica]).await;
}

#[tokio::test]
async fn several_in_several_queues_are_condemned_and_nothing_else_is() {
    let world = two_accounts().await;
    let (proxy, url) = through(&world).await;
    let distortions = [Distortion::HeaderEnd, Distortion::Arguments, Distortion::BodyEnd];
    for (number, distortion) in distortions.into_iter().cycle().take(6).enumerate() {
        proxy.distortions().add(&format!("unreadable-{number}"), distortion);
    }
    let culprits = |key| [0, 1, 2, 3, 4, 5].map(|number| culprit(&format!("unreadable-{number}"), key));
    let [first, second, third, fourth, fifth, sixth] = culprits("a");
    let one = world.start_at(&url, "one").await;
    let two = world.start_at(&url, "two").await;
    let in_lane = |body: &String| (body.clone(), BasicProperties::default());
    for key in ["a", "g"] {
        world.publish_all(numbered(key, 0)).await;
    }
    world.publish_to(&world.lanes(), "acme", [in_lane(&first), in_lane(&second)]).await;
    world.publish(third.clone()).await;
    for key in ["a", "g"] {
        world.publish_all(numbered(key, ROUNDS)).await;
    }
    world.publish_to(&world.lanes(), "acme", [in_lane(&fourth)]).await;
    world.publish(fifth.clone()).await;
    world.publish(sixth.clone()).await;
    until_condemned(&world, &one, 6).await;
    world.fenced(&[&one, &two]).await;
    for account in ["acme", "globex"] {
        // Settled by one replica and not acknowledged when its connection ended, it comes again at the other one.
        repeats(&without_meanwhile(world.state(account)), CONTACTS, 2 * ROUNDS);
    }
    let letters = world.dead_letters(6).await;
    assert_eq!(bodies(&letters), BTreeSet::from(culprits("a")));
    world.finish([one, two]).await;
}

/// A consumer that is cancelled makes another replica active, which gets what stands behind the messages that are still
/// held here: their order is lost.
#[tokio::test]
async fn no_look_cancels_a_consumer_while_it_holds_messages() {
    let mut world = two_accounts().await;
    for number in 0..150 {
        world = world.account(&format!("other-{number}"), "write_keys = []").await;
    }
    let (proxy, url) = through(&world).await;
    // It may be any queue: so all are looked at, and all but one are found good. With so many, letting go of them takes
    // long enough for cancellations to leave before the connection ends.
    proxy.distortions().add("unreadable-1", Distortion::Arguments);
    let replica = world.start_at(&url, "one").await;
    let in_lane = |body: String| (body, BasicProperties::default());
    world.publish_to(&world.lanes(), "acme", [in_lane(culprit("unreadable-1", "a"))]).await;
    until_condemned(&world, &replica, 1).await;
    assert_eq!(proxy.distortions().cancellations(), 0);
    condemned(&world.dead_letters(1).await[0], "acme.delivery_limit");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_hundred_at_once_are_condemned_and_nothing_beside_them_is() {
    const MANY: u32 = 120;
    let world = two_accounts().await;
    let (proxy, url) = through(&world).await;
    let marker = |number| format!("unreadable-{number}.");
    for number in 0..MANY {
        proxy.distortions().add(&marker(number), Distortion::HeaderEnd);
    }
    world.publish_early([]).await;
    // All of them stand in what is handed out together.
    let innocents = numbered("a", 0);
    let culprits = (0..MANY).map(|number| culprit(&marker(number), "a"));
    let (before, behind) = innocents.split_at(5);
    let all = before.iter().cloned().chain(culprits).chain(behind.iter().cloned());
    let in_lane = |body: String| (body, BasicProperties::default());
    world.publish_to(&world.lanes(), "acme", all.map(in_lane)).await;
    world.publish_all(numbered("g", 0)).await;
    let replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
    until_condemned(&world, &replica, MANY).await;
    innocent(&world, &[&replica], ROUNDS).await;
    let letters = world.dead_letters(usize::try_from(MANY).unwrap()).await;
    assert!(letters.iter().all(|letter| String::from_utf8_lossy(&letter.data).contains("culprit@")));
    assert!(proxy.distortions().struck(&marker(0)) < 20, "each time costs the others a return");
    world.finish([replica]).await;
}
