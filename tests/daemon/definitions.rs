//! The users of deploy/rabbitmq/definitions.json, unchanged in a broker: each can do what it is for, and no more.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::letters::{objects, said};
use crate::support::{Broker, freshet, header, soon};
use crate::world::World;

/// A folder with the configuration of one of the users, who has its name for a password.
fn desk(world: &World, user: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = world.config_at(&url(world, user), "desk");
    std::fs::write(folder.path().join("freshet.toml"), config).unwrap();
    folder
}

fn url(world: &World, user: &str) -> String {
    world.vhost.url().replace("guest:guest", &format!("{user}:{user}"))
}

/// Runs a command beside the test.
async fn ran(desk: &TempDir, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let folder: &Path = desk.path();
    let (folder, input) = (folder.to_owned(), input.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || -> Output {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        freshet(&arguments, &folder, &World::environment(), input.as_bytes())
    });
    let output = running.await.unwrap();
    let (out, err) = said(&output);
    (output.status.code(), out, err)
}

/// Runs a command that must succeed, and returns what it prints.
async fn does(desk: &TempDir, arguments: &[&str], input: &str) -> String {
    let (status, out, err) = ran(desk, arguments, input).await;
    assert_eq!(status, Some(0), "{arguments:?}: {out}{err}");
    out
}

/// Runs a command that RabbitMQ must refuse to the user.
async fn may_not(desk: &TempDir, arguments: &[&str], input: &str) {
    let (status, out, err) = ran(desk, arguments, input).await;
    assert!(matches!(status, Some(1 | 75)), "{arguments:?}: {status:?}: {out}{err}");
    assert!(format!("{out}{err}").contains("refused"), "{arguments:?}: {out}{err}");
}

async fn waits(world: &World, queue: &str, messages: u32) {
    soon(&format!("{messages} in {queue}"), async || {
        let depth = world.amqp.depth(queue).await;
        if depth == Some(messages) { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await;
}

#[tokio::test]
async fn each_user_of_the_definitions_can_do_what_it_is_for_and_no_more() {
    let broker = Broker::private().await;
    let text = std::fs::read_to_string("deploy/rabbitmq/definitions.json").unwrap();
    broker.import_definitions(&text).await;
    let world = World::on(broker.default_vhost("segment.")).await.account("acme", "").await;
    assert_eq!(world.queue(), "segment.events", "as in the file");
    let [daemon, publisher, operator] =
        ["freshet", "freshet-publisher", "freshet-operator"].map(|user| desk(&world, user));

    // The daemon, from a broker without any queue on.
    does(&daemon, &["check"], "").await;
    let replica = world.start_at(&url(&world, "freshet"), "one").await;
    does(&daemon, &["check"], "").await;
    let policies = broker.control(&["list_queues", "-p", "/", "--no-table-headers", "name", "policy"]).await;
    let mut policies: Vec<&str> = policies.lines().filter(|line| line.contains("\tfreshet-")).collect();
    policies.sort_unstable();
    assert_eq!(
        policies,
        [
            "segment.events\tfreshet-lanes",
            "segment.events.dead\tfreshet-dead-letters",
            "segment.events.lane.acme\tfreshet-lanes"
        ]
    );

    // Whoever publishes.
    let event = |id: &str, name: &str| json!({"type": "identify", "messageId": id, "userId": format!("{id}@example.com"), "traits": {name: "Ada"}});
    let events = [event("good", "firstName"), event("sent-back", "cfGone"), event("dropped", "cfGone")]
        .map(|event| event.to_string())
        .join("\n");
    does(&publisher, &["publish", "-"], &events).await;
    world.expect(3);
    world.settled(&[&replica]).await;
    let page = format!("http://{}", replica.http_addr().await);
    let status: Value =
        serde_json::from_str(&does(&operator, &["status", "--json", "--url", &page], "").await).unwrap();
    assert_eq!(status["accounts"][0]["delivered"], 1, "{status}");
    world.retire(replica).await;
    waits(&world, &world.dead(), 2).await;

    // Whoever works with dead letters.
    let letters = does(&operator, &["dead-letters", "list", "--all", "--json"], "").await;
    assert_eq!(objects(&letters).len(), 2, "{letters}");
    does(&operator, &["dead-letters", "show", "dropped", "--body"], "").await;
    let saved = does(&operator, &["dead-letters", "export", "-"], "").await;
    assert_eq!(objects(&saved).len(), 2, "{saved}");
    does(&operator, &["dead-letters", "replay", "--message-id", "sent-back"], "").await;
    waits(&world, &world.lane("acme"), 1).await;
    does(&operator, &["dead-letters", "drop", "--message-id", "dropped", "--yes", "--to", "gone.ndjson"], "")
        .await;
    waits(&world, &world.dead(), 0).await;
    may_not(&operator, &["publish", "-"], &events).await;
    may_not(&operator, &["check"], "").await;

    // The publisher puts nothing into lanes, as a file of letters asks for, and takes no letters out.
    let gone = std::fs::read_to_string(operator.path().join("gone.ndjson")).unwrap();
    may_not(&publisher, &["publish", "-"], &gone).await;
    may_not(&publisher, &["dead-letters", "drop", "--all", "--yes", "--discard"], "").await;

    world.expect(1);
    let replica = world.start_at(&url(&world, "freshet"), "two").await;
    world.settled(&[&replica]).await;
    let back = world.dead_letters(1).await;
    assert_eq!(header(&back[0], "freshet-message-id").as_deref(), Some("sent-back"));
    world.finish([replica]).await;
}
