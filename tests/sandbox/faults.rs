//! Faults: how the sandbox misbehaves on demand.

use std::time::Duration;

use freshet::sandbox::Options;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::account::{Account, list};

#[tokio::test]
async fn a_status_fault_strikes_its_endpoint_the_next_n_times() {
    let account = Account::start().await;
    let slow = json!({"status": 429, "headers": {"retry-after": "7"}, "body": {"message": "slow down"}});
    account
        .faults(json!([
            {"endpoint": "contacts_upsert", "next": 2, "action": slow},
            {"endpoint": "/api/selector", "action": {"status": 502, "body": "<html>"}},
        ]))
        .await;
    for _ in 0..2 {
        let body = json!({"unique_identifier": {"emails": "a@example.com"}, "contact": {}});
        let response = account.send(Method::POST, "/crm/sales/api/contacts/upsert", Some(&body)).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.json::<Value>().await.unwrap()["message"], "slow down");
    }
    assert_eq!(account.sandbox.state()["contacts"], json!([]), "no effect");
    assert_eq!(account.upsert("a@example.com", json!({})).await.0, 201);
    assert_eq!(account.get("/crm/sales/api/selector/owners").await, (502, json!("<html>")));
    let (_, left) = account.get("/_sandbox/faults").await;
    assert_eq!((list(&left["faults"]).len(), &left["faults"][0]["struck"]), (1, &json!(1)));
    assert_eq!(account.send(Method::DELETE, "/_sandbox/faults", None).await.status(), 200);
    assert_eq!(account.get("/api/selector/owners").await.0, 200);
    account.stop().await;
}

#[tokio::test]
async fn a_fault_may_strike_one_record_only() {
    let account = Account::start().await;
    let blocked = json!({"status": 403, "body": "<html>blocked</html>"});
    account.faults(json!({"endpoint": "*", "action": blocked, "containing": "<script>"})).await;
    assert_eq!(account.upsert("a@example.com", json!({"city": "<script>"})).await.0, 403);
    assert_eq!(account.upsert("b@example.com", json!({"city": "Turin"})).await.0, 201);
    assert_eq!(account.get("/api/lookup?q=%3Cscript%3E&f=external_id&entities=contact").await.0, 403);
    let (_, faults) = account.get("/_sandbox/faults").await;
    assert_eq!(faults["faults"][0]["struck"], 2);
    account.stop().await;
}

#[tokio::test]
async fn a_share_of_requests_is_struck_and_the_admin_paths_never_are() {
    let account = Account::start().await;
    account.faults(json!({"endpoint": "*", "action": {"status": 500}, "share": 0.25})).await;
    let mut struck = 0;
    for _ in 0..20 {
        struck += u32::from(account.get("/api/selector/owners").await.0 == 500);
        assert_eq!(account.get("/_sandbox/state").await.0, 200);
        assert_eq!(account.get("/").await.0, 200);
    }
    assert_eq!(struck, 5);
    let (status, body) =
        account.post("/_sandbox/faults", json!({"endpoint": "contacts", "action": {}})).await;
    assert!(status == 400 && body["error"].as_str().unwrap().contains("contacts_upsert"), "{body}");
    account.stop().await;
}

#[tokio::test]
async fn a_delay_and_the_latency_only_delay() {
    let latency = Duration::from_millis(100);
    let account = Account::with(Options { latency, ..Options::default() }).await;
    account.faults(json!({"endpoint": "*", "action": {"delay_ms": 200}, "next": 1})).await;
    for expected in [latency + Duration::from_millis(200), latency] {
        let start = tokio::time::Instant::now();
        let status = account.upsert("a@example.com", json!({})).await.0;
        assert!(status < 300 && start.elapsed() >= expected, "{status} after {:?}", start.elapsed());
    }
    account.stop().await;
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_or_after_the_effect() {
    let account = Account::start().await;
    for (after_effect, count) in [(false, 0), (true, 1)] {
        let mut fault = json!({"endpoint": "contacts_upsert", "action": {"reset": true}, "next": 1});
        fault["after_effect"] = json!(after_effect);
        account.faults(fault).await;
        let body = json!({"unique_identifier": {"emails": "a@example.com"}, "contact": {}});
        let error = account.try_send(Method::POST, "/api/contacts/upsert", Some(&body)).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(list(&account.sandbox.state()["contacts"]).len(), count);
    }
    assert_eq!(account.sandbox.state()["requests"]["contacts_upsert"], json!({"reset": 2}));
    assert_eq!(account.upsert("a@example.com", json!({})).await.0, 200, "the sandbox goes on");
    account.stop().await;
}

#[tokio::test]
async fn a_hanging_request_is_never_answered_and_does_not_hold_up_a_stop() {
    let account = Account::start().await;
    let hang = json!({"endpoint": "contacts_create", "action": {"hang": true}, "after_effect": true});
    account.faults(hang).await;
    let body = json!({"contact": {"email": "a@example.com"}});
    let url = format!("{}/api/contacts", account.url);
    let post = |limit| {
        let request = account.client.post(&url).header("authorization", "Token token=k");
        request.json(&body).timeout(limit).send()
    };
    let error = post(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(list(&account.sandbox.state()["contacts"]).len(), 1, "its effect is there");
    let mut hanging = JoinSet::new();
    hanging.spawn(post(Duration::from_secs(30)));
    while account.sandbox.state()["requests"]["contacts_create"]["hang"] != 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    account.stop().await;
    // Had the stop waited for the request, the client would have given it up after its 30 s.
    let error = hanging.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
}
