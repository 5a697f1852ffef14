//! Tags are added to those that a record has, and what is known to be there costs nothing.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{
    COMPANY, CONTACT, CONTACTS, contact, insert, job, related, report, scheduler, sent, served, settled,
    write,
};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use serde_json::{Value, json};

fn appending(now: Instant) -> Scheduler<u64> {
    scheduler(now).with(|settings| settings.records.tags = Tags::Append)
}

fn tagged(tags: &Value) -> Value {
    json!({ "contact": { "id": 1, "sales_accounts": [], "tags": tags } })
}

fn company(tags: &Value) -> Value {
    json!({ "sales_account": { "id": 7, "tags": tags } })
}

#[test]
fn a_contact_s_tags_are_added_to_those_that_are_there_and_then_remembered() {
    let now = Instant::now();
    let mut scheduler = appending(now);
    insert(&mut scheduler, write("a@x.com", &json!({ "city": "Ulm", "tags": ["b", "c"] })), 0);
    let (body, _) = served(&mut scheduler, now, CONTACT, tagged(&json!(["a", "b"])));
    assert_eq!(
        body["contact"],
        json!({ "city": "Ulm" }),
        "tags in the upsert would replace those that are there"
    );
    let all = json!(["a", "b", "c"]);
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, tagged(&all));
    assert_eq!(body["contact"], json!({ "tags": all }));
    assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
    insert(&mut scheduler, write("a@x.com", &json!({ "tags": ["c", "a"] })), 1);
    let (_, effects) = served(&mut scheduler, now, CONTACT, json!({ "contact": { "id": 1 } }));
    assert_eq!(settled(effects), [(1, Outcome::Delivered)], "what is there is not written again");
}

#[test]
fn what_the_answer_does_not_show_is_read_and_what_nothing_shows_is_left_out() {
    for (shown, writes) in [(json!({ "id": 1, "tags": ["x"] }), true), (json!({ "id": 1 }), false)] {
        let now = Instant::now();
        let mut scheduler = appending(now);
        insert(&mut scheduler, write("a@x.com", &json!({ "tags": ["y"] })), 0);
        served(&mut scheduler, now, CONTACT, json!({ "contact": { "id": 1, "sales_accounts": [] } }));
        let (_, effects) = served(&mut scheduler, now, Endpoint::ContactRead, json!({ "contact": shown }));
        let left_out = effects.iter().filter(|effect| matches!(effect, Effect::LeftOut(_))).count();
        assert_eq!(left_out, usize::from(!writes));
        if writes {
            let (body, _) = served(&mut scheduler, now, Endpoint::ContactUpdate, tagged(&json!(["x", "y"])));
            assert_eq!(body["contact"]["tags"], json!(["x", "y"]));
        }
        assert!(scheduler.is_empty());
    }
}

#[test]
fn contacts_whose_tags_are_known_to_be_there_go_in_bulk_without_them() {
    let now = Instant::now();
    let mut scheduler = appending(now);
    for number in 0..4i64 {
        let email = format!("c{number}@x.com");
        scheduler.knows(&email, number + 1, &[], Instant::now());
        if number < 3 {
            scheduler.records.learn_tags(Entity::Contact, number + 1, &["vip".to_owned()]);
        }
        let values = json!({ "city": "Ulm", "tags": ["vip"] });
        insert(&mut scheduler, write(&email, &values), u64::try_from(number).unwrap());
    }
    let (body, _) = served(&mut scheduler, now, CONTACTS, job());
    let rows = body["contacts"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["data"] == json!({ "city": "Ulm" })), "{body}");
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(
        (call.endpoint, call.json()["unique_identifier"]["emails"].clone()),
        (CONTACT, json!("c3@x.com"))
    );
    let answer = json!({ "contact": { "id": 4, "sales_accounts": [], "tags": ["vip"] } });
    let effects = scheduler.answered(number, Verdict::Done(answer), &RateLimit::default(), now);
    assert_eq!(settled(effects), [(3, Outcome::Delivered)]);
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("the job is not asked for") };
    let (_, effects) = served(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(settled(effects).len(), 3);
}

#[test]
fn merged_identifies_add_the_tags_of_all_and_a_new_deal_takes_its_own_at_once() {
    let now = Instant::now();
    let mut scheduler = appending(now);
    let deal = || Some(related("Big", &json!({ "amount": 1, "tags": ["hot"] })));
    insert(&mut scheduler, write("a@x.com", &json!({ "tags": ["a", "b"] })), 0);
    insert(
        &mut scheduler,
        ContactWrite { deal: deal(), ..write("a@x.com", &json!({ "tags": ["c", "a"] })) },
        1,
    );
    served(&mut scheduler, now, CONTACT, tagged(&json!([])));
    let (body, _) = served(&mut scheduler, now, Endpoint::ContactUpdate, tagged(&json!([])));
    assert_eq!(body["contact"]["tags"], json!(["a", "b", "c"]));
    served(&mut scheduler, now, Endpoint::ContactRead, json!({ "contact": { "id": 1 }, "deals": [] }));
    let (body, effects) = served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 5 } }));
    assert_eq!(body["deal"], json!({ "amount": 1, "contacts_added_list": [1], "tags": ["hot"] }));
    assert_eq!(settled(effects).len(), 2);
}

#[test]
fn nobody_else_writes_a_company_between_the_reading_and_the_writing_of_its_tags() {
    let now = Instant::now();
    let mut scheduler = appending(now);
    for (number, tag) in [(0, "a"), (1, "b")] {
        let company = Some(related("Acme", &json!({ "name": "Acme", "tags": [tag] })));
        insert(
            &mut scheduler,
            ContactWrite { company, ..write(&format!("c{number}@x.com"), &json!({})) },
            number,
        );
    }
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.json()["sales_account"], json!({ "name": "Acme" }));
    scheduler.answered(number, Verdict::Done(company(&json!([]))), &RateLimit::default(), now);
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.json()["sales_account"], json!({ "tags": ["a"] }));
    assert!(matches!(scheduler.next(now), Next::Wait(_)), "the other one's tags would be lost");
    // It fails, and the other one may write meanwhile: what is there is read before it is written again.
    let lost = Verdict::Unavailable { cause: Failure::Timeout, retry_after: None };
    scheduler.answered(number, lost, &RateLimit::default(), now);
    served(&mut scheduler, now, COMPANY, company(&json!([])));
    let (body, _) = served(&mut scheduler, now, Endpoint::SalesAccountUpdate, company(&json!(["b"])));
    assert_eq!(body["sales_account"], json!({ "tags": ["b"] }));
    let (number, _) = sent(&mut scheduler, now);
    scheduler.answered(
        number,
        Verdict::Done(json!({ "contact": { "id": 2, "sales_accounts": [{ "id": 7, "is_primary": true }] } })),
        &RateLimit::default(),
        now,
    );
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("it is not tried again") };
    served(&mut scheduler, now, Endpoint::SalesAccountRead, company(&json!(["b"])));
    let (body, _) = served(&mut scheduler, now, Endpoint::SalesAccountUpdate, company(&json!(["b", "a"])));
    assert_eq!(body["sales_account"], json!({ "tags": ["b", "a"] }));
}

#[test]
fn tags_that_were_not_written_and_are_no_longer_shown_are_told_and_not_taken_for_written() {
    let mut now = Instant::now();
    let mut scheduler = appending(now);
    let acme = || Some(related("Acme", &json!({ "name": "Acme", "tags": ["a"] })));
    insert(&mut scheduler, ContactWrite { company: acme(), ..write("c@x.com", &json!({})) }, 0);
    served(&mut scheduler, now, COMPANY, company(&json!([])));
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::SalesAccountUpdate);
    let lost = Verdict::Unavailable { cause: Failure::Timeout, retry_after: None };
    scheduler.answered(number, lost, &RateLimit::default(), now);
    let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("it is not tried again") };
    now = then;
    let silent = json!({ "sales_account": { "id": 7 } });
    let (_, effects) = served(&mut scheduler, now, Endpoint::SalesAccountRead, silent);
    assert!(matches!(&effects[..], [Effect::LeftOut(omitted)] if omitted.field == "tags"), "{effects:?}");
    assert!(!scheduler.records.has_tags(Entity::SalesAccount, 7, ["a"].into_iter()));
    let (_, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[7]));
    assert_eq!(settled(effects), [(0, Outcome::Delivered)]);
}
