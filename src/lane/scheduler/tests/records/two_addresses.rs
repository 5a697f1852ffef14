//! A contact that two events know by different addresses, while searches do not show yet what was written a moment ago.

use crate::freshsales::Endpoint;
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::scheduler::tests::by_hand::{
    CONTACT, CONTACTS, contact, insert, job, related, report, scheduler, sent, served, settled, write,
};
use crate::lane::scheduler::tests::prelude::*;
use crate::lane::scheduler::tests::together::reading::{
    SEARCH, control, next_call, row, rows, search_delay, serve_next,
};
use crate::mapping::ContactWrite;
use serde_json::{Value, json};

const ACME: i64 = 7;
/// The contact that has the addresses `a` and `b`.
const SHARED: i64 = 10;
const RENEWAL: i64 = 100;

fn readable() -> (Scheduler<u64>, Instant) {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    control(&mut scheduler, "control", start);
    scheduler.tenure.begin(start);
    (scheduler, start + search_delay())
}

fn company_of(scheduler: &mut Scheduler<u64>, name: &str, id: i64, who: &str, delivery: u64) {
    let company = Some(related(name, &json!({})));
    insert(scheduler, ContactWrite { company, ..write(&format!("{who}@x.com"), &json!({})) }, delivery);
    let written = Some(fingerprint(&related(name, &json!({})).record.into()));
    scheduler.records.learn_account(name, CachedAccount { id, written });
}

fn renewal_of(scheduler: &mut Scheduler<u64>, who: &str, delivery: u64) {
    let deal = Some(related("Renewal", &json!({ "amount": delivery })));
    insert(scheduler, ContactWrite { deal, ..write(&format!("{who}@x.com"), &json!({})) }, delivery);
}

/// The shared contact's deal is to be written with two other contacts in one bulk call, which is sent. The search before it
/// shows no deal.
fn in_bulk(scheduler: &mut Scheduler<u64>, now: Instant, who: &str, others: [&str; 2], delivery: u64) {
    renewal_of(scheduler, who, delivery);
    let mut shared = row("a", SHARED, &[]);
    shared["emails"] = json!([{ "value": "a@x.com" }, { "value": "b@x.com" }]);
    let mut shown = vec![shared, row("control", 99, &[])];
    for (place, other) in (1..).zip(others) {
        company_of(scheduler, "Acme", ACME, other, delivery + place);
        shown.push(row(other, SHARED + 10 + i64::try_from(delivery + place).unwrap(), &[(ACME, true)]));
    }
    served(scheduler, now, SEARCH, rows(&shown));
    let (body, _) = served(scheduler, now, CONTACTS, job());
    assert_eq!(body["contacts"].as_array().unwrap().len(), 3);
}

fn answer(scheduler: &mut Scheduler<u64>, number: u64, verdict: Verdict, now: Instant) -> Vec<Effect<u64>> {
    scheduler.answered(number, verdict, &RateLimit::default(), now)
}

fn lost() -> Verdict {
    Verdict::Unavailable { cause: Failure::Timeout, retry_after: None }
}

/// The first call to this endpoint; until then jobs run.
fn while_jobs_run(scheduler: &mut Scheduler<u64>, mut now: Instant, endpoint: Endpoint) -> (Instant, u64) {
    loop {
        let (then, number, call) = next_call(scheduler, now);
        now = then;
        if call.endpoint == endpoint {
            return (now, number);
        }
        assert_eq!(call.endpoint, Endpoint::JobStatus);
        answer(scheduler, number, Verdict::Done(json!({ "status": "IN_PROGRESS" })), now);
    }
}

fn renewal() -> Value {
    json!({ "deal": { "id": RENEWAL } })
}

fn deals_shown() -> Value {
    let deals = json!([{ "id": RENEWAL, "name": "Renewal" }]);
    json!({ "contact": { "id": SHARED, "sales_accounts": [] }, "deals": deals })
}

/// Everything ends well, and nothing is created. The call `held` is answered so when nothing else goes. How all events
/// ended.
fn rest(
    scheduler: &mut Scheduler<u64>,
    mut now: Instant,
    mut held: Option<(u64, Value)>,
) -> Vec<(u64, Outcome)> {
    let mut ended = Vec::new();
    while !scheduler.is_empty() {
        let (number, done) = match scheduler.next(now) {
            Next::Send(number, call) => {
                let answers = [
                    (Endpoint::JobStatus, report(3, &[])),
                    (Endpoint::ContactRead, deals_shown()),
                    (Endpoint::DealUpdate, renewal()),
                    (CONTACT, contact(SHARED, &[ACME])),
                ];
                let answer = answers.into_iter().find(|(endpoint, _)| *endpoint == call.endpoint);
                let (_, done) = answer.unwrap_or_else(|| panic!("{:?} {}", call.endpoint, call.json()));
                (number, done)
            }
            Next::Wait(Some(then)) if held.is_none() || then < now + Duration::from_mins(1) => {
                now = then;
                continue;
            }
            Next::Wait(_) => held.take().unwrap_or_else(|| panic!("stuck: {scheduler:#?}")),
        };
        ended.extend(settled(answer(scheduler, number, Verdict::Done(done), now)));
    }
    ended
}

/// What became of the deal's creation, which took effect, before the bulk call of the other address has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creation {
    /// The answer was lost. The deal was found, and is being written.
    Found,
    /// The answer was lost, and so was that to the question for the deal.
    Lost,
    /// It was answered without the deal's id.
    AnsweredWithoutId,
    /// It was answered. Then a later event's deal was refused, so what is remembered of it is doubted.
    Doubted,
}

#[test]
fn a_deal_that_a_search_does_not_show_yet_is_not_created_again_under_another_address() {
    for creation in [Creation::Found, Creation::Lost, Creation::AnsweredWithoutId, Creation::Doubted] {
        let (mut scheduler, now) = readable();
        in_bulk(&mut scheduler, now, "a", ["c", "d"], 0);
        let (mut now, _, effects) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
        let mut delivered = settled(effects);
        let (number, call) = sent(&mut scheduler, now);
        assert_eq!(call.endpoint, Endpoint::DealCreate);
        in_bulk(&mut scheduler, now, "b", ["e", "f"], 10);
        let mut held = None;
        match creation {
            Creation::Found => {
                answer(&mut scheduler, number, lost(), now);
                let (then, number) = while_jobs_run(&mut scheduler, now, Endpoint::ContactRead);
                now = then;
                answer(&mut scheduler, number, Verdict::Done(deals_shown()), now);
                let (number, call) = sent(&mut scheduler, now);
                assert_eq!(call.endpoint, Endpoint::DealUpdate);
                held = Some((number, renewal()));
            }
            Creation::Lost => {
                answer(&mut scheduler, number, lost(), now);
                let (then, number) = while_jobs_run(&mut scheduler, now, Endpoint::ContactRead);
                now = then;
                answer(&mut scheduler, number, lost(), now);
            }
            Creation::AnsweredWithoutId => {
                delivered.extend(settled(answer(&mut scheduler, number, Verdict::Done(json!({})), now)));
            }
            Creation::Doubted => {
                delivered.extend(settled(answer(&mut scheduler, number, Verdict::Done(renewal()), now)));
                renewal_of(&mut scheduler, "a", 20);
                let (then, number) = while_jobs_run(&mut scheduler, now, CONTACT);
                now = then;
                answer(&mut scheduler, number, Verdict::Done(contact(SHARED, &[])), now);
                let (number, call) = sent(&mut scheduler, now);
                assert_eq!(call.endpoint, Endpoint::DealUpdate);
                let refused = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
                assert!(answer(&mut scheduler, number, refused, now).is_empty());
                // It begins again, and the other address comes before it.
                let (number, call) = sent(&mut scheduler, now);
                assert_eq!(call.endpoint, CONTACT);
                held = Some((number, contact(SHARED, &[])));
            }
        }
        delivered.extend(rest(&mut scheduler, now, held));
        assert!(delivered.iter().all(|(_, outcome)| *outcome == Outcome::Delivered), "{delivered:?}");
        assert_eq!(delivered.len(), if creation == Creation::Doubted { 7 } else { 6 });
    }
}

#[test]
fn a_deal_that_was_read_and_is_being_written_is_not_created_under_another_address() {
    let (mut scheduler, now) = readable();
    renewal_of(&mut scheduler, "a", 0);
    served(&mut scheduler, now, CONTACT, contact(SHARED, &[]));
    served(&mut scheduler, now, Endpoint::ContactRead, deals_shown());
    let (number, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::DealUpdate);
    in_bulk(&mut scheduler, now, "b", ["c", "d"], 10);
    assert_eq!(rest(&mut scheduler, now, Some((number, renewal()))).len(), 4);
}

#[test]
fn a_deal_whose_creation_was_refused_is_not_there_and_costs_the_next_event_no_reading() {
    let (mut scheduler, now) = readable();
    in_bulk(&mut scheduler, now, "a", ["c", "d"], 0);
    let (now, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    let refuse = |scheduler: &mut Scheduler<u64>| {
        let (number, call) = sent(scheduler, now);
        assert_eq!(call.endpoint, Endpoint::DealCreate);
        let refused = Verdict::Refused { status: 400, messages: vec!["no".to_owned()] };
        settled(answer(scheduler, number, refused, now))
    };
    assert_eq!(refuse(&mut scheduler), []);
    // It relied on what was remembered, so it begins again.
    served(&mut scheduler, now, CONTACT, contact(SHARED, &[]));
    let none = json!({ "contact": { "id": SHARED }, "deals": [] });
    served(&mut scheduler, now, Endpoint::ContactRead, none);
    assert!(matches!(refuse(&mut scheduler)[..], [(0, Outcome::DeadLetter(_))]));
    in_bulk(&mut scheduler, now, "b", ["e", "f"], 10);
    let (now, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    assert_eq!(sent(&mut scheduler, now).1.endpoint, Endpoint::DealCreate);
}

#[test]
fn links_of_a_contact_that_a_search_does_not_show_yet_are_written_under_one_address_at_a_time() {
    let (mut scheduler, now) = readable();
    // It was created a moment ago, with both addresses.
    for address in ["a@x.com", "b@x.com"] {
        scheduler.knows(address, SHARED, &[], now);
    }
    company_of(&mut scheduler, "Acme", ACME, "a", 0);
    company_of(&mut scheduler, "Globex", ACME + 1, "b", 1);
    for (delivery, other) in (2..).zip(["c", "d"]) {
        company_of(&mut scheduler, "Acme", ACME, other, delivery);
    }
    served(&mut scheduler, now, SEARCH, rows(&[row("control", 99, &[])]));
    let written = |body: &Value| -> Vec<(Value, usize)> {
        let rows = body["contacts"].as_array().unwrap().iter();
        rows.map(|row| (row["emails"].clone(), row["data"]["sales_accounts"].as_array().unwrap().len()))
            .collect()
    };
    let (body, _) = served(&mut scheduler, now, CONTACTS, job());
    let alone = |address: &str| (json!(address), 1);
    assert_eq!(written(&body), [alone("a@x.com"), alone("c@x.com"), alone("d@x.com")]);
    let (now, ..) = serve_next(&mut scheduler, now, Endpoint::JobStatus, report(3, &[]));
    let (now, ..) = serve_next(&mut scheduler, now, Endpoint::ContactRead, contact(SHARED, &[ACME]));
    // Alone it is read by its id.
    serve_next(&mut scheduler, now, CONTACT, contact(SHARED, &[ACME]));
    let (body, effects) = served(&mut scheduler, now, Endpoint::ContactUpdate, contact(SHARED, &[]));
    let links = body["contact"]["sales_accounts"].as_array().unwrap().iter().map(|link| &link["id"]);
    assert_eq!(links.collect::<Vec<_>>(), [ACME, ACME + 1]);
    assert_eq!(settled(effects), [(1, Outcome::Delivered)]);
}
