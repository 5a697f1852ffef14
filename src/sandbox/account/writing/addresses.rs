//! A contact's e-mail addresses: given as one text, or as a list that adds, changes, removes, or replaces them all.

use email_address::EmailAddress;
use serde_json::Value;

use super::values;
use crate::sandbox::account::store::record::{Email, StoredRecord};
use crate::sandbox::options::EmailsOnPut;
use crate::segment::JsonMap;

/// The most addresses of one contact.
const MOST_ADDRESSES: usize = 10;

/// Writes `email` and `emails` and returns what is wrong with them.
pub(in crate::sandbox) fn write(body: &JsonMap, list: EmailsOnPut, record: &mut StoredRecord) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["email", "emails"] {
        if let Some(value) = body.get(key).filter(|value| !value.is_null())
            && let Err(problem) = set(value, list, record)
        {
            problems.push(problem);
        }
    }
    if record.emails.len() > MOST_ADDRESSES {
        problems.push(format!("Emails can be at most {MOST_ADDRESSES}"));
    }
    problems
}

/// A text becomes the primary address and the others stay.
fn set(value: &Value, list: EmailsOnPut, record: &mut StoredRecord) -> Result<(), String> {
    match value {
        Value::String(address) => {
            let address = checked(address)?;
            let at = place(record, address);
            make_primary(record, at);
        }
        Value::Array(entries) => set_list(entries, list, record)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(invalid()),
    }
    if !record.emails.iter().any(|email| email.is_primary)
        && let Some(first) = record.emails.first_mut()
    {
        first.is_primary = true;
    }
    Ok(())
}

/// Each entry names an address by its `id` or its `value`; both change it. `_destroy` removes it.
fn set_list(entries: &[Value], list: EmailsOnPut, record: &mut StoredRecord) -> Result<(), String> {
    if entries.iter().filter(|entry| flag(entry, "is_primary")).count() > 1 {
        return Err("Emails can have only one primary".to_owned());
    }
    let mut named: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries {
        let address = match entry.get("value").filter(|value| !value.is_null()) {
            Some(value) => Some(checked(value.as_str().ok_or_else(invalid)?)?),
            None => None,
        };
        let at = match (entry.get("id").and_then(values::id), address) {
            (Some(id), address) => {
                let at = record.emails.iter().position(|email| email.id == id).ok_or_else(invalid)?;
                if let (Some(email), Some(address)) = (record.emails.get_mut(at), address) {
                    address.clone_into(&mut email.value);
                }
                at
            }
            (None, Some(address)) => place(record, address),
            (None, None) => return Err(invalid()),
        };
        if flag(entry, "_destroy") {
            record.emails.remove(at);
            continue;
        }
        if flag(entry, "is_primary") {
            make_primary(record, at);
        }
        named.extend(record.emails.get(at).map(|email| email.value.clone()));
    }
    match list {
        EmailsOnPut::Merge => {}
        EmailsOnPut::Replace => {
            record.emails.retain(|email| named.iter().any(|name| same(name, &email.value)));
        }
    }
    Ok(())
}

/// Where the contact has this address, which is added if it has not.
fn place(record: &mut StoredRecord, address: &str) -> usize {
    let held = record.emails.iter().position(|email| same(&email.value, address));
    held.unwrap_or_else(|| {
        record.emails.push(Email { id: 0, value: address.to_owned(), is_primary: false });
        record.emails.len() - 1
    })
}

fn make_primary(record: &mut StoredRecord, at: usize) {
    for (index, email) in record.emails.iter_mut().enumerate() {
        email.is_primary = index == at;
    }
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// An address as it would be delivered to: with a domain that has a dot, and nothing around it.
fn checked(address: &str) -> Result<&str, String> {
    let options =
        email_address::Options::default().with_required_tld().without_domain_literal().without_display_text();
    match EmailAddress::parse_with_options(address, options) {
        Ok(_) => Ok(address),
        Err(_) => Err("Email is invalid".to_owned()),
    }
}

fn invalid() -> String {
    "Emails is invalid".to_owned()
}

fn flag(entry: &Value, key: &str) -> bool {
    entry.get(key).and_then(Value::as_bool).unwrap_or_default()
}
