//! Which of the groups goes next: that of the oldest, unless it waits for something. A call for many waits until it is full,
//! while an earlier one for the same entity is under way, so that a few never go alone where a hundred could go together.

use tokio::time::Instant;

use crate::freshsales::{BudgetKind, Endpoint};
use crate::lane::budget::attempt::CallClass;
use crate::lane::contact::bulk::eligible::SharedCall;
use crate::lane::contact::bulk::{FEWEST, FEWEST_IDS, MOST_RECORDS};
use crate::lane::contact::cache::contacts::Control;
use crate::lane::scheduler::Scheduler;
use crate::lane::scheduler::pending::calls::{CallState, Purpose};
use crate::lane::scheduler::planning::order::{Waiting, Wake};
use crate::schema::Entity;

/// So many bulk calls may be unanswered. Each holds a hundred records, and a working API answers at once.
const MOST_UNANSWERED: usize = 2;

enum Chosen {
    Alone(Waiting),
    Together(SharedCall, Vec<Waiting>),
}

enum Departure {
    Alone,
    Together,
    /// It waits; the scheduler's wake says for how long.
    Waits,
}

/// When contacts can be read together.
enum Readable {
    Now,
    From(Instant),
    /// Once a call that is in flight is answered.
    AfterAnswer,
    AfterOneAlone,
}

impl SharedCall {
    const fn fewest(self) -> usize {
        match self {
            Self::Write(_) | Self::ReadContacts => FEWEST,
            Self::FindIds(_) => FEWEST_IDS,
        }
    }

    /// The most that one call takes. One more address is searched for with contacts.
    const fn most(self) -> usize {
        match self {
            Self::Write(_) | Self::FindIds(_) => MOST_RECORDS,
            Self::ReadContacts => MOST_RECORDS - 1,
        }
    }

    /// The entity whose records are written in bulk now, or after this call.
    const fn writes(self) -> Option<Entity> {
        match self {
            Self::Write(entity) => Some(entity),
            Self::ReadContacts => Some(Entity::Contact),
            Self::FindIds(_) => None,
        }
    }
}

impl<D> Scheduler<D> {
    /// A new call of the API's budget, of the oldest work that may go.
    pub(in crate::lane::scheduler) fn plan_api(&mut self, now: Instant, wake: &mut Wake) -> Option<u64> {
        if let Some(until) = self.gathering.until(now) {
            wake.no_later_than(until);
            return None;
        }
        // A work item that was just made may have to wait for another one's lock: then the next oldest is planned.
        loop {
            self.file_changed();
            #[cfg(test)]
            crate::lane::scheduler::tests::walk::compare(self, now);
            if !self.agenda.has_api_work() || !self.is_granted(BudgetKind::Api, CallClass::Work, now, wake) {
                return None;
            }
            let planned = match self.choose(now, wake)? {
                Chosen::Alone(Waiting::Event(event)) => {
                    self.take_work_item(event);
                    None
                }
                Chosen::Alone(Waiting::WorkItem(item)) => self.plan_alone(item),
                Chosen::Together(together, waiting) => self.plan_together(together, &waiting, now),
            };
            if planned.is_some() {
                return planned;
            }
        }
    }

    fn choose(&self, now: Instant, wake: &mut Wake) -> Option<Chosen> {
        for group in self.groups(now, wake) {
            let first = group.first()?;
            let Some(together) = group.together else { return Some(Chosen::Alone(first)) };
            let waiting = group.len().min(together.most());
            match self.departure(together, waiting, now, wake) {
                Departure::Alone => return Some(Chosen::Alone(first)),
                Departure::Together => {
                    let mut members = group.members();
                    members.truncate(together.most());
                    return Some(Chosen::Together(together, members));
                }
                Departure::Waits => {}
            }
        }
        None
    }

    fn departure(&self, together: SharedCall, waiting: usize, now: Instant, wake: &mut Wake) -> Departure {
        let few = waiting < together.fewest();
        if together == SharedCall::ReadContacts
            && let Some(until) = self.tenure.links_uncertain_until(self.settings.backoff.look_up_delay, now)
        {
            wake.no_later_than(until);
            return Departure::Waits;
        }
        if !few && together == SharedCall::ReadContacts {
            match self.readable_contacts(now) {
                Readable::Now => {}
                Readable::From(at) => {
                    wake.no_later_than(at);
                    return Departure::Waits;
                }
                Readable::AfterAnswer => return Departure::Waits,
                Readable::AfterOneAlone => return Departure::Alone,
            }
        }
        if !few && matches!(together, SharedCall::Write(_)) && self.bulk_calls_unanswered() >= MOST_UNANSWERED
        {
            return Departure::Waits;
        }
        if !few && matches!(together, SharedCall::Write(_)) && !self.may_submit_job(now) {
            if !self.bulk.is_worth_waiting() {
                return Departure::Alone;
            }
            if let Some(at) = self.bulk.submit_again_at().filter(|at| now < *at) {
                wake.no_later_than(at);
            }
            return Departure::Waits;
        }
        let held = together.writes().and_then(|entity| self.bulk.holds.until(entity, now));
        if let Some(until) = held.filter(|_| waiting < together.most()) {
            wake.no_later_than(until);
            return Departure::Waits;
        }
        if few { Departure::Alone } else { Departure::Together }
    }

    /// When a search can be believed that does not find a contact. Not as long as it may not see what the lane's last holder
    /// wrote, and not without a contact that it must find: one that goes alone becomes it.
    fn readable_contacts(&self, now: Instant) -> Readable {
        let complete = self.tenure.searches_complete_at(self.settings.backoff.look_up_delay, now);
        let from = match self.records.contacts.control(now) {
            Control::Now(_) => complete,
            Control::From(at) => at.max(complete),
            Control::Unknown if self.is_writing_alone(Entity::Contact) => return Readable::AfterAnswer,
            Control::Unknown => return Readable::AfterOneAlone,
        };
        if now < from { Readable::From(from) } else { Readable::Now }
    }

    fn is_writing_alone(&self, entity: Entity) -> bool {
        self.calls.iter().any(|call| {
            call.state == CallState::InFlight
                && matches!(call.purpose, Purpose::Step(_))
                && call.call.endpoint == Endpoint::Upsert(entity)
        })
    }

    pub(in crate::lane::scheduler) fn plan_alone(&mut self, item: u64) -> Option<u64> {
        self.links_certain(item);
        if let Some(work) = self.items.contact_mut(item) {
            work.write_singly();
        }
        let call = self.items.get(item).and_then(|item| self.call_of(item));
        // Without a call to make it would be the oldest for ever.
        self.items.set_busy(item);
        Some(self.calls.add_in_flight(call?, Purpose::Step(item)))
    }

    /// Makes work items of those that are none yet, and one call of all. `None` if too few of them can go: what was learned
    /// of them decides anew.
    fn plan_together(&mut self, together: SharedCall, waiting: &[Waiting], now: Instant) -> Option<u64> {
        let item = |waiting: &Waiting| match *waiting {
            Waiting::WorkItem(item) => Some(item),
            Waiting::Event(event) => self.take_work_item(event),
        };
        let items = waiting.iter().filter_map(item).collect();
        let items = self.fitting(together, items, now);
        if items.len() < together.fewest() {
            return None;
        }
        match together {
            SharedCall::Write(entity) => self.plan_bulk(entity, items, now),
            SharedCall::ReadContacts => self.plan_reading(items, now),
            SharedCall::FindIds(entity) => Some(self.plan_finding(entity, items)),
        }
    }
}
