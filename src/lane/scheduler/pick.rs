//! What goes next: calls that are due, and what is planned of what waits, the oldest first.

use tokio::time::Instant;

use super::calls::{Outgoing, Purpose};
use super::{Next, Scheduler};
use crate::freshsales::{BudgetKind, Call};
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::{Grant, Impediment};
use crate::lane::contact::bulk::writes_one_of;
use crate::lane::contact::cache::identities::IdentityCache;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::merge::Joined;
use crate::lane::contact::work_item::{WorkItem, identity};
use crate::mapping::Identity;
use crate::schema::Entity;

/// The oldest thing that could be done in a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) enum Candidate {
    WorkItem(u64),
    Waiting(u64),
}

impl<D> Scheduler<D> {
    /// What to do now. To be called again after each `Send`.
    pub fn next(&mut self, now: Instant) -> Next {
        self.starved = false;
        self.identities.tick(now);
        self.here_since.get_or_insert(now);
        if self.budgets.in_flight() >= self.concurrency {
            return Next::Wait(None);
        }
        let mut wake = Wake::default();
        if let Some(number) = self.next_check(now, &mut wake) {
            return self.send(number, now);
        }
        if let Some(number) = self.next_due(Line::Front, now, &mut wake) {
            return self.send(number, now);
        }
        let taking_over = self.take_over.filter(|until| now < *until);
        if let Some(until) = taking_over {
            wake.no_later(until);
        } else {
            for budget in [BudgetKind::Tracking, BudgetKind::Api] {
                if let Some(number) = self.next_planned(budget, now, &mut wake) {
                    return self.send(number, now);
                }
            }
        }
        if let Some(number) = self.next_due(Line::Back, now, &mut wake) {
            return self.send(number, now);
        }
        self.starved = wake.starved && taking_over.is_none();
        Next::Wait(wake.at)
    }

    /// What finds out whether the account is let in again.
    fn next_check(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        if !self.budgets.of(BudgetKind::Api).is_fields_only() || !self.has_work(BudgetKind::Api) {
            return None;
        }
        let api = self.budgets.of_mut(BudgetKind::Api);
        wake.starved |= !matches!(api.impediment(), Some((Impediment::Retrying, _)));
        match api.ask(now) {
            Grant::Now => {}
            Grant::At(then) => {
                wake.no_later(then);
                return None;
            }
            Grant::AfterProbe => return None,
        }
        let waiting = self.due.iter().find(|(_, number)| {
            self.calls.get(number).is_some_and(|outgoing| matches!(outgoing.purpose, Purpose::Check(_)))
        });
        if let Some((at, number)) = waiting.copied() {
            self.due.remove(&(at, number));
            return Some(number);
        }
        Some(self.prepare(Call::fields(self.next_check), Purpose::Check(self.next_check)))
    }

    /// The first call that is due and may go, of those that stand there in the line.
    fn next_due(&mut self, line: Line, now: Instant, wake: &mut Wake) -> Option<u64> {
        let due: Vec<(Instant, u64)> = self.due.iter().copied().take_while(|(at, _)| *at <= now).collect();
        let taking_over = self.taking_over(now);
        for (at, number) in due {
            let Some(outgoing) = self.calls.get(&number) else {
                self.due.remove(&(at, number));
                continue;
            };
            if taking_over && outgoing.purpose.class() == CallClass::Work || self.line(outgoing) != line {
                continue;
            }
            if self.name_is_taken(outgoing) {
                continue;
            }
            let repeats = self.budgets.of(outgoing.call.endpoint.budget()).next_repeat();
            if let Some(at) = repeats.filter(|at| now < *at && outgoing.takes_turns()) {
                wake.no_later(at);
                continue;
            }
            let (budget, class) = (outgoing.call.endpoint.budget(), outgoing.purpose.class());
            if self.granted(budget, class, now, wake) {
                self.due.remove(&(at, number));
                return Some(number);
            }
        }
        if let Some((at, _)) = self.due.range((now, u64::MAX)..).next() {
            wake.no_later(*at);
        }
        None
    }

    /// While a budget is probed, a call that has been a probe is so again only after all others: one that Freshsales cannot
    /// stand must not keep them from finding the outage over. Of those that failed, the next is who has waited longest.
    fn line(&self, outgoing: &Outgoing) -> Line {
        let in_turn = self.budgets.of(outgoing.call.endpoint.budget()).probes_in_turn();
        if in_turn && outgoing.since.is_some() { Line::Back } else { Line::Front }
    }

    fn next_planned(&mut self, budget: BudgetKind, now: Instant, wake: &mut Wake) -> Option<u64> {
        let held = match budget {
            BudgetKind::Api => self.waiting_for_jobs(now),
            BudgetKind::Tracking => Vec::new(),
        };
        if !held.is_empty()
            && let Some(at) = self.slots.ask_at().filter(|at| now < *at)
        {
            wake.no_later(at);
        }
        // Forming a unit may show that it must wait for another one's record: then the next is looked at.
        while let Some(candidate) = self.oldest_of_others(budget, &held, now) {
            if !self.granted(budget, CallClass::Work, now, wake) {
                return None;
            }
            match candidate {
                Candidate::WorkItem(unit) => {
                    if let Some(number) = self.plan(unit, now) {
                        return Some(number);
                    }
                    // It has no call to make. It cannot be left idle, or this would not end.
                    self.idle.remove(&unit);
                }
                Candidate::Waiting(number) => {
                    self.form(number);
                }
            }
        }
        None
    }

    /// Whether a call may go; those that read fields may where others may not.
    fn granted(&mut self, budget: BudgetKind, class: CallClass, now: Instant, wake: &mut Wake) -> bool {
        let limit = self.budgets.of_mut(budget);
        if limit.is_fields_only() {
            return false;
        }
        let grant = match class {
            CallClass::Read => limit.ask_to_read(now),
            CallClass::Check | CallClass::Work => limit.ask(now),
        };
        match grant {
            Grant::Now => return true,
            Grant::At(then) => wake.no_later(then),
            Grant::AfterProbe => {}
        }
        // In an outage it is not quota that is missing.
        wake.starved |= !limit.is_outage();
        false
    }

    /// The oldest thing that could be done and does not write one of the entities whose records wait for a bulk job.
    fn oldest_of_others(&mut self, budget: BudgetKind, held: &[Entity], now: Instant) -> Option<Candidate> {
        if held.is_empty() {
            return self.oldest(budget);
        }
        let units: Vec<u64> = self.idle.iter().copied().collect();
        let unit = units.into_iter().find(|unit| {
            self.unit_budget(*unit) == Some(budget)
                && self.bulk_entity(*unit, now).is_none_or(|entity| !held.contains(&entity))
        });
        let memo = &mut self.memo;
        let identities = &self.identities;
        let waiting = self.window.ready().find(|(_, waiting)| {
            budget_of(&waiting.mapped, identities) == budget && !writes_one_of(held, &waiting.mapped, memo)
        });
        first(unit, waiting.map(|(number, _)| number))
    }

    pub(in crate::lane) fn oldest(&self, budget: BudgetKind) -> Option<Candidate> {
        let unit = self.idle.iter().copied().find(|unit| self.unit_budget(*unit) == Some(budget));
        let waiting =
            self.window.ready().find(|(_, waiting)| self.budget(&waiting.mapped) == budget).map(|(n, _)| n);
        first(unit, waiting)
    }

    fn unit_budget(&self, unit: u64) -> Option<BudgetKind> {
        let unit = self.units.get(&unit)?;
        unit.events.first().map(|(_, waiting)| self.budget(&waiting.mapped))
    }

    /// The budget of an event's next call.
    fn budget(&self, mapped: &HeldEvent) -> BudgetKind {
        budget_of(mapped, &self.identities)
    }

    /// Takes a waiting event, and the identifies right behind it that can be written with it.
    pub(in crate::lane) fn form(&mut self, number: u64) -> Option<u64> {
        let mut joined: Option<Joined> = None;
        let events = self.window.take(number, |waiting| match (&waiting.mapped, &mut joined) {
            (HeldEvent::Contact(write), None) => {
                joined = Some(Joined::new(write));
                true
            }
            (HeldEvent::Contact(write), Some(joined)) => joined.join(write),
            (HeldEvent::Track(_) | HeldEvent::Page(_), _) => false,
        });
        let unit = WorkItem::new(events)?;
        self.units.insert(number, unit);
        self.settle_stage(number);
        Some(number)
    }

    fn send(&mut self, number: u64, now: Instant) -> Next {
        let Some(outgoing) = self.calls.get(&number) else { return Next::Wait(Some(now)) };
        let call = outgoing.call.clone();
        for unit in outgoing.purpose.units() {
            if let Some(unit) = self.units.get_mut(unit) {
                unit.attempts += 1;
            }
        }
        let class = outgoing.purpose.class();
        let repeats = outgoing.takes_turns();
        if let Purpose::Step(unit) = outgoing.purpose {
            self.claim_name(unit);
        }
        let limit = self.budgets.of_mut(call.endpoint.budget());
        if repeats {
            limit.spend_repeat(now);
        }
        let probe = match class {
            CallClass::Read => limit.spend_to_read(now),
            CallClass::Check | CallClass::Work => limit.spend(now),
        };
        if let Some(outgoing) = self.calls.get_mut(&number) {
            outgoing.probe = probe;
            outgoing.sent = Some(now);
            outgoing.since.get_or_insert(now);
        }
        Next::Send(number, call)
    }
}

/// The budget of an event's next call.
fn budget_of(mapped: &HeldEvent, identities: &IdentityCache) -> BudgetKind {
    match identity(mapped) {
        None => BudgetKind::Api,
        Some(Identity::UserId(user_id)) if identities.unknown(user_id) => BudgetKind::Api,
        Some(Identity::UserId(_) | Identity::Email(_)) => BudgetKind::Tracking,
    }
}

/// The older of a unit and of an event that waits.
fn first(unit: Option<u64>, waiting: Option<u64>) -> Option<Candidate> {
    match (unit, waiting) {
        (Some(unit), Some(waiting)) if waiting < unit => Some(Candidate::Waiting(waiting)),
        (Some(unit), _) => Some(Candidate::WorkItem(unit)),
        (None, waiting) => waiting.map(Candidate::Waiting),
    }
}

/// Where a call stands that is due: before what is planned next, or behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Front,
    Back,
}

/// When to look again.
#[derive(Debug, Default)]
struct Wake {
    at: Option<Instant>,
    starved: bool,
}

impl Wake {
    fn no_later(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }
}
