//! What comes together is planned together, and what comes alone does not wait.

use freshet::outcome::Outcome;
use serde_json::{Value, json};

use crate::rig::{Rig, identify};

fn contacts(count: usize) -> Vec<Value> {
    let identify = |number| identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}));
    (0..count).map(identify).collect()
}

async fn all_delivered(source: &mut crate::rig::Source) {
    assert!(source.outcomes().await.iter().all(|outcome| *outcome == Outcome::Delivered));
}

#[tokio::test]
async fn identifies_that_are_there_when_the_lane_starts_go_in_one_call() {
    let rig = Rig::start().await;
    let mut source = rig.session_with(contacts(100)).await;
    all_delivered(&mut source).await;
    assert_eq!((rig.calls("contacts_bulk_upsert"), rig.calls("contacts_upsert")), (1, 0));
    rig.finish(source).await;
}

#[tokio::test]
async fn identifies_that_follow_each_other_closely_go_in_one_call() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    // The lane has read the fields.
    source.send(identify("w", "warm@example.com", json!({}))).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    // However slow this machine is, they come within one gap: one by one, and the lane looks at each as it comes.
    tokio::time::pause();
    let received = || rig.sum("freshet_events_received_total", &[]);
    for event in contacts(20) {
        let before = received();
        source.send(event).await;
        while received() == before {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::resume();
    for _ in 0..20 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    assert_eq!((rig.calls("contacts_bulk_upsert"), rig.calls("contacts_upsert")), (1, 1));
    rig.finish(source).await;
}

#[tokio::test]
async fn an_identify_that_comes_alone_does_not_wait_for_another_one() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    for (number, event) in contacts(3).into_iter().enumerate() {
        source.send(event).await;
        let settled = tokio::time::timeout(std::time::Duration::from_secs(20), source.settled()).await;
        assert_eq!(settled.expect("it waits for another one").outcome, Outcome::Delivered);
        assert_eq!(rig.calls("contacts_upsert"), number + 1);
    }
    rig.finish(source).await;
}
