//! An account that is against the lane: searches and read-backs that fail for ever, answers that hide what they leave out.
#![expect(clippy::wildcard_enum_match_arm, reason = "the model answers all other calls alike")]

use crate::freshsales::{Endpoint, found_contacts};
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::scheduler::tests::by_hand::*;
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{ContactWrite, Record};
use serde_json::{Value, json};

const SEARCH: Endpoint = Endpoint::Search(Entity::Contact);
const HOUR: Duration = Duration::from_hours(1);

fn of_acme(number: u64) -> ContactWrite {
    let company = Some(related("Acme", &json!({})));
    ContactWrite { company, ..write(&format!("c{number}@x.com"), &json!({ "n": number })) }
}

fn knows_acme(scheduler: &mut Scheduler<u64>) {
    let written = Some(fingerprint(&Record::default().into()));
    scheduler.records.learn_account("Acme", CachedAccount { id: 7, written });
}

fn begin(start: Instant) -> (Scheduler<u64>, Instant) {
    let mut scheduler = scheduler(start);
    assert!(matches!(scheduler.next(start), Next::Wait(_)));
    scheduler.knows("control@x.com", 99, &[], start);
    (scheduler, start + Duration::from_mins(2))
}

/// Goes on until nothing is left, or this time is over. Answers what `verdict` does not.
fn run(
    scheduler: &mut Scheduler<u64>,
    mut now: Instant,
    end: Instant,
    mut verdict: impl FnMut(&Call) -> Option<Verdict>,
) -> (usize, BTreeMap<String, usize>, Instant) {
    let (mut delivered, mut calls) = (0, BTreeMap::new());
    while !scheduler.is_empty() && now < end {
        match scheduler.next(now) {
            Next::Send(number, call) => {
                *calls.entry(format!("{:?}", call.endpoint)).or_default() += 1;
                now += Duration::from_millis(200);
                let good = || Verdict::Done(good(&call));
                let verdict = verdict(&call).unwrap_or_else(good);
                delivered += settled(scheduler.answered(number, verdict, &RateLimit::default(), now)).len();
            }
            Next::Wait(Some(then)) => now = then.max(now + Duration::from_millis(1)),
            Next::Wait(None) => break,
        }
    }
    (delivered, calls, now)
}

fn good(call: &Call) -> Value {
    let id = || call.path.rsplit('/').next().and_then(|id| id.parse::<i64>().ok()).unwrap_or(1);
    match call.endpoint {
        Endpoint::BulkUpsert(_) => {
            json!({ "job_status_url": format!("https://x/api/job_statuses/{}", call.records()) })
        }
        Endpoint::JobStatus => report(id().unsigned_abs(), &[]),
        Endpoint::Search(Entity::Contact) => {
            let body = call.json();
            let addresses = body["filter_rule"][0]["value"].as_array().unwrap();
            let rows: Vec<Value> = addresses
                .iter()
                .map(|address| {
                    let text = address.as_str().unwrap();
                    let id = text.trim_start_matches('c').split('@').next().unwrap().parse().unwrap_or(98);
                    json!({ "id": id + 1, "email": text, "sales_accounts": [], "deals": [] })
                })
                .collect();
            json!({ "meta": { "total": rows.len() }, "contacts": rows })
        }
        Endpoint::Upsert(Entity::SalesAccount) => json!({ "sales_account": { "id": 7 } }),
        Endpoint::Upsert(_) => {
            let email = call.json()["unique_identifier"]["emails"].as_str().unwrap_or_default().to_owned();
            let id = email.trim_start_matches('c').split('@').next().unwrap().parse().unwrap_or(98);
            contact(id + 1, &[])
        }
        Endpoint::ContactRead | Endpoint::ContactUpdate => contact(id(), &[7]),
        _ => json!({ "fields": [] }),
    }
}

fn fails(endpoint: Endpoint, cause: Failure) -> impl FnMut(&Call) -> Option<Verdict> {
    move |call| (call.endpoint == endpoint).then(|| Verdict::Unavailable { cause, retry_after: None })
}

#[test]
fn searches_that_alone_get_no_answer_hold_contacts_up_for_an_hour_at_most() {
    for cause in [Failure::ServerError(500), Failure::Timeout] {
        let (mut scheduler, now) = begin(Instant::now());
        knows_acme(&mut scheduler);
        for number in 0..6 {
            insert(&mut scheduler, of_acme(number), number);
        }
        knows_acme(&mut scheduler);
        let (delivered, calls, _) = run(&mut scheduler, now, now + HOUR, fails(SEARCH, cause));
        assert_eq!(delivered, 6, "{cause:?} {calls:?}");
    }
}

#[test]
fn a_contact_that_cannot_be_read_back_holds_others_up_for_an_hour_at_most() {
    for cause in [Failure::ServerError(500), Failure::Timeout] {
        let (mut scheduler, now) = begin(Instant::now());
        for number in 0..150 {
            insert(&mut scheduler, of_acme(number), number);
        }
        knows_acme(&mut scheduler);
        let mut bad = fails(Endpoint::ContactRead, cause);
        let (delivered, calls, _) = run(&mut scheduler, now, now + HOUR, |call| {
            call.path.ends_with("/1").then(|| bad(call)).flatten()
        });
        assert!(delivered >= 149, "{cause:?} {delivered} {calls:?}");
    }
}

#[test]
fn one_contact_on_an_idle_lane_that_was_taken_over_long_ago_waits_for_nothing() {
    let (mut scheduler, mut now) = (scheduler(Instant::now()), Instant::now());
    scheduler.begin();
    scheduler.redelivered(now);
    insert(&mut scheduler, of_acme(0), 0);
    let (delivered, _, then) = run(&mut scheduler, now, now + HOUR, |_| None);
    assert_eq!(delivered, 1);
    now = then;
    assert!(matches!(scheduler.next(now), Next::Wait(_)));
    now += HOUR;
    insert(&mut scheduler, of_acme(1), 1);
    let (delivered, calls, then) = run(&mut scheduler, now, now + HOUR, |_| None);
    assert_eq!(delivered, 1);
    assert!(then - now < Duration::from_secs(2), "{:?} {calls:?}", then - now);
}

#[test]
fn rows_without_a_total_are_not_all_there_are() {
    let row = |id: i64| json!({ "id": id, "email": format!("c{id}@x.com"), "sales_accounts": [] });
    for meta in [json!(null), json!({}), json!({ "total": "40" }), json!({ "total": 40.0 })] {
        let body = json!({ "contacts": [row(1), row(2)], "meta": meta });
        assert!(!found_contacts(&body).unwrap().complete, "{body}");
    }
}

/// The API shows a page of 25, whatever `per_page` says, and no total. The control is among the rows.
#[test]
fn a_contact_that_a_short_page_leaves_out_keeps_its_links() {
    let (mut scheduler, now) = begin(Instant::now());
    for number in 0..40 {
        insert(&mut scheduler, of_acme(number), number);
    }
    knows_acme(&mut scheduler);
    let (mut lost, mut shown) = (Vec::new(), BTreeSet::new());
    run(&mut scheduler, now, now + HOUR, |call| match call.endpoint {
        Endpoint::Search(Entity::Contact) => {
            let mut body = good(call);
            let rows = body["contacts"].as_array_mut().unwrap();
            rows.reverse();
            rows.truncate(25);
            shown.extend(rows.iter().map(|row| row["email"].as_str().unwrap().to_owned()));
            body["meta"] = json!({});
            Some(Verdict::Done(body))
        }
        Endpoint::BulkUpsert(Entity::Contact) => {
            let body = call.json();
            for row in body["contacts"].as_array().unwrap() {
                let text = row.to_string();
                let was_shown = shown.iter().any(|email| text.contains(&format!("\"{email}\"")));
                if !was_shown && text.contains("sales_accounts") {
                    lost.push(text);
                }
            }
            None
        }
        _ => None,
    });
    assert!(lost.is_empty(), "the whole set of links was written unread: {}", lost.len());
}
