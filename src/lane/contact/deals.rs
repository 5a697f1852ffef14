//! Which deal an event's deal is. Freshsales' deals may share a name, so by default it is looked for among the deals of
//! the event's contact, and a deal that is not known to be that contact's is never written. Pure.
//!
//! Creating a deal twice makes two. So before each creation the contact's deals are read, also when a creation's answer
//! was lost and it may have taken effect.

use tokio::time::Instant;

use super::work_item::{ContactWork, Step, WorkItem};
use crate::config::DealIdentity;
use crate::freshsales::{Call, Endpoint, Verdict, deal_named, shown_deals};
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::scheduler::calls::{Outgoing, Purpose};
use crate::lane::scheduler::{Effect, Scheduler};
use serde_json::Value;

/// What is known of the deal that a unit writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum DealAt {
    /// Nothing yet.
    Unknown,
    /// It is the account's deal of its name; Freshsales finds it.
    Name,
    /// The contact has none of its name.
    New,
    /// It is this one.
    Id(i64),
}

impl ContactWork {
    /// The step that comes after the contact and its links: to the deal, if there is one.
    pub(in crate::lane) fn toward_deal(
        &mut self,
        identity: DealIdentity,
        memo: &mut RecordCache,
    ) -> Option<Step> {
        let name = &self.write.deal.as_ref()?.name;
        let Some(contact) = self.contact.filter(|_| identity == DealIdentity::Contact) else {
            if identity == DealIdentity::Contact {
                // The contact's id was forgotten while it went in bulk. Alone, it is answered with its id.
                self.alone = true;
                return Some(Step::Contact);
            }
            self.deal = DealAt::Name;
            return Some(Step::Deal);
        };
        if let Some(id) = memo.deal(contact, name) {
            self.deal = DealAt::Id(id);
            self.remembered = true;
        }
        Some(if self.deal == DealAt::Unknown { Step::FindDeal } else { Step::Deal })
    }

    /// Takes what an answer shows of the contact's deals; false if it does not show them.
    pub(in crate::lane) fn find_deal(&mut self, body: &Value) -> bool {
        let Some(deal) = &self.write.deal else { return true };
        let shown = shown_deals(body);
        match deal_named(&shown.deals, &deal.name) {
            Some(id) => self.deal = DealAt::Id(id),
            None if shown.all => self.deal = DealAt::New,
            None => return false,
        }
        true
    }
}

/// Whether a call that was answered so may have taken effect all the same.
fn may_have_taken_effect(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Unavailable { .. } | Verdict::Unrecognized(_) => true,
        Verdict::Done(_)
        | Verdict::Refused { .. }
        | Verdict::Denied { .. }
        | Verdict::Unauthorized { .. }
        | Verdict::Throttled { .. }
        | Verdict::TooManyJobs => false,
    }
}

impl<D> Scheduler<D> {
    /// Puts the reading of the contact's deals in the place of a creation that may have taken effect. It stays the same
    /// call to all who count how often it failed, so one that never gets through is still given up.
    pub(in crate::lane) fn look_before_creating_again(&mut self, outgoing: &mut Outgoing, verdict: &Verdict) {
        if outgoing.call.endpoint != Endpoint::DealCreate || !may_have_taken_effect(verdict) {
            return;
        }
        let Purpose::Step(unit) = outgoing.purpose else { return };
        let Some(work) = self.units.get_mut(&unit).and_then(WorkItem::contact_mut) else { return };
        let Some(contact) = work.contact else { return };
        work.stage = Step::FindDeal;
        let read = Call::contact_read_with_deals(contact);
        outgoing.unsure = Some(std::mem::replace(&mut outgoing.call, read));
    }

    /// Whether the unit has just looked for its deal, which is not there.
    pub(in crate::lane) fn looked_in_vain(&self, number: u64) -> bool {
        let work = self.units.get(&number).and_then(WorkItem::contact);
        work.is_some_and(|work| work.stage == Step::FindDeal && work.deal == DealAt::New)
    }

    /// A unit waits behind another that looks for the same deal and may create it: what it saw will not hold.
    pub(in crate::lane) fn look_again_later(&mut self, number: u64) {
        if let Some(work) = self.units.get_mut(&number).and_then(WorkItem::contact_mut)
            && work.stage == Step::Deal
            && work.deal == DealAt::New
        {
            work.stage = Step::FindDeal;
        }
    }

    /// An answer did not show a contact's deals, although they were asked for: a deal that is not remembered is created.
    pub(in crate::lane) fn deals_not_shown(&mut self, now: Instant) -> Vec<Effect<D>> {
        const QUIET: std::time::Duration = std::time::Duration::from_hours(24);
        let told = self.deals_hidden.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if told {
            return Vec::new();
        }
        self.deals_hidden = Some(now);
        vec![Effect::DealsNotShown]
    }
}
