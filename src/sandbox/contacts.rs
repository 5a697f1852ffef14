//! What only contacts have: several e-mail addresses, and links to sales accounts.

use std::collections::BTreeSet;

use email_address::EmailAddress;
use serde_json::Value;

use super::{
    store::{Email, Link, Record, Store},
    values,
};
use crate::{schema::Entity, segment::JsonMap};

/// The most sales accounts one contact can be linked to.
const MOST_SALES_ACCOUNTS: usize = 10;

/// Writes `email`, `emails` and `sales_accounts` and returns what is wrong with them.
pub(super) fn write(store: &Store, body: &JsonMap, record: &mut Record) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["email", "emails"] {
        if let Some(value) = body.get(key).filter(|value| !value.is_null())
            && let Err(problem) = set_emails(value, record)
        {
            problems.push(problem);
        }
    }
    if record.emails.is_empty() && record.text("mobile_number").is_empty() && problems.is_empty() {
        problems.push("Fill any one field: Emails or Mobile".to_owned());
    }
    if let Some(value) = body.get("sales_accounts").filter(|value| !value.is_null()) {
        match links(store, value) {
            Ok(links) => record.sales_accounts = links,
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// A text becomes the primary address; a list adds and, with `_destroy`, removes. Others stay.
fn set_emails(value: &Value, record: &mut Record) -> Result<(), String> {
    match value {
        Value::String(address) => {
            let address = checked(address)?;
            add(record, address, true);
        }
        Value::Array(entries) => {
            let primaries = entries.iter().filter(|entry| flag(entry, "is_primary")).count();
            if primaries > 1 {
                return Err("Emails can have only one primary".to_owned());
            }
            for entry in entries {
                let text = entry.get("value").and_then(Value::as_str);
                let address = checked(text.ok_or_else(|| "Emails is invalid".to_owned())?)?;
                if flag(entry, "_destroy") {
                    record.emails.retain(|email| !same(&email.value, address));
                } else {
                    add(record, address, flag(entry, "is_primary"));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err("Emails is invalid".to_owned());
        }
    }
    if !record.emails.iter().any(|email| email.is_primary)
        && let Some(first) = record.emails.first_mut()
    {
        first.is_primary = true;
    }
    Ok(())
}

fn add(record: &mut Record, address: &str, is_primary: bool) {
    if is_primary {
        for email in &mut record.emails {
            email.is_primary = false;
        }
    }
    match record.emails.iter_mut().find(|email| same(&email.value, address)) {
        Some(email) => email.is_primary |= is_primary,
        None => record.emails.push(Email { id: 0, value: address.to_owned(), is_primary }),
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

/// Every link of the contact from now on: those not named are gone.
fn links(store: &Store, value: &Value) -> Result<Vec<Link>, String> {
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_object));
    let entries = entries.ok_or_else(|| "The type for sales_accounts is invalid.".to_owned())?;
    if entries.len() > MOST_SALES_ACCOUNTS {
        return Err(format!("Accounts can be at most {MOST_SALES_ACCOUNTS}"));
    }
    let mut links = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    for entry in entries {
        let id = entry.get("id").and_then(values::id);
        let known = id.filter(|id| store.shelf(Entity::SalesAccount).get(*id).is_some());
        let id = known.ok_or_else(|| "Accounts is invalid".to_owned())?;
        if !seen.insert(id) {
            return Err("Accounts has the same account twice".to_owned());
        }
        links.push(Link { id, is_primary: flag(entry, "is_primary") });
    }
    match links.iter().filter(|link| link.is_primary).count() {
        1 => Ok(links),
        0 if links.is_empty() => Ok(links),
        _ => Err("Accounts should have one primary account".to_owned()),
    }
}

fn flag(entry: &Value, key: &str) -> bool {
    entry.get(key).and_then(Value::as_bool).unwrap_or_default()
}
