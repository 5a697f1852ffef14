//! The examples of the destination's documentation, from the queue to what the account holds.

use serde_json::{Value, json};

use crate::world::{World, sum};

fn john(id: &str, more: Value) -> String {
    let mut traits = json!({
        "firstName": "John", "lastName": "Doe", "email": "john.doe@example.com",
        "cfAlternateNumber": "98765432", "company": {"name": "Example.com"}
    });
    traits.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "type": "identify", "userId": "97980cfea0067", "messageId": id, "traits": traits,
        "timestamp": "2026-03-01T12:00:00Z", "channel": "server", "version": 2
    })
    .to_string()
}

fn assert_john(contact: &Value) {
    assert_eq!(contact["first_name"], "John");
    assert_eq!(contact["last_name"], "Doe");
    assert_eq!(contact["email"], "john.doe@example.com");
    assert_eq!(contact["external_id"], "97980cfea0067");
    assert_eq!(contact["custom_field"], json!({"cf_alternate_number": "98765432"}));
    assert_eq!(contact["sales_accounts"][0]["name"], "Example.com");
}

fn count(state: &Value, what: &str) -> usize {
    state[what].as_array().unwrap().len()
}

#[tokio::test]
async fn an_identify_becomes_a_contact_linked_to_its_company() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(john("m-1", json!({}))).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    assert_john(&state["contacts"][0]);
    assert_eq!(
        [count(&state, "contacts"), count(&state, "sales_accounts"), count(&state, "deals")],
        [1, 1, 0]
    );
    world.finish([replica]).await;
}

#[tokio::test]
async fn an_identify_with_a_deal_links_it_to_contact_and_company() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(john("m-1", json!({"deal": {"name": "Sample Deal", "amount": 1234}}))).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    assert_john(&state["contacts"][0]);
    assert_eq!(
        [count(&state, "contacts"), count(&state, "sales_accounts"), count(&state, "deals")],
        [1, 1, 1]
    );
    let deal = &state["deals"][0];
    assert_eq!(deal["name"], "Sample Deal");
    assert_eq!(deal["amount"], 1234);
    assert_eq!(deal["contact_ids"], json!([state["contacts"][0]["id"]]));
    assert_eq!(deal["sales_account_id"], state["sales_accounts"][0]["id"]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_track_and_a_page_by_an_address_become_activities_of_it() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let bounced = json!({
        "emailId": 1234, "emailSubject": "Hello", "campaignId": "c9", "campaignName": "Spring"
    });
    world
        .publish(
            json!({"type": "track", "userId": "john.doe@example.com", "messageId": "t", "event": "Email Bounced",
                   "properties": bounced})
            .to_string(),
        )
        .await;
    // As printed, this example is no JSON; see the dead letters.
    world
        .publish(
            json!({"type": "page", "userId": "john.doe@example.com", "messageId": "p", "name": "Page view",
                   "properties": {"title": "Pricing", "url": "https://example.com/pricing"}})
            .to_string(),
        )
        .await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let [event, page] = &state["activities"].as_array().unwrap()[..] else {
        panic!("{}", state["activities"])
    };
    for activity in [event, page] {
        assert_eq!(activity["identifier"], "john.doe@example.com");
    }
    assert_eq!((&event["kind"], &event["name"]), (&json!("event"), &json!("Email Bounced")));
    assert_eq!(event["properties"], bounced);
    assert_eq!((&page["kind"], &page["url"]), (&json!("page_view"), &json!("https://example.com/pricing")));
    assert_eq!(page["properties"], json!({"title": "Pricing", "name": "Page view"}));
    world.finish([replica]).await;
}

#[tokio::test]
async fn title_and_phone_find_their_fields_and_traits_without_one_are_ignored_and_counted() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let more = json!({"title": "CEO", "phone": "+49 30 1234", "shoeSize": 43, "avatar": "https://example.com/a.png"});
    world.publish(john("m-1", more)).await;
    world.settled(&[&replica]).await;

    let contact = &world.state("acme")["contacts"][0];
    assert_john(contact);
    assert_eq!(contact["job_title"], "CEO");
    assert_eq!(contact["work_number"], "+49 30 1234");
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, "freshet_traits_ignored_total", &[("account", "acme")]), 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_track_by_a_user_id_goes_under_the_address_that_an_identify_or_the_account_knows() {
    let world = World::with_acme().await;
    let track = |id: &str, user: &str| {
        json!({"type": "track", "userId": user, "messageId": id, "event": "Signed In", "properties": {"id": id}})
            .to_string()
    };
    let first = world.start("one").await;
    world.publish_all([john("m-1", json!({})), track("taught", "97980cfea0067")]).await;
    world.retire(first).await;
    let lookups = |state: &Value| state["requests"]["lookup"]["200"].as_u64().unwrap_or_default();
    assert_eq!(lookups(&world.state("acme")), 0, "the identify told the address");

    // A new process knows nothing, and asks the account.
    let second = world.start("one").await;
    world
        .publish_all([
            track("looked up", "97980cfea0067"),
            track("remembered", "97980cfea0067"),
            track("nobody", "stranger"),
        ])
        .await;
    world.settled(&[&second]).await;
    let state = world.state("acme");
    let mut identifiers: Vec<_> = state["activities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["properties"]["id"].as_str().unwrap(), one["identifier"].as_str().unwrap()))
        .collect();
    identifiers.sort_unstable();
    assert_eq!(
        identifiers,
        [
            ("looked up", "john.doe@example.com"),
            ("nobody", "stranger"),
            ("remembered", "john.doe@example.com"),
            ("taught", "john.doe@example.com"),
        ]
    );
    assert_eq!(lookups(&state), 3, "the stranger twice: another replica may have just created him");
    world.finish([second]).await;
}

#[tokio::test]
async fn a_second_company_is_linked_beside_the_first_which_stays_the_primary_one() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(john("m-1", json!({}))).await;
    world.publish(john("m-2", json!({"company": {"name": "Second Ltd"}}))).await;
    world.publish(john("m-3", json!({}))).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let links: Vec<_> = state["contacts"][0]["sales_accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["name"].as_str().unwrap(), link["is_primary"].as_bool().unwrap()))
        .collect();
    assert_eq!(links, [("Example.com", true), ("Second Ltd", false)]);
    assert_eq!([count(&state, "contacts"), count(&state, "sales_accounts")], [1, 2]);
    world.finish([replica]).await;
}
