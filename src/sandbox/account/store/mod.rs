//! The account's records, kept in memory, with their links and the delay of the search index.
//!
//! Knows neither field metadata nor HTTP, and checks nothing: `account/writing` decides what may be stored.

pub(in crate::sandbox) mod record;
pub(in crate::sandbox) mod record_set;
pub(in crate::sandbox) mod search_lag;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use self::{record::StoredRecord, record_set::RecordSet, search_lag::SearchLag};
use crate::schema::Entity;

/// Ids have twelve digits, as in real accounts: too long for 32 bits.
const FIRST_ID: u64 = 402_000_900_001;

/// Every record of the account.
pub(in crate::sandbox) struct Store {
    contacts: RecordSet,
    sales_accounts: RecordSet,
    deals: RecordSet,
    /// Deal ids by contact id: the reverse of the deals' `contact_ids`.
    deals_by_contact: BTreeMap<u64, BTreeSet<u64>>,
    pub(in crate::sandbox) lag: SearchLag,
    next_id: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            contacts: RecordSet::default(),
            sales_accounts: RecordSet::default(),
            deals: RecordSet::default(),
            deals_by_contact: BTreeMap::new(),
            lag: SearchLag::default(),
            next_id: FIRST_ID,
        }
    }
}

impl Store {
    pub(in crate::sandbox) fn records(&self, entity: Entity) -> &RecordSet {
        match entity {
            Entity::Contact => &self.contacts,
            Entity::SalesAccount => &self.sales_accounts,
            Entity::Deal => &self.deals,
        }
    }

    fn records_mut(&mut self, entity: Entity) -> &mut RecordSet {
        match entity {
            Entity::Contact => &mut self.contacts,
            Entity::SalesAccount => &mut self.sales_accounts,
            Entity::Deal => &mut self.deals,
        }
    }

    /// Unique across records, addresses and jobs.
    pub(in crate::sandbox) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A contact's deals, oldest first.
    pub(in crate::sandbox) fn deals_of(&self, contact: u64) -> impl Iterator<Item = &StoredRecord> {
        let ids = self.deals_by_contact.get(&contact).into_iter().flatten();
        ids.filter_map(|id| self.deals.get(*id))
    }

    /// Stores a new or changed record and gives it the ids it lacks. Searches see it from `visible_from` on, or at once.
    pub(in crate::sandbox) fn put(
        &mut self,
        entity: Entity,
        mut record: StoredRecord,
        visible_from: Option<Instant>,
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
        let before = self.records_mut(entity).put(record);
        self.unlink_contacts(id, before.as_ref());
        for contact in contacts {
            self.deals_by_contact.entry(contact).or_default().insert(id);
        }
        if let Some(until) = visible_from {
            self.lag.delay(entity, id, before, until);
        }
        id
    }

    /// Removes a deal from the deals of the contacts it had.
    fn unlink_contacts(&mut self, deal: u64, before: Option<&StoredRecord>) {
        for contact in before.into_iter().flat_map(|deal| &deal.contact_ids) {
            if let Some(deals) = self.deals_by_contact.get_mut(contact) {
                deals.remove(&deal);
                if deals.is_empty() {
                    self.deals_by_contact.remove(contact);
                }
            }
        }
    }

    /// Removes a record and every link to it. False if there is no such record.
    pub(in crate::sandbox) fn remove(
        &mut self,
        entity: Entity,
        id: u64,
        visible_from: Option<Instant>,
    ) -> bool {
        let Some(removed) = self.records_mut(entity).remove(id) else { return false };
        self.unlink_contacts(id, Some(&removed));
        if let Some(until) = visible_from {
            self.lag.delay(entity, id, Some(removed), until);
        }
        match entity {
            Entity::Contact => self.remove_contact_from_deals(id),
            Entity::SalesAccount => self.remove_links_to_sales_account(id),
            Entity::Deal => {}
        }
        true
    }

    fn remove_contact_from_deals(&mut self, contact: u64) {
        for deal in self.deals_by_contact.remove(&contact).unwrap_or_default() {
            if let Some(deal) = self.deals.get_mut(deal) {
                deal.contact_ids.remove(&contact);
            }
        }
    }

    /// A contact that loses its primary sales account gets its next one as primary.
    fn remove_links_to_sales_account(&mut self, id: u64) {
        for contact in self.contacts.iter_mut() {
            contact.sales_accounts.retain(|link| link.id != id);
            let has_primary = contact.sales_accounts.iter().any(|link| link.is_primary);
            if let Some(first) = contact.sales_accounts.first_mut().filter(|_| !has_primary) {
                first.is_primary = true;
            }
        }
        for deal in self.deals.iter_mut() {
            if deal.reference("sales_account_id") == Some(id) {
                deal.fields.shift_remove("sales_account_id");
            }
        }
    }
}
