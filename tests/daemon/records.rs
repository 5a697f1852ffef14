//! What the CRM makes of records, on the whole way: two customers' deals of one name, and tags that stay.

use serde_json::{Value, json};

use crate::world::World;

fn identify(message: &str, email: &str, traits: Value) -> String {
    let mut event = json!({"type": "identify", "messageId": message, "userId": email, "traits": traits});
    event["traits"]["email"] = email.into();
    event.to_string()
}

/// The addresses of a deal's contacts, by its amount.
fn deals(state: &Value) -> Vec<(Value, Vec<&str>)> {
    let contacts = state["contacts"].as_array().unwrap();
    let address =
        |id: &Value| contacts.iter().find(|contact| contact["id"] == *id).unwrap()["email"].as_str().unwrap();
    let deals = state["deals"].as_array().unwrap().iter();
    let own = |deal: &Value| deal["contact_ids"].as_array().unwrap().iter().map(address).collect();
    deals.map(|deal| (deal["amount"].clone(), own(deal))).collect()
}

#[tokio::test]
async fn two_customers_renewals_never_meet_whichever_replica_has_the_lane() {
    let world = World::with_acme().await;
    let renewal = |message: &str, email: &str, amount: u32| {
        identify(message, email, json!({"deal": {"name": "Renewal", "amount": amount}}))
    };
    let replica = world.start("one").await;
    world.publish_all([renewal("1", "ada@example.com", 1), renewal("2", "bob@example.com", 2)]).await;
    world.retire(replica).await;
    let replica = world.start("two").await;
    world.publish_all([renewal("3", "bob@example.com", 3), renewal("4", "ada@example.com", 4)]).await;
    world.settled(&[&replica]).await;
    let state = world.state("acme");
    let mut deals = deals(&state);
    deals.sort_by_key(|(_, contacts)| contacts[0]);
    assert_eq!(deals, [(json!(4), vec!["ada@example.com"]), (json!(3), vec!["bob@example.com"])]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn tags_are_added_to_those_of_another_sender() {
    let world = World::shared().await.account("acme", "tags = \"append\"").await;
    let tagged = |message: &str, tags: Value| identify(message, "ada@example.com", json!({"tags": tags}));
    let replica = world.start("one").await;
    world.publish(tagged("1", json!(["vip"]))).await;
    world.retire(replica).await;
    let replica = world.start("two").await;
    world.publish_all([tagged("2", json!("beta, new")), tagged("3", json!(["vip"]))]).await;
    world.settled(&[&replica]).await;
    assert_eq!(world.state("acme")["contacts"][0]["tags"], json!(["vip", "beta", "new"]));
    world.finish([replica]).await;
}
