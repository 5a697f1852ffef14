//! The commands for dead letters, against RabbitMQ: what is looked at stays as it is, and nothing is lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Broker, Freshet, Proxy, freshet, header, soon, table, text};
use crate::world::World;

/// The folder that a command runs in.
pub fn folder(world: &World) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), world.config_at(world.vhost.url(), "desk")).unwrap();
    folder
}

/// Runs `freshet dead-letters` beside the test; no account's secret is there.
pub async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let folder = folder.to_owned();
    let mut all = vec!["dead-letters".to_owned()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        freshet(&arguments, &folder, &[("USER", "alice")], b"")
    });
    running.await.unwrap()
}

pub fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed, and returns what it prints.
pub async fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{err}");
    out
}

pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A letter as the lanes make them.
pub fn letter(account: &str, reason: &str, trait_path: &str, number: usize) -> (String, BasicProperties) {
    let detail =
        json!([{"field": null, "trait": trait_path, "problem": "is wrong", "expected": null, "got": null}]);
    let headers = table(&[
        ("freshet-reason", text(reason)),
        ("freshet-account", text(account)),
        ("freshet-detail", text(&detail.to_string())),
        ("freshet-event-type", text("track")),
        ("freshet-message-id", text(&format!("m-{number}"))),
        ("freshet-attempts", AMQPValue::LongInt(1)),
        ("freshet-failed-at", text("2026-03-01T09:00:00Z")),
        ("freshet-replays", AMQPValue::LongLongInt(0)),
        ("tenant", text("t")),
    ]);
    let body =
        json!({"type": "track", "userId": "u@example.com", "messageId": format!("m-{number}"), "event": "E"});
    (body.to_string(), BasicProperties::default().with_headers(headers).with_message_id("amqp".into()))
}

/// Puts letters into the queue, in order: those whose number is odd are `rejected`, the others `invalid_field`.
pub async fn fill(world: &World, account: &str, numbers: impl IntoIterator<Item = usize>) {
    let exchange = world.dead();
    let mut run: Vec<(String, BasicProperties)> = Vec::new();
    let mut key = String::new();
    for number in numbers {
        let reason = if number % 2 == 1 { "rejected" } else { "invalid_field" };
        let next = format!("{account}.{reason}");
        if next != key && !run.is_empty() {
            world.amqp.publish_all(&exchange, &key, std::mem::take(&mut run)).await;
        }
        key = next;
        run.push(letter(account, reason, "cfPlan", number));
    }
    world.amqp.publish_all(&exchange, &key, run).await;
}

/// All letters of one kind at once, which is faster.
pub async fn fill_alike(world: &World, account: &str, count: usize) {
    let letters = (0..count).map(|number| letter(account, "rejected", "cfPlan", number));
    world.amqp.publish_all(&world.dead(), &format!("{account}.rejected"), letters).await;
}

fn number_of(delivery: &lapin::message::Delivery) -> usize {
    let body: Value = serde_json::from_slice(&delivery.data).unwrap();
    body["messageId"].as_str().unwrap().strip_prefix("m-").unwrap().parse().unwrap()
}

pub fn numbers(deliveries: &[lapin::message::Delivery]) -> Vec<usize> {
    deliveries.iter().map(number_of).collect()
}

/// Runs of numbers one apart, as a short text.
pub fn runs(deliveries: &[lapin::message::Delivery]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers(deliveries) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(" ")
}

/// A world whose queues are declared, and where no replica runs.
pub async fn quiet() -> World {
    let world = World::with_acme().await;
    world.retire(world.start("declares").await).await;
    world
}

#[tokio::test]
async fn looking_leaves_every_letter_in_its_place_however_many_steps_it_takes() {
    let world = quiet().await;
    let folder = folder(&world);
    // More than two steps of reading.
    fill_alike(&world, "acme", 5000).await;
    for arguments in [
        &["list"][..],
        &["list", "--all"],
        &["show", "m-4999"],
        &["list", "--limit", "1"],
        &["list", "--limit", "2500"],
    ] {
        printed(folder.path(), arguments).await;
    }
    let summary = objects(&printed(folder.path(), &["list", "--json"]).await);
    assert_eq!(
        summary,
        [json!({"account": "acme", "reason": "rejected", "trait": "cfPlan", "letters": 5000,
            "first": "2026-03-01T09:00:00Z", "last": "2026-03-01T09:00:00Z"})]
    );
    assert_eq!(runs(&world.dead_letters(5000).await), "0-4999");
    world.finish([]).await;
}

#[tokio::test]
async fn a_replay_takes_what_is_chosen_back_to_its_lane_in_order_and_leaves_the_rest_in_its_place() {
    let world = quiet().await;
    let folder = folder(&world);
    fill(&world, "acme", 0..300).await;
    let out = printed(folder.path(), &["replay", "--reason", "rejected"]).await;
    assert_eq!(out, "150 letters sent back\n");
    let lane = world.amqp.drain(&world.lane("acme")).await;
    assert_eq!(numbers(&lane), (0..300).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    let headers: Vec<_> =
        lane[0].properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect();
    assert_eq!(headers, ["freshet-replays", "tenant"]);
    assert_eq!(lane[0].properties.message_id().as_ref().unwrap().as_str(), "amqp");
    let (body, _) = letter("acme", "rejected", "cfPlan", 1);
    assert_eq!(lane[0].data, body.as_bytes(), "byte for byte");
    let left = world.dead_letters(150).await;
    assert_eq!(numbers(&left), (0..300).filter(|number| number % 2 == 0).collect::<Vec<_>>());
    assert_eq!(header(&left[0], "freshet-reason").as_deref(), Some("invalid_field"));
    world.finish([]).await;
}

#[tokio::test]
async fn one_replay_goes_on_at_a_time_and_one_that_is_interrupted_leaves_the_rest() {
    let world = quiet().await;
    let folder = folder(&world);
    fill_alike(&world, "acme", 60).await;
    let config = world.config_at(world.vhost.url(), "desk");
    let mut first = Freshet::start_command(&["dead-letters", "replay", "--rate", "2/s"], &config, &[]);
    let lane = world.lane("acme");
    soon("the first letters are in the lane", async || world.amqp.depth(&lane).await >= Some(2)).await;
    for arguments in [&["replay"][..], &["drop", "--all", "--yes", "--discard"]] {
        let output = run(folder.path(), arguments).await;
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(1), "{out}{err}");
        assert!(
            err.contains("somebody else is reading, replaying") && err.contains("rabbitmqctl list_consumers"),
            "{err}"
        );
    }
    first.signal("INT");
    assert_eq!(first.exit().await.code(), Some(1));
    assert!(first.log().contains("the other letters stay"), "{}", first.log());
    assert!(first.log().contains("dead letters replayed"), "{}", first.log());
    let gone = world.amqp.depth(&lane).await.unwrap();
    let out = printed(folder.path(), &["replay"]).await;
    assert!(out.contains(&format!("{} letters sent back", 60 - gone)), "{out}");
    assert_eq!(numbers(&world.amqp.drain(&lane).await), (0..60).collect::<Vec<_>>());
    world.finish([]).await;
}

#[tokio::test]
async fn a_replay_that_is_killed_loses_no_letter_and_repeats_no_more_than_the_window() {
    const LETTERS: usize = 600;
    const WINDOW: usize = 100;
    let world = quiet().await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let config = world.config_at(&proxy.url(world.vhost.url()), "desk");
    let (dead, lane) = (world.dead(), world.lane("acme"));
    // The network stands still at one step or another: before a confirm, before an acknowledgement, behind it.
    for so_many in [1, 60, 100, 101, 250, 390] {
        fill_alike(&world, "acme", LETTERS).await;
        let mut replay = Freshet::start_command(&["dead-letters", "replay"], &config, &[]);
        soon("letters are in the lane", async || world.amqp.depth(&lane).await >= Some(so_many)).await;
        proxy.hang().await;
        replay.kill();
        proxy.pass().await;
        proxy.cut();
        soon("the letters are back", async || {
            let consumers = world.amqp.consumers(&dead).await;
            let there = world.amqp.depth(&dead).await.unwrap() + world.amqp.depth(&lane).await.unwrap();
            let all = consumers == Some(0) && there as usize >= LETTERS;
            if all { Ok(()) } else { Err(format!("{there} letters, {consumers:?} consumers")) }
        })
        .await;
        let mut times: BTreeMap<usize, usize> = BTreeMap::new();
        for number in numbers(&world.amqp.take_all(&dead).await) {
            *times.entry(number).or_default() += 1;
        }
        let sent = numbers(&world.amqp.drain(&lane).await);
        assert!(sent.is_sorted(), "in order: {sent:?}");
        for number in sent {
            *times.entry(number).or_default() += 1;
        }
        assert_eq!(times.len(), LETTERS, "none is lost");
        let twice = times.values().filter(|times| **times > 1).count();
        assert!(twice <= WINDOW && times.values().all(|times| *times <= 2), "{twice} are there twice");
    }
    world.finish([]).await;
}

#[tokio::test]
async fn every_letter_goes_where_it_belongs_or_stays() {
    let world = quiet().await.account("late", "").await;
    let folder = folder(&world);
    let (unrouted, properties) = letter("x", "unknown_account", "writeKey", 1);
    let headers =
        table(&[("freshet-reason", text("unknown_account")), ("freshsales-account", text("nobody"))]);
    let properties = properties.with_headers(headers);
    world.amqp.publish_all(&world.dead(), "_unrouted.unknown_account", [(unrouted, properties)]).await;
    world.amqp.publish(&world.dead(), "put here by hand", &[("note", "n")]).await;
    for account in ["gone", "late"] {
        fill(&world, account, [3]).await;
    }
    // RabbitMQ takes it out of the lane.
    let expiring = BasicProperties::default().with_expiration("1".into());
    world.amqp.publish_to(&world.lanes(), "acme", letter("acme", "-", "-", 7).0, expiring).await;
    soon("RabbitMQ makes a letter", async || world.amqp.depth(&world.dead()).await == Some(5)).await;

    let listed = objects(&printed(folder.path(), &["list", "--all", "--json"]).await);
    let shown: Vec<_> = listed.iter().map(|one| (one["account"].as_str(), one["reason"].as_str())).collect();
    let expected = [
        (None, Some("unknown_account")),
        (None, None),
        (Some("gone"), Some("rejected")),
        (Some("late"), Some("rejected")),
        (Some("acme"), Some("delivery_limit")),
    ];
    assert_eq!(shown, expected);
    assert_eq!((&listed[4]["type"], &listed[4]["message_id"]), (&json!("track"), &json!("m-7")));
    let problem = listed[4]["problems"][0]["problem"].as_str().unwrap();
    assert!(problem.ends_with("a time limit ran out") && listed[4]["failed_at"].is_string(), "{problem}");

    let output = run(folder.path(), &["replay"]).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.starts_with("3 letters sent back, 2 letters left in "), "{out}");
    assert!(out.contains("1 letter: account gone is not in the configuration"), "{out}");
    assert!(out.contains(&format!("1 letter: there is no queue {}", world.lane("late"))), "{out}");
    let intake = world.amqp.drain(&world.queue()).await;
    assert_eq!(intake.len(), 2);
    assert_eq!(header(&intake[0], "freshsales-account").as_deref(), Some("nobody"));
    assert_eq!(
        (&intake[1].data[..], header(&intake[1], "note").as_deref()),
        (&b"put here by hand"[..], Some("n"))
    );
    let lane = world.amqp.drain(&world.lane("acme")).await;
    let names: Vec<_> =
        lane[0].properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["freshet-replays"], "nothing is left of RabbitMQ's notes");
    assert_eq!(world.dead_letters(2).await.len(), 2);
}

#[tokio::test]
async fn what_fails_again_is_replayed_once_and_counted() {
    let world = World::with_acme().await;
    let folder = folder(&world);
    let replica = world.start("worker").await;
    for number in 0..50 {
        world
            .publish(json!({"type": "track", "userId": "u", "messageId": format!("m-{number}")}).to_string())
            .await;
    }
    world.settled(&[&replica]).await;
    let dead = world.dead();
    soon("the letters are there", async || world.amqp.depth(&dead).await == Some(50)).await;
    world.expect(50);
    let out = printed(folder.path(), &["replay", "--reason", "invalid_event"]).await;
    assert_eq!(out, "50 letters sent back\n");
    world.settled(&[&replica]).await;
    let again = objects(&{
        soon("they are back", async || world.amqp.depth(&dead).await == Some(50)).await;
        printed(folder.path(), &["list", "--all", "--json"]).await
    });
    assert!(again.iter().all(|letter| letter["replays"] == 1), "{again:?}");
    let output = run(folder.path(), &["replay", "--max-replays", "0"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).1.contains("no letter in"), "{}", said(&output).1);
    assert_eq!(numbers(&world.dead_letters(50).await), (0..50).collect::<Vec<_>>());
    world.finish([replica]).await;
}

#[tokio::test]
async fn only_what_would_be_delivered_now_is_sent_back_if_that_is_asked_for() {
    let mut world = World::with_acme().await;
    let replica = world.start("before").await;
    let identify = |number: usize, traits: Value| json!({"type": "identify", "userId": format!("u{number}"), "messageId": format!("m-{number}"), "traits": traits});
    world.publish(identify(0, json!({"email": "a@example.com", "cfNowhere": "x"})).to_string()).await;
    world.publish(identify(1, json!({"email": "nobody"})).to_string()).await;
    world.publish(identify(2, json!({"email": "b@example.com", "cfNowhere": "y"})).to_string()).await;
    world.settled(&[&replica]).await;
    let dead = world.dead();
    soon("the letters are there", async || world.amqp.depth(&dead).await == Some(3)).await;
    world.retire(replica).await;
    // The mend.
    world.accounts[0].settings = "unknown_custom_field = \"ignore\"".to_owned();
    let folder = folder(&world);
    let with_key = async |arguments: &[&str]| {
        let (at, arguments) =
            (folder.path().to_owned(), arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        let running = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            freshet(&arguments, &at, &World::environment(), b"")
        });
        said(&running.await.unwrap())
    };
    let (out, _) = with_key(&["dead-letters", "replay", "--if-valid", "--dry-run", "--json"]).await;
    assert_eq!(objects(&out)[0]["letters"], 2, "{out}");
    let (out, err) = with_key(&["dead-letters", "replay", "--if-valid"]).await;
    assert_eq!(
        out,
        format!(
            "2 letters sent back, 1 letter left in {dead}\n  1 letter: would be dead-lettered again: invalid_email\n"
        ),
        "{err}"
    );
    let replica = world.start("after").await;
    world.expect(2);
    world.settled(&[&replica]).await;
    soon("both are delivered", async || world.state("acme")["contacts"].as_array().unwrap().len() == 2).await;
    let left = world.dead_letters(1).await;
    assert!(String::from_utf8_lossy(&left[0].data).contains("m-1"));
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_is_dropped_or_exported_can_be_published_again() {
    let world = quiet().await;
    let folder = folder(&world);
    fill(&world, "acme", 0..20).await;
    for arguments in [&["drop", "--yes"][..], &["drop", "--all"]] {
        assert_eq!(run(folder.path(), arguments).await.status.code(), Some(64), "{arguments:?}");
    }
    printed(folder.path(), &["export", "all.ndjson.gz"]).await;
    assert_eq!(run(folder.path(), &["export", "all.ndjson.gz"]).await.status.code(), Some(1), "it is there");
    let out = printed(folder.path(), &["drop", "--reason", "rejected", "--yes", "--to", "odd.ndjson"]).await;
    assert_eq!(out, "10 letters dropped\n");
    assert_eq!(runs(&world.dead_letters(10).await), "0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14 16-16 18-18");
    for (file, expected) in [
        ("odd.ndjson", (0..20).filter(|n| n % 2 == 1).collect::<Vec<_>>()),
        ("all.ndjson.gz", (0..20).collect()),
    ] {
        let (at, file) = (folder.path().to_owned(), file.to_owned());
        let published =
            tokio::task::spawn_blocking(move || freshet(&["publish", &file], &at, &[], b"")).await.unwrap();
        assert!(published.status.success(), "{:?}", said(&published));
        let lane = world.amqp.drain(&world.lane("acme")).await;
        assert_eq!(numbers(&lane), expected);
        assert_eq!(header(&lane[0], "tenant").as_deref(), Some("t"));
    }
    world.finish([]).await;
}

#[tokio::test]
async fn nothing_is_logged_where_nothing_matched() {
    let world = quiet().await;
    let folder = folder(&world);
    for (reason, status) in [("too_large", 1), ("rejected", 0)] {
        for arguments in
            [&["replay", "--reason", reason][..], &["drop", "--reason", reason, "--yes", "--discard"]]
        {
            fill(&world, "acme", [1]).await;
            let output = run(folder.path(), arguments).await;
            let (out, err) = said(&output);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}: {out}{err}");
            assert_eq!(err.contains("letters="), status == 0, "{arguments:?}: {err}");
        }
    }
    world.amqp.drain(&world.lane("acme")).await;
    world.finish([]).await;
}

#[tokio::test]
async fn an_operator_needs_no_more_permissions_than_are_documented() {
    let world = quiet().await;
    let folder = folder(&world);
    fill(&world, "acme", 0..6).await;
    world.amqp.publish(&world.dead(), "by hand", &[]).await;
    let broker = Broker::shared().await;
    let user = format!("operator-{}", world.vhost.name);
    let queue = world.queue().replace('.', "\\.");
    broker.control(&["add_user", &user, "word"]).await;
    let page = std::fs::read_to_string("docs/RABBITMQ.md").unwrap();
    let documented = page.lines().find(|line| line.contains("dead\\.claim")).unwrap();
    let patterns: Vec<String> = documented
        .split('\'')
        .filter(|part| part.starts_with('^'))
        .map(|part| part.replace("segment\\.events", &queue))
        .collect();
    assert_eq!(patterns.len(), 3);
    broker
        .control(&[
            "set_permissions",
            "-p",
            &world.vhost.name,
            &user,
            &patterns[0],
            &patterns[1],
            &patterns[2],
        ])
        .await;
    let mut url = url::Url::parse(world.vhost.url()).unwrap();
    url.set_username(&user).unwrap();
    url.set_password(Some("word")).unwrap();
    std::fs::write(folder.path().join("freshet.toml"), world.config_at(url.as_str(), "desk")).unwrap();
    printed(folder.path(), &["list"]).await;
    printed(folder.path(), &["export", "all.ndjson"]).await;
    assert_eq!(printed(folder.path(), &["replay", "--reason", "rejected"]).await, "3 letters sent back\n");
    assert_eq!(printed(folder.path(), &["replay", "--account", "_unrouted"]).await, "1 letter sent back\n");
    assert_eq!(printed(folder.path(), &["drop", "--all", "--yes", "--discard"]).await, "3 letters dropped\n");
    broker.control(&["delete_user", &user]).await;
    assert_eq!(world.amqp.drain(&world.lane("acme")).await.len(), 3);
    assert_eq!(world.amqp.drain(&world.queue()).await.len(), 1);
    world.finish([]).await;
}

#[tokio::test]
async fn what_people_see() {
    let world = quiet().await;
    let folder = folder(&world);
    let empty = printed(folder.path(), &["list"]).await;
    fill(&world, "acme", 0..3).await;
    world.amqp.publish(&world.dead(), "by hand", &[]).await;
    let mut seen = empty;
    for arguments in [
        &["list"][..],
        &["list", "--all"],
        &["list", "--reason", "rejected", "--json"],
        &["show", "m-1"],
        &["show", "m-1", "--body", "--json"],
        &["replay", "--dry-run"],
    ] {
        writeln!(seen, "\n$ freshet dead-letters {}", arguments.join(" ")).unwrap();
        seen.push_str(&printed(folder.path(), arguments).await);
    }
    for arguments in
        [&["list", "--trait", "nothing"][..], &["replay", "--reason", "rejcted"], &["show", "m-9"]]
    {
        let output = run(folder.path(), arguments).await;
        writeln!(seen, "\n$ freshet dead-letters {}\n{}", arguments.join(" "), said(&output).1.trim_end())
            .unwrap();
        writeln!(seen, "[{}]", output.status.code().unwrap()).unwrap();
    }
    let seen = seen.replace(&world.dead(), "Q.dead").replace(&world.lane("acme"), "Q.lane.acme");
    insta::assert_snapshot!(seen);
    world.dead_letters(4).await;
    world.finish([]).await;
}
