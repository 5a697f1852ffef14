//! Any requests, one after another: the sandbox answers each of them.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, header},
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::subject::Subject;
use crate::fuzz::{almost_json, any_json, any_text, feed};
use crate::sandbox::http::api::Api;
use crate::sandbox::{FieldFiles, JobOptions, JobReport, Options, admin};

const SEGMENTS: &[&str] = &[
    "crm",
    "sales",
    "api",
    "track",
    "_sandbox",
    "contacts",
    "sales_accounts",
    "deals",
    "upsert",
    "bulk_upsert",
    "settings",
    "options",
    "fields",
    "job_statuses",
    "lookup",
    "search",
    "filtered_search",
    "contact",
    "selector",
    "selectors",
    "lifecycle_stages",
    "deal",
    "owners",
    "filters",
    "events",
    "page_views",
    "visitors",
    "state",
    "faults",
    "reset",
    "402000900001",
    "402000900002",
    "0",
    "18446744073709551616",
    "-1",
    "%2f",
    "..",
    "",
];

const PATHS: &[&str] = &[
    "/api/contacts/upsert",
    "/api/sales_accounts/upsert",
    "/api/deals/upsert",
    "/api/contacts/bulk_upsert",
    "/crm/sales/api/contacts",
    "/api/contacts/402000900001",
    "/api/deals/402000900002",
    "/api/job_statuses/402000900001",
    "/api/lookup",
    "/api/search",
    "/api/filtered_search/contact",
    "/track/events",
    "/track/page_views",
    "/_sandbox/faults",
    "/_sandbox/state",
    "/_sandbox/fields/contacts",
    "/_sandbox/options",
    "/api/contacts/402000900001/forget",
    "/_sandbox/selectors/lifecycle_stages",
    "/api/filtered_search/deal",
    "/api/selector/lifecycle_stages",
    "/api/selector/owners",
    "/",
];

const BODIES: &[&str] = &[
    r#"{"unique_identifier":{"emails":"a@example.com"},"contact":{"first_name":"Ada","emails":"a@example.com","custom_field":{"cf_plan":"Basic"},"sales_accounts":[{"id":402000900001,"is_primary":true}]}}"#,
    r#"{"unique_identifier":{"name":"Acme"},"sales_account":{"name":"Acme","number_of_employees":11}}"#,
    r#"{"unique_identifier":{"name":"Big"},"deal":{"name":"Big","amount":5,"sales_account_id":402000900001,"contacts_added_list":["402000900001"]}}"#,
    r#"{"contacts":[{"emails":"a@example.com","data":{"first_name":"Ada","emails":"a@example.com"}},{"id":402000900001,"data":{}}]}"#,
    r#"{"application_token":"t","identifier":"a@example.com","event":{"name":"Did"},"page_view":{"url":"x"},"visitor":{},"sdk":"ruby"}"#,
    r#"{"filter_rule":[{"attribute":"contact_email.email","operator":"is_in","value":"a@example.com"}]}"#,
    r#"[{"endpoint":"contacts_upsert","action":{"status":503,"headers":{"a":"b"},"body":{"x":1}},"next":3,"share":0.5,"seed":7}]"#,
    r#"{"fields":[{"name":"first_name","type":"text","label":"x","choices":[{"id":1,"value":"a"}],"required":true,"unique":true}]}"#,
    r#"{"job_time_ms":5,"job_report":"counts","custom_fields_on_put":"replace","language":"german"}"#,
    r#"{"longest_job_time_ms":9,"search_filter":"first_25","bulk_links":"ignored"}"#,
    r#"{"search_delay_ms":1000,"included_deals":"beside","search_include":"ignored","emails_on_put":"replace","job_end_word":"DONE"}"#,
    r#"{"lifecycle_stages":[{"id":1,"default":true,"contact_status_ids":[11]}]}"#,
];

const KEYS: &[&str] = &[
    "unique_identifier",
    "contact",
    "sales_account",
    "deal",
    "contacts",
    "sales_accounts",
    "deals",
    "emails",
    "email",
    "name",
    "id",
    "data",
    "custom_field",
    "is_primary",
    "amount",
    "application_token",
    "identifier",
    "event",
    "page_view",
    "url",
    "filter_rule",
    "attribute",
    "operator",
    "value",
    "endpoint",
    "action",
    "status",
    "fields",
    "type",
    "choices",
    "unique",
    "language",
    "402000900001",
];

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(PATHS).prop_map(str::to_owned),
        1 => prop::collection::vec(select(SEGMENTS), 0..5).prop_map(|parts| format!("/{}", parts.join("/"))),
    ]
}

/// One request, which can be sent more than once.
#[derive(Debug, Clone)]
struct AnyRequest {
    method: Method,
    path: String,
    query: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

impl AnyRequest {
    fn to_http(&self) -> Request<Body> {
        let request = Request::builder().method(&self.method).uri(format!("{}?{}", self.path, self.query));
        let request = request.header(header::HOST, "127.0.0.1").header(header::ACCEPT, "application/json");
        let authorization = self.authorization.as_ref().and_then(|value| HeaderValue::try_from(value).ok());
        let request = match authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        };
        request.body(Body::from(self.body.clone())).unwrap()
    }

    fn is_for_admin(&self) -> bool {
        self.path.starts_with("/_sandbox/") || (self.path == "/" && self.method == Method::GET)
    }
}

fn any_request() -> impl Strategy<Value = AnyRequest> {
    let methods = vec![
        Method::GET,
        Method::POST,
        Method::POST,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ];
    let body = prop_oneof![
        5 => almost_json(BODIES),
        2 => any_json(KEYS).prop_map(|body| body.to_string().into_bytes()),
    ];
    let word = || {
        prop_oneof![
            select(KEYS).prop_map(str::to_owned),
            Just("sales_accounts,deals,owner".to_owned()),
            any_text()
        ]
    };
    let query = prop::collection::vec(
        (select(&["q", "f", "entities", "include", "page", "per_page"][..]), word()),
        0..4,
    );
    let key = prop_oneof![6 => Just(Some("Token token=k".to_owned())), 1 => Just(None), 1 => any_text().prop_map(Some)];
    (select(methods), any_path(), body, query, key).prop_map(|(method, path, body, query, authorization)| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        AnyRequest { method, path, query, authorization, body }
    })
}

/// The faults in force, and how many requests they struck.
fn faults(subject: &Subject) -> (usize, u64) {
    let faults = subject.api.lock().faults.json();
    let faults = faults.as_array().unwrap();
    (faults.len(), faults.iter().map(|fault| fault["struck"].as_u64().unwrap()).sum())
}

/// Sends a request, and once more without faults if one of them struck it: a fault may answer anything.
async fn check(subject: &Subject, request: &AnyRequest) -> Result<(), TestCaseError> {
    let before = faults(subject);
    let (mut status, mut body) = subject.send(request.to_http()).await;
    if !request.is_for_admin() && faults(subject) != before {
        subject.api.lock().faults.clear();
        (status, body) = subject.send(request.to_http()).await;
    }
    let text = String::from_utf8_lossy(&body);
    prop_assert!((200..=429).contains(&status), "{} {}: {status}: {text}", request.method, request.path);
    if !request.is_for_admin() && !body.is_empty() {
        prop_assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{text}");
    }
    Ok(())
}

#[test]
fn the_sandbox_answers_every_request() {
    // The built-in account's fields would take longer to copy than all else; these are a few of every kind.
    let few = |kinds: &[(&str, &str)]| -> Vec<Value> {
        let field = |(name, kind): &(&str, &str)| {
            let default = !name.starts_with("cf_");
            let choices = serde_json::json!([{"id": 1, "value": "Basic"}, {"id": 11, "value": "11-50"}]);
            serde_json::json!({"name": name, "type": kind, "label": name, "default": default, "choices": choices})
        };
        kinds.iter().map(field).collect()
    };
    let directory = tempfile::tempdir().unwrap();
    for (file, fields) in [
        (
            "contacts",
            few(&[
                ("first_name", "text"),
                ("emails", "group_field"),
                ("sales_accounts", "group_field"),
                ("external_id", "text"),
                ("lifecycle_stage_id", "dropdown"),
                ("contact_status_id", "dropdown"),
                ("cf_plan", "dropdown"),
                ("cf_born", "date"),
                ("cf_score", "number"),
            ]),
        ),
        ("sales_accounts", few(&[("name", "text"), ("number_of_employees", "dropdown")])),
        ("deals", few(&[("name", "text"), ("amount", "number"), ("sales_account_id", "auto_complete")])),
        ("sales_activities", few(&[("title", "text")])),
    ] {
        let path = directory.path().join(format!("{file}.json"));
        std::fs::write(path, serde_json::json!({ "fields": fields }).to_string()).unwrap();
    }
    let options = Options {
        fields: FieldFiles::load(directory.path()).unwrap(),
        requests_per_hour: Some(5),
        jobs: JobOptions { shortest: std::time::Duration::ZERO, ..JobOptions::default() },
        ..Options::default()
    };
    let inputs = (prop::collection::vec(any_request(), 1..7), any::<bool>());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let subject = runtime.block_on(async { Subject::new() });
    feed("requests to the sandbox", &inputs, |(requests, counts)| {
        let mut options = options.clone();
        options.jobs.report = if counts { JobReport::Counts } else { JobReport::Rows };
        runtime.block_on(async {
            *subject.api.lock() = Api::new(options);
            for request in &requests {
                check(&subject, request).await?;
            }
            admin::state::shown(&subject.api.lock());
            Ok(())
        })
    });
}
