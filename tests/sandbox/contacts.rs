//! Contacts: identifiers, addresses, links.

use freshet::sandbox::{CustomFieldsOnPut, Options, WriteOptions};
use serde_json::{Value, json};

use crate::account::{Account, list, messages};

#[tokio::test]
async fn an_upsert_creates_then_updates_and_ignores_the_case_of_the_address() {
    let account = Account::start().await;
    let (status, body) = account.upsert("Ada@Example.com", json!({"first_name": "Ada"})).await;
    assert_eq!(status, 201);
    let id = body["contact"]["id"].as_u64().unwrap();
    assert!(id > u64::from(u32::MAX));
    assert_eq!(body["contact"]["email"], "Ada@Example.com");
    assert!(body["contact"].get("sales_accounts").is_none());
    let more = json!({"last_name": "Byron", "custom_field": {"cf_seats": "12"}});
    let (status, body) = account.upsert("ada@example.com", more).await;
    assert_eq!((status, &body["contact"]["id"]), (200, &json!(id)));
    assert_eq!(body["contact"]["first_name"], "Ada");
    assert_eq!(body["contact"]["custom_field"]["cf_seats"], 12);
    assert_eq!(body["contact"]["custom_field"]["cf_plan"], Value::Null);

    for (key, value) in [("mobile_number", "+1 555 0100"), ("external_id", "u-1")] {
        let upsert = |contact: Value| json!({"unique_identifier": {key: value}, "contact": contact});
        let email = json!({"email": format!("{key}@example.com")});
        let made = account.post("/crm/sales/api/contacts/upsert", upsert(email)).await;
        assert_eq!((made.0, &made.1["contact"][key]), (201, &json!(value)));
        let again = account.post("/api/contacts/upsert", upsert(json!({"city": "Turin"}))).await;
        assert_eq!((again.0, &again.1["contact"]["id"]), (200, &made.1["contact"]["id"]));
    }
    let two = json!({"emails": "a@example.com", "external_id": "1"});
    for identifier in [json!({}), json!({"cf_plan": "x"}), two, json!({"emails": 1}), json!(1)] {
        let body = json!({"unique_identifier": identifier, "contact": {}});
        assert_eq!(account.post("/api/contacts/upsert", body).await.0, 400, "{identifier}");
    }
    account.stop().await;
}

#[tokio::test]
async fn an_address_belongs_to_one_contact_and_one_address_is_primary() {
    let account = Account::start().await;
    let one = account.upsert("one@example.com", json!({})).await.1["contact"]["id"].clone();
    account.upsert("two@example.com", json!({})).await;
    let path = format!("/api/contacts/{one}");
    let clash = account.put(&path, json!({"contact": {"emails": "TWO@example.com"}})).await;
    assert_eq!(messages(&clash), ["TWO@example.com already exists."]);
    let clash = account.post("/api/contacts", json!({"contact": {"email": "one@example.com"}})).await;
    assert_eq!(messages(&clash), ["one@example.com already exists."]);

    let (status, body) = account.put(&path, json!({"contact": {"emails": "new@example.com"}})).await;
    assert_eq!((status, &body["contact"]["email"]), (200, &json!("new@example.com")));
    assert_eq!(list(&body["contact"]["emails"]).len(), 2);
    let emails = json!([{"value": "new@example.com", "_destroy": true}]);
    let (_, body) = account.put(&path, json!({"contact": {"emails": emails}})).await;
    assert_eq!(list(&body["contact"]["emails"]).len(), 1);
    assert_eq!(body["contact"]["email"], "one@example.com");
    assert_eq!(account.upsert("new@example.com", json!({})).await.0, 201, "the address is free again");

    let nobody = account.post("/api/contacts", json!({"contact": {"first_name": "No"}})).await;
    assert_eq!(messages(&nobody), ["Fill any one field: Emails or Mobile"]);
    account.stop().await;
}

#[tokio::test]
async fn links_to_sales_accounts_are_replaced_as_a_set() {
    let account = Account::start().await;
    let mut ids = Vec::new();
    for number in 0..11 {
        ids.push(account.sales_account(&format!("Company {number}")).await);
    }
    let link = |id: u64, is_primary: bool| json!({"id": id, "is_primary": is_primary});
    let first = json!({"sales_accounts": [link(ids[0], true), link(ids[1], false)]});
    let (status, body) = account.upsert("a@example.com", first).await;
    assert_eq!((status, body["contact"].get("sales_accounts")), (201, None));
    let path = format!("/api/contacts/{}", body["contact"]["id"]);
    let body = account.get(&format!("{path}?include=sales_accounts")).await.1;
    assert_eq!(body["contact"]["sales_accounts"][0]["name"], "Company 0");
    assert_eq!(body["contact"]["sales_accounts"][1]["is_primary"], false);

    let with = |links: Value| json!({"contact": {"sales_accounts": links}});
    let all: Vec<Value> = ids.iter().enumerate().map(|(at, id)| link(*id, at == 0)).collect();
    for (links, message) in [
        (json!(all), "Accounts can be at most 10"),
        (json!([link(ids[2], false)]), "Accounts should have one primary account"),
        (json!([link(ids[2], true), link(ids[3], true)]), "Accounts should have one primary account"),
        (json!([link(ids[2], true), link(ids[2], false)]), "Accounts has the same account twice"),
        (json!([ids[2]]), "The type for sales_accounts is invalid."),
    ] {
        assert_eq!(messages(&account.put(&path, with(links)).await), [message]);
    }
    assert_eq!(account.put(&path, with(json!(all[..10]))).await.0, 200);
    assert_eq!(account.put(&path, with(json!([link(ids[2], true)]))).await.0, 200);
    let links = account.sandbox.state()["contacts"][0]["sales_accounts"].clone();
    assert_eq!(list(&links).len(), 1, "the others are gone");
    assert_eq!(links[0]["id"], ids[2]);
    assert_eq!(account.put(&path, json!({"contact": {"city": "Oslo"}})).await.0, 200);
    assert_eq!(
        account.sandbox.state()["contacts"][0]["sales_accounts"],
        links,
        "kept when the body has no links"
    );
    account.stop().await;
}

#[tokio::test]
async fn a_put_merges_custom_fields_or_replaces_them_as_the_option_says() {
    for (custom_fields_on_put, plan) in
        [(CustomFieldsOnPut::Merge, json!("Free")), (CustomFieldsOnPut::Replace, Value::Null)]
    {
        let writes = WriteOptions { custom_fields_on_put, ..WriteOptions::default() };
        let account = Account::with(Options { writes, ..Options::default() }).await;
        let made = account.upsert("a@example.com", json!({"custom_field": {"cf_plan": "Free"}})).await.1;
        let path = format!("/api/contacts/{}", made["contact"]["id"]);
        let (_, body) = account.put(&path, json!({"contact": {"city": "Lima"}})).await;
        assert_eq!(body["contact"]["custom_field"]["cf_plan"], "Free");
        let (_, body) = account.put(&path, json!({"contact": {"custom_field": {"cf_seats": 2}}})).await;
        assert_eq!(body["contact"]["custom_field"]["cf_plan"], plan, "{custom_fields_on_put:?}");
        assert_eq!(body["contact"]["custom_field"]["cf_seats"], 2);
        account.stop().await;
    }
}

/// A contact's addresses, the primary one first.
fn addresses(body: &Value) -> Vec<&str> {
    let contact = &body["contact"];
    let rows = list(&contact["emails"]);
    assert_eq!(rows.iter().filter(|row| row["is_primary"] == true).count(), 1, "{contact}");
    let primary = rows.iter().filter(|row| row["is_primary"] == true);
    let others = rows.iter().filter(|row| row["is_primary"] == false);
    let all: Vec<&str> = primary.chain(others).map(|row| row["value"].as_str().unwrap()).collect();
    assert_eq!(contact["email"], all[0]);
    all
}

#[tokio::test]
async fn a_list_of_addresses_in_a_put_merges_or_replaces_as_the_option_says() {
    for option in ["merge", "replace"] {
        let account = Account::start().await;
        assert_eq!(account.put("/_sandbox/options", json!({"emails_on_put": option})).await.0, 200);
        let id = account.upsert("one@example.com", json!({})).await.1["contact"]["id"].clone();
        let path = format!("/api/contacts/{id}");
        let put = async |emails: Value| account.put(&path, json!({"contact": {"emails": emails}})).await;
        let (_, body) = put(json!("two@example.com")).await;
        assert_eq!(addresses(&body), ["two@example.com", "one@example.com"], "a text is no list");
        let (_, body) = put(json!([{"value": "three@example.com", "is_primary": true}])).await;
        match option {
            "merge" => {
                assert_eq!(addresses(&body), ["three@example.com", "one@example.com", "two@example.com"]);
            }
            _ => assert_eq!(addresses(&body), ["three@example.com"]),
        }
        let (_, body) = put(json!([{"value": "one@example.com"}, {"value": "Three@example.com"}])).await;
        assert_eq!(addresses(&body)[..2], ["three@example.com", "one@example.com"], "the primary one stays");
        account.upsert("three@example.com", json!({"emails": [{"value": "four@example.com"}]})).await;
        let (_, body) = account.get(&path).await;
        assert!(addresses(&body).contains(&"one@example.com"), "an upsert only adds");
        account.stop().await;
    }
}

#[tokio::test]
async fn entries_with_an_id_move_the_primary_change_and_remove() {
    let account = Account::start().await;
    let id = account.upsert("one@example.com", json!({})).await.1["contact"]["id"].clone();
    let path = format!("/api/contacts/{id}");
    let put = async |emails: Value| account.put(&path, json!({"contact": {"emails": emails}})).await;
    let (_, body) = put(json!([{"value": "two@example.com"}])).await;
    let entry = |body: &Value, address: &str| {
        let rows = list(&body["contact"]["emails"]).clone();
        rows.into_iter().find(|row| row["value"] == address).unwrap()["id"].clone()
    };
    let (one, two) = (entry(&body, "one@example.com"), entry(&body, "two@example.com"));
    let (_, body) = put(json!([{"id": two, "is_primary": true}])).await;
    assert_eq!(addresses(&body), ["two@example.com", "one@example.com"]);
    let (_, body) = put(json!([{"id": one, "value": "uno@example.com", "is_primary": true}])).await;
    assert_eq!(addresses(&body), ["uno@example.com", "two@example.com"]);
    assert_eq!(entry(&body, "uno@example.com"), one);
    let (_, body) = put(json!([{"id": one, "value": "uno@example.com", "_destroy": true}])).await;
    assert_eq!(addresses(&body), ["two@example.com"], "another one is primary then");
    for wrong in
        [json!([{"id": one}]), json!([{}]), json!([{"id": two, "value": 5}]), json!(["x@example.com"])]
    {
        assert_eq!(messages(&put(wrong.clone()).await), ["Emails is invalid"], "{wrong}");
    }
    let two_primaries =
        json!([{"id": two, "is_primary": true}, {"value": "x@example.com", "is_primary": true}]);
    assert_eq!(messages(&put(two_primaries).await), ["Emails can have only one primary"]);
    account.stop().await;
}

#[tokio::test]
async fn a_contact_has_at_most_ten_addresses() {
    let account = Account::start().await;
    let id = account.upsert("a0@example.com", json!({})).await.1["contact"]["id"].clone();
    let path = format!("/api/contacts/{id}");
    let list = |count: usize| {
        let entries: Vec<Value> =
            (0..count).map(|at| json!({"value": format!("a{at}@example.com")})).collect();
        json!({"contact": {"emails": entries}})
    };
    assert_eq!(account.put(&path, list(10)).await.0, 200);
    assert_eq!(messages(&account.put(&path, list(11)).await), ["Emails can be at most 10"]);
    let eleventh = account.put(&path, json!({"contact": {"emails": "new@example.com"}})).await;
    assert_eq!(messages(&eleventh), ["Emails can be at most 10"]);
    account.stop().await;
}
