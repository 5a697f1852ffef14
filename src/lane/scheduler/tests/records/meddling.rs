//! What people do to records between any two calls: nothing of theirs is written over, and nothing is there twice.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{
    CONTACT, contact, insert, insert_of, related, scheduler, sent, served, settled, write,
};
use crate::lane::scheduler::tests::failing::outage::{MINUTE, plain};
use crate::lane::scheduler::tests::failing::strangers::{page, rich, said};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use serde_json::{Value, json};

const READ: Endpoint = Endpoint::ContactRead;
const UPDATE: Endpoint = Endpoint::ContactUpdate;

/// Takes the call that is planned next, which must be this one, and loses its answer; its body, and when it goes again.
fn lost(scheduler: &mut Scheduler<u64>, now: Instant, endpoint: Endpoint) -> (Value, Instant) {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, endpoint);
    let verdict = Verdict::Unavailable { cause: Failure::ServerError(500), retry_after: None };
    assert!(scheduler.answered(number, verdict, &RateLimit::default(), now).is_empty());
    let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("sent again at once") };
    (call.json(), then)
}

fn tagged(tags: &Value) -> Value {
    json!({ "contact": { "id": 1, "sales_accounts": [], "tags": tags } })
}

fn renewal(email: &str, delivery: u64, scheduler: &mut Scheduler<u64>) {
    let deal = Some(related("Renewal", &json!({ "amount": delivery })));
    insert(scheduler, ContactWrite { deal, ..write(email, &json!({})) }, delivery);
}

/// A contact with addresses as a reading of it shows them, under the ids that they have.
fn person(emails: &[(i64, &str)]) -> Value {
    let emails: Vec<Value> = emails
        .iter()
        .enumerate()
        .map(|(place, (id, value))| json!({ "id": id, "value": value, "is_primary": place == 0 }))
        .collect();
    json!({ "contact": { "id": 7, "external_id": "u", "emails": emails, "sales_accounts": [] } })
}

fn identify(email: &str) -> ContactWrite {
    let record = json!({ "emails": email, "external_id": "u" });
    ContactWrite { user_id: Some("u".to_owned()), ..write(email, &record) }
}

#[test]
fn tags_that_somebody_gives_a_contact_while_its_tags_wait_stay() {
    let now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| settings.records.tags = Tags::Append);
    insert(&mut scheduler, write("a@x.com", &json!({ "tags": ["new"] })), 0);
    served(&mut scheduler, now, CONTACT, tagged(&json!(["a"])));
    let (_, now) = lost(&mut scheduler, now, UPDATE);
    served(&mut scheduler, now, READ, tagged(&json!(["a", "by hand"])));
    let (body, effects) = served(&mut scheduler, now, UPDATE, tagged(&json!(["a", "by hand", "new"])));
    assert_eq!(body["contact"]["tags"], json!(["a", "by hand", "new"]));
    assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
}

#[test]
fn links_that_somebody_gives_a_contact_while_its_link_waits_stay() {
    for linked in [false, true] {
        let now = Instant::now();
        let mut scheduler = scheduler(now);
        let company = Some(related("Acme", &json!({})));
        insert(&mut scheduler, ContactWrite { company, ..write("a@x.com", &json!({})) }, 0);
        let account = json!({ "sales_account": { "id": 50 } });
        served(&mut scheduler, now, Endpoint::Upsert(Entity::SalesAccount), account);
        served(&mut scheduler, now, CONTACT, contact(1, &[]));
        let (_, now) = lost(&mut scheduler, now, UPDATE);
        let there: &[i64] = if linked { &[60, 50] } else { &[60] };
        let (_, mut effects) = served(&mut scheduler, now, READ, contact(1, there));
        if !linked {
            let (body, ended) = served(&mut scheduler, now, UPDATE, contact(1, &[60, 50]));
            let links = json!([{ "id": 60, "is_primary": true }, { "id": 50, "is_primary": false }]);
            assert_eq!(body["contact"]["sales_accounts"], links);
            effects = ended;
        }
        assert_eq!(settled(effects), [(0, Outcome::Delivered)], "{linked}");
    }
}

/// A contact gets another address, and the answer to that is lost.
fn after_a_lost_change_of_address() -> (Scheduler<u64>, Instant) {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert_of(&mut scheduler, identify("old@x.com"), 0);
    served(&mut scheduler, now, CONTACT, person(&[(70, "old@x.com")]));
    insert_of(&mut scheduler, identify("new@x.com"), 1);
    served(&mut scheduler, now, READ, person(&[(70, "old@x.com")]));
    let (_, now) = lost(&mut scheduler, now, UPDATE);
    (scheduler, now)
}

#[test]
fn a_change_of_address_whose_answer_is_lost_is_written_again_under_the_ids_that_it_has_now() {
    let (mut scheduler, now) = after_a_lost_change_of_address();
    // It took effect, and somebody added an address.
    let there = person(&[(71, "new@x.com"), (70, "old@x.com"), (72, "hand@x.com")]);
    served(&mut scheduler, now, READ, there.clone());
    let (body, effects) = served(&mut scheduler, now, UPDATE, there);
    let written = json!([
        { "id": 71, "value": "new@x.com", "is_primary": true },
        { "id": 70, "value": "old@x.com", "is_primary": false },
        { "id": 72, "value": "hand@x.com", "is_primary": false },
    ]);
    assert_eq!(body["contact"]["emails"], written);
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
}

#[test]
fn a_change_of_address_that_waited_is_not_made_to_a_contact_that_is_somebody_else_by_then() {
    let (mut scheduler, now) = after_a_lost_change_of_address();
    let mut other = person(&[(70, "old@x.com")]);
    other["contact"]["external_id"] = json!("v");
    served(&mut scheduler, now, READ, other);
    let (body, effects) = served(&mut scheduler, now, CONTACT, json!({ "contact": { "id": 8 } }));
    assert_eq!(body["unique_identifier"], json!({ "emails": "new@x.com" }));
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
}

#[test]
fn custom_fields_that_somebody_changes_while_a_deal_waits_are_not_set_back() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let mut renewal = related("Renewal", &json!({}));
    renewal.record.custom_field = json!({ "cf_b": 2 }).as_object().unwrap().into();
    insert(&mut scheduler, ContactWrite { deal: Some(renewal), ..write("a@x.com", &json!({})) }, 0);
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
    let deals = json!({ "contact": { "id": 1 }, "deals": [{ "id": 5, "name": "Renewal" }] });
    served(&mut scheduler, now, READ, deals);
    let held = |value: u8| json!({ "deal": { "id": 5, "custom_field": { "cf_a": value } } });
    served(&mut scheduler, now, Endpoint::DealRead, held(1));
    let (body, now) = lost(&mut scheduler, now, Endpoint::DealUpdate);
    assert_eq!(body["deal"]["custom_field"], json!({ "cf_a": 1, "cf_b": 2 }));
    served(&mut scheduler, now, Endpoint::DealRead, held(9));
    let (body, effects) = served(&mut scheduler, now, Endpoint::DealUpdate, held(9));
    assert_eq!(body["deal"]["custom_field"], json!({ "cf_a": 9, "cf_b": 2 }));
    assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
}

#[test]
fn a_contact_s_deal_is_found_beside_one_that_cannot_be_read_and_in_either_place() {
    let now = Instant::now();
    let own = json!({ "id": 5, "name": "Renewal" });
    for shown in [
        json!({ "contact": { "id": 1 }, "deals": [own, { "id": 6, "name": null }, { "id": "?" }] }),
        json!({ "contact": { "id": 1, "deals": [own] }, "deals": [] }),
        json!({ "contact": { "id": 1, "deals": [own] }, "deals": null }),
    ] {
        let mut scheduler = scheduler(now);
        renewal("a@x.com", 0, &mut scheduler);
        served(&mut scheduler, now, CONTACT, contact(1, &[]));
        served(&mut scheduler, now, READ, shown);
        let (_, effects) = served(&mut scheduler, now, Endpoint::DealUpdate, json!({ "deal": own }));
        assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
    }
}

#[test]
fn an_upsert_that_shows_no_deals_was_not_asked_for_them_and_says_nothing() {
    let now = Instant::now();
    for (shown, next) in [
        (json!([]), READ),
        (json!([{ "id": 9, "name": "Other" }]), READ),
        (json!([{ "id": 5, "name": "Renewal" }]), Endpoint::DealUpdate),
    ] {
        let mut scheduler = scheduler(now);
        renewal("a@x.com", 0, &mut scheduler);
        let answer = json!({ "contact": { "id": 1, "sales_accounts": [], "deals": shown } });
        served(&mut scheduler, now, CONTACT, answer);
        assert_eq!(sent(&mut scheduler, now).1.endpoint, next, "{shown}");
    }
}

/// Writes two contacts by their addresses, which turn out to be one.
fn both_are_one(scheduler: &mut Scheduler<u64>, now: Instant) {
    let calls: Vec<(u64, Call)> = (0..2).map(|_| sent(scheduler, now)).collect();
    for (number, call) in calls {
        assert_eq!(call.endpoint, CONTACT);
        scheduler.answered(number, Verdict::Done(contact(1, &[])), &RateLimit::default(), now);
    }
}

#[test]
fn a_contact_with_two_addresses_gets_one_deal_of_a_name_also_at_the_same_moment() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    renewal("a@x.com", 0, &mut scheduler);
    renewal("b@x.com", 1, &mut scheduler);
    both_are_one(&mut scheduler, now);
    let deals = |deals: Value| json!({ "contact": { "id": 1 }, "deals": deals });
    let (reading, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, READ);
    assert!(matches!(scheduler.next(now), Next::Wait(_)), "both look, and both would create it");
    scheduler.answered(reading, Verdict::Done(deals(json!([]))), &RateLimit::default(), now);
    let (creating, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::DealCreate);
    // It is refused at first, and the other one comes before it.
    let refused = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
    assert_eq!(settled(scheduler.answered(creating, refused, &RateLimit::default(), now)).len(), 1);
    served(&mut scheduler, now, READ, deals(json!([])));
    let (body, effects) = served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 5 } }));
    assert_eq!(body["deal"]["amount"], 1);
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
    assert!(scheduler.is_empty() && scheduler.locks.is_empty());
}

#[test]
fn a_deal_that_is_tried_again_behind_another_of_its_name_is_looked_for_again() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let deal = Some(related("Renewal", &json!({ "deal_stage_id": 3 })));
    insert(&mut scheduler, ContactWrite { deal, ..write("a@x.com", &json!({})) }, 0);
    renewal("b@x.com", 1, &mut scheduler);
    both_are_one(&mut scheduler, now);
    let deals = |deals: Value| json!({ "contact": { "id": 1 }, "deals": deals });
    served(&mut scheduler, now, READ, deals(json!([])));
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::DealCreate);
    let refused = Verdict::Refused { status: 400, messages: vec!["no such stage".to_owned()] };
    scheduler.answered(number, refused, &RateLimit::default(), now);
    let mut there = Vec::new();
    let mut creations = 0;
    while let Next::Send(number, call) = scheduler.next(now) {
        if call.endpoint == Endpoint::DealCreate {
            creations += 1;
            there.push(json!({ "id": 5, "name": "Renewal" }));
        }
        let answer = if call.endpoint == READ { deals(json!(there)) } else { json!({ "deal": there[0] }) };
        scheduler.answered(number, Verdict::Done(answer), &RateLimit::default(), now);
    }
    assert_eq!(creations, 1);
    assert!(scheduler.is_empty());
}

#[test]
fn what_is_read_before_it_is_written_again_is_given_up_like_any_other_if_it_never_gets_through() {
    for answer in [
        |call: &Call| page(call, 403),
        |call: &Call| said(call, 403),
        |_: &Call| Verdict::Unavailable { cause: Failure::ServerError(500), retry_after: None },
    ] {
        let mut account = rich();
        let company = Some(related("Acme", &json!({})));
        insert(&mut account.scheduler, ContactWrite { company, ..write("a@x.com", &json!({})) }, 0);
        let mut number = 1;
        while account.refused.is_empty() {
            plain(&mut account, number);
            number += 1;
            let then = account.now + MINUTE;
            account.run(then, |call| (call.endpoint == Endpoint::ContactUpdate).then(|| answer(call)));
            assert!(number < 60 * 24 * 4, "it is never given up");
        }
        assert_eq!(account.refused.iter().map(|(_, number, _)| *number).collect::<Vec<_>>(), [0]);
        let of_link = |endpoint| account.sent.iter().filter(|(_, call)| call.endpoint == endpoint).count();
        let (written, read) = (of_link(Endpoint::ContactUpdate), of_link(Endpoint::ContactRead));
        assert!(read <= written, "{read} {written}");
    }
}

#[test]
fn what_is_read_before_it_is_written_again_does_not_count_as_others_that_got_through() {
    let mut account = rich();
    account.scheduler.settings.records.links = Links::Careful;
    for number in 0..3 {
        let company = Some(related(&format!("Acme {number}"), &json!({})));
        let contact = write(&format!("c{number}@x.com"), &json!({}));
        insert(&mut account.scheduler, ContactWrite { company, ..contact }, number);
    }
    let then = account.now + 12 * MINUTE * 60;
    account.run(then, |call| (call.endpoint == Endpoint::ContactUpdate).then(|| page(call, 403)));
    assert_eq!(account.refused, []);
}
