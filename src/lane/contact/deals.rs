//! Which deal an event's deal is. Freshsales' deals may share a name, so by default it is looked for among the deals of
//! the event's contact, and a deal that is not known to be that contact's is never written. Pure.
//!
//! Creating a deal twice makes two. So before each creation the contact's deals are read, also when a creation's answer
//! was lost and it may have taken effect.

use serde_json::Value;

use super::contact_work::{ContactWork, DealId};
use super::step::Step;
use crate::config::DealIdentity;
use crate::freshsales::{deal_named, shown_deals};
use crate::lane::contact::cache::records::RecordCache;

impl ContactWork {
    /// The step that comes after the contact and its links: to the deal, if there is one.
    pub(in crate::lane) fn toward_deal(
        &mut self,
        identity: DealIdentity,
        records: &mut RecordCache,
    ) -> Option<Step> {
        let name = &self.write.deal.as_ref()?.name;
        let Some(contact) = self.contact_id.filter(|_| identity == DealIdentity::Contact) else {
            if identity == DealIdentity::Contact {
                // The contact's id was forgotten while it went in bulk. Alone, it is answered with its id.
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

    /// Takes what an answer shows of the contact's deals; false if it does not show them.
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

    /// Another work item looks for the same deal and may create it, so this one looks again after it.
    pub(in crate::lane) fn find_deal_again(&mut self) {
        if self.step == Step::Deal && self.deal == DealId::New {
            self.step = Step::FindDeal;
        }
    }
}
