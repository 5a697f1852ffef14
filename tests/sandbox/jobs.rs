//! Bulk upserts and their jobs.

use std::time::Duration;

use freshet::sandbox::{JobOptions, JobReport, Options};
use serde_json::{Value, json};

use crate::account::{Account, list};

/// Jobs take so long.
fn taking(shortest: Duration) -> Options {
    Options { jobs: JobOptions { shortest, ..JobOptions::default() }, ..Options::default() }
}

#[tokio::test]
async fn a_bulk_job_writes_later_and_reports_failures_only_in_its_status() {
    let account = Account::with(taking(Duration::from_millis(400))).await;
    let known = account.upsert("old@example.com", json!({})).await.1["contact"]["id"].clone();
    let contacts = json!([
        {"emails": "new@example.com", "data": {"first_name": "New"}},
        {"id": known.to_string(), "data": {"first_name": "Old"}},
        {"emails": "bad@example.com", "data": {"custom_field": {"cf_seats": "x"}}},
        {"emails": "nodata@example.com"},
        {"id": 1, "data": {}},
    ]);
    let path = "/crm/sales/api/contacts/bulk_upsert";
    let (status, body) = account.post(path, json!({"contacts": contacts})).await;
    assert_eq!(status, 200);
    let url = body["job_status_url"].as_str().unwrap().strip_prefix(&account.url).unwrap();
    assert!(url.starts_with("/crm/sales/api/job_statuses/"));
    assert_eq!(account.get(url).await.1["status"], "IN_PROGRESS");
    assert_eq!(list(&account.sandbox.state()["contacts"]).len(), 1, "nothing is there yet");
    let done = loop {
        let (status, job) = account.get(url).await;
        assert_eq!(status, 200);
        if job["status"] == "SUCCESS" {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let data: Value = serde_json::from_str(done["data"].as_str().unwrap()).unwrap();
    assert_eq!(data["record_status"], json!({"succeeded": 2, "failed": 3}));
    let rows = &data["detailed_failure_report"];
    assert_eq!(rows[0]["record"], json!({"emails": "bad@example.com"}));
    assert_eq!(rows[0]["message"], json!(["Seats is not a number"]));
    assert_eq!(rows[2]["code"], 404);
    let state = account.sandbox.state();
    let names: Vec<_> = list(&state["contacts"]).iter().map(|contact| &contact["first_name"]).collect();
    assert_eq!(names, ["Old", "New"]);
    assert_eq!(state["jobs"][0]["failed"], 3);
    assert_eq!(account.get("/api/job_statuses/1").await.0, 404);
    account.stop().await;
}

#[tokio::test]
async fn the_records_of_a_bulk_upsert_and_the_running_jobs_are_limited() {
    let job_time = Duration::from_secs(1);
    let mut options = taking(job_time);
    options.jobs.report = JobReport::Counts;
    let account = Account::with(options).await;
    let records = |count: usize| -> Vec<Value> {
        (0..count).map(|at| json!({"name": format!("C{at}"), "data": {"phone": 1}})).collect()
    };
    let path = "/api/sales_accounts/bulk_upsert";
    for wrong in [json!(records(101)), json!([]), json!("x")] {
        assert_eq!(account.post(path, json!({"sales_accounts": wrong})).await.0, 400);
    }
    let mut urls = Vec::new();
    for _ in 0..10 {
        let (status, body) = account.post(path, json!({"sales_accounts": records(100)})).await;
        assert_eq!(status, 200);
        urls.push(body["job_status_url"].as_str().unwrap().replace(&account.url, ""));
    }
    let deals = json!({"deals": [{"name": "D", "data": {"amount": 1}}]});
    let refused = json!({"errors": {"code": 405, "message": ["Max of 10 transactions"]}});
    assert_eq!(account.post("/api/deals/bulk_upsert", deals.clone()).await, (405, refused.clone()));
    tokio::time::sleep(job_time).await;
    let others = |number: u32| account.put("/_sandbox/jobs", json!({"others": number}));
    assert_eq!(others(10).await.0, 200);
    assert_eq!(account.post("/api/deals/bulk_upsert", deals.clone()).await, (405, refused));
    assert_eq!(others(9).await.0, 200);
    assert_eq!(account.post("/api/deals/bulk_upsert", deals).await.0, 200);
    let job = account.get(&urls[0]).await.1;
    let data: Value = serde_json::from_str(job["data"].as_str().unwrap()).unwrap();
    assert_eq!(data["record_status"]["failed"], 100);
    assert_eq!(data["detailed_failure_report"], json!([]));
    account.stop().await;
}

/// The job's status; `taken` is the answer to the bulk upsert.
async fn job(account: &Account, taken: &Value) -> Value {
    let url = taken["job_status_url"].as_str().unwrap().replace(&account.url, "");
    account.get(&url).await.1
}

#[tokio::test]
async fn a_jobs_status_has_the_known_keys_and_its_progress_grows() {
    let job_time = Duration::from_millis(500);
    let account = Account::with(taking(job_time)).await;
    let body = json!({"contacts": [{"emails": "a@example.com", "data": {}}]});
    let taken = account.post("/api/contacts/bulk_upsert", body.clone()).await.1;
    let (mut seen, mut last) = (Vec::new(), json!(null));
    while last["progress"] != 100 {
        last = job(&account, &taken).await;
        let keys: Vec<&str> = last.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["created_at", "data", "job_type_name", "progress", "status", "status_updated_at"]);
        let data: Value = serde_json::from_str(last["data"].as_str().unwrap()).unwrap();
        let (progress, ended) = (last["progress"].as_u64().unwrap(), last["status"] == "SUCCESS");
        assert_eq!((data.get("record_status").is_some(), progress == 100), (ended, ended), "{last}");
        seen.push(progress);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(seen.is_sorted() && seen.iter().any(|progress| (1..100).contains(progress)), "{seen:?}");
    let moment = |key: &str| last[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(moment("status_updated_at") > moment("created_at"));

    let words = json!({"job_end_word": "COMPLETED_BY_ELVES", "job_time_ms": 0});
    assert_eq!(account.put("/_sandbox/options", words).await.0, 200);
    let taken = account.post("/api/contacts/bulk_upsert", body).await.1;
    let ended = job(&account, &taken).await;
    assert_eq!((&ended["status"], &ended["progress"]), (&json!("COMPLETED_BY_ELVES"), &json!(100)));
    account.stop().await;
}

#[tokio::test]
async fn bulk_records_of_every_entity_may_be_named_by_id() {
    let account = Account::with(taking(Duration::ZERO)).await;
    let sales_account = account.sales_account("Northwind").await;
    let contact = account.upsert("a@example.com", json!({})).await.1["contact"]["id"].clone();
    let deal = account.post("/api/deals", json!({"deal": {"name": "D", "amount": 1}})).await.1;
    let deal = deal["deal"]["id"].clone();
    for (plural, id, data) in [
        ("contacts", &contact, json!({"city": "Oslo", "emails": "b@example.com"})),
        ("sales_accounts", &json!(sales_account), json!({"city": "Oslo", "name": "Southwind"})),
        ("deals", &deal, json!({"amount": 7, "name": "D"})),
    ] {
        let rows = [json!({"id": id, "data": data}), json!({"id": id.to_string(), "data": data})];
        let taken = account.post(&format!("/api/{plural}/bulk_upsert"), json!({plural: rows})).await.1;
        let ended = job(&account, &taken).await;
        let report: Value = serde_json::from_str(ended["data"].as_str().unwrap()).unwrap();
        assert_eq!(report["record_status"], json!({"succeeded": 2, "failed": 0}), "{plural}");
    }
    let state = account.sandbox.state();
    assert_eq!(list(&state["contacts"][0]["emails"]).len(), 2);
    assert_eq!(state["sales_accounts"][0]["name"], "Southwind");
    assert_eq!(state["deals"], json!(list(&state["deals"])[..1]));
    assert_eq!(state["deals"][0]["amount"], 7);
    account.stop().await;
}

/// Upserts in bulk without waiting, and answers how many records the job says it has written and not written.
async fn bulk(account: &Account, plural: &str, records: Value) -> (u64, u64) {
    let (status, taken) = account.post(&format!("/api/{plural}/bulk_upsert"), json!({plural: records})).await;
    assert_eq!(status, 200, "{taken}");
    let ended = job(account, &taken).await;
    let report: Value = serde_json::from_str(ended["data"].as_str().unwrap()).unwrap();
    let count = |key: &str| report["record_status"][key].as_u64().unwrap();
    (count("succeeded"), count("failed"))
}

async fn at_once() -> Account {
    Account::with(taking(Duration::ZERO)).await
}

/// A contact's links: which sales accounts, and whether each is the primary one.
async fn links(account: &Account, email: &str) -> Vec<(u64, bool)> {
    let body = json!({"unique_identifier": {"emails": email}, "contact": {}});
    let (_, body) = account.post("/api/contacts/upsert?include=sales_accounts", body).await;
    let link = |link: &Value| (link["id"].as_u64().unwrap(), link["is_primary"].as_bool().unwrap());
    list(&body["contact"]["sales_accounts"]).iter().map(link).collect()
}

#[tokio::test]
async fn a_bulk_upsert_of_contacts_replaces_all_links_and_is_refused_like_a_put() {
    let account = at_once().await;
    let [a, b, c] = [
        account.sales_account("A").await,
        account.sales_account("B").await,
        account.sales_account("C").await,
    ];
    let known = json!({"sales_accounts": [{"id": a, "is_primary": true}]});
    let id = account.upsert("known@example.com", known).await.1["contact"]["id"].clone();

    let both = json!([{"id": a, "is_primary": false}, {"id": b.to_string(), "is_primary": true}]);
    let records = json!([
        {"emails": "KNOWN@example.com", "data": {"first_name": "Ada", "sales_accounts": both}},
        {"emails": "new@example.com", "data": {"sales_accounts": [{"id": c, "is_primary": true}]}},
    ]);
    assert_eq!(bulk(&account, "contacts", records).await, (2, 0));
    assert_eq!(links(&account, "known@example.com").await, [(a, false), (b, true)]);
    assert_eq!(links(&account, "new@example.com").await, [(c, true)]);

    let records = json!([
        {"id": id, "data": {"sales_accounts": [{"id": c, "is_primary": true}]}},
        {"emails": "new@example.com", "data": {"city": "Oslo"}},
    ]);
    assert_eq!(bulk(&account, "contacts", records).await, (2, 0));
    assert_eq!(links(&account, "known@example.com").await, [(c, true)], "what is not named is unlinked");
    assert_eq!(links(&account, "new@example.com").await, [(c, true)], "no list, no change");

    let twice: Vec<Value> = [true, false].iter().map(|one| json!({"id": a, "is_primary": one})).collect();
    let eleven: Vec<Value> = (0..11).map(|at| json!({"id": a + at, "is_primary": at == 0})).collect();
    let wrong = [
        json!([{"id": a}]),
        json!([{"id": a, "is_primary": true}, {"id": b, "is_primary": true}]),
        json!([{"id": 1, "is_primary": true}]),
        json!(twice),
        json!(eleven),
        json!("A"),
    ];
    for sales_accounts in wrong {
        let data = json!({"first_name": "Not written", "sales_accounts": sales_accounts});
        let put = account.put(&format!("/api/contacts/{id}"), json!({"contact": data})).await;
        assert_eq!(put.0, 400, "{data}");
        let record = json!([{"emails": "known@example.com", "data": data}]);
        assert_eq!(bulk(&account, "contacts", record).await, (0, 1), "{data}");
    }
    let contact = &account.sandbox.state()["contacts"][0];
    assert_eq!(
        (&contact["first_name"], links(&account, "known@example.com").await),
        (&json!("Ada"), vec![(c, true)])
    );
    account.stop().await;
}

#[tokio::test]
async fn an_account_may_ignore_links_in_bulk_and_report_success() {
    let account = at_once().await;
    let (a, b) = (account.sales_account("A").await, account.sales_account("B").await);
    let link = |id: u64| json!({"first_name": "Ada", "sales_accounts": [{"id": id, "is_primary": true}]});
    account.upsert("ada@example.com", link(a)).await;
    assert_eq!(account.put("/_sandbox/options", json!({"bulk_links": "ignored"})).await.0, 200);
    let records = json!([
        {"emails": "ada@example.com", "data": link(b)}, {"emails": "eve@example.com", "data": link(b)},
    ]);
    assert_eq!(bulk(&account, "contacts", records).await, (2, 0));
    assert_eq!(links(&account, "ada@example.com").await, [(a, true)]);
    assert_eq!(links(&account, "eve@example.com").await, []);
    assert_eq!(account.sandbox.state()["contacts"][1]["first_name"], "Ada", "all else is written");
    account.upsert("eve@example.com", link(b)).await;
    assert_eq!(links(&account, "eve@example.com").await, [(b, true)], "single calls write links");
    account.stop().await;
}

#[tokio::test]
async fn sales_accounts_and_deals_go_in_bulk_by_name() {
    let account = at_once().await;
    let known = account.sales_account("Northwind").await;
    let records = json!([
        {"name": "NORTHWIND", "data": {"city": "Oslo"}},
        {"name": "Southwind", "data": {"city": "Rome"}},
    ]);
    assert_eq!(bulk(&account, "sales_accounts", records).await, (2, 0));
    let state = account.sandbox.state();
    let accounts: Vec<_> =
        list(&state["sales_accounts"]).iter().map(|one| (&one["name"], &one["city"])).collect();
    assert_eq!(accounts, [(&json!("Northwind"), &json!("Oslo")), (&json!("Southwind"), &json!("Rome"))]);
    assert_eq!(state["sales_accounts"][0]["id"], known);

    let mut contacts = Vec::new();
    for email in ["ada@example.com", "eve@example.com"] {
        contacts.push(account.upsert(email, json!({})).await.1["contact"]["id"].clone());
    }
    let deal = |name: &str, contact: &Value| {
        let data = json!({"amount": 7, "sales_account_id": known, "contacts_added_list": [contact]});
        json!({"name": name, "data": data})
    };
    let records =
        json!([deal("Renewal", &contacts[0]), deal("Seats", &contacts[0]), deal("renewal", &contacts[1])]);
    assert_eq!(bulk(&account, "deals", records).await, (3, 0));
    let deals = account.sandbox.state()["deals"].clone();
    assert_eq!(list(&deals).len(), 2, "the third is the first once more: {deals}");
    assert_eq!((&deals[0]["contact_ids"], &deals[0]["sales_account_id"]), (&json!(contacts), &json!(known)));

    let data = json!({"amount": 9, "contacts_added_list": [contacts[1]], "sales_account_id": known});
    let wrong = json!({"contacts_added_list": [1]});
    let records = json!([{"id": deals[1]["id"], "data": data}, {"id": deals[0]["id"], "data": wrong}]);
    assert_eq!(bulk(&account, "deals", records).await, (1, 1));
    let deals = account.sandbox.state()["deals"].clone();
    assert_eq!((&deals[1]["contact_ids"], &deals[1]["amount"]), (&json!(contacts), &json!(9)));
    assert_eq!(
        bulk(&account, "deals", json!([{"name": "No amount", "data": {}}])).await,
        (0, 1),
        "required fields"
    );
    account.stop().await;
}
