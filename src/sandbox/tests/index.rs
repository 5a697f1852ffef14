//! What searches see and when, and when jobs write, by a clock that stands still.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use super::subject::Subject;
use crate::sandbox::account::store::{
    Store, WriteTime,
    record::{Email, StoredRecord, UniqueIdentifier},
};
use crate::sandbox::{JobOptions, Options, ReadOptions, http::api::Api};
use crate::schema::Entity;

const DELAY: Duration = Duration::from_secs(3);
const SHORT_OF: Duration = Duration::from_millis(1);
const JOBS: u64 = 7;

/// Searches miss what was written lately.
fn late() -> ReadOptions {
    ReadOptions { search_delay: DELAY, ..ReadOptions::default() }
}

fn with(options: Options) -> Subject {
    let subject = Subject::new();
    *subject.api.lock() = Api::new(Options { requests_per_hour: Some(100_000), ..options });
    subject
}

async fn call(subject: &Subject, method: Method, path: &str, body: Value) -> Value {
    let request = Request::builder().method(&method).uri(path).header(header::AUTHORIZATION, "Token token=k");
    let request = request.header(header::HOST, "127.0.0.1").body(Body::from(body.to_string())).unwrap();
    let (status, body) = subject.send(request).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    body
}

async fn id(subject: &Subject, word: &str, path: &str, body: Value) -> u64 {
    call(subject, Method::POST, path, body).await[word]["id"].as_u64().unwrap()
}

/// The row of `ada@example.com`: its city, and the names of its sales accounts and deals.
async fn row(subject: &Subject) -> Option<(Value, Vec<String>, Vec<String>)> {
    let rule = json!({"attribute": "contact_email.email", "operator": "is_in", "value": ["ada@example.com"]});
    let path = "/api/filtered_search/contact?include=sales_accounts,deals";
    let found = call(subject, Method::POST, path, json!({"filter_rule": [rule]})).await;
    let row = found["contacts"].get(0)?;
    let names = |key: &str| {
        row[key].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    Some((row["city"].clone(), names("sales_accounts"), names("deals")))
}

#[tokio::test(start_paused = true)]
async fn neither_a_row_nor_what_is_included_in_it_is_newer_than_the_index() {
    for place in ["inside", "beside"] {
        let subject = with(Options { reads: late(), ..Options::default() });
        let contact = json!({"contact": {"emails": "ada@example.com", "city": "Rome"}});
        let ada = id(&subject, "contact", "/api/contacts", contact).await;
        assert_eq!(row(&subject).await, None);
        advance(DELAY).await;
        assert_eq!(row(&subject).await, Some((json!("Rome"), vec![], vec![])), "{place}");

        let mut accounts = Vec::new();
        for name in ["First", "Second"] {
            let body = json!({"sales_account": {"name": name}});
            accounts.push(id(&subject, "sales_account", "/api/sales_accounts", body).await);
        }
        let link =
            json!({"contact": {"city": "Oslo", "sales_accounts": [{"id": accounts[0], "is_primary": true}]}});
        call(&subject, Method::PUT, &format!("/api/contacts/{ada}"), link).await;
        let deal = json!({"deal": {"name": "Renewal", "amount": 1, "contacts_added_list": [ada]}});
        let deal = id(&subject, "deal", "/api/deals", deal).await;
        let before = Some((json!("Rome"), vec![], vec![]));
        assert_eq!(row(&subject).await, before);
        advance(DELAY / 2).await;
        let link = json!({"contact": {"sales_accounts": [{"id": accounts[1], "is_primary": true}]}});
        call(&subject, Method::PUT, &format!("/api/contacts/{ada}"), link).await;
        call(&subject, Method::PUT, &format!("/api/deals/{deal}"), json!({"deal": {"name": "Seats"}})).await;
        advance((DELAY / 2).saturating_sub(SHORT_OF)).await;
        assert_eq!(row(&subject).await, before);
        advance(SHORT_OF).await;
        let middle = Some((json!("Oslo"), vec!["First".to_owned()], vec!["Renewal".to_owned()]));
        assert_eq!(row(&subject).await, middle, "each write after its own delay");
        call(&subject, Method::DELETE, &format!("/api/sales_accounts/{}", accounts[1]), json!({})).await;
        call(&subject, Method::DELETE, &format!("/api/deals/{deal}"), json!({})).await;
        advance(DELAY / 2).await;
        let last = Some((json!("Oslo"), vec!["Second".to_owned()], vec!["Seats".to_owned()]));
        assert_eq!(row(&subject).await, last, "as before the removals");
        advance(DELAY / 2).await;
        assert_eq!(row(&subject).await, Some((json!("Oslo"), vec![], vec![])));
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_write_in_the_order_in_which_they_end_and_searches_count_from_there() {
    let [shortest, longest] = [1, 8].map(Duration::from_secs);
    let jobs = JobOptions { shortest, longest, ..JobOptions::default() };
    let options = Options { jobs, reads: late(), ..Options::default() };
    let subject = with(options.clone());
    let ends: Vec<Duration> = (0..JOBS).map(|job| options.jobs.time_of(job)).collect();
    let last = (0..ends.len()).max_by_key(|job| ends[*job]).unwrap();
    assert_ne!(last, ends.len() - 1, "the last to start is not the last to end: {ends:?}");
    for job in 0..JOBS {
        let record = json!({"emails": "ada@example.com", "data": {"city": format!("City {job}")}});
        call(&subject, Method::POST, "/api/contacts/bulk_upsert", json!({"contacts": [record]})).await;
    }
    // Nobody asks until long after; each job still counts from its own end.
    advance((ends[last] + DELAY).saturating_sub(SHORT_OF)).await;
    let seen = row(&subject).await.unwrap().0;
    assert_ne!(seen, format!("City {last}"), "not seen yet");
    advance(SHORT_OF).await;
    assert_eq!(row(&subject).await.unwrap().0, format!("City {last}"));
}

#[test]
fn a_search_among_many_records_does_not_look_at_all_of_them() {
    let mut store = Store::default();
    let now = Instant::now();
    let written = Instant::now();
    for at in 0..100_000 {
        let mut record = StoredRecord::new(jiff::Timestamp::UNIX_EPOCH);
        record.emails.push(Email { id: 1, value: format!("c{at}@example.com"), is_primary: true });
        // Half of them are pending when the search comes.
        let seen_from = if at % 2 == 0 { now } else { now + DELAY };
        store.put(Entity::Contact, record, WriteTime { at: now, seen_from });
    }
    let writing = written.elapsed();
    let search = || {
        let began = Instant::now();
        store.index.catch_up(now);
        let contacts = store.index.records().of(Entity::Contact);
        let found = (0..100).filter(|at| {
            contacts.find_all(UniqueIdentifier::Email, &format!("C{}@example.com", at * 997)).next().is_some()
        });
        assert_eq!(found.count(), 50);
        began.elapsed()
    };
    // The shortest of a few, because the machine may have others to serve.
    let searching = std::iter::repeat_with(search).take(5).min().unwrap();
    assert!(searching * 50 < writing, "{searching:?} to search, {writing:?} to write");
}
