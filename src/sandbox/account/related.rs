//! What `?include=` adds to a record: the records it is tied to, in a few of their fields.
//!
//! That a contact's `sales_accounts` stand inside it is recorded; where its `deals` stand is not known, so that is an
//! option. The other keys and all places but that of `sales_accounts` are guesses.

use serde_json::{Value, json};

use super::store::Store;
use super::store::record::StoredRecord;
use crate::sandbox::metadata::fields::FieldFiles;
use crate::sandbox::metadata::selectors::SelectorLists;
use crate::sandbox::options::IncludedDeals;
use crate::schema::Entity;
use crate::segment::JsonMap;

/// A kind of records that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Related {
    SalesAccounts,
    SalesAccount,
    Contacts,
    Deals,
    Owner,
}

impl Related {
    /// The words of `?include=`; unknown ones ask for nothing.
    pub(in crate::sandbox) fn of_words(words: &str) -> Vec<Self> {
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

/// What stands beside the records of an answer instead of inside them.
#[derive(Default)]
pub(in crate::sandbox) struct SideLoaded {
    deals: Vec<Value>,
    asked: bool,
}

impl SideLoaded {
    /// Puts it into the answer, if it was asked for.
    pub(in crate::sandbox) fn add_to(self, answer: &mut JsonMap) {
        if self.asked {
            answer.insert("deals".to_owned(), Value::Array(self.deals));
        }
    }
}

/// Where related records come from.
pub(in crate::sandbox) struct Relations<'a> {
    pub(in crate::sandbox) store: &'a Store,
    pub(in crate::sandbox) fields: &'a FieldFiles,
    pub(in crate::sandbox) selectors: &'a SelectorLists,
    pub(in crate::sandbox) included_deals: IncludedDeals,
}

impl Relations<'_> {
    /// Adds to a rendered record what was asked for and what such records have.
    pub(in crate::sandbox) fn add(
        &self,
        entity: Entity,
        record: &StoredRecord,
        asked: &[Related],
        out: &mut JsonMap,
        beside: &mut SideLoaded,
    ) {
        for related in asked {
            match (entity, related) {
                (Entity::Contact, Related::SalesAccounts) => {
                    out.insert("sales_accounts".to_owned(), sales_accounts(self.store, record));
                }
                (Entity::Contact, Related::Deals) => self.deals_of_contact(record, out, beside),
                (Entity::SalesAccount, Related::Contacts) => {
                    let tied = |contact: &&StoredRecord| {
                        contact.sales_accounts.iter().any(|link| link.id == record.id)
                    };
                    let contacts = self.store.records(Entity::Contact).iter().filter(tied).map(contact);
                    out.insert("contacts".to_owned(), contacts.collect());
                }
                (Entity::SalesAccount, Related::Deals) => {
                    let tied = |deal: &&StoredRecord| sales_account_id(deal) == Some(record.id);
                    let deals = self.store.records(Entity::Deal).iter().filter(tied).map(deal);
                    out.insert("deals".to_owned(), deals.collect());
                }
                (Entity::Deal, Related::Contacts) => {
                    let shelf = self.store.records(Entity::Contact);
                    let contacts = record.contact_ids.iter().filter_map(|id| shelf.get(*id)).map(contact);
                    out.insert("contacts".to_owned(), contacts.collect());
                }
                (Entity::Deal, Related::SalesAccount) => {
                    let account = sales_account_id(record);
                    let account = account.and_then(|id| self.store.records(Entity::SalesAccount).get(id));
                    let account =
                        account.map(|account| json!({ "id": account.id, "name": account.text("name") }));
                    out.insert("sales_account".to_owned(), account.unwrap_or_default());
                }
                (Entity::Contact | Entity::SalesAccount | Entity::Deal, Related::Owner) => {
                    let id = record.fields.get("owner_id").and_then(Value::as_u64);
                    let owner = id.and_then(|id| self.selectors.owner(self.fields, id));
                    out.insert("owner".to_owned(), owner.unwrap_or_default());
                }
                (Entity::Contact, Related::SalesAccount | Related::Contacts)
                | (Entity::SalesAccount, Related::SalesAccounts | Related::SalesAccount)
                | (Entity::Deal, Related::SalesAccounts | Related::Deals) => {}
            }
        }
    }

    fn deals_of_contact(&self, contact: &StoredRecord, out: &mut JsonMap, beside: &mut SideLoaded) {
        let deals = self.store.deals_of(contact.id);
        match self.included_deals {
            IncludedDeals::Inside => {
                out.insert("deals".to_owned(), deals.map(deal).collect());
            }
            IncludedDeals::Beside => {
                beside.asked = true;
                let mut ids = Vec::new();
                for found in deals {
                    ids.push(found.id);
                    if !beside.deals.iter().any(|row| row.get("id").and_then(Value::as_u64) == Some(found.id))
                    {
                        beside.deals.push(deal(found));
                    }
                }
                out.insert("deal_ids".to_owned(), Value::from(ids));
            }
            IncludedDeals::Absent => {}
        }
    }
}

/// A contact's sales accounts, in short.
pub(in crate::sandbox) fn sales_accounts(store: &Store, contact: &StoredRecord) -> Value {
    let shelf = store.records(Entity::SalesAccount);
    let links = contact.sales_accounts.iter();
    let rows =
        links.filter_map(|link| shelf.get(link.id).map(|account| (link, account))).map(|(link, account)| {
            json!({
                "partial": true,
                "id": link.id,
                "name": account.text("name"),
                "website": account.fields.get("website"),
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

fn sales_account_id(deal: &StoredRecord) -> Option<u64> {
    deal.fields.get("sales_account_id").and_then(Value::as_u64)
}
