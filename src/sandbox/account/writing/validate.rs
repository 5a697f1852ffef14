//! A body's fields, checked against the account's metadata and written into a record.

use serde_json::Value;

use super::values::{FieldChange, ValueChecker};
use crate::{
    sandbox::account::store::record::StoredRecord,
    schema::{Field, FieldType, Fields},
    segment::JsonMap,
};

/// Fields that `contacts.rs` writes, because they have rules of their own.
const WRITTEN_ELSEWHERE: &[&str] = &["emails", "sales_accounts"];

/// Required fields must be in a body that creates a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    Create,
    Update,
}

/// Writes a body's fields into a record and returns the error messages, in the order of the account's fields.
///
/// What the API ignores without an error is ignored here too: unknown keys, read-only fields, custom fields outside
/// `custom_field`, and everything inside `custom_fields`.
pub(super) fn write(
    fields: &Fields,
    checker: &ValueChecker<'_>,
    mode: WriteMode,
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
    for field in fields.fields.iter().filter(|field| !field.read_only() && !written_elsewhere(field)) {
        let (sent, stored) = if field.custom() {
            (custom.get(&field.name), &mut record.custom_field)
        } else {
            (body.get(&field.name), &mut record.fields)
        };
        if let Some(value) = sent
            && let Err(problem) = set(checker, field, value, stored)
        {
            problems.push(problem);
            continue;
        }
        let must_be_set = field.required && (mode == WriteMode::Create || sent.is_some());
        if must_be_set && is_blank(stored.get(&field.name)) {
            problems.push(missing(field));
        }
    }
    problems
}

fn set(checker: &ValueChecker<'_>, field: &Field, value: &Value, stored: &mut JsonMap) -> Result<(), String> {
    if value.is_null() {
        stored.shift_remove(&field.name);
        return Ok(());
    }
    match checker.check(field, value)? {
        FieldChange::Set(value) => {
            stored.insert(field.name.clone(), value);
        }
        FieldChange::Clear => drop(stored.shift_remove(&field.name)),
        FieldChange::Ignore => {}
    }
    Ok(())
}

fn written_elsewhere(field: &Field) -> bool {
    field.kind == FieldType::GroupField && WRITTEN_ELSEWHERE.contains(&field.name.as_str())
}

fn is_blank(value: Option<&Value>) -> bool {
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
