//! What is tried after a refusal, step by step: which changes, in which order, and what is told in the end.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{
    COMPANY, CONTACT, CONTACTS, contact, insert, job, related, report, scheduler, sent, served, write,
};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{ContactWrite, Lacking, Record, RelatedWrite};
use crate::outcome::Refusal;
use serde_json::{Value, json};

/// Takes the next call and refuses it; gives its body.
fn refused(scheduler: &mut Scheduler<u64>, now: Instant, why: &str) -> (Value, Vec<Effect<u64>>) {
    let (number, call) = sent(scheduler, now);
    let verdict = Verdict::Refused { status: 400, messages: vec![why.to_owned()] };
    (call.json(), scheduler.answered(number, verdict, &RateLimit::default(), now))
}

fn dead_letter(effects: Vec<Effect<u64>>) -> Refusal {
    let mut letters = effects.into_iter().filter_map(|effect| match effect {
        Effect::Settled { outcome: Outcome::DeadLetter(refusal), .. } => Some(refusal),
        Effect::Settled { .. }
        | Effect::Coalesced(_)
        | Effect::BulkGivenUp
        | Effect::TooManyJobs { .. }
        | Effect::LeftOut(_)
        | Effect::BulkFeature(..)
        | Effect::DealsNotShown
        | Effect::Fields(..)
        | Effect::Selector(..) => None,
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
        | Effect::BulkFeature(..)
        | Effect::DealsNotShown
        | Effect::Fields(..)
        | Effect::Selector(..) => None,
    });
    omitted.collect()
}

#[test]
fn a_contact_s_status_that_freshsales_refuses_is_left_out_and_the_rest_is_written() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, write("a@x.com", &json!({ "city": "Ulm", "contact_status_id": 7 })), 0);
    let (body, effects) = refused(&mut scheduler, now, "Ungültiger Kontaktstatus.");
    assert_eq!(body["contact"]["contact_status_id"], 7);
    assert!(effects.is_empty());
    let (body, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
    assert_eq!(body["contact"], json!({ "city": "Ulm" }));
    assert_eq!(omitted(&effects), [(Entity::Contact, "contact_status_id")]);
    assert!(scheduler.is_empty());
}

#[test]
fn a_deal_s_stage_that_freshsales_refuses_is_left_out_and_the_rest_is_written() {
    let now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| settings.records.deal_identity = DealIdentity::Name);
    let deal = Some(related("Big", &json!({ "amount": 5, "deal_stage_id": 7 })));
    insert(&mut scheduler, ContactWrite { deal, ..write("a@x.com", &json!({ "contact_status_id": 3 })) }, 0);
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
    refused(&mut scheduler, now, "no");
    let upsert = Endpoint::Upsert(Entity::Deal);
    let (body, effects) = served(&mut scheduler, now, upsert, json!({ "deal": { "id": 1 } }));
    assert_eq!(body["deal"], json!({ "amount": 5, "contacts_added_list": [1] }));
    assert_eq!(omitted(&effects), [(Entity::Deal, "deal_stage_id")], "the contact's status was accepted");
}

#[test]
fn where_leaving_the_status_out_does_not_help_the_first_refusal_is_told_and_nothing_is_counted() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, write("a@x.com", &json!({ "contact_status_id": 7 })), 0);
    refused(&mut scheduler, now, "first");
    let (_, effects) = refused(&mut scheduler, now, "second");
    assert_eq!(omitted(&effects), []);
    let letter = dead_letter(effects);
    assert_eq!(letter.http_status, Some(400));
    assert_eq!(letter.problems[0].problem, "Freshsales refused the contact: first");
    assert!(scheduler.is_empty());
}

#[test]
fn a_row_of_a_bulk_job_that_is_refused_is_tried_alone_without_its_status() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..3 {
        let status = json!({ "contact_status_id": number });
        insert(&mut scheduler, write(&format!("c{number}@x.com"), &status), number);
    }
    served(&mut scheduler, now, CONTACTS, job());
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("the job is not asked for") };
    let row = json!({ "record": { "emails": "c1@x.com" }, "code": 400, "message": ["no"] });
    served(&mut scheduler, now, Endpoint::JobStatus, report(2, &[row]));
    let (body, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
    assert_eq!(body["contact"], json!({}));
    assert_eq!(omitted(&effects), [(Entity::Contact, "contact_status_id")]);
    assert!(scheduler.is_empty());
}

/// Values without two required fields, of which the first has a default.
fn lacking(values: &Value) -> Record {
    let lacking = |field: &str, custom, default| Lacking {
        field: field.to_owned(),
        trait_path: field.to_owned(),
        custom,
        default,
    };
    let fields = values.as_object().unwrap().into();
    let lacking =
        vec![lacking("lead_source_id", false, Some(json!(2))), lacking("cf_x", true, Some(json!("Web")))];
    Record { fields, lacking, ..Record::default() }
}

#[test]
fn defaults_are_sent_only_after_a_refusal_without_them_and_only_for_what_the_event_does_not_give() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let identify = |values: &Value| ContactWrite { record: lacking(values), ..write("a@x.com", &json!({})) };
    insert(&mut scheduler, identify(&json!({ "city": "Ulm" })), 0);
    let (body, _) = refused(&mut scheduler, now, "Source can't be empty");
    assert_eq!(body["contact"], json!({ "city": "Ulm" }));
    let (body, _) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
    let expected = json!({ "lead_source_id": 2, "city": "Ulm", "custom_field": { "cf_x": "Web" } });
    assert_eq!(body["contact"], expected);
    // It is there now: a default could write over what people entered.
    insert(&mut scheduler, identify(&json!({ "city": "Bern" })), 1);
    refused(&mut scheduler, now, "no");
    let (_, effects) = served(&mut scheduler, now, Endpoint::ContactRead, contact(1, &[]));
    let letter = dead_letter(effects);
    assert_eq!(letter.problems.len(), 1, "{letter:?}");
    assert_eq!(letter.problems[0].problem, "Freshsales refused the contact: no");
}

#[test]
fn a_remembered_record_that_was_deleted_gets_the_defaults_when_it_is_created_anew() {
    let gone = || Verdict::Refused { status: 404, messages: vec!["Not found".to_owned()] };
    let deleted = |key: &str| Verdict::Done(json!({ key: { "id": 1, "is_deleted": true } }));
    for is_company in [false, true] {
        for answer in [gone(), deleted(if is_company { "sales_account" } else { "contact" })] {
            let now = Instant::now();
            let mut scheduler = scheduler(now);
            let identify = |city: &str| {
                let record = lacking(&json!({ "city": city }));
                if is_company {
                    let company = Some(RelatedWrite { name: "Acme".to_owned(), record });
                    ContactWrite { company, ..write("a@x.com", &json!({})) }
                } else {
                    ContactWrite { record, ..write("a@x.com", &json!({})) }
                }
            };
            let (upsert, read) = if is_company {
                (COMPANY, Endpoint::SalesAccountRead)
            } else {
                (CONTACT, Endpoint::ContactRead)
            };
            let taken = |scheduler: &mut Scheduler<u64>| {
                if is_company {
                    served(scheduler, now, COMPANY, json!({ "sales_account": { "id": 1 } })).0
                } else {
                    served(scheduler, now, CONTACT, contact(1, &[])).0
                }
            };
            insert(&mut scheduler, identify("Ulm"), 0);
            taken(&mut scheduler);
            if is_company {
                served(&mut scheduler, now, CONTACT, contact(1, &[1]));
            }
            insert(&mut scheduler, identify("Bern"), 1);
            refused(&mut scheduler, now, "no");
            let (number, call) = sent(&mut scheduler, now);
            assert_eq!(call.endpoint, read);
            scheduler.answered(number, answer, &RateLimit::default(), now);
            let (number, call) = sent(&mut scheduler, now);
            assert_eq!(call.endpoint, upsert);
            let verdict = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
            scheduler.answered(number, verdict, &RateLimit::default(), now);
            let body = taken(&mut scheduler);
            assert_eq!(body[if is_company { "sales_account" } else { "contact" }]["lead_source_id"], 2);
        }
    }
}

#[test]
fn a_clash_is_not_mended_by_a_change_of_the_record() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let record = lacking(&json!({ "contact_status_id": 7 }));
    insert(&mut scheduler, ContactWrite { record, ..write("a@x.com", &json!({})) }, 0);
    let (number, _) = sent(&mut scheduler, now);
    let clash = Verdict::Refused { status: 409, messages: vec!["locked".to_owned()] };
    dead_letter(scheduler.answered(number, clash, &RateLimit::default(), now));
    assert!(scheduler.is_empty());
}

#[test]
fn where_defaults_do_not_help_either_the_first_refusal_is_told_and_what_is_absent() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let mut record = lacking(&json!({ "contact_status_id": 7 }));
    record.lacking[1].default = None;
    insert(&mut scheduler, ContactWrite { record, ..write("a@x.com", &json!({})) }, 0);
    let mut sent = Vec::new();
    let letter = loop {
        let (body, effects) = refused(&mut scheduler, now, &format!("refusal {}", sent.len()));
        sent.push(body["contact"].clone());
        if !effects.is_empty() {
            break dead_letter(effects);
        }
    };
    let expected = [
        json!({ "contact_status_id": 7 }),
        json!({}),
        json!({ "lead_source_id": 2, "contact_status_id": 7 }),
        json!({ "lead_source_id": 2 }),
    ];
    assert_eq!(sent, expected);
    let told: Vec<&str> = letter.problems.iter().map(|problem| problem.problem.as_str()).collect();
    let absent = "the event does not give fields that a new record needs: lead_source_id, cf_x";
    assert_eq!(told, ["Freshsales refused the contact: refusal 0", absent]);
    let expected = "them in the event, or set accounts.defaults for cf_x";
    assert_eq!(letter.problems[1].expected.as_deref(), Some(expected));
}

#[test]
fn a_company_and_a_deal_get_their_own_defaults_and_merged_identifies_lack_what_none_of_them_gives() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let company = || {
        let values = json!({ "name": "Acme" });
        Some(RelatedWrite { name: "Acme".to_owned(), record: lacking(&values) })
    };
    let deal = Some(RelatedWrite { name: "Big".to_owned(), record: lacking(&json!({ "name": "Big" })) });
    let mut given = lacking(&json!({ "lead_source_id": 9 }));
    given.lacking.remove(0);
    let contact_write = |record: Record| ContactWrite { record, ..write("a@x.com", &json!({})) };
    insert(&mut scheduler, ContactWrite { company: company(), ..contact_write(given) }, 0);
    insert(&mut scheduler, ContactWrite { deal, ..contact_write(lacking(&json!({ "city": "Ulm" }))) }, 1);
    // Which of several is refused cannot be told, so they go one by one.
    refused(&mut scheduler, now, "no");
    refused(&mut scheduler, now, "no");
    let (body, _) = served(&mut scheduler, now, COMPANY, json!({ "sales_account": { "id": 7 } }));
    assert_eq!(body["sales_account"]["lead_source_id"], 2);
    refused(&mut scheduler, now, "no");
    let (body, _) = served(&mut scheduler, now, CONTACT, contact(1, &[7]));
    assert_eq!(body["contact"], json!({ "lead_source_id": 9, "custom_field": { "cf_x": "Web" } }));
    served(&mut scheduler, now, CONTACT, contact(1, &[7]));
    served(&mut scheduler, now, Endpoint::ContactRead, json!({ "contact": { "id": 1 }, "deals": [] }));
    let (body, _) = refused(&mut scheduler, now, "no");
    assert_eq!(body["deal"].get("lead_source_id"), None);
    let (body, _) = served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 5 } }));
    assert_eq!(body["deal"]["lead_source_id"], 2);
    assert!(scheduler.is_empty());
}
