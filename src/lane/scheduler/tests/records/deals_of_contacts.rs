//! A deal is found among its contact's own deals, is never created twice, and meets no other customer's.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{
    CONTACT, CONTACTS, contact, insert, job, related, report, scheduler, sent, served, settled, write,
};
use crate::lane::scheduler::tests::failing::outage::{Account, MINUTE, plain};
use crate::lane::scheduler::tests::failing::strangers::{page, rich, with_deal};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use crate::outcome::DeadLetterReason;
use serde_json::{Value, json};

fn renewal(scheduler: &mut Scheduler<u64>, contact: u64, values: &Value, delivery: u64) {
    let deal = Some(related("Renewal", values));
    insert(scheduler, ContactWrite { deal, ..write(&format!("c{contact}@x.com"), &json!({})) }, delivery);
}

/// A contact with its deals, as an answer shows them.
fn with_deals(id: i64, deals: &Value) -> Value {
    json!({ "contact": { "id": id, "sales_accounts": [] }, "deals": deals })
}

fn deal(id: i64) -> Value {
    json!({ "deal": { "id": id } })
}

fn answer(scheduler: &mut Scheduler<u64>, number: u64, verdict: Verdict, now: Instant) -> Vec<Effect<u64>> {
    scheduler.answered(number, verdict, &RateLimit::default(), now)
}

#[test]
fn two_customers_deals_of_one_name_never_meet_and_each_is_found_again() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for (customer, id) in [(0, 10), (1, 11)] {
        renewal(&mut scheduler, customer, &json!({ "amount": id }), customer);
        served(&mut scheduler, now, CONTACT, contact(id, &[]));
        served(
            &mut scheduler,
            now,
            Endpoint::ContactRead,
            with_deals(id, &json!([{ "id": 1, "name": "Other" }])),
        );
        let (body, effects) = served(&mut scheduler, now, Endpoint::DealCreate, deal(100 + id));
        assert_eq!(body["deal"], json!({ "amount": id, "contacts_added_list": [id] }));
        assert_eq!(settled(effects), [(customer, Outcome::Delivered)]);
    }
    for (customer, id) in [(1, 11), (0, 10)] {
        renewal(&mut scheduler, customer, &json!({ "amount": 5 }), 2 + customer);
        served(&mut scheduler, now, CONTACT, contact(id, &[]));
        let (number, call) = sent(&mut scheduler, now);
        assert_eq!(call.path, format!("/api/deals/{}", 100 + id), "what is remembered costs no reading");
        assert_eq!(settled(answer(&mut scheduler, number, Verdict::Done(deal(100 + id)), now)).len(), 1);
    }
}

#[test]
fn a_deal_that_the_contact_has_is_changed_and_keeps_the_custom_fields_that_the_event_does_not_give() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let mut renewal = related(" renewal", &json!({ "amount": 5 }));
    renewal.record.custom_field = json!({ "cf_b": 2 }).as_object().unwrap().into();
    insert(&mut scheduler, ContactWrite { deal: Some(renewal), ..write("a@x.com", &json!({})) }, 0);
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
    let deals =
        json!([{ "id": 7, "name": "Renewal ", "closed_date": "2025-01-01" }, { "id": 5, "name": "RENEWAL" }]);
    served(&mut scheduler, now, Endpoint::ContactRead, with_deals(1, &deals));
    let held = json!({ "deal": { "id": 5, "custom_field": { "cf_a": 1, "cf_b": 1 } } });
    served(&mut scheduler, now, Endpoint::DealRead, held);
    let (body, effects) = served(&mut scheduler, now, Endpoint::DealUpdate, deal(5));
    assert_eq!(body["deal"]["custom_field"], json!({ "cf_a": 1, "cf_b": 2 }));
    assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
}

#[test]
fn a_creation_whose_answer_was_lost_is_looked_for_before_it_is_sent_again() {
    let lost = Verdict::Unavailable { cause: Failure::Timeout, retry_after: None };
    for there in [false, true] {
        let mut now = Instant::now();
        let mut scheduler = scheduler(now);
        renewal(&mut scheduler, 0, &json!({ "amount": 5 }), 0);
        served(&mut scheduler, now, CONTACT, contact(1, &[]));
        served(&mut scheduler, now, Endpoint::ContactRead, with_deals(1, &json!([])));
        let (number, call) = sent(&mut scheduler, now);
        assert_eq!(call.endpoint, Endpoint::DealCreate);
        answer(&mut scheduler, number, lost.clone(), now);
        let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("sent again at once") };
        now = then;
        let deals = if there { json!([{ "id": 9, "name": "Renewal" }]) } else { json!([]) };
        served(&mut scheduler, now, Endpoint::ContactRead, with_deals(1, &deals));
        let then = if there { Endpoint::DealUpdate } else { Endpoint::DealCreate };
        let (_, effects) = served(&mut scheduler, now, then, deal(9));
        assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
        assert!(scheduler.is_empty() && scheduler.calls.is_empty());
    }
}

#[test]
fn a_creation_that_was_throttled_did_not_take_effect_and_is_sent_again_as_it_is() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    renewal(&mut scheduler, 0, &json!({ "amount": 5 }), 0);
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
    served(&mut scheduler, now, Endpoint::ContactRead, with_deals(1, &json!([])));
    let (number, _) = sent(&mut scheduler, now);
    let wait = Some(Duration::from_secs(10));
    answer(&mut scheduler, number, Verdict::Throttled { retry_after: wait }, now);
    let Next::Wait(Some(mut then)) = scheduler.next(now) else { panic!("sent again at once") };
    loop {
        match scheduler.next(then) {
            Next::Send(number, call) if matches!(call.endpoint, Endpoint::Fields(_)) => {
                answer(&mut scheduler, number, Verdict::Done(json!({ "fields": [] })), then);
            }
            Next::Send(_, call) => break assert_eq!(call.endpoint, Endpoint::DealCreate),
            Next::Wait(wake) => then = wake.expect("it never goes again"),
        }
    }
}

#[test]
fn deals_whose_ids_are_known_go_in_bulk_by_their_ids_and_one_that_is_gone_is_found_anew() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let plain: RateLimit = RateLimit::default();
    for number in 0..3i64 {
        let email = format!("c{number}@x.com");
        scheduler.knows(&email, number + 1, &[], Instant::now());
        scheduler.records.learn_deal(number + 1, "RENEWAL", number + 101);
    }
    for number in 0..3 {
        renewal(&mut scheduler, number, &json!({ "amount": 5 }), number);
    }
    served(&mut scheduler, now, CONTACTS, job());
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("the job is not asked for") };
    served(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    let (number, call) = sent(&mut scheduler, now);
    let rows = call.json()["deals"].as_array().unwrap().clone();
    assert_eq!(rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ["101", "102", "103"]);
    scheduler.answered(number, Verdict::Done(job()), &plain, now);
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("the job is not asked for") };
    let gone = json!({ "record": { "id": "102" }, "code": 404, "message": ["Not found"] });
    let (_, effects) = served(&mut scheduler, now, Endpoint::JobStatus, report(2, &[gone]));
    assert_eq!(settled(effects), [(0, Outcome::Delivered), (2, Outcome::Delivered)]);
    served(&mut scheduler, now, CONTACT, contact(2, &[]));
    served(&mut scheduler, now, Endpoint::ContactRead, with_deals(2, &json!([])));
    let (_, effects) = served(&mut scheduler, now, Endpoint::DealCreate, deal(104));
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
}

#[test]
fn where_a_contact_s_deals_are_not_shown_a_deal_is_created_and_told_once_a_day_and_then_remembered() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for (customer, told) in [(0, 1), (1, 0)] {
        renewal(&mut scheduler, customer, &json!({ "amount": 5 }), customer);
        let id = 1 + i64::try_from(customer).unwrap();
        served(&mut scheduler, now, CONTACT, contact(id, &[]));
        let (_, effects) = served(&mut scheduler, now, Endpoint::ContactRead, contact(id, &[]));
        let hidden = effects.iter().filter(|effect| matches!(effect, Effect::DealsNotShown)).count();
        assert_eq!(hidden, told);
        served(&mut scheduler, now, Endpoint::DealCreate, deal(7 + id));
    }
    renewal(&mut scheduler, 0, &json!({ "amount": 6 }), 2);
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
    served(&mut scheduler, now, Endpoint::DealUpdate, deal(8));
}

#[test]
fn a_deal_of_two_contacts_is_written_by_one_of_them_at_a_time() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..2i64 {
        let email = format!("c{number}@x.com");
        scheduler.knows(&email, number + 1, &[], Instant::now());
        scheduler.records.learn_deal(number + 1, "Renewal", 7);
    }
    for number in 0..2 {
        renewal(&mut scheduler, number, &json!({ "amount": number }), number);
    }
    let calls: Vec<(u64, Call)> = (0..2).map(|_| sent(&mut scheduler, now)).collect();
    for (id, (number, _)) in (1..).zip(calls) {
        answer(&mut scheduler, number, Verdict::Done(contact(id, &[])), now);
    }
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::DealUpdate);
    assert!(matches!(scheduler.next(now), Next::Wait(_)), "both at once");
    answer(&mut scheduler, number, Verdict::Done(deal(7)), now);
    served(&mut scheduler, now, Endpoint::DealUpdate, deal(7));
}

#[test]
fn a_creation_that_never_gets_through_is_given_up_although_reading_does() {
    let mut account: Account = rich();
    renewal(&mut account.scheduler, 0, &json!({ "disliked": true }), 0);
    for number in 1..30 {
        if number % 2 == 0 {
            with_deal(&mut account, number);
        } else {
            plain(&mut account, number);
        }
        let then = account.now + MINUTE / 4;
        account.run(then, |call| {
            let disliked = call.endpoint == Endpoint::DealCreate && call.json()["deal"]["disliked"] == true;
            disliked.then(|| page(call, 403))
        });
    }
    let refused: Vec<_> =
        account.refused.iter().map(|(_, number, refusal)| (*number, refusal.reason)).collect();
    assert_eq!(refused, [(0, DeadLetterReason::Rejected)]);
    assert_eq!(account.delivered.len(), 29);
}
