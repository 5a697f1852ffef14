//! The records of all three entities: kept by id, found by what identifies them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::Instant;

use super::lag::Lag;
use crate::{schema::Entity, segment::JsonMap};

/// Ids have twelve digits, as in real accounts: too long for 32 bits.
const FIRST_ID: u64 = 402_000_900_001;

/// One contact, sales account or deal.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// 0 until it is stored.
    pub(super) id: u64,
    /// Default fields that have a value.
    pub(super) fields: JsonMap,
    /// Custom fields that have a value.
    pub(super) custom_field: JsonMap,
    /// A contact's addresses; empty for others.
    pub(super) emails: Vec<Email>,
    /// The sales accounts a contact is linked to; empty for others.
    pub(super) sales_accounts: Vec<Link>,
    /// A deal's contacts; empty for others.
    pub(super) contact_ids: BTreeSet<u64>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// One address of a contact.
#[derive(Debug, Clone)]
pub(super) struct Email {
    /// 0 until it is stored.
    pub(super) id: u64,
    pub(super) value: String,
    pub(super) is_primary: bool,
}

/// A contact's tie to a sales account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) is_primary: bool,
}

impl Record {
    pub(super) fn new(now: Timestamp) -> Self {
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

    /// A default field's text; empty where it has none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    /// The address that counts.
    pub(super) fn primary_email(&self) -> Option<&str> {
        self.emails.iter().find(|email| email.is_primary).map(|email| email.value.as_str())
    }

    /// What people call it.
    pub(super) fn display_name(&self, entity: Entity) -> String {
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

    /// Whether it has this identifier, whatever its case.
    pub(super) fn is_found_by(&self, key: Key, value: &str) -> bool {
        let wanted = (key, value.trim().to_lowercase());
        self.keys().any(|key| key == wanted)
    }

    fn keys(&self) -> impl Iterator<Item = (Key, String)> + '_ {
        let emails = self.emails.iter().map(|email| (Key::Email, email.value.to_lowercase()));
        let texts = [Key::MobileNumber, Key::ExternalId, Key::Name]
            .into_iter()
            .map(|key| (key, self.text(key.as_str()).to_lowercase()))
            .filter(|(_, value)| !value.is_empty());
        emails.chain(texts)
    }
}

/// What a record can be found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Email,
    MobileNumber,
    ExternalId,
    Name,
}

impl Key {
    /// The word in `unique_identifier` and in bulk records.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "emails",
            Self::MobileNumber => "mobile_number",
            Self::ExternalId => "external_id",
            Self::Name => "name",
        }
    }

    /// What an entity's upsert takes as identifier.
    pub(super) const fn of(entity: Entity) -> &'static [Self] {
        match entity {
            Entity::Contact => &[Self::Email, Self::MobileNumber, Self::ExternalId],
            Entity::SalesAccount | Entity::Deal => &[Self::Name],
        }
    }
}

/// All records of one entity.
#[derive(Default)]
pub(super) struct Shelf {
    records: BTreeMap<u64, Record>,
    index: BTreeMap<(Key, String), BTreeSet<u64>>,
}

impl Shelf {
    pub(super) fn get(&self, id: u64) -> Option<&Record> {
        self.records.get(&id)
    }

    /// The oldest record with this identifier, whatever its case.
    pub(super) fn find(&self, key: Key, value: &str) -> Option<u64> {
        self.index.get(&(key, value.trim().to_lowercase()))?.first().copied()
    }

    /// Every record with this identifier, oldest first: deals may share a name.
    pub(super) fn all(&self, key: Key, value: &str) -> impl Iterator<Item = &Record> {
        let ids = self.index.get(&(key, value.trim().to_lowercase()));
        ids.into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.values()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the record as it was before.
    fn put(&mut self, record: Record) -> Option<Record> {
        let before = self.take(record.id);
        for key in record.keys() {
            self.index.entry(key).or_default().insert(record.id);
        }
        self.records.insert(record.id, record);
        before
    }

    fn take(&mut self, id: u64) -> Option<Record> {
        let record = self.records.remove(&id)?;
        for key in record.keys() {
            if let Some(ids) = self.index.get_mut(&key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
        Some(record)
    }
}

/// Every record of the account.
pub(super) struct Store {
    contacts: Shelf,
    sales_accounts: Shelf,
    deals: Shelf,
    /// Each contact's deals.
    deals_of: BTreeMap<u64, BTreeSet<u64>>,
    /// What searches do not see yet.
    pub(super) lag: Lag,
    next_id: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            contacts: Shelf::default(),
            sales_accounts: Shelf::default(),
            deals: Shelf::default(),
            deals_of: BTreeMap::new(),
            lag: Lag::default(),
            next_id: FIRST_ID,
        }
    }
}

impl Store {
    pub(super) fn shelf(&self, entity: Entity) -> &Shelf {
        match entity {
            Entity::Contact => &self.contacts,
            Entity::SalesAccount => &self.sales_accounts,
            Entity::Deal => &self.deals,
        }
    }

    fn shelf_mut(&mut self, entity: Entity) -> &mut Shelf {
        match entity {
            Entity::Contact => &mut self.contacts,
            Entity::SalesAccount => &mut self.sales_accounts,
            Entity::Deal => &mut self.deals,
        }
    }

    /// A number nothing else has.
    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A contact's deals, oldest first.
    pub(super) fn deals_of(&self, contact: u64) -> impl Iterator<Item = &Record> {
        let ids = self.deals_of.get(&contact).into_iter().flatten();
        ids.filter_map(|id| self.deals.get(*id))
    }

    /// Stores a new or changed record and gives it the ids it lacks. Searches see it from `seen_from` on, or at once.
    pub(super) fn put(&mut self, entity: Entity, mut record: Record, seen_from: Option<Instant>) -> u64 {
        if record.id == 0 {
            record.id = self.new_id();
        }
        for email in &mut record.emails {
            if email.id == 0 {
                email.id = self.new_id();
            }
        }
        let id = record.id;
        let contacts = record.contact_ids.clone();
        let before = self.shelf_mut(entity).put(record);
        self.untie(id, before.as_ref());
        for contact in contacts {
            self.deals_of.entry(contact).or_default().insert(id);
        }
        if let Some(until) = seen_from {
            self.lag.hold(entity, id, before, until);
        }
        id
    }

    /// Forgets which contacts a deal had.
    fn untie(&mut self, id: u64, before: Option<&Record>) {
        for contact in before.into_iter().flat_map(|deal| &deal.contact_ids) {
            if let Some(deals) = self.deals_of.get_mut(contact) {
                deals.remove(&id);
                if deals.is_empty() {
                    self.deals_of.remove(contact);
                }
            }
        }
    }

    /// Removes a record and every tie to it. False where there is none.
    pub(super) fn remove(&mut self, entity: Entity, id: u64, seen_from: Option<Instant>) -> bool {
        let Some(before) = self.shelf_mut(entity).take(id) else { return false };
        self.untie(id, Some(&before));
        if let Some(until) = seen_from {
            self.lag.hold(entity, id, Some(before), until);
        }
        match entity {
            Entity::Contact => {
                for deal in self.deals_of.remove(&id).unwrap_or_default() {
                    if let Some(deal) = self.deals.records.get_mut(&deal) {
                        deal.contact_ids.remove(&id);
                    }
                }
            }
            Entity::SalesAccount => {
                for contact in self.contacts.records.values_mut() {
                    contact.sales_accounts.retain(|link| link.id != id);
                    let no_primary = !contact.sales_accounts.iter().any(|link| link.is_primary);
                    if let Some(first) = contact.sales_accounts.first_mut().filter(|_| no_primary) {
                        first.is_primary = true;
                    }
                }
                for deal in self.deals.records.values_mut() {
                    if deal.fields.get("sales_account_id").and_then(serde_json::Value::as_u64) == Some(id) {
                        deal.fields.shift_remove("sales_account_id");
                    }
                }
            }
            Entity::Deal => {}
        }
        true
    }
}
