//! Values that only the account's selectors explain: statuses within stages, owners by address, against an account.

use freshet::lane::LaneState;
use freshet::outcome::Outcome;
use serde_json::{Value, json};

use crate::rig::{Rig, Source, identify};
use crate::support::soon;

const PAGE: &str = "<!DOCTYPE html><html><body>Not here</body></html>";
const INES: &str = "Ines.Hallstrom@example.com";

async fn delivered(source: &mut Source, event: Value) {
    source.send(event).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
}

fn selectors_read(rig: &Rig) -> usize {
    ["selector_owners", "selector_lifecycle_stages", "selector_deal_pipelines"]
        .map(|name| rig.calls(name))
        .iter()
        .sum()
}

#[tokio::test]
async fn equal_labels_and_owners_addresses_reach_the_account_as_ids() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let known = json!({"owner": "Ines Hallström", "contactStatus": "Churned", "lifecycleStage": "Customer"});
    delivered(&mut source, identify("1", "zoe@example.com", known)).await;
    assert_eq!(selectors_read(&rig), 0, "nothing needed one");
    let traits = json!({
        "contactStatus": "new", "lifecycleStage": "Sales Qualified Lead", "owner": INES,
        "deal": {"name": "Big", "amount": 5, "dealStage": "New", "owner": "tomas.okafor@EXAMPLE.com"},
    });
    delivered(&mut source, identify("2", "ada@example.com", traits.clone())).await;
    let ada = rig.contact("ada@example.com");
    assert_eq!(ada["contact_status_id"], 402_000_100_700_u64);
    assert_eq!(ada["owner_id"], 402_000_000_101_u64);
    let deal = &rig.state()["deals"][0];
    assert_eq!(deal["deal_stage_id"], 402_000_100_504_u64);
    assert_eq!(deal["owner_id"], 402_000_000_102_u64);
    assert_eq!(selectors_read(&rig), 3);
    delivered(&mut source, identify("3", "bob@example.com", traits)).await;
    delivered(&mut source, identify("4", "eve@example.com", json!({"contactStatus": "New"}))).await;
    assert_eq!(
        rig.contact("eve@example.com")["contact_status_id"],
        402_000_100_119_u64,
        "the default stage's"
    );
    assert_eq!(selectors_read(&rig), 3, "they are kept");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_selector_that_cannot_be_read_stops_only_who_needs_it() {
    let forbidden = json!({"errors": {"code": 403, "message": ["You are not authorized to do this."]}});
    for action in [
        json!({"status": 403, "body": forbidden}),
        json!({"status": 404, "body": {"errors": {"code": 404, "message": ["Not found"]}}}),
        json!({"status": 404, "body": PAGE}),
        json!({"status": 200, "body": {"users": "none"}}),
    ] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        rig.faults(json!({"endpoint": "selector_owners", "action": action})).await;
        source.send(identify("needs", "ada@example.com", json!({"owner": INES}))).await;
        for number in 0..5 {
            source.send(identify(&format!("{number}"), &format!("c{number}@example.com"), json!({}))).await;
        }
        let outcomes = source.outcomes().await;
        let refused: Vec<_> = outcomes.iter().filter(|outcome| **outcome != Outcome::Delivered).collect();
        let [Outcome::DeadLetter(refusal)] = refused[..] else { panic!("{action}: {outcomes:?}") };
        assert_eq!(refusal.problems[0].expected.as_deref(), Some("an owner's e-mail address, id or name"));
        assert!(!format!("{refusal:?}").to_lowercase().contains("hallstrom"));
        // The next one does not wait for it, nor ask again at once.
        let asked = rig.calls("selector_owners");
        source.send(identify("next", "bob@example.com", json!({"owner": INES}))).await;
        assert!(matches!(source.settled().await.outcome, Outcome::DeadLetter(_)), "{action}");
        assert_eq!(rig.calls("selector_owners"), asked);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn an_outage_condemns_nobody_for_want_of_a_selector() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    delivered(&mut source, identify("warm", "zoe@example.com", json!({}))).await;
    rig.faults(json!({"endpoint": "*", "action": {"status": 503}})).await;
    source.send(identify("1", "ada@example.com", json!({"owner": INES}))).await;
    soon("calls", async || rig.calls("selector_owners") >= 6).await;
    assert!(source.try_settled().is_none());
    rig.mend().await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.contact("ada@example.com")["owner_id"], 402_000_000_101_u64);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_404_to_the_fields_asks_whether_the_path_is_missing() {
    for body in [json!(PAGE), json!({"errors": {"code": 404, "message": ["Not found"]}})] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        rig.faults(json!({"endpoint": "*", "action": {"status": 404, "body": body}})).await;
        source.send(identify("1", "ada@example.com", json!({}))).await;
        soon("the words", async || rig.board.view().why.contains("is /crm/sales missing from its end?"))
            .await;
        assert_eq!(rig.board.view().state, LaneState::WaitingForSchema);
        rig.mend().await;
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
        rig.finish(source).await;
    }
}
