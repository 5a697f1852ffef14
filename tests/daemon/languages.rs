//! Senders that speak AMQP 1.0, which RabbitMQ translates; and what it takes and cannot translate.

use lapin::options::QueuePurgeOptions;

use crate::events::{arrived, track};
use crate::support::Freshet;
use crate::support::amqp10::{NULL, Sender, application_property, data, properties, symbol, text};
use crate::unreadable::{keyed, two_accounts, until_condemned, without_meanwhile};
use crate::world::World;

const EVENTS: usize = 20;

fn event(number: usize) -> Vec<u8> {
    keyed(track(0, number), "a").to_string().into_bytes()
}

/// A property of a type that AMQP 0-9-1 does not have: RabbitMQ 4.0 fails when it is to hand the message out.
fn uuid() -> Vec<u8> {
    application_property("id", &[&[0x98][..], &[7; 16]].concat())
}

async fn sender(world: &World, queue: &str) -> Sender {
    Sender::to(&world.vhost.addr(), &world.vhost.name, queue).await
}

#[tokio::test]
async fn what_can_be_translated_is_delivered() {
    let world = two_accounts().await;
    let replica = world.start("one").await;
    let mut sender = sender(&world, &world.queue()).await;
    let sections = [application_property("tenant", &text("t1".as_bytes())), data(&event(0))].concat();
    sender.send(&sections).await;
    sender.send(&[properties(&[&text(&[b'm'; 300])]), data(&event(1))].concat()).await;
    world.expect(2);
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme")).into_values().collect::<Vec<_>>(), [[0, 1]]);
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0, "{}", replica.log());
    world.finish([replica]).await;
}

/// The one message is a dead letter in the end, all others of its queue have arrived once and in order, and few
/// connections were lost.
async fn given_up_alone(world: World, replicas: Vec<Freshet>) {
    until_condemned(&world, &replicas[0], 1).await;
    world.publish(event(EVENTS)).await;
    world.fenced(&replicas.iter().collect::<Vec<_>>()).await;
    let numbers: Vec<u64> = (0..=EVENTS as u64).collect();
    assert_eq!(arrived(&without_meanwhile(world.state("acme"))).into_values().collect::<Vec<_>>(), [numbers]);
    assert_eq!(world.amqp.depth(&world.dead()).await, Some(1));
    // No client that speaks AMQP 0-9-1 can take it.
    let channel = world.amqp.channel().await;
    channel.queue_purge(world.dead().into(), QueuePurgeOptions::default()).await.unwrap();
    world.finish(replicas).await;
}

#[tokio::test]
async fn a_message_on_the_intake_that_rabbitmq_cannot_translate_stops_no_account() {
    let world = two_accounts().await;
    world.publish_early((0..EVENTS / 2).map(|number| String::from_utf8(event(number)).unwrap())).await;
    sender(&world, &world.queue()).await.send(&[uuid(), data(b"{}")].concat()).await;
    world.publish_all((EVENTS / 2..EVENTS).map(|number| String::from_utf8(event(number)).unwrap())).await;
    let replica = world.start("one").await;
    given_up_alone(world, vec![replica]).await;
}

#[tokio::test]
async fn a_message_in_a_lane_that_rabbitmq_cannot_translate_stops_no_other_account() {
    let world = two_accounts().await;
    let replica = world.start("one").await;
    // A content type that is too long for AMQP 0-9-1 does it, too.
    let long = properties(&[NULL, NULL, NULL, NULL, NULL, NULL, &symbol(&[b'x'; 300])]);
    sender(&world, &world.lane("acme")).await.send(&[long, data(b"{}")].concat()).await;
    world.publish_all((0..EVENTS).map(|number| String::from_utf8(event(number)).unwrap())).await;
    given_up_alone(world, vec![replica]).await;
}
