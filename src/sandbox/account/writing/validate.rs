//! A body's fields against the account's metadata: what they change in a record, and what is wrong.

use super::values::{FieldChange, ValueChecker};
use crate::sandbox::account::store::record::StoredRecord;
use crate::schema::{Field, FieldType, Fields};
use crate::segment::JsonMap;
use serde_json::Value;

/// Fields with rules of their own, kept apart from the others in a [`Record`].
const APART: &[&str] = &["emails", "sales_accounts"];

/// Whether the record is new, so that required fields must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum WriteMode {
    Create,
    Update,
}

/// Writes a body's fields into a record and returns what is wrong with them, in the account's order.
/// What the API loses without a word is lost here too: unknown keys, read-only fields, custom fields
/// outside `custom_field`, and everything inside `custom_fields`.
pub(in crate::sandbox) fn write(
    fields: &Fields,
    surroundings: &ValueChecker<'_>,
    stage: WriteMode,
    body: &JsonMap,
    record: &mut StoredRecord,
) -> Vec<String> {
    let mut problems = Vec::new();
    let none = JsonMap::new();
    let custom = match body.get("custom_field") {
        Some(Value::Object(custom)) => custom,
        Some(Value::Null) | None => &none,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            problems.push("Custom field is invalid".to_owned());
            &none
        }
    };
    for field in fields.fields.iter().filter(|field| !field.read_only() && !apart(field)) {
        let (sent, kept) = if field.custom() {
            (custom.get(&field.name), &mut record.custom_field)
        } else {
            (body.get(&field.name), &mut record.fields)
        };
        if let Some(value) = sent
            && let Err(problem) = set(surroundings, field, value, kept)
        {
            problems.push(problem);
            continue;
        }
        let asked = stage == WriteMode::Create || sent.is_some();
        if field.required && asked && blank(kept.get(&field.name)) {
            problems.push(missing(field));
        }
    }
    problems
}

fn set(
    surroundings: &ValueChecker<'_>,
    field: &Field,
    value: &Value,
    kept: &mut JsonMap,
) -> Result<(), String> {
    if value.is_null() {
        kept.shift_remove(&field.name);
        return Ok(());
    }
    match surroundings.check(field, value)? {
        FieldChange::Value(value) => {
            kept.insert(field.name.clone(), value);
        }
        FieldChange::Blank => drop(kept.shift_remove(&field.name)),
        FieldChange::Nothing => {}
    }
    Ok(())
}

fn apart(field: &Field) -> bool {
    field.kind == FieldType::GroupField && APART.contains(&field.name.as_str())
}

fn blank(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.as_str().is_some_and(|text| text.trim().is_empty()))
}

fn missing(field: &Field) -> String {
    let how = match field.kind {
        FieldType::Text | FieldType::Textarea | FieldType::Number => "blank",
        FieldType::Dropdown
        | FieldType::MultiSelectDropdown
        | FieldType::Checkbox
        | FieldType::Date
        | FieldType::Radio
        | FieldType::AutoComplete
        | FieldType::GroupField
        | FieldType::DateTimeSplit
        | FieldType::Other(_) => "empty",
    };
    format!("{} can't be {how}", field.label)
}
