//! Who a contact is, on the whole way: a `userId` whose address changes, and identifies that name no address.

use serde_json::{Value, json};

use crate::support::header;
use crate::world::World;

fn identify(message: &str, user: &str, traits: Value) -> String {
    json!({"type": "identify", "messageId": message, "userId": user, "traits": traits}).to_string()
}

fn track(message: &str, user: &str, name: &str) -> String {
    json!({"type": "track", "messageId": message, "userId": user, "event": name}).to_string()
}

/// A contact's addresses, the primary one first.
fn emails(contact: &Value) -> Vec<&str> {
    let mut emails: Vec<&Value> = contact["emails"].as_array().unwrap().iter().collect();
    emails.sort_by_key(|email| email["is_primary"] != true);
    emails.iter().map(|email| email["value"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_change_of_address_keeps_the_contact_and_its_old_address_and_tracks_follow() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let events = [
        identify("ac-1", "u-10", json!({"email": "old@example.com", "firstName": "Eve"})),
        track("ac-2", "u-10", "Before"),
        identify("ac-3", "u-10", json!({"email": "new@example.com"})),
        track("ac-4", "u-10", "After"),
    ];
    world.publish_all(events).await;
    world.settled(&[&replica]).await;
    let state = world.state("acme");
    assert_eq!(state["contacts"].as_array().unwrap().len(), 1, "{}", state["contacts"]);
    let contact = &state["contacts"][0];
    assert_eq!(emails(contact), ["new@example.com", "old@example.com"]);
    assert_eq!((&contact["external_id"], &contact["first_name"]), (&json!("u-10"), &json!("Eve")));
    let identifiers: Vec<&Value> =
        state["activities"].as_array().unwrap().iter().map(|activity| &activity["identifier"]).collect();
    assert_eq!(identifiers, ["old@example.com", "new@example.com"]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn after_a_restart_a_userid_still_says_who_the_contact_is() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(identify("1", "u-1", json!({"email": "ada@example.com"}))).await;
    world.publish(identify("2", "u-2", json!({"email": "old@example.com"}))).await;
    world.retire(replica).await;
    let replica = world.start("two").await;
    world.publish(identify("3", "u-1", json!({"city": "Berne"}))).await;
    world.publish(identify("4", "u-2", json!({"email": "new@example.com"}))).await;
    world.publish(identify("5", "u-3", json!({"city": "Bonn"}))).await;
    world.settled(&[&replica]).await;
    let state = world.state("acme");
    let contacts = state["contacts"].as_array().unwrap();
    assert_eq!(contacts.len(), 2, "{contacts:#?}");
    let of = |user: &str| contacts.iter().find(|contact| contact["external_id"] == user).unwrap();
    assert_eq!((&of("u-1")["email"], &of("u-1")["city"]), (&json!("ada@example.com"), &json!("Berne")));
    assert_eq!(emails(of("u-2")), ["new@example.com", "old@example.com"]);
    let letters = world.dead_letters(1).await;
    assert_eq!(header(&letters[0], "freshet-reason").as_deref(), Some("missing_email"));
    assert_eq!(header(&letters[0], "freshet-message-id").as_deref(), Some("5"));
    world.finish([replica]).await;
}
