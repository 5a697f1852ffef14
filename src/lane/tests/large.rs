//! A large event holds up no other lane.

use bytes::Bytes;
use jiff::Timestamp;
use prometheus::IntCounter;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::delivery::{Delivery, Receipt};
use crate::lane::intake::Intake;
use crate::lane::intake::judge::Accepts;
use crate::lane::schema_refresh::SchemaRefresh;
use crate::mapping::MappingRules;
use crate::outcome::{DeadLetterReason, Outcome};
use crate::runtime::others_run_during;
use crate::schema::Entity;
use crate::segment::EventType;

/// The intake of an account without custom fields.
fn intake() -> Intake {
    let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
    let now = Instant::now();
    schema.request(now);
    for entity in schema.fields_to_read(now) {
        let emails = json!({"id": 1, "label": "Emails", "name": "emails", "type": "group_field", "default": true,
            "visible": true, "choices": []});
        let fields = if *entity == Entity::Contact { json!([emails]) } else { json!([]) };
        schema.take_fields(*entity, Ok(json!({ "fields": fields })), now);
    }
    Intake::new(Accepts { types: vec![EventType::Identify], can_track: false }, schema)
}

/// An identify with so many traits that the account has no fields for.
fn identify(traits: usize) -> Delivery {
    let traits: serde_json::Map<_, _> =
        (0..traits).map(|number| (format!("cf_{number}"), json!(number))).collect();
    let body = json!({"type": "identify", "userId": "ada@example.com", "traits": traits}).to_string();
    let (settlements, _settled) = mpsc::channel(1);
    let place = settlements.try_reserve_owned().unwrap();
    Delivery {
        body: Bytes::from(body),
        queued_at: Timestamp::UNIX_EPOCH,
        copied: false,
        batch: None,
        replayed: false,
        redelivered: false,
        trace_id: None,
        receipt: Receipt::new(1, place, IntCounter::new("dropped", "receipts").unwrap()),
    }
}

fn others_run_while_judging(traits: usize) -> bool {
    let (intake, delivery) = (intake(), identify(traits));
    others_run_during(move || {
        let judged = intake.judge(&delivery).expect("no panic");
        let Err(Outcome::DeadLetter(refusal)) = judged.verdict else { panic!("it is refused") };
        assert_eq!(refusal.reason, DeadLetterReason::UnknownCustomField, "it is judged to the end");
    })
}

#[test]
fn a_large_event_is_judged_beside_other_lanes() {
    assert!(others_run_while_judging(20_000));
}

/// Handing a small one over would cost more than it saves.
#[test]
fn a_small_event_is_not_handed_to_another_thread() {
    assert!(!others_run_while_judging(10));
}
