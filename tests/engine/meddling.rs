//! An account whose people change fields and records while events flow: nobody is condemned for it, nothing is there twice,
//! and nothing of theirs is written over.

use freshet::outcome::Outcome;
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, Source, identify, reason, track};

const ADA: &str = "ada@example.com";

/// A lane with a default for contacts' job titles.
async fn with_default() -> (Rig, Source) {
    let settings = "[accounts.defaults]\njob_title = \"Unknown\"";
    let rig = Rig::with(Setup { settings, ..Setup::default() }).await;
    require(&rig, true).await;
    let source = rig.session().await;
    (rig, source)
}

/// Whether contacts need a job title from now on.
async fn require(rig: &Rig, required: bool) {
    let mut fields: Value =
        serde_json::from_str(include_str!("../../src/sandbox/metadata/contacts.json")).unwrap();
    let field =
        fields["fields"].as_array_mut().unwrap().iter_mut().find(|field| field["name"] == "job_title");
    field.unwrap()["required"] = required.into();
    rig.meddle("PUT", "/_sandbox/fields/contacts", fields).await;
}

fn of_user(message: &str, user: &str, email: &str, traits: Value) -> Value {
    let mut event = identify(message, email, traits);
    event["userId"] = json!(user);
    event
}

fn addresses(contact: &Value) -> Vec<&str> {
    let mut emails: Vec<&Value> = contact["emails"].as_array().unwrap().iter().collect();
    emails.sort_by_key(|email| email["is_primary"] != true);
    emails.iter().map(|email| email["value"].as_str().unwrap()).collect()
}

async fn delivered(source: &mut Source, event: Value) {
    source.send(event).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_contact_that_was_deleted_by_hand_is_created_anew_with_its_defaults() {
    let (rig, mut source) = with_default().await;
    delivered(&mut source, identify("a", ADA, json!({"city": "Ulm", "jobTitle": "CTO"}))).await;
    let id = rig.contact(ADA)["id"].clone();
    rig.meddle("DELETE", &format!("/api/contacts/{id}"), json!({})).await;
    delivered(&mut source, identify("b", ADA, json!({"city": "Bern"}))).await;
    let ada = rig.contact(ADA);
    assert_eq!((&ada["city"], &ada["job_title"]), (&json!("Bern"), &json!("Unknown")));
    rig.finish(source).await;
}

#[tokio::test]
async fn what_people_entered_stays_whatever_else_a_record_is_refused_for() {
    let (rig, mut source) = with_default().await;
    let by_hand = json!({"emails": "old@example.com", "external_id": "u-1", "job_title": "By hand"});
    rig.meddle("POST", "/api/contacts", json!({ "contact": by_hand })).await;
    let by_hand = json!({"emails": ADA, "job_title": "By hand"});
    rig.meddle("POST", "/api/contacts", json!({ "contact": by_hand })).await;
    // Refused for its external_id, for the job title, and for a status of another lifecycle stage.
    let stages = rig.meddle("GET", "/api/selector/lifecycle_stages", json!({})).await;
    let (own, other) = (&stages["lifecycle_stages"][0], &stages["lifecycle_stages"][1]);
    let traits = || json!({"city": "Ulm", "lifecycleStageId": own["id"], "contactStatusId": other["contact_status_ids"][0]});
    delivered(&mut source, of_user("a", "u-1", "new@example.com", traits())).await;
    delivered(&mut source, identify("b", ADA, traits())).await;
    assert_eq!(rig.state()["contacts"].as_array().unwrap().len(), 2);
    for email in ["new@example.com", ADA] {
        let contact = rig.contact(email);
        assert_eq!((&contact["job_title"], &contact["city"]), (&json!("By hand"), &json!("Ulm")));
    }
    assert_eq!(addresses(&rig.contact("new@example.com")), ["new@example.com", "old@example.com"]);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_new_contact_that_is_refused_for_two_reasons_is_written_without_the_one_and_with_the_other() {
    let (rig, mut source) = with_default().await;
    let stages = rig.meddle("GET", "/api/selector/lifecycle_stages", json!({})).await;
    let (own, other) = (&stages["lifecycle_stages"][0], &stages["lifecycle_stages"][1]);
    let traits = json!({"lifecycleStageId": own["id"], "contactStatusId": other["contact_status_ids"][0]});
    delivered(&mut source, of_user("a", "u-1", ADA, traits)).await;
    let ada = rig.contact(ADA);
    assert_eq!((&ada["job_title"], &ada["external_id"]), (&json!("Unknown"), &json!("u-1")));
    assert!(rig.calls("contacts_upsert") <= 4);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_change_of_address_that_took_effect_without_an_answer_is_one_change() {
    for action in [
        json!({"reset": true}),
        json!({"status": 500, "body": {"errors": {"message": ["oops"]}}}),
        json!({"status": 200, "body": {"contact": {"id": 999, "emails": []}}}),
        json!({"status": 200, "body": {"contact": {"emails": []}}}),
    ] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        delivered(&mut source, of_user("a", "u-1", "old@example.com", json!({}))).await;
        let fault = json!({"endpoint": "contacts_update", "action": action, "next": 2, "after_effect": true});
        rig.faults(fault).await;
        delivered(&mut source, of_user("b", "u-1", "new@example.com", json!({"city": "Ulm"}))).await;
        let state = rig.state();
        let contacts = state["contacts"].as_array().unwrap();
        assert_eq!(contacts.len(), 1, "{action}");
        assert_eq!(addresses(&contacts[0]), ["new@example.com", "old@example.com"], "{action}");
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn where_look_ups_alone_are_forbidden_nobody_waits() {
    let rig = Rig::start().await;
    let forbidden = json!({"errors": {"code": 403, "message": ["nicht erlaubt"]}});
    rig.faults(json!({"endpoint": "lookup", "action": {"status": 403, "body": forbidden}})).await;
    let mut source = rig.session().await;
    for number in 0..20 {
        source.send(track(&format!("t{number}"), &format!("u-{number}"), "Seen")).await;
        source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
    }
    assert_eq!(source.outcomes().await, vec![Outcome::Delivered; 40]);
    assert_eq!(rig.activities().len(), 20);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_thousand_plain_identifies_cost_no_look_up_and_as_few_calls_as_bulk_needs() {
    let rig = Rig::with(Setup { prefetch: 1000, ..Setup::default() }).await;
    let mut source = rig.session().await;
    for number in 0..1000 {
        let (user, email) = (format!("u-{number}"), format!("c{number}@example.com"));
        source.send(of_user(&format!("m{number}"), &user, &email, json!({"city": "Ulm"}))).await;
    }
    assert_eq!(source.outcomes().await, vec![Outcome::Delivered; 1000]);
    let reads = ["lookup", "contacts_view", "contacts_update"].map(|endpoint| rig.calls(endpoint));
    assert_eq!(reads, [0, 0, 0]);
    let log = rig.state()["log"].as_array().unwrap().len();
    assert!(log < 60, "{log}");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_field_that_is_required_without_a_default_costs_each_new_contact_few_calls() {
    let rig = Rig::start().await;
    require(&rig, true).await;
    let mut source = rig.session().await;
    for number in 0..100 {
        let (user, email) = (format!("u-{number}"), format!("c{number}@example.com"));
        source.send(of_user(&format!("m{number}"), &user, &email, json!({"city": "Ulm"}))).await;
    }
    let outcomes = source.outcomes().await;
    assert!(outcomes.iter().all(|outcome| reason(outcome) == "rejected"));
    assert!(rig.calls("contacts_upsert") <= 100 && rig.calls("lookup") <= 200);
    rig.finish(source).await;
}
