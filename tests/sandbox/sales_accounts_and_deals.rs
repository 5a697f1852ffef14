//! Sales accounts and deals.

use reqwest::Method;
use serde_json::{Value, json};

use crate::account::{Account, messages};

#[tokio::test]
async fn sales_accounts_have_unique_names() {
    let account = Account::start().await;
    let sales_account = account.sales_account("Northwind").await;
    let again = account.post("/api/sales_accounts", json!({"sales_account": {"name": "northwind"}})).await;
    assert_eq!(messages(&again), ["Name has already been taken"]);
    let nameless = account.post("/api/sales_accounts", json!({"sales_account": {"city": "Oslo"}})).await;
    assert_eq!(messages(&nameless), ["Name can't be blank"]);
    let fields = json!({"number_of_employees": 51, "annual_revenue": "1000.50"});
    let upsert = json!({"unique_identifier": {"name": "Northwind"}, "sales_account": fields});
    let (status, body) = account.post("/api/sales_accounts/upsert", upsert).await;
    assert_eq!((status, &body["sales_account"]["id"]), (200, &json!(sales_account)));
    assert_eq!(body["sales_account"]["annual_revenue"].to_string(), "1000.50");
    let path = format!("/api/sales_accounts/{sales_account}");
    let blank = account.put(&path, json!({"sales_account": {"name": ""}})).await;
    assert_eq!(messages(&blank), ["Name can't be blank"]);
    account.stop().await;
}

#[tokio::test]
async fn deals_refer_only_to_records_that_exist() {
    let account = Account::start().await;
    let sales_account = account.sales_account("Northwind").await;
    let contact = account.upsert("a@example.com", json!({})).await.1["contact"]["id"].clone();
    for (deal, expected) in [
        (json!({"name": "D", "amount": "lots"}), vec!["Amount is not a number"]),
        (
            json!({"sales_account_id": sales_account}),
            vec!["Name can't be blank", "Deal value can't be blank"],
        ),
        (json!({"name": "D", "amount": 1, "sales_account_id": 1}), vec!["Account name is invalid"]),
        (json!({"name": "D", "amount": 1, "contacts_added_list": [1]}), vec!["Related contacts is invalid"]),
        (json!({"name": "D", "amount": 1, "contacts": [contact]}), vec!["Related contacts is invalid"]),
        (json!({"name": "D", "amount": 1, "probability": 150}), vec!["Probability must be from 0 to 100"]),
    ] {
        let answer = account.post("/api/deals", json!({"deal": deal})).await;
        assert_eq!(messages(&answer), expected, "{deal}");
    }
    let deal = json!({"amount": 5600, "sales_account_id": sales_account, "contacts_added_list": [contact]});
    let upsert = json!({"unique_identifier": {"name": "Big one"}, "deal": deal});
    let (status, body) = account.post("/api/deals/upsert", upsert.clone()).await;
    assert_eq!((status, &body["deal"]["contact_ids"]), (201, &json!([contact])));
    assert_eq!(body["deal"]["amount"], "5600");
    assert_eq!(account.post("/api/deals/upsert", upsert).await.0, 200);
    let path = format!("/api/deals/{}", body["deal"]["id"]);
    account.put(&path, json!({"deal": {"contacts_removed_list": [contact]}})).await;
    let deal = account.sandbox.state()["deals"][0].clone();
    assert_eq!((&deal["contact_ids"], &deal["sales_account_id"]), (&json!([]), &json!(sales_account)));
    let deleted = account.send(Method::DELETE, &format!("/api/sales_accounts/{sales_account}"), None).await;
    assert_eq!(deleted.status(), 200);
    assert_eq!(account.sandbox.state()["deals"][0]["sales_account_id"], Value::Null);
    account.stop().await;
}
