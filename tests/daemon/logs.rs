//! What a log line may hold, whatever an event brings into it.

use serde_json::{Value, json};

use crate::support::{Freshet, soon};
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
