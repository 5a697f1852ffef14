//! What only contacts have: an address or a mobile number, which one of them must have, and links to sales accounts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::addresses;
use crate::{
    sandbox::{
        account::store::{
            Store,
            record::{StoredLink, StoredRecord},
        },
        metadata::numbers,
        options::EmailsOnPut,
    },
    schema::Entity,
    segment::JsonMap,
};

/// Sales accounts that one contact can be linked to.
const MAX_SALES_ACCOUNTS: usize = 10;

/// Writes the addresses and `sales_accounts` of the body and returns the error messages.
pub(super) fn write(
    store: &Store,
    body: &JsonMap,
    emails: EmailsOnPut,
    record: &mut StoredRecord,
) -> Vec<String> {
    let mut problems = addresses::write(body, emails, record);
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

/// All links of the contact: the list in the body replaces those it had.
fn links(store: &Store, value: &Value) -> Result<Vec<StoredLink>, String> {
    let entries = value.as_array().filter(|entries| entries.iter().all(Value::is_object));
    let entries = entries.ok_or_else(|| "The type for sales_accounts is invalid.".to_owned())?;
    if entries.len() > MAX_SALES_ACCOUNTS {
        return Err(format!("Accounts can be at most {MAX_SALES_ACCOUNTS}"));
    }
    let mut links = Vec::with_capacity(entries.len());
    let mut seen = BTreeSet::new();
    for entry in entries {
        let id = entry.get("id").and_then(numbers::id);
        let known = id.filter(|id| store.records(Entity::SalesAccount).get(*id).is_some());
        let id = known.ok_or_else(|| "Accounts is invalid".to_owned())?;
        if !seen.insert(id) {
            return Err("Accounts has the same account twice".to_owned());
        }
        let is_primary = entry.get("is_primary").and_then(Value::as_bool).unwrap_or_default();
        links.push(StoredLink { id, is_primary });
    }
    match links.iter().filter(|link| link.is_primary).count() {
        1 => Ok(links),
        0 if links.is_empty() => Ok(links),
        _ => Err("Accounts should have one primary account".to_owned()),
    }
}
