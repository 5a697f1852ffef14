//! What a log line may hold, whatever an event brings into it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::support::{Freshet, header, soon};
use crate::world::World;

const ADDRESS: &str = "ada.lovelace@example.com";
const LONGEST: usize = 4096;

/// The lines of a replica that dead-letters events which name addresses, and names longer than a line.
async fn lines(format: &str) -> Vec<String> {
    let world = World::with_acme().await;
    let config = world.config_at(world.vhost.url(), "one");
    let config = config.replace("[delivery]", &format!("[log]\nformat = \"{format}\"\n[delivery]"));
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    let long = format!("m{}", "é\"\u{1}".repeat(20_000));
    for message in [ADDRESS, long.as_str()] {
        let event = json!({"type": "identify", "messageId": message, "userId": ADDRESS,
            "traits": {format!("cf_{ADDRESS}"): 1, format!("cfGone{}", "n".repeat(9000)): 2}});
        world.publish(event.to_string()).await;
    }
    assert_eq!(world.dead_letters(2).await.len(), 2);
    soon("both are logged", async || replica.log().matches("event dead-lettered").count() == 2).await;
    let lines = replica.log().lines().map(str::to_owned).collect();
    world.finish([replica]).await;
    lines
}

fn checked(lines: &[String]) {
    assert!(lines.iter().any(|line| line.contains("[e-mail]")), "{lines:?}");
    for line in lines {
        assert!(line.len() < LONGEST, "{} bytes: {line}", line.len());
        assert!(!line.contains(ADDRESS) && !line.contains("lovelace"), "{line}");
    }
}

#[tokio::test]
async fn lines_for_people_hold_no_address_and_are_short() {
    checked(&lines("text").await);
}

#[tokio::test]
async fn lines_for_machines_hold_no_address_and_are_short_and_json() {
    let lines = lines("json").await;
    checked(&lines);
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

/// An event that is dead-lettered because its account lacks the field.
fn unknown_field(id: &str) -> String {
    json!({"type": "identify", "messageId": id, "userId": ADDRESS, "traits": {"cfGone": 1}}).to_string()
}

/// A replica that logs JSON, and the world it is in.
async fn with_json_log() -> (World, Freshet) {
    let world = World::with_acme().await;
    let config = world.config_at(world.vhost.url(), "one");
    let config = config.replace("[delivery]", "[log]\nformat = \"json\"\n[delivery]");
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    (world, replica)
}

fn logged(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_mistake_in_every_event_fills_no_log_and_every_line_is_counted() {
    const EVENTS: usize = 300;
    let (world, mut replica) = with_json_log().await;
    world.publish_all((0..EVENTS).map(|number| unknown_field(&number.to_string()))).await;
    assert_eq!(world.dead_letters(EVENTS).await.len(), EVENTS);
    world.settled(&[&replica]).await;
    replica.stop().await;
    let log = replica.log();
    let written = logged(&log, "event dead-lettered").len();
    assert!((5..=20).contains(&written), "{written} lines:\n{log}");
    let told = logged(&log, "lines like this were held back");
    let held_back: u64 = told.iter().map(|line| line["log.held_back"].as_u64().unwrap()).sum();
    assert_eq!(written as u64 + held_back, EVENTS as u64, "{told:?}");
    assert_eq!(told[0]["level"], "WARN");
    assert_eq!(told[0]["log.message"], "event dead-lettered");
    assert_eq!((&told[0]["account"], &told[0]["reason"]), (&json!("acme"), &json!("unknown_custom_field")));
}

#[tokio::test]
async fn an_event_s_trace_is_logged_and_its_headers_stay_as_they_came() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let (world, replica) = with_json_log().await;
    let sent = [
        ("valid", parent.as_str(), "acme", Some(TRACE)),
        ("unrouted", parent.as_str(), "nobody", Some(TRACE)),
        ("invalid", "00-not-a-trace-01", "acme", None),
    ];
    for (id, traceparent, account, _) in sent {
        let mut headers = FieldTable::default();
        for (name, value) in
            [("traceparent", traceparent), ("tracestate", "vendor=1,x=2"), ("freshsales-account", account)]
        {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        world.publish_with(unknown_field(id), BasicProperties::default().with_headers(headers)).await;
    }
    for letter in world.dead_letters(3).await {
        let id = serde_json::from_slice::<Value>(&letter.data).unwrap()["messageId"].clone();
        let (_, traceparent, ..) = sent.into_iter().find(|(sent, ..)| id == *sent).unwrap();
        assert_eq!(header(&letter, "traceparent").as_deref(), Some(traceparent), "{id}");
        assert_eq!(header(&letter, "tracestate").as_deref(), Some("vendor=1,x=2"), "{id}");
    }
    let log = replica.log();
    for (id, _, _, trace_id) in sent {
        let line =
            logged(&log, "event dead-lettered").into_iter().find(|line| line["event.message_id"] == id);
        assert_eq!(line.unwrap()["trace_id"].as_str(), trace_id, "{id}");
    }
    world.finish([replica]).await;
}
