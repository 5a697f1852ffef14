//! When a lane counts as stuck, and that one which waits on purpose does not.

use std::time::Duration;

use freshet::lane::BackoffSettings;
use serde_json::{Value, json};

use crate::rig::{Account, Rig, Setup, called, identify, track};
use crate::support::soon;

/// With it a lane is stuck whenever it rests and nothing stands in its way.
const NO_PATIENCE: Duration = Duration::ZERO;

fn for_hours() -> Setup {
    let long = (Duration::from_hours(1), Duration::from_hours(1));
    let patience = BackoffSettings {
        unavailable: long,
        throttled: long,
        unauthorized: long,
        ..BackoffSettings::default()
    };
    Setup {
        request_timeout: Duration::from_hours(1),
        grace: Duration::from_millis(50),
        patience,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_lane_whose_call_is_never_answered_is_stuck() {
    for endpoint in ["contacts_fields", "contacts_upsert"] {
        let mut rig = Rig::with(for_hours()).await;
        rig.faults(json!({"endpoint": endpoint, "action": {"hang": true}})).await;
        let mut source = rig.session().await;
        source.send(identify("a", "ada@example.com", json!({}))).await;
        called(&rig, endpoint, 1).await;
        let after = Duration::from_millis(200);
        soon("it is stuck", async || rig.board.stuck(after).is_some()).await;
        assert_eq!(rig.board.stuck(after).unwrap().events, 1);
        soon("beyond hope", async || rig.board.stuck(after).unwrap().needs_restart).await;
        // The stop gives the event back: there is nothing to be stuck with.
        rig.stopped().await;
        assert_eq!(rig.board.stuck(NO_PATIENCE), None);
    }
}

#[tokio::test]
async fn a_lane_that_waits_on_purpose_is_not_stuck() {
    let patient = |action: Value| json!({"endpoint": "contacts_upsert", "action": action});
    let faults = [
        patient(json!({"status": 429, "headers": {"retry-after": "3600"}})),
        patient(json!({"status": 429})),
        patient(json!({"status": 401})),
        patient(json!({"status": 503})),
        patient(json!({"reset": true})),
        json!({"endpoint": "contacts_fields", "action": {"status": 404}}),
        json!({"endpoint": "contacts_fields", "action": {"status": 503}}),
    ];
    for fault in faults {
        let mut rig = Rig::with(for_hours()).await;
        rig.faults(fault.clone()).await;
        let mut source = rig.session().await;
        source.send(identify("a", "ada@example.com", json!({}))).await;
        called(&rig, fault["endpoint"].as_str().unwrap(), 1).await;
        // It holds its event to the end, so nothing else can make it look well.
        soon(&fault.to_string(), async || rig.board.stuck(NO_PATIENCE).is_none()).await;
        rig.stopped().await;
        assert_eq!(source.outcomes().await, [freshet::outcome::Outcome::Returned], "{fault}");
    }
}

#[tokio::test]
async fn a_lane_out_of_quota_is_not_stuck() {
    // The account itself has plenty, so that no answer tells of trouble: it is the lane's own share that is spent.
    let account = Account::start(1_000_000).await;
    let mut rig = Rig::before(account, Setup { requests_per_hour: 8, ..for_hours() });
    let mut source = rig.session().await;
    for number in 0..9 {
        source.send(identify(&format!("m{number}"), "ada@example.com", json!({}))).await;
    }
    // Reading the fields took what may go at once.
    soon("all are taken", async || rig.sum("freshet_events_in_flight", &[]) == 9.0).await;
    soon("it waits", async || rig.board.stuck(NO_PATIENCE).is_none()).await;
    assert!(source.try_settled().is_none(), "it has work");
    rig.stopped().await;
}

#[tokio::test]
async fn a_lane_that_takes_over_is_not_stuck_before_it_may_send() {
    let mut rig = Rig::with(for_hours()).await;
    rig.faults(json!({"endpoint": "track_events", "action": {"hang": true}})).await;
    let mut source = rig.session().await;
    source.send_again(track("m", "ada@example.com", "Came")).await;
    soon("it waits", async || {
        rig.sum("freshet_events_in_flight", &[]) > 0.0 && rig.board.stuck(NO_PATIENCE).is_none()
    })
    .await;
    called(&rig, "track_events", 1).await;
    soon("it is stuck", async || rig.board.stuck(NO_PATIENCE).is_some()).await;
    rig.stopped().await;
}
