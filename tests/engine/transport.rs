//! Accounts share one transport, and nothing else.

use std::time::Duration;

use freshet::freshsales::{Call, Client, Credentials, HttpTransport, RawResponse, Verdict, classify};
use freshet::schema::Entity;
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{API_KEY, Account};
use crate::support::soon;

fn client(transport: &HttpTransport, account: &Account, api_key: &str) -> Client {
    let base_url = format!("http://{}", account.address);
    Client::new(transport, Credentials { base_url, api_key: api_key.to_owned().into(), app_token: None })
}

async fn verdict(client: &Client) -> Verdict {
    let call = Call::fields(Entity::Contact);
    classify(call.endpoint, client.send(&call).await.map(RawResponse::parse))
}

#[tokio::test]
async fn each_account_calls_with_its_own_key_also_where_two_have_one_address() {
    let transport = HttpTransport::new(Duration::from_secs(10)).unwrap();
    let account = Account::start(1_000_000).await;
    let (right, wrong) = (client(&transport, &account, API_KEY), client(&transport, &account, "another"));
    for _ in 0..20 {
        assert_eq!(verdict(&right).await.as_str(), "ok");
        assert_eq!(verdict(&wrong).await, Verdict::Unauthorized { status: 401 });
    }
}

#[tokio::test]
async fn an_account_that_never_answers_takes_no_place_from_another() {
    let transport = HttpTransport::new(Duration::from_mins(1)).unwrap();
    let (hanging, well) = (Account::start(1_000_000).await, Account::start(1_000_000).await);
    let hang = json!([{"endpoint": "contacts_fields", "action": {"hang": true}}]);
    let faults = format!("http://{}/_sandbox/faults", hanging.address);
    reqwest::Client::new().post(faults).json(&hang).send().await.unwrap().error_for_status().unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..300 {
        let client = client(&transport, &hanging, API_KEY);
        calls.spawn(async move { verdict(&client).await });
    }
    soon("300 calls that hang", async || hanging_calls(&hanging) >= 300).await;
    let well = client(&transport, &well, API_KEY);
    assert_eq!(verdict(&well).await.as_str(), "ok");
    assert!(calls.try_join_next().is_none(), "a call was answered");
}

fn hanging_calls(account: &Account) -> usize {
    account.sandbox.state()["log"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["status"] == "hang")
        .count()
}
