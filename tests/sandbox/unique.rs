//! What no two records may share, and the errors when they do; the language of errors; invalid options.

use freshet::sandbox::{Language, Locale, Options};
use serde_json::{Value, json};

use crate::account::{Account, field, list, messages};

#[tokio::test]
async fn an_external_id_belongs_to_one_contact_and_its_case_is_ignored() {
    let account = Account::start().await;
    let one =
        account.upsert("one@example.com", json!({"external_id": "U-1"})).await.1["contact"]["id"].clone();
    let two =
        account.upsert("two@example.com", json!({"external_id": "u-2"})).await.1["contact"]["id"].clone();
    let clash = account.upsert("three@example.com", json!({"external_id": "u-1"})).await;
    assert_eq!(messages(&clash), ["External ID is not unique"]);
    let path = format!("/api/contacts/{two}");
    let clash = account.put(&path, json!({"contact": {"external_id": "u-1", "city": "Oslo"}})).await;
    assert_eq!(messages(&clash), ["External ID is not unique"]);
    assert_eq!(list(&account.sandbox.state()["contacts"]).len(), 2);
    assert_eq!(account.get(&path).await.1["contact"]["city"], Value::Null, "nothing of it is written");

    let own = account.upsert("one@example.com", json!({"external_id": "u-1"})).await;
    assert_eq!((own.0, &own.1["contact"]["id"]), (200, &one), "its own value is no clash");
    assert_eq!(account.put(&path, json!({"contact": {"external_id": "u-3"}})).await.0, 200);
    assert_eq!(account.upsert("three@example.com", json!({"external_id": "u-2"})).await.0, 201, "free again");
    for email in ["four@example.com", "five@example.com"] {
        assert_eq!(
            account.upsert(email, json!({"external_id": ""})).await.0,
            201,
            "blank values are not compared"
        );
    }
    account.stop().await;
}

#[tokio::test]
async fn a_clash_of_addresses_is_reported_with_the_address() {
    let account = Account::start().await;
    account.upsert("one@example.com", json!({})).await;
    let path = account.upsert("two@example.com", json!({})).await.1["contact"]["id"].clone();
    let path = format!("/api/contacts/{path}");
    let clash = account.put(&path, json!({"contact": {"emails": "ONE@example.com"}})).await;
    assert_eq!(messages(&clash), ["ONE@example.com already exists."]);
    let list = json!([{"value": "new@example.com"}, {"value": "one@example.com"}]);
    let clash = account.put(&path, json!({"contact": {"emails": list}})).await;
    assert_eq!(messages(&clash), ["one@example.com already exists."]);
    account.stop().await;
}

/// Marks fields as unique, and returns the sandbox's answer.
async fn mark(account: &Account, form: &str, names: &[&str]) -> (u16, Value) {
    let mut fields = account.get(&format!("/api/settings/{form}/fields")).await.1;
    for row in fields["fields"].as_array_mut().unwrap() {
        if names.iter().any(|name| row["name"] == *name) {
            row["unique"] = json!(true);
        }
    }
    for name in names {
        assert_eq!(field(&fields, name)["unique"], true);
    }
    account.put(&format!("/_sandbox/fields/{form}"), fields).await
}

#[tokio::test]
async fn fields_marked_unique_are_unique_in_every_way_of_writing() {
    let account = Account::start().await;
    let four = ["cf_alternate_number", "cf_seats", "cf_plan", "cf_background"];
    assert_eq!(mark(&account, "contacts", &four).await.0, 200);
    assert_eq!(mark(&account, "contacts", &["cf_newsletter"]).await.0, 400, "at most four");
    assert_eq!(mark(&account, "sales_accounts", &["cf_vat_number", "phone"]).await.0, 200);

    let first = json!({"custom_field": {"cf_alternate_number": "Nr 1", "cf_seats": 5}});
    assert_eq!(account.upsert("one@example.com", first.clone()).await.0, 201);
    assert_eq!(account.upsert("one@example.com", first.clone()).await.0, 200, "its own values");
    let clash = json!({"custom_field": {"cf_alternate_number": " nr 1", "cf_seats": "5"}});
    let answer = account.upsert("two@example.com", clash.clone()).await;
    assert_eq!(messages(&answer), ["Alternate number is not unique", "Seats is not unique"]);
    let mut created = clash;
    created["email"] = json!("two@example.com");
    assert_eq!(account.post("/api/contacts", json!({"contact": created})).await.0, 400);
    assert_eq!(account.upsert("two@example.com", json!({"custom_field": {"cf_seats": 6}})).await.0, 201);

    let upsert =
        |name: &str, data: Value| json!({"unique_identifier": {"name": name}, "sales_account": data});
    let path = "/api/sales_accounts/upsert";
    let data = json!({"phone": "1", "custom_field": {"cf_vat_number": "DE1"}});
    assert_eq!(account.post(path, upsert("A", data.clone())).await.0, 201);
    let answer = account.post(path, upsert("B", data.clone())).await;
    let mut errors = messages(&answer);
    errors.sort_unstable();
    assert_eq!(errors, ["Phone is not unique", "VAT number is not unique"]);

    assert_eq!(account.put("/_sandbox/options", json!({"job_time_ms": 0})).await.0, 200);
    let rows = json!([{"name": "C", "data": data}, {"name": "D", "data": {"phone": "2"}}]);
    let (_, job) = account.post("/api/sales_accounts/bulk_upsert", json!({"sales_accounts": rows})).await;
    let url = job["job_status_url"].as_str().unwrap().replace(&account.url, "");
    let report: Value = serde_json::from_str(account.get(&url).await.1["data"].as_str().unwrap()).unwrap();
    assert_eq!(report["record_status"], json!({"succeeded": 1, "failed": 1}));
    account.stop().await;
}

#[tokio::test]
async fn error_messages_are_in_the_language_of_the_keys_user() {
    let account = Account::with(Options {
        locale: Locale { language: Language::German, ..Locale::default() },
        ..Options::default()
    })
    .await;
    account.sales_account("Northwind").await;
    account.upsert("one@example.com", json!({"external_id": "u-1"})).await;
    let two = account.upsert("two@example.com", json!({"external_id": "u-1", "city": 1})).await;
    assert_eq!(messages(&two), ["City ist nicht gültig", "External ID ist nicht eindeutig"]);
    let email = account.post("/api/contacts", json!({"contact": {"email": "one@example.com"}})).await;
    assert_eq!(messages(&email), ["one@example.com ist bereits vorhanden."]);
    let again = json!({"sales_account": {"name": "Northwind"}});
    let name = account.post("/api/sales_accounts", again.clone()).await;
    assert_eq!(messages(&name), ["Name ist bereits vergeben"]);
    let refusals = account.sandbox.state()["refusals"].clone();
    assert!(refusals.to_string().contains("Name has already been taken"), "{refusals}");

    let (status, options) = account.put("/_sandbox/options", json!({"language": "english"})).await;
    assert_eq!((status, &options["language"]), (200, &json!("english")));
    assert_eq!(
        messages(&account.post("/api/sales_accounts", again.clone()).await),
        ["Name has already been taken"]
    );
    account.sandbox.reset();
    assert_eq!(account.get("/_sandbox/options").await.1["language"], "german", "a reset restores it");
    account.stop().await;
}

#[tokio::test]
async fn an_invalid_option_is_refused_with_what_would_be_right() {
    let account = Account::start().await;
    let before = account.get("/_sandbox/options").await;
    for (body, word) in [
        (json!({"language": "klingon"}), "german"),
        (json!({"job_report": "rows", "colour": "red"}), "job_time_ms"),
        (json!({"job_time_ms": -1}), "job_time_ms"),
        (json!([]), "job_time_ms"),
    ] {
        let (status, answer) = account.put("/_sandbox/options", body.clone()).await;
        let error = answer["error"].as_str().unwrap();
        assert!(status == 400 && error.contains(word), "{body}: {error}");
    }
    assert_eq!(account.get("/_sandbox/options").await, before);
    account.stop().await;
}
