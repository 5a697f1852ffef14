//! Answers that may be one record's fault or everybody's: who is refused, who goes on, and what is asked meanwhile.

use super::outage::{ANSWER, Account, CONCURRENCY, HOUR, LONGEST, MINUTE, is_track, plain, with_new_company};
use crate::freshsales::{Answer, Body, Endpoint, EndpointFamily, classify};
use crate::lane::scheduler::tests::by_hand::{insert, related, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::ContactWrite;
use crate::mapping::InvalidValue;
use crate::outcome::{DeadLetterReason, Refusal};
use serde_json::json;

const DAY: Duration = Duration::from_hours(24);

/// An account whose quota is no matter here.
pub(in crate::lane::scheduler) fn rich() -> Account {
    let mut account = Account::new();
    let plenty = RateLimit { remaining: Some(100_000_000), ..RateLimit::default() };
    account.scheduler.budgets.of_mut(BudgetKind::Api).set_quota(Quota::new(
        100_000.0,
        HOUR,
        1.0,
        account.now,
    ));
    account.scheduler.budgets.of_mut(BudgetKind::Api).observe(account.now, &plenty, 0);
    account.scheduler.budgets.of_mut(BudgetKind::Tracking).observe(account.now, &plenty, 0);
    account
}

fn judged(call: &Call, status: u16, body: Body) -> Verdict {
    classify(call.endpoint, Ok(Answer { status, rate_limit: RateLimit::default(), retry_after: None, body }))
}

pub(in crate::lane::scheduler) fn page(call: &Call, status: u16) -> Verdict {
    judged(call, status, Body::Markup)
}

pub(in crate::lane::scheduler) fn said(call: &Call, status: u16) -> Verdict {
    judged(call, status, Body::Json(json!({"errors": {"code": status, "message": ["No"]}})))
}

/// Whether a call is about this contact.
pub(in crate::lane::scheduler) fn is_about(call: &Call, number: u64) -> bool {
    call.json().to_string().contains(&format!("\"c{number}@x.com\""))
}

fn reads_fields(call: &Call) -> bool {
    matches!(call.endpoint, Endpoint::Fields(_))
}

fn records_sent(account: &Account) -> usize {
    account.sent.iter().filter(|(_, call)| !reads_fields(call)).count()
}

fn only(account: &Account) -> &(Instant, u64, Refusal) {
    let [one] = &account.refused[..] else { panic!("{:?}", account.refused) };
    one
}

/// What one record may meet from something that stands before Freshsales.
fn strange(call: &Call, kind: usize) -> Verdict {
    match kind {
        0 => page(call, 403),
        1 => page(call, 404),
        2 => judged(call, 400, Body::Empty),
        3 => judged(call, 302, Body::Empty),
        4 => judged(call, 406, Body::Unreadable),
        _ => page(call, 200),
    }
}
const KINDS: usize = 6;

pub(in crate::lane::scheduler) type Feed = fn(&mut Account, u64);
pub(in crate::lane::scheduler) type About = fn(&Call, u64) -> bool;
pub(in crate::lane::scheduler) const CONTACTS_AND_TRACKS: [(Feed, About); 2] =
    [(plain, is_about), (Account::track, is_track)];

#[test]
fn a_record_that_alone_meets_a_stranger_is_refused_within_two_minutes_and_holds_nobody_up() {
    for kind in 0..KINDS {
        for (feed, about) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            feed(&mut account, 0);
            let mut fed = Vec::new();
            for number in 1..30 {
                fed.push(account.now);
                feed(&mut account, number);
                let then = account.now + Duration::from_secs(5);
                account.run(then, |call| about(call, 0).then(|| strange(call, kind)));
            }
            let (at, number, refusal) = only(&account);
            let took = *at - account.start;
            assert!(*number == 0 && took >= MINUTE && took <= MINUTE * 2, "{kind}: {took:?}");
            assert_eq!(refusal.reason, DeadLetterReason::Rejected);
            assert!(refusal.http_status.is_some(), "{refusal:?}");
            assert!(refusal.problems[0].problem.contains("while others got through"), "{refusal:?}");
            let tries = account.sent.iter().filter(|(_, call)| about(call, 0)).count();
            assert!((4..=8).contains(&tries), "{kind}: {tries} tries");
            assert_eq!(account.delivered.len(), 29);
            for ((at, number), fed) in account.delivered.iter().zip(&fed) {
                assert_eq!(*at - *fed, ANSWER, "{kind}: event {number} waited");
            }
        }
    }
}

#[test]
fn a_record_that_meets_a_stranger_while_nothing_else_is_sent_is_told_apart_by_a_harmless_call() {
    for (feed, about) in CONTACTS_AND_TRACKS {
        let mut account = rich();
        feed(&mut account, 0);
        let end = account.start + MINUTE * 2;
        account.run(end, |call| about(call, 0).then(|| page(call, 403)));
        assert_eq!(only(&account).1, 0);
        let harmless = account.sent.iter().filter(|(_, call)| reads_fields(call)).count();
        assert!((4..=10).contains(&harmless), "{harmless}");
    }
}

#[test]
fn what_waits_behind_a_refused_record_of_the_same_contact_goes_on() {
    let mut account = rich();
    insert(&mut account.scheduler, write("c0@x.com", &json!({"city": "<script>"})), 0);
    account.run(account.start + ANSWER * 2, |call| Some(page(call, 403)));
    insert(&mut account.scheduler, write("c0@x.com", &json!({"city": "Berne"})), 1);
    let hostile = |call: &Call| call.json().to_string().contains("<script>");
    let end = account.start + MINUTE * 3;
    account.run(end, |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(only(&account).1, 0);
    assert_eq!(account.delivered.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1]);
}

/// Identifies that always meet a web page come one after another, and nothing else does.
fn refused_one_after_another(event: fn(u64) -> ContactWrite) {
    let mut account = rich();
    let hostile = |call: &Call| call.json().to_string().contains("<script>");
    for number in 0..6 {
        insert(&mut account.scheduler, event(number), number);
        let end = account.now + MINUTE * 3;
        account.run(end, |call| hostile(call).then(|| page(call, 403)));
    }
    let refused: Vec<u64> = account.refused.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(refused, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn events_of_one_contact_that_fail_one_after_another_are_not_taken_for_all_contacts() {
    refused_one_after_another(|_| write("c0@x.com", &json!({"city": "<script>"})));
}

#[test]
fn one_company_that_fails_for_several_contacts_is_not_taken_for_all_companies() {
    refused_one_after_another(|number| {
        let company = Some(related("Acme", &json!({"city": "<script>"})));
        ContactWrite { company, ..write(&format!("c{number}@x.com"), &json!({})) }
    });
}

#[test]
fn identifies_that_were_merged_are_told_apart() {
    let mut account = rich();
    for number in 0..5 {
        let values = if number == 3 { json!({"note": "<script>"}) } else { json!({"city": "Berne"}) };
        insert(&mut account.scheduler, write("c0@x.com", &values), number);
    }
    let hostile = |call: &Call| call.json().to_string().contains("<script>");
    let end = account.start + MINUTE * 2;
    account.run(end, |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(only(&account).1, 3);
    assert_eq!(account.delivered.len(), 4);
}

#[test]
fn where_everything_meets_a_stranger_the_lane_waits_asks_harmlessly_and_goes_on_by_itself() {
    for kind in 0..KINDS {
        for (feed, _) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            for number in 0..100 {
                feed(&mut account, number);
            }
            let end = account.start + HOUR;
            account.run(end, |call| Some(strange(call, kind)));
            assert_eq!(account.refused, [], "{kind}");
            assert_eq!(account.delivered, []);
            let told = &account.troubles.last().unwrap().1;
            assert!(told.contains("not Freshsales' API answered, but"), "{told}");
            assert!(account.sent.len() < 250, "{} calls", account.sent.len());
            account.run(end + MINUTE * 10, |_| None);
            assert_eq!(account.delivered.len(), 100, "{kind}");
            let (first, _) = account.delivered[0];
            assert!(first <= end + LONGEST + MINUTE, "{kind}: {:?}", first - end);
        }
    }
}

#[test]
fn a_renamed_account_is_asked_with_nothing_but_reading_fields() {
    let mut account = rich();
    for number in 0..100 {
        with_new_company(&mut account, number);
    }
    let end = account.start + HOUR * 24 * 2;
    account.run(end, |call| Some(page(call, 404)));
    assert!(records_sent(&account) <= CONCURRENCY * 2, "{}", records_sent(&account));
    assert_eq!(account.trouble(BudgetKind::Api), Some(Impediment::Retrying));
    assert!(!account.scheduler.starved(), "this is no want of quota");
    let (_, told) = account.troubles.last().unwrap();
    assert!(told.contains("a web page with status 404: was the account renamed?"), "{told}");
}

#[test]
fn where_all_records_meet_a_stranger_nothing_is_condemned_though_fields_can_be_read() {
    let mut account = rich();
    for number in 0..50 {
        with_new_company(&mut account, number);
    }
    let end = account.start + HOUR * 5;
    account.run(end, |call| (!reads_fields(call)).then(|| page(call, 403)));
    assert_eq!(account.refused, []);
    assert!(account.sent.len() < 1500, "{} calls", account.sent.len());
    account.run(end + HOUR, |_| None);
    assert_eq!(account.delivered.len(), 50);
}

#[test]
fn several_records_that_meet_a_stranger_among_others_are_all_refused() {
    for (feed, about) in CONTACTS_AND_TRACKS {
        let mut account = rich();
        let hostile = |call: &Call| (0..5).any(|number| about(call, number));
        for number in 0..20 {
            feed(&mut account, number);
        }
        for number in 20..50 {
            feed(&mut account, number);
            let then = account.now + Duration::from_secs(10);
            account.run(then, |call| hostile(call).then(|| page(call, 403)));
        }
        let mut refused: Vec<u64> = account.refused.iter().map(|(_, number, _)| *number).collect();
        refused.sort_unstable();
        assert_eq!(refused, [0, 1, 2, 3, 4]);
        assert!(account.refused.iter().all(|(at, ..)| *at - account.start <= MINUTE * 3));
        assert_eq!(account.delivered.len(), 45);
    }
}

#[test]
fn a_firewall_that_dislikes_one_record_of_a_bulk_call_costs_the_others_no_event_and_bulk_goes_on() {
    let mut account = rich();
    let hostile = |call: &Call| is_about(call, 5);
    for number in 0..20 {
        plain(&mut account, number);
    }
    account.run(account.start + MINUTE, |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(account.delivered.len(), 19);
    for number in 20..40 {
        plain(&mut account, number);
    }
    let before = account.sent.len();
    account.run(account.start + MINUTE * 3, |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(only(&account).1, 5);
    let bulk = |(_, call): &&(Instant, Call)| matches!(call.endpoint, Endpoint::BulkUpsert(_));
    assert!(account.sent[before..].iter().any(|sent| bulk(&sent)), "bulk was given up");
}

#[test]
fn a_403_to_one_record_is_that_record_s() {
    let mut account = rich();
    for number in 0..2 {
        plain(&mut account, number);
    }
    account.run(account.start + Duration::from_secs(5), |call| is_about(call, 0).then(|| said(call, 403)));
    let (_, number, refusal) = only(&account);
    assert_eq!((*number, refusal.reason, refusal.http_status), (0, DeadLetterReason::Rejected, Some(403)));
    assert_eq!(refusal.problems[0].problem, "Freshsales refused the contact: No");
    assert_eq!(refusal.problems[0].expected.as_deref(), Some("an API key whose user may write contacts"));
    assert_eq!(account.delivered.len(), 1);
    assert_eq!(account.sent.iter().filter(|(_, call)| is_about(call, 0)).count(), 1, "it was sent again");
}

#[test]
fn credentials_that_nothing_gets_in_with_condemn_nothing_and_are_tried_harmlessly() {
    for status in [401, 402, 403] {
        let mut account = rich();
        for number in 0..100 {
            plain(&mut account, number);
            with_new_company(&mut account, 100 + number);
        }
        let end = account.start + HOUR * 5;
        account.run(end, |call| Some(said(call, status)));
        assert_eq!((account.delivered.len(), account.refused.len()), (0, 0), "{status}");
        assert!(records_sent(&account) <= CONCURRENCY * 2, "{status}: {}", records_sent(&account));
        assert_eq!(account.trouble(BudgetKind::Api), Some(Impediment::Unauthorized));
        let told = &account.troubles.last().unwrap().1;
        assert!(told.contains(&format!("answered {status}: check api_key")), "{told}");
        // Also in the middle of much that is on its way: what was sent before is no proof.
        account.run(end + HOUR, |_| None);
        assert_eq!(account.delivered.len(), 200, "{status}");
    }
}

#[test]
fn a_key_that_is_revoked_in_the_middle_condemns_nothing() {
    for status in [401, 403, 404] {
        for calls in 1..40 {
            let mut account = rich();
            let mut served = 0;
            for number in 0..40 {
                with_new_company(&mut account, number);
            }
            account.run(account.start + HOUR, |call| {
                served += 1;
                (served > calls).then(|| said(call, status))
            });
            assert_eq!(account.refused, [], "{status} after {calls} calls");
        }
    }
}

pub(in crate::lane::scheduler) fn with_deal(account: &mut Account, number: u64) {
    let deal = Some(related(&format!("Deal {number}"), &json!({})));
    let contact = write(&format!("c{number}@x.com"), &json!({}));
    insert(&mut account.scheduler, ContactWrite { deal, ..contact }, number);
}

const NO_DEALS: fn(&Call) -> Option<Verdict> = |call| {
    let deals =
        call.endpoint.family() == EndpointFamily::Deals || call.endpoint == Endpoint::Fields(Entity::Deal);
    deals.then(|| said(call, 403))
};

#[test]
fn a_key_without_the_right_to_deals_delivers_contacts() {
    for (leaves_out, identity) in [false, true]
        .into_iter()
        .flat_map(|leaves_out| [(leaves_out, DealIdentity::Contact), (leaves_out, DealIdentity::Name)])
    {
        let mut account = rich();
        account.scheduler = account.scheduler.with(|settings| {
            settings.records.deal_identity = identity;
            if leaves_out {
                settings.invalid_value = InvalidValue::Omit;
            }
        });
        for number in 0..20 {
            if number % 2 == 0 { with_deal(&mut account, number) } else { plain(&mut account, number) }
        }
        account.run(account.start + MINUTE * 20, NO_DEALS);
        assert_eq!(account.delivered.len(), if leaves_out { 20 } else { 10 });
        assert_eq!(account.left_out.len(), if leaves_out { 10 } else { 0 });
        for (_, number, refusal) in &account.refused {
            assert_eq!((number % 2, refusal.http_status), (0, Some(403)));
            assert_eq!(
                refusal.problems[0].expected.as_deref(),
                Some("an API key whose user may write deals")
            );
        }
        // Known contacts write their deals in bulk: that is not tried again and again.
        for number in 0..20 {
            with_deal(&mut account, number);
        }
        account.run(account.start + HOUR, NO_DEALS);
        let bulk =
            account.sent.iter().filter(|(_, call)| call.endpoint == Endpoint::BulkUpsert(Entity::Deal));
        assert!(bulk.count() <= 3, "{leaves_out}");
        assert_eq!(account.delivered.len() + account.refused.len(), 40);
    }
}

#[test]
fn a_record_that_meets_401_or_429_alone_neither_stops_the_others_for_long_nor_is_condemned() {
    for verdict in [|call: &Call| said(call, 401), |_: &Call| Verdict::Throttled { retry_after: None }] {
        let mut account = rich();
        plain(&mut account, 0);
        for number in 1..60 {
            plain(&mut account, number);
            let then = account.now + MINUTE;
            account.run(then, |call| is_about(call, 0).then(|| verdict(call)));
        }
        assert_eq!(account.refused, []);
        assert_eq!(account.delivered.len(), 59);
    }
}

#[test]
fn a_track_that_is_refused_alone_by_403_is_found_out_by_another_track() {
    let mut account = rich();
    account.track(0);
    account.run(account.start + MINUTE, |call| is_track(call, 0).then(|| said(call, 403)));
    // One that goes while the other is in flight tells nothing of it.
    account.run_until_answered(|call| is_track(call, 0).then(|| said(call, 403)));
    assert_eq!(account.refused, [], "it may be the app token");
    assert_eq!(account.trouble(BudgetKind::Tracking), Some(Impediment::Unauthorized));
    account.track(1);
    let end = account.now + MINUTE * 2;
    account.run(end, |call| is_track(call, 0).then(|| said(call, 403)));
    assert_eq!(only(&account).1, 0);
    assert_eq!(account.delivered.len(), 1);
}

#[test]
fn an_app_token_that_is_refused_stops_tracks_only_and_condemns_none() {
    for status in [401, 403] {
        let mut account = rich();
        for number in 0..20 {
            account.track(number);
            plain(&mut account, 100 + number);
        }
        let tracking = |call: &Call| call.endpoint.budget() == BudgetKind::Tracking;
        let end = account.start + HOUR;
        account.run(end, |call| tracking(call).then(|| said(call, status)));
        assert_eq!(account.refused, []);
        assert_eq!(account.delivered.len(), 20);
        let tracks = account.sent.iter().filter(|(_, call)| tracking(call)).count();
        assert!(tracks < 60, "{status}: {tracks}");
        account.run(end + MINUTE * 10, |_| None);
        assert_eq!(account.delivered.len(), 40, "{status}");
    }
}

#[test]
fn a_contact_that_was_deleted_while_it_was_written_is_written_again() {
    let mut account = rich();
    with_new_company(&mut account, 0);
    let mut gone = 1;
    account.run(account.start + MINUTE, |call| {
        let gone_now = call.endpoint == Endpoint::ContactUpdate && gone > 0;
        gone -= i32::from(gone_now);
        gone_now.then(|| said(call, 404))
    });
    assert_eq!(account.refused, []);
    assert_eq!(account.delivered.len(), 1);
    let upserts = account.sent.iter().filter(|(_, call)| call.endpoint == Endpoint::Upsert(Entity::Contact));
    assert_eq!(upserts.count(), 2);
}

#[test]
fn a_contact_whose_company_meets_a_stranger_holds_up_no_other_contact_of_the_company() {
    let mut account = rich();
    let feed = |account: &mut Account, number: u64, city: &str| {
        let company = Some(related("Acme", &json!({"city": city})));
        let contact = write(&format!("c{number}@x.com"), &json!({}));
        insert(&mut account.scheduler, ContactWrite { company, ..contact }, number);
    };
    feed(&mut account, 0, "<script>");
    for number in 1..5 {
        feed(&mut account, number, "Berne");
    }
    let hostile = |call: &Call| call.json().to_string().contains("<script>");
    account.run(account.start + Duration::from_secs(10), |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(account.delivered.len(), 4);
    account.run(account.start + MINUTE * 2, |call| hostile(call).then(|| page(call, 403)));
    assert_eq!(only(&account).1, 0);
}

fn never(kind: usize) -> Verdict {
    let trouble = match kind {
        0 => Failure::ServerError(500),
        1 => Failure::UnexpectedBody(200),
        2 => Failure::Timeout,
        _ => Failure::Connection,
    };
    Verdict::Unavailable { cause: trouble, retry_after: None }
}

#[test]
fn a_record_that_never_gets_through_is_given_up_after_days_in_which_others_did() {
    for kind in 0..4 {
        for (feed, about) in CONTACTS_AND_TRACKS {
            let mut account = rich();
            feed(&mut account, 0);
            feed(&mut account, 0);
            let mut fed = 0;
            for number in 1..4 * 24 * 6 {
                feed(&mut account, number);
                fed += 1;
                let then = account.now + MINUTE * 10;
                account.run(then, |call| about(call, 0).then(|| never(kind)));
                if !account.refused.is_empty() {
                    break;
                }
            }
            let (at, number, refusal) = &account.refused[0];
            let took = *at - account.start;
            assert!(*number == 0 && took + MINUTE * 20 >= DAY * 3 && took <= DAY * 3 + HOUR, "{took:?}");
            assert_eq!(refusal.reason, DeadLetterReason::Undeliverable);
            assert_eq!(refusal.http_status, [Some(500), Some(200), None, None][kind]);
            assert!(
                refusal.problems[0].problem.contains("never got through while others did"),
                "{refusal:?}"
            );
            assert!(account.delivered.len() >= fed, "{} of {fed}", account.delivered.len());
        }
    }
}

#[test]
fn an_outage_of_any_length_gives_up_nothing() {
    for (feed, about) in CONTACTS_AND_TRACKS {
        let mut account = rich();
        feed(&mut account, 0);
        feed(&mut account, 1);
        let end = account.start + DAY * 10;
        account.run(end, |call| (about(call, 0) || about(call, 1)).then(|| never(0)));
        assert_eq!(account.refused, []);
        // Others get through now and then, with nothing known in between.
        for number in 2..30 {
            feed(&mut account, number);
            let then = account.now + HOUR * 3;
            account.run(then, |call| (about(call, 0) || about(call, 1)).then(|| never(0)));
        }
        assert_eq!(account.refused, []);
        account.run(account.now + HOUR, |_| None);
        assert_eq!(account.delivered.len(), 30);
    }
}

#[test]
fn a_userid_that_nobody_has_is_looked_up_again_later() {
    let mut account = rich();
    account.scheduler.begin_alone(account.now);
    let lookups =
        |account: &Account| account.sent.iter().filter(|(_, call)| call.endpoint == Endpoint::Lookup).count();
    let track = |account: &mut Account, number: u64| {
        let identity = crate::mapping::Identity::UserId("u".to_owned());
        let activity = crate::mapping::Activity {
            identity,
            name: number.to_string(),
            properties: crate::object::ObjectText::default(),
        };
        account.scheduler.insert(
            Mapped::Track(activity),
            &[ContactKey::UserId("u".to_owned())],
            None,
            number,
        );
    };
    for (number, expected) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3)] {
        track(&mut account, number);
        let then = account.now + Duration::from_secs(45);
        account.run(then, |_| None);
        assert_eq!(lookups(&account), expected, "after track {number}");
    }
    // By then somebody has created the contact.
    account.now += MINUTE * 4;
    track(&mut account, 6);
    let found = json!({"contacts": {"contacts": [{"id": 7, "email": "a@x.com", "external_id": "u"}]}});
    let then = account.now + MINUTE;
    account.run(then, |call| (call.endpoint == Endpoint::Lookup).then(|| Verdict::Done(found.clone())));
    let (_, last) = account.sent.last().unwrap();
    assert_eq!(last.json()["identifier"], "a@x.com");
}
