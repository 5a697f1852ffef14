//! Any requests, one after another: the sandbox answers each of them, and never breaks.

use axum::http::Method;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::fuzz::{almost_json, any_json, any_text, feed};
use crate::sandbox::account::SandboxAccount;
use crate::sandbox::admin;
use crate::sandbox::http::endpoint::within_account;
use crate::sandbox::http::request::Request;
use crate::sandbox::{FieldFiles, JobReport, Options};

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

fn any_request() -> impl Strategy<Value = Request> {
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
        Request {
            method,
            prefix: within_account(&path).0,
            path,
            query: query.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            host: "127.0.0.1".to_owned(),
            authorization,
            accept: Some("application/json".to_owned()),
            body: body.into(),
        }
    })
}

/// What the server does with a request, without its socket.
fn answered(state: &mut SandboxAccount, request: &Request) -> Result<(), TestCaseError> {
    let (_, path) = within_account(&request.path);
    let (api, answer) = if admin::exempt(&request.method, &request.path) {
        let answer = admin::answer(state, request);
        prop_assert!(answer.is_some(), "{} {}", request.method, request.path);
        (false, answer.unwrap())
    } else {
        let endpoint = SandboxAccount::endpoint(&request.method, path);
        state.faults.strike(endpoint, request);
        let answer = state.answer(request, path);
        state.enter(request, endpoint, answer.status.as_str().to_owned());
        (true, answer)
    };
    let status = answer.status.as_u16();
    prop_assert!((200..=429).contains(&status), "{status}: {}", answer.body);
    if api && !answer.body.is_empty() {
        prop_assert!(serde_json::from_str::<Value>(&answer.body).is_ok(), "{}", answer.body);
    }
    Ok(())
}

#[test]
fn whatever_is_asked_of_the_sandbox_it_answers() {
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
    let fields = FieldFiles::load(directory.path()).unwrap();
    let inputs = (prop::collection::vec(any_request(), 1..7), any::<bool>());
    feed("requests to the sandbox", &inputs, |(requests, counts)| {
        let mut state = SandboxAccount::new(Options {
            fields: fields.clone(),
            requests_per_hour: Some(5),
            job_time: std::time::Duration::ZERO,
            job_report: if counts { JobReport::Counts } else { JobReport::Rows },
            ..Options::default()
        });
        for request in &requests {
            answered(&mut state, request)?;
        }
        admin::shown(&state);
        Ok(())
    });
}
