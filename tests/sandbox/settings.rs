//! Metadata and options, set before or while the sandbox runs.

use freshet::sandbox::{FieldFiles, FieldsError, Options};
use reqwest::Method;
use serde_json::{Value, json};

use crate::account::{Account, list, messages};

#[tokio::test]
async fn a_reset_empties_everything_and_restores_the_fields() {
    let account = Account::with(Options { requests_per_hour: Some(3), ..Options::default() }).await;
    account.upsert("a@example.com", json!({})).await;
    account.sales_account("Northwind").await;
    account.faults(json!({"endpoint": "*", "action": {"status": 500}})).await;
    assert_eq!(account.put("/_sandbox/fields/contacts", json!({"fields": []})).await.0, 200);
    assert_eq!(account.post("/_sandbox/reset", json!({})).await.0, 200);
    let state = account.get("/_sandbox/state").await.1;
    for key in ["contacts", "sales_accounts", "deals", "activities", "jobs", "log", "refusals"] {
        assert_eq!(state[key], json!([]), "{key}");
    }
    assert_eq!((&state["requests"], &state["total_requests"]), (&json!({}), &json!(0)));
    let response = account.send(Method::GET, "/api/settings/contacts/fields", None).await;
    assert_eq!(response.headers()["x-ratelimit-remaining"], "2");
    assert!(list(&response.json::<Value>().await.unwrap()["fields"]).len() > 70);
    account.stop().await;
}

#[tokio::test]
async fn a_field_can_be_added_or_made_required_while_it_runs() {
    let account = Account::start().await;
    let path = "/api/settings/contacts/fields";
    let mut fields = account.get(path).await.1;
    let rows = fields["fields"].as_array_mut().unwrap();
    rows.iter_mut().find(|field| field["name"] == "lead_source_id").unwrap()["required"] = json!(true);
    let shoe =
        json!({"id": 9, "label": "Shoe size", "name": "cf_shoe_size", "type": "number", "default": false});
    rows.push(shoe);
    assert_eq!(account.put("/_sandbox/fields/contacts", fields.clone()).await.0, 200);
    assert_eq!(account.get(path).await.1, fields);
    let refused = account.upsert("a@example.com", json!({"custom_field": {"cf_shoe_size": "big"}})).await;
    assert_eq!(messages(&refused), ["Source can't be empty", "Shoe size is not a number"]);
    for (word, body) in
        [("contacts", json!({"fields": [{"type": "text"}]})), ("contacts", json!({})), ("leads", fields)]
    {
        let (status, body) = account.put(&format!("/_sandbox/fields/{word}"), body).await;
        assert!(status == 400 && body["error"].is_string(), "{body}");
    }
    account.stop().await;
}

#[tokio::test]
async fn fields_come_from_a_directory_and_the_others_are_built_in() {
    let directory = tempfile::tempdir().unwrap();
    let load = || FieldFiles::load(directory.path());
    assert!(matches!(load(), Err(FieldsError::NoFiles(_))));
    std::fs::write(directory.path().join("contacts.json"), "{").unwrap();
    let problem = load().err().unwrap().to_string();
    assert!(problem.contains("contacts.json") && problem.contains("EOF"), "{problem}");
    let missing = FieldFiles::load(&directory.path().join("none"));
    assert!(matches!(missing, Err(FieldsError::NoDirectory(_))));
    let nick =
        json!({"id": 1, "label": "Nick", "name": "cf_nick", "type": "text", "default": false, "more": 1});
    let only = json!({"fields": [nick]});
    std::fs::write(directory.path().join("contacts.json"), only.to_string()).unwrap();
    let account = Account::with(Options { fields: load().unwrap(), ..Options::default() }).await;
    assert_eq!(account.get("/api/settings/contacts/fields").await.1, only);
    for word in ["sales_accounts", "deals", "sales_activities"] {
        let fields = account.get(&format!("/api/settings/{word}/fields")).await.1;
        assert!(list(&fields["fields"]).len() > 10, "{word}");
    }
    account.stop().await;
}
