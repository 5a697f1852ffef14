//! What only contacts have: something to reach them by, and links to sales accounts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::addresses;
use super::values;
use crate::sandbox::account::store::Store;
use crate::sandbox::account::store::record::{SalesAccountLink, StoredRecord};
use crate::sandbox::options::EmailsOnPut;
use crate::schema::Entity;
use crate::segment::JsonMap;

/// The most sales accounts one contact can be linked to.
const MOST_SALES_ACCOUNTS: usize = 10;

/// Writes addresses and `sales_accounts` and returns what is wrong with them.
pub(in crate::sandbox) fn write(
    store: &Store,
    body: &JsonMap,
    list: EmailsOnPut,
    record: &mut StoredRecord,
) -> Vec<String> {
    let mut problems = addresses::write(body, list, record);
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

/// Every link of the contact from now on: those not named are gone.
fn links(store: &Store, value: &Value) -> Result<Vec<SalesAccountLink>, String> {
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_object));
    let entries = entries.ok_or_else(|| "The type for sales_accounts is invalid.".to_owned())?;
    if entries.len() > MOST_SALES_ACCOUNTS {
        return Err(format!("Accounts can be at most {MOST_SALES_ACCOUNTS}"));
    }
    let mut links = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    for entry in entries {
        let id = entry.get("id").and_then(values::id);
        let known = id.filter(|id| store.records(Entity::SalesAccount).get(*id).is_some());
        let id = known.ok_or_else(|| "Accounts is invalid".to_owned())?;
        if !seen.insert(id) {
            return Err("Accounts has the same account twice".to_owned());
        }
        links.push(SalesAccountLink { id, is_primary: flag(entry, "is_primary") });
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
