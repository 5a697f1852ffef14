//! The examples of the destination's documentation, from the queue to what the account holds.

use serde_json::{Value, json};

use crate::world::World;

fn identify(traits: Value) -> String {
    json!({
        "type": "identify", "userId": "97980cfea0067", "messageId": "m-1", "traits": traits,
        "timestamp": "2026-03-01T12:00:00Z", "channel": "server", "version": 2
    })
    .to_string()
}

#[tokio::test]
async fn an_identify_becomes_a_contact_linked_to_its_company() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;

    world
        .publish(identify(json!({
            "firstName": "John", "lastName": "Doe", "email": "john.doe@example.com",
            "cfAlternateNumber": "98765432", "company": {"name": "Example.com"}
        })))
        .await;

    world.settled(&[&replica]).await;
    let state = world.state("acme");
    let contact = &state["contacts"][0];
    assert_eq!(contact["first_name"], "John");
    assert_eq!(contact["last_name"], "Doe");
    assert_eq!(contact["external_id"], "97980cfea0067");
    assert_eq!(contact["custom_field"]["cf_alternate_number"], "98765432");
    assert_eq!(contact["sales_accounts"][0]["name"], "Example.com");
    assert_eq!(state["sales_accounts"].as_array().unwrap().len(), 1);
    world.finish(&[&replica]).await;
}
