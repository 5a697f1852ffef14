//! What RabbitMQ owes and does not give: deliveries, answers.

use crate::events::track;
use crate::support::Broker;
use crate::world::World;

/// Runs Erlang on the shared broker, with `Leader` bound to the process that leads a queue.
async fn at_leader(world: &World, queue: &str, erlang: &str) -> String {
    let vhost = &world.vhost.name;
    let lookup = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
         Leader = amqqueue:get_pid(Q), {erlang}."
    );
    Broker::shared().await.control(&["eval", &lookup])
}

/// Makes a queue believe that its consumers have all they may have, as it does when it lost track of deliveries.
async fn forget_consumers(world: &World, queue: &str) {
    let keys = "{ok, {_, Keys}, _} = ra:local_query(Leader, fun(State) -> \
        lists:append([maps:keys(Map) || Map <- tuple_to_list(State), is_map(Map), \
                      [Consumer | _] <- [maps:values(Map)], is_tuple(Consumer), element(1, Consumer) =:= consumer]) end)";
    let starve = "[ra:process_command(Leader, rabbit_fifo:make_credit(Key, 0, 0, false)) || Key <- Keys], length(Keys)";
    let starved = at_leader(world, queue, &format!("{keys}, {starve}")).await;
    assert_eq!(starved.trim(), "1", "{queue} has one consumer");
}

#[tokio::test]
async fn a_subscription_that_the_broker_forgot_is_made_anew() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(track(0, 0).to_string()).await;
    world.settled(&[&replica]).await;
    for queue in [world.queue(), world.lane("acme")] {
        forget_consumers(&world, &queue).await;
    }
    world.publish(track(0, 1).to_string()).await;
    // As somebody does who knows the account.
    world
        .publish_to("", &world.lane("acme"), [(track(1, 0).to_string(), lapin::BasicProperties::default())])
        .await;
    world.settled(&[&replica]).await;
    let log = replica.log();
    let anew = log.lines().filter(|line| line.contains("none is handed out here")).count();
    assert!(anew >= 2, "{log}");
    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), 3);
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([replica]).await;
}
