//! Sources that are lost and lanes that are stopped, in every phase of an event.

use std::time::Duration;

use freshet::delivery::Lease;
use freshet::lane::{BackoffSettings, LaneState};
use freshet::outcome::{Outcome, SkipReason};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::rig::{Rig, Setup, Source, called, identify, reason, track};
use crate::support::soon;

#[tokio::test]
async fn a_lost_session_finishes_what_is_in_flight_and_gives_back_the_rest() {
    let rig = Rig::with(Setup { concurrency: 1, ..Setup::default() }).await;
    let mut first = rig.session().await;
    rig.faults(json!({"endpoint": "track_events", "action": {"delay_ms": 1200}, "next": 1})).await;
    for number in 0..4 {
        first.send(track(&format!("m{number}"), "ada@example.com", &format!("Event {number}"))).await;
    }
    // The schema was read; the next call is the track in flight.
    called(&rig, "deals_fields", 1).await;
    soon("one in flight", async || rig.sum("freshet_events_in_flight", &[]) >= 4.0).await;
    soon("the call", async || rig.in_force().await.is_empty()).await;
    first.lost.cancel();
    let outcomes = first.outcomes().await;
    assert_eq!(outcomes[0], Outcome::Delivered);
    assert_eq!(outcomes[1..], [Outcome::Returned, Outcome::Returned, Outcome::Returned]);
    // The broker cannot be told, so it delivers all of them again.
    let mut second = rig.session().await;
    for body in &first.sent {
        second.send(body).await;
    }
    let outcomes = second.outcomes().await;
    assert_eq!(reason(&outcomes[0]), "duplicate");
    assert_eq!(outcomes[1..], [Outcome::Delivered, Outcome::Delivered, Outcome::Delivered]);
    let names: Vec<String> = rig.activities().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["Event 0", "Event 1", "Event 2", "Event 3"]);
    rig.finish(second).await;
}

#[tokio::test]
async fn a_lost_session_waits_a_moment_for_a_slow_answer_so_that_nothing_is_done_twice() {
    // The grace is for stopping; a lane that goes on has no reason to give up an answer at once.
    let rig = Rig::with(Setup { grace: Duration::from_millis(50), ..Setup::default() }).await;
    let mut first = rig.session().await;
    rig.faults(
        json!({"endpoint": "track_events", "action": {"delay_ms": 800}, "next": 1, "after_effect": true}),
    )
    .await;
    first.send(track("m", "ada@example.com", "Came")).await;
    soon("the call", async || rig.in_force().await.is_empty()).await;
    first.lost.cancel();
    assert_eq!(first.outcomes().await, [Outcome::Delivered]);
    let mut second = rig.session().await;
    second.send(&first.sent[0]).await;
    assert_eq!(reason(&second.outcomes().await[0]), "duplicate");
    assert_eq!(rig.activities().len(), 1);
    rig.finish(second).await;
}

#[tokio::test]
async fn a_lost_session_waits_no_longer_than_the_next_holder_of_the_lane() {
    let setup = Setup { request_timeout: Duration::from_hours(1), ..Setup::default() };
    let rig = Rig::with(setup).await;
    let mut first = rig.session().await;
    rig.faults(json!({"endpoint": "track_events", "action": {"hang": true}, "next": 1})).await;
    first.send(track("m", "ada@example.com", "Came")).await;
    soon("the call", async || rig.in_force().await.is_empty()).await;
    first.lost.cancel();
    assert_eq!(first.outcomes().await, [Outcome::Returned]);
    let mut second = rig.session().await;
    second.send_again(&first.sent[0]).await;
    assert_eq!(second.outcomes().await, [Outcome::Delivered]);
    rig.finish(second).await;
}

#[tokio::test]
async fn a_stop_during_which_the_session_is_lost_waits_no_longer_either() {
    let setup = Setup {
        request_timeout: Duration::from_hours(1),
        grace: Duration::from_hours(1),
        ..Setup::default()
    };
    let mut rig = Rig::with(setup).await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "track_events", "action": {"hang": true}, "next": 1})).await;
    source.send(track("m", "ada@example.com", "Came")).await;
    soon("the call", async || rig.in_force().await.is_empty()).await;
    rig.stop.cancel();
    source.lost.cancel();
    rig.stopped().await;
    assert_eq!(source.outcomes().await, [Outcome::Returned]);
}

#[tokio::test]
async fn a_lane_taken_over_sends_nothing_before_the_calls_of_its_last_holder_are_over() {
    // Two replicas: the first one's call is under way when the broker gives the lane to the second.
    let first = Rig::start().await;
    let url = format!("http://{}", first.account.address);
    let second = Rig::with(Setup { url: Some(url), ..Setup::default() }).await;
    let mut source = first.session().await;
    first.faults(json!({"endpoint": "contacts_upsert", "action": {"delay_ms": 1000}, "next": 1})).await;
    source.send(identify("a", "ada@example.com", json!({"firstName": "One"}))).await;
    soon("the call", async || first.in_force().await.is_empty()).await;
    source.lost.cancel();
    let mut next = second.session().await;
    let handed_over = Instant::now();
    next.send_again(&source.sent[0]).await;
    next.send_again(identify("b", "ada@example.com", json!({"firstName": "Two"}))).await;
    assert_eq!(next.outcomes().await, [Outcome::Delivered, Outcome::Delivered]);
    assert!(handed_over.elapsed() >= Duration::from_secs(3), "{:?}", handed_over.elapsed());
    assert_eq!(source.outcomes().await, [Outcome::Delivered]);
    assert_eq!(first.contact("ada@example.com")["first_name"], "Two");
    second.finish(next).await;
    first.finish(source).await;
}

#[tokio::test]
async fn a_lane_taken_over_waits_from_its_first_event_on_also_where_its_fields_must_be_read() {
    let rig = Rig::start().await;
    let slow = json!({"endpoint": "contacts_fields", "action": {"delay_ms": 3100}});
    rig.faults(slow).await;
    let mut source = rig.session().await;
    source.send_again(track("m", "ada@example.com", "Came")).await;
    assert_eq!(source.outcomes().await, [Outcome::Delivered]);
    let [read, came] = ["contacts_fields", "track_events"].map(|endpoint| rig.log(endpoint)[0].0);
    assert!(came - read < 3000, "the three seconds were over, and began anew: {read}, {came} ms");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_session_that_waits_for_its_turn_is_served_after_the_lost_one() {
    let rig = Rig::start().await;
    let mut first = rig.session().await;
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"delay_ms": 800}, "next": 1})).await;
    first.send(identify("a", "ada@example.com", json!({"firstName": "One"}))).await;
    soon("the call", async || rig.in_force().await.is_empty()).await;
    first.lost.cancel();
    let mut second = rig.session().await;
    second.send(identify("b", "ada@example.com", json!({"firstName": "Two"}))).await;
    assert_eq!(second.outcomes().await, [Outcome::Delivered]);
    assert_eq!(first.outcomes().await, [Outcome::Delivered]);
    assert_eq!(rig.contact("ada@example.com")["first_name"], "Two");
    rig.finish(second).await;
}

/// Brings events into a phase, stops the lane there, and expects each to be settled once.
async fn stopped_in(phase: &str, setup: Setup, faults: Value, reached: impl AsyncFn(&Rig)) -> Vec<Outcome> {
    let mut rig = Rig::with(setup).await;
    rig.faults(faults).await;
    let mut source = rig.session().await;
    for number in 0..6 {
        // Of two contacts, which are too few for a bulk call.
        source
            .send(identify(&format!("m{number}"), &format!("c{}@example.com", number / 3), json!({})))
            .await;
    }
    reached(&rig).await;
    rig.stopped().await;
    let outcomes = source.outcomes().await;
    for outcome in &outcomes {
        assert!(matches!(outcome, Outcome::Delivered | Outcome::Returned), "{phase}: {outcome:?}");
    }
    let calls = rig.state()["total_requests"].as_u64();
    refused_afterwards(&mut source).await;
    assert_eq!(rig.state()["total_requests"].as_u64(), calls, "{phase}: it goes on calling");
    outcomes
}

async fn refused_afterwards(source: &mut Source) {
    source.send(identify("late", "late@example.com", json!({}))).await;
    assert_eq!(source.settled().await.outcome, Outcome::Returned);
}

#[tokio::test]
async fn a_stop_gives_everything_back_in_every_phase() {
    let grace = || Setup { grace: Duration::from_millis(300), ..Setup::default() };
    let long = (Duration::from_mins(10), Duration::from_mins(10));
    let returned = vec![Outcome::Returned; 6];

    let hang = json!({"endpoint": "contacts_fields", "action": {"hang": true}});
    let outcomes = stopped_in("schema read", grace(), hang, async |rig| {
        called(rig, "contacts_fields", 1).await;
    })
    .await;
    assert_eq!(outcomes, returned);

    let refused = json!({"endpoint": "contacts_fields", "action": {"status": 404}});
    let outcomes = stopped_in("schema refused", grace(), refused, async |rig| {
        soon("the state", async || rig.board.view().why.contains("404")).await;
    })
    .await;
    assert_eq!(outcomes, returned);

    let throttled =
        json!({"endpoint": "contacts_upsert", "action": {"status": 429, "headers": {"retry-after": "900"}}});
    let outcomes = stopped_in("quota wait", grace(), throttled, async |rig| {
        soon("the state", async || rig.board.view().why.contains("too many")).await;
    })
    .await;
    assert_eq!(outcomes, returned);

    let patience = BackoffSettings { unavailable: long, ..Setup::default().patience };
    let setup = Setup { patience, ..grace() };
    let down = json!({"endpoint": "contacts_upsert", "action": {"status": 500}});
    let outcomes = stopped_in("back-off", setup, down, async |rig| {
        called(rig, "contacts_upsert", 2).await;
    })
    .await;
    assert_eq!(outcomes, returned);

    let hang = json!({"endpoint": "contacts_upsert", "action": {"hang": true}});
    let outcomes = stopped_in("in flight, without an end", grace(), hang, async |rig| {
        called(rig, "contacts_upsert", 2).await;
    })
    .await;
    assert_eq!(outcomes, returned);

    let slow = json!({"endpoint": "contacts_upsert", "action": {"delay_ms": 700}});
    let setup = Setup { concurrency: 1, ..Setup::default() };
    let outcomes = stopped_in("in flight", setup, slow, async |rig| {
        called(rig, "deals_fields", 1).await;
        soon("the call", async || rig.in_force().await[0]["struck"] == 1).await;
    })
    .await;
    let delivered = outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 3, "{outcomes:?}");
}

#[tokio::test]
async fn a_failing_event_that_was_given_back_no_longer_shows_in_the_lane_s_state() {
    let rig = Rig::start().await;
    let mut first = rig.session().await;
    rig.faults(json!({"endpoint": "track_events", "action": {"status": 500}})).await;
    first.send(track("t", "ada@example.com", "Came")).await;
    soon("the state", async || rig.board.view().state == LaneState::Retrying).await;
    first.lost.cancel();
    assert_eq!(first.outcomes().await, [Outcome::Returned]);
    // The track went to another replica; here is only an identify to be done.
    let mut second = rig.session().await;
    second.send(identify("i", "zoe@example.com", json!({}))).await;
    assert_eq!(second.outcomes().await, [Outcome::Delivered]);
    assert_eq!(rig.board.view().state, LaneState::Flowing);
    rig.finish(second).await;
}

#[tokio::test]
async fn nothing_is_begun_for_a_source_that_has_not_shown_itself_lately() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(track("0", "ada@example.com", "Came")).await;
    assert_eq!(source.outcomes().await, [Outcome::Delivered]);
    source.lost.cancel();

    // As after a pause of the whole process.
    let (_show, shown) = watch::channel(Instant::now());
    let mut stale = rig.leased_session(Lease::new(shown, Duration::ZERO)).await;
    for id in ["1", "2"] {
        stale.send(track(id, "ada@example.com", "Came")).await;
    }
    soon("both are taken", async || rig.metrics.account("acme").events.in_flight.get() == 2).await;
    // A call that was begun would be waited for.
    stale.lost.cancel();
    assert_eq!(stale.outcomes().await, [Outcome::Returned, Outcome::Returned]);
    assert_eq!(rig.state()["activities"].as_array().unwrap().len(), 1);

    let term = Duration::from_mins(10);
    let (show, shown) = watch::channel(Instant::now());
    let mut live = rig.leased_session(Lease::new(shown, term)).await;
    live.send(track("1", "ada@example.com", "Came")).await;
    assert_eq!(live.outcomes().await, [Outcome::Delivered]);
    drop(show);
    rig.finish(live).await;
}

#[tokio::test]
async fn the_last_of_copied_identifies_wins_again_and_a_copied_track_is_left_out() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let sized = |id: &str, seats: u32| identify(id, "ada@example.com", json!({"cfSeats": seats}));
    source.send(sized("55", 55)).await;
    source.send(track("t", "ada@example.com", "Came")).await;
    for _ in 0..2 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    // What the router had in flight when its connection was lost; the first of them another replica has delivered.
    source.send_copy(sized("54", 54)).await;
    source.send_copy(sized("55", 55)).await;
    source.send_copy(track("t", "ada@example.com", "Came")).await;
    for _ in 0..3 {
        let settlement = source.settled().await;
        let skipped = Outcome::Skipped(SkipReason::Duplicate);
        assert_eq!(settlement.outcome, if settlement.tag == 4 { skipped } else { Outcome::Delivered });
    }
    assert_eq!(rig.contact("ada@example.com")["custom_field"]["cf_seats"], 55);
    assert_eq!(rig.state()["activities"].as_array().unwrap().len(), 1);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_batch_that_comes_twice_ends_with_its_last_identify_though_another_replica_took_its_first() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let sized = |id: &str, seats: u32| identify(id, "ada@example.com", json!({"cfSeats": seats}));
    let seats = |rig: &Rig| rig.contact("ada@example.com")["custom_field"]["cf_seats"].clone();
    source.send_of_batch(1, sized("55", 55)).await;
    source.send_of_batch(1, sized("56", 56)).await;
    for (id, size) in [("54", 54), ("55", 55), ("56", 56)] {
        source.send_of_batch(2, sized(id, size)).await;
    }
    for _ in 0..5 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    assert_eq!(seats(&rig), 56);
    // Once all of it is known, and something newer came, a third copy changes nothing.
    source.send(sized("57", 57)).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    for (id, size) in [("54", 54), ("55", 55), ("56", 56)] {
        source.send_of_batch(3, sized(id, size)).await;
        assert_eq!(source.settled().await.outcome, Outcome::Skipped(SkipReason::Duplicate));
    }
    assert_eq!(seats(&rig), 57);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_source_that_ends_by_itself_gets_everything_delivered() {
    let rig = Rig::with(Setup { prefetch: 3, concurrency: 2, ..Setup::default() }).await;
    let mut source = rig.session().await;
    for number in 0..30 {
        source
            .send(identify(&format!("m{number}"), &format!("c{}@example.com", number % 7), json!({})))
            .await;
    }
    source.end();
    for outcome in source.outcomes().await {
        assert_eq!(outcome, Outcome::Delivered);
    }
    rig.finish(source).await;
}
