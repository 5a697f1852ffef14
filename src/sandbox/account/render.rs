//! Records as JSON: complete as the API answers them, and only what has a value as the sandbox's state shows them.

use serde_json::{Value, json};

use super::{
    related::sales_accounts,
    store::{account_records::AccountRecords, record::StoredRecord},
};
use crate::{
    sandbox::metadata::fields::FieldFiles,
    schema::{Entity, FieldType},
    segment::JsonMap,
};

/// As the API answers it: every field of the account, null if it has no value.
pub(in crate::sandbox) fn full(fields: &FieldFiles, entity: Entity, record: &StoredRecord) -> JsonMap {
    let mut out = JsonMap::new();
    out.insert("id".to_owned(), Value::from(record.id));
    let mut custom_field = JsonMap::new();
    for field in &fields.get(entity.into()).fields.fields {
        if field.custom() {
            let value = record.custom_field.get(&field.name).cloned().unwrap_or_default();
            custom_field.insert(field.name.clone(), value);
        } else if field.kind != FieldType::GroupField {
            let empty = if field.kind == FieldType::AutoComplete && field.multiple {
                Value::Array(Vec::new())
            } else {
                Value::Null
            };
            out.insert(field.name.clone(), record.fields.get(&field.name).cloned().unwrap_or(empty));
        }
    }
    // As a string, so that a client which expects a number fails against the sandbox first.
    if let Some(amount @ Value::Number(_)) = out.get_mut("amount") {
        *amount = Value::String(amount.to_string());
    }
    entity_keys(entity, record, &mut out);
    let phones = record.fields.get("phone_numbers").cloned().unwrap_or_else(|| json!([]));
    if entity == Entity::Contact {
        out.insert("phone_numbers".to_owned(), phones);
    }
    out.insert("custom_field".to_owned(), Value::Object(custom_field));
    out.insert("is_deleted".to_owned(), Value::Bool(false));
    out
}

/// As `GET /_sandbox/state` shows it: only fields that have a value.
pub(in crate::sandbox) fn short(records: &AccountRecords, entity: Entity, record: &StoredRecord) -> Value {
    let mut out = JsonMap::new();
    out.insert("id".to_owned(), Value::from(record.id));
    out.extend(record.fields.clone());
    entity_keys(entity, record, &mut out);
    if entity == Entity::Contact {
        out.insert("sales_accounts".to_owned(), sales_accounts(records, record));
    }
    out.insert("custom_field".to_owned(), Value::Object(record.custom_field.clone()));
    Value::Object(out)
}

/// The keys that do not come from the account's fields.
fn entity_keys(entity: Entity, record: &StoredRecord, out: &mut JsonMap) {
    match entity {
        Entity::Contact => {
            out.insert("display_name".to_owned(), Value::from(record.display_name(entity)));
            out.insert("email".to_owned(), Value::from(record.primary_email()));
            let emails = record.emails.iter().map(|email| {
                let (id, value, is_primary) = (email.id, &email.value, email.is_primary);
                json!({ "id": id, "value": value, "is_primary": is_primary, "label": null, "_destroy": false })
            });
            out.insert("emails".to_owned(), emails.collect());
        }
        Entity::SalesAccount => {}
        Entity::Deal => {
            let ids: Vec<u64> = record.contact_ids.iter().copied().collect();
            out.insert("contact_ids".to_owned(), Value::from(ids));
            let account = record.fields.get("sales_account_id").cloned().unwrap_or_default();
            out.insert("sales_account_id".to_owned(), account);
        }
    }
    out.insert("created_at".to_owned(), Value::from(record.created_at.to_string()));
    out.insert("updated_at".to_owned(), Value::from(record.updated_at.to_string()));
}
