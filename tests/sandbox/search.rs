//! Look-up, search and filtered search.

use std::time::Duration;

use freshet::sandbox::{JobOptions, Options};
use reqwest::Method;
use serde_json::{Value, json};

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

fn rule(attribute: &str, value: &Value) -> Value {
    json!({"filter_rule": [{"attribute": attribute, "operator": "is_in", "value": value}]})
}

#[tokio::test]
async fn a_filtered_search_takes_many_values_and_answers_in_pages() {
    let account = Account::start().await;
    let mut ids = Vec::new();
    for at in 0..30 {
        let body =
            account.upsert(&format!("c{at}@example.com"), json!({"custom_field": {"cf_seats": 1}})).await.1;
        ids.push(body["contact"]["id"].clone());
    }
    let emails: Vec<String> = (0..40).map(|at| format!("C{at}@example.com")).collect();
    let body = rule("contact_email.email", &json!(emails));
    let page = async |query: &str| {
        let (status, found) =
            account.post(&format!("/api/filtered_search/contact{query}"), body.clone()).await;
        assert_eq!((status, &found["meta"]["total"]), (200, &json!(30)));
        list(&found["contacts"]).iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(page("").await, ids[..25]);
    assert_eq!(page("?page=2").await, ids[25..]);
    assert_eq!(page("?per_page=100&page=1").await, ids);
    assert_eq!(page("?per_page=1000").await, ids);
    assert_eq!(page("?per_page=10&page=3").await, ids[20..]);
    assert!(page("?page=9").await.is_empty());
    let none = account.post("/api/filtered_search/contact", rule("contact_email.email", &json!([]))).await;
    assert_eq!(none.1["contacts"], json!([]));
    account.stop().await;
}

#[tokio::test]
async fn a_filtered_search_finds_records_of_all_three_entities_with_related_records() {
    let account = Account::start().await;
    let sales_account = account.sales_account("Northwind").await;
    let link = json!({"sales_accounts": [{"id": sales_account, "is_primary": true}]});
    let contact = account.upsert("ada@example.com", link).await.1["contact"]["id"].clone();
    let deal = json!({"name": "Renewal", "amount": 1, "sales_account_id": sales_account, "contacts_added_list": [contact]});
    let deal = account.post("/api/deals", json!({"deal": deal})).await.1["deal"]["id"].clone();
    let cases = [
        (
            "contact",
            "contacts",
            rule("contact_email.email", &json!("ada@example.com")),
            "sales_accounts,deals",
        ),
        ("sales_account", "sales_accounts", rule("name", &json!(["northwind"])), "contacts,deals"),
        ("deal", "deals", rule("name", &json!(["Renewal"])), "contacts,sales_account"),
        ("deal", "deals", rule("id", &json!([deal])), "contacts,sales_account"),
    ];
    for honoured in [true, false] {
        let option = if honoured { "honoured" } else { "ignored" };
        assert_eq!(account.put("/_sandbox/options", json!({"search_include": option})).await.0, 200);
        for (word, plural, body, include) in &cases {
            let path = format!("/api/filtered_search/{word}?include={include}");
            let (status, found) = account.post(&path, body.clone()).await;
            assert_eq!((status, list(&found[plural]).len()), (200, 1), "{found}");
            let row = &found[plural][0];
            assert!(row.get("custom_field").is_none(), "rows lack custom fields");
            for key in include.split(',').filter(|key| !(*word == "deal" && *key == "contacts")) {
                assert_eq!(row.get(key).is_some(), honoured, "{word} {key}");
            }
        }
    }
    assert_eq!(account.post("/api/filtered_search/deal", rule("no_such", &json!("x"))).await.0, 400);
    assert_eq!(account.post("/api/filtered_search/lead", rule("name", &json!("x"))).await.0, 404);
    account.put("/_sandbox/options", json!({"search_include": "honoured", "included_deals": "beside"})).await;
    let path = "/api/filtered_search/contact?include=deals";
    let found = account.post(path, rule("contact_email.email", &json!("ada@example.com"))).await.1;
    assert_eq!((&found["deals"][0]["id"], &found["contacts"][0]["deal_ids"]), (&deal, &json!([deal])));
    account.stop().await;
}

#[tokio::test]
async fn searches_lag_behind_writes_while_reads_and_upserts_do_not() {
    let account = Account::start().await;
    let seen = async |email: &str, external_id: &str| {
        let lookup =
            account.get(&format!("/api/lookup?q={external_id}&f=external_id&entities=contact")).await.1;
        let body = rule("contact_email.email", &json!([email]));
        let filtered = account.post("/api/filtered_search/contact", body).await.1;
        let search = account.get(&format!("/api/search?q={email}&include=contact")).await.1;
        [&lookup["contacts"]["contacts"], &filtered["contacts"], &search].map(|rows| list(rows).len())
    };
    let delay = async |ms: u64| {
        assert_eq!(account.put("/_sandbox/options", json!({"search_delay_ms": ms})).await.0, 200);
    };
    let id =
        account.upsert("old@example.com", json!({"external_id": "u-1"})).await.1["contact"]["id"].clone();
    assert_eq!(seen("old@example.com", "u-1").await, [1, 1, 1], "at once where there is no delay");

    delay(3_600_000).await;
    assert_eq!(account.upsert("new@example.com", json!({"external_id": "u-2"})).await.0, 201);
    assert_eq!(seen("new@example.com", "u-2").await, [0, 0, 0], "not there yet");
    assert_eq!(account.upsert("new@example.com", json!({"city": "Oslo"})).await.0, 200, "an upsert finds it");
    assert_eq!(seen("new@example.com", "u-2").await, [0, 0, 0], "another write does not bring it out");
    let path = format!("/api/contacts/{id}");
    let change = json!({"contact": {"external_id": "u-9", "emails": "newer@example.com"}});
    let (_, body) = account.put(&path, change).await;
    assert_eq!(body["contact"]["external_id"], "u-9");
    assert_eq!(account.get(&path).await.1["contact"]["external_id"], "u-9", "a read sees it");
    assert_eq!(seen("old@example.com", "u-1").await, [1, 1, 1], "as it was");
    assert_eq!(seen("newer@example.com", "u-9").await, [0, 0, 0]);
    account.send(Method::DELETE, &path, None).await;
    assert_eq!(account.get(&path).await.0, 404);
    assert_eq!(seen("old@example.com", "u-1").await, [1, 1, 1], "still found");
    account.sandbox.reset();
    assert_eq!(account.get("/_sandbox/options").await.1["search_delay_ms"], 0);

    delay(200).await;
    let start = tokio::time::Instant::now();
    assert_eq!(account.upsert("late@example.com", json!({"external_id": "u-3"})).await.0, 201);
    while seen("late@example.com", "u-3").await != [1, 1, 1] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    account.stop().await;
}

#[tokio::test]
async fn a_hundred_records_of_many_are_found_in_one_answer() {
    let account = Account::with(Options {
        requests_per_hour: Some(100_000),
        jobs: JobOptions { shortest: Duration::ZERO, ..JobOptions::default() },
        ..Options::default()
    })
    .await;
    let company = account.sales_account("Northwind").await;
    for page in 0..3 {
        let record = |at: usize| {
            let links = json!([{"id": company, "is_primary": true}]);
            json!({"emails": format!("c{at}@example.com"), "data": {"sales_accounts": links}})
        };
        let records: Vec<Value> = (page * 100..(page + 1) * 100).map(record).collect();
        account.post("/api/contacts/bulk_upsert", json!({"contacts": records})).await;
        let records: Vec<Value> = (page * 100..(page + 1) * 100)
            .map(|at| json!({"name": format!("Company {at}"), "data": {}}))
            .collect();
        account.post("/api/sales_accounts/bulk_upsert", json!({"sales_accounts": records})).await;
    }
    for (first, second) in [("c7@example.com", "seven@example.com"), ("c8@example.com", "eight@example.com")]
    {
        let both = json!([{"value": first, "is_primary": true}, {"value": second}]);
        account.upsert(first, json!({"emails": both})).await;
    }

    let mut emails: Vec<String> = (0..96).map(|at| format!("C{}@Example.com", at * 3)).collect();
    let others = ["nobody@example.com", "Seven@example.com", "c7@example.com", "eight@example.com"];
    emails.extend(others.map(str::to_owned));
    let path = "/api/filtered_search/contact?per_page=100&page=1&include=sales_accounts,deals";
    let (status, found) = account.post(path, rule("contact_email.email", &json!(emails))).await;
    assert_eq!((status, &found["meta"]["total"], list(&found["contacts"]).len()), (200, &json!(98), 98));
    for row in list(&found["contacts"]) {
        let link = &row["sales_accounts"][0];
        assert_eq!(
            (&link["id"], &link["is_primary"], &row["deals"]),
            (&json!(company), &json!(true), &json!([]))
        );
    }
    let by_second = list(&found["contacts"]).iter().filter(|row| row["emails"].get(1).is_some());
    let by_second: Vec<_> = by_second.map(|row| row["email"].as_str().unwrap()).collect();
    assert_eq!(by_second, ["c7@example.com", "c8@example.com"], "by either address, and shown once");

    let names: Vec<String> = (200..300).map(|at| format!("COMPANY {at}")).collect();
    let path = "/api/filtered_search/sales_account?per_page=100&page=1&include=sales_accounts,deals";
    let (status, found) = account.post(path, rule("name", &json!(names))).await;
    assert_eq!((status, &found["meta"]["total"]), (200, &json!(100)));
    let found: Vec<_> =
        list(&found["sales_accounts"]).iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(found, (200..300).map(|at| format!("Company {at}")).collect::<Vec<_>>());
    account.stop().await;
}

#[tokio::test]
async fn an_account_may_make_less_of_a_filter_or_of_what_to_include() {
    let account = Account::start().await;
    let mut emails = Vec::new();
    for at in 0..30 {
        let email = format!("c{at}@example.com");
        account.upsert(&email, json!({})).await;
        emails.push(email);
    }
    let path = "/api/filtered_search/contact?per_page=100&include=sales_accounts,deals";
    let found = async |option: &str, word: &str, value: Value| {
        assert_eq!(account.put("/_sandbox/options", json!({option: word})).await.0, 200);
        let (status, found) = account.post(path, rule("contact_email.email", &value)).await;
        assert_eq!(status, 200, "{found}");
        let rows = list(&found["contacts"]);
        assert_eq!(found["meta"]["total"], rows.len());
        rows.iter().map(|row| row["email"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let last = json!(emails[29]);
    for (word, all, one_in_a_list, one) in [
        ("honoured", 0..30, 29..30, 29..30),
        ("one_value", 0..0, 0..0, 29..30),
        ("first_25", 0..25, 29..30, 29..30),
        ("ignored", 0..30, 0..30, 0..30),
    ] {
        assert_eq!(found("search_filter", word, json!(emails)).await, emails[all], "{word}");
        assert_eq!(found("search_filter", word, json!([last])).await, emails[one_in_a_list], "{word}");
        assert_eq!(found("search_filter", word, last.clone()).await, emails[one], "{word}");
    }
    assert_eq!(found("search_filter", "ignored", json!("nobody@example.com")).await, emails);
    assert_eq!(account.put("/_sandbox/options", json!({"search_filter": "first_26"})).await.0, 400);

    let keys = async |place: &str| {
        let options =
            json!({"search_filter": "honoured", "included_deals": place, "search_include": "without_deals"});
        assert_eq!(account.put("/_sandbox/options", options).await.0, 200);
        let answer = account.post(path, rule("contact_email.email", &last)).await.1;
        let row = &answer["contacts"][0];
        ["sales_accounts", "deals", "deal_ids"].map(|key| row.get(key).is_some() || answer.get(key).is_some())
    };
    assert_eq!(keys("inside").await, [true, false, false]);
    assert_eq!(keys("beside").await, [true, false, false]);
    account.stop().await;
}
