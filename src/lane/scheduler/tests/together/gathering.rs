//! What waits for deliveries that follow closely, and what does not.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{CONTACT, CONTACTS, insert, scheduler, sent, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::lane::timing::{GATHER_FOR, GATHER_GAP};
use crate::mapping::{Activity, Identity};
use crate::object::ObjectText;
use serde_json::json;

fn identify(scheduler: &mut Scheduler<u64>, number: u64, now: Instant) {
    insert(scheduler, write(&format!("c{number}@x.com"), &json!({ "city": "Ulm" })), number);
    scheduler.arrived(now);
}

fn waits(scheduler: &mut Scheduler<u64>, now: Instant) -> Duration {
    match scheduler.next(now) {
        Next::Wait(Some(until)) => until - now,
        other @ (Next::Wait(None) | Next::Send(..)) => panic!("{other:?}"),
    }
}

#[test]
fn identifies_that_follow_each_other_closely_go_in_one_call() {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    for number in 0..5 {
        let now = start + Duration::from_millis(3 * number);
        identify(&mut scheduler, number, now);
        assert_eq!(waits(&mut scheduler, now), GATHER_GAP);
    }
    let (_, call) = sent(&mut scheduler, start + Duration::from_millis(12) + GATHER_GAP);
    assert_eq!((call.endpoint, call.records()), (CONTACTS, 5));
}

#[test]
fn deliveries_that_never_pause_are_planned_all_the_same() {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    for number in 0..20 {
        let now = start + Duration::from_millis(number);
        identify(&mut scheduler, number, now);
        waits(&mut scheduler, now);
    }
    // The next delivery comes at the very moment, and is planned with them.
    let now = start + GATHER_FOR;
    identify(&mut scheduler, 20, now);
    let (_, call) = sent(&mut scheduler, now);
    assert_eq!((call.endpoint, call.records()), (CONTACTS, 21));
    // The one after it begins anew.
    identify(&mut scheduler, 21, now);
    assert_eq!(waits(&mut scheduler, now), GATHER_GAP);
    // And then for the call that is under way, as it is alone.
    assert!(waits(&mut scheduler, now + GATHER_GAP) > GATHER_GAP);
}

#[test]
fn tracks_questions_for_fields_and_calls_that_are_due_wait_for_no_delivery() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    identify(&mut scheduler, 0, now);
    let (failing, call) = sent(&mut scheduler, now + GATHER_GAP);
    assert_eq!(call.endpoint, CONTACT);
    let verdict = Verdict::Unavailable { cause: Failure::UnexpectedStatus(500), retry_after: None };
    scheduler.answered(failing, verdict, &RateLimit::default(), now + GATHER_GAP);
    let Next::Wait(Some(due)) = scheduler.next(now + GATHER_GAP) else { panic!("{scheduler:#?}") };

    identify(&mut scheduler, 1, due);
    let keys = [ContactKey::Email("t@x.com".to_owned())];
    let track = Activity {
        identity: Identity::Email("t@x.com".to_owned()),
        name: "Seen".to_owned(),
        properties: ObjectText::default(),
    };
    scheduler.insert(Mapped::Track(track), &keys, None, 2);
    scheduler.read_fields(Entity::Deal, due);
    let mut endpoints: Vec<Endpoint> = Vec::new();
    while let Next::Send(_, call) = scheduler.next(due) {
        endpoints.push(call.endpoint);
    }
    endpoints.sort_by_key(|endpoint| endpoint.as_str());
    assert_eq!(endpoints, [CONTACT, Endpoint::Fields(Entity::Deal), Endpoint::TrackEvent]);
    assert_eq!(sent(&mut scheduler, due + GATHER_GAP).1.json()["contact"]["city"], "Ulm");
}

#[test]
fn nothing_waits_where_no_more_can_come() {
    let now = Instant::now();
    let mut full = scheduler(now);
    identify(&mut full, 0, now);
    full.all_arrived();
    assert_eq!(sent(&mut full, now).1.endpoint, CONTACT);

    let mut given_back = scheduler(now);
    identify(&mut given_back, 0, now);
    assert_eq!(given_back.give_back(), [0]);
    // What came in the last session is not the beginning of what comes in the next one.
    let later = now + Duration::from_mins(1);
    given_back.begin();
    identify(&mut given_back, 1, later);
    assert_eq!(waits(&mut given_back, later), GATHER_GAP);
}
