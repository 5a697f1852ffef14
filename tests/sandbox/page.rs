//! The page and the log for people.

use std::time::Duration;

use freshet::sandbox::{JobOptions, Options};
use reqwest::Method;
use serde_json::{Value, json};

use crate::account::{Account, list};

#[tokio::test]
async fn the_page_shows_everything_and_turns_nothing_into_markup() {
    let account = Account::start().await;
    let evil = "<script>alert('x')</script>";
    account.sales_account(evil).await;
    let contact = json!({"first_name": evil, "custom_field": {"cf_background": evil}});
    account.upsert("a@example.com", contact).await;
    account.upsert("a@example.com", json!({"custom_field": {"cf_plan": evil}})).await;
    account.post("/api/deals", json!({"deal": {"name": evil, "amount": 1}})).await;
    let event = json!({"identifier": evil, "event": {"name": evil, evil: evil}, "application_token": "t"});
    account.post("/track/events", event).await;
    let response = account.send(Method::GET, "/", None).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let html = response.text().await.unwrap();
    assert!(!html.contains("<script"), "{html}");
    let harmless = "&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;";
    assert_eq!(html.matches(harmless).count(), 8, "{html}");
    assert!(html.contains("Plan is not included in the list") && !html.contains("http://"));
    account.stop().await;
}

/// `freshet status --ready --url http://.../_sandbox` wants these very words.
#[tokio::test]
async fn a_health_check_gets_the_answer_of_a_replica_that_is_ready() {
    let account = Account::start().await;
    let response = account.send(Method::GET, "/_sandbox/readyz", None).await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "ready"));
    account.stop().await;
}

#[tokio::test]
async fn the_log_has_the_requests_to_the_api_in_order() {
    let account = Account::start().await;
    account.upsert("a@example.com", json!({})).await;
    account.get("/crm/sales/api/contacts/5?include=sales_accounts").await;
    let state = account.get("/_sandbox/state").await.1;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let log: Vec<_> = list(&state["log"])
        .iter()
        .map(|entry| format!("{} {} {}", text(entry, "method"), text(entry, "path"), text(entry, "status")))
        .collect();
    assert_eq!(log, ["POST /api/contacts/upsert 201", "GET /crm/sales/api/contacts/5 404"]);
    assert!(state["log"][0]["at_ms"].as_u64() <= state["log"][1]["at_ms"].as_u64());
    assert_eq!(state["total_requests"], 2);
    account.stop().await;
}

#[tokio::test]
async fn the_page_shows_the_progress_of_jobs_and_the_options() {
    let jobs = JobOptions { shortest: Duration::from_hours(1), ..JobOptions::default() };
    let account = Account::with(Options { jobs, ..Options::default() }).await;
    let body = json!({"contacts": [{"emails": "a@example.com", "data": {}}]});
    assert_eq!(account.post("/api/contacts/bulk_upsert", body).await.0, 200);
    account.put("/_sandbox/options", json!({"search_delay_ms": 20_000, "language": "german"})).await;
    let html = account.send(Method::GET, "/", None).await.text().await.unwrap();
    for text in ["0 %", "search_delay_ms: 20000", "language: german", "job_time_ms: 3600000"] {
        assert!(html.contains(text), "{text}: {html}");
    }
    let state = account.get("/_sandbox/state").await.1;
    assert_eq!((&state["jobs"][0]["progress"], &state["options"]["language"]), (&json!(0), &json!("german")));
    account.stop().await;
}
