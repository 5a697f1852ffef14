//! The commands for dead letters, against RabbitMQ: what is looked at stays as it is, and nothing is lost.

use std::path::Path;
use std::process::Output;

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{freshet, header, table, text};
use crate::world::World;

/// The folder that a command runs in.
fn folder(world: &World) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), world.config_at(world.vhost.url(), "desk")).unwrap();
    folder
}

/// Runs `freshet dead-letters` beside the test; no account's secret is there.
async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let folder = folder.to_owned();
    let mut all = vec!["dead-letters".to_owned()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        freshet(&arguments, &folder, &[("USER", "alice")], b"")
    });
    running.await.unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed, and returns what it prints.
async fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments).await;
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{err}");
    out
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A letter as the lanes make them.
fn letter(account: &str, reason: &str, trait_path: &str, number: usize) -> (String, BasicProperties) {
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
async fn fill(world: &World, account: &str, numbers: impl IntoIterator<Item = usize>) {
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
async fn fill_alike(world: &World, account: &str, count: usize) {
    let letters = (0..count).map(|number| letter(account, "rejected", "cfPlan", number));
    world.amqp.publish_all(&world.dead(), &format!("{account}.rejected"), letters).await;
}

fn number_of(delivery: &lapin::message::Delivery) -> usize {
    let body: Value = serde_json::from_slice(&delivery.data).unwrap();
    body["messageId"].as_str().unwrap().strip_prefix("m-").unwrap().parse().unwrap()
}

fn numbers(deliveries: &[lapin::message::Delivery]) -> Vec<usize> {
    deliveries.iter().map(number_of).collect()
}

/// Runs of numbers one apart, as a short text.
fn runs(deliveries: &[lapin::message::Delivery]) -> String {
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
async fn quiet() -> World {
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
