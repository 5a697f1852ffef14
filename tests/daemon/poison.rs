//! A message that makes every replica die that works it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::events::{arrived, track};
use crate::support::{Broker, header, next, soon};
use crate::world::World;

/// How often the poison and those beside it have come back before the first replica dies of it here. It is given up
/// at 100; a hundred deaths would take minutes.
const RETURNS: usize = 97;
const PREFETCH: u16 = 8;

/// How often the request was made at which the replica is killed.
fn strikes(world: &World) -> u64 {
    world.state("acme")["requests"]["track_page_views"]["hang"].as_u64().unwrap_or_default()
}

fn keyed(mut event: Value, key: &str) -> String {
    event["writeKey"] = json!(key);
    event.to_string()
}

#[tokio::test]
async fn a_message_that_kills_replicas_ends_in_the_dead_letters_alone() {
    const CONTACTS: usize = 20;
    let mut world = World::shared()
        .await
        .account("acme", "write_keys = [\"a\"]")
        .await
        .account("globex", "write_keys = [\"g\"]")
        .await;
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
    let to_acme = beside.iter().map(|event| (keyed(event.clone(), "a"), properties()));
    world.publish_to(&world.lanes(), "acme", to_acme).await;
    for _ in 0..RETURNS {
        let (channel, mut consumer) = world.amqp.consume(&world.lane("acme"), PREFETCH, &[]).await;
        for _ in &beside {
            next(&mut consumer).await;
        }
        channel.close(200, "returned".into()).await.unwrap();
    }
    world.publish_all((4..CONTACTS).map(|contact| keyed(track(contact, 0), "a"))).await;
    world.publish_all((0..CONTACTS).map(|contact| keyed(track(contact, 0), "g"))).await;

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
    assert_eq!(letters[0].data, keyed(poison, "a").as_bytes());
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
async fn headers_nested_as_deep_as_a_frame_allows_do_no_harm() {
    const DEPTH: u32 = 15_000;
    let broker = Broker::private().await;
    let world = World::on(broker.vhost()).await.account("acme", "").await;
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
    broker.control(&["eval", &publish]);
    world.expect(1);
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme")).len(), 1);
    world.finish([replica]).await;
}
