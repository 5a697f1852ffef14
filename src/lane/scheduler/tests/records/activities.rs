//! Tracks by a `userId`: whom they are reported under while a look-up may not see what another replica wrote a moment ago.

use serde_json::{Value, json};

use super::address_changes::{looked_up, track};
use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{scheduler, served, settled};
use crate::lane::scheduler::tests::prelude::*;

/// What the track is reported under.
fn reported(scheduler: &mut Scheduler<u64>, now: Instant) -> (Value, Vec<(u64, Outcome)>) {
    let (body, effects) = served(scheduler, now, Endpoint::TrackEvent, json!({}));
    (body["identifier"].clone(), settled(effects))
}

#[test]
fn a_track_whose_contact_another_replica_may_have_just_created_is_looked_up_again() {
    let now = Instant::now();
    let later = now + BackoffSettings::default().look_up_delay;
    let ada = json!({"id": 7, "external_id": "u", "email": "ada@x.com"});
    for (second, identifier) in [(vec![ada], "ada@x.com"), (vec![], "u")] {
        let mut scheduler = scheduler(now);
        scheduler.begin();
        track(&mut scheduler, "u", 1);
        looked_up(&mut scheduler, now, "external_id", "u", &[]);
        // Later ones of the same userId wait for it, and are not looked up themselves.
        track(&mut scheduler, "u", 2);
        assert!(matches!(scheduler.next(now), Next::Wait(Some(wake)) if wake == later));
        looked_up(&mut scheduler, later, "external_id", "u", &second);
        for delivery in [1, 2] {
            let expected = (json!(identifier), vec![(delivery, Outcome::Delivered)]);
            assert_eq!(reported(&mut scheduler, later), expected);
        }
        assert!(scheduler.is_empty());
    }
}

#[test]
fn another_replica_may_have_had_the_lane_until_its_first_event_came() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    assert!(matches!(scheduler.next(now), Next::Wait(None)));
    let delay = BackoffSettings::default().look_up_delay;
    let came = now + delay * 2;
    track(&mut scheduler, "u", 1);
    looked_up(&mut scheduler, came, "external_id", "u", &[]);
    assert!(matches!(scheduler.next(came), Next::Wait(Some(wake)) if wake == came + delay));
    looked_up(&mut scheduler, came + delay, "external_id", "u", &[]);
    // From then on it was here long enough.
    track(&mut scheduler, "v", 2);
    assert_eq!(reported(&mut scheduler, came + delay), (json!("u"), vec![(1, Outcome::Delivered)]));
    looked_up(&mut scheduler, came + delay, "external_id", "v", &[]);
    assert_eq!(reported(&mut scheduler, came + delay), (json!("v"), vec![(2, Outcome::Delivered)]));
}

#[test]
fn where_the_lane_was_here_long_enough_a_track_is_looked_up_once() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin_alone(now);
    track(&mut scheduler, "u", 1);
    looked_up(&mut scheduler, now, "external_id", "u", &[]);
    assert_eq!(reported(&mut scheduler, now), (json!("u"), vec![(1, Outcome::Delivered)]));
}

#[test]
fn a_track_that_waits_for_its_second_look_up_is_given_back_with_the_rest() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin();
    track(&mut scheduler, "u", 1);
    looked_up(&mut scheduler, now, "external_id", "u", &[]);
    assert_eq!(scheduler.give_back(), [1]);
    assert!(scheduler.is_empty());
}
