//! Answers that make no sense, alone and mixed: no record is lost or condemned for them, and none holds up the others.

use super::by_hand::{contact, report};
use super::outage::{ANSWER, Account, HOUR, MINUTE, plain, with_new_company};
use super::strangers::{CONTACTS_AND_TRACKS, page, rich, said};
use super::*;
use crate::freshsales::{Endpoint, Trouble as Failure};
use serde_json::{Value, json};

#[test]
fn a_record_that_is_always_told_to_come_back_later_holds_up_others_once_at_most() {
    let wait = MINUTE * 30;
    for throttled in [true, false] {
        for (feed, about) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            feed(&mut account, 0);
            let retry_after = Some(wait);
            let verdict = || match throttled {
                true => Verdict::Throttled { retry_after },
                false => Verdict::Unavailable { trouble: Failure::ServerError(503), retry_after },
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
        |_, retry_after| Verdict::Unavailable { trouble: Failure::ServerError(503), retry_after },
    ];
    for (kind, verdict) in verdicts.into_iter().enumerate() {
        for bulk in [true, false] {
            let mut account = rich();
            for number in 0..50 {
                plain(&mut account, number);
            }
            let bad = |call: &Call| match call.endpoint {
                Endpoint::BulkUpsert(_) => bulk,
                Endpoint::JobStatus => !bulk,
                _ => false,
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
            let mut dice = 88_172_645_463_325_252_u64;
            for number in 0..600 {
                feed(&mut account, number);
                let then = account.now + Duration::from_secs(2);
                account.run(then, |call| {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    dice.is_multiple_of(share).then(|| page(call, 403))
                });
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
    account.dispatch.stay_away(account.now + MINUTE * 5, account.now);
    assert_eq!(account.trouble(Budget::Api), None);
    assert_eq!(account.trouble(Budget::Tracking), None);
    plain(&mut account, 0);
    assert_eq!(account.trouble(Budget::Api), Some(Trouble::Throttled));
    account.run(account.start + HOUR, |_| None);
    assert_eq!((account.delivered.len(), account.trouble(Budget::Api)), (1, None));
}
