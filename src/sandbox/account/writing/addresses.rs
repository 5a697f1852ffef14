//! A contact's e-mail addresses: `email` and `emails` of a body, each a text or a list.

use email_address::EmailAddress;
use serde_json::Value;

use crate::{
    sandbox::{
        account::store::record::{Email, StoredRecord},
        metadata::numbers,
        options::EmailsOnPut,
    },
    segment::JsonMap,
};

/// Addresses of one contact (a guess).
const MAX_ADDRESSES: usize = 10;

pub(super) fn write(body: &JsonMap, on_put: EmailsOnPut, record: &mut StoredRecord) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["email", "emails"] {
        if let Some(value) = body.get(key).filter(|value| !value.is_null())
            && let Err(problem) = set(value, on_put, record)
        {
            problems.push(problem);
        }
    }
    if record.emails.len() > MAX_ADDRESSES {
        problems.push(format!("Emails can be at most {MAX_ADDRESSES}"));
    }
    problems
}

/// A text becomes the primary address, and the others stay.
fn set(value: &Value, on_put: EmailsOnPut, record: &mut StoredRecord) -> Result<(), String> {
    match value {
        Value::String(address) => {
            let address = checked(address)?;
            let at = position_of(record, address);
            make_primary(record, at);
        }
        Value::Array(entries) => set_list(entries, on_put, record)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(invalid()),
    }
    if !record.emails.iter().any(|email| email.is_primary)
        && let Some(first) = record.emails.first_mut()
    {
        first.is_primary = true;
    }
    Ok(())
}

/// An entry refers to an address by its `id` or its `value`; with both, the address with this `id` is changed. `_destroy`
/// removes it.
fn set_list(entries: &[Value], on_put: EmailsOnPut, record: &mut StoredRecord) -> Result<(), String> {
    if entries.iter().filter(|entry| flag(entry, "is_primary")).count() > 1 {
        return Err("Emails can have only one primary".to_owned());
    }
    let mut named: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries {
        let address = match entry.get("value").filter(|value| !value.is_null()) {
            Some(value) => Some(checked(value.as_str().ok_or_else(invalid)?)?),
            None => None,
        };
        let at = match (entry.get("id").and_then(numbers::id), address) {
            (Some(id), address) => {
                let at = record.emails.iter().position(|email| email.id == id).ok_or_else(invalid)?;
                if let (Some(email), Some(address)) = (record.emails.get_mut(at), address) {
                    address.clone_into(&mut email.value);
                }
                at
            }
            (None, Some(address)) => position_of(record, address),
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
    match on_put {
        EmailsOnPut::Merge => {}
        EmailsOnPut::Replace => {
            record.emails.retain(|email| named.iter().any(|name| same(name, &email.value)));
        }
    }
    Ok(())
}

/// The address's position in the contact's list. An address that is not in the list is added.
fn position_of(record: &mut StoredRecord, address: &str) -> usize {
    let found = record.emails.iter().position(|email| same(&email.value, address));
    found.unwrap_or_else(|| {
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

/// Requires a domain with a dot, and refuses `Ada <ada@example.com>`.
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
