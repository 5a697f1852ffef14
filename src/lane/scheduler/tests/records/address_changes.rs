//! Who a contact is: identifies without an address, and a `userId` that comes with another address than before.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{
    self, contact, insert_of, related, sent, served, settled, write,
};
use crate::lane::scheduler::tests::failing::outage::{Account, HOUR, plain};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{Activity, ContactWrite, Identity};
use crate::object::ObjectText;
use crate::outcome::{DeadLetterReason, Refusal};
use serde_json::{Value, json};

const UPSERT: Endpoint = Endpoint::Upsert(Entity::Contact);

/// An identify of this `userId`, with an address or without.
fn identify(user_id: &str, email: Option<&str>, values: &Value) -> ContactWrite {
    let mut write = write(email.unwrap_or_default(), values);
    write.email = email.map(str::to_owned);
    write.user_id = Some(user_id.to_owned());
    write.record.fields.insert("external_id", json!(user_id));
    if let Some(email) = email {
        write.record.fields.insert("emails", json!(email));
    }
    write
}

/// Puts it in as the lane does.
fn insert(scheduler: &mut Scheduler<u64>, write: ContactWrite, delivery: u64) {
    insert_of(scheduler, write, delivery);
}

pub(super) fn track(scheduler: &mut Scheduler<u64>, user_id: &str, delivery: u64) {
    let identity = Identity::UserId(user_id.to_owned());
    let activity = Activity { identity, name: delivery.to_string(), properties: ObjectText::default() };
    scheduler.insert(Mapped::Track(activity), &[ContactKey::UserId(user_id.to_owned())], None, delivery);
}

/// A scheduler that has had its lane for long.
fn scheduler(now: Instant) -> Scheduler<u64> {
    let mut scheduler = by_hand::scheduler(now);
    scheduler.begin_alone(now);
    scheduler
}

fn found(contacts: &[Value]) -> Value {
    json!({ "contacts": { "contacts": contacts } })
}

fn person(id: i64, external_id: &str, emails: &[&str]) -> Value {
    let emails = emails.iter().enumerate().map(|(place, email)| {
        json!({ "id": 100 * id + i64::try_from(place).unwrap(), "value": email, "is_primary": place == 0 })
    });
    let emails: Vec<Value> = emails.collect();
    json!({ "id": id, "external_id": external_id, "emails": emails, "sales_accounts": [] })
}

fn read(id: i64, external_id: &str, emails: &[&str]) -> Value {
    json!({ "contact": person(id, external_id, emails) })
}

/// Takes the next call, which must be this one, and refuses it.
fn refused(scheduler: &mut Scheduler<u64>, now: Instant, endpoint: Endpoint) -> (Value, Vec<Effect<u64>>) {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, endpoint, "{scheduler:#?}");
    let refused = Verdict::Refused { status: 400, messages: vec!["déjà pris".to_owned()] };
    (call.json(), scheduler.answered(number, refused, &RateLimit::default(), now))
}

/// Takes the next call, which must be a look-up by this field, and answers it.
pub(super) fn looked_up(
    scheduler: &mut Scheduler<u64>,
    now: Instant,
    field: &str,
    value: &str,
    contacts: &[Value],
) -> Vec<Effect<u64>> {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, Endpoint::Lookup);
    assert!(call.query.contains(&("f", field.to_owned().into())), "{:?}", call.query);
    assert!(call.query.contains(&("q", value.to_owned().into())), "{:?}", call.query);
    scheduler.answered(number, Verdict::Done(found(contacts)), &RateLimit::default(), now)
}

fn nothing_to_send(scheduler: &mut Scheduler<u64>, now: Instant) -> Option<Instant> {
    match scheduler.next(now) {
        Next::Wait(wake) => wake,
        Next::Send(_, call) => panic!("{call:?} is sent"),
    }
}

fn delivered(effects: Vec<Effect<u64>>) -> Vec<u64> {
    let settled = settled(effects).into_iter();
    settled
        .map(|(delivery, outcome)| {
            assert_eq!(outcome, Outcome::Delivered);
            delivery
        })
        .collect()
}

fn dead_letter(effects: Vec<Effect<u64>>) -> Refusal {
    match &settled(effects)[..] {
        [(_, Outcome::DeadLetter(refusal))] => refusal.clone(),
        other => panic!("{other:?}"),
    }
}

/// A `userId` whose contact this lane has written under an address.
fn known(now: Instant) -> Scheduler<u64> {
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", Some("old@x.com"), &json!({})), 0);
    let (_, effects) = served(&mut scheduler, now, UPSERT, read(7, "u", &["old@x.com"]));
    assert_eq!(delivered(effects), [0]);
    scheduler
}

/// The addresses that a body gives a contact, the primary one first.
fn emails(body: &Value) -> Vec<&str> {
    let mut entries: Vec<&Value> = body["contact"]["emails"].as_array().unwrap().iter().collect();
    entries.sort_by_key(|entry| entry["is_primary"] != true);
    entries.iter().map(|entry| entry["value"].as_str().unwrap()).collect()
}

#[test]
fn a_userid_that_is_known_under_another_address_gives_its_contact_the_new_one() {
    let now = Instant::now();
    let mut scheduler = known(now);
    track(&mut scheduler, "u", 1);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({ "city": "Berne" })), 2);
    track(&mut scheduler, "u", 3);
    let (body, _) = served(&mut scheduler, now, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "old@x.com", "Freshsales does not know the new one yet");
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!((call.endpoint, &*call.path), (Endpoint::ContactUpdate, "/api/contacts/7"));
    assert_eq!(
        call.json(),
        json!({ "contact": { "city": "Berne", "external_id": "u", "emails": [
        { "id": 700, "value": "old@x.com", "is_primary": false }, { "value": "new@x.com", "is_primary": true },
    ] } })
    );
    let answer = Verdict::Done(read(7, "u", &["new@x.com", "old@x.com"]));
    assert_eq!(delivered(scheduler.answered(number, answer, &RateLimit::default(), now)), [2]);
    let (body, _) = served(&mut scheduler, now, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "new@x.com");
    // The next one is written by its address, as any other.
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 4);
    served(&mut scheduler, now, UPSERT, read(7, "u", &["new@x.com", "old@x.com"]));
    assert!(scheduler.is_empty());
}

#[test]
fn a_change_of_address_links_the_company_and_the_deal_to_the_contact_that_is_there() {
    let now = Instant::now();
    let mut scheduler = known(now);
    let mut write = identify("u", Some("new@x.com"), &json!({}));
    write.company = Some(related("Acme", &json!({})));
    write.deal = Some(related("Big", &json!({})));
    insert(&mut scheduler, write, 1);
    served(
        &mut scheduler,
        now,
        Endpoint::Upsert(Entity::SalesAccount),
        json!({ "sales_account": { "id": 50 } }),
    );
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    served(&mut scheduler, now, Endpoint::ContactUpdate, read(7, "u", &["new@x.com", "old@x.com"]));
    let (body, _) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[50]));
    assert_eq!(body["contact"], json!({ "sales_accounts": [{ "id": 50, "is_primary": true }] }));
    let deals = json!({ "contact": { "id": 7, "deals": [] } });
    served(&mut scheduler, now, Endpoint::ContactRead, deals);
    let (body, effects) = served(&mut scheduler, now, Endpoint::DealCreate, json!({ "deal": { "id": 1 } }));
    assert_eq!(body["deal"]["contacts_added_list"], json!([7]));
    assert_eq!(delivered(effects), [1]);
}

#[test]
fn a_refused_contact_whose_external_id_is_another_s_changes_that_one() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 0);
    refused(&mut scheduler, now, UPSERT);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "U", &["Old@x.com"])]);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "U", &["Old@x.com"]));
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[]));
    assert_eq!(emails(&body), ["new@x.com", "Old@x.com"]);
    assert_eq!(delivered(effects), [0]);
}

#[test]
fn merged_identifies_change_the_address_together() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..3 {
        insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({ "n": number })), number);
    }
    refused(&mut scheduler, now, UPSERT);
    // Alone, because the refusal does not say which of them it means.
    refused(&mut scheduler, now, UPSERT);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["old@x.com"])]);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[]));
    assert_eq!(body["contact"]["n"], 2);
    assert_eq!(delivered(effects), [0, 1, 2]);
}

#[test]
fn a_change_waits_for_events_of_the_old_address_and_later_ones_wait_for_it() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let old = |scheduler: &mut Scheduler<u64>, delivery| {
        by_hand::insert(scheduler, write("old@x.com", &json!({ "n": delivery })), delivery);
    };
    let company = |mut write: ContactWrite| {
        write.company = Some(related("Acme", &json!({})));
        write
    };
    // It is slow: its company is being written.
    by_hand::insert(&mut scheduler, company(write("old@x.com", &json!({}))), 0);
    let (slow, _) = sent(&mut scheduler, now);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 1);
    refused(&mut scheduler, now, UPSERT);
    old(&mut scheduler, 2);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["old@x.com"])]);
    assert_eq!(nothing_to_send(&mut scheduler, now), None, "it overtakes an event of the old address");
    let done = Verdict::Done(json!({ "sales_account": { "id": 50 } }));
    scheduler.answered(slow, done, &RateLimit::default(), now);
    served(&mut scheduler, now, UPSERT, contact(7, &[50]));
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::ContactUpdate);
    assert_eq!(nothing_to_send(&mut scheduler, now), None, "a later event of the old address overtakes it");
    let effects = scheduler.answered(number, Verdict::Done(contact(7, &[50])), &RateLimit::default(), now);
    assert_eq!(delivered(effects), [1]);
    let (_, effects) = served(&mut scheduler, now, UPSERT, contact(7, &[50]));
    assert_eq!(delivered(effects), [2]);
}

#[test]
fn an_address_of_another_contact_is_written_without_the_external_id_and_remembered() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("u", Some("taken@x.com"), &json!({ "city": "Berne" })), 1);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    refused(&mut scheduler, now, Endpoint::ContactUpdate);
    looked_up(&mut scheduler, now, "email", "taken@x.com", &[person(8, "v", &["taken@x.com"])]);
    let (body, effects) = served(&mut scheduler, now, UPSERT, read(8, "v", &["taken@x.com"]));
    assert_eq!(body["contact"], json!({ "city": "Berne", "emails": "taken@x.com" }));
    let left_out =
        effects.iter().any(|effect| matches!(effect, Effect::LeftOut(what) if what.field == "external_id"));
    assert!(left_out, "{effects:?}");
    assert_eq!(delivered(effects), [1]);
    // Once known, it costs no more calls.
    insert(&mut scheduler, identify("u", Some("taken@x.com"), &json!({})), 2);
    let (body, effects) = served(&mut scheduler, now, UPSERT, read(8, "v", &["taken@x.com"]));
    assert_eq!(body["contact"], json!({ "emails": "taken@x.com" }));
    assert_eq!(delivered(effects), [2]);
    // That it was written under this address makes it no contact of the userId.
    insert(&mut scheduler, identify("u", Some("newest@x.com"), &json!({})), 3);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (body, _) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[]));
    assert_eq!(emails(&body), ["newest@x.com", "old@x.com"]);
    assert!(scheduler.is_empty());
}

#[test]
fn an_identify_without_an_address_is_never_written_to_the_other_contact() {
    for known_before in [true, false] {
        for together in [true, false] {
            let now = Instant::now();
            let mut scheduler = if known_before { known(now) } else { scheduler(now) };
            insert(&mut scheduler, identify("u", Some("taken@x.com"), &json!({ "city": "Berne" })), 1);
            let last = identify("u", None, &json!({ "last_name": "Own" }));
            if together {
                insert(&mut scheduler, last.clone(), 2);
            }
            let (mut ended, mut own) = (Vec::new(), false);
            for round in 0..20 {
                if round > 0 && !together && ended == [1] && scheduler.is_empty() {
                    insert(&mut scheduler, last.clone(), 2);
                }
                if scheduler.is_empty() {
                    break;
                }
                let (number, call) = sent(&mut scheduler, now);
                let body = call.json();
                let text = body.to_string();
                let refuses = Verdict::Refused { status: 400, messages: vec!["déjà pris".to_owned()] };
                let taken = text.contains("taken@x.com");
                // With the userId it is refused, because another contact has that.
                let other = taken && !text.contains("\"external_id\"");
                assert!(!(other && text.contains("Own")), "{known_before} {together} {text}");
                let by_address = call.query.contains(&("f", "email".into()));
                let verdict = if call.endpoint == Endpoint::Lookup && by_address {
                    Verdict::Done(found(&[person(8, "v", &["taken@x.com"])]))
                } else if call.endpoint == Endpoint::Lookup {
                    Verdict::Done(found(&[person(7, "u", &["old@x.com"])]))
                } else if call.endpoint == Endpoint::ContactRead {
                    Verdict::Done(read(7, "u", &["old@x.com"]))
                } else if taken && !other {
                    refuses
                } else if taken {
                    Verdict::Done(read(8, "v", &["taken@x.com"]))
                } else {
                    own |= text.contains("old@x.com") && text.contains("Own");
                    Verdict::Done(read(7, "u", &["old@x.com"]))
                };
                ended.extend(delivered(scheduler.answered(number, verdict, &RateLimit::default(), now)));
            }
            assert_eq!(ended, [1, 2], "{known_before} {together}");
            assert!(own, "{known_before} {together}");
        }
    }
}

#[test]
fn two_userids_that_swap_their_addresses_are_both_delivered() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("v", Some("other@x.com"), &json!({})), 1);
    served(&mut scheduler, now, UPSERT, read(8, "v", &["other@x.com"]));
    let swaps = [("u", "other@x.com", 7, "old@x.com", 8), ("v", "old@x.com", 8, "other@x.com", 7)];
    for (number, (user_id, email, own, before, owner)) in swaps.into_iter().enumerate() {
        insert(&mut scheduler, identify(user_id, Some(email), &json!({})), number as u64);
        served(&mut scheduler, now, Endpoint::ContactRead, read(own, user_id, &[before]));
        refused(&mut scheduler, now, Endpoint::ContactUpdate);
        looked_up(&mut scheduler, now, "email", email, &[person(owner, "w", &[email])]);
        let (_, effects) = served(&mut scheduler, now, UPSERT, contact(owner, &[]));
        assert_eq!(delivered(effects), [number as u64]);
    }
    assert!(scheduler.is_empty());
}

#[test]
fn where_nobody_has_the_external_id_the_refusal_stands_after_a_second_look() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("a@x.com"), &json!({})), 0);
    refused(&mut scheduler, now, UPSERT);
    assert!(looked_up(&mut scheduler, now, "external_id", "u", &[]).is_empty());
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    assert_eq!(later, now + BackoffSettings::default().look_up_delay);
    // By now the contact that had the userId may have lost it, so the call is made once more.
    looked_up(&mut scheduler, later, "external_id", "u", &[]);
    let refusal = dead_letter(refused(&mut scheduler, later, UPSERT).1);
    assert_eq!((refusal.reason, refusal.http_status), (DeadLetterReason::Rejected, Some(400)));
    assert_eq!(refusal.problems[0].problem, "Freshsales refused the contact: déjà pris");
    assert!(scheduler.is_empty());
}

#[test]
fn where_the_lane_was_here_long_enough_one_look_up_is_enough() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", Some("a@x.com"), &json!({})), 0);
    refused(&mut scheduler, now, UPSERT);
    let refusal = dead_letter(looked_up(&mut scheduler, now, "external_id", "u", &[]));
    assert_eq!(refusal.reason, DeadLetterReason::Rejected);
}

#[test]
fn a_contact_that_was_just_created_is_found_by_the_second_look() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 0);
    refused(&mut scheduler, now, UPSERT);
    looked_up(&mut scheduler, now, "external_id", "u", &[]);
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    looked_up(&mut scheduler, later, "external_id", "u", &[person(7, "u", &["old@x.com"])]);
    served(&mut scheduler, later, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (_, effects) = served(&mut scheduler, later, Endpoint::ContactUpdate, contact(7, &[]));
    assert_eq!(delivered(effects), [0]);
}

#[test]
fn a_contact_known_to_have_both_is_not_looked_for_twice() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("u", Some("old@x.com"), &json!({ "bad": 1 })), 1);
    refused(&mut scheduler, now, UPSERT);
    let effects = looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["old@x.com"])]);
    assert_eq!(dead_letter(effects).reason, DeadLetterReason::Rejected);
    // What is known of it stays.
    track(&mut scheduler, "u", 2);
    let (body, _) = served(&mut scheduler, now, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "old@x.com");
}

#[test]
fn a_change_that_is_refused_for_another_reason_is_a_dead_letter_and_changes_nothing_known() {
    let now = Instant::now();
    let mut scheduler = known(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({ "bad": 1 })), 1);
    track(&mut scheduler, "u", 2);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    refused(&mut scheduler, now, Endpoint::ContactUpdate);
    // The contact itself is no other.
    looked_up(&mut scheduler, now, "email", "new@x.com", &[person(7, "u", &["old@x.com", "new@x.com"])]);
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    looked_up(&mut scheduler, later, "email", "new@x.com", &[]);
    let refusal = dead_letter(refused(&mut scheduler, later, Endpoint::ContactUpdate).1);
    assert_eq!(refusal.problems[0].problem, "Freshsales refused the contact: déjà pris");
    let (body, _) = served(&mut scheduler, later, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "old@x.com");
    assert!(scheduler.is_empty());
}

#[test]
fn a_contact_that_is_gone_is_created_anew() {
    for gone_at in [Endpoint::ContactRead, Endpoint::ContactUpdate] {
        let now = Instant::now();
        let mut scheduler = known(now);
        insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 1);
        if gone_at == Endpoint::ContactUpdate {
            served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
        }
        let (number, call) = sent(&mut scheduler, now);
        assert_eq!(call.endpoint, gone_at);
        let gone = Verdict::Refused { status: 404, messages: vec!["gone".to_owned()] };
        scheduler.answered(number, gone, &RateLimit::default(), now);
        let (_, effects) = served(&mut scheduler, now, UPSERT, contact(9, &[]));
        assert_eq!(delivered(effects), [1]);
    }
}

#[test]
fn a_look_up_that_finds_only_who_is_gone_does_not_go_round_in_circles() {
    let now = Instant::now();
    let mut scheduler = known(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 1);
    let (number, _) = sent(&mut scheduler, now);
    let gone = Verdict::Refused { status: 404, messages: vec!["gone".to_owned()] };
    scheduler.answered(number, gone, &RateLimit::default(), now);
    refused(&mut scheduler, now, UPSERT);
    let deleted = person(7, "u", &["old@x.com"]);
    looked_up(&mut scheduler, now, "external_id", "u", std::slice::from_ref(&deleted));
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    looked_up(&mut scheduler, later, "external_id", "u", &[deleted]);
    dead_letter(refused(&mut scheduler, later, UPSERT).1);
    assert!(scheduler.is_empty());
}

#[test]
fn look_ups_that_never_agree_with_what_is_read_come_to_an_end() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 0);
    let mut now = now;
    for call in 0..100 {
        let (number, sent) = match scheduler.next(now) {
            Next::Send(number, call) => (number, call),
            Next::Wait(Some(then)) => {
                now = then;
                continue;
            }
            Next::Wait(None) => panic!("stuck: {scheduler:#?}"),
        };
        let verdict = match sent.endpoint {
            Endpoint::Lookup => Verdict::Done(found(&[person(10 + call, "u", &[&format!("e{call}@x.com")])])),
            Endpoint::ContactRead => {
                let id = sent.path.rsplit('/').next().unwrap().parse().unwrap();
                Verdict::Done(read(id, "somebody else", &["old@x.com"]))
            }
            Endpoint::Fields(_)
            | Endpoint::Selector(_)
            | Endpoint::Search(_)
            | Endpoint::Upsert(_)
            | Endpoint::BulkUpsert(_)
            | Endpoint::JobStatus
            | Endpoint::ContactUpdate
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealRead
            | Endpoint::DealCreate
            | Endpoint::DealUpdate
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => Verdict::Refused { status: 400, messages: vec!["no".to_owned()] },
        };
        if !scheduler.answered(number, verdict, &RateLimit::default(), now).is_empty() {
            assert!(scheduler.is_empty());
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn a_contact_that_has_another_external_id_by_now_is_not_given_the_address() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 1);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "v", &["old@x.com"]));
    let (body, effects) = served(&mut scheduler, now, UPSERT, contact(9, &[]));
    assert_eq!(body["unique_identifier"]["emails"], "new@x.com");
    assert_eq!(delivered(effects), [1]);
}

#[test]
fn an_identify_without_an_address_is_written_under_that_of_the_contact() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", None, &json!({ "city": "Berne" })), 0);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["Ada@x.com"])]);
    let (body, effects) = served(&mut scheduler, now, UPSERT, contact(7, &[]));
    assert_eq!(body["unique_identifier"]["emails"], "ada@x.com");
    assert_eq!(body["contact"], json!({ "city": "Berne", "external_id": "u" }), "it changes no address");
    assert_eq!(delivered(effects), [0]);
    // It is known now, and merges with others.
    insert(&mut scheduler, identify("u", None, &json!({ "a": 1 })), 1);
    insert(&mut scheduler, identify("u", Some("ada@x.com"), &json!({ "b": 2 })), 2);
    insert(&mut scheduler, identify("u", None, &json!({ "c": 3 })), 3);
    let (body, effects) = served(&mut scheduler, now, UPSERT, contact(7, &[]));
    let expected = json!({ "a": 1, "b": 2, "c": 3, "external_id": "u", "emails": "ada@x.com" });
    assert_eq!(body["contact"], expected);
    assert_eq!(delivered(effects), [1, 2, 3]);
}

#[test]
fn an_identify_without_an_address_follows_the_identify_before_it() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({ "a": 1 })), 1);
    insert(&mut scheduler, identify("u", None, &json!({ "b": 2 })), 2);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[]));
    assert_eq!((&body["contact"]["a"], &body["contact"]["b"]), (&json!(1), &json!(2)));
    assert_eq!(delivered(effects), [1, 2]);
}

#[test]
fn an_identify_without_an_address_goes_on_under_the_old_one_if_the_change_before_it_is_refused() {
    let now = Instant::now();
    let mut scheduler = known(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({ "bad": 1 })), 1);
    track(&mut scheduler, "u", 2);
    insert(&mut scheduler, identify("u", None, &json!({ "b": 2 })), 3);
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    refused(&mut scheduler, now, Endpoint::ContactUpdate);
    looked_up(&mut scheduler, now, "email", "new@x.com", &[]);
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    looked_up(&mut scheduler, later, "email", "new@x.com", &[]);
    dead_letter(refused(&mut scheduler, later, Endpoint::ContactUpdate).1);
    served(&mut scheduler, later, Endpoint::TrackEvent, json!({}));
    let (body, effects) = served(&mut scheduler, later, UPSERT, contact(7, &[]));
    assert_eq!(body["unique_identifier"]["emails"], "old@x.com");
    assert_eq!(delivered(effects), [3]);
}

#[test]
fn identifies_without_addresses_go_in_bulk_as_others_do() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..3u64 {
        let (user_id, email) = (format!("u{number}"), format!("a{number}@x.com"));
        scheduler.identities.found(&user_id, email);
        insert(&mut scheduler, identify(&user_id, None, &json!({ "n": number })), number);
    }
    let (_, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::BulkUpsert(Entity::Contact));
    assert_eq!(
        call.json()["contacts"][1],
        json!({ "emails": "a1@x.com", "data": { "n": 1, "external_id": "u1" } })
    );
}

#[test]
fn a_contact_without_any_address_is_written_by_its_id() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let mut write = identify("u", None, &json!({ "city": "Berne" }));
    write.company = Some(related("Acme", &json!({})));
    insert(&mut scheduler, write, 0);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &[])]);
    served(
        &mut scheduler,
        now,
        Endpoint::Upsert(Entity::SalesAccount),
        json!({ "sales_account": { "id": 50 } }),
    );
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[50]));
    assert_eq!(body, json!({ "contact": { "city": "Berne", "external_id": "u" } }));
    assert_eq!(delivered(effects), [0]);
    assert!(scheduler.is_empty());
}

#[test]
fn an_identify_that_names_nobody_is_a_dead_letter_and_asks_no_more_for_a_while() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let mut write = identify("u", None, &json!({}));
    write.company = Some(related("Acme", &json!({})));
    insert(&mut scheduler, write, 0);
    let refusal = dead_letter(looked_up(&mut scheduler, now, "external_id", "u", &[]));
    assert_eq!(refusal.reason, DeadLetterReason::MissingEmail);
    let problem = &refusal.problems[0].problem;
    assert!(problem.contains("no e-mail address") && problem.contains("external_id"), "{problem}");
    for number in 1..3 {
        insert(&mut scheduler, identify("u", None, &json!({})), number);
    }
    nothing_to_send(&mut scheduler, now);
    let ended = settled(scheduler.take_ended());
    assert_eq!(ended.len(), 2);
    assert!(scheduler.is_empty());
    let later = now + Duration::from_mins(1);
    insert(&mut scheduler, identify("u", None, &json!({})), 3);
    looked_up(&mut scheduler, later, "external_id", "u", &[person(7, "u", &["a@x.com"])]);
    served(&mut scheduler, later, UPSERT, contact(7, &[]));
    assert!(scheduler.is_empty());
}

#[test]
fn a_lane_that_was_just_taken_over_looks_twice_before_it_says_that_nobody_is_there() {
    let now = Instant::now();
    let mut scheduler = by_hand::scheduler(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", None, &json!({})), 0);
    assert!(looked_up(&mut scheduler, now, "external_id", "u", &[]).is_empty());
    let later = nothing_to_send(&mut scheduler, now).unwrap();
    looked_up(&mut scheduler, later, "external_id", "u", &[person(7, "u", &["a@x.com"])]);
    let (_, effects) = served(&mut scheduler, later, UPSERT, contact(7, &[]));
    assert_eq!(delivered(effects), [0]);
}

#[test]
fn what_is_given_back_while_it_waits_for_a_second_look_is_not_lost() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 0);
    refused(&mut scheduler, now, UPSERT);
    looked_up(&mut scheduler, now, "external_id", "u", &[]);
    assert_eq!(scheduler.give_back(), [0]);
    assert!(scheduler.is_empty() && scheduler.calls.is_empty() && scheduler.items.is_empty());
}

#[test]
fn an_address_that_the_contact_lost_since_is_not_given_to_it_again_by_an_event_without_one() {
    let now = Instant::now();
    let mut scheduler = known(now);
    insert(&mut scheduler, identify("u", None, &json!({ "city": "Berne" })), 1);
    // Somebody gave the contact another address by hand: the old one would be a second contact.
    refused(&mut scheduler, now, UPSERT);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["hand@x.com"])]);
    let (body, effects) = served(&mut scheduler, now, UPSERT, contact(7, &[]));
    assert_eq!(body["unique_identifier"]["emails"], "hand@x.com");
    assert_eq!(body["contact"], json!({ "city": "Berne", "external_id": "u" }));
    assert_eq!(delivered(effects), [1]);
}

#[test]
fn a_track_before_the_first_identify_is_reported_under_its_address_only_if_nobody_has_the_userid() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    track(&mut scheduler, "u", 0);
    insert(&mut scheduler, identify("u", Some("new@x.com"), &json!({})), 1);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["old@x.com"])]);
    let (body, _) = served(&mut scheduler, now, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "old@x.com");
    // What the look-up found is the contact that gets the new address.
    served(&mut scheduler, now, Endpoint::Lookup, found(&[person(7, "u", &["old@x.com"])]));
    served(&mut scheduler, now, Endpoint::ContactRead, read(7, "u", &["old@x.com"]));
    served(&mut scheduler, now, Endpoint::ContactUpdate, contact(7, &[]));
    assert!(scheduler.is_empty());

    track(&mut scheduler, "v", 2);
    insert(&mut scheduler, identify("v", Some("v@x.com"), &json!({})), 3);
    looked_up(&mut scheduler, now, "external_id", "v", &[]);
    let (body, _) = served(&mut scheduler, now, Endpoint::TrackEvent, json!({}));
    assert_eq!(body["identifier"], "v@x.com");
}

/// How long a step has failed is told by the clock of what it calls, and those clocks are not one.
#[test]
fn a_look_up_that_failed_and_got_through_takes_nothing_from_the_patience_with_what_comes_after_it() {
    let down = Verdict::Unavailable {
        cause: crate::freshsales::UnavailableCause::ServerError(503),
        retry_after: None,
    };
    for refuses_first in [false, true] {
        let mut account = Account::new();
        // Contacts have got through for days, look-ups never.
        for number in 0..400 {
            plain(&mut account, number);
            let then = account.now + Duration::from_mins(15);
            account.run(then, |_| None);
        }
        let email = refuses_first.then_some("new@x.com");
        insert(&mut account.scheduler, identify("u", email, &json!({})), 1000);
        let mut calls = [0; 4];
        let then = account.now + HOUR;
        account.run(then, |call| {
            let refused = Verdict::Refused { status: 400, messages: vec!["déjà pris".to_owned()] };
            let answers = [
                (Endpoint::Lookup, Verdict::Done(found(&[person(7, "u", &[])])), 1),
                (UPSERT, refused, 0),
                (Endpoint::ContactRead, Verdict::Done(read(7, "u", &[])), 0),
                (Endpoint::ContactUpdate, Verdict::Done(read(7, "u", &["new@x.com"])), 8),
            ];
            let (place, (_, answer, failures)) =
                answers.into_iter().enumerate().find(|(_, (endpoint, ..))| *endpoint == call.endpoint)?;
            calls[place] += 1;
            Some(if calls[place] <= failures { down.clone() } else { answer })
        });
        assert_eq!(account.refused, [], "{refuses_first}");
        assert_eq!(account.delivered.last().map(|(_, number)| *number), Some(1000));
    }
}

#[test]
fn whom_this_replica_did_not_find_is_looked_up_again_when_the_lane_was_elsewhere() {
    for redelivered in [false, true] {
        let now = Instant::now();
        let mut scheduler = scheduler(now);
        insert(&mut scheduler, identify("u", None, &json!({})), 0);
        let effects = looked_up(&mut scheduler, now, "external_id", "u", &[]);
        assert_eq!(dead_letter(effects).reason, DeadLetterReason::MissingEmail);
        // Another replica had the lane, and created the contact.
        let now = now + Duration::from_secs(10);
        if redelivered {
            scheduler.redelivered(now);
        } else {
            scheduler.begin();
        }
        insert(&mut scheduler, identify("u", None, &json!({ "city": "Berne" })), 1);
        let now = now + TAKE_OVER_DELAY;
        looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["a@x.com"])]);
        let (_, effects) = served(&mut scheduler, now, UPSERT, read(7, "u", &["a@x.com"]));
        assert_eq!(delivered(effects), [1]);
    }
}

#[test]
fn however_many_identifies_of_somebody_who_is_gone_end_at_once() {
    const MANY: u64 = 20_000;
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..MANY {
        insert(&mut scheduler, identify("u", None, &json!({})), number);
    }
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &[])]);
    // Together they are refused, and when the first is tried alone, the contact has been deleted.
    refused(&mut scheduler, now, Endpoint::ContactUpdate);
    let mut ended = settled(looked_up(&mut scheduler, now, "external_id", "u", &[]));
    ended.extend(settled(scheduler.take_ended()));
    assert_eq!(ended.len() as u64, MANY);
    assert!(ended.iter().map(|(delivery, _)| *delivery).eq(0..MANY), "in their order");
    assert!(scheduler.is_empty() && scheduler.items.is_empty());
}

/// What an account that knows `u` and `v` answers, `u` under its old address until it is changed.
fn account_answers(call: &Call, changed: &mut bool) -> Verdict {
    let u = || {
        if *changed { person(7, "u", &["new@x.com", "old@x.com"]) } else { person(7, "u", &["old@x.com"]) }
    };
    let asks = |value: &str| call.query.contains(&("q", value.to_owned().into()));
    let tagged = |mut record: Value| {
        record["tags"] = json!(["there"]);
        record
    };
    Verdict::Done(match call.endpoint {
        Endpoint::Lookup if asks("v") => found(&[person(8, "v", &["v@x.com"])]),
        Endpoint::Lookup if asks("u") => found(&[u()]),
        Endpoint::Lookup => found(&[]),
        UPSERT if call.json()["unique_identifier"]["emails"] == "new@x.com" && !*changed => {
            return Verdict::Refused { status: 400, messages: vec!["déjà pris".to_owned()] };
        }
        UPSERT if call.json()["unique_identifier"]["emails"] == "v@x.com" => {
            json!({ "contact": tagged(person(8, "v", &["v@x.com"])) })
        }
        Endpoint::ContactRead if call.path.ends_with("/8") => {
            json!({ "contact": tagged(person(8, "v", &["v@x.com"])), "deals": [] })
        }
        Endpoint::ContactUpdate if call.path.ends_with("/8") => {
            json!({ "contact": tagged(person(8, "v", &["v@x.com"])) })
        }
        Endpoint::ContactUpdate => {
            *changed = true;
            json!({ "contact": tagged(person(7, "u", &["new@x.com", "old@x.com"])) })
        }
        UPSERT | Endpoint::ContactRead => json!({ "contact": tagged(u()), "deals": [] }),
        Endpoint::Upsert(Entity::SalesAccount)
        | Endpoint::SalesAccountRead
        | Endpoint::SalesAccountUpdate => {
            json!({ "sales_account": { "id": 5, "tags": ["there"] } })
        }
        Endpoint::DealRead | Endpoint::DealCreate | Endpoint::DealUpdate => {
            json!({ "deal": { "id": 9, "tags": [] } })
        }
        Endpoint::Fields(_) | Endpoint::Selector(_) => json!({ "fields": [] }),
        Endpoint::Upsert(Entity::Deal)
        | Endpoint::Search(_)
        | Endpoint::BulkUpsert(_)
        | Endpoint::JobStatus
        | Endpoint::TrackEvent
        | Endpoint::TrackPageView => json!({}),
    })
}

/// Wherever a session ends, with calls on their way, failed or broken off: each event is settled or given back, once.
#[test]
fn whatever_stage_events_are_in_none_is_lost_when_a_session_ends() {
    let start = Instant::now();
    let mut longest = 0;
    // Without a failure, and with each call failing in turn shortly before the end.
    let never = (0..40).map(|cut| (usize::MAX, cut));
    let in_turn = (0..16).flat_map(|fails| (2 * fails + 1..2 * fails + 9).map(move |cut| (fails, cut)));
    for (fails, cut) in never.chain(in_turn) {
        let broken_off = (cut / 2 + cut) % 2 == 0;
        let mut now = start;
        let mut scheduler = scheduler(now).with(|settings| settings.records.tags = Tags::Append);
        let rich = |user_id: &str, email: Option<&str>, tag: &str| ContactWrite {
            company: Some(related("Acme", &json!({ "tags": [tag] }))),
            deal: Some(related("Renewal", &json!({ "amount": 1, "tags": [tag] }))),
            ..identify(user_id, email, &json!({ "tags": [tag] }))
        };
        insert(&mut scheduler, rich("u", Some("new@x.com"), "a"), 0);
        insert(&mut scheduler, rich("v", None, "b"), 1);
        track(&mut scheduler, "u", 2);
        insert(&mut scheduler, rich("w", None, "c"), 3);
        insert(&mut scheduler, rich("u", None, "d"), 4);
        let (mut changed, mut made, mut ended) = (false, 0, Vec::new());
        let mut on_their_way = VecDeque::new();
        for _ in 0..cut {
            match scheduler.next(now) {
                Next::Send(number, call) => on_their_way.push_back((number, call)),
                Next::Wait(wake) => {
                    ended.extend(settled(scheduler.take_ended()));
                    if let Some((number, call)) = on_their_way.pop_front() {
                        let lost = Verdict::Unavailable {
                            cause: crate::freshsales::UnavailableCause::Timeout,
                            retry_after: None,
                        };
                        let answer = account_answers(&call, &mut changed);
                        let answer = if made == fails { lost } else { answer };
                        made += 1;
                        ended.extend(settled(scheduler.answered(number, answer, &RateLimit::default(), now)));
                    } else if let Some(wake) = wake {
                        now = wake;
                    }
                }
            }
        }
        longest = longest.max(made);
        let mut all: Vec<u64> = ended.iter().map(|(delivery, _)| *delivery).collect();
        all.extend(scheduler.give_back());
        for (number, call) in on_their_way {
            if broken_off {
                scheduler.aborted(number, now);
            } else {
                let answer = account_answers(&call, &mut changed);
                let effects = scheduler.answered(number, answer, &RateLimit::default(), now);
                all.extend(settled(effects).into_iter().map(|(delivery, _)| delivery));
            }
        }
        all.extend(scheduler.give_back());
        all.extend(settled(scheduler.take_ended()).into_iter().map(|(delivery, _)| delivery));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4], "cut off after {cut}, call {fails} failing");
        assert!(scheduler.is_empty() && scheduler.items.is_empty() && scheduler.calls.is_empty());
        assert!(scheduler.locks.is_empty());
    }
    assert!(longest > 14, "{longest} calls: not every stage was reached");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_counts_among_the_calls_that_were_made_for_an_event() {
    let attempts = |effects: &[Effect<u64>]| match effects {
        [Effect::Settled { attempts, .. }, ..] => *attempts,
        other => panic!("{other:?}"),
    };
    let now = Instant::now();
    for contacts in [vec![person(7, "u", &["a@x.com"])], vec![]] {
        let mut scheduler = scheduler(now);
        track(&mut scheduler, "u", 1);
        looked_up(&mut scheduler, now, "external_id", "u", &contacts);
        let (_, effects) = refused(&mut scheduler, now, Endpoint::TrackEvent);
        assert_eq!(attempts(&effects), 2, "{contacts:?}");
    }
    // An identify that turns out to wait for an earlier one of its address has its look-up counted, too.
    let mut scheduler = scheduler(now);
    insert(&mut scheduler, identify("u", None, &json!({ "city": "Berne" })), 1);
    looked_up(&mut scheduler, now, "external_id", "u", &[person(7, "u", &["a@x.com"])]);
    let (_, effects) = served(&mut scheduler, now, UPSERT, read(7, "u", &["a@x.com"]));
    assert_eq!(attempts(&effects), 2);
}
