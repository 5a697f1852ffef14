//! What the scheduler does about doubtful answers: the call waits, something harmless is asked unless that is being asked
//! already, and once others got through, the call is given up or tried again. The rules are in
//! [`attribution`](crate::lane::budget::doubt::attribution). Called for doubtful answers, failures and successes.

use tokio::time::Instant;

use crate::freshsales::{BudgetKind, Call, EndpointFamily};
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::doubt::attribution::{About, DoubtfulAnswer, Evidence, Success, Suspicion};
use crate::lane::contact::refused::refusal::{Ground, RefusedCall};
use crate::lane::scheduler::pending::calls::{CallState, PendingCall, Purpose};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

impl<D> Scheduler<D> {
    /// A call met a doubtful answer. It waits until other calls show what the answer means.
    pub(in crate::lane::scheduler) fn suspect(
        &mut self,
        number: u64,
        mut call: PendingCall,
        answer: &DoubtfulAnswer,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let (family, budget) = (call.family(), call.budget());
        if let Purpose::Step(work_item) = call.purpose {
            self.record_failure(family, work_item);
        }
        let several = self.history.several_fail(family);
        let ordinary = call.next_wait();
        let suspicion = call.suspicion.get_or_insert_with(|| Suspicion::new(answer.clone(), now));
        suspicion.add(answer.clone(), now);
        let again = now + suspicion.wait(self.settings.backoff.foreign, ordinary);
        let family_works = suspicion.family_works();
        let (class, probe) = (call.purpose.class(), call.is_probe());
        self.calls.put_back(number, call, again);
        self.let_others_write(number, now);
        match budget {
            // No harmless call uses the app token: other tracks are the best evidence there is.
            BudgetKind::Tracking => {
                self.budgets.of_mut(budget).met(answer, several, number, probe, now);
                if matches!(answer, DoubtfulAnswer::Unrecognized(_)) && (family_works || !several) {
                    self.check(Entity::Contact, now);
                }
            }
            BudgetKind::Api => {
                let api = self.budgets.of_mut(budget);
                if matches!(answer, DoubtfulAnswer::Unauthorized(_)) && !api.is_fields_only() {
                    api.refuse_credentials(answer, class, now);
                }
                let entity = match class {
                    CallClass::Check | CallClass::Read => Entity::SalesAccount,
                    CallClass::Work => Entity::Contact,
                };
                self.check(entity, now);
            }
        }
        self.give_up_if_proven(number, now)
    }

    /// A work item's call met a doubtful answer or none: that speaks against the record which the call is about.
    pub(in crate::lane::scheduler) fn record_failure(&mut self, family: EndpointFamily, work_item: u64) {
        let names = if let Some(record) = self.shared_record(work_item) {
            vec![self.window.digest_of_shared(&record)]
        } else {
            let events = self.items.get(work_item).into_iter().flat_map(|item| &item.events);
            events.flat_map(|(number, _)| self.window.key_digests(*number)).copied().collect()
        };
        self.history.record_failure(family, names);
    }

    /// Reads an entity's fields to find out whether Freshsales answers, unless that is done already.
    fn check(&mut self, entity: Entity, now: Instant) {
        if !self.budgets.of(BudgetKind::Api).is_fields_only() && !self.is_checking() {
            self.calls.add_due(Call::fields(entity), Purpose::Check(entity), now);
        }
    }

    pub(in crate::lane::scheduler) fn is_checking(&self) -> bool {
        self.calls.iter().any(|call| matches!(call.purpose, Purpose::Check(_)))
    }

    /// A call got through: Freshsales is there and lets the account in. Weighs that against each suspected call.
    pub(in crate::lane::scheduler) fn weigh_success(
        &mut self,
        through: &PendingCall,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let Some(sent) = through.last_sent() else { return Vec::new() };
        let (family, budget) = (through.call.endpoint.family(), through.budget());
        // A read before a call is sent again proves nothing about writes: a gateway may block those alone.
        let is_record = through.purpose.class() == CallClass::Work && through.prepares.is_none();
        if is_record {
            let suspected = through.suspicion.as_ref().is_some_and(Suspicion::was_foreign_alone);
            self.history.record_success(family, suspected, now);
        }
        let success = Success { sent, family, budget, is_record };
        let (mut proven, mut due_now) = (Vec::new(), Vec::new());
        for (number, call) in self.calls.iter_mut() {
            let (budget, own, waits) = (call.budget(), call.family(), call.state != CallState::InFlight);
            let several = self.history.several_fail(own);
            let Some(suspicion) = call.suspicion.as_mut() else { continue };
            match suspicion.weigh(&success, own, budget, several, now) {
                Evidence::TooLate if waits => due_now.push(number),
                Evidence::AgainstFamily if budget == BudgetKind::Api => {
                    self.budgets.of_mut(budget).count_failure(number, now);
                }
                Evidence::AgainstRecord if waits => proven.push(number),
                Evidence::None | Evidence::TooLate | Evidence::AgainstFamily | Evidence::AgainstRecord => {}
            }
        }
        for number in due_now {
            self.calls.wait_until(number, now);
        }
        proven.sort_unstable();
        proven.into_iter().flat_map(|number| self.give_up_if_proven(number, now)).collect()
    }

    /// The harmless call failed as well: the account is at fault for every answer in doubt, whatever gets through later.
    pub(in crate::lane::scheduler) fn blame_account(&mut self) {
        let suspicions = self.calls.iter_mut().filter_map(|(_, call)| call.suspicion.as_mut());
        suspicions.for_each(Suspicion::blame_account);
    }

    fn give_up_if_proven(&mut self, number: u64, now: Instant) -> Vec<Effect<D>> {
        let Some(call) = self.calls.get(number) else { return Vec::new() };
        let Some(suspicion) = &call.suspicion else { return Vec::new() };
        let about = self.about(&call.purpose);
        if !suspicion.is_proven(about, &self.history, self.settings.backoff.foreign, now) {
            return Vec::new();
        }
        let refused = refused(suspicion.last_answer(), call.family());
        let Some(call) = self.calls.take(number) else { return Vec::new() };
        self.conclude(call, Err(refused), now)
    }

    fn about(&self, purpose: &Purpose) -> About {
        let one = match purpose {
            Purpose::Step(item) => self.items.get(*item).is_none_or(|item| item.events.len() <= 1),
            // The submitted job may still end well: it is asked about as patiently as one record.
            Purpose::Poll(_) => true,
            Purpose::Fields(_)
            | Purpose::Selector(_)
            | Purpose::Check(_)
            | Purpose::Bulk(..)
            | Purpose::Search(_)
            | Purpose::ReadBack(_) => false,
        };
        if one { About::OneEvent } else { About::Several }
    }
}

fn refused(answer: &DoubtfulAnswer, family: EndpointFamily) -> RefusedCall {
    match answer {
        DoubtfulAnswer::Denied(status, messages) => {
            let right = (*status == 403).then_some(family);
            RefusedCall { status: Some(*status), ground: Ground::Denied(right, messages.clone()) }
        }
        DoubtfulAnswer::Unrecognized(unrecognized) => {
            let why = format!("was answered with {unrecognized} each time, while others got through");
            RefusedCall { status: Some(unrecognized.status), ground: Ground::Blocked(why) }
        }
        DoubtfulAnswer::Unauthorized(status) => {
            let why = format!("was answered with status {status} each time, while others got through");
            RefusedCall { status: Some(*status), ground: Ground::Blocked(why) }
        }
    }
}
