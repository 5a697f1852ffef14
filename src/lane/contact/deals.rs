//! Which deal an event's deal is. Several deals may have one name, so by default the deal is looked for among those of the
//! event's contact, and no other deal is ever written.
//!
//! A deal that is created twice exists twice. So the contact's deals are read before each creation, and again if the answer
//! to a creation was lost.

use serde_json::Value;

use super::contact_work::{ContactWork, DealId};
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
        let Some(contact) = self.contact_id.filter(|_| identity == DealIdentity::Contact) else {
            if identity == DealIdentity::Contact {
                // The contact went in bulk, and its id left the cache meanwhile. A single call answers with the id.
                self.singly = true;
                return Some(Step::Contact);
            }
            self.deal = DealId::ByName;
            return Some(Step::Deal);
        };
        if let Some(id) = records.deal(contact, name) {
            self.deal = DealId::Known(id);
            self.relied_on_cache = true;
        }
        Some(if self.deal == DealId::Unknown { Step::FindDeal } else { Step::Deal })
    }

    /// Looks for the deal among those that an answer shows. False if it does not show the contact's deals.
    pub(in crate::lane) fn find_deal(&mut self, body: &Value) -> bool {
        let Some(deal) = &self.write.deal else { return true };
        let shown = shown_deals(body);
        match deal_named(&shown.deals, &deal.name) {
            Some(id) => self.deal = DealId::Known(id),
            None if shown.all => self.deal = DealId::New,
            None => return false,
        }
        true
    }

    /// Looks for the deal among those that a search's row shows of the contact.
    pub(in crate::lane) fn show_deals(&mut self, row: &ContactRow) {
        let Some(deal) = &self.write.deal else { return };
        match deal_named(&row.deals.deals, &deal.name) {
            Some(id) => self.deal = DealId::Known(id),
            None if row.deals.all => self.deal = DealId::New,
            None => {}
        }
    }

    /// Another work item looks for the same deal and may create it, so this one looks again after it.
    pub(in crate::lane) fn find_deal_again(&mut self) {
        if self.step == Step::Deal && self.deal == DealId::New {
            self.step = Step::FindDeal;
        }
    }
}
