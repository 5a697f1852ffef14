//! Who may write a record that several work items write: a sales account, a deal, the links of a contact with several
//! addresses. An item has its lock from the step that writes the record on, and lets it go while its call fails.

use tokio::time::Instant;

use crate::lane::contact::cache::contacts::LearningTimes;
use crate::lane::contact::cache::records::CachedAccount;
use crate::lane::contact::contact_work::{ContactWork, SharedRecord};
use crate::lane::contact::step::Step;
use crate::lane::scheduler::Scheduler;
use crate::lane::scheduler::pending::calls::{PendingCall, Purpose};
use crate::lane::scheduler::steps::step;

impl<D> Scheduler<D> {
    pub(in crate::lane::scheduler) fn shared_record(&self, number: u64) -> Option<SharedRecord> {
        self.items.contact(number)?.shared_record()
    }

    /// The item no longer writes the record of its step.
    pub(in crate::lane::scheduler) fn release_lock(&mut self, number: u64) {
        if let Some(record) = self.shared_record(number) {
            self.release(&record, number);
        }
    }

    pub(in crate::lane::scheduler) fn release(&mut self, record: &SharedRecord, number: u64) {
        let mut waiting = self.locks.release(record, number);
        // Those behind the one that takes it next would only wait again.
        while !self.locks.is_held(record)
            && let Some(other) = waiting.pop_front()
        {
            step();
            self.enter_step(other);
        }
        self.locks.wait_on(record, waiting);
    }

    /// The record of the item's step is being written now.
    pub(in crate::lane::scheduler) fn lock_for_call(&mut self, number: u64) {
        if let Some(work) = self.items.contact(number)
            && work.creates_deal()
            && let (Some(contact), Some(deal)) = (work.known.contact_id, &work.write.deal)
        {
            self.records.deal_may_be_created(contact, &deal.name);
        }
        if let Some(record) = self.shared_record(number) {
            self.locks.take_if_free(record, number);
        }
    }

    /// Whether another item writes the record that a call is to write.
    pub(in crate::lane::scheduler) fn is_locked_by_other(&self, call: &PendingCall) -> bool {
        let Purpose::Step(number) = call.purpose else { return false };
        self.shared_record(number).is_some_and(|record| self.locks.is_held_by_other(&record, number))
    }

    /// The item's call failed and waits, maybe for long. Others may write its sales account or deal meanwhile: one contact's
    /// failures must not hold up its company.
    pub(in crate::lane::scheduler) fn let_others_write(&mut self, call: u64, now: Instant) {
        let Some(&Purpose::Step(number)) = self.calls.get(call).map(|call| &call.purpose) else { return };
        if let Some(work) = self.items.contact(number)
            && work.step == Step::Company
            && let Some(company) = &work.write.company
            && let Some(known) = self.records.account(&company.name)
        {
            // The call may have taken effect all the same.
            self.records.learn_account(&company.name, CachedAccount { written: None, ..known });
        }
        self.links_may_be_written(number, now);
        if self.items.contact(number).is_some_and(ContactWork::creates_deal) {
            // It is not known to exist, so another event that has it must not create it, too.
            return;
        }
        self.release_lock(number);
    }

    /// The answer to a call that writes all links of the item's contact is lost, or comes later: others that write them
    /// meanwhile must add to these.
    pub(in crate::lane::scheduler) fn links_may_be_written(&mut self, number: u64, now: Instant) {
        let search_delay = self.settings.backoff.look_up_delay;
        let Some(work) = self.items.contact(number) else { return };
        let links =
            if let Step::Link(links) = &work.step { Some(links.clone()) } else { work.links_to_write() };
        if let Some(links) = links {
            let times = LearningTimes { now, search_delay };
            self.records.contacts.may_be_linked(work.write.address(), work.known.contact_id, &links, times);
        }
    }
}
