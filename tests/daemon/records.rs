//! What the CRM makes of records, on the whole way: two customers' deals of one name, and tags that stay.

use serde_json::{Value, json};

use crate::support::{header, put};
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

/// An admin makes a field of contacts required.
async fn require(world: &World, account: &str, name: &str) {
    let mut fields: Value =
        serde_json::from_str(include_str!("../../src/sandbox/metadata/contacts.json")).unwrap();
    let field = fields["fields"].as_array_mut().unwrap().iter_mut().find(|field| field["name"] == name);
    field.unwrap()["required"] = true.into();
    let put = put(world.at(account).address, "/_sandbox/fields/contacts", &fields.to_string()).await;
    assert_eq!(put.unwrap().0, 200);
}

/// A contact's job title and source, by address.
fn source_of<'a>(state: &'a Value, email: &str) -> Option<(&'a Value, &'a Value)> {
    let contact = state["contacts"].as_array().unwrap().iter().find(|contact| contact["email"] == email)?;
    Some((&contact["job_title"], &contact["lead_source_id"]))
}

#[tokio::test]
async fn a_field_that_is_required_later_binds_new_contacts_only_and_has_a_default_for_them() {
    let world = World::shared().await;
    let world =
        world.account("acme", "write_keys = [\"a\"]\n[accounts.defaults]\nlead_source_id = \"web\"").await;
    let world = world.account("globex", "write_keys = [\"g\"]").await;
    let event = |message: &str, key: &str, email: &str, traits: Value| {
        let mut event: Value = serde_json::from_str(&identify(message, email, traits)).unwrap();
        event["writeKey"] = key.into();
        event.to_string()
    };
    let replica = world.start("one").await;
    for key in ["a", "g"] {
        let message = format!("{key}1");
        world.publish(event(&message, key, "ida@example.com", json!({"leadSource": "Email"}))).await;
    }
    world.settled(&[&replica]).await;
    let email = source_of(&world.state("acme"), "ida@example.com").unwrap().1.clone();
    assert!(email.is_number());
    require(&world, "acme", "lead_source_id").await;
    require(&world, "globex", "lead_source_id").await;
    world.retire(replica).await;
    // Another replica remembers nothing of the contacts.
    let replica = world.start("two").await;
    for key in ["a", "g"] {
        let (old, new) = (format!("{key}2"), format!("{key}3"));
        world.publish(event(&old, key, "ida@example.com", json!({"jobTitle": "CTO"}))).await;
        world.publish(event(&new, key, "joe@example.com", json!({"jobTitle": "CFO"}))).await;
    }
    let letters = world.dead_letters(1).await;
    world.settled(&[&replica]).await;
    for account in ["acme", "globex"] {
        let state = world.state(account);
        assert_eq!(source_of(&state, "ida@example.com"), Some((&json!("CTO"), &email)), "{account}");
    }
    let state = world.state("acme");
    let (title, source) = source_of(&state, "joe@example.com").unwrap();
    assert_eq!(title, "CFO");
    assert!(source.is_number() && *source != email, "{source}");
    assert_eq!(source_of(&world.state("globex"), "joe@example.com"), None);
    assert_eq!(header(&letters[0], "freshet-reason").as_deref(), Some("rejected"));
    assert_eq!(header(&letters[0], "freshet-account").as_deref(), Some("globex"));
    let detail = header(&letters[0], "freshet-detail").unwrap();
    for word in ["lead_source_id", "accounts.defaults", "Freshsales refused the contact"] {
        assert!(detail.contains(word), "{word} is missing in {detail}");
    }
    world.finish([replica]).await;
}
