//! Deliveries that repeat one which is still on its way: none is settled before that one, and all end as it does.

use freshet::outcome::{Outcome, SkipReason};
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, Source, called, identify, reason, track};

const ADA: &str = "ada@example.com";

/// A lane whose next track is answered only when the faults are removed.
async fn with_one_under_way(event: &Value) -> (Rig, Source) {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    rig.faults(json!({"endpoint": "*", "action": {"status": 503}})).await;
    source.send(event).await;
    let endpoint = if event["type"] == "track" { "track_events" } else { "contacts_upsert" };
    called(&rig, endpoint, if event["type"] == "track" { 1 } else { 2 }).await;
    (rig, source)
}

/// Waits until the lane has taken this many deliveries in all.
async fn taken(rig: &Rig, deliveries: f64) {
    crate::support::soon("the deliveries are taken", async || {
        rig.sum("freshet_events_received_total", &[]) >= deliveries
    })
    .await;
}

/// The next outcomes, by tag.
async fn ends(source: &mut Source, count: usize) -> Vec<(u64, Outcome)> {
    let mut ends = Vec::new();
    for _ in 0..count {
        let settlement = source.settled().await;
        ends.push((settlement.tag, settlement.outcome));
    }
    ends.sort_by_key(|(tag, _)| *tag);
    ends
}

#[tokio::test]
async fn duplicates_of_one_under_way_are_settled_with_it_and_not_before() {
    let event = track("m", ADA, "Seen");
    let (rig, mut source) = with_one_under_way(&event).await;
    let again = [source.send_again(&event).await, source.send(&event).await];
    taken(&rig, 4.0).await;
    assert!(source.try_settled().is_none(), "settled before the first");
    assert_eq!(rig.sum("freshet_events_in_flight", &[]), 3.0);
    rig.mend().await;
    let duplicate = || Outcome::Skipped(SkipReason::Duplicate);
    let expected = [(1, Outcome::Delivered), (again[0], duplicate()), (again[1], duplicate())];
    assert_eq!(ends(&mut source, 3).await, expected);
    assert_eq!(rig.activities().len(), 1);
    // It took effect: another one is settled at once.
    source.send(&event).await;
    assert_eq!(source.settled().await.outcome, duplicate());
    rig.finish(source).await;
}

#[tokio::test]
async fn duplicates_of_one_that_is_refused_become_dead_letters_of_their_own() {
    let event = identify("m", ADA, json!({"city": "Ulm"}));
    let (rig, mut source) = with_one_under_way(&event).await;
    source.send_again(&event).await;
    taken(&rig, 3.0).await;
    assert!(source.try_settled().is_none(), "settled before the first");
    rig.mend().await;
    let refused = json!({"status": 400, "body": {"errors": {"code": 400, "message": ["No"]}}});
    rig.faults(json!({"endpoint": "contacts_upsert", "action": refused, "containing": ADA})).await;
    let ends = ends(&mut source, 2).await;
    assert_eq!(ends.iter().map(|(_, outcome)| reason(outcome)).collect::<Vec<_>>(), ["rejected"; 2]);
    assert_eq!(rig.sum("freshet_events_dead_lettered_total", &["rejected"]), 2.0);
    // Sent back when the fault is mended, it is delivered.
    rig.mend().await;
    source.send(&event).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    rig.finish(source).await;
}

#[tokio::test]
async fn duplicates_of_one_that_is_given_back_are_given_back() {
    let event = track("m", ADA, "Seen");
    let (rig, mut source) = with_one_under_way(&event).await;
    source.send_again(&event).await;
    taken(&rig, 3.0).await;
    source.lost.cancel();
    let expected = [(1, Outcome::Returned), (2, Outcome::Returned)];
    assert_eq!(ends(&mut source, 2).await, expected);
    rig.mend().await;
    let mut next = rig.session().await;
    next.send_again(&event).await;
    assert_eq!(next.settled().await.outcome, Outcome::Delivered);
    drop(source);
    rig.finish(next).await;
}

#[tokio::test]
async fn duplicates_count_as_held_and_never_keep_the_one_they_wait_for_from_ending() {
    let rig = Rig::with(Setup { prefetch: 4, ..Setup::default() }).await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "track_events", "action": {"status": 503}})).await;
    let event = track("m", ADA, "Seen");
    for _ in 0..4 {
        source.send(&event).await;
    }
    taken(&rig, 4.0).await;
    // There is no room for it.
    source.send(identify("other", "zoe@example.com", json!({}))).await;
    called(&rig, "track_events", 6).await;
    assert_eq!(rig.calls("contacts_upsert"), 0);
    assert_eq!(rig.sum("freshet_events_received_total", &[]), 4.0);
    rig.mend().await;
    let outcomes = source.outcomes().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count(), 2, "{outcomes:?}");
    assert_eq!(rig.activities().len(), 1);
    rig.finish(source).await;
}

#[tokio::test]
async fn events_without_a_message_id_are_never_taken_for_one_another() {
    let mut event = track("m", ADA, "Seen");
    event.as_object_mut().unwrap().remove("messageId");
    let (rig, mut source) = with_one_under_way(&event).await;
    source.send(&event).await;
    taken(&rig, 3.0).await;
    rig.mend().await;
    assert_eq!(ends(&mut source, 2).await, [(1, Outcome::Delivered), (2, Outcome::Delivered)]);
    assert_eq!(rig.activities().len(), 2);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_copied_identify_wins_again_beside_its_like_and_a_third_one_joins_both() {
    let rig = Rig::with(Setup { concurrency: 1, ..Setup::default() }).await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"status": 503}})).await;
    let first = identify("m1", ADA, json!({"city": "Ulm"}));
    let other = identify("m2", ADA, json!({"city": "Bonn"}));
    source.send(&first).await;
    called(&rig, "contacts_upsert", 1).await;
    source.send(&other).await;
    // The source may have had both before: the newer one must win.
    source.send_copy(&first).await;
    source.send_copy(&other).await;
    source.send(&other).await;
    taken(&rig, 5.0).await;
    assert!(source.try_settled().is_none());
    rig.mend().await;
    let delivered = Outcome::Delivered;
    let expected = [
        delivered.clone(),
        delivered.clone(),
        delivered.clone(),
        delivered,
        Outcome::Skipped(SkipReason::Duplicate),
    ];
    assert_eq!(source.outcomes().await, expected);
    assert_eq!(rig.contact(ADA)["city"], "Bonn");
    rig.finish(source).await;
}
