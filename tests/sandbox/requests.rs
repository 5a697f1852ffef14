//! Paths, keys, the quota, tracking.

use freshet::sandbox::{Admission, Options};
use reqwest::Method;
use serde_json::json;

use crate::account::{Account, answer, list};

#[tokio::test]
async fn a_wrong_request_gets_the_status_that_says_why() {
    let account = Account::with(Options {
        admission: Admission { body_limit: 1000, ..Admission::default() },
        ..Options::default()
    })
    .await;
    for (method, path, status) in [
        (Method::GET, "/api/contacts/1", 404),
        (Method::GET, "/api/contacts/abc", 404),
        (Method::GET, "/api/leads", 404),
        (Method::GET, "/nothing", 404),
        (Method::PATCH, "/api/contacts/1", 405),
        (Method::GET, "/api/contacts/upsert", 405),
        (Method::POST, "/api/selector/owners", 405),
        (Method::POST, "/api/contacts", 400),
        (Method::PUT, "/_sandbox/state", 405),
        (Method::GET, "/_sandbox/nothing", 404),
    ] {
        assert_eq!(account.send(method.clone(), path, None).await.status(), status, "{method} {path}");
    }
    let broken = account.client.post(format!("{}/api/contacts", account.url)).body("{\"contact\":");
    let broken = broken.header("authorization", "Token token=k").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert_eq!(account.post("/api/contacts", json!({"lead": {}})).await.0, 400);
    let long = json!({"contact": {"first_name": "x".repeat(2_000_000)}});
    assert_eq!(account.post("/api/contacts", long).await.0, 413);
    assert!(account.get("/api/selector/owners").await.1["users"][0]["id"].is_u64());
    assert!(account.get("/api/contacts/filters").await.1["filters"].is_array());
    let counts = &account.sandbox.state()["requests"];
    assert_eq!(counts["contacts_create"], json!({"400": 3, "413": 1}));
    assert_eq!(counts["unknown"], json!({"404": 2, "405": 3}));
    account.stop().await;
}

#[tokio::test]
async fn only_the_right_key_and_token_are_accepted() {
    let (api_key, app_token) = (Some("k".to_owned()), Some("t".to_owned()));
    let admission = Admission { api_key, app_token, ..Admission::default() };
    let strict = Account::with(Options { admission, ..Options::default() }).await;
    let lax = Account::start().await;
    for (account, authorization, status) in [
        (&strict, "Token token=k", 200),
        (&strict, "Token token=other", 401),
        (&strict, "Bearer k", 401),
        (&lax, "Token token=anything", 200),
        (&lax, "Token token=", 401),
        (&lax, "anything", 401),
    ] {
        let request = account.client.get(format!("{}/api/selector/owners", account.url));
        let (got, body) = answer(
            request
                .header("authorization", authorization)
                .header("accept", "application/json")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(got, status, "{authorization}");
        if status == 401 {
            assert_eq!(body, json!({"login": "failed"}));
        }
    }
    for (account, token, status) in
        [(&strict, "t", 200), (&strict, "x", 401), (&lax, "x", 200), (&lax, "", 401)]
    {
        let event = json!({"identifier": "u", "event": {"name": "E"}, "application_token": token});
        assert_eq!(account.post("/track/events", event).await.0, status, "{token}");
    }
    strict.stop().await;
    lax.stop().await;
}

#[tokio::test]
async fn tracking_keeps_each_activity_and_creates_no_contact() {
    let account = Account::start().await;
    let page = json!({"url": "https://example.com/", "title": "T"});
    let calls = [
        ("/track/visitors", json!({"identifier": "a@example.com", "visitor": {"First name": "Ada"}}), 200),
        ("/crm/sales/track/events", json!({"identifier": "u-1", "event": {"name": "Bought", "n": 9.5}}), 200),
        ("/track/page_views", json!({"identifier": "u-1", "page_view": page}), 200),
        ("/track/events", json!({"event": {"name": "E"}}), 400),
        ("/track/events", json!({"identifier": " ", "event": {"name": "E"}}), 400),
        ("/track/events", json!({"identifier": "u", "event": {"price": 1}}), 400),
        ("/track/events", json!({"identifier": "u", "event": {"name": ""}}), 400),
        ("/track/page_views", json!({"identifier": "u", "page_view": {"title": "T"}}), 400),
        ("/track/page_views", json!({"identifier": "u", "event": {"name": "E"}}), 400),
    ];
    for (path, mut body, status) in calls {
        body["application_token"] = json!("t");
        // No Authorization header: tracking calls have a token in the body.
        let response =
            account.client.post(format!("{}{path}", account.url)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        assert!(response.headers().get("x-ratelimit-remaining").is_none());
    }
    let state = account.sandbox.state();
    let activities = list(&state["activities"]);
    assert_eq!(activities.len(), 3);
    assert_eq!(activities[1]["sequence"], 2);
    assert_eq!((&activities[1]["kind"], &activities[1]["name"]), (&json!("event"), &json!("Bought")));
    assert_eq!(activities[1]["properties"], json!({"n": 9.5}));
    assert_eq!(activities[2]["url"], "https://example.com/");
    assert_eq!(activities[2]["identifier"], "u-1");
    assert_eq!(state["contacts"], json!([]));
    account.stop().await;
}

#[tokio::test]
async fn every_answer_shows_the_hourly_quota_and_without_any_left_it_is_429() {
    let account = Account::with(Options { requests_per_hour: Some(2), ..Options::default() }).await;
    for (remaining, status) in [("1", 200), ("0", 200), ("0", 429), ("0", 429)] {
        let response = account.send(Method::GET, "/api/selector/owners", None).await;
        assert_eq!(response.status(), status);
        let header = |name| response.headers()[name].to_str().unwrap();
        assert_eq!((header("x-ratelimit-limit"), header("x-ratelimit-remaining")), ("2", remaining));
        let reset: u64 = header("x-ratelimit-reset").parse().unwrap();
        assert!((3500..=3600).contains(&reset), "{reset}");
    }
    let event = json!({"identifier": "u", "event": {"name": "E"}, "application_token": "t"});
    assert_eq!(account.post("/track/events", event).await.0, 200, "tracking is not counted");
    let (status, state) = account.get("/_sandbox/state").await;
    assert_eq!((status, &state["requests"]["selector_owners"]), (200, &json!({"200": 2, "429": 2})));
    account.stop().await;
}

#[tokio::test]
async fn without_a_right_key_json_gets_401_and_everything_else_the_sign_in_page() {
    let account = Account::start().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for accept in [None, Some("*/*"), Some("text/html")] {
        let request = client.get(format!("{}/crm/sales/api/selector/owners", account.url));
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(response.headers()["location"], "/crm/sales/login");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    }
    let request = client.get(format!("{}/api/selector/owners", account.url));
    let refused = request.header("accept", "application/json").send().await.unwrap();
    assert_eq!(answer(refused).await, (401, json!({"login": "failed"})));
    account.stop().await;
}

#[tokio::test]
async fn unknown_records_paths_and_methods_are_answered_in_the_form_of_other_errors() {
    let account = Account::start().await;
    for (path, message) in [
        ("/api/contacts/1", "Record not found"),
        ("/api/contacts/1/forget", "Method not allowed"),
        ("/api/leads", "Not found"),
        ("/nowhere", "Not found"),
    ] {
        let (status, body) = account.get(path).await;
        assert_eq!(body, json!({"errors": {"code": status, "message": [message]}}), "{path}");
        assert!(status == 404 || status == 405);
    }
    account.stop().await;
}

#[tokio::test]
async fn deleting_and_forgetting_a_contact_answer_true() {
    let account = Account::start().await;
    for suffix in ["", "/forget"] {
        let id = account.upsert("a@example.com", json!({})).await.1["contact"]["id"].clone();
        let path = format!("/api/contacts/{id}{suffix}");
        let delete = async || answer(account.send(Method::DELETE, &path, None).await).await;
        assert_eq!(delete().await, (200, json!(true)));
        assert_eq!(delete().await.0, 404);
        assert_eq!(account.sandbox.state()["contacts"], json!([]));
    }
    account.stop().await;
}
