//! Answers that make no sense, alone and mixed: no record is lost or condemned for them, and none holds up the others.

use super::outage::{ANSWER, HOUR, MINUTE, plain, with_new_company};
use super::strangers::{CONTACTS_AND_TRACKS, page, rich, said};
use super::*;
use crate::freshsales::{Endpoint, Trouble as Failure};

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
