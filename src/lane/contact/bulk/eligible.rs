//! How the next call goes of work that waits: alone, or with those of other contacts. Pure.

use super::features::{BulkFeature, BulkFeatures, FeatureState};
use super::policy::BulkPolicy;
use super::standing::{CallStanding, CompanyStanding, ContactStanding, DealStanding, LinkStanding};
use crate::config::{DealIdentity, Links};
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::step::Step;
use crate::schema::Entity;

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
    Write(Entity),
    /// Reads the contacts before they are written: their links, or the ids of their deals, are not known.
    ReadContacts,
    /// Reads the ids of this entity's records, which were written in bulk.
    FindIds(Entity),
}

/// What decides how calls go, besides what is known of each contact.
#[derive(Debug)]
pub(in crate::lane) struct Circumstances<'a> {
    pub(in crate::lane) policy: &'a BulkPolicy,
    pub(in crate::lane) features: &'a BulkFeatures,
    pub(in crate::lane) links: Links,
    pub(in crate::lane) deal_identity: DealIdentity,
    /// The first links that were written in bulk are being read back.
    pub(in crate::lane) links_on_trial: bool,
    pub(in crate::lane) now: tokio::time::Instant,
}

impl Circumstances<'_> {
    pub(in crate::lane) fn next_call(&self, standing: CallStanding) -> NextCall {
        match standing {
            CallStanding::Alone => NextCall::Alone,
            CallStanding::FindId(entity) => NextCall::Together(SharedCall::FindIds(entity)),
            CallStanding::Company(company) => self.of_company(company),
            CallStanding::Contact(contact) => self.of_contact(contact),
            CallStanding::Deal { fits } => self.written_together(Entity::Deal, fits),
        }
    }

    fn of_company(&self, CompanyStanding { id_known, fits, held }: CompanyStanding) -> NextCall {
        // A single call answers with the id. Where it is not known, it must be possible to search for it.
        let finds_id = id_known || self.may_use(BulkFeature::SalesAccountSearch);
        let next = self.written_together(Entity::SalesAccount, fits && finds_id);
        // Whoever writes it may write the same.
        if held && next != NextCall::Alone { NextCall::Later } else { next }
    }

    fn of_contact(&self, contact: ContactStanding) -> NextCall {
        let ContactStanding { links, deal, may_be_read, id_known } = contact;
        let links_known = links != LinkStanding::Unknown;
        if links_known && self.knows_deal(deal) {
            let adds_link = links == LinkStanding::Missing;
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
        if may_search && may_be_read && self.policy.allows(Entity::Contact, self.now) {
            return NextCall::Together(SharedCall::ReadContacts);
        }
        // The contact can go in bulk if its id is known: its deal is looked for afterwards.
        self.written_together(Entity::Contact, links_known && id_known)
    }

    /// Whether the contact's deal can be written after a bulk call without reading the contact singly.
    fn knows_deal(&self, deal: DealStanding) -> bool {
        match deal {
            DealStanding::Unknown => false,
            DealStanding::Known => true,
            DealStanding::OfKnownContact => match self.deal_identity {
                DealIdentity::Name => true,
                DealIdentity::Contact => {
                    self.features.state(BulkFeature::DealsInSearch) == FeatureState::Fails
                }
            },
        }
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

/// The sales account that an event's first call would write, in lower case. Several contacts may have one: the first writes
/// it.
pub(in crate::lane) fn company_of(event: &HeldEvent) -> Option<String> {
    let HeldEvent::Contact(write) = event else { return None };
    Some(write.company.as_ref()?.name.to_lowercase())
}

/// Keeps the ids that are cached now: the report names none, and by then they may have left the cache.
pub(in crate::lane) fn keep_cached_ids(work: &mut ContactWork, records: &mut RecordCache) {
    if work.step == Step::Contact {
        work.known.contact_id = work.known.contact_id.or_else(|| records.contact_id(work.write.address()));
    } else if work.step == Step::Company
        && let Some(company) = &work.write.company
    {
        work.known.account_id = records.account(&company.name).map(|account| account.id);
    }
}
