//! The records of all three entities: kept by id, found by what identifies them.

pub(super) mod search_lag;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::schema::Entity;
use crate::segment::JsonMap;
use search_lag::SearchLag;

/// Ids have twelve digits, as in real accounts: too long for 32 bits.
const FIRST_ID: u64 = 402_000_900_001;

/// One contact, sales account or deal.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct StoredRecord {
    /// 0 until it is stored.
    pub(in crate::sandbox) id: u64,
    /// Default fields that have a value.
    pub(in crate::sandbox) fields: JsonMap,
    /// Custom fields that have a value.
    pub(in crate::sandbox) custom_field: JsonMap,
    /// A contact's addresses; empty for others.
    pub(in crate::sandbox) emails: Vec<Email>,
    /// The sales accounts a contact is linked to; empty for others.
    pub(in crate::sandbox) sales_accounts: Vec<SalesAccountLink>,
    /// A deal's contacts; empty for others.
    pub(in crate::sandbox) contact_ids: BTreeSet<u64>,
    pub(in crate::sandbox) created_at: Timestamp,
    pub(in crate::sandbox) updated_at: Timestamp,
}

/// One address of a contact.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Email {
    /// 0 until it is stored.
    pub(in crate::sandbox) id: u64,
    pub(in crate::sandbox) value: String,
    pub(in crate::sandbox) is_primary: bool,
}

/// A contact's tie to a sales account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct SalesAccountLink {
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

    /// A default field's text; empty where it has none.
    pub(in crate::sandbox) fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    /// The address that counts.
    pub(in crate::sandbox) fn primary_email(&self) -> Option<&str> {
        self.emails.iter().find(|email| email.is_primary).map(|email| email.value.as_str())
    }

    /// What people call it.
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

    /// Whether it has this identifier, whatever its case.
    pub(in crate::sandbox) fn is_found_by(&self, key: Identifier, value: &str) -> bool {
        let wanted = (key, value.trim().to_lowercase());
        self.keys().any(|key| key == wanted)
    }

    fn keys(&self) -> impl Iterator<Item = (Identifier, String)> + '_ {
        let emails = self.emails.iter().map(|email| (Identifier::Email, email.value.to_lowercase()));
        let texts = [Identifier::MobileNumber, Identifier::ExternalId, Identifier::Name]
            .into_iter()
            .map(|key| (key, self.text(key.as_str()).to_lowercase()))
            .filter(|(_, value)| !value.is_empty());
        emails.chain(texts)
    }
}

/// What a record can be found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum Identifier {
    Email,
    MobileNumber,
    ExternalId,
    Name,
}

impl Identifier {
    /// The word in `unique_identifier` and in bulk records.
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "emails",
            Self::MobileNumber => "mobile_number",
            Self::ExternalId => "external_id",
            Self::Name => "name",
        }
    }

    /// What an entity's upsert takes as identifier.
    pub(in crate::sandbox) const fn of(entity: Entity) -> &'static [Self] {
        match entity {
            Entity::Contact => &[Self::Email, Self::MobileNumber, Self::ExternalId],
            Entity::SalesAccount | Entity::Deal => &[Self::Name],
        }
    }
}

/// All records of one entity.
#[derive(Default)]
pub(in crate::sandbox) struct RecordSet {
    records: BTreeMap<u64, StoredRecord>,
    index: BTreeMap<(Identifier, String), BTreeSet<u64>>,
}

impl RecordSet {
    pub(in crate::sandbox) fn get(&self, id: u64) -> Option<&StoredRecord> {
        self.records.get(&id)
    }

    /// The oldest record with this identifier, whatever its case.
    pub(in crate::sandbox) fn find(&self, key: Identifier, value: &str) -> Option<u64> {
        self.index.get(&(key, value.trim().to_lowercase()))?.first().copied()
    }

    /// Every record with this identifier, oldest first: deals may share a name.
    pub(in crate::sandbox) fn all(&self, key: Identifier, value: &str) -> impl Iterator<Item = &StoredRecord> {
        let ids = self.index.get(&(key, value.trim().to_lowercase()));
        ids.into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// Oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = &StoredRecord> {
        self.records.values()
    }

    pub(in crate::sandbox) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the record as it was before.
    fn put(&mut self, record: StoredRecord) -> Option<StoredRecord> {
        let before = self.take(record.id);
        for key in record.keys() {
            self.index.entry(key).or_default().insert(record.id);
        }
        self.records.insert(record.id, record);
        before
    }

    fn take(&mut self, id: u64) -> Option<StoredRecord> {
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
pub(in crate::sandbox) struct Store {
    contacts: RecordSet,
    sales_accounts: RecordSet,
    deals: RecordSet,
    /// Each contact's deals.
    deals_of: BTreeMap<u64, BTreeSet<u64>>,
    /// What searches do not see yet.
    pub(in crate::sandbox) lag: SearchLag,
    next_id: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            contacts: RecordSet::default(),
            sales_accounts: RecordSet::default(),
            deals: RecordSet::default(),
            deals_of: BTreeMap::new(),
            lag: SearchLag::default(),
            next_id: FIRST_ID,
        }
    }
}

impl Store {
    pub(in crate::sandbox) fn shelf(&self, entity: Entity) -> &RecordSet {
        match entity {
            Entity::Contact => &self.contacts,
            Entity::SalesAccount => &self.sales_accounts,
            Entity::Deal => &self.deals,
        }
    }

    fn shelf_mut(&mut self, entity: Entity) -> &mut RecordSet {
        match entity {
            Entity::Contact => &mut self.contacts,
            Entity::SalesAccount => &mut self.sales_accounts,
            Entity::Deal => &mut self.deals,
        }
    }

    /// A number nothing else has.
    pub(in crate::sandbox) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A contact's deals, oldest first.
    pub(in crate::sandbox) fn deals_of(&self, contact: u64) -> impl Iterator<Item = &StoredRecord> {
        let ids = self.deals_of.get(&contact).into_iter().flatten();
        ids.filter_map(|id| self.deals.get(*id))
    }

    /// Stores a new or changed record and gives it the ids it lacks. Searches see it from `seen_from` on, or at once.
    pub(in crate::sandbox) fn put(
        &mut self,
        entity: Entity,
        mut record: StoredRecord,
        seen_from: Option<Instant>,
    ) -> u64 {
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
    fn untie(&mut self, id: u64, before: Option<&StoredRecord>) {
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
    pub(in crate::sandbox) fn remove(&mut self, entity: Entity, id: u64, seen_from: Option<Instant>) -> bool {
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
