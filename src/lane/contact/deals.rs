//! Which deal an event's deal is. Several deals may have one name, so by default the deal is looked for among those of the
//! event's contact, and no other deal is ever written.
//!
//! A deal that is created twice exists twice. So the contact's deals are read before each creation, and again if the answer
//! to a creation was lost. They may be read by a search, which sees deals late: what this lane has created, or may have, it
//! remembers, and then the contact itself is read.

use serde_json::Value;

use super::contact_work::{ContactWork, DealId};
use super::refused::refusal::{Ground, RefusedCall};
use super::step::Step;
use crate::config::DealIdentity;
use crate::freshsales::{ContactRow, deal_named, shown_deals};
use crate::lane::contact::cache::records::RecordCache;

impl ContactWork {
    /// The step after the contact and its links, if the event has a deal.
    pub(in crate::lane) fn toward_deal(
        &mut self,
        identity: DealIdentity,
        records: &mut RecordCache,
    ) -> Option<Step> {
        let name = &self.write.deal.as_ref()?.name;
        let Some(contact) = self.known.contact_id.filter(|_| identity == DealIdentity::Contact) else {
            if identity == DealIdentity::Contact {
                // The contact went in bulk, and its id left the cache meanwhile. A single call answers with the id.
                self.singly = true;
                return Some(Step::Contact);
            }
            self.known.deal = DealId::ByName;
            return Some(Step::Deal);
        };
        if let Some(id) = records.deal(contact, name) {
            self.known.deal = DealId::Known(id);
            self.cache.relied = true;
        }
        Some(if self.known.deal == DealId::Unknown { Step::FindDeal } else { Step::Deal })
    }

    /// Looks for the deal among those that an answer shows. False if it does not show the contact's deals.
    pub(in crate::lane) fn find_deal(&mut self, body: &Value) -> bool {
        let Some(deal) = &self.write.deal else { return true };
        let shown = shown_deals(body);
        match deal_named(&shown.deals, &deal.name) {
            Some(id) => self.known.deal = DealId::Known(id),
            None if shown.all => self.known.deal = DealId::New,
            None => return false,
        }
        true
    }

    /// Looks for the deal among those that a search's row shows of the contact.
    pub(in crate::lane) fn show_deals(&mut self, row: &ContactRow) {
        let Some(deal) = &self.write.deal else { return };
        match deal_named(&row.deals.deals, &deal.name) {
            Some(id) => self.known.deal = DealId::Known(id),
            None if row.deals.all => self.known.deal = DealId::New,
            None => {}
        }
    }

    pub(in crate::lane) fn creates_deal(&self) -> bool {
        self.step == Step::Deal && self.known.deal == DealId::New
    }

    /// Another work item looks for the same deal and may create it, so this one looks again after it.
    pub(in crate::lane) fn find_deal_again(&mut self) {
        if self.creates_deal() {
            self.step = Step::FindDeal;
        }
    }

    /// Before the deal is created: another work item may have done it since this one was shown the contact's deals, or since
    /// what it was shown.
    pub(in crate::lane) fn find_created_deal(&mut self, records: &mut RecordCache) {
        let (Some(contact), Some(deal)) = (self.known.contact_id, &self.write.deal) else { return };
        if !self.creates_deal() {
            return;
        }
        if let Some(id) = records.deal(contact, &deal.name) {
            self.known.deal = DealId::Known(id);
            self.cache.relied = true;
            self.trial = None;
        } else if records.may_have_deal(contact, &deal.name) {
            self.step = Step::FindDeal;
        }
    }

    pub(in crate::lane) fn not_created(&self, refused: &RefusedCall, records: &mut RecordCache) {
        let (Some(contact), Some(deal)) = (self.known.contact_id, &self.write.deal) else { return };
        match refused.ground {
            Ground::Rejected(_) | Ground::Denied(..) => records.no_deal(contact, &deal.name),
            Ground::Blocked(_) | Ground::Undeliverable(_) => {}
        }
    }

    /// The contact's deals were read by its id.
    pub(in crate::lane) fn remember_deal(&self, records: &mut RecordCache) {
        let (Some(contact), Some(deal)) = (self.known.contact_id, &self.write.deal) else { return };
        match self.known.deal {
            DealId::Known(id) => records.learn_deal(contact, &deal.name, id),
            DealId::New => records.no_deal(contact, &deal.name),
            DealId::Unknown | DealId::ByName => {}
        }
    }
}
