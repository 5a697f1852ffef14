//! The configuration is read again while events flow: what it does not change goes on as if nothing had happened.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::events::{addressed, arrived, email, identify, track};
use crate::support::{Freshet, Proxy, put, soon};
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
pub(crate) async fn reload(replica: &Freshet, config: &str) -> String {
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
                &format!(
                    "{}\nquota_share = 0.5\nlinks = \"careful\"\n[accounts.fields]\nseats = \"cf_seats\"",
                    keyed("globex")
                ),
            )
            .replace("prefetch = 400", "prefetch = 300");
        said = reload(&replica, &changed).await;
        load.goes_on().await;
        // The account that came works, and the one that went is not even there for the router.
        routed(&all, "hooli").await;
        all.publish(addressed(track(1, 0), "hooli")).await;
        all.publish(addressed(track(1, 0), "initech")).await;
        assert_eq!(all.dead_letters(1).await.len(), 1);
        soon("the new account works", async || !arrived(&all.state("hooli")).is_empty()).await;
    })
    .await;
    for part in [
        "added=hooli",
        "changed=\"globex (fields, links, quota_share)\"",
        "removed=initech",
        "unchanged=1",
        "after_restart=broker.prefetch",
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
    for (account, links) in [("acme", "bulk"), ("globex", "careful")] {
        let (_, shown) = replica.get(&format!("/api/accounts/{account}")).await;
        assert!(shown.contains(&format!("\"links\":\"{links}\"")), "{shown}");
    }
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
    routed(&all, "initech").await;
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

/// Writes a file as mounted secrets change: at once.
fn put_secret(file: &Path, secret: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, secret).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn secrets_that_are_replaced_in_their_files_need_no_signal() {
    let world = World::with_acme().await;
    let folder = tempfile::tempdir().unwrap();
    let (key, token) = (folder.path().join("key"), folder.path().join("token"));
    let config = world.config_at(world.vhost.url(), "one");
    let config = config
        .replace("api_key = { env = \"TEST_KEY\" }", &format!("api_key = {{ file = {key:?} }}"))
        .replace("app_token = { env = \"TEST_KEY\" }", &format!("app_token = {{ file = {token:?} }}"));
    let accept = async |key: &str, token: &str| {
        let options = json!({"api_key": key, "app_token": token}).to_string();
        let (status, body) = put(world.at("acme").address, "/_sandbox/options", &options).await.unwrap();
        assert_eq!(status, 200, "{body}");
    };
    put_secret(&key, "first-key");
    put_secret(&token, "first-token");
    accept("first-key", "first-token").await;
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    let mut events = 0;
    let mut both = async || {
        world.publish(identify(events, events).to_string()).await;
        world.publish(track(events, 0).to_string()).await;
        events += 1;
        world.settled(&[&replica]).await;
    };
    both().await;
    put_secret(&key, "second-key");
    put_secret(&token, "second-token");
    accept("second-key", "second-token").await;
    both().await;
    // Both were found by one look.
    assert_eq!(replica.log().matches("secrets were replaced").count(), 1, "{}", replica.log());
    assert!(!replica.log().contains("lane.state=unauthorized"), "{}", replica.log());
    // The next look is a minute away, but a reload is at once, and ends the wait.
    accept("third-key", "third-token").await;
    world.publish(identify(7, 7).to_string()).await;
    let unauthorized = "freshet_lane_state{account=\"acme\",state=\"unauthorized\"}";
    soon("it counts as unauthorized", async || replica.metric(unauthorized).await == 1.0).await;
    put_secret(&key, "third-key");
    put_secret(&token, "third-token");
    let said = reload(&replica, &config).await;
    assert!(said.contains("changed=\"acme (api_key, app_token)\""), "{said}");
    world.settled(&[&replica]).await;
    assert_eq!(counted(&replica, "freshet_events_dead_lettered_total", "acme").await, 0);
    for secret in ["first", "second", "third"] {
        assert!(!replica.log().contains(&format!("{secret}-")));
    }
    world.finish([replica]).await;
}

/// What a replica tells systemd, line by line.
struct Told {
    socket: UnixDatagram,
    lines: Vec<String>,
}

impl Told {
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.lines.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
    }

    /// Waits for a line that begins so, and forgets what came before.
    async fn until(&mut self, begins: &str) -> String {
        soon(&format!("systemd is told {begins}"), async || {
            self.receive();
            let found = self.lines.iter().position(|line| line.starts_with(begins));
            found.map(|at| self.lines.drain(..=at).next_back().unwrap()).ok_or_else(|| self.lines.join("; "))
        })
        .await
    }
}

#[tokio::test]
async fn systemd_is_told_of_the_start_the_broker_a_reload_and_the_stop_and_that_all_is_alive() {
    let world = World::with_acme().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut told = Told { socket, lines: Vec::new() };
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let config = world.config_at(&proxy.url(world.vhost.url()), "one");
    let [(name, secret)] = World::environment();
    let environment =
        [(name, secret), ("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    proxy.refuse().await;
    let mut replica = Freshet::start(&config, &environment);
    // Also while the broker is away.
    told.until("READY=1").await;
    told.until("STATUS=").await;
    told.until("WATCHDOG=1").await;
    assert_eq!(replica.get("/readyz").await.0, 503);
    proxy.pass().await;
    told.until("STATUS=connected to the broker").await;
    replica.signal("HUP");
    told.until("RELOADING=1").await;
    let time = told.until("MONOTONIC_USEC=").await;
    assert!(time["MONOTONIC_USEC=".len()..].parse::<u64>().is_ok_and(|time| time > 0), "{time}");
    told.until("READY=1").await;
    replica.line(READ).await;
    world.publish(track(0, 0).to_string()).await;
    world.settled(&[&replica]).await;
    replica.signal("TERM");
    told.until("STOPPING=1").await;
    assert!(replica.exit().await.success());
    world.finish_leaving([], &BTreeMap::new()).await;
}

/// The number of consumers that a lane has on the broker.
async fn consumers(world: &World, account: &str) -> u32 {
    world.amqp.consumers(&world.lane(account)).await.unwrap_or_default()
}

/// Waits until events reach a lane that a reload added: it is declared, then routed to, then consumed.
async fn routed(world: &World, account: &str) {
    soon("the lane is consumed", async || consumers(world, account).await == 1).await;
}

#[tokio::test]
async fn an_account_that_goes_leaves_its_events_in_its_queue_and_comes_back_to_them() {
    const EVENTS: usize = 400;
    let mut world = world_of(&["acme"]).await;
    let slow = Options { latency: Duration::from_millis(30), ..Options::default() };
    world = world.account_with("globex", &keyed("globex"), slow).await;
    let config = world.config_at(world.vhost.url(), "one");
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    let sent = under_load(&world, &["acme"], async |load| {
        world.publish_all((0..EVENTS).map(|number| addressed(track(number % 5, number), "globex"))).await;
        world.asked("globex", 20).await;
        let said = reload(&replica, &without(&world, "one", "globex")).await;
        assert!(said.contains("removed=globex") && said.contains("unchanged=1"), "{said}");
        soon("nobody works the lane", async || consumers(&world, "globex").await == 0).await;
        soon("all is given back or delivered", async || {
            let arrived = arrived(&world.state("globex")).values().map(Vec::len).sum::<usize>();
            let waits = world.amqp.depth(&world.lane("globex")).await.unwrap() as usize;
            if arrived > 0 && arrived < EVENTS && arrived + waits == EVENTS {
                Ok(())
            } else {
                Err(format!("{arrived} arrived, {waits} wait"))
            }
        })
        .await;
        load.goes_on().await;
        let said = reload(&replica, &config).await;
        assert!(said.contains("added=globex"), "{said}");
    })
    .await;
    soon("all of it arrives", async || {
        arrived(&world.state("globex")).values().map(Vec::len).sum::<usize>() >= EVENTS
    })
    .await;
    for (contact, numbers) in arrived(&world.state("globex")) {
        assert!(numbers.is_sorted_by(|one, next| one < next), "{contact}: {numbers:?}");
    }
    assert_untouched(&world, &replica, "acme", sent).await;
    world.fenced(&[&replica]).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn another_url_is_another_account_and_no_event_is_lost_on_the_way() {
    const EVENTS: usize = 200;
    let world = world_of(&["acme", "globex", "spare"]).await;
    let config = without(&world, "one", "spare");
    // Only so that the world finds all of its accounts' lanes.
    world.amqp.declare_quorum(&world.lane("spare"), &[]).await;
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    let moved =
        config.replace(&world.at("globex").address.to_string(), &world.at("spare").address.to_string());
    let publish = async |numbers: std::ops::Range<usize>| {
        world.publish_all(numbers.map(|number| addressed(track(0, number), "globex"))).await;
    };
    let sent = under_load(&world, &["acme"], async |_| {
        publish(0..EVENTS).await;
        world.asked("globex", 20).await;
        let said = reload(&replica, &moved).await;
        assert!(said.contains("changed=\"globex (url)\""), "{said}");
        publish(EVENTS..EVENTS * 2).await;
        let all = || {
            let [mut before, after] = ["globex", "spare"]
                .map(|account| arrived(&world.state(account)).remove(&email(0)).unwrap_or_default());
            before.extend(after);
            before
        };
        soon("all arrive", async || all().len() >= EVENTS * 2).await;
        assert_eq!(all(), (0..EVENTS as u64 * 2).collect::<Vec<_>>());
    })
    .await;
    world.settled(&[&replica]).await;
    assert_untouched(&world, &replica, "acme", sent).await;
    assert!(!arrived(&world.state("spare")).is_empty());
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_reload_counts_while_the_broker_is_away_and_two_at_once_and_one_during_a_stop() {
    let world = world_of(&["acme", "globex", "hooli"]).await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let url = proxy.url(world.vhost.url());
    let config = world.config_at(&url, "one");
    let before = {
        let blocks: Vec<&str> = config.split("[[accounts]]").collect();
        [blocks[0], blocks[1], blocks[2]].join("[[accounts]]")
    };
    let after = {
        let blocks: Vec<&str> = config.split("[[accounts]]").collect();
        [blocks[0], blocks[1], blocks[3]].join("[[accounts]]")
    };
    let mut replica = Freshet::start(&before, &World::environment());
    replica.ready().await;
    proxy.refuse().await;
    proxy.cut();
    soon("it is not ready", async || replica.get("/readyz").await.0 == 503).await;
    let said = reload(&replica, &after).await;
    assert!(said.contains("added=hooli") && said.contains("removed=globex"), "{said}");
    proxy.pass().await;
    // While it connects again.
    reload(&replica, &before).await;
    reload(&replica, &after).await;
    replica.ready().await;
    routed(&world, "hooli").await;
    soon("globex is let go of", async || consumers(&world, "globex").await == 0).await;
    world.publish(addressed(track(0, 0), "acme")).await;
    world.publish(addressed(track(0, 0), "hooli")).await;
    world.publish(addressed(track(0, 0), "globex")).await;
    assert_eq!(world.dead_letters(1).await.len(), 1);
    soon("they arrive", async || {
        ["acme", "hooli"].iter().all(|account| !arrived(&world.state(account)).is_empty())
    })
    .await;
    // Nothing is awaited in between.
    write(&replica, &before);
    replica.signal("HUP");
    write(&replica, &config);
    replica.signal("HUP");
    soon("the last one counts", async || {
        let shown: Value = serde_json::from_str(&replica.get("/api/status").await.1).unwrap();
        shown["accounts"].as_array().unwrap().len() == 3
    })
    .await;
    routed(&world, "globex").await;
    world.publish(addressed(track(0, 1), "globex")).await;
    world.settled(&[&replica]).await;
    write(&replica, &before);
    replica.signal("HUP");
    replica.signal("TERM");
    replica.signal("HUP");
    assert!(replica.exit().await.success(), "{}", replica.log());
    world.finish_leaving([], &BTreeMap::new()).await;
}
