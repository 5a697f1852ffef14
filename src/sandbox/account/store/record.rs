//! One record of the account, and what identifies it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::{schema::Entity, segment::JsonMap};

/// One contact, sales account or deal.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct StoredRecord {
    /// 0 until it is stored.
    pub(in crate::sandbox) id: u64,
    /// Default fields that have a value.
    pub(in crate::sandbox) fields: JsonMap,
    /// Custom fields that have a value.
    pub(in crate::sandbox) custom_field: JsonMap,
    /// Empty for sales accounts and deals.
    pub(in crate::sandbox) emails: Vec<Email>,
    /// The sales accounts a contact is linked to; empty for others.
    pub(in crate::sandbox) sales_accounts: Vec<StoredLink>,
    /// A deal's contacts; empty for others.
    pub(in crate::sandbox) contact_ids: BTreeSet<u64>,
    pub(in crate::sandbox) created_at: Timestamp,
    pub(in crate::sandbox) updated_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Email {
    /// 0 until it is stored.
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) value: String,
    pub(in crate::sandbox) is_primary: bool,
}

/// A contact's link to a sales account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct StoredLink {
    /// The sales account's.
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) is_primary: bool,
}

impl StoredRecord {
    pub(in crate::sandbox) fn new(now: Timestamp) -> Self {
        Self {
            id: 0,
            fields: JsonMap::new(),
            custom_field: JsonMap::new(),
            emails: Vec::new(),
            sales_accounts: Vec::new(),
            contact_ids: BTreeSet::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// A default field's text; empty if it has none.
    pub(in crate::sandbox) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The id in a default field, such as `owner_id`.
    pub(in crate::sandbox) fn reference(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    pub(in crate::sandbox) fn primary_email(&self) -> Option<&str> {
        self.emails.iter().find(|email| email.is_primary).map(|email| email.value.as_str())
    }

    /// The name in lists; a contact without a name has its primary address there.
    pub(in crate::sandbox) fn display_name(&self, entity: Entity) -> String {
        match entity {
            Entity::Contact => {
                let name = format!("{} {}", self.text("first_name"), self.text("last_name"));
                match name.trim() {
                    "" => self.primary_email().unwrap_or_default().to_owned(),
                    name => name.to_owned(),
                }
            }
            Entity::SalesAccount | Entity::Deal => self.text("name").to_owned(),
        }
    }

    /// Every identifier it has, in the form in which they are compared.
    pub(super) fn identifiers(&self) -> impl Iterator<Item = (UniqueIdentifier, String)> + '_ {
        let emails = self.emails.iter().map(|email| (UniqueIdentifier::Email, email.value.to_lowercase()));
        let texts = [UniqueIdentifier::MobileNumber, UniqueIdentifier::ExternalId, UniqueIdentifier::Name]
            .into_iter()
            .map(|identifier| (identifier, self.text(identifier.as_str()).to_lowercase()))
            .filter(|(_, value)| !value.is_empty());
        emails.chain(texts)
    }
}

/// How identifiers are compared.
pub(super) fn normalised(value: &str) -> String {
    value.trim().to_lowercase()
}

/// What an upsert can find a record by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum UniqueIdentifier {
    Email,
    MobileNumber,
    ExternalId,
    Name,
}

impl UniqueIdentifier {
    /// The key in `unique_identifier` and in bulk records.
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "emails",
            Self::MobileNumber => "mobile_number",
            Self::ExternalId => "external_id",
            Self::Name => "name",
        }
    }

    /// The identifiers that an entity's upsert accepts.
    pub(in crate::sandbox) const fn of(entity: Entity) -> &'static [Self] {
        match entity {
            Entity::Contact => &[Self::Email, Self::MobileNumber, Self::ExternalId],
            Entity::SalesAccount | Entity::Deal => &[Self::Name],
        }
    }
}
