//! All records of the account, and which of them are linked to each other.
//!
//! The store has them twice: as they are, and as searches see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{record::StoredRecord, record_set::RecordSet};
use crate::schema::Entity;

#[derive(Default)]
pub(in crate::sandbox) struct AccountRecords {
    contacts: RecordSet,
    sales_accounts: RecordSet,
    deals: RecordSet,
    /// The ids of those that are linked to a record: the reverse of the links that records hold.
    linked: BTreeMap<(RecordLink, u64), BTreeSet<u64>>,
}

/// Records that are linked to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum RecordLink {
    DealsOfContact,
    DealsOfSalesAccount,
    ContactsOfSalesAccount,
}

impl RecordLink {
    const fn entity(self) -> Entity {
        match self {
            Self::DealsOfContact | Self::DealsOfSalesAccount => Entity::Deal,
            Self::ContactsOfSalesAccount => Entity::Contact,
        }
    }
}

impl AccountRecords {
    pub(in crate::sandbox) fn of(&self, entity: Entity) -> &RecordSet {
        match entity {
            Entity::Contact => &self.contacts,
            Entity::SalesAccount => &self.sales_accounts,
            Entity::Deal => &self.deals,
        }
    }

    fn of_mut(&mut self, entity: Entity) -> &mut RecordSet {
        match entity {
            Entity::Contact => &mut self.contacts,
            Entity::SalesAccount => &mut self.sales_accounts,
            Entity::Deal => &mut self.deals,
        }
    }

    /// The records that are linked to the one with this id, oldest first.
    pub(in crate::sandbox) fn linked(
        &self,
        link: RecordLink,
        to: u64,
    ) -> impl Iterator<Item = &StoredRecord> {
        let ids = self.linked.get(&(link, to)).into_iter().flatten();
        ids.filter_map(move |id| self.of(link.entity()).get(*id))
    }

    /// Stores a record in place of the one that has its id.
    pub(super) fn put(&mut self, entity: Entity, record: Arc<StoredRecord>) {
        let id = record.id;
        let links = links_of(entity, &record);
        let before = self.of_mut(entity).put(record);
        self.unlink(entity, before.as_deref());
        for link in links {
            self.linked.entry(link).or_default().insert(id);
        }
    }

    /// Removes a record and every link to it. False if there is no such record.
    pub(super) fn remove(&mut self, entity: Entity, id: u64) -> bool {
        let Some(removed) = self.of_mut(entity).remove(id) else { return false };
        self.unlink(entity, Some(&removed));
        match entity {
            Entity::Contact => {
                self.change_linked(RecordLink::DealsOfContact, id, |deal| {
                    deal.contact_ids.remove(&id);
                });
            }
            Entity::SalesAccount => {
                self.change_linked(RecordLink::ContactsOfSalesAccount, id, |contact| {
                    remove_sales_account(contact, id);
                });
                self.change_linked(RecordLink::DealsOfSalesAccount, id, |deal| {
                    deal.fields.shift_remove("sales_account_id");
                });
            }
            Entity::Deal => {}
        }
        true
    }

    /// Forgets the links that a record held.
    fn unlink(&mut self, entity: Entity, record: Option<&StoredRecord>) {
        let Some(record) = record else { return };
        for link in links_of(entity, record) {
            if let Some(ids) = self.linked.get_mut(&link) {
                ids.remove(&record.id);
                if ids.is_empty() {
                    self.linked.remove(&link);
                }
            }
        }
    }

    fn change_linked(&mut self, link: RecordLink, to: u64, change: impl Fn(&mut StoredRecord)) {
        let mut changed: Vec<StoredRecord> = self.linked(link, to).cloned().collect();
        changed.iter_mut().for_each(change);
        for record in changed {
            self.put(link.entity(), Arc::new(record));
        }
    }
}

fn links_of(entity: Entity, record: &StoredRecord) -> Vec<(RecordLink, u64)> {
    match entity {
        Entity::Contact => {
            let links = record.sales_accounts.iter();
            links.map(|link| (RecordLink::ContactsOfSalesAccount, link.id)).collect()
        }
        Entity::SalesAccount => Vec::new(),
        Entity::Deal => {
            let contacts = record.contact_ids.iter().map(|id| (RecordLink::DealsOfContact, *id));
            let account = record.reference("sales_account_id");
            contacts.chain(account.map(|id| (RecordLink::DealsOfSalesAccount, id))).collect()
        }
    }
}

/// A contact that loses its primary sales account gets its next one as primary.
fn remove_sales_account(contact: &mut StoredRecord, id: u64) {
    contact.sales_accounts.retain(|link| link.id != id);
    let has_primary = contact.sales_accounts.iter().any(|link| link.is_primary);
    if let Some(first) = contact.sales_accounts.first_mut().filter(|_| !has_primary) {
        first.is_primary = true;
    }
}
