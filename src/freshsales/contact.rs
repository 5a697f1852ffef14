//! Contacts in answers: who was found, their addresses, and their `external_id`. Pure; the lane asks here when it must know
//! who a contact is. It believes only what an answer holds.

use serde_json::{Map, Value};

use super::answer::id;

/// The address of the contact whose `external_id` this is, where it has one.
pub fn found_email(body: &Value, user_id: &str) -> Option<String> {
    found_contact(body, user_id)?.primary
}

/// The contact whose `external_id` this is. An answer may hold others, or tell no `external_id`: they are
/// somebody else. Freshsales compares without case, and so two contacts with ids that differ in case only cannot be; if
/// an answer holds several all the same, the one in the same case counts, and else nobody.
pub fn found_contact(body: &Value, user_id: &str) -> Option<FoundContact> {
    let wanted = user_id.to_lowercase();
    let found: Vec<(String, FoundContact)> = rows(body)
        .filter_map(|contact| Some((external_id(contact)?, FoundContact::read(contact))))
        .filter(|(id, _)| id.to_lowercase() == wanted)
        .collect();
    let same_case: Vec<_> = found.iter().filter(|(id, _)| id == user_id).cloned().collect();
    let candidates = if same_case.is_empty() { found } else { same_case };
    let ((_, contact), others) = candidates.split_first()?;
    others.iter().all(|(_, other)| other.is_the_same(contact)).then(|| contact.clone())
}

/// The contact that has this e-mail address, which no two contacts share.
pub fn found_owner(body: &Value, email: &str) -> Option<FoundContact> {
    rows(body).map(FoundContact::read).find(|contact| contact.has(email))
}

/// A contact in the answer of a look-up. Its addresses are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContact {
    /// Its id, where the answer holds one.
    pub id: Option<i64>,
    /// Its primary address.
    pub primary: Option<String>,
    /// All its addresses that the answer holds.
    pub addresses: Vec<String>,
}

impl FoundContact {
    fn read(contact: &Value) -> Self {
        let listed = listed_emails(contact).filter_map(|email| email.get("value")?.as_str());
        let primary = primary(contact);
        let addresses = listed.map(|address| address.trim().to_lowercase()).chain(primary.clone()).collect();
        Self { id: contact.get("id").and_then(id), primary, addresses }
    }

    /// Whether this is one of its addresses.
    pub fn has(&self, email: &str) -> bool {
        let email = email.to_lowercase();
        self.addresses.contains(&email)
    }

    fn is_the_same(&self, other: &Self) -> bool {
        self.primary == other.primary && (self.primary.is_some() || self.id == other.id)
    }
}

/// The contacts of a look-up's answer, less those that are deleted.
fn rows(body: &Value) -> impl Iterator<Item = &Value> {
    let rows = body.get("contacts").and_then(|contacts| contacts.get("contacts")).and_then(Value::as_array);
    let deleted = |contact: &Value| contact.get("is_deleted").and_then(Value::as_bool) == Some(true);
    rows.into_iter().flatten().filter(move |contact| !deleted(contact))
}

fn external_id(contact: &Value) -> Option<String> {
    match contact.get("external_id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether the contact in an answer has another `external_id` than this one, or none.
pub fn has_another_external_id(body: &Value, user_id: &str) -> bool {
    let Some(contact) = body.get("contact") else { return false };
    contact.get("external_id").is_some()
        && external_id(contact).is_none_or(|id| id.to_lowercase() != user_id.to_lowercase())
}

pub(super) fn listed_emails(contact: &Value) -> impl Iterator<Item = &Value> {
    contact.get("emails").and_then(Value::as_array).into_iter().flatten()
}

/// A contact's primary address, in lower case.
fn primary(contact: &Value) -> Option<String> {
    let primary = |email: &&Value| email.get("is_primary").and_then(Value::as_bool).unwrap_or(false);
    let listed =
        || listed_emails(contact).find(primary).or_else(|| listed_emails(contact).next())?.get("value");
    let address = contact.get("email").and_then(Value::as_str).or_else(|| listed()?.as_str())?;
    let address = address.trim().to_lowercase();
    (!address.is_empty()).then_some(address)
}

/// The e-mail addresses of the contact in an answer, each an object as Freshsales takes it back; only its own are named
/// by ids.
pub fn emails_of(body: &Value) -> Vec<Map<String, Value>> {
    let Some(contact) = body.get("contact") else { return Vec::new() };
    let mut emails: Vec<Map<String, Value>> = listed_emails(contact)
        .filter_map(Value::as_object)
        .filter(|email| email.get("value").is_some_and(Value::is_string))
        .filter(|email| email.get("_destroy").and_then(Value::as_bool) != Some(true))
        .cloned()
        .collect();
    if emails.is_empty()
        && let Some(address) = primary(contact)
    {
        emails.push(Map::from_iter([("value".to_owned(), address.into())]));
    }
    emails
}

#[cfg(test)]
mod tests;
