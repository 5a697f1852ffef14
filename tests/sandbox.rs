//! The sandbox over real HTTP: what it refuses, what it loses without a word, how it misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it is"
)]

use std::time::Duration;

use freshet::sandbox::{CustomFieldsOnPut, FieldFiles, FieldsError, JobReport, Options, Sandbox};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A sandbox on a free port, stopped and waited for at the end of each test.
struct Account {
    url: String,
    client: Client,
    sandbox: Sandbox,
    stop: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

impl Account {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        // The first test of the process installs it; the others find it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sandbox, stop) = (Sandbox::new(options), CancellationToken::new());
        let mut serving = JoinSet::new();
        let (served, until) = (sandbox.clone(), stop.clone());
        serving.spawn(async move { served.serve(listener, until).await });
        Self { url, client: Client::new(), sandbox, stop, serving }
    }

    async fn try_send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Response> {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("authorization", "Token token=k").timeout(Duration::from_secs(10));
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        self.try_send(method, path, body).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::POST, path, Some(&body)).await).await
    }

    async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::PUT, path, Some(&body)).await).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.send(Method::GET, path, None).await).await
    }

    async fn upsert(&self, email: &str, contact: Value) -> (u16, Value) {
        let body = json!({"unique_identifier": {"emails": email}, "contact": contact});
        self.post("/api/contacts/upsert", body).await
    }

    /// A new sales account's id.
    async fn company(&self, name: &str) -> u64 {
        let (status, body) = self.post("/api/sales_accounts", json!({"sales_account": {"name": name}})).await;
        assert_eq!(status, 200, "{body}");
        body["sales_account"]["id"].as_u64().unwrap()
    }

    async fn faults(&self, faults: Value) {
        let (status, body) = self.post("/_sandbox/faults", faults).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn stop(mut self) {
        self.stop.cancel();
        drop(self.client);
        self.serving.join_next().await.unwrap().unwrap().unwrap();
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The messages of a 400, in the one form the API is known to use.
fn messages(answer: &(u16, Value)) -> Vec<&str> {
    assert_eq!((answer.0, &answer.1["errors"]["code"]), (400, &json!(400)), "{}", answer.1);
    let messages = answer.1["errors"]["message"].as_array().unwrap();
    messages.iter().map(|message| message.as_str().unwrap()).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// A field of an answer of the settings endpoint.
fn field<'a>(fields: &'a Value, name: &str) -> &'a Value {
    list(&fields["fields"]).iter().find(|field| field["name"] == name).unwrap()
}

#[tokio::test]
async fn an_upsert_creates_then_updates_whatever_the_case_of_the_address() {
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
async fn what_fits_is_kept_in_the_form_the_api_gives_back() {
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
async fn silent_losses_answer_200_and_change_nothing() {
    let account = Account::start().await;
    let before = json!({"first_name": "Ada", "custom_field": {"cf_plan": "Team"}});
    assert_eq!(account.upsert("a@example.com", before).await.0, 201);
    let held = account.sandbox.state()["contacts"][0].clone();
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
        now["updated_at"] = held["updated_at"].clone();
        assert_eq!((status, &now), (200, &held), "{contact}");
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
    assert_eq!(messages(&clash), ["Email has already been taken"]);
    let clash = account.post("/api/contacts", json!({"contact": {"email": "one@example.com"}})).await;
    assert_eq!(messages(&clash), ["Email has already been taken"]);

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
        ids.push(account.company(&format!("Company {number}")).await);
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
    assert_eq!(account.sandbox.state()["contacts"][0]["sales_accounts"], links, "not named, not touched");
    account.stop().await;
}

#[tokio::test]
async fn sales_accounts_have_unique_names() {
    let account = Account::start().await;
    let company = account.company("Northwind").await;
    let again = account.post("/api/sales_accounts", json!({"sales_account": {"name": "northwind"}})).await;
    assert_eq!(messages(&again), ["Name has already been taken"]);
    let nameless = account.post("/api/sales_accounts", json!({"sales_account": {"city": "Oslo"}})).await;
    assert_eq!(messages(&nameless), ["Name can't be blank"]);
    let fields = json!({"number_of_employees": 51, "annual_revenue": "1000.50"});
    let upsert = json!({"unique_identifier": {"name": "Northwind"}, "sales_account": fields});
    let (status, body) = account.post("/api/sales_accounts/upsert", upsert).await;
    assert_eq!((status, &body["sales_account"]["id"]), (200, &json!(company)));
    assert_eq!(body["sales_account"]["annual_revenue"].to_string(), "1000.50");
    let path = format!("/api/sales_accounts/{company}");
    let blank = account.put(&path, json!({"sales_account": {"name": ""}})).await;
    assert_eq!(messages(&blank), ["Name can't be blank"]);
    account.stop().await;
}

#[tokio::test]
async fn deals_refer_only_to_what_exists() {
    let account = Account::start().await;
    let company = account.company("Northwind").await;
    let contact = account.upsert("a@example.com", json!({})).await.1["contact"]["id"].clone();
    for (deal, expected) in [
        (json!({"name": "D", "amount": "lots"}), vec!["Amount is not a number"]),
        (json!({"sales_account_id": company}), vec!["Name can't be blank", "Deal value can't be blank"]),
        (json!({"name": "D", "amount": 1, "sales_account_id": 1}), vec!["Account name is invalid"]),
        (json!({"name": "D", "amount": 1, "contacts_added_list": [1]}), vec!["Related contacts is invalid"]),
        (json!({"name": "D", "amount": 1, "contacts": [contact]}), vec!["Related contacts is invalid"]),
        (json!({"name": "D", "amount": 1, "probability": 150}), vec!["Probability must be from 0 to 100"]),
    ] {
        let answer = account.post("/api/deals", json!({"deal": deal})).await;
        assert_eq!(messages(&answer), expected, "{deal}");
    }
    let deal = json!({"amount": 5600, "sales_account_id": company, "contacts_added_list": [contact]});
    let upsert = json!({"unique_identifier": {"name": "Big one"}, "deal": deal});
    let (status, body) = account.post("/api/deals/upsert", upsert.clone()).await;
    assert_eq!((status, &body["deal"]["contact_ids"]), (201, &json!([contact])));
    assert_eq!(body["deal"]["amount"], "5600");
    assert_eq!(account.post("/api/deals/upsert", upsert).await.0, 200);
    let path = format!("/api/deals/{}", body["deal"]["id"]);
    account.put(&path, json!({"deal": {"contacts_removed_list": [contact]}})).await;
    let deal = account.sandbox.state()["deals"][0].clone();
    assert_eq!((&deal["contact_ids"], &deal["sales_account_id"]), (&json!([]), &json!(company)));
    let deleted = account.send(Method::DELETE, &format!("/api/sales_accounts/{company}"), None).await;
    assert_eq!(deleted.status(), 200);
    assert_eq!(account.sandbox.state()["deals"][0]["sales_account_id"], Value::Null);
    account.stop().await;
}

#[tokio::test]
async fn a_bulk_job_works_later_and_tells_its_failures_only_in_its_status() {
    let account = Account::with(Options { job_time: Duration::from_millis(400), ..Options::default() }).await;
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
    assert_eq!(account.get(url).await.1, json!({"status": "IN_PROGRESS"}));
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
async fn bulk_upserts_are_bounded_in_records_and_in_jobs() {
    let job_time = Duration::from_secs(1);
    let options = Options { job_time, job_report: JobReport::Counts, ..Options::default() };
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

#[tokio::test]
async fn requests_that_are_wrong_as_such_are_told_apart() {
    let account = Account::with(Options { body_limit: 1000, ..Options::default() }).await;
    for (method, path, status) in [
        (Method::GET, "/api/contacts/1", 404),
        (Method::GET, "/api/contacts/abc", 404),
        (Method::GET, "/api/leads", 404),
        (Method::GET, "/nothing", 404),
        (Method::PATCH, "/api/contacts/1", 405),
        (Method::GET, "/api/contacts/upsert", 405),
        (Method::POST, "/api/selector/owners", 405),
        (Method::POST, "/api/contacts", 400),
        (Method::PUT, "/_sandbox/state", 405),
        (Method::GET, "/_sandbox/nothing", 404),
    ] {
        assert_eq!(account.send(method.clone(), path, None).await.status(), status, "{method} {path}");
    }
    let broken = account.client.post(format!("{}/api/contacts", account.url)).body("{\"contact\":");
    let broken = broken.header("authorization", "Token token=k").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert_eq!(account.post("/api/contacts", json!({"lead": {}})).await.0, 400);
    let long = json!({"contact": {"first_name": "x".repeat(2_000_000)}});
    assert_eq!(account.post("/api/contacts", long).await.0, 413);
    assert!(account.get("/api/selector/owners").await.1["users"][0]["id"].is_u64());
    assert!(account.get("/api/contacts/filters").await.1["filters"].is_array());
    let counts = &account.sandbox.state()["requests"];
    assert_eq!(counts["contacts_create"], json!({"400": 3, "413": 1}));
    assert_eq!(counts["unknown"], json!({"404": 2, "405": 3}));
    account.stop().await;
}

#[tokio::test]
async fn only_the_right_key_and_token_are_accepted() {
    let (api_key, app_token) = (Some("k".to_owned()), Some("t".to_owned()));
    let strict = Account::with(Options { api_key, app_token, ..Options::default() }).await;
    let lax = Account::start().await;
    for (account, authorization, status) in [
        (&strict, "Token token=k", 200),
        (&strict, "Token token=other", 401),
        (&strict, "Bearer k", 401),
        (&lax, "Token token=anything", 200),
        (&lax, "Token token=", 401),
        (&lax, "anything", 401),
    ] {
        let request = account.client.get(format!("{}/api/selector/owners", account.url));
        let (got, body) = answer(request.header("authorization", authorization).send().await.unwrap()).await;
        assert_eq!(got, status, "{authorization}");
        if status == 401 {
            assert_eq!(body, json!({"message": "Incorrect or expired API key"}));
        }
    }
    for (account, token, status) in
        [(&strict, "t", 200), (&strict, "x", 401), (&lax, "x", 200), (&lax, "", 401)]
    {
        let event = json!({"identifier": "u", "event": {"name": "E"}, "application_token": token});
        assert_eq!(account.post("/track/events", event).await.0, status, "{token}");
    }
    strict.stop().await;
    lax.stop().await;
}

#[tokio::test]
async fn tracking_keeps_what_was_reported_and_creates_no_contact() {
    let account = Account::start().await;
    let page = json!({"url": "https://example.com/", "title": "T"});
    let calls = [
        ("/track/visitors", json!({"identifier": "a@example.com", "visitor": {"First name": "Ada"}}), 200),
        ("/crm/sales/track/events", json!({"identifier": "u-1", "event": {"name": "Bought", "n": 9.5}}), 200),
        ("/track/page_views", json!({"identifier": "u-1", "page_view": page}), 200),
        ("/track/events", json!({"event": {"name": "E"}}), 400),
        ("/track/events", json!({"identifier": " ", "event": {"name": "E"}}), 400),
        ("/track/events", json!({"identifier": "u", "event": {"price": 1}}), 400),
        ("/track/events", json!({"identifier": "u", "event": {"name": ""}}), 400),
        ("/track/page_views", json!({"identifier": "u", "page_view": {"title": "T"}}), 400),
        ("/track/page_views", json!({"identifier": "u", "event": {"name": "E"}}), 400),
    ];
    for (path, mut body, status) in calls {
        body["application_token"] = json!("t");
        // No Authorization here: these calls do without the API key.
        let response =
            account.client.post(format!("{}{path}", account.url)).json(&body).send().await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        assert!(response.headers().get("x-ratelimit-remaining").is_none());
    }
    let state = account.sandbox.state();
    let activities = list(&state["activities"]);
    assert_eq!(activities.len(), 3);
    assert_eq!(activities[1]["sequence"], 2);
    assert_eq!((&activities[1]["kind"], &activities[1]["name"]), (&json!("event"), &json!("Bought")));
    assert_eq!(activities[1]["properties"], json!({"n": 9.5}));
    assert_eq!(activities[2]["url"], "https://example.com/");
    assert_eq!(activities[2]["identifier"], "u-1");
    assert_eq!(state["contacts"], json!([]));
    account.stop().await;
}

#[tokio::test]
async fn the_hourly_quota_is_told_on_every_answer_and_ends_in_429() {
    let account = Account::with(Options { requests_per_hour: Some(2), ..Options::default() }).await;
    for (remaining, status) in [("1", 200), ("0", 200), ("0", 429), ("0", 429)] {
        let response = account.send(Method::GET, "/api/selector/owners", None).await;
        assert_eq!(response.status(), status);
        let header = |name| response.headers()[name].to_str().unwrap();
        assert_eq!((header("x-ratelimit-limit"), header("x-ratelimit-remaining")), ("2", remaining));
        let reset: u64 = header("x-ratelimit-reset").parse().unwrap();
        assert!((3500..=3600).contains(&reset), "{reset}");
    }
    let event = json!({"identifier": "u", "event": {"name": "E"}, "application_token": "t"});
    assert_eq!(account.post("/track/events", event).await.0, 200, "tracking is not counted");
    let (status, state) = account.get("/_sandbox/state").await;
    assert_eq!((status, &state["requests"]["selector_owners"]), (200, &json!({"200": 2, "429": 2})));
    account.stop().await;
}

#[tokio::test]
async fn a_status_fault_strikes_its_endpoint_the_next_n_times() {
    let account = Account::start().await;
    let slow = json!({"status": 429, "headers": {"retry-after": "7"}, "body": {"message": "slow down"}});
    account
        .faults(json!([
            {"endpoint": "contacts_upsert", "next": 2, "action": slow},
            {"endpoint": "/api/selector", "action": {"status": 502, "body": "<html>"}},
        ]))
        .await;
    for _ in 0..2 {
        let body = json!({"unique_identifier": {"emails": "a@example.com"}, "contact": {}});
        let response = account.send(Method::POST, "/crm/sales/api/contacts/upsert", Some(&body)).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.json::<Value>().await.unwrap()["message"], "slow down");
    }
    assert_eq!(account.sandbox.state()["contacts"], json!([]), "no effect");
    assert_eq!(account.upsert("a@example.com", json!({})).await.0, 201);
    assert_eq!(account.get("/crm/sales/api/selector/owners").await, (502, json!("<html>")));
    let (_, left) = account.get("/_sandbox/faults").await;
    assert_eq!((list(&left["faults"]).len(), &left["faults"][0]["struck"]), (1, &json!(1)));
    assert_eq!(account.send(Method::DELETE, "/_sandbox/faults", None).await.status(), 200);
    assert_eq!(account.get("/api/selector/owners").await.0, 200);
    account.stop().await;
}

#[tokio::test]
async fn a_fault_may_strike_one_record_only() {
    let account = Account::start().await;
    let blocked = json!({"status": 403, "body": "<html>blocked</html>"});
    account.faults(json!({"endpoint": "*", "action": blocked, "containing": "<script>"})).await;
    assert_eq!(account.upsert("a@example.com", json!({"city": "<script>"})).await.0, 403);
    assert_eq!(account.upsert("b@example.com", json!({"city": "Turin"})).await.0, 201);
    assert_eq!(account.get("/api/lookup?q=%3Cscript%3E&f=external_id&entities=contact").await.0, 403);
    let (_, faults) = account.get("/_sandbox/faults").await;
    assert_eq!(faults["faults"][0]["struck"], 2);
    account.stop().await;
}

#[tokio::test]
async fn a_share_of_requests_is_struck_and_the_admin_paths_never_are() {
    let account = Account::start().await;
    account.faults(json!({"endpoint": "*", "action": {"status": 500}, "share": 0.25})).await;
    let mut struck = 0;
    for _ in 0..20 {
        struck += u32::from(account.get("/api/selector/owners").await.0 == 500);
        assert_eq!(account.get("/_sandbox/state").await.0, 200);
        assert_eq!(account.get("/").await.0, 200);
    }
    assert_eq!(struck, 5);
    let (status, body) =
        account.post("/_sandbox/faults", json!({"endpoint": "contacts", "action": {}})).await;
    assert!(status == 400 && body["error"].as_str().unwrap().contains("contacts_upsert"), "{body}");
    account.stop().await;
}

#[tokio::test]
async fn a_delay_and_the_latency_only_delay() {
    let latency = Duration::from_millis(100);
    let account = Account::with(Options { latency, ..Options::default() }).await;
    account.faults(json!({"endpoint": "*", "action": {"delay_ms": 200}, "next": 1})).await;
    for expected in [latency + Duration::from_millis(200), latency] {
        let start = tokio::time::Instant::now();
        let status = account.upsert("a@example.com", json!({})).await.0;
        assert!(status < 300 && start.elapsed() >= expected, "{status} after {:?}", start.elapsed());
    }
    account.stop().await;
}

#[tokio::test]
async fn a_reset_breaks_the_connection_before_or_after_the_effect() {
    let account = Account::start().await;
    for (after_effect, count) in [(false, 0), (true, 1)] {
        let mut fault = json!({"endpoint": "contacts_upsert", "action": {"reset": true}, "next": 1});
        fault["after_effect"] = json!(after_effect);
        account.faults(fault).await;
        let body = json!({"unique_identifier": {"emails": "a@example.com"}, "contact": {}});
        let error = account.try_send(Method::POST, "/api/contacts/upsert", Some(&body)).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(list(&account.sandbox.state()["contacts"]).len(), count);
    }
    assert_eq!(account.sandbox.state()["requests"]["contacts_upsert"], json!({"reset": 2}));
    assert_eq!(account.upsert("a@example.com", json!({})).await.0, 200, "the sandbox goes on");
    account.stop().await;
}

#[tokio::test]
async fn a_hanging_request_is_never_answered_and_does_not_hold_up_a_stop() {
    let account = Account::start().await;
    let hang = json!({"endpoint": "contacts_create", "action": {"hang": true}, "after_effect": true});
    account.faults(hang).await;
    let body = json!({"contact": {"email": "a@example.com"}});
    let url = format!("{}/api/contacts", account.url);
    let post = |limit| {
        let request = account.client.post(&url).header("authorization", "Token token=k");
        request.json(&body).timeout(limit).send()
    };
    let error = post(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(list(&account.sandbox.state()["contacts"]).len(), 1, "its effect is there");
    let mut hanging = JoinSet::new();
    hanging.spawn(post(Duration::from_secs(30)));
    while account.sandbox.state()["requests"]["contacts_create"]["hang"] != 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = tokio::time::Instant::now();
    account.stop().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let error = hanging.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn a_fresh_start_empties_everything_and_restores_the_fields() {
    let account = Account::with(Options { requests_per_hour: Some(3), ..Options::default() }).await;
    account.upsert("a@example.com", json!({})).await;
    account.company("Northwind").await;
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
async fn an_admin_can_add_a_field_and_demand_one_while_it_runs() {
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
async fn fields_come_from_a_directory_where_it_has_them() {
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

#[tokio::test]
async fn a_put_merges_custom_fields_or_replaces_them_as_the_account_does() {
    for (habit, plan) in
        [(CustomFieldsOnPut::Merge, json!("Free")), (CustomFieldsOnPut::Replace, Value::Null)]
    {
        let account = Account::with(Options { custom_fields_on_put: habit, ..Options::default() }).await;
        let made = account.upsert("a@example.com", json!({"custom_field": {"cf_plan": "Free"}})).await.1;
        let path = format!("/api/contacts/{}", made["contact"]["id"]);
        let (_, body) = account.put(&path, json!({"contact": {"city": "Lima"}})).await;
        assert_eq!(body["contact"]["custom_field"]["cf_plan"], "Free");
        let (_, body) = account.put(&path, json!({"contact": {"custom_field": {"cf_seats": 2}}})).await;
        assert_eq!(body["contact"]["custom_field"]["cf_plan"], plan, "{habit:?}");
        assert_eq!(body["contact"]["custom_field"]["cf_seats"], 2);
        account.stop().await;
    }
}

#[tokio::test]
async fn the_page_shows_everything_and_turns_nothing_into_markup() {
    let account = Account::start().await;
    let evil = "<script>alert('x')</script>";
    account.company(evil).await;
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
    let harmless = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;";
    assert_eq!(html.matches(harmless).count(), 8, "{html}");
    assert!(html.contains("Plan is not included in the list") && !html.contains("http://"));
    account.stop().await;
}

#[tokio::test]
async fn the_log_tells_requests_in_order_and_is_not_fed_by_the_admin_paths() {
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

#[test]
fn the_table_of_examples_covers_every_line_and_counts_them_rightly() {
    let (events, readme) = (include_str!("../examples/events.ndjson"), include_str!("../examples/README.md"));
    let mut next = 1;
    let mut outcomes = [("delivered", 0), ("skipped", 0), ("dead", 0)];
    for row in readme.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| lines")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = cells[0].split_once('–').unwrap_or((cells[0], cells[0]));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(first, next, "{row}");
        next = last + 1;
        let outcome = outcomes.iter_mut().find(|(word, _)| cells[2].starts_with(word));
        outcome.unwrap().1 += last + 1 - first;
    }
    assert_eq!(next - 1, events.lines().count());
    let [(_, delivered), (_, skipped), (_, dead)] = outcomes;
    let total = format!("{} lines: {delivered} delivered, {skipped} skipped, {dead} dead-lettered", next - 1);
    assert!(readme.contains(&total), "{total}");
    let unreadable = events.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
    assert_eq!(unreadable, 1);
}
