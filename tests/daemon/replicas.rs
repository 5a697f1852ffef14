//! Several replicas on one broker: who works which account, and what happens when one comes or goes.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet::broker::priority;
use freshet::sandbox::Options;
use serde_json::Value;

use crate::events::{addressed, arrived, assert_exact, repeats, stream, track};
use crate::faults::shows;
use crate::support::{Freshet, soon};
use crate::world::{World, sum};

const ACCOUNTS: [&str; 8] = ["acme", "globex", "initech", "hooli", "umbrella", "stark", "wayne", "wonka"];

/// The replica that an account's lane prefers.
pub fn preferred<'a>(replicas: &[&'a str], account: &str) -> &'a str {
    replicas.iter().copied().max_by_key(|replica| priority(replica, account)).unwrap()
}

async fn many_accounts() -> World {
    let mut world = World::shared().await;
    for account in ACCOUNTS {
        world = world.account(account, &format!("write_keys = [\"{account}\"]")).await;
    }
    world
}

fn slow() -> Options {
    Options { latency: Duration::from_millis(20), ..Options::default() }
}

/// Gives every account some events and returns what each replica has delivered of each account by then.
async fn round(
    world: &World,
    replicas: &[(&str, &Freshet)],
    number: usize,
) -> BTreeMap<(String, String), u64> {
    world
        .publish_all(
            (0..5).flat_map(|contact| ACCOUNTS.map(|account| addressed(track(contact, number), account))),
        )
        .await;
    world.settled(&replicas.iter().map(|(_, replica)| *replica).collect::<Vec<_>>()).await;
    let mut delivered = BTreeMap::new();
    for (name, replica) in replicas {
        let (_, metrics) = replica.get("/metrics").await;
        for account in ACCOUNTS {
            let number = sum(&metrics, "freshet_events_delivered_total", &[("account", account)]);
            delivered.insert(((*name).to_owned(), account.to_owned()), number);
        }
    }
    delivered
}

#[tokio::test]
async fn each_account_is_worked_by_the_replica_that_its_lane_prefers_and_by_no_other() {
    let world = many_accounts().await;
    let one = world.start("one").await;
    world.subscribed(1).await;
    let two = world.start("two").await;
    world.subscribed(2).await;

    let names = ["one", "two"];
    let shares =
        names.map(|name| ACCOUNTS.iter().filter(|account| preferred(&names, account) == name).count());
    assert!(shares.iter().all(|share| *share > 0), "names for which the lanes are shared: {shares:?}");
    let first = round(&world, &[("one", &one), ("two", &two)], 0).await;
    for ((replica, account), delivered) in &first {
        let expected = if preferred(&names, account) == replica { 5 } else { 0 };
        assert_eq!(*delivered, expected, "{replica} for {account}");
    }

    // One more: only those lanes move that prefer it.
    let three = world.start("three").await;
    world.subscribed(3).await;
    let names = ["one", "two", "three"];
    let moved = ACCOUNTS.iter().filter(|account| preferred(&names, account) == "three").count();
    assert!(moved > 0 && moved < ACCOUNTS.len(), "{moved} lanes prefer the third");
    let second = round(&world, &[("one", &one), ("two", &two), ("three", &three)], 1).await;
    for ((replica, account), delivered) in &second {
        let before = first.get(&(replica.clone(), account.clone())).copied().unwrap_or_default();
        let expected = if preferred(&names, account) == replica { 5 } else { 0 };
        assert_eq!(delivered - before, expected, "{replica} for {account}");
    }
    for account in ACCOUNTS {
        assert_eq!(world.state(account)["activities"].as_array().unwrap().len(), 10, "{account}");
    }
    world.finish([one, two, three]).await;
}

#[tokio::test]
async fn when_a_replica_is_killed_another_takes_over_its_lanes_in_order() {
    const CONTACTS: usize = 10;
    const ROUNDS: usize = 30;
    let mut world = World::shared().await;
    world.prefetch = 32;
    // An account that prefers each of the two.
    for name in ["one", "two"] {
        let account = ACCOUNTS.iter().find(|account| preferred(&["one", "two"], account) == name).unwrap();
        world = world.account_with(account, &format!("write_keys = [\"{account}\"]"), slow()).await;
    }
    let mut one = world.start("one").await;
    let two = world.start("two").await;
    world.subscribed(2).await;
    let [hit, spared] = [0, 1].map(|number: usize| world.accounts[number].name.clone());
    let both = [hit.clone(), spared.clone()];
    world
        .publish_all(
            stream(CONTACTS, 0, ROUNDS)
                .flat_map(|event| both.clone().map(|to| addressed(event.clone(), &to))),
        )
        .await;
    world.asked(&hit, 200).await;
    one.kill();
    assert!(world.state(&hit)["total_requests"].as_u64().unwrap() < 600, "all was over before the kill");

    world.fenced(&[&two]).await;
    let repeated = repeats(&world.state(&hit), CONTACTS, ROUNDS);
    assert!(repeated <= 32, "{repeated} repeats, with 32 unsettled at most");
    assert_exact(&world.state(&spared), CONTACTS, ROUNDS);
    world.finish([two]).await;
}

#[tokio::test]
async fn a_replica_that_stops_hands_over_without_loss_repeat_or_disorder() {
    const CONTACTS: usize = 20;
    const ROUNDS: usize = 40;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 64;
    let names = ["one", "two"];
    let first = preferred(&names, "acme");
    let other = if first == "one" { "two" } else { "one" };
    let mut leaver = world.start(first).await;
    world.subscribed(1).await;
    let stayer = world.start(other).await;
    world.subscribed(2).await;
    world.publish_all(stream(CONTACTS, 0, ROUNDS).map(|event| event.to_string())).await;
    world.asked("acme", 200).await;
    leaver.stop().await;
    assert!(world.state("acme")["total_requests"].as_u64().unwrap() < 1600, "all was over before the stop");
    world.fenced(&[&stayer]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    world.finish([stayer]).await;
}

#[tokio::test]
async fn a_replica_that_joins_mid_stream_takes_over_without_loss_repeat_or_disorder() {
    const CONTACTS: usize = 20;
    const ROUNDS: usize = 30;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 64;
    let names = ["one", "two"];
    let joiner = preferred(&names, "acme");
    let other = if joiner == "one" { "two" } else { "one" };
    let first = world.start(other).await;
    world.subscribed(1).await;
    world.publish_all(stream(CONTACTS, 0, ROUNDS).map(|event| event.to_string())).await;
    world.asked("acme", 200).await;
    let second = world.start(joiner).await;
    soon("the one that joined delivers", async || {
        let (_, metrics) = second.get("/metrics").await;
        sum(&metrics, "freshet_events_delivered_total", &[]) > 0
    })
    .await;
    world.settled(&[&first, &second]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    let (_, metrics) = first.get("/metrics").await;
    assert!(sum(&metrics, "freshet_events_delivered_total", &[]) >= 100);
    world.finish([first, second]).await;
}

#[tokio::test]
async fn a_router_that_stops_hands_the_intake_over_without_loss_repeat_or_disorder() {
    const EVENTS: usize = 6000;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 8;
    let mut leaver = world.start("one").await;
    world.subscribed(1).await;
    let mut stayer = world.start("two").await;
    world.subscribed(2).await;
    // It finds all of it, and the stop beside it, when it goes on.
    leaver.signal("STOP");
    // One contact, whose events go one after another: nearly all of them stay in the lane and can be looked at.
    world.publish_all((0..EVENTS).map(|number| track(0, number).to_string())).await;
    leaver.signal("TERM");
    leaver.signal("CONT");
    assert!(leaver.exit().await.success(), "{}", leaver.log());
    soon("the intake is empty", async || world.amqp.depth(&world.queue()).await == Some(0)).await;
    stayer.stop().await;

    let mut numbers: Vec<u64> =
        arrived(&world.state("acme")).remove("contact.0@example.com").unwrap_or_default();
    // What the second one still held unrouted went back to the intake, behind all that is in the lane.
    for queue in [world.lane("acme"), world.queue()] {
        for message in world.amqp.drain(&queue).await {
            let event: Value = serde_json::from_slice(&message.data).unwrap();
            numbers.push(event["properties"]["number"].as_u64().unwrap());
        }
    }
    assert_eq!(numbers, (0..EVENTS as u64).collect::<Vec<_>>());
    world.finish_leaving([], &BTreeMap::new()).await;
}

#[tokio::test]
async fn a_name_that_two_replicas_go_by_is_told_until_one_of_them_leaves() {
    let world = World::with_acme().await;
    let taken = "freshet_replica_name_taken";
    let mut first = world.start("one").await;
    let other = world.start("two").await;
    let second = world.start("one").await;
    shows(&second, taken, 1.0).await;
    second.line("another connection goes by this replica's name").await;
    let status: Value = serde_json::from_str(&second.get("/api/status").await.1).unwrap();
    assert_eq!(status["broker"]["name_taken"], true, "{status}");
    for replica in [&first, &other] {
        assert_eq!(replica.metric(taken).await, 0.0);
        assert!(!replica.log().contains("another connection"), "{}", replica.log());
    }
    // It works all the same.
    world.publish(track(0, 0).to_string()).await;
    soon("the event arrives", async || world.state("acme")["activities"].as_array().unwrap().len() == 1)
        .await;
    first.stop().await;
    shows(&second, taken, 0.0).await;
    second.line("no other connection goes by this replica's name any more").await;
    world.fenced(&[&second, &other]).await;
    world.finish([second, other]).await;
}

#[tokio::test]
async fn a_replica_that_stood_still_does_no_harm_when_it_goes_on() {
    const CONTACTS: usize = 10;
    const ROUNDS: usize = 30;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 64;
    let url = format!("{}?heartbeat=2", world.vhost.url());
    let names = ["one", "two"];
    let first = preferred(&names, "acme");
    let other = if first == "one" { "two" } else { "one" };
    let still = world.start_at(&url, first).await;
    world.subscribed(1).await;
    let stayer = world.start_at(&url, other).await;
    world.subscribed(2).await;
    world.publish_all(stream(CONTACTS, 0, ROUNDS).map(|event| event.to_string())).await;
    world.asked("acme", 100).await;
    still.signal("STOP");
    // Its memory still holds events that the other one has delivered long since.
    soon("the other one has delivered all", async || {
        let arrived = arrived(&world.state("acme"));
        let whole = arrived.values().filter(|numbers| numbers.contains(&(ROUNDS as u64 - 1))).count();
        whole == CONTACTS && stayer.metric("freshet_events_in_flight{account=\"acme\"}").await == 0.0
    })
    .await;
    let asked = || world.state("acme")["total_requests"].as_u64().unwrap();
    let before = asked();
    still.signal("CONT");
    soon("it has noticed", async || still.metric("freshet_broker_reconnects_total").await == 1.0).await;
    assert_eq!(asked(), before, "it went on with what another one had delivered");
    world.fenced(&[&still, &stayer]).await;
    let repeated = repeats(&world.state("acme"), CONTACTS, ROUNDS);
    assert!(repeated <= 64, "{repeated} repeats, with 64 unsettled at most");
    world.finish([still, stayer]).await;
}
