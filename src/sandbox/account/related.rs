//! What `?include=` adds to a record: the records it is linked to, in a few of their fields.
//!
//! A contact's `sales_accounts` are known to be inside it. The place of its `deals` is not known, so it is an option. All
//! other keys and places are guesses.

use serde_json::{Value, json};

use super::store::{
    account_records::{AccountRecords, RecordLink},
    record::StoredRecord,
};
use crate::{
    sandbox::{
        metadata::{fields::FieldFiles, selectors::SelectorLists},
        options::IncludedDeals,
    },
    schema::Entity,
    segment::JsonMap,
};

/// What `?include=` can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Includable {
    SalesAccounts,
    SalesAccount,
    Contacts,
    Deals,
    Owner,
}

impl Includable {
    /// The words of `?include=`, unknown and repeated ones left out.
    pub(in crate::sandbox) fn parse(words: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for word in words.split(',') {
            let related = match word.trim() {
                "sales_accounts" => Self::SalesAccounts,
                "sales_account" => Self::SalesAccount,
                "contacts" => Self::Contacts,
                "deals" => Self::Deals,
                "owner" => Self::Owner,
                _ => continue,
            };
            if !all.contains(&related) {
                all.push(related);
            }
        }
        all
    }
}

/// Records that an answer shows once, beside the records that refer to them.
#[derive(Default)]
pub(in crate::sandbox) struct SideLoaded {
    /// `None` unless the request asks for them and the account shows them here.
    deals: Option<Vec<Value>>,
}

impl SideLoaded {
    pub(super) fn add_to(self, answer: &mut JsonMap) {
        answer.extend(self.deals.map(|deals| ("deals".to_owned(), Value::Array(deals))));
    }
}

/// Where related records come from.
pub(in crate::sandbox) struct Relations<'a> {
    /// The account's as they are, or as searches see them.
    pub(in crate::sandbox) records: &'a AccountRecords,
    pub(in crate::sandbox) fields: &'a FieldFiles,
    pub(in crate::sandbox) selectors: &'a SelectorLists,
    pub(in crate::sandbox) included_deals: IncludedDeals,
}

impl Relations<'_> {
    /// Adds what the request asks for and the entity has; `out` is the record as JSON.
    pub(in crate::sandbox) fn add(
        &self,
        entity: Entity,
        record: &StoredRecord,
        include: &[Includable],
        out: &mut JsonMap,
        side_loaded: &mut SideLoaded,
    ) {
        for related in include {
            match (entity, related) {
                (Entity::Contact, Includable::SalesAccounts) => {
                    out.insert("sales_accounts".to_owned(), sales_accounts(self.records, record));
                }
                (Entity::Contact, Includable::Deals) => self.deals_of_contact(record, out, side_loaded),
                (Entity::SalesAccount, Includable::Contacts) => {
                    let contacts = self.records.linked(RecordLink::ContactsOfSalesAccount, record.id);
                    out.insert("contacts".to_owned(), contacts.map(contact).collect());
                }
                (Entity::SalesAccount, Includable::Deals) => {
                    let deals = self.records.linked(RecordLink::DealsOfSalesAccount, record.id);
                    out.insert("deals".to_owned(), deals.map(deal).collect());
                }
                (Entity::Deal, Includable::Contacts) => {
                    let all = self.records.of(Entity::Contact);
                    let contacts = record.contact_ids.iter().filter_map(|id| all.get(*id)).map(contact);
                    out.insert("contacts".to_owned(), contacts.collect());
                }
                (Entity::Deal, Includable::SalesAccount) => {
                    let account = record.reference("sales_account_id");
                    let account = account.and_then(|id| self.records.of(Entity::SalesAccount).get(id));
                    let account =
                        account.map(|account| json!({ "id": account.id, "name": account.text("name") }));
                    out.insert("sales_account".to_owned(), account.unwrap_or_default());
                }
                (Entity::Contact | Entity::SalesAccount | Entity::Deal, Includable::Owner) => {
                    let owner = record.reference("owner_id");
                    let owner = owner.and_then(|id| self.selectors.owner(self.fields, id));
                    out.insert("owner".to_owned(), owner.unwrap_or_default());
                }
                (Entity::Contact, Includable::SalesAccount | Includable::Contacts)
                | (Entity::SalesAccount, Includable::SalesAccounts | Includable::SalesAccount)
                | (Entity::Deal, Includable::SalesAccounts | Includable::Deals) => {}
            }
        }
    }

    fn deals_of_contact(&self, contact: &StoredRecord, out: &mut JsonMap, side_loaded: &mut SideLoaded) {
        let deals = self.records.linked(RecordLink::DealsOfContact, contact.id);
        match self.included_deals {
            IncludedDeals::Inside => {
                out.insert("deals".to_owned(), deals.map(deal).collect());
            }
            IncludedDeals::Beside => {
                let shown = side_loaded.deals.get_or_insert_default();
                let mut ids = Vec::new();
                for found in deals {
                    ids.push(found.id);
                    if !shown.iter().any(|row| row.get("id").and_then(Value::as_u64) == Some(found.id)) {
                        shown.push(deal(found));
                    }
                }
                out.insert("deal_ids".to_owned(), Value::from(ids));
            }
            IncludedDeals::Absent => {}
        }
    }
}

/// The sales accounts a contact is linked to. The index may have a link before it has the sales account.
pub(in crate::sandbox) fn sales_accounts(records: &AccountRecords, contact: &StoredRecord) -> Value {
    let rows = contact.sales_accounts.iter().map(|link| {
        let account = records.of(Entity::SalesAccount).get(link.id);
        json!({
            "partial": true,
            "id": link.id,
            "name": account.map(|account| account.text("name")),
            "website": account.and_then(|account| account.fields.get("website")),
            "is_primary": link.is_primary,
        })
    });
    rows.collect()
}

fn contact(contact: &StoredRecord) -> Value {
    json!({
        "partial": true,
        "id": contact.id,
        "display_name": contact.display_name(Entity::Contact),
        "email": contact.primary_email(),
    })
}

fn deal(deal: &StoredRecord) -> Value {
    let field = |name: &str| deal.fields.get(name).cloned().unwrap_or_default();
    let amount = match field("amount") {
        Value::Number(amount) => Value::String(amount.to_string()),
        other @ (Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            other
        }
    };
    json!({
        "partial": true,
        "id": deal.id,
        "name": deal.text("name"),
        "amount": amount,
        "sales_account_id": field("sales_account_id"),
        "deal_pipeline_id": field("deal_pipeline_id"),
        "deal_stage_id": field("deal_stage_id"),
        "expected_close": field("expected_close"),
    })
}
