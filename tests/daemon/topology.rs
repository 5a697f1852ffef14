//! The queues and exchanges as RabbitMQ shows them, and what their arguments are for.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use serde_json::{Value, json};

use crate::events::track;
use crate::support::{Broker, next, soon};
use crate::world::World;

const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

/// What `rabbitmqctl` lists of a world on the shared broker, by the first column.
async fn listed(world: &World, what: &str, columns: &[&str]) -> BTreeMap<String, Value> {
    let mut arguments = vec![what, "-p", &world.vhost.name, "--formatter", "json"];
    arguments.extend(columns);
    let rows: Vec<Value> = serde_json::from_str(&Broker::shared().await.control(&arguments).await).unwrap();
    rows.into_iter().map(|row| (row[columns[0]].as_str().unwrap().to_owned(), row)).collect()
}

fn arguments(row: &Value) -> BTreeMap<String, Value> {
    // Rows of name, type and value; newer brokers list an object.
    let Some(rows) = row["arguments"].as_array() else {
        return serde_json::from_value(row["arguments"].clone()).unwrap();
    };
    rows.iter().map(|row| (row[0].as_str().unwrap().to_owned(), row[2].clone())).collect()
}

#[tokio::test]
async fn everything_is_declared_as_promised_and_starting_again_changes_nothing() {
    let world = World::of_two().await;
    let one = world.start("one").await;
    let two = world.start("two").await;
    let queues = listed(&world, "list_queues", &["name", "type", "durable", "arguments"]).await;
    let names: Vec<&str> = queues.keys().map(String::as_str).collect();
    let of_connections = ["events.replica.", "events.status.", "events.counter"];
    let (reservations, kept): (Vec<&str>, Vec<&str>) =
        names.iter().partition(|name| of_connections.iter().any(|of_one| name.starts_with(of_one)));
    let plain: Vec<&str> =
        reservations.iter().copied().filter(|name| !name.starts_with("events.status.")).collect();
    assert_eq!(plain, ["events.counter", "events.replica.one", "events.replica.two"]);
    let told: Vec<&str> =
        reservations.iter().filter_map(|name| name.strip_prefix("events.status.")).collect();
    assert!(told.len() == 2 && told[0].starts_with("one.") && told[1].starts_with("two."), "{told:?}");
    assert_eq!(kept, ["events", "events.dead", "events.lane.acme", "events.lane.globex", "events.probe"]);
    for reservation in reservations {
        let queue = &queues[reservation];
        assert_eq!((&queue["type"], &queue["durable"]), (&json!("classic"), &json!(false)), "{reservation}");
    }
    for name in kept {
        let queue = &queues[name];
        assert_eq!((&queue["type"], &queue["durable"]), (&json!("quorum"), &json!(true)), "{name}");
        let mut expected = BTreeMap::from([("x-queue-type".to_owned(), json!("quorum"))]);
        let mut add = |name: &str, value: Value| drop(expected.insert(name.to_owned(), value));
        if name == "events.dead" {
            add("x-delivery-limit", json!(-1));
        } else if name == "events.probe" {
            add("x-max-length", json!(1));
            add("x-overflow", json!("drop-head"));
        } else {
            let owner = name.strip_prefix("events.lane.").unwrap_or("_unrouted");
            add("x-single-active-consumer", json!(true));
            add("x-delivery-limit", json!(200));
            add("x-consumer-timeout", json!(86_400_000));
            add("x-dead-letter-exchange", json!("events.dead"));
            add("x-dead-letter-routing-key", json!(format!("{owner}.delivery_limit")));
            add("x-dead-letter-strategy", json!("at-least-once"));
            add("x-overflow", json!("reject-publish"));
        }
        assert_eq!(arguments(queue), expected, "{name}");
    }
    let exchanges = listed(&world, "list_exchanges", &["name", "type", "durable"]).await;
    for (name, kind) in [("events.lanes", "direct"), ("events.dead", "topic")] {
        let exchange = &exchanges[name];
        assert_eq!((&exchange["type"], &exchange["durable"]), (&json!(kind), &json!(true)), "{name}");
    }
    let list = [
        "list_bindings",
        "-p",
        &world.vhost.name,
        "--no-table-headers",
        "source_name",
        "destination_name",
        "routing_key",
    ];
    let bindings = Broker::shared().await.control(&list).await;
    let mut ours: Vec<&str> = bindings.lines().filter(|line| line.starts_with("events")).collect();
    ours.sort_unstable();
    let told = ours.iter().filter(|line| line.starts_with("events.status\tevents.status.")).count();
    assert_eq!(told, 2, "each replica hears what the others tell");
    ours.retain(|line| !line.starts_with("events.status\t"));
    assert_eq!(
        ours,
        [
            "events.dead\tevents.dead\t#",
            "events.lanes\tevents.lane.acme\tacme",
            "events.lanes\tevents.lane.globex\tglobex",
            "events.lanes\tevents.probe\t_probe",
        ]
    );
    world.finish([one, two]).await;
}

#[tokio::test]
async fn an_intake_that_is_there_is_used_as_it_stands() {
    let world = World::with_acme().await;
    world.amqp.declare_classic(&world.queue()).await;
    world.publish(track(0, 0).to_string()).await;
    let replica = world.start("one").await;
    world.publish(track(0, 1).to_string()).await;
    world.publish("broken").await;
    world.settled(&[&replica]).await;
    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), 2);
    assert_eq!(world.dead_letters(1).await.len(), 1);
    let queues = listed(&world, "list_queues", &["name", "type"]).await;
    assert_eq!(queues["events"]["type"], "classic");
    assert_eq!(queues["events.lane.acme"]["type"], "quorum");
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_comes_back_more_than_two_hundred_times_ends_in_the_dead_letters() {
    let world = World::with_acme().await;
    world.retire(world.start("one").await).await;
    let properties = BasicProperties::default().with_message_id("m-1".into());
    let body = track(0, 0).to_string();
    world.amqp.publish_to(&world.lanes(), "acme", &body, properties).await;

    let (_channel, mut consumer) = world.amqp.consume(&world.lane("acme"), 1, &[]).await;
    for _ in 0..201 {
        assert_eq!(world.amqp.depth(&world.dead()).await, Some(0));
        assert!(next(&mut consumer).await.acker.nack(REQUEUE).await.unwrap());
    }
    soon("the message is a dead letter", async || world.amqp.depth(&world.dead()).await == Some(1)).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(letters[0].routing_key.as_str(), "acme.delivery_limit");
    assert_eq!(letters[0].data, body.as_bytes());
    assert_eq!(letters[0].properties.message_id().as_ref().unwrap().as_str(), "m-1");
    drop(consumer);
    world.finish([]).await;
}

#[tokio::test]
async fn looking_at_the_dead_letters_often_loses_none() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish("broken").await;
    world.settled(&[&replica]).await;
    let channel = world.amqp.channel().await;
    for _ in 0..30 {
        let dead = world.dead();
        let letter = soon("the letter is there", async || {
            channel.basic_get(dead.as_str().into(), BasicGetOptions::default()).await.unwrap()
        })
        .await;
        assert!(letter.delivery.acker.nack(REQUEUE).await.unwrap());
    }
    soon("the letter is still there", async || world.amqp.depth(&world.dead()).await == Some(1)).await;
    assert_eq!(world.dead_letters(1).await[0].data, b"broken");
    world.finish([replica]).await;
}
