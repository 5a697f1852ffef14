//! Contacts that are read many at a time, and the links that are then written many at a time.

use crate::freshsales::Endpoint;
use crate::lane::contact::bulk::features::BulkFeature;
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::scheduler::tests::by_hand::{
    CONTACT, CONTACTS, contact, insert, job, related, report, scheduler, sent, served, settled, write,
};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use serde_json::{Value, json};

pub(in crate::lane::scheduler::tests) const SEARCH: Endpoint = Endpoint::Search(Entity::Contact);
const ACME: i64 = 7;

pub(in crate::lane::scheduler::tests) fn search_delay() -> Duration {
    BackoffSettings::default().look_up_delay
}

fn of_acme(scheduler: &mut Scheduler<u64>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let company = Some(related("Acme", &json!({})));
        let email = format!("c{number}@x.com");
        insert(scheduler, ContactWrite { company, ..write(&email, &json!({})) }, number);
    }
    // The events are there already: values written before the lane was empty would not be relied on.
    let written = Some(fingerprint(&related("Acme", &json!({})).record.into()));
    scheduler.records.learn_account("Acme", CachedAccount { id: ACME, written });
}

/// A contact that searches must find from the search delay on.
pub(in crate::lane::scheduler::tests) fn control(scheduler: &mut Scheduler<u64>, name: &str, now: Instant) {
    scheduler.knows(&format!("{name}@x.com"), 99, &[], now);
}

pub(in crate::lane::scheduler::tests) fn row(name: &str, id: i64, links: &[(i64, bool)]) -> Value {
    let links: Vec<Value> =
        links.iter().map(|(id, primary)| json!({ "id": id, "is_primary": primary })).collect();
    json!({ "id": id, "email": format!("{name}@x.com"), "sales_accounts": links, "deals": [] })
}

pub(in crate::lane::scheduler::tests) fn rows(rows: &[Value]) -> Value {
    json!({ "contacts": rows, "meta": { "total": rows.len() } })
}

pub(in crate::lane::scheduler::tests) fn told(effects: &[Effect<u64>]) -> Vec<(BulkFeature, bool)> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::BulkFeature(feature, works) => Some((*feature, *works)),
        Effect::Settled { .. }
        | Effect::Coalesced(_)
        | Effect::BulkGivenUp
        | Effect::TooManyJobs { .. }
        | Effect::LeftOut(_)
        | Effect::DealsNotShown
        | Effect::Fields(..)
        | Effect::Selector(..) => None,
    });
    told.collect()
}

/// When it sends next. Until then it only waits.
pub(in crate::lane::scheduler::tests) fn next_call(
    scheduler: &mut Scheduler<u64>,
    mut now: Instant,
) -> (Instant, u64, Call) {
    loop {
        match scheduler.next(now) {
            Next::Send(number, call) => return (now, number, call),
            Next::Wait(Some(then)) => now = then,
            Next::Wait(None) => panic!("stuck: {scheduler:#?}"),
        }
    }
}

pub(in crate::lane::scheduler::tests) fn serve_next(
    scheduler: &mut Scheduler<u64>,
    now: Instant,
    endpoint: Endpoint,
    answer: Value,
) -> (Instant, Value, Vec<Effect<u64>>) {
    let (now, number, call) = next_call(scheduler, now);
    assert_eq!(call.endpoint, endpoint);
    let effects = scheduler.answered(number, Verdict::Done(answer), &RateLimit::default(), now);
    (now, call.json(), effects)
}

/// So many contacts of Acme, from the moment on at which they can be read.
fn readable(contacts: u64) -> (Scheduler<u64>, Instant) {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    of_acme(&mut scheduler, 0..contacts);
    control(&mut scheduler, "control", start);
    let now = start + search_delay();
    assert!(matches!(scheduler.next(start), Next::Wait(Some(then)) if then == now));
    (scheduler, now)
}

/// Three contacts, one of them new, whose links were accepted in one bulk call; its job's report.
fn reported() -> (Scheduler<u64>, Instant) {
    let (mut scheduler, now) = readable(3);
    let shown = [row("c0", 10, &[(5, true)]), row("c1", 11, &[(ACME, true)]), row("control", 99, &[])];
    served(&mut scheduler, now, SEARCH, rows(&shown));
    served(&mut scheduler, now, CONTACTS, job());
    let (now, _, effects) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    // The one that had its link already needs no proof.
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
    (scheduler, now)
}

fn sent_singly(scheduler: &mut Scheduler<u64>, now: Instant, contacts: &[&str]) {
    for name in contacts {
        let (_, call) = sent(scheduler, now);
        assert_eq!(call.endpoint, CONTACT);
        assert_eq!(call.json()["unique_identifier"]["emails"], format!("{name}@x.com"));
        assert!(call.json()["contact"].get("sales_accounts").is_none(), "links were written unread");
    }
    assert!(matches!(scheduler.next(now), Next::Wait(_)));
}

#[test]
fn contacts_of_a_company_are_read_in_one_call_with_a_control_and_written_with_all_their_links() {
    let (mut scheduler, now) = readable(3);
    let shown = [row("c0", 10, &[(5, true), (6, false)]), row("c1", 11, &[]), row("control", 99, &[])];
    let (body, effects) = served(&mut scheduler, now, SEARCH, rows(&shown));
    let asked = &body["filter_rule"][0];
    assert_eq!(asked["value"], json!(["c0@x.com", "c1@x.com", "c2@x.com", "control@x.com"]));
    assert_eq!(told(&effects), [(BulkFeature::ContactSearch, true), (BulkFeature::DealsInSearch, true)]);
    let (body, _) = served(&mut scheduler, now, CONTACTS, job());
    let links: Vec<&Value> =
        body["contacts"].as_array().unwrap().iter().map(|row| &row["data"]["sales_accounts"]).collect();
    let acme = json!({ "id": ACME, "is_primary": false });
    let only = json!([{ "id": ACME, "is_primary": true }]);
    let old = [json!({ "id": 5, "is_primary": true }), json!({ "id": 6, "is_primary": false })];
    assert_eq!(links, [&json!([old[0], old[1], acme]), &only, &only]);
}

#[test]
fn an_address_without_a_row_is_a_new_contact_only_where_the_control_is_shown() {
    for shown in [true, false] {
        let (mut scheduler, now) = readable(3);
        control(&mut scheduler, "second", now.checked_sub(search_delay()).unwrap());
        let found = if shown { vec![row("control", 99, &[])] } else { Vec::new() };
        served(&mut scheduler, now, SEARCH, rows(&found));
        let (_, call) = sent(&mut scheduler, now);
        if shown {
            assert_eq!((call.endpoint, call.records()), (CONTACTS, 3));
        } else {
            assert_eq!(call.endpoint, SEARCH);
            assert_eq!(call.json()["filter_rule"][0]["value"][3], "second@x.com");
        }
    }
}

#[test]
fn rows_that_are_not_all_that_matched_make_no_contact_new() {
    let (mut scheduler, now) = readable(3);
    control(&mut scheduler, "second", now.checked_sub(search_delay()).unwrap());
    let mut first_page = rows(&[row("control", 99, &[])]);
    first_page["meta"]["total"] = json!(2);
    served(&mut scheduler, now, SEARCH, first_page);
    assert_eq!(sent(&mut scheduler, now).1.endpoint, SEARCH);
}

#[test]
fn three_searches_in_a_row_without_their_control_are_the_last() {
    let (mut scheduler, now) = readable(3);
    for name in ["second", "third", "fourth"] {
        control(&mut scheduler, name, now.checked_sub(search_delay()).unwrap());
    }
    for _ in 0..2 {
        let (_, effects) = served(&mut scheduler, now, SEARCH, rows(&[]));
        assert_eq!(told(&effects), []);
    }
    let (_, effects) = served(&mut scheduler, now, SEARCH, rows(&[]));
    assert_eq!(told(&effects), [(BulkFeature::ContactSearch, false)]);
    sent_singly(&mut scheduler, now, &["c0", "c1", "c2"]);
}

#[test]
fn a_search_that_does_not_honour_what_was_asked_is_not_believed() {
    let mut without_links = row("c1", 11, &[]);
    without_links.as_object_mut().unwrap().remove("sales_accounts");
    for wrong in [without_links, row("stranger", 12, &[])] {
        let (mut scheduler, now) = readable(3);
        let shown = [row("c0", 10, &[]), wrong, row("control", 99, &[])];
        let (_, effects) = served(&mut scheduler, now, SEARCH, rows(&shown));
        assert_eq!(told(&effects), [(BulkFeature::ContactSearch, false)]);
        sent_singly(&mut scheduler, now, &["c0", "c1", "c2"]);
    }
}

#[test]
fn an_address_that_several_contacts_or_a_deleted_one_have_goes_singly() {
    let (mut scheduler, now) = readable(6);
    let mut deleted = row("c1", 11, &[]);
    deleted["is_deleted"] = json!(true);
    let twice = |name, id| [row(name, id, &[]), row(name, id + 10, &[])];
    let shown = [&twice("c0", 10)[..], &[deleted], &twice("c2", 12), &[row("control", 99, &[])]].concat();
    served(&mut scheduler, now, SEARCH, rows(&shown));
    let mut calls = Vec::new();
    while let Next::Send(_, call) = scheduler.next(now) {
        calls.push((call.endpoint, call.records()));
    }
    assert_eq!(calls, [(CONTACT, 1), (CONTACT, 1), (CONTACT, 1), (CONTACTS, 3)]);
}

#[test]
fn the_first_links_of_a_bulk_call_are_read_back_by_one_call_and_the_others_wait_for_it() {
    let (mut scheduler, now) = reported();
    of_acme(&mut scheduler, 3..6);
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!((call.endpoint, &*call.path), (Endpoint::ContactRead, "/api/contacts/10"));
    served(&mut scheduler, now, SEARCH, rows(&[row("control", 99, &[])]));
    assert!(matches!(scheduler.next(now), Next::Wait(_)), "links go before the first ones are shown");
    let shown = Verdict::Done(contact(10, &[5, ACME]));
    let effects = scheduler.answered(number, shown, &RateLimit::default(), now);
    assert_eq!(told(&effects), [(BulkFeature::LinksInBulk, true)]);
    assert_eq!(settled(effects), [(0, Outcome::Delivered), (2, Outcome::Delivered)]);
    served(&mut scheduler, now, CONTACTS, job());
    // From now on a report is enough.
    let (_, _, effects) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(settled(effects).len(), 3);
}

#[test]
fn links_that_are_not_there_when_read_back_go_singly_from_then_on() {
    let (mut scheduler, now) = reported();
    let (_, effects) = served(&mut scheduler, now, Endpoint::ContactRead, contact(10, &[5]));
    assert_eq!(told(&effects), [(BulkFeature::LinksInBulk, false)]);
    assert_eq!(settled(effects), []);
    // Each is written, and linked by a call that carries the links it has.
    let (first, call) = sent(&mut scheduler, now);
    assert_eq!(call.json()["unique_identifier"]["emails"], "c0@x.com");
    let (second, call) = sent(&mut scheduler, now);
    assert_eq!(call.json()["unique_identifier"]["emails"], "c2@x.com");
    for (number, id, links) in [(first, 10, &[5][..]), (second, 12, &[])] {
        scheduler.answered(number, Verdict::Done(contact(id, links)), &RateLimit::default(), now);
        let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(id, &[]));
        let linked: Vec<_> =
            body["contact"]["sales_accounts"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
        assert_eq!(linked, links.iter().copied().chain([ACME]).collect::<Vec<i64>>());
        assert_eq!(settled(effects).len(), 1);
    }
    of_acme(&mut scheduler, 3..6);
    sent_singly(&mut scheduler, now, &["c3", "c4", "c5"]);
}

#[test]
fn a_reading_back_that_says_nothing_of_links_leaves_it_open() {
    let (mut scheduler, now) = reported();
    let (_, effects) = served(&mut scheduler, now, Endpoint::ContactRead, json!({ "contact": { "id": 10 } }));
    assert_eq!(told(&effects), []);
    sent_singly(&mut scheduler, now, &["c0", "c2"]);
}

#[test]
fn contacts_are_not_read_while_searches_may_miss_what_another_replica_wrote() {
    for (without_events, waits) in [(500, false), (1500, true)] {
        let start = Instant::now();
        let mut scheduler = scheduler(start);
        control(&mut scheduler, "control", start);
        insert(&mut scheduler, write("held@x.com", &json!({})), 9);
        let (number, _) = sent(&mut scheduler, start);
        let now = start + search_delay();
        scheduler.answered(number, Verdict::Done(contact(9, &[])), &RateLimit::default(), now);
        assert!(matches!(scheduler.next(now), Next::Wait(None)));
        let now = now + Duration::from_millis(without_events);
        of_acme(&mut scheduler, 0..3);
        let (sent, _, call) = next_call(&mut scheduler, now);
        assert_eq!(call.endpoint, SEARCH);
        assert_eq!(sent - now, if waits { search_delay() } else { Duration::ZERO });
    }
}

#[test]
fn contacts_are_not_read_for_the_search_delay_after_a_hand_over() {
    let (mut scheduler, now) = readable(3);
    scheduler.give_back();
    scheduler.begin();
    of_acme(&mut scheduler, 0..3);
    let (sent, _, call) = next_call(&mut scheduler, now);
    assert_eq!((call.endpoint, sent - now), (SEARCH, search_delay()));
}

#[test]
fn after_a_take_over_even_two_contacts_wait_for_what_the_last_holder_may_still_write() {
    for taken_over in [true, false] {
        let now = Instant::now();
        let mut scheduler = scheduler(now);
        scheduler.begin();
        if taken_over {
            scheduler.redelivered(now);
        }
        of_acme(&mut scheduler, 0..2);
        let (sent, _, call) = next_call(&mut scheduler, now);
        assert_eq!(call.endpoint, CONTACT);
        assert_eq!(sent - now, if taken_over { search_delay() } else { Duration::ZERO });
    }
}

#[test]
fn contacts_whose_links_may_still_be_written_are_left_alone_and_then_read_again() {
    let (mut scheduler, now) = readable(3);
    let shown = rows(&[row("c0", 10, &[(5, true)]), row("control", 99, &[])]);
    served(&mut scheduler, now, SEARCH, shown.clone());
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, CONTACTS);
    let lost = Verdict::Unavailable { cause: Failure::Timeout, retry_after: None };
    assert!(scheduler.answered(number, lost, &RateLimit::default(), now).is_empty());
    let (later, _, effects) = serve_next(&mut scheduler, now, SEARCH, shown);
    assert_eq!((later - now, settled(effects).len()), (search_delay(), 0));
    assert_eq!(sent(&mut scheduler, later).1.endpoint, CONTACTS);
}

#[test]
fn with_links_careful_nothing_is_read_or_linked_together() {
    let now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| settings.records.links = Links::Careful);
    of_acme(&mut scheduler, 0..3);
    control(&mut scheduler, "control", now);
    sent_singly(&mut scheduler, now, &["c0", "c1", "c2"]);
}
