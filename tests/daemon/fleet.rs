//! Replicas tell each other of their lanes, and one of them counts what waits.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::support::{Broker, Freshet, soon};
use crate::world::World;

async fn status(replica: &Freshet) -> Value {
    let (code, body) = replica.get("/api/status").await;
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The replica that holds an account's lane, as one replica knows it.
async fn holder(replica: &Freshet, account: &str) -> Option<String> {
    let status = status(replica).await;
    let accounts = status["accounts"].as_array().unwrap().clone();
    let account = accounts.into_iter().find(|one| one["account"] == account).unwrap();
    account["replica"].as_str().map(str::to_owned)
}

/// Each known replica, and whether it is gone.
async fn replicas(replica: &Freshet) -> Vec<(String, bool)> {
    let status = status(replica).await;
    let known = status["replicas"].as_array().unwrap().clone();
    let mut known: Vec<_> = known
        .iter()
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["gone"].as_bool().unwrap()))
        .collect();
    known.sort();
    known
}

fn track(number: usize, account: &str) -> (String, BasicProperties) {
    let body = json!({
        "type": "track", "event": "Opened", "userId": format!("u{number}@example.com"),
        "messageId": format!("{account} {number}")
    });
    (body.to_string(), BasicProperties::default())
}

#[tokio::test]
async fn replicas_see_each_other_s_lanes_and_one_that_is_killed_is_shown_as_gone() {
    let mut world = World::shared().await;
    let accounts: Vec<String> = (0..8).map(|number| format!("account-{number}")).collect();
    for account in &accounts {
        world = world.account(account, &format!("write_keys = [\"{account}\"]")).await;
    }
    let (one, mut two) = (world.start("one").await, world.start("two").await);
    world.subscribed(2).await;
    for (number, account) in accounts.iter().enumerate() {
        world.publish_to(&world.lanes(), account, [track(number, account)]).await;
    }
    world.settled(&[&one, &two]).await;
    let mut by_two = Vec::new();
    for account in &accounts {
        soon("both know the same holder", async || {
            let (ours, theirs) = (holder(&one, account).await, holder(&two, account).await);
            if ours.is_some() && ours == theirs { Ok(()) } else { Err(format!("{ours:?}, {theirs:?}")) }
        })
        .await;
        if holder(&one, account).await.as_deref() == Some("two") {
            by_two.push(account);
        }
    }
    assert!(!by_two.is_empty() && by_two.len() < accounts.len(), "{by_two:?}");
    let both = |gone| vec![("one".to_owned(), false), ("two".to_owned(), gone)];
    assert_eq!(replicas(&one).await, both(false));
    for told in status(&one).await["replicas"].as_array().unwrap() {
        assert!(told["broker_version"].as_str().is_some_and(|version| version.starts_with('4')), "{told}");
    }
    // Each of them counted each event once, and nobody is told an address.
    let (_, text) = one.get("/api/status").await;
    assert!(!text.contains('@'), "{text}");
    two.kill();
    soon("it is shown as gone", async || {
        let known = replicas(&one).await;
        if known == both(true) { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    for account in by_two {
        assert_eq!(holder(&one, account).await, None);
        world.publish_to(&world.lanes(), account, [track(100, account)]).await;
    }
    world.fenced(&[&one]).await;
    for account in &accounts {
        assert_eq!(holder(&one, account).await.as_deref(), Some("one"));
    }
    world.finish([one]).await;
}

#[tokio::test]
async fn one_that_stops_is_not_shown_as_gone_but_forgotten() {
    let world = World::with_acme().await;
    let (one, two) = (world.start("one").await, world.start("two").await);
    soon("they know each other", async || match replicas(&one).await.len() {
        2 => Ok(()),
        known => Err(format!("{known}")),
    })
    .await;
    world.retire(two).await;
    soon("only one is left", async || {
        let known = replicas(&one).await;
        if known == [("one".to_owned(), false)] { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    world.finish([one]).await;
}

#[tokio::test]
async fn whatever_is_published_to_the_exchange_lanes_go_on_and_replicas_know_each_other() {
    let world = World::with_acme().await;
    let (one, two) = (world.start("one").await, world.start("two").await);
    let exchange = format!("{}.status", world.queue());
    let since = "2026-01-01T00:00:00Z";
    let forged = json!({
        "schema_version": 1, "replica": {"name": "<script>alert(1)</script>", "since": since},
        "lanes": [{"account": "acme", "state": "unauthorized", "since": since, "why": "<b>".repeat(10_000)}]
    });
    let mut messages = vec![Vec::new(), b"nonsense".to_vec(), vec![0xff; 4_000_000], b"[".repeat(100_000)];
    messages.push(forged.to_string().into_bytes());
    for _ in 0..20 {
        for message in &messages {
            world.amqp.publish_to(&exchange, "", message, BasicProperties::default()).await;
        }
    }
    for number in 0..50 {
        world.publish(track(number, "acme").0).await;
    }
    world.settled(&[&one, &two]).await;
    for replica in [&one, &two] {
        soon("they know each other", async || {
            let known = replicas(replica).await;
            let real = ["one", "two"].iter().all(|name| known.contains(&((*name).to_owned(), false)));
            if real { Ok(()) } else { Err(format!("{known:?}")) }
        })
        .await;
        assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
        // Nobody but their own RabbitMQ user can say that one leaves.
        let told = status(replica).await["replicas"].clone();
        for known in told.as_array().unwrap() {
            let leaves = json!({"schema_version": 1, "replica": known, "leaves": true});
            let body = leaves.to_string();
            world.amqp.publish_to(&exchange, "", body.as_bytes(), BasicProperties::default()).await;
        }
        let last = json!({"schema_version": 1, "replica": {"name": "last", "since": since}}).to_string();
        world.amqp.publish_to(&exchange, "", last.as_bytes(), BasicProperties::default()).await;
        soon("the last message is read, and they still know each other", async || {
            let known = replicas(replica).await;
            assert!(
                ["one", "two"].iter().all(|name| known.contains(&((*name).to_owned(), false))),
                "{known:?}"
            );
            if known.contains(&("last".to_owned(), false)) { Ok(()) } else { Err(format!("{known:?}")) }
        })
        .await;
        let (_, page) = replica.get("/").await;
        assert!(!page.contains("<script>alert"), "{page}");
    }
    world.finish([one, two]).await;
}

#[tokio::test]
async fn what_waits_is_counted_by_one_replica_and_by_another_when_that_one_is_gone() {
    let world = World::with_acme().await;
    let acme = "freshet_lane_waiting{account=\"acme\"}";
    let (mut one, mut two) = (world.start("one").await, world.start("two").await);
    let counts = async |replica: &Freshet| {
        let (_, metrics) = replica.get("/metrics").await;
        ["freshet_lane_waiting{", "freshet_intake_waiting ", "freshet_dead_letters_waiting "]
            .map(|name| metrics.lines().filter(|line| line.starts_with(name)).count())
    };
    soon("exactly one counts", async || match (counts(&one).await, counts(&two).await) {
        ([1, 1, 1], [0, 0, 0]) | ([0, 0, 0], [1, 1, 1]) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    if counts(&one).await == [0, 0, 0] {
        std::mem::swap(&mut one, &mut two);
    }
    // It holds what its prefetch allows; the rest waits.
    world.fault("acme", json!({"endpoint": "*", "action": {"status": 503}})).await;
    let messages = (0..500).map(|number| track(number, "acme"));
    world.publish_to(&world.lanes(), "acme", messages).await;
    soon("a hundred wait", async || match one.metric(acme).await {
        100.0 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let oldest = "freshet_lane_oldest_timestamp_seconds{account=\"acme\"}";
    assert!(one.metric(oldest).await + two.metric(oldest).await > 1.7e9);
    soon("the other one knows it", async || {
        let waiting = status(&two).await["accounts"][0]["waiting"].clone();
        if waiting == 100 { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
    one.kill();
    soon("the other one counts", async || match counts(&two).await {
        [1, 1, 1] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let faults = format!("http://{}/_sandbox/faults", world.at("acme").address);
    freshet::tls::install_provider();
    let cleared = reqwest::Client::new().delete(faults).send().await.unwrap();
    assert!(cleared.status().is_success());
    world.fenced(&[&two]).await;
    world.finish([two]).await;
}

#[tokio::test]
async fn without_the_rights_for_the_exchange_all_else_goes_on_and_the_log_says_it_once() {
    let world = World::with_acme().await;
    let broker = Broker::shared().await;
    let vhost = &world.vhost.name;
    let (user, queue) = (format!("few-rights-{}", std::process::id()), world.queue());
    broker.control(&["add_user", &user, "few"]).await;
    let escaped = queue.replace('.', "\\.");
    let all_but = format!("^{escaped}(\\.(lanes|lane\\..+|dead|probe|replica\\..+|counter))?$");
    broker.control(&["set_permissions", "-p", vhost, &user, &all_but, &all_but, &all_but]).await;
    let url = world.vhost.url().replace("guest:guest@", &format!("{user}:few@"));
    let one = world.start_at(&url, "one").await;
    for number in 0..10 {
        world.publish(track(number, "acme").0).await;
    }
    world.settled(&[&one]).await;
    soon("the log says it", async || {
        let said = one.log().matches("replicas cannot tell each other of their lanes").count();
        if said == 1 { Ok(()) } else { Err(format!("{said} times")) }
    })
    .await;
    assert_eq!(holder(&one, "acme").await.as_deref(), Some("one"), "its own lanes are known");
    assert_eq!(one.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([one]).await;
    broker.control(&["delete_user", &user]).await;
}
