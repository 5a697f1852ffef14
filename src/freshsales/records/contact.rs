//! Contacts in answers: their addresses, `external_id` and sales accounts. Pure. It takes nothing for true that an answer
//! does not show; the lane asks it who a contact is.

use serde_json::{Map, Value};

use super::record::{id, is_deleted};

/// The primary address of the contact with this `external_id`.
pub fn found_email(body: &Value, user_id: &str) -> Option<String> {
    found_contact(body, user_id)?.primary
}

/// The contact with this `external_id`. Others in the answer, and those shown without an `external_id`, are somebody else.
/// Freshsales ignores case, so two contacts cannot differ in case only; if the answer holds several nonetheless, only one
/// in the same case counts.
pub fn found_contact(body: &Value, user_id: &str) -> Option<FoundContact> {
    let wanted = user_id.to_lowercase();
    let found: Vec<(String, FoundContact)> = rows(body)
        .filter_map(|contact| Some((external_id(contact)?, FoundContact::read(contact))))
        .filter(|(id, _)| id.to_lowercase() == wanted)
        .collect();
    let same_case: Vec<_> = found.iter().filter(|(id, _)| id == user_id).cloned().collect();
    let candidates = if same_case.is_empty() { found } else { same_case };
    let ((_, contact), others) = candidates.split_first()?;
    others.iter().all(|(_, other)| other.is_same_contact(contact)).then(|| contact.clone())
}

/// The contact that has this e-mail address. No two contacts share one.
pub fn found_owner(body: &Value, email: &str) -> Option<FoundContact> {
    rows(body).map(FoundContact::read).find(|contact| contact.has(email))
}

/// A contact in the answer to a look-up. Its addresses are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContact {
    /// `None` if the answer does not show it.
    pub id: Option<i64>,
    /// The primary address.
    pub primary: Option<String>,
    /// All addresses that the answer shows, the primary one included.
    pub addresses: Vec<String>,
}

impl FoundContact {
    pub(in crate::freshsales) fn read(contact: &Value) -> Self {
        let listed = listed_emails(contact).filter_map(|email| email.get("value")?.as_str());
        let primary = primary(contact);
        let addresses = listed.map(|address| address.trim().to_lowercase()).chain(primary.clone()).collect();
        Self { id: contact.get("id").and_then(id), primary, addresses }
    }

    /// Whether it has this address, in whatever case it is written.
    pub fn has(&self, email: &str) -> bool {
        let email = email.to_lowercase();
        self.addresses.contains(&email)
    }

    fn is_same_contact(&self, other: &Self) -> bool {
        self.primary == other.primary && (self.primary.is_some() || self.id == other.id)
    }
}

/// All contacts in a look-up's answer. `None` if it is no such answer.
fn all_rows(body: &Value) -> Option<&[Value]> {
    body.get("contacts")?.get("contacts")?.as_array().map(Vec::as_slice)
}

/// The contacts in a look-up's answer that are not deleted.
fn rows(body: &Value) -> impl Iterator<Item = &Value> {
    all_rows(body).into_iter().flatten().filter(|contact| !is_deleted(contact))
}

/// Whether the body is a look-up's answer: a list of contacts, each of which shows who it is. Another body does not mean that
/// nobody was found.
pub(in crate::freshsales) fn is_look_up(body: &Value) -> bool {
    let shows_who = |contact: &Value| {
        contact.get("id").and_then(id).is_some()
            || external_id(contact).is_some()
            || primary(contact).is_some()
    };
    all_rows(body).is_some_and(|rows| rows.iter().all(shows_who))
}

fn external_id(contact: &Value) -> Option<String> {
    match contact.get("external_id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether the answer shows that the contact has another `external_id` than this one, or none.
pub fn has_another_external_id(body: &Value, user_id: &str) -> bool {
    let Some(contact) = body.get("contact") else { return false };
    contact.get("external_id").is_some()
        && external_id(contact).is_none_or(|id| id.to_lowercase() != user_id.to_lowercase())
}

pub(in crate::freshsales) fn listed_emails(contact: &Value) -> impl Iterator<Item = &Value> {
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

/// The e-mail addresses of the contact in an answer, each an object that can be sent back; those that Freshsales has stored
/// have an id.
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

/// A contact's link to a sales account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SalesAccountLink {
    /// The sales account.
    pub id: i64,
    /// Freshsales wants exactly one primary sales account per contact.
    pub primary: bool,
}

/// Whether the answer lists the contact's addresses and this is none of them.
pub fn is_another_contact(body: &Value, email: &str) -> bool {
    let Some(contact) = body.get("contact") else { return false };
    let listed: Vec<&str> =
        listed_emails(contact).filter_map(|listed| listed.get("value")?.as_str()).collect();
    let primary = contact.get("email").and_then(Value::as_str);
    let same = |other: &&str| other.trim().to_lowercase() == email.to_lowercase();
    !listed.is_empty() && !listed.iter().chain(&primary).any(same)
}

/// The sales accounts of the contact in an answer, or `None` if the answer does not show them.
pub fn linked_accounts(body: &Value) -> Option<Vec<SalesAccountLink>> {
    links_of(body.get("contact")?)
}

pub(in crate::freshsales) fn links_of(contact: &Value) -> Option<Vec<SalesAccountLink>> {
    let links = contact.get("sales_accounts")?;
    if links.is_null() {
        return Some(Vec::new());
    }
    let links = links.as_array()?;
    links
        .iter()
        .map(|link| {
            let primary = link.get("is_primary").and_then(Value::as_bool).unwrap_or(false);
            Some(SalesAccountLink { id: id(link.get("id")?)?, primary })
        })
        .collect()
}

#[cfg(test)]
mod tests;
