//! Values that are refused, stored, or ignored without an error.

use serde_json::{Value, json};

use crate::account::{Account, field, list, messages};

#[tokio::test]
async fn every_refusal_names_its_field_and_changes_nothing() {
    let account = Account::start().await;
    assert_eq!(account.upsert("a@example.com", json!({"first_name": "Before"})).await.0, 201);
    let default_fields = [
        (json!({"first_name": "é".repeat(256)}), "First name is too long (maximum is 255 characters)"),
        (json!({"first_name": 5}), "First name is invalid"),
        (json!({"first_name": true}), "First name is invalid"),
        (json!({"lifecycle_stage_id": "Lead"}), "Lifecycle stage is not included in the list"),
        (json!({"lifecycle_stage_id": 1}), "Lifecycle stage is not included in the list"),
        (json!({"territory_id": 1}), "Territory is not included in the list"),
        (json!({"total_sessions": "many"}), "Total sessions is not a number"),
        (json!({"total_sessions": ""}), "Total sessions is not a number"),
        (json!({"subscription_types": "Newsletter"}), "Subscription types is not included in the list"),
        (json!({"subscription_types": [2]}), "Subscription types is invalid"),
        (json!({"tags": "vip"}), "Tags is invalid"),
        (json!({"phone_numbers": [{"label": "Home"}]}), "Other phone numbers is invalid"),
        (json!({"last_seen_chat": "yesterday"}), "Last seen on chat is not a valid date"),
        (json!({"last_seen_chat": "2024-02-30"}), "Last seen on chat is not a valid date"),
        (json!({"last_seen_chat": "2024-02-03T10:00:00"}), "Last seen on chat is not a valid date"),
        (json!({"emails": "no address"}), "Email is invalid"),
        (json!({"emails": "a@localhost"}), "Email is invalid"),
        (json!({"emails": 5}), "Emails is invalid"),
        (json!({"sales_accounts": "Acme"}), "The type for sales_accounts is invalid."),
        (json!({"sales_accounts": [{"id": 1, "is_primary": true}]}), "Accounts is invalid"),
        (json!({"custom_field": []}), "Custom field is invalid"),
    ];
    let custom_fields = [
        (json!({"cf_seats": "a few"}), "Seats is not a number"),
        (json!({"cf_seats": true}), "Seats is not a number"),
        (json!({"cf_plan": "Platinum"}), "Plan is not included in the list"),
        (json!({"cf_plan": "team"}), "Plan is not included in the list"),
        (json!({"cf_plan": ["Team"]}), "Plan is invalid"),
        (json!({"cf_preferred_channel": "Fax"}), "Preferred channel is not included in the list"),
        (json!({"cf_interests": "Analytics;Chess"}), "Interests is not included in the list"),
        (json!({"cf_newsletter": "true"}), "Newsletter is invalid"),
        (json!({"cf_newsletter": 1}), "Newsletter is invalid"),
        (json!({"cf_trial_ends_on": 1_700_000_000}), "Trial ends on is not a valid date"),
        (json!({"cf_last_demo_at": "soon"}), "Last demo at is not a valid date and time"),
        (json!({"cf_referred_by": 77}), "Referred by is invalid"),
        (json!({"cf_alternate_number": 5}), "Alternate number is invalid"),
    ];
    let custom_fields = custom_fields.map(|(custom, message)| (json!({"custom_field": custom}), message));
    let count = default_fields.len() + custom_fields.len();
    for (mut contact, message) in default_fields.into_iter().chain(custom_fields) {
        contact["last_name"] = json!("After");
        let answer = account.upsert("a@example.com", contact.clone()).await;
        assert_eq!(messages(&answer), [message], "{contact}");
    }
    let both = account.upsert("a@example.com", json!({"city": 1, "custom_field": {"cf_seats": "x"}})).await;
    assert_eq!(messages(&both), ["City is invalid", "Seats is not a number"]);
    let state = account.sandbox.state();
    assert_eq!(list(&state["contacts"]).len(), 1);
    assert_eq!(state["contacts"][0]["first_name"], "Before");
    assert!(state["contacts"][0].get("last_name").is_none());
    assert_eq!(list(&state["refusals"]).len(), count + 1);
    account.stop().await;
}

#[tokio::test]
async fn valid_values_come_back_in_the_form_of_the_api() {
    let account = Account::start().await;
    let friend = account.upsert("friend@example.com", json!({})).await.1["contact"]["id"].clone();
    let fields = account.get("/api/settings/contacts/fields?include=field_group").await.1;
    let stage = field(&fields, "lifecycle_stage_id")["choices"][0]["id"].as_str().unwrap();
    let contact = json!({
        "first_name": "é".repeat(255),
        "lifecycle_stage_id": stage,
        "subscription_types": "2;4",
        "time_zone": "Berlin",
        "tags": ["vip"],
        "phone_numbers": [{"value": "+1 555 0101"}],
        "last_seen_chat": "2024-05-04T23:30:00-02:00",
        "custom_field": {
            "cf_background": "x".repeat(300),
            "cf_seats": "9007199254740993",
            "cf_plan": "Team",
            "cf_interests": "Security;Analytics",
            "cf_newsletter": false,
            "cf_trial_ends_on": "2025-01-31",
            "cf_preferred_channel": "Chat",
            "cf_account_manager": 402_000_000_101_u64,
            "cf_referred_by": friend.to_string(),
            "cf_last_demo_at": "2021-05-04T17:00:00+05:30",
        },
    });
    let (status, body) = account.upsert("all@example.com", contact.clone()).await;
    assert_eq!(status, 201, "{body}");
    for name in ["first_name", "subscription_types", "time_zone", "tags"] {
        assert_eq!(contact[name], body["contact"][name], "{name}");
    }
    let (sent, kept) = (&contact["custom_field"], &body["contact"]["custom_field"]);
    let same = ["cf_background", "cf_plan", "cf_interests", "cf_newsletter", "cf_trial_ends_on"];
    for name in same.into_iter().chain(["cf_preferred_channel", "cf_account_manager", "cf_last_demo_at"]) {
        assert_eq!(sent[name], kept[name], "{name}");
    }
    assert_eq!(kept["cf_seats"].to_string(), "9007199254740993");
    assert_eq!(kept["cf_referred_by"], friend);
    assert_eq!(body["contact"]["lifecycle_stage_id"].to_string(), stage);
    assert_eq!(body["contact"]["last_seen_chat"], "2024-05-05", "a moment becomes the account's day");
    assert_eq!(body["contact"]["phone_numbers"][0]["value"], "+1 555 0101");

    let cleared = json!({"time_zone": null, "custom_field": {"cf_plan": null}});
    let (_, body) = account.upsert("all@example.com", cleared).await;
    assert_eq!(body["contact"]["time_zone"], Value::Null);
    assert_eq!(body["contact"]["custom_field"]["cf_plan"], Value::Null);
    account.stop().await;
}

#[tokio::test]
async fn ignored_values_are_answered_with_200_and_change_nothing() {
    let account = Account::start().await;
    let before = json!({"first_name": "Ada", "custom_field": {"cf_plan": "Team"}});
    assert_eq!(account.upsert("a@example.com", before).await.0, 201);
    let unchanged = account.sandbox.state()["contacts"][0].clone();
    let fields = account.get("/api/settings/contacts/fields").await.1;
    let other = field(&fields, "cf_plan")["choices"][3]["id"].clone();
    for contact in [
        json!({"custom_field": {"cf_plan": other}}),
        json!({"custom_field": {"cf_plan": other.to_string()}}),
        json!({"custom_field": {"cf_plan": 12}}),
        json!({"custom_fields": {"cf_plan": "Free"}}),
        json!({"cf_plan": "Free"}),
        json!({"custom_field": {"cf_nobody_knows": 1, "first_name": "Eve"}}),
        json!({"favourite_colour": "red"}),
        json!({"lead_score": 99, "created_at": "2001-01-01", "recent_note": "hello"}),
    ] {
        let (status, _) = account.upsert("a@example.com", contact.clone()).await;
        let mut now = account.sandbox.state()["contacts"][0].clone();
        now["updated_at"] = unchanged["updated_at"].clone();
        assert_eq!((status, &now), (200, &unchanged), "{contact}");
    }
    account.stop().await;
}

#[tokio::test]
async fn a_drop_down_of_ranges_takes_a_count_and_keeps_the_ranges_start() {
    let account = Account::start().await;
    let upsert = async |employees: Value| {
        let upsert =
            json!({"unique_identifier": {"name": "A"}, "sales_account": {"number_of_employees": employees}});
        account.post("/api/sales_accounts/upsert", upsert).await
    };
    for (count, start) in [
        (json!(1), 1),
        (json!(50), 11),
        (json!("250"), 201),
        (json!(250.0), 201),
        (json!(501), 501),
        (json!(9_999_999), 10_001),
    ] {
        let (_, body) = upsert(count.clone()).await;
        assert_eq!(body["sales_account"]["number_of_employees"], start, "{count}");
    }
    for wrong in [json!(0), json!(-5), json!(12.5), json!("11-50"), json!("many")] {
        let refused = upsert(wrong.clone()).await;
        assert_eq!(messages(&refused), ["Number of employees is not included in the list"], "{wrong}");
    }
    account.stop().await;
}

#[tokio::test]
async fn whole_numbers_are_read_in_any_of_their_forms_and_large_amounts_are_refused() {
    let account = Account::start().await;
    let raw = async |path: &str, body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        account.post(path, body).await
    };
    let contact = r#"{"unique_identifier":{"emails":"a@example.com"},"contact":{"lead_source_id":4.02000100007e11,"total_sessions":3.0}}"#;
    let (status, body) = raw("/api/contacts/upsert", contact).await;
    assert_eq!((status, &body["contact"]["lead_source_id"]), (201, &json!(402_000_100_007_u64)));
    assert_eq!(body["contact"]["total_sessions"].as_f64(), Some(3.0));
    for amount in ["9007199254740992", "1e300", "\"9007199254740992\""] {
        let deal = format!(r#"{{"deal":{{"name":"D","amount":{amount}}}}}"#);
        let refused = raw("/api/deals", &deal).await;
        assert_eq!(messages(&refused), ["Amount must be less than or equal to 9007199254740991"], "{amount}");
    }
    assert_eq!(raw("/api/deals", r#"{"deal":{"name":"D","amount":9007199254740991}}"#).await.0, 200);
    account.stop().await;
}

#[tokio::test]
async fn a_bad_expected_close_is_stored_as_nothing_without_an_error() {
    let account = Account::start().await;
    let upsert = async |close: Value| {
        let deal = json!({"amount": 1, "expected_close": close});
        let body = json!({"unique_identifier": {"name": "D"}, "deal": deal});
        let (status, body) = account.post("/api/deals/upsert", body).await;
        assert!(status < 300, "{body}");
        body["deal"]["expected_close"].clone()
    };
    for bad in [json!("soon"), json!("2024-02-30"), json!(1_700_000_000), json!("31/12/2025")] {
        assert_eq!(upsert(json!("2025-12-31")).await, "2025-12-31");
        assert_eq!(upsert(bad.clone()).await, Value::Null, "{bad}");
    }
    let deal = json!({"name": "E", "amount": 1, "closed_date": "soon"});
    let other = account.post("/api/deals", json!({"deal": deal})).await;
    assert_eq!(messages(&other), ["Closed date is not a valid date"], "only this field is known to do so");
    account.stop().await;
}

#[tokio::test]
async fn null_clears_a_field_and_tags_replace_those_that_are_there() {
    let account = Account::start().await;
    let contact = json!({"city": "Oslo", "tags": ["a", "b"], "lead_source_id": 402_000_100_007_u64,
        "custom_field": {"cf_plan": "Team", "cf_interests": "Security"}});
    account.upsert("a@example.com", contact).await;
    let (_, body) = account.upsert("a@example.com", json!({"tags": ["c"]})).await;
    assert_eq!(body["contact"]["tags"], json!(["c"]));
    let cleared = json!({"city": null, "tags": null, "lead_source_id": null,
        "custom_field": {"cf_plan": null, "cf_interests": null}});
    let (status, body) = account.upsert("a@example.com", cleared).await;
    assert_eq!(status, 200);
    let contact = &body["contact"];
    assert_eq!((&contact["city"], &contact["lead_source_id"]), (&Value::Null, &Value::Null));
    assert_eq!(contact["tags"], json!([]));
    assert_eq!(
        (&contact["custom_field"]["cf_plan"], &contact["custom_field"]["cf_interests"]),
        (&Value::Null, &Value::Null)
    );
    account.stop().await;
}

#[tokio::test]
async fn every_way_to_create_needs_the_required_fields_and_no_update_does() {
    const MISSING: [&str; 1] = ["Source can't be empty"];
    let account = Account::start().await;
    let old = account.upsert("old@example.com", json!({})).await.1["contact"]["id"].clone();
    let mut fields = account.get("/api/settings/contacts/fields").await.1;
    let rows = fields["fields"].as_array_mut().unwrap();
    rows.iter_mut().find(|field| field["name"] == "lead_source_id").unwrap()["required"] = json!(true);
    account.put("/_sandbox/fields/contacts", fields).await;
    account.put("/_sandbox/options", json!({"job_time_ms": 0})).await;
    assert_eq!(messages(&account.upsert("new@example.com", json!({"city": "Oslo"})).await), MISSING);
    let created = json!({"contact": {"email": "new@example.com"}});
    assert_eq!(messages(&account.post("/api/contacts", created).await), MISSING);
    assert_eq!(account.upsert("old@example.com", json!({"city": "Oslo"})).await.0, 200);
    let path = format!("/api/contacts/{old}");
    assert_eq!(account.put(&path, json!({"contact": {"city": "Rome"}})).await.0, 200);
    let rows = json!([
        {"emails": "old@example.com", "data": {"city": "Bonn"}},
        {"id": old, "data": {"city": "Bonn"}},
        {"emails": "new@example.com", "data": {"city": "Bonn"}},
    ]);
    let taken = account.post("/api/contacts/bulk_upsert", json!({"contacts": rows})).await.1;
    let url = taken["job_status_url"].as_str().unwrap().replace(&account.url, "");
    let report: Value = serde_json::from_str(account.get(&url).await.1["data"].as_str().unwrap()).unwrap();
    assert_eq!(report["record_status"], json!({"succeeded": 2, "failed": 1}));
    assert_eq!(report["detailed_failure_report"][0]["message"], json!(MISSING));
    account.stop().await;
}
