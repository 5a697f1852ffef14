//! Events that are refused for a field while the fields the lane knows are old: they are read again, and nobody waits for
//! that but the same contact.

use std::time::Duration;

use freshet::outcome::Outcome;
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, Source, called, identify, reason, track};
use crate::support::soon;

const ADA: &str = "ada@example.com";

/// A lane whose fields are old enough to be read again, and an account that does not answer them yet.
async fn with_old_fields() -> (Rig, Source) {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(6)).await;
    tokio::time::resume();
    rig.faults(json!({"endpoint": "contacts_fields", "action": {"status": 503}})).await;
    (rig, source)
}

/// The account's fields and one more.
fn with_field(name: &str) -> Value {
    let mut fields: Value =
        serde_json::from_str(include_str!("../../src/sandbox/metadata/contacts.json")).unwrap();
    let field = json!({
        "id": 1, "name": name, "label": name, "type": "text", "default": false, "required": false,
        "visible": true, "choices": []
    });
    fields["fields"].as_array_mut().unwrap().push(field);
    fields
}

#[tokio::test]
async fn while_fields_are_read_again_for_one_event_only_its_contact_waits() {
    let (rig, mut source) = with_old_fields().await;
    let named = json!({"type": "identify", "messageId": "m0", "userId": "u-1",
        "traits": {"email": ADA, "cfNew": "first"}});
    let held = [
        source.send(named).await,
        source.send(track("t0", ADA, "By address")).await,
        source.send(track("t1", "u-1", "By id")).await,
        source.send(identify("m1", ADA, json!({"city": "Ulm", "cfNew": "second"}))).await,
    ];
    called(&rig, "contacts_fields", 2).await;
    let others = [
        source.send(track("t2", "bob@example.com", "Other")).await,
        source.send(identify("m2", "carl@example.com", json!({"city": "Ulm"}))).await,
    ];
    let mut settled = Vec::new();
    for _ in 0..2 {
        let settlement = source.settled().await;
        assert_eq!(settlement.outcome, Outcome::Delivered);
        settled.push(settlement.tag);
    }
    settled.sort_unstable();
    assert_eq!(settled, others);
    assert!(rig.activities().iter().all(|(who, _)| who == "bob@example.com"), "{:?}", rig.activities());
    // The admin has added the field.
    rig.meddle("PUT", "/_sandbox/fields/contacts", with_field("cf_new")).await;
    rig.mend().await;
    let mut settled = Vec::new();
    for _ in 0..4 {
        let settlement = source.settled().await;
        assert_eq!(settlement.outcome, Outcome::Delivered, "{}", settlement.tag);
        settled.push(settlement.tag);
    }
    // Its contact's events went one after another.
    assert_eq!(settled, held);
    let ada = rig.contact(ADA);
    assert_eq!((&ada["custom_field"]["cf_new"], &ada["city"]), (&json!("second"), &json!("Ulm")));
    rig.finish(source).await;
}

#[tokio::test]
async fn an_event_that_newer_fields_do_not_save_is_dead_lettered_and_its_contact_goes_on() {
    let (rig, mut source) = with_old_fields().await;
    let refused = source.send(identify("m0", ADA, json!({"cfNew": "x"}))).await;
    let behind = source.send(track("t", ADA, "Seen")).await;
    // The same message again: it waits as well.
    source.send_again(identify("m0", ADA, json!({"cfNew": "x"}))).await;
    called(&rig, "contacts_fields", 2).await;
    rig.mend().await;
    let outcomes = [source.settled().await, source.settled().await, source.settled().await];
    let mut ends: Vec<(u64, &str)> = outcomes.iter().map(|end| (end.tag, reason(&end.outcome))).collect();
    ends.sort_unstable();
    let unknown = "unknown_custom_field";
    assert_eq!(ends, [(refused, unknown), (behind, "(delivered)"), (behind + 1, unknown)]);
    rig.finish(source).await;
}

#[tokio::test]
async fn events_that_wait_for_newer_fields_are_returned_with_later_ones_of_their_contact() {
    let (rig, mut source) = with_old_fields().await;
    source.send(identify("m0", ADA, json!({"cfNew": "x"}))).await;
    source.send(track("t", ADA, "Seen")).await;
    called(&rig, "contacts_fields", 2).await;
    source.lost.cancel();
    for _ in 0..2 {
        assert_eq!(source.settled().await.outcome, Outcome::Returned);
    }
    soon("nothing is held", async || rig.sum("freshet_events_in_flight", &[]) == 0.0).await;
    rig.mend().await;
    let mut next = rig.session().await;
    next.send_again(track("t", ADA, "Seen")).await;
    assert_eq!(next.settled().await.outcome, Outcome::Delivered);
    drop(source);
    rig.finish(next).await;
}

#[tokio::test]
async fn an_odd_field_does_not_keep_the_others_from_being_used() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let mut fields = with_field("cf_good");
    let listed = fields["fields"].as_array_mut().unwrap();
    listed.push(json!({"name": "cf_odd", "type": "dropdown", "choices": {"1": "New"}}));
    listed.push(json!({"label": "Nameless", "type": "text"}));
    let action = json!({"status": 200, "body": fields});
    rig.faults(json!({"endpoint": "contacts_fields", "action": action, "next": 1})).await;
    source.send(identify("m0", ADA, json!({"city": "Ulm"}))).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    source.send(identify("m1", ADA, json!({"cfOdd": "New"}))).await;
    assert_eq!(reason(&source.settled().await.outcome), "unknown_custom_field");
    rig.finish(source).await;
}

/// The account's fields, with this one required.
fn requiring(name: &str) -> Value {
    let mut fields: Value =
        serde_json::from_str(include_str!("../../src/sandbox/metadata/contacts.json")).unwrap();
    let field = fields["fields"].as_array_mut().unwrap().iter_mut().find(|field| field["name"] == name);
    field.unwrap()["required"] = true.into();
    fields
}

#[tokio::test]
async fn after_freshsales_refuses_a_record_old_fields_are_read_again_and_the_defaults_of_later_events_are_known()
 {
    let settings = "[accounts.defaults]\njob_title = \"Unknown\"";
    let rig = Rig::with(Setup { settings, ..Setup::default() }).await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    rig.meddle("PUT", "/_sandbox/fields/contacts", requiring("job_title")).await;
    source.send(identify("m0", ADA, json!({"city": "Ulm"}))).await;
    assert_eq!(reason(&source.settled().await.outcome), "rejected");
    assert_eq!(rig.calls("contacts_fields"), 1, "they are not old yet");
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(6)).await;
    tokio::time::resume();
    source.send(identify("m1", ADA, json!({"city": "Ulm"}))).await;
    assert_eq!(reason(&source.settled().await.outcome), "rejected");
    soon("the new fields are taken", async || {
        let read = |endpoint: &str| {
            let labels = [&*format!("endpoint=\"{endpoint}\""), "outcome=\"ok\""];
            rig.sum("freshet_api_requests_total", &labels) >= 2.0
        };
        ["contact_fields", "sales_account_fields", "deal_fields"].into_iter().all(read)
    })
    .await;
    source.send(identify("m2", ADA, json!({"city": "Ulm"}))).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.contact(ADA)["job_title"], "Unknown");
    rig.finish(source).await;
}
