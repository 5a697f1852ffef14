//! What is tried after a refusal, step by step: which changes, in which order, and what is told in the end.

use super::by_hand::{
    CONTACT, CONTACTS, contact, dispatch, insert, job, related, report, sent, served, write,
};
use super::*;
use crate::mapping::ContactWrite;
use crate::outcome::Refusal;
use serde_json::{Value, json};

/// Takes the next call and refuses it; gives its body.
fn refused(dispatch: &mut Dispatch<u64>, now: Instant, why: &str) -> (Value, Vec<Effect<u64>>) {
    let (number, call) = sent(dispatch, now);
    let verdict = Verdict::Refused { status: 400, messages: vec![why.to_owned()] };
    (call.json(), dispatch.answered(number, verdict, &RateLimit::default(), now))
}

fn dead_letter(effects: Vec<Effect<u64>>) -> Refusal {
    let mut letters = effects.into_iter().filter_map(|effect| match effect {
        Effect::Settled { outcome: Outcome::DeadLetter(refusal), .. } => Some(refusal),
        Effect::Settled { .. }
        | Effect::Coalesced(_)
        | Effect::BulkGivenUp
        | Effect::TooManyJobs { .. }
        | Effect::LeftOut(_)
        | Effect::DealsNotShown
        | Effect::Fields(..) => None,
    });
    letters.next().expect("no dead letter")
}

/// What was left out, as entity and field.
fn omitted(effects: &[Effect<u64>]) -> Vec<(Entity, &str)> {
    let omitted = effects.iter().filter_map(|effect| match effect {
        Effect::LeftOut(omitted) => Some((omitted.entity, omitted.field.as_str())),
        Effect::Settled { .. }
        | Effect::Coalesced(_)
        | Effect::BulkGivenUp
        | Effect::TooManyJobs { .. }
        | Effect::DealsNotShown
        | Effect::Fields(..) => None,
    });
    omitted.collect()
}

#[test]
fn a_contact_s_status_that_freshsales_refuses_is_left_out_and_the_rest_is_written() {
    let now = Instant::now();
    let mut dispatch = dispatch(now);
    insert(&mut dispatch, write("a@x.com", &json!({ "city": "Ulm", "contact_status_id": 7 })), 0);
    let (body, effects) = refused(&mut dispatch, now, "Ungültiger Kontaktstatus.");
    assert_eq!(body["contact"]["contact_status_id"], 7);
    assert!(effects.is_empty());
    let (body, effects) = served(&mut dispatch, now, CONTACT, contact(1, &[]));
    assert_eq!(body["contact"], json!({ "city": "Ulm" }));
    assert_eq!(omitted(&effects), [(Entity::Contact, "contact_status_id")]);
    assert!(dispatch.is_empty());
}

#[test]
fn a_deal_s_stage_that_freshsales_refuses_is_left_out_and_the_rest_is_written() {
    let now = Instant::now();
    let mut dispatch = dispatch(now).with_deals(DealIdentity::Name);
    let deal = Some(related("Big", &json!({ "amount": 5, "deal_stage_id": 7 })));
    insert(&mut dispatch, ContactWrite { deal, ..write("a@x.com", &json!({ "contact_status_id": 3 })) }, 0);
    served(&mut dispatch, now, CONTACT, contact(1, &[]));
    refused(&mut dispatch, now, "no");
    let upsert = crate::freshsales::Endpoint::Upsert(Entity::Deal);
    let (body, effects) = served(&mut dispatch, now, upsert, json!({ "deal": { "id": 1 } }));
    assert_eq!(body["deal"], json!({ "amount": 5, "contacts_added_list": [1] }));
    assert_eq!(omitted(&effects), [(Entity::Deal, "deal_stage_id")], "the contact's status was accepted");
}

#[test]
fn where_leaving_the_status_out_does_not_help_the_first_refusal_is_told_and_nothing_is_counted() {
    let now = Instant::now();
    let mut dispatch = dispatch(now);
    insert(&mut dispatch, write("a@x.com", &json!({ "contact_status_id": 7 })), 0);
    refused(&mut dispatch, now, "first");
    let (_, effects) = refused(&mut dispatch, now, "second");
    assert_eq!(omitted(&effects), []);
    let letter = dead_letter(effects);
    assert_eq!(letter.http_status, Some(400));
    assert_eq!(letter.problems[0].problem, "Freshsales refused the contact: first");
    assert!(dispatch.is_empty());
}

#[test]
fn a_row_of_a_bulk_job_that_is_refused_is_tried_alone_without_its_status() {
    let now = Instant::now();
    let mut dispatch = dispatch(now);
    for number in 0..3 {
        let status = json!({ "contact_status_id": number });
        insert(&mut dispatch, write(&format!("c{number}@x.com"), &status), number);
    }
    served(&mut dispatch, now, CONTACTS, job());
    let Next::Wait(Some(now)) = dispatch.next(now) else { panic!("the job is not asked for") };
    let row = json!({ "record": { "emails": "c1@x.com" }, "code": 400, "message": ["no"] });
    served(&mut dispatch, now, crate::freshsales::Endpoint::JobStatus, report(2, &[row]));
    let (body, effects) = served(&mut dispatch, now, CONTACT, contact(1, &[]));
    assert_eq!(body["contact"], json!({}));
    assert_eq!(omitted(&effects), [(Entity::Contact, "contact_status_id")]);
    assert!(dispatch.is_empty());
}
