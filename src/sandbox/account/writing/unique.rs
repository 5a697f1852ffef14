//! What no two records of an entity may share, compared without case: a contact's addresses and `external_id`, a sales
//! account's name, and the fields that the metadata marks with `"unique": true`. Deals may share a name.

use serde_json::Value;

use crate::{
    sandbox::{
        account::store::{
            Store,
            record::{StoredRecord, UniqueIdentifier},
        },
        metadata::field_file::FieldFile,
    },
    schema::Entity,
};

/// The error messages for values of `record` that another record has.
pub(super) fn check(store: &Store, file: &FieldFile, entity: Entity, record: &StoredRecord) -> Vec<String> {
    let mut problems = Vec::new();
    let taken = |identifier, value: &str| {
        let owner = store.records(entity).find(identifier, value);
        !value.is_empty() && owner.is_some_and(|owner| owner != record.id)
    };
    match entity {
        Entity::Contact => {
            let clashes = record.emails.iter().filter(|email| taken(UniqueIdentifier::Email, &email.value));
            problems.extend(clashes.map(|email| format!("{} already exists.", email.value)));
            if taken(UniqueIdentifier::ExternalId, record.text("external_id")) {
                let field = file.fields.get("external_id");
                problems.push(not_unique(field.map_or("External ID", |field| &field.label)));
            }
        }
        Entity::SalesAccount => {
            if taken(UniqueIdentifier::Name, record.text("name")) {
                problems.push("Name has already been taken".to_owned());
            }
        }
        Entity::Deal => {}
    }
    for name in &file.unique {
        let Some(value) = comparable(record, name) else { continue };
        let mut others = store.records(entity).iter().filter(|other| other.id != record.id);
        if others.any(|other| comparable(other, name).is_some_and(|other| other == value)) {
            problems.push(not_unique(file.fields.get(name).map_or(name, |field| &field.label)));
        }
    }
    problems
}

fn not_unique(label: &str) -> String {
    format!("{label} is not unique")
}

/// The text of a field that is compared; `None` for a blank field.
fn comparable(record: &StoredRecord, name: &str) -> Option<String> {
    match record.custom_field.get(name).or_else(|| record.fields.get(name))? {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.trim().to_lowercase()),
        value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(value.to_string())
        }
    }
}
