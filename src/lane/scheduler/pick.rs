//! Which call goes next: checks, calls that are due, and new calls planned of the oldest work whose budget grants one.

use tokio::time::Instant;

use super::calls::{PendingCall, Purpose};
use super::order::{Oldest, Order, Wake};
use super::{Next, Scheduler};
use crate::freshsales::{BudgetKind, Call};
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::{Grant, Impediment};
use crate::lane::contact::activity;
use crate::lane::contact::bulk::eligible::writes_one_of;
use crate::lane::contact::cache::identities::IdentityCache;
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::merge::Joined;
use crate::lane::contact::work_item::{Work, WorkItem};
use crate::mapping::Identity;
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// The call that finds out whether the account is let in again, while nothing else may go.
    pub(super) fn next_check(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
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
    pub(super) fn next_due(&mut self, order: Order, now: Instant, wake: &mut Wake) -> Option<u64> {
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
    pub(super) fn next_new(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        if let Some(until) = self.tenure.quiet_until(now) {
            wake.no_later_than(until);
            return None;
        }
        [BudgetKind::Tracking, BudgetKind::Api]
            .into_iter()
            .find_map(|budget| self.plan_oldest(budget, now, wake))
    }

    fn plan_oldest(&mut self, budget: BudgetKind, now: Instant, wake: &mut Wake) -> Option<u64> {
        if budget == BudgetKind::Api
            && let Some(until) = self.gathering.until(now)
        {
            wake.no_later_than(until);
            return None;
        }
        let waiting_for_jobs = match budget {
            BudgetKind::Api => self.entities_waiting_for_jobs(now),
            BudgetKind::Tracking => Vec::new(),
        };
        if !waiting_for_jobs.is_empty()
            && let Some(at) = self.bulk.submit_again_at().filter(|at| now < *at)
        {
            wake.no_later_than(at);
        }
        // A work item that was just made may have to wait for another one's lock: then the next oldest is planned.
        while let Some(oldest) = self.oldest_but(budget, &waiting_for_jobs, now) {
            if !self.is_granted(budget, CallClass::Work, now, wake) {
                return None;
            }
            match oldest {
                Oldest::WorkItem(item) => {
                    if let Some(number) = self.plan(item, now) {
                        return Some(number);
                    }
                    // It has no call to make. Left idle, it would be the oldest for ever.
                    self.items.set_busy(item);
                }
                Oldest::Event(event) => {
                    self.take_work_item(event);
                }
            }
        }
        None
    }

    /// Makes a call of the item's step: a bulk call with others like it, if enough can go together.
    fn plan(&mut self, number: u64, now: Instant) -> Option<u64> {
        if let Some((entity, items)) = self.collect_bulk(number, now) {
            return self.plan_bulk(entity, items);
        }
        let call = self.call_of(self.items.get(number)?)?;
        self.items.set_busy(number);
        Some(self.calls.add_in_flight(call, Purpose::Step(number)))
    }

    fn call_of(&self, item: &WorkItem<D>) -> Option<Call> {
        match &item.work {
            Work::Contact(work) => ContactWork::call(work),
            Work::Activity => activity::call(&item.events.first()?.1.event, &self.identities),
        }
    }

    /// Whether a call may go now. Calls that read fields may while others may not.
    fn is_granted(&mut self, kind: BudgetKind, class: CallClass, now: Instant, wake: &mut Wake) -> bool {
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

    /// The oldest work of a budget.
    pub(super) fn oldest(&self, budget: BudgetKind) -> Option<Oldest> {
        let item = self.items.idle().find(|item| self.item_budget(*item) == Some(budget));
        let events = self.window.ready();
        let event = events
            .filter(|(_, open)| budget_of(&open.event, &self.identities) == budget)
            .map(|(number, _)| number)
            .next();
        older(item, event)
    }

    /// The oldest work of a budget that does not write one of these entities in bulk.
    fn oldest_but(&mut self, budget: BudgetKind, entities: &[Entity], now: Instant) -> Option<Oldest> {
        if entities.is_empty() {
            return self.oldest(budget);
        }
        let items: Vec<u64> = self.items.idle().collect();
        let item = items.into_iter().find(|item| {
            self.item_budget(*item) == Some(budget)
                && self.bulk_entity(*item, now).is_none_or(|entity| !entities.contains(&entity))
        });
        let (records, identities) = (&mut self.records, &self.identities);
        let event = self.window.ready().find(|(_, open)| {
            budget_of(&open.event, identities) == budget && !writes_one_of(entities, &open.event, records)
        });
        older(item, event.map(|(number, _)| number))
    }

    fn item_budget(&self, item: u64) -> Option<BudgetKind> {
        let item = self.items.get(item)?;
        item.events.first().map(|(_, open)| budget_of(&open.event, &self.identities))
    }

    /// Makes a work item of a waiting event and of the identifies right behind it that can be written with it.
    pub(super) fn take_work_item(&mut self, number: u64) -> Option<u64> {
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

    pub(super) fn send(&mut self, number: u64, now: Instant) -> Next {
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

/// The budget of an event's next call.
fn budget_of(event: &HeldEvent, identities: &IdentityCache) -> BudgetKind {
    match activity::identity(event) {
        None => BudgetKind::Api,
        Some(Identity::UserId(user_id)) if identities.needs_look_up(user_id) => BudgetKind::Api,
        Some(Identity::UserId(_) | Identity::Email(_)) => BudgetKind::Tracking,
    }
}

fn older(item: Option<u64>, event: Option<u64>) -> Option<Oldest> {
    match (item, event) {
        (Some(item), Some(event)) if event < item => Some(Oldest::Event(event)),
        (Some(item), _) => Some(Oldest::WorkItem(item)),
        (None, event) => event.map(Oldest::Event),
    }
}
