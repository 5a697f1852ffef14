//! Three replicas and sixty accounts: where the lanes are, and which of them move when a replica comes or goes.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::Value;

use crate::events::{assert_exact, repeats, stream};
use crate::replicas::{addressed, preferred};
use crate::support::{Broker, Freshet, eventually, soon};
use crate::world::{World, sum};

const ACCOUNTS: usize = 60;
const CONTACTS: usize = 1;
/// Seconds; a replica that is gone must be replaced within two of them.
const HEARTBEAT: u64 = 10;

/// Who works each lane: its consumer's tag, and the channel that it is on.
async fn active(world: &World) -> BTreeMap<String, (String, String)> {
    let list = ["list_consumers", "-p", &world.vhost.name, "--formatter", "json"];
    let rows: Vec<Value> = serde_json::from_str(&Broker::shared().await.control(&list)).unwrap();
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    rows.iter()
        .filter(|row| text(row, "queue_name").contains(".lane.") && row["active"] == true)
        .map(|row| (text(row, "queue_name"), (text(row, "consumer_tag"), text(row, "channel_pid"))))
        .collect()
}

/// Who should work each lane: the consumer's tag.
fn wanted(world: &World, replicas: &[&str]) -> BTreeMap<String, String> {
    let tag = |account: &str| format!("{} {account}", preferred(replicas, account));
    world.accounts.iter().map(|account| (world.lane(&account.name), tag(&account.name))).collect()
}

fn tags(active: &BTreeMap<String, (String, String)>) -> BTreeMap<String, String> {
    active.iter().map(|(lane, (tag, _))| (lane.clone(), tag.clone())).collect()
}

/// Waits until every lane is where the hash says and returns who works it.
pub async fn spread(
    world: &World,
    replicas: &[&str],
    within: Duration,
) -> BTreeMap<String, (String, String)> {
    eventually(within, "every lane is worked by the replica that it prefers", async || {
        let found = active(world).await;
        let wanted = wanted(world, replicas);
        let astray = wanted.iter().filter(|(lane, tag)| found.get(*lane).map(|(tag, _)| tag) != Some(tag));
        let astray = astray.map(|(lane, _)| lane.as_str()).collect::<Vec<_>>();
        if astray.is_empty() { Ok(found) } else { Err(astray.join(", ")) }
    })
    .await
}

/// Some rounds of events for every account.
async fn publish(world: &World, from: usize, rounds: usize) {
    let to_all =
        |event: Value| world.accounts.iter().map(move |account| addressed(event.clone(), &account.name));
    world.publish_all(stream(CONTACTS, from, rounds).flat_map(to_all)).await;
}

/// Waits until some of these tracks have arrived; they must not be all.
async fn midway(world: &World, some: usize, all: usize) {
    let arrived = || {
        let count = |name: &str| world.at(name).sandbox.state()["activities"].as_array().unwrap().len();
        world.accounts.iter().map(|account| count(&account.name)).sum::<usize>()
    };
    soon("some have arrived", async || arrived() >= some).await;
    assert!(arrived() < all, "all was over already");
}

/// How many events a replica has delivered of the accounts that one of three prefers.
async fn delivered(world: &World, by: &Freshet, of: &str, names: &[&str]) -> u64 {
    let (_, metrics) = by.get("/metrics").await;
    let accounts = world.accounts.iter().map(|account| account.name.as_str());
    accounts
        .filter(|account| preferred(names, account) == of)
        .map(|account| sum(&metrics, "freshet_events_delivered_total", &[("account", account)]))
        .sum()
}

#[tokio::test]
async fn lanes_are_where_the_hash_says_and_move_only_from_or_to_the_replica_that_goes_or_comes() {
    const ROUNDS: usize = 16;
    const PREFETCH: u16 = 16;
    // Each contact's calls go one after another: this takes longer than a replica needs to start.
    let options = Options { latency: Duration::from_millis(150), ..Options::default() };
    let mut world = World::shared().await;
    world.prefetch = PREFETCH;
    for number in 0..ACCOUNTS {
        let name = format!("account-{number}");
        world = world.account_with(&name, &format!("write_keys = [\"{name}\"]"), options.clone()).await;
    }
    let url = format!("{}?heartbeat={HEARTBEAT}", world.vhost.url());
    let names = ["worker-0", "worker-1", "worker-2"];
    let soon = Duration::from_secs(30);
    let zero = world.start_at(&url, names[0]).await;
    let mut one = world.start_at(&url, names[1]).await;
    let of_two = spread(&world, &names[..2], soon).await;

    // One joins in mid-stream. What it is not given is not touched.
    publish(&world, 0, ROUNDS).await;
    let all = ACCOUNTS * CONTACTS * ROUNDS;
    midway(&world, all / 10, all).await;
    let two = world.start_at(&url, names[2]).await;
    let of_three = spread(&world, &names, soon).await;
    for (lane, now) in &of_three {
        let moved = now.0.starts_with(names[2]);
        assert!(moved || of_two[lane] == *now, "{lane} from {:?} to {now:?}", of_two[lane]);
    }
    let share = |name: &str| tags(&of_three).values().filter(|tag| tag.starts_with(name)).count();
    assert!(names.iter().all(|name| (10..=30).contains(&share(name))), "{:?}", names.map(share));
    world.settled(&[&zero, &one, &two]).await;
    assert!(delivered(&world, &two, names[2], &names).await > 0, "it was given lanes when all was over");
    for account in &world.accounts {
        // Had two worked an account at once, some would have come twice, or in another order.
        assert_exact(&account.sandbox.state(), CONTACTS, ROUNDS);
    }

    // One is killed in mid-stream. The others keep theirs.
    publish(&world, ROUNDS, ROUNDS).await;
    midway(&world, all + all / 10, 2 * all).await;
    one.kill();
    let left = [names[0], names[2]];
    let after = spread(&world, &left, Duration::from_secs(2 * HEARTBEAT)).await;
    for (lane, now) in &after {
        let moved = of_three[lane].0.starts_with(names[1]);
        assert!(moved || of_three[lane] == *now, "{lane} from {:?} to {now:?}", of_three[lane]);
    }
    world.fenced(&[&zero, &two]).await;
    for heir in [&zero, &two] {
        let inherited = delivered(&world, heir, names[1], &names).await;
        let fences = wanted(&world, &names).values().filter(|tag| tag.starts_with(names[1])).count() as u64;
        assert!(inherited > fences, "{inherited} events of the lanes that moved: all was over before");
    }
    for account in &world.accounts {
        let state = account.sandbox.state();
        if preferred(&names, &account.name) == names[1] {
            let repeated = repeats(&state, CONTACTS, 2 * ROUNDS);
            assert!(repeated <= usize::from(PREFETCH), "{}: {repeated} repeats", account.name);
        } else {
            assert_exact(&state, CONTACTS, 2 * ROUNDS);
        }
    }
    world.finish([zero, two]).await;
}
