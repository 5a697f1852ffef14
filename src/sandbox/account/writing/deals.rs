//! What only deals have: contacts that are added and removed, and a probability in percent.

use serde_json::Value;

use super::values;
use crate::sandbox::account::store::Store;
use crate::sandbox::account::store::record::StoredRecord;
use crate::schema::Entity;
use crate::segment::JsonMap;

/// Writes `contacts_added_list` and `contacts_removed_list` and returns what is wrong.
pub(in crate::sandbox) fn write(store: &Store, body: &JsonMap, record: &mut StoredRecord) -> Vec<String> {
    let mut problems = Vec::new();
    match ids(store, body, "contacts_added_list") {
        Ok(added) => record.contact_ids.extend(added),
        Err(problem) => problems.push(problem),
    }
    match ids(store, body, "contacts_removed_list") {
        Ok(removed) => {
            for id in removed {
                record.contact_ids.remove(&id);
            }
        }
        Err(problem) => problems.push(problem),
    }
    let amount = record.fields.get("amount").and_then(Value::as_f64);
    if amount.is_some_and(|amount| amount > values::ALL_WHOLE) {
        problems.push(format!("Amount must be less than or equal to {}", values::ALL_WHOLE));
    }
    let probability = record.fields.get("probability").and_then(Value::as_f64);
    if probability.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        problems.push("Probability must be from 0 to 100".to_owned());
    }
    problems
}

fn ids(store: &Store, body: &JsonMap, key: &str) -> Result<Vec<u64>, String> {
    let Some(value) = body.get(key).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let known =
        |value: &Value| values::id(value).filter(|id| store.records(Entity::Contact).get(*id).is_some());
    value
        .as_array()
        .and_then(|entries| entries.iter().map(known).collect())
        .ok_or_else(|| "Related contacts is invalid".to_owned())
}
