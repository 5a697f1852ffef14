//! One turn: checks, calls that are due, and new calls for the oldest work whose budget grants one. Which of those to the
//! API go together, [`together`](super::super::together) chooses.

use tokio::time::Instant;

use super::order::{Order, Waiting, Wake};
use crate::freshsales::{BudgetKind, Call};
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::{Grant, Impediment};
use crate::lane::contact::activity;
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::merge::Joined;
use crate::lane::contact::work_item::{Work, WorkItem};
use crate::lane::scheduler::pending::calls::{PendingCall, Purpose};
use crate::lane::scheduler::{Next, Scheduler};

impl<D> Scheduler<D> {
    /// The call that finds out whether the account is let in again, while nothing else may go.
    pub(in crate::lane::scheduler) fn next_check(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        if !self.budgets.of(BudgetKind::Api).is_fields_only() || !self.has_work(BudgetKind::Api) {
            return None;
        }
        let api = self.budgets.of_mut(BudgetKind::Api);
        wake.quota_is_missing |= !matches!(api.impediment(), Some((Impediment::Retrying, _)));
        match api.ask(now) {
            Grant::Now => {}
            Grant::At(then) => {
                wake.no_later_than(then);
                return None;
            }
            Grant::AfterProbe => return None,
        }
        let waiting = self.calls.waiting().find(|(_, _, call)| matches!(call.purpose, Purpose::Check(_)));
        if let Some(number) = waiting.map(|(_, number, _)| number) {
            return Some(number);
        }
        let check = Purpose::Check(self.next_check);
        Some(self.calls.add_in_flight(Call::fields(self.next_check), check))
    }

    /// The first call that is due, belongs into this order, and may go.
    pub(in crate::lane::scheduler) fn next_due(
        &mut self,
        order: Order,
        now: Instant,
        wake: &mut Wake,
    ) -> Option<u64> {
        let due = self.calls.waiting().take_while(|(at, ..)| *at <= now).map(|(_, number, _)| number);
        let due: Vec<u64> = due.collect();
        for number in due {
            if let Some(call) = self.calls.get(number)
                && self.order(call) == order
                && self.may_go(call, now, wake)
            {
                let (budget, class) = (call.budget(), call.purpose.class());
                if self.is_granted(budget, class, now, wake) {
                    return Some(number);
                }
            }
        }
        if let Some(at) = self.calls.next_due_after(now) {
            wake.no_later_than(at);
        }
        None
    }

    /// Whether anything but its budget holds up a call that is due.
    fn may_go(&self, call: &PendingCall, now: Instant, wake: &mut Wake) -> bool {
        if self.taking_over(now) && call.purpose.class() == CallClass::Work || self.is_locked_by_other(call) {
            return false;
        }
        let next_repeat = self.budgets.of(call.budget()).next_repeat();
        match next_repeat.filter(|at| now < *at && call.takes_turns()) {
            Some(at) => {
                wake.no_later_than(at);
                false
            }
            None => true,
        }
    }

    /// While a budget is probed, a call that failed goes after new work: a record that always fails must not be every
    /// probe. Of those that failed the one that has waited longest is next.
    fn order(&self, call: &PendingCall) -> Order {
        let probing = self.budgets.of(call.budget()).probes_in_turn();
        if probing && call.was_sent() { Order::AfterNew } else { Order::BeforeNew }
    }

    /// A new call, of the oldest work whose budget grants one. Tracking calls go first, as they cost no API quota.
    pub(in crate::lane::scheduler) fn next_new(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        if let Some(until) = self.tenure.quiet_until(now) {
            wake.no_later_than(until);
            return None;
        }
        self.plan_tracking(now, wake).or_else(|| self.plan_api(now, wake))
    }

    fn plan_tracking(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        loop {
            self.file_changed();
            #[cfg(test)]
            crate::lane::scheduler::tests::walk::compare(self, now);
            let first = self.agenda.first_report()?;
            if !self.is_granted(BudgetKind::Tracking, CallClass::Work, now, wake) {
                return None;
            }
            let item = match first {
                Waiting::WorkItem(item) => Some(item),
                // A report needs no lock: it can go at once.
                Waiting::Event(event) => self.take_work_item(event),
            };
            if let Some(number) = item.and_then(|item| self.plan_alone(item)) {
                return Some(number);
            }
        }
    }

    pub(in crate::lane::scheduler) fn call_of(&self, item: &WorkItem<D>) -> Option<Call> {
        match &item.work {
            Work::Contact(work) => ContactWork::call(work),
            Work::Activity => activity::call(&item.events.first()?.1.event, &self.identities),
        }
    }

    /// Whether a call may go now. Calls that read fields may while others may not.
    pub(in crate::lane::scheduler) fn is_granted(
        &mut self,
        kind: BudgetKind,
        class: CallClass,
        now: Instant,
        wake: &mut Wake,
    ) -> bool {
        let budget = self.budgets.of_mut(kind);
        if budget.is_fields_only() {
            return false;
        }
        let grant = match class {
            CallClass::Read => budget.ask_to_read(now),
            CallClass::Check | CallClass::Work => budget.ask(now),
        };
        match grant {
            Grant::Now => return true,
            Grant::At(then) => wake.no_later_than(then),
            Grant::AfterProbe => {}
        }
        // In an outage it is not quota that is missing.
        wake.quota_is_missing |= !budget.is_outage();
        false
    }

    /// Makes a work item of a waiting event and of the identifies right behind it that can be written with it.
    pub(in crate::lane::scheduler) fn take_work_item(&mut self, number: u64) -> Option<u64> {
        let mut joined: Option<Joined> = None;
        let events = self.window.take(number, |open| match (&open.event, &mut joined) {
            (HeldEvent::Contact(write), None) => {
                joined = Some(Joined::new(write));
                true
            }
            (HeldEvent::Contact(write), Some(joined)) => joined.join(write),
            (HeldEvent::Track(_) | HeldEvent::Page(_), _) => false,
        });
        let item = WorkItem::new(events)?;
        self.items.insert(number, item);
        self.enter_step(number);
        Some(number)
    }

    pub(in crate::lane::scheduler) fn send(&mut self, number: u64, now: Instant) -> Next {
        let Some(pending) = self.calls.get(number) else { return Next::Wait(Some(now)) };
        for item in pending.purpose.work_items() {
            if let Some(item) = self.items.get_mut(*item) {
                item.attempts += 1;
            }
        }
        let (call, class, repeats) = (pending.call.clone(), pending.purpose.class(), pending.takes_turns());
        if let Purpose::Step(item) = pending.purpose {
            self.lock_for_call(item);
        }
        let budget = self.budgets.of_mut(call.endpoint.budget());
        if repeats {
            budget.spend_repeat(now);
        }
        let probe = match class {
            CallClass::Read => budget.spend_to_read(now),
            CallClass::Check | CallClass::Work => budget.spend(now),
        };
        self.calls.send(number, now, probe);
        Next::Send(number, call)
    }
}
