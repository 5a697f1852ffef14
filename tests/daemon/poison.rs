//! A message that makes every replica die that works it.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::types::AMQPValue;
use serde_json::json;
use tokio::time::Instant;

use crate::events::{addressed, arrived, identify, track};
use crate::support::{Broker, header, next, soon, text};
use crate::world::World;

/// How often the poison and those beside it have come back before the first replica dies of it here. It is given up
/// at 100; a hundred deaths would take minutes.
const RETURNS: usize = 97;
const PREFETCH: u16 = 8;

/// How often the request was made at which the replica is killed.
fn strikes(world: &World) -> u64 {
    world.state("acme")["requests"]["track_page_views"]["hang"].as_u64().unwrap_or_default()
}

/// Takes so many messages off the lane and gives them back, so often.
async fn give_back(world: &World, times: usize, messages: usize) {
    give_back_to(world, &world.lane("acme"), times, messages).await;
}

async fn give_back_to(world: &World, queue: &str, times: usize, messages: usize) {
    for _ in 0..times {
        let (channel, mut consumer) = world.amqp.consume(queue, PREFETCH, &[]).await;
        for _ in 0..messages {
            next(&mut consumer).await;
        }
        channel.close(200, "returned".into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_kills_replicas_ends_in_the_dead_letters_alone() {
    const CONTACTS: usize = 20;
    let mut world = World::of_two().await;
    world.prefetch = PREFETCH;
    world.fault("acme", json!({"endpoint": "track_page_views", "action": {"hang": true}})).await;
    world.publish_early([]).await;
    let poison = json!({
        "type": "page", "userId": "contact.0@example.com", "messageId": "poison", "writeKey": "a",
        "properties": {"url": "https://example.com/poison"}
    });
    // One that is harmless comes before it. Behind it come others of its contact, which cannot overtake it, and more.
    let beside = [track(1, 0), poison.clone(), track(0, 0), track(0, 1), track(2, 0), track(3, 0)];
    let properties = lapin::BasicProperties::default;
    let to_acme = beside.iter().map(|event| (addressed(event.clone(), "a"), properties()));
    world.publish_to(&world.lanes(), "acme", to_acme).await;
    give_back(&world, RETURNS, beside.len()).await;
    world.publish_all((4..CONTACTS).map(|contact| addressed(track(contact, 0), "a"))).await;
    world.publish_all((0..CONTACTS).map(|contact| addressed(track(contact, 0), "g"))).await;

    let mut killed = 0;
    let last = loop {
        let mut replica = world.start("one").await;
        let given_up = soon("the poison strikes, or it is given up", async || {
            let given_up = world.amqp.depth(&world.dead()).await > Some(0);
            (given_up || strikes(&world) > killed).then_some(given_up)
        })
        .await;
        if given_up {
            break replica;
        }
        replica.kill();
        killed += 1;
        assert!(killed <= 3, "it is given out again and again");
    };
    assert!(killed > 0, "nobody died of it");
    world.fenced(&[&last]).await;

    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, addressed(poison, "a").as_bytes());
    assert_eq!(letters[0].routing_key.as_str(), "acme.delivery_limit");
    assert_eq!(header(&letters[0], "freshet-reason").as_deref(), Some("delivery_limit"));
    for (account, of_first) in [("acme", BTreeSet::from([0, 1])), ("globex", BTreeSet::from([0]))] {
        let arrived = arrived(&world.state(account));
        assert_eq!(arrived.len(), CONTACTS, "{account}");
        for (contact, numbers) in arrived {
            let wanted =
                if contact.starts_with("contact.0@") { of_first.clone() } else { BTreeSet::from([0]) };
            assert_eq!(numbers.iter().copied().collect::<BTreeSet<u64>>(), wanted, "{account}, {contact}");
        }
    }
    world.finish([last]).await;
}

#[tokio::test]
async fn what_came_back_often_is_worked_one_by_one_and_without_a_wait_before_each() {
    const EVENTS: usize = 8;
    let mut world = World::with_acme().await;
    world.prefetch = PREFETCH;
    world.publish_early([]).await;
    // Handed over together, they would share a call.
    let events =
        (0..EVENTS).map(|contact| (identify(contact, 0).to_string(), lapin::BasicProperties::default()));
    world.publish_to(&world.lanes(), "acme", events).await;
    give_back(&world, 25, EVENTS).await;
    let replica = world.start("one").await;
    let contacts = || world.state("acme")["contacts"].as_array().unwrap().len();
    soon("the first is there", async || contacts() > 0).await;
    let first = Instant::now();
    soon("all are there", async || contacts() == EVENTS).await;
    // A new holder waits three seconds for the last one's calls: once, and not before each.
    assert!(first.elapsed() < Duration::from_secs(3 * (EVENTS as u64 - 2)), "{:?}", first.elapsed());
    world.settled(&[&replica]).await;
    let alone = world.state("acme")["requests"]["contacts_upsert"]["201"].as_u64();
    assert_eq!(alone, Some(EVENTS as u64), "one call each: {}", world.state("acme")["requests"]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_stands_behind_a_condemned_one_waits_for_the_last_holder_s_calls() {
    let mut world = World::with_acme().await;
    world.prefetch = PREFETCH;
    world.publish_early([]).await;
    let events = (0..2).map(|number| (track(0, number).to_string(), lapin::BasicProperties::default()));
    world.publish_to(&world.lanes(), "acme", events).await;
    give_back(&world, 100, 2).await;
    let starting = Instant::now();
    let replica = world.start("one").await;
    soon("the second arrives", async || world.state("acme")["activities"].as_array().unwrap().len() == 1)
        .await;
    assert!(starting.elapsed() > Duration::from_secs(3), "{:?}", starting.elapsed());
    assert_eq!(world.dead_letters(1).await[0].routing_key.as_str(), "acme.delivery_limit");
    world.finish([replica]).await;
}

#[tokio::test]
async fn the_first_on_the_intake_that_came_back_too_often_is_condemned_and_those_behind_it_are_not() {
    let world = World::with_acme().await;
    world.publish_early([]).await;
    world.publish_all((0..3).map(|number| track(0, number).to_string())).await;
    give_back_to(&world, &world.queue(), 100, 3).await;
    let replica = world.start("one").await;
    world.settled(&[&replica]).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].data, track(0, 0).to_string().as_bytes());
    assert_eq!(letters[0].routing_key.as_str(), "_unrouted.delivery_limit");
    assert_eq!(header(&letters[0], "freshet-reason").as_deref(), Some("delivery_limit"));
    assert_eq!(arrived(&world.state("acme"))["contact.0@example.com"], [1, 2]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_came_back_often_to_the_intake_is_routed_one_by_one() {
    const UNROUTED: usize = 5;
    let world = World::of_two().await;
    // So soon full that what is to go there stays on its way.
    let full = [("x-max-length", AMQPValue::LongInt(2)), ("x-overflow", text("reject-publish"))];
    world.amqp.declare_quorum(&world.dead(), &full).await;
    world.retire(world.start("early").await).await;
    for letter in 0..2 {
        world.amqp.publish(&world.dead(), letter.to_string(), &[]).await;
    }
    world.publish_all((0..UNROUTED).map(|contact| track(contact, 0).to_string())).await;
    world.publish_all([addressed(track(0, 0), "g")]).await;
    give_back_to(&world, &world.queue(), 25, UNROUTED + 1).await;
    let replica = world.start("one").await;
    replica.line("messages are refused").await;
    assert_eq!(arrived(&world.state("globex")).len(), 0, "it was routed beside those before it");
    let mut letters = 0;
    soon("room brings them all", async || {
        letters += world.amqp.take_all(&world.dead()).await.len();
        letters == UNROUTED + 2
    })
    .await;
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("globex")).len(), 1);
    world.finish([replica]).await;
}

#[tokio::test]
async fn headers_nested_as_deep_as_a_frame_allows_do_no_harm() {
    const DEPTH: u32 = 15_000;
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    let replica = world.start("one").await;
    let body = track(0, 0).to_string();
    // No client makes such headers by accident, and this test's own would not survive it: the broker itself does.
    let publish = format!(
        "Deep = lists:foldl(fun(_, Inner) -> [{{<<\"a\">>, table, Inner}}] end, [], lists:seq(1, {DEPTH})), \
         Headers = [{{<<\"deep\">>, table, Deep}}], \
         Properties = setelement(5, setelement(4, erlang:make_tuple(15, undefined, [{{1, 'P_basic'}}]), Headers), 2), \
         Exchange = rabbit_misc:r(<<\"{vhost}\">>, exchange, <<>>), \
         {{ok, Message}} = mc_amqpl:message(Exchange, <<\"{queue}\">>, rabbit_basic:build_content(Properties, <<{body:?}>>)), \
         rabbit_queue_type:publish_at_most_once(Exchange, Message).",
        vhost = world.vhost.name,
        queue = world.queue(),
    );
    broker.control(&["eval", &publish]).await;
    world.expect(1);
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme")).len(), 1);
    world.finish([replica]).await;
}
