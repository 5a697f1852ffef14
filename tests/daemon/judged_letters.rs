//! What would become of dead letters now: `dead-letters replay --if-valid`, and `explain --dead-letters`.

use std::collections::BTreeMap;
use std::path::Path;

use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::letters::{folder, numbers, objects, printed, said};
use crate::support::{delete, freshet, soon, table, text};
use crate::world::World;

/// Exit status, standard output and standard error, with the queues' names as the documents have them.
async fn run(world: &World, at: &Path, arguments: &[&str], keys: bool) -> (Option<i32>, String, String) {
    let (at, arguments) = (at.to_owned(), arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let keys = if keys { &World::environment()[..] } else { &[] };
        freshet(&arguments, &at, keys, b"")
    });
    let output = running.await.unwrap();
    let (out, err) = said(&output);
    // The line for the log has times.
    let err: String =
        err.lines().filter(|line| line.starts_with("freshet: ")).flat_map(|line| [line, "\n"]).collect();
    let named = |text: String| {
        let text = text.replace(&world.dead(), "Q.dead").replace(&world.lane(""), "Q.lane.");
        let accounts = world.accounts.iter();
        accounts.fold(text, |text, account| text.replace(&account.address.to_string(), &account.name))
    };
    (output.status.code(), named(out), named(err))
}

fn identify(number: usize, key: &str, traits: &Value) -> Value {
    json!({"type": "identify", "userId": format!("u{number}"), "messageId": format!("m-{number}"), "writeKey": key, "traits": traits})
}

/// Puts a letter into the queue. Where `account` is none, it has no account.
async fn put(world: &World, account: Option<&str>, reason: &str, forged: &[(&str, &str)], body: &Value) {
    let mut headers = vec![("freshet-reason", reason), ("freshet-failed-at", "2026-03-01T09:00:00Z")];
    let id = body["messageId"].as_str();
    headers.extend(id.map(|id| ("freshet-message-id", id)));
    headers.extend(account.map(|account| ("freshet-account", account)));
    headers.retain(|(name, _)| forged.iter().all(|(forged, _)| forged != name));
    headers.extend(forged);
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, text(value))).collect();
    let key = format!("{}.{reason}", account.unwrap_or("_unrouted"));
    let properties = BasicProperties::default().with_headers(table(&headers));
    world.amqp.publish_to(&world.dead(), &key, body.to_string(), properties).await;
}

/// Three accounts, of which one does not let its fields be read; the queues are declared, and no replica runs.
async fn three() -> World {
    let world = World::of_two().await.account("idle", "write_keys = [\"i\"]").await;
    world.retire(world.start("declares").await).await;
    let refused = json!({"endpoint": "contacts_fields", "action": {"status": 403, "body": {"errors": {"message": ["no"]}}}});
    world.fault("globex", refused).await;
    world
}

fn asked(world: &World, account: &str) -> u64 {
    world.state(account)["total_requests"].as_u64().unwrap()
}

#[tokio::test]
async fn a_letter_is_judged_as_it_would_be_treated_and_an_account_that_tells_nothing_costs_the_others_nothing()
 {
    let world = three().await;
    let at = folder(&world);
    let good = |number: usize| identify(number, "a", &json!({"email": format!("u{number}@example.com")}));
    put(&world, Some("acme"), "invalid_field", &[], &good(0)).await;
    // A lane takes no batch.
    put(&world, Some("acme"), "malformed_json", &[], &json!([good(1)])).await;
    put(&world, Some("globex"), "rejected", &[], &good(2)).await;
    put(&world, None, "unknown_account", &[], &good(3)).await;
    // The intake does.
    put(&world, None, "malformed_json", &[], &json!([good(4), {"type": "group", "writeKey": "a"}])).await;
    put(
        &world,
        None,
        "malformed_json",
        &[],
        &json!([good(5), identify(5, "a", &json!({"email": "nobody"}))]),
    )
    .await;
    // RabbitMQ made it, of a message whose sender names another account.
    let forged =
        [("freshet-account", "globex"), ("freshsales-account", "globex"), ("freshet-reason", "rejected")];
    put(&world, Some("acme"), "delivery_limit", &forged, &good(6)).await;
    put(&world, Some("gone"), "rejected", &[], &good(7)).await;
    let before = asked(&world, "idle");

    let seen = run(&world, at.path(), &["dead-letters", "replay", "--if-valid", "--dry-run"], true).await;
    assert_eq!(seen.0, Some(1), "{seen:?}");
    insta::assert_snapshot!("judged_dry_run", format!("{}{}", seen.1, seen.2));
    let seen = run(&world, at.path(), &["dead-letters", "replay", "--if-valid"], true).await;
    assert_eq!(seen.0, Some(1), "{seen:?}");
    insta::assert_snapshot!("judged_replay", format!("{}{}", seen.1, seen.2));
    assert_eq!(asked(&world, "idle"), before, "no letter concerns it");
    let bodies = |deliveries: &[lapin::message::Delivery]| {
        deliveries
            .iter()
            .map(|delivery| String::from_utf8(delivery.data.clone()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&world.amqp.drain(&world.lane("acme")).await), [0, 6]);
    let intake = bodies(&world.amqp.drain(&world.queue()).await);
    assert!(intake.len() == 2 && intake[0].contains("m-3") && intake[1].contains("m-4"), "{intake:?}");
    let left = bodies(&world.dead_letters(4).await);
    let ids = ["m-1", "m-2", "m-5", "m-7"];
    assert!(left.iter().zip(ids).all(|(body, id)| body.contains(id)), "{left:?}");
    world.finish([]).await;
}

#[tokio::test]
async fn a_letter_that_depends_on_what_cannot_be_read_stays_and_is_counted_apart() {
    let world = World::with_acme().await;
    world.retire(world.start("declares").await).await;
    let at = folder(&world);
    world.fault("acme", json!({"endpoint": "selector_owners", "action": {"status": 403}})).await;
    let owner = json!({"email": "a@example.com", "owner": "ines.hallstrom@example.com"});
    put(&world, Some("acme"), "invalid_field", &[], &identify(0, "", &owner)).await;
    put(&world, Some("acme"), "invalid_field", &[], &identify(1, "", &json!({"email": "b@example.com"})))
        .await;
    put(&world, Some("acme"), "invalid_field", &[], &identify(2, "", &json!({"email": "nobody"}))).await;
    let seen = run(&world, at.path(), &["dead-letters", "replay", "--if-valid"], true).await;
    assert_eq!(seen.0, Some(1), "{seen:?}");
    insta::assert_snapshot!("judged_unsure", format!("{}{}", seen.1, seen.2));
    assert_eq!(numbers(&world.amqp.drain(&world.lane("acme")).await), [1]);
    // Now it can be read.
    delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();
    let seen = run(&world, at.path(), &["dead-letters", "replay", "--if-valid", "--json"], true).await;
    let end = &objects(&seen.1)[0];
    assert_eq!(
        (&end["done"], &end["skipped"], &end["unknown"]),
        (&json!(1), &json!(1), &json!(0)),
        "{seen:?}"
    );
    assert_eq!(numbers(&world.amqp.drain(&world.lane("acme")).await), [0]);
    assert_eq!(numbers(&world.dead_letters(1).await), [2]);
    world.finish([]).await;
}

#[tokio::test]
async fn letters_are_explained_where_they_stand_and_stay_there() {
    let world = three().await;
    let at = folder(&world);
    let bad = identify(0, "a", &json!({"email": "u0@example.com", "cfNowhere": "x"}));
    put(&world, Some("acme"), "unknown_custom_field", &[], &bad).await;
    put(&world, Some("acme"), "rejected", &[], &identify(1, "a", &json!({"email": "u1@example.com"}))).await;
    put(&world, None, "unknown_account", &[], &identify(2, "nobody's", &json!({}))).await;
    put(&world, Some("globex"), "rejected", &[], &identify(3, "g", &json!({"email": "u3@example.com"})))
        .await;
    put(&world, Some("gone"), "rejected", &[], &identify(4, "", &json!({}))).await;

    let explain = ["explain", "--dead-letters"];
    let seen = run(&world, at.path(), &explain, true).await;
    assert_eq!(seen.0, Some(1), "{seen:?}");
    let ago = |text: &str| {
        let line = |line: &str| match line.split_once("  dead-lettered ") {
            Some((before, after)) => {
                format!("{before}  dead-lettered (when): {}\n", after.rsplit_once(": ").unwrap().1)
            }
            None => format!("{line}\n"),
        };
        // The requests are as for any event.
        let mut requests = false;
        let shown = text.lines().filter(|line| {
            requests = (requests || *line == "  requests") && !line.is_empty();
            !requests
        });
        shown.map(line).collect::<String>()
    };
    insta::assert_snapshot!("explained_letters", format!("{}{}", ago(&seen.1), seen.2));

    // Only letters of `acme`: nobody else is asked.
    let before = asked(&world, "globex");
    let json = ["explain", "--dead-letters", "--account", "acme", "--json"];
    let (code, out, err) = run(&world, at.path(), &json, true).await;
    assert_eq!((code, err.as_str()), (Some(1), ""));
    assert_eq!(asked(&world, "globex"), before);
    let lines = objects(&out);
    let told: Vec<_> = lines
        .iter()
        .take(2)
        .map(|line| {
            ["line", "letter", "letter_reason", "outcome", "reason", "account", "routed_by"]
                .map(|key| line[key].clone())
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [1, "m-0", "unknown_custom_field", "dead_letter", "unknown_custom_field", "acme", "header"],
            [2, "m-1", "rejected", "deliver", null, "acme", "header"],
        ])
    );
    assert_eq!(lines[2]["summary"]["events"], 2);
    let limited = ["explain", "--dead-letters", "--reason", "rejected", "--account", "acme"];
    assert_eq!(run(&world, at.path(), &limited, true).await.0, Some(0), "all would be delivered");
    let none = ["explain", "--dead-letters", "--type", "page"];
    let (code, _, err) = run(&world, at.path(), &none, true).await;
    assert!(code == Some(1) && err.contains("no letter in Q.dead matches"), "{err}");

    // With saved fields no key is needed.
    let saved = ["fields", "--account", "acme", "--save", "saved"];
    assert_eq!(run(&world, at.path(), &saved, true).await.0, Some(0));
    let offline = ["explain", "--dead-letters", "--account", "acme", "--fields", "saved", "--json"];
    assert_eq!(run(&world, at.path(), &offline, false).await.1, out);
    assert_eq!(numbers(&world.dead_letters(5).await), [0, 1, 2, 3, 4]);
    world.finish([]).await;
}

#[tokio::test]
async fn explaining_letters_and_explaining_files_are_told_apart() {
    let world = World::with_acme().await;
    let at = folder(&world);
    std::fs::write(at.path().join("events.ndjson"), "{}\n").unwrap();
    for (arguments, part) in [
        (&["explain"][..], "FILE"),
        (&["explain", "events.ndjson", "--dead-letters"], "--dead-letters"),
        (&["explain", "events.ndjson", "--reason", "rejected"], "--dead-letters"),
    ] {
        let output = freshet(arguments, at.path(), &[], b"");
        let (_, err) = said(&output);
        assert!(output.status.code() == Some(64) && err.contains(part), "{arguments:?}: {err}");
    }
    let empty = TempDir::new().unwrap();
    let nowhere = world.config_at("amqp://guest:guest@127.0.0.1:1/%2f", "desk");
    std::fs::write(empty.path().join("freshet.toml"), nowhere).unwrap();
    let (code, _, err) = run(&world, empty.path(), &["explain", "--dead-letters"], false).await;
    assert!(code == Some(75) && err.contains("cannot reach the broker at 127.0.0.1:1: "), "{err}");
}

#[tokio::test]
async fn a_letter_without_an_account_is_counted_each_time_that_it_is_sent_back() {
    let world = World::of_two().await;
    let at = folder(&world);
    let replica = world.start("one").await;
    let body = json!([{"type": "track", "messageId": "m-0"}, {"type": "track", "messageId": "m-1"}]);
    world.publish(body.to_string()).await;
    let dead = world.dead();
    for round in 0..3 {
        world.expect(if round == 0 { 1 } else { 2 });
        world.settled(&[&replica]).await;
        soon("the letters are there", async || world.amqp.depth(&dead).await == Some(2)).await;
        let listed = objects(&printed(at.path(), &["list", "--all", "--json"]).await);
        let replays: BTreeMap<_, _> =
            listed.iter().map(|one| (one["id"].as_str().unwrap(), &one["replays"])).collect();
        assert_eq!(json!(replays), json!({"m-0": round, "m-1": round}));
        if round < 2 {
            assert_eq!(printed(at.path(), &["replay"]).await, "2 letters sent back\n");
        }
    }
    world.dead_letters(2).await;
    world.finish([replica]).await;
}
