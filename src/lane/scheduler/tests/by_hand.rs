//! What the random tests do not reach: calls answered one by one, as a test wants it.

use super::prelude::*;
use crate::freshsales::{Endpoint, SalesAccountLink};
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::timing::LOST_SESSION_GRACE;
use crate::mapping::{Activity, ContactWrite, Identity, Record, RelatedWrite};
use crate::object::ObjectText;
use serde_json::{Value, json};

pub(in crate::lane::scheduler) fn scheduler(now: Instant) -> Scheduler<u64> {
    let quota = || Quota::new(1_000_000.0, Duration::from_hours(1), 1.0, now);
    let mut scheduler =
        Scheduler::new(SchedulerSettings::new(8, BackoffSettings::default()), quota(), quota());
    let plenty = RateLimit { remaining: Some(1_000_000), ..RateLimit::default() };
    scheduler.budgets.of_mut(BudgetKind::Api).observe(now, &plenty, 0);
    scheduler.budgets.of_mut(BudgetKind::Tracking).observe(now, &plenty, 0);
    scheduler
}

fn record(values: &Value) -> Record {
    Record { fields: values.as_object().unwrap().into(), ..Record::default() }
}

pub(in crate::lane::scheduler) fn write(email: &str, values: &Value) -> ContactWrite {
    ContactWrite {
        email: Some(email.to_owned()),
        user_id: None,
        record: record(values),
        company: None,
        deal: None,
    }
}

pub(in crate::lane::scheduler) fn related(name: &str, values: &Value) -> RelatedWrite {
    RelatedWrite { name: name.to_owned(), record: record(values) }
}

pub(in crate::lane::scheduler) fn insert(scheduler: &mut Scheduler<u64>, write: ContactWrite, delivery: u64) {
    let key = ContactKey::Email(write.email.clone().unwrap());
    scheduler.insert(Mapped::Contact(Box::new(write)), &[key], None, delivery);
}

/// Puts an identify in as the lane does, with a `userId` or without.
pub(in crate::lane::scheduler) fn insert_of(
    scheduler: &mut Scheduler<u64>,
    write: ContactWrite,
    delivery: u64,
) {
    let user_id = write.user_id.clone().map(ContactKey::UserId);
    let keys: Vec<ContactKey> =
        user_id.into_iter().chain(write.email.clone().map(ContactKey::Email)).collect();
    let taught = write.user_id.clone().zip(write.email.clone());
    scheduler.insert(Mapped::Contact(Box::new(write)), &keys, taught, delivery);
}

pub(in crate::lane::scheduler) fn sent(scheduler: &mut Scheduler<u64>, now: Instant) -> (u64, Call) {
    match scheduler.next(now) {
        Next::Send(number, call) => (number, call),
        Next::Wait(wake) => panic!("nothing to send until {wake:?}: {scheduler:#?}"),
    }
}

/// Takes the call that is planned next, which must be this one, and answers it; gives its body.
pub(in crate::lane::scheduler) fn served(
    scheduler: &mut Scheduler<u64>,
    now: Instant,
    endpoint: Endpoint,
    answer: Value,
) -> (Value, Vec<Effect<u64>>) {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, endpoint);
    let effects = scheduler.answered(number, Verdict::Done(answer), &RateLimit::default(), now);
    (call.json(), effects)
}

pub(in crate::lane::scheduler) fn settled(effects: Vec<Effect<u64>>) -> Vec<(u64, Outcome)> {
    let settled = effects.into_iter().filter_map(|effect| match effect {
        Effect::Settled { delivery, outcome, .. } => Some((delivery, outcome)),
        Effect::Coalesced(_)
        | Effect::BulkGivenUp
        | Effect::TooManyJobs { .. }
        | Effect::LeftOut(_)
        | Effect::BulkFeature(..)
        | Effect::DealsNotShown
        | Effect::Fields(..)
        | Effect::Selector(..) => None,
    });
    settled.collect()
}

pub(in crate::lane::scheduler) fn job() -> Value {
    json!({ "job_status_url": "https://x/api/job_statuses/1" })
}

pub(in crate::lane::scheduler) fn report(succeeded: u64, failed: &[Value]) -> Value {
    let counts = json!({ "succeeded": succeeded, "failed": failed.len() });
    let data = json!({ "record_status": counts, "detailed_failure_report": failed });
    json!({ "status": "SUCCESS", "data": data.to_string() })
}

pub(in crate::lane::scheduler) const CONTACT: Endpoint = Endpoint::Upsert(Entity::Contact);
pub(in crate::lane::scheduler) const CONTACTS: Endpoint = Endpoint::BulkUpsert(Entity::Contact);
pub(in crate::lane::scheduler) const COMPANY: Endpoint = Endpoint::Upsert(Entity::SalesAccount);

pub(in crate::lane::scheduler) fn contact(id: i64, links: &[i64]) -> Value {
    let links: Vec<Value> = links.iter().map(|id| json!({ "id": id, "is_primary": true })).collect();
    json!({ "contact": { "id": id, "sales_accounts": links } })
}

/// Three contacts that go in one bulk call.
fn three(now: Instant) -> Scheduler<u64> {
    let mut scheduler = scheduler(now);
    for number in 0..3 {
        insert(&mut scheduler, write(&format!("c{number}@x.com"), &json!({})), number);
    }
    scheduler
}

/// Three contacts in one bulk call that was taken; the time of the first question.
fn submitted(now: Instant) -> (Scheduler<u64>, Instant) {
    let mut scheduler = three(now);
    served(&mut scheduler, now, CONTACTS, job());
    let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("the job is not asked for") };
    (scheduler, then)
}

/// Answers every call to an endpoint with a failure until a contact is written alone, which must be within a quarter of
/// an hour; how often the endpoint was called.
fn failing(scheduler: &mut Scheduler<u64>, mut now: Instant, endpoint: Endpoint, status: u16) -> usize {
    let end = now + Duration::from_mins(15);
    let mut asked = 0;
    loop {
        match scheduler.next(now) {
            Next::Send(number, call) if call.endpoint == endpoint => {
                asked += 1;
                let trouble = if status < 300 {
                    Failure::UnexpectedBody(status)
                } else {
                    Failure::UnexpectedStatus(status)
                };
                let verdict = Verdict::Unavailable { cause: trouble, retry_after: None };
                assert!(scheduler.answered(number, verdict, &RateLimit::default(), now).is_empty());
            }
            Next::Send(_, call) => {
                assert_eq!(call.endpoint, CONTACT);
                return asked;
            }
            Next::Wait(Some(then)) => now = then,
            Next::Wait(None) => panic!("stuck"),
        }
        assert!(now < end, "still trying");
    }
}

#[test]
fn a_job_whose_status_is_never_told_does_not_hold_its_events_for_ever() {
    let (mut scheduler, now) = submitted(Instant::now());
    // A sign-in page, say.
    failing(&mut scheduler, now, Endpoint::JobStatus, 200);
}

#[test]
fn a_bulk_call_that_is_never_taken_is_done_one_by_one_in_the_end() {
    let now = Instant::now();
    let asked = failing(&mut three(now), now, CONTACTS, 418);
    assert!((5..30).contains(&asked), "{asked}");
}

#[test]
fn a_row_that_does_not_condemn_its_record_is_tried_again_alone() {
    for status in [500, 429, 1001] {
        let (mut scheduler, now) = submitted(Instant::now());
        let row = json!({ "record": { "emails": "c1@x.com" }, "code": status, "message": "not now" });
        let (_, effects) = served(&mut scheduler, now, Endpoint::JobStatus, report(2, &[row]));
        assert_eq!(settled(effects), [(0, Outcome::Delivered), (2, Outcome::Delivered)], "{status}");
        let (_, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
        assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
        assert!(scheduler.is_empty());
    }
}

/// Makes contacts 0 to 2 known and linked to the company Acme (id 7), written with the size 1. The events are there
/// already: values written before the lane was empty would not be relied on.
fn acquaint(scheduler: &mut Scheduler<u64>) {
    for number in 0..3 {
        let link = SalesAccountLink { id: 7, primary: true };
        scheduler.knows(&format!("c{number}@x.com"), number + 1, &[link], Instant::now());
    }
    let written = Some(fingerprint(&record(&json!({ "size": 1 })).into()));
    scheduler.records.learn_account("Acme", CachedAccount { id: 7, written });
}

#[test]
fn what_is_forgotten_while_a_job_runs_is_not_missed_after_it() {
    let now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| settings.records.links = Links::Careful);
    for number in 0..3 {
        let mut write = write(&format!("c{number}@x.com"), &json!({ "a": 1 }));
        write.company = Some(related("Acme", &json!({ "size": 1 })));
        write.deal = Some(related("Deal", &json!({ "amount": number })));
        insert(&mut scheduler, write, number);
    }
    acquaint(&mut scheduler);
    served(&mut scheduler, now, CONTACTS, job());
    // Others were written meanwhile, so many that these are remembered no more.
    for number in 0..3 {
        scheduler.records.forget(&format!("c{number}@x.com"), Some("Acme"));
    }
    let Next::Wait(Some(now)) = scheduler.next(now) else { panic!("the job is not asked for") };
    served(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    for number in 0..3 {
        let answer = json!({ "deal": { "id": 1 } });
        let mut read = contact(i64::try_from(number).unwrap() + 1, &[]);
        read["deals"] = json!([]);
        served(&mut scheduler, now, Endpoint::ContactRead, read);
        let (body, effects) = served(&mut scheduler, now, Endpoint::DealCreate, answer);
        assert_eq!(body["deal"]["contacts_added_list"], json!([number + 1]), "{body}");
        assert_eq!(body["deal"]["sales_account_id"], 7, "{body}");
        assert_eq!(settled(effects), [(number, Outcome::Delivered)]);
    }
    assert!(scheduler.is_empty());
}

#[test]
fn a_company_that_is_being_written_is_not_taken_for_what_it_was() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for (number, size) in [(0, 2), (1, 1)] {
        let mut write = write(&format!("c{number}@x.com"), &json!({}));
        write.company = Some(related("Acme", &json!({ "size": size })));
        insert(&mut scheduler, write, number);
    }
    acquaint(&mut scheduler);
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.json()["sales_account"]["size"], 2);
    assert!(matches!(scheduler.next(now), Next::Wait(None)), "the second overtakes the first");
    let answer = Verdict::Done(json!({ "sales_account": { "id": 7 } }));
    scheduler.answered(number, answer, &RateLimit::default(), now);
    let mut sizes = Vec::new();
    while let Next::Send(number, call) = scheduler.next(now) {
        let answer = if call.endpoint == COMPANY {
            sizes.push(call.json()["sales_account"]["size"].clone());
            json!({ "sales_account": { "id": 7 } })
        } else {
            contact(1, &[7])
        };
        scheduler.answered(number, Verdict::Done(answer), &RateLimit::default(), now);
    }
    assert_eq!(sizes, [1]);
    assert!(scheduler.is_empty());
}

#[test]
fn a_company_is_written_again_when_the_lane_may_have_been_away() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let sized = |number: u64| {
        let mut write = write(&format!("c{number}@x.com"), &json!({}));
        write.company = Some(related("Acme", &json!({ "size": 1 })));
        write
    };
    insert(&mut scheduler, sized(0), 0);
    acquaint(&mut scheduler);
    // As long as something is held, nobody else can have written.
    insert(&mut scheduler, sized(1), 1);
    for number in 0..2 {
        let (_, effects) = served(&mut scheduler, now, CONTACT, contact(number + 1, &[7]));
        assert_eq!(settled(effects).len(), 1);
    }
    // Empty: the lane may have moved to another replica and back.
    insert(&mut scheduler, sized(2), 2);
    served(&mut scheduler, now, COMPANY, json!({ "sales_account": { "id": 7 } }));
    served(&mut scheduler, now, CONTACT, contact(3, &[7]));
    assert!(scheduler.is_empty());
}

#[test]
fn every_event_of_a_group_that_was_refused_counts_the_call_for_all() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..2 {
        insert(&mut scheduler, write("c@x.com", &json!({ "n": number })), number);
    }
    let (number, _) = sent(&mut scheduler, now);
    let refused = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
    assert!(scheduler.answered(number, refused, &RateLimit::default(), now).is_empty());
    for number in 0..2 {
        let (_, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
        let [Effect::Settled { delivery, attempts, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((*delivery, *attempts), (number, 2));
    }
}

#[test]
fn calls_of_the_other_budget_take_nothing_from_what_is_left() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..4u64 {
        let email = format!("t{number}@x.com");
        let (identity, name) = (Identity::Email(email.clone()), "Seen".to_owned());
        let track = Mapped::Track(Activity { identity, name, properties: ObjectText::default() });
        scheduler.insert(track, &[ContactKey::Email(email)], None, number);
        sent(&mut scheduler, now);
    }
    for number in 0..2 {
        insert(&mut scheduler, write(&format!("c{number}@x.com"), &json!({})), number);
    }
    let (number, _) = sent(&mut scheduler, now);
    let told = RateLimit { remaining: Some(3), reset: Some(Duration::from_hours(1)), limit: None };
    scheduler.answered(number, Verdict::Done(contact(1, &[])), &told, now);
    sent(&mut scheduler, now);
}

#[test]
fn many_identifies_of_one_contact_are_merged_in_no_time() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..400 {
        insert(&mut scheduler, write("c@x.com", &json!({ "n": number })), number);
    }
    let started = Instant::now();
    let (_, effects) = served(&mut scheduler, now, CONTACT, contact(1, &[]));
    assert_eq!(settled(effects).len(), 400);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn many_contacts_of_one_company_are_planned_in_no_time() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..400 {
        let mut write = write(&format!("c{number}@x.com"), &json!({}));
        write.company = Some(related("Acme", &json!({ "size": number })));
        insert(&mut scheduler, write, number);
    }
    let started = Instant::now();
    sent(&mut scheduler, now);
    assert!(matches!(scheduler.next(now), Next::Wait(None)));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// Three contacts that the lane knows, with their ids.
fn known(now: Instant) -> Scheduler<u64> {
    let mut scheduler = scheduler(now);
    for number in 0..3u64 {
        let email = format!("c{number}@x.com");
        insert(&mut scheduler, write(&email, &json!({})), number);
        let id = 10 + i64::try_from(number).unwrap();
        served(&mut scheduler, now, CONTACT, contact(id, &[]));
    }
    scheduler
}

#[test]
fn deals_of_contacts_that_are_known_go_in_bulk_as_the_contacts_do() {
    let now = Instant::now();
    let mut scheduler = known(now).with(|settings| settings.records.deal_identity = DealIdentity::Name);
    for number in 0..3u64 {
        let name = format!("Deal {number}");
        let deal = Some(related(&name, &json!({ "name": name, "amount": number })));
        insert(
            &mut scheduler,
            ContactWrite { deal, ..write(&format!("c{number}@x.com"), &json!({})) },
            number,
        );
    }
    served(&mut scheduler, now, CONTACTS, job());
    let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("the job is not asked for") };
    served(&mut scheduler, then, Endpoint::JobStatus, report(3, &[]));
    let (body, _) = served(&mut scheduler, then, Endpoint::BulkUpsert(Entity::Deal), job());
    let contacts: Vec<&Value> = body["deals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deal| &deal["data"]["contacts_added_list"][0])
        .collect();
    assert_eq!(contacts, [&json!(10), &json!(11), &json!(12)]);
    let Next::Wait(Some(then)) = scheduler.next(then) else { panic!("the job is not asked for") };
    let (_, effects) = served(&mut scheduler, then, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(settled(effects).len(), 3);
    assert!(scheduler.is_empty());
}

#[test]
fn sales_accounts_that_are_known_and_changed_go_in_bulk() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    let company = |number: u64, city: &str| {
        let name = format!("Company {number}");
        let company = Some(related(&name, &json!({ "name": name, "city": city })));
        ContactWrite { company, ..write(&format!("c{number}@x.com"), &json!({})) }
    };
    for number in 0..3u64 {
        insert(&mut scheduler, company(number, "Here"), number);
        let account = 100 + i64::try_from(number).unwrap();
        served(&mut scheduler, now, COMPANY, json!({ "sales_account": { "id": account } }));
        served(&mut scheduler, now, CONTACT, contact(10 + i64::try_from(number).unwrap(), &[account]));
    }
    for number in 0..3u64 {
        insert(&mut scheduler, company(number, "There"), 10 + number);
    }
    let (body, _) = served(&mut scheduler, now, Endpoint::BulkUpsert(Entity::SalesAccount), job());
    assert_eq!(body["sales_accounts"].as_array().unwrap().len(), 3);
    let Next::Wait(Some(then)) = scheduler.next(now) else { panic!("the job is not asked for") };
    served(&mut scheduler, then, Endpoint::JobStatus, report(3, &[]));
    served(&mut scheduler, then, CONTACTS, job());
}

#[test]
fn a_lane_taken_over_sends_nothing_but_field_calls_until_its_last_holder_s_calls_are_over() {
    assert!(TAKE_OVER_DELAY > LOST_SESSION_GRACE);
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    scheduler.redelivered(now);
    insert(&mut scheduler, write("a@x.com", &json!({})), 0);
    scheduler.read_fields(Entity::Deal, now);
    served(&mut scheduler, now, Endpoint::Fields(Entity::Deal), json!({}));
    let until = now + TAKE_OVER_DELAY;
    assert!(matches!(scheduler.next(now), Next::Wait(Some(then)) if then == until));
    let just_before = until.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(scheduler.taking_over(just_before) && matches!(scheduler.next(just_before), Next::Wait(Some(_))));
    assert!(!scheduler.taking_over(until));
    served(&mut scheduler, until, CONTACT, contact(1, &[]));

    // What comes again while others are held was given back in this session.
    insert(&mut scheduler, write("b@x.com", &json!({})), 1);
    scheduler.redelivered(until);
    served(&mut scheduler, until, CONTACT, contact(2, &[]));
    // With none held, the lane may have been elsewhere and come back, all in one session.
    scheduler.redelivered(until);
    assert!(scheduler.taking_over(until));

    scheduler.begin();
    insert(&mut scheduler, write("c@x.com", &json!({})), 2);
    served(&mut scheduler, until, CONTACT, contact(3, &[]));
    scheduler.redelivered(until);
    insert(&mut scheduler, write("d@x.com", &json!({})), 3);
    assert!(matches!(scheduler.next(until), Next::Wait(Some(then)) if then == until + TAKE_OVER_DELAY));
}

#[test]
fn a_call_that_was_broken_off_frees_its_place_and_says_nothing_about_the_account() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.budgets.of_mut(BudgetKind::Api).keep_away(now, Duration::from_secs(1));
    let now = now + Duration::from_secs(1);
    insert(&mut scheduler, write("a@x.com", &json!({})), 0);
    let (number, _) = sent(&mut scheduler, now);
    assert!(scheduler.budgets.of(BudgetKind::Api).blocked_for(now).is_some(), "it was the probe");
    scheduler.aborted(number, now);
    assert_eq!((scheduler.sending(), scheduler.budgets.of(BudgetKind::Api).in_flight()), (0, 0));
    assert!(scheduler.impediment(BudgetKind::Api).is_none());
    assert_eq!(scheduler.give_back(), [0]);
    insert(&mut scheduler, write("b@x.com", &json!({})), 1);
    // Another call may be the probe.
    served(&mut scheduler, now, CONTACT, contact(1, &[]));
}

#[test]
fn a_lane_without_quota_reads_its_fields_from_the_reserve() {
    let now = Instant::now();
    let quota = || Quota::new(900.0, Duration::from_hours(1), 1.0, now);
    let mut scheduler: Scheduler<u64> = Scheduler::new(
        SchedulerSettings::new(8, BackoffSettings::default()),
        quota().with_reserve(3),
        quota(),
    );
    insert(&mut scheduler, write("c@x.com", &json!({})), 0);
    let told = RateLimit { remaining: Some(3), reset: Some(Duration::from_hours(1)), limit: None };
    scheduler.budgets.of_mut(BudgetKind::Api).observe(now, &told, 0);
    assert!(matches!(scheduler.next(now), Next::Wait(Some(_))));
    for entity in Entity::ALL {
        scheduler.read_fields(*entity, now);
    }
    for entity in Entity::ALL {
        let (body, effects) = served(&mut scheduler, now, Endpoint::Fields(*entity), json!({ "fields": [] }));
        assert_eq!(body, Value::Null);
        assert!(matches!(effects[..], [Effect::Fields(..)]), "{effects:?}");
    }
    assert!(matches!(scheduler.next(now), Next::Wait(Some(_))), "a record went on the reserve");
}

/// How long a call has failed counts from its own first failure, by the time in which others like it got through.
#[test]
fn a_refused_look_up_does_not_count_against_the_record_that_is_tried_after_it() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(now);
    // Contacts get through for longer than a record is tried, and look-ups never did.
    for number in 0..300 {
        let email = format!("{number}@example.com");
        insert(&mut scheduler, write(&email, &json!({ "emails": email })), number);
        served(&mut scheduler, now, CONTACT, contact(1, &[]));
        now += Duration::from_mins(15);
    }
    let values = json!({ "emails": "ada@example.com", "external_id": "u", "contact_status_id": 3 });
    let write = ContactWrite { user_id: Some("u".to_owned()), ..write("ada@example.com", &values) };
    insert_of(&mut scheduler, write, 300);
    let (number, _) = sent(&mut scheduler, now);
    let refused = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
    scheduler.answered(number, refused, &RateLimit::default(), now);
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::Lookup);
    let denied = Verdict::Denied { status: 403, messages: vec!["no".to_owned()] };
    scheduler.answered(number, denied, &RateLimit::default(), now);
    served(&mut scheduler, now, Endpoint::Fields(Entity::Contact), json!({ "fields": [] }));

    let mut failures = 0;
    while failures < 10 {
        match scheduler.next(now) {
            Next::Send(number, call) => {
                assert_eq!(call.endpoint, CONTACT);
                assert!(call.json()["contact"].get("contact_status_id").is_none(), "{call:?}");
                let down = Verdict::Unavailable { cause: Failure::ServerError(503), retry_after: None };
                let effects = scheduler.answered(number, down, &RateLimit::default(), now);
                failures += 1;
                assert_eq!(settled(effects), [], "after {failures} failures in a row");
            }
            Next::Wait(wake) => now = wake.unwrap(),
        }
    }
    let ended = loop {
        match scheduler.next(now) {
            Next::Send(number, _) => {
                let done = Verdict::Done(contact(2, &[]));
                break settled(scheduler.answered(number, done, &RateLimit::default(), now));
            }
            Next::Wait(wake) => now = wake.unwrap(),
        }
    };
    assert_eq!(ended, [(300, Outcome::Delivered)]);
}
