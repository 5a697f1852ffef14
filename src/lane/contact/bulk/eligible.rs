//! Which records may go in a bulk call: those whose contact, sales account or deal needs nothing from the answer.

use crate::freshsales::Identifier;
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::held::{HeldContact, HeldEvent};
use crate::lane::contact::step::Step;
use crate::lane::contact::tags;
use crate::schema::Entity;

/// The entity that the contact's step could write in bulk.
pub(in crate::lane) fn entity(work: &ContactWork, records: &mut RecordCache) -> Option<Entity> {
    if work.singly || work.step == Step::Update {
        return None;
    }
    let entity = work.step.writes()?;
    let fits = match entity {
        Entity::Contact => contact_fits(&work.write, work.account_id, work.ignores_cache, records),
        // A single call answers with its id. Once that is cached, only the values go.
        Entity::SalesAccount => {
            let company = work.write.company.as_ref()?;
            let account = records.account(&company.name)?;
            !work.ignores_cache
                && tags::are_known(&company.record, Entity::SalesAccount, Some(account.id), records)
                && records.linked(work.write.address(), account.id)
        }
        // Two new deals of one name cannot be told apart in a report.
        Entity::Deal => {
            let id = match work.identifier()?.1 {
                Identifier::Id(id) => Some(id),
                Identifier::Text(_) => None,
            };
            let deal = work.write.deal.as_ref()?;
            tags::are_known(&deal.record, Entity::Deal, id, records)
        }
    };
    fits.then_some(entity)
}

/// Keeps the ids that are cached now: the report names none, and by then they may have left the cache.
pub(in crate::lane) fn keep_cached_ids(work: &mut ContactWork, records: &mut RecordCache) {
    if work.step == Step::Contact {
        work.contact_id = records.contact_id(work.write.address());
    } else if work.step == Step::Company
        && let Some(company) = &work.write.company
    {
        work.account_id = records.account(&company.name).map(|account| account.id);
    }
}

/// Whether the first step of a waiting event would write one of these entities in bulk.
pub(in crate::lane) fn writes_one_of(
    entities: &[Entity],
    event: &HeldEvent,
    records: &mut RecordCache,
) -> bool {
    entities.iter().any(|entity| first_write(event, *entity, records).is_some())
}

/// The write of a waiting event if its first step writes this entity in bulk.
pub(in crate::lane) fn first_write<'a>(
    event: &'a HeldEvent,
    entity: Entity,
    records: &mut RecordCache,
) -> Option<&'a HeldContact> {
    match event {
        HeldEvent::Contact(write) => (first_entity(write, records) == Some(entity)).then_some(write),
        HeldEvent::Track(_) | HeldEvent::Page(_) => None,
    }
}

fn first_entity(write: &HeldContact, records: &mut RecordCache) -> Option<Entity> {
    write.email.as_ref()?;
    let account = match &write.company {
        None => None,
        Some(company) => {
            let known = records.account(&company.name)?;
            if known.written != Some(fingerprint(&company.record)) {
                let tagged = tags::are_known(&company.record, Entity::SalesAccount, Some(known.id), records);
                return (tagged && records.linked(write.address(), known.id)).then_some(Entity::SalesAccount);
            }
            Some(known.id)
        }
    };
    contact_fits(write, account, false, records).then_some(Entity::Contact)
}

/// Whether a contact can be written without needing anything from the answer.
fn contact_fits(
    write: &HeldContact,
    account: Option<i64>,
    ignores_cache: bool,
    records: &mut RecordCache,
) -> bool {
    let linked = match (&write.company, account) {
        (None, _) => true,
        (Some(_), Some(account)) => !ignores_cache && records.linked(write.address(), account),
        (Some(_), None) => false,
    };
    let id = records.contact_id(write.address()).filter(|_| !ignores_cache);
    linked
        && tags::are_known(&write.record, Entity::Contact, id, records)
        && (write.deal.is_none() || id.is_some())
}
