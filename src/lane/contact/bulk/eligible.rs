//! How a contact's next call goes: alone, or with those of other contacts. Pure.

use super::features::{BulkFeature, BulkFeatures, FeatureState};
use super::policy::BulkPolicy;
use crate::config::{DealIdentity, Links};
use crate::freshsales::Identifier;
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::held::{HeldContact, HeldEvent};
use crate::lane::contact::step::Step;
use crate::lane::contact::tags;
use crate::schema::Entity;

/// How a contact's next call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum NextCall {
    Alone,
    Together(SharedCall),
    /// Not yet: something that is under way decides it.
    Later,
}

/// What one call does for many contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) enum SharedCall {
    /// Writes this entity's records.
    Write(Entity),
    /// Reads the contacts before they are written: their links, or the ids of their deals, are not known.
    ReadContacts,
    /// Reads the ids of this entity's records, which were written in bulk.
    FindIds(Entity),
}

/// What decides how calls go.
#[derive(Debug)]
pub(in crate::lane) struct Circumstances<'a> {
    pub(in crate::lane) records: &'a mut RecordCache,
    pub(in crate::lane) policy: &'a BulkPolicy,
    pub(in crate::lane) features: &'a BulkFeatures,
    pub(in crate::lane) links: Links,
    pub(in crate::lane) deal_identity: DealIdentity,
    /// The first links that were written in bulk are being read back.
    pub(in crate::lane) links_on_trial: bool,
    pub(in crate::lane) now: tokio::time::Instant,
}

/// A contact that is about to be written, as a waiting event or a work item has it.
struct Contact<'a> {
    write: &'a HeldContact,
    account: Option<i64>,
    /// The work item, if there is one already.
    work: Option<&'a ContactWork>,
}

impl Circumstances<'_> {
    /// How the next call of a work item goes.
    pub(in crate::lane) fn of_work(&mut self, work: &ContactWork) -> NextCall {
        if work.singly {
            return NextCall::Alone;
        }
        match &work.step {
            Step::FindId(entity) => NextCall::Together(SharedCall::FindIds(*entity)),
            Step::Company => self.of_company(&work.write, work.ignores_cache),
            Step::Contact => {
                self.of_contact(&Contact { write: &work.write, account: work.account_id, work: Some(work) })
            }
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
            | Step::ConfirmExists(_) => NextCall::Alone,
        }
    }

    /// How the first call of a waiting event goes, as far as can be told before it is worked on.
    pub(in crate::lane) fn of_event(&mut self, event: &HeldEvent) -> NextCall {
        let HeldEvent::Contact(write) = event else { return NextCall::Alone };
        if write.email.is_none() {
            return NextCall::Alone;
        }
        let account = match unchanged_company(write, self.records) {
            Company::None => None,
            Company::Unchanged(id) => Some(id),
            Company::Changed => return self.of_company(write, false),
        };
        self.of_contact(&Contact { write, account, work: None })
    }

    fn of_company(&mut self, write: &HeldContact, ignores_cache: bool) -> NextCall {
        let Some(company) = &write.company else { return NextCall::Alone };
        let account = self.records.account(&company.name);
        // A single call answers with the id. Where it is not known, it must be possible to search for it.
        let finds_id = account.is_some() || self.may_use(BulkFeature::SalesAccountSearch);
        let id = account.map(|account| account.id);
        let fits = !ignores_cache
            && finds_id
            && tags::are_known(&company.record, Entity::SalesAccount, id, self.records);
        self.written_together(Entity::SalesAccount, fits)
    }

    fn of_contact(&mut self, contact: &Contact<'_>) -> NextCall {
        let Contact { write, account, work } = *contact;
        let ignores_cache = work.is_some_and(|work| work.ignores_cache);
        let id = work.and_then(|work| work.contact_id).or_else(|| self.records.contact_id(write.address()));
        let id = id.filter(|_| !ignores_cache);
        if !tags::are_known(&write.record, Entity::Contact, id, self.records) {
            return NextCall::Alone;
        }
        let searched = work.and_then(|work| work.search.links.as_ref());
        let links_known = match (&write.company, account) {
            (None, _) => true,
            (Some(_), Some(account)) => {
                !ignores_cache && (self.records.linked(write.address(), account) || searched.is_some())
            }
            (Some(_), None) => return NextCall::Alone,
        };
        let deal_known = self.knows_deal(contact, id);
        if links_known && deal_known {
            let adds_link = work.is_some_and(ContactWork::adds_link);
            return match self.features.state(BulkFeature::LinksInBulk) {
                FeatureState::Unknown if adds_link && self.links_on_trial => NextCall::Later,
                FeatureState::Fails if adds_link => NextCall::Alone,
                FeatureState::Unknown | FeatureState::Works | FeatureState::Fails => {
                    self.written_together(Entity::Contact, true)
                }
            };
        }
        let writes_links = links_known || self.may_use(BulkFeature::LinksInBulk);
        let may_search = self.may_use(BulkFeature::ContactSearch) && writes_links;
        if may_search && searched.is_none() && !ignores_cache && self.policy.allows(Entity::Contact, self.now)
        {
            return NextCall::Together(SharedCall::ReadContacts);
        }
        // The contact can go in bulk if its id is known: its deal is looked for afterwards.
        self.written_together(Entity::Contact, links_known && id.is_some())
    }

    /// Whether the contact's deal can be written after a bulk call without reading the contact singly.
    fn knows_deal(&mut self, contact: &Contact<'_>, id: Option<i64>) -> bool {
        let Some(deal) = &contact.write.deal else { return true };
        if contact.work.is_some_and(|work| work.search.is_new) {
            return true;
        }
        let Some(id) = id else { return false };
        let shown =
            contact.work.is_some_and(|work| work.deal != DealId::Unknown || work.search.links.is_some());
        match self.deal_identity {
            DealIdentity::Name => true,
            DealIdentity::Contact => {
                shown
                    || self.records.deal(id, &deal.name).is_some()
                    || self.features.state(BulkFeature::DealsInSearch) == FeatureState::Fails
            }
        }
    }

    fn of_deal(&mut self, work: &ContactWork) -> NextCall {
        let Some((_, identifier)) = work.identifier() else { return NextCall::Alone };
        let Some(deal) = &work.write.deal else { return NextCall::Alone };
        // Two new deals of one name cannot be told apart in a report.
        let id = match identifier {
            Identifier::Id(id) => Some(id),
            Identifier::Text(_) => None,
        };
        let fits = tags::are_known(&deal.record, Entity::Deal, id, self.records);
        self.written_together(Entity::Deal, fits)
    }

    fn written_together(&self, entity: Entity, fits: bool) -> NextCall {
        if fits && self.policy.allows(entity, self.now) {
            NextCall::Together(SharedCall::Write(entity))
        } else {
            NextCall::Alone
        }
    }

    fn may_use(&self, feature: BulkFeature) -> bool {
        self.links == Links::Bulk && self.features.may_be_used(feature)
    }
}

/// Whether an event's company has to be written.
enum Company {
    None,
    /// It was last written with the same values.
    Unchanged(i64),
    Changed,
}

fn unchanged_company(write: &HeldContact, records: &mut RecordCache) -> Company {
    let Some(company) = &write.company else { return Company::None };
    let known = records.account(&company.name);
    let unchanged = known.filter(|known| known.written == Some(fingerprint(&company.record)));
    unchanged.map_or(Company::Changed, |known| Company::Unchanged(known.id))
}

/// The sales account that an event's first call would write, in lower case. Several contacts may have one: the first writes
/// it.
pub(in crate::lane) fn company_of(event: &HeldEvent) -> Option<String> {
    let HeldEvent::Contact(write) = event else { return None };
    Some(write.company.as_ref()?.name.to_lowercase())
}

/// Keeps the ids that are cached now: the report names none, and by then they may have left the cache.
pub(in crate::lane) fn keep_cached_ids(work: &mut ContactWork, records: &mut RecordCache) {
    if work.step == Step::Contact {
        work.contact_id = work.contact_id.or_else(|| records.contact_id(work.write.address()));
    } else if work.step == Step::Company
        && let Some(company) = &work.write.company
    {
        work.account_id = records.account(&company.name).map(|account| account.id);
    }
}
