//! Answers that make no sense, alone and mixed: no record is lost or condemned for them, and none holds up the others.

use super::outage::{ANSWER, Account, HOUR, MINUTE, plain, with_new_company};
use super::strangers::{CONTACTS_AND_TRACKS, page, rich, said, with_deal};
use crate::freshsales::{Answer, Body, Endpoint, EndpointFamily, classify};
use crate::lane::scheduler::tests::by_hand::{contact, report};
use crate::lane::scheduler::tests::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_record_that_is_always_told_to_come_back_later_holds_up_others_once_at_most() {
    let wait = MINUTE * 30;
    for throttled in [true, false] {
        for (feed, about) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            feed(&mut account, 0);
            let retry_after = Some(wait);
            let verdict = || {
                if throttled {
                    Verdict::Throttled { retry_after }
                } else {
                    Verdict::Unavailable { cause: Failure::ServerError(503), retry_after }
                }
            };
            let mut fed = Vec::new();
            for number in 1..60 {
                fed.push(account.now);
                feed(&mut account, number);
                let then = account.now + MINUTE * 10;
                account.run(then, |call| about(call, 0).then(verdict));
            }
            assert_eq!(account.refused, []);
            let late = |(at, number): &&(Instant, u64)| {
                *at > fed[usize::try_from(*number).unwrap() - 1] + ANSWER * 3
            };
            let late = account.delivered.iter().filter(late).count();
            assert_eq!(account.delivered.len(), 59, "{throttled}");
            assert!(late <= 4, "{throttled}: {late} waited");
        }
    }
}

#[test]
fn a_bulk_call_or_a_job_that_alone_is_not_let_in_is_done_one_by_one() {
    let retry_after = Some(MINUTE);
    let verdicts: [fn(&Call, Option<Duration>) -> Verdict; 5] = [
        |call, _| said(call, 401),
        |call, _| said(call, 403),
        |_, retry_after| Verdict::Throttled { retry_after },
        |_, _| Verdict::Throttled { retry_after: None },
        |_, retry_after| Verdict::Unavailable { cause: Failure::ServerError(503), retry_after },
    ];
    for (kind, verdict) in verdicts.into_iter().enumerate() {
        for bulk in [true, false] {
            let mut account = rich();
            for number in 0..50 {
                plain(&mut account, number);
            }
            let bad = |call: &Call| {
                let submits = matches!(call.endpoint, Endpoint::BulkUpsert(_));
                if bulk { submits } else { call.endpoint == Endpoint::JobStatus }
            };
            for number in 50..100 {
                let then = account.now + MINUTE;
                account.run(then, |call| bad(call).then(|| verdict(call, retry_after)));
                with_new_company(&mut account, number);
            }
            account.run(account.start + HOUR * 2, |call| bad(call).then(|| verdict(call, retry_after)));
            assert_eq!(account.refused, []);
            assert_eq!(account.delivered.len(), 100, "{kind} {bulk}");
        }
    }
}

#[test]
fn where_every_second_answer_is_a_page_no_record_is_refused() {
    for share in [2, 3] {
        for (feed, _) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            let mut roll = dice(share);
            for number in 0..600 {
                feed(&mut account, number);
                let then = account.now + Duration::from_secs(2);
                account.run(then, |call| (roll(share) == 0).then(|| page(call, 403)));
            }
            account.run(account.now + HOUR, |_| None);
            assert_eq!(account.refused, [], "{share}");
            assert_eq!(account.delivered.len(), 600);
        }
    }
}

#[test]
fn an_answer_about_another_contact_or_without_links_is_no_answer_and_the_call_comes_again() {
    let emails =
        |address: &str| json!({"contact": {"id": 9, "emails": [{"value": address}], "sales_accounts": []}});
    let odd: [(Endpoint, Value); 4] = [
        (Endpoint::Upsert(Entity::Contact), emails("eve@x.com")),
        (Endpoint::ContactRead, contact(9, &[])),
        (Endpoint::ContactRead, json!({"contact": {"id": 1}})),
        (Endpoint::ContactUpdate, contact(9, &[7])),
    ];
    for (endpoint, odd) in odd {
        let mut account = rich();
        with_new_company(&mut account, 0);
        let (mut times, mut wrong) = (0, false);
        account.run(account.start + HOUR, |call| {
            let linkless =
                call.endpoint == Endpoint::Upsert(Entity::Contact) && endpoint == Endpoint::ContactRead;
            wrong |= call.path.ends_with("/9");
            if linkless {
                return Some(Verdict::Done(json!({"contact": {"id": 1}})));
            }
            (call.endpoint == endpoint).then_some(())?;
            times += 1;
            (times < 3).then(|| Verdict::Done(odd.clone()))
        });
        assert_eq!((times, wrong), (3, false), "{endpoint:?}");
        assert_eq!((account.refused.len(), account.delivered.len()), (0, 1), "{endpoint:?}");
    }
    // Among a contact's addresses ours may be any, in any case.
    let mut account = rich();
    with_new_company(&mut account, 0);
    let listed = json!({"contact": {"id": 1, "email": "old@x.com", "sales_accounts": [],
        "emails": [{"value": "old@x.com", "is_primary": true}, {"value": "C0@x.com"}]}});
    account.run(account.start + HOUR, |call| {
        (call.endpoint == Endpoint::Upsert(Entity::Contact)).then(|| Verdict::Done(listed.clone()))
    });
    assert_eq!((account.delivered.len(), account.sent.len()), (1, 3));
}

#[test]
fn a_job_s_row_that_says_nothing_against_the_record_condemns_it_not() {
    let rows = [
        json!({}),
        json!({"message": []}),
        json!({"code": "503", "message": "Busy"}),
        json!({"status": 429, "message": "Slow down"}),
        json!({"status_code": 70_000, "message": "What?"}),
    ];
    for row in rows {
        let mut account: Account = rich();
        for number in 0..5 {
            plain(&mut account, number);
        }
        account.run(account.start + MINUTE, |call| {
            let mut row = row.clone();
            row["record"] = json!({"emails": "c3@x.com"});
            (call.endpoint == Endpoint::JobStatus).then(|| Verdict::Done(report(4, &[row])))
        });
        assert_eq!((account.refused.len(), account.delivered.len()), (0, 5), "{row}");
    }
}

#[test]
fn a_lane_with_nothing_to_do_tells_of_no_wait() {
    let mut account = rich();
    account.scheduler.stay_away(account.now + MINUTE * 5, account.now);
    assert_eq!(account.trouble(BudgetKind::Api), None);
    assert_eq!(account.trouble(BudgetKind::Tracking), None);
    plain(&mut account, 0);
    assert_eq!(account.trouble(BudgetKind::Api), Some(Impediment::Throttled));
    account.run(account.start + HOUR, |_| None);
    assert_eq!((account.delivered.len(), account.trouble(BudgetKind::Api)), (1, None));
}

#[test]
fn one_record_s_page_is_everybody_s_where_the_others_get_no_answer() {
    let mut account = rich();
    for number in 0..3 {
        with_new_company(&mut account, number);
    }
    account.run(account.start + HOUR, |call| {
        let trouble = Failure::ServerError(500);
        if matches!(call.endpoint, Endpoint::Fields(_)) {
            None
        } else if call.json().to_string().contains("Company 0") {
            Some(page(call, 403))
        } else {
            Some(Verdict::Unavailable { cause: trouble, retry_after: None })
        }
    });
    assert_eq!(account.refused, []);
    account.run(account.now + HOUR, |_| None);
    assert_eq!(account.delivered.len(), 3);
}

/// A different number below `sides` each time.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % sides
    }
}

#[test]
fn whatever_is_answered_for_hours_all_is_settled_once_when_it_is_over() {
    for seed in 0..20 {
        let mut roll = dice(seed);
        let mut account = Account::new();
        let sick: Vec<u64> = (0..4).map(|_| roll(4)).collect();
        let kinds: Vec<u64> = (0..3).map(|_| roll(22)).collect();
        let share = 1 + roll(5);
        let mut fed = 0;
        for _ in 0..40 {
            for _ in 0..roll(12) {
                let feed = match roll(4) {
                    0 => Account::track,
                    1 => with_new_company,
                    2 => with_deal,
                    _ => plain,
                };
                feed(&mut account, fed);
                fed += 1;
            }
            let then = account.now + Duration::from_secs(1 + roll(600));
            account.run(then, |call| {
                let family = match call.endpoint.family() {
                    EndpointFamily::Fields | EndpointFamily::Selectors => 0,
                    EndpointFamily::Jobs => 1,
                    EndpointFamily::Deals => 2,
                    EndpointFamily::Contacts
                    | EndpointFamily::SalesAccounts
                    | EndpointFamily::Lookups
                    | EndpointFamily::Searches
                    | EndpointFamily::Tracking => 3,
                };
                let odd = sick.contains(&family) && roll(share) == 0;
                let kind = kinds.get(usize::try_from(roll(3)).unwrap()).copied().unwrap();
                odd.then(|| nonsense(call, kind, roll(4)))
            });
        }
        account.run(account.now + HOUR * 80, |_| None);
        let delivered = account.delivered.iter().map(|(_, number)| *number);
        let mut all: Vec<u64> =
            delivered.chain(account.refused.iter().map(|(_, number, _)| *number)).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..fed), "{seed}: {fed} fed, {} settled", all.len());
        assert_eq!((account.scheduler.sending(), account.scheduler.items.is_empty()), (0, true), "{seed}");
    }
}

fn nonsense(call: &Call, kind: u64, wait: u64) -> Verdict {
    let wait = Some(Duration::from_secs([0, 1, 90, 3600][usize::try_from(wait).unwrap()]));
    let counts = json!({"record_status": {"succeeded": 1, "failed": 1}, "detailed_failure_report": []});
    let json = |value: Value| Body::Json(value);
    let (status, retry_after, body) = match kind {
        0 => (403, None, Body::Markup),
        1 => (200, None, Body::Markup),
        2 => (302, None, Body::Empty),
        3 => (404, None, json(json!({"message": "no route"}))),
        4 => (403, wait, json(json!({"message": "forbidden"}))),
        5 => (401, None, Body::Empty),
        6 => (429, wait, Body::Empty),
        7 => (503, wait, Body::Markup),
        8 => (405, wait, json(json!({"message": "Max of 10 transactions"}))),
        9 => (200, None, json(json!({"contact": {"id": -4}}))),
        10 => (200, None, json(json!({"contact": {"id": 77, "emails": [{"value": "eve@x.com"}]}}))),
        11 => (200, None, json(json!([]))),
        12 => (200, None, Body::TooLarge),
        13 => (200, None, json(json!({"errors": {"code": 429}}))),
        14 => (200, None, json(json!({"status": "SUCCESS", "data": counts.to_string()}))),
        15 => (200, None, json(json!({"status": "in_progress", "job_status_url": "x/1"}))),
        16 => (200, None, json(json!({"status": "weird", "job_status_url": "//evil/"}))),
        17 => (999, None, Body::Unreadable),
        18 => (402, None, json(json!({"message": "pay"}))),
        19 => (200, None, Body::Empty),
        20 => (500, None, Body::Markup),
        _ => return Verdict::Unavailable { cause: Failure::Timeout, retry_after: None },
    };
    classify(call.endpoint, Ok(Answer { status, rate_limit: RateLimit::default(), retry_after, body }))
}

#[test]
fn many_records_that_never_get_through_leave_most_of_the_quota_to_others() {
    for status in [500, 503] {
        let mut account = Account::new();
        for number in 0..100 {
            with_deal(&mut account, number);
        }
        let down = std::cell::Cell::new(true);
        let mut answer = |call: &Call| {
            let deal = call.endpoint.family() == EndpointFamily::Deals;
            (deal && down.get()).then(|| said(call, status))
        };
        account.run(account.start + HOUR * 2, &mut answer);
        let mut fed = Vec::new();
        for number in 100..160 {
            fed.push(account.now);
            plain(&mut account, number);
            let then = account.now + MINUTE;
            account.run(then, &mut answer);
        }
        let late = |(at, number): &&(Instant, u64)| {
            *at > fed[usize::try_from(*number - 100).unwrap()] + Duration::from_secs(15)
        };
        assert_eq!((account.refused.len(), account.delivered.len()), (0, 60), "{status}");
        // At first nothing tells them from an outage.
        let late = account.delivered.iter().filter(|(_, number)| *number >= 130).filter(late).count();
        assert!(late < 3, "{status}: {late} waited");
        // When it is over, all go on.
        down.set(false);
        account.run(account.now + MINUTE * 20, &mut answer);
        assert_eq!(account.delivered.len(), 160, "{status}");
    }
}
