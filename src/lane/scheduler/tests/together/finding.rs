//! Ids of what was written many at a time, and the deals that need them.

use super::reading::{SEARCH, control, next_call, row, rows, search_delay, serve_next, told};
use crate::freshsales::Endpoint;
use crate::lane::contact::bulk::features::BulkFeature;
use crate::lane::scheduler::tests::by_hand::{
    CONTACT, CONTACTS, insert, job, related, report, scheduler, sent, served, settled, write,
};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use serde_json::{Value, json};

const DEALS: Endpoint = Endpoint::BulkUpsert(Entity::Deal);
const COMPANIES: Endpoint = Endpoint::BulkUpsert(Entity::SalesAccount);
const COMPANY_SEARCH: Endpoint = Endpoint::Search(Entity::SalesAccount);

fn with_deals(identity: DealIdentity) -> (Scheduler<u64>, Instant) {
    let start = Instant::now();
    let mut scheduler = scheduler(start).with(|settings| settings.records.deal_identity = identity);
    for number in 0..3u64 {
        let deal = Some(related(&format!("Deal {number}"), &json!({ "amount": number })));
        let contact = ContactWrite { deal, ..write(&format!("c{number}@x.com"), &json!({})) };
        insert(&mut scheduler, contact, number);
    }
    control(&mut scheduler, "control", start);
    assert!(matches!(scheduler.next(start), Next::Wait(Some(_))));
    (scheduler, start + search_delay())
}

/// Three new contacts with deals that were written in one bulk call; when it was reported.
fn written(identity: DealIdentity) -> (Scheduler<u64>, Instant) {
    let (mut scheduler, now) = with_deals(identity);
    served(&mut scheduler, now, SEARCH, rows(&[row("control", 99, &[])]));
    served(&mut scheduler, now, CONTACTS, job());
    let (now, _, effects) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(settled(effects), []);
    (scheduler, now)
}

fn found(numbers: std::ops::Range<i64>) -> Value {
    rows(&numbers.map(|number| row(&format!("c{number}"), 10 + number, &[])).collect::<Vec<_>>())
}

#[test]
fn contacts_written_in_bulk_are_found_in_one_search_once_it_shows_them() {
    let (mut scheduler, written_at) = written(DealIdentity::Contact);
    let (now, body, _) = serve_next(&mut scheduler, written_at, SEARCH, rows(&[]));
    assert_eq!(now - written_at, search_delay());
    assert_eq!(body["filter_rule"][0]["value"], json!(["c0@x.com", "c1@x.com", "c2@x.com"]));
    // Not yet. It is asked again before long.
    let (now, _, effects) = serve_next(&mut scheduler, now, SEARCH, found(0..3));
    assert!(now - written_at <= search_delay() * 3 / 2 && settled(effects).is_empty());
    for number in 0..3u64 {
        let (body, effects) =
            served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 100 } }));
        assert_eq!(body["deal"]["contacts_added_list"], json!([10 + number]));
        assert_eq!(settled(effects), [(number, Outcome::Delivered)]);
    }
}

#[test]
fn contacts_that_no_search_ever_shows_are_written_singly() {
    let (mut scheduler, written_at) = written(DealIdentity::Contact);
    let mut now = written_at;
    loop {
        let (then, number, call) = next_call(&mut scheduler, now);
        now = then;
        if call.endpoint == CONTACT {
            break;
        }
        assert_eq!(call.endpoint, SEARCH);
        assert!(now - written_at < search_delay() * 3, "it searches for ever");
        let effects = scheduler.answered(number, Verdict::Done(rows(&[])), &RateLimit::default(), now);
        if now - written_at > search_delay() * 3 / 2 {
            assert_eq!(told(&effects), [(BulkFeature::ContactSearch, false)]);
        }
    }
    for _ in 0..2 {
        assert_eq!(sent(&mut scheduler, now).1.endpoint, CONTACT);
    }
}

#[test]
fn one_contact_that_is_left_is_not_searched_for_alone() {
    let (mut scheduler, written_at) = written(DealIdentity::Contact);
    let (now, ..) = serve_next(&mut scheduler, written_at, SEARCH, found(0..2));
    for _ in 0..2 {
        served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 100 } }));
    }
    let (_, _, call) = next_call(&mut scheduler, now);
    assert_eq!(call.endpoint, CONTACT);
    assert_eq!(call.json()["unique_identifier"]["emails"], "c2@x.com");
}

#[test]
fn new_companies_are_written_in_bulk_by_name_and_their_ids_read_in_one_search() {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    for number in 0..6u64 {
        // Two contacts of each.
        let name = format!("Company {}", number % 3);
        let company = Some(related(&name, &json!({ "name": name })));
        let email = format!("c{number}@x.com");
        insert(&mut scheduler, ContactWrite { company, ..write(&email, &json!({})) }, number);
    }
    control(&mut scheduler, "control", start);
    let (body, _) = served(&mut scheduler, start, COMPANIES, job());
    assert_eq!(body["sales_accounts"].as_array().unwrap().len(), 3);
    let (now, ..) = serve_next(&mut scheduler, start, Endpoint::JobStatus, report(3, &[]));
    let companies = json!({ "sales_accounts": [
        { "id": 100, "name": "company 0" }, { "id": 101, "name": "Company 1 " }, { "id": 102, "name": "Company 2" },
    ] });
    let (now, body, effects) = serve_next(&mut scheduler, now, COMPANY_SEARCH, companies);
    assert_eq!(body["filter_rule"][0]["value"], json!(["Company 0", "Company 1", "Company 2"]));
    assert_eq!(told(&effects), [(BulkFeature::SalesAccountSearch, true)]);
    served(&mut scheduler, now, SEARCH, rows(&[row("control", 99, &[])]));
    let (body, _) = served(&mut scheduler, now, CONTACTS, job());
    let written = body["contacts"].as_array().unwrap();
    let mut links: Vec<_> =
        written.iter().map(|row| row["data"]["sales_accounts"][0]["id"].clone()).collect();
    links.sort_by_key(Value::as_i64);
    assert_eq!(links, [100, 100, 101, 101, 102, 102]);
}

#[test]
fn deals_that_a_search_shows_go_in_bulk_by_their_ids_and_new_ones_singly_without_being_looked_for() {
    let (mut scheduler, now) = with_deals(DealIdentity::Contact);
    let shown = |deals: [bool; 3]| {
        let mut all = vec![row("control", 99, &[])];
        for (number, has_deal) in (0..).zip(deals) {
            let mut row = row(&format!("c{number}"), 10 + number, &[]);
            if has_deal {
                row["deals"] = json!([{ "id": 100 + number, "name": format!("deal {number}") }]);
            }
            all.push(row);
        }
        rows(&all)
    };
    for (deals, ids) in [([true; 3], Some(["100", "101", "102"])), ([false; 3], None)] {
        let (mut scheduler, now) = with_deals(DealIdentity::Contact);
        served(&mut scheduler, now, SEARCH, shown(deals));
        served(&mut scheduler, now, CONTACTS, job());
        let (now, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
        if let Some(ids) = ids {
            let (body, _) = served(&mut scheduler, now, DEALS, job());
            let rows = body["deals"].as_array().unwrap();
            assert_eq!(rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ids);
            assert_eq!(rows[0]["data"]["contacts_added_list"], json!([10]));
        } else {
            for _ in 0..3 {
                assert_eq!(sent(&mut scheduler, now).1.endpoint, Endpoint::DealCreate);
            }
        }
    }
    // Where rows show no deals, a contact's are read.
    let hidden: Vec<Value> = ["c0", "c1", "c2", "control"]
        .into_iter()
        .zip(10..)
        .map(|(name, id)| {
            let mut row = row(name, id, &[]);
            row.as_object_mut().unwrap().remove("deals");
            row
        })
        .collect();
    let (_, effects) = served(&mut scheduler, now, SEARCH, rows(&hidden));
    assert_eq!(told(&effects), [(BulkFeature::ContactSearch, true), (BulkFeature::DealsInSearch, false)]);
    served(&mut scheduler, now, CONTACTS, job());
    let (now, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(sent(&mut scheduler, now).1.endpoint, Endpoint::ContactRead);
}

#[test]
fn deals_known_by_name_alone_go_in_bulk_also_where_they_are_new() {
    let (mut scheduler, now) = written(DealIdentity::Name);
    let (now, ..) = serve_next(&mut scheduler, now, SEARCH, found(0..3));
    let (body, _) = served(&mut scheduler, now, DEALS, job());
    assert_eq!(body["deals"].as_array().unwrap().len(), 3);
    let (_, _, effects) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(settled(effects).len(), 3);
}

#[test]
fn a_job_that_tells_its_progress_is_asked_again_when_it_must_be_done() {
    // It was asked after a second, so that jobs are taken for 1.35 seconds long.
    for (progress, again) in [(None, 675), (Some(50), 1100), (Some(90), 338), (Some(1), 108_900)] {
        let now = Instant::now();
        let mut scheduler = scheduler(now);
        for number in 0..3 {
            insert(&mut scheduler, write(&format!("c{number}@x.com"), &json!({})), number);
        }
        served(&mut scheduler, now, CONTACTS, job());
        let running = json!({ "status": "PROCESSING", "progress": progress });
        let (asked, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, running);
        let (then, _, call) = next_call(&mut scheduler, asked);
        assert_eq!(call.endpoint, Endpoint::JobStatus);
        let waited = then - asked;
        assert!(waited.abs_diff(Duration::from_millis(again)) <= Duration::from_millis(2), "{waited:?}");
    }
}
