//! What is known of work that waits, as far as it decides how its next call goes. It changes only with the work itself and
//! with the facts that it was found by, so it is found once, and again when one of these changes: however much waits,
//! nobody has to look at all of it. What holds for the whole account at a time, [`eligible`](super::eligible) adds. Pure.

use crate::freshsales::Identifier;
use crate::lane::contact::cache::fact::FactKey;
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::held::{HeldContact, HeldEvent, HeldRelated, RecordText};
use crate::lane::contact::step::Step;
use crate::lane::contact::tags;
use crate::schema::Entity;

/// What decides how the next call of a waiting event or a work item goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) enum CallStanding {
    Alone,
    /// The record that was written in bulk is to be found.
    FindId(Entity),
    Company(CompanyStanding),
    Contact(ContactStanding),
    Deal {
        /// Nothing about the record speaks against a bulk call.
        fits: bool,
    },
}

/// A sales account that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) struct CompanyStanding {
    pub(in crate::lane) id_known: bool,
    /// Nothing about the record speaks against a bulk call.
    pub(in crate::lane) fits: bool,
    /// It is a waiting event's, and a work item writes it now.
    pub(in crate::lane) held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) struct ContactStanding {
    pub(in crate::lane) links: LinkStanding,
    pub(in crate::lane) deal: DealStanding,
    /// A search could show what is not known.
    pub(in crate::lane) may_be_read: bool,
    pub(in crate::lane) id_known: bool,
}

/// What is known of a contact's link to its sales account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) enum LinkStanding {
    Unknown,
    /// There is nothing to link.
    Complete,
    /// All links are known, and this one is to be added.
    Missing,
}

/// What is known of a contact's deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) enum DealStanding {
    Unknown,
    /// Nothing, but the contact's id.
    OfKnownContact,
    /// It can be written once the contact is, or there is none.
    Known,
}

/// A contact that is about to be written, as a waiting event or a work item has it.
struct Contact<'a> {
    write: &'a HeldContact,
    account: Option<i64>,
    /// The work item, if there is one already.
    work: Option<&'a ContactWork>,
}

/// Finds standings, and notes the facts that they are found by.
pub(in crate::lane) struct FactReader<'a> {
    records: &'a mut RecordCache,
    read: Vec<FactKey>,
}

impl<'a> FactReader<'a> {
    pub(in crate::lane) fn new(records: &'a mut RecordCache) -> Self {
        Self { records, read: Vec::new() }
    }

    pub(in crate::lane) fn into_read(self) -> Vec<FactKey> {
        self.read
    }

    pub(in crate::lane) fn of_work(&mut self, work: &ContactWork) -> CallStanding {
        if work.singly {
            return CallStanding::Alone;
        }
        match &work.step {
            Step::FindId(entity) => CallStanding::FindId(*entity),
            Step::Company => self.of_company(&work.write, work.cache.ignored),
            Step::Contact => self.of_contact(&Contact {
                write: &work.write,
                account: work.known.account_id,
                work: Some(work),
            }),
            Step::Deal => self.of_deal(work),
            Step::FindContact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::ReadTags(_)
            | Step::Tags(_)
            | Step::ConfirmExists(_) => CallStanding::Alone,
        }
    }

    /// Of a waiting event, as far as can be told before it is worked on.
    pub(in crate::lane) fn of_event(&mut self, event: &HeldEvent) -> CallStanding {
        let HeldEvent::Contact(write) = event else { return CallStanding::Alone };
        if write.email.is_none() {
            return CallStanding::Alone;
        }
        let account = match write.company.as_deref().map(|company| self.unchanged(company)) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => return self.of_company(write, false),
        };
        self.of_contact(&Contact { write, account, work: None })
    }

    fn of_company(&mut self, write: &HeldContact, ignores_cache: bool) -> CallStanding {
        let Some(company) = &write.company else { return CallStanding::Alone };
        self.read.push(FactKey::account(&company.name));
        let id = self.records.account(&company.name).map(|account| account.id);
        let fits = !ignores_cache && self.knows_tags(&company.record, Entity::SalesAccount, id);
        CallStanding::Company(CompanyStanding { id_known: id.is_some(), fits, held: false })
    }

    fn of_contact(&mut self, contact: &Contact<'_>) -> CallStanding {
        let Contact { write, account, work } = *contact;
        let ignores_cache = work.is_some_and(|work| work.cache.ignored);
        if write.company.is_some() && account.is_none() {
            return CallStanding::Alone;
        }
        let adds_link = work.is_some_and(ContactWork::adds_link);
        let known_links = if adds_link { LinkStanding::Missing } else { LinkStanding::Complete };
        if write.company.is_none() && write.deal.is_none() && write.record.added_tags.is_empty() {
            // Nothing that a cache knows of the contact would change its call.
            return CallStanding::Contact(ContactStanding {
                links: known_links,
                deal: DealStanding::Known,
                may_be_read: false,
                id_known: false,
            });
        }
        let id = work.and_then(|work| work.known.contact_id).or_else(|| self.contact_id(write.address()));
        let id = id.filter(|_| !ignores_cache);
        if !self.knows_tags(&write.record, Entity::Contact, id) {
            return CallStanding::Alone;
        }
        let searched = work.is_some_and(|work| work.search.links.is_some());
        let links_known = write.company.is_none()
            || !ignores_cache
                && (searched || account.is_some_and(|account| self.linked(write.address(), account)));
        CallStanding::Contact(ContactStanding {
            links: if links_known { known_links } else { LinkStanding::Unknown },
            deal: self.of_contacts_deal(contact, id),
            may_be_read: !searched && !ignores_cache,
            id_known: id.is_some(),
        })
    }

    fn of_contacts_deal(&mut self, contact: &Contact<'_>, id: Option<i64>) -> DealStanding {
        let Some(deal) = &contact.write.deal else { return DealStanding::Known };
        if contact.work.is_some_and(|work| work.search.is_new) {
            return DealStanding::Known;
        }
        let Some(id) = id else { return DealStanding::Unknown };
        let shown = contact
            .work
            .is_some_and(|work| work.known.deal != DealId::Unknown || work.search.links.is_some());
        self.read.push(FactKey::deal(id, &deal.name));
        if shown || self.records.deal(id, &deal.name).is_some() {
            DealStanding::Known
        } else {
            DealStanding::OfKnownContact
        }
    }

    fn of_deal(&mut self, work: &ContactWork) -> CallStanding {
        let Some((_, identifier)) = work.identifier() else { return CallStanding::Alone };
        let Some(deal) = &work.write.deal else { return CallStanding::Alone };
        // Two new deals of one name cannot be told apart in a report.
        let id = match identifier {
            Identifier::Id(id) => Some(id),
            Identifier::Text(_) => None,
        };
        CallStanding::Deal { fits: self.knows_tags(&deal.record, Entity::Deal, id) }
    }

    /// The company's id, if it was last written with the same values.
    fn unchanged(&mut self, company: &HeldRelated) -> Option<i64> {
        let values = fingerprint(&company.record);
        let facts = [FactKey::account(&company.name), FactKey::account_values(&company.name, values)];
        self.read.extend(facts);
        let known = self.records.account(&company.name);
        known.filter(|known| known.written == Some(values)).map(|known| known.id)
    }

    fn contact_id(&mut self, email: &str) -> Option<i64> {
        self.read.push(FactKey::contact(email));
        self.records.contact_id(email)
    }

    fn linked(&mut self, email: &str, account: i64) -> bool {
        self.read.push(FactKey::contact(email));
        self.records.linked(email, account)
    }

    fn knows_tags(&mut self, record: &RecordText, entity: Entity, id: Option<i64>) -> bool {
        if !record.added_tags.is_empty() {
            self.read.extend(id.map(|id| FactKey::tags(entity, id)));
        }
        tags::are_known(record, entity, id, self.records)
    }
}
