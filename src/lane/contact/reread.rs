//! What is read before a call that failed is sent again. Its body may hold what was read before it: a contact's links and
//! addresses, a deal's custom fields, a record's tags. While it waits, people may change them, and others may write the
//! record, so it is not sent again as it is. Pure.

use serde_json::Value;

use super::deals::DealAt;
use super::steps::with;
use super::tags::Found;
use super::work_item::{ContactWork, Step, WorkItem};
use crate::freshsales::{Call, Endpoint, custom_fields, linked_accounts};
use crate::lane::scheduler::Scheduler;
use crate::lane::scheduler::calls::{Outgoing, Purpose};
use crate::schema::Entity;

impl ContactWork {
    /// The call that reads anew what the body of the step's call holds of the record; none if it holds nothing.
    fn reading_anew(&self) -> Option<Call> {
        match (&self.stage, self.deal) {
            (Step::Tags(tagging), _) => Some(tagging.read()),
            (Step::Link(_), _) => Some(Call::contact_read(self.contact?)),
            (Step::Update, _) if self.changes_address() => Some(Call::contact_read(self.contact?)),
            (Step::Deal, DealAt::Id(id)) if self.kept_custom.is_some() => Some(Call::read(Entity::Deal, id)),
            _ => None,
        }
    }

    /// Takes what was read anew; the call that is to be sent now, if one is still needed.
    fn after_reading_anew(&mut self, body: &Value, before: Call) -> Option<Call> {
        match &self.stage {
            Step::Tags(tagging) => {
                let Found::Missing(tagging) = tagging.compare(body) else {
                    // Nothing was written: whether they are there is for the reading to say.
                    self.stage = Step::ReadTags(tagging.clone());
                    return None;
                };
                self.stage = Step::Tags(tagging);
            }
            Step::Link(_) => {
                // Where the links are not shown, those that were stay.
                let (Some(account), Some(links)) = (self.account, linked_accounts(body)) else {
                    return Some(before);
                };
                if links.iter().any(|link| link.id == account) {
                    self.stage = Step::Link(links);
                    return None;
                }
                self.stage = Step::Link(with(links, account));
            }
            Step::Update => {
                if !self.take_addresses(body) {
                    self.stage = Step::ReadEmails;
                    return None;
                }
            }
            Step::FindDeal => {
                self.find_deal(body);
                if matches!(self.deal, DealAt::Id(_)) {
                    return None;
                }
                self.stage = Step::Deal;
                return Some(before);
            }
            Step::Deal => self.kept_custom = Some(custom_fields(body).unwrap_or_default()),
            Step::FindContact
            | Step::Company
            | Step::Contact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::FindOwner
            | Step::ReadLinks
            | Step::ReadTags(_)
            | Step::StillThere(_) => return None,
        }
        self.call()
    }
}

impl<D> Scheduler<D> {
    /// A call failed and waits: what its body holds of the record is read before it is sent again. It stays the same call
    /// to all who count how often it failed, so one that never gets through is still given up.
    pub(in crate::lane) fn read_before_writing_again(&mut self, outgoing: &mut Outgoing) {
        let Purpose::Step(unit) = outgoing.purpose else { return };
        if outgoing.unsure.is_some() || outgoing.call.endpoint == Endpoint::DealRead {
            return;
        }
        let Some(work) = self.units.get(&unit).and_then(WorkItem::contact) else { return };
        if let Some(read) = work.reading_anew() {
            outgoing.unsure = Some(std::mem::replace(&mut outgoing.call, read));
        }
    }

    /// What was to be read before a call is sent again was read. If the call is still needed, it is sent again; true then.
    pub(in crate::lane) fn again_after_looking(&mut self, outgoing: &mut Outgoing, body: &Value) -> bool {
        let Purpose::Step(unit) = outgoing.purpose else { return false };
        let Some(before) = outgoing.unsure.take() else { return false };
        let Some(work) = self.units.get_mut(&unit).and_then(WorkItem::contact_mut) else { return false };
        let Some(call) = work.after_reading_anew(body, before) else { return false };
        outgoing.call = call;
        true
    }
}
