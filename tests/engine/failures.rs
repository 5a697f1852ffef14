//! Each way a call can fail, and that every event ends as it should.

use freshet::lane::LaneState;
use freshet::outcome::Outcome;
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, called, identify, reason, track};
use crate::support::soon;

/// Failures of a call that say nothing about the event.
fn passing() -> Vec<Value> {
    vec![
        json!({"status": 500}),
        json!({"status": 502, "body": "<html><h1>Bad gateway</h1></html>"}),
        json!({"status": 503, "headers": {"retry-after": "0"}}),
        json!({"status": 504}),
        json!({"status": 429}),
        json!({"status": 429, "headers": {"retry-after": "1"}}),
        json!({"status": 405, "body": {"message": "Too many bulk jobs are running"}}),
        json!({"status": 408}),
        json!({"status": 302, "headers": {"location": "/elsewhere"}}),
        json!({"status": 200, "body": {"errors": {"code": 500, "message": ["Something went wrong"]}}}),
        json!({"status": 200, "body": {"errors": {"message": ["Something went wrong"]}}}),
        json!({"status": 200, "body": "<!DOCTYPE html><title>Sign in</title>"}),
        json!({"status": 401, "body": {"message": "Incorrect or expired API key"}}),
        json!({"status": 403}),
        json!({"reset": true}),
        json!({"hang": true}),
    ]
}

fn whole_event(message: &str, email: &str) -> Value {
    let traits =
        json!({"firstName": "Ada", "company": {"name": "Acme"}, "deal": {"name": "Big", "amount": 5}});
    identify(message, email, traits)
}

#[tokio::test]
async fn a_passing_failure_costs_no_event_wherever_it_happens() {
    let setup = Setup { request_timeout: std::time::Duration::from_millis(1500), ..Setup::default() };
    let rig = Rig::with(setup).await;
    let mut source = rig.session().await;
    let endpoints =
        ["contacts_upsert", "sales_accounts_upsert", "deals_create", "contacts_update", "track_events"];
    let mut sent = 0;
    for (number, action) in passing().into_iter().enumerate() {
        let faults: Vec<Value> =
            endpoints.iter().map(|at| json!({"endpoint": at, "action": action, "next": 1})).collect();
        rig.faults(json!(faults)).await;
        let email = format!("ada{number}@example.com");
        source.send(whole_event(&format!("i{number}"), &email)).await;
        source.send(track(&format!("t{number}"), &email, &format!("Event {number}"))).await;
        for _ in 0..2 {
            let settled = source.settled().await;
            assert_eq!(settled.outcome, Outcome::Delivered, "{action}");
            assert!(settled.attempts >= 1);
        }
        sent += 1;
        let contact = rig.contact(&email);
        assert_eq!(contact["first_name"], "Ada", "{action}");
        assert_eq!(contact["sales_accounts"][0]["name"], "Acme", "{action}");
        assert_eq!(rig.activities().len(), sent, "{action}: each event once");
        rig.mend().await;
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn an_effect_whose_answer_was_lost_is_not_lost() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    rig.faults(json!([
        {"endpoint": "sales_accounts_upsert", "action": {"reset": true}, "next": 1, "after_effect": true},
        {"endpoint": "contacts_upsert", "action": {"reset": true}, "next": 1, "after_effect": true},
        {"endpoint": "contacts_update", "action": {"reset": true}, "next": 1, "after_effect": true},
        {"endpoint": "deals_create", "action": {"reset": true}, "next": 1, "after_effect": true}
    ]))
    .await;
    source.send(whole_event("m", "ada@example.com")).await;
    assert_eq!(source.outcomes().await, [Outcome::Delivered]);
    let state = rig.state();
    for kind in ["contacts", "sales_accounts", "deals"] {
        assert_eq!(state[kind].as_array().unwrap().len(), 1, "{kind}");
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_dead_lettered_and_holds_nobody_up() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    for (number, (status, body)) in [
        (400, json!({"errors": {"code": 400, "message": ["Amount is not a number"]}})),
        (404, json!({"message": "Not found"})),
        (422, json!({"errors": {"message": ["No"]}})),
        (413, json!({"message": "too large"})),
        (200, json!({"errors": {"code": 400, "message": "Source can't be empty"}})),
    ]
    .into_iter()
    .enumerate()
    {
        let action = json!({"status": status, "body": body});
        rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
        source.send(identify(&format!("m{number}"), "ada@example.com", json!({}))).await;
        let settled = source.settled().await;
        assert_eq!(reason(&settled.outcome), "rejected", "{status}");
        let Outcome::DeadLetter(refusal) = settled.outcome else { unreachable!() };
        assert_eq!(refusal.http_status, Some(if status == 200 { 400 } else { status }));
        assert!(!refusal.problems.is_empty());
        // The same event sent back from the dead letters is no duplicate.
        source.send(identify(&format!("m{number}"), "ada@example.com", json!({}))).await;
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn refused_credentials_keep_every_event_until_they_are_mended() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("first", "ada@example.com", json!({}))).await;
    source.settled().await;
    rig.faults(json!({"endpoint": "/api", "action": {"status": 401}})).await;
    for number in 0..20 {
        source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
    }
    soon("the state", async || rig.board.view().state == LaneState::Unauthorized).await;
    assert!(rig.board.view().why.contains("api_key"), "{}", rig.board.view().why);
    // It is probed with what reads fields, and with no record again.
    called(&rig, "sales_accounts_fields", 5).await;
    assert!(
        rig.calls("contacts_upsert") + rig.calls("contacts_bulk_upsert") <= 1 + 8,
        "{:?}",
        rig.log("contacts_upsert")
    );
    assert!(source.try_settled().is_none());
    // Activities have a credential of their own.
    source.send(track("t", "zoe@example.com", "Came")).await;
    rig.mend().await;
    for _ in 0..21 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    soon("the state", async || rig.board.view().state == LaneState::Flowing).await;
    rig.finish(source).await;
}

#[tokio::test]
async fn a_schema_that_cannot_be_read_keeps_every_event() {
    let rig = Rig::start().await;
    rig.faults(json!([
        {"endpoint": "contacts_fields", "action": {"status": 500}, "next": 1},
        {"endpoint": "contacts_fields", "action": {"status": 401}, "next": 1},
        {"endpoint": "sales_accounts_fields", "action": {"status": 429}, "next": 1},
        {"endpoint": "deals_fields", "action": {"status": 200, "body": "<html>"}, "next": 1},
        {"endpoint": "deals_fields", "action": {"reset": true}, "next": 1}
    ]))
    .await;
    let mut source = rig.session().await;
    for number in 0..5 {
        source.send(identify(&format!("m{number}"), "ada@example.com", json!({}))).await;
    }
    for outcome in source.outcomes().await {
        assert_eq!(outcome, Outcome::Delivered);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn every_verdict_without_a_call_has_its_reason() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let cases = [
        ("not json".to_owned(), "malformed_json"),
        ("[]".to_owned(), "malformed_json"),
        (json!({"userId": "u"}).to_string(), "invalid_event"),
        (json!({"type": "track", "userId": "u"}).to_string(), "invalid_event"),
        (json!({"type": "identify", "traits": {"email": "a@b.co"}}).to_string(), "missing_user_id"),
        (json!({"type": "identify", "userId": "u"}).to_string(), "missing_email"),
        (json!({"type": "identify", "userId": "u", "traits": {"email": "no"}}).to_string(), "invalid_email"),
        (identify("a", "a@example.com", json!({"cfNoSuch": 1})).to_string(), "unknown_custom_field"),
        (identify("b", "a@example.com", json!({"firstName": "x".repeat(256)})).to_string(), "invalid_field"),
        (format!("{{\"type\":\"identify\",\"pad\":\"{}\"}}", "x".repeat(1_048_576)), "too_large"),
        (json!({"type": "screen"}).to_string(), "unsupported_type"),
        (json!({"type": "track", "event": "e"}).to_string(), "anonymous"),
        (
            json!({"type": "track", "event": "e", "userId": "u", "integrations": {"All": false}}).to_string(),
            "integration_disabled",
        ),
    ];
    for (body, _) in &cases {
        source.send(body).await;
    }
    let outcomes = source.outcomes().await;
    for ((body, expected), outcome) in cases.iter().zip(&outcomes) {
        assert_eq!(reason(outcome), *expected, "{}", body.chars().take(100).collect::<String>());
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_left_out_where_the_account_says_so() {
    let rig = Rig::with(Setup { settings: "invalid_value = \"omit\"", ..Setup::default() }).await;
    let mut source = rig.session().await;
    let traits = json!({"firstName": "Ada", "lifecycleStageId": "Nobody", "company": {"phone": "1"}});
    source.send(identify("m1", "ada@example.com", traits)).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.contact("ada@example.com")["first_name"], "Ada");
    assert!((rig.sum("freshet_values_omitted_total", &["account=\"acme\""]) - 2.0).abs() < 0.1);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_dropped_receipt_is_counted_and_its_event_returned() {
    let dropped = prometheus::IntCounter::new("dropped", "dropped").unwrap();
    let (settle, mut settlements) = tokio::sync::mpsc::channel(1);
    let place = settle.reserve_owned().await.unwrap();
    drop(freshet::delivery::Receipt::new(7, place, dropped.clone()));
    assert_eq!(dropped.get(), 1);
    let settlement = settlements.recv().await.expect("whoever waits for the receipt waits for ever");
    assert_eq!((settlement.tag, settlement.outcome), (7, Outcome::Returned));
}

#[tokio::test]
async fn a_user_id_that_fits_no_url_is_reported_and_not_looked_up() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(track("t0", &"u".repeat(100_000), "Long")).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    source.send(track("t1", &"u".repeat(256), "Too long for an external_id")).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.calls("lookup"), 0);
    source.send(track("t2", &"ü".repeat(255), "Fits")).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.calls("lookup"), 1);
}
