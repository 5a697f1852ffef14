//! The configuration is read again while events flow: what it does not change goes on as if nothing had happened.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::events::{arrived, email, track};
use crate::replicas::addressed;
use crate::support::{Freshet, soon};
use crate::world::{World, sum};

const READ: &str = "the configuration was read again ";
const WRONG: &str = "the configuration that was read again is wrong; everything stays as it was";
/// Between two events of each account under load.
const EVERY: Duration = Duration::from_millis(20);

fn keyed(name: &str) -> String {
    format!("write_keys = [\"{name}\"]")
}

async fn world_of(accounts: &[&str]) -> World {
    let mut world = World::shared().await;
    for name in accounts {
        world = world.account(name, &keyed(name)).await;
    }
    world
}

fn write(replica: &Freshet, config: &str) {
    // As a mounted file changes: at once.
    let new = replica.config_file().with_extension("new");
    std::fs::write(&new, config).unwrap();
    std::fs::rename(new, replica.config_file()).unwrap();
}

/// Has the replica read this configuration, and returns the line that says what it changed.
async fn reload(replica: &Freshet, config: &str) -> String {
    hang_up(replica, config, READ).await
}

async fn hang_up(replica: &Freshet, config: &str, says: &str) -> String {
    let lines =
        || replica.log().lines().filter(|line| line.contains(says)).map(str::to_owned).collect::<Vec<_>>();
    let before = lines().len();
    write(replica, config);
    replica.signal("HUP");
    soon("the file is read", async || lines().get(before).cloned()).await
}

async fn counted(replica: &Freshet, metric: &str, account: &str) -> u64 {
    sum(&replica.get("/metrics").await.1, metric, &[("account", account)])
}

/// Tracks for some accounts, all the time, until it is over.
struct Load<'a> {
    world: &'a World,
    accounts: &'a [&'a str],
    sent: Cell<usize>,
    over: Cell<bool>,
}

impl Load<'_> {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over.get() {
            ticks.tick().await;
            let number = self.sent.replace(self.sent.get() + 1);
            self.world.publish_all(self.accounts.iter().map(|name| addressed(track(0, number), name))).await;
        }
    }

    /// Some more events have come and gone.
    async fn goes_on(&self) {
        let (sent, account) = (self.sent.get(), self.accounts[0]);
        soon("events flow", async || {
            let arrived = arrived(&self.world.state(account)).values().map(Vec::len).sum::<usize>();
            if arrived > sent + 10 { Ok(()) } else { Err(format!("{arrived} of {sent} and 10 more")) }
        })
        .await;
    }
}

/// Runs `work` under load.
async fn under_load(world: &World, accounts: &[&str], work: impl AsyncFnOnce(&Load<'_>)) -> usize {
    let load = Load { world, accounts, sent: Cell::new(0), over: Cell::new(false) };
    tokio::join!(load.run(), async {
        load.goes_on().await;
        work(&load).await;
        load.goes_on().await;
        load.over.set(true);
    });
    load.sent.get()
}

/// All events of an account came to the replica and to the sandbox exactly once and in their order.
async fn assert_untouched(world: &World, replica: &Freshet, account: &str, sent: usize) {
    let numbers: Vec<u64> = (0..sent as u64).collect();
    assert_eq!(arrived(&world.state(account)).remove(&email(0)), Some(numbers), "{account}");
    assert_eq!(counted(replica, "freshet_events_received_total", account).await, sent as u64, "{account}");
    assert_eq!(counted(replica, "freshet_events_returned_total", account).await, 0, "{account}");
}

fn without(world: &World, replica: &str, account: &str) -> String {
    let config = world.config_at(world.vhost.url(), replica);
    let blocks: Vec<&str> = config.split("[[accounts]]").collect();
    let name = format!("name = \"{account}\"");
    blocks.into_iter().filter(|block| !block.contains(&name)).collect::<Vec<_>>().join("[[accounts]]")
}

#[tokio::test]
async fn accounts_come_change_and_go_and_the_others_are_not_touched() {
    let all = world_of(&["acme", "globex", "initech", "hooli"]).await;
    let config = all.config_at(all.vhost.url(), "one");
    let replica = Freshet::start(&without(&all, "one", "hooli"), &World::environment());
    replica.ready().await;
    let mut said = String::new();
    let sent = under_load(&all, &["acme", "globex"], async |load| {
        let changed = without(&all, "one", "initech")
            .replace(
                &keyed("globex"),
                &format!("{}\nquota_share = 0.5\n[accounts.fields]\nseats = \"cf_seats\"", keyed("globex")),
            )
            .replace("prefetch = 400", "prefetch = 300");
        said = reload(&replica, &changed).await;
        load.goes_on().await;
        // The account that came works, and the one that went is not even there for the router.
        all.publish(addressed(track(1, 0), "hooli")).await;
        all.publish(addressed(track(1, 0), "initech")).await;
        assert_eq!(all.dead_letters(1).await.len(), 1);
        soon("the new account works", async || !arrived(&all.state("hooli")).is_empty()).await;
    })
    .await;
    for part in [
        "added=\"hooli\"",
        "changed=\"globex (fields, quota_share)\"",
        "removed=\"initech\"",
        "unchanged=1",
        "after_restart=\"broker.prefetch\"",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    all.settled(&[&replica]).await;
    for account in ["acme", "globex"] {
        assert_untouched(&all, &replica, account, sent).await;
    }
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    assert_eq!(replica.metric("freshet_quota_requests_per_hour{account=\"globex\"}").await, 500_000.0);
    assert_eq!(replica.metric("freshet_config_last_reload_successful").await, 1.0);
    let (_, metrics) = replica.get("/metrics").await;
    soon("the series of the account that went are gone", async || {
        !replica.get("/metrics").await.1.contains("account=\"initech\"")
    })
    .await;
    assert!(metrics.contains("account=\"hooli\""));
    let shown: Value = serde_json::from_str(&replica.get("/api/status").await.1).unwrap();
    assert_eq!(shown["not_configured"][0]["account"], "initech", "{shown}");
    reload(&replica, &config).await;
    let shown: Value = serde_json::from_str(&replica.get("/api/status").await.1).unwrap();
    assert_eq!(shown["accounts"].as_array().unwrap().len(), 4);
    assert_eq!(shown.get("not_configured"), None);
    all.publish(addressed(track(1, 1), "initech")).await;
    all.finish([replica]).await;
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_each_is_said() {
    let world = world_of(&["acme", "globex"]).await;
    let good = world.config_at(world.vhost.url(), "one");
    let replica = Freshet::start(&good, &World::environment());
    replica.ready().await;
    let sent = under_load(&world, &["acme", "globex"], async |load| {
        let bad = without(&world, "one", "globex").replace("[broker]", "[broker]\nprefetsch = 3");
        let bad = bad.replace("requests_per_hour = 1000000", "requests_per_hour = 0");
        hang_up(&replica, &bad, "requests_per_hour").await;
        assert!(replica.line(WRONG).await.contains("ERROR"));
        replica.line("did you mean `prefetch`?").await;
        assert_eq!(replica.metric("freshet_config_last_reload_successful").await, 0.0);
        load.goes_on().await;
        for (bad, why) in [
            (good.replace("TEST_KEY", "NOT_SET"), "environment variable NOT_SET is not set"),
            (String::new(), "at least one `[[accounts]]`"),
            ("= x".to_owned(), "not valid TOML"),
        ] {
            hang_up(&replica, &bad, why).await;
        }
        std::fs::remove_file(replica.config_file()).unwrap();
        replica.signal("HUP");
        replica.line("cannot read the configuration").await;
    })
    .await;
    world.settled(&[&replica]).await;
    for account in ["acme", "globex"] {
        assert_untouched(&world, &replica, account, sent).await;
    }
    let said = reload(&replica, &good).await;
    assert!(said.contains("unchanged=2"), "{said}");
    assert_eq!(replica.metric("freshet_config_last_reload_successful").await, 1.0);
    world.finish([replica]).await;
}
