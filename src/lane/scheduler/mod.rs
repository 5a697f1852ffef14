//! Decides which call of one account goes next, and what an answer settles.
//!
//! Pure: no clock, no socket, no broker. Time and answers are handed in, so that a day can be simulated in a second. The
//! lane's runner asks [`Scheduler::next`] until there is nothing to send, sends the calls, and hands in the answers.
//!
//! Events wait in the [window](unsettled::window), behind earlier events of their contact. A new call to the API is planned
//! only when quota and a request slot are free and deliveries do not follow each other closely
//! ([`gathering`](planning::gathering)), and then of everything that waits. One event goes alone if it is alone, and a
//! hundred go in one call if a hundred wait. What a contact's step is, and what an answer makes of it, the room
//! [`contact`](super::contact) decides; whether a call may go, [`budget`](super::budget).

mod event;
mod pending;
mod planning;
mod settings;
mod steps;
mod tenure;
#[cfg(test)]
mod tests;
mod together;
pub(super) mod unsettled;

use tokio::time::Instant;

use super::budget::budgets::Budgets;
use super::budget::doubt::success_history::SuccessHistory;
use super::budget::{Impediment, Quota};
use super::contact::bulk::features::BulkFeatures;
use super::contact::bulk::policy::BulkPolicy;
use super::contact::cache::identities::IdentityCache;
use super::contact::cache::records::RecordCache;
use super::contact::work_item::{OpenEvent, WorkItem};
use crate::freshsales::{BudgetKind, Call};
use crate::lane::status::facts::QuotaFacts;
use crate::schema::{Entity, Selector};
pub use event::{Effect, Next, WhileJobsRun};
use pending::call_table::CallTable;
use pending::calls::Purpose;
use planning::agenda::Agenda;
use planning::gathering::Gathering;
use planning::order::{Order, Wake};
pub use settings::SchedulerSettings;
use tenure::Tenure;
use unsettled::record_locks::RecordLocks;
use unsettled::window::Window;
use unsettled::work_items::WorkItems;

/// One account's work: what waits, what is in flight, and what may go. `D` is a delivery, which it only hands back.
#[derive(Debug)]
pub struct Scheduler<D> {
    settings: SchedulerSettings,
    window: Window<OpenEvent<D>>,
    items: WorkItems<D>,
    locks: RecordLocks,
    agenda: Agenda,
    calls: CallTable,
    budgets: Budgets,
    history: SuccessHistory,
    /// The entity whose fields the next check reads.
    next_check: Entity,
    records: RecordCache,
    identities: IdentityCache,
    bulk: BulkPolicy,
    features: BulkFeatures,
    /// Searches in a row that did not find a contact which exists.
    controls_missed: u32,
    /// Contacts that could not be read back after the first links were written in bulk.
    link_trials_failed: u32,
    tenure: Tenure,
    gathering: Gathering,
    /// At the last [`Scheduler::next`] work was ready and only quota was missing.
    starved: bool,
    /// When it was last reported that a contact's deals are not shown.
    deals_not_shown: Option<Instant>,
    /// Effects that came without an answer, for [`Scheduler::take_ended`].
    ended: Vec<Effect<D>>,
}

impl<D> Scheduler<D> {
    /// An account with nothing to do.
    pub fn new(settings: SchedulerSettings, api: Quota, tracking: Quota) -> Self {
        let backoff = settings.backoff;
        let mut budgets = Budgets::new(api, tracking, backoff);
        if let Some(hint) = settings.not_found_hint {
            budgets.set_not_found_hint(hint);
        }
        Self {
            settings,
            window: Window::default(),
            items: WorkItems::default(),
            locks: RecordLocks::default(),
            agenda: Agenda::default(),
            calls: CallTable::new(backoff.unavailable),
            budgets,
            history: SuccessHistory::default(),
            next_check: Entity::Contact,
            records: RecordCache::new(),
            identities: IdentityCache::new(),
            bulk: BulkPolicy::new(settings.bulk_jobs, backoff.jobs, backoff.look_up_delay),
            features: BulkFeatures::default(),
            controls_missed: 0,
            link_trials_failed: 0,
            tenure: Tenure::default(),
            gathering: Gathering::default(),
            starved: false,
            deals_not_shown: None,
            ended: Vec::new(),
        }
    }

    /// What to do now. To be called again after each [`Next::Send`].
    pub fn next(&mut self, now: Instant) -> Next {
        self.identities.tick(now);
        self.agenda.tick(now);
        self.file_changed();
        let next = self.find_next(now);
        self.file_changed();
        next
    }

    fn find_next(&mut self, now: Instant) -> Next {
        self.starved = false;
        self.tenure.begin(now);
        self.tenure.holds_events(!self.window.is_empty(), now);
        if self.budgets.in_flight() >= self.settings.concurrency {
            return Next::Wait(None);
        }
        let mut wake = Wake::default();
        let number = self
            .next_check(now, &mut wake)
            .or_else(|| self.next_due(Order::BeforeNew, now, &mut wake))
            .or_else(|| self.next_new(now, &mut wake))
            .or_else(|| self.next_due(Order::AfterNew, now, &mut wake));
        if let Some(number) = number {
            return self.send(number, now);
        }
        self.starved = wake.quota_is_missing && !self.taking_over(now);
        Next::Wait(wake.at())
    }

    /// The account's settings are others from now on. Calls that are planned already stay as they are.
    pub fn change(&mut self, settings: SchedulerSettings, quotas: (Quota, Quota), now: Instant) {
        self.settings = settings;
        self.bulk.set_most_jobs(settings.bulk_jobs);
        self.budgets.change(quotas, now);
    }

    /// Another session begins.
    pub fn begin(&mut self) {
        self.tenure.restart();
        self.identities.was_elsewhere();
    }

    /// A session begins whose source delivers to nobody else, so no other replica had the lane.
    pub fn begin_alone(&mut self, now: Instant) {
        self.begin();
        self.tenure.restart_alone(self.settings.backoff.look_up_delay, now);
    }

    /// The session brings a delivery that was delivered before. The calls that its last holder sent for it may still take
    /// effect, so only fields are read for a moment; also if the last holder was this process, because another replica may
    /// have had the lane in between. Redelivered messages come first, so the delay starts once each time the lane comes here.
    /// Within one session the lane can have been elsewhere only while none of its events is held here.
    pub fn redelivered(&mut self, now: Instant) {
        if self.window.is_empty() {
            self.begin();
        }
        self.tenure.take_over(now);
    }

    /// A delivery has come: API work is planned once no other follows closely.
    pub fn arrived(&mut self, now: Instant) {
        self.gathering.arrived(now);
    }

    /// No more deliveries can come before something is settled, so none is waited for.
    pub fn all_arrived(&mut self) {
        self.gathering.end();
    }

    /// Whether the take-over delay keeps calls from being sent.
    pub fn taking_over(&self, now: Instant) -> bool {
        self.tenure.quiet_until(now).is_some()
    }

    /// A gateway before Freshsales asks all accounts of the host to send nothing before this time. Then one call of each
    /// budget goes first.
    pub fn stay_away(&mut self, until: Instant, now: Instant) {
        self.budgets.stay_away(until, now);
    }

    /// Events taken and not settled.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// Whether every event taken is settled.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Requests that are not answered yet.
    pub fn sending(&self) -> usize {
        self.budgets.in_flight()
    }

    /// Whether work is ready and only quota is missing.
    pub fn starved(&self) -> bool {
        self.starved
    }

    /// Whether a call that failed waits to be sent again.
    pub fn retrying(&self) -> bool {
        self.calls.waiting().any(|(_, _, call)| call.was_sent())
    }

    /// A budget's calls, for people.
    pub(in crate::lane) fn quota_facts(&self, budget: BudgetKind, now: Instant) -> QuotaFacts {
        self.budgets.of(budget).facts(now)
    }

    /// What keeps a budget's calls from getting through, and why. Without work only refused credentials count: an outage
    /// holds nothing up then, and no call finds out when it is over.
    pub fn impediment(&self, budget: BudgetKind) -> Option<&(Impediment, String)> {
        let own = self.budgets.of(budget).impediment();
        let impediment = match budget {
            BudgetKind::Api => own.or_else(|| self.bulk.impediment()),
            BudgetKind::Tracking => own,
        };
        impediment.filter(|(kind, _)| *kind == Impediment::Unauthorized || self.has_work(budget))
    }

    fn has_work(&self, budget: BudgetKind) -> bool {
        let waits = match budget {
            BudgetKind::Api => self.agenda.has_api_work(),
            BudgetKind::Tracking => self.agenda.first_report().is_some(),
        };
        waits || self.calls.iter().any(|call| call.budget() == budget)
    }

    /// Asks for an entity's fields; the answer comes as [`Effect::Fields`].
    pub fn read_fields(&mut self, entity: Entity, now: Instant) {
        self.calls.add_due(Call::fields(entity), Purpose::Fields(entity), now);
    }

    /// Asks for a selector; the answer comes as [`Effect::Selector`].
    pub fn read_selector(&mut self, selector: Selector, now: Instant) {
        self.calls.add_due(Call::selector(selector), Purpose::Selector(selector), now);
    }

    /// Effects that came without an answer since the last time. To be asked for after [`Scheduler::next`].
    pub fn take_ended(&mut self) -> Vec<Effect<D>> {
        std::mem::take(&mut self.ended)
    }

    /// A call was aborted: nobody knows whether it took effect, and that says nothing about the account.
    pub fn aborted(&mut self, number: u64, now: Instant) {
        let Some(call) = self.calls.get(number) else { return };
        self.budgets.of_mut(call.budget()).aborted(call.is_probe(), now);
        self.calls.wait_until(number, now);
    }

    /// Gives back every event without a call in flight. Nothing more is sent for these.
    pub fn give_back(&mut self) -> Vec<D> {
        let waiting = self.window.drain_waiting();
        let mut deliveries: Vec<D> = waiting.into_iter().map(|event| event.delivery).collect();
        let in_flight = self.calls.work_items_in_flight();
        for number in self.items.numbers() {
            self.items.set_busy(number);
            if in_flight.contains(&number) {
                continue;
            }
            for (number, event) in self.items.remove(number).into_iter().flat_map(WorkItem::into_events) {
                self.window.finish(number);
                deliveries.push(event.delivery);
            }
        }
        if in_flight.is_empty() {
            self.locks.clear();
        }
        self.calls.drop_waiting();
        self.gathering.end();
        self.identities.given_back();
        self.history.forget_failures();
        self.budgets.gave_back();
        self.file_changed();
        deliveries
    }
}
