//! Which endpoint a request is counted under.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::json;

use super::subject::Subject;

#[tokio::test]
async fn words_win_over_ids_and_a_wrong_method_is_not_a_wrong_path() {
    let subject = Subject::new();
    for (method, path, endpoint, status) in [
        (Method::GET, "/api/contacts/filters", "contacts_filters", 200),
        (Method::GET, "/api/contacts/17", "contacts_get", 404),
        (Method::GET, "/crm/sales/api/contacts/17", "contacts_get", 404),
        (Method::GET, "/api/contacts/18446744073709551616", "contacts_get", 404),
        (Method::GET, "/api/contacts/%ff", "contacts_get", 404),
        (Method::POST, "/api/contacts/upsert", "contacts_upsert", 400),
        (Method::DELETE, "/api/contacts/17/forget", "contacts_forget", 404),
        (Method::PUT, "/api/contacts", "unknown", 405),
        (Method::GET, "/track/events", "unknown", 405),
        (Method::GET, "/api/leads", "unknown", 404),
        (Method::GET, "/track", "unknown", 404),
        (Method::POST, "/", "unknown", 404),
    ] {
        let request = Request::builder().method(&method).uri(path).header("authorization", "Token token=k");
        assert_eq!(subject.send(request.body(Body::empty()).unwrap()).await.0, status, "{method} {path}");
        let log = json!(subject.api.lock().journal.requests());
        let last = log.as_array().unwrap().last().unwrap();
        assert_eq!((&last["path"], &last["endpoint"]), (&json!(path), &json!(endpoint)));
    }
}
