//! Events in the shapes in which real senders write them: what becomes of each in the account.

use lapin::message::Delivery;
use serde_json::{Value, json};

use crate::support::header;
use crate::world::{World, sum};

/// The contact of this address; null if there is none.
fn contact(state: &Value, email: &str) -> Value {
    let contacts = state["contacts"].as_array().unwrap();
    contacts.iter().find(|contact| contact["email"] == email).cloned().unwrap_or_default()
}

fn count(state: &Value, what: &str) -> usize {
    state[what].as_array().unwrap().len()
}

/// The reason and the message id of each letter, in the order of the ids.
fn reasons(letters: &[Delivery]) -> Vec<(String, String)> {
    let word = |letter: &Delivery, name| header(letter, name).unwrap_or_default();
    let mut reasons: Vec<_> = letters
        .iter()
        .map(|letter| (word(letter, "freshet-message-id"), word(letter, "freshet-reason")))
        .collect();
    reasons.sort();
    reasons
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, reason)| ((*id).to_owned(), (*reason).to_owned())).collect()
}

const SKIPPED: &str = "freshet_events_skipped_total";

#[tokio::test]
async fn the_destinations_own_name_opts_in_and_out() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let event = |user: &str, email: &str, integrations: Value| {
        json!({"type": "identify", "userId": user, "integrations": integrations, "traits": {"email": email}})
            .to_string()
    };
    world
        .publish_all([
            event("u-4", "dora@example.com", json!({"All": false, "Freshsales Suite - CRM": true})),
            event("u-5", "emil@example.com", json!({"All": true, "Freshsales Suite - CRM": false})),
            event(
                "u-6",
                "fritz@example.com",
                json!({"Freshsales Suite - CRM": false, "Freshsales Suite": true, "Freshsales": true}),
            ),
            event(
                "u-7",
                "gina@example.com",
                json!({"Freshsales Suite - CRM": {"a": 1}, "Freshsales": false}),
            ),
        ])
        .await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let mut emails: Vec<_> = state["contacts"].as_array().unwrap().iter().map(|one| &one["email"]).collect();
    emails.sort_by_key(ToString::to_string);
    assert_eq!(emails, ["dora@example.com", "gina@example.com"]);
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, SKIPPED, &[("reason", "integration_disabled")]), 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn traits_in_the_context_make_a_contact_under_those_beside_it() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world
        .publish_all([
            json!({"type": "identify", "messageId": "ct-1", "channel": "web", "userId": "u-3", "context": {"traits": {
                "name": "Rita Example", "email": "rita@example.com", "company": {"id": "c-9"},
                "createdAt": "Thu Mar 24 2016 17:46:45 GMT+0000 (UTC)"}}})
            .to_string(),
            json!({"type": "identify", "messageId": "ct-2", "userId": "u-4",
                "traits": {"E-Mail": "sam@example.com", "jobTitle": "CTO"},
                "context": {"traits": {"email": "no@example.com", "job_title": "CEO", "city": "Bern"}}})
            .to_string(),
            json!({"type": "track", "messageId": "ct-3", "userId": "u-5", "event": "Opened",
                "context": {"traits": {"Email": "Sam@example.com"}}})
            .to_string(),
        ])
        .await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let rita = contact(&state, "rita@example.com");
    assert_eq!(
        (&rita["first_name"], &rita["last_name"], &rita["external_id"]),
        (&json!("Rita"), &json!("Example"), &json!("u-3"))
    );
    let sam = contact(&state, "sam@example.com");
    assert_eq!((&sam["job_title"], &sam["city"]), (&json!("CTO"), &json!("Bern")));
    assert_eq!((count(&state, "contacts"), count(&state, "sales_accounts")), (2, 0));
    assert_eq!(state["activities"][0]["identifier"], "sam@example.com");
    world.finish([replica]).await;
}

fn lead_form() -> Vec<String> {
    let traits = json!({"firstName": "Joe", "lastName": "Visitor", "email": "joe@example.com"});
    [
        json!({"type": "identify", "messageId": "lf-1", "userId": null, "anonymousId": "bd07", "traits": traits}),
        json!({"type": "identify", "messageId": "lf-2", "anonymousId": "bd08", "traits": {"plan": "trial"}}),
        json!({"type": "identify", "messageId": "lf-3", "userId": "[object Object]", "traits": {"email": "joe at home"}}),
        json!({"type": "track", "messageId": "lf-4", "userId": "undefined", "event": "Sent"}),
    ]
    .map(|event| event.to_string())
    .to_vec()
}

#[tokio::test]
async fn a_web_forms_identify_is_a_dead_letter_and_nobodys_is_skipped() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish_all(lead_form()).await;
    world.settled(&[&replica]).await;

    let letters = world.dead_letters(2).await;
    assert_eq!(reasons(&letters), pairs(&[("lf-1", "missing_user_id"), ("lf-3", "invalid_email")]));
    assert_eq!(count(&world.state("acme"), "contacts"), 0);
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, SKIPPED, &[("reason", "anonymous")]), 2);
    let line = replica.line("a userId names nobody and counts as absent").await;
    assert!(line.contains("[object object]") && line.contains("acme"), "{line}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_web_forms_identify_becomes_a_contact_by_its_address() {
    let world = World::shared().await.account("acme", "anonymous_identify = \"by_email\"").await;
    let replica = world.start("one").await;
    world.publish_all(lead_form()).await;
    world.settled(&[&replica]).await;
    let joe = contact(&world.state("acme"), "joe@example.com");
    assert_eq!((&joe["first_name"], &joe["external_id"]), (&json!("Joe"), &Value::Null));
    // Who signs up later has an id from then on.
    let later = json!({"type": "identify", "userId": "u-9", "traits": {"email": "joe@example.com"}});
    world.publish(later.to_string()).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    assert_eq!(contact(&state, "joe@example.com")["external_id"], "u-9");
    assert_eq!(count(&state, "contacts"), 1);
    assert_eq!(reasons(&world.dead_letters(1).await), pairs(&[("lf-3", "invalid_email")]));
    let (_, metrics) = replica.get("/metrics").await;
    assert_eq!(sum(&metrics, SKIPPED, &[("reason", "anonymous")]), 2);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_whole_name_an_address_and_names_without_id_reach_their_fields() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let event = json!({"type": "identify", "messageId": "fn-1", "userId": "u-1", "traits": {
        "name": "Petra van der Example", "email": "petra@example.com", "plan": "premium", "logins": 5,
        "lifecycleStage": "customer", "leadSource": "web", "phone": "PHONE", "tags": "vip, beta,,vip",
        "address": {"street": "6 Sample St", "city": "Lyon", "postalCode": "69001", "country": "France"},
        "Company": {"name": "E", "industry": "banking", "employees": "11-50"},
        "DEAL": {"name": "D", "amount": 1, "currency": "eur"}}});
    world.publish(event.to_string().replace("\"PHONE\"", "14155552671.0")).await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let petra = contact(&state, "petra@example.com");
    for (field, value) in [
        ("first_name", json!("Petra")),
        ("last_name", json!("van der Example")),
        ("lifecycle_stage_id", json!(402_000_100_112_u64)),
        ("lead_source_id", json!(402_000_100_007_u64)),
        ("work_number", json!("14155552671")),
        ("tags", json!(["vip", "beta"])),
        ("address", json!("6 Sample St")),
        ("city", json!("Lyon")),
        ("zipcode", json!("69001")),
        ("country", json!("France")),
    ] {
        assert_eq!(petra[field], value, "{field}");
    }
    let company = &state["sales_accounts"][0];
    assert_eq!(
        (&company["industry_type_id"], &company["number_of_employees"]),
        (&json!(402_000_100_322_u64), &json!(11))
    );
    assert_eq!(state["deals"][0]["currency_id"], 402_000_100_581_u64);
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_php_windows_and_javascript_write_is_understood() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let paul = json!({"type": "identify", "messageId": "ph-1", "userId": "u-20", "context": [], "integrations": [],
        "traits": {"email": "paul@example.com", "company": {"name": ""}, "deal": []}});
    let opened = json!({"type": "track", "messageId": "ph-2", "userId": "paul@example.com", "event": "Opened",
        "properties": [], "context": []});
    let zero = json!({"type": "identify", "messageId": "ph-3", "userId": "u-21",
        "traits": {"email": "zero@example.com", "company": 0}});
    world.publish(format!("\u{feff}{paul}")).await;
    world.publish(opened.to_string()).await;
    world.publish(zero.to_string()).await;
    // A text that was cut in the middle of a character; a whole number written as a float; the product's name.
    world
        .publish(
            r#"{"type":"track","messageId":"js-1","userId":"paul@example.com","event":"Bought",
                "properties":{"name":"Shoe","cut":"x\ud83d","\udc00":1}}"#,
        )
        .await;
    world
        .publish(
            r#"{"type":"identify","messageId":"js-2","userId":1e5,"traits":{"email":"eve@example.com","jobTitle":"\ud83d"}}"#,
        )
        .await;
    world
        .publish(r#"{"type":"track","messageId":"js-3","userId":"u","event":"E","properties":{"a":NaN}}"#)
        .await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    assert_eq!(contact(&state, "paul@example.com")["external_id"], "u-20");
    let eve = contact(&state, "eve@example.com");
    assert_eq!((&eve["external_id"], &eve["job_title"]), (&json!("100000"), &json!("\u{fffd}")));
    assert_eq!(
        ["contacts", "sales_accounts", "deals", "activities"].map(|what| count(&state, what)),
        [2, 0, 0, 2]
    );
    assert_eq!(
        (&state["activities"][0]["name"], &state["activities"][0]["properties"]),
        (&json!("Opened"), &json!({}))
    );
    assert_eq!(state["activities"][1]["name"], "Bought");
    assert_eq!(
        state["activities"][1]["properties"],
        json!({"property_name": "Shoe", "cut": "x\u{fffd}", "\u{fffd}": 1})
    );
    let letters = world.dead_letters(2).await;
    let mut reasons: Vec<_> = letters.iter().filter_map(|letter| header(letter, "freshet-reason")).collect();
    reasons.sort();
    assert_eq!(reasons, ["invalid_field", "malformed_json"]);
    let details: String = letters.iter().filter_map(|letter| header(letter, "freshet-detail")).collect();
    assert!(details.contains("NaN is no JSON value"), "{details}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_null_clears_its_field_and_the_last_of_several_identifies_wins() {
    let world = World::shared().await.account("acme", "null_traits = \"clear\"").await;
    let replica = world.start("one").await;
    let event = |traits: Value| {
        let mut event = json!({"type": "identify", "userId": "ada@example.com", "traits": {}});
        event["traits"] = traits;
        event.to_string()
    };
    let all = json!({"city": "Oslo", "jobTitle": "CTO", "cfAlternateNumber": "1", "company": {"name": "E", "city": "Bern"}});
    world.publish(event(all)).await;
    world.settled(&[&replica]).await;
    assert_eq!(contact(&world.state("acme"), "ada@example.com")["city"], "Oslo");
    world
        .publish_all([
            event(json!({"city": "Rome", "jobTitle": null, "email": null, "emails": null})),
            event(json!({"city": null, "jobTitle": "CEO", "cfAlternateNumber": null, "company": null})),
            event(json!({"company": {"name": "E", "city": null}})),
        ])
        .await;
    world.settled(&[&replica]).await;

    let state = world.state("acme");
    let ada = contact(&state, "ada@example.com");
    assert_eq!((&ada["city"], &ada["job_title"]), (&Value::Null, &json!("CEO")));
    assert_eq!(ada["custom_field"]["cf_alternate_number"], Value::Null);
    assert_eq!((count(&state, "contacts"), count(&state, "sales_accounts")), (1, 1));
    assert_eq!(
        (&state["sales_accounts"][0]["name"], &state["sales_accounts"][0]["city"]),
        (&json!("E"), &Value::Null)
    );
    world.finish([replica]).await;
}
