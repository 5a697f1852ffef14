//! What is acknowledged without an effect, and how an event finds its account.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::events::{email, track};
use crate::support::{table, text};
use crate::world::{World, sum};

fn named(account: &str) -> BasicProperties {
    BasicProperties::default().with_headers(table(&[("freshsales-account", text(account))]))
}

/// A track with further keys in its envelope.
fn with(id: usize, more: Value) -> String {
    let mut event = track(0, id);
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event.to_string()
}

/// The `number` of every activity, in the order of arrival.
fn numbers(state: &Value) -> Vec<u64> {
    let activities = state["activities"].as_array().unwrap();
    activities.iter().map(|one| one["properties"]["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_reason_to_skip_is_counted_and_leaves_nothing_behind() {
    let world = World::shared().await.account("acme", "events = [\"identify\", \"track\"]").await;
    let replica = world.start("one").await;
    let page = json!({"type": "page", "properties": {"url": "https://example.com"}});
    let bodies = [
        with(0, json!({"type": "screen"})),
        with(1, json!({"type": "group"})),
        with(2, json!({"type": "alias"})),
        with(3, json!({"type": "what nobody ever heard of"})),
        with(4, page.clone()),
        with(5, json!({"integrations": {"All": false}})),
        with(6, json!({"integrations": {"Freshsales Suite": false, "All": true}})),
        with(7, json!({"integrations": {"Freshsales": false}})),
        with(8, json!({"userId": null, "anonymousId": "a"})),
        with(9, json!({"userId": " "})),
        // These are wanted after all.
        with(10, json!({"integrations": {"Freshsales Suite": true, "All": false}})),
        with(11, json!({"integrations": {"Freshsales": {"some": "setting"}, "All": false}})),
        with(12, json!({"integrations": {"Other": false}})),
        with(10, json!({"event": "Repeated by its sender"})),
    ];
    world.publish_all(bodies).await;
    world.settled(&[&replica]).await;

    assert_eq!(numbers(&world.state("acme")), [10, 11, 12]);
    let (_, metrics) = replica.get("/metrics").await;
    for (reason, expected) in [
        ("unsupported_type", 4),
        ("disabled_type", 1),
        ("integration_disabled", 3),
        ("anonymous", 2),
        ("duplicate", 1),
    ] {
        let labels = [("account", "acme"), ("reason", reason)];
        assert_eq!(sum(&metrics, "freshet_events_skipped_total", &labels), expected, "{reason}");
    }
    assert_eq!(sum(&metrics, "freshet_events_dead_lettered_total", &[]), 0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_message_id_that_was_settled_is_not_delivered_again_however_it_comes() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(track(0, 1).to_string()).await;
    world.settled(&[&replica]).await;
    world.publish(track(0, 1).to_string()).await;
    world.publish_to(&world.lanes(), "acme", [(track(0, 1).to_string(), BasicProperties::default())]).await;
    // Without an id, or with a blank one, events cannot be distinguished.
    for id in [json!(null), json!(" ")] {
        world.publish(with(2, json!({"messageId": id}))).await;
        world.publish(with(2, json!({"messageId": id}))).await;
    }
    world.settled(&[&replica]).await;

    assert_eq!(numbers(&world.state("acme")), [1, 2, 2, 2, 2]);
    let duplicates = "freshet_events_skipped_total{account=\"acme\",reason=\"duplicate\"}";
    assert_eq!(replica.metric(duplicates).await, 2.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_account_is_found_by_header_then_write_key_then_project() {
    let world = World::shared()
        .await
        .account("acme", "write_keys = [\"wk_a1\", \"wk_a2\"]\nproject_ids = [\"prj_a\"]")
        .await
        .account("globex", "write_keys = [\"wk_g\"]\nproject_ids = [\"prj_g\"]")
        .await;
    let replica = world.start("one").await;
    let none = BasicProperties::default;
    for (body, properties) in [
        (with(1, json!({"writeKey": "wk_a1"})), none()),
        (with(2, json!({"writeKey": "wk_a2", "projectId": "prj_g"})), none()),
        (with(3, json!({"writeKey": "nobody's", "projectId": "prj_a"})), none()),
        (with(4, json!({"writeKey": "wk_g"})), named("acme")),
        (with(5, json!({"writeKey": "wk_g"})), none()),
        (with(6, json!({"projectId": "prj_g", "writeKey": null})), none()),
        (with(7, json!({})), named("globex")),
    ] {
        world.publish_with(body, properties).await;
    }
    world.settled(&[&replica]).await;

    assert_eq!(numbers(&world.state("acme")), [1, 2, 3, 4]);
    assert_eq!(numbers(&world.state("globex")), [5, 6, 7]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn the_only_account_takes_what_names_none() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(with(1, json!({}))).await;
    world.publish(with(2, json!({"writeKey": "anything", "projectId": "at all"}))).await;
    world.publish_with(with(3, json!({})), named("acme")).await;
    world.settled(&[&replica]).await;
    assert_eq!(numbers(&world.state("acme")), [1, 2, 3]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_is_published_to_a_lane_belongs_to_its_account_whatever_it_says() {
    let world = World::shared()
        .await
        .account("acme", "write_keys = [\"wk_a\"]")
        .await
        .account("globex", "write_keys = [\"wk_g\"]")
        .await;
    let replica = world.start("one").await;
    let messages = [
        (with(1, json!({"writeKey": "wk_g"})), BasicProperties::default()),
        (with(2, json!({})), BasicProperties::default()),
        (with(3, json!({})), named("globex")),
    ];
    world.publish_to(&world.lanes(), "acme", messages).await;
    world.settled(&[&replica]).await;
    let state = world.state("acme");
    assert_eq!(numbers(&state), [1, 2, 3]);
    assert_eq!(state["activities"][0]["identifier"], email(0));
    assert_eq!(numbers(&world.state("globex")), [0_u64; 0]);
    world.finish([replica]).await;
}
