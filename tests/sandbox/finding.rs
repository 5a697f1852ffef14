//! Look-up, search and filtered search.

use reqwest::Method;
use serde_json::json;

use crate::account::{Account, answer, list};

#[tokio::test]
async fn records_are_found_by_lookup_search_and_filter() {
    let account = Account::start().await;
    let contact = json!({"first_name": "Grace", "external_id": "u-7", "custom_field": {"cf_plan": "Free"}});
    let id = account.upsert("grace@example.org", contact).await.1["contact"]["id"].clone();
    account.upsert("other@example.org", json!({})).await;
    for (f, q) in [("email", "GRACE@example.org"), ("external_id", "u-7"), ("cf_plan", "Free")] {
        let found = account.get(&format!("/api/lookup?q={q}&f={f}&entities=contact")).await.1;
        let rows = list(&found["contacts"]["contacts"]);
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &id), "{f}");
    }
    let nobody = account.get("/api/lookup?q=u-8&f=external_id&entities=contact").await;
    assert_eq!(nobody, (200, json!({"contacts": {"contacts": []}})));
    assert_eq!(account.get("/api/lookup?q=x&f=no_such_field&entities=contact").await.0, 400);
    let found = account.get("/api/search?q=grac&include=contact,deal").await.1;
    assert_eq!((list(&found).len(), &found[0]["id"]), (1, &json!(id.to_string())));
    let rule = json!({"attribute": "contact_email.email", "operator": "is_in", "value": "grace@example.org"});
    let found = account.post("/api/filtered_search/contact", json!({"filter_rule": [rule]})).await.1;
    assert_eq!((&found["meta"]["total"], &found["contacts"][0]["id"]), (&json!(1), &id));
    assert!(found["contacts"][0].get("custom_field").is_none());
    let path = format!("/api/contacts/{id}");
    assert_eq!(answer(account.send(Method::DELETE, &path, None).await).await, (200, json!(true)));
    assert_eq!(account.get(&path).await.0, 404);
    account.stop().await;
}
