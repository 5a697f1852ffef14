//! A broker that is there and not as it should be: queues gone or different, no permission, alarms, timeouts.

use freshet::sandbox::Options;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::types::AMQPValue;
use serde_json::json;

use crate::events::{addressed, assert_exact, stream, track};
use crate::faults::{lines, not_ready, shows, slow};
use crate::support::{Broker, Freshet, Proxy, soon};
use crate::world::World;

/// An event for the account that has this write key.
/// How many activities an account's sandbox holds.
fn activities(world: &World, account: &str) -> usize {
    world.state(account)["activities"].as_array().unwrap().len()
}

async fn delete(world: &World, queue: &str) {
    let channel = world.amqp.channel().await;
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

async fn two_accounts() -> World {
    World::of_two().await
}

/// Waits until `/readyz` answers 503 with this text.
async fn unready(replica: &Freshet, why: &str) {
    soon(why, async || match replica.get("/readyz").await {
        (503, text) if text.contains(why) => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_anew_and_nothing_published_later_is_lost() {
    const EACH: usize = 100;
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let mut next = 0..;
    for queue in [world.lane("acme"), world.queue(), world.dead()] {
        world.publish_all((&mut next).take(EACH).map(|contact| track(contact, 0).to_string())).await;
        world.settled(&[&replica]).await;
        delete(&world, &queue).await;
        if queue == world.queue() {
            // Being there is not enough: a queue is listed before it takes messages.
            soon("the intake is worked again", async || world.amqp.consumers(&queue).await >= Some(1)).await;
        }
        // To a lane or dead letters that may be missing still.
        world.publish("broken").await;
        world.publish_all((&mut next).take(EACH).map(|contact| track(contact, 0).to_string())).await;
        soon("the letter is there", async || world.amqp.depth(&world.dead()).await == Some(1)).await;
        assert_eq!(world.dead_letters(1).await[0].data, b"broken", "{queue}");
    }
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world, "acme"), 6 * EACH);
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_exchange_that_is_deleted_is_declared_anew_with_its_bindings() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    for (number, exchange) in [world.dead(), world.lanes()].into_iter().enumerate() {
        let channel = world.amqp.channel().await;
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
        world.publish_all(["broken".to_owned(), track(number, 0).to_string()]).await;
        assert_eq!(world.dead_letters(1).await[0].data, b"broken", "{exchange}");
    }
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world, "acme"), 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_lane_that_is_there_is_used_as_it_stands() {
    let world = two_accounts().await;
    let (acme, globex) = (world.lane("acme"), world.lane("globex"));
    world.amqp.declare_classic(&acme).await;
    world.amqp.declare_quorum(&globex, &[("x-delivery-limit", AMQPValue::LongLongInt(7))]).await;
    let replica = world.start("one").await;
    for key in ["a", "g"] {
        world.publish_all((0..50).map(|contact| addressed(track(contact, 0), key))).await;
    }
    let mut refused = track(99, 0);
    refused["event"] = json!("");
    for key in ["a", "g"] {
        world.publish(addressed(refused.clone(), key)).await;
    }
    world.settled(&[&replica]).await;
    assert_eq!([activities(&world, "acme"), activities(&world, "globex")], [50, 50]);
    assert_eq!(world.dead_letters(2).await.len(), 2);
    let list = ["list_queues", "-p", &world.vhost.name, "--no-table-headers", "name", "type", "arguments"];
    let listed = Broker::shared().await.control(&list).await;
    let of = |queue: &str| listed.lines().find(|line| line.starts_with(&format!("{queue}\t"))).unwrap();
    assert!(of(&acme).contains("classic"), "{listed}");
    assert!(of(&globex).contains("x-delivery-limit") && !of(&globex).contains("x-overflow"), "{listed}");
    assert!(!replica.log().contains("a channel broke"), "{}", replica.log());
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_user_or_a_vhost_that_is_missing_is_told_and_waited_for() {
    const PASSWORD: &str = "late-password";
    let broker = Broker::shared().await;
    let mut world = World::with_acme().await;
    let vhost = world.vhost.name.clone();
    let user = format!("late-{vhost}");
    let url = world.vhost.url().replace("guest:guest", &format!("{user}:{PASSWORD}"));
    let mut replica = Freshet::start(&world.config_at(&url, "one"), &World::environment());
    unready(&replica, "Are user and password in broker.url right?").await;
    broker.control(&["add_user", &user, "another"]).await;
    broker.control(&["set_permissions", "-p", &vhost, &user, ".*", ".*", ".*"]).await;
    unready(&replica, "ACCESS_REFUSED").await;
    broker.control(&["change_password", &user, PASSWORD]).await;
    replica.ready().await;
    world.publish(track(0, 0).to_string()).await;
    world.settled(&[&replica]).await;

    // With everything in it, under a replica at work.
    broker.control(&["delete_vhost", &vhost]).await;
    not_ready(&replica).await;
    unready(&replica, &vhost).await;
    unready(&replica, "%2f is the vhost `/`").await;
    broker.control(&["add_vhost", &vhost]).await;
    for user in ["guest", &user] {
        broker.control(&["set_permissions", "-p", &vhost, user, ".*", ".*", ".*"]).await;
    }
    replica.ready().await;
    world.amqp = world.vhost.connect().await;
    world.publish(track(0, 1).to_string()).await;
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world, "acme"), 2);
    assert!(!replica.log().contains(PASSWORD), "{}", replica.log());
    assert_eq!(replica.exited(), None);
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_account_whose_lane_may_not_be_read_holds_back_no_other() {
    let broker = Broker::shared().await;
    let world = two_accounts().await;
    world.retire(world.start("early").await).await;
    let vhost = world.vhost.name.clone();
    let user = format!("barred-{vhost}");
    let all_but_globex = "^events(\\.(dead|lanes|replica.*|probe|lane\\.acme))?$";
    broker.control(&["add_user", &user, "password"]).await;
    broker
        .control(&["set_permissions", "-p", &vhost, &user, all_but_globex, all_but_globex, all_but_globex])
        .await;
    let url = world.vhost.url().replace("guest:guest", &format!("{user}:password"));
    let replica = world.start_at(&url, "one").await;
    world
        .publish_all((0..50).flat_map(|contact| ["a", "g"].map(|key| addressed(track(contact, 0), key))))
        .await;
    soon("the other account's events arrive", async || activities(&world, "acme") == 50).await;
    let line = replica.line("a channel broke").await;
    assert!(line.contains("globex") && line.contains("ACCESS_REFUSED"), "{line}");
    assert_eq!(activities(&world, "globex"), 0);

    broker.control(&["set_permissions", "-p", &vhost, &user, ".*", ".*", ".*"]).await;
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world, "globex"), 50);
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_channel_closed_by_the_consumer_timeout_costs_nothing() {
    const CONTACTS: usize = 10;
    const ROUNDS: usize = 5;
    let broker = Broker::private().await;
    // How often a channel looks at its timeouts; the default is a minute.
    broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 1000)."]).await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    let timeout = ("x-consumer-timeout", AMQPValue::LongLongInt(6000));
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    world.amqp.declare_quorum(&world.lane("acme"), &[timeout, single]).await;
    let replica = world.start("one").await;
    let throttled = json!({"status": 429, "headers": {"retry-after": "15"}});
    world
        .fault(
            "acme",
            json!([
                {"endpoint": "contacts_upsert", "action": throttled, "next": 1},
                {"endpoint": "contacts_bulk_upsert", "action": throttled, "next": 1},
            ]),
        )
        .await;
    world.publish_all(lines(stream(CONTACTS, 0, ROUNDS))).await;
    let line = replica.line("a channel broke").await;
    assert!(line.contains("PRECONDITION_FAILED") && line.contains("acme"), "{line}");
    shows(&replica, "freshet_lane_state{account=\"acme\",state=\"throttled\"}", 1.0).await;
    // Between two channels nothing is in flight, and nothing else shows that it is not over.
    soon("every track has arrived", async || activities(&world, "acme") >= CONTACTS * ROUNDS).await;
    world.fenced(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn while_an_alarm_lasts_events_stay_on_the_intake() {
    const CONTACTS: usize = 20;
    const ROUNDS: usize = 40;
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account_with("acme", "", slow()).await;
    world.publish_early(lines(stream(CONTACTS, 0, ROUNDS))).await;
    let alarm = async |verb: &str, what: &str| {
        let limit = format!("{{resource_limit, {what}, node()}}");
        let argument = if verb == "set" { format!("{{{limit}, []}}") } else { limit };
        broker.control(&["eval", &format!("rabbit_alarm:{verb}_alarm({argument}).")]).await;
    };
    alarm("set", "memory").await;
    let replica = Freshet::start(&world.config_at(world.vhost.url(), "one"), &World::environment());
    let stalled = "freshet_broker_stalled{reason=\"blocked\"}";
    replica.line("the broker takes no messages for now").await;
    unready(&replica, "low on memory").await;
    shows(&replica, stalled, 1.0).await;
    alarm("set", "disk").await;
    alarm("clear", "memory").await;
    let left = world.amqp.depth(&world.queue()).await.unwrap();
    let unrouted = 2 * CONTACTS * ROUNDS - 500;
    assert!(left as usize >= unrouted, "{left} left on the intake, of which the router takes 500 at most");
    assert_eq!(replica.metric(stalled).await, 1.0, "one of two alarms is over");
    alarm("clear", "disk").await;
    replica.line("the broker takes messages again").await;
    shows(&replica, stalled, 0.0).await;
    replica.ready().await;
    world.settled(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_is_routed_into_a_silent_network_is_routed_again() {
    const CONTACTS: usize = 20;
    const ROUNDS: usize = 40;
    let world = World::shared().await.account_with("acme", "", Options::default()).await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let url = format!("{}?heartbeat=1", proxy.url(world.vhost.url()));
    let replica = world.start_at(&url, "one").await;
    // It finds what the broker has sent by then, the prefetch, and the silence beside it, when it goes on.
    replica.signal("STOP");
    world.publish_all(lines(stream(CONTACTS, 0, ROUNDS))).await;
    proxy.hang().await;
    replica.signal("CONT");
    not_ready(&replica).await;
    assert_eq!(activities(&world, "acme"), 0);
    proxy.pass().await;
    replica.ready().await;
    world.fenced(&[&replica]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    world.finish([replica]).await;
}
