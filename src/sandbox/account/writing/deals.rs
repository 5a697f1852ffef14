//! What only deals have: contacts that are added and removed, and bounds for amount and probability.

use serde_json::Value;

use crate::{
    sandbox::{
        account::store::{Store, record::StoredRecord},
        metadata::numbers,
    },
    schema::Entity,
    segment::JsonMap,
};

/// Writes `contacts_added_list` and `contacts_removed_list` of the body and returns the error messages.
pub(super) fn write(store: &Store, body: &JsonMap, record: &mut StoredRecord) -> Vec<String> {
    let mut problems = Vec::new();
    match contact_ids(store, body, "contacts_added_list") {
        Ok(added) => record.contact_ids.extend(added),
        Err(problem) => problems.push(problem),
    }
    match contact_ids(store, body, "contacts_removed_list") {
        Ok(removed) => {
            for id in removed {
                record.contact_ids.remove(&id);
            }
        }
        Err(problem) => problems.push(problem),
    }
    let amount = record.fields.get("amount").and_then(Value::as_f64);
    if amount.is_some_and(|amount| amount > numbers::MAX_WHOLE) {
        problems.push(format!("Amount must be less than or equal to {}", numbers::MAX_WHOLE));
    }
    let probability = record.fields.get("probability").and_then(Value::as_f64);
    if probability.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        problems.push("Probability must be from 0 to 100".to_owned());
    }
    problems
}

fn contact_ids(store: &Store, body: &JsonMap, key: &str) -> Result<Vec<u64>, String> {
    let Some(value) = body.get(key).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let known =
        |value: &Value| numbers::id(value).filter(|id| store.records(Entity::Contact).get(*id).is_some());
    value
        .as_array()
        .and_then(|entries| entries.iter().map(known).collect())
        .ok_or_else(|| "Related contacts is invalid".to_owned())
}
