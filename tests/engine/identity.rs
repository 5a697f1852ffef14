//! Who a contact is: identifies without an address, and a `userId` that comes with another one than before.

use std::time::Duration;

use freshet::delivery::Lease;
use freshet::outcome::Outcome;
use freshet::sandbox::{Language, Locale, Options, ReadOptions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rig::{Account, Rig, Setup, called, reason, track};

/// An identify of this `userId`, with an address or without.
fn identify(message: &str, user: &str, email: Option<&str>, traits: Value) -> Value {
    let mut event = json!({"type": "identify", "messageId": message, "userId": user, "traits": traits});
    if let Some(email) = email {
        event["traits"]["email"] = json!(email);
    }
    event
}

/// A contact's addresses, the primary one first.
fn emails(contact: &Value) -> Vec<String> {
    let mut emails: Vec<&Value> = contact["emails"].as_array().unwrap().iter().collect();
    emails.sort_by_key(|email| email["is_primary"] != true);
    emails.iter().map(|email| email["value"].as_str().unwrap().to_owned()).collect()
}

fn contacts(rig: &Rig) -> Vec<Value> {
    rig.state()["contacts"].as_array().unwrap().clone()
}

fn only(rig: &Rig) -> Value {
    let contacts = contacts(rig);
    assert_eq!(contacts.len(), 1, "{contacts:#?}");
    contacts[0].clone()
}

/// Creates a contact as another program would.
async fn put(rig: &Rig, contact: Value) {
    rig.meddle("POST", "/api/contacts", json!({ "contact": contact })).await;
}

#[tokio::test]
async fn a_userid_with_a_new_address_changes_its_contact_and_tracks_follow() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("1", "u-10", Some("old@example.com"), json!({"firstName": "Eve"}))).await;
    source.send(track("2", "u-10", "Before")).await;
    source.send(identify("3", "u-10", Some("New@example.com"), json!({"lastName": "Example"}))).await;
    source.send(track("4", "u-10", "After")).await;
    assert_eq!(source.outcomes().await, vec![Outcome::Delivered; 4]);
    let contact = only(&rig);
    assert_eq!(emails(&contact), ["new@example.com", "old@example.com"]);
    assert_eq!(contact["external_id"], "u-10");
    assert_eq!((&contact["first_name"], &contact["last_name"]), (&json!("Eve"), &json!("Example")));
    let pairs = [("old@example.com", "Before"), ("new@example.com", "After")];
    assert_eq!(rig.activities(), pairs.map(|(who, what)| (who.to_owned(), what.to_owned())));
    rig.finish(source).await;
}

#[tokio::test]
async fn a_change_that_this_replica_did_not_see_the_beginning_of_is_found_out_in_any_language() {
    for language in [Language::English, Language::German] {
        let locale = Locale { language, ..Locale::default() };
        let options = Options { locale, requests_per_hour: Some(1_000_000), ..Options::default() };
        let rig = Rig::before(Account::with(options).await, Setup::default());
        put(&rig, json!({"emails": "Old@example.com", "external_id": "u-1", "first_name": "Eve"})).await;
        let mut source = rig.session().await;
        source.send(identify("1", "U-1", Some("new@example.com"), json!({"lastName": "Example"}))).await;
        assert_eq!(source.outcomes().await, [Outcome::Delivered]);
        let contact = only(&rig);
        assert_eq!(emails(&contact), ["new@example.com", "Old@example.com"]);
        assert_eq!(contact["first_name"], "Eve");
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn changes_among_many_contacts_in_bulk_are_found_out_by_the_job_s_report() {
    let rig = Rig::start().await;
    put(&rig, json!({"emails": "old1@example.com", "external_id": "u-1"})).await;
    let mut source = rig.session().await;
    for number in 0..6 {
        let (user, email) = (format!("u-{number}"), format!("new{number}@example.com"));
        source.send(identify(&number.to_string(), &user, Some(&email), json!({"city": "Berne"}))).await;
    }
    assert_eq!(source.outcomes().await, vec![Outcome::Delivered; 6]);
    assert_eq!(contacts(&rig).len(), 6);
    assert_eq!(emails(&rig.contact("new1@example.com")), ["new1@example.com", "old1@example.com"]);
    assert!(contacts(&rig).iter().all(|contact| contact["city"] == "Berne"));
    rig.finish(source).await;
}

#[tokio::test]
async fn an_address_of_another_contact_stays_its_own() {
    let rig = Rig::start().await;
    put(&rig, json!({"emails": "one@example.com", "external_id": "u-1"})).await;
    put(&rig, json!({"emails": "two@example.com", "external_id": "u-2"})).await;
    let mut source = rig.session().await;
    for round in 0..2 {
        source
            .send(identify(
                &round.to_string(),
                "u-1",
                Some("two@example.com"),
                json!({"city": round.to_string()}),
            ))
            .await;
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
        let two = rig.contact("two@example.com");
        assert_eq!((&two["external_id"], &two["city"]), (&json!("u-2"), &json!(round.to_string())));
        let one = rig.contact("one@example.com");
        assert_eq!((&one["external_id"], emails(&one)), (&json!("u-1"), vec!["one@example.com".to_owned()]));
        assert_eq!(rig.sum("freshet_values_omitted_total", &[]), f64::from(round + 1));
        // What was found out the first time costs nothing the second.
        assert_eq!(rig.calls("lookup"), 2);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn records_that_freshsales_refuses_are_dead_lettered_as_rejected() {
    let rig = Rig::start().await;
    rig.faults(json!([{"endpoint": "contacts_upsert", "containing": "Berne",
        "action": {"status": 400, "body": {"errors": {"code": 400, "message": ["City is wrong"]}}}}]))
        .await;
    let mut source = rig.session().await;
    source.send(identify("1", "u-1", Some("a@example.com"), json!({"city": "Berne"}))).await;
    source.send(identify("2", "u-1", Some("a@example.com"), json!({"title": "Countess"}))).await;
    let outcomes = source.outcomes().await;
    assert_eq!(outcomes.iter().map(reason).collect::<Vec<_>>(), ["rejected", "(delivered)"]);
    assert_eq!(rig.calls("lookup"), 1);
    rig.finish(source).await;
}

#[tokio::test]
async fn an_identify_without_an_address_updates_the_contact_that_is_known_or_found() {
    let rig = Rig::start().await;
    put(&rig, json!({"emails": "found@example.com", "external_id": "u-1"})).await;
    put(&rig, json!({"mobile_number": "1-926-555-9503", "external_id": "u-2"})).await;
    let mut source = rig.session().await;
    source.send(identify("1", "u-1", None, json!({"city": "Berne"}))).await;
    source.send(identify("2", "u-2", None, json!({"city": "Bonn", "company": "Acme"}))).await;
    source.send(identify("3", "u-3", Some("told@example.com"), json!({}))).await;
    source.send(identify("4", "u-3", None, json!({"city": "Bern"}))).await;
    source.send(identify("5", "u-4", None, json!({"city": "Brno"}))).await;
    let outcomes = source.outcomes().await;
    let reasons: Vec<_> = outcomes.iter().map(reason).collect();
    assert_eq!(reasons, ["(delivered)", "(delivered)", "(delivered)", "(delivered)", "missing_email"]);
    assert_eq!(rig.contact("found@example.com")["city"], "Berne");
    assert_eq!(rig.contact("told@example.com")["city"], "Bern");
    let contacts = contacts(&rig);
    assert_eq!(contacts.len(), 3);
    let phone = contacts.iter().find(|contact| contact["external_id"] == "u-2").unwrap();
    assert_eq!(phone["city"], "Bonn");
    assert_eq!(phone["sales_accounts"].as_array().unwrap().len(), 1, "{phone}");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_userid_that_nobody_has_is_not_looked_up_for_each_identify() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    for number in 0..5 {
        source.send(identify(&number.to_string(), "u-1", None, json!({}))).await;
        assert_eq!(reason(&source.settled().await.outcome), "missing_email");
    }
    assert_eq!(rig.calls("lookup"), 1);
    rig.finish(source).await;
}

#[tokio::test]
async fn an_identify_that_waits_for_its_look_up_lets_others_go_on() {
    let request_timeout = Duration::from_secs(3);
    let rig = Rig::with(Setup { request_timeout, ..Setup::default() }).await;
    rig.faults(json!([{"endpoint": "lookup", "action": {"hang": true}, "next": 1}])).await;
    let mut source = rig.session().await;
    let held = source.send(identify("1", "u-1", None, json!({"city": "Berne"}))).await;
    called(&rig, "lookup", 1).await;
    source.send(identify("2", "u-2", Some("b@example.com"), json!({}))).await;
    let settled = source.settled().await;
    assert!(settled.tag != held && settled.outcome == Outcome::Delivered);
    assert_eq!(source.settled().await.tag, held);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_lane_that_was_just_taken_over_waits_for_what_look_ups_do_not_find_yet() {
    let options = Options {
        reads: ReadOptions { search_delay: Duration::from_millis(500), ..ReadOptions::default() },
        requests_per_hour: Some(1_000_000),
        ..Options::default()
    };
    let rig = Rig::before(Account::with(options).await, Setup::default());
    let (show, shown) = watch::channel(Instant::now());
    let mut source = rig.leased_session(Lease::new(shown, Duration::from_mins(10))).await;
    // As the last replica did just before.
    put(&rig, json!({"emails": "one@example.com", "external_id": "u-1"})).await;
    put(&rig, json!({"emails": "two@example.com", "external_id": "u-2"})).await;
    source.send(identify("1", "u-1", None, json!({"city": "Berne"}))).await;
    source.send(identify("2", "u-2", Some("new@example.com"), json!({}))).await;
    assert_eq!(source.outcomes().await, vec![Outcome::Delivered; 2]);
    assert_eq!(rig.contact("one@example.com")["city"], "Berne");
    assert_eq!(emails(&rig.contact("new@example.com")), ["new@example.com", "two@example.com"]);
    drop(show);
    rig.finish(source).await;
}
