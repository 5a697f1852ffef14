//! Three replicas and sixty accounts: where the lanes are, and which of them move when a replica comes or goes.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::Value;

use crate::events::{arrived, assert_exact, repeats, stream};
use crate::feed::Feed;
use crate::replicas::preferred;
use crate::support::{Broker, Freshet, soon};
use crate::world::{Account, World, sum};

const ACCOUNTS: usize = 60;
const CONTACTS: usize = 1;
/// A lane gets more while fewer messages are ready in it.
const WAITING: u32 = 16;

/// Who works each lane: its consumer's tag, and the channel that it is on.
async fn active(world: &World) -> BTreeMap<String, (String, String)> {
    let list = ["list_consumers", "-p", &world.vhost.name, "--formatter", "json"];
    let rows: Vec<Value> = serde_json::from_str(&Broker::shared().await.control(&list).await).unwrap();
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
pub async fn spread(world: &World, replicas: &[&str]) -> BTreeMap<String, (String, String)> {
    soon("every lane is worked by the replica that it prefers", async || {
        let found = active(world).await;
        let wanted = wanted(world, replicas);
        let astray = wanted.iter().filter(|(lane, tag)| found.get(*lane).map(|(tag, _)| tag) != Some(tag));
        let astray = astray.map(|(lane, _)| lane.as_str()).collect::<Vec<_>>();
        if astray.is_empty() { Ok(found) } else { Err(astray.join(", ")) }
    })
    .await
}

/// Waits until every account has got more of what is published while this goes on.
async fn all_work(world: &World) {
    let arrived = |account: &Account| arrived(&account.sandbox.state()).values().map(Vec::len).sum::<usize>();
    let before: Vec<usize> = world.accounts.iter().map(arrived).collect();
    soon("every account works", async || {
        world.accounts.iter().zip(&before).all(|(account, before)| arrived(account) > *before)
    })
    .await;
}

/// How many events `by` has delivered of the accounts whose lanes prefer `of`.
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
    const PREFETCH: u16 = 16;
    let options = Options { latency: Duration::from_millis(150), ..Options::default() };
    let mut world = World::shared().await;
    (world.prefetch, world.request_timeout) = (PREFETCH, "2m");
    for number in 0..ACCOUNTS {
        let name = format!("account-{number}");
        world = world.account_with(&name, &format!("write_keys = [\"{name}\"]"), options.clone()).await;
    }
    let names = ["worker-0", "worker-1", "worker-2"];
    let zero = world.start(names[0]).await;
    let mut one = world.start(names[1]).await;
    let of_two = spread(&world, &names[..2]).await;

    // One joins in mid-stream. What it is not given is not touched.
    let feed = Feed::new(&world, |round| stream(CONTACTS, round, 1), 1, WAITING);
    let joining = async {
        all_work(&world).await;
        let two = world.start(names[2]).await;
        let of_three = spread(&world, &names).await;
        (two, of_three)
    };
    let (two, of_three) = feed.during(joining).await;
    for (lane, now) in &of_three {
        let moved = now.0.starts_with(names[2]);
        assert!(moved || of_two[lane] == *now, "{lane} from {:?} to {now:?}", of_two[lane]);
    }
    let share = |name: &str| tags(&of_three).values().filter(|tag| tag.starts_with(name)).count();
    assert!(names.iter().all(|name| (10..=30).contains(&share(name))), "{:?}", names.map(share));
    world.settled(&[&zero, &one, &two]).await;
    assert!(delivered(&world, &two, names[2], &names).await > 0, "it was given lanes when all was over");
    for (account, rounds) in world.accounts.iter().zip(feed.published()) {
        // Had two worked an account at once, some would have come twice, or in another order.
        assert_exact(&account.sandbox.state(), CONTACTS, rounds);
    }

    // One is killed in mid-stream. The others keep theirs.
    let left = [names[0], names[2]];
    let killing = async {
        all_work(&world).await;
        one.kill();
        spread(&world, &left).await
    };
    let after = feed.during(killing).await;
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
    for (account, rounds) in world.accounts.iter().zip(feed.published()) {
        let state = account.sandbox.state();
        if preferred(&names, &account.name) == names[1] {
            let repeated = repeats(&state, CONTACTS, rounds);
            assert!(repeated <= usize::from(PREFETCH), "{}: {repeated} repeats", account.name);
        } else {
            assert_exact(&state, CONTACTS, rounds);
        }
    }
    world.finish([zero, two]).await;
}
