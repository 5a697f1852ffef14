//! When fields are read, and what a useless answer changes.

use super::*;
use crate::lane::intake::judge::{Accepts, judge};
use crate::outcome::Outcome;
use crate::segment::EventType;
use serde_json::json;

fn accepts() -> Accepts {
    Accepts { types: vec![EventType::Identify], can_track: true }
}

fn answer(schema: &mut SchemaRefresh, contact: &Result<Value, u16>, now: Instant) {
    for entity in schema.fields_to_read(now) {
        let fields = if *entity == Entity::Contact { contact.clone() } else { Ok(json!({ "fields": [] })) };
        schema.take_fields(*entity, fields, now);
    }
}

fn fields(type_of_size: &str) -> Value {
    let field = |id: u8, name: &str, kind: &str| {
        json!({ "id": id, "label": name, "name": name, "type": kind, "default": true, "visible": true,
            "choices": [] })
    };
    let fields = [field(1, "emails", "group_field"), field(2, "size", type_of_size)];
    json!({ "fields": fields })
}

fn refused(schema: &SchemaRefresh) -> Option<DeadLetterReason> {
    let event = json!({ "type": "identify", "userId": "a@x.com", "traits": { "size": "tall" } }).to_string();
    match judge(&event.into(), &accepts(), schema.mapper().unwrap()).verdict {
        Ok(_) => None,
        Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_event_is_refused_only_by_fields_read_lately() {
    let start = Instant::now();
    let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
    schema.request(start);
    answer(&mut schema, &Ok(fields("number")), start);
    let reason = refused(&schema).unwrap();
    let soon = start + Duration::from_mins(5);
    assert!(!schema.may_be_stale_for(reason, false, soon));
    assert!(schema.is_settled());
    // An admin may have changed the field meanwhile.
    let later = soon + Duration::from_secs(1);
    assert!(schema.may_be_stale_for(reason, false, later));
    assert!(!schema.is_settled());
    answer(&mut schema, &Ok(fields("text")), later);
    assert!(schema.is_settled());
    assert_eq!(refused(&schema), None);
    let changed: Vec<_> =
        schema.read().unwrap().changed.iter().map(|one| (one.field.as_str(), one.change)).collect();
    assert_eq!(changed, [("size", "type")]);
    // Another refusal soon after does not read them again.
    assert!(!schema.may_be_stale_for(reason, false, later + Duration::from_mins(4)));
}

#[test]
fn an_event_that_was_sent_back_is_refused_only_by_fields_read_for_such_an_event() {
    let start = Instant::now();
    let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
    schema.request(start);
    answer(&mut schema, &Ok(fields("number")), start);
    let reason = refused(&schema).unwrap();
    let at = |seconds| start + Duration::from_secs(seconds);
    // Somebody mends the field and sends the letter back, all within seconds.
    assert!(!schema.may_be_stale_for(reason, false, at(10)));
    assert!(schema.may_be_stale_for(reason, true, at(10)));
    answer(&mut schema, &Ok(fields("number")), at(11));
    // Those behind it do not have them read once more, for a minute.
    for seconds in [11, 40, 70] {
        assert!(!schema.may_be_stale_for(reason, true, at(seconds)), "{seconds}");
    }
    assert!(schema.may_be_stale_for(reason, true, at(71)));
}

#[test]
fn a_list_without_a_single_field_of_contacts_takes_no_field_away() {
    let start = Instant::now();
    let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
    schema.request(start);
    let empty = Ok(json!({ "fields": [] }));
    answer(&mut schema, &empty, start);
    assert!(schema.mapper().is_none(), "every trait would be ignored");
    let later = start + Duration::from_mins(1);
    answer(&mut schema, &Ok(fields("number")), later);
    let reason = refused(&schema);
    assert!(reason.is_some());
    let later = later + Duration::from_hours(2);
    schema.refresh_when_old(later);
    answer(&mut schema, &empty, later);
    assert!(schema.is_settled());
    assert_eq!(refused(&schema), reason);
}

#[test]
fn fields_that_cannot_be_read_again_are_not_asked_for_at_every_event() {
    let start = Instant::now();
    let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
    schema.request(start);
    answer(&mut schema, &Ok(fields("number")), start);
    let reason = refused(&schema).unwrap();
    let later = start + Duration::from_mins(6);
    assert!(schema.may_be_stale_for(reason, false, later));
    answer(&mut schema, &Err(404), later);
    assert!(schema.is_settled());
    assert!(!schema.may_be_stale_for(reason, false, later + Duration::from_secs(1)));
    assert_eq!(schema.fields_to_read(later + Duration::from_secs(1)), &[]);
}

#[test]
fn contacts_do_not_wait_for_the_fields_of_deals() {
    let deal = json!({ "type": "identify", "userId": "a@x.com", "traits": { "deal": { "name": "Big" } } });
    let plain = json!({ "type": "identify", "userId": "a@x.com" });
    let judged = |schema: &SchemaRefresh, event: &Value| {
        let mapper = schema.mapper().expect("no mapper");
        match judge(&event.to_string().into(), &accepts(), mapper).verdict {
            Ok(_) => None,
            Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
            Err(other) => panic!("{other:?}"),
        }
    };
    for (answered, reason) in [
        (Err(403), DeadLetterReason::Rejected),
        (Err(404), DeadLetterReason::Rejected),
        (Err(0), DeadLetterReason::Undeliverable),
        (Ok(json!({ "fields": "none" })), DeadLetterReason::Undeliverable),
    ] {
        let start = Instant::now();
        let mut schema = SchemaRefresh::new("acme".into(), MappingRules::default());
        schema.request(start);
        let answers = |schema: &mut SchemaRefresh, deal: &Result<Value, u16>, now: Instant| {
            for entity in schema.fields_to_read(now) {
                let result = if *entity == Entity::Deal { deal.clone() } else { Ok(fields("number")) };
                schema.take_fields(*entity, result, now);
                assert_eq!(schema.last_failure(), None);
            }
        };
        answers(&mut schema, &answered, start);
        assert!(schema.is_settled(), "{answered:?}");
        assert_eq!(judged(&schema, &plain), None);
        assert_eq!(judged(&schema, &deal), Some(reason), "{answered:?}");
        // Only an event that needs the deals' fields waits for them.
        assert!(!schema.may_be_stale_for(DeadLetterReason::InvalidField, false, start), "it waits for deals");
        assert_eq!(schema.may_be_stale_for(reason, false, start), reason == DeadLetterReason::Undeliverable);
        let again = schema.next_attempt().expect("they are never read again");
        assert!(again > start && again <= start + Duration::from_secs(10));
        answers(&mut schema, &Ok(json!({ "fields": [] })), again);
        assert!(schema.is_settled() && schema.next_attempt().is_none());
        // A bad answer does not take known fields away.
        schema.request(again);
        for entity in schema.fields_to_read(again) {
            let result = if *entity == Entity::Deal { Err(403) } else { Ok(fields("number")) };
            schema.take_fields(*entity, result, again);
        }
        assert_eq!(judged(&schema, &deal), None);
    }
}
